//! The life of a file, from outside: checked, backed up, restored, optimized, exported and imported again.
//!
//! `damage`: every kind of stored thing is damaged, named by `check`, and the rest stays readable. `copies`: backups
//! beside a server at work, and back again. `kills`: kill -9 while a copy is made. `round_trip`: what is exported comes
//! back as it was. This file: `check` and `optimize` on files that are well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod copies;
mod damage;
mod kills;
mod round_trip;

use std::path::Path;

use serde_json::{Value, json};

use common::process::sql;
use common::{Server, assert_says, database, run, temp_dir};

/// Lines of events, numbered in `n` from `first` on; every seventh comes late.
pub fn lines(first: u64, count: u64) -> String {
    let line = |n: u64| {
        let second = if n % 7 == 3 { n.saturating_sub(50) } else { n };
        let country = ["DE", "FR", "IT"][n as usize % 3];
        let event = json!({
            "time": 1_700_000_000 + second, "n": n, "country": country,
            "text": format!("number {n}"), "ms": n as f64 / 4.0, "tags": ["a", format!("t{}", n % 5)],
        });
        event.to_string() + "\n"
    };
    (first..first + count).map(line).collect()
}

/// Imports numbered events as segments.
pub fn import(dir: &Path, dataset: &str, first: u64, count: u64) {
    let file = dir.join(format!("{dataset}-{first}.ndjson"));
    std::fs::write(&file, lines(first, count)).unwrap();
    run(dir, &["import", dataset, file.to_str().unwrap()]).exits(0);
}

/// Appends events through a server, which leaves them in the log.
pub fn append(dir: &Path, dataset: &str, first: u64, count: u64) {
    let server = Server::start(dir, &[]);
    server.accepted(dataset, lines(first, count));
    assert_eq!(server.stop(), 0);
}

/// What `check --json` tells, and its exit code.
pub fn checked(dir: &Path, db: &Path) -> (i32, Value) {
    let ran = run(dir, &["check", "--json", "--db", db.to_str().unwrap()]);
    let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e} in {}", ran.output()));
    (ran.code, json)
}

/// How many events a dataset has, and the sum of their numbers.
pub fn totals(dir: &Path, dataset: &str) -> (u64, u64) {
    let table = sql(dir, &format!("SELECT count(*), sum(n) FROM {dataset}"));
    (table.rows[0][0].as_u64().unwrap(), table.rows[0][1].as_u64().unwrap_or(0))
}

/// The file opened past the engine.
pub fn sqlite(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(database(dir)).unwrap()
}

fn free_pages(dir: &Path) -> i64 {
    sqlite(dir).query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_file_in_use_and_at_rest_is_sound() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 40_000);
    append(dir.path(), "visits", 40_000, 500);
    append(dir.path(), "orders", 0, 3);
    let (code, report) = checked(dir.path(), &database(dir.path()));
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["ok"], true);
    assert_eq!(report["events"], 40_503);
    assert_eq!((&report["datasets"], &report["segments"]), (&json!(2), &json!(1)));
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", lines(40_500, 10));
    let beside = run(dir.path(), &["check"]).exits(0);
    assert_says(&beside.stdout, &["40,513 events in 2 datasets", "nothing is damaged"]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_check_of_what_is_not_there_or_not_ours_is_no_clean_bill() {
    let dir = temp_dir();
    assert_says(&run(dir.path(), &["check"]).exits(1).stderr, &["no database", "windrow.db"]);
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let ran = run(dir.path(), &["check", "--db", other.to_str().unwrap()]).exits(1);
    assert_says(&ran.stderr, &["not one of Windrow"]);
    std::fs::write(dir.path().join("text.db"), "no database at all, just some text\n".repeat(300)).unwrap();
    let ran = run(dir.path(), &["check", "--db", dir.path().join("text.db").to_str().unwrap()]).exits(1);
    assert_says(&ran.output(), &["not a database"]);
}

#[test]
fn optimize_seals_merges_and_leaves_no_free_page() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 20_000);
    import(dir.path(), "gone", 0, 20_000);
    append(dir.path(), "visits", 20_000, 1_000);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.client().send("DELETE", "/v1/datasets/gone", &[], b"").status, 204);
    let refused = run(dir.path(), &["optimize"]).exits(1);
    assert_says(&refused.stderr, &["in use", &server.address]);
    assert_eq!(server.stop(), 0);
    let before = totals(dir.path(), "visits");
    let ran = run(dir.path(), &["optimize", "--json"]).exits(0);
    let sizes: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(sizes["after"]["tail_rows"], 0, "{sizes}");
    assert_eq!(sizes["after"]["segments"], 1, "{sizes}");
    assert!(sizes["after"]["bytes"].as_u64() <= sizes["before"]["bytes"].as_u64(), "{sizes}");
    assert_eq!(free_pages(dir.path()), 0);
    assert_eq!(totals(dir.path(), "visits"), before);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
    let statistics: i64 =
        sqlite(dir.path()).query_row("SELECT count(*) FROM sqlite_stat1", [], |row| row.get(0)).unwrap();
    assert!(statistics > 0, "ANALYZE was run");
}
