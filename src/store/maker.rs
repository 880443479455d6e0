//! Who made a file. The first opening of a file notes the name of its maker in it, in the transaction that makes its
//! secret, so at every moment a file is nobody's yet or its maker's. `windrow demo` asks before it touches one.

use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::store::copy::beside;
use crate::store::{catalog, migrate, open};

/// What a secret is called in the table `meta`.
const SECRET: &str = "secret";
/// What a maker is called there.
const MADE_BY: &str = "made_by";

/// Who made a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maker {
    /// There is no file, or one whose making was cut off before anything could be stored in it.
    Nobody,
    /// A program that gave no name: most do not.
    Unnamed,
    /// The program of this name, by [`StoreOptions::made_by`](crate::store::StoreOptions::made_by).
    Named(String),
}

/// Tells who made a file, without changing a byte of it. No other process may have it open to write.
///
/// ```
/// use windrow::store::maker::{Maker, maker_of};
/// use windrow::store::{Store, StoreOptions};
///
/// # fn main() -> windrow::error::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("visits.db");
/// assert_eq!(maker_of(&path)?, Maker::Nobody);
/// Store::open(&path, StoreOptions { made_by: Some("demo"), ..StoreOptions::default() })?.close();
/// assert_eq!(maker_of(&path)?, Maker::Named("demo".into()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// It is no database, one of another program or of a newer Windrow, or it cannot be read.
pub fn maker_of(path: &Path) -> Result<Maker> {
    let bytes = match path.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Maker::Nobody),
        Err(e) => return Err(Error::io(format!("cannot see {}", path.display()), e)),
        Ok(found) => found.len(),
    };
    open::check_is_no_folder(path)?;
    if bytes == 0 {
        return Ok(Maker::Nobody);
    }
    let has_wal = beside(path, "-wal").metadata().is_ok_and(|wal| wal.len() > 0);
    let connection = if has_wal { open::whole_reader(path)? } else { open::alone_of_any(path)? };
    let named = |error| open::in_file(path, error);
    // its first page is there before it says whose it is
    if open::is_blank(&connection).map_err(named)? {
        return Ok(Maker::Nobody);
    }
    if migrate::check(&connection).map_err(named)? == 0 || catalog::meta(&connection, SECRET)?.is_none() {
        return Ok(Maker::Nobody);
    }
    let name = catalog::meta(&connection, MADE_BY)?;
    Ok(name.map_or(Maker::Unnamed, |name| Maker::Named(String::from_utf8_lossy(&name).into_owned())))
}

/// The secret of a file, made at its first opening together with the name of its maker.
pub(super) fn secret(connection: &Connection, made_by: Option<&str>) -> Result<[u8; 32]> {
    if let Some(stored) = catalog::meta(connection, SECRET)? {
        return <[u8; 32]>::try_from(stored)
            .map_err(|_| Error::Corrupt("the stored secret has a wrong length".into()));
    }
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh)
        .map_err(|e| Error::Internal(format!("the system gives no random bytes: {e}")))?;
    let transaction =
        connection.unchecked_transaction().map_err(|e| Error::sqlite("cannot begin a transaction", e))?;
    catalog::set_meta(&transaction, SECRET, &fresh)?;
    if let Some(name) = made_by {
        catalog::set_meta(&transaction, MADE_BY, name.as_bytes())?;
    }
    transaction.commit().map_err(|e| Error::sqlite("cannot commit", e))?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::Durability;
    use crate::store::{Store, StoreOptions};

    fn demo() -> StoreOptions {
        StoreOptions { made_by: Some("demo"), ..StoreOptions::default() }
    }

    #[test]
    fn the_first_opening_names_the_maker_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours.db"), folder.path().join("other.db"));
        for (path, options) in [(&ours, demo()), (&other, StoreOptions::default())] {
            Store::open(path, options).unwrap().close();
        }
        for options in [StoreOptions::default(), demo()] {
            Store::open(&ours, options).unwrap().close();
            Store::open(&other, options).unwrap().close();
        }
        assert_eq!(maker_of(&ours).unwrap(), Maker::Named("demo".into()));
        assert_eq!(maker_of(&other).unwrap(), Maker::Unnamed);
    }

    #[test]
    fn a_file_whose_making_was_cut_off_is_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        assert_eq!(maker_of(&path).unwrap(), Maker::Nobody, "no file");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(maker_of(&path).unwrap(), Maker::Nobody, "an empty file");
        Connection::open(&path).unwrap().execute_batch("PRAGMA auto_vacuum = INCREMENTAL").unwrap();
        assert!(path.metadata().unwrap().len() > 0);
        assert_eq!(maker_of(&path).unwrap(), Maker::Nobody, "a first page");
        let connection = open::writer(&path, Durability::Full).unwrap();
        assert_eq!(maker_of(&path).unwrap(), Maker::Nobody, "tables, and a log beside the file");
        drop(connection);
        assert_eq!(maker_of(&path).unwrap(), Maker::Nobody, "tables, and no more");
        Store::open(&path, demo()).unwrap().close();
        assert_eq!(maker_of(&path).unwrap(), Maker::Named("demo".into()));
    }

    #[test]
    fn what_is_none_of_ours_is_an_error_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (text, sqlite) = (folder.path().join("text.db"), folder.path().join("sqlite.db"));
        std::fs::write(&text, b"dear diary, this is no database, whatever its name may say".repeat(200))
            .unwrap();
        Connection::open(&sqlite).unwrap().execute_batch("CREATE TABLE diary (page TEXT)").unwrap();
        for path in [&text, &sqlite] {
            let before = std::fs::read(path).unwrap();
            maker_of(path).unwrap_err();
            assert_eq!(std::fs::read(path).unwrap(), before);
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        for refused in [maker_of(folder.path()).err(), open::reader(folder.path()).err()] {
            let refused = refused.unwrap().to_string();
            assert!(refused.contains("is a folder") && refused.contains("--db"), "{refused}");
        }
    }
}
