//! `optimize`: everything sealed, merged, measured for SQLite's planner, and packed into as few pages as it needs.

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::store::copy::{beside, tidy};
use crate::store::keyed::text_table;
use crate::store::progress::Progress;
use crate::store::{Store, StoreOptions, open};

/// How large a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Bytes of the file and its write-ahead log.
    pub bytes: u64,
    /// Segments of all datasets but those of the engine itself.
    pub segments: u64,
    /// Their events that are not in segments.
    pub tail_rows: u64,
}

/// A file before and after.
#[derive(Debug, Serialize)]
pub struct Optimized {
    /// Before.
    pub before: Size,
    /// After.
    pub after: Size,
    /// Whether a damaged segment was left as it is.
    pub has_damage: bool,
}

/// Seals, merges, analyses and packs a file that no other process has.
///
/// # Errors
/// `Conflict` naming the process that has the file; the file cannot be written.
pub fn optimize(path: &Path, options: StoreOptions, progress: &Progress) -> Result<Optimized> {
    if !path.exists() {
        return Err(Error::NotFound(format!("there is no database {}; name one with --db", path.display())));
    }
    let store = Store::open(path, options)?;
    let before = size(&store);
    progress.begin("merging", 0);
    store.upkeep().optimize()?;
    // ends the writer; the lock is held as long as the store
    store.close();
    progress.begin("packing", 0);
    let connection = open::writer(store.path(), options.durability)?;
    for dataset in store.snapshot().datasets.values().filter(|d| d.keyed.is_some()) {
        if !dataset.declaration.search.is_empty() {
            let text = text_table(dataset.id);
            connection
                .execute_batch(&format!("INSERT INTO {text} ({text}) VALUES ('optimize')"))
                .map_err(|e| Error::sqlite("cannot merge the search of records", e))?;
        }
    }
    connection
        .execute_batch("ANALYZE; PRAGMA optimize;")
        .map_err(|e| Error::sqlite("cannot measure the tables", e))?;
    tidy(&connection)?;
    drop(connection);
    let snapshot = store.snapshot();
    let mut segments = snapshot.datasets.values().flat_map(|dataset| &dataset.segments);
    let has_damage = segments.any(|segment| segment.damage.is_some());
    Ok(Optimized { before, after: size(&store), has_damage })
}

fn size(store: &Store) -> Size {
    let bytes = |path: &Path| path.metadata().map_or(0, |file| file.len());
    let snapshot = store.snapshot();
    // those of the engine itself are small, and nobody put them there
    let datasets = snapshot.datasets.values().filter(|dataset| !dataset.name.starts_with('_'));
    let tail = datasets.clone().flat_map(|dataset| &dataset.tail);
    Size {
        bytes: bytes(store.path()) + bytes(&beside(store.path(), "-wal")),
        segments: datasets.flat_map(|dataset| &dataset.segments).filter(|segment| segment.id > 0).count()
            as u64,
        tail_rows: tail.map(|block| block.block.rows() as u64).sum(),
    }
}
