//! Each kind of stored thing damaged, through SQLite and past the engine: `check` names it and exits 1, a server starts,
//! and what is not damaged is answered as before.

use std::path::Path;

use rusqlite::params;
use serde_json::Value;

use crate::common::process::sql;
use crate::common::{Server, assert_says, database, run, temp_dir};
use crate::{append, checked, import, sqlite, totals};

const EVENTS: u64 = 40_000;

/// A file with a dataset that will be damaged, in a segment and in the log, and one that will not.
fn file() -> tempfile::TempDir {
    let dir = temp_dir();
    import(dir.path(), "hurt", 0, EVENTS);
    import(dir.path(), "well", 0, 5_000);
    append(dir.path(), "hurt", EVENTS, 100);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
    dir
}

/// The row of the segment of a dataset.
fn segment(dir: &Path, dataset: &str) -> i64 {
    let sql = "SELECT segment.id FROM segment JOIN dataset ON dataset.id = dataset_id WHERE name = ?1";
    sqlite(dir).query_row(sql, [dataset], |row| row.get(0)).unwrap()
}

/// Flips a byte of a BLOB, counted from its end.
fn flip(dir: &Path, table: &str, column: &str, id: i64, from_end: i64) {
    let sql = format!("SELECT {column} FROM {table} WHERE id = ?1");
    let mut bytes: Vec<u8> = sqlite(dir).query_row(&sql, [id], |row| row.get(0)).unwrap();
    let at = bytes.len() - 1 - from_end as usize;
    bytes[at] ^= 0x10;
    let sql = format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1");
    assert_eq!(sqlite(dir).execute(&sql, params![id, bytes]).unwrap(), 1);
}

/// `check` finds what was done, in these words, and everything else works.
#[track_caller]
fn is_named(dir: &Path, words: &[&str]) -> Value {
    let ran = run(dir, &["check"]).exits(1);
    assert_says(&ran.stdout, words);
    assert_says(&ran.stdout, &["what to do: restore a backup"]);
    let (code, report) = checked(dir, &database(dir));
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["ok"], false);
    assert!(report["damage"].as_array().is_some_and(|damage| !damage.is_empty()), "{report}");
    assert_eq!(totals(dir, "well"), (5_000, 5_000 * 4_999 / 2), "the other dataset is not touched");
    let server = Server::start(dir, &[]);
    assert_eq!(server.count("well"), 5_000);
    assert_eq!(server.stop(), 0);
    report
}

#[test]
fn a_flipped_byte_of_a_column_is_named_by_column_and_block() {
    let dir = file();
    let id = segment(dir.path(), "hurt");
    let head = columns(dir.path(), id);
    let at = head.iter().position(|name| name == "country").unwrap() as i64;
    flip(dir.path(), "segment_column", "data", id * 65_536 + at, 0);
    let segment = format!("segment {id} (events 1 to {EVENTS})");
    let report =
        is_named(dir.path(), &["dataset \"hurt\"", &segment, "column \"country\"", "block 2", "checksum"]);
    assert_eq!(report["damage_total"], 1, "{report}");
    assert_says(&report["advice"].to_string(), &["windrow erase hurt --where '_seq >= 1 and _seq <= 40000'"]);
    // the columns beside it, and its own other blocks
    assert_eq!(totals(dir.path(), "hurt").0, EVENTS + 100);
    let refused = run(dir.path(), &["sql", "SELECT country, count(*) FROM hurt GROUP BY country"]).exits(1);
    assert_says(&refused.stderr, &["country", "checksum"]);
    let table = sql(dir.path(), "SELECT uniq(country) FROM hurt WHERE _time < '2023-11-14T23:00:00Z'");
    assert_eq!(table.cell(), 3);
}

/// The names of a segment's columns, told by the description of the dataset: all are stored, with `_time` and `_seq`.
fn columns(dir: &Path, id: i64) -> Vec<String> {
    let ids: Vec<i64> = {
        let sqlite = sqlite(dir);
        let sql = "SELECT id - ?1 * 65536 FROM segment_column WHERE id / 65536 = ?1 ORDER BY id";
        let mut statement = sqlite.prepare(sql).unwrap();
        statement.query_map([id], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut names: Vec<String> =
        ["_seq", "_time", "country", "ms", "n", "tags", "text", "time"].map(String::from).to_vec();
    names.sort();
    assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6], "`time` equals `_time` and is stored once");
    names
}

#[test]
fn a_damaged_index_or_a_missing_column_is_named() {
    let dir = file();
    let id = segment(dir.path(), "hurt");
    sqlite(dir.path()).execute("DELETE FROM segment_column WHERE id = ?1", [id * 65_536 + 6]).unwrap();
    let sql = "UPDATE segment_column SET data = zeroblob(length(data)) WHERE id = ?1";
    sqlite(dir.path()).execute(sql, [id * 65_536 + 5]).unwrap();
    let words = ["column \"text\": its bytes are missing", "column \"tags\": it does not begin as a column"];
    let report = is_named(dir.path(), &words);
    assert_eq!(report["damage_total"], 2, "{report}");
    assert_eq!(totals(dir.path(), "hurt").0, EVENTS + 100);
}

#[test]
fn columns_that_nobody_knows_are_named() {
    let dir = file();
    let id = segment(dir.path(), "hurt");
    let sql = "INSERT INTO segment_column (id, data) VALUES (?1, x'00'), (999 * 65536, x'00')";
    sqlite(dir.path()).execute(sql, [id * 65_536 + 60]).unwrap();
    is_named(dir.path(), &["column 60 that its head does not name", "segment 999", "the segment itself"]);
    assert_eq!(totals(dir.path(), "hurt").0, EVENTS + 100);
}

#[test]
fn a_damaged_head_hides_its_segment_alone() {
    let dir = file();
    let id = segment(dir.path(), "hurt");
    sqlite(dir.path()).execute("UPDATE segment SET head = x'ffffff' WHERE id = ?1", [id]).unwrap();
    is_named(dir.path(), &[&format!("segment {id} (events 1 to {EVENTS})"), "head"]);
    let rest = sql(dir.path(), &format!("SELECT count(*), sum(n) FROM hurt WHERE _seq > {EVENTS}"));
    assert_eq!(rest.rows[0][0], 100);
    run(dir.path(), &["sql", "SELECT sum(n) FROM hurt"]).exits(1);
}

#[test]
fn wrong_counts_spans_and_numbers_are_named() {
    for (change, words) in [
        (
            "UPDATE segment SET rows = rows + 1 WHERE id = ?1",
            "its head tells of 40000 rows, the table of 40001",
        ),
        ("UPDATE segment SET max_time = min_time WHERE id = ?1", "outside of the times"),
        ("UPDATE segment SET last_seq = last_seq - 9 WHERE id = ?1", "outside of 1 to 39991"),
        ("UPDATE segment SET bytes = bytes - 1 WHERE id = ?1", "the table tells of"),
        ("UPDATE log SET first_seq = 39990 WHERE ?1 > 0", "11 of its events are in segment"),
        ("UPDATE log SET max_time = min_time WHERE ?1 > 0", "outside of the times"),
        ("UPDATE log SET rows = rows - 1 WHERE ?1 > 0", "it holds 100 events instead of 99"),
        (
            "UPDATE dataset SET next_seq = 5 WHERE name = 'hurt' AND ?1 > 0",
            "beyond the next one of the dataset, 5",
        ),
        ("DELETE FROM field WHERE name = 'country' AND ?1 > 0", "\"country\""),
    ] {
        let dir = file();
        let id = segment(dir.path(), "hurt");
        sqlite(dir.path()).execute(change, [id]).unwrap();
        assert_says(&run(dir.path(), &["check"]).exits(1).stdout, &["damaged: dataset \"hurt\"", words]);
        assert_eq!(totals(dir.path(), "well").0, 5_000);
        assert_eq!(Server::start(dir.path(), &[]).count("well"), 5_000);
    }
}

#[test]
fn a_damaged_log_row_hides_its_own_events_alone() {
    let dir = file();
    append(dir.path(), "hurt", EVENTS + 100, 7);
    let id: i64 = sqlite(dir.path()).query_row("SELECT min(id) FROM log", [], |row| row.get(0)).unwrap();
    flip(dir.path(), "log", "block", id, 3);
    is_named(dir.path(), &[&format!("log row {id} (events 40001 to 40100)"), "checksum"]);
    let rest = sql(dir.path(), "SELECT count(*) FROM hurt WHERE _seq <= 40000 OR _seq > 40100");
    assert_eq!(rest.cell(), 40_007);
}

#[test]
fn a_declaration_that_cannot_be_read_is_named() {
    let dir = file();
    sqlite(dir.path()).execute("UPDATE dataset SET declaration = '{' WHERE name = 'hurt'", []).unwrap();
    assert_says(&run(dir.path(), &["check"]).exits(1).stdout, &["\"hurt\"", "declaration cannot be read"]);
}

#[test]
fn a_file_that_was_cut_off_says_so_and_gives_what_is_left() {
    let dir = file();
    // a fresh copy without a write-ahead log, whose last pages are those of the last import
    run(dir.path(), &["backup", "whole.db"]).exits(0);
    let bytes = std::fs::read(dir.path().join("whole.db")).unwrap();
    let cut = dir.path().join("cut.db");
    for left in [bytes.len() * 9 / 10, bytes.len() / 2, 3 * 8_192, 5_000] {
        std::fs::write(&cut, &bytes[..left]).unwrap();
        let cut = cut.to_str().unwrap();
        let ran = run(dir.path(), &["check", "--db", cut]);
        assert_eq!(ran.code, 1, "{left} bytes: {}", ran.output());
        assert_says(&ran.output(), &["damaged"]);
        let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--db", cut]).exits(1);
        assert_says(&refused.stderr, &["cut.db", "damaged", "windrow restore"]);
        assert!(!refused.stderr.contains("malformed"), "{}", refused.stderr);
        let asked = run(dir.path(), &["sql", "SELECT sum(n) FROM hurt", "--db", cut]);
        assert_says(&asked.stderr, &["damaged"]);
        let refused = run(dir.path(), &["restore", cut, "--overwrite"]).exits(1);
        assert_says(&refused.stderr, &["cut.db", "damaged"]);
    }
    assert_eq!(totals(dir.path(), "hurt").0, EVENTS + 100, "a refused restore touches nothing");
}

#[test]
fn a_backup_of_a_damaged_file_is_refused() {
    let dir = file();
    let id = segment(dir.path(), "hurt");
    flip(dir.path(), "segment_column", "data", id * 65_536 + 2, 0);
    let refused = run(dir.path(), &["backup", "copy.db"]).exits(1);
    assert_says(&refused.stderr, &["damaged", "hurt", "country"]);
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("copy")), "{left:?}");
}
