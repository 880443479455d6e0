//! How far a long piece of work is, for whoever watches it from another thread: check, backup and restore tell it,
//! the command line shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is being done, and how much of it.
///
/// ```
/// let progress = windrow::store::progress::Progress::default();
/// progress.begin("copying", 100);
/// progress.add(40);
/// assert_eq!(progress.now(), ("copying", 40, 100));
/// ```
#[derive(Debug, Default)]
pub struct Progress {
    stage: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// The next stage begins; so many bytes in all, 0 where that is not known.
    pub fn begin(&self, stage: &'static str, total: u64) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many bytes more are done.
    pub fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are done in all.
    pub fn set(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    /// The stage, what is done of it, and how much there is; an empty stage before the first one.
    pub fn now(&self) -> (&'static str, u64, u64) {
        let stage = *self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        (stage, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}
