//! A small blocking HTTP/1.1 client: one kept connection, any bytes as a body, replies by length or in chunks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A reply of a server that lives comes within this.
const PATIENCE: Duration = Duration::from_secs(120);

/// One client with one connection, opened when it is needed and kept.
pub struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    /// One request that must be answered.
    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.try_send(method, path, headers, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// One request; an error where the connection fails before the whole reply is here.
    pub fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply> {
        let mut message = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.exchange(message)
    }

    /// Sends bytes as they are and reads one reply.
    pub fn exchange(&mut self, message: Vec<u8>) -> Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        let mut writer = stream.get_ref().try_clone()?;
        if message.len() <= 64 * 1024 {
            writer.write_all(&message)?;
            let reply = read_reply(&mut stream)?;
            self.keep(stream, &reply);
            return Ok(reply);
        }
        // a server may refuse a large body before it has read it: reads while it writes
        let sending = thread::spawn(move || writer.write_all(&message));
        let reply = read_reply(&mut stream)?;
        for _ in 0..100 {
            if sending.is_finished() {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        if sending.is_finished() {
            self.keep(stream, &reply);
        } else {
            let _ = stream.get_ref().shutdown(Shutdown::Both);
        }
        Ok(reply)
    }

    fn keep(&mut self, stream: BufReader<TcpStream>, reply: &Reply) {
        let closes = reply.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        self.stream = (!closes).then_some(stream);
    }
}

/// Reads one reply of a request that is not HEAD.
pub fn read_reply(stream: &mut impl BufRead) -> Result<Reply> {
    loop {
        let head = line(stream)?;
        let status =
            head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("status line", &head))?;
        let mut headers = Vec::new();
        loop {
            let header = line(stream)?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').ok_or_else(|| bad("header", &header))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        if (100..200).contains(&status) {
            continue;
        }
        if reply.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
            reply.body = chunks(stream)?;
        } else if let Some(length) = reply.header("content-length") {
            reply.body = vec![0; length.parse().map_err(|_| bad("content-length", length))?];
            stream.read_exact(&mut reply.body)?;
        } else if status != 204 && status != 304 {
            stream.read_to_end(&mut reply.body)?;
        }
        return Ok(reply);
    }
}

fn chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|_| bad("chunk size", &size))?;
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(&mut body[start..])?;
        line(stream)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn bad(what: &str, text: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("malformed {what}: {text:?}"))
}

impl Reply {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {}", self.text()))
    }

    /// The body of a successful reply, as JSON.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// Fails unless this is a problem of that status in the form of RFC 9457; gives it with its `detail`.
    #[track_caller]
    pub fn problem(&self, status: u16) -> (Value, String) {
        assert_eq!(self.status, status, "{}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "content type {kind:?}: {}", self.text());
        let json = self.json();
        assert_eq!(json["status"], status, "{json}");
        assert!(json["type"].is_string(), "a problem has a type: {json}");
        assert!(json["title"].as_str().is_some_and(|t| !t.is_empty()), "a problem has a title: {json}");
        let detail = json["detail"].as_str().unwrap_or_default().to_owned();
        assert!(!detail.is_empty(), "a problem has a detail: {json}");
        (json, detail)
    }
}
