//! CAST: a value as another type, or null where it does not convert. `scalar` calls it, and the vector engine for
//! columns that it has no faster way for.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::fields::FieldType;
use crate::time;
use crate::value::{Value, whole};

/// The value as another type; what does not convert is null, never an error.
pub fn cast(value: &Value, to: FieldType) -> Value {
    if value.is_null() {
        return Value::Null;
    }
    let converted = match to {
        FieldType::Int => to_int(value).map(Value::Int),
        FieldType::Float => to_float(value).map(Value::finite),
        FieldType::Bool => to_bool(value).map(Value::Bool),
        FieldType::String => Some(Value::text(value.to_text())),
        FieldType::Time => to_time(value).map(Value::Time),
        FieldType::Strings => to_strings(value),
        FieldType::Json => to_json(value),
    };
    converted.unwrap_or(Value::Null)
}

/// Floats round half away from zero; beyond 64 bits there is no integer.
fn to_int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Int(i) | Value::Time(i) => Some(*i),
        Value::Float(f) => whole(f.round()),
        _ => {
            let text = value.as_str()?.trim();
            text.parse().ok().or_else(|| whole(text.parse::<f64>().ok()?.round()))
        }
    }
}

fn to_float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(i) => Some(*i != 0),
        Value::Float(f) => Some(*f != 0.0),
        Value::Text(text) => {
            let text = text.trim();
            let is_one_of = |names: [&str; 3]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
            match (is_one_of(["true", "t", "1"]), is_one_of(["false", "f", "0"])) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            }
        }
        _ => None,
    }
}

fn to_time(value: &Value) -> Option<i64> {
    match value {
        Value::Time(us) => Some(*us),
        Value::Int(i) => time::from_integer(*i),
        Value::Float(f) => time::from_number(*f),
        Value::Text(text) => time::parse(text.trim()),
        _ => None,
    }
}

/// The JSON text of a list of texts becomes that list, any other text the only entry of one.
fn to_strings(value: &Value) -> Option<Value> {
    match value {
        Value::List(_) => Some(value.clone()),
        _ => {
            let text = value.to_text();
            let items: Vec<Arc<str>> = match serde_json::from_str::<Vec<String>>(&text) {
                Ok(items) => items.into_iter().map(Arc::from).collect(),
                Err(_) => vec![Arc::from(text.as_ref())],
            };
            Some(Value::List(items.into()))
        }
    }
}

/// Text must be JSON already; other values become the JSON of themselves.
fn to_json(value: &Value) -> Option<Value> {
    match value {
        Value::Text(text) => {
            let text = text.trim();
            serde_json::from_str::<IgnoredAny>(text).ok().map(|_| Value::Json(Arc::from(text)))
        }
        _ => {
            let mut out = Vec::new();
            value.write_json(&mut out);
            String::from_utf8(out).ok().map(|text| Value::Json(text.into()))
        }
    }
}
