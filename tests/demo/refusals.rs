//! What the demo refuses, and that it leaves everything as it was.

use std::net::TcpListener;
use std::path::Path;

use super::common::{Server, assert_says, temp_dir};
use super::{DATABASE, Demo, command, files, run};

const DEMO: [&str; 3] = ["demo", "--listen", "127.0.0.1:0"];

#[test]
fn a_second_demo_is_told_where_the_first_one_runs() {
    let folder = temp_dir();
    let demo = Demo::start(folder.path());
    // at another address, and at the same one
    for listen in ["127.0.0.1:0", &demo.address] {
        let second = run(folder.path(), &["demo", "--listen", listen]).exits(1);
        assert_says(
            &second.stderr,
            &["in use by process", &format!("http://{}", demo.address), "stop it first"],
        );
        assert_eq!(second.stdout, "");
    }
    assert_eq!(demo.get("/").status, 200);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let folder = temp_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for verb in ["demo", "serve"] {
        let refused = run(folder.path(), &[verb, "--listen", &address]).exits(1);
        assert_says(&refused.stderr, &[&address, "in use by another process", "--listen 127.0.0.1:0"]);
        assert_eq!(files(folder.path()), Vec::<std::path::PathBuf>::new(), "{verb}");
    }
}

/// Runs the demo over a file that is none of its own, which has to stay as it is.
fn refused_over(folder: &Path, wanted: &[&str]) {
    let path = folder.join(DATABASE);
    let (bytes, there) = (std::fs::read(&path).unwrap(), files(folder));
    let refused = run(folder, &DEMO).exits(1);
    assert_says(&refused.stderr, &[DATABASE, "--db FILE demo"]);
    assert_says(&refused.stderr, wanted);
    assert!(std::fs::read(&path).unwrap() == bytes, "the file was changed");
    assert_eq!(files(folder), there);
}

#[test]
fn a_database_with_data_of_ones_own_is_left_alone() {
    let folder = temp_dir();
    let server = Server::start(folder.path(), &[]);
    server.accepted("pageviews", r#"{"path": "/"}"#);
    assert_eq!(server.stop(), 0);
    std::fs::rename(folder.path().join("windrow.db"), folder.path().join(DATABASE)).unwrap();
    refused_over(folder.path(), &["was not made by `windrow demo`"]);
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = temp_dir();
    let path = folder.path().join(DATABASE);
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)")
        .unwrap();
    refused_over(folder.path(), &["not one of Windrow's"]);
    std::fs::write(&path, "no database at all, but a text that somebody may want to keep\n".repeat(500))
        .unwrap();
    refused_over(folder.path(), &["not a database"]);
}

#[test]
fn a_folder_that_cannot_take_it_is_told() {
    let folder = temp_dir();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (database, wanted) in [("missing/demo.db", "No such file"), ("file/demo.db", "Not a directory")] {
        let refused = run(folder.path(), &["--db", database, "demo", "--listen", "127.0.0.1:0"]).exits(1);
        assert_says(&refused.stderr, &[database, wanted]);
    }
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn only_the_flag_names_another_database() {
    let folder = temp_dir();
    std::fs::write(folder.path().join("windrow.toml"), "db = 'of-the-file.db'\n").unwrap();
    let mut elsewhere = command(folder.path(), &DEMO);
    elsewhere.env("WINDROW_DB", folder.path().join("of-the-environment.db"));
    let demo = Demo::of(elsewhere);
    assert!(demo.printed.starts_with(DATABASE), "{}", demo.printed);
    drop(demo);
    let demo = Demo::of(command(folder.path(), &["--db", "other.db", "demo", "--listen", "127.0.0.1:0"]));
    assert!(demo.printed.starts_with("other.db: "), "{}", demo.printed);
    for name in ["of-the-file.db", "of-the-environment.db"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}
