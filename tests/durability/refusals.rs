//! A server that cannot start says why, exits with 1 and leaves things as they were.

use std::net::TcpListener;
use std::path::Path;

use crate::common::process::{bare, finish};
use crate::common::{Ran, Server, assert_says, assert_says_one_of, database, run, temp_dir};

/// Tries to serve a file that cannot be served.
fn refused(db: &Path, listen: &str) -> Ran {
    let mut command = bare();
    command.arg("--db").arg(db).args(["serve", "--listen", listen, "--no-auth"]);
    let ran = finish(command, Vec::new());
    assert!(!ran.output().contains("panicked"), "{}", ran.output());
    assert!(!ran.stdout.contains("listening on"), "{}", ran.stdout);
    ran
}

#[test]
fn a_second_server_on_one_file_names_the_first() {
    let dir = temp_dir();
    let first = Server::start(dir.path(), &[]);
    first.accepted("events", r#"{"n":1}"#);
    let second = refused(&database(dir.path()), "127.0.0.1:0").exits(1);
    assert_says(&second.stderr, &[&first.address, &first.pid().to_string()]);
    assert_eq!(first.count("events"), 1, "the first lives on");
    let link = dir.path().join("link.db");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(database(dir.path()), &link).unwrap();
        let by_another_name = refused(&link, "127.0.0.1:0").exits(1);
        assert_says(&by_another_name.stderr, &[&first.address]);
    }
    first.kill_nine();
    let third = Server::start(dir.path(), &[]);
    assert_eq!(third.count("events"), 1, "a lock of the dead holds nobody");
}

/// The version of a file's schema, as SQLite keeps it.
fn schema_version(db: &Path) -> i64 {
    let sqlite = rusqlite::Connection::open(db).unwrap();
    sqlite.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn set_schema_version(db: &Path, version: i64) {
    let sqlite = rusqlite::Connection::open(db).unwrap();
    sqlite.pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn a_file_of_a_newer_windrow_is_refused_and_left_alone() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"n":1}"#);
    assert_eq!(server.stop(), 0);
    let db = database(dir.path());
    let known = schema_version(&db);
    assert!(known >= 1, "the schema has a version");
    set_schema_version(&db, known + 1_000);
    let ran = refused(&db, "127.0.0.1:0").exits(1);
    assert_says(&ran.stderr, &["newer", &(known + 1_000).to_string(), &known.to_string()]);
    let read = run(dir.path(), &["sql", "SELECT count(*) FROM events"]).exits(1);
    assert_says(&read.stderr, &["newer"]);
    assert_eq!(schema_version(&db), known + 1_000, "nothing was changed");
    set_schema_version(&db, known);
    assert_eq!(Server::start(dir.path(), &[]).count("events"), 1);
}

#[test]
fn a_file_that_is_no_windrow_file_is_refused_and_left_alone() {
    let dir = temp_dir();
    let other = dir.path().join("other.db");
    let sqlite = rusqlite::Connection::open(&other).unwrap();
    sqlite.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (7);").unwrap();
    drop(sqlite);
    let text = dir.path().join("text.db");
    std::fs::write(&text, "just a text, long enough to be read as the head of a file\n".repeat(100)).unwrap();
    for file in [&other, &text] {
        let before = std::fs::read(file).unwrap();
        let ran = refused(file, "127.0.0.1:0").exits(1);
        assert_says(&ran.stderr, &[file.file_name().unwrap().to_str().unwrap()]);
        assert_eq!(std::fs::read(file).unwrap(), before, "not a byte is changed");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let dir = temp_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = refused(&database(dir.path()), &address).exits(1);
    assert_says(&ran.stderr, &[&address]);
    assert_says_one_of(&ran.stderr, &["in use", "--listen"]);
}

#[test]
fn an_address_that_is_none_is_wrong_use() {
    let dir = temp_dir();
    for listen in ["nonsense", "127.0.0.1:70000", "127.0.0.1", ""] {
        let ran = refused(&database(dir.path()), listen);
        assert!([1, 2].contains(&ran.code), "{listen}: {}", ran.output());
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn no_auth_is_for_loopback_only() {
    let dir = temp_dir();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ran = refused(&database(dir.path()), listen);
        assert!([1, 2].contains(&ran.code), "{listen}: {}", ran.output());
        assert_says(&ran.stderr, &["loopback"]);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("file"), "not a directory").unwrap();
    // places that refuse root as well
    let mut places = vec![dir.path().join("file/windrow.db"), dir.path().join("absent/windrow.db")];
    if cfg!(target_os = "linux") {
        places.push("/proc/windrow.db".into());
    }
    std::fs::create_dir(dir.path().join("folder.db")).unwrap();
    places.push(dir.path().join("folder.db"));
    for place in places {
        let ran = refused(&place, "127.0.0.1:0").exits(1);
        assert_says(&ran.stderr, &[place.to_str().unwrap()]);
    }
}

#[test]
#[cfg(unix)]
fn a_read_only_directory_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root writes into read-only directories");
        return;
    }
    let dir = temp_dir();
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    let ran = refused(&closed.join("windrow.db"), "127.0.0.1:0").exits(1);
    assert_says(&ran.stderr, &["closed", "permission"]);
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_question_to_a_file_that_is_not_there_makes_none() {
    let dir = temp_dir();
    let ran = run(dir.path(), &["sql", "SELECT 1 FROM events"]).exits(1);
    assert_says(&ran.stderr, &["windrow.db"]);
    assert!(!database(dir.path()).exists(), "a reader makes no file");
}
