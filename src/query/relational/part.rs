//! What stands in an expression and is none: subqueries and window functions, as SQL. Names in expressions lead here
//! (`scope`).

use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};
use crate::query::expression::{AggregateFunction, Expr};
use crate::query::print::kinds::every;
use crate::query::print::sqlite::{Printed, native_comparison};
use crate::query::relational::bind::Binder;
use crate::query::relational::scope::{Column, Known, Scope, column_name};
use crate::query::relational::tree::{Part, RankReturns, Relation, Window, WindowFunction};
use crate::query::sqlite::aggregates::window_name;

impl Binder<'_> {
    /// A part as it is printed, once: copies of an expression have the same parts.
    pub(super) fn part(&self, place: usize, scope: &Scope<'_>) -> Result<Known> {
        if let Some(known) = self.parts.borrow().get(&place) {
            return Ok(known.clone());
        }
        let part = self.question.parts.get(place);
        let part = part.ok_or_else(|| Error::Internal(format!("there is no part {place}")))?;
        let truth = |sql| Known { printed: Printed::truth(sql), kind: Some(FieldType::Bool) };
        let known = match part {
            Part::Scalar(relation) => {
                let (sql, column) = self.one_column(relation, scope)?;
                Known { printed: Printed::value(format!("(\n{sql}\n)"), column.kinds), kind: column.kind }
            }
            Part::Exists(relation) => truth(format!("EXISTS (\n{}\n)", self.relation(relation, scope)?.0)),
            Part::In(operand, relation) => {
                let operand = self.value(operand, scope)?.printed;
                let (sql, column) = self.one_column(relation, scope)?;
                truth(match native_comparison(operand.kinds, column.kinds) {
                    true => format!("({} IN (\n{sql}\n))", operand.sql),
                    false => {
                        let (wanted, key) = (operand.sql, column_name(0));
                        format!("(sort_key({wanted}) IN (SELECT sort_key({key}) FROM (\n{sql}\n)))")
                    }
                })
            }
            Part::Window(window) => self.window(window, scope)?,
        };
        self.parts.borrow_mut().insert(place, known.clone());
        Ok(known)
    }

    fn one_column(&self, relation: &Relation, scope: &Scope<'_>) -> Result<(String, Column)> {
        let (sql, columns) = self.relation(relation, scope)?;
        match <[Column; 1]>::try_from(columns) {
            Ok([column]) => Ok((sql, column)),
            Err(columns) => Err(Error::invalid(format!(
                "a subquery that is a value has one column, and this has {}: {}",
                columns.len(),
                columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
            ))),
        }
    }

    fn window(&self, window: &Window, scope: &Scope<'_>) -> Result<Known> {
        let (call, kinds, kind) = match &window.function {
            WindowFunction::Aggregate(call) => {
                let Known { printed, kind } = self.value(&Expr::Aggregate(Box::new(call.clone())), scope)?;
                let sql = match call.function {
                    // SQLite's own, which is one over windows too
                    AggregateFunction::Count => printed.sql,
                    function => printed.sql.replacen(function.name(), &window_name(function), 1),
                };
                (sql, printed.kinds, kind)
            }
            WindowFunction::Rank(rank, arguments) => {
                let given = arguments.iter().map(|e| self.value(e, scope)).collect::<Result<Vec<Known>>>()?;
                let list: Vec<&str> = given.iter().map(|known| known.printed.sql.as_str()).collect();
                let (kinds, kind) = match rank.returns {
                    RankReturns::Int => (Kinds::of(FieldType::Int), Some(FieldType::Int)),
                    RankReturns::Float => (Kinds::of(FieldType::Float), Some(FieldType::Float)),
                    RankReturns::Argument => of_arguments(&given),
                };
                (format!("{}({})", rank.name, list.join(", ")), kinds, kind)
            }
        };
        let mut over = Vec::new();
        if !window.partition.is_empty() {
            let keys = window.partition.iter().map(|e| Ok(self.value(e, scope)?.printed.sort_key()));
            over.push(format!("PARTITION BY {}", keys.collect::<Result<Vec<_>>>()?.join(", ")));
        }
        if !window.order.is_empty() {
            let order = window.order.iter().map(|order| self.order(order, scope));
            over.push(format!("ORDER BY {}", order.collect::<Result<Vec<_>>>()?.join(", ")));
        }
        over.extend(window.frame.clone());
        Ok(Known { printed: Printed::value(format!("{call} OVER ({})", over.join(" ")), kinds), kind })
    }
}

/// The values that `lag` and the like put out are the first argument's, or the third's where there is no such row.
fn of_arguments(given: &[Known]) -> (Kinds, Option<FieldType>) {
    let (value, otherwise) = (given.first(), given.get(2));
    let kinds = value.map_or(every(), |known| known.printed.kinds);
    let kind = value.and_then(|known| known.kind);
    match otherwise {
        None => (kinds, kind),
        Some(other) => {
            (kinds.with(other.printed.kinds), kind.filter(|_| other.kind.is_none() || other.kind == kind))
        }
    }
}
