//! The SQLite file: everything that lasts is a row or a BLOB in it, every change one of its transactions.
//! [`Store`] is the whole of it for a process that may write; [`read`] is for one that only looks.

pub mod catalog;
pub mod describe;
pub mod lock;
pub mod log;
pub mod migrate;
pub mod open;
pub mod part;
pub mod pool;
pub mod segment;
pub mod snapshot;
pub mod tail;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::fields::Declaration;
use crate::limits;
use crate::store::catalog::ImportMark;
use crate::store::lock::Lock;
use crate::store::open::{Durability, Readers};
use crate::store::snapshot::Snapshot;
use crate::store::writer::{Appended, Batch, Command, Reply, Writer};

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// What a commit waits for.
    pub durability: Durability,
    /// Read connections.
    pub readers: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { durability: Durability::Full, readers: limits::READERS }
    }
}

/// The open file of a process that may write. Dropping it commits what was accepted and ends the writer.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    published: Arc<Published>,
    commands: Sender<Command>,
    queued_bytes: Arc<AtomicUsize>,
    writer: Mutex<Option<JoinHandle<()>>>,
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
        let connection = open::writer(path, options.durability)?;
        let secret = secret(&connection)?;
        let published = Arc::new(Published::default());
        published.publish(load(&connection, None)?);
        let readers = open::readers(path, options.readers)?;
        let (commands, waiting) = bounded(limits::WRITER_QUEUE);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        let writer = Writer {
            connection,
            published: Arc::clone(&published),
            queued_bytes: Arc::clone(&queued_bytes),
            wal: wal.into(),
            failed: None,
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|e| Error::io("cannot start the writer's thread", e))?;
        let writer = Mutex::new(Some(thread));
        Ok(Self { path: path.to_owned(), published, commands, queued_bytes, writer, readers, secret, lock })
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

    /// Declares a dataset, made when it is new.
    ///
    /// # Errors
    /// `Conflict` where the declaration contradicts the events that are there.
    pub fn declare(&self, name: &str, declaration: Declaration) -> Result<()> {
        self.ask(|reply| Command::Declare(name.into(), Box::new(declaration), reply))
    }

    /// Drops a dataset with all its events.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn drop_dataset(&self, name: &str) -> Result<()> {
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
        let _ = self.commands.send(Command::Stop);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer's thread panicked");
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

    /// Notes in the lock file where this process serves.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn note_address(&self, address: &str) -> Result<()> {
        self.lock.write_holder(address)
    }

    fn reader(&self) -> Result<r2d2::PooledConnection<r2d2_sqlite::SqliteConnectionManager>> {
        self.readers.get().map_err(|e| Error::Busy {
            detail: format!("all read connections are in use: {e}"),
            retry_after_s: 1,
        })
    }

    /// Bytes that the log of a dataset takes in the file.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn stored_bytes(&self, dataset_id: i64) -> Result<u64> {
        self.reader()?
            .query_row(
                "SELECT coalesce(sum(length(block)), 0) FROM log WHERE dataset_id = ?1",
                [dataset_id],
                |row| row.get::<_, i64>(0),
            )
            .map(|bytes| bytes as u64)
            .map_err(|e| Error::sqlite("cannot measure the dataset", e))
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
/// There is no such file, it is none of ours, newer, or damaged.
pub fn read(path: &Path, only: Option<&str>) -> Result<Snapshot> {
    let mut connection = open::reader(path)?;
    // one transaction, so that what is read is of one commit
    let transaction = connection.transaction().map_err(|e| Error::sqlite("cannot begin reading", e))?;
    load(&transaction, only)
}

fn load(connection: &Connection, only: Option<&str>) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for mut dataset in catalog::load(connection, only)? {
        dataset.tail = tail::merge_all(log::load(connection, dataset.id).map_err(|e| match e {
            Error::Corrupt(what) => Error::Corrupt(format!("dataset \"{}\": {what}", dataset.name)),
            other => other,
        })?);
        snapshot.datasets.insert(Arc::clone(&dataset.name), Arc::new(dataset));
    }
    Ok(snapshot)
}

fn secret(connection: &Connection) -> Result<[u8; 32]> {
    if let Some(stored) = catalog::meta(connection, "secret")? {
        return <[u8; 32]>::try_from(stored)
            .map_err(|_| Error::Corrupt("the stored secret has a wrong length".into()));
    }
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)
        .map_err(|e| Error::Internal(format!("the system gives no random bytes: {e}")))?;
    catalog::set_meta(connection, "secret", &fresh)?;
    Ok(fresh)
}

fn stopped() -> Error {
    Error::Busy { detail: "the server is stopping; repeat the request later".into(), retry_after_s: 5 }
}

#[cfg(test)]
mod tests;
