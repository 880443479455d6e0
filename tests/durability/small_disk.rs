//! A small disk of its own (tmpfs) that a test can fill up, which takes the right to mount.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FallocateFlags;

use crate::common::temp_dir;

/// A small disk; gone with the test.
pub struct Disk {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl Disk {
    /// `None`, said aloud, where this user may not mount one.
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = temp_dir();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "windrow-test"])
            .arg(folder.path())
            .output()
            .is_ok_and(|ran| ran.status.success());
        if !mounted {
            eprintln!("skipped: a test of a full disk mounts a small one, which this user may not");
            return None;
        }
        Some(Self { folder, is_mounted: true })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn free(&self) -> u64 {
        let told = rustix::fs::statvfs(self.path()).unwrap();
        told.f_bavail * told.f_frsize
    }

    pub fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves so many bytes free, as far as there are more.
    pub fn fill_but(&self, bytes: u64) {
        let file = File::options().create(true).write(true).truncate(false).open(self.filler()).unwrap();
        let there = file.metadata().unwrap().len();
        let more = self.free().saturating_sub(bytes);
        if more > 0 {
            let _ = rustix::fs::fallocate(&file, FallocateFlags::empty(), there, more);
        }
    }

    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // lazily: a server that a failed test left may still have files open
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}
