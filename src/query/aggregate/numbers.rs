//! Exact quantiles. Whole numbers near the least of their column are counted by value, which takes no memory that grows
//! with the rows; all others are kept as they are. Of both, the wanted place is found without sorting.

use std::cmp::Ordering;

use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, with_narrow};
use crate::query::aggregate::counts::add_all;
use crate::query::aggregate::stored::{self, Table};
use crate::query::aggregate::{NO_SLOT, Share};
use crate::query::slots::Slots;
use crate::value::Value;

/// Counters of all tasks of a question: one task has its share of them for all its slots.
const COUNTERS: usize = if cfg!(test) { 1_024 } else { 8 << 20 };
/// Counters that a row is worth.
const COUNTERS_A_ROW: usize = 4;
/// Counters of a slot: most durations, sizes and prices lie so near to the least.
const WIDTH_MAX: usize = if cfg!(test) { 64 } else { 1 << 16 };
/// With fewer, counting does not pay.
const WIDTH_MIN: usize = if cfg!(test) { 16 } else { 1 << 8 };

/// The numbers of each slot.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// What counter 0 counts; set by the first whole numbers, or beforehand.
    base: Option<i64>,
    counters_max: usize,
    width: usize,
    /// How often `base` + place was there, slot after slot, `width` places each.
    counters: Vec<u64>,
    integers: Kept<i64>,
    floats: Kept<f64>,
    /// What was kept of earlier questions, beside what was counted since.
    tallies: Vec<Tally>,
    slots: usize,
}

/// How often a slot has a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tally {
    slot: u32,
    number: i64,
    times: u32,
}

/// Numbers with their slots; brought together by slot when the first quantile is asked for.
#[derive(Debug, Clone)]
struct Kept<T> {
    list: Vec<(u32, T)>,
    ends: Vec<usize>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { list: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Kept<T> {
    fn absorb(&mut self, other: Self, place: &dyn Fn(usize) -> u32) {
        self.ends.clear();
        let moved = other.list.into_iter().map(|(slot, number)| (place(slot as usize), number));
        self.list.extend(moved.filter(|(slot, _)| *slot != NO_SLOT));
    }

    /// The numbers of a slot.
    fn of(&mut self, slot: usize, slots: usize) -> &mut [(u32, T)] {
        if self.ends.is_empty() {
            let mut ends = vec![0usize; slots + 1];
            self.list.iter().for_each(|(slot, _)| ends[*slot as usize + 1] += 1);
            for slot in 1..ends.len() {
                ends[slot] += ends[slot - 1];
            }
            self.list.sort_by_key(|(slot, _)| *slot);
            self.ends = ends;
        }
        &mut self.list[self.ends[slot]..self.ends[slot + 1]]
    }
}

/// Where the whole numbers of a block go.
struct Counting<'a> {
    counters: &'a mut [u64],
    width: usize,
    from_base: u64,
    least: i64,
    list: &'a mut Vec<(u32, i64)>,
}

impl Counting<'_> {
    #[inline(always)]
    fn add(&mut self, slot: u32, offset: u64) {
        let place = self.from_base.wrapping_add(offset);
        if place < self.width as u64
            && let Some(counter) = self.counters.get_mut(slot as usize * self.width + place as usize)
        {
            *counter += 1;
        } else {
            self.list.push((slot, self.least.wrapping_add(offset as i64)));
        }
    }
}

impl Numbers {
    /// No numbers yet; `least` is the smallest whole number there can be, where it is known, and `share` is what of the
    /// question it has: making more counters than a few a row takes longer than the rows do.
    pub fn new(least: Option<i64>, share: Share) -> Self {
        Self {
            base: least,
            counters_max: (COUNTERS / share.states.max(1)).min(share.rows.saturating_mul(COUNTERS_A_ROW)),
            width: 0,
            counters: Vec::new(),
            integers: Kept::default(),
            floats: Kept::default(),
            tallies: Vec::new(),
            slots: 0,
        }
    }

    /// Bytes in memory, with what bringing numbers together by slot takes at the end.
    pub fn bytes(&self) -> usize {
        let kept = self.integers.list.capacity() + self.floats.list.capacity();
        self.counters.capacity() * size_of::<u64>()
            + self.tallies.capacity() * size_of::<Tally>()
            + kept * size_of::<(u32, i64)>() * 3 / 2
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        self.slots = self.slots.max(slots);
        if self.width > 0 && self.width * self.slots <= self.counters_max {
            self.counters.resize(self.width * self.slots, 0);
        }
    }

    /// Takes in rows.
    pub fn update(&mut self, slots: &Slots, column: &Column) {
        for part in column.parts() {
            match &part.data {
                Data::Int(ints) | Data::Time(ints) => self.add_integers(slots, ints, part),
                Data::Float { .. } | Data::Bool(_) => {
                    for row in (0..part.rows).filter(|row| part.is_valid(*row)) {
                        let slot = slots.of(row) as u32;
                        match part.get(row) {
                            Value::Int(n) => self.integers.list.push((slot, n)),
                            Value::Bool(b) => self.integers.list.push((slot, i64::from(b))),
                            Value::Float(f) => self.floats.list.push((slot, f)),
                            _ => {}
                        }
                    }
                }
                // texts, lists and JSON are no numbers
                _ => {}
            }
        }
    }

    fn add_integers(&mut self, slots: &Slots, ints: &Ints, part: &Column) {
        let base = *self.base.get_or_insert(ints.min());
        if self.counters.is_empty() && self.integers.list.is_empty() {
            let width = (self.counters_max / self.slots.max(1)).min(WIDTH_MAX);
            self.width = if width < WIDTH_MIN { 0 } else { width };
        }
        let all = self.width * self.slots;
        let counted = if all <= self.counters_max { all } else { 0 };
        self.counters.resize(self.counters.len().max(counted), 0);
        let mut counting = Counting {
            counters: &mut self.counters,
            width: self.width,
            // numbers below the base come out far above
            from_base: ints.min().wrapping_sub(base) as u64,
            least: ints.min(),
            list: &mut self.integers.list,
        };
        with_narrow!(ints.offsets(), offsets => match (slots, &part.validity) {
            (Slots::Listed(places, list), None) => {
                for (place, offset) in places.iter().zip(offsets) {
                    counting.add(list[*place as usize], *offset as u64);
                }
            }
            (Slots::Each(each), None) => {
                for (slot, offset) in each.iter().zip(offsets) {
                    counting.add(*slot, *offset as u64);
                }
            }
            (slots, valid) => {
                for row in (0..part.rows).filter(|row| valid.as_ref().is_none_or(|bits| bits.get(*row))) {
                    counting.add(slots.of(row) as u32, offsets[row] as u64);
                }
            }
        });
    }

    /// Takes over those of another task.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        let place = |slot: usize| map.map_or(slot as u32, |map| map[slot]);
        if self.base.is_none() || self.counters.is_empty() && self.integers.list.is_empty() {
            (self.base, self.width) = (other.base, other.width);
            self.grow(self.slots);
        }
        if self.base == other.base && self.width == other.width && map.is_none() {
            add_all(&mut self.counters, &other.counters, None);
        } else {
            self.absorb_counters(&other, &place);
        }
        let moved =
            other.tallies.into_iter().map(|tally| Tally { slot: place(tally.slot as usize), ..tally });
        self.tallies.extend(moved.filter(|tally| tally.slot != NO_SLOT));
        self.integers.absorb(other.integers, &place);
        self.floats.absorb(other.floats, &place);
    }

    fn absorb_counters(&mut self, other: &Self, place: &dyn Fn(usize) -> u32) {
        let base = other.base.unwrap_or(0);
        let ahead = base.wrapping_sub(self.base.unwrap_or(base));
        for (from, counters) in other.counters.chunks(other.width.max(1)).enumerate() {
            let slot = place(from);
            if slot == NO_SLOT {
                continue;
            }
            for (at, count) in counters.iter().enumerate().filter(|(_, count)| **count > 0) {
                // what lies below the first counter, or above the last, comes out far above
                let here = ahead.wrapping_add(at as i64) as usize;
                let counter = (here < self.width).then(|| slot as usize * self.width + here);
                match counter.and_then(|counter| self.counters.get_mut(counter)) {
                    Some(here) => *here += count,
                    None => {
                        let number = (slot, base.wrapping_add(at as i64));
                        self.integers.list.extend(std::iter::repeat_n(number, *count as usize));
                    }
                }
            }
        }
    }

    /// Tallies all whole numbers, to be kept for later questions: that is small where values are few, however many rows had
    /// them. False, and it stays as it is, where one is there too often to be tallied.
    pub fn compact(&mut self) -> bool {
        let width = self.width.max(1);
        let counted = self.counters.iter().enumerate().filter(|(_, count)| **count > 0);
        let counted = counted.map(|(at, count)| {
            let number = self.base.unwrap_or(0).wrapping_add((at % width) as i64);
            Some(Tally { slot: (at / width) as u32, number, times: u32::try_from(*count).ok()? })
        });
        let listed = self
            .integers
            .list
            .iter()
            .map(|(slot, number)| Some(Tally { slot: *slot, number: *number, times: 1 }));
        let known = self.tallies.iter().map(|tally| Some(*tally));
        let Some(mut all) = counted.chain(listed).chain(known).collect::<Option<Vec<Tally>>>() else {
            return false;
        };
        all.sort_unstable();
        let mut tallies: Vec<Tally> = Vec::new();
        for tally in all {
            match tallies.last_mut().filter(|last| (last.slot, last.number) == (tally.slot, tally.number)) {
                Some(last) => match last.times.checked_add(tally.times) {
                    Some(times) => last.times = times,
                    None => return false,
                },
                None => tallies.push(tally),
            }
        }
        tallies.shrink_to_fit();
        // whoever takes it in counts as he counts
        (self.base, self.width, self.counters) = (None, 0, Vec::new());
        (self.integers, self.tallies) = (Kept::default(), tallies);
        true
    }

    /// What [`Numbers::compact`] left as tables: slot, number and how often it was there; slot and float.
    pub fn tables(&self) -> Vec<Table> {
        let (tallies, floats) = (&self.tallies, &self.floats.list);
        let integers = vec![
            stored::ints(tallies.iter().map(|tally| i64::from(tally.slot))),
            stored::ints(tallies.iter().map(|tally| tally.number)),
            stored::ints(tallies.iter().map(|tally| i64::from(tally.times))),
        ];
        let of_floats = vec![
            stored::ints(floats.iter().map(|(slot, _)| i64::from(*slot))),
            stored::floats(floats.iter().map(|(_, float)| *float)),
        ];
        vec![Table::new(tallies.len(), integers), Table::new(floats.len(), of_floats)]
    }

    /// Reads [`Numbers::tables`].
    pub fn read(tables: &[Table], slots: usize) -> Option<Self> {
        let [integers, floats] = tables else { return None };
        let numbers = integers.slots(0, slots)?.into_iter().zip(integers.ints(1)?).zip(integers.ints(2)?);
        let tally = |((slot, number), times)| Some(Tally { slot, number, times: u32::try_from(times).ok()? });
        let tallies = numbers.map(tally).collect::<Option<Vec<Tally>>>()?;
        let mut all = Self { slots, ..Self::new(None, Share::default()) };
        all.floats.list = floats.slots(0, slots)?.into_iter().zip(floats.floats(1)?).collect();
        all.tallies = tallies;
        Some(all)
    }

    /// The counters of a slot.
    fn counters_of(&self, slot: usize) -> &[u64] {
        self.counters.get(slot * self.width..(slot + 1) * self.width).unwrap_or(&[])
    }

    /// The quantile where a part of the numbers is tallied: all of them are, and put in order.
    fn quantile_of_tallies(&mut self, slot: usize, q: f64) -> Value {
        let base = self.base.unwrap_or(0);
        let counters = self.counters_of(slot).iter().enumerate().filter(|(_, count)| **count > 0);
        let counted = counters.map(|(at, count)| (base.wrapping_add(at as i64), *count));
        let mut integers: Vec<(i64, u64)> = counted.collect();
        let of_slot = self.tallies.iter().filter(|tally| tally.slot as usize == slot);
        integers.extend(of_slot.map(|tally| (tally.number, u64::from(tally.times))));
        integers.extend(self.integers.of(slot, self.slots).iter().map(|(_, n)| (*n, 1)));
        let floats = self.floats.of(slot, self.slots);
        if floats.is_empty() {
            integers.sort_unstable_by_key(|(number, _)| *number);
            return at_rank(&integers, q).map_or(Value::Null, Value::Int);
        }
        let mut all: Vec<(Value, u64)> = floats.iter().map(|(_, float)| (Value::Float(*float), 1)).collect();
        all.extend(integers.into_iter().map(|(number, times)| (Value::Int(number), times)));
        all.sort_unstable_by(|a, b| in_order(&a.0, &b.0));
        at_rank(&all, q).unwrap_or(Value::Null)
    }

    /// The ⌈q·n⌉-th smallest number of a slot, as it came; null where it has none.
    pub fn quantile(&mut self, slot: usize, q: f64) -> Value {
        if !self.tallies.is_empty() {
            return self.quantile_of_tallies(slot, q);
        }
        let counters = self.counters_of(slot).to_vec();
        let base = self.base.unwrap_or(0);
        let counted: usize = counters.iter().map(|count| *count as usize).sum();
        let integers = self.integers.of(slot, self.slots);
        let floats = self.floats.of(slot, self.slots);
        let count = counted + integers.len() + floats.len();
        if count == 0 {
            return Value::Null;
        }
        let at = rank(q, count) - 1;
        if !floats.is_empty() && counted + integers.len() > 0 {
            let each = counters.iter().enumerate();
            let counted = each
                .flat_map(|(at, count)| std::iter::repeat_n(base.wrapping_add(at as i64), *count as usize));
            let mut all: Vec<Value> =
                counted.chain(integers.iter().map(|(_, n)| *n)).map(Value::Int).collect();
            all.extend(floats.iter().map(|(_, f)| Value::Float(*f)));
            return all.select_nth_unstable_by(at, in_order).1.clone();
        }
        if !floats.is_empty() {
            return Value::Float(floats.select_nth_unstable_by(at, |a, b| a.1.total_cmp(&b.1)).1.1);
        }
        // what is kept as it is lies below or above all that is counted, unless counting began late
        let end = base.saturating_add(self.width as i64);
        let below = integers.iter().filter(|(_, n)| *n < base).count();
        let within = integers.iter().filter(|(_, n)| (base..end).contains(n)).count();
        if within > 0 && counted > 0 {
            let each = counters.iter().enumerate();
            let counted = each
                .flat_map(|(at, count)| std::iter::repeat_n(base.wrapping_add(at as i64), *count as usize));
            let mut all: Vec<i64> = counted.chain(integers.iter().map(|(_, n)| *n)).collect();
            return Value::Int(*all.select_nth_unstable(at).1);
        }
        if at < below || counted == 0 || at >= below + counted {
            let at = if at < below || counted == 0 { at } else { at - counted };
            return Value::Int(integers.select_nth_unstable_by_key(at, |(_, n)| *n).1.1);
        }
        let mut left = at - below;
        for (place, count) in counters.iter().enumerate() {
            match left.checked_sub(*count as usize) {
                Some(rest) => left = rest,
                None => return Value::Int(base.wrapping_add(place as i64)),
            }
        }
        Value::Null
    }
}

/// The order of numbers; of equal ones, as 1 and 1.0 are, whole ones stand first, however the rows were parted.
fn in_order(a: &Value, b: &Value) -> Ordering {
    let is_float = |value: &Value| matches!(value, Value::Float(_));
    a.compare(b).then_with(|| is_float(a).cmp(&is_float(b)))
}

/// The ⌈q·n⌉-th of numbers in order, each so many times; `None` where there is none.
fn at_rank<T: Clone>(all: &[(T, u64)], q: f64) -> Option<T> {
    let count: u64 = all.iter().map(|(_, times)| times).sum();
    let mut left = if count == 0 { 0 } else { rank(q, usize::try_from(count).unwrap_or(usize::MAX)) as u64 };
    for (number, times) in all {
        if left <= *times {
            return Some(number.clone());
        }
        left -= times;
    }
    None
}

/// ⌈q·n⌉, from 1 to n, of the decimal that `q` was written as: 0.07 of 100 is 7, though as floats their product lies
/// above it.
pub fn rank(q: f64, count: usize) -> usize {
    let product = q * count as f64;
    let nearest = product.round();
    let is_whole = (product - nearest).abs() <= nearest * f64::EPSILON;
    let rank = if is_whole { nearest } else { product.ceil() };
    (rank as usize).clamp(1, count)
}
