//! The cache: what is kept and what that saves, `GET /v1/cache`; forgetting, `POST /v1/cache/clear`; asking ahead, `POST
//! /v1/cache/warm`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::cache::key::Selector;
use crate::error::{Error, Result};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;

/// `GET /v1/cache`.
pub fn report(call: &Call<'_>) -> Result<Response> {
    // it tells of the questions of everyone
    call.limits().reach.check_everything("the cache")?;
    Response::json(&cache(call)?.report())
}

/// What `POST /v1/cache/clear` takes: nothing for all, or one of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clear {
    dataset: Option<String>,
    tag: Option<String>,
    namespace: Option<String>,
    pattern: Option<String>,
}

/// The reply of `POST /v1/cache/clear`.
#[derive(Debug, Serialize)]
struct Cleared {
    removed: u64,
}

/// `POST /v1/cache/clear`.
pub fn clear(call: &Call<'_>) -> Result<Response> {
    call.limits().reach.check_everything("clearing the cache")?;
    let selector = selector(&body::decode(call.request)?)?;
    Response::json(&Cleared { removed: cache(call)?.invalidate(&selector) })
}

/// `POST /v1/cache/warm`.
pub fn warm(call: &Call<'_>) -> Result<Response> {
    call.limits().reach.check_everything("asking ahead")?;
    let service = call.service;
    if service.warm.is_empty() {
        return Err(Error::Conflict(
            "no questions are listed to be asked ahead; start the server with --cache-warm FILE".into(),
        ));
    }
    Response::json(&service.warm.ask(&service.store, &service.limits, |_| service.is_ready()))
}

fn cache<'a>(call: &'a Call<'_>) -> Result<&'a Arc<Cache>> {
    call.service.limits.cache.as_ref().ok_or_else(|| Error::Internal("a server has a cache".into()))
}

fn selector(body: &[u8]) -> Result<Selector> {
    const SHAPE: &str = "send nothing for all, or one of {\"dataset\": \"visits\"}, {\"tag\": \"user:42\"}, \
                         {\"namespace\": \"search\"}, {\"pattern\": \"search:*:42\"}";
    if body.trim_ascii().is_empty() {
        return Ok(Selector::All);
    }
    let clear: Clear = serde_json::from_slice(body)
        .map_err(|e| Error::invalid(format!("the body is not understood: {e}; {SHAPE}")))?;
    match (clear.dataset, clear.tag, clear.namespace, clear.pattern) {
        (None, None, None, None) => Ok(Selector::All),
        (Some(dataset), None, None, None) => Ok(Selector::Tag(format!("dataset:{dataset}"))),
        (None, Some(tag), None, None) => Ok(Selector::Tag(tag)),
        (None, None, Some(namespace), None) => Ok(Selector::Pattern(format!("{namespace}:*"))),
        (None, None, None, Some(pattern)) => Ok(Selector::Pattern(pattern)),
        _ => Err(Error::invalid(format!("the body names several things; {SHAPE}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_one_thing_or_all() {
        let of = |body: &str| selector(body.as_bytes());
        assert_eq!(of("").unwrap(), Selector::All);
        assert_eq!(of("{}").unwrap(), Selector::All);
        assert_eq!(of(r#"{"dataset": "visits"}"#).unwrap(), Selector::Tag("dataset:visits".into()));
        assert_eq!(of(r#"{"namespace": "search"}"#).unwrap(), Selector::Pattern("search:*".into()));
        for body in ["[]", "{", r#"{"datset": "x"}"#, r#"{"tag": "a", "pattern": "b"}"#, r#"{"tag": 7}"#] {
            assert!(of(body).unwrap_err().to_string().contains("send nothing for all"), "{body}");
        }
    }
}
