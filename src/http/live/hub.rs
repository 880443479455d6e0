//! The thread that finds what is new: ten times a second, once for all who watch the same, and only while somebody watches. A
//! handler joins a line to it; `app` starts and stops it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select, tick};

use crate::error::{Error, Result};
use crate::http::Service;
use crate::http::live::line::Line;
use crate::http::live::question::{Answered, Asker};
use crate::http::live::topic::{Topic, Watch};
use crate::http::message::Request;
use crate::limits;
use crate::store::keys::Ring;

/// Time between two looks: what comes meanwhile goes out together.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Subscriptions that wait to be taken up.
const JOINING: usize = 1_024;

/// A client, and what it watches.
pub struct Subscription {
    /// Its line.
    pub line: Weak<Line>,
    /// What it watches.
    pub watch: Watch,
    /// Its request without parameters and body: it is asked again and again whether it may.
    pub credentials: Request,
}

/// The way to the hub, and for the hub itself to take what comes.
#[derive(Debug)]
pub struct Reception {
    joining: Sender<Subscription>,
    joined: Receiver<Subscription>,
    asked: Arc<AtomicU64>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("watch", &self.watch).finish_non_exhaustive()
    }
}

impl Default for Reception {
    fn default() -> Self {
        let (joining, joined) = bounded(JOINING);
        Self { joining, joined, asked: Arc::default() }
    }
}

impl Reception {
    /// How often questions were asked because somebody watches them.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

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
        let asker = Asker::new(Arc::clone(&service.store), Arc::clone(&service.live.asked));
        let run = move || {
            let (by_key, ring) = (HashMap::new(), service.store.keys());
            Topics { service: &service, by_key, asker, ring }.run(&stopped);
        };
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
    asker: Asker,
    /// The keys that those who watch were last checked by.
    ring: Arc<Ring>,
}

impl Topics<'_> {
    fn run(mut self, stopped: &Receiver<()>) {
        self.watch(stopped);
        self.by_key.values().for_each(Topic::give_up);
        self.asker.rest();
    }

    fn watch(&mut self, stopped: &Receiver<()>) {
        let joined = &self.service.live.joined;
        let answered = self.asker.answered().clone();
        let looks = tick(LOOK_EVERY);
        loop {
            if self.by_key.is_empty() {
                // nothing wakes a machine on which nobody watches
                select! {
                    recv(joined) -> subscription => subscription.into_iter().for_each(|new| self.take(new)),
                    recv(answered) -> answer => answer.into_iter().for_each(|answer| self.answer(answer)),
                    recv(stopped) -> _ => return,
                }
            }
            select! {
                recv(joined) -> subscription => subscription.into_iter().for_each(|new| self.take(new)),
                recv(answered) -> answer => answer.into_iter().for_each(|answer| self.answer(answer)),
                recv(stopped) -> _ => return,
                recv(looks) -> _ => self.look(),
            }
        }
    }

    fn take(&mut self, new: Subscription) {
        let Subscription { line, watch, credentials } = new;
        let key = watch.key();
        let (mut topic, subscriber) = watch.begin(line, credentials);
        if let Some(known) = self.by_key.get_mut(&key) {
            return known.join(subscriber);
        }
        topic.join(subscriber);
        let questions = || self.by_key.values().filter(|topic| topic.is_question()).count();
        if topic.is_question() && questions() >= limits::LIVE_QUERIES {
            topic
                .end("too many questions are watched; watch one that is watched already, or try again later");
            return;
        }
        self.by_key.insert(key, topic);
    }

    fn answer(&mut self, answered: Answered) {
        self.asker.note();
        let Some(topic) = self.by_key.get_mut(&answered.key) else { return };
        topic.take(answered);
        // where keys have changed all are checked first, by the next look
        if Arc::ptr_eq(&self.ring, &self.service.store.keys()) {
            topic.check(self.service, false);
            topic.tell();
        }
    }

    fn look(&mut self) {
        let keys = self.service.store.keys();
        let are_other_keys = !Arc::ptr_eq(&self.ring, &keys);
        self.ring = keys;
        let snapshot = self.service.store.snapshot();
        for topic in self.by_key.values_mut() {
            topic.check(self.service, are_other_keys);
            topic.look(self.service, &snapshot, &mut self.asker);
        }
        self.by_key.retain(|_, topic| {
            let is_watched = topic.is_watched();
            if !is_watched {
                topic.give_up();
            }
            is_watched
        });
    }
}
