//! What is told as it happens: `GET /v1/live`. The handler lets a client in and joins its line to the hub; from then on the
//! connection is the guard's and the hub's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::error::{Error, Result};
use crate::http::access::Who;
use crate::http::access::origin::Origin;
use crate::http::api::rows;
use crate::http::live::hub::Subscription;
use crate::http::live::line::Form;
use crate::http::live::tail::{self, Tail};
use crate::http::message::{Method, Request, Response};
use crate::http::negotiate;
use crate::http::problem::{CROSS_SITE, NOT_ACCEPTABLE, Problem, UPGRADE};
use crate::http::routes::Call;
use crate::limits;
use crate::query::budget::Limits;

/// What the route takes.
pub const PARAMETERS: [&str; 4] = ["dataset", "where", "fields", "after"];

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
    let (tail, after) = read(call)?;
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
    let (dataset_id, line_of_hub) = (dataset.id, Arc::downgrade(line));
    let subscription = Subscription { line: line_of_hub, tail, dataset_id, behind: last, first, credentials };
    call.service.live.join(subscription)?;
    line.open(form);
    Ok(response)
}

/// What is watched, and behind which `_seq`.
fn read(call: &Call<'_>) -> Result<(Tail, Option<i64>)> {
    let request = call.request;
    let text = |name| request.parameter(name).map(str::to_owned);
    let dataset = text("dataset").ok_or_else(|| {
        Error::invalid(
            "a parameter says what is watched: dataset=NAME for the rows of a dataset as they come",
        )
    })?;
    let filter = text("where");
    if let Some(filter) = &filter {
        crate::query::parse::filter(filter)?;
    }
    let number = |name: &str, text: &str| {
        text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(|| {
            Error::invalid(format!("{name} is the id of a message, such as 1200, not \"{text}\""))
        })
    };
    // a browser that connects again sends the last id, and the address as it was
    let behind = match request.header_values("last-event-id").find(|id| !id.is_empty()) {
        Some(id) => Some(number("Last-Event-ID", id)?),
        None => request.parameter("after").map(|after| number("after", after)).transpose()?,
    };
    let limits = Limits { abandoned: Arc::default(), deadline: limits::LIVE_TIME, ..call.limits() };
    let fields = request.parameter("fields").map(rows::fields).transpose()?;
    Ok((Tail { dataset, filter, fields, limits }, behind))
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
    Ok(Ok(Form::WebSocket { accept }))
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
        assert_eq!(found, Form::WebSocket { accept });
        let other = form(&asking(&[upgrade, ("sec-websocket-version", "8"), key])).unwrap().unwrap_err();
        assert_eq!((other.status, other.header("sec-websocket-version")), (426, Some("13")));
        for wrong in ["", "x", "dGhlIHNhbXBsZQ=="] {
            assert!(form(&asking(&[upgrade, version, ("sec-websocket-key", wrong)])).is_err(), "{wrong}");
        }
        assert!(form(&asking(&[upgrade, version, key, key])).is_err(), "twice");
        assert!(form(&asking(&[upgrade, version])).is_err(), "none");
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
