//! The slot of each row of a view, in the form that is cheapest for what is done with it: one for all rows, one a row, or
//! a place in a short list a row. `group` gives slots, states of aggregates take them in.

use std::sync::Arc;

/// The slot of each of some rows.
#[derive(Debug, Clone)]
pub enum Slots {
    /// All of so many rows are in this one.
    One(u32, usize),
    /// One a row.
    Each(Arc<Vec<u32>>),
    /// One a row by way of a short list: a place in it a row.
    Listed(Arc<Vec<u16>>, Arc<Vec<u32>>),
}

impl Slots {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::One(_, rows) => *rows,
            Self::Each(slots) => slots.len(),
            Self::Listed(places, _) => places.len(),
        }
    }

    /// The same slots without a list.
    pub fn plain(&self) -> Self {
        match self {
            Self::Listed(places, list) => {
                Self::Each(Arc::new(places.iter().map(|place| list[*place as usize]).collect()))
            }
            plain => plain.clone(),
        }
    }

    /// The slot of a row.
    #[inline]
    pub fn of(&self, row: usize) -> usize {
        match self {
            Self::One(slot, _) => *slot as usize,
            Self::Each(slots) => slots[row] as usize,
            Self::Listed(places, list) => list[places[row] as usize] as usize,
        }
    }

    /// The slots of some rows.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::One(slot, _) => Self::One(*slot, rows.len()),
            Self::Each(slots) => Self::Each(Arc::new(rows.iter().map(|row| slots[*row as usize]).collect())),
            Self::Listed(places, list) => {
                let places = rows.iter().map(|row| places[*row as usize]).collect();
                Self::Listed(Arc::new(places), Arc::clone(list))
            }
        }
    }

    /// One above the largest.
    pub fn end(&self) -> usize {
        match self {
            Self::One(_, 0) => 0,
            Self::One(slot, _) => *slot as usize + 1,
            Self::Each(slots) => slots.iter().max().map_or(0, |slot| *slot as usize + 1),
            Self::Listed(_, list) => list.iter().max().map_or(0, |slot| *slot as usize + 1),
        }
    }

    /// Adds the rows of each slot.
    pub fn count_into(&self, counts: &mut [u64]) {
        match self {
            Self::One(_, 0) => {}
            Self::One(slot, rows) => counts[*slot as usize] += *rows as u64,
            Self::Each(slots) if counts.len() <= FEW_SLOTS.min(slots.len()) => {
                let mut few = vec![0; counts.len()];
                count_few(slots, &mut few);
                counts.iter_mut().zip(few).for_each(|(count, few)| *count += few);
            }
            Self::Listed(places, list) => {
                let mut few = vec![0; list.len()];
                count_few(places, &mut few);
                list.iter()
                    .zip(few)
                    .filter(|(_, few)| *few > 0)
                    .for_each(|(slot, few)| counts[*slot as usize] += few);
            }
            Self::Each(slots) => slots.iter().for_each(|slot| counts[*slot as usize] += 1),
        }
    }
}

/// Counts rows by slot, with several counters a slot: an addition need not wait for the one before where rows share one.
fn count_few<T: Copy + Into<u64>>(slots: &[T], counts: &mut [u64]) {
    let mut banks = vec![[0u32; BANKS]; counts.len()];
    for rows in slots.chunks(BANKS) {
        rows.iter().enumerate().for_each(|(bank, slot)| banks[(*slot).into() as usize][bank] += 1);
    }
    let sum = |bank: &[u32; BANKS]| bank.iter().map(|count| u64::from(*count)).sum::<u64>();
    counts.iter_mut().zip(&banks).for_each(|(count, bank)| *count += sum(bank));
}

/// Slots that are few beside the rows of a block.
pub const FEW_SLOTS: usize = if cfg!(test) { 8 } else { 1 << 11 };
/// Accumulators of a slot where slots are few.
pub const BANKS: usize = 4;
