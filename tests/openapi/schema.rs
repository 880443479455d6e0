//! JSON Schema as far as the document goes: values are checked against it, and a keyword that is not known here fails the
//! test instead of being passed over. `tests/programs/schemathesis.sh` checks the same with a validator of others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use regex::Regex;
use serde_json::Value;

/// Keywords that say nothing of a value.
const TELLING: [&str; 4] = ["description", "default", "example", "examples"];

/// What is wrong with a value, with the place; nothing where it is as the schema says.
pub fn faults(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, said) in schema.as_object().unwrap_or_else(|| panic!("{place}: no schema: {schema}")) {
        let inner = |schema: &Value, value: &Value, step: &str| {
            faults(document, schema, value, &format!("{place}/{step}"))
        };
        match keyword.as_str() {
            telling if TELLING.contains(&telling) => {}
            "additionalProperties" | "required" | "properties" => {
                found.extend(of_object(document, keyword, schema, value, place));
            }
            "$ref" => {
                let pointer = said.as_str().unwrap().strip_prefix('#').unwrap();
                let target = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
                found.extend(inner(target, value, ""));
            }
            "allOf" => found.extend(said.as_array().unwrap().iter().flat_map(|one| inner(one, value, ""))),
            "oneOf" => {
                let fitting = said.as_array().unwrap().iter().filter(|one| inner(one, value, "").is_empty());
                let count = fitting.count();
                if count != 1 {
                    found.push(format!("{place}: {value} fits {count} of {said}"));
                }
            }
            "type" => {
                let fits = match said {
                    Value::String(name) => is_of(value, name),
                    many => many.as_array().unwrap().iter().any(|name| is_of(value, name.as_str().unwrap())),
                };
                if !fits {
                    found.push(format!("{place}: {value} is no {said}"));
                }
            }
            "enum" if !said.as_array().unwrap().contains(value) => {
                found.push(format!("{place}: {value} is none of {said}"));
            }
            "const" if said != value => found.push(format!("{place}: {value} is not {said}")),
            "enum" | "const" => {}
            "items" => {
                let items = value.as_array().into_iter().flatten().enumerate();
                found.extend(items.flat_map(|(at, item)| inner(said, item, &at.to_string())));
            }
            "format" => found.extend(of_format(said, value, place)),
            _ => found.extend(of_bounds(keyword, said, value, place)),
        }
    }
    found
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of JSON Schema"),
    }
}

fn of_object(document: &Value, keyword: &str, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let said = &schema[keyword];
    match keyword {
        "required" => {
            let missing =
                said.as_array().unwrap().iter().filter(|n| !object.contains_key(n.as_str().unwrap()));
            missing.map(|name| format!("{place}: {name} is missing")).collect()
        }
        "properties" => {
            let there = said
                .as_object()
                .unwrap()
                .iter()
                .filter_map(|(name, inner)| Some((name, inner, object.get(name)?)));
            there
                .flat_map(|(name, inner, value)| faults(document, inner, value, &format!("{place}/{name}")))
                .collect()
        }
        _ => {
            let others = object.iter().filter(|(name, _)| schema["properties"].get(name).is_none());
            let fault = |(name, value): (&String, &Value)| match said {
                Value::Bool(true) => Vec::new(),
                Value::Bool(false) => vec![format!("{place}: {name} is not in the document")],
                schema => faults(document, schema, value, &format!("{place}/{name}")),
            };
            others.flat_map(fault).collect()
        }
    }
}

fn of_format(said: &Value, value: &Value, place: &str) -> Vec<String> {
    let Some(text) = value.as_str() else { return Vec::new() };
    let fits = match said.as_str().unwrap() {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()),
        other => panic!("the format {other} is not known here"),
    };
    (!fits).then(|| format!("{place}: {text} is no {said}")).into_iter().collect()
}

fn of_bounds(keyword: &str, said: &Value, value: &Value, place: &str) -> Vec<String> {
    let number = || said.as_f64().unwrap_or_else(|| panic!("{keyword} is a number, not {said}"));
    let length = |length: Option<usize>| length.map(|length| length as f64);
    let fits = match keyword {
        "minimum" => value.as_f64().is_none_or(|n| n >= number()),
        "maximum" => value.as_f64().is_none_or(|n| n <= number()),
        "minLength" => length(value.as_str().map(|text| text.chars().count())).is_none_or(|n| n >= number()),
        "maxLength" => length(value.as_str().map(|text| text.chars().count())).is_none_or(|n| n <= number()),
        "minItems" => length(value.as_array().map(Vec::len)).is_none_or(|n| n >= number()),
        "maxItems" => length(value.as_array().map(Vec::len)).is_none_or(|n| n <= number()),
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(said.as_str().unwrap()).unwrap().is_match(text))
        }
        other => panic!("{place}: the keyword {other} is not known here"),
    };
    (!fits).then(|| format!("{place}: {value} against {keyword} {said}")).into_iter().collect()
}

#[test]
fn what_does_not_fit_is_found() {
    let document = serde_json::json!({"components": {"schemas": {"A": {"type": "integer", "minimum": 1}}}});
    let schema = serde_json::json!({"type": "object", "required": ["a"], "additionalProperties": false, "properties": {
        "a": {"$ref": "#/components/schemas/A"}, "b": {"type": ["string", "null"], "pattern": "^x"},
        "c": {"type": "array", "maxItems": 2, "items": {"enum": ["p", "q"]}}, "d": {"type": "string", "format": "date-time"},
        "e": {"oneOf": [{"type": "string"}, {"const": "both"}]}}});
    let count = |text: &str| faults(&document, &schema, &serde_json::from_str(text).unwrap(), "").len();
    assert_eq!(count(r#"{"a": 1, "b": null, "c": ["p", "q"], "d": "2026-01-01T00:00:00Z", "e": "one"}"#), 0);
    for wrong in [
        "[]",
        "{}",
        r#"{"a": 0}"#,
        r#"{"a": 1.5}"#,
        r#"{"a": 1, "b": "y"}"#,
        r#"{"a": 1, "b": 1}"#,
        r#"{"a": 1, "c": ["p", "q", "p"]}"#,
        r#"{"a": 1, "c": ["r"]}"#,
        r#"{"a": 1, "d": "today"}"#,
        r#"{"a": 1, "e": "both"}"#,
        r#"{"a": 1, "f": 1}"#,
    ] {
        assert_eq!(count(wrong), 1, "{wrong}");
    }
}
