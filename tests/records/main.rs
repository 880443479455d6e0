//! Records and search from outside: datasets with a key, put, paged, changed, deleted, declared anew, related, searched,
//! and asked as events are.
//!
//! `put`: what becomes of a batch. `versions`: optimistic locking. `pages`: every order against a naive model. `change`: PATCH, DELETE
//! and one record by its key. `declare`: declarations that change while records are there. `relations`: `include=`.
//! `search`: records by their words. `search_events`: events by theirs. `language`: the same questions to events and
//! records. `values`: values and names of every sort. `kills`: kill -9 amid puts. `advice`: indexes
//! that would help. `command_line`: the verbs that declare. This file: what they share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod advice;
mod change;
mod command_line;
mod declare;
mod kills;
mod language;
mod pages;
mod put;
mod relations;
mod search;
mod search_events;
mod values;
mod versions;

use serde_json::{Value, json};

use common::{Client, Lcg, Reply, Server, encode};

/// Sends a request with a body of JSON, or none where it is null.
fn send(server: &Server, method: &str, path: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.client().send(method, path, &[], body.as_bytes())
}

/// Declares a dataset, which must be taken.
#[track_caller]
fn declare(server: &Server, dataset: &str, declaration: &Value) -> Value {
    send(server, "PUT", &format!("/v1/datasets/{dataset}"), declaration).ok()
}

/// Puts records.
fn put(server: &Server, dataset: &str, parameters: &str, records: &Value) -> Reply {
    send(server, "PUT", &format!("/v1/datasets/{dataset}/records?{parameters}"), records)
}

/// Puts records that must all be taken; tells how many were inserted, updated and unchanged.
#[track_caller]
fn taken(server: &Server, dataset: &str, records: &Value) -> [u64; 3] {
    outcome(&put(server, dataset, "", records))
}

/// Inserted, updated, unchanged of a reply without rejected records.
#[track_caller]
fn outcome(reply: &Reply) -> [u64; 3] {
    let json = reply.ok();
    assert_eq!(json["rejected"], json!([]), "{json}");
    counts(&json)
}

#[track_caller]
fn counts(json: &Value) -> [u64; 3] {
    ["inserted", "updated", "unchanged"]
        .map(|part| json[part].as_u64().unwrap_or_else(|| panic!("no {part} in {json}")))
}

/// The places of `rejected` or `errors`.
fn places(items: &Value) -> Vec<u64> {
    items.as_array().unwrap().iter().map(|item| item["index"].as_u64().unwrap()).collect()
}

/// One record by its key.
fn one(server: &Server, dataset: &str, key: &str) -> Reply {
    server.get(&format!("/v1/datasets/{dataset}/records/{key}"))
}

/// A page of rows.
#[track_caller]
fn page(client: &mut Client, dataset: &str, parameters: &str) -> Value {
    client.send("GET", &format!("/v1/datasets/{dataset}/rows?{parameters}"), &[], b"").ok()
}

/// All rows of a walk along `next`, each page told apart.
#[track_caller]
fn walk(server: &Server, path: &str, parameters: &str) -> Vec<Vec<Value>> {
    let mut client = server.client();
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = client.send("GET", &format!("{path}?{parameters}{cursor}"), &[], b"").ok();
        pages.push(rows(&reply));
        assert!(pages.len() < 5_000, "a walk ends");
        match reply["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encode(next)),
            None => return pages,
        }
    }
}

fn rows(page: &Value) -> Vec<Value> {
    page["rows"].as_array().unwrap_or_else(|| panic!("no rows in {page}")).clone()
}

/// One field of every row, as text.
fn texts(rows: &[Value], field: &str) -> Vec<String> {
    let text = |row: &Value| row[field].as_str().unwrap_or_else(|| panic!("no {field} in {row}")).to_owned();
    rows.iter().map(text).collect()
}

/// One field of every row, as a number.
fn numbers(rows: &[Value], field: &str) -> Vec<i64> {
    let number = |row: &Value| row[field].as_i64().unwrap_or_else(|| panic!("no {field} in {row}"));
    rows.iter().map(number).collect()
}

/// A search, which must be answered.
#[track_caller]
fn search(server: &Server, dataset: &str, q: &str, parameters: &str) -> Value {
    server.get(&format!("/v1/datasets/{dataset}/search?q={}{parameters}", encode(q))).ok()
}

/// A condition as a parameter.
fn condition(text: &str) -> String {
    format!("where={}", encode(text))
}

/// The known exploited vulnerabilities, from the real file where it is here, else as many of the same form.
fn vulnerabilities() -> Vec<Value> {
    if let Some(path) = common::shared("kev.json") {
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        return file["vulnerabilities"].as_array().unwrap().clone();
    }
    let mut random = Lcg(11);
    (0..1_404)
        .map(|n| {
            let vendor = random.pick(&["Microsoft", "Apache", "Cisco", "Git", "Oracle"]);
            let day = format!("{}-{:02}-{:02}", 2021 + n % 5, 1 + random.below(12), 1 + random.below(28));
            let weakness = format!("CWE-{}", 20 + random.below(60));
            json!({
                "cveID": format!("CVE-{}-{:05}", 2014 + n % 12, n), "vendorProject": vendor, "product": vendor,
                "vulnerabilityName": format!("{vendor} Injection Vulnerability"), "dateAdded": day, "dueDate": day,
                "shortDescription": format!("{vendor} contains a flaw, number {n}."), "cwes": [weakness],
                "knownRansomwareCampaignUse": random.pick(&["Known", "Unknown"]),
            })
        })
        .collect()
}

/// What `vulnerabilities` are declared as.
fn vulnerabilities_declared() -> Value {
    json!({
        "kind": "records", "key": "cveID",
        "fields": {
            "cveID": {"type": "string"}, "dateAdded": {"type": "time"}, "cwes": {"type": "strings"},
            "vulnerabilityName": {"type": "string"}, "shortDescription": {"type": "string"},
            "vendorProject": {"type": "string"}, "product": {"type": "string"},
        },
        "indexes": [{"fields": ["-dateAdded"]}, {"fields": ["vendorProject", "product"]}],
        "search": ["vulnerabilityName^3", "shortDescription"],
    })
}
