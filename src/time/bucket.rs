//! Calendar buckets in a time zone: what `day(_time)` with `"tz": "Europe/Berlin"` means. Queries, retention and
//! reports call it, once a row, so the last answer and its bounds are kept; zones' rules come from jiff.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::{Calendar, DAY, HOUR, MINUTE, civil_from_days, days_from_civil};

/// A calendar unit that instants are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// 60 seconds.
    Minute,
    /// 60 minutes, less where the zone changes its offset within them.
    Hour,
    /// A date of the zone: 23 to 25 hours, mostly 24.
    Day,
    /// Seven dates from the calendar's first day of the week on.
    Week,
    /// A calendar month.
    Month,
    /// Three months from January, April, July or October on.
    Quarter,
    /// A calendar year.
    Year,
}

impl Bucket {
    /// Every bucket with its name, the smallest first.
    pub const ALL: [(Bucket, &'static str); 7] = [
        (Self::Minute, "minute"),
        (Self::Hour, "hour"),
        (Self::Day, "day"),
        (Self::Week, "week"),
        (Self::Month, "month"),
        (Self::Quarter, "quarter"),
        (Self::Year, "year"),
    ];

    /// The contract's name of the bucket.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(bucket, _)| *bucket == self).map_or("year", |(_, name)| name)
    }

    /// The bucket of a name in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(bucket, _)| *bucket)
    }

    /// Start and end of the bucket on the clock on the wall, in µs as if that clock were UTC. Weeks begin so many days
    /// after a Monday.
    fn bounds(self, local_us: i64, week_offset: i64) -> (i64, i64) {
        let even = |length: i64| {
            let start = local_us.saturating_sub(local_us.rem_euclid(length));
            (start, start.saturating_add(length))
        };
        let days = local_us.div_euclid(DAY);
        let (year, month, _) = civil_from_days(days);
        let months = |first: i64, count: i64| {
            let next = if first + count > 12 { (year + 1, 1) } else { (year, first + count) };
            (midnight(days_from_civil(year, first, 1)), midnight(days_from_civil(next.0, next.1, 1)))
        };
        match self {
            Self::Minute => even(MINUTE),
            Self::Hour => even(HOUR),
            Self::Day => even(DAY),
            Self::Week => {
                // 1970-01-01 was a Thursday, three days after a Monday
                let first = days - (days + 3 - week_offset).rem_euclid(7);
                (midnight(first), midnight(first + 7))
            }
            Self::Month => months(month, 1),
            Self::Quarter => months((month - 1) / 3 * 3 + 1, 3),
            Self::Year => months(1, 12),
        }
    }
}

fn midnight(days: i64) -> i64 {
    days.saturating_mul(DAY)
}

/// A time in which a zone keeps one offset, `from` included and `to` not. There the wall clock is plain arithmetic.
#[derive(Debug, Clone, Copy)]
struct Period {
    from: i64,
    to: i64,
    offset: i64,
}

impl Period {
    fn at(us: i64, tz: &TimeZone) -> Self {
        let offset = offset_us_at(us, tz);
        let mut period = Self { from: i64::MIN, to: i64::MAX, offset };
        if tz.to_fixed_offset().is_ok() {
            return period;
        }
        // Some transitions change the zone's name only; they divide nothing. A transition at `us` itself begins the
        // period, so the search goes back from the next µs.
        let differs = |at: i64| offset_us_at(at, tz) != offset;
        let mut before =
            tz.preceding(timestamp(us.saturating_add(1))).map(|t| t.timestamp().as_microsecond());
        if let Some(at) = before.find(|at| differs(at - 1)) {
            period.from = at;
        }
        let mut after = tz.following(timestamp(us)).map(|t| t.timestamp().as_microsecond());
        if let Some(at) = after.find(|at| differs(*at)) {
            period.to = at;
        }
        period
    }
}

/// Finds the bucket that an instant falls into, in one zone.
///
/// Buckets are those of the wall clock: a day may have 23 or 25 hours and begins at the first instant of its date.
/// Minutes and hours never reach over a change of the offset, so an hour that the clock repeats is two buckets. Where a
/// clock is set back over midnight, what it then repeats of the day before belongs to that day, as its date says.
///
/// ```
/// use windrow::time::{Bucket, Bucketer, Calendar, format, parse};
/// let berlin = Calendar::named(Some("Europe/Berlin"), None).unwrap();
/// let mut days = Bucketer::new(Bucket::Day, &berlin);
/// let start = days.start(parse("2024-03-31T12:00:00Z").unwrap());
/// assert_eq!(format(start), "2024-03-30T23:00:00Z");
/// assert_eq!(format(days.next(start)), "2024-03-31T22:00:00Z");
/// ```
#[derive(Debug, Clone)]
pub struct Bucketer {
    bucket: Bucket,
    tz: TimeZone,
    /// Days from Monday to the first day of a week.
    week_offset: i64,
    /// The periods met so far, in order of time: a few a year.
    periods: Vec<Period>,
    last: Found,
}

/// The answer for the instants from `from` to before `to`; after a change of the offset a part of the bucket only.
#[derive(Debug, Clone, Copy)]
struct Found {
    from: i64,
    to: i64,
    start: i64,
    /// Wall clock of the bucket's end.
    end_local: i64,
}

impl Bucketer {
    /// Buckets of one kind on the wall clock of a zone.
    pub fn new(bucket: Bucket, calendar: &Calendar) -> Self {
        let tz = if is_utc(&calendar.tz) { TimeZone::UTC } else { calendar.tz.clone() };
        let week_offset = i64::from(calendar.week_start.to_monday_zero_offset());
        // an answer for no instant at all
        let last = Found { from: 0, to: 0, start: 0, end_local: 0 };
        Self { bucket, tz, week_offset, periods: Vec::new(), last }
    }

    /// The start of the bucket that holds the instant, both in µs since 1970 UTC.
    #[inline]
    pub fn start(&mut self, us: i64) -> i64 {
        if us < self.last.from || us >= self.last.to {
            self.find(us);
        }
        self.last.start
    }

    /// The start of the bucket after the one that holds the instant: where a filled series goes on.
    pub fn next(&mut self, us: i64) -> i64 {
        self.start(us);
        let Found { to, end_local, .. } = self.last;
        match self.bucket {
            Bucket::Minute | Bucket::Hour => to,
            _ => self.first_instant(us, end_local),
        }
    }

    /// The time on the wall at an instant, in µs as if that clock were UTC.
    pub fn local(&mut self, us: i64) -> i64 {
        us.saturating_add(self.period(us).offset)
    }

    fn find(&mut self, us: i64) {
        let period = self.period(us);
        let (start_local, end_local) = self.bucket.bounds(us.saturating_add(period.offset), self.week_offset);
        let from = start_local.saturating_sub(period.offset).max(period.from);
        let to = end_local.saturating_sub(period.offset).min(period.to);
        let start = match self.bucket {
            Bucket::Minute | Bucket::Hour => from,
            _ => self.first_instant(us, start_local),
        };
        self.last = Found { from, to, start, end_local };
    }

    /// The instant at which the wall clock, somewhere near `us`, first shows this time or, if it skips it, a later.
    fn first_instant(&mut self, us: i64, local_us: i64) -> i64 {
        let period = self.period(us);
        let by = |offset: i64| local_us.saturating_sub(offset);
        if period.from == i64::MIN && period.to == i64::MAX {
            return by(period.offset);
        }
        let Some(local) = civil(local_us) else { return by(period.offset) };
        match self.tz.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => by(offset_us(offset)),
            AmbiguousOffset::Fold { before, .. } => by(offset_us(before)),
            // read with the offset before the gap, the time lies in the period that begins with the gap
            AmbiguousOffset::Gap { before, .. } => self.period(by(offset_us(before))).from,
        }
    }

    fn period(&mut self, us: i64) -> Period {
        // the end of the last period is no instant of it
        let us = us.min(i64::MAX - 1);
        let place = self.periods.partition_point(|period| period.to <= us);
        match self.periods.get(place) {
            Some(period) if period.from <= us => *period,
            _ => {
                let period = Period::at(us, &self.tz);
                self.periods.insert(place, period);
                period
            }
        }
    }
}

/// Whether a zone is UTC itself rather than one that happens to agree with it.
pub(super) fn is_utc(tz: &TimeZone) -> bool {
    tz.to_fixed_offset().is_ok_and(|offset| offset == jiff::tz::Offset::UTC)
        || matches!(tz.iana_name(), Some("UTC" | "Etc/UTC"))
}

/// The offset of a zone at an instant, in µs; beyond jiff's years that of the nearest instant it knows.
pub(super) fn offset_us_at(us: i64, tz: &TimeZone) -> i64 {
    offset_us(tz.to_offset(timestamp(us)))
}

pub(super) fn offset_us(offset: jiff::tz::Offset) -> i64 {
    i64::from(offset.seconds()) * super::SECOND
}

/// The instant for jiff, or the nearest that it knows.
pub(super) fn timestamp(us: i64) -> Timestamp {
    let nearest = if us < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(us).unwrap_or(nearest)
}

fn civil(local_us: i64) -> Option<DateTime> {
    let (year, month, day) = civil_from_days(local_us.div_euclid(DAY));
    let in_day = local_us.rem_euclid(DAY);
    let part = |unit: i64, count: i64| (in_day / unit % count) as i8;
    let date = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    // bucket bounds have neither seconds nor fractions
    DateTime::new(date.0, date.1, date.2, part(HOUR, 24), part(MINUTE, 60), 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{SECOND, format_in, parse};
    use super::*;
    use jiff::{ToSpan, Unit, Zoned, civil::Weekday};
    use proptest::prelude::*;

    const ZONES: [&str; 8] = [
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "America/St_Johns",
        "America/Havana",
        "Pacific/Apia",
        "UTC",
    ];

    fn calendar(name: &str) -> Calendar {
        Calendar::named(Some(name), None).unwrap()
    }

    /// Goes back from the instant, minute by minute or day by day, as long as the calendar says the same.
    fn naive(bucket: Bucket, us: i64, calendar: &Calendar) -> i64 {
        let tz = &calendar.tz;
        let zoned = timestamp(us).to_zoned(tz.clone());
        let us_of = |zoned: &Zoned| zoned.timestamp().as_microsecond();
        if matches!(bucket, Bucket::Minute | Bucket::Hour) {
            let label = |zoned: &Zoned| {
                let minute = if bucket == Bucket::Minute { zoned.minute() } else { 0 };
                (zoned.date(), zoned.hour(), minute, zoned.offset())
            };
            let mut at = us_of(&zoned).div_euclid(SECOND) * SECOND;
            for step in [MINUTE, SECOND] {
                while label(&timestamp(at - step).to_zoned(tz.clone())) == label(&zoned) {
                    at -= step;
                }
            }
            return at;
        }
        let mut date = zoned.date();
        let begins = |date: jiff::civil::Date| match bucket {
            Bucket::Day => true,
            Bucket::Week => date.weekday() == calendar.week_start,
            Bucket::Month => date.day() == 1,
            Bucket::Quarter => date.day() == 1 && date.month() % 3 == 1,
            _ => date.day_of_year() == 1,
        };
        while !begins(date) {
            date = date.checked_sub(1.day()).unwrap();
        }
        // the first second of those dates that exist, found from two days before
        let before = timestamp(us_of(&date.to_zoned(tz.clone()).unwrap()) - 2 * DAY);
        let mut at = before.as_microsecond();
        for step in [HOUR, MINUTE, SECOND] {
            while timestamp(at + step).to_zoned(tz.clone()).date() < date {
                at += step;
            }
        }
        at + SECOND
    }

    fn check(bucket: Bucket, us: i64, calendar: &Calendar, warm: &mut Bucketer) {
        let expected = naive(bucket, us, calendar);
        let name = calendar.tz.iana_name().unwrap_or("UTC");
        let say = || format!("{} of {} in {name}", bucket.name(), format_in(us, &calendar.tz));
        assert_eq!(Bucketer::new(bucket, calendar).start(us), expected, "{}", say());
        assert_eq!(warm.start(us), expected, "after others: {}", say());
        assert_eq!(warm.start(expected), expected, "a start is in its own bucket: {}", say());
        let next = warm.next(us);
        assert!(next > us || name == "America/St_Johns", "{}", say());
        assert_eq!(warm.start(next), next, "{}", say());
        assert_eq!(warm.start(next - 1), expected, "nothing between: {}", say());
    }

    #[test]
    fn around_every_change_of_offset_buckets_are_those_of_the_calendar() {
        for name in ZONES {
            let calendar = calendar(name);
            let mut warm = Bucket::ALL.map(|(bucket, _)| Bucketer::new(bucket, &calendar));
            let from: Timestamp = "1985-01-01T00:00:00Z".parse().unwrap();
            for transition in calendar.tz.following(from).take(80) {
                let at = transition.timestamp().as_microsecond();
                for minutes in [-1500, -61, -31, -30, -1, 0, 1, 29, 30, 31, 59, 60, 61, 119, 1500] {
                    for bucketer in &mut warm {
                        check(bucketer.bucket, at + minutes * MINUTE, &calendar, bucketer);
                    }
                }
            }
        }
    }

    #[test]
    fn a_repeated_hour_is_two_buckets_and_a_long_day_one() {
        let berlin = calendar("Europe/Berlin");
        let starts = |bucket| {
            let mut bucketer = Bucketer::new(bucket, &berlin);
            let first = parse("2024-10-26T22:00:00Z").unwrap();
            let mut starts: Vec<_> = (0..25).map(|hour| bucketer.start(first + hour * HOUR + 7)).collect();
            starts.dedup();
            starts
        };
        assert_eq!(starts(Bucket::Hour).len(), 25);
        assert_eq!(starts(Bucket::Day), [parse("2024-10-26T22:00:00Z").unwrap()]);
    }

    /// 100,000 cases: 25,000 instants of 1970 to 2100 for each zone, one in four within two days of a change of its
    /// clock, each in one of the buckets and one of the week's starts in turn.
    #[test]
    fn a_hundred_thousand_random_instants_have_the_buckets_of_a_naive_walk() {
        let mut state = 20_261_121_u64;
        let mut random = |below: i64| {
            // splitmix64, Vigna 2015
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % below as u64) as i64
        };
        for name in &ZONES[..4] {
            let mut calendar = calendar(name);
            let changes: Vec<i64> = calendar
                .tz
                .following(timestamp(0))
                .take(200)
                .map(|t| t.timestamp().as_microsecond())
                .collect();
            for case in 0..25_000 {
                let us = match changes.get(random(changes.len() as i64 * 4) as usize) {
                    Some(at) => at - 2 * DAY + random(4 * DAY),
                    None => random(130 * 365 * DAY),
                };
                calendar.week_start = Weekday::from_monday_zero_offset((case / 7 % 7) as i8).unwrap();
                let bucket = Bucket::ALL[case % 7].0;
                let found = Bucketer::new(bucket, &calendar).start(us);
                let say = || format!("{} of {} in {name}", bucket.name(), format_in(us, &calendar.tz));
                assert_eq!(found, naive(bucket, us, &calendar), "{}", say());
            }
        }
    }

    #[test]
    fn names_go_both_ways() {
        for (bucket, name) in Bucket::ALL {
            assert_eq!((bucket.name(), Bucket::from_name(name)), (name, Some(bucket)));
        }
        assert_eq!(Bucket::from_name("Day"), None);
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        for name in ZONES {
            for (bucket, _) in Bucket::ALL {
                let mut bucketer = Bucketer::new(bucket, &calendar(name));
                for us in
                    [i64::MIN, i64::MIN + 1, super::super::MIN, super::super::MAX, i64::MAX - 1, i64::MAX]
                {
                    bucketer.start(us);
                    bucketer.next(us);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn buckets_are_those_of_the_calendar(
            instants in proptest::collection::vec(-2_000_000_000_000_000i64..4_000_000_000_000_000, 1..20),
            name in 0usize..ZONES.len(), bucket in 0usize..7, weekday in 0i8..7,
        ) {
            let bucket = Bucket::ALL[bucket].0;
            let week_start = Weekday::from_monday_zero_offset(weekday).unwrap();
            let calendar = Calendar { week_start, ..calendar(ZONES[name]) };
            let mut warm = Bucketer::new(bucket, &calendar);
            for us in instants {
                check(bucket, us, &calendar, &mut warm);
            }
        }

        #[test]
        fn in_utc_jiff_truncates_alike(us in -60_000_000_000_000_000i64..250_000_000_000_000_000) {
            for (bucket, unit) in [(Bucket::Minute, Unit::Minute), (Bucket::Hour, Unit::Hour), (Bucket::Day, Unit::Day)] {
                let rounded = timestamp(us).to_zoned(TimeZone::UTC).round(
                    jiff::ZonedRound::new().smallest(unit).mode(jiff::RoundMode::Floor),
                );
                let expected = rounded.unwrap().timestamp().as_microsecond();
                prop_assert_eq!(Bucketer::new(bucket, &Calendar::default()).start(us), expected);
            }
        }
    }
}
