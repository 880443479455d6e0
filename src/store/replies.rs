//! Replies that are kept for who asks again with the same `Idempotency-Key`. What they tell and they themselves are
//! committed together, so neither a lost connection nor a kill comes between the two. They are bounded in age, number and
//! bytes, the oldest going first. `http/idempotency` keeps and asks; the writer notes them beside what they are of.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::Store;
use crate::store::upkeep::Upkeep;
use crate::store::writer::{Command, Writer};

/// Replies that are looked at, whether they go, when one is added.
const LOOKED_AT: i64 = 64;

/// Which request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Who asked, method, path and key, hashed.
    pub request: [u8; 32],
    /// The rest of the request, hashed: its body above all.
    pub fingerprint: [u8; 16],
    /// When, µs.
    pub at_us: i64,
}

/// A reply as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReply {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its body, not compressed.
    pub body: Vec<u8>,
}

/// What is committed with the thing that a request creates: the reply, as a function of how many items were there
/// already, which only the commit can tell.
#[derive(Clone)]
pub struct Once {
    /// The request.
    pub asked: Asked,
    /// Its reply.
    pub reply: Arc<dyn Fn(u64) -> KeptReply + Send + Sync>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// Writes a reply, and lets older ones go that are too old or too many.
pub(super) fn note(transaction: &Transaction<'_>, once: &Once, duplicates: u64) -> Result<()> {
    let (asked, reply) = (&once.asked, (once.reply)(duplicates));
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO reply (request, fingerprint, made_us, bytes_so_far, status, content_type, body)
             SELECT ?1, ?2, ?3, coalesce((SELECT bytes_so_far FROM reply ORDER BY id DESC LIMIT 1), 0) + ?4, ?5, ?6, ?7",
        )
        .and_then(|mut statement| {
            statement.execute(params![
                asked.request,
                asked.fingerprint,
                asked.at_us,
                reply.body.len() as i64,
                reply.status,
                reply.content_type,
                reply.body
            ])
        })
        .map_err(|e| Error::sqlite("cannot keep the reply of a request with an Idempotency-Key", e))?;
    forget(transaction, asked.at_us - limits::IDEMPOTENCY_US).map(|_| ())
}

/// Lets some of the oldest go: those made until `oldest_us`, and those that are too many; gives how many.
fn forget(transaction: &Transaction<'_>, oldest_us: i64) -> Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM reply
              WHERE id < (SELECT min(id) FROM reply) + ?1
                AND (made_us <= ?2
                     OR id <= (SELECT max(id) FROM reply) - ?3
                     OR bytes_so_far - length(body) < (SELECT bytes_so_far FROM reply ORDER BY id DESC LIMIT 1) - ?4)",
        )
        .and_then(|mut statement| {
            let (most, bytes) = (limits::IDEMPOTENCY_KEYS as i64, limits::IDEMPOTENCY_BYTES as i64);
            statement.execute(params![LOOKED_AT, oldest_us, most, bytes])
        })
        .map_err(|e| Error::sqlite("cannot forget old replies", e))
}

fn find(connection: &Connection, request: &[u8; 32], now_us: i64) -> Result<Option<([u8; 16], KeptReply)>> {
    connection
        .prepare_cached(
            "SELECT fingerprint, status, content_type, body FROM reply WHERE request = ?1 AND made_us > ?2",
        )
        .and_then(|mut statement| {
            let found = statement.query_row(params![request, now_us - limits::IDEMPOTENCY_US], |row| {
                Ok((
                    row.get(0)?,
                    KeptReply { status: row.get(1)?, content_type: row.get(2)?, body: row.get(3)? },
                ))
            });
            found.optional()
        })
        .map_err(|e| Error::sqlite("cannot look for the reply of an earlier request", e))
}

impl Store {
    /// The reply that a request had, with the fingerprint of that time; `None` where there is none that is young enough.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn kept_reply(&self, request: &[u8; 32], now_us: i64) -> Result<Option<([u8; 16], KeptReply)>> {
        find(&*self.reader()?, request, now_us)
    }

    /// Keeps a reply that tells of nothing that was written.
    ///
    /// # Errors
    /// `StorageUnavailable` where the file cannot be written.
    pub fn keep_reply(&self, once: Once) -> Result<()> {
        self.ask(|reply| Command::KeepReply(Box::new(once), reply))
    }
}

impl Writer {
    /// Keeps a reply alone.
    pub(super) fn keep_reply(&mut self, once: &Once) -> Result<()> {
        let transaction = Self::begin(&mut self.connection)?;
        note(&transaction, once, 0)?;
        self.watch.commit(transaction)
    }

    /// Lets some replies go that were made until then; false where there are no more.
    pub(super) fn forget_replies(&mut self, oldest_us: i64) -> Result<bool> {
        let is_there = self
            .connection
            .query_row("SELECT 1 FROM reply WHERE made_us <= ?1 ORDER BY id LIMIT 1", [oldest_us], |_| Ok(()))
            .optional()
            .map_err(|e| Error::sqlite("cannot look for old replies", e))?;
        if is_there.is_none() {
            return Ok(false);
        }
        let transaction = Self::begin(&mut self.connection)?;
        let gone = forget(&transaction, oldest_us)?;
        self.watch.commit(transaction)?;
        Ok(gone > 0)
    }
}

impl Upkeep {
    /// Forgets the replies that are too old for everybody.
    pub(super) fn forget_replies(&self, now_us: i64) -> Result<()> {
        let oldest_us = now_us - limits::IDEMPOTENCY_US;
        while !self.is_stopping() && self.ask(|reply| Command::ForgetReplies(oldest_us, reply))? {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;
    use crate::time;

    fn asked(number: u64, at_us: i64) -> Asked {
        let mut request = [0; 32];
        request[..8].copy_from_slice(&number.to_be_bytes());
        Asked { request, fingerprint: [number as u8; 16], at_us }
    }

    fn once(number: u64, at_us: i64, bytes: usize) -> Once {
        let reply = move |duplicates| KeptReply {
            status: 200,
            content_type: "text/plain".into(),
            body: format!("{number} {duplicates}{}", " ".repeat(bytes)).into_bytes(),
        };
        Once { asked: asked(number, at_us), reply: Arc::new(reply) }
    }

    fn counted(store: &Store) -> (i64, i64) {
        let reader = store.reader().unwrap();
        let sql = "SELECT count(*), coalesce(sum(length(body)), 0) FROM reply";
        reader.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    #[test]
    fn a_reply_is_there_for_its_time_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let day = limits::IDEMPOTENCY_US;
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        let start = time::now();
        store.keep_reply(once(1, start, 0)).unwrap();
        drop(store);
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        let found = |now_us| store.kept_reply(&asked(1, 0).request, now_us).unwrap();
        let (fingerprint, reply) = found(start + day - 1).unwrap();
        assert_eq!((fingerprint, reply.status, reply.body.as_slice()), ([1; 16], 200, &b"1 0"[..]));
        assert_eq!(found(start + day), None, "it is too old, though it is still there");
        // the key may be used anew then
        store.keep_reply(once(1, start + day, 2)).unwrap();
        assert_eq!(found(start + day + 1).unwrap().1.body, b"1 0  ");
        assert_eq!(counted(&store), (1, 5));
    }

    #[test]
    fn old_replies_go_in_the_background() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        let start = time::now();
        for number in 0..90 {
            store.keep_reply(once(number, start + number as i64, 0)).unwrap();
        }
        assert_eq!(counted(&store).0, 90);
        store.upkeep().forget_replies(start + limits::IDEMPOTENCY_US + 69).unwrap();
        assert_eq!(counted(&store).0, 20);
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        let (most, now) = (limits::IDEMPOTENCY_KEYS as u64, time::now());
        for number in 0..most + 20 {
            store.keep_reply(once(number, now, 0)).unwrap();
        }
        assert_eq!(counted(&store).0, most as i64);
        assert_eq!(store.kept_reply(&asked(19, 0).request, now).unwrap(), None, "the oldest are gone");
        assert!(store.kept_reply(&asked(20, 0).request, now).unwrap().is_some());
        for number in 0..12 {
            store.keep_reply(once(1_000_000 + number, now, limits::IDEMPOTENCY_BYTES / 4)).unwrap();
        }
        assert!(counted(&store).1 <= limits::IDEMPOTENCY_BYTES as i64, "{:?}", counted(&store));
        assert!(store.kept_reply(&asked(1_000_011, 0).request, now).unwrap().is_some());
    }
}
