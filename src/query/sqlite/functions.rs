//! Scalar functions and operators on a connection: those of the table in `query::functions` under their own names, in place
//! of SQLite's where it has one of the name, and the operators and casts by the names here. All of them call `scalar` and
//! `functions`, so there is one meaning. `register` in `sqlite` calls it; `print` writes the names.

use std::sync::Arc;

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::query::expression::BinaryOp;
use crate::query::functions::{Context, Function, PatternKind};
use crate::query::scalar;
use crate::value::Value;

use super::{FLAGS, Shared, not_added};
use crate::store::values::{Stored, from_sql, sort_key};

/// One operator: its name, its number of arguments (-1 is any), what it does.
type Operator = (&'static str, i32, fn(&[Value], &Context) -> Result<Value>);

/// What is no function of the language, but an operator, a cast, or a step between a value and a condition of SQLite's.
const OPERATORS: [Operator; 10] = [
    ("op_negate", 1, |values, _| scalar::negate(first(values))),
    ("op_not", 1, |values, _| Ok(scalar::not(first(values)))),
    ("op_in", -1, is_in),
    ("op_like", -1, |values, context| like(values, false, context)),
    ("op_ilike", -1, |values, context| like(values, true, context)),
    ("truth", 1, |values, _| {
        Ok(scalar::truth(first(values)).map_or(Value::Null, |truth| Value::Int(i64::from(truth))))
    }),
    ("from_truth", 1, |values, _| Ok(scalar::truth(first(values)).map_or(Value::Null, Value::Bool))),
    ("entry_numbers", 1, |values, _| Ok(entry_numbers(first(values)))),
    ("list_entry", 2, |values, _| Ok(list_entry(values))),
    ("sort_key", 1, |values, _| Ok(sort_key(first(values).clone()))),
];

/// The binary operators that are functions here; AND and OR are SQLite's own, over truths.
const BINARY: [(BinaryOp, &str); 15] = [
    (BinaryOp::Eq, "op_eq"),
    (BinaryOp::NotEq, "op_not_eq"),
    (BinaryOp::Lt, "op_lt"),
    (BinaryOp::LtEq, "op_lt_eq"),
    (BinaryOp::Gt, "op_gt"),
    (BinaryOp::GtEq, "op_gt_eq"),
    (BinaryOp::Add, "op_add"),
    (BinaryOp::Subtract, "op_subtract"),
    (BinaryOp::Multiply, "op_multiply"),
    (BinaryOp::Divide, "op_divide"),
    (BinaryOp::IntegerDivide, "op_integer_divide"),
    (BinaryOp::Modulo, "op_modulo"),
    (BinaryOp::Concat, "op_concat"),
    (BinaryOp::Regexp, "op_regexp"),
    (BinaryOp::Distinct, "op_distinct"),
];

/// The function that a binary operator is; `None` for AND and OR.
pub fn operator_name(op: BinaryOp) -> Option<&'static str> {
    BINARY.iter().find(|(known, _)| *known == op).map(|(_, name)| *name)
}

/// The function that a cast is.
pub fn cast_name(to: FieldType) -> &'static str {
    match to {
        FieldType::Int => "cast_int",
        FieldType::Float => "cast_float",
        FieldType::Bool => "cast_bool",
        FieldType::String => "cast_string",
        FieldType::Time => "cast_time",
        FieldType::Strings => "cast_strings",
        FieldType::Json => "cast_json",
    }
}

/// Every name that is registered here.
pub fn names() -> impl Iterator<Item = String> {
    let operators = OPERATORS.iter().map(|(name, _, _)| *name).chain(BINARY.iter().map(|(_, name)| *name));
    let casts = FieldType::ALL.iter().map(|(to, _)| cast_name(*to));
    Function::names().chain(operators).chain(casts).map(str::to_owned)
}

/// Registers everything of this file.
///
/// # Errors
/// Those of SQLite.
pub(super) fn register(connection: &Connection, shared: &Arc<Shared>) -> Result<()> {
    for name in Function::names() {
        let Some(function) = Function::find(name) else { continue };
        add(connection, name, -1, shared, move |values, context| function.call(values, context))?;
    }
    for (name, arguments, evaluate) in OPERATORS {
        add(connection, name, arguments, shared, evaluate)?;
    }
    for (op, name) in BINARY {
        add(connection, name, 2, shared, move |values, context| match (op, values) {
            // with the pattern kept
            (BinaryOp::Regexp, [text, pattern]) => {
                scalar::match_pattern(text, pattern, PatternKind::Regexp { flags: String::new() }, context)
            }
            (op, [a, b]) => scalar::binary(op, a, b),
            _ => Err(Error::Internal(format!("{name} without its two sides"))),
        })?;
    }
    for (to, _) in FieldType::ALL {
        add(connection, cast_name(to), 1, shared, move |values, _| Ok(scalar::cast(first(values), to)))?;
    }
    Ok(())
}

fn add(
    connection: &Connection,
    name: &str,
    arguments: i32,
    shared: &Arc<Shared>,
    evaluate: impl Fn(&[Value], &Context) -> Result<Value> + Send + 'static,
) -> Result<()> {
    let shared = Arc::clone(shared);
    let call = move |call: &rusqlite::functions::Context<'_>| {
        let values: Vec<Value> = (0..call.len()).map(|at| from_sql(call.get_raw(at))).collect();
        let result = evaluate(&values, &shared.context());
        let result = result.and_then(|value| shared.give(value.bytes()).map(|()| value));
        result.map(Stored::from).map_err(|error| shared.stop(error))
    };
    connection.create_scalar_function(name, arguments, FLAGS, call).map_err(|error| not_added(name, error))
}

fn first(values: &[Value]) -> &Value {
    values.first().unwrap_or(&Value::Null)
}

fn is_in(values: &[Value], _: &Context) -> Result<Value> {
    let Some((wanted, list)) = values.split_first() else { return Ok(Value::Null) };
    scalar::in_list(wanted, list.iter().map(|value| Ok(value.clone())))
}

/// The numbers of a list's entries as a JSON array, which SQLite makes rows of. What is no list is one entry.
fn entry_numbers(list: &Value) -> Value {
    let count = match list {
        Value::Null => 0,
        Value::List(items) => items.len(),
        _ => 1,
    };
    let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    Value::text(format!("[{}]", numbers.join(",")))
}

fn list_entry(values: &[Value]) -> Value {
    match values {
        [Value::List(items), Value::Int(at)] => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            item.map_or(Value::Null, |item| Value::Text(Arc::clone(item)))
        }
        [other, _] => other.clone(),
        _ => Value::Null,
    }
}

fn like(values: &[Value], insensitive: bool, context: &Context) -> Result<Value> {
    let [text, pattern, rest @ ..] = values else { return Ok(Value::Null) };
    let escape = rest.first().and_then(|escape| escape.as_str()?.chars().next());
    scalar::match_pattern(text, pattern, PatternKind::Like { escape, insensitive }, context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::budget::Budget;
    use crate::time::Calendar;

    #[test]
    fn every_operator_and_cast_has_a_name_of_its_own() {
        let mut names: Vec<String> = super::super::names().collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn ours_stand_in_the_place_of_those_of_sqlite() {
        let connection = Connection::open_in_memory().unwrap();
        super::super::register(&connection, &Calendar::default(), &Budget::unbounded()).unwrap();
        for (sql, wanted) in [
            ("round(-2.5)", "Float(-3.0)"),
            ("round(7)", "Int(7)"),
            ("upper('straße')", "Text(\"STRASSE\")"),
            ("lower('ÄB')", "Text(\"äb\")"),
            ("substr('Über', -3)", "Text(\"ber\")"),
            ("replace('abc', 'b', 'x')", "Text(\"axc\")"),
            ("coalesce(NULL, op_divide(1, 0), 3)", "Int(3)"),
            ("nullif(1, 1.0)", "Null"),
            ("sign('x')", "Null"),
            ("op_divide(7, 2)", "Float(3.5)"),
            ("op_integer_divide(-7, 2)", "Int(-3)"),
            ("op_divide(1, 0)", "Null"),
            ("op_eq(op_eq(1, 1), 1)", "Bool(true)"),
            ("op_like('Ab', 'ab')", "Bool(false)"),
            ("op_ilike('Ab', 'aB')", "Bool(true)"),
            ("op_like('1%', '1!%', '!')", "Bool(true)"),
            ("op_regexp('abc', '^a')", "Bool(true)"),
            ("op_in(1, 2, NULL)", "Null"),
            ("op_in(1)", "Bool(false)"),
            ("day(cast_time('2026-03-29T10:00:00Z'))", "Time(1774742400000000)"),
            ("extract('hour', cast_time('2026-03-29T10:00:00Z'))", "Int(10)"),
            ("strftime('%Y', cast_time('2026-03-29'))", "Text(\"2026\")"),
            ("cast_int(2.5)", "Int(3)"),
            ("from_truth(truth(op_eq(1, 1)) AND NULL)", "Null"),
            ("entry_numbers(cast_strings('[\"a\",\"b\"]'))", "Text(\"[0,1]\")"),
            ("entry_numbers(NULL) || entry_numbers(7)", "Text(\"[][0]\")"),
            ("list_entry(cast_strings('[\"a\",\"b\"]'), 1)", "Text(\"b\")"),
            ("list_entry(7, 0)", "Int(7)"),
            ("typeof(truth('x'))", "Text(\"null\")"),
            ("typeof(sort_key(op_eq(1, 1)))", "Text(\"integer\")"),
        ] {
            let found = connection
                .query_row(&format!("SELECT {sql}"), [], |row| Ok(from_sql(row.get_ref(0)?)))
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(format!("{found:?}"), wanted, "{sql}");
        }
    }

    #[test]
    fn a_fault_is_the_clients_in_our_words() {
        let connection = Connection::open_in_memory().unwrap();
        let language =
            super::super::register(&connection, &Calendar::default(), &Budget::unbounded()).unwrap();
        for (sql, wanted) in [
            ("SELECT op_add(9223372036854775807, 1)", "integer overflow in 9223372036854775807 + 1"),
            ("SELECT op_regexp('a', 'a(')", "the regular expression \"a(\" cannot be used"),
            (
                "SELECT sum(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)",
                "integer overflow: a sum",
            ),
        ] {
            let error = connection.query_row(sql, [], |_| Ok(())).unwrap_err();
            let told = language.fault(error);
            assert!(
                matches!(&told, Error::Invalid { detail, .. } if detail.contains(wanted)),
                "{sql}: {told}"
            );
        }
        let other = connection.query_row("SELECT nothing()", [], |_| Ok(())).unwrap_err();
        assert!(matches!(language.fault(other), Error::Sqlite { .. }));
    }
}
