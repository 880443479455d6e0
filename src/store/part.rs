//! What a query scans: runs of rows whose columns are there (the tail) or are read when they are asked for (a block
//! of a segment). A query leaves out whole segments first, then parts, by what is told of their values.

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::segment::BLOCK_ROWS;
use crate::columnar::text::Dictionary;
use crate::error::Result;
use crate::fields::FieldType;
use crate::store::segment::{SEQ, Segment};
use crate::store::snapshot::{Dataset, TailBlock};

/// What is known of the values of a field in a run of rows without looking at one.
#[derive(Debug, Clone, PartialEq)]
pub enum Zone {
    /// No row has a value.
    Empty,
    /// Every value is an int; rows without one where `has_nulls`.
    Ints {
        /// No value is below.
        min: i64,
        /// No value is above.
        max: i64,
        /// Whether a row may be without a value.
        has_nulls: bool,
    },
    /// Every value is a time, µs.
    Times {
        /// No value is before.
        min: i64,
        /// No value is after.
        max: i64,
        /// Whether a row may be without a value.
        has_nulls: bool,
    },
    /// Every value is a text of this dictionary, by a code from `min` to `max`.
    Texts {
        /// The texts, also of other rows.
        dictionary: Arc<Dictionary>,
        /// No code is below.
        min: u32,
        /// No code is above.
        max: u32,
    },
    /// Anything.
    Unknown,
}

/// What tells zones: a segment as a whole, without reading anything, or one part.
pub trait Zones {
    /// What is known of a field's values.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    fn zone(&self, name: &str) -> Result<Zone>;

    /// Smallest and largest `_seq`.
    ///
    /// # Errors
    /// As [`Zones::zone`].
    fn seqs(&self) -> Result<(i64, i64)>;
}

/// `_seq` by row.
#[derive(Debug, Clone)]
pub enum RowSeqs {
    /// Rising one by one from here.
    From(i64),
    /// From here by as much as the column tells.
    Offset(i64, Arc<Column>),
}

/// Some rows.
#[derive(Debug, Clone)]
pub enum Part {
    /// A block of the tail, in memory.
    Tail(TailBlock),
    /// A block of a segment, by its number there.
    Sealed(Arc<Segment>, usize),
}

/// Where the parts of a dataset come from, for a first look at whether they are needed at all.
#[derive(Debug, Clone)]
pub enum Source {
    /// One block of the tail: one part.
    Tail(TailBlock),
    /// A segment.
    Segment(Arc<Segment>),
}

impl Dataset {
    /// Everything there is to scan: segments in their order, then the tail.
    pub fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        let segments = self.segments.iter().map(|segment| Source::Segment(Arc::clone(segment)));
        segments.chain(self.tail.iter().map(|block| Source::Tail(block.clone())))
    }
}

impl Source {
    /// Its parts in order.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::Tail(block) => vec![Part::Tail(block.clone())],
            Self::Segment(segment) => {
                (0..segment.blocks()).map(|at| Part::Sealed(Arc::clone(segment), at)).collect()
            }
        }
    }
}

impl Zones for Source {
    fn zone(&self, name: &str) -> Result<Zone> {
        match self {
            _ if name == SEQ => self.seqs().map(zone_of_seqs),
            Self::Tail(block) => Ok(block.zone(name)),
            Self::Segment(segment) => Ok(segment.zone(name)),
        }
    }

    fn seqs(&self) -> Result<(i64, i64)> {
        Ok(match self {
            Self::Tail(block) => block.seqs(),
            Self::Segment(segment) => (segment.first_seq, segment.last_seq),
        })
    }
}

impl Part {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Tail(block) => block.block.rows(),
            Self::Sealed(segment, at) => (segment.rows() - at * BLOCK_ROWS).min(BLOCK_ROWS),
        }
    }

    /// What tells it from all other parts of its snapshot's dataset.
    pub fn key(&self) -> (i64, usize) {
        match self {
            Self::Tail(block) => (-block.first_seq, 0),
            Self::Sealed(segment, at) => (segment.id, *at),
        }
    }

    /// A stored column; `None`: no row has a value. `_seq` and `_id` are not among them.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn column(&self, name: &str) -> Result<Option<Arc<Column>>> {
        match self {
            Self::Tail(block) => Ok(block.block.column(name).cloned()),
            Self::Sealed(_, _) if name == SEQ => Ok(None),
            Self::Sealed(segment, at) => segment.column(name, *at),
        }
    }

    /// `_seq` of every row, made when it is asked for.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn row_seqs(&self) -> Result<RowSeqs> {
        Ok(match self {
            Self::Tail(block) => RowSeqs::From(block.first_seq),
            Self::Sealed(segment, at) => match segment.column(SEQ, *at)? {
                Some(offsets) => RowSeqs::Offset(segment.first_seq, offsets),
                None => RowSeqs::From(segment.first_seq + (at * BLOCK_ROWS) as i64),
            },
        })
    }

    /// `_seq` of all rows.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn seq_column(&self) -> Result<Arc<Column>> {
        let rows = self.rows();
        match self.row_seqs()? {
            RowSeqs::Offset(first, offsets) => Ok(Arc::new(shifted(&offsets, first))),
            RowSeqs::From(first) => {
                let numbers: Vec<i64> = (0..rows as i64).map(|row| first + row).collect();
                Ok(Arc::new(Column { rows, validity: None, data: Data::Int(Ints::from_values(&numbers)) }))
            }
        }
    }

    /// `_seq` of one row.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn seq(&self, row: usize) -> Result<i64> {
        self.row_seqs().map(|seqs| seqs.get(row))
    }

    /// The fields that a row may have a value in; `_time` is among them.
    pub fn fields(&self) -> Vec<&Arc<str>> {
        match self {
            Self::Tail(block) => block.block.columns().map(|(name, _)| name).collect(),
            Self::Sealed(segment, _) => segment.fields().collect(),
        }
    }
}

impl RowSeqs {
    /// The number of a row.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Self::From(first) => first + row as i64,
            Self::Offset(first, column) => match &column.data {
                Data::Int(offsets) => first.wrapping_add(offsets.get(row)),
                _ => *first,
            },
        }
    }
}

impl Zones for Part {
    fn zone(&self, name: &str) -> Result<Zone> {
        match self {
            _ if name == SEQ => self.seqs().map(zone_of_seqs),
            Self::Tail(block) => Ok(block.zone(name)),
            Self::Sealed(segment, at) => segment.block_zone(name, *at),
        }
    }

    fn seqs(&self) -> Result<(i64, i64)> {
        Ok(match self {
            Self::Tail(block) => block.seqs(),
            Self::Sealed(segment, at) if segment.is_in_order() => {
                let first = segment.first_seq + (at * BLOCK_ROWS) as i64;
                (first, first + self.rows() as i64 - 1)
            }
            Self::Sealed(segment, at) => match segment.block_zone(SEQ, *at)? {
                Zone::Ints { min, max, .. } => (
                    segment.first_seq.saturating_add(min).max(segment.first_seq),
                    segment.first_seq.saturating_add(max).min(segment.last_seq),
                ),
                _ => (segment.first_seq, segment.last_seq),
            },
        })
    }
}

fn zone_of_seqs((min, max): (i64, i64)) -> Zone {
    Zone::Ints { min, max, has_nulls: false }
}

impl TailBlock {
    fn seqs(&self) -> (i64, i64) {
        (self.first_seq, self.first_seq + self.block.rows() as i64 - 1)
    }

    fn zone(&self, name: &str) -> Zone {
        let Some(column) = self.block.column(name) else { return Zone::Empty };
        let has_nulls = column.validity.is_some();
        match &column.data {
            Data::Null => Zone::Empty,
            Data::Int(ints) => Zone::Ints { min: ints.min(), max: ints.max(), has_nulls },
            Data::Time(ints) => Zone::Times { min: ints.min(), max: ints.max(), has_nulls },
            Data::Text(texts) => {
                let max = texts.dictionary.len().saturating_sub(1) as u32;
                Zone::Texts { dictionary: Arc::clone(&texts.dictionary), min: 0, max }
            }
            _ => Zone::Unknown,
        }
    }
}

/// A zone from what an index tells.
pub(super) fn zone_of_span(kind: Option<FieldType>, span: Option<(i64, i64)>, has_nulls: bool) -> Zone {
    match (kind, span) {
        (Some(FieldType::Int), Some((min, max))) => Zone::Ints { min, max, has_nulls },
        (Some(FieldType::Time), Some((min, max))) => Zone::Times { min, max, has_nulls },
        _ => Zone::Unknown,
    }
}

fn shifted(offsets: &Column, by: i64) -> Column {
    let data = match &offsets.data {
        Data::Int(ints) => {
            let (min, max) = (ints.min().wrapping_add(by), ints.max().wrapping_add(by));
            Data::Int(Ints::from_parts(min, max, ints.offsets().clone()))
        }
        other => other.clone(),
    };
    Column { rows: offsets.rows, validity: None, data }
}
