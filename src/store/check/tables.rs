//! The engine's own tables: declarations, fields and keys that can be read, a secret, no column without a segment.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use crate::fields::{Declaration, FieldSet, Kinds, check_dataset_name};
use crate::store::check::{Damage, Dataset, File, Report, words};
use crate::store::keys;
use crate::store::segments::COLUMNS;

/// The datasets whose events can be looked for; what cannot be read of the others is in the report.
pub(super) fn datasets(file: &File<'_>, report: &mut Report) -> Vec<Dataset> {
    let connection = file.connection();
    let ids = match numbers(&connection, "SELECT id FROM dataset ORDER BY id", None) {
        Ok(ids) => ids,
        Err(e) => {
            report.add(Damage::of(format!("the list of datasets: {}", words(e))));
            return Vec::new();
        }
    };
    let read = |id: i64| match dataset(&connection, id) {
        Ok((dataset, faults)) => Some((dataset, faults)),
        Err(e) => {
            report.add(Damage::of(format!("the dataset with the number {id}: {}", words(e))));
            None
        }
    };
    let found: Vec<(Dataset, Vec<String>)> = ids.into_iter().filter_map(read).collect();
    found
        .into_iter()
        .map(|(dataset, faults)| {
            faults.into_iter().for_each(|what| report.add(Damage::of_dataset(&dataset.name, what)));
            dataset
        })
        .collect()
}

fn dataset(connection: &Connection, id: i64) -> rusqlite::Result<(Dataset, Vec<String>)> {
    let (name, declaration, next_seq, records): (String, String, i64, i64) = connection.query_row(
        "SELECT name, declaration, next_seq, records FROM dataset WHERE id = ?1",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let mut faults = Vec::new();
    let records = match serde_json::from_str::<Declaration>(&declaration) {
        Ok(declaration) => declaration.is_records().then_some(records),
        Err(e) => {
            faults.push(format!("its declaration cannot be read: {e}"));
            None
        }
    };
    // the engine's own begin with an underscore
    if let Err(e) = check_dataset_name(name.trim_start_matches('_')) {
        faults.push(e.to_string());
    }
    let mut statement = connection
        .prepare("SELECT name, kinds, position FROM field WHERE dataset_id = ?1 ORDER BY position")?;
    let mut rows = statement.query([id])?;
    let mut fields = FieldSet::default();
    while let Some(row) = rows.next()? {
        let (field, kinds, position): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let kinds = match Kinds::from_bits(kinds) {
            // a field that no row has a value in has none
            known if known.bits() == kinds => known,
            known => {
                faults.push(format!("the types of its field \"{field}\" are none: {kinds}"));
                known
            }
        };
        if position != fields.len() as i64 {
            let place = fields.len();
            faults.push(format!("its field \"{field}\" has place {position} in the list instead of {place}"));
        }
        fields.add(&Arc::from(field), kinds);
    }
    Ok((Dataset { id, name, next_seq, records, fields }, faults))
}

/// What belongs to no dataset: the secret, keys, dead segments, columns whose segment is gone.
pub(super) fn rest(file: &File<'_>, report: &mut Report) {
    let connection = file.connection();
    let secret: rusqlite::Result<Option<i64>> = connection
        .query_row("SELECT length(value) FROM meta WHERE key = 'secret'", [], |row| row.get(0))
        .optional();
    match secret {
        Ok(None | Some(32)) => {}
        Ok(Some(length)) => {
            report.add(Damage::of(format!("the secret of cursors has {length} bytes instead of 32")));
        }
        Err(e) => report.add(Damage::of(format!("the secret of cursors: {}", words(e)))),
    }
    let has_keys = "SELECT count(*) FROM sqlite_schema WHERE name = 'key'";
    if numbers(&connection, has_keys, None).is_ok_and(|count| count == [1]) {
        match keys::read(&connection) {
            Ok((_, faults)) => faults.into_iter().for_each(|what| report.add(Damage::of(what))),
            Err(e) => report.add(Damage::of(e.to_string())),
        }
    }
    match numbers(&connection, "SELECT id FROM segment WHERE dataset_id IS NULL", None) {
        Ok(dead) if dead.is_empty() => {}
        Ok(dead) => report.notes.push(format!(
            "{} segments were replaced and are removed when no query reads them any more",
            dead.len()
        )),
        Err(e) => report.add(Damage::of(format!("the list of replaced segments: {}", words(e)))),
    }
    let orphans = "SELECT DISTINCT id / ?1 FROM segment_column WHERE id / ?1 NOT IN (SELECT id FROM segment)";
    match numbers(&connection, orphans, Some(COLUMNS)) {
        Ok(ids) => ids.into_iter().for_each(|id| {
            let what = "there are columns of it, but the segment itself is not there";
            report.add(Damage { segment: Some(id), ..Damage::of(what) });
        }),
        Err(e) => report.add(Damage::of(format!("the table of columns: {}", words(e)))),
    }
}

/// Bytes of all events, for the progress; 0 where that cannot be told.
pub(super) fn stored_bytes(file: &File<'_>) -> u64 {
    let sql = "SELECT (SELECT coalesce(sum(length(block)), 0) FROM log)
                    + (SELECT coalesce(sum(bytes), 0) FROM segment WHERE dataset_id IS NOT NULL)";
    file.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).map_or(0, i64::unsigned_abs)
}

/// The first column of all rows.
pub(super) fn numbers(connection: &Connection, sql: &str, of: Option<i64>) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(of), |row| row.get(0))?;
    rows.collect()
}
