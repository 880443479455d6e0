//! A connection of SQLite for one question, which can read the tables of that question and do nothing else: a database in
//! memory, so that no file is in reach, with a list of what a statement may call and read. It ends with the budget of the
//! question, and goes on in temporary files where it would need much memory. What runs SQL that the vector engine does not
//! speak asks it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Bound, Error, Result};
use crate::limits;
use crate::query::budget::{Budget, Held, bytes_of};
use crate::query::finish::too_many_rows;
use crate::time::Calendar;
use crate::value::Value;

use super::scan::Looked;
use super::spill::{self, Spill};
use super::table::{self, Table};
use super::values::from_sql;
use super::{Language, Shared, names, register};

/// Functions of SQLite's own that a question may call, beside those of the language.
const OF_SQLITE: [&str; 12] = [
    "count",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];
/// The table of SQLite's own that a question may read: the entries of a list are rows there.
const ENTRIES: &str = "json_each";
/// Looks at the clock between two looks at the disk.
const DISK_LOOKS: u32 = 64;
/// Looks at the clock after which texts that SQLite was given count as given up: about as many as the widest row takes.
const TEXT_LOOKS: u32 = 4;
/// Bytes of rows that are charged at once.
const CHARGED_BYTES: usize = 1 << 16;

/// The connection of a question.
#[derive(Debug)]
pub struct Sandbox {
    connection: Connection,
    language: Language,
    looked: Arc<Looked>,
}

/// Opens a connection with these tables, on the calendar and within the budget of a question.
///
/// # Errors
/// Those of SQLite.
pub fn open(tables: Vec<Table>, calendar: &Calendar, budget: &Arc<Budget>) -> Result<Sandbox> {
    let failed = |error| Error::sqlite("opening a connection for a question", error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_in_memory_with_flags(flags).map_err(failed)?;
    let language = register(&connection, calendar, budget)?;
    let looked = Arc::<Looked>::default();
    let readable: HashSet<String> =
        tables.iter().map(|table| table.name.clone()).chain([ENTRIES.to_owned()]).collect();
    for table in tables {
        table::register(&connection, table, &language.0, &looked)?;
    }
    restrict(&connection).map_err(failed)?;
    allow(&connection, readable).map_err(failed)?;
    watch(&connection, &language.0).map_err(failed)?;
    Ok(Sandbox { connection, language, looked })
}

/// Sets what SQLite may take of each thing, and lets it sort and keep in files rather than in memory.
fn restrict(connection: &Connection) -> rusqlite::Result<()> {
    let pragmas = format!(
        "PRAGMA temp_store = FILE; PRAGMA cache_size = -{}; PRAGMA query_only = ON;",
        limits::SQLITE_SORT_KIB
    );
    connection.execute_batch(&pragmas)?;
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, limits::SQLITE_VALUE_BYTES),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, limits::SQLITE_TEXT_BYTES),
        (Limit::SQLITE_LIMIT_COLUMN, limits::SQLITE_COLUMNS),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, limits::SQLITE_COMPOUND),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, limits::SQLITE_DEPTH),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    for (setting, is_on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        // else a name that is not there would be a text
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(setting, is_on)?;
    }
    Ok(())
}

/// Ends a statement with its question.
fn watch(connection: &Connection, shared: &Arc<Shared>) -> rusqlite::Result<()> {
    let (shared, spill, mut looks) = (Arc::clone(shared), Spill::at_begin(), 0u32);
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

/// Allows statements that read these tables and call functions of the language, and nothing else.
fn allow(connection: &Connection, readable: HashSet<String>) -> rusqlite::Result<()> {
    let callable: HashSet<String> = names().chain(OF_SQLITE.map(str::to_owned)).collect();
    let mut modules = connection.prepare("SELECT lower(name) FROM pragma_module_list")?;
    let modules: HashSet<String> = modules.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // SQLite tells of no column where only rows are counted, also of a subquery that has a name
    let is_of_sqlite = move |table: &str| {
        let table = table.to_ascii_lowercase();
        modules.contains(&table)
            || ["sqlite_", "pragma_", "json_"].iter().any(|start| table.starts_with(start))
    };
    let decide = move |asked: AuthContext<'_>| {
        let is_allowed = match asked.action {
            AuthAction::Select | AuthAction::Recursive => true,
            AuthAction::Read { table_name, .. } if readable.contains(table_name) => true,
            AuthAction::Read { table_name, column_name: "" } => !is_of_sqlite(table_name),
            AuthAction::Function { function_name } => callable.contains(function_name),
            _ => false,
        };
        if is_allowed { Authorization::Allow } else { Authorization::Deny }
    };
    connection.authorizer(Some(decide))
}

impl Sandbox {
    /// The rows of a SELECT, and the memory that they hold.
    ///
    /// # Errors
    /// `TooLarge` for more rows than an answer may have, `OverBudget` for what takes more than it may, `Invalid` for what
    /// SQLite refuses; those of functions and of columns that cannot be read.
    pub fn rows(&self, sql: &str) -> Result<(Vec<Vec<Value>>, Held)> {
        let mut statement = self.connection.prepare(sql).map_err(|error| self.fault(error))?;
        let width = statement.column_count();
        let mut found = statement.query([]).map_err(|error| self.fault(error))?;
        let (mut rows, mut held, mut made) = (Vec::new(), self.budget().hold(), 0);
        while let Some(row) = found.next().map_err(|error| self.fault(error))? {
            if rows.len() >= limits::ANSWER_ROWS {
                return Err(too_many_rows(rows.len() + 1));
            }
            let mut cells = Vec::with_capacity(width);
            for at in 0..width {
                cells.push(from_sql(row.get_ref(at).map_err(|error| self.fault(error))?));
            }
            made += bytes_of(&cells);
            if made >= CHARGED_BYTES {
                held.add(std::mem::take(&mut made))?;
            }
            rows.push(cells);
        }
        held.add(made)?;
        Ok((rows, held))
    }

    /// SQLite's own plan of a SELECT: the lines of EXPLAIN QUERY PLAN, each with how deep it lies.
    ///
    /// # Errors
    /// As [`Sandbox::rows`].
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

    /// Rows looked at so far, and segments that they are of; the tail of a dataset counts as one. What an index found again
    /// is not counted again.
    pub fn looked_at(&self) -> (u64, u64) {
        self.looked.so_far()
    }

    fn budget(&self) -> &Arc<Budget> {
        self.language.0.budget()
    }

    /// What went wrong, in words for whoever asked.
    fn fault(&self, error: rusqlite::Error) -> Error {
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
