//! The second tier: a SQLite file of its own beside the database, which may be deleted at any time. It outlives the process
//! and is bounded by bytes. Nothing in it is needed: where it is damaged, of another version or gone it is made anew, where
//! it cannot be written it is left alone for a while. So it is written without waiting for the disk, and every entry has a
//! checksum.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use xxhash_rust::xxh3::xxh3_64;

use crate::cache::Cost;
use crate::cache::class::Class;
use crate::cache::figures::{Figures, Measure};
use crate::cache::key::Selector;
use crate::cache::memory::Entry;
use crate::store::ballast::free_bytes;
use crate::{limits, time};

/// What is written and how: another number, another file. Entries of another program version are not read either, as
/// what they hold is defined elsewhere.
const FORMAT: i64 = 1;
/// "WNDC": tells the file from any other SQLite file. It is the first thing that is written, so that one whose making was
/// cut off is known too.
const APPLICATION_ID: i64 = 0x574e_4443;
/// Where a disk has less left than this the file gives way: what cannot be got again needs the room.
const FREE_BYTES_MIN: u64 = 2 * limits::BALLAST_BYTES;
/// How long a file that cannot be used is left alone.
const REST: Duration = Duration::from_secs(30);
/// Bytes of an entry beside what it keeps, about.
const ENTRY_BYTES: u64 = 200;

const SCHEMA: &str = "
    PRAGMA page_size = 8192;
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA application_id = 1464747075;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS entry (
      key      BLOB PRIMARY KEY,
      version  BLOB NOT NULL,
      class    TEXT NOT NULL,
      name     TEXT NOT NULL,
      tags     TEXT NOT NULL,
      made_us  INTEGER NOT NULL,
      rows     INTEGER NOT NULL,
      took_us  INTEGER NOT NULL,
      checksum INTEGER NOT NULL,
      body     BLOB NOT NULL
    ) STRICT;";

/// An entry as it was written.
#[derive(Debug)]
pub struct Stored {
    /// What is kept.
    pub body: Vec<u8>,
    /// The version of the data that it is of.
    pub version: u128,
    /// When it was computed, µs since 1970.
    pub made_us: i64,
    /// What computing it took.
    pub cost: Cost,
}

/// The file.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    budget: u64,
    figures: Arc<Figures>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// Until when it is left alone.
    resting: Option<Instant>,
}

#[derive(Debug)]
struct File {
    connection: Connection,
    /// Device and number of the file that is open.
    identity: (u64, u64),
    entries: HashMap<u128, Known>,
    bytes: u64,
    /// Counts uses, so that it is known what was used last.
    clock: u64,
}

#[derive(Debug, Clone)]
struct Known {
    bytes: u64,
    used: u64,
    made_us: i64,
    class: Class,
}

/// The place of the file that goes with a database: `windrow.cache.db` for `windrow.db`.
pub fn beside(database: &Path) -> PathBuf {
    let name = database.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let stem = name.strip_suffix(".db").unwrap_or(&name);
    database.with_file_name(format!("{stem}.cache.db"))
}

impl Disk {
    /// Opens the file, made where it is missing or of no use.
    pub fn open(path: PathBuf, budget: u64, figures: Arc<Figures>) -> Self {
        let disk = Self { path, budget, figures, state: Mutex::default() };
        drop(disk.file());
        disk
    }

    /// The open file, tried again where it could not be opened for a while.
    fn file(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.file.is_none() && state.resting.is_none_or(|until| Instant::now() >= until) {
            match File::open(&self.path) {
                Ok(file) => (state.file, state.resting) = (Some(file), None),
                Err(e) => self.give_up(&mut state, &e),
            }
        }
        state
    }

    /// Leaves the file alone for a while. One whose contents are to blame is made anew at once; on a full disk it goes, and
    /// is made anew when the while is over.
    fn give_up(&self, state: &mut State, error: &rusqlite::Error) {
        self.figures.count_disk_error();
        tracing::warn!(
            "answers are kept in memory alone for {} s: {}: {error}",
            REST.as_secs(),
            self.path.display()
        );
        state.file = None;
        state.resting = Some(Instant::now() + REST);
        let (is_damaged, is_full) = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (true, false),
            Some(ErrorCode::DiskFull) => (false, true),
            _ => (false, false),
        };
        let is_removed = (is_damaged || is_full) && remove(&self.path).is_ok();
        if is_removed && is_damaged {
            state.resting = None;
        }
    }

    /// Whether the disk has room for data and for what is kept of them.
    fn has_room(&self) -> bool {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        free_bytes(folder.unwrap_or(Path::new("."))).is_none_or(|free| free >= FREE_BYTES_MIN)
    }

    /// Does something with the file; `None` where it cannot be used.
    fn with<T>(&self, work: impl FnOnce(&mut File) -> rusqlite::Result<T>) -> Option<T> {
        let mut state = self.file();
        let done = work(state.file.as_mut()?);
        match done {
            Ok(done) => Some(done),
            Err(e) => {
                self.give_up(&mut state, &e);
                None
            }
        }
    }

    /// Whether there is an entry of a key, of whatever version.
    pub fn has(&self, key: u128) -> bool {
        self.file().file.as_ref().is_some_and(|file| file.entries.contains_key(&key))
    }

    /// The entry of a key, where `fits` says so of its version and age; an age that the clock does not tell is `None`.
    pub fn get(&self, key: u128, fits: impl FnOnce(u128, Option<Duration>) -> bool) -> Option<Stored> {
        let found = self.with(|file| {
            let Some(known) = file.entries.get_mut(&key) else { return Ok(None) };
            file.clock += 1;
            known.used = file.clock;
            file.read(key)
        })??;
        let (stored, checksum) = found;
        if xxh3_64(&stored.body).cast_signed() != checksum {
            self.figures.count_damaged();
            self.remove(key);
            return None;
        }
        // a clock that went back tells no age
        let age = u64::try_from(time::now().saturating_sub(stored.made_us)).ok().map(Duration::from_micros);
        fits(stored.version, age).then_some(stored)
    }

    /// Writes entries, each in a transaction of its own, so that who looks something up waits for one at most, and lets go of
    /// others where they take too much room. Gives the keys and versions of those that the file has now.
    pub fn put_all(&self, entries: &[Entry]) -> Vec<(u128, u128)> {
        let mut written = Vec::new();
        for entry in entries {
            let Some(body) = entry.value.write() else { continue };
            if body.len() as u64 + ENTRY_BYTES > self.budget / 2 {
                continue;
            }
            let put = self.with(|file| {
                // a file that was deleted is no place to write to
                if !file.is_at(&self.path) {
                    *file = File::open(&self.path)?;
                }
                if !self.has_room() {
                    return Err(of_a_full_disk());
                }
                write(&file.connection, entry, &body)?;
                file.note(entry, body.len() as u64);
                file.shrink(self.budget)
            });
            written.extend(put.map(|()| (entry.key.hash, entry.version)));
        }
        written
    }

    /// Forgets an entry.
    pub fn remove(&self, key: u128) {
        self.with(|file| file.remove(&[key]));
    }

    /// Forgets what a selector names; gives the keys.
    pub fn remove_selected(&self, selector: &Selector) -> Vec<u128> {
        let removed = self.with(|file| {
            let keys = file.selected(selector)?;
            file.remove(&keys)?;
            Ok(keys)
        });
        removed.unwrap_or_default()
    }

    /// Forgets what is older; gives the number of entries.
    pub fn sweep(&self, age: Duration) -> usize {
        let oldest = time::now().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let swept = self.with(|file| {
            let old = file.entries.iter().filter(|(_, known)| known.made_us < oldest);
            let keys: Vec<u128> = old.map(|(key, _)| *key).collect();
            file.remove(&keys)?;
            Ok(keys.len())
        });
        swept.unwrap_or(0)
    }

    /// What there is, by class.
    pub fn measure(&self) -> Measure {
        let mut measure = Measure { budget: self.budget, ..Measure::default() };
        if let Some(file) = &self.file().file {
            for known in file.entries.values() {
                let age = u64::try_from(time::now().saturating_sub(known.made_us)).unwrap_or(0);
                measure.add(known.class, known.bytes, Duration::from_micros(age));
            }
        }
        measure
    }
}

impl File {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        match Self::try_open(path) {
            // damaged, or of another version: none of it is needed
            Err(e) if is_of_its_contents(&e) && remove(path).is_ok() => Self::try_open(path),
            opened => opened,
        }
    }

    fn try_open(path: &Path) -> rusqlite::Result<Self> {
        // made by us, so that it is readable for its owner alone
        let made = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let identity = made.and_then(|file| file.metadata()).map(|meta| (meta.dev(), meta.ino()));
        let identity = identity.map_err(|e| {
            rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some(e.to_string()),
            )
        })?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_millis(200))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let is_new = pages == 0;
        if !is_new && application != APPLICATION_ID {
            return Err(of_someone_else());
        }
        if !is_new && version != stamp() {
            return Err(of_another_version());
        }
        connection.execute_batch(SCHEMA)?;
        if is_new {
            connection.pragma_update(None, "user_version", stamp())?;
        }
        let mut file = Self { connection, identity, entries: HashMap::new(), bytes: 0, clock: 0 };
        file.list()?;
        Ok(file)
    }

    /// Learns what there is; what was computed last counts as used last.
    fn list(&mut self) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare("SELECT key, length(body), made_us, class FROM entry ORDER BY made_us, key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (bytes, made_us) = (row.get::<_, i64>(1)?.unsigned_abs() + ENTRY_BYTES, row.get(2)?);
            let class = Class::stored(&row.get::<_, String>(3)?);
            self.clock += 1;
            self.bytes += bytes;
            self.entries.insert(
                number(&row.get::<_, Vec<u8>>(0)?),
                Known { bytes, used: self.clock, made_us, class },
            );
        }
        Ok(())
    }

    fn is_at(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|meta| (meta.dev(), meta.ino()) == self.identity)
    }

    fn read(&self, key: u128) -> rusqlite::Result<Option<(Stored, i64)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT body, version, made_us, rows, took_us, checksum FROM entry WHERE key = ?1",
        )?;
        statement
            .query_row([key.to_le_bytes().as_slice()], |row| {
                let took = Duration::from_micros(row.get::<_, i64>(4)?.unsigned_abs());
                let stored = Stored {
                    body: row.get(0)?,
                    version: number(&row.get::<_, Vec<u8>>(1)?),
                    made_us: row.get(2)?,
                    cost: Cost { rows: row.get::<_, i64>(3)?.unsigned_abs(), took },
                };
                Ok((stored, row.get(5)?))
            })
            .optional()
    }

    fn note(&mut self, entry: &Entry, body_bytes: u64) {
        self.clock += 1;
        let bytes = body_bytes + ENTRY_BYTES;
        let known = Known { bytes, used: self.clock, made_us: entry.made_us, class: entry.class };
        let before = self.entries.insert(entry.key.hash, known);
        self.bytes = self.bytes + bytes - before.map_or(0, |before| before.bytes);
    }

    fn selected(&self, selector: &Selector) -> rusqlite::Result<Vec<u128>> {
        let mut statement = self.connection.prepare_cached("SELECT key, name, tags FROM entry")?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            let tags: String = row.get(2)?;
            let tags: Vec<Arc<str>> = tags.split('\n').map(Arc::from).collect();
            if selector.takes(&row.get::<_, String>(1)?, &tags) {
                keys.push(number(&row.get::<_, Vec<u8>>(0)?));
            }
        }
        Ok(keys)
    }

    fn remove(&mut self, keys: &[u128]) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut statement = transaction.prepare_cached("DELETE FROM entry WHERE key = ?1")?;
            for key in keys {
                statement.execute([key.to_le_bytes().as_slice()])?;
            }
        }
        transaction.commit()?;
        for key in keys {
            self.bytes -= self.entries.remove(key).map_or(0, |known| known.bytes);
        }
        Ok(())
    }

    /// Lets go of what was used the longest ago until a tenth of the budget is free, and gives pages back.
    fn shrink(&mut self, budget: u64) -> rusqlite::Result<()> {
        if self.bytes <= budget {
            return Ok(());
        }
        let mut by_use: Vec<(u64, u128, u64)> =
            self.entries.iter().map(|(key, known)| (known.used, *key, known.bytes)).collect();
        by_use.sort_unstable();
        let mut over = self.bytes.saturating_sub(budget - budget / 10);
        let mut keys = Vec::new();
        for (_, key, bytes) in by_use {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(bytes);
            keys.push(key);
        }
        self.remove(&keys)?;
        // what is free is written to again; a little is given back each time, for a budget that has become smaller
        let mut statement = self.connection.prepare("PRAGMA incremental_vacuum(256)")?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }
}

fn write(connection: &Connection, entry: &Entry, body: &[u8]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO entry (key, version, class, name, tags, made_us, rows, took_us, checksum, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        entry.key.hash.to_le_bytes().as_slice(),
        entry.version.to_le_bytes().as_slice(),
        entry.class.name(),
        &*entry.key.name,
        entry.key.tags.join("\n"),
        entry.made_us,
        i64::try_from(entry.cost.rows).unwrap_or(i64::MAX),
        i64::try_from(entry.cost.took.as_micros()).unwrap_or(i64::MAX),
        xxh3_64(body).cast_signed(),
        body
    ])?;
    Ok(())
}

/// The number of this format and of this version of the program.
fn stamp() -> i64 {
    let version = xxh3_64(env!("CARGO_PKG_VERSION").as_bytes()) as i64 & 0xFF_FFFF;
    (FORMAT << 24 | version) & i64::from(i32::MAX)
}

/// A database that is none of ours stays as it is, whatever it is called.
fn of_someone_else() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some("it is a database of another program".into()))
}

fn of_a_full_disk() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    let text = format!("the disk has less than {} MB left, which are for data", FREE_BYTES_MIN >> 20);
    rusqlite::Error::SqliteFailure(code, Some(text))
}

fn of_another_version() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB);
    rusqlite::Error::SqliteFailure(code, Some("it was written by another version".into()))
}

fn is_of_its_contents(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase};
    let is_other_table = matches!(error.sqlite_error_code(), Some(ErrorCode::Unknown));
    is_other_table || matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Removes the file with what SQLite has beside it.
pub fn remove(path: &Path) -> std::io::Result<()> {
    for suffix in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn number(bytes: &[u8]) -> u128 {
    bytes.try_into().map_or(0, u128::from_le_bytes)
}
