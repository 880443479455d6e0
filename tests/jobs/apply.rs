//! Jobs that go through the records that match: by a server, and in a program that is killed while it does so.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windrow::app::jobs::OwnJobs;
use windrow::config::Settings;
use windrow::query::budget::Limits;
use windrow::store::queue::read::{Job, JobFile};
use windrow::store::queue::{QueueSettings, State};
use windrow::{Effects, Engine, JobOptions, Kind, NewJob, Outcome};

use crate::common::{Server, assert_says, temp_dir};

const FIELDS: &str = r#"{"n": {"type": "int"}, "severity": {"type": "int"}, "status": {"type": "string"}}"#;

fn declared() -> String {
    format!(r#"{{"kind": "records", "key": "n", "fields": {FIELDS}}}"#)
}

/// So many records, each tenth of which has the severity 9, 8, …
fn records(count: u64) -> String {
    (0..count).map(|n| format!("{{\"n\": {n}, \"severity\": {}, \"status\": \"new\"}}\n", n % 10)).collect()
}

fn with_records(count: u64) -> (tempfile::TempDir, Server) {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    client.send("PUT", "/v1/datasets/threats", &[], declared().as_bytes()).ok();
    client.send("PUT", "/v1/datasets/threats/records", &[], records(count).as_bytes()).ok();
    (dir, server)
}

fn submit(server: &Server, job: &Value) -> i64 {
    let reply = server.client().send("POST", "/v1/jobs", &[], job.to_string().as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_i64().unwrap()
}

/// The job, when something is so.
fn when(server: &Server, id: i64, is_so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let job = server.get(&format!("/v1/jobs/{id}")).ok();
        if is_so(&job) {
            return job;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{job}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn done(server: &Server, payload: &Value) -> Value {
    let id = submit(server, &json!({"kind": "apply", "payload": payload}));
    let job = when(server, id, |job| job["state"] == "done");
    assert_eq!(job["failures"], 0, "{job}");
    job["result"].clone()
}

fn counted(server: &Server, condition: &str) -> i64 {
    server.sql(&format!("SELECT count(*) FROM threats WHERE {condition}")).cell().as_i64().unwrap()
}

#[test]
fn every_record_that_matches_is_set_once() {
    let (_dir, server) = with_records(320);
    let archive = json!({"dataset": "threats", "where": "severity > 3", "set": {"status": "archived", "severity": null}});
    assert_eq!(done(&server, &archive), json!({"matched": 192, "changed": 192}));
    assert_eq!(counted(&server, "status = 'archived' AND severity IS NULL AND _version = 2"), 192);
    assert_eq!(counted(&server, "status = 'new' AND _version = 1"), 128);
    // what is so already is not written
    let all = json!({"dataset": "threats", "where": "true", "set": {"status": "archived"}, "batch_size": 7});
    assert_eq!(done(&server, &all), json!({"matched": 320, "changed": 128}));
    assert_eq!(counted(&server, "_version = 2"), 320);
    let none = json!({"dataset": "threats", "where": "severity > 100", "set": {"status": "x"}});
    assert_eq!(done(&server, &none), json!({"matched": 0, "changed": 0}));
}

#[test]
fn every_record_that_matches_is_deleted() {
    let (_dir, server) = with_records(230);
    let delete = json!({"dataset": "threats", "where": "severity >= 5", "delete": true, "batch_size": 20});
    assert_eq!(done(&server, &delete), json!({"matched": 115, "changed": 115}));
    assert_eq!((counted(&server, "true"), counted(&server, "severity >= 5")), (115, 0));
}

#[test]
fn cancelling_ends_it_between_batches_and_trying_again_goes_on_there() {
    let (_dir, server) = with_records(1_500);
    let payload = json!({"dataset": "threats", "where": "true", "set": {"status": "seen"}, "batch_size": 1});
    let id = submit(&server, &json!({"kind": "apply", "payload": payload}));
    let running = when(&server, id, |job| job["checkpoint"]["matched"].as_i64() > Some(20));
    assert_eq!(running["progress"]["total"], 1_500, "{running}");
    server.client().send("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").ok();
    let job = when(&server, id, |job| job["state"] != "running");
    assert_eq!(job["state"], "cancelled", "{job}");
    let finished = job["checkpoint"]["changed"].as_i64().unwrap();
    assert!((21..1_500).contains(&finished), "{job}");
    assert_eq!(counted(&server, "status = 'seen' AND _version = 2"), finished, "what is finished stays");
    assert_eq!(counted(&server, "status = 'new' AND _version = 1"), 1_500 - finished);
    server.client().send("POST", &format!("/v1/jobs/{id}/retry"), &[], b"").ok();
    let job = when(&server, id, |job| job["state"] == "done");
    assert_eq!(job["result"], json!({"matched": 1_500, "changed": 1_500}));
    assert_eq!(counted(&server, "status = 'seen' AND _version = 2"), 1_500);
}

#[test]
fn records_that_others_change_meanwhile_are_read_again_and_none_is_lost() {
    let (_dir, server) = with_records(1_000);
    let payload = json!({"dataset": "threats", "where": "true", "set": {"status": "seen"}, "batch_size": 50});
    let id = submit(&server, &json!({"kind": "apply", "payload": payload}));
    let mut client = server.client();
    let mut touched = 0;
    while server.get(&format!("/v1/jobs/{id}")).ok()["state"] != "done" {
        let path = format!("/v1/datasets/threats/records?where=n%20%25%2010%20=%20{}", touched % 10);
        let body = format!("{{\"severity\": {}}}", 100 + touched);
        client.send("PATCH", &path, &[], body.as_bytes()).ok();
        touched += 1;
        assert!(touched < 10_000);
    }
    let job = server.get(&format!("/v1/jobs/{id}")).ok();
    assert_eq!((&job["failures"], &job["result"]), (&json!(0), &json!({"matched": 1_000, "changed": 1_000})));
    assert_eq!(counted(&server, "status = 'seen'"), 1_000);
    let versions = server.sql("SELECT sum(_version) FROM threats").cell().as_i64().unwrap();
    assert_eq!(versions, 1_000 + 1_000 + 100 * touched, "each change counts once");
}

#[test]
fn what_cannot_be_applied_is_refused_with_the_reason() {
    let (_dir, server) = with_records(10);
    server.accepted("visits", r#"{"ms": 1}"#);
    let set = json!({"status": "x"});
    for (payload, words) in [
        (json!(null), &["apply", "dataset"][..]),
        (json!({"dataset": "threats", "where": "true"}), &["exactly one", "delete"]),
        (json!({"dataset": "threats", "where": "true", "set": set, "delete": true}), &["exactly one"]),
        (json!({"dataset": "threats", "set": set}), &["where"]),
        (json!({"dataset": "threats", "where": " ", "set": set}), &["where"]),
        (json!({"dataset": "threats", "where": "severity >", "set": set}), &["expression"]),
        (json!({"dataset": "threats", "where": "true", "set": {}}), &["set"]),
        (json!({"dataset": "threats", "where": "true", "set": 7}), &["7"]),
        (json!({"dataset": "threats", "where": "true", "set": {"_version": 7}}), &["_version", "own"]),
        (json!({"dataset": "threats", "where": "true", "delete": false}), &["delete"]),
        (
            json!({"dataset": "threats", "where": "true", "delete": true, "batch_size": 0}),
            &["batch_size", "1000"],
        ),
        (json!({"dataset": "threats", "where": "true", "delete": true, "record_as": "a"}), &["record_as"]),
        (json!({"dataset": "threats", "where": "true", "job": {}}), &["kind"]),
        (json!({"dataset": "threats", "where": "true", "job": {"kind": "a", "unique": "b"}}), &["unique"]),
        (json!({"dataset": "threats", "where": "true", "job": {"kind": "a", "payload": 7}}), &["object"]),
        (
            json!({"dataset": "threats", "where": "true", "job": {"kind": "a", "payload": {"record": 1}}}),
            &["record_as"],
        ),
        (json!({"dataset": "_audit", "where": "true", "delete": true}), &["own"]),
    ] {
        let job = json!({"kind": "apply", "payload": payload});
        let reply = server.client().send("POST", "/v1/jobs", &[], job.to_string().as_bytes());
        assert_says(&reply.problem(400).1, words);
    }
    // what is known when it runs alone
    for (payload, words) in [
        (json!({"dataset": "nothing", "where": "true", "delete": true}), &["nothing"][..]),
        (json!({"dataset": "visits", "where": "ms = 1", "delete": true}), &["visits", "events", "erase"]),
        (json!({"dataset": "threats", "where": "colour = 1", "delete": true}), &["colour"]),
        (json!({"dataset": "threats", "where": "true", "set": {"n": 7}}), &["\"n\"", "key"]),
        (json!({"dataset": "threats", "where": "true", "set": {"severity": "high"}}), &["severity"]),
        (json!({"dataset": "threats", "where": "true", "job": {"kind": "optimise"}}), &["optimise"]),
        (
            json!({"dataset": "threats", "where": "true", "job": {"kind": "optimize"}}),
            &["maintenance", "another"],
        ),
        (
            json!({"dataset": "threats", "where": "true", "job": {"kind": "optimize", "queue": "a"}}),
            &["no payload"],
        ),
    ] {
        let id = submit(&server, &json!({"kind": "apply", "payload": payload, "max_attempts": 1}));
        let job = when(&server, id, |job| job["state"] == "dead");
        assert_says(job["error"].as_str().unwrap(), words);
    }
    assert_eq!(counted(&server, "_version = 1"), 10, "nothing was done");
}

/// Names the database to the child.
const CHILD: &str = "WINDROW_TEST_APPLY_CHILD";

/// Notes the record of a job by an event.
fn note() -> Kind {
    let note = Kind::new("note", |context| {
        let event =
            json!({"n": context.payload()["who"]["n"], "job": context.id(), "of": context.payload()["of"]});
        Ok(Outcome::from(Effects::default().events("notes", event.to_string())))
    });
    Kind { queue: "notes".into(), ..note }
}

fn kinds() -> Vec<Kind> {
    let own = OwnJobs::read(&Settings::default()).unwrap();
    own.kinds(Limits::default()).into_iter().chain([note()]).collect()
}

/// The child: runs jobs until it is killed. As a test of its own it has nothing to do.
#[test]
fn child_that_applies_until_it_is_killed() {
    let Some(database) = std::env::var_os(CHILD) else { return };
    let options = JobOptions { workers: 6, ..JobOptions::default() };
    let _engine = Engine::open(Path::new(&database)).unwrap().with_jobs(kinds(), options).unwrap();
    println!("\nruns");
    loop {
        std::thread::park();
    }
}

fn matched(job: &Job) -> u64 {
    let place = job.checkpoint.as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap());
    place.and_then(|place| place["matched"].as_u64()).unwrap_or(0)
}

/// Records that all jobs together have met; a file that is just being recovered can be read a moment later.
fn met(database: &Path, ids: &[i64]) -> u64 {
    JobFile::open(database)
        .map_or(0, |file| ids.iter().map(|id| file.job(*id).map_or(0, |job| matched(&job))).sum())
}

fn run_and_kill(database: &Path, ids: &[i64], until: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["apply::child_that_applies_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == "runs")), "the child runs");
    let begun = Instant::now();
    while met(database, ids) < until {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {until}", met(database, ids));
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn kill(times: u64, all: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = folder.path().join("apply.db");
    let engine = Engine::open(&database).unwrap();
    for dataset in ["threats", "gone"] {
        engine.declare(dataset, declared()).unwrap();
        engine.jobs().commit(Effects::default().records(dataset, records(all))).unwrap();
    }
    let known = windrow::jobs::Kinds::of(kinds()).unwrap();
    let jobs = windrow::Jobs::idle(std::sync::Arc::clone(engine.jobs().store()), known);
    // smaller than what is submitted to it, so it is full again and again
    jobs.configure("notes", QueueSettings { size: 30, ..QueueSettings::default() }).unwrap();
    let apply = |payload: Value| NewJob::new("apply").payload(payload);
    let template = json!({"kind": "note", "payload": {"of": "a"}, "max_attempts": 100});
    let submitted = jobs.submit_all([
        apply(json!({"dataset": "threats", "where": "true", "set": {"status": "seen"}, "batch_size": 10})),
        apply(json!({"dataset": "gone", "where": "severity < 9", "delete": true, "batch_size": 10})),
        apply(json!({"dataset": "threats", "where": "true", "job": template, "record_as": "who", "batch_size": 10})),
    ]);
    let ids: Vec<i64> = submitted.unwrap().iter().map(|job| job.id).collect();
    drop(jobs);
    engine.close();
    drop(engine);
    let in_all = all * 2 + all * 9 / 10;
    for round in 0..times {
        run_and_kill(&database, &ids, 1 + in_all * round / times);
    }
    let engine = Engine::open(&database).unwrap().with_jobs(kinds(), JobOptions::default()).unwrap();
    let begun = Instant::now();
    let is_idle = || {
        engine
            .jobs()
            .queues()
            .by_name
            .values()
            .all(|queue| queue.waiting() + queue.count(State::Running) == 0)
    };
    while !is_idle() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", engine.jobs().queues());
        std::thread::sleep(Duration::from_millis(5));
    }
    let jobs: Vec<Job> = ids.iter().map(|id| engine.jobs().get(*id).unwrap()).collect();
    let attempts: Vec<i64> = jobs.iter().map(|job| job.attempt).collect();
    println!("{times} kills amid 3 jobs over {all} records: {attempts:?} attempts");
    for (job, expected) in jobs.iter().zip([all, all * 9 / 10, all]) {
        let result = job.result.as_deref().map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(job.state, State::Done, "{:?}", job.error);
        assert_eq!(result, Some(json!({"matched": expected, "changed": expected})));
    }
    let number = |sql: &str| engine.sql(sql, &[]).unwrap().rows[0][0].as_int().unwrap();
    let all = all as i64;
    assert_eq!(
        number("SELECT count(*) FROM threats WHERE status = 'seen' AND _version = 2"),
        all,
        "changed once"
    );
    assert_eq!(number("SELECT count(*) FROM gone"), all / 10, "the others are deleted");
    assert_eq!(
        (number("SELECT count(*) FROM notes"), number("SELECT uniq(n) FROM notes")),
        (all, all),
        "one job a record"
    );
    engine.close();
}

#[test]
fn kill_nine_amid_applies_leaves_no_record_out_and_meets_none_twice() {
    kill(4, 400);
}

#[test]
#[ignore = "takes a minute or more; README.md has the command"]
fn kill_nine_twenty_times_amid_applies_leaves_no_record_out_and_meets_none_twice() {
    kill(20, 5_000);
}
