//! Text to `Query` and `Expr`: SQL, JSON queries, and the one expression language of `where=`, alerts and reports.
//!
//! `dialect` splits and limits the text, sqlparser reads it, `expression`, `calls` and `windows` turn its tree into ours. A
//! `statement` is a question about one dataset (`sql`) or about more (`relational`), of the same `clauses`; `json` puts
//! the first kind together too, with `names` for what ORDER BY and the like may refer to. `sequences` reads funnels,
//! retention, paths and sessions.

mod calls;
mod clauses;
mod dialect;
mod expression;
mod json;
mod location;
mod names;
mod range;
mod relational;
mod sequences;
mod sql;
mod statement;
mod types;
mod windows;

use sqlparser::ast::SelectItem;
use sqlparser::tokenizer::Token;

use crate::error::Result;
use crate::query::expression::Expr;
use crate::query::language::Item;
use crate::query::relational::tree::part_of;

use dialect::Text;
use expression::{Place, Reader};

pub use dialect::TEXT_BYTES;
pub use json::{json, question};
pub use sequences::sequence;
pub use sql::sql;
pub use statement::statement;

/// One expression; aggregates may be in it.
///
/// ```
/// let expression = windrow::query::parse::expression("status >= 500 or path like '/api/%'")?;
/// assert_eq!(expression.to_string(), "status >= 500 OR path LIKE '/api/%'");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn expression(text: &str) -> Result<Expr> {
    one(text, Place::Anywhere)
}

/// One condition over rows, as in `where=`: aggregates are refused.
///
/// ```
/// let error = windrow::query::parse::filter("count(*) > 3").unwrap_err();
/// assert!(error.to_string().contains("column 1"));
/// ```
pub fn filter(text: &str) -> Result<Expr> {
    one(text, Place::Condition)
}

fn one(text: &str, place: Place) -> Result<Expr> {
    let text = Text::read(text, "the expression")?;
    let mut parser = text.parser();
    let tree = parser.parse_expr().map_err(|e| text.parser_error(e))?;
    parser.expect_token(&Token::EOF).map_err(|e| text.parser_error(e))?;
    Reader::new(&text).read(&tree, place)
}

/// One output column: an expression with or without an alias.
///
/// ```
/// let item = windrow::query::parse::item("uniq(user_id) as users")?;
/// assert_eq!(item.name, "users");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn item(text: &str) -> Result<Item> {
    let text = Text::read(text, "the expression")?;
    let mut parser = text.parser();
    let tree = parser.parse_select_item().map_err(|e| text.parser_error(e))?;
    parser.expect_token(&Token::EOF).map_err(|e| text.parser_error(e))?;
    read_item(&mut Reader::new(&text), &tree, text.source.trim())
}

/// An item of a SELECT; `written` is its text, which names it where nothing else does.
fn read_item(reader: &mut Reader<'_>, tree: &SelectItem, written: &str) -> Result<Item> {
    match tree {
        SelectItem::UnnamedExpr(tree) => {
            let expression = reader.read(tree, Place::Anywhere)?;
            let name = match &expression {
                Expr::Column(name) if part_of(name).is_none() => name.clone(),
                _ => written.to_owned(),
            };
            Ok(Item { expression, name })
        }
        SelectItem::ExprWithAlias { expr, alias } => {
            Ok(Item { expression: reader.read(expr, Place::Anywhere)?, name: alias.value.clone() })
        }
        SelectItem::ExprWithAliases { .. } => Err(reader.error(None, "one expression has one name")),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
            Err(reader.error(None, "* stands alone: name the fields beside other expressions"))
        }
    }
}

#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod tests;
