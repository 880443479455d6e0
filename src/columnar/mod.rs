//! Columns as bytes and in memory; pure, without SQLite. This header is the definition of the stored block.
//!
//! # The block, version 1
//!
//! A block holds some rows of one dataset: the payload of a log row. All numbers are little-endian.
//!
//! ```text
//! block    := magic "WRB" | version u8 = 1 | flags u8 | checksum u64 | size u32 | body
//!             flags bit 0: body is lz4; `size` is the body's size when inflated
//!             checksum: xxh3-64 of version, flags, size and the stored body
//! body     := rows u32 | columns u32 | column*            sorted by name, names distinct
//! column   := name text | typed
//! typed    := kind u8 | has_validity u8 | [words u64 * ceil(rows/64)] | data
//!             kind: 1 int  2 float  3 bool  4 string  5 time  6 strings  7 json  8 mixed  9 same as column n
//! int,time := base i64 | max i64 | narrow(rows)
//! float    := has_whole u8 | [words] | f64 * rows
//! bool     := words
//! string,json := texts(rows)
//! strings  := u32 * rows (ends) | texts(ends[last])
//! mixed    := parts u8 | typed*                           in a row at most one part has a value
//! same     := n u32                                       an earlier column with equal contents
//! texts(n) := entries u32 | u32 * entries (ends) | bytes | narrow(n)
//! narrow(n):= width u8 (1, 2, 4, 8) | width * n bytes
//! text     := length u32 | bytes
//! ```
//!
//! What must hold, and is checked when a block is read:
//! 1. The checksum is right, every length lies within the body, and nothing follows the last column.
//! 2. Dictionaries are sorted by bytes, distinct, UTF-8; every code is below the number of entries.
//! 3. Ends of lists rise; bits beyond the last row are 0; `base` to `max` spans every value of an int.
//! 4. `_time` is there, of kind 5, with a value in every row. `_seq` is never stored: it is the block's first
//!    sequence number plus the row.

pub mod bitmap;
pub mod builder;
pub mod column;
pub mod concat;
mod decode;
mod encode;
pub mod kernels;
pub mod narrow;
pub mod segment;
pub mod text;

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::error::Result;

/// Name of the column that every block of events has: the time of the event.
pub const TIME: &str = "_time";

/// Some rows as columns, sorted by name.
#[derive(Debug, Clone, Default)]
pub struct Block {
    rows: usize,
    columns: Vec<(Arc<str>, Arc<Column>)>,
    /// See [`Block::bytes`]: asked for with every commit, of every block of a tail.
    bytes: usize,
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        (self.rows, &self.columns) == (other.rows, &other.columns)
    }
}

impl Block {
    /// A block of columns that all have `rows` rows and distinct names.
    pub fn new(rows: usize, mut columns: Vec<(Arc<str>, Arc<Column>)>) -> Self {
        columns.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Self::of_sorted(rows, columns)
    }

    fn of_sorted(rows: usize, columns: Vec<(Arc<str>, Arc<Column>)>) -> Self {
        let bytes = columns.iter().map(|(name, column)| name.len() + column.bytes()).sum();
        Self { rows, columns, bytes }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All columns by name.
    pub fn columns(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Column>)> {
        self.columns.iter().map(|(name, column)| (name, column))
    }

    /// The column of a name; `None`: no row has a value there.
    pub fn column(&self, name: &str) -> Option<&Arc<Column>> {
        self.columns.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| &self.columns[at].1)
    }

    /// Some rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        let columns =
            self.columns.iter().map(|(name, column)| (Arc::clone(name), Arc::new(column.take(rows))));
        Self::of_sorted(rows.len(), columns.collect())
    }

    /// Adds or replaces a column of the same number of rows.
    pub fn set_column(&mut self, name: Arc<str>, column: Arc<Column>) {
        match self.columns.binary_search_by(|(n, _)| n.cmp(&name)) {
            Ok(at) => {
                self.bytes = self.bytes + column.bytes() - self.columns[at].1.bytes();
                self.columns[at].1 = column;
            }
            Err(at) => {
                self.bytes += name.len() + column.bytes();
                self.columns.insert(at, (name, column));
            }
        }
    }

    /// Smallest and largest `_time`, µs: bounds that no row lies outside.
    pub fn time_range(&self) -> (i64, i64) {
        match self.column(TIME).map(|c| &c.data) {
            Some(Data::Time(times)) => (times.min(), times.max()),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The stored form.
    ///
    /// # Errors
    /// A block above 1 GiB.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode::block(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Corrupt` where the bytes break a rule of this module's header.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode::block(bytes)
    }
}

#[cfg(test)]
mod tests;
