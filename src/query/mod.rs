//! Questions and answers: `parse → Query → plan → execute`.

pub mod answer;
pub mod expression;
pub mod format;
pub mod functions;
pub mod language;
pub mod page;
pub mod parse;

use crate::error::{Error, Result};
use crate::query::answer::Answer;
use crate::query::language::Query;
use crate::store::snapshot::Snapshot;

/// Answers a question on one snapshot.
///
/// # Errors
/// Unknown names, wrong types, limits.
pub fn run(_snapshot: &Snapshot, _query: &Query) -> Result<Answer> {
    Err(Error::Internal("answers come next".into()))
}
