//! Runs a Plan on one dataset of a snapshot: parts are shared out in runs over the cores, each run fills a state of
//! its own, and the states are merged in the order of the runs, so that the same snapshot always gives the same
//! answer to the last digit.

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;

use crate::columnar::TIME;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::aggregate::State;
use crate::query::expression::{AggregateCall, AggregateFunction, Expr};
use crate::query::filter::Filter;
use crate::query::functions::Context;
use crate::query::group::Groups;
use crate::query::language::Order;
use crate::query::plan::{Plan, Shape, add_columns};
use crate::query::scalar;
use crate::query::series::Series;
use crate::query::sort::{Direction, compare_keys, keep_first};
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
    /// The rows that stand for groups without events.
    pub gaps: Vec<usize>,
}

/// An output row with what it is ordered by.
struct Keyed {
    order: Vec<Value>,
    cells: Vec<Value>,
    /// Whether its group has no events.
    is_gap: bool,
}

/// Runs a plan. Of its groups only those of `wanted` keys are rows, where that is given, and these are even if they have
/// no events.
///
/// # Errors
/// Overflow, and answers beyond the limits.
pub fn execute(plan: &Plan, dataset: &Dataset, wanted: Option<&[Vec<Value>]>) -> Result<Output> {
    let filter = Filter::new(plan.filter.as_ref());
    let parts = filter.parts(dataset)?;
    let (rows_scanned, segments) = looked_at(&parts);
    let scan = Scan { plan, dataset, filter, parts };
    let (directions, mut rows) = match &plan.shape {
        Shape::Rows { select, order } => (directions(order), scan.rows(select, order)?),
        Shape::Groups { keys, aggregates, select, having, order } => {
            let mut found = scan.groups(keys, aggregates)?;
            let only = wanted.map(|keys| found.insert(keys.iter().cloned()));
            if let Some(series) = plan.series.first().filter(|_| plan.fill) {
                let gaps = found.gaps(series)?;
                found.insert(gaps.into_iter());
            }
            (directions(order), found.output((select, having.as_ref(), order), only, plan)?)
        }
    };
    if plan.distinct {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(row.cells.clone()));
    }
    let wanted = plan.offset.saturating_add(plan.limit.unwrap_or(usize::MAX));
    if !directions.is_empty() {
        keep_first(&mut rows, wanted, |a, b| compare_keys(&a.order, &b.order, &directions));
    }
    let rows: Vec<Keyed> =
        rows.into_iter().skip(plan.offset).take(plan.limit.unwrap_or(usize::MAX)).collect();
    if rows.len() > limits::ANSWER_ROWS {
        return Err(Error::TooLarge(format!(
            "the answer has {} rows, more than {}; narrow it with where or limit, or page through /rows",
            rows.len(),
            limits::ANSWER_ROWS
        )));
    }
    let gaps = rows.iter().enumerate().filter(|(_, row)| row.is_gap).map(|(at, _)| at).collect();
    let rows = rows.into_iter().map(|row| row.cells).collect();
    Ok(Output { rows, rows_scanned, segments, gaps })
}

/// Rows of the parts, and the segments they are of.
fn looked_at(parts: &[Part]) -> (u64, u64) {
    let rows = parts.iter().map(|part| part.rows() as u64).sum();
    // the tail counts as one; parts of a segment follow each other
    let segment = |part: &Part| match part {
        Part::Tail(_) => None,
        Part::Sealed(segment, _) => Some(segment.id),
    };
    (rows, parts.chunk_by(|a, b| segment(a) == segment(b)).count() as u64)
}

fn directions(order: &[Order]) -> Vec<Direction> {
    order.iter().map(|o| Direction { descending: o.descending, nulls_first: o.nulls_first }).collect()
}

/// Contiguous runs of parts with about the same number of rows: a few for each core, always the same for the same
/// parts.
fn runs(parts: &[Part]) -> Vec<&[Part]> {
    let rows: usize = parts.iter().map(Part::rows).sum();
    let wanted = (rayon::current_num_threads() * 2).max(1);
    let share = rows.div_ceil(wanted).max(1);
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

struct Scan<'a> {
    plan: &'a Plan,
    dataset: &'a Dataset,
    filter: Filter<'a>,
    parts: Vec<Part>,
}

impl Scan<'_> {
    fn context(&self) -> Context {
        Context::new(self.plan.calendar.clone())
    }

    /// Runs `work` on every run of parts; results in order.
    fn each_run<T: Send>(&self, work: impl Fn(&[Part], &Context) -> Result<T> + Sync) -> Result<Vec<T>> {
        runs(&self.parts).into_par_iter().map(|run| work(run, &self.context())).collect()
    }

    /// The first rows of a part that count, as a view of the named columns; `None` where there is none.
    fn select(
        &self,
        part: &Part,
        names: &[Arc<str>],
        most: usize,
        context: &Context,
    ) -> Result<Option<View>> {
        let bits = self.filter.rows(self.dataset, part, context)?;
        match bits.count_ones().min(most) {
            0 => Ok(None),
            all if all == part.rows() => View::new(self.dataset, part, names, None).map(Some),
            some => {
                let rows: Vec<u32> = bits.ones().take(some).map(|row| row as u32).collect();
                View::new(self.dataset, part, names, Some(&rows)).map(Some)
            }
        }
    }

    fn groups(&self, keys: &[Expr], aggregates: &[AggregateCall]) -> Result<Found> {
        let mut names = Vec::new();
        keys.iter().for_each(|key| add_columns(key, &mut names));
        for call in aggregates {
            call.argument.iter().chain(&call.filter).for_each(|e| add_columns(e, &mut names));
            if call.function.is_placed() {
                ["_seq", TIME].iter().for_each(|name| add_columns(&Expr::Column((*name).into()), &mut names));
            }
        }
        let found = self.each_run(|run, context| {
            let mut found = Found::new(keys.len(), aggregates);
            for part in run {
                if let Some(view) = self.select(part, &names, usize::MAX, context)? {
                    found.add(keys, aggregates, &view, context)?;
                }
            }
            Ok(found)
        })?;
        let mut found = found.into_iter();
        let mut all = found.next().unwrap_or_else(|| Found::new(keys.len(), aggregates));
        for more in found {
            all.absorb(more);
        }
        Ok(all)
    }

    fn rows(&self, select: &[Expr], order: &[Order]) -> Result<Vec<Keyed>> {
        let mut names = Vec::new();
        select.iter().chain(order.iter().map(|o| &o.expression)).for_each(|e| add_columns(e, &mut names));
        let directions = directions(order);
        // DISTINCT drops rows later, so a limit cannot be applied before it
        let wanted = match self.plan.limit {
            Some(limit) if !self.plan.distinct => self.plan.offset.saturating_add(limit),
            _ => usize::MAX,
        };
        if order.is_empty() && wanted < usize::MAX {
            return self.first_rows(select, &names, wanted);
        }
        let found = self.each_run(|run, context| {
            let mut rows: Vec<Keyed> = Vec::new();
            for part in run {
                let Some(view) = self.select(part, &names, usize::MAX, context)? else { continue };
                rows.extend(output_rows(select, order, &view, context)?);
                if !order.is_empty() {
                    keep_first(&mut rows, wanted, |a, b| compare_keys(&a.order, &b.order, &directions));
                }
                self.check_count(rows.len().min(wanted))?;
            }
            Ok(rows)
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The first rows of all, without an order: parts are read in growing steps until there are enough.
    fn first_rows(&self, select: &[Expr], names: &[Arc<str>], wanted: usize) -> Result<Vec<Keyed>> {
        let (mut rows, mut rest, mut width) = (Vec::new(), self.parts.as_slice(), 1);
        while rows.len() < wanted && !rest.is_empty() {
            let (step, later) = rest.split_at(rest.len().min(width));
            let most = wanted - rows.len();
            let found: Vec<Vec<Keyed>> = step
                .par_iter()
                .map_init(
                    || self.context(),
                    |context, part| match self.select(part, names, most, context)? {
                        Some(view) => output_rows(select, &[], &view, context),
                        None => Ok(Vec::new()),
                    },
                )
                .collect::<Result<_>>()?;
            rows.extend(found.into_iter().flatten());
            self.check_count(rows.len().min(wanted))?;
            (rest, width) = (later, (width * 2).min(rayon::current_num_threads() * 4));
        }
        rows.truncate(wanted);
        Ok(rows)
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

/// Every row of a view as output, with its order keys.
fn output_rows(select: &[Expr], order: &[Order], view: &View, context: &Context) -> Result<Vec<Keyed>> {
    let columns = |expressions: &mut dyn Iterator<Item = &Expr>| {
        expressions.map(|e| vector::evaluate(e, view, context)).collect::<Result<Vec<_>>>()
    };
    let keys = columns(&mut order.iter().map(|o| &o.expression))?;
    let cells = columns(&mut select.iter())?;
    let row_of =
        |columns: &[Arc<crate::columnar::column::Column>], row| columns.iter().map(|c| c.get(row)).collect();
    let keyed = |row| Keyed { order: row_of(&keys, row), cells: row_of(&cells, row), is_gap: false };
    Ok((0..view.rows).map(keyed).collect())
}

/// Groups with the states of their aggregates.
struct Found {
    groups: Groups,
    states: Vec<State>,
    functions: Vec<AggregateFunction>,
    /// The groups from this one on have no events; they were asked for.
    gaps_from: usize,
}

impl Found {
    fn new(keys: usize, aggregates: &[AggregateCall]) -> Self {
        let functions: Vec<_> = aggregates.iter().map(|call| call.function).collect();
        let mut states: Vec<State> = functions.iter().map(|f| State::new(*f)).collect();
        let groups = Groups::new(keys);
        states.iter_mut().for_each(|state| state.grow(groups.count()));
        Self { groups, states, functions, gaps_from: usize::MAX }
    }

    fn add(
        &mut self,
        keys: &[Expr],
        aggregates: &[AggregateCall],
        view: &View,
        context: &Context,
    ) -> Result<()> {
        let counts_rows = |call: &AggregateCall| call.argument.is_none() && call.filter.is_none();
        if keys.is_empty() && aggregates.iter().all(counts_rows) {
            // one group and nothing to look at: the rows need not be gone through
            self.states.iter_mut().for_each(|state| state.count_rows(view.rows));
            return Ok(());
        }
        let columns =
            keys.iter().map(|key| vector::evaluate(key, view, context)).collect::<Result<Vec<_>>>()?;
        let groups = self.groups.of_rows(view.rows, &columns);
        if self.groups.count() > limits::GROUPS {
            return Err(Error::TooLarge(format!(
                "the query makes more than {} groups; narrow it with where, or group by fewer fields",
                limits::GROUPS
            )));
        }
        for (state, call) in self.states.iter_mut().zip(aggregates) {
            state.grow(self.groups.count());
            let argument_of =
                |view: &View| call.argument.as_ref().map(|e| vector::evaluate(e, view, context)).transpose();
            let mut update = |groups: &[u32], view: &View| {
                let argument = argument_of(view)?;
                match &argument {
                    Some(column) if call.function.is_placed() => {
                        state.update_placed(groups, column, &view.column(TIME), &view.column("_seq"));
                    }
                    _ => state.update(groups, argument.as_deref()),
                }
                Ok::<(), Error>(())
            };
            match &call.filter {
                None => update(&groups, view)?,
                Some(filter) => {
                    let rows: Vec<u32> =
                        vector::filter(filter, view, context)?.ones().map(|r| r as u32).collect();
                    let kept: Vec<u32> = rows.iter().map(|row| groups[*row as usize]).collect();
                    // of the rows that count only: a fault in the others is none
                    update(&kept, &view.take(&rows))?;
                }
            }
        }
        Ok(())
    }

    fn absorb(&mut self, other: Self) {
        let map = self.groups.absorb(other.groups);
        for (state, more) in self.states.iter_mut().zip(other.states) {
            state.grow(self.groups.count());
            state.absorb(more, &map);
        }
    }

    /// Adds groups of these keys, without events where they are not there yet; gives the numbers of them all, each once.
    fn insert(&mut self, keys: impl Iterator<Item = Vec<Value>>) -> Vec<usize> {
        self.gaps_from = self.gaps_from.min(self.groups.count());
        let mut numbers: Vec<usize> = keys.map(|key| self.groups.insert(key) as usize).collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.states.iter_mut().for_each(|state| state.grow(self.groups.count()));
        numbers
    }

    /// The keys that a series without gaps has: every bucket with every combination of the other keys that was found.
    fn gaps(&self, series: &Series) -> Result<Vec<Vec<Value>>> {
        let width = self.groups.width();
        let key_of = |group: usize| -> Vec<Value> {
            (0..width).map(|at| self.groups.key(group, at).clone()).collect()
        };
        let found = (0..self.groups.count()).filter_map(|group| match self.groups.key(group, series.key) {
            Value::Time(start) => Some(*start),
            _ => None,
        });
        let starts = series.starts(found)?;
        let without_bucket = |mut key: Vec<Value>| {
            key[series.key] = Value::Null;
            key
        };
        let mut others: Vec<Vec<Value>> = match width {
            1 => vec![vec![Value::Null]],
            _ => (0..self.groups.count()).map(|group| without_bucket(key_of(group))).collect(),
        };
        // in the order of their first appearance, so that the same question has the same answer
        let mut seen = HashSet::new();
        others.retain(|key| seen.insert(key.clone()));
        let rows = others.len().saturating_mul(starts.len());
        if rows > limits::ANSWER_ROWS {
            return Err(Error::TooLarge(format!(
                "filling the gaps makes {rows} rows, more than {}; take a larger bucket, a shorter range or fewer groups",
                limits::ANSWER_ROWS
            )));
        }
        let filled = others.into_iter().flat_map(|key| {
            starts.iter().map(move |start| {
                let mut key = key.clone();
                key[series.key] = Value::Time(*start);
                key
            })
        });
        Ok(filled.collect())
    }

    /// The groups, or only some of them, as output rows with their order keys. Without an order they come by their keys,
    /// so that the same question gives the same answer in the same order.
    fn output(
        self,
        (select, having, order): (&[Expr], Option<&Expr>, &[Order]),
        only: Option<Vec<usize>>,
        plan: &Plan,
    ) -> Result<Vec<Keyed>> {
        let count = self.groups.count();
        let finished = self
            .states
            .into_iter()
            .zip(&self.functions)
            .map(|(state, function)| {
                let mut values = state.finish(*function, count)?;
                if *function == AggregateFunction::Sum && self.gaps_from < count {
                    zero_sums(&mut values, self.gaps_from);
                }
                Ok(values)
            })
            .collect::<Result<Vec<_>>>()?;
        let context = Context::new(plan.calendar.clone());
        let groups = self.groups;
        let slot = |group: usize, name: &str| {
            let at: usize = name.parse().unwrap_or(usize::MAX);
            match at.checked_sub(groups.width()) {
                None => groups.key(group, at).clone(),
                Some(at) => finished.get(at).map_or(Value::Null, |values| values[group].clone()),
            }
        };
        let mut rows: Vec<Keyed> = Vec::new();
        let mut numbers = only.unwrap_or_else(|| (0..count).collect());
        if order.is_empty() {
            let ascending = vec![Direction { descending: false, nulls_first: false }; groups.width()];
            let keys = |group: usize| {
                (0..groups.width()).map(|at| groups.key(group, at).clone()).collect::<Vec<_>>()
            };
            numbers.sort_by_cached_key(|group| SortedBy(keys(*group), ascending.clone()));
        }
        for group in numbers {
            let value = |e: &Expr| scalar::evaluate(e, &|name| slot(group, name), &context);
            if let Some(having) = having
                && scalar::truth(&value(having)?) != Some(true)
            {
                continue;
            }
            let order = order.iter().map(|o| value(&o.expression)).collect::<Result<Vec<_>>>()?;
            let cells = select.iter().map(value).collect::<Result<Vec<_>>>()?;
            rows.push(Keyed { order, cells, is_gap: group >= self.gaps_from });
        }
        Ok(rows)
    }
}

/// A sum over no events at all is 0 in a series, as a count is: nothing was earned on a day without orders.
fn zero_sums(values: &mut [Value], from: usize) {
    let is_float = values.iter().any(|value| matches!(value, Value::Float(_)));
    let zero = if is_float { Value::Float(0.0) } else { Value::Int(0) };
    values[from..].iter_mut().filter(|value| value.is_null()).for_each(|value| *value = zero.clone());
}

/// A row of keys that compares by directions.
#[derive(PartialEq, Eq)]
struct SortedBy(Vec<Value>, Vec<Direction>);

impl PartialOrd for SortedBy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortedBy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        compare_keys(&self.0, &other.0, &self.1)
    }
}
