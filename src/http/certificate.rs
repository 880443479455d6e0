//! The certificate that the server shows to clients of TLS, and its key: read from their files at start, and again when these
//! change. Connections that are there go on with what they began with. `app` reads it, `guard` asks for it with every connection,
//! so there is no thread for it and an idle server looks at nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;

use crate::error::{Error, Result};
use crate::limits;

/// A certificate with its key, as the files have them, or had them last when they were of use.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    config: Arc<ServerConfig>,
    /// What the files were when they were read last, whatever came of it.
    seen: [Option<Stamp>; 2],
    looked: Instant,
}

/// What tells a file from the one that had its name before, and from itself before it was written. A symbolic link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    written: (i64, i64),
    /// Also when it only became readable.
    changed: (i64, i64),
}

impl Certificate {
    /// Reads a chain of certificates, the server's own first, and the key that belongs to it.
    ///
    /// # Errors
    /// A file that cannot be read or has not what it should have, naming it; a key that belongs to another certificate.
    pub fn read(chain: &Path, key: &Path) -> Result<Self> {
        let seen = [stamp(chain), stamp(key)];
        let config = config(chain, key)?;
        Ok(Self { chain: chain.to_owned(), key: key.to_owned(), config, seen, looked: Instant::now() })
    }

    /// What a connection that comes now begins with. Looks at the files at most once a second; what is of no use, as one of two
    /// files may be while they are replaced, is told in the log once, and leaves all as it was.
    pub fn current(&mut self, now: Instant) -> Arc<ServerConfig> {
        if now.saturating_duration_since(self.looked) >= Duration::from_secs(limits::CERTIFICATE_LOOK_S) {
            self.looked = now;
            // before they are read: what changes meanwhile is seen at the next look
            let seen = [stamp(&self.chain), stamp(&self.key)];
            if seen != std::mem::replace(&mut self.seen, seen) {
                self.read_again();
            }
        }
        Arc::clone(&self.config)
    }

    fn read_again(&mut self) {
        match config(&self.chain, &self.key) {
            Ok(config) => {
                self.config = config;
                tracing::info!("new connections get the new certificate of {}", self.chain.display());
            }
            Err(e) => tracing::warn!("the certificate in use stays, as the changed files are of no use: {e}"),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        bytes: meta.len(),
        written: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

fn config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let (chain_shown, key_shown) = (chain.display(), key.display());
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes_of(chain, "tls_certificate")?)
        .collect::<Result<_, _>>()
        .map_err(|e| Error::invalid(format!("{chain_shown} (tls_certificate) is no sound PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(Error::invalid(format!(
            "{chain_shown} (tls_certificate) has no certificate in the form of PEM (-----BEGIN CERTIFICATE-----); name the file \
             with the whole chain, the server's own certificate first, such as fullchain.pem"
        )));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes_of(key, "tls_key")?).map_err(|e| match e {
        pem::Error::NoItemsFound => Error::invalid(format!(
            "{key_shown} (tls_key) has no private key in the form of PEM (-----BEGIN PRIVATE KEY-----); name the key of the \
             certificate, such as privkey.pem; one with a passphrase is decrypted first, as by `openssl pkey`"
        )),
        e => Error::invalid(format!("{key_shown} (tls_key) is no sound PEM: {e}")),
    })?;
    let failed = |e| match e {
        rustls::Error::InconsistentKeys(_) => Error::invalid(format!(
            "the key in {key_shown} (tls_key) does not belong to the first certificate in {chain_shown} (tls_certificate); name \
             the two that were made together"
        )),
        rustls::Error::InvalidCertificate(e) => Error::invalid(format!(
            "the first certificate in {chain_shown} (tls_certificate) cannot be used: {e:?}; it has to be one of X.509, version 3"
        )),
        e => Error::invalid(format!(
            "the key in {key_shown} (tls_key) cannot be used: {e}; ECDSA of P-256 or P-384, Ed25519, and RSA from 2,048 bits are"
        )),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Internal(format!("TLS cannot be set up: {e}")))?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(limits::TLS_SESSIONS);
    // a client that comes back gets another one
    config.send_tls13_tickets = 1;
    warn_of_readers(key);
    Ok(Arc::new(config))
}

fn bytes_of(path: &Path, setting: &str) -> Result<Vec<u8>> {
    let failed = |e| {
        let advice = "name a file that is there and that the user who runs windrow can read";
        Error::io(format!("cannot read {} ({setting}; {advice})", path.display()), e)
    };
    // what is no file might never end, or keep us waiting
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limits::CERTIFICATE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits::CERTIFICATE_BYTES {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is larger than a mebibyte")));
    }
    Ok(bytes)
}

fn warn_of_readers(key: &Path) {
    let Ok(meta) = fs::metadata(key) else { return };
    if is_for_others(meta.mode(), meta.gid()) {
        tracing::warn!(
            "the private key {} can be read by others than its owner, who can then pass for this server; `chmod 600` keeps it to \
             its owner",
            key.display()
        );
    }
}

/// Whether a mode lets others read. The group of root has nobody who could not read it anyway, and the credentials of
/// systemd show its bits where an access list lets the service in.
fn is_for_others(mode: u32, group: u32) -> bool {
    mode & 0o004 != 0 || (mode & 0o040 != 0 && group != 0)
}

#[cfg(test)]
mod tests;
