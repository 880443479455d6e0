//! A file that is deleted or replaced under a running server: it says so and takes nothing more, because that would be
//! lost; queries are answered from what is open, and the other file is left alone.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::{Server, assert_says, database, temp_dir};

/// The reply to the next write.
fn refused(server: &Server) -> String {
    server.events("events", r#"{"n":2}"#).problem(507).1
}

fn wal(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("windrow.db-wal")
}

#[test]
fn a_deleted_file_takes_no_more_writes_and_is_not_made_anew() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    std::fs::remove_file(database(dir.path())).unwrap();
    for _ in 0..2 {
        assert_says(&refused(&server), &["windrow.db was deleted", "stop", "start it again"]);
        std::thread::sleep(Duration::from_millis(600));
    }
    assert_eq!(server.count("events"), 1, "queries are answered");
    let dropped = server.client().send("DELETE", "/v1/datasets/events", &[], b"");
    dropped.problem(507);
    assert_eq!(server.stop(), 0);
    assert!(!database(dir.path()).exists(), "no empty file takes its place");
}

#[test]
fn a_replaced_file_is_left_alone() {
    let (dir, other) = (temp_dir(), temp_dir());
    let fresh = Server::start(other.path(), &[]);
    fresh.accepted("others", r#"[{"n":1},{"n":2}]"#);
    assert_eq!(fresh.stop(), 0);
    let copy = std::fs::read(database(other.path())).unwrap();

    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    let place = dir.path().join("coming.db");
    std::fs::write(&place, &copy).unwrap();
    std::fs::rename(&place, database(dir.path())).unwrap();
    assert_says(&refused(&server), &["windrow.db was replaced", "start it again"]);
    assert_eq!(server.count("events"), 1);
    assert_eq!(server.stop(), 0);
    assert!(std::fs::read(database(dir.path())).unwrap() == copy, "not a byte is changed");
    let _ = std::fs::remove_file(wal(&dir));
    let _ = std::fs::remove_file(dir.path().join("windrow.db-shm"));
    let server = Server::start(dir.path(), &[]);
    assert_eq!((server.count("others"), server.count("events")), (2, 0));
}

#[test]
fn a_deleted_log_takes_no_more_writes_and_loses_none() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    std::fs::remove_file(wal(&dir)).unwrap();
    assert_says(&refused(&server), &["windrow.db-wal was deleted", "start it again"]);
    assert_eq!(server.count("events"), 1);
    server.kill_nine();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.count("events"), 1, "what was acknowledged is in the file");
}

#[test]
fn a_server_without_requests_notices_as_well() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    std::fs::remove_file(database(dir.path())).unwrap();
    let started = Instant::now();
    while !std::fs::read_to_string(server.log()).unwrap().contains("windrow.db was deleted") {
        assert!(started.elapsed() < Duration::from_secs(20), "its log says nothing");
        std::thread::sleep(Duration::from_millis(50));
    }
}
