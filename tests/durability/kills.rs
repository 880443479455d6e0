//! kill -9 under concurrent ingest, again and again on one file: every acknowledged batch is there once and whole,
//! a batch that was under way is there once and whole or not at all, and nothing that settled ever changes.
//!
//! Ten rounds by default; as many as the environment's `WINDROW_KILLS` says where it is set.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::{Lcg, Server, temp_dir};

const PRODUCERS: u64 = 4;

/// What became of a batch, as its producer knows it.
struct Batch {
    name: String,
    events: u64,
    acknowledged: bool,
}

/// Events and batches of one finished round.
#[derive(Debug, PartialEq, Clone, Copy)]
struct Settled {
    events: u64,
    batches: u64,
}

/// Posts batches until the server is gone; tells every one that was sent.
fn produce(server: &Server, round: u64, producer: u64, first_ack: &mpsc::Sender<()>) -> Vec<Batch> {
    let mut random = Lcg(round * PRODUCERS + producer);
    let mut client = server.client();
    let mut batches = Vec::new();
    for number in 0.. {
        let name = format!("{round}-{producer}-{number}");
        let events = match random.below(10) {
            0 => 200 + random.below(800),
            1..=4 => 1,
            _ => 2 + random.below(30),
        };
        let lines: String = (0..events)
            .map(|n| {
                let event = json!({
                    "id": format!("{name}-{n}"), "batch": name, "round": round, "producer": producer, "counter": n,
                    "filler": "x".repeat(random.below(200) as usize),
                });
                event.to_string() + "\n"
            })
            .collect();
        let sent = client.try_send("POST", "/v1/datasets/events/events", &[], lines.as_bytes());
        let acknowledged = match &sent {
            Ok(reply) if reply.status == 200 => {
                let json = reply.json();
                assert_eq!(json["accepted"], events, "{json}");
                let _ = first_ack.send(());
                true
            }
            // a full queue or a reply torn by the kill acknowledges nothing
            Ok(reply) => {
                assert_eq!(reply.status, 503, "{}", reply.text());
                false
            }
            Err(_) => false,
        };
        batches.push(Batch { name, events, acknowledged });
        if sent.is_err() {
            break;
        }
    }
    batches
}

/// Ingests from all producers and kills the server at a moment after the first acknowledgement.
fn ingest_and_kill(server: Server, round: u64, delay: Duration) -> Vec<Batch> {
    thread::scope(|scope| {
        let (first_ack, acks) = mpsc::channel();
        let server = &server;
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let first_ack = first_ack.clone();
                scope.spawn(move || produce(server, round, producer, &first_ack))
            })
            .collect();
        drop(first_ack);
        acks.recv_timeout(Duration::from_secs(60)).expect("the server acknowledges something");
        thread::sleep(delay);
        let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        producers.into_iter().flat_map(|p| p.join().expect("a producer ends")).collect()
    })
}

/// Compares what a round left in the file with what its producers know.
fn check_round(server: &Server, round: u64, sent: &[Batch]) -> Settled {
    let found = server.sql(&format!(
        "SELECT batch, count(*), uniq(id), min(counter), max(counter) FROM events WHERE round = {round} GROUP BY batch"
    ));
    assert!(found.json["next"].is_null(), "all batches of the round in one reply");
    let mut there = BTreeMap::new();
    for row in &found.rows {
        let name = row[0].as_str().unwrap().to_owned();
        let numbers: Vec<u64> = row[1..].iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(there.insert(name, numbers), None, "a group comes once");
    }
    let mut settled = Settled { events: 0, batches: 0 };
    for batch in sent {
        match there.remove(&batch.name) {
            Some(found) => {
                let whole = [batch.events, batch.events, 0, batch.events - 1];
                assert_eq!(found, whole, "round {round}: count, ids, first and last of {}", batch.name);
                settled.events += batch.events;
                settled.batches += 1;
            }
            None => {
                assert!(!batch.acknowledged, "round {round}: {} was acknowledged and is lost", batch.name)
            }
        }
    }
    assert!(there.is_empty(), "round {round}: batches that nobody sent: {there:?}");
    settled
}

/// Compares all rounds so far with what they were when they settled.
fn check_history(server: &Server, history: &[Settled]) {
    let found = server.sql("SELECT round, count(*), uniq(batch) FROM events GROUP BY round ORDER BY round");
    let found: Vec<Settled> = found
        .rows
        .iter()
        .zip(0..)
        .map(|(row, round)| {
            assert_eq!(row[0], round, "rounds in their order");
            Settled { events: row[1].as_u64().unwrap(), batches: row[2].as_u64().unwrap() }
        })
        .collect();
    assert_eq!(found, history, "what settled stays as it was");
}

/// How often to kill: `WINDROW_KILLS`, or a few times.
pub fn rounds() -> u64 {
    match std::env::var("WINDROW_KILLS") {
        Ok(text) => text.parse().expect("WINDROW_KILLS is a number"),
        Err(_) => 10,
    }
}

/// Ingests and kills, again and again on one file, comparing all that is there after each kill; gives the server that
/// runs in the end.
fn kill_again_and_again(dir: &Path) -> Server {
    let rounds = rounds();
    let mut random = Lcg(9);
    let mut history = Vec::new();
    let mut acknowledged = 0;
    let mut server = Server::start(dir, &[]);
    for round in 0..rounds {
        let delay = Duration::from_millis(30 + random.below(121));
        let sent = ingest_and_kill(server, round, delay);
        acknowledged += sent.iter().filter(|b| b.acknowledged).map(|b| b.events).sum::<u64>();
        server = Server::start(dir, &[]);
        history.push(check_round(&server, round, &sent));
        check_history(&server, &history);
    }
    let totals = server.sql("SELECT count(*), uniq(id), uniq(_seq), uniq(_id) FROM events");
    let totals: Vec<_> = totals.rows[0].iter().map(|n| n.as_u64().unwrap()).collect();
    let there: u64 = history.iter().map(|s| s.events).sum();
    assert_eq!(totals, [there; 4], "each event once, each with a place of its own");
    assert!(there >= acknowledged, "{there} there, {acknowledged} acknowledged");
    eprintln!("{rounds} kills: {acknowledged} events acknowledged, {there} there");
    server
}

/// Every page, row and block of the file is as it should be.
pub fn is_sound(dir: &Path) {
    crate::common::run(dir, &["check"]).exits(0);
}

#[test]
fn kill_nine_a_hundred_times() {
    let dir = temp_dir();
    let server = kill_again_and_again(dir.path());
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}

#[test]
fn kill_nine_while_tails_are_sealed_and_segments_merged() {
    let dir = temp_dir();
    // so small that each round seals and merges several times
    std::fs::write(dir.path().join("windrow.toml"), "seal_rows = 1000\n").unwrap();
    let server = kill_again_and_again(dir.path());
    let described = server.get("/v1/datasets/events").json();
    assert!(described["segments"].as_u64().unwrap() >= 2, "{described}");
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}

#[test]
fn a_kill_at_the_very_start_leaves_a_file_that_opens() {
    let dir = temp_dir();
    for delay in [0, 1, 2, 3, 5, 8, 13, 21] {
        let mut command = crate::common::process::windrow(dir.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-auth"]);
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.accepted("events", r#"{"n":1}"#), 1);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_killed_import_goes_on_from_where_it_was() {
    let dir = temp_dir();
    let rows = 200_000_u64;
    let lines: String = (0..rows).map(|n| format!("{{\"n\":{n},\"text\":\"number {n}\"}}\n")).collect();
    std::fs::write(dir.path().join("a.ndjson"), lines).unwrap();
    let mut finished = false;
    for delay in [50, 150] {
        let mut command = crate::common::process::windrow(dir.path());
        let mut child = command.args(["import", "events", "a.ndjson", "--resume"]).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        finished = child.wait().unwrap().success();
        if finished {
            eprintln!("this machine imports {rows} rows in {delay} ms: killed too late");
            break;
        }
    }
    if !finished {
        crate::common::run(dir.path(), &["import", "events", "a.ndjson", "--resume"]).exits(0);
    }
    let found = crate::common::process::sql(dir.path(), "SELECT count(*), uniq(n), max(n) FROM events");
    assert_eq!(found.rows[0], [json!(rows), json!(rows), json!(rows - 1)], "each row once");
}
