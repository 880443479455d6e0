//! kill -9 while events are erased, while old ones go by retention, and while files are imported: what is to stay is
//! there once, what is to go goes when it is asked for again, and nothing is counted twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::{Lcg, Server, run, temp_dir};
use crate::kills::{is_sound, rounds};

/// Segments so small that there are many to rewrite.
fn small_segments(dir: &Path) {
    std::fs::write(dir.join("windrow.toml"), "seal_rows = 1000\n").unwrap();
}

/// Sends one request and kills the server at a moment after it.
fn ask_and_kill(server: Server, method: &str, path: &str, body: &str, delay: Duration) {
    thread::scope(|scope| {
        let mut client = server.client();
        scope.spawn(move || drop(client.try_send(method, path, &[], body.as_bytes())));
        thread::sleep(delay);
        let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
}

/// `tag`, events and distinct ids of each tag.
fn by_tag(server: &Server) -> Vec<(u64, u64, u64)> {
    let found = server.sql("SELECT tag, count(*), uniq(id) FROM events GROUP BY tag ORDER BY tag");
    let number = |row: &[serde_json::Value], at: usize| row[at].as_u64().unwrap();
    found.rows.iter().map(|row| (number(row, 0), number(row, 1), number(row, 2))).collect()
}

const TAGS: u64 = 10;
const EACH: u64 = 1_000;

/// Events of one tag, spread over time and, by the order they are sent in, over segments.
fn events(tags: impl Iterator<Item = u64> + Clone) -> String {
    let event = |n: u64, tag: u64| {
        let day = 1 + (n * 7 + tag) % 28;
        json!({"id": tag * EACH + n, "tag": tag, "time": format!("2026-01-{day:02}T00:00:00Z"), "text": format!("text {n}")})
    };
    (0..EACH).flat_map(|n| tags.clone().map(move |tag| event(n, tag).to_string() + "\n")).collect()
}

#[test]
fn kill_nine_while_erasing() {
    let dir = temp_dir();
    small_segments(dir.path());
    let mut random = Lcg(11);
    let mut server = Server::start(dir.path(), &[]);
    assert_eq!(server.accepted("events", events(0..TAGS)), TAGS * EACH);
    let mut cut_off = 0;
    for round in 0..rounds() {
        let tag = round % TAGS;
        let path = format!("/v1/datasets/events/events?where=tag%3D{tag}");
        ask_and_kill(server, "DELETE", &path, "", Duration::from_millis(random.below(60)));
        server = Server::start(dir.path(), &[]);
        let mut left = 0;
        for (found, count, ids) in by_tag(&server) {
            assert_eq!(count, ids, "round {round}: no event is there twice");
            match found == tag {
                true => left = count,
                false => assert_eq!(count, EACH, "round {round}: tag {found} is not touched"),
            }
        }
        cut_off += u64::from(left > 0);
        let erased = server.client().send("DELETE", &path, &[], b"").json();
        assert_eq!(erased["erased"], left, "round {round}: the rest goes when it is asked for again");
        assert_eq!(by_tag(&server).len() as u64, TAGS - 1);
        assert_eq!(server.accepted("events", events(tag..=tag)), EACH);
    }
    eprintln!("{} kills, {cut_off} of them before all were erased", rounds());
    assert_eq!(by_tag(&server), (0..TAGS).map(|tag| (tag, EACH, EACH)).collect::<Vec<_>>());
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}

#[test]
fn kill_nine_while_old_events_go() {
    let dir = temp_dir();
    small_segments(dir.path());
    let mut random = Lcg(12);
    let mut server = Server::start(dir.path(), &[]);
    for round in 0..rounds() {
        let dataset = format!("d{round}");
        let now = jiff::Timestamp::now();
        // one event an hour, back from half an hour ago
        let lines: String = (0..4_000i64)
            .map(|n| {
                let time = now - jiff::SignedDuration::from_mins(30 + n * 60);
                json!({"time": time.to_string(), "n": n}).to_string() + "\n"
            })
            .collect();
        assert_eq!(server.accepted(&dataset, &lines), 4_000);
        let kept = 1 + random.below(3_900);
        let path = format!("/v1/datasets/{dataset}");
        let declared = format!("{{\"retention\": \"{kept}h\"}}");
        ask_and_kill(server, "PUT", &path, &declared, Duration::from_millis(random.below(60)));
        server = Server::start(dir.path(), &[]);
        let question = format!("SELECT count(*), uniq(n), max(n) FROM {dataset} WHERE n < {kept}");
        let expected = vec![json!(kept), json!(kept), json!(kept - 1)];
        assert_eq!(server.sql(&question).rows[0], expected, "round {round}: what is to stay stays");
        assert_eq!(server.client().send("PUT", &path, &[], declared.as_bytes()).status, 200);
        let all = format!("SELECT count(*), uniq(n), max(n) FROM {dataset}");
        let begin = std::time::Instant::now();
        while server.sql(&all).rows[0] != expected {
            assert!(begin.elapsed().as_secs() < 60, "round {round}: old events do not go");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.client().send("DELETE", &path, &[], b"").status, 204);
    }
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}

#[test]
fn kill_nine_while_importing() {
    let dir = temp_dir();
    small_segments(dir.path());
    let rows = 40_000u64;
    let lines: String = (0..rows).map(|n| format!("{{\"n\":{n},\"text\":\"number {n}\"}}\n")).collect();
    std::fs::write(dir.path().join("a.ndjson"), lines).unwrap();
    // the same rows by columns
    run(dir.path(), &["import", "source", "a.ndjson"]).exits(0);
    run(dir.path(), &["export", "source", "--fields", "n,text", "--output", "a.parquet"]).exits(0);
    let mut random = Lcg(13);
    let (mut killed, mut rounds_left, mut file) = (0, rounds(), 0);
    while rounds_left > 0 {
        file += 1;
        let dataset = format!("d{file}");
        let source = ["a.ndjson", "a.parquet"][file % 2];
        let arguments = ["import", &dataset, source, "--resume"];
        loop {
            let mut command = crate::common::process::windrow(dir.path());
            let mut child = command.args(arguments).spawn().unwrap();
            thread::sleep(Duration::from_millis(20 + random.below(150)));
            let _ = child.kill();
            if child.wait().unwrap().success() {
                break;
            }
            killed += 1;
            rounds_left = rounds_left.saturating_sub(1);
            if rounds_left == 0 {
                break;
            }
        }
        run(dir.path(), &arguments).exits(0);
        let question = format!("SELECT count(*), uniq(n), uniq(_seq), max(n) FROM {dataset}");
        let found = crate::common::process::sql(dir.path(), &question);
        assert_eq!(found.rows[0], [json!(rows), json!(rows), json!(rows), json!(rows - 1)], "each row once");
    }
    eprintln!("{killed} imports killed");
    is_sound(dir.path());
}
