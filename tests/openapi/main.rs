//! `/openapi.json` against a server: every example of a request is sent, with every media type that the reply may have,
//! and what comes back is what the document says: status, content type, headers, schema. And the examples are as their
//! schemas say. `semantics`: what HTTP asks of every server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod schema;
mod semantics;

use serde_json::{Value, json};

use common::{Client, Reply, Server, encode, temp_dir};

/// The id of a key in the examples, which no key really has.
const KEY_ID: &str = "k3yid";

/// The id of a job in the examples, which no job really has.
const JOB_ID: &str = "/7007";

/// What each call finds: the datasets that the examples name, a key and a job, which is cancelled where it is to be tried again.
/// The path with their ids.
fn prepare(server: &Server, path: &str) -> String {
    let events = r#"[{"ts":"2026-03-01T10:00:00Z","country":"DE","ms":12,"page":"a"},
                     {"ts":"2026-03-01T11:00:00Z","country":"FR","ms":30,"page":"b"},
                     {"ts":"2026-03-02T09:00:00Z","country":"DE","ms":40,"page":"a"}]"#;
    server.accepted("visits", events);
    let declared = json!({"kind": "records", "key": "slug", "search": ["title"],
        "fields": {"title": {"type": "string"}, "state": {"type": "string"}}})
    .to_string();
    let mut client = server.client();
    client.send("PUT", "/v1/datasets/pages", &[], declared.as_bytes()).ok();
    client.send("PUT", "/v1/datasets/orders", &[], b"{}").ok();
    let records = r#"[{"slug":"a","title":"Winds","state":"draft"},{"slug":"b","title":"Rows"}]"#;
    client.send("PUT", "/v1/datasets/pages/records", &[], records.as_bytes()).ok();
    let made = client.send("POST", "/v1/keys", &[], br#"{"name": "example", "scopes": ["read"]}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let path = path.replace(KEY_ID, made.json()["id"].as_str().unwrap());
    let nightly = br#"{"cron": "30 2 * * *", "job": {"kind": "optimize"}}"#;
    client.send("PUT", "/v1/schedules/nightly", &[], nightly).ok();
    if !path.contains(JOB_ID) {
        return path;
    }
    let job = client.send("POST", "/v1/jobs", &[], br#"{"kind": "optimize", "run_at": "1h"}"#);
    assert_eq!(job.status, 201, "{}", job.text());
    let id = format!("/{}", job.json()["id"]);
    if path.ends_with("/retry") {
        client.send("POST", &format!("/v1/jobs{id}/cancel"), &[], b"").ok();
    }
    path.replace(JOB_ID, &id)
}

fn resolved<'d>(document: &'d Value, part: &'d Value) -> &'d Value {
    match part.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).expect(reference),
        None => part,
    }
}

/// The operations in an order in which each finds what it needs: what takes things away comes last.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all.sort_by_key(|(method, path, _)| (method == "DELETE", method != "PUT", path.len()));
    // the widest drop last
    all.sort_by_key(|(method, path, _)| if method == "DELETE" { 100 - path.len() } else { 0 });
    all
}

/// The path with the examples of its parameters, once with those that are needed alone and once with all.
fn targets(document: &Value, path: &str, operation: &Value) -> Vec<String> {
    let parameters: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().map(|p| resolved(document, p)).collect();
    let text = |value: &Value| match value {
        Value::String(text) => encode(text),
        Value::Array(items) => {
            items.iter().map(|item| encode(item.as_str().unwrap())).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let target = |all: bool| {
        let (mut path, mut query) = (path.to_owned(), Vec::new());
        for parameter in &parameters {
            let name = parameter["name"].as_str().unwrap();
            let Some(example) = parameter.get("example") else { continue };
            let faults = schema::faults(document, &parameter["schema"], example, name);
            assert!(faults.is_empty(), "the example of a parameter: {faults:?}");
            if parameter["in"] == "path" {
                path = path.replace(&format!("{{{name}}}"), &text(example));
            } else if all || parameter["required"] == true {
                query.push(format!("{name}={}", text(example)));
            }
        }
        assert!(!path.contains('{'), "{path}: a part of the path has no example");
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    };
    let (least, most) = (target(false), target(true));
    // what is watched is one of four, which the document cannot say of parameters
    if path == "/v1/live" {
        return vec![most];
    }
    if least == most { vec![least] } else { vec![least, most] }
}

/// The bodies to send: nothing where none is taken, else every example, each as its schema says.
fn bodies(document: &Value, operation: &Value) -> Vec<String> {
    let Some(content) = operation["requestBody"]["content"].as_object() else { return vec![String::new()] };
    let mut all = Vec::new();
    for (media, told) in content {
        let examples =
            told["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        for example in examples.chain(told.get("example")) {
            // a form is a text that stands for an object
            let is_form = media == "application/x-www-form-urlencoded";
            let faults = schema::faults(document, &told["schema"], example, media);
            assert!(is_form || faults.is_empty(), "the example of a body: {faults:?}");
            all.push(example.as_str().map_or_else(|| example.to_string(), str::to_owned));
        }
    }
    assert!(!all.is_empty());
    all
}

/// Fails unless a reply is one of those that the document has for its operation; gives its status.
fn check(document: &Value, operation: &Value, reply: &Reply, what: &str) -> u16 {
    let told = &operation["responses"][reply.status.to_string()];
    assert!(told.is_object(), "{what}: the status {} is not in the document: {}", reply.status, reply.text());
    let told = resolved(document, told);
    for (name, header) in told["headers"].as_object().into_iter().flatten() {
        let Some(value) = reply.header(name) else { continue };
        let header = &resolved(document, header)["schema"];
        let value = value.parse::<u64>().map_or_else(|_| value.into(), Value::from);
        assert!(schema::faults(document, header, &value, name).is_empty(), "{what}: {name}: {value}");
    }
    let Some(content) = told["content"].as_object() else {
        assert!(reply.body.is_empty(), "{what}: a body that is not in the document: {}", reply.text());
        return reply.status;
    };
    let media = reply.header("content-type").unwrap_or_default();
    let found = content.iter().find(|(known, _)| known.split(';').next() == media.split(';').next());
    let (known, told) =
        found.unwrap_or_else(|| panic!("{what}: the content type {media} is not in the document"));
    let value =
        if known.contains("json") && !known.contains("ndjson") { reply.json() } else { reply.text().into() };
    let faults = schema::faults(document, &told["schema"], &value, "");
    assert!(faults.is_empty(), "{what}: {}\n{faults:#?}", reply.text());
    reply.status
}

/// The media types that a success may have.
fn media(operation: &Value) -> Vec<String> {
    let content = operation["responses"]["200"]["content"].as_object();
    content.map_or_else(|| vec!["*/*".to_owned()], |content| content.keys().cloned().collect())
}

#[test]
fn every_example_is_answered_as_the_document_says() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let document = server.get("/openapi.json").ok();
    let mut sent = 0;
    for (method, path, operation) in operations(&document) {
        for target in targets(&document, &path, operation) {
            for body in bodies(&document, operation) {
                for media in media(operation) {
                    // what an earlier call took away or changed is there again
                    let target = prepare(&server, &target);
                    let what = format!("{method} {target} {body} as {media}");
                    let headers = [("Accept", media.as_str())];
                    // the reply to a GET has no end; tests/live has what is in it
                    let method = if path == "/v1/live" { "HEAD" } else { &method };
                    let reply = server.client().send(method, &target, &headers, body.as_bytes());
                    let status = check(&document, operation, &reply, &what);
                    let is_unset = path == "/v1/cache/warm" && status == 409;
                    // without access control there is nothing to sign in to
                    let is_open = path.starts_with("/sign") && status == 303;
                    assert!(status < 300 || is_unset || is_open, "{what}: {}", reply.text());
                    let got = reply.header("content-type").unwrap_or_default();
                    assert!(media == "*/*" || status > 204 || got.starts_with(&media), "{what}: it is {got}");
                    sent += 1;
                }
            }
        }
    }
    assert!(sent > 60, "only {sent} examples were sent");
}

#[test]
fn replies_in_the_document_are_as_their_schemas_say() {
    let dir = temp_dir();
    let document = Server::start(dir.path(), &[]).get("/openapi.json").ok();
    let mut count = 0;
    for (method, path, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let content = resolved(&document, response)["content"].as_object();
            for (media, told) in content.into_iter().flatten() {
                let Some(example) = told.get("example") else { continue };
                let faults = schema::faults(&document, &told["schema"], example, media);
                assert!(faults.is_empty(), "{method} {path} {status}: {faults:?}");
                count += 1;
            }
        }
    }
    assert!(count > 50, "only {count} examples were found");
}

#[test]
fn mistakes_are_answered_as_the_document_says() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let document = server.get("/openapi.json").ok();
    let mut client: Client = server.client();
    let mut statuses = std::collections::BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let place = path.replace("{dataset}", "nothing").replace("{key}", "x").replace("{id}", "x");
        for (target, headers, body) in [
            (place.clone(), [("Accept", "*/*")], "{"),
            (format!("{place}?no_parameter=1"), [("Accept", "*/*")], "{}"),
            (place.clone(), [("Content-Encoding", "br")], "{}"),
            (place.clone(), [("Accept", "text/csv")], r#"{"from": "nothing", "select": "count()"}"#),
            (place.clone(), [("Accept", "*/*")], r#"{"sql": "SELECT 1 FROM nothing"}"#),
        ] {
            let reply = client.send(&method, &target, &headers, body.as_bytes());
            statuses.insert(check(&document, operation, &reply, &format!("{method} {target} {body}")));
        }
    }
    for status in [400, 404, 415] {
        assert!(statuses.contains(&status), "{statuses:?} has no {status}");
    }
}
