//! A few wanted words, asked for each word of a text: nearly every answer is no, after a look at the first byte.
//! Called by `matching` and `snippet`.

/// Wanted words, numbered in the order they were given.
#[derive(Debug)]
pub struct Lookup {
    /// Sorted by the first byte.
    entries: Vec<Entry>,
    /// For each first byte, the entries that begin with it.
    by_first: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Entry {
    word: String,
    is_prefix: bool,
    number: usize,
}

impl Lookup {
    /// Takes folded words, each with whether it is the beginning of one. Empty ones are never found.
    pub fn new<'a>(words: impl Iterator<Item = (&'a str, bool)>) -> Self {
        let mut entries: Vec<Entry> = words
            .enumerate()
            .map(|(number, (word, is_prefix))| Entry { word: word.to_owned(), is_prefix, number })
            .collect();
        entries.sort_by_key(|entry| entry.word.as_bytes().first().copied());
        let by_first = (0..=u8::MAX).map(|byte| {
            let start = entries.partition_point(|entry| entry.word.as_bytes().first().copied() < Some(byte));
            let end = entries.partition_point(|entry| entry.word.as_bytes().first().copied() <= Some(byte));
            (start, end)
        });
        Self { by_first: by_first.collect(), entries }
    }

    /// Gives the number of every wanted word that this word is.
    pub fn for_each(&self, word: &str, mut visit: impl FnMut(usize)) {
        let Some(first) = word.as_bytes().first() else { return };
        let Some((start, end)) = self.by_first.get(usize::from(*first)) else { return };
        for entry in self.entries.get(*start..*end).unwrap_or_default() {
            let is_it = if entry.is_prefix { word.starts_with(&entry.word) } else { word == entry.word };
            if is_it {
                visit(entry.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_itself_and_what_it_begins_with() {
        let lookup = Lookup::new(
            [("foo", false), ("fo", true), ("", true), ("bar", false), ("foo", false)].into_iter(),
        );
        let numbers = |word: &str| {
            let mut numbers = Vec::new();
            lookup.for_each(word, |number| numbers.push(number));
            numbers
        };
        assert_eq!(numbers("foo"), [0, 1, 4]);
        assert_eq!(numbers("fort"), [1]);
        assert_eq!(numbers("bar"), [3]);
        assert_eq!(numbers("bart"), [0; 0]);
        assert_eq!(numbers(""), [0; 0]);
    }
}
