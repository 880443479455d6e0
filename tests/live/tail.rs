//! The tail of a dataset.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tungstenite::Message;

use crate::client::{Events, Socket, path, refused, values};
use crate::common::websocket::handshake;
use crate::common::{Server, temp_dir};

/// Events with a number each.
fn numbers(range: std::ops::Range<i64>) -> String {
    range
        .map(|n| format!("{{\"n\":{n},\"kind\":\"{}\"}}\n", if n % 2 == 0 { "even" } else { "odd" }))
        .collect()
}

#[test]
fn rows_are_told_as_they_are_committed_to_sockets_and_streams_alike() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let mut socket = Socket::open(&server, &[("dataset", "d")], &[]);
    let mut events = Events::open(&server, &[("dataset", "d")], &[]);
    assert_eq!(socket.next(), json!({ "type": "ready", "id": "3", "dataset": "d" }));
    let (id, ready) = events.next().unwrap();
    assert_eq!((id.as_deref(), &ready["type"]), (Some("3"), &json!("ready")));
    server.accepted("d", "{\"n\":3,\"text\":\"a \\\"line\\\"\\n\\u2028 and another\"}\n{\"n\":4}");
    let told = socket.next();
    assert_eq!((&told["type"], &told["id"], told.get("skipped")), (&json!("rows"), &json!("5"), None));
    assert_eq!(values(&told, "n"), [3, 4]);
    assert_eq!(values(&told, "_seq"), [4, 5]);
    assert_eq!(told["rows"][0]["text"], "a \"line\"\n\u{2028} and another");
    let (id, same) = events.next().unwrap();
    assert_eq!((id.as_deref(), same), (Some("5"), told));
}

#[test]
fn a_condition_and_fields_say_what_is_told() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..1));
    // a comment at the end of a condition ends no bracket
    let parameters = [("dataset", "d"), ("where", "kind = 'odd' OR n = 2 -- or"), ("fields", "n")];
    let mut socket = Socket::open(&server, &parameters, &[]);
    assert_eq!(socket.next()["type"], "ready");
    server.accepted("d", numbers(1..6));
    let told = socket.next();
    assert_eq!(told["rows"], json!([{ "n": 1 }, { "n": 2 }, { "n": 3 }, { "n": 5 }]));
    server.accepted("d", numbers(6..7));
    server.accepted("d", numbers(7..8));
    assert_eq!(socket.next()["rows"], json!([{ "n": 7 }]));
}

#[test]
fn records_are_told_when_they_are_new() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declared = json!({ "kind": "records", "key": ["k"] });
    server.client().send("PUT", "/v1/datasets/r", &[], declared.to_string().as_bytes()).ok();
    let put = |body: &str| server.client().send("PUT", "/v1/datasets/r/records", &[], body.as_bytes()).ok();
    put("[{\"k\":1,\"v\":\"a\"}]");
    let mut socket = Socket::open(&server, &[("dataset", "r"), ("after", "0"), ("fields", "k,v")], &[]);
    assert_eq!(socket.next()["type"], "ready");
    assert_eq!(socket.next()["rows"], json!([{ "k": 1, "v": "a" }]));
    put("[{\"k\":1,\"v\":\"changed\"},{\"k\":2,\"v\":\"b\"}]");
    assert_eq!(socket.next()["rows"], json!([{ "k": 2, "v": "b" }]));
}

/// Clients lose their connections all the time while events come in, and have every one of them once.
#[test]
fn who_connects_again_goes_on_where_it_was() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..1));
    let is_written = AtomicBool::new(false);
    let collect = |by_header: bool| {
        let (mut seen, mut last) = (Vec::<i64>::new(), "0".to_owned());
        let mut rounds = 0;
        while !is_written.load(Ordering::SeqCst) || seen.len() < 2_000 {
            let after = if by_header { "0".to_owned() } else { last.clone() };
            let parameters = [("dataset", "d"), ("after", &*after), ("fields", "n")];
            let before = last.clone();
            let header = [("Last-Event-ID", &*before)];
            let mut events = Events::open(&server, &parameters, if by_header { &header } else { &[] });
            assert_eq!(events.next().unwrap().1["type"], "ready");
            for _ in 0..=rounds % 3 {
                if seen.len() == 2_000 {
                    break;
                }
                let (id, told) = events.next().unwrap();
                assert_eq!(told.get("skipped"), None, "{told}");
                seen.extend(values(&told, "n"));
                last = id.unwrap();
            }
            rounds += 1;
        }
        assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (1..2_000).step_by(13) {
                server.accepted("d", numbers(n..(n + 13).min(2_000)));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            is_written.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| collect(true));
        scope.spawn(|| collect(false));
    });
}

#[test]
fn of_too_many_rows_the_newest_are_told_and_which_were_left_out() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3_000));
    let mut events = Events::open(&server, &[("dataset", "d"), ("after", "10"), ("fields", "n")], &[]);
    assert_eq!(events.next().unwrap().1["id"], "10");
    let (id, told) = events.next().unwrap();
    assert_eq!((id.as_deref(), &told["skipped"]), (Some("3000"), &json!({ "after": 10, "before": 2001 })));
    assert_eq!(values(&told, "n"), (2_000..3_000).collect::<Vec<_>>());
    // by bytes too
    let large: String =
        (0..20).map(|n| format!("{{\"n\":{n},\"t\":\"{}\"}}\n", "x".repeat(10_000))).collect();
    server.accepted("e", large);
    let mut events = Events::open(&server, &[("dataset", "e"), ("after", "0")], &[]);
    events.next().unwrap();
    let told = events.next().unwrap().1;
    assert_eq!((values(&told, "n"), &told["skipped"]["before"]), ((14..20).collect(), &json!(15)));
    // and one that is larger than all bounds comes nevertheless
    server.accepted("e", format!("{{\"n\":20,\"t\":\"{}\"}}", "x".repeat(500_000)));
    assert_eq!(values(&events.next().unwrap().1, "n"), [20]);
}

#[test]
fn an_id_of_another_dataset_begins_at_the_beginning() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let mut events = Events::open(&server, &[("dataset", "d"), ("after", "1000")], &[]);
    assert_eq!(events.next().unwrap().1["id"], "0");
    assert_eq!(values(&events.next().unwrap().1, "n"), [0, 1, 2]);
}

#[test]
fn a_dataset_that_is_dropped_ends_it() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let mut socket = Socket::open(&server, &[("dataset", "d")], &[]);
    let mut events = Events::open(&server, &[("dataset", "d")], &[]);
    let _ = (socket.next(), events.next());
    assert_eq!(server.client().send("DELETE", "/v1/datasets/d", &[], b"").status, 204);
    let told = socket.next();
    assert_eq!(told["type"], "end");
    assert!(told["detail"].as_str().unwrap().contains("\"d\""), "{told}");
    assert_eq!(socket.farewell(), 1000);
    assert_eq!(events.next().unwrap(), (None, told));
    assert_eq!(events.next(), None);
}

#[test]
fn a_server_that_stops_says_so() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let mut socket = Socket::open(&server, &[("dataset", "d")], &[]);
    let mut events = Events::open(&server, &[("dataset", "d")], &[]);
    let _ = (socket.next(), events.next());
    server.terminate();
    assert_eq!(socket.farewell(), 1001);
    assert_eq!(events.next(), None);
    assert_eq!(server.ended(), 0);
}

#[test]
fn a_client_that_speaks_is_told_that_nothing_is_taken() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let mut socket = Socket::open(&server, &[("dataset", "d")], &[]);
    socket.next();
    socket.0.send(Message::Ping(vec![7].into())).unwrap();
    assert!(matches!(socket.0.read().unwrap(), Message::Pong(data) if *data == [7]));
    socket.0.send(Message::text("subscribe!")).unwrap();
    assert_eq!(socket.farewell(), 1003);
}

#[test]
fn what_is_wrong_is_said_before_anything_opens() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", numbers(0..3));
    let stream = [("Accept", "text/event-stream")];
    for (parameters, status, word) in [
        (&[][..], 400, "dataset=NAME"),
        (&[("dataset", "nothing")], 404, "no dataset"),
        (&[("dataset", "d"), ("where", "n >")], 400, "expression"),
        (&[("dataset", "d"), ("where", "n > 0) OR (1 = 1")], 400, ""),
        (&[("dataset", "d"), ("where", "n > 0 /* open")], 400, ""),
        (&[("dataset", "d"), ("where", "count() > 1")], 400, ""),
        (&[("dataset", "d"), ("where", "m > 1")], 400, "m"),
        (&[("dataset", "d"), ("fields", "n,,m")], 400, "fields"),
        (&[("dataset", "d"), ("fields", "m")], 400, "m"),
        (&[("dataset", "d"), ("after", "-1")], 400, "after"),
        (&[("dataset", "d"), ("after", "x")], 400, "after"),
        (&[("dataset", "d"), ("order", "n")], 400, "order"),
    ] {
        let (found, text) = refused(&server, &path(parameters), &stream);
        assert!(found == status && text.contains(word), "{parameters:?}: {text}");
    }
    let target = path(&[("dataset", "d")]);
    assert_eq!(refused(&server, &target, &[]).0, 406);
    let old: Vec<_> =
        handshake(&[]).into_iter().filter(|(name, _)| *name != "Sec-WebSocket-Version").collect();
    let (status, text) = refused(&server, &target, &old);
    assert!(status == 426 && text.contains("Sec-WebSocket-Version: 13"), "{text}");
    let keyless: Vec<_> =
        handshake(&[]).into_iter().filter(|(name, _)| *name != "Sec-WebSocket-Key").collect();
    assert_eq!(refused(&server, &target, &keyless).0, 400);
    // an Upgrade that Connection does not name is for somebody else
    let unnamed: Vec<_> = handshake(&[]).into_iter().filter(|(name, _)| *name != "Connection").collect();
    assert_eq!(refused(&server, &target, &unnamed).0, 406);
    assert_eq!(refused(&server, &target, &[("Last-Event-ID", "x"), stream[0]]).0, 400);
}
