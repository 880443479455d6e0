//! `first(x)` and `last(x)`: the value of the earliest or latest row, by (`_time`, `_seq`), that has one. `aggregate` feeds
//! it the place of each row beside its value.

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::query::aggregate::NO_SLOT;
use crate::query::aggregate::stored::{self, Table};
use crate::query::slots::Slots;
use crate::value::Value;

/// The best row so far of every slot.
#[derive(Debug, Clone)]
pub struct Earliest {
    /// Whether the latest is wanted instead.
    latest: bool,
    slots: Vec<Option<(Place, Value)>>,
    /// Bytes of the values beside the list itself.
    behind: usize,
}

/// `_time` in µs and `_seq` of a row.
pub type Place = (i64, i64);

impl Earliest {
    /// The empty state of `first(x)`, or of `last(x)`.
    pub fn new(latest: bool) -> Self {
        Self { latest, slots: Vec::new(), behind: 0 }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Option<(Place, Value)>>() + self.behind
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        self.slots.resize(slots.max(self.slots.len()), None);
    }

    /// Feeds rows: the values, and the columns `_time` and `_seq`.
    pub fn update(&mut self, slots: &Slots, column: &Column, times: &Column, seqs: &Column) {
        let number = |column: &Column, row: usize| match &column.data {
            Data::Time(numbers) | Data::Int(numbers) => numbers.get(row),
            _ => 0,
        };
        for row in (0..column.rows).filter(|row| column.is_valid(*row)) {
            self.offer(slots.of(row), (number(times, row), number(seqs, row)), || column.get(row));
        }
    }

    /// Feeds one row.
    #[inline]
    pub fn offer(&mut self, slot: usize, place: Place, value: impl FnOnce() -> Value) {
        let best = &mut self.slots[slot];
        let wins = match best {
            None => true,
            Some((held, _)) if self.latest => place > *held,
            Some((held, _)) => place < *held,
        };
        if wins {
            let value = value();
            self.behind += value.bytes();
            self.behind -= best.as_ref().map_or(0, |(_, value)| value.bytes());
            *best = Some((place, value));
        }
    }

    /// Place, value and whether there is one, of every slot.
    pub fn tables(&self) -> Vec<Table> {
        let place = |of: fn(&Place) -> i64| {
            stored::ints(self.slots.iter().map(move |best| best.as_ref().map_or(0, |(place, _)| of(place))))
        };
        let is_there = stored::ints(self.slots.iter().map(|best| i64::from(best.is_some())));
        let values = column_of((0..self.slots.len()).map(|slot| self.value(slot)));
        vec![Table::new(self.slots.len(), vec![place(|p| p.0), place(|p| p.1), is_there, values])]
    }

    /// Reads [`Earliest::tables`].
    pub fn read(tables: &[Table], slots: usize, latest: bool) -> Option<Self> {
        let table = tables.first().filter(|table| table.rows == slots)?;
        let (times, seqs, there) = (table.ints(0)?, table.ints(1)?, table.ints(2)?);
        let mut all = Self::new(latest);
        all.grow(slots);
        for slot in (0..slots).filter(|slot| there[*slot] == 1) {
            let value = table.column(3)?.get(slot);
            all.offer(slot, (times[slot], seqs[slot]), || value);
        }
        Some(all)
    }

    /// Takes over another state of the same aggregate; `map` gives the slot here for each slot there, and without it they
    /// are the same.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        for (from, best) in other.slots.into_iter().enumerate() {
            let slot = map.map_or(from, |map| map[from] as usize);
            if let (Some((place, value)), true) = (best, slot != NO_SLOT as usize) {
                self.offer(slot, place, || value);
            }
        }
    }

    /// The value of a slot so far; null where no row has one.
    pub fn value(&self, slot: usize) -> Value {
        self.slots.get(slot).and_then(Option::as_ref).map_or(Value::Null, |(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                    state.grow(2);
                    let (times, seqs) =
                        (column(|r| Value::Time(r.0), part), column(|r| Value::Int(r.1), part));
                    state.update(&Slots::One(1, part.len()), &column(|r| r.2.clone(), part), &times, &seqs);
                    whole.absorb(state, Some(&[NO_SLOT, 0]));
                }
                found.push(whole.value(0));
            }
            assert_eq!(found, [Value::text("a"), Value::Int(7)], "cut at {cut}");
        }
    }
}
