//! What the SQL of other engines has in common: operators between operands, and what stands in parentheses. A dialect
//! says the rest. What these engines would take otherwise than we do is refused: fields of several types, comparisons
//! across types, and the like. Called by `print::query`.

use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};
use crate::query::explode::exploded;
use crate::query::expression::{AggregateCall, BinaryOp, Expr};
use crate::query::functions::Function;
use crate::query::language::{Item, Query};
use crate::query::plan::field_kinds;
use crate::store::snapshot::Dataset;
use crate::value::Value;

use super::canonical::{binding, identifier};
use super::kinds::kinds_of;
use super::statement::{self, Writer};

/// SQL, and how tightly it holds together.
#[derive(Debug, Clone)]
pub(super) struct Sql {
    pub(super) text: String,
    binding: u8,
}

impl Sql {
    /// A name, a constant, a call.
    pub(super) fn atom(text: impl Into<String>) -> Self {
        Self { text: text.into(), binding: binding::ATOM }
    }

    /// Something of an operator.
    pub(super) fn loose(text: impl Into<String>, binding: u8) -> Self {
        Self { text: text.into(), binding }
    }

    /// The text, in parentheses where it is looser than its place.
    pub(super) fn within(&self, loosest: u8) -> String {
        if self.binding < loosest { format!("({})", self.text) } else { self.text.clone() }
    }

    /// A call of a function.
    pub(super) fn call(name: &str, arguments: &[&Sql]) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(|argument| argument.text.as_str()).collect();
        Self::atom(format!("{name}({})", arguments.join(", ")))
    }
}

/// What a dialect says in its own words.
pub(super) trait Words {
    /// Whose they are, for messages.
    fn engine(&self) -> &'static str;
    /// A constant.
    fn literal(&self, value: &Value) -> Result<Sql>;
    /// Integer division.
    fn integer_divide(&self, writer: &Foreign<'_>, a: &Expr, b: &Expr) -> Result<Sql>;
    /// A time that is moved by seconds; `op` is plus or minus.
    fn move_time(&self, writer: &Foreign<'_>, time: &Expr, op: BinaryOp, seconds: &Expr) -> Result<Sql>;
    /// The seconds of a time since 1970.
    fn epoch(&self, time: &Sql) -> Sql;
    /// A number in the place of a bool.
    fn number_of_bool(&self, operand: &Sql) -> Sql;
    /// LIKE and ILIKE.
    fn like(&self, writer: &Foreign<'_>, like: Like<'_>) -> Result<Sql>;
    /// REGEXP.
    fn regexp(&self, text: &Sql, pattern: &Sql) -> Sql;
    /// IS DISTINCT FROM.
    fn distinct(&self, a: &Sql, b: &Sql) -> Sql;
    /// CAST of an operand of some kinds.
    fn cast(&self, writer: &Foreign<'_>, operand: &Sql, kinds: Kinds, to: FieldType) -> Result<Sql>;
    /// A function.
    fn call(&self, writer: &Foreign<'_>, function: Function, arguments: &[Expr]) -> Result<Sql>;
    /// An aggregate.
    fn aggregate(&self, writer: &Foreign<'_>, call: &AggregateCall) -> Result<Sql>;
    /// The entries of the list that is exploded, as a key.
    fn entry(&self, list: &Sql) -> Sql;
    /// What stands behind the table in FROM where a list is exploded.
    fn entries(&self, list: &Sql) -> String;
}

/// LIKE or ILIKE in parts.
#[derive(Clone, Copy)]
pub(super) struct Like<'a> {
    pub(super) operand: &'a Expr,
    pub(super) pattern: &'a Expr,
    pub(super) escape: Option<char>,
    pub(super) insensitive: bool,
    pub(super) negated: bool,
}

/// Writes one query in the words of a dialect.
pub(super) struct Foreign<'a> {
    query: &'a Query,
    dataset: &'a Dataset,
    words: &'a dyn Words,
}

/// The text of a resolved query.
///
/// # Errors
/// `Invalid` for what the engine cannot say, or would take otherwise.
pub(super) fn write(query: &Query, dataset: &Dataset, words: &dyn Words) -> Result<String> {
    statement::write(query, &Foreign { query, dataset, words })
}

impl Foreign<'_> {
    /// The clock of the query, where it is not UTC.
    pub(super) fn zone(&self) -> Result<Option<String>> {
        let tz = &self.query.calendar.tz;
        if *tz == jiff::tz::TimeZone::UTC || tz.iana_name() == Some("UTC") {
            return Ok(None);
        }
        match tz.iana_name() {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(self.refused("a time zone without a name")),
        }
    }

    /// The day that weeks begin on.
    pub(super) fn week_start(&self) -> jiff::civil::Weekday {
        self.query.calendar.week_start
    }

    /// The error that something cannot be said.
    pub(super) fn refused(&self, what: &str) -> Error {
        Error::invalid(format!(
            "{} cannot be told {what}: the query is not written for it",
            self.words.engine()
        ))
    }

    /// The kinds of an expression.
    pub(super) fn kinds(&self, e: &Expr) -> Kinds {
        kinds_of(e, &|name| field_kinds(name, self.dataset))
    }

    /// The kinds of an expression, which there must be of one type.
    pub(super) fn one_type(&self, e: &Expr) -> Result<Kinds> {
        let kinds = self.kinds(e);
        match kinds.is_empty() || kinds.single().is_some() {
            true => Ok(kinds),
            false => {
                let names: Vec<&str> = kinds.iter().map(FieldType::name).collect();
                Err(self.refused(&format!("{e}, whose values are of several types ({})", names.join(", "))))
            }
        }
    }

    /// Holds operands to one type, numbers and bools being one.
    pub(super) fn check_alike(&self, operands: &[&Expr]) -> Result<()> {
        let mut seen: Option<(FieldType, &Expr)> = None;
        for operand in operands {
            let Some(kind) = self.one_type(operand)?.single() else { continue };
            let class =
                if matches!(kind, FieldType::Int | FieldType::Bool) { FieldType::Float } else { kind };
            match seen {
                Some((other, first)) if other != class => {
                    return Err(self.refused(&format!(
                        "{first} beside {operand}, which are of different types; cast one of them"
                    )));
                }
                _ => seen = Some((class, operand)),
            }
        }
        Ok(())
    }

    /// An expression.
    pub(super) fn print(&self, e: &Expr) -> Result<Sql> {
        match e {
            Expr::Literal(value) => self.words.literal(value),
            Expr::Column(name) => self.column(e, name),
            Expr::Not(inner) => self.not(inner),
            Expr::Negate(operand) => match self.number(operand)? {
                None => self.words.literal(&Value::Null),
                Some(operand) => Ok(Sql::loose(format!("-{}", operand.within(binding::ATOM)), binding::SIGN)),
            },
            Expr::Binary(op, a, b) => self.binary(*op, a, b),
            Expr::IsNull(operand) => {
                let operand = self.print(operand)?.within(binding::SUM);
                Ok(Sql::loose(format!("{operand} IS NULL"), binding::COMPARISON))
            }
            Expr::In(operand, list) => self.in_list(operand, list, ""),
            Expr::Like { operand, pattern, escape, insensitive } => {
                let like =
                    Like { operand, pattern, escape: *escape, insensitive: *insensitive, negated: false };
                self.words.like(self, like)
            }
            Expr::Case { branches, otherwise } => self.case(branches, otherwise.as_deref()),
            Expr::Cast(operand, to) => {
                let kinds = self.one_type(operand)?;
                self.words.cast(self, &self.print(operand)?, kinds, *to)
            }
            Expr::Call(function, arguments) if function.is_explode() => match arguments.as_slice() {
                [list] => Ok(self.words.entry(&self.print(list)?)),
                _ => self.words.literal(&Value::Null),
            },
            Expr::Call(function, arguments) => self.words.call(self, *function, arguments),
            Expr::Aggregate(call) => self.words.aggregate(self, call),
        }
    }

    fn column(&self, e: &Expr, name: &str) -> Result<Sql> {
        let _ = self.one_type(e)?;
        let is_other = |expression: &Expr| !matches!(expression, Expr::Column(field) if field == name);
        let is_hidden = self.query.select.iter().any(|item| item.name == name && is_other(&item.expression));
        let column = identifier(name);
        let is_hidden = is_hidden || name == "entry" && exploded(&self.query.by).is_some();
        Ok(Sql::atom(if is_hidden { format!("{}.{column}", identifier(&self.dataset.name)) } else { column }))
    }

    /// A condition, of a bool or a number.
    pub(super) fn truth(&self, e: &Expr) -> Result<Sql> {
        match self.one_type(e)?.single() {
            None | Some(FieldType::Bool | FieldType::Int | FieldType::Float) => self.print(e),
            Some(kind) => Err(self.refused(&format!("{e} as a condition: it is of type {kind}"))),
        }
    }

    fn not(&self, inner: &Expr) -> Result<Sql> {
        match inner {
            Expr::IsNull(operand) => {
                let operand = self.print(operand)?.within(binding::SUM);
                Ok(Sql::loose(format!("{operand} IS NOT NULL"), binding::COMPARISON))
            }
            Expr::In(operand, list) => self.in_list(operand, list, "NOT "),
            Expr::Like { operand, pattern, escape, insensitive } => {
                let like =
                    Like { operand, pattern, escape: *escape, insensitive: *insensitive, negated: true };
                self.words.like(self, like)
            }
            other => {
                let operand = self.truth(other)?.within(binding::SUM);
                Ok(Sql::loose(format!("NOT {operand}"), binding::NOT))
            }
        }
    }

    fn binary(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Result<Sql> {
        match op {
            BinaryOp::And => infix(&self.truth(a)?, "AND", &self.truth(b)?, binding::AND, binding::AND),
            BinaryOp::Or => infix(&self.truth(a)?, "OR", &self.truth(b)?, binding::OR, binding::OR),
            BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::IntegerDivide
            | BinaryOp::Modulo => self.arithmetic(op, a, b),
            BinaryOp::Concat => infix(&self.text(a)?, "||", &self.text(b)?, binding::PRODUCT, binding::SIGN),
            BinaryOp::Regexp => Ok(self.words.regexp(&self.text(a)?, &self.text(b)?)),
            BinaryOp::Distinct => {
                self.check_alike(&[a, b])?;
                Ok(self.words.distinct(&self.print(a)?, &self.print(b)?))
            }
            comparison => {
                self.check_alike(&[a, b])?;
                let (left, right) =
                    (self.print(a)?.within(binding::SUM), self.print(b)?.within(binding::SUM));
                Ok(Sql::loose(format!("{left} {} {right}", comparison.symbol()), binding::COMPARISON))
            }
        }
    }

    fn arithmetic(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Result<Sql> {
        let kind = |e: &Expr| Ok(self.one_type(e)?.single());
        let (left, right) = (kind(a)?, kind(b)?);
        match (op, left, right) {
            (BinaryOp::Subtract, Some(FieldType::Time), Some(FieldType::Time)) => {
                let (a, b) = (self.words.epoch(&self.print(a)?), self.words.epoch(&self.print(b)?));
                return infix(&a, "-", &b, binding::SUM, binding::PRODUCT);
            }
            (
                BinaryOp::Add | BinaryOp::Subtract,
                Some(FieldType::Time),
                Some(FieldType::Int | FieldType::Float),
            ) => {
                return self.words.move_time(self, a, op, b);
            }
            (BinaryOp::Add, Some(FieldType::Int | FieldType::Float), Some(FieldType::Time)) => {
                return self.words.move_time(self, b, op, a);
            }
            _ => {}
        }
        let (Some(left), Some(right)) = (self.number(a)?, self.number(b)?) else {
            return self.words.literal(&Value::Null);
        };
        match op {
            BinaryOp::Add | BinaryOp::Subtract => {
                infix(&left, op.symbol(), &right, binding::SUM, binding::PRODUCT)
            }
            BinaryOp::Multiply => infix(&left, "*", &right, binding::PRODUCT, binding::SIGN),
            BinaryOp::IntegerDivide => self.words.integer_divide(self, a, b),
            // by nothing it is null, and no infinity and no error
            _ => infix(&left, op.symbol(), &self.divisor(b, &right), binding::PRODUCT, binding::SIGN),
        }
    }

    /// What is divided by, null where it is 0.
    pub(super) fn divisor(&self, e: &Expr, printed: &Sql) -> Sql {
        match e {
            Expr::Literal(value) if value.as_f64().is_some_and(|number| number != 0.0) => printed.clone(),
            _ => Sql::call("nullif", &[printed, &Sql::atom("0")]),
        }
    }

    /// An operand of arithmetic; `None` where it is no number, so that the result is null.
    pub(super) fn number(&self, e: &Expr) -> Result<Option<Sql>> {
        let printed = self.print(e)?;
        Ok(match self.one_type(e)?.single() {
            None | Some(FieldType::Int | FieldType::Float) => Some(printed),
            Some(FieldType::Bool) => Some(self.words.number_of_bool(&printed)),
            Some(_) => None,
        })
    }

    /// An operand as text.
    pub(super) fn text(&self, e: &Expr) -> Result<Sql> {
        let (printed, kinds) = (self.print(e)?, self.one_type(e)?);
        match kinds.single() {
            None | Some(FieldType::String) => Ok(printed),
            Some(_) => self.words.cast(self, &printed, kinds, FieldType::String),
        }
    }

    fn in_list(&self, operand: &Expr, list: &[Expr], not: &str) -> Result<Sql> {
        self.check_alike(&std::iter::once(operand).chain(list).collect::<Vec<_>>())?;
        let is_null = |e: &&Expr| matches!(e, Expr::Literal(Value::Null));
        let items = list.iter().filter(|item| !is_null(item)).map(|item| Ok(self.print(item)?.text));
        let items = items.collect::<Result<Vec<String>>>()?;
        let wanted = self.print(operand)?.within(binding::SUM);
        // an empty list, and a null within one, are not taken alike everywhere
        let is_in = match items.is_empty() {
            true => Sql::atom(if not.is_empty() { "FALSE" } else { "TRUE" }),
            false => Sql::loose(format!("{wanted} {not}IN ({})", items.join(", ")), binding::COMPARISON),
        };
        match (list.iter().any(|item| is_null(&item)), not.is_empty()) {
            (false, _) => Ok(is_in),
            (true, true) => Ok(Sql::loose(format!("{} OR NULL", is_in.within(binding::OR)), binding::OR)),
            (true, false) => Ok(Sql::loose(format!("{} AND NULL", is_in.within(binding::AND)), binding::AND)),
        }
    }

    fn case(&self, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> Result<Sql> {
        self.check_alike(&branches.iter().map(|(_, result)| result).chain(otherwise).collect::<Vec<_>>())?;
        let mut text = String::from("CASE");
        for (condition, result) in branches {
            text += &format!(" WHEN {} THEN {}", self.truth(condition)?.text, self.print(result)?.text);
        }
        if let Some(otherwise) = otherwise {
            text += &format!(" ELSE {}", self.print(otherwise)?.text);
        }
        Ok(Sql::atom(text + " END"))
    }
}

fn infix(a: &Sql, symbol: &str, b: &Sql, left: u8, right: u8) -> Result<Sql> {
    Ok(Sql::loose(format!("{} {symbol} {}", a.within(left), b.within(right)), left))
}

impl Writer for Foreign<'_> {
    fn value(&self, e: &Expr) -> Result<String> {
        self.print(e).map(|sql| sql.text)
    }

    fn condition(&self, e: &Expr) -> Result<String> {
        self.truth(e).map(|sql| sql.text)
    }

    fn group_key(&self, e: &Expr) -> Result<String> {
        // a constant would be the place of a column
        match e {
            Expr::Literal(_) => Ok(format!("({})", self.print(e)?.text)),
            _ => self.value(e),
        }
    }

    /// An output column is called by its name, where that is one.
    fn order_key(&self, e: &Expr, column: Option<usize>) -> Result<String> {
        let item: Option<&Item> = column.and_then(|at| self.query.select.get(at));
        match item.filter(|item| identifier(&item.name) == item.name) {
            Some(item) if !matches!(e, Expr::Column(_)) => Ok(item.name.clone()),
            _ => self.group_key(e),
        }
    }

    fn name(&self, name: &str) -> Result<String> {
        Ok(identifier(name))
    }

    fn source(&self, query: &Query) -> Result<String> {
        let table = identifier(&self.dataset.name);
        let Some(list) = exploded(&query.by) else { return Ok(table) };
        if self.kinds(list) != Kinds::of(FieldType::Strings) {
            return Err(self.refused(&format!("explode({list}), which is not of lists alone")));
        }
        Ok(format!("{table}{}", self.words.entries(&self.print(list)?)))
    }

    fn limit(&self, limit: Option<usize>, offset: usize) -> Option<String> {
        statement::limit(limit, offset)
    }
}
