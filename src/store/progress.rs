//! How far a long piece of work is, for whoever watches it from another thread: check, backup and restore tell it,
//! the command line shows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Bound, Error, Result};

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
    /// True when it shall end.
    ends: Arc<AtomicBool>,
}

impl Progress {
    /// One of work that shall end when this becomes true.
    pub fn until(ends: Arc<AtomicBool>) -> Self {
        Self { ends, ..Self::default() }
    }

    /// Whether the work goes on.
    ///
    /// # Errors
    /// `OverBudget`: it shall end.
    pub fn check(&self) -> Result<()> {
        if !self.ends.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::OverBudget { bound: Bound::Cancelled, detail: "it was told to end".into() })
    }

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
