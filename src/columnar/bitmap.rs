//! A run of bits, one a row: validity of values, truth of conditions.

/// Bits in words of 64; bits at and beyond `len` are always 0, so counting and comparing need no care at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// `len` bits, all as given.
    pub fn filled(len: usize, bit: bool) -> Self {
        let mut map = Self { words: vec![if bit { u64::MAX } else { 0 }; len.div_ceil(64)], len };
        map.clear_beyond();
        map
    }

    /// One bit a row, from a function of the row.
    pub fn from_fn(len: usize, mut bit: impl FnMut(usize) -> bool) -> Self {
        let words = (0..len.div_ceil(64))
            .map(|w| {
                let start = w * 64;
                (start..len.min(start + 64))
                    .fold(0u64, |word, row| word | u64::from(bit(row)) << (row - start))
            })
            .collect();
        Self { words, len }
    }

    /// From stored words; `None` where their number does not fit `len` or a bit beyond it is set.
    pub fn from_words(words: Vec<u64>, len: usize) -> Option<Self> {
        let map = Self { words, len };
        let mut cleared = map.clone();
        cleared.clear_beyond();
        (map.words.len() == len.div_ceil(64) && map == cleared).then_some(map)
    }

    /// From as many words as `len` bits take, whose bits beyond it are 0.
    pub(in crate::columnar) fn from_packed(words: Vec<u64>, len: usize) -> Self {
        debug_assert_eq!(words.len(), len.div_ceil(64));
        Self { words, len }
    }

    fn clear_beyond(&mut self) {
        if !self.len.is_multiple_of(64)
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }

    /// The words, lowest row in the lowest bit.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of bits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bit at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bit of a row; rows beyond the end are false.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Appends a bit.
    #[inline]
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        if bit && let Some(last) = self.words.last_mut() {
            *last |= 1 << (self.len % 64);
        }
        self.len += 1;
    }

    /// Appends `count` equal bits.
    pub fn push_many(&mut self, bit: bool, count: usize) {
        let old = self.len;
        self.len += count;
        self.words.resize(self.len.div_ceil(64), if bit { u64::MAX } else { 0 });
        if bit && !old.is_multiple_of(64) {
            self.words[old / 64] |= u64::MAX << (old % 64);
        }
        self.clear_beyond();
    }

    /// Removes the last bit.
    pub fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
        self.words.truncate(self.len.div_ceil(64));
        self.clear_beyond();
    }

    /// Appends all bits of another.
    pub fn extend(&mut self, other: &Self) {
        let shift = self.len % 64;
        if shift == 0 {
            self.words.extend_from_slice(&other.words);
        } else {
            for word in &other.words {
                if let Some(last) = self.words.last_mut() {
                    *last |= word << shift;
                }
                self.words.push(word >> (64 - shift));
            }
        }
        self.len += other.len;
        self.words.truncate(self.len.div_ceil(64));
    }

    /// Number of set bits.
    pub fn count_ones(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether every bit is set.
    pub fn all(&self) -> bool {
        self.count_ones() == self.len
    }

    /// Keeps the bits that are set in both.
    pub fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
    }

    /// Sets the bits that are set in the other.
    pub fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(a, b)| *a |= b);
    }

    /// Turns every bit round.
    pub fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.clear_beyond();
    }

    /// The rows whose bit is set, in order, as a list.
    pub fn rows(&self) -> Vec<u32> {
        let mut rows = Vec::with_capacity(self.count_ones());
        for (index, word) in self.words.iter().enumerate() {
            let (first, mut rest) = (index as u32 * 64, *word);
            if rest == u64::MAX {
                rows.extend(first..first + 64);
                continue;
            }
            while rest != 0 {
                rows.push(first + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        rows
    }

    /// The rows whose bit is set, in order.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector_of_bools(bits in prop::collection::vec(any::<bool>(), 0..300), more in prop::collection::vec(any::<bool>(), 0..200), run in 0usize..150) {
            let mut map = Bitmap::default();
            bits.iter().for_each(|b| map.push(*b));
            let mut model = bits.clone();
            prop_assert_eq!(&map, &Bitmap::from_fn(bits.len(), |i| bits[i]));
            map.extend(&Bitmap::from_fn(more.len(), |i| more[i]));
            model.extend(&more);
            map.push_many(true, run);
            model.extend(vec![true; run]);
            map.push_many(false, run / 2);
            model.extend(vec![false; run / 2]);
            if !model.is_empty() { map.pop(); model.pop(); }
            prop_assert_eq!((0..model.len()).map(|i| map.get(i)).collect::<Vec<_>>(), model.clone());
            prop_assert_eq!(map.ones().collect::<Vec<_>>(), (0..model.len()).filter(|i| model[*i]).collect::<Vec<_>>());
            prop_assert_eq!(map.rows(), map.ones().map(|row| row as u32).collect::<Vec<_>>());
            prop_assert_eq!(map.count_ones(), model.iter().filter(|b| **b).count());
            let stored = Bitmap::from_words(map.words().to_vec(), map.len());
            prop_assert_eq!(stored, Some(map.clone()));
            map.invert();
            prop_assert_eq!(map.count_ones(), model.iter().filter(|b| !**b).count());
        }
    }
}
