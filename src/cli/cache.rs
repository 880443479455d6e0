//! `windrow cache`: what is kept of answers, and what that saves; `clear` forgets, `warm` asks listed questions ahead. A
//! running server is asked; without one it is about the file beside the database.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::{Engine, cache_options, store_options};
use crate::cache::{Cache, CacheOptions, disk};
use crate::cli::progress::{counted, size_text};
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::cli::{Session, remote};
use crate::error::{Error, Result};
use crate::query::warm::WarmList;
use crate::store::lock::{self, Served};

/// What `cache` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow cache\n  windrow cache clear --dataset visits\n  windrow cache warm\n\n\
    A running server is asked. Without one, `clear` removes the file beside the database, which nothing needs, and `warm` \
    fills it."
)]
pub struct CacheArguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Forget what is kept: all, or what is named
    Clear(ClearArguments),
    /// Ask the questions of the setting cache_warm ahead
    Warm,
}

#[derive(Debug, Args)]
struct ClearArguments {
    /// What is of this dataset
    #[arg(long, value_name = "NAME", group = "selector")]
    dataset: Option<String>,
    /// What has this tag, such as user:42
    #[arg(long, value_name = "TAG", group = "selector")]
    tag: Option<String>,
    /// What has a name of this pattern, such as search:*:42
    #[arg(long, value_name = "PATTERN", group = "selector")]
    pattern: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// The server refuses, or there is no database.
pub fn run(session: &Session, arguments: &CacheArguments) -> Result<()> {
    let server = lock::served(&session.settings.database);
    match (&arguments.what, server) {
        (None, Some(server)) => {
            let reply = remote::ask(&server, "GET", "/v1/cache", "")?;
            if session.json {
                return session.print(reply.as_bytes());
            }
            session.print(report(&parsed(&reply)?, session).as_bytes())
        }
        (None, None) => {
            let cache = of_file(session)?;
            let told = serde_json::to_value(cache.report())
                .map_err(|e| Error::Internal(format!("figures do not serialize: {e}")))?;
            let text = if session.json { format!("{told}\n") } else { report(&told, session) };
            session.print(text.as_bytes())
        }
        (Some(What::Clear(clear)), server) => clear_all(session, clear, server),
        (Some(What::Warm), Some(server)) => {
            let reply = remote::ask(&server, "POST", "/v1/cache/warm", "")?;
            told_of_warm(session, &parsed(&reply)?)
        }
        (Some(What::Warm), None) => warm(session),
    }
}

/// The cache of the file beside the database; where there is none, none is made.
fn of_file(session: &Session) -> Result<Arc<Cache>> {
    let options = cache_options(&session.settings)?;
    let file = options.file.filter(|file| file.exists());
    Ok(Cache::open(CacheOptions { file, ..options }))
}

fn clear_all(session: &Session, clear: &ClearArguments, server: Option<Served>) -> Result<()> {
    let names = [("dataset", &clear.dataset), ("tag", &clear.tag), ("pattern", &clear.pattern)];
    let body = names.into_iter().find_map(|(name, value)| Some(json!({ name: value.as_ref()? })));
    let removed = match (server, &body) {
        (Some(server), body) => {
            let body = body.as_ref().map(Value::to_string).unwrap_or_default();
            parsed(&remote::ask(&server, "POST", "/v1/cache/clear", &body)?)?["removed"].as_u64().unwrap_or(0)
        }
        (None, None) => {
            let cache = of_file(session)?;
            let entries = cache.report().disk.map_or(0, |disk| disk.tier.entries);
            drop(cache);
            let file = disk::beside(&session.settings.database);
            disk::remove(&file).map_err(|e| Error::io(format!("cannot remove {}", file.display()), e))?;
            entries
        }
        (None, Some(_)) => {
            return Err(Error::invalid(
                "parts of the cache are cleared where a server runs; without one `windrow cache clear` removes all of it",
            ));
        }
    };
    let text = match session.json {
        true => format!("{}\n", json!({ "removed": removed })),
        false => format!("{} forgotten\n", counted(removed, "answer")),
    };
    session.print(text.as_bytes())
}

fn warm(session: &Session) -> Result<()> {
    let settings = &session.settings;
    let list = WarmList::of(settings.cache_warm.as_deref())?;
    if list.is_empty() {
        return Err(Error::invalid(
            "no questions are listed; name a file of them with WINDROW_CACHE_WARM or the setting cache_warm",
        ));
    }
    let engine = Engine::open_with(&settings.database, store_options(settings))?.with_limits(settings.into());
    let engine = engine.with_cache(cache_options(settings)?);
    let warmed = engine.warm(&list);
    engine.close();
    let told = serde_json::to_value(warmed)
        .map_err(|e| Error::Internal(format!("an outcome does not serialize: {e}")))?;
    told_of_warm(session, &told)
}

fn told_of_warm(session: &Session, told: &Value) -> Result<()> {
    if session.json {
        return session.print(format!("{told}\n").as_bytes());
    }
    let mut text = format!("{} asked\n", counted(told["asked"].as_u64().unwrap_or(0), "question"));
    for failed in told["failed"].as_array().into_iter().flatten() {
        text.push_str(&format!(
            "line {}: {}\n",
            failed["line"],
            failed["message"].as_str().unwrap_or_default()
        ));
    }
    session.print(text.as_bytes())
}

fn parsed(reply: &str) -> Result<Value> {
    serde_json::from_str(reply).map_err(|e| Error::Internal(format!("the server's reply is not JSON: {e}")))
}

/// The figures as people read them.
fn report(told: &Value, session: &Session) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let tier = |name: &str| match &told[name] {
        Value::Null => format!("{name}: none\n"),
        tier => format!(
            "{name}: {}, {} of {}\n",
            counted(number(&tier["entries"]), "answer"),
            size_text(number(&tier["bytes"])),
            size_text(number(&tier["budget_bytes"]))
        ),
    };
    let mut text = tier("memory") + &tier("disk");
    text.push_str(&format!(
        "{} whole, {} in part, {} computed; {} not scanned, {:.1} s saved\n",
        counted(number(&told["hits"]), "hit"),
        number(&told["partial_hits"]),
        number(&told["misses"]),
        counted(number(&told["rows_saved"]), "row"),
        told["ms_saved"].as_f64().unwrap_or(0.0) / 1e3
    ));
    let heads = ["class", "age", "hits", "from disk", "computed", "evicted", "entries", "bytes"];
    let mut table = Table::new(heads.map(Head::text), "--json");
    let used = |class: &&Value| {
        ["memory_hits", "disk_hits", "misses", "entries"].iter().any(|name| number(&class[*name]) > 0)
    };
    let row = |class: &Value| {
        let age = class["max_age_s"].as_f64().map_or("exact".to_owned(), |age| format!("{age} s"));
        let cells = [
            class["class"].as_str().unwrap_or_default().to_owned(),
            age,
            number(&class["memory_hits"]).to_string(),
            number(&class["disk_hits"]).to_string(),
            number(&class["misses"]).to_string(),
            number(&class["evicted"]).to_string(),
            number(&class["entries"]).to_string(),
            size_text(number(&class["bytes"])),
        ];
        cells.map(Cell::text).to_vec().into()
    };
    table.rows = told["classes"].as_array().into_iter().flatten().filter(used).map(row).collect();
    if !table.rows.is_empty() {
        text.push_str(&table.write(&session.screen));
    }
    text
}
