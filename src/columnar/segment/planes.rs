//! Unsigned numbers of one width. Wider than a byte, they are stored as planes, all low bytes first, unless whole numbers
//! that repeat make the other order smaller.

use crate::columnar::narrow::Narrow;
use crate::columnar::segment::compress::{CONSTANT_MAX, Content, put_stream, read_stream};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::Result;

/// Added to the width where numbers stand one after the other.
const INTERLEAVED: u8 = 0x10;

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
        put_stream(out, &bytes, Content::Numbers);
    }
    if width == 1 {
        return;
    }
    bytes.clear();
    match width {
        2 => numbers.iter().for_each(|n| bytes.extend_from_slice(&(*n as u16).to_le_bytes())),
        4 => numbers.iter().for_each(|n| bytes.extend_from_slice(&(*n as u32).to_le_bytes())),
        _ => numbers.iter().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes())),
    }
    let mut interleaved = vec![width as u8 | INTERLEAVED];
    put_stream(&mut interleaved, &bytes, Content::Numbers);
    if interleaved.len() < out.len() - start {
        out.truncate(start);
        out.extend_from_slice(&interleaved);
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
        8 => Narrow::U64(wide(&planes(reader, count)?)),
        0x12 => Narrow::U16(interleaved(reader, count, u16::from_le_bytes)?),
        0x14 => Narrow::U32(interleaved(reader, count, u32::from_le_bytes)?),
        0x18 => Narrow::U64(interleaved(reader, count, u64::from_le_bytes)?),
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

fn wide(planes: &[Plane<'_>; 8]) -> Vec<u64> {
    let mut numbers = vec![0u64; planes[0].len()];
    for (at, plane) in planes.iter().enumerate() {
        // the upper planes of most numbers are empty
        if plane.iter().any(|byte| *byte != 0) {
            numbers.iter_mut().zip(&**plane).for_each(|(n, byte)| *n |= u64::from(*byte) << (at * 8));
        }
    }
    numbers
}

fn interleaved<const N: usize, T>(
    reader: &mut Reader<'_>,
    count: usize,
    read: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    let size = count.checked_mul(N).ok_or_else(|| corrupt("a length overflows"))?;
    let bytes = read_stream(reader, size)?;
    let (chunks, _) = bytes.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}
