//! `windrow erase DATASET --where EXPRESSION`: events out of the file, by a condition.

use clap::Args;

use crate::app::store_options;
use crate::cli::Session;
use crate::cli::progress::counted;
use crate::error::Result;
use crate::query::erase::erase;
use crate::query::reach::Reach;
use crate::records::change::delete;
use crate::store::{Store, open};

/// What `erase` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow erase visits --where \"user_id = 7\"\n  \
    windrow erase visits --where \"_time < '2026-01-01'\"\n\n\
    There is no way back: take a backup first, or look with `windrow export --where` at what would go. Nothing of \
    the events is left in the file, and their space is given back to the file system.\n\
    Stop the server first, or ask it: DELETE /v1/datasets/visits/events?where=…")]
pub struct EraseArguments {
    /// The dataset
    #[arg(value_name = "DATASET")]
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
    let database = &session.settings.database;
    if !database.exists() {
        // opened to write, it would be made
        return Err(open::missing(database));
    }
    let store = Store::open(database, store_options(&session.settings))?;
    let snapshot = store.snapshot();
    let is_of_records = snapshot.datasets.get(arguments.dataset.as_str()).is_some_and(|d| d.keyed.is_some());
    drop(snapshot);
    let all = Reach::everything();
    let (erased, what) = match is_of_records {
        true => (delete(&store, &all, &arguments.dataset, &arguments.condition, false)?.deleted, "record"),
        false => (erase(&store, &all, &arguments.dataset, &arguments.condition)?, "event"),
    };
    store.upkeep().give_back()?;
    store.close();
    let told = if session.json {
        format!("{}\n", serde_json::json!({ "erased": erased }))
    } else {
        format!("{}: {} erased\n", arguments.dataset, counted(erased, what))
    };
    session.print(told.as_bytes())
}
