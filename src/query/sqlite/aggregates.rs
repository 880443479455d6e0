//! Every aggregate on a connection, row by row. `count` is SQLite's own, also as a window function; the others are here by their names in the
//! language. With `over_` before it each is a window function too: `over_sum(x) OVER (..)`, which keeps the rows of its
//! frame, so that frames can slide; the plain ones keep no rows. `register` in `sqlite` calls it.

use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, WindowAggregate};

use crate::error::Result;
use crate::query::aggregate::numbers::rank;
use crate::query::aggregate::sums::integer_sum;
use crate::query::earliest::Earliest;
use crate::query::expression::AggregateFunction;
use crate::query::sketch::distinct::DistinctSketches;
use crate::query::sketch::quantile::QuantileSketch;
use crate::value::Value;

use super::values::{Stored, from_sql};
use super::{FLAGS, Shared, not_added};

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
    Different(HashSet<Value>),
    Sum { integers: i128, floats: f64, count: u64, any_float: bool, average: bool },
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
            AggregateFunction::Count | AggregateFunction::Uniq => Self::Different(HashSet::new()),
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
            Self::Different(values) => {
                values.insert(value.clone());
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

    /// The result so far; more rows may follow.
    fn result(&mut self, q: f64) -> Result<Value> {
        Ok(match self {
            Self::Different(values) => Value::Int(values.len() as i64),
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
}

impl Group {
    fn add(&mut self, row: &[Value]) {
        if let [_, q] = row {
            self.q = q.as_f64().unwrap_or(self.q);
        }
        self.accumulator.add(row);
    }
}

/// An aggregate over the rows of a group.
#[derive(Debug, Clone)]
struct Plain {
    function: AggregateFunction,
    shared: Arc<Shared>,
}

impl Plain {
    fn group(&self) -> Group {
        Group { accumulator: Accumulator::new(self.function), q: 0.0 }
    }

    fn result(&self, group: &mut Group) -> rusqlite::Result<Stored<'static>> {
        let result = group.accumulator.result(group.q);
        result.map(Stored::from).map_err(|error| self.shared.stop(error))
    }
}

impl Aggregate<Group, Stored<'static>> for Plain {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Group> {
        Ok(self.group())
    }

    fn step(&self, call: &mut Context<'_>, group: &mut Group) -> rusqlite::Result<()> {
        group.add(&row_of(call));
        Ok(())
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
    group: Option<Group>,
}

/// An aggregate over the rows of a frame.
#[derive(Debug)]
struct Over(Plain);

impl Aggregate<Frame, Stored<'static>> for Over {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Frame> {
        Ok(Frame { rows: VecDeque::new(), group: Some(self.0.group()) })
    }

    fn step(&self, call: &mut Context<'_>, frame: &mut Frame) -> rusqlite::Result<()> {
        let row = row_of(call);
        if let Some(group) = &mut frame.group {
            group.add(&row);
        }
        frame.rows.push_back(row);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, mut frame: Option<Frame>) -> rusqlite::Result<Stored<'static>> {
        self.value(frame.as_mut())
    }
}

impl WindowAggregate<Frame, Stored<'static>> for Over {
    fn value(&self, frame: Option<&mut Frame>) -> rusqlite::Result<Stored<'static>> {
        let Some(frame) = frame else { return self.0.result(&mut self.0.group()) };
        let rows = &frame.rows;
        let group = frame.group.get_or_insert_with(|| {
            let mut group = self.0.group();
            rows.iter().for_each(|row| group.add(row));
            group
        });
        self.0.result(group)
    }

    /// Rows leave a frame in the order in which they came into it.
    fn inverse(&self, _: &mut Context<'_>, frame: &mut Frame) -> rusqlite::Result<()> {
        frame.rows.pop_front();
        frame.group = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Calendar;

    fn ask(sql: &str) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        super::super::register(&connection, &Calendar::default()).unwrap();
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
