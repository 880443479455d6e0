//! The JSON of `POST /v1/funnel`, `/v1/retention` and `/v1/paths`, and what stands for sessions in a query: `"sessions"`
//! in JSON, `FROM sessions(…)` in SQL. Called by `json` and `sql`, and from outside by [`sequence`].

use sqlparser::ast::{Expr as Tree, FunctionArg, FunctionArgExpr, TableFunctionArgs};

use serde_json::Value as Json;

use crate::error::{Error, Result, nearest};
use crate::limits;
use crate::query::budget::Limits;
use crate::query::expression::Expr;
use crate::query::language::Item;
use crate::query::sequences::funnel::Funnel;
use crate::query::sequences::paths::{Anchor, Paths, Side};
use crate::query::sequences::retention::{Period, Retention};
use crate::query::sequences::sessions::{GAP_US, Sessions};
use crate::query::sequences::{Analysis, Events, Kind, Sequence};
use crate::time::{Bucket, parse_duration};
use crate::value::Value;

use super::expression::{Place, Reader};
use super::json::{Object, at, object, wrong_type};
use super::range;

/// What is a duration, for errors.
const DURATION: &str = "a whole number above 0 and a unit, as in 30s, 5m, 2h, 7d, 4w";

/// Reads the JSON of a sequence analysis; `now_us` is what `{"last": "7d"}` counts back from.
///
/// ```
/// use windrow::query::sequences::Kind;
/// let body = br#"{"from": "events", "by": "user_id", "steps": ["name = 'view' as viewed", "name = 'buy'"], "within": "7d"}"#;
/// let question = windrow::query::parse::sequence(Kind::Funnel, body, 0)?;
/// assert_eq!(question.events.by.to_string(), "user_id");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn sequence(kind: Kind, body: &[u8], now_us: i64) -> Result<Sequence> {
    let (example, keys): (&str, &[&str]) = match kind {
        Kind::Funnel => ("\"steps\": [\"name = 'view'\", \"name = 'buy'\"]", &["steps", "within", "strict"]),
        Kind::Retention => {
            ("\"period\": \"7d\", \"range\": {\"last\": \"8w\"}", &["period", "start", "return"])
        }
        Kind::Paths => {
            ("\"step\": \"path\", \"depth\": 3", &["step", "depth", "after", "before", "collapse", "limit"])
        }
    };
    let what = format!(
        "a {} is a JSON object, as in {{\"from\": \"events\", \"by\": \"user_id\", {example}}}",
        kind.name()
    );
    let map = object(body, &what)?;
    let body = Object { map: &map, pointer: String::new() };
    let common = ["from", "by", "where", "range", "tz", "week_start", "cache"];
    body.check_keys(&[&common[..2], keys, &common[2..]].concat())?;
    let calendar = range::calendar(&body)?;
    let events = Events {
        from: needed(&body, "from", "name the dataset, as in \"from\": \"events\"")?.to_owned(),
        by: expression(&body, "by")?.ok_or_else(|| {
            missing(&body, "by", "say whose events follow each other, as in \"by\": \"user_id\"")
        })?,
        filter: condition(&body, "where")?,
        range: range::range(&body, &calendar, now_us)?,
        now: now_us,
        calendar,
        cache: body.stored()?,
        limits: Limits::default(),
    };
    let analysis = match kind {
        Kind::Funnel => Analysis::Funnel(funnel(&body)?),
        Kind::Retention => Analysis::Retention(retention(&body)?),
        Kind::Paths => Analysis::Paths(paths(&body)?),
    };
    Ok(Sequence { events, analysis })
}

fn funnel(body: &Object<'_>) -> Result<Funnel> {
    let texts = body.texts("steps")?;
    if texts.is_empty() {
        return Err(missing(
            body,
            "steps",
            "list its conditions, as in \"steps\": [\"name = 'view'\", \"name = 'buy'\"]",
        ));
    }
    if texts.len() > limits::FUNNEL_STEPS {
        let (steps, most) = (texts.len(), limits::FUNNEL_STEPS);
        return Err(Error::invalid(format!("/steps: {steps} steps; {most} is the limit")));
    }
    let step = |(i, text): (usize, &&str)| item(text).map_err(|error| at(&format!("/steps/{i}"), &error));
    Ok(Funnel {
        steps: texts.iter().enumerate().map(step).collect::<Result<_>>()?,
        within_us: duration(body, "within")?,
        strict: body.flag("strict")?.unwrap_or(false),
    })
}

fn retention(body: &Object<'_>) -> Result<Retention> {
    let advice = "say how long one is, as in \"period\": \"7d\" or \"period\": \"week\"";
    let text = needed(body, "period", advice)?;
    let period = match (Bucket::from_name(text), parse_duration(text)) {
        (Some(bucket), _) => Period::Calendar(bucket),
        (None, Some(length @ 1..)) => Period::Every(length),
        _ => {
            let names = Bucket::ALL.map(|(_, name)| name);
            return Err(Error::invalid(format!(
                "/period: \"{text}\" is no period{}; write {DURATION}, or one of {}",
                nearest(text, names.into_iter()),
                names.join(", ")
            )));
        }
    };
    Ok(Retention { period, start: condition(body, "start")?, returns: condition(body, "return")? })
}

fn paths(body: &Object<'_>) -> Result<Paths> {
    let step = expression(body, "step")?;
    let step =
        step.ok_or_else(|| missing(body, "step", "say what a step is called, as in \"step\": \"path\""))?;
    let anchor = |side, key| Ok(condition(body, key)?.map(|condition| Anchor { side, condition }));
    let anchor = match (anchor(Side::After, "after")?, anchor(Side::Before, "before")?) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "/before: paths lie after an event or before one; leave \"after\" or \"before\" out",
            ));
        }
        (after, before) => after.or(before),
    };
    let between = |key: &str, most: usize| match body.count(key)? {
        Some(count) if count == 0 || count > most => Err(Error::invalid(format!(
            "/{key}: a whole number from 1 to {most} is expected, {count} was sent"
        ))),
        count => Ok(count),
    };
    let depth = between("depth", limits::PATH_DEPTH)?;
    let depth = depth
        .ok_or_else(|| missing(body, "depth", "say how many steps a path has at most, as in \"depth\": 3"))?;
    Ok(Paths {
        step,
        anchor,
        depth,
        collapse: body.flag("collapse")?.unwrap_or(false),
        limit: between("limit", limits::ANSWER_ROWS)?.unwrap_or(limits::PATHS_DEFAULT),
    })
}

/// `"sessions"` beside `"from"`.
pub(super) fn sessions(body: &Object<'_>) -> Result<Option<Sessions>> {
    let map = match body.map.get("sessions") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Object(map)) => map,
        Some(other) => {
            return Err(wrong_type(
                "/sessions",
                "an object such as {\"by\": \"user_id\", \"gap\": \"30m\"}",
                other,
            ));
        }
    };
    let body = Object { map, pointer: "/sessions".into() };
    body.check_keys(&["by", "gap", "page", "where"])?;
    let advice = "say whose events make a session, as in \"by\": \"user_id\"";
    let by = item(needed(&body, "by", advice)?).map_err(|error| at("/sessions/by", &error))?;
    let gap_us = duration(&body, "gap")?.unwrap_or(GAP_US);
    Ok(Some(Sessions { by, gap_us, page: expression(&body, "page")?, filter: condition(&body, "where")? }))
}

/// How sessions are written in SQL.
const SHAPE: &str = "sessions are written as sessions(dataset, by), sessions(dataset, by, '30m'), sessions(dataset, by, '30m', \
                     page) or sessions(dataset, by, '30m', page, condition)";

/// The dataset that `sessions(dataset, …)` is of.
pub(super) fn sessions_dataset(arguments: &TableFunctionArgs) -> Result<String> {
    match expressions(arguments)?.first() {
        Some(Tree::Identifier(name)) => Ok(name.value.clone()),
        _ => Err(Error::invalid(format!("the first argument of sessions is the name of a dataset; {SHAPE}"))),
    }
}

/// What `sessions(dataset, by, gap, page, condition)` says after the dataset.
pub(super) fn sessions_table(reader: &mut Reader<'_>, arguments: &TableFunctionArgs) -> Result<Sessions> {
    let trees = expressions(arguments)?;
    let (by, rest) = match trees.get(1..) {
        Some([by, rest @ ..]) if rest.len() <= 3 => (*by, rest),
        _ => return Err(Error::invalid(SHAPE)),
    };
    let mut read = |tree: &Tree| match reader.read(tree, Place::Condition)? {
        Expr::Literal(Value::Null) => Ok(None),
        other => Ok(Some(other)),
    };
    let by = read(by)?.ok_or_else(|| Error::invalid(SHAPE))?;
    let name = match &by {
        Expr::Column(name) => name.clone(),
        other => other.to_string(),
    };
    let mut rest = rest.iter().map(|tree| read(tree));
    let mut next = || rest.next().transpose().map(Option::flatten);
    let gap_us = match next()? {
        None => GAP_US,
        Some(Expr::Literal(Value::Text(text))) if parse_duration(&text).is_some_and(|us| us > 0) => {
            parse_duration(&text).unwrap_or(GAP_US)
        }
        Some(other) => {
            return Err(Error::invalid(format!("{other} is no gap; write {DURATION}, in single quotes")));
        }
    };
    Ok(Sessions { by: Item { expression: by, name }, gap_us, page: next()?, filter: next()? })
}

fn expressions(arguments: &TableFunctionArgs) -> Result<Vec<&Tree>> {
    let one = |argument| match argument {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref tree)) => Ok(tree),
        _ => Err(Error::invalid(SHAPE)),
    };
    match &arguments.settings {
        None => arguments.args.iter().map(one).collect(),
        Some(_) => Err(Error::invalid(SHAPE)),
    }
}

fn missing(body: &Object<'_>, key: &str, advice: &str) -> Error {
    Error::invalid(format!("{}/{key}: it is missing; {advice}", body.pointer))
}

fn needed<'a>(body: &Object<'a>, key: &str, advice: &str) -> Result<&'a str> {
    body.text(key)?.ok_or_else(|| missing(body, key, advice))
}

fn item(text: &str) -> Result<Item> {
    let item = super::item(text)?;
    check_of_one_event(&item.expression)?;
    Ok(item)
}

fn check_of_one_event(expression: &Expr) -> Result<()> {
    let mut explodes = false;
    expression.walk(&mut |part| explodes |= matches!(part, Expr::Call(f, _) if f.is_explode()));
    let what = match (expression.has_aggregate(), explodes) {
        (true, _) => "an aggregate",
        (_, true) => "a key of groups",
        _ => return Ok(()),
    };
    Err(Error::invalid(format!("{expression} is {what}, and one value an event is needed")))
}

fn expression(body: &Object<'_>, key: &str) -> Result<Option<Expr>> {
    let read = |text| {
        let expression = super::expression(text)?;
        check_of_one_event(&expression).map(|()| expression)
    };
    body.text(key)?.map(read).transpose().map_err(|error| at(&format!("{}/{key}", body.pointer), &error))
}

fn condition(body: &Object<'_>, key: &str) -> Result<Option<Expr>> {
    let read = body.text(key)?.map(super::filter).transpose();
    read.map_err(|error| at(&format!("{}/{key}", body.pointer), &error))
}

fn duration(body: &Object<'_>, key: &str) -> Result<Option<i64>> {
    let Some(text) = body.text(key)? else { return Ok(None) };
    match parse_duration(text) {
        Some(us @ 1..) => Ok(Some(us)),
        _ => Err(Error::invalid(format!(
            "{}/{key}: \"{text}\" is no duration; write {DURATION}",
            body.pointer
        ))),
    }
}

#[cfg(test)]
mod tests;
