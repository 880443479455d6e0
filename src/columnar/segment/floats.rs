//! Floats. Most were typed by people or printed with a few decimals, so they are whole numbers over a power of ten, which
//! are small; that is only done where dividing gives every one of them back bit for bit.

use crate::columnar::narrow::with_narrow;
use crate::columnar::segment::integers::{put_integers, read_integers};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::Result;

/// Exact as floats, as are their neighbours.
const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// In place of the number of decimals: the integers are the bits of the floats.
const BITS: u8 = 255;
/// Up to here every whole number is a float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends floats.
pub(super) fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    match scaled(values) {
        Some((decimals, integers)) => {
            out.push(decimals as u8);
            put_integers(out, &integers);
        }
        None => {
            let bits: Vec<i64> = values.iter().map(|value| value.to_bits() as i64).collect();
            out.push(BITS);
            put_integers(out, &bits);
        }
    }
}

/// The fewest decimals that all values have, and the values without the point.
fn scaled(values: &[f64]) -> Option<(usize, Vec<i64>)> {
    let mut decimals = 0;
    for value in values {
        while unscaled(*value, decimals).is_none() {
            decimals += 1;
            if decimals == POWERS.len() {
                return None;
            }
        }
    }
    // what has few decimals may be too large for many
    let integers: Option<Vec<i64>> = values.iter().map(|value| unscaled(*value, decimals)).collect();
    integers.map(|integers| (decimals, integers))
}

#[inline]
fn unscaled(value: f64, decimals: usize) -> Option<i64> {
    let whole = (value * POWERS[decimals]).round_ties_even();
    let is_exact =
        whole.abs() <= WHOLE_MAX && (whole as i64 as f64 / POWERS[decimals]).to_bits() == value.to_bits();
    is_exact.then_some(whole as i64)
}

/// Reads `count` floats, all finite.
pub(super) fn read_floats(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>> {
    let decimals = reader.u8()?;
    let integers = read_integers(reader, count)?;
    let base = integers.min();
    if decimals == BITS {
        let values: Vec<f64> = with_narrow!(integers.offsets(), offsets => {
            offsets.iter().map(|offset| f64::from_bits(base.wrapping_add(*offset as i64) as u64)).collect()
        });
        if values.iter().any(|value| !value.is_finite()) {
            return Err(corrupt("a float is not finite"));
        }
        return Ok(values);
    }
    let power = *POWERS.get(usize::from(decimals)).ok_or_else(|| corrupt("floats have too many decimals"))?;
    Ok(with_narrow!(integers.offsets(), offsets => {
        offsets.iter().map(|offset| base.wrapping_add(*offset as i64) as f64 / power).collect()
    }))
}
