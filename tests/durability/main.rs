//! What was acknowledged is there: after a stop, after a kill, after a hundred kills. And what a server refuses at
//! its start: a file that another holds, a newer file, a port in use, a place that cannot be written.
//!
//! `full_disk`: a disk that fills up. `lost_file`: a file that is gone. `kills`: kill -9 under concurrent ingest.
//! `segment_kills`: while segments are rewritten and files imported. `dedupe`: what is sent again. `clocks`: times at
//! the ends. `idempotency`: what is sent again with a key. `refusals`: a start that cannot be. This file: the graceful stop.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod cached_disk;
mod clocks;
mod dedupe;
mod full_disk;
mod idempotency;
mod kills;
mod lost_file;
mod refusals;
mod segment_kills;
mod small_disk;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use common::{Server, database, run, temp_dir};

#[test]
fn a_graceful_stop_keeps_everything_acknowledged_and_exits_with_0() {
    let dir = temp_dir();
    for round in 1..=3 {
        let server = Server::start(dir.path(), &[]);
        let acknowledged = AtomicU64::new(0);
        let code = std::thread::scope(|scope| {
            for producer in 0..4 {
                let (mut client, acknowledged) = (server.client(), &acknowledged);
                scope.spawn(move || {
                    for n in 0.. {
                        let event =
                            json!({"round": round, "id": format!("{round}-{producer}-{n}")}).to_string();
                        match client.try_send("POST", "/v1/datasets/events/events", &[], event.as_bytes()) {
                            Ok(reply) if reply.status == 200 => acknowledged.fetch_add(1, Ordering::SeqCst),
                            // a server on its way out may say so, or be gone
                            Ok(reply) if reply.status == 503 => break,
                            Ok(reply) => panic!("{}: {}", reply.status, reply.text()),
                            Err(_) => break,
                        };
                    }
                });
            }
            while acknowledged.load(Ordering::SeqCst) < 200 {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.stop()
        });
        assert_eq!(code, 0);
        let server = Server::start(dir.path(), &[]);
        let table = server.sql(&format!("SELECT count(*), uniq(id) FROM events WHERE round = {round}"));
        let (count, ids) = (table.rows[0][0].as_u64().unwrap(), table.rows[0][1].as_u64().unwrap());
        let acknowledged = acknowledged.into_inner();
        // each of the 4 clients may have had one request answered by nobody
        assert!(
            (acknowledged..=acknowledged + 4).contains(&count),
            "{acknowledged} acknowledged, {count} there"
        );
        assert_eq!(ids, count, "nothing is doubled");
        assert_eq!(server.stop(), 0);
    }
}

#[test]
fn an_idle_server_with_open_connections_stops_at_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let mut idle: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut idle {
        assert_eq!(client.send("GET", "/healthz", &[], b"").status, 200);
    }
    let started = std::time::Instant::now();
    assert_eq!(server.stop(), 0);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "kept connections do not hold it: {:?}",
        started.elapsed()
    );
}

#[test]
fn after_a_stop_one_file_holds_everything() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"[{"n":1,"s":"a"},{"n":2,"s":"b"}]"#);
    assert_eq!(server.stop(), 0);
    let elsewhere = temp_dir();
    std::fs::copy(database(dir.path()), database(elsewhere.path())).unwrap();
    let server = Server::start(elsewhere.path(), &[]);
    assert_eq!(server.rows("events", "n,s"), [json!({"n":1,"s":"a"}), json!({"n":2,"s":"b"})]);
}

#[test]
fn beside_the_file_lie_only_those_of_the_contract() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    assert_eq!(server.stop(), 0);
    let known = [
        "windrow.db",
        "windrow.db-wal",
        "windrow.db-shm",
        "windrow.cache.db",
        "windrow.cache.db-wal",
        "windrow.cache.db-shm",
        "windrow.db.lock",
        "windrow.db.ballast",
        "serve.stderr",
    ];
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "{name} is none of the contract's files");
        #[cfg(unix)]
        if name != "serve.stderr" {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name} is for its owner only: {mode:o}");
        }
    }
}

#[test]
fn a_server_tells_that_it_lives_and_that_it_is_ready() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn sigint_stops_it_as_sigterm_does() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(server.ended(), 0);
    assert_eq!(Server::start(dir.path(), &[]).count("events"), 1);
}

#[test]
fn a_command_line_reader_that_is_killed_leaves_nothing_locked() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let lines: String = (0..50_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    server.accepted("events", lines);
    for delay in [0, 2, 5, 10, 20] {
        let mut command = common::process::windrow(dir.path());
        let mut reader = command.args(["sql", "SELECT n, count(*) FROM events GROUP BY n"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        reader.kill().unwrap();
        reader.wait().unwrap();
        server.accepted("events", r#"{"n":-1}"#);
    }
    assert_eq!(server.count("events"), 50_005);
    let found = run(dir.path(), &["sql", "SELECT count(*) FROM events", "--format", "csv"]).exits(0).stdout;
    assert!(found.trim_end().ends_with("50005"), "{found}");
}
