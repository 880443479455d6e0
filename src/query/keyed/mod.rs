//! Questions about records. They are the same language: a question is printed as SQLite's own SQL over the table of the
//! records, with the functions and aggregates of `query::sqlite`, so it means the same as over events. What one SELECT
//! cannot say (gaps to fill, periods to compare, sessions, sequences) is asked of the vector engine, over the columns that
//! it needs (`columns`). `query::run`, `query::page` and `relational` come here for datasets of records.

pub mod columns;
pub mod page;
pub mod reader;

use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::query::answer::{Answer, Stats};
use crate::query::budget::{Budget, Held};
use crate::query::language::{Dialect, Query};
use crate::query::{columns as output_columns, plan, print};
use crate::store::snapshot::Dataset;

/// Whether a question about records can be one SELECT.
pub fn is_one_select(query: &Query) -> bool {
    !query.fill && !query.compare && query.sessions.is_none()
}

/// Answers a question about one dataset of records.
///
/// # Errors
/// As [`run`](crate::query::run).
pub fn run(dataset: &Dataset, query: &Query) -> Result<Answer> {
    let begin = Instant::now();
    let budget = Budget::new(&query.limits);
    let plan = plan::plan(query, dataset)?;
    let sql = print::query(query, dataset, Dialect::Sqlite)?;
    let reader = reader::open(dataset.keyed()?, &query.calendar, &budget)?;
    let (rows, _held) = reader.rows(&sql, &[])?;
    let columns = output_columns(plan.names.iter().zip(plan.types.iter().copied()), &rows);
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        rows_scanned: dataset.rows(),
        segments: 0,
        cache: "miss",
        engine: "sqlite",
        approximate: plan.is_approximate(),
    };
    Ok(Answer {
        columns,
        rows,
        next: None,
        stats,
        tz: query.calendar.tz.clone(),
        series: None,
        range: query.range,
        previous: None,
    })
}

/// A dataset as the vector engine knows it: one of events as it is, the records of one with columns in memory, and the
/// memory that these hold.
///
/// # Errors
/// Those of reading, and more memory than the question may take.
pub fn as_events(dataset: &Arc<Dataset>, budget: &Arc<Budget>) -> Result<(Arc<Dataset>, Option<Held>)> {
    if dataset.keyed.is_none() {
        return Ok((Arc::clone(dataset), None));
    }
    let (events, held) = columns::dataset(dataset, budget)?;
    Ok((Arc::new(events), Some(held)))
}
