//! The series of the page as an SVG: a bar a day, an axis, days without events and days that are not over told apart.
//! It is drawn twice, wide and narrow, and the style shows the one that fits; so its letters keep their size on a phone.

use jiff::tz::TimeZone;

use crate::query::answer::Answer;
use crate::value::{Value, grouped};

use super::calls::number;
use super::markup::Markup;
use super::numbers::{axis, day, short};

/// The form of a drawing, in units of the SVG, which are pixels where it has its full size.
#[derive(Debug)]
pub struct Layout {
    /// Its class, by which the style shows it, and the start of its ids.
    pub name: &'static str,
    width: u32,
    height: u32,
    /// Days from one label to the next.
    days_a_label: usize,
}

/// For a desk.
pub const WIDE: Layout = Layout { name: "wide", width: 1_000, height: 260, days_a_label: 5 };
/// For a hand.
pub const NARROW: Layout = Layout { name: "narrow", width: 360, height: 220, days_a_label: 9 };

const LEFT: u32 = 44;
const RIGHT: u32 = 14;
const TOP: u32 = 12;
const BOTTOM: u32 = 26;

/// One day of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its beginning, µs.
    pub start_us: i64,
    /// Its events.
    pub events: u64,
    /// Whether it is not over, or reaches over an end of the range.
    pub is_partial: bool,
    /// Whether it has no events.
    pub is_gap: bool,
}

/// The days of an answer that is a filled series of one number.
pub fn days(answer: &Answer) -> Vec<Day> {
    let Some(series) = &answer.series else { return Vec::new() };
    let counted = (0..answer.columns.len()).find(|column| *column != series.column).unwrap_or_default();
    let of_row = |(row, cells): (usize, &Vec<Value>)| match cells.get(series.column) {
        Some(Value::Time(start_us)) => Some(Day {
            start_us: *start_us,
            events: number(answer, row, counted),
            is_partial: series.partial.contains(&row),
            is_gap: series.gaps.contains(&row),
        }),
        _ => None,
    };
    answer.rows.iter().enumerate().filter_map(of_row).collect()
}

/// Draws the days; `title` names the drawing for those who do not see it.
pub fn draw(layout: &Layout, days: &[Day], title: &str, tz: &TimeZone) -> Markup {
    let (end, step) = axis(days.iter().map(|day| day.events).max().unwrap_or(0));
    let mut out = Markup::default();
    let (width, height) = (layout.width.to_string(), layout.height.to_string());
    out.tags("<svg class=\"chart ")
        .tags(layout.name)
        .tags("\" viewBox=\"0 0 ")
        .text(&width)
        .tags(" ")
        .text(&height);
    out.tags("\" role=\"img\" aria-labelledby=\"").tags(layout.name).tags("-title ").tags(layout.name);
    out.tags("-text\">\n<title id=\"").tags(layout.name).tags("-title\">").text(title);
    out.tags("</title><desc id=\"")
        .tags(layout.name)
        .tags("-text\">")
        .text(&in_words(days, tz))
        .tags("</desc>\n");
    for value in (0..=end / step).map(|line| line * step) {
        let y = height_of(layout, value, end);
        out.tags("<line class=\"").tags(if value == 0 { "base" } else { "grid" });
        out.tags("\" x1=\"")
            .text(&LEFT.to_string())
            .tags("\" x2=\"")
            .text(&(layout.width - RIGHT).to_string());
        out.tags("\" y1=\"").text(&y).tags("\" y2=\"").text(&y).tags("\"/>");
        out.tags("<text class=\"scale\" x=\"").text(&(LEFT - 8).to_string()).tags("\" y=\"").text(&y);
        out.tags("\" dy=\"4\">").text(&short(value)).tags("</text>\n");
    }
    for (place, one) in days.iter().enumerate() {
        bar(&mut out, layout, place, days.len(), one, end, tz);
    }
    // from today backwards, so that the last day always has its label
    for place in (0..days.len()).rev().step_by(layout.days_a_label) {
        let (left, width) = column(layout, place, days.len());
        out.tags("<text class=\"day\" x=\"").text(&tenths(left + width / 2)).tags("\" y=\"");
        out.text(&(layout.height - 8).to_string()).tags("\">").text(&day(days[place].start_us, tz, false));
        out.tags("</text>");
    }
    out.tags("\n</svg>\n");
    out
}

fn bar(out: &mut Markup, layout: &Layout, place: usize, count: usize, one: &Day, end: u64, tz: &TimeZone) {
    let (left, width) = column(layout, place, count);
    let name = day(one.start_us, tz, false);
    let bottom = layout.height - BOTTOM;
    if one.is_gap {
        out.tags("<circle class=\"gap\" cx=\"").text(&tenths(left + width / 2)).tags("\" cy=\"");
        out.text(&(bottom - 4).to_string())
            .tags("\" r=\"2\"><title>")
            .text(&name)
            .tags(": no events</title></circle>");
    } else {
        // one event is seen too
        let top = tenth_of_height(layout, one.events, end).min(bottom * 10 - 10);
        out.tags("<rect class=\"").tags(if one.is_partial { "bar partial" } else { "bar" }).tags("\" x=\"");
        out.text(&tenths(left + width * 12 / 100)).tags("\" width=\"").text(&tenths(width * 76 / 100));
        out.tags("\" y=\"").text(&tenths(top)).tags("\" height=\"").text(&tenths(bottom * 10 - top));
        out.tags("\"><title>").text(&name).tags(": ").text(&grouped(one.events));
        out.tags(if one.is_partial { ", the day is not over</title></rect>" } else { "</title></rect>" });
    }
    out.tags("\n");
}

/// Left and width of a day, in tenths.
fn column(layout: &Layout, place: usize, count: usize) -> (u32, u32) {
    let room = (layout.width - LEFT - RIGHT) * 10;
    let edge = |place: usize| (u64::from(room) * place as u64 / count.max(1) as u64) as u32;
    (LEFT * 10 + edge(place), edge(place + 1) - edge(place))
}

/// How high a number stands, in tenths from the top.
fn tenth_of_height(layout: &Layout, value: u64, end: u64) -> u32 {
    let room = (layout.height - TOP - BOTTOM) * 10;
    let up = (u128::from(room) * u128::from(value) / u128::from(end.max(1))) as u32;
    TOP * 10 + room.saturating_sub(up)
}

fn height_of(layout: &Layout, value: u64, end: u64) -> String {
    tenths(tenth_of_height(layout, value, end))
}

fn tenths(number: u32) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// What the drawing says, for those who do not see it.
fn in_words(days: &[Day], tz: &TimeZone) -> String {
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return "No days.".into() };
    let total: u64 = days.iter().map(|day| day.events).sum();
    let most = days.iter().max_by_key(|day| day.events).unwrap_or(first);
    let gaps = days.iter().filter(|day| day.is_gap).count();
    let mut text = format!(
        "{} events from {} to {}; most on {}: {}.",
        grouped(total),
        day(first.start_us, tz, true),
        day(last.start_us, tz, true),
        day(most.start_us, tz, false),
        grouped(most.events)
    );
    if gaps > 0 {
        let days = if gaps == 1 { "day" } else { "days" };
        text.push_str(&format!(" {gaps} {days} without events."));
    }
    if last.is_partial {
        text.push_str(" The last day is not over.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY;

    fn thirty() -> Vec<Day> {
        let day = |place: i64| Day {
            start_us: (20_000 + place) * DAY,
            events: if place == 3 { 0 } else { 100 * place as u64 },
            is_partial: place == 29,
            is_gap: place == 3,
        };
        (0..30).map(day).collect()
    }

    #[test]
    fn a_day_is_a_bar_or_a_mark_and_the_last_one_is_told_to_go_on() {
        for layout in [WIDE, NARROW] {
            let svg = draw(&layout, &thirty(), "Events by day", &TimeZone::UTC).into_string();
            let count = |text: &str| svg.matches(text).count();
            assert_eq!(
                (count("<rect class=\"bar"), count("class=\"bar partial\""), count("class=\"gap\"")),
                (29, 1, 1)
            );
            assert!(svg.contains("2,900, the day is not over") && svg.contains(": no events"), "{svg}");
            assert!(svg.contains("<desc") && svg.contains("1 day without events"), "{svg}");
        }
    }

    #[test]
    fn bars_stand_side_by_side_within_the_drawing() {
        let mut end = LEFT * 10;
        for place in 0..30 {
            let (left, width) = column(&NARROW, place, 30);
            assert_eq!(left, end);
            end = left + width;
        }
        assert_eq!(end, (NARROW.width - RIGHT) * 10);
        assert_eq!(tenth_of_height(&WIDE, 5, 5), TOP * 10);
        assert_eq!(tenth_of_height(&WIDE, 0, 5), (WIDE.height - BOTTOM) * 10);
        assert_eq!(tenth_of_height(&WIDE, u64::MAX, u64::MAX), TOP * 10);
    }

    #[test]
    fn no_days_are_an_empty_drawing() {
        assert!(draw(&WIDE, &[], "x", &TimeZone::UTC).into_string().contains("No days."));
    }
}
