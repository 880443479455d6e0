//! A client that is told what is new: its WebSocket or its stream of events, over the socket that the guard owns. `deliver` feeds it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error as WebSocketError, Message as Frame, Utf8Bytes};

use crate::http::guard::wire::{Outgoing, Wire};
use crate::http::live::Message;
use crate::http::live::line::{Form, Line};
use crate::limits;

/// What says to one who takes events that the connection lives: a comment.
const SIGN_OF_LIFE: &[u8] = b":\n\n";
/// Frames that are read of a client before others have their turn.
const READ_TOGETHER: usize = 16;
/// Bytes that a WebSocket reads at once; clients say little.
const READ_BYTES: usize = 256;

/// The state of such a client.
#[derive(Debug)]
pub struct Live {
    line: Arc<Line>,
    /// The head of the reply, which goes out first.
    head: Outgoing,
    speech: Speech,
    /// Bytes of the message that is on its way, and since when.
    on_its_way: Option<(usize, Instant)>,
    /// When something came from it.
    heard: Instant,
    /// Whether it was told the end.
    is_ending: bool,
}

#[derive(Debug)]
enum Speech {
    WebSocket(Box<WebSocketContext>),
    Events { outgoing: Outgoing, discarded: usize },
}

/// Whether there may be more to read.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// It is told of when there is.
    All,
    /// There may be.
    Some,
}

impl Live {
    /// A client that was let in; what it sent behind its request is the first that is read.
    pub fn new(line: Arc<Line>, form: &Form, id: u64, ahead: Vec<u8>, now: Instant) -> Self {
        let (lines, speech) = match form {
            Form::WebSocket { accept } => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(READ_BYTES)
                    .write_buffer_size(0)
                    .max_message_size(Some(limits::LIVE_FRAME_BYTES))
                    .max_frame_size(Some(limits::LIVE_FRAME_BYTES));
                let context = WebSocketContext::from_partially_read(ahead, Role::Server, Some(config));
                let lines = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nServer: windrow\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n"
                );
                (lines, Speech::WebSocket(Box::new(context)))
            }
            Form::Events => {
                // a proxy that holds replies back until they are long would hold these for ever
                let lines = "HTTP/1.1 200 OK\r\nServer: windrow\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\
                             Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";
                (lines.to_owned(), Speech::Events { outgoing: Outgoing::default(), discarded: ahead.len() })
            }
        };
        let head =
            Outgoing::new(format!("{lines}X-Request-Id: {id:016x}\r\n\r\n").into_bytes(), Vec::new(), 0);
        Self { line, head, speech, on_its_way: Some((0, now)), heard: now, is_ending: false }
    }

    /// Bytes of what is on its way.
    pub fn held(&self) -> usize {
        self.on_its_way.map_or(0, |(bytes, _)| bytes)
    }

    /// Since when it has not taken what is on its way.
    pub fn waits_since(&self) -> Option<Instant> {
        self.on_its_way.map(|(_, since)| since)
    }

    /// Whether it was told the end.
    pub fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Whether there is nothing to wait for after the end: events know no farewell, which a WebSocket gives back.
    pub fn is_over(&self) -> bool {
        self.is_ending && self.on_its_way.is_none() && matches!(self.speech, Speech::Events { .. })
    }

    /// Begins to tell it something.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn say(&mut self, wire: &mut Wire, message: &Message, now: Instant) -> io::Result<()> {
        if self.is_ending {
            return Ok(());
        }
        self.on_its_way = Some((message.text.len(), now));
        match &mut self.speech {
            Speech::WebSocket(context) => waits(context.write(wire, Frame::Text(message.text.clone()))),
            Speech::Events { outgoing, .. } => {
                let id = message.id.map_or_else(String::new, |id| format!("id: {id}\n"));
                outgoing.push(format!("{id}data: {}\n\n", message.text).as_bytes());
                Ok(())
            }
        }
    }

    /// Begins to tell it the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn end(&mut self, wire: &mut Wire, why: Why) -> io::Result<()> {
        if std::mem::replace(&mut self.is_ending, true) {
            return Ok(());
        }
        let Speech::WebSocket(context) = &mut self.speech else { return Ok(()) };
        let (code, reason) = match why {
            Why::Done => (CloseCode::Normal, "there is nothing more to tell"),
            Why::Stopping => (CloseCode::Away, "the server stops"),
            Why::Spoke => {
                (CloseCode::Unsupported, "what is watched is said by the address; nothing is taken here")
            }
        };
        waits(context.close(wire, Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) })))
    }

    /// Writes what there is room for; true when nothing is on its way any more.
    ///
    /// # Errors
    /// The connection is broken, or was closed as it should be.
    pub fn write(&mut self, wire: &mut Wire) -> io::Result<bool> {
        self.head.write(|bytes| wire.write(bytes))?;
        let is_written = self.head.is_done()
            && match &mut self.speech {
                Speech::WebSocket(context) => match context.flush(wire) {
                    Ok(()) => true,
                    Err(e) => waits(Err(e)).map(|()| false)?,
                },
                Speech::Events { outgoing, .. } => {
                    outgoing.write(|bytes| wire.write(bytes))?;
                    outgoing.is_done()
                }
            };
        if is_written && self.on_its_way.take().is_some() {
            self.line.set_free();
        }
        Ok(is_written)
    }

    /// Reads what it sends: signs of life, and its farewell.
    ///
    /// # Errors
    /// The connection is broken, or was closed as it should be.
    pub fn read(&mut self, wire: &mut Wire, scratch: &mut [u8], now: Instant) -> io::Result<Read> {
        if !self.head.is_done() {
            // a frame might be answered, and the head goes first
            return Ok(Read::All);
        }
        for _ in 0..READ_TOGETHER {
            let spoke = match &mut self.speech {
                Speech::WebSocket(context) => match context.read(wire) {
                    Ok(Frame::Text(_) | Frame::Binary(_)) => true,
                    Ok(_) => false,
                    Err(e) => return waits(Err(e)).map(|()| Read::All),
                },
                Speech::Events { discarded, .. } => match wire.read(scratch) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Ok(some) => {
                        *discarded += some;
                        if *discarded > limits::LIVE_FRAME_BYTES {
                            return Err(ErrorKind::InvalidData.into());
                        }
                        false
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Read::All),
                    Err(e) if e.kind() == ErrorKind::Interrupted => false,
                    Err(e) => return Err(e),
                },
            };
            self.heard = now;
            if spoke {
                self.end(wire, Why::Spoke)?;
            }
        }
        Ok(Read::Some)
    }

    /// Whether it has not been heard of for so long that nobody is there.
    pub fn is_silent(&self, now: Instant) -> bool {
        matches!(self.speech, Speech::WebSocket(_))
            && now - self.heard > Duration::from_secs(2 * limits::LIVE_PING_S)
    }

    /// Begins to ask for a sign of life, unless something is on its way anyhow.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn ping(&mut self, wire: &mut Wire, now: Instant) -> io::Result<()> {
        if self.on_its_way.is_some() {
            return Ok(());
        }
        match &mut self.speech {
            Speech::WebSocket(context) => waits(context.write(wire, Frame::Ping(Bytes::new()))),
            Speech::Events { outgoing, .. } => {
                outgoing.push(SIGN_OF_LIFE);
                Ok(())
            }
        }
        .inspect(|()| self.on_its_way = Some((0, now)))
    }
}

/// Why a client is told the end.
#[derive(Debug, Clone, Copy)]
pub enum Why {
    /// What it watched has an end.
    Done,
    /// The server stops.
    Stopping,
    /// It said something.
    Spoke,
}

/// What cannot be written yet waits, and is no error.
fn waits(result: Result<(), WebSocketError>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(WebSocketError::Io(e)) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(WebSocketError::Io(e)) => Err(e),
        Err(other) => Err(io::Error::new(ErrorKind::InvalidData, other)),
    }
}
