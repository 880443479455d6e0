//! Schedules as rows. What they say is the business of `jobs/`; here they are kept, and each time that one is due is taken once:
//! the job it submits and the next time are one transaction, which the time before has to fit.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::Store;
use crate::store::queue::change::JobChange;
use crate::store::queue::read::JobFile;
use crate::store::queue::table::Table;

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// When it is due, in five fields.
    pub cron: String,
    /// The time zone, by name.
    pub zone: String,
    /// What is submitted, JSON.
    pub job: String,
    /// When it is due next, µs.
    pub next_us: i64,
    /// When it was due last, µs.
    pub last_us: Option<i64>,
    /// The job that was submitted then.
    pub last_job: Option<i64>,
}

/// A schedule that is due goes on to its next time.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which.
    pub name: String,
    /// The time that is due, µs.
    pub due_us: i64,
    /// The one that comes after, µs.
    pub next_us: i64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    Ok(ScheduleRow {
        name: row.get(0)?,
        cron: row.get(1)?,
        zone: row.get(2)?,
        job: row.get(3)?,
        next_us: row.get(4)?,
        last_us: row.get(5)?,
        last_job: row.get(6)?,
    })
}

const COLUMNS: &str = "name, cron, zone, job, next_us, last_us, last_job";

fn get(connection: &Connection, name: &str) -> Result<ScheduleRow> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM schedule WHERE name = ?1"))
        .and_then(|mut statement| statement.query_row([name], read).optional())
        .map_err(|e| Error::sqlite("cannot read a schedule", e))?;
    found.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::NotFound(format!("there is no schedule \"{}\"", name.escape_debug()))
}

fn list(connection: &Connection) -> Result<Vec<ScheduleRow>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM schedule ORDER BY name"))
        .and_then(|mut statement| statement.query_map([], read)?.collect())
        .map_err(|e| Error::sqlite("cannot read the schedules", e))
}

impl Store {
    /// All schedules, by name.
    ///
    /// # Errors
    /// `Busy` where all read connections are in use.
    pub fn schedules(&self) -> Result<Vec<ScheduleRow>> {
        list(&*self.reader()?)
    }

    /// The schedule of a name.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where all read connections are in use.
    pub fn schedule(&self, name: &str) -> Result<ScheduleRow> {
        get(&*self.reader()?, name)
    }

    /// Stores a schedule, in place of the one of its name.
    ///
    /// # Errors
    /// `Conflict` where there are too many.
    pub fn put_schedule(&self, schedule: ScheduleRow) -> Result<()> {
        self.count_changed(JobChange::PutSchedule(Box::new(schedule)), 0).map(|_| ())
    }

    /// Removes a schedule; the jobs that it has submitted stay.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn drop_schedule(&self, name: &str) -> Result<()> {
        match self.count_changed(JobChange::DropSchedule(name.to_owned()), 0)? {
            0 => Err(missing(name)),
            _ => Ok(()),
        }
    }
}

impl JobFile {
    /// All schedules, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn schedules(&self) -> Result<Vec<ScheduleRow>> {
        list(self.connection())
    }
}

impl Table<'_> {
    pub(super) fn put_schedule(&self, new: &ScheduleRow) -> Result<usize> {
        let others = self
            .connection
            .query_row("SELECT count(*) FROM schedule WHERE name <> ?1", [&new.name], |row| {
                row.get::<_, i64>(0)
            })
            .map_err(|e| Error::sqlite("cannot count the schedules", e))?;
        if others.unsigned_abs() as usize >= limits::SCHEDULES {
            return Err(Error::Conflict(format!(
                "there are {others} schedules already, which is the most; remove one that nobody needs"
            )));
        }
        self.run(
            "INSERT INTO schedule (name, cron, zone, job, next_us) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, zone = excluded.zone, job = excluded.job,
                 -- one that says the same again keeps its time, which may have gone by while nobody was there
                 next_us = CASE WHEN cron = excluded.cron AND zone = excluded.zone THEN next_us ELSE excluded.next_us END",
            params![new.name, new.cron, new.zone, new.job, new.next_us],
        )
    }

    pub(super) fn drop_schedule(&self, name: &str) -> Result<usize> {
        self.run("DELETE FROM schedule WHERE name = ?1", [name])
    }

    /// Goes on to the next time, if the one before is as it was; false where it is not.
    pub(super) fn step(&self, step: &Step, job: Option<i64>) -> Result<bool> {
        let taken = self.run(
            "UPDATE schedule SET next_us = ?3, last_us = ?2, last_job = ?4 WHERE name = ?1 AND next_us = ?2",
            params![step.name, step.due_us, step.next_us, job],
        )?;
        Ok(taken > 0)
    }
}
