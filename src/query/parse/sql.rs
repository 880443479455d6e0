//! One SELECT to a `Query`. What the vector engine has no answer for is refused here, each by its name.
//! `POST /v1/sql` and the `sql` verb call it.

use sqlparser::ast::{
    Distinct, Expr as Tree, GroupByExpr, LimitClause, OrderByExpr, OrderByKind, OrderBySort,
    Query as QueryTree, Select, SelectItem, SetExpr, TableFactor, TableFunctionArgs, TableWithJoins,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::language::{Item, Order, Query, Range};
use crate::query::sequences::sessions::Sessions;
use crate::time::Calendar;
use crate::value::Value;

use super::dialect::Text;
use super::expression::{Place, Reader};
use super::names::Names;
use super::read_item;
use super::sequences::{sessions_dataset, sessions_table};

/// Output columns, group keys and parts of an order at most.
pub(super) const COLUMNS: usize = 1_000;

/// Reads one SELECT over one dataset; `parameters` stand for its `?`, `?1` or `$1`.
///
/// ```
/// let query = windrow::query::parse::sql("SELECT country, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC", &[])?;
/// assert_eq!((query.from.as_str(), query.select[1].name.as_str()), ("events", "n"));
/// assert_eq!(query.order[0].expression.to_string(), "count(*)");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn sql(text: &str, parameters: &[serde_json::Value]) -> Result<Query> {
    let mut text = Text::read(text, "the SQL")?;
    number_parameters(&mut text, parameters.len())?;
    check_first_word(&text)?;
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
    let select = plain_select(&tree)?;
    let from = dataset(&select.from)?;
    let mut reader = Reader::new(&text);
    reader.parameters = Some(parameters);
    reader.qualifiers.push(from.name.clone());
    let sessions = from.sessions.map(|arguments| sessions_table(&mut reader, arguments)).transpose()?;
    reader.qualifiers.extend(from.alias);
    query(&mut reader, &tree, select, (from.name, sessions), &text)
}

/// What stands after FROM.
struct Source<'a> {
    /// The dataset.
    name: String,
    alias: Option<String>,
    /// Where it is `sessions(…)`, what stands in it.
    sessions: Option<&'a TableFunctionArgs>,
}

fn query(
    reader: &mut Reader<'_>,
    tree: &QueryTree,
    select: &Select,
    (from, sessions): (String, Option<Sessions>),
    text: &Text<'_>,
) -> Result<Query> {
    let all_fields = is_star(&select.projection, &reader.qualifiers);
    let items = if all_fields { Vec::new() } else { items(reader, select, text)? };
    let filter = select.selection.as_ref().map(|tree| reader.read(tree, Place::Where)).transpose()?;
    let by = group_keys(reader, &select.group_by, &items)?;
    let names = Names { items: &items, keys: &by };
    let having = match &select.having {
        Some(tree) => {
            let having = reader.read(tree, Place::Anywhere)?;
            Some(names.resolve(having, &mut reader.copies)?)
        }
        None => None,
    };
    let order = match &tree.order_by {
        Some(order_by) => order(reader, &order_by.kind, &names)?,
        None => Vec::new(),
    };
    let (limit, offset) = match &tree.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (
            count(reader, limit.as_ref(), "LIMIT")?,
            count(reader, offset.as_ref().map(|o| &o.value), "OFFSET")?,
        ),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            (count(reader, Some(limit), "LIMIT")?, count(reader, Some(offset), "OFFSET")?)
        }
        None => (None, None),
    };
    Ok(Query {
        from,
        sessions,
        select: items,
        all_fields,
        by,
        distinct: matches!(select.distinct, Some(Distinct::Distinct)),
        filter,
        range: Range::default(),
        calendar: Calendar::default(),
        fill: false,
        compare: false,
        now: 0,
        having,
        order,
        limit,
        offset: offset.unwrap_or(0),
        cache: true,
    })
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
        Token::Word(word) if word.keyword == Keyword::WITH => Err(not_yet("common table expressions (WITH)")),
        Token::LParen => {
            Err(text.error(Some(first.span.start), "write the SELECT without parentheses around it"))
        }
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

fn not_yet(what: &str) -> Error {
    Error::invalid(format!("{what} are not answered yet: ask with one SELECT over one dataset"))
}

/// The SELECT in the tree, where it is one and nothing stands around it.
fn plain_select(tree: &QueryTree) -> Result<&Select> {
    let select = match tree.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => return Err(not_yet(&format!("set operations ({op})"))),
        SetExpr::Query(_) | SetExpr::Table(_) | SetExpr::Values(_) => return Err(not_yet("subqueries")),
        _ => return Err(Error::invalid("only SELECT is allowed")),
    };
    let limit_by =
        matches!(&tree.limit_clause, Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
    let grouping = match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => !modifiers.is_empty(),
    };
    let refused = [
        (tree.with.is_some(), "common table expressions (WITH)"),
        (tree.fetch.is_some() || select.top.is_some() || limit_by, "FETCH, TOP and LIMIT BY (LIMIT is)"),
        (!tree.locks.is_empty() || tree.for_clause.is_some(), "FOR clauses"),
        (tree.settings.is_some() || tree.format_clause.is_some(), "SETTINGS and FORMAT clauses"),
        (!tree.pipe_operators.is_empty(), "pipe operators"),
        (select.into.is_some(), "writes (INTO)"),
        (matches!(select.distinct, Some(Distinct::On(_))), "SELECT DISTINCT ON clauses"),
        (grouping, "GROUP BY modifiers"),
        (!select.named_window.is_empty() || select.qualify.is_some(), "windows (WINDOW, QUALIFY)"),
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
    ];
    match refused.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(not_yet(what)),
        None => Ok(select),
    }
}

/// The dataset after FROM, and its alias.
fn dataset(from: &[TableWithJoins]) -> Result<Source<'_>> {
    let table = match from {
        [] => {
            return Err(Error::invalid(
                "there is no FROM: name the dataset, as in SELECT count(*) FROM events",
            ));
        }
        [table] if table.joins.is_empty() => table,
        _ => return Err(not_yet("joins")),
    };
    match &table.relation {
        TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            let Some(dataset) = name.0.first().and_then(|part| part.as_ident()).filter(|_| name.0.len() == 1)
            else {
                return Err(Error::invalid(format!(
                    "{name} is no dataset: its name has one part, without a schema"
                )));
            };
            if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
                return Err(not_yet("names for the columns of a table"));
            }
            let alias = alias.as_ref().map(|alias| alias.name.value.clone());
            match args {
                None => Ok(Source { name: dataset.value.clone(), alias, sessions: None }),
                Some(args) if dataset.value.eq_ignore_ascii_case("sessions") => {
                    Ok(Source { name: sessions_dataset(args)?, alias, sessions: Some(args) })
                }
                Some(_) => Err(not_yet("table functions other than sessions")),
            }
        }
        TableFactor::Derived { .. } => Err(not_yet("subqueries")),
        TableFactor::NestedJoin { .. } => Err(not_yet("joins")),
        TableFactor::Table { .. } => Err(not_yet("samples and hints of tables")),
        _ => Err(not_yet("tables other than datasets")),
    }
}

/// `SELECT *`, or `SELECT e.*` of the one dataset.
fn is_star(projection: &[SelectItem], qualifiers: &[String]) -> bool {
    match projection {
        [SelectItem::Wildcard(options)] => options.to_string().is_empty(),
        [SelectItem::QualifiedWildcard(of, options)] => {
            let of = of.to_string();
            let name = of.strip_suffix(".*").unwrap_or(&of);
            options.to_string().is_empty() && qualifiers.iter().any(|known| known == name)
        }
        _ => false,
    }
}

fn items(reader: &mut Reader<'_>, select: &Select, text: &Text<'_>) -> Result<Vec<Item>> {
    check_count(select.projection.len(), "SELECT")?;
    let written = written_items(text);
    let mut items = Vec::with_capacity(select.projection.len());
    for (i, tree) in select.projection.iter().enumerate() {
        items.push(read_item(reader, tree, written.get(i).copied().unwrap_or_default())?);
    }
    Ok(items)
}

fn check_count(count: usize, clause: &str) -> Result<()> {
    if count <= COLUMNS {
        return Ok(());
    }
    Err(Error::invalid(format!("{clause} names {count} columns; {COLUMNS} is the limit")))
}

/// The texts of the items: what stands between SELECT and FROM, split at the commas outside parentheses.
fn written_items<'a>(text: &Text<'a>) -> Vec<&'a str> {
    let mut out = Vec::new();
    let mut depth = 0usize;
    let mut start = 1;
    for (i, token) in text.tokens.iter().enumerate().skip(1) {
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
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
            // IS DISTINCT FROM is no FROM
            Token::Word(word) if depth == 0 && word.keyword == Keyword::FROM && !after_distinct(text, i) => {
                out.push(text.slice(start, i));
                break;
            }
            _ => {}
        }
    }
    out
}

fn after_distinct(text: &Text<'_>, at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| text.tokens.get(i)).map(|t| &t.token);
    matches!(before, Some(Token::Word(word)) if word.keyword == Keyword::DISTINCT)
}

fn group_keys(reader: &mut Reader<'_>, group_by: &GroupByExpr, items: &[Item]) -> Result<Vec<Expr>> {
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
            return Err(reader.error(
                super::expression::location(tree),
                &format!("GROUP BY cannot hold an aggregate, and this is {key}"),
            ));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn order(reader: &mut Reader<'_>, kind: &OrderByKind, names: &Names<'_>) -> Result<Vec<Order>> {
    let OrderByKind::Expressions(parts) = kind else { return Err(not_yet("ORDER BY ALL clauses")) };
    check_count(parts.len(), "ORDER BY")?;
    let mut out = Vec::with_capacity(parts.len());
    for OrderByExpr { expr, options, with_fill } in parts {
        if with_fill.is_some() {
            return Err(not_yet("WITH FILL clauses"));
        }
        if matches!(expr, Tree::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all"))
        {
            return Err(not_yet("ORDER BY ALL clauses"));
        }
        let expression = reader.read(expr, Place::Anywhere)?;
        let expression = names.resolve_position(expression, &mut reader.copies, "ORDER BY")?;
        let descending = match &options.sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return Err(not_yet("ORDER BY .. USING clauses")),
        };
        out.push(Order { expression, descending, nulls_first: options.nulls_first.unwrap_or(false) });
    }
    Ok(out)
}

/// A LIMIT or OFFSET: a whole number or a parameter that is one; null is none.
fn count(reader: &mut Reader<'_>, tree: Option<&Tree>, clause: &str) -> Result<Option<usize>> {
    let Some(tree) = tree else { return Ok(None) };
    match reader.read(tree, Place::Key)? {
        Expr::Literal(Value::Null) => Ok(None),
        Expr::Literal(Value::Int(n)) if n >= 0 => Ok(Some(usize::try_from(n).unwrap_or(usize::MAX))),
        other => Err(reader.error(
            super::expression::location(tree),
            &format!("{clause} takes a whole number from 0 on, and this is {other}"),
        )),
    }
}
