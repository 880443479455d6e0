//! The disk under SQLite's temporary files. What a question sorts, groups and keeps beyond some MiB goes into files that are
//! unlinked as soon as they are open, so they are gone with the question; a recursion that never ends would fill the disk
//! all the same. `sandbox` looks here now and then.

use std::path::{Path, PathBuf};

use crate::error::{Bound, Error, Result};
use crate::store::ballast::free_bytes;

/// What a question may leave of the free space that it found, as a divisor.
const LEFT: u64 = 2;

/// The file system of the temporary files.
#[derive(Debug)]
pub struct Spill {
    folder: Option<PathBuf>,
    least: u64,
}

impl Spill {
    /// As it is when a question begins.
    pub fn at_begin() -> Self {
        let folder = folder();
        let free = folder.as_deref().and_then(free_bytes);
        Self { folder, least: free.map_or(0, |free| free / LEFT) }
    }

    /// Whether the question may go on.
    ///
    /// # Errors
    /// Half of the space that was free is taken.
    pub fn check(&self) -> Result<()> {
        let Some(folder) = self.folder.as_deref() else { return Ok(()) };
        match free_bytes(folder) {
            Some(free) if free < self.least => Err(full(folder)),
            _ => Ok(()),
        }
    }
}

/// The refusal of a question whose temporary files need more room than there is.
pub fn no_room() -> Error {
    full(folder().as_deref().unwrap_or_else(|| Path::new("the folder of temporary files")))
}

fn full(folder: &Path) -> Error {
    let detail = format!(
        "the question needs more room for temporary files than {} has; narrow it with a range of _time or with where, \
         end its recursion, or give SQLITE_TMPDIR a folder with more room",
        folder.display()
    );
    Error::OverBudget { bound: Bound::Memory, detail }
}

/// Where SQLite puts its temporary files: it asks the same places in the same order.
fn folder() -> Option<PathBuf> {
    let told = ["SQLITE_TMPDIR", "TMPDIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let known = ["/var/tmp", "/usr/tmp", "/tmp", "."].into_iter().map(PathBuf::from);
    told.chain(known).find(|folder| {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        folder.is_dir() && rustix::fs::access(folder.as_path(), access).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_free_may_be_taken() {
        let now = Spill::at_begin();
        now.check().unwrap();
        let free = free_bytes(now.folder.as_deref().unwrap()).unwrap();
        let later = Spill { least: free * 2, ..now };
        let error = later.check().unwrap_err();
        assert!(matches!(error, Error::OverBudget { bound: Bound::Memory, .. }), "{error}");
        assert!(error.to_string().contains(later.folder.as_deref().unwrap().to_str().unwrap()), "{error}");
    }
}
