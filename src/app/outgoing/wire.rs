//! A way to another machine whose every wait ends in time: looking a name up, connecting, reading and writing are done in slices,
//! between which it is asked whether the job shall go on. What is connected to are the addresses that were looked at, and no name
//! is looked up a second time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use socket2::{Domain, Protocol, Socket, Type};

use crate::limits;

/// How long a wait is not interrupted.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// Look-ups that go on; the system gives no way to end one.
static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
/// What certificates are checked with, read when it is first needed.
static TLS: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);

/// Says when a wait is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch<'w> {
    /// The job shall not go on.
    pub ends: &'w AtomicBool,
    pub until: Instant,
}

impl Watch<'_> {
    fn check(&self) -> io::Result<()> {
        if self.ends.load(Ordering::Relaxed) {
            return Err(io::Error::other("the job was told to end"));
        }
        if Instant::now() >= self.until {
            return Err(io::Error::new(ErrorKind::TimedOut, "the time is over"));
        }
        Ok(())
    }

    fn within(self, time: Duration) -> Self {
        Self { until: self.until.min(Instant::now() + time), ..self }
    }

    fn slice(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).min(SLICE)
    }

    /// Waits until a socket can do something.
    fn wait(&self, socket: impl AsFd, flags: PollFlags) -> io::Result<()> {
        loop {
            self.check()?;
            if is_ready(&mut [PollFd::new(&socket, flags)], self.slice())? {
                return Ok(());
            }
        }
    }
}

/// Waits so long at most for one of some files to be ready.
pub(super) fn is_ready(files: &mut [PollFd<'_>], time: Duration) -> io::Result<bool> {
    // a wait of nothing would be none at all, again and again
    let ns = time.subsec_nanos().max(1_000_000);
    let time = Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: ns.into() };
    match poll(files, Some(&time)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// The addresses of a host.
pub(super) fn resolve(host: &str, port: u16, watch: Watch<'_>) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if LOOKUPS.fetch_add(1, Ordering::SeqCst) >= limits::OUTGOING_LOOKUPS {
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        return Err(io::Error::other(
            "too many names are being looked up; the servers of names do not answer",
        ));
    }
    let (send, found) = bounded(1);
    let name = host.to_owned();
    let spawned = std::thread::Builder::new().name("look-up".into()).stack_size(512 << 10).spawn(move || {
        let addresses = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        let _ = send.send(addresses);
    });
    if let Err(e) = spawned {
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        return Err(e);
    }
    loop {
        watch.check()?;
        match found.recv_timeout(watch.slice()) {
            Ok(addresses) => return addresses,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the look-up ended without a result"));
            }
        }
    }
}

/// A connected socket.
pub(super) struct Wire<'w> {
    stream: TcpStream,
    watch: Watch<'w>,
}

impl<'w> Wire<'w> {
    /// Connects to the first address that lets itself be.
    pub fn connect(addresses: &[SocketAddr], watch: Watch<'w>) -> io::Result<Self> {
        let each = limits::OUTGOING_CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failed = io::Error::other("its name has no address");
        for address in addresses {
            match open(*address, watch.within(each.max(Duration::from_secs(1)))) {
                Ok(stream) => return Ok(Self { stream, watch }),
                Err(e) => failed = io::Error::new(e.kind(), format!("cannot connect to {address}: {e}")),
            }
            watch.check()?;
        }
        Err(failed)
    }

    /// Speaks TLS from here on, with a server that has a certificate of that name.
    pub fn encrypt(self, host: &str) -> io::Result<StreamOwned<ClientConnection, Self>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(tls()?, name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, self))
    }
}

fn open(address: SocketAddr, watch: Watch<'_>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Err(e) = socket.connect(&address.into()) {
        let goes_on = e.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error());
        if !goes_on && e.kind() != ErrorKind::WouldBlock {
            return Err(e);
        }
        watch.wait(&socket, PollFlags::OUT)?;
        if let Some(e) = socket.take_error()? {
            return Err(e);
        }
    }
    Ok(socket.into())
}

/// The roots that this machine trusts.
fn tls() -> io::Result<Arc<ClientConfig>> {
    let mut kept = TLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = &*kept {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (count, _) = roots.add_parsable_certificates(found.certs);
    if count == 0 {
        let why = found.errors.first().map_or_else(String::new, |e| format!(" ({e})"));
        return Err(io::Error::other(format!(
            "this machine has no certificates that others are checked with{why}; install ca-certificates, or name a file of them \
             in SSL_CERT_FILE"
        )));
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::clone(kept.insert(Arc::new(config))))
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.watch.check()?;
            match self.stream.read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.watch.wait(&self.stream, PollFlags::IN)?
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.watch.check()?;
            match self.stream.write(bytes) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.watch.wait(&self.stream, PollFlags::OUT)?
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
