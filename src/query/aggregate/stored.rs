//! States as tables of columns, the form in which they outlive the process. Each state writes itself as some tables and is
//! read back from them; what is read is trusted no further than that it fits: anything else is none.

use std::sync::Arc;

use crate::columnar::Block;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::query::kept::{block_of, columns_of};

/// Columns of equally many rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// Number of rows.
    pub rows: usize,
    /// The columns in their order.
    pub columns: Vec<Arc<Column>>,
}

impl Table {
    /// A table of columns that all have so many rows.
    pub fn new(rows: usize, columns: Vec<Column>) -> Self {
        Self { rows, columns: columns.into_iter().map(Arc::new).collect() }
    }

    /// A column by its place.
    pub fn column(&self, at: usize) -> Option<&Column> {
        self.columns.get(at).map(|column| &**column)
    }

    /// A column of whole numbers without gaps.
    pub fn ints(&self, at: usize) -> Option<Vec<i64>> {
        match self.column(at)? {
            Column { data: Data::Int(ints), validity: None, .. } => Some(ints.to_vec()),
            _ => None,
        }
    }

    /// The same of numbers that are not below 0.
    pub fn counts(&self, at: usize) -> Option<Vec<u64>> {
        self.ints(at)?.into_iter().map(|count| u64::try_from(count).ok()).collect()
    }

    /// The same of slots below a bound.
    pub fn slots(&self, at: usize, bound: usize) -> Option<Vec<u32>> {
        let slot = |slot: i64| u32::try_from(slot).ok().filter(|slot| (*slot as usize) < bound);
        self.ints(at)?.into_iter().map(slot).collect()
    }

    /// A column of floats without gaps.
    pub fn floats(&self, at: usize) -> Option<Vec<f64>> {
        match self.column(at)? {
            Column { data: Data::Float { values, whole: None }, validity: None, .. } => Some(values.clone()),
            _ => None,
        }
    }
}

/// A column of whole numbers.
pub fn ints(values: impl Iterator<Item = i64>) -> Column {
    let values: Vec<i64> = values.collect();
    Column { rows: values.len(), validity: None, data: Data::Int(Ints::from_values(&values)) }
}

/// A column of counts.
pub fn counts(values: impl Iterator<Item = u64>) -> Column {
    ints(values.map(u64::cast_signed))
}

/// A column of floats.
pub fn floats(values: impl Iterator<Item = f64>) -> Column {
    let values: Vec<f64> = values.collect();
    Column { rows: values.len(), validity: None, data: Data::Float { values, whole: None } }
}

/// Writes tables one after the other, each with its length.
pub fn write(tables: &[Table], out: &mut Vec<u8>) -> Option<()> {
    out.extend(u32::try_from(tables.len()).ok()?.to_le_bytes());
    for table in tables {
        let columns = table.columns.iter().map(|column| Column::clone(column));
        let bytes = block_of(table.rows, columns).encode().ok()?;
        out.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
        out.extend(bytes);
    }
    Some(())
}

/// Reads what [`write()`] wrote from the beginning of some bytes.
pub fn read(bytes: &mut &[u8]) -> Option<Vec<Table>> {
    let count = number(bytes)?;
    let mut tables = Vec::new();
    for _ in 0..count {
        let length = number(bytes)?;
        let (block, rest) = bytes.split_at_checked(length as usize)?;
        *bytes = rest;
        let block = Block::decode(block).ok()?;
        tables.push(Table { rows: block.rows(), columns: columns_of(&block) });
    }
    Some(tables)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}
