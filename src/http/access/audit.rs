//! The audit log: who did what, when, from where, and what came of it, as events of the dataset `_audit`. They go the way of
//! all events, after what they tell of, and only `admin` reads them. Refusals, which anyone can cause, are written up to
//! [`limits::AUDIT_REFUSALS`] a minute; the others are counted, and the count goes with the next one.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::error::Result;
use crate::fields::Declaration;
use crate::ingest::accept::{accept, decode_json};
use crate::ingest::destination::Own;
use crate::limits;
use crate::store::Store;
use crate::time::{self, MINUTE};

/// The dataset.
pub const DATASET: &str = "_audit";

/// What is declared of it.
const DECLARATION: &str = r#"{"retention": "400d", "fields": {"who": {"type": "string"}, "action": {"type": "string"},
    "subject": {"type": "string"}, "outcome": {"type": "string"}, "status": {"type": "int"}, "detail": {"type": "string"},
    "client": {"type": "string"}, "left_out": {"type": "int"}}}"#;

/// One entry.
#[derive(Debug, Default)]
pub struct Entry {
    /// Who did it.
    pub who: String,
    /// What was done.
    pub action: &'static str,
    /// What it was done to: a dataset, a key, a path.
    pub subject: String,
    /// The status that he was told.
    pub status: u16,
    /// More of it.
    pub detail: String,
    /// Where he is, if that is known.
    pub client: Option<IpAddr>,
}

#[derive(Serialize)]
struct Row<'a> {
    who: &'a str,
    action: &'a str,
    subject: &'a str,
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// Refusals before this one that were not written.
    #[serde(skip_serializing_if = "is_none")]
    left_out: u64,
}

fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What was written of refusals.
#[derive(Debug, Default)]
pub struct Audit(Mutex<Refusals>);

#[derive(Debug, Default)]
struct Refusals {
    /// The minute that is counted, since 1970.
    minute: i64,
    written: u64,
    left_out: u64,
}

impl Refusals {
    /// Whether one more is written; with how many were not since the last that was.
    fn take(&mut self, now_us: i64) -> Option<u64> {
        let minute = now_us / MINUTE;
        if minute != self.minute {
            (self.minute, self.written) = (minute, 0);
        }
        if self.written >= limits::AUDIT_REFUSALS {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Audit {
    /// Writes what was done.
    pub fn done(&self, store: &Store, entry: &Entry) {
        note(store, entry, 0);
    }

    /// Writes what was refused, unless there were too many in this minute.
    pub fn refused(&self, store: &Store, entry: &Entry) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(time::now());
        if let Some(left_out) = taken {
            note(store, entry, left_out);
        }
    }

    /// Writes the count of what was not written, at the end.
    pub fn close(&self, store: &Store) {
        let left_out = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).left_out);
        if left_out > 0 {
            let entry = Entry { who: "server".into(), action: "refused", ..Entry::default() };
            note(store, &entry, left_out);
        }
    }
}

/// Writes one entry. What was done is done: an entry that cannot be written goes to the log of the process instead.
pub fn note(store: &Store, entry: &Entry, left_out: u64) {
    if let Err(e) = write(store, entry, left_out) {
        tracing::warn!(
            "the audit log has no entry of {} {} by {}: {e}",
            entry.action,
            entry.subject,
            entry.who
        );
    }
}

fn write(store: &Store, entry: &Entry, left_out: u64) -> Result<()> {
    if !store.snapshot().datasets.contains_key(DATASET) {
        store.declare(DATASET, Declaration::from_json(DECLARATION.as_bytes())?)?;
    }
    let row = Row {
        who: shortened(&entry.who),
        action: entry.action,
        subject: shortened(&entry.subject),
        outcome: match entry.status {
            0..400 => "done",
            400..500 => "refused",
            _ => "failed",
        },
        status: entry.status,
        detail: shortened(&entry.detail),
        client: entry.client.map(|client| client.to_string()),
        left_out,
    };
    let body = serde_json::to_vec(&row).unwrap_or_default();
    accept(&Own { store, dataset: DATASET }, |rules| decode_json(&body, rules)).map(|_| ())
}

/// A text within the bound of an entry.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::AUDIT_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::reach::Reach;
    use crate::query::{self, parse};
    use crate::store::StoreOptions;

    #[test]
    fn refusals_are_written_up_to_so_many_a_minute_and_counted_beyond() {
        let mut refusals = Refusals::default();
        let taken: Vec<Option<u64>> =
            (0..limits::AUDIT_REFUSALS + 7).map(|_| refusals.take(5 * MINUTE)).collect();
        assert_eq!(taken.iter().flatten().count() as u64, limits::AUDIT_REFUSALS);
        assert_eq!(refusals.take(6 * MINUTE), Some(7));
        assert_eq!(refusals.take(6 * MINUTE), Some(0));
    }

    #[test]
    fn an_entry_is_an_event_of_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        let audit = Audit::default();
        let long = "ä".repeat(5_000);
        for status in [200, 403, 503] {
            audit.done(
                &store,
                &Entry { who: "key a".into(), action: "x", detail: long.clone(), status, ..Entry::default() },
            );
        }
        let sql = "SELECT outcome, length(detail) FROM _audit ORDER BY _seq";
        let answer = query::answer(&store.snapshot(), &parse::statement(sql, &[]).unwrap()).unwrap();
        let told: Vec<String> =
            answer.rows.iter().map(|row| format!("{} {}", row[0].to_text(), row[1].to_text())).collect();
        let letters = limits::AUDIT_TEXT_BYTES / 2;
        assert_eq!(told, ["done", "refused", "failed"].map(|outcome| format!("{outcome} {letters}")));
        assert!(store.drop_dataset(DATASET).unwrap_err().to_string().contains("engine's own"));
        assert!(
            query::erase::erase(&store, &Reach::everything(), DATASET, "true")
                .unwrap_err()
                .to_string()
                .contains("engine's own")
        );
    }
}
