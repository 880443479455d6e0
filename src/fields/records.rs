//! What is declared of records beyond the fields that events have too: their key, indexes, checks, fields that are
//! searched, relations to other datasets. Part of a [`Declaration`].

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::fields::{Declaration, FieldType, is_system};
use crate::limits;
use crate::time;
use crate::value::{Value, whole};

/// The version of a record, which goes up with every change of it.
pub const VERSION: &str = "_version";

/// An index: a second way to find records, in the order of some fields.
///
/// ```
/// use windrow::fields::records::Index;
///
/// let index: Index = serde_json::from_str(r#"{"fields": ["severity", "-added"]}"#).unwrap();
/// assert_eq!(index.columns(), [("severity", false), ("added", true)]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The fields in order; `-a` is descending. An index that has every field that a question names answers it alone.
    #[serde(deserialize_with = "one_or_many")]
    pub fields: Vec<String>,
    /// Only records for which this condition is true are in it.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// No two records are equal in all of its fields, unless one of these is null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
}

impl Index {
    /// The fields, and whether each is descending.
    pub fn columns(&self) -> Vec<(&str, bool)> {
        let column = |field: &'_ String| match field.strip_prefix('-') {
            Some(_) => (1, true),
            None => (0, false),
        };
        self.fields.iter().map(|field| (&field[column(field).0..], column(field).1)).collect()
    }
}

/// A field that is searched: `"title"`, `"title^3"` or `{"field": "title", "weight": 3}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenSearch")]
pub struct SearchField {
    /// The field.
    pub field: String,
    /// How much a word in it counts beside a word in a field of weight 1.
    pub weight: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSearch {
    Short(String),
    Long {
        field: String,
        #[serde(default = "one")]
        weight: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl From<WrittenSearch> for SearchField {
    fn from(written: WrittenSearch) -> Self {
        match written {
            WrittenSearch::Long { field, weight } => Self { field, weight },
            WrittenSearch::Short(text) => {
                let weighted = text.rsplit_once('^').and_then(|(field, weight)| {
                    Some(Self { field: field.to_owned(), weight: weight.parse().ok()? })
                });
                weighted.unwrap_or(Self { field: text, weight: 1.0 })
            }
        }
    }
}

/// How records belong to those of another dataset. Exactly one of `many` and `one` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The dataset of the many that belong to this record: their fields `by` are its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<String>,
    /// The dataset of the one that this record belongs to: its own fields `by` are the key there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one: Option<String>,
    /// The fields that name the key, in its order.
    #[serde(deserialize_with = "one_or_many")]
    pub by: Vec<String>,
}

impl Relation {
    /// The dataset on the other side.
    pub fn dataset(&self) -> &str {
        self.many.as_deref().or(self.one.as_deref()).unwrap_or_default()
    }

    /// Whether many records belong to one of this dataset.
    pub fn is_many(&self) -> bool {
        self.many.is_some()
    }
}

/// A default as a value of the type of its field; `None` where it is of another.
pub fn stored_default(default: &serde_json::Value, kind: Option<FieldType>) -> Option<Value> {
    use serde_json::Value as Json;
    match (default, kind) {
        (Json::Bool(b), None | Some(FieldType::Bool)) => Some(Value::Bool(*b)),
        (Json::Number(n), Some(FieldType::Int)) => n.as_i64().or_else(|| whole(n.as_f64()?)).map(Value::Int),
        (Json::Number(n), None | Some(FieldType::Float)) => {
            n.as_i64().map(Value::Int).or_else(|| n.as_f64().map(Value::Float))
        }
        (Json::Number(n), Some(FieldType::Time)) => time::from_integer(n.as_i64()?).map(Value::Time),
        (Json::String(text), Some(FieldType::Time)) => time::parse(text).map(Value::Time),
        (Json::String(text), None | Some(FieldType::String)) => Some(Value::text(text.as_str())),
        _ => None,
    }
}

/// A text, or a list of texts.
pub(super) fn one_or_many<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(one) => vec![one],
        Written::Many(many) => many,
    })
}

impl Declaration {
    /// What can be told of the record parts without the records.
    pub(super) fn check_records(&self) -> Result<()> {
        if !self.is_records() {
            let parts = [
                ("key", self.key.is_empty()),
                ("indexes", self.indexes.is_empty()),
                ("checks", self.checks.is_empty()),
                ("relations", self.relations.is_empty()),
                ("lazy", !self.fields.values().any(|field| field.lazy)),
            ];
            if let Some((part, _)) = parts.iter().find(|(_, is_empty)| !is_empty) {
                return Err(Error::invalid(format!(
                    "\"{part}\" is for records; declare \"kind\": \"records\" too, or leave it out"
                )));
            }
        } else {
            self.check_parts()?;
        }
        self.check_search()
    }

    fn check_parts(&self) -> Result<()> {
        if self.key.is_empty() {
            return Err(Error::invalid(
                "records need a key: the field that tells one from another, as in \"key\": [\"id\"]",
            ));
        }
        let events_only = [
            ("id", self.id.is_some()),
            ("dedupe", self.dedupe.is_some()),
            ("retention", self.retention.is_some()),
        ];
        if let Some((part, _)) = events_only.iter().find(|(_, is_there)| *is_there) {
            return Err(Error::invalid(format!(
                "\"{part}\" is for events; records have a key, and are deleted by a condition"
            )));
        }
        names_once("key", self.key.iter().map(String::as_str))?;
        for name in self.key.iter().chain(self.fields.keys()) {
            if is_system(name) || name == VERSION {
                return Err(Error::invalid(format!("\"{name}\" is the engine's own; name another field")));
            }
        }
        for (name, field) in &self.fields {
            if let (Some(kind), Some(default)) = (field.kind, &field.default)
                && stored_default(default, Some(kind)).is_none()
            {
                return Err(Error::invalid(format!(
                    "the default {default} of \"{name}\" is no {kind}, of which it is"
                )));
            }
        }
        if let Some(name) = self.key.iter().find(|name| self.fields.get(*name).is_some_and(|f| f.lazy)) {
            return Err(Error::invalid(format!("\"{name}\" is in the key, so it cannot be lazy")));
        }
        self.indexes.iter().try_for_each(|index| self.check_index(index))?;
        self.relations.iter().try_for_each(|(name, relation)| check_relation(name, relation))
    }

    fn check_index(&self, index: &Index) -> Result<()> {
        let columns = index.columns();
        if columns.is_empty() || columns.iter().any(|(name, _)| name.is_empty()) {
            return Err(Error::invalid(
                "an index names one field or several, as in {\"fields\": [\"severity\", \"-added\"]}",
            ));
        }
        if columns.len() > limits::INDEX_FIELDS {
            return Err(Error::invalid(format!(
                "an index has {} fields at most, this one has {}",
                limits::INDEX_FIELDS,
                columns.len()
            )));
        }
        names_once("an index", columns.iter().map(|(name, _)| *name))?;
        match columns.iter().find(|(name, _)| self.fields.get(*name).is_some_and(|field| field.lazy)) {
            None => Ok(()),
            Some((name, _)) => Err(Error::invalid(format!(
                "\"{name}\" is lazy, so no index can have it; search finds words in it, or declare it without \"lazy\""
            ))),
        }
    }

    fn check_search(&self) -> Result<()> {
        names_once("search", self.search.iter().map(|search| search.field.as_str()))?;
        for SearchField { field, weight } in &self.search {
            if !weight.is_finite() || *weight < 0.0 {
                return Err(Error::invalid(format!(
                    "the weight of \"{field}\" is {weight}; a weight is a number from 0 on, 1 without it"
                )));
            }
        }
        Ok(())
    }
}

fn names_once<'a>(part: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut known: Vec<&str> = Vec::new();
    for name in names {
        if known.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Error::invalid(format!("{part} names \"{name}\" twice")));
        }
        known.push(name);
    }
    Ok(())
}

fn check_relation(name: &str, relation: &Relation) -> Result<()> {
    let wrong = |what: &str| {
        Err(Error::invalid(format!(
            "the relation \"{name}\" {what}; write {{\"many\": \"results\", \"by\": \"query_id\"}} for those that belong to a \
             record, {{\"one\": \"authors\", \"by\": \"author_id\"}} for the one that it belongs to"
        )))
    };
    match (&relation.many, &relation.one) {
        (Some(_), Some(_)) => return wrong("is both \"many\" and \"one\""),
        (None, None) => return wrong("names no dataset"),
        _ => {}
    }
    if relation.by.is_empty() || relation.by.iter().any(String::is_empty) {
        return wrong("names no field in \"by\"");
    }
    if name.is_empty() || name.contains(['.', ',']) {
        return wrong("has a name with a dot or a comma, which stand between names in include=");
    }
    super::check_dataset_name(relation.dataset())
}
