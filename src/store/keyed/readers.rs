//! What a snapshot has of a dataset of records: how many there are, and the connections that read them. Records are read
//! as they are when a question begins, which is the snapshot's commit or a later one.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use r2d2::PooledConnection;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::store::keyed::generation::KeptColumns;
use crate::store::keyed::statements::Statements;
use crate::store::keyed::{lazy_table, table, text_table};
use crate::store::open::Readers;

/// A size is told again for so many times as long as it took to measure it, which reads every page.
const SIZE_KEPT: u32 = 100;

/// The records of a dataset, as of one commit.
#[derive(Debug, Clone)]
pub struct Keyed {
    /// How many there are.
    pub count: u64,
    /// Goes up with every commit that changes them, from 0 at the start of the process.
    pub changes: u64,
    /// Connections to the file.
    pub readers: Readers,
    /// What is derived from them and kept from question to question: all snapshots share it.
    pub derived: Arc<Derived>,
}

/// A size that was measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    changes: u64,
    measured: Instant,
    took: Duration,
}

/// What readers keep of a dataset's records: of no use to what comes after the dataset is dropped.
#[derive(Debug, Default)]
pub struct Derived {
    size: Mutex<Option<Size>>,
    kept: Mutex<Option<(u64, Arc<dyn Any + Send + Sync>)>>,
    count: AtomicU64,
    /// Columns of the records.
    pub columns: KeptColumns,
    /// What was run, by its shape.
    pub statements: Statements,
}

impl Derived {
    /// A statement is run over the records.
    pub fn count_statement(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many statements were run over the records since the process began.
    pub fn statements_run(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Keyed {
    /// Those of a dataset that has `count` of them.
    pub fn new(count: u64, readers: Readers) -> Self {
        Self { count, changes: 0, readers, derived: Arc::default() }
    }

    /// A connection that only reads.
    ///
    /// # Errors
    /// `Busy` where all are in use.
    pub fn reader(&self) -> Result<PooledConnection<SqliteConnectionManager>> {
        self.readers.get().map_err(|e| Error::Busy {
            detail: format!("all read connections are in use: {e}"),
            retry_after_s: 1,
        })
    }

    /// The full path of the file that they are in.
    ///
    /// # Errors
    /// `Busy` where all connections are in use.
    pub fn file(&self) -> Result<String> {
        let reader = self.reader()?;
        reader.path().map(str::to_owned).ok_or_else(|| Error::Internal("records are in no file".into()))
    }

    /// What was kept, if it was made of these very records, else what is made of them now; `make` may fail.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let known = self.derived.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((changes, kept)) = known
            && changes == self.changes
            && let Ok(kept) = kept.downcast::<T>()
        {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        let kept: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
        *self.derived.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.changes, kept));
        Ok(made)
    }

    /// Bytes that they take in the file with all their indexes. Of many records it may be that of a moment ago.
    ///
    /// # Errors
    /// SQLite's.
    pub fn stored_bytes(&self, reader: &Connection, dataset_id: i64) -> Result<u64> {
        let mut size = self.derived.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = *size
            && (known.changes == self.changes || known.measured.elapsed() < known.took * SIZE_KEPT)
        {
            return Ok(known.bytes);
        }
        let begin = Instant::now();
        let bytes = stored_bytes(reader, dataset_id)?;
        *size = Some(Size { bytes, changes: self.changes, measured: Instant::now(), took: begin.elapsed() });
        Ok(bytes)
    }
}

fn stored_bytes(connection: &Connection, id: i64) -> Result<u64> {
    let sql = "SELECT coalesce(sum(pgsize), 0) FROM dbstat('main', 1) WHERE name IN
                 (SELECT name FROM sqlite_schema WHERE tbl_name IN (?1, ?2) OR name GLOB ?3 || '_*')";
    connection
        .query_row(sql, [table(id), lazy_table(id), text_table(id)], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
        .map_err(|e| Error::sqlite("cannot measure the records", e))
}
