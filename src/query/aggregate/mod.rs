//! Aggregates as states that are fed columns, merged, and finished: one state for all aggregates that are made of the
//! same numbers, a slot a group.

pub mod counts;
pub mod distinct;
pub mod extremes;
pub mod numbers;
pub mod packed;
pub mod stored;
pub mod sums;

use std::cmp::Ordering;

use crate::columnar::TIME;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::error::Result;
use crate::query::aggregate::counts::Counts;
use crate::query::aggregate::distinct::Distinct;
use crate::query::aggregate::extremes::Extremes;
use crate::query::aggregate::numbers::Numbers;
use crate::query::aggregate::stored::Table;
use crate::query::aggregate::sums::Sums;
use crate::query::codes::Domain;
use crate::query::earliest::Earliest;
use crate::query::expression::{AggregateFunction, Expr};
use crate::query::functions::Context;
use crate::query::sketch::distinct::DistinctSketches;
use crate::query::sketch::quantile::QuantileSketch;
use crate::query::slots::Slots;
use crate::query::vector;
use crate::query::view::View;

/// In a map of slots: one that no group has.
pub const NO_SLOT: u32 = u32::MAX;

/// What an aggregate is made of; those of the same family, argument and condition share a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Rows, or values.
    Count,
    /// Sum and avg.
    Sum,
    /// min
    Least,
    /// max
    Greatest,
    /// Exact distinct.
    Distinct,
    /// Exact quantiles.
    Numbers,
    /// approx_uniq
    DistinctSketch,
    /// Approximate quantiles.
    QuantileSketch,
    /// first
    First,
    /// last
    Last,
}

impl Family {
    /// The family of an aggregate.
    pub fn of(function: AggregateFunction) -> Self {
        match function {
            AggregateFunction::Count => Self::Count,
            AggregateFunction::Sum | AggregateFunction::Avg => Self::Sum,
            AggregateFunction::Min | AggregateFunction::Any => Self::Least,
            AggregateFunction::Max => Self::Greatest,
            AggregateFunction::Uniq => Self::Distinct,
            AggregateFunction::Quantile(_) => Self::Numbers,
            AggregateFunction::ApproxUniq => Self::DistinctSketch,
            AggregateFunction::ApproxQuantile(_) => Self::QuantileSketch,
            AggregateFunction::First => Self::First,
            AggregateFunction::Last => Self::Last,
        }
    }

    /// What it reads of a row beside its argument.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::First | Self::Last => &[TIME, "_seq"],
            _ => &[],
        }
    }
}

impl Family {
    /// All of them; the place is the number that stored states tell it by.
    pub const ALL: [Self; 10] = [
        Self::Count,
        Self::Sum,
        Self::Least,
        Self::Greatest,
        Self::Distinct,
        Self::Numbers,
        Self::DistinctSketch,
        Self::QuantileSketch,
        Self::First,
        Self::Last,
    ];
}

/// The state of one family over all groups.
#[derive(Debug, Clone)]
pub enum State {
    /// Rows, or values.
    Count(Counts),
    /// Sum and avg.
    Sum(Sums),
    /// min and max.
    Extreme(Extremes),
    /// Exact distinct.
    Distinct(Distinct),
    /// Exact quantiles.
    Numbers(Numbers),
    /// approx_uniq
    DistinctSketch(DistinctSketches),
    /// Approximate quantiles.
    QuantileSketch(QuantileSketch),
    /// first and last.
    Earliest(Earliest),
}

/// Some rows, and what an aggregate is over.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The rows.
    pub view: &'a View,
    /// The argument; `None` counts the rows themselves.
    pub argument: Option<&'a Expr>,
    /// What evaluating takes.
    pub context: &'a Context,
}

/// What falls to one state of a question that is worked on in several tasks.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// How many such states there may be at once: each has its share of the memory for quick ways.
    pub states: usize,
    /// Rows that it may take in, about.
    pub rows: usize,
}

impl Default for Share {
    /// All of it.
    fn default() -> Self {
        Self { states: 1, rows: usize::MAX }
    }
}

impl State {
    /// The empty state; `domain` tells of the argument, and `share` how much of the question falls to it.
    pub fn new(family: Family, has_filter: bool, domain: &Domain, share: Share) -> Self {
        match family {
            Family::Count => Self::Count(Counts::new(has_filter)),
            Family::Sum => Self::Sum(Sums::new(has_filter)),
            Family::Least => Self::Extreme(Extremes::new(Ordering::Less)),
            Family::Greatest => Self::Extreme(Extremes::new(Ordering::Greater)),
            Family::Distinct => Self::Distinct(Distinct::new(domain, share)),
            Family::Numbers => Self::Numbers(Numbers::new(domain.least(), share)),
            Family::DistinctSketch => Self::DistinctSketch(DistinctSketches::default()),
            Family::QuantileSketch => Self::QuantileSketch(QuantileSketch::default()),
            Family::First => Self::Earliest(Earliest::new(false)),
            Family::Last => Self::Earliest(Earliest::new(true)),
        }
    }

    /// Bytes in memory, told without looking at the slots.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Count(counts) => counts.bytes(),
            Self::Sum(sums) => sums.bytes(),
            Self::Extreme(extremes) => extremes.bytes(),
            Self::Distinct(distinct) => distinct.bytes(),
            Self::Numbers(numbers) => numbers.bytes(),
            Self::DistinctSketch(sketches) => sketches.bytes(),
            Self::QuantileSketch(sketch) => sketch.bytes(),
            Self::Earliest(earliest) => earliest.bytes(),
        }
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        match self {
            Self::Count(counts) => counts.grow(slots),
            Self::Sum(sums) => sums.grow(slots),
            Self::Extreme(extremes) => extremes.grow(slots),
            Self::Distinct(distinct) => distinct.grow(slots),
            Self::Numbers(numbers) => numbers.grow(slots),
            Self::DistinctSketch(sketches) => sketches.grow(slots),
            Self::QuantileSketch(_) => {}
            Self::Earliest(earliest) => earliest.grow(slots),
        }
    }

    /// Feeds rows.
    ///
    /// # Errors
    /// As evaluating the argument.
    pub fn update(&mut self, slots: &Slots, input: Input<'_>) -> Result<()> {
        let Some(argument) = input.argument else {
            if let Self::Count(counts) = self {
                counts.add(slots, None);
            }
            return Ok(());
        };
        if let Self::Distinct(distinct) = self {
            return distinct.update(slots, argument, input.view, input.context);
        }
        let column = vector::evaluate(argument, input.view, input.context)?;
        match self {
            Self::Count(counts) => counts.add(slots, column.validity.as_ref()),
            Self::Sum(sums) => sums.update(slots, &column),
            Self::Extreme(extremes) => extremes.update(slots, &column),
            Self::Numbers(numbers) => numbers.update(slots, &column),
            Self::DistinctSketch(sketches) => sketches.update(slots, &column),
            Self::QuantileSketch(sketch) => sketch.update(slots, &column),
            Self::Earliest(earliest) => {
                earliest.update(slots, &column, &input.view.column(TIME), &input.view.column("_seq"));
            }
            Self::Distinct(_) => {}
        }
        Ok(())
    }

    /// Feeds rows and counts them by slot beside that, where it can do both at once; whether it did.
    ///
    /// # Errors
    /// As evaluating the argument.
    pub fn update_and_count(&mut self, slots: &Slots, input: Input<'_>) -> Result<bool> {
        match (self, input.argument) {
            (Self::Sum(sums), Some(argument)) => {
                Ok(sums.update_and_count(slots, &*vector::evaluate(argument, input.view, input.context)?))
            }
            _ => Ok(false),
        }
    }

    /// Takes over another state of the same family; `map` gives the slot here of each slot there, or [`NO_SLOT`]; without
    /// it they are the same.
    pub fn absorb(&mut self, other: State, map: Option<&[u32]>) {
        match (self, other) {
            (Self::Count(counts), Self::Count(more)) => counts.absorb(more, map),
            (Self::Sum(sums), Self::Sum(more)) => sums.absorb(more, map),
            (Self::Extreme(extremes), Self::Extreme(more)) => extremes.absorb(more, map),
            (Self::Distinct(distinct), Self::Distinct(more)) => distinct.absorb(more, map),
            (Self::Numbers(numbers), Self::Numbers(more)) => numbers.absorb(more, map),
            (Self::DistinctSketch(sketches), Self::DistinctSketch(more)) => sketches.absorb(more, map),
            (Self::QuantileSketch(sketch), Self::QuantileSketch(more)) => sketch.absorb(more, map),
            (Self::Earliest(earliest), Self::Earliest(more)) => earliest.absorb(more, map),
            // both are of one family
            _ => debug_assert!(false, "states of different aggregates"),
        }
    }

    /// Makes it as small as it gets, to be kept for questions that are asked later; false where it cannot be.
    pub fn compact(&mut self) -> bool {
        match self {
            Self::Distinct(distinct) => distinct.compact(),
            Self::Extreme(extremes) => extremes.settle(),
            Self::Numbers(numbers) => return numbers.compact(),
            _ => {}
        }
        true
    }

    /// Everything as tables, of a state that was made compact.
    pub fn tables(&self, slots: usize) -> Vec<Table> {
        match self {
            Self::Count(counts) => vec![Table::new(slots, counts.columns(slots))],
            Self::Sum(sums) => sums.tables(),
            Self::Extreme(extremes) => extremes.tables(),
            Self::Distinct(distinct) => distinct.tables(),
            Self::Numbers(numbers) => numbers.tables(),
            Self::DistinctSketch(sketches) => sketches.tables(),
            Self::QuantileSketch(sketch) => sketch.tables(),
            Self::Earliest(earliest) => earliest.tables(),
        }
    }

    /// Reads [`State::tables`]; `None` where they are none of so many slots.
    pub fn read(family: Family, has_filter: bool, tables: &[Table], slots: usize) -> Option<Self> {
        Some(match family {
            Family::Count => {
                let table = tables.first().filter(|table| table.rows == slots)?;
                Self::Count(Counts::read(table, has_filter)?)
            }
            Family::Sum => Self::Sum(Sums::read(tables, slots, has_filter)?),
            Family::Least => Self::Extreme(Extremes::read(tables, slots, Ordering::Less)?),
            Family::Greatest => Self::Extreme(Extremes::read(tables, slots, Ordering::Greater)?),
            Family::Distinct => Self::Distinct(Distinct::read(tables, slots)?),
            Family::Numbers => Self::Numbers(Numbers::read(tables, slots)?),
            Family::DistinctSketch => Self::DistinctSketch(DistinctSketches::read(tables, slots)?),
            Family::QuantileSketch => Self::QuantileSketch(QuantileSketch::read(tables, slots)?),
            Family::First => Self::Earliest(Earliest::read(tables, slots, false)?),
            Family::Last => Self::Earliest(Earliest::read(tables, slots, true)?),
        })
    }

    /// Fits a state that was kept to the question at hand, whose argument has this domain.
    ///
    /// # Errors
    /// Values that are too many to number.
    pub fn recode(&mut self, domain: &Domain) -> Result<()> {
        match self {
            Self::Distinct(distinct) => distinct.recode(domain),
            _ => Ok(()),
        }
    }

    /// The results of an aggregate of this family for some slots, whose groups have so many rows.
    ///
    /// # Errors
    /// A sum of integers beyond 64 bits.
    pub fn finish(&mut self, function: AggregateFunction, slots: &[u32], rows: &[u64]) -> Result<Column> {
        let integers = |numbers: &[i64]| Column {
            rows: numbers.len(),
            validity: None,
            data: Data::Int(Ints::from_values(numbers)),
        };
        Ok(match self {
            Self::Count(counts) => {
                let count = |slot: &u32| counts.of(*slot as usize, rows[*slot as usize]) as i64;
                integers(&slots.iter().map(count).collect::<Vec<_>>())
            }
            Self::Sum(sums) if function == AggregateFunction::Avg => sums.means(slots, rows),
            Self::Sum(sums) => sums.totals(slots, rows)?,
            Self::Extreme(extremes) => column_of(extremes.values(slots)),
            Self::Distinct(distinct) => integers(&distinct.counts(slots)),
            Self::Numbers(numbers) => {
                let q = if let AggregateFunction::Quantile(q) = function { q } else { 0.5 };
                column_of(slots.iter().map(|slot| numbers.quantile(*slot as usize, q)).collect::<Vec<_>>())
            }
            Self::DistinctSketch(sketches) => {
                integers(&slots.iter().map(|slot| sketches.count(*slot as usize)).collect::<Vec<_>>())
            }
            Self::QuantileSketch(sketch) => {
                let q = if let AggregateFunction::ApproxQuantile(q) = function { q } else { 0.5 };
                column_of(slots.iter().map(|slot| sketch.quantile(*slot, q)).collect::<Vec<_>>())
            }
            Self::Earliest(earliest) => column_of(slots.iter().map(|slot| earliest.value(*slot as usize))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::numbers::rank;
    use super::*;
    use crate::value::Value;
    use jiff::tz::TimeZone;
    use std::sync::Arc;

    /// The result of an aggregate over the values of one column, its blocks given one by one, all rows in one group.
    fn result(function: AggregateFunction, blocks: &[Vec<Value>]) -> Value {
        let mut state = State::new(Family::of(function), false, &Domain::Open, Share::default());
        let argument = Expr::Column("x".into());
        state.grow(1);
        for values in blocks {
            let column = Arc::new(column_of(values.iter().cloned()));
            let view = View::of(values.len(), vec![("x".into(), column)]);
            let context = Context::new(TimeZone::UTC);
            let input = Input { view: &view, argument: Some(&argument), context: &context };
            for slots in [Slots::One(0, values.len()), Slots::Each(Arc::new(vec![0; values.len()]))] {
                let mut alone = State::new(Family::of(function), false, &Domain::Open, Share::default());
                alone.grow(1);
                alone.update(&slots, input).expect("a state");
                if let Slots::One(..) = slots {
                    state.absorb(alone, None);
                }
            }
        }
        let rows = blocks.iter().map(|values| values.len() as u64).sum();
        state.finish(function, &[0], &[rows]).expect("a value").get(0)
    }

    fn quantile(values: impl IntoIterator<Item = Value>, q: f64) -> Value {
        result(AggregateFunction::Quantile(q), &[values.into_iter().collect()])
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
            assert_eq!(column_of(values.clone()).parts().len(), 2);
            let found = result(AggregateFunction::Max, &[values.to_vec()]);
            assert_eq!(format!("{found:?}"), format!("{:?}", values[0]));
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
