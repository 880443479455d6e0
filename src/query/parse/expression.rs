//! sqlparser's tree of one expression to ours. What SQL knows and Windrow does not is refused here, by name and place.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CeilFloorKind, DataType, Expr as Tree, Ident, TrimWhereField, TypedString,
    UnaryOperator, Value as Written, ValueWithSpan, WindowSpec,
};
use sqlparser::tokenizer::Location;

use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::Function;
use crate::query::relational::tree::Part;
use crate::query::scalar::cast;
use crate::time::{self, Bucket};
use crate::value::Value;

use super::dialect::Text;
use super::location::location;
use super::names::Copies;
use super::relational::check_name;
use super::types::field_type;

/// Levels of an expression at most, chains of AND and OR not counted: every recursion over it must fit the stack.
pub(super) const DEPTH: usize = 128;

/// Where an expression stands, for what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a SELECT list, HAVING, ORDER BY.
    Anywhere,
    /// Rows are filtered before they are grouped.
    Where,
    /// A condition that stands alone, as in `where=` and `--where`: nothing is grouped.
    Condition,
    /// A group key, a LIMIT.
    Key,
    /// In the argument or filter of an aggregate.
    Aggregate,
    /// In a window function: groups are made already, and their aggregates are values.
    Window,
}

/// Reads expressions of one text.
pub(super) struct Reader<'a> {
    pub(super) text: &'a Text<'a>,
    /// What `?` stands for; none where parameters have no place.
    pub(super) parameters: Option<&'a [serde_json::Value]>,
    /// Names that may stand before a field: the dataset and its alias.
    pub(super) qualifiers: Vec<String>,
    /// Subqueries and window functions so far; none where they have no place.
    pub(super) parts: Option<Vec<Part>>,
    /// The windows of the WINDOW clause.
    pub(super) windows: Vec<(String, WindowSpec)>,
    pub(super) depth: usize,
    /// What the copies of its expressions have cost.
    pub(super) copies: Copies,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a Text<'a>) -> Self {
        Self {
            text,
            parameters: None,
            qualifiers: Vec::new(),
            parts: None,
            windows: Vec::new(),
            depth: 0,
            copies: Copies::default(),
        }
    }

    /// The expression of a tree.
    pub(super) fn read(&mut self, tree: &Tree, place: Place) -> Result<Expr> {
        if self.depth >= DEPTH {
            return Err(self.error(location(tree), &format!("operators nest deeper than {DEPTH} levels")));
        }
        self.depth += 1;
        let read = self.read_node(tree, place);
        self.depth -= 1;
        read
    }

    /// The same, on the heap.
    pub(super) fn boxed(&mut self, tree: &Tree, place: Place) -> Result<Box<Expr>> {
        self.read(tree, place).map(Box::new)
    }

    pub(super) fn error(&self, at: Option<Location>, message: &str) -> Error {
        match at {
            Some(_) => self.text.error(at, message),
            None => Error::invalid(format!("cannot read {}: {message}", self.text.what)),
        }
    }

    /// Adds the place to an error that has none.
    pub(super) fn located<T>(&self, at: Option<Location>, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.error(at, &error.to_string()))
    }

    fn read_node(&mut self, tree: &Tree, place: Place) -> Result<Expr> {
        match tree {
            Tree::Identifier(name) => {
                check_name(self, &name.value, tree)?;
                Ok(Expr::Column(name.value.clone()))
            }
            Tree::CompoundIdentifier(parts) => {
                let name = self.field_name(parts);
                check_name(self, &name, tree)?;
                Ok(Expr::Column(name))
            }
            Tree::Nested(inner) => self.read(inner, place),
            Tree::Value(value) => self.value(value).map(Expr::Literal),
            Tree::TypedString(typed) => self.typed_string(typed),
            Tree::UnaryOp { op, expr } => self.unary(*op, expr, place),
            Tree::BinaryOp { left, op, right } => self.binary(left, op, right, place),
            Tree::Function(call) => self.call(call, place),
            Tree::Cast { expr, data_type, format: None, .. } => self.cast(expr, data_type, place),
            Tree::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), place)
            }
            Tree::Between { .. }
            | Tree::InList { .. }
            | Tree::Like { .. }
            | Tree::ILike { .. }
            | Tree::RLike { .. } => self.predicate(tree, place),
            Tree::Extract { field, expr, .. } => {
                let part = self.located(location(expr), super::calls::part(&field.to_string()))?;
                let of = self.read(expr, place)?;
                self.named_call("extract", vec![part, of])
            }
            Tree::Ceil { expr, field } => self.rounded("ceil", expr, field, place),
            Tree::Floor { expr, field } => self.rounded("floor", expr, field, place),
            Tree::Substring { expr, substring_from, substring_for, .. } => {
                let parts = std::iter::once(expr).chain(substring_from).chain(substring_for);
                let arguments = parts.map(|part| self.read(part, place)).collect::<Result<Vec<_>>>()?;
                self.named_call("substr", arguments)
            }
            Tree::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                let cut = trim_what.as_deref().into_iter().chain(trim_characters.iter().flatten());
                let parts = std::iter::once(expr.as_ref()).chain(cut);
                let arguments = parts.map(|part| self.read(part, place)).collect::<Result<Vec<_>>>()?;
                self.named_call(name, arguments)
            }
            Tree::Subquery(_) | Tree::Exists { .. } | Tree::InSubquery { .. } if self.parts.is_some() => {
                self.subquery(tree, place)
            }
            _ => self.null_test(tree, place),
        }
    }

    fn null_test(&mut self, tree: &Tree, place: Place) -> Result<Expr> {
        let is = |operand: Expr, yes: bool, no: bool| Expr::Case {
            branches: vec![(operand, Expr::Literal(Value::Bool(yes)))],
            otherwise: Some(Box::new(Expr::Literal(Value::Bool(no)))),
        };
        Ok(match tree {
            Tree::IsNull(e) | Tree::IsUnknown(e) => Expr::IsNull(self.boxed(e, place)?),
            Tree::IsNotNull(e) | Tree::IsNotUnknown(e) => not(Expr::IsNull(self.boxed(e, place)?)),
            Tree::IsTrue(e) => is(self.read(e, place)?, true, false),
            Tree::IsNotTrue(e) => is(self.read(e, place)?, false, true),
            Tree::IsFalse(e) => is(not(self.read(e, place)?), true, false),
            Tree::IsNotFalse(e) => is(not(self.read(e, place)?), false, true),
            Tree::IsDistinctFrom(a, b) => {
                Expr::Binary(BinaryOp::Distinct, self.boxed(a, place)?, self.boxed(b, place)?)
            }
            Tree::IsNotDistinctFrom(a, b) => {
                not(Expr::Binary(BinaryOp::Distinct, self.boxed(a, place)?, self.boxed(b, place)?))
            }
            _ => return Err(self.unsupported(tree)),
        })
    }

    pub(super) fn unsupported(&self, tree: &Tree) -> Error {
        let what = match tree {
            Tree::Subquery(_) | Tree::Exists { .. } | Tree::InSubquery { .. } => {
                "subqueries stand in SQL only, not in this expression"
            }
            Tree::AnyOp { .. } | Tree::AllOp { .. } => {
                "ANY and ALL are not answered; use x IN (..) or contains(list, x)"
            }
            Tree::Interval(_) => {
                "intervals are not answered yet; add a number of seconds to a time, or compare with a time as text"
            }
            Tree::AtTimeZone { .. } => {
                "AT TIME ZONE is not answered; give the query a time zone: \"tz\" beside it, --tz on the command line"
            }
            Tree::Collate { .. } => "COLLATE is not answered: text compares by bytes; use lower(x) or ILIKE",
            Tree::Position { .. } => "position is not answered; use contains(text, part)",
            Tree::SimilarTo { .. } => "SIMILAR TO is not answered; use REGEXP",
            Tree::Convert { .. } => "CONVERT is not answered; use CAST(x AS type)",
            Tree::Cast { .. } => "CAST has no FORMAT here; use strftime",
            Tree::Array(_) | Tree::Tuple(_) | Tree::Struct { .. } | Tree::Dictionary(_) | Tree::Map(_) => {
                "lists and tuples cannot be written here; give them as a parameter"
            }
            Tree::CompoundFieldAccess { .. } | Tree::JsonAccess { .. } => {
                "nothing can be taken out of a value here; nested fields have dotted names: \"props.plan\""
            }
            Tree::Wildcard(_) | Tree::QualifiedWildcard(..) => "* is no value",
            _ => "this form of SQL is not answered",
        };
        self.error(location(tree), what)
    }

    /// `e.country` is the field country where e is the dataset; `props.plan` is a field's dotted name.
    fn field_name(&self, parts: &[Ident]) -> String {
        let own = match parts {
            [first, rest @ ..] if !rest.is_empty() && self.qualifiers.contains(&first.value) => rest,
            all => all,
        };
        own.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".")
    }

    fn unary(&mut self, op: UnaryOperator, operand: &Tree, place: Place) -> Result<Expr> {
        match (op, operand) {
            // -9223372036854775808 has no positive
            (
                UnaryOperator::Minus,
                Tree::Value(ValueWithSpan { value: Written::Number(digits, _), span }),
            ) => self.number(&format!("-{digits}"), span.start).map(Expr::Literal),
            (UnaryOperator::Minus, _) => Ok(Expr::Negate(self.boxed(operand, place)?)),
            (UnaryOperator::Plus, _) => self.read(operand, place),
            (UnaryOperator::Not, _) => Ok(not(self.read(operand, place)?)),
            _ => Err(self.error(location(operand), &format!("the operator {op} is not answered"))),
        }
    }

    fn binary(&mut self, left: &Tree, op: &BinaryOperator, right: &Tree, place: Place) -> Result<Expr> {
        let Some(known) = binary_op(op) else {
            let hint = match op {
                BinaryOperator::PGRegexMatch | BinaryOperator::Match => "; use REGEXP",
                BinaryOperator::Glob => "; use LIKE or REGEXP",
                BinaryOperator::Arrow | BinaryOperator::LongArrow => {
                    "; nested fields have dotted names: \"props.plan\""
                }
                _ => "",
            };
            return Err(self.error(location(left), &format!("the operator {op} is not answered{hint}")));
        };
        if !matches!(known, BinaryOp::And | BinaryOp::Or) {
            return Ok(Expr::Binary(known, self.boxed(left, place)?, self.boxed(right, place)?));
        }
        // a chain leans to the left, as deep as it is long
        let mut terms = vec![right];
        let mut rest = left;
        while let Tree::BinaryOp { left, op: same, right } = rest {
            if same != op {
                break;
            }
            terms.push(right);
            rest = left;
        }
        terms.push(rest);
        let terms = terms.into_iter().rev().map(|t| self.read(t, place)).collect::<Result<Vec<_>>>()?;
        balanced(known, terms).ok_or_else(|| Error::Internal("a chain without terms".into()))
    }

    fn predicate(&mut self, tree: &Tree, place: Place) -> Result<Expr> {
        let (negated, read) = match tree {
            Tree::Between { expr, negated, low, high } => {
                let operand = self.read(expr, place)?;
                let copy = self.copies.copy(&operand)?;
                let low = Expr::Binary(BinaryOp::GtEq, Box::new(operand), self.boxed(low, place)?);
                let high = Expr::Binary(BinaryOp::LtEq, Box::new(copy), self.boxed(high, place)?);
                (*negated, Expr::Binary(BinaryOp::And, Box::new(low), Box::new(high)))
            }
            Tree::InList { expr, list, negated } => {
                let operand = self.boxed(expr, place)?;
                let list = list.iter().map(|item| self.read(item, place)).collect::<Result<Vec<_>>>()?;
                (*negated, Expr::In(operand, list))
            }
            Tree::Like { negated, any: false, expr, pattern, escape_char }
            | Tree::ILike { negated, any: false, expr, pattern, escape_char } => {
                let like = Expr::Like {
                    operand: self.boxed(expr, place)?,
                    pattern: self.boxed(pattern, place)?,
                    escape: self.escape(escape_char.as_deref())?,
                    insensitive: matches!(tree, Tree::ILike { .. }),
                };
                (*negated, like)
            }
            Tree::RLike { negated, expr, pattern, .. } => (
                *negated,
                Expr::Binary(BinaryOp::Regexp, self.boxed(expr, place)?, self.boxed(pattern, place)?),
            ),
            _ => return Err(self.unsupported(tree)),
        };
        Ok(if negated { not(read) } else { read })
    }

    fn escape(&self, tree: Option<&Tree>) -> Result<Option<char>> {
        let Some(tree) = tree else { return Ok(None) };
        if let Tree::Value(value) = tree
            && let Value::Text(text) = self.value(value)?
        {
            let mut chars = text.chars();
            if let (escape, None) = (chars.next(), chars.next()) {
                return Ok(escape);
            }
        }
        Err(self.error(location(tree), "ESCAPE takes one character, as in ESCAPE '!'"))
    }

    fn case(
        &mut self,
        operand: Option<&Tree>,
        conditions: &[CaseWhen],
        otherwise: Option<&Tree>,
        place: Place,
    ) -> Result<Expr> {
        let operand = operand.map(|tree| self.read(tree, place)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for CaseWhen { condition, result } in conditions {
            let condition = self.read(condition, place)?;
            let condition = match &operand {
                Some(operand) => {
                    Expr::Binary(BinaryOp::Eq, Box::new(self.copies.copy(operand)?), Box::new(condition))
                }
                None => condition,
            };
            branches.push((condition, self.read(result, place)?));
        }
        let otherwise = otherwise.map(|tree| self.boxed(tree, place)).transpose()?;
        Ok(Expr::Case { branches, otherwise })
    }

    fn cast(&mut self, operand: &Tree, data_type: &DataType, place: Place) -> Result<Expr> {
        let at = location(operand);
        let operand = self.read(operand, place)?;
        if matches!(data_type, DataType::Date) {
            return Ok(match Function::of_bucket(Bucket::Day) {
                Some(day) => Expr::Call(day, vec![Expr::Cast(Box::new(operand), FieldType::Time)]),
                None => Expr::Cast(Box::new(operand), FieldType::Time),
            });
        }
        let to = self.located(at, field_type(data_type))?;
        match operand {
            // how a list or JSON is written as a constant
            Expr::Literal(text @ Value::Text(_)) if matches!(to, FieldType::Strings | FieldType::Json) => {
                Ok(Expr::Literal(cast(&text, to)))
            }
            operand => Ok(Expr::Cast(Box::new(operand), to)),
        }
    }

    fn rounded(&mut self, name: &str, operand: &Tree, kind: &CeilFloorKind, place: Place) -> Result<Expr> {
        use sqlparser::ast::DateTimeField::NoDateTime;
        if !matches!(kind, CeilFloorKind::DateTimeField(NoDateTime)) {
            return Err(
                self.error(location(operand), &format!("{name}() takes one argument; see round(x, digits)"))
            );
        }
        let operand = self.read(operand, place)?;
        self.named_call(name, vec![operand])
    }

    /// A call of a function that the grammar knows by a form of its own.
    fn named_call(&self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        let function =
            Function::find(name).ok_or_else(|| Error::Internal(format!("{name} is not in the table")))?;
        self.located(None, function.check_arguments(arguments.len()))?;
        Ok(Expr::Call(function, arguments))
    }

    fn typed_string(&self, typed: &TypedString) -> Result<Expr> {
        let at = Some(typed.value.span.start);
        let Value::Text(text) = self.value(&typed.value)? else {
            return Err(self.error(at, "a text is expected after a type"));
        };
        let to = match &typed.data_type {
            DataType::Date => FieldType::Time,
            other => self.located(at, field_type(other))?,
        };
        let value = match to {
            // without an offset it is on the query's clock, which planning knows
            FieldType::Time if time::is_local(&text) => {
                return Ok(Expr::Cast(Box::new(Expr::Literal(Value::Text(text))), to));
            }
            FieldType::Time => time::parse(&text).map_or(Value::Null, Value::Time),
            other => cast(&Value::Text(text.clone()), other),
        };
        if value.is_null() {
            let shown = crate::query::matcher::shorten(&text);
            return Err(self.error(
                at,
                &format!("'{shown}' is no {to}; a time is '2026-01-31' or '2026-01-31T10:00:00Z'"),
            ));
        }
        Ok(Expr::Literal(value))
    }

    fn value(&self, written: &ValueWithSpan) -> Result<Value> {
        let at = written.span.start;
        match &written.value {
            Written::Number(digits, _) => self.number(digits, at),
            Written::SingleQuotedString(text) => Ok(Value::text(text.as_str())),
            Written::Boolean(value) => Ok(Value::Bool(*value)),
            Written::Null => Ok(Value::Null),
            Written::Placeholder(name) => self.parameter(name, at),
            _ => {
                Err(self
                    .error(Some(at), "this form of a constant is not known; text stands in single quotes"))
            }
        }
    }

    /// Integers beyond 64 bits become floats.
    fn number(&self, digits: &str, at: Location) -> Result<Value> {
        if let Ok(number) = digits.parse() {
            return Ok(Value::Int(number));
        }
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(self.error(Some(at), &format!("\"{digits}\" is no number that a float holds"))),
        }
    }

    fn parameter(&self, name: &str, at: Location) -> Result<Value> {
        if name.starts_with(['@', ':']) {
            return Err(self.error(Some(at), &format!("a name such as \"{name}\" stands in double quotes")));
        }
        let Some(values) = self.parameters else {
            return Err(self.error(Some(at), "parameters (? or $1) stand in SQL only; write the value here"));
        };
        // `sql` has numbered the plain ones
        let number = name.strip_prefix(['?', '$']).and_then(|digits| digits.parse::<usize>().ok());
        match number.and_then(|n| values.get(n.checked_sub(1)?)) {
            Some(value) => Ok(super::json::value(value)),
            None => {
                Err(self
                    .error(Some(at), &format!("there is no parameter {name}; {} are given", values.len())))
            }
        }
    }
}

pub(super) fn not(expression: Expr) -> Expr {
    Expr::Not(Box::new(expression))
}

/// A chain as a tree of even depth; its meaning does not depend on the shape.
fn balanced(op: BinaryOp, mut terms: Vec<Expr>) -> Option<Expr> {
    if terms.len() <= 1 {
        return terms.pop();
    }
    let right = terms.split_off(terms.len().div_ceil(2));
    Some(Expr::Binary(op, Box::new(balanced(op, terms)?), Box::new(balanced(op, right)?)))
}

fn binary_op(op: &BinaryOperator) -> Option<BinaryOp> {
    Some(match op {
        BinaryOperator::Plus => BinaryOp::Add,
        BinaryOperator::Minus => BinaryOp::Subtract,
        BinaryOperator::Multiply => BinaryOp::Multiply,
        BinaryOperator::Divide => BinaryOp::Divide,
        BinaryOperator::DuckIntegerDivide => BinaryOp::IntegerDivide,
        BinaryOperator::Modulo => BinaryOp::Modulo,
        BinaryOperator::StringConcat => BinaryOp::Concat,
        BinaryOperator::Gt => BinaryOp::Gt,
        BinaryOperator::Lt => BinaryOp::Lt,
        BinaryOperator::GtEq => BinaryOp::GtEq,
        BinaryOperator::LtEq => BinaryOp::LtEq,
        BinaryOperator::Eq => BinaryOp::Eq,
        BinaryOperator::NotEq => BinaryOp::NotEq,
        BinaryOperator::And => BinaryOp::And,
        BinaryOperator::Or => BinaryOp::Or,
        BinaryOperator::Regexp => BinaryOp::Regexp,
        _ => return None,
    })
}
