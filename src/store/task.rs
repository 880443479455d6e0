//! Pieces of upkeep that somebody else may be asked to do: where jobs run they are jobs, and seen as such. Nothing is left undone
//! because who was asked does not begin: after a short while the upkeep does it itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::store::upkeep::{BACKGROUND, Upkeep, Work, wants_seal};
use crate::time;

/// How long the upkeep waits for who was asked: a tail that is full goes on growing meanwhile.
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// What is done for one dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Events that are older than the dataset keeps them go.
    Expire,
    /// A tail that is full becomes a segment.
    Seal,
    /// Small segments become larger ones.
    Merge,
}

impl Task {
    /// All, in the order in which they are looked at: what frees space goes first.
    pub const ALL: [Self; 3] = [Self::Expire, Self::Seal, Self::Merge];

    /// Its name, which is that of its kind of job.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Seal => "seal",
            Self::Merge => "merge",
        }
    }
}

/// Asked to have a task done for a dataset; false: it will not be.
pub type Taker = dyn Fn(Task, &str) -> bool + Send + Sync;

/// Who is asked, and what for.
#[derive(Default)]
pub(super) struct Handed {
    taker: Option<Arc<Taker>>,
    /// When somebody was asked, by task and dataset, until it is done.
    asked: HashMap<(Task, i64), Instant>,
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Upkeep {
    /// From now on what is due is asked of somebody else first, who has it done by [`Upkeep::carry_out`]; `None`: no longer.
    pub fn hand_over_to(&self, taker: Option<Arc<Taker>>) {
        *self.handed() = Handed { taker, asked: HashMap::new() };
    }

    /// Does a task for a dataset now, whether or not it is due; the result is what it went through: events that went, events of
    /// the tail, segments that were merged. Of a dataset that is not there, nothing is done. Between two steps it asks whether to
    /// go on.
    ///
    /// # Errors
    /// The file cannot be written or read; then the dataset is left alone for a while.
    pub fn carry_out(&self, task: Task, dataset: &str, goes_on: &dyn Fn() -> bool) -> Result<u64> {
        let Some(id) = self.dataset_named(dataset) else { return Ok(0) };
        let done = {
            let mut work = self.work();
            if task == Task::Expire {
                // asked for in so many words it is done, however short a while ago it was
                work.expired.remove(&id);
            }
            let done = self.perform(task, id, goes_on, &mut work);
            if let Err(e) = &done {
                self.leave_alone(id, e, &mut work);
            }
            done
        };
        self.handed().asked.remove(&(task, id));
        // more may be due already
        self.wake();
        done
    }

    /// Has a task done where it is due: by whoever takes it, else at once.
    pub(super) fn see_to(&self, task: Task, id: i64, work: &mut Work) -> Result<()> {
        if !self.is_due(task, id, work) {
            self.handed().asked.remove(&(task, id));
            return Ok(());
        }
        if self.is_handed_over(task, id) {
            return Ok(());
        }
        self.perform(task, id, &|| true, work).map(drop)
    }

    /// Whether somebody was asked for something that is not done yet.
    pub(super) fn waits_for_others(&self) -> bool {
        !self.handed().asked.is_empty()
    }

    fn is_due(&self, task: Task, id: i64, work: &Work) -> bool {
        match task {
            // in a dataset that is younger than what it keeps there is nothing to do
            Task::Expire => self.expires(id, work).is_some_and(|kept_us| {
                let oldest_us = time::now().saturating_sub(kept_us);
                self.dataset(id)
                    .is_some_and(|dataset| dataset.time_range().is_some_and(|(first, _)| first < oldest_us))
            }),
            Task::Seal => self.dataset(id).is_some_and(|dataset| wants_seal(&dataset, self.seal_rows)),
            Task::Merge => {
                self.dataset(id).is_some_and(|dataset| self.run_of(&dataset, BACKGROUND, work).is_some())
            }
        }
    }

    fn is_handed_over(&self, task: Task, id: i64) -> bool {
        let (taker, asked) = {
            let handed = self.handed();
            let Some(taker) = handed.taker.clone() else { return false };
            (taker, handed.asked.get(&(task, id)).copied())
        };
        if let Some(asked) = asked {
            return asked.elapsed() < TAKEN_WITHIN;
        }
        let Some(dataset) = self.dataset(id) else { return true };
        let is_taken = taker(task, &dataset.name);
        if is_taken {
            self.handed().asked.insert((task, id), Instant::now());
        }
        is_taken
    }

    fn perform(&self, task: Task, id: i64, goes_on: &dyn Fn() -> bool, work: &mut Work) -> Result<u64> {
        match task {
            Task::Expire => self.expire(id, work),
            Task::Seal => self.seal_tail(id),
            Task::Merge => {
                let mut segments = 0;
                while !self.is_stopping()
                    && goes_on()
                    && let Some(merged) = self.merge(id, BACKGROUND, work)?
                {
                    segments += merged;
                    self.seal_full_tails(work);
                }
                Ok(segments)
            }
        }
    }

    fn handed(&self) -> MutexGuard<'_, Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
