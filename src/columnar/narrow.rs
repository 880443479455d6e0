//! Whole numbers in the fewest bytes that hold them: unsigned offsets, and integers over a frame of reference.

use crate::columnar::bitmap::Bitmap;

/// Unsigned numbers, all of one width. Dictionary codes and integer offsets are kept so, in memory as on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Narrow {
    /// One byte each.
    U8(Vec<u8>),
    /// Two bytes each.
    U16(Vec<u16>),
    /// Four bytes each.
    U32(Vec<u32>),
    /// Eight bytes each.
    U64(Vec<u64>),
}

/// Runs `$body` with `$values` bound to the vector inside, once per width, so that inner loops are typed.
macro_rules! with_narrow {
    ($narrow:expr, $values:ident => $body:expr) => {
        match $narrow {
            #[allow(clippy::unnecessary_cast, reason = "needed for the other widths")]
            $crate::columnar::narrow::Narrow::U8($values) => $body,
            #[allow(clippy::unnecessary_cast, reason = "needed for the other widths")]
            $crate::columnar::narrow::Narrow::U16($values) => $body,
            #[allow(clippy::unnecessary_cast, reason = "needed for the other widths")]
            $crate::columnar::narrow::Narrow::U32($values) => $body,
            #[allow(clippy::unnecessary_cast, reason = "needed for the other widths")]
            $crate::columnar::narrow::Narrow::U64($values) => $body,
        }
    };
}
pub(crate) use with_narrow;

/// Collects what is kept for long: it takes the memory that it tells, and no more.
fn exact<T>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.shrink_to_fit();
    values
}

impl Narrow {
    /// Collects numbers of which `max` is the largest.
    pub fn collect(max: u64, numbers: impl Iterator<Item = u64>) -> Self {
        if max <= u64::from(u8::MAX) {
            Self::U8(exact(numbers.map(|n| n as u8)))
        } else if max <= u64::from(u16::MAX) {
            Self::U16(exact(numbers.map(|n| n as u16)))
        } else if max <= u64::from(u32::MAX) {
            Self::U32(exact(numbers.map(|n| n as u32)))
        } else {
            Self::U64(exact(numbers))
        }
    }

    /// The number of a row.
    #[inline]
    pub fn get(&self, row: usize) -> u64 {
        match self {
            Self::U8(values) => u64::from(values[row]),
            Self::U16(values) => u64::from(values[row]),
            Self::U32(values) => u64::from(values[row]),
            Self::U64(values) => values[row],
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        with_narrow!(self, values => values.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, widened.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u64> + '_> {
        match self {
            Self::U8(values) => Box::new(values.iter().map(|v| u64::from(*v))),
            Self::U16(values) => Box::new(values.iter().map(|v| u64::from(*v))),
            Self::U32(values) => Box::new(values.iter().map(|v| u64::from(*v))),
            Self::U64(values) => Box::new(values.iter().copied()),
        }
    }

    /// The numbers of some rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::U8(values) => Self::U8(rows.iter().map(|r| values[*r as usize]).collect()),
            Self::U16(values) => Self::U16(rows.iter().map(|r| values[*r as usize]).collect()),
            Self::U32(values) => Self::U32(rows.iter().map(|r| values[*r as usize]).collect()),
            Self::U64(values) => Self::U64(rows.iter().map(|r| values[*r as usize]).collect()),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len() * 2,
            Self::U32(values) => values.len() * 4,
            Self::U64(values) => values.len() * 8,
        }
    }
}

/// Integers as narrow offsets from their smallest: value = `base + offset`. `min` and `max` are the zone map;
/// rows without a value hold offset 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ints {
    base: i64,
    max: i64,
    offsets: Narrow,
}

impl Ints {
    /// From one number a row; rows that `validity` lacks hold anything.
    pub fn from_masked(values: &[i64], validity: &Bitmap) -> Self {
        let present = || validity.ones().map(|row| values[row]);
        let min = present().min().unwrap_or(0);
        let max = present().max().unwrap_or(0);
        let offsets = values
            .iter()
            .enumerate()
            .map(|(row, v)| if validity.get(row) { v.wrapping_sub(min) as u64 } else { 0 });
        Self { base: min, max, offsets: Narrow::collect(max.wrapping_sub(min) as u64, offsets) }
    }

    /// From one number a row, all of them values.
    pub fn from_values(values: &[i64]) -> Self {
        let min = values.iter().min().copied().unwrap_or(0);
        let max = values.iter().max().copied().unwrap_or(0);
        let offsets = values.iter().map(|v| v.wrapping_sub(min) as u64);
        Self { base: min, max, offsets: Narrow::collect(max.wrapping_sub(min) as u64, offsets) }
    }

    /// From stored parts.
    pub fn from_parts(base: i64, max: i64, offsets: Narrow) -> Self {
        Self { base, max, offsets }
    }

    /// The smallest value, from which offsets count.
    pub fn min(&self) -> i64 {
        self.base
    }

    /// A bound that no value exceeds; the largest value where rows were not taken out since.
    pub fn max(&self) -> i64 {
        self.max
    }

    /// The offsets from `min`.
    pub fn offsets(&self) -> &Narrow {
        &self.offsets
    }

    /// The offsets alone.
    pub fn into_offsets(self) -> Narrow {
        self.offsets
    }

    /// The number of a row.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        self.base.wrapping_add(self.offsets.get(row) as i64)
    }

    /// All numbers, widened. Rows without a value come as `min`.
    pub fn to_vec(&self) -> Vec<i64> {
        with_narrow!(&self.offsets, values => values.iter().map(|v| self.base.wrapping_add(*v as i64)).collect())
    }

    /// Appends one number a row.
    pub fn append_to(&self, numbers: &mut Vec<i64>) {
        with_narrow!(&self.offsets, values => numbers.extend(values.iter().map(|v| self.base.wrapping_add(*v as i64))));
    }

    /// The numbers of some rows, in that order; `min` and `max` stay as bounds.
    pub fn take(&self, rows: &[u32]) -> Self {
        Self { base: self.base, max: self.max, offsets: self.offsets.take(rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_of_any_span_come_back(values in prop::collection::vec(prop::option::of(prop_oneof![any::<i64>(), -100i64..100, Just(i64::MIN), Just(i64::MAX)]), 0..100)) {
            let plain: Vec<i64> = values.iter().map(|v| v.unwrap_or(17)).collect();
            let ints = Ints::from_masked(&plain, &Bitmap::from_fn(values.len(), |i| values[i].is_some()));
            for (row, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    prop_assert_eq!(ints.get(row), *value);
                    prop_assert!(ints.min() <= *value && *value <= ints.max());
                }
            }
        }
    }

    #[test]
    fn a_small_span_takes_one_byte_a_row() {
        let ints = Ints::from_values(&[1_000_000_000_000, 1_000_000_000_255]);
        assert_eq!(ints.offsets().bytes(), 2);
    }
}
