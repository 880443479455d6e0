//! Inner loops over narrow values, compiled twice: for every machine, and for wider instructions where the machine has
//! them. Conditions on columns call them; what they compute does not depend on which of the two runs.
//!
//! The `unsafe` here is of one kind: calling a function that was compiled for instructions after asking the processor
//! for them (`is_x86_feature_detected`). The functions themselves are safe code.
#![expect(
    unsafe_code,
    reason = "calls of functions compiled for wider instructions, each behind a check for them"
)]

use crate::columnar::bitmap::Bitmap;

/// The rows whose value passes a test.
///
/// ```
/// let rows = windrow::columnar::kernels::rows_where(&[3u8, 9, 3], |value| value == 3);
/// assert_eq!(rows.rows(), [0, 2]);
/// ```
pub fn rows_where<T: Copy, F: Fn(T) -> bool + Copy>(values: &[T], test: F) -> Bitmap {
    Bitmap::from_packed(words_where(values, test), values.len())
}

fn words_where<T: Copy, F: Fn(T) -> bool + Copy>(values: &[T], test: F) -> Vec<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor was asked for these instructions just now
            return unsafe { words_512(values, test) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above
            return unsafe { words_256(values, test) };
        }
    }
    words(values, test)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,bmi2")]
fn words_512<T: Copy, F: Fn(T) -> bool + Copy>(values: &[T], test: F) -> Vec<u64> {
    words(values, test)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn words_256<T: Copy, F: Fn(T) -> bool + Copy>(values: &[T], test: F) -> Vec<u64> {
    words(values, test)
}

/// A word of bits for every 64 values: bytes first, which compilers turn into wide comparisons, then eight bytes to eight
/// bits by one multiplication.
#[inline(always)]
fn words<T: Copy, F: Fn(T) -> bool + Copy>(values: &[T], test: F) -> Vec<u64> {
    let mut words = Vec::with_capacity(values.len().div_ceil(64));
    let mut chunks = values.chunks_exact(64);
    for chunk in &mut chunks {
        let mut bytes = [0u8; 64];
        for (byte, value) in bytes.iter_mut().zip(chunk) {
            *byte = u8::from(test(*value));
        }
        words.push(packed(&bytes));
    }
    if !chunks.remainder().is_empty() {
        let mut bytes = [0u8; 64];
        for (byte, value) in bytes.iter_mut().zip(chunks.remainder()) {
            *byte = u8::from(test(*value));
        }
        words.push(packed(&bytes));
    }
    words
}

/// 64 bytes of 0 or 1 as bits, the first byte lowest. In the product the byte at place i of eight comes to bit 56 + i,
/// and no other sum of places reaches the top byte.
#[inline(always)]
fn packed(bytes: &[u8; 64]) -> u64 {
    let mut word = 0;
    for (at, eight) in bytes.chunks_exact(8).enumerate() {
        let mut eight_bytes = [0u8; 8];
        eight_bytes.copy_from_slice(eight);
        let bits = u64::from_le_bytes(eight_bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= bits << (at * 8);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive<T: Copy>(values: &[T], test: impl Fn(T) -> bool) -> Bitmap {
        Bitmap::from_fn(values.len(), |row| test(values[row]))
    }

    proptest! {
        #[test]
        fn every_way_finds_the_rows_that_a_plain_loop_finds(values in prop::collection::vec(any::<u8>(), 0..400), bound in any::<u8>()) {
            let wanted = naive(&values, |value| value < bound);
            prop_assert_eq!(&rows_where(&values, |value| value < bound), &wanted);
            prop_assert_eq!(&Bitmap::from_packed(words(&values, |value| value < bound), values.len()), &wanted);
            let wide: Vec<u32> = values.iter().map(|value| u32::from(*value) << 20).collect();
            let bound = u32::from(bound) << 20;
            prop_assert_eq!(rows_where(&wide, |value| value < bound), wanted);
        }
    }
}
