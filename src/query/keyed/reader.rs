//! A connection that reads records for one question: one of the store's, which has the language and may read tables of
//! records and nothing else. It ends with the budget of the question, and goes back as it was.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use r2d2::PooledConnection;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::error::{Error, Result};
use crate::query::budget::{Budget, Held};
use crate::query::sqlite::ask::{Asked, watch};
use crate::query::sqlite::{Language, names, register};
use crate::store::keyed::Keyed;
use crate::store::keyed::readers::Derived;
use crate::time::Calendar;
use crate::value::Value;

/// Functions of SQLite's own that statements over records call, beside those of the language.
const OF_SQLITE: [&str; 4] = ["count", "bm25", "match", "rank"];
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 64;

/// A connection of the store's, for one question.
#[derive(Debug)]
pub struct Reader {
    derived: Arc<Derived>,
    connection: PooledConnection<SqliteConnectionManager>,
}

/// Takes a connection for a question.
///
/// # Errors
/// `Busy` where all are in use, and those of SQLite.
pub fn open(keyed: &Keyed, calendar: &Calendar, budget: &Arc<Budget>) -> Result<Reader> {
    let mut connection = keyed.reader()?;
    let failed = |error| Error::sqlite("preparing to read records", error);
    match PooledConnection::extensions(&connection).get::<Language>() {
        Some(language) => language.renew(calendar, budget),
        None => {
            let language = register(&connection, calendar, budget)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            allow(&connection).map_err(failed)?;
            PooledConnection::extensions_mut(&mut connection).insert(language);
        }
    }
    let reader = Reader { connection, derived: Arc::clone(&keyed.derived) };
    watch(&reader.connection, reader.language()?).map_err(failed)?;
    Ok(reader)
}

impl Reader {
    /// The rows of a SELECT, and the memory that they hold.
    ///
    /// # Errors
    /// As [`Asked::rows`].
    pub fn rows(&self, sql: &str, parameters: &[Value]) -> Result<(Vec<Vec<Value>>, Held)> {
        self.noted(sql, parameters, |asked| asked.rows_with(sql, parameters))
    }

    /// Hands every row of a SELECT over, and keeps none.
    ///
    /// # Errors
    /// As [`Asked::rows`], and those of `take`.
    pub fn for_each(
        &self,
        sql: &str,
        parameters: &[Value],
        take: impl FnMut(Vec<Value>) -> Result<()>,
    ) -> Result<()> {
        self.noted(sql, parameters, |asked| asked.for_each(sql, parameters, take))
    }

    /// Hands every row of a SELECT over in the forms of SQLite.
    ///
    /// # Errors
    /// As [`Asked::rows`], and those of `take`.
    pub fn for_each_form(
        &self,
        sql: &str,
        take: impl FnMut(&rusqlite::Row<'_>, usize) -> Result<()>,
    ) -> Result<()> {
        self.noted(sql, &[], |asked| asked.for_each_form(sql, &[], take))
    }

    /// Runs a statement and notes how long it took, and by which plan.
    fn noted<T>(
        &self,
        sql: &str,
        parameters: &[Value],
        run: impl FnOnce(Asked<'_>) -> Result<T>,
    ) -> Result<T> {
        self.derived.count_statement();
        let begin = Instant::now();
        let done = run(self.asked()?)?;
        // a statement whose plan cannot be told was run all the same
        let plan = || self.plan(sql).unwrap_or_default().into_iter().map(|(_, line)| line).collect();
        self.derived.statements.note(sql, parameters, begin.elapsed(), plan);
        Ok(done)
    }

    /// SQLite's plan of a SELECT.
    ///
    /// # Errors
    /// As [`Asked::rows`].
    pub fn plan(&self, sql: &str) -> Result<Vec<(usize, String)>> {
        self.asked()?.plan(sql)
    }

    /// The connection and its language.
    ///
    /// # Errors
    /// A bug.
    pub fn asked(&self) -> Result<Asked<'_>> {
        Ok(Asked { connection: &self.connection, language: self.language()? })
    }

    fn language(&self) -> Result<&Language> {
        let language = PooledConnection::extensions(&self.connection).get::<Language>();
        language.ok_or_else(|| Error::Internal("a connection has lost its language".into()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // nobody may end the next question with this one's budget
        let _ = self.connection.progress_handler(0, None::<fn() -> bool>);
    }
}

/// Allows statements that read tables of records and call functions of the language.
fn allow(connection: &Connection) -> rusqlite::Result<()> {
    let callable: HashSet<String> = names().chain(OF_SQLITE.map(str::to_owned)).collect();
    let decide = move |asked: AuthContext<'_>| {
        let is_allowed = match asked.action {
            AuthAction::Select | AuthAction::Recursive | AuthAction::Transaction { .. } => true,
            AuthAction::Read { table_name, .. } => is_of_records(table_name),
            AuthAction::Function { function_name } => callable.contains(function_name),
            // what FTS5 asks of the file itself
            AuthAction::Pragma { pragma_name: "data_version", .. } => true,
            _ => false,
        };
        if is_allowed { Authorization::Allow } else { Authorization::Deny }
    };
    connection.authorizer(Some(decide))
}

/// Tables that begin as those of records do, and the rows of lists; a subquery has no name.
fn is_of_records(table: &str) -> bool {
    let is_table = table.strip_prefix('r').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    is_table || ["json_each", ""].contains(&table)
}
