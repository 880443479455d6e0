//! Jobs from outside: kill -9 while they run, and what is there after it; HTTP and the command line.
//!
//! `over_http` and `schedules` ask a server, `kills` goes through the library, `apply` does both: the process that runs them is this test program itself, started anew as a child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod apply;
mod kills;
mod over_http;
mod schedules;
