//! Jobs from outside: kill -9 while they run, and what is there after it; HTTP and the command line.
//!
//! `over_http`, `schedules` and `apply` ask a server, `own_work` looks at what the engine does by itself, `outgoing` and `commands`
//! have a server call URLs (of an `endpoint`) and run programs, `kills` and a part of `apply` go through the library: the process that runs them is this test program itself,
//! started anew as a child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod apply;
mod commands;
mod endpoint;
mod kills;
mod outgoing;
mod over_http;
mod own_work;
mod schedules;
