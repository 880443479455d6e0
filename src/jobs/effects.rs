//! What is written together, all of it or nothing: by a job with its end, or by whoever submits jobs. Rows are kept as they were
//! given and decoded when they are committed, so that they can be decoded anew where the rules of their dataset change.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::fields::check_dataset_name;
use crate::ingest::accept::{accept, decode_json};
use crate::ingest::destination::{Destination, Taken};
use crate::ingest::rules::Rules;
use crate::jobs::kind::Kinds;
use crate::jobs::new_job::NewJob;
use crate::query::reach::Reach;
use crate::records::put;
use crate::store::Store;
use crate::store::keyed::write::Mode;
use crate::store::queue::Act;
use crate::store::writer::Batch;

/// A job is of the engine's owner, and may touch what it writes.
static EVERYTHING: LazyLock<Reach> = LazyLock::new(Reach::everything);

/// What is written together.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    rows: Vec<Rows>,
    jobs: Vec<NewJob>,
}

#[derive(Debug, Clone)]
struct Rows {
    dataset: String,
    json: Vec<u8>,
    /// `None`: they are events.
    records: Option<Mode>,
}

impl Effects {
    /// Adds events: a JSON object, an array of them, or NDJSON. All of them have to be right.
    #[must_use]
    pub fn events(mut self, dataset: &str, json: impl Into<Vec<u8>>) -> Self {
        self.rows.push(Rows { dataset: dataset.to_owned(), json: json.into(), records: None });
        self
    }

    /// Puts records by their key. One with a `_version` is put if the record is of it still; where it is not, the job is run
    /// again, without that being a failure: this is how a value is read, changed and written back.
    #[must_use]
    pub fn records(self, dataset: &str, json: impl Into<Vec<u8>>) -> Self {
        self.records_by(dataset, json, Mode::Upsert)
    }

    /// As [`Effects::records`]; `mode` says what is done with a key that is there, or is not.
    #[must_use]
    pub fn records_by(mut self, dataset: &str, json: impl Into<Vec<u8>>, mode: Mode) -> Self {
        self.rows.push(Rows { dataset: dataset.to_owned(), json: json.into(), records: Some(mode) });
        self
    }

    /// Submits a job.
    #[must_use]
    pub fn job(mut self, job: NewJob) -> Self {
        self.jobs.push(job);
        self
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.jobs.is_empty()
    }

    /// Decodes everything under the rules of the moment.
    pub(super) fn act(&self, store: &Store, kinds: &Kinds, now_us: i64) -> Result<Act> {
        let mut act = Act { now_us, ..Act::default() };
        for rows in &self.rows {
            let held = Held { store, rows, batch: Mutex::default() };
            let accepted = accept(&held, |rules| decode_json(&rows.json, rules))?;
            if let Some(item) = accepted.rejected.first() {
                return Err(Error::invalid(format!(
                    "item {} for \"{}\" cannot be written: {}",
                    item.index, rows.dataset, item.message
                )));
            }
            let batch = held.batch.into_inner().unwrap_or_else(PoisonError::into_inner);
            match (batch, rows.records) {
                (None, _) => {}
                (Some(batch), None) => act.events.push(batch),
                (Some(batch), Some(mode)) => act.records.push(put::whole(store, batch, mode)?),
            }
        }
        act.jobs = self.jobs.iter().map(|job| job.row(kinds)).collect::<Result<_>>()?;
        Ok(act)
    }
}

/// Keeps a decoded batch for a transaction that is still to come.
struct Held<'h> {
    store: &'h Store,
    rows: &'h Rows,
    batch: Mutex<Option<Batch>>,
}

impl Destination for Held<'_> {
    fn reach(&self) -> &Reach {
        &EVERYTHING
    }

    /// Those of the engine itself too.
    fn check_name(&self, name: &str) -> Result<()> {
        check_dataset_name(name.trim_start_matches('_'))
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), &self.rows.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        let is_of_records = self.rules().declaration.is_records();
        if is_of_records != self.rows.records.is_some() {
            let has = if is_of_records { "records" } else { "events" };
            return Err(Error::Conflict(format!(
                "the dataset \"{}\" holds {has}; a job writes those to it, or to a dataset of another name",
                self.rows.dataset
            )));
        }
        *self.batch.lock().unwrap_or_else(PoisonError::into_inner) = Some(batch);
        Ok(Some(Taken::default()))
    }
}

impl std::fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("dataset", &self.rows.dataset).finish_non_exhaustive()
    }
}

/// What is written, shared by the attempts to write it.
pub(super) type Shared = Arc<Effects>;
