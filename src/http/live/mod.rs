//! What is told as it happens, `GET /v1/live`: `api/live` lets a client in and gives its [`line::Line`] to the [`hub`], which looks
//! ten times a second, once for all who watch the same [`topic`], for what is new: rows of a dataset ([`tail`]), or another
//! [`state`] of a job, a queue or the answer to a [`question`]. It puts a [`message`] on the line; the guard, which owns the
//! client's socket, says it as a WebSocket or as server-sent events. docs/live.md has the messages.
//!
//! What must hold: nobody waits for a client, and no topic for the question of another one. A line takes one message at a time;
//! who is slow misses what lies between: of rows he is told which, of a state he gets the newest.

pub mod hub;
pub mod line;
pub mod message;
pub mod question;
pub mod state;
pub mod tail;
pub mod topic;

#[cfg(test)]
mod hub_tests;
#[cfg(test)]
mod tests;

/// The one path whose clients stay with the guard.
pub const PATH: &str = "/v1/live";

/// That nothing more comes, and why.
pub fn end(why: &str) -> message::Message {
    let text = serde_json::json!({ "type": "end", "detail": why }).to_string();
    message::Message::new(None, text)
}
