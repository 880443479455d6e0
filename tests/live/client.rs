//! Clients that are told what is new.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::protocol::Role;
use tungstenite::{Error, Message, WebSocket};

use crate::common::websocket::{ACCEPT, begin, handshake};
use crate::common::{Server, encode};

/// More than any message takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// `/v1/live?…`, encoded.
pub fn path(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    format!("/v1/live?{}", pairs.join("&"))
}

/// The status and the rest of a reply that opens nothing.
pub fn refused(server: &Server, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let (mut stream, head) = begin(&server.address, path, &[&[("Connection", "close")], headers].concat());
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head + &body)
}

/// A WebSocket.
pub struct Socket(pub WebSocket<TcpStream>);

impl Socket {
    #[track_caller]
    pub fn open(server: &Server, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Self {
        let (stream, head) = begin(&server.address, &path(parameters), &handshake(headers));
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
        for line in ["Upgrade: websocket", "Connection: Upgrade", &format!("Sec-WebSocket-Accept: {ACCEPT}")]
        {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        Self(WebSocket::from_raw_socket(stream, Role::Client, None))
    }

    /// The next message, of whatever sort.
    pub fn read(&mut self) -> Result<Message, Error> {
        loop {
            match self.0.read()? {
                Message::Ping(_) => self.0.flush()?,
                other => return Ok(other),
            }
        }
    }

    /// The next message as JSON.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        match self.read() {
            Ok(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    /// The code of the farewell that comes next.
    #[track_caller]
    pub fn farewell(&mut self) -> u16 {
        match self.read() {
            Ok(Message::Close(Some(frame))) => frame.code.into(),
            other => panic!("no farewell: {other:?}"),
        }
    }
}

/// A stream of events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    #[track_caller]
    pub fn open(server: &Server, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Self {
        let headers = [&[("Accept", "text/event-stream")], headers].concat();
        let (stream, head) = begin(&server.address, &path(parameters), &headers);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
        Self(BufReader::new(stream))
    }

    /// The next event: its id and its data; `None` at the end.
    pub fn next(&mut self) -> Option<(Option<String>, Value)> {
        let (mut id, mut data) = (None, String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data.push_str(value),
                None if line == "\n" && !data.is_empty() => {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
                // a comment
                _ => assert!(line == "\n" || line.starts_with(':'), "{line:?}"),
            }
        }
    }
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The values of a field in the rows of a message.
pub fn values(message: &Value, field: &str) -> Vec<i64> {
    let rows = message["rows"].as_array().unwrap_or_else(|| panic!("no rows: {message}"));
    rows.iter().map(|row| row[field].as_i64().unwrap_or_else(|| panic!("no {field}: {row}"))).collect()
}
