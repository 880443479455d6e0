//! A series over time: groups by one bucket of the calendar. Planning finds it, `execute` fills its gaps, `compare`
//! lays the one before beside it, and the reply says which of its rows are no whole buckets.

use std::collections::HashMap;

use crate::columnar::TIME;
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::query::expression::Expr;
use crate::query::language::{Query, Range};
use crate::store::snapshot::Dataset;
use crate::time::{Bucket, Bucketer, Calendar};
use crate::value::Value;

/// The one time bucket among the keys of a query.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its place among the keys.
    pub key: usize,
    /// The unit.
    pub bucket: Bucket,
    /// Whether it is of the time of events, which the range bounds.
    pub is_of_events: bool,
    /// The range of the query.
    range: Range,
    calendar: Calendar,
    now: i64,
}

impl Series {
    /// The time buckets in a list of resolved keys.
    pub fn among(keys: &[Expr], query: &Query, dataset: &Dataset) -> Vec<Self> {
        let is_time = |operand: &Expr| match operand {
            Expr::Column(name) => name == TIME || dataset.time_field.as_deref() == Some(name.as_str()),
            _ => false,
        };
        let series = |(key, expression): (usize, &Expr)| match expression {
            Expr::Call(function, arguments) => {
                let is_of_events = matches!(arguments.as_slice(), [operand] if is_time(uncast(operand)));
                let (range, calendar, now) = (query.range, query.calendar.clone(), query.now);
                function.bucket().map(|bucket| Self { key, bucket, is_of_events, range, calendar, now })
            }
            _ => None,
        };
        keys.iter().enumerate().filter_map(series).collect()
    }

    /// The starts of all buckets that a filled series has: those of the range and, where it is open, from the first
    /// or to the last bucket that was found.
    ///
    /// # Errors
    /// `TooLarge`, where they are more than an answer may have rows.
    pub fn starts(&self, found: impl Iterator<Item = i64>) -> Result<Vec<i64>> {
        let range = if self.is_of_events { self.range } else { Range::default() };
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        found.for_each(|start| (first, last) = (first.min(start), last.max(start)));
        let mut bucketer = Bucketer::new(self.bucket, &self.calendar);
        let first = range.from.map_or(first, |from| bucketer.start(from));
        let end = range.to.unwrap_or(last.saturating_add(1));
        self.walk(&mut bucketer, first, end)
    }

    /// The starts of the buckets from one on, up to an instant that they all lie before.
    fn walk(&self, bucketer: &mut Bucketer, first: i64, end: i64) -> Result<Vec<i64>> {
        let (mut starts, mut start) = (Vec::new(), first);
        while start < end {
            starts.push(start);
            let next = bucketer.next(start);
            // the calendar ends
            if next <= start {
                break;
            }
            if starts.len() >= limits::ANSWER_ROWS {
                let (unit, most) = (self.bucket.name(), limits::ANSWER_ROWS);
                return Err(Error::TooLarge(format!(
                    "the range has more than {most} buckets of a {unit}; take a larger bucket or a shorter range"
                )));
            }
            start = next;
        }
        Ok(starts)
    }

    /// The buckets of a range by their place in it, for laying it beside another. Days and larger ones are counted;
    /// minutes and hours are told by the clock on the wall, so that 14:00 stands beside 14:00 on a day of 23 hours too.
    ///
    /// # Errors
    /// As [`Series::starts`].
    pub fn places(&self, range: &Range) -> Result<Vec<(i64, i64)>> {
        let (Some(from), Some(to)) = (range.from, range.to) else { return Ok(Vec::new()) };
        let mut bucketer = Bucketer::new(self.bucket, &self.calendar);
        let first = bucketer.start(from);
        let starts = self.walk(&mut bucketer, first, to)?;
        let is_small = matches!(self.bucket, Bucket::Minute | Bucket::Hour);
        let origin = bucketer.local(first);
        let place = |(count, start): (usize, i64)| {
            (start, if is_small { bucketer.local(start) - origin } else { count as i64 })
        };
        Ok(starts.into_iter().enumerate().map(place).collect())
    }

    /// The rows whose bucket reaches over an end of the range, or is not over yet.
    pub fn partial(&self, rows: &[Vec<Value>], column: usize) -> Vec<usize> {
        let mut bucketer = Bucketer::new(self.bucket, &self.calendar);
        let mut known: HashMap<i64, bool> = HashMap::new();
        let mut is_partial = |start: i64| {
            *known.entry(start).or_insert_with(|| {
                let next = bucketer.next(start);
                let cut = self.is_of_events
                    && (self.range.from.is_some_and(|from| from > start)
                        || self.range.to.is_some_and(|to| to < next));
                cut || self.now < next
            })
        };
        let starts = rows.iter().enumerate().filter_map(|(row, cells)| match cells.get(column) {
            Some(Value::Time(start)) => Some((row, *start)),
            _ => None,
        });
        starts.filter(|(_, start)| is_partial(*start)).map(|(row, _)| row).collect()
    }
}

/// What a cast to a time is of: `_time::date` is a day of the time itself.
fn uncast(operand: &Expr) -> &Expr {
    match operand {
        Expr::Cast(inner, FieldType::Time) => inner,
        other => other,
    }
}
