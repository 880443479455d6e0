//! The audit log: who did what, and what came of it.

use serde_json::json;

use crate::common::{Server, run, temp_dir};
use crate::{add, rows, with_key};

#[test]
fn what_was_done_is_noted_with_who_did_it() {
    let dir = temp_dir();
    let offline = add(dir.path(), "first", &["--scope", "read"]);
    let server = Server::start_closed(dir.path(), &[]);
    let admin = add(dir.path(), "admin", &["--scope", "admin"]);
    let ask =
        |method: &str, path: &str, body: &str| with_key(&server, &admin.secret, method, path, body).status;
    assert_eq!(ask("PUT", "/v1/datasets/visits", "{}"), 200);
    assert_eq!(ask("POST", "/v1/datasets/visits/events", "[{\"n\": 1}, {\"n\": 2}]"), 200);
    assert_eq!(ask("DELETE", "/v1/datasets/visits/events?where=n%20=%201", ""), 200);
    assert_eq!(ask("DELETE", "/v1/datasets/visits/events?where=nonsense", ""), 400);
    assert_eq!(ask("POST", "/v1/cache/clear", ""), 200);
    assert_eq!(ask("DELETE", "/v1/datasets/visits", ""), 204);
    assert_eq!(ask("POST", &format!("/v1/keys/{}/rotate", offline.id), ""), 200);
    assert_eq!(ask("DELETE", &format!("/v1/keys/{}", offline.id), ""), 204);
    assert_eq!(server.get(&server.sign_in_path()).status, 303);
    server.client().send("POST", "/signin", &[], b"key=wr_none");
    with_key(&server, &offline.secret, "GET", "/v1/datasets", "").problem(401);
    let sql = "SELECT who, action, subject, outcome, status FROM _audit ORDER BY _seq";
    let key = format!("key {}", admin.id);
    let expected = [
        json!(["owner", "key.made", offline.id, "done", 200]),
        json!(["owner", "key.made", admin.id, "done", 201]),
        json!([key, "dataset.declared", "visits", "done", 200]),
        json!([key, "events.erased", "visits", "done", 200]),
        json!([key, "events.erased", "visits", "refused", 400]),
        json!([key, "cache.cleared", "", "done", 200]),
        json!([key, "dataset.dropped", "visits", "done", 204]),
        json!([key, "key.rotated", offline.id, "done", 200]),
        json!([key, "key.revoked", offline.id, "done", 204]),
        json!(["session", "signin", "", "done", 303]),
        json!(["unknown", "signin", "", "refused", 403]),
        json!(["unknown", "refused", "GET /v1/datasets", "refused", 401]),
    ];
    assert_eq!(json!(rows(&server, &admin.secret, sql)), json!(expected));
    let sql = "SELECT detail, client FROM _audit WHERE action = 'events.erased' ORDER BY _seq LIMIT 1";
    assert_eq!(json!(rows(&server, &admin.secret, sql)), json!([["where=n = 1", "127.0.0.1"]]));
}

#[test]
fn nobody_changes_it_and_admin_alone_reads_it() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let admin = add(dir.path(), "admin", &["--scope", "admin"]).secret;
    let reader = add(dir.path(), "reader", &["--scope", "read"]).secret;
    for (method, path) in [
        ("PUT", "/v1/datasets/_audit"),
        ("DELETE", "/v1/datasets/_audit"),
        ("POST", "/v1/datasets/_audit/events"),
        ("DELETE", "/v1/datasets/_audit/events?where=true"),
        ("PUT", "/v1/datasets/_audit/records"),
        ("PATCH", "/v1/datasets/_audit/records?where=true"),
        ("DELETE", "/v1/datasets/_audit/records?where=true"),
        ("DELETE", "/v1/datasets/_audit/records/1"),
    ] {
        let reply = with_key(&server, &admin, method, path, "{\"who\": \"nobody\"}");
        assert!((400..500).contains(&reply.status), "{method} {path}: {}", reply.text());
    }
    for path in ["/v1/datasets/_audit", "/v1/datasets/_audit/rows"] {
        assert_eq!(with_key(&server, &admin, "GET", path, "").status, 200);
        with_key(&server, &reader, "GET", path, "").problem(403);
    }
    let sql = r#"{"sql": "SELECT count(*) FROM _audit"}"#;
    with_key(&server, &reader, "POST", "/v1/sql", sql).problem(404);
    let names = |path: &str| {
        let list = with_key(&server, &admin, "GET", path, "").ok();
        list["datasets"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((names("/v1/datasets"), names("/v1/datasets?all=true")), (vec![], vec![json!("_audit")]));
    let made = rows(&server, &admin, "SELECT count(*) FROM _audit WHERE action = 'key.made'");
    assert_eq!(json!(made), json!([[2]]));
    assert_eq!(server.stop(), 0);
    run(dir.path(), &["erase", "_audit", "--where", "true"]).exits(1);
    run(dir.path(), &["datasets", "_audit", "--drop"]).exits(1);
    assert!(run(dir.path(), &["datasets", "--all"]).exits(0).stdout.contains("_audit"));
    assert!(!run(dir.path(), &["datasets"]).exits(0).stdout.contains("_audit"));
    run(dir.path(), &["check"]).exits(0);
}

#[test]
fn failed_sign_ins_do_not_flood_it() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &["--rate-limits", "general=unlimited"]);
    let admin = add(dir.path(), "admin", &["--scope", "admin"]).secret;
    let mut client = server.client();
    for attempt in 0..400 {
        let form = format!("key=wr_{attempt}");
        assert_eq!(client.send("POST", "/signin", &[], form.as_bytes()).status, 403);
    }
    assert_eq!(server.stop(), 0);
    let server = Server::start_closed(dir.path(), &[]);
    let sql =
        "SELECT count(*), sum(coalesce(left_out, 0)) FROM _audit WHERE outcome = 'refused' OR who = 'server'";
    let counted = rows(&server, &admin, sql);
    let (written, left_out) = (counted[0][0].as_u64().unwrap(), counted[0][1].as_u64().unwrap());
    // a minute may end meanwhile; what the end of the server writes is an entry too
    assert!((31..=93).contains(&written), "{written} entries");
    let of_server = rows(&server, &admin, "SELECT count(*) FROM _audit WHERE who = 'server'");
    assert_eq!(written - of_server[0][0].as_u64().unwrap() + left_out, 400, "all are counted");
}
