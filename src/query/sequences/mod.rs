//! What someone does one after the other: funnels, retention and paths, and the sessions that queries can be asked of.
//!
//! `parse::sequence` reads a question and [`run`] answers it, for HTTP, the command line and `Engine`. All of them read
//! events through `scan`, know whose they are by the numbers of `people`, and where the order within one matters put
//! them in `trails`; each then works on numbers and times alone. `query::run` calls `sessions`.

pub mod funnel;
pub mod paths;
pub mod people;
pub mod retention;
pub mod scan;
pub mod sessions;
pub mod trails;

use std::time::{Duration, Instant};

use crate::cache::class::Use;
use crate::error::Result;
use crate::query::answer::{Answer, AnswerColumn, Stats};
use crate::query::budget::{Budget, Limits};
use crate::query::expression::Expr;
use crate::query::kept::{self, Asked};
use crate::query::keyed;
use crate::query::language::Range;
use crate::query::plan::{Names, with_range};
use crate::query::sequences::funnel::Funnel;
use crate::query::sequences::paths::Paths;
use crate::query::sequences::retention::Retention;
use crate::query::sequences::scan::Scan;
use crate::store::snapshot::Snapshot;
use crate::time::Calendar;
use crate::value::Value;

/// The analyses by name: paths of HTTP and verbs of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How many go how far through some steps.
    Funnel,
    /// How many of those who began in a period come back in later ones.
    Retention,
    /// Which ways are taken.
    Paths,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Funnel => "funnel",
            Self::Retention => "retention",
            Self::Paths => "paths",
        }
    }
}

/// A question about what follows what.
#[derive(Debug, Clone)]
pub struct Sequence {
    /// The events that it is about.
    pub events: Events,
    /// What is asked of them.
    pub analysis: Analysis,
}

/// The events of a question, and whose they are.
#[derive(Debug, Clone)]
pub struct Events {
    /// The dataset.
    pub from: String,
    /// Whose an event is; null is nobody's.
    pub by: Expr,
    /// Events that count.
    pub filter: Option<Expr>,
    /// Events that count, by `_time`.
    pub range: Range,
    /// The present in µs since 1970 UTC.
    pub now: i64,
    /// Where days and weeks begin, and the offset of times in the reply.
    pub calendar: Calendar,
    /// Which stored answers are welcome.
    pub cache: Use,
    /// What the question may take.
    pub limits: Limits,
}

impl Sequence {
    /// The same question, which may take so much.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { events: Events { limits, ..self.events }, ..self }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Analysis {
    /// `POST /v1/funnel`.
    Funnel(Funnel),
    /// `POST /v1/retention`.
    Retention(Retention),
    /// `POST /v1/paths`.
    Paths(Paths),
}

/// Columns by name and type, and their rows.
type Table = (Vec<(&'static str, &'static str)>, Vec<Vec<Value>>);

/// Answers a question on one snapshot.
///
/// # Errors
/// `NotFound` for a dataset, `Invalid` for names and types, `TooLarge` for what is beyond the limits.
pub fn run(snapshot: &Snapshot, question: &Sequence) -> Result<Answer> {
    let again = || -> Box<dyn FnOnce() + Send> {
        let (snapshot, mut question) = (snapshot.clone(), question.clone());
        question.events.cache = kept::ANEW;
        Box::new(move || drop(run(&snapshot, &question)))
    };
    kept::answer(snapshot, &Asked::sequence(question), || compute(snapshot, question), again)
}

fn compute(snapshot: &Snapshot, question: &Sequence) -> Result<Answer> {
    let begin = Instant::now();
    let events = &question.events;
    let budget = Budget::new(&events.limits);
    let (dataset, _held) = keyed::as_events(&events.limits.reach.dataset(snapshot, &events.from)?, &budget)?;
    let dataset = &dataset;
    let names = Names { fields: &**dataset, calendar: &events.calendar };
    let filter = events.filter.clone().map(|e| names.condition(e, "where")).transpose()?;
    let filter = with_range(filter, &events.range);
    let scan = Scan::new(dataset, filter.as_ref(), &events.calendar, budget)?;
    let by = names.resolve(events.by.clone())?;
    let (columns, rows) = scan.ask(|| match &question.analysis {
        Analysis::Funnel(funnel) => funnel.answer(&by, &names, &scan),
        Analysis::Retention(retention) => retention.answer(&by, &events.range, &names, &scan),
        Analysis::Paths(paths) => paths.answer(&by, &names, &scan),
    })?;
    let (rows_scanned, segments) = scan.looked_at();
    let stats = Stats {
        elapsed_ms: begin.elapsed().as_secs_f64() * 1e3,
        rows_scanned,
        segments,
        cache: "miss",
        engine: "vector",
        approximate: false,
        age: Duration::ZERO,
    };
    let column = |(name, kind): (&str, &'static str)| AnswerColumn { name: name.to_owned(), kind };
    Ok(Answer {
        columns: columns.into_iter().map(column).collect(),
        rows,
        next: None,
        stats,
        tz: events.calendar.tz.clone(),
        series: None,
        range: events.range,
        previous: None,
    })
}

/// A part of a whole, from 0 to 1; null where there is no whole.
fn rate(part: u64, whole: u64) -> Value {
    Value::finite(part as f64 / whole as f64)
}

#[cfg(test)]
mod tests;
