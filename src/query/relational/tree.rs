//! What is read of SQL that one question about one dataset cannot ask: joins, WITH, subqueries, windows, set operations. It
//! is made of expressions as all else is; what is more than an expression, a subquery or a window function, is a [`Part`],
//! and a name that no text can write stands for it ([`part_name`]). `parse` makes it, `bind` gives it a meaning.

use crate::cache::class::Use;
use crate::query::budget::Limits;
use crate::query::expression::{AggregateCall, Expr};
use crate::query::language::{Item, Order, Query};
use crate::time::Calendar;

/// A question that SQLite answers.
#[derive(Debug, Clone)]
pub struct Relational {
    /// What is asked.
    pub relation: Relation,
    /// What names of [`part_name`] stand for.
    pub parts: Vec<Part>,
    /// Where days and weeks begin, how local times are read, and the offset of times in the reply.
    pub calendar: Calendar,
    /// Which stored answers are welcome.
    pub cache: Use,
    /// What it may take.
    pub limits: Limits,
}

impl Relational {
    /// The names of the tables that it reads, each once: datasets, and what WITH names.
    pub fn tables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.relation.add_tables(&mut names);
        for part in &self.parts {
            match part {
                Part::Scalar(relation) | Part::Exists(relation) | Part::In(_, relation) => {
                    relation.add_tables(&mut names);
                }
                Part::Window(_) => {}
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Relation {
    fn add_tables<'a>(&'a self, names: &mut Vec<&'a str>) {
        self.with.iter().for_each(|named| named.relation.add_tables(names));
        self.body.add_tables(names);
    }
}

impl Body {
    fn add_tables<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Select(select) => {
                for source in &select.from {
                    match &source.table {
                        Table::Named(name) => names.push(name),
                        Table::Sessions(query) => names.push(&query.from),
                        Table::Derived(relation) => relation.add_tables(names),
                    }
                }
            }
            Self::Set { left, right, .. } => {
                left.add_tables(names);
                right.add_tables(names);
            }
            Self::Values(_) => {}
            Self::Nested(relation) => relation.add_tables(names),
        }
    }
}

/// Rows: a SELECT or several, with what stands around them.
#[derive(Debug, Clone)]
pub struct Relation {
    /// What WITH names, in order.
    pub with: Vec<Named>,
    /// Whether what WITH names may refer to itself.
    pub is_recursive: bool,
    /// Where the rows come from.
    pub body: Body,
    /// Their order; of one SELECT over its tables, of all else over the output columns.
    pub order: Vec<Order>,
    /// Rows at most.
    pub limit: Option<usize>,
    /// Rows left out first.
    pub offset: usize,
}

/// Rows that WITH gives a name.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The names of its columns, where they have new ones.
    pub columns: Vec<String>,
    /// The rows.
    pub relation: Relation,
    /// `AS MATERIALIZED`, `AS NOT MATERIALIZED`, or nothing said.
    pub is_materialized: Option<bool>,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum Body {
    /// One SELECT.
    Select(Box<Select>),
    /// Two of them together.
    Set {
        /// How.
        operation: SetOperation,
        /// The first.
        left: Box<Body>,
        /// The second.
        right: Box<Body>,
    },
    /// `VALUES (..), (..)`: rows of expressions, all equally long.
    Values(Vec<Vec<Expr>>),
    /// Rows in parentheses, with an order and a limit of their own.
    Nested(Box<Relation>),
}

/// How two sets of rows become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOperation {
    /// Rows of both, each once.
    Union,
    /// Rows of both.
    UnionAll,
    /// Rows that are in both, each once.
    Intersect,
    /// Rows of the first that are not in the second, each once.
    Except,
}

/// One SELECT.
#[derive(Debug, Clone)]
pub struct Select {
    /// The same as a question about one dataset, where it is one: with the order and the limit around it.
    pub plain: Option<Box<Query>>,
    /// Equal rows once.
    pub is_distinct: bool,
    /// The output columns.
    pub output: Vec<Output>,
    /// The tables, joined from left to right; without one there is one row.
    pub from: Vec<Source>,
    /// Rows that count.
    pub filter: Option<Expr>,
    /// Group keys.
    pub by: Vec<Expr>,
    /// Groups that count.
    pub having: Option<Expr>,
}

/// One output column, or those of tables.
#[derive(Debug, Clone)]
pub enum Output {
    /// An expression.
    Item(Item),
    /// `*`, or `name.*` of one table.
    All(Option<String>),
}

/// A table, and how it is joined to those before it.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its rows.
    pub table: Table,
    /// What it is called.
    pub alias: Option<String>,
    /// The names of its columns, where they have new ones.
    pub columns: Vec<String>,
    /// How it is joined; of the first table it says nothing.
    pub join: Join,
}

/// What stands after FROM.
#[derive(Debug, Clone)]
pub enum Table {
    /// A dataset, or what WITH names.
    Named(String),
    /// `sessions(..)`, all of them.
    Sessions(Box<Query>),
    /// A subquery.
    Derived(Box<Relation>),
}

/// How a table is joined to those before it.
#[derive(Debug, Clone)]
pub struct Join {
    /// Which rows stay.
    pub kind: JoinKind,
    /// Which rows belong together.
    pub condition: JoinCondition,
}

/// Which rows of a join stay that belong to no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// None.
    Inner,
    /// Those of the left side.
    Left,
    /// Those of the right side.
    Right,
    /// Those of both.
    Full,
}

/// Which rows of a join belong together.
#[derive(Debug, Clone)]
pub enum JoinCondition {
    /// All.
    None,
    /// Those for which it is true.
    On(Expr),
    /// Those that are equal in these columns.
    Using(Vec<String>),
    /// Those that are equal in all columns of one name.
    Natural,
}

/// What stands in an expression and is none.
#[derive(Debug, Clone)]
pub enum Part {
    /// The value of the first row of a subquery, null without one.
    Scalar(Relation),
    /// Whether a subquery has a row.
    Exists(Relation),
    /// Whether a value is among those of a subquery.
    In(Expr, Relation),
    /// A function over rows around this one.
    Window(Window),
}

/// A window function.
#[derive(Debug, Clone)]
pub struct Window {
    /// What is computed.
    pub function: WindowFunction,
    /// Rows that are together.
    pub partition: Vec<Expr>,
    /// Their order.
    pub order: Vec<Order>,
    /// Which of them are meant, as in `ROWS BETWEEN 1 PRECEDING AND CURRENT ROW`; it has only words and numbers.
    pub frame: Option<String>,
}

/// What a window function computes.
#[derive(Debug, Clone)]
pub enum WindowFunction {
    /// An aggregate of the rows that are meant.
    Aggregate(AggregateCall),
    /// A place, or the value of a row: one of [`RANKS`].
    Rank(&'static Rank, Vec<Expr>),
}

/// A function that has a meaning over rows in order only.
#[derive(Debug, PartialEq, Eq)]
pub struct Rank {
    /// The name.
    pub name: &'static str,
    /// Fewest and most arguments.
    pub arguments: (usize, usize),
    /// What comes out.
    pub returns: RankReturns,
}

/// What comes out of a [`Rank`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankReturns {
    /// A whole number.
    Int,
    /// A number from 0 to 1.
    Float,
    /// One of the values that it is given.
    Argument,
}

const fn rank(name: &'static str, arguments: (usize, usize), returns: RankReturns) -> Rank {
    Rank { name, arguments, returns }
}

/// The functions of SQL that have a meaning over rows in order only; they are SQLite's own.
pub static RANKS: [Rank; 11] = [
    rank("row_number", (0, 0), RankReturns::Int),
    rank("rank", (0, 0), RankReturns::Int),
    rank("dense_rank", (0, 0), RankReturns::Int),
    rank("ntile", (1, 1), RankReturns::Int),
    rank("percent_rank", (0, 0), RankReturns::Float),
    rank("cume_dist", (0, 0), RankReturns::Float),
    rank("lag", (1, 3), RankReturns::Argument),
    rank("lead", (1, 3), RankReturns::Argument),
    rank("first_value", (1, 1), RankReturns::Argument),
    rank("last_value", (1, 1), RankReturns::Argument),
    rank("nth_value", (2, 2), RankReturns::Argument),
];

/// What the names of parts begin with; no name that is written can.
pub const PART: char = '\0';

/// The name that stands for a part in an expression.
pub fn part_name(place: usize) -> String {
    format!("{PART}{place}")
}

/// The place of the part that a name stands for, if it stands for one.
pub fn part_of(name: &str) -> Option<usize> {
    name.strip_prefix(PART)?.parse().ok()
}
