//! A request to the server that has the database, for verbs that are about what it holds in memory. It goes by the private
//! socket that the server notes in the lock file, whatever is spoken at its address.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::store::lock::Served;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of a reply.
const REPLY_BYTES: u64 = 16 << 20;

/// As [`ask`], for replies that are JSON.
///
/// # Errors
/// As [`ask`].
pub fn asked(server: &Served, method: &str, path: &str, body: &str) -> Result<serde_json::Value> {
    let reply = ask(server, method, path, body)?;
    serde_json::from_str(&reply).map_err(|e| Error::Internal(format!("the server's reply is not JSON: {e}")))
}

/// Sends a request to a server and gives the body of its reply. Who may read the lock file may read the database, and is let in
/// for everything.
///
/// # Errors
/// It cannot be reached, or it refuses, in its words.
pub fn ask(server: &Served, method: &str, path: &str, body: &str) -> Result<String> {
    let address = &server.address;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        server.pass,
        body.len()
    );
    let reply = reply(server, &request)?;
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

/// The reply by the socket, or by the address, where that is not encrypted, of a server that has none which can be seen from
/// here: an older one, or one with a folder for temporary files of its own.
fn reply(server: &Served, request: &str) -> Result<Vec<u8>> {
    let by_socket = server.socket.as_ref().map(|path| (path, UnixStream::connect(path)));
    match (by_socket, server.address.strip_prefix("http://")) {
        (Some((path, Ok(stream))), _) => {
            let failed = |e| Error::io(format!("cannot ask the server at {}", path.display()), e);
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            exchange(stream, request).map_err(failed)
        }
        (_, Some(host)) => {
            let failed = |e| Error::io(format!("cannot ask the server at {}", server.address), e);
            let stream = TcpStream::connect(host).map_err(failed)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
            exchange(stream, request).map_err(failed)
        }
        (Some((path, Err(e))), None) => {
            let advice = "have it run with a folder in XDG_RUNTIME_DIR that this user reaches too";
            let context = format!(
                "cannot ask the server at {} by its socket {} ({advice})",
                server.address,
                path.display()
            );
            Err(Error::io(context, e))
        }
        (None, None) => {
            Err(Error::Internal(format!("the server at {} noted no socket to come in by", server.address)))
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES).read_to_end(&mut reply)?;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const REPLY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

    fn older(address: String) -> Served {
        Served { address, pass: "pass".into(), socket: None }
    }

    #[test]
    fn a_server_that_noted_no_socket_is_asked_at_its_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = older(format!("http://{}", listener.local_addr().unwrap()));
        let gone = Served { socket: Some("/nowhere/windrow/socket".into()), ..server.clone() };
        let answering = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4_096];
                let read = stream.read(&mut head).unwrap();
                assert!(String::from_utf8_lossy(&head[..read]).contains("Bearer pass"));
                stream.write_all(REPLY.as_bytes()).unwrap();
            }
        });
        for server in [server, gone] {
            assert_eq!(ask(&server, "GET", "/v1/cache", "").unwrap(), "{}");
        }
        answering.join().unwrap();
    }

    #[test]
    fn a_server_of_tls_is_asked_by_its_socket_alone() {
        let server = older("https://127.0.0.1:1".into());
        assert!(ask(&server, "GET", "/", "").unwrap_err().to_string().contains("no socket"));
        let gone = Served { socket: Some("/nowhere/windrow/socket".into()), ..server };
        let refused = ask(&gone, "GET", "/", "").unwrap_err().to_string();
        assert!(
            refused.contains("/nowhere/windrow/socket") && refused.contains("XDG_RUNTIME_DIR"),
            "{refused}"
        );
    }
}
