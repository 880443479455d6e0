//! kill -9 while jobs each append an event and bump a counter: none is lost, none is applied twice.
//!
//! Five kills amid 1,000 jobs by default; fifty amid 5,000 in the test that `cargo test --test jobs -- --ignored` runs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use windrow::store::queue::read::JobFile;
use windrow::store::queue::{QueueSettings, State};
use windrow::{Effects, Engine, JobOptions, Kind, NewJob, Value};

/// Names the database to the child.
const CHILD: &str = "WINDROW_TEST_JOBS_CHILD";
/// A job that many kills meet is no job that kills.
const ATTEMPTS: u32 = 20;

/// Reads the counter of a job's shard, and puts it one higher; says so by an event too.
fn bump() -> Kind {
    Kind::new("bump", |context| {
        let shard = context.payload()["shard"].as_i64().unwrap_or(0);
        let engine = Engine::within(context);
        let found = engine.sql("SELECT n, _version FROM counters WHERE shard = ?", &[shard.into()])?;
        let (n, version) = match found.rows.first().map(|row| (&row[0], &row[1])) {
            Some((Value::Int(n), Value::Int(version))) => (*n, *version),
            _ => (0, 0),
        };
        let record = json!({"shard": shard, "n": n + 1, "_version": version});
        let event = json!({"job": context.id(), "attempt": context.attempt()});
        let effects = Effects::default().records("counters", record.to_string());
        Ok(effects.events("bumps", event.to_string()).into())
    })
}

/// The child: runs jobs until it is killed. As a test of its own it has nothing to do.
#[test]
fn child_that_runs_jobs_until_it_is_killed() {
    let Some(database) = std::env::var_os(CHILD) else { return };
    let options = JobOptions { workers: 4, ..JobOptions::default() };
    let _engine = Engine::open(Path::new(&database)).unwrap().with_jobs([bump()], options).unwrap();
    println!("\nruns");
    loop {
        std::thread::park();
    }
}

fn done(database: &Path) -> u64 {
    let queues = JobFile::open(database).and_then(|file| file.queues());
    // a file that is just being recovered can be read a moment later
    queues.map_or(0, |queues| queues.by_name.get("default").map_or(0, |queue| queue.count(State::Done)))
}

/// Has a child run jobs until so many are done, and kills it.
fn run_and_kill(database: &Path, until: u64) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "kills::child_that_runs_jobs_until_it_is_killed",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD, database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line == "runs")), "the child runs");
    let begun = Instant::now();
    while done(database) < until {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {until} done", done(database));
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn kill(times: u64, all: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = folder.path().join("jobs.db");
    let engine = Engine::open(&database).unwrap();
    let fields = r#"{"shard": {"type": "int"}, "n": {"type": "int"}}"#;
    let declared = format!(r#"{{"kind": "records", "key": "shard", "fields": {fields}}}"#);
    engine.declare("counters", declared).unwrap();
    let known = windrow::jobs::Kinds::of([bump()]).unwrap();
    let jobs = windrow::Jobs::idle(std::sync::Arc::clone(engine.jobs().store()), known);
    jobs.configure("default", QueueSettings { size: 2 * all, ..QueueSettings::default() }).unwrap();
    let job = |n: u64| NewJob::new("bump").payload(json!({"shard": n % 7})).max_attempts(ATTEMPTS);
    jobs.submit_all((0..all).map(job)).unwrap();
    drop(jobs);
    engine.close();
    drop(engine);
    for round in 0..times {
        // at any moment: before the first one of the round, or in the middle of all that are in hand
        let (from, span) = (all * round / times, all / times);
        run_and_kill(&database, from + span * (round * 37 % 100) / 100);
    }
    let engine = Engine::open(&database).unwrap();
    let states = engine.jobs().queues();
    let cut_off = engine.sql("SELECT count(*) FROM bumps WHERE attempt > 1", &[]).unwrap().rows[0][0].clone();
    let engine = engine.with_jobs([bump()], JobOptions { workers: 4, ..JobOptions::default() }).unwrap();
    let begun = Instant::now();
    let queue = || engine.jobs().queues().by_name["default"].clone();
    while queue().waiting() + queue().count(State::Running) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", queue());
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{times} kills; before the end {states:?}; {cut_off:?} jobs were cut off and done again");
    assert_eq!((queue().count(State::Done), queue().count(State::Dead)), (all, 0));
    let sum = engine.sql("SELECT sum(n) FROM counters", &[]).unwrap();
    assert_eq!(sum.rows, [[Value::Int(all as i64)]], "the counters");
    let events = engine.sql("SELECT count(*), uniq(job) FROM bumps", &[]).unwrap();
    assert_eq!(events.rows, [[Value::Int(all as i64), Value::Int(all as i64)]], "the events");
    engine.close();
}

#[test]
fn kill_nine_amid_jobs_loses_none_and_applies_none_twice() {
    kill(5, 1_000);
}

#[test]
#[ignore = "takes a minute or more; README.md has the command"]
fn kill_nine_fifty_times_amid_jobs_loses_none_and_applies_none_twice() {
    kill(50, 5_000);
}
