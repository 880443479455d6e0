//! The kinds of jobs that a program knows: a table of a name, what it does, what its payload has to be, and what holds where a
//! job says nothing. Whoever starts the workers fills it; a job of any other kind is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result, nearest_or_first};
use crate::jobs::context::Context;
use crate::jobs::effects::Effects;
use crate::limits;

/// What an attempt came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is kept of it for who asks.
    pub result: Value,
    /// What is written with it, all or nothing, once.
    pub effects: Effects,
    /// Why it failed, where it did: the result is of no account then, and the effects are written with the failure.
    pub failure: Option<Failure>,
}

/// Why an attempt failed, and what of the next one.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// When to try again.
    pub again: Again,
}

/// When to try again what has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After the wait that its kind says, while it has attempts left.
    AsUsual,
    /// The same, after so long at least, an hour at most.
    After(Duration),
    /// Another attempt is of no use: the job is dead at once.
    Never,
}

impl Outcome {
    /// One that writes nothing.
    pub fn result(result: impl Into<Value>) -> Self {
        Self { result: result.into(), ..Self::default() }
    }

    /// One that failed, and is tried again as usual.
    pub fn failed(error: Error) -> Self {
        Self { failure: Some(Failure { error, again: Again::AsUsual }), ..Self::default() }
    }
}

impl From<Effects> for Outcome {
    fn from(effects: Effects) -> Self {
        Self { effects, ..Self::default() }
    }
}

/// What does a job.
pub type Function = dyn Fn(&Context) -> Result<Outcome> + Send + Sync;
/// Refuses payloads that are none.
pub type Check = dyn Fn(&Value) -> Result<()> + Send + Sync;

/// One kind of job.
#[derive(Clone)]
pub struct Kind {
    /// Its name.
    pub name: Arc<str>,
    /// The queue of its jobs, unless they name one.
    pub queue: Arc<str>,
    /// Their priority, 1 (first) to 15.
    pub priority: u8,
    /// Failures after which one is dead.
    pub max_attempts: u32,
    /// How long an attempt may take.
    pub deadline: Duration,
    /// The wait after the first failure; it doubles with each.
    pub backoff: Duration,
    /// How long a job is kept that is done or cancelled.
    pub keep: Duration,
    /// How long a dead one is kept.
    pub keep_dead: Duration,
    /// Whether its function waits for something outside of the process and computes next to nothing: its jobs run on threads of
    /// their own, `JobOptions::waiting` at once, and take none from those that compute.
    pub waits: bool,
    /// What does it.
    pub function: Arc<Function>,
    /// What its payload has to be; `None`: anything.
    pub check: Option<Arc<Check>>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("name", &self.name).field("queue", &self.queue).finish_non_exhaustive()
    }
}

const fn micros(us: i64) -> Duration {
    Duration::from_micros(us.unsigned_abs())
}

impl Kind {
    /// A kind of this name, with the usual defaults; its fields say otherwise. The function may be called several times for one
    /// job; only what the last call gives back is written.
    pub fn new(name: &str, function: impl Fn(&Context) -> Result<Outcome> + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            queue: "default".into(),
            priority: 8,
            max_attempts: limits::JOB_ATTEMPTS,
            deadline: limits::JOB_DEADLINE,
            backoff: micros(limits::JOB_BACKOFF_US),
            keep: micros(limits::JOB_KEEP_US),
            keep_dead: micros(limits::JOB_KEEP_DEAD_US),
            waits: false,
            function: Arc::new(function),
            check: None,
        }
    }

    /// The same, which refuses payloads that a check refuses before they are stored.
    #[must_use]
    pub fn with_check(self, check: impl Fn(&Value) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { check: Some(Arc::new(check)), ..self }
    }
}

/// All kinds by name.
#[derive(Debug, Clone, Default)]
pub struct Kinds(BTreeMap<Arc<str>, Kind>);

impl Kinds {
    /// A table of some kinds.
    ///
    /// # Errors
    /// Two of one name, and names that are none.
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Result<Self> {
        let mut all = BTreeMap::new();
        for kind in kinds {
            check_name("kind of job", &kind.name)?;
            check_name("queue", &kind.queue)?;
            let name = Arc::clone(&kind.name);
            if all.insert(Arc::clone(&name), kind).is_some() {
                return Err(Error::invalid(format!("two kinds of jobs are called \"{name}\"")));
            }
        }
        Ok(Self(all))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.values()
    }

    /// Whether jobs of a kind wait more than they compute; those of a kind that there is not end at once.
    pub(super) fn waits(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|kind| kind.waits)
    }

    /// The kind of a name.
    ///
    /// # Errors
    /// `Invalid` with the names that there are.
    pub fn get(&self, name: &str) -> Result<&Kind> {
        self.0.get(name).ok_or_else(|| {
            let hint = nearest_or_first(name, self.0.keys().map(|known| &**known));
            Error::invalid(format!("this program has no kind of job \"{name}\"{hint}"))
        })
    }
}

/// Names of kinds and queues are those of the contract's datasets, with dots and dashes.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let is_right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
    if begins && name.len() <= limits::QUEUE_NAME_BYTES && name.bytes().all(is_right) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "\"{name}\" is no name of a {what}: write {} letters at most of a-z, 0-9, _, . and -, a letter or _ first",
        limits::QUEUE_NAME_BYTES
    )))
}
