//! Reads a block of a column, and trusts nothing in it: whatever the bytes are, the result is a column that keeps every
//! rule or an error.

use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::encode::{
    KIND_BOOL, KIND_FLOAT, KIND_INT, KIND_JSON, KIND_MIXED, KIND_STRING, KIND_STRINGS, KIND_TIME,
};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::segment::KIND_NULL;
use crate::columnar::segment::compress::read_stream;
use crate::columnar::segment::dictionary::{Dictionaries, Role, ends_of};
use crate::columnar::segment::floats::read_floats;
use crate::columnar::segment::index::BlockZone;
use crate::columnar::segment::integers::read_integers;
use crate::columnar::segment::planes::{read_narrow, wide};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::columnar::text::Texts;
use crate::error::Result;

/// The rows of a block, and what the index should tell of them.
pub(super) fn block(bytes: &[u8], rows: usize, dictionaries: &Dictionaries) -> Result<(Column, BlockZone)> {
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    let read = match kind {
        KIND_NULL => (Column::null(rows), BlockZone::default()),
        KIND_MIXED => (mixed(&mut reader, rows, dictionaries)?, BlockZone::default()),
        kind => typed(&mut reader, kind, rows, dictionaries)?,
    };
    reader.end()?;
    let (column, zone) = read;
    let values = column.validity.as_ref().map_or(rows, Bitmap::count_ones);
    Ok((column, BlockZone { nulls: (rows - values) as u32, ..zone }))
}

fn mixed(reader: &mut Reader<'_>, rows: usize, dictionaries: &Dictionaries) -> Result<Column> {
    let count = reader.u8()?;
    if count < 2 {
        return Err(corrupt(format!("a mixed column has {count} parts")));
    }
    let mut parts = Vec::new();
    let mut validity = Bitmap::filled(rows, false);
    let mut previous = 0;
    for _ in 0..count {
        let kind = reader.u8()?;
        if kind <= previous {
            return Err(corrupt("parts of a mixed column are out of order"));
        }
        previous = kind;
        let (part, _) = typed(reader, kind, rows, dictionaries)?;
        let Some(bits) = &part.validity else { return Err(corrupt("a part has a value in every row")) };
        if bits.words().iter().zip(validity.words()).any(|(one, others)| one & others != 0) {
            return Err(corrupt("parts of a mixed column lie over each other"));
        }
        validity.or(bits);
        parts.push(part);
    }
    Ok(Column::new(rows, Some(validity), Data::Mixed(parts)))
}

fn typed(
    reader: &mut Reader<'_>,
    kind: u8,
    rows: usize,
    dictionaries: &Dictionaries,
) -> Result<(Column, BlockZone)> {
    let validity = if reader.flag()? { Some(bits(reader, rows)?) } else { None };
    let count = validity.as_ref().map_or(rows, Bitmap::count_ones);
    if count == 0 || (validity.is_some() && count == rows) {
        return Err(corrupt("a column says of no row, or of all, that it has gaps"));
    }
    let gaps = validity.as_ref();
    let mut zone = BlockZone::default();
    let data = match kind {
        KIND_INT | KIND_TIME => {
            let ints = read_integers(reader, count)?;
            zone.span = Some((ints.min(), ints.max()));
            let ints = Ints::from_parts(ints.min(), ints.max(), spread_narrow(ints.into_offsets(), gaps));
            if kind == KIND_INT { Data::Int(ints) } else { Data::Time(ints) }
        }
        KIND_FLOAT => {
            let whole = if reader.flag()? { Some(bits(reader, count)?) } else { None };
            let values = read_floats(reader, count)?;
            Data::Float { values: spread(values, gaps), whole: whole.map(|whole| spread_bits(whole, gaps)) }
        }
        KIND_BOOL => Data::Bool(spread_bits(bits(reader, count)?, gaps)),
        KIND_STRING => {
            let (texts, bounds) = codes(reader, count, dictionaries, Role::Strings)?;
            zone.codes = bounds;
            Data::Text(Texts { codes: spread_narrow(texts.codes, gaps), dictionary: texts.dictionary })
        }
        KIND_JSON => {
            let (texts, _) = codes(reader, count, dictionaries, Role::Json)?;
            Data::Json(Texts { codes: spread_narrow(texts.codes, gaps), dictionary: texts.dictionary })
        }
        KIND_STRINGS => {
            let lengths = read_narrow(reader, count)?;
            // a row without a value has no items
            let ends = ends_of(&spread_narrow(lengths, gaps), u32::MAX as usize)?;
            let (items, _) =
                codes(reader, ends.last().map_or(0, |end| *end as usize), dictionaries, Role::Items)?;
            Data::List { ends, items }
        }
        other => return Err(corrupt(format!("a column is of kind {other}"))),
    };
    Ok((Column { rows, validity, data }, zone))
}

type CodeBounds = Option<(u32, u32)>;

/// Reads `count` codes, all of which have an entry, and tells the smallest and the largest.
fn codes(
    reader: &mut Reader<'_>,
    count: usize,
    dictionaries: &Dictionaries,
    role: Role,
) -> Result<(Texts, CodeBounds)> {
    let dictionary = Arc::clone(dictionaries.of(role));
    let integers = read_integers(reader, count)?;
    if count == 0 {
        return Ok((Texts { codes: integers.into_offsets(), dictionary }, None));
    }
    if integers.min() < 0 || integers.max() >= dictionary.len() as i64 {
        return Err(corrupt("a code has no entry"));
    }
    let (base, max) = (integers.min() as u64, integers.max() as u64);
    let offsets = integers.into_offsets();
    let smallest = with_narrow!(&offsets, offsets => offsets.iter().min().map_or(0, |min| wide(*min)));
    let codes = match base {
        0 => offsets,
        _ => {
            with_narrow!(&offsets, offsets => Narrow::collect(max, offsets.iter().map(|o| base + wide(*o))))
        }
    };
    Ok((Texts { codes, dictionary }, Some(((base + smallest) as u32, max as u32))))
}

fn bits(reader: &mut Reader<'_>, count: usize) -> Result<Bitmap> {
    let bytes = read_stream(reader, count.div_ceil(8))?;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut words: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    if !rest.is_empty() {
        words.push(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }
    Bitmap::from_words(words, count).ok_or_else(|| corrupt("bits lie beyond the last row"))
}

/// Gives the rows that have a value theirs; the others get the default. Counts agree: one value a set bit.
fn spread<T: Copy + Default>(dense: Vec<T>, validity: Option<&Bitmap>) -> Vec<T> {
    let Some(validity) = validity else { return dense };
    let mut rows = vec![T::default(); validity.len()];
    let mut values = dense.iter();
    for (word, rows) in validity.words().iter().zip(rows.chunks_mut(64)) {
        if *word == u64::MAX {
            rows.iter_mut().zip(values.by_ref()).for_each(|(row, value)| *row = *value);
            continue;
        }
        let mut left = *word;
        while left != 0 {
            if let (Some(row), Some(value)) = (rows.get_mut(left.trailing_zeros() as usize), values.next()) {
                *row = *value;
            }
            left &= left - 1;
        }
    }
    rows
}

fn spread_narrow(dense: Narrow, validity: Option<&Bitmap>) -> Narrow {
    match dense {
        Narrow::U8(values) => Narrow::U8(spread(values, validity)),
        Narrow::U16(values) => Narrow::U16(spread(values, validity)),
        Narrow::U32(values) => Narrow::U32(spread(values, validity)),
        Narrow::U64(values) => Narrow::U64(spread(values, validity)),
    }
}

fn spread_bits(dense: Bitmap, validity: Option<&Bitmap>) -> Bitmap {
    let Some(validity) = validity else { return dense };
    let mut values = 0;
    Bitmap::from_fn(validity.len(), |row| {
        let has_value = validity.get(row);
        values += usize::from(has_value);
        has_value && dense.get(values - 1)
    })
}
