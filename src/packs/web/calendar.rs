//! When people are about: the weight of every half hour of a span, from the clocks of all countries, the days of the
//! week, slow growth, chance, a launch and an outage. `sessions` spreads events over it.

use crate::packs::random::mix;
use crate::time::{DAY, HOUR, MINUTE};

use super::world::{COUNTRIES, Country, HOURS, WEEKDAYS};

/// Half an hour, as there are clocks that differ by one.
const SLOT: i64 = 30 * MINUTE;
/// Spans from so many days on have a launch and an outage.
const EVENTFUL_DAYS: i64 = 14;
/// The outage.
const OUTAGE_HOURS: i64 = 3;
/// How a launch goes on, hour by hour: the visits that it adds, as a multiple of a usual hour.
const LAUNCH: [u64; 20] = [6, 14, 18, 17, 15, 12, 10, 8, 7, 6, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1];

/// A span of time with the weight of each of its parts.
#[derive(Debug)]
pub struct Calendar {
    slots: Vec<Slot>,
    /// The weight of all slots up to and with each.
    ends: Vec<u64>,
}

/// A part of the span: half an hour, less at its ends.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Where it begins, µs.
    from_us: i64,
    length_us: i64,
    weight: u64,
    /// How many of a thousand visits are there for the launch.
    pub launch_per_mille: u64,
}

impl Calendar {
    /// The calendar of a span, which must not be empty.
    pub fn new(seed: u64, from_us: i64, until_us: i64) -> Self {
        let events = Events::of(from_us, until_us);
        let (mut slots, mut ends, mut total) = (Vec::new(), Vec::new(), 0u64);
        for (from, to) in slots_between(from_us, until_us) {
            let day = (from - from_us).div_euclid(DAY) as u64;
            let noise = chance(seed, from.div_euclid(DAY), 10) * chance(!seed, from.div_euclid(SLOT), 16);
            // a tenth of growth in a month: 10,000 is none
            let grown = usual_weight(from) * (10_000 + 33 * day) / 10_000 * noise / 1_000_000;
            let added = events.launch(from);
            let weight = if events.is_out(from) { 0 } else { grown * (2 + added) / 2 };
            let weight = weight * (to - from) as u64 / SLOT as u64;
            total += weight;
            ends.push(total);
            let launch_per_mille = 1_000 * added / (2 + added);
            slots.push(Slot { from_us: from, length_us: to - from, weight, launch_per_mille });
        }
        // a span of less than a visit: everything happens at its beginning
        if total == 0
            && let (Some(slot), Some(_)) = (slots.first_mut(), ends.first())
        {
            slot.weight = 1;
            ends.iter_mut().for_each(|end| *end = 1);
        }
        Self { slots, ends }
    }

    /// The time that `part` of `whole` have gone by, where `part` is below `whole`: as even parts of the weight, not
    /// of the clock. Later parts never come earlier.
    pub fn time(&self, part: u128, whole: u128) -> (i64, Slot) {
        let total = self.ends.last().copied().unwrap_or(0);
        let place = (u128::from(total) * part / whole.max(1)) as u64;
        let at = self.ends.partition_point(|end| *end <= place).min(self.slots.len().saturating_sub(1));
        let slot = self.slots[at];
        let before = self.ends[at] - slot.weight;
        let within = u128::from(place - before) * slot.length_us as u128 / u128::from(slot.weight.max(1));
        (slot.from_us + within as i64, slot)
    }
}

/// How many events a span has where a week has so many: what a calendar says of growth and chance apart.
pub fn rows_between(from_us: i64, until_us: i64, rows_a_week: u64) -> u64 {
    let weight = |from: i64, until: i64| -> u128 {
        let part =
            |(from, to): (i64, i64)| u128::from(usual_weight(from)) * (to - from) as u128 / SLOT as u128;
        slots_between(from, until).map(part).sum()
    };
    // all weeks weigh the same
    let week = weight(0, 7 * DAY);
    (weight(from_us, until_us) * u128::from(rows_a_week) / week.max(1)) as u64
}

/// How many of a country are about at a time, relative to other countries and times.
pub fn presence(country: &Country, us: i64) -> u64 {
    let local = us + country.offset_minutes * MINUTE;
    // 1970-01-01 was a Thursday
    let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7) as usize;
    let hour = local.rem_euclid(DAY) / HOUR;
    country.share * HOURS[hour as usize] * WEEKDAYS[weekday]
}

fn usual_weight(us: i64) -> u64 {
    COUNTRIES.iter().map(|country| presence(country, us)).sum()
}

/// The half hours of the clock between two times, the first and the last cut.
fn slots_between(from_us: i64, until_us: i64) -> impl Iterator<Item = (i64, i64)> {
    let first = from_us.div_euclid(SLOT);
    let last = (until_us - 1).div_euclid(SLOT);
    (first..=last).map(move |slot| ((slot * SLOT).max(from_us), ((slot + 1) * SLOT).min(until_us)))
}

/// A factor around 1,000, up to so many per cent off, that is the same whenever its day or half hour is asked for.
fn chance(seed: u64, number: i64, per_cent: u64) -> u64 {
    let width = 20 * per_cent;
    1_000 - width / 2 + mix(seed ^ mix(number as u64)) % (width + 1)
}

/// What is not as usual in a span.
struct Events {
    launch_from: Option<i64>,
    outage_from: Option<i64>,
}

impl Events {
    fn of(from_us: i64, until_us: i64) -> Self {
        let days = (until_us - from_us) / DAY;
        if days < EVENTFUL_DAYS {
            return Self { launch_from: None, outage_from: None };
        }
        let day_at = |percent: i64| (from_us + days * percent / 100 * DAY).div_euclid(DAY) * DAY;
        Self { launch_from: Some(day_at(67) + 13 * HOUR), outage_from: Some(day_at(40) + 3 * HOUR) }
    }

    fn launch(&self, us: i64) -> u64 {
        let hours = self.launch_from.map(|from| (us - from).div_euclid(HOUR));
        hours.and_then(|hours| LAUNCH.get(usize::try_from(hours).ok()?)).copied().unwrap_or(0)
    }

    fn is_out(&self, us: i64) -> bool {
        self.outage_from.is_some_and(|from| (from..from + OUTAGE_HOURS * HOUR).contains(&us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: i64 = 20_000 * DAY;

    #[test]
    fn parts_rise_through_the_span_and_stay_in_it() {
        let until = FROM + 20 * DAY + 7;
        let calendar = Calendar::new(3, FROM, until);
        let mut last = FROM;
        for part in 0..5_000 {
            let (time, _) = calendar.time(part, 5_000);
            assert!(time >= last && time < until, "part {part}");
            last = time;
        }
        assert!(last > until - HOUR);
    }

    #[test]
    fn the_shortest_span_has_a_time_too() {
        for length in [1, 1_000, MINUTE] {
            let (time, _) = Calendar::new(3, FROM, FROM + length).time(4, 5);
            assert!((FROM..FROM + length).contains(&time), "{length}");
        }
    }

    #[test]
    fn people_sleep_and_rest_at_weekends() {
        let germany = COUNTRIES.iter().find(|country| country.code == "DE").unwrap();
        // 20,000 days after 1970 was a Friday
        let at = |days: i64, hour: i64| presence(germany, FROM + days * DAY + hour * HOUR);
        assert!(at(0, 2) * 4 < at(0, 10));
        assert!(at(1, 10) < at(0, 10) && at(2, 10) < at(0, 10), "Saturday and Sunday");
    }

    #[test]
    fn a_week_has_its_rows_and_a_night_fewer_than_a_day() {
        assert_eq!(rows_between(FROM, FROM + 7 * DAY, 10_000), 10_000);
        let halves = |from: i64| rows_between(FROM + from * HOUR, FROM + (from + 4) * HOUR, 70_000);
        assert!(halves(2) < halves(14), "most of the visitors are in Europe and America");
        assert_eq!(rows_between(FROM, FROM, 10_000), 0);
    }

    #[test]
    fn a_launch_and_an_outage_are_seen() {
        let events = Events::of(FROM, FROM + 30 * DAY);
        let (launch, outage) = (events.launch_from.unwrap(), events.outage_from.unwrap());
        assert!(events.launch(launch + 2 * HOUR) > 10 && events.launch(launch - 1) == 0);
        assert!(events.is_out(outage) && !events.is_out(outage + OUTAGE_HOURS * HOUR));
        let calendar = Calendar::new(3, FROM, FROM + 30 * DAY);
        let times: Vec<i64> = (0..100_000).map(|part| calendar.time(part, 100_000).0).collect();
        assert!(!times.iter().any(|time| events.is_out(*time)));
        let in_day =
            |day: i64| times.iter().filter(|time| (**time - day) / DAY == 0 && **time >= day).count();
        let usual = in_day(launch.div_euclid(DAY) * DAY - 7 * DAY);
        assert!(in_day(launch.div_euclid(DAY) * DAY) > 2 * usual);
    }
}
