//! How many rows of each group an aggregate counts. Mostly that is the number of the group's rows, which is counted once
//! for all aggregates; so what is kept is how many of them do not count, and nothing where all do.

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::Column;
use crate::query::aggregate::stored::{self, Table};
use crate::query::slots::Slots;

/// Counts by slot.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// The rows that the aggregate's own condition let through; `None`: all of the group.
    own: Option<Vec<u64>>,
    /// Those of them that do not count.
    skipped: Vec<u64>,
}

impl Counts {
    /// Counts of an aggregate with a condition of its own, or without.
    pub fn new(has_filter: bool) -> Self {
        Self { own: has_filter.then(Vec::new), skipped: Vec::new() }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        (self.own.as_ref().map_or(0, Vec::capacity) + self.skipped.capacity()) * size_of::<u64>()
    }

    /// Makes room for slots.
    pub fn grow(&mut self, slots: usize) {
        if let Some(own) = &mut self.own {
            own.resize(slots.max(own.len()), 0);
        }
    }

    /// Takes in rows, of which those count that are set in `counting`; `None`: all.
    pub fn add(&mut self, slots: &Slots, counting: Option<&Bitmap>) {
        if let Some(own) = &mut self.own {
            slots.count_into(own);
        }
        let Some(counting) = counting.filter(|_| slots.rows() > 0) else { return };
        let mut skipped = counting.clone();
        skipped.invert();
        if self.skipped.len() < slots.end() {
            self.skipped.resize(slots.end(), 0);
        }
        match slots {
            Slots::One(slot, _) => self.skipped[*slot as usize] += skipped.count_ones() as u64,
            slots => skipped.ones().for_each(|row| self.skipped[slots.of(row)] += 1),
        }
    }

    /// The count of a slot, whose group has so many rows.
    #[inline]
    pub fn of(&self, slot: usize, rows: u64) -> u64 {
        let all = self.own.as_ref().map_or(rows, |own| own.get(slot).copied().unwrap_or(0));
        all - self.skipped.get(slot).copied().unwrap_or(0)
    }

    /// Those of so many slots as columns: the rows that do not count, and where there is a condition, its rows.
    pub fn columns(&self, slots: usize) -> Vec<Column> {
        let padded =
            |numbers: &[u64]| stored::counts((0..slots).map(|slot| numbers.get(slot).copied().unwrap_or(0)));
        std::iter::once(padded(&self.skipped)).chain(self.own.as_deref().map(padded)).collect()
    }

    /// Reads [`Counts::columns`] from some places of a table on.
    pub fn read(table: &Table, has_filter: bool) -> Option<Self> {
        let own = if has_filter { Some(table.counts(1)?) } else { None };
        Some(Self { own, skipped: table.counts(0)? })
    }

    /// Adds those of another task.
    pub fn absorb(&mut self, other: Self, map: Option<&[u32]>) {
        if let (Some(own), Some(more)) = (&mut self.own, other.own) {
            add_all(own, &more, map);
        }
        add_all(&mut self.skipped, &other.skipped, map);
    }
}

/// Adds numbers by slot, each at the slot that the map tells, or at its own.
pub fn add_all<T: Copy + Default + std::ops::AddAssign>(here: &mut Vec<T>, more: &[T], map: Option<&[u32]>) {
    match map {
        None => {
            if here.len() < more.len() {
                here.resize(more.len(), T::default());
            }
            here.iter_mut().zip(more).for_each(|(here, more)| *here += *more);
        }
        Some(map) => {
            for (more, slot) in more.iter().zip(map).filter(|(_, slot)| **slot != super::NO_SLOT) {
                let slot = *slot as usize;
                if here.len() <= slot {
                    here.resize(slot + 1, T::default());
                }
                here[slot] += *more;
            }
        }
    }
}
