//! Where decoded batches go: to the writer, batch by batch, gathered into segments by an import, or as records into their
//! table.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::error::{Error, ItemError, Result};
use crate::fields::check_dataset_name;
use crate::ingest::rules::Rules;
use crate::query::reach::Reach;
use crate::records::put::{self, PutOptions};
use crate::store::Store;
use crate::store::keyed::write::Put;
use crate::store::writer::{Appended, Batch};

/// Takes batches of one dataset.
pub trait Destination: Sync {
    /// What the one who writes may touch.
    fn reach(&self) -> &Reach;
    /// Whether events may be added to a dataset of this name.
    ///
    /// # Errors
    /// A name that is none, or one of the engine's own.
    fn check_name(&self, name: &str) -> Result<()> {
        check_dataset_name(name)
    }

    /// What the next batch is to be decoded under.
    fn rules(&self) -> Rules;

    /// Takes a batch; `None` where the rules have changed since it was decoded.
    ///
    /// # Errors
    /// Those of the store.
    fn append(&self, batch: Batch) -> Result<Option<Taken>>;
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Taken {
    /// Rows that were there already.
    pub duplicates: u64,
    /// Rows that were refused.
    pub rejected: Vec<ItemError>,
}

impl From<Appended> for Option<Taken> {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::Committed { duplicates, .. } => Some(Taken { duplicates, rejected: Vec::new() }),
            Appended::Stale => None,
        }
    }
}

/// The writer; a full queue is an error that the client is told.
#[derive(Debug)]
pub struct Requests<'s> {
    /// The store.
    pub store: &'s Store,
    /// The dataset.
    pub dataset: &'s str,
    /// What the one who writes may touch.
    pub reach: Arc<Reach>,
}

impl Destination for Requests<'_> {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), self.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        refuse_records(self.store, self.dataset)?;
        self.store.append(batch).map(Into::into)
    }
}

/// The writer, waited for: for those who have nobody to refuse.
#[derive(Debug)]
pub struct Patient<'s> {
    /// The store.
    pub store: &'s Store,
    /// The dataset.
    pub dataset: &'s str,
    /// What the one who writes may touch.
    pub reach: Arc<Reach>,
}

impl Destination for Patient<'_> {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), self.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        refuse_records(self.store, self.dataset)?;
        self.store.append_patiently(batch).map(Into::into)
    }
}

/// The engine itself may touch what it writes.
static EVERYTHING: LazyLock<Reach> = LazyLock::new(Reach::everything);

/// The writer, for a dataset of the engine's own, which begins with `_`.
#[derive(Debug)]
pub struct Own<'s> {
    /// The store.
    pub store: &'s Store,
    /// The dataset.
    pub dataset: &'s str,
}

impl Destination for Own<'_> {
    fn reach(&self) -> &Reach {
        &EVERYTHING
    }

    fn check_name(&self, name: &str) -> Result<()> {
        check_dataset_name(name.trim_start_matches('_'))
    }

    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), self.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        self.store.append(batch).map(Into::into)
    }
}

/// Events are not for a dataset of records.
fn refuse_records(store: &Store, dataset: &str) -> Result<()> {
    match store.snapshot().datasets.get(dataset) {
        Some(found) if found.keyed.is_some() => Err(Error::Conflict(format!(
            "the dataset \"{dataset}\" holds records: put them by PUT /v1/datasets/{dataset}/records, or append events to a \
             dataset of another name"
        ))),
        _ => Ok(()),
    }
}

/// The table of a dataset of records.
#[derive(Debug)]
pub struct Table<'s> {
    store: &'s Store,
    dataset: &'s str,
    reach: Arc<Reach>,
    options: PutOptions,
    put: Mutex<Put>,
}

impl<'s> Table<'s> {
    /// That of a dataset.
    pub fn new(store: &'s Store, dataset: &'s str, reach: Arc<Reach>, options: PutOptions) -> Self {
        Self { store, dataset, reach, options, put: Mutex::default() }
    }

    /// What became of all batches so far, but for the messages of what was refused.
    pub fn done(&self) -> Put {
        self.put.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Destination for Table<'_> {
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn rules(&self) -> Rules {
        let rules = Rules::of(&self.store.snapshot(), self.dataset);
        // what is required is asked of what comes of the parts
        if self.options.merges { rules.partial() } else { rules }
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        let Some(mut done) = put::put(self.store, &self.reach, batch, self.options)? else { return Ok(None) };
        let taken = Taken { duplicates: done.unchanged, rejected: std::mem::take(&mut done.rejected) };
        put::add(&mut self.put.lock().unwrap_or_else(PoisonError::into_inner), done);
        Ok(Some(taken))
    }
}
