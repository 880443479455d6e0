//! Requests that are none, or that two servers could read differently: each is refused as RFC 9112 says, and nothing of it is
//! ever taken for another request, on its own connection or on another.

use std::fmt::Write as _;

use crate::common::{Client, Server, temp_dir};
use crate::{exchange, setting};

/// One message, and the statuses that are right for it.
pub struct Case {
    pub name: String,
    pub message: Vec<u8>,
    pub statuses: &'static [u16],
}

/// What would be a request by itself, where a body ends before the sender says.
const SMUGGLED: &str =
    "POST /v1/datasets/smuggled/events HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"n\":1}";
/// Where the attacks go: a route that takes bodies.
const PATH: &str = "/v1/datasets/target/events";

fn case(name: impl Into<String>, message: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Case {
    Case { name: name.into(), message: message.into(), statuses }
}

fn post(lines: &str, body: &str) -> String {
    format!("POST {PATH} HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}")
}

/// Lengths and encodings that contradict each other or cannot be read, before a body that holds a request.
fn framings() -> Vec<Case> {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let mut cases = Vec::new();
    let mut add = |lines: &str, statuses| {
        cases.push(case(lines.replace("\r\n", " | "), post(lines, &chunked), statuses))
    };
    for length in [
        "5", "0", "6", "1000", "+5", "-1", "5 ", "0x5", "5,5", "5, 6", "1e3", "٥", "", "\"5\"", "5;",
        "5\u{b}",
    ] {
        add(&format!("Content-Length: {length}\r\nContent-Length: 5"), &[400]);
        add(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), &[400]);
    }
    for length in ["+5", "-1", "0x5", "5,5", "5, 6", "5 6", "1e3", "٥", "", "\"5\"", "5;", "5\u{0}", "5\u{b}"]
    {
        add(&format!("Content-Length: {length}"), &[400]);
    }
    for length in [
        "67108865",
        "4294967296",
        "4611686018427387904",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        add(&format!("Content-Length: {length}"), &[413]);
    }
    for encoding in [
        "gzip",
        "identity",
        "xchunked",
        "chunked, gzip",
        "gzip, chunked",
        "chunked, chunked",
        "\"chunked\"",
        "chunked;q=1",
        "",
        "chunked\u{a0}",
        "cow",
        "identity, chunked",
    ] {
        add(&format!("Transfer-Encoding: {encoding}"), &[501, 400]);
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tfolded",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chunked\u{0}",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding:\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Content-Length: 5\nX: y",
        "Content-Length\u{0}: 5",
        "Content Length: 5",
        ": 5",
        "Content-Length",
        "Host: b",
        "Host:b\r\nHost: c",
    ] {
        add(lines, &[400]);
    }
    add("Expect: 100-continue-now\r\nContent-Length: 5", &[417]);
    cases
}

/// First lines that are none.
fn first_lines() -> Vec<Case> {
    let rest = format!("\r\nHost: a\r\nContent-Length: 0\r\n\r\n{SMUGGLED}");
    let mut cases = Vec::new();
    for (line, statuses) in [
        ("GET / HTTP/2.0", &[505][..]),
        ("GET / HTTP/1.2", &[505]),
        ("GET / HTTP/3", &[505]),
        ("GET / HTTP/0.9", &[505]),
        ("PRI * HTTP/2.0", &[505]),
        ("GET / HTTP/1.1.1", &[400]),
        ("GET / HTTP/1", &[505, 400]),
        ("GET / HTTP/1.10", &[400]),
        ("GET / http/1.1", &[400]),
        ("GET / HTTPS/1.1", &[400]),
        ("GET / ", &[400]),
        ("GET /", &[400]),
        ("GET", &[400]),
        ("", &[400]),
        ("GET  / HTTP/1.1", &[400]),
        ("GET\t/\tHTTP/1.1", &[400]),
        ("GET /  HTTP/1.1", &[400]),
        (" GET / HTTP/1.1", &[400]),
        ("GET / HTTP/1.1 ", &[400]),
        ("GET /a b HTTP/1.1", &[400]),
        ("GET /\u{0} HTTP/1.1", &[400]),
        ("GET /\u{7f} HTTP/1.1", &[400]),
        ("GET /é HTTP/1.1", &[400]),
        ("GET /#a HTTP/1.1", &[400]),
        ("GET a HTTP/1.1", &[400]),
        ("GET * HTTP/1.1", &[400]),
        ("GET ftp://a/ HTTP/1.1", &[400]),
        ("GET http://a@b/ HTTP/1.1", &[400]),
        ("GET http:// HTTP/1.1", &[400]),
        ("CONNECT a:80 HTTP/1.1", &[501]),
        ("G@T / HTTP/1.1", &[400]),
        ("{\"json\": 1}", &[400]),
        ("SSH-2.0-OpenSSH_9.6", &[400]),
    ] {
        cases.push(case(format!("line {line:?}"), format!("{line}{rest}"), statuses));
    }
    let long = "a".repeat(20 << 10);
    cases.push(case("a long target", format!("GET /{long} HTTP/1.1{rest}"), &[414]));
    cases.push(case("a long header", post(&format!("X: {long}{long}"), ""), &[431]));
    cases.push(case("many headers", post(&"X: y\r\n".repeat(200), ""), &[431]));
    cases.push(case("a long method", format!("{long} / HTTP/1.1{rest}"), &[400, 414, 431, 501]));
    cases.push(case("no host", "GET / HTTP/1.1\r\n\r\n", &[400]));
    cases.push(case("bare lines", "GET / HTTP/1.1\nHost: a\n\n", &[400]));
    cases.push(case("tls", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03aaaa\r\n\r\n".to_vec(), &[400]));
    cases.push(case("nothing but zeros", vec![0; 100], &[400]));
    cases
}

/// Chunked bodies that are none.
fn chunks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (body, statuses) in [
        ("x\r\n", &[400][..]),
        ("-1\r\nhello\r\n0\r\n\r\n", &[400]),
        ("+5\r\nhello\r\n0\r\n\r\n", &[400]),
        ("0x5\r\nhello\r\n0\r\n\r\n", &[400]),
        ("5 \u{1}\r\nhello\r\n0\r\n\r\n", &[400]),
        ("5\nhello\r\n0\r\n\r\n", &[400]),
        ("5\r\nhello\n0\r\n\r\n", &[400]),
        ("5\r\nhello0\r\n\r\n", &[400]),
        ("5\r\nhelloooo\r\n0\r\n\r\n", &[400]),
        ("4000001\r\n", &[413]),
        ("ffffffffffffffff\r\n", &[413]),
        ("10000000000000005\r\nhello\r\n", &[413]),
        ("fffffffffffffffffffffffffffffffffffffffffffffffffffffff\r\n", &[413]),
        ("\r\n5\r\nhello\r\n0\r\n\r\n", &[400]),
        ("0\r\nno trailer\r\n\r\n", &[400]),
        ("0\r\n: x\r\n\r\n", &[400]),
        ("0\r\nX: \u{0}\r\n\r\n", &[400]),
        ("0\r\nX: y\n\r\n", &[400]),
    ] {
        let message = post("Transfer-Encoding: chunked", &format!("{body}{SMUGGLED}"));
        cases.push(case(format!("chunks {body:?}"), message, statuses));
    }
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(5_000));
    cases.push(case("a long extension", post("Transfer-Encoding: chunked", &long), &[400]));
    let sizes = "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(5_000);
    cases.push(case("little but sizes", post("Transfer-Encoding: chunked", &sizes), &[400]));
    let trailers = format!("0\r\n{}\r\n", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(1_000));
    cases.push(case("long trailers", post("Transfer-Encoding: chunked", &trailers), &[431]));
    let old = format!("POST {PATH} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}");
    cases.push(case("chunks of an old client", old, &[400]));
    cases
}

/// Bodies that are well framed, and a bomb inside.
fn bombs() -> Vec<Case> {
    let zeros = vec![b' '; 300 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::bulk::compress(&zeros, 1).unwrap();
    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(30).unwrap();
    std::io::Write::write_all(&mut wide, b"{\"n\":1}").unwrap();
    let wide = wide.finish().unwrap();
    [
        ("gzip", gzip, &[413][..]),
        ("zstd", zstd, &[413]),
        ("zstd", wide, &[400, 413]),
        ("gzip", b"none".to_vec(), &[400]),
    ]
    .into_iter()
    .map(|(encoding, body, statuses)| {
        let lines =
            format!("Content-Encoding: {encoding}\r\nConnection: close\r\nContent-Length: {}", body.len());
        let message = [post(&lines, "").into_bytes(), body].concat();
        case(format!("a bomb of {encoding}"), message, statuses)
    })
    .collect()
}

pub fn cases() -> Vec<Case> {
    [framings(), first_lines(), chunks()].into_iter().flatten().collect()
}

/// The statuses of all replies in what came back.
pub fn statuses(replies: &str) -> Vec<u16> {
    replies
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, start)| replies[at + start.len()..].get(..3)?.parse().ok())
        .collect()
}

#[test]
fn each_is_refused_once_and_nothing_of_it_becomes_another_request() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--hosts", "a"]);
    server.accepted("known", "{\"n\":1}");
    let repeats = setting("WINDROW_HOSTILE_REPEATS", 3);
    let mut neighbour = server.client();
    let all = cases();
    assert!(all.len() >= 100, "{} cases", all.len());
    let mut wrong = String::new();
    for Case { name, message, statuses: right } in all {
        for _ in 0..repeats {
            let reply = exchange(&server.address, &message);
            let found = statuses(&reply);
            if found.len() != 1 || !right.contains(&found[0]) || !reply.contains("Connection: close") {
                writeln!(wrong, "{name}: {found:?} and not one of {right:?}: {reply}").unwrap();
                break;
            }
        }
        let rows = neighbour.send("GET", "/v1/datasets/known/rows", &[], b"").ok();
        assert_eq!(rows["rows"][0]["n"], 1, "after {name}");
    }
    assert!(wrong.is_empty(), "{wrong}");
    let datasets = server.get("/v1/datasets").ok();
    assert_eq!(datasets["datasets"].as_array().map(Vec::len), Some(1), "nothing was smuggled in: {datasets}");
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn what_inflates_to_much_more_than_it_is_is_refused_within_bounds() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--hosts", "a"]);
    for Case { name, message, statuses: right } in bombs() {
        let reply = exchange(&server.address, &message);
        let found = statuses(&reply);
        assert!(found.len() == 1 && right.contains(&found[0]), "{name}: {found:?}: {reply}");
    }
    assert!(server.peak_kib() < 800 << 10, "{} KiB", server.peak_kib());
}

#[test]
fn who_closes_early_wherever_that_is_leaves_the_server_as_it_was() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--hosts", "a"]);
    let whole = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{{\"n\":1}}\n{{\"n\":2}}\n{{\"n"
    );
    for end in 0..whole.len() {
        let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
        std::io::Write::write_all(&mut stream, &whole.as_bytes()[..end]).unwrap();
    }
    let mut client = Client::new(&server.address);
    assert_eq!(client.send("GET", "/healthz", &[], b"").status, 200);
    let missing = client.send("GET", "/v1/datasets/target", &[], b"");
    assert_eq!(missing.status, 404, "no half body was taken for a whole one");
}
