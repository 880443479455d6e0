//! Whose turn it is: how many jobs of each sort may run and do, and which of those in hand begins next.

use std::sync::Arc;

use crate::jobs::dispatch::Dispatcher;
use crate::jobs::line::{Line, concurrency};
use crate::store::queue::{QueueNow, Queues, State};

impl Dispatcher {
    /// How many may run at once: of those that wait, or those that compute.
    pub(super) fn limit(&self, waits: bool) -> usize {
        if waits { self.crew.limit() } else { self.gauge.limit() }
    }

    pub(super) fn running(&self, waits: bool) -> usize {
        let crew = self.crew.running();
        if waits { crew } else { self.running.len().saturating_sub(crew) }
    }

    /// How many more could be begun beside what is in hand and may begin.
    pub(super) fn free(&self, waits: bool) -> usize {
        let lines = self.lines.values().filter(|line| line.is_let());
        let in_hand: usize = lines.map(|line| line.count(waits)).sum();
        self.limit(waits).saturating_sub(self.running(waits) + in_hand)
    }

    /// The queue whose turn it is, and which of its jobs: the best rank of those that may begin.
    pub(super) fn next(&self, queues: &Queues) -> Option<(Arc<str>, bool)> {
        let sorts = [false, true].map(|waits| (waits, self.running(waits) < self.limit(waits)));
        let may = |(name, line): &(&Arc<str>, &Line)| {
            line.is_let() && line.running < concurrency(queues.by_name.get(*name))
        };
        let firsts = self.lines.iter().filter(may).flat_map(|(name, line)| {
            let sorts = sorts.iter().filter(|(_, is_free)| *is_free);
            sorts.filter_map(move |(waits, _)| Some((line.rank_us(*waits)?, name, *waits)))
        });
        firsts.min().map(|(_, name, waits)| (Arc::clone(name), waits))
    }

    /// Whether jobs that compute are there which would begin if more might.
    pub(super) fn has_more(&self) -> bool {
        let more = |(name, now): (&Arc<str>, &QueueNow)| {
            let line = self.lines.get(name);
            let in_hand = line.map_or(0, |line| line.count(false)) as u64;
            let queued = if line.is_some_and(Line::waits) { 0 } else { now.count(State::Queued) };
            let waiting = in_hand + queued;
            let may = line.is_none_or(|line| line.is_let() && line.running < concurrency(Some(now)));
            waiting > 0 && may
        };
        self.shop.store.queues().by_name.iter().any(more)
    }
}
