//! The rows of a table that conditions leave, part by part: what `table` gives SQLite when it asks for the first time, and
//! what `lookup` makes its index of. A column is read when the first cell of it is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::error::Result;
use crate::fields::{FieldType, Kinds};
use crate::query::budget::{Budget, Held};
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::plan::field_kinds;
use crate::query::view;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;
use crate::value::Value;

use super::Shared;
use super::pushed::{self, Argument, Term, Test, Values};
use super::table::Table;

/// What a question has looked at so far, over all of its tables.
#[derive(Debug, Default)]
pub struct Looked {
    rows: AtomicU64,
    /// A dataset by its address, and a segment of it; the tail is the one without a number.
    segments: Mutex<HashSet<(usize, Option<i64>)>>,
}

impl Looked {
    /// Rows, and the segments that they are of.
    pub fn so_far(&self) -> (u64, u64) {
        let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        (self.rows.load(Ordering::Relaxed), segments.len() as u64)
    }

    fn look_at(&self, dataset: &Arc<Dataset>, part: &Part) {
        let segment = part.stored().segment().map(|segment| segment.id);
        self.rows.fetch_add(part.rows() as u64, Ordering::Relaxed);
        let mut segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
        segments.insert((Arc::as_ptr(dataset) as usize, segment));
    }
}

/// A table, and what it shares with the others of its question.
#[derive(Debug)]
pub struct Source {
    /// What it stands for.
    pub table: Table,
    kinds: Vec<Kinds>,
    /// The parts by their places among all of the dataset.
    numbers: OnceLock<HashMap<(i64, usize), u32>>,
    /// Those that were looked at, by these places.
    seen: Mutex<HashSet<u32>>,
    pub(super) shared: Arc<Shared>,
    looked: Arc<Looked>,
}

/// Which rows of a table count.
#[derive(Debug)]
pub struct Wanted {
    condition: Option<Expr>,
    /// Columns whose value is among these.
    among: Vec<(usize, Values)>,
    _held: Held,
}

impl Source {
    pub(super) fn new(table: Table, shared: Arc<Shared>, looked: Arc<Looked>) -> Self {
        let of_column = |name: &Arc<str>| {
            let kinds = field_kinds(name, &table.dataset);
            // whole numbers may lie in a field of floats
            if kinds.has(FieldType::Float) { kinds.with(Kinds::of(FieldType::Int)) } else { kinds }
        };
        let kinds = table.columns.iter().map(of_column).collect();
        Self { table, kinds, numbers: OnceLock::new(), seen: Mutex::default(), shared, looked }
    }

    /// What the question may take.
    pub fn budget(&self) -> Arc<Budget> {
        self.shared.budget()
    }

    /// The rows for which some terms hold, or more; `values` are those of a term that asks whether one is among them.
    ///
    /// # Errors
    /// Those of `values`; as the budget.
    pub fn wanted<'a>(
        &self,
        terms: impl Iterator<Item = (&'a Term, &'a Argument)>,
        values: impl Fn(usize) -> Result<Values>,
    ) -> Result<Wanted> {
        let (mut conditions, mut among, mut held) = (Vec::new(), Vec::new(), self.budget().hold());
        for (at, (term, argument)) in terms.enumerate() {
            let (Some(name), Some(kinds)) =
                (self.table.columns.get(term.column), self.kinds.get(term.column))
            else {
                continue;
            };
            if term.test != Test::Among {
                conditions.extend(pushed::condition(term.test, name, *kinds, argument));
                continue;
            }
            let values = values(at)?;
            held.add(values.iter().map(|value| value.bytes() + size_of::<Value>()).sum())?;
            let condition = pushed::condition_among(name, &values);
            if !matches!(condition, Some(Expr::In(_, _))) {
                among.push((term.column, values));
            }
            conditions.extend(condition);
        }
        Ok(Wanted { condition: pushed::all(conditions.into_iter()), among, _held: held })
    }

    /// The parts that may have rows that count.
    ///
    /// # Errors
    /// A zone that cannot be read, and more rows than the question may look at.
    pub fn parts(&self, wanted: &Wanted) -> Result<Vec<Part>> {
        let parts = Filter::new(wanted.condition.as_ref()).parts(&self.table.dataset)?;
        let rows: u64 = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let new = parts.iter().filter(|part| !seen.contains(&self.number(part)));
            new.map(|part| part.rows() as u64).sum()
        };
        self.budget().check_rows(self.looked.so_far().0.saturating_add(rows))?;
        Ok(parts)
    }

    /// The rows of a part that count; `None` where there is none.
    ///
    /// # Errors
    /// As the condition and the budget, and columns that are damaged or cannot be read.
    pub fn piece(&self, part: Part, wanted: &Wanted) -> Result<Option<Piece>> {
        self.budget().check()?;
        let dataset = &self.table.dataset;
        if self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(self.number(&part)) {
            self.looked.look_at(dataset, &part);
        }
        let mut rows = Filter::new(wanted.condition.as_ref()).rows(dataset, &part, &self.shared.context())?;
        for (column, values) in &wanted.among {
            if let (true, Some(name)) = (rows.count_ones() > 0, self.table.columns.get(*column)) {
                rows = among(&rows, &*view::column(dataset, &part, name)?, values);
            }
        }
        let picked = match rows.count_ones() {
            0 => return Ok(None),
            all if all == part.rows() => None,
            _ => Some(rows.rows()),
        };
        let columns = self.table.columns.iter().map(|_| OnceLock::new()).collect();
        Ok(Some(Piece { part, picked, is_dense: false, columns }))
    }

    /// The place of a part among all of the dataset.
    fn number(&self, part: &Part) -> u32 {
        let numbers = self.numbers.get_or_init(|| {
            let runs = self.table.dataset.sources().flat_map(|source| source.runs());
            runs.zip(0..).map(|(run, number)| (run.key(), number)).collect()
        });
        numbers.get(&part.key()).copied().unwrap_or(u32::MAX)
    }
}

/// The rows whose value is among some; each text of a dictionary is looked for once.
fn among(rows: &Bitmap, column: &Column, values: &Values) -> Bitmap {
    let mut known = Vec::new();
    if let Data::Text(texts) = &column.data {
        known.resize(texts.dictionary.len(), None);
    }
    Bitmap::from_fn(rows.len(), |row| {
        if !rows.get(row) || !column.is_valid(row) {
            return false;
        }
        match &column.data {
            Data::Text(texts) => match &mut known[texts.codes.get(row) as usize] {
                Some(is_among) => *is_among,
                unknown => *unknown.insert(values.contains(&column.get(row))),
            },
            _ => values.contains(&column.get(row)),
        }
    })
}

/// Some rows of a part, and those of its columns that were asked for.
#[derive(Debug)]
pub struct Piece {
    part: Part,
    /// The rows; `None`: all.
    picked: Option<Vec<u32>>,
    /// Whether the columns hold these rows alone.
    is_dense: bool,
    columns: Box<[OnceLock<Arc<Column>>]>,
}

impl Piece {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.picked.as_ref().map_or_else(|| self.part.rows(), Vec::len)
    }

    /// The same, to be kept: of columns only what is in these rows, where they are few.
    pub fn kept(mut self) -> Self {
        const FEW: usize = 4;
        self.is_dense = self.rows() * FEW < self.part.rows();
        self.columns = self.columns.iter().map(|_| OnceLock::new()).collect();
        self
    }

    /// Bytes of the list of rows.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.columns.len() * size_of::<OnceLock<Arc<Column>>>() + self.picked_bytes()
    }

    fn picked_bytes(&self) -> usize {
        self.picked.as_ref().map_or(0, |picked| picked.capacity() * size_of::<u32>())
    }

    /// The column, where it was read before.
    #[inline]
    pub fn known(&self, column: usize) -> Option<&Arc<Column>> {
        self.columns.get(column)?.get()
    }

    /// Reads a column; `charge` may refuse to keep it.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read, and those of `charge`.
    pub fn read(
        &self,
        source: &Source,
        column: usize,
        charge: impl FnOnce(&Column) -> Result<()>,
    ) -> Result<Arc<Column>> {
        let Table { dataset, columns, .. } = &source.table;
        let (Some(name), Some(kept)) = (columns.get(column), self.columns.get(column)) else {
            return Ok(Arc::new(Column::null(self.part.rows())));
        };
        let mut read = view::column(dataset, &self.part, name)?;
        if let Some(picked) = self.picked.as_ref().filter(|_| self.is_dense) {
            read = Arc::new(read.take(picked));
        }
        charge(&read)?;
        Ok(Arc::clone(kept.get_or_init(|| read)))
    }

    /// Where in the columns a row is.
    #[inline]
    pub fn place(&self, at: usize) -> usize {
        match &self.picked {
            Some(picked) if !self.is_dense => picked[at] as usize,
            _ => at,
        }
    }

    /// The number of a row among all of the table: the same whichever condition leads to it.
    pub fn position(&self, source: &Source, at: usize) -> i64 {
        let row = self.picked.as_ref().map_or(at as u32, |picked| picked[at]);
        i64::from(source.number(&self.part)) << 32 | i64::from(row)
    }
}

/// A walk over the rows that count.
#[derive(Debug)]
pub struct Scan {
    wanted: Wanted,
    parts: std::vec::IntoIter<Part>,
    piece: Option<Piece>,
    at: usize,
    rows: usize,
}

impl Scan {
    /// A walk before its first row.
    ///
    /// # Errors
    /// As [`Source::parts`] and [`Source::piece`].
    pub fn new(source: &Source, wanted: Wanted) -> Result<Self> {
        let parts = source.parts(&wanted)?.into_iter();
        Ok(Self { wanted, parts, piece: None, at: 0, rows: 0 })
    }

    /// Rows of the parts that it has to look at from here on.
    pub fn rows_ahead(&self) -> u64 {
        self.parts.as_slice().iter().map(|part| part.rows() as u64).sum()
    }

    /// Goes to the next row, first to the first one.
    ///
    /// # Errors
    /// As [`Source::piece`].
    #[inline]
    pub fn next(&mut self, source: &Source) -> Result<()> {
        self.at += 1;
        if self.at < self.rows { Ok(()) } else { self.next_piece(source) }
    }

    fn next_piece(&mut self, source: &Source) -> Result<()> {
        self.piece = None;
        while self.piece.is_none()
            && let Some(part) = self.parts.next()
        {
            self.piece = source.piece(part, &self.wanted)?;
        }
        self.at = 0;
        self.rows = self.piece.as_ref().map_or(0, Piece::rows);
        Ok(())
    }

    /// The row that it stands on: the piece, and the place there; `None` after the last one.
    #[inline]
    pub fn row(&self) -> Option<(&Piece, usize)> {
        self.piece.as_ref().map(|piece| (piece, self.at))
    }
}
