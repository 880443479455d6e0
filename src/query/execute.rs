//! Runs a Plan on one dataset of a snapshot: parts are shared out in runs over the cores, each run fills a state of
//! its own, and the states are merged in the order of the runs, so that the same snapshot always gives the same
//! answer to the last digit.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rayon::prelude::*;

use crate::columnar::column::Column;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::budget::{Held, bytes_of};
use crate::query::expression::Expr;
use crate::query::filter::Filter;
use crate::query::finish::{self, Grouped};
use crate::query::functions::Context;
use crate::query::language::{Order, Range};
use crate::query::measures::{Found, Measures, TASKS};
use crate::query::needs::Needs;
use crate::query::partition::{self, Split};
use crate::query::pieces;
use crate::query::plan::{Plan, Shape};
use crate::query::sort::{Direction, Sorter, compare_keys, keep_first};
use crate::query::vector;
use crate::query::view::View;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;
use crate::value::Value;

/// Output rows, and what was looked at for them.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows in order, each a value an output column.
    pub rows: Vec<Vec<Value>>,
    /// Rows of the parts that were not pruned.
    pub rows_scanned: u64,
    /// Segments that they are of; the tail is one.
    pub segments: u64,
    /// Rows of these that were not looked at, because what they come to was kept.
    pub rows_kept: u64,
    /// The rows that stand for groups without events.
    pub gaps: Vec<usize>,
    /// The memory of the rows.
    pub held: Option<Held>,
    /// The period that its rows are compared with.
    pub previous: Option<Range>,
}

impl Output {
    /// How much of it was kept from earlier questions.
    pub fn cache(&self) -> &'static str {
        match (self.rows_kept, self.rows_scanned) {
            (0, _) => "miss",
            (_, 0) => "hit",
            _ => "partial",
        }
    }
}

/// An output row with what it is ordered by.
struct Keyed {
    order: Vec<Value>,
    cells: Vec<Value>,
}

impl Keyed {
    fn bytes(&self) -> usize {
        bytes_of(&self.order) + bytes_of(&self.cells)
    }
}

/// Rows that a task or all of them keep, with their memory.
type Kept = (Vec<Keyed>, Held);

/// Runs a plan. Of its groups only those of `wanted` keys are rows, where that is given, and these are even if they have
/// no events.
///
/// # Errors
/// Overflow, answers beyond the limits, and what the budget does not allow.
pub fn execute(plan: &Plan, dataset: &Dataset, wanted: Option<&[Vec<Value>]>) -> Result<Output> {
    let filter = Filter::new(plan.filter.as_ref());
    let parts = filter.parts(dataset)?;
    let (rows_scanned, segments) = looked_at(&parts);
    plan.budget.check_rows(rows_scanned)?;
    let scan = Scan { plan, dataset, filter, parts, rows_kept: AtomicU64::new(0) };
    let most = plan.offset.saturating_add(plan.limit.unwrap_or(usize::MAX));
    // DISTINCT drops rows later, so a limit cannot be applied before it
    let before_distinct = if plan.distinct { usize::MAX } else { most };
    let (mut rows, mut held) = match &plan.shape {
        Shape::Rows { select, order } => scan.ordered_rows(select, order, before_distinct)?,
        Shape::Groups { .. } => scan.grouped(wanted, before_distinct)?,
    };
    if plan.distinct {
        held.set(held.bytes() * 2)?;
        let mut seen = HashSet::new();
        rows.retain(|(cells, _)| seen.insert(cells.clone()));
    }
    let rows: Vec<(Vec<Value>, bool)> =
        rows.into_iter().skip(plan.offset).take(plan.limit.unwrap_or(usize::MAX)).collect();
    if rows.len() > limits::ANSWER_ROWS {
        return Err(finish::too_many_rows(rows.len()));
    }
    let gaps = rows.iter().enumerate().filter(|(_, (_, is_gap))| *is_gap).map(|(at, _)| at).collect();
    let rows = rows.into_iter().map(|(cells, _)| cells).collect();
    let rows_kept = scan.rows_kept.into_inner();
    let rows_scanned = rows_scanned - rows_kept.min(rows_scanned);
    Ok(Output { rows, rows_scanned, segments, rows_kept, gaps, held: Some(held), previous: None })
}

/// Rows of the parts, and the segments they are of.
pub(super) fn looked_at(parts: &[Part]) -> (u64, u64) {
    let rows = parts.iter().map(|part| part.rows() as u64).sum();
    // the tail counts as one; parts of a segment follow each other
    let segment = |part: &Part| part.stored().segment().map(|segment| segment.id);
    (rows, parts.chunk_by(|a, b| segment(a) == segment(b)).count() as u64)
}

/// Slots from which on a task's states are large beside the caches.
const MANY_SLOTS: usize = 1 << 16;

/// Contiguous runs of parts with about the same number of rows, always the same for the same parts.
pub(super) fn runs(parts: &[Part], wanted: usize) -> Vec<&[Part]> {
    let rows: usize = parts.iter().map(Part::rows).sum();
    let share = rows.div_ceil(wanted.max(1)).max(1);
    let mut out = Vec::new();
    let (mut begin, mut filled) = (0, 0);
    for (at, part) in parts.iter().enumerate() {
        filled += part.rows();
        if filled >= share {
            out.push(&parts[begin..=at]);
            (begin, filled) = (at + 1, 0);
        }
    }
    if begin < parts.len() {
        out.push(&parts[begin..]);
    }
    out
}

/// One question, and the parts that may hold rows for it.
pub(super) struct Scan<'a> {
    pub(super) plan: &'a Plan,
    pub(super) dataset: &'a Dataset,
    pub(super) filter: Filter<'a>,
    pub(super) parts: Vec<Part>,
    /// Rows that need not be looked at, because what they come to was kept.
    pub(super) rows_kept: AtomicU64,
}

impl Scan<'_> {
    fn context(&self) -> Context {
        Context::within(self.plan.calendar.clone(), Arc::clone(&self.plan.budget))
    }

    /// Runs `work` on so many runs of parts; results in order.
    fn each_run<T: Send>(
        &self,
        parts: &[Part],
        tasks: usize,
        work: impl Fn(&[Part], &Context) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        runs(parts, tasks).into_par_iter().map(|run| work(run, &self.context())).collect()
    }

    /// The first rows of a part that count, as a view of what is needed; `None` where there is none. Every way through the
    /// parts comes by here, so this is where the question may end.
    fn select(&self, part: &Part, needs: &Needs, most: usize, context: &Context) -> Result<Option<View>> {
        context.budget.check()?;
        let bits = self.filter.rows(self.dataset, part, context)?;
        match bits.count_ones().min(most) {
            0 => Ok(None),
            some if needs.is_empty() => Ok(Some(View::of(some, Vec::new()))),
            all if all == part.rows() => View::new(self.dataset, part, needs, None).map(Some),
            some => {
                let mut rows = bits.rows();
                rows.truncate(some);
                View::new(self.dataset, part, needs, Some(&rows)).map(Some)
            }
        }
    }

    /// Output rows of the groups, at most so many, each with whether its group has no events.
    fn grouped(&self, wanted: Option<&[Vec<Value>]>, most: usize) -> Result<(Vec<finish::Row>, Held)> {
        let Shape::Groups { keys, aggregates, select, having, order } = &self.plan.shape else {
            return Ok((Vec::new(), self.plan.budget.hold()));
        };
        let (calendar, context) = (&self.plan.calendar, self.context());
        let measures = Measures::new(keys, aggregates, self.dataset, &self.parts, calendar)?;
        // rows that are equal may be left out later
        let rows_max = match self.plan.distinct {
            true => usize::MAX,
            false => limits::ANSWER_ROWS.saturating_add(self.plan.offset),
        };
        let shape = finish::Shape { select, having: having.as_ref(), order, rows_max };
        let grouped = |found| Grouped::new(&measures, found, (keys.len(), aggregates), &context);
        let found = match measures.part_by().filter(|_| wanted.is_none() && !self.plan.fill) {
            Some(bits) => {
                self.found_in_partitions(&measures, &bits, &|found| grouped(found).prune(shape, most))
            }
            None => self.found(&measures),
        };
        let (found, held) = match found {
            // a column turned out to have too many values to number: others ways are there for it
            Err(_) if measures.is_outdated() => return self.grouped(wanted, most),
            found => found?,
        };
        let mut grouped = grouped(found);
        if let Some(wanted) = wanted {
            grouped.keep_only(wanted)?;
        }
        if let Some(series) = self.plan.series.first().filter(|_| self.plan.fill) {
            grouped.fill(series)?;
        }
        let output = grouped.output(shape, most);
        drop(held);
        output
    }

    fn found_in_partitions(
        &self,
        measures: &Measures<'_>,
        bits: &[u32],
        prune: &(dyn Fn(Found) -> Result<Found> + Sync),
    ) -> Result<(Found, Held)> {
        let needs = measures.needs();
        let splits = self.each_run(&self.parts, rayon::current_num_threads() * TASKS, |run, context| {
            let (mut split, mut coders) = (Split::new(), measures.coders());
            let mut held = context.budget.hold();
            for part in run {
                if let Some(view) = self.select(part, &needs, usize::MAX, context)? {
                    let keys = measures.packed_keys(&mut coders, bits, &view, context)?;
                    split.add(&keys, &measures.after_keys(view));
                    held.set(split.bytes())?;
                }
            }
            Ok((split, held))
        })?;
        partition::groups(measures, bits, splits, || self.context(), prune)
    }

    /// What all parts come to: of sealed segments it may be kept.
    fn found(&self, measures: &Measures<'_>) -> Result<(Found, Held)> {
        if let Some(cache) = &self.plan.cache
            && let Some(found) = pieces::found(self, measures, cache)?
        {
            return Ok(found);
        }
        self.found_in(&self.parts, measures)
    }

    /// What some parts come to.
    pub(super) fn found_in(&self, parts: &[Part], measures: &Measures<'_>) -> Result<(Found, Held)> {
        let needs = measures.needs();
        let (slots, bytes) = (measures.start().groups.slots_count(), measures.start().bytes());
        // states of many slots are filled by as few tasks as there are threads, and as there is memory for
        let tasks = rayon::current_num_threads() * if slots > MANY_SLOTS { 1 } else { TASKS };
        let room = self.plan.budget.memory_bytes() / 2 / bytes.max(1);
        let found = self.each_run(parts, tasks.min(room.max(1)), |run, context| {
            let rows = run.iter().map(Part::rows).sum();
            let (mut found, mut held) = (measures.start_for(rows), context.budget.hold());
            held.set(bytes)?;
            for part in run {
                if let Some(view) = self.select(part, &needs, usize::MAX, context)? {
                    measures.add(&mut found, &view, context)?;
                    held.set(found.bytes())?;
                }
            }
            Ok((measures.settle(found), held))
        })?;
        let mut found = found.into_iter();
        let (mut all, mut held) = found.next().unwrap_or_else(|| (measures.start(), self.plan.budget.hold()));
        for (more, _more_held) in found {
            self.plan.budget.check()?;
            measures.absorb(&mut all, more)?;
            held.set(all.bytes())?;
        }
        Ok((all, held))
    }

    /// Output rows of the rows of data, in order, at most so many; none of them is a gap.
    fn ordered_rows(
        &self,
        select: &[Expr],
        order: &[Order],
        most: usize,
    ) -> Result<(Vec<finish::Row>, Held)> {
        let directions: Vec<Direction> = order.iter().map(Direction::of).collect();
        let (mut rows, held) = self.rows(select, order, most)?;
        if !directions.is_empty() {
            keep_first(&mut rows, most, |a, b| compare_keys(&a.order, &b.order, &directions));
        }
        Ok((rows.into_iter().map(|row| (row.cells, false)).collect(), held))
    }

    fn rows(&self, select: &[Expr], order: &[Order], most: usize) -> Result<Kept> {
        let mut needs = Needs::default();
        select.iter().chain(order.iter().map(|o| &o.expression)).for_each(|e| needs.add(e));
        if order.is_empty() && most < usize::MAX {
            return self.first_rows(select, &needs, most);
        }
        let directions: Vec<Direction> = order.iter().map(Direction::of).collect();
        let found = self.each_run(&self.parts, rayon::current_num_threads() * TASKS, |run, context| {
            let (mut rows, mut held): Kept = (Vec::new(), context.budget.hold());
            for part in run {
                let Some(view) = self.select(part, &needs, usize::MAX, context)? else { continue };
                let more = output_rows(select, order, &view, most, context)?;
                held.add(more.iter().map(Keyed::bytes).sum())?;
                rows.extend(more);
                if !order.is_empty() && rows.len() > most.saturating_mul(2) {
                    keep_first(&mut rows, most, |a, b| compare_keys(&a.order, &b.order, &directions));
                    held.set(rows.iter().map(Keyed::bytes).sum())?;
                }
                self.check_count(rows.len().min(most))?;
            }
            Ok((rows, held))
        })?;
        let (mut rows, mut held): Kept = (Vec::new(), self.plan.budget.hold());
        for (more, more_held) in found {
            held.absorb(more_held);
            rows.extend(more);
        }
        Ok((rows, held))
    }

    /// The first rows of all, without an order: parts are read in growing steps until there are enough.
    fn first_rows(&self, select: &[Expr], needs: &Needs, wanted: usize) -> Result<Kept> {
        let mut held = self.plan.budget.hold();
        let (mut rows, mut rest, mut width) = (Vec::new(), self.parts.as_slice(), 1);
        while rows.len() < wanted && !rest.is_empty() {
            let (step, later) = rest.split_at(rest.len().min(width));
            let most = wanted - rows.len();
            let found: Vec<Vec<Keyed>> = step
                .par_iter()
                .map_init(
                    || self.context(),
                    |context, part| match self.select(part, needs, most, context)? {
                        Some(view) => output_rows(select, &[], &view, most, context),
                        None => Ok(Vec::new()),
                    },
                )
                .collect::<Result<_>>()?;
            held.add(found.iter().flatten().map(Keyed::bytes).sum())?;
            rows.extend(found.into_iter().flatten());
            self.check_count(rows.len().min(wanted))?;
            (rest, width) = (later, (width * 2).min(rayon::current_num_threads() * 4));
        }
        rows.truncate(wanted);
        Ok((rows, held))
    }

    fn check_count(&self, rows: usize) -> Result<()> {
        if !self.plan.distinct && rows > limits::ANSWER_ROWS.saturating_add(self.plan.offset) {
            return Err(Error::TooLarge(format!(
                "the answer has more than {} rows; narrow it with where or limit, or page through /rows",
                limits::ANSWER_ROWS
            )));
        }
        Ok(())
    }
}

/// The rows of a view as output with their order keys; where there is an order, only those that may be among the first.
fn output_rows(
    select: &[Expr],
    order: &[Order],
    view: &View,
    most: usize,
    context: &Context,
) -> Result<Vec<Keyed>> {
    let evaluate = |e: &Expr, view: &View| vector::evaluate(e, view, context);
    let mut keys = order.iter().map(|o| evaluate(&o.expression, view)).collect::<Result<Vec<_>>>()?;
    let mut picked = None;
    if !order.is_empty() && most < view.rows {
        let columns = keys.iter().cloned().zip(order.iter().map(Direction::of)).collect();
        let first = Sorter::new(columns).first(most, view.rows);
        keys.iter_mut().for_each(|key| *key = Arc::new(key.take(&first)));
        picked = Some(view.take(&first));
    }
    let view = picked.as_ref().unwrap_or(view);
    let cells = select.iter().map(|e| evaluate(e, view)).collect::<Result<Vec<_>>>()?;
    let row_of = |columns: &[Arc<Column>], row| columns.iter().map(|c| c.get(row)).collect();
    // a few rows of long texts may be all that there is memory for
    let mut meter = context.budget.meter();
    let keyed = |row| {
        let keyed = Keyed { order: row_of(&keys, row), cells: row_of(&cells, row) };
        meter.count(keyed.bytes()).map(|()| keyed)
    };
    (0..view.rows).map(keyed).collect()
}
