//! What every expression means, for one row: the reference that the vector engine is tested against, and the path
//! it takes where it has no vectors for. The meanings are told in docs/query.md.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::query::expression::{BinaryOp, Expr};
use crate::query::functions::{Context, PatternKind, check_text_length};
use crate::query::matcher::Matcher;
use crate::time;
use crate::value::Value;

pub use crate::query::cast::cast;

/// The value of an expression over a row, which is given as a function from field names to values.
pub fn evaluate(expression: &Expr, row: &dyn Fn(&str) -> Value, context: &Context) -> Result<Value> {
    let value = |e: &Expr| evaluate(e, row, context);
    match expression {
        Expr::Literal(literal) => Ok(literal.clone()),
        Expr::Column(name) => Ok(row(name)),
        Expr::Not(operand) => Ok(not(&value(operand)?)),
        Expr::Negate(operand) => negate(&value(operand)?),
        Expr::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => {
            let first = truth(&value(a)?);
            // the second is not asked where the first decides
            if first == Some(*op == BinaryOp::Or) {
                return Ok(boolean(first));
            }
            Ok(boolean(logic(*op, first, truth(&value(b)?))))
        }
        Expr::Binary(BinaryOp::Regexp, text, pattern) => {
            let kind = PatternKind::Regexp { flags: String::new() };
            match_pattern(&value(text)?, &value(pattern)?, kind, context)
        }
        Expr::Binary(op, a, b) => binary(*op, &value(a)?, &value(b)?),
        Expr::IsNull(operand) => Ok(Value::Bool(value(operand)?.is_null())),
        Expr::In(operand, list) => in_list(&value(operand)?, list.iter().map(value)),
        Expr::Like { operand, pattern, escape, insensitive } => {
            let kind = PatternKind::Like { escape: *escape, insensitive: *insensitive };
            match_pattern(&value(operand)?, &value(pattern)?, kind, context)
        }
        Expr::Case { branches, otherwise } => {
            for (condition, result) in branches {
                if truth(&value(condition)?) == Some(true) {
                    return value(result);
                }
            }
            otherwise.as_ref().map_or(Ok(Value::Null), |e| value(e))
        }
        Expr::Cast(operand, to) => Ok(cast(&value(operand)?, *to)),
        Expr::Call(function, arguments) => {
            let arguments = arguments.iter().map(value).collect::<Result<Vec<_>>>()?;
            function.call(&arguments, context)
        }
        Expr::Aggregate(_) => Err(Error::Internal(format!("{expression} was asked of a single row"))),
    }
}

/// Whether a value counts as true: bools as they are, numbers unless they are 0. Anything else is neither.
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(i) => Some(*i != 0),
        Value::Float(f) => Some(*f != 0.0),
        _ => None,
    }
}

/// The order of two values as comparisons see it: none where one is null, and a text beside a time is read as a time
/// if it is one.
pub fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    if a.is_null() || b.is_null() {
        return None;
    }
    Some(match (a, b) {
        (Value::Time(us), Value::Text(text)) => match time::parse(text) {
            Some(other) => us.cmp(&other),
            None => a.compare(b),
        },
        (Value::Text(text), Value::Time(us)) => match time::parse(text) {
            Some(other) => other.cmp(us),
            None => a.compare(b),
        },
        _ => a.compare(b),
    })
}

/// A binary operator over values. REGEXP compiles its pattern each time: over many rows, use a [`Matcher`].
pub fn binary(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    use BinaryOp as Op;
    let compared = |holds: fn(Ordering) -> bool| Ok(boolean(compare(a, b).map(holds)));
    match op {
        Op::Eq => compared(Ordering::is_eq),
        Op::NotEq => compared(Ordering::is_ne),
        Op::Lt => compared(Ordering::is_lt),
        Op::LtEq => compared(Ordering::is_le),
        Op::Gt => compared(Ordering::is_gt),
        Op::GtEq => compared(Ordering::is_ge),
        Op::Distinct => Ok(Value::Bool(match compare(a, b) {
            Some(ordering) => ordering.is_ne(),
            None => a.is_null() != b.is_null(),
        })),
        Op::And | Op::Or => Ok(boolean(logic(op, truth(a), truth(b)))),
        Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::IntegerDivide | Op::Modulo => {
            arithmetic(op, a, b)
        }
        Op::Concat => concat(a, b),
        Op::Regexp if a.is_null() || b.is_null() => Ok(Value::Null),
        Op::Regexp => Ok(Value::Bool(Matcher::regexp(&b.to_text())?.matches(&a.to_text()))),
    }
}

/// `NOT x`.
pub fn not(value: &Value) -> Value {
    boolean(truth(value).map(|b| !b))
}

/// `-x`.
pub fn negate(value: &Value) -> Result<Value> {
    match value {
        Value::Bool(b) => Ok(Value::Int(-i64::from(*b))),
        Value::Int(i) => i
            .checked_neg()
            .map(Value::Int)
            .ok_or_else(|| Error::invalid(format!("integer overflow in -({i}); cast it to float"))),
        Value::Float(f) => Ok(Value::finite(-f)),
        _ => Ok(Value::Null),
    }
}

fn boolean(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Bool)
}

fn logic(op: BinaryOp, a: Option<bool>, b: Option<bool>) -> Option<bool> {
    let decides = op == BinaryOp::Or;
    match (a, b) {
        (Some(x), _) | (_, Some(x)) if x == decides => Some(decides),
        (None, _) | (_, None) => None,
        _ => Some(!decides),
    }
}

/// `wanted IN (..)`; what stands behind a match is not asked for.
pub fn in_list(wanted: &Value, list: impl Iterator<Item = Result<Value>>) -> Result<Value> {
    let mut unknown = false;
    for item in list {
        match compare(wanted, &item?) {
            Some(Ordering::Equal) => return Ok(Value::Bool(true)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(false) })
}

/// LIKE, ILIKE and REGEXP, with the pattern of the context's where it was used before.
pub fn match_pattern(text: &Value, pattern: &Value, kind: PatternKind, context: &Context) -> Result<Value> {
    if text.is_null() || pattern.is_null() {
        return Ok(Value::Null);
    }
    let matcher = context.matcher(kind, &pattern.to_text())?;
    Ok(Value::Bool(matcher.matches(&text.to_text())))
}

fn concat(a: &Value, b: &Value) -> Result<Value> {
    if a.is_null() || b.is_null() {
        return Ok(Value::Null);
    }
    let (a, b) = (a.to_text(), b.to_text());
    check_text_length(a.len() + b.len())?;
    Ok(Value::text(format!("{a}{b}")))
}

fn arithmetic(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    let whole = |value: &Value| match value {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    };
    if matches!(a, Value::Time(_)) || matches!(b, Value::Time(_)) {
        return time_arithmetic(op, a, b);
    }
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return integers(op, a, b);
    }
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return Ok(Value::Null) };
    // what has no finite result, x/0 among it, is null
    Ok(Value::finite(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => a / b,
        BinaryOp::IntegerDivide => (a / b).trunc(),
        BinaryOp::Modulo => a % b,
        _ => return Err(Error::Internal(format!("{op} was taken for arithmetic"))),
    }))
}

fn integers(op: BinaryOp, a: i64, b: i64) -> Result<Value> {
    let result = match op {
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Subtract => a.checked_sub(b),
        BinaryOp::Multiply => a.checked_mul(b),
        BinaryOp::Divide => return Ok(Value::finite(a as f64 / b as f64)),
        BinaryOp::IntegerDivide | BinaryOp::Modulo if b == 0 => return Ok(Value::Null),
        BinaryOp::IntegerDivide => a.checked_div(b),
        // i64::MIN % -1 is 0, though the processor traps on it
        BinaryOp::Modulo => Some(a.wrapping_rem(b)),
        _ => return Err(Error::Internal(format!("{op} was taken for arithmetic"))),
    };
    result.map(Value::Int).ok_or_else(|| overflow(op, a, b))
}

/// The error of integer arithmetic that leaves 64 bits; the vector engine says it in the same words.
pub fn overflow(op: BinaryOp, a: i64, b: i64) -> Error {
    Error::invalid(format!("integer overflow in {a} {op} {b}; cast one side to float"))
}

/// Times and numbers of seconds: `time ± seconds` is a time, `time - time` is seconds. All else with a time is null.
fn time_arithmetic(op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    const SECOND: f64 = time::SECOND as f64;
    let moved = |us: i64, seconds: &Value, sign: i64| -> Result<Value> {
        let by = match seconds {
            Value::Int(i) => i.checked_mul(time::SECOND),
            Value::Float(f) => crate::value::whole((f * SECOND).round()),
            _ => return Ok(Value::Null),
        };
        by.and_then(|by| by.checked_mul(sign)).and_then(|by| us.checked_add(by)).map(Value::Time).ok_or_else(
            || Error::invalid(format!("a time beyond all calendars in {} {op} {}", a.to_text(), b.to_text())),
        )
    };
    match (op, a, b) {
        (BinaryOp::Subtract, Value::Time(a), Value::Time(b)) => {
            Ok(Value::finite((i128::from(*a) - i128::from(*b)) as f64 / SECOND))
        }
        (BinaryOp::Add, Value::Time(us), seconds) | (BinaryOp::Add, seconds, Value::Time(us)) => {
            moved(*us, seconds, 1)
        }
        (BinaryOp::Subtract, Value::Time(us), seconds) => moved(*us, seconds, -1),
        _ => Ok(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::functions::FUNCTIONS;
    use crate::query::parse::expression;
    use jiff::tz::TimeZone;

    const DOCS: &str = include_str!("../../docs/query.md");

    /// The row that docs/query.md speaks of.
    fn row(name: &str) -> Value {
        match name {
            "status" => Value::Int(404),
            "ms" => Value::Float(12.5),
            "path" => Value::text("/docs/Über uns"),
            "tags" => Value::List(["new".into(), "eu".into()].into()),
            "ts" => Value::Time(time::parse("2026-03-29T01:30:15.250Z").unwrap()),
            "props.plan" => Value::text("pro"),
            _ => Value::Null,
        }
    }

    fn shown(text: &str, context: &Context) -> String {
        let result = expression(text).and_then(|e| evaluate(&e, &row, context));
        match result {
            Ok(value) => {
                let mut out = Vec::new();
                value.write_json(&mut out);
                String::from_utf8(out).unwrap()
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn the_examples_of_the_docs_are_true() {
        let mut run = 0;
        for (fence, zone) in [("```examples\n", "UTC"), ("```examples in Europe/Berlin\n", "Europe/Berlin")] {
            let context = Context::new(TimeZone::get(zone).unwrap());
            for block in DOCS.split(fence).skip(1) {
                let block = block.split("```").next().unwrap();
                for line in block.lines().filter(|line| !line.trim().is_empty()) {
                    let (text, wanted) =
                        line.rsplit_once(" → ").unwrap_or_else(|| panic!("no arrow in {line}"));
                    assert_eq!(shown(text.trim(), &context), wanted.trim(), "{text}");
                    run += 1;
                }
            }
        }
        assert!(run > 150, "only {run} examples were found");
    }

    #[test]
    fn the_docs_have_every_function() {
        for entry in &FUNCTIONS {
            let wanted = format!("| {} |", entry.doc);
            assert!(
                DOCS.lines()
                    .any(|line| line.starts_with(&format!("| `{}(", entry.name)) && line.ends_with(&wanted)),
                "docs/query.md has no row for {} that ends with {wanted}",
                entry.name
            );
        }
    }

    #[test]
    fn logic_is_three_valued() {
        let values = [Value::Bool(true), Value::Bool(false), Value::Null];
        let and = ["true", "false", "", "false", "false", "false", "", "false", ""];
        let or = ["true", "true", "true", "true", "false", "", "true", "", ""];
        for (op, table) in [(BinaryOp::And, and), (BinaryOp::Or, or)] {
            for (i, (a, b)) in values.iter().flat_map(|a| values.iter().map(move |b| (a, b))).enumerate() {
                assert_eq!(binary(op, a, b).unwrap().to_text(), table[i], "{a:?} {op} {b:?}");
            }
        }
    }

    #[test]
    fn a_decided_condition_asks_no_further() {
        let context = Context::new(TimeZone::UTC);
        for (text, wanted) in [
            ("false and 9223372036854775807 + 1 > 0", "false"),
            ("true or 9223372036854775807 + 1 > 0", "true"),
            ("case when true then 1 else 9223372036854775807 + 1 end", "1"),
            (
                "9223372036854775807 + 1 > 0 and false",
                "error: integer overflow in 9223372036854775807 + 1; cast one side to float",
            ),
        ] {
            assert_eq!(shown(text, &context), wanted, "{text}");
        }
    }

    #[test]
    fn no_operator_panics_and_null_gives_null() {
        use BinaryOp::*;
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(-1),
            Value::Int(0),
            Value::Float(f64::MAX),
            Value::Float(-0.0),
            Value::Time(i64::MIN),
            Value::Time(i64::MAX),
            Value::text("2026-01-01"),
            Value::text("["),
            Value::List([].into()),
            Value::Json("[1]".into()),
        ];
        let all = [
            Eq,
            NotEq,
            Lt,
            LtEq,
            Gt,
            GtEq,
            And,
            Or,
            Add,
            Subtract,
            Multiply,
            Divide,
            IntegerDivide,
            Modulo,
            Concat,
            Regexp,
            Distinct,
        ];
        for op in all {
            for a in &values {
                for b in &values {
                    let result = binary(op, a, b);
                    let nulls = a.is_null() || b.is_null();
                    if nulls && !matches!(op, And | Or | Distinct) {
                        assert!(result.unwrap().is_null(), "{a:?} {op} {b:?}");
                    }
                }
            }
        }
        for value in &values {
            let _ = negate(value);
            not(value);
            for (to, _) in crate::fields::FieldType::ALL {
                cast(value, to);
            }
        }
    }

    #[test]
    fn an_aggregate_is_no_matter_of_one_row() {
        let error = shown("1 + count(*)", &Context::new(TimeZone::UTC));
        assert!(error.starts_with("error: internal error: count(*)"), "{error}");
    }
}
