//! The library's way in: a database within the process that uses it, without HTTP. Everything goes the same path as
//! through the server, and means the same.

use std::path::Path;
use std::sync::Arc;

use crate::cache::{Cache, CacheOptions};
use crate::error::Result;
use crate::fields::{Declaration, check_dataset_name};
use crate::ingest::accept::{Accepted, accept, decode_json};
use crate::ingest::destination::{Patient, Table};
use crate::ingest::import::{self, ImportOptions, Report};
use crate::jobs::{Jobs, Kinds};
use crate::query::answer::Answer;
use crate::query::budget::Limits;
use crate::query::describe::describe;
use crate::query::language::Statement;
use crate::query::page::{self, Page, PageRequest};
use crate::query::reach::Reach;
use crate::query::sequences::{self, Kind};
use crate::query::warm::{WarmList, Warmed};
use crate::query::{self, parse};
use crate::records::put::PutOptions;
use crate::records::search::{self, Found, SearchRequest};
use crate::records::{change, declare, relations};
use crate::store::backup::{self, Copied};
use crate::store::describe::Description;
use crate::store::keyed::write::Put;
use crate::store::progress::Progress;
use crate::store::{Store, StoreOptions};
use crate::time;

/// An open database within this process. It can be used from many threads at once, and a clone is the same database.
///
/// One process writes to a file: while an engine has it, `windrow serve` and `windrow import` are refused, and reading
/// verbs such as `windrow sql` work beside it.
///
/// ```
/// use windrow::{Engine, PageRequest, Value};
///
/// # fn main() -> windrow::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("visits.db");
/// let engine = Engine::open(&path)?;
/// let accepted = engine.ingest("visits", r#"[{"country": "DE", "ms": 12}, {"country": "FR", "ms": 30}]"#)?;
/// assert_eq!(accepted.accepted, 2);
/// let answer = engine.query(r#"{"from": "visits", "select": ["count()", "max(ms)"]}"#)?;
/// assert_eq!(answer.rows, [[Value::Int(2), Value::Int(30)]]);
/// let page = engine.rows(&PageRequest { dataset: "visits".into(), limit: Some(1), ..PageRequest::default() })?;
/// assert!(page.rows.len() == 1 && page.next.is_some());
/// engine.close();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) store: Arc<Store>,
    pub(super) limits: Limits,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) jobs: Arc<Jobs>,
}

impl Engine {
    /// Opens a file with the usual options, made when it is missing.
    ///
    /// # Errors
    /// Another process has it, its folder cannot be written, or it is none of ours, newer, or damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, StoreOptions::default())
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(path: impl AsRef<Path>, options: StoreOptions) -> Result<Self> {
        let store = Arc::new(Store::open(path.as_ref(), options)?);
        let jobs = Arc::new(Jobs::idle(Arc::clone(&store), Kinds::default()));
        Ok(Self { store, limits: Limits::default(), cache: None, jobs })
    }

    /// The same database, which keeps answers and parts of answers for those who ask again. They stay exact: a question
    /// that is asked again after more events came looks at these alone.
    ///
    /// ```
    /// use windrow::{CacheOptions, Engine, Value};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("visits.db");
    /// let engine = Engine::open(&path)?.with_cache(CacheOptions::beside(&path));
    /// engine.ingest("visits", r#"{"ms": 12}"#)?;
    /// let question = r#"{"from": "visits", "select": ["sum(ms)"]}"#;
    /// assert_eq!(engine.query(question)?.stats.cache, "miss");
    /// assert_eq!(engine.query(question)?.stats.cache, "hit");
    /// engine.ingest("visits", r#"{"ms": 30}"#)?;
    /// assert_eq!(engine.query(question)?.rows, [[Value::Int(42)]]);
    /// engine.close();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_cache(self, options: CacheOptions) -> Self {
        Self { cache: Some(Cache::open(options)), ..self }
    }

    /// What is kept, where [`Engine::with_cache`] was called: to keep values of your own in it, to declare some outdated,
    /// and for its figures.
    pub fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }

    /// Asks listed questions ahead, so that the next one who asks them does not wait.
    pub fn warm(&self, list: &WarmList) -> Warmed {
        list.ask(&self.store, &self.limits(), |_| true)
    }

    /// What a question of this engine may take, and use.
    pub(super) fn limits(&self) -> Limits {
        Limits { cache: self.cache.clone(), ..self.limits.clone() }
    }

    /// The same database, whose questions may take so much. Those of clones with the same [`Limits`] share the memory for
    /// all of them and the flag that ends them; a clone with limits of its own has questions that are ended apart.
    ///
    /// ```
    /// use std::sync::atomic::Ordering;
    /// use windrow::{Engine, Limits};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let engine = Engine::open(folder.path().join("visits.db"))?;
    /// # engine.ingest("visits", r#"{"ms": 12}"#)?;
    /// let limits = Limits { memory_bytes: 16 << 20, ..Limits::default() };
    /// let small = engine.clone().with_limits(limits.clone());
    /// small.sql("SELECT count(*) FROM visits", &[])?;
    /// // from any thread: what runs ends with its next block of rows
    /// limits.cancelled.store(true, Ordering::Relaxed);
    /// assert!(small.sql("SELECT count(*) FROM visits", &[]).is_err());
    /// engine.sql("SELECT count(*) FROM visits", &[])?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same database for someone who may touch some datasets alone, or some of their rows: to him nothing else is
    /// there. What is written by this clone has to satisfy the row filter.
    ///
    /// ```
    /// use windrow::{Engine, PageRequest, Reach, Value};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let engine = Engine::open(folder.path().join("visits.db"))?;
    /// engine.ingest("visits", r#"[{"tenant": "a", "ms": 12}, {"tenant": "b", "ms": 30}]"#)?;
    /// let bound = engine.clone().with_reach(Reach::new(&["visits"], Some("tenant = 'a'"))?);
    /// assert_eq!(bound.sql("SELECT max(ms) FROM visits", &[])?.rows, [[Value::Int(12)]]);
    /// let all = PageRequest { dataset: "visits".into(), ..PageRequest::default() };
    /// assert_eq!(bound.rows(&all)?.rows.len(), 1);
    /// let accepted = bound.ingest("visits", r#"[{"tenant": "a", "ms": 1}, {"tenant": "b", "ms": 2}]"#)?;
    /// assert_eq!((accepted.accepted, accepted.rejected[0].index), (1, 1));
    /// # engine.close();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_reach(self, reach: Reach) -> Self {
        Self { limits: Limits { reach: Arc::new(reach), ..self.limits }, ..self }
    }

    /// Adds events: a JSON object, an array of them, or NDJSON. When this returns they are committed and visible to
    /// the next question; where the writer is busy, it waits.
    ///
    /// # Errors
    /// A dataset name that is none, JSON that cannot be read at all, and the store's. Single events that cannot be
    /// read are no error: they are listed as rejected.
    pub fn ingest(&self, dataset: &str, json: impl AsRef<[u8]>) -> Result<Accepted> {
        let reach = self.limits.reach.clone();
        accept(&Patient { store: &self.store, dataset, reach }, |rules| decode_json(json.as_ref(), rules))
    }

    /// Imports a file, as `windrow import` does.
    ///
    /// # Errors
    /// Nothing of it could be imported. What goes wrong after the first commit is in the report.
    pub fn import(&self, dataset: &str, file: impl AsRef<Path>, options: &ImportOptions) -> Result<Report> {
        self.limits.reach.check_whole(dataset, "an import")?;
        import::import(&self.store, dataset, file.as_ref(), options, &import::Progress::default())
    }

    /// Declares a dataset, made when it is new: the JSON of `PUT /v1/datasets/{dataset}`.
    ///
    /// # Errors
    /// A name or a declaration that is none, or one that the rows at hand do not allow.
    pub fn declare(&self, dataset: &str, json: impl AsRef<[u8]>) -> Result<()> {
        check_dataset_name(dataset)?;
        self.limits.reach.check_whole(dataset, "declaring a dataset")?;
        declare::declare(&self.store, dataset, Declaration::from_json(json.as_ref())?)
    }

    /// Describes all datasets, by name.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn datasets(&self) -> Result<Vec<Description>> {
        let limits = self.limits();
        let all = limits.reach.datasets(&self.store.snapshot());
        all.iter().map(|dataset| describe(&self.store, dataset, &limits)).collect()
    }

    /// Answers one JSON query, as `POST /v1/query` does.
    ///
    /// # Errors
    /// What cannot be parsed, unknown names, limits.
    pub fn query(&self, json: impl AsRef<[u8]>) -> Result<Answer> {
        self.ask(parse::question(json.as_ref(), time::now())?)
    }

    /// Answers one SELECT; `parameters` stand for its `?`, `?1` or `$1`.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub fn sql(&self, text: &str, parameters: &[serde_json::Value]) -> Result<Answer> {
        self.ask(parse::statement(text, parameters)?)
    }

    fn ask(&self, statement: Statement) -> Result<Answer> {
        query::answer(&self.store.snapshot(), &statement.within(self.limits()))
    }

    /// Answers a funnel, the JSON of `POST /v1/funnel`.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub fn funnel(&self, json: impl AsRef<[u8]>) -> Result<Answer> {
        self.sequence(Kind::Funnel, json.as_ref())
    }

    /// Answers a retention, the JSON of `POST /v1/retention`.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub fn retention(&self, json: impl AsRef<[u8]>) -> Result<Answer> {
        self.sequence(Kind::Retention, json.as_ref())
    }

    /// Answers paths, the JSON of `POST /v1/paths`.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub fn paths(&self, json: impl AsRef<[u8]>) -> Result<Answer> {
        self.sequence(Kind::Paths, json.as_ref())
    }

    fn sequence(&self, kind: Kind, json: &[u8]) -> Result<Answer> {
        let question = parse::sequence(kind, json, time::now())?.within(self.limits());
        sequences::run(&self.store.snapshot(), &question)
    }

    /// Reads one page of rows, within the limits of the engine.
    ///
    /// # Errors
    /// Unknown names, a limit out of bounds, a cursor that is altered or of another query.
    pub fn rows(&self, request: &PageRequest) -> Result<Page> {
        let request = PageRequest { limits: self.limits(), ..request.clone() };
        page::page(&self.store.snapshot(), self.store.secret(), &request)
    }

    /// Reads one page of records with what belongs to them: `include` is that of `GET …/rows`.
    ///
    /// # Errors
    /// As [`Engine::rows`], relations that are not declared, and more records than may be loaded along.
    pub fn rows_with(&self, request: &PageRequest, include: &str) -> Result<Page> {
        let request = PageRequest { limits: self.limits(), ..request.clone() };
        let include = relations::paths(Some(include))?;
        relations::page(&self.store.snapshot(), self.store.secret(), &request, &include)
    }

    /// Searches the texts of a dataset, as `GET …/search` does.
    ///
    /// # Errors
    /// A dataset that declares no search, unknown names, a limit out of bounds, a cursor of another search.
    pub fn search(&self, request: &SearchRequest) -> Result<Found> {
        let request = SearchRequest { limits: self.limits(), ..request.clone() };
        search::search(&self.store.snapshot(), self.store.secret(), &request)
    }

    /// Erases the events that a condition is true for; the result is their number.
    ///
    /// # Errors
    /// Unknown names, a condition that is none, a file that cannot be written.
    pub fn erase(&self, dataset: &str, condition: &str) -> Result<u64> {
        query::erase::erase(&self.store, &self.limits.reach, dataset, condition)
    }

    /// Puts records by their key: a JSON object, an array of them, or NDJSON, as `PUT …/records` does. When this returns
    /// they are committed and visible to the next question.
    ///
    /// ```
    /// use windrow::{Engine, PutOptions, SearchRequest, Value};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let engine = Engine::open(folder.path().join("wiki.db"))?;
    /// engine.declare("pages", r#"{"kind": "records", "key": "slug", "search": ["title^3", "body"],
    ///     "fields": {"title": {"type": "string"}, "body": {"type": "string", "lazy": true}}}"#)?;
    /// let page = r#"{"slug": "csrf", "title": "Cross-site request forgery", "body": "A token a form…"}"#;
    /// assert_eq!(engine.put("pages", page, PutOptions::default())?.inserted, 1);
    /// assert_eq!(engine.put("pages", page, PutOptions::default())?.unchanged, 1);
    /// let answer = engine.sql("SELECT title FROM pages WHERE slug = ?", &["csrf".into()])?;
    /// assert_eq!(answer.rows, [[Value::text("Cross-site request forgery")]]);
    /// let request = SearchRequest { dataset: "pages".into(), text: "forgary".into(), ..SearchRequest::default() };
    /// let found = engine.search(&request)?;
    /// assert_eq!(found.told.corrected["forgary"], ["forgery"]);
    /// assert_eq!(found.rows.len(), 1);
    /// assert_eq!(engine.delete_records("pages", "slug = 'csrf'")?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A dataset that is none of records, JSON that cannot be read at all, and the store's. What is wrong with single
    /// records is in the result.
    pub fn put(&self, dataset: &str, json: impl AsRef<[u8]>, options: PutOptions) -> Result<Put> {
        let reach = &self.limits.reach;
        reach.check(dataset)?;
        self.store.snapshot().whole_dataset(dataset)?.keyed()?;
        let table = Table::new(&self.store, dataset, Arc::clone(reach), options);
        let accepted = accept(&table, |rules| decode_json(json.as_ref(), rules))?;
        Ok(Put { rejected: accepted.rejected, ..table.done() })
    }

    /// Deletes the records that a condition is true for; the result is their number.
    ///
    /// # Errors
    /// As [`Engine::erase`].
    pub fn delete_records(&self, dataset: &str, condition: &str) -> Result<u64> {
        change::delete(&self.store, &self.limits.reach, dataset, condition, false).map(|done| done.deleted)
    }

    /// Copies the database as it is now to a file, and verifies the copy.
    ///
    /// # Errors
    /// As [`backup::backup`]; nothing was made then.
    pub fn backup(&self, file: impl AsRef<Path>) -> Result<Copied> {
        self.limits.reach.check_everything("a backup")?;
        backup::backup(self.store.path(), file.as_ref(), false, &Progress::default())
    }

    /// Ends the jobs that run, commits what was accepted, checkpoints and closes the file; dropping the last clone does the same. An engine
    /// that is closed refuses writes.
    pub fn close(&self) {
        // jobs that begin no more do nothing for it
        self.store.upkeep().hand_over_to(None);
        self.jobs.stop();
        if let Some(cache) = &self.cache {
            cache.close();
        }
        self.store.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn an_engine_keeps_what_it_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let engine = Engine::open(&path).unwrap();
        assert_eq!(engine.ingest("visits", "{\"n\":1}\nnonsense\n").unwrap().rejected_total, 1);
        engine.close();
        assert!(engine.ingest("visits", "{\"n\":2}").is_err());
        drop(engine);
        let engine = Engine::open(&path).unwrap();
        assert_eq!(engine.store.snapshot().whole_dataset("visits").unwrap().rows(), 1);
    }

    #[test]
    fn clones_are_the_same_database_in_many_threads() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path().join("a.db")).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let engine = engine.clone();
                scope.spawn(move || engine.ingest("t", format!("{{\"n\":{n}}}")).unwrap());
            }
        });
        let answer = engine.sql("SELECT count(*), sum(n) FROM t WHERE n < ?", &[100.into()]).unwrap();
        assert_eq!(answer.rows, [[Value::Int(8), Value::Int(28)]]);
    }

    #[test]
    fn what_the_verbs_do_is_there_within_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path().join("a.db")).unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, "country,ms\nDE,1\nFR,2\n").unwrap();
        engine.declare("visits", r#"{"fields": {"ms": {"type": "int"}}}"#).unwrap();
        assert_eq!(engine.import("visits", &file, &ImportOptions::default()).unwrap().accepted, 2);
        assert_eq!(engine.erase("visits", "country = 'FR'").unwrap(), 1);
        assert_eq!(engine.datasets().unwrap()[0].rows, 1);
        let asked =
            r#"{"from": "visits", "by": "country", "range": {"from": "2000-01-01", "to": "2100-01-01"},"#;
        let funnel = engine.funnel(format!(r#"{asked} "steps": ["ms = 1"]}}"#)).unwrap();
        assert_eq!(funnel.rows[0][1], Value::Int(1));
        let retention = engine.retention(format!(r#"{asked} "period": "4000w"}}"#)).unwrap();
        assert_eq!(retention.rows[0][2], Value::Int(1));
        let paths = engine.paths(format!(r#"{asked} "step": "ms", "depth": 1}}"#)).unwrap();
        assert_eq!(paths.rows, [[Value::List(["1".into()].into()), Value::Int(1)]]);
        assert_eq!(engine.backup(folder.path().join("b.db")).unwrap().report.events, 1);
        assert!(engine.declare("No Name", "{}").is_err());
    }
}
