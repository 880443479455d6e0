//! How often and how much a client may ask: which policies of `limiter` bind a request, the 429 and 503 where they refuse, and
//! the headers by which a client paces itself (draft-ietf-httpapi-ratelimit-headers-10). `routes` asks [`admit`] before a
//! handler runs and [`Admission::settle`] with its reply.
//!
//! Rates bind anonymous clients, and keys without limits of their own by the default ones. Who is [`Subject::Unlimited`] (with
//! `--no-auth` everybody, else administrators and the signed-in browser) is bound in what goes on at once alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::http::Service;
use crate::http::access::{self, Access};
use crate::http::live;
use crate::http::message::{Method, Request, Response};
use crate::http::problem::{self, Problem};
use crate::http::routes::Route;
use crate::limiter::policy::{self, Policy};
use crate::limiter::slots::Slot;
use crate::limiter::{Standing, Verdict, Who};
use crate::store::keys::KeyLimits;

/// Who asks, as limits see it.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Bound by no rate.
    Unlimited,
    /// A key, and what it is bound by where that is not the default.
    Key {
        /// Its id.
        id: Arc<str>,
        /// Policies of its own, by the names of the default ones; where there are any, the default ones do not bind it.
        own: Option<Arc<[Arc<Policy>]>>,
    },
    /// A client without a key.
    Address(IpAddr),
}

/// Who asks: a key by its own limits where it has some, an administrator by none.
pub fn subject(access: &Access, request: &Request) -> Subject {
    match access.who() {
        _ if access.is_admin() => Subject::Unlimited,
        access::Who::Key(key, _) => {
            Subject::Key { id: Arc::clone(&key.id), own: key.grant.limits.as_ref().map(own_policies) }
        }
        _ => request.address.map_or(Subject::Unlimited, Subject::Address),
    }
}

/// The limits of a key as policies; what it says nothing of is unlimited.
fn own_policies(limits: &KeyLimits) -> Arc<[Arc<Policy>]> {
    let named = [
        (policy::GENERAL, limits.requests_per_minute, policy::Unit::Requests),
        (policy::EVENTS, limits.events_per_minute, policy::Unit::Events),
        (policy::BYTES, limits.bytes_per_minute, policy::Unit::Bytes),
    ];
    named
        .into_iter()
        .filter_map(|(name, quota, unit)| Some(Arc::new(Policy::per_minute(name, quota?, unit))))
        .collect()
}

/// What a request costs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing that counts: what watchers ask.
    Free,
    /// Little.
    General,
    /// A look at much of the data.
    Heavy,
    /// What is in its body.
    Ingest,
}

/// The routes that are not [`Class::General`].
const CLASSES: [(Method, &str, Class); 18] = [
    (Method::Get, "/healthz", Class::Free),
    (Method::Get, "/readyz", Class::Free),
    (Method::Get, "/openapi.json", Class::Free),
    (Method::Get, "/", Class::Heavy),
    (Method::Get, "/v1/datasets/{dataset}/search", Class::Heavy),
    (Method::Post, "/v1/query", Class::Heavy),
    (Method::Post, "/v1/sql", Class::Heavy),
    (Method::Post, "/v1/funnel", Class::Heavy),
    (Method::Post, "/v1/retention", Class::Heavy),
    (Method::Post, "/v1/paths", Class::Heavy),
    (Method::Post, "/v1/cache/warm", Class::Heavy),
    (Method::Post, "/v1/performance/optimize", Class::Heavy),
    (Method::Get, "/v1/performance/recommendations", Class::Heavy),
    (Method::Delete, "/v1/datasets/{dataset}/events", Class::Heavy),
    (Method::Patch, "/v1/datasets/{dataset}/records", Class::Heavy),
    (Method::Delete, "/v1/datasets/{dataset}/records", Class::Heavy),
    (Method::Post, "/v1/datasets/{dataset}/events", Class::Ingest),
    (Method::Put, "/v1/datasets/{dataset}/records", Class::Ingest),
];

/// The class of a request: who watches a question asks one.
pub fn class_of(route: &Route, request: &Request) -> Class {
    let asks = route.pattern == live::PATH && request.parameter("query").is_some();
    if asks { Class::Heavy } else { class(route) }
}

/// The class of a route.
pub fn class(route: &Route) -> Class {
    let found =
        CLASSES.iter().find(|(method, pattern, _)| *method == route.method && *pattern == route.pattern);
    found.map_or(Class::General, |(.., class)| *class)
}

/// A request that was let in.
#[derive(Debug)]
pub struct Admission<'a> {
    service: &'a Service,
    who: Who,
    /// What binds it and what was taken of each.
    taken: Vec<(Arc<Policy>, u64)>,
    verdict: Verdict,
    since: Instant,
    /// Free again when the reply is made.
    _slot: Option<Slot<'a>>,
}

/// Lets a request with a body of so many bytes in, or says why not.
///
/// # Errors
/// The reply: 429 where a rate is used up, 503 where too much goes on at once.
pub fn admit<'a>(
    service: &'a Service,
    subject: &Subject,
    class: Class,
    body_bytes: usize,
) -> Result<Admission<'a>, Box<Response>> {
    let who = match subject {
        Subject::Unlimited => Who::Everyone,
        Subject::Key { id, .. } => Who::Key(Arc::clone(id)),
        Subject::Address(ip) => Who::address(*ip),
    };
    let taken = wanted(service, subject, class, body_bytes);
    // who is bound by nothing waits for nobody
    let verdict = if taken.is_empty() { Verdict::default() } else { service.limiter.take(&who, &taken) };
    if !verdict.is_allowed() {
        return Err(Box::new(exceeded(&verdict)));
    }
    let mut slot = None;
    if class == Class::Heavy {
        let limits = &service.rate_limits;
        let is_unlimited = matches!(subject, Subject::Unlimited);
        let most = if is_unlimited { limits.concurrent_unlimited } else { limits.concurrent };
        slot = service.slots.take(&who, most);
        if slot.is_none() {
            for (policy, amount) in &taken {
                service.limiter.give_back(&who, policy, *amount);
            }
            return Err(Box::new(problem::response(&Error::Busy {
                detail: format!(
                    "{most} requests like this one are being answered already; wait for one of them"
                ),
                retry_after_s: 1,
            })));
        }
    }
    Ok(Admission { service, who, taken, verdict, since: Instant::now(), _slot: slot })
}

/// The policies that bind a request, and what it takes of each at once.
fn wanted(service: &Service, subject: &Subject, class: Class, body_bytes: usize) -> Vec<(Arc<Policy>, u64)> {
    let own = match subject {
        Subject::Unlimited => return Vec::new(),
        Subject::Key { own, .. } => own.as_ref(),
        Subject::Address(_) => None,
    };
    let named = |name: &str| match own {
        Some(own) => own.iter().find(|policy| *policy.name == *name),
        None => service.rate_limits.named(name),
    };
    let names: &[(&str, u64)] = match class {
        Class::Free => &[],
        Class::General => &[(policy::GENERAL, 1)],
        Class::Heavy => &[(policy::GENERAL, 1), (policy::HEAVY, 1)],
        // how many events there are is told by the handler
        Class::Ingest => &[(policy::EVENTS, 0), (policy::BYTES, body_bytes as u64)],
    };
    names.iter().filter_map(|(name, amount)| Some((Arc::clone(named(name)?), *amount))).collect()
}

impl Admission<'_> {
    /// Charges for so many events, gives back what does not count, and adds the headers to the reply.
    pub fn settle(self, events: u64, response: &mut Response) {
        if self.taken.is_empty() {
            return;
        }
        let limiter = &self.service.limiter;
        for (policy, amount) in &self.taken {
            if policy.unit == policy::Unit::Events {
                limiter.charge(&self.who, policy, events);
            } else if response.status >= 400 && !policy.counts_failures {
                limiter.give_back(&self.who, policy, *amount);
            }
            limiter.observe(policy, response.status >= 500, self.since.elapsed());
        }
        headers(&self.verdict, response);
    }
}

/// The 429 with what was violated.
fn exceeded(verdict: &Verdict) -> Response {
    let wait_s = seconds(verdict.wait()).max(1);
    let told: Vec<String> = verdict.violated().map(told).collect();
    let detail = format!("{}; repeat the request in {wait_s} s", told.join(", and "));
    let names = verdict.violated().map(|standing| standing.policy.name.to_string());
    let problem = Problem::new(problem::QUOTA, detail).violating(names.collect());
    let mut response = problem.retried_after(u32::try_from(wait_s).unwrap_or(u32::MAX)).into_response();
    headers(verdict, &mut response);
    response
}

fn told(standing: &Standing) -> String {
    let Policy { name, rate, unit, .. } = &*standing.policy;
    let what = match unit {
        policy::Unit::Requests => "requests",
        policy::Unit::Events => "events",
        policy::Unit::Bytes => "bytes",
    };
    format!("the limit \"{name}\" of {} {what} in {} s is used up", rate.quota, rate.window.as_secs())
}

/// `RateLimit-Policy` and `RateLimit`: lists of structured fields, an item a policy.
fn headers(verdict: &Verdict, response: &mut Response) {
    let items =
        |item: fn(&Standing) -> String| verdict.standings.iter().map(item).collect::<Vec<_>>().join(", ");
    let policies = items(|standing| {
        let Policy { name, rate, unit, .. } = &*standing.policy;
        let unit = unit.quota_unit().map(|unit| format!(";qu=\"{unit}\"")).unwrap_or_default();
        format!("\"{name}\";q={}{unit};w={}", rate.quota, rate.window.as_secs())
    });
    let left = items(|standing| {
        format!("\"{}\";r={};t={}", standing.policy.name, standing.remaining, seconds(standing.reset))
    });
    response.headers.push(("RateLimit-Policy", policies.into()));
    response.headers.push(("RateLimit", left.into()));
}

/// Whole seconds, the begun one included.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
