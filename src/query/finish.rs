//! From groups to output rows: of all groups first only what HAVING and the first part of the order look at, the rest of
//! those that are left. `execute` calls it when all parts are in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::query::budget::{Held, Meter, bytes_of};
use crate::query::expression::{AggregateCall, AggregateFunction, Expr};
use crate::query::functions::Context;
use crate::query::language::Order;
use crate::query::measures::{Found, Measures};
use crate::query::plan::add_columns;
use crate::query::series::Series;
use crate::query::sort::{Direction, Sorter};
use crate::query::vector;
use crate::query::view::View;
use crate::value::Value;

/// The cells of an output row, and whether its group has no events.
pub type Row = (Vec<Value>, bool);

/// The groups that were found, and those without events that were asked for.
#[derive(Debug)]
pub struct Grouped<'a> {
    measures: &'a Measures<'a>,
    found: Found,
    aggregates: &'a [AggregateCall],
    width: usize,
    /// The rows of the groups: their slots,
    slots: Vec<u32>,
    /// then the keys of groups without events.
    gaps: Vec<Vec<Value>>,
    context: &'a Context,
    /// The memory of what is made of the groups; one step after the other charges it.
    held: Held,
}

/// What an output row is made of.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// The columns, over keys and aggregates.
    pub select: &'a [Expr],
    /// Groups that count.
    pub having: Option<&'a Expr>,
    /// Compared first; groups that are equal by it stand in the order of their keys.
    pub order: &'a [Order],
    /// Output rows at most; beyond it is an error.
    pub rows_max: usize,
}

impl<'a> Grouped<'a> {
    /// All groups that were found.
    pub fn new(
        measures: &'a Measures<'a>,
        found: Found,
        (keys, aggregates): (usize, &'a [AggregateCall]),
        context: &'a Context,
    ) -> Self {
        let slots = found.groups.numbers();
        let held = context.budget.hold();
        Self { measures, found, aggregates, width: keys, slots, gaps: Vec::new(), context, held }
    }

    /// Keeps the groups of these keys alone, each once, and adds those that were not found.
    ///
    /// # Errors
    /// As the budget.
    pub fn keep_only(&mut self, wanted: &[Vec<Value>]) -> Result<()> {
        let (known, _memory) = self.by_key()?;
        let mut seen = HashSet::new();
        let (mut slots, mut gaps) = (Vec::new(), Vec::new());
        for key in wanted.iter().filter(|key| seen.insert((*key).clone())) {
            match known.get(key) {
                Some(at) => slots.push(self.slots[*at]),
                None if self.width == 0 => slots.extend(self.slots.first()),
                None => gaps.push(key.clone()),
            }
        }
        (self.slots, self.gaps) = (slots, gaps);
        Ok(())
    }

    /// Adds the groups that a series without gaps has: every bucket with every combination of the other keys that was found.
    ///
    /// # Errors
    /// More rows than an answer may have; as the budget.
    pub fn fill(&mut self, series: &Series) -> Result<()> {
        let (known, _memory) = self.by_key()?;
        let starts = known.keys().filter_map(|key| match key[series.key] {
            Value::Time(start) => Some(start),
            _ => None,
        });
        let starts = series.starts(starts)?;
        let mut others: Vec<Vec<Value>> = known.keys().cloned().collect();
        others.iter_mut().for_each(|key| key[series.key] = Value::Null);
        if self.width == 1 {
            others = vec![vec![Value::Null]];
        }
        let mut seen = HashSet::new();
        others.retain(|key| seen.insert(key.clone()));
        let rows = others.len().saturating_mul(starts.len());
        if rows > limits::ANSWER_ROWS {
            return Err(Error::TooLarge(format!(
                "filling the gaps makes {rows} rows, more than {}; take a larger bucket, a shorter range or fewer groups",
                limits::ANSWER_ROWS
            )));
        }
        self.held.add(rows * size_of::<Value>() * (self.width + 1))?;
        for mut key in others {
            self.context.budget.check()?;
            for start in &starts {
                key[series.key] = Value::Time(*start);
                if !known.contains_key(&key) {
                    self.gaps.push(key.clone());
                }
            }
        }
        Ok(())
    }

    /// The groups that were found, by their keys.
    fn by_key(&self) -> Result<(HashMap<Vec<Value>, usize>, Meter)> {
        let mut meter = self.context.budget.meter();
        let columns: Vec<Column> =
            (0..self.width).map(|at| self.found.groups.key_column(at, &self.slots)).collect();
        let entry = |row: usize| {
            let key: Vec<Value> = columns.iter().map(|column| column.get(row)).collect();
            // twice: `fill` makes lists of them
            meter.count(bytes_of(&key) * 2 + size_of::<usize>()).map(|()| (key, row))
        };
        let known = (0..self.slots.len()).filter(|_| self.width > 0).map(entry).collect::<Result<_>>()?;
        Ok((known, meter))
    }

    /// Drops the groups that cannot be among the first rows of the output; the rest is looked at again.
    ///
    /// # Errors
    /// As [`Grouped::output`].
    pub fn prune(mut self, shape: Shape<'_>, most: usize) -> Result<Found> {
        let rows = self.survivors(shape, most)?;
        let slots: Vec<u32> = rows.iter().map(|row| self.slots[*row as usize]).collect();
        self.found.groups.retain(&slots);
        Ok(self.found)
    }

    /// The rows that HAVING leaves, without most of those that the first part of the order puts behind `most` others.
    fn survivors(&mut self, shape: Shape<'_>, most: usize) -> Result<Vec<u32>> {
        let (count, before) = (self.slots.len() + self.gaps.len(), self.held.bytes());
        self.held.add(count * size_of::<u32>() * 2)?;
        let mut rows: Vec<u32> = (0..count as u32).collect();
        if let Some(having) = shape.having {
            let view = self.view(&[having], &rows)?;
            let kept = vector::filter(having, &view, self.context)?;
            rows = kept.ones().map(|at| rows[at]).collect();
        }
        if let Some(first) = shape.order.first().filter(|_| most < rows.len() / 2) {
            let view = self.view(&[&first.expression], &rows)?;
            let column = vector::evaluate(&first.expression, &view, self.context)?;
            self.sorting(&[&column])?;
            let kept = Sorter::new(vec![(column, Direction::of(first))]).candidates(most);
            rows = kept.into_iter().map(|at| rows[at as usize]).collect();
        }
        self.held.set(before + rows.len() * size_of::<u32>())?;
        Ok(rows)
    }

    /// Output rows in order, at most so many, each with whether its group has no events.
    ///
    /// # Errors
    /// As evaluating the expressions; a sum beyond 64 bits.
    pub fn output(mut self, shape: Shape<'_>, most: usize) -> Result<(Vec<Row>, Held)> {
        let rows = self.survivors(shape, most)?;
        if rows.len().min(most) > shape.rows_max {
            return Err(too_many_rows(rows.len()));
        }
        let mut parts: Vec<&Expr> =
            shape.select.iter().chain(shape.order.iter().map(|o| &o.expression)).collect();
        let keys: Vec<Expr> = (0..self.width).map(|at| Expr::Column(at.to_string())).collect();
        parts.extend(&keys);
        let view = self.view(&parts, &rows)?;
        let by = |expression: &Expr, direction| {
            Ok((vector::evaluate(expression, &view, self.context)?, direction))
        };
        let order = shape.order.iter().map(|o| by(&o.expression, Direction::of(o)));
        let order = order.chain(keys.iter().map(|key| by(key, Direction::ASCENDING)));
        let order: Vec<(Arc<Column>, Direction)> = order.collect::<Result<_>>()?;
        self.sorting(&order.iter().map(|(column, _)| column).collect::<Vec<_>>())?;
        let first = Sorter::new(order).first(most, rows.len());
        let view = view.take(&first);
        let cells = shape.select.iter().map(|e| vector::evaluate(e, &view, self.context));
        let cells = cells.collect::<Result<Vec<_>>>()?;
        let is_gap = |at: u32| rows[at as usize] as usize >= self.slots.len();
        let (mut meter, mut answer_bytes) = (self.context.budget.meter(), 0);
        let row = |(place, at): (usize, &u32)| {
            let cells: Vec<Value> = cells.iter().map(|column| column.get(place)).collect();
            answer_bytes += bytes_of(&cells);
            meter.count(bytes_of(&cells)).map(|()| (cells, is_gap(*at)))
        };
        let answer = first.iter().enumerate().map(row).collect::<Result<Vec<_>>>()?;
        drop(meter);
        self.held.set(answer_bytes)?;
        Ok((answer, self.held))
    }

    /// Charges what sorting by columns takes, and looks at the clock: it cannot be ended before it is done.
    fn sorting(&mut self, columns: &[&Arc<Column>]) -> Result<()> {
        let is_number = |column: &Column| matches!(column.data, Data::Int(_) | Data::Time(_) | Data::Text(_));
        let key_bytes = |column: &&Arc<Column>| match is_number(column) {
            true => column.rows * size_of::<u64>() * 2,
            false => column.rows * size_of::<Value>(),
        };
        self.held.add(columns.iter().map(key_bytes).sum())?;
        self.context.budget.check()
    }

    /// The columns of keys and aggregates that expressions name, for some rows.
    fn view(&mut self, expressions: &[&Expr], rows: &[u32]) -> Result<View> {
        let mut names = Vec::new();
        expressions.iter().for_each(|expression| add_columns(expression, &mut names));
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            self.context.budget.check()?;
            let column = self.column(name.parse().unwrap_or(usize::MAX), rows)?;
            self.held.add(column.bytes())?;
            columns.push((name, Arc::new(column)));
        }
        Ok(View::of(rows.len(), columns))
    }

    /// One key or aggregate of some rows.
    fn column(&mut self, at: usize, rows: &[u32]) -> Result<Column> {
        let found = self.slots.len();
        let slots: Vec<u32> =
            rows.iter().filter(|row| (**row as usize) < found).map(|row| self.slots[*row as usize]).collect();
        let aggregate = at.checked_sub(self.width);
        let column = match aggregate {
            None => self.found.groups.key_column(at, &slots),
            Some(aggregate) => self.measures.finish(&mut self.found, aggregate, &slots)?,
        };
        if slots.len() == rows.len() {
            return Ok(column);
        }
        let of_all =
            aggregate.map(|at| self.measures.finish(&mut self.found, at, &self.slots)).transpose()?;
        let is_float = of_all.is_some_and(|all| all.kinds().has(FieldType::Float));
        let mut values = (0..column.rows).map(|row| column.get(row));
        let value = |row: &u32| match ((*row as usize).checked_sub(found), aggregate) {
            (None, _) => values.next().unwrap_or(Value::Null),
            (Some(gap), None) => self.gaps[gap][at].clone(),
            (Some(_), Some(aggregate)) => of_nothing(self.aggregates[aggregate].function, is_float),
        };
        Ok(column_of(rows.iter().map(value).collect::<Vec<_>>()))
    }
}

/// The refusal of an answer beyond the limit.
pub fn too_many_rows(rows: usize) -> Error {
    Error::TooLarge(format!(
        "the answer has {rows} rows, more than {}; narrow it with where or limit, or page through /rows",
        limits::ANSWER_ROWS
    ))
}

/// An aggregate over no events at all. In a series a sum is 0, as a count is: nothing was earned on a day without orders.
fn of_nothing(function: AggregateFunction, is_float: bool) -> Value {
    match function {
        AggregateFunction::Count | AggregateFunction::Uniq | AggregateFunction::ApproxUniq => Value::Int(0),
        AggregateFunction::Sum if is_float => Value::Float(0.0),
        AggregateFunction::Sum => Value::Int(0),
        _ => Value::Null,
    }
}
