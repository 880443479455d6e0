//! `windrow config`: the settings in force and where each comes from.

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::error::Result;
use crate::query::format::text_table;

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
        let heads = [("setting", false), ("value", false), ("from", false), ("what it does", false)];
        let row = |one: &crate::config::InForce| {
            vec![one.key.to_owned(), one.value.clone(), one.source.to_string(), one.doc.to_owned()]
        };
        text_table(&heads, &settings.iter().map(row).collect::<Vec<_>>())
    };
    session.print(text.as_bytes())
}
