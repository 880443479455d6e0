//! `min` and `max` by the order of values. Numbers and dictionary codes are compared as they are; a value is made of the
//! winner alone.

use std::cmp::Ordering;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::with_narrow;
use crate::columnar::text::Dictionary;
use crate::query::aggregate::NO_SLOT;
use crate::query::aggregate::stored::Table;
use crate::query::slots::Slots;
use crate::value::Value;

/// The smallest or largest value of each slot.
#[derive(Debug, Clone)]
pub struct Extremes {
    values: Vec<Value>,
    /// Less: the smallest wins.
    wins: Ordering,
    /// Winners that are not in `values` yet.
    pending: Option<Pending>,
    /// Bytes of the values beside the list itself.
    behind: usize,
}

/// The winning number of each slot among columns of one kind.
#[derive(Debug, Clone)]
struct Pending {
    kind: Kind,
    best: Vec<i64>,
    is_there: Vec<bool>,
}

/// What numbers stand for.
#[derive(Debug, Clone)]
enum Kind {
    Ints,
    Times,
    /// Dictionaries are sorted, so codes compare as their texts do.
    Codes(Arc<Dictionary>, bool),
}

impl Kind {
    fn of(data: &Data) -> Option<Self> {
        Some(match data {
            Data::Int(_) => Self::Ints,
            Data::Time(_) => Self::Times,
            Data::Text(texts) => Self::Codes(Arc::clone(&texts.dictionary), false),
            Data::Json(texts) => Self::Codes(Arc::clone(&texts.dictionary), true),
            _ => return None,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ints, Self::Ints) | (Self::Times, Self::Times) => true,
            (Self::Codes(a, a_json), Self::Codes(b, b_json)) => a_json == b_json && Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn value(&self, number: i64) -> Value {
        match self {
            Self::Ints => Value::Int(number),
            Self::Times => Value::Time(number),
            Self::Codes(dictionary, false) => Value::text(dictionary.get(number as usize)),
            Self::Codes(dictionary, true) => Value::Json(dictionary.get(number as usize).into()),
        }
    }
}

impl Extremes {
    /// No values yet; of two, the one that compares as `wins` to the other is kept.
    pub fn new(wins: Ordering) -> Self {
        Self { values: Vec::new(), wins, pending: None, behind: 0 }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let pending =
            self.pending.as_ref().map_or(0, |pending| pending.best.capacity() * (size_of::<i64>() + 1));
        self.values.capacity() * size_of::<Value>() + self.behind + pending
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        if self.values.len() < slots {
            self.values.resize(slots, Value::Null);
        }
        if let Some(pending) = &mut self.pending {
            pending.grow(slots);
        }
    }

    /// Takes in rows.
    pub fn update(&mut self, slots: &Slots, column: &Column) {
        let Some(kind) = Kind::of(&column.data) else {
            self.settle();
            return self.update_values(slots, column);
        };
        if !self.pending.as_ref().is_some_and(|pending| pending.kind.is_same(&kind)) {
            self.settle();
        }
        let count = self.values.len();
        let pending =
            self.pending.get_or_insert_with(|| Pending { kind, best: Vec::new(), is_there: Vec::new() });
        pending.grow(count);
        match &column.data {
            Data::Int(ints) | Data::Time(ints) => with_narrow!(ints.offsets(), offsets => {
                pending.offer_all(slots, column, self.wins, |row| ints.min().wrapping_add(offsets[row] as i64));
            }),
            Data::Text(texts) | Data::Json(texts) => with_narrow!(&texts.codes, codes => {
                pending.offer_all(slots, column, self.wins, |row| codes[row] as i64);
            }),
            _ => {}
        }
    }

    /// Makes values of the pending numbers.
    pub fn settle(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        // many slots may have the same long text: it is made once
        let mut texts: HashMap<i64, Value, FixedState> = HashMap::default();
        let winners = pending.best.iter().zip(&pending.is_there).zip(&mut self.values);
        for ((number, _), best) in winners.filter(|((_, is_there), _)| **is_there) {
            let value = match pending.kind {
                Kind::Codes(..) => {
                    texts.entry(*number).or_insert_with(|| pending.kind.value(*number)).clone()
                }
                _ => pending.kind.value(*number),
            };
            keep(best, value, self.wins, &mut self.behind);
        }
    }

    /// Finds the winning row of each slot by number or code first, and makes one value a slot of it.
    fn update_values(&mut self, slots: &Slots, column: &Column) {
        let (best, wins, behind) = (&mut self.values, self.wins, &mut self.behind);
        // of values that are equal, as 1 and 1.0 are, the one of the first row counts, however blocks are cut
        let mut of_parts: HashMap<usize, (u32, Value), FixedState> = HashMap::default();
        for part in column.parts() {
            let mut winners: HashMap<usize, u32, FixedState> = HashMap::default();
            let mut offer = |row: usize, beats: &dyn Fn(usize, usize) -> Ordering| {
                let winner = winners.entry(slots.of(row)).or_insert(row as u32);
                if beats(row, *winner as usize) == wins {
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
            for (slot, row) in winners {
                let value = part.get(row as usize);
                if column.parts().len() == 1 {
                    keep(&mut best[slot], value, wins, behind);
                    continue;
                }
                let first = of_parts.entry(slot).or_insert_with(|| (row, value.clone()));
                let ordering = value.compare(&first.1);
                if ordering == wins || ordering.is_eq() && row < first.0 {
                    *first = (row, value);
                }
            }
        }
        for (slot, (_, value)) in of_parts {
            keep(&mut best[slot], value, wins, behind);
        }
    }

    /// The settled values as a table.
    pub fn tables(&self) -> Vec<Table> {
        vec![Table::new(self.values.len(), vec![column_of(self.values.iter().cloned())])]
    }

    /// Reads [`Extremes::tables`].
    pub fn read(tables: &[Table], slots: usize, wins: Ordering) -> Option<Self> {
        let column = tables.first()?.column(0).filter(|column| column.rows == slots)?;
        let values: Vec<Value> = (0..slots).map(|slot| column.get(slot)).collect();
        let behind = values.iter().map(|value| value.bytes() - Value::Null.bytes()).sum();
        Some(Self { values, behind, ..Self::new(wins) })
    }

    /// Takes over those of another task.
    pub fn absorb(&mut self, mut other: Self, map: Option<&[u32]>) {
        self.settle();
        other.settle();
        for (from, value) in other.values.into_iter().enumerate() {
            let slot = map.map_or(from, |map| map[from] as usize);
            if slot != NO_SLOT as usize
                && let Some(best) = self.values.get_mut(slot)
            {
                keep(best, value, self.wins, &mut self.behind);
            }
        }
    }

    /// The values of some slots.
    pub fn values(&mut self, slots: &[u32]) -> Vec<Value> {
        self.settle();
        slots.iter().map(|slot| self.values[*slot as usize].clone()).collect()
    }
}

impl Pending {
    fn grow(&mut self, slots: usize) {
        if self.best.len() < slots {
            self.best.resize(slots, 0);
            self.is_there.resize(slots, false);
        }
    }

    #[inline]
    fn offer(&mut self, slot: usize, number: i64, wins: Ordering) {
        if !self.is_there[slot] || number.cmp(&self.best[slot]) == wins {
            self.best[slot] = number;
            self.is_there[slot] = true;
        }
    }

    fn offer_all(&mut self, slots: &Slots, column: &Column, wins: Ordering, number: impl Fn(usize) -> i64) {
        match (&slots.plain(), &column.validity) {
            (Slots::Each(each), None) => {
                each.iter().enumerate().for_each(|(row, slot)| self.offer(*slot as usize, number(row), wins));
            }
            (Slots::Each(each), Some(bits)) => {
                bits.ones().for_each(|row| self.offer(each[row] as usize, number(row), wins));
            }
            (Slots::One(slot, rows), validity) => {
                let valid = |row: &usize| validity.as_ref().is_none_or(|bits| bits.get(*row));
                let numbers = (0..*rows).filter(valid).map(number);
                let winner = if wins.is_lt() { numbers.min() } else { numbers.max() };
                winner.into_iter().for_each(|winner| self.offer(*slot as usize, winner, wins));
            }
            (Slots::Listed(..), _) => {}
        }
    }
}

/// Keeps of two values the one that wins; of equal ones, as 1 and 1.0 are, the one that was there. `behind` follows the
/// bytes behind the values.
fn keep(best: &mut Value, value: Value, wins: Ordering, behind: &mut usize) {
    if !value.is_null() && (best.is_null() || value.compare(best) == wins) {
        *behind = *behind + value.bytes() - best.bytes();
        *best = value;
    }
}
