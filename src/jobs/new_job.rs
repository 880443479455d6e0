//! A job before it is stored: what was said of it, and what its kind says of the rest.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::jobs::kind::{Kinds, check_name};
use crate::limits;
use crate::store::queue::NewRow;

/// A job to submit.
///
/// ```
/// use windrow::NewJob;
///
/// let job = NewJob::new("greet").payload(serde_json::json!({"name": "Ada"})).priority(1).after(7);
/// assert_eq!(job.kind, "greet");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewJob {
    /// What does it.
    pub kind: String,
    /// What it is about; its kind may refuse it.
    pub payload: Value,
    /// Where it waits; `None`: in the queue of its kind.
    pub queue: Option<String>,
    /// 1 is first, 15 last; `None`: as its kind says.
    pub priority: Option<u8>,
    /// Not before then, µs since 1970 UTC.
    pub run_at_us: Option<i64>,
    /// For whom it is: limits of its queue may count by that.
    pub user: Option<String>,
    /// While an unfinished job of the kind has the same key, that one is meant.
    pub unique: Option<String>,
    /// Jobs that have to be done before; where one of them is dead or cancelled, so is this one.
    pub after: Vec<i64>,
    /// Failures after which it is dead; `None`: as its kind says.
    pub max_attempts: Option<u32>,
    /// How long an attempt may take; `None`: as its kind says.
    pub deadline: Option<Duration>,
}

impl NewJob {
    /// A job of a kind.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }

    /// The same with a payload.
    #[must_use]
    pub fn payload(self, payload: impl Into<Value>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// The same in a queue.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        Self { queue: Some(queue.into()), ..self }
    }

    /// The same with a priority, 1 (first) to 15.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        Self { priority: Some(priority), ..self }
    }

    /// The same, not before a time, µs since 1970 UTC.
    #[must_use]
    pub fn run_at(self, run_at_us: i64) -> Self {
        Self { run_at_us: Some(run_at_us), ..self }
    }

    /// The same for somebody, where limits of its queue count by that.
    #[must_use]
    pub fn user(self, user: impl Into<String>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// The same with a unique key.
    #[must_use]
    pub fn unique(self, key: impl Into<String>) -> Self {
        Self { unique: Some(key.into()), ..self }
    }

    /// The same, after another job is done; called again, after that one too.
    #[must_use]
    pub fn after(mut self, id: i64) -> Self {
        self.after.push(id);
        self
    }

    /// The same with so many attempts.
    #[must_use]
    pub fn max_attempts(self, attempts: u32) -> Self {
        Self { max_attempts: Some(attempts), ..self }
    }

    /// The same, each attempt of which may take so long.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// It as it is stored.
    ///
    /// # Errors
    /// `Invalid`, `TooLarge`: what it says cannot be, or its kind refuses its payload.
    pub(super) fn row(&self, kinds: &Kinds) -> Result<NewRow> {
        let kind = kinds.get(&self.kind)?;
        if let Some(check) = &kind.check {
            check(&self.payload)?;
        }
        let priority = self.priority.unwrap_or(kind.priority);
        if !(1..=15).contains(&priority) {
            return Err(Error::invalid(format!(
                "priority is {priority}; it goes from 1, which is first, to 15"
            )));
        }
        let max_attempts = self.max_attempts.unwrap_or(kind.max_attempts);
        if !(1..=limits::JOB_ATTEMPTS_MAX).contains(&max_attempts) {
            return Err(Error::invalid(format!(
                "max_attempts is {max_attempts}; it goes from 1 to {}",
                limits::JOB_ATTEMPTS_MAX
            )));
        }
        if let Some(queue) = &self.queue {
            check_name("queue", queue)?;
        }
        if self.after.len() > limits::JOB_AFTER {
            return Err(Error::invalid(format!(
                "a job comes after {} others at most, this one after {}",
                limits::JOB_AFTER,
                self.after.len()
            )));
        }
        for (what, text) in [("unique", &self.unique), ("user", &self.user)] {
            if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > limits::JOB_KEY_BYTES) {
                return Err(Error::invalid(format!("{what} has 1 to {} bytes", limits::JOB_KEY_BYTES)));
            }
        }
        Ok(NewRow {
            kind: kind.name.clone(),
            queue: self.queue.as_deref().map_or_else(|| kind.queue.clone(), Into::into),
            payload: json("the payload of a job", &self.payload)?,
            priority,
            run_at_us: self.run_at_us,
            user: self.user.clone(),
            unique: self.unique.clone(),
            after: self.after.clone(),
            max_attempts,
            deadline_ms: Some(milliseconds(self.deadline.unwrap_or(kind.deadline))),
            keep_us: microseconds(kind.keep),
            keep_dead_us: microseconds(kind.keep_dead),
        })
    }
}

/// A value as it is stored.
pub(super) fn json(what: &str, value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|e| Error::invalid(format!("{what} cannot be written as JSON: {e}")))?;
    if text.len() > limits::JOB_BYTES {
        return Err(Error::TooLarge(format!(
            "{what} has {} bytes of JSON, and {} at most; keep large things in a dataset and name them",
            text.len(),
            limits::JOB_BYTES
        )));
    }
    Ok(text)
}

fn milliseconds(long: Duration) -> i64 {
    i64::try_from(long.as_millis()).unwrap_or(i64::MAX)
}

fn microseconds(long: Duration) -> i64 {
    i64::try_from(long.as_micros()).unwrap_or(i64::MAX)
}
