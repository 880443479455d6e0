//! Addresses: the one that clients come to, and private sockets: between guard and server, and for the command line. An address is taken before anything
//! else is done, so whoever is refused has nothing to take back. `app` takes it, `guard` lets clients in there.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::{Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Error, Result};
use crate::http::certificate::Certificate;
use crate::http::guard::Door;
use crate::limits;

/// An address that is taken: from now on connections wait there until a guard lets them in.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Address(SocketAddr, Option<Box<Certificate>>),
    /// Removed when the listener goes.
    Socket(SocketFile),
}

/// A socket in the file system, gone with its owner.
#[derive(Debug)]
pub(super) enum SocketFile {
    Named(PathBuf),
    Private(#[expect(dead_code, reason = "is removed with it")] PrivateSocket),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Self::Named(path) = self {
            // what is gone already is as it should be
            let _ = fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Takes an address.
    ///
    /// # Errors
    /// The address is in use or none of this machine.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let refused = |e: io::Error| match e.kind() {
            io::ErrorKind::AddrInUse => Error::Conflict(format!(
                "{address} is in use by another process; stop that one, or name another address, such as --listen {} \
                 for any free port",
                SocketAddr::new(address.ip(), 0)
            )),
            _ => Error::io(format!("cannot listen at {address} (--listen names another address)"), e),
        };
        let socket = listen(address).map_err(refused)?;
        let bound = socket.local_addr().map_err(refused)?.as_socket();
        Ok(Self { socket, place: Place::Address(bound.unwrap_or(address), None) })
    }

    /// Has TLS spoken at an address, where there is a certificate for it.
    #[must_use]
    pub fn with_certificate(mut self, certificate: Option<Certificate>) -> Self {
        if let Place::Address(_, place) = &mut self.place {
            *place = certificate.map(Box::new);
        }
        self
    }

    /// Makes a private socket, for the command line of who runs the server, and says where it is.
    ///
    /// # Errors
    /// As of [`PrivateSocket::bind`].
    pub fn bind_private() -> Result<(Self, PathBuf)> {
        let (socket, listener) = PrivateSocket::bind()?;
        let path = socket.path.clone();
        Ok((Self { socket: listener.into(), place: Place::Socket(SocketFile::Private(socket)) }, path))
    }

    /// Makes a socket in the file system, for its owner alone; one that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// Somebody listens there, something else has the name, or the folder takes none.
    pub fn bind_socket(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = |e| Error::io(format!("cannot listen at {shown} (--socket names another place)"), e);
        if let Ok(there) = path.symlink_metadata() {
            if !there.file_type().is_socket() {
                return Err(Error::Conflict(format!(
                    "{shown} is there and no socket; name another place with --socket"
                )));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(Error::Conflict(format!(
                    "another process listens at {shown}; name another place with --socket"
                )));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.bind(&socket2::SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
        let file = SocketFile::Named(path.to_owned());
        // nobody is let in before
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        socket.listen(limits::LISTEN_BACKLOG).map_err(failed)?;
        Ok(Self { socket, place: Place::Socket(file) })
    }

    /// The address where it listens, with the port that the system chose; `None` for a socket in the file system.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Address(address, _) => Some(address),
            Place::Socket(_) => None,
        }
    }

    /// The door of a guard, of which a poll tells.
    pub(super) fn into_door(self, registry: &Registry, token: Token) -> io::Result<Door> {
        self.socket.set_nonblocking(true)?;
        let mut door = match self.place {
            Place::Address(_, certificate) => {
                Door::Tcp(mio::net::TcpListener::from_std(self.socket.into()), certificate)
            }
            Place::Socket(file) => Door::Unix(mio::net::UnixListener::from_std(self.socket.into()), file),
        };
        door.register(registry, token)?;
        Ok(door)
    }
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket)
}

/// How the folders of private sockets begin.
const FOLDER: &str = "windrow-";
/// Bytes of a path that a socket may have, on every system.
const SOCKET_PATH_BYTES: usize = 100;

/// The private socket: in a folder that nobody else may enter, and gone with it.
#[derive(Debug)]
pub struct PrivateSocket {
    folder: PathBuf,
    /// Where it is.
    pub path: PathBuf,
}

impl PrivateSocket {
    /// Makes the folder and the socket in it, and clears away what killed processes left of theirs.
    ///
    /// # Errors
    /// Neither the runtime folder nor the one for temporary files takes it.
    pub fn bind() -> Result<(Self, UnixListener)> {
        let runtime =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let mut failure = None;
        for parent in runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]) {
            clear(&parent);
            match Self::bind_in(&parent) {
                Ok(bound) => return Ok(bound),
                Err(e) => failure = Some((parent, e)),
            }
        }
        let (parent, e) = failure.unwrap_or_else(|| (PathBuf::new(), io::ErrorKind::NotFound.into()));
        let context =
            format!("cannot make a private socket in {} (TMPDIR names another folder)", parent.display());
        Err(Error::io(context, e))
    }

    fn bind_in(parent: &Path) -> io::Result<(Self, UnixListener)> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let folder = parent.join(format!("{FOLDER}{:016x}", u64::from_le_bytes(bytes)));
        let path = folder.join("socket");
        if path.as_os_str().len() > SOCKET_PATH_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is too long for a socket"));
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        let socket = Self { folder, path };
        let listener = UnixListener::bind(&socket.path)?;
        Ok((socket, listener))
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn remove(folder: &Path) {
    // the server behind may have removed its socket already; what stays the next start tries again
    let _ = fs::remove_file(folder.join("socket"));
    let _ = fs::remove_dir(folder);
}

/// Removes folders of ours in which nobody listens any more.
fn clear(parent: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(FOLDER)
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        let is_dead = |socket: &Path| match UnixStream::connect(socket) {
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => true,
            // one that is being made has no socket yet
            Err(e) if e.kind() == io::ErrorKind::NotFound => is_old(&entry),
            _ => false,
        };
        if is_ours && is_dead(&entry.path().join("socket")) {
            remove(&entry.path());
        }
    }
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
    changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = taken.address().unwrap();
        let refused = Listener::bind(address).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(&address.to_string()) && refused.contains("--listen"), "{refused}");
    }

    #[test]
    fn a_socket_in_the_file_system_is_for_its_owner_and_replaces_only_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windrow.sock");
        let first = Listener::bind_socket(&path).unwrap();
        assert_eq!((first.address(), path.metadata().unwrap().permissions().mode() & 0o777), (None, 0o600));
        let refused = Listener::bind_socket(&path).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("another process listens"), "{refused}");
        drop(first);
        assert!(!path.exists());
        // what a killed process leaves
        drop(UnixListener::bind(&path).unwrap());
        drop(Listener::bind_socket(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        let refused = Listener::bind_socket(&path).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("no socket") && fs::read(&path).unwrap() == b"precious", "{refused}");
    }

    #[test]
    fn a_private_socket_is_for_its_owner_alone_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let (socket, listener) = PrivateSocket::bind_in(parent.path()).unwrap();
        let mode = socket.folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        clear(parent.path());
        assert!(socket.path.exists(), "somebody listens");
        drop(listener);
        clear(parent.path());
        assert!(!socket.folder.exists(), "nobody does");
        let (socket, _listener) = PrivateSocket::bind_in(parent.path()).unwrap();
        drop(socket);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
