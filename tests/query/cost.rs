//! What a question may take: time, memory, rows. One that takes more ends with a reply that says which limit it met and
//! what to do, and the server goes on with the next.

use std::fmt::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Server, assert_says, run, temp_dir};

const ROWS: u64 = 300_000;

/// 300,000 events in segments, each with a key, a number and a broken number of its own.
fn events(dir: &Path) {
    let mut csv = String::from("key,n,ms,bucket,country\n");
    for row in 0..ROWS {
        let scattered = row * 7_919 % ROWS;
        writeln!(csv, "user-{scattered:07}-of-many,{scattered}000,{row}.25,{},DE", row % 5_000).unwrap();
    }
    std::fs::write(dir.join("events.csv"), csv).unwrap();
    run(dir, &["import", "t", "events.csv"]).exits(0);
}

/// The problem that a question ends with, its type being the last part of the URN.
#[track_caller]
fn refused(server: &Server, path: &str, body: &Value, kind: &str) -> String {
    let (problem, detail) = server.post(path, body.to_string()).problem(422);
    assert_eq!(problem["type"], format!("urn:windrow:problem:{kind}"), "{body}: {problem}");
    detail
}

#[test]
fn what_needs_more_memory_than_it_may_have_ends_with_the_limit_and_the_next_is_answered() {
    let dir = temp_dir();
    events(dir.path());
    let server = Server::start(dir.path(), &["--query-memory-mb", "1"]);
    for sql in [
        "SELECT key, count(*) FROM t GROUP BY key ORDER BY 2 DESC LIMIT 10",
        "SELECT n, ms, count(*) FROM t GROUP BY 1, 2",
        "SELECT upper(key || n), count(*) FROM t GROUP BY 1 LIMIT 1",
        "SELECT key, n, sum(ms) FROM t GROUP BY key, n HAVING count(*) > 1",
        "SELECT DISTINCT key FROM t LIMIT 5 OFFSET 200000",
        "SELECT DISTINCT ms FROM t ORDER BY ms LIMIT 5",
        "SELECT bucket, uniq(key) FROM t GROUP BY bucket",
        "SELECT uniq(key || ms) FROM t",
        "SELECT bucket, quantile(ms, 0.5) FROM t GROUP BY bucket",
        "SELECT n, max(key) FROM t GROUP BY n LIMIT 3",
        "SELECT bucket, max(replace(key, '-', repeat('x', 2000))) FROM t GROUP BY bucket"
            .replace("repeat('x', 2000)", &format!("'{}'", "x".repeat(2_000)))
            .as_str(),
        "SELECT key, n FROM t ORDER BY ms",
        "SELECT * FROM t",
        "SELECT key, n FROM t ORDER BY ms LIMIT 100000",
        "SELECT n, key FROM t LIMIT 200000",
    ] {
        let detail = refused(&server, "/v1/sql", &json!({ "sql": sql }), "memory");
        assert_says(&detail, &["1 MiB", "the limit", "where", "_time", "query_memory_mb"]);
        assert_eq!(server.sql("SELECT count(*) FROM t").cell(), ROWS, "after {sql}");
    }
    let filled = json!({"from": "t", "select": ["count()"], "by": ["key", "day(_time)"], "fill": true});
    refused(&server, "/v1/query", &filled, "memory");
    let (problem, detail) = server.get("/v1/datasets/t/rows?page=25&per_page=10000").problem(422);
    assert_eq!(problem["type"], "urn:windrow:problem:memory");
    assert_says(&detail, &["query_memory_mb"]);
    // what needs little is answered, however many rows it is about
    assert_eq!(server.sql("SELECT uniq(key) FROM t").cell(), ROWS);
    assert_eq!(server.sql("SELECT bucket, avg(ms) FROM t GROUP BY bucket LIMIT 7").rows.len(), 7);
    assert_eq!(server.sql("SELECT DISTINCT country, bucket % 3 FROM t").rows.len(), 3);
    assert_eq!(server.sql("SELECT n, key FROM t ORDER BY n DESC LIMIT 20").rows.len(), 20);
    assert_eq!(
        server.get("/v1/datasets/t/rows?order=-n&limit=10").ok()["rows"].as_array().unwrap().len(),
        10
    );
}

#[test]
fn many_at_once_that_want_too_much_leave_the_server_alive_and_small() {
    let dir = temp_dir();
    events(dir.path());
    let server = Server::start(dir.path(), &["--query-memory-mb", "8", "--memory-mb", "16"]);
    let greedy =
        json!({"sql": "SELECT lower(key), n, max(ms) FROM t GROUP BY 1, 2 ORDER BY 3 LIMIT 10"}).to_string();
    let before = server.peak_kib();
    thread::scope(|scope| {
        let asked: Vec<_> = (0..24)
            .map(|_| scope.spawn(|| (0..2).map(|_| server.post("/v1/sql", &greedy)).collect::<Vec<_>>()))
            .collect();
        for reply in asked.into_iter().flat_map(|thread| thread.join().unwrap()) {
            let kind = reply.json()["type"].as_str().unwrap_or_default().to_owned();
            match reply.status {
                422 => assert_eq!(kind, "urn:windrow:problem:memory"),
                503 => {
                    assert_eq!(kind, "urn:windrow:problem:busy");
                    assert!(reply.header("retry-after").is_some(), "{}", reply.text());
                }
                other => panic!("{other}: {}", reply.text()),
            }
        }
    });
    let grown = server.peak_kib().saturating_sub(before);
    println!("24 at once, 8 MiB each and 32 MiB for all: {before} KiB before, {grown} KiB more at most");
    assert!(grown < 256 << 10, "{grown} KiB more");
    assert_eq!(server.sql("SELECT count(*) FROM t").cell(), ROWS);
    assert_eq!(server.stop(), 0);
}

/// A condition that takes some microseconds a row, whatever is known of the columns.
const SLOW: &str = "SELECT count(*) FROM t WHERE length(regexp_replace(regexp_replace(key || ms, '[0-9]+', 'number', 'g'), '(n|u)[a-z]*', \
                    key || key || key, 'g')) = 1";

#[test]
fn what_takes_longer_than_it_may_ends_with_the_limit_and_the_next_is_answered() {
    let dir = temp_dir();
    events(dir.path());
    let server = Server::start(dir.path(), &["--query-deadline", "100ms"]);
    let begin = Instant::now();
    let detail = refused(&server, "/v1/sql", &json!({ "sql": SLOW }), "deadline");
    println!("ended after {:?}, with 100 ms to take", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_says(&detail, &["0.1 s", "the limit", "where", "query_deadline"]);
    assert_eq!(server.sql("SELECT count(*) FROM t").cell(), ROWS);
    let path =
        "/v1/datasets/t/rows?count=exact&where=length(regexp_replace(key%20%7C%7C%20ms,'.',key,'g'))%3D1";
    assert_eq!(server.get(path).problem(422).0["type"], "urn:windrow:problem:deadline");
    drop(server);

    let server = Server::start(dir.path(), &["--query-deadline", "1ms"]);
    refused(&server, "/v1/sql", &json!({ "sql": SLOW }), "deadline");
    assert_eq!(server.get("/healthz").status, 200);
    drop(server);

    std::fs::write(dir.path().join("windrow.toml"), "query_deadline = '50ms'\n").unwrap();
    let ran = run(dir.path(), &["sql", SLOW]).exits(1);
    assert_says(&ran.stderr, &["0.05 s", "query_deadline"]);
}

#[test]
fn rows_beyond_the_limit_are_not_read() {
    let dir = temp_dir();
    events(dir.path());
    let server = Server::start(dir.path(), &["--query-rows", "100000"]);
    let detail = refused(&server, "/v1/sql", &json!({"sql": "SELECT avg(ms) FROM t"}), "rows");
    assert_says(&detail, &["300000 rows", "100000", "_time", "query_rows"]);
    // what is pruned is not looked at
    assert_eq!(server.sql("SELECT count(*) FROM t WHERE bucket < 0").cell(), 0);
}

#[test]
fn a_question_of_ten_megabytes_or_a_thousand_parentheses_is_refused_at_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("t", r#"{"n": 1}"#);
    let begin = Instant::now();
    let long = format!("SELECT count(*) FROM t WHERE n IN ({})", vec!["1234567"; 10 << 17].join(","));
    let nested = format!("SELECT {}n{} FROM t", "(".repeat(1_000), ")".repeat(1_000));
    for sql in [&long, &nested] {
        let reply = server.post("/v1/sql", json!({ "sql": sql }).to_string());
        assert!([400, 413].contains(&reply.status), "{}", reply.text());
    }
    for body in [
        json!({"from": "t", "select": ["count()"], "where": &long[28..]}),
        json!({"from": "t", "select": [&nested[7..2_008]]}),
    ] {
        let reply = server.post("/v1/query", body.to_string());
        assert!([400, 413].contains(&reply.status), "{}", reply.text());
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(server.sql("SELECT n FROM t").cell(), 1);
}
