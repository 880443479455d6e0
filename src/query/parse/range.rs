//! `range`, `tz` and `week_start` of a JSON query: which span of time is meant, and on whose calendar. Called by `json`.

use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::query::language::Range;
use crate::time::{self, Calendar};

use super::json::{Object, at, wrong_type};

/// The calendar that the query is asked in.
pub(super) fn calendar(body: &Object<'_>) -> Result<Calendar> {
    let zone = Calendar::named(body.text("tz")?, None).map_err(|error| at("/tz", &error))?;
    let week = Calendar::named(None, body.text("week_start")?).map_err(|error| at("/week_start", &error))?;
    Ok(Calendar { tz: zone.tz, week_start: week.week_start })
}

/// The span of time: `{"from", "to"}`, `{"last"}`, or the words of `last` alone.
pub(super) fn range(body: &Object<'_>, calendar: &Calendar, now_us: i64) -> Result<Range> {
    let words = |words: &str, pointer: &str| -> Result<Range> {
        let period = calendar.period(words, now_us).map_err(|error| at(pointer, &error))?;
        Ok(Range::between(period.from, period.to, period.step))
    };
    let map = match body.map.get("range") {
        None | Some(Json::Null) => return Ok(Range::default()),
        Some(Json::Object(map)) => map,
        Some(Json::String(text)) => return words(text, "/range"),
        Some(other) => return Err(wrong_type("/range", "an object such as {\"last\": \"7d\"}", other)),
    };
    let range = Object { map, pointer: "/range".into() };
    range.check_keys(&["from", "to", "last"])?;
    let (from, to) = (instant(&range, "from", calendar)?, instant(&range, "to", calendar)?);
    if let Some(last) = range.text("last")? {
        if from.is_some() || to.is_some() {
            return Err(Error::invalid("/range: \"last\" stands alone; leave \"from\" and \"to\" out"));
        }
        return words(last, "/range/last");
    }
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Error::invalid("/range: \"from\" lies after \"to\"; swap them"))
        }
        (Some(from), Some(to)) => Ok(Range::between(from, to, calendar.step_between(from, to))),
        (from, to) => Ok(Range { from, to, step: None }),
    }
}

fn instant(range: &Object<'_>, key: &str, calendar: &Calendar) -> Result<Option<i64>> {
    let pointer = format!("{}/{key}", range.pointer);
    let wanted = "a time such as \"2026-01-31\" or \"2026-01-31T10:00:00Z\"";
    let read = match range.map.get(key) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::String(text)) => calendar.read(text.trim()).map_err(|error| at(&pointer, &error))?,
        Some(Json::Number(number)) => number.as_i64().and_then(time::from_integer),
        Some(other) => return Err(wrong_type(&pointer, wanted, other)),
    };
    match read {
        Some(us) => Ok(Some(us)),
        None => Err(Error::invalid(format!(
            "{pointer}: {} is not {wanted}",
            range.map.get(key).map(Json::to_string).unwrap_or_default()
        ))),
    }
}
