//! Who is let in, end to end through the binary: keys by the command line and over HTTP, browsers, pages of others, and
//! what the audit log has of it. The routes are those of the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod browser;
mod chromium;
mod keys;
mod routes;

use std::path::Path;

use common::{Reply, Server, run};
use serde_json::Value;

/// A key that was made by the command line.
pub struct Made {
    /// Its public name.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// `windrow keys add NAME ARGUMENTS…`, beside a server where one runs.
#[track_caller]
pub fn add(dir: &Path, name: &str, arguments: &[&str]) -> Made {
    let ran = run(dir, &[&["--json", "keys", "add", name], arguments].concat()).exits(0);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stdout));
    let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name}: {told}")).to_owned();
    Made { id: text("id"), secret: text("secret") }
}

/// A request with a key.
pub fn with_key(server: &Server, key: &str, method: &str, path: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    server.client().send(method, path, &[("Authorization", &bearer)], body.as_bytes())
}

/// The rows of one SELECT, asked with a key.
#[track_caller]
pub fn rows(server: &Server, key: &str, sql: &str) -> Vec<Vec<Value>> {
    let reply = with_key(server, key, "POST", "/v1/sql", &serde_json::json!({ "sql": sql }).to_string());
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    common::Table::parse(&reply.text()).rows
}

/// A request with headers of its own, `Host` among them.
pub fn raw(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut message = format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\n");
    for (name, value) in headers {
        message.push_str(&format!("{name}: {value}\r\n"));
    }
    server.client().exchange((message + "\r\n").into_bytes()).unwrap()
}
