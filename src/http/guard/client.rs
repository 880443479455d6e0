//! One client's connection: what came, how far its request is, how long it may take. It does no waiting and knows no other
//! client; `front` feeds it and does what it says.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::http::guard::chunks::Chunks;
use crate::http::guard::head::{self, Framing, Head, Refusal};
use crate::http::guard::live::Live;
use crate::http::guard::wire::{Outgoing, Wire};
use crate::http::live::line::Line;
use crate::limits;

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub wire: Wire,
    /// Where it comes from; `None` for a socket of this machine.
    pub address: Option<IpAddr>,
    /// The address whose connections it is counted among.
    pub counted_as: Option<IpAddr>,
    /// Tells it from others that had its place before.
    pub serial: u64,
    /// How far it is.
    pub phase: Phase,
    /// When it has to be further.
    pub deadline: Instant,
    /// Whether it is closed after the reply.
    pub is_last: bool,
    /// When it said that it sends nothing more.
    pub left: Option<Instant>,
    /// Whether there may be something in its socket that was not read, of which the poll has told already.
    pub is_unread: bool,
    /// Whether there was no room for it, and it is only told so.
    pub is_turned_away: bool,
    /// Bytes of its body that are counted among those on their way in.
    pub counted: usize,
    incoming: Vec<u8>,
}

/// How far a connection is.
#[derive(Debug)]
pub enum Phase {
    /// It sends a head, or nothing.
    Head,
    /// It sends a body.
    Body(Box<Incomplete>),
    /// Its request is whole and waits for a worker.
    Waiting(Box<Whole>),
    /// A worker has it.
    Asked {
        /// Set when the client has gone away.
        abandoned: Arc<AtomicBool>,
        /// Where it may be told what is new: the way to it.
        line: Option<Arc<Line>>,
    },
    /// It takes its reply.
    Replying {
        /// The reply.
        reply: Outgoing,
        /// Since when.
        since: Instant,
    },
    /// It is told what is new.
    Live(Box<Live>),
    /// It was told the end; what it still sends is read away, so that it sees what it was told.
    Closing {
        /// Bytes that were read away.
        discarded: usize,
    },
}

/// A request whose body is still coming.
#[derive(Debug)]
pub struct Incomplete {
    head: Head,
    chunks: Option<Chunks>,
    length: usize,
    body: Vec<u8>,
    since: Instant,
}

/// A whole request.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

/// What is to be done after bytes came.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: more has to come.
    More,
    /// The client waits to be told to send the body.
    Continue,
    /// The request is whole.
    Whole,
}

impl Incomplete {
    fn new(mut head: Head, now: Instant) -> Self {
        let (chunks, length) = match head.framing {
            Framing::Chunked => (Some(Chunks::default()), 0),
            Framing::Length(length) => (None, length),
        };
        head.framing = Framing::Length(length);
        Self { head, chunks, length, body: Vec::new(), since: now }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        if let Some(chunks) = &mut self.chunks {
            return chunks.take(bytes, &mut self.body);
        }
        let some = bytes.len().min(self.length - self.body.len());
        self.body.extend_from_slice(&bytes[..some]);
        Ok(some)
    }

    fn is_whole(&self) -> bool {
        self.chunks.as_ref().map_or(self.body.len() == self.length, Chunks::is_done)
    }

    /// Whether the client waits for a word before it sends the body; it is asked once.
    fn is_to_be_told(&mut self) -> bool {
        self.body.is_empty() && std::mem::take(&mut self.head.expects_continue)
    }
}

impl Client {
    /// A connection that has just been made.
    pub fn new(wire: Wire, address: Option<IpAddr>, serial: u64, now: Instant) -> Self {
        Self {
            wire,
            address,
            counted_as: None,
            serial,
            phase: Phase::Head,
            deadline: now + Duration::from_secs(limits::HEAD_S),
            is_last: false,
            left: None,
            is_unread: true,
            is_turned_away: false,
            counted: 0,
            incoming: Vec::new(),
        }
    }

    /// Whether bytes of it are wanted now. While a request is answered what follows waits in the socket.
    pub fn is_read(&self) -> bool {
        matches!(self.phase, Phase::Head | Phase::Body(_) | Phase::Closing { .. })
    }

    /// Whether nothing of a request has come.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Head) && self.incoming.is_empty()
    }

    /// Whether something came that was not taken for a request yet.
    pub fn has_more(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Bytes of the body that came so far.
    pub fn body_bytes(&self) -> usize {
        match &self.phase {
            Phase::Body(incomplete) => incomplete.body.len(),
            Phase::Waiting(whole) => whole.body.len(),
            _ => 0,
        }
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    /// They make no request.
    pub fn take(&mut self, bytes: &[u8], now: Instant) -> Result<Step, Refusal> {
        match &mut self.phase {
            Phase::Closing { discarded } => {
                *discarded += bytes.len();
                return Ok(Step::More);
            }
            Phase::Body(incomplete) => {
                let used = incomplete.take(bytes)?;
                self.incoming.extend_from_slice(&bytes[used..]);
            }
            _ => {
                if self.is_idle() {
                    self.deadline = now + Duration::from_secs(limits::HEAD_S);
                }
                self.incoming.extend_from_slice(bytes);
            }
        }
        self.advance(now)
    }

    /// Goes on with what came.
    ///
    /// # Errors
    /// It makes no request.
    pub fn advance(&mut self, now: Instant) -> Result<Step, Refusal> {
        if matches!(self.phase, Phase::Head) {
            let Some(head) = head::read(&self.incoming)? else { return Ok(Step::More) };
            self.incoming.drain(..head.bytes);
            self.is_last = !head.keeps_alive;
            let mut incomplete = Incomplete::new(head, now);
            let used = incomplete.take(&self.incoming)?;
            self.incoming.drain(..used);
            self.phase = Phase::Body(Box::new(incomplete));
        }
        let Phase::Body(incomplete) = &mut self.phase else { return Ok(Step::More) };
        if !incomplete.is_whole() {
            self.deadline = transfer_deadline(incomplete.since, incomplete.body.len());
            return Ok(if incomplete.is_to_be_told() { Step::Continue } else { Step::More });
        }
        if self.incoming.is_empty() {
            // idle connections are many
            self.incoming = Vec::new();
        }
        if let Phase::Body(incomplete) = std::mem::replace(&mut self.phase, Phase::Head) {
            let Incomplete { head, body, .. } = *incomplete;
            self.phase = Phase::Waiting(Box::new(Whole { head, body }));
            self.deadline = now + Duration::from_secs(limits::REQUEST_WAITS_S);
        }
        Ok(Step::Whole)
    }

    /// Gives its whole request away.
    pub fn hand_over(&mut self, abandoned: &Arc<AtomicBool>, line: Option<&Arc<Line>>) -> Option<Whole> {
        let asked = Phase::Asked { abandoned: Arc::clone(abandoned), line: line.cloned() };
        match std::mem::replace(&mut self.phase, asked) {
            Phase::Waiting(whole) => Some(*whole),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Begins to reply.
    pub fn reply(&mut self, reply: Outgoing, now: Instant) {
        self.deadline = transfer_deadline(now, 0);
        self.phase = Phase::Replying { reply, since: now };
    }

    /// Writes what there is room for; true when the reply is written.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write(&mut self) -> std::io::Result<bool> {
        self.wire.flush()?;
        let Phase::Replying { reply, since } = &mut self.phase else { return Ok(false) };
        reply.write(|bytes| self.wire.write(bytes))?;
        self.deadline = transfer_deadline(*since, reply.written());
        Ok(reply.is_done() && self.wire.is_flushed())
    }

    /// Begins to wait for the next request.
    pub fn next(&mut self, now: Instant) {
        self.phase = Phase::Head;
        let seconds = if self.has_more() { limits::HEAD_S } else { limits::IDLE_S };
        self.deadline = now + Duration::from_secs(seconds);
    }

    /// Tells the client that nothing more comes, and begins to read away what it still sends.
    pub fn close(&mut self, now: Instant) {
        self.wire.end();
        self.incoming = Vec::new();
        self.phase = Phase::Closing { discarded: 0 };
        self.deadline = now + Duration::from_secs(limits::LINGER_S);
    }

    /// Gives away what it sent behind its request.
    pub fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.incoming)
    }

    /// Bytes of its reply, or of what it is being told.
    pub fn reply_bytes(&self) -> usize {
        match &self.phase {
            Phase::Replying { reply, .. } => reply.held(),
            Phase::Live(live) => live.held(),
            _ => 0,
        }
    }

    /// Since when it has been taking that.
    pub fn takes_since(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Replying { since, .. } => Some(*since),
            Phase::Live(live) => live.waits_since(),
            _ => None,
        }
    }

    /// Lets the worker that has its request know that nobody waits.
    pub fn abandon(&self) {
        if let Phase::Asked { abandoned, .. } = &self.phase {
            abandoned.store(true, Ordering::Relaxed);
        }
    }
}

/// When a body or a reply that began has to be further than so many bytes.
fn transfer_deadline(since: Instant, bytes: usize) -> Instant {
    let earned_s = limits::TRANSFER_S + bytes as u64 / limits::TRANSFER_RATE;
    since + Duration::from_secs(earned_s.min(limits::TRANSFER_MAX_S))
}
