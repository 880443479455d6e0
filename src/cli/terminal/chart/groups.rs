//! A number over time for several groups: a small line of columns a group, with its smallest, largest and last number.

use super::super::answer::{Marks, PARTIAL};
use super::super::cells::Cells;
use super::super::table::{Cell, Head, Table};
use super::super::width::{columns, cut, harmless};
use super::super::{Screen, Style};
use super::points::{Point, folded, instant, instants, placed};
use super::{Canvas, Drawing, Without};
use crate::query::answer::Answer;
use crate::value::Value;

/// Eighths of a line, growing upwards; the smallest is drawn too.
const UP: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A line has at least so many columns.
const LINE_MIN: usize = 8;
/// Labels take at most this part of the screen.
const LABEL_PART: usize = 3;
/// Lines that are drawn, those of the first groups: nobody reads more, and each may have a hundred thousand points.
const GROUPS_MAX: usize = 200;

/// The rows of a group, by their place in the answer.
struct Group {
    label: String,
    rows: Vec<usize>,
}

/// Draws the numbers of a column by the times of another, a line for each different text of the labels.
pub fn draw(
    answer: &Answer,
    cells: &Cells<'_>,
    (time, labels): (usize, &[usize]),
    number: usize,
    canvas: &Canvas,
) -> Drawing {
    let instants = instants(answer, time);
    let Some((first, last)) = instants.first().zip(instants.last()) else {
        let text = "(no row has a time: there is nothing to draw)\n".to_owned();
        return Drawing { text, without: Without::Nothing };
    };
    let mut groups = groups(answer, cells, labels);
    let more = groups.len().saturating_sub(GROUPS_MAX);
    groups.truncate(GROUPS_MAX);
    let marks = Marks::of(answer.series.as_ref());
    let heads: Vec<String> = labels.iter().map(|at| cells.head(*at)).collect();
    let lines: Vec<Line> =
        groups.iter().map(|group| line_of(answer, cells, group, &marks, &instants, (time, number))).collect();
    let label_width = groups.iter().map(|group| columns(&group.label)).max().unwrap_or(0);
    let label_width = label_width.max(columns(&heads.join(", "))).min(canvas.columns / LABEL_PART);
    let numbers: usize = (0..3)
        .map(|at| lines.iter().map(|line| columns(&line.texts[at])).max().unwrap_or(0).max("last".len()) + 2)
        .sum();
    let room = canvas.columns.saturating_sub(label_width + 2 + numbers).max(LINE_MIN);
    let (mut table, mut together) = (Table { is_bare: true, ..Table::default() }, 1);
    table.heads = vec![Head::text(cut(&heads.join(", "), label_width)), Head::text("")];
    table.heads.extend(["min", "max", "last"].map(Head::number));
    for (group, line) in groups.iter().zip(&lines) {
        let (text, count) = drawn(&line.points, room);
        together = count;
        let drawn = Cell { text, is_exact: true, style: Some(Style::Bar) };
        let cells = [Cell::text(cut(&harmless(&group.label), label_width)), drawn]
            .into_iter()
            .chain(line.texts.iter().map(Cell::exact));
        table.rows.push(cells.collect::<Vec<_>>().into());
    }
    let shown = |us: &i64| cells.text(time, &Value::Time(*us));
    let title =
        format!("{} by {}, {} to {}", cells.head(number), cells.head(time), shown(first), shown(last));
    let screen = Screen { columns: None, ..canvas.screen };
    let mut out = format!(
        "{}\n{}",
        canvas.screen.paint.text(Some(Style::Head), &cut(&harmless(&title), canvas.columns)),
        table.write(&screen)
    );
    let is_negative =
        lines.iter().flat_map(|line| &line.points).any(|point| point.value.is_some_and(|v| v < 0.0));
    let from = if is_negative { "its own min" } else { "0" };
    let folded = if together > 1 {
        format!("; each column is the largest of {together} values")
    } else {
        String::new()
    };
    out.push_str(&format!("each line is drawn from {from} to its own max{folded}\n"));
    if more > 0 {
        let groups = if more == 1 { "group" } else { "groups" };
        out.push_str(&format!("not drawn: {more} more {groups}; choose some with where\n"));
    }
    Drawing { text: out, without: Without::of(lines.iter().flat_map(|line| &line.points)) }
}

/// The points of a group, and its smallest, largest and last number in words.
struct Line {
    points: Vec<Point>,
    texts: [String; 3],
}

fn line_of(
    answer: &Answer,
    cells: &Cells<'_>,
    group: &Group,
    marks: &Marks,
    instants: &[i64],
    (time, number): (usize, usize),
) -> Line {
    let mut known: Vec<(i64, usize, &Value)> = Vec::new();
    let mut points = Vec::new();
    for at in &group.rows {
        let Some(row) = answer.rows.get(*at) else { continue };
        let (Some(us), Some(value)) = (instant(row, time), row.get(number)) else { continue };
        let (is_gap, is_partial) = (marks.gaps.contains(at), marks.partial.contains(at));
        // what a bucket without events has as its number is no number of events
        points.push((us, Point { value: value.as_f64().filter(|_| !is_gap), is_gap, is_partial }));
        if !is_gap && !value.is_null() {
            known.push((us, *at, value));
        }
    }
    known.sort_by_key(|(us, ..)| *us);
    let text = |found: Option<&(i64, usize, &Value)>| {
        let Some((_, at, value)) = found else { return "null".to_owned() };
        let mark = if marks.partial.contains(at) { PARTIAL } else { "" };
        cells.text(number, value) + mark
    };
    let texts = [
        text(known.iter().min_by(|a, b| a.2.compare(b.2))),
        text(known.iter().max_by(|a, b| a.2.compare(b.2))),
        text(known.last()),
    ];
    Line { points: placed(instants, points.into_iter()), texts }
}

fn groups(answer: &Answer, cells: &Cells<'_>, labels: &[usize]) -> Vec<Group> {
    let mut found: Vec<Group> = Vec::new();
    let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for (at, row) in answer.rows.iter().enumerate() {
        let parts: Vec<String> =
            labels.iter().filter_map(|label| Some(cells.text(*label, row.get(*label)?))).collect();
        let label = parts.join(", ");
        let place = *places.entry(label.clone()).or_insert(found.len());
        match found.get_mut(place) {
            Some(group) => group.rows.push(at),
            None => found.push(Group { label, rows: vec![at] }),
        }
    }
    found
}

/// The points in one line, from 0 or the smallest up to the largest, and how many are one column.
fn drawn(points: &[Point], room: usize) -> (String, usize) {
    let (points, together) = folded(points, room);
    let values = || points.iter().filter_map(|point| point.value);
    let (low, high) = (values().fold(0.0, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // halved, so that the difference of two numbers is one
    let whole = high.max(low) / 2.0 - low / 2.0;
    let sign = |point: &Point| match point.value {
        None => '·',
        Some(_) if whole <= 0.0 => UP[0],
        Some(value) => {
            let share = (value / 2.0 - low / 2.0) / whole;
            UP[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]
        }
    };
    (points.iter().map(sign).collect(), together)
}
