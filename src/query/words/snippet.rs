//! Snippets: the piece of a text that shows best why a search found it, with the wanted words marked. Called for each
//! document or event on a page of results, so it reads a text once, its beginning only, and no further than a piece
//! that has everything.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::query::words::lookup::Lookup;
use crate::query::words::tokens::{self, Token};

/// Bytes of a text that are looked at.
const TEXT_BYTES: usize = 64 * 1024;
/// Wanted words that are looked for; a search has no more.
const WANTED_MAX: usize = 64;
/// Bytes a piece has at most for each word it may have: a text without blanks has few words, and long ones.
const WORD_BYTES: usize = 16;

/// What to put around the words and the piece.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// Before a wanted word.
    pub before: &'a str,
    /// Behind it.
    pub after: &'a str,
    /// Where the text goes on.
    pub dots: &'a str,
    /// Whether the text, but not the marks, is escaped for HTML.
    pub escape: bool,
}

/// A word to mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Folded.
    pub word: String,
    /// It is the beginning of a word.
    pub is_prefix: bool,
}

/// The piece of a text, about `words_max` words, that has the most different wanted words, and these closest together,
/// with every wanted word marked. Blanks and line breaks in a row become one blank. Nothing where the first 64 KiB
/// have none of the words.
pub fn snippet(text: &str, wanted: &[Wanted], words_max: usize, marks: &Marks<'_>) -> Option<String> {
    let words_max = words_max.max(1);
    let survey = Survey::of(text, wanted, words_max);
    let window = survey.best.as_ref()?.around(&survey.words, words_max);
    Some(survey.render(text, window, words_max, marks))
}

/// Words from the first to the last, both included.
#[derive(Debug, Clone, Copy)]
struct Window {
    first: usize,
    last: usize,
}

/// What one pass over a text found out.
struct Survey {
    words: Vec<Word>,
    best: Option<Window>,
    /// The pass came to the end of the text.
    is_whole: bool,
}

struct Word {
    token: Token,
    is_wanted: bool,
}

impl Survey {
    fn of(text: &str, wanted: &[Wanted], words_max: usize) -> Self {
        let wanted = wanted.get(..WANTED_MAX).unwrap_or(wanted);
        let lookup = Lookup::new(wanted.iter().map(|wanted| (wanted.word.as_str(), wanted.is_prefix)));
        let head = text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default();
        let mut survey = Self { words: Vec::new(), best: None, is_whole: head.len() == text.len() };
        let mut search = Search::new(wanted.len(), words_max);
        let mut words_left = None;
        tokens::for_each(head, |word, start, end| {
            if end == head.len() && head.len() < text.len() {
                // it may be cut
                return ControlFlow::Break(());
            }
            if words_left == Some(0) {
                survey.is_whole = false;
                return ControlFlow::Break(());
            }
            words_left = words_left.map(|left: usize| left - 1);
            let number = survey.words.len();
            let mut is_wanted = false;
            lookup.for_each(word, |found| {
                is_wanted = true;
                search.take(Hit { number, start, end, wanted: found });
            });
            survey.words.push(Word { token: Token { start, end }, is_wanted });
            if search.has_all() && words_left.is_none() {
                // what follows can be shown, but not be better
                words_left = Some(words_max);
            }
            ControlFlow::Continue(())
        });
        survey.best = search.best.map(|(_, window)| window);
        survey
    }

    fn render(&self, text: &str, window: Window, words_max: usize, marks: &Marks<'_>) -> String {
        let words = self.words.get(window.first..=window.last).unwrap_or_default();
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return String::new() };
        let bytes_max = words_max.saturating_mul(WORD_BYTES);
        // at the ends of the text, the punctuation there belongs to the piece, unless it is as long as a piece
        let is_start = window.first == 0 && first.token.start <= bytes_max;
        let start = if is_start { 0 } else { first.token.start };
        let is_end = self.is_whole
            && window.last + 1 == self.words.len()
            && text.len() - last.token.end.min(text.len()) <= bytes_max;
        let end = if is_end { text.len() } else { last.token.end };

        let mut out = Piece { out: String::new(), escape: marks.escape, is_blank: true };
        if !is_start {
            out.out.push_str(marks.dots);
        }
        let mut at = start;
        for word in words.iter().filter(|word| word.is_wanted) {
            out.push(text.get(at..word.token.start).unwrap_or_default());
            out.out.push_str(marks.before);
            let whole = text.get(word.token.start..word.token.end).unwrap_or_default();
            let shown = whole.get(..whole.floor_char_boundary(bytes_max)).unwrap_or_default();
            out.push(shown);
            out.out.push_str(marks.after);
            if shown.len() < whole.len() {
                out.out.push_str(marks.dots);
            }
            at = word.token.end;
        }
        out.push(text.get(at..end).unwrap_or_default().trim_end());
        if !is_end {
            out.out.push_str(marks.dots);
        }
        out.out
    }
}

/// Where a wanted word is.
#[derive(Clone, Copy)]
struct Hit {
    /// Of the word in the text.
    number: usize,
    start: usize,
    end: usize,
    /// Which wanted word it is.
    wanted: usize,
}

/// The hits that are near each other, as the pass goes on, and the best there was.
struct Search {
    near: VecDeque<Hit>,
    /// How often each wanted word is among them.
    times: Vec<u32>,
    different: usize,
    words_max: usize,
    /// With how many different words.
    best: Option<(usize, Window)>,
}

impl Search {
    fn new(wanted: usize, words_max: usize) -> Self {
        Self { near: VecDeque::new(), times: vec![0; wanted], different: 0, words_max, best: None }
    }

    fn has_all(&self) -> bool {
        self.best.as_ref().is_some_and(|(different, _)| *different == self.times.len())
    }

    fn take(&mut self, hit: Hit) {
        let bytes_max = self.words_max.saturating_mul(WORD_BYTES);
        self.near.push_back(hit);
        if let Some(times) = self.times.get_mut(hit.wanted) {
            *times += 1;
            self.different += usize::from(*times == 1);
        }
        // the first hit goes when it is too far away, or when the same word comes again later
        while let Some(first) = self.near.front().copied() {
            let Some(times) = self.times.get_mut(first.wanted) else { break };
            let is_far = hit.number - first.number >= self.words_max || hit.end - first.start > bytes_max;
            if self.near.len() == 1 || !(is_far || *times > 1) {
                break;
            }
            *times -= 1;
            self.different -= usize::from(*times == 0);
            self.near.pop_front();
        }
        let Some(first) = self.near.front() else { return };
        let window = Window { first: first.number, last: hit.number };
        let is_better = self.best.is_none_or(|(different, best)| {
            self.different > different || (self.different == different && window.words() < best.words())
        });
        if is_better {
            self.best = Some((self.different, window));
        }
    }
}

impl Window {
    fn words(self) -> usize {
        self.last - self.first
    }

    /// The window with as much as there is room for of what is before and behind it, in turns.
    fn around(mut self, words: &[Word], words_max: usize) -> Self {
        let bytes_max = words_max.saturating_mul(WORD_BYTES);
        let fits = |window: Self| {
            let (Some(first), Some(last)) = (words.get(window.first), words.get(window.last)) else {
                return false;
            };
            window.words() < words_max && last.token.end.saturating_sub(first.token.start) <= bytes_max
        };
        loop {
            let before = self;
            if let Some(first) = self.first.checked_sub(1)
                && fits(Self { first, ..self })
            {
                self.first = first;
            }
            if fits(Self { last: self.last + 1, ..self }) {
                self.last += 1;
            }
            if (before.first, before.last) == (self.first, self.last) {
                return self;
            }
        }
    }
}

/// A snippet as it grows.
struct Piece {
    out: String,
    escape: bool,
    /// What was pushed last ended with a blank, or nothing was.
    is_blank: bool,
}

impl Piece {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            if c.is_whitespace() {
                if !self.is_blank {
                    self.out.push(' ');
                }
                self.is_blank = true;
                continue;
            }
            self.is_blank = false;
            match c {
                '&' if self.escape => self.out.push_str("&amp;"),
                '<' if self.escape => self.out.push_str("&lt;"),
                '>' if self.escape => self.out.push_str("&gt;"),
                '"' if self.escape => self.out.push_str("&quot;"),
                _ => self.out.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks<'static> = Marks { before: "[", after: "]", dots: "…", escape: false };

    fn wanted(words: &[&str]) -> Vec<Wanted> {
        let wanted = words.iter().map(|word| match word.strip_suffix('*') {
            Some(start) => Wanted { word: start.to_owned(), is_prefix: true },
            None => Wanted { word: (*word).to_owned(), is_prefix: false },
        });
        wanted.collect()
    }

    fn shown(text: &str, words: &[&str], words_max: usize) -> Option<String> {
        snippet(text, &wanted(words), words_max, &MARKS)
    }

    #[test]
    fn a_short_text_is_shown_whole_with_every_wanted_word_marked() {
        let text = "  «The Disk»\n\tis full; disks,\r\n DÍSK!  ";
        assert_eq!(
            shown(text, &["disk", "fu*"], 24).as_deref(),
            Some("«The [Disk]» is [full]; disks, [DÍSK]!")
        );
        assert_eq!(shown(text, &["empty"], 24), None);
        assert_eq!(shown(text, &[], 24), None);
        assert_eq!(shown("", &["a"], 24), None);
    }

    #[test]
    fn a_long_text_is_cut_around_the_words() {
        let text = "one two three four five six seven eight nine";
        assert_eq!(shown(text, &["five"], 5).as_deref(), Some("…three four [five] six seven…"));
        assert_eq!(shown(text, &["one"], 3).as_deref(), Some("[one] two three…"));
        assert_eq!(shown(text, &["nine"], 3).as_deref(), Some("…seven eight [nine]"));
        assert_eq!(shown(text, &["five"], 0).as_deref(), Some("…[five]…"));
    }

    #[test]
    fn most_different_words_win_then_the_closest_then_the_first() {
        let text = "a x x x x a x b x x x x a b x x x x a b c x x x x a b";
        assert_eq!(shown(text, &["a", "b", "c"], 3).as_deref(), Some("…[a] [b] [c]…"));
        assert_eq!(shown(text, &["a", "b", "z"], 4).as_deref(), Some("…x [a] [b] x…"));
        assert_eq!(shown("a x x x a x x x a", &["a", "z"], 2).as_deref(), Some("[a] x…"));
    }

    #[test]
    fn text_is_escaped_and_marks_are_not() {
        let marks = Marks { before: "<mark>", after: "</mark>", dots: "&hellip;", escape: true };
        let found = snippet("<b>\"R&D\" x</b> y z", &wanted(&["d"]), 4, &marks);
        assert_eq!(found.as_deref(), Some("&lt;b&gt;&quot;R&amp;<mark>D</mark>&quot; x&hellip;"));
    }

    #[test]
    fn only_the_beginning_of_a_text_is_read() {
        let far = format!("{} needle", "x ".repeat(TEXT_BYTES / 2));
        assert_eq!(shown(&far, &["needle"], 24), None);
        let cut = format!("{}needles", " ".repeat(TEXT_BYTES - 6));
        assert_eq!(shown(&cut, &["needle"], 24), None, "a word that the limit cuts is not read");
    }

    #[test]
    fn a_piece_is_limited_in_bytes() {
        let blob = "q".repeat(50_000);
        let text = format!("{blob} needle {blob}");
        assert_eq!(shown(&text, &["needle"], 24).as_deref(), Some("…[needle]…"));
        let found = shown(&blob, &["q*"], 4).expect("the prefix is there");
        assert_eq!(found, format!("[{}]…", "q".repeat(4 * WORD_BYTES)));
        let text = format!("{} needle", "-".repeat(50_000));
        assert_eq!(shown(&text, &["needle"], 24).as_deref(), Some("…[needle]"));
    }

    proptest::proptest! {
        #[test]
        fn without_marks_a_snippet_is_a_piece_of_the_text(text in "[ab \u{e9}.<\n]{0,60}", words_max in 0_usize..6) {
            let marks = Marks { before: "", after: "", dots: "", escape: false };
            let blanks = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Some(piece) = snippet(&text, &wanted(&["a", "b*", "ab"]), words_max, &marks) {
                proptest::prop_assert!(blanks.contains(&piece), "{piece:?} of {blanks:?}");
                proptest::prop_assert!(tokens::words(&piece).len() <= words_max.max(1));
            }
        }
    }
}
