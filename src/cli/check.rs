//! `windrow check`: the full integrity check of the file, also beside a running server.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::cli::progress::{counted, shown, size_text};
use crate::error::{Error, Result};
use crate::store::check::{Report, check};

/// What `check` takes: nothing of its own.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow check\n  windrow --db copy.db check --json\n\n\
    Every page, every row of the log and every block of every segment is read; damage does not end it.\n\
    Works beside a running server.\n\
    Exit code: 0 nothing is damaged, 1 something is.")]
pub struct CheckArguments {}

/// Runs the verb: 0 where nothing is damaged, else 1.
///
/// # Errors
/// There is no such file, or it is none of ours.
pub fn run(session: &Session, _arguments: &CheckArguments) -> Result<ExitCode> {
    let path = &session.settings.database;
    let report = shown(|progress| check(path, progress))?;
    let text = if session.json {
        let mut value = serde_json::to_value(&report)
            .map_err(|e| Error::Internal(format!("a report does not serialize: {e}")))?;
        value["file"] = json!(path.display().to_string());
        format!("{value:#}\n")
    } else {
        told(&path.display().to_string(), &report)
    };
    session.print(text.as_bytes())?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(file: &str, report: &Report) -> String {
    let mut text = String::new();
    for damage in &report.damage {
        text.push_str(&format!("damaged: {damage}\n"));
    }
    let more = report.damage_total.saturating_sub(report.damage.len() as u64);
    if more > 0 {
        text.push_str(&format!("damaged: … and {more} more\n"));
    }
    for note in &report.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let looked_at = format!(
        "{}{} in {} ({}, {}; {} of columns)",
        counted(report.events, "event"),
        if report.records == 0 {
            String::new()
        } else {
            format!(" and {}", counted(report.records, "record"))
        },
        counted(report.datasets, "dataset"),
        counted(report.segments, "segment"),
        counted(report.log_rows, "log row"),
        size_text(report.bytes)
    );
    match report.damage_total {
        0 => text.push_str(&format!("{file}: {looked_at}, nothing is damaged\n")),
        count => text.push_str(&format!("{file}: {looked_at}, {} found\n", counted(count, "fault"))),
    }
    for advice in &report.advice {
        text.push_str(&format!("what to do: {advice}\n"));
    }
    text
}
