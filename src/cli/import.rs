//! `windrow import DATASET FILE…`: files in, with progress on the way and what became of each at the end.
//! Results go to standard output, everything else to standard error.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::app::store_options;
use crate::cli::terminal::width::harmless;
use crate::cli::terminal::{Screen, Style};
use crate::cli::{Session, hints};
use crate::error::{Error, Result};
use crate::ingest::format::FileFormat;
use crate::ingest::import::{ImportOptions, Progress, Report, import};
use crate::ingest::source;
use crate::store::Store;
use crate::value::grouped;

/// Rejected rows that are shown one by one.
const REJECTIONS_SHOWN: usize = 20;
/// Time between two looks at the progress.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Import files into a dataset, which is made when it is new.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  windrow import visits visits.csv more.ndjson.gz\n  \
    curl -s https://example.org/visits.ndjson | windrow import visits -\n  \
    windrow import plans plans.csv --time at --json-field props\n  \
    windrow import sales sales.csv --delimiter ';' --decimal-comma\n\n\
    Needs the database for itself: stop the server first, or send it NDJSON or JSON, up to 64 MiB at once:\n  \
    curl --data-binary @visits.ndjson 127.0.0.1:7878/v1/datasets/visits/events\n\n\
    Exit code: 0 where every file brought rows and none broke off, else 1; wrong use is 2.")]
pub struct ImportArguments {
    /// The dataset: a-z first, then a-z, 0-9 and _
    #[arg(value_name = "DATASET")]
    pub dataset: String,
    /// NDJSON, JSON, CSV, TSV, access logs, also packed as .gz or .zst; Parquet; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// ndjson, json, csv, tsv, parquet or access-log; without it, name and content tell
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// The field that the time of an event is taken from; without it, the first whose name and values say so
    #[arg(long, value_name = "FIELD")]
    pub time: Option<String>,
    /// Make the dataset one of records with this key: a row whose key is there takes its place; may be repeated for a key
    /// of several fields
    #[arg(long, value_name = "FIELD")]
    pub key: Vec<String>,
    /// The field of a JSON document that holds the array of rows
    #[arg(long, value_name = "FIELD")]
    pub at: Option<String>,
    /// A field whose text is JSON, as {"plan":"pro"} in props: it becomes fields as props.plan; may be repeated
    #[arg(long = "json-field", value_name = "FIELD")]
    pub json_fields: Vec<String>,
    /// The character between two cells of a CSV file, or "tab"; without it, the first rows tell
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Numbers of a CSV file have a decimal comma (1.234,56); without it, the cells of a column tell
    #[arg(long)]
    pub decimal_comma: bool,
    /// Go on where an earlier import of the same file has ended; without one, begin at the start
    #[arg(long)]
    pub resume: bool,
}

/// Runs the verb: 0 where every file brought rows and none broke off, else 1.
///
/// # Errors
/// A file that is not there, or a database that cannot be opened: then nothing was imported.
pub fn run(session: &Session, arguments: &ImportArguments) -> Result<ExitCode> {
    // before anything is written: a mistyped name shall not leave half of the files imported
    check_dataset(&arguments.dataset)?;
    arguments.files.iter().try_for_each(|path| source::check(path))?;
    let settings = &session.settings;
    let store = Store::open(&settings.database, store_options(settings))?;
    let options = ImportOptions {
        key: arguments.key.clone(),
        format: arguments.format,
        time: arguments.time.clone(),
        at: arguments.at.clone(),
        json_fields: arguments.json_fields.clone(),
        delimiter: arguments.delimiter,
        decimal_comma: arguments.decimal_comma,
        resume: arguments.resume,
    };
    let mut all_well = true;
    let mut reports = Vec::new();
    for path in &arguments.files {
        let done =
            with_progress(path, |progress| import(&store, &arguments.dataset, path, &options, progress));
        let failure = match &done {
            Ok(report) => failure(report),
            Err(e) => Some(e.to_string()),
        };
        all_well &= failure.is_none();
        if session.json {
            reports.push(as_value(path, done.as_ref().ok(), failure));
        } else {
            if let Ok(report) = &done {
                print(&arguments.dataset, report);
            }
            if let Some(failure) = failure {
                let paint = Screen::of(&std::io::stderr(), session.colour).paint;
                eprintln!("{} {failure}", paint.text(Some(Style::Error), "error:"));
            }
        }
    }
    store.close();
    if session.json {
        println!("{}", json!({"dataset": arguments.dataset, "files": reports}));
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As the names of datasets are checked, with a word for files that were named first.
fn check_dataset(name: &str) -> Result<()> {
    crate::fields::check_dataset_name(name).map_err(|error| match hints::looks_like_file(name) {
        true => Error::invalid(format!("{error}; {}", hints::tip_for_import(name))),
        false if name.is_ascii() => Error::invalid(format!("{error}, as {} does", hints::dataset_name(name))),
        false => error,
    })
}

/// Why a file counts as failed although it was read: it broke off, or brought nothing.
fn failure(report: &Report) -> Option<String> {
    match &report.broken {
        Some(e) => Some(e.to_string()),
        None if report.accepted > 0 || report.duplicates > 0 || report.up_to_date => None,
        None if report.rejected_total > 0 => {
            Some(format!("{}: every row was rejected, nothing was imported", report.source))
        }
        None => Some(format!("{}: there is nothing in it", report.source)),
    }
}

fn print(dataset: &str, report: &Report) {
    let rate = report.accepted as f64 / report.elapsed.as_secs_f64().max(1e-9);
    let duplicates = match report.duplicates {
        0 => String::new(),
        many if report.of_records => format!("{} unchanged, ", grouped(many)),
        many => format!("{} duplicates, ", grouped(many)),
    };
    println!(
        "{dataset}: {} {} in {:.2} s ({} rows/s), {duplicates}{} rejected",
        grouped(report.accepted),
        if report.accepted == 1 { "row" } else { "rows" },
        report.elapsed.as_secs_f64(),
        grouped(rate as u64),
        grouped(report.rejected_total)
    );
    for note in &report.notes {
        eprintln!("note: {}", harmless(note));
    }
    let place = report.format.unit();
    for item in report.rejected.iter().take(REJECTIONS_SHOWN) {
        eprintln!("rejected: {place} {}: {}", item.index, harmless(&item.message));
    }
    let more = report.rejected_total.saturating_sub(REJECTIONS_SHOWN as u64);
    if more > 0 {
        eprintln!("rejected: … and {} more", grouped(more));
    }
}

fn as_value(path: &Path, report: Option<&Report>, failure: Option<String>) -> serde_json::Value {
    let Some(report) = report else {
        return json!({"file": path.display().to_string(), "accepted": 0, "error": failure});
    };
    let place = match report.format.unit() {
        "item" => "index",
        unit => unit,
    };
    let rejected: Vec<_> =
        report.rejected.iter().map(|item| json!({place: item.index, "message": item.message})).collect();
    json!({
        "file": report.source,
        "format": report.format.to_string(),
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "rejected_total": report.rejected_total,
        "rejected": rejected,
        "notes": report.notes,
        "bytes": report.bytes,
        "elapsed_ms": report.elapsed.as_secs_f64() * 1e3,
        "error": failure,
    })
}

/// Runs an import while a thread of its own shows how far it is.
fn with_progress<T>(path: &Path, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let (done, ended) = bounded::<()>(0);
        let shown = &progress;
        scope.spawn(move || match std::io::stderr().is_terminal() {
            true => show_bar(shown, &ended),
            false => show_lines(path, shown, &ended),
        });
        let result = work(&progress);
        drop(done);
        result
    })
}

fn show_bar(progress: &Progress, ended: &Receiver<()>) {
    let bar = ProgressBar::no_length();
    let started = Instant::now();
    while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let total = progress.bytes_total.load(Ordering::Relaxed);
        if total > 0 && bar.length().is_none() {
            bar.set_length(total);
            let template = "{wide_bar} {bytes}/{total_bytes} {msg}, {eta} left";
            // a template that does not parse leaves the plain bar
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
        }
        bar.set_position(progress.bytes_read.load(Ordering::Relaxed));
        bar.set_message(rows_and_rate(progress, started));
        bar.tick();
    }
    bar.finish_and_clear();
}

fn show_lines(path: &Path, progress: &Progress, ended: &Receiver<()>) {
    let started = Instant::now();
    while ended.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
        let (read, total) =
            (progress.bytes_read.load(Ordering::Relaxed), progress.bytes_total.load(Ordering::Relaxed));
        let percent = read.saturating_mul(100).checked_div(total);
        let share = percent.map_or(String::new(), |percent| format!(" ({percent} %)"));
        eprintln!("{}: {} MiB read{share}, {}", path.display(), read >> 20, rows_and_rate(progress, started));
    }
}

fn rows_and_rate(progress: &Progress, started: Instant) -> String {
    let (rows, rejected) = (progress.rows.load(Ordering::Relaxed), progress.rejected.load(Ordering::Relaxed));
    let rate = rows as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let rejected = if rejected > 0 { format!(", {} rejected", grouped(rejected)) } else { String::new() };
    format!("{} rows ({} rows/s){rejected}", grouped(rows), grouped(rate as u64))
}

fn delimiter(text: &str) -> Result<u8> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::invalid("a delimiter is one ASCII character other than a quote, or \"tab\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(delimiter(";").expect("one"), b';');
        assert_eq!(delimiter("tab").expect("one"), b'\t');
        assert!(delimiter("\"").is_err() && delimiter("::").is_err() && delimiter("").is_err());
    }
}
