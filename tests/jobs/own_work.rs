//! The engine's own work as jobs of a server: what the store asks for, backups, questions that are asked ahead.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::process::{bare, finish};
use crate::common::{Server, assert_says, run, temp_dir};

/// A finished job of a kind that has a result like this.
fn finished(server: &Server, kind: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let jobs = server.get(&format!("/v1/jobs?kind={kind}&limit=20")).ok()["jobs"].clone();
        let is_finished = |job: &&Value| {
            ["done", "dead"].contains(&job["state"].as_str().unwrap()) && is_wanted(&job["result"])
        };
        if let Some(job) = jobs.as_array().unwrap().iter().find(is_finished) {
            return server.get(&format!("/v1/jobs/{}", job["id"])).ok();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no such job of the kind {kind} has ended");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn rows(n: usize) -> String {
    (0..n).map(|at| format!("{{\"n\":{at}}}\n")).collect()
}

#[test]
fn what_the_store_does_by_itself_is_seen_among_the_jobs() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--seal-rows", "1000"]);
    let is_merged = || server.get("/v1/jobs?kind=merge&state=done").ok()["jobs"][0].is_object();
    let (mut sent, begun) = (0, Instant::now());
    while !is_merged() {
        assert!(begun.elapsed() < Duration::from_secs(60), "small segments stay");
        sent += server.accepted("visits", rows(1_000));
    }
    // one for which a merge has sealed the tail finds nothing
    let sealed = finished(&server, "seal", |result| result["events"].as_u64() >= Some(1_000));
    assert_eq!((&sealed["queue"], &sealed["payload"]), (&json!("upkeep"), &json!({"dataset": "visits"})));
    finished(&server, "merge", |result| result["segments"].as_u64() >= Some(2));
    let old = server.client().send(
        "PUT",
        "/v1/datasets/visits",
        &[],
        json!({"retention": "1d"}).to_string().as_bytes(),
    );
    assert_eq!(old.status, 200, "{}", old.text());
    server.accepted("visits", r#"{"_time": "2001-02-03T04:05:06Z", "n": 1}"#);
    let submitted = run(dir.path(), &["jobs", "submit", "expire", r#"{"dataset": "visits"}"#]).exits(0);
    assert_says(&submitted.stdout, &["submitted"]);
    let begun = Instant::now();
    while server.count("visits") != sent {
        assert!(begun.elapsed() < Duration::from_secs(60), "what is too old stays");
        std::thread::sleep(Duration::from_millis(10));
    }
    let queues = server.get("/v1/queues").ok();
    let upkeep = queues["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == "upkeep");
    assert_eq!(upkeep.unwrap()["settings"]["concurrency"], 1, "{queues}");
    server.stop();
    assert_says(&run(dir.path(), &["check"]).exits(0).stdout, &["nothing is damaged"]);
}

#[test]
fn a_backup_is_a_job_and_only_the_newest_stay() {
    let dir = temp_dir();
    let copies = dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let settings = ["--backup-folder", "copies", "--backup-keep", "1", "--backup-schedule", "@yearly"];
    let server = Server::start(dir.path(), &settings);
    server.accepted("visits", rows(7));
    let names = || {
        let entries = std::fs::read_dir(&copies).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut last = Vec::new();
    for _ in 0..2 {
        let told = run(dir.path(), &["jobs", "submit", "backup"]).exits(0);
        let id = told.stdout.split(':').next().unwrap().to_owned();
        let begun = Instant::now();
        let job = loop {
            let job = server.get(&format!("/v1/jobs/{id}")).ok();
            if job["state"] == "done" {
                break job;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{job}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(
            (&job["failures"], job["result"]["removed"].as_array().unwrap().len()),
            (&json!(0), last.len())
        );
        assert_eq!(names().len(), 1, "{:?}", names());
        assert_ne!(names(), last);
        last = names();
    }
    server.stop();
    let of_copy = |arguments: &[&str]| {
        let mut command = bare();
        command.arg("--db").arg(copies.join(&last[0])).args(arguments);
        finish(command, Vec::new()).exits(0).stdout
    };
    assert_says(&of_copy(&["check"]), &["nothing is damaged"]);
    assert_eq!(of_copy(&["sql", "--format", "csv", "SELECT count(*) FROM visits"]), "count(*)\n7\n");
}

#[test]
fn what_the_settings_of_backups_lack_is_told_at_start() {
    let dir = temp_dir();
    let refused = run(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--backup-schedule", "@daily"]);
    assert_says(&refused.exits(1).stderr, &["backup_folder"]);
    let wrong =
        ["serve", "--listen", "127.0.0.1:0", "--backup-folder", ".", "--backup-schedule", "0 0 30 2 *"];
    assert_says(&run(dir.path(), &wrong).exits(1).stderr, &["backup_schedule", "0 0 30 2 *"]);
    let server = Server::start(dir.path(), &[]);
    let refused = run(dir.path(), &["jobs", "submit", "backup"]).exits(1);
    assert_says(&refused.stderr, &["backup_folder"]);
    let refused = run(dir.path(), &["jobs", "submit", "warm"]).exits(1);
    assert_says(&refused.stderr, &["cache_warm"]);
    server.stop();
}

#[test]
fn questions_are_asked_ahead_by_a_job() {
    let dir = temp_dir();
    let list = "{\"from\": \"visits\", \"by\": [\"n\"], \"select\": [\"count()\"]}\n{\"sql\": \"SELECT max(ms) FROM nothing\"}\n";
    std::fs::write(dir.path().join("warm.ndjson"), list).unwrap();
    let server = Server::start(dir.path(), &["--cache-warm", "warm.ndjson"]);
    let first = finished(&server, "warm", |_| true);
    assert_eq!(first["result"]["failed"].as_array().unwrap().len(), 2, "there is no dataset yet: {first}");
    server.accepted("visits", rows(9));
    let told = run(dir.path(), &["jobs", "submit", "warm"]).exits(0);
    let id = told.stdout.split(':').next().unwrap().to_owned();
    let begun = Instant::now();
    loop {
        let job = server.get(&format!("/v1/jobs/{id}")).ok();
        if job["state"] == "done" {
            assert_eq!(
                (&job["result"]["asked"], &job["result"]["failed"][0]["line"]),
                (&json!(1), &json!(2))
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{job}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
