//! JSON records to rows: nested objects flatten to dotted names, every number keeps its exact value. Values are
//! taken as raw text first, so that integers beyond 64 bits and arrays come through as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::columnar::builder::{Cell, FieldId};
use crate::ingest::rows::Rows;
use crate::limits;

/// Reads one record and ends its row: kept, or rejected with the reason.
pub fn record(raw: &[u8], place: u64, rows: &mut Rows<'_>) {
    match read(raw, rows) {
        Ok(()) => {
            rows.end_row(place);
        }
        Err(reason) => rows.reject_row(place, reason),
    }
}

fn read(raw: &[u8], rows: &mut Rows<'_>) -> Result<(), String> {
    if raw.len() > limits::RECORD_BYTES {
        return Err(format!("the record has {} bytes, more than {}", raw.len(), limits::RECORD_BYTES));
    }
    let text = std::str::from_utf8(raw)
        .map_err(|e| format!("byte {} is not UTF-8; send the text as UTF-8", e.valid_up_to() + 1))?;
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        let start: String = text.chars().take(20).collect();
        return Err(format!("an event is a JSON object, this is {start}"));
    }
    let mut prefix = String::new();
    object(text, &mut prefix, 1, rows)
}

/// Reads the fields of an object; `prefix` is the dotted path to it, with its dot.
fn object(text: &str, prefix: &mut String, depth: usize, rows: &mut Rows<'_>) -> Result<(), String> {
    if depth > limits::NESTING {
        return Err(format!("objects are nested more than {} levels deep", limits::NESTING));
    }
    let mut reason = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let outcome = Fields { prefix, depth, rows, reason: &mut reason }.deserialize(&mut deserializer);
    let outcome = outcome.and_then(|()| deserializer.end());
    match (reason, outcome) {
        (Some(reason), _) => Err(reason),
        (None, Err(e)) => Err(syntax(&e)),
        (None, Ok(())) => Ok(()),
    }
}

/// serde_json's reason with its place in front.
fn syntax(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    if what.contains("hex escape") || what.contains("surrogate") {
        return format!(
            "half of a surrogate pair (\\ud800 to \\udfff alone) is no character, at column {}",
            error.column()
        );
    }
    if what.contains("recursion limit") {
        return format!("arrays and objects are nested too deep, at column {}", error.column());
    }
    format!("this is not JSON: {what} at column {}", error.column())
}

struct Fields<'a, 'r> {
    prefix: &'a mut String,
    depth: usize,
    rows: &'a mut Rows<'r>,
    /// Why the row is to be rejected, where it is not the syntax.
    reason: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let base = self.prefix.len();
        loop {
            self.prefix.truncate(base);
            if map.next_key_seed(AppendKey(self.prefix))?.is_none() {
                return Ok(());
            }
            let raw: &'de RawValue = map.next_value()?;
            if let Err(reason) = field(raw.get(), self.prefix, self.depth, self.rows) {
                *self.reason = Some(reason);
                return Err(de::Error::custom("rejected"));
            }
        }
    }
}

/// Reads a key onto the end of the path without an allocation of its own.
struct AppendKey<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for AppendKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AppendKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<(), E> {
        self.0.push_str(key);
        Ok(())
    }
}

/// One value of a field, as raw JSON that is known to be well-formed.
fn field(raw: &str, path: &mut String, depth: usize, rows: &mut Rows<'_>) -> Result<(), String> {
    let id = rows.name(path)?;
    if raw.starts_with('"') && rows.holds_json(id) {
        let text = string(raw, path)?;
        return embedded(&text, id, path, rows);
    }
    value(raw, id, path, depth, rows)
}

/// The text of a named field that is JSON itself: taken as if it had been nested there.
///
/// # Errors
/// The reason for which the row has to be rejected.
pub fn embedded(text: &str, id: FieldId, path: &str, rows: &mut Rows<'_>) -> Result<(), String> {
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|e| format!("in the text of \"{path}\": {}", syntax(&e)))?;
    value(raw.get(), id, &mut path.to_owned(), 1, rows)
}

/// One value of a field that is named already.
fn value(raw: &str, id: FieldId, path: &mut String, depth: usize, rows: &mut Rows<'_>) -> Result<(), String> {
    match raw.as_bytes().first() {
        Some(b'n') => Ok(()),
        Some(b't') => rows.set(id, path, Cell::Bool(true)),
        Some(b'f') => rows.set(id, path, Cell::Bool(false)),
        Some(b'"') => {
            let text = string(raw, path)?;
            rows.set(id, path, Cell::Text(&text))
        }
        Some(b'{') => {
            if raw[1..].trim_ascii_start().starts_with('}') {
                return rows.set(id, path, Cell::Json("{}"));
            }
            path.push('.');
            object(raw, path, depth + 1, rows)
        }
        Some(b'[') => array(raw, id, path, rows),
        _ => number(raw, id, path, rows),
    }
}

/// The text of a JSON string; without escapes it is borrowed.
fn string<'a>(raw: &'a str, path: &str) -> Result<Cow<'a, str>, String> {
    let inner = raw.get(1..raw.len() - 1).unwrap_or("");
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).map(Cow::Owned).map_err(|e| format!("in \"{path}\": {}", syntax(&e)))
}

fn number(raw: &str, id: FieldId, path: &str, rows: &mut Rows<'_>) -> Result<(), String> {
    if raw.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
        return match raw.parse::<f64>() {
            Ok(number) if number.is_finite() => rows.set(id, path, Cell::Float(number)),
            _ => Err(format!("the number in \"{path}\" is too large for a 64-bit float; send it as text")),
        };
    }
    match raw.parse::<i64>() {
        Ok(number) => rows.set(id, path, Cell::Int(number)),
        Err(_) => rows.set(id, path, Cell::Json(raw)),
    }
}

/// A list of texts, or JSON where anything else is in it.
fn array(raw: &str, id: FieldId, path: &str, rows: &mut Rows<'_>) -> Result<(), String> {
    if let Ok(Texts(items)) = serde_json::from_str(raw) {
        let items: Vec<&str> = items.iter().map(|item| &**item).collect();
        return rows.set(id, path, Cell::List(&items));
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    Strict.deserialize(&mut deserializer).map_err(|e| format!("in \"{path}\": {}", syntax(&e)))?;
    rows.set(id, path, Cell::Json(&compact(raw)))
}

struct Texts<'a>(Vec<Cow<'a, str>>);

impl<'de> de::Deserialize<'de> for Texts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
        let items: Vec<Text<'de>> = de::Deserialize::deserialize(deserializer)?;
        Ok(Self(items.into_iter().map(|item| item.0).collect()))
    }
}

/// Checks what skipping does not: pairs of surrogates, ranges of numbers, keys that are there twice.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strict)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(Strict)?;
            if !seen.insert(key) {
                return Err(de::Error::custom("duplicate field"));
            }
        }
        Ok(())
    }
}

/// JSON without the white space between its tokens, so that equal arrays are equal texts.
fn compact(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|b| b.is_ascii_whitespace()) {
        return Cow::Borrowed(raw);
    }
    let (mut in_string, mut escaped) = (false, false);
    let kept = raw.chars().filter(|c| {
        if in_string {
            match (escaped, c) {
                (true, _) => escaped = false,
                (false, '\\') => escaped = true,
                (false, '"') => in_string = false,
                _ => {}
            }
            return true;
        }
        in_string = *c == '"';
        !c.is_ascii_whitespace()
    });
    Cow::Owned(kept.collect())
}
