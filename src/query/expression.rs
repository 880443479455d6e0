//! The expression tree that SQL, JSON queries and `where=` all parse into. Names in it are as written until
//! `plan` has resolved them; its printed form is canonical, so equal expressions print equally.

use crate::fields::FieldType;
use crate::query::functions::Function;
use crate::value::Value;

/// An expression over the fields of one row; with `Aggregate` in it, over a group of rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A constant.
    Literal(Value),
    /// A field by name.
    Column(String),
    /// `NOT x` (three-valued).
    Not(Box<Expr>),
    /// `-x`.
    Negate(Box<Expr>),
    /// `a op b`.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `x IS NULL`.
    IsNull(Box<Expr>),
    /// `x IN (..)`; `x NOT IN` is `Not(In)`.
    In(Box<Expr>, Vec<Expr>),
    /// `x LIKE pattern`; `insensitive` for ILIKE.
    Like {
        /// What is matched.
        operand: Box<Expr>,
        /// `%` any run, `_` one character.
        pattern: Box<Expr>,
        /// The character that takes the next one literally.
        escape: Option<char>,
        /// ILIKE.
        insensitive: bool,
    },
    /// `CASE WHEN c THEN x .. ELSE y END`; the form with an operand is parsed into comparisons.
    Case {
        /// Condition and result, the first true one counts.
        branches: Vec<(Expr, Expr)>,
        /// Result where no condition is true.
        otherwise: Option<Box<Expr>>,
    },
    /// `CAST(x AS type)`; null where the value does not convert.
    Cast(Box<Expr>, FieldType),
    /// A scalar function of the table in `functions`.
    Call(Function, Vec<Expr>),
    /// An aggregate over the rows of a group.
    Aggregate(Box<AggregateCall>),
}

/// One aggregate as written.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// What over; `None` is `count(*)`.
    pub argument: Option<Expr>,
    /// `FILTER (WHERE ..)`.
    pub filter: Option<Expr>,
}

/// The aggregates, in the contract's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AggregateFunction {
    /// Rows, or values that are not null.
    Count,
    /// Distinct values that are not null: `uniq(x)`, `count(DISTINCT x)`.
    Uniq,
    /// Sum; of integers an integer, where overflow is an error.
    Sum,
    /// Mean of the numbers, a float.
    Avg,
    /// Smallest by the order of values.
    Min,
    /// Largest by the order of values.
    Max,
    /// The ⌈q·n⌉-th smallest number.
    Quantile(f64),
    /// Distinct values, about: `sketch::distinct`.
    ApproxUniq,
    /// The ⌈q·n⌉-th smallest number, about: `sketch::quantile`.
    ApproxQuantile(f64),
    /// The value of the earliest row by (`_time`, `_seq`) that has one.
    First,
    /// The value of the latest such row.
    Last,
    /// One of the values, the same for the same rows: the smallest.
    Any,
}

impl AggregateFunction {
    /// Whether its answer may differ from the exact one.
    pub fn is_approximate(self) -> bool {
        matches!(self, Self::ApproxUniq | Self::ApproxQuantile(_))
    }

    /// Whether a value that comes often counts as one that comes once: DISTINCT changes nothing.
    pub fn is_blind_to_repeats(self) -> bool {
        matches!(self, Self::Uniq | Self::ApproxUniq | Self::Min | Self::Max | Self::Any)
    }

    /// Whether it asks when its rows were.
    pub fn is_placed(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }
}

/// Binary operators; comparisons and logic are three-valued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, always a float; x/0 is null
    Divide,
    /// `//`, of integers; x//0 is null
    IntegerDivide,
    /// `%`
    Modulo,
    /// `||`
    Concat,
    /// `REGEXP`
    Regexp,
    /// `IS DISTINCT FROM`
    Distinct,
}

impl Expr {
    /// Calls `visit` on this expression and everything below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        self.children(&mut |child| child.walk(visit));
    }

    /// Calls `visit` on the direct parts of this expression.
    pub fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match self {
            Self::Literal(_) | Self::Column(_) => {}
            Self::Not(a) | Self::Negate(a) | Self::IsNull(a) | Self::Cast(a, _) => visit(a),
            Self::Binary(_, a, b) => [a, b].into_iter().for_each(|e| visit(e)),
            Self::In(a, list) => std::iter::once(a.as_ref()).chain(list).for_each(visit),
            Self::Like { operand, pattern, .. } => [operand, pattern].into_iter().for_each(|e| visit(e)),
            Self::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    visit(condition);
                    visit(result);
                }
                otherwise.iter().for_each(|e| visit(e));
            }
            Self::Call(_, arguments) => arguments.iter().for_each(visit),
            Self::Aggregate(call) => call.argument.iter().chain(&call.filter).for_each(visit),
        }
    }

    /// Rebuilds the expression bottom-up, each part replaced by what `change` makes of it.
    pub fn rewrite<E>(self, change: &mut impl FnMut(Expr) -> Result<Expr, E>) -> Result<Expr, E> {
        let rebuilt = self.map_children(&mut |child| child.rewrite(change))?;
        change(rebuilt)
    }

    /// Replaces the direct parts of this expression by what `change` makes of them.
    pub fn map_children<E>(self, change: &mut dyn FnMut(Expr) -> Result<Expr, E>) -> Result<Expr, E> {
        let boxed = |e: Box<Expr>, change: &mut dyn FnMut(Expr) -> Result<Expr, E>| Ok(Box::new(change(*e)?));
        Ok(match self {
            leaf @ (Self::Literal(_) | Self::Column(_)) => leaf,
            Self::Not(a) => Self::Not(boxed(a, change)?),
            Self::Negate(a) => Self::Negate(boxed(a, change)?),
            Self::IsNull(a) => Self::IsNull(boxed(a, change)?),
            Self::Cast(a, to) => Self::Cast(boxed(a, change)?, to),
            Self::Binary(op, a, b) => Self::Binary(op, boxed(a, change)?, boxed(b, change)?),
            Self::In(a, list) => Self::In(boxed(a, change)?, map_all(list, change)?),
            Self::Like { operand, pattern, escape, insensitive } => Self::Like {
                operand: boxed(operand, change)?,
                pattern: boxed(pattern, change)?,
                escape,
                insensitive,
            },
            Self::Case { branches, otherwise } => Self::Case {
                branches: branches
                    .into_iter()
                    .map(|(c, r)| Ok((change(c)?, change(r)?)))
                    .collect::<Result<_, E>>()?,
                otherwise: otherwise.map(|e| boxed(e, change)).transpose()?,
            },
            Self::Call(function, arguments) => Self::Call(function, map_all(arguments, change)?),
            Self::Aggregate(call) => Self::Aggregate(Box::new(AggregateCall {
                function: call.function,
                argument: call.argument.map(&mut *change).transpose()?,
                filter: call.filter.map(&mut *change).transpose()?,
            })),
        })
    }

    /// Whether it is a number or a time, whatever its sides are: its type hangs on them, but it is never a bool.
    pub fn is_arithmetic(&self) -> bool {
        use BinaryOp::{Add, IntegerDivide, Modulo, Multiply, Subtract};
        matches!(self, Self::Negate(_) | Self::Binary(Add | Subtract | Multiply | IntegerDivide | Modulo, ..))
    }

    /// Whether an aggregate is anywhere in it.
    pub fn has_aggregate(&self) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= matches!(e, Self::Aggregate(_)));
        found
    }
}

fn map_all<E>(list: Vec<Expr>, change: &mut dyn FnMut(Expr) -> Result<Expr, E>) -> Result<Vec<Expr>, E> {
    list.into_iter().map(change).collect()
}
