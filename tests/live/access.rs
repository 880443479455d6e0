//! Who is told what.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Events, Socket, path, refused, values};
use crate::common::websocket::handshake;
use crate::common::{Server, run, temp_dir};

/// Makes a key beside the server and gives its id and its header.
fn key(dir: &Path, name: &str, arguments: &[&str]) -> (String, String) {
    let ran = run(dir, &[&["--json", "keys", "add", name], arguments].concat()).exits(0);
    let made: Value = serde_json::from_str(&ran.stdout).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), format!("Bearer {}", text("secret")))
}

fn add(server: &Server, key: &str, rows: &Value) {
    let headers = [("Authorization", key)];
    server.client().send("POST", "/v1/datasets/d/events", &headers, rows.to_string().as_bytes()).ok();
}

#[test]
fn who_is_bound_to_some_rows_is_told_of_these_alone() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (_, admin) = key(dir.path(), "admin", &["--scope", "admin"]);
    let (id, bound) = key(dir.path(), "bound", &["--scope", "read", "--where", "tenant = 'a'"]);
    let others = json!((0..50).map(|n| json!({ "tenant": "b", "n": n })).collect::<Vec<_>>());
    add(&server, &admin, &json!([{ "tenant": "a", "n": 100 }]));
    add(&server, &admin, &others);
    let header = [("Authorization", &*bound)];
    let mut sockets: Vec<Socket> = ["1 = 1", "tenant = 'b' OR 1 = 1", "tenant <> 'a' OR n >= 0 -- "]
        .into_iter()
        .map(|condition| Socket::open(&server, &[("dataset", "d"), ("where", condition)], &header))
        .collect();
    for socket in &mut sockets {
        // not how many there are of others
        assert_eq!(socket.next()["id"], "1");
    }
    let mut none = Socket::open(&server, &[("dataset", "d"), ("where", "tenant = 'b'")], &header);
    none.next();
    add(&server, &admin, &others);
    add(&server, &admin, &json!([{ "tenant": "b", "n": 7 }, { "tenant": "a", "n": 101 }]));
    for socket in &mut sockets {
        let told = socket.next();
        assert_eq!((values(&told, "n"), &told["id"], told.get("skipped")), (vec![101], &json!("103"), None));
    }
    // from the beginning; and nothing tells whether an id is there already
    let mut events = Events::open(&server, &[("dataset", "d"), ("after", "0")], &header);
    assert_eq!(events.next().unwrap().1["id"], "0");
    assert_eq!(values(&events.next().unwrap().1, "n"), [100, 101]);
    for after in ["102", "103", "104", "99999999"] {
        let mut events = Events::open(&server, &[("dataset", "d"), ("after", after)], &header);
        assert_eq!(events.next().unwrap().1["id"], after);
    }
    // nothing came for a condition that only rows of others meet: what comes first is the end
    run(dir.path(), &["keys", "revoke", &id]).exits(0);
    assert_eq!(none.next()["type"], "end");
}

#[test]
fn a_key_that_is_revoked_or_bound_anew_ends_what_it_began() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (_, admin) = key(dir.path(), "admin", &["--scope", "admin"]);
    let (id, reader) = key(dir.path(), "reader", &["--scope", "read"]);
    add(&server, &admin, &json!([{ "n": 1 }]));
    let mut socket = Socket::open(&server, &[("dataset", "d")], &[("Authorization", &reader)]);
    let mut other = Socket::open(&server, &[("dataset", "d")], &[("Authorization", &admin)]);
    let _ = (socket.next(), other.next());
    run(dir.path(), &["keys", "revoke", &id]).exits(0);
    add(&server, &admin, &json!([{ "n": 2 }]));
    let told = socket.next();
    assert_eq!(told["type"], "end", "no row after it was revoked: {told}");
    assert_eq!(socket.farewell(), 1000);
    assert_eq!(values(&other.next(), "n"), [2]);
    let target = path(&[("dataset", "d")]);
    assert_eq!(refused(&server, &target, &handshake(&[("Authorization", &reader)])).0, 401);
}

#[test]
fn a_key_for_something_else_is_not_let_in() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (_, admin) = key(dir.path(), "admin", &["--scope", "admin"]);
    add(&server, &admin, &json!([{ "n": 1 }]));
    let (_, ingest) = key(dir.path(), "ingest", &["--scope", "ingest"]);
    let (_, elsewhere) = key(dir.path(), "elsewhere", &["--scope", "read", "--dataset", "other"]);
    let target = path(&[("dataset", "d")]);
    assert_eq!(refused(&server, &target, &handshake(&[])).0, 401);
    assert_eq!(refused(&server, &target, &handshake(&[("Authorization", &ingest)])).0, 403);
    let (status, text) = refused(&server, &target, &handshake(&[("Authorization", &elsewhere)]));
    assert!(status == 404 && text.contains("no dataset"), "as if it were not there: {text}");
    // nor does the log of what was done tell anybody but an administrator
    let (_, reader) = key(dir.path(), "reader", &["--scope", "read"]);
    let audit = path(&[("dataset", "_audit")]);
    assert_eq!(refused(&server, &audit, &handshake(&[("Authorization", &reader)])).0, 404);
    let mut socket = Socket::open(&server, &[("dataset", "_audit")], &[("Authorization", &admin)]);
    assert_eq!(socket.next()["type"], "ready");
}

/// A browser lets any page open a WebSocket to any server, and adds the cookie.
#[test]
fn pages_of_others_are_told_nothing() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (_, admin) = key(dir.path(), "admin", &["--scope", "admin"]);
    add(&server, &admin, &json!([{ "n": 1 }]));
    let signed_in = server.get(&server.sign_in_path());
    let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let target = path(&[("dataset", "d")]);
    let own = format!("http://{}", server.address);
    let with = |headers: &[(&'static str, &str)]| -> u16 {
        let mut all = vec![("Cookie", cookie.as_str())];
        all.extend(headers);
        refused(&server, &target, &handshake(&all)).0
    };
    assert_eq!(with(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(with(&[("Origin", "null")]), 403);
    assert_eq!(with(&[("Origin", &own), ("Sec-Fetch-Site", "cross-site")]), 403);
    let headers = [("Cookie", cookie.as_str()), ("Origin", own.as_str())];
    let mut socket = Socket::open(&server, &[("dataset", "d")], &headers);
    assert_eq!(socket.next()["type"], "ready");
    // signing out ends it
    let headers = [("Cookie", cookie.as_str()), ("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    server.client().send("POST", "/signout", &headers, b"");
    assert_eq!(socket.next()["type"], "end");

    let open = temp_dir();
    let server = Server::start(open.path(), &[]);
    server.accepted("d", "{\"n\":1}");
    let foreign = handshake(&[("Origin", "https://evil.example")]);
    assert_eq!(refused(&server, &target, &foreign).0, 403);
}
