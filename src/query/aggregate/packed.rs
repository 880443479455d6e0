//! Sets of codes as small as they get, for what is kept: a bitmap where codes are dense, else the gaps between them in one
//! byte or a few. `distinct` packs what it keeps, and unpacks it into what it counts with.

/// Gaps are smaller than a bitmap, and slower to take in: a bitmap may have so many times their bytes.
const BITMAP_WORTH: usize = 3;

/// The codes of one set.
#[derive(Debug, Clone)]
pub enum Packed {
    /// A bit a code.
    Bits(Vec<u64>),
    /// From each code to the next, as LEB128.
    Gaps(Vec<u8>),
}

impl Packed {
    /// Packs codes that rise.
    pub fn of(codes: &[u32]) -> Self {
        let mut gaps = Vec::with_capacity(codes.len());
        let mut last = 0;
        for code in codes {
            let mut gap = code - last;
            last = *code;
            while gap >= 0x80 {
                gaps.push(gap as u8 | 0x80);
                gap >>= 7;
            }
            gaps.push(gap as u8);
        }
        let words = codes.last().map_or(0, |last| *last as usize / 64 + 1);
        if words * 8 > gaps.len() * BITMAP_WORTH {
            gaps.shrink_to_fit();
            return Self::Gaps(gaps);
        }
        let mut bits = vec![0u64; words];
        codes.iter().for_each(|code| bits[*code as usize / 64] |= 1 << (code % 64));
        Self::Bits(bits)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Bits(bits) => bits.capacity() * size_of::<u64>(),
                Self::Gaps(gaps) => gaps.capacity(),
            }
    }

    /// Calls `visit` with each code, in order.
    pub fn for_each(&self, mut visit: impl FnMut(u32)) {
        match self {
            Self::Bits(bits) => {
                for (at, word) in bits.iter().enumerate() {
                    let mut rest = *word;
                    while rest != 0 {
                        visit(at as u32 * 64 + rest.trailing_zeros());
                        rest &= rest - 1;
                    }
                }
            }
            Self::Gaps(gaps) => {
                let (mut code, mut gap, mut shift) = (0u32, 0u32, 0);
                for byte in gaps {
                    gap |= u32::from(byte & 0x7F) << shift;
                    shift += 7;
                    if byte & 0x80 == 0 {
                        code = code.wrapping_add(gap);
                        visit(code);
                        (gap, shift) = (0, 0);
                    }
                }
            }
        }
    }

    /// Sets the bits of the codes in a bitmap that has room for them.
    pub fn add_to(&self, set: &mut [u64]) {
        match self {
            Self::Bits(bits) => set.iter_mut().zip(bits).for_each(|(here, more)| *here |= more),
            gaps => gaps.for_each(|code| set[code as usize / 64] |= 1 << (code % 64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn codes_come_back_as_they_went(mut codes in prop::collection::vec(0u32..(1 << 24), 0..400), spread in 1u32..4_000) {
            codes.iter_mut().for_each(|code| *code %= spread * 500);
            codes.sort_unstable();
            codes.dedup();
            let packed = Packed::of(&codes);
            let mut back = Vec::new();
            packed.for_each(|code| back.push(code));
            prop_assert_eq!(&back, &codes);
            let mut bits = vec![0u64; codes.last().map_or(0, |last| *last as usize / 64 + 1)];
            packed.add_to(&mut bits);
            prop_assert_eq!(bits.iter().map(|word| word.count_ones() as usize).sum::<usize>(), codes.len());
        }
    }

    #[test]
    fn dense_codes_are_bits_and_sparse_ones_gaps() {
        let dense: Vec<u32> = (0..1_000).collect();
        let sparse: Vec<u32> = (0..1_000).map(|n| n * 97).collect();
        assert!(matches!(Packed::of(&dense), Packed::Bits(_)));
        assert!(matches!(Packed::of(&sparse), Packed::Gaps(gaps) if gaps.len() == 1_000));
    }
}
