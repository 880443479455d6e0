//! Bars from left to right, a row each, with their labels and numbers: for rows without a time, and for short series.

use super::super::Style;
use super::super::answer::{GAP, Marks};
use super::super::cells::Cells;
use super::super::width::{columns, cut, harmless};
use super::scale::Scale;
use super::{Canvas, Drawing, LIGHT, Without};
use crate::query::answer::Answer;

/// Eighths of a column, growing to the right.
const RIGHT: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// Between label, number and bar.
const SPACE: usize = 2;
/// Bars have at least this width.
const BAR_MIN: usize = 8;
/// Where a label may not be cut further.
const LABEL_MIN: usize = 4;

/// A row of the drawing.
#[derive(Debug, Default)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// Its number in words.
    pub text: String,
    /// Its number; `None` has no bar.
    pub value: Option<f64>,
    /// Whether it is drawn lighter.
    pub is_partial: bool,
    /// Whether it is a gap, which is no bar of 0.
    pub is_gap: bool,
}

/// A bar a row of the answer, in its order; the labels are these columns, or else the number of the row.
pub fn draw(answer: &Answer, cells: &Cells<'_>, labels: &[usize], number: usize, canvas: &Canvas) -> Drawing {
    let marks = Marks::of(answer.series.as_ref());
    let bar = |(place, row): (usize, &Vec<crate::value::Value>)| {
        let parts: Vec<String> =
            labels.iter().filter_map(|at| Some(cells.text(*at, row.get(*at)?))).collect();
        let value = row.get(number).cloned().unwrap_or(crate::value::Value::Null);
        Bar {
            label: if parts.is_empty() && answer.rows.len() > 1 {
                (place + 1).to_string()
            } else {
                parts.join(", ")
            },
            text: cells.text(number, &value),
            value: value.as_f64(),
            is_partial: marks.partial.contains(&place),
            is_gap: marks.gaps.contains(&place),
        }
    };
    let bars: Vec<Bar> = answer.rows.iter().enumerate().map(bar).collect();
    let heads: Vec<String> = labels.iter().map(|at| cells.head(*at)).collect();
    lines(&heads.join(", "), &cells.head(number), &bars, canvas)
}

/// The drawing: a head, then a line a bar.
pub fn lines(label_head: &str, number_head: &str, bars: &[Bar], canvas: &Canvas) -> Drawing {
    let (label_head, number_head) = (harmless(label_head), harmless(number_head));
    let paint = canvas.screen.paint;
    let text_width = bars.iter().map(|bar| columns(&bar.text)).max().unwrap_or(0);
    let labels: Vec<_> = bars.iter().map(|bar| harmless(&bar.label)).collect();
    let widest = labels.iter().map(|label| columns(label)).chain([columns(&label_head)]).max().unwrap_or(0);
    let most = canvas.columns.saturating_sub(text_width + 2 * SPACE + BAR_MIN).min(canvas.columns * 2 / 5);
    let label_width = widest.min(most.max(LABEL_MIN));
    // without labels the numbers stand at the edge
    let left = if label_width == 0 { 0 } else { label_width + SPACE };
    let room = canvas.columns.saturating_sub(left + text_width + SPACE).max(BAR_MIN);
    let values = bars.iter().filter_map(|bar| bar.value);
    let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let scale = Scale::new(low, high, room - usize::from(low < 0.0));
    let labelled = |label: &str, style: Option<Style>| {
        let label = cut(label, label_width);
        format!("{}{}", paint.text(style, &label), " ".repeat(left - columns(&label)))
    };
    let right = |text: &str, style: Option<Style>| {
        format!("{}{}", " ".repeat(text_width.saturating_sub(columns(text))), paint.text(style, text))
    };
    let head = Some(Style::Head);
    let number_head = cut(&number_head, canvas.columns.saturating_sub(left));
    let mut out = format!("{}{}\n", labelled(&label_head, head), right(&number_head, head));
    for (bar, label) in bars.iter().zip(&labels) {
        let faint = (bar.is_gap || bar.value.is_none()).then_some(Style::Faint);
        let (blank, drawn) = drawn(bar, &scale);
        let style = if bar.is_partial || bar.is_gap { Style::FaintBar } else { Style::Bar };
        let line = format!(
            "{}{}{}{blank}{}",
            labelled(label, faint.filter(|_| bar.is_gap)),
            right(&bar.text, faint),
            " ".repeat(SPACE),
            paint.text(Some(style), &drawn)
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    let has_gaps = bars.iter().any(|bar| bar.is_gap);
    Drawing { text: out, without: if has_gaps { Without::Events } else { Without::Nothing } }
}

/// The blanks before a bar, and the bar. Where there are numbers below 0, 0 has a column of its own.
fn drawn(bar: &Bar, scale: &Scale) -> (String, String) {
    let axis = if scale.below > 0 { "│" } else { "" };
    let value = bar.value.filter(|_| !bar.is_gap).unwrap_or(0.0);
    if value < 0.0 {
        let halves = scale.parts(value, 2);
        let drawn = match bar.is_partial {
            true => LIGHT.repeat(halves.div_ceil(2)),
            // the half is at the end, away from 0
            false => format!("{}{}", ["", "▐"][halves % 2], "█".repeat(halves / 2)),
        };
        return (" ".repeat(scale.below - halves.div_ceil(2)), format!("{drawn}{axis}"));
    }
    let eighths = scale.parts(value, 8);
    let drawn = match (bar.is_gap, bar.is_partial) {
        (true, _) => GAP.to_owned(),
        (_, true) => LIGHT.repeat(eighths.div_ceil(8)),
        (_, false) => format!("{}{}", "█".repeat(eighths / 8), RIGHT[eighths % 8]),
    };
    (" ".repeat(scale.below), format!("{axis}{drawn}"))
}
