//! Errors as replies: the one map from [`Error`] to a status and a problem of RFC 9457. What is wrong inside goes to
//! the log in full and to the client as one sentence, so that nothing of the machine leaks. The command line prints
//! the same object with `--json`.

use serde::Serialize;

use crate::error::{Bound, Error, ItemError};
use crate::http::message::Response;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What a client is told of an error inside.
const INSIDE: &str = "something failed inside the server; its log has the reason. Repeat the request, and report it if it fails again";

/// The name of the sort that draft-ietf-httpapi-ratelimit-headers defines.
const QUOTA_NAME: &str = "quota-exceeded";

/// Seconds after which a question that was given up may be asked again: by then a server that stopped is back.
const CANCELLED_RETRY_S: u32 = 5;

/// One sort of problem: status, the last part of its type, title.
pub type Sort = (u16, &'static str, &'static str);

const INVALID: Sort = (400, "invalid", "The request is wrong");
/// Nobody that is known.
pub const UNAUTHORIZED: Sort = (401, "unauthorized", "The request has no key that is let in");
/// Somebody who may not.
pub const FORBIDDEN: Sort = (403, "forbidden", "This is not allowed");
/// A page of another server wants something changed.
pub const CROSS_SITE: Sort = (403, "cross-site", "The request comes from a page of another server");
const NOT_FOUND: Sort = (404, "not-found", "There is nothing of that name");
/// A method that the path does not have.
pub const METHOD: Sort = (405, "method", "The path does not have this method");
/// A format or a coding that the server does not have.
pub const NOT_ACCEPTABLE: Sort = (406, "not-acceptable", "The reply cannot be what is accepted");
const CONFLICT: Sort = (409, "conflict", "The state does not allow it");
/// An `Idempotency-Key` whose first request is not answered yet.
pub const IN_FLIGHT: Sort = (409, "in-flight", "The same request is being answered");
const TOO_LARGE: Sort = (413, "too-large", "The request is too large");
const ENCODING: Sort = (415, "encoding", "The content encoding is not known");
const DEADLINE: Sort = (422, "deadline", "The question takes too long");
const MEMORY: Sort = (422, "memory", "The question takes too much memory");
const ROWS: Sort = (422, "rows", "The question looks at too many rows");
/// An `Idempotency-Key` that another request had.
pub const KEY_REUSED: Sort = (422, "key-reused", "The key was used for another request");
const CANCELLED: Sort = (503, "cancelled", "The question was given up");
/// A name that is not this server's.
pub const MISDIRECTED: Sort = (421, "misdirected", "The server does not answer for this name");
/// A protocol that is spoken in another version.
pub const UPGRADE: Sort = (426, "upgrade", "The request needs another version of the protocol");
/// A rate that is used up.
pub const QUOTA: Sort = (429, QUOTA_NAME, "The request is one too many for now");
const INTERNAL: Sort = (500, "internal", "The server failed");
const NOT_IMPLEMENTED: Sort = (501, "not-implemented", "The server does not do this");
const BUSY: Sort = (503, "busy", "Too much is waiting");
const STORAGE: Sort = (507, "storage", "The file cannot be written");
/// What is refused before there is a request that a route could answer.
const FRONT: [Sort; 9] = [
    INVALID,
    (408, "timeout", "The request came too slowly"),
    TOO_LARGE,
    (414, "target", "The URL is too long"),
    (417, "expectation", "The expectation cannot be met"),
    (431, "head", "The head of the request is too large"),
    NOT_IMPLEMENTED,
    BUSY,
    (505, "version", "The version of HTTP is not known"),
];

/// Every sort, as `/openapi.json` lists them.
pub const ALL: [Sort; 23] = [
    INVALID,
    UNAUTHORIZED,
    FORBIDDEN,
    CROSS_SITE,
    MISDIRECTED,
    NOT_FOUND,
    METHOD,
    NOT_ACCEPTABLE,
    CONFLICT,
    IN_FLIGHT,
    TOO_LARGE,
    ENCODING,
    DEADLINE,
    MEMORY,
    ROWS,
    KEY_REUSED,
    UPGRADE,
    QUOTA,
    INTERNAL,
    NOT_IMPLEMENTED,
    BUSY,
    CANCELLED,
    STORAGE,
];

/// The `type` of a sort, by its name.
pub fn kind(name: &str) -> String {
    // the one that a standard names
    let begin = if name == QUOTA_NAME {
        "https://iana.org/assignments/http-problem-types#"
    } else {
        "urn:windrow:problem:"
    };
    format!("{begin}{name}")
}

/// A problem as RFC 9457 has it.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// What sort of problem it is: a name, not a place.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sort in words.
    pub title: &'static str,
    /// The status of the reply.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The items that are wrong, where one request holds many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Item>,
    /// The limits that are used up, by name.
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    pub violated: Vec<String>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

/// One wrong item.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Its place in the request, from 0.
    pub index: u64,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// A problem of a sort.
    pub fn new((status, name, title): Sort, detail: impl Into<String>) -> Self {
        Self {
            kind: kind(name),
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            violated: Vec::new(),
            retry_after_s: None,
        }
    }

    /// The same with the seconds after which the request may be repeated.
    pub fn retried_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The same with the names of limits that are used up.
    pub fn violating(self, violated: Vec<String>) -> Self {
        Self { violated, ..self }
    }

    /// The problem of an error, with its whole text: for whoever runs the engine.
    pub fn of(error: &Error) -> Self {
        let sort = match error {
            Error::Invalid { .. } => INVALID,
            Error::NotFound(_) => NOT_FOUND,
            Error::Forbidden(_) => FORBIDDEN,
            Error::Conflict(_) => CONFLICT,
            Error::TooLarge(_) => TOO_LARGE,
            Error::OverBudget { bound: Bound::Deadline, .. } => DEADLINE,
            Error::OverBudget { bound: Bound::Memory, .. } => MEMORY,
            Error::OverBudget { bound: Bound::Rows, .. } => ROWS,
            Error::OverBudget { bound: Bound::Cancelled, .. } => CANCELLED,
            Error::UnsupportedEncoding(_) => ENCODING,
            Error::Busy { .. } => BUSY,
            Error::StorageUnavailable(_) => STORAGE,
            Error::Corrupt(_) => INTERNAL,
            Error::Sqlite { .. } => INTERNAL,
            Error::Io { .. } => INTERNAL,
            Error::Internal(_) => INTERNAL,
        };
        let mut problem = Self::new(sort, error.to_string());
        match error {
            Error::Invalid { items, .. } => problem.errors = items.iter().map(Item::of).collect(),
            Error::Busy { retry_after_s, .. } => problem.retry_after_s = Some(*retry_after_s),
            Error::OverBudget { bound: Bound::Cancelled, .. } => {
                problem.retry_after_s = Some(CANCELLED_RETRY_S)
            }
            _ => {}
        }
        problem
    }

    /// The problem of an error as a client may see it; the text of an error inside goes to the log.
    pub fn for_client(error: &Error) -> Self {
        if error.is_internal() {
            tracing::error!("a request failed: {error}");
            return Self::new(INTERNAL, INSIDE);
        }
        Self::of(error)
    }

    /// The reply.
    pub fn into_response(self) -> Response {
        // texts and numbers have no way to fail
        let mut body = serde_json::to_vec(&self).unwrap_or_default();
        body.push(b'\n');
        let mut response = Response { status: self.status, headers: Vec::new(), body };
        response.headers.push(("Content-Type", CONTENT_TYPE.into()));
        if let Some(seconds) = self.retry_after_s {
            response.headers.push(("Retry-After", seconds.to_string().into()));
        }
        response
    }
}

impl Item {
    /// As a problem and a partial success list it.
    pub fn of(item: &ItemError) -> Self {
        Self { index: item.index, message: item.message.clone() }
    }
}

/// The reply to a request that failed.
pub fn response(error: &Error) -> Response {
    Problem::for_client(error).into_response()
}

/// The reply to what never became a request that a route could answer; a status that is not of these becomes a 400.
pub fn refused(status: u16, detail: &str) -> Response {
    let sort = FRONT.iter().find(|sort| sort.0 == status).unwrap_or(&INVALID);
    let mut problem = Problem::new(*sort, detail);
    problem.retry_after_s = (status == BUSY.0).then_some(1);
    problem.into_response()
}

/// The reply to a request whose handler panicked; the panic itself is in the log.
pub fn panicked() -> Response {
    Problem::new(INTERNAL, INSIDE).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every error with its status and whether its text reaches the client.
    fn cases() -> Vec<(Error, u16, bool)> {
        let text = || "the secret /place".to_owned();
        let io = std::io::Error::other("disk");
        vec![
            (Error::invalid(text()), 400, true),
            (Error::NotFound(text()), 404, true),
            (Error::Forbidden(text()), 403, true),
            (Error::Conflict(text()), 409, true),
            (Error::TooLarge(text()), 413, true),
            (Error::OverBudget { bound: Bound::Deadline, detail: text() }, 422, true),
            (Error::OverBudget { bound: Bound::Memory, detail: text() }, 422, true),
            (Error::OverBudget { bound: Bound::Rows, detail: text() }, 422, true),
            (Error::OverBudget { bound: Bound::Cancelled, detail: text() }, 503, true),
            (Error::UnsupportedEncoding(text()), 415, true),
            (Error::Busy { detail: text(), retry_after_s: 7 }, 503, true),
            (Error::StorageUnavailable(text()), 507, true),
            (Error::Corrupt(text()), 500, false),
            (Error::Sqlite { context: text(), source: rusqlite::Error::InvalidQuery }, 500, false),
            (Error::Io { context: text(), source: io }, 500, false),
            (Error::Internal(text()), 500, false),
        ]
    }

    #[test]
    fn every_error_has_its_status_and_tells_what_it_may() {
        for (error, status, told) in cases() {
            let reply = response(&error);
            assert_eq!(reply.status, status, "{error:?}");
            assert_eq!(reply.header("content-type"), Some(CONTENT_TYPE));
            let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(json["status"], status);
            assert!(
                json["type"].as_str().is_some_and(|kind| kind.starts_with("urn:windrow:problem:")),
                "{json}"
            );
            assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()), "{json}");
            assert_eq!(json["detail"].as_str().unwrap().contains("the secret /place"), told, "{json}");
            assert!(
                Problem::of(&error).detail.contains("the secret /place"),
                "the command line tells it all"
            );
            let is_listed = |(status, name, title): &Sort| {
                json["type"] == kind(name) && json["status"] == *status && json["title"] == *title
            };
            assert!(ALL.iter().any(is_listed), "{json} is not in the list");
            let retry = reply.header("retry-after");
            let wanted = match error {
                Error::Busy { .. } => Some("7"),
                Error::OverBudget { bound: Bound::Cancelled, .. } => Some("5"),
                _ => None,
            };
            assert_eq!(retry, wanted);
        }
    }

    #[test]
    fn wrong_items_are_listed() {
        let item = ItemError { index: 3, message: "no number".into() };
        let reply = response(&Error::Invalid { detail: "nothing".into(), items: vec![item] });
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(json["errors"], serde_json::json!([{"index": 3, "message": "no number"}]));
        let none: serde_json::Value = serde_json::from_slice(&panicked().body).unwrap();
        assert_eq!((none.get("errors"), &none["status"]), (None, &500.into()));
    }
}
