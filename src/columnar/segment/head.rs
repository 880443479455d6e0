//! What a segment tells of its columns without one of them being read: their names, types and spans.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::columnar::column::{Column, Data};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};

const MAGIC: &[u8; 3] = b"WRH";
const VERSION: u8 = 1;
const HAS_NULLS: u8 = 1;
const HAS_SPAN: u8 = 2;
const IS_SAME: u8 = 4;

/// The columns of a segment, sorted by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SegmentHead {
    /// Rows of every column.
    pub rows: usize,
    /// Sorted by name, names distinct.
    pub columns: Vec<HeadColumn>,
}

/// One column of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadColumn {
    /// The field.
    pub name: Arc<str>,
    /// Types of its values.
    pub kinds: Kinds,
    /// Whether a row is without a value.
    pub has_nulls: bool,
    /// Smallest and largest value where all are of type int, or all of type time.
    pub span: Option<(i64, i64)>,
    /// An earlier column with equal contents, by its place in the list; this one is not stored then.
    pub same_as: Option<u32>,
}

impl HeadColumn {
    /// What is to be told of a column.
    pub fn of(name: Arc<str>, column: &Column, same_as: Option<u32>) -> Self {
        let span = match &column.data {
            Data::Int(ints) | Data::Time(ints) => Some((ints.min(), ints.max())),
            _ => None,
        };
        Self { name, kinds: column.kinds(), has_nulls: column.validity.is_some(), span, same_as }
    }
}

impl SegmentHead {
    /// The place of a column in the list; `None`: no row has a value there.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.binary_search_by(|column| (*column.name).cmp(name)).ok()
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&(self.rows as u32).to_le_bytes());
        body.extend_from_slice(&(self.columns.len() as u32).to_le_bytes());
        self.columns.iter().for_each(|column| put_column(&mut body, column));
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&checksum(&out, &body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Corrupt` where the bytes break a rule of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|error| match error {
            Error::Corrupt(what) => Error::Corrupt(format!("the head of a segment is damaged: {what}")),
            other => other,
        })
    }
}

fn checksum(start: &[u8], body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, xxh3_64(start))
}

fn put_column(out: &mut Vec<u8>, column: &HeadColumn) {
    out.extend_from_slice(&(column.name.len() as u32).to_le_bytes());
    out.extend_from_slice(column.name.as_bytes());
    out.push(column.kinds.bits() as u8);
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    let flags = flag(column.has_nulls, HAS_NULLS) | flag(column.span.is_some(), HAS_SPAN);
    out.push(flags | flag(column.same_as.is_some(), IS_SAME));
    if let Some((min, max)) = column.span {
        out.extend_from_slice(&min.to_le_bytes());
        out.extend_from_slice(&max.to_le_bytes());
    }
    if let Some(same) = column.same_as {
        out.extend_from_slice(&same.to_le_bytes());
    }
}

fn read(bytes: &[u8]) -> Result<SegmentHead> {
    let mut reader = Reader::new(bytes);
    let start = reader.take(MAGIC.len() + 1)?;
    let (magic, version) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(corrupt("it does not begin as one"));
    }
    if version != [VERSION] {
        return Err(corrupt(format!(
            "it is of version {}, this program reads version {VERSION}",
            version[0]
        )));
    }
    if reader.u64()? != checksum(start, reader.rest()) {
        return Err(corrupt("its checksum is wrong"));
    }
    let rows = reader.u32()? as usize;
    let count = reader.u32()?;
    let mut columns: Vec<HeadColumn> = Vec::new();
    for _ in 0..count {
        let column = read_column(&mut reader)?;
        if columns.last().is_some_and(|previous| previous.name >= column.name) {
            return Err(corrupt("its columns are out of order"));
        }
        let told = |of: &HeadColumn| (of.kinds, of.has_nulls, of.span);
        if let Some(same) = column.same_as
            && !columns.get(same as usize).is_some_and(|c| c.same_as.is_none() && told(c) == told(&column))
        {
            return Err(corrupt("a column is the same as one that is not stored"));
        }
        columns.push(column);
    }
    reader.end()?;
    Ok(SegmentHead { rows, columns })
}

fn read_column(reader: &mut Reader<'_>) -> Result<HeadColumn> {
    let length = reader.u32()? as usize;
    let name = std::str::from_utf8(reader.take(length)?).map_err(|_| corrupt("a name is not UTF-8"))?.into();
    let bits = reader.u8()?;
    let kinds = Kinds::from_bits(i64::from(bits));
    if kinds.bits() != i64::from(bits) {
        return Err(corrupt("a column has a type that is not known"));
    }
    let flags = reader.u8()?;
    if flags & !(HAS_NULLS | HAS_SPAN | IS_SAME) != 0 {
        return Err(corrupt(format!("a column has flags {flags}")));
    }
    let span = if flags & HAS_SPAN != 0 { Some((reader.i64()?, reader.i64()?)) } else { None };
    let has_order = kinds == Kinds::of(FieldType::Int) || kinds == Kinds::of(FieldType::Time);
    if span.is_some_and(|(min, max)| min > max || !has_order) {
        return Err(corrupt("a column has bounds that cannot be"));
    }
    let same_as = if flags & IS_SAME != 0 { Some(reader.u32()?) } else { None };
    Ok(HeadColumn { name, kinds, has_nulls: flags & HAS_NULLS != 0, span, same_as })
}
