//! The JSON query of `POST /v1/query` to a `Query`. Every error names the place in the body as a JSON pointer.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::cache::class::{USES, Use};
use crate::error::{Error, Result, nearest};
use crate::query::budget::Limits;
use crate::query::expression::Expr;
use crate::query::language::{Dialect, Explain, Item, Order, Query, Statement};
use crate::value::Value;

use super::clauses::COLUMNS;
use super::expression::Place;
use super::names::{Copies, Names};
use super::range;

/// Bytes of a JSON query at most.
const BODY_BYTES: usize = 1 << 20;

/// The keys of a query.
const KEYS: [&str; 17] = [
    "from",
    "sessions",
    "select",
    "by",
    "where",
    "range",
    "tz",
    "week_start",
    "having",
    "order",
    "limit",
    "offset",
    "distinct",
    "cache",
    "fill",
    "compare",
    "explain",
];

/// Reads a JSON query; `now_us` is what `{"last": "7d"}` counts back from.
///
/// ```
/// let body = br#"{"from": "events", "select": ["count() as n"], "by": ["country"], "order": ["-n"]}"#;
/// let query = windrow::query::parse::json(body, 0)?;
/// let names: Vec<&str> = query.select.iter().map(|item| item.name.as_str()).collect();
/// assert_eq!(names, ["country", "n"]);
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn json(body: &[u8], now_us: i64) -> Result<Query> {
    let what = "a query is a JSON object, as in {\"from\": \"events\", \"select\": [\"count()\"]}";
    let body = object(body, what)?;
    let body = Object { map: &body, pointer: String::new() };
    body.check_keys(&KEYS)?;
    query(&body, now_us)
}

/// Reads a JSON query as a statement: with `"explain": true` how it would be answered is asked, with `"explain": "duckdb"` the
/// same as SQL of a dialect.
///
/// # Errors
/// As [`json`]; an `explain` that is none.
///
/// ```
/// use windrow::query::language::{Dialect, Explain};
///
/// let body = br#"{"from": "events", "select": ["count()"], "explain": "duckdb"}"#;
/// let statement = windrow::query::parse::question(body, 0)?;
/// assert_eq!(statement.explain, Some(Explain::Printed(Dialect::Duckdb)));
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn question(body: &[u8], now_us: i64) -> Result<Statement> {
    let asked = json(body, now_us)?;
    let body = object(body, "a query is a JSON object")?;
    let explain = match body.get("explain") {
        None | Some(Json::Null | Json::Bool(false)) => None,
        Some(Json::Bool(true)) => Some(Explain::Plan),
        Some(Json::String(dialect)) => {
            let dialect = dialect.parse::<Dialect>().map_err(|error| at("/explain", &error))?;
            Some(Explain::Printed(dialect))
        }
        Some(_) => {
            return Err(Error::invalid("/explain: true is expected, or a dialect of SQL such as \"duckdb\""));
        }
    };
    Ok(Statement { explain, ..asked.into() })
}

/// The object that a body is; `what` says which one where it is none.
pub(super) fn object(body: &[u8], what: &str) -> Result<Map<String, Json>> {
    if body.len() > BODY_BYTES {
        return Err(Error::invalid(format!("the query has {} bytes; {BODY_BYTES} is the limit", body.len())));
    }
    let body: Json = serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the query is no JSON: {error}")))?;
    match body {
        Json::Object(body) => Ok(body),
        _ => Err(Error::invalid(what)),
    }
}

/// The value of a JSON parameter.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(f)) => Value::finite(f),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => {
            let texts: Option<Vec<Arc<str>>> =
                items.iter().map(|item| item.as_str().map(Arc::from)).collect();
            texts.map_or_else(|| Value::Json(json.to_string().into()), |texts| Value::List(texts.into()))
        }
        Json::Object(_) => Value::Json(json.to_string().into()),
    }
}

fn query(body: &Object<'_>, now_us: i64) -> Result<Query> {
    let from = body.text("from")?.ok_or_else(|| {
        Error::invalid("the query has no \"from\": name the dataset, as in {\"from\": \"events\"}")
    })?;
    let keys = items(body, "by", Place::Where)?;
    let by: Vec<Expr> = keys.iter().map(|item| item.expression.clone()).collect();
    let selected = body.texts("select")?;
    let all_fields = keys.is_empty() && matches!(selected.as_slice(), [] | ["*"]);
    let mut select = keys;
    if !all_fields {
        select.extend(items(body, "select", Place::Anywhere)?);
    }
    let names = Names { items: &select, keys: &by };
    let mut copies = Copies::default();
    let mut resolve = |text: &str| names.resolve(super::expression(text)?, &mut copies);
    let having = body.text("having")?.map(&mut resolve).transpose().map_err(|error| at("/having", &error))?;
    let order = order(body, &names, &mut copies)?;
    let filter = body.text("where")?.map(super::filter).transpose().map_err(|error| at("/where", &error))?;
    let calendar = range::calendar(body)?;
    Ok(Query {
        from: from.to_owned(),
        sessions: super::sequences::sessions(body)?,
        all_fields,
        by,
        distinct: body.flag("distinct")?.unwrap_or(false),
        filter,
        range: range::range(body, &calendar, now_us)?,
        calendar,
        fill: body.flag("fill")?.unwrap_or(false),
        compare: compare(body)?,
        now: now_us,
        having,
        order,
        limit: body.count("limit")?,
        offset: body.count("offset")?.unwrap_or(0),
        cache: body.stored()?,
        limits: Limits::default(),
        select,
    })
}

/// `"compare": "previous"`, the one comparison there is.
fn compare(body: &Object<'_>) -> Result<bool> {
    match body.map.get("compare") {
        None | Some(Json::Null | Json::Bool(false)) => Ok(false),
        Some(Json::String(with)) if with == "previous" => Ok(true),
        Some(other) => Err(Error::invalid(format!(
            "/compare: {other} is no period to compare with; write \"previous\", the one before the range"
        ))),
    }
}

/// The error, with its place in the body before it.
pub(super) fn at(pointer: &str, error: &Error) -> Error {
    match error {
        Error::TooLarge(detail) => Error::TooLarge(format!("{pointer}: {detail}")),
        _ => Error::invalid(format!("{pointer}: {error}")),
    }
}

fn items(body: &Object<'_>, key: &str, place: Place) -> Result<Vec<Item>> {
    let texts = body.texts(key)?;
    if texts.len() > COLUMNS {
        return Err(Error::invalid(format!("/{key}: {} columns; {COLUMNS} is the limit", texts.len())));
    }
    let read = |(i, text): (usize, &&str)| -> Result<Item> {
        let pointer = format!("/{key}/{i}");
        let item = super::item(text).map_err(|error| at(&pointer, &error))?;
        if place == Place::Where && item.expression.has_aggregate() {
            return Err(Error::invalid(format!(
                "{pointer}: \"{text}\" is an aggregate and cannot be a group key; put it into \"select\""
            )));
        }
        Ok(item)
    };
    texts.iter().enumerate().map(read).collect()
}

fn order(body: &Object<'_>, names: &Names<'_>, copies: &mut Copies) -> Result<Vec<Order>> {
    let mut read = |(i, text): (usize, &&str)| -> Result<Order> {
        let text = text.trim();
        let (descending, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // a column may be named as it stands in the reply
        let named = names.items.iter().find(|item| item.name == text);
        let expression = match named {
            Some(item) => copies.copy(&item.expression),
            None => super::expression(text).and_then(|expression| names.resolve(expression, copies)),
        };
        let expression = expression.map_err(|error| at(&format!("/order/{i}"), &error))?;
        Ok(Order { expression, descending, nulls_first: false })
    };
    let texts = body.texts("order")?;
    if texts.len() > COLUMNS {
        return Err(Error::invalid(format!("/order: {} parts; {COLUMNS} is the limit", texts.len())));
    }
    texts.iter().enumerate().map(&mut read).collect()
}

pub(super) fn wrong_type(pointer: &str, wanted: &str, found: &Json) -> Error {
    let found = match found {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    Error::invalid(format!("{pointer}: {wanted} is expected, {found} was sent"))
}

/// A JSON object and where it stands; null is the same as absent.
pub(super) struct Object<'a> {
    pub(super) map: &'a Map<String, Json>,
    pub(super) pointer: String,
}

impl<'a> Object<'a> {
    pub(super) fn check_keys(&self, known: &[&str]) -> Result<()> {
        match self.map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(Error::invalid(format!(
                "{}/{key}: there is no such key{}; keys are {}",
                self.pointer,
                nearest(key, known.iter().copied()),
                known.join(", ")
            ))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        match self.map.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(&format!("{}/{key}", self.pointer), "a text", other)),
        }
    }

    /// Which stored answers are welcome.
    pub(super) fn stored(&self) -> Result<Use> {
        let wrong = |e: &str| Error::invalid(format!("{}/cache: {e}", self.pointer));
        match self.map.get("cache") {
            None | Some(Json::Null) => Ok(Use::Exact),
            Some(Json::Bool(true)) => Ok(Use::Exact),
            Some(Json::Bool(false)) => Ok(Use::Never),
            Some(Json::String(text)) => Use::read(text).map_err(|e| wrong(&e.to_string())),
            Some(_) => Err(wrong(&format!("it {USES}"))),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.map.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(&format!("{}/{key}", self.pointer), "true or false", other)),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let wanted = "a whole number from 0 on";
        match self.map.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(found) => match found.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(count) => Ok(Some(count)),
                None if found.is_number() => {
                    Err(Error::invalid(format!("/{key}: {wanted} is expected, {found} was sent")))
                }
                None => Err(wrong_type(&format!("/{key}"), wanted, found)),
            },
        }
    }

    /// An array of texts; a text alone is an array of one.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>> {
        let items = match self.map.get(key) {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(items)) => items,
            Some(other) => return Err(wrong_type(&format!("/{key}"), "an array of texts", other)),
        };
        let one = |(i, item): (usize, &'a Json)| {
            item.as_str().ok_or_else(|| wrong_type(&format!("/{key}/{i}"), "a text", item))
        };
        items.iter().enumerate().map(one).collect()
    }
}
