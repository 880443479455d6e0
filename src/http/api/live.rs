//! What is told as it happens: `GET /v1/live`. The handler lets a client in and joins its line to the hub; from then on the
//! connection is the guard's and the hub's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::error::{Error, Result};
use crate::http::access::origin::Origin;
use crate::http::access::{Need, Who};
use crate::http::api::{jobs, rows};
use crate::http::live::hub::Subscription;
use crate::http::live::line::Form;
use crate::http::live::question::Question;
use crate::http::live::state::Subject;
use crate::http::live::tail::{self, Tail};
use crate::http::live::topic::Watch;
use crate::http::message::{Method, Request, Response};
use crate::http::negotiate;
use crate::http::problem::{CROSS_SITE, NOT_ACCEPTABLE, Problem, UPGRADE};
use crate::http::routes::Call;
use crate::limits;
use crate::query::budget::Limits;

/// What the route takes.
pub const PARAMETERS: [&str; 7] = ["dataset", "job", "queue", "query", "where", "fields", "after"];

/// What is watched: one of these.
const SUBJECTS: [&str; 4] = ["dataset", "job", "queue", "query"];
/// What goes with a dataset alone.
const OF_ROWS: [&str; 2] = ["where", "fields"];

/// What a server of WebSockets adds to the key of a handshake (RFC 6455, 1.3).
const HANDSHAKE: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `GET /v1/live`.
pub fn watch(call: &Call<'_>) -> Result<Response> {
    let request = call.request;
    // pages of others could not read events, but may open WebSockets, to which a browser adds its cookie
    let is_ambient = call.access.is_session() || matches!(call.access.who(), Who::Anyone);
    if is_ambient && call.service.gate.origin(request) == Origin::Elsewhere {
        let detail = "only pages of this server are told what is new; programs send a key instead";
        return Ok(Problem::new(CROSS_SITE, detail).into_response());
    }
    let form = match form(request)? {
        Ok(form) => form,
        Err(refusal) => return Ok(refusal),
    };
    let watch = match watched(call)? {
        Ok(watch) => watch,
        Err(refusal) => return Ok(refusal),
    };
    let mut response = Response { status: 200, ..Response::default() };
    response.headers.push(("Content-Type", "text/event-stream".into()));
    if request.method != Method::Get {
        return Ok(response);
    }
    let line =
        request.line.as_ref().ok_or_else(|| Error::Internal("there is no line to the client".into()))?;
    let credentials = Request {
        method: Method::Get,
        path: request.path.clone(),
        headers: request.headers.clone(),
        address: request.address,
        is_secure: request.is_secure,
        ..Request::default()
    };
    call.service.live.join(Subscription { line: Arc::downgrade(line), watch, credentials })?;
    line.open(form);
    Ok(response)
}

/// What is watched, or why it is not for the one who asks.
fn watched(call: &Call<'_>) -> Result<Result<Watch, Response>> {
    let (request, has) = (call.request, after(call.request)?);
    let mut named = SUBJECTS.iter().filter_map(|name| Some((*name, request.parameter(name)?)));
    let (Some((sort, name)), None) = (named.next(), named.next()) else {
        return Err(Error::invalid(
            "one parameter says what is watched: dataset=NAME for the rows of a dataset as they come, job=ID, queue=NAME, or \
             query=SELECT …",
        ));
    };
    if sort == "dataset" {
        return rows_of(call, name, has).map(Ok);
    }
    if let Some(other) = OF_ROWS.iter().find(|other| request.parameter(other).is_some()) {
        return Err(Error::invalid(format!("{other} goes with a dataset; of a {sort} all is told")));
    }
    let subject = match sort {
        "query" => {
            let own = call.limits();
            let deadline = limits::LIVE_TIME.min(own.deadline);
            let limits = Limits { abandoned: Arc::default(), deadline, ..own };
            Subject::Question(Arc::new(Question::new(name.to_owned(), limits)?))
        }
        // who may not see jobs is not told which there are
        _ => {
            let (service, need) = (call.service, Need::Admin(None));
            if let Err(refusal) = service.gate.admit(&service.store, request, need, None) {
                return Ok(Err(refusal));
            }
            if sort == "job" { Subject::Job(jobs::id(name)?) } else { Subject::Queue(name.to_owned()) }
        }
    };
    subject.check(&call.service.jobs, &call.snapshot())?;
    Ok(Ok(Watch::State { subject, has }))
}

/// The rows of a dataset, from where on, and what is there already.
fn rows_of(call: &Call<'_>, dataset: &str, after: Option<i64>) -> Result<Watch> {
    let filter = call.request.parameter("where").map(str::to_owned);
    if let Some(filter) = &filter {
        crate::query::parse::filter(filter)?;
    }
    let limits = Limits { abandoned: Arc::default(), deadline: limits::LIVE_TIME, ..call.limits() };
    let fields = call.request.parameter("fields").map(rows::fields).transpose()?;
    let tail = Tail { dataset: dataset.to_owned(), filter, fields, limits };
    let (store, snapshot) = (&call.service.store, call.snapshot());
    let dataset = tail.dataset(&snapshot)?;
    let last = dataset.next_seq - 1;
    // who is bound to some rows could learn from it how many there are of others
    let is_bound = tail.limits.reach.filter().is_some();
    let begins_at = match after {
        // an id that is not given yet is of a dataset that this one took the place of
        Some(after) if after > last && !is_bound => 0,
        Some(after) => after,
        None => last,
    };
    // what was missed is found here, where it holds nobody up; what is wrong with the condition is told now
    let missed = tail.news(store, &snapshot, begins_at, last)?;
    let id = if after.is_some() { begins_at } else { tail.newest(store, &snapshot)? };
    let first = [tail::ready(&tail.dataset, id)].into_iter().chain(missed).collect();
    Ok(Watch::Tail { tail, dataset_id: dataset.id, behind: last, first })
}

/// The id of the last message that the client has.
fn after(request: &Request) -> Result<Option<i64>> {
    let number = |name: &str, text: &str| {
        text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(|| {
            Error::invalid(format!("{name} is the id of a message, such as 1200, not \"{text}\""))
        })
    };
    // a browser that connects again sends the last id, and the address as it was
    match request.header_values("last-event-id").find(|id| !id.is_empty()) {
        Some(id) => number("Last-Event-ID", id).map(Some),
        None => request.parameter("after").map(|after| number("after", after)).transpose(),
    }
}

/// How the client wants to be spoken to, or why it is not.
fn form(request: &Request) -> Result<Result<Form, Response>> {
    let is_websocket = |value: &str| value.split(',').any(|one| one.trim().eq_ignore_ascii_case("websocket"));
    if !request.header_values("upgrade").any(is_websocket) {
        if negotiate::names(request, "text/event-stream") {
            return Ok(Ok(Form::Events));
        }
        let detail = "this is told to a WebSocket, or as server-sent events to who accepts them: curl -N -H 'Accept: \
                      text/event-stream' …";
        return Ok(Err(Problem::new(NOT_ACCEPTABLE, detail).into_response()));
    }
    if !request.header_values("sec-websocket-version").any(|version| version == "13") {
        let mut refusal =
            Problem::new(UPGRADE, "the only version of WebSockets that is spoken here is 13").into_response();
        refusal.headers.push(("Sec-WebSocket-Version", "13".into()));
        return Ok(Err(refusal));
    }
    let mut keys = request.header_values("sec-websocket-key");
    let key = keys.next().filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    let (Some(key), None) = (key, keys.next()) else {
        return Err(Error::invalid("Sec-WebSocket-Key is there once, 16 bytes in base64"));
    };
    let accept = STANDARD.encode(Sha1::digest(format!("{key}{HANDSHAKE}")));
    Ok(Ok(Form::WebSocket { accept, is_packed: takes_packed(request) }))
}

/// Whether one of the ways to pack messages that the client offers is ours (RFC 7692, 7.1): each message by itself, with the usual
/// window.
fn takes_packed(request: &Request) -> bool {
    let is_ours = |offer: &str| {
        let mut parts = offer.split(';').map(str::trim);
        let mut seen: Vec<&str> = Vec::new();
        parts.next() == Some("permessage-deflate")
            && parts.all(|part| {
                let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| {
                    (name.trim(), Some(value.trim().trim_matches('"')))
                });
                let is_first = !seen.contains(&name);
                seen.push(name);
                is_first
                    && match name {
                        "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                        // how large the client's own window is, is all the same to who takes nothing
                        "client_max_window_bits" => {
                            value.is_none_or(|bits| bits.parse().is_ok_and(is_window))
                        }
                        "server_max_window_bits" => value == Some("15"),
                        _ => false,
                    }
            })
    };
    request
        .header_values("sec-websocket-extensions")
        .any(|all| all.split(',').any(|offer| is_ours(offer.trim())))
}

fn is_window(bits: u8) -> bool {
    (8..=15).contains(&bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(headers: &[(&'static str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Request { headers, ..Request::default() }
    }

    #[test]
    fn a_handshake_is_answered_as_the_rfc_has_it() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (upgrade, version) = (("upgrade", "websocket"), ("sec-websocket-version", "13"));
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
        let found = form(&asking(&[upgrade, version, key])).unwrap().unwrap();
        assert_eq!(found, Form::WebSocket { accept, is_packed: false });
        let other = form(&asking(&[upgrade, ("sec-websocket-version", "8"), key])).unwrap().unwrap_err();
        assert_eq!((other.status, other.header("sec-websocket-version")), (426, Some("13")));
        for wrong in ["", "x", "dGhlIHNhbXBsZQ=="] {
            assert!(form(&asking(&[upgrade, version, ("sec-websocket-key", wrong)])).is_err(), "{wrong}");
        }
        assert!(form(&asking(&[upgrade, version, key, key])).is_err(), "twice");
        assert!(form(&asking(&[upgrade, version])).is_err(), "none");
    }

    #[test]
    fn messages_are_packed_for_who_takes_them_as_we_pack_them() {
        let takes = |offers: &[&str]| {
            let headers: Vec<_> = offers.iter().map(|offer| ("sec-websocket-extensions", *offer)).collect();
            takes_packed(&asking(&headers))
        };
        for ours in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=12; server_max_window_bits=\"15\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "x-other, permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert!(takes(&[ours]), "{ours}");
        }
        assert!(takes(&["x-other", "permessage-deflate"]));
        for other in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; more",
            "permessage-deflatee",
        ] {
            assert!(!takes(&[other]), "{other}");
        }
        assert!(!takes(&[]));
    }

    #[test]
    fn events_are_for_who_asks_for_them() {
        let events = |accept| form(&asking(&[("accept", accept)])).unwrap();
        assert_eq!(events("text/event-stream").unwrap(), Form::Events);
        assert_eq!(events("text/html, text/event-stream;q=0.5").unwrap(), Form::Events);
        for other in ["*/*", "application/json", "text/event-stream;q=0"] {
            assert_eq!(events(other).unwrap_err().status, 406, "{other}");
        }
    }
}
