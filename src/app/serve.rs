//! The server, from its address to its end. `windrow serve` and `windrow demo` go the same way: `Entrance::open` first,
//! because it changes nothing on disk, then the database, then `Entrance::serve`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::app::warm::Warmer;
use crate::app::{Engine, cache_options, store_options};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::server::{Listener, Server};
use crate::http::{Service, routes};
use crate::limits;
use crate::query::warm::WarmList;
use crate::store::lock;

/// Serves the database until SIGINT or SIGTERM: `listening on http://…` is the first line on stdout. A second signal
/// ends the process at once.
///
/// # Errors
/// An address that is not of this machine alone, one that is in use, and the store's.
pub fn serve(settings: &Settings, no_auth: bool) -> Result<()> {
    let entrance = Entrance::open(settings)?;
    let cache = cache_options(settings)?;
    let warm = WarmList::of(settings.cache_warm.as_deref())?;
    let engine = Engine::open_with(&settings.database, store_options(settings))?;
    let engine = engine.with_limits(settings.into()).with_cache(cache);
    let ended = entrance.serve(&engine, settings, warm, |address| {
        announce(address, no_auth);
        Ok(())
    });
    engine.close();
    ended
}

/// What a server has before there is a database: its address, and the wait for the signals that end it.
pub(super) struct Entrance {
    listener: Listener,
    signals: Receiver<()>,
}

impl Entrance {
    /// Takes the address. Where that is refused, nothing was made or changed; connections that come before the database
    /// is open wait.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        if !settings.listen.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "{} can be reached from other machines, and this version has no access control yet; \
                 listen at a loopback address, such as --listen 127.0.0.1:{}",
                settings.listen,
                settings.listen.port()
            )));
        }
        let listener = Listener::bind(settings.listen).map_err(|refused| {
            // a server of the same database is the likely holder of the address, and says more
            lock::check_free(&settings.database).err().unwrap_or(refused)
        })?;
        Ok(Self { listener, signals: signals()? })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// Answers requests until a signal ends it, or the system takes no more connections; the engine stays open.
    /// `announce` is called with the address as soon as requests are answered.
    pub(super) fn serve(
        self,
        engine: &Engine,
        settings: &Settings,
        warm: WarmList,
        announce: impl FnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        raise_handle_limit();
        let address = self.address();
        let service = Service::new(Arc::clone(&engine.store), self.listener.address(), engine.limits(), warm);
        let service = Arc::new(service.with_rate_limits(settings.rate_limits.clone()));
        let warmer = Warmer::start(engine, Arc::clone(&service))?;
        let handler = Arc::clone(&service);
        let server =
            Server::start(self.listener, settings.workers, move |request| routes::answer(&handler, request))?;
        let announced = engine.store.note_address(&address).and_then(|()| announce(&address));
        let ended = announced.and_then(|()| {
            select! {
                recv(self.signals) -> _ => Ok(()),
                recv(server.failures()) -> failure => failure.map_or(Ok(()), Err),
            }
        });
        tracing::info!("stopping");
        warmer.stop();
        service.set_stopping();
        let (grace, rest) = (limits::STOP_S, limits::CANCELLED_S);
        let cancel = || service.cancel_questions();
        if !server.stop(Duration::from_secs(grace), cancel, Duration::from_secs(rest)) {
            tracing::warn!("requests were still running after {} s and get no answer", grace + rest);
        }
        ended
    }
}

fn announce(address: &str, no_auth: bool) {
    let mut out = std::io::stdout().lock();
    let note = if no_auth {
        ""
    } else {
        "access control comes with keys; until then every program of this machine has access\n"
    };
    // who started the server may have closed its stdout: no reason not to serve
    let _ = write!(out, "listening on {address}\n{note}").and_then(|()| out.flush());
    tracing::info!("listening on {address}");
}

/// A message when the process is asked to end.
fn signals() -> Result<Receiver<()>> {
    let failed = |e| Error::io("cannot listen to signals", e);
    let (mut awake, wake) = UnixStream::pair().map_err(failed)?;
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // in this order: the first signal finds the flag unset and sets it, the second one finds it set
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&asked)).map_err(failed)?;
        signal_hook::flag::register(signal, Arc::clone(&asked)).map_err(failed)?;
        signal_hook::low_level::pipe::register(signal, wake.try_clone().map_err(failed)?).map_err(failed)?;
    }
    let (send, receive) = bounded(1);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let _ = awake.read(&mut [0]);
            let _ = send.send(());
        })
        .map_err(|e| Error::io("cannot start the thread that waits for signals", e))?;
    Ok(receive)
}

/// Takes as many handles as the system allows: a connection is two, and accepting ends when there are none.
fn raise_handle_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!("the limit on open files stays as it is: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_refused() {
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            let settings = Settings { listen: listen.parse().unwrap(), ..Settings::default() };
            let refused = serve(&settings, true).unwrap_err().to_string();
            assert!(refused.contains("loopback") && refused.contains("--listen"), "{refused}");
        }
    }

    #[test]
    fn an_address_in_use_is_refused_before_a_database_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let database = folder.path().join("a.db");
        let settings =
            Settings { listen: taken.address(), database: database.clone(), ..Settings::default() };
        let refused = serve(&settings, true).unwrap_err().to_string();
        assert!(
            refused.contains("in use by another process") && refused.contains("127.0.0.1:0"),
            "{refused}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_address_that_a_server_of_the_same_database_has_is_told_with_that_server() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let lock = lock::Lock::take(&database).unwrap();
        lock.write_holder("http://127.0.0.1:1").unwrap();
        let settings = Settings { listen: taken.address(), database, ..Settings::default() };
        let refused = serve(&settings, true).unwrap_err().to_string();
        assert!(refused.contains("serves it at http://127.0.0.1:1"), "{refused}");
    }
}
