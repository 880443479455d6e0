//! The limiter with a clock of the test.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::limiter::policy::Policies;

struct Bench {
    limiter: Arc<Limiter>,
    seconds: Arc<AtomicU64>,
    policies: Policies,
}

impl Bench {
    fn new(policies: &str) -> Self {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&seconds);
        let limiter = Limiter::with_clock(move || Duration::from_secs(clock.load(Ordering::SeqCst)));
        Self { limiter: Arc::new(limiter), seconds, policies: Policies::read(policies).unwrap() }
    }

    fn policy(&self, name: &str) -> Arc<Policy> {
        Arc::clone(self.policies.named(name).unwrap())
    }

    fn take(&self, who: &Who, wanted: &[(&str, u64)]) -> Verdict {
        let wanted: Vec<_> = wanted.iter().map(|(name, amount)| (self.policy(name), *amount)).collect();
        self.limiter.take(who, &wanted)
    }

    fn later(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn key(name: &str) -> Who {
    Who::Key(name.into())
}

#[test]
fn subjects_are_counted_apart_and_all_policies_have_to_agree() {
    let bench = Bench::new("general=5/min, heavy=2/min");
    for _ in 0..2 {
        assert!(bench.take(&key("a"), &[("general", 1), ("heavy", 1)]).is_allowed());
    }
    let refused = bench.take(&key("a"), &[("general", 1), ("heavy", 1)]);
    let violated: Vec<&str> = refused.violated().map(|standing| &*standing.policy.name).collect();
    assert_eq!((violated, refused.wait()), (vec!["heavy"], Duration::from_secs(30)));
    // what one refuses, the other is not charged for
    for _ in 0..3 {
        assert!(bench.take(&key("a"), &[("general", 1)]).is_allowed());
    }
    assert!(!bench.take(&key("a"), &[("general", 1)]).is_allowed());
    assert!(bench.take(&key("b"), &[("general", 1), ("heavy", 1)]).is_allowed());
    assert!(bench.take(&Who::User("a".into()), &[("general", 1)]).is_allowed(), "a user is no key");
    bench.later(60);
    assert_eq!(bench.take(&key("a"), &[("general", 1)]).standings[0].remaining, 4);
}

#[test]
fn violations_are_counted() {
    let bench = Bench::new("general=1/min");
    for _ in 0..4 {
        bench.take(&key("a"), &[("general", 1)]);
    }
    bench.limiter.give_back(&key("a"), &bench.policy("general"), 1);
    let figures = bench.limiter.figures();
    let general = &figures.policies[0];
    assert_eq!((general.allowed, general.refused, general.given_back), (1, 3, 1));
    assert_eq!((general.policy.as_str(), general.factor, figures.remembered), ("general", 1.0, 1));
    assert!(bench.take(&key("a"), &[("general", 1)]).is_allowed(), "it was given back");
}

#[test]
fn what_turns_out_later_is_charged_then() {
    let bench = Bench::new("events=100/min");
    assert!(bench.take(&key("a"), &[("events", 0)]).is_allowed());
    bench.limiter.charge(&key("a"), &bench.policy("events"), 250);
    assert_eq!(bench.take(&key("a"), &[("events", 0)]).wait(), Duration::from_millis(90_600));
    bench.later(91);
    assert!(bench.take(&key("a"), &[("events", 0)]).is_allowed());
}

#[test]
fn the_one_that_was_seen_least_recently_is_forgotten() {
    let bench = Bench::new("general=1/min");
    let most = limits::LIMITED_SUBJECTS;
    for number in 0..most {
        bench.take(&key(&number.to_string()), &[("general", 1)]);
    }
    assert!(!bench.take(&key("0"), &[("general", 1)]).is_allowed());
    assert!(bench.take(&key("another"), &[("general", 1)]).is_allowed());
    let figures = bench.limiter.figures();
    assert_eq!((figures.remembered, figures.forgotten), (most as u64, 1));
    assert!(!bench.take(&key("0"), &[("general", 1)]).is_allowed(), "it was seen just now");
    assert!(bench.take(&key("1"), &[("general", 1)]).is_allowed(), "it was forgotten");
}

#[test]
fn a_policy_that_adapts_halves_its_quota_in_trouble() {
    let bench = Bench::new("model_calls=40/min adaptive:1s");
    let calls = bench.policy("model_calls");
    let quota = || bench.take(&Who::Everyone, &[("model_calls", 0)]).standings[0].remaining;
    assert_eq!(quota(), 40);
    for _ in 0..5 {
        bench.limiter.observe(&calls, true, Duration::ZERO);
    }
    assert_eq!(quota(), 20);
    for _ in 0..5 {
        bench.limiter.observe(&calls, false, Duration::from_secs(2));
    }
    assert_eq!((quota(), bench.limiter.figures().policies[0].factor), (10, 0.25));
    bench.later(10);
    bench.limiter.observe(&calls, false, Duration::from_millis(10));
    assert_eq!(quota(), 12);
    bench.later(1_000);
    assert_eq!(quota(), 40);
}

#[test]
fn threads_together_take_no_more_than_there_is() {
    let bench = Bench::new("general=1000/min");
    let allowed: usize = std::thread::scope(|scope| {
        let take = || (0..400).filter(|_| bench.take(&key("a"), &[("general", 1)]).is_allowed()).count();
        let running: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 1_000);
}

#[test]
fn addresses_of_one_network_are_one() {
    let address = |text: &str| Who::address(text.parse().unwrap());
    assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
    assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
    assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
}
