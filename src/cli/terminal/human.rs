//! Numbers as people read them: `--human` of tables and charts, and sizes in the messages of verbs. Three digits that
//! count, and the unit beside them.

/// Numbers below are written whole: years, ports and small counts lose nothing.
const WHOLE_BELOW: u64 = 10_000;
/// The ends of the units of 1,000.
const THOUSANDS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
/// The units of 1,024.
const BYTES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A whole number: `9999`, `12.3k`, `1.2M`.
///
/// ```
/// use windrow::cli::terminal::human::whole;
/// assert_eq!([2_026, 12_345, -1_200_000].map(whole), ["2026", "12.3k", "-1.2M"]);
/// ```
pub fn whole(number: i64) -> String {
    if number.unsigned_abs() < WHOLE_BELOW { number.to_string() } else { shortened(number as f64) }
}

/// A number with a fraction: `0.333`, `12.5`, `1234`, `12.3k`, `1.2e-7`.
pub fn fraction(number: f64) -> String {
    match number.abs() {
        size if size >= WHOLE_BELOW as f64 => shortened(number),
        size if size >= 999.5 => format!("{number:.0}"),
        _ => digits(number, 3),
    }
}

/// A number with at most so many digits that count, without zeros at its end.
///
/// ```
/// use windrow::cli::terminal::human::digits;
/// assert_eq!([1.0 / 3.0, 12.5, 0.00001234].map(|number| digits(number, 3)), ["0.333", "12.5", "1.23e-5"]);
/// ```
pub fn digits(number: f64, count: usize) -> String {
    let size = number.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{number:.*e}", count.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let places = i32::try_from(count).unwrap_or(i32::MAX).saturating_sub(1).saturating_sub(exponent);
    match exponent {
        -4..=15 => without_zeros(&format!("{number:.*}", usize::try_from(places).unwrap_or(0))).to_owned(),
        _ => format!("{}e{exponent}", without_zeros(mantissa)),
    }
}

/// Bytes in units of 1,024: `234 B`, `1.5 KiB`.
///
/// ```
/// assert_eq!(windrow::cli::terminal::human::bytes(1_536.0), "1.5 KiB");
/// ```
pub fn bytes(number: f64) -> String {
    let (mut left, mut unit) = (number, 0);
    // what would be rounded up to 1024.0 is one of the next unit
    while left.abs() >= if unit == 0 { 1_024.0 } else { 1_023.95 } && unit + 1 < BYTES.len() {
        left /= 1_024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{} B", digits(left, 4)),
        _ => format!("{left:.1} {}", BYTES[unit]),
    }
}

/// A span of time, in µs: `250 µs`, `12.5 ms`, `1.5 s`, `1m 30s`, `2h 5m`, `3d 4h`.
///
/// ```
/// use windrow::cli::terminal::human::span;
/// assert_eq!([12_500.0, 90e6, 7_500e6].map(span), ["12.5 ms", "1m 30s", "2h 5m"]);
/// ```
pub fn span(us: f64) -> String {
    let size = us.abs();
    let sign = if us < 0.0 { "-" } else { "" };
    let two = |large: f64, small: f64, names: (&str, &str)| {
        let count = (size / 1e6 / small).round();
        let (first, rest) = ((count * small / large).floor(), count % (large / small));
        format!("{sign}{first}{} {rest}{}", names.0, names.1)
    };
    match size {
        _ if size < 999.5 => format!("{} µs", digits(us, 3)),
        _ if size < 999.5e3 => format!("{} ms", digits(us / 1e3, 3)),
        _ if size < 59.95e6 => format!("{} s", digits(us / 1e6, 3)),
        _ if size < 3_599.5e6 => two(60.0, 1.0, ("m", "s")),
        _ if size < 86_370e6 => two(3_600.0, 60.0, ("h", "m")),
        _ if size < 1e6 * 86_400.0 * 1e4 => two(86_400.0, 3_600.0, ("d", "h")),
        _ => format!("{} d", fraction(us / 86_400e6)),
    }
}

fn shortened(number: f64) -> String {
    // rounded first: 999,950 is 1M and not 1000k
    let rounded: f64 = format!("{number:.2e}").parse().unwrap_or(number);
    let unit =
        (0..THOUSANDS.len()).rev().find(|unit| rounded.abs() >= 1_000f64.powi(*unit as i32)).unwrap_or(0);
    if rounded.abs() >= 1e21 {
        return digits(number, 3);
    }
    format!("{}{}", digits(rounded / 1_000f64.powi(unit as i32), 3), THOUSANDS[unit])
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (number, text) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10k"),
            (12_345, "12.3k"),
            (999_949, "1M"),
            (999_499, "999k"),
            (1_234_567, "1.23M"),
            (-45_000_000_000, "-45G"),
            (i64::MAX, "9.22E"),
            (i64::MIN, "-9.22E"),
        ] {
            assert_eq!(whole(number), text);
        }
        for (number, text) in [
            (0.0, "0"),
            (25.0, "25"),
            (99.96, "100"),
            (999.7, "1000"),
            (1_234.56, "1235"),
            (0.000_123_4, "0.000123"),
            (-0.000_012_34, "-1.23e-5"),
            (1e300, "1e300"),
            (f64::MAX, "1.8e308"),
            (5e-324, "4.94e-324"),
        ] {
            assert_eq!(fraction(number), text);
        }
    }

    #[test]
    fn sizes_and_spans_have_their_units() {
        for (number, text) in [
            (0.0, "0 B"),
            (1_023.0, "1023 B"),
            (1_024.0, "1.0 KiB"),
            (1_048_570.0, "1.0 MiB"),
            (-2_048.0, "-2.0 KiB"),
            (1e24, "867361.7 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (us, text) in [
            (0.0, "0 µs"),
            (0.25, "0.25 µs"),
            (999.7, "1 ms"),
            (1_500_000.0, "1.5 s"),
            (59.97e6, "1m 0s"),
            (3_599.7e6, "1h 0m"),
            (86_399e6, "1d 0h"),
            (273_600e6, "3d 4h"),
            (-90e6, "-1m 30s"),
            (86.4e15, "1M d"),
        ] {
            assert_eq!(span(us), text);
        }
    }
}
