//! One language: the same rows as events and as records give the same answers, and both go together in one statement.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Lcg, Server, Table, assert_same_rows, run, temp_dir};
use crate::{declare, taken};

/// Visits of some weeks with holes, mixed values and lists.
fn data(rows: u64) -> Vec<Value> {
    let mut random = Lcg(5);
    (0..rows)
        .map(|n| {
            // neither in order of time nor each at its own
            let minute = n * 7_919 % 900 * 41 + random.below(30);
            let (day, hour) = (minute / 1_440, minute / 60 % 24);
            let mut row = json!({
                "n": n, "at": format!("2026-03-{:02}T{hour:02}:{:02}:00Z", 1 + day, minute % 60),
                "country": random.pick(&["DE", "FR", "IT", "ÖS"]), "step": random.pick(&["view", "cart", "buy"]),
                "user": format!("u{}", random.below(90)), "price": random.below(5_000) as f64 / 8.0,
                "big": 9_007_199_254_740_000_i64 + n as i64, "ok": random.below(2) == 0,
            });
            match random.below(4) {
                0 => row["mixed"] = json!(random.below(9)),
                1 => row["mixed"] = json!(random.pick(&["7", "seven"])),
                2 => row["mixed"] = json!(0.5),
                _ => {}
            }
            if random.below(3) > 0 {
                row["ms"] = json!(random.below(400));
                row["tags"] = json!([random.pick(&["a", "b"]), random.pick(&["c", "d"])]);
            }
            row
        })
        .collect()
}

/// Records that are asked of columns that are kept, where a question would go through all of them.
const MANY: u64 = 6_000;

/// The same rows in `e`, of events, and in `r`, of records.
fn both(dir: &Path) -> Server {
    both_of(dir, 900)
}

fn both_of(dir: &Path, rows: u64) -> Server {
    let server = Server::start(dir, &[]);
    let fields = json!({"at": {"type": "time"}, "tags": {"type": "strings"}, "ok": {"type": "bool"}, "country": {"type": "string"}, "ms": {"type": "int"}});
    declare(&server, "e", &json!({"fields": fields, "time": "at"}));
    let declaration = json!({"kind": "records", "key": "n", "time": "at", "fields": fields, "indexes": [{"fields": ["country", "ms"]}]});
    declare(&server, "r", &declaration);
    let all = data(rows);
    server.accepted("e", json!(all).to_string());
    taken(&server, "r", &json!(all));
    server
}

const OF_TIME: [&str; 3] = [
    "first(step), last(step) FROM d",
    "country, first(user), last(user), first(ms) FROM d GROUP BY 1 ORDER BY 1",
    "day(at), last(price) FROM d GROUP BY 1 ORDER BY 1",
];

const QUESTIONS: [&str; 40] = [
    "count(*), count(ms), count(DISTINCT user), uniq(country) FROM d",
    "sum(ms), avg(ms), min(ms), max(ms), sum(price), min(price) FROM d",
    "country, count(*) FROM d GROUP BY country ORDER BY 2 DESC, 1",
    "country, step, count(*), sum(price) FROM d GROUP BY 1, 2 ORDER BY 1, 2",
    "country, avg(ms), p95(ms), quantile(price, 0.5) FROM d GROUP BY 1 ORDER BY 1",
    "day(_time) AS day, count(*), uniq(user) FROM d GROUP BY 1 ORDER BY 1",
    "week(at) AS week, sum(ms) FROM d GROUP BY 1 ORDER BY 1",
    "hour(_time), count(*) FROM d WHERE _time >= '2026-03-02' AND _time < '2026-03-03' GROUP BY 1 ORDER BY 1",
    "count(*) FROM d WHERE country = 'DE' AND ms > 100",
    "count(*) FROM d WHERE country = 'de'",
    "count(*) FROM d WHERE country ILIKE 'ös'",
    "count(*) FROM d WHERE user LIKE 'u1%'",
    "count(*) FROM d WHERE user REGEXP '^u[1-3]$'",
    "count(*) FROM d WHERE ms IS NULL OR NOT (country <> 'FR')",
    "count(*) FROM d WHERE mixed = 7",
    "count(*) FROM d WHERE mixed = '7'",
    "count(*) FROM d WHERE mixed > 3",
    "mixed, count(*) FROM d GROUP BY 1 ORDER BY 1",
    "min(mixed), max(mixed) FROM d",
    "n, mixed FROM d ORDER BY mixed, n LIMIT 40",
    "n, mixed FROM d ORDER BY mixed DESC, n LIMIT 40",
    "n, ms FROM d ORDER BY ms DESC, n LIMIT 20 OFFSET 5",
    "n, ms FROM d WHERE ms < 20 ORDER BY ms NULLS FIRST, n",
    "sum(big), max(big) % 10 FROM d WHERE n < 500",
    "count(*) FROM d WHERE big = 9007199254740993",
    "n / 7, n // 7, n % 7, n / 0 FROM d WHERE n IN (1, 13, 700) ORDER BY n",
    "ok, count(*), sum(ok) FROM d GROUP BY ok ORDER BY ok",
    "count(*) FILTER (WHERE ok), sum(CASE WHEN ok THEN ms ELSE 0 END) FROM d",
    "explode(tags), count(*) FROM d GROUP BY 1 ORDER BY 1",
    "count(*) FROM d WHERE contains(tags, 'a')",
    "country, count(*) FROM d GROUP BY 1 HAVING count(*) > 220 ORDER BY 1",
    "DISTINCT step, country FROM d WHERE n < 50 ORDER BY 1, 2",
    "upper(country) || '-' || step, count(*) FROM d GROUP BY 1 ORDER BY 1",
    "CAST(price AS int), count(*) FROM d GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10",
    "round(avg(price), 3), abs(min(0 - price)) FROM d WHERE at BETWEEN '2026-03-05' AND '2026-03-09'",
    "extract(hour FROM at) AS hour, count(*) FROM d GROUP BY 1 ORDER BY 1",
    "coalesce(ms, -1) AS known, count(*) FROM d GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5",
    "user, count(*) AS visits FROM d GROUP BY user ORDER BY visits DESC, user LIMIT 10",
    "count(*) FROM d WHERE price > 100.5 AND price <= 300",
    "length(user), replace(step, 'v', 'V'), at FROM d ORDER BY n LIMIT 5",
];

#[test]
fn the_same_question_has_the_same_answer() {
    let dir = temp_dir();
    let server = both(dir.path());
    answers_are_the_same(&server, &QUESTIONS);
    answers_are_the_same(&server, &OF_TIME);
}

#[test]
fn the_same_question_has_the_same_answer_over_many_records() {
    let dir = temp_dir();
    answers_are_the_same(&both_of(dir.path(), MANY), &QUESTIONS);
}

#[test]
fn the_first_and_the_last_are_those_of_time_also_over_many_records() {
    let dir = temp_dir();
    answers_are_the_same(&both_of(dir.path(), MANY), &OF_TIME);
}

fn answers_are_the_same(server: &Server, questions: &[&str]) {
    for question in questions {
        let ask = |dataset: &str| {
            server.sql(&format!("SELECT {}", question.replace("FROM d", &format!("FROM {dataset}"))))
        };
        let (events, records) = (ask("e"), ask("r"));
        assert_eq!(records.columns, events.columns, "{question}");
        assert_eq!(records.types, events.types, "{question}");
        assert_same_rows(question, &records.rows, &events.rows);
        assert!(!events.rows.is_empty(), "{question}: a question that says something");
    }
}

#[test]
fn what_is_a_mistake_over_events_is_one_over_records() {
    let dir = temp_dir();
    let server = both(dir.path());
    for question in [
        "nothing FROM d",
        "sum(country) + 'x' + count(nothing) FROM d",
        "n FROM d GROUP BY country",
        "9223372036854775807 + n FROM d WHERE n = 1",
        "count(*) FROM d WHERE user REGEXP '('",
        "count(*) FROM d WHERE",
        "DISTINCT country FROM d ORDER BY n",
    ] {
        let ask = |dataset: &str| {
            let sql = format!("SELECT {}", question.replace("FROM d", &format!("FROM {dataset}")));
            server.post("/v1/sql", json!({ "sql": sql }).to_string()).status
        };
        assert_eq!((ask("e"), ask("r")), (400, 400), "{question}");
    }
}

#[test]
fn json_queries_with_ranges_series_and_comparisons_are_the_same() {
    let dir = temp_dir();
    let server = both(dir.path());
    let march = json!({"from": "2026-03-02", "to": "2026-03-20"});
    for query in [
        json!({"select": ["count()", "uniq(user) as users"], "by": ["day(_time)"], "range": march, "order": ["day(_time)"]}),
        json!({"select": ["count()"], "by": ["day(_time)"], "range": {"from": "2026-02-20", "to": "2026-03-30"}, "fill": true, "order": ["day(_time)"]}),
        json!({"select": ["count()", "sum(ms)"], "by": ["country"], "range": {"from": "2026-03-10", "to": "2026-03-15"}, "compare": "previous", "order": ["country"]}),
        json!({"select": ["count()"], "by": ["day(_time)"], "tz": "Europe/Berlin", "range": march, "fill": true, "compare": "previous", "order": ["day(_time)"]}),
        json!({"select": ["p95(ms)"], "by": ["week(_time)", "country"], "week_start": "sunday", "order": ["week(_time)", "country"]}),
        json!({"select": ["count()"], "by": ["country", "step"], "where": "price > 50 and mixed is not null", "having": "count() > 3", "order": ["-count()", "country", "step"], "limit": 5}),
        json!({"select": ["n", "at", "tags"], "order": ["-price", "n"], "limit": 12, "offset": 3}),
        json!({"select": ["country"], "distinct": true, "order": ["country"]}),
    ] {
        let ask = |dataset: &str| {
            let mut query = query.clone();
            query["from"] = json!(dataset);
            server.query(&query)
        };
        let (events, records) = (ask("e"), ask("r"));
        assert_eq!(records.columns, events.columns, "{query}");
        assert_same_rows(&query.to_string(), &records.rows, &events.rows);
        assert_eq!(records.json["range"], events.json["range"], "{query}");
    }
}

#[test]
fn what_is_told_of_a_series_is_the_same() {
    let dir = temp_dir();
    let server = both(dir.path());
    let ask = |dataset: &str| {
        let range = json!({"from": "2026-03-02", "to": "2026-03-20"});
        let query = json!({"from": dataset, "select": ["count()"], "by": ["day(_time)"], "range": range, "order": ["day(_time)"]});
        server.query(&query).json["series"].clone()
    };
    assert_eq!(ask("r"), ask("e"));
}

#[test]
fn sequences_are_the_same() {
    let dir = temp_dir();
    sequences_agree(&both(dir.path()));
}

#[test]
fn sequences_are_the_same_over_many_records() {
    let dir = temp_dir();
    sequences_agree(&both_of(dir.path(), MANY));
}

fn sequences_agree(server: &Server) {
    let steps = json!(["step = 'view'", "step = 'cart'", "step = 'buy'"]);
    for (path, body) in [
        ("funnel", json!({"by": "user", "steps": steps})),
        ("funnel", json!({"by": "user", "steps": steps, "within": "2d", "where": "country <> 'IT'"})),
        (
            "retention",
            json!({"by": "user", "period": "week", "range": {"from": "2026-03-02", "to": "2026-03-23"}}),
        ),
        ("paths", json!({"by": "user", "step": "step", "depth": 3, "limit": 20})),
    ] {
        let ask = |dataset: &str| {
            let mut body = body.clone();
            body["from"] = json!(dataset);
            let reply = server.post(&format!("/v1/{path}"), body.to_string());
            assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
            Table::parse(&reply.text())
        };
        assert_same_rows(&format!("{path} {body}"), &ask("r").rows, &ask("e").rows);
    }
    let sessions = |dataset: &str| {
        let sql = format!("SELECT count(*), sum(events) FROM sessions({dataset}, by => user, gap => '30m')");
        let reply = server.post("/v1/sql", json!({ "sql": sql }).to_string());
        (reply.status, if reply.status == 200 { Table::parse(&reply.text()).rows } else { Vec::new() })
    };
    assert_eq!(sessions("r"), sessions("e"));
}

#[test]
fn records_join_events() {
    let dir = temp_dir();
    let server = both(dir.path());
    declare(
        &server,
        "people",
        &json!({"kind": "records", "key": "name", "fields": {"name": {"type": "string"}}}),
    );
    let plan = |n: u32| if n.is_multiple_of(2) { "free" } else { "pro" };
    let people: Vec<Value> = (0..60).map(|n| json!({"name": format!("u{n}"), "plan": plan(n)})).collect();
    taken(&server, "people", &json!(people));
    for question in [
        "SELECT p.plan, count(*), sum(d.ms) FROM d JOIN people p ON p.name = d.user GROUP BY 1 ORDER BY 1",
        "SELECT p.plan, count(*) FROM d LEFT JOIN people p ON p.name = d.user GROUP BY 1 ORDER BY 1",
        "SELECT count(*) FROM people WHERE name NOT IN (SELECT user FROM d WHERE country = 'DE')",
        "WITH n AS (SELECT user, count(*) AS visits FROM d GROUP BY 1) SELECT plan, avg(visits) FROM n JOIN people ON name = user GROUP BY 1 ORDER BY 1",
        "SELECT n, row_number() OVER (PARTITION BY country ORDER BY price DESC, n) AS place FROM d ORDER BY n LIMIT 20",
        "SELECT user FROM d WHERE country = 'IT' INTERSECT SELECT name FROM people ORDER BY 1",
    ] {
        let ask = |dataset: &str| {
            server.sql(&question.replace("FROM d", &format!("FROM {dataset} d").replace(" d d", " d")))
        };
        assert_same_rows(question, &ask("r").rows, &ask("e").rows);
    }
    let together = server.sql("SELECT count(*), sum(abs(e.price - r.price)) FROM e JOIN r ON e.n = r.n");
    assert_same_rows("events beside records", &together.rows, &[vec![json!(900), json!(0.0)]]);
}

#[test]
fn answers_follow_changes_at_once() {
    for rows in [900, MANY] {
        let dir = temp_dir();
        let server = both_of(dir.path(), rows);
        let sum = || server.sql("SELECT step, count(*), sum(price) FROM r GROUP BY 1 ORDER BY 1").rows;
        let before = sum();
        taken(
            &server,
            "r",
            &json!([{"n": 50_000, "country": "DE", "at": "2026-03-01", "step": "new", "price": 2}]),
        );
        assert_eq!(sum().len(), before.len() + 1, "{rows} rows");
        let of = |text: &str| format!("/v1/datasets/r/records?{}", crate::condition(text));
        crate::send(&server, "PATCH", &of("n = 50000"), &json!({"price": 3})).ok();
        let new = sum().into_iter().find(|row| row[0] == "new").unwrap();
        assert_same_rows("changed", &[new], &[vec![json!("new"), json!(1), json!(3)]]);
        crate::send(&server, "DELETE", &of("n = 50000"), &Value::Null).ok();
        assert_same_rows("as before", &sum(), &before);
    }
}

#[test]
fn the_command_line_asks_records_beside_a_server_and_after_a_restart() {
    let dir = temp_dir();
    let server = both(dir.path());
    let asked = |dir: &Path| {
        let counted = sql(dir, "SELECT country, count(*), sum(ms) FROM r GROUP BY 1 ORDER BY 1").rows;
        let query =
            json!({"from": "r", "select": ["count()"], "by": ["step"], "order": ["step"]}).to_string();
        let queried = Table::parse(&run(dir, &["query", &query, "--format", "json"]).exits(0).stdout).rows;
        let lines =
            run(dir, &["export", "r", "--where", "n < 20", "--fields", "n,country,ms,tags"]).exits(0).stdout;
        let csv = run(dir, &["export", "r", "--format", "csv", "--fields", "n,price"]).exits(0).stdout;
        assert_eq!((lines.lines().count(), csv.lines().count()), (20, 901));
        let exported: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (counted, queried, exported)
    };
    let beside = asked(dir.path());
    assert_eq!(server.stop(), 0);
    assert_eq!(asked(dir.path()), beside);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.sql("SELECT country, count(*), sum(ms) FROM r GROUP BY 1 ORDER BY 1").rows, beside.0);
    let listed = run(dir.path(), &["--json", "datasets"]).exits(0).stdout;
    assert!(listed.contains("\"records\""), "{listed}");
    run(dir.path(), &["export", "r", "--format", "parquet", "--output", "r.parquet"]);
    server.kill_nine();
    run(dir.path(), &["backup", "copy.db"]).exits(0);
    run(dir.path(), &["optimize"]).exits(0);
    run(dir.path(), &["check"]).exits(0);
    assert_eq!(asked(dir.path()), beside);
}
