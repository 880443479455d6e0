//! From text and numbers to instants. Ingest calls this for every value that may be a time, millions a second, so
//! the digits are read by hand, nothing is allocated, and a text of another shape is given up after two bytes.

use super::{DAY, HOUR, MAX, MIN, MINUTE, SECOND, days_from_civil};

/// Reads a time as µs since 1970 UTC; `None` for every other text, with spaces around it too. The forms:
///
/// - RFC 3339: `2024-05-17T10:05:03.25+02:00`, with `T`, `t` or a space, `Z` or `z`, and 1 to 9 digits of fraction,
///   of which those beyond µs are dropped;
/// - the same without an offset, which means UTC, the seconds optional: `2024-05-17 10:05`;
/// - a date, which means its midnight UTC: `2024-05-17`;
/// - the form of access logs: `17/May/2015:10:05:03 +0000`.
///
/// Years are 0000 to 9999, in UTC too, so that what was read can be written and read again. A second 60 is read as
/// the last µs of its minute: a leap second stays in its minute, day and year.
///
/// ```
/// use windrow::time::parse;
/// assert_eq!(parse("1970-01-02"), Some(86_400_000_000));
/// assert_eq!(parse("1970-01-01T01:00:00.5+01:00"), Some(500_000));
/// assert_eq!(parse("17/May/2015:10:05:03 +0000"), parse("2015-05-17T10:05:03Z"));
/// assert_eq!(parse("10:05:03"), None);
/// ```
#[inline]
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, rest) = bytes.split_first_chunk::<10>()?;
    if head[4] == b'-' && head[7] == b'-' {
        parse_iso(head, rest)
    } else if head[2] == b'/' && head[6] == b'/' {
        parse_access_log(bytes.try_into().ok()?)
    } else {
        None
    }
}

fn parse_iso(head: &[u8; 10], rest: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, _, m1, m2, _, d1, d2] = *head;
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let midnight = midnight(year, two_digits(m1, m2)?, two_digits(d1, d2)?)?;
    let Some((time, rest)) = rest.split_first_chunk::<6>() else {
        return rest.is_empty().then_some(midnight);
    };
    let [b'T' | b't' | b' ', h1, h2, b':', n1, n2] = *time else { return None };
    let (hour, minute) = (two_digits(h1, h2)?, two_digits(n1, n2)?);
    let Some((seconds, rest)) = rest.split_first_chunk::<3>() else {
        return rest.is_empty().then_some(midnight + time_of_day(hour, minute, 0, 0)?);
    };
    let [b':', s1, s2] = *seconds else { return None };
    let second = two_digits(s1, s2)?;
    let (fraction, rest) = match rest {
        [b'.', digits @ ..] => fraction(digits)?,
        _ => (0, rest),
    };
    let local = midnight + time_of_day(hour, minute, second, fraction)?;
    let offset = match *rest {
        [] | [b'Z' | b'z'] => 0,
        [sign, h1, h2, b':', m1, m2] => offset(sign, two_digits(h1, h2)?, two_digits(m1, m2)?)?,
        _ => return None,
    };
    in_range(local - offset)
}

/// `17/May/2015:10:05:03 +0000`
fn parse_access_log(bytes: &[u8; 26]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let two = |at: usize| two_digits(bytes[at], bytes[at + 1]);
    if [2, 6, 11, 14, 17, 20].map(|at| bytes[at]) != *b"//::: " {
        return None;
    }
    let year = two(7)? * 100 + two(9)?;
    let month = MONTHS.iter().position(|name| *name == &bytes[3..6])? as i64 + 1;
    let local = midnight(year, month, two(0)?)? + time_of_day(two(12)?, two(15)?, two(18)?, 0)?;
    in_range(local - offset(bytes[21], two(22)?, two(24)?)?)
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// 1 to 9 digits after the point, as µs, and what follows them.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let (digits, rest) = bytes.split_at(length);
    let six = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
    Some((six.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), rest))
}

#[inline]
fn midnight(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    (1..=length).contains(&day).then(|| days_from_civil(year, month, day) * DAY)
}

#[inline]
fn time_of_day(hour: i64, minute: i64, second: i64, fraction_us: i64) -> Option<i64> {
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let in_minute = (second * SECOND + fraction_us).min(MINUTE - 1);
    Some(hour * HOUR + minute * MINUTE + in_minute)
}

#[inline]
fn offset(sign: u8, hours: i64, minutes: i64) -> Option<i64> {
    if hours > 23 || minutes > 59 {
        return None;
    }
    match sign {
        b'+' => Some(hours * HOUR + minutes * MINUTE),
        b'-' => Some(-(hours * HOUR + minutes * MINUTE)),
        _ => None,
    }
}

#[inline]
fn in_range(us: i64) -> Option<i64> {
    (MIN..=MAX).contains(&us).then_some(us)
}

/// 1990-01-01 in seconds since 1970.
const NUMBERS_FROM_S: i64 = 631_152_000;
/// 2100-01-01 in seconds since 1970, the first that is too late.
const NUMBERS_TO_S: i64 = 4_102_444_800;

/// Reads a whole number as a time if it lies from 1990-01-01 to before 2100-01-01 in one of four units:
///
/// | unit | from | to before |
/// |---|---|---|
/// | s | 631,152,000 | 4,102,444,800 |
/// | ms | 631,152,000,000 | 4,102,444,800,000 |
/// | µs | 631,152,000,000,000 | 4,102,444,800,000,000 |
/// | ns | 631,152,000,000,000,000 | 4,102,444,800,000,000,000 |
///
/// The ranges have nothing in common, so the unit is never in doubt. What is below a µs is dropped.
///
/// ```
/// use windrow::time::from_integer;
/// assert_eq!(from_integer(1_700_000_000), Some(1_700_000_000_000_000));
/// assert_eq!(from_integer(1_700_000_000_123), Some(1_700_000_000_123_000));
/// assert_eq!(from_integer(42), None);
/// ```
#[inline]
pub fn from_integer(n: i64) -> Option<i64> {
    let within = |unit: i64| (NUMBERS_FROM_S * unit..NUMBERS_TO_S * unit).contains(&n);
    if within(1) {
        Some(n * 1_000_000)
    } else if within(1_000) {
        Some(n * 1_000)
    } else if within(1_000_000) {
        Some(n)
    } else if within(1_000_000_000) {
        Some(n / 1_000)
    } else {
        None
    }
}

/// Reads a number as a time by the ranges of [`from_integer`]; a fraction is rounded to the nearest µs, because most
/// decimal fractions have no exact float.
///
/// ```
/// assert_eq!(windrow::time::from_number(1_700_000_000.123), Some(1_700_000_000_123_000));
/// assert_eq!(windrow::time::from_number(13.5), None);
/// ```
#[inline]
pub fn from_number(n: f64) -> Option<i64> {
    // NaN, infinities and what is beyond 64 bits become integers outside of every range
    let whole = n as i64;
    let start = from_integer(whole)?;
    // ns need no fraction: a float that large has none
    let us_in_one = if whole < NUMBERS_TO_S {
        1e6
    } else if whole < NUMBERS_TO_S * 1_000 {
        1e3
    } else {
        1.0
    };
    Some(start + (n.fract() * us_in_one).round() as i64)
}

/// Reads a duration, a whole number with one unit of `s m h d w`, as µs.
///
/// ```
/// assert_eq!(windrow::time::parse_duration("2h"), Some(7_200_000_000));
/// assert_eq!(windrow::time::parse_duration("1.5h"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<i64> {
    let (&unit, digits) = text.as_bytes().split_last()?;
    let unit_us = match unit {
        b's' => SECOND,
        b'm' => MINUTE,
        b'h' => HOUR,
        b'd' => DAY,
        b'w' => 7 * DAY,
        _ => return None,
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    number.checked_mul(unit_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn by_jiff(text: &str) -> Option<i64> {
        let timestamp: Timestamp = text.parse().ok()?;
        Some(timestamp.as_nanosecond().div_euclid(1_000) as i64)
    }

    #[test]
    fn every_form_is_read() {
        let expected = by_jiff("2024-02-29T10:05:03.25Z");
        for text in [
            "2024-02-29T10:05:03.25Z",
            "2024-02-29t10:05:03.250z",
            "2024-02-29 10:05:03.250000Z",
            "2024-02-29T10:05:03.250000999",
            "2024-02-29 10:05:03.25",
            "2024-02-29T11:05:03.25+01:00",
            "2024-02-28T22:05:03.250000999-12:00",
            "2024-03-01 10:04:03.25+23:59",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("2024-02-29"), by_jiff("2024-02-29T00:00:00Z"));
        assert_eq!(parse("2024-02-29T10:05"), by_jiff("2024-02-29T10:05:00Z"));
        assert_eq!(parse("2024-02-29 10:05"), by_jiff("2024-02-29T10:05:00Z"));
        assert_eq!(parse("2024-02-29 10:05:03"), by_jiff("2024-02-29T10:05:03Z"));
        assert_eq!(parse("29/Feb/2024:10:05:03 -0330"), by_jiff("2024-02-29T10:05:03-03:30"));
        assert_eq!(parse("0000-01-01"), Some(MIN));
        assert_eq!(parse("9999-12-31T23:59:59.999999999Z"), Some(MAX));
        assert_eq!(parse("1969-12-31T23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn a_leap_second_is_the_end_of_its_minute() {
        let end = by_jiff("2016-12-31T23:59:59.999999Z");
        assert_eq!(parse("2016-12-31T23:59:60Z"), end);
        assert_eq!(parse("2016-12-31T23:59:60.5Z"), end);
        assert_eq!(parse("2017-01-01T00:59:60+01:00"), end);
    }

    #[test]
    fn everything_else_is_no_time() {
        for text in [
            "",
            "now",
            "2024",
            "2024-02",
            "10:05:03",
            "2024-2-29",
            "2024-02-29 ",
            " 2024-02-29",
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "2024-00-01",
            "2024-13-01",
            "2024-01-00",
            "2024-04-31",
            "2024-02-29T",
            "2024-02-29T10",
            "2024-02-29T10:05Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T10:60:00Z",
            "2024-02-29T10:05:61Z",
            "2024-02-29T10:05:03.Z",
            "2024-02-29T10:05:03.1234567890Z",
            "2024-02-29T10:05:03,5Z",
            "2024-02-29T10:05:03 Z",
            "2024-02-29T10:05:03Z ",
            "2024-02-29T10:05:03+24:00",
            "2024-02-29T10:05:03+01:60",
            "2024-02-29T10:05:03+0100",
            "2024-02-29T10:05:03+01",
            "2024-02-29T10:05:03+01:00[Europe/Berlin]",
            "2024-02-29_10:05:03Z",
            "+2024-02-29T10:05:03Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "29/feb/2024:10:05:03 +0000",
            "29/Feb/2024:10:05:03",
            "[29/Feb/2024:10:05:03 +0000]",
            "29/Feb/2023:10:05:03 +0000",
            "٢٠٢٤-٠٢-٢٩",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_times_within_their_bounds_only() {
        let (from, to) = (parse("1990-01-01").unwrap(), parse("2100-01-01").unwrap());
        for unit in [1, 1_000, 1_000_000, 1_000_000_000] {
            assert_eq!(from_integer(from / SECOND * unit), Some(from));
            assert_eq!(from_integer(from / SECOND * unit - 1), None);
            assert_eq!(from_integer(to / SECOND * unit), None);
            assert!(from_integer(to / SECOND * unit - 1).unwrap() < to);
        }
        for n in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.7e9, 23.0, 1e300] {
            assert_eq!(from_number(n), None);
        }
        assert_eq!(from_number(1_700_000_000_123.5), Some(1_700_000_000_123_500));
        assert_eq!(from_number(1.7e18), Some(1_700_000_000_000_000));
        assert_eq!([from_integer(i64::MIN), from_integer(i64::MAX), from_integer(0)], [None; 3]);
    }

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let read: Vec<_> =
            ["30s", "5m", "2h", "7d", "4w", "0s"].map(parse_duration).into_iter().flatten().collect();
        assert_eq!(read, [30 * SECOND, 5 * MINUTE, 2 * HOUR, 7 * DAY, 28 * DAY, 0]);
        for text in [
            "",
            "s",
            "5",
            "5 m",
            " 5m",
            "-5m",
            "+5m",
            "5ms",
            "1h30m",
            "5M",
            "99999999999999999999s",
            "9223372036855s",
            "5µ",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn rfc_3339_is_read_as_jiff_reads_it(
            year in 1u32..9999, month in 0u32..14, day in 0u32..33, hour in 0u32..25, minute in 0u32..61,
            second in 0u32..60, fraction in proptest::option::of("[0-9]{1,9}"), separator in "[Tt ]",
            offset in "[Zz]|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]",
        ) {
            let fraction = fraction.map_or(String::new(), |digits| format!(".{digits}"));
            let text = format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
            prop_assert_eq!(parse(&text), by_jiff(&text), "{}", text);
        }

        #[test]
        fn access_log_times_are_read_as_jiff_reads_them(us in MIN / 2..MAX / 2, offset_minutes in -1439i32..1440) {
            let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
            let zoned = Timestamp::from_second(us.div_euclid(SECOND)).unwrap().to_zoned(offset.to_time_zone());
            prop_assert_eq!(
                parse(&zoned.strftime("%d/%b/%Y:%H:%M:%S %z").to_string()),
                Some(us.div_euclid(SECOND) * SECOND)
            );
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC*", time_like in "[0-9TZ:+./ Mayé-]{0,30}") {
            let _ = (parse(&text), parse_duration(&text), parse_duration(&time_like));
            if let Some(us) = parse(&time_like) {
                prop_assert!((MIN..=MAX).contains(&us));
            }
        }

        #[test]
        fn fractions_of_seconds_and_milliseconds_are_kept_to_the_microsecond(us in 631_152_000_000_000i64..4_102_444_800_000_000) {
            prop_assert_eq!(from_number(us as f64), Some(us));
            prop_assert!((from_number(us as f64 / 1e6).unwrap() - us).abs() <= 1);
            prop_assert_eq!(from_number(us as f64 / 1e3), Some(us));
            prop_assert_eq!(from_integer(us * 1_000 + 999), Some(us));
        }
    }
}
