//! TLS at a guard with a server behind it: records in all sizes, replies that are taken late, ends with and without a word, and
//! clients that speak something else.

use std::net::{SocketAddr, TcpStream as Socket};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::*;
use crate::http::certificate::Certificate;
use crate::http::edge::Edge;
use crate::http::guard::{Bounds, Entrance};
use crate::http::listener::Listener;
use crate::http::message::{Request, Response};
use crate::proxies::Trusted;

/// A guard that speaks TLS, with a server behind it that answers with what it was asked.
struct House {
    edge: Edge,
    address: SocketAddr,
    roots: RootCertStore,
    _folder: tempfile::TempDir,
}

type Secure = StreamOwned<ClientConnection, Socket>;

impl House {
    fn new(connections_per_address: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let [chain, key]: [PathBuf; 2] = ["chain", "key"].map(|name| folder.path().join(name));
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.address().unwrap();
        let listeners = vec![listener.with_certificate(Some(Certificate::read(&chain, &key).unwrap()))];
        let bounds = Bounds { connections: 400, connections_per_address, backends: 4 };
        let entrance = Entrance { listeners, bounds, trusted: Trusted::default() };
        Self { edge: Edge::start(entrance, answer).unwrap(), address, roots, _folder: folder }
    }

    fn plain(&self) -> Socket {
        let stream = Socket::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn session(&self) -> ClientConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
    }

    fn connect(&self) -> Secure {
        StreamOwned::new(self.session(), self.plain())
    }

    fn ask(&self, target: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(last(target).as_bytes()).unwrap();
        rest_of(&mut stream)
    }
}

fn answer(request: &Request) -> Response {
    let bytes = request.parameter("bytes").and_then(|bytes| bytes.parse().ok());
    let text = format!("{} {} {}", request.path, request.body.len(), request.is_secure);
    Response::ok("text/plain", bytes.map_or(text.into_bytes(), |bytes: usize| vec![b'x'; bytes]))
}

fn last(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

/// Reads to the end; a connection that is cut off without the farewell of TLS fails.
fn rest_of(stream: &mut impl Read) -> String {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

#[test]
fn a_request_by_tls_is_known_as_such_and_the_end_is_told() {
    let house = House::new(200);
    let reply = house.ask("/here");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("/here 0 true"), "{reply}");
    let mut stream = house.connect();
    stream.write_all(last("/").as_bytes()).unwrap();
    rest_of(&mut stream);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_large_reply_reaches_a_client_that_begins_late_to_take_it_and_so_does_the_end() {
    let house = House::new(200);
    let mut stream = house.connect();
    socket2::SockRef::from(&stream.sock).set_recv_buffer_size(256 << 10).unwrap();
    let (bytes, target) = (12 << 20, "/?bytes=12582912");
    stream.write_all(last(target).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let reply = rest_of(&mut stream);
    assert_eq!(reply.split_once("\r\n\r\n").unwrap().1.len(), bytes);
}

#[test]
fn a_large_body_comes_whole_on_a_connection_that_goes_on() {
    let house = House::new(200);
    let mut stream = house.connect();
    for length in [0, 1, 16_384, 16_385, 5 << 20] {
        write!(stream, "PUT /{length} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").unwrap();
        stream.write_all(&vec![b'b'; length]).unwrap();
        let mut reply = Vec::new();
        let wanted = format!("\r\n\r\n/{length} {length} true");
        while !reply.ends_with(wanted.as_bytes()) {
            let mut some = [0; 4_096];
            let read = stream.read(&mut some).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&reply));
            reply.extend_from_slice(&some[..read]);
        }
    }
}

#[test]
fn requests_in_one_record_are_all_answered_in_their_order() {
    let house = House::new(200);
    let mut stream = house.connect();
    let ahead: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    stream.write_all((ahead + &last("/last")).as_bytes()).unwrap();
    let replies = rest_of(&mut stream);
    let found: Vec<&str> =
        replies.split("HTTP/1.1 200 OK").skip(1).filter_map(|reply| reply.split("\r\n\r\n").nth(1)).collect();
    let wanted: Vec<String> =
        (0..50).map(|n| format!("/{n} 0 true")).chain(["/last 0 true".to_owned()]).collect();
    assert_eq!(found, wanted);
}

#[test]
fn records_that_come_byte_by_byte_are_read() {
    let house = House::new(200);
    let (mut stream, mut session) = (house.plain(), house.session());
    session.writer().write_all(last("/slow").as_bytes()).unwrap();
    let mut reply = Vec::new();
    loop {
        let mut records = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut records).unwrap();
        }
        for byte in records {
            stream.write_all(&[byte]).unwrap();
        }
        if session.read_tls(&mut stream).unwrap() == 0 {
            break;
        }
        session.process_new_packets().unwrap();
        match session.reader().read_to_end(&mut reply) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            ended => {
                ended.unwrap();
                break;
            }
        }
    }
    assert!(String::from_utf8(reply).unwrap().ends_with("/slow 0 true"));
}

#[test]
fn who_speaks_plain_http_is_told_to_use_https() {
    let house = House::new(200);
    for request in [last("/"), "POST / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000), "P".to_owned()] {
        let mut stream = house.plain();
        stream.write_all(request.as_bytes()).unwrap();
        let reply = rest_of(&mut stream);
        assert!(reply.starts_with("HTTP/1.1 400") && reply.contains("https://"), "{reply}");
        assert!(reply.contains("problem+json") && reply.contains("Connection: close"), "{reply}");
        assert!(reply.matches("HTTP/1.1").count() == 1, "{reply}");
    }
}

/// What begins a handshake of TLS 1.1, as its last clients did.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0x00, 0x2f, 1, 0]);
    let length = hello.len() as u8;
    [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length], &hello[..]].concat()
}

#[test]
fn who_speaks_neither_or_an_old_tls_gets_an_alert_and_the_end() {
    let house = House::new(200);
    for (what, bytes) in [
        ("noise", vec![0xff; 100]),
        ("much noise", vec![0x80; 300_000]),
        ("a record that is too long", vec![0x16, 3, 1, 0xff, 0xff, 0]),
        ("data before the handshake", vec![0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5]),
        ("TLS 1.1", old_hello()),
    ] {
        let mut stream = house.plain();
        // the refusal may come before all is sent
        let _ = stream.write_all(&bytes);
        let mut told = Vec::new();
        stream.read_to_end(&mut told).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((told.first(), told.len()), (Some(&0x15), 7), "{what}: {told:?}");
        assert_eq!(told[5], 2, "{what}: a fatal one");
        assert!(house.ask("/other").ends_with("/other 0 true"), "nobody else notices");
    }
}

#[test]
fn a_session_that_is_spoiled_in_the_middle_gets_an_alert_and_no_request_of_it_is_answered() {
    let house = House::new(200);
    let mut stream = house.connect();
    stream.write_all(b"PUT /half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    stream.sock.write_all(&[0x17, 3, 3, 0, 30]).unwrap();
    stream.sock.write_all(&[9; 30]).unwrap();
    let failure = stream.read(&mut [0; 100]).unwrap_err().to_string();
    assert!(failure.contains("BadRecordMac"), "{failure}");
}

#[test]
fn a_request_that_was_cut_off_is_none() {
    let house = House::new(200);
    for farewell in [true, false] {
        let mut stream = house.connect();
        stream.write_all(b"PUT /half HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        if farewell {
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest_of(&mut stream), "", "farewell {farewell}");
    }
    assert!(house.ask("/other").ends_with("/other 0 true"));
}

#[test]
fn an_address_that_has_all_it_may_is_closed_without_a_handshake() {
    let house = House::new(2);
    let mut first = house.connect();
    write!(first, "GET /first HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    first.read_exact(&mut [0; 15]).unwrap();
    let second = house.plain();
    let mut third = house.connect();
    assert!(third.write_all(last("/third").as_bytes()).and_then(|()| third.read(&mut [0])).is_err());
    drop((first, second));
    let begin = Instant::now();
    loop {
        let mut later = house.connect();
        if later.write_all(last("/later").as_bytes()).is_ok() {
            assert!(rest_of(&mut later).ends_with("/later 0 true"));
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "connections that ended still count");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_waits_to_be_told_is_told_to_send_the_body() {
    let house = House::new(200);
    let mut stream = house.connect();
    let head = "POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert!(rest_of(&mut stream).ends_with("/w 5 true"));
}

#[test]
fn a_connection_that_ends_without_a_request_is_told_so() {
    let house = House::new(200);
    let mut stream = house.connect();
    write!(stream, "GET /first HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut some = vec![0; 4_096];
    let read = stream.read(&mut some).unwrap();
    assert!(some[..read].starts_with(b"HTTP/1.1 200"));
    assert!(house.edge.stop(Duration::from_secs(5), || {}, Duration::ZERO));
    assert_eq!(rest_of(&mut stream), "");
}
