//! Instants: µs since 1970 UTC in an `i64`, everywhere. Reading them, writing them, cutting them into buckets.
//!
//! Ingest calls [`parse`] for every text that may be a time, so it does its own arithmetic; zones and their rules
//! come from jiff, which is also the oracle of the tests. The calendar is the proleptic Gregorian one, without leap
//! seconds.

use std::time::{SystemTime, UNIX_EPOCH};

mod bucket;
mod calendar;
mod field_name;
mod print;
mod read;

pub use bucket::{Bucket, Bucketer};
pub use calendar::{Calendar, Period, Step, is_local};
pub use field_name::{TimeName, time_name};
pub use print::{format, format_in, write};
pub use read::{from_integer, from_number, parse, parse_duration};

/// µs in a second.
pub const SECOND: i64 = 1_000_000;
/// µs in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// µs in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// µs in a day of 24 hours.
pub const DAY: i64 = 24 * HOUR;

/// The first instant that [`parse`] returns: 0000-01-01T00:00:00Z.
pub const MIN: i64 = -719_528 * DAY;
/// The last instant that [`parse`] returns: 9999-12-31T23:59:59.999999Z.
pub const MAX: i64 = 2_932_897 * DAY - 1;

/// The present by the system clock, in µs since 1970 UTC.
pub fn now() -> i64 {
    let microseconds = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => microseconds(since),
        // a clock that stands before 1970 is wrong, and no reason to stop
        Err(before) => -microseconds(before.duration()),
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; the month is 1 to 12.
///
/// ```
/// assert_eq!(windrow::time::days_from_civil(2000, 3, 1), 11_017);
/// ```
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // A year that begins in March has its leap day last; 400 such years are an era of 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month (1 to 12) and day of the date that is so many days after 1970-01-01.
///
/// ```
/// assert_eq!(windrow::time::civil_from_days(-1), (1969, 12, 31));
/// ```
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_dates_and_days_agree_both_ways() {
        let mut expected = (0, 1, 1);
        for days in MIN / DAY..=MAX.div_euclid(DAY) {
            assert_eq!(civil_from_days(days), expected);
            assert_eq!(days_from_civil(expected.0, expected.1, expected.2), days);
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn the_clock_stands_in_this_century() {
        assert!(from_integer(now()).is_some());
    }
}
