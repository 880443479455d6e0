//! Backups beside a server at work, and restores: what is refused, what is kept, what comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::Value;

use crate::common::process::sql;
use crate::common::{Server, assert_says, database, run, temp_dir};
use crate::{append, checked, import, lines, totals};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_beside_a_server_at_work_is_a_prefix_of_what_was_acknowledged() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 300_000);
    let server = Server::start(dir.path(), &[]);
    let (acknowledged, is_done) = (AtomicU64::new(300_000), AtomicBool::new(false));
    thread::scope(|scope| {
        // one producer, so that the numbers are in the order of `_seq`; large bodies, so that tails are sealed
        scope.spawn(|| {
            let mut next = 300_000;
            while !is_done.load(Ordering::SeqCst) {
                server.accepted("visits", lines(next, 2_000));
                next += 2_000;
                acknowledged.store(next, Ordering::SeqCst);
            }
        });
        for round in 0..5 {
            let copy = dir.path().join(format!("copy-{round}.db"));
            let least = acknowledged.load(Ordering::SeqCst);
            let ran = run(dir.path(), &["backup", copy.to_str().unwrap(), "--json"]).exits(0);
            let most = acknowledged.load(Ordering::SeqCst) + 2_000;
            let told: Value = serde_json::from_str(&ran.stdout).unwrap();
            let (code, report) = checked(dir.path(), &copy);
            assert_eq!(code, 0, "{report}");
            assert_eq!(told["events"], report["events"]);
            let found = run(
                dir.path(),
                &[
                    "sql",
                    "SELECT count(*), max(n), uniq(n) FROM visits",
                    "--format",
                    "json",
                    "--db",
                    copy.to_str().unwrap(),
                ],
            );
            let found = crate::common::Table::parse(&found.exits(0).stdout);
            let numbers: Vec<u64> = found.rows[0].iter().map(|n| n.as_u64().unwrap()).collect();
            assert!((least..=most).contains(&numbers[0]), "{least} to {most}: {numbers:?}");
            assert_eq!(numbers, [numbers[0], numbers[0] - 1, numbers[0]], "a prefix, whole");
        }
        is_done.store(true, Ordering::SeqCst);
    });
    assert_eq!(server.stop(), 0);
    let mode = fs::metadata(dir.path().join("copy-0.db")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(names(dir.path()).iter().all(|name| !name.contains("partial")), "{:?}", names(dir.path()));
}

#[test]
fn a_backup_is_refused_where_it_would_harm() {
    let dir = temp_dir();
    append(dir.path(), "visits", 0, 10);
    let server = Server::start(dir.path(), &[]);
    for name in ["windrow.db", "./windrow.db", "windrow.db-wal", "windrow.db-shm", "windrow.db.lock"] {
        let refused = run(dir.path(), &["backup", name, "--overwrite"]).exits(1);
        assert_says(&refused.stderr, &[name.trim_start_matches("./"), "name another file"]);
    }
    assert_says(&run(dir.path(), &["backup", "absent/copy.db"]).exits(1).stderr, &["absent", "folder"]);
    assert_says(&run(dir.path(), &["backup", "."]).exits(1).stderr, &["folder"]);
    fs::write(dir.path().join("copy.db"), "mine").unwrap();
    assert_says(&run(dir.path(), &["backup", "copy.db"]).exits(1).stderr, &["copy.db", "--overwrite"]);
    assert_eq!(fs::read(dir.path().join("copy.db")).unwrap(), b"mine");
    // a write-ahead log of another database at the same place would be taken for the copy's own
    fs::write(dir.path().join("copy.db-wal"), "commits").unwrap();
    assert_says(&run(dir.path(), &["backup", "copy.db", "--overwrite"]).exits(1).stderr, &["copy.db-wal"]);
    fs::remove_file(dir.path().join("copy.db-wal")).unwrap();
    // what a killed backup left
    fs::write(dir.path().join("copy.db.partial"), "half").unwrap();
    fs::write(dir.path().join("copy.db.partial-wal"), "half").unwrap();
    run(dir.path(), &["backup", "copy.db", "--overwrite"]).exits(0);
    assert_eq!(checked(dir.path(), &dir.path().join("copy.db")).0, 0);
    assert!(names(dir.path()).iter().all(|name| !name.contains("partial")));
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_backup_is_restored_to_where_nothing_is_and_over_what_is_there() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 30_000);
    append(dir.path(), "visits", 30_000, 50);
    run(dir.path(), &["backup", "copy.db"]).exits(0);
    let saved = totals(dir.path(), "visits");
    append(dir.path(), "later", 0, 5);

    let refused = run(dir.path(), &["restore", "copy.db"]).exits(1);
    assert_says(&refused.stderr, &["holds 2 datasets", "--overwrite", "before-restore"]);
    let server = Server::start(dir.path(), &[]);
    let refused = run(dir.path(), &["restore", "copy.db", "--overwrite"]).exits(1);
    assert_says(&refused.stderr, &["in use", &server.address]);
    server.kill_nine();
    // the killed server left commits in its write-ahead log, which belong to the old file
    let ran = run(dir.path(), &["restore", "copy.db", "--overwrite"]).exits(0);
    assert_says(&ran.stdout, &["30,050 events in 1 dataset", "before-restore"]);
    assert_eq!(totals(dir.path(), "visits"), saved);
    assert_eq!(checked(dir.path(), &database(dir.path())).0, 0);
    run(dir.path(), &["sql", "SELECT count(*) FROM later"]).exits(1);
    let kept = format!("{}.before-restore", database(dir.path()).display());
    let old =
        run(dir.path(), &["sql", "SELECT count(*) FROM later", "--format", "csv", "--db", &kept]).exits(0);
    assert_says(&old.stdout, &["5"]);
    // what is kept is never replaced
    append(dir.path(), "visits", 30_050, 1);
    let again = run(dir.path(), &["restore", "copy.db", "--overwrite"]).exits(0);
    assert_says(&again.stdout, &["before-restore-2"]);

    // to a new place, with a server on it afterwards
    let fresh = dir.path().join("fresh.db");
    run(dir.path(), &["restore", "copy.db", "--db", fresh.to_str().unwrap()]).exits(0);
    assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.count("visits"), 30_050);
    assert_eq!(server.accepted("visits", lines(50_000, 3)), 3);
    assert_eq!(server.stop(), 0);
    assert!(!names(dir.path()).contains(&"copy.db-wal".to_owned()), "nothing is left beside the backup");
}

#[test]
fn commits_in_the_write_ahead_log_of_the_old_file_stay_with_it() {
    let dir = temp_dir();
    append(dir.path(), "visits", 0, 10);
    run(dir.path(), &["backup", "copy.db"]).exits(0);
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", lines(10, 90));
    server.kill_nine();
    assert!(fs::metadata(dir.path().join("windrow.db-wal")).unwrap().len() > 0);
    run(dir.path(), &["restore", "copy.db", "--overwrite"]).exits(0);
    assert_eq!(totals(dir.path(), "visits").0, 10);
    fs::rename(dir.path().join("windrow.db.before-restore"), database(dir.path())).unwrap();
    assert_eq!(totals(dir.path(), "visits").0, 100);
}

#[test]
fn what_is_no_sound_backup_is_not_restored() {
    let dir = temp_dir();
    append(dir.path(), "visits", 0, 10);
    let refused = |name: &str, words: &[&str]| {
        let ran = run(dir.path(), &["restore", name, "--overwrite"]).exits(1);
        assert_says(&ran.stderr, words);
        assert_eq!(sql(dir.path(), "SELECT count(*) FROM visits").cell(), 10);
        assert!(!names(dir.path()).iter().any(|name| name.contains("before") || name.contains("partial")));
    };
    refused("absent.db", &["no backup", "absent.db"]);
    refused("windrow.db", &["is the database itself"]);
    fs::write(dir.path().join("text.db"), "a text, long enough to be a first page\n".repeat(400)).unwrap();
    refused("text.db", &["text.db", "not a database", "restore another backup"]);
    let foreign = rusqlite::Connection::open(dir.path().join("foreign.db")).unwrap();
    foreign.execute_batch("CREATE TABLE mine (x)").unwrap();
    refused("foreign.db", &["foreign.db", "not one of Windrow"]);
    run(dir.path(), &["backup", "newer.db"]).exits(0);
    let newer = rusqlite::Connection::open(dir.path().join("newer.db")).unwrap();
    newer.execute_batch("PRAGMA user_version = 1000").unwrap();
    drop(newer);
    refused("newer.db", &["newer.db", "newer Windrow"]);
}

#[test]
fn a_database_that_cannot_be_read_is_replaced_and_kept() {
    let dir = temp_dir();
    append(dir.path(), "visits", 0, 10);
    run(dir.path(), &["backup", "copy.db"]).exits(0);
    fs::write(database(dir.path()), "nothing of a database is left\n".repeat(1_000)).unwrap();
    assert_says(
        &run(dir.path(), &["restore", "copy.db"]).exits(1).stderr,
        &["cannot be read", "--overwrite"],
    );
    run(dir.path(), &["restore", "copy.db", "--overwrite"]).exits(0);
    assert_eq!(totals(dir.path(), "visits").0, 10);
    assert!(fs::read(dir.path().join("windrow.db.before-restore")).unwrap().starts_with(b"nothing"));
}
