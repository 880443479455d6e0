//! The sockets of clients, of whatever kind: bytes in, bytes out, never waiting. `client` owns one.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::http::certificate::Certificate;
use crate::http::guard::tls::Tls;
use crate::http::listener::SocketFile;

/// Bytes that the system keeps of what is told as it happens; it takes twice as many.
const SENT_BYTES: usize = 64 << 10;

/// Where clients come in.
#[derive(Debug)]
pub enum Door {
    /// An address; where there is a certificate, TLS is spoken there.
    Tcp(TcpListener, Option<Box<Certificate>>),
    /// A socket in the file system, which goes with it.
    Unix(UnixListener, #[expect(dead_code, reason = "is removed with it")] SocketFile),
}

impl Door {
    /// The next client, and its address where it has one.
    pub fn accept(&mut self) -> io::Result<(Wire, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener, certificate) => {
                let (stream, address): (TcpStream, SocketAddr) = listener.accept()?;
                // replies go out when they are there; it only fails on a connection that is gone
                let _ = stream.set_nodelay(true);
                let wire = match certificate {
                    None => Wire::Tcp(stream),
                    Some(certificate) => {
                        Wire::Tls(Box::new(Tls::new(stream, certificate.current(Instant::now()))?))
                    }
                };
                Ok((wire, Some(address.ip().to_canonical())))
            }
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| (Wire::Unix(stream), None)),
        }
    }

    /// Lets a poll tell of clients.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener, _) => listener.register(registry, token, Interest::READABLE),
            Self::Unix(listener, _) => listener.register(registry, token, Interest::READABLE),
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub enum Wire {
    /// A connection from an address.
    Tcp(TcpStream),
    /// An encrypted one.
    Tls(Box<Tls>),
    /// A connection of this machine.
    Unix(UnixStream),
}

impl Wire {
    /// Reads what is there.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// Writes what there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// Sends what was written and is held back; to be called when the socket has room again.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self { tls.flush() } else { Ok(()) }
    }

    /// Whether all that was written has gone to the socket.
    pub fn is_flushed(&self) -> bool {
        if let Self::Tls(tls) = self { tls.is_flushed() } else { true }
    }

    /// Whether nobody reads along.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Says that nothing more will be written.
    pub fn end(&mut self) {
        let ended = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(tls) => return tls.end(),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        // a client that is gone needs no telling
        drop(ended);
    }

    /// From now on little of what is written is kept by the system, so that who is slow does not get what is long past, and a
    /// client whose machine takes nothing for `patience` is gone.
    pub fn keep_little(&mut self, patience: Duration) {
        let is_remote = !matches!(self, Self::Unix(_));
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(&*stream),
            Self::Tls(tls) => SockRef::from(&*tls.socket()),
            Self::Unix(stream) => SockRef::from(&*stream),
        };
        // where the system does not do it, more is kept, for longer
        let _ = socket.set_send_buffer_size(SENT_BYTES);
        #[cfg(target_os = "linux")]
        if is_remote {
            let _ = socket.set_tcp_user_timeout(Some(patience));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (patience, is_remote);
    }

    /// Lets a poll tell of it, edge by edge, both ways.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Tls(tls) => tls.socket().register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }
}

/// As the protocols of libraries want it.
impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Wire::read(self, buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Wire::write(self, bytes)
    }

    /// `WouldBlock` while something is encrypted and not sent.
    fn flush(&mut self) -> io::Result<()> {
        Wire::flush(self)?;
        if self.is_flushed() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

/// Bytes on their way out: a head, then a body as it is, so that large bodies are not copied.
#[derive(Debug, Default)]
pub struct Outgoing {
    head: Vec<u8>,
    body: Vec<u8>,
    /// The first byte of `body` that belongs to it.
    body_from: usize,
    written: usize,
}

impl Outgoing {
    /// A head and what follows it: `body` from a byte on.
    pub fn new(head: Vec<u8>, body: Vec<u8>, body_from: usize) -> Self {
        let mut outgoing = Self { head, body, body_from, written: 0 };
        let small = outgoing.body.len() - body_from;
        if small <= 4 << 10 {
            // one write, one packet
            outgoing.head.extend_from_slice(&outgoing.body[body_from..]);
            (outgoing.body, outgoing.body_from) = (Vec::new(), 0);
        }
        outgoing
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.is_done() {
            *self = Self::default();
        }
        let end = if self.body.is_empty() { &mut self.head } else { &mut self.body };
        end.extend_from_slice(bytes);
    }

    /// Bytes that it holds, written or not.
    pub fn held(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Bytes that were written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Whether all is written.
    pub fn is_done(&self) -> bool {
        self.written == self.head.len() + self.body.len() - self.body_from
    }

    /// Writes until all is written or there is no more room.
    pub fn write(&mut self, mut to: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.is_done() {
            let rest = match self.head.get(self.written..) {
                Some(rest) if !rest.is_empty() => rest,
                _ => &self.body[self.body_from + self.written - self.head.len()..],
            };
            match to(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(some) => self.written += some,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
