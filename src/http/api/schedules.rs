//! Schedules: jobs that are submitted again and again. For administrators, as jobs are. `windrow jobs schedule` sends the same
//! requests, and where no server runs it reads and writes the file and tells of it as [`told`] and [`told_all`] do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::http::api::jobs::JobRequest;
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::jobs::{Jobs, Schedule, Scheduled};
use crate::time;

/// What `PUT /v1/schedules/{name}` takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// When: five fields, or a word such as `@daily`.
    pub cron: String,
    /// The time zone that the times are of; none: UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What is submitted.
    pub job: JobRequest,
}

const SHAPE: &str = "send {\"cron\": \"30 2 * * *\", \"zone\": \"Europe/Berlin\", \"job\": {\"kind\": \"optimize\"}}, where zone \
                     may be left out, and the job is one of POST /v1/jobs";

impl ScheduleRequest {
    /// Has it stored under a name, and tells how it stands then.
    ///
    /// # Errors
    /// What it says cannot be; nothing was stored then.
    pub fn put(self, name: &str, jobs: &Jobs) -> Result<Scheduled> {
        if self.job.run_at.is_some() || self.job.after.is_some() {
            return Err(Error::invalid(
                "the job of a schedule has its times from that: leave out after and run_at",
            ));
        }
        let job = self.job.job(time::now())?;
        let zone = self.zone.unwrap_or_else(|| "UTC".to_owned());
        jobs.schedule(&Schedule { name: name.to_owned(), cron: self.cron, zone, job })?;
        jobs.scheduled(name)
    }
}

/// A schedule as it is told; its job can be sent again as it is.
pub fn told(scheduled: &Scheduled) -> Value {
    let Scheduled { schedule, next_us, last_us, last_job } = scheduled;
    let job = &schedule.job;
    let deadline = job.deadline.map(|long| format!("{}s", long.as_millis().div_ceil(1_000).max(1)));
    json!({
        "name": schedule.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "job": {
            "kind": job.kind,
            "payload": job.payload,
            "queue": job.queue,
            "priority": job.priority,
            "user": job.user,
            "unique": job.unique,
            "max_attempts": job.max_attempts,
            "deadline": deadline,
        },
        // a calendar that has ended
        "next": (*next_us < i64::MAX).then(|| time::format(*next_us)),
        "last": last_us.map(time::format),
        "last_job": last_job,
    })
}

/// All schedules as they are told.
pub fn told_all(schedules: &[Scheduled]) -> Value {
    json!({ "schedules": schedules.iter().map(told).collect::<Vec<_>>() })
}

fn name<'c>(call: &'c Call<'_>) -> &'c str {
    call.captured.first().map_or("", String::as_str)
}

/// `GET /v1/schedules`.
pub fn list(call: &Call<'_>) -> Result<Response> {
    Response::json(&told_all(&call.service.jobs.schedules()?))
}

/// `GET /v1/schedules/{name}`.
pub fn show(call: &Call<'_>) -> Result<Response> {
    Response::json(&told(&call.service.jobs.scheduled(name(call))?))
}

/// `PUT /v1/schedules/{name}`: one that says the same again changes nothing.
pub fn put(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    let request: ScheduleRequest = serde_json::from_slice(&body)
        .map_err(|e| Error::invalid(format!("the body is not understood: {e}; {SHAPE}")))?;
    Response::json(&told(&request.put(name(call), &call.service.jobs)?))
}

/// `DELETE /v1/schedules/{name}`: 204; what it has submitted stays.
pub fn remove(call: &Call<'_>) -> Result<Response> {
    call.service.jobs.unschedule(name(call))?;
    Ok(Response::no_content())
}
