//! The one way in which sequence analyses and sessions read events: parts in runs over the cores, a state a run, the
//! rows that count of each part. What the states keep is counted here, so that a question ends before the memory does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::columnar::TIME;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::limits;
use crate::query::execute::{looked_at, runs};
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::plan::add_columns;
use crate::query::vector;
use crate::query::view::View;
use crate::store::part::{Part, Zone, Zones};
use crate::store::snapshot::Dataset;
use crate::time::Calendar;

/// The events that a question is about.
#[derive(Debug)]
pub struct Scan<'a> {
    dataset: &'a Dataset,
    filter: Filter<'a>,
    parts: Vec<Part>,
    calendar: &'a Calendar,
    held_bytes: AtomicUsize,
}

impl<'a> Scan<'a> {
    /// The events of a dataset that a resolved condition is true for.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn new(dataset: &'a Dataset, condition: Option<&'a Expr>, calendar: &'a Calendar) -> Result<Self> {
        let filter = Filter::new(condition);
        let parts = filter.parts(dataset)?;
        Ok(Self { dataset, filter, parts, calendar, held_bytes: AtomicUsize::new(0) })
    }

    /// Rows of the parts that are not pruned, and the segments they are of; the tail is one.
    pub fn looked_at(&self) -> (u64, u64) {
        looked_at(&self.parts)
    }

    /// Reads all events in runs of parts, each into a state of its own; the states come in the order of the runs.
    ///
    /// # Errors
    /// As the condition and `read`, and columns that are damaged or cannot be read.
    pub fn each_run<S: Send>(
        &self,
        begin: impl Fn() -> S + Sync,
        read: impl Fn(&mut S, &Rows<'_>) -> Result<()> + Sync,
    ) -> Result<Vec<S>> {
        let one_run = |run: &[Part]| {
            let context = Context::new(self.calendar.clone());
            let mut state = begin();
            for part in run {
                let bits = self.filter.rows(self.dataset, part, &context)?;
                let rows = match bits.count_ones() {
                    0 => continue,
                    all if all == part.rows() => None,
                    _ => Some(bits.ones().map(|row| row as u32).collect()),
                };
                read(&mut state, &Rows { scan: self, part, rows, context: &context })?;
            }
            Ok(state)
        };
        runs(&self.parts).into_par_iter().map(one_run).collect()
    }

    /// Counts bytes that are kept to the end of the question.
    ///
    /// # Errors
    /// `TooLarge` where they are too many.
    pub fn hold(&self, bytes: usize) -> Result<()> {
        let held = self.held_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if held > limits::SEQUENCE_BYTES {
            return Err(Error::TooLarge(format!(
                "the events of this question take more than {} MiB of memory; narrow it with where or range",
                limits::SEQUENCE_BYTES >> 20
            )));
        }
        Ok(())
    }
}

/// The rows of one part that count, or some of them.
#[derive(Debug)]
pub struct Rows<'a> {
    scan: &'a Scan<'a>,
    part: &'a Part,
    /// `None`: all rows of the part.
    rows: Option<Vec<u32>>,
    context: &'a Context,
}

impl Rows<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        self.rows.as_ref().map_or(self.part.rows(), Vec::len)
    }

    /// The value of an expression for each of them.
    ///
    /// # Errors
    /// As the expression, and columns that are damaged or cannot be read.
    pub fn evaluate(&self, expression: &Expr) -> Result<Arc<Column>> {
        vector::evaluate(expression, &self.view([expression])?, self.context)
    }

    /// Which of them each condition is true for.
    ///
    /// # Errors
    /// As [`Rows::evaluate`].
    pub fn matching<'e>(&self, conditions: impl Iterator<Item = &'e Expr> + Clone) -> Result<Vec<Bitmap>> {
        let view = self.view(conditions.clone())?;
        conditions.map(|condition| vector::filter(condition, &view, self.context)).collect()
    }

    /// Some of them, by their places among these.
    pub fn only(&self, places: &Bitmap) -> Rows<'_> {
        let rows = match &self.rows {
            _ if places.all() => self.rows.clone(),
            None => Some(places.ones().map(|place| place as u32).collect()),
            Some(rows) => Some(places.ones().map(|place| rows[place]).collect()),
        };
        Rows { rows, ..*self }
    }

    /// `_time` of each, µs.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn times(&self) -> Result<Vec<i64>> {
        let column = self.view([&Expr::Column(TIME.to_owned())])?.column(TIME);
        match &column.data {
            Data::Time(times) => Ok(times.to_vec()),
            _ => Err(Error::Corrupt("a block of events has no times".into())),
        }
    }

    /// Bounds that no `_time` of them lies outside, without looking at one.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn time_span(&self) -> Result<(i64, i64)> {
        Ok(match self.part.zone(TIME)? {
            Zone::Times { min, max, .. } => (min, max),
            _ => (i64::MIN, i64::MAX),
        })
    }

    /// `_seq` of each.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn seqs(&self) -> Result<Vec<i64>> {
        let seqs = self.part.row_seqs()?;
        Ok(match &self.rows {
            None => (0..self.part.rows()).map(|row| seqs.get(row)).collect(),
            Some(rows) => rows.iter().map(|row| seqs.get(*row as usize)).collect(),
        })
    }

    fn view<'e>(&self, expressions: impl IntoIterator<Item = &'e Expr>) -> Result<View> {
        let mut names = Vec::new();
        expressions.into_iter().for_each(|expression| add_columns(expression, &mut names));
        View::new(self.scan.dataset, self.part, &names, self.rows.as_deref())
    }
}
