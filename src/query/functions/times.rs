//! Functions of times, on the clock of the query's zone. A text that reads as a time counts as one; anything else
//! gives null. Called through the table in `functions`.

use jiff::Timestamp;
use jiff::Zoned;

use crate::error::{Error, Result, nearest};
use crate::time::{self, Bucket};
use crate::value::Value;

use super::{Context, check_text_length};

/// The instant in a value: a time, or a text that reads as one.
pub fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Time(us) => Some(*us),
        Value::Text(text) => time::parse(text),
        _ => None,
    }
}

pub(super) fn bucket_start(bucket: Bucket, value: &Value, context: &Context) -> Value {
    instant(value).map_or(Value::Null, |us| Value::Time(context.bucket_start(bucket, us)))
}

/// Buckets have one code for all of them; `Function::call` takes it and never comes here.
pub(super) fn no_bucket(_: &[Value], _: &Context) -> Result<Value> {
    Ok(Value::Null)
}

pub(super) fn date_trunc(arguments: &[Value], context: &Context) -> Result<Value> {
    let [unit, value] = arguments else { return Ok(Value::Null) };
    Ok(bucket_start(bucket_of(&unit.to_text())?, value, context))
}

/// The bucket of a unit as written, in any case and in the plural too.
pub(crate) fn bucket_of(unit: &str) -> Result<Bucket> {
    let lower = unit.to_lowercase();
    Bucket::from_name(&lower).or_else(|| Bucket::from_name(lower.strip_suffix('s')?)).ok_or_else(|| {
        Error::invalid(format!(
            "\"{unit}\" is no unit that times are cut to{}; units are minute, hour, day, week, month, quarter, year",
            nearest(unit, Bucket::ALL.iter().map(|(_, name)| *name))
        ))
    })
}

/// What can be read off a time. All are integers, as the one result type of `extract` must be.
type Part = (&'static str, &'static [&'static str], fn(&Zoned) -> i64);

static PARTS: [Part; 14] = [
    ("year", &["years"], |z| i64::from(z.year())),
    ("quarter", &["quarters"], |z| i64::from((z.month() - 1) / 3 + 1)),
    ("month", &["months"], |z| i64::from(z.month())),
    ("week", &["weeks"], |z| i64::from(z.date().iso_week_date().week())),
    ("isoyear", &[], |z| i64::from(z.date().iso_week_date().year())),
    ("day", &["days"], |z| i64::from(z.day())),
    ("doy", &["dayofyear"], |z| i64::from(z.day_of_year())),
    ("dow", &["dayofweek", "weekday"], |z| i64::from(z.weekday().to_sunday_zero_offset())),
    ("isodow", &[], |z| i64::from(z.weekday().to_monday_one_offset())),
    ("hour", &["hours"], |z| i64::from(z.hour())),
    ("minute", &["minutes"], |z| i64::from(z.minute())),
    ("second", &["seconds"], |z| i64::from(z.second())),
    ("epoch", &[], |z| z.timestamp().as_microsecond().div_euclid(1_000_000)),
    ("epoch_ms", &[], |z| z.timestamp().as_microsecond().div_euclid(1_000)),
];

fn part(name: &str) -> Option<&'static Part> {
    PARTS.iter().find(|(known, aliases, _)| {
        known.eq_ignore_ascii_case(name) || aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// The canonical name of a part that `extract` takes, or an error that says which there are.
pub(crate) fn part_name(name: &str) -> Result<&'static str> {
    part(name).map(|(known, _, _)| *known).ok_or_else(|| {
        let names: Vec<&str> = PARTS.iter().map(|(name, _, _)| *name).collect();
        Error::invalid(format!(
            "\"{name}\" is no part of a time{}; parts are {}",
            nearest(name, names.iter().copied()),
            names.join(", ")
        ))
    })
}

pub(super) fn extract(arguments: &[Value], context: &Context) -> Result<Value> {
    let [name, value] = arguments else { return Ok(Value::Null) };
    let name = part_name(&name.to_text())?;
    let (Some((_, _, read)), Some(zoned)) = (part(name), zoned(value, context)) else {
        return Ok(Value::Null);
    };
    Ok(Value::Int(read(&zoned)))
}

pub(super) fn epoch(arguments: &[Value], _: &Context) -> Result<Value> {
    let us = arguments.first().and_then(instant);
    Ok(us.map_or(Value::Null, |us| Value::finite(us as f64 / time::SECOND as f64)))
}

/// The format may stand first (SQLite) or second (DuckDB): it is the argument with a `%` in it.
pub(super) fn strftime(arguments: &[Value], context: &Context) -> Result<Value> {
    let [first, second] = arguments else { return Ok(Value::Null) };
    let is_format = |value: &Value| matches!(value, Value::Text(text) if text.contains('%'));
    let (format, value) =
        if is_format(first) || !is_format(second) { (first, second) } else { (second, first) };
    let format = format.to_text();
    // a directive writes some dozens of bytes at most
    check_text_length(format.len().saturating_mul(64))?;
    let Some(zoned) = zoned(value, context) else { return Ok(Value::Null) };
    jiff::fmt::strtime::format(format.as_bytes(), &zoned).map(Value::text).map_err(|error| {
        Error::invalid(format!(
            "the time format {:?} cannot be used: {error}; %Y-%m-%d %H:%M:%S is one that can",
            crate::query::matcher::shorten(&format)
        ))
    })
}

fn zoned(value: &Value, context: &Context) -> Option<Zoned> {
    Some(Timestamp::from_microsecond(instant(value)?).ok()?.to_zoned(context.calendar.tz.clone()))
}
