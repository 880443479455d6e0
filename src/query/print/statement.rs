//! The frame of a SELECT, which is the same in every dialect: its clauses in their order. What stands in them is written
//! by the dialect. Called by `print::query`.

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::language::{Item, Order, Query};

/// How a dialect writes what stands in the clauses.
pub(super) trait Writer {
    /// An output column.
    fn value(&self, expression: &Expr) -> Result<String>;
    /// What stands in WHERE and HAVING.
    fn condition(&self, expression: &Expr) -> Result<String>;
    /// What stands in GROUP BY.
    fn group_key(&self, expression: &Expr) -> Result<String>;
    /// What stands in ORDER BY; `column` is the place of the output column that it is, if it is one.
    fn order_key(&self, expression: &Expr, column: Option<usize>) -> Result<String>;
    /// A name as an identifier.
    fn name(&self, name: &str) -> Result<String>;
    /// What stands after FROM.
    fn source(&self, query: &Query) -> Result<String>;
    /// LIMIT and OFFSET.
    fn limit(&self, limit: Option<usize>, offset: usize) -> Option<String>;
}

/// The text of a resolved query.
///
/// # Errors
/// `Invalid` for what the dialect has no words for.
pub(super) fn write(query: &Query, writer: &dyn Writer) -> Result<String> {
    let mut lines = body(query, writer)?;
    lines.extend(ending(query, writer)?);
    Ok(lines.join("\n"))
}

/// SELECT to HAVING, a line a clause.
pub(super) fn body(query: &Query, writer: &dyn Writer) -> Result<Vec<String>> {
    let items = list(query.select.iter().map(|item| item_text(item, writer)))?;
    let distinct = if query.distinct { "DISTINCT " } else { "" };
    let mut lines = vec![format!("SELECT {distinct}{items}"), format!("FROM {}", writer.source(query)?)];
    if let Some(filter) = &query.filter {
        lines.push(format!("WHERE {}", writer.condition(filter)?));
    }
    if !query.by.is_empty() {
        lines.push(format!("GROUP BY {}", list(query.by.iter().map(|key| writer.group_key(key)))?));
    }
    if let Some(having) = &query.having {
        let mut having = writer.condition(having)?;
        // one group of all rows, which must be told from no group
        if query.by.is_empty() && !aggregates(query) {
            having = format!("({having}) AND count(*) >= 0");
        }
        lines.push(format!("HAVING {having}"));
    }
    Ok(lines)
}

/// ORDER BY to OFFSET. Groups that are equal so far come by their keys; of DISTINCT output what is put out counts.
pub(super) fn ending(query: &Query, writer: &dyn Writer) -> Result<Vec<String>> {
    let place = |e: &Expr| query.select.iter().position(|item| is_same(&item.expression, e));
    let is_new = |key: &&Expr| !query.order.iter().any(|order| is_same(&order.expression, key));
    let keys = query.by.iter().filter(is_new).filter(|key| !query.distinct || place(key).is_some());
    let by_key = keys.map(|key| Order { expression: key.clone(), descending: false, nulls_first: false });
    let order: Vec<Order> = query.order.iter().cloned().chain(by_key).collect();
    let part = |order: &Order| {
        let key = writer.order_key(&order.expression, place(&order.expression))?;
        let direction = if order.descending { " DESC" } else { "" };
        let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
        Ok(format!("{key}{direction} NULLS {nulls}"))
    };
    let mut lines = Vec::new();
    if !order.is_empty() {
        lines.push(format!("ORDER BY {}", list(order.iter().map(part))?));
    }
    lines.extend(writer.limit(query.limit, query.offset));
    Ok(lines)
}

/// LIMIT and OFFSET as most dialects write them.
pub(super) fn limit(limit: Option<usize>, offset: usize) -> Option<String> {
    match (limit, offset) {
        (None, 0) => None,
        (Some(limit), 0) => Some(format!("LIMIT {limit}")),
        (None, offset) => Some(format!("OFFSET {offset}")),
        (Some(limit), offset) => Some(format!("LIMIT {limit} OFFSET {offset}")),
    }
}

/// Refuses what is more than one SELECT.
///
/// # Errors
/// `Invalid` for gaps to fill and periods to compare.
pub(super) fn check(query: &Query) -> Result<()> {
    let more = [(query.fill, "\"fill\""), (query.compare, "\"compare\"")];
    match more.iter().find(|(is_asked, _)| *is_asked) {
        None => Ok(()),
        Some((_, what)) => Err(Error::invalid(format!(
            "{what} cannot be written as one SELECT; leave it out to see the rest as SQL"
        ))),
    }
}

fn item_text(item: &Item, writer: &dyn Writer) -> Result<String> {
    let value = writer.value(&item.expression)?;
    let name = writer.name(&item.name)?;
    Ok(if value == name { value } else { format!("{value} AS {name}") })
}

fn aggregates(query: &Query) -> bool {
    let orders = query.order.iter().map(|order| &order.expression);
    query
        .select
        .iter()
        .map(|item| &item.expression)
        .chain(&query.having)
        .chain(orders)
        .any(Expr::has_aggregate)
}

/// Whether two expressions are written the same, types of constants included.
fn is_same(a: &Expr, b: &Expr) -> bool {
    a == b && format!("{a:?}") == format!("{b:?}")
}

fn list(parts: impl Iterator<Item = Result<String>>) -> Result<String> {
    Ok(parts.collect::<Result<Vec<_>>>()?.join(", "))
}
