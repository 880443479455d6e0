//! A client that is told what is new: its WebSocket or its stream of events, over the socket that the guard owns. `deliver` feeds it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        for _ in 0..READ_TOGETHER {
            let is_open = !self.sending.is_begun();
            let spoke = match &mut self.speech {
                Speech::WebSocket { context, .. } => match context.read(&mut Between { wire, is_open }) {
                    Ok(Frame::Text(_) | Frame::Binary(_)) => true,
                    Ok(_) => false,
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
mod tests {
    use std::io::{Read as _, Write as _};

    use mio::net::UnixStream;
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::http::live::line::Switchboard;
    use crate::http::live::tail::ready;

    const NO_TIME: Duration = Duration::from_millis(1);

    /// A client, its socket here, and its socket there.
    fn client(form: &Form) -> (Live, Wire, std::os::unix::net::UnixStream) {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let poll = Poll::new().unwrap();
        let switchboard = Switchboard::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
        let line = switchboard.line(0, 1);
        line.open(form.clone());
        let live = Live::new(line, form, 7, Vec::new(), Instant::now());
        (live, Wire::Unix(UnixStream::from_std(here)), there)
    }

    fn taken(there: &mut std::os::unix::net::UnixStream, bytes: usize) -> String {
        let mut all = vec![0; bytes];
        there.read_exact(&mut all).unwrap();
        String::from_utf8_lossy(&all).into_owned()
    }

    #[test]
    fn a_line_is_free_when_what_it_had_is_written() {
        let (mut live, mut wire, mut there) = client(&Form::Events);
        assert!(!live.line.is_free(), "the head of the reply goes first");
        assert!(live.write(&mut wire).unwrap() && live.line.is_free());
        let large = Message::new(Some(5), "x".repeat(4 << 20));
        live.line.push(crate::http::live::line::News::Say(large.clone()));
        live.say(&large, Instant::now());
        assert!(!live.write(&mut wire).unwrap() && !live.line.is_free() && live.held() >= 4 << 20);
        let reader = std::thread::spawn(move || {
            let mut some = vec![0; 64 << 10];
            let mut all = Vec::new();
            while !all.ends_with(b"x\n\n") {
                let read = there.read(&mut some).unwrap();
                all.extend_from_slice(&some[..read]);
            }
            all
        });
        while !live.write(&mut wire).unwrap() {
            std::thread::sleep(NO_TIME);
        }
        assert!(live.line.is_free() && live.held() == 0);
        let all = String::from_utf8(reader.join().unwrap()).unwrap();
        assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.contains("X-Request-Id: 0000000000000007\r\n"));
        assert!(all.ends_with(&format!("\r\n\r\nid: 5\ndata: {}\n\n", large.text())));
    }

    #[test]
    fn a_sign_of_life_that_is_on_its_way_stays_whole() {
        let (mut live, mut wire, mut there) = client(&Form::Events);
        live.write(&mut wire).unwrap();
        live.ping(&mut wire, Instant::now()).unwrap();
        // not written yet, and a message comes
        live.say(&ready("d", 3), Instant::now());
        live.write(&mut wire).unwrap();
        drop((live, wire));
        let mut all = String::new();
        there.read_to_string(&mut all).unwrap();
        let body = all.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, format!(":\n\nid: 3\ndata: {}\n\n", ready("d", 3).text()));
    }

    #[test]
    fn who_answers_no_sign_of_life_is_silent() {
        let (mut live, mut wire, mut there) =
            client(&Form::WebSocket { accept: "x".into(), is_packed: false });
        let begin = Instant::now();
        live.write(&mut wire).unwrap();
        let period = Duration::from_secs(limits::LIVE_PING_S);
        assert!(!live.is_silent(begin + period) && live.is_silent(begin + 3 * period));
        live.ping(&mut wire, begin).unwrap();
        live.write(&mut wire).unwrap();
        let head = "HTTP/1.1 101 Switching Protocols\r\nServer: windrow\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: x\r\nX-Request-Id: 0000000000000007\r\n\r\n";
        assert_eq!(taken(&mut there, head.len()), head);
        let mut ping = [0; 2];
        there.read_exact(&mut ping).unwrap();
        assert_eq!(ping, [0x89, 0]);
        there.write_all(&[0x8a, 0x80, 1, 2, 3, 4]).unwrap();
        let mut scratch = [0; 100];
        let read = live.read(&mut wire, &mut scratch, begin + 2 * period).unwrap();
        assert_eq!(read, Read::All);
        assert!(!live.is_silent(begin + 3 * period), "it was heard");
    }

    #[test]
    fn frames_that_come_a_byte_at_a_time_are_read_and_a_farewell_is_given_back() {
        let (mut live, mut wire, mut there) =
            client(&Form::WebSocket { accept: "x".into(), is_packed: false });
        live.write(&mut wire).unwrap();
        let mut scratch = [0; 100];
        let mut ended = Ok(Read::All);
        // a ping with two bytes, then the farewell 1000
        for byte in [0x89, 0x82, 0, 0, 0, 0, b'h', b'i', 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8] {
            assert!(ended.is_ok());
            there.write_all(&[byte]).unwrap();
            ended = live.read(&mut wire, &mut scratch, Instant::now());
        }
        assert!(ended.is_err() || live.write(&mut wire).is_err(), "it is over");
        drop((live, wire));
        let mut all = Vec::new();
        there.read_to_end(&mut all).unwrap();
        assert!(all.ends_with(&[0x8a, 2, b'h', b'i', 0x88, 2, 0x03, 0xe8]), "{all:?}");
    }

    /// Reads until so many bytes are there, while the other side writes.
    fn read_all(
        live: &mut Live,
        wire: &mut Wire,
        mut there: std::os::unix::net::UnixStream,
        end: &[u8],
    ) -> Vec<u8> {
        let end = end.to_vec();
        let reader = std::thread::spawn(move || {
            let (mut some, mut all) = (vec![0; 64 << 10], Vec::new());
            while !all.ends_with(&end) {
                let read = there.read(&mut some).unwrap();
                assert!(read > 0, "it ended early");
                all.extend_from_slice(&some[..read]);
            }
            all
        });
        while !reader.is_finished() {
            live.write(wire).unwrap();
            std::thread::sleep(NO_TIME);
        }
        reader.join().unwrap()
    }

    #[test]
    fn nothing_stands_within_a_message_and_the_end_comes_behind_it() {
        let (mut live, mut wire, mut there) =
            client(&Form::WebSocket { accept: "x".into(), is_packed: true });
        live.write(&mut wire).unwrap();
        let large = Message::new(Some(5), (0..400_000).map(|n: u64| format!("{:x}", n.pow(3))).collect());
        live.say(&large, Instant::now());
        assert!(!live.write(&mut wire).unwrap(), "more than there is room for");
        // a ping, which is answered when the message is whole
        there.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'?']).unwrap();
        let mut scratch = [0; 100];
        assert_eq!(live.read(&mut wire, &mut scratch, Instant::now()).unwrap(), Read::All);
        let end = Message::new(None, "{\"type\":\"end\"}".into());
        live.say(&end, Instant::now());
        live.end(Why::Done);
        let farewell = [&[0x88, 34, 0x03, 0xe8][..], b"there is nothing more to tell"].concat();
        let farewell = [&[0x88, (farewell.len() - 2) as u8][..], &farewell[2..]].concat();
        let all = read_all(&mut live, &mut wire, there, &farewell);
        let head = all.windows(4).position(|some| some == b"\r\n\r\n").unwrap() + 4;
        let agreed = String::from_utf8_lossy(&all[..head])
            .contains(&format!("\r\nSec-WebSocket-Extensions: {PACKED}\r\n"));
        assert!(agreed);
        let (frame, rest) = all[head..].split_at(large.frame(true).len());
        assert!(frame == large.frame(true));
        let rest = rest.strip_suffix(&*farewell).unwrap();
        let pong = [0x8a, 1, b'?'];
        let end = end.frame(false);
        assert!(rest == [&*end, &pong].concat() || rest == [&pong[..], &end].concat(), "{rest:?}");
    }
}
