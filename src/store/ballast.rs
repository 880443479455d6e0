//! `FILE.ballast`: space kept in reserve beside the database. On a full disk even DELETE, a rollback and a checkpoint
//! need some, so the writer gives the ballast away first and makes it anew once there is room again
//! (`store/failure.rs`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::error::{Error, Result};
use crate::limits;

/// A ballast below this helps nobody.
const BYTES_MIN: u64 = 1 << 20;
/// Of the free space a ballast takes one part in so many at most.
const SHARE: u64 = 16;
/// Bytes that are written at once where the file system does not allocate by itself.
const PIECE_BYTES: usize = 1 << 20;

/// The reserve of one database.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    /// What it takes, or took before it was given away; 0 where there was no room for one.
    bytes: u64,
    is_held: bool,
}

/// Bytes that a file system has left for us; `None` where it does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

/// A number of bytes as a person reads it.
pub(super) fn shown(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

fn share(free: u64) -> u64 {
    match (free / SHARE).min(limits::BALLAST_BYTES) {
        0..BYTES_MIN => 0,
        bytes => bytes,
    }
}

impl Ballast {
    /// Takes over the ballast of a database, or makes one where there is room for it.
    pub fn keep(database: &Path) -> Self {
        let path = path_of(database);
        let mut ballast = Self { path, bytes: 0, is_held: false };
        let there = ballast.path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
        // a copy of one may be nothing but a hole
        let there = there.filter(|file| file.blocks() * 512 >= file.len()).map_or(0, |file| file.len());
        if there > 0 && there >= share(ballast.free().unwrap_or(0) + there) / 2 {
            ballast.bytes = there;
            ballast.is_held = true;
            return ballast;
        }
        ballast.release();
        ballast.bytes = share(ballast.free().unwrap_or(0));
        if let Err(e) = ballast.make() {
            tracing::warn!("there is no ballast: {e}");
        }
        ballast
    }

    /// Gives the space away. Where the file cannot be removed there is nothing to do about it.
    pub fn release(&mut self) {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("the ballast {} cannot be removed: {e}", self.path.display());
            }
            _ => self.is_held = false,
        }
    }

    /// Whether nothing was given away.
    pub fn is_held(&self) -> bool {
        self.is_held || self.bytes == 0
    }

    /// Bytes that it takes, or took.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the file system has left.
    pub fn free(&self) -> Option<u64> {
        free_bytes(self.folder())
    }

    /// Where the space is missing, if it is.
    pub fn folder(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Bytes that have to be free before writes go on: room for the ballast, and as much for the writes.
    pub fn wanted(&self) -> u64 {
        let held = if self.is_held { 0 } else { self.bytes };
        held + self.bytes.max(BYTES_MIN)
    }

    /// Makes the ballast anew, once there is room for it and for the next writes.
    ///
    /// # Errors
    /// `StorageUnavailable` where there is not.
    pub fn restore(&mut self) -> Result<()> {
        let Some(free) = self.free() else { return self.make() };
        if free < self.wanted() {
            return Err(Error::StorageUnavailable(format!(
                "{} of {} that are needed are free",
                shown(free),
                shown(self.wanted())
            )));
        }
        if !self.is_held {
            self.bytes = self.bytes.max(share(free));
        }
        self.make()
    }

    fn make(&mut self) -> Result<()> {
        if self.is_held() {
            return Ok(());
        }
        let allocate = || -> std::io::Result<()> {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, self.bytes) {
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
                    fill(&file, self.bytes)
                }
                done => Ok(done?),
            }
        };
        if let Err(e) = allocate() {
            let told = format!("cannot make {} of {}: {e}", self.path.display(), shown(self.bytes));
            self.release();
            return Err(Error::StorageUnavailable(told));
        }
        self.is_held = true;
        Ok(())
    }
}

/// For file systems that cannot allocate: bytes that none of them can compress.
fn fill(mut file: &File, bytes: u64) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    getrandom::fill(&mut piece).map_err(std::io::Error::other)?;
    let mut left = bytes;
    while left > 0 {
        let now = left.min(piece.len() as u64);
        file.write_all(&piece[..now as usize])?;
        left -= now;
    }
    file.sync_all()
}

fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".ballast");
    PathBuf::from(name)
}

/// Gives the ballast of a database away before it is open; whether there was one.
pub(super) fn release_of(database: &Path) -> bool {
    std::fs::remove_file(path_of(database)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ballast_takes_a_small_share_and_none_of_a_tiny_disk() {
        assert_eq!(share(1 << 40), limits::BALLAST_BYTES);
        assert_eq!(share(32 << 20), 2 << 20);
        assert_eq!(share(15 << 20), 0);
        assert_eq!(share(0), 0);
    }

    #[test]
    fn a_ballast_is_allocated_given_away_made_anew_and_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.db");
        let file = folder.path().join("a.db.ballast");
        let mut ballast = Ballast::keep(&database);
        let made = file.metadata().expect("is there");
        assert_eq!((made.len(), made.mode() & 0o777), (ballast.bytes(), 0o600));
        assert!(made.blocks() * 512 >= made.len(), "really allocated");
        ballast.release();
        assert!(!file.exists() && !ballast.is_held());
        ballast.restore().expect("there is room");
        assert!(file.exists() && ballast.is_held());
        let inode = file.metadata().expect("is there").ino();
        let taken_over = Ballast::keep(&database);
        assert_eq!(file.metadata().expect("is there").ino(), inode, "the same file");
        assert_eq!(taken_over.bytes(), made.len());
        // a hole is no ballast
        ballast.release();
        File::create(&file).and_then(|hole| hole.set_len(made.len())).expect("made");
        drop(Ballast::keep(&database));
        assert!(file.metadata().expect("is there").blocks() * 512 >= made.len());
    }
}
