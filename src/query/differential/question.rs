//! Seeded questions: rows, groups and distinct rows, as SQL and as JSON queries, with everything that a SELECT may have.

use serde_json::{Value as Json, json};

use super::data::{DATASET, Field, Kind, Random, moment};
use super::expression::{BUCKETS, Maker};
use crate::error::Result;
use crate::query::language::Query;
use crate::query::parse;
use crate::time::{self, Calendar};

/// A question as text, and what may be asked of its answer.
#[derive(Debug, Clone)]
pub struct Question {
    pub text: Text,
    pub zone: &'static str,
    pub week_start: &'static str,
    /// Whether its order leaves nothing open.
    pub is_ordered: bool,
    /// By column, whether equal values may have several forms, as 1 and 1.0.
    pub loose: Vec<bool>,
}

#[derive(Debug, Clone)]
pub enum Text {
    Sql(String),
    Json(String),
}

const ZONES: [&str; 8] = [
    "UTC",
    "UTC",
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "America/New_York",
    "Pacific/Apia",
];

impl Question {
    pub fn read(&self) -> Result<Query> {
        match &self.text {
            Text::Json(text) => parse::json(text.as_bytes(), 0),
            Text::Sql(text) => {
                let mut query = parse::sql(text, &[])?;
                query.calendar = Calendar::named(Some(self.zone), Some(self.week_start))?;
                Ok(query)
            }
        }
    }
}

/// A question in parts.
#[derive(Debug, Default)]
struct Parts {
    by: Vec<String>,
    select: Vec<(String, Option<&'static str>)>,
    distinct: bool,
    filter: Option<String>,
    having: Option<String>,
    /// Expression, descending, nulls first.
    order: Vec<(String, bool, bool)>,
    limit: Option<usize>,
    offset: Option<usize>,
}

const ALIASES: [&str; 6] = ["n", "total", "a", "value", "x y", "first"];

/// A question about some fields.
pub fn question(random: &mut Random, fields: &[Field]) -> Question {
    let mut maker = Maker { random, fields };
    let zone = *maker.random.pick(&ZONES);
    let week_start = *maker.random.pick(&["monday", "monday", "sunday", "saturday"]);
    let (mut parts, mut loose, is_grouped) = match maker.random.below(5) {
        0 | 1 => rows(&mut maker),
        _ => groups(&mut maker),
    };
    if maker.random.chance(55) {
        let depth = maker.random.below(4);
        parts.filter = Some(maker.condition(depth));
    }
    let as_json = maker.random.chance(25) && (is_grouped || !parts.distinct);
    if as_json {
        // `by` stands before `select` there
        let keys = parts.by.len();
        let keys_loose = parts.by.iter().map(|key| is_loose(key, maker.fields)).collect::<Vec<_>>();
        let own: Vec<(String, Option<&'static str>)> = parts.select.split_off(keys.min(parts.select.len()));
        let own_loose = loose.split_off(keys.min(loose.len()));
        parts.select = own;
        loose = keys_loose.into_iter().chain(own_loose).collect();
    }
    let is_ordered = is_grouped && !parts.distinct || !parts.order.is_empty();
    let text = match as_json {
        true => Text::Json(as_query(&parts, zone, week_start, &mut maker)),
        false => Text::Sql(as_sql(&parts, &mut maker)),
    };
    Question { text, zone, week_start, is_ordered, loose }
}

/// Whether a bare field can have equal values in several forms.
fn is_loose(expression: &str, fields: &[Field]) -> bool {
    let inner = expression.strip_prefix("explode(").and_then(|rest| rest.strip_suffix(')'));
    let name = inner.unwrap_or(expression).trim_matches('"');
    fields.iter().any(|f| f.name == name && matches!(f.kind, Kind::Either | Kind::Mixed | Kind::Broken))
}

fn rows(maker: &mut Maker<'_>) -> (Parts, Vec<bool>, bool) {
    let mut parts = Parts { distinct: maker.random.chance(30), ..Parts::default() };
    let count = maker.random.between(1, 4) as usize;
    for alias in &ALIASES[..count] {
        let depth = maker.random.below(4);
        // in an order an alias would stand for its column, and what is ordered by would not be all of them
        let alias = (!parts.distinct && maker.random.chance(30)).then_some(*alias);
        parts.select.push((maker.any(depth), alias));
    }
    let selected: Vec<String> = parts.select.iter().map(|(text, _)| text.clone()).collect();
    if maker.random.chance(70) {
        let turn = |maker: &mut Maker<'_>, text: String| {
            (format!("({text})"), maker.random.chance(50), maker.random.chance(20))
        };
        if parts.distinct {
            // all of them, so that nothing is open
            parts.order = selected.iter().map(|text| turn(maker, text.clone())).collect();
        } else {
            for _ in 0..maker.random.below(3) {
                let depth = maker.random.below(3);
                let text = maker.any(depth);
                parts.order.push(turn(maker, text));
            }
            parts.order.push(("_seq".into(), maker.random.chance(50), false));
        }
        limit(maker, &mut parts);
    }
    // a whole number would be the position of a column
    let is_whole = |text: &str| text.trim_matches(['(', ')', ' ']).parse::<i128>().is_ok();
    parts.order.retain(|(text, _, _)| !is_whole(text));
    // a text that names a column of the same name would be that column
    parts.order.iter_mut().for_each(|(text, _, _)| *text = text.replace("(-", "( -"));
    let loose = vec![parts.distinct; count];
    (parts, loose, false)
}

fn limit(maker: &mut Maker<'_>, parts: &mut Parts) {
    if maker.random.chance(40) {
        parts.limit = Some(*maker.random.pick(&[0, 1, 2, 5, 10, 1_000]));
    }
    if maker.random.chance(20) {
        parts.offset = Some(*maker.random.pick(&[0, 1, 3, 50]));
    }
}

fn groups(maker: &mut Maker<'_>) -> (Parts, Vec<bool>, bool) {
    let mut parts = Parts { distinct: maker.random.chance(8), ..Parts::default() };
    let mut loose = Vec::new();
    let mut has_explode = false;
    for _ in 0..*maker.random.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        let key = key(maker, &mut has_explode);
        if !parts.by.contains(&key) {
            loose.push(is_loose(&key, maker.fields) || parts.distinct);
            parts.select.push((key.clone(), None));
            parts.by.push(key);
        }
    }
    let mut figures = Vec::new();
    for at in 0..maker.random.between(1, 4) as usize {
        let (text, is_loose) = figure(maker);
        let alias = maker.random.chance(30).then(|| ALIASES[at + 1]);
        figures.push(text.clone());
        parts.select.push((text, alias));
        loose.push(is_loose || parts.distinct);
    }
    if maker.random.chance(25) {
        let of = figure(maker).0;
        parts.having = Some(match maker.random.below(3) {
            0 => format!("count(*) > {}", maker.random.below(4)),
            1 => format!("{of} IS NOT NULL"),
            _ => format!("{of} > {} OR count(*) = 1", maker.small()),
        });
    }
    if maker.random.chance(60) {
        for _ in 0..maker.random.between(1, 2) {
            let text = match maker.random.chance(60) || parts.distinct {
                true => maker.random.pick(&figures).clone(),
                false => figure(maker).0,
            };
            parts.order.push((text, maker.random.chance(50), maker.random.chance(20)));
        }
    }
    limit(maker, &mut parts);
    if parts.distinct {
        (parts.limit, parts.offset) = (None, None);
        if !parts.order.is_empty() {
            parts.order = parts.select.iter().map(|(text, _)| (text.clone(), false, false)).collect();
        }
    }
    (parts, loose, true)
}

fn key(maker: &mut Maker<'_>, has_explode: &mut bool) -> String {
    let every = [
        Kind::Small,
        Kind::Wide,
        Kind::Huge,
        Kind::Quarters,
        Kind::Either,
        Kind::Broken,
        Kind::Flag,
        Kind::Moment,
        Kind::Word,
        Kind::Odd,
        Kind::Tags,
        Kind::Json,
        Kind::Mixed,
        Kind::Nothing,
    ];
    match maker.random.below(10) {
        0..=4 => maker.field(&every).unwrap_or_else(|| "_time".into()),
        5 => format!("{}({})", maker.random.pick(&BUCKETS).to_owned(), maker.moment(0)),
        6 => maker.text(2),
        7 => maker.condition(2),
        8 if !*has_explode => match maker.field(&[Kind::Tags, Kind::Word, Kind::Mixed]) {
            Some(field) => {
                *has_explode = true;
                format!("explode({field})")
            }
            None => maker.text(1),
        },
        // one form a value: a whole number, or a moment
        _ => format!("length({})", maker.text(1)),
    }
}

/// An aggregate or an expression of some, and whether equal values of it may have several forms.
fn figure(maker: &mut Maker<'_>) -> (String, bool) {
    if maker.random.chance(15) {
        let (a, b) = (aggregate(maker), aggregate(maker));
        return match maker.random.below(3) {
            0 => (format!("coalesce({}, {})", a.0, b.0), true),
            1 => (format!("CASE WHEN {} IS NULL THEN 0 ELSE count(*) * 2 END", a.0), false),
            _ => (format!("round(sum({}) / count(*), 1)", maker.tame(0)), false),
        };
    }
    aggregate(maker)
}

fn aggregate(maker: &mut Maker<'_>) -> (String, bool) {
    let depth = maker.random.below(3);
    let q = *maker.random.pick(&["0", "0.05", "0.5", "0.9", "0.95", "1"]);
    let (text, is_loose) = match maker.random.below(17) {
        0 | 1 => ("count(*)".into(), false),
        2 => (format!("count({})", maker.any(depth)), false),
        3 => (format!("uniq({})", maker.any(depth)), false),
        4 => (format!("count(DISTINCT {})", maker.any(depth)), false),
        5 | 6 => (format!("sum({})", maker.tame(depth)), false),
        7 => match maker.field(&[Kind::Huge, Kind::Wide]) {
            Some(field) => (format!("sum({field})"), false),
            None => (format!("sum({})", maker.tame(0)), false),
        },
        8 => (format!("avg({})", maker.tame(depth)), false),
        9 => (format!("min({})", maker.any(depth)), true),
        10 => (format!("max({})", maker.any(depth)), true),
        11 => (format!("any({})", maker.any(depth)), true),
        12 => (format!("quantile({}, {q})", maker.number(depth)), true),
        13 => (format!("approx_quantile({}, {q})", maker.number(depth)), false),
        14 => (format!("approx_uniq({})", maker.any(depth)), false),
        15 => (format!("first({})", maker.any(depth)), false),
        _ => (format!("last({})", maker.any(depth)), false),
    };
    match maker.random.chance(20) {
        true => {
            let depth = maker.random.below(3);
            (format!("{text} FILTER (WHERE {})", maker.condition(depth)), is_loose)
        }
        false => (text, is_loose),
    }
}

fn as_sql(parts: &Parts, maker: &mut Maker<'_>) -> String {
    let items = parts.select.iter().map(|(text, alias)| match alias {
        Some(alias) => format!("{text} AS \"{alias}\""),
        None => text.clone(),
    });
    let mut sql = format!(
        "SELECT {}{} FROM {DATASET}",
        if parts.distinct { "DISTINCT " } else { "" },
        items.collect::<Vec<_>>().join(", ")
    );
    if let Some(filter) = &parts.filter {
        sql += &format!(" WHERE {filter}");
    }
    if !parts.by.is_empty() {
        let by_place = maker.random.chance(20);
        let keys: Vec<String> = match by_place {
            true => (1..=parts.by.len()).map(|place| place.to_string()).collect(),
            false => parts.by.clone(),
        };
        sql += &format!(" GROUP BY {}", keys.join(", "));
    }
    if let Some(having) = &parts.having {
        sql += &format!(" HAVING {having}");
    }
    let order: Vec<String> = parts
        .order
        .iter()
        .map(|(text, descending, nulls_first)| {
            format!(
                "{text}{}{}",
                if *descending { " DESC" } else { "" },
                if *nulls_first { " NULLS FIRST" } else { "" }
            )
        })
        .collect();
    if !order.is_empty() {
        sql += &format!(" ORDER BY {}", order.join(", "));
    }
    if let Some(limit) = parts.limit {
        sql += &format!(" LIMIT {limit}");
    }
    if let Some(offset) = parts.offset {
        sql += &format!(" OFFSET {offset}");
    }
    sql
}

fn as_query(parts: &Parts, zone: &str, week_start: &str, maker: &mut Maker<'_>) -> String {
    let items = parts.select.iter().map(|(text, alias)| match alias {
        Some(alias) => format!("{text} AS \"{alias}\""),
        None => text.clone(),
    });
    let order = parts
        .order
        .iter()
        .map(|(text, descending, _)| format!("{}{text}", if *descending { "-" } else { "" }));
    let mut query = json!({
        "from": DATASET, "select": items.collect::<Vec<_>>(), "by": parts.by, "order": order.collect::<Vec<_>>(),
        "tz": zone, "week_start": week_start, "distinct": parts.distinct,
    });
    let optional = [
        ("where", parts.filter.clone().map(Json::from)),
        ("having", parts.having.clone().map(Json::from)),
        ("limit", parts.limit.map(Json::from)),
        ("offset", parts.offset.map(Json::from)),
    ];
    for (key, value) in optional.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        query[key] = value;
    }
    if maker.random.chance(40) {
        let (a, b) = (moment(maker.random), moment(maker.random));
        query["range"] = json!({ "from": time::format(a.min(b)), "to": time::format(a.max(b)) });
    }
    query.to_string()
}
