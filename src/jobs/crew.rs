//! The threads of jobs that wait: for a network, for another program. They compute next to nothing, so there are as many as such
//! jobs run, up to a ceiling, made when they are needed and let go when they are not. The dispatcher alone counts them: one
//! that goes was told to, so no job is given to a thread that has just made up its mind to end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::jobs::dispatch::Event;
use crate::jobs::worker::{Attempt, Shop, work};
use crate::limits;

/// How long a thread is kept that nothing needs, and how long no more are asked for where the system gave none.
const PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Crew {
    shop: Arc<Shop>,
    events: Sender<Event>,
    /// `None` lets a thread go.
    tasks: (Sender<Option<Attempt>>, Receiver<Option<Attempt>>),
    handles: Vec<JoinHandle<()>>,
    /// Threads that were not told to go.
    threads: usize,
    /// Jobs that may run at once, and how many the system has threads for.
    ceiling: usize,
    limit: usize,
    /// Jobs that run, and the most that did in this period.
    running: usize,
    peak: usize,
    since: Instant,
}

impl Crew {
    pub fn new(shop: Arc<Shop>, events: Sender<Event>, ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            shop,
            events,
            tasks: unbounded(),
            handles: Vec::new(),
            threads: 0,
            ceiling,
            limit: ceiling,
            running: 0,
            peak: 0,
            since: Instant::now(),
        }
    }

    /// Jobs that may run at once.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Those that run.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Runs an attempt; `Some`: there is not one thread for it.
    pub fn begin(&mut self, attempt: Attempt) -> Option<Attempt> {
        if self.running >= self.threads && !self.grow() && self.threads == 0 {
            return Some(attempt);
        }
        self.running += 1;
        self.peak = self.peak.max(self.running);
        let _ = self.tasks.0.send(Some(attempt));
        None
    }

    /// Notes that the function of one has returned.
    pub fn note(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// One that runs is left alone: its thread does nothing else any more.
    pub fn lose(&mut self) {
        self.note();
        self.threads = self.threads.saturating_sub(1);
    }

    /// One that was left alone has returned, and its thread takes what comes.
    pub fn regain(&mut self) {
        self.threads += 1;
    }

    fn grow(&mut self) -> bool {
        let (shop, events, tasks) = (Arc::clone(&self.shop), self.events.clone(), self.tasks.1.clone());
        let made = std::thread::Builder::new()
            .name("job-waits".into())
            .stack_size(limits::JOB_WAITING_STACK_BYTES)
            .spawn(move || work(&shop, tasks.iter().map_while(|task| task), &events));
        match made {
            Ok(handle) => {
                self.handles.push(handle);
                self.threads += 1;
                true
            }
            Err(e) => {
                self.limit = self.threads.max(1);
                tracing::warn!(
                    "{} jobs that wait run at once, the system gives no more threads: {e}",
                    self.limit
                );
                false
            }
        }
    }

    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        (self.threads > 0 || self.limit < self.ceiling).then(|| self.since + PERIOD)
    }

    /// Lets threads go that nothing needed for a while.
    pub fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) < PERIOD {
            return;
        }
        for _ in self.peak..self.threads {
            let _ = self.tasks.0.send(None);
        }
        self.threads = self.threads.min(self.peak);
        (self.peak, self.limit, self.since) = (self.running, self.ceiling, now);
        self.handles.retain(|handle| !handle.is_finished());
    }

    /// Waits for all threads, none of which has anything to do any more.
    pub fn join(self) {
        for _ in 0..self.threads {
            let _ = self.tasks.0.send(None);
        }
        for handle in self.handles {
            let _ = handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::clock::Clock;
    use crate::jobs::context::Running;
    use crate::jobs::{Kind, Kinds, Outcome};
    use crate::store::queue::Claimed;
    use crate::store::{Store, StoreOptions};

    fn attempt(id: i64) -> Attempt {
        let job = Claimed {
            id,
            kind: "waits".into(),
            queue: "default".into(),
            payload: "null".into(),
            priority: 8,
            rank_us: 0,
            attempt: 1,
            failures: 0,
            max_attempts: 1,
            deadline_ms: None,
            user: None,
            checkpoint: None,
        };
        let running = Arc::new(Running::new(&job));
        Attempt { job, running, backoff_us: 0, conflicts: 0, stale: 0 }
    }

    #[test]
    fn there_are_as_many_threads_as_jobs_run_and_they_go_when_nothing_needs_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap());
        let (go, wait) = bounded::<()>(0);
        let kind = Kind::new("waits", move |_| {
            let _ = wait.recv();
            Ok(Outcome::default())
        });
        let kinds = Kinds::of([kind]).unwrap();
        let shop = Arc::new(Shop { store, kinds, clock: Clock::default() });
        let (events, _inbox) = unbounded();
        let mut crew = Crew::new(shop, events, 8);
        assert_eq!((crew.limit(), crew.due()), (8, None));
        assert!((1..=3).all(|id| crew.begin(attempt(id)).is_none()));
        assert_eq!((crew.running(), crew.threads), (3, 3));
        for _ in 0..3 {
            go.send(()).unwrap();
            crew.note();
        }
        assert!(crew.begin(attempt(4)).is_none());
        assert_eq!((crew.running(), crew.threads), (1, 3), "one that is free takes it");
        let begun = crew.since;
        crew.look(begun + PERIOD / 2);
        crew.look(begun + PERIOD);
        assert_eq!(crew.threads, 3, "three were needed in this period");
        crew.look(begun + PERIOD * 2);
        assert_eq!(crew.threads, 1, "and one in the next");
        go.send(()).unwrap();
        crew.join();
    }
}
