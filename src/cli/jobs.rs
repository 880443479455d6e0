//! `windrow jobs`: the jobs of a database, its queues and its schedules (`jobs/schedules`); `submit`, `cancel`, `retry`, `schedule`
//! and `unschedule` change them. A running server is asked; without one the file is opened, and what is submitted waits for the
//! next server.

mod schedules;

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::app::jobs::OwnJobs;
use crate::app::store_options;
use crate::cli::Session;
use crate::cli::remote::asked;
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::error::{Error, Result};
use crate::http::api::jobs::{
    After, JobRequest, id, told_all, told_queues, told_state, told_submitted, told_whole,
};
use crate::http::message::encode;
use crate::jobs::{Jobs, Kinds};
use crate::limits;
use crate::query::budget::Limits;
use crate::store::lock::{self, Served};
use crate::store::queue::State;
use crate::store::queue::read::{JobFile, JobFilter};
use crate::store::{Store, open};
use crate::time;

/// What `jobs` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  windrow jobs\n  windrow jobs list --state dead\n  windrow jobs submit optimize\n  \
    windrow jobs submit optimize --run-at 8h --unique nightly\n  windrow jobs show 12\n  windrow jobs cancel 12\n  \
    windrow jobs queues\n  windrow jobs schedule nightly '30 2 * * *' optimize --zone Europe/Berlin\n  \
    windrow jobs schedules\n  windrow jobs unschedule nightly\n\n\
    A running server is asked, and runs what is submitted; without one it waits in the file."
)]
pub struct JobsArguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the jobs, the newest first
    List(ListArguments),
    /// Tell where a job stands, and what went wrong with it
    Show(OfJob),
    /// Submit a job
    Submit(Box<SubmitArguments>),
    /// Cancel a job; one that runs is told to end
    Cancel(OfJob),
    /// Try a dead or cancelled job again
    Retry(OfJob),
    /// List the queues and what is in them
    Queues,
    /// List the schedules, and when each is due
    Schedules,
    /// Have a job submitted again and again
    Schedule(Box<schedules::ScheduleArguments>),
    /// End a schedule; the jobs that it has submitted stay
    Unschedule(schedules::OfSchedule),
}

#[derive(Debug, Default, Args)]
struct ListArguments {
    /// Those of a queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Those of a kind
    #[arg(long, value_name = "NAME")]
    kind: Option<String>,
    /// Those in a state: queued, delayed, blocked, running, done, dead, cancelled
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Those with a smaller id: the last one of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// So many at most [default: 100]
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
struct OfJob {
    /// The id of the job
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
struct SubmitArguments {
    /// What does it
    #[arg(value_name = "KIND")]
    kind: String,
    /// What it is about, as JSON
    #[arg(value_name = "PAYLOAD")]
    payload: Option<String>,
    /// Where it waits [default: the queue of its kind]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// 1 is first, 15 last
    #[arg(long, value_name = "NUMBER")]
    priority: Option<i64>,
    /// When it is queued: a time, or a duration from now
    #[arg(long, value_name = "TIME")]
    run_at: Option<String>,
    /// For whom it is
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// While an unfinished job of the kind has the same key, that one is meant
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// A job that has to be done before; several with commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    after: Vec<i64>,
    /// Failures after which it is dead
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<i64>,
    /// How long an attempt may take: 30s, 5m, 2h
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// The server refuses, there is no such job, or what is asked for is not possible.
pub fn run(session: &Session, arguments: &JobsArguments) -> Result<()> {
    let place = Place::of(session);
    let list_all = ListArguments::default();
    let what = arguments.what.as_ref();
    let told = match what {
        None => place.list(&list_all)?,
        Some(What::List(filter)) => place.list(filter)?,
        Some(What::Show(job)) => place.show(id(&job.id)?)?,
        Some(What::Submit(submit)) => place.submit(request(submit)?)?,
        Some(What::Cancel(job)) => place.cancel(id(&job.id)?)?,
        Some(What::Retry(job)) => place.retry(id(&job.id)?)?,
        Some(What::Queues) => place.queues()?,
        Some(What::Schedules) => place.schedules()?,
        Some(What::Schedule(schedule)) => place.schedule(schedule)?,
        Some(What::Unschedule(schedule)) => place.unschedule(&schedule.name)?,
    };
    let text = match what {
        _ if session.json => format!("{told}\n"),
        None | Some(What::List(_)) => jobs(&told, session),
        Some(What::Show(_)) => whole(&told),
        Some(What::Submit(_)) => submitted(&told, matches!(place, Place::File(_))),
        Some(What::Cancel(_)) if told["state"] == State::Running.name() => {
            format!("{}: it runs, and was told to end\n", told["id"])
        }
        Some(What::Cancel(_) | What::Retry(_)) => format!("{}: {}\n", told["id"], text_of(&told, "state")),
        Some(What::Queues) => queues(&told, session),
        Some(What::Schedules) => schedules::all(&told, session),
        Some(What::Schedule(_)) => schedules::set(&told),
        Some(What::Unschedule(_)) => format!("{}: removed\n", text_of(&told, "name")),
    };
    session.print(text.as_bytes())
}

/// What a job is about.
fn payload(text: Option<&str>) -> Result<Value> {
    let payload = text.map(serde_json::from_str).transpose();
    let payload = payload.map_err(|e| {
        Error::invalid(format!("the payload is not JSON: {e}; quote it, such as '{{\"n\": 1}}'"))
    })?;
    Ok(payload.unwrap_or_default())
}

fn request(submit: &SubmitArguments) -> Result<JobRequest> {
    Ok(JobRequest {
        kind: submit.kind.clone(),
        payload: payload(submit.payload.as_deref())?,
        queue: submit.queue.clone(),
        priority: submit.priority,
        run_at: submit.run_at.clone(),
        user: submit.user.clone(),
        unique: submit.unique.clone(),
        after: (!submit.after.is_empty()).then(|| After::All(submit.after.clone())),
        max_attempts: submit.max_attempts,
        deadline: submit.deadline.clone(),
    })
}

/// Where the jobs are: with a server, or in a file that nobody serves.
enum Place<'s> {
    Server(Served),
    File(&'s Session),
}

impl<'s> Place<'s> {
    fn of(session: &'s Session) -> Self {
        lock::served(&session.settings.database).map_or(Self::File(session), Self::Server)
    }

    fn list(&self, filter: &ListArguments) -> Result<Value> {
        let limit = filter.limit.unwrap_or(limits::PAGE_ROWS_DEFAULT);
        match self {
            Self::Server(server) => {
                let mut path = format!("/v1/jobs?limit={limit}");
                let before = filter.before.map(|before| before.to_string());
                for (name, value) in [
                    ("queue", &filter.queue),
                    ("kind", &filter.kind),
                    ("state", &filter.state),
                    ("before", &before),
                ] {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={}", encode(value)));
                    }
                }
                asked(server, "GET", &path, "")
            }
            Self::File(session) => {
                let filter = JobFilter {
                    queue: filter.queue.clone(),
                    kind: filter.kind.clone(),
                    state: filter.state.as_deref().map(State::of).transpose()?,
                    before: filter.before,
                    limit: Some(limit),
                };
                told_all(&file(session)?.list(&filter)?, |_| None)
            }
        }
    }

    fn show(&self, id: i64) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "GET", &format!("/v1/jobs/{id}"), ""),
            Self::File(session) => {
                let file = file(session)?;
                told_whole(&file.job(id)?, None, &file.failures(id)?)
            }
        }
    }

    fn queues(&self) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "GET", "/v1/queues", ""),
            Self::File(session) => Ok(told_queues(&file(session)?.queues()?)),
        }
    }

    fn submit(&self, request: JobRequest) -> Result<Value> {
        match self {
            Self::Server(server) => {
                let body = serde_json::to_string(&request)
                    .map_err(|e| Error::Internal(format!("a request does not serialize: {e}")))?;
                asked(server, "POST", "/v1/jobs", &body)
            }
            Self::File(session) => {
                let submitted = idle(session)?.submit(request.job(time::now())?)?;
                Ok(told_submitted(&[submitted]))
            }
        }
    }

    fn cancel(&self, id: i64) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "POST", &format!("/v1/jobs/{id}/cancel"), ""),
            Self::File(session) => Ok(told_state(id, idle(session)?.cancel(id)?)),
        }
    }

    fn retry(&self, id: i64) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "POST", &format!("/v1/jobs/{id}/retry"), ""),
            Self::File(session) => Ok(told_state(id, idle(session)?.retry(id)?)),
        }
    }
}

/// The jobs of a file that nobody serves, to be read.
fn file(session: &Session) -> Result<JobFile> {
    JobFile::open(&session.settings.database)
}

/// The same, to be changed; nothing is run.
fn idle(session: &Session) -> Result<Jobs> {
    let database = &session.settings.database;
    if !database.exists() {
        // opened to write, it would be made
        return Err(open::missing(database));
    }
    let kinds = Kinds::of(OwnJobs::read(&session.settings)?.kinds(Limits::default()))?;
    let store = Arc::new(Store::open(database, store_options(&session.settings))?);
    Ok(Jobs::idle(store, kinds))
}

fn text_of(told: &Value, name: &str) -> String {
    match &told[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The day and the second are what people look for.
fn time_of(told: &Value, name: &str) -> String {
    text_of(told, name).chars().take(19).collect::<String>().replace('T', " ")
}

fn submitted(told: &Value, is_in_file: bool) -> String {
    let id = &told["id"];
    match (told["is_new"] == true, is_in_file) {
        (false, _) => format!("{id}: it is there already, with this unique key\n"),
        (true, false) => format!("{id}: submitted\n"),
        (true, true) => format!("{id}: submitted; it is run when the database is served\n"),
    }
}

/// The jobs as people read them.
fn jobs(told: &Value, session: &Session) -> String {
    let jobs = told["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let older = told["next"].as_i64().map(|next| format!("older ones: windrow jobs list --before {next}\n"));
    if jobs.is_empty() {
        if let Some(older) = older {
            return format!("there are no such jobs among the latest {}\n{older}", limits::JOBS_LOOKED_AT);
        }
        return "there are no such jobs; windrow jobs submit KIND submits one\n".to_owned();
    }
    let heads = ["id", "kind", "queue", "state", "priority", "failed", "created", "error"];
    let mut table = Table::new(heads.map(Head::text), "--json");
    let row = |job: &Value| {
        let failed = format!("{} of {}", job["failures"], job["max_attempts"]);
        let cells = [
            text_of(job, "id"),
            text_of(job, "kind"),
            text_of(job, "queue"),
            text_of(job, "state"),
            text_of(job, "priority"),
            failed,
            time_of(job, "created"),
            text_of(job, "error"),
        ];
        cells.map(Cell::text).to_vec().into()
    };
    table.rows = jobs.iter().map(row).collect();
    let mut text = table.write(&session.screen);
    text.extend(older);
    text
}

/// One job as people read it: what is there of it, a line each.
fn whole(told: &Value) -> String {
    let mut text = String::new();
    for (name, value) in told.as_object().into_iter().flatten() {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty && name != "history" {
            text.push_str(&format!("{name:<13}{}\n", text_of(told, name)));
        }
    }
    for failure in told["history"].as_array().into_iter().flatten() {
        let (attempt, at) = (&failure["attempt"], time_of(failure, "at"));
        text.push_str(&format!("attempt {:<5}{at}  {}\n", attempt.to_string(), text_of(failure, "error")));
    }
    text
}

/// The queues as people read them.
fn queues(told: &Value, session: &Session) -> String {
    let queues = told["queues"].as_array().map(Vec::as_slice).unwrap_or_default();
    if queues.is_empty() {
        return "there are no queues yet: the first job of a queue makes it\n".to_owned();
    }
    let mut heads = vec!["queue", "size", "at once"];
    heads.extend(State::ALL.map(|(_, name)| name));
    let mut table = Table::new(heads.into_iter().map(Head::text).collect::<Vec<_>>(), "--json");
    let row = |queue: &Value| {
        let at_once = match &queue["settings"]["concurrency"] {
            Value::Null => "any".to_owned(),
            some => some.to_string(),
        };
        let mut cells = vec![text_of(queue, "name"), text_of(&queue["settings"], "size"), at_once];
        cells.extend(State::ALL.map(|(_, name)| text_of(&queue["jobs"], name)));
        cells.into_iter().map(Cell::text).collect::<Vec<_>>().into()
    };
    table.rows = queues.iter().map(row).collect();
    table.write(&session.screen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_is_told_by_what_is_there_of_it() {
        let told = json!({"id": 7, "kind": "optimize", "user": null, "after": [],
            "history": [{"attempt": 1, "at": "2026-03-01T10:00:00.5Z", "error": "no"}]});
        let text = whole(&told);
        assert_eq!(text, "id           7\nkind         optimize\nattempt 1    2026-03-01 10:00:00  no\n");
        assert_eq!(submitted(&json!({"id": 7, "is_new": true}), false), "7: submitted\n");
    }
}
