//! SQL that goes to SQLite, through the real binary: what it answers, and that nothing hostile gets further than a reply.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::client::Reply;
use crate::common::{Server, Table, assert_same_rows, assert_says, assert_says_one_of, run, temp_dir};

fn server(dir: &Path, flags: &[&str]) -> Server {
    let server = Server::start(dir, flags);
    let visits: Vec<Value> = (0..600)
        .map(|n| json!({"ts": format!("2026-03-{:02}T10:00:00Z", 1 + n % 28), "user_id": n % 40, "path": format!("/{}", n % 7), "ms": n}))
        .collect();
    server.accepted("visits", Value::from(visits).to_string());
    let users: Vec<Value> =
        (0..30).map(|n| json!({"id": n, "plan": if n % 3 == 0 { "pro" } else { "free" }})).collect();
    server.accepted("users", Value::from(users).to_string());
    server
}

fn post(server: &Server, sql: &str) -> Reply {
    server.post("/v1/sql", json!({ "sql": sql }).to_string())
}

#[test]
fn joins_windows_and_sets_are_answered_over_http_and_beside_the_server() {
    let dir = temp_dir();
    let server = server(dir.path(), &[]);
    for (sql, wanted) in [
        (
            "SELECT u.plan, count(*) AS n FROM visits v JOIN users u ON u.id = v.user_id GROUP BY 1 ORDER BY 1",
            json!([["free", 300], ["pro", 150]]),
        ),
        (
            "SELECT count(*) FROM visits v LEFT JOIN users u ON u.id = v.user_id WHERE u.id IS NULL",
            json!([[150]]),
        ),
        (
            "WITH d AS (SELECT day(_time) AS d, count(*) AS n FROM visits GROUP BY 1) SELECT n, sum(n) OVER (ORDER BY d) FROM d ORDER BY d LIMIT 2",
            json!([[22, 22], [22, 44]]),
        ),
        (
            "SELECT id FROM users EXCEPT SELECT user_id FROM visits WHERE user_id > 1 ORDER BY 1",
            json!([[0], [1]]),
        ),
        ("SELECT ?1 + 1, upper(?2)", json!([[3, "A"]])),
    ] {
        let params = if sql.contains('?') { json!([2, "a"]) } else { json!([]) };
        let reply = server.post("/v1/sql", json!({ "sql": sql, "params": params }).to_string());
        let table = Table::parse(&reply.text());
        assert_same_rows(sql, &table.rows, &crate::rows_of(wanted.clone()));
        assert_eq!(table.json["stats"]["engine"], "sqlite", "{sql}");
        if !sql.contains('?') {
            let ran = run(dir.path(), &["sql", "--format", "json", sql]).exits(0);
            assert_same_rows(sql, &Table::parse(&ran.stdout).rows, &crate::rows_of(wanted));
        }
    }
    let sql = json!({"sql": "SELECT 1 AS a, 'x' AS b"}).to_string();
    let csv = server.client().send("POST", "/v1/sql", &[("Accept", "text/csv")], sql.as_bytes()).text();
    assert_eq!(csv.lines().collect::<Vec<_>>(), ["a,b", "1,x"]);
}

#[test]
fn explain_tells_the_way_of_both_engines_and_prints_dialects() {
    let dir = temp_dir();
    let server = server(dir.path(), &[]);
    let told = |sql: &str| Table::parse(&post(&server, sql).text()).json["rows"].to_string();
    let vector = told("EXPLAIN SELECT path, count(*) FROM visits WHERE _time >= '2026-03-02' GROUP BY 1");
    assert_says(
        &vector,
        &["vector", "filter", "_time >= ", "segments", "blocks", "columns", "groups", "cache"],
    );
    let sqlite = told(
        "EXPLAIN SELECT u.plan FROM visits v JOIN users u ON u.id = v.user_id WHERE v._time >= '2026-03-02'",
    );
    assert_says(&sqlite, &["sqlite", "visits AS v: 600 rows", "only where _time >= .."]);
    assert_says_one_of(&sqlite, &["only where id = ..", "and user_id = .."]);
    let duckdb = told("EXPLAIN (FORMAT duckdb) SELECT path, uniq(user_id) FROM visits GROUP BY 1");
    assert_says(&duckdb, &["count(DISTINCT user_id)"]);
    let body = json!({"from": "visits", "select": ["count()"], "by": ["path"], "explain": "clickhouse"});
    let reply = server.post("/v1/query", body.to_string());
    assert_says(&reply.text(), &["SELECT path, count()"]);
    let body = json!({"from": "visits", "select": ["count()"], "explain": 7});
    assert_says(&server.post("/v1/query", body.to_string()).problem(400).1, &["/explain"]);
    let ran = run(dir.path(), &["sql", "--format", "table", "EXPLAIN SELECT count(*) FROM visits"]).exits(0);
    assert_says(&ran.stdout, &["engine", "vector", "visits: 600 rows"]);
}

/// What may be answered with: a client's mistake, or a limit.
fn is_refused(status: u16) -> bool {
    matches!(status, 400 | 404 | 413 | 422)
}

#[test]
fn hostile_sql_gets_a_reply_in_time_and_the_server_goes_on() {
    let dir = temp_dir();
    let server = server(dir.path(), &["--query-deadline", "1s", "--query-memory-mb", "16"]);
    let nested = |count: usize| format!("SELECT {}1{}", "(".repeat(count), ")".repeat(count));
    let selects = |count: usize| format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(count));
    let subqueries =
        |count: usize| format!("{}SELECT 1{}", "SELECT * FROM (".repeat(count), ")".repeat(count));
    for sql in [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c".to_owned(),
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n + 1 FROM c) SELECT count(*) FROM c".to_owned(),
        "WITH RECURSIVE c(s) AS (SELECT 'xxxxxxxxxxxxxxxx' UNION ALL SELECT s || s FROM c) SELECT max(length(s)) FROM c".to_owned(),
        "SELECT count(*) FROM visits a, visits b, visits c, visits d".to_owned(),
        "SELECT a.ms, b.ms, c.ms FROM visits a, visits b, visits c ORDER BY a.ms * b.ms - c.ms".to_owned(),
        "SELECT zeroblob(1000000000)".to_owned(),
        "SELECT length(zeroblob(1e9)) FROM visits, users".to_owned(),
        "SELECT printf('%.1000000000d', 1)".to_owned(),
        "SELECT format('%.1000000000d', 1) FROM visits a, visits b".to_owned(),
        "SELECT randomblob(1000000000) FROM visits a, visits b".to_owned(),
        "SELECT load_extension('x') FROM visits a, visits b".to_owned(),
        "SELECT * FROM sqlite_master".to_owned(),
        "SELECT * FROM pragma_table_info('x') a, visits b".to_owned(),
        "SELECT * FROM main.visits a, visits b".to_owned(),
        "SELECT * FROM t0 a, visits b".to_owned(),
        "ATTACH DATABASE '/etc/passwd' AS p".to_owned(),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "DELETE FROM visits".to_owned(),
        "WITH x AS (SELECT 1) DELETE FROM visits".to_owned(),
        "INSERT INTO visits SELECT * FROM users".to_owned(),
        "CREATE TABLE x (a)".to_owned(),
        "SELECT 1; DROP TABLE visits".to_owned(),
        "SELECT 1 FROM visits a JOIN visits b ON a.path REGEXP '('".to_owned(),
        "SELECT (SELECT a.ms FROM visits, users) FROM visits a JOIN".to_owned(),
        nested(1_000),
        selects(2_000),
        subqueries(300),
        subqueries(62),
        format!("{}SELECT 1{}", "(".repeat(62), " UNION SELECT 2)".repeat(62)),
        format!("SELECT 1 WHERE {}1 = 1{}", "EXISTS (SELECT 1 FROM visits WHERE ".repeat(60), ")".repeat(60)),
        format!("SELECT '{}' FROM visits a, visits b", "x".repeat(10 << 20)),
    ] {
        let begin = Instant::now();
        let reply = post(&server, &sql);
        let shown: String = sql.chars().take(90).collect();
        assert!(is_refused(reply.status), "{shown}: {} {}", reply.status, reply.text());
        assert!(begin.elapsed() < Duration::from_secs(20), "{shown} took {:?}", begin.elapsed());
        assert_eq!(server.sql("SELECT count(*) FROM visits").cell(), 600, "after {shown}");
    }
    // a pattern that others go astray on is matched in time linear in the text
    let catastrophic = "SELECT count(*) FROM visits a JOIN users b ON b.id = a.user_id WHERE ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' || a.path) REGEXP '^(a+)+$'";
    assert_eq!(server.sql(catastrophic).cell(), 0);
}

#[test]
fn what_is_given_up_by_memory_or_time_names_its_limit() {
    let dir = temp_dir();
    let server = server(dir.path(), &["--query-deadline", "1s", "--query-memory-mb", "4"]);
    for (sql, kind, setting) in [
        ("SELECT count(*) FROM visits a, visits b, visits c", "deadline", "query_deadline"),
        ("SELECT a.ms, b.ms, a.path FROM visits a, visits b", "memory", "query_memory_mb"),
        ("SELECT uniq(a.ms * 600 + b.ms) FROM visits a, visits b", "memory", "query_memory_mb"),
    ] {
        let (problem, detail) = post(&server, sql).problem(422);
        assert_eq!(problem["type"], format!("urn:windrow:problem:{kind}"), "{sql}");
        assert_says(&detail, &[setting]);
    }
    let ran = run(dir.path(), &["sql", "SELECT a.ms FROM visits a JOIN usrs u ON true"]).exits(1);
    assert_says(&ran.stderr, &["usrs", "users"]);
}
