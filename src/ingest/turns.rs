//! The order of commits: chunks of a file are decoded side by side, and each waits here until those before it are
//! committed. What became of each is added to the report on the way. Only `import` uses it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ItemError, Result};
use crate::ingest::accept::Accepted;
use crate::ingest::import::Report;
use crate::limits;

/// Whose turn it is, and the report so far.
#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    next: u64,
    report: Report,
}

/// The turn of one chunk. Dropped without an end, as by a panic, it ends the import rather than let others wait.
#[derive(Debug)]
pub struct Turn<'t> {
    turns: &'t Turns,
    number: u64,
    ended: bool,
}

impl Turns {
    /// Chunk 0 is first.
    pub fn new(report: Report) -> Self {
        Self { state: Mutex::new(State { next: 0, report }), moved: Condvar::new() }
    }

    /// The turn of a chunk by its number; every number has to come.
    pub fn of(&self, number: u64) -> Turn<'_> {
        Turn { turns: self, number, ended: false }
    }

    /// Adds what the user should know.
    pub fn note(&self, note: Option<String>) {
        self.lock().report.notes.extend(note);
    }

    /// The report, when all chunks have ended.
    pub fn finish(self) -> Report {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).report
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every chunk before this one has ended; an error where one of them failed.
    fn wait(&self, number: u64) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        loop {
            if state.report.broken.is_some() {
                return Err(Error::Internal("the import has ended already".into()));
            }
            if state.next == number {
                return Ok(state);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Turn<'_> {
    /// Returns when every chunk before this one is committed.
    ///
    /// # Errors
    /// The import has ended.
    pub fn wait(&self) -> Result<()> {
        self.turns.wait(self.number).map(drop)
    }

    /// Ends the turn with what became of the chunk; gives the rows that are committed and rejected of it.
    pub fn done(mut self, accepted: Accepted, skipped: Vec<ItemError>) -> (u64, u64) {
        self.ended = true;
        let mut state = self.turns.lock();
        let rejected_total = accepted.rejected_total + skipped.len() as u64;
        let mut rejected = accepted.rejected;
        rejected.extend(skipped);
        rejected.sort_by_key(|item| item.index);
        let report = &mut state.report;
        rejected.truncate(limits::REJECTIONS_LISTED.saturating_sub(report.rejected.len()));
        report.rejected.extend(rejected);
        report.accepted += accepted.accepted;
        report.duplicates += accepted.duplicates;
        report.rejected_total += rejected_total;
        if let Some(field) = accepted.time_field
            && self.number > 0
        {
            report.notes.push(format!("the time of later events is their field \"{field}\""));
        }
        state.next += 1;
        self.turns.moved.notify_all();
        (accepted.accepted, rejected_total)
    }

    /// Ends the import, once the chunks before this one are committed.
    pub fn fail(mut self, error: Error) {
        self.ended = true;
        // where another has failed before, that is what is told
        if let Ok(mut state) = self.turns.wait(self.number) {
            state.report.broken = Some(error);
            self.turns.moved.notify_all();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.turns.lock().report.broken.get_or_insert(Error::Internal("a decoder panicked".into()));
            self.turns.moved.notify_all();
        }
    }
}
