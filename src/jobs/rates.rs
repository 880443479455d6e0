//! How often jobs of a queue begin: a rate of the queue, one for each user, and a named limit that several queues share, all asked
//! of the limiter that HTTP asks too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, nearest_or_first};
use crate::limiter::policy::{Policies, Policy};
use crate::limiter::{Limiter, Who};
use crate::store::queue::{Claimed, QueueNow, QueueSettings};

/// Why a job does not begin yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// None of its queue does for so long.
    Queue(Duration),
    /// None of its user does for so long; others may.
    User(Duration),
}

/// The limits in force, by the settings that they were read from.
pub(super) struct Rates {
    limiter: Arc<Limiter>,
    policies: Arc<Policies>,
    /// The policies of queues, by name and as they were written.
    read: BTreeMap<(String, String), Option<Arc<Policy>>>,
}

/// The policies of a queue.
pub(super) fn policy(name: &str, text: &str) -> Result<Option<Policy>> {
    Policy::read(name, text).map_err(|what| Error::invalid(format!("the rate of a queue: {what}")))
}

/// Refuses rates that cannot be read and limits that there are not.
pub(super) fn check(settings: &QueueSettings, policies: &Policies) -> Result<()> {
    for text in [&settings.rate, &settings.user_rate].into_iter().flatten() {
        policy("queue", text)?;
    }
    match &settings.limit {
        Some(name) if !Policies::names().any(|known| known == name) => {
            let hint = nearest_or_first(name, Policies::names());
            Err(Error::invalid(format!("\"{name}\" is no limit that a queue can share{hint}")))
        }
        // one that is set to be unlimited is none for now
        Some(name) => {
            let _ = policies.named(name);
            Ok(())
        }
        None => Ok(()),
    }
}

impl Rates {
    pub fn new(limiter: Arc<Limiter>, policies: Arc<Policies>) -> Self {
        Self { limiter, policies, read: BTreeMap::new() }
    }

    fn policy(&mut self, name: String, text: &str) -> Option<Arc<Policy>> {
        let read = self.read.entry((name, text.to_owned()));
        read.or_insert_with_key(|(name, text)| policy(name, text).ok().flatten().map(Arc::new)).clone()
    }

    /// The policies that all jobs of a queue count under.
    fn of(&mut self, name: &str, settings: &QueueSettings) -> Vec<Arc<Policy>> {
        let own = settings.rate.as_ref().and_then(|text| self.policy(format!("queue:{name}"), text));
        let shared = settings.limit.as_ref().and_then(|name| self.policies.named(name).cloned());
        own.into_iter().chain(shared).collect()
    }

    /// The policy that a job counts under for its user.
    fn of_user(&mut self, job: &Claimed, settings: &QueueSettings) -> Option<Arc<Policy>> {
        let users = settings.user_rate.as_ref().filter(|_| job.user.is_some());
        users.and_then(|text| self.policy(format!("queue:{}:user", job.queue), text))
    }

    /// How many jobs of a queue may begin now, as far as limits of all of them tell; `Err`: none does for so long.
    pub fn room(&mut self, name: &Arc<str>, queue: &QueueNow) -> Result<usize, Duration> {
        let all = self.of(name, &queue.settings);
        if all.is_empty() {
            return Ok(usize::MAX);
        }
        match self.limiter.room(&Who::Everyone, &all) {
            (_, wait) if !wait.is_zero() => Err(wait),
            (left, _) => Ok(usize::try_from(left).unwrap_or(usize::MAX).max(1)),
        }
    }

    /// Takes what a job needs to begin; `Err`: it has to wait, and nothing was taken.
    pub fn take(&mut self, job: &Claimed, queue: Option<&QueueNow>) -> Result<(), Wait> {
        let Some(queue) = queue else { return Ok(()) };
        let (all, user) = (self.of(&job.queue, &queue.settings), self.of_user(job, &queue.settings));
        let who = job.user.as_ref().map(|user| Who::User(Arc::clone(user)));
        if let (Some(policy), Some(who)) = (&user, &who) {
            let wait = self.limiter.take(who, &[(Arc::clone(policy), 1)]).wait();
            if !wait.is_zero() {
                return Err(Wait::User(wait));
            }
        }
        let wanted: Vec<(Arc<Policy>, u64)> = all.into_iter().map(|policy| (policy, 1)).collect();
        let wait = if wanted.is_empty() {
            Duration::ZERO
        } else {
            self.limiter.take(&Who::Everyone, &wanted).wait()
        };
        if wait.is_zero() {
            return Ok(());
        }
        if let (Some(policy), Some(who)) = (&user, &who) {
            self.limiter.give_back(who, policy, 1);
        }
        Err(Wait::Queue(wait))
    }

    /// Tells limits that give way to trouble how a job went.
    pub fn observe(&mut self, job: &Claimed, queue: Option<&QueueNow>, failed: bool, took: Duration) {
        let Some(queue) = queue else { return };
        let (all, user) = (self.of(&job.queue, &queue.settings), self.of_user(job, &queue.settings));
        for policy in all.iter().chain(&user).filter(|policy| policy.adaptive.is_some()) {
            self.limiter.observe(policy, failed, took);
        }
    }
}
