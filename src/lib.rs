//! Windrow: an embedded analytics engine in one binary on one SQLite file.
//!
//! The module list is the map of the house; a room imports only rooms before it (`tests/tidy.rs` holds this).

// the ground: imports none of ours
pub mod config;
pub mod error;
pub mod fields;
pub mod limits;
pub mod time;
pub mod value;

pub mod columnar;
pub mod store;

pub mod query;

pub mod ingest;

pub mod packs;

pub mod http;

pub mod app;
pub mod cli;
