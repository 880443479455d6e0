//! The thread that looks after the file: it writes what is to outlive the process, and forgets what is too old. Nobody who
//! asks a question waits for it; what comes faster than it writes is not written.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cache::disk::Disk;
use crate::cache::figures::Figures;
use crate::cache::key::Selector;
use crate::cache::memory::{Entry, Memory};

/// Bytes that wait to be written.
const WAITING_BYTES: usize = 64 << 20;
/// Time between two looks at the age of entries.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Entries that nobody asked for in this time go.
const IDLE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The thread.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    bytes: usize,
    is_writing: bool,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Starts it.
    pub fn start(memory: Arc<Memory>, disk: Option<Arc<Disk>>, figures: Arc<Figures>) -> Self {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("cache".into())
            .spawn(move || run(&own, &memory, disk.as_deref(), &figures));
        if let Err(e) = &thread {
            tracing::warn!(
                "answers are kept in memory alone: the thread that writes them does not start: {e}"
            );
            shared.lock().is_stopped = true;
        }
        Self { shared, thread: Mutex::new(thread.ok()) }
    }

    /// Hands over an entry to be written; where too much waits already it is not.
    pub fn store(&self, entry: Entry) {
        let mut waiting = self.shared.lock();
        let bytes = entry.bytes();
        if entry.key.is_of_process() || waiting.is_stopped || waiting.bytes + bytes > WAITING_BYTES {
            return;
        }
        waiting.bytes += bytes;
        waiting.entries.push_back(entry);
        drop(waiting);
        self.shared.changed.notify_all();
    }

    /// Forgets what waits and is named by a selector; what is being written is written when this returns.
    pub fn forget(&self, selector: &Selector) {
        let mut waiting = self.shared.lock();
        waiting.entries.retain(|entry| !selector.takes(&entry.key.name, &entry.key.tags));
        waiting.bytes = waiting.entries.iter().map(Entry::bytes).sum();
        while waiting.is_writing {
            waiting = self.shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until nothing waits.
    pub fn flush(&self) {
        let mut waiting = self.shared.lock();
        while !waiting.is_stopped && (waiting.is_writing || !waiting.entries.is_empty()) {
            waiting = self.shared.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what waits and ends the thread.
    pub fn stop(&self) {
        self.shared.lock().is_stopped = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the cache's thread panicked");
        }
    }
}

fn run(shared: &Shared, memory: &Memory, disk: Option<&Disk>, figures: &Figures) {
    let mut swept = Instant::now();
    loop {
        let mut waiting = shared.lock();
        if waiting.entries.is_empty() && !waiting.is_stopped {
            let wait = shared.changed.wait_timeout(waiting, SWEEP_EVERY);
            waiting = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        let some: Vec<Entry> = waiting.entries.drain(..).collect();
        waiting.bytes = 0;
        if some.is_empty() && waiting.is_stopped {
            return;
        }
        waiting.is_writing = true;
        drop(waiting);
        if let Some(disk) = disk.filter(|_| !some.is_empty()) {
            disk.put_all(&some).into_iter().for_each(|(key, version)| memory.note_on_disk(key, version));
        }
        drop(some);
        if swept.elapsed() >= SWEEP_EVERY {
            let gone = memory.remove_where(|entry| entry.age() > IDLE).len();
            figures.count_expired((gone + disk.map_or(0, |disk| disk.sweep(IDLE))) as u64);
            swept = Instant::now();
        }
        shared.lock().is_writing = false;
        shared.changed.notify_all();
    }
}
