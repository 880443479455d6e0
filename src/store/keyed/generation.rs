//! Columns that were made of a dataset's records, kept from question to question until the records change. Columns that
//! were read by different statements may stand beside each other only if they are of one commit; the generation tells.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::columnar::column::Column;
use crate::limits;

/// A column of all records in order of `_seq`, in blocks of as many rows.
pub type Blocks = Arc<[Arc<Column>]>;

/// The columns that are kept of a dataset.
#[derive(Debug, Default)]
pub struct KeptColumns {
    /// Of the commit that is the newest or under way: the writer moves it before it commits.
    generation: AtomicU64,
    kept: Mutex<Kept>,
    /// The generation, and one, that was last asked what an index answers alone.
    asked: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    generation: u64,
    bytes: usize,
    columns: HashMap<Arc<str>, Blocks>,
}

impl KeptColumns {
    /// A change of the records is about to be committed.
    pub fn begin(&self, generation: u64) {
        self.generation.store(generation, Ordering::SeqCst);
    }

    /// Whether what was read until now is of this commit.
    pub fn is_at(&self, generation: u64) -> bool {
        self.generation.load(Ordering::SeqCst) == generation
    }

    /// Whether what an index answers alone was asked of this commit before: then columns are worth making.
    pub fn is_asked_again(&self, generation: u64) -> bool {
        self.asked.swap(generation + 1, Ordering::Relaxed) == generation + 1
    }

    /// The columns of a commit that are kept.
    pub fn of(&self, generation: u64, names: &[Arc<str>]) -> HashMap<Arc<str>, Blocks> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generation != generation {
            return HashMap::new();
        }
        names
            .iter()
            .filter_map(|name| Some((Arc::clone(name), Arc::clone(kept.columns.get(name)?))))
            .collect()
    }

    /// Keeps columns that were read, if nothing was committed meanwhile and there is room; those of another commit go.
    pub fn keep(&self, generation: u64, columns: &HashMap<Arc<str>, Blocks>) {
        if !self.is_at(generation) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generation != generation {
            *kept = Kept { generation, ..Kept::default() };
        }
        for (name, blocks) in columns {
            let bytes: usize = blocks.iter().map(|column| column.bytes()).sum();
            if !kept.columns.contains_key(name) && kept.bytes + bytes <= limits::KEPT_COLUMNS_BYTES {
                kept.bytes += bytes;
                kept.columns.insert(Arc::clone(name), Arc::clone(blocks));
            }
        }
    }
}
