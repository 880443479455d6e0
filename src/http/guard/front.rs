//! The event loop of the guard: it owns every client's socket and every private connection, and does what their states say.
//! No wait in it but the one for events. `mod` starts its thread.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use mio::{Events, Poll, Token};

use crate::http::guard::Order;
use crate::http::guard::backend::Backend;
use crate::http::guard::client::{Client, Phase, Step};
use crate::http::guard::crowd::Crowd;
use crate::http::guard::head::Refusal;
use crate::http::guard::live::Why;
use crate::http::guard::refusal;
use crate::http::guard::wire::{Door, Outgoing, Wire};
use crate::http::live::line::Switchboard;
use crate::http::passes::Passes;
use crate::limits;
use crate::proxies::Trusted;

/// The door; the waker is the next.
pub const DOOR: Token = Token(0);
/// What other threads wake the loop by.
pub const WAKER: Token = Token(1);
/// The first private connection.
pub(super) const BACKENDS: usize = 2;
/// The first client.
const CLIENTS: usize = 1 << 16;
/// Time between two looks at the deadlines.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// Clients there is no room for that are told so at once; others are just closed.
const TURNED_AWAY_TOGETHER: usize = 64;
/// Connections that are accepted before others have their turn.
const ACCEPT_TOGETHER: usize = 256;
/// Pieces that are read of a client before others have their turn.
const READ_TOGETHER: usize = 16;
/// Bytes of a piece.
pub const PIECE_BYTES: usize = 64 << 10;

/// Whether connections wait to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// None, as far as is known.
    Nobody,
    /// There may be some.
    Somebody,
    /// There are, and the system did not let them in.
    Stuck,
}

/// What the loop works with.
pub struct Front {
    pub(super) poll: Poll,
    pub(super) doors: Vec<Door>,
    pub(super) passes: Arc<Passes>,
    pub(super) orders: Receiver<Order>,
    pub(super) opened: Receiver<UnixStream>,
    pub(super) wanted: Sender<()>,
    pub(super) next_id: u64,
    pub(super) connections_max: usize,
    pub(super) crowd: Crowd,
    pub(super) trusted: Trusted,
    pub(super) clients: Vec<Option<Client>>,
    pub(super) free: Vec<usize>,
    pub(super) open: usize,
    pub(super) turned_away: usize,
    pub(super) serial: u64,
    /// The first is kept for those who ask whether the server lives.
    pub(super) backends: Vec<Option<Backend>>,
    pub(super) idle: Vec<usize>,
    pub(super) waiting: VecDeque<(usize, u64)>,
    /// Clients that have more to read than one turn takes.
    pub(super) again: Vec<usize>,
    /// Where the hub's news come in.
    pub(super) switchboard: Switchboard,
    pub(super) outside: Outside,
    pub(super) bodies_bytes: usize,
    pub(super) replies_bytes: usize,
    pub(super) scratch: Vec<u8>,
    pub(super) is_draining: bool,
    pub(super) swept: Instant,
}

impl Front {
    /// Goes on until it is told to stop, or nothing is left of what it was told to bring to an end.
    ///
    /// # Errors
    /// The system tells of no more events.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            let wait = match () {
                () if !self.again.is_empty() || self.outside == Outside::Somebody => Some(Duration::ZERO),
                () if self.open > 0 || self.outside == Outside::Stuck => Some(SWEEP_EVERY),
                () => None,
            };
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    DOOR => self.outside = Outside::Somebody,
                    WAKER => {
                        self.take_opened();
                        self.take_news();
                    }
                    Token(token) if token < CLIENTS => self.backend_ready(token - BACKENDS),
                    Token(token) => self.client_ready(token - CLIENTS, event),
                }
            }
            for slot in std::mem::take(&mut self.again) {
                self.read(slot);
            }
            if self.outside != Outside::Nobody {
                self.accept();
            }
            if self.swept.elapsed() >= SWEEP_EVERY {
                self.sweep();
            }
            if self.is_over() {
                return Ok(());
            }
        }
    }

    /// Takes orders; whether nothing is left to do.
    fn is_over(&mut self) -> bool {
        match self.orders.try_recv() {
            Ok(Order::Drain) => {
                self.is_draining = true;
                self.doors.clear();
                self.outside = Outside::Nobody;
                for slot in 0..self.clients.len() {
                    match self.clients[slot].as_ref().map(|client| &client.phase) {
                        Some(Phase::Head) => self.drop_client(slot),
                        Some(Phase::Live(_)) => self.end_live(slot, Why::Stopping),
                        _ => {}
                    }
                }
            }
            Ok(Order::Stop) => return true,
            Err(_) => {}
        }
        self.is_draining && self.open == 0
    }

    fn accept(&mut self) {
        self.outside = Outside::Nobody;
        for door in 0..self.doors.len() {
            self.accept_at(door);
        }
    }

    fn accept_at(&mut self, door: usize) {
        for _ in 0..ACCEPT_TOGETHER {
            match self.doors[door].accept() {
                Ok((wire, address)) => self.enter(wire, address),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // that client has gone already
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(e) => {
                    tracing::warn!("a connection cannot be accepted: {e}");
                    self.outside = Outside::Stuck;
                    self.evict();
                    return;
                }
            }
        }
        self.outside = Outside::Somebody;
    }

    fn enter(&mut self, mut wire: Wire, address: Option<IpAddr>) {
        if self.open - self.turned_away >= self.connections_max {
            self.evict();
        }
        let is_full = self.open - self.turned_away >= self.connections_max;
        // all clients of a proxy come from its address
        let counted = address.filter(|_| !self.trusted.trusts(address));
        let is_turned_away = is_full || counted.is_some_and(|address| !self.crowd.enter(address));
        // a handshake costs more than what it is refused for
        if is_turned_away && (self.turned_away >= TURNED_AWAY_TOGETHER || wire.is_secure()) {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        self.serial += 1;
        let registered = wire.register(self.poll.registry(), Token(CLIENTS + slot));
        self.open += 1;
        let mut client = Client::new(wire, address, self.serial, Instant::now());
        client.is_turned_away = is_turned_away;
        client.counted_as = counted.filter(|_| !is_turned_away);
        self.clients[slot] = Some(client);
        self.turned_away += usize::from(is_turned_away);
        if let Err(e) = registered {
            tracing::warn!("a connection cannot be watched: {e}");
            return self.drop_client(slot);
        }
        if is_turned_away {
            let who = if is_full { "the server has" } else { "your address has" };
            let detail = format!("{who} too many connections open; close some");
            self.refuse(slot, &Refusal::new(503, detail));
        }
    }

    fn client_ready(&mut self, slot: usize, event: &mio::event::Event) {
        if self.live_ready(slot, event) {
            return;
        }
        let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { return };
        if event.is_error() || event.is_read_closed() && event.is_write_closed() && !client.is_read() {
            return self.drop_client(slot);
        }
        client.is_unread |= event.is_readable() || event.is_read_closed();
        if event.is_read_closed() {
            client.left.get_or_insert_with(Instant::now);
        }
        if event.is_writable() {
            self.write(slot);
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(slot);
        }
    }

    /// Reads what a client sends, as long as it is wanted.
    fn read(&mut self, slot: usize) {
        if self.clients[slot].as_ref().is_some_and(|client| matches!(client.phase, Phase::Live(_))) {
            return self.read_live(slot);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        for turn in 0..=READ_TOGETHER {
            let Some(client) = self.clients[slot].as_mut().filter(|client| client.is_read()) else { break };
            if turn == READ_TOGETHER {
                self.again.push(slot);
                break;
            }
            match client.wire.read(&mut scratch) {
                Ok(some) if some > 0 => {
                    // less than there was room for is all there is, and what comes after it is told of anew
                    let is_all = some < scratch.len() && client.left.is_none() && !client.wire.is_secure();
                    client.is_unread = !is_all;
                    let step = client.take(&scratch[..some], Instant::now());
                    self.follow(slot, step);
                    if is_all {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    client.is_unread = false;
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    self.misunderstood(slot);
                    break;
                }
                _ => {
                    self.drop_client(slot);
                    break;
                }
            }
        }
        self.scratch = scratch;
    }

    /// Does what is to be done after bytes of a client came.
    fn follow(&mut self, slot: usize, step: Result<Step, Refusal>) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        let bytes = client.body_bytes();
        self.bodies_bytes = self.bodies_bytes + bytes - client.counted;
        client.counted = bytes;
        if let Phase::Closing { discarded } = client.phase {
            if discarded > limits::DISCARDED_BYTES {
                self.drop_client(slot);
            }
            return;
        }
        match step {
            Err(refusal) => self.refuse(slot, &refusal),
            Ok(_) if self.bodies_bytes > limits::BODIES_BYTES => {
                self.refuse(
                    slot,
                    &Refusal::new(503, "too many bodies are on their way; send this one again"),
                );
            }
            Ok(Step::More) => {}
            Ok(Step::Continue) => {
                // nothing else is on its way out, so there is room
                if client.wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
                    self.drop_client(slot);
                }
            }
            Ok(Step::Whole) if self.waiting.len() >= limits::REQUESTS_WAITING => {
                self.refuse(slot, &Refusal::new(503, "too many requests are waiting; send this one again"));
            }
            Ok(Step::Whole) => {
                let serial = client.serial;
                if !self.ask_for_health(slot) {
                    self.waiting.push_back((slot, serial));
                    self.dispatch();
                }
            }
        }
    }

    /// Tells a client why it gets no answer, and closes.
    pub(super) fn refuse(&mut self, slot: usize, refusal: &Refusal) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        self.bodies_bytes -= std::mem::take(&mut client.counted);
        client.is_last = true;
        client.reply(Outgoing::new(refusal::reply(refusal, true), Vec::new(), 0), Instant::now());
        self.replies_bytes += client.reply_bytes();
        self.write(slot);
    }

    /// Writes what there is room for; after the reply, the next request.
    pub(super) fn write(&mut self, slot: usize) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        let held = client.reply_bytes();
        match client.write() {
            Ok(false) => {}
            Ok(true) => {
                self.replies_bytes -= held;
                self.after_reply(slot);
                self.dispatch();
            }
            Err(_) => self.drop_client(slot),
        }
    }

    fn after_reply(&mut self, slot: usize) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        let now = Instant::now();
        if client.is_last || self.is_draining {
            client.close(now);
        } else {
            client.next(now);
            if client.has_more() {
                let step = client.advance(now);
                self.follow(slot, step);
            }
        }
        // what came meanwhile was not read, and is not told of again
        if self.clients[slot].as_ref().is_some_and(|client| client.is_unread) {
            self.again.push(slot);
        }
    }

    pub(super) fn drop_client(&mut self, slot: usize) {
        let Some(client) = self.clients[slot].take() else { return };
        client.abandon();
        self.bodies_bytes -= client.counted;
        self.replies_bytes -= client.reply_bytes();
        if let Some(address) = client.counted_as {
            self.crowd.leave(address);
        }
        self.open -= 1;
        self.turned_away -= usize::from(client.is_turned_away);
        self.free.push(slot);
    }
}
