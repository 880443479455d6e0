//! How long a job waits after a failure: doubling from a base up to an hour, and half of it by chance, so that what failed
//! together does not come back together.

use crate::limits;

/// The wait after so many failures (from 1), µs; `random` decides within its half.
pub(super) fn wait_us(base_us: i64, failures: u32, random: u64) -> i64 {
    let doubled = base_us.max(1).saturating_mul(
        1_i64.checked_shl(failures.saturating_sub(1)).filter(|by| *by > 0).unwrap_or(i64::MAX),
    );
    let most = doubled.min(limits::JOB_BACKOFF_MAX_US);
    let half = most / 2;
    let part = random % (half.unsigned_abs() + 1);
    half + i64::try_from(part).unwrap_or(0)
}

/// Numbers without order, for chance: splitmix64.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Seeded by the system, or by the clock where that has nothing.
    pub(super) fn new(now_us: i64) -> Self {
        let mut seed = [0; 8];
        match getrandom::fill(&mut seed) {
            Ok(()) => Self(u64::from_le_bytes(seed)),
            Err(_) => Self(now_us.unsigned_abs()),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_and_half_of_each_is_chance() {
        let base = limits::JOB_BACKOFF_US;
        for (failures, most) in
            [(1, 1), (2, 2), (3, 4), (12, 2_048), (13, 3_600), (70, 3_600), (u32::MAX, 3_600)]
        {
            let most = most * base;
            assert_eq!(wait_us(base, failures, 0), most / 2, "{failures}");
            assert_eq!(wait_us(base, failures, most.unsigned_abs() / 2), most, "{failures}");
            let mut random = Random(7);
            for _ in 0..1_000 {
                let wait = wait_us(base, failures, random.next());
                assert!((most / 2..=most).contains(&wait), "{failures}: {wait}");
            }
        }
    }

    #[test]
    fn chance_spreads_what_failed_together() {
        let mut random = Random::new(1);
        let waits: std::collections::BTreeSet<i64> =
            (0..100).map(|_| wait_us(1_000_000, 5, random.next())).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }
}
