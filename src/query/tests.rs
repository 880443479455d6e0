//! The query engine against a naive model: the same expressions row by row through `scalar`, the same groups through
//! a plain map, the same pages through a sorted list. Data and questions come from seeded generators.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Error;
use crate::fields::FieldSet;
use crate::query::functions::Context;
use crate::query::layouts::{LAYOUTS, Layout, alone, laid_out};
use crate::query::page::{PageRequest, page};
use crate::query::view::View;
use crate::query::{parse, plan, run, scalar, vector};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::value::Value;

/// A row of the model: time and the fields a to e.
type Row = (i64, [Value; 5]);
const FIELDS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn text() -> impl Strategy<Value = Value> {
    prop_oneof!["[xyz]{1,2}", Just("ü%_".to_owned())].prop_map(Value::text)
}

fn any_cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        3 => (-3i64..4).prop_map(Value::Int),
        1 => any::<i64>().prop_map(Value::Int),
        3 => (-8i32..8).prop_map(|n| Value::Float(f64::from(n) / 4.0)),
        3 => text(),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => (0i64..3).prop_map(|n| Value::Time(n * 1_000_000)),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Int),
        1 => "[12]".prop_map(|n| Value::Json(format!("{{\"n\":{n}}}").into())),
        1 => prop::collection::vec("[xy]", 0..3).prop_map(|l| Value::List(l.into_iter().map(Arc::from).collect())),
    ]
}

/// a: small whole numbers, b: wide ones with nulls, c: texts with nulls, d: floats and whole numbers, e: anything.
fn any_row() -> impl Strategy<Value = Row> {
    let cells = (
        (0i64..6).prop_map(Value::Int),
        prop::option::of(-100_000i64..100_000).prop_map(|n| n.map_or(Value::Null, Value::Int)),
        prop::option::of(text()).prop_map(|t| t.unwrap_or(Value::Null)),
        prop_oneof![(0i64..4).prop_map(Value::Int), (0i32..9).prop_map(|n| Value::Float(f64::from(n) / 2.0))],
        any_cell(),
    );
    ((0i64..200_000_000_000).prop_map(|us| us / 7 * 7), cells)
        .prop_map(|(t, (a, b, c, d, e))| (t, [a, b, c, d, e]))
}

/// Rows cut into blocks of random sizes.
fn any_blocks() -> impl Strategy<Value = Vec<Vec<Row>>> {
    prop::collection::vec(prop::collection::vec(any_row(), 1..40), 1..5)
}

fn dataset(blocks: &[Vec<Row>]) -> Arc<Dataset> {
    let mut tail = Vec::new();
    let mut fields = FieldSet::default();
    let mut next_seq = 1;
    for rows in blocks {
        let times: Vec<i64> = rows.iter().map(|(time, _)| *time).collect();
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (at, name) in FIELDS.iter().enumerate() {
            let column = column_of(rows.iter().map(|(_, cells)| cells[at].clone()));
            fields.add(&(*name).into(), column.kinds());
            columns.push(((*name).into(), Arc::new(column)));
        }
        tail.push(TailBlock { first_seq: next_seq, block: Arc::new(Block::new(rows.len(), columns)) });
        next_seq += rows.len() as i64;
    }
    Arc::new(Dataset {
        id: 1,
        rules_version: 1,
        fields: Arc::new(fields),
        next_seq,
        tail,
        ..Dataset::new("t".into())
    })
}

fn snapshot(blocks: &[Vec<Row>]) -> Snapshot {
    alone(dataset(blocks))
}

/// The same rows in the tail, in segments, in both.
fn snapshots(blocks: &[Vec<Row>]) -> Vec<(Layout, Snapshot)> {
    let whole = dataset(blocks);
    LAYOUTS.iter().map(|layout| (*layout, alone(laid_out(&whole, *layout)))).collect()
}

/// A row of the model as the scalar path reads it.
fn cell(row: &Row, seq: i64, name: &str) -> Value {
    match name {
        TIME => Value::Time(row.0),
        "_seq" => Value::Int(seq),
        _ => FIELDS.iter().position(|f| *f == name).map_or(Value::Null, |at| row.1[at].clone()),
    }
}

fn numbered(blocks: &[Vec<Row>]) -> Vec<(i64, Row)> {
    (1..).zip(blocks.iter().flatten().cloned()).collect()
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("a".to_owned()), 2 => Just("b".into()), 2 => Just("d".into()), 1 => Just("e".into()),
        1 => Just("_seq".into()), 2 => (-3i32..5).prop_map(|n| n.to_string()), 1 => Just("1.5".into()),
    ]
    .prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/]", inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
        ]
    })
}

fn condition() -> impl Strategy<Value = String> {
    let compare = prop_oneof![Just("="), Just("<>"), Just("<"), Just("<="), Just(">"), Just(">=")];
    let field = prop_oneof![Just("a"), Just("b"), Just("d"), Just("e"), Just("_seq")];
    let literal = prop_oneof![
        (-3i32..6).prop_map(|n| n.to_string()),
        (-3i32..9).prop_map(|n| format!("{:.1}", f64::from(n) / 2.0))
    ];
    prop_oneof![
        2 => (field.clone(), compare.clone(), literal.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (literal, compare.clone(), field).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        2 => (number(), compare.clone(), number()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => (prop_oneof![Just("c"), Just("e"), Just("lower(c)")], compare, "[xyz]")
            .prop_map(|(a, op, b)| format!("{a} {op} '{b}'")),
        1 => "[xyz%_]{0,3}".prop_map(|p| format!("c LIKE '{p}'")),
        1 => "[xyz%_]{0,3}".prop_map(|p| format!("e ILIKE '{p}'")),
        1 => prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("e")]
            .prop_map(|f| format!("{f} IS NULL")),
        1 => (number(), 0i64..4, 0i64..9).prop_map(|(a, x, y)| format!("{a} IN ({x}, {y}, 0.5)")),
        1 => (number(), -3i64..4, 0i64..9).prop_map(|(a, x, y)| format!("{a} BETWEEN {x} AND {y}")),
        1 => (0i64..3).prop_map(|day| format!("_time >= '1970-01-0{}'", day + 1)),
        1 => (0i64..3).prop_map(|day| format!("day(_time) = '1970-01-0{}'", day + 1)),
    ]
    .prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

/// Exactly the same value, also in type; a time of the model and of the engine print alike.
fn exact(value: &Value) -> String {
    format!("{value:?}")
}

/// A condition resolved as the planner does, or nothing where it refuses it (a type that cannot be meant).
fn resolved(text: &str, blocks: &[Vec<Row>]) -> Option<crate::query::expression::Expr> {
    plan::condition(parse::filter(text).expect("parses"), &dataset(blocks)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn vectors_give_what_the_scalar_meaning_gives(blocks in any_blocks(), text in condition(), figure in number()) {
        let whole = dataset(&blocks);
        let datasets: Vec<_> = LAYOUTS.iter().map(|layout| laid_out(&whole, *layout)).collect();
        let parts = datasets.iter().flat_map(|data| data.sources().flat_map(|source| source.runs()).map(move |run| (data, data.part(run).expect("a part"))));
        let parts: Vec<_> = parts.collect();
        let context = Context::new(TimeZone::UTC);
        let mut expressions: Vec<_> = resolved(&text, &blocks).into_iter().collect();
        expressions.push(parse::expression(&figure).expect("parses"));
        for expression in &expressions {
            let mut names = Vec::new();
            plan::add_columns(expression, &mut names);
            let rows = numbered(&blocks);
            for (data, part) in &parts {
                let view = View::columns(data, part, &names, None).expect("columns");
                let got = vector::evaluate(expression, &view, &context);
                let expected: Result<Vec<Value>, _> = (0..view.rows)
                    .map(|row| {
                        let (seq, row) = &rows[part.seq(row).expect("a number") as usize - 1];
                        scalar::evaluate(expression, &|name| cell(row, *seq, name), &context)
                    })
                    .collect();
                match (got, expected) {
                    (Ok(column), Ok(values)) => {
                        for (row, value) in values.iter().enumerate() {
                            prop_assert_eq!(exact(&column.get(row)), exact(value), "{} in row {}", expression, row);
                        }
                    }
                    // a fault in one row fails the whole in both
                    (Err(_), Err(_)) => {}
                    (got, expected) => prop_assert!(false, "{} differs: {:?}, {:?}", expression, got.err(), expected.err()),
                }
            }
        }
    }

    #[test]
    fn groups_are_those_of_a_plain_map(blocks in any_blocks(), text in condition(), keys in prop::sample::subsequence(vec!["a", "b", "c", "d", "e", "day(_time)"], 0..4)) {
        let Some(condition) = resolved(&text, &blocks) else { return Ok(()) };
        let context = Context::new(TimeZone::UTC);
        let key_expressions: Vec<_> = keys.iter().map(|k| parse::expression(k).expect("parses")).collect();
        let mut groups: BTreeMap<Vec<ByOrder>, Vec<(i64, Row)>> = BTreeMap::new();
        if keys.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for (seq, row) in numbered(&blocks) {
            let read = |name: &str| cell(&row, seq, name);
            match scalar::evaluate(&condition, &read, &context) {
                Err(_) => return Ok(()),
                Ok(value) if scalar::truth(&value) != Some(true) => continue,
                Ok(_) => {}
            }
            let key = key_expressions.iter().map(|k| ByOrder(scalar::evaluate(k, &read, &context).expect("a key"))).collect();
            groups.entry(key).or_default().push((seq, row));
        }
        let list = keys.join(", ");
        let comma = if keys.is_empty() { "" } else { ", " };
        let by = if keys.is_empty() { String::new() } else { format!("GROUP BY {list}") };
        let sql = format!(
            "SELECT {list}{comma} count(*), count(b), sum(b), avg(d), min(e), max(c), uniq(e), count(*) FILTER (WHERE a > 2) \
             FROM t WHERE {text} {by}"
        );
        for (layout, snapshot) in snapshots(&blocks) {
        let answer = match run(&snapshot, &parse::sql(&sql, &[]).expect("parses")) {
            Ok(answer) => answer,
            Err(error) => {
                // the vector side may meet a fault in a row that the other side of an AND leaves out
                prop_assert!(!matches!(error, Error::Corrupt(_)), "{:?}: {}", layout, error);
                continue;
            }
        };
        prop_assert_eq!(answer.rows.len(), groups.len(), "{} over {:?}", sql, layout);
        for (row, (key, members)) in answer.rows.iter().zip(&groups) {
            let of = |at: usize| members.iter().map(|(_, row)| row.1[at].clone()).filter(|v| !v.is_null()).collect::<Vec<_>>();
            let sum: i64 = of(1).iter().filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None }).sum();
            let mut sorted = of(4);
            sorted.sort_by(Value::compare);
            let smallest = sorted.first().cloned().unwrap_or(Value::Null);
            sorted.dedup();
            let mut texts = of(2);
            texts.sort_by(Value::compare);
            let average = of(3).iter().filter_map(Value::as_f64).sum::<f64>() / of(3).len() as f64;
            let above = members.iter().filter(|(_, row)| row.1[0] > Value::Int(2)).count();
            let expected = vec![
                Value::Int(members.len() as i64),
                Value::Int(of(1).len() as i64),
                if of(1).is_empty() { Value::Null } else { Value::Int(sum) },
                Value::finite(average),
                smallest,
                texts.last().cloned().unwrap_or(Value::Null),
                Value::Int(sorted.len() as i64),
                Value::Int(above as i64),
            ];
            let got: Vec<Value> = key.iter().map(|k| k.0.clone()).chain(expected).collect();
            prop_assert_eq!(row, &got, "{} over {:?}", sql, layout);
        }
        }
    }

    #[test]
    fn a_walk_by_cursor_gives_every_row_once_in_order_both_ways(
        blocks in any_blocks(), text in prop::option::of(condition()), limit in 1usize..30,
        keys in prop::sample::subsequence(vec!["a", "b", "c", "d", "e", "_time", "_seq"], 0..4), turned in any::<u8>(),
    ) {
        let context = Context::new(TimeZone::UTC);
        let condition = match &text {
            Some(text) => match resolved(text, &blocks) { Some(c) => Some(c), None => return Ok(()) },
            None => None,
        };
        let order: Vec<(String, bool)> = keys.iter().enumerate().map(|(at, k)| ((*k).to_owned(), turned >> at & 1 == 1)).collect();
        let mut expected: Vec<(i64, Row)> = Vec::new();
        for (seq, row) in numbered(&blocks) {
            let holds = condition.as_ref().map(|c| scalar::evaluate(c, &|name| cell(&row, seq, name), &context));
            match holds {
                Some(Err(_)) => return Ok(()),
                Some(Ok(value)) if scalar::truth(&value) != Some(true) => {}
                _ => expected.push((seq, row)),
            }
        }
        let by = if order.is_empty() { vec![(TIME.to_owned(), true)] } else { order.clone() };
        expected.sort_by(|(seq_a, a), (seq_b, b)| {
            for (name, descending) in &by {
                let (x, y) = (cell(a, *seq_a, name), cell(b, *seq_b, name));
                let ordering = match (x.is_null(), y.is_null(), descending) {
                    (false, false, true) => y.compare(&x),
                    _ => x.compare(&y),
                };
                if ordering.is_ne() { return ordering; }
            }
            if by.last().is_some_and(|(_, d)| *d) { seq_b.cmp(seq_a) } else { seq_a.cmp(seq_b) }
        });
        let expected: Vec<Value> = expected.iter().map(|(seq, _)| Value::Int(*seq)).collect();
        let order_text: Vec<String> = order.iter().map(|(k, d)| format!("{}{k}", if *d { "-" } else { "" })).collect();
        let request = PageRequest {
            dataset: "t".into(),
            filter: text.clone(),
            order: (!order.is_empty()).then(|| order_text.join(",")),
            fields: Some(vec!["_seq".into()]),
            limit: Some(limit),
            count: true,
            ..PageRequest::default()
        };
        for (layout, snapshot) in snapshots(&blocks) {
        let ask = |cursor: Option<String>| page(&snapshot, &[1; 32], &PageRequest { cursor, ..request.clone() });
        let mut current = match ask(None) {
            Ok(first) => first,
            Err(error) => {
                prop_assert!(!matches!(error, Error::Corrupt(_)), "{:?}: {}", layout, error);
                continue;
            }
        };
        prop_assert_eq!(current.total, Some(expected.len() as u64));
        prop_assert!(current.prev.is_none());
        let numbers = |p: &crate::query::page::Page| p.rows.iter().map(|row| row[0].1.clone()).collect::<Vec<_>>();
        let mut walked = vec![numbers(&current)];
        while let Some(next) = current.next.take() {
            current = ask(Some(next)).expect("a page");
            walked.push(numbers(&current));
        }
        prop_assert_eq!(walked.concat(), expected.clone(), "order {:?} where {:?} over {:?}", order_text, text, layout);
        let mut back = Vec::new();
        while let Some(prev) = current.prev.take() {
            current = ask(Some(prev)).expect("a page");
            back.push(numbers(&current));
        }
        back.reverse();
        prop_assert_eq!(&back[..], &walked[..walked.len() - 1]);
        }
    }
}

/// A key by the one order of values.
#[derive(Debug, PartialEq, Eq)]
struct ByOrder(Value);

impl PartialOrd for ByOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.compare(&other.0)
    }
}

#[test]
fn unknown_names_and_senseless_types_are_refused_with_a_way_out() {
    let blocks =
        vec![vec![(0, [Value::Int(1), Value::Int(2), Value::text("x"), Value::Float(0.5), Value::Null])]];
    let ask = |sql: &str| {
        run(&snapshot(&blocks), &parse::sql(sql, &[]).expect("parses")).expect_err(sql).to_string()
    };
    for (sql, part) in [
        ("SELECT _tme FROM t", "has no field \"_tme\"; did you mean \"_time\"?"),
        ("SELECT a FROM t WHERE c = \"it's\"", "; a text stands in single quotes: 'it''s'"),
        ("SELECT count(*) FROM u", "there is no dataset \"u\""),
        ("SELECT a, count(*) FROM t", "group by"),
        ("SELECT sum(c) FROM t", "of type string"),
        ("SELECT count(*) FROM t WHERE a", "true or false"),
        ("SELECT count(*) FROM t WHERE _time > 'soon'", "compared with a time"),
    ] {
        let told = ask(sql);
        assert!(told.contains(part), "{sql}: {told}");
    }
}

#[test]
fn a_sum_beyond_64_bits_is_an_error_and_no_wrong_number() {
    let row = |n| (0, [Value::Int(n), Value::Null, Value::Null, Value::Null, Value::Null]);
    let blocks = vec![vec![row(i64::MAX)], vec![row(1)]];
    let told = run(&snapshot(&blocks), &parse::sql("SELECT sum(a) FROM t", &[]).expect("parses"));
    assert!(told.expect_err("overflows").to_string().contains("overflow"));
    let fine =
        run(&snapshot(&blocks), &parse::sql("SELECT avg(a) FROM t", &[]).expect("parses")).expect("averages");
    assert_eq!(fine.rows[0][0], Value::Float(2f64.powi(62)));
}
