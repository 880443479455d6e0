//! A quota that gives way: it is halved when what it lets through fails or takes too long, and comes back slowly. Additive
//! increase and multiplicative decrease, as TCP has it, with a period of some seconds as the round trip.

use std::time::Duration;

/// How long observations are gathered.
const PERIOD: Duration = Duration::from_secs(10);
/// Bad ones that are enough before it is over.
const BAD_AT_ONCE: u32 = 5;
/// What comes back after a period without trouble.
const STEP: f64 = 0.05;
/// The least part of the quota.
const LEAST: f64 = 1.0 / 64.0;

/// The part of a quota that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptation {
    factor: f64,
    /// When this period began.
    since: Duration,
    seen: u32,
    bad: u32,
}

impl Default for Adaptation {
    fn default() -> Self {
        Self { factor: 1.0, since: Duration::ZERO, seen: 0, bad: 0 }
    }
}

impl Adaptation {
    /// The part as it was last found.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The part as of now: periods that are over without much trouble bring some of it back.
    pub fn now(&mut self, now: Duration) -> f64 {
        let periods = now.saturating_sub(self.since).as_secs() / PERIOD.as_secs();
        if periods > 0 {
            if self.is_bad() {
                self.halve(now);
                return self.factor;
            }
            self.factor = (self.factor + STEP * periods as f64).min(1.0);
            (self.since, self.seen, self.bad) = (now, 0, 0);
        }
        self.factor
    }

    /// Notes how something went.
    pub fn observe(&mut self, now: Duration, is_bad: bool) {
        self.now(now);
        self.seen += 1;
        self.bad += u32::from(is_bad);
        if self.bad >= BAD_AT_ONCE && self.is_bad() {
            self.halve(now);
        }
    }

    /// Whether at least half of what was seen is bad.
    fn is_bad(&self) -> bool {
        self.bad > 0 && self.bad * 2 >= self.seen
    }

    fn halve(&mut self, now: Duration) {
        *self = Self { factor: (self.factor / 2.0).max(LEAST), since: now, seen: 0, bad: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn trouble_halves_and_calm_brings_back_slowly() {
        let mut adaptation = Adaptation::default();
        for _ in 0..5 {
            adaptation.observe(at(1), true);
        }
        assert_eq!(adaptation.factor(), 0.5);
        for _ in 0..5 {
            adaptation.observe(at(2), true);
        }
        assert_eq!(adaptation.now(at(2)), 0.25);
        assert_eq!(adaptation.now(at(11)), 0.25, "not before a period is over");
        assert!((adaptation.now(at(12)) - 0.3).abs() < 1e-9);
        assert!((adaptation.now(at(112)) - 0.8).abs() < 1e-9, "also where nobody asked meanwhile");
        assert_eq!(adaptation.now(at(1_000)), 1.0);
    }

    #[test]
    fn a_few_failures_among_many_change_nothing() {
        let mut adaptation = Adaptation::default();
        for number in 0..1_000 {
            adaptation.observe(at(number / 100), number % 3 == 0);
        }
        assert_eq!(adaptation.factor(), 1.0);
    }

    #[test]
    fn the_little_that_was_seen_counts_when_the_period_is_over() {
        let mut adaptation = Adaptation::default();
        adaptation.observe(at(1), true);
        assert_eq!(adaptation.factor(), 1.0);
        assert_eq!(adaptation.now(at(11)), 0.5);
        for _ in 0..100 {
            adaptation.observe(at(11), true);
        }
        assert_eq!(adaptation.factor(), LEAST, "never nothing");
    }
}
