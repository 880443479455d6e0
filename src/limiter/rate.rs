//! The arithmetic of a rate: so many units in a span of time, as a bucket that fills evenly or as windows that begin with the
//! first use. Pure functions of a state and a time, in whole numbers, so that nothing drifts. `governor`, the library for this,
//! keeps a state that can neither be given back to nor be asked under another quota, which failed requests and the adaptive
//! mode need.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How what was used comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Evenly, all the time: a token bucket that holds the quota.
    Bucket,
    /// All at once, at the end of a window that begins with its first use.
    Window,
}

/// So many units in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units.
    pub quota: u64,
    /// The span.
    pub window: Duration,
    /// How they come back.
    pub shape: Shape,
}

/// What units of time are called.
const UNITS: [(&str, u64); 8] = [
    ("s", 1),
    ("sec", 1),
    ("m", 60),
    ("min", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("d", 86_400),
    ("day", 86_400),
];
/// What may stand behind a number.
const MULTIPLES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
/// The longest span.
const WINDOW_S: u64 = 366 * 86_400;
/// The largest quota.
const QUOTA: u64 = 1 << 50;

impl FromStr for Rate {
    type Err = String;

    /// Reads `100/min`, `50/5m`, `256MiB/min`: a bucket.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no rate; write one such as 100/min, 50/5m, 256MiB/min");
        let (quota, span) = text.split_once('/').ok_or_else(wrong)?;
        let multiple = MULTIPLES.iter().find_map(|(unit, by)| Some((quota.strip_suffix(unit)?, *by)));
        let (digits, by) = multiple.unwrap_or((quota, 1));
        let number = |digits: &str| digits.parse::<u64>().ok().filter(|_| !digits.starts_with('+'));
        let quota = number(digits).and_then(|n| n.checked_mul(by)).filter(|n| (1..=QUOTA).contains(n));
        let end = span.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count = if end == 0 { Some(1) } else { number(&span[..end]) };
        let unit = UNITS.iter().find(|(unit, _)| *unit == &span[end..]).map(|(_, seconds)| *seconds);
        let seconds = count.zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
        let seconds = seconds.filter(|seconds| (1..=WINDOW_S).contains(seconds));
        let (quota, seconds) = quota.zip(seconds).ok_or_else(wrong)?;
        Ok(Self { quota, window: Duration::from_secs(seconds), shape: Shape::Bucket })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.quota, self.window.as_secs())
    }
}

impl Rate {
    /// The same with a part of the quota, at least 1.
    pub fn scaled(self, factor: f64) -> Self {
        Self { quota: ((self.quota as f64 * factor) as u64).max(1), ..self }
    }

    fn window_ns(&self) -> u128 {
        self.window.as_nanos().max(1)
    }

    /// What a state may hold at most, in its unit.
    fn capacity(&self) -> u128 {
        u128::from(self.quota) * self.weight()
    }

    /// What one unit is in a state: in a bucket, one that loses `quota` a nanosecond, the window; in a window 1.
    fn weight(&self) -> u128 {
        match self.shape {
            Shape::Bucket => self.window_ns(),
            Shape::Window => 1,
        }
    }
}

/// What one subject has used of one rate. The default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Of a bucket: as of when `used` holds. Of a window: its beginning.
    at_ns: u128,
    used: u128,
}

impl State {
    /// The state as of now, with what has come back.
    fn current(self, rate: &Rate, now: Duration) -> Self {
        let now_ns = now.as_nanos();
        let elapsed = now_ns.saturating_sub(self.at_ns);
        match rate.shape {
            Shape::Bucket => {
                let used = self.used.saturating_sub(elapsed.saturating_mul(u128::from(rate.quota)));
                Self { at_ns: now_ns.max(self.at_ns), used }
            }
            Shape::Window if self.used == 0 || elapsed >= rate.window_ns() => Self { at_ns: now_ns, used: 0 },
            Shape::Window => self,
        }
    }

    /// The state after taking some, and zero; or unchanged, and how long to wait. More than the whole quota is taken when
    /// nothing is used, and owed; of 0 any has to be left.
    pub fn take(self, rate: &Rate, now: Duration, amount: u64) -> (Self, Duration) {
        let state = self.current(rate, now);
        let wanted = u128::from(amount.clamp(1, rate.quota)) * rate.weight();
        let over = (state.used + wanted).saturating_sub(rate.capacity());
        if over == 0 {
            return (state.charged(rate, now, amount), Duration::ZERO);
        }
        let wait_ns = match rate.shape {
            Shape::Bucket => over.div_ceil(u128::from(rate.quota)),
            Shape::Window => state.end_ns(rate).saturating_sub(now.as_nanos()).max(1),
        };
        (state, nanoseconds(wait_ns))
    }

    /// The state with some more used.
    pub fn charged(self, rate: &Rate, now: Duration, amount: u64) -> Self {
        let state = self.current(rate, now);
        Self { used: state.used.saturating_add(u128::from(amount) * rate.weight()), ..state }
    }

    /// The state with some less used.
    pub fn given_back(self, rate: &Rate, now: Duration, amount: u64) -> Self {
        let state = self.current(rate, now);
        Self { used: state.used.saturating_sub(u128::from(amount) * rate.weight()), ..state }
    }

    /// What is left.
    pub fn remaining(self, rate: &Rate, now: Duration) -> u64 {
        let left = rate.capacity().saturating_sub(self.current(rate, now).used) / rate.weight();
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// Until all of the quota is there.
    pub fn reset(self, rate: &Rate, now: Duration) -> Duration {
        let state = self.current(rate, now);
        match rate.shape {
            Shape::Bucket => nanoseconds(state.used.div_ceil(u128::from(rate.quota))),
            Shape::Window if state.used == 0 => Duration::ZERO,
            Shape::Window => nanoseconds(state.end_ns(rate).saturating_sub(now.as_nanos())),
        }
    }

    /// When a window ends.
    fn end_ns(self, rate: &Rate) -> u128 {
        self.at_ns + rate.window_ns()
    }
}

fn nanoseconds(ns: u128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, quota, seconds) in [
            ("100/min", 100, 60),
            ("10/s", 10, 1),
            ("50/5m", 50, 300),
            ("50/5min", 50, 300),
            ("1/2d", 1, 2 * 86_400),
            ("256MiB/min", 256 << 20, 60),
        ] {
            let read = rate(text);
            assert_eq!(
                (read.quota, read.window.as_secs(), read.shape),
                (quota, seconds, Shape::Bucket),
                "{text}"
            );
        }
        for text in [
            "",
            "100",
            "0/min",
            "-1/min",
            "+1/min",
            "1/0s",
            "1/year",
            "1/min ",
            "9999999999999999/s",
            "1/9999d",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_as_much_as_comes_in() {
        let rate = rate("60/min");
        let mut state = State::default();
        for _ in 0..60 {
            let (next, wait) = state.take(&rate, at(0), 1);
            assert_eq!(wait, Duration::ZERO);
            state = next;
        }
        assert_eq!(state.take(&rate, at(0), 1).1, at(1_000));
        assert_eq!(state.take(&rate, at(400), 1).1, at(600));
        assert_eq!((state.remaining(&rate, at(2_500)), state.reset(&rate, at(2_500))), (2, at(57_500)));
        assert_eq!(state.take(&rate, at(1_000), 1).1, Duration::ZERO);
    }

    #[test]
    fn a_window_gives_all_of_it_back_at_its_end() {
        let rate = Rate { shape: Shape::Window, ..rate("2/10s") };
        let (state, _) = State::default().take(&rate, at(5_000), 1);
        let (state, wait) = state.take(&rate, at(14_000), 1);
        assert_eq!((wait, state.remaining(&rate, at(14_000))), (Duration::ZERO, 0));
        assert_eq!(state.take(&rate, at(14_000), 1).1, at(1_000));
        assert_eq!((state.remaining(&rate, at(15_000)), state.reset(&rate, at(15_000))), (2, Duration::ZERO));
    }

    #[test]
    fn more_than_the_quota_goes_through_when_nothing_is_used_and_is_owed() {
        let rate = rate("10/s");
        let (state, wait) = State::default().take(&rate, at(0), 30);
        assert_eq!((wait, state.remaining(&rate, at(0))), (Duration::ZERO, 0));
        assert_eq!(state.take(&rate, at(0), 1).1, at(2_100));
        assert_eq!(state.take(&rate, at(0), 30).1, at(3_000));
        // of nothing, something has to be left
        assert_eq!(state.take(&rate, at(2_000), 0).1, at(100));
        assert_eq!(state.take(&rate, at(2_100), 0), (state.current(&rate, at(2_100)), Duration::ZERO));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        for shape in [Shape::Bucket, Shape::Window] {
            let rate = Rate { shape, ..rate("3/min") };
            let (state, _) = State::default().take(&rate, at(0), 3);
            assert_eq!(state.remaining(&rate, at(0)), 0);
            let state = state.given_back(&rate, at(0), 2);
            assert_eq!(state.remaining(&rate, at(0)), 2);
            assert_eq!(
                state.given_back(&rate, at(0), 100).remaining(&rate, at(0)),
                3,
                "no more than there is"
            );
        }
    }

    proptest! {
        /// A bucket written as plainly as can be: a millisecond brings `quota` parts, of which a unit is as many as the
        /// window has milliseconds.
        #[test]
        fn a_bucket_does_as_a_plain_one(
            quota in 1_u64..20,
            seconds in 1_u64..10,
            steps in prop::collection::vec((0_u64..3_000, 0_u64..8, any::<bool>()), 1..60),
        ) {
            let rate = Rate { quota, window: Duration::from_secs(seconds), shape: Shape::Bucket };
            let unit = i128::from(seconds * 1_000);
            let (mut now, mut state, mut parts) = (0, State::default(), i128::from(quota) * unit);
            for (ms, amount, is_given_back) in steps {
                for _ in 0..ms {
                    parts = (parts + i128::from(quota)).min(i128::from(quota) * unit);
                }
                now += ms;
                if is_given_back {
                    state = state.given_back(&rate, at(now), amount);
                    parts = (parts + i128::from(amount) * unit).min(i128::from(quota) * unit);
                } else {
                    let needed = i128::from(amount.clamp(1, quota)) * unit;
                    let (next, wait) = state.take(&rate, at(now), amount);
                    prop_assert_eq!(wait.is_zero(), parts >= needed);
                    if wait.is_zero() {
                        parts -= i128::from(amount) * unit;
                    } else {
                        // not a nanosecond earlier
                        let early = at(now) + wait - Duration::from_nanos(1);
                        prop_assert!(next.take(&rate, at(now) + wait, amount).1.is_zero());
                        prop_assert!(!next.take(&rate, early, amount).1.is_zero());
                    }
                    state = next;
                }
                prop_assert_eq!(i128::from(state.remaining(&rate, at(now))), parts.max(0) / unit);
            }
        }

        /// A window counts from its first use, and lets its quota through.
        #[test]
        fn a_window_never_lets_more_through_than_its_quota(
            quota in 1_u64..10,
            steps in prop::collection::vec(0_u64..2_000, 1..200),
        ) {
            let rate = Rate { quota, window: Duration::from_secs(3), shape: Shape::Window };
            let (mut now, mut state) = (0, State::default());
            let (mut begin, mut count) = (0, 0);
            for ms in steps {
                now += ms;
                if count == 0 || now >= begin + 3_000 {
                    (begin, count) = (now, 0);
                }
                let (next, wait) = state.take(&rate, at(now), 1);
                prop_assert_eq!(wait.is_zero(), count < quota);
                count += u64::from(wait.is_zero());
                prop_assert!(wait.is_zero() || wait == at(begin + 3_000 - now));
                state = next;
            }
        }
    }
}
