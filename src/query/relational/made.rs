//! Rows that were made on the way, as a dataset in memory, so that SQLite reads them as any other table.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::fields::FieldSet;
use crate::limits;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::value::Value;

/// A dataset of rows, each with so many values, and what its fields are called.
pub(super) fn dataset(name: &Arc<str>, width: usize, rows: &[Vec<Value>]) -> (Dataset, Vec<Arc<str>>) {
    let names: Vec<Arc<str>> = (0..width).map(|at| at.to_string().into()).collect();
    let mut fields = FieldSet::default();
    let mut tail = Vec::new();
    for (at, chunk) in rows.chunks(limits::TAIL_BLOCK_ROWS).enumerate() {
        let columns = names.iter().enumerate().map(|(at, name)| {
            let column = column_of(chunk.iter().map(|row| row.get(at).cloned().unwrap_or(Value::Null)));
            (Arc::clone(name), Arc::new(column))
        });
        let mut columns: Vec<_> = columns.collect();
        for (name, column) in &columns {
            fields.add(name, column.kinds());
        }
        // no one asks when they were, but every block of rows has times
        columns.push((TIME.into(), Arc::new(Column::times(&vec![0; chunk.len()]))));
        let first_seq = 1 + (at * limits::TAIL_BLOCK_ROWS) as i64;
        tail.push(TailBlock { first_seq, block: Arc::new(Block::new(chunk.len(), columns)) });
    }
    let dataset = Dataset {
        fields: Arc::new(fields),
        next_seq: 1 + rows.len() as i64,
        tail,
        ..Dataset::new(Arc::clone(name))
    };
    (dataset, names)
}
