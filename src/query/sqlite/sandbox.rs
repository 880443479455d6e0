//! A connection of SQLite for one question, which can read the tables of that question and do nothing else: a database in
//! memory, so that no file is in reach, with a list of what a statement may call and read. It ends with the budget of the
//! question, and goes on in temporary files where it would need much memory. What runs SQL that the vector engine does not
//! speak asks it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::{Budget, Held};
use crate::store::open::{BUSY_TIMEOUT, read_only_uri};
use crate::time::Calendar;
use crate::value::Value;

use super::ask::{Asked, watch};
use super::scan::Looked;
use super::table::{self, Table};
use super::{Language, names, register};

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

/// The connection of a question.
#[derive(Debug)]
pub struct Sandbox {
    connection: Connection,
    language: Language,
    looked: Arc<Looked>,
}

/// Tables of records, which are in the file.
#[derive(Debug, Default)]
pub struct Records {
    /// The file.
    pub file: String,
    /// The names of tables of the question, each with the SELECT over the file that it stands for.
    pub views: Vec<(String, String)>,
    /// The tables that these read.
    pub tables: Vec<String>,
}

/// Opens a connection with these tables, on the calendar and within the budget of a question.
///
/// # Errors
/// Those of SQLite.
pub fn open(
    tables: Vec<Table>,
    records: &Records,
    calendar: &Calendar,
    budget: &Arc<Budget>,
) -> Result<Sandbox> {
    let failed = |error| Error::sqlite("opening a connection for a question", error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_in_memory_with_flags(flags).map_err(failed)?;
    let language = register(&connection, calendar, budget)?;
    let looked = Arc::<Looked>::default();
    let views = records.views.iter().map(|(name, _)| name.clone());
    let names = tables.iter().map(|table| table.name.clone()).chain(views);
    let readable: HashSet<String> =
        names.chain(records.tables.iter().cloned()).chain([ENTRIES.to_owned()]).collect();
    for table in tables {
        table::register(&connection, table, &language.0, &looked)?;
    }
    attach(&connection, records).map_err(failed)?;
    restrict(&connection).map_err(failed)?;
    allow(&connection, readable).map_err(failed)?;
    watch(&connection, &language).map_err(failed)?;
    Ok(Sandbox { connection, language, looked })
}

/// Makes tables of records readable under the names that the question has for them.
fn attach(connection: &Connection, records: &Records) -> rusqlite::Result<()> {
    if records.views.is_empty() {
        return Ok(());
    }
    // before there is any view: another setting later would drop them
    connection.execute_batch("PRAGMA temp_store = FILE")?;
    connection.execute("ATTACH ?1 AS records", [read_only_uri(Path::new(&records.file))])?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    records.views.iter().try_for_each(|(name, select)| {
        connection.execute_batch(&format!("CREATE TEMP VIEW \"{name}\" AS {select}"))
    })
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
        (Limit::SQLITE_LIMIT_ATTACHED, 1),
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
    /// Those of [`Asked`].
    pub fn rows(&self, sql: &str) -> Result<(Vec<Vec<Value>>, Held)> {
        self.asked().rows(sql)
    }

    /// SQLite's own plan of a SELECT: the lines of EXPLAIN QUERY PLAN, each with how deep it lies.
    ///
    /// # Errors
    /// Those of [`Asked`].
    pub fn plan(&self, sql: &str) -> Result<Vec<(usize, String)>> {
        self.asked().plan(sql)
    }

    /// Rows looked at so far, and segments that they are of; the tail of a dataset counts as one. What an index found again
    /// is not counted again.
    pub fn looked_at(&self) -> (u64, u64) {
        self.looked.so_far()
    }

    fn asked(&self) -> Asked<'_> {
        Asked { connection: &self.connection, language: &self.language }
    }
}
