//! What the writer does when a write fails: nothing of it is kept, further ones are refused, and it looks every half a
//! second whether the file can be written again. On a full disk it gives the ballast away first, so that rollback,
//! checkpoint and whatever frees space still work; a database whose file is gone is refused until the next start.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tracing::{debug, error, warn};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::ballast::{free_bytes, shown};
use crate::store::writer::Writer;
use crate::store::{catalog, open};
use crate::time;

/// How long a failed disk is left alone before the next trial write.
pub(super) const TRIAL_EVERY: Duration = Duration::from_millis(500);
/// Pages that are given back in one transaction while space is short: it has to fit into what the ballast left.
const PAGES_AT_ONCE: u32 = 64;
/// Transactions of such pages between two looks.
const STEPS_AT_ONCE: usize = 64;

/// What a commit writes besides its rows: the pages of tables and indexes that it touches.
const COMMIT_BYTES: u64 = 256 << 10;

/// Why writes are refused.
#[derive(Debug)]
pub(super) struct Failure {
    reason: String,
    looked: Instant,
    /// The file is gone: only a start ends it.
    is_lasting: bool,
}

impl Writer {
    /// Runs one change of the file; after a failure, only once a trial write has succeeded. A panic is a failure: the
    /// transaction is rolled back as it unwinds, and nothing was published.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.guarded(false, change)
    }

    /// As [`Writer::change`], also while others are refused: what it does frees space. Where it is the first to meet the
    /// full disk, it is done again with what the ballast has left.
    pub(super) fn change_that_frees<T>(
        &mut self,
        mut change: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let was_held = self.ballast.is_held();
        match self.guarded(true, &mut change) {
            Err(Error::StorageUnavailable(_)) if was_held && !self.ballast.is_held() => {
                self.guarded(true, change)
            }
            done => done,
        }
    }

    /// Runs one change; `frees`: also while others are refused.
    pub(super) fn guarded<T>(
        &mut self,
        frees: bool,
        change: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.look_after_failure();
        if let Some(failure) = self.failed.as_ref().filter(|failure| failure.is_lasting || !frees) {
            return Err(self.refusal(failure));
        }
        let done = self.watch.check().and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| change(self)))
                .unwrap_or_else(|_| Err(Error::Internal("a write panicked".into())))
        });
        done.map_err(|e| match e {
            e if e.is_internal() || matches!(e, Error::StorageUnavailable(_)) => self.fail(e),
            refused => refused,
        })
    }

    /// Notes a failure; gives the error that the caller is told.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        let moved = self.watch.check().err();
        let is_lasting = moved.is_some();
        let error = moved.unwrap_or(error);
        let is_first = self.failed.as_ref().is_none_or(|failure| failure.is_lasting != is_lasting);
        if !is_lasting && error.is_of_the_disk() {
            self.ballast.release();
        }
        let failure = Failure { reason: error.to_string(), looked: Instant::now(), is_lasting };
        let told = if error.is_of_the_disk() { self.refusal(&failure) } else { error };
        // once a state, not once a request
        if is_first {
            error!(
                "a write failed, further ones are refused until the file can be written again: {}",
                failure.reason
            );
        } else {
            debug!("a write failed again: {}", failure.reason);
        }
        self.failed = Some(failure);
        // what a commit left in the WAL that did not come to its end shall not be found by the next start
        if self.rolled_back() && self.watch.has_database() {
            let _ = self.checkpoint();
        }
        told
    }

    /// What a request is told while writes are refused.
    fn refusal(&self, failure: &Failure) -> Error {
        let folder = self.ballast.folder();
        Error::StorageUnavailable(match free_bytes(folder) {
            _ if failure.is_lasting => failure.reason.clone(),
            Some(free) if free < self.ballast.wanted() => format!(
                "the disk of {} is full: {} are free, writing goes on by itself once {} are. Delete files on it, or drop \
                 datasets; queries are answered meanwhile. Nothing of this request was kept",
                folder.display(),
                shown(free),
                shown(self.ballast.wanted())
            ),
            _ => format!("an earlier write failed: {}", failure.reason),
        })
    }

    /// Tries to write again, where that is due. Called on every turn of the writer, with or without work.
    pub(super) fn look_after_failure(&mut self) {
        let Some(failure) = &mut self.failed else { return };
        if failure.is_lasting || failure.looked.elapsed() < TRIAL_EVERY {
            return;
        }
        failure.looked = Instant::now();
        if !self.ballast.is_held() {
            self.reclaim();
        }
        match self.try_to_write() {
            Ok(()) => {
                self.failed = None;
                warn!("the file can be written again; the ballast takes {}", shown(self.ballast.bytes()));
                let _ = self.wake.try_send(());
            }
            Err(e) => debug!("the file cannot be written yet: {e}"),
        }
    }

    fn try_to_write(&mut self) -> Result<()> {
        if !self.rolled_back() {
            return Err(Error::StorageUnavailable("the last transaction cannot be rolled back".into()));
        }
        self.ballast.restore()?;
        let done = catalog::set_meta(&self.connection, "trial_write", &time::now().to_le_bytes())
            .and_then(|()| self.watch.check());
        if let Err(e) = &done
            && e.is_of_the_disk()
        {
            self.ballast.release();
        }
        done
    }

    fn rolled_back(&self) -> bool {
        self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok()
    }

    /// Gives the file system back what the file does not need. Each step may fail for lack of space: then the next look
    /// goes on with it.
    fn reclaim(&mut self) {
        let _ = self.checkpoint();
        self.bury_the_dead();
        for _ in 0..STEPS_AT_ONCE {
            match self.vacuum(PAGES_AT_ONCE).and_then(|done| self.checkpoint().map(|()| done)) {
                Ok(done) if done.left > 0 && !done.is_stuck => {}
                _ => return,
            }
        }
    }

    /// Space that a change needs and that is not there is told before it is tried: the disk is not full for others yet.
    pub(super) fn has_room_for(&self, bytes: u64, what: &str) -> Result<()> {
        let needed = self.needed_for(bytes);
        match self.ballast.free() {
            Some(free) if free < needed => Err(Error::StorageUnavailable(format!(
                "{what} takes {}, and {} are free on the disk of {}; it is done once there is room",
                shown(needed),
                shown(free),
                self.ballast.folder().display()
            ))),
            _ => Ok(()),
        }
    }

    /// A write that would leave more in the WAL than the file can take in, with the ballast given away, is refused as if
    /// the disk were full: no checkpoint could ever succeed after it, and not even dropping.
    pub(super) fn check_room_to_append(&mut self, bytes: usize) -> Result<()> {
        let lacks_room = |writer: &Self| {
            let held = if writer.ballast.is_held() { writer.ballast.bytes() } else { 0 };
            writer.ballast.free().is_some_and(|free| free + held < writer.needed_for(bytes as u64))
        };
        if self.failed.is_none() && lacks_room(self) {
            let _ = self.checkpoint();
            if lacks_room(self) {
                return Err(
                    self.fail(Error::StorageUnavailable("there is no room for the next commit".into()))
                );
            }
        }
        Ok(())
    }

    /// Once in the WAL and once in the file, with what the WAL holds already.
    fn needed_for(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(2).saturating_add(self.wal_bytes()).saturating_add(COMMIT_BYTES)
    }

    fn wal_bytes(&self) -> u64 {
        // by the file's metadata: opening it would be a second handle
        std::fs::metadata(&self.wal).map_or(0, |wal| wal.len())
    }

    /// What an idle writer looks after.
    pub(super) fn tidy_up(&mut self) {
        self.bury_the_dead();
        self.checkpoint_if_larger_than(IDLE_WAL_BYTES);
        if self.failed.is_none() {
            if let Err(e) = self.watch.check() {
                self.fail(e);
            } else if self.ballast.bytes() == 0 || !self.ballast.is_held() {
                // a disk that was too full for one at the start
                let _ = self.ballast.restore();
            }
        }
    }

    pub(super) fn checkpoint_if_larger_than(&mut self, bytes: u64) {
        let size = self.wal_bytes();
        if size <= IDLE_WAL_BYTES || self.failed.is_some() {
            return;
        }
        // the file may grow by what is in the WAL: on a disk that fills up, no more than the ballast has room for
        let is_low = self.ballast.free().is_some_and(|free| free < 2 * limits::WAL_CHECKPOINT_BYTES);
        let bytes = if is_low { bytes.min((self.ballast.bytes() / 2).max(IDLE_WAL_BYTES)) } else { bytes };
        if size > bytes
            && let Err(e) = self.checkpoint()
        {
            if e.is_of_the_disk() {
                self.fail(e);
            } else {
                warn!("a checkpoint failed, the WAL grows: {e}");
            }
        }
    }

    /// Brings the WAL into the file, as far as readers in other processes allow; it never waits for them, because
    /// writes would wait with it.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let context = |e| Error::sqlite("cannot checkpoint", e);
        self.connection.busy_timeout(Duration::ZERO).map_err(context)?;
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.busy_timeout(open::BUSY_TIMEOUT).map_err(context)?;
        done.map_err(context)
    }

    /// Brings everything into the file before the writer ends.
    pub(super) fn finish(&mut self) {
        self.bury_the_dead();
        if !self.watch.has_database() {
            return;
        }
        if let Err(e) = self.checkpoint() {
            warn!("the last checkpoint failed, the WAL stays: {e}");
        }
    }
}

/// WAL bytes that an idle writer leaves alone: a trickle of events shall not checkpoint every time.
const IDLE_WAL_BYTES: u64 = 1 << 20;

/// One failure told to every request of the group.
pub(super) fn told_to_all(error: &Error) -> Error {
    match error {
        Error::StorageUnavailable(detail) => Error::StorageUnavailable(detail.clone()),
        Error::TooLarge(detail) => Error::TooLarge(detail.clone()),
        other => Error::StorageUnavailable(format!("the write failed, nothing of it was kept: {other}")),
    }
}
