//! The language inside SQLite: what a [`Value`](crate::value::Value) is there (`values`), every function and operator
//! (`functions`) and every aggregate (`aggregates`), registered on a connection. SQL that `print` writes for SQLite
//! calls them, so an expression means the same whichever engine answers.

pub mod aggregates;
pub mod functions;
pub mod values;

use std::sync::{Arc, Mutex, PoisonError};

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
    /// The calendar of the question, what it may take, and the patterns that it met.
    context: Context,
    /// The first error of ours since it was asked for: SQLite hands on its words alone.
    fault: Mutex<Option<Error>>,
}

/// The language as it was registered for one question.
#[derive(Debug)]
pub struct Language(Arc<Shared>);

/// Registers functions, operators and aggregates for one question, on its calendar and within its budget. Registering
/// again replaces them; no statement of the connection may be running.
///
/// # Errors
/// Those of SQLite.
pub fn register(connection: &Connection, calendar: &Calendar, budget: &Arc<Budget>) -> Result<Language> {
    let context = Context::within(calendar.clone(), Arc::clone(budget));
    let shared = Arc::new(Shared { context, fault: Mutex::default() });
    functions::register(connection, &shared)?;
    aggregates::register(connection, &shared)?;
    Ok(Language(shared))
}

/// The names of everything that [`register`] adds, for the list of what a question may call.
pub fn names() -> impl Iterator<Item = String> {
    functions::names().chain(aggregates::names())
}

impl Language {
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

    fn budget(&self) -> &Arc<Budget> {
        &self.context.budget
    }
}

/// The error of SQLite that a function cannot be added.
fn not_added(name: &str, error: rusqlite::Error) -> Error {
    Error::sqlite(format!("adding the function {name} to SQLite"), error)
}
