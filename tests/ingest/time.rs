//! Which field becomes `_time`: the first whose name says so and whose values are plausible times.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::common::{Server, assert_says, micros, micros_of, temp_dir};

/// The instant of the only event of a dataset.
fn time_of(server: &Server, dataset: &str) -> i64 {
    micros(&server.rows(dataset, "_time")[0]["_time"])
}

/// Posts one event and tells the type of a field and whether `_time` is its arrival.
fn outcome(server: &Server, dataset: &str, event: &str, field: &str) -> (String, bool) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let before = now();
    server.accepted(dataset, event);
    let arrived = (before - 1_000_000..=now() + 1_000_000).contains(&time_of(server, dataset));
    (server.type_of(dataset, field).unwrap_or_else(|| panic!("{field} is unknown")), arrived)
}

#[test]
fn every_notation_of_the_contract_is_read() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let notations = [
        (r#""2023-11-14T22:13:20Z""#, "2023-11-14T22:13:20Z"),
        (r#""2023-11-14T22:13:20.5Z""#, "2023-11-14T22:13:20.5Z"),
        (r#""2023-11-14T23:13:20.000001+01:00""#, "2023-11-14T22:13:20.000001Z"),
        (r#""2023-11-14""#, "2023-11-14T00:00:00Z"),
        (r#""2023-11-14 22:13:20""#, "2023-11-14T22:13:20Z"),
        (r#""14/Nov/2023:22:13:20 +0000""#, "2023-11-14T22:13:20Z"),
        (r#""14/Nov/2023:23:13:20 +0100""#, "2023-11-14T22:13:20Z"),
        ("1700000000", "2023-11-14T22:13:20Z"),
        ("1700000000.25", "2023-11-14T22:13:20.25Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        ("1700000000123456", "2023-11-14T22:13:20.123456Z"),
        ("1700000000123456000", "2023-11-14T22:13:20.123456Z"),
    ];
    for (at, (written, wanted)) in notations.iter().enumerate() {
        let dataset = format!("d{at}");
        server.accepted(&dataset, format!("{{\"n\":1,\"ts\":{written}}}"));
        assert_eq!(time_of(&server, &dataset), micros_of(wanted).unwrap(), "{written}");
        assert_eq!(server.type_of(&dataset, "ts").as_deref(), Some("time"), "{written}");
        let kept = &server.rows(&dataset, "ts")[0]["ts"];
        assert_eq!(micros(kept), micros_of(wanted).unwrap(), "the field keeps its name: {written}");
    }
}

#[test]
fn every_name_of_the_contract_is_known_whole_or_as_a_word() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let names = [
        "time",
        "ts",
        "timestamp",
        "@timestamp",
        "date",
        "datetime",
        "created_at",
        "dateAdded",
        "event_time",
        "Flight Date",
        "log-timestamp",
        "http.date",
        "TimeStarted",
    ];
    for (at, name) in names.iter().enumerate() {
        let dataset = format!("d{at}");
        server.accepted(&dataset, json!({"n": 1, *name: "2001-02-03T04:05:06Z"}).to_string());
        assert_eq!(time_of(&server, &dataset), micros_of("2001-02-03T04:05:06Z").unwrap(), "{name}");
    }
}

#[test]
fn a_name_that_only_contains_such_letters_is_no_time() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for (at, name) in ["candidate", "update", "runtime", "seen", "starts", "birthdate"].iter().enumerate() {
        let event = json!({ *name: "2001-02-03T04:05:06Z" }).to_string();
        let (kind, arrived) = outcome(&server, &format!("d{at}"), &event, name);
        assert_eq!((kind.as_str(), arrived), ("string", true), "{name}");
    }
}

#[test]
fn an_exact_name_goes_before_a_word_and_the_first_field_before_the_next() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let (a, b) = ("2001-01-01T00:00:00Z", "2002-02-02T00:00:00Z");
    for (at, (event, wanted)) in [
        (format!(r#"{{"start_time":"{a}","ts":"{b}"}}"#), b),
        (format!(r#"{{"ts":"{a}","start_time":"{b}"}}"#), a),
        (format!(r#"{{"timestamp":"{a}","ts":"{b}"}}"#), a),
        (format!(r#"{{"dueDate":"{a}","dateAdded":"{b}"}}"#), a),
        (format!(r#"{{"time":"noon","start_time":"{a}"}}"#), a),
        (format!(r#"{{"time":12.5,"start_time":"{a}","end_time":"{b}"}}"#), a),
    ]
    .iter()
    .enumerate()
    {
        let dataset = format!("d{at}");
        server.accepted(&dataset, event);
        assert_eq!(time_of(&server, &dataset), micros_of(wanted).unwrap(), "{event}");
    }
    assert_eq!(
        server.type_of("d0", "start_time").as_deref(),
        Some("string"),
        "other date-like texts stay texts"
    );
    assert_eq!(server.type_of("d3", "dateAdded").as_deref(), Some("string"));
}

#[test]
fn a_number_that_is_no_plausible_time_stays_a_number() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for (at, (number, kind)) in [
        ("14.5", "float"),
        ("14", "int"),
        ("0", "int"),
        ("20240101", "int"),
        ("-1700000000", "int"),
        ("true", "bool"),
    ]
    .iter()
    .enumerate()
    {
        let dataset = format!("d{at}");
        let (found, arrived) = outcome(&server, &dataset, &format!("{{\"time\":{number}}}"), "time");
        assert_eq!((found.as_str(), arrived), (*kind, true), "{number}");
        assert_eq!(server.rows(&dataset, "time")[0]["time"].to_string(), *number);
    }
}

#[test]
fn the_first_batch_decides_and_later_ones_follow() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1,"created_at":"2024-01-01T00:00:00Z"}"#);
    server.accepted("events", r#"{"n":2,"ts":"1999-01-01T00:00:00Z","created_at":"2024-01-02T00:00:00Z"}"#);
    let rows = server.rows("events", "n,_time,ts");
    assert_eq!(micros(&rows[1]["_time"]), micros_of("2024-01-02T00:00:00Z").unwrap());
    assert_eq!(rows[1]["ts"], "1999-01-01T00:00:00Z", "a text as it came");
}

#[test]
fn a_time_that_cannot_be_read_rejects_its_row_and_a_missing_one_is_the_arrival() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let lines = "{\"n\":0,\"ts\":\"2024-01-01T00:00:00Z\"}\n{\"n\":1,\"ts\":\"soon\"}\n{\"n\":2}\n{\"n\":3,\"ts\":null}\n\
                 {\"n\":4,\"ts\":[1]}\n{\"n\":5,\"ts\":\"2024-02-30T00:00:00Z\"}\n{\"n\":6,\"ts\":\"2024-01-03\"}\n\
                 {\"n\":10,\"ts\":\"2024-01-04\"}\n{\"n\":11,\"ts\":\"2024-01-05\"}\n";
    let reply = server.events("events", lines).ok();
    assert_eq!(reply["accepted"], 6, "{reply}");
    let rejected = reply["rejected"].as_array().unwrap();
    let places: Vec<_> = rejected.iter().map(|r| r["index"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 4, 5]);
    assert_says(rejected[0]["message"].as_str().unwrap(), &["ts", "soon"]);
    let later = server.events("events", r#"[{"n":7,"ts":"yesterday"},{"n":8,"ts":1700000000}]"#).ok();
    assert_eq!((&later["accepted"], &later["rejected"][0]["index"]), (&json!(1), &json!(0)));
    let rows = server.rows("events", "n,_time,ts");
    let kept: Vec<_> = rows.iter().map(|r| r["n"].as_i64().unwrap()).collect();
    assert_eq!(kept, [0, 2, 3, 6, 10, 11, 8]);
    for at in [1, 2] {
        assert!(micros(&rows[at]["_time"]) > micros_of("2025-01-01T00:00:00Z").unwrap(), "{}", rows[at]);
    }
}

#[test]
fn a_sent_time_that_cannot_be_read_rejects_its_row() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let reply =
        server.events("events", r#"[{"n":0,"_time":"soon"},{"n":1,"_time":"2024-01-01T00:00:00Z"}]"#).ok();
    assert_eq!((&reply["accepted"], &reply["rejected"][0]["index"]), (&json!(1), &json!(0)), "{reply}");
}
