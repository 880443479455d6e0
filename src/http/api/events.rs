//! Events in: the body is an object, an array or NDJSON; 200 says what was committed and what was rejected. And out
//! again, by a condition.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::http::body;
use crate::http::message::Response;
use crate::http::problem::Item;
use crate::http::routes::Call;
use crate::ingest::accept::{Accepted, MakesOnce, accept_once, decode_json};
use crate::ingest::destination::Requests;
use crate::query::erase;
use crate::store::replies::Once;

/// The reply: what became of the events.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    accepted: u64,
    duplicates: u64,
    rejected: Vec<Item>,
    /// All rejected ones, where more were than are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<u64>,
}

impl Outcome {
    fn of(accepted: &Accepted) -> Self {
        let listed = accepted.rejected.len() as u64;
        Self {
            accepted: accepted.accepted,
            duplicates: accepted.duplicates,
            rejected: accepted.rejected.iter().map(Item::of).collect(),
            rejected_total: (accepted.rejected_total > listed).then_some(accepted.rejected_total),
        }
    }
}

/// A hint for NDJSON whose line ends are gone: `curl -d @FILE` takes them away.
fn lost_line_ends(body: &[u8]) -> &'static str {
    let one_line = memchr::memchr(b'\n', body).is_none();
    if one_line && memchr::memmem::find(body, b"}{").is_some() {
        return "; NDJSON has a line end after every event: with curl, send a file by --data-binary instead of -d";
    }
    ""
}

/// `POST /v1/datasets/{dataset}/events`: acknowledged is committed and visible to the next query.
pub fn append(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(
            "the body is empty; send an event as a JSON object, several as an array or NDJSON",
        ));
    }
    let once = call.once.map(|ticket| {
        move |so_far: &Accepted| {
            let (rows, outcome) = (so_far.accepted, Outcome::of(so_far));
            ticket.once(move |duplicates| {
                let accepted = rows.saturating_sub(duplicates);
                Response::json(&Outcome { accepted, duplicates, ..outcome.clone() })
            })
        }
    });
    let once: MakesOnce<'_> = once.as_ref().map(|make| make as &dyn Fn(&Accepted) -> Once);
    let reach = call.limits().reach;
    let destination = Requests { store: &call.service.store, dataset: call.dataset(), reach };
    let outcome = accept_once(&destination, once, |rules| decode_json(&body, rules))?;
    call.events.set(outcome.accepted + outcome.duplicates + outcome.rejected_total);
    if let (Some(ticket), 1..) = (call.once, outcome.accepted + outcome.duplicates) {
        ticket.set_kept();
    }
    let Accepted { accepted, duplicates, rejected_total, .. } = outcome;
    if accepted == 0 && duplicates == 0 && rejected_total > 0 {
        let rejected = outcome.rejected;
        let detail = match rejected.first() {
            Some(first) if rejected_total == 1 => {
                format!("the event was rejected: {}{}", first.message, lost_line_ends(&body))
            }
            _ => {
                format!("all {rejected_total} events were rejected, nothing was kept; errors has the reasons")
            }
        };
        return Err(Error::Invalid { detail, items: rejected });
    }
    Response::json(&Outcome::of(&outcome))
}

/// The reply of erasing.
#[derive(Debug, Serialize)]
struct Erased {
    erased: u64,
}

/// `DELETE /v1/datasets/{dataset}/events?where=`: erases what the condition is true for.
pub fn erase(call: &Call<'_>) -> Result<Response> {
    let condition = call.request.parameter("where").unwrap_or_default();
    let reach = &call.limits().reach;
    Response::json(&Erased { erased: erase::erase(&call.service.store, reach, call.dataset(), condition)? })
}
