//! One attempt: the function of the job's kind is called, a panic in it is its failure, and what came of it is committed with the
//! state of the job. The dispatcher is told when the function has returned, and again when the commit has.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use serde_json::Value;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::jobs::context::{Context, Running, Why};
use crate::jobs::dispatch::Event;
use crate::jobs::effects::Shared;
use crate::jobs::kind::{Again, Failure, Kinds, Outcome};
use crate::jobs::new_job::json;
use crate::limits;
use crate::store::Store;
use crate::store::queue::{Act, Claimed, Verdict};

/// What dispatcher and workers share.
#[derive(Debug)]
pub(super) struct Shop {
    pub store: Arc<Store>,
    pub kinds: Kinds,
    pub clock: Clock,
}

/// An attempt on its way through a worker and the writer.
#[derive(Debug)]
pub(super) struct Attempt {
    pub job: Claimed,
    pub running: Arc<Running>,
    /// When to try again where it fails, µs after that.
    pub backoff_us: i64,
    /// Times it was run again because what it read had changed.
    pub conflicts: u32,
    /// Times its effects were decoded anew.
    pub stale: usize,
}

/// How an attempt ends.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub verdict: Verdict,
    pub effects: Option<Shared>,
}

impl Ending {
    pub fn of(verdict: Verdict) -> Self {
        Self { verdict, effects: None }
    }
}

impl Attempt {
    /// How it ends where it fails.
    pub fn failed(&self, error: &Error, is_final: bool, now_us: i64) -> Ending {
        self.failed_until(error, if is_final { Again::Never } else { Again::AsUsual }, now_us)
    }

    fn failed_until(&self, error: &Error, again: Again, now_us: i64) -> Ending {
        let least_us = match again {
            Again::AsUsual | Again::Never => 0,
            Again::After(wait) => i64::try_from(wait.as_micros()).unwrap_or(i64::MAX),
        };
        let wait_us = self.backoff_us.max(least_us.min(limits::JOB_BACKOFF_MAX_US));
        let (error, is_final) = (error.to_string(), again == Again::Never);
        Ending::of(Verdict::Failed { error, retry_at_us: now_us.saturating_add(wait_us), is_final })
    }
}

/// Runs what comes, until nobody sends any more.
pub(super) fn work(shop: &Arc<Shop>, tasks: impl Iterator<Item = Attempt>, events: &Sender<Event>) {
    for attempt in tasks {
        let begun = Instant::now();
        let ending = run(shop, &attempt);
        let elapsed: Duration = begun.elapsed();
        let _ = events.send(Event::Returned(attempt.job.id, attempt.job.attempt, elapsed));
        settle(shop, attempt, ending, events);
    }
}

/// Calls the function of the kind.
fn run(shop: &Arc<Shop>, attempt: &Attempt) -> Ending {
    let now_us = || shop.clock.now_us();
    let kind = match shop.kinds.get(&attempt.job.kind) {
        Ok(kind) => kind,
        Err(e) => return attempt.failed(&e, true, now_us()),
    };
    let context = match Context::new(attempt.job.clone(), Arc::clone(&attempt.running), Arc::clone(shop)) {
        Ok(context) => context,
        Err(e) => return attempt.failed(&e, true, now_us()),
    };
    let done = catch_unwind(AssertUnwindSafe(|| (kind.function)(&context)))
        .unwrap_or_else(|panic| Err(Error::Conflict(format!("it panicked: {}", words(&*panic)))));
    ending(attempt, done.unwrap_or_else(Outcome::failed), now_us())
}

fn ending(attempt: &Attempt, outcome: Outcome, now_us: i64) -> Ending {
    let effects = (!outcome.effects.is_empty()).then(|| Arc::new(outcome.effects));
    let (failure, effects) = match (outcome.failure, stored(&outcome.result)) {
        (Some(failure), _) => (failure, effects),
        (None, Ok(result)) => return Ending { verdict: Verdict::Done(result), effects },
        (None, Err(error)) => (Failure { error, again: Again::AsUsual }, None),
    };
    let error = match attempt.running.why() {
        Why::Stopping => return Ending::of(Verdict::Stopped),
        // what a function makes of being told to end is no better than why it was told
        Why::Deadline => attempt.running.told().unwrap_or(failure.error),
        Why::Nothing | Why::Cancelled => failure.error,
    };
    Ending { effects, ..attempt.failed_until(&error, failure.again, now_us) }
}

fn stored(result: &Value) -> Result<Option<String>> {
    if result.is_null() { Ok(None) } else { json("the result of a job", result).map(Some) }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// Has an ending committed; the dispatcher is told what became of it.
pub(super) fn settle(shop: &Arc<Shop>, attempt: Attempt, ending: Ending, events: &Sender<Event>) {
    let now_us = shop.clock.now_us();
    let decoded = match &ending.effects {
        None => Ok(Act { now_us, ..Act::default() }),
        Some(effects) => effects.act(&shop.store, &shop.kinds, now_us),
    };
    let (ending, act) = match decoded {
        Ok(act) => (ending, act),
        Err(e) => (attempt.failed(&e, false, now_us), Act { now_us, ..Act::default() }),
    };
    let act = Act { of: Some((attempt.job.id, attempt.job.attempt, ending.verdict.clone())), ..act };
    let events = events.clone();
    shop.store.act_later(act, move |told| {
        // nobody listens any more where the workers were given up
        let _ = events.send(Event::Settled(Box::new((attempt, ending, told))));
    });
}
