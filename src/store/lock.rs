//! The lock file beside the database: one writer process a file. It holds pid and address of who has it, so that a
//! second one can say whom it met, and of a server what lets the command line beside it in. It is a file of its own because closing any other handle of the database file
//! would drop SQLite's locks.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The held lock; released when dropped, also by a kill.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of a database file.
    ///
    /// # Errors
    /// `Conflict` naming the process that holds it, and its address where it serves one.
    pub fn take(database: &Path) -> Result<Self> {
        let path = path_of(database);
        let context = || {
            format!("cannot open the lock file {} (its folder has to exist and be writable)", path.display())
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::io(context(), e))?;
        match file.try_lock() {
            Ok(()) => {
                let lock = Self { file, path };
                lock.write_holder("")?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // the holder may be writing it just now: an empty text is told as an unknown process
                let _ = file.read_to_string(&mut holder);
                Err(Error::Conflict(held_by(database, &holder)))
            }
            Err(TryLockError::Error(e)) => Err(Error::io(context(), e)),
        }
    }

    /// Notes where this process serves the file, and what lets in who can read that.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub fn note_server(&self, served: &Served) -> Result<()> {
        let socket = served.socket.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
        // the path last, as it may have spaces
        self.write_holder(&format!("{} {} {socket}", served.address, served.pass))
    }

    fn write_holder(&self, address: &str) -> Result<()> {
        let text = format!("{} {address}\n", std::process::id());
        let mut file = &self.file;
        // one that an older program made may be for others to read; where that cannot be changed, it is another's file
        let _ = file.set_permissions(Permissions::from_mode(0o600));
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(text.as_bytes()))
            .or_else(|e| match e.kind() {
                // it only tells others whom they met: a full disk shall not keep the database from being opened
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Ok(()),
                _ => Err(e),
            })
            .map_err(|e| Error::io(format!("cannot write the lock file {}", self.path.display()), e))
    }
}

/// Refuses a database that another process has, without taking its lock and without making a file. Whoever takes the
/// lock in the same moment may be refused too.
///
/// # Errors
/// `Conflict` as of [`Lock::take`].
pub fn check_free(database: &Path) -> Result<()> {
    let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    // what cannot be opened is held by nobody, or told when the lock is taken
    let Ok(mut file) = File::open(path_of(&database)) else { return Ok(()) };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(Error::Conflict(held_by(&database, &holder)))
        }
        _ => Ok(()),
    }
}

/// A server of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Where it is, as `http://127.0.0.1:7878`.
    pub address: String,
    /// What it lets in as the owner of the file; empty where it wrote none.
    pub pass: String,
    /// The socket in the file system where the owner comes in; none of an older program.
    pub socket: Option<PathBuf>,
}

/// The process that serves a database; `None` where none does.
pub fn served(database: &Path) -> Option<Served> {
    let database = database.canonicalize().unwrap_or_else(|_| database.to_owned());
    let mut file = File::open(path_of(&database)).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut holder = String::new();
    file.read_to_string(&mut holder).ok()?;
    let mut words = holder.trim_end().splitn(4, ' ').skip(1);
    let address = words.next()?.to_owned();
    let pass = words.next().unwrap_or_default().to_owned();
    Some(Served { address, pass, socket: words.next().map(PathBuf::from) })
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn held_by(database: &Path, holder: &str) -> String {
    let mut words = holder.split_whitespace();
    let process = words.next().map_or("another process".to_owned(), |pid| format!("process {pid}"));
    let (place, advice) = match words.next() {
        Some(address) => (format!(", which serves it at {address}"), "talk to that server, or stop it first"),
        None => (String::new(), "wait until it has ended, or stop it first"),
    };
    format!("{} is in use by {process}{place}; {advice}", database.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_who_was_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let first = Lock::take(&database).expect("free");
        first.write_holder("http://127.0.0.1:7878").expect("written");
        let refusal = Lock::take(&database).expect_err("held").to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert!(refusal.contains("http://127.0.0.1:7878"), "{refusal}");
        drop(first);
        Lock::take(&database).expect("free again");
    }

    #[test]
    fn who_reads_the_lock_of_a_server_is_let_in_and_nobody_is_told_how() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        std::fs::write(path_of(&database), "").expect("written");
        std::fs::set_permissions(path_of(&database), Permissions::from_mode(0o644)).expect("set");
        let lock = Lock::take(&database).expect("free");
        assert!(served(&database).is_none());
        let socket = Some("/tmp/folder of mine/socket".into());
        let noted = Served { address: "https://127.0.0.1:7878".into(), pass: "pass".into(), socket };
        lock.note_server(&noted).expect("written");
        assert_eq!(served(&database), Some(noted.clone()));
        // as programs before this one wrote it
        lock.write_holder("https://127.0.0.1:7878 pass").expect("written");
        assert_eq!(served(&database), Some(Served { socket: None, ..noted }));
        let told = check_free(&database).expect_err("held").to_string();
        assert!(!told.contains("pass"), "{told}");
        let mode = path_of(&database).metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(lock);
        assert!(served(&database).is_none());
    }

    #[test]
    fn a_look_at_the_lock_takes_and_makes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        check_free(&database).expect("free");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let first = Lock::take(&database).expect("free");
        first.write_holder("http://127.0.0.1:7878").expect("written");
        let refusal = check_free(&database).expect_err("held").to_string();
        assert!(refusal.contains("http://127.0.0.1:7878"), "{refusal}");
        drop(first);
        check_free(&database).expect("free again");
        Lock::take(&database).expect("not taken by looking");
    }
}
