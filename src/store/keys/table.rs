//! Keys as rows of the table `key`: read at the start, changed through [`Store`] by the writer, which swaps the ring
//! after its commit.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crossbeam_channel::bounded;
use rusqlite::Error::FromSqlConversionFailure;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Transaction, params};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::Store;
use crate::store::keys::secret::{Hash, Secret};
use crate::store::keys::{Key, Ring};
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

/// Reads all keys. One that is damaged lets nobody in, and keeps nobody from the data.
pub(in crate::store) fn load(connection: &Connection) -> Result<Ring> {
    let (ring, faults) = read(connection)?;
    for what in faults {
        tracing::error!("{what}; it is not let in");
    }
    Ok(ring)
}

/// Reads all keys; gives what is wrong with those that cannot be read.
pub(in crate::store) fn read(connection: &Connection) -> Result<(Ring, Vec<String>)> {
    let context = |e| Error::sqlite("cannot read the keys", e);
    let mut statement = connection
        .prepare(
            "SELECT id, name, hash, old_hash, old_until_us, \"grant\", created_us, expires_us, used_us, revoked_us
               FROM key",
        )
        .map_err(context)?;
    let mut rows = statement.query([]).map_err(context)?;
    let (mut ring, mut faults) = (Ring::default(), Vec::new());
    while let Some(row) = rows.next().map_err(context)? {
        match key(row) {
            Ok(key) => {
                ring.keys.insert(Arc::clone(&key.id), Arc::new(key));
            }
            Err(e) => {
                let id = row.get::<_, String>(0).unwrap_or_default();
                faults.push(format!("the key \"{id}\" cannot be read: {e}"));
            }
        }
    }
    Ok((ring, faults))
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    let grant: String = row.get(5)?;
    let wrong = |e: serde_json::Error| FromSqlConversionFailure(5, Type::Text, Box::new(e));
    Ok(Key {
        id: row.get::<_, String>(0)?.into(),
        name: row.get(1)?,
        grant: serde_json::from_str(&grant).map_err(wrong)?,
        hash: Hash::stored(row.get(2)?),
        old: row.get::<_, Option<[u8; 32]>>(3)?.map(Hash::stored).zip(row.get(4)?),
        created_us: row.get(6)?,
        expires_us: row.get(7)?,
        used_us: Arc::new(AtomicI64::new(row.get::<_, Option<i64>>(8)?.unwrap_or(0))),
        revoked_us: row.get(9)?,
    })
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
