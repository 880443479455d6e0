//! What there is to call: one `table` of method, path, parameters, what it needs of its caller, and handler. `server` hands
//! every request to [`answer`], which finds its row and runs it.

mod table;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::error::{Error, Result, nearest};
use crate::http::Service;
use crate::http::access::audit::Entry;
use crate::http::access::{Access, Need, origin};
use crate::http::body;
use crate::http::idempotency::Ticket;
use crate::http::message::{Method, Request, Response, decode_segment};
use crate::http::problem::{self, Problem};
use crate::http::{idempotency, limiting, negotiate, unchanged};
use crate::query::budget::Limits;
use crate::store::snapshot::Snapshot;

pub use table::ROUTES;

/// A request with what its handler needs.
pub struct Call<'a> {
    /// The engine.
    pub service: &'a Service,
    /// The request.
    pub request: &'a Request,
    /// The parts of the path that stand for `{…}` of the pattern, decoded.
    pub captured: Vec<String>,
    /// Who asks, and what he may.
    pub access: &'a Access,
    /// What the audit log says that it was done to, where that is not what the path names.
    pub subject: &'a RefCell<Option<String>>,
    /// Where the request has an `Idempotency-Key`: the way to keep its reply with what it creates.
    pub once: Option<&'a Ticket>,
    /// Events or records that its body turned out to have.
    pub events: &'a Cell<u64>,
}

/// What answers a route.
pub type Handler = fn(&Call<'_>) -> Result<Response>;

impl Call<'_> {
    /// The first captured part: the dataset, on all paths that have one.
    pub fn dataset(&self) -> &str {
        self.captured.first().map_or("", String::as_str)
    }

    /// What is there as of the last commit. Which of it the caller may touch, the reach in [`Call::limits`] tells.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.service.store.snapshot()
    }

    /// What a question of this request may take and touch: what those of the server may, until its client goes away, within
    /// the reach of the caller.
    pub fn limits(&self) -> Limits {
        let reach = match self.access.reach() {
            reach if reach.is_everything() => Arc::clone(&self.service.limits.reach),
            reach => Arc::clone(reach),
        };
        Limits { abandoned: Arc::clone(&self.request.abandoned), reach, ..self.service.limits.clone() }
    }
}

/// One row of the table.
pub struct Route {
    /// The method; GET answers HEAD too.
    pub method: Method,
    /// The path; `{name}` stands for one part of it.
    pub pattern: &'static str,
    /// The parameters that it takes; others are refused.
    pub parameters: &'static [&'static str],
    /// What it does, in one line.
    pub doc: &'static str,
    /// What it needs of its caller.
    pub need: Need,
    pub(super) handler: Handler,
}

/// Answers a request: finds its route and runs it.
pub fn answer(service: &Service, request: &Request) -> Response {
    let outcome = match (service.gate.check_host(request), find(request)) {
        (Err(refused), _) => Ok(refused),
        (Ok(()), Found::Route(route)) => run(route, service, request),
        (Ok(()), Found::Options(there)) if is_preflight(service, request, &there) => Ok(origin::preflight()),
        (Ok(()), Found::Options(there)) => Ok(options(&there)),
        (Ok(()), Found::OtherMethods(there)) => Ok(other_methods(request, &there)),
        (Ok(()), Found::Nothing) => {
            // every short path is near to "/"
            let patterns = ROUTES.iter().map(|route| route.pattern).filter(|pattern| *pattern != "/");
            let near = nearest(&request.path, patterns);
            let hint = if near.is_empty() { "; GET /v1/datasets lists what there is" } else { &near };
            Err(Error::NotFound(format!("there is no path {}{hint}", request.path)))
        }
    };
    let response = outcome.unwrap_or_else(|error| problem::response(&error));
    body::encode(request, unchanged::tagged(request, response))
}

enum Found {
    Route(&'static Route),
    Options(Vec<&'static Route>),
    OtherMethods(Vec<&'static Route>),
    Nothing,
}

fn find(request: &Request) -> Found {
    let wanted = if request.method == Method::Head { Method::Get } else { request.method };
    let there = || ROUTES.iter().filter(|route| matches(route.pattern, &request.path));
    if request.method == Method::Options {
        // "*" is the server as a whole
        let all: Vec<&Route> = if request.path == "*" { ROUTES.iter().collect() } else { there().collect() };
        return if all.is_empty() { Found::Nothing } else { Found::Options(all) };
    }
    if let Some(route) = there().find(|route| route.method == wanted) {
        return Found::Route(route);
    }
    let others: Vec<&'static Route> = there().collect();
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}

/// With `--no-auth` there are no keys, so no page of another server has any business here.
fn is_preflight(service: &Service, request: &Request, there: &[&Route]) -> bool {
    !service.gate.is_open() && there.iter().any(|route| origin::is_preflight(request, route.pattern))
}

/// The methods of routes, those that every path has included, for `Allow`.
fn allowed(there: &[&Route]) -> String {
    let has = |method: Method| {
        let of = if method == Method::Head { Method::Get } else { method };
        method == Method::Options || there.iter().any(|route| route.method == of)
    };
    let names: Vec<&str> =
        Method::ALL.iter().filter(|(method, _)| has(*method)).map(|(_, name)| *name).collect();
    names.join(", ")
}

fn options(there: &[&Route]) -> Response {
    let mut response = Response::no_content();
    response.headers.push(("Allow", allowed(there).into()));
    response
}

fn other_methods(request: &Request, there: &[&Route]) -> Response {
    let allowed = allowed(there);
    let detail = format!("{} does not take {}; it takes {allowed}", request.path, request.method.name());
    let mut response = Problem::new(problem::METHOD, detail).into_response();
    response.headers.push(("Allow", allowed.into()));
    response
}

fn run(route: &Route, service: &Service, request: &Request) -> Result<Response> {
    let parts = route.pattern.split('/').zip(request.path.split('/'));
    let captured: Result<Vec<String>> =
        parts.filter(|(pattern, _)| is_place(pattern)).map(|(_, part)| decode_segment(part)).collect();
    let captured = captured?;
    let dataset = captured.first().filter(|_| route.pattern.contains(DATASET)).map(String::as_str);
    let access = match service.gate.admit(&service.store, request, route.need, dataset) {
        Ok(access) => access,
        Err(refused) => return Ok(refused),
    };
    let (events, subject) = (Cell::new(0), RefCell::default());
    let (access, events, subject) = (&access, &events, &subject);
    let mut call = Call { service, request, captured, access, subject, once: None, events };
    let mut response = match limited(route, &mut call) {
        Ok(response) => response,
        Err(error) => problem::response(&error),
    };
    if let Need::Admin(Some(action)) = route.need {
        note(&call, action, response.status);
    }
    if route.pattern == origin::SHARED_PATTERN && access.is_for_pages() {
        origin::share(&mut response);
    }
    Ok(response)
}

/// Runs the handler within the limits of who asks.
fn limited(route: &Route, call: &mut Call<'_>) -> Result<Response> {
    let (service, request) = (call.service, call.request);
    request.allow_parameters(route.parameters)?;
    if let Some(refusal) = negotiate::refusal(route, request) {
        return Ok(refusal);
    }
    let subject = (service.subject)(call.access, request);
    let admission =
        match limiting::admit(service, &subject, limiting::class_of(route, request), request.body.len()) {
            Ok(admission) => admission,
            Err(refusal) => return Ok(*refusal),
        };
    let is_kept = idempotency::applies(route);
    let outcome = if is_kept { idempotency::run(call, route.handler) } else { (route.handler)(call) };
    let mut response = outcome.unwrap_or_else(|error| problem::response(&error));
    admission.settle(call.events.get(), &mut response);
    if negotiate::is_tabular(route) {
        body::vary(&mut response, "Accept");
    }
    Ok(response)
}

/// What stands for a dataset in a path.
const DATASET: &str = "{dataset}";

/// Notes in the audit log what was done.
fn note(call: &Call<'_>, action: &'static str, status: u16) {
    let parameters = call.request.parameters.iter().map(|(name, value)| format!("{name}={value}"));
    let subject = call.subject.take().or_else(|| call.captured.first().cloned()).unwrap_or_default();
    call.service.gate.audit.done(
        &call.service.store,
        &Entry {
            who: call.access.name(),
            action,
            subject,
            status,
            detail: parameters.collect::<Vec<_>>().join(" "),
            client: call.request.address,
        },
    );
}

fn is_place(part: &str) -> bool {
    part.starts_with('{')
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || is_place(wanted) && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::Scope;

    #[test]
    fn the_table_keeps_its_rules() {
        for (place, route) in ROUTES.iter().enumerate() {
            let name = format!("{} {}", route.method.name(), route.pattern);
            let is_whole = route.pattern == "/" || !route.pattern.ends_with('/');
            assert!(route.pattern.starts_with('/') && is_whole, "{name}");
            assert!(!route.doc.is_empty() && !route.doc.ends_with('.'), "{name} has no doc");
            assert!(!matches!(route.method, Method::Head | Method::Options | Method::Other), "{name}");
            let alike =
                |other: &&Route| other.method == route.method && matches(other.pattern, route.pattern);
            assert_eq!(ROUTES[..place].iter().filter(alike).count(), 0, "{name} is there twice");
            for part in route.pattern.split('/').filter(|part| is_place(part)) {
                assert!(part.ends_with('}') && part.len() > 2, "{name}");
            }
        }
    }

    /// What each row asks is decided here a second time, by its words alone.
    #[test]
    fn every_row_needs_what_it_should() {
        for route in &ROUTES {
            let (reads, name) =
                (route.method == Method::Get, format!("{} {}", route.method.name(), route.pattern));
            let is_of_records = route.pattern.contains("/records");
            let expected: &[Scope] = match route.pattern {
                "/healthz" | "/readyz" | "/openapi.json" | "/signin" | "/signout" => &[],
                pattern if pattern.starts_with("/v1/keys") => &[Scope::Admin],
                pattern
                    if ["/v1/jobs", "/v1/queues", "/v1/schedules"]
                        .iter()
                        .any(|own| pattern.starts_with(own)) =>
                {
                    &[Scope::Admin]
                }
                // they tell of what everybody asks
                "/v1/cache" | "/v1/performance/recommendations" => &[Scope::Admin],
                _ if reads => &[Scope::Read],
                "/v1/query" | "/v1/sql" | "/v1/funnel" | "/v1/retention" | "/v1/paths" => &[Scope::Read],
                _ if is_of_records && route.parameters.contains(&"where") => &[Scope::Ingest, Scope::Read],
                _ if is_of_records => &[Scope::Ingest],
                "/v1/datasets/{dataset}/events" if route.method == Method::Post => &[Scope::Ingest],
                _ => &[Scope::Admin],
            };
            assert_eq!(route.need.scopes(), expected, "{name}");
            let is_noted = matches!(route.need, Need::Admin(Some(_)));
            assert_eq!(is_noted, expected == [Scope::Admin] && !reads, "{name} in the audit log");
            assert!(!route.pattern.contains("{d") || route.pattern.contains(DATASET), "{name}");
        }
    }

    fn found(method: Method, path: &str) -> Result<&'static str, String> {
        let request = Request::new(method, path).unwrap();
        match find(&request) {
            Found::Route(route) => Ok(route.pattern),
            Found::Options(there) => Err(format!("204 {}", allowed(&there))),
            Found::OtherMethods(there) => {
                let response = other_methods(&request, &there);
                Err(format!("{} {}", response.status, response.header("allow").unwrap_or_default()))
            }
            Found::Nothing => Err("404".into()),
        }
    }

    #[test]
    fn a_path_finds_its_route() {
        assert_eq!(found(Method::Get, "/v1/datasets/visits/rows?limit=3"), Ok("/v1/datasets/{dataset}/rows"));
        assert_eq!(found(Method::Head, "/healthz"), Ok("/healthz"));
        assert_eq!(found(Method::Put, "/v1/datasets/visits"), Ok("/v1/datasets/{dataset}"));
    }

    #[test]
    fn another_method_is_405_with_those_that_are_there() {
        assert_eq!(found(Method::Get, "/v1/sql"), Err("405 POST, OPTIONS".into()));
        assert_eq!(
            found(Method::Post, "/v1/datasets/visits"),
            Err("405 GET, HEAD, PUT, DELETE, OPTIONS".into())
        );
        assert_eq!(found(Method::Other, "/v1/datasets/x/events"), Err("405 POST, DELETE, OPTIONS".into()));
    }

    #[test]
    fn every_path_tells_its_methods() {
        for (path, methods) in [
            ("/", "GET, HEAD, OPTIONS"),
            ("/v1/sql", "POST, OPTIONS"),
            ("/v1/datasets/x/records", "PUT, PATCH, DELETE, OPTIONS"),
            ("*", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ] {
            assert_eq!(found(Method::Options, path), Err(format!("204 {methods}")), "{path}");
        }
        assert_eq!(found(Method::Options, "/nothing"), Err("404".into()));
    }

    #[test]
    fn an_unknown_path_is_no_route() {
        for path in ["//", "/v1/dataset", "/v1/datasets/", "/v1/datasets//rows", "/v1/datasets/a/rows/"] {
            assert_eq!(found(Method::Get, path), Err("404".into()), "{path}");
        }
    }
}
