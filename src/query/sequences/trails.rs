//! The events of each, in the order they happened: by `_time`, and by `_seq` where times are equal. Strict funnels, paths
//! and sessions walk along them.

use crate::error::Result;
use crate::query::expression::Expr;
use crate::query::sequences::people::{Joined, NOBODY, Numbers};
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
pub struct Found<T> {
    people: Numbers,
    numbers: Vec<u32>,
    events: Vec<Event<T>>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { people: Numbers::default(), numbers: Vec::new(), events: Vec::new() }
    }
}

impl<T: Copy> Found<T> {
    /// Adds rows, each with what is to be known of it; those of nobody are left out.
    ///
    /// # Errors
    /// As [`Numbers::of`]; `TooLarge` where there are too many.
    pub fn add(
        &mut self,
        scan: &Scan<'_>,
        rows: &Rows<'_>,
        by: &Expr,
        what: impl Fn(usize) -> T,
    ) -> Result<()> {
        let numbers = self.people.of(rows, by)?;
        let (times, seqs) = (rows.times()?, rows.seqs()?);
        let before = self.numbers.len();
        for (row, number) in numbers.into_iter().enumerate().filter(|(_, number)| *number != NOBODY) {
            self.numbers.push(number);
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
    /// As [`Numbers::join`].
    pub fn of<U: Copy>(runs: Vec<Found<U>>, translate: impl Fn(usize, U) -> T) -> Result<Self> {
        let mut found = Vec::with_capacity(runs.len());
        let people = Numbers::join(runs.into_iter().map(|run| {
            found.push((run.numbers, run.events));
            run.people
        }))?;
        let mut ends = vec![0usize; people.count()];
        for ((numbers, _), map) in found.iter().zip(&people.maps) {
            numbers.iter().for_each(|number| ends[map[*number as usize] as usize] += 1);
        }
        let mut sum = 0;
        for end in &mut ends {
            // for now where they begin; each event that is put there moves it on
            sum += std::mem::replace(end, sum);
        }
        let event = |run: usize, event: &Event<U>| Event {
            time: event.time,
            seq: event.seq,
            what: translate(run, event.what),
        };
        let mut events = vec![Event::default(); sum];
        for (run, ((numbers, run_events), map)) in found.iter().zip(&people.maps).enumerate() {
            for (number, found) in numbers.iter().zip(run_events) {
                let place = &mut ends[map[*number as usize] as usize];
                events[*place] = event(run, found);
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
