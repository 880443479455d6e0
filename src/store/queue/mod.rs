//! Jobs as rows of the file: what waits, in which order it is handed out, and how it ends. `table` are the statements, run
//! inside the writer's transaction; `act` commits what was done together with what came of it; `read` is for everybody.
//! What a job does, and which kinds there are, is the business of `jobs/`.
//!
//! What must hold:
//! 1. Only a job that is running, in the attempt that was handed out last, can be finished. Its effects and its state are one
//!    transaction.
//! 2. A claim is committed before the job is run, so what a dead process had in hand is found running by the next start
//!    (`recover`) and goes back to its queue, with the attempt counted.
//! 3. Ids rise and are never used again, and a job comes after earlier ones only: there is no circle.
//! 4. [`Queues`] counts what the table holds, as of the same commit.

pub mod act;
pub mod change;
mod checkpoint;
pub mod read;
pub(super) mod recover;
pub mod schedules;
pub(super) mod table;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender, bounded};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, nearest};
use crate::limits;
use crate::store::keyed::write::{DeleteBatch, RecordBatch};
use crate::store::queue::schedules::Step;
use crate::store::replies::Once;
use crate::store::writer::Batch;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// It waits for its time.
    Delayed,
    /// It waits for other jobs.
    Blocked,
    /// It was handed out.
    Running,
    /// Its effects and its result are there.
    Done,
    /// Its attempts are used up.
    Dead,
    /// Somebody did not want it any more.
    Cancelled,
}

impl State {
    /// All of them with their names; the place is what is stored.
    pub const ALL: [(State, &'static str); 7] = [
        (Self::Queued, "queued"),
        (Self::Delayed, "delayed"),
        (Self::Blocked, "blocked"),
        (Self::Running, "running"),
        (Self::Done, "done"),
        (Self::Dead, "dead"),
        (Self::Cancelled, "cancelled"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// The state of a name.
    ///
    /// # Errors
    /// `Invalid` with the names that there are.
    pub fn of(name: &str) -> Result<Self> {
        let names = || Self::ALL.iter().map(|(_, known)| *known);
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state).ok_or_else(|| {
            let (all, hint) = (names().collect::<Vec<_>>().join(", "), nearest(name, names()));
            Error::invalid(format!("\"{name}\" is no state of a job; they are {all}{hint}"))
        })
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }

    /// Whether it is neither running nor finished.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Delayed | Self::Blocked)
    }

    fn code(self) -> i64 {
        self as i64
    }

    fn stored(code: i64) -> Result<Self> {
        let place = usize::try_from(code).ok();
        let state = place.and_then(|place| Self::ALL.get(place)).map(|(state, _)| *state);
        state.ok_or_else(|| Error::Corrupt(format!("a job has the state {code}, which is none")))
    }
}

/// A job that is to be stored. `jobs` makes it: what it says was checked there.
#[derive(Debug, Clone)]
pub struct NewRow {
    /// What does it.
    pub kind: Arc<str>,
    /// Where it waits.
    pub queue: Arc<str>,
    /// JSON.
    pub payload: String,
    /// 1 is first, 15 last.
    pub priority: u8,
    /// Not before then, µs.
    pub run_at_us: Option<i64>,
    /// For whom it is, where limits count by that.
    pub user: Option<String>,
    /// No other unfinished job of the kind has it.
    pub unique: Option<String>,
    /// The jobs that have to be done before.
    pub after: Vec<i64>,
    /// Failures after which it is dead.
    pub max_attempts: u32,
    /// How long an attempt may take, ms.
    pub deadline_ms: Option<i64>,
    /// How long it is kept when it is done or cancelled, µs.
    pub keep_us: i64,
    /// How long it is kept when it is dead, µs.
    pub keep_dead_us: i64,
}

/// What became of a job that was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The job.
    pub id: i64,
    /// False where an unfinished job of the kind has its unique key, and is meant.
    pub is_new: bool,
}

/// A job that was handed out.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which.
    pub id: i64,
    /// What does it.
    pub kind: Arc<str>,
    /// Where it waited.
    pub queue: Arc<str>,
    /// JSON.
    pub payload: String,
    /// 1 is first, 15 last.
    pub priority: u8,
    /// Its place in the queue.
    pub rank_us: i64,
    /// Which attempt this is, from 1.
    pub attempt: i64,
    /// How many of them failed.
    pub failures: u32,
    /// Failures after which it is dead.
    pub max_attempts: u32,
    /// How long an attempt may take, ms.
    pub deadline_ms: Option<i64>,
    /// For whom it is.
    pub user: Option<Arc<str>>,
    /// How far it is, JSON.
    pub checkpoint: Option<String>,
}

/// Jobs that are to be handed out.
#[derive(Debug)]
pub struct Claim {
    /// The time.
    pub now_us: i64,
    /// How many of which queue.
    pub wants: Vec<Want>,
}

/// How many jobs of a queue are to be handed out.
#[derive(Debug, Clone)]
pub struct Want {
    /// The queue.
    pub queue: Arc<str>,
    /// Those that are run at once.
    pub now: usize,
    /// Those that would wait for a worker: none that was cut off before, or has one attempt left, since a dead process counts as
    /// an attempt of all that it had in hand.
    pub ahead: usize,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It did what it should, and this came of it (JSON).
    Done(Option<String>),
    /// It failed.
    Failed {
        /// Why.
        error: String,
        /// When to try again, µs.
        retry_at_us: i64,
        /// Whether another attempt is of no use.
        is_final: bool,
    },
    /// It was told to end, because the workers stop: it goes back.
    Stopped,
    /// It was not begun: it goes back, and the attempt does not count.
    Released,
    /// It goes on, and is so far (JSON): a next attempt begins there.
    Checkpoint(String),
    /// As [`Verdict::Released`], but it keeps its place until then, µs: a limit does not let it begin.
    Later(i64),
}

/// What is written in one transaction, or not at all: what a job comes to, or what is submitted.
#[derive(Debug, Default)]
pub struct Act {
    /// The time.
    pub now_us: i64,
    /// The job that it is of, its attempt, and how that ended; `None`: of none.
    pub of: Option<(i64, i64, Verdict)>,
    /// Events.
    pub events: Vec<Batch>,
    /// Records: each batch whole or not at all.
    pub records: Vec<RecordBatch>,
    /// Records to delete: each batch whole or not at all.
    pub deletes: Vec<DeleteBatch>,
    /// Jobs.
    pub jobs: Vec<NewRow>,
    /// A schedule that this is due of.
    pub step: Option<Step>,
    /// The reply that is kept with it, where the request may be sent again.
    pub once: Option<OnceOf>,
}

/// Makes a reply of what became of jobs.
pub type Makes = dyn Fn(&[Submitted]) -> Once + Send + Sync;

/// Makes the reply that is kept of a request, of what became of its jobs.
#[derive(Clone)]
pub struct OnceOf(pub Arc<Makes>);

impl std::fmt::Debug for OnceOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnceOf").finish_non_exhaustive()
    }
}

/// What became of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is committed; the jobs that were submitted with it, and the state of the one that it is of.
    Done(Vec<Submitted>, Option<State>),
    /// The job was cancelled meanwhile, and is so now; nothing else of it was written.
    Cancelled,
    /// The job does not run in that attempt any more, or the schedule is not due at that time; nothing of it was written.
    Lost,
    /// The rules of a dataset have changed since its rows were decoded; nothing of it was written.
    Stale,
    /// A record is of another version than the one that was told (and why); nothing of it was written.
    Outdated(String),
}

/// What is set of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// Jobs that may wait in it; one more is refused as busy.
    pub size: u64,
    /// Jobs of it that may run at once; `None`: as many as there are workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// How often its jobs begin, as in `100/min` or `50/5m window`; `None`: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// The same for each user that its jobs are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_rate: Option<String>,
    /// A named limit that it shares with other queues, as in `model_calls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { size: limits::QUEUE_JOBS, concurrency: None, rate: None, user_rate: None, limit: None }
    }
}

/// One queue as of one commit.
#[derive(Debug, Clone, Default)]
pub struct QueueNow {
    /// What is set of it.
    pub settings: QueueSettings,
    counts: [u64; State::ALL.len()],
}

impl QueueNow {
    /// Its jobs that are in a state.
    pub fn count(&self, state: State) -> u64 {
        self.counts.get(state as usize).copied().unwrap_or(0)
    }

    /// Its jobs that are neither running nor finished.
    pub fn waiting(&self) -> u64 {
        State::ALL.iter().filter(|(state, _)| state.is_waiting()).map(|(state, _)| self.count(*state)).sum()
    }
}

/// All queues as of one commit.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    /// By name.
    pub by_name: BTreeMap<Arc<str>, QueueNow>,
    /// When the next delayed job is due, or earlier.
    pub next_due_us: Option<i64>,
    /// Goes up with every change.
    changes: u64,
    /// Whether there is something to hand out, or to wait for, that was not there before.
    has_news: bool,
}

impl Queues {
    /// Counts a job that comes, changes its state, or goes.
    fn shift(&mut self, queue: &str, from: Option<State>, to: Option<State>) {
        if !self.by_name.contains_key(queue) {
            self.by_name.insert(queue.into(), QueueNow::default());
        }
        self.changes += 1;
        self.has_news |= matches!(to, Some(State::Queued | State::Delayed));
        let Some(now) = self.by_name.get_mut(queue) else { return };
        let mut add = |state: Option<State>, by: i64| {
            if let Some(count) = state.and_then(|state| now.counts.get_mut(state as usize)) {
                *count = count.saturating_add_signed(by);
            }
        };
        add(from, -1);
        add(to, 1);
    }

    /// Whether nothing was changed since others of the same line.
    pub(super) fn is_as(&self, others: &Self) -> bool {
        self.changes == others.changes
    }

    fn expect(&mut self, due_us: i64) {
        self.changes += 1;
        self.next_due_us = Some(self.next_due_us.map_or(due_us, |next| next.min(due_us)));
    }
}

/// The current [`Queues`], swapped whole by the writer, and the bell that tells of work.
#[derive(Debug)]
pub(super) struct Board {
    current: RwLock<Arc<Queues>>,
    bell: (Sender<()>, Receiver<()>),
    /// Held from before a commit of jobs until what it wrote is published.
    publishing: Mutex<()>,
}

impl Default for Board {
    fn default() -> Self {
        Self { current: RwLock::default(), bell: bounded(1), publishing: Mutex::default() }
    }
}

impl Board {
    pub fn current(&self) -> Arc<Queues> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes counts the current ones, and rings the bell where there is something new to do.
    pub fn publish(&self, mut queues: Queues) {
        let rings = std::mem::take(&mut queues.has_news);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(queues);
        if rings {
            let _ = self.bell.0.try_send(());
        }
    }

    /// Taken by the writer around a commit of jobs and its publication.
    pub fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what a reader has seen of jobs is published: a job that is done has its effects there for the next question.
    pub fn wait_for_what_was_seen(&self) {
        drop(self.publishing());
    }

    pub fn bell(&self) -> &Receiver<()> {
        &self.bell.1
    }
}

/// Counts what is there.
pub(super) fn load(connection: &Connection) -> Result<Queues> {
    let context = |e| Error::sqlite("cannot count the jobs", e);
    let mut queues = Queues::default();
    let mut statement = connection.prepare("SELECT name, settings FROM queue").map_err(context)?;
    let mut rows = statement.query([]).map_err(context)?;
    while let Some(row) = rows.next().map_err(context)? {
        let (name, text): (String, String) = (row.get(0).map_err(context)?, row.get(1).map_err(context)?);
        // settings that cannot be read are the usual ones: no reason not to open the file
        let settings = serde_json::from_str(&text).unwrap_or_else(|e| {
            tracing::error!(
                "the settings of the queue \"{name}\" cannot be read, it has the usual ones: {e}"
            );
            QueueSettings::default()
        });
        queues.by_name.insert(name.into(), QueueNow { settings, ..QueueNow::default() });
    }
    let mut statement = connection
        .prepare("SELECT queue, state, count(*) FROM job GROUP BY queue, state")
        .map_err(context)?;
    let mut rows = statement.query([]).map_err(context)?;
    while let Some(row) = rows.next().map_err(context)? {
        let name: String = row.get(0).map_err(context)?;
        let count: i64 = row.get(2).map_err(context)?;
        let state = State::stored(row.get(1).map_err(context)?)?;
        let now = queues.by_name.entry(name.into()).or_default();
        if let Some(place) = now.counts.get_mut(state as usize) {
            *place = count.unsigned_abs();
        }
    }
    queues.next_due_us = table::next_due(connection)?;
    queues.has_news = true;
    Ok(queues)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
