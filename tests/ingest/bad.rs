//! Input that no program should send: each ends in a rejection that says what is wrong, and the rows beside it live.

use serde_json::json;

use crate::common::{Server, assert_says, assert_says_one_of, gzip, temp_dir};

const EVENTS: &str = "/v1/datasets/events/events";

/// Posts a bad line between two good ones: the good ones are kept, and the message on the bad one comes back.
#[track_caller]
fn rejection(server: &Server, bad: &[u8]) -> String {
    let before = server.count("events");
    let body = [b"{\"n\":1}\n", bad, b"\n{\"n\":2}\n"].concat();
    let reply = server.events("events", body).ok();
    assert_eq!(reply["accepted"], 2, "{reply}");
    assert_eq!(server.count("events"), before + 2);
    let rejected = reply["rejected"].as_array().unwrap();
    assert_eq!((rejected.len(), &rejected[0]["index"]), (1, &json!(1)), "{reply}");
    rejected[0]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_duplicate_key_rejects_its_row_and_is_named() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    assert_says(&rejection(&server, br#"{"colour":1,"b":2,"colour":3}"#), &["duplicate", "colour"]);
    assert_says(&rejection(&server, br#"{"in":{"colour":1,"colour":1}}"#), &["duplicate", "colour"]);
    assert_says(&rejection(&server, br#"{"a":1,"\u0061":2}"#), &["duplicate", "a"]);
    let twice_by_its_path = rejection(&server, br#"{"in":{"colour":1},"in.colour":2}"#);
    assert_says(&twice_by_its_path, &["duplicate", "in.colour"]);
}

#[test]
fn nan_and_infinity_reject_their_row() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for bad in ["NaN", "Infinity", "-Infinity", "nan"] {
        let message = rejection(&server, format!("{{\"x\":{bad}}}").as_bytes());
        assert!(!message.is_empty());
    }
}

#[test]
fn a_number_beyond_every_float_rejects_its_row() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for bad in ["1e400", "-1e400", "1.5e309"] {
        assert_says(&rejection(&server, format!("{{\"x\":{bad}}}").as_bytes()), &["number"]);
    }
    let reply = server.events("events", r#"[{"x":1},{"x":1e999},{"x":1e-400}]"#).ok();
    assert_eq!((&reply["accepted"], &reply["rejected"][0]["index"]), (&json!(2), &json!(1)), "{reply}");
}

#[test]
fn a_number_that_json_does_not_know_rejects_its_row() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for bad in ["01", "+1", ".5", "1.", "0x10", "1e", "--1", "1_000"] {
        rejection(&server, format!("{{\"x\":{bad}}}").as_bytes());
    }
}

#[test]
fn a_lone_surrogate_rejects_its_row_and_a_pair_is_a_character() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for bad in [r#"{"x":"\ud800"}"#, r#"{"x":"\udc00 after"}"#, r#"{"x":"\ud800\u0041"}"#, r#"{"\udfff":1}"#]
    {
        assert_says_one_of(&rejection(&server, bad.as_bytes()), &["surrogate", "unicode"]);
    }
    server.accepted("good", r#"{"x":"\ud83c\udf0d"}"#);
    assert_eq!(server.rows("good", "x"), [json!({"x": "🌍"})]);
}

#[test]
fn deep_nesting_rejects_its_row_and_never_ends_the_server() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let arrays = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for depth in [200, 100_000] {
        for bad in [objects(depth), arrays(depth)] {
            assert_says_one_of(&rejection(&server, bad.as_bytes()), &["nest", "deep", "levels"]);
        }
    }
    assert_eq!(server.accepted("good", objects(20)), 1);
    assert_eq!(server.accepted("good", arrays(20)), 1);
    server.events("events", "[".repeat(1_000_000)).problem(400);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn invalid_utf_8_rejects_its_row() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for bad in
        [&b"{\"x\":\"\xff\"}"[..], b"{\"x\":\"caf\xe9\"}", b"{\"\xc3\x28\":1}", b"{\"x\":\"\xed\xa0\x80\"}"]
    {
        assert_says(&rejection(&server, bad), &["UTF-8"]);
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for body in ["\u{feff}{\"n\":1}", "\u{feff}[{\"n\":1}]", "\u{feff}{\"n\":1}\n{\"n\":2}\n"] {
        server.accepted("events", body);
    }
    assert_eq!(server.rows("events", "n").len(), 4);
    let text = server.get("/v1/datasets/events").text();
    assert!(!text.contains('\u{feff}') && !text.contains("\\ufeff"), "no field has it in its name: {text}");
}

#[test]
fn utf_16_is_refused_by_its_name() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let text = "{\"n\":1}";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for body in [[b"\xff\xfe", &little[..]].concat(), [b"\xfe\xff", &big[..]].concat(), little, big] {
        let (_, detail) = server.events("events", body).problem(400);
        assert_says(&detail, &["UTF-16", "UTF-8"]);
    }
    assert_eq!(server.count("events"), 0);
}

#[test]
fn a_body_that_is_not_what_its_encoding_says_keeps_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let whole = gzip(lines.as_bytes());
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 16].fill(0x55);
    let zstd = crate::common::zstd(lines.as_bytes());
    for (encoding, body) in [
        ("gzip", &whole[..whole.len() / 2]),
        ("gzip", &whole[..whole.len() - 4]),
        ("gzip", &damaged),
        ("gzip", b"{\"n\":1}\n"),
        ("gzip", b""),
        ("zstd", &zstd[..zstd.len() / 2]),
        ("zstd", &whole),
    ] {
        let reply = server.client().send("POST", EVENTS, &[("Content-Encoding", encoding)], body);
        let (_, detail) = reply.problem(400);
        assert_says_one_of(&detail, &[encoding, "empty"]);
        assert_eq!(server.count("events"), 0);
    }
}

#[test]
fn a_gzip_body_without_its_header_is_told_as_such() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (_, detail) = server.events("events", gzip(b"{\"n\":1}\n")).problem(400);
    assert_says(&detail, &["Content-Encoding"]);
}

#[test]
fn too_many_field_names_end_in_rejections_that_say_so() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    // 110 batches of 10 events with 100 names of their own each: 110,000 names
    let mut client = server.client();
    let (mut accepted, mut messages) = (0, Vec::new());
    for batch in 0..110 {
        let events: Vec<_> = (0..10)
            .map(|event| {
                let names = (0..100).map(|n| (format!("f{batch}_{event}_{n}"), json!(n)));
                serde_json::Value::Object(names.collect())
            })
            .collect();
        let reply = client.send("POST", EVENTS, &[], json!(events).to_string().as_bytes());
        let json = reply.json();
        if reply.status == 200 {
            accepted += json["accepted"].as_u64().unwrap();
            messages.extend(json["rejected"].as_array().unwrap().iter().cloned());
        } else {
            reply.problem(400);
            messages.extend(json["errors"].as_array().unwrap().iter().cloned());
        }
    }
    assert_eq!(accepted + messages.len() as u64, 1_100, "every event is accepted or rejected");
    assert!((1..=1_000).contains(&accepted), "{accepted} events with 100 names each were kept");
    for message in &messages {
        let message = message["message"].as_str().unwrap();
        assert_says(message, &["field"]);
        assert_says_one_of(message, &["distinct", "many", "limit", "at most"]);
    }
    let known = server.get("/v1/datasets/events").ok()["fields"].as_array().unwrap().len();
    assert!(known <= 100_010, "{known} fields");
    assert_eq!(server.accepted("events", r#"{"f0_0_0":7}"#), 1, "events of known names go on");
    assert_eq!(server.sql("SELECT sum(f0_0_0) FROM events").cell(), 7);
    let peak = server.peak_kib();
    assert!(peak < 1024 * 1024, "{} MiB of memory", peak / 1024);
}

#[test]
fn a_name_without_end_is_rejected_or_kept_but_breaks_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let event = format!("{{\"n\":1}}\n{{\"{}\":1}}\n", "x".repeat(1_000_000));
    let reply = server.events("events", event).ok();
    assert!(reply["accepted"].as_u64().unwrap() >= 1, "{reply}");
    assert_eq!(server.count("events"), reply["accepted"].as_u64().unwrap());
}

#[test]
fn requests_that_are_no_http_get_an_answer_or_a_closed_door() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for raw in [
        "NONSENSE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /v1/sql HTTP/1.1\r\nHost: x\r\nContent-Length: minus one\r\nConnection: close\r\n\r\n",
        "GET /v1/datasets/%ZZ/rows HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /v1/datasets/x/rows?where=%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ] {
        if let Ok(reply) = server.client().exchange(raw.as_bytes().to_vec()) {
            assert!((400..500).contains(&reply.status) || reply.status == 505, "{raw:?}: {}", reply.status);
        }
        assert_eq!(server.get("/healthz").status, 200, "after {raw:?}");
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_a_body_leaves_nothing() {
    use std::io::Write as _;
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for _ in 0..20 {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        let head = format!("POST {EVENTS} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"{\"n\":1}\n{\"n\":2}\n").unwrap();
        drop(stream);
    }
    server.accepted("other", r#"{"n":1}"#);
    assert_eq!(server.count("events"), 0, "a body is whole or nothing");
}
