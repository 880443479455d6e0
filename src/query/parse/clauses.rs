//! The clauses of a SELECT that plain and relational questions share: output columns, group keys, order, limit; and what no
//! SELECT may have. `sql` and `relational` call it.

use sqlparser::ast::{
    Distinct, Expr as Tree, GroupByExpr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderBySort,
    Query as QueryTree, Select, SelectItem,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token};

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::language::{Item, Order};
use crate::value::Value;

use super::dialect::Text;
use super::expression::{Place, Reader};
use super::location::location;
use super::names::Names;
use super::read_item;

/// Output columns, group keys and parts of an order at most.
pub(super) const COLUMNS: usize = 1_000;

/// What another dialect has and this one has not.
pub(super) fn not_answered(what: &str) -> Error {
    Error::invalid(format!(
        "{what} are not answered; a SELECT has WITH, joins, WHERE, GROUP BY, HAVING, windows, set operations, ORDER BY, \
         LIMIT and OFFSET"
    ))
}

/// Refuses what may stand around no SELECT.
pub(super) fn check_query(tree: &QueryTree) -> Result<()> {
    let limit_by =
        matches!(&tree.limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
    refuse(&[
        (tree.fetch.is_some() || limit_by, "FETCH and LIMIT BY (LIMIT is)"),
        (!tree.locks.is_empty() || tree.for_clause.is_some(), "FOR clauses"),
        (tree.settings.is_some() || tree.format_clause.is_some(), "SETTINGS and FORMAT clauses"),
        (!tree.pipe_operators.is_empty(), "pipe operators"),
    ])
}

/// Refuses what may stand in no SELECT.
pub(super) fn check_select(select: &Select) -> Result<()> {
    let grouping = match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => !modifiers.is_empty(),
    };
    refuse(&[
        (select.top.is_some(), "TOP (LIMIT is)"),
        (select.into.is_some(), "writes (INTO)"),
        (matches!(select.distinct, Some(Distinct::On(_))), "SELECT DISTINCT ON clauses"),
        (grouping, "GROUP BY modifiers"),
        (select.qualify.is_some(), "QUALIFY clauses (WHERE around a subquery is)"),
        (
            !select.lateral_views.is_empty() || !select.connect_by.is_empty(),
            "LATERAL VIEW and CONNECT BY clauses",
        ),
        (select.prewhere.is_some() || select.exclude.is_some(), "PREWHERE and EXCLUDE clauses"),
        (
            !select.cluster_by.is_empty() || !select.distribute_by.is_empty(),
            "CLUSTER BY and DISTRIBUTE BY clauses",
        ),
        (!select.sort_by.is_empty(), "SORT BY clauses"),
        (select.value_table_mode.is_some() || select.select_modifiers.is_some(), "modifiers of SELECT"),
    ])
}

fn refuse(refused: &[(bool, &str)]) -> Result<()> {
    match refused.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(not_answered(what)),
        None => Ok(()),
    }
}

/// The output columns.
pub(super) fn items(reader: &mut Reader<'_>, select: &Select) -> Result<Vec<Item>> {
    check_count(select.projection.len(), "SELECT")?;
    let written = written_items(reader.text, select.select_token.0.span.start);
    let trees = select.projection.iter().enumerate();
    trees.map(|(at, tree)| read_item(reader, tree, written.get(at).copied().unwrap_or_default())).collect()
}

/// The same where `*` and `name.*` may stand among them: `None` for these.
pub(super) fn items_and_stars(reader: &mut Reader<'_>, select: &Select) -> Result<Vec<Option<Item>>> {
    check_count(select.projection.len(), "SELECT")?;
    let written = written_items(reader.text, select.select_token.0.span.start);
    let trees = select.projection.iter().enumerate();
    let read = |(at, tree): (usize, &SelectItem)| match tree {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Ok(None),
        tree => read_item(reader, tree, written.get(at).copied().unwrap_or_default()).map(Some),
    };
    trees.map(read).collect()
}

fn check_count(count: usize, clause: &str) -> Result<()> {
    if count <= COLUMNS {
        return Ok(());
    }
    Err(Error::invalid(format!("{clause} names {count} columns; {COLUMNS} is the limit")))
}

/// The texts of the items of the SELECT that stands at a place: what comes up to the next clause, split at the commas outside
/// parentheses.
fn written_items<'a>(text: &Text<'a>, select: Location) -> Vec<&'a str> {
    let begin = text.tokens.iter().position(|token| token.span.start == select).unwrap_or(0);
    let mut out = Vec::new();
    let mut depth = 0usize;
    let mut start = begin + 1;
    for (i, token) in text.tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => {
                out.push(text.slice(start, i));
                return out;
            }
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Word(word)
                if i == start
                    && out.is_empty()
                    && matches!(word.keyword, Keyword::DISTINCT | Keyword::ALL) =>
            {
                start = i + 1;
            }
            Token::Comma if depth == 0 => {
                out.push(text.slice(start, i));
                start = i + 1;
            }
            Token::SemiColon => break,
            Token::Word(word)
                if depth == 0 && word.quote_style.is_none() && ends_items(word.keyword, text, i) =>
            {
                out.push(text.slice(start, i));
                return out;
            }
            _ => {}
        }
    }
    out.push(text.slice(start, text.tokens.len()));
    out
}

/// Whether a word ends the list of output columns.
fn ends_items(word: Keyword, text: &Text<'_>, at: usize) -> bool {
    match word {
        // IS DISTINCT FROM is no FROM
        Keyword::FROM => {
            let before = at.checked_sub(1).and_then(|i| text.tokens.get(i)).map(|t| &t.token);
            !matches!(before, Some(Token::Word(word)) if word.keyword == Keyword::DISTINCT)
        }
        Keyword::WHERE
        | Keyword::UNION
        | Keyword::EXCEPT
        | Keyword::INTERSECT
        | Keyword::ORDER
        | Keyword::LIMIT
        | Keyword::OFFSET => true,
        _ => false,
    }
}

/// The group keys.
pub(super) fn group_keys(
    reader: &mut Reader<'_>,
    group_by: &GroupByExpr,
    items: &[Item],
) -> Result<Vec<Expr>> {
    let trees = match group_by {
        GroupByExpr::All(_) => {
            let keys = items.iter().filter(|item| !item.expression.has_aggregate());
            return keys.map(|item| reader.copies.copy(&item.expression)).collect();
        }
        GroupByExpr::Expressions(trees, _) => trees,
    };
    check_count(trees.len(), "GROUP BY")?;
    let names = Names { items, keys: &[] };
    let mut keys = Vec::with_capacity(trees.len());
    for tree in trees {
        let key = reader.read(tree, Place::Key)?;
        let key = names.resolve_position(key, &mut reader.copies, "GROUP BY")?;
        if key.has_aggregate() {
            return Err(reader
                .error(location(tree), &format!("GROUP BY cannot hold an aggregate, and this is {key}")));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The groups that count.
pub(super) fn having(
    reader: &mut Reader<'_>,
    tree: Option<&Tree>,
    names: &Names<'_>,
) -> Result<Option<Expr>> {
    let Some(tree) = tree else { return Ok(None) };
    let having = reader.read(tree, Place::Anywhere)?;
    names.resolve(having, &mut reader.copies).map(Some)
}

/// The order around a SELECT.
pub(super) fn order_by(
    reader: &mut Reader<'_>,
    order_by: Option<&OrderBy>,
    names: &Names<'_>,
) -> Result<Vec<Order>> {
    let Some(order_by) = order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(parts) = &order_by.kind else {
        return Err(not_answered("ORDER BY ALL clauses"));
    };
    check_count(parts.len(), "ORDER BY")?;
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        if matches!(&part.expr, Tree::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all"))
        {
            return Err(not_answered("ORDER BY ALL clauses"));
        }
        let read = order(reader, part, Place::Anywhere)?;
        let expression = names.resolve_position(read.expression, &mut reader.copies, "ORDER BY")?;
        out.push(Order { expression, ..read });
    }
    Ok(out)
}

/// One part of an order.
pub(super) fn order(reader: &mut Reader<'_>, part: &OrderByExpr, place: Place) -> Result<Order> {
    let OrderByExpr { expr, options, with_fill } = part;
    if with_fill.is_some() {
        return Err(not_answered("WITH FILL clauses"));
    }
    let descending = match &options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(not_answered("ORDER BY .. USING clauses")),
    };
    let expression = reader.read(expr, place)?;
    Ok(Order { expression, descending, nulls_first: options.nulls_first.unwrap_or(false) })
}

/// LIMIT and OFFSET.
pub(super) fn limits(
    reader: &mut Reader<'_>,
    clause: Option<&LimitClause>,
) -> Result<(Option<usize>, usize)> {
    let (limit, offset) = match clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (
            count(reader, limit.as_ref(), "LIMIT")?,
            count(reader, offset.as_ref().map(|o| &o.value), "OFFSET")?,
        ),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            (count(reader, Some(limit), "LIMIT")?, count(reader, Some(offset), "OFFSET")?)
        }
        None => (None, None),
    };
    Ok((limit, offset.unwrap_or(0)))
}

/// A LIMIT or OFFSET: a whole number or a parameter that is one; null is none.
fn count(reader: &mut Reader<'_>, tree: Option<&Tree>, clause: &str) -> Result<Option<usize>> {
    let Some(tree) = tree else { return Ok(None) };
    match reader.read(tree, Place::Key)? {
        Expr::Literal(Value::Null) => Ok(None),
        Expr::Literal(Value::Int(n)) if n >= 0 => Ok(Some(usize::try_from(n).unwrap_or(usize::MAX))),
        other => Err(reader
            .error(location(tree), &format!("{clause} takes a whole number from 0 on, and this is {other}"))),
    }
}
