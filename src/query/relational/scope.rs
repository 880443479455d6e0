//! What names mean within a SELECT: the columns of its tables, of the SELECTs around it, and what WITH has named. `bind`
//! fills a scope table by table and asks it.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::{FieldType, Kinds};
use crate::query::plan::{Fields, all_fields, find, unknown_name};
use crate::query::print::kinds::of_field;
use crate::query::print::sqlite::Printed;
use crate::query::relational::bind::Binder;
use crate::query::relational::tree::part_of;
use crate::store::snapshot::Dataset;

/// A value as it is printed, and its type where it has one whatever the rows hold.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) printed: Printed,
    pub(super) kind: Option<FieldType>,
}

/// A column of rows that were made in the statement; the n-th is called "cn" there.
#[derive(Debug, Clone)]
pub struct Column {
    /// What it is called in the question.
    pub name: String,
    /// The kinds that its values can have.
    pub kinds: Kinds,
    /// Its type, where it has one whatever the rows hold.
    pub kind: Option<FieldType>,
}

/// The n-th column of a table, as an identifier.
pub(super) fn column_name(place: usize) -> String {
    format!("\"c{place}\"")
}

/// A table that names may refer to.
#[derive(Debug)]
pub(super) struct Visible {
    /// What stands before its columns in the question: `v` of `v.country`.
    pub(super) name: Option<String>,
    /// What it is called in the printed statement, as an identifier.
    pub(super) alias: String,
    pub(super) columns: Columns,
}

/// The columns of a table.
#[derive(Debug)]
pub(super) enum Columns {
    /// Those of a dataset; only the ones that are asked for become columns of the reference.
    Dataset(Arc<Dataset>, usize),
    /// These.
    Made(Vec<Column>),
}

/// Rows that WITH has named.
#[derive(Debug)]
pub(super) struct NamedRows {
    /// What they are called in the question.
    pub(super) name: String,
    /// What they are called in the printed statement, as an identifier.
    pub(super) alias: String,
    pub(super) columns: Vec<Column>,
}

/// What names mean at one place.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    /// What is around it.
    pub(super) outer: Option<&'a Scope<'a>>,
    pub(super) named: Vec<NamedRows>,
    pub(super) tables: Vec<Visible>,
    /// The columns that USING made one of.
    pub(super) merged: Vec<(String, Known)>,
}

impl<'a> Scope<'a> {
    /// A scope within another.
    pub(super) fn within(outer: &'a Scope<'a>) -> Self {
        Self { outer: Some(outer), ..Self::default() }
    }

    /// What WITH calls so, the nearest first.
    pub(super) fn named(&self, name: &str) -> Option<&NamedRows> {
        let own = self.named.iter().rev().find(|rows| rows.name.eq_ignore_ascii_case(name));
        own.or_else(|| self.outer.and_then(|outer| outer.named(name)))
    }

    /// What a name means here, or around here.
    ///
    /// # Errors
    /// It means nothing, or more than one thing.
    pub(super) fn find(&self, name: &str, binder: &Binder<'_>) -> Result<Known> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(found) = here.find_here(name, binder)? {
                return Ok(found);
            }
            scope = here.outer;
        }
        Err(self.unknown(name))
    }

    fn find_here(&self, name: &str, binder: &Binder<'_>) -> Result<Option<Known>> {
        let qualified =
            self.tables.iter().find_map(|table| table.column(within(table.name.as_deref()?, name)?, binder));
        if qualified.is_some() {
            return Ok(qualified);
        }
        if let Some((_, merged)) = self.merged.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Ok(Some(merged.clone()));
        }
        let mut holders = self.tables.iter().filter(|table| table.has(name));
        match (holders.next(), holders.next()) {
            (Some(one), None) => Ok(one.column(name, binder)),
            (Some(one), Some(other)) => Err(ambiguous(name, one, other)),
            _ => Ok(None),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let mut known: Vec<String> = Vec::new();
        let mut scope = Some(self);
        while let Some(here) = scope {
            for table in &here.tables {
                let names = table.names();
                match &table.name {
                    Some(own) if within(own, name).is_some() => {
                        known.extend(names.iter().map(|name| format!("{own}.{name}")));
                    }
                    _ => known.extend(names.iter().map(|name| name.to_string())),
                }
            }
            scope = here.outer;
        }
        if known.is_empty() {
            return Error::invalid(format!(
                "there is no column \"{name}\": the SELECT has no FROM; name a dataset, as in SELECT {name} FROM events"
            ));
        }
        unknown_name("no table of the SELECT has a column", name, known.iter().map(String::as_str))
    }
}

/// What stands behind the name of a table: `path` of `v.path`. As everywhere in SQL, the case of its letters is no matter.
fn within<'n>(table: &str, name: &'n str) -> Option<&'n str> {
    let (before, rest) = name.split_at_checked(table.len())?;
    rest.strip_prefix('.').filter(|_| before.eq_ignore_ascii_case(table))
}

/// The place of a column: of just that name, else of the only one that differs in the case of its letters alone.
fn place(name: &str, columns: &[Column]) -> Option<usize> {
    let same = columns.iter().position(|column| column.name == name);
    let alike = || {
        let mut alike =
            columns.iter().enumerate().filter(|(_, column)| column.name.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none()).map(|(at, _)| at)
    };
    same.or_else(alike)
}

/// The error of a name that two tables have.
pub(super) fn ambiguous(name: &str, one: &Visible, other: &Visible) -> Error {
    let called = |table: &Visible| table.name.clone().unwrap_or_else(|| "a subquery".into());
    Error::invalid(format!(
        "\"{name}\" is a column of {} and of {}; write {}.{name}",
        called(one),
        called(other),
        one.name.as_deref().unwrap_or("alias"),
    ))
}

impl Visible {
    /// Its columns in order.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        match &self.columns {
            Columns::Dataset(dataset, _) => all_fields(dataset).collect(),
            Columns::Made(columns) => columns.iter().map(|column| column.name.as_str().into()).collect(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match &self.columns {
            Columns::Dataset(dataset, _) => find(name, dataset).is_some(),
            Columns::Made(columns) => place(name, columns).is_some(),
        }
    }

    /// A column of it by name.
    pub(super) fn column(&self, name: &str, binder: &Binder<'_>) -> Option<Known> {
        let (place, kinds, kind) = match &self.columns {
            Columns::Dataset(dataset, reference) => {
                let name = find(name, dataset)?;
                let (kinds, kind) = (crate::query::plan::field_kinds(&name, dataset), dataset.type_of(&name));
                (binder.used(*reference, name), of_field(kinds), kind)
            }
            Columns::Made(columns) => {
                let place = place(name, columns)?;
                (place, columns[place].kinds, columns[place].kind)
            }
        };
        Some(self.known(place, kinds, kind))
    }

    /// Its n-th column, for `*`.
    pub(super) fn known(&self, place: usize, kinds: Kinds, kind: Option<FieldType>) -> Known {
        let sql = format!("{}.{}", self.alias, column_name(place));
        Known { printed: Printed::value(sql, kinds), kind }
    }
}

/// The names of one place, for whoever resolves expressions.
pub(super) struct Here<'a> {
    pub(super) binder: &'a Binder<'a>,
    pub(super) scope: &'a Scope<'a>,
}

impl Here<'_> {
    /// What a name or the name of a part means.
    pub(super) fn find(&self, name: &str) -> Result<Known> {
        match part_of(name) {
            Some(place) => self.binder.part(place, self.scope),
            None => self.scope.find(name, self.binder),
        }
    }
}

impl Fields for Here<'_> {
    fn canonical(&self, name: &str) -> Result<Arc<str>> {
        self.find(name).map(|_| name.into())
    }

    fn type_of(&self, name: &str) -> Option<FieldType> {
        self.find(name).ok()?.kind
    }
}
