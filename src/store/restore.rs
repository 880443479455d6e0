//! A backup put in the place of a database. The backup is copied beside it and checked in full before anything is
//! touched; the old file stays under another name. `windrow restore` calls it.
//!
//! The order makes it safe to be killed at any moment: under the database's name is the old file with all its commits,
//! or the new one. The one exception is an old file that is too damaged for its write-ahead log to be taken in: then
//! both are kept together under the other name before the log goes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::store::backup::Copied;
use crate::store::copy::{beside, checkpoint, folder_of, is_same_file, remove, sync_folder, verified};
use crate::store::lock::Lock;
use crate::store::open::{self, BUSY_TIMEOUT};
use crate::store::progress::Progress;

/// Old files that are kept beside a database, at most.
const KEPT_MAX: u32 = 1_000;

/// A database that was put back.
#[derive(Debug)]
pub struct Restored {
    /// The new file.
    pub copied: Copied,
    /// Where the old one is now; `None` where there was none, or nothing in it.
    pub kept: Option<PathBuf>,
}

/// What is at the database's place.
#[derive(Debug, PartialEq)]
enum Found {
    Nothing,
    /// A database of ours without any dataset.
    Empty,
    /// Datasets, or a file that cannot be read.
    Data(String),
}

/// Puts a backup in the place of a database that no server has.
///
/// # Errors
/// `Conflict` where a process has the database, or where it holds data and `overwrite` is not said; what keeps the
/// backup from being read; `Corrupt` where it is damaged. Then nothing was touched.
pub fn restore(file: &Path, database: &Path, overwrite: bool, progress: &Progress) -> Result<Restored> {
    // by its real name, as a server would open it
    let database = &database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let _lock = Lock::take(database)?;
    if is_same_file(file, database) {
        return Err(Error::invalid(format!(
            "{} is the database itself; name a backup of it",
            file.display()
        )));
    }
    let source = open_backup(file)?;
    let found = look_at(database);
    if let Found::Data(what) = &found
        && !overwrite
    {
        return Err(Error::Conflict(format!(
            "{} {what}; --overwrite puts {} in its place and keeps it as {}",
            database.display(),
            file.display(),
            beside(database, ".before-restore").display()
        )));
    }
    let (partial, report) = verified(&source, database, progress)?;
    let kept = make_way(database, &found)?;
    partial.rename(database)?;
    Ok(Restored { copied: Copied::of(database, report)?, kept })
}

/// A file without a write-ahead log is read without making one, so that nothing is left beside a backup.
fn open_backup(file: &Path) -> Result<Connection> {
    if !file.is_file() {
        return Err(Error::NotFound(format!("there is no backup {}; check its path", file.display())));
    }
    let opened = match beside(file, "-wal").exists() {
        true => open::whole_reader(file),
        false => open::alone(file),
    };
    opened.map_err(|e| match e {
        // the way out of a damaged database is a restore, which is what is being done
        Error::Corrupt(what) => {
            let what = what.split("; ").next().unwrap_or_default();
            Error::Corrupt(format!("{what}; nothing was changed, restore another backup"))
        }
        other => other,
    })
}

fn look_at(database: &Path) -> Found {
    if database.metadata().map_or(true, |file| file.is_file() && file.len() == 0) {
        return Found::Nothing;
    }
    let counted = open::whole_reader(database).and_then(|connection| {
        connection
            .query_row("SELECT count(*) FROM dataset", [], |row| row.get::<_, i64>(0))
            .map_err(|e| Error::sqlite("cannot list the datasets", e))
    });
    match counted {
        Ok(0) => Found::Empty,
        Ok(1) => Found::Data("holds a dataset".into()),
        Ok(count) => Found::Data(format!("holds {count} datasets")),
        Err(_) => Found::Data("is there and cannot be read".into()),
    }
}

/// Brings the old file under another name, where it holds anything, and takes its write-ahead log away from the place
/// where it would be taken for that of the new one.
fn make_way(database: &Path, found: &Found) -> Result<Option<PathBuf>> {
    let wal = beside(database, "-wal");
    let is_folded = *found == Found::Nothing || fold(database)?;
    let kept = match found {
        Found::Data(_) => {
            let kept = keep(database)?;
            if !is_folded && wal.exists() {
                link(&wal, &beside(&kept, "-wal"))?;
            }
            sync_folder(folder_of(database))?;
            Some(kept)
        }
        _ => None,
    };
    remove(&wal)?;
    remove(&beside(database, "-shm"))?;
    sync_folder(folder_of(database))?;
    Ok(kept)
}

/// Takes the write-ahead log into the file; false where that is too damaged.
fn fold(database: &Path) -> Result<bool> {
    if beside(database, "-wal").metadata().map_or(true, |file| file.len() == 0) {
        return Ok(true);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let folded = Connection::open_with_flags(database, flags)
        .and_then(|connection| connection.busy_timeout(BUSY_TIMEOUT).map(|()| connection))
        .map_err(|e| Error::sqlite("cannot open the old file", e))
        .and_then(|connection| checkpoint(&connection));
    match folded {
        Ok(true) => Ok(true),
        Ok(false) => Err(Error::Conflict(format!(
            "{} is being read by another process; wait until that has ended, then repeat the command",
            database.display()
        ))),
        Err(e) => {
            tracing::warn!("the old file is kept together with its write-ahead log: {e}");
            Ok(false)
        }
    }
}

/// Gives the old file a second name, the first that is free.
fn keep(database: &Path) -> Result<PathBuf> {
    for number in 1..=KEPT_MAX {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let name = beside(database, &format!(".before-restore{suffix}"));
        // an earlier restore that was killed had got so far
        if is_same_file(&name, database) {
            return Ok(name);
        }
        if !name.exists() && !beside(&name, "-wal").exists() {
            link(database, &name)?;
            return Ok(name);
        }
    }
    Err(Error::Conflict(format!(
        "there are {KEPT_MAX} files {}-N; remove those that are not needed",
        beside(database, ".before-restore").display()
    )))
}

/// A second name for a file: the first stays until the new file takes it, so at no moment is there none. Where the file
/// system has no second names, the file gives up its first.
fn link(from: &Path, to: &Path) -> Result<()> {
    let context = |e| Error::io(format!("cannot keep {} as {}", from.display(), to.display()), e);
    match std::fs::hard_link(from, to) {
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            std::fs::rename(from, to).map_err(context)
        }
        other => other.map_err(context),
    }
}
