//! `--chart`: an answer drawn with block characters. What is drawn follows from the columns: times with one number a
//! time are a `series`, times of several groups `groups`, anything else `bars`; several columns of numbers are
//! one drawing each. `sql` and `query` call [`chart`].

mod bars;
mod groups;
mod points;
mod scale;
mod series;

use super::answer::{GAP, PARTIAL, gap_note, partial_note};
use super::cells::{Cells, Writing};
use super::{Screen, Style};
use crate::error::{Error, Result};
use crate::query::answer::{Answer, AnswerColumn, Series};

/// The size of a drawing where there is no terminal, so that it is the same everywhere.
const COLUMNS: usize = 80;
const LINES: usize = 24;
/// A drawing is not made narrower or lower than this, whatever the terminal is.
const COLUMNS_MIN: usize = 24;
const LINES_MIN: usize = 8;
/// Lines of the terminal that heads, notes and the next prompt take.
const LINES_AROUND: usize = 5;

/// What bars of partial buckets are made of.
const LIGHT: &str = "░";

/// What is drawn on.
#[derive(Debug, Clone, Copy)]
struct Canvas {
    columns: usize,
    /// Lines for the bars themselves.
    lines: usize,
    screen: Screen,
}

/// What the columns of an answer are for a drawing.
#[derive(Debug, PartialEq, Eq)]
struct Roles {
    time: Option<usize>,
    labels: Vec<usize>,
    numbers: Vec<usize>,
}

/// Draws an answer; `keys` are its columns that groups are made by, where it has groups.
///
/// # Errors
/// There is no column of numbers.
pub fn chart(answer: &Answer, keys: &[usize], writing: Writing, screen: &Screen) -> Result<String> {
    let roles = roles(answer, keys)?;
    let canvas = Canvas {
        columns: screen.columns.unwrap_or(COLUMNS).max(COLUMNS_MIN),
        lines: screen.lines.unwrap_or(LINES).max(LINES_MIN) - LINES_AROUND,
        // tables within the drawing are as wide as it is
        screen: Screen { columns: Some(screen.columns.unwrap_or(COLUMNS).max(COLUMNS_MIN)), ..*screen },
    };
    if answer.rows.is_empty() {
        return Ok("(0 rows: there is nothing to draw)\n".to_owned());
    }
    let cells = Cells::of(answer, writing);
    let drawing = |number: &usize| match (roles.time, roles.labels.is_empty()) {
        (Some(time), true) => series::draw(answer, &cells, time, *number, &canvas),
        (Some(time), false) => groups::draw(answer, &cells, (time, &roles.labels), *number, &canvas),
        (None, _) => bars::draw(answer, &cells, &roles.labels, *number, &canvas),
    };
    let drawings: Vec<Drawing> = roles.numbers.iter().map(drawing).collect();
    let texts: Vec<&str> = drawings.iter().map(|drawing| drawing.text.as_str()).collect();
    let mut out = texts.join("\n");
    // lines of groups have no room for lighter columns: their numbers are marked
    let partial = if roles.time.is_some() && !roles.labels.is_empty() { PARTIAL } else { LIGHT };
    let without = drawings.iter().map(|drawing| drawing.without).max().unwrap_or_default();
    let series = answer.series.as_ref();
    let notes = [partial_note(series, partial), without.note(series), left_out(answer, &roles)];
    for note in notes.into_iter().flatten() {
        out.push_str(&screen.paint.text(Some(Style::Faint), &note));
        out.push('\n');
    }
    Ok(out)
}

/// One drawing, and what is missing in it.
#[derive(Debug)]
struct Drawing {
    text: String,
    without: Without,
}

/// What · stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Without {
    /// Nothing is missing.
    #[default]
    Nothing,
    /// Buckets without events.
    Events,
    /// Nulls, which may be buckets without events as well.
    Numbers,
}

impl Without {
    fn of<'a>(points: impl Iterator<Item = &'a points::Point>) -> Self {
        let missing = points.filter(|point| point.value.is_none());
        missing.map(|point| if point.is_gap { Self::Events } else { Self::Numbers }).max().unwrap_or_default()
    }

    fn note(self, series: Option<&Series>) -> Option<String> {
        match (self, series) {
            (Self::Nothing, _) => None,
            (Self::Events, Some(series)) => Some(gap_note(series)),
            _ => Some(format!("{GAP} no number there")),
        }
    }
}

fn is_number(column: &AnswerColumn) -> bool {
    matches!(column.kind, "int" | "float")
}

fn roles(answer: &Answer, keys: &[usize]) -> Result<Roles> {
    let columns = || answer.columns.iter().enumerate();
    // without groups every column may be what the numbers belong to
    let may_label = |at: &usize| keys.is_empty() || keys.contains(at);
    let series = answer.series.as_ref().map(|series| series.column);
    let time = series
        .or_else(|| columns().find(|(at, column)| column.kind == "time" && may_label(at)).map(|(at, _)| at));
    let mut numbers: Vec<usize> =
        columns().filter(|(at, column)| is_number(column) && !keys.contains(at)).map(|(at, _)| at).collect();
    let is_label = |(at, column): &(usize, &AnswerColumn)| match keys.is_empty() {
        true => !is_number(column) && column.kind != "time",
        false => keys.contains(at) && Some(*at) != time,
    };
    let mut labels: Vec<usize> = columns().filter(is_label).map(|(at, _)| at).collect();
    if keys.is_empty() && time.is_none() && labels.is_empty() && numbers.len() > 1 {
        // `SELECT hour, visits`: the first number says what the others belong to
        labels.push(numbers.remove(0));
    }
    if numbers.is_empty() {
        let there: Vec<String> =
            columns().map(|(_, column)| format!("\"{}\" ({})", column.name, column.kind)).collect();
        return Err(Error::invalid(format!(
            "--chart needs a column of numbers beside what it is grouped by, and the answer has {}; ask for one, such as \
             count(*) or avg(field)",
            there.join(", ")
        )));
    }
    Ok(Roles { time, labels, numbers })
}

/// What is not in the drawing, in a line.
fn left_out(answer: &Answer, roles: &Roles) -> Option<String> {
    let drawn =
        |at: &usize| roles.time == Some(*at) || roles.labels.contains(at) || roles.numbers.contains(at);
    let names: Vec<&str> = (0..answer.columns.len())
        .filter(|at| !drawn(at))
        .filter_map(|at| answer.columns.get(at).map(|column| column.name.as_str()))
        .collect();
    (!names.is_empty()).then(|| format!("not drawn: {}", names.join(", ")))
}

#[cfg(test)]
mod tests;
