//! Text in the columns of a terminal: how wide it is, cut, and made harmless. Tables and charts call it for whatever
//! comes from data.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands where a text was cut.
const CUT: char = '…';
/// Makes the character before it an emoji of two columns.
const EMOJI_FOLLOWS: char = '\u{fe0f}';

/// The text with control characters as escapes, and those that turn the direction of a line: a value shall not steer
/// the terminal, nor look like another.
///
/// ```
/// assert_eq!(windrow::cli::terminal::width::harmless("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
/// ```
pub fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// The same for a message, whose own lines stay lines.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Columns that a text takes: none for combining marks, two for CJK and emoji.
///
/// ```
/// use windrow::cli::terminal::width::columns;
/// assert_eq!(["day", "e\u{301}", "東京"].map(columns), [3, 1, 4]);
/// ```
pub fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The text in at most so many columns, with … where something is missing.
///
/// ```
/// use windrow::cli::terminal::width::cut;
/// assert_eq!((cut("visits", 6).as_ref(), cut("visits", 5).as_ref()), ("visits", "visi…"));
/// ```
pub fn cut(text: &str, columns_max: usize) -> Cow<'_, str> {
    if columns(text) <= columns_max {
        return Cow::Borrowed(text);
    }
    let (mut taken, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        // what is joined to one sign is counted apart, so a cut text may be narrower than it might be, never wider
        taken += if c == EMOJI_FOLLOWS { 1 } else { c.width().unwrap_or(0) };
        if taken >= columns_max {
            break;
        }
        end = at + c.len_utf8();
    }
    let kept = text.get(..end).unwrap_or_default().trim_end_matches('\u{200d}');
    Cow::Owned(kept.chars().chain((columns_max > 0).then_some(CUT)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combined_characters_are_measured_as_they_are_shown() {
        for (text, wide) in [("", 0), ("Größe", 5), ("日本", 4), ("e\u{301}", 1), ("👍", 2), ("❤\u{fe0f}", 2)]
        {
            assert_eq!(columns(text), wide, "{text}");
        }
    }

    #[test]
    fn what_is_cut_fits_and_ends_in_a_mark() {
        for (text, most, expected) in [
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("日本語", 1, "…"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("👩\u{200d}👩\u{200d}👧ab", 3, "👩…"),
            ("❤\u{fe0f}❤\u{fe0f}", 3, "❤\u{fe0f}…"),
            ("abc", 0, ""),
        ] {
            let found = cut(text, most);
            assert_eq!(found, expected);
            assert!(columns(&found) <= most, "{found}");
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(harmless("a\tb\r\n\u{9b}"), "a\\tb\\r\\n\\u{9b}");
        assert_eq!(harmless("abc\u{202e}txt.exe"), "abc\\u{202e}txt.exe");
        assert!(matches!(harmless("Größe 日本 👍"), Cow::Borrowed(_)));
    }
}
