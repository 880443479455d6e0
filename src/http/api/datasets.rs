//! Datasets: list, describe, declare, drop.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::fields::{Declaration, check_dataset_name};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::records::declare;
use crate::store::Store;
use crate::store::describe::Description;
use crate::store::snapshot::Dataset;

/// The reply of a list, here and on the command line.
#[derive(Debug, Serialize)]
pub struct List {
    /// By name.
    pub datasets: Vec<Description>,
}

/// `GET /v1/datasets`: without those of the engine itself, unless `all=true`.
pub fn list(call: &Call<'_>) -> Result<Response> {
    let snapshot = call.snapshot();
    let has_own = shows_all(call)?;
    let shown = snapshot.datasets.values().filter(|dataset| has_own || !dataset.name.starts_with('_'));
    let all = shown.map(|dataset| described(&call.service.store, dataset));
    Response::json(&List { datasets: all.collect::<Result<_>>()? })
}

fn shows_all(call: &Call<'_>) -> Result<bool> {
    match call.request.parameter("all") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            Err(Error::invalid(format!("all={other} is nothing to choose; write all=true, or leave it out")))
        }
    }
}

/// `GET /v1/datasets/{dataset}`.
pub fn describe(call: &Call<'_>) -> Result<Response> {
    let snapshot = call.snapshot();
    Response::json(&described(&call.service.store, snapshot.dataset(call.dataset())?)?)
}

/// `PUT /v1/datasets/{dataset}`: the body is the declaration, the reply what the dataset is then.
pub fn declare(call: &Call<'_>) -> Result<Response> {
    check_dataset_name(call.dataset())?;
    let body = body::decode(call.request)?;
    if body.trim_ascii().is_empty() {
        return Err(Error::invalid(
            "the body is empty; send a declaration, such as {\"fields\": {\"n\": {\"type\": \"int\"}}}, or {} for none",
        ));
    }
    let declaration = Declaration::from_json(&body)?;
    declare::declare(&call.service.store, call.dataset(), declaration)?;
    describe(call)
}

/// `DELETE /v1/datasets/{dataset}`.
pub fn remove(call: &Call<'_>) -> Result<Response> {
    call.service.store.drop_dataset(call.dataset())?;
    Ok(Response::no_content())
}

fn described(store: &Store, dataset: &Dataset) -> Result<Description> {
    Ok(Description::of(dataset, store.stored_bytes(dataset.id)?))
}
