//! Expressions and queries as text. `canonical` is the form of an expression that reads back as the same one, for
//! messages and names. [`query`] writes a whole query as SQL of another engine: for SQLite over our functions, so that
//! it means there what it means here; for DuckDB and ClickHouse as a person would write it there.

mod canonical;
mod clickhouse;
mod duckdb;
mod foreign;
pub mod kinds;
pub mod sqlite;
mod statement;

use crate::error::Result;
use crate::query::language::{Dialect, Query};
use crate::query::plan;
use crate::store::snapshot::Dataset;

/// The query as SQL of a dialect, over a table that has the dataset's name and fields.
///
/// # Errors
/// Those of planning it, and `Invalid` for what the dialect has no words for.
pub fn query(query: &Query, dataset: &Dataset, dialect: Dialect) -> Result<String> {
    statement::check(query)?;
    // what cannot be answered here is not written for others
    plan::plan(query, dataset)?;
    let resolved = plan::resolve(query, dataset)?;
    match dialect {
        Dialect::Sqlite => sqlite::query(&resolved, dataset),
        Dialect::Duckdb => foreign::write(&resolved, dataset, &duckdb::Duckdb),
        Dialect::Clickhouse => foreign::write(&resolved, dataset, &clickhouse::Clickhouse),
    }
}

#[cfg(test)]
mod tests;
