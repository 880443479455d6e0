//! The binary: parses, runs, and turns the outcome into an exit code: 0 done, 1 failed, 2 wrong use.

use std::ffi::OsString;
use std::process::ExitCode;

use windrow::cli;

/// musl's own allocator has one lock for all threads; ARCHITECTURE.md, "Libraries", has what that costs.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let done = cli::parse(&words).and_then(|arguments| cli::run(&arguments));
    done.unwrap_or_else(|failure| failure.tell(&words))
}
