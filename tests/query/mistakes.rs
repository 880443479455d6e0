//! Questions that cannot be answered: the status, and what the message must tell.

use serde_json::{Value, json};

use crate::common::{Server, assert_says, assert_says_one_of, encode, run, temp_dir};

fn server(dir: &std::path::Path) -> Server {
    let server = Server::start(dir, &[]);
    server.accepted("visits", r#"[{"country":"DE","device":"phone","duration_ms":5},{"country":"FR"}]"#);
    server
}

/// The detail of a refused SQL question.
#[track_caller]
fn refused(server: &Server, status: u16, sql: &str) -> String {
    server.post("/v1/sql", json!({ "sql": sql }).to_string()).problem(status).1
}

#[test]
fn an_unknown_field_is_refused_with_the_nearest_names() {
    let dir = temp_dir();
    let server = server(dir.path());
    for sql in [
        "SELECT contry FROM visits",
        "SELECT count(*) FROM visits WHERE contry = 'DE'",
        "SELECT contry, count(*) FROM visits GROUP BY contry",
        "SELECT country FROM visits ORDER BY contry",
        "SELECT sum(contry) FROM visits",
    ] {
        assert_says(&refused(&server, 400, sql), &["contry", "\"country\""]);
    }
    let query = json!({"from": "visits", "select": ["avg(duration)"]}).to_string();
    assert_says(&server.post("/v1/query", query).problem(400).1, &["duration", "duration_ms"]);
    let query = json!({"from": "visits", "select": ["count()"], "by": ["devise"]}).to_string();
    assert_says(&server.post("/v1/query", query).problem(400).1, &["devise", "device"]);
    let path = format!("/v1/datasets/visits/rows?where={}", encode("contry = 'DE'"));
    assert_says(&server.get(&path).problem(400).1, &["contry", "country"]);
    assert_says(&server.get("/v1/datasets/visits/rows?fields=contry").problem(400).1, &["contry", "country"]);
    assert_says(&server.get("/v1/datasets/visits/rows?order=-contry").problem(400).1, &["contry", "country"]);
}

#[test]
fn an_unknown_dataset_is_404_with_the_nearest_names() {
    let dir = temp_dir();
    let server = server(dir.path());
    assert_says(&refused(&server, 404, "SELECT 1 FROM vists"), &["vists", "visits"]);
    let query = json!({"from": "vists", "select": ["count()"]}).to_string();
    assert_says(&server.post("/v1/query", query).problem(404).1, &["vists", "visits"]);
    assert_says(&server.get("/v1/datasets/vists/rows").problem(404).1, &["vists"]);
    drop(server);
    let ran = run(dir.path(), &["sql", "SELECT 1 FROM vists"]).exits(1);
    assert_says(&ran.stderr, &["vists", "visits"]);
}

#[test]
fn malformed_sql_is_refused_with_its_place() {
    let dir = temp_dir();
    let server = server(dir.path());
    for sql in [
        "SELECT FROM visits WHERE",
        "SELECT country FROM visits WHERE country = = 'DE'",
        "SELEKT country FROM visits",
        "SELECT country FROM visits GROUP",
        "SELECT (country FROM visits",
        "SELECT 'open FROM visits",
    ] {
        let detail = refused(&server, 400, sql);
        assert_says_one_of(&detail, &["column", "position"]);
        assert!(detail.contains(|c: char| c.is_ascii_digit()), "the place is a number: {detail}");
    }
    for sql in ["", " ; ", "-- nothing"] {
        refused(&server, 400, sql);
    }
    let query = json!({"from": "visits", "select": ["count()"], "where": "country = = 'DE'"}).to_string();
    assert_says(&server.post("/v1/query", query).problem(400).1, &["where"]);
}

#[test]
fn a_condition_that_is_none_is_refused() {
    let dir = temp_dir();
    let server = server(dir.path());
    for condition in
        ["country", "duration_ms", "duration_ms + 1", "-duration_ms", "_time - 5", "duration_ms // 2", "7"]
    {
        let sql = format!("SELECT count(*) FROM visits WHERE {condition}");
        assert_says(&refused(&server, 400, &sql), &["where needs a condition that is true or false"]);
        let path = format!("/v1/datasets/visits/rows?where={}", encode(condition));
        assert_says(&server.get(&path).problem(400).1, &["needs a condition"]);
    }
}

#[test]
fn a_write_or_a_second_statement_is_refused() {
    let dir = temp_dir();
    let server = server(dir.path());
    for sql in [
        "DELETE FROM visits",
        "INSERT INTO visits (country) VALUES ('XX')",
        "UPDATE visits SET country = 'XX'",
        "DROP TABLE visits",
        "CREATE TABLE t (x)",
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA user_version = 7",
        "VACUUM",
        "BEGIN",
        "SELECT 1 FROM visits; DELETE FROM visits",
        "WITH gone AS (DELETE FROM visits RETURNING *) SELECT * FROM gone",
    ] {
        let detail = refused(&server, 400, sql);
        assert_says(&detail, &["SELECT"]);
    }
    assert_eq!(server.count("visits"), 2);
    drop(server);
    run(dir.path(), &["sql", "DELETE FROM visits"]).exits(1);
}

#[test]
fn the_tables_of_the_engine_are_nobodys_to_read() {
    let dir = temp_dir();
    let server = server(dir.path());
    for table in ["sqlite_master", "sqlite_schema", "log", "dataset", "meta", "main.log", "pragma_table_list"]
    {
        let reply = server.post("/v1/sql", json!({ "sql": format!("SELECT * FROM {table}") }).to_string());
        let status = if reply.status == 404 { 404 } else { 400 };
        reply.problem(status);
    }
}

#[test]
fn an_integer_that_overflows_is_an_error_not_a_wrong_number() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("t", format!("[{{\"x\":{0}}},{{\"x\":{0}}},{{\"x\":1}}]", i64::MAX));
    for sql in [
        "SELECT sum(x) FROM t",
        "SELECT x + 1 FROM t",
        "SELECT x * 2 FROM t",
        "SELECT -x - 2 FROM t",
        "SELECT sum(x + x) FROM t",
        "SELECT count(*) FROM t WHERE x + 1 > 0",
    ] {
        assert_says(&refused(&server, 400, sql), &["overflow"]);
    }
    assert_eq!(server.sql("SELECT max(x) FROM t").cell(), i64::MAX);
    assert_eq!(server.sql("SELECT sum(x) FROM t WHERE x = 1").cell(), 1);
    let average = server.sql("SELECT avg(x) FROM t").cell().as_f64().unwrap();
    assert!(
        (average / (i64::MAX as f64 * 2.0 / 3.0) - 1.0).abs() < 1e-9,
        "an average does not overflow: {average}"
    );
}

#[test]
fn a_query_with_a_wrong_part_is_refused_by_the_name_of_the_part() {
    let dir = temp_dir();
    let server = server(dir.path());
    for (query, word) in [
        (json!({"select": ["count()"]}), "from"),
        (json!({"from": "visits", "select": ["count()"], "limt": 3}), "limt"),
        (json!({"from": "visits", "select": ["cuont()"]}), "cuont"),
        (json!({"from": "visits", "select": ["count()"], "limit": -1}), "limit"),
        (json!({"from": "visits", "select": ["count()"], "limit": "ten"}), "limit"),
        (json!({"from": "visits", "select": ["count()"], "range": {"last": "soon"}}), "soon"),
        (json!({"from": "visits", "select": ["count()"], "range": {"from": "never"}}), "never"),
        (json!({"from": "visits", "select": ["count()"], "tz": "Europe/Berln"}), "Europe/Berln"),
        (json!({"from": "visits", "select": "count()"}), "select"),
        (json!({"from": "visits", "select": ["country"], "where": "count() > 1"}), "count"),
        (json!([1]), "object"),
    ] {
        let (_, detail) = server.post("/v1/query", query.to_string()).problem(400);
        assert_says(&detail, &[word]);
    }
}

#[test]
fn a_body_that_is_no_question_is_refused() {
    let dir = temp_dir();
    let server = server(dir.path());
    for path in ["/v1/sql", "/v1/query"] {
        for body in ["", "{", "nonsense", "null", "{}", "[]", "{\"sql\":7}", "\"SELECT 1\""] {
            server.post(path, body).problem(400);
        }
        server.post(path, b"{\"sql\":\"\xff\"}").problem(400);
    }
}

#[test]
fn questions_without_end_are_refused_and_the_server_lives_on() {
    let dir = temp_dir();
    let server = server(dir.path());
    let deep = format!("SELECT {}1{} FROM visits", "(".repeat(50_000), ")".repeat(50_000));
    refused(&server, 400, &deep);
    let deep = format!("SELECT {}1 FROM visits", "NOT ".repeat(50_000));
    refused(&server, 400, &deep);
    let deep = format!("SELECT count(*) FROM visits WHERE {}", vec!["country = 'x'"; 20_000].join(" OR "));
    let wide = server.post("/v1/sql", json!({ "sql": deep }).to_string());
    assert!([200, 400].contains(&wide.status), "{}", wide.text());
    let many = Value::from(vec!["count()"; 5_000]);
    let reply = server.post("/v1/query", json!({"from": "visits", "select": many}).to_string());
    assert!([200, 400].contains(&reply.status), "{}", reply.text());
    refused(&server, 400, "SELECT country REGEXP '((a{1000}){1000}){1000}' FROM visits");
    assert_eq!(server.count("visits"), 2);
}

#[test]
fn the_command_line_tells_a_wrong_question_on_stderr_and_exits_with_1() {
    let dir = temp_dir();
    drop(server(dir.path()));
    for args in [
        &["sql", "SELECT contry FROM visits"][..],
        &["sql", "SELECT FROM"],
        &["query", "{\"from\":\"visits\",\"select\":[\"nothing\"]}"],
        &["query", "{"],
    ] {
        let ran = run(dir.path(), args).exits(1);
        assert!(ran.stdout.is_empty(), "answers alone go to stdout: {}", ran.stdout);
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
}
