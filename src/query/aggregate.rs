//! Aggregates as states that are fed columns, merged, and finished: one state vector an aggregate, a slot a group.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::with_narrow;
use crate::columnar::text::Dictionary;
use crate::error::{Error, Result};
use crate::query::earliest::Earliest;
use crate::query::expression::AggregateFunction;
use crate::query::intern::Interner;
use crate::query::sketch::Sketch;
use crate::value::Value;

/// The state of one aggregate over all groups.
#[derive(Debug)]
pub enum State {
    /// Rows, or values.
    Count(Vec<u64>),
    /// Sum and avg.
    Sum(Vec<Sum>),
    /// min and max.
    Extreme(Extremes),
    /// Exact distinct: pairs of group and value number.
    Distinct(Interner, HashSet<(u32, u32), FixedState>),
    /// Exact quantile: all numbers of each group.
    Numbers(Vec<Numbers>, f64),
    /// What is not exact.
    Sketch(Sketch),
    /// first and last.
    Placed(Earliest),
}

/// All numbers of a group; integers apart from floats, so that those beyond 2^53 stay exact.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    integers: Vec<i64>,
    floats: Vec<f64>,
}

/// Sum of a group; integers apart from floats, so that integers stay exact.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    integers: i128,
    floats: f64,
    count: u64,
    any_float: bool,
}

impl State {
    /// The empty state.
    pub fn new(function: AggregateFunction) -> Self {
        match function {
            AggregateFunction::Count => Self::Count(Vec::new()),
            AggregateFunction::Sum | AggregateFunction::Avg => Self::Sum(Vec::new()),
            AggregateFunction::Min | AggregateFunction::Any => Self::Extreme(Extremes::new(Ordering::Less)),
            AggregateFunction::Max => Self::Extreme(Extremes::new(Ordering::Greater)),
            AggregateFunction::Uniq => Self::Distinct(Interner::default(), HashSet::default()),
            AggregateFunction::Quantile(q) => Self::Numbers(Vec::new(), q),
            AggregateFunction::ApproxUniq => Self::Sketch(Sketch::distinct()),
            AggregateFunction::ApproxQuantile(q) => Self::Sketch(Sketch::quantile(q)),
            AggregateFunction::First => Self::Placed(Earliest::new(false)),
            AggregateFunction::Last => Self::Placed(Earliest::new(true)),
        }
    }

    /// Makes room for groups.
    pub fn grow(&mut self, groups: usize) {
        match self {
            Self::Count(counts) => counts.resize(groups, 0),
            Self::Sum(sums) => sums.resize(groups, Sum::default()),
            Self::Extreme(extremes) => extremes.values.resize(groups, Value::Null),
            Self::Numbers(numbers, _) => numbers.resize(groups, Numbers::default()),
            Self::Distinct(..) => {}
            Self::Sketch(sketch) => sketch.grow(groups),
            Self::Placed(earliest) => earliest.grow(groups),
        }
    }

    /// Feeds rows of `first` and `last`: as [`State::update`], with the columns `_time` and `_seq`.
    pub fn update_placed(&mut self, groups: &[u32], argument: &Column, times: &Column, seqs: &Column) {
        if let Self::Placed(earliest) = self {
            earliest.update(groups, argument, times, seqs);
        }
    }

    /// Counts so many rows of the only group; for `count()` alone.
    pub fn count_rows(&mut self, rows: usize) {
        if let Self::Count(counts) = self
            && let Some(count) = counts.first_mut()
        {
            *count += rows as u64;
        }
    }

    /// Feeds rows: the group of each and the argument; `None` counts the rows themselves.
    pub fn update(&mut self, groups: &[u32], argument: Option<&Column>) {
        match (self, argument) {
            (Self::Count(counts), None) => groups.iter().for_each(|g| counts[*g as usize] += 1),
            (Self::Count(counts), Some(column)) => match &column.validity {
                None => groups.iter().for_each(|g| counts[*g as usize] += 1),
                Some(valid) => valid.ones().for_each(|row| counts[groups[row] as usize] += 1),
            },
            (Self::Sum(sums), Some(column)) => update_sums(sums, groups, column),
            (Self::Extreme(extremes), Some(column)) => extremes.update(groups, column),
            (Self::Distinct(interner, seen), Some(column)) => {
                let ids = interner.ids(column);
                let mut last = None;
                for (row, pair) in groups.iter().copied().zip(ids).enumerate() {
                    if column.is_valid(row) && last != Some(pair) {
                        seen.insert(pair);
                        last = Some(pair);
                    }
                }
            }
            (Self::Numbers(numbers, _), Some(column)) => {
                for (row, group) in groups.iter().enumerate() {
                    numbers[*group as usize].push(&column.get(row));
                }
            }
            (Self::Sketch(sketch), Some(column)) => sketch.update(groups, column),
            (Self::Placed(_), Some(_)) | (_, None) => {}
        }
    }

    /// Takes over another state of the same aggregate; `map` gives the group here for each group there.
    pub fn absorb(&mut self, other: State, map: &[u32]) {
        match (self, other) {
            (Self::Count(counts), Self::Count(more)) => {
                more.iter().zip(map).for_each(|(n, g)| counts[*g as usize] += n);
            }
            (Self::Sum(sums), Self::Sum(more)) => {
                for (sum, group) in more.iter().zip(map) {
                    sums[*group as usize].add(sum);
                }
            }
            (Self::Extreme(extremes), Self::Extreme(more)) => {
                extremes.settle();
                for (value, group) in more.finish().into_iter().zip(map) {
                    keep_extreme(&mut extremes.values[*group as usize], value, extremes.wins);
                }
            }
            (Self::Distinct(interner, seen), Self::Distinct(values, pairs)) => {
                let ids = interner.absorb(values);
                seen.extend(pairs.into_iter().map(|(group, id)| (map[group as usize], ids[id as usize])));
            }
            (Self::Numbers(numbers, _), Self::Numbers(more, _)) => {
                for (list, group) in more.into_iter().zip(map) {
                    let numbers = &mut numbers[*group as usize];
                    numbers.integers.extend(list.integers);
                    numbers.floats.extend(list.floats);
                }
            }
            (Self::Sketch(sketch), Self::Sketch(more)) => sketch.absorb(more, map),
            (Self::Placed(earliest), Self::Placed(more)) => earliest.absorb(more, map),
            // both are of one aggregate
            _ => debug_assert!(false, "states of different aggregates"),
        }
    }

    /// The result of every group.
    ///
    /// # Errors
    /// A sum of integers beyond 64 bits.
    pub fn finish(self, function: AggregateFunction, groups: usize) -> Result<Vec<Value>> {
        match self {
            Self::Count(counts) => Ok(counts.into_iter().map(|n| Value::Int(n as i64)).collect()),
            Self::Sum(sums) if function == AggregateFunction::Avg => {
                Ok(sums.iter().map(Sum::average).collect())
            }
            Self::Sum(sums) => sums.iter().map(Sum::total).collect(),
            Self::Extreme(extremes) => Ok(extremes.finish()),
            Self::Distinct(_, seen) => {
                let mut counts = vec![0i64; groups];
                seen.iter().for_each(|(group, _)| counts[*group as usize] += 1);
                Ok(counts.into_iter().map(Value::Int).collect())
            }
            Self::Numbers(numbers, q) => Ok(numbers.into_iter().map(|list| list.quantile(q)).collect()),
            Self::Sketch(sketch) => Ok(sketch.finish(groups)),
            Self::Placed(earliest) => Ok(earliest.finish()),
        }
    }
}

impl Sum {
    #[inline]
    fn add(&mut self, other: &Sum) {
        self.integers += other.integers;
        self.floats += other.floats;
        self.count += other.count;
        self.any_float |= other.any_float;
    }

    fn total(&self) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Null);
        }
        if self.any_float {
            return Ok(Value::finite(self.floats + self.integers as f64));
        }
        integer_sum(self.integers)
    }

    fn average(&self) -> Value {
        if self.count == 0 {
            Value::Null
        } else {
            Value::finite((self.floats + self.integers as f64) / self.count as f64)
        }
    }
}

/// A sum of integers, where it fits.
pub fn integer_sum(sum: i128) -> Result<Value> {
    i64::try_from(sum).map(Value::Int).map_err(|_| {
        Error::invalid(format!(
            "integer overflow: a sum comes to {sum}, beyond 64 bits; sum a float instead, as with sum(cast(x as float))"
        ))
    })
}

fn update_sums(sums: &mut [Sum], groups: &[u32], column: &Column) {
    for part in column.parts() {
        match &part.data {
            Data::Int(ints) | Data::Time(ints) => {
                let base = i128::from(ints.min());
                with_narrow!(ints.offsets(), offsets => for (row, (group, offset)) in groups.iter().zip(offsets).enumerate() {
                    if part.is_valid(row) {
                        let sum = &mut sums[*group as usize];
                        sum.integers += base + *offset as i128;
                        sum.count += 1;
                    }
                });
            }
            Data::Float { values, .. } => {
                for (row, (group, value)) in groups.iter().zip(values).enumerate() {
                    if part.is_valid(row) {
                        let sum = &mut sums[*group as usize];
                        sum.floats += value;
                        sum.count += 1;
                        sum.any_float = true;
                    }
                }
            }
            Data::Bool(bits) => {
                for (row, group) in groups.iter().enumerate().filter(|(row, _)| part.is_valid(*row)) {
                    let sum = &mut sums[*group as usize];
                    sum.integers += i128::from(bits.get(row));
                    sum.count += 1;
                }
            }
            // texts, lists and JSON have no sum
            _ => {}
        }
    }
}

/// The smallest or largest value of each group.
#[derive(Debug)]
pub struct Extremes {
    values: Vec<Value>,
    /// Less: the smallest wins.
    wins: Ordering,
    /// Texts of the last dictionary, not in `values` yet.
    codes: Option<Codes>,
}

/// The winning code of each group: dictionaries are sorted, so codes compare as their texts do.
#[derive(Debug)]
struct Codes {
    dictionary: Arc<Dictionary>,
    is_json: bool,
    best: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Extremes {
    fn new(wins: Ordering) -> Self {
        Self { values: Vec::new(), wins, codes: None }
    }

    fn update(&mut self, groups: &[u32], column: &Column) {
        let (Data::Text(texts) | Data::Json(texts)) = &column.data else {
            self.settle();
            return update_extremes(&mut self.values, self.wins, groups, column);
        };
        let is_json = matches!(column.data, Data::Json(_));
        let is_same =
            |codes: &Codes| codes.is_json == is_json && Arc::ptr_eq(&codes.dictionary, &texts.dictionary);
        if !self.codes.as_ref().is_some_and(is_same) {
            self.settle();
        }
        let dictionary = &texts.dictionary;
        let codes = self.codes.get_or_insert_with(|| Codes {
            dictionary: Arc::clone(dictionary),
            is_json,
            best: Vec::new(),
        });
        codes.best.resize(self.values.len(), NONE);
        let (best, wins) = (&mut codes.best, self.wins);
        with_narrow!(&texts.codes, numbers => {
            for (row, (group, code)) in groups.iter().zip(numbers).enumerate() {
                let (best, code) = (&mut best[*group as usize], *code as usize as u32);
                if column.is_valid(row) && (*best == NONE || code.cmp(best) == wins) {
                    *best = code;
                }
            }
        });
    }

    /// Makes values of the codes.
    fn settle(&mut self) {
        let Some(codes) = self.codes.take() else { return };
        for (best, code) in self.values.iter_mut().zip(codes.best).filter(|(_, code)| *code != NONE) {
            let value = match codes.dictionary.get(code as usize) {
                text if codes.is_json => Value::Json(text.into()),
                text => Value::text(text),
            };
            keep_extreme(best, value, self.wins);
        }
    }

    fn finish(mut self) -> Vec<Value> {
        self.settle();
        self.values
    }
}

fn keep_extreme(best: &mut Value, value: Value, wins: Ordering) {
    if !value.is_null() && (best.is_null() || value.compare(best) == wins) {
        *best = value;
    }
}

/// Finds the winning row of each group by number or code first, and makes one value a group of it.
fn update_extremes(best: &mut [Value], wins: Ordering, groups: &[u32], column: &Column) {
    // of values that are equal, as 1 and 1.0 are, the one of the first row counts, however blocks are cut
    let mut of_parts: HashMap<usize, (u32, Value), FixedState> = HashMap::default();
    for part in column.parts() {
        let mut winners = vec![NONE; best.len()];
        let mut offer = |row: usize, beats: &dyn Fn(usize, usize) -> Ordering| {
            let winner = &mut winners[groups[row] as usize];
            if *winner == NONE || beats(row, *winner as usize) == wins {
                *winner = row as u32;
            }
        };
        let valid = (0..part.rows).filter(|row| part.is_valid(*row));
        match &part.data {
            Data::Int(ints) | Data::Time(ints) => with_narrow!(ints.offsets(), offsets => {
                valid.for_each(|row| offer(row, &|a, b| offsets[a].cmp(&offsets[b])));
            }),
            Data::Text(texts) | Data::Json(texts) => with_narrow!(&texts.codes, codes => {
                valid.for_each(|row| offer(row, &|a, b| codes[a].cmp(&codes[b])));
            }),
            Data::Float { values, .. } => {
                valid.for_each(|row| {
                    offer(row, &|a, b| values[a].partial_cmp(&values[b]).unwrap_or(Ordering::Equal))
                });
            }
            _ => valid.for_each(|row| offer(row, &|a, b| part.get(a).compare(&part.get(b)))),
        }
        for (group, row) in winners.iter().enumerate().filter(|(_, row)| **row != NONE) {
            let value = part.get(*row as usize);
            if column.parts().len() == 1 {
                keep_extreme(&mut best[group], value, wins);
                continue;
            }
            let first = of_parts.entry(group).or_insert_with(|| (*row, value.clone()));
            let ordering = value.compare(&first.1);
            if ordering == wins || ordering.is_eq() && *row < first.0 {
                *first = (*row, value);
            }
        }
    }
    for (group, (_, value)) in of_parts {
        keep_extreme(&mut best[group], value, wins);
    }
}

impl Numbers {
    fn push(&mut self, value: &Value) {
        match value {
            Value::Int(n) | Value::Time(n) => self.integers.push(*n),
            Value::Bool(b) => self.integers.push(i64::from(*b)),
            Value::Float(f) => self.floats.push(*f),
            _ => {}
        }
    }

    /// The ⌈q·n⌉-th smallest, as it came.
    fn quantile(mut self, q: f64) -> Value {
        let count = self.integers.len() + self.floats.len();
        if count == 0 {
            return Value::Null;
        }
        let at = rank(q, count) - 1;
        if self.floats.is_empty() {
            return Value::Int(*self.integers.select_nth_unstable(at).1);
        }
        if self.integers.is_empty() {
            return Value::Float(*self.floats.select_nth_unstable_by(at, f64::total_cmp).1);
        }
        let mut all: Vec<Value> = self.integers.into_iter().map(Value::Int).collect();
        all.extend(self.floats.into_iter().map(Value::Float));
        let (_, found, _) = all.select_nth_unstable_by(at, Value::compare);
        found.clone()
    }
}

/// ⌈q·n⌉, from 1 to n (0 of none), of the decimal that `q` was written as: 0.07 of 100 is 7, though as floats their product lies
/// above it.
pub fn rank(q: f64, count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    let product = q * count as f64;
    let nearest = product.round();
    let is_whole = (product - nearest).abs() <= nearest * f64::EPSILON;
    let rank = if is_whole { nearest } else { product.ceil() };
    (rank as usize).clamp(1, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;

    fn quantile(values: impl IntoIterator<Item = Value>, q: f64) -> Value {
        let column = column_of(values);
        let mut state = State::new(AggregateFunction::Quantile(q));
        state.grow(1);
        state.update(&vec![0; column.rows], Some(&column));
        state.finish(AggregateFunction::Quantile(q), 1).expect("a number").remove(0)
    }

    #[test]
    fn a_quantile_is_one_of_the_numbers_to_the_last_digit() {
        let wide = 9_007_199_254_740_993;
        let found = quantile([Value::Int(wide), Value::Int(wide + 2), Value::Int(i64::MAX)], 0.5);
        assert_eq!(format!("{found:?}"), format!("Int({})", wide + 2));
        let mixed = [Value::Int(wide), Value::Float(9_007_199_254_740_992.0), Value::Float(0.5), Value::Null];
        assert_eq!(quantile(mixed.clone(), 1.0), Value::Int(wide));
        assert_eq!(quantile(mixed, 0.5), Value::Float(9_007_199_254_740_992.0));
        assert_eq!(quantile([Value::Null, Value::text("7")], 0.5), Value::Null);
    }

    #[test]
    fn of_equal_values_the_first_is_the_extreme() {
        let (wide, rounded) = (Value::Int(i64::MAX - 1_023), Value::Float(9_223_372_036_854_774_784.0));
        for values in [[wide.clone(), rounded.clone(), Value::Int(5)], [rounded, wide, Value::Int(5)]] {
            let column = column_of(values.clone());
            assert_eq!(column.parts().len(), 2);
            let mut state = State::new(AggregateFunction::Max);
            state.grow(1);
            state.update(&[0; 3], Some(&column));
            let found = state.finish(AggregateFunction::Max, 1).expect("a value");
            assert_eq!(format!("{:?}", found[0]), format!("{:?}", values[0]));
        }
    }

    #[test]
    fn ranks_are_those_of_the_decimal_as_written() {
        for count in 1..=1_000usize {
            for percent in 0..=100usize {
                let wanted = (percent * count).div_ceil(100).clamp(1, count);
                let q: f64 = format!("{}.{:02}", percent / 100, percent % 100).parse().expect("a number");
                assert_eq!(rank(q, count), wanted, "{percent}% of {count}");
            }
        }
        assert_eq!(rank(0.5, 1_000_001), 500_001);
        assert_eq!(rank(0.999, 1_000_000), 999_000);
    }
}
