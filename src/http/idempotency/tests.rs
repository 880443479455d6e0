//! Requests with a key over a real store, called as the server calls them, with a clock of the test.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::http::Service;
use crate::http::routes::{self, ROUTES};
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};

const EVENTS: &str = "/v1/datasets/visits/events";

fn service(folder: &tempfile::TempDir, clock: fn() -> i64) -> Service {
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    let address = ([127, 0, 0, 1], 7878).into();
    let mut service = Service::new(Arc::new(store), address, Limits::default(), WarmList::default());
    service.idempotency = Idempotency::with_clock(clock);
    service
}

fn post(service: &Service, target: &str, key: &str, body: &str) -> Response {
    let mut request = Request::new(Method::Post, target).unwrap();
    request.headers.push((HEADER, key.to_owned()));
    request.body = body.as_bytes().to_vec();
    routes::answer(service, &request)
}

fn count(service: &Service) -> u64 {
    service.store.snapshot().datasets.get("visits").map_or(0, |dataset| dataset.rows())
}

fn detail(response: &Response) -> String {
    let json: Value = serde_json::from_slice(&response.body).unwrap();
    json["detail"].as_str().unwrap().to_owned()
}

#[test]
fn the_routes_that_create_are_in_the_table() {
    for (method, pattern) in CREATING {
        assert!(ROUTES.iter().any(|route| route.method == method && route.pattern == pattern), "{pattern}");
    }
}

#[test]
fn the_same_request_is_done_once_and_answered_alike() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    let body = "{\"n\":1}\nnonsense\n{\"n\":2}\n";
    let first = post(&service, EVENTS, "a", body);
    assert_eq!((first.status, first.header(REPLAYED)), (200, None));
    let again = post(&service, EVENTS, "a", body);
    assert_eq!((again.status, again.header(REPLAYED)), (200, Some("true")));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(count(&service), 2);
    // another key, another path: another request
    assert_eq!(post(&service, EVENTS, "b", body).header(REPLAYED), None);
    assert_eq!(post(&service, "/v1/datasets/other/events", "a", body).header(REPLAYED), None);
    assert_eq!(count(&service), 4);
}

#[test]
fn the_reply_that_is_kept_counts_the_duplicates_that_the_commit_found() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    let mut request = Request::new(Method::Put, "/v1/datasets/visits").unwrap();
    request.body = br#"{"id": "id", "dedupe": "all"}"#.to_vec();
    assert_eq!(routes::answer(&service, &request).status, 200);
    post(&service, EVENTS, "first", r#"{"id":1}"#);
    let some = post(&service, EVENTS, "some", r#"[{"id":1},{"id":2}]"#);
    let none = post(&service, EVENTS, "none", r#"[{"id":1},{"id":2}]"#);
    for (key, body, reply, accepted, duplicates) in
        [("some", r#"[{"id":1},{"id":2}]"#, some, 1, 1), ("none", r#"[{"id":1},{"id":2}]"#, none, 0, 2)]
    {
        let json: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(json, json!({"accepted": accepted, "duplicates": duplicates, "rejected": []}));
        let again = post(&service, EVENTS, key, body);
        assert_eq!((&again.body, again.header(REPLAYED)), (&reply.body, Some("true")));
    }
}

#[test]
fn the_same_key_with_another_body_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    post(&service, EVENTS, "a", "{\"n\":1}");
    let other = post(&service, EVENTS, "a", "{\"n\":2}");
    assert_eq!(other.status, 422);
    assert!(detail(&other).contains("\"a\"") && detail(&other).contains("new key"), "{}", detail(&other));
    assert_eq!(count(&service), 1);
}

#[test]
fn a_mistake_is_told_again_and_a_failure_that_passes_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    let first = post(&service, EVENTS, "a", "[1]");
    let again = post(&service, EVENTS, "a", "[1]");
    assert_eq!((first.status, again.status, again.header(REPLAYED)), (400, 400, Some("true")));
    assert_eq!(again.header("content-type"), Some(problem::CONTENT_TYPE));
    // nothing to accept is a reply, too
    assert_eq!(post(&service, EVENTS, "b", "[]").status, 200);
    assert_eq!(post(&service, EVENTS, "b", "[]").header(REPLAYED), Some("true"));
    service.store.close();
    assert_eq!(post(&service, EVENTS, "c", "{\"n\":1}").status, 503);
    let again = post(&service, EVENTS, "c", "{\"n\":1}");
    assert_eq!((again.status, again.header(REPLAYED)), (503, None));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    for key in ["", "caf\u{e9}", "a\tb", &"k".repeat(256)] {
        let refused = post(&service, EVENTS, key, "{\"n\":1}");
        assert_eq!(refused.status, 400, "{key:?}");
        assert!(detail(&refused).contains("255"), "{}", detail(&refused));
    }
    assert_eq!(post(&service, EVENTS, &"k".repeat(255), "{\"n\":1}").status, 200);
    assert_eq!(count(&service), 1);
}

#[test]
fn of_two_at_once_one_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&folder, time::now);
    for round in 0..20 {
        let barrier = Barrier::new(4);
        let replies: Vec<Response> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                post(&service, EVENTS, &format!("key {round}"), "{\"n\":1}")
            };
            let running: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let fresh = replies.iter().filter(|r| r.status == 200 && r.header(REPLAYED).is_none()).count();
        assert_eq!(fresh, 1, "one of them was the first");
        for reply in &replies {
            assert!(matches!(reply.status, 200 | 409), "{}", reply.status);
            assert!(reply.status == 200 || reply.header("retry-after") == Some("1"));
        }
        assert_eq!(count(&service), round + 1);
    }
}

#[test]
fn who_is_in_flight_is_told_so_until_it_ends() {
    let among = Idempotency::default();
    let first = among.enter([1; 32]);
    assert!(first.is_some() && among.enter([1; 32]).is_none() && among.enter([2; 32]).is_some());
    drop(first);
    assert!(among.enter([1; 32]).is_some());
}

static NOW_US: AtomicI64 = AtomicI64::new(0);

#[test]
fn a_key_is_forgotten_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    NOW_US.store(time::now(), Ordering::SeqCst);
    let service = service(&folder, || NOW_US.load(Ordering::SeqCst));
    let later = |time: Duration| _ = NOW_US.fetch_add(time.as_micros() as i64, Ordering::SeqCst);
    post(&service, EVENTS, "a", "{\"n\":1}");
    later(Duration::from_secs(24 * 3_600 - 1));
    assert_eq!(post(&service, EVENTS, "a", "{\"n\":1}").header(REPLAYED), Some("true"));
    later(Duration::from_secs(2));
    let anew = post(&service, EVENTS, "a", "{\"n\":2}");
    assert_eq!((anew.status, anew.header(REPLAYED)), (200, None));
    assert_eq!(count(&service), 2);
}
