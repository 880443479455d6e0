//! Events in over HTTP, as the contract says: what is taken, what is rejected with which words, and what comes back.
//!
//! `values`: what was posted comes back as it came. `bad`: input that no program should send, each with its way
//! out. `time`: which field becomes `_time`. This file: bodies, encodings, replies, names and routes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod bad;
mod time;
mod values;

use serde_json::json;

use common::{Server, assert_says, assert_says_one_of, gzip, temp_dir, zstd};

const EVENTS: &str = "/v1/datasets/events/events";

#[test]
fn an_object_an_array_and_lines_are_three_ways_to_say_the_same() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let bodies = [
        (r#"{"n":1,"who":"ann"}"#, 1),
        (r#" [{"n":2,"who":"bob"}, {"n":3,"who":"cid"}] "#, 2),
        ("{\"n\":4,\"who\":\"dan\"}\n{\"n\":5,\"who\":\"eve\"}\n", 2),
        ("{\"n\":6,\"who\":\"fay\"}\r\n\r\n{\"n\":7,\"who\":\"gus\"}", 2),
        ("{\n  \"n\": 8,\n  \"who\": \"hal\"\n}\n", 1),
    ];
    for (body, count) in bodies {
        let reply = server.events("events", body).ok();
        assert_eq!(reply, json!({ "accepted": count, "duplicates": 0, "rejected": [] }), "{body:?}");
    }
    let rows = server.rows("events", "n,who");
    let names = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"];
    let wanted: Vec<_> = names.iter().zip(1..).map(|(who, n)| json!({ "n": n, "who": who })).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn a_body_is_told_by_its_first_byte_not_by_its_content_type() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for kind in
        ["application/json", "application/x-ndjson", "text/plain", "application/x-www-form-urlencoded", "x"]
    {
        for body in [r#"{"n":1}"#, r#"[{"n":1}]"#, "{\"n\":1}\n{\"n\":2}"] {
            let reply = client.send("POST", EVENTS, &[("Content-Type", kind)], body.as_bytes());
            assert_eq!(reply.status, 200, "{kind} {body:?}: {}", reply.text());
        }
    }
    assert_eq!(server.count("events"), 5 * 4);
}

#[test]
fn gzip_and_zstd_bodies_are_taken() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    let lines: String = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    for (encoding, body) in
        [("gzip", gzip(lines.as_bytes())), ("zstd", zstd(lines.as_bytes())), ("GZIP", gzip(lines.as_bytes()))]
    {
        let reply = client.send("POST", EVENTS, &[("Content-Encoding", encoding)], &body).ok();
        assert_eq!(reply["accepted"], 5_000, "{encoding}: {reply}");
    }
    let table = server.sql("SELECT count(*), sum(n), uniq(n) FROM events");
    assert_eq!(table.rows, [[json!(15_000), json!(3 * 12_497_500), json!(5_000)]]);
}

#[test]
fn a_gzip_body_of_several_members_is_one_body() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let body = [gzip(b"{\"n\":1}\n"), gzip(b"{\"n\":2}\n")].concat();
    let reply = server.client().send("POST", EVENTS, &[("Content-Encoding", "gzip")], &body).ok();
    assert_eq!(reply["accepted"], 2, "{reply}");
}

#[test]
fn a_large_reply_is_compressed_when_asked_for() {
    use std::io::Read as _;
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let lines: String = (0..500).map(|n| format!("{{\"n\":{n},\"text\":\"the same again\"}}\n")).collect();
    server.accepted("events", lines);
    let path = "/v1/datasets/events/rows?limit=500&order=n&fields=n,text";
    let plain = server.get(path).ok();
    let reply = server.client().send("GET", path, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(reply.header("content-encoding"), Some("gzip"), "{:?}", reply.headers);
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(reply.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["rows"], plain["rows"]);
    let small = server.client().send("GET", "/healthz", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((small.status, small.header("content-encoding")), (200, None));
}

#[test]
fn bad_items_are_rejected_by_their_index_and_the_rest_is_kept() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let reply = server.events("events", r#"[{"n":0}, 7, {"n":2}, "text", null, [{"n":5}], {"n":6}]"#).ok();
    assert_eq!(reply["accepted"], 3, "{reply}");
    let rejected = reply["rejected"].as_array().unwrap();
    let places: Vec<_> = rejected.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 3, 4, 5]);
    for item in rejected {
        assert_says(item["message"].as_str().unwrap(), &["object"]);
    }
    assert_eq!(server.rows("events", "n"), [json!({"n":0}), json!({"n":2}), json!({"n":6})]);

    let reply = server.events("lines", "{\"n\":0}\nnonsense\n{\"n\":2}\n{\"n\":\n{\"n\":4}\n").ok();
    assert_eq!(reply["accepted"], 3, "{reply}");
    let rejected = reply["rejected"].as_array().unwrap();
    let places: Vec<_> = rejected.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 3]);
    assert_eq!(server.rows("lines", "n"), [json!({"n":0}), json!({"n":2}), json!({"n":4})]);
}

#[test]
fn where_no_item_can_be_read_nothing_is_kept_and_each_is_told() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (problem, _) = server.events("events", "[1, 2, 3]").problem(400);
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {problem}"));
    assert_eq!(errors.len(), 3, "{problem}");
    for (error, index) in errors.iter().zip(0..) {
        assert_eq!(error["index"], index, "{problem}");
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{problem}");
    }
    for body in ["nonsense", "{\"n\":", "[{\"n\":1}", "\"text\"", "{]", "\0\0\0\0"] {
        server.events("events", body).problem(400);
    }
    server.get("/v1/datasets/events").problem(404);
    assert_eq!(server.count("events"), 0);
}

#[test]
fn an_empty_body_is_a_mistake_and_an_empty_array_keeps_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (_, detail) = server.events("events", "").problem(400);
    assert_says(&detail, &["empty"]);
    server.events("events", " \r\n\n\t ").problem(400);
    let reply = server.events("events", "[]");
    match reply.status {
        200 => assert_eq!(reply.json()["accepted"], 0),
        _ => drop(reply.problem(400)),
    }
    assert_eq!(server.count("events"), 0);
}

#[test]
fn an_acknowledged_event_is_there_for_the_next_query() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (mut writer, mut reader) = (server.client(), server.client());
    let question = json!({ "sql": "SELECT count(*) AS n, max(n) AS last FROM events" }).to_string();
    for n in 1..=200 {
        writer.send("POST", EVENTS, &[], format!("{{\"n\":{n}}}").as_bytes()).ok();
        let reply = reader.send("POST", "/v1/sql", &[], question.as_bytes()).ok();
        assert_eq!(reply["rows"], json!([[n, n]]));
    }
}

#[test]
fn an_unknown_content_encoding_is_415_and_names_those_that_are_known() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for encoding in ["br", "deflate", "compress", "gzip-ish"] {
        let reply = server.client().send("POST", EVENTS, &[("Content-Encoding", encoding)], b"{\"n\":1}");
        let (_, detail) = reply.problem(415);
        assert_says(&detail, &[encoding, "gzip", "zstd"]);
    }
    let identity = server.client().send("POST", EVENTS, &[("Content-Encoding", "identity")], b"{\"n\":1}");
    assert_eq!(identity.status, 200, "{}", identity.text());
    assert_eq!(server.count("events"), 1);
}

#[test]
fn a_body_over_64_mib_is_413_and_the_server_lives_on() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut body = vec![b' '; 64 * 1024 * 1024];
    body.extend_from_slice(b"{\"n\":1}");
    let (_, detail) = server.events("events", body).problem(413);
    assert_says(&detail, &["64 MiB"]);
    assert_eq!(server.accepted("events", "{\"n\":2}"), 1);
    assert_eq!(server.count("events"), 1);
}

#[test]
fn a_small_body_that_inflates_without_end_is_413_in_bounded_memory() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let gibibyte = std::io::Read::take(std::io::repeat(b' '), 1 << 30);
    let body = zstd::stream::encode_all(gibibyte, 1).unwrap();
    assert!(body.len() < 1024 * 1024, "the bomb is small: {}", body.len());
    let reply = server.client().send("POST", EVENTS, &[("Content-Encoding", "zstd")], &body);
    let (_, detail) = reply.problem(413);
    assert_says_one_of(&detail, &["inflate", "decompress", "uncompressed"]);
    let peak = server.peak_kib();
    assert!(peak < 700 * 1024, "{} MiB of memory for one gibibyte of spaces", peak / 1024);
}

#[test]
fn a_dataset_name_that_is_none_is_refused_with_the_rule() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let long = "a".repeat(64);
    for name in ["Events", "1st", "page-views", "caf%C3%A9", "a%20b", "a.b", "a%22b", long.as_str()] {
        let (_, detail) = server.events(name, "{\"n\":1}").problem(400);
        assert_says(&detail, &["name", "a-z"]);
    }
    assert_eq!(server.accepted(&"a".repeat(63), "{\"n\":1}"), 1);
    assert_eq!(server.accepted("a1_b2", "{\"n\":1}"), 1);
}

#[test]
fn a_dataset_of_the_engine_is_not_written_from_outside() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for name in ["_requests", "_mine"] {
        let reply = server.events(name, "{\"n\":1}");
        let status = if reply.status == 403 { 403 } else { 400 };
        let (_, detail) = reply.problem(status);
        assert_says(&detail, &["_"]);
    }
}

#[test]
fn a_method_that_a_route_does_not_know_is_405_with_those_it_does() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for (method, path, allowed) in [
        ("PUT", EVENTS, "POST"),
        ("PATCH", EVENTS, "POST"),
        ("GET", "/v1/sql", "POST"),
        ("DELETE", "/v1/query", "POST"),
        ("POST", "/v1/datasets", "GET"),
        ("POST", "/v1/datasets/events/rows", "GET"),
        ("POST", "/v1/datasets/events", "PUT"),
    ] {
        let reply = client.send(method, path, &[], b"{}");
        reply.problem(405);
        let allow = reply.header("allow").unwrap_or_else(|| panic!("{method} {path}: no Allow"));
        assert!(allow.split(',').any(|m| m.trim() == allowed), "{method} {path}: Allow: {allow}");
        assert!(!allow.split(',').any(|m| m.trim() == method), "{method} {path}: Allow: {allow}");
    }
}

#[test]
fn a_route_that_is_none_is_404_and_a_problem() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for path in ["/v1/nothing", "/v2/datasets", "/v1/datasets/events/nothing", "/v1/datasets/events/events/1"]
    {
        let (_, detail) = server.get(path).problem(404);
        assert!(
            !detail.contains(env!("CARGO_MANIFEST_DIR")),
            "a problem leaks no place of the machine: {detail}"
        );
    }
    server.get("/v1/datasets/unseen").problem(404);
    server.get("/v1/datasets/unseen/rows").problem(404);
}

#[test]
fn a_dataset_is_declared_listed_described_and_dropped() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    let declared =
        client.send("PUT", "/v1/datasets/visits", &[], br#"{"fields":{"n":{"type":"int"}},"time":"seen"}"#);
    assert!((200..300).contains(&declared.status), "{}", declared.text());
    server.accepted("visits", r#"{"n":1,"seen":"2024-03-01T12:00:00Z","ts":"1999-01-01T00:00:00Z"}"#);
    assert_eq!(server.type_of("visits", "n").as_deref(), Some("int"));
    assert_eq!(server.type_of("visits", "seen").as_deref(), Some("time"));
    let row = &server.rows("visits", "_time")[0];
    assert_eq!(common::micros(&row["_time"]), common::micros_of("2024-03-01T12:00:00Z").unwrap());
    assert_eq!(server.get("/v1/datasets/visits").ok()["rows"], 1);
    let listed = server.get("/v1/datasets");
    assert!(listed.status == 200 && listed.text().contains("\"visits\""), "{}", listed.text());

    let dropped = client.send("DELETE", "/v1/datasets/visits", &[], b"");
    assert!((200..300).contains(&dropped.status), "{}", dropped.text());
    server.get("/v1/datasets/visits").problem(404);
    assert!(!server.get("/v1/datasets").text().contains("\"visits\""));
    client.send("DELETE", "/v1/datasets/visits", &[], b"").problem(404);

    server.accepted("visits", r#"{"other":true}"#);
    assert_eq!(server.count("visits"), 1, "what was dropped stays dropped when the name is used again");
}

#[test]
fn a_declaration_that_is_wrong_is_refused_with_its_place() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for (body, word) in [
        (r#"{"fields":{"n":{"type":"integr"}}}"#, "integr"),
        (r#"{"feilds":{}}"#, "feilds"),
        (r#"{"kind":"tables"}"#, "tables"),
        ("[1]", "object"),
        ("{", ""),
    ] {
        let reply = server.client().send("PUT", "/v1/datasets/visits", &[], body.as_bytes());
        let (_, detail) = reply.problem(400);
        assert_says(&detail, &[word]);
    }
    server.get("/v1/datasets/visits").problem(404);
}
