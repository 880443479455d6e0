//! A number over time for several groups: a small line of columns a group, with its smallest, largest and last number.

use super::super::answer::{Marks, PARTIAL};
use super::super::cells::Cells;
use super::super::table::{Cell, Head, Table};
use super::super::width::{columns, cut, harmless};
use super::super::{Screen, Style};
use super::Canvas;
use super::points::{Point, folded, instant, instants, placed};
use crate::query::answer::Answer;
use crate::value::Value;

/// Eighths of a line, growing upwards; the smallest is drawn too.
const UP: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A line has at least so many columns.
const LINE_MIN: usize = 8;
/// Labels take at most this part of the screen.
const LABEL_PART: usize = 3;

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
) -> String {
    let marks = Marks::of(answer.series.as_ref());
    let instants = instants(answer, time);
    let Some((first, last)) = instants.first().zip(instants.last()) else {
        return "(no row has a time: there is nothing to draw)\n".to_owned();
    };
    let groups = groups(answer, cells, labels);
    let heads: Vec<String> = labels.iter().map(|at| cells.head(*at)).collect();
    let mut lines: Vec<(Vec<Point>, [String; 3])> = Vec::new();
    for group in &groups {
        let rows = || group.rows.iter().filter_map(|at| Some((*at, answer.rows.get(*at)?)));
        let point = |(at, row): (usize, &Vec<Value>)| {
            let is_gap = marks.gaps.contains(&at);
            let value = row.get(number).and_then(Value::as_f64).filter(|_| !is_gap);
            Some((instant(row, time)?, Point { value, is_gap, is_partial: marks.partial.contains(&at) }))
        };
        let mut known: Vec<(i64, usize, &Value)> = rows()
            .filter(|(at, _)| !marks.gaps.contains(at))
            .filter_map(|(at, row)| Some((instant(row, time)?, at, row.get(number)?)))
            .filter(|(_, _, value)| !value.is_null())
            .collect();
        known.sort_by_key(|(us, ..)| *us);
        let text = |value: Option<&(i64, usize, &Value)>| {
            let Some((_, at, value)) = value else { return "null".to_owned() };
            let mark = if marks.partial.contains(at) { PARTIAL } else { "" };
            cells.text(number, value) + mark
        };
        let texts = [
            text(known.iter().min_by(|a, b| a.2.compare(b.2))),
            text(known.iter().max_by(|a, b| a.2.compare(b.2))),
            text(known.last()),
        ];
        lines.push((placed(&instants, rows().filter_map(point)), texts));
    }
    let label_width = groups.iter().map(|group| columns(&group.label)).max().unwrap_or(0);
    let label_width = label_width.max(columns(&heads.join(", "))).min(canvas.columns / LABEL_PART);
    let numbers: usize = (0..3)
        .map(|at| lines.iter().map(|(_, texts)| columns(&texts[at])).max().unwrap_or(0).max("last".len()) + 2)
        .sum();
    let room = canvas.columns.saturating_sub(label_width + 2 + numbers).max(LINE_MIN);
    let (mut table, mut together) = (Table { is_bare: true, ..Table::default() }, 1);
    table.heads = vec![Head::text(cut(&heads.join(", "), label_width)), Head::text("")];
    table.heads.extend(["min", "max", "last"].map(Head::number));
    table.cell_columns_max = Some(label_width);
    table.whole_with = "without --chart, --format json";
    for (group, (points, texts)) in groups.iter().zip(&lines) {
        let (line, count) = line(points, room);
        together = count;
        let drawn = Cell { text: line, is_exact: true, style: Some(Style::Bar) };
        let cells = [Cell::text(&group.label), drawn].into_iter().chain(texts.iter().map(Cell::exact));
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
        lines.iter().flat_map(|(points, _)| points).any(|point| point.value.is_some_and(|v| v < 0.0));
    let from = if is_negative { "its own min" } else { "0" };
    let folded = if together > 1 {
        format!("; a column is the largest of {together} neighbours")
    } else {
        String::new()
    };
    out.push_str(&format!("each line is drawn from {from} to its own max{folded}\n"));
    out
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
fn line(points: &[Point], room: usize) -> (String, usize) {
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
