//! Where decoded batches go: to the writer, batch by batch, or gathered into segments by an import.

use crate::error::Result;
use crate::ingest::rules::Rules;
use crate::store::Store;
use crate::store::writer::{Appended, Batch};

/// Takes batches of one dataset.
pub trait Destination: Sync {
    /// What the next batch is to be decoded under.
    fn rules(&self) -> Rules;

    /// Takes a batch, unless the rules have changed since it was decoded.
    ///
    /// # Errors
    /// Those of the store.
    fn append(&self, batch: Batch) -> Result<Appended>;
}

/// The writer; a full queue is an error that the client is told.
#[derive(Debug)]
pub struct Requests<'s> {
    /// The store.
    pub store: &'s Store,
    /// The dataset.
    pub dataset: &'s str,
}

impl Destination for Requests<'_> {
    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), self.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Appended> {
        self.store.append(batch)
    }
}

/// The writer, waited for: for those who have nobody to refuse.
#[derive(Debug)]
pub struct Patient<'s> {
    /// The store.
    pub store: &'s Store,
    /// The dataset.
    pub dataset: &'s str,
}

impl Destination for Patient<'_> {
    fn rules(&self) -> Rules {
        Rules::of(&self.store.snapshot(), self.dataset)
    }

    fn append(&self, batch: Batch) -> Result<Appended> {
        self.store.append_patiently(batch)
    }
}
