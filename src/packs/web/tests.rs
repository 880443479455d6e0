//! What the sample data of the web pack promise: exactness, order, rhythm, people who come back, visits with a path.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::packs::UNTIL_US;
use crate::time::{DAY, HOUR};

fn request(seed: u64, rows: u64, days: i64) -> SampleRequest {
    SampleRequest { seed, rows, from_us: UNTIL_US - days * DAY, until_us: UNTIL_US }
}

fn written(request: &SampleRequest) -> Vec<u8> {
    let mut out = Vec::new();
    write(request, &mut out).unwrap();
    out
}

fn events(request: &SampleRequest) -> Vec<Value> {
    let lines = written(request);
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn text<'e>(event: &'e Value, field: &str) -> &'e str {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}"))
}

fn time(event: &Value) -> i64 {
    time::parse(text(event, "ts")).unwrap()
}

#[test]
fn there_are_exactly_as_many_events_as_asked_for_in_order_and_within_the_span() {
    for (rows, days) in [(1, 1), (2, 90), (39, 1), (1_000, 1), (5_000, 90), (20_000, 400)] {
        let request = request(5, rows, days);
        let times: Vec<i64> = events(&request).iter().map(time).collect();
        assert_eq!(times.len() as u64, rows, "{days} days");
        assert!(times.is_sorted(), "{rows} in {days} days");
        assert!(times[0] >= request.from_us && times[times.len() - 1] < request.until_us);
    }
}

#[test]
fn a_span_of_a_moment_holds_its_events_too() {
    for length in [1, 999, 1_000, HOUR] {
        let from_us = UNTIL_US + 17;
        let request = SampleRequest { seed: 1, rows: 50, from_us, until_us: from_us + length };
        let times: Vec<i64> = Events::new(request).map(|event| event.time_us).collect();
        assert_eq!(times.len(), 50, "{length} µs");
        assert!(times.iter().all(|time| (from_us..from_us + length).contains(time)), "{length} µs");
    }
}

#[test]
fn the_same_request_gives_the_same_bytes_and_another_seed_others() {
    assert_eq!(written(&request(1, 500, 30)), written(&request(1, 500, 30)));
    assert_ne!(written(&request(1, 500, 30)), written(&request(2, 500, 30)));
}

#[test]
fn weekends_and_nights_are_quiet() {
    let (mut weekdays, mut weekends, mut by_hour) = (0, 0, BTreeMap::<i64, u64>::new());
    for event in events(&request(1, 60_000, 28)).iter().filter(|event| event["country"] == "DE") {
        let local = time(event) + HOUR;
        match (local.div_euclid(DAY) + 3).rem_euclid(7) {
            0..5 => weekdays += 1,
            _ => weekends += 1,
        }
        *by_hour.entry(local.rem_euclid(DAY) / HOUR).or_default() += 1;
    }
    let (a_weekday, a_weekend_day) = (weekdays / 20, weekends / 8);
    assert!(a_weekend_day * 100 < a_weekday * 90, "{a_weekend_day} against {a_weekday} a day");
    assert!(by_hour[&3] * 5 < by_hour[&10], "{by_hour:?}");
}

#[test]
fn visitors_come_back_as_who_they_were() {
    let events = events(&request(1, 20_000, 60));
    let mut days = BTreeMap::<&str, BTreeSet<i64>>::new();
    let mut machines = BTreeMap::<&str, BTreeSet<[&str; 4]>>::new();
    for event in &events {
        let visitor = text(event, "visitor_id");
        days.entry(visitor).or_default().insert(time(event).div_euclid(DAY));
        let machine = ["country", "device", "os", "browser"].map(|field| text(event, field));
        machines.entry(visitor).or_default().insert(machine);
    }
    let returned = days.values().filter(|days| days.len() > 1).count();
    assert!(returned * 100 / days.len() >= 10, "{returned} of {} visitors came back", days.len());
    assert!(machines.values().all(|machines| machines.len() == 1), "a visitor keeps country and device");
}

#[test]
fn a_purchase_has_its_path_before_it_and_its_price() {
    let events = events(&request(1, 30_000, 60));
    let mut sessions = BTreeMap::<&str, Vec<&Value>>::new();
    for event in &events {
        sessions.entry(text(event, "session_id")).or_default().push(event);
    }
    let mut purchases = 0;
    for session in sessions.values() {
        assert!(session.iter().all(|event| event["visitor_id"] == session[0]["visitor_id"]));
        assert_eq!(session[0]["event"], "pageview", "a visit begins with a page");
        let place = |event: &str| session.iter().position(|found| found["event"] == event);
        let Some(purchase) = place("purchase") else { continue };
        purchases += 1;
        let cart = place("add_to_cart").expect("a purchase without a cart");
        assert!(cart >= 2 && cart < purchase, "{session:?}");
        assert!(session[purchase]["revenue"].as_f64().is_some_and(|revenue| revenue >= 9.9));
    }
    assert!(purchases > 50, "{purchases}");
    let only_there =
        |field: &str, kind: &str| events.iter().all(|e| e.get(field).is_some() == (e["event"] == kind));
    assert!(only_there("revenue", "purchase") && only_there("duration_ms", "pageview"));
}

#[test]
fn few_pages_have_most_of_the_views_and_robots_reach_no_goal() {
    let events = events(&request(1, 20_000, 60));
    let mut pages = BTreeMap::<(&str, &str), u64>::new();
    for event in &events {
        *pages.entry((text(event, "site"), text(event, "path"))).or_default() += 1;
        assert!(event["bot"] == false || event["event"] == "pageview", "{event}");
    }
    let mut counts: Vec<u64> = pages.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    assert!(counts.len() > 50 && counts[..10].iter().sum::<u64>() * 5 > 2 * 20_000, "{counts:?}");
    assert!(events.iter().any(|event| event["bot"] == true));
}

/// Data that were written once are what the same command writes for ever: tests, documents and measurements of others
/// rest on them.
#[test]
fn the_sample_in_the_repository_is_what_its_command_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/web/pageviews.ndjson");
    let kept = std::fs::read(path).unwrap();
    let again = written(&SampleRequest {
        seed: 1,
        rows: 1_000,
        from_us: UNTIL_US - crate::packs::DAYS as i64 * DAY,
        until_us: UNTIL_US,
    });
    assert!(kept == again, "write {path} anew, as data/README.md says, and tell of it in CHANGELOG.md");
}
