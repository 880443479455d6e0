//! What is watched alike, and by whom: the rows of a dataset as they come, or what has a state. `hub` has it look ten times a second.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::http::Service;
use crate::http::access::Need;
use crate::http::live::end;
use crate::http::live::line::{Line, News};
use crate::http::live::message::Message;
use crate::http::live::question::{Answered, Asker};
use crate::http::live::state::{State, Subject};
use crate::http::live::tail::Tail;
use crate::http::message::Request;
use crate::store::snapshot::Snapshot;

/// Time between two looks at whether a client may still watch; a change of keys is looked at at once.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// What a client watches.
#[derive(Debug)]
pub enum Watch {
    /// Rows.
    Tail {
        /// Which.
        tail: Tail,
        /// The dataset that it is now; another one of the same name is another one.
        dataset_id: i64,
        /// The `_seq` behind which the hub begins.
        behind: i64,
        /// What the client is told before.
        first: Vec<Message>,
    },
    /// A state.
    State {
        /// Of what.
        subject: Subject,
        /// The id of the state that the client has.
        has: Option<i64>,
    },
}

/// What is watched alike.
pub struct Topic {
    source: Source,
    subscribers: Vec<Subscriber>,
}

enum Source {
    Tail { tail: Tail, dataset_id: i64 },
    State(Box<State>),
}

/// Who watches it.
pub struct Subscriber {
    line: Weak<Line>,
    /// Its request without parameters and body.
    credentials: Request,
    /// When it was last asked whether it may; `None`: a key may have changed since the handler asked.
    checked: Option<Instant>,
    /// The `_seq` up to which it was told everything, or what it missed; the id of the state that it has.
    behind: Option<i64>,
    /// What it is told before anything else.
    first: VecDeque<Message>,
    /// Whether it was told anything.
    is_greeted: bool,
}

impl Watch {
    /// What tells it from others; whoever has the same gets the same messages.
    pub fn key(&self) -> String {
        match self {
            Self::Tail { tail, dataset_id, .. } => format!("rows {dataset_id} {}", tail.key()),
            Self::State { subject, .. } => subject.key(),
        }
    }

    /// The topic, and a client that watches it.
    pub fn begin(self, line: Weak<Line>, credentials: Request) -> (Topic, Subscriber) {
        let (source, behind, first) = match self {
            Self::Tail { tail, dataset_id, behind, first } => {
                (Source::Tail { tail, dataset_id }, Some(behind), first.into())
            }
            Self::State { subject, has } => {
                (Source::State(Box::new(State::new(subject))), has, VecDeque::new())
            }
        };
        let subscribers = Vec::new();
        let subscriber = Subscriber { line, credentials, checked: None, behind, first, is_greeted: false };
        (Topic { source, subscribers }, subscriber)
    }
}

impl Topic {
    /// Has one more watch it.
    pub fn join(&mut self, subscriber: Subscriber) {
        self.subscribers.push(subscriber);
    }

    /// Whether somebody watches it.
    pub fn is_watched(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// Whether it is a question.
    pub fn is_question(&self) -> bool {
        matches!(&self.source, Source::State(state) if matches!(state.subject(), Subject::Question(_)))
    }

    /// Takes the answer to its question.
    pub fn take(&mut self, answered: Answered) {
        if let Source::State(state) = &mut self.source {
            state.take(answered);
        }
    }

    /// Gives up what goes on for it.
    pub fn give_up(&self) {
        if let Source::State(state) = &self.source {
            state.give_up();
        }
    }

    /// Ends those who may not watch any more, and forgets those who have gone.
    pub fn check(&mut self, service: &Service, are_other_keys: bool) {
        let (source, now) = (&self.source, Instant::now());
        self.subscribers.retain_mut(|subscriber| {
            if subscriber.line.strong_count() == 0 {
                return false;
            }
            let is_due = |checked: Instant| now - checked >= CHECK_EVERY;
            if !are_other_keys && !subscriber.checked.is_none_or(is_due) {
                return true;
            }
            subscriber.checked = Some(now);
            let may_go_on = source.is_for(service, &subscriber.credentials);
            if !may_go_on {
                let why = "the key or the session that this began with has ended or may read something else now; begin again";
                say(&subscriber.line, News::End(end(why)));
            }
            may_go_on
        });
    }

    /// Looks for what is new, and tells it.
    pub fn look(&mut self, service: &Service, snapshot: &Snapshot, asker: &mut Asker) {
        let Self { source, subscribers } = self;
        let lines = match source {
            Source::Tail { tail, dataset_id } => {
                let dataset = tail.dataset(snapshot);
                match dataset {
                    Ok(dataset) if dataset.id == *dataset_id => {
                        tell_rows(tail, subscribers, service, snapshot, dataset.next_seq - 1)
                    }
                    Ok(_) => {
                        let why = format!("the dataset \"{}\" is another one now", tail.dataset);
                        return self.end(&why);
                    }
                    Err(e) => return self.end(&e.to_string()),
                }
            }
            Source::State(state) => {
                state.look(service, snapshot, asker);
                tell_state(state, subscribers)
            }
        };
        wake(&lines);
    }

    /// Tells the state that it has by now, without another look.
    pub fn tell(&mut self) {
        if let Source::State(state) = &self.source {
            wake(&tell_state(state, &mut self.subscribers));
        }
    }

    /// Tells all the end.
    pub fn end(&mut self, why: &str) {
        let message = end(why);
        for subscriber in self.subscribers.drain(..) {
            say(&subscriber.line, News::End(message.clone()));
        }
    }
}

impl Source {
    /// Whether who sends this may watch it.
    fn is_for(&self, service: &Service, credentials: &Request) -> bool {
        let admit = |need, dataset| service.gate.admit(&service.store, credentials, need, dataset);
        match self {
            Self::Tail { tail, .. } => admit(Need::Read, Some(&tail.dataset))
                .is_ok_and(|access| access.reach().text() == tail.limits.reach.text()),
            Self::State(state) => match state.subject() {
                Subject::Job(_) | Subject::Queue(_) => admit(Need::Admin(None), None).is_ok(),
                Subject::Question(question) => {
                    admit(Need::Read, None).is_ok_and(|access| question.is_for(access.reach()))
                }
            },
        }
    }
}

/// Tells the rows up to a `_seq` to who has not had them.
fn tell_rows(
    tail: &Tail,
    subscribers: &mut Vec<Subscriber>,
    service: &Service,
    snapshot: &Snapshot,
    last: i64,
) -> Vec<Arc<Line>> {
    let mut waiting: BTreeMap<i64, Vec<&mut Subscriber>> = BTreeMap::new();
    let mut lines = Vec::new();
    for subscriber in subscribers.iter_mut() {
        let Some(line) = free(subscriber) else { continue };
        let behind = subscriber.behind.unwrap_or(last);
        if let Some(message) = subscriber.first.pop_front() {
            line.push(News::Say(message));
            lines.push(line);
        } else if behind < last {
            waiting.entry(behind).or_default().push(subscriber);
        }
    }
    let mut failed = Vec::new();
    for (behind, subscribers) in waiting {
        let news: Result<_> = tail.news(&service.store, snapshot, behind, last);
        for subscriber in subscribers {
            subscriber.behind = Some(last);
            let Some(line) = subscriber.line.upgrade() else { continue };
            match &news {
                Ok(Some(message)) => line.say(message),
                Ok(None) => continue,
                Err(e) => {
                    line.push(News::End(end(&e.to_string())));
                    failed.push(Arc::as_ptr(&line));
                }
            }
            lines.push(line);
        }
    }
    subscribers.retain(|subscriber| !failed.contains(&subscriber.line.as_ptr()));
    lines
}

/// Tells the state to who has another one, and the end to who has the last.
fn tell_state(state: &State, subscribers: &mut Vec<Subscriber>) -> Vec<Arc<Line>> {
    let latest = state.latest();
    let id = latest.and_then(Message::id);
    let ending = state.ending().map(end);
    let mut greeting = None;
    let mut lines = Vec::new();
    subscribers.retain_mut(|subscriber| {
        let Some(line) = free(subscriber) else { return true };
        match latest {
            Some(latest) if subscriber.behind != id => line.say(latest),
            Some(latest) if !subscriber.is_greeted && ending.is_none() => {
                let greeting: &Message = greeting.get_or_insert_with(|| state.greeting(latest));
                line.say(greeting);
            }
            _ => {
                let Some(ending) = &ending else { return true };
                line.push(News::End(ending.clone()));
                lines.push(line);
                return false;
            }
        }
        (subscriber.behind, subscriber.is_greeted) = (id, true);
        lines.push(line);
        true
    });
    lines
}

/// One wakes the guard for all.
fn wake(lines: &[Arc<Line>]) {
    if let Some(line) = lines.last() {
        line.wake();
    }
}

/// The line of a client that takes a message now.
fn free(subscriber: &Subscriber) -> Option<Arc<Line>> {
    subscriber.line.upgrade().filter(|line| line.is_free())
}

/// Tells one client.
fn say(line: &Weak<Line>, news: News) {
    if let Some(line) = line.upgrade() {
        line.push(news);
        line.wake();
    }
}
