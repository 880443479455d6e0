//! What a dataset knows of its fields: their types, and what was declared. One definition for every room.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fields::records::{Index, Relation, SearchField};
use crate::time::{DAY, parse_duration};

pub mod records;

/// The type of a field, in the contract's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// 64-bit whole numbers.
    Int,
    /// 64-bit floats; a whole number in such a field comes back whole.
    Float,
    /// true, false.
    Bool,
    /// UTF-8 text.
    String,
    /// An instant, µs UTC.
    Time,
    /// A list of texts.
    Strings,
    /// JSON that no other type holds.
    Json,
}

impl FieldType {
    /// Every type with its name.
    pub const ALL: [(FieldType, &'static str); 7] = [
        (Self::Int, "int"),
        (Self::Float, "float"),
        (Self::Bool, "bool"),
        (Self::String, "string"),
        (Self::Time, "time"),
        (Self::Strings, "strings"),
        (Self::Json, "json"),
    ];

    /// The contract's name of the type.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(t, _)| *t == self).map_or("json", |(_, name)| name)
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FieldType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(t, _)| *t).ok_or_else(|| {
            Error::invalid(format!(
                "\"{name}\" is no field type{}; types are int, float, bool, string, time, strings, json",
                crate::error::nearest(name, Self::ALL.iter().map(|(_, n)| *n))
            ))
        })
    }
}

/// The set of value types a field has held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// A set of one type.
    pub fn of(kind: FieldType) -> Self {
        Self(1 << (kind as u8))
    }

    /// The set from its stored bits; unknown bits are dropped.
    pub fn from_bits(bits: i64) -> Self {
        Self((bits & 0x7f) as u8)
    }

    /// The stored bits.
    pub fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// Both sets together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the type is in the set.
    pub fn has(self, kind: FieldType) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The types in the set, in the contract's order.
    pub fn iter(self) -> impl Iterator<Item = FieldType> {
        FieldType::ALL.into_iter().map(|(t, _)| t).filter(move |t| self.has(*t))
    }

    /// The one type that describes the field: the only one, `float` for whole and broken numbers, else `None` for
    /// a field that is mixed (or empty).
    pub fn single(self) -> Option<FieldType> {
        let numbers = Self::of(FieldType::Int).with(Self::of(FieldType::Float));
        if self == numbers {
            return Some(FieldType::Float);
        }
        let mut kinds = self.iter();
        kinds.next().filter(|_| kinds.next().is_none())
    }
}

/// What `PUT /v1/datasets/{d}` declares. Everything is optional; an undeclared dataset has the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Declaration {
    /// Events that are appended, or records that have a key and change.
    pub kind: DatasetKind,
    /// Declared fields by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldDeclaration>,
    /// The field whose value is the event's `_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The field that `_time` is taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// How long events are kept, by their `_time`: `30s 5m 2h 7d 4w`; without it for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// For how long the id of an event is remembered, so that a second one is left out: a duration, or `all`; without
    /// it every event is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<String>,
    /// Undeclared fields and values of another type are rejected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// Fields that are searched for words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<SearchField>,
    /// The fields that tell one record from another.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "records::one_or_many")]
    pub key: Vec<String>,
    /// Conditions that hold for every record, or are null.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "records::one_or_many")]
    pub checks: Vec<String>,
    /// Indexes beside that of the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Index>,
    /// How records belong to those of other datasets, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub relations: BTreeMap<String, Relation>,
}

/// What `dedupe` says where ids are never forgotten.
const REMEMBER_ALL: &str = "all";

/// What a dataset holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// Appended, never changed.
    #[default]
    Events,
    /// Found by a key, changed, deleted.
    Records,
}

/// What is declared of one field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldDeclaration {
    /// Its type; values that convert without loss are converted.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FieldType>,
    /// Rows without it are rejected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Taken where a row has no value: a number, text or bool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Kept apart from the other fields of a record, and read only where it is asked for: for long texts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lazy: bool,
}

impl Declaration {
    /// Reads the JSON of a declaration.
    ///
    /// # Errors
    /// Unknown names and types, with what is known; parts that this version does not carry out are refused rather
    /// than forgotten.
    ///
    /// ```
    /// let declared = windrow::fields::Declaration::from_json(br#"{"fields": {"n": {"type": "int"}}}"#).unwrap();
    /// assert!(declared.fields.contains_key("n"));
    /// ```
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let value: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|e| Error::invalid(format!("the declaration is not JSON: {e}")))?;
        if !value.is_object() {
            return Err(Error::invalid(
                "a declaration is a JSON object, as in {\"fields\": {\"n\": {\"type\": \"int\"}}}",
            ));
        }
        if value.get("sort").is_some_and(|part| !part.is_null()) {
            return Err(Error::invalid(
                "this version does not carry out \"sort\"; leave it out, or declare an index of records in that order",
            ));
        }
        let declared: Self = serde_json::from_value(value)
            .map_err(|e| Error::invalid(format!("the declaration is wrong: {e}")))?;
        declared.check()?;
        Ok(declared)
    }

    /// How long events are kept, µs; `None`: for ever.
    pub fn retention_us(&self) -> Option<i64> {
        self.retention.as_deref().and_then(parse_duration)
    }

    /// Of the ids that arrived before this day none is a duplicate any more; `None`: none ever is. Days count from 1970.
    pub fn remembered_from(&self, today: i64) -> Option<i64> {
        let dedupe = self.dedupe.as_deref()?;
        if dedupe == REMEMBER_ALL {
            return Some(i64::MIN);
        }
        // up to a whole day: the hour of an arrival is not kept
        let days = (parse_duration(dedupe)? - 1).div_euclid(DAY) + 1;
        Some(today.saturating_sub(days))
    }

    fn check_dedupe(&self) -> Result<(), Error> {
        match &self.dedupe {
            Some(window) if window != REMEMBER_ALL && parse_duration(window).is_none_or(|us| us <= 0) => {
                Err(Error::invalid(format!(
                    "dedupe \"{window}\" is no duration; write a whole number and a unit, as in 30s, 5m, 2h, 7d, 4w, or \"all\""
                )))
            }
            _ => Ok(()),
        }
    }

    /// Reads the TOML of a declaration, which has the same parts.
    ///
    /// # Errors
    /// As [`Declaration::from_json`].
    ///
    /// ```
    /// let declared = windrow::fields::Declaration::from_toml("kind = 'records'\nkey = ['id']").unwrap();
    /// assert_eq!(declared.key, ["id"]);
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let value: toml::Value = toml::from_str(text).map_err(|e| {
            Error::invalid(format!("the declaration is not TOML: {}", e.to_string().trim_end()))
        })?;
        let json = serde_json::to_vec(&value)
            .map_err(|e| Error::invalid(format!("the declaration has a value that JSON has not: {e}")))?;
        Self::from_json(&json)
    }

    /// Whether it is of records.
    pub fn is_records(&self) -> bool {
        self.kind == DatasetKind::Records
    }

    fn check(&self) -> Result<(), Error> {
        self.check_dedupe()?;
        self.check_records()?;
        if let Some(retention) =
            self.retention.as_ref().filter(|_| self.retention_us().is_none_or(|us| us <= 0))
        {
            return Err(Error::invalid(format!(
                "retention \"{retention}\" is no duration; write a whole number and a unit, as in 30s, 5m, 2h, 7d, 4w"
            )));
        }
        // the engine gives these their values itself: a second one in a row would spoil the row's block
        let taken = |name: &String| {
            Error::invalid(format!(
                "\"{name}\" is the engine's own column and has no declaration; declare the field of the events that it comes from with \"id\" or \"time\""
            ))
        };
        if let Some(name) = self.fields.keys().find(|name| is_system(name)) {
            return Err(taken(name));
        }
        if let Some(name) = self.id.iter().find(|name| is_system(name)) {
            return Err(taken(name));
        }
        if let Some(name) = self.time.iter().find(|name| is_system(name)) {
            return Err(taken(name));
        }
        for (name, field) in &self.fields {
            if name.is_empty() || name.len() > crate::limits::FIELD_NAME_BYTES {
                return Err(Error::invalid(format!(
                    "a field name has 1 to {} bytes, \"{name}\" has {}",
                    crate::limits::FIELD_NAME_BYTES,
                    name.len()
                )));
            }
            if field.default.as_ref().is_some_and(|d| d.is_object() || d.is_array() || d.is_null()) {
                return Err(Error::invalid(format!(
                    "the default of \"{name}\" has to be a number, a text or a bool"
                )));
            }
        }
        let time_type = self.time.as_ref().and_then(|t| self.fields.get(t)).and_then(|f| f.kind);
        if time_type.is_some_and(|t| t != FieldType::Time) {
            return Err(Error::invalid("the time field cannot be declared as of another type than \"time\""));
        }
        Ok(())
    }
}

/// The fields that a dataset has seen, in the order of their first appearance.
#[derive(Debug, Clone, Default)]
pub struct FieldSet {
    order: Vec<(Arc<str>, Kinds)>,
    index: HashMap<Arc<str>, usize>,
}

impl FieldSet {
    /// Adds kinds to a field, made when it is new; true where that says something new.
    pub fn add(&mut self, name: &Arc<str>, kinds: Kinds) -> bool {
        match self.index.get(name) {
            Some(at) => {
                let known = &mut self.order[*at].1;
                let more = known.with(kinds);
                std::mem::replace(known, more) != more
            }
            None => {
                self.index.insert(Arc::clone(name), self.order.len());
                self.order.push((Arc::clone(name), kinds));
                true
            }
        }
    }

    /// Sets the kinds of a field that is there.
    pub fn replace(&mut self, name: &str, kinds: Kinds) {
        if let Some(at) = self.index.get(name) {
            self.order[*at].1 = kinds;
        }
    }

    /// The name of a field as all share it.
    pub fn name(&self, name: &str) -> Option<&Arc<str>> {
        self.index.get_key_value(name).map(|(name, _)| name)
    }

    /// The kinds a field has held; `None`: never seen.
    pub fn kinds(&self, name: &str) -> Option<Kinds> {
        self.index.get(name).map(|at| self.order[*at].1)
    }

    /// Its place in the order.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Kinds)> {
        self.order.iter().map(|(name, kinds)| (name, *kinds))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The field meant by a name: exactly that, else the only one that differs in the case of ASCII letters alone.
    pub fn resolve(&self, name: &str) -> Option<&Arc<str>> {
        if let Some(at) = self.index.get(name) {
            return Some(&self.order[*at].0);
        }
        let mut alike = self.order.iter().map(|(n, _)| n).filter(|n| n.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    }
}

/// Whether a name is one of the engine's own columns.
pub fn is_system(name: &str) -> bool {
    matches!(name, "_time" | "_seq" | "_id")
}

/// Checks a dataset name: `[a-z][a-z0-9_]{0,62}`; a leading `_` is the engine's own.
///
/// # Errors
/// Any other name, with the rule.
pub fn check_dataset_name(name: &str) -> Result<(), Error> {
    let rest_fits = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && rest_fits && name.len() <= 63 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "\"{name}\" is no dataset name; it begins with a-z, goes on with a-z, 0-9 and _, and has at most 63 characters"
    )))
}

/// Refuses to change what the engine keeps for itself, such as its audit log.
///
/// # Errors
/// A name that begins with `_`.
pub fn check_is_no_own(name: &str) -> Result<(), Error> {
    match name.starts_with('_') {
        true => Err(Error::invalid(format!(
            "\"{name}\" is the engine's own dataset, which is read and not changed; what is older than its retention goes by \
             itself"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_its_window_at_least() {
        let from = |dedupe: &str| {
            let json = serde_json::json!({ "dedupe": dedupe }).to_string();
            Declaration::from_json(json.as_bytes()).expect(dedupe).remembered_from(100)
        };
        // what arrived in the last minute of day 99 is 5 minutes old in the first ones of day 100
        assert_eq!([from("30s"), from("5m"), from("24h"), from("1d")], [Some(99); 4]);
        assert_eq!([from("25h"), from("7d"), from("4w")], [Some(98), Some(93), Some(72)]);
        assert_eq!(from("all"), Some(i64::MIN));
        assert_eq!(Declaration::default().remembered_from(100), None);
        for wrong in ["0d", "7", "d", "-1d", "All", "1.5h", ""] {
            let json = serde_json::json!({ "dedupe": wrong }).to_string();
            let told = Declaration::from_json(json.as_bytes()).expect_err(wrong).to_string();
            assert!(told.contains("7d") && told.contains("all"), "{told}");
        }
    }

    #[test]
    fn the_engines_own_columns_cannot_be_declared() {
        for json in [
            r#"{"id": "_time"}"#,
            r#"{"id": "_seq"}"#,
            r#"{"time": "_seq"}"#,
            r#"{"fields": {"_time": {"default": "2020-01-01"}}}"#,
            r#"{"fields": {"_id": {"required": true}}}"#,
        ] {
            let told = Declaration::from_json(json.as_bytes()).expect_err(json).to_string();
            assert!(told.contains("the engine's own"), "{json}: {told}");
        }
    }
}
