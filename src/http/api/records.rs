//! Records: put in bulk by their key, read and deleted one by one, changed and deleted by a condition.

use std::sync::Arc;

use serde::Serialize;

use crate::error::{Error, ItemError, Result, nearest};
use crate::http::api::rows::fields;
use crate::http::body;
use crate::http::message::{Request, Response};
use crate::http::problem::Item;
use crate::http::routes::Call;
use crate::ingest::accept::{accept, decode_json};
use crate::ingest::destination::Table;
use crate::ingest::rules::Rules;
use crate::query::format::row_json;
use crate::records::put::PutOptions;
use crate::records::{change, one, relations};
use crate::store::keyed::write::Mode;
use crate::value::Value;

/// What `mode` says.
const MODES: [(&str, Mode); 3] =
    [("upsert", Mode::Upsert), ("insert", Mode::Insert), ("replace", Mode::Replace)];
/// What it says where parts of records are put.
const MERGE: &str = "merge";

/// The reply: what became of the records.
#[derive(Debug, Serialize)]
struct Outcome {
    inserted: u64,
    updated: u64,
    unchanged: u64,
    rejected: Vec<Item>,
    /// All rejected ones, where more were than are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<u64>,
}

/// `PUT /v1/datasets/{dataset}/records`: acknowledged is committed and visible to the next query.
pub fn put(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(
            "the body is empty; send a record as a JSON object, several as an array or NDJSON",
        ));
    }
    let options = PutOptions {
        mode: mode(call.request)?,
        merges: call.request.parameter("mode") == Some(MERGE),
        is_atomic: is_atomic(call.request)?,
        takes_repeats: false,
    };
    let store = &call.service.store;
    let reach = call.limits().reach;
    reach.check(call.dataset())?;
    store.snapshot().whole_dataset(call.dataset()).map_err(|e| undeclared(e, call.dataset()))?.keyed()?;
    let table = Table::new(store, call.dataset(), reach, options);
    let accepted = accept(&table, |rules| {
        let decoded = decode_json(&body, rules)?;
        match options.is_atomic && decoded.rejected_total > 0 {
            true => Err(nothing_put(decoded.rejected)),
            false => Ok(decoded),
        }
    })?;
    let done = table.done();
    let put = done.inserted + done.updated + done.unchanged;
    call.events.set(put + accepted.rejected_total);
    let is_one = put + accepted.rejected_total == 1;
    let is_taken_back = options.is_atomic && accepted.rejected_total > 0;
    if accepted.rejected_total > 0 && (put == 0 || is_taken_back) {
        let by_state = done.outdated.len() as u64 + done.taken;
        return Err(match accepted.rejected.first() {
            Some(first) if by_state == accepted.rejected_total && is_one => {
                Error::Conflict(first.message.clone())
            }
            _ => nothing_put(accepted.rejected),
        });
    }
    let listed = accepted.rejected.len() as u64;
    Response::json(&Outcome {
        inserted: done.inserted,
        updated: done.updated,
        unchanged: done.unchanged,
        rejected: accepted.rejected.iter().map(Item::of).collect(),
        rejected_total: (accepted.rejected_total > listed).then_some(accepted.rejected_total),
    })
}

fn undeclared(error: Error, dataset: &str) -> Error {
    match error {
        Error::NotFound(detail) => Error::NotFound(format!(
            "{detail}; records need a key, so declare it first: PUT /v1/datasets/{dataset} \
             {{\"kind\": \"records\", \"key\": [\"id\"]}}"
        )),
        other => other,
    }
}

fn nothing_put(rejected: Vec<ItemError>) -> Error {
    let detail = match rejected.as_slice() {
        [one] => format!("nothing was put: item {}: {}", one.index, one.message),
        many => format!("nothing was put: {} items are wrong; errors has the reasons", many.len()),
    };
    Error::Invalid { detail, items: rejected }
}

fn mode(request: &Request) -> Result<Mode> {
    let text = request.parameter("mode").filter(|text| *text != MERGE).unwrap_or("upsert");
    MODES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode).ok_or_else(|| {
        let hint = nearest(text, MODES.iter().map(|(name, _)| *name).chain([MERGE]));
        Error::invalid(format!("mode is upsert, insert, merge or replace, not \"{text}\"{hint}"))
    })
}

fn is_atomic(request: &Request) -> Result<bool> {
    match request.parameter("atomic") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Error::invalid(format!("atomic is true or false, not \"{other}\""))),
    }
}

/// `GET /v1/datasets/{dataset}/records/{key}`.
pub fn get(call: &Call<'_>) -> Result<Response> {
    let key = call.captured.get(1).map_or("", String::as_str);
    let wanted = call.request.parameter("fields").map(fields).transpose()?;
    let include = relations::paths(call.request.parameter("include"))?;
    let snapshot = call.snapshot();
    let limits = &call.limits();
    let mut row = one::get(&snapshot, call.dataset(), key, wanted.as_deref(), limits)?;
    if !include.is_empty() {
        // relations go by fields that may not have been asked for
        let whole = match wanted {
            None => row.clone(),
            Some(_) => one::get(&snapshot, call.dataset(), key, None, limits)?,
        };
        row.extend(relations::of_one(&snapshot, call.dataset(), whole, &include, limits)?);
    }
    Ok(Response::ok("application/json", row_json(&row)))
}

/// `DELETE /v1/datasets/{dataset}/records/{key}`.
pub fn delete_one(call: &Call<'_>) -> Result<Response> {
    let key = call.captured.get(1).map_or("", String::as_str);
    Response::json(&one::delete(&call.service.store, &call.limits().reach, call.dataset(), key)?)
}

/// `DELETE /v1/datasets/{dataset}/records?where=`.
pub fn delete(call: &Call<'_>) -> Result<Response> {
    let condition = call.request.parameter("where").unwrap_or_default();
    let atomic = is_atomic(call.request)?;
    let reach = &call.limits().reach;
    Response::json(&change::delete(&call.service.store, reach, call.dataset(), condition, atomic)?)
}

/// The reply of a change.
#[derive(Debug, Serialize)]
struct Changed {
    matched: u64,
    updated: u64,
    unchanged: u64,
    rejected: Vec<Item>,
    /// All rejected ones, where more were than are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<u64>,
}

/// `PATCH /v1/datasets/{dataset}/records?where=`: the body is an object of the fields to set; null takes a value away.
pub fn update(call: &Call<'_>) -> Result<Response> {
    let condition = call.request.parameter("where").unwrap_or_default();
    let atomic = is_atomic(call.request)?;
    let body = body::decode(call.request)?;
    let store = &call.service.store;
    let reach = &call.limits().reach;
    reach.dataset(&store.snapshot(), call.dataset())?.keyed()?;
    let sets = sets(&body, Rules::of(&store.snapshot(), call.dataset()))?;
    let done = change::update(store, reach, call.dataset(), condition, &sets, atomic)?;
    if done.rejected_total > 0 && (atomic || done.rejected_total == done.matched) {
        return Err(Error::Invalid {
            detail: match done.rejected.first() {
                Some(first) => format!("nothing was changed: {}", first.message),
                None => "nothing was changed".into(),
            },
            items: done.rejected,
        });
    }
    Response::json(&Changed {
        matched: done.matched,
        updated: done.updated,
        unchanged: done.unchanged,
        rejected: done.rejected.iter().map(Item::of).collect(),
        rejected_total: (done.rejected_total > done.rejected.len() as u64).then_some(done.rejected_total),
    })
}

/// Fields and values of an object, with the types that are declared; nothing is required of it and nothing added to it.
pub(crate) fn sets(body: &[u8], rules: Rules) -> Result<Vec<(Arc<str>, Value)>> {
    if let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(body)
        && let Some(name) = object.keys().find(|name| name.starts_with('_'))
    {
        return Err(Error::invalid(format!("\"{name}\" is the engine's own and cannot be set")));
    }
    let decoded = decode_json(body, &rules.partial())?;
    if let Some(wrong) = decoded.rejected.into_iter().next() {
        return Err(Error::invalid(format!("the body cannot be set: {}", wrong.message)));
    }
    if decoded.block.rows() != 1 {
        return Err(Error::invalid(
            "the body is one JSON object of the fields to set, such as {\"severity\": \"high\"}",
        ));
    }
    let value = |name: &Arc<str>| decoded.block.column(name).map_or(Value::Null, |column| column.get(0));
    // the time of arrival is in every row
    let named = decoded.names.iter().filter(|name| ***name != *crate::columnar::TIME);
    Ok(named.map(|name| (Arc::clone(name), value(name))).collect())
}
