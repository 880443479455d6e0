//! Questions about records. They are the same language: a question is printed as SQLite's own SQL over the table of the
//! records, with the functions and aggregates of `query::sqlite`, so it means the same as over events. What one SELECT
//! cannot say (gaps to fill, periods to compare, sessions, sequences) is asked of the vector engine, over the columns that
//! it needs (`columns`). `query::run`, `query::page` and `relational` come here for datasets of records.

pub mod columns;
pub mod page;
pub mod reader;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::columnar::TIME;
use crate::error::Result;
use crate::limits;
use crate::query::answer::{Answer, Stats};
use crate::query::budget::{Budget, Held};
use crate::query::expression::{AggregateCall, AggregateFunction};
use crate::query::language::{Dialect, Query};
use crate::query::{columns as output_columns, execute, plan, print, series};
use crate::store::keyed::{is_lazy, table};
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
    if let Some(names) = columns_of(query, dataset, &plan)? {
        let reader = reader::open(dataset.keyed()?, &query.calendar, &budget)?;
        if goes_through_all(&reader, &sql, dataset)? {
            drop(reader);
            let (events, _held) = columns::some(dataset, &names, &budget)?;
            return over_columns(query, &events, &budget, begin);
        }
    }
    let reader = reader::open(dataset.keyed()?, &query.calendar, &budget)?;
    let (rows, _held) = reader.rows(&sql, &[])?;
    let columns = output_columns(plan.names.iter().zip(plan.types.iter().copied()), &rows);
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        // of all that there are; how many are there for the one who asks is not known
        rows_scanned: if dataset.within.is_none() { dataset.rows() } else { 0 },
        segments: 0,
        cache: "miss",
        engine: "sqlite",
        approximate: plan.is_approximate(),
        age: Duration::ZERO,
    };
    let series = series(query, &plan, &rows, &[]);
    Ok(Answer {
        columns,
        rows,
        next: None,
        stats,
        tz: query.calendar.tz.clone(),
        series,
        range: query.range,
        previous: None,
    })
}

/// The fields of a question that columns would answer sooner if SQLite had to go through all records: one that makes
/// groups of many records, and needs no lazy field and no number of a record.
fn columns_of(query: &Query, dataset: &Dataset, plan: &plan::Plan) -> Result<Option<Vec<Arc<str>>>> {
    // columns that are kept are of all records
    let has_columns = dataset.within.is_none() && dataset.rows() >= limits::COLUMNS_FROM_RECORDS;
    if !has_columns || !matches!(plan.shape, plan::Shape::Groups { .. }) {
        return Ok(None);
    }
    let resolved = plan::resolve(query, dataset)?;
    let mut names = Vec::new();
    let select = resolved.select.iter().map(|item| &item.expression);
    let order = resolved.order.iter().map(|order| &order.expression);
    let all = select.chain(&resolved.by).chain(&resolved.filter).chain(&resolved.having).chain(order);
    all.for_each(|e| plan::add_columns(e, &mut names));
    let plan::Shape::Groups { aggregates, .. } = &plan.shape else { return Ok(None) };
    let is_of_time =
        |call: &AggregateCall| matches!(call.function, AggregateFunction::First | AggregateFunction::Last);
    if aggregates.iter().any(is_of_time) && !names.iter().any(|name| **name == *TIME) {
        names.push(TIME.into());
    }
    let is_no_column = |name: &Arc<str>| **name == *"_seq" || is_lazy(dataset, name);
    // what names no field counts all records, which SQLite does without looking at them
    Ok((!names.is_empty() && !names.iter().any(is_no_column)).then_some(names))
}

/// Whether SQLite would look at every record; at every entry of an index, which is less, it may do so once.
fn goes_through_all(reader: &reader::Reader, sql: &str, dataset: &Dataset) -> Result<bool> {
    let scan = format!("SCAN {}", table(dataset.id));
    let plan = reader.plan(sql)?;
    let Some((_, line)) = plan.iter().find(|(_, line)| line.starts_with(&scan)) else { return Ok(false) };
    let keyed = dataset.keyed()?;
    Ok(!line.contains("COVERING INDEX") || keyed.derived.columns.is_asked_again(keyed.changes))
}

fn over_columns(query: &Query, events: &Dataset, budget: &Arc<Budget>, begin: Instant) -> Result<Answer> {
    let plan = plan::Plan { budget: Arc::clone(budget), ..plan::plan(query, events)? };
    let output = execute::execute(&plan, events, None)?;
    let columns = output_columns(plan.names.iter().zip(plan.types.iter().copied()), &output.rows);
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        rows_scanned: output.rows_scanned,
        segments: 0,
        cache: "miss",
        engine: "vector",
        approximate: plan.is_approximate(),
        age: Duration::ZERO,
    };
    let series = series(query, &plan, &output.rows, &output.gaps);
    let tz = query.calendar.tz.clone();
    Ok(Answer {
        columns,
        rows: output.rows,
        next: None,
        stats,
        tz,
        series,
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
