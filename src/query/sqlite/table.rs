//! A dataset as a table of SQLite: an eponymous virtual table that can only be read, a module of its own for each place where
//! a statement names it. SQLite tells which conditions it has (`pushed`), gets rows by a scan (`scan`) or a lookup
//! (`lookup`), and cells one by one. `sandbox` registers them.
//!
//! The `unsafe` here is of one kind: the traits of rusqlite's tables and cursors are unsafe to implement, because SQLite
//! holds what implements them by the address of its first field. Both structs below are `repr(C)` and have that field
//! first; everything else is safe code.
#![expect(unsafe_code, reason = "tables and cursors of rusqlite, whose first fields are SQLite's")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::{Null, ToSql, ToSqlOutput, ValueRef};
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConfig, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};

use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::store::snapshot::Dataset;
use crate::value::Value;

use super::Shared;
use super::lookup::{Index, Repeated, Way};
use super::pushed::{self, Argument, Term, Test, Values};
use super::scan::{Looked, Piece, Scan, Source};
use crate::store::values::{Stored, bool_blob, time_blob};

/// Bytes that an index takes for a row, about: what has no room for one should stand outside of a join.
const INDEX_ROW_BYTES: u64 = 64;
/// Of so many rows one is taken to be equal to a value.
const ROWS_OF_A_VALUE: f64 = 1_000.0;
/// Of so many rows one is taken to be on the right side of a comparison.
const ROWS_OF_A_RANGE: f64 = 4.0;

/// What a table of the statement stands for: some columns of a dataset, called "c0", "c1", … there.
#[derive(Debug, Clone)]
pub struct Table {
    /// The name in the statement.
    pub name: String,
    /// What its rows are of.
    pub dataset: Arc<Dataset>,
    /// Fields of the dataset; `_time`, `_seq` and `_id` are fields too.
    pub columns: Vec<Arc<str>>,
}

/// Adds a table to a connection.
///
/// # Errors
/// Those of SQLite.
pub(super) fn register(
    connection: &Connection,
    table: Table,
    shared: &Arc<Shared>,
    looked: &Arc<Looked>,
) -> Result<()> {
    const MODULE: Module<'_, Reference> = Module::eponymous_only_module();
    let name = table.name.clone();
    let source = Arc::new(Source::new(table, Arc::clone(shared), Arc::clone(looked)));
    connection
        .create_module(name.as_str(), &MODULE, Some(source))
        .map_err(|error| Error::sqlite(format!("adding the table {name} to SQLite"), error))
}

/// Questions by their terms, as SQLite keeps them.
type Plans = Mutex<HashMap<String, Repeated>>;

/// A table as SQLite holds it.
#[repr(C)]
struct Reference {
    base: sqlite3_vtab,
    source: Arc<Source>,
    plans: Arc<Plans>,
}

/// A cursor as SQLite holds it.
#[repr(C)]
struct Cursor {
    base: sqlite3_vtab_cursor,
    source: Arc<Source>,
    plans: Arc<Plans>,
    rows: Rows,
}

/// Where a cursor stands.
enum Rows {
    None,
    Scan(Box<Scan>),
    Places(Arc<Index>, u32),
}

// SAFETY: `Reference` is repr(C), and SQLite's own part of it stands first
unsafe impl<'table> VTab<'table> for Reference {
    type Aux = Arc<Source>;
    type Cursor = Cursor;

    fn connect(
        connection: &mut VTabConnection,
        source: Option<&Arc<Source>>,
        _module_name: &[u8],
        _database_name: &[u8],
        _table_name: &[u8],
        _arguments: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let source =
            source.ok_or_else(|| rusqlite::Error::ModuleError("a table without a dataset".into()))?;
        connection.config(VTabConfig::DirectOnly)?;
        let names: Vec<String> = (0..source.table.columns.len()).map(|at| format!("\"c{at}\"")).collect();
        // a table has a column, so that its rows can be counted
        let names = if names.is_empty() { "\"nothing\" HIDDEN".to_owned() } else { names.join(", ") };
        let declared = CString::new(format!("CREATE TABLE x({names})"))?;
        let source = Arc::clone(source);
        Ok((Cow::Owned(declared), Self { base: sqlite3_vtab::default(), source, plans: Arc::default() }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let mut taken = Vec::new();
        for (at, constraint) in info.constraints().enumerate() {
            let column = usize::try_from(constraint.column()).ok();
            let column = column.filter(|column| *column < self.source.table.columns.len());
            let term = column.zip(Test::of(&constraint.operator()));
            // texts compare by their bytes here; another collation is for SQLite
            if let (Some((column, test)), true) = (term, constraint.is_usable())
                && info.collation(at)? == "BINARY"
            {
                taken.push((at, Term { column, test }));
            }
        }
        for (place, (at, term)) in (1..).zip(&mut taken) {
            info.constraint_usage(*at).set_argv_index(place);
            // all values at once: a scan for each would look at the same rows
            if term.test == Test::Equal && info.set_in_constraint(*at, true)? {
                term.test = Test::Among;
            }
        }
        let terms: Vec<Term> = taken.into_iter().map(|(_, term)| term).collect();
        info.set_idx_str(&pushed::written(&terms));
        let (rows, cost) = self.estimate(&terms);
        info.set_estimated_rows(rows as i64);
        info.set_estimated_cost(cost);
        Ok(true)
    }

    fn open(&'table mut self) -> rusqlite::Result<Cursor> {
        let (source, plans) = (Arc::clone(&self.source), Arc::clone(&self.plans));
        Ok(Cursor { base: sqlite3_vtab_cursor::default(), source, plans, rows: Rows::None })
    }
}

impl Reference {
    /// About how many rows some terms leave, and how much work each question with them is: a lookup where there is an
    /// equality, as the index is made once.
    fn estimate(&self, terms: &[Term]) -> (f64, f64) {
        let all = self.source.table.dataset.rows();
        let any = |wanted: fn(Test) -> bool| terms.iter().any(|term| wanted(term.test));
        let mut rows = all as f64;
        if any(|test| test == Test::Equal) {
            rows = rows / ROWS_OF_A_VALUE + 1.0;
        } else if any(|test| test != Test::IsNotNull) {
            rows /= ROWS_OF_A_RANGE;
        }
        let has_room = all.saturating_mul(INDEX_ROW_BYTES) < self.source.budget().memory_bytes() as u64 / 2;
        let cost = if has_room { rows } else { rows * ROWS_OF_A_RANGE * ROWS_OF_A_RANGE };
        (rows.max(1.0), cost.max(1.0).min(all.max(1) as f64))
    }
}

impl Cursor {
    fn ask(&mut self, plan: &str, filters: &Filters<'_>) -> Result<()> {
        self.rows = Rows::None;
        let arguments: Vec<Argument> = filters.iter().map(Argument::of).collect();
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if !plans.contains_key(plan) {
            let terms = pushed::read(plan);
            let terms = terms.ok_or_else(|| Error::Internal(format!("\"{plan}\" is no plan of a table")))?;
            plans.insert(plan.to_owned(), Repeated::new(terms));
        }
        let Some(repeated) = plans.get_mut(plan) else { return Ok(()) };
        let asked = || repeated.terms().iter().zip(&arguments);
        if asked().any(|(term, argument)| term.test.compares() && matches!(argument, Argument::Null)) {
            return Ok(());
        }
        self.rows = match repeated.way(&self.source, &arguments)? {
            Way::Places(index, place) => Rows::Places(index, place),
            Way::Scan => {
                let asked = repeated.terms().iter().zip(&arguments);
                let wanted = self.source.wanted(asked, |at| values(&self.source, filters, at))?;
                let mut scan = Scan::new(&self.source, wanted)?;
                repeated.scanned(scan.rows_ahead());
                scan.next(&self.source)?;
                Rows::Scan(Box::new(scan))
            }
        };
        Ok(())
    }

    fn row(&self) -> Option<(&Piece, usize)> {
        match &self.rows {
            Rows::None => None,
            Rows::Scan(scan) => scan.row(),
            Rows::Places(index, place) => index.row(*place),
        }
    }

    /// Reads a column that no cell was asked of so far.
    #[cold]
    fn read(&self, piece: &Piece, column: usize) -> Result<Arc<Column>> {
        match &self.rows {
            Rows::Places(index, _) => index.read(&self.source, piece, column),
            _ => piece.read(&self.source, column, |_| Ok(())),
        }
    }
}

/// The values of an IN that a column of ours may hold.
fn values(source: &Source, filters: &Filters<'_>, at: usize) -> Result<Values> {
    let failed = |error| Error::sqlite("reading the values of an IN", error);
    let (mut values, mut meter) = (Values::default(), source.budget().meter());
    let mut stored = filters.in_values(at).map_err(failed)?;
    while let Some(value) = stored.next().map_err(failed)? {
        if let Argument::Known(value) = Argument::of(value) {
            meter.count(value.bytes() + size_of::<Value>())?;
            values.insert(value);
        }
    }
    Ok(values)
}

// SAFETY: `Cursor` is repr(C), and SQLite's own part of it stands first
unsafe impl VTabCursor for Cursor {
    fn filter(&mut self, _: c_int, plan: Option<&str>, arguments: &Filters<'_>) -> rusqlite::Result<()> {
        self.ask(plan.unwrap_or_default(), arguments).map_err(|error| self.source.shared.stop(error))
    }

    #[inline]
    fn next(&mut self) -> rusqlite::Result<()> {
        match &mut self.rows {
            Rows::None => Ok(()),
            Rows::Scan(scan) => scan.next(&self.source).map_err(|error| self.source.shared.stop(error)),
            Rows::Places(index, place) => {
                *place = index.after(*place);
                Ok(())
            }
        }
    }

    #[inline]
    fn eof(&self) -> bool {
        self.row().is_none()
    }

    #[inline]
    fn column(&self, cell: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let Some((piece, at)) = self.row() else { return cell.set_result(&Null) };
        let column = column as usize;
        match piece.known(column) {
            Some(known) => give(cell, known, piece.place(at), &self.source.shared),
            None => {
                let read = self.read(piece, column).map_err(|error| self.source.shared.stop(error))?;
                give(cell, &read, piece.place(at), &self.source.shared)
            }
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.row().map_or(0, |(piece, at)| piece.position(&self.source, at)))
    }
}

/// What SQLite copies from where it lies.
struct Borrowed<'a>(ValueRef<'a>);

impl ToSql for Borrowed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// Gives SQLite the cell of a row: the forms of `values`, made without a detour where that is quicker.
#[inline]
fn give(cell: &mut Context, column: &Column, row: usize, shared: &Shared) -> rusqlite::Result<()> {
    if !column.is_valid(row) {
        return cell.set_result(&Null);
    }
    match &column.data {
        Data::Null => cell.set_result(&Null),
        Data::Int(ints) => cell.set_result(&ints.get(row)),
        Data::Float { values, whole } if whole.as_ref().is_some_and(|whole| whole.get(row)) => {
            cell.set_result(&(values[row] as i64))
        }
        Data::Float { values, .. } => cell.set_result(&values[row]),
        Data::Text(texts) => {
            let text = texts.get(row).as_bytes();
            shared.give(text.len()).map_err(|error| shared.stop(error))?;
            cell.set_result(&Borrowed(ValueRef::Text(text)))
        }
        Data::Time(times) => cell.set_result(&Borrowed(ValueRef::Blob(&time_blob(times.get(row))))),
        Data::Bool(bits) => cell.set_result(&Borrowed(ValueRef::Blob(&bool_blob(bits.get(row))))),
        Data::Mixed(parts) => match parts.iter().find(|part| part.is_valid(row)) {
            Some(part) => give(cell, part, row, shared),
            None => cell.set_result(&Null),
        },
        Data::List { .. } | Data::Json(_) => {
            let value = column.get(row);
            shared.give(value.bytes()).map_err(|error| shared.stop(error))?;
            cell.set_result(&Stored::from(value))
        }
    }
}
