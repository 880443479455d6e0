//! When a schedule is due: the five fields of cron (minute, hour, day of the month, month, day of the week) in a time zone, read
//! and answered by pure functions.
//!
//! A field is `*`, a number, a name (`jan`, `mon`), a range `1-5`, each with a step `/2`, or a list of these. Where both days are
//! restricted, either is enough, as cron has it. Where a clock is put forward, a time that it skips is taken as much later; where
//! it is put back, a time that comes twice is taken the first time. Schedules of every hour go by the hours that pass instead.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::error::{Error, Result};
use crate::time::MINUTE;

/// One field: its name, its bounds, and names for its values from the first on.
struct Field {
    what: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { what: "minute", first: 0, last: 59, names: &[] },
    Field { what: "hour", first: 0, last: 23, names: &[] },
    Field { what: "day of the month", first: 1, last: 31, names: &[] },
    Field {
        what: "month",
        first: 1,
        last: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday too
    Field {
        what: "day of the week",
        first: 0,
        last: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Words for whole schedules.
const WORDS: [(&str, &str); 5] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
];

/// Days that are looked at for the next time: the rarest date there is, 29 February, comes twice in nine years at least once.
const DAYS: i32 = 9 * 366;
/// Bits of all hours.
const EVERY_HOUR: u64 = (1 << 24) - 1;

/// A schedule: the values of each field as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either of the two days is enough.
    is_either: bool,
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let fields = WORDS.iter().find(|(word, _)| *word == trimmed).map_or(trimmed, |(_, fields)| fields);
        let parts: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            return Err(Error::invalid(format!(
                "\"{text}\" has {} fields; a schedule has five: minute, hour, day of the month, month, day of the week, as in \
                 \"30 2 * * mon-fri\", or is one of {}",
                parts.len(),
                words.join(", ")
            )));
        };
        let [minutes_of, hours_of, days_of, months_of, weekdays_of] = &FIELDS;
        let mut weekdays = weekdays_of.read(weekday)?;
        weekdays |= weekdays >> 7 & 1;
        let cron = Self {
            minutes: minutes_of.read(minute)?,
            hours: hours_of.read(hour)?,
            days: days_of.read(day)?,
            months: months_of.read(month)?,
            weekdays,
            is_either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        // whether there is such a date does not depend on where
        match cron.next_after(0, &TimeZone::UTC) {
            Some(_) => Ok(cron),
            None => Err(Error::invalid(format!(
                "\"{text}\" is never due: no year has such a date; correct its day of the month or its month"
            ))),
        }
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<u64> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)),
                None => (part, Some(1)),
            };
            let bounds = match range.split_once('-') {
                _ if range == "*" => Some((self.first, self.last)),
                Some((from, to)) => self.value(from).zip(self.value(to)),
                // `5/15` is from 5 on
                None if part.contains('/') => self.value(range).map(|from| (from, self.last)),
                None => self.value(range).map(|value| (value, value)),
            };
            let (Some((from, to)), Some(step)) = (bounds.filter(|(from, to)| from <= to), step) else {
                let names = match self.names {
                    [] => String::new(),
                    [first, .., last] => format!(", or {first} to {last}"),
                    [one] => format!(", or {one}"),
                };
                return Err(Error::invalid(format!(
                    "\"{part}\" is no {}: write * or {} to {}{names}, a range as in {}-{}, a step as in */2",
                    self.what,
                    self.first,
                    self.last,
                    self.first,
                    self.first + 4
                )));
            };
            let step = usize::try_from(step).unwrap_or(usize::MAX);
            bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1_u64 << value);
        }
        Ok(bits)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let folded = text.to_ascii_lowercase();
        let named = self.names.iter().position(|name| *name == folded);
        let named = named.and_then(|place| u32::try_from(place).ok()).map(|place| place + self.first);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| text.parse().ok()).flatten();
        named.or(number).filter(|value| (self.first..=self.last).contains(value))
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits >> value & 1 == 1)
}

impl Cron {
    /// The first time after one (µs) in a zone; `None` where there is none before the end of the calendar.
    pub fn next_after(&self, after_us: i64, zone: &TimeZone) -> Option<i64> {
        let local = zone.to_datetime(Timestamp::from_microsecond(after_us).ok()?);
        // the day before too: a time that is skipped may be taken on the next day
        let mut date = local.date().checked_sub(1.day()).ok()?;
        for _ in 0..DAYS {
            if self.is_day(date) {
                let found = match self.hours == EVERY_HOUR {
                    true => self.next_by_minutes(date, after_us, zone),
                    false => self.next_by_clock(date, after_us, zone),
                };
                if found.is_some() {
                    return found;
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let (day, weekday) =
            (has(self.days, date.day()), has(self.weekdays, date.weekday().to_sunday_zero_offset()));
        has(self.months, date.month()) && if self.is_either { day || weekday } else { day && weekday }
    }

    /// The first time of a day that is later, by what the clock shows.
    fn next_by_clock(&self, date: Date, after_us: i64, zone: &TimeZone) -> Option<i64> {
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        let times = hours.flat_map(|hour| {
            let minutes = (0..60).filter(|minute| has(self.minutes, *minute));
            minutes.map(move |minute| date.at(hour, minute, 0, 0))
        });
        times.filter_map(|time| instant(time, zone)).find(|at_us| *at_us > after_us)
    }

    /// The first minute of a day that is later, by the minutes that pass.
    fn next_by_minutes(&self, date: Date, after_us: i64, zone: &TimeZone) -> Option<i64> {
        let begin =
            instant(date.at(0, 0, 0, 0), zone)?.max(after_us.div_euclid(MINUTE).checked_add(1)? * MINUTE);
        let end = instant(date.checked_add(1.day()).ok()?.at(0, 0, 0, 0), zone)?;
        (begin..end).step_by(MINUTE.unsigned_abs() as usize).find(|at_us| {
            let local = Timestamp::from_microsecond(*at_us).map(|at| zone.to_datetime(at));
            local.is_ok_and(|local| local.date() == date && has(self.minutes, local.minute()))
        })
    }
}

/// When a clock shows a time: the first time where it does so twice, and as much later where it skips it.
fn instant(time: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_zoned(time).compatible().ok()?.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;

    fn us(text: &str) -> i64 {
        time::parse(text).unwrap()
    }

    /// The next times after one, as a zone shows them.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone) = (cron.parse::<Cron>().unwrap(), TimeZone::get(zone).unwrap());
        let mut at = us(after);
        (0..count)
            .map(|_| {
                at = cron.next_after(at, &zone).unwrap();
                let local = Timestamp::from_microsecond(at).unwrap().to_zoned(zone.clone());
                local.strftime("%a %F %R%:z").to_string()
            })
            .collect()
    }

    #[test]
    fn fields_are_read_as_cron_has_them() {
        let next = |cron: &str| times(cron, "UTC", "2026-03-01T00:00:00Z", 2);
        assert_eq!(next("*/20 * * * *"), ["Sun 2026-03-01 00:20+00:00", "Sun 2026-03-01 00:40+00:00"]);
        assert_eq!(next("5,50-52/2 6 * * *"), ["Sun 2026-03-01 06:05+00:00", "Sun 2026-03-01 06:50+00:00"]);
        assert_eq!(next("0 12 * * MON-Fri"), ["Mon 2026-03-02 12:00+00:00", "Tue 2026-03-03 12:00+00:00"]);
        assert_eq!(next("0 0 * * 7"), ["Sun 2026-03-08 00:00+00:00", "Sun 2026-03-15 00:00+00:00"]);
        assert_eq!(next("0 0 13 * fri"), ["Fri 2026-03-06 00:00+00:00", "Fri 2026-03-13 00:00+00:00"]);
        assert_eq!(next("0 0 29 feb *"), ["Tue 2028-02-29 00:00+00:00", "Sun 2032-02-29 00:00+00:00"]);
        assert_eq!(next("30/15 23 31 dec *"), ["Thu 2026-12-31 23:30+00:00", "Thu 2026-12-31 23:45+00:00"]);
        assert_eq!(next("@monthly"), ["Wed 2026-04-01 00:00+00:00", "Fri 2026-05-01 00:00+00:00"]);
        assert_eq!("@daily".parse::<Cron>().unwrap(), "0 0 * * *".parse().unwrap());
        assert_eq!(times("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["Fri 2104-02-29 00:00+00:00"]);
    }

    #[test]
    fn a_time_that_is_skipped_is_taken_later_and_one_that_comes_twice_once() {
        let berlin = |cron: &str, after: &str| times(cron, "Europe/Berlin", after, 3);
        let spring = berlin("30 2 * * *", "2026-03-27T12:00:00Z");
        assert_eq!(
            spring,
            ["Sat 2026-03-28 02:30+01:00", "Sun 2026-03-29 03:30+02:00", "Mon 2026-03-30 02:30+02:00"]
        );
        let autumn = berlin("30 2 * * *", "2026-10-24T12:00:00Z");
        assert_eq!(
            autumn,
            ["Sun 2026-10-25 02:30+02:00", "Mon 2026-10-26 02:30+01:00", "Tue 2026-10-27 02:30+01:00"]
        );
        let hourly = berlin("0 * * * *", "2026-10-24T23:59:00Z");
        assert_eq!(
            hourly,
            ["Sun 2026-10-25 02:00+02:00", "Sun 2026-10-25 02:00+01:00", "Sun 2026-10-25 03:00+01:00"]
        );
        let spring = berlin("15 * * * *", "2026-03-29T00:00:00Z");
        assert_eq!(
            spring,
            ["Sun 2026-03-29 01:15+01:00", "Sun 2026-03-29 03:15+02:00", "Sun 2026-03-29 04:15+02:00"]
        );
        // a day that begins at one o'clock
        let cairo = times("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2);
        assert_eq!(cairo, ["Fri 2026-04-24 01:00+03:00", "Sat 2026-04-25 00:00+03:00"]);
    }

    #[test]
    fn what_is_no_schedule_or_never_due_says_so() {
        for (wrong, word) in [
            ("* * * *", "five"),
            ("@often", "@hourly"),
            ("60 * * * *", "\"60\" is no minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of the month"),
            ("* * * 13 *", "month"),
            ("* * * jam *", "jan to dec"),
            ("* * * * 8", "sun to sat"),
            ("*/0 * * * *", "step"),
            ("5-1 * * * *", "\"5-1\""),
            ("+5 * * * *", "minute"),
            ("1,,2 * * * *", "minute"),
            ("0 0 30 2 *", "never due"),
            ("0 0 31 4,6,9,11 *", "never due"),
        ] {
            let told = wrong.parse::<Cron>().unwrap_err().to_string();
            assert!(told.contains(word), "{wrong}: {told}");
        }
    }

    #[test]
    fn the_next_time_is_after_the_one_before_and_matches() {
        let zone = TimeZone::get("America/St_Johns").unwrap();
        for cron in ["*/7 * * * *", "13 */5 * * *", "0 0 1-7 * mon", "59 23 * 2,3,11 *"] {
            let cron: Cron = cron.parse().unwrap();
            let mut at = us("2026-01-01T00:00:00Z");
            for _ in 0..500 {
                let next = cron.next_after(at, &zone).unwrap();
                let local = zone.to_datetime(Timestamp::from_microsecond(next).unwrap());
                assert!(next > at && local.second() == 0, "{cron:?} {local}");
                at = next;
            }
        }
    }
}
