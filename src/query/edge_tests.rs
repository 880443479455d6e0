//! Edges that once gave a wrong answer, a lost row or a fault: each test is named after what must hold there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::Result;
use crate::fields::FieldSet;
use crate::query::answer::Answer;
use crate::query::format;
use crate::query::layouts::{Layout, alone, laid_out};
use crate::query::page::{Page, PageRequest, page};
use crate::query::{parse, run};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::time;
use crate::value::Value;

/// A dataset "t" of blocks, each a list of named columns; row by row a second passes.
fn snapshot(blocks: &[&[(&str, Vec<Value>)]]) -> Snapshot {
    let (mut tail, mut fields, mut next_seq) = (Vec::new(), FieldSet::default(), 1);
    for block in blocks {
        let rows = block.first().map_or(0, |(_, cells)| cells.len());
        let times: Vec<i64> = (0..rows as i64).map(|row| (next_seq + row) * time::SECOND).collect();
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (name, cells) in *block {
            let column = column_of(cells.iter().cloned());
            fields.add(&(*name).into(), column.kinds());
            columns.push(((*name).into(), Arc::new(column)));
        }
        tail.push(TailBlock { first_seq: next_seq, block: Arc::new(Block::new(rows, columns)) });
        next_seq += rows as i64;
    }
    let dataset = Dataset {
        id: 1,
        rules_version: 1,
        fields: Arc::new(fields),
        next_seq,
        tail,
        ..Dataset::new("t".into())
    };
    Snapshot { datasets: BTreeMap::from([(Arc::from("t"), Arc::new(dataset))]) }
}

fn ask(data: &Snapshot, sql: &str) -> Result<Answer> {
    run(data, &parse::sql(sql, &[])?)
}

/// The rows of an answer, each as its cells' texts with commas between.
fn told(data: &Snapshot, sql: &str) -> Vec<String> {
    let answer = ask(data, sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    let sealed = ask(&sealed(data), sql).unwrap_or_else(|e| panic!("{sql}, sealed: {e}"));
    assert_eq!(sealed.rows, answer.rows, "{sql}, sealed");
    let row = |cells: &Vec<Value>| cells.iter().map(|cell| cell.to_text().into_owned()).collect::<Vec<_>>();
    answer.rows.iter().map(|cells| row(cells).join(",")).collect()
}

fn ints(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::Int).collect()
}

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|text| Value::text(*text)).collect()
}

fn rows_page(data: &Snapshot, request: &PageRequest) -> Result<Page> {
    page(data, &[7; 32], &PageRequest { dataset: "t".into(), ..request.clone() })
}

/// The same data in a segment.
fn sealed(data: &Snapshot) -> Snapshot {
    alone(laid_out(&data.datasets["t"], Layout::Segment))
}

/// The `_seq`s of a walk to the end.
fn walk(data: &Snapshot, order: &str, limit: usize) -> Vec<i64> {
    let seen = walk_once(data, order, limit);
    assert_eq!(walk_once(&sealed(data), order, limit), seen, "{order}, sealed");
    seen
}

fn walk_once(data: &Snapshot, order: &str, limit: usize) -> Vec<i64> {
    let mut request = PageRequest {
        order: Some(order.into()),
        limit: Some(limit),
        fields: Some(vec!["_seq".into()]),
        ..PageRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let found = rows_page(data, &request).expect("a page");
        seen.extend(found.rows.iter().map(|row| match row[0].1 {
            Value::Int(seq) => seq,
            _ => 0,
        }));
        match found.next {
            Some(next) => request.cursor = Some(next),
            None => return seen,
        }
    }
}

#[test]
fn a_fault_in_a_row_that_does_not_count_is_none() {
    let data = snapshot(&[&[("n", ints([3, i64::MAX])), ("s", texts(&["5", "9223372036854775807"]))]]);
    for (sql, wanted) in [
        ("SELECT count(*) FROM t WHERE n < 10 AND n * n > 0", "1"),
        ("SELECT count(*) FROM t WHERE n > 10 OR n * n > 0", "2"),
        ("SELECT sum(n * n) FILTER (WHERE n < 10) FROM t", "9"),
        ("SELECT CAST(s AS int) + 1 FROM t WHERE n = 3", "6"),
        ("SELECT count(*) FROM t WHERE n = 3 AND CAST(s AS int) + 1 = 6", "1"),
    ] {
        assert_eq!(told(&data, sql), [wanted], "{sql}");
    }
    for sql in ["SELECT n * n FROM t", "SELECT count(*) FROM t WHERE n * n > 0 AND n < 10"] {
        assert!(ask(&data, sql).expect_err(sql).to_string().contains("overflow"), "{sql}");
    }
}

#[test]
fn no_offset_is_too_large() {
    let data = snapshot(&[&[("n", ints(0..5))]]);
    for rest in
        ["", r#", "order": ["n"]"#, r#", "limit": 18446744073709551615"#, r#", "select": ["count()"]"#]
    {
        let body = format!(r#"{{"from": "t", "offset": 18446744073709551615{rest}}}"#);
        let query = parse::json(body.as_bytes(), 0).expect("a query");
        assert!(run(&data, &query).expect("an answer").rows.is_empty(), "{body}");
    }
    let request = PageRequest { page: Some(usize::MAX), limit: Some(10_000), ..PageRequest::default() };
    assert!(rows_page(&data, &request).expect("a page").rows.is_empty());
}

#[test]
fn pages_by_offset_share_out_rows_that_tie() {
    let data = snapshot(&[&[("n", ints((0..500).map(|n| n % 2)))], &[("n", ints((0..300).map(|n| n % 2)))]]);
    let mut seen = Vec::new();
    for offset in (0..800).step_by(50) {
        seen.extend(told(&data, &format!("SELECT _seq FROM t ORDER BY n LIMIT 50 OFFSET {offset}")));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 800);
}

#[test]
fn a_walk_meets_times_and_texts_of_one_field() {
    let day = |text: &str| Value::Time(time::parse(text).expect("a time"));
    let before = texts(&["2026-01-01", "2026-01-02", "2026-01-03"]);
    let after = vec![day("2025-06-01"), day("2027-06-01"), day("2027-06-02"), Value::Null];
    let data = snapshot(&[&[("seen", before)], &[("seen", after)]]);
    assert_eq!(walk(&data, "seen", 1), [4, 5, 6, 1, 2, 3, 7]);
    assert_eq!(walk(&data, "-seen", 2), [3, 2, 1, 6, 5, 4, 7]);
}

#[test]
fn a_walk_goes_on_from_a_float_among_equal_whole_numbers() {
    let data = snapshot(&[
        &[("n", ints([6; 50].into_iter().chain([7; 50])))],
        &[("n", vec![Value::Float(6.0), Value::Float(6.5), Value::Bool(true)])],
        &[("n", ints([6; 50]))],
    ]);
    let seen = walk(&data, "n", 10);
    let mut all = seen.clone();
    all.sort_unstable();
    assert_eq!(all, (1..=153).collect::<Vec<_>>());
    assert_eq!(seen[0], 103);
    let mut all = walk(&data, "-n", 7);
    all.sort_unstable();
    assert_eq!(all, (1..=153).collect::<Vec<_>>());
}

#[test]
fn constants_of_other_types_are_other_expressions() {
    let data = snapshot(&[&[("n", ints([2, 2]))]]);
    let sql = "SELECT max(concat(n, 1)), max(concat(n, 1.0)), max(concat(n, true)) FROM t";
    assert_eq!(told(&data, sql), ["21,21.0,2true"]);
    assert_eq!(told(&data, "SELECT concat(n, 1), concat(n, 1) FROM t GROUP BY concat(n, 1)"), ["21,21"]);
    assert!(ask(&data, "SELECT concat(n, true) FROM t GROUP BY concat(n, 1)").is_err());
}

#[test]
fn a_time_beside_text_is_text_where_texts_are_joined_or_searched() {
    let data = snapshot(&[&[("n", ints([1]))]]);
    assert_eq!(told(&data, "SELECT _time || ' n' FROM t"), ["1970-01-01T00:00:01Z n"]);
    assert_eq!(told(&data, "SELECT _time || '2026-01-01' FROM t"), ["1970-01-01T00:00:01Z2026-01-01"]);
    assert_eq!(told(&data, "SELECT count(*) FROM t WHERE _time REGEXP '^1970'"), ["1"]);
    assert_eq!(told(&data, "SELECT count(*) FROM t WHERE _time < '1970-01-02'"), ["1"]);
}

#[test]
fn a_float_divided_to_whole_numbers_is_a_float() {
    let data = snapshot(&[&[("n", ints([7]))]]);
    let answer = ask(&data, "SELECT n // 2.0, n // 2 FROM t").expect("an answer");
    let kinds: Vec<&str> = answer.columns.iter().map(|column| column.kind).collect();
    assert_eq!(
        (kinds, told(&data, "SELECT n // 2.0, n // 2 FROM t")),
        (vec!["float", "int"], vec!["3.0,3".into()])
    );
}

#[test]
fn fields_are_found_by_letters_of_another_case_in_every_format_and_asked_once() {
    let data = snapshot(&[&[("Status", ints([200])), ("n", ints([1]))]]);
    let fields = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let request = PageRequest { fields: fields(&["n", "status"]), ..PageRequest::default() };
    let found = rows_page(&data, &request).expect("a page");
    let csv = format::page_csv(&found, request.fields.as_deref()).expect("CSV");
    assert_eq!(String::from_utf8_lossy(&csv), "n,Status\n1,200\n");
    for names in [["n", "n"], ["status", "Status"]] {
        let request = PageRequest { fields: fields(&names), ..PageRequest::default() };
        let refused = rows_page(&data, &request).expect_err("refused").to_string();
        assert!(refused.contains("twice"), "{refused}");
    }
}
