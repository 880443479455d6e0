//! Whether the database is still the file that was opened. A deleted file takes writes as before, and they are gone with
//! the process; one that was put in its place would never get them. So the writer looks before it acknowledges: two
//! `stat` calls, and no handle, which would drop SQLite's locks when it is closed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Transaction;

use crate::error::{Error, Result};

/// What tells a file from any other: device and inode.
pub(super) type Identity = (u64, u64);

/// Which file has a name; `None` where none has.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// The files of an open database, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Watch {
    database: (PathBuf, Option<Identity>),
    wal: (PathBuf, Option<Identity>),
}

impl Watch {
    /// Notes the files of a database that SQLite has just opened.
    pub fn of(database: &Path, wal: &Path) -> Self {
        let noted = |path: &Path| (path.to_owned(), identity(path));
        Self { database: noted(database), wal: noted(wal) }
    }

    /// Fails where another file, or none, has the name of one that is open.
    ///
    /// # Errors
    /// `StorageUnavailable` that says which, and what to do.
    pub fn check(&self) -> Result<()> {
        let lost = |(path, opened): &(PathBuf, Option<Identity>)| {
            let now = identity(path);
            let how = if now.is_some() { "replaced by another file" } else { "deleted or moved away" };
            (opened.is_some() && now != *opened).then(|| (path.display().to_string(), how))
        };
        if let Some((path, how)) = lost(&self.database) {
            return Err(Error::StorageUnavailable(format!(
                "{path} was {how} while it was in use: nothing more is written, because it would be lost. Queries are \
                 answered from what is still open. Stop Windrow, put the file that you want in its place, and start it again"
            )));
        }
        if let Some((path, how)) = lost(&self.wal) {
            return Err(Error::StorageUnavailable(format!(
                "{path} was {how} while it was in use: nothing more is written, because a crash would lose it. What was \
                 acknowledged is in the database. Stop Windrow and start it again"
            )));
        }
        Ok(())
    }

    /// Whether only the log of SQLite is gone: the database itself can still take what is in it.
    pub fn has_database(&self) -> bool {
        self.database.1.is_none() || identity(&self.database.0) == self.database.1
    }

    /// Commits, and fails where that went to a file that nobody will find.
    ///
    /// # Errors
    /// SQLite's, and those of [`Watch::check`].
    pub fn commit(&self, transaction: Transaction<'_>) -> Result<()> {
        transaction.commit().map_err(|e| Error::sqlite("cannot commit", e))?;
        self.check()
    }
}
