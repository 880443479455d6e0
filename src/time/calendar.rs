//! The calendar that a question is asked in: a time zone and the first day of its week. It reads what people write of
//! times: a local time, `today`, `last month`, `30d`. Queries, and later reports and schedules, call it.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Span, Timestamp};

use crate::error::{Error, Result, nearest};

use super::bucket::{is_utc, offset_us, timestamp};
use super::{Bucket, Bucketer, SECOND, format_in, parse, parse_duration};

/// A time zone and the first day of its weeks.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Where days begin, and how local times are read and written.
    pub tz: TimeZone,
    /// The day that `week` and "this week" begin with.
    pub week_start: Weekday,
}

impl Default for Calendar {
    fn default() -> Self {
        Self::from(TimeZone::UTC)
    }
}

impl From<TimeZone> for Calendar {
    /// The calendar of a zone, with weeks from Monday on.
    fn from(tz: TimeZone) -> Self {
        Self { tz, week_start: Weekday::Monday }
    }
}

/// The days of a week by name.
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// A half-open span of time that was asked for in words, and how far back the one before it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub from: i64,
    /// The first instant after it.
    pub to: i64,
    /// From here to the same place in the period before.
    pub step: Step,
}

/// A distance on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many µs.
    Exact(i64),
    /// So many dates, whatever the clock does on them.
    Days(i32),
    /// So many months, to the same day or, where the month has none, to its last.
    Months(i32),
}

impl Calendar {
    /// The calendar of a zone and a first day of the week by their names; `None` is UTC, and Monday.
    ///
    /// ```
    /// let calendar = windrow::time::Calendar::named(Some("Asia/Kathmandu"), Some("sunday"))?;
    /// assert_eq!(calendar.read("2026-03-01")?.map(windrow::time::format).as_deref(), Some("2026-02-28T18:15:00Z"));
    /// # Ok::<(), windrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// Names that there are not, with the nearest.
    pub fn named(zone: Option<&str>, week_start: Option<&str>) -> Result<Self> {
        let mut calendar = Self::from(zone.map_or(Ok(TimeZone::UTC), zone_named)?);
        if let Some(day) = week_start {
            calendar.week_start = weekday_named(day)?;
        }
        Ok(calendar)
    }

    /// Reads a time as [`parse`] does, but without an offset it is on the clock of this zone. A date is its first
    /// instant. `None` is a text that is no time.
    ///
    /// # Errors
    /// A time of day that the clock shows twice, or never, because it is changed.
    pub fn read(&self, text: &str) -> Result<Option<i64>> {
        match parse(text) {
            Some(us) if !is_utc(&self.tz) && is_local(text) => {
                self.instant(us, text.len() == "2026-01-31".len()).map(Some)
            }
            read => Ok(read),
        }
    }

    /// The instant of a time on the wall, which is given in µs as if that clock were UTC.
    fn instant(&self, local_us: i64, is_date: bool) -> Result<i64> {
        let local = timestamp(local_us).to_zoned(TimeZone::UTC).datetime();
        let name = || self.tz.iana_name().unwrap_or("this zone").to_owned();
        let at = |offset: Offset| local_us.saturating_sub(offset_us(offset));
        match self.tz.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok(at(offset)),
            AmbiguousOffset::Fold { before, .. } if is_date => Ok(at(before)),
            AmbiguousOffset::Gap { .. } if is_date => {
                Ok(Bucketer::new(Bucket::Day, self).start(self.compatible(local)))
            }
            AmbiguousOffset::Fold { before, after } => Err(Error::invalid(format!(
                "the clock of {} shows {} twice, as it is set back; write \"{}\" for the first time or \"{}\" for the second",
                name(),
                shown(local),
                format_in(at(before), &self.tz),
                format_in(at(after), &self.tz)
            ))),
            AmbiguousOffset::Gap { before, after } => Err(Error::invalid(format!(
                "the clock of {} never shows {}, as it is set forward; write {} or {}",
                name(),
                shown(local),
                shown(timestamp(at(after)).to_zoned(self.tz.clone()).datetime()),
                shown(timestamp(at(before)).to_zoned(self.tz.clone()).datetime())
            ))),
        }
    }

    /// The instant of a time on the wall: of two the first, of none as long after the change as it stands after it.
    fn compatible(&self, local: DateTime) -> i64 {
        let zoned = self.tz.to_ambiguous_zoned(local).compatible();
        zoned.map_or_else(|_| nearest_instant(local), |zoned| zoned.timestamp().as_microsecond())
    }

    /// The span that words mean at an instant: a duration back from it (`30d`), `today` and `this month` up to it,
    /// `yesterday`, `last month` and `last 3 months` as whole units of the calendar before the present one.
    ///
    /// ```
    /// use windrow::time::{Calendar, format, parse};
    /// let now = parse("2026-03-15T10:00:00Z").unwrap();
    /// let month = Calendar::default().period("last month", now)?;
    /// assert_eq!((format(month.from), format(month.to)), ("2026-02-01T00:00:00Z".into(), "2026-03-01T00:00:00Z".into()));
    /// # Ok::<(), windrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// Other words.
    pub fn period(&self, words: &str, now: i64) -> Result<Period> {
        let lower = words.to_lowercase();
        let parts: Vec<&str> = lower.split_whitespace().collect();
        let unit = |name: &str| {
            Bucket::from_name(name).or_else(|| Bucket::from_name(name.strip_suffix('s')?)).ok_or_else(|| {
                let known = Bucket::ALL.iter().map(|(_, name)| *name);
                unknown(words, &nearest(name, known))
            })
        };
        match parts.as_slice() {
            ["today"] => Ok(self.to_date(Bucket::Day, now)),
            ["yesterday"] => self.whole(Bucket::Day, 1, words, now),
            ["this", name] => Ok(self.to_date(unit(name)?, now)),
            ["last" | "previous", name] => self.whole(unit(name)?, 1, words, now),
            ["last" | "previous", count, name] => {
                let count = count.parse().ok().filter(|count| (1..=UNITS_MAX).contains(count));
                let count = count.ok_or_else(|| unknown(words, ""))?;
                self.whole(unit(name)?, count, words, now)
            }
            [duration] => {
                let length = parse_duration(duration)
                    .ok_or_else(|| unknown(words, &nearest(duration, ["today", "yesterday"].into_iter())))?;
                Ok(Period { from: now.saturating_sub(length), to: now, step: Step::Exact(length) })
            }
            _ => Err(unknown(words, "")),
        }
    }

    /// From the start of the present unit to now.
    fn to_date(&self, unit: Bucket, now: i64) -> Period {
        Period { from: self.start(unit, now), to: now, step: step_of(unit, 1) }
    }

    /// So many whole units before the present one.
    fn whole(&self, unit: Bucket, count: i32, words: &str, now: i64) -> Result<Period> {
        let (to, step) = (self.start(unit, now), step_of(unit, count));
        let from = self.back(to, step).map(|from| self.start(unit, from));
        let from = from.ok_or_else(|| Error::invalid(format!("{words:?} reaches back before all time")))?;
        Ok(Period { from, to, step })
    }

    fn start(&self, unit: Bucket, us: i64) -> i64 {
        Bucketer::new(unit, self).start(us)
    }

    /// The instant a step before another, at the same time of day where the step is of days or months; `None` where
    /// the calendar ends.
    pub fn back(&self, us: i64, step: Step) -> Option<i64> {
        let span: Span = match step {
            Step::Exact(length) => return us.checked_sub(length),
            Step::Days(days) => Span::new().try_days(days).ok()?,
            Step::Months(months) => Span::new().try_months(months).ok()?,
        };
        let local = timestamp(us).to_zoned(self.tz.clone()).datetime().checked_sub(span).ok()?;
        Some(self.compatible(local))
    }

    /// As [`Calendar::back`] for the end of a span. Where the month there has no such day, it is the end of that month: at
    /// 31 March 10:00 all of February is over, not all but the evening of its last day.
    pub fn end_back(&self, us: i64, step: Step) -> Option<i64> {
        let back = self.back(us, step)?;
        let day = |us: i64| timestamp(us).to_zoned(self.tz.clone()).day();
        match step {
            Step::Months(_) if day(back) < day(us) => Some(Bucketer::new(Bucket::Month, self).next(back)),
            _ => Some(back),
        }
    }

    /// How far the period before a span lies back: whole months where it begins and ends with a month, whole days
    /// where it begins and ends with a day, else its length.
    pub fn step_between(&self, from: i64, to: i64) -> Step {
        let (first, last) = (self.midnight(from), self.midnight(to));
        let (Some(first), Some(last)) = (first, last) else { return Step::Exact(to.saturating_sub(from)) };
        let months = (i32::from(last.year()) - i32::from(first.year())) * 12 + i32::from(last.month())
            - i32::from(first.month());
        if first.day() == 1 && last.day() == 1 && months > 0 {
            return Step::Months(months);
        }
        first.until(last).map_or(Step::Exact(to.saturating_sub(from)), |span| Step::Days(span.get_days()))
    }

    /// The date that begins at an instant.
    fn midnight(&self, us: i64) -> Option<Date> {
        let begins = self.start(Bucket::Day, us) == us;
        begins.then(|| timestamp(us).to_zoned(self.tz.clone()).date())
    }
}

/// Units that "last N units" may have.
const UNITS_MAX: i32 = 100_000;

fn step_of(unit: Bucket, count: i32) -> Step {
    match unit {
        Bucket::Minute => Step::Exact(i64::from(count) * super::MINUTE),
        Bucket::Hour => Step::Exact(i64::from(count) * super::HOUR),
        Bucket::Day => Step::Days(count),
        Bucket::Week => Step::Days(count * 7),
        Bucket::Month => Step::Months(count),
        Bucket::Quarter => Step::Months(count * 3),
        Bucket::Year => Step::Months(count * 12),
    }
}

fn unknown(words: &str, hint: &str) -> Error {
    Error::invalid(format!(
        "{words:?} is no time span{hint}; write a duration (30s, 5m, 2h, 7d, 4w), today, yesterday, this month, \
        last month or last 3 months, with minute, hour, day, week, month, quarter or year"
    ))
}

/// Whether a text is a time without an offset from UTC, whose instant depends on where the clock hangs.
///
/// ```
/// use windrow::time::is_local;
/// assert!(is_local("2026-03-01") && is_local("2026-03-01 10:00"));
/// assert!(!is_local("2026-03-01T10:00:00Z") && !is_local("soon"));
/// ```
pub fn is_local(text: &str) -> bool {
    // of the forms that are read, those of access logs always have one
    let is_access_log = text.as_bytes().get(2) == Some(&b'/');
    let offsets = |byte: u8| matches!(byte, b'Z' | b'z' | b'+' | b'-');
    parse(text).is_some() && !is_access_log && !text.bytes().skip("2026-01-31".len()).any(offsets)
}

/// A time on the wall, to the minute unless it has more.
fn shown(local: DateTime) -> String {
    let format = if local.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" };
    local.strftime(format).to_string()
}

/// Where jiff's calendar ends.
fn nearest_instant(local: DateTime) -> i64 {
    let end = if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    end.as_microsecond()
}

fn zone_named(name: &str) -> Result<TimeZone> {
    if name == "UTC" || name == "Z" {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = fixed_offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        // many know the city and not the continent
        let city = name.trim().replace(' ', "_");
        let of_city = known.iter().filter(|known| {
            known.rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city))
        });
        let hint = match of_city.min() {
            Some(zone) => format!("; did you mean {zone:?}?"),
            None => nearest(name, known.iter().map(String::as_str)),
        };
        Error::invalid(format!(
            "there is no time zone {name:?}{hint}; write a name such as \"Europe/Berlin\" or an offset such as \"+05:30\""
        ))
    })
}

/// `+05:30`: an offset that is always the same.
fn fixed_offset(text: &str) -> Option<Offset> {
    let probe = format!("2000-01-01T00:00:00{text}");
    let is_offset = matches!(text.as_bytes(), [b'+' | b'-', _, _, b':', _, _]);
    let us = parse(&probe).filter(|_| is_offset)?;
    let seconds = (parse("2000-01-01")? - us) / SECOND;
    Offset::from_seconds(i32::try_from(seconds).ok()?).ok()
}

fn weekday_named(name: &str) -> Result<Weekday> {
    let lower = name.to_lowercase();
    let found = WEEKDAYS.iter().find(|(day, _)| *day == lower).map(|(_, day)| *day);
    found.ok_or_else(|| {
        let hint = nearest(&lower, WEEKDAYS.iter().map(|(day, _)| *day));
        Error::invalid(format!("{name:?} is no day of the week{hint}; write monday, sunday or another"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::format;
    use super::*;
    use jiff::Zoned;
    use proptest::prelude::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::named(Some(zone), None).unwrap()
    }

    fn read(zone: &str, text: &str) -> Result<String, String> {
        let read = calendar(zone).read(text).map_err(|error| error.to_string())?;
        Ok(read.map_or_else(|| "none".to_owned(), format))
    }

    #[test]
    fn a_time_without_an_offset_is_on_the_clock_of_the_zone() {
        for (zone, text, wanted) in [
            ("Europe/Berlin", "2026-03-01", "2026-02-28T23:00:00Z"),
            ("Europe/Berlin", "2026-07-01 10:30", "2026-07-01T08:30:00Z"),
            ("Europe/Berlin", "2026-07-01T10:30:00Z", "2026-07-01T10:30:00Z"),
            ("Europe/Berlin", "2026-07-01T10:30:00+05:00", "2026-07-01T05:30:00Z"),
            ("Europe/Berlin", "01/Jul/2026:10:30:00 +0000", "2026-07-01T10:30:00Z"),
            ("Asia/Kathmandu", "2026-03-01T00:00:00.25", "2026-02-28T18:15:00.250Z"),
            ("+05:30", "2026-03-01", "2026-02-28T18:30:00Z"),
            ("-03:00", "2026-03-01", "2026-03-01T03:00:00Z"),
            ("UTC", "2026-03-01", "2026-03-01T00:00:00Z"),
            ("UTC", "soon", "none"),
            ("Europe/Berlin", "soon", "none"),
        ] {
            assert_eq!(read(zone, text).as_deref(), Ok(wanted), "{text} in {zone}");
        }
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_or_never_is_refused_with_the_ways_out() {
        let twice = read("Europe/Berlin", "2026-10-25 02:30").unwrap_err();
        for word in ["twice", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"] {
            assert!(twice.contains(word), "{twice}");
        }
        let never = read("Europe/Berlin", "2026-03-29T02:30:00").unwrap_err();
        for word in ["never", "2026-03-29 01:30", "2026-03-29 03:30"] {
            assert!(never.contains(word), "{never}");
        }
        // half an hour, on an island
        assert!(read("Australia/Lord_Howe", "2026-04-05 01:45").unwrap_err().contains("twice"));
        assert_eq!(read("Australia/Lord_Howe", "2026-04-05 02:00").as_deref(), Ok("2026-04-04T15:30:00Z"));
    }

    #[test]
    fn a_date_is_its_first_instant_even_if_it_has_no_midnight_or_two() {
        // clocks went from 2018-11-03 24:00 to 01:00
        assert_eq!(read("America/Sao_Paulo", "2018-11-04").as_deref(), Ok("2018-11-04T03:00:00Z"));
        // and from 2026-11-01 01:00 back to 00:00
        assert_eq!(read("America/Havana", "2026-11-01").as_deref(), Ok("2026-11-01T04:00:00Z"));
        // a date that an island left out
        assert_eq!(read("Pacific/Apia", "2011-12-30").as_deref(), Ok("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn names_that_are_none_are_refused_with_the_nearest() {
        let refused = |zone, day| Calendar::named(zone, day).unwrap_err().to_string();
        assert!(refused(Some("Europe/Berln"), None).contains("did you mean \"Europe/Berlin\""));
        assert!(refused(Some("berlin"), None).contains("did you mean \"Europe/Berlin\"?;"));
        assert!(refused(Some("New York"), None).contains("did you mean \"America/New_York\"?;"));
        assert!(refused(Some("+5:30"), None).contains("+05:30"));
        assert!(refused(None, Some("sonday")).contains("did you mean \"sunday\""));
        assert_eq!(Calendar::named(None, Some("Sunday")).unwrap().week_start, Weekday::Sunday);
    }

    /// Wednesday 2026-04-01 in Berlin, three days after the clock went forward.
    const NOW: &str = "2026-04-01T15:20:30+02:00";

    #[test]
    fn words_are_spans_of_the_calendar() {
        let now = parse(NOW).unwrap();
        let berlin = calendar("Europe/Berlin");
        let sundays = Calendar { week_start: Weekday::Sunday, ..berlin.clone() };
        let shown = |calendar: &Calendar, words: &str| {
            let period = calendar.period(words, now).unwrap();
            let at = |us| format_in(us, &calendar.tz).replace(":00+0", "+0");
            format!("{} {} {:?}", at(period.from), at(period.to), period.step)
        };
        let end = "2026-04-01T15:20:30+02:00";
        for (words, wanted) in [
            ("30s", format!("2026-04-01T15:20+02:00 {end} Exact(30000000)")),
            ("7d", format!("2026-03-25T14:20:30+01:00 {end} Exact(604800000000)")),
            ("today", format!("2026-04-01T00:00+02:00 {end} Days(1)")),
            ("Today", format!("2026-04-01T00:00+02:00 {end} Days(1)")),
            ("yesterday", "2026-03-31T00:00+02:00 2026-04-01T00:00+02:00 Days(1)".into()),
            ("this hour", format!("2026-04-01T15:00+02:00 {end} Exact(3600000000)")),
            ("this week", format!("2026-03-30T00:00+02:00 {end} Days(7)")),
            ("last week", "2026-03-23T00:00+01:00 2026-03-30T00:00+02:00 Days(7)".into()),
            ("this month", format!("2026-04-01T00:00+02:00 {end} Months(1)")),
            ("last month", "2026-03-01T00:00+01:00 2026-04-01T00:00+02:00 Months(1)".into()),
            ("previous month", "2026-03-01T00:00+01:00 2026-04-01T00:00+02:00 Months(1)".into()),
            ("last 3 months", "2026-01-01T00:00+01:00 2026-04-01T00:00+02:00 Months(3)".into()),
            ("last 2 days", "2026-03-30T00:00+02:00 2026-04-01T00:00+02:00 Days(2)".into()),
            ("last quarter", "2026-01-01T00:00+01:00 2026-04-01T00:00+02:00 Months(3)".into()),
            ("this year", format!("2026-01-01T00:00+01:00 {end} Months(12)")),
        ] {
            assert_eq!(shown(&berlin, words), wanted, "{words}");
        }
        assert_eq!(shown(&sundays, "this week"), format!("2026-03-29T00:00+01:00 {end} Days(7)"));
        for (words, hint) in [
            ("tody", "did you mean \"today\""),
            ("this wek", "did you mean \"week\""),
            ("7 days", "write a duration"),
            ("last 0 days", "write a duration"),
            ("last 999999999 years", "write a duration"),
            ("", "write a duration"),
            ("last 90000 years", "before all time"),
        ] {
            let refused = berlin.period(words, now).unwrap_err().to_string();
            assert!(refused.contains(hint), "{words}: {refused}");
        }
    }

    #[test]
    fn the_period_before_is_told_in_the_units_of_the_range() {
        let berlin = calendar("Europe/Berlin");
        let step = |from: &str, to: &str| {
            let at = |text| berlin.read(text).unwrap().unwrap();
            berlin.step_between(at(from), at(to))
        };
        assert_eq!(step("2026-03-01", "2026-04-01"), Step::Months(1));
        assert_eq!(step("2025-12-01", "2026-03-01"), Step::Months(3));
        assert_eq!(step("2026-03-28", "2026-03-30"), Step::Days(2));
        assert_eq!(step("2026-03-29", "2026-03-29 12:00"), Step::Exact(11 * super::super::HOUR));
        // a day of 23 hours is compared with one of 24, from midnight to midnight
        let back = |text| format(berlin.back(berlin.read(text).unwrap().unwrap(), Step::Days(1)).unwrap());
        assert_eq!(
            (back("2026-03-29"), back("2026-03-30")),
            ("2026-03-27T23:00:00Z".into(), "2026-03-28T23:00:00Z".into())
        );
        // the 31st has no counterpart in February but its last day
        let end = berlin.read("2026-03-31 10:00").unwrap().unwrap();
        assert_eq!(berlin.back(end, Step::Months(1)).map(format).as_deref(), Some("2026-02-28T09:00:00Z"));
        // so a span up to it is laid beside the whole of February, one up to the 28th beside a part of it
        let end_back = |text| {
            let end = berlin.read(text).unwrap().unwrap();
            format(berlin.end_back(end, Step::Months(1)).unwrap())
        };
        assert_eq!(end_back("2026-03-31 10:00"), "2026-02-28T23:00:00Z");
        assert_eq!(end_back("2026-03-28 10:00"), "2026-02-28T09:00:00Z");
        assert_eq!(end_back("2026-04-01"), "2026-02-28T23:00:00Z");
    }

    proptest! {
        /// What is written with an offset is read back from the clock of the zone, unless the clock shows it twice.
        #[test]
        fn local_times_are_read_as_they_are_shown(us in 0i64..4_000_000_000_000_000, zone in 0usize..4) {
            let name = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"][zone];
            let calendar = calendar(name);
            let zoned: Zoned = timestamp(us).to_zoned(calendar.tz.clone());
            let local = zoned.datetime().to_string();
            match calendar.tz.to_ambiguous_timestamp(zoned.datetime()).is_ambiguous() {
                true => prop_assert!(calendar.read(&local).is_err()),
                false => prop_assert_eq!(calendar.read(&local).unwrap(), Some(us)),
            }
        }

        #[test]
        fn no_instant_and_no_step_is_a_panic(us: i64, count in 1i32..=UNITS_MAX, unit in 0usize..7) {
            let calendar = calendar("Europe/Berlin");
            let (unit, name) = Bucket::ALL[unit];
            calendar.back(us, step_of(unit, count));
            calendar.end_back(us, step_of(unit, count));
            calendar.step_between(us.min(us / 2), us.max(us / 2));
            let _ = calendar.period(&format!("last {count} {name}s"), us);
            let _ = calendar.period(&format!("this {name}"), us);
        }
    }
}
