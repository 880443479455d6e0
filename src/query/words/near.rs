//! Words that were meant: known words near to one that no text has, to correct typos. Called when a search finds
//! nothing, or a word of it is unknown.
//!
//! Known words stand by length, each with 64 bits that say which letters it has. An edit takes one letter away and adds
//! one at most, so that comparing bits leaves few words to be compared letter by letter. This is instead of an index
//! of trigrams, whose postings alone would take more memory than everything here, and whose bound for two edits in
//! eight letters excludes next to nothing; 200,000 bit sets are run through in less than a millisecond.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

/// Characters of a word that is corrected at most; longer ones are no words that someone types.
const CHARS_MAX: usize = 64;

/// Known words, each with the number of documents that have it.
#[derive(Debug)]
pub struct Known {
    /// All words, the shorter (in characters) before the longer, and in order where they are equally long.
    text: String,
    /// Where each word ends in `text`; it begins where the one before ends.
    ends: Vec<u32>,
    /// Which letters each word has.
    letters: Vec<u64>,
    documents: Vec<u64>,
    /// The number of the first word of each length, up to the longest that is corrected, and of the first longer one.
    by_length: Vec<usize>,
}

impl Known {
    /// Takes words with how many documents have each, in any order; what comes twice is added up. What goes beyond
    /// 4 GiB of words is not taken.
    pub fn new(words: impl Iterator<Item = (String, u64)>) -> Self {
        let mut sorted: Vec<(usize, String, u64)> =
            words.map(|(word, documents)| (length_class(&word), word, documents)).collect();
        sorted.sort_unstable();
        let bytes = sorted.iter().map(|(_, word, _)| word.len()).sum();
        let mut known = Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(sorted.len()),
            letters: Vec::with_capacity(sorted.len()),
            documents: Vec::with_capacity(sorted.len()),
            by_length: Vec::with_capacity(CHARS_MAX + 4),
        };
        for (length, word, documents) in sorted {
            if known.word(known.len().wrapping_sub(1)) == Some(word.as_str()) {
                if let Some(sum) = known.documents.last_mut() {
                    *sum = sum.saturating_add(documents);
                }
                continue;
            }
            let Some(end) = u32::try_from(known.text.len() + word.len()).ok().filter(|_| !word.is_empty())
            else {
                continue;
            };
            while known.by_length.len() <= length {
                known.by_length.push(known.ends.len());
            }
            known.text.push_str(&word);
            known.ends.push(end);
            known.letters.push(letters(&word));
            known.documents.push(documents);
        }
        known
    }

    /// How many words are known.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no word is known.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of memory they take.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.text.capacity()
            + self.ends.capacity() * size_of::<u32>()
            + self.letters.capacity() * size_of::<u64>()
            + self.documents.capacity() * size_of::<u64>()
            + self.by_length.capacity() * size_of::<usize>()
    }

    /// Whether the word, folded, is known.
    pub fn contains(&self, word: &str) -> bool {
        let Range { mut start, mut end } = self.of_length(length_class(word));
        while start < end {
            let middle = start + (end - start) / 2;
            match self.word(middle).cmp(&Some(word)) {
                Ordering::Less => start = middle + 1,
                Ordering::Equal => return true,
                Ordering::Greater => end = middle,
            }
        }
        false
    }

    /// Known words that one edit makes of this one, or two from 8 characters on, where an edit inserts, deletes or
    /// changes a character or swaps two neighbours, and none is edited twice (optimal string alignment). A word of up
    /// to 3 characters, or more than 64, has none. First those with fewer edits, then those more documents have; at
    /// most `most`.
    pub fn near(&self, word: &str, most: usize) -> Vec<String> {
        let length = length_class(word);
        let edits_max = match length {
            0..=3 => return Vec::new(),
            4..=7 => 1,
            8..=CHARS_MAX => 2,
            _ => return Vec::new(),
        };
        let meant: Vec<char> = word.chars().collect();
        let meant_letters = letters(word);
        let mut chars = Vec::with_capacity(CHARS_MAX);
        let mut found = Vec::new();
        for candidate_length in length - edits_max..=length + edits_max {
            // an edit takes one letter away or adds one or both; those that change the length do only the one
            let taken_max = edits_max - candidate_length.saturating_sub(length);
            let added_max = edits_max - length.saturating_sub(candidate_length);
            let numbers = self.of_length(candidate_length);
            let candidates = self.letters.get(numbers.clone()).unwrap_or_default();
            for (number, letters) in numbers.zip(candidates) {
                if has_more_bits(meant_letters & !letters, taken_max)
                    || has_more_bits(letters & !meant_letters, added_max)
                {
                    continue;
                }
                let (Some(candidate), Some(documents)) = (self.word(number), self.documents.get(number))
                else {
                    break;
                };
                chars.clear();
                chars.extend(candidate.chars());
                if let Some(edits) = edits_between(&meant, &chars, edits_max) {
                    found.push((edits, Reverse(*documents), candidate));
                }
            }
        }
        found.sort_unstable();
        found.into_iter().take(most).map(|(_, _, word)| word.to_owned()).collect()
    }

    fn word(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.text.get(start as usize..end as usize)
    }

    /// The numbers of the words of this length.
    fn of_length(&self, length: usize) -> Range<usize> {
        let first = |length: usize| self.by_length.get(length).copied().unwrap_or(self.len());
        first(length)..first(length + 1)
    }
}

/// The characters of a word; all that are too long to be near a word that is corrected are equally long.
fn length_class(word: &str) -> usize {
    word.chars().take(CHARS_MAX + 3).count()
}

/// A bit for each letter of the word: small letters and digits have their own, all others share the rest.
fn letters(word: &str) -> u64 {
    word.chars().fold(0, |bits, c| {
        let bit = match c {
            'a'..='z' => u32::from(c) - u32::from('a'),
            '0'..='9' => 26 + u32::from(c) - u32::from('0'),
            _ => 36 + u32::from(c) % 28,
        };
        bits | 1 << bit
    })
}

/// Quicker than counting them all where the processor has no instruction for it.
fn has_more_bits(mut bits: u64, most: usize) -> bool {
    for _ in 0..most {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}

/// The edits that make one word of the other, if they are not more than allowed. Where both begin with the same
/// character, leaving it is never worse than editing it; so there is a choice only at each edit, and few of those.
fn edits_between(one: &[char], other: &[char], edits_max: usize) -> Option<usize> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (one.get(same..)?, other.get(same..)?);
    if one.is_empty() || other.is_empty() {
        let edits = one.len() + other.len();
        return (edits <= edits_max).then_some(edits);
    }
    let edits_left = edits_max.checked_sub(1)?;
    let (one_rest, other_rest) = (one.get(1..)?, other.get(1..)?);
    let mut best = [(one_rest, other_rest), (one_rest, other), (one, other_rest)]
        .into_iter()
        .filter_map(|(one, other)| edits_between(one, other, edits_left))
        .min();
    if let ([a, b, one_rest @ ..], [c, d, other_rest @ ..]) = (one, other)
        && (a, b) == (d, c)
        && let Some(edits) = edits_between(one_rest, other_rest, edits_left)
    {
        best = Some(best.map_or(edits, |best| best.min(edits)));
    }
    best.map(|edits| edits + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(words: &[(&str, u64)]) -> Known {
        Known::new(words.iter().map(|(word, documents)| (word.to_string(), *documents)))
    }

    /// Optimal string alignment by the whole table.
    fn distance(one: &[char], other: &[char]) -> usize {
        let mut table = vec![vec![0; other.len() + 1]; one.len() + 1];
        for i in 0..=one.len() {
            for j in 0..=other.len() {
                if i == 0 || j == 0 {
                    table[i][j] = i + j;
                    continue;
                }
                let change = usize::from(one[i - 1] != other[j - 1]);
                table[i][j] =
                    (table[i - 1][j] + 1).min(table[i][j - 1] + 1).min(table[i - 1][j - 1] + change);
                if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                    table[i][j] = table[i][j].min(table[i - 2][j - 2] + 1);
                }
            }
        }
        table[one.len()][other.len()]
    }

    fn naive(words: &std::collections::BTreeMap<String, u64>, word: &str, most: usize) -> Vec<String> {
        let one: Vec<char> = word.chars().collect();
        let edits_max = match one.len() {
            0..=3 => return Vec::new(),
            4..=7 => 1,
            8..=64 => 2,
            _ => return Vec::new(),
        };
        let mut found: Vec<_> = words
            .iter()
            .map(|(known, documents)| {
                (distance(&one, &known.chars().collect::<Vec<_>>()), Reverse(*documents), known)
            })
            .filter(|(edits, _, _)| *edits <= edits_max)
            .collect();
        found.sort();
        found.into_iter().take(most).map(|(_, _, known)| known.clone()).collect()
    }

    #[test]
    fn every_kind_of_edit_is_undone() {
        let known = known(&[("timeout", 5)]);
        for typo in ["timeot", "timeouut", "timeaut", "tiemout", "imeout", "timeoutt", "timeout"] {
            assert_eq!(known.near(typo, 3), ["timeout"], "{typo}");
        }
        assert_eq!(known.near("tiemoot", 3), [""; 0], "two edits in a word of seven");
    }

    #[test]
    fn longer_words_may_have_two_edits_and_short_ones_none() {
        let known = known(&[("connection", 1), ("abc", 1), ("abcd", 1)]);
        assert_eq!(known.near("conection", 3), ["connection"]);
        assert_eq!(known.near("ocnnectoin", 3), ["connection"]);
        assert_eq!(known.near("abd", 3), [""; 0]);
        assert_eq!(known.near("abce", 3), ["abc", "abcd"]);
    }

    #[test]
    fn fewer_edits_come_first_then_more_documents() {
        let known = known(&[("database", 1), ("databases", 70), ("databased", 90), ("databse", 2)]);
        assert_eq!(known.near("databaes", 9), ["databases", "database", "databased", "databse"]);
        assert_eq!(known.near("databaes", 1), ["databases"]);
    }

    #[test]
    fn documents_of_the_same_word_are_added_up() {
        let known = known(&[("fast", 1), ("fist", 3), ("fast", 3), ("", 9)]);
        assert_eq!(known.len(), 2);
        assert_eq!(known.near("fest", 9), ["fast", "fist"]);
    }

    #[test]
    fn words_of_any_length_are_known() {
        let long = "x".repeat(500);
        let longer = "x".repeat(501);
        let known = known(&[("é", 1), (&long, 1)]);
        assert!(known.contains("é") && known.contains(&long));
        assert!(!known.contains("") && !known.contains(&longer));
        assert_eq!(known.near(&longer, 9), [""; 0]);
        assert!(Known::new(std::iter::empty()).is_empty());
    }

    proptest! {
        #[test]
        fn near_finds_what_a_scan_finds(
            words in proptest::collection::btree_map("[ab]{1,11}|[abcé]{3,10}", 0_u64..4, 0..60),
            asked in proptest::collection::vec("[ab]{1,11}|[abcé]{3,10}", 20),
            most in 0_usize..20,
        ) {
            let known = Known::new(words.clone().into_iter());
            prop_assert_eq!(known.len(), words.len());
            for word in asked {
                prop_assert_eq!(known.near(&word, most), naive(&words, &word, most), "{}", word);
                prop_assert_eq!(known.contains(&word), words.contains_key(&word));
            }
        }
    }
}
