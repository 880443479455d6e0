//! One queue as the dispatcher has it: what was handed out of it, what runs, and how long that takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits;
use crate::store::queue::Claimed;

/// A queue as the dispatcher has it.
#[derive(Default)]
pub(super) struct Line {
    /// Handed out and not begun, in their order.
    pub waiting: VecDeque<Claimed>,
    /// Functions that are running.
    pub running: usize,
    /// A limit lets none of it begin before.
    pub not_before: Option<Instant>,
    /// How long a function takes, µs, the latest counting most; `None` before the first.
    pub usual_us: Option<f64>,
}

impl Line {
    pub fn is_let(&self) -> bool {
        self.not_before.is_none_or(|time| Instant::now() >= time)
    }

    pub fn note(&mut self, took: Duration) {
        let us = took.as_secs_f64() * 1e6;
        self.usual_us = Some(self.usual_us.map_or(us, |usual| usual * 0.9 + us * 0.1));
    }

    /// How many may be handed out ahead of free workers.
    pub fn ahead(&self, workers: usize) -> usize {
        let Some(usual_us) = self.usual_us else { return 0 };
        let jobs = workers as f64 * limits::JOBS_AHEAD_US as f64 / usual_us.max(1.0);
        (jobs as usize).min(limits::JOBS_AHEAD)
    }
}
