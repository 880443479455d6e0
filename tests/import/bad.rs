//! Files that are broken or not what their names say: each ends with its place and the way out, in bounded memory.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;

use crate::common::process::sql;
use crate::common::{Ran, assert_same_rows, assert_says, assert_says_one_of, gzip, run, temp_dir};

/// Writes a file and imports it into `d`.
fn import(dir: &Path, name: &str, bytes: &[u8]) -> Ran {
    std::fs::write(dir.join(name), bytes).unwrap();
    run(dir, &["import", "d", name])
}

/// The values of `n` that were kept, in their order.
fn kept(dir: &Path) -> Vec<i64> {
    let found = sql(dir, "SELECT n FROM d ORDER BY _seq");
    found.rows.iter().map(|r| r[0].as_i64().unwrap()).collect()
}

/// Asserts that nothing was kept, whether or not the dataset was made.
fn assert_nothing_kept(dir: &Path) {
    let ran = run(dir, &["sql", "SELECT count(*) AS n FROM d", "--format", "csv"]);
    assert!(ran.code == 1 || ran.stdout.trim() == "n\n0", "{}", ran.output());
}

#[test]
fn a_truncated_gzip_keeps_what_was_committed_and_tells_the_place() {
    let dir = temp_dir();
    let total = 300_000;
    let lines = (0..total).fold(String::new(), |mut text, n| {
        writeln!(text, "{{\"n\":{n},\"text\":\"number {}\"}}", n * 7919 % 1_000_003).unwrap();
        text
    });
    let whole = gzip(lines.as_bytes());
    let broken = import(dir.path(), "a.ndjson.gz", &whole[..whole.len() * 6 / 10]).exits(1);
    assert_says(&broken.stderr, &["a.ndjson.gz", "--resume"]);
    assert_says_one_of(
        &broken.stderr,
        &["truncated", "ends early", "unexpected end", "cut off", "incomplete"],
    );
    assert!(broken.stderr.contains(|c: char| c.is_ascii_digit()), "the place is a number: {}", broken.stderr);
    let found = sql(dir.path(), "SELECT count(*), min(n), max(n), uniq(n) FROM d");
    let count = found.rows[0][0].as_i64().unwrap();
    assert!(count > 0 && count < total, "{count} rows were committed");
    let prefix = vec![json!(count), json!(0), json!(count - 1), json!(count)];
    assert_same_rows("what was committed is the beginning", &found.rows, &[prefix]);

    std::fs::write(dir.path().join("a.ndjson.gz"), &whole).unwrap();
    let refused = run(dir.path(), &["import", "d", "a.ndjson.gz"]).exits(1);
    assert_says(&refused.stderr, &["--resume"]);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM d").cell(), count, "a refused import adds nothing");
    run(dir.path(), &["import", "d", "a.ndjson.gz", "--resume"]).exits(0);
    let found = sql(dir.path(), "SELECT count(*), min(n), max(n), uniq(n) FROM d");
    let all = vec![json!(total), json!(0), json!(total - 1), json!(total)];
    assert_same_rows("after --resume each row is there once", &found.rows, &[all]);
}

#[test]
fn utf_16_is_refused_by_its_name() {
    let dir = temp_dir();
    for (name, text) in [("a.csv", "n,s\n1,a\n"), ("b.ndjson", "{\"n\":1}\n"), ("c.json", "[{\"n\":1}]")] {
        let little: Vec<u8> = "\u{feff}"
            .chars()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let refused = import(dir.path(), name, &little).exits(1);
        assert_says(&refused.stderr, &[name, "UTF-16", "UTF-8"]);
        assert_nothing_kept(dir.path());
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let dir = temp_dir();
    import(dir.path(), "a.csv", "\u{feff}n,s\n1,a\n".as_bytes()).exits(0);
    import(dir.path(), "b.ndjson", "\u{feff}{\"n\":2}\n".as_bytes()).exits(0);
    import(dir.path(), "c.json", "\u{feff}[{\"n\":3}]".as_bytes()).exits(0);
    import(dir.path(), "d.csv", "\u{feff}\"n\",s\n4,a\n".as_bytes()).exits(0);
    assert_eq!(kept(dir.path()), [1, 2, 3, 4]);
}

#[test]
fn rows_that_cannot_be_read_are_rejected_one_by_one_with_their_line() {
    let dir = temp_dir();
    let lines = b"{\"n\":1}\n{\"n\":2,\"s\":\"\xff\xfe\"}\n{\"n\":3}\n\nnonsense\n{\"n\":6,\"n\":7}\n{\"n\":NaN}\n{\"n\":8}\n";
    let ran = import(dir.path(), "a.ndjson", lines).exits(0);
    assert_says(&ran.output(), &["line 2", "line 5", "line 6", "line 7", "UTF-8", "duplicate"]);
    assert!(!ran.output().contains("line 3") && !ran.output().contains("line 8"), "{}", ran.output());
    assert_eq!(kept(dir.path()), [1, 3, 8]);
}

#[test]
fn a_csv_row_of_invalid_utf_8_is_rejected_with_its_line() {
    let dir = temp_dir();
    let ran = import(dir.path(), "a.csv", b"n,s\n1,ok\n2,caf\xe9\n3,ok\n").exits(0);
    assert_says(&ran.output(), &["line 3", "UTF-8"]);
    assert_eq!(kept(dir.path()), [1, 3]);
}

#[test]
fn ragged_rows_are_rejected_with_their_lines() {
    let dir = temp_dir();
    let ran = import(dir.path(), "a.csv", b"n,s,t\n1,a,b\n2,a\n3,a,b,c\n4,\"x\ny\",b\n5\n6,a,b\n").exits(0);
    // line 5 begins the row of two lines; the rows after it are counted by lines, not by records
    assert_says(&ran.output(), &["line 3", "line 4", "line 7", "3"]);
    assert_eq!(kept(dir.path()), [1, 4, 6]);
}

#[test]
fn a_file_of_which_no_row_can_be_read_is_a_failure() {
    let dir = temp_dir();
    let ran = import(dir.path(), "a.ndjson", b"one\ntwo\nthree\n").exits(1);
    assert_says(&ran.output(), &["line 1"]);
    assert_nothing_kept(dir.path());
}

#[test]
fn many_bad_rows_are_counted_not_all_printed() {
    let dir = temp_dir();
    let text = format!("{{\"n\":1}}\n{}", "nonsense\n".repeat(50_000));
    let ran = import(dir.path(), "a.ndjson", text.as_bytes()).exits(0);
    assert_says(&ran.output().replace([',', '_'], ""), &["50000"]);
    assert!(ran.output().lines().count() < 1_000, "{} lines printed", ran.output().lines().count());
}

#[test]
fn duplicate_headers_lose_no_cell_in_silence() {
    let dir = temp_dir();
    let ran = import(dir.path(), "a.csv", b"n,colour,colour\n1,red,green\n");
    assert_says(&ran.output(), &["colour"]);
    match ran.code {
        0 => {
            let row = sql(dir.path(), "SELECT * FROM d").rows.remove(0);
            assert!(row.contains(&json!("red")) && row.contains(&json!("green")), "{row:?}");
        }
        _ => {
            assert_says(&ran.exits(1).stderr, &["a.csv", "twice"]);
            assert_nothing_kept(dir.path());
        }
    }
}

#[test]
fn empty_headers_lose_no_cell_in_silence() {
    let dir = temp_dir();
    let ran = import(dir.path(), "a.csv", b"n,,colour,\n1,left,red,right\n");
    assert_says_one_of(&ran.output(), &["header", "column"]);
    match ran.code {
        0 => {
            let row = sql(dir.path(), "SELECT * FROM d").rows.remove(0);
            for cell in ["left", "red", "right"] {
                assert!(row.contains(&json!(cell)), "{cell} is lost: {row:?}");
            }
        }
        _ => {
            assert_says(&ran.exits(1).stderr, &["a.csv", "empty"]);
            assert_nothing_kept(dir.path());
        }
    }
}

#[test]
fn an_empty_file_is_a_failure_that_says_so() {
    let dir = temp_dir();
    for name in ["a.csv", "b.ndjson", "c.json", "d.tsv"] {
        for bytes in [&b""[..], b"\xef\xbb\xbf", b"\n\n \n"] {
            let ran = import(dir.path(), name, bytes).exits(1);
            assert_says(&ran.stderr, &[name]);
            assert_says_one_of(&ran.stderr, &["empty", "no rows", "nothing"]);
        }
    }
    let ran = import(dir.path(), "e.csv", b"n,s\n").exits(1);
    assert_says(&ran.stderr, &["e.csv"]);
    let ran = import(dir.path(), "f.ndjson.gz", &gzip(b"")).exits(1);
    assert_says(&ran.stderr, &["f.ndjson.gz"]);
}

#[test]
fn a_picture_named_csv_is_refused_whole() {
    let dir = temp_dir();
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
    png.extend((0u32..5_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8));
    for name in ["a.csv", "b.ndjson", "c.json", "d.gz", "e.csv.gz"] {
        let ran = import(dir.path(), name, &png).exits(1);
        assert_says(&ran.stderr, &[name]);
        assert!(!ran.output().contains('\u{fffd}'), "no binary goes to the terminal: {}", ran.output());
        assert_nothing_kept(dir.path());
    }
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_read_rightly_or_refused() {
    let dir = temp_dir();
    for (name, bytes, truth) in [
        ("a.csv", gzip(b"n,s\n1,a\n"), "gzip"),
        ("b.csv.gz", b"n,s\n1,a\n".to_vec(), "gzip"),
        ("c.csv", b"{\"n\":1}\n{\"n\":1}\n".to_vec(), "JSON"),
        ("d.json", b"n,s\n1,a\n".to_vec(), "JSON"),
        ("e.ndjson", b"n,s\n1,a\n".to_vec(), "JSON"),
    ] {
        let dataset = &name[..1];
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let ran = run(dir.path(), &["import", dataset, name]);
        match ran.code {
            0 => {
                let found = sql(dir.path(), &format!("SELECT min(n), max(n) FROM {dataset}"));
                assert_eq!(found.rows, [[json!(1), json!(1)]], "{name}");
            }
            _ => assert_says(&ran.exits(1).stderr, &[name, truth]),
        }
    }
}

#[test]
fn a_file_that_is_missing_or_a_directory_is_named() {
    let dir = temp_dir();
    let missing = run(dir.path(), &["import", "d", "absent.csv"]).exits(1);
    assert_says(&missing.stderr, &["absent.csv"]);
    std::fs::create_dir(dir.path().join("folder.csv")).unwrap();
    let folder = run(dir.path(), &["import", "d", "folder.csv"]).exits(1);
    assert_says(&folder.stderr, &["folder.csv", "directory"]);
    assert_nothing_kept(dir.path());
}

/// Writes `before`, then 64 MiB without a line end, then `after`; imports it and checks what it took of memory.
fn import_long_line(dir: &Path, name: &str, before: &[u8], after: &[u8]) -> Ran {
    let mut file = File::create(dir.join(name)).unwrap();
    file.write_all(before).unwrap();
    for _ in 0..64 {
        file.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
    }
    file.write_all(after).unwrap();
    drop(file);
    let ran = run(dir, &["import", "d", name]).exits(0);
    assert!(ran.peak_kib < 300 * 1024, "{} MiB of memory", ran.peak_kib / 1024);
    ran
}

#[test]
fn a_line_without_end_is_rejected_in_bounded_memory() {
    let dir = temp_dir();
    let ran = import_long_line(dir.path(), "a.ndjson", b"{\"n\":1}\n{\"n\":2,\"s\":\"", b"\"}\n{\"n\":3}\n");
    assert_says(&ran.output(), &["line 2", "16 MiB"]);
    assert_eq!(kept(dir.path()), [1, 3]);
}

#[test]
fn a_csv_cell_without_end_is_rejected_in_bounded_memory() {
    let dir = temp_dir();
    let ran = import_long_line(dir.path(), "a.csv", b"n,s\n1,a\n2,", b"\n3,b\n");
    assert_says(&ran.output(), &["line 3", "16 MiB"]);
    assert_eq!(kept(dir.path()), [1, 3]);
}

#[test]
fn a_small_file_that_inflates_to_one_long_line_is_rejected_in_bounded_memory() {
    let dir = temp_dir();
    let mut text = b"{\"n\":1}\n{\"n\":2,\"s\":\"".to_vec();
    text.resize(text.len() + 64 * 1024 * 1024, b'x');
    text.extend_from_slice(b"\"}\n{\"n\":3}\n");
    let ran = import(dir.path(), "a.ndjson.zst", &crate::common::zstd(&text)).exits(0);
    assert_says(&ran.output(), &["line 2", "16 MiB"]);
    assert!(ran.peak_kib < 300 * 1024, "{} MiB of memory", ran.peak_kib / 1024);
    assert_eq!(kept(dir.path()), [1, 3]);
}
