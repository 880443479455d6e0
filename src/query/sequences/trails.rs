//! The events of each, in the order they happened: by `_time`, and by `_seq` where times are equal. Strict funnels, paths
//! and sessions walk along them.

use crate::error::Result;
use crate::query::sequences::people::{Joined, Numbered, Numbers};
use crate::query::sequences::scan::{Rows, Scan};

/// One event on a trail.
#[derive(Debug, Clone, Copy, Default)]
pub struct Event<T> {
    /// `_time`, µs.
    pub time: i64,
    /// `_seq`.
    pub seq: i64,
    /// What the analysis wants to know of it.
    pub what: T,
}

/// The events that one run has met, each with the number of whose it is.
#[derive(Debug)]
pub struct Found<'a, T> {
    people: Numbers<'a>,
    numbers: Vec<u32>,
    events: Vec<Event<T>>,
}

impl<'a, T: Copy> Found<'a, T> {
    /// No events yet.
    pub fn new(by: &'a Numbered<'a>) -> Self {
        Self { people: by.start(), numbers: Vec::new(), events: Vec::new() }
    }

    /// Adds rows, each with what is to be known of it; those of nobody are left out.
    ///
    /// # Errors
    /// As [`Numbers::of`]; `TooLarge` where there are too many.
    pub fn add(&mut self, scan: &Scan<'_>, rows: &Rows<'_>, what: impl Fn(usize) -> T) -> Result<()> {
        let numbers = self.people.of(rows)?;
        let nobody = self.people.null();
        let (times, seqs) = (rows.times()?, rows.seqs()?);
        let before = self.numbers.len();
        for row in (0..rows.count()).filter(|row| Some(numbers.of(*row)) != nobody) {
            self.numbers.push(numbers.of(row));
            self.events.push(Event { time: times[row], seq: seqs[row], what: what(row) });
        }
        // they are copied once, when they are put in order
        let bytes = size_of::<u32>() + 2 * size_of::<Event<T>>();
        scan.hold((self.numbers.len() - before) * bytes)
    }
}

/// The events of each number.
#[derive(Debug)]
pub struct Trails<T> {
    /// Whose they are.
    pub people: Joined,
    /// Where the events of each number end.
    ends: Vec<usize>,
    events: Vec<Event<T>>,
}

impl<T: Copy + Default + Send> Trails<T> {
    /// Puts the events of runs in order; `translate` makes what a run noted into what holds in all of them.
    ///
    /// # Errors
    /// As [`Numbered::join`].
    pub fn of<'a>(
        by: &'a Numbered<'a>,
        runs: Vec<Found<'a, T>>,
        translate: impl Fn(usize, T) -> T,
    ) -> Result<Self> {
        let mut found = Vec::with_capacity(runs.len());
        let people = by.join(runs.into_iter().map(|run| {
            found.push((run.numbers, run.events));
            run.people
        }))?;
        let mut ends = vec![0usize; people.count()];
        for (run, (numbers, _)) in found.iter().enumerate() {
            numbers.iter().for_each(|number| ends[people.translate(run, *number) as usize] += 1);
        }
        let mut sum = 0;
        for end in &mut ends {
            // for now where they begin; each event that is put there moves it on
            sum += std::mem::replace(end, sum);
        }
        let mut events = vec![Event::default(); sum];
        for (run, (numbers, run_events)) in found.iter().enumerate() {
            for (number, event) in numbers.iter().zip(run_events) {
                let place = &mut ends[people.translate(run, *number) as usize];
                events[*place] = Event { what: translate(run, event.what), ..*event };
                *place += 1;
            }
        }
        sort(&ends, 0, &mut events);
        Ok(Self { people, ends, events })
    }

    /// Every number that has events, with them in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Event<T>])> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let trails = begins.zip(&self.ends).enumerate();
        trails
            .map(|(number, (begin, end))| (number as u32, &self.events[begin..*end]))
            .filter(|(_, events)| !events.is_empty())
    }
}

/// Numbers whose trails one task sorts.
const SORTED_AT_ONCE: usize = 4_096;

/// Sorts each trail; `begin` is where the first of them begins among all events.
fn sort<T: Copy + Send>(ends: &[usize], begin: usize, events: &mut [Event<T>]) {
    if ends.len() > SORTED_AT_ONCE {
        let (ends_left, ends_right) = ends.split_at(ends.len() / 2);
        let middle = ends_left.last().copied().unwrap_or(begin);
        let (left, right) = events.split_at_mut(middle - begin);
        rayon::join(|| sort(ends_left, begin, left), || sort(ends_right, middle, right));
        return;
    }
    let mut start = begin;
    for end in ends {
        let trail = &mut events[start - begin..end - begin];
        // segments and tails mostly come in order of time
        if !trail.is_sorted_by_key(|event| (event.time, event.seq)) {
            trail.sort_unstable_by_key(|event| (event.time, event.seq));
        }
        start = *end;
    }
}
