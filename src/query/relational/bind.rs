//! From a tree to one SELECT that SQLite can run: names are found, types checked as everywhere, and each SELECT is printed over
//! the tables of `sqlite::table`. A part that is a question about one dataset by itself, and makes groups or few rows, is
//! asked of the vector engine, and its rows are a table. `relational::run` calls it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};
use crate::query;
use crate::query::budget::{Budget, Held};
use crate::query::expression::Expr;
use crate::query::language::{Order, Query};
use crate::query::plan::Names;
use crate::query::print::kinds::{every, of_field};
use crate::query::print::sqlite::{Printed, expression, mixes};
use crate::query::relational::made;
use crate::query::relational::scope::{Column, Here, Known, NamedRows, Scope, column_name};
use crate::query::relational::tree::{Body, Named, Relation, Relational, Select, SetOperation};
use crate::store::snapshot::{Dataset, Snapshot};

/// A statement for SQLite.
#[derive(Debug)]
pub struct Bound {
    /// Its text.
    pub sql: String,
    /// What comes out.
    pub columns: Vec<Column>,
    /// What its tables "t0", "t1" are.
    pub references: Vec<Reference>,
    /// Rows that the vector engine looked at for it, and segments that they are of.
    pub looked_at: (u64, u64),
    /// Whether an estimate is in it.
    pub is_approximate: bool,
}

/// One table of a statement.
#[derive(Debug)]
pub struct Reference {
    /// Whose rows it has.
    pub dataset: Arc<Dataset>,
    /// The fields that are its columns "c0", "c1".
    pub columns: Vec<Arc<str>>,
    /// What it is for people.
    pub shown: String,
    /// Whether its rows were made for the statement.
    pub is_made: bool,
    /// What it is called where it is read.
    pub alias: String,
    _held: Option<Held>,
}

/// Gives a question its meaning on a snapshot.
///
/// # Errors
/// Names and types; what a part asks of the vector engine.
pub fn bind(snapshot: &Snapshot, question: &Relational, budget: &Arc<Budget>) -> Result<Bound> {
    let binder = Binder {
        snapshot,
        question,
        budget,
        references: RefCell::default(),
        parts: RefCell::default(),
        aliases: Cell::default(),
        looked_at: Cell::default(),
        is_approximate: Cell::default(),
    };
    let (sql, columns) = binder.relation(&question.relation, &Scope::default())?;
    Ok(Bound {
        sql,
        columns,
        references: binder.references.into_inner(),
        looked_at: binder.looked_at.get(),
        is_approximate: binder.is_approximate.get(),
    })
}

/// Makes one statement.
pub(super) struct Binder<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) question: &'a Relational,
    pub(super) budget: &'a Arc<Budget>,
    references: RefCell<Vec<Reference>>,
    /// Parts that are printed: an expression that was copied has its parts once.
    pub(super) parts: RefCell<HashMap<usize, Known>>,
    aliases: Cell<usize>,
    looked_at: Cell<(u64, u64)>,
    is_approximate: Cell<bool>,
}

impl Binder<'_> {
    /// Rows with what stands around them, as a SELECT with columns "c0", "c1".
    pub(super) fn relation(&self, relation: &Relation, outer: &Scope<'_>) -> Result<(String, Vec<Column>)> {
        let mut scope = Scope::within(outer);
        let mut with = Vec::new();
        for named in &relation.with {
            let (text, entry) = self.named(named, relation.is_recursive, &scope)?;
            with.push(text);
            scope.named.push(entry);
        }
        let (sql, columns) = match &relation.body {
            Body::Select(select) => self.select(select, relation, &scope)?,
            body => self.set_with_order(body, relation, &scope)?,
        };
        match with.is_empty() {
            true => Ok((sql, columns)),
            false => {
                let recursive = if relation.is_recursive { "RECURSIVE " } else { "" };
                Ok((format!("WITH {recursive}{}\n{sql}", with.join(",\n")), columns))
            }
        }
    }

    fn set_with_order(
        &self,
        body: &Body,
        relation: &Relation,
        scope: &Scope<'_>,
    ) -> Result<(String, Vec<Column>)> {
        let (sql, columns) = self.body(body, scope)?;
        if relation.order.is_empty() && relation.limit.is_none() && relation.offset == 0 {
            return Ok((sql, columns));
        }
        let order = relation.order.iter().map(|order| {
            let place = output_place(&order.expression, &columns)?;
            Ok(ordered(&Printed::value(column_name(place), columns[place].kinds), order))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let sql = format!("SELECT {} FROM (\n{sql}\n)", names(columns.len()));
        Ok((sql + &ending(&order, relation), columns))
    }

    /// What WITH names: its text, and how it is called where.
    fn named(&self, named: &Named, is_recursive: bool, scope: &Scope<'_>) -> Result<(String, NamedRows)> {
        let alias = format!("\"w{}\"", self.next_alias());
        let (sql, columns) = match &named.relation.body {
            Body::Set {
                operation: operation @ (SetOperation::Union | SetOperation::UnionAll),
                left,
                right,
            } if is_recursive && named.relation.with.is_empty() => {
                self.recursive(named, &alias, *operation, (left, right), scope)?
            }
            _ => self.relation(&named.relation, scope)?,
        };
        let columns = renamed(columns, &named.columns, &named.name)?;
        let hint = match named.is_materialized {
            None => "",
            Some(true) => "MATERIALIZED ",
            Some(false) => "NOT MATERIALIZED ",
        };
        let text = format!("{alias}({}) AS {hint}(\n{sql}\n)", names(columns.len()));
        Ok((text, NamedRows { name: named.name.clone(), alias, columns }))
    }

    /// Rows that may go out from themselves: what the columns hold is known of the first of them alone.
    fn recursive(
        &self,
        named: &Named,
        alias: &str,
        operation: SetOperation,
        (left, right): (&Body, &Body),
        outer: &Scope<'_>,
    ) -> Result<(String, Vec<Column>)> {
        let (first, columns) = self.body(left, outer)?;
        let anything = |column: &Column| Column { kinds: every(), kind: None, ..column.clone() };
        let itself = renamed(columns.iter().map(anything).collect(), &named.columns, &named.name)?;
        let mut scope = Scope::within(outer);
        scope.named.push(NamedRows { name: named.name.clone(), alias: alias.to_owned(), columns: itself });
        let (then, more) = self.body(right, &scope)?;
        let columns = together(columns, &more, operation)?;
        let order = named.relation.order.iter().map(|order| {
            let place = output_place(&order.expression, &columns)?;
            let direction = if order.descending { " DESC" } else { "" };
            Ok(format!("{}{direction} NULLS {}", place + 1, if order.nulls_first { "FIRST" } else { "LAST" }))
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let sql = format!("{first}\n{}\n{then}", words(operation)) + &ending(&order, &named.relation);
        Ok((sql, columns))
    }

    /// Rows without an order.
    fn body(&self, body: &Body, scope: &Scope<'_>) -> Result<(String, Vec<Column>)> {
        match body {
            Body::Select(select) => {
                let bare = Relation::bare();
                self.select(select, &bare, scope)
            }
            Body::Nested(relation) => {
                let (sql, columns) = self.relation(relation, scope)?;
                Ok((format!("SELECT {} FROM (\n{sql}\n)", names(columns.len())), columns))
            }
            Body::Values(rows) => self.values(rows, scope),
            Body::Set { operation, left, right } => {
                let operand = |body: &Body, is_alike: bool| {
                    let (sql, columns) = self.body(body, scope)?;
                    Ok::<_, Error>(match body {
                        Body::Set { .. } if !is_alike => {
                            (format!("SELECT {} FROM (\n{sql}\n)", names(columns.len())), columns)
                        }
                        _ => (sql, columns),
                    })
                };
                let is_alike = matches!(&**left, Body::Set { operation: other, .. } if other == operation);
                let (first, columns) = operand(left, is_alike)?;
                let (then, more) = operand(right, false)?;
                let columns = together(columns, &more, *operation)?;
                let has_several_forms = columns.iter().any(|column| mixes(column.kinds));
                Ok((set(*operation, &first, &then, &columns, has_several_forms)?, columns))
            }
        }
    }

    fn values(&self, rows: &[Vec<Expr>], scope: &Scope<'_>) -> Result<(String, Vec<Column>)> {
        let mut columns: Vec<Column> = Vec::new();
        let mut texts = Vec::with_capacity(rows.len());
        for row in rows {
            let row = row.iter().map(|value| self.value(value, scope)).collect::<Result<Vec<_>>>()?;
            let list: Vec<&str> = row.iter().map(|value| value.printed.sql.as_str()).collect();
            texts.push(format!("({})", list.join(", ")));
            let is_first = columns.is_empty();
            for (at, value) in row.into_iter().enumerate() {
                let (kinds, kind) = (value.printed.kinds, value.kind);
                match columns.get_mut(at) {
                    Some(column) if !is_first => add_kinds(column, kinds, kind),
                    _ => columns.push(Column { name: format!("column{}", at + 1), kinds, kind }),
                }
            }
        }
        let list: Vec<String> =
            (0..columns.len()).map(|at| format!("column{} AS {}", at + 1, column_name(at))).collect();
        Ok((format!("SELECT {} FROM (VALUES {})", list.join(", "), texts.join(", ")), columns))
    }

    /// An expression as a value.
    pub(super) fn value(&self, e: &Expr, scope: &Scope<'_>) -> Result<Known> {
        let here = Here { binder: self, scope };
        let names = Names { fields: &here, calendar: &self.question.calendar };
        let resolved = names.resolve(e.clone())?;
        self.note(&resolved);
        let kind = names.type_of(&resolved);
        let printed = expression(&resolved, &|name| here.find(name).map(|known| known.printed))?;
        Ok(Known { printed, kind })
    }

    /// An expression as a condition; `place` begins the error where it cannot be one.
    pub(super) fn condition(&self, e: &Expr, place: &str, scope: &Scope<'_>) -> Result<String> {
        let here = Here { binder: self, scope };
        let names = Names { fields: &here, calendar: &self.question.calendar };
        let resolved = names.condition(e.clone(), place)?;
        self.note(&resolved);
        let printed = expression(&resolved, &|name| here.find(name).map(|known| known.printed))?;
        Ok(printed.condition())
    }

    /// Notes that an estimate is in the statement, where one is in an expression.
    fn note(&self, e: &Expr) {
        e.walk(&mut |part| {
            if matches!(part, Expr::Aggregate(call) if call.function.is_approximate()) {
                self.is_approximate.set(true);
            }
        });
    }

    /// A part of an order.
    pub(super) fn order(&self, order: &Order, scope: &Scope<'_>) -> Result<String> {
        Ok(ordered(&self.value(&order.expression, scope)?.printed, order))
    }

    /// The place of a field among the columns of a reference.
    pub(super) fn used(&self, reference: usize, name: Arc<str>) -> usize {
        let mut references = self.references.borrow_mut();
        let Some(Reference { columns, .. }) = references.get_mut(reference) else { return 0 };
        columns.iter().position(|known| *known == name).unwrap_or_else(|| {
            columns.push(name);
            columns.len() - 1
        })
    }

    /// A new table of the statement, by its number.
    pub(super) fn refer(
        &self,
        dataset: Arc<Dataset>,
        shown: String,
        alias: &str,
        held: Option<Held>,
    ) -> usize {
        let mut references = self.references.borrow_mut();
        let (alias, is_made) = (alias.trim_matches('"').to_owned(), held.is_some());
        references.push(Reference { dataset, columns: Vec::new(), shown, is_made, alias, _held: held });
        references.len() - 1
    }

    /// A number that no table or name of the statement has yet.
    pub(super) fn next_alias(&self) -> usize {
        self.aliases.replace(self.aliases.get() + 1)
    }

    pub(super) fn add_looked_at(&self, (rows, segments): (u64, u64)) {
        let (all_rows, all_segments) = self.looked_at.get();
        self.looked_at.set((all_rows + rows, all_segments + segments));
    }

    /// The rows of a SELECT that the vector engine answers, as a table; `None` where it is no such question here.
    pub(super) fn answered(
        &self,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<Option<(String, Vec<Column>)>> {
        let Some(plain) = select.plain.as_deref().filter(|plain| is_small(plain)) else { return Ok(None) };
        let Ok(dataset) = self.question.limits.reach.dataset(self.snapshot, &plain.from) else {
            return Ok(None);
        };
        let calendar = self.question.calendar.clone();
        let query = Query { calendar, limits: self.question.limits.clone(), ..plain.clone() };
        let is_of_it = query.sessions.is_some() || query::plan::plan(&query, &dataset).is_ok();
        if scope.named(&plain.from).is_some() || !is_of_it || dataset.keyed.is_some() {
            return Ok(None);
        }
        let (plan, output) = query::rows(self.snapshot, &query, self.budget)?;
        self.add_looked_at((output.rows_scanned, output.segments));
        self.is_approximate.set(self.is_approximate.get() || plan.is_approximate());
        let (dataset, fields) = made::dataset(&dataset.name, plan.names.len(), &output.rows);
        let columns = plan.names.iter().zip(&plan.types).zip(&fields);
        let column = |((name, kind), field): ((&String, &Option<FieldType>), &Arc<str>)| {
            let kinds = of_field(dataset.fields.kinds(field).unwrap_or_default());
            Column { name: name.clone(), kinds, kind: *kind }
        };
        let columns = columns.map(column).collect::<Vec<_>>();
        let shown = format!("{} rows that the vector engine made of {}", output.rows.len(), query.from);
        let alias = format!("\"a{}\"", self.next_alias());
        let reference = self.refer(Arc::new(dataset), shown, &alias, output.held);
        fields.into_iter().for_each(|field| {
            self.used(reference, field);
        });
        Ok(Some((format!("SELECT {} FROM \"t{reference}\" AS {alias}", names(columns.len())), columns)))
    }
}

impl Relation {
    /// Nothing around rows.
    fn bare() -> Self {
        let body = Body::Values(Vec::new());
        Self { with: Vec::new(), is_recursive: false, body, order: Vec::new(), limit: None, offset: 0 }
    }
}

/// Whether a question makes groups or few rows, so that its answer is worth a table of its own.
fn is_small(query: &Query) -> bool {
    let expressions = query.select.iter().map(|item| &item.expression);
    !query.by.is_empty()
        || query.distinct
        || query.limit.is_some()
        || query.having.is_some()
        || expressions.chain(query.order.iter().map(|o| &o.expression)).any(Expr::has_aggregate)
}

/// The columns "c0", "c1" and so on, as a list.
pub(super) fn names(count: usize) -> String {
    (0..count).map(column_name).collect::<Vec<_>>().join(", ")
}

pub(super) fn ordered(printed: &Printed, order: &Order) -> String {
    let direction = if order.descending { " DESC" } else { "" };
    let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
    format!("{}{direction} NULLS {nulls}", printed.sort_key())
}

/// ORDER BY, LIMIT and OFFSET.
pub(super) fn ending(order: &[String], relation: &Relation) -> String {
    let mut text = String::new();
    if !order.is_empty() {
        text += &format!("\nORDER BY {}", order.join(", "));
    }
    match (relation.limit, relation.offset) {
        (None, 0) => {}
        (Some(limit), 0) => text += &format!("\nLIMIT {limit}"),
        // an OFFSET needs a LIMIT before it
        (limit, offset) => {
            let limit = limit.map_or_else(|| "-1".into(), |limit| limit.to_string());
            text += &format!("\nLIMIT {limit} OFFSET {offset}");
        }
    }
    text
}

/// Equal rows once, by what is equal here.
pub(super) fn distinct(sql: &str, columns: &[Column]) -> String {
    let keys = columns.iter().enumerate();
    let keys: Vec<String> =
        keys.map(|(at, column)| Printed::value(column_name(at), column.kinds).sort_key()).collect();
    format!("SELECT {} FROM (\n{sql}\n) GROUP BY {}", names(columns.len()), keys.join(", "))
}

/// The output column that an order around sets means: its name or its position.
fn output_place(e: &Expr, columns: &[Column]) -> Result<usize> {
    let found = match e {
        Expr::Column(name) => columns.iter().position(|column| column.name == *name),
        Expr::Literal(crate::value::Value::Int(place)) => usize::try_from(*place)
            .ok()
            .and_then(|place| place.checked_sub(1))
            .filter(|at| *at < columns.len()),
        _ => None,
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Error::invalid(format!(
            "UNION and the like are ordered by the name or the position of an output column, and {e} is none; there are {}",
            names.join(", ")
        ))
    })
}

/// Columns under the names that stand behind an alias.
pub(super) fn renamed(mut columns: Vec<Column>, names: &[String], table: &str) -> Result<Vec<Column>> {
    if !names.is_empty() && names.len() != columns.len() {
        return Err(Error::invalid(format!(
            "{} names stand behind \"{table}\", which has {} columns",
            names.len(),
            columns.len()
        )));
    }
    columns.iter_mut().zip(names).for_each(|(column, name)| column.name.clone_from(name));
    Ok(columns)
}

fn add_kinds(column: &mut Column, kinds: Kinds, kind: Option<FieldType>) {
    column.kinds = column.kinds.with(kinds);
    column.kind = column.kind.filter(|known| Some(*known) == kind);
}

/// The columns of two sets of rows together.
fn together(mut columns: Vec<Column>, more: &[Column], operation: SetOperation) -> Result<Vec<Column>> {
    if columns.len() != more.len() {
        return Err(Error::invalid(format!(
            "{} needs as many columns on both sides: there are {} and {}",
            words(operation),
            columns.len(),
            more.len()
        )));
    }
    columns.iter_mut().zip(more).for_each(|(column, other)| add_kinds(column, other.kinds, other.kind));
    Ok(columns)
}

fn words(operation: SetOperation) -> &'static str {
    match operation {
        SetOperation::Union => "UNION",
        SetOperation::UnionAll => "UNION ALL",
        SetOperation::Intersect => "INTERSECT",
        SetOperation::Except => "EXCEPT",
    }
}

/// Two SELECTs together. Where equal values can have several forms, SQLite's own comparison would tell them apart.
fn set(
    operation: SetOperation,
    first: &str,
    then: &str,
    columns: &[Column],
    has_several_forms: bool,
) -> Result<String> {
    match operation {
        SetOperation::Union if has_several_forms => {
            Ok(distinct(&format!("{first}\nUNION ALL\n{then}"), columns))
        }
        SetOperation::Intersect | SetOperation::Except if has_several_forms => Err(Error::invalid(format!(
            "{} compares values of several types in one column; cast both sides to one type",
            words(operation)
        ))),
        _ => Ok(format!("{first}\n{}\n{then}", words(operation))),
    }
}
