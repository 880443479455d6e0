//! What there is to call: one table of method, path, parameters and handler. `server` hands every request to
//! [`answer`]; a new route is a row here and a function in `api`.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::{Error, Result, nearest};
use crate::http::Service;
use crate::http::api::{
    cache, datasets, events, health, performance, query, records, rows, search, sequences,
};
use crate::http::body;
use crate::http::idempotency::Ticket;
use crate::http::message::{Method, Request, Response, decode_segment};
use crate::http::problem::{self, Problem};
use crate::http::{idempotency, limiting, negotiate, openapi, ui, unchanged};
use crate::query::budget::Limits;

/// A request with what its handler needs.
pub struct Call<'a> {
    /// The engine.
    pub service: &'a Service,
    /// The request.
    pub request: &'a Request,
    /// The parts of the path that stand for `{…}` of the pattern, decoded.
    pub captured: Vec<String>,
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

    /// What a question of this request may take: that of the server, until its client goes away.
    pub fn limits(&self) -> Limits {
        Limits { abandoned: Arc::clone(&self.request.abandoned), ..self.service.limits.clone() }
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
    handler: Handler,
}

const fn route(method: Method, pattern: &'static str, handler: Handler, doc: &'static str) -> Route {
    Route { method, pattern, parameters: &[], doc, handler }
}

/// Everything that can be called.
pub const ROUTES: [Route; 27] = [
    Route {
        method: Method::Get,
        pattern: "/",
        parameters: &ui::PARAMETERS,
        doc: "draws the last 30 days of a dataset as a page",
        handler: ui::page,
    },
    route(Method::Get, "/healthz", health::healthz, "says that the process lives"),
    route(Method::Get, "/readyz", health::readyz, "says whether it takes requests; 503 while it does not"),
    route(
        Method::Get,
        "/openapi.json",
        openapi::describe,
        "describes these calls for programs, as OpenAPI 3.1",
    ),
    route(Method::Get, "/v1/datasets", datasets::list, "lists the datasets"),
    route(Method::Get, "/v1/datasets/{dataset}", datasets::describe, "describes a dataset"),
    route(
        Method::Put,
        "/v1/datasets/{dataset}",
        datasets::declare,
        "declares a dataset, made when it is new",
    ),
    route(Method::Delete, "/v1/datasets/{dataset}", datasets::remove, "drops a dataset with all its events"),
    route(
        Method::Post,
        "/v1/datasets/{dataset}/events",
        events::append,
        "appends events: an object, an array, NDJSON",
    ),
    Route {
        method: Method::Delete,
        pattern: "/v1/datasets/{dataset}/events",
        parameters: &["where"],
        doc: "erases the events that the condition is true for",
        handler: events::erase,
    },
    Route {
        method: Method::Put,
        pattern: "/v1/datasets/{dataset}/records",
        parameters: &["atomic", "mode"],
        doc: "puts records by their key: an object, an array, NDJSON",
        handler: records::put,
    },
    Route {
        method: Method::Patch,
        pattern: "/v1/datasets/{dataset}/records",
        parameters: &["where", "atomic"],
        doc: "sets fields of the records that the condition is true for",
        handler: records::update,
    },
    Route {
        method: Method::Delete,
        pattern: "/v1/datasets/{dataset}/records",
        parameters: &["where", "atomic"],
        doc: "deletes the records that the condition is true for",
        handler: records::delete,
    },
    Route {
        method: Method::Get,
        pattern: "/v1/datasets/{dataset}/records/{key}",
        parameters: &["fields", "include"],
        doc: "reads one record with all its fields",
        handler: records::get,
    },
    route(Method::Delete, "/v1/datasets/{dataset}/records/{key}", records::delete_one, "deletes one record"),
    Route {
        method: Method::Get,
        pattern: "/v1/datasets/{dataset}/rows",
        parameters: &rows::PARAMETERS,
        doc: "reads rows page by page, newest first unless order says otherwise",
        handler: rows::page,
    },
    Route {
        method: Method::Get,
        pattern: "/v1/datasets/{dataset}/search",
        parameters: &search::PARAMETERS,
        doc: "finds rows by words in their texts, with a piece of each and counts by fields",
        handler: search::search,
    },
    route(
        Method::Get,
        "/v1/performance/recommendations",
        performance::recommendations,
        "tells which indexes of records would help, by measure, and which nobody uses",
    ),
    route(
        Method::Post,
        "/v1/performance/optimize",
        performance::optimize,
        "measures the tables for the planner, merges the search, gives free space back",
    ),
    route(Method::Get, "/v1/cache", cache::report, "tells what is kept, and what keeping it saves"),
    route(Method::Post, "/v1/cache/clear", cache::clear, "forgets what is kept, all or what the body names"),
    route(Method::Post, "/v1/cache/warm", cache::warm, "asks the listed questions ahead"),
    route(Method::Post, "/v1/query", query::query, "answers one JSON query"),
    route(Method::Post, "/v1/sql", query::sql, "answers one read-only SELECT"),
    route(Method::Post, "/v1/funnel", sequences::funnel, "tells how many go how far through some steps"),
    route(
        Method::Post,
        "/v1/retention",
        sequences::retention,
        "tells how many of those who began in a period come back in later ones",
    ),
    route(Method::Post, "/v1/paths", sequences::paths, "tells which ways are taken from step to step"),
];

/// Answers a request: finds its route and runs it.
pub fn answer(service: &Service, request: &Request) -> Response {
    let outcome = match find(request) {
        Found::Options(there) => Ok(options(&there)),
        Found::Route(route) => run(route, service, request),
        Found::OtherMethods(there) => Ok(other_methods(request, &there)),
        Found::Nothing => {
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
    request.allow_parameters(route.parameters)?;
    let parts = route.pattern.split('/').zip(request.path.split('/'));
    let captured: Result<Vec<String>> =
        parts.filter(|(pattern, _)| is_place(pattern)).map(|(_, part)| decode_segment(part)).collect();
    let events = Cell::new(0);
    let mut call = Call { service, request, captured: captured?, once: None, events: &events };
    if let Some(refusal) = negotiate::refusal(route, request) {
        return Ok(refusal);
    }
    let subject = (service.subject)(request);
    let admission = match limiting::admit(service, &subject, limiting::class(route), request.body.len()) {
        Ok(admission) => admission,
        Err(refusal) => return Ok(*refusal),
    };
    let is_kept = idempotency::applies(route);
    let outcome = if is_kept { idempotency::run(&mut call, route.handler) } else { (route.handler)(&call) };
    let mut response = outcome.unwrap_or_else(|error| problem::response(&error));
    admission.settle(events.get(), &mut response);
    if negotiate::is_tabular(route) {
        body::vary(&mut response, "Accept");
    }
    Ok(response)
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
