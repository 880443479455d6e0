//! The demo from outside: `windrow demo` starts, shows its page and stops; what it refuses it leaves as it was; a kill
//! at any moment leaves a file that the next demo goes on with. And the sample data that it is made of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod browser;
mod page;
mod refusals;
mod sample;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::process::bare;
use common::{Client, Ran, Reply, Table, temp_dir};

const DATABASE: &str = "windrow-demo.db";

/// A running demo in a folder; killed when the test drops it.
pub struct Demo {
    child: Child,
    /// What it printed until it could be asked.
    pub printed: String,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Demo {
    /// `windrow demo` on a port of its own choice.
    pub fn start(folder: &Path) -> Self {
        Self::of(command(folder, &["demo", "--listen", "127.0.0.1:0"]))
    }

    /// A command that is a demo.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut printed, mut address) = (String::new(), None);
        while address.is_none() {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {printed}")).unwrap();
            address = line.strip_prefix("listening on http://").map(str::to_owned);
            printed.push_str(&(line + "\n"));
        }
        // the rest is one write with it
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, printed, address: address.unwrap() }
    }

    /// One GET.
    pub fn get(&self, path: &str) -> Reply {
        Client::new(&self.address).send("GET", path, &[], b"")
    }

    /// The answer to one JSON query.
    pub fn query(&self, body: &str) -> Table {
        let reply = Client::new(&self.address).send("POST", "/v1/query", &[], body.as_bytes());
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        Table::parse(&reply.text())
    }

    /// Events of the demo.
    pub fn rows(&self) -> u64 {
        self.query(r#"{"from": "pageviews", "select": ["count()"]}"#).cell().as_u64().unwrap()
    }

    /// SIGTERM, then the exit code.
    pub fn stop(mut self) -> i32 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary in a folder, with these arguments and nothing else.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = bare();
    command.current_dir(folder).args(arguments);
    command
}

/// Runs the binary in a folder to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    common::process::finish(command(folder, arguments), Vec::new())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn it_makes_its_data_shows_them_and_goes_on_with_them() {
    let folder = temp_dir();
    let demo = Demo::start(folder.path());
    assert!(
        demo.printed.starts_with("windrow-demo.db: 200,000 events of the last 62 days, made in"),
        "{}",
        demo.printed
    );
    let page = demo.get("/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<h1>pageviews</h1>"), "{}", page.text());
    assert!(demo.rows() >= 200_000);
    assert_eq!(demo.stop(), 0);
    let again = Demo::start(folder.path());
    assert!(again.printed.contains("up to now"), "{}", again.printed);
    let rows = again.rows();
    assert!((200_000..201_000).contains(&rows), "{rows}");
    assert_eq!(again.stop(), 0);
}

#[test]
fn events_go_on_coming_while_it_runs() {
    let folder = temp_dir();
    let demo = Demo::start(folder.path());
    let before = demo.rows();
    for _ in 0..600 {
        if demo.rows() > before {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no event in a minute");
}

#[test]
fn json_is_one_object_with_the_address() {
    let folder = temp_dir();
    let mut child = command(folder.path(), &["demo", "--listen", "127.0.0.1:0", "--json"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (told["dataset"].as_str(), told["rows"].as_u64()),
        (Some("pageviews"), Some(200_000)),
        "{told}"
    );
    assert!(told["address"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{told}");
}

#[test]
fn a_demo_that_was_killed_while_it_was_made_is_made_by_the_next() {
    for wait_ms in [0, 2, 4, 6, 9, 13, 20, 60, 150, 400, 900] {
        let folder = temp_dir();
        let mut child = command(folder.path(), &["demo", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let demo = Demo::start(folder.path());
        let rows = demo.rows();
        assert!((200_000..200_200).contains(&rows), "killed after {wait_ms} ms: {rows} rows");
        assert_eq!(demo.stop(), 0);
    }
}
