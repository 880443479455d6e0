//! What is told as it happens, `GET /v1/live`: `api/live` lets a client in and gives its [`line::Line`] to the [`hub`], which finds
//! what is new ([`tail`]) ten times a second and puts it on the line; the guard, which owns the client's socket, says it as a
//! WebSocket or as server-sent events. docs/live.md has the messages.
//!
//! What must hold: nobody waits for a client. A line takes one message at a time; who is slow misses what lies between, and is
//! told what.

pub mod hub;
pub mod line;
pub mod tail;

#[cfg(test)]
mod tests;

use tungstenite::Utf8Bytes;

/// The one path whose clients stay with the guard.
pub const PATH: &str = "/v1/live";

/// One message to a client.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where a client that lost its connection goes on; `None` in the last one.
    pub id: Option<i64>,
    /// The message: an object of JSON.
    pub text: Utf8Bytes,
}
