//! The way from the hub to one client: the guard makes it with a request, the handler opens it, the hub puts messages on it, and
//! the guard, which is woken, takes them off. It is gone when the guard lets go of the client; the hub holds it weakly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::Waker;

use crate::http::live::message::Message;

/// How a client is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// RFC 6455, with what proves that its handshake was understood.
    WebSocket {
        /// The value of `Sec-WebSocket-Accept`.
        accept: String,
        /// Whether messages may be packed (RFC 7692).
        is_packed: bool,
    },
    /// Server-sent events, as WHATWG's HTML has them.
    Events,
}

/// What the hub tells a client.
#[derive(Debug)]
pub enum News {
    /// A message.
    Say(Message),
    /// The last one.
    End(Message),
}

/// News for a client of the guard.
#[derive(Debug)]
pub struct Push {
    /// The client's place.
    pub slot: usize,
    /// The client's number: another may have its place by now.
    pub serial: u64,
    /// What it is told.
    pub news: News,
}

/// Where the guard takes news from.
#[derive(Debug)]
pub struct Switchboard {
    pushes: Sender<Push>,
    pushed: Receiver<Push>,
    waker: Arc<Waker>,
}

/// A client's line.
#[derive(Debug)]
pub struct Line {
    slot: usize,
    serial: u64,
    pushes: Sender<Push>,
    waker: Arc<Waker>,
    form: OnceLock<Form>,
    /// Whether it takes a message now.
    is_free: AtomicBool,
}

impl Switchboard {
    /// One that wakes a loop.
    pub fn new(waker: Arc<Waker>) -> Self {
        // bounded all the same: a line takes one message at a time
        let (pushes, pushed) = unbounded();
        Self { pushes, pushed, waker }
    }

    /// The line of a client, not open yet.
    pub fn line(&self, slot: usize, serial: u64) -> Arc<Line> {
        let (pushes, waker) = (self.pushes.clone(), Arc::clone(&self.waker));
        Arc::new(Line { slot, serial, pushes, waker, form: OnceLock::new(), is_free: AtomicBool::new(false) })
    }

    /// The next news.
    pub fn next(&self) -> Option<Push> {
        self.pushed.try_recv().ok()
    }
}

impl Line {
    /// From now on the client is spoken to like this; the first word counts.
    pub fn open(&self, form: Form) {
        let _ = self.form.set(form);
    }

    /// How the client is spoken to, where it was let in.
    pub fn form(&self) -> Option<&Form> {
        self.form.get()
    }

    /// Whether it takes a message.
    pub fn is_free(&self) -> bool {
        self.is_free.load(Ordering::Acquire)
    }

    /// Says that what it had is on its way.
    pub fn set_free(&self) {
        self.is_free.store(true, Ordering::Release);
    }

    /// Puts news on it, whose guard has to be woken then; it is not free until that is on its way.
    pub fn push(&self, news: News) {
        self.is_free.store(false, Ordering::Release);
        // a guard that has stopped takes none
        let _ = self.pushes.send(Push { slot: self.slot, serial: self.serial, news });
    }

    /// Puts a message on it, in the form of this client: what takes time to make is made here, not by the guard.
    pub fn say(&self, message: &Message) {
        if let Some(Form::WebSocket { is_packed: true, .. }) = self.form() {
            message.frame(true);
        }
        self.push(News::Say(message.clone()));
    }

    /// Wakes the guard.
    pub fn wake(&self) {
        let _ = self.waker.wake();
    }
}
