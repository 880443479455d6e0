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

/// What stands after FROM for the records of a dataset, which the statement then knows by [`own_name`]: those that are
/// there for the one who asks. Where a condition of the statement may fail it `goes_first`: SQLite may turn conditions of
/// one WHERE round as it likes, and a fault would tell of a record that is not there. A SELECT with a LIMIT is what it
/// neither takes into the one around it nor moves conditions into.
pub fn source(dataset: &Dataset, goes_first: bool) -> String {
    let own = own_name(dataset);
    match &dataset.within {
        None => own,
        Some(within) => {
            let limit = if goes_first { " LIMIT -1" } else { "" };
            format!("(SELECT * FROM {own} WHERE {}{limit}) AS {own}", within.sql)
        }
    }
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
