//! `windrow config`: the settings in force and where each comes from.

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::error::Result;

/// What `config` takes: nothing of its own.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow config\n  WINDROW_LISTEN=127.0.0.1:8080 windrow --json config\n\n\
    A setting is a flag, else an environment variable, else a line of windrow.toml, else its default."
)]
pub struct ConfigArguments {}

/// Prints the table of settings.
///
/// # Errors
/// stdout cannot be written.
pub fn run(session: &Session, _arguments: &ConfigArguments) -> Result<()> {
    let settings = &session.in_force;
    let text = if session.json {
        let list = settings.iter().map(|one| {
            json!({"key": one.key, "value": one.value, "source": one.source.to_string(), "doc": one.doc})
        });
        format!("{:#}\n", json!({"settings": list.collect::<Vec<_>>()}))
    } else {
        let mut table = Table::new(["setting", "value", "from", "what it does"].map(Head::text), "--json");
        let row = |one: &crate::config::InForce| {
            let texts = [one.key.to_owned(), one.value.clone(), one.source.to_string(), one.doc.to_owned()];
            texts.map(Cell::text).to_vec().into()
        };
        table.rows = settings.iter().map(row).collect();
        table.write(&session.screen)
    };
    session.print(text.as_bytes())
}
