//! The values of an answer as texts, column by column: exactly, or as people read them (`--human`). Tables and charts
//! call it, so both say the same.

use std::collections::HashMap;

use super::human;
use crate::query::answer::{Answer, Series};
use crate::time::{self, Bucket};
use crate::value::Value;

/// Digits that count in a fraction of a chart, where nobody asked for fewer.
const CHART_DIGITS: usize = 6;

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// As they are.
    Exact,
    /// Fractions with six digits, times as short as they can be: for charts.
    Rounded,
    /// As people read them.
    Human,
}

/// The way from the values of each column of an answer to texts.
pub struct Cells<'a> {
    answer: &'a Answer,
    writing: Writing,
    columns: Vec<Column>,
}

/// What is known of a column.
#[derive(Debug, Clone, Copy)]
struct Column {
    unit: Unit,
    clock: Clock,
}

/// What the numbers of a column count.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    /// Nothing that is known.
    None,
    /// Things that are called by number: never shortened.
    Name,
    /// Bytes.
    Bytes,
    /// So many µs each.
    Span(f64),
}

/// How much of the clock the times of a column need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    /// All are midnights.
    None,
    /// All are whole minutes.
    Minutes,
    /// All of it.
    All,
    /// And the offset: the clock alone would show two instants alike.
    Offset,
}

impl<'a> Cells<'a> {
    /// Looks through an answer.
    pub fn of(answer: &'a Answer, writing: Writing) -> Self {
        let clock = |at: usize| if writing == Writing::Exact { Clock::Offset } else { clock(answer, at) };
        let column = |(at, column): (usize, &crate::query::answer::AnswerColumn)| Column {
            unit: if writing == Writing::Human { unit(&column.name) } else { Unit::None },
            clock: if column.kind == "time" { clock(at) } else { Clock::Offset },
        };
        Self { answer, writing, columns: answer.columns.iter().enumerate().map(column).collect() }
    }

    /// The name of a column, and the zone of its times where these do not say it.
    pub fn head(&self, at: usize) -> String {
        let Some(column) = self.answer.columns.get(at) else { return String::new() };
        let is_short = column.kind == "time" && self.writing != Writing::Exact;
        if is_short { format!("{} [{}]", column.name, self.zone()) } else { column.name.clone() }
    }

    /// A value of a column.
    pub fn text(&self, at: usize, value: &Value) -> String {
        let column = self.columns.get(at).copied();
        let unit = column.map_or(Unit::None, |column| column.unit);
        match (value, self.writing) {
            (Value::Null, _) => "null".to_owned(),
            (Value::Time(us), _) => self.time(*us, column.map_or(Clock::Offset, |column| column.clock)),
            (Value::Int(number), Writing::Human) => match unit {
                Unit::Name => number.to_string(),
                Unit::None => human::whole(*number),
                _ => measured(unit, *number as f64),
            },
            (Value::Float(number), Writing::Human) => measured(unit, *number),
            (Value::Float(number), Writing::Rounded) => human::digits(*number, CHART_DIGITS),
            (other, _) => other.to_text().into_owned(),
        }
    }

    fn time(&self, us: i64, clock: Clock) -> String {
        let text = time::format_in(us, &self.answer.tz);
        if self.writing == Writing::Exact {
            return text;
        }
        let (date, rest) = text.split_once('T').unwrap_or((&text, ""));
        let (wall, _) = split_offset(rest);
        match clock {
            Clock::None => date.to_owned(),
            Clock::Minutes => format!("{date} {}", wall.get(..5).unwrap_or(wall)),
            Clock::All => format!("{date} {wall}"),
            Clock::Offset => format!("{date} {rest}"),
        }
    }

    fn zone(&self) -> String {
        let tz = &self.answer.tz;
        let offset =
            || time::format_in(0, tz).split_once('T').map(|(_, rest)| split_offset(rest).1.to_owned());
        tz.iana_name().map(str::to_owned).or_else(offset).unwrap_or_default()
    }
}

fn measured(unit: Unit, number: f64) -> String {
    match unit {
        Unit::Bytes => human::bytes(number),
        Unit::Span(us) => human::span(number * us),
        Unit::None | Unit::Name => human::fraction(number),
    }
}

/// The wall clock and the offset of a time of day.
fn split_offset(rest: &str) -> (&str, &str) {
    rest.find(['Z', '+', '-']).map_or((rest, ""), |at| rest.split_at(at))
}

fn clock(answer: &Answer, at: usize) -> Clock {
    let times = || {
        answer.rows.iter().filter_map(move |row| match row.get(at) {
            Some(Value::Time(us)) => Some((*us, time::format_in(*us, &answer.tz))),
            _ => None,
        })
    };
    let needed = |text: &str| {
        let (wall, _) = text.split_once('T').map_or(("", ""), |(_, rest)| split_offset(rest));
        match wall {
            "00:00:00" => Clock::None,
            _ if wall.ends_with(":00") => Clock::Minutes,
            _ => Clock::All,
        }
    };
    // a day whose midnight the clock skips begins later, and is a day all the same
    let is_dates = answer.series.as_ref().is_some_and(|series: &Series| {
        series.column == at && !matches!(series.bucket, Bucket::Minute | Bucket::Hour)
    });
    let clock = match is_dates {
        true => Clock::None,
        false => times().map(|(_, text)| needed(&text)).max().unwrap_or(Clock::None),
    };
    let mut walls: HashMap<String, i64> = HashMap::new();
    let is_doubled = times().any(|(us, text)| {
        let wall = text.split_once('T').map_or(0, |(date, rest)| date.len() + 1 + split_offset(rest).0.len());
        *walls.entry(text.get(..wall).unwrap_or_default().to_owned()).or_insert(us) != us
    });
    if is_doubled { Clock::Offset } else { clock }
}

/// Aggregates and functions whose result counts what their first argument counts.
const SAME_UNIT: [&str; 16] = [
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "any",
    "quantile",
    "approx_quantile",
    "median",
    "round",
    "abs",
    "p50",
    "p90",
    "p95",
    "p99",
];

/// Words of names that say a unit, with what they say.
const UNITS: [(&str, Unit); 13] = [
    ("bytes", Unit::Bytes),
    ("ns", Unit::Span(1e-3)),
    ("us", Unit::Span(1.0)),
    ("µs", Unit::Span(1.0)),
    ("ms", Unit::Span(1e3)),
    ("millis", Unit::Span(1e3)),
    ("milliseconds", Unit::Span(1e3)),
    ("seconds", Unit::Span(1e6)),
    ("secs", Unit::Span(1e6)),
    ("s", Unit::Span(1e6)),
    ("id", Unit::Name),
    ("seq", Unit::Name),
    ("year", Unit::Name),
];

/// The unit that the name of a column says: `bytes_sent`, `sum(bytes)` and `p95(duration_ms)` do, `count(bytes)` and
/// `bytes / ms` do not.
fn unit(name: &str) -> Unit {
    // that of the period before, as `compare` calls it
    let mut name = name.strip_suffix(".previous").unwrap_or(name).trim();
    while let Some((function, arguments)) = name.strip_suffix(')').and_then(|call| call.split_once('(')) {
        if !SAME_UNIT.contains(&function.trim().to_lowercase().as_str()) {
            return Unit::None;
        }
        name = arguments.rsplit_once(',').map_or(arguments, |(first, _)| first).trim();
    }
    let name = name.trim_matches('"').to_lowercase();
    if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        return Unit::None;
    }
    let words: Vec<&str> = name.split(['_', '.', '-']).filter(|word| !word.is_empty()).collect();
    let is_last = |word: &str| words.last() == Some(&word);
    // a name of one letter, and what is called by number, say it at the end only
    let counts = |word: &&str, unit: Unit| match unit {
        Unit::Name => is_last(word),
        _ => *word != "s" || (words.len() > 1 && is_last(word)),
    };
    let said: Vec<Unit> = words
        .iter()
        .filter_map(|word| UNITS.iter().find(|(known, unit)| known == word && counts(word, *unit)))
        .map(|(_, unit)| *unit)
        .collect();
    match said.as_slice() {
        [one] if !words.contains(&"per") => *one,
        _ => Unit::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::answer::{AnswerColumn, Stats};
    use crate::query::language::Range;
    use jiff::tz::TimeZone;

    fn answer(columns: &[(&str, &'static str)], rows: Vec<Vec<Value>>, zone: &str) -> Answer {
        let column = |(name, kind): &(&str, &'static str)| AnswerColumn { name: (*name).into(), kind };
        Answer {
            columns: columns.iter().map(column).collect(),
            rows,
            next: None,
            stats: Stats::default(),
            tz: TimeZone::get(zone).unwrap(),
            series: None,
            range: Range::default(),
            previous: None,
        }
    }

    fn times(texts: &[&str], zone: &str) -> (String, Vec<String>) {
        let value = |text: &&str| vec![Value::Time(time::parse(text).unwrap())];
        let answer = answer(&[("t", "time")], texts.iter().map(value).collect(), zone);
        let cells = Cells::of(&answer, Writing::Human);
        (cells.head(0), answer.rows.iter().map(|row| cells.text(0, &row[0])).collect())
    }

    #[test]
    fn a_name_says_what_its_numbers_count() {
        for (name, expected) in [
            ("bytes", Unit::Bytes),
            ("sum(bytes)", Unit::Bytes),
            ("body_bytes_sent", Unit::Bytes),
            ("p95(duration_ms)", Unit::Span(1e3)),
            ("quantile(\"props.ms\", 0.9)", Unit::Span(1e3)),
            ("round(avg(ms), 1)", Unit::Span(1e3)),
            ("sum(bytes).previous", Unit::Bytes),
            ("median_seconds", Unit::Span(1e6)),
            ("wait_s", Unit::Span(1e6)),
            ("latency_ms_max", Unit::Span(1e3)),
            ("user_id", Unit::Name),
            ("_seq", Unit::Name),
            ("s", Unit::None),
            ("count(bytes)", Unit::None),
            ("bytes / ms", Unit::None),
            ("bytes_per_ms", Unit::None),
            ("items", Unit::None),
            ("id_count", Unit::None),
            ("count(*)", Unit::None),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }

    #[test]
    fn people_read_numbers_by_what_they_count() {
        let columns = [("count()", "int"), ("sum(bytes)", "int"), ("avg(ms)", "float"), ("user_id", "int")];
        let row = vec![Value::Int(12_345), Value::Int(5 << 20), Value::Float(1_534.2), Value::Int(123_456)];
        let answer = answer(&columns, vec![row], "UTC");
        let texts = |writing| -> Vec<String> {
            let cells = Cells::of(&answer, writing);
            answer.rows[0].iter().enumerate().map(|(at, value)| cells.text(at, value)).collect()
        };
        assert_eq!(texts(Writing::Human), ["12.3k", "5.0 MiB", "1.53 s", "123456"]);
        assert_eq!(texts(Writing::Exact), ["12345", "5242880", "1534.2", "123456"]);
    }

    #[test]
    fn times_show_as_much_of_the_clock_as_they_need() {
        let (head, texts) = times(&["2026-03-01", "2026-03-02"], "UTC");
        assert_eq!((head.as_str(), texts), ("t [UTC]", vec!["2026-03-01".into(), "2026-03-02".into()]));
        let (head, texts) = times(&["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"], "Europe/Berlin");
        assert_eq!(
            (head.as_str(), texts),
            ("t [Europe/Berlin]", vec!["2026-03-01".into(), "2026-04-01".into()])
        );
        assert_eq!(times(&["2026-03-01", "2026-03-01T10:05:00Z"], "UTC").1[0], "2026-03-01 00:00");
        assert_eq!(times(&["2026-03-01", "2026-03-01T10:05:09.5Z"], "UTC").1[1], "2026-03-01 10:05:09.500");
    }

    #[test]
    fn an_hour_that_the_clock_repeats_keeps_its_offset() {
        let (_, texts) = times(&["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"], "Europe/Berlin");
        assert_eq!(texts, ["2026-10-25 02:00:00+02:00", "2026-10-25 02:00:00+01:00"]);
    }
}
