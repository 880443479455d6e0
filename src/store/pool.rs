//! The buffer pool: decoded columns of segments, block by block in their narrow form, the least used going first when
//! its bytes are full. It reads what it lacks through [`ColumnBytes`].

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::columnar::column::Column;
use crate::columnar::segment::{ColumnIndex, Dictionaries};
use crate::error::{Error, Result};

/// Bytes read at once for the index of a column: most indexes fit.
const INDEX_GUESS_BYTES: u64 = 4_096;

/// A stored column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnKey {
    /// The segment.
    pub segment: i64,
    /// Its place in the segment's head.
    pub column: u32,
}

impl ColumnKey {
    /// The column at a place of a segment.
    pub fn new(segment: i64, column: usize) -> Self {
        Self { segment, column: column as u32 }
    }
}

/// Where the bytes of columns come from.
pub trait ColumnBytes: Send + Sync {
    /// Reads a range of a column, cut off where the column ends.
    ///
    /// # Errors
    /// The column is not there, or cannot be read.
    fn read(&self, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    Index,
    Dictionaries,
    Block(u32),
}

#[derive(Clone)]
enum Held {
    Index(Arc<ColumnIndex>),
    Dictionaries(Arc<Dictionaries>),
    Block(Arc<Column>),
}

impl Held {
    fn bytes(&self) -> usize {
        match self {
            Self::Index(index) => index.memory_bytes(),
            Self::Dictionaries(dictionaries) => dictionaries.memory_bytes(),
            // the dictionaries are shared, and counted as such
            Self::Block(column) => column.bytes_without_dictionaries(),
        }
    }
}

/// Decoded columns, bounded by their bytes.
pub struct BufferPool {
    source: Box<dyn ColumnBytes>,
    bytes_max: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    entries: LruCache<(ColumnKey, Piece), Held>,
    bytes: usize,
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl BufferPool {
    /// A pool of so many bytes over a source.
    pub fn new(source: Box<dyn ColumnBytes>, bytes_max: usize) -> Self {
        Self { source, bytes_max, kept: Mutex::new(Kept { entries: LruCache::unbounded(), bytes: 0 }) }
    }

    /// The index of a column.
    ///
    /// # Errors
    /// `Corrupt`, and those of the source.
    pub fn index(&self, key: ColumnKey) -> Result<Arc<ColumnIndex>> {
        if let Some(Held::Index(index)) = self.get(key, Piece::Index) {
            return Ok(index);
        }
        let mut bytes = self.source.read(key, 0..INDEX_GUESS_BYTES)?;
        let size = ColumnIndex::bytes(&bytes)?;
        if size > bytes.len() {
            bytes = self.source.read(key, 0..size as u64)?;
        }
        let index = bytes.get(..size).ok_or_else(|| Error::Corrupt("it ends within its index".into()))?;
        let index = Arc::new(ColumnIndex::decode(index)?);
        self.keep(key, Piece::Index, Held::Index(Arc::clone(&index)));
        Ok(index)
    }

    /// The dictionaries of a column.
    ///
    /// # Errors
    /// `Corrupt`, and those of the source.
    pub fn dictionaries(&self, key: ColumnKey) -> Result<Arc<Dictionaries>> {
        if let Some(Held::Dictionaries(dictionaries)) = self.get(key, Piece::Dictionaries) {
            return Ok(dictionaries);
        }
        let index = self.index(key)?;
        let range = index.dictionary_range();
        let bytes = if range.is_empty() { Vec::new() } else { self.source.read(key, range)? };
        let dictionaries = Arc::new(index.decode_dictionaries(&bytes)?);
        self.keep(key, Piece::Dictionaries, Held::Dictionaries(Arc::clone(&dictionaries)));
        Ok(dictionaries)
    }

    /// A block of a column.
    ///
    /// # Errors
    /// `Corrupt`, and those of the source.
    pub fn block(&self, key: ColumnKey, block: usize) -> Result<Arc<Column>> {
        let piece = Piece::Block(block as u32);
        if let Some(Held::Block(column)) = self.get(key, piece) {
            return Ok(column);
        }
        let index = self.index(key)?;
        let dictionaries = self.dictionaries(key)?;
        let range = index.block_range(block).ok_or_else(|| Error::Corrupt("it has no such block".into()))?;
        let bytes = self.source.read(key, range)?;
        let column = Arc::new(index.decode_block(block, &bytes, &dictionaries)?);
        self.keep(key, piece, Held::Block(Arc::clone(&column)));
        Ok(column)
    }

    /// All blocks of a column, read at once and not kept.
    ///
    /// # Errors
    /// `Corrupt`, naming the block, and those of the source.
    pub fn read_whole(&self, key: ColumnKey) -> Result<Vec<Column>> {
        let bytes = self.source.read(key, 0..u64::MAX)?;
        let index = ColumnIndex::decode(slice(&bytes, &(0..ColumnIndex::bytes(&bytes)? as u64))?)?;
        if index.column_bytes() != bytes.len() as u64 {
            let (told, found) = (index.column_bytes(), bytes.len());
            return Err(Error::Corrupt(format!("it has {found} bytes instead of {told}")));
        }
        let dictionaries = index.decode_dictionaries(slice(&bytes, &index.dictionary_range())?)?;
        let blocks = index.zones().count();
        let block = |at: usize| {
            let range = index.block_range(at).unwrap_or_default();
            index.decode_block(at, slice(&bytes, &range)?, &dictionaries).map_err(|e| match e {
                Error::Corrupt(what) => Error::Corrupt(format!("block {at}: {what}")),
                other => other,
            })
        };
        (0..blocks).map(block).collect()
    }

    /// Lets go of everything of a segment that is no more.
    pub fn forget(&self, segment: i64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<(ColumnKey, Piece)> =
            kept.entries.iter().map(|(place, _)| *place).filter(|(key, _)| key.segment == segment).collect();
        for place in gone {
            if let Some(held) = kept.entries.pop(&place) {
                kept.bytes -= held.bytes();
            }
        }
    }

    /// Bytes it holds now.
    pub fn bytes(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn get(&self, key: ColumnKey, piece: Piece) -> Option<Held> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).entries.get(&(key, piece)).cloned()
    }

    fn keep(&self, key: ColumnKey, piece: Piece, held: Held) {
        let bytes = held.bytes();
        // what is larger than the whole pool would only drive out everything else
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replaced) = kept.entries.put((key, piece), held) {
            kept.bytes -= replaced.bytes();
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max
            && let Some((_, oldest)) = kept.entries.pop_lru()
        {
            kept.bytes -= oldest.bytes();
        }
    }
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u64>) -> Result<&'a [u8]> {
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    let part = start.ok().zip(end.ok()).and_then(|(start, end)| bytes.get(start..end));
    part.ok_or_else(|| Error::Corrupt("it ends too early".into()))
}

/// Columns of one segment in memory, for tests.
pub struct MemoryBytes {
    segment: i64,
    columns: Vec<Option<Vec<u8>>>,
}

impl MemoryBytes {
    /// The stored columns of a segment.
    pub fn new(segment: i64, columns: Vec<Option<Vec<u8>>>) -> Self {
        Self { segment, columns }
    }
}

impl ColumnBytes for MemoryBytes {
    fn read(&self, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>> {
        let column = self.columns.get(key.column as usize).and_then(Option::as_ref);
        let column = column.filter(|_| key.segment == self.segment);
        let column = column.ok_or_else(|| Error::Corrupt("it is not there".into()))?;
        let clamp = |at: u64| usize::try_from(at).map_or(column.len(), |at| at.min(column.len()));
        Ok(column[clamp(range.start)..clamp(range.end)].to_vec())
    }
}
