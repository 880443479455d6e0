//! Expressions as SQL for SQLite, over the functions that `query::sqlite` registers. An operator is SQLite's own where
//! the kinds of its sides say that it means the same there, else one of ours; what a kind is unknown of costs speed and
//! never a wrong answer. A condition has two forms: the value that the language knows, and the native truth (1, 0 or
//! NULL) that stands in WHERE, CASE and the like.

pub mod keyed;
mod query;

use std::fmt::Write;

use crate::columnar::TIME;
use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};
use crate::query::expression::{AggregateCall, AggregateFunction, BinaryOp, Expr};
use crate::query::sqlite::functions::{cast_name, operator_name};
use crate::store::values;
use crate::time;
use crate::value::{Value, float_text};

use super::kinds::{every, kinds_of};

pub(super) use query::query;

/// What the numbers of a list's entries are called beside the table whose rows they are of.
pub const ENTRY: &str = "\"entry\"";
/// Arguments of one call at most; SQLite's own limit is 1,000, or what a connection was told.
const ARGUMENTS: usize = 100;
/// Digits of a decimal that SQLite is sure to read as the nearest float.
const EXACT_DIGITS: usize = 15;

/// An expression as SQL.
#[derive(Debug, Clone)]
pub struct Printed {
    /// Its value, in the form of `store::values`; stands anywhere without parentheses.
    pub sql: String,
    /// What kinds of value it can have, and perhaps others.
    pub kinds: Kinds,
    /// The native truth of it, where that is what it was made of.
    truth: Option<String>,
}

impl Printed {
    /// A value, and the kinds that it can have; [`every`] is always right.
    pub fn value(sql: impl Into<String>, kinds: Kinds) -> Self {
        Self { sql: sql.into(), kinds, truth: None }
    }

    /// A condition of SQLite's own that gives 1, 0 or NULL, as `EXISTS (..)` does.
    pub fn truth(sql: impl Into<String>) -> Self {
        let sql = sql.into();
        Self { sql: format!("from_truth({sql})"), kinds: Kinds::of(FieldType::Bool), truth: Some(sql) }
    }

    /// What stands in WHERE and the like: 1, 0 or NULL.
    pub fn condition(self) -> String {
        self.truth.unwrap_or_else(|| format!("truth({})", self.sql))
    }

    /// What GROUP BY, ORDER BY, PARTITION BY and DISTINCT compare as we do.
    pub fn sort_key(&self) -> String {
        let is_constant = self.sql.bytes().all(|b| b.is_ascii_digit());
        // a whole number alone would be the place of a column
        if mixes(self.kinds) || is_constant { format!("sort_key({})", self.sql) } else { self.sql.clone() }
    }
}

/// Where names come from: what stands for a name of the expression.
pub type Columns<'a> = &'a dyn Fn(&str) -> Result<Printed>;

/// An expression as a value.
///
/// # Errors
/// Those of `columns`.
pub fn expression(expression: &Expr, columns: Columns<'_>) -> Result<Printed> {
    Printer { columns, is_stored: false }.print(expression)
}

/// An expression over columns of a table of records: bools and times stand in the form that they are stored in, so that
/// SQLite sees what an index or the condition of one is good for.
///
/// # Errors
/// Those of `columns`.
pub fn stored_expression(expression: &Expr, columns: Columns<'_>) -> Result<Printed> {
    Printer { columns, is_stored: true }.print(expression)
}

/// An expression as a condition: 1, 0 or NULL.
///
/// # Errors
/// Those of `columns`.
pub fn condition(expression: &Expr, columns: Columns<'_>) -> Result<String> {
    Printer { columns, is_stored: false }.print(expression).map(Printed::condition)
}

/// Whether `=`, `<` and the like, `IN` and `IS` of SQLite mean what ours do between values of these kinds.
pub fn native_comparison(a: Kinds, b: Kinds) -> bool {
    let time_beside_text = |a: Kinds, b: Kinds| a.has(FieldType::Time) && b.has(FieldType::String);
    !mixes(a.with(b)) && !time_beside_text(a, b) && !time_beside_text(b, a)
}

/// Whether values that are equal can have several forms, or forms stand in another order than values: bools and times are
/// numbers too, but other BLOBs, and BLOBs stand behind text.
pub fn mixes(kinds: Kinds) -> bool {
    let is_number = kinds.has(FieldType::Int) || kinds.has(FieldType::Float);
    let forms = [is_number, kinds.has(FieldType::Bool), kinds.has(FieldType::Time)];
    let count = forms.iter().filter(|has| **has).count();
    count > 1 || count == 1 && !is_number && kinds.has(FieldType::String)
}

/// A name as an identifier.
///
/// # Errors
/// A name with a zero character, which no SQL can hold.
pub fn quoted(name: &str) -> Result<String> {
    match name.contains('\0') {
        true => {
            Err(Error::invalid(format!("the name {name:?} has a zero character, which SQLite cannot read")))
        }
        false => Ok(format!("\"{}\"", name.replace('"', "\"\""))),
    }
}

/// A constant.
pub fn literal(value: &Value) -> String {
    let text_of = |value: &Value| text(&value.to_text());
    match value {
        Value::Null => "NULL".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Text(words) => text(words),
        Value::Bool(truth) => format!("from_truth({})", u8::from(*truth)),
        Value::Time(us) if time::parse(&time::format(*us)) == Some(*us) => {
            format!("cast_time({})", text_of(value))
        }
        Value::List(_) => format!("cast_strings({})", text_of(value)),
        Value::Json(json)
            if json.trim() == &**json && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok() =>
        {
            format!("cast_json({})", text_of(value))
        }
        other => bytes(&values::blob(other).unwrap_or_default()),
    }
}

/// A constant beside a column of a table of records: bools and times in the form that they are stored in.
pub fn stored_literal(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Time(_) => bytes(&values::blob(value).unwrap_or_default()),
        other => literal(other),
    }
}

fn text(words: &str) -> String {
    match words.contains('\0') {
        true => {
            format!("cast_string({})", bytes(&values::blob(&Value::Json(words.into())).unwrap_or_default()))
        }
        false => format!("'{}'", words.replace('\'', "''")),
    }
}

/// A float that SQLite would read as a neighbour of it is read by us.
fn float(number: f64) -> String {
    let decimal = float_text(number);
    let digits = decimal.bytes().filter(u8::is_ascii_digit).count();
    match digits <= EXACT_DIGITS && !decimal.contains('e') {
        true => decimal,
        false => format!("cast_float('{decimal}')"),
    }
}

fn bytes(bytes: &[u8]) -> String {
    let mut out = String::from("x'");
    for byte in bytes {
        // writing to a text has no way to fail
        let _ = write!(out, "{byte:02x}");
    }
    out + "'"
}

struct Printer<'a> {
    columns: Columns<'a>,
    /// Whether bools and times stand in the form that they are stored in.
    is_stored: bool,
}

impl Printer<'_> {
    fn print(&self, e: &Expr) -> Result<Printed> {
        match e {
            Expr::Literal(value @ (Value::Bool(_) | Value::Time(_))) if self.is_stored => {
                let truth = matches!(value, Value::Bool(_)).then(|| u8::from(*value == Value::Bool(true)));
                let sql = stored_literal(value);
                let truth = truth.map(|truth| truth.to_string());
                Ok(Printed { sql, kinds: kinds_of(e, &|_| every()), truth })
            }
            Expr::Literal(Value::Bool(truth)) => Ok(Printed::truth(if *truth { "1" } else { "0" })),
            Expr::Literal(value) => Ok(Printed::value(literal(value), kinds_of(e, &|_| every()))),
            Expr::Column(name) => (self.columns)(name),
            Expr::Not(operand) => Ok(Printed::truth(format!("(NOT {})", self.print(operand)?.condition()))),
            Expr::Negate(operand) => self.call(e, "op_negate", &[operand]),
            Expr::IsNull(operand) => Ok(Printed::truth(format!("({} IS NULL)", self.print(operand)?.sql))),
            Expr::Binary(op, a, b) => self.binary(e, *op, a, b),
            Expr::In(operand, list) => self.in_list(operand, list),
            Expr::Like { operand, pattern, escape, insensitive } => {
                let name = if *insensitive { "op_ilike" } else { "op_like" };
                let escape = escape.map(|c| Expr::Literal(Value::text(c.to_string())));
                let mut arguments = vec![operand.as_ref(), pattern.as_ref()];
                arguments.extend(&escape);
                self.call(e, name, &arguments)
            }
            Expr::Case { branches, otherwise } => self.case(branches, otherwise.as_deref()),
            Expr::Cast(operand, to) => self.call(e, cast_name(*to), &[operand]),
            Expr::Call(function, arguments) if function.is_explode() => {
                let list =
                    arguments.iter().map(|list| Ok(self.print(list)?.sql)).collect::<Result<String>>()?;
                Ok(Printed::value(format!("list_entry({list}, {ENTRY}.value)"), self.kinds(e)))
            }
            Expr::Call(function, arguments) => {
                self.call(e, function.name(), &arguments.iter().collect::<Vec<_>>())
            }
            Expr::Aggregate(call) => self.aggregate(e, call),
        }
    }

    /// The kinds of an expression whose names may be anything that `columns` knows.
    fn kinds(&self, e: &Expr) -> Kinds {
        kinds_of(e, &|name| (self.columns)(name).map_or_else(|_| every(), |printed| printed.kinds))
    }

    /// A call of a function; of more arguments than SQLite takes, by nesting. All functions of any number of arguments
    /// allow that: they go from the left.
    fn call(&self, e: &Expr, name: &str, arguments: &[&Expr]) -> Result<Printed> {
        let mut printed =
            arguments.iter().map(|argument| Ok(self.print(argument)?.sql)).collect::<Result<Vec<_>>>()?;
        while printed.len() > ARGUMENTS {
            let rest = printed.split_off(ARGUMENTS);
            printed = std::iter::once(format!("{name}({})", printed.join(", "))).chain(rest).collect();
        }
        Ok(Printed::value(format!("{name}({})", printed.join(", ")), self.kinds(e)))
    }

    fn binary(&self, e: &Expr, op: BinaryOp, a: &Expr, b: &Expr) -> Result<Printed> {
        let (left, right) = (self.print(a)?, self.print(b)?);
        let native = match op {
            BinaryOp::And | BinaryOp::Or => {
                let (left, right) = (left.condition(), right.condition());
                return Ok(Printed::truth(format!("({left} {} {right})", op.symbol())));
            }
            BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Lt
            | BinaryOp::LtEq
            | BinaryOp::Gt
            | BinaryOp::GtEq => Some(op.symbol()),
            BinaryOp::Distinct => Some("IS NOT"),
            _ => None,
        };
        match (native, operator_name(op)) {
            (Some(symbol), _) if native_comparison(left.kinds, right.kinds) => {
                Ok(Printed::truth(format!("({} {symbol} {})", left.sql, right.sql)))
            }
            (_, Some(name)) => {
                Ok(Printed::value(format!("{name}({}, {})", left.sql, right.sql), self.kinds(e)))
            }
            (_, None) => Err(Error::Internal(format!("{op} has no name in SQLite"))),
        }
    }

    fn in_list(&self, operand: &Expr, list: &[Expr]) -> Result<Printed> {
        let wanted = self.print(operand)?;
        let list = list.iter().map(|item| self.print(item)).collect::<Result<Vec<_>>>()?;
        let join =
            |items: &[Printed]| items.iter().map(|item| item.sql.as_str()).collect::<Vec<_>>().join(", ");
        if list.iter().all(|item| native_comparison(wanted.kinds, item.kinds)) {
            return Ok(Printed::truth(format!("({} IN ({}))", wanted.sql, join(&list))));
        }
        let parts =
            list.chunks(ARGUMENTS - 1).map(|items| format!("truth(op_in({}, {}))", wanted.sql, join(items)));
        Ok(Printed::truth(format!("({})", balanced(&parts.collect::<Vec<_>>()))))
    }

    fn case(&self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Printed> {
        let (mut value, mut truth) = (String::from("CASE"), String::from("CASE"));
        let (mut kinds, mut is_condition) = (Kinds::default(), true);
        let mut add = |before: &str, result: Printed| {
            kinds = kinds.with(result.kinds);
            is_condition &= result.truth.is_some();
            value += &format!("{before}{}", result.sql);
            truth += &format!("{before}{}", result.condition());
        };
        for (condition, result) in branches {
            let condition = self.print(condition)?.condition();
            add(&format!(" WHEN {condition} THEN "), self.print(result)?);
        }
        if let Some(otherwise) = otherwise {
            add(" ELSE ", self.print(otherwise)?);
        }
        Ok(match is_condition {
            true => Printed::truth(truth + " END"),
            false => Printed::value(value + " END", kinds),
        })
    }

    fn aggregate(&self, e: &Expr, call: &AggregateCall) -> Result<Printed> {
        let mut arguments = Vec::new();
        match &call.argument {
            Some(argument) => arguments.push(self.print(argument)?.sql),
            None => arguments.push("*".into()),
        }
        match call.function {
            AggregateFunction::Quantile(q) | AggregateFunction::ApproxQuantile(q) => arguments.push(float(q)),
            function if function.is_placed() => {
                arguments.push((self.columns)(TIME)?.sql);
                arguments.push((self.columns)("_seq")?.sql);
            }
            _ => {}
        }
        let filter = match &call.filter {
            Some(filter) => format!(" FILTER (WHERE {})", self.print(filter)?.condition()),
            None => String::new(),
        };
        let sql = format!("{}({}){filter}", call.function.name(), arguments.join(", "));
        Ok(Printed::value(sql, self.kinds(e)))
    }
}

/// Conditions joined by OR in a tree of even depth.
fn balanced(conditions: &[String]) -> String {
    match conditions {
        [] => "0".into(),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!("({} OR {})", balanced(left), balanced(right))
        }
    }
}
