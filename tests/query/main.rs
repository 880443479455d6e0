//! Questions and answers from outside: the verbs `sql` and `query`, `POST /v1/sql` and `/v1/query`.
//!
//! `cost`: what a question may take. `differential`: answers equal a plain computation over the same events. `mistakes`: what is refused, with which
//! words. `relational`: what SQLite answers. `time`: zones, ranges, series. This file: shapes of replies, formats, names of columns, clauses, the command
//! line beside a server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod differential;
mod mistakes;
mod relational;
mod time;

use serde_json::{Value, json};

use common::process::sql;
use common::{Server, Table, assert_same_rows, run, temp_dir};

/// Six visits on two days, with every kind of hole.
const VISITS: &str = r#"[
    {"ts":"2024-03-01T08:00:00Z","country":"DE","device":"phone","ms":120,"user":"a","props":{"plan":"pro"}},
    {"ts":"2024-03-01T09:30:00Z","country":"FR","device":"desk","ms":80,"user":"b"},
    {"ts":"2024-03-01T23:59:59.999999Z","country":"DE","device":"desk","ms":200,"user":"a"},
    {"ts":"2024-03-02T00:00:00Z","country":"DE","device":"bot","ms":5,"user":"c","props":{"plan":"free"}},
    {"ts":"2024-03-02T10:00:00Z","country":null,"device":"phone","ms":95.5,"user":"b"},
    {"ts":"2024-03-02T11:00:00Z","country":"IT","device":"phone","user":"d"}
]"#;

fn visits(dir: &std::path::Path) -> Server {
    let server = Server::start(dir, &[]);
    server.accepted("visits", VISITS);
    server
}

fn rows_of(value: Value) -> Vec<Vec<Value>> {
    value.as_array().unwrap().iter().map(|r| r.as_array().unwrap().clone()).collect()
}

#[test]
fn a_reply_has_columns_rows_next_and_stats() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let table = server
        .sql("SELECT country, count(*) AS n, avg(ms) FROM visits GROUP BY country ORDER BY n DESC, country");
    assert_eq!(table.columns, ["country", "n", "avg(ms)"]);
    assert_eq!(table.types, ["string", "int", "float"]);
    assert_same_rows(
        "visits by country",
        &table.rows,
        &rows_of(json!([["DE", 3, 325.0 / 3.0], ["FR", 1, 80.0], ["IT", 1, null], [null, 1, 95.5]])),
    );
    assert!(table.json.get("next").is_some_and(Value::is_null), "{}", table.json);
    let stats = &table.json["stats"];
    assert!(stats["elapsed_ms"].is_number(), "{stats}");
    assert_eq!(stats["rows_scanned"], 6);
    assert!(stats["segments"].is_u64(), "{stats}");
    assert!(["miss", "partial", "hit"].contains(&stats["cache"].as_str().unwrap_or_default()), "{stats}");
    assert_eq!((&stats["engine"], &stats["approximate"]), (&json!("vector"), &json!(false)));
}

#[test]
fn a_json_query_is_the_same_question_with_groups_first() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let table = server.query(&json!({
        "from": "visits", "select": ["count()", "uniq(user) as users", "sum(ms)"], "by": ["day(_time)", "device"],
        "where": "device <> 'bot'", "having": "count() > 0", "order": ["day(_time)", "-count()", "device"],
    }));
    assert_eq!(table.columns, ["day(_time)", "device", "count()", "users", "sum(ms)"]);
    let wanted = json!([
        ["2024-03-01T00:00:00Z", "desk", 2, 2, 280],
        ["2024-03-01T00:00:00Z", "phone", 1, 1, 120],
        ["2024-03-02T00:00:00Z", "phone", 2, 2, 95.5],
    ]);
    assert_same_rows("visits by day and device", &table.rows, &rows_of(wanted));
    assert_eq!(table.types[0], "time");
}

#[test]
fn a_range_is_half_open_and_the_zone_decides_where_a_day_begins() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let count = |range: Value| {
        server.query(&json!({"from":"visits","select":["count()"],"range":range})).cell().clone()
    };
    assert_eq!(count(json!({"from": "2024-03-01T08:00:00Z", "to": "2024-03-02T00:00:00Z"})), 3);
    assert_eq!(count(json!({"from": "2024-03-02"})), 3);
    assert_eq!(count(json!({"to": "2024-03-01T08:00:00Z"})), 0);
    assert_eq!(count(json!({"last": "1h"})), 0);
    let table = server.query(&json!({
        "from": "visits", "select": ["count()"], "by": ["day(_time)"], "tz": "Europe/Berlin", "order": ["day(_time)"],
    }));
    let wanted = json!([["2024-03-01T00:00:00+01:00", 2], ["2024-03-02T00:00:00+01:00", 4]]);
    assert_same_rows("days of Berlin", &table.rows, &rows_of(wanted));
    assert!(table.rows[0][0].as_str().unwrap().ends_with("+01:00"), "times carry the zone's offset");
}

#[test]
fn every_clause_does_what_sql_says() {
    let dir = temp_dir();
    let server = visits(dir.path());
    for (question, wanted) in [
        ("SELECT user FROM visits ORDER BY ms DESC LIMIT 2", json!([["a"], ["a"]])),
        ("SELECT user FROM visits ORDER BY ms LIMIT 2 OFFSET 1", json!([["b"], ["b"]])),
        ("SELECT ms FROM visits ORDER BY ms OFFSET 4", json!([[200], [null]])),
        ("SELECT ms FROM visits ORDER BY ms DESC OFFSET 4", json!([[5], [null]])),
        ("SELECT ms FROM visits ORDER BY ms NULLS FIRST LIMIT 2", json!([[null], [5]])),
        ("SELECT DISTINCT device FROM visits ORDER BY device", json!([["bot"], ["desk"], ["phone"]])),
        (
            "SELECT device, count(*) FROM visits GROUP BY 1 HAVING count(*) >= 2 ORDER BY 1",
            json!([["desk", 2], ["phone", 3]]),
        ),
        (
            "SELECT count(*), count(ms), count(country), count(DISTINCT country) FROM visits",
            json!([[6, 5, 5, 3]]),
        ),
        (
            "SELECT sum(ms), min(ms), max(ms), avg(ms), uniq(user) FROM visits",
            json!([[500.5, 5, 200, 100.1, 4]]),
        ),
        (
            "SELECT min(country), max(country), min(_time) FROM visits",
            json!([["DE", "IT", "2024-03-01T08:00:00Z"]]),
        ),
        ("SELECT count(*) FROM visits WHERE country IS NULL OR ms IS NULL", json!([[2]])),
        ("SELECT count(*) FROM visits WHERE country <> 'DE'", json!([[2]])),
        ("SELECT count(*) FROM visits WHERE NOT (country = 'DE')", json!([[2]])),
        (
            "SELECT count(*) FROM visits WHERE device IN ('phone', 'bot') AND ms BETWEEN 5 AND 100",
            json!([[2]]),
        ),
        ("SELECT count(*) FROM visits WHERE device LIKE 'p%' AND device NOT LIKE 'P%'", json!([[3]])),
        ("SELECT count(*) FROM visits WHERE device ILIKE 'P%'", json!([[3]])),
        ("SELECT count(*) FROM visits WHERE device REGEXP '^(bot|desk)$'", json!([[3]])),
        ("SELECT count(*) FILTER (WHERE device = 'phone') FROM visits", json!([[3]])),
        ("SELECT sum(CASE WHEN device = 'bot' THEN 0 ELSE 1 END) FROM visits", json!([[5]])),
        (
            "SELECT \"props.plan\", count(*) FROM visits GROUP BY 1 ORDER BY 1",
            json!([["free", 1], ["pro", 1], [null, 4]]),
        ),
        ("SELECT upper(country) || '!' AS c FROM visits WHERE user = 'd'", json!([["IT!"]])),
        (
            "SELECT coalesce(country, 'none') AS c, sum(ms) FROM visits GROUP BY c ORDER BY c LIMIT 1",
            json!([["DE", 325]]),
        ),
        (
            "SELECT hour(_time), count(*) FROM visits WHERE user = 'a' GROUP BY 1 ORDER BY 1 DESC",
            json!([["2024-03-01T23:00:00Z", 1], ["2024-03-01T08:00:00Z", 1]]),
        ),
        ("SELECT count(*) FROM visits WHERE _time >= '2024-03-02'", json!([[3]])),
        (
            "SELECT count(*), sum(ms), min(ms), avg(ms), uniq(ms) FROM visits WHERE user = 'nobody'",
            json!([[0, null, null, null, 0]]),
        ),
        ("SELECT country, count(*) FROM visits WHERE user = 'nobody' GROUP BY country", json!([])),
        ("SELECT user FROM visits LIMIT 0", json!([])),
    ] {
        assert_same_rows(question, &server.sql(question).rows, &rows_of(wanted));
    }
}

#[test]
fn arithmetic_means_the_same_everywhere() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("t", r#"{"a":7,"b":2,"z":0,"f":2.5,"s":"Größe"}"#);
    for (expression, wanted) in [
        ("a / b", json!(3.5)),
        ("a / z", Value::Null),
        ("a // b", json!(3)),
        ("a % b", json!(1)),
        ("a + b * 2", json!(11)),
        ("a - f", json!(4.5)),
        ("-a", json!(-7)),
        ("a > b AND NOT z", json!(true)),
        ("CAST(f AS int)", json!(3)),
        ("CAST(-f AS int)", json!(-3)),
        ("CAST('12' AS int) + 1", json!(13)),
        ("length(s)", json!(5)),
        ("lower(s)", json!("größe")),
        ("nullif(b, 2)", Value::Null),
        ("round(f)", json!(3)),
        ("abs(-a)", json!(7)),
        ("null = null", Value::Null),
        ("s < 'a'", json!(true)),
    ] {
        let table = server.sql(&format!("SELECT {expression} FROM t"));
        assert_same_rows(expression, &table.rows, &[vec![wanted]]);
    }
}

#[test]
fn parameters_stand_for_values_and_never_for_sql() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let ask = |params: Value| {
        let body =
            json!({"sql": "SELECT count(*) FROM visits WHERE country = ? AND ms > ?", "params": params});
        server.post("/v1/sql", body.to_string())
    };
    assert_eq!(ask(json!(["DE", 100])).ok()["rows"], json!([[2]]));
    assert_eq!(ask(json!(["DE' OR '1'='1", 0])).ok()["rows"], json!([[0]]));
    ask(json!(["DE"])).problem(400);
}

#[test]
fn http_replies_are_json_csv_or_lines_by_accept() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let sql = json!({"sql": "SELECT country, count(*) AS n, \"props.plan\" FROM visits WHERE ms > 90 GROUP BY 1, 3 ORDER BY 1, n, 3"});
    let query = json!({"from": "visits", "select": ["count() as n"], "by": ["country", "\"props.plan\""],
                       "where": "ms > 90", "order": ["country", "n", "\"props.plan\""]});
    for (path, body) in [("/v1/sql", sql), ("/v1/query", query)] {
        let body = body.to_string();
        let ask = |accept: &str| {
            let reply = server.client().send("POST", path, &[("Accept", accept)], body.as_bytes());
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply
        };
        let csv = ask("text/csv");
        assert!(csv.header("content-type").unwrap().starts_with("text/csv"), "{:?}", csv.headers);
        let mut reader = csv::Reader::from_reader(csv.body.as_slice());
        let headers: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(
            headers.iter().filter(|h| ["country", "n"].contains(&h.as_str())).count(),
            2,
            "{headers:?}"
        );
        let country = headers.iter().position(|h| h == "country").unwrap();
        let cells: Vec<String> = reader.records().map(|r| r.unwrap()[country].to_owned()).collect();
        assert_eq!(cells, ["DE", "DE", ""]);

        let lines = ask("application/x-ndjson");
        assert!(
            lines.header("content-type").unwrap().starts_with("application/x-ndjson"),
            "{:?}",
            lines.headers
        );
        let rows: Vec<Value> = lines.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let found: Vec<_> = rows.iter().map(|r| (&r["country"], &r["n"])).collect();
        assert_eq!(found, [(&json!("DE"), &json!(1)), (&json!("DE"), &json!(1)), (&Value::Null, &json!(1))]);

        for accept in ["application/json", "*/*"] {
            let json = ask(accept);
            assert!(
                json.header("content-type").unwrap().starts_with("application/json"),
                "{:?}",
                json.headers
            );
            assert_eq!(Table::parse(&json.text()).rows.len(), 3);
        }
    }
}

#[test]
fn csv_quotes_what_needs_it() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let texts = ["a,b", "say \"hi\"", "two\nlines", " spaces ", "Größe", ""];
    let events: Vec<_> = texts.iter().map(|t| json!({ "t": t })).collect();
    server.accepted("t", json!(events).to_string());
    let body = json!({"sql": "SELECT t AS \"odd, name\" FROM t ORDER BY _seq"}).to_string();
    let reply = server.client().send("POST", "/v1/sql", &[("Accept", "text/csv")], body.as_bytes());
    let mut reader = csv::Reader::from_reader(reply.body.as_slice());
    assert_eq!(reader.headers().unwrap(), vec!["odd, name"]);
    let found: Vec<_> = reader.records().map(|r| r.unwrap()[0].to_owned()).collect();
    assert_eq!(found, texts);
}

#[test]
fn the_command_line_answers_in_four_formats() {
    let dir = temp_dir();
    assert_eq!(visits(dir.path()).stop(), 0);
    let question =
        "SELECT country, count(*) AS n FROM visits GROUP BY country ORDER BY n DESC, country LIMIT 2";
    let ask = |format: &str| run(dir.path(), &["sql", question, "--format", format]).exits(0).stdout;
    assert_same_rows("json", &Table::parse(&ask("json")).rows, &rows_of(json!([["DE", 3], ["FR", 1]])));
    let csv = ask("csv").replace("\r\n", "\n");
    assert_eq!(csv, "country,n\nDE,3\nFR,1\n");
    let lines: Vec<Value> = ask("ndjson").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, [json!({"country": "DE", "n": 3}), json!({"country": "FR", "n": 1})]);
    let table = ask("table");
    let words: Vec<_> =
        table.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).take(6).collect();
    assert_eq!(words, ["country", "n", "DE", "3", "FR", "1"], "{table}");
    assert!(!table.contains('\u{1b}'), "no colours into a pipe: {table}");

    let query =
        r#"{"from":"visits","select":["count() as n"],"by":["country"],"order":["-n","country"],"limit":2}"#;
    let asked = run(dir.path(), &["query", query, "--format", "csv"]).exits(0).stdout;
    assert_eq!(asked.replace("\r\n", "\n"), csv, "a query is the same question");
}

#[test]
fn the_command_line_reads_what_a_running_server_has_acknowledged() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for n in 1..=10 {
        server.accepted("events", json!({ "n": n, "new": format!("field {n}") }).to_string());
        let found = sql(dir.path(), "SELECT count(*), sum(n), max(n) FROM events");
        assert_same_rows("beside the server", &found.rows, &rows_of(json!([[n, n * (n + 1) / 2, n]])));
    }
    assert_eq!(server.count("events"), 10, "the server lives on");
    let listed = run(dir.path(), &["datasets"]).exits(0).stdout;
    assert!(listed.contains("events"), "{listed}");
}

#[test]
fn a_join_and_a_window_are_answered_by_sqlite_with_the_same_meaning() {
    let dir = temp_dir();
    let server = visits(dir.path());
    server.accepted("users", r#"[{"user":"a","name":"Ann"},{"user":"b","name":"Bob"}]"#);
    let joined = "SELECT u.name, count(*) AS n, sum(v.ms) FROM visits v JOIN users u ON u.user = v.user GROUP BY u.name ORDER BY 1";
    let reply = server.post("/v1/sql", json!({ "sql": joined }).to_string());
    let table = Table::parse(&reply.text());
    assert_same_rows("a join", &table.rows, &rows_of(json!([["Ann", 2, 320], ["Bob", 2, 175.5]])));
    assert_eq!(table.json["stats"]["engine"], "sqlite");
}
