//! Functions that do not end when they are told to: after a while their attempt is a failure, another thread takes the place of
//! theirs, and what they give back some day is refused. So a job that runs for ever takes a thread, and not the queue.

use std::sync::Arc;
use std::time::Instant;

use crate::jobs::context::Running;
use crate::jobs::dispatch::{Dispatcher, Event};
use crate::jobs::worker::{self, Attempt};
use crate::limits;
use crate::store::queue::{Act, Verdict};

/// A function that was called.
pub(super) struct Begun {
    pub queue: Arc<str>,
    /// Whether the crew runs it.
    pub is_of_crew: bool,
    pub attempt: i64,
    pub running: Arc<Running>,
    /// When to try again where it fails, µs after that.
    pub backoff_us: i64,
}

impl Begun {
    pub fn of(attempt: &Attempt) -> Self {
        Self {
            queue: Arc::clone(&attempt.job.queue),
            is_of_crew: false,
            attempt: attempt.job.attempt,
            running: Arc::clone(&attempt.running),
            backoff_us: attempt.backoff_us,
        }
    }
}

impl Dispatcher {
    /// When the next one is left alone.
    pub(super) fn leaves_at(&self) -> Option<Instant> {
        let may_leave = self.left.len() < limits::JOBS_LEFT && self.stopping.is_none();
        self.running.values().filter_map(|begun| self.left_at(begun)).min().filter(|_| may_leave)
    }

    /// When it is left alone, if it was told to end.
    fn left_at(&self, begun: &Begun) -> Option<Instant> {
        begun.running.told_at().and_then(|told| told.checked_add(self.left_after))
    }

    /// Leaves those alone whose patience is used up; at most so many, as each keeps its thread.
    pub(super) fn leave_alone(&mut self, now: Instant) {
        if self.leaves_at().is_none_or(|at| now < at) {
            return;
        }
        let is_over = |begun: &Begun| self.left_at(begun).is_some_and(|at| now >= at);
        let room = limits::JOBS_LEFT - self.left.len();
        let ids: Vec<i64> =
            self.running.iter().filter(|(_, begun)| is_over(begun)).map(|(id, _)| *id).take(room).collect();
        for id in ids {
            let Some(begun) = self.running.remove(&id) else { continue };
            if begun.is_of_crew {
                self.crew.lose();
            } else if let Err(e) = self.replace_worker() {
                tracing::error!("a job that does not end keeps its worker, and there is no other: {e}");
                self.running.insert(id, begun);
                return;
            }
            self.give_up(id, begun);
        }
    }

    fn give_up(&mut self, id: i64, begun: Begun) {
        tracing::error!(
            "job {id} did not end when it was told to, and is left alone: {}",
            told(&begun.running)
        );
        if let Some(line) = self.lines.get_mut(&begun.queue) {
            line.running = line.running.saturating_sub(1);
        }
        self.rerunning = self.rerunning.filter(|rerunning| *rerunning != id);
        let now_us = self.shop.clock.now_us();
        let verdict = Verdict::Failed {
            error: format!(
                "{}; it did not end when it was told to, and was left alone",
                told(&begun.running)
            ),
            retry_at_us: now_us.saturating_add(begun.backoff_us),
            is_final: false,
        };
        let act = Act { now_us, of: Some((id, begun.attempt, verdict)), ..Act::default() };
        self.left.insert((id, begun.attempt), begun.is_of_crew);
        let (events, running) = (self.events.clone(), begun.running);
        self.shop.store.act_later(act, move |written| {
            if let Err(e) = &written {
                tracing::error!("the end of job {id} cannot be written, the next start finds it: {e}");
            }
            let _ = events.send(Event::Left(id, running));
        });
        self.has_news = true;
    }

    /// Notes that a function has returned that was left alone; false: it was not.
    pub(super) fn has_come_back(&mut self, id: i64, attempt: i64) -> bool {
        let Some(is_of_crew) = self.left.remove(&(id, attempt)) else { return false };
        if is_of_crew {
            self.crew.regain();
        }
        true
    }

    /// Forgets what is in hand of an attempt, unless another one of the job is by now.
    pub(super) fn forget(&self, id: i64, running: &Arc<Running>) {
        let mut in_hand = self.in_hand.lock();
        if in_hand.get(&id).is_some_and(|known| Arc::ptr_eq(known, running)) {
            in_hand.remove(&id);
        }
    }

    fn replace_worker(&self) -> std::io::Result<()> {
        let (shop, tasks, events) = (Arc::clone(&self.shop), self.tasks.1.clone(), self.events.clone());
        let work = move || worker::work(&shop, tasks.iter(), &events);
        std::thread::Builder::new().name("job".into()).spawn(work).map(drop)
    }
}

/// Why it was told to end.
fn told(running: &Running) -> String {
    running.told().map_or_else(String::new, |told| told.to_string())
}
