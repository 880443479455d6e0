//! Conditions that SQLite hands to a table: which of them, written as a plan that people can read, and the condition of
//! ours that they make. SQLite asks all of them again, so ours may let more rows through but must lose none. `table` calls
//! it.
//!
//! A comparison is ours where it holds for every row for which SQLite's holds. Between different kinds the orders differ:
//! SQLite has numbers before texts before BLOBs, and bools and times are BLOBs there and numbers with us. So a comparison
//! is left out where the field has values of a kind that only SQLite lets through.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use foldhash::fast::FixedState;
use rusqlite::types::ValueRef;
use rusqlite::vtab::IndexConstraintOp;

use crate::fields::{FieldType, Kinds};
use crate::query::expression::{BinaryOp, Expr};
use crate::value::Value;

use crate::store::values;

/// What is asked of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// `=`
    Equal,
    /// `IN`
    Among,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
}

/// Every test with its sign in a plan.
const SIGNS: [(Test, &str); 8] = [
    (Test::Equal, "="),
    (Test::Among, "in"),
    (Test::Greater, ">"),
    (Test::AtLeast, ">="),
    (Test::Less, "<"),
    (Test::AtMost, "<="),
    (Test::IsNull, "isnull"),
    (Test::IsNotNull, "notnull"),
];

impl Test {
    /// The test of a constraint of SQLite's; `None` where it is not for us.
    pub fn of(operator: &IndexConstraintOp) -> Option<Self> {
        match operator {
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ => Some(Self::Equal),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => Some(Self::Greater),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE => Some(Self::AtLeast),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => Some(Self::Less),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE => Some(Self::AtMost),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_ISNULL => Some(Self::IsNull),
            IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_ISNOTNULL => Some(Self::IsNotNull),
            _ => None,
        }
    }

    fn sign(self) -> &'static str {
        SIGNS.iter().find(|(test, _)| *test == self).map_or("", |(_, sign)| sign)
    }

    /// Whether it compares with one value.
    pub fn compares(self) -> bool {
        !matches!(self, Self::Among | Self::IsNull | Self::IsNotNull)
    }
}

/// One condition on one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// The number of the column.
    pub column: usize,
    /// What is asked of it.
    pub test: Test,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.column, self.test.sign())
    }
}

/// Terms as the text that SQLite keeps of a plan and shows in EXPLAIN QUERY PLAN: `0>= 3= 4isnull`.
pub fn written(terms: &[Term]) -> String {
    let terms: Vec<String> = terms.iter().map(Term::to_string).collect();
    terms.join(" ")
}

/// The terms of such a text; `None` where it is none.
pub fn read(plan: &str) -> Option<Vec<Term>> {
    let term = |word: &str| {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (column, sign) = word.split_at(digits);
        let (test, _) = SIGNS.iter().find(|(_, known)| *known == sign)?;
        Some(Term { column: column.parse().ok()?, test: *test })
    };
    plan.split_ascii_whitespace().map(term).collect()
}

/// The values of an IN.
pub type Values = HashSet<Value, FixedState>;

/// What a column is compared with.
#[derive(Debug, Clone)]
pub enum Argument {
    /// Nothing: no comparison with it holds.
    Null,
    /// A value of ours.
    Known(Value),
    /// What no column of ours holds, as an infinite number; SQLite still orders it.
    Foreign,
}

impl Argument {
    /// What SQLite compares with.
    pub fn of(stored: ValueRef<'_>) -> Self {
        let of_ours = match stored {
            ValueRef::Null => return Self::Null,
            ValueRef::Text(text) => std::str::from_utf8(text).map_or(Value::Null, Value::text),
            other => values::from_sql(other),
        };
        match of_ours {
            Value::Null => Self::Foreign,
            value => Self::Known(value),
        }
    }
}

/// The condition of a term, on a field that can have values of these kinds; `None`: it is for SQLite alone.
pub fn condition(test: Test, field: &str, kinds: Kinds, argument: &Argument) -> Option<Expr> {
    let column = || Box::new(Expr::Column(field.to_owned()));
    let op = match test {
        Test::IsNull => return Some(Expr::IsNull(column())),
        Test::IsNotNull => return Some(Expr::Not(Box::new(Expr::IsNull(column())))),
        Test::Among => return None,
        Test::Equal => BinaryOp::Eq,
        Test::Greater => BinaryOp::Gt,
        Test::AtLeast => BinaryOp::GtEq,
        Test::Less => BinaryOp::Lt,
        Test::AtMost => BinaryOp::LtEq,
    };
    match argument {
        Argument::Null => Some(nothing()),
        // it may be above or below what the column holds, but is equal to nothing
        Argument::Foreign if test == Test::Equal => Some(nothing()),
        Argument::Foreign => None,
        Argument::Known(value) if is_ours(test, value, kinds) => {
            Some(Expr::Binary(op, column(), Box::new(Expr::Literal(value.clone()))))
        }
        Argument::Known(_) => None,
    }
}

/// A condition that holds for every value among these, and not for many others; `None`: that would take as long as to look
/// for each row among them.
pub fn condition_among(field: &str, values: &Values) -> Option<Expr> {
    /// Values that are compared one by one.
    const FEW: usize = 32;
    let column = || Box::new(Expr::Column(field.to_owned()));
    let literal = |value: &Value| Expr::Literal(value.clone());
    if values.is_empty() {
        return Some(nothing());
    }
    if values.len() <= FEW {
        return Some(Expr::In(column(), values.iter().map(literal).collect()));
    }
    let (least, greatest) = (values.iter().min_by(order)?, values.iter().max_by(order)?);
    // between kinds it is no order that zones know
    let kind = std::mem::discriminant(least);
    values.iter().all(|value| std::mem::discriminant(value) == kind).then(|| {
        let bound = |op, value| Expr::Binary(op, column(), Box::new(literal(value)));
        let (above, below) = (bound(BinaryOp::GtEq, least), bound(BinaryOp::LtEq, greatest));
        Expr::Binary(BinaryOp::And, Box::new(above), Box::new(below))
    })
}

fn order(a: &&Value, b: &&Value) -> Ordering {
    a.compare(b)
}

/// What holds for no row.
fn nothing() -> Expr {
    Expr::Literal(Value::Bool(false))
}

/// Whether every value for which SQLite's comparison holds is one for which ours does.
fn is_ours(test: Test, value: &Value, kinds: Kinds) -> bool {
    let has = |any: &[FieldType]| any.iter().any(|kind| kinds.has(*kind));
    const NUMBERS_AND_TEXTS: [FieldType; 3] = [FieldType::Int, FieldType::Float, FieldType::String];
    let (is_above, is_below) =
        (matches!(test, Test::Greater | Test::AtLeast), matches!(test, Test::Less | Test::AtMost));
    match value {
        // there bools and times are above every number and text
        Value::Int(_) | Value::Float(_) | Value::Text(_) => {
            !is_above || !has(&[FieldType::Bool, FieldType::Time])
        }
        // there below a bool is everything but bools, and above it every time
        Value::Bool(_) => !(is_below && has(&NUMBERS_AND_TEXTS) || is_above && has(&[FieldType::Time])),
        Value::Time(_) => !(is_below && (has(&NUMBERS_AND_TEXTS) || has(&[FieldType::Bool]))),
        // nothing is quicker for them, and the rows are as many
        Value::List(_) | Value::Json(_) | Value::Null => false,
    }
}

/// All of the conditions, as one.
pub fn all(conditions: impl Iterator<Item = Expr>) -> Option<Expr> {
    conditions.reduce(|a, b| Expr::Binary(BinaryOp::And, Box::new(a), Box::new(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::functions::Context;
    use crate::query::scalar;
    use crate::store::values::Stored;
    use crate::time::Calendar;

    #[test]
    fn plans_are_read_as_they_are_written() {
        for plan in ["", "0=", "0>= 3= 4isnull", "12< 12> 0<= 7notnull 1in"] {
            assert_eq!(written(&read(plan).unwrap()), plan);
        }
        for nothing in ["=", "0", "0==", "x=", "0 =", "99999999999999999999="] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    fn of_every_kind() -> Vec<Value> {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).into()).collect());
        let mut all = vec![Value::Null, list(&[]), list(&["a", "b"]), Value::Json("{}".into())];
        all.extend([-1, 0, 1, 2, i64::MAX, 1_700_000_000_000_000].map(Value::Int));
        all.extend([-1.5, 0.0, 1.0, 9.3e18].map(Value::Float));
        all.extend(["", "a", "1", "2023-11-14T22:13:20Z"].map(Value::text));
        all.extend([false, true].map(Value::Bool));
        all.extend([-1, 0, 1, 1_700_000_000_000_000].map(Value::Time));
        all
    }

    fn kinds_of(values: &[&Value]) -> Kinds {
        let kind = |value: &&Value| crate::query::plan::type_of_value(value).map(Kinds::of);
        values.iter().filter_map(kind).fold(Kinds::default(), Kinds::with)
    }

    #[test]
    fn no_row_is_lost_that_sqlite_lets_through() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let context = Context::new(Calendar::default());
        let mut pushed = 0;
        for (test, sign) in SIGNS.iter().filter(|(test, _)| test.compares()) {
            let mut ask = connection.prepare(&format!("SELECT coalesce(?1 {sign} ?2, 0)")).unwrap();
            for (wanted, row, other) in of_every_kind().iter().flat_map(|wanted| {
                let rows = of_every_kind();
                rows.clone().into_iter().flat_map(move |row| {
                    rows.clone().into_iter().map(move |other| (wanted.clone(), row.clone(), other))
                })
            }) {
                let stored = Stored::from(wanted.clone());
                let argument = match rusqlite::ToSql::to_sql(&stored).unwrap() {
                    rusqlite::types::ToSqlOutput::Borrowed(stored) => Argument::of(stored),
                    rusqlite::types::ToSqlOutput::Owned(stored) => Argument::of((&stored).into()),
                    other => panic!("{other:?}"),
                };
                let Some(condition) = condition(*test, "x", kinds_of(&[&row, &other]), &argument) else {
                    continue;
                };
                pushed += 1;
                let theirs: bool =
                    ask.query_row([Stored::from(row.clone()), stored.clone()], |row| row.get(0)).unwrap();
                let ours = scalar::evaluate(&condition, &|_| row.clone(), &context).unwrap();
                assert!(!theirs || scalar::truth(&ours) == Some(true), "{row:?} {sign} {wanted:?}");
            }
        }
        assert!(pushed > 10_000, "{pushed} conditions were pushed down");
    }

    #[test]
    fn what_no_column_holds_is_no_condition() {
        for foreign in [
            ValueRef::Real(f64::INFINITY),
            ValueRef::Blob(b"\x09abc"),
            ValueRef::Blob(b""),
            ValueRef::Text(b"\xff"),
        ] {
            let argument = Argument::of(foreign);
            assert!(matches!(argument, Argument::Foreign), "{foreign:?}");
            assert_eq!(condition(Test::Equal, "x", Kinds::default(), &argument), Some(nothing()));
            assert_eq!(condition(Test::Less, "x", Kinds::default(), &argument), None);
        }
    }
}
