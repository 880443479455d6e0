//! `windrow demo`: sample data, served, with a page to look at.

use clap::Args;
use serde_json::json;

use crate::app::demo::{DATABASE, Filled, demo};
use crate::cli::Session;
use crate::cli::progress::counted;
use crate::cli::serve::ServerFlags;
use crate::error::Result;
use crate::packs::web;
use crate::value::grouped;

/// What `demo` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow demo\n  windrow --db /tmp/demo.db demo --listen 127.0.0.1:0\n\n\
    Makes windrow-demo.db in the current folder, with page views of websites that do not exist, up to now; a later demo \
    goes on with it. Only --db names another file: WINDROW_DB and windrow.toml say where your own data are, which the demo \
    never touches. Ends cleanly on SIGINT and SIGTERM.")]
pub struct DemoArguments {
    #[command(flatten)]
    flags: ServerFlags,
}

impl DemoArguments {
    /// The flags that stand for settings, by key. The database is among them, so that a demo never writes into the one
    /// that the environment or a file names; `--db` stands before it.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.flags.settings();
        settings.push(("db", DATABASE.to_owned()));
        settings
    }
}

/// Fills the database and serves it until it is told to stop.
///
/// # Errors
/// A file that the demo did not make, an address that is in use, and what else keeps it from starting.
pub fn run(session: &Session, _arguments: &DemoArguments) -> Result<()> {
    let settings = &session.settings;
    demo(settings, |filled, address| {
        let file = settings.database.display().to_string();
        let text = match session.json {
            true => json!({
                "database": file,
                "dataset": web::DATASET,
                "rows": filled.rows,
                "added": filled.added,
                "elapsed_ms": filled.elapsed.as_secs_f64() * 1e3,
                "address": format!("{address}/"),
            })
            .to_string(),
            false => told(&file, filled, address),
        };
        session.print((text + "\n").as_bytes())
    })
}

fn told(file: &str, filled: &Filled, address: &str) -> String {
    let (rows, days) = (counted(filled.rows, "event"), filled.days);
    let took = format!("in {:.1} s", filled.elapsed.as_secs_f64());
    let what = match (filled.is_new, filled.added) {
        (true, _) => format!("{rows} of the last {days} days, made {took}"),
        (false, 0) => format!("{rows}, up to now"),
        (false, added) => format!("{rows}, {} of them added {took}, up to now", grouped(added)),
    };
    format!(
        "{file}: {what}\nlistening on {address}\n\n  {address}/\n\n\
         The page shows the last 30 days and the calls behind it. While the demo runs it adds an event every few seconds;\n\
         Ctrl-C ends it. Next, with your own data:\n\n  windrow import visits visits.csv\n  windrow serve"
    )
}
