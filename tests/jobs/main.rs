//! Jobs from outside, through the library: kill -9 while they run, and what is there after it.
//!
//! `kills`: the process that runs them is this test program itself, started anew as a child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod kills;
