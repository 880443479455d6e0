//! The only file that knows tiny_http: sockets in, [`Request`]s to a handler, [`Response`]s out. `app` starts and
//! stops it; the handler is `routes::answer`.
//!
//! What tiny_http 0.12 does not do is done here: TCP_NODELAY (set on the listener, accepted sockets inherit it),
//! refusal of framings that it would misread, limits on bodies. Three of its habits shape the code:
//! - A request that is dropped before its body was read allocates the whole rest of it, also when the client has
//!   gone. Up to [`limits::DISCARDED_BYTES`] the memory is only claimed, never touched; beyond, the allocation may
//!   fail, which ends the process. Such a request is answered and then leaked: a thread and two handles are the
//!   smaller evil.
//! - It hands pipelined requests of one connection to several workers at once, a POST beside what follows it; their
//!   replies keep the order. A client that needs the one done before the other waits for the reply, as RFC 9112 asks.
//! - Of many connections that come at once it forgets some until others close: see `nudge`.
//! - It never gives a connection up on its own: a client that sends nothing holds a thread. Slow clients are the
//!   matter of the guard in front of it.

use std::io::{Cursor, Read};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::{Domain, Protocol, Socket, Type};
use tiny_http::{Header, StatusCode};

use crate::error::{Error, Result};
use crate::http::message::{HEADERS_KEPT, Method, Request, Response};
use crate::http::nudge;
use crate::http::problem::{self, Problem};
use crate::http::turns::{Place, Turns};
use crate::limits;

/// A body's memory at the start, whatever length is announced.
const BODY_START_BYTES: usize = 256 << 10;

/// An address that is taken: from now on connections wait there until a [`Server`] answers them.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    socket: Socket,
}

impl Listener {
    /// Takes an address. Nothing else has been done then, so whoever is refused has nothing to take back.
    ///
    /// # Errors
    /// The address is in use or none of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let refused = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AddrInUse => Error::Conflict(format!(
                "{address} is in use by another process; stop that one, or name another address, such as --listen {} \
                 for any free port",
                SocketAddr::new(address.ip(), 0)
            )),
            _ => Error::io(format!("cannot listen at {address} (--listen names another address)"), e),
        };
        let socket = listen(address).map_err(refused)?;
        let bound = socket.local_addr().map_err(refused)?.as_socket();
        Ok(Self { address: bound.unwrap_or(address), socket })
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    listener: Socket,
    sockets: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    /// Ends when the last worker has.
    working: Receiver<()>,
    failures: Receiver<Error>,
}

impl Server {
    /// Answers what comes to an address with so many threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        listener: Listener,
        workers: usize,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let Listener { address, socket: listener } = listener;
        let accepting =
            listener.try_clone().map_err(|e| Error::io(format!("cannot listen at {address}"), e))?;
        let sockets = tiny_http::Server::from_listener(TcpListener::from(accepting), None)
            .map_err(|e| Error::Internal(format!("the server does not start: {e}")))?;
        let (sockets, handler) = (Arc::new(sockets), Arc::new(handler));
        let stopping = Arc::new(AtomicBool::new(false));
        let turns = Arc::<Turns>::default();
        let (still_working, working) = unbounded();
        let (failed, failures) = unbounded();
        let mut threads = Vec::with_capacity(workers);
        for number in 0..workers {
            let worker = Worker {
                sockets: Arc::clone(&sockets),
                handler: Arc::clone(&handler),
                stopping: Arc::clone(&stopping),
                turns: Arc::clone(&turns),
                failed: failed.clone(),
                _still_working: still_working.clone(),
            };
            let builder = std::thread::Builder::new().name(format!("http-{number}"));
            let thread = builder.stack_size(limits::HTTP_STACK_BYTES).spawn(move || worker.run());
            threads.push(thread.map_err(|e| Error::io("cannot start a thread for requests", e))?);
        }
        nudge::start(address, Arc::clone(&stopping))
            .map_err(|e| Error::io("cannot start the thread that looks after connections", e))?;
        Ok(Self { address, listener, sockets, stopping, workers: threads, working, failures })
    }

    /// Where it listens, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says when no more connections can be accepted: the process should end, and be started anew.
    pub fn failures(&self) -> &Receiver<Error> {
        &self.failures
    }

    /// Takes no more connections, answers the requests that are there, and ends. Those that are not answered after `grace`
    /// are told by `cancel` to end, for which they have `rest`; true where all was answered.
    pub fn stop(self, grace: Duration, cancel: impl FnOnce(), rest: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        // ends the accept loop where the system wakes it; elsewhere dropping `sockets` does
        let _ = self.listener.shutdown(Shutdown::Both);
        for _ in &self.workers {
            self.sockets.unblock();
        }
        let still_works = |time: Duration| {
            let ended = self.working.recv_deadline(Instant::now() + time);
            matches!(ended, Err(crossbeam_channel::RecvTimeoutError::Timeout))
        };
        if still_works(grace) {
            cancel();
            if still_works(rest) {
                return false;
            }
        }
        self.workers.into_iter().all(|worker| worker.join().is_ok())
    }
}

fn listen(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket)
}

struct Worker<H> {
    sockets: Arc<tiny_http::Server>,
    handler: Arc<H>,
    stopping: Arc<AtomicBool>,
    turns: Arc<Turns>,
    failed: Sender<Error>,
    _still_working: Sender<()>,
}

impl<H: Fn(&Request) -> Response> Worker<H> {
    fn run(self) {
        let place = Place::default();
        loop {
            match self.next(&place) {
                Ok(incoming) => {
                    // tiny_http's own asserts must not cost a worker
                    if catch_unwind(AssertUnwindSafe(|| serve(incoming, &*self.handler))).is_err() {
                        tracing::error!("a connection ended by a panic");
                    }
                }
                // the queue is in order, so what came before the stop has been answered
                Err(_) if self.stopping.load(Ordering::SeqCst) => return,
                Err(e) => {
                    let _ = self.failed.send(Error::io("no more connections can be accepted", e));
                    return;
                }
            }
        }
    }

    /// The next request: one that waits already, or the first that comes in this worker's turn.
    fn next(&self, place: &Place) -> std::io::Result<tiny_http::Request> {
        match self.sockets.try_recv()? {
            Some(incoming) => return Ok(incoming),
            // what came out may have been the word to stop, and was that of this worker
            None if self.stopping.load(Ordering::SeqCst) => {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            None => {}
        }
        self.turns.wait(place);
        let incoming = self.sockets.recv();
        self.turns.pass();
        incoming
    }
}

fn serve(mut incoming: tiny_http::Request, handler: &impl Fn(&Request) -> Response) {
    let response = match read(&mut incoming) {
        Ok(request) => catch_unwind(AssertUnwindSafe(|| handler(&request))).unwrap_or_else(|_| {
            tracing::error!("the handler of {} {} panicked", request.method.name(), request.path);
            problem::panicked()
        }),
        Err(Refusal::Reply(response)) => response,
        Err(Refusal::Leak(response)) => return reply_and_leak(incoming, response),
    };
    reply(incoming, response);
}

/// Why there is no request.
enum Refusal {
    /// It is answered with this.
    Reply(Response),
    /// It is answered with this, and must never be dropped.
    Leak(Response),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Reply(problem::response(&error))
    }
}

/// How the body is framed.
enum Framing {
    Length(usize),
    Chunked,
}

fn read(incoming: &mut tiny_http::Request) -> Result<Request, Refusal> {
    let framing = framing(incoming.headers())?;
    // the body first: a connection whose body is not read cannot go on
    let body = body(incoming, framing)?;
    let mut request = Request::new(Method::of(incoming.method().as_str()), incoming.url())?;
    request.body = body;
    request.client = incoming.remote_addr().map(|client| client.ip());
    for header in incoming.headers() {
        let name = header.field.as_str().as_str();
        if let Some(kept) = HEADERS_KEPT.iter().find(|kept| kept.eq_ignore_ascii_case(name)) {
            request.headers.push((kept, header.value.as_str().to_owned()));
        }
    }
    Ok(request)
}

fn framing(headers: &[Header]) -> Result<Framing, Refusal> {
    let values = |name| headers.iter().filter(move |h| h.field.equiv(name)).map(|h| h.value.as_str().trim());
    let mut length = None;
    for text in values("Content-Length") {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::invalid(format!("Content-Length \"{text}\" is no number of bytes")).into());
        }
        // digits that are no usize are too many of them
        let bytes = text.parse::<usize>().unwrap_or(usize::MAX);
        if length.replace(bytes).is_some_and(|other| other != bytes) {
            return Err(Error::invalid("the request has several Content-Lengths; send one").into());
        }
    }
    let mut encodings = values("Transfer-Encoding");
    let Some(encoding) = encodings.next() else { return Ok(Framing::Length(length.unwrap_or(0))) };
    if !encoding.eq_ignore_ascii_case("chunked") || encodings.next().is_some() {
        let detail = "the only Transfer-Encoding that is taken is chunked; compress with Content-Encoding";
        return Err(Refusal::Reply(Problem::new(problem::NOT_IMPLEMENTED, detail).into_response()));
    }
    let upgrades = values("Connection").any(|value| value.to_ascii_lowercase().contains("upgrade"));
    if length.is_some() || upgrades {
        let detail = "Transfer-Encoding does not go with Content-Length or an upgrade; send one of them";
        return Err(Error::invalid(detail).into());
    }
    Ok(Framing::Chunked)
}

fn body(incoming: &mut tiny_http::Request, framing: Framing) -> Result<Vec<u8>, Refusal> {
    let most = limits::BODY_BYTES;
    let too_large = || {
        let detail =
            format!("the body is larger than {} MiB; send it in parts, or use `windrow import`", most >> 20);
        problem::response(&Error::TooLarge(detail))
    };
    let broken = |e: std::io::Error| Refusal::from(Error::invalid(format!("the body cannot be read: {e}")));
    match framing {
        Framing::Length(0) => Ok(Vec::new()),
        Framing::Length(length) if length > most => {
            // a length that is no usize was taken as none: there is nothing to drop
            let dropped = incoming.body_length().unwrap_or(0);
            Err(if dropped > limits::DISCARDED_BYTES {
                Refusal::Leak(too_large())
            } else {
                Refusal::Reply(too_large())
            })
        }
        Framing::Length(length) => {
            let mut body = Vec::with_capacity(length.min(BODY_START_BYTES));
            incoming.as_reader().take(length as u64).read_to_end(&mut body).map_err(broken)?;
            if body.len() < length {
                return Err(Error::invalid("the connection ended before the body did").into());
            }
            Ok(body)
        }
        Framing::Chunked => {
            let mut body = Vec::new();
            incoming.as_reader().take(most as u64 + 1).read_to_end(&mut body).map_err(broken)?;
            if body.len() > most {
                drop(body);
                // what is left of the chunks would be taken for the next request
                let rest = &mut incoming.as_reader().take(limits::DISCARDED_BYTES as u64);
                std::io::copy(rest, &mut std::io::sink()).map_err(broken)?;
                return Err(Refusal::Reply(too_large()));
            }
            Ok(body)
        }
    }
}

fn reply(incoming: tiny_http::Request, response: Response) {
    let (length, headers, status) = (response.body.len(), headers(&response), StatusCode(response.status));
    let outgoing = tiny_http::Response::new(status, headers, Cursor::new(response.body), Some(length), None)
        .with_chunked_threshold(usize::MAX);
    if let Err(e) = incoming.respond(outgoing) {
        tracing::debug!("a reply did not reach its client: {e}");
    }
}

/// The headers of every reply, then its own.
fn headers(response: &Response) -> Vec<Header> {
    // what has a tag may be kept, and has to be asked about
    let keeping = if response.header("ETag").is_some() { "private, no-cache" } else { "no-store" };
    let fixed = [("Server", "windrow"), ("Cache-Control", keeping)];
    let all = fixed.into_iter().chain(response.headers.iter().map(|(name, value)| (*name, &**value)));
    all.filter_map(|(name, value)| {
        let header = Header::from_bytes(name, value).ok();
        if header.is_none() {
            tracing::error!("the reply's header {name} is not ASCII and was left out");
        }
        header
    })
    .collect()
}

/// Answers as an upgrade, the one way that gives the parts of a request back instead of dropping them. It writes no
/// length, so the length rides on a header of its own making.
fn reply_and_leak(incoming: tiny_http::Request, response: Response) {
    tracing::warn!("a body of {} bytes was announced and refused", incoming.body_length().unwrap_or(0));
    let mut headers = headers(&response);
    let framing = format!("none\r\nContent-Length: {}\r\nConnection: close", response.body.len());
    headers.extend(Header::from_bytes("Accept-Ranges", framing));
    let status = StatusCode(response.status);
    let head = tiny_http::Response::new(status, headers, std::io::empty(), Some(0), None);
    let mut stream = incoming.upgrade("close", head);
    if let Err(e) = stream.write_all(&response.body).and_then(|()| stream.flush()) {
        tracing::debug!("a reply did not reach its client: {e}");
    }
    std::mem::forget(stream);
}

#[cfg(test)]
mod tests;
