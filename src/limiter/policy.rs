//! What is limited, by name: the policies of HTTP and the presets of queues, with their rates where nothing else is said, and
//! the setting `rate_limits` that says otherwise: `general=100/min, relevance=50/5m window, model_calls=50/min adaptive`.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, nearest};
use crate::limiter::rate::{Rate, Shape};
use crate::time::parse_duration;

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Events or records of a body.
    Events,
    /// Bytes of a body as it was sent.
    Bytes,
}

impl Unit {
    /// Its name in `RateLimit-Policy`; `None` for requests, which are meant where nothing is said.
    pub fn quota_unit(self) -> Option<&'static str> {
        match self {
            Self::Requests => None,
            Self::Events => Some("events"),
            Self::Bytes => Some("content-bytes"),
        }
    }
}

/// A named limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name, as violations tell it.
    pub name: Arc<str>,
    /// How much in which time.
    pub rate: Rate,
    /// What it counts.
    pub unit: Unit,
    /// Whether requests that fail count.
    pub counts_failures: bool,
    /// Where the quota gives way to trouble: what takes longer than this is trouble, as is what fails.
    pub adaptive: Option<Duration>,
}

/// A policy as it is where nothing is said.
struct Declared {
    name: &'static str,
    rate: &'static str,
    unit: Unit,
}

const fn declared(name: &'static str, rate: &'static str, unit: Unit) -> Declared {
    Declared { name, rate, unit }
}

/// Requests of all sorts.
pub const GENERAL: &str = "general";
/// Questions and whatever else takes long.
pub const HEAVY: &str = "heavy";
/// Events and records that are sent.
pub const EVENTS: &str = "events";
/// Their bytes.
pub const BYTES: &str = "bytes";
/// What may go on at once of what is heavy, by subject.
const CONCURRENT: &str = "concurrent";
/// The same for those who have no rates.
const CONCURRENT_UNLIMITED: &str = "concurrent_unlimited";

/// All policies.
const DECLARED: [Declared; 7] = [
    declared(GENERAL, "100/min", Unit::Requests),
    declared(HEAVY, "10/min", Unit::Requests),
    declared(EVENTS, "1000000/min", Unit::Events),
    declared(BYTES, "256MiB/min", Unit::Bytes),
    // for queues
    declared("extraction", "100/min", Unit::Requests),
    declared("relevance", "50/5m window", Unit::Requests),
    declared("model_calls", "50/min", Unit::Requests),
];

/// How long something may take where a policy adapts and nothing is said of it.
const LATENCY: Duration = Duration::from_secs(10);

impl Policy {
    /// So much in a minute, as a bucket.
    pub fn per_minute(name: &str, quota: u64, unit: Unit) -> Self {
        let rate = Rate { quota, window: Duration::from_secs(60), shape: Shape::Bucket };
        Self { name: name.into(), rate, unit, counts_failures: true, adaptive: None }
    }

    /// A rate with its words, as the setting has them, under a name; `None` where it is `unlimited`.
    ///
    /// # Errors
    /// What cannot be read, and what may be written.
    ///
    /// ```
    /// let policy = windrow::limiter::policy::Policy::read("mine", "50/5m window adaptive:2s")?.unwrap();
    /// assert_eq!((policy.rate.quota, policy.rate.window.as_secs()), (50, 300));
    /// # Ok::<(), String>(())
    /// ```
    pub fn read(name: &str, text: &str) -> Result<Option<Self>, String> {
        read(name, Unit::Requests, text)
    }
}

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    all: Vec<Arc<Policy>>,
    /// Heavy things that may go on at once for each subject.
    pub concurrent: usize,
    /// The same for those who have no rates, all together.
    pub concurrent_unlimited: usize,
}

impl Default for Policies {
    fn default() -> Self {
        let all = DECLARED.iter().filter_map(|declared| declared.read(declared.rate).ok().flatten());
        Self { all: all.map(Arc::new).collect(), concurrent: 8, concurrent_unlimited: 64 }
    }
}

impl Declared {
    /// The policy with another rate; `None` where it is to be unlimited.
    fn read(&self, text: &str) -> Result<Option<Policy>, String> {
        read(self.name, self.unit, text)
    }
}

fn read(name: &str, unit: Unit, text: &str) -> Result<Option<Policy>, String> {
    let mut words = text.split_whitespace();
    let rate = words.next().unwrap_or_default();
    if rate == "unlimited" && words.clone().next().is_none() {
        return Ok(None);
    }
    let mut policy =
        Policy { name: name.into(), rate: rate.parse()?, unit, counts_failures: true, adaptive: None };
    for word in words {
        let latency = |text: &str| parse_duration(text).and_then(|us| u64::try_from(us).ok());
        match word.split_once(':') {
            None if word == "bucket" => policy.rate.shape = Shape::Bucket,
            None if word == "window" => policy.rate.shape = Shape::Window,
            None if word == "uncounted" => policy.counts_failures = false,
            None if word == "adaptive" => policy.adaptive = Some(LATENCY),
            Some(("adaptive", text)) if latency(text).is_some_and(|us| us > 0) => {
                policy.adaptive = latency(text).map(Duration::from_micros);
            }
            _ => {
                return Err(format!(
                    "\"{word}\" is none of bucket, window, uncounted, adaptive, adaptive:5s{}",
                    nearest(word, ["bucket", "window", "uncounted", "adaptive"].into_iter())
                ));
            }
        }
    }
    Ok(Some(policy))
}

impl Policies {
    /// Those that a setting says, the others as declared: `NAME=RATE WORDS`, with commas between.
    ///
    /// # Errors
    /// Names and rates that are none, told with what there is.
    ///
    /// ```
    /// let policies = windrow::limiter::policy::Policies::read("general=5/s, heavy=unlimited, concurrent=2")?;
    /// assert_eq!(policies.named("general").unwrap().rate.quota, 5);
    /// assert!(policies.named("heavy").is_none() && policies.concurrent == 2);
    /// # Ok::<(), windrow::error::Error>(())
    /// ```
    pub fn read(text: &str) -> Result<Self> {
        let mut policies = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, said) = part.split_once('=').ok_or_else(|| {
                Error::invalid(format!(
                    "\"{part}\" names no rate; write it as in general=100/min, heavy=10/min"
                ))
            })?;
            policies.say(name.trim(), said.trim())?;
        }
        Ok(policies)
    }

    fn say(&mut self, name: &str, said: &str) -> Result<()> {
        if name == CONCURRENT || name == CONCURRENT_UNLIMITED {
            let count = said.parse::<usize>().ok().filter(|count| (1..=100_000).contains(count));
            let count = count.ok_or_else(|| {
                Error::invalid(format!("{name}: \"{said}\" is no whole number from 1 to 100000"))
            })?;
            let place =
                if name == CONCURRENT { &mut self.concurrent } else { &mut self.concurrent_unlimited };
            *place = count;
            return Ok(());
        }
        let declared = DECLARED.iter().find(|declared| declared.name == name).ok_or_else(|| {
            let names =
                DECLARED.iter().map(|declared| declared.name).chain([CONCURRENT, CONCURRENT_UNLIMITED]);
            let all = names.clone().collect::<Vec<_>>().join(", ");
            Error::invalid(format!("\"{name}\" is no limit; they are {all}{}", nearest(name, names)))
        })?;
        let policy = declared.read(said).map_err(|what| Error::invalid(format!("{name}: {what}")))?;
        self.all.retain(|policy| *policy.name != *name);
        self.all.extend(policy.map(Arc::new));
        Ok(())
    }

    /// The names of all policies, also of those that are unlimited.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        DECLARED.iter().map(|declared| declared.name)
    }

    /// The policy of a name; `None` where it is unlimited.
    pub fn named(&self, name: &str) -> Option<&Arc<Policy>> {
        self.all.iter().find(|policy| *policy.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_rates_are_those_of_the_docs() {
        let policies = Policies::default();
        assert_eq!(policies.all.len(), DECLARED.len(), "every declared rate can be read");
        let of = |name: &str| {
            let rate = policies.named(name).unwrap().rate;
            (rate.quota, rate.window.as_secs())
        };
        assert_eq!((of(GENERAL), of(HEAVY)), ((100, 60), (10, 60)));
        assert_eq!((of("extraction"), of("relevance"), of("model_calls")), ((100, 60), (50, 300), (50, 60)));
        assert_eq!(policies.named("relevance").unwrap().rate.shape, Shape::Window);
        assert_eq!(Policies::read("").unwrap(), policies);
    }

    #[test]
    fn a_setting_says_what_differs() {
        let text = "heavy=20/min window uncounted adaptive:2s, bytes = unlimited,concurrent=3, concurrent_unlimited=9";
        let policies = Policies::read(text).unwrap();
        let heavy = policies.named(HEAVY).unwrap();
        assert_eq!((heavy.rate.quota, heavy.rate.shape), (20, Shape::Window));
        assert_eq!((heavy.counts_failures, heavy.adaptive), (false, Some(Duration::from_secs(2))));
        assert_eq!(policies.named(BYTES), None);
        assert_eq!((policies.concurrent, policies.concurrent_unlimited), (3, 9));
        assert_eq!(policies.named(GENERAL), Policies::default().named(GENERAL));
        for (wrong, word) in [
            ("general", "names no rate"),
            ("genral=1/s", "did you mean \"general\""),
            ("general=fast", "100/min"),
            ("general=1/s windw", "did you mean \"window\""),
            ("general=1/s adaptive:0s", "adaptive"),
            ("general=unlimited window", "no rate"),
            ("concurrent=0", "whole number"),
        ] {
            let told = Policies::read(wrong).unwrap_err().to_string();
            assert!(told.contains(word), "{wrong}: {told}");
        }
    }
}
