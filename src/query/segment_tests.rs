//! Queries and pages over segments of several blocks: the same answers as over the tail, little read, and damage that
//! only those meet who touch it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::segment::BLOCK_ROWS;
use crate::columnar::{Block, TIME};
use crate::error::{Error, Result};
use crate::fields::FieldSet;
use crate::query::answer::Answer;
use crate::query::layouts::{Damage, LAYOUTS, Reads, alone, laid_out, watched};
use crate::query::page::{Page, PageRequest, page};
use crate::query::{parse, run};
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::time;
use crate::value::Value;

/// Rows from a number to another: n counts, kind goes round, word has many texts, few has nulls. Times rise by a
/// second, but every `late`-th row comes an hour late.
fn block(first: i64, rows: i64, late: i64) -> TailBlock {
    let numbers = first..first + rows;
    let late_by = |n: i64| if late > 0 && n % late == 0 { time::HOUR } else { 0 };
    let times: Vec<i64> = numbers.clone().map(|n| n * time::SECOND - late_by(n)).collect();
    let column = |cell: &dyn Fn(i64) -> Value| Arc::new(column_of(numbers.clone().map(cell)));
    let columns: Vec<(Arc<str>, Arc<Column>)> = vec![
        (TIME.into(), Arc::new(Column::times(&times))),
        ("n".into(), column(&Value::Int)),
        ("kind".into(), column(&|n| Value::text(["de", "fr", "it", "us"][(n % 4) as usize]))),
        ("class".into(), column(&|n| Value::Int(n % 5))),
        ("word".into(), column(&|n| Value::text(format!("w{}", n * 7_919 % 30_011)))),
        ("few".into(), column(&|n| if n % 3 == 0 { Value::Null } else { Value::Float(n as f64 / 4.0) })),
        (
            "any".into(),
            column(&|n| if n % 2 == 0 { Value::Int(n % 7) } else { Value::text(format!("{}", n % 9)) }),
        ),
    ];
    TailBlock { first_seq: first, block: Arc::new(Block::new(rows as usize, columns)) }
}

fn dataset(tail: Vec<TailBlock>) -> Dataset {
    let mut fields = FieldSet::default();
    for (name, column) in tail.iter().flat_map(|t| t.block.columns()).filter(|(name, _)| &***name != TIME) {
        fields.add(name, column.kinds());
    }
    let next_seq = tail.last().map_or(1, |last| last.first_seq + last.block.rows() as i64);
    Dataset { id: 1, rules_version: 1, fields: Arc::new(fields), next_seq, tail, ..Dataset::new("t".into()) }
}

fn ask(data: &Snapshot, sql: &str) -> Result<Answer> {
    run(data, &parse::sql(sql, &[])?)
}

fn request(order: &str, limit: usize) -> PageRequest {
    PageRequest {
        dataset: "t".into(),
        order: Some(order.into()),
        limit: Some(limit),
        fields: Some(vec!["_seq".into()]),
        ..PageRequest::default()
    }
}

fn turn(data: &Snapshot, request: &PageRequest) -> Result<Page> {
    page(data, &[7; 32], request)
}

/// The pages of a walk as their `_seq`s, and the cursors before each.
fn walk(data: &Snapshot, mut request: PageRequest) -> (Vec<Vec<Value>>, Vec<Option<String>>) {
    let (mut pages, mut cursors) = (Vec::new(), Vec::new());
    loop {
        let found = turn(data, &request).expect("a page");
        cursors.push(request.cursor.clone());
        pages.push(found.rows.iter().map(|row| row[0].1.clone()).collect());
        match found.next {
            Some(next) => request.cursor = Some(next),
            None => return (pages, cursors),
        }
    }
}

const ROWS: i64 = BLOCK_ROWS as i64;

#[test]
fn answers_are_those_of_the_tail_over_many_blocks() {
    let tail = vec![block(1, ROWS, 97), block(ROWS + 1, 1_000, 97), block(ROWS + 1_001, 1_500, 0)];
    let whole = dataset(tail);
    let data: Vec<Snapshot> = LAYOUTS.iter().map(|layout| alone(laid_out(&whole, *layout))).collect();
    for sql in [
        "SELECT kind, count(*), sum(n), min(word), max(word), uniq(word), avg(few) FROM t GROUP BY kind",
        "SELECT class, kind, uniq(any), max(few), quantile(n, 0.9) FROM t WHERE word LIKE 'w1%' GROUP BY class, kind",
        "SELECT upper(word), count(*) FROM t GROUP BY upper(word) ORDER BY count(*) DESC, upper(word) LIMIT 50",
        "SELECT any, count(*), min(_seq), max(_seq) FROM t GROUP BY any",
        "SELECT count(*) FROM t WHERE _seq > 9000 AND kind = 'it' AND length(word) = 5 AND few IS NOT NULL",
        "SELECT count(*), min(_id) FROM t WHERE n BETWEEN 16000 AND 17000 AND kind IN ('de', 'us')",
        "SELECT * FROM t WHERE word = 'w77' OR n = 16384 ORDER BY _seq",
        "SELECT _seq, _time, word FROM t ORDER BY word, n DESC LIMIT 20 OFFSET 7",
        "SELECT DISTINCT kind, class FROM t ORDER BY kind, class",
        "SELECT count(*) FROM t WHERE _time >= '1970-01-01T03:00:00Z' AND _time < '1970-01-01T05:00:00Z'",
    ] {
        let expected = ask(&data[0], sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        for (data, layout) in data.iter().zip(LAYOUTS) {
            let got = ask(data, sql).unwrap_or_else(|e| panic!("{sql} over {layout:?}: {e}"));
            assert_eq!(got.rows, expected.rows, "{sql} over {layout:?}");
        }
    }
    for order in ["_time", "-_seq", "kind,-n", "-few", "word", "-any", "class"] {
        let (expected, _) = walk(&data[0], request(order, 6_000));
        for (data, layout) in data.iter().zip(LAYOUTS) {
            assert!(walk(data, request(order, 6_000)).0 == expected, "{order} over {layout:?}");
        }
    }
}

#[test]
fn segments_that_were_touched_are_counted_and_the_tail_as_one() {
    let tail = vec![block(1, 100, 0), block(101, 100, 0), block(201, 100, 0), block(301, 100, 0)];
    let segment = |id: i64, block: &TailBlock| Arc::new(watched(id, std::slice::from_ref(block), None).0);
    let segments = vec![segment(1, &tail[0]), segment(2, &tail[1])];
    let data = alone(Arc::new(Dataset { segments, tail: tail[2..].to_vec(), ..dataset(tail.clone()) }));
    for (condition, segments, rows) in
        [("n > 0", 3, 400), ("n <= 150", 2, 200), ("n > 350", 1, 100), ("n > 150", 2, 300), ("n > 999", 0, 0)]
    {
        let stats =
            ask(&data, &format!("SELECT count(*) FROM t WHERE {condition}")).expect("an answer").stats;
        assert_eq!((stats.segments, stats.rows_scanned), (segments, rows), "{condition}");
    }
}

/// Blocks read of each column of which anything was read.
fn blocks_read(reads: &Reads) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (name, is_block) in reads.lock().expect("not poisoned").drain(..) {
        *counts.entry(name.to_string()).or_default() += usize::from(is_block);
    }
    counts
}

#[test]
fn a_page_at_any_depth_reads_two_blocks_of_a_column_at_most() {
    for late in [0, 97] {
        let tail = vec![block(1, ROWS * 4, late)];
        let data = || {
            let (segment, reads) = watched(1, &tail, None);
            let segments = vec![Arc::new(segment)];
            (alone(Arc::new(Dataset { segments, tail: Vec::new(), ..dataset(tail.clone()) })), reads)
        };
        let most = if late == 0 { 2 } else { 3 };
        for order in ["-_time", "_time", "_seq", "-_seq", "n", "-class", "class"] {
            let (walked, _) = data();
            let (_, cursors) = walk(&walked, request(order, 10_000));
            for cursor in cursors.into_iter().step_by(2) {
                let (data, reads) = data();
                let wanted = PageRequest { cursor, fields: None, ..request(order, 100) };
                assert_eq!(turn(&data, &wanted).expect("a page").rows.len(), 100, "{order}");
                for (name, blocks) in blocks_read(&reads) {
                    assert!(blocks <= most, "{order}: {blocks} blocks of {name}");
                }
            }
        }
    }
}

#[test]
fn only_the_columns_and_blocks_that_are_needed_are_read() {
    let (segment, reads) = watched(1, &[block(1, ROWS * 4, 0)], None);
    let segments = vec![Arc::new(segment)];
    let data = alone(Arc::new(Dataset { segments, tail: Vec::new(), ..dataset(vec![block(1, 10, 0)]) }));
    let count = |sql: &str| {
        data.datasets["t"].segments[0].pool.forget(1);
        ask(&data, sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        blocks_read(&reads)
    };
    let read = |pairs: &[(&str, usize)]| {
        pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<BTreeMap<_, _>>()
    };
    // a range that holds throughout a block is not evaluated there
    let got = count(&format!("SELECT count(*) FROM t WHERE n > {} AND n <= {}", ROWS, ROWS * 3));
    assert_eq!(got, read(&[("n", 0)]));
    assert_eq!(count("SELECT sum(n) FROM t WHERE class = 7"), read(&[]));
    // the text is read only where the number leaves a row
    let got = count("SELECT max(word) FROM t WHERE kind LIKE 'd%' AND n = 20");
    assert_eq!(got, read(&[("kind", 1), ("n", 1), ("word", 1)]));
    assert_eq!(count("SELECT word FROM t LIMIT 5"), read(&[("word", 1)]));
}

#[test]
fn damage_is_met_by_those_alone_who_touch_it() {
    for damage in [Damage::Lost("word"), Damage::LastByte("word")] {
        let tail = vec![block(1, ROWS + 100, 0), block(ROWS + 101, 100, 0)];
        let (segment, _) = watched(7, &tail[..1], Some(damage));
        let whole = dataset(tail.clone());
        let later = Segment::of_tail(8, &tail[1..]).expect("sealed");
        let segments = vec![Arc::new(segment), Arc::new(later)];
        let data = alone(Arc::new(Dataset { segments, tail: Vec::new(), ..whole }));
        let later = format!("_time > '{}'", time::format((ROWS + 100) * time::SECOND));
        for sql in [
            "SELECT kind, sum(n), max(any) FROM t GROUP BY kind".to_owned(),
            format!("SELECT max(word) FROM t WHERE {later}"),
            format!("SELECT max(word) FROM t WHERE word LIKE 'w%' AND {later}"),
            "SELECT word FROM t WHERE class = 9".to_owned(),
        ] {
            ask(&data, &sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        let names_it = |error: Error| {
            let told = error.to_string();
            let is_whole = told.contains("segment 7") && told.contains("\"word\"");
            assert!(is_whole && matches!(error, Error::Corrupt(_)), "{told}");
            assert!(matches!(damage, Damage::Lost(_)) || told.contains("block 1"), "{told}");
        };
        for sql in ["SELECT max(word) FROM t", "SELECT count(*) FROM t WHERE word LIKE 'w1%'"] {
            names_it(ask(&data, sql).expect_err(sql));
        }
        let newest = PageRequest { fields: None, ..request("-_time", 50) };
        let found = turn(&data, &newest).expect("a page of the second segment");
        walk(&data, request("-_time", 5_000));
        let next = PageRequest { cursor: found.next, limit: Some(60), ..newest };
        names_it(turn(&data, &next).expect_err("a page into the first"));
        // what is told of a block may keep a page from it; nothing is told of a column that is lost
        if matches!(damage, Damage::Lost(_)) {
            names_it(turn(&data, &request("word", 10)).expect_err("an order by it"));
        }
    }
}

#[test]
fn many_segments_are_not_opened_for_one_page() {
    let tail: Vec<TailBlock> = (0..200).map(|at| block(1 + at * 50, 50, 0)).collect();
    let watched: Vec<_> =
        tail.iter().zip(1..).map(|(block, id)| watched(id, std::slice::from_ref(block), None)).collect();
    let (segments, reads): (Vec<_>, Vec<_>) = watched.into_iter().map(|(s, r)| (Arc::new(s), r)).unzip();
    let data = alone(Arc::new(Dataset { segments, tail: Vec::new(), ..dataset(tail) }));
    for (order, cursor) in [("-_time", None), ("n", None)] {
        turn(&data, &PageRequest { cursor, ..request(order, 20) }).expect("a page");
        let opened = reads.iter().filter(|reads| !blocks_read(reads).is_empty()).count();
        assert!(opened <= 2, "{order}: {opened}");
    }
}
