//! Patterns made ready once and matched many times: LIKE, ILIKE and REGEXP. The vector engine holds one for each
//! literal pattern; the scalar path keeps them in its `Context`.

use memchr::memmem::Finder;
use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};

/// Bytes of a LIKE pattern at most: matching costs at worst text × pattern.
const LIKE_PATTERN_BYTES: usize = 4096;
/// Bytes of a compiled regular expression at most.
const REGEX_BYTES: usize = 1 << 20;

/// A pattern ready to be matched.
#[derive(Debug)]
pub enum Matcher {
    /// LIKE without wildcards.
    Exact(String),
    /// LIKE 'text%'.
    Prefix(String),
    /// LIKE '%text'.
    Suffix(String),
    /// LIKE '%text%'.
    Contains(Box<Finder<'static>>),
    /// LIKE with inner wildcards, and every ILIKE.
    Wildcards(Wildcards),
    /// REGEXP: a match anywhere in the text.
    Regexp(Regex),
}

/// A LIKE pattern piece by piece.
#[derive(Debug)]
pub struct Wildcards {
    pieces: Vec<Piece>,
    insensitive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    /// `%`
    Run,
    /// `_`
    One,
    /// The character itself, folded where the pattern is insensitive.
    Char(char),
}

impl Matcher {
    /// A LIKE pattern: `%` is any run of characters, `_` one, `escape` takes the next character literally.
    pub fn like(pattern: &str, escape: Option<char>, insensitive: bool) -> Result<Self> {
        if pattern.len() > LIKE_PATTERN_BYTES {
            return Err(Error::invalid(format!(
                "the LIKE pattern has {} bytes; {LIKE_PATTERN_BYTES} is the limit",
                pattern.len()
            )));
        }
        let pieces = pieces(pattern, escape, insensitive)?;
        if insensitive {
            return Ok(Self::Wildcards(Wildcards { pieces, insensitive }));
        }
        let literal = |pieces: &[Piece]| -> Option<String> {
            pieces.iter().map(|piece| if let Piece::Char(c) = piece { Some(*c) } else { None }).collect()
        };
        let simple = match pieces.as_slice() {
            [Piece::Run, inner @ .., Piece::Run] => {
                literal(inner).map(|text| Self::Contains(Box::new(Finder::new(text.as_bytes()).into_owned())))
            }
            [Piece::Run, rest @ ..] => literal(rest).map(Self::Suffix),
            [rest @ .., Piece::Run] => literal(rest).map(Self::Prefix),
            all => literal(all).map(Self::Exact),
        };
        Ok(simple.unwrap_or(Self::Wildcards(Wildcards { pieces, insensitive })))
    }

    /// A regular expression in the syntax of the `regex` crate (linear time; no look-around, no back-references).
    pub fn regexp(pattern: &str) -> Result<Self> {
        compile(pattern, "").map(Self::Regexp)
    }

    /// Whether the text matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(whole) => text == whole,
            Self::Prefix(start) => text.starts_with(start.as_str()),
            Self::Suffix(end) => text.ends_with(end.as_str()),
            Self::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Self::Wildcards(wildcards) => wildcards.matches(text),
            Self::Regexp(regex) => regex.is_match(text),
        }
    }
}

/// Compiles a regular expression; `flags` are letters of `imsg`, where `g` is the caller's matter.
pub fn compile(pattern: &str, flags: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'g' => &mut builder,
            _ => {
                return Err(Error::invalid(format!(
                    "\"{flag}\" is no flag of a regular expression; flags are g, i, m, s"
                )));
            }
        };
    }
    builder.build().map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(_) => {
                "it is too large when compiled; make its repetitions smaller".into()
            }
            other => {
                other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        };
        Error::invalid(format!("the regular expression {:?} cannot be used: {reason}", shorten(pattern)))
    })
}

/// The beginning of a text, for messages.
pub fn shorten(text: &str) -> String {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn pieces(pattern: &str, escape: Option<char>, insensitive: bool) -> Result<Vec<Piece>> {
    let mut out = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let piece = if Some(c) == escape {
            let Some(next) = chars.next() else {
                return Err(Error::invalid(format!(
                    "the LIKE pattern {:?} ends with its escape character; double it to match it",
                    shorten(pattern)
                )));
            };
            Piece::Char(if insensitive { fold(next) } else { next })
        } else {
            match c {
                '%' => Piece::Run,
                '_' => Piece::One,
                _ => Piece::Char(if insensitive { fold(c) } else { c }),
            }
        };
        // several runs in a row are one
        if piece != Piece::Run || out.last() != Some(&Piece::Run) {
            out.push(piece);
        }
    }
    Ok(out)
}

/// Lower case where that is one character, so that `_` counts the same characters before and after.
fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

impl Wildcards {
    /// Greedy: on a mismatch only the last run is made one character longer, for what earlier runs took never has to
    /// change.
    fn matches(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        let mut last_run: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            match self.pieces.get(at) {
                Some(Piece::Run) => {
                    at += 1;
                    if at == self.pieces.len() {
                        return true;
                    }
                    last_run = Some((at, rest.clone()));
                    continue;
                }
                Some(piece) => {
                    let mut ahead = rest.clone();
                    let Some(c) = ahead.next() else { return false };
                    if self.fits(*piece, c) {
                        rest = ahead;
                        at += 1;
                        continue;
                    }
                }
                None if rest.as_str().is_empty() => return true,
                None => {}
            }
            let Some((after_run, start)) = &mut last_run else { return false };
            if start.next().is_none() {
                return false;
            }
            at = *after_run;
            rest = start.clone();
        }
    }

    fn fits(&self, piece: Piece, c: char) -> bool {
        match piece {
            Piece::Char(wanted) => wanted == if self.insensitive { fold(c) } else { c },
            Piece::Run | Piece::One => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ['_', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
            [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn like_agrees_with_the_naive_matcher(pattern in "[abÄß%_]{0,8}", text in "[abÄß]{0,10}") {
            let matcher = Matcher::like(&pattern, None, false).unwrap();
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matcher.matches(&text), naive(&p, &t), "{:?} LIKE {:?}", text, pattern);
        }

        #[test]
        fn ilike_agrees_with_like_on_lower_case(pattern in "[aBÄ%_]{0,8}", text in "[AbÄä]{0,10}") {
            let insensitive = Matcher::like(&pattern, None, true).unwrap().matches(&text);
            let lower = Matcher::like(&pattern.to_lowercase(), None, false).unwrap();
            prop_assert_eq!(insensitive, lower.matches(&text.to_lowercase()));
        }
    }

    #[test]
    fn escapes_take_the_next_character_literally() {
        let matcher = Matcher::like("100!%!!%", Some('!'), false).unwrap();
        assert!(matcher.matches("100%! of it"));
        assert!(!matcher.matches("1000! of it"));
        let error = Matcher::like("a!", Some('!'), false).unwrap_err().to_string();
        assert!(error.contains("ends with its escape character"), "{error}");
    }

    #[test]
    fn a_hostile_pattern_is_quick_or_refused() {
        let pattern = "%a".repeat(1000) + "b%_";
        let matcher = Matcher::like(&pattern, None, true).unwrap();
        let start = std::time::Instant::now();
        assert!(!matcher.matches(&"a".repeat(20_000)));
        assert!(start.elapsed().as_secs() < 5);
        assert!(Matcher::like(&"%".repeat(5000), None, false).is_err());
        let error = Matcher::regexp(r"\w{1000}{1000}").unwrap_err().to_string();
        assert!(error.contains("too large"), "{error}");
        let error = Matcher::regexp("a(b").unwrap_err().to_string();
        assert_eq!(error, "the regular expression \"a(b\" cannot be used: unclosed group");
    }
}
