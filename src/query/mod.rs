//! Questions and answers: `parse → Query → plan → execute → Answer`; [`run`] shows the whole path. What one question about
//! one dataset cannot ask goes `parse → Relational → relational → Answer`; [`answer()`] tells them apart. Rows by page go
//! `PageRequest → page`, over the same expressions and blocks.

pub mod aggregate;
pub mod answer;
pub mod budget;
pub mod cast;
pub mod codes;
pub mod compare;
pub mod cursor;
pub mod describe;
pub mod earliest;
pub mod entries;
pub mod erase;
pub mod execute;
pub mod explain;
pub mod explode;
pub mod export;
pub mod expression;
pub mod filter;
pub mod finish;
pub mod format;
pub mod functions;
pub mod group;
pub mod intern;
pub mod kept;
pub mod key_table;
pub mod keyed;
pub mod language;
pub mod matcher;
pub mod measures;
pub mod needs;
pub mod page;
pub mod parse;
pub mod partial;
pub mod partition;
pub mod pieces;
pub mod place;
pub mod plan;
pub mod print;
pub mod prune;
pub mod reach;
pub mod relational;
pub mod rule;
pub mod scalar;
pub mod seek;
pub mod sequences;
pub mod series;
pub mod sketch;
pub mod slots;
pub mod sort;
pub mod sqlite;
pub mod vector;
pub mod view;
pub mod warm;
pub mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::fields::{FieldType, Kinds};
use crate::query::answer::{Answer, AnswerColumn, Stats};
use crate::query::budget::Budget;
use crate::query::execute::Output;
use crate::query::kept::Asked;
use crate::query::language::{Query, Question, Range, Statement};
use crate::query::plan::{Plan, type_of_value};
use crate::query::sequences::sessions;
use crate::store::snapshot::Snapshot;
use crate::value::Value;

/// Answers one statement on one snapshot, or tells how it would be answered.
///
/// # Errors
/// As [`run`].
pub fn answer(snapshot: &Snapshot, statement: &Statement) -> Result<Answer> {
    match (&statement.explain, &statement.question) {
        (Some(explain), question) => explain::explain(snapshot, question, *explain),
        (None, question) => {
            let compute = || match question {
                Question::Plain(query) => run(snapshot, query),
                Question::Relational(relational) => relational::run(snapshot, relational),
            };
            let again = || -> Box<dyn FnOnce() + Send> {
                let (snapshot, statement) = (snapshot.clone(), statement.clone().cached(kept::ANEW));
                Box::new(move || drop(answer(&snapshot, &statement)))
            };
            kept::answer(snapshot, &Asked::question(question), compute, again)
        }
    }
}

/// Answers a question about one dataset.
///
/// # Errors
/// `NotFound` for a dataset, `Invalid` for names and types, `TooLarge` for answers beyond the limits, `OverBudget` for what
/// takes more than it may.
pub fn run(snapshot: &Snapshot, query: &Query) -> Result<Answer> {
    let begin = Instant::now();
    let dataset = query.limits.reach.dataset(snapshot, &query.from)?;
    if dataset.keyed.is_some() && keyed::is_one_select(query) {
        return keyed::run(&dataset, query);
    }
    let (plan, output) = rows(snapshot, query, &Budget::new(&query.limits))?;
    if let Some(cache) = plan.cache.as_ref().filter(|_| output.rows_kept > 0) {
        cache.count_partial();
    }
    let series = series(query, &plan, &output.rows, &output.gaps);
    let columns = columns(plan.names.iter().zip(plan.types.iter().copied()), &output.rows);
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        rows_scanned: output.rows_scanned,
        segments: output.segments,
        cache: output.cache(),
        engine: "vector",
        approximate: plan.is_approximate(),
        age: Duration::ZERO,
    };
    let (range, tz, previous) = (query.range, plan.calendar.tz, output.previous);
    Ok(Answer { columns, rows: output.rows, next: None, stats, tz, series, range, previous })
}

/// The rows of a question within a budget, and the plan that they came by.
///
/// # Errors
/// As [`run`].
fn rows(snapshot: &Snapshot, query: &Query, budget: &Arc<Budget>) -> Result<(Plan, Output)> {
    let named = query.limits.reach.dataset(snapshot, &query.from)?;
    let (source, _held) = keyed::as_events(&named, budget)?;
    let source = &source;
    let sessions = query.sessions.as_ref().map(|sessions| sessions::build(sessions, query, source, budget));
    let sessions = sessions.transpose()?;
    let dataset = sessions.as_ref().map_or(&**source, |sessions| &sessions.dataset);
    // pieces are of all rows of a segment
    let is_as_stored = sessions.is_none() && named.keyed.is_none() && named.within.is_none();
    let cache = query.limits.cache.clone().filter(|_| query.cache.is_welcome() && is_as_stored);
    let mut plan = Plan { budget: Arc::clone(budget), cache, ..plan::plan(query, dataset)? };
    let mut output = execute::execute(&plan, dataset, None)?;
    if query.compare {
        output.previous = Some(compare::add_previous(query, &mut plan, dataset, &mut output)?);
    }
    if let Some(sessions) = &sessions {
        (output.rows_scanned, output.segments) = (sessions.rows_scanned, sessions.segments);
    }
    Ok((plan, output))
}

/// Which rows are no whole buckets, where the question is bounded in time or wants its gaps filled.
fn series(query: &Query, plan: &Plan, rows: &[Vec<Value>], gaps: &[usize]) -> Option<answer::Series> {
    let [series] = plan.series.as_slice() else { return None };
    if !query.fill && query.range == Range::default() {
        return None;
    }
    let key = query.by.get(series.key)?;
    let column = query.select.iter().position(|item| item.expression == *key)?;
    let partial = series.partial(rows, column);
    Some(answer::Series { column, bucket: series.bucket, partial, gaps: gaps.to_vec() })
}

/// Names and types of the output: the type known beforehand, else that of the values.
fn columns<'a>(
    known: impl Iterator<Item = (&'a String, Option<FieldType>)>,
    rows: &[Vec<Value>],
) -> Vec<AnswerColumn> {
    let found = |at: usize| {
        let kinds = rows.iter().filter_map(|row| row.get(at).and_then(type_of_value));
        kinds.fold(Kinds::default(), |all, kind| all.with(Kinds::of(kind)))
    };
    let name_of = |(at, kind): (usize, Option<FieldType>)| match kind {
        Some(kind) => kind.name(),
        None => match (found(at), found(at).single()) {
            (kinds, _) if kinds.is_empty() => "string",
            (_, Some(kind)) => kind.name(),
            (_, None) => "mixed",
        },
    };
    let known = known.enumerate();
    known.map(|(at, (name, kind))| AnswerColumn { name: name.clone(), kind: name_of((at, kind)) }).collect()
}

#[cfg(test)]
mod differential;
#[cfg(test)]
mod docs_tests;
#[cfg(test)]
mod edge_tests;
#[cfg(test)]
mod layouts;
#[cfg(test)]
mod segment_tests;
#[cfg(test)]
mod series_tests;
#[cfg(test)]
mod tests;
