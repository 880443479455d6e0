//! Jobs of an engine: who runs them, the kinds that every server knows, and the engine as a job's function sees it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::{Engine, apply};
use crate::error::{Error, Result};
use crate::fields::check_is_no_own;
use crate::jobs::{Context, JobOptions, Jobs, Kind, Kinds, Outcome};
use crate::query::budget::Limits;
use crate::query::erase::erase;
use crate::query::parse;
use crate::query::reach::Reach;

/// The kinds of jobs that a server runs.
pub fn kinds() -> Vec<Kind> {
    let optimize = Kind::new("optimize", |context| {
        context.store().upkeep().optimize()?;
        Ok(Outcome::result(Value::Null))
    })
    .with_check(|payload| match payload {
        Value::Null => Ok(()),
        Value::Object(fields) if fields.is_empty() => Ok(()),
        other => {
            Err(Error::invalid(format!("a job of the kind optimize has no payload, and {other} is one")))
        }
    });
    // what is erased is gone however often it is done
    let erase = Kind::new("erase", |context| {
        let Erase { dataset, condition } = Erase::of(context.payload())?;
        let erased = erase(context.store(), &Reach::everything(), &dataset, &condition)?;
        Ok(Outcome::result(json!({ "erased": erased })))
    })
    .with_check(|payload| Erase::of(payload).map(drop));
    [optimize, erase, apply::kind()].map(|kind| Kind { queue: "maintenance".into(), ..kind }).into()
}

/// The payload of a job that erases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    dataset: String,
    #[serde(rename = "where")]
    condition: String,
}

impl Erase {
    fn of(payload: &Value) -> Result<Self> {
        let found = Self::deserialize(payload).map_err(|e| {
            Error::invalid(format!(
                "the payload of a job of the kind erase: {e}; it is {{\"dataset\": \"visits\", \"where\": \"ms > 1000\"}}"
            ))
        })?;
        check_is_no_own(&found.dataset)?;
        parse::expression(&found.condition)?;
        Ok(found)
    }
}

impl Engine {
    /// The same database, which runs jobs of these kinds from now on, also those that wait since earlier. Every clone of what
    /// comes back submits to them and sees them; they run until [`Engine::close`], or until the last clone is dropped.
    ///
    /// ```
    /// use windrow::{Effects, Engine, JobOptions, Kind, NewJob, Outcome};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let greet = Kind::new("greet", |context| {
    ///     context.check()?;
    ///     let name = context.payload()["name"].as_str().unwrap_or("you").to_owned();
    ///     let said = serde_json::json!({"said": format!("Hello, {name}"), "job": context.id()});
    ///     Ok(Outcome::from(Effects::default().events("greetings", said.to_string())))
    /// });
    /// let engine = Engine::open(folder.path().join("a.db"))?.with_jobs([greet], JobOptions::default())?;
    /// let job = engine.jobs().submit(NewJob::new("greet").payload(serde_json::json!({"name": "Ada"})))?;
    /// while !engine.jobs().get(job.id)?.state.is_finished() {
    ///     std::thread::sleep(std::time::Duration::from_millis(1));
    /// }
    /// let answer = engine.sql("SELECT said FROM greetings", &[])?;
    /// assert_eq!(answer.rows, [[windrow::Value::text("Hello, Ada")]]);
    /// # engine.close();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Two kinds of one name, and a system that gives no threads.
    pub fn with_jobs(self, kinds: impl IntoIterator<Item = Kind>, options: JobOptions) -> Result<Self> {
        let jobs = Jobs::start(Arc::clone(&self.store), Kinds::of(kinds)?, options)?;
        Ok(Self { jobs: Arc::new(jobs), ..self })
    }

    /// The jobs of the database: to submit some, and to see what becomes of them.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The engine for the function of a job: its questions end when the job shall, and have the deadline of that. What it
    /// writes itself is written whatever becomes of the job; what shall be written once goes into the [`crate::Effects`].
    ///
    /// A function that kept a clone of its own engine would keep that from ever being closed by being dropped.
    pub fn within(context: &Context) -> Self {
        let cancelled = Arc::clone(context.ends());
        let limits = Limits { deadline: Duration::MAX, cancelled, ..Limits::default() };
        let store = Arc::clone(context.store());
        let jobs = Arc::new(Jobs::idle(Arc::clone(&store), context.kinds().clone()));
        Self { store, limits, cache: None, jobs }
    }
}
