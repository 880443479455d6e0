//! Jobs of an engine: who runs them, the kinds that every server knows, and the engine as a job's function sees it.

use std::sync::Arc;
use std::time::Duration;

use crate::app::{Engine, apply, backups, outgoing, upkeep, warm};
use crate::config::Settings;
use crate::error::Result;
use crate::jobs::{Context, JobOptions, Jobs, Kind, Kinds};
use crate::query::budget::Limits;
use crate::query::warm::WarmList;

/// What the settings say of the jobs of a server; read before a database is opened, so that what is wrong there leaves none.
#[derive(Debug)]
pub struct OwnJobs {
    warm: Arc<WarmList>,
    outgoing: Vec<Kind>,
    backup: Kind,
}

impl OwnJobs {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn read(settings: &Settings) -> Result<Self> {
        Ok(Self {
            warm: Arc::new(WarmList::of(settings.cache_warm.as_deref())?),
            outgoing: outgoing::kinds(settings)?.into(),
            backup: backups::kind(settings),
        })
    }

    /// Questions that are asked ahead.
    pub fn warm(&self) -> &Arc<WarmList> {
        &self.warm
    }

    /// All kinds; questions are asked ahead within these limits.
    pub fn kinds(&self, limits: Limits) -> Vec<Kind> {
        let mut kinds = upkeep::kinds();
        kinds.extend([self.backup.clone(), warm::kind(Arc::clone(&self.warm), limits), apply::kind()]);
        kinds.extend(self.outgoing.iter().cloned());
        kinds
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

    /// The same database with the jobs of a server, which do its upkeep too.
    ///
    /// # Errors
    /// Settings that cannot be, a file that cannot be written, a system that gives no threads.
    pub(super) fn with_own_jobs(self, settings: &Settings, own: &OwnJobs) -> Result<Self> {
        let kinds = own.kinds(self.limits());
        let options =
            JobOptions { policies: Arc::new(settings.rate_limits.clone()), ..JobOptions::default() };
        let engine = self.with_jobs(kinds, options)?;
        let ready = engine.schedule_backups(settings).and_then(|()| engine.hand_upkeep_over());
        ready.inspect_err(|_| engine.close())?;
        Ok(engine)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::jobs::NewJob;
    use crate::store::queue::read::Job;

    /// Submits a job and waits until it has ended.
    pub fn until_done(engine: &Engine, job: NewJob) -> Job {
        let id = engine.jobs().submit(job).unwrap().id;
        loop {
            let job = engine.jobs().get(id).unwrap();
            if job.state.is_finished() {
                return job;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
