//! What a dataset knows of its fields: their types, and what was declared. One definition for every room.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

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
