//! `windrow backup` and `windrow restore`: a verified copy of the file, and back again.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::Session;
use crate::cli::progress::{counted, shown, size_text};
use crate::error::Result;
use crate::store::backup::{Copied, backup};
use crate::store::restore::restore;

/// What `backup` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow backup visits-2026-03.db\n  windrow --db /data/windrow.db backup /backup/windrow.db --overwrite\n\n\
    The copy is checked in full before it gets its name; it is a database like any other. Works beside a running server."
)]
pub struct BackupArguments {
    /// The file that the copy becomes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file where it is there already
    #[arg(long)]
    overwrite: bool,
}

/// What `restore` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow restore visits-2026-03.db\n  windrow --db /data/windrow.db restore /backup/windrow.db --overwrite\n\n\
    The backup is checked in full before anything is touched. Stop the server first."
)]
pub struct RestoreArguments {
    /// The backup, or any other database file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a database that holds data; it is kept beside the new one, with .before-restore after its name
    #[arg(long)]
    overwrite: bool,
}

/// Makes a backup.
///
/// # Errors
/// What is in the way; then no backup was made.
pub fn run(session: &Session, arguments: &BackupArguments) -> Result<()> {
    let database = &session.settings.database;
    let copied = shown(|progress| backup(database, &arguments.file, arguments.overwrite, progress))?;
    session.print(told(session.json, "backup", &copied, None).as_bytes())
}

/// Puts a backup in the place of the database.
///
/// # Errors
/// What is in the way; then nothing was changed.
pub fn run_restore(session: &Session, arguments: &RestoreArguments) -> Result<()> {
    let database = &session.settings.database;
    let restored = shown(|progress| restore(&arguments.file, database, arguments.overwrite, progress))?;
    let kept = restored.kept.map(|path| path.display().to_string());
    session.print(told(session.json, "restore", &restored.copied, kept).as_bytes())
}

fn told(as_json: bool, verb: &str, copied: &Copied, kept: Option<String>) -> String {
    let (file, report) = (copied.path.display().to_string(), &copied.report);
    if as_json {
        let mut value = json!({"file": file, "bytes": copied.bytes, "events": report.events, "datasets": report.datasets});
        if verb == "restore" {
            value["kept"] = json!(kept);
        }
        return format!("{value}\n");
    }
    let kept = kept.map_or(String::new(), |kept| format!("the old file is kept as {kept}\n"));
    format!(
        "{verb}: {} in {} verified, {}: {file}\n{kept}",
        counted(report.events, "event"),
        counted(report.datasets, "dataset"),
        size_text(copied.bytes)
    )
}
