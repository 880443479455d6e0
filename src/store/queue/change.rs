//! What is done to jobs one at a time: cancelling, trying again, setting up queues, forgetting. Each is a transaction.

use std::sync::Arc;

use rusqlite::{ErrorCode, params};

use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::queue::schedules::ScheduleRow;
use crate::store::queue::table::Table;
use crate::store::queue::{QueueNow, QueueSettings, Queues, State};
use crate::store::upkeep::Upkeep;
use crate::store::writer::{Command, Writer};

/// Jobs that one transaction forgets.
const FORGOTTEN_AT_ONCE: i64 = 500;

/// What is done.
#[derive(Debug)]
pub(in crate::store) enum JobChange {
    /// A job is not wanted any more.
    Cancel(i64),
    /// A dead or cancelled job is tried again, as if it were new.
    Retry(i64),
    /// Says what holds of a queue.
    Configure(Arc<str>, QueueSettings),
    /// Forgets some jobs whose time is over.
    Forget,
    /// Stores a schedule.
    PutSchedule(Box<ScheduleRow>),
    /// Removes a schedule.
    DropSchedule(String),
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum JobChanged {
    /// The state of the job.
    State(State),
    /// How many jobs were changed.
    Count(usize),
}

impl Store {
    /// Cancels a job: one that waits at once, one that runs when its attempt ends, whatever comes of that. Gives its state.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is done or dead.
    pub fn cancel_job(&self, id: i64, now_us: i64) -> Result<State> {
        self.change_job(JobChange::Cancel(id), now_us)
    }

    /// Tries a dead or cancelled job again, as if it were new; its failures stay in its history. Gives its state.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` where it is in another state, or where what it comes after is.
    pub fn retry_job(&self, id: i64, now_us: i64) -> Result<State> {
        self.change_job(JobChange::Retry(id), now_us)
    }

    fn change_job(&self, change: JobChange, now_us: i64) -> Result<State> {
        match self.ask(|reply| Command::Jobs(change, now_us, reply))? {
            JobChanged::State(state) => Ok(state),
            JobChanged::Count(_) => Err(Error::Internal("a job has no state".into())),
        }
    }

    /// Sets up a queue, also one that has no job yet.
    ///
    /// # Errors
    /// `Invalid` where there are too many; the file cannot be written.
    pub fn configure_queue(&self, name: &str, settings: QueueSettings) -> Result<()> {
        self.count_changed(JobChange::Configure(name.into(), settings), 0).map(|_| ())
    }

    /// Forgets some finished jobs whose time is over; gives how many.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget_jobs(&self, now_us: i64) -> Result<usize> {
        self.count_changed(JobChange::Forget, now_us)
    }

    pub(super) fn count_changed(&self, change: JobChange, now_us: i64) -> Result<usize> {
        match self.ask(|reply| Command::Jobs(change, now_us, reply))? {
            JobChanged::Count(count) => Ok(count),
            JobChanged::State(_) => Err(Error::Internal("a change of jobs has no count".into())),
        }
    }
}

impl Upkeep {
    /// Forgets the finished jobs whose time is over, in small bites.
    pub(in crate::store) fn forget_jobs(&self, now_us: i64) -> Result<()> {
        let forget = || self.ask(|reply| Command::Jobs(JobChange::Forget, now_us, reply));
        while !self.is_stopping() && forget()? != JobChanged::Count(0) {}
        Ok(())
    }
}

impl Writer {
    /// Carries out one change of jobs. Forgetting, cancelling and removing are tried on a full disk too.
    pub(in crate::store) fn change_jobs(&mut self, change: &JobChange, now_us: i64) -> Result<JobChanged> {
        let frees = matches!(change, JobChange::Forget | JobChange::Cancel(_) | JobChange::DropSchedule(_));
        self.guarded(frees, |writer| writer.try_change_jobs(change, now_us))
    }

    fn try_change_jobs(&mut self, change: &JobChange, now_us: i64) -> Result<JobChanged> {
        let mut queues = Queues::clone(&self.board.current());
        let transaction = Self::begin(&mut self.connection)?;
        let mut table = Table { connection: &transaction, queues: &mut queues };
        let done = match change {
            JobChange::Cancel(id) => JobChanged::State(table.cancel(*id, now_us)?),
            JobChange::Retry(id) => JobChanged::State(table.retry(*id, now_us)?),
            JobChange::Configure(name, settings) => JobChanged::Count(table.configure(name, settings)?),
            JobChange::Forget => JobChanged::Count(table.forget(now_us)?),
            JobChange::PutSchedule(new) => JobChanged::Count(table.put_schedule(new)?),
            JobChange::DropSchedule(name) => JobChanged::Count(table.drop_schedule(name)?),
        };
        self.watch.commit(transaction)?;
        self.board.publish(queues);
        Ok(done)
    }
}

fn missing(id: i64) -> Error {
    Error::NotFound(format!("there is no job {id}; finished jobs are forgotten after a while"))
}

impl Table<'_> {
    fn cancel(&mut self, id: i64, now_us: i64) -> Result<State> {
        let row = self.row(id)?.ok_or_else(|| missing(id))?;
        match row.state {
            State::Cancelled => Ok(State::Cancelled),
            State::Done | State::Dead => {
                Err(Error::Conflict(format!("job {id} is {}, there is nothing to cancel", row.state.name())))
            }
            State::Running => {
                self.run("UPDATE job SET is_cancelled = 1 WHERE id = ?1", [id])?;
                Ok(State::Running)
            }
            State::Queued | State::Delayed | State::Blocked => {
                self.end(id, &row, State::Cancelled, None, now_us)?;
                Ok(State::Cancelled)
            }
        }
    }

    fn retry(&mut self, id: i64, now_us: i64) -> Result<State> {
        let row = self.row(id)?.ok_or_else(|| missing(id))?;
        if !matches!(row.state, State::Dead | State::Cancelled) {
            return Err(Error::Conflict(format!(
                "job {id} is {}; only dead and cancelled jobs can be retried",
                row.state.name()
            )));
        }
        let after = self.ids("SELECT after_id FROM job_after WHERE job_id = ?1", id)?;
        for earlier in &after {
            let state = self.row(*earlier)?.map(|row| row.state);
            if state.is_none_or(State::is_finished) {
                return Err(Error::Conflict(format!(
                    "job {id} comes after job {earlier}, which is {}; retry that one first",
                    state.map_or("forgotten", State::name)
                )));
            }
        }
        let renew = "UPDATE job SET state = 2, failures = 0, was_cut_off = 0, waits = ?2, due_us = NULL,
                                    finished_us = NULL, error = NULL
                      WHERE id = ?1";
        let renewed = self
            .connection
            .prepare_cached(renew)
            .and_then(|mut statement| statement.execute(params![id, after.len() as i64]));
        renewed.map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Error::Conflict(format!(
                "another unfinished job has the unique key of job {id}; retry it when that one is finished"
            )),
            _ => Error::sqlite("cannot retry a job", e),
        })?;
        if after.is_empty() {
            return self.queue_again(id, &row, now_us);
        }
        self.queues.shift(&row.queue, Some(row.state), Some(State::Blocked));
        Ok(State::Blocked)
    }

    fn configure(&mut self, name: &Arc<str>, settings: &QueueSettings) -> Result<usize> {
        self.check_queues(name)?;
        let text = serde_json::to_string(settings)
            .map_err(|e| Error::Internal(format!("the settings of a queue do not serialize: {e}")))?;
        let now: &mut QueueNow = self.queues.by_name.entry(Arc::clone(name)).or_default();
        now.settings = settings.clone();
        // what may run now could not before
        self.queues.has_news = true;
        self.run(
            "INSERT INTO queue (name, settings) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
            params![&**name, text],
        )
    }

    fn forget(&mut self, now_us: i64) -> Result<usize> {
        let sql = format!(
            "SELECT id FROM job INDEXED BY job_kept WHERE state >= 4 AND due_us <= ?1 ORDER BY due_us LIMIT {FORGOTTEN_AT_ONCE}"
        );
        let ids = self.ids(&sql, now_us)?;
        for id in &ids {
            let Some(row) = self.row(*id)? else { continue };
            self.run("DELETE FROM job WHERE id = ?1", [id])?;
            self.run("DELETE FROM job_failure WHERE job_id = ?1", [id])?;
            self.run("DELETE FROM job_after WHERE job_id = ?1 OR after_id = ?1", [id])?;
            self.queues.shift(&row.queue, Some(row.state), None);
        }
        Ok(ids.len())
    }
}
