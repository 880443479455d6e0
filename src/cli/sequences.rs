//! `windrow funnel`, `windrow retention` and `windrow paths`: one sequence analysis, answered from the file as of the last
//! commit, also beside a running server.

use clap::Args;

use crate::cli::output::OutputArguments;
use crate::cli::sql::{snapshot_with, text_of};
use crate::cli::{Session, hints};
use crate::error::Result;
use crate::query::parse;
use crate::query::sequences::{self, Analysis, Kind};
use crate::time;

/// What these verbs take.
#[derive(Debug, Args)]
pub struct SequenceArguments {
    /// The question as JSON, as POST /v1/{verb} takes it; - reads it from standard input
    #[arg(value_name = "QUESTION")]
    text: String,
    /// How the answer is printed.
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// The example of `funnel`.
pub(super) const FUNNEL_HELP: &str = "Example:\n  windrow funnel '{\"from\": \"visits\", \"by\": \"user_id\",\n    \
    \"steps\": [\"name = '\\''view'\\''\", \"name = '\\''buy'\\''\"], \"within\": \"7d\"}'\n  \
    windrow funnel --chart - < question.json\n\nWorks beside a running server. docs/sequences.md tells what it means.";

/// The example of `retention`.
pub(super) const RETENTION_HELP: &str = "Example:\n  windrow retention '{\"from\": \"visits\", \"by\": \"user_id\",\n    \
    \"period\": \"week\", \"range\": {\"last\": \"last 8 weeks\"}}'\n\n\
    Works beside a running server. docs/sequences.md tells what it means.";

/// The example of `paths`.
pub(super) const PATHS_HELP: &str = "Example:\n  windrow paths '{\"from\": \"visits\", \"by\": \"user_id\",\n    \
    \"step\": \"path\", \"depth\": 3, \"collapse\": true}'\n\n\
    Works beside a running server. docs/sequences.md tells what it means.";

/// Answers a sequence analysis.
///
/// # Errors
/// What cannot be parsed, unknown names, a file that cannot be read.
pub fn run(session: &Session, arguments: &SequenceArguments, kind: Kind) -> Result<()> {
    let text = text_of(&arguments.text)?;
    hints::check_is_json(&text)?;
    let question = parse::sequence(kind, text.as_bytes(), time::now())?;
    let snapshot = snapshot_with(&session.settings.database, &question.events.from)?;
    let keys: &[usize] = match question.analysis {
        Analysis::Funnel(_) | Analysis::Paths(_) => &[0],
        Analysis::Retention(_) => &[0, 1],
    };
    arguments.output.print_table(session, keys, sequences::run(&snapshot, &question)?)
}
