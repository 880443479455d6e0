//! Retention: of those who began in a period, how many come back in each later one. A bit for each number and period is
//! all that is kept of events, and a block that lies in one period, as most do, is gone through without its times.

use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::error::{Error, Result};
use crate::limits;
use crate::query::codes::Codes;
use crate::query::expression::Expr;
use crate::query::language::Range;
use crate::query::plan::Names;
use crate::query::sequences::people::{Joined, Numbers};
use crate::query::sequences::scan::{Rows, Scan};
use crate::query::sequences::{Table, rate};
use crate::time::{Bucket, Bucketer, Calendar};
use crate::value::Value;

/// What is asked of a retention.
#[derive(Debug, Clone)]
pub struct Retention {
    /// How long periods are.
    pub period: Period,
    /// Events that someone may begin with; `None`: any.
    pub start: Option<Expr>,
    /// Events that someone comes back with; `None`: any.
    pub returns: Option<Expr>,
}

/// The length of periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// So many µs each, from the start of the range on.
    Every(i64),
    /// The buckets of the calendar that the range touches.
    Calendar(Bucket),
}

/// The periods of a range.
#[derive(Debug)]
struct Periods {
    /// Where each begins, rising; the first may begin before the range.
    starts: Vec<i64>,
}

/// One bit a number.
type Bits = Vec<u64>;

/// What one run has found.
struct Found<'a> {
    people: Numbers<'a>,
    /// By period: who has an event to begin with.
    starts: Vec<Bits>,
    /// By period: who has an event to come back with; empty where these are the same events.
    returns: Vec<Bits>,
}

impl Retention {
    /// A row a cohort and period from it on to the end of the range.
    ///
    /// # Errors
    /// A range without both ends, too many periods, conditions that are none; as the scan.
    pub(super) fn answer(
        &self,
        by: &Expr,
        range: &Range,
        names: &Names<'_>,
        scan: &Scan<'_>,
    ) -> Result<Table> {
        let periods = Periods::of(self.period, range, names.calendar)?;
        let condition = |e: &Option<Expr>, place| e.clone().map(|e| names.condition(e, place)).transpose();
        let (start, returns) = (condition(&self.start, "/start:")?, condition(&self.returns, "/return:")?);
        let conditions: Vec<Option<&Expr>> = match (&start, &returns) {
            (None, None) => vec![None],
            (start, returns) => vec![start.as_ref(), returns.as_ref()],
        };
        let count = periods.starts.len();
        let none = || vec![Bits::new(); count];
        let by = scan.numbered(by)?;
        let runs = scan.each_run(
            || Found { people: by.start(), starts: none(), returns: none() },
            |found, rows| {
                let numbers = found.people.of(rows)?;
                let words = found.people.count().div_ceil(64);
                for (condition, bits) in conditions.iter().zip([&mut found.starts, &mut found.returns]) {
                    let kept = condition.map(|e| rows.matching(std::iter::once(e))).transpose()?;
                    let kept = kept.and_then(|mut kept| kept.pop());
                    let grown = periods.mark(bits, words, rows, &numbers, kept.as_ref())?;
                    scan.hold(grown * size_of::<u64>())?;
                }
                Ok(())
            },
        )?;
        let mut people = Vec::with_capacity(runs.len());
        let (mut starts, mut returns) = (Vec::new(), Vec::new());
        for run in runs {
            people.push(run.people);
            starts.push(run.starts);
            returns.push(run.returns);
        }
        let people = by.join(people)?;
        scan.hold(conditions.len() * count * people.count() / 8)?;
        let joined = |runs: &[Vec<Bits>]| -> Vec<Bits> {
            (0..count).into_par_iter().map(|period| join(runs, period, &people)).collect()
        };
        let starts = joined(&starts);
        let returns = if conditions.len() == 1 { None } else { Some(joined(&returns)) };
        Ok(table(&periods, &cells(&starts, returns.as_ref().unwrap_or(&starts), people.count())))
    }
}

impl Periods {
    fn of(period: Period, range: &Range, calendar: &Calendar) -> Result<Self> {
        let (Some(from), Some(to)) = (range.from, range.to) else {
            return Err(Error::invalid(
                "/range: periods are counted from the start of the range to its end, so both are needed, as in {\"from\": \
                 \"2026-01-01\", \"to\": \"2026-03-01\"} or {\"last\": \"8w\"}",
            ));
        };
        if from >= to {
            return Err(Error::invalid("/range: it is empty; \"to\" has to lie after \"from\""));
        }
        let too_many = || {
            Error::invalid(format!(
                "/period: the range has more than {} periods; take a longer period or a shorter range",
                limits::RETENTION_PERIODS
            ))
        };
        let mut starts = Vec::new();
        let mut bucketer = match period {
            Period::Calendar(bucket) => Some(Bucketer::new(bucket, calendar)),
            Period::Every(length) if length > to.saturating_sub(from) => {
                return Err(Error::invalid(
                    "/period: it is longer than the range, so nobody could come back in a later one; take a shorter \
                     period or a longer range",
                ));
            }
            Period::Every(_) => None,
        };
        let mut start = bucketer.as_mut().map_or(from, |bucketer| bucketer.start(from));
        while start < to {
            if starts.len() == limits::RETENTION_PERIODS {
                return Err(too_many());
            }
            starts.push(start);
            let next = match (period, &mut bucketer) {
                (Period::Every(length), _) => start.saturating_add(length),
                (_, Some(bucketer)) => bucketer.next(start),
                _ => to,
            };
            // the calendar ends
            if next <= start {
                break;
            }
            start = next;
        }
        Ok(Self { starts })
    }

    /// The period of an instant of the range.
    fn at(&self, us: i64) -> usize {
        self.starts.partition_point(|start| *start <= us).saturating_sub(1)
    }

    /// Sets the bits of some rows, all or those of `kept`, in the periods that they lie in; the result is the number of
    /// words that `bits` grew by.
    fn mark(
        &self,
        bits: &mut [Bits],
        words: usize,
        rows: &Rows<'_>,
        numbers: &Codes,
        kept: Option<&Bitmap>,
    ) -> Result<usize> {
        let mut grown = 0;
        let mut grow = |bits: &mut Bits| {
            if bits.len() < words {
                grown += words - bits.len();
                bits.resize(words, 0);
            }
        };
        let set = |bits: &mut Bits, number: u32| bits[number as usize / 64] |= 1 << (number % 64);
        let (first, last) = rows.time_span()?;
        let (period, only) = (self.at(first), self.at(first) == self.at(last));
        if only {
            let bits = &mut bits[period];
            grow(bits);
            match (kept, numbers) {
                (None, Codes::Each(numbers)) => numbers.iter().for_each(|number| set(bits, *number)),
                (None, Codes::One(number)) => set(bits, *number),
                (None, numbers) => (0..rows.count()).for_each(|row| set(bits, numbers.of(row))),
                (Some(kept), numbers) => kept.ones().for_each(|row| set(bits, numbers.of(row))),
            }
            return Ok(grown);
        }
        let times = rows.times()?;
        let places = 0..rows.count();
        let (mut period, mut span) = (period, 0..0);
        for row in places.filter(|row| kept.is_none_or(|kept| kept.get(*row))) {
            if !span.contains(&times[row]) {
                period = self.at(times[row]);
                let end = self.starts.get(period + 1).copied().unwrap_or(i64::MAX);
                span = self.starts[period]..end;
                grow(&mut bits[period]);
            }
            set(&mut bits[period], numbers.of(row));
        }
        Ok(grown)
    }
}

/// The bits of one period in all runs, by the numbers that hold in all of them, without that of nobody.
fn join(runs: &[Vec<Bits>], period: usize, people: &Joined) -> Bits {
    let mut all = vec![0; people.count().div_ceil(64)];
    for (run, bits) in runs.iter().enumerate() {
        match people.map(run) {
            None => all.iter_mut().zip(&bits[period]).for_each(|(all, bits)| *all |= bits),
            Some(map) => ones(&bits[period]).for_each(|number| {
                let number = map[number] as usize;
                all[number / 64] |= 1 << (number % 64);
            }),
        }
    }
    if let Some(nobody) = people.null() {
        all[nobody as usize / 64] &= !(1 << (nobody % 64));
    }
    all
}

fn ones(bits: &[u64]) -> impl Iterator<Item = usize> {
    bits.iter().enumerate().flat_map(|(at, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(at * 64 + bit)
        })
    })
}

/// By cohort: its size, then how many of it come back in each period after.
fn cells(starts: &[Bits], returns: &[Bits], people: usize) -> Vec<Vec<u64>> {
    const NONE: u16 = u16::MAX;
    let mut cohorts = vec![NONE; people];
    let periods = starts.len();
    let mut cells: Vec<Vec<u64>> = (0..periods).map(|cohort| vec![0; periods - cohort]).collect();
    for (period, starts) in starts.iter().enumerate() {
        for number in ones(starts) {
            if cohorts[number] == NONE {
                cohorts[number] = period as u16;
                cells[period][0] += 1;
            }
        }
    }
    let counted = |(period, returns): (usize, &Bits)| {
        let mut by_cohort = vec![0; period];
        for number in ones(returns) {
            if let Some(count) = by_cohort.get_mut(cohorts[number] as usize) {
                *count += 1;
            }
        }
        by_cohort
    };
    let counted: Vec<Vec<u64>> = returns.par_iter().enumerate().map(counted).collect();
    for (period, by_cohort) in counted.into_iter().enumerate() {
        by_cohort.into_iter().enumerate().for_each(|(cohort, count)| cells[cohort][period - cohort] = count);
    }
    cells
}

fn table(periods: &Periods, cells: &[Vec<u64>]) -> Table {
    let columns = vec![("cohort", "time"), ("period", "int"), ("count", "int"), ("rate", "float")];
    let row = |start: i64, period: usize, count: u64, size: u64| {
        let (period, counted) = (Value::Int(period as i64), Value::Int(count as i64));
        vec![Value::Time(start), period, counted, rate(count, size)]
    };
    let rows = periods.starts.iter().zip(cells).flat_map(|(start, counts)| {
        counts.iter().enumerate().map(move |(period, count)| row(*start, period, *count, counts[0]))
    });
    (columns, rows.collect())
}
