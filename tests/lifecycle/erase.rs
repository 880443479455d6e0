//! Events that go: by a condition, by a retention, with their dataset. What is left is exactly the rest, what is gone
//! is not in the file any more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::json;

use crate::common::process::sql;
use crate::common::{Server, assert_says, database, encode, run, temp_dir};
use crate::{append, checked, free_pages, import, sqlite, totals};

/// What no compression makes smaller, so that it stands in the file as it is.
const NEEDLE: &str = "q7Zk9vXw3TbN5jRm";

/// How often the needle is in any file of the database.
fn needles(dir: &Path) -> usize {
    let of = |suffix: &str| {
        let bytes = std::fs::read(format!("{}{suffix}", database(dir).display())).unwrap_or_default();
        bytes.windows(NEEDLE.len()).filter(|window| *window == NEEDLE.as_bytes()).count()
    };
    of("") + of("-wal")
}

fn erase(server: &Server, dataset: &str, condition: &str) -> crate::common::Reply {
    let path = format!("/v1/datasets/{dataset}/events?where={}", encode(condition));
    server.client().send("DELETE", &path, &[], b"")
}

#[test]
fn what_is_erased_is_gone_from_the_answers_and_after_optimize_from_the_file() {
    let dir = temp_dir();
    let secret =
        |n: u64| json!({"time": 1_700_000_000 + n, "n": n, "text": format!("{NEEDLE}-{n}")}).to_string();
    // some are sealed, some are not
    import(dir.path(), "visits", 0, 30_000);
    let server = Server::start(dir.path(), &[]);
    let mixed: Vec<String> = (0..20).map(secret).collect();
    server.accepted("visits", mixed.join("\n"));
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["optimize"]).exits(0);
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", secret(50_000));
    let held = needles(dir.path());
    assert!(held > 0, "the test would not see them");
    let before = server.sql("SELECT count(*), sum(n) FROM visits WHERE text NOT LIKE 'q7Z%'").rows;
    assert_eq!(erase(&server, "visits", "text LIKE 'q7Z%'").ok(), json!({"erased": 21}));
    assert_eq!(server.sql("SELECT count(*), sum(n) FROM visits").rows, before);
    assert_eq!(erase(&server, "visits", "text LIKE 'q7Z%'").ok(), json!({"erased": 0}));
    // numbers of events stay what they were, and none is used again
    let seqs = server.sql("SELECT count(*), uniq(_seq), max(_seq) FROM visits").rows;
    assert_eq!(seqs[0], [json!(30_000), json!(30_000), json!(30_000)]);
    server.accepted("visits", json!({"time": 1_800_000_000, "n": 7}).to_string());
    assert_eq!(server.sql("SELECT max(_seq) FROM visits").cell(), &json!(30_022));
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["optimize"]).exits(0);
    assert_eq!(needles(dir.path()), 0);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
}

#[test]
fn the_verb_drops_a_dataset_and_only_where_no_server_has_the_file() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 2_000);
    import(dir.path(), "other", 0, 10);
    let server = Server::start(dir.path(), &[]);
    let refused = run(dir.path(), &["datasets", "visits", "--drop"]).exits(1);
    assert_says(&refused.stderr, &["in use", "http://"]);
    assert_eq!(server.count("visits"), 2_000);
    assert_eq!(server.stop(), 0);
    assert_says(&run(dir.path(), &["datasets", "visit", "--drop"]).exits(1).stderr, &["visit", "\"visits\""]);
    let dropped = run(dir.path(), &["datasets", "visits", "--drop"]).exits(0);
    assert_eq!(dropped.stdout, "visits: dropped with 2,000 events\n");
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM other").rows[0][0], 10);
    assert_says(&run(dir.path(), &["datasets", "visits"]).exits(1).stderr, &["visits"]);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
    let empty = temp_dir();
    assert_says(&run(empty.path(), &["datasets", "visits", "--drop"]).exits(1).stderr, &["no database"]);
    assert!(!database(empty.path()).exists());
}

#[test]
fn the_verb_erases_too_and_gives_the_space_back() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 50_000);
    append(dir.path(), "visits", 50_000, 500);
    // what the events take: a file with one has all tables too
    let one = temp_dir();
    append(one.path(), "visits", 0, 1);
    let of = |dir: &Path| database(dir).metadata().unwrap().len();
    let size = || of(dir.path()).saturating_sub(of(one.path()));
    let before = size();
    let told = run(dir.path(), &["erase", "visits", "--where", "n >= 100"]).exits(0).stdout;
    assert_eq!(told, "visits: 50,400 events erased\n");
    assert_eq!(totals(dir.path(), "visits"), (100, 99 * 50));
    assert_eq!(free_pages(dir.path()), 0);
    assert!(size() < before / 3, "{} of {before} bytes are left", size());
    let json = run(dir.path(), &["erase", "visits", "--where", "true", "--json"]).exits(0).stdout;
    assert_eq!(json, "{\"erased\":100}\n");
    assert_eq!(totals(dir.path(), "visits"), (0, 0));
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
}

#[test]
fn erasing_takes_a_condition_that_can_be_asked() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", r#"{"n":1}"#);
    for (condition, parts) in
        [("", vec!["condition", "where=true"]), ("m = 1", vec!["\"m\"", "visits"]), ("n =", vec!["column 4"])]
    {
        let (_, detail) = erase(&server, "visits", condition).problem(400);
        assert_says(&detail, &parts);
    }
    let (_, detail) = server.client().send("DELETE", "/v1/datasets/visits/events", &[], b"").problem(400);
    assert_says(&detail, &["condition"]);
    erase(&server, "visit", "true").problem(404);
    assert_eq!(server.count("visits"), 1);
    // the file is the server's
    let refused = run(dir.path(), &["erase", "visits", "--where", "true"]).exits(1).stderr;
    assert_says(&refused, &["in use", &server.address]);
}

#[test]
fn damaged_events_are_given_up_by_their_numbers() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 20_000);
    import(dir.path(), "others", 0, 1_000);
    append(dir.path(), "visits", 20_000, 500);
    let file = sqlite(dir.path());
    let damage = "UPDATE segment_column SET data = zeroblob(length(data)) WHERE id IN
        (SELECT max(segment_column.id) FROM segment_column JOIN segment ON segment_column.id / 65536 = segment.id
          JOIN dataset ON dataset.id = dataset_id WHERE dataset.name = 'visits')";
    assert_eq!(file.execute(damage, []).unwrap(), 1);
    drop(file);
    let refused = run(dir.path(), &["erase", "visits", "--where", "n = 5"]).exits(1).stderr;
    assert_says(&refused, &["segment", "events 1 to 20000"]);
    let told =
        run(dir.path(), &["erase", "visits", "--where", "_seq >= 1 and _seq <= 20000"]).exits(0).stdout;
    assert_eq!(told, "visits: 20,000 events erased\n");
    assert_eq!(totals(dir.path(), "visits").0, 500);
    assert_eq!(totals(dir.path(), "others").0, 1_000);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
}

#[test]
fn a_retention_lets_old_events_go_wherever_they_are() {
    let dir = temp_dir();
    let now = jiff::Timestamp::now();
    let event = |days: i64| {
        let time = now - jiff::SignedDuration::from_hours(24 * days) - jiff::SignedDuration::from_mins(1);
        json!({"time": time.to_string(), "days": days}).to_string() + "\n"
    };
    let file = dir.path().join("a.ndjson");
    std::fs::write(&file, (0..400).map(event).collect::<String>()).unwrap();
    run(dir.path(), &["import", "visits", file.to_str().unwrap()]).exits(0);
    let server = Server::start(dir.path(), &[]);
    // late ones, in the tail
    server.accepted("visits", (0..400).map(event).collect::<String>());
    let path = "/v1/datasets/visits";
    let (_, detail) = server.client().send("PUT", path, &[], br#"{"retention": "soon"}"#).problem(400);
    assert_says(&detail, &["soon", "7d"]);
    assert_eq!(server.count("visits"), 800);
    let declared = server.client().send("PUT", path, &[], br#"{"retention": "100d"}"#).ok();
    assert_eq!(declared["declaration"]["retention"], "100d");
    let begin = std::time::Instant::now();
    while server.count("visits") != 200 {
        assert!(begin.elapsed().as_secs() < 60, "{} are left", server.count("visits"));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(server.sql("SELECT uniq(days), max(days) FROM visits").rows[0], [json!(100), json!(99)]);
    assert_eq!(server.stop(), 0);
    // it is in force after a restart too
    let table = sql(dir.path(), "SELECT count(*) FROM visits");
    assert_eq!(table.cell(), &json!(200));
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
}
