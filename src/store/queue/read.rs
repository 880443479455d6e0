//! Jobs for whoever looks: one by its id with its history, a list, counts by queue. `Store` reads by its pool; a process beside
//! a server reads by a connection of its own ([`JobFile`]).

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::Value as Owned;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::queue::{Queues, State, load};
use crate::store::{Store, open};

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub id: i64,
    /// What does it.
    pub kind: String,
    /// Where it waits, or waited.
    pub queue: String,
    /// Where it stands.
    pub state: State,
    /// 1 is first, 15 last.
    pub priority: u8,
    /// JSON.
    pub payload: String,
    /// For whom it is.
    pub user: Option<String>,
    /// No other unfinished job of its kind has it.
    pub unique: Option<String>,
    /// The jobs it waits for.
    pub after: Vec<i64>,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: i64,
    /// Attempts that failed since it was submitted or retried.
    pub failures: u32,
    /// Failures after which it is dead.
    pub max_attempts: u32,
    /// Whether it runs and was told to end.
    pub is_cancelled: bool,
    /// When it is queued, where it waits for its time; when it is forgotten, where it is finished, µs.
    pub due_us: Option<i64>,
    /// When it was submitted, µs.
    pub created_us: i64,
    /// When the latest attempt began, µs.
    pub started_us: Option<i64>,
    /// When it was finished, µs.
    pub finished_us: Option<i64>,
    /// How far it is, or was when it ended, where it is done in steps, JSON.
    pub checkpoint: Option<String>,
    /// What came of it, JSON.
    pub result: Option<String>,
    /// The latest error.
    pub error: Option<String>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub attempt: i64,
    /// When, µs.
    pub at_us: i64,
    /// Why.
    pub error: String,
}

/// Which jobs are listed, the newest first.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Those of a queue.
    pub queue: Option<String>,
    /// Those of a kind.
    pub kind: Option<String>,
    /// Those in a state.
    pub state: Option<State>,
    /// Those with a smaller id: the last one of the page before.
    pub before: Option<i64>,
    /// So many at most; `None`: the usual number of rows of a page.
    pub limit: Option<usize>,
}

/// Some jobs, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs: fewer than were asked for where there are no more, or where many were looked at that it is not about.
    pub jobs: Vec<Job>,
    /// [`JobFilter::before`] of the next page; `None`: there is none.
    pub next: Option<i64>,
}

const COLUMNS: &str = "id, kind, queue, state, priority, payload, unique_key, attempt, failures, max_attempts, is_cancelled, \
                       due_us, created_us, started_us, finished_us, result, error, user, checkpoint";

fn job(row: &Row<'_>) -> rusqlite::Result<(i64, Job)> {
    let job = Job {
        id: row.get(0)?,
        kind: row.get(1)?,
        queue: row.get(2)?,
        state: State::Queued,
        priority: row.get(4)?,
        payload: row.get(5)?,
        user: row.get(17)?,
        unique: row.get(6)?,
        after: Vec::new(),
        attempt: row.get(7)?,
        failures: row.get(8)?,
        max_attempts: row.get(9)?,
        is_cancelled: row.get(10)?,
        due_us: row.get(11)?,
        created_us: row.get(12)?,
        started_us: row.get(13)?,
        finished_us: row.get(14)?,
        checkpoint: row.get(18)?,
        result: row.get(15)?,
        error: row.get(16)?,
    };
    Ok((row.get(3)?, job))
}

/// The job of an id.
fn get(connection: &Connection, id: i64) -> Result<Job> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1");
    let found = connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_row([id], job).optional())
        .map_err(|e| Error::sqlite("cannot read a job", e))?;
    let (code, job) = found.ok_or_else(|| {
        Error::NotFound(format!("there is no job {id}; finished jobs are forgotten after a while"))
    })?;
    complete(connection, code, job)
}

/// Adds what the row itself does not tell.
fn complete(connection: &Connection, code: i64, job: Job) -> Result<Job> {
    let state = State::stored(code)?;
    // those that wait alone have such rows, and those that ended because of them
    let after = match state {
        State::Blocked | State::Dead | State::Cancelled => connection
            .prepare_cached("SELECT after_id FROM job_after WHERE job_id = ?1 ORDER BY after_id")
            .and_then(|mut statement| statement.query_map([job.id], |row| row.get(0))?.collect())
            .map_err(|e| Error::sqlite("cannot read what a job waits for", e))?,
        _ => Vec::new(),
    };
    Ok(Job { state, after, ..job })
}

fn failures(connection: &Connection, id: i64) -> Result<Vec<Failure>> {
    let read = |row: &Row<'_>| Ok(Failure { attempt: row.get(0)?, at_us: row.get(1)?, error: row.get(2)? });
    connection
        .prepare_cached("SELECT attempt, at_us, error FROM job_failure WHERE job_id = ?1 ORDER BY attempt")
        .and_then(|mut statement| statement.query_map([id], read)?.collect())
        .map_err(|e| Error::sqlite("cannot read the failures of a job", e))
}

/// Jobs are looked at from the newest on, by their id or their state. A queue or a kind has no index, which would be one more
/// write for each job that is submitted, of those that nobody lists; so a page ends after so many that were looked at.
fn list(connection: &Connection, filter: &JobFilter) -> Result<JobPage> {
    let limit = filter.limit.unwrap_or(limits::PAGE_ROWS_DEFAULT);
    if limit > limits::PAGE_ROWS {
        return Err(Error::invalid(format!("limit is {limit}, and {} at most", limits::PAGE_ROWS)));
    }
    let context = |e| Error::sqlite("cannot list jobs", e);
    // what is listed is as of one commit
    let transaction = connection.unchecked_transaction().map_err(context)?;
    let mut statement = transaction
        .prepare_cached(&sql_of_list(filter.state.is_some(), filter.before.is_some()))
        .map_err(context)?;
    let of = |text: &Option<String>| text.clone().map_or(Owned::Null, Owned::Text);
    let mut values = vec![of(&filter.queue), of(&filter.kind)];
    values.extend(filter.state.map(|state| Owned::Integer(state.code())));
    values.extend(filter.before.map(Owned::Integer));
    let (mut ids, mut seen, mut next) = (Vec::new(), 0, None);
    let mut rows = statement.query(params_from_iter(values)).map_err(context)?;
    while ids.len() < limit && seen < limits::JOBS_LOOKED_AT {
        let Some(row) = rows.next().map_err(context)? else {
            next = None;
            break;
        };
        let id: i64 = row.get(0).map_err(context)?;
        if row.get::<_, bool>(1).map_err(context)? {
            ids.push(id);
        }
        (seen, next) = (seen + 1, Some(id));
    }
    let jobs = ids.into_iter().map(|id| get(&transaction, id)).collect::<Result<_>>()?;
    Ok(JobPage { jobs, next })
}

/// The ids that a list looks at, and whether it is about each.
fn sql_of_list(has_state: bool, has_before: bool) -> String {
    let state = if has_state { "AND state = ?3 " } else { "" };
    let before = match (has_state, has_before) {
        (_, false) => "",
        (false, true) => "AND id < ?3 ",
        (true, true) => "AND id < ?4 ",
    };
    format!(
        "SELECT id, queue = coalesce(?1, queue) AND kind = coalesce(?2, kind) FROM job WHERE 1 {state}{before}ORDER BY id DESC"
    )
}

impl Store {
    /// The job of an id.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where all read connections are in use.
    pub fn job(&self, id: i64) -> Result<Job> {
        let job = get(&*self.reader()?, id);
        self.board.wait_for_what_was_seen();
        job
    }

    /// The attempts of a job that failed, in their order.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn job_failures(&self, id: i64) -> Result<Vec<Failure>> {
        failures(&*self.reader()?, id)
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// A limit out of bounds; `Busy` where all read connections are in use.
    pub fn list_jobs(&self, filter: &JobFilter) -> Result<JobPage> {
        let jobs = list(&*self.reader()?, filter);
        self.board.wait_for_what_was_seen();
        jobs
    }

    /// All queues as of the last commit.
    pub fn queues(&self) -> Arc<Queues> {
        self.board.current()
    }
}

/// The jobs of a file that another process may be serving.
#[derive(Debug)]
pub struct JobFile(Connection);

impl JobFile {
    /// Opens a file to look at its jobs.
    ///
    /// # Errors
    /// There is no such file, it is none of ours, older, newer, or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = open::reader(path)?;
        open::require_current(&connection)?;
        Ok(Self(connection))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }

    /// The job of an id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn job(&self, id: i64) -> Result<Job> {
        get(&self.0, id)
    }

    /// The attempts of a job that failed, in their order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn failures(&self, id: i64) -> Result<Vec<Failure>> {
        failures(&self.0, id)
    }

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// A limit out of bounds.
    pub fn list(&self, filter: &JobFilter) -> Result<JobPage> {
        list(&self.0, filter)
    }

    /// All queues.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn queues(&self) -> Result<Queues> {
        load(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[test]
    fn a_list_goes_along_an_index_and_sorts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
        let connection = store.reader().unwrap();
        for (has_state, has_before, along) in [
            (false, false, "SCAN job"),
            (false, true, "SEARCH job USING INTEGER PRIMARY KEY (rowid<?)"),
            (true, false, "SEARCH job USING INDEX job_state (state=?)"),
            (true, true, "SEARCH job USING INDEX job_state (state=? AND id<?)"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN {}", sql_of_list(has_state, has_before));
            let plan: Vec<String> = connection
                .prepare(&sql)
                .unwrap()
                .query_map(
                    params_from_iter((0..2 + i32::from(has_state) + i32::from(has_before)).map(|_| 0)),
                    |row| row.get(3),
                )
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap();
            assert_eq!(plan, [along]);
        }
    }
}
