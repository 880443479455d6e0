//! A whole query as SQL for SQLite, over a table that holds the forms of `store::values` in columns without a declared
//! type. Called by `print::query`.

use crate::error::Result;
use crate::query::explode::exploded;
use crate::query::expression::Expr;
use crate::query::filter::may_fail;
use crate::query::language::{Item, Query};
use crate::query::plan::field_kinds;
use crate::query::print::kinds::of_field;
use crate::query::print::statement::{self, Writer, body, ending};
use crate::store::snapshot::Dataset;

use super::{ENTRY, Printed, expression, keyed, mixes, quoted, stored_expression};

/// The text of a resolved query.
///
/// # Errors
/// `Invalid` for a name that SQLite cannot read.
pub fn query(query: &Query, dataset: &Dataset) -> Result<String> {
    let writer = SqliteWriter { query, dataset, is_outer: false };
    let has_several_forms = |item: &Item| Ok(mixes(writer.printed(&item.expression)?.kinds));
    let several = query.select.iter().map(has_several_forms).collect::<Result<Vec<_>>>()?;
    match query.distinct && several.contains(&true) {
        true => writer.distinct_by_keys(),
        false => statement::write(query, &writer),
    }
}

struct SqliteWriter<'a> {
    query: &'a Query,
    dataset: &'a Dataset,
    /// Whether it writes around a SELECT that has called its columns [`inner_name`].
    is_outer: bool,
}

fn inner_name(column: usize) -> String {
    format!("c{column}")
}

impl SqliteWriter<'_> {
    fn column(&self, name: &str) -> Result<Printed> {
        if self.dataset.keyed.is_some() {
            return keyed::column(self.dataset, &keyed::own_name(self.dataset), name);
        }
        let column = quoted(name)?;
        let is_other = |expression: &Expr| !matches!(expression, Expr::Column(field) if field == name);
        // an output column of the same name would be meant, or one of those that entries have
        let is_hidden = self.query.select.iter().any(|item| item.name == name && is_other(&item.expression));
        let table = if is_hidden || exploded(&self.query.by).is_some() {
            format!("{}.", quoted(&self.dataset.name)?)
        } else {
            String::new()
        };
        Ok(Printed::value(format!("{table}{column}"), of_field(field_kinds(name, self.dataset))))
    }

    fn printed(&self, e: &Expr) -> Result<Printed> {
        match self.dataset.keyed.is_some() {
            true => stored_expression(e, &|name| self.column(name)),
            false => expression(e, &|name| self.column(name)),
        }
    }

    /// DISTINCT where equal values may have several forms, which that of SQLite would tell apart.
    fn distinct_by_keys(&self) -> Result<String> {
        let select = self.query.select.iter().enumerate();
        let renamed = select.clone().map(|(at, item)| Item { name: inner_name(at), ..item.clone() });
        let all = Query { distinct: false, select: renamed.collect(), ..self.query.clone() };
        let inner = body(&all, &SqliteWriter { query: &all, ..*self })?.join("\n");
        let outer: Vec<String> = select
            .map(|(at, item)| Ok(format!("{} AS {}", quoted(&inner_name(at))?, quoted(&item.name)?)))
            .collect::<Result<_>>()?;
        let keys: Vec<String> =
            (0..outer.len()).map(|at| format!("sort_key(\"{}\")", inner_name(at))).collect();
        let mut lines = vec![
            format!("SELECT {}", outer.join(", ")),
            format!("FROM (\n{inner}\n)"),
            format!("GROUP BY {}", keys.join(", ")),
        ];
        lines.extend(ending(self.query, &SqliteWriter { is_outer: true, ..*self })?);
        Ok(lines.join("\n"))
    }
}

impl Writer for SqliteWriter<'_> {
    fn value(&self, e: &Expr) -> Result<String> {
        self.printed(e).map(|printed| printed.sql)
    }

    fn condition(&self, e: &Expr) -> Result<String> {
        self.printed(e).map(Printed::condition)
    }

    fn group_key(&self, e: &Expr) -> Result<String> {
        self.printed(e).map(|printed| printed.sort_key())
    }

    fn order_key(&self, e: &Expr, column: Option<usize>) -> Result<String> {
        match column.filter(|_| self.is_outer) {
            Some(column) => Ok(format!("sort_key(\"{}\")", inner_name(column))),
            None => self.group_key(e),
        }
    }

    fn name(&self, name: &str) -> Result<String> {
        quoted(name)
    }

    fn source(&self, query: &Query) -> Result<String> {
        let table = match self.dataset.keyed.is_some() {
            true => {
                let may_fail = query.filter.as_ref().is_some_and(may_fail);
                keyed::source(self.dataset, may_fail || exploded(&query.by).is_some())
            }
            false => quoted(&self.dataset.name)?,
        };
        match exploded(&query.by) {
            None => Ok(table),
            Some(list) => {
                Ok(format!("{table}, json_each(entry_numbers({})) AS {ENTRY}", self.printed(list)?.sql))
            }
        }
    }

    fn limit(&self, limit: Option<usize>, offset: usize) -> Option<String> {
        // an OFFSET needs a LIMIT before it
        match (limit, offset) {
            (None, 1..) => Some(format!("LIMIT -1 OFFSET {offset}")),
            _ => statement::limit(limit, offset),
        }
    }
}
