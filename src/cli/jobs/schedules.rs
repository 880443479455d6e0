//! `windrow jobs schedules`, `schedule` and `unschedule`: jobs that are submitted again and again.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Session;
use crate::cli::jobs::{Place, file, idle, payload, text_of, time_of};
use crate::cli::remote::{ask, asked};
use crate::cli::terminal::table::{Cell, Head, Table};
use crate::error::{Error, Result};
use crate::http::api::jobs::JobRequest;
use crate::http::api::schedules::{ScheduleRequest, told, told_all};
use crate::http::message::encode;
use crate::jobs::Scheduled;

#[derive(Debug, Args)]
pub(super) struct OfSchedule {
    /// The name of the schedule
    #[arg(value_name = "NAME")]
    pub name: String,
}

#[derive(Debug, Args)]
pub(super) struct ScheduleArguments {
    /// Its name; the schedule that has it is replaced
    #[arg(value_name = "NAME")]
    name: String,
    /// When: minute, hour, day of the month, month, day of the week, such as '30 2 * * mon-fri', or @daily
    #[arg(value_name = "CRON")]
    cron: String,
    /// What does the job
    #[arg(value_name = "KIND")]
    kind: String,
    /// What it is about, as JSON
    #[arg(value_name = "PAYLOAD")]
    payload: Option<String>,
    /// The time zone that the times are of, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// Where it waits [default: the queue of its kind]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// 1 is first, 15 last
    #[arg(long, value_name = "NUMBER")]
    priority: Option<i64>,
    /// For whom it is
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// While an unfinished job of the kind has the same key, a time brings no other [default: one of the schedule]
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// Failures after which it is dead
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<i64>,
    /// How long an attempt may take: 30s, 5m, 2h
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
}

impl ScheduleArguments {
    fn request(&self) -> Result<ScheduleRequest> {
        let job = JobRequest {
            kind: self.kind.clone(),
            payload: payload(self.payload.as_deref())?,
            queue: self.queue.clone(),
            priority: self.priority,
            user: self.user.clone(),
            unique: self.unique.clone(),
            max_attempts: self.max_attempts,
            deadline: self.deadline.clone(),
            ..JobRequest::default()
        };
        Ok(ScheduleRequest { cron: self.cron.clone(), zone: self.zone.clone(), job })
    }
}

impl Place<'_> {
    pub(super) fn schedules(&self) -> Result<Value> {
        match self {
            Self::Server(server) => asked(server, "GET", "/v1/schedules", ""),
            Self::File(session) => Ok(told_all(&Scheduled::all_of(&file(session)?)?)),
        }
    }

    pub(super) fn schedule(&self, arguments: &ScheduleArguments) -> Result<Value> {
        let (name, request) = (&arguments.name, arguments.request()?);
        match self {
            Self::Server(server) => {
                let body = serde_json::to_string(&request)
                    .map_err(|e| Error::Internal(format!("a request does not serialize: {e}")))?;
                asked(server, "PUT", &format!("/v1/schedules/{}", encode(name)), &body)
            }
            Self::File(session) => Ok(told(&request.put(name, &idle(session)?)?)),
        }
    }

    pub(super) fn unschedule(&self, name: &str) -> Result<Value> {
        match self {
            Self::Server(server) => {
                ask(server, "DELETE", &format!("/v1/schedules/{}", encode(name)), "").map(drop)?
            }
            Self::File(session) => idle(session)?.unschedule(name)?,
        }
        Ok(json!({ "name": name }))
    }
}

/// What is told of a schedule that was set.
pub(super) fn set(told: &Value) -> String {
    format!("{}: due next at {} UTC\n", text_of(told, "name"), time_of(told, "next"))
}

/// The schedules as people read them.
pub(super) fn all(told: &Value, session: &Session) -> String {
    let schedules = told["schedules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if schedules.is_empty() {
        return "there are no schedules; windrow jobs schedule NAME CRON KIND sets one\n".to_owned();
    }
    let heads = ["name", "cron", "zone", "kind", "next (UTC)", "last (UTC)", "last job"];
    let mut table = Table::new(heads.map(Head::text), "--json");
    let row = |schedule: &Value| {
        let cells = [
            text_of(schedule, "name"),
            text_of(schedule, "cron"),
            text_of(schedule, "zone"),
            text_of(&schedule["job"], "kind"),
            time_of(schedule, "next"),
            time_of(schedule, "last"),
            text_of(schedule, "last_job"),
        ];
        cells.map(Cell::text).to_vec().into()
    };
    table.rows = schedules.iter().map(row).collect();
    table.write(&session.screen)
}
