//! The language inside SQLite: every function and operator (`functions`) and every aggregate (`aggregates`), over values
//! in the forms of `store::values`, registered on a connection. SQL that `print` writes for SQLite
//! calls them, so an expression means the same whichever engine answers.
//!
//! SQL that the vector engine does not speak runs here too, over the columns of datasets: a dataset is a virtual table
//! (`table`), of which SQLite gets the rows that its conditions may hold for (`pushed`), found by a hash index where it
//! asks again and again (`lookup`), else part by part (`scan`); all of it on a connection that can do nothing else
//! (`sandbox`).

pub mod aggregates;
pub mod ask;
pub mod functions;
pub mod lookup;
pub mod pushed;
pub mod sandbox;
pub mod scan;
pub mod spill;
pub mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::error::{Error, Result};
use crate::query::budget::Budget;
use crate::query::functions::Context;
use crate::time::Calendar;

/// Every function is a matter of its arguments alone, and may stand in no schema of a file that someone made up.
const FLAGS: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_DIRECTONLY);

/// What the functions of one registration share.
#[derive(Debug)]
struct Shared {
    /// The calendar of the question, what it may take, and the patterns that it met. A connection that is asked one question
    /// after the other gets another for each.
    context: RwLock<Context>,
    /// The first error of ours since it was asked for: SQLite hands on its words alone.
    fault: Mutex<Option<Error>>,
    /// Bytes of long texts that SQLite was given of late: it may hold all of them at once.
    given: AtomicUsize,
}

/// Bytes from which on a text is long.
const LONG_BYTES: usize = 64 << 10;

/// The language as it was registered for one question.
#[derive(Debug)]
pub struct Language(Arc<Shared>);

/// Registers functions, operators and aggregates for one question, on its calendar and within its budget. Registering
/// again replaces them; no statement of the connection may be running.
///
/// # Errors
/// Those of SQLite.
pub fn register(connection: &Connection, calendar: &Calendar, budget: &Arc<Budget>) -> Result<Language> {
    let context = RwLock::new(Context::within(calendar.clone(), Arc::clone(budget)));
    let shared = Arc::new(Shared { context, fault: Mutex::default(), given: AtomicUsize::new(0) });
    functions::register(connection, &shared)?;
    aggregates::register(connection, &shared)?;
    Ok(Language(shared))
}

/// The names of everything that [`register`] adds, for the list of what a question may call.
pub fn names() -> impl Iterator<Item = String> {
    functions::names().chain(aggregates::names())
}

impl Language {
    /// The same functions, for the next question.
    pub fn renew(&self, calendar: &Calendar, budget: &Arc<Budget>) {
        self.0.taken();
        self.0.forget_given();
        let context = Context::within(calendar.clone(), Arc::clone(budget));
        *self.0.context.write().unwrap_or_else(PoisonError::into_inner) = context;
    }

    /// What went wrong in SQLite: the error of ours that stopped it, where that is it.
    pub fn fault(&self, error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode::{OperationInterrupted, Unknown};
        match (error.sqlite_error_code(), self.0.taken()) {
            (Some(Unknown | OperationInterrupted), Some(fault)) => fault,
            _ => Error::sqlite("asking SQLite", error),
        }
    }
}

impl Shared {
    /// Keeps an error of ours, and stops SQLite by it.
    fn stop(&self, error: Error) -> rusqlite::Error {
        let told = error.to_string();
        self.keep(error);
        rusqlite::Error::UserFunctionError(told.into())
    }

    /// Keeps an error of ours; the first one counts.
    fn keep(&self, error: Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The error that was kept.
    fn taken(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// SQLite is given a text of so many bytes, which nobody charges there.
    ///
    /// # Errors
    /// The long ones of late need more memory than there is.
    #[inline]
    fn give(&self, bytes: usize) -> Result<()> {
        if bytes < LONG_BYTES {
            return Ok(());
        }
        let given = self.given.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        self.budget().take(given)?;
        self.budget().give(given);
        Ok(())
    }

    /// What was given is not held any more, as far as one can tell.
    fn forget_given(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    fn context(&self) -> RwLockReadGuard<'_, Context> {
        self.context.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.context().budget)
    }
}

/// The error of SQLite that a function cannot be added.
fn not_added(name: &str, error: rusqlite::Error) -> Error {
    Error::sqlite(format!("adding the function {name} to SQLite"), error)
}

#[cfg(test)]
mod tests;
