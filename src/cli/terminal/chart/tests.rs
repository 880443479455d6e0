//! Whole charts as text, as a pipe gets them: 80 columns without colours.

use super::*;
use crate::cli::terminal::Paint;
use crate::cli::terminal::width;
use crate::query::answer::{Series, Stats};
use crate::query::language::Range;
use crate::time::{self, Bucket};
use crate::value::Value;
use jiff::tz::TimeZone;

fn answer(columns: &[(&str, &'static str)], rows: Vec<Vec<Value>>) -> Answer {
    let column = |(name, kind): &(&str, &'static str)| AnswerColumn { name: (*name).into(), kind };
    Answer {
        columns: columns.iter().map(column).collect(),
        rows,
        next: None,
        stats: Stats::default(),
        tz: TimeZone::UTC,
        series: None,
        range: Range::default(),
        previous: None,
    }
}

fn text(text: &str) -> Value {
    Value::text(text)
}

fn day(number: i64) -> Value {
    Value::Time(time::parse("2026-03-01").unwrap() + number * time::DAY)
}

/// Days from the first of March on, with the marks of a series.
fn days(values: &[Value], partial: &[usize], gaps: &[usize]) -> Answer {
    let rows = values.iter().enumerate().map(|(at, value)| vec![day(at as i64), value.clone()]).collect();
    let mut answer = answer(&[("day(_time)", "time"), ("count()", "int")], rows);
    answer.series =
        Some(Series { column: 0, bucket: Bucket::Day, partial: partial.to_vec(), gaps: gaps.to_vec() });
    answer
}

fn drawn(answer: &Answer, keys: &[usize]) -> String {
    let written = chart(answer, keys, Writing::Rounded, &Screen::default()).unwrap();
    for line in written.lines() {
        assert!(width::columns(line) <= COLUMNS, "wider than {COLUMNS}: {line}");
        assert_eq!(line.trim_end(), line, "ends in blanks");
    }
    written
}

#[track_caller]
fn assert_drawn(answer: &Answer, keys: &[usize], expected: &str) {
    let found = drawn(answer, keys);
    assert_eq!(found, expected, "\nfound\n{found}\nexpected\n{expected}");
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn groups_are_bars_and_the_largest_is_the_longest() {
    let rows = [("DE", 120), ("日本", 60), ("FR", 1), ("IT", 0)];
    let rows = rows.map(|(name, count)| vec![text(name), Value::Int(count)]).to_vec();
    assert_drawn(
        &answer(&[("country", "string"), ("count(*)", "int")], rows),
        &[0],
        &lines(&[
            "country  count(*)",
            "DE       120  ██████████████████████████████████████████████████████████████████",
            "日本      60  █████████████████████████████████",
            "FR         1  ▌",
            "IT         0",
        ]),
    );
}

#[test]
fn numbers_below_zero_grow_to_the_left() {
    let rows = [("up", 30.0), ("down", -10.0), ("none", 0.0), ("little", -0.1)];
    let rows = rows.map(|(name, change)| vec![text(name), Value::Float(change)]).to_vec();
    assert_drawn(
        &answer(&[("what", "string"), ("change", "float")], rows),
        &[0],
        &lines(&[
            "what    change",
            "up        30                  │████████████████████████████████████████████████",
            "down     -10  ████████████████│",
            "none       0                  │",
            "little  -0.1                 ▐│",
        ]),
    );
}

#[test]
fn all_below_zero_end_at_the_axis() {
    let rows = [("a", -4), ("b", -1)].map(|(name, n)| vec![text(name), Value::Int(n)]).to_vec();
    assert_drawn(
        &answer(&[("k", "string"), ("n", "int")], rows),
        &[0],
        &lines(&[
            "k   n",
            "a  -4  ████████████████████████████████████████████████████████████████████████│",
            "b  -1                                                        ██████████████████│",
        ]),
    );
}

#[test]
fn a_short_series_is_a_bar_a_day_with_its_gaps_and_partial_days() {
    let values = [Value::Int(40), Value::Int(0), Value::Int(80), Value::Null, Value::Int(20)];
    assert_drawn(
        &days(&values, &[4], &[1]),
        &[0],
        &lines(&[
            "day(_time) [UTC]  count()",
            "2026-03-01          40  ████████████████████████████",
            "2026-03-02           0  ·",
            "2026-03-03          80  ████████████████████████████████████████████████████████",
            "2026-03-04        null",
            "2026-03-05          20  ░░░░░░░░░░░░░░",
            "░ part of a day only: it reaches over an end of the range, or into the future",
            "· a day without events",
        ]),
    );
}

#[test]
fn buckets_that_the_answer_has_no_row_of_are_gaps() {
    let mut answer = days(&[Value::Int(4), Value::Int(8)], &[], &[]);
    answer.rows[1][0] = day(3);
    // newest first, as rows come: time goes down the screen all the same
    answer.rows.reverse();
    assert_drawn(
        &answer,
        &[0],
        &lines(&[
            "day(_time) [UTC]  count()",
            "2026-03-01        4  █████████████████████████████▌",
            "2026-03-02           ·",
            "2026-03-03           ·",
            "2026-03-04        8  ███████████████████████████████████████████████████████████",
            "· a day without events",
        ]),
    );
}

#[test]
fn weeks_begin_on_the_day_of_the_answer() {
    // 2026-03-01 was a Sunday
    let mut answer = days(&[Value::Int(4), Value::Int(8)], &[], &[]);
    answer.rows[1][0] = day(21);
    answer.series = answer.series.map(|series| Series { bucket: Bucket::Week, ..series });
    let written = drawn(&answer, &[0]);
    assert!(
        written.contains("2026-03-08        ·\n") || written.contains("2026-03-08           ·\n"),
        "{written}"
    );
    assert!(written.ends_with("· a week without events\n"), "{written}");
}

#[test]
fn a_long_series_is_columns_over_an_axis() {
    let values: Vec<Value> = (0..31).map(|at| Value::Int((at * 7) % 31 * 10)).collect();
    let mut answer = days(&values, &[0, 30], &[9, 10]);
    answer.rows[9][1] = Value::Int(0);
    answer.rows[10][1] = Value::Null;
    assert_drawn(
        &answer,
        &[0],
        &lines(&[
            "count() by day(_time) [UTC]",
            "300 ┤        ▂▂                ▅▅                ██",
            "    │        ██                ██      ▃▃        ██      ▆▆",
            "    │        ██      ██        ██      ██      ▂▂██      ██      ░░",
            "    │      ▃▃██      ██      ▆▆██      ██      ████      ██      ░░",
            "    │      ████    ▂▂██      ████    ▅▅██      ████    ████      ░░",
            "    │      ████    ████      ████    ████    ▃▃████    ████    ▆▆░░",
            "    │    ▅▅████    ████    ██████    ████    ██████  ▂▂████    ██░░",
            "    │    ██████  ▃▃████    ██████  ▆▆████    ██████  ██████    ██░░",
            "    │    ██████  ██████    ██████  ██████  ▅▅██████  ██████  ████░░",
            "    │  ▆▆██████  ██████    ██████  ██████  ████████▃▃██████  ████░░",
            "    │  ████████▅▅██████    ██████████████  ████████████████▂▂████░░",
            "    │  ████████████████    ██████████████▆▆██████████████████████░░",
            "  0 └──────────────────····────────────────────────────────────────",
            "     2026-03-01                2026-03-16                2026-03-31",
            "░ part of a day only: it reaches over an end of the range, or into the future",
            "· a day without events",
        ]),
    );
}

#[test]
fn a_long_series_may_go_below_zero() {
    let values: Vec<Value> = (0..25).map(|at| Value::Int(30 - at * 2)).collect();
    assert_drawn(
        &days(&values, &[], &[]),
        &[0],
        &lines(&[
            "count() by day(_time) [UTC]",
            " 30 ┤▅▅ ▂▂",
            "    │██ ██ ▆▆ ▃▃",
            "    │██ ██ ██ ██ ▇▇ ▄▄",
            "    │██ ██ ██ ██ ██ ██ ██ ▄▄ ▁▁",
            "    │██ ██ ██ ██ ██ ██ ██ ██ ██ ▅▅ ▂▂",
            "    │██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ▆▆ ▃▃",
            "    │██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ██ ▇▇ ▄▄",
            "  0 ┼───────────────────────────────────────────────────────────────────────────",
            "    │                                                ▀▀ ██ ██ ██ ██ ██ ██ ██ ██",
            "    │                                                      ▀▀ ██ ██ ██ ██ ██ ██",
            "    │                                                            ▔▔ ▀▀ ██ ██ ██",
            "-18 ┤                                                                  ▔▔ ▀▀ ██",
            "     2026-03-01                      2026-03-13                      2026-03-25",
        ]),
    );
}

#[test]
fn more_buckets_than_columns_are_drawn_together() {
    let values: Vec<Value> = (0..200).map(|at| Value::Int(at % 50)).collect();
    assert_drawn(
        &days(&values, &[199], &[]),
        &[0],
        &lines(&[
            "count() by day(_time) [UTC]",
            "49 ┤               ▄█               ▆█              ▂█               ▄░",
            "   │              ▆██             ▂███             ▄██              ▆█░",
            "   │            ▂████            ▄████            ▆███            ▂███░",
            "   │           ▅█████          ▁▇█████          ▃█████           ▅████░",
            "   │         ▁▇██████         ▃███████         ▅██████         ▁▇█████░",
            "   │        ▃████████        ▅████████       ▁▇███████        ▃███████░",
            "   │       ▅█████████      ▁▇█████████      ▃█████████       ▅████████░",
            "   │     ▁▇██████████     ▃███████████     ▅██████████     ▁▇█████████░",
            "   │    ▃████████████    ▅████████████   ▁▇███████████    ▃███████████░",
            "   │   ▆█████████████  ▂██████████████  ▄█████████████   ▆████████████░",
            "   │ ▂███████████████ ▄███████████████ ▆██████████████ ▂██████████████░",
            "   │▄████████████████▆████████████████████████████████▄███████████████░",
            " 0 └───────────────────────────────────────────────────────────────────",
            "    2026-03-01                  2026-06-09                   2026-09-16",
            "each column is the largest of 3 values",
            "░ part of a day only: it reaches over an end of the range, or into the future",
        ]),
    );
}

#[test]
fn of_very_many_groups_the_first_are_drawn() {
    let rows = (0..10_000).map(|at| vec![day(at), text(&format!("u{at}")), Value::Int(1)]).collect();
    let mut answer = answer(&[("day(_time)", "time"), ("user", "string"), ("count()", "int")], rows);
    answer.series = Some(Series { column: 0, bucket: Bucket::Day, partial: vec![], gaps: vec![] });
    let drawn = chart(&answer, &[0, 1], Writing::Rounded, &Screen::default()).unwrap();
    assert_eq!(drawn.lines().filter(|line| line.starts_with('u')).count(), 201, "the head, and 200 groups");
    assert!(drawn.contains("not drawn: 9800 more groups; choose some with where\n"), "{drawn}");
}

#[test]
fn names_of_columns_that_are_not_drawn_do_not_steer_the_terminal() {
    let row = vec![text("DE"), Value::Int(1), Value::Bool(true)];
    let answer = answer(&[("country", "string"), ("n", "int"), ("a\u{1b}[2J", "bool")], vec![row]);
    let drawn = chart(&answer, &[0], Writing::Rounded, &Screen::default()).unwrap();
    assert!(drawn.contains("not drawn: a\\u{1b}[2J"), "{drawn}");
}

#[test]
fn groups_over_time_are_a_line_each() {
    let mut rows = Vec::new();
    for at in 0..10 {
        rows.push(vec![day(at), text("DE"), Value::Int(100 + at * 10)]);
        if !(3..6).contains(&at) {
            rows.push(vec![day(at), text("FR"), Value::Int(9 - at)]);
        }
    }
    rows.push(vec![day(4), text("a country with quite a long name"), Value::Int(0)]);
    let mut answer = answer(&[("day(_time)", "time"), ("country", "string"), ("count()", "int")], rows);
    answer.series = Some(Series { column: 0, bucket: Bucket::Day, partial: vec![16, 17], gaps: vec![] });
    assert_drawn(
        &answer,
        &[0, 1],
        &lines(&[
            "count() by day(_time) [UTC], 2026-03-01 to 2026-03-10",
            "country                                 min  max  last",
            "DE                          ▅▅▆▆▆▇▇███  100  190   190",
            "FR                          ██▇···▃▂▁▁   0*    9    0*",
            "a country with quite a lo…  ····▁·····   0*   0*    0*",
            "each line is drawn from 0 to its own max",
            "* part of a day only: it reaches over an end of the range, or into the future",
            "· a day without events",
        ]),
    );
}

#[test]
fn several_numbers_are_a_drawing_each_and_the_rest_is_named() {
    let columns = [("status", "int"), ("count(*)", "int"), ("avg(ms)", "float"), ("any(path)", "string")];
    let row = |status, count, ms| vec![Value::Int(status), Value::Int(count), Value::Float(ms), text("/")];
    let rows = vec![row(200, 10, 1.0 / 3.0), row(404, 5, 0.25)];
    // a number that is a key is a label
    assert_drawn(
        &answer(&columns, rows),
        &[0],
        &lines(&[
            "status  count(*)",
            "200     10  ████████████████████████████████████████████████████████████████████",
            "404      5  ██████████████████████████████████",
            "",
            "status   avg(ms)",
            "200     0.333333  ██████████████████████████████████████████████████████████████",
            "404         0.25  ██████████████████████████████████████████████▌",
            "not drawn: any(path)",
        ]),
    );
}

#[test]
fn one_number_nothing_but_zeros_and_nothing_at_all_are_drawn_too() {
    let count = [("count(*)", "int")];
    assert_drawn(
        &answer(&count, vec![vec![Value::Int(7)]]),
        &[],
        &lines(&[
            "count(*)",
            "7  █████████████████████████████████████████████████████████████████████████████",
        ]),
    );
    assert_drawn(
        &answer(&count, vec![vec![Value::Int(0)], vec![Value::Null]]),
        &[],
        &lines(&["   count(*)", "1     0", "2  null"]),
    );
    assert_drawn(&answer(&count, vec![]), &[], "(0 rows: there is nothing to draw)\n");
    let zeros: Vec<Value> = (0..30).map(|_| Value::Int(0)).collect();
    assert!(drawn(&days(&zeros, &[], &[]), &[0]).contains("0 └──"));
}

#[test]
fn labels_are_cut_and_cannot_steer_the_terminal() {
    let long = format!("{}\u{1b}[2J", "longer than the screen ".repeat(9));
    let rows = vec![vec![text(&long), Value::Int(1)], vec![text("\u{1b}c"), Value::Int(2)]];
    let written = drawn(&answer(&[("k", "string"), ("n", "int")], rows), &[0]);
    assert!(
        !written.contains('\u{1b}') && written.contains("\\u{1b}c") && written.contains('…'),
        "{written}"
    );
}

#[test]
fn without_a_number_there_is_nothing_to_draw() {
    let refusal = chart(
        &answer(&[("country", "string"), ("max(_time)", "time")], vec![]),
        &[0],
        Writing::Rounded,
        &Screen::default(),
    );
    let refusal = refusal.unwrap_err().to_string();
    for part in ["column of numbers", "\"country\" (string)", "\"max(_time)\" (time)", "count(*)"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn a_time_that_is_no_key_is_no_axis() {
    let columns = [("country", "string"), ("max(_time)", "time"), ("count(*)", "int")];
    let found = roles(&answer(&columns, vec![]), &[0]).unwrap();
    assert_eq!(found, Roles { time: None, labels: vec![0], numbers: vec![2] });
    let rows = roles(&answer(&columns, vec![]), &[]).unwrap();
    assert_eq!(rows, Roles { time: Some(1), labels: vec![0], numbers: vec![2] });
}

#[test]
fn any_screen_and_any_number_can_be_drawn_on() {
    let extremes = [f64::MAX, f64::MIN, 5e-324, -5e-324, 0.0, 1e300, -1.0];
    for count in [1, 7, 90] {
        let values: Vec<Value> = (0..count).map(|at| Value::Float(extremes[at % 7])).collect();
        let series = days(&values, &[0], &[]);
        for columns in [1, 20, 40, 200] {
            for lines in [1, 10, 100] {
                let screen = Screen {
                    columns: Some(columns),
                    lines: Some(lines),
                    paint: Paint { has_colours: count == 7 },
                };
                let written = chart(&series, &[0], Writing::Human, &screen).unwrap();
                assert!(written.lines().count() >= 2, "{count} {columns} {lines}");
                assert_eq!(written.contains('\x1b'), count == 7, "colours where they are wanted");
            }
        }
    }
}
