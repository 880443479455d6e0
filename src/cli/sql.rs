//! `windrow sql` and `windrow query`: one question, answered from the file as of the last commit, also beside a
//! running server.

use std::io::{IsTerminal, Read};
use std::path::Path;

use clap::Args;

use crate::cli::Session;
use crate::error::{Error, Result};
use crate::query::format::{self, Format};
use crate::query::language::Query;
use crate::query::{self, parse};
use crate::store::snapshot::Snapshot;
use crate::store::{self, catalog, open};
use crate::time::{self, Calendar};

/// What `sql` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow sql 'SELECT country, count(*) FROM visits GROUP BY country'\n  \
    windrow sql --format csv 'SELECT country, ms FROM visits ORDER BY ms DESC LIMIT 10'\n  \
    windrow sql --tz Europe/Berlin 'SELECT day(_time), count(*) FROM visits GROUP BY 1'\n\n\
    Works beside a running server. All rows of a dataset are written by `windrow export`.")]
pub struct SqlArguments {
    /// One SELECT; - reads it from standard input
    #[arg(value_name = "SELECT")]
    text: String,
    /// table, json, csv or ndjson [default: table on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The time zone that days begin in and times are written in, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// The day that weeks begin with [default: monday]
    #[arg(long, value_name = "DAY")]
    week_start: Option<String>,
}

/// What `query` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow query '{\"from\": \"visits\", \"select\": [\"count()\"], \"by\": [\"country\"]}'\n  \
    windrow query - < question.json\n\nWorks beside a running server."
)]
pub struct QueryArguments {
    /// One JSON query; - reads it from standard input
    #[arg(value_name = "QUERY")]
    text: String,
    /// table, json, csv or ndjson [default: table on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Answers a SELECT.
///
/// # Errors
/// What cannot be parsed, unknown names, a file that cannot be read.
pub fn run(session: &Session, arguments: &SqlArguments) -> Result<()> {
    let format = format_of(session, arguments.format);
    let calendar = Calendar::named(arguments.tz.as_deref(), arguments.week_start.as_deref())?;
    let query = Query { calendar, ..parse::sql(&text_of(&arguments.text)?, &[])? };
    answer(session, &query, format)
}

/// Answers a JSON query.
///
/// # Errors
/// What cannot be parsed, unknown names, a file that cannot be read.
pub fn run_query(session: &Session, arguments: &QueryArguments) -> Result<()> {
    let format = format_of(session, arguments.format);
    answer(session, &parse::json(text_of(&arguments.text)?.as_bytes(), time::now())?, format)
}

fn answer(session: &Session, query: &Query, form: Format) -> Result<()> {
    let snapshot = snapshot_with(&session.settings.database, &query.from)?;
    session.print(&format::answer(&query::run(&snapshot, query)?, form)?)
}

/// What the file holds of one dataset, as of the last commit.
///
/// # Errors
/// `NotFound` with the nearest names; a file that cannot be read.
pub(super) fn snapshot_with(path: &Path, dataset: &str) -> Result<Snapshot> {
    let snapshot = store::read(path, Some(dataset))?;
    if !snapshot.datasets.is_empty() {
        return Ok(snapshot);
    }
    // the other names, without their events, for the message
    let mut known = snapshot;
    for other in catalog::load(&open::reader(path)?, None)? {
        known.datasets.insert(other.name.clone(), other.into());
    }
    known.dataset(dataset)?;
    Err(Error::Conflict(format!("dataset \"{dataset}\" was made just now; repeat the question")))
}

fn format_of(session: &Session, named: Option<Format>) -> Format {
    let usual = if session.json || !std::io::stdout().is_terminal() { Format::Json } else { Format::Table };
    named.unwrap_or(usual)
}

fn text_of(argument: &str) -> Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::io("cannot read the question from stdin", e))?;
    Ok(text)
}
