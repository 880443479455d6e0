//! Every route of the table with every sort of key.

use std::thread;
use std::time::Duration;

use windrow::http::access::Need;
use windrow::http::routes::ROUTES;
use windrow::store::keys::Scope;

use crate::common::{Server, run, temp_dir};
use crate::{add, with_key};

#[test]
fn every_route_is_for_the_keys_that_it_says() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let expired = add(dir.path(), "expired", &["--scope", "admin", "--expires", "1s"]);
    let revoked = add(dir.path(), "revoked", &["--scope", "admin"]);
    run(dir.path(), &["keys", "revoke", &revoked.id]).exits(0);
    let both = "ingest,read";
    let elsewhere = add(dir.path(), "elsewhere", &["--scope", both, "--dataset", "other_*,another"]);
    let there = add(dir.path(), "there", &["--scope", both, "--dataset", "vis*"]);
    let scopes = Scope::ALL.map(|(scope, name)| (scope, add(dir.path(), name, &["--scope", name])));
    thread::sleep(Duration::from_millis(1_100));
    for route in ROUTES.iter().filter(|route| !matches!(route.need, Need::Nothing)) {
        let path = route.pattern.replace("{dataset}", "visits").replace("{key}", "1").replace("{id}", "none");
        let method = route.method.name();
        let status = |key: &str| with_key(&server, key, method, &path, "").status;
        let nobody = server.client().send(method, &path, &[], b"");
        let expected = if route.need == Need::Page { 303 } else { 401 };
        assert_eq!(nobody.status, expected, "{method} {path} without a key");
        for (name, key) in [("expired", &expired), ("revoked", &revoked)] {
            let reply = with_key(&server, &key.secret, method, &path, "");
            assert_eq!(reply.status, 401, "{method} {path} {name}");
            if method != "HEAD" {
                assert!(reply.problem(401).1.contains(name), "{method} {path} {name}");
            }
            assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
        }
        for (scope, key) in &scopes {
            let may = *scope == Scope::Admin || route.need.scopes().iter().all(|needed| needed == scope);
            let found = status(&key.secret);
            assert_eq!(found == 403, !may, "{method} {path} with {scope:?}: {found}");
            assert!(found != 401 && found < 500, "{method} {path} with {scope:?}: {found}");
        }
        if route.pattern.contains("{dataset}") {
            let is_admins = matches!(route.need, Need::Admin(_));
            assert_eq!(status(&elsewhere.secret), 403, "{method} {path} with a key for other datasets");
            assert_eq!(status(&there.secret) == 403, is_admins, "{method} {path} with a key for this one");
        }
    }
    for path in ["/healthz", "/readyz", "/signin"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_key_asks_about_its_datasets_alone() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &["--rate-limits", "heavy=unlimited"]);
    let admin = add(dir.path(), "admin", &["--scope", "admin"]).secret;
    let shop = add(dir.path(), "shop", &["--scope", "ingest,read", "--dataset", "shop_*"]).secret;
    for (key, dataset, status) in
        [(&admin, "orders", 200), (&shop, "shop_visits", 200), (&shop, "orders", 403), (&shop, "_audit", 403)]
    {
        let path = format!("/v1/datasets/{dataset}/events");
        assert_eq!(with_key(&server, key, "POST", &path, "{\"n\": 1}").status, status, "{dataset}");
    }
    let ask = |key: &str, path: &str, body: &str| with_key(&server, key, "POST", path, body).status;
    for (dataset, status) in [("shop_visits", 200), ("orders", 404), ("_audit", 404)] {
        let range = r#""range": {"last": "7d"}"#;
        for (path, body) in [
            ("/v1/sql", format!(r#"{{"sql": "SELECT count(*) FROM {dataset}"}}"#)),
            ("/v1/sql", format!(r#"{{"sql": "SELECT 1 WHERE EXISTS (SELECT 1 FROM {dataset})"}}"#)),
            ("/v1/query", format!(r#"{{"from": "{dataset}", "select": ["count()"]}}"#)),
            ("/v1/funnel", format!(r#"{{"from": "{dataset}", "by": "n", "steps": ["n = 1"], {range}}}"#)),
            ("/v1/retention", format!(r#"{{"from": "{dataset}", "by": "n", "period": "1d", {range}}}"#)),
            ("/v1/paths", format!(r#"{{"from": "{dataset}", "by": "n", "step": "n", "depth": 2, {range}}}"#)),
        ] {
            assert_eq!(ask(&shop, path, &body), status, "{path} {body}");
            if dataset == "orders" {
                assert_eq!(ask(&admin, path, &body), 200, "{path} {body}");
            }
        }
    }
    let told = with_key(&server, &shop, "POST", "/v1/sql", r#"{"sql": "SELECT 1 FROM order"}"#).text();
    assert!(!told.contains("orders"), "no hint names what is out of reach: {told}");
    let page = with_key(&server, &shop, "GET", "/", "").text();
    assert!(page.contains("shop_visits") && !page.contains("orders"), "{page}");
}

#[test]
fn no_auth_is_for_this_machine_alone() {
    let dir = temp_dir();
    let refused = run(dir.path(), &["serve", "--no-auth", "--listen", "0.0.0.0:0"]).exits(1);
    for word in ["--no-auth", "windrow keys add", "loopback"] {
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    assert!(!crate::common::database(dir.path()).exists());
}
