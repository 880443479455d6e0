//! Jobs: submit, look, cancel, try again; queues, and what is set of them. All of it is for administrators: a job may do whatever its
//! kind does, and payloads tell of what others do. `windrow jobs` sends the same requests, and where no server runs it reads the
//! file and tells it as [`told`], [`told_all`] and [`told_queues`] do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::http::body;
use crate::http::message::Response;
use crate::http::routes::Call;
use crate::jobs::{Effects, NewJob, Progress};
use crate::limits;
use crate::store::queue::read::{Failure, Job, JobFilter, JobPage};
use crate::store::queue::{QueueNow, QueueSettings, Queues, State, Submitted};
use crate::time::{self, parse_duration};

/// What `POST /v1/jobs` takes, and what a schedule submits.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// What does it.
    pub kind: String,
    /// What it is about.
    #[serde(default)]
    pub payload: Value,
    /// Where it waits; none: the queue of its kind.
    #[serde(default)]
    pub queue: Option<String>,
    /// 1 is first, 15 last.
    #[serde(default)]
    pub priority: Option<i64>,
    /// A time, or a duration from now.
    #[serde(default)]
    pub run_at: Option<String>,
    /// For whom it is.
    #[serde(default)]
    pub user: Option<String>,
    /// While an unfinished job of the kind has the same key, that one is meant.
    #[serde(default)]
    pub unique: Option<String>,
    /// The job, or the jobs, that have to be done before.
    #[serde(default)]
    pub after: Option<After>,
    /// Failures after which it is dead.
    #[serde(default)]
    pub max_attempts: Option<i64>,
    /// How long an attempt may take: a duration.
    #[serde(default)]
    pub deadline: Option<String>,
}

/// One job or several.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum After {
    /// One.
    One(i64),
    /// Several.
    All(Vec<i64>),
}

const SHAPE: &str = "send {\"kind\": \"optimize\", \"payload\": {}, \"queue\": \"maintenance\", \"priority\": 8, \"run_at\": \
                     \"5m\"}; all but kind may be left out";

impl JobRequest {
    /// The job as it was asked for.
    ///
    /// # Errors
    /// What is no time, and numbers out of any bounds; the rest is checked where it is submitted.
    pub fn job(self, now_us: i64) -> Result<NewJob> {
        let run_at_us = self.run_at.as_deref().map(|text| instant(text, now_us)).transpose()?;
        let deadline_us = self.deadline.as_deref().map(duration).transpose()?;
        let deadline = deadline_us.map(|us| std::time::Duration::from_micros(us.unsigned_abs()));
        let after = match self.after {
            None => Vec::new(),
            Some(After::One(id)) => vec![id],
            Some(After::All(ids)) => ids,
        };
        let priority = self.priority.map(|number| bounded("priority", number)).transpose()?;
        let max_attempts = self.max_attempts.map(|number| bounded("max_attempts", number)).transpose()?;
        let (kind, payload, queue) = (self.kind, self.payload, self.queue);
        let (user, unique) = (self.user, self.unique);
        Ok(NewJob { kind, payload, queue, priority, run_at_us, user, unique, after, max_attempts, deadline })
    }
}

/// A number that may be one of those that are taken; which those are is checked where it is submitted.
fn bounded<N: TryFrom<i64>>(name: &str, number: i64) -> Result<N> {
    N::try_from(number).map_err(|_| {
        Error::invalid(format!("{name} is {number}; it begins at 1, and docs/jobs.md says where it ends"))
    })
}

fn duration(text: &str) -> Result<i64> {
    parse_duration(text).filter(|us| *us > 0).ok_or_else(|| {
        Error::invalid(format!(
            "the deadline \"{}\" is no duration; write one such as 30s, 5m, 2h",
            text.escape_debug()
        ))
    })
}

/// A time, or so long from now. What is past is due at once.
fn instant(text: &str, now_us: i64) -> Result<i64> {
    let us = match parse_duration(text) {
        Some(us) => now_us.checked_add(us),
        None => time::parse(text),
    };
    us.ok_or_else(|| {
        Error::invalid(format!(
            "run_at is \"{}\", which is no time; write one such as 2027-01-31T00:00:00Z, or a duration from now such as 5m",
            text.escape_debug()
        ))
    })
}

/// JSON that was stored as text.
fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| Error::Corrupt(format!("what is stored of a job is not JSON: {e}")))
}

/// A job as it is told.
///
/// # Errors
/// `Corrupt`: what is stored of it is not JSON.
pub fn told(job: &Job, progress: Option<&Progress>) -> Result<Value> {
    let time = |us: Option<i64>| us.map(time::format);
    let (waits, is_over) = (job.state.is_waiting(), job.state.is_finished());
    Ok(json!({
        "id": job.id,
        "kind": job.kind,
        "queue": job.queue,
        "state": job.state,
        "priority": job.priority,
        "payload": parsed(&job.payload)?,
        "user": job.user,
        "unique": job.unique,
        "after": job.after,
        "attempt": job.attempt,
        "failures": job.failures,
        "max_attempts": job.max_attempts,
        "is_ending": job.is_cancelled && job.state == State::Running,
        "created": time::format(job.created_us),
        "run_at": time(job.due_us.filter(|_| waits)),
        "started": time(job.started_us),
        "finished": time(job.finished_us),
        "kept_until": time(job.due_us.filter(|_| is_over)),
        "progress": progress,
        "checkpoint": job.checkpoint.as_deref().map(parsed).transpose()?,
        "result": job.result.as_deref().map(parsed).transpose()?,
        "error": job.error,
    }))
}

/// A job with its attempts that failed.
///
/// # Errors
/// As [`told`].
pub fn told_whole(job: &Job, progress: Option<&Progress>, failures: &[Failure]) -> Result<Value> {
    let mut told = told(job, progress)?;
    let failure = |failure: &Failure| json!({"attempt": failure.attempt, "at": time::format(failure.at_us), "error": failure.error});
    told["history"] = failures.iter().map(failure).collect();
    Ok(told)
}

/// A page of jobs, the newest first.
///
/// # Errors
/// As [`told`].
pub fn told_all(page: &JobPage, progress: impl Fn(i64) -> Option<Progress>) -> Result<Value> {
    let all: Vec<Value> =
        page.jobs.iter().map(|job| told(job, progress(job.id).as_ref())).collect::<Result<_>>()?;
    Ok(json!({"jobs": all, "next": page.next}))
}

/// A queue as it is told.
pub fn told_queue(name: &str, queue: &QueueNow) -> Value {
    let mut told = json!({"name": name, "settings": queue.settings, "waiting": queue.waiting()});
    for (state, word) in State::ALL {
        told["jobs"][word] = queue.count(state).into();
    }
    told
}

/// All queues as they are told.
pub fn told_queues(queues: &Queues) -> Value {
    let all: Vec<Value> = queues.by_name.iter().map(|(name, queue)| told_queue(name, queue)).collect();
    json!({ "queues": all })
}

/// What is told of a job that was submitted.
pub fn told_submitted(submitted: &[Submitted]) -> Value {
    submitted.first().map_or(Value::Null, |job| json!({"id": job.id, "is_new": job.is_new}))
}

/// A number in a path, or the reason that there is no such job.
///
/// # Errors
/// `NotFound`.
pub fn id(text: &str) -> Result<i64> {
    text.parse().map_err(|_| {
        Error::NotFound(format!("there is no job \"{}\"; ids of jobs are numbers", text.escape_debug()))
    })
}

fn id_of(call: &Call<'_>) -> Result<i64> {
    id(call.captured.first().map_or("", String::as_str))
}

/// `POST /v1/jobs`: 201 when it is stored.
pub fn submit(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    let request: JobRequest = serde_json::from_slice(&body)
        .map_err(|e| Error::invalid(format!("the body is not understood: {e}; {SHAPE}")))?;
    let effects = Effects::default().job(request.job(time::now())?);
    let reply =
        |submitted: &[Submitted]| Ok(Response { status: 201, ..Response::json(&told_submitted(submitted))? });
    let once = call.once.map(|ticket| ticket.once_of(reply));
    let submitted = call.service.jobs.commit_once(&effects, once)?;
    if let Some(ticket) = call.once {
        ticket.set_kept();
    }
    *call.subject.borrow_mut() = submitted.first().map(|job| job.id.to_string());
    reply(&submitted)
}

/// Which jobs the parameters of a request are about.
///
/// # Errors
/// A state that is none, numbers that are none.
fn filter(call: &Call<'_>) -> Result<JobFilter> {
    let text = |name: &str| call.request.parameter(name).map(str::to_owned);
    let limit = match call.request.parameter("limit") {
        None => limits::PAGE_ROWS_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=limits::PAGE_ROWS).contains(limit))
            .ok_or_else(|| Error::invalid(format!("limit is a number from 1 to {}", limits::PAGE_ROWS)))?,
    };
    let before = call.request.parameter("before").map(|text| {
        text.parse().map_err(|_| Error::invalid("before is the id of a job: the `next` of the page before"))
    });
    Ok(JobFilter {
        queue: text("queue"),
        kind: text("kind"),
        state: call.request.parameter("state").map(State::of).transpose()?,
        before: before.transpose()?,
        limit: Some(limit),
    })
}

/// `GET /v1/jobs`.
pub fn list(call: &Call<'_>) -> Result<Response> {
    let jobs = &call.service.jobs;
    Response::json(&told_all(&jobs.list(&filter(call)?)?, |id| jobs.progress(id))?)
}

/// `GET /v1/jobs/{id}`.
pub fn show(call: &Call<'_>) -> Result<Response> {
    let (id, jobs) = (id_of(call)?, &call.service.jobs);
    let job = jobs.get(id)?;
    Response::json(&told_whole(&job, jobs.progress(id).as_ref(), &jobs.failures(id)?)?)
}

/// What is told of a job whose state was changed.
pub fn told_state(id: i64, state: State) -> Value {
    json!({"id": id, "state": state})
}

/// `POST /v1/jobs/{id}/cancel`.
pub fn cancel(call: &Call<'_>) -> Result<Response> {
    let id = id_of(call)?;
    Response::json(&told_state(id, call.service.jobs.cancel(id)?))
}

/// `POST /v1/jobs/{id}/retry`.
pub fn retry(call: &Call<'_>) -> Result<Response> {
    let id = id_of(call)?;
    Response::json(&told_state(id, call.service.jobs.retry(id)?))
}

/// `GET /v1/queues`.
pub fn queues(call: &Call<'_>) -> Result<Response> {
    Response::json(&told_queues(&call.service.jobs.queues()))
}

/// `PUT /v1/queues/{queue}`: what is left out is as usual.
pub fn configure(call: &Call<'_>) -> Result<Response> {
    let body = body::decode(call.request)?;
    let settings: QueueSettings = serde_json::from_slice(&body).map_err(|e| {
        Error::invalid(format!(
            "the body is not understood: {e}; send {{\"size\": 1000, \"concurrency\": 4, \"rate\": \"100/min\"}}, each of which may be left out"
        ))
    })?;
    let name = call.captured.first().map_or("", String::as_str);
    call.service.jobs.configure(name, settings)?;
    let queues = call.service.jobs.queues();
    let queue = queues.by_name.get(name).cloned().unwrap_or_default();
    Response::json(&told_queue(name, &queue))
}
