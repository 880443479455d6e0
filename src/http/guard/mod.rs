//! What stands between strangers and the server: one event loop that owns every client's socket. A client gets a worker when its
//! request is there, whole and well-formed, and no worker waits for a client.
//!
//! `front` is the loop, `sweep` what time does to connections, `client` one connection, `head` and `chunks` read what comes, `backend`, `dispatch` and `opener` are
//! the private connections to the server behind, `crowd` counts addresses, `wire` is the sockets, `tls` those that are encrypted, `refusal` what
//! the guard says itself, `live` and `deliver` clients that stay to be told what is new.
//! `app` starts and stops it.

mod backend;
pub(crate) mod chunks;
mod client;
mod crowd;
mod deliver;
mod dispatch;
mod front;
mod head;
mod live;
mod opener;
mod refusal;
mod sweep;
mod tls;
mod wire;

pub(super) use wire::Door;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use mio::{Poll, Waker};

use crate::error::{Error, Result};
use crate::http::guard::crowd::Crowd;
use crate::http::guard::front::{DOOR, Front, Outside, WAKER};
use crate::http::listener::Listener;
use crate::http::live::line::Switchboard;
use crate::http::passes::Passes;
use crate::limits;
use crate::proxies::Trusted;

/// What the loop is told.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Take no more connections, and bring what is there to its end.
    Drain,
    /// Stop at once.
    Stop,
}

/// How much the guard lets in.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections of clients.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Private connections, one of which is kept for those who ask whether the server lives.
    pub backends: usize,
}

impl Bounds {
    /// No more than so many descriptors are enough for.
    ///
    /// ```
    /// use windrow::http::guard::Bounds;
    ///
    /// let wanted = Bounds { connections: 16_384, connections_per_address: 512, backends: 64 };
    /// let few = wanted.within(256);
    /// assert_eq!((few.connections, few.backends), (128, 16));
    /// let many = wanted.within(1 << 20);
    /// assert_eq!((many.connections, many.backends), (16_384, 64));
    /// ```
    pub fn within(self, descriptors: usize) -> Self {
        let kept = limits::DESCRIPTORS_KEPT.min(descriptors / 2);
        Self {
            connections: self.connections.min(descriptors - kept),
            // each is three: ours, and two of the server behind
            backends: self.backends.min(kept / 8).max(2),
            ..self
        }
    }
}

/// Where clients come in, and who of them.
#[derive(Debug)]
pub struct Entrance {
    /// The addresses.
    pub listeners: Vec<Listener>,
    /// How many are let in.
    pub bounds: Bounds,
    /// Which proxies are believed.
    pub trusted: Trusted,
}

/// The running guard.
#[derive(Debug)]
pub struct Guard {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    failures: Receiver<Error>,
    /// Ends with the loop.
    running: Receiver<()>,
}

impl Guard {
    /// Lets clients in at addresses, and their requests out to the private socket of the server behind.
    ///
    /// # Errors
    /// The system gives no threads or no events.
    pub fn start(entrance: Entrance, socket: PathBuf, passes: Arc<Passes>) -> Result<Self> {
        let Entrance { listeners, bounds, trusted } = entrance;
        let failure = |e| Error::io("cannot start to wait for clients", e);
        let poll = Poll::new().map_err(failure)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(failure)?);
        let stopping = Arc::<AtomicBool>::default();
        let (orders, taken) = unbounded();
        let (wanted, asked_for) = unbounded();
        let (opened, open) = unbounded();
        for _ in 0..bounds.backends {
            let _ = wanted.send(());
        }
        let (own_waker, own_stopping) = (Arc::clone(&waker), Arc::clone(&stopping));
        std::thread::Builder::new()
            .name("guard-opener".into())
            .spawn(move || opener::run(&socket, &asked_for, &opened, &own_waker, &own_stopping))
            .map_err(failure)?;
        let doors: std::io::Result<_> =
            listeners.into_iter().map(|listener| listener.into_door(poll.registry(), DOOR)).collect();
        let mut front = Front {
            doors: doors.map_err(failure)?,
            poll,
            passes,
            orders: taken,
            opened: open,
            wanted,
            next_id: first_id()?,
            connections_max: bounds.connections,
            crowd: Crowd::new(bounds.connections_per_address),
            trusted,
            clients: Vec::new(),
            free: Vec::new(),
            open: 0,
            turned_away: 0,
            serial: 0,
            backends: (0..bounds.backends).map(|_| None).collect(),
            idle: Vec::new(),
            waiting: VecDeque::new(),
            again: Vec::new(),
            switchboard: Switchboard::new(Arc::clone(&waker)),
            outside: Outside::Nobody,
            bodies_bytes: 0,
            replies_bytes: 0,
            scratch: vec![0; front::PIECE_BYTES],
            is_draining: false,
            swept: Instant::now(),
        };
        let (failed, failures) = unbounded();
        let (still_running, running) = unbounded();
        let run = move || {
            let _still_running: Sender<()> = still_running;
            let failure = match catch_unwind(AssertUnwindSafe(|| front.run())) {
                Ok(Ok(())) => return,
                Ok(Err(e)) => Error::io("the system tells of no more requests", e),
                Err(_) => Error::Internal("the guard panicked".into()),
            };
            let _ = failed.send(failure);
        };
        let thread = std::thread::Builder::new().name("guard".into()).spawn(run).map_err(failure)?;
        Ok(Self { orders, waker, stopping, thread, failures, running })
    }

    /// Says when no more requests are taken: the process should end, and be started anew.
    pub fn failures(&self) -> &Receiver<Error> {
        &self.failures
    }

    /// Takes no more connections, and gives the requests that are there their replies. Those that are not answered after `grace`
    /// are told by `cancel` to end, for which they have `rest`; true where all was answered.
    pub fn stop(self, grace: Duration, cancel: impl FnOnce(), rest: Duration) -> bool {
        self.order(Order::Drain);
        let goes_on = |time| matches!(self.running.recv_timeout(time), Err(RecvTimeoutError::Timeout));
        let mut is_answered = true;
        if goes_on(grace) {
            cancel();
            if goes_on(rest) {
                is_answered = false;
                self.order(Order::Stop);
            }
        }
        self.stopping.store(true, Ordering::SeqCst);
        self.thread.join().is_ok() && is_answered
    }

    fn order(&self, order: Order) {
        // a loop that has ended takes none
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }
}

/// The first number of a request: of no other process, as far as chance goes.
fn first_id() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Internal(format!("the system gives no random numbers: {e}")))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
