//! Jobs from outside: kill -9 while they run, and what is there after it; HTTP and the command line.
//!
//! `over_http` asks a server, `outgoing` and `commands` have it call URLs (of an `endpoint`) and run programs, `kills` goes through the library: the process that runs them is this test program itself, started anew as a child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod endpoint;
mod kills;
mod outgoing;
mod over_http;
