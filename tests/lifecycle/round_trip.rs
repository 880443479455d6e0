//! What is exported comes back as it was: values, types, `_time` and `_id`, through NDJSON exactly, through CSV as far as
//! CSV can carry it.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Server, assert_says, assert_says_one_of, run, temp_dir};
use crate::{append, import, lines};

/// Events with every type, and what is hard about each.
fn events() -> Vec<Value> {
    vec![
        json!({"_time": "2026-03-01T10:00:00.123456Z", "_id": "first", "int": 7, "float": 3.0, "bool": true, "text": "plain"}),
        json!({"_time": "0000-01-01T00:00:00Z", "_id": "year 0", "int": i64::MAX, "float": 1e300, "bool": false, "text": "ünïcödé 中文 🦀"}),
        json!({"_time": "9999-12-31T23:59:59.999999Z", "_id": "year 9999", "int": i64::MIN, "float": -0.0, "text": ""}),
        json!({"_time": "1969-12-31T23:59:59Z", "_id": "4", "float": 5e-324, "text": "\"quotes\", commas\nand\tlines \\ \u{1}"}),
        json!({"_time": "2026-03-01T09:00:00Z", "_id": "5", "list": ["a", "b,c", "\"", ""], "empty list": []}),
        json!({"_time": "2026-03-01T09:00:00Z", "_id": "6", "list": ["ü"], "json": [1, {"a": null}, "x"], "dotted": {"inner": {"deep": 1}}}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "7", "mixed": 7, "0": "a field called 0"}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "8", "mixed": "seven", "text": "007"}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "9", "mixed": 7.5, "text": "2026-03-01"}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "10", "mixed": true, "text": "true"}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "11", "mixed": ["x"], "text": " spaces "}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "12", "mixed": [1.50, 2], "text": "null"}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "13", "mixed": 9007199254740993_i64, "int": 0}),
        json!({"_time": "2026-03-01T09:30:00Z", "_id": "14"}),
    ]
}

fn body() -> String {
    // a number beyond 64 bits, and one that is whole in a field of floats, as no Value of serde_json keeps them
    let more =
        r#"{"_time":"2026-03-02T00:00:00Z","_id":"15","json":123456789012345678901234567890,"float":2}"#;
    let hard: String = events().iter().map(|event| event.to_string() + "\n").collect();
    hard + more + "\n"
}

fn exported(dir: &Path, db: &str, arguments: &[&str]) -> String {
    let database = dir.join(db);
    let mut all = vec!["export", "--db", database.to_str().unwrap()];
    all.extend(arguments);
    run(dir, &all).exits(0).stdout
}

/// Without `_seq`, which is given anew.
fn without_seq(lines: &str) -> Vec<String> {
    let pattern = regex::Regex::new(r#""_seq":[0-9]+,"#).unwrap();
    lines.lines().map(|line| pattern.replace(line, "").into_owned()).collect()
}

fn described(dir: &Path, db: &str) -> Value {
    let ran = run(dir, &["datasets", "events", "--json", "--db", db]).exits(0);
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["fields"].clone()
}

#[test]
fn ndjson_carries_every_type_exactly() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("events.ndjson"), body()).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.accepted("events", body()), 15);
    let from_log = exported(dir.path(), "windrow.db", &["events"]);
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["optimize"]).exits(0);
    let from_segment = exported(dir.path(), "windrow.db", &["events"]);
    assert_eq!(from_segment, from_log, "the order is that of _seq, wherever events are");

    run(dir.path(), &["export", "events", "--output", "out.ndjson.zst"]).exits(0);
    run(dir.path(), &["import", "events", "out.ndjson.zst", "--db", "again.db"]).exits(0);
    let again = exported(dir.path(), "again.db", &["events"]);
    assert_eq!(without_seq(&again), without_seq(&from_log));
    assert_eq!(described(dir.path(), "again.db"), described(dir.path(), "windrow.db"));

    // as it was sent: floats with their point, whole numbers without, JSON as it was written
    let lines: Vec<&str> = from_log.lines().collect();
    for (at, part) in [
        (0, r#""float":3.0"#),
        (1, r#""float":1e300"#),
        (1, "9223372036854775807"),
        (2, r#""float":-0.0"#),
        (4, r#""list":["a","b,c","\"",""]"#),
        (8, r#""mixed":7.5"#),
        (12, "9007199254740993"),
        (14, "123456789012345678901234567890"),
        (14, r#""float":2,"#),
    ] {
        assert!(lines[at].contains(part), "{part} in {}", lines[at]);
    }
}

#[test]
fn csv_carries_what_it_can() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let rows: String = (0..50)
        .map(|n| {
            let event = json!({
                "_time": format!("2026-03-01T10:00:{n:02}.5Z"), "_id": format!("id-{n}"), "int": n - 25,
                "float": f64::from(n) + 0.5, "bool": n % 2 == 0, "zip": format!("{n:05}"),
                "text": format!("a \"quoted\", text\nof {n} 🦀"), "sometimes": (n % 3 == 0).then_some(n),
            });
            event.to_string() + "\n"
        })
        .collect();
    assert_eq!(server.accepted("events", rows), 50);
    run(dir.path(), &["export", "events", "-o", "out.csv.gz"]).exits(0);
    let before = exported(dir.path(), "windrow.db", &["events"]);
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["import", "events", "out.csv.gz", "--db", "again.db"]).exits(0);
    assert_eq!(without_seq(&exported(dir.path(), "again.db", &["events"])), without_seq(&before));
    assert_eq!(described(dir.path(), "again.db"), described(dir.path(), "windrow.db"));
}

#[test]
fn rows_come_in_order_with_the_fields_and_the_condition_asked_for() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 40_000);
    append(dir.path(), "visits", 40_000, 30);
    let all = exported(dir.path(), "windrow.db", &["visits", "--fields", "_seq,n"]);
    let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 40_030);
    for (at, line) in lines.iter().enumerate() {
        assert_eq!(line, &json!({"_seq": at + 1, "n": at}));
    }
    let condition = "country = 'FR' and n >= 39990";
    let some = exported(
        dir.path(),
        "windrow.db",
        &["visits", "--where", condition, "--fields", "n,tags,ms", "--format", "csv"],
    );
    let wanted: String = (39_990..40_030u64)
        .filter(|n| n % 3 == 1)
        .map(|n| format!("{n},\"[\"\"a\"\",\"\"t{}\"\"]\",{:?}\n", n % 5, n as f64 / 4.0))
        .collect();
    assert_eq!(some, format!("n,tags,ms\n{wanted}"));
}

#[test]
fn what_cannot_be_exported_is_told() {
    let dir = temp_dir();
    append(dir.path(), "visits", 0, 10);
    let refused = |arguments: &[&str], words: &[&str]| {
        let ran = run(dir.path(), &[&["export"], arguments].concat());
        assert!([1, 2].contains(&ran.code), "{}", ran.output());
        assert_says(&ran.stderr, words);
    };
    refused(&["visit"], &["visit", "did you mean"]);
    refused(&["visits", "--fields", "contry"], &["contry", "country"]);
    refused(&["visits", "--where", "n >"], &["expression", "column 4"]);
    refused(&["visits", "--format", "xml"], &["xml", "ndjson"]);
    refused(&["visits", "--output", "absent/out.csv"], &["absent/out.csv"]);
    std::fs::write(dir.path().join("out.csv"), "mine").unwrap();
    refused(&["visits", "--output", "out.csv"], &["out.csv", "--overwrite"]);
    assert_eq!(std::fs::read(dir.path().join("out.csv")).unwrap(), b"mine");
    run(dir.path(), &["export", "visits", "--output", "out.csv", "--overwrite"]).exits(0);
    let text = std::fs::read_to_string(dir.path().join("out.csv")).unwrap();
    assert_eq!(text.lines().next(), Some("_time,_seq,_id,time,n,country,text,ms,tags"));
    assert_eq!(text.lines().count(), 11);
}

#[test]
fn an_export_needs_little_memory() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 400_000);
    let ran = run(dir.path(), &["export", "visits", "--output", "out.ndjson"]).exits(0);
    assert_says_one_of(&ran.stdout, &["400,000 rows"]);
    assert!(ran.peak_kib < 600 << 10, "{} MiB", ran.peak_kib >> 10);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM visits").cell(), 400_000);
    let text = std::fs::read_to_string(dir.path().join("out.ndjson")).unwrap();
    assert_eq!(text.lines().count(), lines(0, 400_000).lines().count());
}
