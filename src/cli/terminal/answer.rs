//! An answer as a table: `sql` and `query` call it. Rows of a series that are no whole buckets, or that no event made,
//! are marked, and what the marks mean is said below. Charts mark and say the same.

use std::collections::HashSet;

use super::Style;
use super::cells::{Cells, Writing};
use super::table::{Cell, Head, Row, Table};
use crate::query::answer::{Answer, Series};
use crate::time::Bucket;
use crate::value::Value;

/// Characters of a cell: a longer text would push every other column off the screen.
const CELL_COLUMNS_MAX: usize = 80;
/// Behind a bucket that is not whole.
pub const PARTIAL: &str = "*";
/// Behind a bucket without events.
pub const GAP: &str = "·";

/// The table of an answer.
pub fn table(answer: &Answer, writing: Writing) -> Table {
    let cells = Cells::of(answer, writing);
    let marks = Marks::of(answer.series.as_ref());
    let head = |(at, column): (usize, &crate::query::answer::AnswerColumn)| Head {
        text: cells.head(at),
        is_right: matches!(column.kind, "int" | "float"),
    };
    let row = |(number, row): (usize, &Vec<Value>)| {
        let mut shown: Vec<Cell> =
            row.iter().enumerate().map(|(at, value)| cell(cells.text(at, value), value)).collect();
        if let Some(bucket) = answer.series.as_ref().and_then(|series| shown.get_mut(series.column)) {
            bucket.text.push_str(marks.behind(number));
        }
        Row { cells: shown, is_faint: marks.gaps.contains(&number) }
    };
    let series = answer.series.as_ref();
    let partial = partial_note(series, PARTIAL);
    let gaps = series.filter(|series| !series.gaps.is_empty()).map(gap_note);
    Table {
        heads: answer.columns.iter().enumerate().map(head).collect(),
        rows: answer.rows.iter().enumerate().map(row).collect(),
        notes: partial.into_iter().chain(gaps).collect(),
        cell_columns_max: Some(CELL_COLUMNS_MAX),
        whole_with: "--format json, csv or ndjson",
        is_bare: false,
    }
}

fn cell(text: String, value: &Value) -> Cell {
    let is_exact = matches!(value, Value::Int(_) | Value::Float(_) | Value::Time(_));
    Cell { text, is_exact, style: value.is_null().then_some(Style::Faint) }
}

/// The rows of a series that are marked.
#[derive(Debug, Default)]
pub struct Marks {
    /// Those whose bucket is not whole.
    pub partial: HashSet<usize>,
    /// Those without events.
    pub gaps: HashSet<usize>,
}

impl Marks {
    /// None where the answer is no series.
    pub fn of(series: Option<&Series>) -> Self {
        let Some(series) = series else { return Self::default() };
        Self {
            partial: series.partial.iter().copied().collect(),
            gaps: series.gaps.iter().copied().collect(),
        }
    }

    /// What stands behind the bucket of a row.
    fn behind(&self, row: usize) -> &'static str {
        match (self.gaps.contains(&row), self.partial.contains(&row)) {
            (true, true) => "·*",
            (true, false) => GAP,
            (false, true) => PARTIAL,
            (false, false) => "",
        }
    }
}

/// What the mark of a bucket that is not whole means, where the answer has one.
pub fn partial_note(series: Option<&Series>, mark: &str) -> Option<String> {
    let series = series.filter(|series| !series.partial.is_empty())?;
    let bucket = a(series.bucket);
    Some(format!("{mark} part of {bucket} only: it reaches over an end of the range, or into the future"))
}

/// What the mark of a bucket without events means.
pub fn gap_note(series: &Series) -> String {
    format!("{GAP} {} without events", a(series.bucket))
}

fn a(bucket: Bucket) -> String {
    format!("{} {}", if bucket == Bucket::Hour { "an" } else { "a" }, bucket.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::{Paint, Screen};
    use crate::query::answer::{AnswerColumn, Stats};
    use crate::query::language::Range;
    use jiff::tz::TimeZone;

    fn series() -> Answer {
        let column = |name: &str, kind| AnswerColumn { name: name.into(), kind };
        let day = |number: i64, count: Value, ms: Value| {
            vec![
                Value::Time(crate::time::parse("2026-03-01").unwrap() + number * crate::time::DAY),
                count,
                ms,
            ]
        };
        Answer {
            columns: vec![column("day(_time)", "time"), column("count()", "int"), column("avg(ms)", "float")],
            rows: vec![
                day(0, Value::Int(12_345), Value::Float(12.5)),
                day(1, Value::Int(0), Value::Null),
                day(2, Value::Int(7), Value::Float(1.0 / 3.0)),
            ],
            next: None,
            stats: Stats::default(),
            tz: TimeZone::UTC,
            series: Some(Series { column: 0, bucket: Bucket::Day, partial: vec![2], gaps: vec![1] }),
            range: Range::default(),
            previous: None,
        }
    }

    #[test]
    fn partial_buckets_and_gaps_are_marked_and_explained() {
        let expected = "\
day(_time)             count()             avg(ms)
---------------------  -------  ------------------
2026-03-01T00:00:00Z     12345                12.5
2026-03-02T00:00:00Z·        0                null
2026-03-03T00:00:00Z*        7  0.3333333333333333
(3 rows)
* part of a day only: it reaches over an end of the range, or into the future
· a day without events
";
        assert_eq!(table(&series(), Writing::Exact).write(&Screen::default()), expected);
    }

    #[test]
    fn people_read_short_numbers_and_dates() {
        let expected = "\
day(_time) [UTC]  count()  avg(ms)
----------------  -------  -------
2026-03-01          12.3k  12.5 ms
2026-03-02·             0     null
2026-03-03*             7   333 µs
(3 rows)
* part of a day only: it reaches over an end of the range, or into the future
· a day without events
";
        assert_eq!(table(&series(), Writing::Human).write(&Screen::default()), expected);
    }

    #[test]
    fn gaps_and_nulls_are_faint_where_there_are_colours() {
        let screen = Screen { paint: Paint { has_colours: true }, ..Screen::default() };
        let written = table(&series(), Writing::Exact).write(&screen);
        let gap = written.lines().find(|line| line.contains("03-02")).unwrap();
        assert_eq!(gap.matches("\x1b[2m").count(), 3, "{gap:?}");
        assert!(!written.lines().any(|line| line.contains("03-01") && line.contains('\x1b')));
    }

    #[test]
    fn whole_rows_of_no_series_have_no_marks() {
        let written = table(&Answer { series: None, ..series() }, Writing::Exact).write(&Screen::default());
        assert!(!written.contains('*') && !written.contains(GAP), "{written}");
        let hours = Series { bucket: Bucket::Hour, ..series().series.unwrap() };
        assert!(partial_note(Some(&hours), "░").unwrap().starts_with("░ part of an hour only"));
    }
}
