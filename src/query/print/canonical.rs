//! Expressions as text: the canonical SQL that reads back as the same expression. Error messages, column names that
//! were not written, and cache keys use it.

use std::fmt::{self, Display, Formatter, Write};

use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::functions::Function;
use crate::value::{Value, float_text};

/// How tightly an expression holds together; a part that is looser than its place stands in parentheses.
/// The numbers are those of the parser's grammar.
pub(super) mod binding {
    pub const OR: u8 = 5;
    pub const AND: u8 = 10;
    pub const NOT: u8 = 15;
    pub const COMPARISON: u8 = 20;
    pub const SUM: u8 = 30;
    pub const PRODUCT: u8 = 40;
    pub const SIGN: u8 = 45;
    pub const ATOM: u8 = 100;
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(value) => literal(f, value),
            Self::Column(name) => column(f, name),
            Self::Not(inner) => match inner.as_ref() {
                Self::IsNull(operand) => write!(f, "{} IS NOT NULL", within(operand, binding::SUM)),
                Self::In(operand, list) => in_list(f, operand, " NOT", list),
                Self::Like { .. } => like(f, inner, " NOT"),
                Self::Binary(BinaryOp::Regexp, a, b) => {
                    infix(f, a, "NOT REGEXP", b, binding::SUM, binding::SUM)
                }
                Self::Binary(BinaryOp::Distinct, a, b) => {
                    infix(f, a, "IS NOT DISTINCT FROM", b, binding::SUM, binding::SUM)
                }
                operand => write!(f, "NOT {}", within(operand, binding::SUM)),
            },
            // a number would become a negative literal
            Self::Negate(operand) if matches!(operand.as_ref(), Self::Literal(_)) => {
                write!(f, "-({operand})")
            }
            Self::Negate(operand) => write!(f, "-{}", within(operand, binding::ATOM)),
            Self::Binary(op, a, b) => {
                let (left, right) = sides(*op);
                infix(f, a, op.symbol(), b, left, right)
            }
            Self::IsNull(operand) => write!(f, "{} IS NULL", within(operand, binding::SUM)),
            Self::In(operand, list) => in_list(f, operand, "", list),
            Self::Like { .. } => like(f, self, ""),
            Self::Case { branches, otherwise } => {
                f.write_str("CASE")?;
                for (condition, result) in branches {
                    write!(f, " WHEN {condition} THEN {result}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " ELSE {otherwise}")?;
                }
                f.write_str(" END")
            }
            Self::Cast(operand, to) => write!(f, "CAST({operand} AS {to})"),
            Self::Call(function, arguments) => call(f, *function, arguments),
            Self::Aggregate(aggregate) => write!(f, "{aggregate}"),
        }
    }
}

impl Display for AggregateCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.function.name())?;
        match &self.argument {
            Some(argument) => write!(f, "{argument}")?,
            None => f.write_char('*')?,
        }
        if let AggregateFunction::Quantile(q) | AggregateFunction::ApproxQuantile(q) = self.function {
            write!(f, ", {}", float_text(q))?;
        }
        f.write_char(')')?;
        match &self.filter {
            Some(filter) => write!(f, " FILTER (WHERE {filter})"),
            None => Ok(()),
        }
    }
}

impl Display for BinaryOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl AggregateFunction {
    /// The contract's name of the aggregate.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Uniq => "uniq",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Quantile(_) => "quantile",
            Self::ApproxUniq => "approx_uniq",
            Self::ApproxQuantile(_) => "approx_quantile",
            Self::First => "first",
            Self::Last => "last",
            Self::Any => "any",
        }
    }
}

impl BinaryOp {
    /// The operator as written in SQL.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
            Self::And => "AND",
            Self::Or => "OR",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::IntegerDivide => "//",
            Self::Modulo => "%",
            Self::Concat => "||",
            Self::Regexp => "REGEXP",
            Self::Distinct => "IS DISTINCT FROM",
        }
    }
}

fn binding(expression: &Expr) -> u8 {
    match expression {
        Expr::Binary(op, _, _) => match op {
            BinaryOp::Or => binding::OR,
            BinaryOp::And => binding::AND,
            BinaryOp::Add | BinaryOp::Subtract => binding::SUM,
            BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::IntegerDivide
            | BinaryOp::Modulo
            | BinaryOp::Concat => binding::PRODUCT,
            _ => binding::COMPARISON,
        },
        Expr::Not(inner) if is_negated_operator(inner) => binding::COMPARISON,
        Expr::Not(_) => binding::NOT,
        Expr::IsNull(_) | Expr::In(..) | Expr::Like { .. } => binding::COMPARISON,
        Expr::Negate(_) => binding::SIGN,
        _ => binding::ATOM,
    }
}

/// Whether its negation is printed within it, as `NOT IN` is.
fn is_negated_operator(inner: &Expr) -> bool {
    matches!(
        inner,
        Expr::IsNull(_)
            | Expr::In(..)
            | Expr::Like { .. }
            | Expr::Binary(BinaryOp::Regexp | BinaryOp::Distinct, _, _)
    )
}

/// The loosest that may stand bare on either side. A chain of AND or OR is one thing, however it is nested: the
/// parser balances it.
fn sides(op: BinaryOp) -> (u8, u8) {
    match op {
        BinaryOp::Or => (binding::OR, binding::OR),
        BinaryOp::And => (binding::AND, binding::AND),
        BinaryOp::Add | BinaryOp::Subtract => (binding::SUM, binding::PRODUCT),
        BinaryOp::Multiply
        | BinaryOp::Divide
        | BinaryOp::IntegerDivide
        | BinaryOp::Modulo
        | BinaryOp::Concat => (binding::PRODUCT, binding::SIGN),
        // comparisons do not chain
        _ => (binding::SUM, binding::SUM),
    }
}

/// The expression, in parentheses where it is looser than its place.
struct Within<'a>(&'a Expr, u8);

fn within(expression: &Expr, loosest: u8) -> Within<'_> {
    Within(expression, loosest)
}

impl Display for Within<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if binding(self.0) < self.1 { write!(f, "({})", self.0) } else { write!(f, "{}", self.0) }
    }
}

fn infix(f: &mut Formatter<'_>, a: &Expr, symbol: &str, b: &Expr, left: u8, right: u8) -> fmt::Result {
    // the parser takes REGEXP NULL for one word, whatever follows it
    if symbol.ends_with("REGEXP") && begins_with_null(b) {
        return write!(f, "{} {symbol} ({b})", within(a, left));
    }
    write!(f, "{} {symbol} {}", within(a, left), within(b, right))
}

/// Whether the text of an expression begins with NULL.
fn begins_with_null(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(Value::Null) => true,
        Expr::Binary(_, a, _) | Expr::IsNull(a) | Expr::In(a, _) | Expr::Not(a) => begins_with_null(a),
        Expr::Like { operand, .. } => begins_with_null(operand),
        _ => false,
    }
}

fn in_list(f: &mut Formatter<'_>, operand: &Expr, not: &str, list: &[Expr]) -> fmt::Result {
    write!(f, "{}{not} IN (", within(operand, binding::SUM))?;
    separated(f, list)?;
    f.write_char(')')
}

fn like(f: &mut Formatter<'_>, expression: &Expr, not: &str) -> fmt::Result {
    let Expr::Like { operand, pattern, escape, insensitive } = expression else { return Ok(()) };
    let name = if *insensitive { "ILIKE" } else { "LIKE" };
    write!(f, "{}{not} {name} {}", within(operand, binding::SUM), within(pattern, binding::SUM))?;
    match escape {
        Some(character) => {
            f.write_str(" ESCAPE ")?;
            quoted(f, character.encode_utf8(&mut [0; 4]), '\'')
        }
        None => Ok(()),
    }
}

fn call(f: &mut Formatter<'_>, function: Function, arguments: &[Expr]) -> fmt::Result {
    if function.name() == "extract" {
        return match arguments {
            [Expr::Literal(Value::Text(part)), of]
                if part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
            {
                write!(f, "extract({part} FROM {of})")
            }
            _ => {
                f.write_str("date_part(")?;
                separated(f, arguments)?;
                f.write_char(')')
            }
        };
    }
    write!(f, "{}(", function.name())?;
    separated(f, arguments)?;
    f.write_char(')')
}

fn separated(f: &mut Formatter<'_>, list: &[Expr]) -> fmt::Result {
    for (i, item) in list.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

fn literal(f: &mut Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Null => f.write_str("NULL"),
        Value::Bool(true) => f.write_str("TRUE"),
        Value::Bool(false) => f.write_str("FALSE"),
        Value::Int(_) | Value::Float(_) => f.write_str(&value.to_text()),
        Value::Time(_) => write!(f, "TIMESTAMP '{}'", value.to_text()),
        Value::Text(text) => quoted(f, text, '\''),
        Value::List(_) | Value::Json(_) => {
            f.write_str("CAST(")?;
            quoted(f, &value.to_text(), '\'')?;
            write!(f, " AS {})", if matches!(value, Value::List(_)) { "strings" } else { "json" })
        }
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        if c == quote {
            f.write_char(quote)?;
        }
        f.write_char(c)?;
    }
    f.write_char(quote)
}

/// Words that the grammar takes for something else where a field could stand.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "between",
    "by",
    "case",
    "cast",
    "current_date",
    "current_time",
    "current_timestamp",
    "distinct",
    "else",
    "end",
    "escape",
    "exists",
    "false",
    "from",
    "group",
    "having",
    "ilike",
    "in",
    "interval",
    "is",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "regexp",
    "returning",
    "select",
    "some",
    "then",
    "trim",
    "true",
    "union",
    "when",
    "where",
    "with",
];

/// A name as an identifier, in quotes where the grammar wants them.
pub(super) fn identifier(name: &str) -> String {
    Expr::Column(name.to_owned()).to_string()
}

fn column(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name));
    if plain { f.write_str(name) } else { quoted(f, name, '"') }
}
