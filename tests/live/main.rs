//! What is told as it happens, end to end through the binary: WebSockets by a client of the library that others use, and
//! server-sent events read as a browser reads them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod client;
mod crowd;
mod slow;
mod state;
mod tail;
