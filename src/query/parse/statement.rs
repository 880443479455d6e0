//! One statement of SQL: a SELECT, or EXPLAIN and a SELECT. It is read as one question about one dataset where it is one,
//! and for SQLite where it is more. `POST /v1/sql` and the `sql` verb call it.

use sqlparser::ast::Query as QueryTree;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::cache::class::Use;
use crate::error::{Error, Result};
use crate::query::budget::Limits;
use crate::query::language::{Dialect, Explain, Question, Statement};
use crate::query::relational::tree::Relational;
use crate::time::Calendar;

use super::dialect::Text;
use super::expression::Reader;
use super::relational::relation;
use super::sql::{is_plain, plain};

/// Reads one statement; `parameters` stand for its `?`, `?1` or `$1`.
///
/// # Errors
/// What cannot be read, with its place.
///
/// ```
/// use windrow::query::language::Question;
///
/// let plain = windrow::query::parse::statement("SELECT count(*) FROM visits", &[])?;
/// assert!(matches!(plain.question, Question::Plain(_)));
/// let joined = "SELECT u.plan, count(*) FROM visits v JOIN users u ON u.id = v.user_id GROUP BY 1";
/// let joined = windrow::query::parse::statement(joined, &[])?;
/// assert!(matches!(joined.question, Question::Relational(_)));
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn statement(text: &str, parameters: &[serde_json::Value]) -> Result<Statement> {
    let mut text = Text::read(text, "the SQL")?;
    number_parameters(&mut text, parameters.len())?;
    let explain = explain(&mut text)?;
    check_first_word(&text)?;
    let tree = tree(&text)?;
    let mut reader = Reader::new(&text);
    reader.parameters = Some(parameters);
    let question = match is_plain(&tree) && !has_more(&text) {
        true => Question::Plain(Box::new(plain(&mut reader, &tree)?)),
        false => {
            reader.parts = Some(Vec::new());
            let relation = relation(&mut reader, &tree)?;
            Question::Relational(Box::new(Relational {
                relation,
                parts: reader.parts.take().unwrap_or_default(),
                calendar: Calendar::default(),
                cache: Use::Exact,
                limits: Limits::default(),
            }))
        }
    };
    Ok(Statement { question, explain })
}

fn tree(text: &Text<'_>) -> Result<QueryTree> {
    let mut parser = text.parser();
    let tree = parser.parse_query().map_err(|e| text.parser_error(e))?;
    let mut ended = false;
    while parser.consume_token(&Token::SemiColon) {
        ended = true;
    }
    if ended && parser.peek_token_ref().token != Token::EOF {
        let at = parser.peek_token_ref().span.start;
        return Err(text.error(Some(at), "one statement at a time: send each SELECT on its own"));
    }
    parser.expect_token(&Token::EOF).map_err(|e| text.parser_error(e))?;
    Ok(*tree)
}

/// Whether its expressions may hold subqueries or windows: a second SELECT, VALUES, or OVER.
fn has_more(text: &Text<'_>) -> bool {
    let is_more = |token: &Token| matches!(token, Token::Word(word) if word.quote_style.is_none() && matches!(word.keyword, Keyword::SELECT | Keyword::VALUES | Keyword::OVER));
    text.tokens.iter().skip(1).any(|token| is_more(&token.token))
}

/// Takes `EXPLAIN` and `EXPLAIN (FORMAT name)` off the front.
fn explain(text: &mut Text<'_>) -> Result<Option<Explain>> {
    let is = |at: usize, keyword: Keyword| matches!(text.tokens.get(at).map(|t| &t.token), Some(Token::Word(word)) if word.quote_style.is_none() && word.keyword == keyword);
    if !is(0, Keyword::EXPLAIN) {
        return Ok(None);
    }
    if is(1, Keyword::ANALYZE) {
        let at = text.tokens.get(1).map(|token| token.span.start);
        let advice = "EXPLAIN does not ask; ask without it, \"stats\" of the answer tell what it took";
        return Err(text.error(at, advice));
    }
    let (explain, taken) = match text.tokens.get(1).map(|token| &token.token) {
        Some(Token::LParen) => {
            let name = text.tokens.get(3).map(|token| &token.token);
            let closed = matches!(text.tokens.get(4).map(|token| &token.token), Some(Token::RParen));
            match name {
                Some(Token::Word(name)) if is(2, Keyword::FORMAT) && closed => {
                    (Explain::Printed(name.value.parse::<Dialect>()?), 5)
                }
                _ => {
                    let at = text.tokens.get(2).map(|token| token.span.start);
                    let names = Dialect::ALL.map(|(_, name)| name).join(", ");
                    return Err(text.error(at, &format!("EXPLAIN (FORMAT name) takes one of {names}")));
                }
            }
        }
        _ => (Explain::Plan, 1),
    };
    text.tokens.drain(..taken);
    match text.tokens.is_empty() {
        true => Err(text.error(None, "EXPLAIN needs a SELECT after it")),
        false => Ok(Some(explain)),
    }
}

/// Gives each plain `?` its number, and holds the count of values to the count of places.
fn number_parameters(text: &mut Text<'_>, given: usize) -> Result<()> {
    let (mut plain, mut wanted) = (0, 0);
    let mut numbered = None;
    for token in &mut text.tokens {
        let Token::Placeholder(name) = &mut token.token else { continue };
        if name == "?" {
            plain += 1;
            *name = format!("?{plain}");
            wanted = wanted.max(plain);
        } else {
            numbered.get_or_insert(token.span.start);
            wanted = wanted.max(name.get(1..).and_then(|n| n.parse().ok()).unwrap_or(0));
        }
    }
    if let (Some(at), true) = (numbered, plain > 0) {
        return Err(text.error(Some(at), "? and numbered parameters do not mix; number all of them or none"));
    }
    if wanted != given {
        let are = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        return Err(Error::invalid(format!(
            "the SQL has {}, but {} given in \"params\"",
            are(wanted, "parameter"),
            if given == 1 { "1 value is".into() } else { format!("{given} values are") }
        )));
    }
    Ok(())
}

fn check_first_word(text: &Text<'_>) -> Result<()> {
    let Some(first) = text.tokens.first() else { return Ok(()) };
    match &first.token {
        Token::Word(word) if word.keyword == Keyword::SELECT => match text.tokens.get(1) {
            Some(next) if matches!(&next.token, Token::Word(word) if word.keyword == Keyword::FROM) => {
                Err(text
                    .error(Some(next.span.start), "SELECT names no column; name some, or * for all fields"))
            }
            _ => Ok(()),
        },
        Token::Word(word) if matches!(word.keyword, Keyword::WITH | Keyword::VALUES) => Ok(()),
        Token::LParen => Ok(()),
        other => {
            let shown = crate::query::matcher::shorten(&other.to_string());
            let what = format!(
                "only SELECT is allowed, this begins with \"{shown}\"; events come in by POST \
                 /v1/datasets/{{dataset}}/events or `windrow import`, and go by DELETE there or `windrow erase`"
            );
            Err(text.error(Some(first.span.start), &what))
        }
    }
}
