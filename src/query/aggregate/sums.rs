//! Sums and means. Integers are summed apart from floats and stay exact: in 64 bits as long as what was added cannot
//! have left them, then in 128. Of floats the error of every addition is summed too (Knuth's two-sum, as in Neumaier,
//! "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974), so that neither their order nor how
//! they were parted shows in a sum: what was summed before, and kept, is as good as what is summed now.

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::error::{Error, Result};
use crate::query::aggregate::counts::{Counts, add_all};
use crate::query::aggregate::stored::{self, Table};
use crate::query::slots::{BANKS, FEW_SLOTS, Slots};
use crate::value::Value;

/// The sum of a slot, and beside it, so that both are in one place, how many rows were counted with it.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    sum: i64,
    rows: u64,
}

/// A sum of floats, and what its additions lost.
#[derive(Debug, Clone, Copy, Default)]
struct Float {
    sum: f64,
    lost: f64,
}

impl Float {
    #[inline]
    fn add(&mut self, more: f64) {
        let sum = self.sum + more;
        let of_more = sum - self.sum;
        self.lost += (self.sum - (sum - of_more)) + (more - of_more);
        self.sum = sum;
    }

    fn total(self) -> f64 {
        // beyond all floats nothing is told of what was lost
        if self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl std::ops::AddAssign for Float {
    fn add_assign(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }
}

/// The sums of all slots.
#[derive(Debug, Clone)]
pub struct Sums {
    counts: Counts,
    cells: Vec<Cell>,
    /// What went beyond 64 bits at some time, for all slots, once there is such a thing.
    wide: Vec<i128>,
    /// No sum in `cells` is farther from 0.
    reach: u128,
    floats: Vec<Float>,
    /// Whether a broken number was among them.
    is_float: Vec<bool>,
    slots: usize,
}

impl Sums {
    /// Sums of an aggregate with a condition of its own, or without.
    pub fn new(has_filter: bool) -> Self {
        Self {
            counts: Counts::new(has_filter),
            cells: Vec::new(),
            wide: Vec::new(),
            reach: 0,
            floats: Vec::new(),
            is_float: Vec::new(),
            slots: 0,
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.counts.bytes()
            + self.cells.capacity() * size_of::<Cell>()
            + self.wide.capacity() * size_of::<i128>()
            + self.floats.capacity() * size_of::<Float>()
            + self.is_float.capacity()
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        self.slots = self.slots.max(slots);
        self.counts.grow(slots);
        self.cells.resize(self.slots, Cell::default());
        if !self.wide.is_empty() {
            self.wide.resize(self.slots, 0);
        }
        if !self.floats.is_empty() {
            self.floats.resize(self.slots, Float::default());
            self.is_float.resize(self.slots, false);
        }
    }

    /// Takes in rows.
    pub fn update(&mut self, slots: &Slots, column: &Column) {
        let numbers = |part: &&Column| {
            matches!(part.data, Data::Int(_) | Data::Time(_) | Data::Float { .. } | Data::Bool(_))
        };
        let parts: Vec<&Column> = column.parts().iter().filter(numbers).collect();
        match parts.as_slice() {
            [one] => self.counts.add(slots, one.validity.as_ref()),
            several => {
                // texts, lists and JSON have no sum
                let mut counting = Bitmap::filled(column.rows, false);
                several.iter().filter_map(|part| part.validity.as_ref()).for_each(|bits| counting.or(bits));
                self.counts.add(slots, Some(&counting));
            }
        }
        for part in parts {
            let valid = part.validity.as_ref();
            match &part.data {
                Data::Int(ints) | Data::Time(ints) => self.add_integers(slots, ints, valid),
                Data::Bool(bits) => {
                    let mut set = bits.clone();
                    valid.into_iter().for_each(|valid| set.and(valid));
                    let ones = Ints::from_parts(1, 1, Narrow::U8(vec![0; part.rows]));
                    self.add_integers(slots, &ones, Some(&set));
                }
                Data::Float { values, whole } => self.add_floats(slots, values, whole.as_ref(), valid),
                _ => {}
            }
        }
    }

    /// Takes in rows and counts them by slot; false, and nothing is done, where a row may be without a whole number.
    pub fn update_and_count(&mut self, slots: &Slots, column: &Column) -> bool {
        let (Data::Int(ints), None) = (&column.data, &column.validity) else { return false };
        let farthest = farthest(ints, slots.rows());
        if self.reach + farthest > i64::MAX as u128 {
            self.spill();
            if farthest > i64::MAX as u128 {
                return false;
            }
        }
        self.reach += farthest;
        let is_narrow = (ints.max().wrapping_sub(ints.min()) as u64) < 1 << 24 && slots.rows() <= 1 << 16;
        let (base, cells) = (ints.min(), self.cells.as_mut_slice());
        let each = match slots {
            Slots::Listed(places, list) if is_narrow => {
                let mut few = vec![Cell::default(); list.len()];
                with_narrow!(ints.offsets(), offsets => tally(&mut few, places, offsets, base));
                list.iter().zip(few).for_each(|(slot, few)| cells[*slot as usize] += few);
                return true;
            }
            Slots::Each(each) if is_narrow && cells.len() <= FEW_SLOTS.min(each.len()) => {
                with_narrow!(ints.offsets(), offsets => tally(cells, each, offsets, base));
                return true;
            }
            slots => slots.plain(),
        };
        let Slots::Each(each) = each else {
            self.reach -= farthest;
            return false;
        };
        with_narrow!(ints.offsets(), offsets => for (slot, offset) in each.iter().zip(offsets) {
            let cell = &mut cells[*slot as usize];
            cell.sum += base.wrapping_add(*offset as i64);
            cell.rows += 1;
        });
        true
    }

    /// The rows that were counted by slot; they are counted anew from 0.
    pub fn take_rows(&mut self) -> impl Iterator<Item = u64> {
        self.cells.iter_mut().map(|cell| std::mem::take(&mut cell.rows))
    }

    fn add_integers(&mut self, slots: &Slots, ints: &Ints, valid: Option<&Bitmap>) {
        let base = ints.min();
        if let Slots::One(slot, rows) = slots {
            let count = valid.map_or(*rows, Bitmap::count_ones);
            let offsets = sum_offsets(ints.offsets(), valid);
            return self.add_wide(*slot as usize, i128::from(base) * count as i128 + offsets as i128);
        }
        let Slots::Each(slots) = slots.plain() else { return };
        let farthest = farthest(ints, slots.len());
        if self.reach + farthest > i64::MAX as u128 {
            self.spill();
        }
        if farthest > i64::MAX as u128 {
            let add = |row: usize| self.wide[slots[row] as usize] += i128::from(ints.get(row));
            return match valid {
                None => (0..slots.len()).for_each(add),
                Some(bits) => bits.ones().for_each(add),
            };
        }
        self.reach += farthest;
        let cells = self.cells.as_mut_slice();
        with_narrow!(ints.offsets(), offsets => match valid {
            None => slots.iter().zip(offsets).for_each(|(slot, offset)| cells[*slot as usize].sum += base.wrapping_add(*offset as i64)),
            Some(bits) => bits.ones().for_each(|row| cells[slots[row] as usize].sum += base.wrapping_add(offsets[row] as i64)),
        });
    }

    /// Moves the sums of 64 bits to those of 128.
    fn spill(&mut self) {
        self.wide.resize(self.slots, 0);
        self.wide
            .iter_mut()
            .zip(&mut self.cells)
            .for_each(|(wide, cell)| *wide += i128::from(std::mem::take(&mut cell.sum)));
        self.reach = 0;
    }

    fn add_wide(&mut self, slot: usize, amount: i128) {
        let farthest = amount.unsigned_abs();
        if self.reach + farthest > i64::MAX as u128 {
            self.spill();
        }
        match i64::try_from(amount) {
            Ok(amount) if farthest <= i64::MAX as u128 => {
                self.reach += farthest;
                self.cells[slot].sum += amount;
            }
            _ => self.wide[slot] += amount,
        }
    }

    fn add_floats(&mut self, slots: &Slots, values: &[f64], whole: Option<&Bitmap>, valid: Option<&Bitmap>) {
        self.floats.resize(self.slots, Float::default());
        self.is_float.resize(self.slots, false);
        match (&slots.plain(), whole) {
            (Slots::One(slot, _), None) => {
                self.floats[*slot as usize] += sum_floats(values, valid);
                self.is_float[*slot as usize] |= valid.is_none_or(|bits| bits.count_ones() > 0);
            }
            (Slots::Each(each), None) => {
                let mut add = |row: usize| {
                    let slot = each[row] as usize;
                    self.floats[slot].add(values[row]);
                    self.is_float[slot] = true;
                };
                match valid {
                    None => (0..values.len()).for_each(&mut add),
                    Some(bits) => bits.ones().for_each(&mut add),
                }
            }
            (slots, _) => {
                for row in (0..values.len()).filter(|row| valid.is_none_or(|bits| bits.get(*row))) {
                    let slot = slots.of(row);
                    if whole.is_some_and(|whole| whole.get(row)) {
                        self.add_wide(slot, i128::from(values[row] as i64));
                    } else {
                        self.floats[slot].add(values[row]);
                        self.is_float[slot] = true;
                    }
                }
            }
        }
    }

    /// Everything as tables.
    pub fn tables(&self) -> Vec<Table> {
        let all = self.slots;
        let wide = |slot: usize| self.wide.get(slot).copied().unwrap_or(0);
        let float = |slot: usize| self.floats.get(slot).copied().unwrap_or_default();
        let mut tables = vec![
            Table::new(all, self.counts.columns(all)),
            Table::new(all, vec![stored::ints(self.cells.iter().map(|cell| cell.sum))]),
        ];
        let of_wide = [
            stored::ints((0..all).map(|slot| (wide(slot) >> 64) as i64)),
            stored::ints((0..all).map(|slot| wide(slot) as i64)),
        ];
        let is_float = |slot: usize| self.is_float.get(slot).copied().unwrap_or(false);
        let of_floats = [
            stored::floats((0..all).map(|slot| float(slot).sum)),
            stored::floats((0..all).map(|slot| float(slot).lost)),
            stored::ints((0..all).map(|slot| i64::from(is_float(slot)))),
        ];
        tables.push(Table::new(all, if self.wide.is_empty() { Vec::new() } else { of_wide.into() }));
        tables.push(Table::new(all, if self.floats.is_empty() { Vec::new() } else { of_floats.into() }));
        tables
    }

    /// Reads [`Sums::tables`].
    pub fn read(tables: &[Table], slots: usize, has_filter: bool) -> Option<Self> {
        let [counts, cells, wide, floats] = tables else { return None };
        if tables.iter().any(|table| table.rows != slots) {
            return None;
        }
        let cells: Vec<Cell> = cells.ints(0)?.into_iter().map(|sum| Cell { sum, rows: 0 }).collect();
        let reach = cells.iter().map(|cell| u128::from(cell.sum.unsigned_abs())).max().unwrap_or(0);
        let mut sums =
            Self { counts: Counts::read(counts, has_filter)?, cells, reach, slots, ..Self::new(has_filter) };
        if !wide.columns.is_empty() {
            let both = wide.ints(0)?.into_iter().zip(wide.ints(1)?);
            sums.wide =
                both.map(|(high, low)| i128::from(high) << 64 | i128::from(low.cast_unsigned())).collect();
        }
        if !floats.columns.is_empty() {
            let both = floats.floats(0)?.into_iter().zip(floats.floats(1)?);
            sums.floats = both.map(|(sum, lost)| Float { sum, lost }).collect();
            sums.is_float = floats.ints(2)?.into_iter().map(|flag| flag == 1).collect();
        }
        Some(sums)
    }

    /// Adds those of another task.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        self.counts.absorb(other.counts, map);
        if self.reach + other.reach > i64::MAX as u128 {
            self.spill();
        }
        self.reach += other.reach;
        add_all(&mut self.cells, &other.cells, map);
        if !other.wide.is_empty() {
            self.wide.resize(self.slots, 0);
            add_all(&mut self.wide, &other.wide, map);
        }
        if !other.floats.is_empty() {
            self.floats.resize(self.slots, Float::default());
            self.is_float.resize(self.slots, false);
            add_all(&mut self.floats, &other.floats, map);
            for (from, is_float) in other.is_float.iter().enumerate() {
                let slot = map.map_or(from, |map| map[from] as usize);
                if *is_float && let Some(here) = self.is_float.get_mut(slot) {
                    *here = true;
                }
            }
        }
    }

    fn whole_sum(&self, slot: usize) -> i128 {
        i128::from(self.cells[slot].sum) + self.wide.get(slot).copied().unwrap_or(0)
    }

    /// The sums of some slots; `rows` are those of the groups.
    ///
    /// # Errors
    /// A sum of integers beyond 64 bits.
    pub fn totals(&self, slots: &[u32], rows: &[u64]) -> Result<Column> {
        let count = |slot: &u32| self.counts.of(*slot as usize, rows[*slot as usize]);
        let integer = |slot: usize| integer_sum(self.whole_sum(slot));
        let is_float = |slot: &u32| self.is_float.get(*slot as usize).copied().unwrap_or(false);
        if !slots.iter().any(is_float) {
            let sums = slots.iter().map(|slot| integer(*slot as usize)).collect::<Result<Vec<i64>>>()?;
            let valid = Bitmap::from_fn(slots.len(), |row| count(&slots[row]) > 0);
            let ints = Ints::from_masked(&sums, &valid);
            return Ok(Column::new(slots.len(), Some(valid), Data::Int(ints)));
        }
        let value = |slot: &u32| {
            Ok(match (count(slot), is_float(slot)) {
                (0, _) => Value::Null,
                (_, true) => {
                    Value::finite(self.floats[*slot as usize].total() + self.whole_sum(*slot as usize) as f64)
                }
                (_, false) => Value::Int(integer(*slot as usize)?),
            })
        };
        Ok(column_of(slots.iter().map(value).collect::<Result<Vec<Value>>>()?))
    }

    /// The means of some slots; `rows` are those of the groups.
    pub fn means(&self, slots: &[u32], rows: &[u64]) -> Column {
        let mean = |slot: &u32| {
            let slot = *slot as usize;
            let count = self.counts.of(slot, rows[slot]);
            let float = self.floats.get(slot).copied().unwrap_or_default().total();
            (count > 0)
                .then(|| (float + self.whole_sum(slot) as f64) / count as f64)
                .filter(|mean| mean.is_finite())
        };
        let means: Vec<Option<f64>> = slots.iter().map(mean).collect();
        let valid = Bitmap::from_fn(slots.len(), |row| means[row].is_some());
        let values = means.into_iter().map(|mean| mean.unwrap_or(0.0)).collect();
        Column::new(slots.len(), Some(valid), Data::Float { values, whole: None })
    }
}

/// No sum of so many of these numbers is farther from 0.
fn farthest(ints: &Ints, rows: usize) -> u128 {
    u128::from(ints.min().unsigned_abs().max(ints.max().unsigned_abs())) * rows as u128
}

/// Sums and counts rows of few slots: count above, sum of offsets below the 40th bit of one number, and several of them
/// a slot, so that an addition need not wait for the one before. Offsets are below 2^24, rows at most 2^16, so neither
/// reaches into the other.
fn tally<S: Copy + Into<u64>, T: Copy + Into<u64>>(
    cells: &mut [Cell],
    slots: &[S],
    offsets: &[T],
    base: i64,
) {
    const ONE: u64 = 1 << 40;
    let mut banks = vec![[0u64; BANKS]; cells.len()];
    for (slots, offsets) in slots.chunks(BANKS).zip(offsets.chunks(BANKS)) {
        for (bank, (slot, offset)) in slots.iter().zip(offsets).enumerate() {
            banks[(*slot).into() as usize][bank] += ONE + (*offset).into();
        }
    }
    for (cell, banks) in cells.iter_mut().zip(&banks).filter(|(_, banks)| **banks != [0; BANKS]) {
        let rows: u64 = banks.iter().map(|bank| bank / ONE).sum();
        let offsets: u64 = banks.iter().map(|bank| bank % ONE).sum();
        cell.rows += rows;
        cell.sum += base * rows as i64 + offsets as i64;
    }
}

impl std::ops::AddAssign for Cell {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.rows += other.rows;
    }
}

/// A sum of integers, where it fits.
///
/// # Errors
/// One beyond 64 bits.
pub fn integer_sum(sum: i128) -> Result<i64> {
    i64::try_from(sum).map_err(|_| {
        Error::invalid(format!(
            "integer overflow: a sum comes to {sum}, beyond 64 bits; sum a float instead, as with sum(cast(x as float))"
        ))
    })
}

fn sum_offsets(offsets: &Narrow, valid: Option<&Bitmap>) -> u128 {
    match (offsets, valid) {
        (Narrow::U64(offsets), None) => offsets.iter().map(|offset| u128::from(*offset)).sum(),
        // numbers of 32 bits, and fewer than that many
        (offsets, None) => {
            u128::from(with_narrow!(offsets, o => o.iter().map(|offset| *offset as u64).sum::<u64>()))
        }
        (offsets, Some(bits)) => {
            with_narrow!(offsets, o => bits.ones().map(|row| o[row] as u128).sum())
        }
    }
}

/// The sum in eight lanes: additions need not wait for each other.
fn sum_floats(values: &[f64], valid: Option<&Bitmap>) -> Float {
    let mut lanes = [Float::default(); 8];
    match valid {
        None => {
            let mut chunks = values.chunks_exact(8);
            for chunk in &mut chunks {
                lanes.iter_mut().zip(chunk).for_each(|(lane, value)| lane.add(*value));
            }
            lanes.iter_mut().zip(chunks.remainder()).for_each(|(lane, value)| lane.add(*value));
        }
        Some(bits) => bits.ones().enumerate().for_each(|(at, row)| lanes[at % 8].add(values[row])),
    }
    let mut all = Float::default();
    lanes.into_iter().for_each(|lane| all += lane);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;
    use proptest::prelude::*;

    fn sum(values: &[f64], cut: usize) -> f64 {
        let mut all = Sums::new(false);
        all.grow(1);
        let (first, rest) = values.split_at(cut.min(values.len()));
        for some in [first, rest].into_iter().filter(|some| !some.is_empty()) {
            let mut sums = Sums::new(false);
            sums.grow(1);
            // a whole number among them would be summed apart
            let column = column_of(some.iter().map(|value| Value::Float(*value)));
            sums.update(&Slots::One(0, some.len()), &column);
            all.absorb(sums, None);
        }
        match all.totals(&[0], &[values.len() as u64]).unwrap().get(0) {
            Value::Float(sum) => sum,
            Value::Int(sum) => sum as f64,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_small_beside_the_sum_is_not_lost() {
        assert_eq!(sum(&[1e16, 1.5, -1e16], 1), 1.5);
        assert_eq!(sum(&[0.1; 10], 3), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MIN, 2.5], 2), 2.5);
    }

    proptest! {
        #[test]
        fn neither_order_nor_parts_show(mut cents in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..300), cut in 0usize..300) {
            let floats = |cents: &[i64]| cents.iter().map(|cents| *cents as f64 / 100.0 + 0.001).collect::<Vec<f64>>();
            let wanted = sum(&floats(&cents), 0);
            prop_assert_eq!(sum(&floats(&cents), cut), wanted);
            cents.sort_unstable();
            prop_assert_eq!(sum(&floats(&cents), cut), wanted);
        }
    }
}
