//! What a query scans: runs of rows whose columns are there (the tail) or are read when they are asked for (a block
//! of a segment). A query leaves out whole segments first, then parts, by what is told of their values.

use std::sync::Arc;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
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

/// A run of rows as it is stored. What is in its columns only a [`Part`] tells.
#[derive(Debug, Clone)]
pub enum Stored {
    /// A block of the tail, in memory.
    Tail(TailBlock),
    /// A block of a segment, by its number there.
    Sealed(Arc<Segment>, usize),
}

/// The rows of a run that are there for the one who asks: all of them, or those within the reach of the dataset that it
/// was made by. [`Dataset::part`] alone makes one, so nothing reads a column past that.
#[derive(Debug, Clone)]
pub struct Part {
    stored: Stored,
    /// The rows, and how many there are; `None`: all.
    rows: Option<(Arc<Bitmap>, usize)>,
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

    /// The rows of a run that are there.
    ///
    /// # Errors
    /// Where the dataset has a [`Within`](crate::store::within::Within): columns that are damaged or cannot be read.
    pub fn part(&self, stored: Stored) -> Result<Part> {
        let whole = Part { stored, rows: None };
        let Some(within) = &self.within else { return Ok(whole) };
        let rows = within.rows(&whole)?;
        let count = rows.count_ones();
        // also where all are there: whether others are beside them makes no difference to anything
        Ok(Part { rows: Some((Arc::new(rows), count)), ..whole })
    }
}

impl Source {
    /// Its runs in order.
    pub fn runs(&self) -> Vec<Stored> {
        match self {
            Self::Tail(block) => vec![Stored::Tail(block.clone())],
            Self::Segment(segment) => {
                (0..segment.blocks()).map(|at| Stored::Sealed(Arc::clone(segment), at)).collect()
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

impl Stored {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Tail(block) => block.block.rows(),
            Self::Sealed(segment, at) => (segment.rows() - at * BLOCK_ROWS).min(BLOCK_ROWS),
        }
    }

    /// What tells it from all other runs of its snapshot's dataset.
    pub fn key(&self) -> (i64, usize) {
        match self {
            Self::Tail(block) => (-block.first_seq, 0),
            Self::Sealed(segment, at) => (segment.id, *at),
        }
    }

    /// The segment; `None`: the tail.
    pub fn segment(&self) -> Option<&Arc<Segment>> {
        match self {
            Self::Tail(_) => None,
            Self::Sealed(segment, _) => Some(segment),
        }
    }

    fn column(&self, name: &str) -> Result<Option<Arc<Column>>> {
        match self {
            Self::Tail(block) => Ok(block.block.column(name).cloned()),
            Self::Sealed(_, _) if name == SEQ => Ok(None),
            Self::Sealed(segment, at) => segment.column(name, *at),
        }
    }

    fn row_seqs(&self) -> Result<RowSeqs> {
        Ok(match self {
            Self::Tail(block) => RowSeqs::From(block.first_seq),
            Self::Sealed(segment, at) => match segment.column(SEQ, *at)? {
                Some(offsets) => RowSeqs::Offset(segment.first_seq, offsets),
                None => RowSeqs::From(segment.first_seq + (at * BLOCK_ROWS) as i64),
            },
        })
    }
}

impl Part {
    /// Rows that are no part of anything stored, as those of a batch before it is: all of them.
    pub fn of_block(block: Arc<Block>) -> Self {
        Self { stored: Stored::Tail(TailBlock { first_seq: 1, block }), rows: None }
    }

    /// The run that its rows are of.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Its rows by their places in the run; `None`: all.
    pub fn places(&self) -> Option<Vec<u32>> {
        let some = self.rows.as_ref().filter(|(_, count)| *count < self.stored.rows());
        some.map(|(rows, _)| rows.rows())
    }

    /// Whether other rows of its run may not be there.
    pub fn is_bound(&self) -> bool {
        self.rows.is_some()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.as_ref().map_or_else(|| self.stored.rows(), |(_, count)| *count)
    }

    /// What tells it from all other parts of its snapshot's dataset.
    pub fn key(&self) -> (i64, usize) {
        self.stored.key()
    }

    /// A stored column; `None`: no row has a value. `_seq` and `_id` are not among them.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn column(&self, name: &str) -> Result<Option<Arc<Column>>> {
        let column = self.stored.column(name)?;
        Ok(match self.places() {
            None => column,
            Some(rows) => column.map(|column| Arc::new(column.take(&rows))),
        })
    }

    /// `_seq` of every row, made when it is asked for.
    ///
    /// # Errors
    /// A damaged column, or one that cannot be read.
    pub fn row_seqs(&self) -> Result<RowSeqs> {
        let all = self.stored.row_seqs()?;
        let Some(rows) = self.places() else { return Ok(all) };
        let numbers: Vec<i64> = rows.iter().map(|row| all.get(*row as usize)).collect();
        let data = Data::Int(Ints::from_values(&numbers));
        Ok(RowSeqs::Offset(0, Arc::new(Column { rows: numbers.len(), validity: None, data })))
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
        match &self.stored {
            Stored::Tail(block) => block.block.columns().map(|(name, _)| name).collect(),
            Stored::Sealed(segment, _) => segment.fields().collect(),
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

/// What is known of the rows that are there, which is nothing of those beside them: where they are not all of their run
/// their values are looked at.
impl Zones for Part {
    fn zone(&self, name: &str) -> Result<Zone> {
        match &self.rows {
            None => self.stored.zone(name),
            Some(_) if name == SEQ => self.seqs().map(zone_of_seqs),
            Some(_) => Ok(self.column(name)?.map_or(Zone::Empty, |column| zone_of_values(&column))),
        }
    }

    fn seqs(&self) -> Result<(i64, i64)> {
        if self.rows.is_none() {
            return self.stored.seqs();
        }
        let seqs = self.row_seqs()?;
        let all = (0..self.rows()).map(|row| seqs.get(row));
        Ok(all.fold((i64::MAX, i64::MIN), |(min, max), seq| (min.min(seq), max.max(seq))))
    }
}

impl Zones for Stored {
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

/// What the values of a column are.
fn zone_of_values(column: &Column) -> Zone {
    let valid = || (0..column.rows).filter(|row| column.is_valid(*row));
    if valid().next().is_none() {
        return Zone::Empty;
    }
    let has_nulls = valid().count() < column.rows;
    let span = |ints: &Ints| {
        let all = valid().map(|row| ints.get(row));
        all.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)))
    };
    match &column.data {
        Data::Int(ints) => {
            let (min, max) = span(ints);
            Zone::Ints { min, max, has_nulls }
        }
        Data::Time(ints) => {
            let (min, max) = span(ints);
            Zone::Times { min, max, has_nulls }
        }
        _ => Zone::Unknown,
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
