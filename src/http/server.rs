//! The only file that knows tiny_http: whole requests in by the private socket, [`Request`]s to a handler, [`Response`]s out.
//! `app` starts and stops it; the handler is `routes::answer`.
//!
//! Who comes here is the guard, which sends one request at a time on each of its connections, well-formed, with its length and
//! a pass (`passes`). So what tiny_http 0.12 does not do is no matter here: it has no deadlines, misreads some framings, and gives
//! no connection up.

use std::io::Cursor;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::Socket;
use tiny_http::{Header, StatusCode};

use crate::error::{Error, Result};
use crate::http::message::{HEADERS_KEPT, Method, Request, Response};
use crate::http::passes::{self, Passes};
use crate::http::problem;
use crate::http::turns::{Place, Turns};
use crate::limits;

/// A running server.
pub struct Server {
    listener: Socket,
    sockets: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    /// Ends when the last worker has.
    working: Receiver<()>,
    failures: Receiver<Error>,
}

impl Server {
    /// Answers what comes to a private socket with so many threads.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(
        listener: UnixListener,
        workers: usize,
        passes: &Arc<Passes>,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let accepting =
            listener.try_clone().map_err(|e| Error::io("cannot listen at the private socket", e))?;
        let sockets = tiny_http::Server::from_listener(accepting, None)
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
                passes: Arc::clone(passes),
                stopping: Arc::clone(&stopping),
                turns: Arc::clone(&turns),
                failed: failed.clone(),
                _still_working: still_working.clone(),
            };
            let builder = std::thread::Builder::new().name(format!("http-{number}"));
            let thread = builder.stack_size(limits::HTTP_STACK_BYTES).spawn(move || worker.run());
            threads.push(thread.map_err(|e| Error::io("cannot start a thread for requests", e))?);
        }
        Ok(Self { listener: listener.into(), sockets, stopping, workers: threads, working, failures })
    }

    /// Says when no more connections can be accepted: the process should end, and be started anew.
    pub fn failures(&self) -> &Receiver<Error> {
        &self.failures
    }

    /// Ends the workers; false where some are still at work after `grace`, and are left to themselves.
    pub fn stop(self, grace: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        // ends the accept loop where the system wakes it; elsewhere dropping `sockets` does
        let _ = self.listener.shutdown(Shutdown::Both);
        for _ in &self.workers {
            self.sockets.unblock();
        }
        let ended = self.working.recv_deadline(Instant::now() + grace);
        if matches!(ended, Err(crossbeam_channel::RecvTimeoutError::Timeout)) {
            return false;
        }
        self.workers.into_iter().all(|worker| worker.join().is_ok())
    }
}

struct Worker<H> {
    sockets: Arc<tiny_http::Server>,
    handler: Arc<H>,
    passes: Arc<Passes>,
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
                    if catch_unwind(AssertUnwindSafe(|| self.serve(incoming))).is_err() {
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

    fn serve(&self, mut incoming: tiny_http::Request) {
        let pass = incoming.headers().iter().find(|header| header.field.equiv(passes::HEADER));
        let Some(pass) = pass.and_then(|pass| self.passes.redeem(pass.value.as_str())) else {
            // the guard trying a new connection, or someone who found the socket
            return reply(incoming, Response { status: 403, ..Response::default() });
        };
        let _entered = tracing::info_span!("request", id = format_args!("{:016x}", pass.id)).entered();
        let response = match read(&mut incoming, pass) {
            Ok(request) => catch_unwind(AssertUnwindSafe(|| (self.handler)(&request))).unwrap_or_else(|_| {
                tracing::error!("the handler of {} {} panicked", request.method.name(), request.path);
                problem::panicked()
            }),
            Err(error) => problem::response(&error),
        };
        reply(incoming, bounded(response));
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

/// The request of a pass.
fn read(incoming: &mut tiny_http::Request, pass: passes::Pass) -> Result<Request> {
    let mut body = Vec::with_capacity(incoming.body_length().unwrap_or(0));
    // the body first: a connection whose body is not read cannot go on
    let read = incoming.as_reader().read_to_end(&mut body);
    read.map_err(|e| Error::io("the body of a request cannot be read", e))?;
    let mut request = Request::new(Method::of(incoming.method().as_str()), incoming.url())?;
    request.body = body;
    for header in incoming.headers() {
        let name = header.field.as_str().as_str();
        if let Some(kept) = HEADERS_KEPT.iter().find(|kept| kept.eq_ignore_ascii_case(name)) {
            request.headers.push((kept, header.value.as_str().to_owned()));
        }
    }
    request.abandoned = pass.abandoned;
    request.address = pass.address;
    request.is_secure = pass.is_secure;
    request.line = pass.line;
    Ok(request)
}

/// What is larger than the guard takes is no reply.
fn bounded(response: Response) -> Response {
    if response.body.len() <= limits::REPLY_BYTES {
        return response;
    }
    problem::response(&Error::TooLarge(format!(
        "the reply is larger than {} MiB; ask for fewer rows or fields, page by page, or use `windrow export`",
        limits::REPLY_BYTES >> 20
    )))
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
