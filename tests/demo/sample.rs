//! `windrow sample`: the bytes of the repository, files, pipes, and what is refused.

use std::io::Read;
use std::path::Path;

use super::common::{assert_says, temp_dir};
use super::{command, files, run};

#[test]
fn the_sample_of_the_repository_is_written_again_byte_by_byte() {
    let folder = temp_dir();
    let kept =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/web/pageviews.ndjson")).unwrap();
    let printed = run(folder.path(), &["sample", "web", "--rows", "1000"]).exits(0);
    assert!(printed.stdout.as_bytes() == kept);
    run(folder.path(), &["sample", "web", "--rows", "1000", "--output", "web.ndjson"]).exits(0);
    assert!(std::fs::read(folder.path().join("web.ndjson")).unwrap() == kept);
    assert_eq!(files(folder.path()).len(), 1, "and no database is made");
}

#[test]
fn what_is_written_can_be_imported() {
    let folder = temp_dir();
    run(folder.path(), &["sample", "web", "--rows", "3000", "--seed", "9", "--output", "web.ndjson"])
        .exits(0);
    let imported = run(folder.path(), &["import", "pageviews", "web.ndjson"]).exits(0);
    assert_says(&imported.stdout, &["3,000 rows", "0 rejected"]);
    let asked =
        "SELECT count(*), uniq(site), min(_time) >= '2026-08-03', max(_time) < '2026-11-01' FROM pageviews";
    let answer = run(folder.path(), &["sql", asked, "--format", "csv"]).exits(0);
    assert!(answer.stdout.ends_with("\n3000,3,true,true\n"), "{}", answer.stdout);
}

#[test]
fn a_span_can_be_chosen() {
    let folder = temp_dir();
    let sample = run(
        folder.path(),
        &["sample", "web", "--rows", "50", "--days", "2", "--until", "2024-03-01T12:00:00Z"],
    )
    .exits(0);
    let time = |line: &str| line[7..26].to_owned();
    let times: Vec<String> = sample.stdout.lines().map(time).collect();
    assert_eq!(times.len(), 50);
    assert!(
        times.is_sorted() && *times[0] >= *"2024-02-28T12:00:00" && *times[49] < *"2024-03-01T12:00:00",
        "{times:?}"
    );
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let folder = temp_dir();
    let mut child = command(folder.path(), &["sample", "web", "--rows", "10000000"]).spawn().unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"{\"ts\":\"2");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = temp_dir();
    std::fs::write(folder.path().join("there.ndjson"), "mine").unwrap();
    for (arguments, code, wanted) in [
        (&["wep"][..], 1, "did you mean \"web\""),
        (&["web", "--rows", "0"], 2, "--rows"),
        (&["web", "--days", "5000"], 2, "--days"),
        (&["web", "--until", "soon"], 2, "2026-11-01"),
        (&["web", "--until", "0000-01-02"], 1, "--until"),
        (&["web", "--output", "there.ndjson"], 1, "--overwrite"),
        (&["web", "--output", "missing/web.ndjson"], 1, "folder"),
        (&["web", "--output", "."], 1, "folder"),
        (&["web", "--output", "/dev/null", "--overwrite"], 1, "no plain file"),
    ] {
        let refused = run(folder.path(), &[&["sample"], arguments].concat()).exits(code);
        assert_says(&refused.stderr, &[wanted]);
    }
    assert_eq!(std::fs::read(folder.path().join("there.ndjson")).unwrap(), b"mine");
    assert_eq!(files(folder.path()).len(), 1);
}
