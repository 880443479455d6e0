//! A client's socket that speaks TLS. To `client` it is a wire as any other: bytes in, bytes out, never waiting. What differs is
//! that bytes may be encrypted and not sent yet, so a reply is done when `is_flushed` says so, and that a client may speak
//! something else, which [`Front::misunderstood`] answers. `wire` makes one for each connection of a door that has a certificate.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

use crate::http::guard::client::Phase;
use crate::http::guard::front::Front;
use crate::http::guard::head::Refusal;
use crate::http::guard::wire::Wire;
use crate::limits;

/// A connection of TLS, from its handshake on.
#[derive(Debug)]
pub struct Tls {
    stream: TcpStream,
    session: ServerConnection,
    language: Language,
    /// Whether nothing more is written once all is sent.
    is_ending: bool,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    /// It has said nothing yet.
    Unknown,
    Tls,
    /// HTTP as it is, and it is answered so.
    Plain,
    /// Neither, or it broke off; it was told by an alert.
    Noise,
}

impl Tls {
    /// A connection that has just been made.
    ///
    /// # Errors
    /// None that a configuration of `certificate` would give.
    pub fn new(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(limits::TLS_BUFFER_BYTES));
        Ok(Self { stream, session, language: Language::Unknown, is_ending: false })
    }

    /// The socket itself, to register.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads what is there and was encrypted; 0 where the client has ended, also without a word. Other than a plain socket it
    /// may be `Interrupted` when what came was of TLS alone: so no client has the loop for itself.
    ///
    /// # Errors
    /// `InvalidData` once, where it speaks no TLS: from then on, what is read is what it sends.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.language == Language::Unknown {
            self.listen()?;
        }
        if self.language != Language::Tls {
            return self.stream.read(buffer);
        }
        match self.decrypted(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        let came = self.session.read_tls(&mut self.stream);
        if came.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::InvalidData) {
            return came;
        }
        let failure = match came {
            Ok(_) => self.session.process_new_packets().err().map(|e| e.to_string()),
            Err(e) => Some(e.to_string()),
        };
        let sent = self.flush();
        if let Some(failure) = failure {
            tracing::debug!("a client does not speak TLS as it should: {failure}");
            self.language = Language::Noise;
            return Err(io::ErrorKind::InvalidData.into());
        }
        sent?;
        match self.decrypted(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::Interrupted.into()),
            read => read,
        }
    }

    /// Looks at the first byte: a handshake begins with none of the letters that a method does.
    fn listen(&mut self) -> io::Result<()> {
        let mut first = [0];
        if self.stream.peek(&mut first)? > 0 && first[0].is_ascii_alphabetic() {
            self.language = Language::Plain;
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.language = Language::Tls;
        Ok(())
    }

    fn decrypted(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.session.reader().read(buffer) {
            // it went away without saying so: lengths tell what is whole
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }

    /// Encrypts what there is room for, and sends what the socket takes of it.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room, and what the socket says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.language == Language::Plain {
            return self.stream.write(bytes);
        }
        self.flush()?;
        let taken = self.session.writer().write(bytes)?;
        if taken == 0 {
            // the socket took not all, and will tell of room
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.flush()?;
        Ok(taken)
    }

    /// Sends what is encrypted and was not sent, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.is_ending {
            // a client that is gone needs no telling
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Whether all that was written is sent.
    pub fn is_flushed(&self) -> bool {
        !self.session.wants_write()
    }

    /// Says that nothing more will be written, once all is sent.
    pub fn end(&mut self) {
        if self.language == Language::Tls {
            self.session.send_close_notify();
        }
        self.is_ending = true;
        // who cannot be told finds out by himself
        let _ = self.flush();
    }
}

impl Drop for Tls {
    /// Who waits for nothing is told that this is the end and no cut.
    fn drop(&mut self) {
        let is_quiet = !self.session.is_handshaking() && self.is_flushed();
        if self.language == Language::Tls && !self.is_ending && is_quiet {
            self.end();
        }
    }
}

impl Front {
    /// Ends the connection of a client that does not speak TLS: who speaks HTTP is told what to do, all others were told by an
    /// alert.
    pub(super) fn misunderstood(&mut self, slot: usize) {
        let Some(client) = self.clients[slot].as_mut() else { return };
        if matches!(client.phase, Phase::Closing { .. }) {
            return self.drop_client(slot);
        }
        if matches!(&client.wire, Wire::Tls(tls) if tls.language == Language::Plain) {
            let detail = "this server speaks TLS here; use https:// instead of http://";
            return self.refuse(slot, &Refusal::new(400, detail));
        }
        client.close(Instant::now());
        // what it still sends is read away, or it would not see the alert
        self.again.push(slot);
    }
}

#[cfg(test)]
mod tests;
