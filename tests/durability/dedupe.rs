//! Datasets that leave out events whose id they have: what is sent twice is there once, whoever sends it again and
//! why, also after a kill -9 in between.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Lcg, Server, assert_says, database, run, temp_dir};

fn declare(server: &Server, dataset: &str, declaration: &Value) {
    let path = format!("/v1/datasets/{dataset}");
    let reply = server.client().send("PUT", &path, &[], declaration.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["declaration"]["dedupe"], declaration["dedupe"], "{}", reply.text());
}

/// Accepted and duplicates of a request.
fn post(server: &Server, dataset: &str, body: &str) -> (u64, u64) {
    let reply = server.events(dataset, body).ok();
    (reply["accepted"].as_u64().unwrap(), reply["duplicates"].as_u64().unwrap())
}

fn seen(dir: &Path) -> i64 {
    let sqlite = rusqlite::Connection::open(database(dir)).unwrap();
    sqlite.query_row("SELECT count(*) FROM seen", [], |row| row.get(0)).unwrap()
}

#[test]
fn an_event_is_kept_once_within_a_batch_in_another_and_after_a_restart() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "orders", &json!({"id": "order", "dedupe": "7d"}));
    let batch = r#"[{"order":"a","n":1},{"order":"b","n":2},{"order":"a","n":3},{"n":4},{"n":5},{"order":7},{"order":"7","m":1}]"#;
    assert_eq!(post(&server, "orders", batch), (5, 2));
    assert_eq!(post(&server, "orders", batch), (2, 5), "those without an id are new each time");
    assert_eq!(post(&server, "orders", r#"{"_id":"a"}"#), (0, 1), "_id is the declared id");
    let kept = server.rows("orders", "_seq,order,n");
    assert_eq!(kept[0], json!({"_seq":1,"order":"a","n":1}), "the first one is kept");
    let places: Vec<&Value> = kept.iter().map(|row| &row["_seq"]).collect();
    assert_eq!(json!(places), json!([1, 2, 3, 4, 5, 6, 7]), "no place is left out");
    assert_eq!(server.type_of("orders", "m"), None, "a duplicate brings no field along");
    server.kill_nine();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(post(&server, "orders", r#"[{"order":"b"},{"order":"c"}]"#), (1, 1));
    assert_eq!(server.stop(), 0);
    assert_eq!(seen(dir.path()), 4);
}

#[test]
fn without_a_declared_id_the_id_that_an_event_brings_counts() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "events", &json!({"dedupe": "all"}));
    assert_eq!(post(&server, "events", r#"[{"_id":"a"},{"_id":"a"},{"n":1},{"n":1}]"#), (3, 1));
    assert_eq!(post(&server, "events", r#"[{"_id":"a"}]"#), (0, 1));
    let wrong = server.client().send("PUT", "/v1/datasets/x", &[], br#"{"dedupe":"soon"}"#);
    assert_says(&wrong.problem(400).1, &["soon", "7d", "all"]);
}

#[test]
fn an_id_is_forgotten_after_its_window() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "days", &json!({"id": "k", "dedupe": "7d"}));
    declare(&server, "ever", &json!({"id": "k", "dedupe": "all"}));
    let ids: String = (0..100).map(|n| format!("{{\"k\":{n}}}\n")).collect();
    assert_eq!((post(&server, "days", &ids), post(&server, "ever", &ids)), ((100, 0), (100, 0)));
    assert_eq!(server.stop(), 0);
    let age = |days: i64| {
        let sqlite = rusqlite::Connection::open(database(dir.path())).unwrap();
        sqlite.execute("UPDATE seen SET day = day - ?1", [days]).unwrap();
    };
    age(7);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(post(&server, "days", &ids), (0, 100), "within the window");
    assert_eq!(server.stop(), 0);
    age(1);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(post(&server, "days", r#"{"k":5}"#), (1, 0));
    assert_eq!(post(&server, "days", r#"{"k":5}"#), (0, 1), "a window of its own");
    assert_eq!(post(&server, "ever", &ids), (0, 100));
    // at the start, and once a day
    for _ in 0..200 {
        if seen(dir.path()) == 101 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(seen(dir.path()), 101, "what is forgotten takes no room");
    assert_eq!(server.stop(), 0);
}

#[test]
fn ids_that_are_there_count_when_dedupe_is_declared_and_are_forgotten_with_it() {
    let dir = temp_dir();
    let server = Server::start_with(dir.path(), &[], &[("WINDROW_SEAL_ROWS", "1000")]);
    let ids = |from: u64, to: u64| -> String {
        (from..to).map(|n| format!("{{\"k\":\"id {n}\",\"j\":{n}}}\n")).collect()
    };
    for part in 0..5 {
        server.accepted("events", ids(part * 1000, (part + 1) * 1000));
    }
    server.accepted("events", ids(5000, 5100));
    for _ in 0..200 {
        if server.get("/v1/datasets/events").json()["segments"].as_u64().unwrap() > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    declare(&server, "events", &json!({"id": "k", "dedupe": "1d"}));
    assert_eq!(post(&server, "events", &ids(0, 5200)), (100, 5100), "sealed or not");
    declare(&server, "events", &json!({"id": "k", "dedupe": "all"}));
    assert_eq!(post(&server, "events", &ids(5100, 5201)), (1, 100), "another window, the same ids");
    declare(&server, "events", &json!({"id": "j", "dedupe": "all"}));
    assert_eq!(
        post(&server, "events", "{\"k\":\"id 1\",\"j\":\"x\"}\n{\"k\":\"y\",\"j\":1}"),
        (1, 1),
        "another id"
    );
    declare(&server, "events", &json!({"id": "j"}));
    assert_eq!(post(&server, "events", r#"[{"j":1},{"j":1}]"#), (2, 0));
    assert_eq!(server.stop(), 0);
    assert_eq!(seen(dir.path()), 0);
}

#[test]
fn a_file_that_is_imported_twice_is_there_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "events", &json!({"id": "k", "dedupe": "all", "time": "at"}));
    assert_eq!(server.stop(), 0);
    let rows = 30_000;
    let line = |n: u64| format!("{{\"k\":\"{n}\",\"at\":{},\"n\":{n}}}\n", 1_700_000_000 + n);
    std::fs::write(dir.path().join("a.ndjson"), (0..rows).map(line).collect::<String>()).unwrap();
    std::fs::write(dir.path().join("b.ndjson"), (rows - 10..rows + 10).map(line).collect::<String>())
        .unwrap();
    run(dir.path(), &["import", "events", "a.ndjson"]).exits(0);
    let again = run(dir.path(), &["import", "events", "a.ndjson"]).exits(0);
    assert_says(&again.stdout, &["0 rows", "30,000 duplicates"]);
    let partly = run(dir.path(), &["--json", "import", "events", "b.ndjson"]).exits(0);
    let told: Value = serde_json::from_str(&partly.stdout).unwrap();
    assert_eq!((&told["files"][0]["accepted"], &told["files"][0]["duplicates"]), (&json!(10), &json!(10)));
    let found = sql(dir.path(), "SELECT count(*), uniq(n), uniq(_seq) FROM events");
    assert_eq!(found.rows[0], [json!(rows + 10), json!(rows + 10), json!(rows + 10)]);
}

/// Producers send the same batches again and again while the server is killed: each id ends up there once.
#[test]
fn batches_that_are_sent_again_after_a_kill_are_there_once() {
    const BATCHES: u64 = 40;
    let dir = temp_dir();
    let mut server = Server::start_with(dir.path(), &[], &[("WINDROW_SEAL_ROWS", "1000")]);
    declare(&server, "events", &json!({"id": "k", "dedupe": "1d"}));
    let mut random = Lcg(11);
    for round in 0..6 {
        thread::scope(|scope| {
            for producer in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let mut random = Lcg(round * 4 + producer);
                    let mut client = server.client();
                    loop {
                        // two producers share their batches, so they meet in one commit as well
                        let batch = producer / 2 * BATCHES + random.below(BATCHES);
                        let lines: String =
                            (0..1 + batch * 3).map(|n| format!("{{\"k\":\"{batch}-{n}\"}}\n")).collect();
                        match client.try_send("POST", "/v1/datasets/events/events", &[], lines.as_bytes()) {
                            Ok(reply) if reply.status == 200 => {
                                let told = reply.json();
                                let (new, old) = (told["accepted"].as_u64(), told["duplicates"].as_u64());
                                // all at once or not at all
                                assert!(new == Some(0) || old == Some(0), "{told}");
                                assert_eq!(new.unwrap() + old.unwrap(), 1 + batch * 3);
                            }
                            Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
                            Err(_) => break,
                        }
                    }
                });
            }
            thread::sleep(Duration::from_millis(100 + random.below(300)));
            let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        // waits until it is gone, and its lock with it
        server.kill_nine();
        server = Server::start_with(dir.path(), &[], &[("WINDROW_SEAL_ROWS", "1000")]);
        let found = server.sql("SELECT count(*), uniq(k), uniq(_seq), max(_seq) FROM events");
        let numbers: Vec<u64> = found.rows[0].iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(numbers, [numbers[0]; 4], "round {round}: each id once, and no place is left out");
    }
    for batch in 0..2 * BATCHES {
        let lines: String = (0..1 + batch * 3).map(|n| format!("{{\"k\":\"{batch}-{n}\"}}\n")).collect();
        server.events("events", lines).ok();
    }
    let all: u64 = (0..2 * BATCHES).map(|batch| 1 + batch * 3).sum();
    let found = server.sql("SELECT count(*), uniq(k) FROM events");
    assert_eq!(found.rows[0], [json!(all), json!(all)]);
    assert_eq!(server.stop(), 0);
    assert_eq!(seen(dir.path()) as u64, all);
}
