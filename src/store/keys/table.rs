//! Keys as rows of the table `key`: read at the start, changed through [`Store`] by the writer, which swaps the ring
//! after its commit.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crossbeam_channel::bounded;
use rusqlite::{Connection, Transaction, params};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::Store;
use crate::store::keys::secret::{Hash, Secret};
use crate::store::keys::{Grant, Key, Ring};
use crate::store::writer::{Command, Writer};

/// What is done to keys.
#[derive(Debug)]
pub(in crate::store) enum KeyChange {
    /// A key that is new.
    Make(Box<Key>),
    /// Another secret for a key; the one that it has is let in until then, µs.
    Rotate { id: String, hash: Hash, old_until_us: i64 },
    /// A key is not let in any more.
    Revoke { id: String, at_us: i64 },
    /// A key was let in.
    Used { id: Arc<str>, at_us: i64 },
}

/// Reads all keys.
pub(in crate::store) fn load(connection: &Connection) -> Result<Ring> {
    let context = |e| Error::sqlite("cannot read the keys", e);
    let mut statement = connection
        .prepare(
            "SELECT id, name, hash, old_hash, old_until_us, \"grant\", created_us, expires_us, used_us, revoked_us
               FROM key",
        )
        .map_err(context)?;
    let rows = statement
        .query_map([], |row| {
            let old = row.get::<_, Option<[u8; 32]>>(3)?.map(Hash::stored);
            let key = Key {
                id: row.get::<_, String>(0)?.into(),
                name: row.get(1)?,
                grant: Grant::default(),
                hash: Hash::stored(row.get(2)?),
                old: old.zip(row.get(4)?),
                created_us: row.get(6)?,
                expires_us: row.get(7)?,
                used_us: Arc::new(AtomicI64::new(row.get::<_, Option<i64>>(8)?.unwrap_or(0))),
                revoked_us: row.get(9)?,
            };
            Ok((key, row.get::<_, String>(5)?))
        })
        .map_err(context)?;
    let mut ring = Ring::default();
    for row in rows {
        let (mut key, grant) = row.map_err(context)?;
        key.grant = serde_json::from_str(&grant).map_err(|e| {
            Error::Corrupt(format!("what the stored key \"{}\" may do cannot be read: {e}", key.id))
        })?;
        ring.keys.insert(Arc::clone(&key.id), Arc::new(key));
    }
    Ok(ring)
}

impl Store {
    /// All keys as of the last commit.
    pub fn keys(&self) -> Arc<Ring> {
        self.keys.current()
    }

    /// Stores a key.
    ///
    /// # Errors
    /// `Conflict` where there are too many.
    pub fn make_key(&self, key: Key) -> Result<()> {
        self.ask(|reply| Command::Keys(KeyChange::Make(Box::new(key)), reply))
    }

    /// Gives a key another secret; the one that it has is let in until then.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn rotate_key(&self, secret: &Secret, old_until_us: i64) -> Result<()> {
        let (id, hash) = (secret.id().to_owned(), secret.hash());
        self.ask(|reply| Command::Keys(KeyChange::Rotate { id, hash, old_until_us }, reply))
    }

    /// Lets a key in no more.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke_key(&self, id: &str, at_us: i64) -> Result<()> {
        self.ask(|reply| Command::Keys(KeyChange::Revoke { id: id.to_owned(), at_us }, reply))
    }

    /// Notes that a key was let in, when the writer comes to it; where its queue is full, it is not noted.
    pub fn note_key_use(&self, key: &Key, at_us: i64) {
        let (reply, _) = bounded(1);
        let _ =
            self.commands.try_send(Command::Keys(KeyChange::Used { id: Arc::clone(&key.id), at_us }, reply));
    }
}

impl Writer {
    /// Carries out one change of keys. Revoking is tried on a full disk too.
    pub(in crate::store) fn change_keys(&mut self, change: KeyChange) -> Result<()> {
        let is_urgent = matches!(change, KeyChange::Revoke { .. });
        self.guarded(is_urgent, |writer| writer.try_change_keys(change))
    }

    fn try_change_keys(&mut self, change: KeyChange) -> Result<()> {
        let mut ring = Ring::clone(&self.keys.current());
        let transaction = Self::begin(&mut self.connection)?;
        match change {
            KeyChange::Make(key) => {
                make_room(&transaction, &mut ring)?;
                insert(&transaction, &key)?;
                ring.keys.insert(Arc::clone(&key.id), Arc::new(*key));
            }
            KeyChange::Rotate { id, hash, old_until_us } => {
                let mut key = Key::clone(ring.key(&id)?);
                key.old = Some((std::mem::replace(&mut key.hash, hash), old_until_us));
                update(&transaction, &key)?;
                ring.keys.insert(Arc::clone(&key.id), Arc::new(key));
            }
            KeyChange::Revoke { id, at_us } => {
                let mut key = Key::clone(ring.key(&id)?);
                key.revoked_us = key.revoked_us.or(Some(at_us));
                update(&transaction, &key)?;
                ring.keys.insert(Arc::clone(&key.id), Arc::new(key));
            }
            KeyChange::Used { id, at_us } => {
                transaction
                    .execute("UPDATE key SET used_us = ?2 WHERE id = ?1", params![&*id, at_us])
                    .map_err(|e| Error::sqlite("cannot note that a key was used", e))?;
            }
        }
        self.watch.commit(transaction)?;
        self.keys.publish(ring);
        Ok(())
    }
}

/// Where there are as many keys as there may be, the one that was revoked first goes.
fn make_room(transaction: &Transaction<'_>, ring: &mut Ring) -> Result<()> {
    if ring.keys.len() < limits::KEYS {
        return Ok(());
    }
    let revoked = ring.keys.values().filter(|key| key.revoked_us.is_some()).min_by_key(|key| key.revoked_us);
    let Some(id) = revoked.map(|key| Arc::clone(&key.id)) else {
        return Err(Error::Conflict(format!(
            "there are {} keys already, which is the most; revoke one that nobody uses",
            limits::KEYS
        )));
    };
    transaction
        .execute("DELETE FROM key WHERE id = ?1", [&*id])
        .map_err(|e| Error::sqlite("cannot remove a key", e))?;
    ring.keys.remove(&id);
    Ok(())
}

fn insert(transaction: &Transaction<'_>, key: &Key) -> Result<()> {
    let grant = serde_json::to_string(&key.grant)
        .map_err(|e| Error::Internal(format!("what a key may do does not serialize: {e}")))?;
    transaction
        .execute(
            "INSERT INTO key (id, name, hash, \"grant\", created_us, expires_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![&*key.id, key.name, key.hash.bytes(), grant, key.created_us, key.expires_us],
        )
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot store a key", e))
}

fn update(transaction: &Transaction<'_>, key: &Key) -> Result<()> {
    let (old_hash, old_until_us) = match &key.old {
        Some((hash, until_us)) => (Some(hash.bytes()), Some(*until_us)),
        None => (None, None),
    };
    transaction
        .execute(
            "UPDATE key SET hash = ?2, old_hash = ?3, old_until_us = ?4, revoked_us = ?5 WHERE id = ?1",
            params![&*key.id, key.hash.bytes(), old_hash, old_until_us, key.revoked_us],
        )
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot change a key", e))
}
