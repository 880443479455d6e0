//! Makes segments: out of the blocks of a tail, or out of other segments, of all their rows or of those that are
//! kept. Rows are put in order of (`_time`, `_seq`); columns are made one by one, so that memory is bounded by a few.

use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::TIME;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::concat::{self, Input};
use crate::columnar::narrow::Ints;
use crate::columnar::segment::{HeadColumn, SegmentHead, encode};
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::store::segment::{EncodedSegment, SEQ, Segment};
use crate::store::snapshot::TailBlock;

/// A segment that has no place in the file yet.
#[derive(Debug)]
pub struct NewSegment {
    /// Its bytes.
    pub encoded: EncodedSegment,
    /// First and last `_seq`.
    pub seqs: (i64, i64),
}

/// Where rows of a new segment come from.
#[derive(Debug)]
pub enum Origin {
    /// A block of the tail.
    Block(TailBlock),
    /// A segment: all its rows, or those of the bits.
    Segment(Arc<Segment>, Option<Bitmap>),
}

impl Origin {
    fn rows(&self) -> usize {
        match self {
            Self::Block(block) => block.block.rows(),
            Self::Segment(segment, _) => segment.rows(),
        }
    }

    fn names(&self) -> Vec<Arc<str>> {
        match self {
            Self::Block(block) => block.block.columns().map(|(name, _)| Arc::clone(name)).collect(),
            Self::Segment(segment, _) => segment.fields().cloned().collect(),
        }
    }

    /// The column in pieces; `None` pieces have no value in so many rows.
    fn pieces(&self, name: &str) -> Result<Vec<(Option<Arc<Column>>, usize)>> {
        match self {
            Self::Block(block) => Ok(vec![(block.block.column(name).cloned(), block.block.rows())]),
            Self::Segment(segment, _) => match segment.whole_column(name)? {
                None => Ok(vec![(None, segment.rows())]),
                Some(blocks) => Ok(blocks
                    .into_iter()
                    .map(|c| (c.rows, c))
                    .map(|(rows, c)| (Some(Arc::new(c)), rows))
                    .collect()),
            },
        }
    }

    fn seqs(&self, out: &mut Vec<i64>) -> Result<()> {
        let rows = self.rows() as i64;
        match self {
            Self::Block(block) => out.extend(block.first_seq..block.first_seq + rows),
            Self::Segment(segment, _) if segment.is_in_order() => {
                out.extend(segment.first_seq..segment.first_seq + rows);
            }
            Self::Segment(segment, _) => {
                for column in segment.whole_column(SEQ)?.unwrap_or_default() {
                    match &column.data {
                        Data::Int(ints) => out.extend(ints.to_vec().iter().map(|n| segment.first_seq + n)),
                        _ => return Err(Error::Corrupt("sequence numbers are no integers".into())),
                    }
                }
            }
        }
        Ok(())
    }
}

/// One segment of the rows of all origins; `None` where no row is left.
///
/// # Errors
/// A damaged origin, and columns beyond the limits of the format.
pub fn compose(origins: &[Origin]) -> Result<Option<NewSegment>> {
    let (time, _) = joined(origins, TIME)?;
    let Data::Time(times) = &time.data else {
        return Err(Error::Corrupt("rows without a time cannot be sealed".into()));
    };
    let mut seqs = Vec::with_capacity(time.rows);
    origins.iter().try_for_each(|origin| origin.seqs(&mut seqs))?;
    if seqs.len() != time.rows {
        return Err(Error::Corrupt("there are not as many sequence numbers as rows".into()));
    }
    let rows = chosen(origins, &times.to_vec(), &seqs);
    if rows.as_ref().is_some_and(Vec::is_empty) || seqs.is_empty() {
        return Ok(None);
    }
    let seqs: Vec<i64> = match &rows {
        Some(rows) => rows.iter().map(|row| seqs[*row as usize]).collect(),
        None => seqs,
    };
    let span = (seqs.iter().copied().min().unwrap_or(0), seqs.iter().copied().max().unwrap_or(0));
    let offsets: Option<Column> = (!seqs.windows(2).all(|pair| pair[0] + 1 == pair[1])).then(|| {
        let offsets: Vec<i64> = seqs.iter().map(|seq| seq - span.0).collect();
        Column { rows: offsets.len(), validity: None, data: Data::Int(Ints::from_values(&offsets)) }
    });
    let encoded = columns(origins, rows.as_deref(), offsets, seqs.len())?;
    Ok(Some(NewSegment { encoded, seqs: span }))
}

/// The rows of the segment as places in the joined origins, in their order; `None`: all as they stand.
fn chosen(origins: &[Origin], times: &[i64], seqs: &[i64]) -> Option<Vec<u32>> {
    let all_kept = origins.iter().all(|origin| !matches!(origin, Origin::Segment(_, Some(_))));
    let key = |row: u32| (times[row as usize], seqs[row as usize]);
    if all_kept && (1..times.len()).all(|row| key(row as u32 - 1) < key(row as u32)) {
        return None;
    }
    let mut rows: Vec<u32> = Vec::new();
    let mut start = 0u32;
    for origin in origins {
        match origin {
            Origin::Segment(_, Some(bits)) => rows.extend(bits.ones().map(|row| start + row as u32)),
            _ => rows.extend(start..start + origin.rows() as u32),
        }
        start += origin.rows() as u32;
    }
    rows.sort_by_key(|row| key(*row));
    Some(rows)
}

/// A column over all rows of all origins, and whether any origin has it.
fn joined(origins: &[Origin], name: &str) -> Result<(Column, bool)> {
    let mut pieces = Vec::new();
    // few stored bytes may be much text: what is merged has to fit into memory, also that of queries
    let is_merge = origins.len() > 1 && origins.iter().all(|origin| matches!(origin, Origin::Segment(..)));
    let mut text_bytes = 0;
    for origin in origins {
        let more = origin.pieces(name)?;
        // all pieces of a segment share their dictionaries
        let of_blocks = more.iter().filter_map(|(column, _)| column.as_ref());
        text_bytes += of_blocks.map(|column| column.dictionary_bytes()).max().unwrap_or(0);
        if is_merge && text_bytes > limits::SEGMENT_BYTES {
            return Err(Error::TooLarge(format!(
                "merged, the texts of the column \"{name}\" would take more than {} bytes of memory",
                limits::SEGMENT_BYTES
            )));
        }
        pieces.extend(more);
    }
    let inputs: Vec<Input<'_>> =
        pieces.iter().map(|(column, rows)| Input { column: column.as_deref(), rows: *rows }).collect();
    let column = concat::columns(&inputs);
    let has_values = !matches!(column.data, Data::Null);
    Ok((column, has_values))
}

fn columns(
    origins: &[Origin],
    rows: Option<&[u32]>,
    offsets: Option<Column>,
    count: usize,
) -> Result<EncodedSegment> {
    let arranged = |name: &str| -> Result<Option<Column>> {
        let (column, has_values) = joined(origins, name)?;
        let column = match rows {
            Some(rows) => tightened(column.take(rows)),
            None => column,
        };
        let has_values = has_values && column.validity.as_ref().is_none_or(|bits| bits.count_ones() > 0);
        Ok(has_values.then_some(column))
    };
    let time = arranged(TIME)?.ok_or_else(|| Error::Corrupt("rows without a time".into()))?;
    let times = match &time.data {
        Data::Time(times) => (times.min(), times.max()),
        _ => return Err(Error::Corrupt("rows without a time cannot be sealed".into())),
    };
    let mut names: Vec<Arc<str>> = origins.iter().flat_map(Origin::names).collect();
    names.sort_unstable();
    names.dedup();
    // what a column becomes: its head, and its bytes unless it equals `_time`
    let made = |name: &Arc<str>| -> Result<Option<(HeadColumn, Option<Vec<u8>>)>> {
        if &**name == TIME {
            let head = HeadColumn::of(Arc::clone(name), &time, None);
            return Ok(Some((head, Some(encode(&time)?))));
        }
        let Some(column) = arranged(name)? else { return Ok(None) };
        let head = HeadColumn::of(Arc::clone(name), &column, None);
        let is_time = column.kinds().single() == Some(FieldType::Time) && column == time;
        let bytes = if is_time { None } else { Some(encode(&column)?) };
        Ok(Some((head, bytes)))
    };
    let mut columns: Vec<(HeadColumn, Option<Vec<u8>>)> =
        names.par_iter().map(made).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    if let Some(offsets) = offsets {
        let head = HeadColumn::of(SEQ.into(), &offsets, None);
        columns.push((head, Some(encode(&offsets)?)));
        columns.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    }
    store_time_once(&mut columns);
    let (head, columns) = columns.into_iter().unzip();
    Ok(EncodedSegment { head: SegmentHead { rows: count, columns: head }, columns, times })
}

/// Columns without bytes equal `_time`: all of them refer to the first of their kind, which gets the bytes.
fn store_time_once(columns: &mut [(HeadColumn, Option<Vec<u8>>)]) {
    let is_time = |(head, bytes): &(HeadColumn, Option<Vec<u8>>)| bytes.is_none() || &*head.name == TIME;
    let Some(first) = columns.iter().position(is_time) else { return };
    for at in first + 1..columns.len() {
        if is_time(&columns[at]) {
            if let Some(bytes) = columns[at].1.take() {
                columns[first].1 = Some(bytes);
            }
            columns[at].0.same_as = Some(first as u32);
        }
    }
}

/// The bounds of whole numbers as they are after rows were taken out.
fn tightened(column: Column) -> Column {
    let Column { rows, validity, data } = column;
    let again = |ints: &Ints| match &validity {
        Some(bits) => Ints::from_masked(&ints.to_vec(), bits),
        None => Ints::from_values(&ints.to_vec()),
    };
    let data = match &data {
        Data::Int(ints) => Data::Int(again(ints)),
        Data::Time(ints) => Data::Time(again(ints)),
        _ => data,
    };
    Column { rows, validity, data }
}
