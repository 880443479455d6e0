//! The private connections to the server behind: each takes one whole request at a time and gives its whole reply back. `front`
//! owns them; `opener` makes them.

use std::io::{self, Read};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use crate::http::guard::client::Whole;
use crate::http::guard::wire::Outgoing;
use crate::http::passes;
use crate::limits;

/// Lines of the head of a reply.
const HEADERS_MAX: usize = 64;

/// A connection to the server behind.
#[derive(Debug)]
pub struct Backend {
    stream: UnixStream,
    token: Token,
    /// Whether the poll tells when there is room to write. Not as a rule: it would with every piece that is read on the other
    /// side, and wake the loop for nothing.
    tells_room: bool,
    outgoing: Outgoing,
    incoming: Vec<u8>,
    /// Bytes of the head and of the body of the reply, where its head is there.
    reply: Option<(usize, usize)>,
    /// Whose request it has.
    pub asked: Option<Asked>,
    /// Bytes of the request that are counted among those on their way in.
    pub counted: usize,
}

/// A request that is being answered.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The client's place.
    pub slot: usize,
    /// The client's number.
    pub serial: u64,
    /// The request's number.
    pub id: u64,
    /// Whether it is HEAD, whose reply has a length and no body.
    pub is_head: bool,
    /// Whether the client speaks HTTP/1.0.
    pub is_old: bool,
}

impl Backend {
    /// A connection that is open; a poll tells of it from now on.
    ///
    /// # Errors
    /// The poll takes no more.
    pub fn new(
        stream: std::os::unix::net::UnixStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        let (outgoing, incoming) = (Outgoing::default(), Vec::new());
        let (tells_room, reply, asked, counted) = (false, None, None, 0);
        Ok(Self { stream, token, tells_room, outgoing, incoming, reply, asked, counted })
    }

    /// Begins with a request.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn ask(&mut self, whole: Whole, asked: Asked, registry: &Registry) -> io::Result<()> {
        let Whole { head, body } = whole;
        let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
        for (name, value) in &head.headers {
            text.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        let (name, id, length) = (passes::HEADER, asked.id, body.len());
        text.push_str(&format!("{name}: {id:x}\r\nContent-Length: {length}\r\n\r\n"));
        self.outgoing = Outgoing::new(text.into_bytes(), body, 0);
        self.asked = Some(asked);
        self.write(registry)
    }

    /// Writes what there is room for; what is written is let go of.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write(&mut self, registry: &Registry) -> io::Result<()> {
        self.outgoing.write(|bytes| io::Write::write(&mut self.stream, bytes))?;
        if self.tells_room == self.is_sent() {
            self.tells_room = !self.is_sent();
            let room = if self.tells_room { Interest::WRITABLE } else { Interest::READABLE };
            registry.reregister(&mut self.stream, self.token, Interest::READABLE | room)?;
        }
        if self.outgoing.is_done() {
            self.outgoing = Outgoing::default();
        }
        Ok(())
    }

    /// Whether the request is written.
    pub fn is_sent(&self) -> bool {
        self.outgoing.is_done()
    }

    /// Reads what is there; true when the reply is whole.
    ///
    /// # Errors
    /// The connection is broken, or what comes is no reply.
    pub fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        loop {
            let some = match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(some) => some,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            self.incoming.extend_from_slice(&scratch[..some]);
            if self.is_whole()? {
                return Ok(true);
            }
            if some < scratch.len() {
                // what comes after it is told of anew
                return Ok(false);
            }
        }
    }

    fn is_whole(&mut self) -> io::Result<bool> {
        if self.reply.is_none() {
            self.reply = self.head()?;
        }
        let Some((head, body)) = self.reply else { return Ok(false) };
        if self.incoming.len() > head + body {
            return Err(broken("bytes after a reply"));
        }
        Ok(self.incoming.len() == head + body)
    }

    /// Bytes of head and body of the reply, once its head is there.
    fn head(&self) -> io::Result<Option<(usize, usize)>> {
        let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut lines);
        let bytes = match parsed.parse(&self.incoming) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(broken("no reply")),
        };
        let has_body =
            !self.asked.is_some_and(|asked| asked.is_head) && !matches!(parsed.code, Some(204 | 304));
        let length = parsed.headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length"));
        let length =
            length.and_then(|line| std::str::from_utf8(line.value).ok()?.trim().parse::<usize>().ok());
        match length {
            _ if !has_body => Ok(Some((bytes, 0))),
            Some(length) if length <= limits::REPLY_BYTES => Ok(Some((bytes, length))),
            _ => Err(broken("a reply without a length, or too large a one")),
        }
    }

    /// Gives the whole reply away, as the client gets it; the connection is free then.
    pub fn finish(&mut self, asked: Asked, is_last: bool) -> Outgoing {
        self.asked = None;
        let body = std::mem::take(&mut self.incoming);
        let (head, _) = self.reply.take().unwrap_or_default();
        let mut text = Vec::with_capacity(head + 4_500);
        // without the empty line
        text.extend_from_slice(&body[..head.saturating_sub(2)]);
        let connection = match (is_last, asked.is_old) {
            (true, _) => "Connection: close\r\n",
            (false, true) => "Connection: keep-alive\r\n",
            (false, false) => "",
        };
        text.extend_from_slice(format!("X-Request-Id: {:016x}\r\n{connection}\r\n", asked.id).as_bytes());
        Outgoing::new(text, body, head)
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server behind sent {what}"))
}
