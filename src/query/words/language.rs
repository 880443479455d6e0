//! The search language: what people type, read into a tree. Words, which all have to be there; `"a phrase"`; `pre*`;
//! `AND`, `OR`, `NOT` in capitals; `-word`; parentheses; `field:word`, `field:"a phrase"`, `field:(…)`. NOT binds
//! tightest, then AND, said or unsaid, then OR. A word with punctuation in it (`node.js`, `CVE-2021-44228`) is a
//! phrase of its words, and what has no word in it (`++`) is left out.
//!
//! Reading never fails: a search with a mistake in it is read as plain words, with a note that says what is wrong and
//! where. Called by whatever takes a search from a client; the tree goes to SQLite by [`Node::to_fts5`], or to
//! `matching`.

use std::ops::ControlFlow;

use crate::query::words::lexemes::{self, Kind, Lexeme, Lexemes, TEXT_BYTES, WORDS_MAX};
pub use crate::query::words::node::Node;
use crate::query::words::node::{all, one_of};
use crate::query::words::tokens;

/// Parentheses within each other at most. FTS5's parser has a stack of 100 entries, of which a level takes four.
const NESTING_MAX: usize = 16;

/// A search that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What to look for; nothing where the text has no word.
    pub node: Option<Node>,
    /// What was wrong with the text and how it was read instead, for whoever typed it.
    pub note: Option<String>,
}

/// Reads a search. `fields` are the names that mean a field before a colon, in any case; other colons are
/// punctuation.
pub fn read(text: &str, fields: &[&str]) -> Reading {
    let Lexemes { text, list, open_quote, is_cut } = lexemes::read(text, fields);
    let parsed = match open_quote {
        Some(start) => Err(Mistake { start, what: "the quote", why: "is not closed" }),
        None => Parser { lexemes: &list, at: 0, depth: 0 }.search(),
    };
    let (node, mut notes) = match parsed {
        Ok(node) => (node, Vec::new()),
        Err(mistake) => (plain(text, list), vec![mistake.note(text)]),
    };
    if is_cut {
        notes.push(format!(
            "the search is longer than {WORDS_MAX} words or {TEXT_BYTES} bytes; what follows was left out"
        ));
    }
    Reading { node, note: if notes.is_empty() { None } else { Some(notes.join("; ")) } }
}

/// Every word and phrase that is whole, without regard to operators and parentheses.
fn plain(text: &str, list: Vec<Lexeme>) -> Option<Node> {
    let mut nodes = Vec::new();
    let mut field = None;
    for lexeme in list {
        field = match lexeme.kind {
            Kind::Field(name) => Some(name),
            Kind::Words { words, is_prefix } => {
                nodes.extend(words_node(field, words, is_prefix));
                None
            }
            _ => None,
        };
    }
    if nodes.is_empty() {
        // operators and fields' names alone: then these are the words
        tokens::for_each(text, |word, _, _| {
            nodes.extend(words_node(None, vec![word.to_owned()], false));
            if nodes.len() < WORDS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }
    all(nodes)
}

fn words_node(field: Option<String>, words: Vec<String>, is_prefix: bool) -> Option<Node> {
    if words.is_empty() { None } else { Some(Node::Words { field, words, is_prefix }) }
}

/// Why a search cannot be read as it is.
struct Mistake {
    start: usize,
    what: &'static str,
    why: &'static str,
}

impl Mistake {
    fn note(&self, text: &str) -> String {
        let position = text.get(..self.start).unwrap_or_default().chars().count() + 1;
        let Self { why, .. } = self;
        let is_dash = text.get(self.start..).is_some_and(|rest| rest.starts_with('-'));
        let what = if is_dash { "the \"-\"" } else { self.what };
        format!("{what} at character {position} {why}; the search was read as plain words")
    }
}

/// What a part of a search gave: nothing where it has no word.
type Parsed = Result<Option<Node>, Mistake>;

struct Parser<'a> {
    lexemes: &'a [Lexeme],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn search(mut self) -> Parsed {
        let node = self.alternatives(None)?;
        match self.peek() {
            // only a parenthesis ends alternatives before the text does
            Some(lexeme) => Err(mistake(lexeme, "closes nothing")),
            None => Ok(node),
        }
    }

    fn peek(&self) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at)
    }

    fn is_at_item(&self) -> bool {
        let kind = self.peek().map(|lexeme| &lexeme.kind);
        matches!(kind, Some(Kind::Words { .. } | Kind::Field(_) | Kind::Open | Kind::Not))
    }

    /// What OR stands between.
    fn alternatives(&mut self, field: Option<&str>) -> Parsed {
        let mut nodes = Vec::new();
        if self.is_at_item() {
            nodes.extend(self.together(field)?);
        }
        while let Some(lexeme) = self.peek() {
            match lexeme.kind {
                Kind::Close => break,
                _ if self.at == 0 || self.is_after_open() => {
                    return Err(mistake(lexeme, "has nothing before it"));
                }
                _ => self.at += 1,
            }
            if !self.is_at_item() {
                return Err(mistake(lexeme, "has nothing after it"));
            }
            nodes.extend(self.together(field)?);
        }
        Ok(one_of(nodes))
    }

    fn is_after_open(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.lexemes.get(at));
        before.is_some_and(|lexeme| lexeme.kind == Kind::Open)
    }

    /// What AND stands between, or nothing; from all of it, what NOT stands before is taken away.
    fn together(&mut self, field: Option<&str>) -> Parsed {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        let mut first_not = None;
        while let Some(lexeme) = self.peek() {
            if lexeme.kind == Kind::And {
                self.at += 1;
                if !self.is_at_item() {
                    return Err(mistake(lexeme, "has nothing after it"));
                }
            } else if !self.is_at_item() {
                break;
            }
            let (not, node) = self.item(field)?;
            first_not = first_not.or(not);
            if not.is_some() { unwanted.extend(node) } else { wanted.extend(node) }
        }
        match (all(wanted), one_of(unwanted), first_not) {
            (Some(wanted), Some(unwanted), _) => Ok(Some(Node::Not(Box::new(wanted), Box::new(unwanted)))),
            (None, Some(_), Some(not)) => Err(mistake(not, "has nothing to take away from")),
            (wanted, _, _) => Ok(wanted),
        }
    }

    /// A word, a phrase or a parenthesis, with the NOT before it.
    fn item(&mut self, outer_field: Option<&str>) -> Result<(Option<&'a Lexeme>, Option<Node>), Mistake> {
        let mut field = outer_field;
        let mut not = None;
        let mut before: Option<&'a Lexeme> = None;
        loop {
            let Some(lexeme) = self.peek() else {
                return Err(before.map_or(NO_ITEM, |before| mistake(before, "has nothing after it")));
            };
            match &lexeme.kind {
                Kind::Not if not.is_none() => not = Some(lexeme),
                // of a field within a field the inner one holds
                Kind::Field(name) => field = Some(name),
                Kind::Words { words, is_prefix } => {
                    self.at += 1;
                    return Ok((not, words_node(field.map(str::to_owned), words.clone(), *is_prefix)));
                }
                Kind::Open => return Ok((not, self.parenthesis(lexeme, field)?)),
                Kind::Not | Kind::Close | Kind::And | Kind::Or => {
                    return Err(mistake(before.unwrap_or(lexeme), "has nothing after it"));
                }
            }
            before = Some(lexeme);
            self.at += 1;
        }
    }

    fn parenthesis(&mut self, open: &Lexeme, field: Option<&str>) -> Parsed {
        if self.depth == NESTING_MAX {
            return Err(mistake(open, "is nested too deeply"));
        }
        self.depth += 1;
        self.at += 1;
        let node = self.alternatives(field)?;
        if self.peek().is_none() {
            return Err(mistake(open, "is not closed"));
        }
        self.at += 1;
        self.depth -= 1;
        Ok(node)
    }
}

/// For a place the parser does not come to: it asks for an item only where one begins.
const NO_ITEM: Mistake = Mistake { start: 0, what: "the search", why: "has nothing to look for" };

fn mistake(lexeme: &Lexeme, why: &'static str) -> Mistake {
    let what = match lexeme.kind {
        Kind::Open | Kind::Close => "the parenthesis",
        Kind::And => "AND",
        Kind::Or => "OR",
        Kind::Not => "NOT",
        Kind::Field(_) => "the field",
        Kind::Words { .. } => "the word",
    };
    Mistake { start: lexeme.start, what, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reading {
        super::read(text, &["title", "body", "error.message"])
    }

    /// The expression for FTS5 of a text that has no mistake.
    fn expression(text: &str) -> String {
        let reading = read(text);
        assert_eq!(reading.note, None, "{text}");
        reading.node.map_or_else(String::new, |node| node.to_fts5())
    }

    /// The expression and the note of a text that has one.
    fn mistaken(text: &str) -> (String, String) {
        let reading = read(text);
        (reading.node.map_or_else(String::new, |node| node.to_fts5()), reading.note.expect(text))
    }

    #[test]
    fn words_all_have_to_be_there() {
        assert_eq!(expression("Disk FULL"), r#""disk" AND "full""#);
        assert_eq!(expression("disk AND full"), r#""disk" AND "full""#);
        assert_eq!(expression("disk"), r#""disk""#);
    }

    #[test]
    fn quotes_make_a_phrase_and_a_star_a_prefix() {
        assert_eq!(expression(r#""disk is full" err*"#), r#""disk is full" AND "err" *"#);
        assert_eq!(expression(r#""disk"* err *"#), r#""disk" AND "err""#, "only directly behind a bare word");
        assert_eq!(expression(r#""AND" and"#), r#""and" AND "and""#);
    }

    #[test]
    fn punctuation_within_a_word_makes_a_phrase() {
        assert_eq!(expression("node.js AC-3"), r#""node js" AND "ac 3""#);
        assert_eq!(expression("CVE-2021-44228"), r#""cve 2021 44228""#);
        assert_eq!(expression("c++"), r#""c""#);
        assert_eq!(expression("std::vec*"), r#""std vec" *"#);
    }

    #[test]
    fn what_has_no_word_is_left_out() {
        for text in ["", "  ", "++", "- -- ->", "()", "\"\"", "\"...\" (+)"] {
            assert_eq!(read(text), Reading { node: None, note: None }, "{text}");
        }
        assert_eq!(expression("++ AND disk OR ()"), r#""disk""#);
        assert_eq!(expression("disk NOT ++"), r#""disk""#);
    }

    #[test]
    fn not_binds_tightest_then_and_then_or() {
        assert_eq!(expression("a OR b c"), r#"("b" AND "c") OR "a""#);
        assert_eq!(expression("a b NOT c"), r#"("a" AND "b") NOT "c""#);
        assert_eq!(expression("a NOT b OR c"), r#"("a" NOT "b") OR "c""#);
        assert_eq!(expression("a (b OR c)"), r#"("b" OR "c") AND "a""#);
    }

    #[test]
    fn a_dash_before_a_word_means_not() {
        assert_eq!(expression("disk -full"), r#""disk" NOT "full""#);
        assert_eq!(expression("-full disk -title:\"a b\""), r#""disk" NOT ("full" OR {"title"} : "a b")"#);
        assert_eq!(expression("disk -(full OR slow)"), r#""disk" NOT ("full" OR "slow")"#);
        assert_eq!(expression("disk AND NOT full"), r#""disk" NOT "full""#);
        assert_eq!(expression("cargo --release a - b"), r#""cargo" AND "release" AND "a" AND "b""#);
    }

    #[test]
    fn a_colon_means_a_field_only_behind_the_name_of_one() {
        assert_eq!(expression("Title:disk"), r#"{"title"} : "disk""#);
        assert_eq!(expression("error.message:\"disk full\""), r#"{"error.message"} : "disk full""#);
        assert_eq!(expression("title:(a OR b*) c"), r#"({"title"} : "a" OR {"title"} : "b" *) AND "c""#);
        assert_eq!(expression("title: a body:-b"), r#"{"title"} : "a" NOT {"body"} : "b""#);
        assert_eq!(expression("node:fs https://a.b"), r#""node fs" AND "https a b""#);
        assert_eq!(
            expression("title:(a body:b)"),
            r#"{"title"} : "a" AND {"body"} : "b""#,
            "the inner one holds"
        );
    }

    #[test]
    fn mistakes_are_read_as_plain_words_with_a_note() {
        let cases = [
            ("say \"disk full", r#""say" AND "disk" AND "full""#, "the quote at character 5 is not closed"),
            ("(disk full", r#""disk" AND "full""#, "the parenthesis at character 1 is not closed"),
            ("ä disk) full", r#""a" AND "disk" AND "full""#, "the parenthesis at character 7 closes nothing"),
            ("disk AND", r#""disk""#, "AND at character 6 has nothing after it"),
            ("AND disk", r#""disk""#, "AND at character 1 has nothing before it"),
            ("a (OR disk)", r#""a" AND "disk""#, "OR at character 4 has nothing before it"),
            ("a OR OR b", r#""a" AND "b""#, "OR at character 3 has nothing after it"),
            ("a AND OR b", r#""a" AND "b""#, "AND at character 3 has nothing after it"),
            ("NOT disk", r#""disk""#, "NOT at character 1 has nothing to take away from"),
            ("a OR -disk", r#""a" AND "disk""#, "the \"-\" at character 6 has nothing to take away from"),
            ("a NOT NOT b", r#""a" AND "b""#, "NOT at character 3 has nothing after it"),
            ("a NOT", r#""a""#, "NOT at character 3 has nothing after it"),
            ("NOT", r#""not""#, "NOT at character 1 has nothing after it"),
            ("a title:", r#""a""#, "the field at character 3 has nothing after it"),
            ("title:b (a", r#"{"title"} : "b" AND "a""#, "the parenthesis at character 9 is not closed"),
        ];
        for (text, expression, note) in cases {
            let expected = (expression.to_owned(), format!("{note}; the search was read as plain words"));
            assert_eq!(mistaken(text), expected, "{text}");
        }
    }

    #[test]
    fn a_search_is_limited_in_depth_and_length() {
        let nested = |levels: usize| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
        assert_eq!(expression(&nested(NESTING_MAX)), r#""a""#);
        let (found, note) = mistaken(&nested(100_000));
        assert_eq!(found, "", "what is beyond the limit of bytes is left out");
        assert!(note.contains("character 17 is nested too deeply"), "{note}");
        let (found, note) = mistaken(&"a ".repeat(WORDS_MAX + 1));
        assert_eq!(found.matches("\"a\"").count(), WORDS_MAX);
        assert!(note.starts_with("the search is longer than 64 words"), "{note}");
        let (found, _) = mistaken(&format!("{}z*", "a-".repeat(WORDS_MAX)));
        assert_eq!(
            found,
            format!("\"{}\"", vec!["a"; WORDS_MAX].join(" ")),
            "a phrase that is cut is no prefix"
        );
    }

    #[test]
    fn a_place_that_asks_for_an_item_has_one() {
        let alphabet = ["a", "AND", "OR", "NOT", "-b", "(", ")", "title:", "++"];
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts.iter().flat_map(|text| alphabet.map(|piece| format!("{text} {piece}"))).collect();
            for text in &texts {
                let note = read(text).note.unwrap_or_default();
                assert!(!note.contains(NO_ITEM.why), "{text}");
            }
        }
    }
}
