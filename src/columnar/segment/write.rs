//! Writes a column: its dictionaries, then its rows in blocks, then the index that stands before both.

use xxhash_rust::xxh3::xxh3_64;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::encode::{
    KIND_BOOL, KIND_FLOAT, KIND_INT, KIND_JSON, KIND_MIXED, KIND_STRING, KIND_STRINGS, KIND_TIME,
};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::segment::compress::put_stream;
use crate::columnar::segment::dictionary::{Dictionaries, TEXT_BYTES_MAX};
use crate::columnar::segment::floats::put_floats;
use crate::columnar::segment::index::{BlockZone, Section, put_index};
use crate::columnar::segment::integers::{put_codes, put_integers};
use crate::columnar::segment::planes::put_narrow;
use crate::columnar::segment::{BLOCK_ROWS, KIND_NULL, SECTION_BYTES_MAX};
use crate::error::{Error, Result};

/// A typed part of the column that is written.
struct Part<'a> {
    kind: u8,
    column: &'a Column,
    /// The new codes of its texts; `None`: as they are.
    map: Option<Vec<u32>>,
}

/// The stored bytes of a column.
///
/// # Errors
/// A column beyond the limits of the format.
pub fn encode(column: &Column) -> Result<Vec<u8>> {
    let rows = u32::try_from(column.rows).map_err(|_| {
        Error::TooLarge(format!("a segment of {} rows; {} are the most", column.rows, u32::MAX))
    })?;
    let (dictionaries, maps) = Dictionaries::of_parts(column.parts());
    let mut parts = Vec::new();
    for (column, map) in column.parts().iter().zip(maps) {
        parts.push(Part { kind: kind_of(column)?, column, map });
    }
    parts.sort_by_key(|part| part.kind);
    check_parts(column.rows, &parts)?;
    let mut sections = Vec::new();
    dictionaries.put(&mut sections);
    let dictionaries = section(&sections)?;
    let mut blocks = Vec::with_capacity(column.rows.div_ceil(BLOCK_ROWS));
    for start in (0..column.rows).step_by(BLOCK_ROWS) {
        let before = sections.len();
        let zone = put_block(&mut sections, &parts, start, column.rows.min(start + BLOCK_ROWS))?;
        blocks.push((section(&sections[before..])?, zone));
    }
    let mut out = Vec::new();
    put_index(&mut out, rows, dictionaries, &blocks);
    out.extend_from_slice(&sections);
    Ok(out)
}

/// What could not be read back is not written.
fn check_parts(rows: usize, parts: &[Part<'_>]) -> Result<()> {
    if parts.windows(2).any(|pair| pair[0].kind == pair[1].kind) {
        return Err(Error::Internal("a mixed column has two parts of one type".into()));
    }
    let mut filled = Bitmap::filled(rows, false);
    let mut values = 0;
    for part in parts {
        let all = || Bitmap::filled(rows, true);
        let bits = part.column.validity.clone().unwrap_or_else(all);
        values += bits.count_ones();
        filled.or(&bits);
        if let Data::Float { values, .. } = &part.column.data
            && bits.ones().any(|row| !values[row].is_finite())
        {
            return Err(Error::Internal("a float is not finite".into()));
        }
    }
    if filled.count_ones() != values {
        return Err(Error::Internal("parts of a mixed column lie over each other".into()));
    }
    Ok(())
}

fn section(stored: &[u8]) -> Result<Section> {
    match u32::try_from(stored.len()) {
        Ok(size) if stored.len() <= SECTION_BYTES_MAX => Ok(Section { size, checksum: xxh3_64(stored) }),
        _ => Err(Error::TooLarge("more than 1 GiB of values in one column of a segment".into())),
    }
}

fn kind_of(column: &Column) -> Result<u8> {
    if let Data::Text(texts) | Data::Json(texts) | Data::List { items: texts, .. } = &column.data
        && texts.dictionary.parts().0.len() > TEXT_BYTES_MAX
    {
        return Err(Error::TooLarge("more than 1 GiB of distinct texts in one column of a segment".into()));
    }
    match &column.data {
        Data::Int(_) => Ok(KIND_INT),
        Data::Float { .. } => Ok(KIND_FLOAT),
        Data::Bool(_) => Ok(KIND_BOOL),
        Data::Text(_) => Ok(KIND_STRING),
        Data::Time(_) => Ok(KIND_TIME),
        Data::List { .. } => Ok(KIND_STRINGS),
        Data::Json(_) => Ok(KIND_JSON),
        Data::Null | Data::Mixed(_) => Err(Error::Internal("a part of a mixed column has no type".into())),
    }
}

/// Appends some rows: the parts that have a value there.
fn put_block(out: &mut Vec<u8>, parts: &[Part<'_>], start: usize, end: usize) -> Result<BlockZone> {
    let rows_of = |part: &Part<'_>| -> Vec<u32> {
        match &part.column.validity {
            None => (start as u32..end as u32).collect(),
            Some(bits) => (start..end).filter(|row| bits.get(*row)).map(|row| row as u32).collect(),
        }
    };
    let present: Vec<(&Part<'_>, Vec<u32>)> =
        parts.iter().map(|part| (part, rows_of(part))).filter(|(_, rows)| !rows.is_empty()).collect();
    let filled: usize = present.iter().map(|(_, rows)| rows.len()).sum();
    let mut zone = BlockZone { nulls: (end - start - filled) as u32, ..BlockZone::default() };
    match &present[..] {
        [] => out.push(KIND_NULL),
        [(part, rows)] => zone = BlockZone { nulls: zone.nulls, ..put_typed(out, part, rows, start, end)? },
        _ => {
            out.extend_from_slice(&[KIND_MIXED, present.len() as u8]);
            for (part, rows) in &present {
                put_typed(out, part, rows, start, end)?;
            }
        }
    }
    Ok(zone)
}

/// Appends the values of `rows`, those from `start` to `end` that have one.
fn put_typed(
    out: &mut Vec<u8>,
    part: &Part<'_>,
    rows: &[u32],
    start: usize,
    end: usize,
) -> Result<BlockZone> {
    out.push(part.kind);
    let has_gaps = rows.len() < end - start;
    out.push(u8::from(has_gaps));
    if has_gaps && let Some(validity) = &part.column.validity {
        put_bits(out, &Bitmap::from_fn(end - start, |row| validity.get(start + row)));
    }
    let picked = |bits: &Bitmap| Bitmap::from_fn(rows.len(), |at| bits.get(rows[at] as usize));
    let mut zone = BlockZone::default();
    match &part.column.data {
        Data::Int(ints) | Data::Time(ints) => {
            let values = integers(ints, rows);
            zone.span = values.iter().min().copied().zip(values.iter().max().copied());
            put_integers(out, &values);
        }
        Data::Float { values, whole } => {
            let whole = whole.as_ref().map(picked).filter(|whole| whole.count_ones() > 0);
            out.push(u8::from(whole.is_some()));
            whole.iter().for_each(|whole| put_bits(out, whole));
            let values: Vec<f64> = rows.iter().map(|row| values[*row as usize]).collect();
            put_floats(out, &values);
        }
        Data::Bool(bits) => put_bits(out, &picked(bits)),
        Data::Text(texts) | Data::Json(texts) => {
            let codes = codes(&texts.codes, part.map.as_deref(), rows.iter().map(|row| *row as usize));
            if part.kind == KIND_STRING {
                let bounds = codes.iter().min().zip(codes.iter().max());
                zone.codes = bounds.map(|(min, max)| (*min as u32, *max as u32));
            }
            put_codes(out, &codes);
        }
        Data::List { ends, items } => {
            let start_of = |row: u32| if row == 0 { 0 } else { ends[row as usize - 1] };
            let lengths: Vec<u64> =
                rows.iter().map(|row| u64::from(ends[*row as usize] - start_of(*row))).collect();
            put_narrow(out, &lengths);
            let places = rows.iter().flat_map(|row| start_of(*row) as usize..ends[*row as usize] as usize);
            put_codes(out, &codes(&items.codes, part.map.as_deref(), places));
        }
        Data::Null | Data::Mixed(_) => {
            return Err(Error::Internal("a part of a mixed column has no type".into()));
        }
    }
    Ok(zone)
}

fn integers(ints: &Ints, rows: &[u32]) -> Vec<i64> {
    with_narrow!(ints.offsets(), offsets => {
        rows.iter().map(|row| ints.min().wrapping_add(offsets[*row as usize] as i64)).collect()
    })
}

fn codes(codes: &Narrow, map: Option<&[u32]>, places: impl Iterator<Item = usize>) -> Vec<i64> {
    with_narrow!(codes, codes => match map {
        Some(map) => places.map(|place| i64::from(map[codes[place] as usize])).collect(),
        None => places.map(|place| codes[place] as i64).collect(),
    })
}

fn put_bits(out: &mut Vec<u8>, bits: &Bitmap) {
    let mut bytes: Vec<u8> = bits.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(bits.len().div_ceil(8));
    put_stream(out, &bytes);
}
