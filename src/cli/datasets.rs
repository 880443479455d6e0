//! `windrow datasets`: what is in the file, also beside a running server.

use clap::Args;

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::http::api::datasets::List;
use crate::query::format::text_table;
use crate::store::describe::{Description, datasets};

/// What `datasets` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow datasets\n  windrow datasets visits --json")]
pub struct DatasetsArguments {
    /// Describe this one
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Lists or describes; with `--json` in the words of HTTP.
///
/// # Errors
/// There is no such file or dataset.
pub fn run(session: &Session, arguments: &DatasetsArguments) -> Result<()> {
    let mut described = datasets(&session.settings.database, arguments.name.as_deref())?;
    let text = match (&arguments.name, session.json) {
        (None, false) => list(&described),
        (None, true) => json(&List { datasets: described })?,
        (Some(_), as_json) => match described.pop() {
            Some(one) if as_json => json(&one)?,
            Some(one) => description(&one),
            None => String::new(),
        },
    };
    session.print(text.as_bytes())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|e| Error::Internal(format!("a description does not serialize: {e}")))
}

fn list(datasets: &[Description]) -> String {
    let heads =
        [("name", false), ("rows", true), ("fields", true), ("bytes", true), ("from", false), ("to", false)];
    let rows: Vec<Vec<String>> = datasets
        .iter()
        .map(|one| {
            let (from, to) = one.time_range.as_ref().map_or(("", ""), |range| (&range.from, &range.to));
            let numbers = [one.rows, one.fields.len() as u64, one.bytes].map(|number| number.to_string());
            let [rows, fields, bytes] = numbers;
            vec![one.name.clone(), rows, fields, bytes, from.to_owned(), to.to_owned()]
        })
        .collect();
    text_table(&heads, &rows)
}

fn description(one: &Description) -> String {
    let time = one.time_field.as_deref().unwrap_or("none, so _time is that of arrival");
    let range =
        one.time_range.as_ref().map_or("none".to_owned(), |range| format!("{} to {}", range.from, range.to));
    let rows: Vec<Vec<String>> = one
        .fields
        .iter()
        .map(|field| {
            let held =
                if field.types.is_empty() { String::new() } else { format!(" ({})", field.types.join(", ")) };
            vec![field.name.clone(), format!("{}{held}", field.kind)]
        })
        .collect();
    format!(
        "dataset     {}\nrows        {}\nbytes       {}\ntime field  {time}\ntime range  {range}\ncreated     {}\n\n{}",
        one.name,
        one.rows,
        one.bytes,
        one.created,
        text_table(&[("field", false), ("type", false)], &rows)
    )
}
