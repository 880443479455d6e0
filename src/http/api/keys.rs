//! Keys: list, make, rotate, revoke. A secret is in the reply that made it, and nowhere else. `windrow keys` sends the same
//! requests, and where no server runs it calls [`made`] and [`rotated`] over the file.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::fields::check_dataset_name;
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::limits;
use crate::query::reach::Reach;
use crate::store::Store;
use crate::store::keys::secret::Secret;
use crate::store::keys::{Grant, Key, KeyLimits, Scope};
use crate::time::{self, parse_duration};

/// What `POST /v1/keys` takes.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Datasets that it may touch, or patterns; none: all.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// What every read is bound to and every write has to satisfy.
    #[serde(default)]
    pub filter: Option<String>,
    /// A time, or a duration from now.
    #[serde(default)]
    pub expires: Option<String>,
    /// Limits of its own.
    #[serde(default)]
    pub limits: Option<KeyLimits>,
}

/// What `POST /v1/keys/{id}/rotate` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateRequest {
    #[serde(default)]
    grace: Option<String>,
}

const SHAPE: &str = "send {\"name\": \"web\", \"scopes\": [\"ingest\"], \"datasets\": [\"web_*\"], \"expires\": \"90d\"}; all \
                     but name and scopes may be left out";

impl KeyRequest {
    /// A key of a secret, as it was asked for.
    ///
    /// # Errors
    /// What it asks for is not possible.
    fn key(self, secret: &Secret, now_us: i64) -> Result<Key> {
        let name = self.name.trim().to_owned();
        let letters = name.chars().count();
        if letters == 0 || letters > limits::KEY_NAME_LETTERS || name.chars().any(char::is_control) {
            return Err(Error::invalid(format!(
                "a key has a name of 1 to {} letters, which tells later what it is for; {SHAPE}",
                limits::KEY_NAME_LETTERS
            )));
        }
        let mut scopes = self.scopes.iter().map(|scope| Scope::of(scope)).collect::<Result<Vec<_>>>()?;
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(Error::invalid(format!(
                "a key has at least one scope: ingest, read, admin; {SHAPE}"
            )));
        }
        if self.datasets.len() > limits::KEY_DATASETS {
            return Err(Error::invalid(format!(
                "a key names {} datasets at most; use patterns",
                limits::KEY_DATASETS
            )));
        }
        self.datasets.iter().try_for_each(|pattern| check_pattern(pattern))?;
        let is_bound = !self.datasets.is_empty() || self.filter.is_some();
        if scopes.contains(&Scope::Admin) && is_bound {
            return Err(Error::invalid(
                "a key with the scope admin makes keys of any sort, so datasets and a filter would bind it to nothing; leave \
                 them out, or make it for ingest and read",
            ));
        }
        let filter = self.filter.as_deref().map(canonical).transpose()?;
        let expires_us = self.expires.as_deref().map(|text| instant(text, now_us)).transpose()?;
        let grant = Grant { scopes, datasets: self.datasets, filter, limits: self.limits };
        Ok(Key::new(name, grant, expires_us, secret, now_us))
    }
}

/// A filter as it is stored: read once, so that what is stored can be read.
fn canonical(text: &str) -> Result<String> {
    if text.len() > limits::KEY_FILTER_BYTES {
        return Err(Error::invalid(format!("the filter has more than {} bytes", limits::KEY_FILTER_BYTES)));
    }
    let reach = Reach::new(&[], Some(text)).map_err(|e| Error::invalid(format!("the filter: {e}")))?;
    Ok(reach.filter().unwrap_or_default().to_owned())
}

fn check_pattern(pattern: &str) -> Result<()> {
    // where the stars stand, letters could
    check_dataset_name(&pattern.replace('*', "a")).map_err(|_| {
        Error::invalid(format!(
            "\"{}\" is no name of a dataset and no pattern of names; write one such as visits or web_*",
            pattern.escape_debug()
        ))
    })
}

/// A time that is to come, or so long from now.
fn instant(text: &str, now_us: i64) -> Result<i64> {
    let us = match parse_duration(text) {
        Some(us) => now_us.checked_add(us),
        None => time::parse(text),
    };
    us.filter(|us| *us > now_us).ok_or_else(|| {
        Error::invalid(format!(
            "\"{}\" is no time to come; write a duration such as 90d, or a time such as 2027-01-31T00:00:00Z",
            text.escape_debug()
        ))
    })
}

/// A key as it is told, without its secret.
pub fn told(key: &Key, now_us: i64) -> Value {
    let time = |us: Option<i64>| us.map(time::format);
    let status = match key.refusal(now_us) {
        None => "active".to_owned(),
        Some(refused) => format!("{refused:?}").to_lowercase(),
    };
    json!({
        "id": &*key.id,
        "name": key.name,
        "status": status,
        "scopes": key.grant.scopes,
        "datasets": key.grant.datasets,
        "filter": key.grant.filter,
        "limits": key.grant.limits,
        "created": time(Some(key.created_us)),
        "expires": time(key.expires_us),
        "used": time(key.used_us()),
        "revoked": time(key.revoked_us),
        "old_secret_until": time(key.old_until_us(now_us)),
    })
}

/// All keys as they are told: the newest first.
pub fn told_all(store: &Store) -> Value {
    let (ring, now_us) = (store.keys(), time::now());
    let mut all: Vec<_> = ring.iter().collect();
    all.sort_by_key(|key| (std::cmp::Reverse(key.created_us), key.id.clone()));
    json!({ "keys": all.into_iter().map(|key| told(key, now_us)).collect::<Vec<_>>() })
}

/// Makes a key; what is told of it has its secret.
///
/// # Errors
/// What is asked for is not possible, or there are too many keys.
pub fn made(store: &Store, request: KeyRequest) -> Result<Value> {
    let (secret, now_us) = (Secret::draw()?, time::now());
    let key = request.key(&secret, now_us)?;
    let told = told(&key, now_us);
    store.make_key(key)?;
    Ok(with(told, &secret))
}

/// Gives a key another secret; what is told of it has it.
///
/// # Errors
/// There is no such key, or it is not let in any more.
pub fn rotated(store: &Store, id: &str, grace: Option<&str>) -> Result<Value> {
    let now_us = time::now();
    let grace_us = match grace {
        None => limits::GRACE_US,
        Some(text) => parse_duration(text).ok_or_else(|| {
            Error::invalid(format!(
                "\"{}\" is no duration; write one such as 0s, 30m, 24h",
                text.escape_debug()
            ))
        })?,
    };
    if let Some(refused) = store.keys().key(id)?.refusal(now_us) {
        return Err(Error::Conflict(format!(
            "the key \"{id}\" is {}, so another secret would open nothing; make another key",
            format!("{refused:?}").to_lowercase()
        )));
    }
    let secret = Secret::draw_for(id)?;
    store.rotate_key(&secret, now_us.saturating_add(grace_us))?;
    Ok(with(told(store.keys().key(id)?, now_us), &secret))
}

fn with(mut told: Value, secret: &Secret) -> Value {
    told["secret"] = secret.text().into();
    told
}

/// `GET /v1/keys`.
pub fn list(call: &Call<'_>) -> Result<Response> {
    Response::json(&told_all(&call.service.store))
}

/// `POST /v1/keys`: 201 with the secret.
pub fn make(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    let request: KeyRequest = serde_json::from_slice(&body)
        .map_err(|e| Error::invalid(format!("the body is not understood: {e}; {SHAPE}")))?;
    let told = made(&call.service.store, request)?;
    *call.subject.borrow_mut() = told["id"].as_str().map(str::to_owned);
    Ok(Response { status: 201, ..Response::json(&told)? })
}

/// `POST /v1/keys/{id}/rotate`.
pub fn rotate(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    let request: RotateRequest = match body.trim_ascii() {
        [] => RotateRequest::default(),
        body => serde_json::from_slice(body).map_err(|e| {
            Error::invalid(format!(
                "the body is not understood: {e}; send nothing, or {{\"grace\": \"24h\"}}"
            ))
        })?,
    };
    let id = call.captured.first().map_or("", String::as_str);
    Response::json(&rotated(&call.service.store, id, request.grace.as_deref())?)
}

/// `DELETE /v1/keys/{id}`.
pub fn revoke(call: &Call<'_>) -> Result<Response> {
    let id = call.captured.first().map_or("", String::as_str);
    call.service.store.revoke_key(id, time::now())?;
    Ok(Response::no_content())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(json: &Value) -> Result<Key> {
        let request: KeyRequest = serde_json::from_value(json.clone()).unwrap();
        request.key(&Secret::draw().unwrap(), 1_000)
    }

    #[test]
    fn a_key_is_made_as_it_was_asked_for() {
        let asked = json!({"name": " web ", "scopes": ["read", "ingest", "read"], "datasets": ["web_*", "visits"],
            "filter": "tenant='a'", "expires": "90d", "limits": {"requests_per_minute": 5}});
        let key = key(&asked).unwrap();
        let told = told(&key, 1_000);
        for (part, expected) in [
            ("name", json!("web")),
            ("status", json!("active")),
            ("scopes", json!(["ingest", "read"])),
            ("datasets", json!(["web_*", "visits"])),
            ("filter", json!("tenant = 'a'")),
            ("limits", json!({"requests_per_minute": 5})),
            ("expires", json!(time::format(1_000 + 90 * time::DAY))),
            ("used", Value::Null),
        ] {
            assert_eq!(told[part], expected, "{part}");
        }
        assert!(!told.to_string().contains("secret\":\"") && told.get("hash").is_none());
    }

    #[test]
    fn what_makes_no_key_is_refused_with_the_reason() {
        let long = "x".repeat(101);
        for (changed, word) in [
            (json!({"name": ""}), "name"),
            (json!({"name": long}), "100"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"scopes": []}), "at least one"),
            (json!({"scopes": ["reed"]}), "did you mean"),
            (json!({"datasets": ["Visits"]}), "pattern"),
            (json!({"datasets": ["_audit"]}), "pattern"),
            (json!({"datasets": [""]}), "pattern"),
            (json!({"filter": "tenant ="}), "the filter"),
            (json!({"filter": "count(*) > 1"}), "the filter"),
            (json!({"expires": "yesterday"}), "no time to come"),
            (json!({"expires": "1970-01-01T00:00:00Z"}), "no time to come"),
            (json!({"scopes": ["admin"], "datasets": ["a"]}), "admin"),
            (json!({"scopes": ["admin"], "filter": "n = 1"}), "admin"),
        ] {
            let mut asked = json!({"name": "a", "scopes": ["read"]});
            for (part, value) in changed.as_object().unwrap() {
                asked[part] = value.clone();
            }
            let refused = key(&asked).unwrap_err().to_string();
            assert!(refused.contains(word), "{changed}: {refused}");
        }
    }
}
