//! kill -9 while a copy is made: under the final name is nothing, the old file, or a whole verified one.
//!
//! A few rounds by default; as many as the environment's `WINDROW_KILLS` says where it is set.

use std::thread;
use std::time::Duration;

use crate::common::process::windrow;
use crate::common::{Lcg, database, run, temp_dir};
use crate::{append, checked, import, totals};

fn rounds() -> u64 {
    match std::env::var("WINDROW_KILLS") {
        Ok(text) => text.parse().expect("WINDROW_KILLS is a number"),
        Err(_) => 6,
    }
}

/// Runs a command and kills it after some ms; true where it had ended well before.
fn killed(dir: &std::path::Path, arguments: &[&str], delay_ms: u64) -> bool {
    let mut child = windrow(dir).args(arguments).spawn().unwrap();
    thread::sleep(Duration::from_millis(delay_ms));
    let _ = child.kill();
    child.wait().unwrap().success()
}

#[test]
fn a_killed_backup_leaves_no_file_or_a_whole_one() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 60_000);
    let copy = dir.path().join("copy.db");
    let mut random = Lcg(5);
    let mut whole = 0;
    for _ in 0..rounds() {
        let _ = std::fs::remove_file(&copy);
        let ended = killed(dir.path(), &["backup", "copy.db"], random.below(400));
        assert!(!ended || copy.exists());
        if copy.exists() {
            let (code, report) = checked(dir.path(), &copy);
            assert_eq!((code, &report["events"]), (0, &serde_json::json!(60_000)), "{report}");
            whole += 1;
        }
        assert_eq!(totals(dir.path(), "visits").0, 60_000);
    }
    eprintln!("{whole} of {} backups were whole", rounds());
    run(dir.path(), &["backup", "copy.db", "--overwrite"]).exits(0);
    assert!(!dir.path().join("copy.db.partial").exists(), "what a kill left is replaced");
}

#[test]
fn a_killed_restore_leaves_the_old_file_or_the_new_one() {
    let dir = temp_dir();
    import(dir.path(), "visits", 0, 40_000);
    run(dir.path(), &["backup", "small.db"]).exits(0);
    append(dir.path(), "visits", 40_000, 9);
    run(dir.path(), &["backup", "large.db"]).exits(0);
    let mut random = Lcg(6);
    let mut now = 40_009;
    for round in 0..rounds() {
        let (name, wanted) = if round % 2 == 0 { ("small.db", 40_000) } else { ("large.db", 40_009) };
        let ended = killed(dir.path(), &["restore", name, "--overwrite"], random.below(400));
        let (code, report) = checked(dir.path(), &database(dir.path()));
        assert_eq!(code, 0, "{report}");
        let found = totals(dir.path(), "visits").0;
        assert!(found == wanted || (!ended && found == now), "{found} of {now} or {wanted}");
        now = found;
    }
    run(dir.path(), &["restore", "small.db", "--overwrite"]).exits(0);
    assert_eq!(totals(dir.path(), "visits").0, 40_000);
    append(dir.path(), "visits", 40_000, 1);
}
