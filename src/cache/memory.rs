//! The first tier: entries in memory, bounded by bytes; those that nobody asked for the longest go first.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::cache::class::Class;
use crate::cache::figures::Measure;
use crate::cache::key::{Key, Selector};
use crate::cache::{Cost, Kept};

/// Bytes of an entry beside what it keeps and its key.
const ENTRY_BYTES: usize = 256;

/// What is kept under one key.
#[derive(Clone)]
pub struct Entry {
    /// It.
    pub value: Arc<dyn Kept>,
    /// The version of the data that it is of.
    pub version: u128,
    /// What sort of answer it is.
    pub class: Class,
    /// When it was computed, by a clock that does not jump.
    pub made: Instant,
    /// The same in µs since 1970.
    pub made_us: i64,
    /// What computing it took.
    pub cost: Cost,
    /// Whether the file has it.
    pub is_on_disk: bool,
    /// Its key.
    pub key: Key,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}, {} bytes)", self.key.name, self.bytes())
    }
}

impl Entry {
    /// Bytes of memory that it takes: half as much again as it holds. Among what questions allocate and free, glibc's allocator
    /// needs that for entries of all sizes: 430 answers of 232 KB were 161 MB of the process, and 111 MB where each block had
    /// pages of its own.
    pub fn bytes(&self) -> usize {
        let held = ENTRY_BYTES + self.key.bytes() + self.value.bytes();
        held + held / 2
    }

    /// How long ago it was computed.
    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }
}

/// Entries within a budget.
#[derive(Debug)]
pub struct Memory {
    budget: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entries {
    by_key: LruCache<u128, (Entry, usize)>,
    bytes: usize,
}

impl Memory {
    /// Room for so many bytes.
    pub fn new(budget: usize) -> Self {
        Self { budget, entries: Mutex::new(Entries { by_key: LruCache::unbounded(), bytes: 0 }) }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of a key, where it fits.
    pub fn get(&self, key: u128, fits: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let mut entries = self.entries();
        if !fits(&entries.by_key.peek(&key)?.0) {
            return None;
        }
        entries.by_key.get(&key).map(|(entry, _)| entry.clone())
    }

    /// Whether there is an entry of a key, of whatever version.
    pub fn has(&self, key: u128) -> bool {
        self.entries().by_key.contains(&key)
    }

    /// Keeps an entry in the place of what was under its key, and gives those that have to go for it.
    ///
    /// # Errors
    /// The entry, where it is larger than all the room there is.
    pub fn insert(&self, key: u128, entry: Entry) -> Result<Vec<Entry>, Box<Entry>> {
        let bytes = entry.bytes();
        let mut entries = self.entries();
        if bytes > self.budget {
            entries.remove(key);
            return Err(Box::new(entry));
        }
        entries.remove(key);
        let mut evicted = Vec::new();
        while entries.bytes + bytes > self.budget {
            let Some((_, (old, old_bytes))) = entries.by_key.pop_lru() else { break };
            entries.bytes -= old_bytes;
            evicted.push(old);
        }
        entries.bytes += bytes;
        entries.by_key.put(key, (entry, bytes));
        Ok(evicted)
    }

    /// Keeps another form of the same in the place of an entry's value.
    pub fn replace(&self, key: u128, value: Arc<dyn Kept>) {
        let mut entries = self.entries();
        let Some((entry, bytes)) = entries.by_key.peek_mut(&key) else { return };
        entry.value = value;
        let before = std::mem::replace(bytes, entry.bytes());
        let after = *bytes;
        entries.bytes = entries.bytes - before + after;
    }

    /// Notes that the file has an entry.
    pub fn note_on_disk(&self, key: u128, version: u128) {
        if let Some((entry, _)) = self.entries().by_key.peek_mut(&key)
            && entry.version == version
        {
            entry.is_on_disk = true;
        }
    }

    /// Forgets what a selector names; gives the keys.
    pub fn remove(&self, selector: &Selector) -> Vec<u128> {
        self.remove_where(|entry| selector.takes(&entry.key.name, &entry.key.tags))
    }

    /// Forgets what nobody can be given any more; gives the keys.
    pub fn remove_where(&self, gone: impl Fn(&Entry) -> bool) -> Vec<u128> {
        let mut entries = self.entries();
        let keys: Vec<u128> =
            entries.by_key.iter().filter(|(_, (entry, _))| gone(entry)).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| entries.remove(*key));
        keys
    }

    /// The entries that the file lacks, those that were used the longest ago first.
    pub fn not_on_disk(&self) -> Vec<Entry> {
        let entries = self.entries();
        let all = entries.by_key.iter().rev().map(|(_, (entry, _))| entry);
        all.filter(|entry| !entry.is_on_disk).cloned().collect()
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> usize {
        self.entries().bytes
    }

    /// What there is, by class.
    pub fn measure(&self) -> Measure {
        let entries = self.entries();
        let mut measure = Measure { budget: self.budget as u64, ..Measure::default() };
        for (_, (entry, bytes)) in &entries.by_key {
            measure.add(entry.class, *bytes as u64, entry.age());
        }
        measure
    }
}

impl Entries {
    fn remove(&mut self, key: u128) {
        if let Some((_, bytes)) = self.by_key.pop(&key) {
            self.bytes -= bytes;
        }
    }
}
