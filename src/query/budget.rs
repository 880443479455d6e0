//! What one question may take: time, memory, rows, and whether someone still waits for it. [`Limits`] are plain and go
//! with the question; `plan` makes a [`Budget`] of them, which every task of the question asks once a block of rows. What
//! a task keeps from block to block it charges by a [`Held`], and what a loop makes row by row by a [`Meter`].
//!
//! Memory is counted where it grows with the data: groups and the states of aggregates, rows that are kept, texts that
//! expressions make. Decoded columns are not: the buffer pool has a bound of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::config::Settings;
use crate::error::{Bound, Error, Result};
use crate::limits;
use crate::query::reach::Reach;
use crate::value::Value;

/// How to take less, at the end of a refusal.
const NARROW: &str = "narrow it with a range of _time, where, fewer group keys or a limit";
/// Rows of a loop between two looks at the clock.
const METER_ROWS: usize = 256;
/// Bytes of a loop that are charged at once.
const METER_BYTES: usize = 1 << 20;

/// What a question may take. Clones share `cancelled` and `together`, so those of one server count as one.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long it may take.
    pub deadline: Duration,
    /// Bytes that it may hold; all questions at once [`limits::QUERIES_TOGETHER`] times as many.
    pub memory_bytes: usize,
    /// Rows that it may look at; `None`: any number.
    pub rows: Option<u64>,
    /// Ends the question when it becomes true, as every other that shares it.
    pub cancelled: Arc<AtomicBool>,
    /// Becomes true when the one who asked has gone; each question of a server has its own.
    pub abandoned: Arc<AtomicBool>,
    /// Bytes that all questions with these limits hold.
    pub together: Arc<AtomicUsize>,
    /// Which datasets it may ask, and which of their rows are there for it.
    pub reach: Arc<Reach>,
    /// Answers and parts of answers that are kept, which it may use and adds to; `None`: it does all by itself.
    pub cache: Option<Arc<Cache>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: limits::QUERY_TIME,
            memory_bytes: limits::QUERY_BYTES,
            rows: None,
            cancelled: Arc::default(),
            abandoned: Arc::default(),
            together: Arc::default(),
            reach: Arc::default(),
            cache: None,
        }
    }
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            deadline: settings.query_deadline,
            memory_bytes: settings.query_memory_mb << 20,
            rows: settings.query_rows,
            ..Self::default()
        }
    }
}

/// What is left of the limits of one running question.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// `None`: no clock runs.
    deadline: Option<Instant>,
    taken: AtomicUsize,
}

impl Budget {
    /// The budget of a question that begins now.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let deadline = Instant::now().checked_add(limits.deadline);
        Arc::new(Self { limits: limits.clone(), deadline, taken: AtomicUsize::new(0) })
    }

    /// That of work which is no question, and has to be brought to its end: an export, an erasure.
    pub fn unbounded() -> Arc<Self> {
        let limits = Limits { memory_bytes: usize::MAX, ..Limits::default() };
        Arc::new(Self { limits, deadline: None, taken: AtomicUsize::new(0) })
    }

    /// Whether the question may go on: a look at a flag and at the clock, cheap beside a block of rows.
    ///
    /// # Errors
    /// Its time is over, or no one waits for it any more.
    pub fn check(&self) -> Result<()> {
        if self.limits.cancelled.load(Ordering::Relaxed) || self.limits.abandoned.load(Ordering::Relaxed) {
            return Err(over(
                Bound::Cancelled,
                "the question was given up before it was answered; ask it again".to_owned(),
            ));
        }
        if self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Ok(());
        }
        Err(over(
            Bound::Deadline,
            format!(
                "the question takes longer than {} s, the limit for one; {NARROW}, or raise the setting query_deadline",
                self.limits.deadline.as_secs_f64()
            ),
        ))
    }

    /// When its time is over; `None`: no clock runs.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether it may look at so many rows.
    ///
    /// # Errors
    /// They are more than the limit.
    pub fn check_rows(&self, rows: u64) -> Result<()> {
        match self.limits.rows {
            Some(most) if rows > most => Err(over(
                Bound::Rows,
                format!(
                    "the question looks at {rows} rows, and {most} are the limit for one; narrow it with a range of \
                     _time or with where, or raise the setting query_rows"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Takes bytes, to be given back by [`Budget::give`].
    ///
    /// # Errors
    /// They are more than what is left: nothing is taken then.
    pub fn take(&self, bytes: usize) -> Result<()> {
        let (most, together) = (self.limits.memory_bytes, &self.limits.together);
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if taken > most {
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            return Err(over(
                Bound::Memory,
                format!(
                    "the question needs {} MiB of memory or more, and {} MiB are the limit for one; {NARROW}, or raise \
                     the setting query_memory_mb",
                    (taken >> 20) + 1,
                    most >> 20
                ),
            ));
        }
        let all = together.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if all > most.saturating_mul(limits::QUERIES_TOGETHER) {
            together.fetch_sub(bytes, Ordering::Relaxed);
            self.taken.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy {
                detail: format!(
                    "the questions that run now hold {} MiB of memory together, the limit for all; ask again in a moment",
                    (all - bytes) >> 20
                ),
                retry_after_s: 1,
            });
        }
        Ok(())
    }

    /// Gives bytes back that were taken.
    pub fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
        self.limits.together.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that the question may hold.
    pub fn memory_bytes(&self) -> usize {
        self.limits.memory_bytes
    }

    /// What one task holds: nothing yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }

    /// Looks after a loop that makes values row by row.
    pub fn meter(self: &Arc<Self>) -> Meter {
        Meter { held: self.hold(), made: 0, rows: 0 }
    }
}

fn over(bound: Bound, detail: String) -> Error {
    Error::OverBudget { bound, detail }
}

/// Bytes of a budget that are held by what lives as long; dropping gives them back.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// How many it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on it holds so many bytes.
    ///
    /// # Errors
    /// As [`Budget::take`]; it holds what it held then.
    pub fn set(&mut self, bytes: usize) -> Result<()> {
        match bytes.checked_sub(self.bytes) {
            Some(more) if more > 0 => self.budget.take(more)?,
            Some(_) => {}
            None => self.budget.give(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Holds what another one held.
    pub fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Hands over so many of its bytes, or all.
    pub fn part(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// As [`Held::set`].
    pub fn add(&mut self, bytes: usize) -> Result<()> {
        self.set(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

/// Counts what a loop makes, and looks at the clock now and then: one row may take long, and make a long text.
#[derive(Debug)]
pub struct Meter {
    held: Held,
    made: usize,
    rows: usize,
}

impl Meter {
    /// One more row that made so many bytes.
    ///
    /// # Errors
    /// As [`Budget::check`] and [`Budget::take`].
    #[inline]
    pub fn count(&mut self, bytes: usize) -> Result<()> {
        self.made += bytes;
        self.rows += 1;
        if self.made < METER_BYTES && self.rows < METER_ROWS {
            return Ok(());
        }
        self.rows = 0;
        self.held.add(std::mem::take(&mut self.made))?;
        self.held.budget.check()
    }
}

/// Bytes of a row of values in memory.
pub fn bytes_of(cells: &[Value]) -> usize {
    size_of::<Vec<Value>>() + cells.iter().map(Value::bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { memory_bytes: 3 << 20, ..Limits::default() }
    }

    fn bound(outcome: Result<()>) -> (Bound, String) {
        match outcome {
            Err(Error::OverBudget { bound, detail }) => (bound, detail),
            other => panic!("over budget was expected: {other:?}"),
        }
    }

    #[test]
    fn time_that_is_over_ends_it_with_the_limit_and_the_way_out() {
        let over = Budget::new(&Limits { deadline: Duration::ZERO, ..limits() });
        let (kind, told) = bound(over.check());
        assert_eq!(kind, Bound::Deadline);
        assert!(
            told.contains("longer than 0 s") && told.contains("query_deadline") && told.contains("where")
        );
        Budget::new(&limits()).check().unwrap();
        // a deadline that no clock reaches is none
        Budget::new(&Limits { deadline: Duration::MAX, ..limits() }).check().unwrap();
        Budget::unbounded().check().unwrap();
    }

    #[test]
    fn a_question_that_no_one_waits_for_ends() {
        let limits = limits();
        let running = Budget::new(&limits);
        running.check().unwrap();
        limits.cancelled.store(true, Ordering::Relaxed);
        assert_eq!(bound(running.check()).0, Bound::Cancelled);
    }

    #[test]
    fn memory_is_taken_given_back_and_refused_beyond_the_limit() {
        let limits = limits();
        let budget = Budget::new(&limits);
        let (mut one, mut other) = (budget.hold(), budget.hold());
        one.set(2 << 20).unwrap();
        other.add(1 << 20).unwrap();
        let (kind, told) = bound(other.add(1));
        assert_eq!(kind, Bound::Memory);
        assert!(
            told.contains("4 MiB") && told.contains("3 MiB") && told.contains("query_memory_mb"),
            "{told}"
        );
        one.set(1 << 20).unwrap();
        other.add(1 << 20).unwrap();
        assert_eq!(limits.together.load(Ordering::Relaxed), 3 << 20);
        drop((one, other));
        assert_eq!((budget.taken.load(Ordering::Relaxed), limits.together.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn questions_share_what_there_is_for_all() {
        let limits = limits();
        let budgets: Vec<Arc<Budget>> =
            (0..=limits::QUERIES_TOGETHER).map(|_| Budget::new(&limits)).collect();
        let mut held: Vec<Held> = budgets.iter().map(Budget::hold).collect();
        let last = held.len() - 1;
        held[..last].iter_mut().for_each(|held| held.set(3 << 20).unwrap());
        let refused = held[last].set(1).expect_err("all is taken");
        assert!(matches!(refused, Error::Busy { .. }), "{refused}");
        held.remove(0);
        held[last - 1].set(3 << 20).unwrap();
        drop(held);
        assert_eq!(limits.together.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn rows_are_counted_before_they_are_read() {
        let few = Budget::new(&Limits { rows: Some(10), ..limits() });
        few.check_rows(10).unwrap();
        let (kind, told) = bound(few.check_rows(11));
        assert_eq!(kind, Bound::Rows);
        assert!(told.contains("11 rows") && told.contains("query_rows"), "{told}");
        Budget::new(&limits()).check_rows(u64::MAX).unwrap();
    }

    #[test]
    fn a_meter_charges_long_rows_and_sees_the_end_of_the_time() {
        let budget = Budget::new(&limits());
        let mut meter = budget.meter();
        let rows = (0..100).take_while(|_| meter.count(100 << 10).is_ok()).count();
        assert!((28..=34).contains(&rows), "{rows} rows of 100 KiB");
        drop(meter);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
        let over = Budget::new(&Limits { deadline: Duration::ZERO, ..limits() });
        let mut meter = over.meter();
        let rows = (0..10_000).take_while(|_| meter.count(0).is_ok()).count();
        assert!(rows < METER_ROWS, "{rows} rows after the end");
    }
}
