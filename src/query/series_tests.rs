//! Series over time: gaps filled, partial buckets told, the period before laid beside. Answers are compared as lines,
//! from the tail and from a segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Result;
use crate::fields::FieldSet;
use crate::query::answer::Answer;
use crate::query::layouts::{Layout, alone, laid_out};
use crate::query::{execute, parse, plan, run};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::time::{self, Bucket, Calendar};
use crate::value::Value;

/// A dataset "t" of events: when, a country, an amount.
fn events(rows: &[(&str, &str, i64)]) -> Snapshot {
    let at: Vec<i64> = rows.iter().map(|(at, ..)| time::parse(at).expect(at)).collect();
    of_columns(&at, rows.iter().map(|row| Value::text(row.1)), rows.iter().map(|row| Value::Int(row.2)))
}

fn of_columns(
    at: &[i64],
    country: impl Iterator<Item = Value>,
    amount: impl Iterator<Item = Value>,
) -> Snapshot {
    let mut fields = FieldSet::default();
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(at)))];
    for (name, column) in [("country", column_of(country)), ("amount", column_of(amount))] {
        fields.add(&name.into(), column.kinds());
        columns.push((name.into(), Arc::new(column)));
    }
    let tail = vec![TailBlock { first_seq: 1, block: Arc::new(Block::new(at.len(), columns)) }];
    let dataset = Dataset {
        id: 1,
        rules_version: 1,
        fields: Arc::new(fields),
        next_seq: at.len() as i64 + 1,
        tail,
        ..Dataset::new("t".into())
    };
    Snapshot { datasets: BTreeMap::from([(Arc::from("t"), Arc::new(dataset))]) }
}

const NOW: &str = "2026-04-01T15:20:00Z";

/// Asks the question that this JSON without its `from` is.
fn ask(data: &Snapshot, question: &str) -> Result<Answer> {
    let body = format!("{{\"from\": \"t\", {question}}}");
    let query = parse::json(body.as_bytes(), time::parse(NOW).expect("a time"))?;
    let answer = run(data, &query)?;
    let sealed = run(&alone(laid_out(&data.datasets["t"], Layout::Segment)), &query)?;
    assert_eq!((&sealed.rows, &sealed.series), (&answer.rows, &answer.series), "{question}, sealed");
    Ok(answer)
}

/// The rows as lines; times on the clock of the query, without what all of them have.
fn lines(answer: &Answer) -> Vec<String> {
    let cell = |value: &Value| match value {
        Value::Time(us) => time::format_in(*us, &answer.tz).replace(":00:00", "").replace('Z', ""),
        Value::Null => "null".into(),
        other => other.to_text().into_owned(),
    };
    answer.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

fn told(data: &Snapshot, question: &str) -> Vec<String> {
    lines(&ask(data, question).unwrap_or_else(|error| panic!("{question}: {error}")))
}

fn refused(data: &Snapshot, question: &str) -> String {
    ask(data, question).map(|_| ()).expect_err(question).to_string()
}

fn march() -> Snapshot {
    events(&[
        ("2026-03-28T10:00:00Z", "DE", 5),
        ("2026-03-28T11:00:00Z", "FR", 7),
        ("2026-03-31T23:30:00Z", "DE", 1),
        ("2026-02-02T10:00:00Z", "DE", 2),
        ("2026-02-02T10:00:00Z", "IT", 4),
    ])
}

#[test]
fn filled_buckets_are_there_without_events() {
    let data = march();
    let question = r#""by": ["day(_time) as d"], "select": ["count()", "sum(amount)", "avg(amount)"],
        "range": {"from": "2026-03-27", "to": "2026-04-01"}"#;
    assert_eq!(told(&data, question), ["2026-03-28T00 2 12 6.0", "2026-03-31T00 1 1 1.0"]);
    let filled = ask(&data, &format!("{question}, \"fill\": true")).unwrap();
    let wanted = [
        "2026-03-27T00 0 0 null",
        "2026-03-28T00 2 12 6.0",
        "2026-03-29T00 0 0 null",
        "2026-03-30T00 0 0 null",
        "2026-03-31T00 1 1 1.0",
    ];
    assert_eq!(lines(&filled), wanted);
    let series = filled.series.unwrap();
    assert_eq!((series.column, series.bucket), (0, Bucket::Day));
    assert_eq!((series.gaps, series.partial), (vec![0, 2, 3], vec![]));
}

#[test]
fn having_order_limit_and_offset_see_filled_buckets() {
    let data = march();
    let question = |rest: &str| {
        format!(
            r#""by": ["day(_time)"], "select": ["count() as n"], "fill": true,
            "range": {{"from": "2026-03-27", "to": "2026-04-01"}}, {rest}"#
        )
    };
    assert_eq!(told(&data, &question(r#""having": "n > 0""#)).len(), 2);
    let last = told(&data, &question(r#""order": ["-day(_time)"], "limit": 2, "offset": 1"#));
    assert_eq!(last, ["2026-03-30T00 0", "2026-03-29T00 0"]);
    let answer = ask(&data, &question(r#""order": ["-n"], "limit": 3"#)).unwrap();
    assert_eq!(answer.series.unwrap().gaps, [2]);
}

#[test]
fn every_combination_of_the_other_keys_is_filled() {
    let data = march();
    let question = r#""by": ["country", "day(_time)"], "select": ["count()"], "fill": true,
        "range": {"from": "2026-03-28", "to": "2026-03-30"}"#;
    let wanted = ["DE 2026-03-28T00 1", "DE 2026-03-29T00 0", "FR 2026-03-28T00 1", "FR 2026-03-29T00 0"];
    assert_eq!(told(&data, question), wanted);
}

#[test]
fn an_open_range_is_filled_between_the_buckets_that_are_there() {
    let data = march();
    let filled = told(&data, r#""by": ["month(_time)"], "select": ["count()"], "fill": true"#);
    assert_eq!(filled, ["2026-02-01T00 2", "2026-03-01T00 3"]);
    let weeks =
        told(&data, r#""by": ["week(_time)"], "select": ["count()"], "fill": true, "week_start": "sunday""#);
    assert_eq!((weeks.len(), weeks[0].as_str()), (9, "2026-02-01T00 2"));
    let none =
        told(&data, r#""by": ["day(_time)"], "select": ["count()"], "fill": true, "where": "amount > 99""#);
    assert!(none.is_empty());
    let to = r#""by": ["day(_time)"], "select": ["count()"], "fill": true, "range": {"from": "2026-03-30"}"#;
    assert_eq!(told(&data, to), ["2026-03-30T00 0", "2026-03-31T00 1"]);
}

#[test]
fn a_day_without_an_hour_has_23_buckets_and_one_with_an_hour_twice_25() {
    let data = march();
    for (day, next, hours) in
        [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25), ("2026-03-30", "2026-03-31", 24)]
    {
        let question = format!(
            r#""by": ["hour(_time)"], "select": ["count()"], "fill": true, "tz": "Europe/Berlin",
            "range": {{"from": "{day}", "to": "{next}"}}"#
        );
        assert_eq!(told(&data, &question).len(), hours, "{day}");
    }
}

#[test]
fn buckets_that_reach_over_the_range_or_the_present_are_partial() {
    let data = events(&[
        ("2026-03-30T16:00:00Z", "DE", 1),
        ("2026-03-31T10:00:00Z", "DE", 1),
        ("2026-04-01T10:00:00Z", "DE", 1),
    ]);
    let partial = |question: &str| {
        let question = format!(r#""by": ["day(_time)"], "select": ["count()"], {question}"#);
        ask(&data, &question).unwrap().series.map(|series| series.partial)
    };
    assert_eq!(partial(r#""range": {"last": "2d"}"#), Some(vec![0, 2]));
    assert_eq!(partial(r#""range": "today""#), Some(vec![0]));
    assert_eq!(partial(r#""range": {"from": "2026-03-30", "to": "2026-04-01"}"#), Some(vec![]));
    assert_eq!(partial(r#""range": {"from": "2026-03-30", "to": "2026-04-02"}"#), Some(vec![2]));
    assert_eq!(
        partial(r#""range": {"from": "2026-03-30", "to": "2026-04-03"}, "fill": true"#),
        Some(vec![2, 3])
    );
    assert_eq!(partial(r#""fill": true"#), Some(vec![2]));
    assert_eq!(partial(r#""limit": 5"#), None);
}

#[test]
fn a_local_time_in_a_condition_is_on_the_clock_of_the_query() {
    let data = march();
    for condition in
        ["_time >= '2026-04-01'", "_time >= DATE '2026-04-01'", "_time >= CAST('2026-04-01' AS time)"]
    {
        let count = |rest: &str| {
            told(&data, &format!(r#""select": ["count()"], "where": "{condition}"{rest}"#)).remove(0)
        };
        assert_eq!((count(""), count(r#", "tz": "Europe/Berlin""#)), ("0".into(), "1".into()), "{condition}");
    }
    let twice = r#""select": ["count()"], "where": "_time < '2026-10-25 02:30'", "tz": "Europe/Berlin""#;
    assert!(refused(&data, twice).contains("shows 2026-10-25 02:30 twice"));
}

#[test]
fn the_period_before_stands_beside_each_group() {
    let data = march();
    let by_country = r#""by": ["country"], "select": ["count()", "sum(amount) as total", "avg(amount)"],
        "compare": "previous", "range": "last month""#;
    let answer = ask(&data, by_country).unwrap();
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "country",
            "count()",
            "total",
            "avg(amount)",
            "count().previous",
            "total.previous",
            "avg(amount).previous"
        ]
    );
    assert_eq!(lines(&answer), ["DE 2 6 3.0 1 2 2.0", "FR 1 7 7.0 0 0 null"]);
    let previous = answer.previous.unwrap();
    assert_eq!((previous.from, previous.to), (time::parse("2026-02-01"), time::parse("2026-03-01")));
    let one = told(&data, r#""select": ["count()"], "compare": "previous", "range": "last month""#);
    assert_eq!(one, ["3 2"]);
    let top = told(
        &data,
        &format!("{by_country}, \"order\": [\"-total\"], \"limit\": 1, \"having\": \"total > 6\""),
    );
    assert_eq!(top, ["FR 1 7 7.0 0 0 null"]);
}

#[test]
fn of_the_period_before_only_the_groups_of_the_answer_are_rows() {
    // a million visitors before do not make a list of three too large
    let data = march();
    let body = br#"{"from": "t", "by": ["country"], "select": ["count()"]}"#;
    let query = parse::json(body, 0).expect("a query");
    let plan = plan::plan(&query, &data.datasets["t"]).expect("a plan");
    let wanted = ["XX", "FR", "XX"].map(|country| vec![Value::text(country)]);
    let found = |only| execute::execute(&plan, &data.datasets["t"], only).expect("an answer");
    let rows = found(Some(&wanted[..])).rows;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[0][0], &rows[1]), (&Value::text("FR"), &vec![Value::text("XX"), Value::Int(0)]));
    assert_eq!(found(Some(&[])).rows.len(), 0);
    assert!(found(None).rows.iter().any(|row| row[0] == Value::text("DE")));
}

#[test]
fn a_month_up_to_a_day_that_the_one_before_has_not_is_compared_with_all_of_it() {
    let data = events(&[
        ("2026-02-28T10:00:00Z", "DE", 1),
        ("2026-02-28T20:00:00Z", "DE", 1),
        ("2026-03-28T20:00:00Z", "DE", 1),
    ]);
    let on = |now: &str| {
        let body = br#"{"from": "t", "by": ["day(_time)"], "select": ["count()"], "compare": "previous", "range": "this month"}"#;
        let query = parse::json(body, time::parse(now).expect("a time")).expect("a query");
        lines(&run(&data, &query).expect("an answer"))
    };
    assert_eq!(on("2026-03-31T15:00:00Z"), ["2026-03-28T00 1 2"], "the whole 28th beside the whole 28th");
    assert_eq!(on("2026-03-28T21:00:00Z"), ["2026-03-28T00 1 2"]);
}

#[test]
fn a_cast_of_the_time_to_a_date_is_a_day_of_the_range() {
    let data = march();
    let range = r#""select": ["count()"], "range": {"from": "2026-03-27", "to": "2026-03-30"}, "fill": true"#;
    let days = told(&data, &format!(r#""by": ["day(_time)"], {range}"#));
    assert_eq!(days.len(), 3);
    assert_eq!(told(&data, &format!(r#""by": ["_time::date"], {range}"#)), days);
}

#[test]
fn a_bucket_of_a_local_time_is_one_of_the_clock_of_the_query() {
    let data = events(&[("2026-03-29T12:00:00Z", "DE", 1)]);
    for bucket in ["day('2026-03-29')", "date_trunc('day', '2026-03-29')", "day('2026-03-29T12:00:00Z')"] {
        let question =
            format!(r#""select": ["count()"], "where": "day(_time) = {bucket}", "tz": "America/New_York""#);
        assert_eq!(told(&data, &question), ["1"], "{bucket}");
    }
}

#[test]
fn buckets_are_compared_with_those_at_the_same_place_before() {
    let data = march();
    let question = r#""by": ["day(_time)"], "select": ["count()"], "compare": "previous", "fill": true,
        "range": "last month""#;
    let answer = ask(&data, question).unwrap();
    let told = lines(&answer);
    assert_eq!(told.len(), 31);
    // the second of March beside the second of February; what February does not have is compared with nothing
    assert_eq!((told[1].as_str(), told[27].as_str()), ("2026-03-02T00 0 2", "2026-03-28T00 2 0"));
    assert_eq!((told[28].as_str(), told[30].as_str()), ("2026-03-29T00 0 null", "2026-03-31T00 1 null"));
    assert_eq!(answer.series.unwrap().gaps.len(), 29);
}

#[test]
fn hours_are_compared_by_the_clock_on_the_wall() {
    // 14:00 in Berlin, on the day before the clock goes forward and on that day
    let data = events(&[("2026-03-28T13:00:00Z", "DE", 1), ("2026-03-29T12:00:00Z", "DE", 1)]);
    let question = r#""by": ["hour(_time)"], "select": ["count()"], "compare": "previous", "tz": "Europe/Berlin",
        "range": {"from": "2026-03-29", "to": "2026-03-30"}"#;
    assert_eq!(told(&data, question), ["2026-03-29T14+02:00 1 1"]);
}

#[test]
fn what_cannot_be_filled_or_compared_is_refused_with_the_way_out() {
    let data = march();
    for (question, wanted) in [
        (
            r#""by": ["country"], "select": ["count()"], "fill": true"#,
            "/fill: one time bucket in \"by\" is needed",
        ),
        (r#""by": ["day(_time)", "hour(_time)"], "select": ["count()"], "fill": true"#, "there are 2"),
        (r#""fill": true"#, "/fill: one time bucket"),
        (
            r#""by": ["minute(_time)"], "select": ["count()"], "fill": true, "range": {"from": "2020-01-01", "to": "2026-01-01"}"#,
            "more than 1000000 buckets of a minute",
        ),
        (r#""select": ["count()"], "compare": "previous""#, "/compare: a range with both ends"),
        (r#""select": ["count()"], "compare": "previous", "range": {"from": "2026-01-01"}"#, "both ends"),
        (
            r#""select": ["country"], "compare": "previous", "range": "today""#,
            "/compare: there is no aggregate",
        ),
        (
            r#""by": ["day(_time)", "hour(_time)"], "select": ["count()"], "compare": "previous", "range": "today""#,
            "/compare: periods are compared by one bucket",
        ),
    ] {
        let refused = refused(&data, question);
        assert!(refused.contains(wanted), "{question}\n  said   {refused}\n  wanted {wanted}");
    }
}

proptest! {
    /// Filled series have every bucket of the range once and in order, and the counts of a naive loop over the events.
    #[test]
    fn filled_series_are_those_of_a_naive_loop(
        at in proptest::collection::vec(1_750_000_000i64..1_790_000_000, 1..60),
        from in 1_750_000_000i64..1_790_000_000, days in 1i64..40, bucket in 1usize..5, zone in 0usize..4,
    ) {
        let zone = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu"][zone];
        let (bucket, name) = Bucket::ALL[bucket];
        let at: Vec<i64> = at.iter().map(|second| second * time::SECOND).collect();
        let data = of_columns(&at, at.iter().map(|_| Value::Null), at.iter().map(|us| Value::Int(us % 7)));
        let (from, to) = (from * time::SECOND, (from + days * 86_400) * time::SECOND);
        let question = format!(
            r#""by": ["{name}(_time)"], "select": ["count()"], "fill": true, "tz": "{zone}",
            "range": {{"from": "{}", "to": "{}"}}"#, time::format(from), time::format(to)
        );
        let answer = ask(&data, &question).expect("an answer");
        let calendar = Calendar::named(Some(zone), None).expect("a zone");
        let start = |us: i64| time::Bucketer::new(bucket, &calendar).start(us);
        let mut naive: BTreeMap<i64, i64> = BTreeMap::new();
        let mut second = from;
        while second < to {
            naive.entry(start(second)).or_insert(0);
            second += 900 * time::SECOND;
        }
        naive.entry(start(to - 1)).or_insert(0);
        for us in at.iter().filter(|us| (from..to).contains(*us)) {
            *naive.entry(start(*us)).or_insert(0) += 1;
        }
        let found: Vec<Vec<Value>> = answer.rows.clone();
        let wanted: Vec<Vec<Value>> =
            naive.iter().map(|(start, count)| vec![Value::Time(*start), Value::Int(*count)]).collect();
        prop_assert_eq!(found, wanted);
        let gaps: Vec<usize> =
            naive.values().enumerate().filter(|(_, count)| **count == 0).map(|(row, _)| row).collect();
        prop_assert_eq!(answer.series.expect("a series").gaps, gaps);
    }
}
