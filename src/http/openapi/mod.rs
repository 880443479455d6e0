//! The description of the HTTP interface for programs, `GET /openapi.json`: OpenAPI 3.1, put together at the first call of
//! the route table (methods, paths, what each does), of `problem` (which errors there are), of the limits, and of three
//! files beside this one: `operations.json` has what a route takes and gives, by method and pattern, `parameters.json` and
//! `schemas.json` what these refer to. `"$NAME"` there is a number of `limits`. `tests` holds them to the table, and
//! `tests/openapi.rs` to what a server does.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::http::access::Need;
use crate::http::message::{Method, Response};
use crate::http::routes::{Call, ROUTES, Route};
use crate::http::{idempotency, limiting, negotiate, problem};
use crate::limits;
use crate::query::format::Format;

const OPERATIONS: &str = include_str!("operations.json");
const PARAMETERS: &str = include_str!("parameters.json");
const SCHEMAS: &str = include_str!("schemas.json");

const ABOUT: &str = "An embedded analytics engine: events and records go in, questions are answered in JSON and SQL. GET \
                     answers HEAD too, every path answers OPTIONS. Bodies are told by their first byte, a Content-Type is \
                     not needed; they may be packed by gzip or zstd, and so are replies where Accept-Encoding allows it.";

/// Sections of the document.
const TAGS: [(&str, &str); 7] = [
    ("access", "Keys, and signing in."),
    ("datasets", "What there is, and what is declared of it."),
    ("events", "Appended, never changed."),
    ("records", "Found by a key, changed, deleted."),
    ("questions", "Rows, searches, queries, analyses."),
    ("jobs", "Work in the background, its queues and schedules."),
    ("operations", "How the server is doing."),
];

/// Numbers of the interface that the files name.
const NUMBERS: [(&str, usize); 8] = [
    ("$IDEMPOTENCY_KEY_BYTES", limits::IDEMPOTENCY_KEY_BYTES),
    ("$PAGE_ROWS", limits::PAGE_ROWS),
    ("$PAGE_ROWS_DEFAULT", limits::PAGE_ROWS_DEFAULT),
    ("$REJECTIONS_LISTED", limits::REJECTIONS_LISTED),
    ("$ANSWER_ROWS", limits::ANSWER_ROWS),
    ("$FUNNEL_STEPS", limits::FUNNEL_STEPS),
    ("$PATH_DEPTH", limits::PATH_DEPTH),
    ("$PATHS_DEFAULT", limits::PATHS_DEFAULT),
];

/// Headers of replies.
const HEADERS: [(&str, &str, &str); 7] = [
    ("RateLimit-Policy", "string", "The limits that bind the client (draft-ietf-httpapi-ratelimit-headers)."),
    ("RateLimit", "string", "What is left of them."),
    (idempotency::REPLAYED, "string", "Is there where a reply is given again."),
    ("ETag", "string", "Sent back as If-None-Match it brings a 304 while the reply is the same."),
    ("Age", "integer", "For how many seconds the answer has been stored."),
    ("Link", "string", "The pages beside this one (RFC 8288)."),
    ("Retry-After", "integer", "Seconds after which the request may be repeated."),
];

/// The headers that tell of limits.
const LIMITS: [&str; 2] = ["RateLimit-Policy", "RateLimit"];
/// The parameter of routes that create something.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

/// Statuses of problems that every route may answer with, those that routes for some alone add, and those with a body.
const OF_ALL: [u16; 6] = [400, 403, 406, 421, 500, 503];
const OF_SOME: [u16; 1] = [401];
const OF_BODIES: [u16; 3] = [413, 415, 507];

/// `GET /openapi.json`.
pub fn describe(_call: &Call<'_>) -> Result<Response> {
    static WRITTEN: OnceLock<Vec<u8>> = OnceLock::new();
    let body = match WRITTEN.get() {
        Some(written) => written.clone(),
        None => {
            let mut written = document()?.to_string().into_bytes();
            written.push(b'\n');
            WRITTEN.get_or_init(|| written).clone()
        }
    };
    Ok(Response::ok("application/json", body))
}

/// The whole document.
///
/// # Errors
/// A bug: a file beside this one that does not parse, or that says nothing of a route.
pub fn document() -> Result<Value> {
    let operations = read(OPERATIONS)?;
    let mut paths = Map::new();
    for route in &ROUTES {
        let name = format!("{} {}", route.method.name(), route.pattern);
        let told = operations
            .get(&name)
            .ok_or_else(|| Error::Internal(format!("the description of the interface lacks {name}")))?;
        let path = paths.entry(route.pattern).or_insert_with(|| json!({}));
        path[route.method.name().to_lowercase()] = operation(route, told);
    }
    let headers = HEADERS.map(|(name, kind, about)| {
        (name.to_owned(), json!({"description": about, "schema": {"type": kind}}))
    });
    let tags = TAGS.map(|(name, about)| json!({"name": name, "description": about}));
    Ok(json!({
        "openapi": "3.1.0",
        "info": {"title": "Windrow", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"basic": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": read(SCHEMAS)?,
            "parameters": read(PARAMETERS)?,
            "headers": Map::from_iter(headers),
            "responses": problems(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A key: wr_…"},
                "basic": {"type": "http", "scheme": "basic", "description": "A key as the user name."},
            },
        },
    }))
}

/// One of the files, with the numbers that it names.
fn read(text: &str) -> Result<Value> {
    let mut value = serde_json::from_str(text)
        .map_err(|e| Error::Internal(format!("the description of the interface is not JSON: {e}")))?;
    number(&mut value);
    Ok(value)
}

fn number(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| name == text) {
                *value = (*number).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(number),
        Value::Object(object) => object.values_mut().for_each(number),
        _ => {}
    }
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn texts<'a>(told: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    told[key].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn operation(route: &Route, told: &Value) -> Value {
    let of_key = idempotency::applies(route).then_some(IDEMPOTENCY_KEY);
    let names = texts(told, "parameters").chain(of_key);
    let parameters: Vec<Value> = names.map(|name| reference("parameters", name)).collect();
    let mut made = json!({
        "operationId": told["id"],
        "tags": [told["tag"]],
        "summary": route.doc,
        "responses": responses(route, told),
    });
    if route.need == Need::Nothing {
        made["security"] = json!([]);
    }
    if let Some(form) = told.get("form") {
        let whole = json!({"schema": reference("schemas", "Form"), "example": form});
        made["requestBody"] = json!({"required": true, "content": {FORM: whole}});
    }
    if let Some(about) = told.get("about") {
        made["description"] = about.clone();
    }
    if !parameters.is_empty() {
        made["parameters"] = parameters.into();
    }
    if let Some(schema) = told["body"].as_str() {
        let examples = told["examples"].as_object().into_iter().flatten();
        let examples: Map<String, Value> =
            examples.map(|(name, example)| (name.clone(), json!({ "value": example }))).collect();
        let json = json!({"schema": reference("schemas", schema), "examples": examples});
        made["requestBody"] = json!({
            "required": told["body_optional"] != true,
            "content": {Format::Json.content_type(): json},
        });
        if let Some(lines) = told.get("lines") {
            made["requestBody"]["content"][Format::Ndjson.content_type()] =
                json!({"schema": reference("schemas", "Lines"), "example": lines});
        }
    }
    made
}

fn responses(route: &Route, told: &Value) -> Value {
    let mut all = Map::new();
    let succeeds = match told["reply"].as_str() {
        None if told["redirects"] == true => ("303", json!({"description": "what comes next is elsewhere"})),
        None => ("204", json!({"description": "done"})),
        Some(schema) => {
            let status = told["status"].as_str().unwrap_or("200");
            (status, json!({"description": "done", "content": content(route, schema, told)}))
        }
    };
    let (status, mut response) = succeeds;
    let mut statuses: Vec<u64> = OF_ALL.iter().map(|status| u64::from(*status)).collect();
    for name in texts(told, "headers") {
        response["headers"][name] = reference("headers", name);
    }
    if limiting::class(route) != limiting::Class::Free {
        for name in LIMITS {
            response["headers"][name] = reference("headers", name);
        }
        statuses.push(429);
    }
    if idempotency::applies(route) {
        response["headers"][idempotency::REPLAYED] = reference("headers", idempotency::REPLAYED);
        statuses.extend([409, 422]);
    }
    all.insert(status.to_owned(), response);
    if told["redirects"] == true {
        all.entry("303").or_insert_with(|| json!({"description": "what comes next is elsewhere"}));
    }
    if route.need != Need::Nothing {
        statuses.extend(OF_SOME.iter().map(|status| u64::from(*status)));
    }
    if told["reply"] == STREAM {
        let message = json!({"schema": reference("schemas", "LiveMessage")});
        let opened = json!({"description": "a WebSocket, each of whose messages is one of these",
            "content": {Format::Json.content_type(): message}});
        all.insert("101".to_owned(), opened);
    }
    if route.need == Need::Page {
        all.insert("303".to_owned(), json!({"description": "a browser has to sign in"}));
    }
    if texts(told, "headers").any(|name| name == "ETag") {
        let unchanged = json!({"description": "the client has this reply already",
            "headers": {"ETag": reference("headers", "ETag")}});
        all.insert("304".to_owned(), unchanged);
    }
    statuses.extend(told["problems"].as_array().into_iter().flatten().filter_map(Value::as_u64));
    let writes = route.method == Method::Put || route.method == Method::Patch || told.get("body").is_some();
    if writes {
        statuses.extend(OF_BODIES.iter().map(|status| u64::from(*status)));
    }
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let mut told_so = reference("responses", &format!("Problem{status}"));
        if told["reply"] == "Html" {
            // what goes wrong is a page too, once it is known what is asked for
            let page = json!({"schema": reference("schemas", "Html")});
            told_so = problems()[format!("Problem{status}")].clone();
            told_so["content"][HTML] = page;
        }
        all.insert(status.to_string(), told_so);
    }
    all.into()
}

const HTML: &str = "text/html";
/// The schema of a reply that has no end.
const STREAM: &str = "LiveStream";
const FORM: &str = "application/x-www-form-urlencoded";

/// What a success has, by media type.
fn content(route: &Route, schema: &str, told: &Value) -> Value {
    let of = |name: &str| json!({"schema": reference("schemas", name)});
    if schema == "Html" {
        return json!({ HTML: of(schema) });
    }
    if schema == STREAM {
        return json!({ "text/event-stream": of(schema) });
    }
    let mut whole = of(schema);
    if let Some(example) = told.get("example") {
        whole["example"] = example.clone();
    }
    let mut all = json!({Format::Json.content_type(): whole});
    if negotiate::is_tabular(route) {
        all[Format::Csv.content_type()] = of("Csv");
        all[Format::Ndjson.content_type()] = of("Lines");
    }
    all
}

/// A response for each status that problems have.
fn problems() -> Value {
    let mut all = Map::new();
    for (status, ..) in problem::ALL {
        let sorts = || problem::ALL.iter().filter(|(other, ..)| *other == status);
        let titles: Vec<&str> = sorts().map(|(_, _, title)| *title).collect();
        let kinds: Vec<String> = sorts().map(|(_, name, _)| problem::kind(name)).collect();
        let example = json!({"type": kinds[0], "title": titles[0], "status": status,
            "detail": "What happened, and what to do."});
        let exact = json!({"properties": {"type": {"enum": kinds}, "status": {"const": status}}});
        let schema = json!({"allOf": [reference("schemas", "Problem"), exact]});
        let mut response = json!({"description": titles.join("; "),
            "content": {problem::CONTENT_TYPE: {"schema": schema, "example": example}}});
        if matches!(status, 429 | 503) {
            response["headers"]["Retry-After"] = reference("headers", "Retry-After");
        }
        if status == 429 {
            for name in LIMITS {
                response["headers"][name] = reference("headers", name);
            }
        }
        all.insert(format!("Problem{status}"), response);
    }
    all.into()
}

#[cfg(test)]
mod tests;
