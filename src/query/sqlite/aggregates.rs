//! Every aggregate on a connection, row by row. `count` is SQLite's own, also as a window function; the others are here by their names in the
//! language. With `over_` before it each is a window function too: `over_sum(x) OVER (..)`, which keeps the rows of its
//! frame, so that frames can slide; the plain ones keep no rows. What they keep is charged to the budget of the question.
//! `register` in `sqlite` calls it.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, WindowAggregate};

use crate::error::Result;
use crate::query::aggregate::numbers::rank;
use crate::query::aggregate::sums::integer_sum;
use crate::query::budget::{Budget, Held, bytes_of};
use crate::query::earliest::Earliest;
use crate::query::expression::AggregateFunction;
use crate::query::sketch::distinct::DistinctSketches;
use crate::query::sketch::quantile::QuantileSketch;
use crate::value::Value;

use super::{FLAGS, Shared, not_added};
use crate::store::values::{Stored, from_sql};

/// The aggregates with their numbers of arguments. What q is of a quantile comes with the rows; `first` and `last` take
/// the `_time` and `_seq` of theirs.
const AGGREGATES: [(AggregateFunction, i32); 11] = [
    (AggregateFunction::Uniq, 1),
    (AggregateFunction::Sum, 1),
    (AggregateFunction::Avg, 1),
    (AggregateFunction::Min, 1),
    (AggregateFunction::Max, 1),
    (AggregateFunction::Any, 1),
    (AggregateFunction::Quantile(f64::NAN), 2),
    (AggregateFunction::ApproxUniq, 1),
    (AggregateFunction::ApproxQuantile(f64::NAN), 2),
    (AggregateFunction::First, 3),
    (AggregateFunction::Last, 3),
];

/// Bytes of rows that come in between two charges.
const CHARGED_BYTES: usize = 1 << 14;
/// Rows that a frame adds up again between two looks at the clock.
const CHECKED_ROWS: usize = 1 << 12;

/// The name of an aggregate as a window function.
pub fn window_name(function: AggregateFunction) -> String {
    format!("over_{}", function.name())
}

/// Every name that is registered here.
pub fn names() -> impl Iterator<Item = String> {
    AGGREGATES.iter().flat_map(|(function, _)| [function.name().to_owned(), window_name(*function)])
}

/// Registers everything of this file.
///
/// # Errors
/// Those of SQLite.
pub(super) fn register(connection: &Connection, shared: &Arc<Shared>) -> Result<()> {
    for (function, arguments) in AGGREGATES {
        let plain = Plain { function, shared: Arc::clone(shared) };
        let over = Over(plain.clone());
        let name = function.name();
        connection
            .create_aggregate_function(name, arguments, FLAGS, plain)
            .map_err(|error| not_added(name, error))?;
        let name = window_name(function);
        connection
            .create_window_function(name.as_str(), arguments, FLAGS, over)
            .map_err(|error| not_added(&name, error))?;
    }
    Ok(())
}

/// What has come in of one group.
#[derive(Debug)]
enum Accumulator {
    /// With the bytes behind their pointers.
    Different(HashSet<Value>, usize),
    Sum {
        integers: i128,
        floats: f64,
        count: u64,
        any_float: bool,
        average: bool,
    },
    Extreme(Value, Ordering),
    Numbers(Vec<Value>),
    ApproxUniq(DistinctSketches),
    ApproxQuantile(QuantileSketch),
    Placed(Earliest),
}

impl Accumulator {
    fn new(function: AggregateFunction) -> Self {
        let sum = |average| Self::Sum { integers: 0, floats: 0.0, count: 0, any_float: false, average };
        match function {
            AggregateFunction::Count | AggregateFunction::Uniq => Self::Different(HashSet::new(), 0),
            AggregateFunction::Sum => sum(false),
            AggregateFunction::Avg => sum(true),
            AggregateFunction::Min | AggregateFunction::Any => Self::Extreme(Value::Null, Ordering::Less),
            AggregateFunction::Max => Self::Extreme(Value::Null, Ordering::Greater),
            AggregateFunction::Quantile(_) => Self::Numbers(Vec::new()),
            AggregateFunction::ApproxUniq => {
                let mut sketches = DistinctSketches::default();
                sketches.grow(1);
                Self::ApproxUniq(sketches)
            }
            AggregateFunction::ApproxQuantile(_) => Self::ApproxQuantile(QuantileSketch::default()),
            AggregateFunction::First | AggregateFunction::Last => {
                let mut earliest = Earliest::new(function == AggregateFunction::Last);
                earliest.grow(1);
                Self::Placed(earliest)
            }
        }
    }

    /// Takes in one row: the value, and what stands behind it.
    fn add(&mut self, row: &[Value]) {
        let Some((value, rest)) = row.split_first().filter(|(value, _)| !value.is_null()) else { return };
        match self {
            Self::Different(values, behind) => {
                if values.insert(value.clone()) {
                    *behind += value.bytes() - size_of::<Value>();
                }
            }
            Self::Sum { integers, floats, count, any_float, .. } => match value {
                Value::Int(_) | Value::Time(_) | Value::Bool(_) | Value::Float(_) => {
                    *count += 1;
                    match value {
                        Value::Int(n) | Value::Time(n) => *integers += i128::from(*n),
                        Value::Bool(b) => *integers += i128::from(*b),
                        other => {
                            *floats += other.as_f64().unwrap_or_default();
                            *any_float = true;
                        }
                    }
                }
                _ => {}
            },
            Self::Extreme(best, wins) => {
                if best.is_null() || value.compare(best) == *wins {
                    *best = value.clone();
                }
            }
            Self::Numbers(numbers) => match value {
                Value::Int(n) | Value::Time(n) => numbers.push(Value::Int(*n)),
                Value::Bool(b) => numbers.push(Value::Int(i64::from(*b))),
                Value::Float(_) => numbers.push(value.clone()),
                _ => {}
            },
            Self::ApproxUniq(sketches) => sketches.add(0, value),
            Self::ApproxQuantile(sketch) => sketch.add(0, value),
            Self::Placed(earliest) => {
                if let [Value::Time(time), Value::Int(seq)] = rest {
                    earliest.offer(0, (*time, *seq), || value.clone());
                }
            }
        }
    }

    /// Bytes that grow with the rows; a sketch has a bound of its own, and the others hold one value.
    fn bytes(&self) -> usize {
        match self {
            // a table of std keeps a byte beside each entry, and has room for a seventh more than it tells
            Self::Different(values, behind) => {
                (values.capacity() + values.capacity() / 7) * (size_of::<Value>() + 1) + behind
            }
            Self::Numbers(numbers) => numbers.capacity() * size_of::<Value>(),
            _ => 0,
        }
    }

    /// The result so far; more rows may follow.
    fn result(&mut self, q: f64) -> Result<Value> {
        Ok(match self {
            Self::Different(values, _) => Value::Int(values.len() as i64),
            Self::Sum { count: 0, .. } => Value::Null,
            Self::Sum { integers, floats, count, average: true, .. } => {
                Value::finite((*floats + *integers as f64) / *count as f64)
            }
            Self::Sum { integers, floats, any_float: true, .. } => Value::finite(*floats + *integers as f64),
            Self::Sum { integers, .. } => Value::Int(integer_sum(*integers)?),
            Self::Extreme(best, _) => best.clone(),
            Self::Numbers(numbers) => {
                numbers.sort_by(Value::compare);
                match numbers.len() {
                    0 => Value::Null,
                    count => numbers[rank(q, count) - 1].clone(),
                }
            }
            Self::ApproxUniq(sketches) => Value::Int(sketches.count(0)),
            Self::ApproxQuantile(sketch) => sketch.quantile(0, q),
            Self::Placed(earliest) => earliest.value(0),
        })
    }
}

/// A group on its way, with the q of its quantile once a row has told it.
#[derive(Debug)]
struct Group {
    accumulator: Accumulator,
    q: f64,
    /// Bytes of the rows that came since the memory was charged.
    came: usize,
    held: Held,
}

impl Group {
    fn add(&mut self, row: &[Value]) -> Result<()> {
        if let [_, q] = row {
            self.q = q.as_f64().unwrap_or(self.q);
        }
        self.accumulator.add(row);
        self.came += row.first().map_or(0, Value::bytes);
        if self.came >= CHARGED_BYTES {
            self.came = 0;
            self.held.set(self.accumulator.bytes())?;
        }
        Ok(())
    }
}

/// An aggregate over the rows of a group.
#[derive(Debug, Clone)]
struct Plain {
    function: AggregateFunction,
    shared: Arc<Shared>,
}

impl Plain {
    fn budget(&self) -> Arc<Budget> {
        self.shared.budget()
    }

    fn group(&self) -> Group {
        let accumulator = Accumulator::new(self.function);
        Group { accumulator, q: 0.0, came: 0, held: self.budget().hold() }
    }

    fn result(&self, group: &mut Group) -> rusqlite::Result<Stored<'static>> {
        // a frame asks for one at every row, and a list is sorted each time
        let result = self.budget().check().and_then(|()| group.accumulator.result(group.q));
        result.map(Stored::from).map_err(|error| self.shared.stop(error))
    }
}

impl Aggregate<Group, Stored<'static>> for Plain {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Group> {
        Ok(self.group())
    }

    fn step(&self, call: &mut Context<'_>, group: &mut Group) -> rusqlite::Result<()> {
        // nearly all have one argument: a list of one would be made and dropped a row
        let added = match call.len() {
            1 => group.add(&[from_sql(call.get_raw(0))]),
            _ => group.add(&row_of(call)),
        };
        added.map_err(|error| self.shared.stop(error))
    }

    fn finalize(&self, _: &mut Context<'_>, group: Option<Group>) -> rusqlite::Result<Stored<'static>> {
        self.result(&mut group.unwrap_or_else(|| self.group()))
    }
}

fn row_of(call: &Context<'_>) -> Vec<Value> {
    (0..call.len()).map(|at| from_sql(call.get_raw(at))).collect()
}

/// The rows of a frame, and what they come to unless one has left it since.
#[derive(Debug)]
struct Frame {
    rows: VecDeque<Vec<Value>>,
    bytes: usize,
    held: Held,
    group: Option<Group>,
}

impl Frame {
    fn push(&mut self, row: Vec<Value>) -> Result<()> {
        if let Some(group) = &mut self.group {
            group.add(&row)?;
        }
        self.bytes += bytes_of(&row);
        self.rows.push_back(row);
        self.charge()
    }

    fn pop(&mut self) -> Result<()> {
        let row = self.rows.pop_front();
        self.bytes -= row.map_or(0, |row| bytes_of(&row));
        self.group = None;
        self.charge()
    }

    fn charge(&mut self) -> Result<()> {
        if self.bytes.abs_diff(self.held.bytes()) < CHARGED_BYTES {
            Ok(())
        } else {
            self.held.set(self.bytes)
        }
    }
}

/// An aggregate over the rows of a frame.
#[derive(Debug)]
struct Over(Plain);

impl Over {
    fn frame(&self) -> Frame {
        let held = self.0.budget().hold();
        Frame { rows: VecDeque::new(), bytes: 0, held, group: Some(self.0.group()) }
    }

    /// What the rows come to, added up from the first one.
    fn group(&self, rows: &VecDeque<Vec<Value>>) -> Result<Group> {
        let mut group = self.0.group();
        for (at, row) in rows.iter().enumerate() {
            if at % CHECKED_ROWS == 0 {
                self.0.budget().check()?;
            }
            group.add(row)?;
        }
        Ok(group)
    }
}

impl Aggregate<Frame, Stored<'static>> for Over {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Frame> {
        Ok(self.frame())
    }

    fn step(&self, call: &mut Context<'_>, frame: &mut Frame) -> rusqlite::Result<()> {
        frame.push(row_of(call)).map_err(|error| self.0.shared.stop(error))
    }

    fn finalize(&self, _: &mut Context<'_>, mut frame: Option<Frame>) -> rusqlite::Result<Stored<'static>> {
        self.value(frame.as_mut())
    }
}

impl WindowAggregate<Frame, Stored<'static>> for Over {
    fn value(&self, frame: Option<&mut Frame>) -> rusqlite::Result<Stored<'static>> {
        let Some(frame) = frame else { return self.0.result(&mut self.0.group()) };
        let mut group = match frame.group.take() {
            Some(group) => group,
            None => self.group(&frame.rows).map_err(|error| self.0.shared.stop(error))?,
        };
        let result = self.0.result(&mut group);
        frame.group = Some(group);
        result
    }

    /// Rows leave a frame in the order in which they came into it.
    fn inverse(&self, _: &mut Context<'_>, frame: &mut Frame) -> rusqlite::Result<()> {
        frame.pop().map_err(|error| self.0.shared.stop(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::budget::Budget;
    use crate::time::Calendar;

    fn ask(sql: &str) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        super::super::register(&connection, &Calendar::default(), &Budget::unbounded()).unwrap();
        let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement.query_map([], |row| Ok(format!("{:?}", from_sql(row.get_ref(0)?)))).unwrap();
        rows.map(|row| row.unwrap_or_else(|error| panic!("{sql}: {error}"))).collect()
    }

    const ROWS: &str = "(WITH t(at, x) AS (VALUES (1, 3), (2, NULL), (3, 1.5), (4, 'a'), (5, 1), (6, cast_bool(1))) SELECT * FROM t)";

    #[test]
    fn aggregates_mean_what_they_mean_elsewhere() {
        for (sql, wanted) in [
            ("uniq(x)", "Int(4)"),
            ("sum(x)", "Float(6.5)"),
            ("avg(x)", "Float(1.625)"),
            ("min(x)", "Int(1)"),
            ("any(x)", "Int(1)"),
            ("max(x)", "Text(\"a\")"),
            ("quantile(x, 0.5)", "Int(1)"),
            ("quantile(x, 1)", "Int(3)"),
            ("approx_uniq(x)", "Int(4)"),
            ("approx_quantile(x, 0.75)", "Float(1.5)"),
            ("first(x, cast_time(1700000000 - at), at)", "Bool(true)"),
            ("last(x, cast_time(1700000000), at)", "Bool(true)"),
            ("first(x, cast_time(1700000000), at)", "Int(3)"),
            ("sum(x) FILTER (WHERE at > 9)", "Null"),
            ("uniq(x) FILTER (WHERE at > 9)", "Int(0)"),
            ("quantile(x, 0.5) FILTER (WHERE at = 4)", "Null"),
        ] {
            assert_eq!(ask(&format!("SELECT {sql} FROM {ROWS}")), [wanted], "{sql}");
        }
    }

    #[test]
    fn as_window_functions_they_follow_their_frames() {
        for (sql, wanted) in [
            (
                "over_sum(x) OVER (ORDER BY at)",
                ["Int(3)", "Int(3)", "Float(4.5)", "Float(4.5)", "Float(5.5)", "Float(6.5)"],
            ),
            (
                "over_max(x) OVER (ORDER BY at ROWS 1 PRECEDING)",
                ["Int(3)", "Int(3)", "Float(1.5)", "Text(\"a\")", "Text(\"a\")", "Int(1)"],
            ),
            (
                "over_uniq(x) OVER (ORDER BY at ROWS BETWEEN 1 FOLLOWING AND 2 FOLLOWING)",
                ["Int(1)", "Int(2)", "Int(2)", "Int(1)", "Int(1)", "Int(0)"],
            ),
            (
                "over_quantile(x, 0.5) OVER (ORDER BY at ROWS 2 PRECEDING)",
                ["Int(3)", "Int(3)", "Float(1.5)", "Float(1.5)", "Int(1)", "Int(1)"],
            ),
        ] {
            assert_eq!(ask(&format!("SELECT {sql} FROM {ROWS} ORDER BY at")), wanted, "{sql}");
        }
    }
}
