//! The tokenizer: the words of a text, exactly as SQLite FTS5's `unicode61 remove_diacritics 2` makes them, so that
//! what is searched here and what is searched in an index agree. Runs of letters, digits and private-use characters,
//! in lower case and without accents; everything else separates.
//!
//! Called by the rest of `words`, and by whoever indexes words beside FTS5. Bodies have tens of kilobytes and are
//! nearly all ASCII: a word that is ASCII and lower case already is a piece of the text itself, never copied.

use std::ops::ControlFlow;

use crate::query::words::characters::{self, Class};

/// Bytes of a folded word at most, as in FTS5: what goes beyond is no part of the word.
const WORD_BYTES: usize = 32_768;

/// Where a word is in its text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Byte {
    Separator,
    /// A digit or small letter, which folding leaves as it is.
    Folded,
    Capital,
    /// The beginning of a longer character.
    Longer,
}

/// What each byte is.
const BYTES: [Byte; 256] = {
    let mut table = [Byte::Longer; 256];
    let mut byte = 0_usize;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' | b'a'..=b'z' => Byte::Folded,
            b'A'..=b'Z' => Byte::Capital,
            _ => Byte::Separator,
        };
        byte += 1;
    }
    table
};

/// Gives each word of the text, folded, with its first byte and the byte after its last, until told to break.
pub fn for_each(text: &str, mut visit: impl FnMut(&str, usize, usize) -> ControlFlow<()>) {
    let bytes = text.as_bytes();
    let mut folded = String::new();
    let mut at = 0;
    while let Some(start) = word_start(text, at) {
        let mut end = start;
        let mut has_capitals = false;
        let mut is_ascii = true;
        while let Some(byte) = bytes.get(end) {
            match BYTES[usize::from(*byte)] {
                Byte::Folded => {}
                Byte::Capital => has_capitals = true,
                Byte::Separator => break,
                Byte::Longer => {
                    is_ascii = false;
                    break;
                }
            }
            end += 1;
        }
        let word = text.get(start..end).unwrap_or_default();
        let flow = if is_ascii && !has_capitals {
            visit(cut(word), start, end)
        } else {
            folded.clear();
            folded.push_str(word);
            folded.make_ascii_lowercase();
            if !is_ascii {
                end = fold_rest(text, end, &mut folded);
            }
            visit(cut(&folded), start, end)
        };
        if flow.is_break() {
            return;
        }
        at = end;
    }
}

/// All words of a text, folded, in its order.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for_each(text, |word, _, _| {
        words.push(word.to_owned());
        ControlFlow::Continue(())
    });
    words
}

/// A word folded: its characters without case and accents, and without those that belong to no word.
pub fn fold(word: &str) -> String {
    let mut folded = String::with_capacity(word.len());
    for_each(word, |piece, _, _| {
        folded.push_str(piece);
        ControlFlow::Continue(())
    });
    folded
}

/// The first byte, from `at` on, that begins a word.
fn word_start(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        match BYTES[usize::from(*bytes.get(at)?)] {
            Byte::Separator => at += 1,
            Byte::Folded | Byte::Capital => return Some(at),
            Byte::Longer => {
                let c = text.get(at..)?.chars().next()?;
                // a mark with nothing before it to belong to is no word
                if matches!(characters::class(c), Class::Letter(_)) {
                    return Some(at);
                }
                at += c.len_utf8();
            }
        }
    }
}

/// Folds what a word has from `at` on; gives where the word ends.
fn fold_rest(text: &str, at: usize, folded: &mut String) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    for (index, c) in rest.char_indices() {
        if c.is_ascii() {
            if !c.is_ascii_alphanumeric() {
                return at + index;
            }
            folded.push(c.to_ascii_lowercase());
            continue;
        }
        match characters::class(c) {
            Class::Letter(letter) => folded.push(letter),
            Class::Mark => {}
            Class::Separator => return at + index,
        }
    }
    text.len()
}

/// A word within the limit.
fn cut(word: &str) -> &str {
    if word.len() <= WORD_BYTES {
        return word;
    }
    word.get(..word.floor_char_boundary(WORD_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(String, Token)> {
        let mut places = Vec::new();
        for_each(text, |word, start, end| {
            places.push((word.to_owned(), Token { start, end }));
            ControlFlow::Continue(())
        });
        places
    }

    #[test]
    fn everything_but_letters_and_digits_separates() {
        assert_eq!(
            words("GET /api/v2?id=7 -> 404\n(node.js)"),
            ["get", "api", "v2", "id", "7", "404", "node", "js"]
        );
        assert_eq!(words(" \t-_.\u{0}"), [""; 0]);
        assert_eq!(words(""), [""; 0]);
    }

    #[test]
    fn words_lose_case_and_accents() {
        assert_eq!(words("Crème BRÛLÉE Straße"), ["creme", "brulee", "straße"]);
        assert_eq!(words("Ελλάς ЁЛКА"), ["ελλάσ", "ёлка"], "FTS5 takes accents from Latin letters only");
    }

    #[test]
    fn combining_marks_neither_split_nor_begin_a_word() {
        assert_eq!(words("cafe\u{301}s \u{301}x"), ["cafes", "x"]);
        assert_eq!(places("e\u{301}!"), [("e".to_owned(), Token { start: 0, end: 3 })]);
    }

    #[test]
    fn places_are_bytes_of_the_text() {
        let text = "Ün foo—Bar";
        let found = places(text);
        let pieces: Vec<&str> = found.iter().map(|(_, token)| &text[token.start..token.end]).collect();
        assert_eq!(pieces, ["Ün", "foo", "Bar"]);
    }

    #[test]
    fn the_visitor_can_stop() {
        let mut seen = 0;
        for_each("a b c", |_, _, _| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(seen, 2);
    }

    #[test]
    fn words_are_cut_at_the_limit_of_fts5() {
        let long = "ä".repeat(WORD_BYTES);
        assert_eq!(words(&long), ["a".repeat(WORD_BYTES)]);
        let long = "ж".repeat(WORD_BYTES);
        assert_eq!(words(&long), ["ж".repeat(WORD_BYTES / 2)]);
    }

    #[test]
    fn fold_is_one_word_whatever_is_between() {
        assert_eq!(fold("Ça-Va"), "cava");
    }
}
