//! A request to the server that has the database, for verbs that are about what it holds in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::lock::Served;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a reply.
const REPLY_BYTES: u64 = 16 << 20;

/// Sends a request to a server and gives the body of its reply. Who may read the lock file may read the database, and is let in
/// for everything.
///
/// # Errors
/// It cannot be reached, or it refuses, in its words.
pub fn ask(server: &Served, method: &str, path: &str, body: &str) -> Result<String> {
    let address = &server.address;
    let host = address.trim_start_matches("http://");
    let failed = |e| Error::io(format!("cannot ask the server at {address}"), e);
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        server.pass,
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES).read_to_end(&mut reply).map_err(failed)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply
        .split_once("\r\n\r\n")
        .ok_or_else(|| Error::Internal(format!("the server at {address} answers in no words of HTTP")))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(body.to_owned());
    }
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or(body).to_owned();
    Err(Error::Conflict(format!("the server at {address} says: {detail}")))
}
