//! Pages of rows by cursor: any page costs the same at any depth, and rows added meanwhile move nothing.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::store::snapshot::Snapshot;
use crate::value::Value;

/// What a page is asked with; texts as the client sent them.
#[derive(Debug, Default, Clone)]
pub struct PageRequest {
    /// The dataset.
    pub dataset: String,
    /// Rows that count: a SQL expression.
    pub filter: Option<String>,
    /// `-a,b`: descending by a, then ascending by b.
    pub order: Option<String>,
    /// Exactly these fields, in this order.
    pub fields: Option<Vec<String>>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether all matching rows are to be counted.
    pub count: bool,
    /// Page number from 1, where page numbers are wanted instead of cursors.
    pub page: Option<usize>,
}

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows as names and values. With `fields` every row has all of them; else nulls are left out.
    pub rows: Vec<Vec<(Arc<str>, Value)>>,
    /// Cursor of the page after this one.
    pub next: Option<String>,
    /// Cursor of the page before this one.
    pub prev: Option<String>,
    /// All matching rows, where they were to be counted.
    pub total: Option<u64>,
}

/// Reads one page. `secret` signs the cursors.
///
/// # Errors
/// Unknown dataset or field, a limit above [`crate::limits::PAGE_ROWS`], a cursor that is altered or of another query.
pub fn page(_snapshot: &Snapshot, _secret: &[u8; 32], _request: &PageRequest) -> Result<Page> {
    Err(Error::Internal("pages come next".into()))
}
