//! What has a state at every moment: a job, a queue, the answer to a question. `topic` asks for it ten times a second while
//! somebody watches, and tells it where it is another one.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::error::{Error, Result, nearest};
use crate::http::Service;
use crate::http::api::jobs::{told, told_queue};
use crate::http::live::message::{Message, id_of};
use crate::http::live::question::{Answered, Asker, Question, Watched};
use crate::jobs::Jobs;
use crate::limits;
use crate::store::queue::Queues;
use crate::store::queue::read::Job;
use crate::store::snapshot::Snapshot;

/// What is watched.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A job, by its id.
    Job(i64),
    /// A queue, by its name.
    Queue(String),
    /// The answer to a question.
    Question(Arc<Question>),
}

/// What was found of it so far.
#[derive(Debug)]
enum Found {
    Nothing,
    /// A job as of some queues: while they are the same nothing has happened to any job.
    Job(Arc<Queues>, Box<Job>),
    Queue(Arc<Queues>),
    Question(Box<Watched>),
}

/// A subject, and its state as of the last look.
#[derive(Debug)]
pub struct State {
    subject: Subject,
    found: Found,
    latest: Option<Message>,
    ending: Option<String>,
}

impl Subject {
    /// What tells it from others; whoever has the same gets the same messages.
    pub fn key(&self) -> String {
        match self {
            Self::Job(id) => format!("job {id}"),
            Self::Queue(name) => format!("queue {name}"),
            Self::Question(question) => format!("query {}", question.key()),
        }
    }

    /// What it is called in messages.
    fn name(&self) -> (&'static str, Value) {
        match self {
            Self::Job(id) => ("job", json!(id)),
            Self::Queue(name) => ("queue", json!(name)),
            Self::Question(question) => ("query", json!(question.text())),
        }
    }

    /// Whether it is there to be watched.
    ///
    /// # Errors
    /// There is no such job, no such queue; what of a question is wrong whatever the rows.
    pub fn check(&self, jobs: &Jobs, snapshot: &Snapshot) -> Result<()> {
        match self {
            Self::Job(id) => jobs.get(*id).map(drop),
            Self::Queue(name) => {
                let queues = jobs.queues();
                if queues.by_name.contains_key(name.as_str()) {
                    return Ok(());
                }
                let hint = nearest(name, queues.by_name.keys().map(|known| &**known));
                let shown = name.escape_debug();
                Err(Error::NotFound(format!(
                    "there is no queue \"{shown}\"; one comes with its first job, or with PUT /v1/queues/{{queue}}{hint}"
                )))
            }
            Self::Question(question) => question.check(snapshot),
        }
    }
}

impl State {
    /// One that was not looked at.
    pub fn new(subject: Subject) -> Self {
        Self { subject, found: Found::Nothing, latest: None, ending: None }
    }

    /// What is watched.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The state, once it is known.
    pub fn latest(&self) -> Option<&Message> {
        self.latest.as_ref()
    }

    /// Why nothing more will come of it.
    pub fn ending(&self) -> Option<&str> {
        self.ending.as_deref()
    }

    /// That somebody has this state already.
    pub fn greeting(&self, has: &Message) -> Message {
        let ((sort, name), id) = (self.subject.name(), has.id());
        let text = json!({ "type": "ready", "id": id.map(|id| id.to_string()), sort: name }).to_string();
        Message::new(id, text)
    }

    /// Looks how it is now; a question is asked by another thread, and [`State::take`] has its answer.
    pub fn look(&mut self, service: &Service, snapshot: &Snapshot, asker: &mut Asker) {
        if self.ending.is_some() {
            return;
        }
        let looked = match self.subject.clone() {
            Subject::Job(id) => self.look_at_job(&service.jobs, id),
            Subject::Queue(name) => {
                self.look_at_queue(service.jobs.queues(), &name);
                Ok(())
            }
            Subject::Question(question) => {
                if !matches!(self.found, Found::Question(_)) {
                    self.found = Found::Question(Box::default());
                }
                match &mut self.found {
                    Found::Question(watched) => watched.look(&question, snapshot, asker),
                    _ => Ok(()),
                }
            }
        };
        if let Err(e) = looked {
            self.ending = Some(e.to_string());
        }
    }

    /// Takes the answer to its question.
    pub fn take(&mut self, answered: Answered) {
        let Found::Question(watched) = &mut self.found else { return };
        match watched.take(answered) {
            None => {}
            Some(Ok(answer)) => self.tell("query", &answer),
            Some(Err(e)) => self.ending = Some(e.to_string()),
        }
    }

    /// Gives up what goes on for it.
    pub fn give_up(&self) {
        if let Found::Question(watched) = &self.found {
            watched.give_up();
        }
    }

    fn look_at_job(&mut self, jobs: &Jobs, id: i64) -> Result<()> {
        // in this order: what happens after it makes others of them
        let queues = jobs.queues();
        if !matches!(&self.found, Found::Job(known, _) if Arc::ptr_eq(known, &queues)) {
            self.found = Found::Job(queues, Box::new(jobs.get(id)?));
        }
        let Found::Job(_, job) = &self.found else { return Ok(()) };
        let text = job_as_told(job, jobs)?;
        if job.state.is_finished() {
            self.ending = Some(format!("the job is {}", job.state.name()));
        }
        self.tell("job", &format!("\"job\":{text}"));
        Ok(())
    }

    fn look_at_queue(&mut self, queues: Arc<Queues>, name: &str) {
        if matches!(&self.found, Found::Queue(known) if Arc::ptr_eq(known, &queues)) {
            return;
        }
        let queue = queues.by_name.get(name).cloned().unwrap_or_default();
        self.tell("queue", &format!("\"queue\":{}", told_queue(name, &queue)));
        self.found = Found::Queue(queues);
    }

    /// Makes a message of what a state says, unless it is what was said before.
    fn tell(&mut self, sort: &str, says: &str) {
        let id = id_of(says);
        if self.latest.as_ref().and_then(Message::id) != Some(id) {
            let text = format!("{{\"type\":\"{sort}\",\"id\":\"{id}\",{says}}}");
            self.latest = Some(Message::new(Some(id), text));
        }
    }
}

/// A job as `GET /v1/jobs/{id}` tells it, without what does not change and what is long: its payload, and a long result.
fn job_as_told(job: &Job, jobs: &Jobs) -> Result<String> {
    let is_long = job.result.as_ref().is_some_and(|result| result.len() > limits::LIVE_RESULT_BYTES);
    let short;
    let job = if is_long || job.payload != "null" {
        let result = job.result.clone().filter(|_| !is_long);
        short = Job { payload: "null".into(), result, ..job.clone() };
        &short
    } else {
        job
    };
    let mut told = told(job, jobs.progress(job.id).as_ref())?;
    if let Value::Object(fields) = &mut told {
        fields.shift_remove("payload");
        if is_long {
            fields.shift_remove("result");
        }
    }
    Ok(told.to_string())
}
