//! The index of a stored column: where its dictionaries and blocks are, their checksums, and what is told of each block.

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::columnar::column::Column;
use crate::columnar::segment::dictionary::Dictionaries;
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::columnar::segment::{BLOCK_ROWS, SECTION_BYTES_MAX, read};
use crate::error::Result;

const MAGIC: &[u8; 3] = b"WRC";
const VERSION: u8 = 1;
/// What stands before the index: magic, version, size, checksum.
const HEADER_BYTES: usize = 3 + 1 + 4 + 8;
const HAS_SPAN: u8 = 1;
const HAS_CODES: u8 = 2;

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

/// A run of stored bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) size: u32,
    pub(super) checksum: u64,
}

/// Where a section is.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    range: Range<u64>,
    checksum: u64,
}

/// Where everything is in the stored bytes of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnIndex {
    rows: usize,
    dictionaries: Place,
    blocks: Vec<(Place, BlockZone)>,
}

/// Appends the index with what stands before it.
pub(super) fn put_index(
    out: &mut Vec<u8>,
    rows: u32,
    dictionaries: Section,
    blocks: &[(Section, BlockZone)],
) {
    let mut index = Vec::new();
    index.extend_from_slice(&rows.to_le_bytes());
    index.extend_from_slice(&(BLOCK_ROWS as u32).to_le_bytes());
    put_section(&mut index, dictionaries);
    for (section, zone) in blocks {
        put_section(&mut index, *section);
        put_zone(&mut index, zone);
    }
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&(index.len() as u32).to_le_bytes());
    let checksum = checksum(out, &index);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(&index);
}

/// The checksum over magic, version and size, and the index.
pub(super) fn checksum(head: &[u8], index: &[u8]) -> u64 {
    xxh3_64_with_seed(index, xxh3_64(head))
}

fn put_section(out: &mut Vec<u8>, section: Section) {
    out.extend_from_slice(&section.size.to_le_bytes());
    out.extend_from_slice(&section.checksum.to_le_bytes());
}

fn put_zone(out: &mut Vec<u8>, zone: &BlockZone) {
    out.extend_from_slice(&zone.nulls.to_le_bytes());
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    out.push(flag(zone.span.is_some(), HAS_SPAN) | flag(zone.codes.is_some(), HAS_CODES));
    if let Some((min, max)) = zone.span {
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
    }
    if let Some((min, max)) = zone.codes {
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
    }
}

fn read_zone(reader: &mut Reader<'_>, rows: usize) -> Result<BlockZone> {
    let nulls = reader.u32()?;
    let flags = reader.u8()?;
    let mut zone = BlockZone { nulls, ..BlockZone::default() };
    if flags & HAS_SPAN != 0 {
        zone.span = Some((reader.i64()?, reader.i64()?));
    }
    if flags & HAS_CODES != 0 {
        zone.codes = Some((reader.u32()?, reader.u32()?));
    }
    let is_upside_down =
        zone.span.is_some_and(|(min, max)| min > max) || zone.codes.is_some_and(|(min, max)| min > max);
    let has_values = (nulls as usize) < rows;
    if nulls as usize > rows || flags > HAS_CODES || is_upside_down || (flags != 0 && !has_values) {
        return Err(corrupt("its index tells of a block what cannot be"));
    }
    Ok(zone)
}

impl ColumnIndex {
    /// Bytes from which [`ColumnIndex::bytes`] tells the size of the index.
    pub const PREFIX_BYTES: usize = 8;

    /// The size of the index, told by the first [`ColumnIndex::PREFIX_BYTES`] of a column.
    ///
    /// # Errors
    /// `Corrupt`: it does not begin as a column of a version that this program reads.
    pub fn bytes(prefix: &[u8]) -> Result<usize> {
        let mut reader = Reader::new(prefix);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(corrupt("it does not begin as a column"));
        }
        match reader.u8()? {
            VERSION => Ok(HEADER_BYTES + reader.u32()? as usize),
            other => Err(corrupt(format!("it is of version {other}, this program reads version {VERSION}"))),
        }
    }

    /// Reads the index: the first [`ColumnIndex::bytes`] of a column.
    ///
    /// # Errors
    /// `Corrupt` where the bytes break a rule of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if Self::bytes(bytes)? != bytes.len() {
            return Err(corrupt("its index has another size than it says"));
        }
        let mut reader = Reader::new(bytes);
        let head = reader.take(Self::PREFIX_BYTES)?;
        if reader.u64()? != checksum(head, &bytes[HEADER_BYTES..]) {
            return Err(corrupt("the checksum of its index is wrong"));
        }
        let rows = reader.u32()? as usize;
        let block_rows = reader.u32()? as usize;
        if block_rows != BLOCK_ROWS {
            return Err(corrupt(format!("its blocks have {block_rows} rows instead of {BLOCK_ROWS}")));
        }
        let mut at = bytes.len() as u64;
        let dictionaries = read_place(&mut reader, &mut at)?;
        let mut blocks = Vec::new();
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let place = read_place(&mut reader, &mut at)?;
            blocks.push((place, read_zone(&mut reader, (rows - start).min(BLOCK_ROWS))?));
        }
        reader.end()?;
        Ok(Self { rows, dictionaries, blocks })
    }

    /// Rows of the column.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the column as a whole: nothing may follow.
    pub fn column_bytes(&self) -> u64 {
        self.blocks.last().map_or(self.dictionaries.range.end, |(place, _)| place.range.end)
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
        self.dictionaries.range.clone()
    }

    /// Where a block is.
    pub fn block_range(&self, block: usize) -> Option<Range<u64>> {
        self.blocks.get(block).map(|(place, _)| place.range.clone())
    }

    /// Reads the dictionaries.
    ///
    /// # Errors
    /// `Corrupt` where the bytes break a rule of the format.
    pub fn decode_dictionaries(&self, bytes: &[u8]) -> Result<Dictionaries> {
        self.dictionaries.check(bytes, "its dictionaries")?;
        Dictionaries::read(bytes)
    }

    /// Reads a block.
    ///
    /// # Errors
    /// `Corrupt` where the bytes break a rule of the format, and for a block that is not there.
    pub fn decode_block(&self, block: usize, bytes: &[u8], dictionaries: &Dictionaries) -> Result<Column> {
        let (place, zone) = self.blocks.get(block).ok_or_else(|| corrupt("it has no such block"))?;
        place.check(bytes, "a block")?;
        let rows = (self.rows - block * BLOCK_ROWS).min(BLOCK_ROWS);
        let (column, found) = read::block(bytes, rows, dictionaries)?;
        if found != *zone {
            return Err(corrupt("a block holds other values than its index tells"));
        }
        Ok(column)
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.blocks.len() * size_of::<(Place, BlockZone)>() + size_of::<Self>()
    }
}

fn read_place(reader: &mut Reader<'_>, at: &mut u64) -> Result<Place> {
    let (size, checksum) = (reader.u32()?, reader.u64()?);
    if size as usize > SECTION_BYTES_MAX {
        return Err(corrupt("a part of it is beyond every limit"));
    }
    let range = *at..*at + u64::from(size);
    *at = range.end;
    Ok(Place { range, checksum })
}

impl Place {
    fn check(&self, bytes: &[u8], what: &str) -> Result<()> {
        let size = self.range.end - self.range.start;
        if bytes.len() as u64 != size {
            return Err(corrupt(format!("{what} has {} bytes instead of {size}", bytes.len())));
        }
        if xxh3_64(bytes) != self.checksum {
            return Err(corrupt(format!("the checksum of {what} is wrong")));
        }
        Ok(())
    }
}
