//! The log: one row a committed batch and dataset, its payload a columnar block. Written in the commit, read back
//! at start.

use std::sync::Arc;

use rayon::prelude::*;
use rusqlite::{Connection, Transaction, params};

use crate::columnar::Block;
use crate::error::{Error, Result};
use crate::store::snapshot::TailBlock;

/// Blocks that are read before they are decoded together on all cores.
const DECODE_TOGETHER: usize = 512;

/// Adds a batch.
pub fn append(transaction: &Transaction<'_>, dataset_id: i64, first_seq: i64, block: &Block) -> Result<()> {
    let bytes = block.encode()?;
    transaction
        .prepare_cached(
            "INSERT INTO log (dataset_id, first_seq, rows, block, min_time, max_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut statement| {
            let (min, max) = block.time_range();
            statement.execute(params![dataset_id, first_seq, block.rows() as i64, bytes, min, max])
        })
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot append to the log", e))
}

/// Removes the batches before a sequence number but those that are damaged; tells how many events they held.
///
/// # Errors
/// SQLite's.
pub fn remove(
    transaction: &Transaction<'_>,
    dataset_id: i64,
    before_seq: i64,
    damaged: &[i64],
) -> Result<i64> {
    let context = |e| Error::sqlite("cannot remove from the log", e);
    let mut statement = transaction
        .prepare_cached(
            "DELETE FROM log WHERE dataset_id = ?1 AND first_seq < ?2
                AND id NOT IN (SELECT value FROM json_each(?3)) RETURNING rows",
        )
        .map_err(context)?;
    let damaged = serde_json::json!(damaged).to_string();
    let rows = statement.query_map(params![dataset_id, before_seq, damaged], |row| row.get::<_, i64>(0));
    rows.and_then(|rows| rows.sum::<rusqlite::Result<i64>>()).map_err(context)
}

/// Removes one batch by its id: a damaged one that is given up.
///
/// # Errors
/// SQLite's.
pub fn remove_row(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    transaction
        .execute("DELETE FROM log WHERE id = ?1", [id])
        .map(drop)
        .map_err(|e| Error::sqlite("cannot remove from the log", e))
}

/// The log of a dataset as it was read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Batches in order of `_seq`.
    pub blocks: Vec<TailBlock>,
    /// Batches that cannot be read.
    pub damaged: Vec<DamagedRow>,
}

/// A batch that cannot be read.
#[derive(Debug)]
pub struct DamagedRow {
    /// Its row in the table `log`.
    pub id: i64,
    /// `_seq` of its first event.
    pub first_seq: i64,
    /// Its events.
    pub rows: i64,
    /// Earliest and latest `_time`, µs, as far as that is known.
    pub times: (i64, i64),
    /// What is wrong.
    pub damage: String,
}

struct Stored {
    id: i64,
    first_seq: i64,
    rows: i64,
    times: (i64, i64),
    bytes: Vec<u8>,
}

/// Reads all batches of a dataset.
///
/// # Errors
/// SQLite's.
pub fn load(connection: &Connection, dataset_id: i64) -> Result<Loaded> {
    let context = |e| Error::sqlite("cannot read the log", e);
    let mut statement = connection
        .prepare(
            "SELECT id, first_seq, rows, coalesce(min_time, ?2), coalesce(max_time, ?3), block
               FROM log WHERE dataset_id = ?1 ORDER BY first_seq",
        )
        .map_err(context)?;
    let mut rows = statement.query([dataset_id, i64::MIN, i64::MAX]).map_err(context)?;
    let mut loaded = Loaded::default();
    let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Stored> {
        Ok(Stored {
            id: row.get(0)?,
            first_seq: row.get(1)?,
            rows: row.get(2)?,
            times: (row.get(3)?, row.get(4)?),
            bytes: row.get(5)?,
        })
    };
    loop {
        let mut together: Vec<Stored> = Vec::new();
        while together.len() < DECODE_TOGETHER
            && let Some(row) = rows.next().map_err(context)?
        {
            together.push(read(row).map_err(context)?);
        }
        if together.is_empty() {
            return Ok(loaded);
        }
        let decoded: Vec<Result<Block>> = together.par_iter().map(decode).collect();
        for (stored, decoded) in together.into_iter().zip(decoded) {
            let Stored { id, first_seq, rows, times, .. } = stored;
            match decoded {
                Ok(block) => loaded.blocks.push(TailBlock { first_seq, block: Arc::new(block) }),
                Err(e) => {
                    loaded.damaged.push(DamagedRow { id, first_seq, rows, times, damage: e.to_string() });
                }
            }
        }
    }
}

fn decode(stored: &Stored) -> Result<Block> {
    let block = Block::decode(&stored.bytes)?;
    if block.rows() as i64 != stored.rows {
        let (found, told) = (block.rows(), stored.rows);
        return Err(Error::Corrupt(format!("it holds {found} events instead of {told}")));
    }
    Ok(block)
}
