//! Numbers and days as people read them on the page.

use jiff::tz::TimeZone;

use crate::time;
use crate::value::grouped;

/// A round number in few letters, as at an axis: `250`, `2.5k`, `10M`. What a letter leaves out is cut.
pub fn short(number: u64) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let Some((unit, letter)) = units.into_iter().find(|(unit, _)| number >= *unit) else {
        return number.to_string();
    };
    match number % unit * 100 / unit {
        0 => format!("{}{letter}", number / unit),
        part if part % 10 == 0 => format!("{}.{}{letter}", number / unit, part / 10),
        part => format!("{}.{part:02}{letter}", number / unit),
    }
}

/// How a number has changed, as `+12.5 %`; `None` where there was nothing before.
pub fn change(now: u64, before: u64) -> Option<String> {
    if before == 0 {
        return None;
    }
    let (now, before) = (i128::from(now), i128::from(before));
    let doubled = (now - before) * 2_000;
    // rounded half away from zero
    let per_mille = (doubled + doubled.signum() * before) / (2 * before);
    let sign = match per_mille.signum() {
        1 => "+",
        -1 => "\u{2212}",
        _ => "\u{b1}",
    };
    let size = per_mille.unsigned_abs();
    Some(format!("{sign}{}.{}\u{a0}%", grouped(u64::try_from(size / 10).unwrap_or(u64::MAX)), size % 10))
}

/// A share in per cent, rounded to full ones; `<1 %` for what would be none.
pub fn share(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    match (part, (u128::from(part) * 100 + whole / 2) / whole) {
        (1.., 0) => "<1\u{a0}%".into(),
        (_, per_cent) => format!("{per_cent}\u{a0}%"),
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The day of an instant on the clock of a zone: `3 Nov`, and `3 Nov 2025` with the year.
pub fn day(us: i64, tz: &TimeZone, with_year: bool) -> String {
    let text = time::format_in(us, tz);
    let date = text.split('T').next().unwrap_or_default();
    let mut parts = date.rsplitn(3, '-');
    let day = parts.next().unwrap_or_default().trim_start_matches('0');
    let month = parts.next().and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    match (month, with_year) {
        (Some(month), true) => format!("{day}\u{a0}{month}\u{a0}{}", parts.next().unwrap_or_default()),
        (Some(month), false) => format!("{day}\u{a0}{month}"),
        (None, _) => date.to_owned(),
    }
}

/// Where an axis from 0 ends that holds a number, and its step: four steps at most, each 1, 2 or 5 times a power of ten.
pub fn axis(most: u64) -> (u64, u64) {
    const STEPS: u64 = 4;
    let mut power = 1u64;
    loop {
        for step in [1, 2, 5].map(|digit: u64| digit.saturating_mul(power)) {
            if u128::from(step) * u128::from(STEPS) >= u128::from(most) {
                return (most.max(1).div_ceil(step).saturating_mul(step), step);
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 950, 1_000, 2_500, 1_250, 20_000_000].map(short),
            ["0", "950", "1k", "2.5k", "1.25k", "20M"]
        );
        assert_eq!(
            [(0, 0), (1, 201), (1, 3), (2, 3), (29, 1_000), (5, 5)].map(|(a, b)| share(a, b)),
            ["0\u{a0}%", "<1\u{a0}%", "33\u{a0}%", "67\u{a0}%", "3\u{a0}%", "100\u{a0}%"]
        );
    }

    #[test]
    fn a_change_is_rounded_and_needs_something_before() {
        let told = |now, before| change(now, before).map(|text| text.replace('\u{a0}', " "));
        assert_eq!(told(112, 100).as_deref(), Some("+12.0 %"));
        assert_eq!(told(2, 3).as_deref(), Some("\u{2212}33.3 %"));
        assert_eq!(told(7, 7).as_deref(), Some("\u{b1}0.0 %"));
        assert_eq!(told(0, 7).as_deref(), Some("\u{2212}100.0 %"));
        assert_eq!(told(50_000, 1).as_deref(), Some("+4,999,900.0 %"));
        assert_eq!(told(3, 0), None);
    }

    #[test]
    fn an_axis_holds_its_number_in_few_round_steps() {
        for (most, expected) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (4, (4, 1)),
            (5, (6, 2)),
            (7, (8, 2)),
            (1_234, (1_500, 500)),
            (9_999, (10_000, 5_000)),
        ] {
            assert_eq!(axis(most), expected, "{most}");
        }
        let (end, step) = axis(u64::MAX);
        assert!(end >= u64::MAX - step && step > 0);
    }

    #[test]
    fn a_day_is_that_of_the_zone() {
        let us = time::parse("2025-11-02T23:30:00Z").unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(day(us, &TimeZone::UTC, false), "2\u{a0}Nov");
        assert_eq!(day(us, &berlin, true), "3\u{a0}Nov\u{a0}2025");
    }
}
