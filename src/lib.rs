//! Windrow: an embedded analytics engine in one binary on one SQLite file.
//!
//! A program that embeds it begins with [`Engine`], whose example runs; `docs/embedding.md` tells more. The module list
//! is the map of the house; a room imports only rooms before it (`tests/tidy.rs` holds this).

// the ground: imports none of ours
pub mod clock;
pub mod config;
pub mod error;
pub mod fields;
pub mod limiter;
pub mod limits;
pub mod private;
pub mod proxies;
pub mod time;
pub mod value;

pub mod columnar;
pub mod store;

pub mod cache;

pub mod query;
pub mod records;

pub mod ingest;

pub mod jobs;

pub mod packs;

pub mod http;

pub mod app;
pub mod cli;

pub use app::Engine;
pub use cache::CacheOptions;
pub use error::{Error, Result};
pub use ingest::accept::Accepted;
pub use ingest::import::ImportOptions;
pub use jobs::{Context, Effects, JobOptions, Jobs, Kind, NewJob, Outcome};
pub use query::answer::Answer;
pub use query::budget::Limits;
pub use query::format::Format;
pub use query::page::{Page, PageRequest};
pub use query::reach::Reach;
pub use records::put::PutOptions;
pub use records::search::SearchRequest;
pub use store::StoreOptions;
pub use store::keyed::write::Put;
pub use value::Value;
