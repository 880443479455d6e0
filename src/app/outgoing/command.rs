//! Jobs of the kind `command`: a program of the list (`commands`) is run without a shell, in an environment of its own, as a group of
//! processes that ends as a whole, whether it ends by itself, takes too long, or is not wanted any more.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::outgoing::commands::Commands;
use crate::app::outgoing::wire::{SLICE, is_ready};
use crate::error::{Error, Result};
use crate::fields::{check_dataset_name, check_is_no_own};
use crate::jobs::{Again, Context, Effects, Failure, Kind, Outcome};
use crate::limits;

/// What of our environment a command has.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];
/// How long a command has to end when it is told to.
const GRACE: Duration = Duration::from_millis(500);
/// A look whether it has ended, where nothing else tells.
const LOOK: Duration = Duration::from_millis(10);

/// The payload of a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    command: String,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    input: String,
    dataset: Option<String>,
}

impl Payload {
    fn of(payload: &Value, commands: &Commands) -> Result<(Self, Vec<String>)> {
        let found = Self::deserialize(payload).map_err(|e| {
            Error::invalid(format!(
                "the payload of a job of the kind command: {e}; it is such as {{\"command\": \"thumbnail\", \"arguments\": [\"a.png\"], \
                 \"input\": \"\", \"dataset\": \"runs\"}}; all but command may be left out"
            ))
        })?;
        if let Some(dataset) = &found.dataset {
            check_is_no_own(dataset)?;
            check_dataset_name(dataset)?;
        }
        let words = commands.words(&found.command, &found.arguments)?;
        Ok((found, words))
    }
}

/// The kind, with the commands that there are.
pub(super) fn kind(commands: Commands) -> Kind {
    let commands = Arc::new(commands);
    let checked = Arc::clone(&commands);
    let kind = Kind::new("command", move |context| run(context, &commands));
    let kind = kind.with_check(move |payload| Payload::of(payload, &checked).map(drop));
    Kind { queue: "command".into(), ..kind }
}

fn run(context: &Context, commands: &Commands) -> Result<Outcome> {
    let (payload, words) = Payload::of(context.payload(), commands)?;
    let begun = Instant::now();
    let mut child = spawn(context, &words)?;
    let mut output = Output::default();
    let attended = attend(context, &mut child, payload.input.as_bytes(), &mut output);
    let status = end(&mut child, attended.is_err())?;
    output.take_rest(&mut child);
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let failure = match attended {
        Err(error) => Some(Failure { error, again: Again::AsUsual }),
        Ok(()) => (!status.success())
            .then(|| Failure { error: output.complaint(&payload.command, status), again: Again::AsUsual }),
    };
    let text = String::from_utf8_lossy(&output.out);
    let mut told = json!({
        "status": status.code(),
        "elapsed_ms": elapsed_ms,
        "output": text,
        "output_bytes": output.out_bytes,
    });
    let result = told.clone();
    let effects = match &payload.dataset {
        None => Effects::default(),
        Some(dataset) => {
            told["command"] = payload.command.as_str().into();
            told["job"] = context.id().into();
            told["attempt"] = context.attempt().into();
            told["failed"] = failure.is_some().into();
            if let Some(failure) = &failure {
                told["error"] = failure.error.to_string().into();
            }
            Effects::default().events(dataset, told.to_string())
        }
    };
    Ok(Outcome { result, effects, failure })
}

fn spawn(context: &Context, words: &[String]) -> Result<Child> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Error::Internal("a command without a program".into()))?;
    let kept = ENVIRONMENT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let failed = |e| Error::io(format!("cannot run {program}"), e);
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(kept)
        .env("WINDROW_JOB", context.id().to_string())
        .env("WINDROW_ATTEMPT", context.attempt().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    Ok(child)
}

/// What a command says: the beginning of its output, and the end of what it complains of.
#[derive(Default)]
struct Output {
    out: Vec<u8>,
    out_bytes: u64,
    complaints: Vec<u8>,
}

impl Output {
    fn take_out(&mut self, bytes: &[u8]) {
        let room = limits::COMMAND_OUTPUT_BYTES.saturating_sub(self.out.len());
        self.out.extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.out_bytes += bytes.len() as u64;
    }

    fn take_complaint(&mut self, bytes: &[u8]) {
        self.complaints.extend_from_slice(bytes);
        let too_many = self.complaints.len().saturating_sub(limits::COMMAND_COMPLAINT_BYTES);
        self.complaints.drain(..too_many);
    }

    /// Takes what is there still, of a command that has ended.
    fn take_rest(&mut self, child: &mut Child) {
        while taken(&mut child.stdout, |bytes| self.take_out(bytes)) {}
        while taken(&mut child.stderr, |bytes| self.take_complaint(bytes)) {}
    }

    fn complaint(&self, command: &str, status: ExitStatus) -> Error {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended without a status".to_owned(),
        };
        let said = String::from_utf8_lossy(&self.complaints);
        Error::Conflict(format!("the command \"{command}\" {how}: {}", said.trim()))
    }
}

/// Takes what a pipe has; true where there may be more at once. One that is at its end is closed.
fn taken(pipe: &mut Option<impl Read>, mut take: impl FnMut(&[u8])) -> bool {
    let Some(open) = pipe else { return false };
    let mut piece = [0; 16 << 10];
    match open.read(&mut piece) {
        Ok(count) if count > 0 => {
            take(&piece[..count]);
            true
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
        Ok(_) | Err(_) => {
            *pipe = None;
            false
        }
    }
}

/// Feeds a command and listens to it until it ends.
///
/// # Errors
/// It shall not go on.
fn attend(context: &Context, child: &mut Child, input: &[u8], output: &mut Output) -> Result<()> {
    let failed = |e: io::Error| Error::io("cannot attend to a command", e);
    for pipe in [
        child.stdin.as_ref().map(AsFd::as_fd),
        child.stdout.as_ref().map(AsFd::as_fd),
        child.stderr.as_ref().map(AsFd::as_fd),
    ] {
        pipe.map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true)).map_err(|e| failed(e.into()))?;
    }
    let mut left = input;
    loop {
        context.check()?;
        if left.is_empty() {
            child.stdin = None;
        }
        if has_ended(child).map_err(failed)? {
            return Ok(());
        }
        let mut files = Vec::with_capacity(3);
        files.extend(child.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        files.extend(child.stdout.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        files.extend(child.stderr.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // the end of a command closes its pipes, which ends the wait, unless it closed them before
        let time = if child.stdout.is_some() { SLICE } else { LOOK };
        if !is_ready(&mut files, time).map_err(failed)? {
            continue;
        }
        drop(files);
        if let Some(pipe) = &mut child.stdin {
            match pipe.write(left) {
                Ok(count) => left = &left[count..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // it does not want more
                Err(_) => left = &[],
            }
        }
        taken(&mut child.stdout, |bytes| output.take_out(bytes));
        taken(&mut child.stderr, |bytes| output.take_complaint(bytes));
    }
}

/// Whether a command has ended; it is not forgotten by that, so its number is nobody else's yet.
fn has_ended(child: &Child) -> io::Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::Pid(Pid::from_child(child)), options) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Ends what is left of a command and all that it began.
fn end(child: &mut Child, is_early: bool) -> Result<ExitStatus> {
    let group = Pid::from_child(child);
    if is_early {
        let _ = kill_process_group(group, Signal::TERM);
        let until = Instant::now() + GRACE;
        while Instant::now() < until && !has_ended(child).unwrap_or(true) {
            std::thread::sleep(LOOK);
        }
    }
    // before it is waited for, while the number of the group is surely its own
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().map_err(|e| Error::io("cannot wait for a command", e))
}
