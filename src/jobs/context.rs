//! What a job's function is given: what it is about, whether it shall go on, and a way to tell how far it is.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Bound, Error, Result};
use crate::jobs::kind::Kinds;
use crate::jobs::progress::Progress;
use crate::jobs::worker::Shop;
use crate::limits;
use crate::store::Store;
use crate::store::queue::Claimed;

/// Why a running job shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Why {
    Nothing,
    Cancelled,
    Deadline,
    Stopping,
}

/// An attempt that runs, for those who look at it from other threads.
#[derive(Debug)]
pub(super) struct Running {
    begun: Instant,
    /// How long it may take.
    allowed: Option<Duration>,
    why: AtomicU8,
    /// When it was told to end.
    told_at: OnceLock<Instant>,
    ends: Arc<AtomicBool>,
    progress: Mutex<Progress>,
    /// Where it stands, JSON: also for an attempt that is run again.
    checkpoint: Mutex<Option<String>>,
}

impl Running {
    pub(super) fn new(job: &Claimed) -> Self {
        let allowed = job.deadline_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        Self {
            begun: Instant::now(),
            allowed,
            why: AtomicU8::new(Why::Nothing as u8),
            told_at: OnceLock::new(),
            ends: Arc::default(),
            progress: Mutex::default(),
            checkpoint: Mutex::new(job.checkpoint.clone()),
        }
    }

    /// Tells it to end, unless it was told before.
    pub(super) fn end(&self, why: Why) {
        let first = Why::Nothing as u8;
        let _ = self.why.compare_exchange(first, why as u8, Ordering::SeqCst, Ordering::SeqCst);
        let _ = self.told_at.set(Instant::now());
        self.ends.store(true, Ordering::SeqCst);
    }

    /// When it was told to end, if it was.
    pub(super) fn told_at(&self) -> Option<Instant> {
        self.told_at.get().copied()
    }

    pub(super) fn why(&self) -> Why {
        let told = self.why.load(Ordering::SeqCst);
        let all = [Why::Cancelled, Why::Deadline, Why::Stopping];
        all.into_iter().find(|why| *why as u8 == told).unwrap_or(Why::Nothing)
    }

    /// For how long it runs.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When its time is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.allowed.and_then(|allowed| self.begun.checked_add(allowed))
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn checkpoint(&self) -> Option<String> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_checkpoint(&self, checkpoint: String) {
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
    }

    /// What is told of it where it ends because it was told to.
    pub(super) fn told(&self) -> Option<Error> {
        let (bound, detail) = match self.why() {
            Why::Nothing => return None,
            Why::Cancelled => (Bound::Cancelled, "the job was cancelled".to_owned()),
            Why::Stopping => {
                (Bound::Cancelled, "the workers stop; the job goes back to its queue".to_owned())
            }
            Why::Deadline => {
                let allowed = self.allowed.unwrap_or_default().as_secs_f64();
                (
                    Bound::Deadline,
                    format!(
                        "the attempt took longer than its deadline of {allowed} s; give the job a longer one, or less to do"
                    ),
                )
            }
        };
        Some(Error::OverBudget { bound, detail })
    }
}

/// What a job's function is given.
#[derive(Debug)]
pub struct Context {
    job: Claimed,
    payload: Value,
    pub(super) running: Arc<Running>,
    pub(super) shop: Arc<Shop>,
}

impl Context {
    pub(super) fn new(job: Claimed, running: Arc<Running>, shop: Arc<Shop>) -> Result<Self> {
        let payload = serde_json::from_str(&job.payload)
            .map_err(|e| Error::Corrupt(format!("the payload of job {} cannot be read: {e}", job.id)))?;
        Ok(Self { job, payload, running, shop })
    }

    /// The job.
    pub fn id(&self) -> i64 {
        self.job.id
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        &self.job.kind
    }

    /// The queue that it was in.
    pub fn queue(&self) -> &str {
        &self.job.queue
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> i64 {
        self.job.attempt
    }

    /// What it is about.
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// The same as a type of one's own.
    ///
    /// # Errors
    /// `Invalid` where it is none.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&self.payload)
            .map_err(|e| Error::invalid(format!("the payload of a job of the kind \"{}\": {e}", self.kind())))
    }

    /// The store of the engine that runs it.
    pub fn store(&self) -> &Arc<Store> {
        &self.shop.store
    }

    /// The kinds of jobs that there are.
    pub fn kinds(&self) -> &Kinds {
        &self.shop.kinds
    }

    /// Whether it shall go on; whoever works long asks between two steps.
    ///
    /// # Errors
    /// `OverBudget`: it was cancelled, its time is over, or the workers stop. Giving the error back ends the attempt.
    pub fn check(&self) -> Result<()> {
        if self.running.ends.load(Ordering::Relaxed) {
            self.running.told().map_or(Ok(()), Err)
        } else {
            Ok(())
        }
    }

    /// Becomes true when it shall not go on: for [`crate::Limits`], so that its questions end too.
    pub fn ends(&self) -> &Arc<AtomicBool> {
        &self.running.ends
    }

    /// Tells how far it is, in units of its own.
    pub fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        let elapsed_us = i64::try_from(self.running.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let message = &message[..message.floor_char_boundary(limits::JOB_ERROR_BYTES)];
        let progress = Progress::told(done, total, message, elapsed_us);
        *self.running.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}
