//! Unsigned numbers of one width. Wider than a byte, they are stored as planes, all low bytes first: the high ones
//! compress. Codes of two bytes that come in the same order again and again are smaller as they are.

use crate::columnar::narrow::Narrow;
use crate::columnar::segment::compress::{CONSTANT_MAX, put_stream, read_stream};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::Result;

/// Numbers of two bytes one after the other. Wider ones that repeat are stored as distinct integers and codes.
const PAIRS: u8 = 0x12;

/// A number of any width as 64 bits, for code that is written once for all widths.
#[inline]
pub(super) fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// Appends numbers in the fewest bytes.
pub(super) fn put_narrow(out: &mut Vec<u8>, numbers: &[u64]) {
    if numbers.is_empty() {
        return;
    }
    // all bits that any number has: as wide as the largest
    let width = match numbers.iter().fold(0, |all, number| all | *number) {
        0 if numbers.len() <= CONSTANT_MAX => return out.push(0),
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    let mut bytes = Vec::with_capacity(numbers.len() * width);
    let start = out.len();
    out.push(width as u8);
    for plane in 0..width {
        bytes.clear();
        bytes.extend(numbers.iter().map(|number| (number >> (plane * 8)) as u8));
        put_stream(out, &bytes);
    }
    if width == 2 {
        bytes.clear();
        numbers.iter().for_each(|number| bytes.extend_from_slice(&(*number as u16).to_le_bytes()));
        let mut pairs = vec![PAIRS];
        put_stream(&mut pairs, &bytes);
        if pairs.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&pairs);
        }
    }
}

/// Reads `count` numbers.
pub(super) fn read_narrow(reader: &mut Reader<'_>, count: usize) -> Result<Narrow> {
    if count == 0 {
        return Ok(Narrow::U8(Vec::new()));
    }
    let form = reader.u8()?;
    Ok(match form {
        0 if count <= CONSTANT_MAX => Narrow::U8(vec![0; count]),
        1 => Narrow::U8(read_stream(reader, count)?.into_owned()),
        2 => {
            let [a, b] = planes(reader, count)?;
            Narrow::U16(a.iter().zip(&*b).map(|(a, b)| u16::from_le_bytes([*a, *b])).collect())
        }
        4 => {
            let [a, b, c, d] = planes(reader, count)?;
            let (low, high) = (a.iter().zip(&*b), c.iter().zip(&*d));
            let whole = low.zip(high).map(|((a, b), (c, d))| u32::from_le_bytes([*a, *b, *c, *d]));
            Narrow::U32(whole.collect())
        }
        8 => Narrow::U64(joined(&planes(reader, count)?)),
        PAIRS => {
            let size = count.checked_mul(2).ok_or_else(|| corrupt("a length overflows"))?;
            let bytes = read_stream(reader, size)?;
            Narrow::U16(bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
        }
        _ => return Err(corrupt(format!("{count} numbers have form {form}"))),
    })
}

type Plane<'a> = std::borrow::Cow<'a, [u8]>;

fn planes<'a, const N: usize>(reader: &mut Reader<'a>, count: usize) -> Result<[Plane<'a>; N]> {
    let mut planes = [const { Plane::Borrowed(&[]) }; N];
    for plane in &mut planes {
        *plane = read_stream(reader, count)?;
    }
    Ok(planes)
}

fn joined(planes: &[Plane<'_>; 8]) -> Vec<u64> {
    let mut numbers = vec![0u64; planes[0].len()];
    for (at, plane) in planes.iter().enumerate() {
        // the upper planes of most numbers are empty
        if plane.iter().any(|byte| *byte != 0) {
            numbers.iter_mut().zip(&**plane).for_each(|(n, byte)| *n |= u64::from(*byte) << (at * 8));
        }
    }
    numbers
}
