//! Asks a connection that has the language: rows, the plan of SQLite, and what went wrong in words for whoever asked. A
//! statement ends with the budget of its question. `sandbox` asks its own connection, `query::keyed` those that read
//! records.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, params_from_iter};

use crate::error::{Bound, Error, Result};
use crate::limits;
use crate::query::budget::{Held, bytes_of};
use crate::query::finish::too_many_rows;
use crate::store::values::{Stored, from_sql};
use crate::value::Value;

use super::spill::{self, Spill};
use super::{Language, Shared};

/// Looks at the clock between two looks at the disk.
const DISK_LOOKS: u32 = 64;
/// Looks at the clock after which texts that SQLite was given count as given up: about as many as the widest row takes.
const TEXT_LOOKS: u32 = 4;
/// Bytes of rows that are charged at once.
const CHARGED_BYTES: usize = 1 << 16;

/// A connection with the language of a question.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'c> {
    /// The connection.
    pub connection: &'c Connection,
    /// The language as it was registered on it.
    pub language: &'c Language,
}

/// Ends a statement with its question.
pub(crate) fn watch(connection: &Connection, language: &Language) -> rusqlite::Result<()> {
    let (shared, spill, mut looks): (Arc<Shared>, _, _) = (Arc::clone(&language.0), Spill::at_begin(), 0u32);
    let is_over = move || {
        looks = looks.wrapping_add(1);
        let disk = if looks.is_multiple_of(DISK_LOOKS) { spill.check() } else { Ok(()) };
        if looks.is_multiple_of(TEXT_LOOKS) {
            shared.forget_given();
        }
        match shared.budget().check().and(disk) {
            Ok(()) => false,
            Err(error) => {
                shared.keep(error);
                true
            }
        }
    };
    connection.progress_handler(limits::SQLITE_STEPS, Some(is_over))
}

impl Asked<'_> {
    /// The rows of a SELECT, and the memory that they hold.
    ///
    /// # Errors
    /// `TooLarge` for more rows than an answer may have, `OverBudget` for what takes more than it may, `Invalid` for what
    /// SQLite refuses; those of functions and of columns that cannot be read.
    pub fn rows(&self, sql: &str) -> Result<(Vec<Vec<Value>>, Held)> {
        self.rows_with(sql, &[])
    }

    /// As [`Asked::rows`], of a SELECT with parameters `?1`, `?2` and so on.
    ///
    /// # Errors
    /// As [`Asked::rows`].
    pub fn rows_with(&self, sql: &str, parameters: &[Value]) -> Result<(Vec<Vec<Value>>, Held)> {
        let (mut rows, mut held, mut made) = (Vec::new(), self.language.0.budget().hold(), 0);
        self.for_each(sql, parameters, |cells| {
            if rows.len() >= limits::ANSWER_ROWS {
                return Err(too_many_rows(rows.len() + 1));
            }
            made += bytes_of(&cells);
            if made >= CHARGED_BYTES {
                held.add(std::mem::take(&mut made))?;
            }
            rows.push(cells);
            Ok(())
        })?;
        held.add(made)?;
        Ok((rows, held))
    }

    /// Hands every row of a SELECT over, and keeps none.
    ///
    /// # Errors
    /// As [`Asked::rows`], and those of `take`.
    pub fn for_each(
        &self,
        sql: &str,
        parameters: &[Value],
        mut take: impl FnMut(Vec<Value>) -> Result<()>,
    ) -> Result<()> {
        self.for_each_form(sql, parameters, |row, width| {
            let cell = |at: usize| Ok(from_sql(row.get_ref(at).map_err(|error| self.fault(error))?));
            take((0..width).map(cell).collect::<Result<_>>()?)
        })
    }

    /// Hands every row of a SELECT over in the forms of SQLite, with the number of its columns.
    ///
    /// # Errors
    /// As [`Asked::rows`], and those of `take`.
    pub fn for_each_form(
        &self,
        sql: &str,
        parameters: &[Value],
        mut take: impl FnMut(&rusqlite::Row<'_>, usize) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.fault(error))?;
        let width = statement.column_count();
        let parameters = parameters.iter().map(|value| Stored(Cow::Borrowed(value)));
        let mut found = statement.query(params_from_iter(parameters)).map_err(|error| self.fault(error))?;
        while let Some(row) = found.next().map_err(|error| self.fault(error))? {
            take(row, width)?;
        }
        Ok(())
    }

    /// SQLite's own plan of a SELECT: the lines of EXPLAIN QUERY PLAN, each with how deep it lies.
    ///
    /// # Errors
    /// As [`Asked::rows`].
    pub fn plan(&self, sql: &str) -> Result<Vec<(usize, String)>> {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let mut statement = self.connection.prepare(&sql).map_err(|error| self.fault(error))?;
        let line = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(3)?));
        let lines = statement.query_map([], line).map_err(|error| self.fault(error))?;
        let (mut depths, mut plan) = (HashMap::<i64, usize>::new(), Vec::new());
        for line in lines {
            let (id, parent, detail): (i64, i64, String) = line.map_err(|error| self.fault(error))?;
            let depth = depths.get(&parent).map_or(0, |above| above + 1);
            depths.insert(id, depth);
            plan.push((depth, detail));
        }
        Ok(plan)
    }

    /// What went wrong, in words for whoever asked.
    pub fn fault(&self, error: rusqlite::Error) -> Error {
        if let Some(fault) = self.language.0.taken() {
            return fault;
        }
        let (code, told) = match &error {
            rusqlite::Error::SqliteFailure(failure, told) => (failure.code, told.as_deref()),
            rusqlite::Error::SqlInputError { error, msg, .. } => (error.code, Some(msg.as_str())),
            _ => return Error::sqlite("asking SQLite", error),
        };
        let told = told.unwrap_or("it gives no reason");
        match code {
            ErrorCode::OutOfMemory => Error::OverBudget {
                bound: Bound::Memory,
                detail:
                    "there is no memory left for the question; narrow it with a range of _time or with where"
                        .into(),
            },
            ErrorCode::DiskFull => spill::no_room(),
            ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => Error::StorageUnavailable(format!(
                "SQLite cannot use its temporary files: {told}; give SQLITE_TMPDIR a folder that can be written"
            )),
            ErrorCode::TooBig => Error::invalid(format!(
                "the question makes a text or a row of more than {} MiB; select less of it",
                limits::SQLITE_VALUE_BYTES >> 20
            )),
            ErrorCode::AuthorizationForStatementDenied => {
                Error::invalid(format!("a question may not do that: {told}"))
            }
            // tables of records go with their dataset
            ErrorCode::Unknown if told.starts_with("no such table: r") => Error::Conflict(
                "the records were dropped, or declared anew, while they were asked; repeat the question"
                    .into(),
            ),
            // what it cannot find or read was written by us
            ErrorCode::Unknown if !is_ours(told) => Error::invalid(format!("SQLite refuses it: {told}")),
            _ => Error::sqlite("asking SQLite", error),
        }
    }
}

/// Whether a refusal tells of SQL that should not have been written, rather than of a question that cannot be asked.
fn is_ours(told: &str) -> bool {
    ["no such ", "near \"", "unrecognized token", "incomplete input", "ambiguous column"]
        .iter()
        .any(|start| told.starts_with(start))
}
