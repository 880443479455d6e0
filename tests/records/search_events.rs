//! Events found by their words: nothing is kept for it when they come in, newest first or the best of them.

use serde_json::{Value, json};

use crate::common::{Server, assert_says, encode, temp_dir};
use crate::{condition, declare, numbers, rows, search, texts, walk};

const MESSAGES: [&str; 6] = [
    "Connection refused by database",
    "User logged in",
    "Timeout of the database connection: connection lost",
    "Café opened",
    "Disk almost full",
    "connection closed",
];

/// 600 lines of a log; every sixth has the same message.
fn log(server: &Server) {
    declare(
        server,
        "log",
        &json!({"fields": {"message": {"type": "string"}}, "search": ["message^2", "tags"]}),
    );
    let lines: String = (0..600)
        .map(|n| {
            let time = format!("2026-03-01T{:02}:{:02}:00Z", n / 60, n % 60);
            let tags = if n % 2 == 0 { json!(["even", "all"]) } else { json!(["odd", "all"]) };
            let level = if n % 2 == 0 { "warn" } else { "info" };
            json!({"ts": time, "n": n, "message": MESSAGES[n % 6], "level": level, "tags": tags}).to_string()
                + "\n"
        })
        .collect();
    assert_eq!(server.accepted("log", lines), 600);
}

#[test]
fn the_newest_come_first_and_pages_go_through_all() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    let found = search(&server, "log", "connection", "&fields=n,message&limit=3");
    assert_eq!(numbers(&rows(&found), "n"), [599, 596, 594]);
    assert!(found["rows"][0].get("_score").is_none(), "{found}");
    assert_says(found["rows"][0]["_snippet"].as_str().unwrap(), &["<mark>connection</mark> closed"]);
    for limit in [7, 100, 10_000] {
        let found = walk(&server, "/v1/datasets/log/search", &format!("q=connection&fields=n&limit={limit}"))
            .concat();
        let wanted: Vec<i64> = (0..600).rev().filter(|n| [0, 2, 5].contains(&(n % 6))).collect();
        assert_eq!(numbers(&found, "n"), wanted, "limit={limit}");
    }
}

#[test]
fn the_language_is_that_of_records() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    for (q, wanted) in [
        ("connection database", 200),
        ("\"database connection\"", 100),
        ("conn* -database", 100),
        ("cafe OR disk", 200),
        ("tags:odd", 300),
        ("message:connection tags:even", 200),
        ("(cafe OR user) odd", 200),
        ("CAFÉ", 100),
    ] {
        let found = search(&server, "log", q, "&count=exact&limit=1");
        assert_eq!(found["total"], json!(wanted), "{q}: {found}");
    }
    let bad = search(&server, "log", "\"cafe", "&count=exact&limit=1");
    assert_eq!(bad["total"], json!(100));
    assert_says(&bad["notes"].to_string(), &["quote", "not closed"]);
}

#[test]
fn the_best_come_first_where_that_is_asked_for() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    let found = search(&server, "log", "connection", "&order=rank&limit=300&fields=n,message");
    assert_eq!(rows(&found).len(), 300);
    let scores: Vec<f64> = rows(&found).iter().map(|row| row["_score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|two| two[0] >= two[1]), "{scores:?}");
    let mut seen = numbers(
        &walk(&server, "/v1/datasets/log/search", "q=connection&order=rank&fields=n&limit=40").concat(),
        "n",
    );
    assert_eq!(seen, numbers(&rows(&found), "n"), "by pages as at once");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 300);
}

#[test]
fn facets_and_conditions_are_those_of_records() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    let found = search(&server, "log", "connection", "&facets=level,tags&limit=1");
    assert_eq!(
        found["facets"]["level"],
        json!([{"value": "warn", "count": 200}, {"value": "info", "count": 100}])
    );
    assert_eq!(
        found["facets"]["tags"],
        json!([{"value": "all", "count": 300}, {"value": "even", "count": 200}, {"value": "odd", "count": 100}])
    );
    let found = search(
        &server,
        "log",
        "connection",
        &format!("&count=exact&limit=1&{}", condition("level = 'info' and n >= 300")),
    );
    assert_eq!(found["total"], json!(50));
}

#[test]
fn a_typing_error_is_corrected_on_every_page() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    let first = search(&server, "log", "conection", "&fields=n&limit=10&facets=level");
    assert_eq!(first["corrected"]["conection"], json!(["connection"]), "{first}");
    let cursor = encode(first["next"].as_str().unwrap());
    let second =
        search(&server, "log", "conection", &format!("&fields=n&limit=10&facets=level&cursor={cursor}"));
    assert_eq!(rows(&second).len(), 10);
    let all = walk(&server, "/v1/datasets/log/search", "q=conection&fields=n&limit=37").concat();
    assert_eq!(numbers(&all, "n").len(), 300);
}

#[test]
fn a_corrected_search_is_told_marked_and_counted_on_every_page() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    log(&server);
    let first = search(&server, "log", "conection", "&fields=n&limit=10&facets=level");
    let cursor = encode(first["next"].as_str().unwrap());
    let second =
        search(&server, "log", "conection", &format!("&fields=n&limit=10&facets=level&cursor={cursor}"));
    assert_eq!(second["facets"], first["facets"], "facets count everything found on every page");
    assert_says(second["rows"][0]["_snippet"].as_str().unwrap_or("no snippet"), &["<mark>connection</mark>"]);
    assert_eq!(second["corrected"], first["corrected"]);
}

#[test]
fn a_search_of_a_field_that_no_event_has_yet_finds_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "visits", &json!({"search": ["later"]}));
    assert_eq!(search(&server, "visits", "docs", "")["rows"], json!([]));
    server.accepted("visits", "{\"path\": \"/docs/search\"}");
    assert_eq!(search(&server, "visits", "docs", "")["rows"], json!([]));
    server.accepted("visits", "{\"later\": \"docs\"}");
    assert_eq!(rows(&search(&server, "visits", "docs", "")).len(), 1);
}

#[test]
fn events_without_a_declared_search_are_refused_and_may_be_declared_any_time() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", "{\"path\": \"/docs/search\"}\n{\"path\": \"/other\"}");
    assert_says(&server.get("/v1/datasets/visits/search?q=docs").problem(400).1, &["declare", "search"]);
    declare(&server, "visits", &json!({"search": ["path"]}));
    assert_eq!(texts(&rows(&search(&server, "visits", "docs", "")), "path"), ["/docs/search"]);
    let wrong = json!({"fields": {"n": {"type": "int"}}, "search": ["n"]});
    crate::send(&server, "PUT", "/v1/datasets/visits", &wrong).problem(400);
    assert_eq!(server.count("visits"), 2);
}

#[test]
fn sealed_events_are_found_like_new_ones() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--seal-rows", "1000"]);
    log(&server);
    server.accepted(
        "log",
        (0..1_500)
            .map(|n| format!("{{\"ts\": \"2026-02-01\", \"n\": {}, \"message\": \"old\"}}\n", n + 1_000))
            .collect::<String>(),
    );
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &["--seal-rows", "1000"]);
    let found = search(&server, "log", "connection", "&count=exact&fields=n&limit=2");
    assert_eq!((numbers(&rows(&found), "n"), &found["total"]), (vec![599, 596], &json!(300)));
    assert_eq!(Value::Null, search(&server, "log", "zzzzzzzz", "")["next"]);
}
