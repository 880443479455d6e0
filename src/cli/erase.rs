//! `windrow erase DATASET --where EXPRESSION`: events out of the file, by a condition.

use clap::Args;

use crate::app::store_options;
use crate::cli::Session;
use crate::error::Result;
use crate::query::erase::erase;
use crate::store::Store;

/// What `erase` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow erase visits --where \"user_id = 7\"\n  \
    windrow erase visits --where \"_time < '2026-01-01'\"\n\n\
    The space is given back to the file system, so that nothing of the events is left in the file.")]
pub struct EraseArguments {
    /// The dataset
    dataset: String,
    /// The events to erase: those that this SQL expression is true for
    #[arg(long = "where", value_name = "EXPRESSION")]
    condition: String,
}

/// Erases and tells how many events went.
///
/// # Errors
/// A server has the file, the dataset or a field is not there, the condition is none, the file cannot be written.
pub fn run(session: &Session, arguments: &EraseArguments) -> Result<()> {
    let store = Store::open(&session.settings.database, store_options(&session.settings))?;
    let erased = erase(&store, &arguments.dataset, &arguments.condition)?;
    store.upkeep().give_back()?;
    store.close();
    let told = if session.json {
        format!("{}\n", serde_json::json!({ "erased": erased }))
    } else {
        format!("{}: {erased} events erased\n", arguments.dataset)
    };
    session.print(told.as_bytes())
}
