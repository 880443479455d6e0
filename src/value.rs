//! One cell of data in its dynamic form, and the one order, equality and JSON form that every part agrees on.
//! Columns hold cells narrowly; this form is for single cells: literals, group keys, results, the scalar path.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::time;

/// One cell. `Time` is µs since 1970 UTC; `Json` is the JSON text of what no other type holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Nothing: missing or null.
    Null,
    /// True or false; in comparisons and arithmetic 1 or 0.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number; NaN and infinities never get in.
    Float(f64),
    /// An instant, µs since 1970 UTC.
    Time(i64),
    /// Text.
    Text(Arc<str>),
    /// A list of texts.
    List(Arc<[Arc<str>]>),
    /// JSON text: arrays of other things than texts, empty objects, integers beyond 64 bits.
    Json(Arc<str>),
}

impl Value {
    /// Text from anything that is text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A float, or null where the result of a calculation is no finite number.
    pub fn finite(number: f64) -> Self {
        if number.is_finite() { Self::Float(number) } else { Self::Null }
    }

    /// Bytes in memory, of what is behind a pointer too.
    pub fn bytes(&self) -> usize {
        const COUNTS: usize = 16;
        let behind = match self {
            Self::Text(text) | Self::Json(text) => COUNTS + text.len(),
            Self::List(items) => COUNTS + items.iter().map(|item| 2 * COUNTS + item.len()).sum::<usize>(),
            _ => 0,
        };
        size_of::<Self>() + behind
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The number in it, for arithmetic: bools are 1 and 0, times their µs; other kinds have none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::Int(i) | Self::Time(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The text in it, where it is text or JSON text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(s) | Self::Json(s) => Some(s),
            _ => None,
        }
    }

    /// The order of all values: nulls last, numbers (bools, times) before text, text by bytes, lists, then JSON.
    /// Equal by this order is equal everywhere: in filters, groups and distinct counts.
    pub fn compare(&self, other: &Self) -> Ordering {
        use Value::{Float, Int, Json, List, Text, Time};
        match (self, other) {
            (Int(a) | Time(a), Int(b) | Time(b)) => a.cmp(b),
            (Float(a), Float(b)) => compare_floats(*a, *b),
            (Text(a), Text(b)) | (Json(a), Json(b)) => a.as_bytes().cmp(b.as_bytes()),
            (List(a), List(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()).then_with(|| match (self.as_int(), other.as_int()) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(a), None) => compare_int_float(a, other.as_f64().unwrap_or(0.0)),
                (None, Some(b)) => compare_int_float(b, self.as_f64().unwrap_or(0.0)).reverse(),
                (None, None) => Ordering::Equal,
            }),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Time(_) => 0,
            Self::Text(_) => 1,
            Self::List(_) => 2,
            Self::Json(_) => 3,
            Self::Null => 4,
        }
    }

    /// The whole number that it is, or that stands for it: 0 or 1 for a bool, µs for a time.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Bool(b) => Some(i64::from(*b)),
            Self::Int(i) | Self::Time(i) => Some(*i),
            _ => None,
        }
    }

    /// The value as a person reads it: text as it is, times in RFC 3339, lists and JSON as JSON, null as nothing.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Int(i) => Cow::Owned(i.to_string()),
            Self::Float(f) => Cow::Owned(float_text(*f)),
            Self::Time(t) => Cow::Owned(time::format(*t)),
            Self::Text(s) | Self::Json(s) => Cow::Borrowed(s),
            Self::List(_) => {
                let mut out = Vec::new();
                self.write_json(&mut out);
                Cow::Owned(String::from_utf8_lossy(&out).into_owned())
            }
        }
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Json(_) => {
                out.extend_from_slice(self.to_text().as_bytes());
            }
            Self::Time(_) => {
                out.push(b'"');
                out.extend_from_slice(self.to_text().as_bytes());
                out.push(b'"');
            }
            Self::Text(s) => write_json_string(s, out),
            Self::List(items) => {
                out.push(b'[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_json_string(item, out);
                }
                out.push(b']');
            }
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Null => {}
            Self::Bool(b) => i64::from(*b).hash(state),
            Self::Int(i) | Self::Time(i) => i.hash(state),
            // a float that equals an integer hashes as that integer does
            Self::Float(f) => match whole(*f) {
                Some(i) => i.hash(state),
                None => f.to_bits().hash(state),
            },
            Self::Text(s) | Self::Json(s) => s.hash(state),
            Self::List(items) => items.hash(state),
        }
    }
}

/// The integer that a float equals, if there is one in 64 bits.
pub fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (number.trunc() == number && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    // NaN never gets in; -0.0 equals 0.0
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Compares exactly, also where an i64 has no f64 of its own.
pub fn compare_int_float(int: i64, float: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float >= LIMIT {
        return Ordering::Less;
    }
    if float < -LIMIT {
        return Ordering::Greater;
    }
    int.cmp(&(float.trunc() as i64))
        .then_with(|| 0.0f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal))
}

/// A float as the shortest decimal that reads back the same, with `.0` where it would look like an integer.
pub fn float_text(number: f64) -> String {
    format!("{number:?}")
}

/// Appends a JSON string with its quotes and escapes.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    // serializing a str into a Vec has no way to fail
    let _ = serde_json::to_writer(out, text);
}

/// A whole number as people read it, with a comma at every thousand.
///
/// ```
/// assert_eq!(windrow::value::grouped(1_234_567), "1,234,567");
/// ```
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |at: usize| if at > 0 && (digits.len() - at).is_multiple_of(3) { "," } else { "" };
    digits.char_indices().map(|(at, digit)| format!("{}{digit}", comma(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_kinds_compare_exactly() {
        let big = (1i64 << 53) + 1;
        assert!(Value::Int(big) > Value::Float((1i64 << 53) as f64));
        assert_eq!(Value::Int(1), Value::Float(1.0));
        assert_eq!(Value::Bool(true), Value::Int(1));
        assert!(Value::Int(-1) > Value::Float(-1.5));
        assert!(Value::Int(i64::MAX) < Value::Float(9.3e18));
        assert!(Value::Int(i64::MIN) > Value::Float(-1e30));
    }

    #[test]
    fn numbers_stand_before_text_and_nulls_last() {
        let mut values = [Value::Null, Value::text("7"), Value::Float(7.5), Value::text("a"), Value::Int(7)];
        values.sort();
        let texts: Vec<_> = values.iter().map(|v| v.to_text().into_owned()).collect();
        assert_eq!(texts, ["7", "7.5", "7", "a", ""]);
    }

    #[test]
    fn a_float_keeps_its_point_in_json() {
        let mut out = Vec::new();
        Value::Float(12.0).write_json(&mut out);
        assert_eq!(out, b"12.0");
    }

    impl PartialOrd for Value {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Value {
        fn cmp(&self, other: &Self) -> Ordering {
            self.compare(other)
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases =
            [(0, "0"), (999, "999"), (1_000, "1,000"), (645_161, "645,161"), (1_234_567, "1,234,567")];
        cases.iter().for_each(|(number, text)| assert_eq!(grouped(*number), *text));
    }
}
