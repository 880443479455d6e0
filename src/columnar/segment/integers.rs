//! Whole numbers, in the form that is smallest for what they look like: counting, rising, few, or just narrow.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::segment::compress::CONSTANT_MAX;
use crate::columnar::segment::planes::{put_narrow, read_narrow, wide};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::Result;

const STRIDE: u8 = 1;
const OFFSETS: u8 = 2;
const DELTAS: u8 = 3;
const DISTINCT: u8 = 4;

/// Appends numbers.
pub(super) fn put_integers(out: &mut Vec<u8>, values: &[i64]) {
    put(out, values, None);
}

/// Appends codes of a dictionary: they are offsets from 0 wherever they are offsets, as they are in memory.
pub(super) fn put_codes(out: &mut Vec<u8>, codes: &[i64]) {
    put(out, codes, Some(0));
}

fn put(out: &mut Vec<u8>, values: &[i64], base: Option<i64>) {
    let (Some(&first), Some(&smallest)) = (values.first(), values.iter().min()) else { return };
    if let Some(step) = stride(values) {
        out.push(STRIDE);
        out.extend_from_slice(&first.to_le_bytes());
        out.extend_from_slice(&step.to_le_bytes());
        return;
    }
    if values.is_sorted() {
        let deltas: Vec<u64> = values.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
        return put_scaled(out, DELTAS, first, deltas);
    }
    let base = base.unwrap_or(smallest);
    let offsets: Vec<u64> = values.iter().map(|value| distance(base, *value)).collect();
    match distinct(&offsets) {
        Some((entries, codes)) => {
            out.push(DISTINCT);
            out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
            let entries: Vec<i64> = entries.iter().map(|offset| base.wrapping_add(*offset as i64)).collect();
            put(out, &entries, None);
            put_narrow(out, &codes);
        }
        None => put_scaled(out, OFFSETS, base, offsets),
    }
}

/// How far `to` lies above `from`, which it is not below.
fn distance(from: i64, to: i64) -> u64 {
    to.wrapping_sub(from) as u64
}

/// The step between neighbours, where it is the same everywhere.
fn stride(values: &[i64]) -> Option<i64> {
    let step = match values {
        [first, second, ..] => second.checked_sub(*first)?,
        _ => 0,
    };
    let is_even =
        values.len() <= CONSTANT_MAX && values.windows(2).all(|p| p[1].checked_sub(p[0]) == Some(step));
    is_even.then_some(step)
}

fn put_scaled(out: &mut Vec<u8>, form: u8, first: i64, mut numbers: Vec<u64>) {
    let unit = unit(&numbers);
    if unit > 1 {
        numbers.iter_mut().for_each(|number| *number /= unit);
    }
    out.push(form);
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&unit.to_le_bytes());
    put_narrow(out, &numbers);
}

/// The greatest common divisor: 1000 for times in milliseconds.
fn unit(numbers: &[u64]) -> u64 {
    let mut unit = 0;
    for number in numbers {
        if unit == 1 {
            break;
        }
        let (mut a, mut b) = (unit, *number);
        // mostly one step: the number is a multiple of what was found so far
        while a != 0 {
            (a, b) = (b % a, a);
        }
        unit = b;
    }
    unit.max(1)
}

/// The distinct numbers in order and the place of each number among them, where numbers are wide and few enough that
/// this is smaller.
fn distinct(numbers: &[u64]) -> Option<(Vec<u64>, Vec<u64>)> {
    let bits = |max: u64| u64::from(u64::BITS - max.leading_zeros());
    let width = bits(numbers.iter().max()? / unit(numbers));
    if width <= 8 {
        return None;
    }
    let entries_max = if width <= 16 { 1 << 8 } else { numbers.len() / 2 };
    let hasher = FixedState::default();
    let mut table: HashTable<u32> = HashTable::new();
    let mut entries: Vec<u64> = Vec::new();
    let mut codes: Vec<u64> = Vec::with_capacity(numbers.len());
    for number in numbers {
        let hash = hasher.hash_one(number);
        let found = table.find(hash, |code| entries[*code as usize] == *number).copied();
        let code = found.unwrap_or_else(|| {
            let code = entries.len() as u32;
            entries.push(*number);
            table.insert_unique(hash, code, |code| hasher.hash_one(entries[*code as usize]));
            code
        });
        if entries.len() > entries_max {
            return None;
        }
        codes.push(u64::from(code));
    }
    let (count, distinct) = (numbers.len() as u64, entries.len() as u64);
    let code_bits = bits(distinct - 1).max(1);
    // in order, an entry takes what it differs from the one before
    let smaller = distinct * (width + 2).saturating_sub(code_bits) + count * code_bits;
    if smaller * 10 > count * width * 9 {
        return None;
    }
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.sort_unstable_by_key(|code| entries[*code as usize]);
    let mut places = vec![0u64; entries.len()];
    order.iter().enumerate().for_each(|(place, code)| places[*code as usize] = place as u64);
    codes.iter_mut().for_each(|code| *code = places[*code as usize]);
    Some((order.iter().map(|code| entries[*code as usize]).collect(), codes))
}

/// Reads `count` numbers: smallest and largest are as tight as they were when written.
pub(super) fn read_integers(reader: &mut Reader<'_>, count: usize) -> Result<Ints> {
    read(reader, count, true)
}

fn read(reader: &mut Reader<'_>, count: usize, distinct_allowed: bool) -> Result<Ints> {
    if count == 0 {
        return Ok(Ints::from_values(&[]));
    }
    match reader.u8()? {
        STRIDE if count <= CONSTANT_MAX => read_stride(reader, count),
        OFFSETS => read_offsets(reader, count),
        DELTAS => read_deltas(reader, count),
        DISTINCT if distinct_allowed => read_distinct(reader, count),
        form => Err(corrupt(format!("{count} integers have form {form}"))),
    }
}

/// The number that lies `units` times `unit` above another.
fn above(base: i64, units: u128, unit: u64) -> Result<i64> {
    units
        .checked_mul(u128::from(unit))
        .and_then(|distance| i128::try_from(distance).ok())
        .and_then(|distance| i64::try_from(distance.checked_add(i128::from(base))?).ok())
        .ok_or_else(|| corrupt("an integer is beyond 64 bits"))
}

fn read_unit(reader: &mut Reader<'_>) -> Result<u64> {
    match reader.u64()? {
        0 => Err(corrupt("integers have no unit")),
        unit => Ok(unit),
    }
}

fn read_stride(reader: &mut Reader<'_>, count: usize) -> Result<Ints> {
    let (first, step) = (reader.i64()?, reader.i64()?);
    let (steps, size) = (count as u64 - 1, step.unsigned_abs());
    if step >= 0 {
        let last = above(first, u128::from(steps), size)?;
        let offsets = Narrow::collect(distance(first, last), (0..=steps).map(|at| at * size));
        return Ok(Ints::from_parts(first, last, offsets));
    }
    let last = i128::from(first) - i128::from(steps) * i128::from(size);
    let last = i64::try_from(last).map_err(|_| corrupt("an integer is beyond 64 bits"))?;
    let offsets = Narrow::collect(distance(last, first), (0..=steps).rev().map(|at| at * size));
    Ok(Ints::from_parts(last, first, offsets))
}

fn read_offsets(reader: &mut Reader<'_>, count: usize) -> Result<Ints> {
    let (base, unit) = (reader.i64()?, read_unit(reader)?);
    let numbers = read_narrow(reader, count)?;
    let largest = with_narrow!(&numbers, numbers => numbers.iter().max().map_or(0, |max| wide(*max)));
    let max = above(base, u128::from(largest), unit)?;
    if unit == 1 {
        return Ok(Ints::from_parts(base, max, numbers));
    }
    let offsets = with_narrow!(&numbers, numbers => {
        Narrow::collect(distance(base, max), numbers.iter().map(|number| wide(*number) * unit))
    });
    Ok(Ints::from_parts(base, max, offsets))
}

fn read_deltas(reader: &mut Reader<'_>, count: usize) -> Result<Ints> {
    let (first, unit) = (reader.i64()?, read_unit(reader)?);
    let deltas = read_narrow(reader, count - 1)?;
    let sum = match &deltas {
        Narrow::U64(deltas) => deltas.iter().map(|delta| u128::from(*delta)).sum(),
        // numbers of 32 bits, and fewer than that many
        deltas => u128::from(with_narrow!(deltas, d => d.iter().map(|delta| wide(*delta)).sum::<u64>())),
    };
    let last = above(first, sum, unit)?;
    // no partial sum is above the whole, which fits
    let offsets = with_narrow!(&deltas, deltas => {
        let mut offset = 0u64;
        let rising = deltas.iter().map(|delta| {
            offset = offset.wrapping_add(wide(*delta).wrapping_mul(unit));
            offset
        });
        Narrow::collect(distance(first, last), std::iter::once(0).chain(rising))
    });
    Ok(Ints::from_parts(first, last, offsets))
}

fn read_distinct(reader: &mut Reader<'_>, count: usize) -> Result<Ints> {
    let entries = reader.u32()? as usize;
    if entries == 0 || entries > count {
        return Err(corrupt(format!("{count} integers have {entries} distinct ones")));
    }
    let entries = read(reader, entries, false)?;
    let entry_offsets: Vec<u64> = with_narrow!(entries.offsets(), o => o.iter().map(|o| wide(*o)).collect());
    if entry_offsets[0] != 0 || !entry_offsets.is_sorted_by(|a, b| a < b) {
        return Err(corrupt("distinct integers are out of order"));
    }
    let codes = read_narrow(reader, count)?;
    let is_outside =
        with_narrow!(&codes, codes => codes.iter().any(|code| *code as usize >= entry_offsets.len()));
    if is_outside {
        return Err(corrupt("an integer is none of the distinct ones"));
    }
    let offsets = with_narrow!(&codes, codes => {
        let each = codes.iter().map(|code| entry_offsets[*code as usize]);
        Narrow::collect(distance(entries.min(), entries.max()), each)
    });
    Ok(Ints::from_parts(entries.min(), entries.max(), offsets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(values: &[i64]) -> u8 {
        let mut out = Vec::new();
        put_integers(&mut out, values);
        let mut reader = Reader::new(&out);
        assert_eq!(read_integers(&mut reader, values.len()).expect("reads").to_vec(), values);
        reader.end().expect("the end");
        out[0]
    }

    #[test]
    fn numbers_get_the_form_that_is_meant_for_them() {
        let of = |number: fn(i64) -> i64| form(&(0..1000).map(number).collect::<Vec<_>>());
        assert_eq!(of(|n| n), STRIDE);
        assert_eq!(of(|n| -5 * n), STRIDE);
        assert_eq!(form(&[i64::MAX]), STRIDE);
        assert_eq!(of(|n| n * n), DELTAS);
        assert_eq!(of(|n| n / 7), DELTAS);
        assert_eq!(form(&[i64::MIN, -1, i64::MAX]), DELTAS);
        assert_eq!(of(|n| n * 7919 % 1000), OFFSETS);
        assert_eq!(form(&[i64::MAX, i64::MIN, 0]), OFFSETS);
        assert_eq!(of(|n| (n * 7919 % 100) << 40), OFFSETS, "a unit of 2^40");
        assert_eq!(of(|n| ((n * 7919 % 100) * (n * 7919 % 100)) << 40), DISTINCT);
        assert_eq!(of(|n| (n * 7919 % 250).pow(6)), DISTINCT);
    }

    #[test]
    fn codes_count_from_zero() {
        let mut out = Vec::new();
        put_codes(&mut out, &[7, 5, 6, 9]);
        let codes = read_integers(&mut Reader::new(&out), 4).expect("reads");
        assert_eq!((codes.min(), codes.offsets()), (0, &Narrow::U8(vec![7, 5, 6, 9])));
    }
}
