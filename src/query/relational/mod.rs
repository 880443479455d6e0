//! SQL that asks more than one dataset goes `Relational → bind → sqlite::sandbox → Answer`: SQLite runs it over virtual
//! tables of the same data, with the same functions. What of it is a question about one dataset by itself the vector
//! engine answers first (`bind`).

mod bind;
mod from;
mod made;
mod part;
mod scope;
mod select;
pub mod tree;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::query::answer::{Answer, Stats};
use crate::query::budget::Budget;
use crate::query::columns;
use crate::query::language::Range;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::sqlite::sandbox::{self, Records, Sandbox};
use crate::query::sqlite::table::Table;
use crate::store::keyed::{lazy_table, table};
use crate::store::snapshot::{Dataset, Snapshot};

pub use bind::{Bound, Reference, bind};
use tree::Relational;

/// Answers a question on one snapshot.
///
/// # Errors
/// Names and types; what takes more than it may.
pub fn run(snapshot: &Snapshot, question: &Relational) -> Result<Answer> {
    let begin = Instant::now();
    let budget = Budget::new(&question.limits);
    let bound = bind(snapshot, question, &budget)?;
    let sandbox = connect(&bound, question, &budget)?;
    let (rows, _held) = sandbox.rows(&bound.sql)?;
    let columns = columns(bound.columns.iter().map(|column| (&column.name, column.kind)), &rows);
    let (rows_scanned, segments) = sandbox.looked_at();
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        rows_scanned: rows_scanned + bound.looked_at.0,
        segments: segments + bound.looked_at.1,
        cache: "miss",
        engine: "sqlite",
        approximate: bound.is_approximate,
        age: Duration::ZERO,
    };
    let (tz, range) = (question.calendar.tz.clone(), Range::default());
    Ok(Answer { columns, rows, next: None, stats, tz, series: None, range, previous: None })
}

/// A connection that has the tables of a statement and nothing else.
///
/// # Errors
/// Those of SQLite.
pub fn connect(bound: &Bound, question: &Relational, budget: &Arc<Budget>) -> Result<Sandbox> {
    let (mut tables, mut records) = (Vec::new(), Records::default());
    for (number, Reference { dataset, columns, .. }) in bound.references.iter().enumerate() {
        let name = format!("t{number}");
        match &dataset.keyed {
            None => tables.push(Table { name, dataset: Arc::clone(dataset), columns: columns.clone() }),
            Some(keyed) => {
                records.file = keyed.file()?;
                records.views.push((name, of_records(dataset, columns)?));
                records.tables.extend([table(dataset.id), lazy_table(dataset.id)]);
            }
        }
    }
    sandbox::open(tables, &records, &question.calendar, budget)
}

/// The columns of records that a statement asks for, as it calls them.
fn of_records(dataset: &Dataset, columns: &[Arc<str>]) -> Result<String> {
    let own = own_name(dataset);
    let column =
        |(at, name): (usize, &Arc<str>)| Ok(format!("{} AS c{at}", column(dataset, &own, name)?.sql));
    let mut list: Vec<String> = columns.iter().enumerate().map(column).collect::<Result<_>>()?;
    if list.is_empty() {
        // its rows are counted
        list.push("1".to_owned());
    }
    Ok(format!("SELECT {} FROM {}", list.join(", "), source(dataset, true)))
}

#[cfg(test)]
mod tests;
