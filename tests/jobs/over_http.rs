//! Jobs over HTTP and by `windrow jobs`, beside a server and without one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Reply, Server, assert_says, run, temp_dir};

pub fn submit(server: &Server, job: &Value) -> Reply {
    server.client().send("POST", "/v1/jobs", &[], job.to_string().as_bytes())
}

pub fn submitted(server: &Server, job: &Value) -> i64 {
    let reply = submit(server, job);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_i64().unwrap()
}

fn show(server: &Server, id: i64) -> Value {
    server.get(&format!("/v1/jobs/{id}")).ok()
}

/// The job when it has come to a state.
pub fn in_state(server: &Server, id: i64, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let job = show(server, id);
        if job["state"] == state {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn refused(server: &Server, job: &Value) -> String {
    submit(server, job).problem(400).1
}

#[test]
fn a_job_is_submitted_run_and_told_of() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", r#"[{"n": 1}, {"n": 2}, {"n": 3}]"#);
    let erase = json!({"kind": "erase", "payload": {"dataset": "visits", "where": "n > 1"}, "priority": 1});
    let id = submitted(&server, &erase);
    let job = in_state(&server, id, "done");
    assert_eq!(job["result"], json!({"erased": 2}));
    for (part, expected) in [
        ("kind", json!("erase")),
        ("queue", json!("maintenance")),
        ("priority", json!(1)),
        ("payload", erase["payload"].clone()),
        ("attempt", json!(1)),
        ("failures", json!(0)),
        ("history", json!([])),
        ("error", Value::Null),
        ("is_ending", json!(false)),
    ] {
        assert_eq!(job[part], expected, "{part}");
    }
    assert!(job["kept_until"].as_str() > job["finished"].as_str(), "{job}");
    assert_eq!(server.count("visits"), 1);
}

#[test]
fn what_fails_is_tried_again_and_dead_in_the_end_with_its_history() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let nothing =
        json!({"kind": "erase", "payload": {"dataset": "nothing", "where": "true"}, "max_attempts": 1});
    let id = submitted(&server, &nothing);
    let job = in_state(&server, id, "dead");
    assert_says(job["error"].as_str().unwrap(), &["nothing"]);
    assert_eq!(job["history"].as_array().unwrap().len(), 1, "{job}");
    server.accepted("nothing", r#"{"n": 1}"#);
    let again = server.client().send("POST", &format!("/v1/jobs/{id}/retry"), &[], b"").ok();
    assert_eq!(again, json!({"id": id, "state": "queued"}));
    assert_eq!(in_state(&server, id, "done")["result"], json!({"erased": 1}));
    server.client().send("POST", &format!("/v1/jobs/{id}/retry"), &[], b"").problem(409);
}

#[test]
fn a_job_waits_for_its_time_and_for_others_and_is_cancelled() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let first = submitted(&server, &json!({"kind": "optimize", "run_at": "1h", "unique": "nightly"}));
    let second = submitted(&server, &json!({"kind": "optimize", "after": first}));
    assert_eq!(
        (&show(&server, first)["state"], &show(&server, second)["state"]),
        (&json!("delayed"), &json!("blocked"))
    );
    assert_eq!(show(&server, second)["after"], json!([first]));
    let same = submit(&server, &json!({"kind": "optimize", "unique": "nightly"}));
    assert_eq!((same.status, same.json()), (201, json!({"id": first, "is_new": false})));
    let queues = server.get("/v1/queues").ok();
    let queue = &queues["queues"][0];
    assert_eq!((&queue["name"], &queue["waiting"]), (&json!("maintenance"), &json!(2)), "{queues}");
    let cancelled = server.client().send("POST", &format!("/v1/jobs/{first}/cancel"), &[], b"").ok();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(show(&server, second)["state"], "cancelled", "what comes after it is cancelled too");
    for (path, length) in [
        ("/v1/jobs", 2),
        ("/v1/jobs?limit=1", 1),
        ("/v1/jobs?state=cancelled&queue=maintenance&kind=optimize", 2),
        ("/v1/jobs?state=done", 0),
        ("/v1/jobs?queue=other", 0),
    ] {
        let page = server.get(path).ok();
        assert_eq!(page["jobs"].as_array().unwrap().len(), length, "{path}");
    }
    let page = server.get("/v1/jobs?limit=1").ok();
    assert_eq!((&page["jobs"][0]["id"], &page["next"]), (&json!(second), &json!(second)));
    let older = server.get(&format!("/v1/jobs?limit=1&before={second}")).ok();
    assert_eq!(older["jobs"][0]["id"], first);
}

#[test]
fn a_request_that_is_sent_again_submits_one_job() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let job = json!({"kind": "optimize", "run_at": "1h"}).to_string();
    let send =
        |body: &str| server.client().send("POST", "/v1/jobs", &[("Idempotency-Key", "a")], body.as_bytes());
    let first = send(&job);
    let again = send(&job);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    send(r#"{"kind": "optimize"}"#).problem(422);
    assert_eq!(server.get("/v1/jobs").ok()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn what_makes_no_job_is_refused_with_the_reason() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for (job, words) in [
        (json!({}), &["kind"][..]),
        (json!({"kind": "optimise"}), &["optimise", "optimize"]),
        (json!({"kind": "optimize", "priority": 99}), &["99", "15"]),
        (json!({"kind": "optimize", "priority": -1}), &["-1"]),
        (json!({"kind": "optimize", "max_attempts": 0}), &["max_attempts"]),
        (json!({"kind": "optimize", "run_at": "tomorrow"}), &["tomorrow", "5m"]),
        (json!({"kind": "optimize", "deadline": "long"}), &["long", "30s"]),
        (json!({"kind": "optimize", "queue": "No"}), &["No", "a-z"]),
        (json!({"kind": "optimize", "unique": ""}), &["unique"]),
        (json!({"kind": "optimize", "payload": 7}), &["no payload"]),
        (json!({"kind": "erase", "payload": {"dataset": "a"}}), &["where"]),
        (json!({"kind": "erase", "payload": {"dataset": "a", "where": "n >"}}), &["expression"]),
        (json!({"kind": "erase", "payload": {"dataset": "_audit", "where": "true"}}), &["own"]),
        (json!({"kind": "optimize", "colour": 1}), &["colour"]),
    ] {
        assert_says(&refused(&server, &job), words);
    }
    let strange = submit(&server, &json!({"kind": "optimize", "after": 4711}));
    assert!(matches!(strange.status, 400 | 404), "{}", strange.text());
    assert_says(&strange.text(), &["4711"]);
    for path in ["/v1/jobs/x", "/v1/jobs/4711", "/v1/jobs/-1"] {
        server.get(path).problem(404);
    }
    for path in ["/v1/jobs?state=sleeping", "/v1/jobs?limit=0", "/v1/jobs?limit=x", "/v1/jobs?before=x"] {
        server.get(path).problem(400);
    }
}

#[test]
fn a_queue_is_set_up_and_is_full_at_its_size() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let set = |queue: &str, settings: &str| {
        server.client().send("PUT", &format!("/v1/queues/{queue}"), &[], settings.as_bytes())
    };
    let queue = set("small", r#"{"size": 2, "concurrency": 1}"#).ok();
    assert_eq!(queue["settings"], json!({"size": 2, "concurrency": 1}));
    let job = json!({"kind": "optimize", "queue": "small", "run_at": "1h"});
    submitted(&server, &job);
    submitted(&server, &job);
    let full = submit(&server, &job);
    full.problem(503);
    assert!(full.header("retry-after").is_some());
    assert_says(&full.text(), &["small", "2"]);
    for (queue, settings) in [("small", r#"{"concurrency": 0}"#), ("small", r#"{"seize": 1}"#), ("No", "{}")]
    {
        set(queue, settings).problem(400);
    }
    // it is a setting of the file
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &[]);
    submit(&server, &job).problem(503);
}

#[test]
fn the_command_line_does_the_same_beside_a_server_and_without_one() {
    let dir = temp_dir();
    assert_says(&run(dir.path(), &["jobs"]).exits(1).stderr, &["windrow.db"]);
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", r#"[{"n": 1}, {"n": 2}]"#);
    let jobs = |arguments: &[&str]| run(dir.path(), &[&["jobs"], arguments].concat());
    assert_says(&jobs(&[]).exits(0).stdout, &["no such jobs"]);
    let payload = r#"{"dataset": "visits", "where": "n = 2"}"#;
    assert_says(&jobs(&["submit", "erase", payload]).exits(0).stdout, &["1: submitted"]);
    in_state(&server, 1, "done");
    assert_says(&jobs(&["show", "1"]).exits(0).stdout, &["state        done", "erased"]);
    assert_says(&jobs(&["submit", "optimise"]).exits(1).stderr, &["optimize"]);
    assert_says(&jobs(&["submit", "erase", "{"]).exits(1).stderr, &["JSON"]);
    assert_says(&jobs(&["queues"]).exits(0).stdout, &["maintenance", "1000"]);
    assert_eq!(server.stop(), 0);
    // without one: what is submitted waits for the next
    let told = jobs(&["submit", "erase", r#"{"dataset": "visits", "where": "true"}"#]).exits(0).stdout;
    assert_says(&told, &["2: submitted", "served"]);
    assert_says(&jobs(&["list", "--state", "queued"]).exits(0).stdout, &["erase", "queued"]);
    assert_says(&jobs(&["submit", "optimize", "--run-at", "8h", "--unique", "a"]).exits(0).stdout, &["3:"]);
    assert_says(&jobs(&["submit", "optimize", "--unique", "a"]).exits(0).stdout, &["3: it is there already"]);
    assert_says(&jobs(&["cancel", "3"]).exits(0).stdout, &["3: cancelled"]);
    assert_says(&jobs(&["retry", "3"]).exits(0).stdout, &["3: queued"]);
    assert_says(&jobs(&["show", "x"]).exits(1).stderr, &["x"]);
    assert_says(&jobs(&["show", "99"]).exits(1).stderr, &["99"]);
    let listed: Value = serde_json::from_str(&run(dir.path(), &["--json", "jobs"]).exits(0).stdout).unwrap();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 3);
    let server = Server::start(dir.path(), &[]);
    in_state(&server, 2, "done");
    in_state(&server, 3, "done");
    assert_eq!(server.count("visits"), 0);
    assert_eq!(server.stop(), 0);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM visits").rows[0][0], 0);
}
