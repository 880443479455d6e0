//! What HTTP asks of every server (RFC 9110), over a socket: HEAD, OPTIONS, conditions, codings, refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::common::{Server, gzip, temp_dir};

/// The head and the body of one reply, as they came.
fn raw(server: &Server, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
        .unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8(reply[..end].to_vec()).unwrap(), reply[end + 4..].to_vec())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[test]
fn head_is_get_without_its_body() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let lines: String = (0..500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    server.accepted("events", lines);
    for (path, headers) in [
        ("/healthz", ""),
        ("/", ""),
        ("/v1/datasets/events", ""),
        ("/v1/datasets/events/rows?limit=500", ""),
        ("/v1/datasets/events/rows?limit=500", "Accept: text/csv\r\nAccept-Encoding: gzip\r\n"),
        ("/openapi.json", "Accept-Encoding: zstd\r\n"),
        ("/v1/datasets/none", ""),
    ] {
        let (got, body) = raw(&server, "GET", path, headers);
        let (told, nothing) = raw(&server, "HEAD", path, headers);
        assert!(nothing.is_empty(), "{path}");
        for name in ["Content-Length", "Content-Type", "Content-Encoding", "ETag", "Vary", "Link"] {
            assert_eq!(header(&told, name), header(&got, name), "{path}: {name}");
        }
        assert_eq!(told.lines().next(), got.lines().next(), "{path}");
        assert_eq!(header(&got, "Content-Length"), Some(body.len().to_string().as_str()), "{path}");
    }
}

#[test]
fn every_path_tells_its_methods() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let document = server.get("/openapi.json").ok();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{dataset}", "d").replace("{key}", "k");
        let (head, body) = raw(&server, "OPTIONS", &path, "");
        assert!(head.starts_with("HTTP/1.1 204 ") && body.is_empty(), "{path}: {head}");
        let mut told: Vec<String> =
            header(&head, "Allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
        told.retain(|method| !matches!(method.as_str(), "head" | "options"));
        told.sort();
        let mut known: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
        known.sort();
        assert_eq!(told, known, "{path}");
    }
    assert!(raw(&server, "OPTIONS", "*", "").0.starts_with("HTTP/1.1 204 "));
    assert!(raw(&server, "OPTIONS", "/nothing", "").0.starts_with("HTTP/1.1 404 "));
    let (head, _) = raw(&server, "TRACE", "/v1/sql", "");
    assert!(head.starts_with("HTTP/1.1 405 ") && header(&head, "Allow") == Some("POST, OPTIONS"), "{head}");
}

#[test]
fn a_reply_that_the_client_has_is_not_sent_again_however_it_was_packed() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let plain = raw(&server, "GET", "/openapi.json", "").0;
    let packed = raw(&server, "GET", "/openapi.json", "Accept-Encoding: gzip\r\n").0;
    let tag = header(&plain, "ETag").unwrap();
    assert!(tag.starts_with("W/\""), "a weak one: {tag}");
    assert_eq!(header(&packed, "ETag"), Some(tag));
    for coding in ["", "Accept-Encoding: gzip\r\n"] {
        let (head, body) = raw(&server, "GET", "/openapi.json", &format!("If-None-Match: {tag}\r\n{coding}"));
        assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");
        assert_eq!((header(&head, "ETag"), header(&head, "Vary")), (Some(tag), Some("Accept-Encoding")));
        assert_eq!(header(&head, "Content-Encoding"), None);
    }
}

#[test]
fn what_a_client_refuses_it_does_not_get() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (_, told) = server.client().send("GET", "/v1/datasets", &[("Accept", "*/*;q=0")], b"").problem(406);
    assert!(told.contains("application/json"), "{told}");
    let headers = [("Accept-Encoding", "identity;q=0, gzip")];
    let small = server.client().send("GET", "/healthz", &headers, b"");
    assert_eq!((small.status, small.header("content-encoding")), (200, Some("gzip")));
    server.client().send("GET", "/healthz", &[("Accept-Encoding", "*;q=0")], b"").problem(406);
    // refused before anything is done
    let headers = [("Accept", "application/json;q=0")];
    server.client().send("POST", "/v1/datasets/visits/events", &headers, b"{\"n\":1}").problem(406);
    assert_eq!(server.count("visits"), 0);
}

#[test]
fn what_is_no_ascii_is_never_taken_for_another_key() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for key in ["k\u{e9}y", "\u{1f980}"] {
        let headers = [("Idempotency-Key", key)];
        let reply = server.client().send("POST", "/v1/datasets/visits/events", &headers, b"{\"n\":1}");
        let (_, told) = reply.problem(400);
        assert!(told.contains("printable ASCII"), "{told}");
    }
}

#[test]
fn bodies_that_cannot_be_unpacked_are_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let send = |coding: &str, body: &[u8]| {
        server.client().send("POST", "/v1/datasets/visits/events", &[("Content-Encoding", coding)], body)
    };
    send("br", b"{}").problem(415);
    send("gzip, gzip", &gzip(&gzip(b"{}"))).problem(415);
    let (_, told) = send("gzip", &gzip(&vec![b' '; (256 << 20) + 10])).problem(413);
    assert!(told.contains("256 MiB"), "{told}");
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(b"{\"n\":1}").unwrap();
    let (_, told) = send("zstd", &encoder.finish().unwrap()).problem(413);
    assert!(told.contains("window"), "{told}");
    assert_eq!(send("zstd", &zstd::encode_all(&b"{\"n\":1}"[..], 19).unwrap()).ok()["accepted"], 1);
}
