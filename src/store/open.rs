//! Opens connections. Pragmas are per connection in SQLite, so every connection of this crate is made here and set
//! up by `WRITER_PRAGMAS` or `READER_PRAGMAS`; the reasons for each value are in ARCHITECTURE.md.

use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::store::migrate::{self, APPLICATION_ID};
use crate::store::watch::identity;

/// A pool of read-only connections.
pub type Readers = r2d2::Pool<SqliteConnectionManager>;

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The disk has it: a power cut loses nothing that was acknowledged.
    #[default]
    Full,
    /// The operating system has it: a crash of this process loses nothing, a power cut the last moments.
    Normal,
}

/// How long a connection waits for another process.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that the writer keeps prepared: each dataset of records has some ten of its own.
const PREPARED: usize = 256;

const PAGE_BYTES: u32 = 8_192;

const WRITER_PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -65536;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = FILE;
    PRAGMA secure_delete = FAST;
    PRAGMA fullfsync = ON;
";

const READER_PRAGMAS: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -4096;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = FILE;
";

/// Opens the file for writing, made when it is missing, and brings it up to date.
///
/// # Errors
/// The folder or file cannot be written, it is no database of ours, or a newer one.
pub fn writer(path: &Path, durability: Durability) -> Result<Connection> {
    check_sqlite()?;
    let was_there = path.symlink_metadata().is_ok();
    let opened = open_writer(path, durability);
    if opened.is_err() && !was_there {
        // a file that could not be made is none; nobody else has it, the lock is ours
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            let _ = std::fs::remove_file(name);
        }
    }
    opened
}

fn open_writer(path: &Path, durability: Durability) -> Result<Connection> {
    let is_new = make_file(path)?;
    let context = || format!("cannot open {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| Error::sqlite(context(), e))?;
    if is_new || is_blank(&connection).map_err(|e| in_file(path, e))? {
        // both have to be there before the first table: later they take a VACUUM
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID};"
            ))
            .map_err(|e| Error::sqlite(context(), e))?;
    } else {
        migrate::check(&connection).map_err(|e| in_file(path, e))?;
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| Error::sqlite(context(), e))?;
    let synchronous = match durability {
        Durability::Full => "PRAGMA synchronous = FULL;",
        Durability::Normal => "PRAGMA synchronous = NORMAL;",
    };
    connection
        .execute_batch(WRITER_PRAGMAS)
        .and_then(|()| connection.execute_batch(synchronous))
        .map_err(|e| Error::sqlite(context(), e))?;
    migrate::run(&mut connection).map_err(|e| in_file(path, e))?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

/// A pool of read-only connections to a file that exists.
///
/// # Errors
/// No connection can be made.
pub fn readers(path: &Path, count: u32) -> Result<Readers> {
    // a file that was put in the place of the one that is served has other events: none of them may be read
    let (opened, name) = (identity(path), path.to_owned());
    let manager = SqliteConnectionManager::file(path)
        .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_init(move |connection| {
            if identity(&name) != opened {
                return Err(rusqlite::Error::InvalidPath(name.clone()));
            }
            connection.execute_batch(READER_PRAGMAS)
        });
    r2d2::Pool::builder()
        .max_size(count)
        .min_idle(Some(0))
        // those that are open go on reading a file that was deleted
        .max_lifetime(None)
        .idle_timeout(None)
        .test_on_check_out(false)
        .connection_timeout(Duration::from_secs(1))
        .build(manager)
        .map_err(|e| Error::Internal(format!("cannot open readers of {}: {e}", path.display())))
}

/// One read-only connection of another process, beside a running server or without one. Of a file that was cut off,
/// what is left can be read.
///
/// # Errors
/// The file does not exist, is none of ours, or is a newer one.
pub fn reader(path: &Path) -> Result<Connection> {
    match whole_reader(path) {
        Err(Error::Corrupt(what)) => {
            let connection = salvage(path).map_err(|_| Error::Corrupt(what.clone()))?;
            tracing::warn!("what is left of the file is read: {what}");
            Ok(connection)
        }
        other => other,
    }
}

/// As [`reader`], but a file that was cut off is an error.
///
/// # Errors
/// As [`reader`], and `Corrupt`.
pub fn whole_reader(path: &Path) -> Result<Connection> {
    read_only(path, "")
}

/// A connection to a file that was cut off: pages that are missing are met when they are read.
///
/// # Errors
/// As [`reader`].
pub(super) fn salvage(path: &Path) -> Result<Connection> {
    // with this alone SQLite opens a file that has fewer pages than it says; nothing is written either way
    read_only(path, "PRAGMA writable_schema = ON;")
}

/// That there is no file, where it was looked for, and how to begin.
pub fn missing(path: &Path) -> Error {
    let looked_for = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Error::NotFound(format!(
        "there is no database {}; make one with `windrow import DATASET FILE`, or with sample data by `windrow demo`, or \
         name another with --db",
        looked_for.display()
    ))
}

/// Refuses a folder, of which SQLite only says that it cannot be read.
///
/// # Errors
/// `Invalid` with what to name instead.
pub(super) fn check_is_no_folder(path: &Path) -> Result<()> {
    match path.is_dir() {
        true => Err(Error::invalid(format!(
            "{} is a folder and no database; name a file in it, as in --db {}",
            path.display(),
            path.join("windrow.db").display()
        ))),
        false => Ok(()),
    }
}

fn read_only(path: &Path, first: &str) -> Result<Connection> {
    check_sqlite()?;
    if !path.exists() {
        return Err(missing(path));
    }
    check_is_no_folder(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| unreadable(path, e))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.execute_batch(first))
        .and_then(|()| connection.execute_batch(READER_PRAGMAS))
        .map_err(|e| unreadable(path, e))?;
    migrate::check(&connection).map_err(|e| in_file(path, e))?;
    Ok(connection)
}

/// A read-only connection to a file that nobody writes and that has no WAL beside it: no file is made beside it, so it
/// may lie in a folder that cannot be written.
///
/// # Errors
/// As [`reader`].
pub(super) fn alone(path: &Path) -> Result<Connection> {
    let connection = alone_of_any(path)?;
    migrate::check(&connection).map_err(|e| in_file(path, e))?;
    Ok(connection)
}

/// As [`alone`], whichever program the file is of; what a transaction that was cut off has left is seen as it lies there.
///
/// # Errors
/// It is no database, or cannot be read.
pub(super) fn alone_of_any(path: &Path) -> Result<Connection> {
    let context = || format!("cannot read {}", path.display());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let full = std::path::absolute(path).map_err(|e| Error::io(context(), e))?;
    let connection = Connection::open_with_flags(format!("{}?immutable=1", uri(&full)), flags)
        .map_err(|e| in_file(path, Error::sqlite(context(), e)))?;
    connection.execute_batch(READER_PRAGMAS).map_err(|e| in_file(path, Error::sqlite(context(), e)))?;
    Ok(connection)
}

/// The full path of a file as a URI of SQLite's, to which parameters can be added.
fn uri(full: &Path) -> String {
    let escaped = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    let name: String = full.as_os_str().as_bytes().iter().map(escaped).collect();
    format!("file://{name}")
}

/// The name by which a connection attaches a file that it only reads.
pub fn read_only_uri(full: &Path) -> String {
    format!("{}?mode=ro", uri(full))
}

/// Refuses a file that this program would have to bring up to date first.
///
/// # Errors
/// `Conflict`.
pub(super) fn require_current(connection: &Connection) -> Result<()> {
    let (version, current) = (migrate::check(connection)?, migrate::current_version());
    if version < current {
        return Err(Error::Conflict(format!(
            "the file is of an older format ({version}, this program writes {current}); `windrow optimize` brings it up \
             to date, which leaves no way back to the older program"
        )));
    }
    Ok(())
}

/// Makes an empty file that only its owner can read; false where there is one. It is closed before SQLite opens it.
fn make_file(path: &Path) -> Result<bool> {
    if path.metadata().is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Ok(false);
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(
        |e| {
            Error::io(
                format!("cannot create {} (its folder has to exist and be writable)", path.display()),
                e,
            )
        },
    )?;
    Ok(true)
}

/// Whether the file has nothing in it but SQLite's first page: what a kill during its creation leaves.
pub(super) fn is_blank(connection: &Connection) -> Result<bool> {
    let sql = "SELECT application_id = 0 AND NOT EXISTS (SELECT 1 FROM sqlite_schema)
                 AND (SELECT user_version FROM pragma_user_version) = 0
                 FROM pragma_application_id";
    connection.query_row(sql, [], |row| row.get(0)).map_err(|e| Error::sqlite("cannot read the database", e))
}

/// The bundled SQLite is the one that was tested; a system library would be older.
fn check_sqlite() -> Result<()> {
    const OLDEST: i32 = 3_050_000;
    if rusqlite::version_number() < OLDEST {
        return Err(Error::Internal(format!(
            "linked with SQLite {}, need 3.50 or newer; build with the bundled one",
            rusqlite::version()
        )));
    }
    Ok(())
}

/// Why a file cannot be opened to read: SQLite says the same of what is missing beside it and of what is forbidden.
fn unreadable(path: &Path, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    let shown = path.display();
    match (source.sqlite_error_code(), std::fs::File::open(path)) {
        (Some(CannotOpen | ReadOnly), Err(e)) => Error::io(format!("cannot read {shown}"), e),
        (Some(CannotOpen | ReadOnly), Ok(_)) => Error::StorageUnavailable(format!(
            "cannot read {shown} ({source}); readers keep files beside it, so copy it to a folder that can be written"
        )),
        _ => in_file(path, Error::sqlite(format!("cannot read {shown}"), source)),
    }
}

/// The error, with the file that it is about.
pub(super) fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Conflict(detail) => Error::Conflict(format!("{}: {detail}", path.display())),
        Error::Corrupt(detail) if detail.contains(&path.display().to_string()) => Error::Corrupt(detail),
        Error::Corrupt(detail) => Error::Corrupt(format!("{}: {detail}", path.display())),
        Error::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) =>
        {
            Error::StorageUnavailable(format!(
                "cannot open {} ({source}); readers keep a file beside it too, so copy it to a folder that can be written",
                path.display()
            ))
        }
        other => other,
    }
}
