//! The tables `segment` and `segment_column`: segments are written in one piece, read column by column, and buried
//! when nothing can read them any more.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::blob::Blob;
use rusqlite::{Connection, Transaction, params};

use crate::columnar::segment::SegmentHead;
use crate::error::{Error, Result};
use crate::store::catalog::drawn;
use crate::store::open::Readers;
use crate::store::pool::{BufferPool, ColumnBytes, ColumnKey};
use crate::store::segment::{EncodedSegment, Segment};

/// Columns that a segment has at most; `segment_column.id` leaves room for so many.
pub(super) const COLUMNS: i64 = 1 << 16;

/// Writes a segment; the result is its id and its tag.
///
/// # Errors
/// SQLite's.
pub fn insert(
    transaction: &Transaction<'_>,
    dataset_id: i64,
    seqs: (i64, i64),
    segment: &EncodedSegment,
) -> Result<(i64, i64)> {
    let context = |e| Error::sqlite("cannot write a segment", e);
    let tag = drawn()?;
    let id = transaction
        .prepare_cached(
            "INSERT INTO segment (dataset_id, first_seq, last_seq, rows, min_time, max_time, bytes, head, tag)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .and_then(|mut statement| {
            statement.insert(params![
                dataset_id,
                seqs.0,
                seqs.1,
                segment.head.rows as i64,
                segment.times.0,
                segment.times.1,
                segment.bytes() as i64,
                segment.head.encode(),
                tag
            ])
        })
        .map_err(context)?;
    let mut statement = transaction
        .prepare_cached("INSERT INTO segment_column (id, data) VALUES (?1, ?2)")
        .map_err(context)?;
    for (at, bytes) in segment.columns.iter().enumerate() {
        if let Some(bytes) = bytes {
            statement.execute(params![id * COLUMNS + at as i64, bytes]).map_err(context)?;
        }
    }
    Ok((id, tag))
}

/// Takes a segment from its dataset; it stays readable until it is buried.
///
/// # Errors
/// SQLite's.
pub fn kill(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    transaction
        .prepare_cached("UPDATE segment SET dataset_id = NULL WHERE id = ?1")
        .and_then(|mut statement| statement.execute([id]))
        .map(drop)
        .map_err(|e| Error::sqlite("cannot take a segment out", e))
}

/// Removes a dead segment with its columns.
///
/// # Errors
/// SQLite's.
pub fn bury(transaction: &Transaction<'_>, id: i64) -> Result<()> {
    let context = |e| Error::sqlite("cannot remove a segment", e);
    transaction
        .execute("DELETE FROM segment_column WHERE id >= ?1 AND id < ?2", [id * COLUMNS, (id + 1) * COLUMNS])
        .map_err(context)?;
    transaction
        .execute("DELETE FROM segment WHERE id = ?1 AND dataset_id IS NULL", [id])
        .map(drop)
        .map_err(context)
}

/// The dead segments that a process left behind.
///
/// # Errors
/// SQLite's.
pub fn dead(connection: &Connection) -> Result<Vec<i64>> {
    let context = |e| Error::sqlite("cannot list removed segments", e);
    let mut statement =
        connection.prepare("SELECT id FROM segment WHERE dataset_id IS NULL").map_err(context)?;
    let ids = statement.query_map([], |row| row.get(0)).map_err(context)?;
    ids.collect::<rusqlite::Result<_>>().map_err(context)
}

/// Reads the segments of a dataset, without their columns. One whose head is damaged is there with its damage: queries
/// that need it tell.
///
/// # Errors
/// SQLite's.
pub fn load(connection: &Connection, dataset_id: i64, pool: &Arc<BufferPool>) -> Result<Vec<Arc<Segment>>> {
    let context = |e| Error::sqlite("cannot read the list of segments", e);
    let mut statement = connection
        .prepare(
            "SELECT id, first_seq, last_seq, rows, min_time, max_time, bytes, head, tag
               FROM segment WHERE dataset_id = ?1 ORDER BY first_seq, id",
        )
        .map_err(context)?;
    let mut rows = statement.query([dataset_id]).map_err(context)?;
    let mut segments = Vec::new();
    while let Some(row) = rows.next().map_err(context)? {
        let get = || -> rusqlite::Result<(Segment, Vec<u8>, i64)> {
            let segment = Segment {
                id: row.get(0)?,
                tag: row.get(8)?,
                first_seq: row.get(1)?,
                last_seq: row.get(2)?,
                times: (row.get(4)?, row.get(5)?),
                bytes: row.get::<_, i64>(6)?.unsigned_abs(),
                head: SegmentHead::default(),
                pool: Arc::clone(pool),
                damage: None,
            };
            Ok((segment, row.get(7)?, row.get(3)?))
        };
        let (mut segment, head, rows) = get().map_err(context)?;
        let rows = usize::try_from(rows).unwrap_or(0);
        match SegmentHead::decode(&head) {
            Ok(head) if head.rows == rows => segment.head = head,
            Ok(head) => segment.set_damage(rows, format!("its head tells of {} rows", head.rows)),
            Err(e) => segment.set_damage(rows, e.to_string()),
        }
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

/// Bytes of the segments of a dataset.
///
/// # Errors
/// SQLite's.
pub fn stored_bytes(connection: &Connection, dataset_id: i64) -> Result<u64> {
    connection
        .query_row(
            "SELECT (SELECT coalesce(sum(length(block)), 0) FROM log WHERE dataset_id = ?1)
                  + (SELECT coalesce(sum(bytes), 0) FROM segment WHERE dataset_id = ?1)",
            [dataset_id],
            |row| row.get::<_, i64>(0),
        )
        .map(i64::unsigned_abs)
        .map_err(|e| Error::sqlite("cannot measure the dataset", e))
}

/// Reads a range of a column, cut off where the column ends.
pub(super) fn read_column(connection: &Connection, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>> {
    let context = |e| Error::sqlite("cannot read a column", e);
    let id = key.segment * COLUMNS + i64::from(key.column);
    let blob: Blob<'_> =
        connection.blob_open("main", "segment_column", "data", id, true).map_err(|e| match &e {
            // SQLite has no code for it
            rusqlite::Error::SqliteFailure(_, Some(text)) if text.starts_with("no such rowid") => {
                Error::Corrupt("its bytes are missing".into())
            }
            _ => context(e),
        })?;
    let size = blob.size().unsigned_abs() as u64;
    let (start, end) = (range.start.min(size), range.end.min(size));
    let mut bytes = vec![0; (end - start) as usize];
    blob.read_at_exact(&mut bytes, start as usize).map_err(context)?;
    Ok(bytes)
}

/// Columns read through the pool of read connections. Segments that a snapshot holds are in the file, so what is read
/// does not depend on when.
pub struct PooledBytes(pub Readers);

impl ColumnBytes for PooledBytes {
    fn read(&self, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>> {
        let reader = self.0.get().map_err(|e| Error::Busy {
            detail: format!("all read connections are in use: {e}"),
            retry_after_s: 1,
        })?;
        read_column(&reader, key, range)
    }
}

/// Columns read within the one read transaction of a process that only looks.
pub struct TransactionBytes(pub Arc<Mutex<Connection>>);

impl ColumnBytes for TransactionBytes {
    fn read(&self, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>> {
        read_column(&self.0.lock().unwrap_or_else(PoisonError::into_inner), key, range)
    }
}
