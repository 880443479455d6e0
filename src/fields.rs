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
