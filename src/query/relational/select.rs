//! One SELECT as SQL: its tables joined, its groups checked, its output called "c0", "c1". `bind` calls it.

use crate::error::{Error, Result};
use crate::query::explode::exploded;
use crate::query::expression::{AggregateCall, Expr};
use crate::query::language::{Item, Order};
use crate::query::plan::is_same;
use crate::query::print::sqlite::{ENTRY, Printed};
use crate::query::relational::bind::{Binder, distinct, ending, ordered};
use crate::query::relational::scope::{Column, Columns, Known, Scope, column_name};
use crate::query::relational::tree::{Output, Part, Relation, Select, Window, WindowFunction, part_of};

impl Binder<'_> {
    /// A SELECT with the order and the limit around it.
    pub(super) fn select(
        &self,
        select: &Select,
        around: &Relation,
        outer: &Scope<'_>,
    ) -> Result<(String, Vec<Column>)> {
        if let Some(answered) = self.answered(select, outer)? {
            return Ok(answered);
        }
        let mut scope = Scope::within(outer);
        let from = self.from(&select.from, &mut scope)?;
        let from = self.with_entries(from, select, &scope)?;
        self.check_groups(select, &around.order)?;
        let output = self.output(select, &scope)?;
        let list: Vec<String> = output
            .iter()
            .enumerate()
            .map(|(at, (_, known))| format!("{} AS {}", known.printed.sql, column_name(at)))
            .collect();
        let mut lines = vec![format!("SELECT {}", list.join(", "))];
        lines.extend(from.map(|from| format!("FROM {from}")));
        if let Some(filter) = &select.filter {
            lines.push(format!("WHERE {}", self.condition(filter, "where", &scope)?));
        }
        let keys = select.by.iter().map(|key| Ok(self.value(key, &scope)?.printed.sort_key()));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        if !keys.is_empty() {
            lines.push(format!("GROUP BY {}", keys.join(", ")));
        }
        if let Some(having) = &select.having {
            let condition = self.condition(having, "having", &scope)?;
            // one group of all rows, which must be told from no group
            let one_group = if keys.is_empty() { " AND count(*) >= 0" } else { "" };
            lines.push(format!("HAVING ({condition}){one_group}"));
        }
        let columns: Vec<Column> = output
            .into_iter()
            .map(|(name, known)| Column { name, kinds: known.printed.kinds, kind: known.kind })
            .collect();
        let mut sql = lines.join("\n");
        let order = self.whole_order(select, around);
        let order = match select.is_distinct {
            true => {
                sql = distinct(&sql, &columns);
                order.iter().map(|order| distinct_order(order, select, &columns)).collect()
            }
            false => order.iter().map(|order| self.order(order, &scope)).collect::<Result<Vec<_>>>(),
        };
        Ok((sql + &ending(&order?, around), columns))
    }

    /// The order that is written, and then that of the keys: groups that are equal so far come by their keys everywhere.
    /// Within a statement that matters to a limit alone.
    fn whole_order(&self, select: &Select, around: &Relation) -> Vec<Order> {
        let mut order = around.order.clone();
        let is_seen = std::ptr::eq(around, &self.question.relation);
        if is_seen || around.limit.is_some() || around.offset > 0 {
            let is_put_out = |key: &Expr| {
                select
                    .output
                    .iter()
                    .any(|part| matches!(part, Output::Item(item) if is_same(&item.expression, key)))
            };
            let keys = select.by.iter().filter(|key| !select.is_distinct || is_put_out(key));
            for key in keys {
                if !order.iter().any(|known| is_same(&known.expression, key)) {
                    order.push(Order { expression: key.clone(), descending: false, nulls_first: false });
                }
            }
        }
        order
    }

    /// FROM with the entries of the list that is a group key.
    fn with_entries(
        &self,
        from: Option<String>,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<Option<String>> {
        let Some(list) = exploded(&select.by) else { return Ok(from) };
        let list = self.value(list, scope)?.printed.sql;
        Ok(from.map(|from| format!("{from} JOIN json_each(entry_numbers({list})) AS {ENTRY}")))
    }

    fn output(&self, select: &Select, scope: &Scope<'_>) -> Result<Vec<(String, Known)>> {
        let mut output = Vec::new();
        for part in &select.output {
            match part {
                Output::Item(Item { expression, name }) => {
                    output.push((name.clone(), self.value(expression, scope)?));
                }
                Output::All(of) => self.all(of.as_deref(), scope, &mut output)?,
            }
        }
        Ok(output)
    }

    /// What `*` stands for; a column that USING made of two comes once.
    fn all(&self, of: Option<&str>, scope: &Scope<'_>, output: &mut Vec<(String, Known)>) -> Result<()> {
        let before = output.len();
        let mut merged: Vec<&str> = Vec::new();
        let is_meant = |name: Option<&str>| match (of, name) {
            (Some(of), Some(name)) => of.eq_ignore_ascii_case(name),
            (of, _) => of.is_none(),
        };
        for table in scope.tables.iter().filter(|table| is_meant(table.name.as_deref())) {
            for (place, name) in table.names().into_iter().enumerate() {
                let shared = scope
                    .merged
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(&name))
                    .filter(|_| of.is_none());
                let known = match (shared, &table.columns) {
                    (Some((shared, _)), _) if merged.contains(&shared.as_str()) => continue,
                    (Some((shared, known)), _) => {
                        merged.push(shared);
                        known.clone()
                    }
                    (None, Columns::Made(columns)) => {
                        table.known(place, columns[place].kinds, columns[place].kind)
                    }
                    (None, Columns::Dataset(..)) => match table.column(&name, self) {
                        Some(known) => known,
                        None => continue,
                    },
                };
                output.push((name.to_string(), known));
            }
        }
        match (output.len() == before, of) {
            (true, Some(name)) => Err(Error::invalid(format!("{name}.* is of no table after FROM"))),
            (true, None) => Err(Error::invalid("* has no columns without a FROM; name a dataset after it")),
            _ => Ok(()),
        }
    }

    /// Holds that what is put out of groups is a key of them, an aggregate, or made of these.
    fn check_groups(&self, select: &Select, order: &[Order]) -> Result<()> {
        let stars = || select.output.iter().any(|part| matches!(part, Output::All(_)));
        let items = select.output.iter().filter_map(|part| match part {
            Output::Item(item) => Some(&item.expression),
            Output::All(_) => None,
        });
        let over: Vec<&Expr> =
            items.chain(&select.having).chain(order.iter().map(|order| &order.expression)).collect();
        let is_grouped = !select.by.is_empty()
            || select.having.is_some()
            || over.iter().any(|e| self.any(e, &|part| matches!(part, Expr::Aggregate(_))));
        if !is_grouped {
            return Ok(());
        }
        if stars() {
            return Err(Error::invalid(
                "* names columns that have many values in a group; name the group keys",
            ));
        }
        over.iter().try_for_each(|e| self.check_of_group(e, &select.by))
    }

    fn check_of_group(&self, e: &Expr, keys: &[Expr]) -> Result<()> {
        if keys.iter().any(|key| is_same(key, e)) {
            return Ok(());
        }
        match e {
            Expr::Aggregate(_) => Ok(()),
            Expr::Column(name) => match part_of(name).and_then(|place| self.question.parts.get(place)) {
                Some(Part::Window(window)) => {
                    of_window(window).into_iter().try_for_each(|e| self.check_of_group(e, keys))
                }
                Some(Part::In(operand, _)) => self.check_of_group(operand, keys),
                // what a subquery says of the group is its own matter
                Some(Part::Scalar(_) | Part::Exists(_)) => Ok(()),
                None => Err(Error::invalid(format!(
                    "\"{name}\" has many values in a group; add it to the group by, or put it into an aggregate such as min({name})"
                ))),
            },
            other => {
                let mut told = Ok(());
                other.children(&mut |child| {
                    if told.is_ok() {
                        told = self.check_of_group(child, keys);
                    }
                });
                told
            }
        }
    }

    /// Whether something is true of any part of an expression, what window functions are about included.
    fn any(&self, e: &Expr, is: &dyn Fn(&Expr) -> bool) -> bool {
        let mut found = false;
        e.walk(&mut |part| {
            found |= is(part);
            if let Expr::Column(name) = part
                && let Some(Part::Window(window)) =
                    part_of(name).and_then(|place| self.question.parts.get(place))
            {
                found |= of_window(window).into_iter().any(|e| self.any(e, is));
            }
        });
        found
    }
}

/// The expressions that a window function is about.
fn of_window(window: &Window) -> Vec<&Expr> {
    let own: Vec<&Expr> = match &window.function {
        WindowFunction::Aggregate(AggregateCall { argument, filter, .. }) => {
            argument.iter().chain(filter).collect()
        }
        WindowFunction::Rank(_, arguments) => arguments.iter().collect(),
    };
    let order = window.order.iter().map(|order| &order.expression);
    own.into_iter().chain(&window.partition).chain(order).collect()
}

/// An order of rows that are there once: by what is put out.
fn distinct_order(order: &Order, select: &Select, columns: &[Column]) -> Result<String> {
    let is_put_out =
        |part: &Output| matches!(part, Output::Item(item) if is_same(&item.expression, &order.expression));
    let has_stars = select.output.iter().any(|part| matches!(part, Output::All(_)));
    let place = match &order.expression {
        Expr::Column(name) if has_stars => columns.iter().position(|column| column.name == *name),
        _ if has_stars => None,
        _ => select.output.iter().position(is_put_out),
    };
    let place = place.ok_or_else(|| {
        Error::invalid(format!(
            "DISTINCT rows can only be ordered by what is selected, and {} is not; add it to the SELECT",
            order.expression
        ))
    })?;
    Ok(ordered(&Printed::value(column_name(place), columns[place].kinds), order))
}
