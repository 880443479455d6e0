//! A hash table from packed keys to numbers in the order they first appear. Keys stand in the table itself, so a look-up
//! touches one place of memory; `group` finds groups with it.

use std::hash::BuildHasher;

/// An entry without a key has no number.
const FREE: u32 = u32::MAX;

/// Packed keys and their numbers.
#[derive(Debug)]
pub struct KeyTable {
    entries: Vec<(u64, u32)>,
    /// The keys by their number.
    keys: Vec<u64>,
    hasher: foldhash::fast::FixedState,
}

impl KeyTable {
    /// A table with room for so many keys; it grows.
    pub fn with_room(keys: usize) -> Self {
        let entries = vec![(0, FREE); (keys * 2).next_power_of_two().max(64)];
        Self { entries, keys: Vec::with_capacity(keys), hasher: foldhash::fast::FixedState::default() }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(u64, u32)>() + self.keys.capacity() * size_of::<u64>()
    }

    /// Number of keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// The keys by their number.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The number of a key, the next one where it is new.
    #[inline]
    pub fn find_or_add(&mut self, key: u64) -> u32 {
        if self.keys.len() * 2 >= self.entries.len() {
            self.grow();
        }
        let mask = self.entries.len() - 1;
        let mut place = self.hasher.hash_one(key) as usize & mask;
        loop {
            let entry = &mut self.entries[place];
            if entry.1 == FREE {
                let number = self.keys.len() as u32;
                *entry = (key, number);
                self.keys.push(key);
                return number;
            }
            if entry.0 == key {
                return entry.1;
            }
            place = (place + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mask = self.entries.len() * 2 - 1;
        let mut entries = vec![(0, FREE); mask + 1];
        for (number, key) in self.keys.iter().enumerate() {
            let mut place = self.hasher.hash_one(key) as usize & mask;
            while entries[place].1 != FREE {
                place = (place + 1) & mask;
            }
            entries[place] = (*key, number as u32);
        }
        self.entries = entries;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_in_the_order_they_come() {
        let mut table = KeyTable::with_room(1);
        let numbers: Vec<u32> =
            (0..10_000u64).map(|n| table.find_or_add((n % 3_000) * 0x1_0000_0001)).collect();
        assert!(numbers.iter().enumerate().all(|(at, number)| *number as usize == at % 3_000));
        assert_eq!((table.count(), table.keys()[2_999]), (3_000, 2_999 * 0x1_0000_0001));
    }
}
