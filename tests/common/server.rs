//! The binary as a server on a port of its own choice, with the few requests that most tests make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::windrow;
use super::{Client, Reply, Table, encode};

/// A server is ready, or gone after a signal, well within this.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running server; killed when the test drops it.
pub struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    log: PathBuf,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts `windrow --db DIR/windrow.db serve --listen 127.0.0.1:0 --no-auth EXTRA…` and waits until it listens.
    pub fn start(dir: &Path, extra: &[&str]) -> Self {
        Self::launch(dir, &[&["--no-auth"], extra].concat(), &[], dir.join("serve.stderr"))
    }

    /// The same without `--no-auth`: it lets in who shows a key or a session.
    pub fn start_closed(dir: &Path, extra: &[&str]) -> Self {
        Self::launch(dir, extra, &[], dir.join("serve.stderr"))
    }

    /// The same with settings in the environment and the log outside of DIR, which may be a full disk.
    pub fn start_with(dir: &Path, extra: &[&str], settings: &[(&str, &str)]) -> Self {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        Self::launch(
            dir,
            &[&["--no-auth"], extra].concat(),
            settings,
            std::env::temp_dir().join(format!("{name}.stderr")),
        )
    }

    /// The same with so few descriptors.
    pub fn start_limited(dir: &Path, descriptors: u32) -> Self {
        let command = windrow(dir);
        let mut limited = Command::new("sh");
        limited
            .arg("-c")
            .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""))
            .arg(command.get_program());
        limited.args(command.get_args()).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped());
        Self::launch_command(limited, &["--no-auth"], dir.join("serve.stderr"))
    }

    fn launch(dir: &Path, extra: &[&str], settings: &[(&str, &str)], log: PathBuf) -> Self {
        let mut command = windrow(dir);
        command.envs(settings.iter().copied());
        Self::launch_command(command, extra, log)
    }

    fn launch_command(mut command: Command, extra: &[&str], log: PathBuf) -> Self {
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(extra);
        command.stderr(File::options().create(true).append(true).open(&log).unwrap());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (announce, announced) = mpsc::channel();
        let printed = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&printed);
        // reads on to the end, so the server never waits for a full pipe
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // before it is told of, so that who was told finds it
                lines.lock().unwrap().push(line.clone());
                if let Some((_, rest)) = line.split_once("listening on http") {
                    let rest = rest.trim_start_matches('s').trim_start_matches("://");
                    let address = rest.split(['/', ' ']).next().unwrap_or(rest);
                    let _ = announce.send(address.to_owned());
                }
            }
        });
        let Ok(address) = announced.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            let status = child.wait();
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("the server printed no \"listening on http://…\" ({status:?}); its log:\n{log}");
        };
        Self { child, address, log, printed }
    }

    /// The file that its log goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().join("\n")
    }

    /// The path of the link that signs a browser in, as it was printed.
    pub fn sign_in_path(&self) -> String {
        let started = Instant::now();
        loop {
            let lines = self.printed();
            if let Some(at) = lines.find("/signin?code=") {
                return lines[at..].split_whitespace().next().unwrap().to_owned();
            }
            assert!(started.elapsed() < DEADLINE, "no link was printed: {lines}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The largest resident memory so far, in KiB; 0 where the system does not tell.
    pub fn peak_kib(&self) -> u64 {
        super::process::resident_peak_kib(&self.child)
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// SIGKILL, at once.
    pub fn kill_nine(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM without waiting for the end.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// SIGTERM, then the exit code.
    pub fn stop(self) -> i32 {
        self.terminate();
        self.ended()
    }

    /// The exit code of a server that was told to end; -1 where a signal ended it.
    pub fn ended(mut self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(started.elapsed() < DEADLINE, "the server still runs {DEADLINE:?} after SIGTERM");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.client().send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.client().send("POST", path, &[], body.as_ref())
    }

    /// Posts events to a dataset.
    pub fn events(&self, dataset: &str, body: impl AsRef<[u8]>) -> Reply {
        self.post(&format!("/v1/datasets/{dataset}/events"), body)
    }

    /// Posts events that must all be accepted; says how many there were.
    #[track_caller]
    pub fn accepted(&self, dataset: &str, body: impl AsRef<[u8]>) -> u64 {
        let reply = self.events(dataset, body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        assert_eq!(json["rejected"], json!([]), "{json}");
        json["accepted"].as_u64().expect("accepted is a number")
    }

    /// The answer to one SQL question.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> Table {
        let reply = self.post("/v1/sql", json!({ "sql": sql }).to_string());
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        Table::parse(&reply.text())
    }

    /// The answer to one JSON query.
    #[track_caller]
    pub fn query(&self, query: &Value) -> Table {
        let reply = self.post("/v1/query", query.to_string());
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        Table::parse(&reply.text())
    }

    /// The first page of rows with exactly these fields, in the order of arrival.
    #[track_caller]
    pub fn rows(&self, dataset: &str, fields: &str) -> Vec<Value> {
        let path = format!("/v1/datasets/{dataset}/rows?order=_seq&limit=10000&fields={}", encode(fields));
        let reply = self.get(&path);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["rows"].as_array().expect("rows").clone()
    }

    /// How many rows a dataset has; 0 where there is none of that name.
    pub fn count(&self, dataset: &str) -> u64 {
        let sql = json!({ "sql": format!("SELECT count(*) FROM {dataset}") });
        let reply = self.post("/v1/sql", sql.to_string());
        match reply.status {
            404 => 0,
            200 => Table::parse(&reply.text()).cell().as_u64().unwrap(),
            _ => panic!("{}", reply.text()),
        }
    }

    /// The type that a dataset's description gives a field, if it knows it.
    #[track_caller]
    pub fn type_of(&self, dataset: &str, field: &str) -> Option<String> {
        let reply = self.get(&format!("/v1/datasets/{dataset}"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        let fields = json["fields"].as_array().unwrap_or_else(|| panic!("no list of fields in {json}"));
        let found = fields.iter().find(|f| f["name"] == field)?;
        Some(found["type"].as_str().expect("a field has a type").to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
