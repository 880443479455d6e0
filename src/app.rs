//! The only wiring: builds the parts, starts and stops them in order. [`Engine`] is the library's way in, [`serve`]
//! the server's, [`demo`] that of a server with data of its own; nothing else opens a store together with what works on
//! it.

pub mod demo;
pub mod serve;

use std::path::Path;
use std::sync::Arc;

use crate::config::Settings;
use crate::error::Result;
use crate::ingest::accept::{Accepted, accept, decode_json};
use crate::ingest::destination::Patient;
use crate::query::answer::Answer;
use crate::query::page::{self, Page, PageRequest};
use crate::query::{self, parse};
use crate::store::open::Durability;
use crate::store::{Store, StoreOptions};
use crate::time;

/// An open database within this process.
///
/// ```
/// use windrow::app::Engine;
/// use windrow::store::StoreOptions;
/// use windrow::value::Value;
///
/// # fn main() -> windrow::error::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("visits.db");
/// let engine = Engine::open(&path, StoreOptions::default())?;
/// let accepted = engine.ingest_json("visits", br#"[{"country": "DE"}, {"country": "FR"}]"#)?;
/// assert_eq!(accepted.accepted, 2);
/// let answer = engine.sql("SELECT count(*) FROM visits WHERE country = 'DE'")?;
/// assert_eq!(answer.rows, [[Value::Int(1)]]);
/// engine.close();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Engine {
    store: Arc<Store>,
}

impl Engine {
    /// Opens a file, made when it is missing.
    ///
    /// # Errors
    /// Another process has it, its folder cannot be written, or it is none of ours, newer, or damaged.
    pub fn open(path: impl AsRef<Path>, options: StoreOptions) -> Result<Self> {
        Ok(Self { store: Arc::new(Store::open(path.as_ref(), options)?) })
    }

    /// Adds events: an object, an array or NDJSON. When this returns they are committed and visible.
    ///
    /// # Errors
    /// A dataset name that is none, a body that cannot be read at all, and the store's. Single events that cannot
    /// be read are no error: they are listed as rejected.
    pub fn ingest_json(&self, dataset: &str, bytes: &[u8]) -> Result<Accepted> {
        accept(&Patient { store: &self.store, dataset }, |rules| decode_json(bytes, rules))
    }

    /// Answers one SELECT.
    ///
    /// # Errors
    /// What cannot be parsed, unknown names, limits.
    pub fn sql(&self, text: &str) -> Result<Answer> {
        query::run(&self.store.snapshot(), &parse::sql(text, &[])?)
    }

    /// Answers one JSON query, as of `POST /v1/query`.
    ///
    /// # Errors
    /// What cannot be parsed, unknown names, limits.
    pub fn query(&self, json: &[u8]) -> Result<Answer> {
        query::run(&self.store.snapshot(), &parse::json(json, time::now())?)
    }

    /// Reads one page of rows.
    ///
    /// # Errors
    /// Unknown names, a limit out of bounds, a cursor that is altered or of another query.
    pub fn rows(&self, request: &PageRequest) -> Result<Page> {
        page::page(&self.store.snapshot(), self.store.secret(), request)
    }

    /// Erases the events that a condition is true for; the result is their number.
    ///
    /// # Errors
    /// Unknown names, a condition that is none, a file that cannot be written.
    pub fn erase(&self, dataset: &str, condition: &str) -> Result<u64> {
        query::erase::erase(&self.store, dataset, condition)
    }

    /// Commits what was accepted, checkpoints and closes the file; dropping the engine does the same.
    pub fn close(&self) {
        self.store.close();
    }
}

/// What the settings say of the store.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let durability = if settings.durability == "normal" { Durability::Normal } else { Durability::Full };
    StoreOptions {
        durability,
        readers: settings.readers,
        buffer_pool_bytes: settings.memory_mb << 20,
        seal_rows: settings.seal_rows,
        made_by: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_keeps_what_it_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let engine = Engine::open(&path, StoreOptions::default()).unwrap();
        assert_eq!(engine.ingest_json("visits", b"{\"n\":1}\nnonsense\n").unwrap().rejected_total, 1);
        engine.close();
        drop(engine);
        let engine = Engine::open(&path, StoreOptions::default()).unwrap();
        assert_eq!(engine.store.snapshot().dataset("visits").unwrap().rows(), 1);
    }

    #[test]
    fn durability_is_taken_by_its_name() {
        let of = |durability| store_options(&Settings { durability, ..Settings::default() }).durability;
        assert_eq!((of("full"), of("normal")), (Durability::Full, Durability::Normal));
    }
}
