//! The binary as a command: run to its end, watched for time and memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Table, database};

/// No command of a test takes this long; one that does hangs.
const DEADLINE: Duration = Duration::from_secs(180);

/// What a finished command left.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The largest resident memory seen, in KiB; 0 where the system does not tell.
    pub peak_kib: u64,
}

impl Ran {
    /// Everything that was printed.
    pub fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Fails unless the command exited with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; it printed:\n{}", self.output());
        self
    }
}

/// The binary with `--db windrow.db` of the directory, and no settings from the tester's own environment.
pub fn windrow(dir: &Path) -> Command {
    let mut command = bare();
    command.current_dir(dir).arg("--db").arg(database(dir));
    command
}

/// The binary with no argument yet.
pub fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windrow"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WINDROW_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `windrow --db DIR/windrow.db ARGS…` to its end.
pub fn run(dir: &Path, args: &[&str]) -> Ran {
    let mut command = windrow(dir);
    command.args(args);
    finish(command, Vec::new())
}

/// The same with something on its standard input.
pub fn run_with_input(dir: &Path, args: &[&str], input: &[u8]) -> Ran {
    let mut command = windrow(dir);
    command.args(args).stdin(Stdio::piped());
    finish(command, input.to_vec())
}

/// The answer to one SQL question, asked by the verb `sql` in a process of its own.
pub fn sql(dir: &Path, sql: &str) -> Table {
    Table::parse(&run(dir, &["sql", sql, "--format", "json"]).exits(0).stdout)
}

/// Waits for the command to end, keeping what it prints; kills it and fails at the deadline.
pub fn finish(mut command: Command, input: Vec<u8>) -> Ran {
    let mut child = command.spawn().expect("the binary starts");
    if let Some(mut stdin) = child.stdin.take() {
        // a command that stops early closes its input: not the test's matter
        thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let mut peak_kib = 0;
    let started = Instant::now();
    let code = loop {
        peak_kib = peak_kib.max(resident_peak_kib(&child));
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if started.elapsed() > DEADLINE {
            child.kill().unwrap();
            child.wait().unwrap();
            let printed = (stdout.join().unwrap(), stderr.join().unwrap());
            panic!("{command:?} did not end within {DEADLINE:?}; it printed {printed:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), peak_kib }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The kernel's high-water mark of a running process.
pub fn resident_peak_kib(child: &Child) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
