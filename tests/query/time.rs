//! Time as people mean it, from outside: zones, local times, calendar words, filled series, the period before.

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Server, assert_says, run, temp_dir};

/// Orders around 29 March 2026, when the clock of Berlin goes from 02:00 to 03:00.
const ORDERS: &str = r#"[
    {"ts":"2026-03-27T09:00:00Z","country":"DE","total":20},
    {"ts":"2026-03-28T13:00:00Z","country":"DE","total":15},
    {"ts":"2026-03-28T22:30:00Z","country":"FR","total":30},
    {"ts":"2026-03-28T23:30:00Z","country":"DE","total":10},
    {"ts":"2026-03-31T08:00:00Z","country":"DE","total":25}
]"#;

fn orders(dir: &std::path::Path) -> Server {
    let server = Server::start(dir, &[]);
    server.accepted("orders", ORDERS);
    server
}

fn series() -> Value {
    json!({
        "from": "orders", "by": ["day(_time) as day"], "select": ["count()", "sum(total) as total"],
        "range": {"from": "2026-03-28", "to": "2026-03-31T12:00:00"}, "tz": "Europe/Berlin", "fill": true,
    })
}

#[test]
fn a_filled_series_marks_gaps_and_partial_buckets() {
    let dir = temp_dir();
    let server = orders(dir.path());
    let table = server.query(&series());
    let wanted = json!([
        ["2026-03-28T00:00:00+01:00", 2, 45],
        ["2026-03-29T00:00:00+01:00", 1, 10],
        ["2026-03-30T00:00:00+02:00", 0, 0],
        ["2026-03-31T00:00:00+02:00", 1, 25]
    ]);
    assert_eq!(json!(table.rows), wanted);
    assert_eq!(table.json["series"], json!({"column": "day", "bucket": "day", "partial": [3], "gaps": [2]}));
    let range = json!({"from": "2026-03-28T00:00:00+01:00", "to": "2026-03-31T12:00:00+02:00"});
    assert_eq!(table.json["range"], range);
    assert!(table.json.get("previous").is_none());
}

#[test]
fn the_period_before_is_told_and_stands_beside() {
    let dir = temp_dir();
    let server = orders(dir.path());
    let mut question = series();
    question["range"] = json!({"from": "2026-03-28", "to": "2026-03-29"});
    question["compare"] = json!("previous");
    let table = server.query(&question);
    assert_eq!(table.columns, ["day", "count()", "total", "count().previous", "total.previous"]);
    assert_eq!(json!(table.rows), json!([["2026-03-28T00:00:00+01:00", 2, 45, 1, 20]]));
    let before = json!({"from": "2026-03-27T00:00:00+01:00", "to": "2026-03-28T00:00:00+01:00"});
    assert_eq!(table.json["previous"], before);
}

#[test]
fn what_came_just_now_is_in_the_last_hour_and_not_in_the_last_year() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", r#"[{"n":1},{"n":2}]"#);
    let count = |range: Value| {
        server.query(&json!({"from": "visits", "select": ["count()"], "range": range})).rows[0][0].clone()
    };
    assert_eq!(count(json!({"last": "1h"})), 2);
    assert_eq!(count(json!("1h")), 2);
    assert_eq!(count(json!({"last": "last 20 years"})), 0);
}

#[test]
fn sql_has_a_calendar_over_http_and_on_the_command_line() {
    let dir = temp_dir();
    let server = orders(dir.path());
    let text = "SELECT week(_time) AS week, count(*) AS n FROM orders WHERE _time >= '2026-03-28' GROUP BY 1";
    let body = json!({"sql": text, "tz": "Europe/Berlin", "week_start": "sunday"});
    let reply = server.post("/v1/sql", body.to_string()).ok();
    let wanted = json!([["2026-03-22T00:00:00+01:00", 2], ["2026-03-29T00:00:00+01:00", 2]]);
    assert_eq!(reply["rows"], wanted);
    let args = ["--tz", "Europe/Berlin", "--week-start", "sunday"];
    let lines = run(dir.path(), &[&["sql", "--format", "csv", text], &args[..]].concat());
    assert_eq!(lines.stdout, "week,n\n2026-03-22T00:00:00+01:00,2\n2026-03-29T00:00:00+01:00,2\n");
    // without one it is UTC, and weeks begin on Monday
    let utc = sql(dir.path(), text);
    assert_eq!(json!(utc.rows), json!([["2026-03-23T00:00:00Z", 3], ["2026-03-30T00:00:00Z", 1]]));
}

#[test]
fn zones_and_times_that_are_none_are_refused_with_the_way_out() {
    let dir = temp_dir();
    let server = orders(dir.path());
    let with = |key: &str, value: Value| {
        let mut question = series();
        question[key] = value;
        server.post("/v1/query", question.to_string()).problem(400).1
    };
    assert_says(&with("tz", json!("Europe/Berln")), &["/tz", "Europe/Berlin"]);
    assert_says(&with("range", json!("last mnth")), &["/range", "month"]);
    assert_says(&with("week_start", json!("1")), &["/week_start", "monday"]);
    let twice = with("range", json!({"from": "2026-10-25T02:30:00", "to": "2026-10-26"}));
    assert_says(&twice, &["/range/from", "twice", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]);
    let never = with("range", json!({"from": "2026-03-29T02:30", "to": "2026-10-26"}));
    assert_says(&never, &["/range/from", "never", "2026-03-29 03:30"]);
    let condition = with("where", json!("_time < '2026-10-25 02:30'"));
    assert_says(&condition, &["twice"]);
    let refused = run(dir.path(), &["sql", "--tz", "Mars", "SELECT count(*) FROM orders"]);
    assert_eq!(refused.code, 2);
    assert_says(&refused.stderr, &["no time zone \"Mars\"", "Europe/Berlin"]);
}
