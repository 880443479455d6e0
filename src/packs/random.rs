//! Seeded numbers for sample data: the same sequence on every machine, from whole numbers alone. The generators of the
//! packs draw from it; nothing secret may, since whoever sees a few numbers can tell the rest.

/// xoshiro256** 1.0 by David Blackman and Sebastiano Vigna (<https://prng.di.unimi.it/xoshiro256starstar.c>), started
/// from splitmix64 as its authors advise.
///
/// ```
/// use windrow::packs::random::Random;
/// let (mut a, mut b) = (Random::new(7), Random::new(7));
/// assert_eq!(a.below(1_000), b.below(1_000));
/// ```
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        let place = |turn: u64| mix(seed.wrapping_add(turn.wrapping_mul(GOLDEN)));
        Self { state: [place(0), place(1), place(2), place(3)] }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let state = &mut self.state;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// A number from 0 to below `limit`; 0 where the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // the high half of the product; its bias is below limit / 2^64
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// True `share` times of a thousand.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// A place in a list of weights, each as likely as its weight says.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u64> + Clone) -> usize {
        let mut left = self.below(weights.clone().sum());
        for (place, weight) in weights.enumerate() {
            if left < weight {
                return place;
            }
            left -= weight;
        }
        0
    }
}

/// The step of splitmix64: 2^64 divided by the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One number of splitmix64 (<https://prng.di.unimi.it/splitmix64.c>) from its state: also a good way to make one number
/// of several, as numbers that differ in one bit come out without likeness.
pub fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference_programs() {
        let mut known = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| known.bits()).collect();
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
        let seed = 1_234_567u64;
        let second = mix(seed.wrapping_add(GOLDEN));
        assert_eq!((mix(seed), second), (6_457_827_717_110_365_317, 3_203_168_211_198_807_973));
    }

    #[test]
    fn numbers_stay_below_their_limit_and_reach_everything_below_it() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 6];
        (0..6_000).for_each(|_| seen[random.below(6) as usize] += 1);
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn a_place_comes_as_often_as_its_weight_says() {
        let mut random = Random::new(2);
        let mut seen = [0u32; 3];
        (0..4_000).for_each(|_| seen[random.weighted([1, 0, 3].into_iter())] += 1);
        assert_eq!(seen[1], 0);
        assert!((850..1_150).contains(&seen[0]), "{seen:?}");
        assert_eq!(random.weighted(std::iter::empty()), 0);
    }
}
