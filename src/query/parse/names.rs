//! What GROUP BY, HAVING and ORDER BY may call by name or number: the output columns. Called by `sql` and `json`.

use crate::error::{Error, Result};
use crate::query::expression::Expr;
use crate::query::language::Item;
use crate::value::Value;

/// Nodes that are copied at most for one query: BETWEEN, CASE and aliases use an expression several times, so nested
/// they double it.
const NODES: usize = 100_000;

/// Copies expressions as long as that does not get out of hand.
#[derive(Debug, Default)]
pub(super) struct Copies(usize);

impl Copies {
    /// A copy, or the error that there have been too many.
    pub(super) fn copy(&mut self, expression: &Expr) -> Result<Expr> {
        expression.walk(&mut |_| self.0 += 1);
        if self.0 > NODES {
            return Err(Error::invalid(
                "the query becomes too large when BETWEEN, CASE and aliases are written out; repeat less of it",
            ));
        }
        Ok(expression.clone())
    }
}

/// The output columns that names and positions refer to.
pub(super) struct Names<'a> {
    /// The output columns.
    pub(super) items: &'a [Item],
    /// Group keys: an expression that is one already stays as it is.
    pub(super) keys: &'a [Expr],
}

impl Names<'_> {
    /// The expression with output columns in place of their names. An alias goes before a field of the same name;
    /// in the argument of an aggregate names are fields.
    pub(super) fn resolve(&self, expression: Expr, copies: &mut Copies) -> Result<Expr> {
        match &expression {
            Expr::Column(name) => match self.items.iter().find(|item| item.name == *name) {
                Some(item) => copies.copy(&item.expression),
                None => Ok(expression),
            },
            Expr::Aggregate(_) | Expr::Literal(_) => Ok(expression),
            _ if self.items.iter().any(|item| item.expression == expression) => Ok(expression),
            _ if self.keys.contains(&expression) => Ok(expression),
            _ => expression.map_children(&mut |child| self.resolve(child, copies)),
        }
    }

    /// The same, where a whole number alone is the position of an output column.
    pub(super) fn resolve_position(
        &self,
        expression: Expr,
        copies: &mut Copies,
        clause: &str,
    ) -> Result<Expr> {
        let Expr::Literal(Value::Int(position)) = expression else { return self.resolve(expression, copies) };
        let item = usize::try_from(position).ok().and_then(|p| self.items.get(p.checked_sub(1)?));
        match item {
            Some(item) => copies.copy(&item.expression),
            None => Err(Error::invalid(format!(
                "{clause} {position} names no column: there are {}, counted from 1",
                self.items.len()
            ))),
        }
    }
}
