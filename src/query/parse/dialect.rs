//! The SQL that is read: a dialect of sqlparser's, tokens with their places, and the limits that keep hostile text
//! from costing more than its length. Called by the other files of `parse`.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, DuckDbDialect};
use sqlparser::keywords::{Keyword, RESERVED_FOR_IDENTIFIER};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use crate::error::{Error, Result};

/// Bytes of one SQL text at most. A token costs about a hundred bytes while it is read.
pub const TEXT_BYTES: usize = 256 << 10;
/// How deep parentheses may nest.
const NESTING: usize = 64;
/// How deep SELECTs may stand in parentheses: each takes more of the stack than an expression does, here, in the parser and in
/// SQLite.
const SELECT_NESTING: usize = 24;
/// The parser's own count of levels: a parenthesis and an operator before it are two or three of them.
const PARSER_LEVELS: usize = 200;
/// Words and operators that may follow each other between commas, those of nested parts included. The tree can be
/// no deeper, so this is what protects the stack.
const CHAIN: usize = 5_000;

/// SQL as Windrow reads it: DuckDB's operators, without what else DuckDB has.
#[derive(Debug)]
pub struct WindrowDialect;

impl Dialect for WindrowDialect {
    // the tokenizer knows `//` in DuckDB's dialect only
    fn dialect(&self) -> TypeId {
        TypeId::of::<DuckDbDialect>()
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }

    // else a CASE with a mistake in it is taken for a field, and the error is about what follows
    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        RESERVED_FOR_IDENTIFIER.contains(&word) || matches!(word, Keyword::CASE | Keyword::CAST)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_in_empty_list(&self) -> bool {
        true
    }

    fn supports_dollar_placeholder(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
}

/// A text in tokens, whitespace and comments left out.
pub struct Text<'a> {
    /// The text.
    pub source: &'a str,
    /// What is read: "the expression", "the SQL".
    pub what: &'static str,
    /// Its tokens with their places.
    pub tokens: Vec<TokenWithSpan>,
    line_starts: Vec<usize>,
}

impl<'a> Text<'a> {
    /// Splits a text into tokens and holds it to the limits.
    pub fn read(source: &'a str, what: &'static str) -> Result<Self> {
        if source.len() > TEXT_BYTES {
            return Err(Error::invalid(format!(
                "{what} has {} bytes; {TEXT_BYTES} is the limit, so filter by fewer values at once",
                source.len()
            )));
        }
        let line_starts =
            std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut text = Self { source, what, tokens: Vec::new(), line_starts };
        let tokens = Tokenizer::new(&WindrowDialect, source)
            .tokenize_with_location()
            .map_err(|error| text.error(Some(error.location), &error.message))?;
        text.tokens =
            tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_) | Token::EOF)).collect();
        if text.tokens.is_empty() {
            return Err(Error::invalid(format!("{what} is empty")));
        }
        text.check_chains()?;
        text.free_any();
        Ok(text)
    }

    /// `any(x)` is an aggregate also where the grammar has `= ANY (SELECT ..)`.
    fn free_any(&mut self) {
        let begins_query = |token: &Token| matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH));
        let calls: Vec<usize> = (2..self.tokens.len())
            .filter(|at| self.tokens[at - 1].token == Token::LParen && !begins_query(&self.tokens[*at].token))
            .collect();
        for at in calls {
            if let Token::Word(word) = &mut self.tokens[at - 2].token
                && word.keyword == Keyword::ANY
            {
                word.keyword = Keyword::NoKeyword;
            }
        }
    }

    /// A parser over the tokens.
    pub fn parser(&self) -> Parser<'static> {
        Parser::new(&WindrowDialect)
            .with_recursion_limit(PARSER_LEVELS)
            .with_tokens_with_locations(self.tokens.clone())
    }

    /// The text from one token up to another, that one left out.
    pub fn slice(&self, from: usize, to: usize) -> &'a str {
        let start = self.tokens.get(from).map(|t| self.offset(t.span.start));
        let end = to.checked_sub(1).and_then(|last| self.tokens.get(last)).map(|t| self.offset(t.span.end));
        match (start, end) {
            (Some(start), Some(end)) => self.source.get(start..end).unwrap_or_default().trim(),
            _ => "",
        }
    }

    /// An error about a place in the text; without a place it is the end.
    pub fn error(&self, at: Option<Location>, message: &str) -> Error {
        let end = || {
            let line = self.line_starts.len();
            let last =
                self.line_starts.last().and_then(|start| self.source.get(*start..)).unwrap_or_default();
            Location { line: line as u64, column: last.chars().count() as u64 + 1 }
        };
        let at = at.filter(|location| location.line > 0).unwrap_or_else(end);
        Error::invalid(format!("cannot read {} at {}: {message}", self.what, self.place(at)))
    }

    /// The error of the parser, in our words.
    pub fn parser_error(&self, error: ParserError) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => return self.too_deep(),
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
        };
        let (message, at) = match message.rsplit_once(" at Line: ") {
            Some((message, place)) => {
                let mut numbers = place.split(", Column: ").map(|n| n.trim().parse::<u64>().ok());
                let location = match (numbers.next().flatten(), numbers.next().flatten()) {
                    (Some(line), Some(column)) => Some(Location { line, column }),
                    _ => None,
                };
                (message.to_owned(), location)
            }
            None => (message, None),
        };
        let message = message
            .replacen("Expected: ", "expected ", 1)
            .replacen("Expected ", "expected ", 1)
            .replacen("expected EOF", "expected its end", 1)
            .replacen(", found: EOF", ", found its end", 1);
        self.error(at, &message.replacen(", found: ", ", found ", 1))
    }

    /// "column 12", and the line too where there are several.
    pub fn place(&self, at: Location) -> String {
        match self.line_starts.len() {
            0 | 1 => format!("column {}", at.column),
            _ => format!("line {}, column {}", at.line, at.column),
        }
    }

    fn offset(&self, at: Location) -> usize {
        let line = usize::try_from(at.line).unwrap_or(1).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(self.source.len());
        let column = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
        if self.source.is_ascii() {
            return start.saturating_add(column).min(self.source.len());
        }
        let rest = self.source.get(start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    /// Holds chains of operators to their limit. The parser builds such a chain in a loop, however long, and then no
    /// recursion over the tree, its own drop among them, would fit the stack.
    fn check_chains(&self) -> Result<()> {
        let mut open = vec![Level::default()];
        for token in &self.tokens {
            match &token.token {
                Token::LParen | Token::LBracket | Token::LBrace => open.push(Level::default()),
                Token::RParen | Token::RBracket | Token::RBrace => {
                    let inner = open.pop().unwrap_or_default().depth();
                    if open.is_empty() {
                        open.push(Level::default());
                    }
                    if let Some(outer) = open.last_mut() {
                        outer.nested = outer.nested.max(inner + 1);
                    }
                }
                Token::Number(..) | Token::SingleQuotedString(_) => {}
                Token::Word(word) if begins_rows(word) && open.len() > SELECT_NESTING => {
                    return Err(self.error(
                        Some(token.span.start),
                        &format!(
                            "SELECTs nest deeper than {SELECT_NESTING} levels; name some of them by WITH"
                        ),
                    ));
                }
                other => {
                    if let Some(level) = open.last_mut() {
                        level.add(*other == Token::Comma);
                    }
                }
            }
            if open.last().is_some_and(|level| level.depth() > CHAIN) {
                return Err(self.error(
                    Some(token.span.start),
                    &format!(
                        "more than {CHAIN} words and operators in one chain; use x IN (..) for many values"
                    ),
                ));
            }
            if open.len() > NESTING {
                return Err(self.too_deep());
            }
        }
        Ok(())
    }

    fn too_deep(&self) -> Error {
        Error::invalid(format!(
            "{} nests deeper than {NESTING} levels; take some parentheses out of it",
            self.what
        ))
    }
}

/// Whether a SELECT begins, or what stands for one.
fn begins_rows(word: &Word) -> bool {
    word.quote_style.is_none() && matches!(word.keyword, Keyword::SELECT | Keyword::VALUES | Keyword::WITH)
}

/// What stands within one pair of parentheses.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// Words and operators since the last comma.
    own: usize,
    /// The deepest part among them.
    nested: usize,
    /// The deepest stretch between commas so far.
    before: usize,
}

impl Level {
    fn depth(self) -> usize {
        self.before.max(self.own + self.nested)
    }

    fn add(&mut self, comma: bool) {
        if comma {
            *self = Self { own: 0, nested: 0, before: self.depth() };
        } else {
            self.own += 1;
        }
    }
}
