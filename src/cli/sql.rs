//! `windrow sql` and `windrow query`: one question, answered from the file as of the last commit, also beside a
//! running server.

use std::io::Read;
use std::path::Path;

use clap::Args;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::cli::output::OutputArguments;
use crate::cli::{Session, hints};
use crate::error::{Error, Result};
use crate::query::language::{Question, Statement};
use crate::query::{self, parse};
use crate::store::snapshot::Snapshot;
use crate::store::{self, catalog, open};
use crate::time::{self, Calendar};

/// What `sql` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow sql 'SELECT country, count(*) FROM visits GROUP BY country'\n  \
    windrow sql --chart 'SELECT day(_time), count(*) FROM visits GROUP BY 1'\n  \
    windrow sql --tz Europe/Berlin 'SELECT min(_time), max(_time) FROM visits'\n  \
    windrow sql --format csv 'SELECT path, ms FROM visits LIMIT 10' > slow.csv\n  \
    windrow sql 'SELECT path, plan FROM visits JOIN users ON id = user_id'\n  \
    windrow sql --format table 'EXPLAIN SELECT count(*) FROM visits'\n\n\
    Works beside a running server. All rows of a dataset are written by `windrow export`.")]
pub struct SqlArguments {
    /// One SELECT, or EXPLAIN and a SELECT; - reads it from standard input
    #[arg(value_name = "SELECT")]
    text: String,
    /// How the answer is printed.
    #[command(flatten)]
    pub(super) output: OutputArguments,
    /// The time zone that days begin in and times are written in, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    tz: Option<TimeZone>,
    /// The day that weeks begin with [default: monday]
    #[arg(long, value_name = "DAY", value_parser = weekday)]
    week_start: Option<Weekday>,
}

/// What `query` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow query '{\"from\": \"visits\", \"select\": [\"count()\"], \"by\": [\"country\"]}'\n  \
    windrow query --human - < question.json\n\nWorks beside a running server."
)]
pub struct QueryArguments {
    /// One JSON query; - reads it from standard input
    #[arg(value_name = "QUERY")]
    text: String,
    /// How the answer is printed.
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Answers a SELECT.
///
/// # Errors
/// What cannot be parsed, unknown names, a file that cannot be read.
pub fn run(session: &Session, arguments: &SqlArguments) -> Result<()> {
    let text = text_of(&arguments.text)?;
    hints::check_is_sql(&text)?;
    let calendar = Calendar {
        tz: arguments.tz.clone().unwrap_or(TimeZone::UTC),
        week_start: arguments.week_start.unwrap_or(Weekday::Monday),
    };
    answer(session, parse::statement(&text, &[])?.on(calendar), &arguments.output)
}

/// Answers a JSON query.
///
/// # Errors
/// What cannot be parsed, unknown names, a file that cannot be read.
pub fn run_query(session: &Session, arguments: &QueryArguments) -> Result<()> {
    let text = text_of(&arguments.text)?;
    hints::check_is_json(&text)?;
    answer(session, parse::question(text.as_bytes(), time::now())?, &arguments.output)
}

fn zone(name: &str) -> Result<TimeZone> {
    Calendar::named(Some(name), None).map(|calendar| calendar.tz)
}

fn weekday(name: &str) -> Result<Weekday> {
    Calendar::named(None, Some(name)).map(|calendar| calendar.week_start)
}

fn answer(session: &Session, statement: Statement, output: &OutputArguments) -> Result<()> {
    let statement = statement.within((&session.settings).into());
    let file = &session.settings.database;
    match (&statement.question, statement.explain) {
        (Question::Plain(query), None) => {
            let answer = query::answer(&snapshot_with(file, &query.from)?, &statement)?;
            output.print(session, query, answer)
        }
        (Question::Plain(query), Some(_)) => {
            let answer = query::answer(&snapshot_with(file, &query.from)?, &statement)?;
            output.print_table(session, &[], answer)
        }
        (Question::Relational(_), _) => {
            let answer = query::answer(&store::read(file, None)?, &statement)?;
            output.print_table(session, &[], answer)
        }
    }
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
    for other in catalog::load(&open::reader(path)?, None, &|| open::readers(path, 1))? {
        known.datasets.insert(other.name.clone(), other.into());
    }
    if known.datasets.is_empty() {
        return Err(Error::NotFound(format!(
            "there is no dataset \"{dataset}\": {} is empty; bring events in with `windrow import {dataset} FILE`",
            path.display()
        )));
    }
    known.whole_dataset(dataset)?;
    Err(Error::Conflict(format!("dataset \"{dataset}\" was made just now; repeat the question")))
}

/// A question as it stands on the command line, or what `-` stands for.
///
/// # Errors
/// Standard input that cannot be read.
pub(super) fn text_of(argument: &str) -> Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::io("cannot read the question from stdin", e))?;
    Ok(text)
}
