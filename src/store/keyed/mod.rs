//! Records: things with a key that are put, changed and deleted. Each dataset of them is a table of SQLite's, and this is
//! its definition.
//!
//! | name, for the dataset with the id 12 | what it is |
//! |---|---|
//! | `r12` | a STRICT table: `_seq` (its rowid, never used twice), `_time`, `_version`, then a column a field, in the forms of `store::values` |
//! | `r12_key` | the unique index of the key |
//! | `r12_time` | where `_time` is taken from a field: an index of it, for pages in the order of time |
//! | `r12(a, b DESC) where …` | a declared index, named by what it is |
//! | `r12_lazy` | `_seq` and the lazy fields, where there are any |
//! | `r12_text` | FTS5 without content over the searched fields, its rowid is `_seq`; `r12_words` are its words |
//!
//! What must hold:
//! 1. Columns are named as fields. SQLite does not tell names apart that differ in the case of ASCII letters alone, so a
//!    dataset has no two such fields.
//! 2. A declared field has values of its type or null, which decoding sees to. Every column is one of any type: with another
//!    SQLite would convert what it is compared with, so that 7 were '7'.
//! 3. `r12`, `r12_lazy`, `r12_text` and `dataset.records` change in one transaction.
//! 4. `_version` is 1 at first and goes up with every change; a record that is put as it is keeps it.
//!
//! `tables` makes and changes them, `write` puts and deletes, `readers` has the connections that read.

pub mod generation;
pub mod readers;
mod row;
pub mod statements;
pub mod tables;
pub mod write;

use crate::store::snapshot::Dataset;

pub use readers::Keyed;

/// The table of a dataset's records.
pub fn table(id: i64) -> String {
    format!("r{id}")
}

/// The table of its lazy fields.
pub fn lazy_table(id: i64) -> String {
    format!("r{id}_lazy")
}

/// Its full-text index.
pub fn text_table(id: i64) -> String {
    format!("r{id}_text")
}

/// The words of its full-text index.
pub fn words_table(id: i64) -> String {
    format!("r{id}_words")
}

/// A name as an identifier of SQLite's.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether a field is kept apart.
pub fn is_lazy(dataset: &Dataset, field: &str) -> bool {
    dataset.declaration.fields.get(field).is_some_and(|field| field.lazy)
}
