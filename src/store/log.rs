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
        .prepare_cached("INSERT INTO log (dataset_id, first_seq, rows, block) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut statement| {
            statement.execute(params![dataset_id, first_seq, block.rows() as i64, bytes])
        })
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot append to the log", e))
}

/// Reads all batches of a dataset in order of `_seq`.
///
/// # Errors
/// SQLite's, and `Corrupt` naming the first batch that is damaged.
pub fn load(connection: &Connection, dataset_id: i64) -> Result<Vec<TailBlock>> {
    let context = |e| Error::sqlite("cannot read the log", e);
    let mut statement = connection
        .prepare("SELECT first_seq, rows, block FROM log WHERE dataset_id = ?1 ORDER BY first_seq")
        .map_err(context)?;
    let mut rows = statement.query([dataset_id]).map_err(context)?;
    let mut blocks = Vec::new();
    loop {
        let mut stored: Vec<(i64, i64, Vec<u8>)> = Vec::new();
        while stored.len() < DECODE_TOGETHER
            && let Some(row) = rows.next().map_err(context)?
        {
            stored.push((
                row.get(0).map_err(context)?,
                row.get(1).map_err(context)?,
                row.get(2).map_err(context)?,
            ));
        }
        if stored.is_empty() {
            return Ok(blocks);
        }
        let decoded: Result<Vec<TailBlock>> =
            stored.par_iter().map(|(first_seq, rows, bytes)| decode(*first_seq, *rows, bytes)).collect();
        blocks.extend(decoded?);
    }
}

fn decode(first_seq: i64, rows: i64, bytes: &[u8]) -> Result<TailBlock> {
    let place = |what: String| {
        Error::Corrupt(format!("log row of events {first_seq} to {}: {what}", first_seq + rows - 1))
    };
    let block = Block::decode(bytes).map_err(|e| place(e.to_string()))?;
    if block.rows() as i64 != rows {
        return Err(place(format!("it holds {} events instead of {rows}", block.rows())));
    }
    Ok(TailBlock { first_seq, block: Arc::new(block) })
}
