//! Who may do how much in a while: rates by user, key, address, or for all together, asked of named policies. HTTP asks
//! before it answers (`http/limiting`), queues before they start what they have. It knows no clock and no network: time comes
//! from a function, so that tests have their own.
//!
//! `rate` is the arithmetic, `policy` what is limited and how, `adapt` how a policy gives way to trouble, `slots` how many
//! things may go on at once. What is remembered is bounded: of more subjects than [`limits::LIMITED_SUBJECTS`] the one that was
//! seen least recently is forgotten, as if it had never come.

pub mod adapt;
pub mod policy;
pub mod rate;
pub mod slots;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use serde::Serialize;

use crate::limits;
use adapt::Adaptation;
use policy::Policy;
use rate::State;

/// Whose use is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// All together.
    Everyone,
    /// A user.
    User(Arc<str>),
    /// A key, by its id.
    Key(Arc<str>),
    /// An address; see [`Who::address`].
    Address(IpAddr),
}

impl Who {
    /// An address. Of IPv6 its network of 64 bits: whoever has one has all addresses in it.
    pub fn address(ip: IpAddr) -> Self {
        Self::Address(match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
            v4 => v4,
        })
    }
}

/// How things stand with one policy for who asked, after what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The policy.
    pub policy: Arc<Policy>,
    /// What is left at once.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
    /// Until what was asked for is there; zero where it was.
    pub wait: Duration,
}

/// An answer: all that was asked for was taken, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// One for each policy, in the order they were asked.
    pub standings: Vec<Standing>,
}

impl Verdict {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        self.violated().next().is_none()
    }

    /// The policies that refused.
    pub fn violated(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().filter(|standing| !standing.wait.is_zero())
    }

    /// When to ask again.
    pub fn wait(&self) -> Duration {
        self.standings.iter().map(|standing| standing.wait).max().unwrap_or_default()
    }
}

/// What was counted of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PolicyFigures {
    /// Its name.
    pub policy: String,
    /// Requests that it let through.
    pub allowed: u64,
    /// Requests that it refused: violations.
    pub refused: u64,
    /// Requests that it let through and that do not count, because they failed.
    pub given_back: u64,
    /// The part of its quota that is in force, where it adapts; else 1.
    pub factor: f64,
}

/// What the limiter did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// By policy that was asked, by name.
    pub policies: Vec<PolicyFigures>,
    /// Subjects and policies that are remembered together.
    pub remembered: u64,
    /// Those that were forgotten to stay within the bound.
    pub forgotten: u64,
}

/// Counts what is used. One for a process; threads share it.
pub struct Limiter {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    inner: Mutex<Inner>,
}

struct Inner {
    used: LruCache<(Arc<str>, Who), State>,
    policies: BTreeMap<Arc<str>, Kept>,
    forgotten: u64,
}

/// What is kept of a policy.
#[derive(Debug, Default)]
struct Kept {
    counted: PolicyFigures,
    adaptation: Adaptation,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Default for Limiter {
    fn default() -> Self {
        let start = Instant::now();
        Self::with_clock(move || start.elapsed())
    }
}

impl Limiter {
    /// One with a clock of its own: the time since any beginning, never going back.
    pub fn with_clock(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let most = NonZeroUsize::new(limits::LIMITED_SUBJECTS).unwrap_or(NonZeroUsize::MIN);
        let inner = Inner { used: LruCache::new(most), policies: BTreeMap::new(), forgotten: 0 };
        Self { clock: Box::new(clock), inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is wanted of each policy, or nothing where one of them refuses. Who wants 0 of a policy asks whether any is
    /// left, and is charged later.
    pub fn take(&self, who: &Who, wanted: &[(Arc<Policy>, u64)]) -> Verdict {
        let now = (self.clock)();
        let mut inner = self.inner();
        let mut tried = Vec::with_capacity(wanted.len());
        for (policy, amount) in wanted {
            let (rate, before) = (inner.rate(policy, now), inner.state(policy, who));
            let (after, wait) = before.take(&rate, now, *amount);
            tried.push((policy, rate, before, after, wait));
        }
        let is_allowed = tried.iter().all(|(.., wait)| wait.is_zero());
        let mut standings = Vec::with_capacity(wanted.len());
        for (policy, rate, before, after, wait) in tried {
            let counted = &mut inner.policies.entry(Arc::clone(&policy.name)).or_default().counted;
            counted.allowed += u64::from(is_allowed);
            counted.refused += u64::from(!wait.is_zero());
            let state = if is_allowed { after } else { before };
            if is_allowed {
                inner.put(policy, who, after);
            }
            let (remaining, reset) = (state.remaining(&rate, now), state.reset(&rate, now));
            standings.push(Standing { policy: Arc::clone(policy), remaining, reset, wait });
        }
        Verdict { standings }
    }

    /// How much is left of all of some policies at once, and how long until there is any; nothing is taken or counted.
    pub fn room(&self, who: &Who, policies: &[Arc<Policy>]) -> (u64, Duration) {
        let now = (self.clock)();
        let mut inner = self.inner();
        let mut told = (u64::MAX, Duration::ZERO);
        for policy in policies {
            let (rate, state) = (inner.rate(policy, now), inner.state(policy, who));
            told = (told.0.min(state.remaining(&rate, now)), told.1.max(state.take(&rate, now, 1).1));
        }
        told
    }

    /// Charges what turned out to be used, whether it is left or not; what is too much is waited for by the next.
    pub fn charge(&self, who: &Who, policy: &Policy, amount: u64) {
        let now = (self.clock)();
        let mut inner = self.inner();
        let rate = inner.rate(policy, now);
        let state = inner.state(policy, who).charged(&rate, now, amount);
        inner.put(policy, who, state);
    }

    /// Gives back what was taken, for a request that does not count.
    pub fn give_back(&self, who: &Who, policy: &Policy, amount: u64) {
        let now = (self.clock)();
        let mut inner = self.inner();
        let rate = inner.rate(policy, now);
        let state = inner.state(policy, who).given_back(&rate, now, amount);
        inner.put(policy, who, state);
        inner.policies.entry(Arc::clone(&policy.name)).or_default().counted.given_back += 1;
    }

    /// Tells a policy that adapts how what it let through went.
    pub fn observe(&self, policy: &Policy, failed: bool, took: Duration) {
        let Some(most) = policy.adaptive else { return };
        let now = (self.clock)();
        let mut inner = self.inner();
        let kept = inner.policies.entry(Arc::clone(&policy.name)).or_default();
        kept.adaptation.observe(now, failed || took > most);
    }

    /// What was counted so far.
    pub fn figures(&self) -> Figures {
        let inner = self.inner();
        let told = |(name, kept): (&Arc<str>, &Kept)| PolicyFigures {
            policy: name.to_string(),
            factor: kept.adaptation.factor(),
            ..kept.counted.clone()
        };
        Figures {
            policies: inner.policies.iter().map(told).collect(),
            remembered: inner.used.len() as u64,
            forgotten: inner.forgotten,
        }
    }
}

impl Inner {
    /// The rate that is in force.
    fn rate(&mut self, policy: &Policy, now: Duration) -> rate::Rate {
        if policy.adaptive.is_none() {
            return policy.rate;
        }
        let kept = self.policies.entry(Arc::clone(&policy.name)).or_default();
        policy.rate.scaled(kept.adaptation.now(now))
    }

    fn state(&mut self, policy: &Policy, who: &Who) -> State {
        self.used.get(&(Arc::clone(&policy.name), who.clone())).copied().unwrap_or_default()
    }

    fn put(&mut self, policy: &Policy, who: &Who, state: State) {
        let key = (Arc::clone(&policy.name), who.clone());
        if let Some((old, _)) = self.used.push(key.clone(), state) {
            self.forgotten += u64::from(old != key);
        }
    }
}

#[cfg(test)]
mod tests;
