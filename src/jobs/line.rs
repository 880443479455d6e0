//! One queue as the dispatcher has it: what was handed out of it, what runs, and how long that takes. What its jobs are like, those
//! that wait or those that compute, is learned from what comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits;
use crate::store::queue::{Claimed, QueueNow, Want};

/// A queue as the dispatcher has it.
#[derive(Default)]
pub(super) struct Line {
    /// Handed out and not begun, in their order: jobs that compute.
    computing: VecDeque<Claimed>,
    /// The same: jobs that wait.
    waiting: VecDeque<Claimed>,
    /// Functions that are running.
    pub running: usize,
    /// A limit lets none of it begin before.
    pub not_before: Option<Instant>,
    /// How long a function takes, µs, the latest counting most; `None` before the first.
    usual_us: Option<f64>,
    /// Jobs that wait which came of it since the last one that computes.
    in_a_row: usize,
}

impl Line {
    pub fn is_let(&self) -> bool {
        self.not_before.is_none_or(|time| Instant::now() >= time)
    }

    pub fn note(&mut self, took: Duration) {
        let us = took.as_secs_f64() * 1e6;
        self.usual_us = Some(self.usual_us.map_or(us, |usual| usual * 0.9 + us * 0.1));
    }

    /// What was handed out and not begun.
    pub fn in_hand(&mut self, waits: bool) -> &mut VecDeque<Claimed> {
        if waits { &mut self.waiting } else { &mut self.computing }
    }

    /// How many were handed out and not begun.
    pub fn count(&self, waits: bool) -> usize {
        if waits { self.waiting.len() } else { self.computing.len() }
    }

    /// The place of the next one.
    pub fn rank_us(&self, waits: bool) -> Option<i64> {
        let jobs = if waits { &self.waiting } else { &self.computing };
        jobs.front().map(|job| job.rank_us)
    }

    /// Takes all that was not begun.
    pub fn drain(&mut self) -> impl Iterator<Item = Claimed> {
        self.computing.drain(..).chain(self.waiting.drain(..))
    }

    /// Takes one that was not begun.
    pub fn remove(&mut self, id: i64) -> Option<Claimed> {
        [&mut self.computing, &mut self.waiting].into_iter().find_map(|jobs| {
            let place = jobs.iter().position(|job| job.id == id)?;
            jobs.remove(place)
        })
    }

    /// Whether the next jobs of it are taken for ones that wait.
    pub fn waits(&self) -> bool {
        self.in_a_row > 0
    }

    /// Notes what came of it.
    pub fn learn(&mut self, waits: bool) {
        self.in_a_row = if waits { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// How many may be handed out ahead of free workers.
    fn ahead(&self, workers: usize) -> usize {
        let Some(usual_us) = self.usual_us else { return 0 };
        let jobs = workers as f64 * limits::JOBS_AHEAD_US as f64 / usual_us.max(1.0);
        (jobs as usize).min(limits::JOBS_AHEAD)
    }

    /// What is to be handed out of it, where `free` of the `limit` that may run at once are free, and limits let `room` of it
    /// begin; takes it from `free`.
    pub fn want(
        &self,
        queue: &Arc<str>,
        now: &QueueNow,
        room: usize,
        (free, limit): (&mut usize, usize),
    ) -> Option<Want> {
        let at_once = concurrency(Some(now));
        let in_hand = self.computing.len() + self.waiting.len();
        let room = room.saturating_sub(in_hand);
        // those that wait are asked for more and more of, so that of a queue with both sorts few come that cannot begin
        let reach = if self.waits() { self.in_a_row.saturating_mul(4).max(16) } else { usize::MAX };
        let most = at_once.saturating_sub(self.running + in_hand).min(*free).min(room).min(reach);
        *free -= most;
        let ahead = self.ahead(limit).min(at_once.saturating_mul(limits::JOBS_AHEAD)).min(room - most);
        // by halves, so that one commit brings many
        let ahead = if in_hand * 2 <= ahead { ahead - in_hand } else { 0 };
        (most + ahead > 0).then(|| Want { queue: Arc::clone(queue), now: most, ahead })
    }
}

/// How many jobs of a queue may run at once.
pub(super) fn concurrency(queue: Option<&QueueNow>) -> usize {
    queue.and_then(|now| now.settings.concurrency).unwrap_or(usize::MAX)
}
