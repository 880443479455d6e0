//! Brings the engine's tables up to this program's version, forward only. The version of a file is its
//! `user_version`: the number of migrations it has had.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

/// All migrations in order; the place (from 1) is the version it leads to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../schema/migrate/0001_first.sql"),
    include_str!("../../schema/migrate/0002_segments.sql"),
    include_str!("../../schema/migrate/0003_records.sql"),
    include_str!("../../schema/migrate/0004_versions.sql"),
    include_str!("../../schema/migrate/0005_keys.sql"),
    include_str!("../../schema/migrate/0006_idempotency.sql"),
    include_str!("../../schema/migrate/0007_jobs.sql"),
    include_str!("../../schema/migrate/0008_schedules.sql"),
    include_str!("../../schema/migrate/0009_checkpoints.sql"),
];

/// "WNDR": tells a Windrow file from any other SQLite file.
pub const APPLICATION_ID: i32 = 0x574e_4452;

/// The version that this program writes.
pub fn current_version() -> i64 {
    MIGRATIONS.len() as i64
}

/// The version of a file, after checking that it is one of ours and not newer than this program.
///
/// # Errors
/// `Conflict` for a file of another program or of a newer Windrow.
pub fn check(connection: &Connection) -> Result<i64> {
    let pragma = |name: &str| -> Result<i64> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|e| Error::sqlite("cannot read the database", e))
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != i64::from(APPLICATION_ID) {
        return Err(Error::Conflict(
            "the file is a SQLite database, but not one of Windrow's; name another with --db".into(),
        ));
    }
    if version > current_version() {
        return Err(Error::Conflict(format!(
            "the file was written by a newer Windrow (format {version}, this program knows up to {}); use that version or a newer one",
            current_version()
        )));
    }
    Ok(version)
}

/// Applies what the file lacks, each migration in a transaction of its own.
///
/// # Errors
/// As [`check`], and whatever SQLite says.
pub fn run(connection: &mut Connection) -> Result<()> {
    let version = check(connection)?;
    for (at, sql) in MIGRATIONS.iter().enumerate().skip(version as usize) {
        let context = || format!("cannot bring the database to format {}", at + 1);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| Error::sqlite(context(), e))?;
        transaction
            .execute_batch(sql)
            .and_then(|()| transaction.pragma_update(None, "user_version", at as i64 + 1))
            .and_then(|()| transaction.commit())
            .map_err(|e| Error::sqlite(context(), e))?;
    }
    Ok(())
}
