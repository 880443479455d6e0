//! Version 1 as it was first written. A change of the format that breaks reading these files needs a new version and
//! golden files of its own; `WINDROW_WRITE_GOLDEN=1` writes those that are missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::segment::tests::{cell, decode, noise};
use crate::columnar::segment::{BLOCK_ROWS, HeadColumn, SegmentHead, encode};
use crate::value::Value;

/// One file for each form that a column can take.
fn columns() -> Vec<(&'static str, Column)> {
    let mut next = noise(42);
    let mut noise = move |below: u64| (next() % below) as i64;
    let (short, long) = (0..300i64, 0..BLOCK_ROWS as i64 + 16);
    let gaps = |n: i64, value: Value| if n % 4 == 1 { Value::Null } else { value };
    let mut time = 1_767_225_600_000_000;
    let times = short.clone().map(|_| {
        time += noise(90_000) * 1000;
        Value::Time(time)
    });
    let times = column_of(times.collect::<Vec<_>>());
    let item = |n: i64| Arc::<str>::from(["", "a", "ü", "日本"][n as usize % 4]);
    let mixed = |n: i64, noise: i64| match n % 9 {
        0 => Value::Int(i64::MIN + n),
        1 => Value::text(format!("text {}", n % 30)),
        2 => Value::Float(noise as f64 / 100.0),
        3 => Value::Json(format!("{{\"n\":{}}}", n % 10).into()),
        4 => Value::List((0..n % 5).map(item).collect()),
        5 => Value::Time(n * 1_000_000),
        6 => Value::Bool(n % 5 == 0),
        7 => Value::Int(noise),
        _ => Value::Null,
    };
    vec![
        ("null", Column::null(5)),
        ("stride", column_of(long.clone().map(|n| Value::Int(n + 1)))),
        ("deltas", times),
        ("offsets", column_of(short.clone().map(|n| gaps(n, Value::Int(noise(1 << 20) * 60 - 5))))),
        ("distinct", column_of(short.clone().map(|n| Value::Int((n * 7 % 20 + 3).pow(9))))),
        ("decimals", column_of(short.clone().map(|n| gaps(n, Value::Float(noise(100_000) as f64 / 100.0))))),
        (
            "floats",
            column_of(
                short
                    .clone()
                    .map(|n| if n % 3 == 0 { Value::Int(n) } else { Value::Float((n as f64).sqrt()) }),
            ),
        ),
        ("bools", column_of(short.clone().map(|n| gaps(n, Value::Bool(noise(3) == 0))))),
        ("texts", column_of(long.map(|n| gaps(n / 8, Value::text(format!("/path/{}", n / 8 % 700)))))),
        ("lists", column_of(short.clone().map(|n| gaps(n, Value::List((0..n % 3).map(item).collect()))))),
        ("json", column_of(short.clone().map(|n| Value::Json(format!("[{}]", n % 50).into())))),
        ("mixed", column_of(short.map(|n| mixed(n, noise(1000))))),
    ]
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/segment-{name}-v1.bin"))
}

fn golden(name: &str, write: impl Fn() -> Vec<u8>) -> Vec<u8> {
    let path = path(name);
    if std::env::var_os("WINDROW_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, write()).expect("writes");
    }
    std::fs::read(&path).expect("the golden file")
}

#[test]
fn golden_columns_of_version_1_still_read() {
    for (name, column) in columns() {
        let bytes = golden(&format!("column-{name}"), || encode(&column).expect("encodes"));
        let (_, blocks) = decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = blocks.iter().flat_map(|block| (0..block.rows).map(|row| cell(block, row)));
        let expected: Vec<String> = (0..column.rows).map(|row| cell(&column, row)).collect();
        assert_eq!(read.collect::<Vec<_>>(), expected, "{name}");
        // what today's program writes differs at most in what the compressor found
        let (_, again) = decode(&encode(&column).expect("encodes")).expect("decodes");
        assert_eq!(again, blocks, "{name}");
    }
}

#[test]
fn the_golden_head_of_version_1_still_reads() {
    let told = |name: &str, at: usize| HeadColumn::of(name.into(), &columns()[at].1, None);
    let mut same = HeadColumn { name: "when".into(), ..told("_time", 2) };
    same.same_as = Some(0);
    let head = SegmentHead {
        rows: 300,
        columns: vec![told("_time", 2), told("ids", 1), told("mixed", 11), told("ünder", 8)],
    };
    let mut with_same = head.clone();
    with_same.columns.insert(3, same);
    let bytes = golden("head", || with_same.encode());
    assert_eq!(SegmentHead::decode(&bytes).expect("decodes"), with_same);
    assert_eq!(with_same.encode(), bytes);
    let mut wrong = with_same.clone();
    wrong.columns[3].same_as = Some(1);
    assert!(SegmentHead::decode(&wrong.encode()).is_err_and(|e| e.to_string().contains("the same as one")));
    wrong = head;
    wrong.columns.swap(0, 1);
    assert!(SegmentHead::decode(&wrong.encode()).is_err_and(|e| e.to_string().contains("out of order")));
}
