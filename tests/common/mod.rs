//! What every outside test needs: the binary run as a command or as a server, an HTTP client, seeded numbers and
//! the real input files. Nothing here knows the engine from inside: only its command line, its HTTP and its files.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod client;
pub mod process;
pub mod server;
pub mod websocket;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use client::{Client, Reply};
pub use process::{Ran, run, run_with_input};
pub use server::Server;

/// A directory of the test's own, gone with it.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("windrow-test-").tempdir().expect("a temporary directory")
}

/// The database file that `run` and `Server` use in a directory.
pub fn database(dir: &Path) -> PathBuf {
    dir.join("windrow.db")
}

/// A file of the real input data, or nothing and a line that says so.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: ../shared/data/{name} is not here");
    None
}

/// Seeded numbers: the same sequence on every machine and run.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // the low bits of a linear congruential generator repeat early
        self.0 >> 33
    }

    /// A number in `0..limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of the items.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// A tabular reply: what `/v1/sql`, `/v1/query` and `--format json` give.
#[derive(Debug)]
pub struct Table {
    pub columns: Vec<String>,
    pub types: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    pub json: Value,
}

impl Table {
    pub fn parse(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"));
        let part = |column: &Value, key: &str| {
            column[key].as_str().unwrap_or_else(|| panic!("a column without {key} in {text}")).to_owned()
        };
        let columns = json["columns"].as_array().unwrap_or_else(|| panic!("no columns in {text}"));
        let rows = json["rows"].as_array().unwrap_or_else(|| panic!("no rows in {text}"));
        Self {
            columns: columns.iter().map(|c| part(c, "name")).collect(),
            types: columns.iter().map(|c| part(c, "type")).collect(),
            rows: rows.iter().map(|r| r.as_array().expect("a row is an array").clone()).collect(),
            json,
        }
    }

    /// The only cell of a table of one row and one column.
    pub fn cell(&self) -> &Value {
        assert_eq!((self.rows.len(), self.columns.len()), (1, 1), "one cell expected: {}", self.json);
        &self.rows[0][0]
    }
}

/// Whether two cells mean the same: numbers to 10 digits, instants whatever their notation, the rest exactly.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => x == y,
            _ => {
                let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
                (x - y).abs() <= 1e-10 * x.abs().max(y.abs()).max(1.0)
            }
        },
        (Value::String(x), Value::String(y)) => {
            x == y || matches!((micros_of(x), micros_of(y)), (Some(x), Some(y)) if x == y)
        }
        _ => a == b,
    }
}

/// Fails with the first row that differs.
pub fn assert_same_rows(what: &str, found: &[Vec<Value>], wanted: &[Vec<Value>]) {
    for (at, (f, w)) in found.iter().zip(wanted).enumerate() {
        let equal = f.len() == w.len() && f.iter().zip(w).all(|(f, w)| same(f, w));
        assert!(equal, "{what}: row {at} is {f:?}, should be {w:?}");
    }
    assert_eq!(found.len(), wanted.len(), "{what}: number of rows");
}

/// The instant of an RFC 3339 text, in µs since 1970; nothing where the text is none.
pub fn micros_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// The instant of an RFC 3339 text in a reply; fails where the value is none or lacks its offset.
pub fn micros(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or_else(|| panic!("a time is a string, not {value}"));
    micros_of(text).unwrap_or_else(|| panic!("{text} is not RFC 3339"))
}

/// Text made safe for a URL's query part.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => (b as char).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// The text with another last character: a random one ends with any character that a test would pick.
pub fn altered_end(text: &str) -> String {
    let (kept, last) = text.split_at(text.len() - 1);
    format!("{kept}{}", if last == "A" { 'B' } else { 'A' })
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Asserts that a message holds every fragment, whatever the case of its letters.
pub fn assert_says(message: &str, fragments: &[&str]) {
    let folded = message.to_lowercase();
    for fragment in fragments {
        assert!(folded.contains(&fragment.to_lowercase()), "should speak of \"{fragment}\": {message}");
    }
}

/// Asserts that a message holds at least one of the fragments, whatever the case of its letters.
pub fn assert_says_one_of(message: &str, fragments: &[&str]) {
    let folded = message.to_lowercase();
    let found = fragments.iter().any(|f| folded.contains(&f.to_lowercase()));
    assert!(found, "should speak of one of {fragments:?}: {message}");
}
