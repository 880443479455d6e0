//! Writes the stored block that `mod.rs` defines.

use xxhash_rust::xxh3::xxh3_64;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow};
use crate::columnar::text::Texts;
use crate::error::{Error, Result};

pub(super) const MAGIC: &[u8; 3] = b"WRB";
pub(super) const VERSION: u8 = 1;
pub(super) const FLAG_LZ4: u8 = 1;
/// magic, version, flags, checksum, size
pub(super) const HEADER_BYTES: usize = 3 + 1 + 1 + 8 + 4;

pub(super) const KIND_INT: u8 = 1;
pub(super) const KIND_FLOAT: u8 = 2;
pub(super) const KIND_BOOL: u8 = 3;
pub(super) const KIND_STRING: u8 = 4;
pub(super) const KIND_TIME: u8 = 5;
pub(super) const KIND_STRINGS: u8 = 6;
pub(super) const KIND_JSON: u8 = 7;
pub(super) const KIND_MIXED: u8 = 8;
pub(super) const KIND_SAME: u8 = 9;

/// Bytes of a body when inflated: more than any batch has, less than what would exhaust memory on a damaged size.
pub(super) const BODY_BYTES_MAX: usize = 1 << 30;
/// Below this the body is stored as it is: lz4 has nothing to find in a single event.
const COMPRESS_FROM_BYTES: usize = 512;

pub(super) fn block(block: &Block) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(block.bytes() + 64);
    put_u32(&mut body, block.rows as u32);
    put_u32(&mut body, block.columns.len() as u32);
    for (at, (name, column)) in block.columns.iter().enumerate() {
        put_u32(&mut body, name.len() as u32);
        body.extend_from_slice(name.as_bytes());
        match same_as_earlier(block, at) {
            Some(earlier) => {
                body.extend_from_slice(&[KIND_SAME, 0]);
                put_u32(&mut body, earlier as u32);
            }
            None => typed(column, &mut body),
        }
    }
    // what is stored has to be readable
    let size = u32::try_from(body.len()).ok().filter(|size| *size as usize <= BODY_BYTES_MAX);
    let size = size.ok_or_else(|| {
        Error::TooLarge("a batch of more than 1 GiB in columns; send it in smaller pieces".into())
    })?;
    let compressed = (body.len() >= COMPRESS_FROM_BYTES).then(|| lz4_flex::block::compress(&body));
    // decoding costs time at every start, so compression has to earn it
    let (flags, stored) = match compressed {
        Some(smaller) if smaller.len() * 10 < body.len() * 9 => (FLAG_LZ4, smaller),
        _ => (0, body),
    };
    let mut out = Vec::with_capacity(HEADER_BYTES + stored.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&[0; 8]);
    put_u32(&mut out, size);
    out.extend_from_slice(&stored);
    let checksum = checksum(&out);
    out[5..13].copy_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// The checksum over everything of a stored block but the magic and the checksum itself.
pub(super) fn checksum(stored: &[u8]) -> u64 {
    let head = xxh3_64(&stored[3..5]);
    xxhash_rust::xxh3::xxh3_64_with_seed(&stored[13..], head)
}

/// The time field of a dataset mostly equals `_time`: it is stored once.
fn same_as_earlier(block: &Block, at: usize) -> Option<usize> {
    let column = &block.columns[at].1;
    if !matches!(column.data, Data::Time(_)) {
        return None;
    }
    block.columns[..at].iter().position(|(_, earlier)| earlier == column)
}

fn typed(column: &Column, out: &mut Vec<u8>) {
    let kind = match &column.data {
        Data::Int(_) => KIND_INT,
        Data::Float { .. } => KIND_FLOAT,
        Data::Bool(_) => KIND_BOOL,
        Data::Text(_) => KIND_STRING,
        Data::Time(_) => KIND_TIME,
        Data::List { .. } => KIND_STRINGS,
        Data::Json(_) => KIND_JSON,
        // a column without values is a mixed one without parts
        Data::Mixed(_) | Data::Null => KIND_MIXED,
    };
    out.push(kind);
    put_optional_bits(out, column.validity.as_ref());
    match &column.data {
        Data::Null => out.push(0),
        Data::Int(values) | Data::Time(values) => put_ints(out, values),
        Data::Float { values, whole } => {
            put_optional_bits(out, whole.as_ref());
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        Data::Bool(bits) => put_bits(out, bits),
        Data::Text(texts) | Data::Json(texts) => put_texts(out, texts),
        Data::List { ends, items } => {
            ends.iter().for_each(|end| put_u32(out, *end));
            put_texts(out, items);
        }
        Data::Mixed(parts) => {
            out.push(parts.len() as u8);
            parts.iter().for_each(|part| typed(part, out));
        }
    }
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bits(out: &mut Vec<u8>, bits: &Bitmap) {
    bits.words().iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

fn put_optional_bits(out: &mut Vec<u8>, bits: Option<&Bitmap>) {
    out.push(u8::from(bits.is_some()));
    if let Some(bits) = bits {
        put_bits(out, bits);
    }
}

fn put_ints(out: &mut Vec<u8>, values: &Ints) {
    out.extend_from_slice(&values.min().to_le_bytes());
    out.extend_from_slice(&values.max().to_le_bytes());
    put_narrow(out, values.offsets());
}

fn put_narrow(out: &mut Vec<u8>, numbers: &Narrow) {
    match numbers {
        Narrow::U8(values) => {
            out.push(1);
            out.extend_from_slice(values);
        }
        Narrow::U16(values) => {
            out.push(2);
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        Narrow::U32(values) => {
            out.push(4);
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
        Narrow::U64(values) => {
            out.push(8);
            values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
        }
    }
}

fn put_texts(out: &mut Vec<u8>, texts: &Texts) {
    let (text, ends) = texts.dictionary.parts();
    put_u32(out, ends.len() as u32);
    ends.iter().for_each(|end| put_u32(out, *end));
    out.extend_from_slice(text.as_bytes());
    put_narrow(out, &texts.codes);
}
