//! Who is let in for what, over the table of routes: each row with every sort of key, generated from the table itself.

use std::net::SocketAddr;

use super::*;
use crate::cache::{Cache, CacheOptions};
use crate::http::Service;
use crate::http::routes::{self, ROUTES, Route};
use crate::limiter::policy::Policies;
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::StoreOptions;
use crate::store::keys::Grant;
use crate::store::keys::secret::Secret;

struct House {
    service: Service,
    _folder: tempfile::TempDir,
}

const ADDRESS: &str = "127.0.0.1:7878";

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap());
    let address: SocketAddr = ADDRESS.parse().unwrap();
    let gate = Gate::new(address, &[], false).with_owner("the pass");
    let cache = Cache::open(CacheOptions::beside(folder.path().join("a.db")));
    let limits = Limits { cache: Some(cache), ..Limits::default() };
    let service = Service::new(store, address, limits, WarmList::default()).with_gate(gate);
    // how often is asked is no matter here
    let service = service.with_rate_limits(Policies::read("general=unlimited, heavy=unlimited").unwrap());
    House { service, _folder: folder }
}

impl House {
    fn key(&self, scopes: &[Scope], datasets: &[&str], filter: Option<&str>) -> String {
        let secret = Secret::draw().unwrap();
        let grant = Grant {
            scopes: scopes.to_vec(),
            datasets: datasets.iter().map(|name| (*name).to_owned()).collect(),
            filter: filter.map(str::to_owned),
            limits: None,
        };
        self.service.store.make_key(Key::new("k".into(), grant, None, &secret, time::now())).unwrap();
        secret.text().to_owned()
    }

    fn ask(&self, method: Method, path: &str, headers: &[(&'static str, &str)], body: &str) -> Response {
        let mut request = Request { body: body.as_bytes().to_vec(), ..Request::new(method, path).unwrap() };
        request.headers.push(("host", ADDRESS.into()));
        request.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        routes::answer(&self.service, &request)
    }

    fn with_key(&self, method: Method, path: &str, key: &str, body: &str) -> Response {
        self.ask(method, path, &[("authorization", &format!("Bearer {key}"))], body)
    }

    fn text(&self, key: &str, sql: &str) -> (u16, String) {
        let body = serde_json::json!({ "sql": sql }).to_string();
        let reply = self.with_key(Method::Post, "/v1/sql", key, &body);
        (reply.status, String::from_utf8(reply.body).unwrap())
    }
}

/// The path of a route with a dataset in it.
fn path_of(route: &Route, dataset: &str) -> String {
    route.pattern.replace("{dataset}", dataset).replace("{key}", "1").replace("{id}", "none")
}

#[test]
fn every_route_is_refused_without_a_key_and_takes_the_scope_that_it_needs() {
    let house = house();
    let scopes = Scope::ALL.map(|(scope, _)| (scope, house.key(&[scope], &[], None)));
    for route in &ROUTES {
        let path = path_of(route, "visits");
        let name = format!("{} {path}", route.method.name());
        let nobody = house.ask(route.method, &path, &[], "");
        match route.need {
            Need::Nothing => assert_ne!(nobody.status, 401, "{name}"),
            Need::Page => {
                assert_eq!((nobody.status, nobody.header("location")), (303, Some("/signin")), "{name}")
            }
            _ => {
                assert_eq!(nobody.status, 401, "{name}");
                assert!(nobody.header("WWW-Authenticate").unwrap().starts_with("Bearer"), "{name}");
            }
        }
        for (scope, key) in &scopes {
            let reply = house.with_key(route.method, &path, key, "");
            if route.pattern == "/signin" {
                // 403 is the form again, with what is wrong
                continue;
            }
            let may = *scope == Scope::Admin || route.need.scopes().iter().all(|needed| needed == scope);
            assert_eq!(reply.status == 403, !may, "{name} with {scope:?}: {}", reply.status);
            assert!(reply.status != 401 && reply.status < 500, "{name} with {scope:?}: {}", reply.status);
        }
        let stranger = house.with_key(route.method, &path, Secret::draw().unwrap().text(), "");
        assert_eq!(stranger.status == 401, route.need != Need::Nothing, "{name}: {}", stranger.status);
    }
}

#[test]
fn a_key_touches_its_datasets_alone() {
    let house = house();
    let both = [Scope::Ingest, Scope::Read];
    let (bound, free) = (house.key(&both, &["web_*"], None), house.key(&both, &[], None));
    for route in ROUTES.iter().filter(|route| route.pattern.contains("{dataset}")) {
        for (dataset, key, may) in [
            ("web_a", &bound, true),
            ("orders", &bound, false),
            ("orders", &free, true),
            ("_audit", &free, false),
        ] {
            let needs_admin = matches!(route.need, Need::Admin(_));
            let reply = house.with_key(route.method, &path_of(route, dataset), key, "");
            let name = format!("{} {} of {dataset}", route.method.name(), route.pattern);
            assert_eq!(reply.status == 403, needs_admin || !may, "{name}: {}", reply.status);
        }
    }
}

#[test]
fn a_question_sees_no_dataset_that_the_key_may_not_read() {
    let house = house();
    let admin = house.key(&[Scope::Admin], &[], None);
    for dataset in ["web_a", "orders"] {
        let path = format!("/v1/datasets/{dataset}/events");
        assert_eq!(house.with_key(Method::Post, &path, &admin, "{\"n\": 1}").status, 200);
    }
    let declared = house.with_key(Method::Put, "/v1/datasets/orders", &admin, "{}");
    assert_eq!(declared.status, 200, "and there is an entry in the audit log");
    let key = house.key(&[Scope::Read], &["web_*"], None);
    for sql in ["SELECT n FROM web_a", "WITH t AS (SELECT n FROM web_a) SELECT n FROM t"] {
        assert_eq!(house.text(&key, sql).0, 200, "{sql}");
    }
    let everything = house.key(&[Scope::Read], &[], None);
    for (key, dataset) in [(&key, "orders"), (&key, "_audit"), (&everything, "_audit")] {
        for sql in [
            format!("SELECT count(*) FROM {dataset}"),
            format!("SELECT count(*) FROM web_a WHERE n IN (SELECT n FROM {dataset})"),
            format!("WITH t AS (SELECT * FROM {dataset}) SELECT count(*) FROM t"),
            format!("SELECT a.n FROM web_a a JOIN {dataset} b ON a.n = b.n"),
            format!("SELECT n FROM web_a UNION ALL SELECT 1 FROM {dataset}"),
            format!("EXPLAIN SELECT count(*) FROM {dataset}"),
        ] {
            // of which the one who may read everything has an answer
            let sql =
                if dataset == "_audit" { sql.replace("SELECT n FROM _", "SELECT 1 FROM _") } else { sql };
            assert_eq!(house.text(&admin, &sql.replace("b.n", "a.n")).0, 200, "{sql}");
            let (status, told) = house.text(key, &sql);
            assert_eq!(status, 404, "{sql}: {told}");
        }
        for end in ["rows?", "search?q=a&"] {
            let path = format!("/v1/datasets/web_a/{end}where=n%20IN%20(SELECT%20n%20FROM%20{dataset})");
            assert_eq!(
                house.with_key(Method::Get, &path, key, "").status,
                400,
                "a condition is of one dataset"
            );
        }
        let query = format!(r#"{{"from": "{dataset}", "select": ["count()"]}}"#);
        assert_eq!(house.with_key(Method::Post, "/v1/query", key, &query).status, 404);
    }
    let listed = house.with_key(Method::Get, "/v1/datasets?all=true", &key, "");
    let listed = String::from_utf8(listed.body).unwrap();
    assert!(listed.contains("web_a") && !listed.contains("orders") && !listed.contains("_audit"), "{listed}");
}

#[test]
fn an_answer_that_is_kept_is_not_given_to_who_may_not_ask() {
    let house = house();
    let (admin, key) = (house.key(&[Scope::Admin], &[], None), house.key(&[Scope::Read], &["web_*"], None));
    house.with_key(Method::Post, "/v1/datasets/orders/events", &admin, "{\"n\": 1}");
    let body = r#"{"from": "orders", "select": ["sum(n)"], "cache": "1h"}"#;
    for (key, status) in [(&admin, 200), (&admin, 200), (&key, 404)] {
        assert_eq!(house.with_key(Method::Post, "/v1/query", key, body).status, status);
    }
}

#[test]
fn a_key_with_a_filter_reads_and_writes_its_rows_alone() {
    let house = house();
    let admin = house.key(&[Scope::Admin], &[], None);
    let key = house.key(&[Scope::Ingest, Scope::Read], &[], Some("tenant = 'a'"));
    let events = "{\"tenant\": \"a\", \"n\": 1}\n{\"tenant\": \"b\", \"n\": 2}";
    assert_eq!(house.with_key(Method::Post, "/v1/datasets/visits/events", &admin, events).status, 200);
    let sum = |key: &str| {
        let body = r#"{"from": "visits", "select": ["sum(n)"]}"#;
        let reply = house.with_key(Method::Post, "/v1/query", key, body);
        serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()["rows"].clone()
    };
    assert_eq!((sum(&admin), sum(&key)), (serde_json::json!([[3]]), serde_json::json!([[1]])));
    let reply = house.with_key(Method::Post, "/v1/datasets/visits/events", &key, events);
    let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&reply["accepted"], &reply["rejected"][0]["index"]), (&1.into(), &1.into()));
    assert_eq!(sum(&key), serde_json::json!([[2]]));
    for (method, path) in [(Method::Get, "/v1/datasets/_audit"), (Method::Get, "/v1/cache")] {
        assert_eq!(house.with_key(method, path, &key, "").status, 403, "{path}");
    }
}

#[test]
fn a_filter_that_can_no_longer_be_read_lets_nothing_through() {
    let grant =
        |filter: &str| crate::store::keys::Grant { filter: Some(filter.into()), ..Default::default() };
    assert!(reach_of(&grant("tenant = ")).is_err() && reach_of(&grant("1 / n > 2")).is_err());
    assert!(!crate::query::reach::Reach::nothing().takes("visits"));
    assert!(!crate::query::reach::Reach::nothing().is_everything());
}

#[test]
fn what_a_browser_sends_along_by_itself_changes_nothing_for_pages_of_others() {
    let house = house();
    let token = house.service.gate.sessions.begin(Holder::Browser, time::now()).unwrap();
    let cookie = format!("{}={token}", house.service.gate.cookie());
    let own = format!("http://{ADDRESS}");
    let cases: [(&[(&'static str, &str)], bool); 7] = [
        (&[], false),
        (&[("origin", "https://evil.example")], false),
        (&[("origin", "null")], false),
        (&[("origin", "http://127.0.0.1:1")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("origin", &own)], true),
        (&[("sec-fetch-site", "same-origin")], true),
    ];
    for route in ROUTES.iter().filter(|route| route.method != Method::Get && route.pattern != "/signin") {
        for (headers, may) in &cases {
            let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
            // the last one ends the session
            let path = if route.pattern == "/signout" && *may {
                "/v1/none".into()
            } else {
                path_of(route, "visits")
            };
            let reply = house.ask(route.method, &path, &headers, "");
            let told = String::from_utf8(reply.body).unwrap();
            assert_eq!(
                reply.status == 403 && told.contains("cross-site"),
                !may,
                "{path} {headers:?}: {told}"
            );
        }
    }
    let page = house.ask(Method::Get, "/", &[("cookie", &cookie), ("sec-fetch-site", "cross-site")], "");
    assert_eq!(page.status, 200, "a link of another page leads here");
}

#[test]
fn names_that_are_not_of_this_server_are_misdirected_whatever_the_route() {
    let house = house();
    let admin = house.key(&[Scope::Admin], &[], None);
    for route in &ROUTES {
        let mut request = Request::new(route.method, &path_of(route, "visits")).unwrap();
        request.headers.push(("host", "evil.example:7878".into()));
        request.headers.push(("authorization", format!("Bearer {admin}")));
        let reply = routes::answer(&house.service, &request);
        assert_eq!(reply.status, 421, "{} {}", route.method.name(), route.pattern);
    }
}

#[test]
fn pages_of_others_send_events_with_an_ingest_key_and_read_nothing_else() {
    let house = house();
    let (ingest, both) =
        (house.key(&[Scope::Ingest], &[], None), house.key(&[Scope::Ingest, Scope::Read], &[], None));
    let origin = ("origin", "https://shop.example");
    let asks = [origin, ("access-control-request-method", "POST")];
    for route in &ROUTES {
        let path = path_of(route, "visits");
        let is_events = route.pattern == origin::SHARED_PATTERN;
        let asked = house.ask(Method::Options, &path, &asks, "");
        let allowed = asked.header("Access-Control-Allow-Origin");
        assert_eq!((asked.status, allowed), (204, is_events.then_some("*")), "{path}");
        for key in [&ingest, &both] {
            let headers = [origin, ("authorization", &format!("Bearer {key}"))];
            let reply = house.ask(route.method, &path, &headers, "{}");
            let is_shared = reply.header("Access-Control-Allow-Origin").is_some();
            let expected = is_events && route.method == Method::Post && key == &ingest;
            assert_eq!(is_shared, expected, "{} {path}", route.method.name());
            assert_eq!(reply.header("Access-Control-Allow-Credentials"), None);
        }
    }
}

#[test]
fn the_cookie_is_for_tls_where_it_came_by_tls() {
    for is_secure in [true, false] {
        let house = house();
        let code = house.service.gate.sessions.draw_code(time::now()).unwrap();
        let target = format!("/signin?code={code}");
        let head = Request { is_secure, ..Request::new(Method::Head, &target).unwrap() };
        let seen = routes::answer(&house.service, &head);
        assert_eq!((seen.status, seen.header("Set-Cookie")), (200, None), "a preview does not use it up");
        let reply = routes::answer(&house.service, &Request { method: Method::Get, ..head });
        let cookie = reply.header("Set-Cookie").unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.contains("; Path=/"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
    }
}

#[test]
fn the_owner_of_the_file_is_let_in() {
    let house = house();
    assert_eq!(house.with_key(Method::Get, "/v1/keys", "the pass", "").status, 200);
    assert_eq!(house.with_key(Method::Get, "/v1/keys", "the pas", "").status, 401);
    assert_eq!(house.with_key(Method::Get, "/v1/keys", "", "").status, 401);
}

#[test]
fn with_no_auth_pages_of_others_change_nothing_and_all_else_is_let_in() {
    let mut house = house();
    house.service.gate = Gate::new(ADDRESS.parse().unwrap(), &[], true);
    let evil = [("origin", "https://evil.example")];
    for route in &ROUTES {
        let path = path_of(route, "visits");
        let reply = house.ask(route.method, &path, &evil, "");
        // nor are they told what is new: a WebSocket has no rule that keeps its messages from them
        assert_eq!(
            reply.status == 403,
            route.method != Method::Get || route.pattern == "/v1/live",
            "{} {path}: {}",
            route.method.name(),
            reply.status
        );
        let own = house.ask(route.method, &path, &[("sec-fetch-site", "same-origin")], "");
        assert!(!matches!(own.status, 401 | 403), "{} {path}: {}", route.method.name(), own.status);
        let asked =
            house.ask(Method::Options, &path, &[evil[0], ("access-control-request-method", "POST")], "");
        assert_eq!((asked.status, asked.header("Access-Control-Allow-Origin")), (204, None));
    }
}
