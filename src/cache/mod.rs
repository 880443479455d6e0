//! Answers, and parts of answers, that are kept for the next one who asks. [`Cache::get_or_compute`] is the one way in: it
//! looks into memory, then into a file, and computes what neither has, once for all who ask for it meanwhile.
//!
//! What must hold:
//! 1. What is kept under a key is of one version of the data. It is given to nobody who asks for another version, unless he
//!    takes answers of an age: so a read that begins after a write was acknowledged never gets an older answer by itself.
//! 2. A computation that failed is not kept; nor is one that began before what it is about was declared outdated.
//! 3. Nothing is lost with it. Where the file is damaged, gone, full or cannot be written, service goes on without it.
//!
//! `key` names what is kept, `memory` and `disk` keep it, `flight` lets one compute for many, `class` says how old an
//! answer may be, `figures` counts. What is kept is for others to define ([`Kept`]): this room knows bytes alone.

pub mod class;
pub mod disk;
pub mod figures;
pub mod flight;
pub mod keeper;
pub mod key;
pub mod memory;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cache::class::{Class, Classes};
use crate::cache::disk::{Disk, Stored};
use crate::cache::figures::{Figures, Outcome, Report, Tier};
use crate::cache::flight::{Flights, Place};
use crate::cache::keeper::Keeper;
use crate::cache::key::{Key, Selector};
use crate::cache::memory::{Entry, Memory};
use crate::error::{Error, Result};
use crate::limits;
use crate::time;

/// What can be kept.
pub trait Kept: Any + Send + Sync {
    /// Bytes in memory, about.
    fn bytes(&self) -> usize;

    /// The form for the file; `None`: it is kept in memory alone.
    fn write(&self) -> Option<Vec<u8>>;

    /// Reads that form back; `None` where it is none.
    fn read(bytes: &[u8]) -> Option<Self>
    where
        Self: Sized;
}

/// Answers that are computed anew in the background, at most at once.
const RENEWALS: usize = 4;

/// How a cache is set up.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes in the file.
    pub disk_bytes: u64,
    /// The file; `None`: memory alone.
    pub file: Option<PathBuf>,
    /// How old answers may be.
    pub classes: Classes,
}

impl CacheOptions {
    /// The usual cache of a database: 100 MiB in memory, 1 GiB in a file beside it.
    pub fn beside(database: impl AsRef<Path>) -> Self {
        Self {
            memory_bytes: limits::CACHE_MEMORY_BYTES,
            disk_bytes: limits::CACHE_DISK_BYTES,
            file: Some(disk::beside(database.as_ref())),
            classes: Classes::default(),
        }
    }
}

/// What someone wants of what is kept under a key.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The version of the data that he sees.
    pub version: u128,
    /// What sort of answer it is, for the figures.
    pub class: Class,
    /// Other versions are welcome, too, while they are no older.
    pub max_age: Option<Duration>,
    /// How long he waits for another who computes the same.
    pub deadline: Option<Instant>,
}

/// The version of what is of no data: its age alone counts.
const UNVERSIONED: u128 = u128::MAX;

impl Wish {
    /// What was computed no longer ago, whatever it is of: for values of a program's own.
    pub fn within(age: Duration) -> Self {
        Self { version: UNVERSIONED, class: Class::EXACT, max_age: Some(age), deadline: None }
    }
}

impl Kept for Vec<u8> {
    fn bytes(&self) -> usize {
        self.capacity()
    }

    fn write(&self) -> Option<Vec<u8>> {
        Some(self.clone())
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// What was computed, to be kept.
#[derive(Debug)]
pub struct Computed<T> {
    /// It.
    pub value: T,
    /// Rows that had to be looked at for it, so that it can be told what keeping it saves.
    pub rows: u64,
    /// Whether it is worth keeping.
    pub is_kept: bool,
}

/// What computing something took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Rows that were looked at.
    pub rows: u64,
    /// How long it took.
    pub took: Duration,
}

/// What was asked for, and where it comes from.
#[derive(Debug)]
pub struct Got<T> {
    /// It.
    pub value: Arc<T>,
    /// Where it was; `None`: it was computed, by the caller or by another who asked at the same time.
    pub tier: Option<Tier>,
    /// How long ago it was computed.
    pub age: Duration,
}

/// Kept answers of one database.
#[derive(Debug)]
pub struct Cache {
    memory: Arc<Memory>,
    disk: Option<Arc<Disk>>,
    flights: Flights,
    figures: Arc<Figures>,
    classes: Classes,
    keeper: Keeper,
    invalidations: AtomicU64,
    /// Held by each thread that computes an answer anew in the background.
    renewals: Arc<()>,
}

impl Cache {
    /// A cache by options. A file that is of no use is put aside, with a line in the log.
    pub fn open(options: CacheOptions) -> Arc<Self> {
        let figures = Arc::new(Figures::default());
        let disk = options.file.filter(|_| options.disk_bytes > 0);
        let disk = disk.map(|file| Arc::new(Disk::open(file, options.disk_bytes, Arc::clone(&figures))));
        let memory = Arc::new(Memory::new(options.memory_bytes));
        let keeper = Keeper::start(Arc::clone(&memory), disk.clone(), Arc::clone(&figures));
        Arc::new(Self {
            memory,
            disk,
            flights: Flights::default(),
            figures,
            classes: options.classes,
            keeper,
            invalidations: AtomicU64::new(0),
            renewals: Arc::default(),
        })
    }

    /// How old answers may be.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// What is kept under a key, computed where there is nothing that fits the wish.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windrow::CacheOptions;
    /// use windrow::cache::key::{Key, Selector};
    /// use windrow::cache::{Cache, Computed, Wish};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let cache = Cache::open(CacheOptions::beside(folder.path().join("wiki.db")));
    /// let key = Key::named("summary:pages:42", ["user:42"]);
    /// let summary = || Ok(Computed { value: b"a page about pages".to_vec(), rows: 0, is_kept: true });
    /// let day = Wish::within(Duration::from_secs(86_400));
    /// assert!(cache.get_or_compute(&key, &day, summary)?.tier.is_none());
    /// assert!(cache.get_or_compute(&key, &day, summary)?.tier.is_some());
    /// assert_eq!(cache.invalidate(&Selector::Tag("user:42".into())), 1);
    /// cache.close();
    /// # Ok(())
    /// # }
    /// ```
    /// Of many who want the same at once one
    /// computes; the others wait, and compute themselves where he fails or takes too long.
    ///
    /// # Errors
    /// Those of computing.
    pub fn get_or_compute<T: Kept>(
        &self,
        key: &Key,
        wish: &Wish,
        compute: impl FnOnce() -> Result<Computed<T>>,
    ) -> Result<Got<T>> {
        let mut compute = Some(compute);
        let found = self.find_or_compute(key, wish, read::<T>, &mut || {
            let compute = compute.take().ok_or_else(|| Error::Internal("it is computed once".into()))?;
            let Computed { value, rows, is_kept } = compute()?;
            Ok(Computed { value: Arc::new(value) as Arc<dyn Kept>, rows, is_kept })
        })?;
        typed(found).ok_or_else(|| Error::Internal(format!("{} is kept as something else", key.name)))
    }

    /// The same for whatever is kept, so that there is one body of it.
    fn find_or_compute(
        &self,
        key: &Key,
        wish: &Wish,
        read: Read,
        compute: &mut dyn FnMut() -> Result<Computed<Arc<dyn Kept>>>,
    ) -> Result<Found> {
        if let Some(found) = self.look(key, wish, read) {
            return Ok(found);
        }
        let leader = match self.flights.board(key, wish.version) {
            Place::Leader(leader) => Some(leader),
            Place::Follower(follower) => match follower.wait(wish.deadline) {
                Some(value) => {
                    self.figures.count(wish.class, Outcome::Waited, Cost::default());
                    return Ok(Found { value, tier: None, age: Duration::ZERO });
                }
                None => None,
            },
        };
        // who led before may have ended between the look and the flight
        if let (Some(_), Some(found)) = (&leader, self.look(key, wish, read)) {
            return Ok(found);
        }
        let begin = Instant::now();
        let Computed { value, rows, is_kept } = compute()?;
        let cost = Cost { rows, took: begin.elapsed() };
        self.figures.count(wish.class, Outcome::Miss, cost);
        // who waited in vain is on no flight, so that nobody would tell him that what he found is outdated
        if let Some(leader) = leader {
            let keep = || {
                if is_kept {
                    self.put_entry(key, wish, Arc::clone(&value), cost);
                }
            };
            leader.land(Arc::clone(&value), keep);
        }
        Ok(Found { value, tier: None, age: Duration::ZERO })
    }

    /// Whether something is kept under a key, of whatever version.
    pub fn has(&self, key: &Key) -> bool {
        self.memory.has(key.hash) || self.disk.as_ref().is_some_and(|disk| disk.has(key.hash))
    }

    /// What is kept under a key, where that fits the wish.
    pub fn get<T: Kept>(&self, key: &Key, wish: &Wish) -> Option<Got<T>> {
        typed(self.look(key, wish, read::<T>)?)
    }

    fn look(&self, key: &Key, wish: &Wish, read: Read) -> Option<Found> {
        let in_memory = self.memory.get(key.hash, |entry| fits(entry.version, Some(entry.age()), wish));
        if let Some(found) = in_memory {
            self.figures.count(wish.class, Outcome::Hit(Tier::Memory), found.cost);
            let age = found.age();
            return Some(Found { value: found.value, tier: Some(Tier::Memory), age });
        }
        let stored = self.disk.as_ref()?.get(key.hash, |version, age| fits(version, age, wish))?;
        let Some(value) = read(&stored.body) else {
            // written by a version that wrote it otherwise
            self.disk.as_ref()?.remove(key.hash);
            return None;
        };
        let age = stored.age();
        self.figures.count(wish.class, Outcome::Hit(Tier::Disk), stored.cost);
        let entry = Entry {
            made: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
            made_us: stored.made_us,
            value: Arc::clone(&value),
            version: stored.version,
            class: wish.class,
            cost: stored.cost,
            is_on_disk: true,
            key: key.clone(),
        };
        self.insert(key, entry);
        Some(Found { value, tier: Some(Tier::Disk), age })
    }

    /// Keeps another form of the same in memory, where what came from the file is slower to use.
    pub fn replace<T: Kept>(&self, key: &Key, value: Arc<T>) {
        self.memory.replace(key.hash, value);
    }

    /// Keeps something under a key, in the place of what was there.
    pub fn put<T: Kept>(&self, key: &Key, wish: &Wish, value: Arc<T>) {
        self.put_entry(key, wish, value, Cost::default());
    }

    /// Keeps what was computed apart from any question for it.
    pub fn put_computed<T: Kept>(&self, key: &Key, wish: &Wish, computed: Computed<T>, took: Duration) {
        let cost = Cost { rows: computed.rows, took };
        self.figures.count(wish.class, Outcome::Miss, cost);
        if computed.is_kept {
            self.put_entry(key, wish, Arc::new(computed.value), cost);
        }
    }

    fn put_entry(&self, key: &Key, wish: &Wish, value: Arc<dyn Kept>, cost: Cost) {
        let entry = Entry {
            made: Instant::now(),
            made_us: time::now(),
            value,
            version: wish.version,
            class: wish.class,
            cost,
            is_on_disk: false,
            key: key.clone(),
        };
        // what never changes outlives the process, however it ends
        if key.is_lasting() && self.disk.is_some() {
            self.keeper.store(entry.clone());
        }
        self.insert(key, entry);
    }

    fn insert(&self, key: &Key, entry: Entry) {
        let class = entry.class;
        let evicted = match self.memory.insert(key.hash, entry) {
            Ok(evicted) => evicted,
            Err(entry) => {
                self.figures.count_too_large(class);
                vec![*entry]
            }
        };
        for entry in evicted {
            self.figures.count_evicted(entry.class);
            if !entry.is_on_disk && self.disk.is_some() {
                self.keeper.store(entry);
            }
        }
    }

    /// The same for who takes older ones while they are computed anew: where what is kept is older than the wish, but not by
    /// more than `stale`, it is given, and `again` is run in the background, which is to compute it as everybody does.
    pub fn get_stale<T: Kept>(
        &self,
        key: &Key,
        wish: &Wish,
        stale: Duration,
        again: impl FnOnce() -> Box<dyn FnOnce() + Send>,
    ) -> Option<Got<T>> {
        if stale.is_zero() || self.is_fresh(key, wish) {
            return None;
        }
        let older = Wish { max_age: Some(wish.max_age.unwrap_or_default().saturating_add(stale)), ..*wish };
        let got = self.get(key, &older)?;
        if !self.flights.is_flying(key, wish.version) {
            // the count of those that run: whoever is one too many goes again
            let running = Arc::clone(&self.renewals);
            if Arc::strong_count(&running) <= RENEWALS + 1 {
                let again = again();
                let work = move || {
                    again();
                    drop(running);
                };
                let thread = std::thread::Builder::new().name("renew".into());
                if let Err(e) = thread.stack_size(limits::HTTP_STACK_BYTES).spawn(work) {
                    tracing::warn!("an answer is not computed anew: {e}");
                }
            }
        }
        Some(got)
    }

    fn is_fresh(&self, key: &Key, wish: &Wish) -> bool {
        self.memory.get(key.hash, |entry| fits(entry.version, Some(entry.age()), wish)).is_some()
    }

    /// Times that something was declared outdated.
    pub fn invalidations(&self) -> u64 {
        self.invalidations.load(Ordering::Relaxed)
    }

    /// Forgets what a selector names, in both tiers; what is computed right now is not kept. Gives the number of entries.
    pub fn invalidate(&self, selector: &Selector) -> u64 {
        // first the flights: what lands after this was told of it
        self.flights.outdate(selector);
        let mut gone = self.memory.remove(selector);
        if let Some(disk) = &self.disk {
            self.keeper.forget(selector);
            gone.extend(disk.remove_selected(selector));
        }
        gone.sort_unstable();
        gone.dedup();
        self.figures.count_invalidated(gone.len() as u64);
        self.invalidations.fetch_add(1, Ordering::Relaxed);
        gone.len() as u64
    }

    /// Counts an answer that was put together of parts that were kept and of what was scanned.
    pub fn count_partial(&self) {
        self.figures.count_partial();
    }

    /// What is kept, and what keeping it has saved so far.
    pub fn report(&self) -> Report {
        let memory = self.memory.measure();
        let disk = self.disk.as_ref().map(|disk| disk.measure());
        self.figures.report(&self.classes, memory, disk)
    }

    /// Bytes of what is in memory.
    pub fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Waits until all that was to go to the file is there: for tests, and for a clean end.
    pub fn flush(&self) {
        self.keeper.flush();
    }

    /// Brings what is in memory alone to the file and ends the thread that does it.
    pub fn close(&self) {
        if self.disk.is_some() {
            for entry in self.memory.not_on_disk() {
                self.keeper.store(entry);
            }
        }
        self.keeper.stop();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.keeper.stop();
    }
}

fn fits(version: u128, age: Option<Duration>, wish: &Wish) -> bool {
    let is_same = version == wish.version && wish.version != UNVERSIONED;
    is_same || wish.max_age.zip(age).is_some_and(|(most, age)| age <= most)
}

/// What was asked for, whatever it is.
struct Found {
    value: Arc<dyn Kept>,
    tier: Option<Tier>,
    age: Duration,
}

/// Reads the form that something has in the file.
type Read = fn(&[u8]) -> Option<Arc<dyn Kept>>;

fn read<T: Kept>(bytes: &[u8]) -> Option<Arc<dyn Kept>> {
    Some(Arc::new(T::read(bytes)?))
}

fn typed<T: Kept>(found: Found) -> Option<Got<T>> {
    let value = (found.value as Arc<dyn Any + Send + Sync>).downcast().ok()?;
    Some(Got { value, tier: found.tier, age: found.age })
}

impl Stored {
    fn age(&self) -> Duration {
        Duration::from_micros(u64::try_from(time::now().saturating_sub(self.made_us)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
