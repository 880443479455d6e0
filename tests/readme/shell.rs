//! A shell for the examples of the docs: one `sh` a document, in an empty folder, that keeps variables and exit codes
//! from command to command, and a server beside it, on a free port that the document calls 127.0.0.1:7878.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Where the documents say that the server listens.
const ADDRESS: &str = "127.0.0.1:7878";
/// What the documents call the folder.
const FOLDER: &str = "/home/you";
/// No command of an example takes this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Output that nobody expects comes within this.
const QUIET: Duration = Duration::from_millis(50);
/// Stands after the output of a command.
const MARK: &str = "=== the command has ended ===";

/// A running shell; ended with its server when dropped.
pub struct Shell {
    folder: tempfile::TempDir,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    server: Option<Server>,
}

struct Server {
    child: Child,
    address: String,
    lines: Receiver<String>,
}

impl Shell {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("windrow-test-").tempdir().unwrap();
        let mut child = command(folder.path()).arg("-s").stdin(Stdio::piped()).spawn().expect("sh starts");
        let input = child.stdin.take().unwrap();
        let lines = lines_of(&mut child);
        let mut shell = Self { folder, child, input, lines, server: None };
        shell.input.write_all(b"exec 2>&1\n").unwrap();
        shell
    }

    /// Runs a command and gives what it printed, in the words of the documents. `windrow serve` without an address
    /// goes on in the background, `^C` ends it.
    pub fn run(&mut self, text: &str, lines_expected: usize) -> String {
        let printed = if text == "^C" {
            self.interrupt();
            String::new()
        } else if text.starts_with("windrow serve") && !text.contains("--listen") {
            self.serve(text, lines_expected)
        } else {
            self.obey(text)
        };
        self.in_words_of_the_documents(printed)
    }

    fn obey(&mut self, text: &str) -> String {
        let text = match &self.server {
            Some(server) => text.replace(ADDRESS, &server.address),
            None => text.to_owned(),
        };
        // the exit code passes through, for an `echo $?` that follows
        let script = format!("{{ {text}\n}} </dev/null; {{ s=$?; echo; echo '{MARK}'; (exit $s); }}\n");
        self.input.write_all(script.as_bytes()).unwrap();
        let mut printed = String::new();
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{text}: {e} after {printed}"));
            if line.trim_end() == MARK {
                break;
            }
            printed.push_str(&line);
        }
        // the line end before the mark ends a last line that has none, or makes an empty one
        if printed == "\n" || printed.ends_with("\n\n") {
            printed.pop();
        }
        printed
    }

    fn serve(&mut self, text: &str, lines_expected: usize) -> String {
        assert!(self.server.is_none(), "{text}: a server runs already; end it by a line ^C");
        let script = format!("exec {text} --listen 127.0.0.1:0 2>&1");
        let mut child =
            command(self.folder.path()).args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
        let lines = lines_of(&mut child);
        let first = lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{text} prints nothing: {e}"));
        let address = first.trim().strip_prefix("listening on http://").map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("{text}: {first}"));
        let mut printed = first;
        for _ in 1..lines_expected {
            printed.extend(lines.recv_timeout(PATIENCE));
        }
        while let Ok(more) = lines.recv_timeout(QUIET) {
            printed.push_str(&more);
        }
        self.server = Some(Server { child, address, lines });
        printed
    }

    fn interrupt(&mut self) {
        let mut server = self.server.take().expect("^C: no server runs");
        let pid = rustix::process::Pid::from_child(&server.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = server.child.wait().unwrap();
        assert!(
            status.success(),
            "the server ended with {status}: {:?}",
            server.lines.try_iter().collect::<Vec<_>>()
        );
    }

    fn in_words_of_the_documents(&self, printed: String) -> String {
        let folder: PathBuf = self.folder.path().canonicalize().unwrap();
        let printed = printed.replace(&*folder.to_string_lossy(), FOLDER).replace('\r', "");
        match &self.server {
            Some(server) => printed.replace(&server.address, ADDRESS),
            None => printed,
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for child in self.server.iter_mut().map(|server| &mut server.child).chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `sh` with the binary as `windrow`, in a folder, without settings of the tester's own.
fn command(folder: &Path) -> Command {
    let binaries = Path::new(env!("CARGO_BIN_EXE_windrow")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths([binaries.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy().to_lowercase();
        if name_text.starts_with("windrow_") || name_text.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("PATH", path).env("LC_ALL", "C").current_dir(folder).stdout(Stdio::piped());
    command
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        while output.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            if sender.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    lines
}

/// A number with a comma at every thousand.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let comma = |at: usize| if at > 0 && (digits.len() - at).is_multiple_of(3) { "," } else { "" };
    digits.char_indices().map(|(at, digit)| format!("{}{digit}", comma(at))).collect()
}
