//! What is cached on a disk that fills up or may not be written: service goes on, slower at worst.

use std::process::Command;

use serde_json::json;

use crate::common::{Server, assert_says};
use crate::full_disk::{RECOVERS, serve, wait_for};
use crate::small_disk::Disk;

/// A server with some thousand sealed events, and an answer that its cache file has.
fn serve_with_cache(disk: &Disk) -> Server {
    let server = serve(disk);
    let events: String = (0..5_000).map(|n| json!({"n": n, "k": n % 7}).to_string() + "\n").collect();
    server.accepted("events", events);
    let cached = disk.path().join("windrow.cache.db");
    wait_for("an answer in the file", RECOVERS, || {
        // each event makes the answer another one, and what the segments come to is kept
        server.accepted("events", "{\"n\":1,\"k\":1}");
        ask(&server, "SELECT k, sum(n) FROM events GROUP BY k ORDER BY k", true);
        cached.metadata().is_ok() && server.get("/v1/cache").ok()["disk"]["entries"].as_u64() > Some(0)
    });
    server
}

fn ask(server: &Server, sql: &str, cache: bool) -> serde_json::Value {
    server.post("/v1/sql", json!({"sql": sql, "cache": cache}).to_string()).ok()["rows"].clone()
}

/// Asks questions that nobody asked before and holds the answers against those without a cache.
fn ask_anew(server: &Server, number: u64) {
    let sql = format!("SELECT k, sum(n) FROM events WHERE n > {number} GROUP BY k ORDER BY k");
    assert_eq!(ask(server, &sql, true), ask(server, &sql, false));
    assert_eq!(ask(server, &sql, true), ask(server, &sql, false));
}

#[test]
fn what_is_cached_gives_way_to_data_on_a_disk_that_fills_up() {
    let Some(disk) = Disk::mount(96 << 20) else { return };
    let server = serve_with_cache(&disk);
    let cached = disk.path().join("windrow.cache.db");
    disk.fill_but(24 << 20);
    let mut number = 0;
    wait_for("the cache file to go", RECOVERS, || {
        number += 1;
        ask_anew(&server, number);
        !cached.exists()
    });
    assert_eq!(server.get("/v1/cache").ok()["disk"]["errors"], 1);
    assert_eq!(server.accepted("events", r#"{"n":1,"k":1}"#), 1);
    ask_anew(&server, 1);
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert_says(&log, &["kept in memory alone", "less than 32 MB left"]);
}

#[test]
fn a_cache_file_that_may_not_be_written_costs_nothing_but_time() {
    let Some(disk) = Disk::mount(96 << 20) else { return };
    let cached = disk.path().join("windrow.cache.db");
    let server = serve_with_cache(&disk);
    assert_eq!(server.stop(), 0);
    let mount = |arguments: &[&str]| {
        let ran = Command::new("mount").args(arguments).arg(&cached).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    mount(&["--bind", &cached.to_string_lossy()]);
    mount(&["-o", "remount,ro,bind"]);
    let server = serve(&disk);
    ask_anew(&server, 1);
    assert_eq!(server.accepted("events", r#"{"n":1,"k":1}"#), 1);
    ask_anew(&server, 2);
    assert!(server.get("/v1/cache").ok()["disk"]["errors"].as_u64() > Some(0));
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert_says(&log, &["kept in memory alone", "windrow.cache.db"]);
    drop(server);
    let _ = Command::new("umount").arg("-l").arg(&cached).output();
}
