//! What a query sees: every dataset as of one commit, immutable. The writer swaps the current snapshot for the next
//! one; a query keeps the one it began with, so nothing that happens later disturbs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::columnar::Block;
use crate::error::{Error, Result, nearest_or_first};
use crate::fields::{Declaration, FieldSet};
use crate::store::keyed::Keyed;
use crate::store::numbering::Numberings;
use crate::store::segment::Segment;
use crate::store::within::Within;

/// All datasets as of one commit.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By name.
    pub datasets: BTreeMap<Arc<str>, Arc<Dataset>>,
}

/// One dataset as of one commit.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its row in the table `dataset`.
    pub id: i64,
    /// Its name.
    pub name: Arc<str>,
    /// What was declared.
    pub declaration: Declaration,
    /// The field that `_time` is taken from; `None` while none was found.
    pub time_field: Option<Arc<str>>,
    /// Goes up with every change of `declaration` or `time_field`; a batch decoded under an older one is refused.
    pub rules_version: u64,
    /// Fields seen so far.
    pub fields: Arc<FieldSet>,
    /// The sequence number that the next event gets.
    pub next_seq: i64,
    /// Sealed events, in order of their first `_seq`.
    pub segments: Vec<Arc<Segment>>,
    /// Events that are not yet in segments, in order of `_seq`.
    pub tail: Vec<TailBlock>,
    /// When it was made, µs.
    pub created_us: i64,
    /// Another with every commit that adds to it or declares it anew; sealing, merging and erasing change its segments.
    pub version: i64,
    /// Numbers of values that hold across its parts; all snapshots share them.
    pub numberings: Arc<Numberings>,
    /// Its records, where it is one of records; it has no segments and no tail then.
    pub keyed: Option<Keyed>,
    /// Which of its rows are there for the one who asks; `None`: all. Never set in what the store publishes.
    pub within: Option<Arc<Within>>,
}

/// Some rows of the tail; row r has `_seq` = `first_seq` + r.
#[derive(Debug, Clone)]
pub struct TailBlock {
    /// `_seq` of the first row.
    pub first_seq: i64,
    /// The rows.
    pub block: Arc<Block>,
}

impl Snapshot {
    /// The dataset of a name, with all its rows. Whoever reads for someone asks `query::reach` for it instead.
    ///
    /// # Errors
    /// `NotFound` with the nearest names.
    pub fn whole_dataset(&self, name: &str) -> Result<&Arc<Dataset>> {
        self.datasets.get(name).ok_or_else(|| no_dataset(name, self.datasets.keys().map(|n| &**n)))
    }
}

/// That there is no dataset of a name, with the nearest of those that there are.
pub fn no_dataset<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Error {
    // whoever wants those of the engine itself knows their names
    let known = known.filter(|known| !known.starts_with('_'));
    Error::NotFound(format!("there is no dataset \"{name}\"{}", nearest_or_first(name, known)))
}

impl Dataset {
    /// A dataset of which nothing is known but its name.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            id: 0,
            name,
            declaration: Declaration::default(),
            time_field: None,
            rules_version: 0,
            fields: Arc::default(),
            next_seq: 1,
            segments: Vec::new(),
            tail: Vec::new(),
            created_us: 0,
            version: 0,
            numberings: Arc::default(),
            keyed: None,
            within: None,
        }
    }

    /// Its records.
    ///
    /// # Errors
    /// `Conflict` where it holds events.
    pub fn keyed(&self) -> Result<&Keyed> {
        self.keyed.as_ref().ok_or_else(|| {
            Error::Conflict(format!(
                "the dataset \"{}\" holds events, not records; a dataset of another name can be declared with \"kind\": \"records\" \
                 and a key",
                self.name
            ))
        })
    }

    /// Number of events, or of records: all of them, also where there is a [`Within`].
    pub fn rows(&self) -> u64 {
        if let Some(keyed) = &self.keyed {
            return keyed.count;
        }
        let sealed: usize = self.segments.iter().map(|segment| segment.rows()).sum();
        sealed as u64 + self.tail.iter().map(|t| t.block.rows() as u64).sum::<u64>()
    }

    /// Earliest and latest `_time`, µs; `None` without events. Of all of them, also where there is a [`Within`].
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let sealed = self.segments.iter().map(|segment| segment.times);
        let ranges = sealed.chain(self.tail.iter().map(|t| t.block.time_range()));
        ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Bytes in memory that its tail takes, roughly.
    pub fn tail_bytes(&self) -> usize {
        self.tail.iter().map(|t| t.block.bytes()).sum()
    }
}
