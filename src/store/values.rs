//! A [`Value`] as SQLite holds it, and back. Numbers and texts are its own; what it has no kind for is a BLOB whose first
//! byte tells the kind, so the kind outlives subqueries, sorting and fields of mixed types. Within one kind SQLite's own
//! comparison of the stored form is our order; [`sort_key`] makes it so between kinds too.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, Value as Owned, ValueRef};

use crate::columnar::column::{Column, Data};
use crate::value::Value;

/// First bytes of the BLOBs: they stand in the order of the kinds, lists before JSON.
const BOOL: u8 = 1;
const TIME: u8 = 2;
const LIST: u8 = 3;
const JSON: u8 = 4;

/// The sign bit turned over, so that bytes compare as the numbers do.
const SIGN: u64 = 1 << 63;

/// The value in the form that SQLite holds; nothing is copied where that is the same.
///
/// | kind | form |
/// |---|---|
/// | null, whole numbers, floats, text | NULL, INTEGER, REAL, TEXT |
/// | bool | BLOB `01`, then `00` or `01` |
/// | time | BLOB `02`, then its µs with the sign bit turned over, the highest byte first |
/// | list | BLOB `03`, then its texts, each closed by `00 01`; a zero byte within one is `00 FF` |
/// | JSON | BLOB `04`, then its text |
pub fn to_sql(value: &Value) -> ToSqlOutput<'_> {
    match value {
        Value::Null => ToSqlOutput::Owned(Owned::Null),
        Value::Int(i) => ToSqlOutput::Owned(Owned::Integer(*i)),
        Value::Float(f) => ToSqlOutput::Owned(Owned::Real(*f)),
        Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        tagged => ToSqlOutput::Owned(Owned::Blob(blob(tagged).unwrap_or_default())),
    }
}

/// The bytes of a kind that SQLite has not; `None` for all others.
pub fn blob(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bool(b) => Some(bool_blob(*b).to_vec()),
        Value::Time(us) => Some(time_blob(*us).to_vec()),
        Value::List(items) => {
            let mut bytes = vec![LIST];
            for item in items.iter() {
                for byte in item.bytes() {
                    bytes.push(byte);
                    if byte == 0 {
                        bytes.push(0xFF);
                    }
                }
                bytes.extend_from_slice(&[0, 1]);
            }
            Some(bytes)
        }
        Value::Json(text) => {
            let mut bytes = vec![JSON];
            bytes.extend_from_slice(text.as_bytes());
            Some(bytes)
        }
        Value::Null | Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
    }
}

/// The bytes of a bool.
pub fn bool_blob(b: bool) -> [u8; 2] {
    [BOOL, u8::from(b)]
}

/// The bytes of a time.
pub fn time_blob(us: i64) -> [u8; 9] {
    let mut bytes = [TIME; 9];
    bytes[1..].copy_from_slice(&((us as u64) ^ SIGN).to_be_bytes());
    bytes
}

/// The value of a form that [`to_sql`] made. A BLOB that it did not make, and a float that is not finite, are null.
pub fn from_sql(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(i) => Value::Int(i),
        ValueRef::Real(f) => Value::finite(f),
        ValueRef::Text(text) => Value::text(String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => from_blob(bytes).unwrap_or(Value::Null),
    }
}

fn from_blob(bytes: &[u8]) -> Option<Value> {
    let (kind, rest) = bytes.split_first()?;
    match *kind {
        BOOL => Some(Value::Bool(*rest.first()? != 0)),
        TIME => Some(Value::Time((u64::from_be_bytes(rest.try_into().ok()?) ^ SIGN) as i64)),
        LIST => list(rest),
        JSON => Some(Value::Json(std::str::from_utf8(rest).ok()?.into())),
        _ => None,
    }
}

fn list(bytes: &[u8]) -> Option<Value> {
    let mut items: Vec<Arc<str>> = Vec::new();
    let mut item = Vec::new();
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            0 if *rest.next()? == 1 => items.push(String::from_utf8(std::mem::take(&mut item)).ok()?.into()),
            _ => item.push(*byte),
        }
    }
    item.is_empty().then(|| Value::List(items.into()))
}

/// The form of the value in a row of a column; text is not copied.
pub fn cell_to_sql(column: &Column, row: usize) -> ToSqlOutput<'_> {
    match &column.data {
        _ if !column.is_valid(row) => NULL,
        Data::Text(texts) => ToSqlOutput::Borrowed(ValueRef::Text(texts.get(row).as_bytes())),
        Data::Int(ints) => ToSqlOutput::Owned(Owned::Integer(ints.get(row))),
        _ => match column.get(row) {
            Value::Text(text) => ToSqlOutput::Owned(Owned::Text(text.to_string())),
            Value::Int(number) => ToSqlOutput::Owned(Owned::Integer(number)),
            Value::Float(number) => ToSqlOutput::Owned(Owned::Real(number)),
            other => blob(&other).map_or(NULL, |bytes| ToSqlOutput::Owned(Owned::Blob(bytes))),
        },
    }
}

/// A value as a constant of SQLite's own SQL.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        other => {
            let bytes = blob(other).unwrap_or_default();
            format!("x'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

/// The form of null.
pub const NULL: ToSqlOutput<'static> = ToSqlOutput::Owned(Owned::Null);

/// A form to look at.
pub fn form<'f>(output: &'f ToSqlOutput<'f>) -> ValueRef<'f> {
    match output {
        ToSqlOutput::Borrowed(form) => *form,
        ToSqlOutput::Owned(form) => ValueRef::from(form),
        // the others are what extensions hand on
        _ => ValueRef::Null,
    }
}

/// Whether two forms are the same, bit by bit.
pub fn is_same_form(a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
    match (a, b) {
        (ValueRef::Null, ValueRef::Null) => true,
        (ValueRef::Integer(a), ValueRef::Integer(b)) => a == b,
        (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
        (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => a == b,
        _ => false,
    }
}

/// What SQLite compares and groups by as we do, whatever the kinds: bools and times as the numbers that they equal, all
/// else as it is. Nulls still stand where NULLS FIRST or LAST puts them.
pub fn sort_key(value: Value) -> Value {
    match value {
        Value::Bool(b) => Value::Int(i64::from(b)),
        Value::Time(us) => Value::Int(us),
        other => other,
    }
}

/// A value on its way into SQLite: a parameter, or what a function returns.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<'a>(pub Cow<'a, Value>);

impl From<Value> for Stored<'_> {
    fn from(value: Value) -> Self {
        Self(Cow::Owned(value))
    }
}

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(to_sql(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    fn any_value() -> impl Strategy<Value = Value> {
        let text = "[a\u{0}\u{1}é]{0,4}";
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-2i64..3).prop_map(Value::Int),
            any::<f64>().prop_map(Value::finite),
            (-4i32..5).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
            any::<i64>().prop_map(|n| Value::Float(n as f64)),
            any::<i64>().prop_map(Value::Time),
            (-2i64..3).prop_map(Value::Time),
            text.prop_map(Value::text),
            prop::collection::vec(text, 0..3)
                .prop_map(|items| Value::List(items.into_iter().map(Arc::from).collect())),
            "[{}a1]{0,3}".prop_map(|text| Value::Json(text.into())),
        ]
    }

    fn is_a_kind_of_its_own(value: &Value) -> bool {
        matches!(value, Value::Bool(_) | Value::Time(_))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn values_come_back_as_they_went_and_compare_in_sqlite_as_here(a in any_value(), b in any_value()) {
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            let mut ask = connection
                .prepare("SELECT ?1, ?2, ?1 < ?2, ?1 = ?2, ?3 < ?4, ?3 = ?4, ?3 IS NULL OR ?4 IS NULL")
                .unwrap();
            let keys = (sort_key(a.clone()), sort_key(b.clone()));
            let all = [&a, &b, &keys.0, &keys.1].map(|value| Stored(Cow::Borrowed(value)));
            let (back, native, by_key, null) = ask.query_row(rusqlite::params_from_iter(all), |row| {
                let back = [from_sql(row.get_ref(0)?), from_sql(row.get_ref(1)?)];
                let order = |at: usize| -> rusqlite::Result<Option<Ordering>> {
                    Ok(match (row.get::<_, Option<bool>>(at)?, row.get::<_, Option<bool>>(at + 1)?) {
                        (Some(true), _) => Some(Ordering::Less),
                        (_, Some(true)) => Some(Ordering::Equal),
                        (Some(_), _) => Some(Ordering::Greater),
                        _ => None,
                    })
                };
                Ok((back, order(2)?, order(4)?, row.get::<_, bool>(6)?))
            }).unwrap();
            prop_assert_eq!(format!("{:?}", back[0]), format!("{:?}", a));
            prop_assert_eq!(format!("{:?}", back[1]), format!("{:?}", b));
            let ours = (!null).then(|| a.compare(&b));
            prop_assert_eq!(by_key, ours);
            if std::mem::discriminant(&a) == std::mem::discriminant(&b)
                || !is_a_kind_of_its_own(&a) && !is_a_kind_of_its_own(&b)
            {
                prop_assert_eq!(native, ours);
            }
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_null() {
        for bytes in [&b""[..], b"\x01", b"\x02123", b"\x03a\x00", b"\x03a", b"\x04\xff", b"\x05", b"abc"] {
            assert!(from_sql(ValueRef::Blob(bytes)).is_null(), "{bytes:?}");
        }
        assert_eq!(from_sql(ValueRef::Real(f64::INFINITY)), Value::Null);
    }
}
