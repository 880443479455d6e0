//! Background work: jobs are submitted, wait in their queues, are run by a pool of threads, and end with what came of them. All
//! of it is rows of the file (`store/queue`), so it survives whatever happens to the process.
//!
//! ```text
//! submit:  Jobs -> effects (an act) -> store/writer, with whatever else waits -> commit -> the bell wakes dispatch
//! run:     dispatch -> the writer hands jobs out -> worker -> the function of the kind -> an outcome
//! finish:  worker -> effects (an act) -> the writer: effects and state, if the job still is of this attempt -> dispatch
//! ```
//!
//! This room knows no job's body: `app` brings the kinds. A function may be called several times for one job (a dead process, a
//! failure, a record that changed meanwhile), but what it gives back to be written is written once.

mod backoff;
mod batch;
mod checkpoint;
mod context;
mod crew;
mod cron;
mod dispatch;
mod effects;
mod gauge;
mod kind;
mod line;
mod new_job;
mod progress;
mod rates;
mod timetable;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, unbounded};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::jobs::dispatch::{Dispatcher, Event, InHand};
use crate::jobs::kind::check_name;
use crate::jobs::worker::Shop;
use crate::limiter::Limiter;
use crate::limiter::policy::Policies;
use crate::limits;
use crate::store::Store;
use crate::store::queue::read::{Failure as Failed, Job, JobFilter, JobPage};
use crate::store::queue::{Act, Acted, OnceOf, QueueSettings, Queues, State, Submitted};

pub use batch::{BatchOptions, process};
pub(crate) use checkpoint::Step;
pub use context::Context;
pub use cron::Cron;
pub use effects::Effects;
pub use kind::{Again, Failure, Kind, Kinds, Outcome};
pub use new_job::NewJob;
pub use progress::Progress;
pub use timetable::{Schedule, Scheduled};

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct JobOptions {
    /// Jobs that may run at once, of all queues, whatever they do; those of kinds that wait aside.
    pub workers: usize,
    /// Jobs that may run at once where that proves better: for jobs that wait more than they compute. Not below `workers`.
    pub workers_max: usize,
    /// Jobs of kinds that wait ([`Kind::waits`]) that may run at once, on threads that are made when they are needed.
    pub waiting: usize,
    /// How long after it was told to end a function that has not is left alone: its attempt has failed then, and another
    /// thread takes the place of its.
    pub left_after: Duration,
    /// What tells when jobs are due.
    pub clock: Clock,
    /// Counts what queues limit.
    pub limiter: Arc<Limiter>,
    /// The named limits that queues may share.
    pub policies: Arc<Policies>,
}

impl Default for JobOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            workers: cores.max(2),
            workers_max: cores.saturating_mul(limits::JOBS_PER_CORE),
            waiting: limits::JOBS_WAITING,
            left_after: limits::JOB_LEFT_AFTER,
            clock: Clock::default(),
            limiter: Arc::default(),
            policies: Arc::default(),
        }
    }
}

/// The jobs of an open database: submits them, tells of them, and runs them where it was started with kinds.
#[derive(Debug)]
pub struct Jobs {
    shop: Arc<Shop>,
    in_hand: Arc<InHand>,
    policies: Arc<Policies>,
    events: Option<Sender<Event>>,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    dispatcher: JoinHandle<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl Jobs {
    /// Jobs that nobody runs here: they are submitted for, and by, another process.
    pub fn idle(store: Arc<Store>, kinds: Kinds) -> Self {
        let shop = Arc::new(Shop { store, kinds, clock: Clock::default() });
        Self {
            shop,
            in_hand: Arc::default(),
            policies: Arc::default(),
            events: None,
            threads: Mutex::default(),
        }
    }

    /// Starts to run jobs of these kinds.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(store: Arc<Store>, kinds: Kinds, options: JobOptions) -> Result<Self> {
        let shop = Arc::new(Shop { store, kinds, clock: options.clock.clone() });
        let policies = Arc::clone(&options.policies);
        let (events, inbox) = unbounded();
        let (tasks, waiting) = unbounded();
        let in_hand = Arc::new(InHand::default());
        let count = options.workers.max(options.workers_max).max(1);
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            let (shop, waiting, events) = (Arc::clone(&shop), waiting.clone(), events.clone());
            workers.push(thread("job", move || worker::work(&shop, waiting.iter(), &events))?);
        }
        let dispatcher = Dispatcher::new(
            Arc::clone(&shop),
            Arc::clone(&in_hand),
            (tasks, waiting),
            events.clone(),
            options,
        );
        let dispatcher = thread("jobs", move || dispatcher.run(&inbox))?;
        let threads = Mutex::new(Some(Threads { dispatcher, workers }));
        Ok(Self { shop, in_hand, policies, events: Some(events), threads })
    }

    /// Where they are.
    pub fn store(&self) -> &Arc<Store> {
        &self.shop.store
    }

    /// The kinds of jobs that there are.
    pub fn kinds(&self) -> &Kinds {
        &self.shop.kinds
    }

    /// Submits a job. When this returns it is stored, and will be run also after a crash.
    ///
    /// # Errors
    /// What it says cannot be, its queue is full (`Busy`), or the file cannot be written.
    pub fn submit(&self, job: NewJob) -> Result<Submitted> {
        let submitted = self.commit(Effects::default().job(job))?;
        submitted
            .first()
            .copied()
            .ok_or_else(|| Error::Internal("a job was submitted and is not there".into()))
    }

    /// Submits jobs, all or none of them, in one transaction.
    ///
    /// # Errors
    /// As [`Jobs::submit`].
    pub fn submit_all(&self, jobs: impl IntoIterator<Item = NewJob>) -> Result<Vec<Submitted>> {
        self.commit(jobs.into_iter().fold(Effects::default(), Effects::job))
    }

    /// Writes events, records and jobs, all of it or nothing, in one transaction; gives what became of the jobs.
    ///
    /// # Errors
    /// As [`Jobs::submit`], and rows that cannot be written.
    pub fn commit(&self, effects: Effects) -> Result<Vec<Submitted>> {
        self.commit_once(&effects, None)
    }

    /// As [`Jobs::commit`]; `once` makes the reply that is kept with it, for who sends the same again.
    ///
    /// # Errors
    /// As [`Jobs::commit`].
    pub fn commit_once(&self, effects: &Effects, once: Option<OnceOf>) -> Result<Vec<Submitted>> {
        for _ in 0..limits::STALE_RETRIES {
            let act = effects.act(&self.shop.store, &self.shop.kinds, self.shop.clock.now_us())?;
            match self.shop.store.act(Act { once: once.clone(), ..act })? {
                Acted::Done(submitted, _) => return Ok(submitted),
                Acted::Outdated(why) => return Err(Error::Conflict(why)),
                Acted::Stale => {}
                Acted::Cancelled | Acted::Lost => {
                    return Err(Error::Internal(
                        "what is submitted is of no job, and was taken for one's".into(),
                    ));
                }
            }
        }
        Err(Error::Busy {
            detail: "the declaration of a dataset keeps changing; repeat the request later".into(),
            retry_after_s: 1,
        })
    }

    /// The job of an id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, id: i64) -> Result<Job> {
        self.shop.store.job(id)
    }

    /// The attempts of a job that failed, in their order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn failures(&self, id: i64) -> Result<Vec<Failed>> {
        self.shop.store.job_failures(id)
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// A limit out of bounds.
    pub fn list(&self, filter: &JobFilter) -> Result<JobPage> {
        self.shop.store.list_jobs(filter)
    }

    /// What the job last told of its progress, while it runs here.
    pub fn progress(&self, id: i64) -> Option<Progress> {
        self.in_hand.get(id).map(|running| running.progress())
    }

    /// Cancels a job: one that waits at once, one that runs is told to end, and nothing that comes of it is written. Gives its
    /// state.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is done or dead.
    pub fn cancel(&self, id: i64) -> Result<State> {
        let state = self.shop.store.cancel_job(id, self.shop.clock.now_us())?;
        if state == State::Running {
            self.tell(Event::Cancel(id));
        }
        Ok(state)
    }

    /// Tries a dead or cancelled job again, as if it were new; its failures stay in its history. Gives its state.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is in another state, or where what it comes after is.
    pub fn retry(&self, id: i64) -> Result<State> {
        self.shop.store.retry_job(id, self.shop.clock.now_us())
    }

    /// All queues with what is set of them and what is in them.
    pub fn queues(&self) -> Arc<Queues> {
        self.shop.store.queues()
    }

    /// Sets up a queue; it holds from now on, and after a restart.
    ///
    /// # Errors
    /// A name that is none, settings that cannot be, and too many queues.
    pub fn configure(&self, queue: &str, settings: QueueSettings) -> Result<()> {
        check_name("queue", queue)?;
        if settings.concurrency == Some(0) {
            return Err(Error::invalid(
                "a concurrency of 0 would let no job of the queue run; it is 1 at least",
            ));
        }
        rates::check(&settings, &self.policies)?;
        self.shop.store.configure_queue(queue, settings)
    }

    /// Has a job submitted again and again; a schedule of the same name is replaced. One that says the same again keeps its next
    /// time, so a program can say its schedules at each start. What went by while nobody was there is caught up by one job.
    ///
    /// ```
    /// use windrow::jobs::Schedule;
    /// use windrow::{Engine, JobOptions, Kind, NewJob, Outcome};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let tidy = Kind::new("tidy", |_| Ok(Outcome::default()));
    /// let engine = Engine::open(folder.path().join("a.db"))?.with_jobs([tidy], JobOptions::default())?;
    /// let nightly = Schedule::new("nightly", "30 2 * * *", NewJob::new("tidy")).zone("Europe/Berlin");
    /// engine.jobs().schedule(&nightly)?;
    /// assert_eq!(engine.jobs().schedules()?[0].schedule, nightly);
    /// engine.jobs().unschedule("nightly")?;
    /// # engine.close();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What it says cannot be, or is never due.
    pub fn schedule(&self, schedule: &Schedule) -> Result<()> {
        let row = schedule.row(&self.shop.kinds, self.shop.clock.now_us())?;
        self.shop.store.put_schedule(row)?;
        self.tell(Event::Schedules);
        Ok(())
    }

    /// Ends a schedule; the jobs that it has submitted stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn unschedule(&self, name: &str) -> Result<()> {
        self.shop.store.drop_schedule(name)?;
        self.tell(Event::Schedules);
        Ok(())
    }

    /// The schedule of a name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn scheduled(&self, name: &str) -> Result<Scheduled> {
        Scheduled::of(self.shop.store.schedule(name)?)
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn schedules(&self) -> Result<Vec<Scheduled>> {
        self.shop.store.schedules()?.into_iter().map(Scheduled::of).collect()
    }

    /// Has everybody look at the clock: for who moves it.
    pub fn look(&self) {
        self.tell(Event::Look);
    }

    fn tell(&self, event: Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event);
        }
    }

    /// Begins no more jobs, waits for those that run, tells them to end after a while, and gives back what was not begun.
    /// Calling it again does nothing.
    pub fn stop(&self) {
        self.stop_within(Duration::from_secs(limits::JOBS_STOP_S), Duration::from_secs(limits::CANCELLED_S));
    }

    /// As [`Jobs::stop`]: after `grace` jobs are told to end, and `rest` later they are left alone. What is written of them then
    /// is refused by a later start.
    pub fn stop_within(&self, grace: Duration, rest: Duration) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return };
        self.tell(Event::Stop(grace, rest));
        match threads.dispatcher.join() {
            Ok(true) => {
                // they have nothing to do, and end
                for worker in threads.workers {
                    let _ = worker.join();
                }
            }
            Ok(false) => {
                tracing::warn!("some jobs did not end when they were told to; the next start runs them again")
            }
            Err(_) => tracing::error!("the thread that hands out jobs panicked"),
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop();
    }
}

fn thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|e| Error::io(format!("cannot start the thread \"{name}\""), e))
}

#[cfg(test)]
mod tests;
