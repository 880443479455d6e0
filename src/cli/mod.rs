//! The command line, one file a verb. [`Arguments`] is what was written, [`Session`] what every verb gets: the
//! settings in force and how to print. `main` calls [`parse`] and [`run`]; a [`Failure`] tells itself.

pub mod backup;
pub mod cache;
pub mod check;
pub mod completions;
pub mod config;
pub mod datasets;
pub mod demo;
pub mod erase;
pub mod export;
pub mod failure;
mod hints;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod optimize;
pub mod output;
pub mod progress;
mod remote;
pub mod sample;
pub mod sequences;
pub mod serve;
pub mod sql;
pub mod terminal;

pub use failure::Failure;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::cli::terminal::{ColourWish, Screen};
use crate::config::{InForce, Inputs, Settings, load};
use crate::error::{Error, Result};
use crate::query::sequences::Kind;

/// An embedded analytics engine in one binary on one SQLite file.
#[derive(Debug, Parser)]
#[command(name = "windrow", version, arg_required_else_help = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(
    after_help = "Example:\n  windrow import visits visits.csv\n  windrow sql 'SELECT count(*) FROM visits'\n  windrow sql --chart 'SELECT day(_time), count(*) FROM visits GROUP BY 1'\n  windrow serve\n\n\
    To look around first: windrow demo\n\n\
    One process writes to a database: import, erase, restore and optimize need it for themselves. The \
    others work beside a running server.\n\nExit code: 0 done, 1 failed, 2 wrong use."
)]
pub struct Arguments {
    /// What all verbs take.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where the help of a verb lists what it does not have of its own.
const OF_ALL_VERBS: &str = "Options of all verbs";

/// Flags of all verbs.
#[derive(Debug, Default, Args)]
pub struct Globals {
    /// The database file [env: WINDROW_DB] [default: ./windrow.db]
    #[arg(long, help_heading = OF_ALL_VERBS, global = true, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// The file with settings [env: WINDROW_CONFIG] [default: ./windrow.toml, where there is one]
    #[arg(long, help_heading = OF_ALL_VERBS, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON, errors as problem objects too
    #[arg(long, help_heading = OF_ALL_VERBS, global = true)]
    pub json: bool,
    /// The form of the log on stderr: text, json [env: WINDROW_LOG]
    #[arg(long, help_heading = OF_ALL_VERBS, global = true, value_name = "FORM")]
    pub log: Option<String>,
    /// What is logged: off, error, warn, info, debug, trace [env: WINDROW_LOG_LEVEL]
    #[arg(long, help_heading = OF_ALL_VERBS, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Colours: always, never, auto (on a terminal, unless NO_COLOR is set) [default: auto]
    #[arg(
        long,
        help_heading = OF_ALL_VERBS,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub color: ColourWish,
}

/// Every verb, each with its own file.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve sample data, with a page to look at
    Demo(demo::DemoArguments),
    /// Serve the database over HTTP
    Serve(serve::ServeArguments),
    /// Import files: NDJSON, JSON, CSV, TSV, Parquet, access logs
    Import(import::ImportArguments),
    /// Answer one SELECT
    Sql(sql::SqlArguments),
    /// Answer one JSON query
    Query(sql::QueryArguments),
    /// Tell how many go how far through some steps
    #[command(after_help = sequences::FUNNEL_HELP)]
    Funnel(sequences::SequenceArguments),
    /// Tell how many of those who began in a period come back
    #[command(after_help = sequences::RETENTION_HELP)]
    Retention(sequences::SequenceArguments),
    /// Tell which ways are taken from step to step
    #[command(after_help = sequences::PATHS_HELP)]
    Paths(sequences::SequenceArguments),
    /// List the datasets, or describe one
    Datasets(datasets::DatasetsArguments),
    /// Write the rows of a dataset as NDJSON, CSV or Parquet
    Export(export::ExportArguments),
    /// Erase the events of a dataset that a condition is true for
    Erase(erase::EraseArguments),
    /// Copy the database to a file and verify the copy
    Backup(backup::BackupArguments),
    /// Put a backup in the place of the database
    Restore(backup::RestoreArguments),
    /// Check every page, row and block of the database
    Check(check::CheckArguments),
    /// Seal, merge, analyse and pack the database
    Optimize(optimize::OptimizeArguments),
    /// Tell what is kept of answers; forget it, or ask ahead
    Cache(cache::CacheArguments),
    /// List jobs, queues and schedules; submit, cancel, retry, schedule
    Jobs(jobs::JobsArguments),
    /// List the keys; make, rotate or revoke one
    Keys(keys::KeysArguments),
    /// Print the settings in force and where each comes from
    Config(config::ConfigArguments),
    /// Write sample data, drawn from a seed
    Sample(sample::SampleArguments),
    /// Print what makes a shell complete verbs and flags
    Completions(completions::CompletionsArguments),
}

impl Verb {
    /// The flags of the verb that stand for settings, by key.
    fn settings(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Serve(arguments) => arguments.settings(),
            Self::Demo(arguments) => arguments.settings(),
            _ => Vec::new(),
        }
    }

    /// What is wrong with the flags by themselves, before anything is opened.
    fn check(&self, session: &Session) -> Result<()> {
        match self {
            Self::Sql(arguments) => arguments.output.check(session.json),
            Self::Query(arguments) => arguments.output.check(session.json),
            Self::Funnel(arguments) | Self::Retention(arguments) | Self::Paths(arguments) => {
                arguments.output.check(session.json)
            }
            Self::Datasets(arguments) => arguments.check(session.json),
            _ => Ok(()),
        }
    }

    fn run(&self, session: &Session) -> Result<ExitCode> {
        let done = match self {
            Self::Import(arguments) => return import::run(session, arguments),
            Self::Check(arguments) => return check::run(session, arguments),
            Self::Demo(arguments) => demo::run(session, arguments),
            Self::Serve(arguments) => serve::run(session, arguments),
            Self::Sample(arguments) => sample::run(session, arguments),
            Self::Sql(arguments) => sql::run(session, arguments),
            Self::Query(arguments) => sql::run_query(session, arguments),
            Self::Funnel(arguments) => sequences::run(session, arguments, Kind::Funnel),
            Self::Retention(arguments) => sequences::run(session, arguments, Kind::Retention),
            Self::Paths(arguments) => sequences::run(session, arguments, Kind::Paths),
            Self::Erase(arguments) => erase::run(session, arguments),
            Self::Datasets(arguments) => datasets::run(session, arguments),
            Self::Export(arguments) => export::run(session, arguments),
            Self::Backup(arguments) => backup::run(session, arguments),
            Self::Restore(arguments) => backup::run_restore(session, arguments),
            Self::Optimize(arguments) => optimize::run(session, arguments),
            Self::Cache(arguments) => cache::run(session, arguments),
            Self::Jobs(arguments) => jobs::run(session, arguments),
            Self::Keys(arguments) => keys::run(session, arguments),
            Self::Config(arguments) => config::run(session, arguments),
            Self::Completions(arguments) => completions::run(session, arguments),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// What a verb works with.
#[derive(Debug)]
pub struct Session {
    /// The settings in force.
    pub settings: Settings,
    /// Where each of them comes from.
    pub in_force: Vec<InForce>,
    /// `--json`.
    pub json: bool,
    /// What stdout is.
    pub screen: Screen,
    /// `--color`, for what goes to stderr.
    pub colour: ColourWish,
}

impl Session {
    /// Prints an answer. Whoever reads it may stop early, as `head` does: that is no error.
    ///
    /// # Errors
    /// stdout cannot be written.
    pub fn print(&self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::io("cannot print the answer", e))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a command line, its first word being the name of the program.
///
/// # Errors
/// Words that cannot be read, with a tip where one is at hand; a wish for help or the version.
pub fn parse(words: &[OsString]) -> std::result::Result<Arguments, Failure> {
    let command = Arguments::command().color(ColourWish::of_words(words).for_help());
    let matches = command.try_get_matches_from(words);
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    arguments.map_err(|error| Failure::Words(Box::new(hints::with_tip(error, words))))
}

/// Runs what was asked for; the exit code is 1 where a part of it failed and has been told.
///
/// # Errors
/// Settings that are none, flags that do not go together, and what the verb says.
pub fn run(arguments: &Arguments) -> std::result::Result<ExitCode, Failure> {
    let session = session(arguments).map_err(Failure::Use)?;
    start_log(&session.settings, arguments.globals.color);
    arguments.verb.check(&session).map_err(Failure::Use)?;
    arguments.verb.run(&session).map_err(Failure::Run)
}

fn session(arguments: &Arguments) -> Result<Session> {
    let globals = &arguments.globals;
    let path = |path: &PathBuf| {
        let text = path.clone().into_os_string().into_string();
        text.map_err(|path: OsString| {
            Error::invalid(format!("the path {} is not UTF-8", Path::new(&path).display()))
        })
    };
    let mut flags = Vec::new();
    if let Some(db) = &globals.db {
        flags.push(("db", path(db)?));
    }
    // the first one of a key counts, so what is written stands before what a verb brings of its own
    flags.extend(arguments.verb.settings());
    flags.extend(globals.log.iter().map(|log| ("log", log.clone())));
    flags.extend(globals.log_level.iter().map(|level| ("log_level", level.clone())));
    let variables: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    let inputs = Inputs {
        flags: &flags,
        environment: &|name| std::env::var(name).ok(),
        variables: &variables,
        file: globals.config.as_deref(),
        default_file: Path::new("windrow.toml"),
    };
    let (settings, in_force) = load(&inputs)?;
    let screen = Screen::of(&std::io::stdout(), globals.color);
    Ok(Session { settings, in_force, json: globals.json, screen, colour: globals.color })
}

/// The log goes to stderr; what was asked for goes to stdout.
fn start_log(settings: &Settings, wish: ColourWish) {
    let level: LevelFilter = settings.log_level.parse().unwrap_or(LevelFilter::INFO);
    let colours = Screen::of(&std::io::stderr(), wish).paint.has_colours;
    let builder =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_ansi(colours);
    // a second log in one process is refused, and the first one stays
    let _ = if settings.log == "json" { builder.json().try_init() } else { builder.try_init() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_made_and_every_verb_has_an_example() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("windrow {}", verb.get_name());
            assert!(
                example.starts_with("Example") && example.contains(&call),
                "{}: {example}",
                verb.get_name()
            );
            let wide = example.lines().find(|line| line.starts_with("  ") && line.chars().count() > 80);
            assert_eq!(wide, None, "{}: the help is wrapped at 80 columns", verb.get_name());
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about}", verb.get_name());
        }
    }

    #[test]
    fn every_setting_has_a_flag_that_names_its_variable() {
        let mut command = Arguments::command();
        let help = command.render_help().to_string();
        let serve = command.find_subcommand_mut("serve").unwrap().render_help().to_string();
        for setting in &crate::config::SETTINGS {
            let (flag, variable) = (setting.flag(), setting.variable());
            for wanted in [format!("{flag} <"), format!("env: {variable}]")] {
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(words(&help).contains(&wanted) || words(&serve).contains(&wanted), "{wanted}");
            }
        }
    }

    #[test]
    fn globals_stand_before_or_after_the_verb() {
        for line in ["windrow --db a.db --json sql X", "windrow sql X --db a.db --json"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(arguments.globals.db.as_deref(), Some(Path::new("a.db")));
            let session = session(&arguments).unwrap();
            assert!(session.json && session.settings.database == Path::new("a.db"));
        }
    }

    #[test]
    fn a_format_that_is_none_is_wrong_use() {
        for verb in ["sql", "query"] {
            let wrong = Arguments::try_parse_from(["windrow", verb, "X", "--format", "tabel"]).unwrap_err();
            assert_eq!(wrong.exit_code(), 2);
            assert!(wrong.to_string().contains("did you mean \"table\""), "{wrong}");
        }
    }

    #[test]
    fn flags_that_do_not_go_together_are_wrong_use() {
        for line in [
            "windrow sql X --chart --format csv",
            "windrow sql X --human --format ndjson",
            "windrow query X --human --json",
            "windrow datasets --human --json",
        ] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert!(matches!(run(&arguments), Err(Failure::Use(_))), "{line}");
        }
    }

    #[test]
    fn flags_of_a_verb_are_settings() {
        let line = "windrow serve --listen 127.0.0.1:1 --durability normal --log json";
        let session = session(&Arguments::try_parse_from(line.split(' ')).unwrap()).unwrap();
        assert_eq!((session.settings.listen.port(), session.settings.durability), (1, "normal"));
        assert_eq!(session.settings.log, "json");
        let wrong = Arguments::try_parse_from(["windrow", "serve", "--listen", "nonsense"]).unwrap();
        assert!(matches!(run(&wrong), Err(Failure::Use(_))));
    }
}
