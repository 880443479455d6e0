//! The answer to a question, as every tabular reply has it; `format` writes it as JSON, CSV or NDJSON, the
//! command line draws tables and charts of it.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::query::language::Range;
use crate::time::Bucket;
use crate::value::Value;

/// Columns, rows, and how it was found.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Output columns in order.
    pub columns: Vec<AnswerColumn>,
    /// Rows; each has a value a column.
    pub rows: Vec<Vec<Value>>,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<String>,
    /// What it took.
    pub stats: Stats,
    /// The zone that times are written in.
    pub tz: TimeZone,
    /// Which rows of a series over time are no whole buckets; `None` where the question asks for no series.
    pub series: Option<Series>,
    /// The span of time that was asked for; open where nothing was said.
    pub range: Range,
    /// The period that `compare` lays beside it.
    pub previous: Option<Range>,
}

impl Answer {
    /// All of it but its rows.
    pub fn without_rows(&self) -> Self {
        Self {
            columns: self.columns.clone(),
            rows: Vec::new(),
            next: self.next.clone(),
            stats: self.stats.clone(),
            tz: self.tz.clone(),
            series: self.series.clone(),
            range: self.range,
            previous: self.previous,
        }
    }
}

/// What a drawing of a series over time must not hide. Rows are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The place of the column that has the starts of the buckets.
    pub column: usize,
    /// What a row stands for.
    pub bucket: Bucket,
    /// Rows whose bucket reaches over an end of the range, or into the future.
    pub partial: Vec<usize>,
    /// Rows of buckets without events, which `fill` put in.
    pub gaps: Vec<usize>,
}

/// One output column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerColumn {
    /// Its alias, else the expression as written.
    pub name: String,
    /// Its type in the contract's names; `mixed` where its values have several.
    pub kind: &'static str,
}

/// What an answer took.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// From the parsed question to the last row.
    pub elapsed_ms: f64,
    /// Rows looked at.
    pub rows_scanned: u64,
    /// Segments looked at; the tail counts as one.
    pub segments: u64,
    /// `miss`, `partial` or `hit`.
    pub cache: &'static str,
    /// `vector` or `sqlite`.
    pub engine: &'static str,
    /// Whether it is an estimate.
    pub approximate: bool,
    /// How long ago it was computed.
    pub age: Duration,
}
