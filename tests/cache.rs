//! Stored answers from outside: exact whatever comes meanwhile, old only where that was asked for, kept over a restart, and
//! nothing that service hangs on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use common::process::run;
use common::{Reply, Server, assert_says, encode, temp_dir};

/// Small segments, so that a few thousand events make some.
const SEAL: [&str; 2] = ["--seal-rows", "1000"];

fn events(range: std::ops::Range<u64>) -> String {
    let event = |n: u64| {
        let time = 1_767_225_600 + n * 30;
        json!({"time": time, "path": format!("/{}", n * n % 17), "ms": n * 7 % 900, "user": n % 400, "price": n as f64 * 0.1})
    };
    range.map(|n| event(n).to_string() + "\n").collect()
}

fn ask(server: &Server, question: &Value) -> Value {
    server.post("/v1/query", question.to_string()).ok()
}

fn sql(server: &Server, sql: &str, cache: &Value) -> Value {
    server.post("/v1/sql", json!({"sql": sql, "cache": cache}).to_string()).ok()
}

/// Waits until a dataset has so many segments.
fn wait_for_segments(server: &Server, wanted: u64) {
    let begin = Instant::now();
    while server.get("/v1/datasets/visits").ok()["segments"].as_u64() < Some(wanted) {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is sealed");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn cache_file(dir: &Path) -> PathBuf {
    dir.join("windrow.cache.db")
}

fn questions() -> Vec<Value> {
    [
        json!({"from": "visits", "by": ["path"], "select": ["count()", "sum(price)", "uniq(user)", "p95(ms)"]}),
        json!({"from": "visits", "by": ["day(_time)"], "select": ["avg(ms)", "approx_uniq(user)", "approx_quantile(ms, 0.9)"]}),
        json!({"from": "visits", "select": ["min(path)", "max(ms)", "first(path)", "last(ms)"], "where": "ms > 100"}),
        json!({"from": "visits", "by": ["path"], "select": ["count() as n"], "where": "user < 50",
            "range": {"from": "2026-01-01T03:00:00Z", "to": "2026-01-03T01:00:00Z"}, "order": ["-n"], "limit": 5}),
    ]
    .into()
}

#[test]
fn a_question_that_is_asked_again_looks_at_new_events_alone_and_is_exact() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &SEAL);
    server.accepted("visits", events(0..5_000));
    wait_for_segments(&server, 1);
    for question in questions() {
        assert_eq!(ask(&server, &question)["stats"]["cache"], "miss", "{question}");
        let again = ask(&server, &question);
        assert_eq!((&again["stats"]["cache"], &again["stats"]["rows_scanned"]), (&json!("hit"), &json!(0)));
    }
    let mut partial = 0;
    for round in 0..4 {
        server.accepted("visits", events(5_000 + round * 10..5_010 + round * 10));
        for question in questions() {
            let found = ask(&server, &question);
            let mut bare = question.clone();
            bare["cache"] = json!(false);
            let wanted = ask(&server, &bare);
            assert_eq!(found["rows"], wanted["rows"], "{question}");
            assert_eq!(wanted["stats"]["cache"], "miss");
            if found["stats"]["cache"] == "partial" {
                assert!(found["stats"]["rows_scanned"].as_u64() < wanted["stats"]["rows_scanned"].as_u64());
                partial += 1;
            }
        }
    }
    assert!(partial >= 9, "{partial} of 16 were put together");
    let report = server.get("/v1/cache").ok();
    assert_eq!(report["partial_hits"], partial);
    assert!(report["rows_saved"].as_u64() > Some(20_000), "{report}");
}

#[test]
fn erasing_and_declaring_anew_make_other_answers() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &SEAL);
    server.accepted("visits", events(0..3_000));
    wait_for_segments(&server, 1);
    let count = |server: &Server| {
        sql(server, "SELECT count(*), sum(ms) FROM visits", &json!(true))["rows"][0][0].clone()
    };
    for _ in 0..3 {
        assert_eq!(count(&server), 3_000);
    }
    let gone = format!("/v1/datasets/visits/events?where={}", encode("path = '/1'"));
    let erased = server.client().send("DELETE", &gone, &[], b"").ok();
    assert_eq!(count(&server).as_u64().unwrap(), 3_000 - erased["erased"].as_u64().unwrap());
    server.client().send("DELETE", "/v1/datasets/visits", &[], b"");
    server.accepted("visits", events(0..10));
    assert_eq!(count(&server), 10);
}

/// One writes and notes what was acknowledged; others read, and never see less than what was when they began.
#[test]
fn a_read_that_begins_after_a_write_was_acknowledged_never_gets_an_older_answer() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &SEAL);
    server.accepted("visits", events(0..10));
    let declaration =
        json!({"kind": "records", "key": "id", "fields": {"id": {"type": "int"}, "n": {"type": "int"}}});
    server.client().send("PUT", "/v1/datasets/things", &[], declaration.to_string().as_bytes()).ok();
    let (acknowledged, put, is_over) = (AtomicU64::new(10), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (server, acknowledged, put, is_over) = (&server, &acknowledged, &put, &is_over);
            scope.spawn(move || {
                let mut client = server.client();
                let mut count = |text: &str| {
                    let reply =
                        client.send("POST", "/v1/sql", &[], json!({ "sql": text }).to_string().as_bytes());
                    reply.ok()["rows"][0][0].as_u64().unwrap()
                };
                while !is_over.load(Ordering::SeqCst) {
                    let (events, records) = (acknowledged.load(Ordering::SeqCst), put.load(Ordering::SeqCst));
                    match reader {
                        0 => assert!(count("SELECT count(*) FROM visits") >= events),
                        1 => assert!(
                            count("SELECT count(*) FROM visits WHERE ms >= 0 GROUP BY 1 = 1") >= events
                        ),
                        _ => assert!(count("SELECT count(*) FROM things") >= records),
                    }
                }
            });
        }
        let mut client = server.client();
        for round in 0..120u64 {
            let body = events(round * 40..round * 40 + 40);
            client.send("POST", "/v1/datasets/visits/events", &[], body.as_bytes()).ok();
            acknowledged.fetch_add(40, Ordering::SeqCst);
            let record = json!({"id": round, "n": round}).to_string();
            client.send("PUT", "/v1/datasets/things/records", &[], record.as_bytes()).ok();
            put.fetch_add(1, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn an_older_answer_is_given_to_who_takes_one_and_says_its_age() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--cache-ages", "historical=1h"]);
    server.accepted("visits", events(0..10));
    let text = "SELECT count(*) FROM visits";
    let of = |cache: Value| {
        let reply = server.post("/v1/sql", json!({"sql": text, "cache": cache}).to_string());
        let age: u64 = reply.header("age").unwrap().parse().unwrap();
        (reply.ok()["rows"][0][0].as_u64().unwrap(), age)
    };
    assert_eq!(of(json!(true)), (10, 0));
    server.accepted("visits", events(10..20));
    std::thread::sleep(Duration::from_millis(1_100));
    for cache in [json!("1h"), json!("historical")] {
        let (count, age) = of(cache);
        assert!(count == 10 && age >= 1, "{count} of age {age}");
    }
    assert_eq!(of(json!("1s")).0, 20, "it is too old by now");
    assert_eq!(of(json!("historical")).0, 20);
    server.accepted("visits", events(20..30));
    assert_eq!(of(json!("historical")).0, 20);
    assert_eq!(of(json!(false)).0, 30);
    std::thread::sleep(Duration::from_millis(1_100));
    // an older one may do while it is computed anew
    server.accepted("visits", events(40..50));
    let begin = Instant::now();
    let (stale, _) = of(json!("1s+1h"));
    assert_eq!(stale, 20, "at once");
    while of(json!("1s+1h")).0 != 40 {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is not computed anew");
        std::thread::sleep(Duration::from_millis(10));
    }
    // a range that ends at the present is the same question a moment later
    let moving =
        json!({"from": "visits", "select": ["count()"], "range": {"last": "5000d"}, "cache": "historical"});
    let first = ask(&server, &moving);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(
        (&first["stats"]["cache"], &ask(&server, &moving)["stats"]["cache"]),
        (&json!("miss"), &json!("hit"))
    );
    // what was declared outdated is given to nobody
    assert_eq!(server.post("/v1/cache/clear", r#"{"dataset": "visits"}"#).ok()["removed"], 2);
    assert_eq!(of(json!("historical")).0, 40);
    for (cache, word) in
        [(json!("historic"), "historical"), (json!(7), "true, false"), (json!("5 days"), "span of time")]
    {
        let body = json!({"sql": text, "cache": cache}).to_string();
        assert_says(&server.post("/v1/sql", body).problem(400).1, &[word]);
    }
}

#[test]
fn searches_are_kept_and_replies_that_the_client_has_are_not_sent_again() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration =
        json!({"kind": "records", "key": "id", "search": ["text"], "fields": {"text": {"type": "string"}}});
    let mut client = server.client();
    client.send("PUT", "/v1/datasets/pages", &[], declaration.to_string().as_bytes()).ok();
    let mut put = |id: u64| {
        let page = json!({"id": id, "text": format!("wind and weather {id}")}).to_string();
        client.send("PUT", "/v1/datasets/pages/records", &[], page.as_bytes()).ok();
    };
    put(1);
    let found = |parameters: &str| {
        server.get(&format!("/v1/datasets/pages/search?q=weather&count=exact&{parameters}"))
    };
    let first = found("");
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    assert_eq!(server.post("/v1/sql", r#"{"sql": "SELECT 1"}"#).header("cache-control"), Some("no-store"));
    let again = |tag: &str| -> Reply {
        let path = "/v1/datasets/pages/search?q=weather&count=exact&";
        server.client().send("GET", path, &[("If-None-Match", tag)], b"")
    };
    let unchanged = again(&tag);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(server.get("/v1/cache").ok()["hits"], 1);
    put(2);
    assert_eq!(again(&tag).ok()["total"], 2);
    put(3);
    assert_eq!(found("cache=search").ok()["total"], 2, "half an hour is fine for who says so");
    assert_eq!(found("").ok()["total"], 3);
}

#[test]
fn the_file_answers_after_a_restart_and_is_of_no_need() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &SEAL);
    server.accepted("visits", events(0..5_000));
    wait_for_segments(&server, 1);
    let all = |server: &Server| {
        questions().iter().map(|question| ask(server, question)["rows"].clone()).collect::<Vec<_>>()
    };
    let wanted = all(&server);
    // pieces are made by the second question over other events, and go to the file at once
    server.accepted("visits", events(0..1));
    all(&server);
    server.accepted("visits", events(1..2));
    let wanted_later = all(&server);
    assert_ne!(wanted, wanted_later);
    assert_eq!(server.stop(), 0);

    let server = Server::start(dir.path(), &SEAL);
    assert_eq!(all(&server), wanted_later);
    let report = server.get("/v1/cache").ok();
    assert!(
        report["classes"].as_array().unwrap().iter().any(|class| class["disk_hits"].as_u64() > Some(0)),
        "{report}"
    );
    // with the file gone, and with one that is none
    fs::remove_file(cache_file(dir.path())).unwrap();
    assert_eq!(all(&server), wanted_later);
    server.kill_nine();
    for damage in ["", "this is no database, and was never meant to be one, whatever its name says"] {
        fs::write(cache_file(dir.path()), damage).unwrap();
        let server = Server::start(dir.path(), &SEAL);
        assert_eq!(all(&server), wanted_later);
        server.kill_nine();
    }
    // a folder in its place cannot be written at all
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", cache_file(dir.path()).display()));
    }
    fs::create_dir(cache_file(dir.path())).unwrap();
    let server = Server::start(dir.path(), &SEAL);
    assert_eq!(all(&server), wanted_later);
    assert_eq!(ask(&server, &questions()[0])["stats"]["cache"], "hit");
}

#[test]
fn a_database_that_is_put_back_meets_no_answers_of_its_other_future() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &SEAL);
    server.accepted("visits", events(0..2_500));
    wait_for_segments(&server, 1);
    run(dir.path(), &["backup", "before.db"]).exits(0);
    let sums = |server: &Server| {
        sql(server, "SELECT path, count(*), sum(ms) FROM visits GROUP BY path", &json!(true))["rows"].clone()
    };
    for part in 0..4 {
        server.accepted("visits", events(10_000 + part * 500..10_500 + part * 500));
        sums(&server);
    }
    server.stop();
    run(dir.path(), &["restore", "before.db", "--overwrite"]).exits(0);
    let server = Server::start(dir.path(), &SEAL);
    for part in 0..4 {
        // the same number of events in the same places, and others
        server.accepted("visits", events(20_000 + part * 500..20_500 + part * 500));
        let found = sums(&server);
        let bare = sql(&server, "SELECT path, count(*), sum(ms) FROM visits GROUP BY path", &json!(false));
        assert_eq!(found, bare["rows"]);
    }
}

#[test]
fn without_room_for_it_nothing_is_kept_and_all_is_answered() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--cache-memory-mb", "0", "--cache-disk-mb", "0"]);
    server.accepted("visits", events(0..100));
    for _ in 0..3 {
        let answer = ask(&server, &questions()[0]);
        assert_eq!(
            (answer["rows"].as_array().unwrap().len(), &answer["stats"]["cache"]),
            (9, &json!("miss"))
        );
    }
    assert!(!cache_file(dir.path()).exists());
}

#[test]
fn settings_that_cannot_be_meant_keep_it_from_starting() {
    let dir = temp_dir();
    fs::write(dir.path().join("warm.ndjson"), "{\"sql\": \"SELECT 1\"}\n{\"from\": 7}\n").unwrap();
    for (arguments, words) in [
        (["--cache-ages", "realtme=1s"], vec!["cache_ages", "realtime"]),
        (["--cache-ages", "exact=1s"], vec!["exact"]),
        (["--cache-memory-mb", "many"], vec!["cache_memory_mb", "whole number"]),
        (["--cache-warm", "warm.ndjson"], vec!["warm.ndjson", "line 2"]),
        (["--cache-warm", "none.ndjson"], vec!["none.ndjson"]),
    ] {
        let all = [&["serve", "--listen", "127.0.0.1:0"], &arguments[..]].concat();
        let ran = run(dir.path(), &all);
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert_says(&ran.stderr, &words);
    }
}

#[test]
fn listed_questions_are_asked_ahead_and_after_a_clear() {
    let dir = temp_dir();
    let list = "{\"from\": \"visits\", \"by\": [\"path\"], \"select\": [\"count()\"]}\n{\"sql\": \"SELECT max(ms) FROM nothing\"}\n";
    fs::write(dir.path().join("warm.ndjson"), list).unwrap();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", events(0..500));
    server.stop();
    let server = Server::start(dir.path(), &["--cache-warm", "warm.ndjson"]);
    let question = json!({"from": "visits", "by": ["path"], "select": ["count()"]});
    let is_kept = || {
        let begin = Instant::now();
        while server.get("/v1/cache").ok()["memory"]["entries"].as_u64() < Some(1) {
            assert!(begin.elapsed() < Duration::from_secs(30), "nothing was asked ahead");
            std::thread::sleep(Duration::from_millis(10));
        }
        ask(&server, &question)["stats"]["cache"].clone()
    };
    assert_eq!(is_kept(), "hit");
    let cleared = run(dir.path(), &["cache", "clear"]).exits(0);
    assert_says(&cleared.stdout, &["forgotten"]);
    assert_eq!(is_kept(), "hit");
    let warmed = server.post("/v1/cache/warm", "").ok();
    assert_eq!((&warmed["asked"], &warmed["failed"][0]["line"]), (&json!(1), &json!(2)));
    let told = run(dir.path(), &["cache", "warm"]).exits(0);
    assert_says(&told.stdout, &["1 question asked", "line 2", "nothing"]);
    let told = run(dir.path(), &["cache"]).exits(0);
    assert_says(&told.stdout, &["memory: ", "disk: ", "exact"]);
    assert_says(&server_without_list().problem(409).1, &["--cache-warm"]);
}

fn server_without_list() -> Reply {
    let dir = temp_dir();
    Server::start(dir.path(), &[]).post("/v1/cache/warm", "")
}

#[test]
fn the_verb_is_about_the_file_where_no_server_runs() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", events(0..500));
    ask(&server, &questions()[0]);
    server.stop();
    assert!(cache_file(dir.path()).exists());
    let told = run(dir.path(), &["cache", "--json"]).exits(0);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(report["disk"]["entries"], 1, "{report}");
    assert_says(&run(dir.path(), &["cache", "clear", "--dataset", "visits"]).exits(1).stderr, &["server"]);
    assert_says(&run(dir.path(), &["cache", "clear"]).exits(0).stdout, &["1 answer forgotten"]);
    // looking makes no file
    assert_says(&run(dir.path(), &["cache"]).exits(0).stdout, &["disk: none"]);
    assert_says(&run(dir.path(), &["cache", "clear"]).exits(0).stdout, &["0 answers forgotten"]);
    assert!(!cache_file(dir.path()).exists());
    assert_says(&run(dir.path(), &["cache", "warm"]).exits(1).stderr, &["cache_warm"]);
}
