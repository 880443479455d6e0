//! `windrow keys`: the keys of a database; `add`, `rotate` and `revoke` change them. A running server is asked; without one
//! the file is opened.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::store_options;
use crate::cli::Session;
use crate::cli::remote::{self, asked};
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::error::{Error, Result};
use crate::http::access::audit::{self, Entry};
use crate::http::api::keys::{KeyRequest, made, rotated, told_all};
use crate::http::message::encode;
use crate::store::keys::KeyLimits;
use crate::store::lock::{self, Served};
use crate::store::{Store, open};
use crate::time;

/// What `keys` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  windrow keys\n  windrow keys add shop --scope ingest\n  \
    windrow keys add reports --scope read --dataset 'web_*' --expires 90d\n  \
    windrow keys rotate 7hq2m4k9xe --grace 1h\n  windrow keys revoke 7hq2m4k9xe\n\n\
    A secret is printed once; only its hash is kept. A running server takes changes at\n\
    once; without one they are written to the file.")]
pub struct KeysArguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the keys, without their secrets
    List,
    /// Make a key and print its secret
    Add(AddArguments),
    /// Give a key another secret; the old one works on for a time
    Rotate(RotateArguments),
    /// Let a key in no more
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
struct AddArguments {
    /// What it is called, to know later what it is for
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do: ingest, read, admin; several with commas
    #[arg(long = "scope", value_name = "SCOPES", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// A dataset that it may touch, or a pattern such as web_*; may be given several times [default: all]
    #[arg(long = "dataset", value_name = "NAME", value_delimiter = ',')]
    datasets: Vec<String>,
    /// A SQL expression that every read is bound to and every write has to satisfy
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<String>,
    /// When it ends: a duration such as 90d, or a time [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Requests that it may send in a minute
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<u64>,
    /// Events and records that it may send in a minute
    #[arg(long, value_name = "COUNT")]
    events_per_minute: Option<u64>,
    /// Bytes that it may send in a minute
    #[arg(long, value_name = "COUNT")]
    bytes_per_minute: Option<u64>,
}

#[derive(Debug, Args)]
struct RotateArguments {
    /// The id of the key
    #[arg(value_name = "ID")]
    id: String,
    /// How long the old secret works on: 0s, 30m, 24h [default: 24h]
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
}

#[derive(Debug, Args)]
struct RevokeArguments {
    /// The id of the key
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs the verb.
///
/// # Errors
/// The server refuses, there is no such key, or what is asked for is not possible.
pub fn run(session: &Session, arguments: &KeysArguments) -> Result<()> {
    let place = Place::of(session);
    let told = match &arguments.what {
        None | Some(What::List) => place.list()?,
        Some(What::Add(add)) => place.add(request(add))?,
        Some(What::Rotate(rotate)) => place.rotate(&rotate.id, rotate.grace.as_deref())?,
        Some(What::Revoke(revoke)) => place.revoke(&revoke.id)?,
    };
    let text = match &arguments.what {
        _ if session.json => format!("{told}\n"),
        None | Some(What::List) => list(&told, session),
        Some(What::Add(_) | What::Rotate(_)) => secret(&told),
        Some(What::Revoke(_)) => format!("{}: revoked\n", told["revoked"].as_str().unwrap_or_default()),
    };
    session.print(text.as_bytes())
}

fn request(add: &AddArguments) -> KeyRequest {
    let limits = KeyLimits {
        requests_per_minute: add.requests_per_minute,
        events_per_minute: add.events_per_minute,
        bytes_per_minute: add.bytes_per_minute,
    };
    KeyRequest {
        name: add.name.clone(),
        scopes: add.scopes.clone(),
        datasets: add.datasets.clone(),
        filter: add.filter.clone(),
        expires: add.expires.clone(),
        limits: (limits != KeyLimits::default()).then_some(limits),
    }
}

/// Where the keys are: with a server, or in a file that nobody serves.
enum Place<'s> {
    Server(Served),
    File(&'s Session),
}

impl<'s> Place<'s> {
    fn of(session: &'s Session) -> Self {
        lock::served(&session.settings.database).map_or(Self::File(session), Self::Server)
    }

    fn list(&self) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "GET", "/v1/keys", ""),
            Self::File(session) => {
                let store = open_existing(session)?;
                Ok(told_all(&store))
            }
        }
    }

    fn add(&self, request: KeyRequest) -> Result<Value> {
        match self {
            Self::Server(server) => {
                let body = serde_json::to_string(&request)
                    .map_err(|e| Error::Internal(format!("a request does not serialize: {e}")))?;
                asked(server, "POST", "/v1/keys", &body)
            }
            // the first key may be there before the first event
            Self::File(session) => {
                let store = Store::open(&session.settings.database, store_options(&session.settings))?;
                let told = made(&store, request)?;
                note(&store, "key.made", told["id"].as_str().unwrap_or_default());
                Ok(told)
            }
        }
    }

    fn rotate(&self, id: &str, grace: Option<&str>) -> Result<Value> {
        match self {
            Self::Server(server) => {
                let body = grace.map(|grace| json!({ "grace": grace }).to_string()).unwrap_or_default();
                asked(server, "POST", &format!("/v1/keys/{}/rotate", encode(id)), &body)
            }
            Self::File(session) => {
                let store = open_existing(session)?;
                let told = rotated(&store, id, grace)?;
                note(&store, "key.rotated", id);
                Ok(told)
            }
        }
    }

    fn revoke(&self, id: &str) -> Result<Value> {
        match self {
            Self::Server(server) => {
                remote::ask(server, "DELETE", &format!("/v1/keys/{}", encode(id)), "")?;
            }
            Self::File(session) => {
                let store = open_existing(session)?;
                store.revoke_key(id, time::now())?;
                note(&store, "key.revoked", id);
            }
        }
        Ok(json!({ "revoked": id }))
    }
}

fn open_existing(session: &Session) -> Result<Store> {
    let database: &Path = &session.settings.database;
    if !database.exists() {
        // opened to write, it would be made
        return Err(open::missing(database));
    }
    Store::open(database, store_options(&session.settings))
}

fn note(store: &Store, action: &'static str, id: &str) {
    let entry =
        Entry { who: "owner".into(), action, subject: id.to_owned(), status: 200, ..Entry::default() };
    audit::note(store, &entry, 0);
}

/// A key with its secret, for people.
fn secret(told: &Value) -> String {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let mut lines = format!("key     {} ({}), {}\n", text("id"), text("name"), joined(&told["scopes"]));
    lines.push_str(&format!("secret  {}\n\n", text("secret")));
    if let Some(until) = told["old_secret_until"].as_str() {
        lines.push_str(&format!("The old secret works until {until}.\n"));
    }
    lines.push_str("This is the only time that the secret is told. Programs send it as a header:\n\n");
    lines.push_str(&format!("  Authorization: Bearer {}\n", text("secret")));
    lines
}

fn joined(list: &Value) -> String {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.collect::<Vec<_>>().join(",")
}

/// The keys as people read them.
fn list(told: &Value, session: &Session) -> String {
    let keys = told["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        return "there are no keys yet; windrow keys add NAME --scope ingest makes one\n".to_owned();
    }
    let heads = ["id", "name", "scopes", "datasets", "status", "last use", "expires"];
    let mut table = Table::new(heads.map(Head::text), "--json");
    let row = |key: &Value| {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        // the day and the minute are what people look for
        let time = |name: &str| text(name).chars().take(16).collect::<String>().replace('T', " ");
        let datasets = match joined(&key["datasets"]) {
            all if all.is_empty() => "all".to_owned(),
            some => some,
        };
        let used = if key["used"].is_null() { "never".to_owned() } else { time("used") };
        let cells = [
            text("id"),
            text("name"),
            joined(&key["scopes"]),
            datasets,
            text("status"),
            used,
            time("expires"),
        ];
        cells.map(Cell::text).to_vec().into()
    };
    table.rows = keys.iter().map(row).collect();
    table.write(&session.screen)
}
