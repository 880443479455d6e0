//! What the cache did, counted by class and tier, and told to who asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::cache::Cost;
use crate::cache::class::{CLASSES, Class, Classes};

/// Where something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In memory.
    Memory,
    /// In the file.
    Disk,
}

/// How a question to the cache ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Hit(Tier),
    /// Another one who computed it gave it.
    Waited,
    /// It was computed.
    Miss,
}

/// Counters.
#[derive(Debug, Default)]
pub struct Figures {
    classes: [Counters; CLASSES.len()],
    partial_hits: AtomicU64,
    invalidated: AtomicU64,
    expired: AtomicU64,
    disk_errors: AtomicU64,
    damaged: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    memory_hits: AtomicU64,
    disk_hits: AtomicU64,
    waited: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
    too_large: AtomicU64,
    rows_saved: AtomicU64,
    us_saved: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Figures {
    fn of(&self, class: Class) -> &Counters {
        &self.classes[class.index().min(CLASSES.len() - 1)]
    }

    /// Counts a question. `cost` is what computing takes, whoever did it.
    pub fn count(&self, class: Class, outcome: Outcome, cost: Cost) {
        let counters = self.of(class);
        match outcome {
            Outcome::Hit(Tier::Memory) => add(&counters.memory_hits, 1),
            Outcome::Hit(Tier::Disk) => add(&counters.disk_hits, 1),
            Outcome::Waited => return add(&counters.waited, 1),
            Outcome::Miss => return add(&counters.misses, 1),
        }
        add(&counters.rows_saved, cost.rows);
        add(&counters.us_saved, u64::try_from(cost.took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts an answer that was put together of parts that were kept and of what was scanned.
    pub fn count_partial(&self) {
        add(&self.partial_hits, 1);
    }

    /// Counts an entry that went for want of room.
    pub fn count_evicted(&self, class: Class) {
        add(&self.of(class).evicted, 1);
    }

    /// Counts an entry that is larger than all room.
    pub fn count_too_large(&self, class: Class) {
        add(&self.of(class).too_large, 1);
    }

    /// Counts entries that were forgotten because someone said so.
    pub fn count_invalidated(&self, entries: u64) {
        add(&self.invalidated, entries);
    }

    /// Counts entries that were too old for everybody.
    pub fn count_expired(&self, entries: u64) {
        add(&self.expired, entries);
    }

    /// Counts a failure of the file.
    pub fn count_disk_error(&self) {
        add(&self.disk_errors, 1);
    }

    /// Counts an entry of the file whose bytes are not what was written.
    pub fn count_damaged(&self) {
        add(&self.damaged, 1);
    }

    /// Everything that was counted, with what there is.
    pub fn report(&self, classes: &Classes, memory: Measure, disk: Option<Measure>) -> Report {
        let of = |place: usize| {
            let (declared, counters) = (&CLASSES[place], &self.classes[place]);
            let class = Class::at(place);
            let (hits, disk_hits) = (get(&counters.memory_hits), get(&counters.disk_hits));
            ClassReport {
                class: declared.name,
                max_age_s: classes.max_age(class).map(|age| age.as_secs_f64()),
                memory_hits: hits,
                disk_hits,
                waited: get(&counters.waited),
                misses: get(&counters.misses),
                evicted: get(&counters.evicted),
                too_large: get(&counters.too_large),
                rows_saved: get(&counters.rows_saved),
                ms_saved: get(&counters.us_saved) as f64 / 1e3,
                entries: memory.classes[place].entries,
                bytes: memory.classes[place].bytes,
                oldest_s: memory.classes[place].oldest.as_secs_f64(),
                disk_entries: disk.as_ref().map_or(0, |disk| disk.classes[place].entries),
                disk_bytes: disk.as_ref().map_or(0, |disk| disk.classes[place].bytes),
                disk_oldest_s: disk.as_ref().map_or(0.0, |disk| disk.classes[place].oldest.as_secs_f64()),
            }
        };
        let all: Vec<ClassReport> = (0..CLASSES.len()).map(of).collect();
        Report {
            hits: all.iter().map(|class| class.memory_hits + class.disk_hits + class.waited).sum(),
            partial_hits: get(&self.partial_hits),
            misses: all.iter().map(|class| class.misses).sum(),
            evicted: all.iter().map(|class| class.evicted).sum(),
            invalidated: get(&self.invalidated),
            expired: get(&self.expired),
            rows_saved: all.iter().map(|class| class.rows_saved).sum(),
            ms_saved: all.iter().map(|class| class.ms_saved).sum(),
            memory: TierReport::of(&memory),
            disk: disk.as_ref().map(|disk| DiskReport {
                tier: TierReport::of(disk),
                errors: get(&self.disk_errors),
                damaged: get(&self.damaged),
            }),
            classes: all,
        }
    }

    /// Sets all counters to 0.
    pub fn reset(&self) {
        for counters in &self.classes {
            for counter in [
                &counters.memory_hits,
                &counters.disk_hits,
                &counters.waited,
                &counters.misses,
                &counters.evicted,
                &counters.too_large,
                &counters.rows_saved,
                &counters.us_saved,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
        for counter in
            [&self.partial_hits, &self.invalidated, &self.expired, &self.disk_errors, &self.damaged]
        {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// What a tier holds.
#[derive(Debug, Clone, Default)]
pub struct Measure {
    /// Bytes that it may hold.
    pub budget: u64,
    /// By class.
    pub classes: [ClassMeasure; CLASSES.len()],
}

/// What a tier holds of a class.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassMeasure {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The age of the oldest.
    pub oldest: Duration,
}

impl Measure {
    /// Counts an entry.
    pub fn add(&mut self, class: Class, bytes: u64, age: Duration) {
        let of = &mut self.classes[class.index().min(CLASSES.len() - 1)];
        of.entries += 1;
        of.bytes += bytes;
        of.oldest = of.oldest.max(age);
    }
}

/// The reply of `GET /v1/cache`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Answers and parts that were there, or that another one computed meanwhile.
    pub hits: u64,
    /// Answers that were put together of parts that were there and of what was scanned.
    pub partial_hits: u64,
    /// What was computed.
    pub misses: u64,
    /// Entries that went from memory for want of room.
    pub evicted: u64,
    /// Entries that were forgotten because someone said so.
    pub invalidated: u64,
    /// Entries that were too old for everybody.
    pub expired: u64,
    /// Rows that were not scanned.
    pub rows_saved: u64,
    /// Time that computing would have taken, ms.
    pub ms_saved: f64,
    /// The first tier.
    pub memory: TierReport,
    /// The second tier, where there is one.
    pub disk: Option<DiskReport>,
    /// By class.
    pub classes: Vec<ClassReport>,
}

/// What a tier holds.
#[derive(Debug, Clone, Serialize)]
pub struct TierReport {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub budget_bytes: u64,
}

impl TierReport {
    fn of(measure: &Measure) -> Self {
        Self {
            entries: measure.classes.iter().map(|class| class.entries).sum(),
            bytes: measure.classes.iter().map(|class| class.bytes).sum(),
            budget_bytes: measure.budget,
        }
    }
}

/// What the file holds, and how it fares.
#[derive(Debug, Clone, Serialize)]
pub struct DiskReport {
    /// What it holds.
    #[serde(flatten)]
    pub tier: TierReport,
    /// Times that it could not be read or written.
    pub errors: u64,
    /// Entries whose bytes were not what was written.
    pub damaged: u64,
}

/// What was counted of a class.
#[derive(Debug, Clone, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub class: &'static str,
    /// How old its answers may be, s; null: they are exact.
    pub max_age_s: Option<f64>,
    /// Found in memory.
    pub memory_hits: u64,
    /// Found in the file.
    pub disk_hits: u64,
    /// Given by another who computed it.
    pub waited: u64,
    /// Computed.
    pub misses: u64,
    /// Gone from memory for want of room.
    pub evicted: u64,
    /// Larger than all room.
    pub too_large: u64,
    /// Rows that were not scanned.
    pub rows_saved: u64,
    /// Time that computing would have taken, ms.
    pub ms_saved: f64,
    /// Entries in memory.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The age of the oldest, s.
    pub oldest_s: f64,
    /// Entries in the file.
    pub disk_entries: u64,
    /// Their bytes there.
    pub disk_bytes: u64,
    /// The age of the oldest there, s.
    pub disk_oldest_s: f64,
}
