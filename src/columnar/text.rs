//! Text by dictionary: each distinct text once, sorted, and a narrow code a row. Work that depends on the text
//! alone (LIKE, lower, equality) is done once an entry rather than once a row.

use std::sync::Arc;

use memchr::memmem::Finder;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::narrow::Narrow;

/// Distinct texts in byte order; a code is a place in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary {
    text: String,
    ends: Vec<u32>,
}

impl Dictionary {
    /// From texts that are already sorted and distinct.
    pub fn from_sorted<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Self {
        // exactly what it takes: it stays as it is from now on
        let (entries, bytes) =
            texts.clone().fold((0, 0), |(entries, bytes), text| (entries + 1, bytes + text.len()));
        let mut dictionary = Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(entries) };
        for text in texts {
            dictionary.text.push_str(text);
            dictionary.ends.push(dictionary.text.len() as u32);
        }
        dictionary
    }

    /// From texts in any order: the dictionary, and the code in it of each of them. Equal texts share a code.
    pub fn sorted(texts: &[&str]) -> (Self, Vec<u32>) {
        let mut order: Vec<u32> = (0..texts.len() as u32).collect();
        order.sort_unstable_by_key(|i| texts[*i as usize].as_bytes());
        let (mut dictionary, mut codes) = (Self::default(), vec![0; texts.len()]);
        let mut last = None;
        for index in order {
            let text = texts[index as usize];
            if last != Some(text) {
                dictionary.text.push_str(text);
                dictionary.ends.push(dictionary.text.len() as u32);
                last = Some(text);
            }
            codes[index as usize] = (dictionary.len() - 1) as u32;
        }
        // it stays as it is from now on
        dictionary.text.shrink_to_fit();
        dictionary.ends.shrink_to_fit();
        (dictionary, codes)
    }

    /// From stored parts; `None` unless the ends rise, lie on character borders and the texts are sorted and distinct.
    pub fn from_parts(text: String, ends: Vec<u32>) -> Option<Self> {
        let mut start = 0usize;
        let mut previous: Option<&str> = None;
        for end in &ends {
            let entry = text.get(start..*end as usize)?;
            if previous.is_some_and(|p| p.as_bytes() >= entry.as_bytes()) {
                return None;
            }
            previous = Some(entry);
            start = *end as usize;
        }
        (start == text.len()).then_some(Self { text, ends })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of a code.
    #[inline]
    pub fn get(&self, code: usize) -> &str {
        let start = if code == 0 { 0 } else { self.ends[code - 1] as usize };
        &self.text[start..self.ends[code] as usize]
    }

    /// The code of a text, if it is there.
    pub fn find(&self, text: &str) -> Option<usize> {
        let at = self.lower_bound(text);
        (at < self.len() && self.get(at) == text).then_some(at)
    }

    /// The first code whose text is not below the given one.
    pub fn lower_bound(&self, text: &str) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle).as_bytes() < text.as_bytes() { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        (0..self.len()).map(|code| self.get(code))
    }

    /// Tells the code of every text that holds what a finder looks for: one search over all texts, which skips what a
    /// search of each cannot.
    pub fn holding(&self, finder: &Finder<'_>, mut tell: impl FnMut(usize)) {
        let (text, wanted) = (self.text.as_bytes(), finder.needle().len());
        let mut from = 0;
        while let Some(found) = text.get(from..).and_then(|rest| finder.find(rest)) {
            let (start, code) =
                (from + found, self.ends.partition_point(|end| *end as usize <= from + found));
            let Some(end) = self.ends.get(code).map(|end| *end as usize) else { return };
            // what reaches into the next text is in neither
            if start + wanted <= end {
                tell(code);
                from = end;
            } else {
                from = start + 1;
            }
        }
    }

    /// All texts one after the other, and where each ends: the stored form.
    pub fn parts(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * 4
    }
}

/// A text a row: a code into a dictionary. Rows without a value hold code 0.
#[derive(Debug, Clone)]
pub struct Texts {
    /// One code a row.
    pub codes: Narrow,
    /// What the codes stand for.
    pub dictionary: Arc<Dictionary>,
}

impl Texts {
    /// From codes into texts that are distinct but in any order.
    pub fn from_unsorted(codes: &[u32], texts: &[&str]) -> Self {
        let mut order: Vec<u32> = (0..texts.len() as u32).collect();
        order.sort_unstable_by_key(|i| texts[*i as usize].as_bytes());
        let mut place = vec![0u32; texts.len()];
        for (sorted, unsorted) in order.iter().enumerate() {
            place[*unsorted as usize] = sorted as u32;
        }
        let dictionary = Dictionary::from_sorted(order.iter().map(|i| texts[*i as usize]));
        let max = texts.len().saturating_sub(1) as u64;
        let codes = codes.iter().map(|c| place.get(*c as usize).map_or(0, |p| u64::from(*p)));
        Self { codes: Narrow::collect(max, codes), dictionary: Arc::new(dictionary) }
    }

    /// From codes into a sorted dictionary that more rows than these share: of its texts only those that a row has are
    /// kept. Rows that `validity` lacks hold any code.
    pub fn of_shared(dictionary: &Arc<Dictionary>, codes: &[u32], validity: Option<&Bitmap>) -> Self {
        let mut used = vec![false; dictionary.len()];
        let mut mark = |code: &u32| {
            if let Some(used) = used.get_mut(*code as usize) {
                *used = true;
            }
        };
        match validity {
            None => codes.iter().for_each(&mut mark),
            Some(bits) => bits.ones().filter_map(|row| codes.get(row)).for_each(&mut mark),
        }
        let (mut places, mut kept) = (vec![0u32; used.len()], 0u32);
        for (place, used) in places.iter_mut().zip(&used) {
            *place = kept;
            kept += u32::from(*used);
        }
        let dictionary = if kept as usize == dictionary.len() {
            Arc::clone(dictionary)
        } else {
            let texts = dictionary.iter().zip(&used).filter_map(|(text, used)| used.then_some(text));
            Arc::new(Dictionary::from_sorted(texts))
        };
        // a row without a value may hold a code whose text is gone
        let max = u64::from(kept.saturating_sub(1));
        let place = |code: &u32| places.get(*code as usize).map_or(0, |place| u64::from(*place).min(max));
        Self { codes: Narrow::collect(max, codes.iter().map(place)), dictionary }
    }

    /// The text of a row that has a value.
    #[inline]
    pub fn get(&self, row: usize) -> &str {
        self.dictionary.get(self.codes.get(row) as usize)
    }

    /// The texts of some rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        Self { codes: self.codes.take(rows), dictionary: Arc::clone(&self.dictionary) }
    }
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        self.codes == other.codes && self.dictionary == other.dictionary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_order_of_the_texts() {
        let texts = Texts::from_unsorted(&[0, 1, 2, 1], &["pear", "apple", "zebra"]);
        assert_eq!((0..4).map(|row| texts.get(row)).collect::<Vec<_>>(), ["pear", "apple", "zebra", "apple"]);
        assert_eq!(texts.dictionary.find("pear"), Some(1));
        assert_eq!(texts.dictionary.find("quince"), None);
        assert_eq!(texts.dictionary.lower_bound("quince"), 2);
    }

    #[test]
    fn of_a_shared_dictionary_only_the_texts_that_a_row_has_are_kept() {
        let (dictionary, codes) = Dictionary::sorted(&["pear", "apple", "zebra", "pear"]);
        assert_eq!(
            (dictionary.iter().collect::<Vec<_>>(), codes),
            (vec!["apple", "pear", "zebra"], vec![1, 0, 2, 1])
        );
        let dictionary = Arc::new(dictionary);
        let validity = Bitmap::from_fn(4, |row| row != 1);
        let texts = Texts::of_shared(&dictionary, &[2, 0, 1, 2], Some(&validity));
        assert_eq!(texts.dictionary.iter().collect::<Vec<_>>(), ["pear", "zebra"]);
        assert_eq!([0, 2, 3].map(|row| texts.get(row)), ["zebra", "pear", "zebra"]);
        let all = Texts::of_shared(&dictionary, &[2, 0, 1], None);
        assert!(Arc::ptr_eq(&all.dictionary, &dictionary));
        assert_eq!((all.get(0), all.get(1)), ("zebra", "apple"));
        let none = Texts::of_shared(&dictionary, &[0, 2], Some(&Bitmap::filled(2, false)));
        assert_eq!((none.dictionary.len(), none.codes.len()), (0, 2));
    }

    #[test]
    fn stored_parts_that_are_not_sorted_are_refused() {
        assert!(Dictionary::from_parts("ab".into(), vec![1, 2]).is_some());
        assert!(Dictionary::from_parts("ba".into(), vec![1, 2]).is_none());
        assert!(Dictionary::from_parts("ab".into(), vec![1]).is_none());
        assert!(Dictionary::from_parts("ü".into(), vec![1, 2]).is_none());
    }
}
