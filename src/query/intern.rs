//! Small numbers for values: equal values (by the one order of values) get equal numbers, in the order they first
//! appear. Groups and distinct counts then work on integers, and strings are hashed once a dictionary entry.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::text::{Dictionary, Texts};
use crate::value::{Value, whole};

/// Values and their numbers.
#[derive(Debug, Default, Clone)]
pub struct Interner {
    values: Vec<Value>,
    /// Whole numbers of every type, by value.
    integers: HashMap<i64, u32, FixedState>,
    others: HashMap<Value, u32, FixedState>,
    /// Bytes of the values beside the list itself.
    behind: usize,
    /// The numbers of the last dictionary's texts: all blocks of a segment's column share it.
    last: Option<Codes>,
}

/// The numbers of a dictionary's texts, as far as rows held them.
#[derive(Debug, Clone)]
struct Codes {
    dictionary: Arc<Dictionary>,
    is_json: bool,
    ids: Vec<u32>,
}

const UNKNOWN: u32 = u32::MAX;

impl Interner {
    /// Number of distinct values.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let maps = self.integers.capacity() * size_of::<(i64, u32)>()
            + self.others.capacity() * size_of::<(Value, u32)>();
        let codes = self.last.as_ref().map_or(0, |last| last.ids.capacity() * size_of::<u32>());
        self.values.capacity() * size_of::<Value>() + maps + codes + self.behind
    }

    /// The value of a number.
    pub fn value(&self, id: u32) -> &Value {
        &self.values[id as usize]
    }

    /// The number of a value; null is a value here.
    pub fn id(&mut self, value: Value) -> u32 {
        let integer = match &value {
            Value::Int(n) | Value::Time(n) => Some(*n),
            Value::Bool(b) => Some(i64::from(*b)),
            Value::Float(f) => whole(*f),
            _ => None,
        };
        match integer {
            Some(n) => self.integer(n, value),
            None => match self.others.get(&value) {
                Some(id) => *id,
                None => {
                    let id = self.values.len() as u32;
                    self.behind += value.bytes() - size_of::<Value>();
                    self.others.insert(value.clone(), id);
                    self.values.push(value);
                    id
                }
            },
        }
    }

    /// The number of null, where it was among the values.
    pub fn find_null(&self) -> Option<u32> {
        self.others.get(&Value::Null).copied()
    }

    #[inline]
    fn integer(&mut self, n: i64, as_value: Value) -> u32 {
        let values = &mut self.values;
        *self.integers.entry(n).or_insert_with(|| {
            values.push(as_value);
            (values.len() - 1) as u32
        })
    }

    /// The numbers of all rows of a column.
    pub fn ids(&mut self, column: &Column) -> Vec<u32> {
        match &column.data {
            Data::Int(ints) => self.int_ids(ints, column.validity.as_ref(), Value::Int),
            Data::Time(ints) => self.int_ids(ints, column.validity.as_ref(), Value::Time),
            Data::Text(texts) => self.text_ids(texts, column, false),
            Data::Json(texts) => self.text_ids(texts, column, true),
            _ => (0..column.rows).map(|row| self.id(column.get(row))).collect(),
        }
    }

    fn int_ids(&mut self, ints: &Ints, validity: Option<&Bitmap>, wrap: fn(i64) -> Value) -> Vec<u32> {
        let base = ints.min();
        let null = validity.map(|_| self.id(Value::Null));
        let is_valid = |row: usize| validity.is_none_or(|v| v.get(row));
        match ints.offsets() {
            Narrow::U8(offsets) => {
                let ids = &mut vec![UNKNOWN; 256];
                self.small_ids(offsets.iter().map(|o| usize::from(*o)), ids, is_valid, null, |o| {
                    wrap(base + o as i64)
                })
            }
            Narrow::U16(offsets) => {
                let ids = &mut vec![UNKNOWN; 65_536];
                self.small_ids(offsets.iter().map(|o| usize::from(*o)), ids, is_valid, null, |o| {
                    wrap(base + o as i64)
                })
            }
            wide => {
                // neighbours are often equal: times cut to days, sessions
                let mut last: Option<(i64, u32)> = None;
                with_narrow!(wide, offsets => offsets.iter().enumerate().map(|(row, offset)| {
                    if !is_valid(row) {
                        return null.unwrap_or(0);
                    }
                    let n = base.wrapping_add(*offset as i64);
                    match last {
                        Some((same, id)) if same == n => id,
                        _ => {
                            let id = self.integer(n, wrap(n));
                            last = Some((n, id));
                            id
                        }
                    }
                }).collect())
            }
        }
    }

    /// Rows that are small numbers: each distinct one is interned once.
    fn small_ids(
        &mut self,
        numbers: impl Iterator<Item = usize>,
        ids: &mut [u32],
        is_valid: impl Fn(usize) -> bool,
        null: Option<u32>,
        value: impl Fn(usize) -> Value,
    ) -> Vec<u32> {
        numbers
            .enumerate()
            .map(|(row, number)| {
                if !is_valid(row) {
                    return null.unwrap_or(0);
                }
                if ids[number] == UNKNOWN {
                    ids[number] = self.id(value(number));
                }
                ids[number]
            })
            .collect()
    }

    fn text_ids(&mut self, texts: &Texts, column: &Column, is_json: bool) -> Vec<u32> {
        let known = self.last.take();
        let known =
            known.filter(|last| last.is_json == is_json && Arc::ptr_eq(&last.dictionary, &texts.dictionary));
        let mut ids = known.map_or_else(|| vec![UNKNOWN; texts.dictionary.len()], |last| last.ids);
        let null = column.validity.as_ref().map(|_| self.id(Value::Null));
        let value = |code: usize| match texts.dictionary.get(code) {
            text if is_json => Value::Json(text.into()),
            text => Value::text(text),
        };
        let is_valid = |row| column.is_valid(row);
        let found = with_narrow!(&texts.codes, codes => {
            self.small_ids(codes.iter().map(|code| *code as usize), &mut ids, is_valid, null, value)
        });
        self.last = Some(Codes { dictionary: Arc::clone(&texts.dictionary), is_json, ids });
        found
    }

    /// Takes over the values of another; the result maps its numbers to numbers here.
    pub fn absorb(&mut self, other: Interner) -> Vec<u32> {
        other.values.into_iter().map(|value| self.id(value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;

    #[test]
    fn equal_values_of_different_types_get_one_number() {
        let mut interner = Interner::default();
        let column =
            column_of([Value::Int(1), Value::Float(1.0), Value::Bool(true), Value::text("1"), Value::Null]);
        assert_eq!(interner.ids(&column), [0, 0, 0, 1, 2]);
        let again = column_of([Value::Null, Value::Int(1), Value::Int(70_000)]);
        assert_eq!(interner.ids(&again), [2, 0, 3]);
    }
}
