//! `Idempotency-Key`: a request that creates something and is sent again, because its reply was lost, creates it once.
//! `routes` runs the routes of [`CREATING`] through [`run`]: the first reply is kept with what it tells of (`store/replies`)
//! and given again; the same key with another body is 422, one that is still in flight 409. What failed for reasons that
//! pass (5xx, 429) is not kept. The idea is that of draft-ietf-httpapi-idempotency-key-header.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};
use crate::http::message::{Method, Request, Response};
use crate::http::problem::{self, Problem};
use crate::http::routes::{Call, Handler, Route};
use crate::limits;
use crate::store::queue::{OnceOf, Submitted};
use crate::store::replies::{Asked, KeptReply, Once};
use crate::time;

/// The header, as `message` keeps it.
pub const HEADER: &str = "idempotency-key";
/// Is there where a reply is given again.
pub const REPLAYED: &str = "Idempotent-Replayed";

/// The routes that create something.
pub const CREATING: [(Method, &str); 2] =
    [(Method::Post, "/v1/datasets/{dataset}/events"), (Method::Post, "/v1/jobs")];

/// Whether a route creates something.
pub fn applies(route: &Route) -> bool {
    CREATING.contains(&(route.method, route.pattern))
}

/// The requests with a key that are being answered, and what tells the time.
#[derive(Debug)]
pub struct Idempotency {
    in_flight: Mutex<HashSet<[u8; 32]>>,
    clock: fn() -> i64,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self::with_clock(time::now)
    }
}

impl Idempotency {
    /// One that asks a clock for the µs since 1970.
    pub fn with_clock(clock: fn() -> i64) -> Self {
        Self { in_flight: Mutex::default(), clock }
    }

    /// Enters a request until the guard is dropped; `None` where it is being answered already.
    fn enter(&self, request: [u8; 32]) -> Option<InFlight<'_>> {
        let is_first = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(request);
        // lazily: a guard that is made for another one and dropped would let a third in
        is_first.then(|| InFlight { among: self, request })
    }
}

struct InFlight<'a> {
    among: &'a Idempotency,
    request: [u8; 32],
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.among.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.request);
    }
}

/// What a handler has of a request with a key: the way to keep its reply in the transaction of what it creates.
#[derive(Debug)]
pub struct Ticket {
    asked: Asked,
    is_kept: Cell<bool>,
}

impl Ticket {
    /// The reply that is to be committed; `body` makes it of the number of items that were there already.
    pub fn once(&self, body: impl Fn(u64) -> Result<Response> + Send + Sync + 'static) -> Once {
        let reply = move |duplicates| kept(&body(duplicates).unwrap_or_else(|e| problem::response(&e)));
        Once { asked: self.asked, reply: Arc::new(reply) }
    }

    /// The reply that is to be committed with jobs; `body` makes it of what became of them.
    pub fn once_of(&self, body: impl Fn(&[Submitted]) -> Result<Response> + Send + Sync + 'static) -> OnceOf {
        let asked = self.asked;
        OnceOf(Arc::new(move |submitted| {
            let reply = kept(&body(submitted).unwrap_or_else(|e| problem::response(&e)));
            Once { asked, reply: Arc::new(move |_| reply.clone()) }
        }))
    }

    /// Notes that it was committed.
    pub fn set_kept(&self) {
        self.is_kept.set(true);
    }
}

/// Answers a request of a route that creates something.
///
/// # Errors
/// Those of the handler, and a key that is none.
pub fn run(call: &mut Call<'_>, handler: Handler) -> Result<Response> {
    let Some(key) = key(call.request)? else { return handler(call) };
    let (service, request) = (call.service, call.request);
    let asked = Asked {
        request: request_hash(&call.access.name(), request, key),
        fingerprint: fingerprint(request),
        at_us: (service.idempotency.clock)(),
    };
    let Some(_in_flight) = service.idempotency.enter(asked.request) else {
        let detail = format!(
            "a request with the Idempotency-Key \"{key}\" is being answered; send it again once that is done"
        );
        return Ok(Problem::new(problem::IN_FLIGHT, detail).retried_after(1).into_response());
    };
    if let Some((fingerprint, reply)) = service.store.kept_reply(&asked.request, asked.at_us)? {
        if fingerprint != asked.fingerprint {
            let detail = format!(
                "the Idempotency-Key \"{key}\" was used for a request with another body or other parameters; a new \
                 request needs a new key"
            );
            return Ok(Problem::new(problem::KEY_REUSED, detail).into_response());
        }
        return Ok(given_again(reply));
    }
    let ticket = Ticket { asked, is_kept: Cell::new(false) };
    let outcome =
        handler(&Call { once: Some(&ticket), captured: std::mem::take(&mut call.captured), ..*call });
    let response = outcome.unwrap_or_else(|error| problem::response(&error));
    if !ticket.is_kept.get() && is_final(response.status) {
        let reply = kept(&response);
        let once = Once { asked, reply: Arc::new(move |_| reply.clone()) };
        if let Err(e) = service.store.keep_reply(once) {
            // nothing was created, so who sends it again is told the same
            tracing::warn!("the reply of a request with an Idempotency-Key is not kept: {e}");
        }
    }
    Ok(response)
}

/// Whether the same request would have the same reply again.
fn is_final(status: u16) -> bool {
    status < 500 && status != 429
}

fn key(request: &Request) -> Result<Option<&str>> {
    let mut keys = request.header_values(HEADER).map(str::trim);
    let Some(key) = keys.next() else { return Ok(None) };
    let is_plain = key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if key.is_empty() || key.len() > limits::IDEMPOTENCY_KEY_BYTES || !is_plain || keys.next().is_some() {
        return Err(Error::invalid(format!(
            "Idempotency-Key is there once, with 1 to {} printable ASCII characters, such as a random UUID",
            limits::IDEMPOTENCY_KEY_BYTES
        )));
    }
    Ok(Some(key))
}

/// Two who take the same key do not meet; with `--no-auth` everybody is one.
fn request_hash(who: &str, request: &Request, key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [who, request.method.name(), &request.path, key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

fn fingerprint(request: &Request) -> [u8; 16] {
    let mut hash = Xxh3::new();
    let parameters = request.parameters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
    for part in parameters.chain(request.header_values("content-encoding")) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(&u64::MAX.to_le_bytes());
    hash.update(&request.body);
    hash.digest128().to_be_bytes()
}

fn kept(response: &Response) -> KeptReply {
    KeptReply {
        status: response.status,
        content_type: response.header("content-type").unwrap_or_default().to_owned(),
        body: response.body.clone(),
    }
}

fn given_again(reply: KeptReply) -> Response {
    let mut response = Response { status: reply.status, body: reply.body, ..Response::default() };
    if !reply.content_type.is_empty() {
        response.headers.push(("Content-Type", reply.content_type.into()));
    }
    response.headers.push((REPLAYED, "true".into()));
    response
}

#[cfg(test)]
mod tests;
