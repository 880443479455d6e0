//! Limits through a service whose clients are of the test's making, called as the server calls it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::*;
use crate::http::message::Request;
use crate::http::routes::{self, ROUTES};
use crate::limiter::Limiter;
use crate::limiter::policy::Policies;
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

const ADDRESS: &str = "192.0.2.1";

fn service(folder: &tempfile::TempDir, limits: &str, subject: fn(&Access, &Request) -> Subject) -> Service {
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    let address = ([127, 0, 0, 1], 7878).into();
    let service = Service::new(Arc::new(store), address, Limits::default(), WarmList::default());
    let mut service = service.with_rate_limits(Policies::read(limits).unwrap());
    service.subject = subject;
    service
}

fn anonymous(_: &Access, _: &Request) -> Subject {
    Subject::Address(ADDRESS.parse().unwrap())
}

fn ask(service: &Service, method: Method, target: &str, body: &str) -> Response {
    let request = Request { body: body.as_bytes().to_vec(), ..Request::new(method, target).unwrap() };
    routes::answer(service, &request)
}

const EVENTS: &str = "/v1/datasets/visits/events";
const SQL: &str = r#"{"sql": "SELECT 1 AS one"}"#;

#[test]
fn the_routes_of_the_classes_are_in_the_table() {
    for (method, pattern, _) in CLASSES {
        assert!(ROUTES.iter().any(|route| route.method == method && route.pattern == pattern), "{pattern}");
    }
}

#[test]
fn a_client_is_told_what_is_left_and_when_it_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = service(&folder, "general=3/min", anonymous);
    static NOW_S: AtomicU64 = AtomicU64::new(0);
    service.limiter = Limiter::with_clock(|| Duration::from_secs(NOW_S.load(Ordering::SeqCst)));
    for left in [2, 1, 0] {
        let reply = ask(&service, Method::Get, "/v1/datasets", "");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("RateLimit-Policy"), Some("\"general\";q=3;w=60"));
        let reset = 60 - 20 * left;
        assert_eq!(reply.header("RateLimit").unwrap(), format!("\"general\";r={left};t={reset}"));
    }
    let refused = ask(&service, Method::Get, "/v1/datasets", "");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("20")));
    assert_eq!(refused.header("RateLimit"), Some("\"general\";r=0;t=60"));
    let told: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(told["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((&told["violated-policies"][0], &told["status"]), (&"general".into(), &429.into()));
    assert!(told["detail"].as_str().unwrap().contains("in 20 s"), "{told}");
    // what watchers ask is free
    let health = ask(&service, Method::Get, "/healthz", "");
    assert_eq!((health.status, health.header("RateLimit")), (200, None));
    NOW_S.store(20, Ordering::SeqCst);
    assert_eq!(ask(&service, Method::Get, "/v1/datasets", "").status, 200);
    let figures = service.limiter.figures();
    assert_eq!((figures.policies[0].allowed, figures.policies[0].refused), (4, 1));
}

#[test]
fn heavy_requests_have_a_limit_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "", anonymous);
    for _ in 0..10 {
        assert_eq!(ask(&service, Method::Post, "/v1/sql", SQL).status, 200);
    }
    let refused = ask(&service, Method::Post, "/v1/sql", SQL);
    assert_eq!(refused.status, 429);
    let told: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(told["violated-policies"], serde_json::json!(["heavy"]));
    assert_eq!(ask(&service, Method::Get, "/v1/datasets", "").status, 200);
    assert!(refused.header("RateLimit-Policy").unwrap().contains("\"heavy\";q=10;w=60"));
}

#[test]
fn what_is_sent_is_counted_by_events_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "events=5/min, bytes=1000/min", anonymous);
    let first = ask(
        &service,
        Method::Post,
        EVENTS,
        "{\"n\":1}\n{\"n\":2}\nnonsense\n{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n",
    );
    assert_eq!(first.status, 200);
    assert!(first.header("RateLimit-Policy").unwrap().contains("\"bytes\";q=1000;qu=\"content-bytes\";w=60"));
    let refused = ask(&service, Method::Post, EVENTS, "{\"n\":6}");
    let told: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((refused.status, &told["violated-policies"]), (429, &serde_json::json!(["events"])));
    assert_eq!(service.store.snapshot().datasets["visits"].rows(), 5, "nothing of it was kept");

    let folder = tempfile::tempdir().unwrap();
    let service = super::tests::service(&folder, "bytes=100/min", anonymous);
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(80));
    assert_eq!(ask(&service, Method::Post, EVENTS, &body).status, 200);
    assert_eq!(ask(&service, Method::Post, EVENTS, &body).status, 429);
}

#[test]
fn failed_requests_may_be_left_uncounted() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "general=2/min uncounted", anonymous);
    for _ in 0..5 {
        assert_eq!(ask(&service, Method::Get, "/v1/datasets/none", "").status, 404);
    }
    for status in [200, 200, 429] {
        assert_eq!(ask(&service, Method::Get, "/v1/datasets", "").status, status);
    }
    assert_eq!(service.limiter.figures().policies[0].given_back, 5);
}

#[test]
fn who_is_unlimited_sees_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "general=1/min, heavy=1/min", |_, _| Subject::Unlimited);
    for _ in 0..5 {
        let reply = ask(&service, Method::Post, "/v1/sql", SQL);
        assert_eq!((reply.status, reply.header("RateLimit")), (200, None));
    }
}

#[test]
fn a_key_has_the_default_limits_or_its_own() {
    fn key(_: &Access, request: &Request) -> Subject {
        let own = Policies::read("general=4/min").unwrap();
        let own = own.named(policy::GENERAL).into_iter().cloned().collect();
        let has_own = request.parameter("tz").is_some();
        Subject::Key { id: if has_own { "own" } else { "plain" }.into(), own: has_own.then_some(own) }
    }
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "general=2/min, heavy=1/min", key);
    let count =
        |target: &str| (0..9).take_while(|_| ask(&service, Method::Get, target, "").status == 200).count();
    assert_eq!(count("/v1/datasets"), 2);
    // the page is heavy, for which the key's own limits say nothing
    assert_eq!(count("/?tz=UTC"), 4);
}

#[test]
fn only_so_many_heavy_requests_go_on_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, "concurrent=2, concurrent_unlimited=1", anonymous);
    let subject = Subject::Address(ADDRESS.parse().unwrap());
    let first = admit(&service, &subject, Class::Heavy, 0).unwrap();
    let second = admit(&service, &subject, Class::Heavy, 0).unwrap();
    let refused = ask(&service, Method::Post, "/v1/sql", SQL);
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("1")));
    assert_eq!(ask(&service, Method::Get, "/v1/datasets", "").status, 200, "others go on");
    let unlimited = admit(&service, &Subject::Unlimited, Class::Heavy, 0).unwrap();
    assert_eq!(admit(&service, &Subject::Unlimited, Class::Heavy, 0).unwrap_err().status, 503);
    drop((first, unlimited));
    assert_eq!(ask(&service, Method::Post, "/v1/sql", SQL).status, 200);
    second.settle(0, &mut Response::default());
    // what was refused did not use anything up: three of ten did
    let left = ask(&service, Method::Post, "/v1/sql", SQL);
    assert!(left.header("RateLimit").unwrap().contains("\"heavy\";r=6;"), "{:?}", left.header("RateLimit"));
}

#[test]
fn keys_are_bound_by_the_limits_that_are_theirs_and_administrators_by_none() {
    use crate::http::access::{Via, Who};
    use crate::store::keys::secret::Secret;
    use crate::store::keys::{Grant, Key, Scope};

    let of = |scope: Scope, limits: Option<KeyLimits>| {
        let grant = Grant { scopes: vec![scope], limits, ..Grant::default() };
        let key = Key::new("k".into(), grant, None, &Secret::draw().unwrap(), 1);
        subject(&Access::of(Who::Key(Arc::new(key), Via::Request)), &Request::default())
    };
    assert!(matches!(of(Scope::Admin, None), Subject::Unlimited));
    assert!(matches!(of(Scope::Read, None), Subject::Key { own: None, .. }));
    let limits = KeyLimits { requests_per_minute: Some(5), ..KeyLimits::default() };
    let Subject::Key { own: Some(own), .. } = of(Scope::Read, Some(limits)) else { panic!("it has its own") };
    let told: Vec<_> =
        own.iter().map(|policy| (&*policy.name, policy.rate.quota, policy.rate.window)).collect();
    assert_eq!(told, [("general", 5, Duration::from_secs(60))]);
    let from = Request { address: Some(ADDRESS.parse().unwrap()), ..Request::default() };
    assert!(matches!(subject(&Access::of(Who::Nobody), &from), Subject::Address(_)));
    assert!(matches!(subject(&Access::of(Who::Anyone), &from), Subject::Unlimited));
}
