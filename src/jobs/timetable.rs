//! Schedules: jobs that are submitted again and again, when a cron expression says so. Each time is taken once, with its job, in one
//! transaction; times that went by while nobody was there are caught up by one job. The dispatcher asks what is due.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::jobs::cron::Cron;
use crate::jobs::kind::{Kinds, check_name};
use crate::jobs::new_job::{NewJob, json};
use crate::store::Store;
use crate::store::queue::Act;
use crate::store::queue::read::JobFile;
use crate::store::queue::schedules::{ScheduleRow, Step};
use crate::time::MINUTE;

/// Jobs that are submitted again and again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Its name; one of the same name takes its place.
    pub name: String,
    /// When: minute, hour, day of the month, month, day of the week, as in `30 2 * * mon-fri`, or a word such as `@daily`.
    pub cron: String,
    /// The time zone that the times are of, by its IANA name.
    pub zone: String,
    /// What is submitted. Without a unique key of its own it has one of the schedule, so that no two are there at once: a time
    /// that comes while the job of the one before is unfinished brings none.
    pub job: NewJob,
}

/// A schedule as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scheduled {
    /// What it says.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// When it is due next, µs.
    pub next_us: i64,
    /// When it was due last, µs.
    pub last_us: Option<i64>,
    /// The job that was submitted then.
    pub last_job: Option<i64>,
}

impl Schedule {
    /// A schedule in UTC.
    pub fn new(name: impl Into<String>, cron: impl Into<String>, job: NewJob) -> Self {
        Self { name: name.into(), cron: cron.into(), zone: "UTC".into(), job }
    }

    /// The same in a time zone.
    #[must_use]
    pub fn zone(self, zone: impl Into<String>) -> Self {
        Self { zone: zone.into(), ..self }
    }

    /// It as it is stored, with its first time after now.
    ///
    /// # Errors
    /// `Invalid`: a name, an expression, a zone or a job that is none, or that is never due.
    pub(super) fn row(&self, kinds: &Kinds, now_us: i64) -> Result<ScheduleRow> {
        check_name("schedule", &self.name)?;
        let (cron, zone) = (self.cron.parse::<Cron>()?, zone(&self.zone)?);
        if !self.job.after.is_empty() || self.job.run_at_us.is_some() {
            return Err(Error::invalid(
                "the job of a schedule has its times from that: leave out after and run_at",
            ));
        }
        self.job.row(kinds)?;
        let next_us = cron.next_after(now_us, &zone);
        let next_us =
            next_us.ok_or_else(|| Error::invalid(format!("\"{}\" is never due again", self.cron)))?;
        Ok(ScheduleRow {
            name: self.name.clone(),
            cron: self.cron.clone(),
            zone: self.zone.clone(),
            job: json("the job of a schedule", &self.job)?,
            next_us,
            last_us: None,
            last_job: None,
        })
    }
}

impl Scheduled {
    /// All schedules of a file that another process may be serving, by name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all_of(file: &JobFile) -> Result<Vec<Self>> {
        file.schedules()?.into_iter().map(Self::of).collect()
    }

    /// A schedule as it is stored.
    ///
    /// # Errors
    /// `Corrupt`: its job cannot be read.
    pub(super) fn of(row: ScheduleRow) -> Result<Self> {
        let job = serde_json::from_str(&row.job).map_err(|e| {
            Error::Corrupt(format!("the job of the schedule \"{}\" cannot be read: {e}", row.name))
        })?;
        let schedule = Schedule { name: row.name, cron: row.cron, zone: row.zone, job };
        Ok(Self { schedule, next_us: row.next_us, last_us: row.last_us, last_job: row.last_job })
    }
}

fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        Error::invalid(format!("\"{name}\" is no time zone; write a name such as UTC or Europe/Berlin"))
    })
}

/// A schedule that is waited for.
struct Armed {
    name: Arc<str>,
    cron: Cron,
    zone: TimeZone,
    job: NewJob,
    next_us: i64,
    /// When to look at it: its time, or later where that could not be taken.
    look_us: i64,
    is_taken: bool,
}

/// All schedules, as the dispatcher waits for them.
#[derive(Default)]
pub(super) struct Timetable(Vec<Armed>);

impl Timetable {
    /// Reads the schedules; one that cannot be read keeps nobody else from being due.
    pub fn read(store: &Store) -> Result<Self> {
        let armed = |row: ScheduleRow| -> Result<Armed> {
            let scheduled = Scheduled::of(row)?;
            let (schedule, next_us) = (scheduled.schedule, scheduled.next_us);
            let (cron, zone) = (schedule.cron.parse()?, zone(&schedule.zone)?);
            let name = schedule.name.as_str().into();
            Ok(Armed { name, cron, zone, job: schedule.job, next_us, look_us: next_us, is_taken: false })
        };
        let mut all = Vec::new();
        for row in store.schedules()? {
            match armed(row) {
                Ok(armed) => all.push(armed),
                Err(e) => tracing::error!("a schedule is left out: {e}"),
            }
        }
        Ok(Self(all))
    }

    /// When the next one is to be looked at.
    pub fn next_us(&self) -> Option<i64> {
        self.0.iter().filter(|armed| !armed.is_taken).map(|armed| armed.look_us).min()
    }

    /// What those that are due come to: one job each, however many times went by.
    pub fn due(&mut self, kinds: &Kinds, now_us: i64) -> Vec<(Arc<str>, Act)> {
        let mut acts = Vec::new();
        for armed in self.0.iter_mut().filter(|armed| !armed.is_taken && armed.look_us <= now_us) {
            // where the calendar ends nothing is due any more
            let next_us = armed.cron.next_after(now_us.max(armed.next_us), &armed.zone).unwrap_or(i64::MAX);
            let key = format!("schedule:{}", armed.name);
            let job = NewJob { unique: armed.job.unique.clone().or(Some(key)), ..armed.job.clone() };
            let step = Step { name: armed.name.to_string(), due_us: armed.next_us, next_us };
            let jobs = match job.row(kinds) {
                Ok(row) => vec![row],
                Err(e) => {
                    tracing::error!("the schedule \"{}\" is due and has no job: {e}", armed.name);
                    Vec::new()
                }
            };
            armed.is_taken = true;
            acts.push((Arc::clone(&armed.name), Act { now_us, jobs, step: Some(step), ..Act::default() }));
        }
        acts
    }

    /// Notes what became of it: it waits for its next time, or is tried again in a minute. False: it is not as it was, and all
    /// are to be read again.
    pub fn taken(&mut self, name: &str, told: Result<Option<i64>>, now_us: i64) -> bool {
        let Some(armed) = self.0.iter_mut().find(|armed| *armed.name == *name) else { return true };
        armed.is_taken = false;
        match told {
            Ok(Some(next_us)) => (armed.next_us, armed.look_us) = (next_us, next_us),
            Ok(None) => return false,
            Err(e) => {
                tracing::warn!("the schedule \"{name}\" is due and is tried again in a minute: {e}");
                armed.look_us = now_us.saturating_add(MINUTE);
            }
        }
        true
    }
}
