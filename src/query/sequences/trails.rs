//! The events of each, in the order they happened: by `_time`, and by `_seq` where times are equal. Strict funnels, paths
//! and sessions walk along them.
//!
//! Events are brought together in two steps, since writing each to its place among all is a miss of every cache: runs
//! put them into buckets of neighbouring numbers, and a bucket, which fits a cache, is put in order when it is walked.

use rayon::prelude::*;

use crate::error::Result;
use crate::query::sequences::people::{Joined, Numbered, Numbers};
use crate::query::sequences::scan::{Rows, Scan};

/// Numbers of a bucket.
const BUCKET: usize = 1_024;

/// One event on a trail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<T> {
    /// `_time`, µs.
    pub time: i64,
    /// `_seq`.
    pub seq: i64,
    /// Whose it is.
    pub number: u32,
    /// What the analysis wants to know of it.
    pub what: T,
}

/// The events of one run by bucket.
type Buckets<T> = Vec<Vec<Event<T>>>;

/// The events that one run has met.
#[derive(Debug)]
pub struct Found<'a, T> {
    people: Numbers<'a>,
    buckets: Buckets<T>,
}

impl<'a, T: Copy> Found<'a, T> {
    /// No events yet.
    pub fn new(by: &'a Numbered<'a>) -> Self {
        Self { people: by.start(), buckets: Buckets::new() }
    }

    /// Adds rows, each with what is to be known of it; those of nobody are left out.
    ///
    /// # Errors
    /// As [`Numbers::of`]; `TooLarge` where there are too many.
    pub fn add(&mut self, scan: &Scan<'_>, rows: &Rows<'_>, what: impl Fn(usize) -> T) -> Result<()> {
        let numbers = self.people.of(rows)?;
        let nobody = self.people.null();
        let (times, seqs) = (rows.times()?, rows.seqs()?);
        // a bucket that grows has room for as many again
        scan.hold(2 * rows.count() * size_of::<Event<T>>())?;
        for row in (0..rows.count()).filter(|row| Some(numbers.of(*row)) != nobody) {
            let (time, seq, number) = (times[row], seqs[row], numbers.of(row));
            put(&mut self.buckets, Event { time, seq, number, what: what(row) });
        }
        Ok(())
    }
}

fn put<T>(buckets: &mut Buckets<T>, event: Event<T>) {
    let at = event.number as usize / BUCKET;
    if at >= buckets.len() {
        buckets.resize_with(at + 1, Vec::new);
    }
    buckets[at].push(event);
}

/// The events of each number.
#[derive(Debug)]
pub struct Trails<T> {
    /// Whose they are.
    pub people: Joined,
    runs: Vec<Buckets<T>>,
}

impl<T: Copy + Default + Send + Sync> Trails<T> {
    /// Brings the events of runs together; `translate` makes what a run noted into what holds in all of them.
    ///
    /// # Errors
    /// As [`Numbered::join`].
    pub fn of<'a>(
        by: &'a Numbered<'a>,
        runs: Vec<Found<'a, T>>,
        translate: impl Fn(usize, T) -> T + Sync,
    ) -> Result<Self> {
        let mut found = Vec::with_capacity(runs.len());
        let people = by.join(runs.into_iter().map(|run| {
            found.push(run.buckets);
            run.people
        }))?;
        let translated = |(run, mut buckets): (usize, Buckets<T>)| {
            buckets.iter_mut().flatten().for_each(|event| event.what = translate(run, event.what));
            let Some(map) = people.map(run) else { return buckets };
            let mut anew = Buckets::new();
            for event in buckets.into_iter().flatten() {
                put(&mut anew, Event { number: map[event.number as usize], ..event });
            }
            anew
        };
        let runs = found.into_par_iter().enumerate().map(translated).collect();
        Ok(Self { people, runs })
    }

    /// Walks along every trail, those of some numbers a task, into a state of each task.
    ///
    /// # Errors
    /// As `step`.
    pub fn walk<S: Send>(
        &self,
        begin: impl Fn() -> S + Sync + Send,
        step: impl Fn(&mut S, &[Event<T>]) -> Result<()> + Sync + Send,
    ) -> Result<Vec<S>> {
        let buckets = self.runs.iter().map(Vec::len).max().unwrap_or(0);
        let one_bucket = |mut state: S, bucket: usize| {
            let events = self.sorted(bucket);
            events.chunk_by(|a, b| a.number == b.number).try_for_each(|trail| step(&mut state, trail))?;
            Ok(state)
        };
        (0..buckets).into_par_iter().try_fold(begin, one_bucket).collect()
    }

    /// The events of a bucket, those of each number one after the other, in order.
    fn sorted(&self, bucket: usize) -> Vec<Event<T>> {
        let runs = || self.runs.iter().filter_map(|run| run.get(bucket)).flatten();
        let place = |event: &Event<T>| event.number as usize % BUCKET;
        let mut ends = vec![0usize; BUCKET];
        runs().for_each(|event| ends[place(event)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // for now where they begin; each event that is put there moves it on
            sum += std::mem::replace(end, sum);
        }
        let mut events = vec![Event::default(); sum];
        for event in runs() {
            let end = &mut ends[place(event)];
            events[*end] = *event;
            *end += 1;
        }
        for trail in events.chunk_by_mut(|a, b| a.number == b.number) {
            // segments and tails mostly come in order of time
            if !trail.is_sorted_by_key(|event| (event.time, event.seq)) {
                trail.sort_unstable_by_key(|event| (event.time, event.seq));
            }
        }
        events
    }
}
