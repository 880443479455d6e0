//! The other side: the same rows in a plain table of SQLite, asked in the SQL that the query prints itself as, with our
//! functions registered. Nothing of the vector engine runs here: expressions go through `scalar`, row by row.

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::error::{Error, Result};
use crate::query::budget::Budget;
use crate::query::language::{Dialect, Query};
use crate::query::print;
use crate::query::sqlite::register;
use crate::store::snapshot::Dataset;
use crate::store::values::{Stored, from_sql};
use crate::value::Value;

use super::data::{DATASET, Data};

/// A database of one table.
pub struct Oracle {
    connection: Connection,
}

impl Oracle {
    pub fn new(data: &Data) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        // else a name that is not there would be a text
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        let names = ["_time", "_seq", "_id"].into_iter().chain(data.fields.iter().map(|field| field.name));
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        connection.execute(&format!("CREATE TABLE \"{DATASET}\" ({})", names.join(", ")), [])?;
        let places = vec!["?"; names.len()].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO \"{DATASET}\" VALUES ({places})"))?;
        for (seq, row) in data.numbered() {
            let system = [Value::Time(row.time), Value::Int(seq), Value::text(seq.to_string())];
            let cells = system.into_iter().chain(row.cells.iter().cloned()).map(Stored::from);
            insert.execute(rusqlite::params_from_iter(cells))?;
        }
        drop(insert);
        Ok(Self { connection })
    }

    /// The SQL of a query and the rows that it gives.
    pub fn ask(&self, query: &Query, dataset: &Dataset) -> Result<(String, Result<Vec<Vec<Value>>>)> {
        let sql = print::query(query, dataset, Dialect::Sqlite)?;
        let language = register(&self.connection, &query.calendar, &Budget::unbounded())?;
        let mut statement =
            self.connection.prepare(&sql).map_err(|error| Error::Internal(format!("{error} in {sql}")))?;
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..width).map(|at| Ok(from_sql(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<Value>>>()
        };
        let rows = statement.query_map([], row).and_then(Iterator::collect);
        Ok((sql, rows.map_err(|error| language.fault(error))))
    }
}
