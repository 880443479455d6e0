//! Keys: who may do what from outside. A key is a row of the table `key`; all of them are in memory too, as one
//! immutable [`Ring`] that the writer swaps when a key changes, so a request is let in without SQL. `http/access` asks
//! the ring, `http/api/keys` and `windrow keys` change it.

pub mod secret;
mod table;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, nearest};
use crate::store::keys::secret::{Hash, Secret};
use crate::time::MINUTE;

pub(super) use table::{KeyChange, load, read};

/// What a key may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Appends events and writes records.
    Ingest,
    /// Reads and asks.
    Read,
    /// Everything: also declaring, dropping, erasing, and keys.
    Admin,
}

impl Scope {
    /// All of them with their names.
    pub const ALL: [(Scope, &'static str); 3] =
        [(Self::Ingest, "ingest"), (Self::Read, "read"), (Self::Admin, "admin")];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }

    /// The scope of a name.
    ///
    /// # Errors
    /// `Invalid` with the names that there are.
    pub fn of(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope).ok_or_else(|| {
            let hint = nearest(name, Self::ALL.iter().map(|(_, known)| *known));
            Error::invalid(format!("\"{name}\" is no scope; scopes are ingest, read, admin{hint}"))
        })
    }
}

/// Limits of a key's own, each a number a minute; those that are missing are the usual ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Events and records that are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_minute: Option<u64>,
    /// Bytes of bodies that are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_minute: Option<u64>,
}

/// What a key may do, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What it is for; at least one.
    pub scopes: Vec<Scope>,
    /// Names of datasets, or patterns such as `web_*`; none: all but the engine's own.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// The expression that every read is bound to, and every write has to satisfy.
    #[serde(default)]
    pub filter: Option<String>,
    /// Limits of its own.
    #[serde(default)]
    pub limits: Option<KeyLimits>,
}

impl Grant {
    /// Whether it has a scope; `admin` has all.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }
}

/// One key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its public name, which its secret begins with.
    pub id: Arc<str>,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// When it was made, µs.
    pub created_us: i64,
    /// From when on it is not let in, µs.
    pub expires_us: Option<i64>,
    /// When it was revoked, µs.
    pub revoked_us: Option<i64>,
    hash: Hash,
    /// The secret before the last rotation, and until when it is let in, µs.
    old: Option<(Hash, i64)>,
    /// When it was let in last, to the minute, µs; 0: never. All rings share it.
    used_us: Arc<AtomicI64>,
}

impl Key {
    /// A key that is not stored yet, of a secret.
    pub fn new(name: String, grant: Grant, expires_us: Option<i64>, secret: &Secret, now_us: i64) -> Self {
        Self {
            id: secret.id().into(),
            name,
            grant,
            created_us: now_us,
            expires_us,
            revoked_us: None,
            hash: secret.hash(),
            old: None,
            used_us: Arc::default(),
        }
    }

    /// When it was let in last, to the minute, µs.
    pub fn used_us(&self) -> Option<i64> {
        Some(self.used_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }

    /// Until when the secret before the last rotation is let in, µs.
    pub fn old_until_us(&self, now_us: i64) -> Option<i64> {
        self.old.as_ref().map(|(_, until_us)| *until_us).filter(|until_us| now_us < *until_us)
    }

    /// Notes that it is used now; true where that is worth writing down: once a minute.
    pub fn note_use(&self, now_us: i64) -> bool {
        let last = self.used_us.load(Ordering::Relaxed);
        let is_due = now_us.saturating_sub(last) >= MINUTE;
        is_due && self.used_us.compare_exchange(last, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Why it is not let in, where it is not.
    pub fn refusal(&self, now_us: i64) -> Option<Refused> {
        match (self.revoked_us, self.expires_us) {
            (Some(_), _) => Some(Refused::Revoked),
            (None, Some(expires_us)) if expires_us <= now_us => Some(Refused::Expired),
            _ => None,
        }
    }
}

/// Why a secret is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is of no key.
    Unknown,
    /// Its key has expired.
    Expired,
    /// Its key was revoked.
    Revoked,
    /// Its key was rotated, and the grace time is over.
    Rotated,
}

/// All keys as of one commit.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    keys: BTreeMap<Arc<str>, Arc<Key>>,
}

impl Ring {
    /// All keys, also those that are not let in any more; by their id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// The key of an id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn key(&self, id: &str) -> Result<&Arc<Key>> {
        self.keys.get(id).ok_or_else(|| {
            Error::NotFound(format!("there is no key \"{id}\"; `windrow keys` and GET /v1/keys list them"))
        })
    }

    /// The key that a secret opens now. Its id is no secret, so it is looked up; what follows is compared by its hash in a time
    /// that does not depend on it.
    ///
    /// # Errors
    /// Why it opens none. What is wrong with a key is told only to who has its secret.
    pub fn open(&self, text: &str, now_us: i64) -> Result<&Arc<Key>, Refused> {
        let key = secret::id_of(text).and_then(|id| self.keys.get(id)).ok_or(Refused::Unknown)?;
        let given = secret::hash_of(text);
        let (is_current, is_old) =
            (key.hash.is(&given), key.old.as_ref().is_some_and(|(hash, _)| hash.is(&given)));
        if !is_current && !is_old {
            return Err(Refused::Unknown);
        }
        if let Some(refused) = key.refusal(now_us) {
            return Err(refused);
        }
        if !is_current && key.old_until_us(now_us).is_none() {
            return Err(Refused::Rotated);
        }
        Ok(key)
    }
}

/// The current ring, swapped whole by the writer.
#[derive(Debug, Default)]
pub(super) struct PublishedKeys(RwLock<Arc<Ring>>);

impl PublishedKeys {
    pub(super) fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn publish(&self, ring: Ring) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

#[cfg(test)]
mod tests;
