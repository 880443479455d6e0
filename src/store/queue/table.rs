//! The statements on jobs, run inside the writer's transaction: coming, being handed out, ending, and what that does to those
//! that wait. The counts go along in memory and are published with the commit.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::queue::{Claim, Claimed, NewRow, Queues, State, Submitted, Verdict, Want};

/// The jobs within one transaction.
pub(in crate::store) struct Table<'t> {
    pub connection: &'t Connection,
    pub queues: &'t mut Queues,
}

/// What counts of a job that changes its state.
pub(super) struct Row {
    pub queue: String,
    pub state: State,
    pub attempt: i64,
    pub failures: u32,
    pub max_attempts: u32,
    pub priority: u8,
    pub is_cancelled: bool,
    due_us: Option<i64>,
    waits: i64,
    keep_us: i64,
    keep_dead_us: i64,
}

/// What became of the job that an attempt was of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Ended {
    /// It is in this state now.
    As(State),
    /// It was cancelled while it ran, and is cancelled now, whatever came of it.
    Cancelled,
    /// It does not run in that attempt.
    Lost,
}

/// A job's place in its queue: who waits longer than a step overtakes the next better priority, so nobody starves.
fn rank_us(queued_us: i64, priority: u8) -> i64 {
    queued_us.saturating_add((i64::from(priority) - 1).saturating_mul(limits::JOB_AGEING_US))
}

/// The text, cut off where it is too long.
pub(super) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::JOB_ERROR_BYTES)]
}

/// When the next delayed job is due.
pub(super) fn next_due(connection: &Connection) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(due_us) FROM job INDEXED BY job_delayed WHERE state = 1")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|e| Error::sqlite("cannot look for delayed jobs", e))
}

impl Table<'_> {
    pub(super) fn run(&self, sql: &str, parameters: impl Params) -> Result<usize> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(parameters))
            .map_err(|e| Error::sqlite("cannot write a job", e))
    }

    /// The numbers that a question about one gives.
    pub(super) fn ids(&self, sql: &str, of: i64) -> Result<Vec<i64>> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map([of], |row| row.get(0))?.collect())
            .map_err(|e| Error::sqlite("cannot look for jobs", e))
    }

    pub(super) fn row(&self, id: i64) -> Result<Option<Row>> {
        let read = |row: &rusqlite::Row<'_>| {
            let row_of = Row {
                queue: row.get(0)?,
                state: State::Queued,
                attempt: row.get(2)?,
                failures: row.get(3)?,
                max_attempts: row.get(4)?,
                priority: row.get(5)?,
                is_cancelled: row.get(6)?,
                due_us: row.get(7)?,
                waits: row.get(8)?,
                keep_us: row.get(9)?,
                keep_dead_us: row.get(10)?,
            };
            Ok((row.get::<_, i64>(1)?, row_of))
        };
        let found = self
            .connection
            .prepare_cached(
                "SELECT queue, state, attempt, failures, max_attempts, priority, is_cancelled, due_us, waits, keep_us,
                        keep_dead_us
                   FROM job WHERE id = ?1",
            )
            .and_then(|mut statement| statement.query_row([id], read).optional())
            .map_err(|e| Error::sqlite("cannot read a job", e))?;
        found.map(|(code, row)| Ok(Row { state: State::stored(code)?, ..row })).transpose()
    }

    /// Stores a job, or finds the one that it is a repetition of.
    ///
    /// # Errors
    /// `Busy` where its queue is full, `NotFound` and `Conflict` for jobs that it cannot come after.
    pub fn insert(&mut self, new: &NewRow, now_us: i64) -> Result<Submitted> {
        if let Some(id) = self.same(new)? {
            return Ok(Submitted { id, is_new: false });
        }
        self.check_room(&new.queue)?;
        let after = self.awaited(&new.after)?;
        let due_us = new.run_at_us.filter(|at_us| *at_us > now_us);
        let state = match (after.is_empty(), due_us) {
            (false, _) => State::Blocked,
            (true, Some(_)) => State::Delayed,
            (true, None) => State::Queued,
        };
        self.run(
            "INSERT INTO job (queue, kind, state, priority, rank_us, due_us, waits, payload, unique_key, max_attempts,
                              deadline_ms, keep_us, keep_dead_us, created_us, user)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            params![
                &*new.queue,
                &*new.kind,
                state.code(),
                new.priority,
                rank_us(due_us.unwrap_or(now_us), new.priority),
                due_us,
                after.len() as i64,
                new.payload,
                new.unique,
                new.max_attempts,
                new.deadline_ms,
                new.keep_us,
                new.keep_dead_us,
                now_us,
                new.user
            ],
        )?;
        let id = self.connection.last_insert_rowid();
        for earlier in after {
            self.run("INSERT INTO job_after (after_id, job_id) VALUES (?1, ?2)", [earlier, id])?;
        }
        self.queues.shift(&new.queue, None, Some(state));
        if let (State::Delayed, Some(due_us)) = (state, due_us) {
            self.queues.expect(due_us);
        }
        Ok(Submitted { id, is_new: true })
    }

    /// The unfinished job of the kind that has its unique key.
    fn same(&self, new: &NewRow) -> Result<Option<i64>> {
        let Some(unique) = &new.unique else { return Ok(None) };
        self.connection
            .prepare_cached("SELECT id FROM job WHERE kind = ?1 AND unique_key = ?2 AND state < 4")
            .and_then(|mut statement| {
                statement.query_row(params![&*new.kind, unique], |row| row.get(0)).optional()
            })
            .map_err(|e| Error::sqlite("cannot look for a job by its unique key", e))
    }

    fn check_room(&self, queue: &Arc<str>) -> Result<()> {
        self.check_queues(queue)?;
        match self.queues.by_name.get(queue) {
            Some(now) if now.waiting() >= now.settings.size => Err(Error::Busy {
                detail: format!(
                    "{} jobs wait in the queue \"{queue}\", which is all it takes; submit the job later, or set a larger size of \
                     the queue",
                    now.waiting()
                ),
                retry_after_s: 5,
            }),
            _ => Ok(()),
        }
    }

    /// A queue is there, or may be added.
    pub(super) fn check_queues(&self, queue: &str) -> Result<()> {
        if self.queues.by_name.contains_key(queue) || self.queues.by_name.len() < limits::QUEUES {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "there are {} queues already, which is the most, so there is no room for \"{queue}\"; use one of them",
            limits::QUEUES
        )))
    }

    /// Those of some jobs that are not done yet.
    fn awaited(&self, after: &[i64]) -> Result<Vec<i64>> {
        let mut after = after.to_vec();
        after.sort_unstable();
        after.dedup();
        let mut left = Vec::new();
        for id in after {
            match self.row(id)?.map(|row| row.state) {
                None => {
                    return Err(Error::NotFound(format!(
                        "there is no job {id} that another could come after; finished jobs are forgotten after a while"
                    )));
                }
                Some(State::Done) => {}
                Some(state @ (State::Dead | State::Cancelled)) => {
                    return Err(Error::Conflict(format!(
                        "job {id} is {}, so no job can come after it; retry it first",
                        state.name()
                    )));
                }
                Some(_) => left.push(id),
            }
        }
        Ok(left)
    }

    /// Hands jobs out: each queue by rank, and the earlier one first.
    pub fn claim(&mut self, claim: &Claim) -> Result<Vec<Claimed>> {
        self.queue_what_is_due(claim.now_us)?;
        let mut claimed = Vec::new();
        for want in &claim.wants {
            for job in self.next(want)? {
                self.run(
                    "UPDATE job SET state = 3, attempt = ?2, started_us = ?3 WHERE id = ?1",
                    params![job.id, job.attempt, claim.now_us],
                )?;
                self.queues.shift(&want.queue, Some(State::Queued), Some(State::Running));
                claimed.push(job);
            }
        }
        Ok(claimed)
    }

    /// The jobs that a queue gives.
    fn next(&self, want: &Want) -> Result<Vec<Claimed>> {
        let context = |e| Error::sqlite("cannot look for the next job", e);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, kind, payload, priority, rank_us, attempt, failures, max_attempts, deadline_ms, was_cut_off, user,
                        checkpoint
                   FROM job INDEXED BY job_queued WHERE state = 0 AND queue = ?1 ORDER BY rank_us, id LIMIT ?2",
            )
            .map_err(context)?;
        let most = want.now + want.ahead;
        let mut rows = statement.query(params![&*want.queue, most as i64]).map_err(context)?;
        let mut jobs = Vec::new();
        let mut last_kind: Arc<str> = "".into();
        while let Some(row) = rows.next().map_err(context)? {
            let kind = row.get_ref(1).and_then(|kind| Ok(kind.as_str()?)).map_err(context)?;
            if *last_kind != *kind {
                last_kind = kind.into();
            }
            let read = || -> rusqlite::Result<(Claimed, bool)> {
                let job = Claimed {
                    id: row.get(0)?,
                    kind: Arc::clone(&last_kind),
                    queue: Arc::clone(&want.queue),
                    payload: row.get(2)?,
                    priority: row.get(3)?,
                    rank_us: row.get(4)?,
                    attempt: row.get::<_, i64>(5)? + 1,
                    failures: row.get(6)?,
                    max_attempts: row.get(7)?,
                    deadline_ms: row.get(8)?,
                    user: row.get::<_, Option<String>>(10)?.map(Into::into),
                    checkpoint: row.get(11)?,
                };
                Ok((job, row.get(9)?))
            };
            let (job, was_cut_off) = read().map_err(context)?;
            let may_be_ahead = !was_cut_off && job.failures + 1 < job.max_attempts;
            if jobs.len() >= want.now && !may_be_ahead {
                break;
            }
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// Queues the delayed jobs whose time has come.
    fn queue_what_is_due(&mut self, now_us: i64) -> Result<()> {
        if self.queues.next_due_us.is_none_or(|due_us| due_us > now_us) {
            return Ok(());
        }
        let sql = format!(
            "SELECT id FROM job INDEXED BY job_delayed WHERE state = 1 AND due_us <= ?1 ORDER BY due_us, id LIMIT {}",
            limits::JOBS_DUE_AT_ONCE
        );
        for id in self.ids(&sql, now_us)? {
            let Some(row) = self.row(id)? else { continue };
            self.run("UPDATE job SET state = 0, due_us = NULL WHERE id = ?1", [id])?;
            self.queues.shift(&row.queue, Some(State::Delayed), Some(State::Queued));
        }
        self.queues.next_due_us = next_due(self.connection)?;
        Ok(())
    }

    /// Ends an attempt.
    pub fn end_attempt(&mut self, id: i64, attempt: i64, verdict: &Verdict, now_us: i64) -> Result<Ended> {
        let row = self.row(id)?;
        let Some(row) = row.filter(|row| row.state == State::Running && row.attempt == attempt) else {
            return Ok(Ended::Lost);
        };
        if let Verdict::Checkpoint(checkpoint) = verdict {
            return self.go_on(id, &row, checkpoint);
        }
        if row.is_cancelled {
            self.end(id, &row, State::Cancelled, None, now_us)?;
            return Ok(Ended::Cancelled);
        }
        let state = match verdict {
            Verdict::Checkpoint(_) => State::Running,
            Verdict::Done(result) => {
                self.run(
                    "UPDATE job SET state = 4, result = ?2, error = NULL, finished_us = ?3, due_us = ?4 WHERE id = ?1",
                    params![id, result, now_us, now_us.saturating_add(row.keep_us)],
                )?;
                self.queues.shift(&row.queue, Some(State::Running), Some(State::Done));
                self.unblock(id, now_us)?;
                State::Done
            }
            Verdict::Failed { error, retry_at_us, is_final } => {
                let last = if *is_final { 0 } else { row.max_attempts };
                self.fail(id, &row, (error, last), Some(*retry_at_us), now_us)?
            }
            Verdict::Later(due_us) => {
                self.run(
                    "UPDATE job SET state = 1, attempt = ?2, due_us = ?3 WHERE id = ?1",
                    [id, attempt - 1, *due_us],
                )?;
                self.queues.shift(&row.queue, Some(State::Running), Some(State::Delayed));
                self.queues.expect(*due_us);
                State::Delayed
            }
            Verdict::Stopped | Verdict::Released => {
                let attempt = if matches!(verdict, Verdict::Released) { attempt - 1 } else { attempt };
                self.run("UPDATE job SET state = 0, attempt = ?2 WHERE id = ?1", [id, attempt])?;
                self.queues.shift(&row.queue, Some(State::Running), Some(State::Queued));
                State::Queued
            }
        };
        Ok(Ended::As(state))
    }

    /// Notes that an attempt failed: the job is delayed until then (`None`: queued again as one that was cut off), or dead
    /// after so many failures.
    pub(super) fn fail(
        &mut self,
        id: i64,
        row: &Row,
        (error, last): (&str, u32),
        retry_at_us: Option<i64>,
        now_us: i64,
    ) -> Result<State> {
        let error = short(error);
        self.run(
            "INSERT OR REPLACE INTO job_failure (job_id, attempt, at_us, error) VALUES (?1, ?2, ?3, ?4)",
            params![id, row.attempt, now_us, error],
        )?;
        let failures = row.failures.saturating_add(1);
        let state = match retry_at_us {
            _ if failures >= last => State::Dead,
            Some(_) => State::Delayed,
            None => State::Queued,
        };
        self.run(
            "UPDATE job SET failures = ?2, was_cut_off = ?3 WHERE id = ?1",
            params![id, failures, retry_at_us.is_none()],
        )?;
        if state == State::Dead {
            self.end(id, row, State::Dead, Some(error), now_us)?;
            return Ok(state);
        }
        self.run(
            "UPDATE job SET state = ?2, due_us = ?3, error = ?4, rank_us = coalesce(?5, rank_us) WHERE id = ?1",
            params![id, state.code(), retry_at_us, error, retry_at_us.map(|at_us| rank_us(at_us, row.priority))],
        )?;
        self.queues.shift(&row.queue, Some(State::Running), Some(state));
        if let Some(due_us) = retry_at_us {
            self.queues.expect(due_us);
        }
        Ok(state)
    }

    /// Makes a job dead or cancelled, and with it all that come after it: what they wait for never happens.
    pub(super) fn end(
        &mut self,
        id: i64,
        row: &Row,
        to: State,
        error: Option<&str>,
        now_us: i64,
    ) -> Result<()> {
        let mut ending = vec![(id, None)];
        while let Some((at, cause)) = ending.pop() {
            let found = if at == id { None } else { self.row(at)? };
            let row = match &found {
                Some(after) if after.state == State::Blocked => after,
                None if at == id => row,
                _ => continue,
            };
            let told = cause.map(|cause: i64| format!("job {cause}, which it comes after, is {}", to.name()));
            let keep_us = if to == State::Dead { row.keep_dead_us } else { row.keep_us };
            self.run(
                "UPDATE job SET state = ?2, error = coalesce(?3, error), finished_us = ?4, due_us = ?5, is_cancelled = 0
                  WHERE id = ?1",
                params![at, to.code(), told.as_deref().or(error), now_us, now_us.saturating_add(keep_us)],
            )?;
            self.queues.shift(&row.queue, Some(row.state), Some(to));
            let after = self.ids("SELECT job_id FROM job_after WHERE after_id = ?1", at)?;
            ending.extend(after.into_iter().map(|next| (next, Some(at))));
        }
        Ok(())
    }

    /// Lets those go on that waited for a job which is done.
    fn unblock(&mut self, done: i64, now_us: i64) -> Result<()> {
        let waiting = self.ids("SELECT job_id FROM job_after WHERE after_id = ?1", done)?;
        if waiting.is_empty() {
            return Ok(());
        }
        for id in waiting {
            let Some(row) = self.row(id)?.filter(|row| row.state == State::Blocked) else { continue };
            let waits = row.waits - 1;
            if waits > 0 {
                self.run("UPDATE job SET waits = ?2 WHERE id = ?1", [id, waits])?;
            } else {
                self.queue_again(id, &row, now_us)?;
            }
        }
        self.run("DELETE FROM job_after WHERE after_id = ?1", [done]).map(|_| ())
    }

    /// Queues a job that waits for no other, or delays it where its time has not come.
    pub(super) fn queue_again(&mut self, id: i64, row: &Row, now_us: i64) -> Result<State> {
        let due_us = row.due_us.filter(|due_us| *due_us > now_us && !row.state.is_finished());
        let state = if due_us.is_some() { State::Delayed } else { State::Queued };
        self.run(
            "UPDATE job SET state = ?2, waits = 0, rank_us = ?3, due_us = ?4 WHERE id = ?1",
            params![id, state.code(), rank_us(due_us.unwrap_or(now_us), row.priority), due_us],
        )?;
        self.queues.shift(&row.queue, Some(row.state), Some(state));
        if let Some(due_us) = due_us {
            self.queues.expect(due_us);
        }
        Ok(state)
    }
}
