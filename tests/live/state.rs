//! What has a state: jobs, queues, the answers to queries.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Events, Socket, path, refused};
use crate::common::websocket::{begin, handshake};
use crate::common::{Server, run, temp_dir};

/// Submits a job and gives its id.
fn submit(server: &Server, job: &Value) -> String {
    let reply = server.post("/v1/jobs", job.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].to_string()
}

fn act(server: &Server, id: &str, what: &str) {
    let reply = server.post(&format!("/v1/jobs/{id}/{what}"), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// A job that waits until it is cancelled.
fn waiting() -> Value {
    json!({ "kind": "optimize", "queue": "q", "run_at": "1h" })
}

fn state(told: &Value) -> &str {
    told["job"]["state"].as_str().unwrap_or_else(|| panic!("no job: {told}"))
}

#[test]
fn a_job_is_told_whenever_it_is_another_one_until_it_is_finished() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let id = submit(&server, &waiting());
    let mut socket = Socket::open(&server, &[("job", &id)], &[]);
    let told = socket.next();
    assert_eq!((&told["type"], state(&told)), (&json!("job"), "delayed"));
    // as it is told by itself, but for its payload
    let mut shown = server.get(&format!("/v1/jobs/{id}")).json();
    for field in ["payload", "history"] {
        shown.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(told["job"], shown);
    // a late comer has it at once
    let mut late = Events::open(&server, &[("job", &id)], &[]);
    let (last, first) = late.next().unwrap();
    assert_eq!((last.as_deref(), &first), (told["id"].as_str(), &told));
    act(&server, &id, "cancel");
    let cancelled = socket.next();
    assert_eq!(state(&cancelled), "cancelled");
    let end = socket.next();
    assert_eq!((&end["type"], &end["detail"]), (&json!("end"), &json!("the job is cancelled")));
    assert_eq!(socket.farewell(), 1000);
    assert_eq!(late.next().unwrap().1, cancelled);
    assert_eq!(late.next().unwrap(), (None, end));
    assert_eq!(late.next(), None);
    // one that is finished is told, and that it is
    let mut finished = Events::open(&server, &[("job", &id)], &[]);
    let (last, told) = finished.next().unwrap();
    assert_eq!((told, &*finished.next().unwrap().1["type"].to_string()), (cancelled, "\"end\""));
    // who knows that already is told the end alone
    let last = last.unwrap();
    let mut known = Events::open(&server, &[("job", &id), ("after", &last)], &[]);
    assert_eq!(known.next().unwrap().1["type"], "end");
}

#[test]
fn who_connects_again_is_told_what_is_another_state_than_his() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let id = submit(&server, &waiting());
    let (last, _) = Events::open(&server, &[("job", &id)], &[]).next().unwrap();
    let last = last.unwrap();
    let mut same = Events::open(&server, &[("job", &id)], &[("Last-Event-ID", &last)]);
    let ready = same.next().unwrap();
    assert_eq!(
        ready,
        (Some(last.clone()), json!({ "type": "ready", "id": last, "job": id.parse::<i64>().unwrap() }))
    );
    act(&server, &id, "cancel");
    assert_eq!(state(&same.next().unwrap().1), "cancelled");
    // after a restart, too
    let queue = [("queue", "q")];
    let (last, told) = Events::open(&server, &queue, &[]).next().unwrap();
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &[]);
    let last = last.unwrap();
    let mut same = Events::open(&server, &queue, &[("Last-Event-ID", &last)]);
    assert_eq!(same.next().unwrap().1["type"], "ready");
    let mut other = Events::open(&server, &queue, &[("Last-Event-ID", "1")]);
    assert_eq!(other.next().unwrap().1, told);
}

#[test]
fn a_queue_is_told_with_what_is_in_it() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let first = submit(&server, &waiting());
    let mut socket = Socket::open(&server, &[("queue", "q")], &[]);
    let told = socket.next();
    assert_eq!((&told["queue"]["name"], &told["queue"]["jobs"]["delayed"]), (&json!("q"), &json!(1)));
    // another queue is none of its business
    submit(&server, &json!({ "kind": "optimize", "queue": "other", "run_at": "1h" }));
    submit(&server, &waiting());
    assert_eq!(socket.next()["queue"]["waiting"], 2);
    act(&server, &first, "cancel");
    assert_eq!(socket.next()["queue"]["jobs"]["cancelled"], 1);
    let settings = json!({ "size": 7 }).to_string();
    server.client().send("PUT", "/v1/queues/q", &[], settings.as_bytes()).ok();
    assert_eq!(socket.next()["queue"]["settings"]["size"], 7);
}

#[test]
fn a_query_is_answered_anew_when_its_answer_changes() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "[{\"c\":\"DE\",\"n\":1},{\"c\":\"FR\",\"n\":2}]");
    server.accepted("e", "[{\"c\":\"DE\",\"name\":\"Germany\"}]");
    let sql = "SELECT c, sum(n) AS total FROM d WHERE n < 100 GROUP BY c ORDER BY c";
    let mut socket = Socket::open(&server, &[("query", sql)], &[]);
    let told = socket.next();
    assert_eq!(told["type"], "query");
    let total = json!([{ "name": "c", "type": "string" }, { "name": "total", "type": "int" }]);
    assert_eq!((&told["columns"], &told["rows"]), (&total, &json!([["DE", 1], ["FR", 2]])));
    let question = json!({ "from": "d", "select": ["count()"], "range": { "last": "1h" } }).to_string();
    let mut counting = Events::open(&server, &[("query", &question)], &[]);
    assert_eq!(counting.next().unwrap().1["rows"], json!([[2]]));
    let joined = "SELECT e.name, count(*) FROM d JOIN e ON d.c = e.c GROUP BY e.name";
    let mut joined = Socket::open(&server, &[("query", joined)], &[]);
    assert_eq!(joined.next()["rows"], json!([["Germany", 1]]));
    // what changes no answer is not told
    server.accepted("d", "{\"c\":\"DE\",\"n\":1000}");
    assert_eq!(counting.next().unwrap().1["rows"], json!([[3]]));
    server.accepted("d", "{\"c\":\"DE\",\"n\":5}");
    assert_eq!(socket.next()["rows"], json!([["DE", 6], ["FR", 2]]));
    let (last, told) = counting.next().unwrap();
    assert_eq!(told["rows"], json!([[4]]));
    while joined.next()["rows"] != json!([["Germany", 3]]) {}
    let mut same = Events::open(&server, &[("query", &question), ("after", &last.unwrap())], &[]);
    assert_eq!(same.next().unwrap().1["query"], json!(question));
    // and a dataset that is dropped ends it, with the reason
    server.client().send("DELETE", "/v1/datasets/d", &[], b"");
    for told in [socket.next(), joined.next(), counting.next().unwrap().1] {
        assert_eq!(told["type"], "end");
        assert!(told["detail"].as_str().unwrap().contains("no dataset \"d\""), "{told}");
    }
}

/// Its answer takes as long as a look may; meanwhile all else goes on as ever.
#[test]
fn a_query_that_takes_too_long_ends_and_delays_nobody() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":1}");
    let id = submit(&server, &waiting());
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    let mut slow: Vec<Socket> = (0..4)
        .map(|n| Socket::open(&server, &[("query", &format!("{endless}, d WHERE t.n <> {n}"))], &[]))
        .collect();
    let mut job = Socket::open(&server, &[("job", &id)], &[]);
    let mut rows = Socket::open(&server, &[("dataset", "d")], &[]);
    let _ = (job.next(), rows.next());
    let begin = Instant::now();
    server.accepted("d", "{\"n\":2}");
    assert_eq!(rows.next()["rows"][0]["n"], 2);
    act(&server, &id, "cancel");
    assert_eq!(state(&job.next()), "cancelled");
    assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
    for socket in &mut slow {
        let told = socket.next();
        assert_eq!(told["type"], "end");
        assert!(told["detail"].as_str().unwrap().contains("2 s"), "{told}");
    }
}

#[test]
fn what_cannot_be_watched_is_said_before_anything_opens() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":1}");
    submit(&server, &waiting());
    let stream = [("Accept", "text/event-stream")];
    for (parameters, status, word) in [
        (&[("dataset", "d"), ("job", "1")][..], 400, "one parameter"),
        (&[("job", "1"), ("queue", "q")], 400, "one parameter"),
        (&[("job", "x")], 404, "numbers"),
        (&[("job", "9999")], 404, "no job"),
        (&[("queue", "r")], 404, "no queue"),
        (&[("queue", "")], 404, "no queue"),
        (&[("query", "")], 400, ""),
        (&[("query", "SELECT")], 400, ""),
        (&[("query", "SELECT m FROM d")], 400, "m"),
        (&[("query", "SELECT n FROM dd")], 404, "did you mean"),
        (&[("query", "DELETE FROM d")], 400, ""),
        (&[("query", "EXPLAIN SELECT n FROM d")], 400, "EXPLAIN"),
        (&[("query", "{\"from\":\"d\",\"select\":[\"count(\"]}")], 400, ""),
        (&[("query", "{\"from\":\"d\"")], 400, ""),
        (&[("query", "SELECT n FROM d"), ("where", "n > 1")], 400, "where goes with a dataset"),
        (&[("job", "1"), ("fields", "n")], 400, "fields goes with a dataset"),
        (&[("job", "1"), ("after", "x")], 400, "after"),
    ] {
        let (found, text) = refused(&server, &path(parameters), &stream);
        assert!(found == status && text.contains(word), "{parameters:?}: {text}");
    }
    // what SQLite alone finds out is the first that is told
    let joined = "SELECT a.m FROM d a JOIN d b ON a.n = b.n";
    let told = Socket::open(&server, &[("query", joined)], &[]).next();
    assert!(told["type"] == "end" && told["detail"].as_str().unwrap().contains('m'), "{told}");
}

#[test]
fn who_does_not_read_gets_the_newest_answer_later_and_delays_nobody() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let add = |n: u64| {
        server.accepted("d", format!("{{\"n\":{n},\"t\":\"{}\"}}", "x".repeat(50_000)));
    };
    add(0);
    let newest = [("query", "SELECT n, t FROM d ORDER BY n DESC LIMIT 4")];
    let mut slow = Events::open(&server, &newest, &[]);
    let mut slow_socket = Socket::open(&server, &newest, &[]);
    let mut healthy = Socket::open(&server, &newest, &[]);
    let seen = |told: &Value| told["rows"][0][0].as_u64().unwrap();
    assert_eq!(seen(&healthy.next()), 0);
    for n in 1..=8 {
        let begin = Instant::now();
        add(n);
        while seen(&healthy.next()) != n {}
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    let mut told = Vec::new();
    while told.last() != Some(&8) {
        told.push(seen(&slow.next().unwrap().1));
    }
    assert!(told.len() < 8 && told.is_sorted(), "{told:?}");
    while seen(&slow_socket.next()) != 8 {}
}

/// The next frame of a WebSocket that reads by hand: its first byte and its payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn large_messages_are_packed_for_who_takes_them_so() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", (0..1_000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    let offer = handshake(&[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]);
    let target = path(&[("query", "SELECT n FROM d ORDER BY n")]);
    let (mut stream, head) = begin(&server.address, &target, &offer);
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert!(head.contains(&format!("\r\nSec-WebSocket-Extensions: {agreed}\r\n")), "{head}");
    let (first, packed) = frame(&mut stream);
    let mut text = String::new();
    let whole = [&packed[..], &[0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff]].concat();
    flate2::read::DeflateDecoder::new(&whole[..]).read_to_string(&mut text).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert!(first == 0xc1 && packed.len() < text.len() / 2, "{first:x}: {} of {}", packed.len(), text.len());
    assert_eq!(told["rows"].as_array().unwrap().len(), 1_000);
    // the same to who does not offer it
    assert_eq!(Socket::open(&server, &[("query", "SELECT n FROM d ORDER BY n")], &[]).next(), told);
    // small ones stay as they are
    let (mut small, _) = begin(&server.address, &path(&[("query", "SELECT count(*) FROM d")]), &offer);
    assert_eq!(frame(&mut small).0, 0x81);
    // a packed message of the client is a message, of which none is taken: "Hello" of RFC 7692, behind no mask
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    stream.write_all(&[&[0xc1, 0x87, 0, 0, 0, 0][..], &hello].concat()).unwrap();
    let (first, farewell) = frame(&mut stream);
    assert_eq!((first, &farewell[..2]), (0x88, &1003_u16.to_be_bytes()[..]));
}

/// Makes a key beside the server and gives its id and its header.
fn key(dir: &Path, arguments: &[&str]) -> (String, String) {
    let ran = run(dir, &[&["--json", "keys", "add", "k"], arguments].concat()).exits(0);
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), format!("Bearer {}", text("secret")))
}

#[test]
fn each_is_told_what_he_may_read() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (_, admin) = key(dir.path(), &["--scope", "admin"]);
    let add = |rows: &Value| {
        let headers = [("Authorization", &*admin)];
        server.client().send("POST", "/v1/datasets/d/events", &headers, rows.to_string().as_bytes()).ok();
    };
    add(&json!([{ "tenant": "a", "n": 1 }, { "tenant": "b", "n": 10 }]));
    let job = json!({ "kind": "optimize", "queue": "q", "run_at": "1h" }).to_string();
    server.client().send("POST", "/v1/jobs", &[("Authorization", &admin)], job.as_bytes());
    let (id, bound) = key(dir.path(), &["--scope", "read", "--where", "tenant = 'a'"]);
    let (_, other) = key(dir.path(), &["--scope", "read", "--where", "tenant = 'b'"]);
    let (_, elsewhere) = key(dir.path(), &["--scope", "read", "--dataset", "x"]);
    let query = [("query", "SELECT sum(n) FROM d")];
    let mut sockets: Vec<Socket> = [&admin, &bound, &other]
        .into_iter()
        .map(|key| Socket::open(&server, &query, &[("Authorization", key)]))
        .collect();
    for (socket, sum) in sockets.iter_mut().zip([11, 1, 10]) {
        assert_eq!(socket.next()["rows"], json!([[sum]]));
    }
    add(&json!([{ "tenant": "a", "n": 2 }, { "tenant": "b", "n": 20 }]));
    for (socket, sum) in sockets.iter_mut().zip([33, 3, 30]) {
        assert_eq!(socket.next()["rows"], json!([[sum]]));
    }
    let (status, text) = refused(&server, &path(&query), &handshake(&[("Authorization", &elsewhere)]));
    assert!(status == 404 && text.contains("no dataset"), "{text}");
    // jobs are for administrators, whether they are there or not
    for watched in [("job", "1"), ("job", "77"), ("queue", "q"), ("queue", "none")] {
        let found = refused(&server, &path(&[watched]), &handshake(&[("Authorization", &bound)]));
        assert_eq!(found.0, 403, "{watched:?}: {}", found.1);
    }
    let mut watching = Socket::open(&server, &[("job", "1")], &[("Authorization", &admin)]);
    assert_eq!(state(&watching.next()), "delayed");
    run(dir.path(), &["keys", "revoke", &id]).exits(0);
    add(&json!([{ "tenant": "a", "n": 4 }]));
    assert_eq!(sockets[1].next()["type"], "end");
    assert_eq!(sockets[0].next()["rows"], json!([[37]]));
}
