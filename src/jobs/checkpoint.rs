//! A job that is done in steps: each step is committed with the place where it ends, while the job runs on. An attempt after a failure, a
//! restart or a dead process begins at the last of these places.

use serde_json::Value;

use crate::error::{Bound, Error, Result};
use crate::jobs::context::Context;
use crate::jobs::effects::Effects;
use crate::jobs::new_job::json;
use crate::limits;
use crate::store::queue::{Act, Acted, Verdict};

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is committed.
    Done,
    /// A record is of another version than the one that was read: read again.
    Outdated,
    /// The rules of a dataset have changed since its rows were decoded: decode anew.
    Stale,
}

impl Context {
    /// Where the job stands: what [`Context::commit`] was last given, in this attempt or one before; `None` at the beginning.
    ///
    /// # Errors
    /// `Corrupt`: what is stored is not JSON.
    pub fn checkpoint(&self) -> Result<Option<Value>> {
        let stored = self.running.checkpoint();
        stored
            .as_deref()
            .map(serde_json::from_str)
            .transpose()
            .map_err(|e| Error::Corrupt(format!("the checkpoint of job {} cannot be read: {e}", self.id())))
    }

    /// Writes effects together with the place where the job stands after them, and returns when both are durable; the job runs
    /// on. A later attempt finds the place by [`Context::checkpoint`], so each step is written once. Failures are counted since the
    /// place was last another one: who goes on is not dead of many interruptions.
    ///
    /// False: a record is of another version than its `_version` says, and nothing was written. Read again and do the step again.
    ///
    /// ```
    /// use windrow::{Effects, Engine, JobOptions, Kind, NewJob, Outcome};
    ///
    /// # fn main() -> windrow::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// let count = Kind::new("count", |context| {
    ///     let mut n = context.checkpoint()?.and_then(|at| at.as_u64()).unwrap_or(0);
    ///     while n < 3 {
    ///         context.check()?;
    ///         let row = serde_json::json!({ "n": n });
    ///         if context.commit(&Effects::default().events("steps", row.to_string()), n + 1)? {
    ///             n += 1;
    ///         }
    ///     }
    ///     Ok(Outcome::result(n))
    /// });
    /// let engine = Engine::open(folder.path().join("a.db"))?.with_jobs([count], JobOptions::default())?;
    /// let job = engine.jobs().submit(NewJob::new("count"))?;
    /// while !engine.jobs().get(job.id)?.state.is_finished() {
    ///     std::thread::sleep(std::time::Duration::from_millis(1));
    /// }
    /// let answer = engine.sql("SELECT count(*), uniq(n) FROM steps", &[])?;
    /// assert_eq!(answer.rows, [[windrow::Value::Int(3), windrow::Value::Int(3)]]);
    /// # engine.close();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `OverBudget`: the job was cancelled. `Conflict`: it does not run in this attempt any more. What is wrong with the effects, a
    /// checkpoint that is too large, and the store's. Nothing was written then; giving the error back ends the attempt.
    pub fn commit(&self, effects: &Effects, checkpoint: impl Into<Value>) -> Result<bool> {
        let checkpoint = checkpoint.into();
        for _ in 0..limits::STALE_RETRIES {
            match self.commit_act(self.act_of(effects)?, &checkpoint)? {
                Step::Done => return Ok(true),
                Step::Outdated => return Ok(false),
                Step::Stale => {}
            }
        }
        Err(Error::Busy { detail: "the declaration of a dataset keeps changing".into(), retry_after_s: 1 })
    }

    /// What effects come to, to be committed by [`Context::commit_act`].
    pub(crate) fn act_of(&self, effects: &Effects) -> Result<Act> {
        effects.act(self.store(), self.kinds(), self.shop.clock.now_us())
    }

    /// As [`Context::commit`], of what is decoded already.
    pub(crate) fn commit_act(&self, act: Act, checkpoint: &Value) -> Result<Step> {
        let text = json("the checkpoint of a job", checkpoint)?;
        let of = Some((self.id(), self.attempt(), Verdict::Checkpoint(text.clone())));
        match self.store().act(Act { of, ..act })? {
            Acted::Done(..) => {
                self.running.set_checkpoint(text);
                Ok(Step::Done)
            }
            Acted::Outdated(_) => Ok(Step::Outdated),
            Acted::Stale => Ok(Step::Stale),
            Acted::Cancelled => {
                Err(Error::OverBudget { bound: Bound::Cancelled, detail: "the job was cancelled".into() })
            }
            Acted::Lost => Err(Error::Conflict(format!(
                "job {} does not run in this attempt any more; nothing of the step was written",
                self.id()
            ))),
        }
    }
}
