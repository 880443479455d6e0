//! A column: one value a row, typed and narrow. What every query reads and every batch is made of.

use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::narrow::Ints;
use crate::columnar::text::{Dictionary, Texts};
use crate::fields::{FieldType, Kinds};
use crate::value::Value;

/// Values of one field for a run of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Number of rows.
    pub rows: usize,
    /// Which rows have a value; `None`: all.
    pub validity: Option<Bitmap>,
    /// The values.
    pub data: Data,
}

/// The values by type. Rows without a value hold anything.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// No row has a value.
    Null,
    /// Whole numbers.
    Int(Ints),
    /// Instants, µs UTC.
    Time(Ints),
    /// Floats; rows of `whole` came as integers (exact in a float) and go out as such.
    Float {
        /// One number a row.
        values: Vec<f64>,
        /// Rows that are integers.
        whole: Option<Bitmap>,
    },
    /// true and false.
    Bool(Bitmap),
    /// Text.
    Text(Texts),
    /// Lists of texts: row r holds the items from `ends[r - 1]` to `ends[r]`.
    List {
        /// End of each row's items.
        ends: Vec<u32>,
        /// The items of all rows.
        items: Texts,
    },
    /// JSON text.
    Json(Texts),
    /// Rows of different types: columns laid over each other; in a row at most one of them has a value.
    Mixed(Vec<Column>),
}

impl Column {
    /// A column without any value.
    pub fn null(rows: usize) -> Self {
        Self { rows, validity: Some(Bitmap::filled(rows, false)), data: Data::Null }
    }

    /// A column from its parts; a validity without gaps is dropped.
    pub fn new(rows: usize, validity: Option<Bitmap>, data: Data) -> Self {
        Self { rows, validity: validity.filter(|v| !v.all()), data }
    }

    /// A column of times, all present.
    pub fn times(values: &[i64]) -> Self {
        Self { rows: values.len(), validity: None, data: Data::Time(Ints::from_values(values)) }
    }

    /// Whether a row has a value.
    #[inline]
    pub fn is_valid(&self, row: usize) -> bool {
        self.validity.as_ref().is_none_or(|v| v.get(row))
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> Value {
        if !self.is_valid(row) {
            return Value::Null;
        }
        match &self.data {
            Data::Null => Value::Null,
            Data::Int(ints) => Value::Int(ints.get(row)),
            Data::Time(ints) => Value::Time(ints.get(row)),
            Data::Float { values, whole } if whole.as_ref().is_some_and(|w| w.get(row)) => {
                Value::Int(values[row] as i64)
            }
            Data::Float { values, .. } => Value::Float(values[row]),
            Data::Bool(bits) => Value::Bool(bits.get(row)),
            Data::Text(texts) => Value::text(texts.get(row)),
            Data::Json(texts) => Value::Json(texts.get(row).into()),
            Data::List { ends, items } => {
                let start = if row == 0 { 0 } else { ends[row - 1] as usize };
                Value::List((start..ends[row] as usize).map(|i| Arc::from(items.get(i))).collect())
            }
            Data::Mixed(parts) => {
                parts.iter().find(|part| part.is_valid(row)).map_or(Value::Null, |part| part.get(row))
            }
        }
    }

    /// The kinds of value in it.
    pub fn kinds(&self) -> Kinds {
        match &self.data {
            Data::Null => Kinds::default(),
            Data::Int(_) => Kinds::of(FieldType::Int),
            Data::Time(_) => Kinds::of(FieldType::Time),
            Data::Float { .. } => Kinds::of(FieldType::Float),
            Data::Bool(_) => Kinds::of(FieldType::Bool),
            Data::Text(_) => Kinds::of(FieldType::String),
            Data::List { .. } => Kinds::of(FieldType::Strings),
            Data::Json(_) => Kinds::of(FieldType::Json),
            Data::Mixed(parts) => parts.iter().fold(Kinds::default(), |all, part| all.with(part.kinds())),
        }
    }

    /// Its typed parts: itself, or the columns of a mixed one.
    pub fn parts(&self) -> &[Column] {
        match &self.data {
            Data::Mixed(parts) => parts,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// Lays typed columns of the same rows over each other. Integers join floats where every one of them is exact
    /// as a float, so that a field of 12 and 12.5 stays one fast column.
    pub fn overlay(rows: usize, mut parts: Vec<Column>) -> Self {
        parts.retain(|part| !matches!(part.data, Data::Null));
        join_ints_with_floats(&mut parts);
        match parts.len() {
            0 => Self::null(rows),
            1 => parts.remove(0),
            _ => {
                let mut validity = Bitmap::filled(rows, false);
                for part in &parts {
                    match &part.validity {
                        Some(bits) => validity.or(bits),
                        None => validity = Bitmap::filled(rows, true),
                    }
                }
                Self::new(rows, Some(validity), Data::Mixed(parts))
            }
        }
    }

    /// The values of some rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        let pick = |bits: &Bitmap| Bitmap::from_fn(rows.len(), |i| bits.get(rows[i] as usize));
        let data = match &self.data {
            Data::Null => Data::Null,
            Data::Int(ints) => Data::Int(ints.take(rows)),
            Data::Time(ints) => Data::Time(ints.take(rows)),
            Data::Float { values, whole } => Data::Float {
                values: match &self.validity {
                    None => rows.iter().map(|r| values[*r as usize]).collect(),
                    Some(bits) => take_valid(values, bits, rows),
                },
                whole: whole.as_ref().map(pick),
            },
            Data::Bool(bits) => Data::Bool(pick(bits)),
            Data::Text(texts) => Data::Text(texts.take(rows)),
            Data::Json(texts) => Data::Json(texts.take(rows)),
            Data::List { ends, items } => {
                let mut picked = Vec::new();
                let mut new_ends = Vec::with_capacity(rows.len());
                for row in rows.iter().map(|r| *r as usize) {
                    let start = if row == 0 { 0 } else { ends[row - 1] };
                    picked.extend(start..ends[row]);
                    new_ends.push(picked.len() as u32);
                }
                Data::List { ends: new_ends, items: items.take(&picked) }
            }
            Data::Mixed(parts) => Data::Mixed(parts.iter().map(|part| part.take(rows)).collect()),
        };
        Self::new(rows.len(), self.validity.as_ref().map(pick), data)
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        self.measured(&|dictionary| dictionary.bytes())
    }

    /// Bytes in memory without dictionaries, which many columns may share.
    pub fn bytes_without_dictionaries(&self) -> usize {
        self.measured(&|_| 0)
    }

    /// Bytes in memory of its dictionaries alone.
    pub fn dictionary_bytes(&self) -> usize {
        let of = |part: &Column| match &part.data {
            Data::Text(texts) | Data::Json(texts) | Data::List { items: texts, .. } => {
                texts.dictionary.bytes()
            }
            _ => 0,
        };
        self.parts().iter().map(of).sum()
    }

    fn measured(&self, of: &dyn Fn(&Dictionary) -> usize) -> usize {
        let data = match &self.data {
            Data::Null => 0,
            Data::Int(ints) | Data::Time(ints) => ints.offsets().bytes(),
            Data::Float { values, whole } => values.len() * 8 + whole.as_ref().map_or(0, |w| w.len() / 8),
            Data::Bool(bits) => bits.len() / 8,
            Data::Text(texts) | Data::Json(texts) => texts.codes.bytes() + of(&texts.dictionary),
            Data::List { ends, items } => ends.len() * 4 + items.codes.bytes() + of(&items.dictionary),
            Data::Mixed(parts) => parts.iter().map(|part| part.measured(of)).sum(),
        };
        data + self.validity.as_ref().map_or(0, |v| v.len() / 8) + std::mem::size_of::<Self>()
    }
}

/// The values of some rows, 0 where there is none. Where few rows have one, the others need not be fetched from memory, and
/// fetches that no branch stands between overlap.
fn take_valid(values: &[f64], validity: &Bitmap, rows: &[u32]) -> Vec<f64> {
    let mut taken = vec![0.0; rows.len()];
    let places = rows.iter().enumerate().filter(|(_, row)| validity.get(**row as usize));
    let places: Vec<(u32, u32)> = places.map(|(place, row)| (place as u32, *row)).collect();
    for (place, row) in places {
        taken[place as usize] = values[row as usize];
    }
    taken
}

fn join_ints_with_floats(parts: &mut Vec<Column>) {
    const EXACT: i64 = 1 << 53;
    let int_at = parts.iter().position(|p| matches!(p.data, Data::Int(_)));
    let float_at = parts.iter().position(|p| matches!(p.data, Data::Float { .. }));
    let (Some(int_at), Some(float_at)) = (int_at, float_at) else { return };
    let Data::Int(ints) = &parts[int_at].data else { return };
    if ints.min() < -EXACT || ints.max() > EXACT {
        return;
    }
    let Data::Float { values, whole } = &parts[float_at].data else { return };
    let rows = parts[int_at].rows;
    let is_int = |row: usize| parts[int_at].is_valid(row);
    let joined = (0..rows).map(|row| if is_int(row) { ints.get(row) as f64 } else { values[row] }).collect();
    let whole = Bitmap::from_fn(rows, |row| is_int(row) || whole.as_ref().is_some_and(|w| w.get(row)));
    let validity = Bitmap::from_fn(rows, |row| is_int(row) || parts[float_at].is_valid(row));
    let column = Column::new(rows, Some(validity), Data::Float { values: joined, whole: Some(whole) });
    parts[float_at] = column;
    parts.remove(int_at);
}
