//! Keeps connections from being forgotten. The server's pool counts a thread as free until it has woken, so of many
//! connections that come at once some are queued behind fewer threads than they need, and would wait until others
//! close. This thread looks after that: it asks for a refusal that a connection's thread gives by itself, and where
//! none comes soon, it opens and closes connections, each of which brings one more thread that takes the next from
//! the queue, until it does. `server` starts it; the guard will make it needless.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// How often it is asked: the longest that a connection of a burst waits for its thread.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A free thread refuses within this time; and how long the next nudge waits.
const ANSWER_WITHIN: Duration = Duration::from_millis(3);
/// Nudges before it is looked at again: where threads are not what is missing, more of them would not help.
const NUDGES: usize = 256;

/// Starts the thread; it ends when `stopping` is set.
///
/// # Errors
/// The system gives no thread.
pub fn start(address: SocketAddr, stopping: Arc<AtomicBool>) -> std::io::Result<()> {
    let look = move || {
        while !stopping.load(Ordering::SeqCst) {
            // without handles or ports there is nothing to do now, and the next look is soon
            let _ = look(address, &stopping);
            std::thread::sleep(LOOK_EVERY);
        }
    };
    std::thread::Builder::new().name("http-nudge".into()).spawn(look).map(drop)
}

fn look(address: SocketAddr, stopping: &AtomicBool) -> std::io::Result<()> {
    let mut probe = connect(address)?;
    probe.set_read_timeout(Some(ANSWER_WITHIN))?;
    // no request line: refused by the connection's thread, without a worker
    probe.write_all(b"?\r\n\r\n")?;
    for _ in 0..NUDGES {
        let is_answered = probe.read(&mut [0; 64]).is_ok();
        if is_answered || stopping.load(Ordering::SeqCst) {
            break;
        }
        connect(address)?;
    }
    Ok(())
}

/// A connection that leaves nothing behind when it is closed.
fn connect(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect(&address.into())?;
    Ok(socket)
}
