//! A verified copy of a database file: written beside its place, put on the disk, checked in full, and only then given
//! its name. Backup and restore are this copy in two directions. A kill leaves the unfinished copy, which the next one
//! replaces, and never half a file under the final name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::store::check::{Report, check_alone};
use crate::store::open::{self, BUSY_TIMEOUT, Durability};
use crate::store::progress::Progress;
use crate::store::segments;

/// Pages that are copied between two looks at the progress: 2 MiB.
const STEP_PAGES: i32 = 256;
/// Bytes that have to be free beyond those of the file.
const SPARE_BYTES: u64 = 4 << 20;
/// Faults that the refusal of a damaged file names.
const FAULTS_NAMED: usize = 3;
/// Wait before a step that met a lock is tried again.
const STEP_RETRY: Duration = Duration::from_millis(20);

/// A path with something added to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Brings the names in a folder to the disk.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| Error::io(format!("cannot bring the folder {} to the disk", folder.display()), e))
}

/// Whether two paths are one file.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// A copy without its final name; removed when it is dropped before it has one.
#[derive(Debug)]
pub(super) struct Partial {
    path: PathBuf,
    /// Held to the end, so that a second copy to the same place is refused.
    file: File,
    is_named: bool,
}

impl Partial {
    /// An empty file beside its final place, that only its owner can read. What a killed copy left is replaced.
    fn make(target: &Path) -> Result<Self> {
        let path = beside(target, ".partial");
        let context =
            || format!("cannot create {} (its folder has to exist and be writable)", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|e| Error::io(context(), e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Conflict(format!(
                    "{} is being written by another process; wait until it has ended, or name another file",
                    path.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(context(), e)),
        }
        file.set_len(0).map_err(|e| Error::io(context(), e))?;
        for suffix in ["-wal", "-shm", "-journal"] {
            remove(&beside(&path, suffix))?;
        }
        Ok(Self { path, file, is_named: false })
    }

    /// Gives the copy its name, in place of whatever has it.
    pub(super) fn rename(mut self, target: &Path) -> Result<()> {
        std::fs::rename(&self.path, target).map_err(|e| {
            Error::io(format!("cannot rename {} to {}", self.path.display(), target.display()), e)
        })?;
        self.is_named = true;
        sync_folder(folder_of(target))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            // what cannot be removed is replaced by the next copy
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a file that may be missing.
pub(super) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

/// Copies what a connection sees, from one moment on, and checks the copy.
///
/// # Errors
/// `Corrupt` where the copy is damaged, because the file is; `StorageUnavailable` without enough space.
pub(super) fn verified(source: &Connection, target: &Path, progress: &Progress) -> Result<(Partial, Report)> {
    let partial = Partial::make(target)?;
    copy(source, &partial.path, progress)?;
    settle(&partial.path)?;
    let context = || format!("cannot bring {} to the disk", partial.path.display());
    partial.file.sync_all().map_err(|e| Error::io(context(), e))?;
    sync_folder(folder_of(&partial.path))?;
    let report = check_alone(&partial.path, progress)?;
    if report.ok {
        return Ok((partial, report));
    }
    let named: Vec<String> = report.damage.iter().take(FAULTS_NAMED).map(ToString::to_string).collect();
    let more = report.damage_total.saturating_sub(named.len() as u64);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Error::Corrupt(format!("the file is damaged, nothing was copied: {}{rest}", named.join("; "))))
}

/// Copies page by page. The source holds one read transaction to the end: otherwise every commit of a running server
/// would make SQLite begin anew.
fn copy(source: &Connection, partial: &Path, progress: &Progress) -> Result<()> {
    let context = |e| Error::sqlite("cannot copy the database", e);
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(context)?;
    let pragma =
        |name: &str| source.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(context);
    let page_bytes = pragma("page_size")?.unsigned_abs();
    let bytes = pragma("page_count")?.unsigned_abs() * page_bytes;
    require_space(folder_of(partial), bytes)?;
    progress.begin("copying", bytes);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(partial, flags).map_err(context)?;
    // a copy that is cut off is thrown away: it needs no journal
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(context)?;
    let backup = Backup::new(source, &mut copy).map_err(context)?;
    let mut waited = Duration::ZERO;
    loop {
        progress.check()?;
        match backup.step(STEP_PAGES).map_err(context)? {
            StepResult::Done => break,
            StepResult::More => {
                let left = u64::try_from(backup.progress().remaining).unwrap_or(0) * page_bytes;
                progress.set(bytes.saturating_sub(left));
            }
            _ if waited < BUSY_TIMEOUT => {
                std::thread::sleep(STEP_RETRY);
                waited += STEP_RETRY;
            }
            _ => {
                return Err(Error::Busy {
                    detail: "the database is locked by another process; repeat the command later".into(),
                    retry_after_s: 5,
                });
            }
        }
    }
    drop(backup);
    source.execute_batch("COMMIT").map_err(context)
}

fn require_space(folder: &Path, bytes: u64) -> Result<()> {
    let space = rustix::fs::statvfs(folder)
        .map_err(|e| Error::io(format!("cannot tell the free space of {}", folder.display()), e.into()))?;
    let (free, needed) = (space.f_bavail.saturating_mul(space.f_frsize), bytes.saturating_add(SPARE_BYTES));
    if free < needed {
        return Err(Error::StorageUnavailable(format!(
            "there is not enough space in {}: {} MiB are needed, {} MiB are free",
            folder.display(),
            needed.div_ceil(1 << 20),
            free >> 20
        )));
    }
    Ok(())
}

/// Brings a copy up to date, removes dead segments and free pages, and leaves no file beside it.
fn settle(partial: &Path) -> Result<()> {
    let connection = open::writer(partial, Durability::Normal)?;
    tidy(&connection)?;
    connection.close().map_err(|(_, e)| Error::sqlite("cannot close the copy", e))?;
    for suffix in ["-wal", "-shm"] {
        if beside(partial, suffix).exists() {
            return Err(Error::Internal(format!("the copy {} was left with a log", partial.display())));
        }
    }
    Ok(())
}

/// Removes dead segments, cuts free pages off, and empties the WAL into the file.
pub(super) fn tidy(connection: &Connection) -> Result<()> {
    let context = |e| Error::sqlite("cannot tidy the file", e);
    let dead = segments::dead(connection)?;
    if !dead.is_empty() {
        let transaction = connection.unchecked_transaction().map_err(context)?;
        dead.into_iter().try_for_each(|id| segments::bury(&transaction, id))?;
        transaction.commit().map_err(context)?;
    }
    let free: i64 =
        connection.pragma_query_value(None, "freelist_count", |row| row.get(0)).map_err(context)?;
    if free > 0 {
        let mut statement = connection.prepare("PRAGMA incremental_vacuum").map_err(context)?;
        let mut steps = statement.query([]).map_err(context)?;
        while steps.next().map_err(context)?.is_some() {}
    }
    checkpoint(connection).map(drop)
}

/// Empties the WAL into the file; false where a reader keeps it from that.
pub(super) fn checkpoint(connection: &Connection) -> Result<bool> {
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
        .map_err(|e| Error::sqlite("cannot bring the write-ahead log into the file", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages that are left after each step of a copy, while every step is followed by a commit to its source.
    fn remaining(holds_a_transaction: bool) -> Vec<i32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let writer = open::writer(&path, Durability::Normal).unwrap();
        writer.execute_batch("CREATE TABLE pages (id INTEGER PRIMARY KEY, bytes BLOB)").unwrap();
        for _ in 0..40 {
            writer.execute("INSERT INTO pages (bytes) VALUES (randomblob(8000))", []).unwrap();
        }
        let reader = open::whole_reader(&path).unwrap();
        if holds_a_transaction {
            reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").unwrap();
        }
        let mut target = Connection::open(folder.path().join("b.db")).unwrap();
        let backup = Backup::new(&reader, &mut target).unwrap();
        let mut left = Vec::new();
        for _ in 0..6 {
            backup.step(4).unwrap();
            left.push(backup.progress().remaining);
            writer.execute("UPDATE pages SET bytes = randomblob(8000) WHERE id < 9", []).unwrap();
        }
        left
    }

    #[test]
    fn commits_make_a_copy_begin_anew_unless_it_holds_a_transaction() {
        let held = remaining(true);
        assert!(held.windows(2).all(|pair| pair[1] == pair[0] - 4), "{held:?}");
        let loose = remaining(false);
        assert!(loose.windows(2).all(|pair| pair[1] >= pair[0]), "{loose:?}");
    }

    #[test]
    fn a_folder_without_enough_space_is_told_how_much_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        require_space(folder.path(), 1).unwrap();
        let refused = require_space(folder.path(), 1 << 60).unwrap_err().to_string();
        assert!(refused.contains("1099511627780 MiB are needed"), "{refused}");
    }

    #[test]
    fn a_copy_to_one_place_is_made_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("copy.db");
        let first = Partial::make(&target).unwrap();
        assert!(Partial::make(&target).unwrap_err().to_string().contains("another process"));
        drop(first);
        assert!(!beside(&target, ".partial").exists());
        Partial::make(&target).unwrap().rename(&target).unwrap();
        assert!(target.exists());
    }
}
