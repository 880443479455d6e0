//! The thread that finds what is new: ten times a second, once for all who watch the same, and only while somebody watches. A
//! handler joins a line to it; `app` starts and stops it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};

use crate::error::{Error, Result};
use crate::http::Service;
use crate::http::access::Need;
use crate::http::live::Message;
use crate::http::live::line::{Line, News};
use crate::http::live::tail::{self, Tail};
use crate::http::message::Request;
use crate::store::snapshot::Snapshot;

/// Time between two looks: what comes meanwhile goes out together.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two looks at whether a client may still watch; a change of keys is looked at at once.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Subscriptions that wait to be taken up.
const JOINING: usize = 1_024;

/// A client, and what it watches.
pub struct Subscription {
    /// Its line.
    pub line: Weak<Line>,
    /// What it watches.
    pub tail: Tail,
    /// The dataset that it is now; another one of the same name is another one.
    pub dataset_id: i64,
    /// The `_seq` behind which the hub begins.
    pub behind: i64,
    /// What it is told before.
    pub first: Vec<Message>,
    /// Its request without parameters and body: it is asked again and again whether it may.
    pub credentials: Request,
}

/// The way to the hub, and for the hub itself to take what comes.
#[derive(Debug)]
pub struct Reception {
    joining: Sender<Subscription>,
    joined: Receiver<Subscription>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("dataset", &self.tail.dataset).finish_non_exhaustive()
    }
}

impl Default for Reception {
    fn default() -> Self {
        let (joining, joined) = bounded(JOINING);
        Self { joining, joined }
    }
}

impl Reception {
    /// Takes a client up.
    ///
    /// # Errors
    /// `Busy`.
    pub fn join(&self, subscription: Subscription) -> Result<()> {
        self.joining.try_send(subscription).map_err(|_| Error::Busy {
            detail: "too many clients begin to watch at once; repeat the request".into(),
            retry_after_s: 1,
        })
    }
}

/// The running hub.
#[derive(Debug)]
pub struct Hub {
    /// Ends the thread when it goes.
    running: Sender<()>,
    thread: JoinHandle<()>,
}

impl Hub {
    /// Starts to look.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(service: Arc<Service>) -> Result<Self> {
        let (running, stopped) = bounded(0);
        let run = move || Topics { service: &service, by_key: HashMap::new() }.run(&stopped);
        let thread = std::thread::Builder::new()
            .name("live".into())
            .spawn(run)
            .map_err(|e| Error::io("cannot start the thread that tells what is new", e))?;
        Ok(Self { running, thread })
    }

    /// Ends it.
    pub fn stop(self) {
        drop(self.running);
        if self.thread.join().is_err() {
            tracing::error!("the thread that tells what is new panicked");
        }
    }
}

/// All that is watched.
struct Topics<'a> {
    service: &'a Service,
    by_key: HashMap<String, Topic>,
}

/// What is watched alike.
struct Topic {
    tail: Tail,
    dataset_id: i64,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    line: Weak<Line>,
    credentials: Request,
    /// When it was last asked whether it may; `None`: a key may have changed since the handler asked.
    checked: Option<Instant>,
    /// The `_seq` up to which it was told everything, or what it missed.
    behind: i64,
    /// What it is told before anything else.
    first: VecDeque<Message>,
}

impl Topics<'_> {
    fn run(mut self, stopped: &Receiver<()>) {
        let joined = &self.service.live.joined;
        let looks = tick(LOOK_EVERY);
        let mut ring = self.service.store.keys();
        loop {
            if self.by_key.is_empty() {
                // nothing wakes a machine on which nobody watches
                select! {
                    recv(joined) -> subscription => subscription.into_iter().for_each(|new| self.take(new)),
                    recv(stopped) -> _ => return,
                }
            }
            select! {
                recv(joined) -> subscription => subscription.into_iter().for_each(|new| self.take(new)),
                recv(stopped) -> _ => return,
                recv(looks) -> _ => {
                    let keys = self.service.store.keys();
                    let are_other_keys = !Arc::ptr_eq(&ring, &keys);
                    ring = keys;
                    self.look(are_other_keys);
                }
            }
        }
    }

    fn take(&mut self, new: Subscription) {
        let Subscription { line, tail, dataset_id, behind, first, credentials } = new;
        let key = format!("{dataset_id} {}", tail.key());
        let topic =
            self.by_key.entry(key).or_insert_with(|| Topic { tail, dataset_id, subscribers: Vec::new() });
        let first = first.into();
        topic.subscribers.push(Subscriber { line, credentials, checked: None, behind, first });
    }

    fn look(&mut self, are_other_keys: bool) {
        let snapshot = self.service.store.snapshot();
        for topic in self.by_key.values_mut() {
            topic.check(self.service, are_other_keys);
            topic.look(self.service, &snapshot);
        }
        self.by_key.retain(|_, topic| !topic.subscribers.is_empty());
    }
}

impl Topic {
    /// Ends those who may not watch any more, and forgets those who have gone.
    fn check(&mut self, service: &Service, are_other_keys: bool) {
        let tail = &self.tail;
        let now = Instant::now();
        self.subscribers.retain_mut(|subscriber| {
            if subscriber.line.strong_count() == 0 {
                return false;
            }
            let is_due = |checked: Instant| now - checked >= CHECK_EVERY;
            if !are_other_keys && !subscriber.checked.is_none_or(is_due) {
                return true;
            }
            subscriber.checked = Some(now);
            let asked = &subscriber.credentials;
            let access = service.gate.admit(&service.store, asked, Need::Read, Some(&tail.dataset));
            let may_go_on = access.is_ok_and(|access| access.reach().text() == tail.limits.reach.text());
            if !may_go_on {
                let why = "the key or the session that this began with has ended or may read something else now; begin again";
                say(&subscriber.line, News::End(tail::end(why)));
            }
            may_go_on
        });
    }

    fn look(&mut self, service: &Service, snapshot: &Snapshot) {
        let dataset = match self.tail.dataset(snapshot) {
            Ok(dataset) if dataset.id == self.dataset_id => dataset,
            Ok(_) => return self.end(&format!("the dataset \"{}\" is another one now", self.tail.dataset)),
            Err(e) => return self.end(&e.to_string()),
        };
        let last = dataset.next_seq - 1;
        let mut waiting: BTreeMap<i64, Vec<&mut Subscriber>> = BTreeMap::new();
        let mut lines = Vec::new();
        for subscriber in &mut self.subscribers {
            let Some(line) = subscriber.line.upgrade().filter(|line| line.is_free()) else { continue };
            if let Some(message) = subscriber.first.pop_front() {
                line.push(News::Say(message));
                lines.push(line);
            } else if subscriber.behind < last {
                waiting.entry(subscriber.behind).or_default().push(subscriber);
            }
        }
        let mut failed = Vec::new();
        for (behind, subscribers) in waiting {
            let news = self.tail.news(&service.store, snapshot, behind, last);
            for subscriber in subscribers {
                subscriber.behind = last;
                let Some(line) = subscriber.line.upgrade() else { continue };
                match &news {
                    Ok(Some(message)) => line.push(News::Say(message.clone())),
                    Ok(None) => continue,
                    Err(e) => {
                        line.push(News::End(tail::end(&e.to_string())));
                        failed.push(Arc::as_ptr(&line));
                    }
                }
                lines.push(line);
            }
        }
        self.subscribers.retain(|subscriber| !failed.contains(&subscriber.line.as_ptr()));
        // one wakes the guard for all
        if let Some(line) = lines.last() {
            line.wake();
        }
    }

    fn end(&mut self, why: &str) {
        let message: Message = tail::end(why);
        for subscriber in self.subscribers.drain(..) {
            say(&subscriber.line, News::End(message.clone()));
        }
    }
}

/// Tells one client.
fn say(line: &Weak<Line>, news: News) {
    if let Some(line) = line.upgrade() {
        line.push(news);
        line.wake();
    }
}
