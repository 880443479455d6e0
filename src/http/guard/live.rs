//! A client that is told what is new: its WebSocket or its stream of events, over the socket that the guard owns. `deliver` feeds it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error as WebSocketError, Message as Frame, Utf8Bytes};

use crate::http::guard::wire::{Outgoing, Wire};
use crate::http::live::line::{Form, Line};
use crate::http::live::message::Message;
use crate::limits;

/// What says to one who takes events that the connection lives: a comment.
const SIGN_OF_LIFE: &[u8] = b":\n\n";
/// How messages are packed: each by itself (RFC 7692), so that one is packed once for all who are told it.
const PACKED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
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
    sending: Sending,
    /// Bytes of the message that is on its way, and since when.
    on_its_way: Option<(usize, Instant)>,
    /// When something came from it.
    heard: Instant,
    /// Whether it was told the end.
    is_ending: bool,
}

#[derive(Debug)]
enum Speech {
    /// What the protocol says by itself, and the farewell that comes after the message.
    WebSocket { context: Box<WebSocketContext>, farewell: Option<CloseFrame> },
    /// Signs of life, and bytes of it that were read away.
    Events { outgoing: Outgoing, discarded: usize },
}

/// The message that is on its way; its bytes are those of all who are told it.
#[derive(Debug, Default)]
struct Sending {
    bytes: Bytes,
    written: usize,
    /// What follows it: the end waits for nobody.
    then: Option<Bytes>,
}

impl Sending {
    fn add(&mut self, bytes: Bytes) {
        if self.is_done() {
            *self = Self { bytes, ..Self::default() };
        } else {
            self.then = Some(bytes);
        }
    }

    fn is_done(&self) -> bool {
        self.written == self.bytes.len() && self.then.is_none()
    }

    /// Whether something else would stand within it.
    fn is_begun(&self) -> bool {
        self.written > 0 && self.written < self.bytes.len()
    }

    /// Writes what there is room for; whether that was all.
    fn write(&mut self, wire: &mut Wire) -> io::Result<bool> {
        while !self.is_done() {
            match self.bytes.get(self.written..).unwrap_or_default() {
                [] => *self = Self { bytes: self.then.take().unwrap_or_default(), ..Self::default() },
                rest => match wire.write(rest) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(some) => self.written += some,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                },
            }
        }
        // it is kept no longer than it takes
        self.bytes = Bytes::new();
        self.written = 0;
        Ok(true)
    }
}

/// The wire to one who may have to wait with what he writes, until a message is whole.
struct Between<'a> {
    wire: &'a mut Wire,
    is_open: bool,
}

impl io::Read for Between<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wire.read(buffer)
    }
}

impl io::Write for Between<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_open { self.wire.write(bytes) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(self.wire)
    }
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
            Form::WebSocket { accept, is_packed } => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(READ_BYTES)
                    .write_buffer_size(0)
                    .max_message_size(Some(limits::LIVE_FRAME_BYTES))
                    .max_frame_size(Some(limits::LIVE_FRAME_BYTES));
                let context = WebSocketContext::from_partially_read(ahead, Role::Server, Some(config));
                let extension = if *is_packed {
                    format!("Sec-WebSocket-Extensions: {PACKED}\r\n")
                } else {
                    String::new()
                };
                let lines = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nServer: windrow\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n{extension}"
                );
                (lines, Speech::WebSocket { context: Box::new(context), farewell: None })
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
        let (sending, on_its_way) = (Sending::default(), Some((0, now)));
        Self { line, head, speech, sending, on_its_way, heard: now, is_ending: false }
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

    /// Begins to tell it something: while its line is free, but for the end.
    pub fn say(&mut self, message: &Message, now: Instant) {
        if self.is_ending {
            return;
        }
        let bytes = match (&self.speech, self.line.form()) {
            (Speech::WebSocket { .. }, Some(Form::WebSocket { is_packed, .. })) => message.frame(*is_packed),
            (Speech::WebSocket { .. }, _) => message.frame(false),
            (Speech::Events { .. }, _) => message.event(),
        };
        let (held, since) = self.on_its_way.unwrap_or((0, now));
        self.on_its_way = Some((held + bytes.len(), since));
        self.sending.add(bytes);
    }

    /// Begins to tell it the end.
    pub fn end(&mut self, why: Why) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        let Speech::WebSocket { farewell, .. } = &mut self.speech else { return };
        let (code, reason) = match why {
            Why::Done => (CloseCode::Normal, "there is nothing more to tell"),
            Why::Stopping => (CloseCode::Away, "the server stops"),
            Why::Spoke => {
                (CloseCode::Unsupported, "what is watched is said by the address; nothing is taken here")
            }
        };
        *farewell = Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) });
    }

    /// Writes what there is room for; true when nothing is on its way any more.
    ///
    /// # Errors
    /// The connection is broken, or was closed as it should be.
    pub fn write(&mut self, wire: &mut Wire) -> io::Result<bool> {
        self.head.write(|bytes| wire.write(bytes))?;
        let is_written = self.head.is_done() && self.write_speech(wire)?;
        if is_written && self.on_its_way.take().is_some() {
            self.line.set_free();
        }
        Ok(is_written)
    }

    /// What was begun goes first, then what the protocol says by itself, the message, and the farewell.
    fn write_speech(&mut self, wire: &mut Wire) -> io::Result<bool> {
        if self.sending.is_begun() && !self.sending.write(wire)? {
            return Ok(false);
        }
        match &mut self.speech {
            Speech::WebSocket { context, farewell } => {
                if !is_flushed(context.flush(wire))? || !self.sending.write(wire)? {
                    return Ok(false);
                }
                match farewell.take() {
                    Some(farewell) => is_flushed(context.close(wire, Some(farewell))),
                    None => wire.flush().map(|()| wire.is_flushed()),
                }
            }
            Speech::Events { outgoing, .. } => {
                outgoing.write(|bytes| wire.write(bytes))?;
                let is_written = outgoing.is_done() && self.sending.write(wire)?;
                wire.flush()?;
                Ok(is_written && wire.is_flushed())
            }
        }
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
        let is_packed = matches!(self.line.form(), Some(Form::WebSocket { is_packed: true, .. }));
        for _ in 0..READ_TOGETHER {
            let is_open = !self.sending.is_begun();
            let spoke = match &mut self.speech {
                Speech::WebSocket { context, .. } => match context.read(&mut Between { wire, is_open }) {
                    Ok(Frame::Text(_) | Frame::Binary(_)) => true,
                    Ok(_) => false,
                    // a packed message, which was agreed upon; it is read to its end
                    Err(WebSocketError::Protocol(ProtocolError::NonZeroReservedBits)) if is_packed => true,
                    // what came was of TLS alone
                    Err(WebSocketError::Io(e)) if e.kind() == ErrorKind::Interrupted => false,
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
                self.end(Why::Spoke);
            }
        }
        Ok(Read::Some)
    }

    /// Whether it has not been heard of for so long that nobody is there.
    pub fn is_silent(&self, now: Instant) -> bool {
        matches!(self.speech, Speech::WebSocket { .. })
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
            Speech::WebSocket { context, .. } => waits(context.write(wire, Frame::Ping(Bytes::new()))),
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

/// Whether all was written; what could not be waits, and is no error.
fn is_flushed(result: Result<(), WebSocketError>) -> io::Result<bool> {
    let is_flushed = result.is_ok();
    waits(result).map(|()| is_flushed)
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

#[cfg(test)]
mod tests;
