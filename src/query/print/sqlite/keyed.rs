//! The columns of a table of records (`store::keyed`) as SQL: its own, `_id`, which is made of the key, and lazy ones, which
//! are looked up where they are named. Printing of queries, pages and joins of records ask it.

use crate::error::Result;
use crate::fields::FieldType;
use crate::query::plan::field_kinds;
use crate::query::print::kinds::of_field;
use crate::store::keyed::{is_lazy, lazy_table, table};
use crate::store::snapshot::Dataset;

use super::{Printed, quoted};

/// What the table of a dataset is called where nothing else is said.
pub fn own_name(dataset: &Dataset) -> String {
    table(dataset.id)
}

/// A column of records, of the table that is called `of` in the statement.
///
/// # Errors
/// A name that SQLite cannot read.
pub fn column(dataset: &Dataset, of: &str, name: &str) -> Result<Printed> {
    let kinds = of_field(field_kinds(name, dataset));
    if name == "_id" {
        return Ok(Printed::value(id(dataset, of)?, kinds));
    }
    let column = quoted(name)?;
    Ok(Printed::value(
        match is_lazy(dataset, name) {
            true => {
                format!("(SELECT {column} FROM {} AS l WHERE l._seq = {of}._seq)", lazy_table(dataset.id))
            }
            false => format!("{of}.{column}"),
        },
        kinds,
    ))
}

/// The key as a text; several parts stand with commas between them.
fn id(dataset: &Dataset, of: &str) -> Result<String> {
    let part = |name: &String| {
        let is_text = dataset.declaration.fields.get(name).is_some_and(|f| f.kind == Some(FieldType::String));
        let column = format!("{of}.{}", quoted(name)?);
        Ok(if is_text { column } else { format!("cast_string({column})") })
    };
    let parts = dataset.declaration.key.iter().map(part).collect::<Result<Vec<_>>>()?;
    Ok(match parts.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join(" || ',' || ")),
    })
}
