//! Datasets: list, describe, declare, drop.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::fields::{Declaration, check_dataset_name};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::query::describe;
use crate::records::declare;
use crate::store::describe::Description;

/// The reply of a list, here and on the command line.
#[derive(Debug, Serialize)]
pub struct List {
    /// By name.
    pub datasets: Vec<Description>,
}

/// `GET /v1/datasets`: without those of the engine itself, unless `all=true`.
pub fn list(call: &Call<'_>) -> Result<Response> {
    let (limits, has_own) = (&call.limits(), shows_all(call)?);
    let all = limits.reach.datasets(&call.service.store.snapshot());
    let shown = all.iter().filter(|dataset| has_own || !dataset.name.starts_with('_'));
    let all = shown.map(|dataset| describe::describe(&call.service.store, dataset, limits));
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
    let limits = &call.limits();
    let dataset = limits.reach.dataset(&call.service.store.snapshot(), call.dataset())?;
    Response::json(&describe::describe(&call.service.store, &dataset, limits)?)
}

/// `PUT /v1/datasets/{dataset}`: the body is the declaration, the reply what the dataset is then.
pub fn declare(call: &Call<'_>) -> Result<Response> {
    check_dataset_name(call.dataset())?;
    call.limits().reach.check_whole(call.dataset(), "declaring a dataset")?;
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
    call.limits().reach.check_whole(call.dataset(), "dropping a dataset")?;
    call.service.store.drop_dataset(call.dataset())?;
    Ok(Response::no_content())
}
