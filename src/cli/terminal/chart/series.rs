//! A number over time: bars from left to right while the buckets have room on the screen, else columns side by side
//! over an axis of times.

use std::collections::HashSet;

use super::super::Style;
use super::super::answer::Marks;
use super::super::cells::Cells;
use super::super::width::{columns, cut, harmless};
use super::points::{Point, folded, instant, instants, placed, span};
use super::scale::Scale;
use super::{Canvas, Drawing, Without, bars};
use crate::query::answer::Answer;
use crate::value::Value;

/// Eighths of a line, growing upwards.
const UP: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Lines of a drawing of columns.
const HEIGHT: (usize, usize) = (3, 12);
/// A bucket is drawn at most so wide.
const WIDEST: usize = 4;

/// Draws the numbers of a column by the times of another.
pub fn draw(answer: &Answer, cells: &Cells<'_>, time: usize, number: usize, canvas: &Canvas) -> Drawing {
    let instants = instants(answer, time);
    let rows: Vec<Dated<'_>> = dated(answer, time, number);
    let mut drawing = if instants.len().max(rows.len()) <= canvas.lines {
        let bars = bars_of(&rows, &instants, cells, (time, number));
        bars::lines(&cells.head(time), &cells.head(number), &bars, canvas)
    } else {
        let points = placed(&instants, rows.iter().map(|row| (row.us, row.point)));
        let ends = [instants.first(), instants.get(instants.len() / 2), instants.last()];
        let ends = ends.map(|us| us.map_or_else(String::new, |us| cells.text(time, &Value::Time(*us))));
        let title = format!("{} by {}", cells.head(number), cells.head(time));
        let label = |value: f64| cells.text(number, &Value::Float(value));
        let text = columns_drawn(&title, &points, &ends, &label, canvas);
        Drawing { text, without: Without::of(points.iter()) }
    };
    let without = answer.rows.len() - rows.len();
    if without > 0 {
        drawing.text.push_str(&format!("not drawn: rows without a time ({without})\n"));
    }
    drawing
}

/// A row that has a time.
struct Dated<'a> {
    us: i64,
    value: &'a Value,
    point: Point,
}

fn dated<'a>(answer: &'a Answer, time: usize, number: usize) -> Vec<Dated<'a>> {
    let marks = Marks::of(answer.series.as_ref());
    let dated = |(at, row): (usize, &'a Vec<Value>)| {
        let value = row.get(number).unwrap_or(&Value::Null);
        let (is_partial, is_gap) = (marks.partial.contains(&at), marks.gaps.contains(&at));
        // what a bucket without events has as its number is no number of events
        let point = Point { value: value.as_f64().filter(|_| !is_gap), is_partial, is_gap };
        Some(Dated { us: instant(row, time)?, value, point })
    };
    answer.rows.iter().enumerate().filter_map(dated).collect()
}

/// A bar a row and a bucket that has no row, the oldest first.
fn bars_of(
    rows: &[Dated<'_>],
    instants: &[i64],
    cells: &Cells<'_>,
    (time, number): (usize, usize),
) -> Vec<bars::Bar> {
    let there: HashSet<i64> = rows.iter().map(|row| row.us).collect();
    let label = |us: i64| cells.text(time, &Value::Time(us));
    let of_row = |row: &Dated<'_>| {
        let Point { value, is_partial, is_gap } = row.point;
        (
            row.us,
            bars::Bar {
                label: label(row.us),
                text: cells.text(number, row.value),
                value,
                is_partial,
                is_gap,
            },
        )
    };
    let missing = |us: &&i64| !there.contains(us);
    let of_gap = |us: &i64| (*us, bars::Bar { label: label(*us), is_gap: true, ..bars::Bar::default() });
    let mut bars: Vec<(i64, bars::Bar)> =
        rows.iter().map(of_row).chain(instants.iter().filter(missing).map(of_gap)).collect();
    bars.sort_by_key(|(us, _)| *us);
    bars.into_iter().map(|(_, bar)| bar).collect()
}

/// A column a point, under the title and over the first, the middle and the last time.
fn columns_drawn(
    title: &str,
    points: &[Point],
    times: &[String; 3],
    label: &dyn Fn(f64) -> String,
    canvas: &Canvas,
) -> String {
    let (low, high) = span(points);
    let height = canvas.lines.saturating_sub(2).clamp(HEIGHT.0, HEIGHT.1);
    let scale = Scale::new(low, high, height);
    // one measure for both sides may leave lines over
    let (above, below) = (scale.parts(high, 8).div_ceil(8), scale.parts(low, 8).div_ceil(8));
    let above = if below == 0 { above.max(1) } else { above };
    let labels = [label(high), "0".to_owned(), label(low)];
    let margin = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
    let room = canvas.columns.saturating_sub(margin + 2).max(1);
    let (points, together) = folded(points, room);
    let wide = (room / points.len().max(1)).clamp(1, WIDEST);
    let gap = usize::from(wide > 2);
    let paint = canvas.screen.paint;
    let mut out = format!("{}\n", paint.text(Some(Style::Head), &cut(&harmless(title), canvas.columns)));
    for line in (0..above).rev().map(|line| line as isize).chain((0..below).map(|line| -1 - line as isize)) {
        if line == -1 {
            out.push_str(&axis(margin, '┼', &points, (wide, gap)));
        }
        let label = match line {
            _ if line + 1 == above as isize && high > 0.0 => labels[0].as_str(),
            _ if line + below as isize == 0 && low < 0.0 => labels[2].as_str(),
            _ => "",
        };
        let mut text = format!(
            "{}{label} {}",
            " ".repeat(margin - columns(label)),
            if label.is_empty() { '│' } else { '┤' }
        );
        for point in &points {
            let drawn: String = std::iter::repeat_n(sign(point, line, &scale), wide - gap).collect();
            let style = if point.is_partial { Style::FaintBar } else { Style::Bar };
            let is_blank = drawn.trim().is_empty();
            text.push_str(&paint.text((!is_blank).then_some(style), &drawn));
            text.push_str(&" ".repeat(gap));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    if below == 0 {
        out.push_str(&axis(margin, '└', &points, (wide, gap)));
    }
    out.push_str(&times_below(margin + 2, points.len() * wide - gap, times));
    if together > 1 {
        out.push_str(&format!("each column is the largest of {together} values\n"));
    }
    out
}

/// The line of 0, with a point where there is no number.
fn axis(margin: usize, corner: char, points: &[Point], (wide, gap): (usize, usize)) -> String {
    let mut out = format!("{}0 {corner}", " ".repeat(margin - 1));
    for point in points {
        let sign = if point.value.is_none() { "·" } else { "─" };
        out.push_str(&sign.repeat(wide - gap));
        out.push_str(&"─".repeat(gap));
    }
    out.push('\n');
    out
}

/// First and last time under the ends of the axis, the middle one where it has room.
fn times_below(margin: usize, wide: usize, [first, middle, last]: &[String; 3]) -> String {
    let blank = " ".repeat(margin);
    let taken = columns(first) + columns(last);
    if first == last || wide < taken + 2 {
        return if first == last {
            format!("{blank}{first}\n")
        } else {
            format!("{blank}{first} to {last}\n")
        };
    }
    let at = (wide / 2).saturating_sub(columns(middle) / 2);
    let ends_at = at + columns(middle);
    let is_free = at >= columns(first) + 3 && ends_at + 3 + columns(last) <= wide;
    let between = match is_free {
        true => format!(
            "{}{middle}{}",
            " ".repeat(at - columns(first)),
            " ".repeat(wide - columns(last) - ends_at)
        ),
        false => " ".repeat(wide - taken),
    };
    format!("{blank}{first}{between}{last}\n")
}

/// What stands in a line for a point: line 0 is the first over 0, line -1 the first under it.
fn sign(point: &Point, line: isize, scale: &Scale) -> char {
    let value = point.value.unwrap_or(0.0);
    let is_above = line >= 0;
    if value == 0.0 || (value > 0.0) != is_above {
        return ' ';
    }
    let from_zero = if is_above { line.unsigned_abs() } else { line.unsigned_abs() - 1 };
    let here = scale.parts(value, 8).saturating_sub(from_zero * 8).min(8);
    match (here, point.is_partial, is_above) {
        (0, _, _) => ' ',
        (_, true, _) => '░',
        (eighths, false, true) => UP[eighths],
        // there are no eighths that hang down
        (1..=2, false, false) => '▔',
        (3..=5, false, false) => '▀',
        (_, false, false) => '█',
    }
}
