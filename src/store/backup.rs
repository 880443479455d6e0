//! A backup: a consistent copy of the file as of one commit, made beside a running server, checked in full before it
//! gets its name. `windrow backup` calls it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::check::Report;
use crate::store::copy::{beside, folder_of, is_same_file, remove, verified};
use crate::store::lock::Lock;
use crate::store::open;
use crate::store::progress::Progress;

/// What Windrow keeps beside a database, by the end of its name.
const COMPANIONS: [&str; 5] = ["-wal", "-shm", ".lock", ".ballast", ".partial"];

/// A copy that was made.
#[derive(Debug)]
pub struct Copied {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// What the check of it found: no damage.
    pub report: Report,
}

impl Copied {
    pub(super) fn of(path: &Path, report: Report) -> Result<Self> {
        let file =
            path.metadata().map_err(|e| Error::io(format!("cannot see the copy {}", path.display()), e))?;
        Ok(Self { path: path.to_owned(), bytes: file.len(), report })
    }
}

/// Copies a database, which another process may be serving, to a file.
///
/// ```
/// use windrow::Engine;
/// use windrow::store::{backup, progress::Progress};
///
/// # fn main() -> windrow::error::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let (path, copy) = (folder.path().join("visits.db"), folder.path().join("copy.db"));
/// let engine = Engine::open(&path)?;
/// engine.ingest("visits", br#"{"country": "DE"}"#)?;
/// let copied = backup::backup(&path, &copy, false, &Progress::default())?;
/// assert_eq!(copied.report.events, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Conflict` where the file is there (unless `overwrite`) or belongs to a database; `StorageUnavailable` without enough
/// space; `Corrupt` where the database is damaged. Then nothing was made.
pub fn backup(database: &Path, file: &Path, overwrite: bool, progress: &Progress) -> Result<Copied> {
    let source = open::whole_reader(database)?;
    check_target(database, file, overwrite, "backup")?;
    // held so that no server starts on a file that is about to be replaced
    let _lock = beside(file, ".lock").exists().then(|| Lock::take(file)).transpose()?;
    check_wal(file)?;
    let (partial, report) = verified(&source, file, progress)?;
    partial.rename(file)?;
    Copied::of(file, report)
}

/// Refuses a place where a file may not come: a backup, or what else (`what`) is written beside the database.
///
/// # Errors
/// A folder, what is no plain file, what belongs to the database; a file that is there, unless `overwrite`.
pub fn check_target(database: &Path, file: &Path, overwrite: bool, what: &str) -> Result<()> {
    let shown = file.display();
    if file.file_name().is_none() || file.is_dir() {
        return Err(Error::invalid(format!("{shown} is a folder; name the file that the {what} becomes")));
    }
    if file.exists() && !file.is_file() {
        return Err(Error::invalid(format!(
            "{shown} is no plain file, and is not replaced; name another file"
        )));
    }
    if !folder_of(file).is_dir() {
        return Err(Error::invalid(format!("{shown}: its folder is not there; make it first")));
    }
    if is_same_file(database, file) {
        return Err(Error::invalid(format!("{shown} is the database itself; name another file")));
    }
    let real = |path: &Path| folder_of(path).canonicalize().ok().zip(path.file_name().map(ToOwned::to_owned));
    if COMPANIONS.iter().any(|suffix| real(&beside(database, suffix)) == real(file)) {
        return Err(Error::invalid(format!("{shown} belongs to the database; name another file")));
    }
    if file.exists() && !overwrite {
        return Err(Error::Conflict(format!(
            "{shown} is there already; name another file, or replace it with --overwrite"
        )));
    }
    Ok(())
}

/// A write-ahead log that lies where the copy will be would be taken for its own.
fn check_wal(file: &Path) -> Result<()> {
    let wal = beside(file, "-wal");
    match wal.metadata() {
        Ok(found) if found.len() > 0 => Err(Error::Conflict(format!(
            "{} holds commits of another database at this place; name another file, or move that database away",
            wal.display()
        ))),
        Ok(_) => remove(&wal).and_then(|()| remove(&beside(file, "-shm"))),
        Err(_) => Ok(()),
    }
}
