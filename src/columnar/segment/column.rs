//! One column of a segment: an index of its blocks, its dictionaries, the blocks.

use std::ops::Range;
use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::columnar::segment::BLOCK_ROWS;
use crate::columnar::{Block, TIME};
use crate::error::{Error, Result};

/// What the index tells of the values of one block, so that it need not be read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BlockZone {
    /// Rows without a value.
    pub nulls: u32,
    /// Smallest and largest value where all are of type int, or all of type time, and there is one.
    pub span: Option<(i64, i64)>,
    /// Smallest and largest dictionary code where all are of type string, and there is one.
    pub codes: Option<(u32, u32)>,
}

/// Where everything is in the stored bytes of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnIndex {
    rows: usize,
    head_bytes: usize,
    blocks: Vec<(Range<u64>, BlockZone)>,
}

/// The dictionaries that all blocks of a column share, by type; empty ones where it has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dictionaries {}

/// The stored bytes of a column.
///
/// # Errors
/// A column beyond the limits of the format.
pub fn encode(column: &Column) -> Result<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut index = Vec::new();
    let mut at = 0;
    while at < column.rows {
        let rows: Vec<u32> = (at..column.rows.min(at + BLOCK_ROWS)).map(|row| row as u32).collect();
        let part = column.take(&rows);
        let zone = zone(&part);
        let times = Column::times(&vec![0; rows.len()]);
        let stored =
            Block::new(rows.len(), vec![("c".into(), Arc::new(part)), (TIME.into(), Arc::new(times))])
                .encode()?;
        index.push((stored.len() as u64, zone));
        blocks.extend(stored);
        at += BLOCK_ROWS;
    }
    let mut out = Vec::new();
    out.extend_from_slice(&(16 + index.len() as u64 * 40).to_le_bytes());
    out.extend_from_slice(&(column.rows as u64).to_le_bytes());
    for (length, zone) in index {
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&u64::from(zone.nulls).to_le_bytes());
        out.extend_from_slice(&u64::from(zone.span.is_some()).to_le_bytes());
        let (min, max) = zone.span.unwrap_or_default();
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
    }
    out.extend(blocks);
    Ok(out)
}

fn zone(column: &Column) -> BlockZone {
    let span = match &column.data {
        Data::Int(ints) | Data::Time(ints) => Some((ints.min(), ints.max())),
        _ => None,
    };
    let valid = column.validity.as_ref().map_or(column.rows, |bits| bits.count_ones());
    BlockZone { nulls: (column.rows - valid) as u32, span, codes: None }
}

impl ColumnIndex {
    /// Bytes from which [`ColumnIndex::bytes`] tells the size of the index.
    pub const PREFIX_BYTES: usize = 8;

    /// The size of the index, told by the first [`ColumnIndex::PREFIX_BYTES`] of a column.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn bytes(prefix: &[u8]) -> Result<usize> {
        let prefix = prefix.first_chunk::<8>().ok_or_else(corrupt)?;
        Ok(u64::from_le_bytes(*prefix) as usize)
    }

    /// Reads the index: the first [`ColumnIndex::bytes`] of a column.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|n| u64::from_le_bytes(*n)).collect();
        let rows = *numbers.get(1).ok_or_else(corrupt)? as usize;
        let mut at = bytes.len() as u64;
        let blocks = numbers[2..]
            .chunks_exact(5)
            .map(|n| {
                let span = (n[2] == 1).then_some((n[3] as i64, n[4] as i64));
                at += n[0];
                (at - n[0]..at, BlockZone { nulls: n[1] as u32, span, codes: None })
            })
            .collect();
        Ok(Self { rows, head_bytes: bytes.len(), blocks })
    }

    /// Rows of the column.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What is told of the blocks, in order.
    pub fn zones(&self) -> impl Iterator<Item = &BlockZone> {
        self.blocks.iter().map(|(_, zone)| zone)
    }

    /// What is told of one block.
    pub fn zone(&self, block: usize) -> Option<&BlockZone> {
        self.blocks.get(block).map(|(_, zone)| zone)
    }

    /// Where the dictionaries are; empty where there are none.
    pub fn dictionary_range(&self) -> Range<u64> {
        self.head_bytes as u64..self.head_bytes as u64
    }

    /// Where a block is.
    pub fn block_range(&self, block: usize) -> Option<Range<u64>> {
        self.blocks.get(block).map(|(range, _)| range.clone())
    }

    /// Reads the dictionaries.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn decode_dictionaries(&self, _bytes: &[u8]) -> Result<Dictionaries> {
        Ok(Dictionaries {})
    }

    /// Reads a block.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn decode_block(&self, _block: usize, bytes: &[u8], _dictionaries: &Dictionaries) -> Result<Column> {
        Block::decode(bytes)?.column("c").map_or_else(|| Err(corrupt()), |column| Ok(Column::clone(column)))
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.blocks.len() * size_of::<(Range<u64>, BlockZone)>() + size_of::<Self>()
    }
}

impl Dictionaries {
    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        0
    }
}

fn corrupt() -> Error {
    Error::Corrupt("a stored column is damaged".into())
}
