//! The page over a real store, called as the server calls it: what it shows, that it shows what the calls answer, and
//! that nothing of a dataset is ever read as a tag.

use std::net::SocketAddr;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Value, json};

use crate::http::Service;
use crate::http::access::Gate;
use crate::http::message::{Method, Request, Response};
use crate::http::routes;
use crate::query::budget::Limits;
use crate::query::warm::WarmList;
use crate::store::{Store, StoreOptions};
use crate::time::{self, DAY};

struct House {
    service: Service,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    House {
        service: Service::new(
            Arc::new(store),
            SocketAddr::from(([127, 0, 0, 1], 7878)),
            Limits::default(),
            WarmList::default(),
        ),
        _folder: folder,
    }
}

impl House {
    fn ask(&self, method: Method, target: &str, host: &str, body: &str) -> Response {
        let headers = vec![("host", host.to_owned())];
        let request =
            Request { headers, body: body.as_bytes().to_vec(), ..Request::new(method, target).unwrap() };
        routes::answer(&self.service, &request)
    }

    fn page(&self, target: &str) -> String {
        let reply = self.ask(Method::Get, target, "127.0.0.1:7878", "");
        assert_eq!(reply.status, 200, "{target}");
        String::from_utf8(reply.body).unwrap()
    }

    fn add(&self, dataset: &str, events: &[Value]) {
        let target = format!("/v1/datasets/{dataset}/events");
        let reply = self.ask(Method::Post, &target, "", &Value::from(events.to_vec()).to_string());
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }

    fn query(&self, body: &str) -> Value {
        let reply = self.ask(Method::Post, "/v1/query", "", body);
        assert_eq!(reply.status, 200, "{body}: {}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).unwrap()
    }
}

/// Events of the last days, some a day, with a field of many values, one of two and a bool.
fn recent() -> Vec<Value> {
    let event = |place: i64| {
        json!({
            "ts": time::format(time::now() - place * DAY / 10 - time::MINUTE),
            "path": format!("/page/{}", place * place % 11),
            "side": if place % 3 == 0 { "left" } else { "right" },
            "bot": place % 7 == 0,
        })
    };
    (0..400).map(event).collect()
}

/// A text of the page without its escapes.
fn plain(html: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

/// The queries that the page shows.
fn calls(page: &str) -> Vec<String> {
    let call = Regex::new(r"<pre>curl -s (\S+)/v1/query -d '([^\n]*)'</pre>").unwrap();
    let body = |found: regex::Captures<'_>| plain(&found[2]).replace(r"'\''", "'");
    call.captures_iter(page).map(body).collect()
}

/// All numbers between tags of this start and the next tag, in their order.
fn numbers(page: &str, start: &str) -> Vec<u64> {
    let found = Regex::new(&format!("{}([0-9,]+)<", regex::escape(start))).unwrap();
    found.captures_iter(page).map(|found| found[1].replace(',', "").parse().unwrap()).collect()
}

#[test]
fn the_page_shows_what_its_five_calls_answer() {
    let house = house();
    house.add("visits", &recent());
    let bars = Regex::new(r#"<rect class="bar[^>]*><title>[^:]*: ([0-9,]+)"#).unwrap();
    for target in ["/", "/?tz=Asia/Kolkata"] {
        let page = house.page(target);
        let answers: Vec<Value> = calls(&page).iter().map(|body| house.query(body)).collect();
        assert_eq!(answers.len(), 5, "{page}");
        assert!(page.contains("The five calls behind this page"));
        let column = |answer: &Value, at: usize| -> Vec<u64> {
            answer["rows"].as_array().unwrap().iter().map(|row| row[at].as_u64().unwrap()).collect()
        };
        let wide = page.split("class=\"chart wide\"").nth(1).unwrap().split("</svg>").next().unwrap();
        let drawn: Vec<u64> =
            bars.captures_iter(wide).map(|bar| bar[1].replace(',', "").parse().unwrap()).collect();
        assert_eq!(drawn, column(&answers[0], 1), "{target}");
        assert_eq!(drawn.len(), 30);
        let tiles = numbers(&page, "<dd class=\"number \">");
        assert_eq!(tiles[..2], [*drawn.last().unwrap(), drawn.iter().sum()], "today, and all days");
        assert_eq!(column(&answers[1], 0), [tiles[1]]);
        assert!(page.contains(&format!("{} in as long a time before", column(&answers[1], 1)[0])));
        let listed: Vec<u64> = answers[2..].iter().flat_map(|answer| column(answer, 1)).collect();
        assert_eq!(numbers(&page, "<td class=\"number\">"), listed);
        assert_eq!(wide.matches("partial").count(), 1, "today is not over");
    }
}

#[test]
fn nothing_of_a_dataset_is_read_as_a_tag() {
    let mut house = house();
    let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&\u{1}";
    let event = |place: i64| {
        let value = format!("{evil}{}", place % 3);
        json!({"ts": time::format(time::now() - place * DAY / 20), evil: value, "it's \"so\"": value})
    };
    house.add("visits", &(0..100).map(event).collect::<Vec<_>>());
    let page = house.page("/");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1}'), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"), "it is shown as text");
    let bodies = calls(&page);
    assert_eq!(bodies.len(), 4);
    for body in &bodies {
        assert_eq!(
            house.query(body)["rows"].as_array().unwrap().len() % 3,
            if body.contains("previous") { 1 } else { 0 }
        );
    }
    let host = "127.0.0.1\"><script>";
    let refused = house.ask(Method::Get, "/", host, "");
    assert_eq!((refused.status, String::from_utf8(refused.body).unwrap().contains("<script")), (421, false));
    // one that other machines reach is asked under any name
    house.service.gate = Gate::new(SocketAddr::from(([192, 0, 2, 1], 7878)), &[], true);
    let reply = house.ask(Method::Get, "/?dataset=%3Cscript%3E&tz=%22%3E%3Cscript%3E", host, "");
    let text = String::from_utf8(reply.body).unwrap();
    assert!((400..500).contains(&reply.status) && !text.contains("<script"), "{text}");
    assert!(
        String::from_utf8(house.ask(Method::Get, "/", host, "").body)
            .unwrap()
            .contains("http://127.0.0.1:7878/v1")
    );
}

#[test]
fn a_call_names_the_host_that_the_browser_knows() {
    let mut house = house();
    let hosts = ["windrow.example".to_owned()];
    house.service.gate = Gate::new(house.service.address, &hosts, true);
    house.add("visits", &recent());
    for host in ["localhost:9000", "[::1]:7878", "windrow.example"] {
        let page = String::from_utf8(house.ask(Method::Get, "/", host, "").body).unwrap();
        assert!(page.contains(&format!("curl -s http://{host}/v1/query")), "{host}");
    }
}

#[test]
fn the_reply_forbids_what_the_page_does_not_need() {
    let house = house();
    house.add("visits", &recent());
    let reply = house.ask(Method::Get, "/", "localhost", "");
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    let policy = reply.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "style-src 'sha256-", "base-uri 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    let page = String::from_utf8(reply.body).unwrap();
    for forbidden in [" style=", "<script", " onclick", "src=", "http://www", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    assert_eq!(house.ask(Method::Head, "/", "localhost", "").status, 200);
    assert_eq!(house.ask(Method::Post, "/", "localhost", "").status, 405);
}

#[test]
fn the_largest_dataset_is_shown_unless_another_is_asked_for() {
    let house = house();
    house.add("visits", &recent());
    house.add("orders", &[json!({"ts": time::format(time::now()), "total": 5})]);
    let page = house.page("/?tz=Asia/Tokyo");
    assert!(
        page.contains("<h1>visits</h1>") && page.contains("href=\"/?dataset=orders&amp;tz=Asia%2FTokyo\""),
        "{page}"
    );
    let page = house.page("/?dataset=orders");
    assert!(page.contains("<h1>orders</h1>") && page.contains("The 2 calls behind this page"), "{page}");
    assert!(page.contains("http-equiv=\"refresh\""));
    let page = house.page("/?dataset=orders&refresh=off");
    assert!(!page.contains("http-equiv=\"refresh\"") && page.contains("href=\"/?dataset=orders\""), "{page}");
}

#[test]
fn old_events_are_drawn_where_they_end_and_days_without_any_are_marked() {
    let house = house();
    house.add("visits", &[json!({"ts": "2020-02-10T10:00:00Z"}), json!({"ts": "2020-02-29T12:00:00Z"})]);
    let page = house.page("/");
    assert!(
        page.contains("No events in the last 30 days") && page.contains("29\u{a0}Feb\u{a0}2020"),
        "{page}"
    );
    let wide = page.split("class=\"chart wide\"").nth(1).unwrap().split("</svg>").next().unwrap();
    assert_eq!((wide.matches("class=\"bar\"").count(), wide.matches("class=\"gap\"").count()), (2, 28));
    assert!(!wide.contains("partial"));
}

#[test]
fn an_empty_database_tells_the_first_call() {
    let house = house();
    let page = house.page("/");
    assert!(page.contains("no events yet") && page.contains("/v1/datasets/visits/events"), "{page}");
    assert_eq!(house.ask(Method::Put, "/v1/datasets/orders", "localhost", "{}").status, 200);
    let page = house.page("/");
    assert!(page.contains("<h1>orders</h1>") && page.contains("/v1/datasets/orders/events"), "{page}");
}

#[test]
fn what_cannot_be_drawn_is_a_page_with_the_reason() {
    let house = house();
    house.add("visits", &recent());
    for (target, status, reason) in [
        ("/?dataset=visit", 404, "did you mean"),
        ("/?tz=Europe/Berlim", 400, "Berlim"),
        ("/?refresh=on", 400, "refresh=off"),
    ] {
        let reply = house.ask(Method::Get, target, "localhost", "");
        let page = String::from_utf8(reply.body.clone()).unwrap();
        assert_eq!(reply.status, status, "{target}");
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains(reason), "{target}: {page}");
    }
    assert_eq!(house.ask(Method::Get, "/?datset=visits", "localhost", "").status, 400);
}
