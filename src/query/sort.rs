//! The order of rows: several keys, each way round, nulls last unless said otherwise. Used by answers and pages.

use std::cmp::Ordering;

use crate::value::Value;

/// How one key is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Largest first.
    pub descending: bool,
    /// Nulls before everything else.
    pub nulls_first: bool,
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
