//! One SELECT over one dataset to a `Query`. `statement` calls it for such a question, `relational` for a part of a larger
//! one that is such a question too.

use sqlparser::ast::{
    Distinct, Query as QueryTree, Select, SelectItem, SetExpr, TableFactor, TableFunctionArgs, TableWithJoins,
};

use crate::error::{Error, Result};
use crate::query::language::{Query, Question};

use super::clauses::{check_query, check_select, group_keys, having, items, limits, not_answered, order_by};
use super::expression::{Place, Reader};
use super::names::Names;
use super::sequences::{sessions_dataset, sessions_table};

/// Reads one SELECT over one dataset; `parameters` stand for its `?`, `?1` or `$1`.
///
/// # Errors
/// What cannot be read; what asks more than one dataset: [`statement()`](super::statement()) reads that too.
///
/// ```
/// let query = windrow::query::parse::sql("SELECT country, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC", &[])?;
/// assert_eq!((query.from.as_str(), query.select[1].name.as_str()), ("events", "n"));
/// assert_eq!(query.order[0].expression.to_string(), "count(*)");
/// # Ok::<(), windrow::error::Error>(())
/// ```
pub fn sql(text: &str, parameters: &[serde_json::Value]) -> Result<Query> {
    let statement = super::statement(text, parameters)?;
    match (statement.question, statement.explain) {
        (Question::Plain(query), None) => Ok(*query),
        _ => Err(Error::invalid("one SELECT over one dataset is expected here")),
    }
}

/// What stands after FROM.
struct Source<'a> {
    /// The dataset.
    name: String,
    alias: Option<String>,
    /// Where it is `sessions(…)`, what stands in it.
    sessions: Option<&'a TableFunctionArgs>,
}

/// Whether the tree has nothing but one SELECT over one dataset, as far as its clauses tell.
pub(super) fn is_plain(tree: &QueryTree) -> bool {
    tree.with.is_none() && matches!(&*tree.body, SetExpr::Select(select) if is_plain_select(select))
}

fn is_plain_select(select: &Select) -> bool {
    let is_dataset = |table: &TableWithJoins| {
        let is_table = matches!(&table.relation, TableFactor::Table { alias, .. } if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()));
        is_table && table.joins.is_empty()
    };
    let is_item =
        |item: &SelectItem| !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let [table] = select.from.as_slice() else { return false };
    let has_items = select.projection.len() == 1 || select.projection.iter().all(is_item);
    select.named_window.is_empty() && has_items && is_dataset(table)
}

/// The question that a SELECT over one dataset is.
pub(super) fn plain(reader: &mut Reader<'_>, tree: &QueryTree) -> Result<Query> {
    check_query(tree)?;
    let SetExpr::Select(select) = &*tree.body else { return Err(Error::invalid("only SELECT is allowed")) };
    plain_select(reader, select, Some(tree))
}

/// The same without what stands around it, or with that.
pub(super) fn plain_select(
    reader: &mut Reader<'_>,
    select: &Select,
    around: Option<&QueryTree>,
) -> Result<Query> {
    check_select(select)?;
    let from = dataset(&select.from)?;
    reader.qualifiers = vec![from.name.clone()];
    let sessions = from.sessions.map(|arguments| sessions_table(reader, arguments)).transpose()?;
    reader.qualifiers.extend(from.alias);
    let all_fields = is_star(&select.projection, &reader.qualifiers);
    let items = if all_fields { Vec::new() } else { items(reader, select)? };
    let filter = select.selection.as_ref().map(|tree| reader.read(tree, Place::Where)).transpose()?;
    let by = group_keys(reader, &select.group_by, &items)?;
    let names = Names { items: &items, keys: &by };
    let having = having(reader, select.having.as_ref(), &names)?;
    let order = order_by(reader, around.and_then(|tree| tree.order_by.as_ref()), &names)?;
    let (limit, offset) = limits(reader, around.and_then(|tree| tree.limit_clause.as_ref()))?;
    Ok(Query {
        sessions,
        select: items,
        all_fields,
        by,
        distinct: matches!(select.distinct, Some(Distinct::Distinct)),
        filter,
        having,
        order,
        limit,
        offset,
        ..Query::all_of(from.name)
    })
}

/// The dataset after FROM, and its alias.
fn dataset(from: &[TableWithJoins]) -> Result<Source<'_>> {
    let [TableWithJoins { relation, joins }] = from else {
        return Err(Error::invalid("one SELECT over one dataset is expected here"));
    };
    let (name, alias, args) = table(relation)?;
    if !joins.is_empty() {
        return Err(Error::invalid("one SELECT over one dataset is expected here"));
    }
    match args {
        None => Ok(Source { name, alias, sessions: None }),
        Some(args) => Ok(Source { name: sessions_dataset(args)?, alias, sessions: Some(args) }),
    }
}

/// The name of a table that is no subquery, its alias, and what stands in it where it is `sessions(…)`.
pub(super) fn table(factor: &TableFactor) -> Result<(String, Option<String>, Option<&TableFunctionArgs>)> {
    match factor {
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
            let alias = alias.as_ref().map(|alias| alias.name.value.clone());
            match args {
                Some(_) if !dataset.value.eq_ignore_ascii_case("sessions") => {
                    Err(not_answered("table functions other than sessions"))
                }
                args => Ok((dataset.value.clone(), alias, args.as_ref())),
            }
        }
        TableFactor::Table { .. } => Err(not_answered("samples and hints of tables")),
        TableFactor::NestedJoin { .. } => {
            Err(not_answered("joins in parentheses (joins go from left to right; a subquery can hold one)"))
        }
        _ => Err(not_answered("tables other than datasets and subqueries")),
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
