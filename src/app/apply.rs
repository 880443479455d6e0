//! The kind of job `apply`: something is done to every record that matches, batch by batch. What is done of a batch, and the place where it
//! ends, are one transaction, so whatever interrupts it, each record is met once, and it goes on behind the last finished batch.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::app::upkeep::{DEADLINE, MAINTENANCE};
use crate::error::{Error, Result};
use crate::fields::check_is_no_own;
use crate::http::api::jobs::JobRequest;
use crate::http::api::records::sets;
use crate::ingest::rules::Rules;
use crate::jobs::{Context, Effects, Kind, NewJob, Outcome, Step};
use crate::limits;
use crate::query::budget::Limits;
use crate::query::format::row_json;
use crate::query::parse;
use crate::records::walk::{Batch, Walk};
use crate::time;

/// What a payload is like.
const SHAPE: &str = "{\"dataset\": \"threats\", \"where\": \"severity > 3\", \"set\": {\"status\": \"archived\"}}, with \"delete\": true \
                     or \"job\": {\"kind\": \"…\"} in place of set";
/// The field of a payload that gets the record.
const RECORD: &str = "record";
/// How long it waits until a full queue is asked again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Jobs of this kind go through the records of a dataset.
pub fn kind() -> Kind {
    let kind = Kind::new("apply", run).with_check(|payload| Apply::of(payload).map(drop));
    Kind { queue: MAINTENANCE.into(), deadline: DEADLINE, ..kind }
}

/// The payload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    dataset: String,
    #[serde(rename = "where")]
    condition: String,
    #[serde(default)]
    set: Option<Map<String, Value>>,
    #[serde(default)]
    delete: Option<bool>,
    #[serde(default)]
    job: Option<JobRequest>,
    /// The field of the payload of each job that gets the record.
    #[serde(default)]
    record_as: Option<String>,
    #[serde(default)]
    batch_size: Option<usize>,
}

/// How far it is: what is stored after each batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    /// The dataset.
    dataset_id: i64,
    /// `_seq` of the last record that was met.
    after: i64,
    /// That of the last one that is to be met.
    last: i64,
    /// Records that matched at the beginning.
    total: u64,
    matched: u64,
    changed: u64,
}

impl Apply {
    fn of(payload: &Value) -> Result<Self> {
        let found = Self::deserialize(payload).map_err(|e| wrong(&format!("{e}; it is {SHAPE}")))?;
        check_is_no_own(&found.dataset)?;
        if found.condition.trim().is_empty() {
            return Err(wrong("where is empty; \"true\" means every record"));
        }
        parse::expression(&found.condition)?;
        let ways = [found.set.is_some(), found.delete.is_some(), found.job.is_some()];
        if ways.iter().filter(|is_there| **is_there).count() != 1 {
            return Err(wrong(&format!("exactly one of set, delete and job is needed; it is {SHAPE}")));
        }
        if found.delete == Some(false) {
            return Err(wrong("delete is true, or is left out"));
        }
        if let Some(set) = &found.set {
            if set.is_empty() {
                return Err(wrong("set has no fields; it is an object such as {\"status\": \"archived\"}"));
            }
            if let Some(name) = set.keys().find(|name| name.starts_with('_')) {
                return Err(wrong(&format!("\"{name}\" is the engine's own and cannot be set")));
            }
        }
        let size = found.batch_size.unwrap_or(limits::APPLY_BATCH);
        if !(1..=limits::APPLY_BATCH_MAX).contains(&size) {
            return Err(wrong(&format!(
                "batch_size is {size}; it goes from 1 to {}",
                limits::APPLY_BATCH_MAX
            )));
        }
        found.check_job()?;
        Ok(found)
    }

    fn check_job(&self) -> Result<()> {
        let Some(job) = &self.job else {
            return match self.record_as {
                None => Ok(()),
                Some(_) => Err(wrong("record_as says where a job gets its record, and there is no job")),
            };
        };
        if job.unique.is_some() {
            return Err(wrong("all jobs would have the one unique key of job; leave it out"));
        }
        let field = self.record_as.as_deref().unwrap_or(RECORD);
        match &job.payload {
            Value::Null => {}
            Value::Object(fields) if !fields.contains_key(field) => {}
            Value::Object(_) => {
                return Err(wrong(&format!(
                    "the payload of job has a field \"{field}\", which the record would take the place of; name another one \
                     by record_as"
                )));
            }
            _ => return Err(wrong("the payload of job is an object, to which the record is added")),
        }
        job.clone().job(time::now()).map(drop)
    }

    /// A job for each record of a batch.
    fn jobs(&self, request: &JobRequest, batch: &Batch) -> Result<Vec<NewJob>> {
        let template = request.clone().job(time::now())?;
        let field = self.record_as.as_deref().unwrap_or(RECORD);
        let of_record = |record: Vec<(Arc<str>, crate::value::Value)>| {
            let record: Value = serde_json::from_slice(&row_json(&record))
                .map_err(|e| Error::Internal(format!("a record is not written as JSON: {e}")))?;
            let mut payload = match &template.payload {
                Value::Object(fields) => fields.clone(),
                _ => Map::new(),
            };
            payload.insert(field.to_owned(), record);
            Ok(NewJob { payload: payload.into(), ..template.clone() })
        };
        batch.records().into_iter().map(of_record).collect()
    }

    /// Commits a batch with the place behind it.
    fn commit(&self, context: &Context, batch: &Batch, at: &Place) -> Result<(Step, Place)> {
        let matched = batch.len() as u64;
        let after = batch.last().unwrap_or(at.last);
        let (effects, changed, records, deletes);
        if let Some(set) = &self.set {
            let rules = Rules::of(&context.store().snapshot(), &self.dataset);
            let fields = sets(Value::Object(set.clone()).to_string().as_bytes(), rules)?;
            let put = batch.setting(context.store(), &fields)?;
            changed = put.records.len() as u64;
            (effects, deletes) = (Effects::default(), Vec::new());
            records = if changed == 0 { Vec::new() } else { vec![put] };
        } else if let Some(job) = &self.job {
            changed = matched;
            effects = self.jobs(job, batch)?.into_iter().fold(Effects::default(), Effects::job);
            (records, deletes) = (Vec::new(), Vec::new());
        } else {
            changed = matched;
            (effects, records, deletes) = (Effects::default(), Vec::new(), vec![batch.deleting()]);
        }
        let next =
            Place { after, matched: at.matched + matched, changed: at.changed + changed, ..at.clone() };
        let mut act = context.act_of(&effects)?;
        (act.records, act.deletes) = (records, deletes);
        let checkpoint = json!(next);
        Ok((context.commit_act(act, &checkpoint)?, next))
    }
}

fn wrong(what: &str) -> Error {
    Error::invalid(format!("the payload of a job of the kind apply: {what}"))
}

/// Where it goes on, or begins.
fn place(context: &Context, walk: &Walk<'_>) -> Result<Place> {
    if let Some(stored) = context.checkpoint()? {
        return serde_json::from_value(stored)
            .map_err(|e| Error::Corrupt(format!("the place of job {} cannot be read: {e}", context.id())));
    }
    let extent = walk.extent()?;
    Ok(Place {
        dataset_id: extent.dataset_id,
        after: i64::MIN,
        last: extent.last,
        total: extent.matching,
        matched: 0,
        changed: 0,
    })
}

fn run(context: &Context) -> Result<Outcome> {
    let apply = Apply::of(context.payload())?;
    if let Some(job) = &apply.job {
        let kind = context.kinds().get(&job.kind)?;
        if job.queue.as_deref().unwrap_or(&kind.queue) == context.queue() {
            return Err(Error::invalid(format!(
                "the jobs would wait in the queue \"{}\" that this one runs in, and may wait for it; name another one in job",
                context.queue()
            )));
        }
    }
    // its questions end when the job shall
    let cancelled = Arc::clone(context.ends());
    let bounds = &Limits { deadline: Duration::MAX, cancelled, ..Limits::default() };
    let (dataset, condition) = (apply.dataset.as_str(), apply.condition.as_str());
    let walk = Walk { store: context.store(), dataset, condition, limits: bounds };
    let mut at = place(context, &walk)?;
    let whole = apply.batch_size.unwrap_or(limits::APPLY_BATCH);
    let (mut size, mut conflicts) = (whole, 0);
    loop {
        context.check()?;
        context.progress(at.matched, Some(at.total.max(at.matched)), "records");
        let batch = walk.next(at.after, at.last, size)?;
        if batch.dataset_id() != at.dataset_id {
            return Err(Error::Conflict(format!(
                "the dataset \"{}\" was dropped and made anew since the job began",
                apply.dataset
            )));
        }
        if batch.is_empty() {
            return Ok(Outcome::result(json!({"matched": at.matched, "changed": at.changed})));
        }
        match apply.commit(context, &batch, &at) {
            Ok((Step::Done, next)) => (at, size, conflicts) = (next, whole, 0),
            // others have changed a record, or a declaration, since it was read
            Ok((Step::Outdated | Step::Stale, _)) if conflicts < limits::JOB_CONFLICTS => conflicts += 1,
            Ok(_) => {
                return Err(Error::Busy {
                    detail: format!("records of \"{}\" that match keep changing", apply.dataset),
                    retry_after_s: 1,
                });
            }
            // the queue of the jobs is full: smaller batches find room sooner
            Err(Error::Busy { .. }) if apply.job.is_some() && size > 1 => size = (size / 2).max(1),
            Err(Error::Busy { .. }) if apply.job.is_some() => std::thread::sleep(PATIENCE),
            Err(e) => return Err(e),
        }
    }
}
