//! Sequence analyses and sessions against models of a few lines: random events with many equal times and holes, in the
//! tail, in segments and in both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Error;
use crate::fields::FieldSet;
use crate::query::functions::Context;
use crate::query::layouts::{LAYOUTS, alone, laid_out};
use crate::query::sequences::{self, Kind};
use crate::query::{parse, run, scalar};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::time::{self, Bucket, Bucketer, Calendar, HOUR, SECOND};
use crate::value::Value;

/// An event of the model: its fields are `who`, `name` and `n`.
#[derive(Debug, Clone)]
struct Event {
    time: i64,
    seq: i64,
    cells: [Value; 3],
}

const FIELDS: [&str; 3] = ["who", "name", "n"];

impl Event {
    fn get(&self, name: &str) -> Value {
        match name {
            TIME => Value::Time(self.time),
            "_seq" => Value::Int(self.seq),
            _ => FIELDS.iter().position(|f| *f == name).map_or(Value::Null, |at| self.cells[at].clone()),
        }
    }

    fn value(&self, expression: &str) -> Value {
        let expression = parse::expression(expression).expect("parses");
        scalar::evaluate(&expression, &|name| self.get(name), &Context::new(Calendar::default()))
            .expect("a value")
    }

    fn is(&self, condition: &str) -> bool {
        scalar::truth(&self.value(condition)) == Some(true)
    }
}

fn cells() -> impl Strategy<Value = [Value; 3]> {
    let who = prop_oneof![
        1 => Just(Value::Null),
        4 => (0i64..4).prop_map(Value::Int),
        2 => "[ab]".prop_map(Value::text),
        // the same as the whole number
        1 => Just(Value::Float(1.0)),
    ];
    let name = prop_oneof![1 => Just(Value::Null), 6 => "[xyz]".prop_map(Value::text)];
    let n = prop_oneof![1 => Just(Value::Null), 3 => (0i64..4).prop_map(Value::Int)];
    (who, name, n).prop_map(|(who, name, n)| [who, name, n])
}

/// Blocks of events whose times are whole units from 2026-03-01 on, with the unit in µs.
fn any_events() -> impl Strategy<Value = (Vec<Vec<Event>>, i64)> {
    let unit = prop_oneof![Just(SECOND), Just(6 * HOUR)];
    let event = (0i64..40, cells());
    (unit, prop::collection::vec(prop::collection::vec(event, 1..30), 1..5)).prop_map(|(unit, blocks)| {
        let mut seqs = 1..;
        let event = |(at, cells), seq| Event { time: BEGIN + at * unit, seq, cells };
        let block = |block: Vec<_>| block.into_iter().zip(&mut seqs).map(|(e, seq)| event(e, seq)).collect();
        (blocks.into_iter().map(block).collect(), unit)
    })
}

/// 2026-03-01.
const BEGIN: i64 = time::days_from_civil(2026, 3, 1) * time::DAY;

fn snapshots(blocks: &[Vec<Event>]) -> Vec<Snapshot> {
    let (mut tail, mut fields) = (Vec::new(), FieldSet::default());
    for events in blocks {
        let times: Vec<i64> = events.iter().map(|event| event.time).collect();
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (at, name) in FIELDS.iter().enumerate() {
            let column = column_of(events.iter().map(|event| event.cells[at].clone()));
            fields.add(&(*name).into(), column.kinds());
            columns.push(((*name).into(), Arc::new(column)));
        }
        let block = Arc::new(Block::new(events.len(), columns));
        tail.push(TailBlock { first_seq: events[0].seq, block });
    }
    let whole = Dataset { id: 1, fields: Arc::new(fields), tail, ..Dataset::new("t".into()) };
    LAYOUTS.iter().map(|layout| alone(laid_out(&whole, *layout))).collect()
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[xyz]".prop_map(|name| format!("name = '{name}'")),
        1 => Just("name IN ('x', 'y')".to_owned()),
        1 => Just("name IS NULL".to_owned()),
        1 => (0i64..3).prop_map(|n| format!("n > {n}")),
        1 => Just("n < 2 AND name <> 'z'".to_owned()),
    ]
}

/// What questions have in common: a condition, and a range in units.
#[derive(Debug, Clone)]
struct About {
    filter: Option<String>,
    from: Option<i64>,
    to: Option<i64>,
}

fn any_about() -> impl Strategy<Value = About> {
    let range = (prop::option::of(0i64..20), prop::option::of(20i64..42));
    (prop::option::of(condition()), range).prop_map(|(filter, (from, to))| About { filter, from, to })
}

impl About {
    fn range(&self, unit: i64) -> serde_json::Value {
        let end = |at: Option<i64>| at.map(|at| time::format(BEGIN + at * unit));
        json!({"from": end(self.from), "to": end(self.to)})
    }

    fn has(&self, us: i64, unit: i64) -> bool {
        self.from.is_none_or(|at| us >= BEGIN + at * unit) && self.to.is_none_or(|at| us < BEGIN + at * unit)
    }

    /// The events that count by whose they are, in order.
    fn trails(&self, blocks: &[Vec<Event>], unit: i64) -> Vec<Vec<Event>> {
        let counts = |event: &&Event| {
            self.has(event.time, unit) && self.filter.as_ref().is_none_or(|filter| event.is(filter))
        };
        by_whom(blocks.iter().flatten().filter(counts))
    }
}

fn by_whom<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Vec<Event>> {
    let mut trails: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in events.filter(|event| !event.cells[0].is_null()) {
        let whose = match &event.cells[0] {
            Value::Float(f) => format!("number {f:.0}"),
            Value::Int(i) => format!("number {i}"),
            other => format!("text {}", other.to_text()),
        };
        trails.entry(whose).or_default().push(event.clone());
    }
    trails.values_mut().for_each(|trail| trail.sort_by_key(|event| (event.time, event.seq)));
    trails.into_values().collect()
}

fn ask(kind: Kind, snapshot: &Snapshot, question: &serde_json::Value) -> Result<Vec<Vec<Value>>, Error> {
    let question = parse::sequence(kind, question.to_string().as_bytes(), 0)?;
    sequences::run(snapshot, &question).map(|answer| answer.rows)
}

/// The times from the first step on that someone reached steps at, by the definition.
fn reached(trail: &[Event], steps: &[String], within: i64, strict: bool) -> Vec<i64> {
    let first_after = |after: i64, step: &str| {
        trail.iter().filter(|event| event.time > after && event.is(step)).map(|event| event.time).min()
    };
    let begins: Vec<i64> = match strict {
        false => first_after(i64::MIN, &steps[0]).into_iter().collect(),
        true => trail.iter().filter(|event| event.is(&steps[0])).map(|event| event.time).collect(),
    };
    let mut best = Vec::new();
    for begin in begins {
        let mut times = vec![begin];
        for step in &steps[1..] {
            let last = times[times.len() - 1];
            let Some(next) = first_after(last, step) else { break };
            let between = trail.iter().any(|event| last < event.time && event.time < next);
            if next - begin > within || strict && between {
                break;
            }
            times.push(next);
        }
        if times.len() > best.len() {
            best = times;
        }
    }
    best
}

fn expected_funnel(trails: &[Vec<Event>], steps: &[String], within: i64, strict: bool) -> Vec<Vec<Value>> {
    let all: Vec<Vec<i64>> = trails.iter().map(|trail| reached(trail, steps, within, strict)).collect();
    let count = |at: usize| all.iter().filter(|times| times.len() > at).count();
    let part = |part: usize, whole: usize| {
        if whole == 0 { Value::Null } else { Value::Float(part as f64 / whole as f64) }
    };
    let row = |(at, step): (usize, &String)| {
        let mut took: Vec<i64> = all.iter().filter_map(|times| Some(times.get(at)? - times[0])).collect();
        took.sort_unstable();
        let median = took.get(took.len().div_ceil(2).saturating_sub(1)).filter(|_| at > 0);
        vec![
            Value::text(step.as_str()),
            Value::Int(count(at) as i64),
            part(count(at), count(0)),
            if at == 0 { Value::Null } else { part(count(at), count(at - 1)) },
            median.map_or(Value::Null, |us| Value::Float(*us as f64 / 1e6)),
        ]
    };
    steps.iter().enumerate().map(row).collect()
}

fn expected_retention(
    trails: &[Vec<Event>],
    starts: &[i64],
    start: &Option<String>,
    returns: &Option<String>,
) -> Vec<(i64, i64, i64)> {
    let is = |event: &Event, condition: &Option<String>| condition.as_ref().is_none_or(|c| event.is(c));
    let period = |event: &Event| starts.iter().filter(|start| **start <= event.time).count() - 1;
    let mut cells: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for cohort in 0..starts.len() {
        cells.extend((0..starts.len() - cohort).map(|later| ((cohort, later), 0)));
    }
    for trail in trails {
        let Some(cohort) = trail.iter().find(|event| is(event, start)).map(period) else { continue };
        let mut seen: BTreeSet<usize> =
            trail.iter().filter(|event| is(event, returns)).map(period).filter(|p| *p > cohort).collect();
        seen.insert(cohort);
        seen.iter().for_each(|period| *cells.get_mut(&(cohort, period - cohort)).expect("a cell") += 1);
    }
    cells.into_iter().map(|((cohort, later), count)| (starts[cohort], later as i64, count)).collect()
}

fn expected_paths(
    trails: &[Vec<Event>],
    step: &str,
    (after, before): (&Option<String>, &Option<String>),
    depth: usize,
    collapse: bool,
) -> Vec<(Vec<String>, i64)> {
    let mut counts: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    for trail in trails {
        let anchor = after.as_ref().or(before.as_ref());
        let at = anchor.map(|condition| trail.iter().position(|event| event.is(condition)));
        let steps = |events: &[Event]| {
            let values = events.iter().map(|event| event.value(step)).filter(|value| !value.is_null());
            let mut texts: Vec<String> = values.map(|value| value.to_text().into_owned()).collect();
            if collapse {
                texts.dedup();
            }
            texts
        };
        let path = match at {
            Some(None) => continue,
            None => steps(trail).into_iter().take(depth).collect(),
            Some(Some(at)) if after.is_some() => steps(&trail[at + 1..]).into_iter().take(depth).collect(),
            Some(Some(at)) => {
                let all = steps(&trail[..at]);
                all[all.len() - depth.min(all.len())..].to_vec()
            }
        };
        if anchor.is_some() || !path.is_empty() {
            *counts.entry(path).or_default() += 1;
        }
    }
    let mut counts: Vec<(Vec<String>, i64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts
}

fn texts_of(value: &Value) -> Vec<String> {
    match value {
        Value::List(texts) => texts.iter().map(|text| text.to_string()).collect(),
        other => panic!("a path is a list: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_funnel_is_what_its_definition_says(
        (blocks, unit) in any_events(), about in any_about(), steps in prop::collection::vec(condition(), 1..5),
        within in prop::option::of(1i64..20), strict in any::<bool>(),
    ) {
        let within_us = within.map_or(i64::MAX, |within| within * unit);
        let question = json!({
            "from": "t", "by": "who", "where": about.filter, "range": about.range(unit), "steps": steps,
            "within": within.map(|within| format!("{}s", within * unit / SECOND)), "strict": strict,
        });
        let expected = expected_funnel(&about.trails(&blocks, unit), &steps, within_us, strict);
        for snapshot in snapshots(&blocks) {
            prop_assert_eq!(&ask(Kind::Funnel, &snapshot, &question).expect("an answer"), &expected, "{}", question);
        }
    }

    #[test]
    fn retention_is_what_its_definition_says(
        (blocks, unit) in any_events(), about in any_about(), length in 1i64..30, calendar in any::<Option<u8>>(),
        start in prop::option::of(condition()), returns in prop::option::of(condition()),
    ) {
        let about = About { from: about.from.or(Some(3)), to: about.to.or(Some(37)), ..about };
        let (from, to) = (BEGIN + about.from.expect("both") * unit, BEGIN + about.to.expect("both") * unit);
        let zone = Calendar::named(Some("Asia/Kathmandu"), Some("sunday")).expect("a zone");
        let bucket = calendar.map(|at| [Bucket::Hour, Bucket::Day, Bucket::Week, Bucket::Month][at as usize % 4]);
        let (period, starts): (String, Vec<i64>) = match bucket {
            Some(bucket) => {
                let mut bucketer = Bucketer::new(bucket, &zone);
                let first = bucketer.start(from);
                let next = |start: &i64| Some(bucketer.next(*start)).filter(|start| *start < to);
                (bucket.name().into(), std::iter::successors(Some(first), next).collect())
            }
            None => {
                let length = length.min((to - from) / unit) * unit;
                (format!("{}s", length / SECOND), (from..to).step_by(length as usize).collect())
            }
        };
        let question = json!({
            "from": "t", "by": "who", "where": about.filter, "range": about.range(unit), "period": period,
            "start": start, "return": returns, "tz": "Asia/Kathmandu", "week_start": "sunday",
        });
        let expected = expected_retention(&about.trails(&blocks, unit), &starts, &start, &returns);
        for snapshot in snapshots(&blocks) {
            let rows = ask(Kind::Retention, &snapshot, &question).expect("an answer");
            let mut size = 0;
            prop_assert_eq!(rows.len(), expected.len(), "{}", question);
            for (row, (cohort, period, count)) in rows.iter().zip(&expected) {
                if *period == 0 {
                    size = *count;
                }
                let rate = Value::finite(*count as f64 / size as f64);
                let expected = [Value::Time(*cohort), Value::Int(*period), Value::Int(*count), rate];
                prop_assert_eq!(row.as_slice(), &expected, "{}", question);
            }
        }
    }

    #[test]
    fn paths_are_what_their_definition_says(
        (blocks, unit) in any_events(), about in any_about(), step in prop::sample::select(vec!["name", "n", "upper(name)"]),
        anchor in prop::option::of(condition()), is_after in any::<bool>(), depth in 1usize..5,
        collapse in any::<bool>(), limit in prop::option::of(1usize..4),
    ) {
        let (after, before) = if is_after { (anchor, None) } else { (None, anchor) };
        let question = json!({
            "from": "t", "by": "who", "where": about.filter, "range": about.range(unit), "step": step, "depth": depth,
            "after": after, "before": before, "collapse": collapse, "limit": limit,
        });
        let trails = about.trails(&blocks, unit);
        let mut expected = expected_paths(&trails, step, (&after, &before), depth, collapse);
        expected.truncate(limit.unwrap_or(usize::MAX));
        for snapshot in snapshots(&blocks) {
            let rows = ask(Kind::Paths, &snapshot, &question).expect("an answer");
            let found: Vec<(Vec<String>, Value)> = rows.iter().map(|row| (texts_of(&row[0]), row[1].clone())).collect();
            let expected: Vec<_> = expected.iter().map(|(path, count)| (path.clone(), Value::Int(*count))).collect();
            prop_assert_eq!(found, expected, "{}", question);
        }
    }

    #[test]
    fn sessions_are_what_their_definition_says(
        (blocks, unit) in any_events(), about in any_about(), gap in 1i64..10, has_pages in any::<bool>(),
        in_condition in any::<bool>(),
    ) {
        let gap_text = format!("{}s", gap * unit / SECOND);
        let sessions = json!({"by": "who", "gap": gap_text, "where": about.filter, "page": has_pages.then_some("name")});
        let mut columns = vec!["start", "\"end\"", "duration_s", "events", "bounce"];
        if has_pages {
            columns.extend(["pages", "entry", "exit"]);
        }
        let bound = |op: &str, at: Option<i64>| at.map(|at| format!("_time {op} '{}'", time::format(BEGIN + at * unit)));
        let bounds: Vec<String> = bound(">=", about.from).into_iter().chain(bound("<", about.to)).collect();
        let mut question = json!({"from": "t", "sessions": sessions, "select": columns, "order": ["_seq"]});
        match in_condition {
            true if !bounds.is_empty() => question["where"] = bounds.join(" AND ").into(),
            _ => question["range"] = about.range(unit),
        }
        let counts = |event: &&Event| about.filter.as_ref().is_none_or(|filter| event.is(filter));
        let mut expected: Vec<(i64, i64, Vec<Value>)> = Vec::new();
        for trail in by_whom(blocks.iter().flatten().filter(counts)) {
            for events in trail.chunk_by(|a, b| b.time - a.time <= gap * unit) {
                let (first, last) = (&events[0], &events[events.len() - 1]);
                let pages: Vec<&Value> = events.iter().map(|event| &event.cells[1]).filter(|v| !v.is_null()).collect();
                let is_bounce = if has_pages { pages.len() < 2 } else { events.len() == 1 };
                let mut row = vec![
                    Value::Time(first.time),
                    Value::Time(last.time),
                    Value::Float((last.time - first.time) as f64 / 1e6),
                    Value::Int(events.len() as i64),
                    Value::Bool(is_bounce),
                ];
                if has_pages {
                    let page = |page: Option<&&Value>| page.map_or(Value::Null, |page| Value::clone(page));
                    row.extend([Value::Int(pages.len() as i64), page(pages.first()), page(pages.last())]);
                }
                if about.has(first.time, unit) {
                    expected.push((first.time, first.seq, row));
                }
            }
        }
        expected.sort_by_key(|(start, seq, _)| (*start, *seq));
        let expected: Vec<Vec<Value>> = expected.into_iter().map(|(_, _, row)| row).collect();
        for snapshot in snapshots(&blocks) {
            let query = parse::json(question.to_string().as_bytes(), 0).expect("parses");
            prop_assert_eq!(&run(&snapshot, &query).expect("an answer").rows, &expected, "{}", question);
        }
    }
}

/// Events as `time who name`, a line each, times in minutes.
fn events(text: &str) -> Vec<Snapshot> {
    let event = |(line, seq): (&str, i64)| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let minutes: i64 = parts[0].parse().expect("minutes");
        let cells = [Value::text(parts[1]), Value::text(parts[2]), Value::Null];
        Event { time: BEGIN + minutes * time::MINUTE, seq, cells }
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    snapshots(&[lines.zip(1..).map(event).collect()])
}

fn counts(kind: Kind, snapshot: &Snapshot, question: &serde_json::Value, column: usize) -> Vec<Value> {
    ask(kind, snapshot, question).expect("an answer").into_iter().map(|mut row| row.remove(column)).collect()
}

#[test]
fn what_happens_at_the_same_time_is_no_next_step_and_within_counts_from_the_first() {
    for snapshot in events("0 a x\n0 a y\n5 a y\n9 a z\n0 b x\n0 b y\n1 c y\n2 c x") {
        let funnel = |within: &str| {
            let steps = ["name = 'x'", "name = 'y'", "name = 'z'"];
            counts(
                Kind::Funnel,
                &snapshot,
                &json!({"from": "t", "by": "who", "steps": steps, "within": within}),
                1,
            )
        };
        assert_eq!(funnel("9m"), [3, 1, 1].map(Value::Int));
        assert_eq!(funnel("8m"), [3, 1, 0].map(Value::Int));
        assert_eq!(funnel("4m"), [3, 0, 0].map(Value::Int));
    }
}

#[test]
fn a_strict_funnel_begins_anew_at_every_match_of_its_first_step() {
    for snapshot in
        events("0 a x\n1 a x\n2 a y\n3 a q\n4 a z\n0 b x\n1 b q\n2 b y\n0 c x\n1 c y\n1 c q\n2 c z")
    {
        let question = json!({"from": "t", "by": "who", "steps": ["name = 'x'", "name = 'y'", "name = 'z'"], "strict": true});
        assert_eq!(counts(Kind::Funnel, &snapshot, &question, 1), [3, 2, 1].map(Value::Int));
        let without = json!({"from": "t", "by": "who", "where": "name <> 'q'", "strict": true, "steps": question["steps"]});
        assert_eq!(counts(Kind::Funnel, &snapshot, &without, 1), [3, 3, 2].map(Value::Int));
    }
}

#[test]
fn as_many_steps_as_there_may_be_are_walked_strictly_and_not() {
    let lines: Vec<String> = (0..70).map(|at| format!("{at} a x")).collect();
    let steps = vec!["name = 'x'"; 64];
    for snapshot in events(&lines.join("\n")) {
        for strict in [false, true] {
            let question = json!({"from": "t", "by": "who", "steps": steps, "strict": strict});
            assert_eq!(counts(Kind::Funnel, &snapshot, &question, 1), vec![Value::Int(1); 64]);
        }
    }
}

#[test]
fn a_session_that_goes_on_after_the_range_is_whole_and_one_from_before_it_is_left_out() {
    // an event every twelve hours for ten days
    let lines: Vec<String> = (0..20).map(|at| format!("{} a x", at * 720)).collect();
    for snapshot in events(&lines.join("\n")) {
        let ask = |from: &str, to: &str| {
            let body = json!({
                "from": "t", "sessions": {"by": "who", "gap": "12h"}, "select": ["events", "duration_s"],
                "range": {"from": from, "to": to},
            });
            let query = parse::json(body.to_string().as_bytes(), 0).expect("parses");
            run(&snapshot, &query).expect("an answer").rows
        };
        assert_eq!(ask("2026-03-01", "2026-03-02"), [[Value::Int(20), Value::Float(19.0 * 12.0 * 3600.0)]]);
        assert!(ask("2026-03-01T00:00:01Z", "2026-04-01").is_empty());
    }
}

#[test]
fn a_dataset_without_events_has_an_answer_all_the_same() {
    let empty = alone(Arc::new(Dataset { fields: Arc::default(), ..Dataset::new("t".into()) }));
    let by = json!({"from": "t", "by": "_id", "range": {"from": "2026-01-01", "to": "2026-01-15"}});
    let with = |more: serde_json::Value| {
        let mut question = by.clone();
        let object = question.as_object_mut().expect("an object");
        object.extend(more.as_object().expect("an object").clone());
        question
    };
    let funnel = ask(Kind::Funnel, &empty, &with(json!({"steps": ["_seq > 0"]}))).expect("an answer");
    assert_eq!(funnel[0][1..4], [Value::Int(0), Value::Null, Value::Null]);
    let cells = counts(Kind::Retention, &empty, &with(json!({"period": "7d"})), 2);
    assert_eq!(cells, [0, 0, 0].map(Value::Int));
    let strict = json!({"steps": ["_seq > 0"], "strict": true});
    assert_eq!(counts(Kind::Funnel, &empty, &with(strict), 1), [Value::Int(0)]);
    assert_eq!(
        ask(Kind::Paths, &empty, &with(json!({"step": "_id", "depth": 2}))).expect("an answer").len(),
        0
    );
    let sql = "SELECT count(*), max(entry), avg(duration_s) FROM sessions(t, _seq as x)";
    assert!(parse::sql(sql, &[]).is_err(), "arguments have no names");
    let sql =
        "SELECT count(*), max(entry), avg(duration_s) FROM sessions(t, _seq % 3, '5m', _id) WHERE bounce";
    let answer = run(&empty, &parse::sql(sql, &[]).expect("parses")).expect("an answer");
    assert_eq!(answer.rows, [[Value::Int(0), Value::Null, Value::Null]]);
}

#[test]
fn what_the_data_or_the_range_do_not_allow_is_refused() {
    let snapshot = &events("0 a x\n1 b y")[0];
    let range = json!({"from": "2026-03-01", "to": "2026-03-29"});
    let funnel = |steps: serde_json::Value| json!({"from": "t", "by": "who", "steps": steps});
    let retention = |period: &str, range: serde_json::Value| json!({"from": "t", "by": "who", "period": period, "range": range});
    let paths =
        |step: &str, after: &str| json!({"from": "t", "by": "who", "step": step, "depth": 1, "after": after});
    for (kind, question, words) in [
        (Kind::Funnel, funnel(json!(["name = 'x'", "who"])), &["/steps/1:", "type string"][..]),
        (Kind::Funnel, funnel(json!(["nam = 'x'"])), &["no field \"nam\"", "\"name\""]),
        (Kind::Funnel, funnel(json!(["_time > 'soon'"])), &["'soon'", "no"]),
        (Kind::Retention, retention("7d", json!(null)), &["/range:", "\"last\": \"8w\""]),
        (Kind::Retention, retention("7d", json!({"from": "2026-03-01"})), &["/range:"]),
        (
            Kind::Retention,
            retention("7d", json!({"from": "2026-03-01", "to": "2026-03-01"})),
            &["/range: it is empty"],
        ),
        (Kind::Retention, retention("29d", range.clone()), &["/period: it is longer than the range"]),
        (Kind::Retention, retention("1s", range.clone()), &["/period:", "more than 1000 periods"]),
        (Kind::Retention, retention("minute", range.clone()), &["/period:", "more than 1000 periods"]),
        (Kind::Retention, retention("99999w", json!({"from": "0000-01-01", "to": "9999-12-31"})), &[]),
        (Kind::Paths, paths("nam", "true"), &["no field \"nam\""]),
        (Kind::Paths, paths("name", "who"), &["/after:", "type string"]),
    ] {
        match (ask(kind, snapshot, &question), words) {
            (Ok(_), []) => {}
            (Err(Error::Invalid { detail, .. }), [_, ..]) => {
                words
                    .iter()
                    .for_each(|word| assert!(detail.contains(word), "{question}: {detail} lacks {word}"));
            }
            (other, _) => panic!("{question}: {other:?}"),
        }
    }
    let no_dataset = json!({"from": "tt", "by": "who", "steps": ["true"]});
    assert!(matches!(ask(Kind::Funnel, snapshot, &no_dataset), Err(Error::NotFound(_))));
    for (sql, word) in [
        ("SELECT count(*) FROM sessions(t, nobody)", "no field \"nobody\""),
        ("SELECT entry FROM sessions(t, who)", "\"sessions(t)\" has no field \"entry\""),
        ("SELECT name FROM sessions(t, who)", "no field \"name\""),
        ("SELECT count(*) FROM sessions(t, who, '5m', name, who)", "/sessions/where: needs a condition"),
        ("SELECT count(*) FROM sessions(t, _id)", "\"_id as visitor\""),
    ] {
        let told = run(snapshot, &parse::sql(sql, &[]).expect("parses")).unwrap_err().to_string();
        assert!(told.contains(word), "{sql}: {told}");
    }
}

#[test]
fn many_are_followed_as_few_are_however_they_are_numbered() {
    const MANY: i64 = 2_500;
    let event = |at: i64, whose: i64, name: &str| Event {
        time: BEGIN + at * SECOND,
        seq: at + 1,
        cells: [Value::Int(whose * 1_000_003), Value::text(name), Value::Null],
    };
    let first = (0..MANY).map(|at| event(at, at, "x"));
    let second = (0..MANY).map(|at| event(MANY + at, MANY - 1 - at, "y"));
    let blocks: Vec<Vec<Event>> =
        first.chain(second).collect::<Vec<_>>().chunks(700).map(<[Event]>::to_vec).collect();
    for snapshot in snapshots(&blocks) {
        for by in ["who", "who // 1000003", "who || ''"] {
            for strict in [false, true] {
                let question =
                    json!({"from": "t", "by": by, "steps": ["name = 'x'", "name = 'y'"], "strict": strict});
                assert_eq!(
                    counts(Kind::Funnel, &snapshot, &question, 1),
                    [Value::Int(MANY), Value::Int(MANY)]
                );
            }
            let range = json!({"from": time::format(BEGIN), "to": time::format(BEGIN + 2 * MANY * SECOND)});
            let question = json!({"from": "t", "by": by, "period": format!("{MANY}s"), "range": range});
            assert_eq!(counts(Kind::Retention, &snapshot, &question, 2), [MANY, MANY, 0].map(Value::Int));
            let paths =
                ask(Kind::Paths, &snapshot, &json!({"from": "t", "by": by, "step": "name", "depth": 9}));
            let both = Value::List(["x".into(), "y".into()].into());
            assert_eq!(paths.expect("an answer"), [[both, Value::Int(MANY)]]);
            let sql = format!(
                "SELECT count(*), sum(events), uniq(who), min(entry), max(entry), min(\"exit\"), min(start) FROM \
                 sessions(t, {by}, '1d', name)"
            );
            let sql = sql.replace("uniq(who)", if by == "who" { "uniq(who)" } else { "uniq(start)" });
            let answer = run(&snapshot, &parse::sql(&sql, &[]).expect("parses")).expect("an answer");
            let [x, y] = ["x", "y"].map(Value::text);
            let all = [
                Value::Int(MANY),
                Value::Int(2 * MANY),
                Value::Int(MANY),
                x.clone(),
                x,
                y,
                Value::Time(BEGIN),
            ];
            assert_eq!(answer.rows, [all], "{by}");
        }
    }
}
