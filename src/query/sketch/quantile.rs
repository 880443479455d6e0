//! `approx_quantile(x, q)`: the exact quantile of numbers that were rounded to nine binary digits. A rounded number is off
//! by one part in 512 at most, so the answer is within 0.2% of the exact one; whole numbers to 512 are not rounded at
//! all. There are 256 rounded numbers between one power of two and the next, so what is kept stays small, and counts
//! of them add up in any order.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::columnar::column::Column;
use crate::query::aggregate::NO_SLOT;
use crate::query::aggregate::numbers::rank;
use crate::query::aggregate::stored::{self, Table};
use crate::query::slots::Slots;
use crate::value::Value;

/// Digits behind the first one that are kept, of the 52 of a float.
const KEPT_BITS: u32 = 8;
const CUT_BITS: u32 = 52 - KEPT_BITS;

/// How often each slot has each rounded number, by the bits of the float.
#[derive(Debug, Clone, Default)]
pub struct QuantileSketch {
    counts: HashMap<(u32, u64), u64, FixedState>,
    /// The same in order of slots and numbers, once it was asked for.
    sorted: Vec<(u32, f64, u64)>,
}

impl QuantileSketch {
    /// Bytes in memory, with what putting them in order takes at the end.
    pub fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<((u32, u64), u64)>() * 2
    }

    /// Feeds rows. Only numbers count: bools as 1 and 0, times as their µs.
    pub fn update(&mut self, slots: &Slots, column: &Column) {
        for part in column.parts() {
            for row in (0..part.rows).filter(|row| part.is_valid(*row)) {
                self.add(slots.of(row) as u32, &part.get(row));
            }
        }
    }

    /// Feeds one value.
    pub fn add(&mut self, slot: u32, value: &Value) {
        if let Some(number) = value.as_f64() {
            *self.counts.entry((slot, rounded(number).to_bits())).or_default() += 1;
            self.sorted.clear();
        }
    }

    /// Takes over another sketch; `map` gives the slot here for each slot there, and without it they are the same.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        self.sorted.clear();
        for ((slot, number), count) in other.counts {
            let slot = map.map_or(slot, |map| map[slot as usize]);
            if slot != NO_SLOT {
                *self.counts.entry((slot, number)).or_default() += count;
            }
        }
    }

    /// Slot, number and how often it was there.
    pub fn tables(&self) -> Vec<Table> {
        let mut all: Vec<(u32, u64, u64)> =
            self.counts.iter().map(|((slot, bits), count)| (*slot, *bits, *count)).collect();
        all.sort_unstable();
        vec![Table::new(
            all.len(),
            vec![
                stored::ints(all.iter().map(|one| i64::from(one.0))),
                stored::ints(all.iter().map(|one| one.1.cast_signed())),
                stored::counts(all.iter().map(|one| one.2)),
            ],
        )]
    }

    /// Reads [`QuantileSketch::tables`].
    pub fn read(tables: &[Table], slots: usize) -> Option<Self> {
        let table = tables.first()?;
        let numbers = table.slots(0, slots)?.into_iter().zip(table.ints(1)?).zip(table.counts(2)?);
        let counts = numbers.map(|((slot, bits), count)| ((slot, bits.cast_unsigned()), count)).collect();
        Some(Self { counts, sorted: Vec::new() })
    }

    /// The ⌈q·n⌉-th smallest of the rounded numbers of a slot; null where there is none.
    pub fn quantile(&mut self, slot: u32, q: f64) -> Value {
        if self.sorted.is_empty() {
            let all = self.counts.iter().map(|((slot, bits), count)| (*slot, f64::from_bits(*bits), *count));
            self.sorted = all.collect();
            self.sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        let from = self.sorted.partition_point(|(other, _, _)| *other < slot);
        let of_slot = self.sorted[from..].iter().take_while(|(other, _, _)| *other == slot);
        let total: u64 = of_slot.clone().map(|(_, _, count)| count).sum();
        if total == 0 {
            return Value::Null;
        }
        let mut left = rank(q, usize::try_from(total).unwrap_or(usize::MAX)) as u64;
        for (_, number, count) in of_slot {
            if left <= *count {
                return Value::Float(*number);
            }
            left -= count;
        }
        Value::Null
    }
}

/// The nearest number of nine binary digits, the larger one of two that are as near; both zeros are one.
fn rounded(number: f64) -> f64 {
    let half = 1u64 << (CUT_BITS - 1);
    let bits = (number.abs().to_bits() + half) & !((1u64 << CUT_BITS) - 1);
    match f64::from_bits(bits) {
        0.0 => 0.0,
        size if size.is_finite() => size.copysign(number),
        // the largest floats would round to infinity
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn quantile(values: &[Value], q: f64) -> Value {
        let mut sketch = QuantileSketch::default();
        values.iter().for_each(|value| sketch.add(0, value));
        sketch.quantile(0, q)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn it_is_within_its_error_and_the_order_of_rows_does_not_count(
            numbers in prop::collection::vec(prop_oneof![any::<f64>(), -1e6f64..1e6, (-600i32..600).prop_map(f64::from)], 1..60),
            q in 0.0f64..=1.0, cut in 0usize..60,
        ) {
            let mut numbers: Vec<f64> = numbers.into_iter().filter(|n| n.is_finite()).collect();
            prop_assume!(!numbers.is_empty());
            let values: Vec<Value> = numbers.iter().copied().map(Value::Float).collect();
            let found = quantile(&values, q);
            numbers.sort_by(f64::total_cmp);
            let exact = numbers[rank(q, numbers.len()) - 1];
            let off = (found.as_f64().unwrap() - exact).abs();
            prop_assert!(off <= exact.abs() / 512.0 || exact.abs() < f64::MIN_POSITIVE * 512.0, "{found:?} for {exact}");
            if exact.fract() == 0.0 && exact.abs() <= 512.0 {
                prop_assert_eq!(off, 0.0);
            }
            let (first, rest) = values.split_at(cut.min(values.len()));
            let mut whole = QuantileSketch::default();
            whole.update(&Slots::One(0, rest.len()), &column_of(rest.iter().cloned()));
            let mut more = QuantileSketch::default();
            more.update(&Slots::Each(Arc::new(vec![1; first.len()])), &column_of(first.iter().cloned()));
            whole.absorb(more, Some(&[NO_SLOT, 0]));
            prop_assert_eq!(format!("{:?}", whole.quantile(0, q)), format!("{found:?}"));
            prop_assert!(whole.quantile(1, q).is_null());
        }
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        assert_eq!(quantile(&[Value::Null, Value::text("7"), Value::Json("1".into())], 0.5), Value::Null);
        assert_eq!(quantile(&[Value::Bool(true), Value::Int(3), Value::Int(2)], 0.5), Value::Float(2.0));
        assert_eq!(quantile(&[Value::Float(f64::MAX)], 0.5), Value::Float(f64::MAX));
        assert_eq!(format!("{:?}", quantile(&[Value::Float(-0.0)], 0.5)), "Float(0.0)");
    }
}
