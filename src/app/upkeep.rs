//! The engine's own work as jobs: what keeps the file in shape is done where other jobs are done, and seen there with its failures.
//!
//! The store knows what is due (`store/task`), and asks for a job of it here; where none begins soon it does the work itself, so a
//! pool that is busy, a full disk or a queue that is full holds nothing up. What is asked for by people (`optimize`,
//! `checkpoint`, `erase`) is in a queue of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::app::Engine;
use crate::error::{Error, Result};
use crate::fields::{check_dataset_name, check_is_no_own};
use crate::jobs::{Context, Kind, NewJob, Outcome};
use crate::query::erase::erase;
use crate::query::parse;
use crate::query::reach::Reach;
use crate::store::queue::QueueSettings;
use crate::store::task::Task;

/// The queue of what the store asks for.
const UPKEEP: &str = "upkeep";
/// That of what people ask for.
pub(super) const MAINTENANCE: &str = "maintenance";
/// How long what the store asked for is kept: there is much of it while much is written.
const KEEP: Duration = Duration::from_secs(600);
/// And what of it failed.
const KEEP_DEAD: Duration = Duration::from_secs(24 * 3_600);
/// How long an attempt may take: large files are slow on small machines.
pub(super) const DEADLINE: Duration = Duration::from_secs(24 * 3_600);

/// All of them.
pub(super) fn kinds() -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Task::ALL.map(of_task).into();
    let optimize = Kind::new("optimize", |context| {
        context.store().upkeep().optimize_while(&|| !context.ends().load(Ordering::Relaxed))?;
        context.check()?;
        Ok(Outcome::result(Value::Null))
    });
    let checkpoint = Kind::new("checkpoint", |context| {
        context.store().checkpoint()?;
        Ok(Outcome::result(Value::Null))
    });
    // what is erased is gone however often it is done
    let erase = Kind::new("erase", |context| {
        let Erase { dataset, condition } = Erase::of(context.payload())?;
        let erased = erase(context.store(), &Reach::everything(), &dataset, &condition)?;
        Ok(Outcome::result(json!({ "erased": erased })))
    });
    let kinds_of_people = [
        optimize.with_check(|payload| no_payload("optimize", payload)),
        checkpoint.with_check(|payload| no_payload("checkpoint", payload)),
        erase.with_check(|payload| Erase::of(payload).map(drop)),
    ];
    kinds.extend(kinds_of_people.map(|kind| Kind { queue: MAINTENANCE.into(), deadline: DEADLINE, ..kind }));
    kinds
}

/// What the store asks for: one attempt, since it asks again for what is not done.
fn of_task(task: Task) -> Kind {
    let function = move |context: &Context| {
        let Dataset { dataset } = Dataset::of(task, context.payload())?;
        context.store().snapshot().whole_dataset(&dataset)?;
        let goes_on = || !context.ends().load(Ordering::Relaxed);
        let count = context.store().upkeep().carry_out(task, &dataset, &goes_on)?;
        context.check()?;
        let what = if task == Task::Merge { "segments" } else { "events" };
        Ok(Outcome::result(json!({ what: count })))
    };
    let kind =
        Kind::new(task.name(), function).with_check(move |payload| Dataset::of(task, payload).map(drop));
    Kind {
        queue: UPKEEP.into(),
        priority: 1,
        max_attempts: 1,
        deadline: DEADLINE,
        keep: KEEP,
        keep_dead: KEEP_DEAD,
        // one at a time, on a thread of its own: it shall wait for nobody's jobs
        waits: true,
        ..kind
    }
}

/// Refuses a payload where there is none to give.
pub(super) fn no_payload(kind: &str, payload: &Value) -> Result<()> {
    match payload {
        Value::Null => Ok(()),
        Value::Object(fields) if fields.is_empty() => Ok(()),
        other => Err(Error::invalid(format!("a job of the kind {kind} has no payload, and {other} is one"))),
    }
}

/// Reads the payload of a kind.
fn payload<T: DeserializeOwned>(kind: &str, payload: &Value, example: &str) -> Result<T> {
    T::deserialize(payload)
        .map_err(|e| Error::invalid(format!("the payload of a job of the kind {kind}: {e}; it is {example}")))
}

/// The payload of a job for one dataset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dataset {
    dataset: String,
}

impl Dataset {
    /// Those of the engine itself are kept in shape too.
    fn of(task: Task, value: &Value) -> Result<Self> {
        let found: Self = payload(task.name(), value, r#"{"dataset": "visits"}"#)?;
        check_dataset_name(found.dataset.trim_start_matches('_'))?;
        Ok(found)
    }
}

/// The payload of a job that erases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    dataset: String,
    #[serde(rename = "where")]
    condition: String,
}

impl Erase {
    fn of(value: &Value) -> Result<Self> {
        let found: Self = payload("erase", value, r#"{"dataset": "visits", "where": "ms > 1000"}"#)?;
        check_is_no_own(&found.dataset)?;
        parse::expression(&found.condition)?;
        Ok(found)
    }
}

impl Engine {
    /// From now on what keeps the file in shape is done by jobs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn hand_upkeep_over(&self) -> Result<()> {
        // they take turns anyway, and one that waits for another would keep a worker from the jobs of others
        if self
            .jobs
            .queues()
            .by_name
            .get(UPKEEP)
            .is_none_or(|queue| queue.settings == QueueSettings::default())
        {
            self.jobs
                .configure(UPKEEP, QueueSettings { concurrency: Some(1), ..QueueSettings::default() })?;
        }
        // the store would keep itself alive
        let jobs = Arc::downgrade(&self.jobs);
        let taker = move |task: Task, dataset: &str| {
            let Some(jobs) = jobs.upgrade() else { return false };
            let job = NewJob::new(task.name()).payload(json!({ "dataset": dataset })).unique(dataset);
            let submitted = jobs.submit(job);
            if let Err(e) = &submitted {
                tracing::debug!("the upkeep does a {} of {dataset:?} itself: {e}", task.name());
            }
            submitted.is_ok()
        };
        self.store.upkeep().hand_over_to(Some(Arc::new(taker)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::jobs::tests::until_done;
    use crate::jobs::JobOptions;
    use crate::store::StoreOptions;

    fn engine(folder: &tempfile::TempDir) -> Engine {
        let options = StoreOptions { seal_rows: 10, ..StoreOptions::default() };
        Engine::open_with(folder.path().join("a.db"), options).unwrap()
    }

    fn rows(n: usize) -> String {
        (0..n).map(|at| format!("{{\"n\":{at}}}\n")).collect()
    }

    #[test]
    fn a_full_tail_is_sealed_by_a_job_that_can_be_looked_up() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder).with_jobs(kinds(), JobOptions::default()).unwrap();
        engine.hand_upkeep_over().unwrap();
        engine.ingest("visits", rows(25)).unwrap();
        let job = loop {
            let jobs = engine.jobs().list(&Default::default()).unwrap().jobs;
            if let Some(job) = jobs.into_iter().find(|job| job.kind == "seal" && job.state.is_finished()) {
                break job;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        assert_eq!(
            (job.queue.as_str(), job.priority, job.result),
            (UPKEEP, 1, Some("{\"events\":25}".into()))
        );
        assert!(engine.store.snapshot().whole_dataset("visits").unwrap().tail.is_empty());
        assert_eq!(engine.jobs().queues().by_name[UPKEEP].settings.concurrency, Some(1));
        engine.close();
    }

    #[test]
    fn what_no_job_begins_is_done_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // nobody runs jobs here: they wait
        let engine = engine(&folder);
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        engine.store.upkeep().hand_over_to(Some(Arc::new(move |task, dataset| {
            notes.lock().unwrap().push((task, dataset.to_owned()));
            true
        })));
        engine.ingest("visits", rows(12)).unwrap();
        while engine.store.snapshot().whole_dataset("visits").unwrap().segments.is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(*asked.lock().unwrap(), [(Task::Seal, "visits".to_owned())]);
        engine.close();
    }

    #[test]
    fn what_is_asked_for_by_name_is_done_though_it_is_not_due() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder).with_jobs(kinds(), JobOptions::default()).unwrap();
        engine.ingest("visits", rows(3)).unwrap();
        let of = |task: &str, dataset: &str| NewJob::new(task).payload(json!({ "dataset": dataset }));
        let sealed = until_done(&engine, of("seal", "visits"));
        assert_eq!(sealed.result, Some("{\"events\":3}".into()));
        assert_eq!(until_done(&engine, of("merge", "visits")).result, Some("{\"segments\":0}".into()));
        assert_eq!(until_done(&engine, of("expire", "visits")).result, Some("{\"events\":0}".into()));
        assert!(until_done(&engine, NewJob::new("checkpoint")).error.is_none());
        let lost = until_done(&engine, of("seal", "vists"));
        assert!(lost.error.unwrap().contains("vists"));
        engine.close();
    }

    #[test]
    fn payloads_that_are_none_are_refused_with_an_example() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(&folder).with_jobs(kinds(), JobOptions::default()).unwrap();
        let refused = |kind: &str, payload: Value| {
            engine.jobs().submit(NewJob::new(kind).payload(payload)).unwrap_err().to_string()
        };
        for payload in [json!(null), json!({}), json!({"dataset": 1}), json!({"dataset": "a", "x": 1})] {
            assert!(refused("seal", payload).contains(r#"{"dataset": "visits"}"#));
        }
        assert!(refused("seal", json!({"dataset": "No Name"})).contains("No Name"));
        assert!(refused("checkpoint", json!({"a": 1})).contains("no payload"));
        assert!(refused("erase", json!({"dataset": "_audit", "where": "true"})).contains("_audit"));
        engine.close();
    }
}
