//! Some rows of one block as the columns that an expression names, with the engine's own `_seq` and `_id` among
//! them. What a filter left over is taken together first, so that everything after it works on dense columns.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::value::Value;

/// Columns by name, all of `rows` rows.
#[derive(Debug)]
pub struct View {
    /// Number of rows.
    pub rows: usize,
    columns: Vec<(Arc<str>, Arc<Column>)>,
}

impl View {
    /// The named columns of a block: of all rows, or of those given.
    pub fn new(dataset: &Dataset, source: &TailBlock, names: &[Arc<str>], rows: Option<&[u32]>) -> Self {
        let columns = names.iter().map(|name| {
            let whole = column(dataset, source, name);
            let column = match rows {
                Some(rows) => Arc::new(whole.take(rows)),
                None => whole,
            };
            (Arc::clone(name), column)
        });
        Self { rows: rows.map_or(source.block.rows(), <[u32]>::len), columns: columns.collect() }
    }

    /// Some of these rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        let columns =
            self.columns.iter().map(|(name, column)| (Arc::clone(name), Arc::new(column.take(rows))));
        Self { rows: rows.len(), columns: columns.collect() }
    }

    /// The column of a name; without any value where there is none.
    pub fn column(&self, name: &str) -> Arc<Column> {
        let found = self.columns.iter().find(|(n, _)| &**n == name);
        found.map_or_else(|| Arc::new(Column::null(self.rows)), |(_, column)| Arc::clone(column))
    }

    /// One cell.
    pub fn value(&self, name: &str, row: usize) -> Value {
        let found = self.columns.iter().find(|(n, _)| &**n == name);
        found.map_or(Value::Null, |(_, column)| column.get(row))
    }
}

/// A whole column of a block.
pub fn column(dataset: &Dataset, source: &TailBlock, name: &str) -> Arc<Column> {
    let rows = source.block.rows();
    match name {
        "_seq" => {
            let numbers: Vec<i64> = (0..rows as i64).map(|row| source.first_seq + row).collect();
            Arc::new(Column { rows, validity: None, data: Data::Int(Ints::from_values(&numbers)) })
        }
        "_id" => Arc::new(column_of((0..rows).map(|row| id_of(dataset, source, row)))),
        _ => source.block.column(name).cloned().unwrap_or_else(|| Arc::new(Column::null(rows))),
    }
}

/// `_id` of a row: the declared id field as text, what came as `_id`, else the sequence number.
pub fn id_of(dataset: &Dataset, source: &TailBlock, row: usize) -> Value {
    let cell = |name: &str| source.block.column(name).map(|c| c.get(row)).filter(|v| !v.is_null());
    let declared = dataset.declaration.id.as_deref().and_then(cell);
    match declared.or_else(|| cell("_id")) {
        Some(value) => Value::text(value.to_text()),
        None => Value::text((source.first_seq + row as i64).to_string()),
    }
}
