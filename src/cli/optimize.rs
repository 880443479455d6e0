//! `windrow optimize`: everything sealed, merged and packed, while no server has the file.

use clap::Args;

use crate::app::store_options;
use crate::cli::Session;
use crate::cli::progress::{counted, shown, size_text};
use crate::error::{Error, Result};
use crate::store::optimize::{Size, optimize};

/// What `optimize` takes: nothing of its own.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow optimize\n  windrow --db visits.db optimize --json\n\n\
    A server does it by and by; this does all of it at once. Stop the server first.")]
pub struct OptimizeArguments {}

/// Runs the verb and prints the sizes before and after.
///
/// # Errors
/// A process has the file, or it cannot be written.
pub fn run(session: &Session, _arguments: &OptimizeArguments) -> Result<()> {
    let settings = &session.settings;
    let done = shown(|progress| optimize(&settings.database, store_options(settings), progress))?;
    if session.json {
        let text = serde_json::to_string(&done)
            .map_err(|e| Error::Internal(format!("sizes do not serialize: {e}")))?;
        return session.print((text + "\n").as_bytes());
    }
    let line = |name: &str, size: &Size| {
        format!(
            "{name} {}, {}, {} outside of segments\n",
            size_text(size.bytes),
            counted(size.segments, "segment"),
            counted(size.tail_rows, "event")
        )
    };
    let mut text = line("before:", &done.before) + &line("after: ", &done.after);
    if done.has_damage {
        text.push_str("note: damaged segments were left as they are; `windrow check` tells what is wrong\n");
    }
    session.print(text.as_bytes())
}
