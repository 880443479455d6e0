//! Keys by the command line, beside a server and without one; rotation, restarts; and where their secrets are not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Server, altered_end, run, temp_dir};
use crate::{add, with_key};

fn listed(server: &Server, key: &str) -> Vec<Value> {
    with_key(server, key, "GET", "/v1/keys", "").ok()["keys"].as_array().unwrap().clone()
}

#[test]
fn keys_that_are_made_without_a_server_open_the_next_one_and_the_one_after_it() {
    let dir = temp_dir();
    let key = add(dir.path(), "ops", &["--scope", "admin"]);
    for _ in 0..2 {
        let server = Server::start_closed(dir.path(), &[]);
        assert_eq!(listed(&server, &key.secret).len(), 1);
        assert_eq!(server.stop(), 0);
    }
    run(dir.path(), &["keys", "revoke", &key.id]).exits(0);
    let server = Server::start_closed(dir.path(), &[]);
    with_key(&server, &key.secret, "GET", "/v1/keys", "").problem(401);
}

#[test]
fn a_key_is_made_shown_and_revoked_beside_a_server() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let told = run(dir.path(), &["keys"]).exits(0).stdout;
    assert!(told.contains("no keys yet"), "{told}");
    let arguments = ["--scope", "read", "--dataset", "web_*", "--dataset", "visits", "--expires", "90d"];
    let key = add(dir.path(), "reports", &arguments);
    let told = run(dir.path(), &["keys", "list"]).exits(0).stdout;
    for word in [&*key.id, "reports", "read", "web_*,visits", "active", "never"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!told.contains(&key.secret[14..]), "{told}");
    assert_eq!(with_key(&server, &key.secret, "GET", "/v1/datasets", "").status, 200);
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("{}:", key.secret))
    };
    let headers = [("Authorization", &*format!("Basic {basic}"))];
    assert_eq!(server.client().send("GET", "/v1/datasets", &headers, b"").status, 200);
    let told = run(dir.path(), &["--json", "keys"]).exits(0).stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["keys"][0]["datasets"], json!(["web_*", "visits"]));
    assert!(told["keys"][0]["used"].is_string() && told["keys"][0].get("secret").is_none(), "{told}");
    let text = run(dir.path(), &["keys", "add", "second", "--scope", "ingest"]).exits(0).stdout;
    assert!(text.contains("  Authorization: Bearer wr_") && text.contains("only time"), "{text}");
    run(dir.path(), &["keys", "revoke", &key.id]).exits(0);
    with_key(&server, &key.secret, "GET", "/v1/datasets", "").problem(401);
    for (arguments, word) in [
        (&["keys", "revoke", "none"][..], "no key"),
        (&["keys", "rotate", &key.id][..], "revoked"),
        (&["keys", "add", "x", "--scope", "reed"][..], "did you mean"),
        (&["keys", "add", "x", "--scope", "read", "--where", "a ="][..], "filter"),
    ] {
        let ran = run(dir.path(), arguments).exits(1);
        assert!(ran.stderr.contains(word), "{arguments:?}: {}", ran.stderr);
    }
    // other verbs that ask the server are let in the same way
    run(dir.path(), &["cache"]).exits(0);
    run(dir.path(), &["cache", "clear"]).exits(0);
}

#[test]
fn over_http_a_secret_is_in_the_reply_that_made_it_and_nowhere_else() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &["--log-level", "trace"]);
    let admin = add(dir.path(), "admin", &["--scope", "admin"]).secret;
    let body = json!({"name": "web", "scopes": ["ingest"], "limits": {"events_per_minute": 600}}).to_string();
    let made = with_key(&server, &admin, "POST", "/v1/keys", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let (made, first) = (made.json(), made.json()["secret"].as_str().unwrap().to_owned());
    assert!(first.starts_with("wr_") && made["limits"]["events_per_minute"] == 600, "{made}");
    let id = made["id"].as_str().unwrap();
    let rotated = with_key(&server, &admin, "POST", &format!("/v1/keys/{id}/rotate"), "").ok();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let pass = std::fs::read_to_string(dir.path().join("windrow.db.lock")).unwrap();
    let pass = pass.split_whitespace().nth(2).unwrap().to_owned();
    for secret in [&first, &second] {
        let path = "/v1/datasets/web/events";
        assert_eq!(with_key(&server, secret, "POST", path, "{\"n\": 1}").status, 200);
        with_key(&server, secret, "GET", "/v1/keys", "").problem(403);
    }
    // wrong ones are not noted either
    let wrong = altered_end(&first);
    with_key(&server, &wrong, "POST", "/v1/datasets/web/events", "{}").problem(401);
    let form = format!("key={wrong}");
    server.client().send("POST", "/signin", &[], form.as_bytes());
    let code = server.sign_in_path().split_once('=').unwrap().1.to_owned();
    let replies = [
        with_key(&server, &admin, "GET", "/v1/keys", "").text(),
        with_key(&server, &admin, "POST", "/v1/sql", r#"{"sql": "SELECT * FROM _audit"}"#).text(),
        with_key(&server, &admin, "DELETE", &format!("/v1/keys/{id}"), "").text(),
    ];
    let log = server.log().to_owned();
    assert_eq!(server.stop(), 0);
    let mut places: Vec<(String, Vec<u8>)> =
        replies.into_iter().map(|reply| ("a reply".to_owned(), reply.into_bytes())).collect();
    places.push(("the log".into(), std::fs::read(log).unwrap()));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        // it is for who may read the file, while the server runs
        if !is_lock {
            places.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
    }
    assert!(places.len() >= 5);
    for (place, bytes) in &places {
        for secret in [&first[14..], &second[14..], &admin[14..], &wrong[14..], &code, &pass] {
            assert_eq!(memchr::memmem::find(bytes, secret.as_bytes()), None, "{place} has {secret}");
        }
    }
}

#[test]
fn a_rotated_key_works_by_both_secrets_until_the_time_of_grace_is_over() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let key = add(dir.path(), "ci", &["--scope", "read"]);
    let status = |server: &Server, secret: &str| with_key(server, secret, "GET", "/v1/datasets", "").status;
    let rotate = |grace: &str| {
        let told = run(dir.path(), &["--json", "keys", "rotate", &key.id, "--grace", grace]).exits(0).stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        told["secret"].as_str().unwrap().to_owned()
    };
    let rotated = Instant::now();
    let second = rotate("3s");
    assert_eq!((status(&server, &key.secret), status(&server, &second)), (200, 200));
    assert!(rotated.elapsed() < Duration::from_secs(3), "too slow a machine for this test");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((status(&server, &key.secret), status(&server, &second)), (401, 200));
    let third = rotate("1h");
    assert_eq!(server.stop(), 0);
    let server = Server::start_closed(dir.path(), &[]);
    let found = [&key.secret, &second, &third].map(|secret| status(&server, secret));
    assert_eq!(found, [401, 200, 200], "after a restart");
    let fourth = rotate("0s");
    let found = [&second, &third, &fourth].map(|secret| status(&server, secret));
    assert_eq!(found, [401, 401, 200], "without a time of grace");
}
