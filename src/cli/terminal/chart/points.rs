//! The values of a drawing in the order of their times, with a place for every bucket: also for those that the answer
//! has no row of, so that a gap is as wide as it was long. `series` and `groups` draw them.

use std::collections::BTreeMap;

use crate::query::answer::Answer;
use crate::time::{Bucketer, Calendar};
use crate::value::Value;

/// Buckets that are looked for between the first row and the last; beyond, rows stand side by side.
const BUCKETS_MAX: usize = 100_000;

/// The instants of an answer in their order, those of missing buckets among them.
pub fn instants(answer: &Answer, time: usize) -> Vec<i64> {
    let mut found: Vec<i64> = answer.rows.iter().filter_map(|row| instant(row, time)).collect();
    found.sort_unstable();
    found.dedup();
    let bucket = answer.series.as_ref().filter(|series| series.column == time).map(|series| series.bucket);
    let (Some(bucket), Some(first), Some(last)) = (bucket, found.first(), found.last()) else { return found };
    // weeks begin on the day that those of the answer begin on
    let Ok(begin) = jiff::Timestamp::from_microsecond(*first) else { return found };
    let week_start = begin.to_zoned(answer.tz.clone()).weekday();
    let mut buckets = Bucketer::new(bucket, &Calendar { tz: answer.tz.clone(), week_start });
    let (mut all, mut at) = (vec![*first], *first);
    while at < *last && all.len() < BUCKETS_MAX {
        let next = buckets.next(at);
        if next <= at {
            return found;
        }
        at = next;
        all.push(at);
    }
    // buckets that begin elsewhere than those of the answer are none of it
    let is_whole = found.iter().all(|instant| all.binary_search(instant).is_ok());
    if is_whole { all } else { found }
}

/// The time in a row.
pub fn instant(row: &[Value], time: usize) -> Option<i64> {
    match row.get(time) {
        Some(Value::Time(us)) => Some(*us),
        _ => None,
    }
}

/// What is at a place of a drawing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// The number; `None` where there is none.
    pub value: Option<f64>,
    /// Whether its bucket is not whole.
    pub is_partial: bool,
    /// Whether no event made it.
    pub is_gap: bool,
}

impl Point {
    /// Two places drawn as one: the larger number counts, by its size.
    fn with(self, other: Self) -> Self {
        let larger = match (self.value, other.value) {
            (Some(a), Some(b)) => Some(if b.abs() > a.abs() { b } else { a }),
            (a, b) => a.or(b),
        };
        Self {
            value: larger,
            is_partial: self.is_partial || other.is_partial,
            is_gap: self.is_gap && other.is_gap,
        }
    }
}

/// The points of rows at their places among the instants; where there is no row, there is a gap.
pub fn placed(instants: &[i64], rows: impl Iterator<Item = (i64, Point)>) -> Vec<Point> {
    let mut found: BTreeMap<i64, Point> = BTreeMap::new();
    for (at, point) in rows {
        found.entry(at).and_modify(|there| *there = there.with(point)).or_insert(point);
    }
    let gap = Point { is_gap: true, ..Point::default() };
    instants.iter().map(|at| found.get(at).copied().unwrap_or(gap)).collect()
}

/// So many neighbours as one that the rest fits into the places; with how many they are.
pub fn folded(points: &[Point], places: usize) -> (Vec<Point>, usize) {
    let together = points.len().div_ceil(places.max(1)).max(1);
    let fold = |run: &[Point]| run.iter().copied().reduce(Point::with).unwrap_or_default();
    (points.chunks(together).map(fold).collect(), together)
}

/// The smallest and the largest of the numbers and 0.
pub fn span(points: &[Point]) -> (f64, f64) {
    points.iter().filter_map(|point| point.value).fold((0.0, 0.0), |(low, high), v| (v.min(low), v.max(high)))
}
