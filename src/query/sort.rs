//! The order of rows: several keys, each way round, nulls last unless said otherwise. Used by answers and pages.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::with_narrow;
use crate::query::language::Order;
use crate::value::Value;

/// How one key is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Largest first.
    pub descending: bool,
    /// Nulls before everything else.
    pub nulls_first: bool,
}

impl Direction {
    /// The smallest first, nulls last.
    pub const ASCENDING: Self = Self { descending: false, nulls_first: false };

    /// That of one part of an order.
    pub fn of(order: &Order) -> Self {
        Self { descending: order.descending, nulls_first: order.nulls_first }
    }
}

/// Compares two values by one key.
pub fn compare_key(a: &Value, b: &Value, direction: Direction) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if direction.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if direction.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if direction.descending => b.compare(a),
        (false, false) => a.compare(b),
    }
}

/// Compares two rows by all keys, the first that differs deciding.
pub fn compare_keys(a: &[Value], b: &[Value], directions: &[Direction]) -> Ordering {
    let keys = a.iter().zip(b).zip(directions);
    keys.map(|((a, b), direction)| compare_key(a, b, *direction))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Keeps the first `count` of a list in order; the rest goes. Cheaper than sorting all where few are wanted. Equal
/// ones stay in the order they came, so that pages by OFFSET neither repeat nor lose any.
pub fn keep_first<T>(list: &mut Vec<T>, count: usize, compare: impl Fn(&T, &T) -> Ordering) {
    if count == 0 {
        list.clear();
    } else if list.len() > count {
        let mut placed: Vec<(usize, T)> = std::mem::take(list).into_iter().enumerate().collect();
        placed.select_nth_unstable_by(count - 1, |a, b| compare(&a.1, &b.1).then(a.0.cmp(&b.0)));
        placed.truncate(count);
        placed.sort_unstable_by(|a, b| compare(&a.1, &b.1).then(a.0.cmp(&b.0)));
        list.extend(placed.into_iter().map(|(_, item)| item));
        return;
    }
    list.sort_by(compare);
}

/// Sorts rows by columns, without making values of what is numbers or texts by dictionary.
#[derive(Debug)]
pub struct Sorter {
    keys: Vec<Key>,
}

/// One column in the form that is compared quickest.
#[derive(Debug)]
enum Key {
    /// Numbers that are in order where the values are, direction and nulls included.
    Numbers(Vec<u64>),
    /// Everything else.
    Values(Vec<Value>, Direction),
}

impl Sorter {
    /// A sorter by columns of the same rows, the first deciding first.
    pub fn new(columns: Vec<(Arc<Column>, Direction)>) -> Self {
        Self { keys: columns.iter().map(|(column, direction)| Key::new(column, *direction)).collect() }
    }

    /// The first rows in order; rows that are equal stay as they stood.
    pub fn first(&self, most: usize, rows: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..rows as u32).collect();
        let order = |a: &u32, b: &u32| self.compare(*a as usize, *b as usize).then(a.cmp(b));
        if most == 0 {
            return Vec::new();
        }
        if most < rows {
            all.select_nth_unstable_by(most - 1, order);
            all.truncate(most);
        }
        all.sort_unstable_by(order);
        all
    }

    /// Rows that may be among the first by the first column alone, in the order they stand: all that are not behind the
    /// last one that fits.
    pub fn candidates(&self, most: usize) -> Vec<u32> {
        let Some(key) = self.keys.first() else { return Vec::new() };
        let rows = key.len();
        if most >= rows {
            return (0..rows as u32).collect();
        }
        let Some(last) = most.checked_sub(1) else { return Vec::new() };
        match key {
            Key::Numbers(numbers) => {
                let mut sorted = numbers.clone();
                let bound = *sorted.select_nth_unstable(last).1;
                (0..rows as u32).filter(|row| numbers[*row as usize] <= bound).collect()
            }
            Key::Values(..) => {
                let compare = |a: &u32, b: &u32| key.compare(*a as usize, *b as usize);
                let mut sorted: Vec<u32> = (0..rows as u32).collect();
                let bound = *sorted.select_nth_unstable_by(last, compare).1;
                (0..rows as u32).filter(|row| compare(row, &bound).is_le()).collect()
            }
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.keys.iter().map(|key| key.compare(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Key {
    fn new(column: &Column, direction: Direction) -> Self {
        let offsets = match &column.data {
            Data::Int(ints) | Data::Time(ints) => ints.offsets(),
            Data::Text(texts) => &texts.codes,
            _ => return Self::Values((0..column.rows).map(|row| column.get(row)).collect(), direction),
        };
        // values lie strictly between what stands for null first and null last
        let number = |offset: u64| if direction.descending { (u64::MAX - 1) - offset } else { offset + 1 };
        let null = if direction.nulls_first { 0 } else { u64::MAX };
        if with_narrow!(offsets, offsets => offsets.iter().any(|offset| *offset as u64 >= u64::MAX - 2)) {
            return Self::Values((0..column.rows).map(|row| column.get(row)).collect(), direction);
        }
        let mut numbers: Vec<u64> =
            with_narrow!(offsets, offsets => offsets.iter().map(|offset| number(*offset as u64)).collect());
        if let Some(validity) = &column.validity {
            numbers
                .iter_mut()
                .enumerate()
                .filter(|(row, _)| !validity.get(*row))
                .for_each(|(_, n)| *n = null);
        }
        Self::Numbers(numbers)
    }

    fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Values(values, _) => values.len(),
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Self::Numbers(numbers) => numbers[a].cmp(&numbers[b]),
            Self::Values(values, direction) => compare_key(&values[a], &values[b], *direction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_stand_last_both_ways_unless_asked_first() {
        let order = |descending, nulls_first| {
            let mut values = [Value::Null, Value::Int(1), Value::Int(2)];
            values.sort_by(|a, b| compare_key(a, b, Direction { descending, nulls_first }));
            values.iter().map(|v| v.to_text().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(order(false, false), ["1", "2", ""]);
        assert_eq!(order(true, false), ["2", "1", ""]);
        assert_eq!(order(true, true), ["", "2", "1"]);
    }

    #[test]
    fn the_first_few_are_those_of_the_sorted_list() {
        let mut list = vec![5, 3, 9, 1, 7];
        keep_first(&mut list, 2, Ord::cmp);
        assert_eq!(list, [1, 3]);
        keep_first(&mut list, 0, Ord::cmp);
        assert!(list.is_empty());
    }
}
