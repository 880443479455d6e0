//! Reads the stored block that `mod.rs` defines, and trusts nothing in it: whatever the bytes are, the result is a
//! block that keeps every rule or an error.

use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::encode::{
    BODY_BYTES_MAX, FLAG_LZ4, HEADER_BYTES, KIND_BOOL, KIND_FLOAT, KIND_INT, KIND_JSON, KIND_MIXED,
    KIND_SAME, KIND_STRING, KIND_STRINGS, KIND_TIME, MAGIC, VERSION, checksum,
};
use crate::columnar::narrow::{Ints, Narrow};
use crate::columnar::text::{Dictionary, Texts};
use crate::columnar::{Block, TIME};
use crate::error::{Error, Result};

pub(super) fn block(bytes: &[u8]) -> Result<Block> {
    if bytes.len() < HEADER_BYTES || &bytes[..3] != MAGIC {
        return Err(corrupt("it does not begin as a block"));
    }
    if bytes[3] != VERSION {
        return Err(corrupt(&format!("it is of version {}, this program reads version {VERSION}", bytes[3])));
    }
    let mut header = Reader { bytes: &bytes[5..HEADER_BYTES] };
    if header.u64()? != checksum(bytes) {
        return Err(corrupt("its checksum is wrong"));
    }
    let size = header.u32()? as usize;
    let stored = &bytes[HEADER_BYTES..];
    if bytes[4] & FLAG_LZ4 == 0 {
        return body(stored);
    }
    if size > BODY_BYTES_MAX {
        return Err(corrupt("its size is beyond every limit"));
    }
    let inflated = lz4_flex::block::decompress(stored, size).map_err(|e| corrupt(&format!("lz4: {e}")))?;
    body(&inflated)
}

fn body(bytes: &[u8]) -> Result<Block> {
    let mut reader = Reader { bytes };
    let rows = reader.u32()? as usize;
    let count = reader.u32()? as usize;
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = Vec::new();
    for _ in 0..count {
        let length = reader.u32()? as usize;
        let name: Arc<str> = reader.text(length)?.into();
        if columns.last().is_some_and(|(previous, _)| *previous >= name) {
            return Err(corrupt("its columns are out of order"));
        }
        let column = match reader.bytes.first() {
            Some(&KIND_SAME) => {
                reader.take(2)?;
                let earlier = reader.u32()? as usize;
                Arc::clone(&columns.get(earlier).ok_or_else(|| corrupt("a column refers to none"))?.1)
            }
            _ => Arc::new(typed(&mut reader, rows, true)?),
        };
        columns.push((name, column));
    }
    if !reader.bytes.is_empty() {
        return Err(corrupt("bytes follow its last column"));
    }
    let block = Block::of_sorted(rows, columns);
    match block.column(TIME) {
        Some(time) if matches!(time.data, Data::Time(_)) && time.validity.is_none() => Ok(block),
        _ => Err(corrupt("it has no _time")),
    }
}

fn typed(reader: &mut Reader<'_>, rows: usize, mixed_allowed: bool) -> Result<Column> {
    let kind = reader.u8()?;
    let validity = reader.optional_bits(rows)?;
    let data = match kind {
        KIND_INT => Data::Int(reader.ints(rows)?),
        KIND_TIME => Data::Time(reader.ints(rows)?),
        KIND_FLOAT => {
            let whole = reader.optional_bits(rows)?;
            let values: Vec<f64> = reader.numbers(rows, f64::from_le_bytes)?;
            if values.iter().any(|v| !v.is_finite()) {
                return Err(corrupt("a float is not finite"));
            }
            Data::Float { values, whole }
        }
        KIND_BOOL => Data::Bool(reader.bits(rows)?),
        KIND_STRING => Data::Text(reader.texts(rows, validity.as_ref())?),
        KIND_JSON => Data::Json(reader.texts(rows, validity.as_ref())?),
        KIND_STRINGS => {
            let ends: Vec<u32> = reader.numbers(rows, u32::from_le_bytes)?;
            if ends.windows(2).any(|pair| pair[0] > pair[1]) {
                return Err(corrupt("lists end before they begin"));
            }
            let items = reader.texts(ends.last().map_or(0, |end| *end as usize), None)?;
            Data::List { ends, items }
        }
        KIND_MIXED if mixed_allowed => {
            let count = reader.u8()?;
            let parts: Vec<Column> = (0..count).map(|_| typed(reader, rows, false)).collect::<Result<_>>()?;
            if parts.is_empty() { Data::Null } else { Data::Mixed(parts) }
        }
        other => return Err(corrupt(&format!("a column is of kind {other}"))),
    };
    Ok(Column { rows, validity, data })
}

fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("a stored block is damaged: {what}"))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| corrupt("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Some fixed-size numbers; the size is checked before memory is taken.
    fn numbers<const N: usize, T>(&mut self, count: usize, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let size = count.checked_mul(N).ok_or_else(|| corrupt("a length overflows"))?;
        let (chunks, _) = self.take(size)?.as_chunks::<N>();
        Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
    }

    fn one<const N: usize, T>(&mut self, read: impl Fn([u8; N]) -> T) -> Result<T> {
        self.numbers(1, read)?.pop().ok_or_else(|| corrupt("it ends too early"))
    }

    fn u8(&mut self) -> Result<u8> {
        self.one(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.one(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.one(u64::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str> {
        std::str::from_utf8(self.take(length)?).map_err(|_| corrupt("a text is not UTF-8"))
    }

    fn bits(&mut self, rows: usize) -> Result<Bitmap> {
        let words = self.numbers(rows.div_ceil(64), u64::from_le_bytes)?;
        Bitmap::from_words(words, rows).ok_or_else(|| corrupt("bits lie beyond the last row"))
    }

    fn optional_bits(&mut self, rows: usize) -> Result<Option<Bitmap>> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.bits(rows).map(Some),
            _ => Err(corrupt("a flag is neither 0 nor 1")),
        }
    }

    fn narrow(&mut self, count: usize) -> Result<Narrow> {
        Ok(match self.u8()? {
            1 => Narrow::U8(self.take(count)?.to_vec()),
            2 => Narrow::U16(self.numbers(count, u16::from_le_bytes)?),
            4 => Narrow::U32(self.numbers(count, u32::from_le_bytes)?),
            8 => Narrow::U64(self.numbers(count, u64::from_le_bytes)?),
            _ => return Err(corrupt("a width is none of 1, 2, 4, 8")),
        })
    }

    fn ints(&mut self, rows: usize) -> Result<Ints> {
        let base = self.one(i64::from_le_bytes)?;
        let max = self.one(i64::from_le_bytes)?;
        let offsets = self.narrow(rows)?;
        let span = max.wrapping_sub(base) as u64;
        if base > max || offsets.iter().any(|offset| offset > span) {
            return Err(corrupt("an integer lies outside its bounds"));
        }
        Ok(Ints::from_parts(base, max, offsets))
    }

    fn texts(&mut self, rows: usize, validity: Option<&Bitmap>) -> Result<Texts> {
        let entries = self.u32()? as usize;
        let ends: Vec<u32> = self.numbers(entries, u32::from_le_bytes)?;
        let text = self.text(ends.last().map_or(0, |end| *end as usize))?.to_owned();
        let dictionary =
            Dictionary::from_parts(text, ends).ok_or_else(|| corrupt("a dictionary is out of order"))?;
        let codes = self.narrow(rows)?;
        let none_has_value = validity.is_some_and(|v| v.count_ones() == 0);
        if !none_has_value && codes.iter().any(|code| code >= dictionary.len() as u64) {
            return Err(corrupt("a code has no entry"));
        }
        Ok(Texts { codes, dictionary: Arc::new(dictionary) })
    }
}
