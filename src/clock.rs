//! The clock that tells when jobs are due: the system's, or one that stands until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::time;

/// Tells the time. A clone is the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// One that stands at a time, µs, until it is moved.
    ///
    /// ```
    /// let clock = windrow::clock::Clock::standing(1_000);
    /// clock.set(2_000);
    /// assert_eq!(clock.now_us(), 2_000);
    /// ```
    pub fn standing(at_us: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(at_us))))
    }

    /// Moves a clock that stands; the system's goes on by itself.
    pub fn set(&self, at_us: i64) {
        if let Some(at) = &self.0 {
            at.store(at_us, Ordering::SeqCst);
        }
    }

    /// The present, µs since 1970 UTC.
    pub fn now_us(&self) -> i64 {
        self.0.as_ref().map_or_else(time::now, |at| at.load(Ordering::SeqCst))
    }
}
