//! The one way in which sequence analyses and sessions read events: parts in runs over the cores, a state a run, the
//! rows that count of each part. What the states keep is counted here, so that a question ends before the memory does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::columnar::TIME;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::Data;
use crate::error::{Error, Result};
use crate::query::budget::Budget;
use crate::query::codes::Domain;
use crate::query::execute::{looked_at, runs};
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::needs::Needs;
use crate::query::sequences::people::Numbered;
use crate::query::vector;
use crate::query::view::View;
use crate::store::numbering::Numbering;
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
    budget: Arc<Budget>,
    held_bytes: AtomicUsize,
    /// Those that the question counts on.
    numberings: Mutex<Vec<Arc<Numbering>>>,
}

impl<'a> Scan<'a> {
    /// The events of a dataset that a resolved condition is true for.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn new(
        dataset: &'a Dataset,
        condition: Option<&'a Expr>,
        calendar: &'a Calendar,
        budget: Arc<Budget>,
    ) -> Result<Self> {
        let filter = Filter::new(condition);
        let parts = filter.parts(dataset)?;
        budget.check_rows(looked_at(&parts).0)?;
        let held_bytes = AtomicUsize::new(0);
        Ok(Self { dataset, filter, parts, calendar, budget, held_bytes, numberings: Mutex::default() })
    }

    /// Asks a question, and once more where a column turned out to have too many values to be numbered across questions:
    /// there are other ways for it then.
    ///
    /// # Errors
    /// As the question.
    pub fn ask<T>(&self, question: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            self.give_back();
            let answer = question();
            let mut numberings = self.numberings.lock().unwrap_or_else(PoisonError::into_inner);
            let is_outdated = numberings.drain(..).any(|numbering| numbering.is_full());
            if answer.is_ok() || !is_outdated {
                return answer;
            }
        }
    }

    /// Makes ready to number the values of an expression.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn numbered<'e>(&self, expression: &'e Expr) -> Result<Numbered<'e>> {
        let domain = Domain::of(expression, self.dataset, &self.parts, self.calendar)?;
        let mut numberings = self.numberings.lock().unwrap_or_else(PoisonError::into_inner);
        numberings.extend(domain.numbering().cloned());
        Ok(Numbered::new(expression, domain))
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
            let context = Context::within(self.calendar.clone(), Arc::clone(&self.budget));
            let mut state = begin();
            for part in run {
                self.budget.check()?;
                let bits = self.filter.rows(self.dataset, part, &context)?;
                let rows = match bits.count_ones() {
                    0 => continue,
                    all if all == part.rows() => None,
                    _ => Some(bits.rows()),
                };
                read(&mut state, &Rows { scan: self, part, rows, context: &context })?;
            }
            Ok(state)
        };
        runs(&self.parts, rayon::current_num_threads() * 2).into_par_iter().map(one_run).collect()
    }

    /// Counts bytes that are kept to the end of the question.
    ///
    /// # Errors
    /// The question is over its budget.
    pub fn hold(&self, bytes: usize) -> Result<()> {
        self.budget.take(bytes)?;
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self) {
        self.budget.give(self.held_bytes.swap(0, Ordering::Relaxed));
    }
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The rows of one part that count, or some of them.
#[derive(Debug)]
pub struct Rows<'a> {
    scan: &'a Scan<'a>,
    part: &'a Part,
    /// `None`: all rows of the part.
    rows: Option<Vec<u32>>,
    /// What evaluating carries along from part to part.
    pub context: &'a Context,
}

impl Rows<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        self.rows.as_ref().map_or(self.part.rows(), Vec::len)
    }

    /// Which of them each condition is true for.
    ///
    /// # Errors
    /// As the conditions, and columns that are damaged or cannot be read.
    pub fn matching<'e>(&self, conditions: impl Iterator<Item = &'e Expr> + Clone) -> Result<Vec<Bitmap>> {
        let mut needs = Needs::default();
        conditions.clone().for_each(|condition| needs.add(condition));
        let view = self.view(&needs)?;
        conditions.map(|condition| vector::filter(condition, &view, self.context)).collect()
    }

    /// Some of them, by their places among these.
    pub fn only(&self, places: &Bitmap) -> Rows<'_> {
        let rows = match &self.rows {
            _ if places.all() => self.rows.clone(),
            None => Some(places.rows()),
            Some(rows) => Some(places.ones().map(|place| rows[place]).collect()),
        };
        Rows { rows, ..*self }
    }

    /// `_time` of each, µs.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn times(&self) -> Result<Vec<i64>> {
        let needs = Needs { columns: vec![TIME.into()], ..Needs::default() };
        let column = self.view(&needs)?.column(TIME);
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

    /// What is needed of them.
    ///
    /// # Errors
    /// Columns that are damaged or cannot be read.
    pub fn view(&self, needs: &Needs) -> Result<View> {
        View::new(self.scan.dataset, self.part, needs, self.rows.as_deref())
    }
}
