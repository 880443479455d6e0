//! The thread that makes the private connections, one after the other, each tried before it is used. tiny_http counts a thread
//! as free until it has woken, so of connections that come at once some would be forgotten; one that is answered is not. `front`
//! asks for another one where it loses one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use mio::Waker;

/// A connection that is not answered within this is given up, and another one tried.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Time between two tries where one fails.
const REST: Duration = Duration::from_millis(100);
/// A request without a pass: it is refused without a handler.
const TRIAL: &[u8] = b"GET / HTTP/1.1\r\nHost: windrow\r\nContent-Length: 0\r\n\r\n";

/// Makes a connection for each word that comes, until no more can come or it is told to stop.
pub fn run(
    socket: &Path,
    wanted: &Receiver<()>,
    opened: &Sender<UnixStream>,
    waker: &Waker,
    stopping: &AtomicBool,
) {
    for () in wanted {
        let stream = loop {
            if stopping.load(Ordering::SeqCst) {
                return;
            }
            match open(socket) {
                Ok(stream) => break stream,
                Err(e) => tracing::debug!("no connection to the server behind: {e}"),
            }
            std::thread::sleep(REST);
        };
        if opened.send(stream).is_err() || waker.wake().is_err() {
            return;
        }
    }
}

fn open(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(TRIAL)?;
    let (mut reply, mut some) = (Vec::new(), [0; 1_024]);
    loop {
        let read = stream.read(&mut some)?;
        reply.extend_from_slice(&some[..read]);
        if read == 0 || reply.len() > 16 << 10 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // the refusal has no body
        if reply.ends_with(b"\r\n\r\n") {
            stream.set_read_timeout(None)?;
            return Ok(stream);
        }
    }
}
