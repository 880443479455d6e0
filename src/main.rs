//! The binary: parses, runs, and turns the outcome into an exit code: 0 done, 1 failed, 2 wrong use.

use std::process::ExitCode;

use clap::Parser;
use windrow::cli::{self, Arguments, Failure};
use windrow::error::Error;
use windrow::http::problem::Problem;

/// musl's own allocator has one lock for all threads; ARCHITECTURE.md, "Libraries", has what that costs.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong items that are printed one by one.
const ITEMS_PRINTED: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match cli::run(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            let (error, code) = match &failure {
                Failure::Use(error) => (error, 2),
                Failure::Run(error) => (error, 1),
            };
            eprint!("{}", told(error, arguments.globals.json));
            ExitCode::from(code)
        }
    }
}

fn told(error: &Error, as_json: bool) -> String {
    if as_json {
        return serde_json::to_string(&Problem::of(error)).unwrap_or_default() + "\n";
    }
    let mut text = format!("windrow: {error}\n");
    if let Error::Invalid { items, .. } = error {
        for item in items.iter().take(ITEMS_PRINTED) {
            text.push_str(&format!("  {}: {}\n", item.index, item.message));
        }
    }
    text
}
