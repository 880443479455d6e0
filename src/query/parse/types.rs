//! The names of types in SQL. Called by `expression` for CAST and for typed constants.

use sqlparser::ast::DataType;

use crate::error::{Error, Result, nearest};
use crate::fields::FieldType;
use crate::query::matcher::shorten;

/// The types that CAST knows, by the names of SQLite, PostgreSQL, DuckDB and our own.
const TYPES: [(FieldType, &[&str]); 7] = [
    (
        FieldType::Int,
        &[
            "int", "integer", "bigint", "smallint", "tinyint", "int2", "int4", "int8", "int16", "int32",
            "int64", "signed",
        ],
    ),
    (
        FieldType::Float,
        &[
            "float",
            "double",
            "double precision",
            "real",
            "float4",
            "float8",
            "float32",
            "float64",
            "numeric",
            "decimal",
        ],
    ),
    (FieldType::Bool, &["bool", "boolean"]),
    (FieldType::String, &["string", "text", "varchar", "char", "character varying", "character"]),
    (
        FieldType::Time,
        &[
            "time",
            "timestamp",
            "datetime",
            "timestamptz",
            "timestamp with time zone",
            "timestamp without time zone",
        ],
    ),
    (FieldType::Strings, &["strings", "text[]", "varchar[]"]),
    (FieldType::Json, &["json", "jsonb"]),
];

/// The type of a name in SQL, or an error that says which there are.
pub(super) fn field_type(data_type: &DataType) -> Result<FieldType> {
    let name = shorten(&data_type.to_string()).to_lowercase();
    TYPES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(to, _)| *to).ok_or_else(|| {
        let known = TYPES.iter().flat_map(|(_, names)| names.iter().copied());
        let hint = nearest(&name, known);
        Error::invalid(format!(
            "there is no type {}{hint}; types are int, float, bool, string, time, date, strings, json, without a length",
            name.to_uppercase()
        ))
    })
}
