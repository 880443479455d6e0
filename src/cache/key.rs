//! The names of what is kept, and ways to name many of them: by tag, by pattern, all.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// What something is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Tells it from all others.
    pub hash: u128,
    /// Its name for people and patterns, parts with colons between: the first is what sort of thing it is.
    pub name: Arc<str>,
    /// What it is about: `dataset:visits`, `user:42`.
    pub tags: Arc<[Arc<str>]>,
    stays: Stays,
}

/// How long what a key names is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// As long as the data stay as they are.
    Unchanged,
    /// For ever.
    Lasting,
    /// No longer than the process.
    Process,
}

impl Key {
    /// A key by its full name.
    ///
    /// ```
    /// use windrow::cache::key::Key;
    ///
    /// let key = Key::named("search:pages:42", ["dataset:pages", "user:42"]);
    /// assert_ne!(key.hash, Key::named("search:pages:43", ["dataset:pages"]).hash);
    /// ```
    pub fn named<'a>(name: &str, tags: impl IntoIterator<Item = &'a str>) -> Self {
        let tags = tags.into_iter().map(Arc::from).collect();
        Self { hash: xxh3_128(name.as_bytes()), name: name.into(), tags, stays: Stays::Unchanged }
    }

    /// The key of what a long text asks of datasets. `row_filter` is the condition that the one who asks is bound to: what
    /// is kept for him is kept for nobody who is bound to another.
    pub fn of_text(sort: &str, datasets: &[&str], text: &str, row_filter: Option<&str>) -> Self {
        // lengths keep one part from reaching into the next
        let bound = row_filter.map_or("-".to_owned(), |filter| format!("{}:{filter}", filter.len()));
        let whole = format!("{sort}\0{}\0{bound}\0{text}", datasets.join(","));
        let hash = xxh3_128(whole.as_bytes());
        let name = format!("{sort}:{}:{hash:032x}", datasets.join(","));
        let tags = datasets.iter().map(|dataset| format!("dataset:{dataset}").into()).collect();
        Self { hash, name: name.into(), tags, stays: Stays::Unchanged }
    }

    /// The same, of what never changes: it goes to the file at once.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        self.stays = Stays::Lasting;
        self
    }

    /// Whether what it names never changes.
    pub fn is_lasting(&self) -> bool {
        self.stays == Stays::Lasting
    }

    /// The same, of what means nothing to another process: it never goes to the file.
    #[must_use]
    pub fn of_process(mut self) -> Self {
        self.stays = Stays::Process;
        self
    }

    /// Whether what it names means nothing to another process.
    pub fn is_of_process(&self) -> bool {
        self.stays == Stays::Process
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.tags.iter().map(|tag| tag.len() + 32).sum::<usize>()
    }
}

/// Names some of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All of it.
    All,
    /// What has a tag: `dataset:visits`, `user:42`.
    Tag(String),
    /// What has a name of this pattern: `*` stands for anything, `search:*:42`.
    Pattern(String),
}

impl Selector {
    /// Whether it names an entry.
    pub fn takes(&self, name: &str, tags: &[Arc<str>]) -> bool {
        match self {
            Self::All => true,
            Self::Tag(wanted) => tags.iter().any(|tag| **tag == **wanted),
            Self::Pattern(pattern) => matches(pattern, name),
        }
    }
}

/// Whether a text is of a pattern in which `*` stands for anything. Linear in the text for each star: the leftmost place
/// of each piece leaves the most room for those after it.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, wanted) in [
            ("search:*:42", "search:pages:42", true),
            ("search:*:42", "search:a:b:42", true),
            ("search:*:42", "search:pages:421", false),
            ("search:*", "search:", true),
            ("search:*", "searches", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*a", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("**", "x", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_row_filter_is_part_of_the_key() {
        let of = |filter| Key::of_text("answer", &["visits"], "count()", filter).hash;
        assert_ne!(of(None), of(Some("tenant = 1")));
        assert_ne!(of(Some("tenant = 1")), of(Some("tenant = 2")));
        assert_ne!(of(Some("")), of(None));
        // a filter cannot pass for a part of the text
        let joined = |filter, text| Key::of_text("answer", &["visits"], text, Some(filter)).hash;
        assert_ne!(joined("a", "b\0c"), joined("a\0b", "c"));
    }

    #[test]
    fn tags_and_names_select() {
        let key = Key::of_text("answer", &["visits", "users"], "count()", None);
        let takes = |selector: Selector| selector.takes(&key.name, &key.tags);
        assert!(takes(Selector::All) && takes(Selector::Tag("dataset:users".into())));
        assert!(takes(Selector::Pattern("answer:*".into())));
        assert!(
            !takes(Selector::Tag("dataset:visit".into())) && !takes(Selector::Pattern("search:*".into()))
        );
    }
}
