//! `first(x)` and `last(x)`: the value of the earliest or latest row, by (`_time`, `_seq`), that has one. `aggregate` feeds
//! it the place of each row beside its value.

use crate::columnar::column::Column;
use crate::value::Value;

/// The best row so far of every group.
#[derive(Debug)]
pub struct Earliest {
    /// Whether the latest is wanted instead.
    latest: bool,
    groups: Vec<Option<(Place, Value)>>,
}

/// `_time` in µs and `_seq` of a row.
pub type Place = (i64, i64);

impl Earliest {
    /// The empty state of `first(x)`, or of `last(x)`.
    pub fn new(latest: bool) -> Self {
        Self { latest, groups: Vec::new() }
    }

    /// Makes room for groups.
    pub fn grow(&mut self, groups: usize) {
        self.groups.resize(groups.max(self.groups.len()), None);
    }

    /// Feeds rows: the group of each, its value, and the columns `_time` and `_seq`.
    pub fn update(&mut self, groups: &[u32], column: &Column, times: &Column, seqs: &Column) {
        let number = |column: &Column, row: usize| match column.get(row) {
            Value::Time(n) | Value::Int(n) => n,
            _ => 0,
        };
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            let place = (number(times, row), number(seqs, row));
            self.offer(*group, place, || column.get(row));
        }
    }

    /// Feeds one row.
    pub fn offer(&mut self, group: u32, place: Place, value: impl FnOnce() -> Value) {
        let best = &mut self.groups[group as usize];
        let wins = match best {
            None => true,
            Some((held, _)) if self.latest => place > *held,
            Some((held, _)) => place < *held,
        };
        if wins {
            *best = Some((place, value()));
        }
    }

    /// Takes over another state of the same aggregate; `map` gives the group here for each group there.
    pub fn absorb(&mut self, other: Self, map: &[u32]) {
        for (best, group) in other.groups.into_iter().zip(map) {
            if let Some((place, value)) = best {
                self.offer(*group, place, || value);
            }
        }
    }

    /// The value of a group so far.
    pub fn value(&self, group: usize) -> Value {
        self.groups.get(group).and_then(Option::as_ref).map_or(Value::Null, |(_, value)| value.clone())
    }

    /// The value of every group; null where no row has one.
    pub fn finish(self) -> Vec<Value> {
        self.groups.into_iter().map(|best| best.map_or(Value::Null, |(_, value)| value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::column_of;

    #[test]
    fn rows_of_one_time_stand_in_the_order_of_their_seq_and_nulls_do_not_count() {
        let rows = [
            (5, 1, Value::Null),
            (5, 2, Value::text("a")),
            (5, 3, Value::Int(7)),
            (4, 9, Value::Null),
            (9, 4, Value::Null),
        ];
        let column = |cell: fn(&(i64, i64, Value)) -> Value, rows: &[(i64, i64, Value)]| {
            column_of(rows.iter().map(cell))
        };
        for cut in 0..rows.len() {
            let mut found = Vec::new();
            for latest in [false, true] {
                let mut whole = Earliest::new(latest);
                whole.grow(1);
                for part in [&rows[cut..], &rows[..cut]] {
                    let mut state = Earliest::new(latest);
                    state.grow(1);
                    let (times, seqs) =
                        (column(|r| Value::Time(r.0), part), column(|r| Value::Int(r.1), part));
                    state.update(&vec![0; part.len()], &column(|r| r.2.clone(), part), &times, &seqs);
                    whole.absorb(state, &[0]);
                }
                found.extend(whole.finish());
            }
            assert_eq!(found, [Value::text("a"), Value::Int(7)], "cut at {cut}");
        }
    }
}
