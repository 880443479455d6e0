//! The tables of a SELECT, joined from left to right. `select` calls it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::{FieldType, is_system};
use crate::query::keyed;
use crate::query::language::Query;
use crate::query::print::sqlite::{Printed, native_comparison};
use crate::query::relational::bind::{Binder, renamed};
use crate::query::relational::scope::{Columns, Known, Scope, Visible, ambiguous};
use crate::query::relational::tree::{JoinCondition, JoinKind, Source, Table};
use crate::query::sequences::sessions;
use crate::store::snapshot::Dataset;

impl Binder<'_> {
    /// What stands after FROM; its tables come into the scope one by one, as conditions of joins see them.
    pub(super) fn from(&self, sources: &[Source], scope: &mut Scope<'_>) -> Result<Option<String>> {
        let mut text = String::new();
        for (at, source) in sources.iter().enumerate() {
            let (rows, table) = self.table(source, scope)?;
            if let Some(name) = &table.name
                && scope
                    .tables
                    .iter()
                    .any(|other| other.name.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(name)))
            {
                return Err(Error::invalid(format!(
                    "two tables are called \"{name}\"; give one another name, as in {name} AS other"
                )));
            }
            if at == 0 {
                scope.tables.push(table);
                text = rows;
                continue;
            }
            let join = match source.join.kind {
                JoinKind::Inner => "JOIN",
                JoinKind::Left => "LEFT JOIN",
                JoinKind::Right => "RIGHT JOIN",
                JoinKind::Full => "FULL JOIN",
            };
            let condition = match &source.join.condition {
                JoinCondition::None => {
                    scope.tables.push(table);
                    "1".to_owned()
                }
                JoinCondition::On(condition) => {
                    scope.tables.push(table);
                    self.condition(condition, "ON", scope)?
                }
                JoinCondition::Using(names) => self.using(names, source.join.kind, table, scope)?,
                JoinCondition::Natural => {
                    let is_shared = |name: &str| !is_system(name) && scope.tables.iter().any(|t| t.has(name));
                    let mut shared: Vec<String> = table.names().iter().map(|name| name.to_string()).collect();
                    shared.retain(|name| is_shared(name));
                    self.using(&shared, source.join.kind, table, scope)?
                }
            };
            text += &format!("\n{join} {rows} ON {condition}");
        }
        Ok((!sources.is_empty()).then_some(text))
    }

    /// The rows of a table, and how names refer to it.
    fn table(&self, source: &Source, scope: &Scope<'_>) -> Result<(String, Visible)> {
        let alias = format!("\"a{}\"", self.next_alias());
        let name = source.alias.clone();
        let (rows, name, columns) = match &source.table {
            Table::Named(wanted) => {
                let name = name.or_else(|| Some(wanted.clone()));
                match scope.named(wanted) {
                    Some(rows) => (rows.alias.clone(), name, Columns::Made(rows.columns.clone())),
                    None => {
                        let dataset = self.question.limits.reach.dataset(self.snapshot, wanted)?;
                        let shown = match &source.alias {
                            Some(alias) => format!("{wanted} AS {alias}"),
                            None => wanted.clone(),
                        };
                        let reference = self.refer(Arc::clone(&dataset), shown, &alias, None);
                        (format!("\"t{reference}\""), name, Columns::Dataset(dataset, reference))
                    }
                }
            }
            Table::Sessions(query) => {
                let (dataset, reference) = self.sessions(query, &alias)?;
                let name = name.or_else(|| Some("sessions".into()));
                (format!("\"t{reference}\""), name, Columns::Dataset(dataset, reference))
            }
            Table::Derived(relation) => {
                // the tables beside it are not seen from within
                let apart = Scope { outer: scope.outer, ..Scope::default() };
                let (sql, columns) = self.relation(relation, &apart)?;
                (format!("(\n{sql}\n)"), name, Columns::Made(columns))
            }
        };
        let columns = match columns {
            Columns::Made(columns) => {
                Columns::Made(renamed(columns, &source.columns, name.as_deref().unwrap_or("the subquery"))?)
            }
            dataset if source.columns.is_empty() => dataset,
            Columns::Dataset(..) => {
                return Err(Error::invalid(
                    "the columns of a dataset get no names behind its alias; name them in a subquery",
                ));
            }
        };
        Ok((format!("{rows} AS {alias}"), Visible { name, alias, columns }))
    }

    fn sessions(&self, query: &Query, alias: &str) -> Result<(Arc<Dataset>, usize)> {
        let named = self.question.limits.reach.dataset(self.snapshot, &query.from)?;
        let (source, _held) = keyed::as_events(&named, self.budget)?;
        let calendar = self.question.calendar.clone();
        let query = Query { calendar, limits: self.question.limits.clone(), ..query.clone() };
        let Some(of) = &query.sessions else { return Err(Error::Internal("sessions of nothing".into())) };
        let built = sessions::build(of, &query, &source, self.budget)?;
        self.add_looked_at((built.rows_scanned, built.segments));
        let (dataset, held) = built.into_dataset();
        let dataset = Arc::new(dataset);
        let shown = dataset.name.to_string();
        Ok((Arc::clone(&dataset), self.refer(dataset, shown, alias, Some(held))))
    }

    /// The condition that columns of the same name are equal; in the scope each is one column from now on.
    fn using(
        &self,
        names: &[String],
        kind: JoinKind,
        table: Visible,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let mut conditions = Vec::new();
        let mut merged = Vec::new();
        for name in names {
            let missing = || Error::invalid(format!("USING ({name}): both sides need a column of that name"));
            let left = match scope.merged.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, known)) => known.clone(),
                None => {
                    let holders: Vec<&Visible> =
                        scope.tables.iter().filter(|table| table.has(name)).collect();
                    match holders.as_slice() {
                        [one, other, ..] => return Err(ambiguous(name, one, other)),
                        holders => holders.iter().find_map(|t| t.column(name, self)).ok_or_else(missing)?,
                    }
                }
            };
            let right = table.column(name, self).ok_or_else(missing)?;
            conditions.push(equal(&left, &right));
            merged.push((name.clone(), one_of(kind, left, right)));
        }
        scope.merged.retain(|(known, _)| !names.iter().any(|name| name.eq_ignore_ascii_case(known)));
        scope.merged.extend(merged);
        scope.tables.push(table);
        Ok(if conditions.is_empty() { "1".into() } else { conditions.join(" AND ") })
    }
}

fn equal(left: &Known, right: &Known) -> String {
    let (a, b) = (&left.printed, &right.printed);
    match native_comparison(a.kinds, b.kinds) {
        true => format!("({} = {})", a.sql, b.sql),
        false => format!("truth(op_eq({}, {}))", a.sql, b.sql),
    }
}

/// The column that two equal ones are together: that of the side whose rows all stay.
fn one_of(kind: JoinKind, left: Known, right: Known) -> Known {
    match kind {
        JoinKind::Inner | JoinKind::Left => left,
        JoinKind::Right => right,
        JoinKind::Full => {
            let (a, b) = (&left.printed, &right.printed);
            let both = Printed::value(format!("coalesce({}, {})", a.sql, b.sql), a.kinds.with(b.kinds));
            let kind: Option<FieldType> = left.kind.filter(|kind| right.kind == Some(*kind));
            Known { printed: both, kind }
        }
    }
}
