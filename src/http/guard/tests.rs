//! The guard with a server behind it, over real sockets: framings, limits, slow clients, panics, and the stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::http::edge::Edge;
use crate::http::message::{Request, Response};

/// A guard with a server behind it.
struct House(Edge, SocketAddr);

const BOUNDS: Bounds = Bounds { connections: 400, connections_per_address: 200, backends: 4 };

fn start_with(bounds: Bounds, handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> House {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address().unwrap();
    let entrance = Entrance { listeners: vec![listener], bounds, trusted: Trusted::default() };
    House(Edge::start(entrance, handler).unwrap(), address)
}

fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> House {
    start_with(BOUNDS, handler)
}

impl House {
    fn stop(self, grace: Duration) -> bool {
        self.0.stop(grace, || {}, Duration::ZERO)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.1).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends bytes, then reads until the server closes. The bytes ask it to close, or are refused.
    fn exchange(&self, message: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(message).unwrap();
        rest_of(&mut stream)
    }

    fn ask(&self, head: &str, body: &[u8]) -> String {
        let mut message = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
        message.extend_from_slice(body);
        self.exchange(&message)
    }
}

fn rest_of(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

/// Answers with the method, the path and the length of the body.
fn echo(request: &Request) -> Response {
    let text = format!("{} {} {}", request.method.name(), request.path, request.body.len());
    Response::ok("text/plain", text.into_bytes())
}

#[test]
fn requests_come_whole_and_replies_have_a_length() {
    let house = start(echo);
    let reply = house.ask("POST /v1/x?a=1 HTTP/1.1\r\nContent-Length: 5", b"hello");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("POST /v1/x 5"), "{reply}");
    assert!(reply.contains("Content-Length: 12") && !reply.contains("chunked"), "{reply}");
    assert!(reply.contains("Cache-Control: no-store") && reply.contains("Server: windrow"), "{reply}");
    assert!(reply.contains("Connection: close") && reply.contains("X-Request-Id: "), "{reply}");
    let chunked = b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n";
    let reply = house.ask("POST /c HTTP/1.1\r\nTransfer-Encoding: chunked", chunked);
    assert!(reply.ends_with("POST /c 8"), "{reply}");
    let reply = house.ask("HEAD /h HTTP/1.1", b"");
    assert!(reply.contains("Content-Length: 9") && reply.ends_with("\r\n\r\n"), "{reply}");
    let large = vec![b'x'; 3 << 20];
    let reply = house.ask(&format!("PUT /l HTTP/1.1\r\nContent-Length: {}", large.len()), &large);
    assert!(reply.ends_with(&format!("PUT /l {}", large.len())), "{reply}");
    let reply = house.exchange(b"GET /old HTTP/1.0\r\n\r\n");
    assert!(reply.ends_with("GET /old 0") && reply.contains("Connection: close"), "{reply}");
}

#[test]
fn a_connection_goes_on_and_requests_that_come_ahead_are_answered_in_their_order() {
    let house = start(echo);
    let ahead: String = (0..50)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nHost: x\r\nContent-Length: {n}\r\n\r\n{}", "b".repeat(n)))
        .collect();
    let message = format!("{ahead}GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    for piece in [1, 1_000, 100_000] {
        let mut stream = house.connect();
        stream.set_nodelay(true).unwrap();
        for piece in message.as_bytes().chunks(piece) {
            stream.write_all(piece).unwrap();
        }
        let replies = rest_of(&mut stream);
        let found: Vec<&str> =
            replies.split("HTTP/1.1 200 OK").skip(1).filter_map(|r| r.split("\r\n\r\n").nth(1)).collect();
        let wanted: Vec<String> =
            (0..50).map(|n| format!("POST /{n} {n}")).chain(["GET /last 0".to_owned()]).collect();
        assert_eq!(found, wanted);
    }
    let mut old = house.connect();
    for _ in 0..2 {
        old.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let mut reply = vec![0; 4_096];
        let read = old.read(&mut reply).unwrap();
        assert!(String::from_utf8_lossy(&reply[..read]).contains("Connection: keep-alive"));
    }
}

#[test]
fn a_large_reply_comes_whole_and_a_larger_one_is_refused() {
    let house = start(|request| {
        let bytes = request.parameter("bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        Response::ok("text/plain", vec![b'x'; bytes])
    });
    for bytes in [100_000, limits::REPLY_BYTES] {
        let reply = house.ask(&format!("GET /?bytes={bytes} HTTP/1.1"), b"");
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {bytes}")) && body.len() == bytes, "{head}");
    }
    let reply = house.ask(&format!("GET /?bytes={} HTTP/1.1", limits::REPLY_BYTES + 1), b"");
    assert!(reply.starts_with("HTTP/1.1 413") && reply.contains("windrow export"), "{reply}");
}

#[test]
fn what_is_refused_is_a_problem_and_ends_the_connection_before_the_next_request() {
    let house = start(|request| {
        assert!(request.path != "/smuggled", "nothing of a refused request is taken for another");
        echo(request)
    });
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for (headers, status) in [
        ("Content-Length: minus one", 400),
        ("Content-Length: 5\r\nContent-Length: 5", 400),
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 99999999999999999999999999", 413),
    ] {
        let message = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n{smuggled}");
        let reply = house.exchange(message.as_bytes());
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {reply}");
        assert!(reply.contains("application/problem+json") && reply.contains("Connection: close"), "{reply}");
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{reply}");
    }
    let reply = house.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(reply.contains("no HTTP request"), "{reply}");
}

#[test]
fn a_body_over_the_limit_is_413_before_it_is_read() {
    let house = start(echo);
    for length in ["67108865", "1099511627776", "4611686018427387904"] {
        let reply = house.ask(&format!("POST / HTTP/1.1\r\nContent-Length: {length}"), b"only the start");
        assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("64 MiB"), "{reply}");
    }
    let chunked = b"4000001\r\nonly the start";
    let reply = house.ask("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", chunked);
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
    let expecting = "POST / HTTP/1.1\r\nContent-Length: 67108865\r\nExpect: 100-continue";
    assert!(house.ask(expecting, b"").starts_with("HTTP/1.1 413 "), "without having to send it");
}

#[test]
fn who_waits_to_be_told_is_told_to_send_the_body() {
    let house = start(echo);
    let mut stream = house.connect();
    let head = "POST /w HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert!(rest_of(&mut stream).ends_with("POST /w 5"));
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_no_request() {
    let house = start(|request| {
        assert!(request.path == "/alive", "no handler sees half a body");
        echo(request)
    });
    for length in [100, 100_000] {
        let mut stream = house.connect();
        write!(stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhalf").unwrap();
    }
    assert!(house.ask("GET /alive HTTP/1.1", b"").ends_with("GET /alive 0"));
}

#[test]
fn a_client_that_goes_away_gives_its_question_up_and_one_that_only_ends_its_side_does_not() {
    let given_up = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&given_up);
    let house = start(move |request| {
        let begin = Instant::now();
        let wait = if request.path == "/long" { 20_000 } else { 300 };
        while begin.elapsed() < Duration::from_millis(wait) {
            if request.abandoned.load(Ordering::Relaxed) {
                counted.fetch_add(1, Ordering::SeqCst);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        echo(request)
    });
    let begin = Instant::now();
    for _ in 0..4 {
        let mut stream = house.connect();
        stream.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let mut half = house.connect();
    half.write_all(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(rest_of(&mut half).ends_with("GET /short 0"));
    while given_up.load(Ordering::SeqCst) < 4 {
        assert!(begin.elapsed() < Duration::from_secs(15), "nobody is told");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_panic_in_a_handler_is_500_and_costs_no_worker() {
    let house = start(|request| if request.path == "/panic" { panic!("inside") } else { echo(request) });
    for _ in 0..10 {
        let reply = house.ask("GET /panic HTTP/1.1", b"");
        assert!(reply.starts_with("HTTP/1.1 500 ") && reply.contains("problem+json"), "{reply}");
        assert!(!reply.contains("inside the handler"), "{reply}");
    }
    assert!(house.ask("GET /alive HTTP/1.1", b"").ends_with("GET /alive 0"));
}

#[test]
fn a_wrong_target_is_a_problem() {
    let house = start(echo);
    for target in ["/x?where=%FF", "/x?a=1&a=2", "/x?%"] {
        let reply = house.ask(&format!("GET {target} HTTP/1.1"), b"");
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("problem+json"), "{target}: {reply}");
    }
}

#[test]
fn an_address_has_so_many_connections_and_others_are_served_all_the_same() {
    let bounds = Bounds { connections_per_address: 3, ..BOUNDS };
    let house = start_with(bounds, echo);
    let mut first = house.connect();
    first.write_all(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut some = [0; 15];
    first.read_exact(&mut some).unwrap();
    let held = [house.connect(), house.connect()];
    let refused = house.ask("GET /fourth HTTP/1.1", b"");
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Retry-After"), "{refused}");
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&house.1.into()).unwrap();
    let mut other = TcpStream::from(other);
    other.write_all(b"GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert!(rest_of(&mut other).ends_with("GET /other 0"));
    drop(held);
    let begin = Instant::now();
    while !house.ask("GET /later HTTP/1.1", b"").ends_with("GET /later 0") {
        assert!(begin.elapsed() < Duration::from_secs(10), "connections that ended still count");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn where_all_connections_are_taken_those_without_a_request_make_room() {
    let house = start_with(Bounds { connections: 50, ..BOUNDS }, echo);
    let silent: Vec<TcpStream> = (0..50).map(|_| house.connect()).collect();
    for _ in 0..10 {
        assert!(house.ask("GET /here HTTP/1.1", b"").ends_with("GET /here 0"));
    }
    drop(silent);
}

#[test]
fn connections_that_come_at_once_are_all_served_while_all_stay_open() {
    let house = start(echo);
    let mut clients: Vec<TcpStream> = (0..100).map(|_| house.connect()).collect();
    for client in &mut clients {
        client.write_all(b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut start = [0; 12];
        let read = client.read_exact(&mut start);
        assert!(read.is_ok() && &start == b"HTTP/1.1 200", "connection {number}: {read:?}");
    }
    assert!(house.stop(Duration::from_secs(10)));
}

#[test]
fn who_asks_whether_the_server_lives_is_answered_while_all_others_wait() {
    let house = start(|request| {
        if request.path == "/slow" {
            std::thread::sleep(Duration::from_secs(2));
        }
        echo(request)
    });
    let mut slow: Vec<TcpStream> = (0..8).map(|_| house.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    assert!(house.ask("GET /healthz HTTP/1.1", b"").ends_with("GET /healthz 0"));
    assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
}

#[test]
fn a_stop_answers_what_is_in_flight_and_takes_nothing_more() {
    let (begins, begun) = crossbeam_channel::unbounded();
    let house = start(move |request| {
        let _ = begins.send(());
        std::thread::sleep(Duration::from_millis(300));
        echo(request)
    });
    let (address, idle, mut stream) = (house.1, house.connect(), house.connect());
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    begun.recv_timeout(Duration::from_secs(20)).expect("a worker has it");
    let started = Instant::now();
    let reader = std::thread::spawn(move || rest_of(&mut stream));
    assert!(house.stop(Duration::from_secs(5)), "all was answered");
    assert!(started.elapsed() < Duration::from_secs(4), "an idle connection holds nothing");
    let reply = reader.join().unwrap();
    assert!(reply.ends_with("GET /slow 0") && reply.contains("Connection: close"), "{reply}");
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    drop(idle);
}

#[test]
fn a_stop_waits_no_longer_than_its_deadline() {
    let (begins, begun) = crossbeam_channel::unbounded();
    let house = start(move |request| {
        let _ = begins.send(());
        std::thread::sleep(Duration::from_secs(3));
        echo(request)
    });
    let mut stream = house.connect();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    begun.recv_timeout(Duration::from_secs(20)).expect("a worker has it");
    let started = Instant::now();
    assert!(!house.stop(Duration::from_millis(100)));
    assert!(started.elapsed() < Duration::from_millis(2_500), "less than the request takes");
}
