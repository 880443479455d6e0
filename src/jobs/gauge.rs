//! How many jobs run at once, of all queues: between a floor and a ceiling, led by what comes of it. While work waits, the number is
//! moved by one and the jobs that end in the next while are counted: more of them, and it goes on that way; fewer, and it turns
//! round. Jobs that wait for a network want many at once, those that compute as many as there are cores; this finds out which.

use std::time::{Duration, Instant};

/// How long jobs are counted under one number.
const PERIOD: Duration = Duration::from_millis(500);
/// Jobs that tell something at all.
const ENOUGH: u64 = 4;
/// What counts as more or fewer: less is chance.
const MARGIN: f64 = 0.05;

/// The number in force, and what it came to so far.
#[derive(Debug)]
pub(super) struct Gauge {
    floor: usize,
    ceiling: usize,
    now: usize,
    goes_up: bool,
    /// Jobs a second under the number before.
    before: Option<f64>,
    since: Instant,
    ended: u64,
    /// Whether more would have been begun, all this while.
    was_short: bool,
}

impl Gauge {
    pub fn new(floor: usize, ceiling: usize, now: Instant) -> Self {
        let floor = floor.max(1);
        Self {
            floor,
            ceiling: ceiling.max(floor),
            now: floor,
            goes_up: true,
            before: None,
            since: now,
            ended: 0,
            was_short: true,
        }
    }

    /// Jobs that may run at once.
    pub fn limit(&self) -> usize {
        self.now
    }

    /// Notes a job that has ended.
    pub fn note(&mut self) {
        self.ended += 1;
    }

    /// Moves the number where it is time to; `is_short`: jobs wait that would run if more were let.
    pub fn look(&mut self, is_short: bool, now: Instant) {
        self.was_short &= is_short;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < PERIOD {
            return;
        }
        if !self.was_short {
            // what ended says nothing of how many could have
            self.begin(None, now);
            return;
        }
        if self.ended < ENOUGH {
            return;
        }
        let rate = self.ended as f64 / elapsed.as_secs_f64();
        match self.before {
            Some(before) if rate < before * (1.0 - MARGIN) => self.goes_up = !self.goes_up,
            // no better for more of them: fewer do as well
            Some(before) if rate < before * (1.0 + MARGIN) => self.goes_up = false,
            _ => {}
        }
        let step = if self.goes_up { self.now + 1 } else { self.now.saturating_sub(1) };
        if step < self.floor || step > self.ceiling {
            self.goes_up = step < self.floor;
        }
        self.now = step.clamp(self.floor, self.ceiling);
        self.begin(Some(rate), now);
    }

    fn begin(&mut self, before: Option<f64>, now: Instant) {
        (self.before, self.since, self.ended, self.was_short) = (before, now, 0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets jobs end at the rate that a number of them comes to, for some periods; gives the numbers.
    fn run(gauge: &mut Gauge, begin: Instant, periods: u32, rate: impl Fn(usize) -> u64) -> Vec<usize> {
        (1..=periods)
            .map(|period| {
                (0..rate(gauge.limit())).for_each(|_| gauge.note());
                gauge.look(true, begin + PERIOD * period);
                gauge.limit()
            })
            .collect()
    }

    #[test]
    fn jobs_that_wait_get_more_at_once_and_those_that_compute_do_not() {
        let begin = Instant::now();
        let mut gauge = Gauge::new(2, 16, begin);
        let waiting = run(&mut gauge, begin, 40, |now| now as u64 * 10);
        assert!(
            waiting.iter().max() == Some(&16) && waiting[20..].iter().all(|now| *now >= 14),
            "{waiting:?}"
        );
        let mut gauge = Gauge::new(2, 16, begin);
        let computing = run(&mut gauge, begin, 40, |now| if now <= 2 { 100 } else { 100 - now as u64 * 10 });
        assert!(computing.iter().all(|now| *now <= 3), "{computing:?}");
        let mut gauge = Gauge::new(2, 16, begin);
        let best_is_six =
            run(&mut gauge, begin, 60, |now| 100 * now.min(6) as u64 / (1 + now.saturating_sub(6) as u64));
        assert!(best_is_six[20..].iter().all(|now| (4..=8).contains(now)), "{best_is_six:?}");
    }

    #[test]
    fn it_stays_where_it_is_while_nothing_waits_or_too_little_ends() {
        let begin = Instant::now();
        let mut gauge = Gauge::new(2, 16, begin);
        for period in 1..20 {
            (0..50).for_each(|_| gauge.note());
            gauge.look(period % 2 == 0, begin + PERIOD / 2 * period);
        }
        assert_eq!(gauge.limit(), 2);
        let mut gauge = Gauge::new(2, 16, begin);
        gauge.note();
        gauge.look(true, begin + PERIOD * 9);
        assert_eq!(gauge.limit(), 2);
    }
}
