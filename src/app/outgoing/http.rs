//! Jobs of the kind `http`: a call, redirects that are followed, and what came of it as the result of the job and as an event. Every hop
//! has its addresses looked up once, looked at, and connected to; what was named for one server is not sent to another.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::outgoing::call::{Call, not_public};
use crate::app::outgoing::exchange::{Asked, Reply, Trouble, exchange};
use crate::app::outgoing::url::Url;
use crate::app::outgoing::wire::{Watch, Wire, resolve};
use crate::error::{Error, Result};
use crate::jobs::{Again, Context, Effects, Failure, Kind, Outcome};
use crate::limits;
use crate::private::Private;

/// Headers of a reply that are kept.
const KEPT_HEADERS: [&str; 6] =
    ["content-type", "etag", "last-modified", "location", "retry-after", "x-request-id"];
/// Headers of a request that tell nothing of whom it is from, and may go to another server.
const HARMLESS_HEADERS: [&str; 5] =
    ["accept", "accept-language", "content-language", "content-type", "user-agent"];
/// Bytes of a body that an error shows.
const SHOWN_BYTES: usize = 200;

/// The kind, with the private addresses that its jobs may call.
pub(super) fn kind(private: Private) -> Kind {
    let checked = private.clone();
    let kind = Kind::new("http", move |context| run(context, &private));
    let kind = kind.with_check(move |payload| Call::of(payload)?.check_address(&checked));
    Kind { queue: "http".into(), waits: true, ..kind }
}

/// What came of a call.
struct Met {
    url: Url,
    reply: Reply,
}

fn failure(error: Error, again: Again) -> Failure {
    Failure { error, again }
}

fn run(context: &Context, private: &Private) -> Result<Outcome> {
    let call = Call::of(context.payload())?;
    let begun = Instant::now();
    let met = follow(&call, Watch { ends: context.ends(), until: begun + call.timeout }, private);
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (mut told, failure) = match met {
        Ok(met) => {
            let mut told = told(&call, &met);
            told["elapsed_ms"] = elapsed_ms.into();
            let failure = failed(&call, &met).or_else(|| too_much(&mut told));
            (told, failure)
        }
        Err(failure) => {
            // being told to end is no trouble of the network
            let error = context.check().err().unwrap_or(failure.error);
            (
                json!({"url": call.url.to_string(), "elapsed_ms": elapsed_ms}),
                Some(Failure { error, ..failure }),
            )
        }
    };
    let result = told.clone();
    let effects = match &call.dataset {
        None => Effects::default(),
        Some(dataset) => {
            told["url"] = call.url.to_string().into();
            told["method"] = call.method.into();
            told["job"] = context.id().into();
            told["attempt"] = context.attempt().into();
            told["failed"] = failure.is_some().into();
            if let Some(failure) = &failure {
                told["error"] = failure.error.to_string().into();
            }
            Effects::default().events(dataset, told.to_string())
        }
    };
    Ok(Outcome { result, effects, failure })
}

/// A reply as it is kept.
fn told(call: &Call, met: &Met) -> Value {
    let Met { url, reply } = met;
    let headers =
        KEPT_HEADERS.into_iter().filter_map(|name| Some((name.to_owned(), reply.header(name)?.into())));
    let headers = Value::Object(headers.collect());
    let bytes = reply.body.len();
    let mut told =
        json!({"url": url.to_string(), "status": reply.status, "bytes": bytes, "headers": headers});
    if call.keeps_body && !reply.body.is_empty() {
        let is_json =
            reply.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
        let json = is_json.then(|| serde_json::from_slice(&reply.body).ok()).flatten();
        match (json, std::str::from_utf8(&reply.body)) {
            (Some(json), _) => told["body"] = json,
            (None, Ok(text)) => told["body"] = text.into(),
            (None, Err(_)) => told["body_base64"] = STANDARD.encode(&reply.body).into(),
        }
    }
    told
}

/// The failure that a status is.
fn failed(call: &Call, met: &Met) -> Option<Failure> {
    let status = met.reply.status;
    if call.expects(status) {
        return None;
    }
    let shown = String::from_utf8_lossy(&met.reply.body);
    let shown = &shown[..shown.floor_char_boundary(SHOWN_BYTES)];
    let error =
        Error::Conflict(format!("{} {} came back with status {status}: {shown}", call.method, met.url));
    let seconds = met.reply.header("retry-after").and_then(|text| text.parse().ok());
    let again = match (status, seconds) {
        (408 | 425 | 429 | 500.., Some(seconds)) => Again::After(Duration::from_secs(seconds)),
        (408 | 425 | 429 | 500.., None) => Again::AsUsual,
        _ => Again::Never,
    };
    Some(failure(error, again))
}

/// The failure that a reply is which does not fit into what is kept of a job; its body goes.
fn too_much(told: &mut Value) -> Option<Failure> {
    let bytes = told.to_string().len();
    if bytes <= limits::JOB_BYTES {
        return None;
    }
    for name in ["body", "body_base64"] {
        told.as_object_mut().map(|told| told.remove(name));
    }
    let error = Error::TooLarge(format!(
        "the reply makes a result of {bytes} bytes of JSON, and {} is the most; ask for less of it, or set keep_body to false",
        limits::JOB_BYTES
    ));
    Some(failure(error, Again::Never))
}

/// Calls, and goes where redirects lead.
fn follow(call: &Call, watch: Watch<'_>, private: &Private) -> Result<Met, Failure> {
    let (mut url, mut method, mut body) = (call.url.clone(), call.method, call.body.as_deref());
    let mut headers = call.headers.clone();
    let mut left = call.redirects;
    loop {
        let asked = Asked { method, url: &url, headers: &headers, body };
        let reply = hop(&asked, call.most, watch, private)?;
        let is_redirect = matches!(reply.status, 301 | 302 | 303 | 307 | 308) && call.redirects > 0;
        let Some(location) =
            reply.header("location").filter(|_| is_redirect && !call.expects_exactly(reply.status))
        else {
            return Ok(Met { url, reply });
        };
        let never = |error: Error| failure(error, Again::Never);
        let next = url.join(location).map_err(never)?;
        if left == 0 {
            let what =
                format!("{} was redirected more than {} times, last to {next}", call.url, call.redirects);
            return Err(never(Error::Conflict(what)));
        }
        left -= 1;
        if url.is_encrypted && !next.is_encrypted {
            let what =
                format!("{url} leads to {next}, from what is encrypted to what is not; that is not followed");
            return Err(never(Error::Conflict(what)));
        }
        let turns_to_get =
            reply.status == 303 && method != "HEAD" || matches!(reply.status, 301 | 302) && method == "POST";
        if turns_to_get {
            (method, body) = ("GET", None);
            headers.retain(|(name, _)| !name.starts_with("content-"));
        }
        if !url.is_of_same_server(&next) {
            headers.retain(|(name, _)| HARMLESS_HEADERS.contains(&name.as_str()));
        }
        url = next;
    }
}

/// One request to one server.
fn hop(asked: &Asked<'_>, most: usize, watch: Watch<'_>, private: &Private) -> Result<Reply, Failure> {
    let url = asked.url;
    let io = |e: io::Error| failure(Error::io(format!("{} {url}", asked.method), e), Again::AsUsual);
    let mut addresses = resolve(&url.host, url.port, watch).map_err(io)?;
    let first = addresses.first().map(SocketAddr::ip);
    addresses.retain(|address| private.permits(address.ip()));
    if let (Some(address), true) = (first, addresses.is_empty()) {
        return Err(failure(not_public(&url.host, &address.to_string()), Again::Never));
    }
    let mut wire = Wire::connect(&addresses, watch).map_err(io)?;
    let told = if url.is_encrypted {
        exchange(&mut wire.encrypt(&url.host).map_err(io)?, asked, most)
    } else {
        exchange(&mut wire, asked, most)
    };
    told.map_err(|trouble| match trouble {
        Trouble::Io(e) => io(e),
        Trouble::TooLarge(what) => {
            failure(Error::TooLarge(format!("{} {url}: {what}", asked.method)), Again::Never)
        }
        Trouble::Strange(what) => {
            failure(Error::Conflict(format!("{} {url}: {what}", asked.method)), Again::AsUsual)
        }
    })
}
