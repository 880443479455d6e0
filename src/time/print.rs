//! From instants to text: RFC 3339 with `Z`, or with the offset of a zone. Replies, exports and reports call it.

use jiff::tz::TimeZone;

use super::bucket::{is_utc, offset_us_at};
use super::{DAY, HOUR, MINUTE, SECOND, civil_from_days};

/// The longest text: `-290308-12-21T19:59:05.224192+23:59`.
const LENGTH_MAX: usize = 36;

/// An instant in RFC 3339 with `Z`; its fraction, if it has one, in the shorter of 3 and 6 digits. Beyond the years
/// 0000 to 9999, which RFC 3339 cannot say and [`super::parse`] never returns, the year has a sign and six digits.
///
/// ```
/// use windrow::time::format;
/// assert_eq!(format(1_500_000), "1970-01-01T00:00:01.500Z");
/// assert_eq!(format(-1), "1969-12-31T23:59:59.999999Z");
/// assert_eq!(format(253_402_300_800_000_000), "+010000-01-01T00:00:00Z");
/// ```
pub fn format(us: i64) -> String {
    Text::new(us).utc().to_string()
}

/// Appends what [`format()`] returns, without an allocation of its own.
///
/// ```
/// let mut out = b"at ".to_vec();
/// windrow::time::write(0, &mut out);
/// assert_eq!(out, b"at 1970-01-01T00:00:00Z");
/// ```
#[inline]
pub fn write(us: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(Text::new(us).utc().as_bytes());
}

/// An instant as [`format()`] writes it, on the clock of a zone and with its offset: `Z` where the zone is UTC itself.
/// Offsets that are no whole minutes (local mean time, before about 1930) are cut to the minute, and the clock with
/// them, so that the text still means the same instant.
///
/// ```
/// let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
/// assert_eq!(windrow::time::format_in(0, &berlin), "1970-01-01T01:00:00+01:00");
/// ```
pub fn format_in(us: i64, tz: &TimeZone) -> String {
    if is_utc(tz) {
        return format(us);
    }
    let offset = offset_us_at(us, tz) / MINUTE * MINUTE;
    Text::new(us.saturating_add(offset)).offset(offset).to_string()
}

/// A text in the making, on the stack.
struct Text {
    bytes: [u8; LENGTH_MAX],
    length: usize,
}

impl Text {
    /// Date and time of day, without an offset.
    #[inline]
    fn new(local_us: i64) -> Self {
        let mut text = Self { bytes: [0; LENGTH_MAX], length: 0 };
        let (year, month, day) = civil_from_days(local_us.div_euclid(DAY));
        let in_day = local_us.rem_euclid(DAY);
        if !(0..=9999).contains(&year) {
            text.push(if year < 0 { b'-' } else { b'+' });
            text.two(year.unsigned_abs() / 10_000);
        }
        let year_of_myriad = year.unsigned_abs() % 10_000;
        text.two(year_of_myriad / 100);
        text.two(year_of_myriad % 100);
        for (mark, number) in [
            (b'-', month),
            (b'-', day),
            (b'T', in_day / HOUR),
            (b':', in_day / MINUTE % 60),
            (b':', in_day / SECOND % 60),
        ] {
            text.push(mark);
            text.two(number.unsigned_abs());
        }
        text.fraction((in_day % SECOND).unsigned_abs());
        text
    }

    #[inline]
    fn fraction(&mut self, us: u64) {
        if us == 0 {
            return;
        }
        self.push(b'.');
        let milliseconds = us / 1_000;
        self.three(milliseconds);
        if !us.is_multiple_of(1_000) {
            self.three(us % 1_000);
        }
    }

    fn utc(mut self) -> Self {
        self.push(b'Z');
        self
    }

    fn offset(mut self, offset_us: i64) -> Self {
        self.push(if offset_us < 0 { b'-' } else { b'+' });
        let offset = offset_us.unsigned_abs();
        self.two(offset / HOUR.unsigned_abs());
        self.push(b':');
        self.two(offset / MINUTE.unsigned_abs() % 60);
        self
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    #[inline]
    fn two(&mut self, number: u64) {
        self.push(b'0' + (number / 10) as u8);
        self.push(b'0' + (number % 10) as u8);
    }

    #[inline]
    fn three(&mut self, number: u64) {
        self.push(b'0' + (number / 100) as u8);
        self.two(number % 100);
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // only ASCII is ever pushed
        f.write_str(std::str::from_utf8(self.as_bytes()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MAX, MIN, parse};
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn a_fraction_has_no_three_or_six_digits() {
        let texts = [0, 1, 1_000, 120_000, 123_456].map(format);
        let ends = texts.map(|text| text["1970-01-01T00:00:00".len()..].to_owned());
        assert_eq!(ends, ["Z", ".000001Z", ".001Z", ".120Z", ".123456Z"]);
    }

    #[test]
    fn the_ends_of_time_are_written_too() {
        assert_eq!(format(MIN), "0000-01-01T00:00:00Z");
        assert_eq!(format(MAX), "9999-12-31T23:59:59.999999Z");
        assert_eq!(format(MIN - 1), "-000001-12-31T23:59:59.999999Z");
        assert_eq!(format(i64::MAX), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(format(i64::MIN), "-290308-12-21T19:59:05.224192Z");
        let zones = ["Asia/Kathmandu", "America/Sao_Paulo"].map(|name| TimeZone::get(name).unwrap());
        for us in [i64::MIN, MIN - 1, MAX, i64::MAX] {
            assert!(zones.iter().all(|tz| !format_in(us, tz).is_empty()));
        }
    }

    #[test]
    fn a_zone_gives_its_offset_and_only_utc_a_z() {
        let at = |name: &str, text: &str| format_in(parse(text).unwrap(), &TimeZone::get(name).unwrap());
        assert_eq!(at("Europe/Berlin", "2024-07-01T12:00:00.5Z"), "2024-07-01T14:00:00.500+02:00");
        assert_eq!(at("America/St_Johns", "2024-01-01"), "2023-12-31T20:30:00-03:30");
        assert_eq!(at("Europe/London", "2024-01-01"), "2024-01-01T00:00:00+00:00");
        assert_eq!(at("UTC", "2024-01-01"), "2024-01-01T00:00:00Z");
        assert_eq!(at("Etc/UTC", "2024-01-01"), "2024-01-01T00:00:00Z");
        assert_eq!(format_in(0, &TimeZone::UTC), "1970-01-01T00:00:00Z");
        assert_eq!(format_in(0, &TimeZone::fixed(jiff::tz::offset(-5))), "1969-12-31T19:00:00-05:00");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(us in MIN..=MAX) {
            prop_assert_eq!(parse(&format(us)), Some(us));
            let mut out = Vec::new();
            write(us, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format(us));
        }

        #[test]
        fn what_is_written_in_a_zone_is_read_again(us in MIN + DAY..=MAX - DAY, zone in 0usize..5) {
            let names = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"];
            prop_assert_eq!(parse(&format_in(us, &TimeZone::get(names[zone]).unwrap())), Some(us));
        }

        #[test]
        fn jiff_reads_the_same(us in -60_000_000_000_000_000i64..=250_000_000_000_000_000) {
            prop_assert_eq!(format(us).parse::<Timestamp>().unwrap().as_microsecond(), us);
        }

        #[test]
        fn no_instant_is_a_panic(us in any::<i64>()) {
            prop_assert!(format(us).ends_with('Z'));
        }
    }
}
