//! Guard and server as one: what clients come to, and what answers them behind it. `app` starts and stops it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::error::{Error, Result};
use crate::http::guard::{Entrance, Guard};
use crate::http::listener::PrivateSocket;
use crate::http::message::{Request, Response};
use crate::http::passes::Passes;
use crate::http::server::Server;

/// Time that workers have to end when there are no requests.
const WORKERS_END: Duration = Duration::from_secs(2);

/// A running guard with a running server behind it.
pub struct Edge {
    guard: Guard,
    server: Server,
    /// Goes with them.
    _socket: PrivateSocket,
}

impl Edge {
    /// Answers what comes to some addresses.
    ///
    /// # Errors
    /// There is no place for the private socket, or the system gives no threads.
    pub fn start(
        entrance: Entrance,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let passes = Arc::<Passes>::default();
        let (socket, behind) = PrivateSocket::bind()?;
        let server = Server::start(behind, entrance.bounds.backends, &passes, handler)?;
        let guard = Guard::start(entrance, socket.path.clone(), passes)?;
        Ok(Self { guard, server, _socket: socket })
    }

    /// Say when no more requests are answered: the process should end, and be started anew.
    pub fn failures(&self) -> (&Receiver<Error>, &Receiver<Error>) {
        (self.guard.failures(), self.server.failures())
    }

    /// Takes no more connections, and gives the requests that are there their replies. Those that are not answered after `grace`
    /// are told by `cancel` to end, for which they have `rest`; true where all was answered.
    pub fn stop(self, grace: Duration, cancel: impl FnOnce(), rest: Duration) -> bool {
        let is_answered = self.guard.stop(grace, cancel, rest);
        // without requests workers end at once; what is not answered by now is nobody's any more
        let has_ended = self.server.stop(if is_answered { WORKERS_END } else { Duration::ZERO });
        is_answered && has_ended
    }
}
