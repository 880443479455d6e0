//! A segment: sealed events, ordered by `_time` and `_seq`, one BLOB a column. What is in memory is its head; columns
//! are read through the buffer pool, block by block.

use std::sync::Arc;

use crate::columnar::TIME;
use crate::columnar::column::Column;
use crate::columnar::segment::{BLOCK_ROWS, ColumnIndex, HeadColumn, SegmentHead};
use crate::error::{Error, Result};
use crate::store::compose::{Origin, compose};
use crate::store::log::DamagedRow;
use crate::store::part::{Zone, zone_of_span};
use crate::store::pool::{BufferPool, ColumnKey, MemoryBytes};
use crate::store::snapshot::TailBlock;

/// The column of sequence numbers, as offsets from the segment's first; left out where they rise one by one.
pub const SEQ: &str = "_seq";

/// Sealed events of one dataset.
#[derive(Debug)]
pub struct Segment {
    /// Its row in the table `segment`; never used twice.
    pub id: i64,
    /// What it is told by in caches that outlive the process: random, as a file that was put back to an earlier state gives
    /// ids anew.
    pub tag: i64,
    /// `_seq` lies from here,
    pub first_seq: i64,
    /// to here, both included; there may be gaps.
    pub last_seq: i64,
    /// Earliest and latest `_time`, µs.
    pub times: (i64, i64),
    /// Bytes in the file.
    pub bytes: u64,
    /// Its columns.
    pub head: SegmentHead,
    /// Where they are read.
    pub pool: Arc<BufferPool>,
    /// Why nothing of it can be read, where that is so. A damaged row of the log stands here too, with a negative id.
    pub damage: Option<String>,
}

/// The bytes of a segment before it has a place in the file.
#[derive(Debug)]
pub struct EncodedSegment {
    /// Its columns.
    pub head: SegmentHead,
    /// The bytes of each; `None` where a column is the same as an earlier one.
    pub columns: Vec<Option<Vec<u8>>>,
    /// Earliest and latest `_time`, µs.
    pub times: (i64, i64),
}

impl EncodedSegment {
    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.columns.iter().flatten().map(|column| column.len() as u64).sum()
    }
}

impl Segment {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.head.rows
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.head.rows.div_ceil(BLOCK_ROWS)
    }

    /// Whether rows stand in order of `_seq` without gaps.
    pub fn is_in_order(&self) -> bool {
        self.head.position(SEQ).is_none()
    }

    /// The fields that a row may have a value in.
    pub fn fields(&self) -> impl Iterator<Item = &Arc<str>> {
        self.head.columns.iter().map(|column| &column.name).filter(|name| &***name != SEQ)
    }

    /// A row of the log that cannot be read, in the place of its events.
    pub fn of_damaged_log(row: DamagedRow, pool: &Arc<BufferPool>) -> Self {
        let mut segment = Self {
            id: -row.id,
            tag: -row.id,
            first_seq: row.first_seq,
            last_seq: row.first_seq + row.rows - 1,
            times: row.times,
            bytes: 0,
            head: SegmentHead::default(),
            pool: Arc::clone(pool),
            damage: None,
        };
        segment.set_damage(usize::try_from(row.rows).unwrap_or(0), row.damage);
        segment
    }

    /// Notes that nothing can be read of its rows; what the tables tell of it stays.
    pub fn set_damage(&mut self, rows: usize, damage: String) {
        self.head = SegmentHead { rows, columns: Vec::new() };
        self.damage = Some(damage);
    }

    /// What is known of a field without reading anything.
    pub fn zone(&self, name: &str) -> Zone {
        if self.damage.is_some() {
            let (min, max) = self.times;
            return if name == TIME { Zone::Times { min, max, has_nulls: false } } else { Zone::Unknown };
        }
        let Some(at) = self.head.position(name) else { return Zone::Empty };
        let column = &self.head.columns[at];
        zone_of_span(column.kinds.single(), column.span, column.has_nulls)
    }

    /// What is known of a field in one block.
    ///
    /// # Errors
    /// `Corrupt`, and what reading the file may bring.
    pub fn block_zone(&self, name: &str, block: usize) -> Result<Zone> {
        if self.damage.is_some() {
            return Ok(self.zone(name));
        }
        let Some((key, column)) = self.find(name)? else { return Ok(Zone::Empty) };
        let index = self.index(key, column)?;
        let zone = index.zone(block).copied().unwrap_or_default();
        let rows = (self.rows() - block * BLOCK_ROWS).min(BLOCK_ROWS);
        if zone.nulls as usize >= rows {
            return Ok(Zone::Empty);
        }
        if let Some((min, max)) = zone.codes {
            let dictionaries = self.pool.dictionaries(key).map_err(|e| self.named(e, &column.name, None))?;
            return Ok(Zone::Texts { dictionary: Arc::clone(dictionaries.strings()), min, max });
        }
        Ok(zone_of_span(column.kinds.single(), zone.span, zone.nulls > 0))
    }

    /// A column of one block; `None`: no row has a value.
    ///
    /// # Errors
    /// `Corrupt`, and what reading the file may bring.
    pub fn column(&self, name: &str, block: usize) -> Result<Option<Arc<Column>>> {
        let Some((key, column)) = self.find(name)? else { return Ok(None) };
        self.pool.block(key, block).map(Some).map_err(|e| self.named(e, &column.name, Some(block)))
    }

    /// All blocks of a column, past the buffer pool: for what reads everything once.
    ///
    /// # Errors
    /// `Corrupt`, and what reading the file may bring.
    pub fn whole_column(&self, name: &str) -> Result<Option<Vec<Column>>> {
        let Some((key, column)) = self.find(name)? else { return Ok(None) };
        self.pool.read_whole(key).map(Some).map_err(|e| self.named(e, &column.name, None))
    }

    /// The stored column that a name stands for.
    fn find(&self, name: &str) -> Result<Option<(ColumnKey, &HeadColumn)>> {
        if let Some(damage) = &self.damage {
            return Err(self.named(Error::Corrupt(damage.clone()), name, None));
        }
        let Some(mut at) = self.head.position(name) else { return Ok(None) };
        if let Some(same) = self.head.columns[at].same_as {
            at = same as usize;
        }
        let column = self.head.columns.get(at).ok_or_else(|| {
            Error::Corrupt(format!("segment {}: column \"{name}\" refers to none", self.id))
        })?;
        Ok(Some((ColumnKey::new(self.id, at), column)))
    }

    fn index(&self, key: ColumnKey, column: &HeadColumn) -> Result<Arc<ColumnIndex>> {
        self.pool.index(key).map_err(|e| self.named(e, &column.name, None))
    }

    /// An error with the place it is about.
    fn named(&self, error: Error, column: &str, block: Option<usize>) -> Error {
        match error {
            Error::Corrupt(what) => {
                let block = block.map(|at| format!(", block {at}")).unwrap_or_default();
                let place = match self.id {
                    id @ 1.. => format!("segment {id}"),
                    id => format!("log row {}", -id),
                };
                Error::Corrupt(format!(
                    "{place} (events {} to {}), column \"{column}\"{block}: {what}",
                    self.first_seq, self.last_seq
                ))
            }
            other => other,
        }
    }

    /// A segment in memory of what blocks of the tail hold, stored and read as in a file: for tests of what reads segments.
    ///
    /// # Errors
    /// As encoding.
    pub fn of_tail(id: i64, tail: &[TailBlock]) -> Result<Self> {
        let origins: Vec<Origin> = tail.iter().cloned().map(Origin::Block).collect();
        let new = compose(&origins)?.ok_or_else(|| Error::Internal("a segment has rows".into()))?;
        let (bytes, EncodedSegment { head, columns, times }) = (new.encoded.bytes(), new.encoded);
        let pool = Arc::new(BufferPool::new(Box::new(MemoryBytes::new(id, columns)), 64 << 20));
        let (first_seq, last_seq) = new.seqs;
        Ok(Self { id, tag: id, first_seq, last_seq, times, bytes, head, pool, damage: None })
    }
}
