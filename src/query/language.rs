//! The Query: what SQL, JSON and URLs parse into, and the only thing that planning knows of them.
//! Names are as written; `plan` resolves them against a dataset.

use std::str::FromStr;

use crate::cache::class::Use;
use crate::error::{Error, nearest};
use crate::query::budget::Limits;
use crate::query::expression::Expr;
use crate::query::relational::tree::Relational;
use crate::query::sequences::sessions::Sessions;
use crate::time::{Calendar, Step};

/// The dialects that a question prints itself in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite, with the language registered in it.
    Sqlite,
    /// DuckDB.
    Duckdb,
    /// ClickHouse.
    Clickhouse,
}

impl Dialect {
    /// Every dialect with its name.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Sqlite, "sqlite"), (Self::Duckdb, "duckdb"), (Self::Clickhouse, "clickhouse")];
}

impl FromStr for Dialect {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(dialect, _)| *dialect).ok_or_else(|| {
            let names = Self::ALL.map(|(_, known)| known);
            let hint = nearest(name, names.into_iter());
            Error::invalid(format!("\"{name}\" is no form of SQL; forms are {}{hint}", names.join(", ")))
        })
    }
}

/// What one text asks, and whether the way to the answer is wanted instead of it.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What is asked.
    pub question: Question,
    /// What is wanted in place of the answer.
    pub explain: Option<Explain>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// A question about one dataset, for the vector engine.
    Plain(Box<Query>),
    /// One about several, for SQLite.
    Relational(Box<Relational>),
}

/// What EXPLAIN tells of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// How it would be answered.
    Plan,
    /// The same question as SQL of a dialect.
    Printed(Dialect),
}

impl Question {
    /// What it may take.
    pub fn limits(&self) -> &Limits {
        match self {
            Self::Plain(query) => &query.limits,
            Self::Relational(relational) => &relational.limits,
        }
    }

    /// The names of the datasets that it reads, and of what it calls so itself.
    pub fn datasets(&self) -> Vec<&str> {
        match self {
            Self::Plain(query) => vec![&query.from],
            Self::Relational(relational) => relational.tables(),
        }
    }
}

impl From<Query> for Statement {
    fn from(query: Query) -> Self {
        Self { question: Question::Plain(Box::new(query)), explain: None }
    }
}

impl Statement {
    /// The same, on another calendar.
    #[must_use]
    pub fn on(mut self, calendar: Calendar) -> Self {
        match &mut self.question {
            Question::Plain(query) => query.calendar = calendar,
            Question::Relational(relational) => relational.calendar = calendar,
        }
        self
    }

    /// The same, within limits.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        match &mut self.question {
            Question::Plain(query) => query.limits = limits,
            Question::Relational(relational) => relational.limits = limits,
        }
        self
    }

    /// The same, with what stored answers are welcome.
    #[must_use]
    pub fn cached(mut self, cache: Use) -> Self {
        match &mut self.question {
            Question::Plain(query) => query.cache = cache,
            Question::Relational(relational) => relational.cache = cache,
        }
        self
    }
}

/// A question about one dataset.
#[derive(Debug, Clone)]
pub struct Query {
    /// The dataset.
    pub from: String,
    /// Ask its sessions instead of its events.
    pub sessions: Option<Sessions>,
    /// The output columns in order. In a JSON query `by` stands first, then `select`.
    pub select: Vec<Item>,
    /// `SELECT *`: all fields of the dataset take the place of `select`.
    pub all_fields: bool,
    /// Group keys. A query with no key and no aggregate returns rows, not groups.
    pub by: Vec<Expr>,
    /// `SELECT DISTINCT`.
    pub distinct: bool,
    /// Rows that count.
    pub filter: Option<Expr>,
    /// Rows that count, by `_time`.
    pub range: Range,
    /// Where days and weeks begin, how local times are read, and the offset of times in the reply.
    pub calendar: Calendar,
    /// A group for every bucket of the range, also where there is no event.
    pub fill: bool,
    /// Beside each aggregate that of the period before the range.
    pub compare: bool,
    /// The present in µs since 1970 UTC: a bucket that it lies in is not over.
    pub now: i64,
    /// Groups that count.
    pub having: Option<Expr>,
    /// Order of the result; output columns are already replaced by their expressions.
    pub order: Vec<Order>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Rows left out first.
    pub offset: usize,
    /// Which stored answers are welcome.
    pub cache: Use,
    /// What it may take.
    pub limits: Limits,
}

impl Query {
    /// All rows of a dataset, with all their fields.
    pub fn all_of(from: String) -> Self {
        Self {
            from,
            sessions: None,
            select: Vec::new(),
            all_fields: true,
            by: Vec::new(),
            distinct: false,
            filter: None,
            range: Range::default(),
            calendar: Calendar::default(),
            fill: false,
            compare: false,
            now: 0,
            having: None,
            order: Vec::new(),
            limit: None,
            offset: 0,
            cache: Use::Exact,
            limits: Limits::default(),
        }
    }
}

/// One output column.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it holds.
    pub expression: Expr,
    /// Its alias, else the expression as written.
    pub name: String,
}

/// One part of an order.
#[derive(Debug, Clone)]
pub struct Order {
    /// What is compared.
    pub expression: Expr,
    /// Largest first.
    pub descending: bool,
    /// Nulls come last unless this says otherwise.
    pub nulls_first: bool,
}

/// A half-open span of `_time` in µs; `None` is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// From here on.
    pub from: Option<i64>,
    /// Before here.
    pub to: Option<i64>,
    /// How far the period before it lies back, where it has both ends.
    pub step: Option<Step>,
}

impl Range {
    /// The range between two instants and how far the one before it lies back.
    pub fn between(from: i64, to: i64, step: Step) -> Self {
        Self { from: Some(from), to: Some(to), step: Some(step) }
    }

    /// The period before this one; `None` where it has not both ends, or the calendar begins.
    pub fn before(&self, calendar: &Calendar) -> Option<Self> {
        let step = self.step?;
        let (from, to) = (calendar.back(self.from?, step)?, calendar.end_back(self.to?, step)?);
        Some(Self::between(from, to.max(from), step))
    }
}
