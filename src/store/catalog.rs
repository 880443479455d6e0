//! Datasets and their fields as rows of the engine's own tables: read at start, written by the writer.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::{Error, Result};
use crate::fields::{Declaration, FieldSet, Kinds};
use crate::store::keyed::Keyed;
use crate::store::open::Readers;
use crate::store::snapshot::Dataset;

/// Reads all datasets, or one, without their events; `readers` are the connections that records are read by.
///
/// # Errors
/// SQLite's, and `Corrupt` for a declaration that cannot be read.
pub fn load(
    connection: &Connection,
    only: Option<&str>,
    readers: &dyn Fn() -> Result<Readers>,
) -> Result<Vec<Dataset>> {
    let context = |e| Error::sqlite("cannot read the list of datasets", e);
    let mut statement = connection
        .prepare(
            "SELECT id, name, declaration, time_field, next_seq, created_us, records, version
               FROM dataset WHERE ?1 IS NULL OR name = ?1 ORDER BY id",
        )
        .map_err(context)?;
    let rows = statement
        .query_map([only], |row| {
            let declaration: String = row.get(2)?;
            let dataset = Dataset {
                within: None,
                id: row.get(0)?,
                name: row.get::<_, String>(1)?.into(),
                declaration: Declaration::default(),
                time_field: row.get::<_, Option<String>>(3)?.map(Into::into),
                rules_version: 1,
                fields: Arc::default(),
                next_seq: row.get(4)?,
                segments: Vec::new(),
                tail: Vec::new(),
                created_us: row.get(5)?,
                version: row.get(7)?,
                numberings: Default::default(),
                keyed: None,
            };
            Ok((dataset, declaration, row.get::<_, i64>(6)?))
        })
        .map_err(context)?;
    let mut datasets = Vec::new();
    for row in rows {
        let (mut dataset, declaration, records) = row.map_err(context)?;
        dataset.declaration = serde_json::from_str(&declaration).map_err(|e| {
            Error::Corrupt(format!(
                "the stored declaration of dataset \"{}\" cannot be read: {e}",
                dataset.name
            ))
        })?;
        dataset.fields = Arc::new(load_fields(connection, dataset.id)?);
        if dataset.declaration.is_records() {
            dataset.keyed = Some(Keyed::new(records.unsigned_abs(), readers()?));
        }
        datasets.push(dataset);
    }
    Ok(datasets)
}

fn load_fields(connection: &Connection, dataset_id: i64) -> Result<FieldSet> {
    let context = |e| Error::sqlite("cannot read the list of fields", e);
    let mut statement = connection
        .prepare("SELECT name, kinds FROM field WHERE dataset_id = ?1 ORDER BY position")
        .map_err(context)?;
    let rows = statement
        .query_map([dataset_id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .map_err(context)?;
    let mut fields = FieldSet::default();
    for row in rows {
        let (name, kinds) = row.map_err(context)?;
        fields.add(&name.into(), Kinds::from_bits(kinds));
    }
    Ok(fields)
}

/// The id of the dataset that was made last, also where it is gone.
const LAST_ID: &str = "last_dataset_id";

/// Adds a dataset; its id is filled in. No id is used twice, so what was meant for a dropped dataset never meets the one
/// that has its name now.
pub fn insert(transaction: &Transaction<'_>, dataset: &mut Dataset) -> Result<()> {
    let last =
        meta(transaction, LAST_ID)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
    transaction
        .prepare_cached(
            "INSERT INTO dataset (id, name, declaration, created_us)
             SELECT max(coalesce(max(id), 0), ?3) + 1, ?1, '{}', ?2 FROM dataset",
        )
        .and_then(|mut statement| statement.insert(params![&*dataset.name, dataset.created_us, last]))
        .map(|id| dataset.id = id)
        .map_err(|e| Error::sqlite(format!("cannot create dataset \"{}\"", dataset.name), e))?;
    set_meta(transaction, LAST_ID, &dataset.id.to_le_bytes())
}

/// Writes what changed in a dataset: its declaration, time field and next sequence number. It has another version then.
pub fn update(transaction: &Transaction<'_>, dataset: &mut Dataset) -> Result<()> {
    dataset.version = drawn()?;
    let declaration = serde_json::to_string(&dataset.declaration)
        .map_err(|e| Error::Internal(format!("a declaration does not serialize: {e}")))?;
    transaction
        .prepare_cached(
            "UPDATE dataset SET declaration = ?2, time_field = ?3, next_seq = ?4, records = ?5, version = ?6
              WHERE id = ?1",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                dataset.id,
                declaration,
                dataset.time_field.as_deref(),
                dataset.next_seq,
                dataset.keyed.as_ref().map_or(0, |keyed| keyed.count as i64),
                dataset.version
            ])
        })
        .map(|_| ())
        .map_err(|e| Error::sqlite(format!("cannot update dataset \"{}\"", dataset.name), e))
}

/// A random number: unlike any that this file has had, also in a state that it was put back from.
///
/// # Errors
/// The operating system gives none.
pub fn drawn() -> Result<i64> {
    let number = getrandom::u64()
        .map_err(|e| Error::Internal(format!("the operating system gives no random number: {e}")))?;
    Ok(number.cast_signed())
}

/// Writes one field with all kinds it has held.
pub fn put_field(transaction: &Transaction<'_>, dataset: &Dataset, name: &str) -> Result<()> {
    let position = dataset.fields.position(name).unwrap_or(0) as i64;
    let kinds = dataset.fields.kinds(name).unwrap_or_default().bits();
    transaction
        .prepare_cached(
            "INSERT INTO field (dataset_id, position, name, kinds) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (dataset_id, name) DO UPDATE SET kinds = excluded.kinds",
        )
        .and_then(|mut statement| statement.execute(params![dataset.id, position, name, kinds]))
        .map(|_| ())
        .map_err(|e| Error::sqlite(format!("cannot note field \"{name}\" of \"{}\"", dataset.name), e))
}

/// Forgets all fields of a dataset.
pub fn delete_fields(transaction: &Transaction<'_>, dataset_id: i64) -> Result<()> {
    transaction
        .execute("DELETE FROM field WHERE dataset_id = ?1", [dataset_id])
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot forget the fields of a dataset", e))
}

/// Removes a dataset with its fields and events.
pub fn delete(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    transaction
        .execute("DELETE FROM dataset WHERE id = ?1", [id])
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot drop the dataset", e))
}

/// How far a file was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportMark {
    /// The full path of the file.
    pub source: Arc<str>,
    /// The first line, or item of a JSON document, that is not committed.
    pub place: u64,
    /// Whether that is the end of the file.
    pub ended: bool,
}

/// Writes how far a file was imported.
pub fn put_import(transaction: &Transaction<'_>, dataset_id: i64, mark: &ImportMark) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO import (dataset_id, source, place, ended) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (dataset_id, source) DO UPDATE SET place = excluded.place, ended = excluded.ended",
        )
        .and_then(|mut statement| {
            statement.execute(params![dataset_id, &*mark.source, mark.place as i64, mark.ended])
        })
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot note how far the import is", e))
}

/// Reads how far a file was imported into a dataset; `None` where it never was.
pub fn import(connection: &Connection, dataset: &str, source: &str) -> Result<Option<ImportMark>> {
    connection
        .query_row(
            "SELECT place, ended FROM import JOIN dataset ON dataset.id = dataset_id WHERE name = ?1 AND source = ?2",
            [dataset, source],
            |row| {
                let place: i64 = row.get(0)?;
                Ok(ImportMark { source: source.into(), place: place as u64, ended: row.get(1)? })
            },
        )
        .optional()
        .map_err(|e| Error::sqlite("cannot read how far the import was", e))
}

/// A value of the table `meta`.
pub fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .map_err(|e| Error::sqlite(format!("cannot read \"{key}\""), e))
}

/// Sets a value of the table `meta`.
pub fn set_meta(connection: &Connection, key: &str, value: &[u8]) -> Result<()> {
    connection
        .execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            params![key, value],
        )
        .map(|_| ())
        .map_err(|e| Error::sqlite(format!("cannot write \"{key}\""), e))
}
