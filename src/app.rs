//! The only wiring: builds the parts, starts and stops them in order. [`Engine`] is the library's way in, [`serve`]
//! the server's; nothing else opens a store together with what works on it.

mod engine;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::server::Server;
use crate::http::{Service, routes};
use crate::limits;
use crate::store::StoreOptions;
use crate::store::open::Durability;

pub use engine::Engine;

/// What the settings say of the store.
pub fn store_options(settings: &Settings) -> StoreOptions {
    let durability = if settings.durability == "normal" { Durability::Normal } else { Durability::Full };
    StoreOptions {
        durability,
        readers: settings.readers,
        buffer_pool_bytes: settings.memory_mb << 20,
        seal_rows: settings.seal_rows,
    }
}

/// Serves the database until SIGINT or SIGTERM: `listening on http://…` is the first line on stdout. A second signal
/// ends the process at once.
///
/// # Errors
/// An address that is not of this machine alone, one that is in use, and the store's.
pub fn serve(settings: &Settings, no_auth: bool) -> Result<()> {
    if !settings.listen.ip().is_loopback() {
        return Err(Error::invalid(format!(
            "{} can be reached from other machines, and this version has no access control yet; \
             listen at a loopback address, such as --listen 127.0.0.1:{}",
            settings.listen,
            settings.listen.port()
        )));
    }
    let signals = signals()?;
    raise_handle_limit();
    let engine = Engine::open_with(&settings.database, store_options(settings))?;
    let service = Arc::new(Service::new(Arc::clone(&engine.store)));
    let handler = Arc::clone(&service);
    let server =
        Server::start(settings.listen, settings.workers, move |request| routes::answer(&handler, request))?;
    let address = format!("http://{}", server.address());
    engine.store.note_address(&address)?;
    announce(&address, no_auth);
    let ended = select! {
        recv(signals) -> _ => Ok(()),
        recv(server.failures()) -> failure => failure.map_or(Ok(()), Err),
    };
    tracing::info!("stopping");
    service.set_stopping();
    if !server.stop(Duration::from_secs(limits::STOP_S)) {
        tracing::warn!("requests were still running after {} s and get no answer", limits::STOP_S);
    }
    engine.close();
    ended
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
    fn durability_is_taken_by_its_name() {
        let of = |durability| store_options(&Settings { durability, ..Settings::default() }).durability;
        assert_eq!((of("full"), of("normal")), (Durability::Full, Durability::Normal));
    }
}
