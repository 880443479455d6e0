//! A disk that fills up under concurrent ingest, again and again on one file: writes are refused, reads go on, the
//! server goes on by itself once there is room, every acknowledged batch is there once and whole, and nothing that was
//! refused is. The disk is a small one of its own (tmpfs), which takes the right to mount.
//!
//! Five cycles by default; as many as the environment's `WINDROW_CYCLES` says where it is set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::process::{finish, windrow};
use crate::common::{Lcg, Ran, Server, assert_says, database, run, temp_dir};
use crate::small_disk::Disk;

const DISK_BYTES: u64 = 40 << 20;
const PRODUCERS: u64 = 3;
/// Events of a cycle that are sent as fast as it goes; they take a quarter of the disk.
const EVENTS_AT_SPEED: u64 = 80_000;
/// Tails are sealed after so many events, so that sealing and merging meet the full disk as well.
const SEAL_ROWS: &str = "2000";
/// A server goes on within this after space was freed.
pub const RECOVERS: Duration = Duration::from_secs(20);

pub fn serve(disk: &Disk) -> Server {
    // its log lies elsewhere: it shall not meet the full disk
    Server::start_with(disk.path(), &[], &[("WINDROW_SEAL_ROWS", SEAL_ROWS)])
}

/// Events of every acknowledged batch, by its name.
type Sent = BTreeMap<String, u64>;

/// What the producers of a cycle know.
#[derive(Default)]
struct Outcome {
    acknowledged: Sent,
    refused: Vec<String>,
}

/// Posts batches until told to stop; counts what is refused, and what is acknowledged after that.
fn produce(server: &Server, cycle: u64, producer: u64, seen: &Seen) -> Outcome {
    let mut random = Lcg(cycle * PRODUCERS + producer);
    let mut client = server.client();
    let mut outcome = Outcome::default();
    for number in 0.. {
        if seen.stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{cycle}-{producer}-{number}");
        // what is acknowledged shall not fill the disk by itself: there would be nothing to free
        let is_much = seen.events.load(Ordering::Relaxed) > EVENTS_AT_SPEED;
        if is_much {
            thread::sleep(Duration::from_millis(5));
        }
        let events = if is_much { 1 } else { [1, 10, 100, 400][random.below(4) as usize] };
        let lines: String = (0..events)
            .map(|counter| {
                let filler: String = (0..200).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
                json!({"batch": name, "cycle": cycle, "counter": counter, "filler": filler}).to_string()
                    + "\n"
            })
            .collect();
        let reply = client.send("POST", "/v1/datasets/events/events", &[], lines.as_bytes());
        match reply.status {
            200 => {
                assert_eq!(reply.json()["accepted"], events, "{}", reply.text());
                outcome.acknowledged.insert(name, events);
                seen.acknowledged.fetch_add(1, Ordering::Relaxed);
                seen.events.fetch_add(events, Ordering::Relaxed);
            }
            507 => {
                let (_, detail) = reply.problem(507);
                assert!(detail.len() > 40, "tells what to do: {detail}");
                outcome.refused.push(name);
                seen.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
            503 => outcome.refused.push(name),
            status => panic!("{status}: {}", reply.text()),
        }
    }
    outcome
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    refused: AtomicU64,
    acknowledged: AtomicU64,
    events: AtomicU64,
}

pub fn wait_for(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < limit, "waited {limit:?} for this: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Fills the disk while producers post, looks that reads go on, frees space and waits until writes do.
fn fill_and_recover(server: &Server, disk: &Disk, cycle: u64, random: &mut Lcg) -> Outcome {
    let seen = Seen::default();
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let seen = &seen;
                scope.spawn(move || produce(server, cycle, producer, seen))
            })
            .collect();
        let stop_at_the_end = Stop(&seen);
        thread::sleep(Duration::from_millis(random.below(600)));
        // a little room, so that it runs out within a commit, a checkpoint, sealing or merging
        disk.fill_but([0, 64 << 10, 600 << 10, 2 << 20][random.below(4) as usize]);
        let filled = Instant::now();
        wait_for("a refused write", Duration::from_secs(60), || {
            // a checkpoint or a merge may have made room again
            if filled.elapsed() > Duration::from_secs(1) {
                disk.fill_but(0);
            }
            seen.refused.load(Ordering::Relaxed) > 0
        });
        for _ in 0..3 {
            let count = server.sql("SELECT count(*) FROM events").cell().as_u64().unwrap();
            assert!(count > 0, "reads go on");
            disk.fill_but(0);
            thread::sleep(Duration::from_millis(random.below(300)));
        }
        assert_eq!(server.get("/readyz").status, 200, "it can answer queries");
        disk.empty();
        let before = seen.acknowledged.load(Ordering::Relaxed);
        let told = TellWhereItFails(disk);
        wait_for("writes that go on by themselves", RECOVERS, || {
            seen.acknowledged.load(Ordering::Relaxed) > before
        });
        drop(told);
        drop(stop_at_the_end);
        let mut all = Outcome::default();
        for producer in producers {
            let outcome = producer.join().expect("a producer ends");
            all.acknowledged.extend(outcome.acknowledged);
            all.refused.extend(outcome.refused);
        }
        all
    })
}

/// Tells what lies on the disk where the test fails.
struct TellWhereItFails<'d>(&'d Disk);

impl Drop for TellWhereItFails<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let sizes: Vec<String> = std::fs::read_dir(self.0.path())
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| {
                    let bytes = entry.metadata().map_or(0, |file| file.len());
                    format!("{} {bytes}", entry.file_name().display())
                })
                .collect();
            eprintln!("{} bytes are free beside {}", self.0.free(), sizes.join(", "));
        }
    }
}

/// Ends the producers, also where the test fails.
struct Stop<'s>(&'s Seen);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Every acknowledged batch of a cycle is there once and whole, and none that was refused.
fn check(server: &Server, cycle: u64, outcome: &Outcome) {
    let found = server.sql(&format!(
        "SELECT batch, count(*), uniq(counter), min(counter), max(counter) FROM events WHERE cycle = {cycle} GROUP BY batch"
    ));
    assert!(found.json["next"].is_null(), "all batches in one reply");
    let mut there = BTreeMap::new();
    for row in &found.rows {
        let numbers: Vec<u64> = row[1..].iter().map(|n| n.as_u64().unwrap()).collect();
        there.insert(row[0].as_str().unwrap().to_owned(), numbers);
    }
    for (name, events) in &outcome.acknowledged {
        let whole = vec![*events, *events, 0, events - 1];
        assert_eq!(there.remove(name), Some(whole), "cycle {cycle}: {name}, {events} events");
    }
    assert_eq!(there, BTreeMap::new(), "cycle {cycle}: batches that were refused, or that nobody sent");
}

#[test]
fn a_full_disk_is_survived_again_and_again() {
    let cycles = match std::env::var("WINDROW_CYCLES") {
        Ok(text) => text.parse().expect("WINDROW_CYCLES is a number"),
        Err(_) => 5,
    };
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let mut random = Lcg(50);
    let mut server = serve(&disk);
    let (mut acknowledged, mut refused) = (0, 0);
    for cycle in 0..cycles {
        let outcome = fill_and_recover(&server, &disk, cycle, &mut random);
        acknowledged += outcome.acknowledged.values().sum::<u64>();
        refused += outcome.refused.len();
        check(&server, cycle, &outcome);
        match cycle % 3 {
            0 => {
                server.kill_nine();
                server = serve(&disk);
            }
            1 => {
                assert_eq!(server.stop(), 0);
                server = serve(&disk);
            }
            _ => {}
        }
        check(&server, cycle, &outcome);
        // on a full disk, which is what dropping is for
        disk.fill_but(0);
        let dropped = server.client().send("DELETE", "/v1/datasets/events", &[], b"");
        assert_eq!(dropped.status, 204, "{}", dropped.text());
        disk.empty();
        wait_for("writes after the dataset was dropped", RECOVERS, || {
            server.events("events", format!(r#"{{"cycle":-1,"n":{cycle}}}"#)).status == 200
        });
    }
    eprintln!("{cycles} cycles: {acknowledged} events acknowledged, {refused} requests refused");
    assert_eq!(server.stop(), 0);
    let sqlite = rusqlite::Connection::open(database(disk.path())).unwrap();
    let sound: String = sqlite.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[test]
fn a_server_without_requests_goes_on_by_itself_and_frees_what_is_dropped() {
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let server = serve(&disk);
    let filler = |random: &mut Lcg| -> String {
        (0..20_000).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
    };
    let mut random = Lcg(3);
    server.accepted("other", r#"{"n":1}"#);
    let mut events = 0;
    let refused = loop {
        let reply = server.events("events", json!({"filler": filler(&mut random)}).to_string());
        if reply.status != 200 {
            break reply;
        }
        events += 1;
    };
    let (_, detail) = refused.problem(507);
    assert_says(&detail, &["full", "free", "drop"]);
    assert!(events > 100, "{events}");
    assert_eq!(server.count("events"), events);
    // nobody deletes a file: what is dropped has to be given back to the disk
    let dropped = server.client().send("DELETE", "/v1/datasets/events", &[], b"");
    assert_eq!(dropped.status, 204, "{}", dropped.text());
    let ballast = disk.path().join("windrow.db.ballast");
    wait_for("a ballast made anew", RECOVERS, || ballast.exists());
    assert_eq!(server.count("other"), 1);
    assert_eq!(server.accepted("other", r#"{"n":2}"#), 1, "the first write is taken");
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert_eq!(log.matches("a write failed").count(), 1, "once a state, not once a request: {log}");
}

#[test]
fn erasing_on_a_full_disk_makes_room() {
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let server = serve(&disk);
    let mut random = Lcg(5);
    let mut post = || {
        let lines: String = (0..200)
            .map(|n| {
                let filler: String = (0..200).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
                json!({"k": n % 4, "n": n, "filler": filler}).to_string() + "\n"
            })
            .collect();
        server.events("events", lines).status
    };
    let mut events = 0;
    // a tail that found no room to be sealed cannot be erased from, so this one is sealed while there is
    for _ in 0..50 {
        assert_eq!(post(), 200);
        events += 200;
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_secs(1));
    disk.fill_but(0);
    wait_for("a refused write", RECOVERS, || {
        let status = post();
        events += if status == 200 { 200 } else { 0 };
        status == 507
    });
    // what stays of a segment has to fit beside it
    wait_for("an erasing that is let through", RECOVERS, || {
        let path = "/v1/datasets/events/events?where=k%20%3C%3E%201";
        server.client().send("DELETE", path, &[], b"").status == 200
    });
    assert_eq!(server.count("events"), events / 4, "what was to stay is there");
    disk.empty();
    wait_for("writes that go on by themselves", RECOVERS, || {
        server.events("events", r#"{"k":1}"#).status == 200
    });
}

#[test]
fn an_import_that_meets_a_full_disk_goes_on_with_resume() {
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let source = temp_dir();
    let file = source.path().join("a.ndjson");
    let mut random = Lcg(7);
    let rows = 60_000u64;
    let lines: String = (0..rows)
        .map(|n| {
            let filler: String = (0..300).map(|_| char::from(b'!' + 2 + random.below(56) as u8)).collect();
            json!({"n": n, "filler": filler}).to_string() + "\n"
        })
        .collect();
    std::fs::write(&file, lines).unwrap();
    let import = |more: &[&str]| -> Ran {
        let mut command = windrow(disk.path());
        command.env("WINDROW_SEAL_ROWS", SEAL_ROWS);
        command.args(["import", "events"]).arg(&file).args(more);
        finish(command, Vec::new())
    };
    disk.fill_but(9 << 20);
    let broken = import(&[]).exits(1);
    assert_says(&broken.stderr, &["full", "--resume", "line"]);
    let found = crate::common::process::sql(disk.path(), "SELECT count(*), uniq(n), max(n) FROM events");
    let there = found.rows[0][0].as_u64().unwrap();
    assert!((1..rows).contains(&there), "{there} rows stay");
    assert_eq!(found.rows[0], [json!(there), json!(there), json!(there - 1)], "a beginning of the file");
    assert_says(&broken.stderr, &[&format!("line {}", there + 1)]);
    disk.empty();
    import(&["--resume"]).exits(0);
    let found = crate::common::process::sql(disk.path(), "SELECT count(*), uniq(n), max(n) FROM events");
    assert_eq!(found.rows[0], [json!(rows), json!(rows), json!(rows - 1)], "each row once");
}

#[test]
fn a_disk_without_room_for_a_database_leaves_no_half_one() {
    let Some(disk) = Disk::mount(4 << 20) else { return };
    for free in [0, 4 << 10, 16 << 10, 40 << 10] {
        disk.empty();
        disk.fill_but(free);
        let ran = run(disk.path(), &["import", "events", "-"]);
        assert_eq!(ran.code, 1, "{free} bytes: {}", ran.output());
        assert!(!ran.output().contains("panicked"), "{}", ran.output());
        disk.empty();
        let server = serve(&disk);
        assert_eq!(server.accepted("events", r#"{"n":1}"#), 1);
        assert_eq!(server.stop(), 0);
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(disk.path().join(format!("windrow.db{end}")));
        }
    }
}

#[test]
fn a_server_starts_on_a_full_disk_and_answers() {
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let server = serve(&disk);
    let lines: String = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    server.accepted("events", lines);
    server.kill_nine();
    disk.fill_but(0);
    let server = serve(&disk);
    assert_eq!(server.count("events"), 5_000);
    wait_for("a refused write", RECOVERS, || {
        disk.fill_but(0);
        server.events("events", format!("{{\"s\":\"{}\"}}", "x".repeat(100_000))).status == 507
    });
    disk.empty();
    wait_for("writes that go on", RECOVERS, || server.events("events", r#"{"n":1}"#).status == 200);
}

#[test]
fn a_backup_onto_a_full_disk_leaves_no_half_one() {
    let Some(disk) = Disk::mount(DISK_BYTES) else { return };
    let dir = temp_dir();
    let mut random = Lcg(17);
    let lines: String = (0..20_000)
        .map(|n| {
            let filler: String = (0..300).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
            json!({"n": n, "filler": filler}).to_string() + "\n"
        })
        .collect();
    std::fs::write(dir.path().join("a.ndjson"), lines).unwrap();
    run(dir.path(), &["import", "events", "a.ndjson"]).exits(0);
    let copy = disk.path().join("copy.db");
    let backup = || {
        let mut command = windrow(dir.path());
        command.arg("backup").arg(&copy);
        finish(command, Vec::new())
    };
    disk.fill_but(100 << 10);
    assert_says(&backup().exits(1).stderr, &["space", "needed", "free"]);
    assert!(!copy.exists());
    // room at first, and gone while it is used
    for delay in [2, 5, 10, 20, 40] {
        disk.empty();
        let ran = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(delay));
                disk.fill_but(0);
            });
            backup()
        });
        assert!(!ran.output().contains("panicked"), "{}", ran.output());
        assert_eq!(ran.code == 0, copy.exists(), "{delay} ms: whole or not at all: {}", ran.output());
        let _ = std::fs::remove_file(&copy);
    }
    disk.empty();
    backup().exits(0);
    let mut command = windrow(dir.path());
    command.args(["check", "--db"]).arg(&copy);
    finish(command, Vec::new()).exits(0);
}
