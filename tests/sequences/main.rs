//! Funnels, retention, paths and sessions from outside: over HTTP, in SQL, and by the verbs of the command line.
//!
//! `generated`: twenty thousand events, sealed and not, against a plain computation of each answer. This file: shapes
//! of replies, formats, what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod generated;

use serde_json::{Value, json};

use common::{Server, Table, assert_same_rows, assert_says, run, temp_dir};

/// Three who shop, one who only looks, and one whose name nobody knows.
const VISITS: &str = r#"
{"ts":"2026-03-02T08:00:00Z","who":"ann","name":"view","path":"/"}
{"ts":"2026-03-02T08:05:00Z","who":"ann","name":"view","path":"/rain"}
{"ts":"2026-03-02T08:06:00Z","who":"ann","name":"cart","path":"/rain"}
{"ts":"2026-03-02T09:00:00Z","who":"bob","name":"view","path":"/"}
{"ts":"2026-03-02T09:01:00Z","who":"bob","name":"view","path":"/help"}
{"ts":"2026-03-02T09:02:00Z","who":"bob","name":"cart","path":"/rain"}
{"ts":"2026-03-10T10:00:00Z","who":"ann","name":"buy","path":"/rain"}
{"ts":"2026-03-10T11:00:00Z","who":"bob","name":"buy","path":"/rain"}
{"ts":"2026-03-11T07:00:00Z","who":"eve","name":"view","path":"/"}
{"ts":"2026-03-11T07:00:00Z","who":"eve","name":"cart","path":"/rain"}
{"ts":"2026-03-11T07:00:01Z","who":"eve","name":"buy","path":"/rain"}
{"ts":"2026-03-17T12:00:00Z","who":"dan","name":"view"}
{"ts":"2026-03-18T12:00:00Z","who":null,"name":"view","path":"/"}
"#;

fn visits(dir: &std::path::Path) -> Server {
    let server = Server::start(dir, &[]);
    server.accepted("visits", VISITS);
    server
}

#[track_caller]
fn asked(server: &Server, kind: &str, question: &Value) -> Table {
    let reply = server.post(&format!("/v1/{kind}"), question.to_string());
    assert_eq!(reply.status, 200, "{question}: {}", reply.text());
    Table::parse(&reply.text())
}

fn rows_of(value: Value) -> Vec<Vec<Value>> {
    value.as_array().unwrap().iter().map(|row| row.as_array().unwrap().clone()).collect()
}

/// A question about all visits, with more parts.
fn about(more: Value) -> Value {
    let mut question = json!({"from": "visits", "by": "who"});
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    question
}

fn funnel(more: Value) -> Value {
    let mut question = about(json!({"steps": ["name = 'view' AS viewed", "name = 'cart'", "name='buy'"]}));
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    question
}

#[test]
fn a_funnel_is_a_table_with_a_row_a_step() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let table = asked(
        &server,
        "funnel",
        &funnel(json!({"range": {"from": "2026-03-01", "to": "2026-04-01"}, "cache": false})),
    );
    assert_eq!(table.columns, ["step", "count", "rate", "rate_from_previous", "median_seconds"]);
    assert_eq!(table.types, ["string", "int", "float", "float", "float"]);
    // eve's cart comes at the instant of her view, so it is no later step
    let week = 8.0 * 86_400.0 + 7_200.0;
    let wanted = json!([
        ["viewed", 4, 1.0, null, null],
        ["name = 'cart'", 2, 0.5, 0.5, 120.0],
        ["name='buy'", 2, 0.5, 1.0, week],
    ]);
    assert_same_rows("a funnel", &table.rows, &rows_of(wanted));
    assert_eq!(
        (&table.json["next"], &table.json["range"]["from"]),
        (&Value::Null, &json!("2026-03-01T00:00:00Z"))
    );
    let stats = &table.json["stats"];
    assert_eq!(
        (&stats["rows_scanned"], &stats["engine"], &stats["approximate"]),
        (&json!(13), &json!("vector"), &json!(false))
    );

    let count = |more: Value| {
        let rows = asked(&server, "funnel", &funnel(more)).rows;
        rows.iter().map(|row| row[1].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(count(json!({"within": "7d"})), [4, 2, 0]);
    assert_eq!(count(json!({"within": "9d"})), [4, 2, 2]);
    // bob looks at something else between his first view and his cart, and begins anew there
    assert_eq!(count(json!({"strict": true})), [4, 2, 2]);
    assert_eq!(count(json!({"strict": true, "steps": ["path = '/'", "path = '/rain'"]})), [3, 2]);
    assert_eq!(count(json!({"where": "who <> 'ann'", "range": {"to": "2026-03-10T10:30:00Z"}})), [1, 1, 0]);
    assert_eq!(count(json!({"where": "who = 'nobody'"})), [0, 0, 0]);
}

#[test]
fn retention_has_a_row_a_cohort_and_period_those_without_anybody_too() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let range = json!({"from": "2026-03-02", "to": "2026-03-23"});
    let table = asked(&server, "retention", &about(json!({"period": "7d", "range": range})));
    assert_eq!(table.columns, ["cohort", "period", "count", "rate"]);
    assert_eq!(table.types, ["time", "int", "int", "float"]);
    let wanted = json!([
        ["2026-03-02T00:00:00Z", 0, 2, 1.0],
        ["2026-03-02T00:00:00Z", 1, 2, 1.0],
        ["2026-03-02T00:00:00Z", 2, 0, 0.0],
        ["2026-03-09T00:00:00Z", 0, 1, 1.0],
        ["2026-03-09T00:00:00Z", 1, 0, 0.0],
        ["2026-03-16T00:00:00Z", 0, 1, 1.0],
    ]);
    assert_same_rows("weeks", &table.rows, &rows_of(wanted.clone()));
    let bought =
        about(json!({"period": "week", "range": range, "start": "name = 'view'", "return": "name = 'view'"}));
    let rows = asked(&server, "retention", &bought).rows;
    assert_eq!(rows.iter().map(|row| row[2].as_i64().unwrap()).collect::<Vec<_>>(), [2, 0, 0, 1, 0, 1]);
    let empty =
        asked(&server, "retention", &about(json!({"period": "7d", "range": range, "where": "who = 'x'"})))
            .rows;
    assert_eq!((empty.len(), &empty[0][2], &empty[0][3]), (6, &json!(0), &Value::Null));
    // on the calendar of Berlin the week begins an hour earlier
    let berlin = about(json!({"period": "week", "range": range, "tz": "Europe/Berlin"}));
    assert_eq!(asked(&server, "retention", &berlin).rows[0][0], "2026-03-02T00:00:00+01:00");
}

#[test]
fn paths_are_lists_in_the_order_of_time_the_most_frequent_first() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let table = asked(&server, "paths", &about(json!({"step": "path", "depth": 3})));
    assert_eq!(
        (table.columns, table.types),
        (vec!["path".into(), "count".into()], vec!["strings".into(), "int".to_owned()])
    );
    let wanted = json!([[["/", "/help", "/rain"], 1], [["/", "/rain", "/rain"], 2]]);
    let mut rows = table.rows.clone();
    rows.reverse();
    assert_same_rows("first steps", &rows, &rows_of(wanted));
    let paths = |more: Value| json!(asked(&server, "paths", &about(more)).rows);
    assert_eq!(
        paths(json!({"step": "path", "depth": 3, "collapse": true})),
        json!([[["/", "/rain"], 2], [["/", "/help", "/rain"], 1]])
    );
    assert_eq!(paths(json!({"step": "name", "depth": 2, "after": "name = 'cart'"})), json!([[["buy"], 3]]));
    assert_eq!(
        paths(json!({"step": "name", "depth": 2, "before": "name = 'cart'"})),
        json!([[["view", "view"], 2], [["view"], 1]])
    );
    assert_eq!(
        paths(json!({"step": "name", "depth": 5, "after": "name = 'buy'", "limit": 1})),
        json!([[[], 3]])
    );
    assert_eq!(
        paths(json!({"step": "day(_time)", "depth": 1, "where": "who = 'dan'"}))[0][0],
        json!(["2026-03-17T00:00:00Z"])
    );
}

#[test]
fn sessions_are_asked_as_any_dataset_in_json_and_in_sql() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let all = server.sql("SELECT * FROM sessions(visits, who, '30m', path) ORDER BY start, who");
    assert_eq!(
        all.columns,
        [
            "_time",
            "_seq",
            "_id",
            "who",
            "start",
            "end",
            "duration_s",
            "events",
            "bounce",
            "pages",
            "entry",
            "exit"
        ]
    );
    assert_eq!(
        all.types,
        [
            "time", "int", "string", "string", "time", "time", "float", "int", "bool", "int", "string",
            "string"
        ]
    );
    let at = "2026-03-02T08:00:00Z";
    let ann = json!([at, 1, "1", "ann", at, "2026-03-02T08:06:00Z", 360.0, 3, false, 3, "/", "/rain"]);
    assert_same_rows("the first session", &all.rows[..1], &rows_of(json!([ann])));
    let last = &all.rows[all.rows.len() - 1];
    assert_eq!(
        (&last[3], &last[9], &last[10], &last[8]),
        (&json!("dan"), &json!(0), &Value::Null, &json!(true))
    );
    assert_eq!(all.rows.len(), 6);

    let by_day = server.query(&json!({
        "from": "visits", "sessions": {"by": "who", "gap": "30m", "page": "path"}, "by": ["day(_time) as day"],
        "select": ["count()", "sum(pages)", "avg(duration_s)", "count() FILTER (WHERE bounce) as bounces"],
        "range": {"from": "2026-03-02", "to": "2026-03-12"}, "having": "count() > 1", "order": ["day"],
    }));
    let wanted = json!([["2026-03-02T00:00:00Z", 2, 6, 240.0, 0], ["2026-03-10T00:00:00Z", 2, 2, 0.0, 2]]);
    assert_same_rows("sessions a day", &by_day.rows, &rows_of(wanted));
    assert_eq!(by_day.json["stats"]["rows_scanned"], 13);
    // eight days and two hours, and eight days and one
    let long = "SELECT s.who, s.events FROM sessions(visits, who, '9d') AS s WHERE events > 3 ORDER BY 1";
    assert_same_rows("long gaps", &server.sql(long).rows, &rows_of(json!([["ann", 4], ["bob", 4]])));
    let only = "SELECT count(*), sum(events) FROM sessions(visits, who, NULL, NULL, name = 'buy') WHERE _time < '2026-03-11'";
    assert_same_rows("of some events", &server.sql(only).rows, &rows_of(json!([[2, 2]])));
    let compared = server.query(&json!({
        "from": "visits", "sessions": {"by": "who"}, "select": ["count() as n"], "compare": "previous",
        "range": {"from": "2026-03-09", "to": "2026-03-16"},
    }));
    assert_same_rows("with the week before", &compared.rows, &rows_of(json!([[3, 2]])));
}

#[test]
fn replies_are_json_csv_or_lines_by_accept() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let ask = |kind: &str, accept: &str, question: &Value| {
        let path = format!("/v1/{kind}");
        let reply =
            server.client().send("POST", &path, &[("Accept", accept)], question.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text().replace("\r\n", "\n")
    };
    let csv = ask("funnel", "text/csv", &funnel(json!({})));
    assert_eq!(csv.lines().next().unwrap(), "step,count,rate,rate_from_previous,median_seconds");
    assert_eq!(csv.lines().nth(2).unwrap(), "name = 'cart',2,0.5,0.5,120.0");
    let paths = about(json!({"step": "path", "depth": 2, "limit": 1}));
    assert_eq!(ask("paths", "text/csv", &paths), "path,count\n\"[\"\"/\"\",\"\"/rain\"\"]\",2\n");
    assert_eq!(ask("paths", "application/x-ndjson", &paths), "{\"path\":[\"/\",\"/rain\"],\"count\":2}\n");
}

#[test]
fn what_cannot_be_answered_is_refused_and_says_what_to_do() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let retention = |more: Value| {
        let mut question =
            about(json!({"period": "7d", "range": {"from": "2026-03-02", "to": "2026-03-23"}}));
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    for (kind, question, words) in [
        ("funnel", json!([]), &["a funnel is a json object"][..]),
        ("funnel", funnel(json!({"stps": []})), &["/stps", "did you mean \"steps\""]),
        ("funnel", funnel(json!({"steps": ["who"]})), &["/steps/0", "string"]),
        ("funnel", funnel(json!({"steps": vec!["name = 'view'"; 1_000]})), &["1000 steps", "64"]),
        ("funnel", funnel(json!({"by": "whom"})), &["whom", "\"who\""]),
        ("funnel", funnel(json!({"within": "0d"})), &["/within", "7d"]),
        ("funnel", funnel(json!({"within": "-7d"})), &["/within"]),
        ("funnel", funnel(json!({"where": "nam = 1"})), &["nam", "name"]),
        ("funnel", funnel(json!({"where": "name"})), &["where", "true or false"]),
        ("retention", retention(json!({"range": null})), &["/range", "both"]),
        ("retention", retention(json!({"period": "1s"})), &["/period", "1000 periods"]),
        ("retention", retention(json!({"period": "90d"})), &["/period", "longer than the range"]),
        ("retention", retention(json!({"start": "path"})), &["/start", "string"]),
        ("paths", about(json!({"step": "path", "depth": 0})), &["/depth", "from 1 to 32"]),
        ("paths", about(json!({"step": "path", "depth": 1_000_000})), &["/depth"]),
        ("paths", about(json!({"step": "pth", "depth": 1})), &["pth", "path"]),
        ("paths", about(json!({"step": "name REGEXP '(('", "depth": 1})), &["(("]),
    ] {
        let (_, detail) = server.post(&format!("/v1/{kind}"), question.to_string()).problem(400);
        assert_says(&detail, words);
    }
    for kind in ["funnel", "retention", "paths"] {
        for body in ["", " ", "{", "null", "7", "{}", "\"visits\""] {
            server.post(&format!("/v1/{kind}"), body).problem(400);
        }
        let other = json!({"from": "visit", "by": "who", "steps": ["true"], "period": "7d", "range": {"last": "8w"}, "step": "a", "depth": 1});
        let known: &[&str] = match kind {
            "funnel" => &["from", "by", "steps"],
            "retention" => &["from", "by", "period", "range"],
            _ => &["from", "by", "step", "depth"],
        };
        let question: Value = known
            .iter()
            .map(|key| ((*key).to_owned(), other[*key].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_says(
            &server.post(&format!("/v1/{kind}"), question.to_string()).problem(404).1,
            &["visit", "visits"],
        );
        assert_eq!(server.get(&format!("/v1/{kind}")).status, 405);
    }
    for sql in [
        "SELECT count(*) FROM sessions(visits)",
        "SELECT count(*) FROM sessions(visits, whom)",
        "SELECT count(*) FROM sessions(visits, who, '30')",
        "SELECT entry FROM sessions(visits, who)",
        "SELECT count(*) FROM sessions(visits, name AS events)",
    ] {
        server.post("/v1/sql", json!({ "sql": sql }).to_string()).problem(400);
    }
    assert_eq!(server.count("visits"), 13, "the server lives on");
}

#[test]
fn the_verbs_answer_beside_a_server_and_draw() {
    let dir = temp_dir();
    let server = visits(dir.path());
    let question = funnel(json!({})).to_string();
    let csv = run(dir.path(), &["funnel", &question, "--format", "csv"]).exits(0).stdout;
    assert!(csv.starts_with("step,count,rate,") && csv.lines().count() == 4, "{csv}");
    let chart = run(dir.path(), &["funnel", &question, "--chart"]).exits(0).stdout;
    assert!(chart.contains("viewed") && chart.contains('█'), "{chart}");
    let question =
        about(json!({"period": "week", "range": {"from": "2026-03-02", "to": "2026-03-16"}})).to_string();
    let table = run(dir.path(), &["retention", &question, "--format", "table"]).exits(0).stdout;
    assert!(table.contains("(3 rows)") && table.contains("cohort"), "{table}");
    let question = about(json!({"step": "path", "depth": 1})).to_string();
    let json = run(dir.path(), &["paths", &question]).exits(0).stdout;
    assert_eq!(json!(Table::parse(&json).rows), json!([[["/"], 3]]));
    for (verb, question, word) in [
        ("funnel", "{\"from\": \"visits\"}", "/by"),
        ("retention", "SELECT 1", "windrow sql"),
        ("paths", "{\"from\": \"visit\", \"by\": \"a\", \"step\": \"b\", \"depth\": 1}", "visits"),
    ] {
        let ran = run(dir.path(), &[verb, question]).exits(1);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
        assert_says(&ran.stderr, &[word]);
    }
    assert_eq!(run(dir.path(), &["funnel", "{}", "--human", "--json"]).code, 2);
    assert_eq!(server.count("visits"), 13);
}
