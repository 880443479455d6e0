//! The server, from its address to its end. `windrow serve` and `windrow demo` go the same way: `Entrance::open` first,
//! because it changes nothing on disk, then the database, then `Entrance::serve`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::app::jobs::OwnJobs;
use crate::app::warm::Warmer;
use crate::app::{Engine, cache_options, store_options};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::http::access::Gate;
use crate::http::certificate::Certificate;
use crate::http::edge::Edge;
use crate::http::guard::{self, Bounds};
use crate::http::listener::Listener;
use crate::http::live::hub::Hub;
use crate::http::{Service, routes};
use crate::limits;
use crate::proxies::Trusted;
use crate::query::warm::WarmList;
use crate::store::keys::secret;
use crate::store::lock::{self, Served};
use crate::time;

/// Serves the database until SIGINT or SIGTERM: `listening on http://…`, or `https://…`, is the first line on stdout, a link that signs a browser
/// in the second one, unless anyone is let in. A second signal ends the process at once.
///
/// # Errors
/// An address that is not of this machine alone, one that is in use, a certificate that is of no use, and the store's.
pub fn serve(settings: &Settings, no_auth: bool) -> Result<()> {
    let entrance = Entrance::open(settings, no_auth)?;
    let cache = cache_options(settings)?;
    let jobs = OwnJobs::read(settings)?;
    let engine = Engine::open_with(&settings.database, store_options(settings))?;
    let engine = engine.with_limits(settings.into()).with_cache(cache);
    let engine = engine.with_own_jobs(settings, &jobs)?;
    let has_keys = engine.store.keys().iter().next().is_some();
    let ended = entrance.serve(&engine, settings, jobs.warm(), |address, link| {
        let is_safe = settings.listen.ip().is_loopback() || settings.tls.is_some();
        announce(address, is_safe, link, has_keys);
        Ok(())
    });
    engine.close();
    ended
}

/// What a server has before there is a database: its address, and the wait for the signals that end it.
pub(super) struct Entrance {
    no_auth: bool,
    /// Whether TLS is spoken at the address.
    is_encrypted: bool,
    /// The first is that of the setting `listen`.
    listeners: Vec<Listener>,
    address: SocketAddr,
    bounds: Bounds,
    trusted: Trusted,
    signals: Receiver<()>,
}

impl Entrance {
    /// Takes the address. Where that is refused, nothing was made or changed; connections that come before the database
    /// is open wait.
    pub(super) fn open(settings: &Settings, no_auth: bool) -> Result<Self> {
        check_address(settings.listen, no_auth)?;
        let certificate =
            settings.tls.as_ref().map(|(chain, key)| Certificate::read(chain, key)).transpose()?;
        let is_encrypted = certificate.is_some();
        let listener = Listener::bind(settings.listen).map_err(|refused| {
            // a server of the same database is the likely holder of the address, and says more
            lock::check_free(&settings.database).err().unwrap_or(refused)
        })?;
        let address = listener.address().unwrap_or(settings.listen);
        let socket = settings.socket.as_deref().map(Listener::bind_socket).transpose()?;
        let bounds = Bounds {
            connections: settings.connections,
            connections_per_address: settings.connections_per_address,
            backends: settings.workers,
        };
        let listener = listener.with_certificate(certificate);
        let listeners = [listener].into_iter().chain(socket).collect();
        Ok(Self {
            no_auth,
            is_encrypted,
            listeners,
            address,
            bounds,
            trusted: settings.trusted_proxies.clone(),
            signals: signals()?,
        })
    }

    /// Where it listens.
    fn address(&self) -> String {
        format!("{}://{}", if self.is_encrypted { "https" } else { "http" }, self.address)
    }

    /// Where a browser finds it: a certificate is of a name, which a browser compares.
    fn address_of_pages(&self, hosts: &[String]) -> String {
        match hosts.first().filter(|_| self.is_encrypted) {
            Some(name) => format!("https://{name}:{}", self.address.port()),
            None => self.address(),
        }
    }

    /// Answers requests until a signal ends it, or the system takes no more connections; the engine stays open.
    /// `announce` is called with the address, and a link that signs a browser in, as soon as requests are answered.
    pub(super) fn serve(
        self,
        engine: &Engine,
        settings: &Settings,
        warm: &Arc<WarmList>,
        announce: impl FnOnce(&str, Option<&str>) -> Result<()>,
    ) -> Result<()> {
        let bounds = self.bounds.within(raise_descriptor_limit());
        let address = self.address();
        let pass = format!("wo_{}", secret::token()?);
        let gate = Gate::new(self.address, &settings.hosts, self.no_auth).with_owner(&pass);
        let code = gate.sessions.draw_code(time::now())?;
        let pages = self.address_of_pages(&settings.hosts);
        let link = (!self.no_auth).then(|| format!("{pages}/signin?code={code}"));
        let store = Arc::clone(&engine.store);
        let service = Service::new(store, self.address, engine.limits(), Arc::clone(warm))
            .with_jobs(Arc::clone(&engine.jobs));
        let service = Arc::new(service.with_gate(gate).with_rate_limits(settings.rate_limits.clone()));
        let warmer = Warmer::start(engine, warm)?;
        let hub = Hub::start(Arc::clone(&service))?;
        let handler = Arc::clone(&service);
        let (own, socket) = Listener::bind_private()?;
        let listeners = self.listeners.into_iter().chain([own]).collect();
        let entrance = guard::Entrance { listeners, bounds, trusted: self.trusted };
        let edge = Edge::start(entrance, move |request| routes::answer(&handler, request))?;
        let served = Served { address: address.clone(), pass, socket: Some(socket) };
        let noted = engine.store.note_server(&served);
        let announced = noted.and_then(|()| announce(&address, link.as_deref()));
        let ended = announced.and_then(|()| {
            let (guard, server) = edge.failures();
            select! {
                recv(self.signals) -> _ => Ok(()),
                recv(guard) -> failure => failure.map_or(Ok(()), Err),
                recv(server) -> failure => failure.map_or(Ok(()), Err),
            }
        });
        tracing::info!("stopping");
        warmer.stop();
        service.set_stopping();
        let (grace, rest) = (Duration::from_secs(limits::STOP_S), Duration::from_secs(limits::CANCELLED_S));
        if !edge.stop(grace, || service.cancel_questions(), rest) {
            let waited = limits::STOP_S + limits::CANCELLED_S;
            tracing::warn!("requests were still running after {waited} s and get no answer");
        }
        hub.stop();
        service.gate.audit.close(&engine.store);
        ended
    }
}

/// Where anyone is let in, only this machine may reach it.
fn check_address(listen: SocketAddr, no_auth: bool) -> Result<()> {
    if listen.ip().is_loopback() || !no_auth {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{listen} can be reached from other machines, and with --no-auth everyone who reaches it would have all data; leave \
         --no-auth out and make keys with `windrow keys add`, or listen at a loopback address, such as --listen \
         127.0.0.1:{}",
        listen.port()
    )))
}

/// The link goes to stdout alone: a log is kept, and read by others.
fn announce(address: &str, is_safe: bool, link: Option<&str>, has_keys: bool) {
    let mut out = std::io::stdout().lock();
    let mut note = String::new();
    if let Some(link) = link {
        note.push_str(&format!("sign in, once and within 15 minutes: {link}\n"));
    }
    if link.is_some() && !has_keys {
        note.push_str("programs send a key, which `windrow keys add NAME --scope ingest` makes\n");
    }
    // who started the server may have closed its stdout: no reason not to serve
    let _ = write!(out, "listening on {address}\n{note}").and_then(|()| out.flush());
    tracing::info!("listening on {address}");
    if !is_safe {
        tracing::warn!(
            "keys and data are not encrypted on their way to {address}: set tls_certificate and tls_key, or have a proxy with TLS \
             stand before it"
        );
    }
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

/// Takes as many descriptors as the system allows, and gives their number.
fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let told = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: told.maximum, maximum: told.maximum });
    if let Err(e) = &raised {
        tracing::debug!("the limit on open files stays as it is: {e}");
    }
    let limit = if raised.is_ok() { told.maximum } else { told.current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_refused_where_anyone_is_let_in() {
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
            let settings = Settings { listen: listen.parse().unwrap(), ..Settings::default() };
            let refused = serve(&settings, true).unwrap_err().to_string();
            assert!(refused.contains("loopback") && refused.contains("--listen"), "{refused}");
            assert!(refused.contains("leave --no-auth out"), "{refused}");
            check_address(settings.listen, false).unwrap();
        }
    }

    #[test]
    fn an_address_in_use_is_refused_before_a_database_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let database = folder.path().join("a.db");
        let settings =
            Settings { listen: taken.address().unwrap(), database: database.clone(), ..Settings::default() };
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
        let served = Served { address: "http://127.0.0.1:1".into(), pass: String::new(), socket: None };
        lock.note_server(&served).unwrap();
        let settings = Settings { listen: taken.address().unwrap(), database, ..Settings::default() };
        let refused = serve(&settings, true).unwrap_err().to_string();
        assert!(refused.contains("serves it at http://127.0.0.1:1"), "{refused}");
    }
}
