//! The first stage of the search language: a text cut into words, phrases, operators and parentheses, each with its
//! place. Nothing is a mistake here but a quote that is never closed, and even that leaves lexemes to go on with.
//! Called by `language`, which makes a tree of them.

use std::ops::ControlFlow;

use crate::query::words::tokens;

/// Words of a search at most; what follows is left out.
pub const WORDS_MAX: usize = 64;
/// Bytes of a search at most; what follows is left out.
pub const TEXT_BYTES: usize = 16_384;

/// A piece of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Lexeme {
    /// What it is.
    pub kind: Kind,
    /// Its first byte in the text.
    pub start: usize,
}

/// What a piece of a search is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `NOT`, or `-` before a word, a phrase or a parenthesis.
    Not,
    /// `name:` with the name of a search field, as the list of fields writes it.
    Field(String),
    /// A word, a phrase, or something without any word in it.
    Words {
        /// Folded; several are a phrase.
        words: Vec<String>,
        /// The last of them is the beginning of a word.
        is_prefix: bool,
    },
}

/// All pieces of a search.
#[derive(Debug, Default)]
pub struct Lexemes<'a> {
    /// The text as far as it was read.
    pub text: &'a str,
    /// In the order of the text.
    pub list: Vec<Lexeme>,
    /// The first byte of the quote that is not closed; what follows it was read as words.
    pub open_quote: Option<usize>,
    /// The text was longer than a search may be.
    pub is_cut: bool,
}

/// Cuts a text into pieces.
pub fn read<'a>(text: &'a str, fields: &[&str]) -> Lexemes<'a> {
    let within = text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default();
    let found = Lexemes { text: within, is_cut: within.len() < text.len(), ..Lexemes::default() };
    let mut lexer = Lexer { at: 0, is_fresh: true, words_left: WORDS_MAX, found };
    while let Some(c) = lexer.rest().chars().next() {
        match c {
            '(' => lexer.push(Kind::Open, 1),
            ')' => lexer.push(Kind::Close, 1),
            '"' => lexer.phrase(),
            '-' if lexer.is_negation() => lexer.push(Kind::Not, 1),
            c if c.is_whitespace() => {
                lexer.at += c.len_utf8();
                lexer.is_fresh = true;
                continue;
            }
            _ => lexer.bare(fields),
        }
        // a dash behind a word or a phrase is part of a name, as in AC-3
        let last = lexer.found.list.last().map(|lexeme| &lexeme.kind);
        lexer.is_fresh = matches!(last, Some(Kind::Open | Kind::Field(_)));
    }
    lexer.found
}

struct Lexer<'a> {
    at: usize,
    /// At a place where a dash can mean NOT.
    is_fresh: bool,
    words_left: usize,
    found: Lexemes<'a>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.found.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind, bytes: usize) {
        self.found.list.push(Lexeme { kind, start: self.at });
        self.at += bytes;
    }

    /// Whether the dash here means NOT: `-word`, but not `--flag`, `->` or a dash alone.
    fn is_negation(&self) -> bool {
        let after = self.rest().get(1..).unwrap_or_default();
        self.is_fresh
            && match after.chars().next() {
                None | Some('-') => false,
                Some('"' | '(') => true,
                Some(_) => has_words(chunk(after)),
            }
    }

    fn phrase(&mut self) {
        let inner = self.rest().get(1..).unwrap_or_default();
        let Some(bytes) = inner.find('"') else {
            self.found.open_quote.get_or_insert(self.at);
            self.at += 1;
            return;
        };
        let (words, _) = self.words(inner.get(..bytes).unwrap_or_default());
        self.push(Kind::Words { words, is_prefix: false }, bytes + 2);
    }

    /// What is neither quoted nor a parenthesis: an operator, a field's name, or words.
    fn bare(&mut self, fields: &[&str]) {
        let chunk = chunk(self.rest());
        match chunk {
            "AND" => return self.push(Kind::And, chunk.len()),
            "OR" => return self.push(Kind::Or, chunk.len()),
            "NOT" => return self.push(Kind::Not, chunk.len()),
            _ => {}
        }
        if let Some((name, _)) = chunk.split_once(':')
            && let Some(field) = fields.iter().find(|field| field.to_lowercase() == name.to_lowercase())
        {
            return self.push(Kind::Field((*field).to_owned()), name.len() + 1);
        }
        let (words, end) = self.words(chunk);
        let is_prefix = end.is_some_and(|end| chunk.get(end..).is_some_and(|after| after.starts_with('*')));
        self.push(Kind::Words { words, is_prefix }, chunk.len());
    }

    /// The words of a piece, as far as a search may have more of them, with the end of the last where none was left
    /// out.
    fn words(&mut self, piece: &str) -> (Vec<String>, Option<usize>) {
        let (mut words, mut last_end) = (Vec::new(), None);
        tokens::for_each(piece, |word, _, end| {
            let Some(left) = self.words_left.checked_sub(1) else {
                self.found.is_cut = true;
                last_end = None;
                return ControlFlow::Break(());
            };
            self.words_left = left;
            words.push(word.to_owned());
            last_end = Some(end);
            ControlFlow::Continue(())
        });
        (words, last_end)
    }
}

/// The beginning of a text up to a blank, a quote or a parenthesis.
fn chunk(text: &str) -> &str {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '(' | ')')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn has_words(piece: &str) -> bool {
    let mut has = false;
    tokens::for_each(piece, |_, _, _| {
        has = true;
        ControlFlow::Break(())
    });
    has
}
