//! Work that goes out of the process, as kinds of jobs: `http` calls a URL, `command` runs a program of a list. What an attempt came
//! to is the result of the job, and an event where the payload names a dataset, also where it failed.
//!
//! ```text
//! http:    call (the payload) -> url -> wire (names, addresses that may be called, TLS) -> exchange (one request) -> http -> Outcome
//! command: commands (the file of the setting) -> command (a group of processes) -> Outcome
//! ```

mod call;
mod command;
mod commands;
mod exchange;
mod http;
mod url;
mod wire;

use crate::app::outgoing::commands::Commands;
use crate::config::Settings;
use crate::error::Result;
use crate::jobs::Kind;

/// The kinds, as the settings have them.
///
/// # Errors
/// A file of commands that cannot be read.
pub fn kinds(settings: &Settings) -> Result<[Kind; 2]> {
    let commands = Commands::read(settings.jobs_commands.as_deref())?;
    Ok([http::kind(settings.jobs_http_private.clone()), command::kind(commands)])
}
