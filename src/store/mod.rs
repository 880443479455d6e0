//! The SQLite file: everything that lasts is a row or a BLOB in it, every change one of its transactions.
//! [`Store`] is the whole of it for a process that may write; [`read`] is for one that only looks.

pub mod backup;
pub mod ballast;
pub mod catalog;
mod change;
pub mod check;
pub mod compose;
mod copy;
pub mod describe;
mod failure;
mod group;
pub mod keyed;
pub mod keys;
pub mod lock;
pub mod log;
pub mod maker;
pub mod migrate;
pub mod numbering;
pub mod open;
pub mod optimize;
pub mod part;
pub mod pool;
pub mod progress;
pub mod queue;
pub mod replies;
pub mod restore;
pub mod rewrite;
pub mod seen;
pub mod segment;
pub mod segments;
pub mod snapshot;
pub mod swap;
pub mod tail;
pub mod task;
pub mod upkeep;
pub mod values;
mod watch;
pub mod within;
pub mod writer;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::fields::check_is_no_own;
use crate::limits;
use crate::store::ballast::Ballast;
use crate::store::catalog::ImportMark;
use crate::store::keyed::tables::Declared;
use crate::store::keyed::write::{DeleteBatch, Deleted, PutOutcome, RecordBatch};
use crate::store::keys::PublishedKeys;
use crate::store::lock::Lock;
use crate::store::open::{Durability, Readers};
use crate::store::pool::BufferPool;
use crate::store::queue::Board;
use crate::store::segment::Segment;
use crate::store::segments::{PooledBytes, TransactionBytes};
use crate::store::snapshot::Snapshot;
use crate::store::upkeep::Upkeep;
use crate::store::watch::Watch;
use crate::store::writer::{Appended, Batch, Command, Reply, SegmentBatch, Writer};
use crate::time;

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Read connections.
    pub readers: u32,
    /// Bytes of decoded columns that are kept in memory.
    pub buffer_pool_bytes: usize,
    /// Rows of a tail that is sealed.
    pub seal_rows: usize,
    /// Who makes the file, where it is made: noted in it, see [`maker::maker_of`].
    pub made_by: Option<&'static str>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: limits::READERS,
            buffer_pool_bytes: limits::BUFFER_POOL_BYTES,
            seal_rows: limits::SEAL_ROWS,
            made_by: None,
        }
    }
}

/// The open file of a process that may write. Dropping it commits what was accepted and ends the writer.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    published: Arc<Published>,
    keys: Arc<PublishedKeys>,
    board: Arc<Board>,
    commands: Sender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    writer: Mutex<Option<JoinHandle<()>>>,
    upkeep: Arc<Upkeep>,
    upkeep_thread: Mutex<Option<JoinHandle<()>>>,
    pool: Arc<BufferPool>,
    readers: Readers,
    secret: [u8; 32],
    lock: Lock,
}

/// The current snapshot, swapped whole by the writer.
#[derive(Debug, Default)]
pub(crate) struct Published(RwLock<Arc<Snapshot>>);

impl Published {
    fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

impl Store {
    /// Opens a file, made when it is missing, and takes its lock.
    ///
    /// # Errors
    /// Another process has it, the folder cannot be written, the file is not ours, newer, or damaged.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self> {
        // by its real name: two names of one file would be two locks and two WALs to watch
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let lock = Lock::take(path)?;
        let opened = open_to_write(path, options);
        let (connection, secret) = match opened {
            // an earlier process may have left its ballast on a disk that is full now
            Err(e) if e.is_of_the_disk() && ballast::release_of(path) => open_to_write(path, options)?,
            opened => opened?,
        };
        tidy_left_behind(&connection);
        let readers = open::readers(path, options.readers)?;
        let pool =
            Arc::new(BufferPool::new(Box::new(PooledBytes(readers.clone())), options.buffer_pool_bytes));
        let published = Arc::new(Published::default());
        // questions about records leave what they may read on their connections
        let keyed_readers = open::readers(path, options.readers)?;
        published.publish(load(&connection, None, &pool, &|| Ok(keyed_readers.clone()))?);
        let keys = Arc::new(PublishedKeys::default());
        keys.publish(keys::load(&connection)?);
        let board = Arc::new(Board::default());
        board.publish(queue::load(&connection)?);
        let (commands, waiting) = bounded(limits::WRITER_QUEUE);
        let (wake, woken) = bounded(1);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let wal = PathBuf::from(wal);
        let writer = Writer {
            connection,
            pool: Arc::clone(&pool),
            readers: keyed_readers,
            wake: wake.clone(),
            seal_rows: options.seal_rows,
            dead: Vec::new(),
            published: Arc::clone(&published),
            keys: Arc::clone(&keys),
            board: Arc::clone(&board),
            queued_bytes: Arc::clone(&queued_bytes),
            watch: Watch::of(path, &wal),
            ballast: Ballast::keep(path),
            wal,
            failed: None,
        };
        let upkeep = Arc::new(Upkeep::new(Arc::clone(&published), commands.clone(), wake, options.seal_rows));
        let worker = Arc::clone(&upkeep);
        Ok(Self {
            path: path.to_owned(),
            published,
            keys,
            board,
            commands,
            queued_bytes,
            writer: Mutex::new(Some(thread("writer", move || writer.run(&waiting))?)),
            upkeep,
            upkeep_thread: Mutex::new(Some(thread("upkeep", move || worker.run(&woken))?)),
            pool,
            readers,
            secret,
            lock,
        })
    }

    /// Everything as of the last commit.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.current()
    }

    /// Commits a batch and returns when it is durable and visible.
    ///
    /// # Errors
    /// `Busy` where too much is waiting, `StorageUnavailable` where the file cannot be written.
    pub fn append(&self, batch: Batch) -> Result<Appended> {
        let bytes = batch.block.bytes();
        let busy = || Error::Busy {
            detail: "too many writes are waiting; repeat the request later".into(),
            retry_after_s: 1,
        };
        if self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > limits::WRITER_QUEUE_BYTES {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(busy());
        }
        let (reply, answer) = bounded(1);
        match self.commands.try_send(Command::Append(batch, reply)) {
            Ok(()) => answer.recv().unwrap_or_else(|_| Err(stopped())),
            Err(TrySendError::Full(_)) => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(busy())
            }
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }

    /// As [`Store::append`], but waits where the queue is full: for imports, which have nobody to refuse.
    ///
    /// # Errors
    /// `StorageUnavailable` where the file cannot be written.
    pub fn append_patiently(&self, batch: Batch) -> Result<Appended> {
        self.queued_bytes.fetch_add(batch.block.bytes(), Ordering::Relaxed);
        self.ask(|reply| Command::Append(batch, reply))
    }

    /// Commits rows that are encoded as a segment, and returns when they are durable and visible: the version of the rules
    /// as of this commit, which the next rows may be decoded under. `None`: the rules have changed since these were.
    ///
    /// # Errors
    /// `StorageUnavailable` where the file cannot be written.
    pub fn append_segment(&self, batch: SegmentBatch) -> Result<Option<u64>> {
        self.ask(|reply| Command::AppendSegment(Box::new(batch), reply))
    }

    /// Seals, merges and gives space back, at once instead of in the background.
    pub fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Decoded columns in memory.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Declares a dataset, made when it is new.
    ///
    /// # Errors
    /// `Conflict` where the declaration contradicts the events that are there.
    pub fn declare(&self, name: &str, declared: impl Into<Declared>) -> Result<()> {
        let declared = Box::new(declared.into());
        self.ask(|reply| Command::Declare(name.into(), declared, reply))
    }

    /// Puts records and returns when they are durable and visible; where the writer is busy, it waits.
    ///
    /// # Errors
    /// `StorageUnavailable` where the file cannot be written. What is wrong with single records is in what comes back.
    pub fn put(&self, batch: RecordBatch) -> Result<PutOutcome> {
        self.ask(|reply| Command::Put(Box::new(batch), reply))
    }

    /// Deletes records that are still of these versions; gives those that are gone and those that are not of it any more.
    ///
    /// # Errors
    /// `StorageUnavailable` where the file cannot be written.
    pub fn delete(&self, batch: DeleteBatch) -> Result<Deleted> {
        self.ask(|reply| Command::Delete(Box::new(batch), reply))
    }

    /// Drops a dataset with all its events.
    ///
    /// # Errors
    /// `NotFound`; one that is the engine's own.
    pub fn drop_dataset(&self, name: &str) -> Result<()> {
        check_is_no_own(name)?;
        self.ask(|reply| Command::Drop(name.into(), reply))
    }

    /// How far a file was imported into a dataset; `None` where it never was.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn import_mark(&self, dataset: &str, source: &str) -> Result<Option<ImportMark>> {
        let reader = self.reader()?;
        catalog::import(&reader, dataset, source)
    }

    /// Notes how far a file was imported, apart from any rows.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn mark_import(&self, dataset: &str, mark: ImportMark) -> Result<()> {
        self.ask(|reply| Command::MarkImport(dataset.into(), mark, reply))
    }

    /// Measures tables for the planner and merges the search of records, while others read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tidy_records(&self) -> Result<()> {
        self.ask(Command::Tidy)
    }

    /// Brings everything from the WAL into the file and empties the WAL.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn checkpoint(&self) -> Result<()> {
        self.ask(Command::Checkpoint)
    }

    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let (reply, answer) = bounded(1);
        self.commands.send(command(reply)).map_err(|_| stopped())?;
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Commits what was accepted, checkpoints and ends the writer. Calling it again does nothing.
    pub fn close(&self) {
        self.upkeep.stop();
        // the upkeep asks the writer, so it ends first
        for (thread, name) in [(&self.upkeep_thread, "upkeep"), (&self.writer, "writer")] {
            if name == "writer" {
                let _ = self.commands.send(Command::Stop);
            }
            let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the {name}'s thread panicked");
            }
        }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that cursors are signed with; made with the file.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Notes in the lock file where this process serves, and what lets in who can read that.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn note_server(&self, served: &lock::Served) -> Result<()> {
        self.lock.note_server(served)
    }

    fn reader(&self) -> Result<r2d2::PooledConnection<r2d2_sqlite::SqliteConnectionManager>> {
        self.readers.get().map_err(|e| Error::Busy {
            detail: format!("all read connections are in use: {e}"),
            retry_after_s: 1,
        })
    }

    /// Bytes that the events or records of a dataset take in the file.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn stored_bytes(&self, dataset_id: i64) -> Result<u64> {
        let reader = self.reader()?;
        let snapshot = self.snapshot();
        let dataset = snapshot.datasets.values().find(|dataset| dataset.id == dataset_id);
        match dataset.and_then(|dataset| dataset.keyed.as_ref()) {
            Some(keyed) => keyed.stored_bytes(&reader, dataset_id),
            None => segments::stored_bytes(&reader, dataset_id),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads a file that another process may be serving: all datasets, or the one that is named.
///
/// # Errors
/// There is no such file, it is none of ours, older, newer, or damaged.
pub fn read(path: &Path, only: Option<&str>) -> Result<Snapshot> {
    let connection = open::reader(path)?;
    open::require_current(&connection)?;
    // one transaction to the end of the snapshot, so that all that is read is of one commit
    connection.execute_batch("BEGIN").map_err(|e| Error::sqlite("cannot begin reading", e))?;
    let connection = Arc::new(Mutex::new(connection));
    let bytes = Box::new(TransactionBytes(Arc::clone(&connection)));
    let pool = Arc::new(BufferPool::new(bytes, limits::BUFFER_POOL_BYTES));
    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    let readers = OnceCell::new();
    load(&connection, only, &pool, &|| {
        // records are read by connections of their own, which are made where there are any
        let made = readers.get_or_init(|| open::readers(path, limits::READERS));
        made.as_ref().cloned().map_err(|e| Error::StorageUnavailable(e.to_string()))
    })
}

fn load(
    connection: &Connection,
    only: Option<&str>,
    pool: &Arc<BufferPool>,
    readers: &dyn Fn() -> Result<Readers>,
) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for mut dataset in catalog::load(connection, only, readers)? {
        let loaded = log::load(connection, dataset.id)?;
        dataset.tail = tail::merge_all(loaded.blocks);
        dataset.segments = segments::load(connection, dataset.id, pool)?;
        for row in loaded.damaged {
            tracing::error!("dataset \"{}\", log row {}: {}", dataset.name, row.id, row.damage);
            dataset.segments.push(Arc::new(Segment::of_damaged_log(row, pool)));
        }
        snapshot.datasets.insert(Arc::clone(&dataset.name), Arc::new(dataset));
    }
    Ok(snapshot)
}

fn open_to_write(path: &Path, options: StoreOptions) -> Result<(Connection, [u8; 32])> {
    let connection = open::writer(path, options.durability)?;
    let secret = maker::secret(&connection, options.made_by)?;
    Ok((connection, secret))
}

/// Does what an earlier process had no time for. A disk that is full now is no reason not to open.
fn tidy_left_behind(connection: &Connection) {
    if let Err(e) = bury_left_behind(connection) {
        tracing::warn!("removed segments keep their space until the next start: {e}");
    }
    match queue::recover::take_back(connection, time::now()) {
        Ok(0) => {}
        Ok(jobs) => {
            tracing::info!("{jobs} jobs that were in hand when the last process ended are queued again")
        }
        Err(e) => {
            tracing::warn!("what was in hand when the last process ended stays so until the next start: {e}")
        }
    }
}

/// Removes segments that an earlier process took out and had no time to remove.
fn bury_left_behind(connection: &Connection) -> Result<()> {
    for id in segments::dead(connection)? {
        let transaction =
            connection.unchecked_transaction().map_err(|e| Error::sqlite("cannot begin a transaction", e))?;
        segments::bury(&transaction, id)?;
        transaction.commit().map_err(|e| Error::sqlite("cannot commit", e))?;
    }
    Ok(())
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|e| Error::io(format!("cannot start the thread \"{name}\""), e))
}

fn stopped() -> Error {
    Error::Busy { detail: "the server is stopping; repeat the request later".into(), retry_after_s: 5 }
}

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;
