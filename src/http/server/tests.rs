//! The server over real sockets: framings, limits, panics, and the stop.

use super::*;
use std::io::Write;
use std::net::TcpStream;

fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Server {
    Server::start(Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(), 4, handler).unwrap()
}

/// Answers with the method, the path and the length of the body.
fn echo(request: &Request) -> Response {
    let text = format!("{} {} {}", request.method.name(), request.path, request.body.len());
    Response::ok("text/plain", text.into_bytes())
}

/// Sends bytes, then reads until the server closes or is silent. The bytes ask it to close, so only a slow reply takes
/// long: a panic that prints its backtrace does.
fn exchange(server: &Server, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(message).unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

fn ask(server: &Server, head: &str, body: &[u8]) -> String {
    let mut message = format!("{head}\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes();
    message.extend_from_slice(body);
    exchange(server, &message)
}

#[test]
fn requests_come_whole_and_replies_have_a_length() {
    let server = start(echo);
    let reply = ask(&server, "POST /v1/x?a=1 HTTP/1.1\r\nContent-Length: 5", b"hello");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("POST /v1/x 5"), "{reply}");
    assert!(reply.contains("Content-Length: 12") && !reply.contains("chunked"), "{reply}");
    assert!(reply.contains("Cache-Control: no-store") && reply.contains("Server: windrow"), "{reply}");
    let chunked = b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n";
    let reply = ask(&server, "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked", chunked);
    assert!(reply.ends_with("POST /c 8"), "{reply}");
    let reply = ask(&server, "HEAD /h HTTP/1.1", b"");
    assert!(reply.contains("Content-Length: 9") && reply.ends_with("\r\n\r\n"), "{reply}");
    let large = vec![b'x'; 3 << 20];
    let reply = ask(&server, &format!("PUT /l HTTP/1.1\r\nContent-Length: {}", large.len()), &large);
    assert!(reply.ends_with(&format!("PUT /l {}", large.len())), "{reply}");
}

#[test]
fn a_large_reply_is_not_chunked() {
    let server = start(|_| Response::ok("text/plain", vec![b'x'; 100_000]));
    let reply = ask(&server, "GET / HTTP/1.1", b"");
    assert!(reply.contains("Content-Length: 100000") && !reply.contains("chunked"), "{}", &reply[..300]);
}

#[test]
fn framings_that_would_be_misread_are_refused() {
    let server = start(echo);
    for (headers, status) in [
        ("Content-Length: minus one", 400),
        ("Content-Length: +5", 400),
        ("Content-Length: 5\r\nContent-Length: 6", 400),
        ("Transfer-Encoding: gzip", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 99999999999999999999999999", 413),
    ] {
        let reply = ask(&server, &format!("POST / HTTP/1.1\r\n{headers}"), b"hello");
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {reply}");
        assert!(reply.contains("application/problem+json"), "{headers}: {reply}");
    }
}

#[test]
fn a_body_over_the_limit_is_413_before_it_is_read() {
    let server = start(echo);
    let length = limits::BODY_BYTES + 1;
    let reply = ask(&server, &format!("POST / HTTP/1.1\r\nContent-Length: {length}"), b"only the start");
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("64 MiB"), "{reply}");
}

#[test]
fn a_chunked_body_over_the_limit_is_413_and_the_connection_goes_on() {
    let server = start(echo);
    let piece = vec![b'x'; 1 << 20];
    let mut message = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=limits::BODY_BYTES >> 20 {
        message.extend_from_slice(b"100000\r\n");
        message.extend_from_slice(&piece);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"0\r\n\r\nGET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&message).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.ends_with("GET /after 0"), "{reply}");
}

#[test]
fn an_announced_terabyte_ends_nothing() {
    let server = start(echo);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\nsome").unwrap();
    let mut reply = String::new();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.read_to_string(&mut reply);
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("64 MiB"), "{reply}");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{reply}");
    drop(stream);
    assert!(ask(&server, "GET /alive HTTP/1.1", b"").ends_with("GET /alive 0"));
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_no_request() {
    let server = start(|request| {
        assert!(request.path == "/alive", "no handler sees half a body");
        echo(request)
    });
    for length in [100, 100_000] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nhalf").unwrap();
    }
    assert!(ask(&server, "GET /alive HTTP/1.1", b"").ends_with("GET /alive 0"));
}

#[test]
fn a_panic_in_a_handler_is_500_and_costs_no_worker() {
    let server = start(|request| if request.path == "/panic" { panic!("inside") } else { echo(request) });
    for _ in 0..10 {
        let reply = ask(&server, "GET /panic HTTP/1.1", b"");
        assert!(reply.starts_with("HTTP/1.1 500 ") && reply.contains("problem+json"), "{reply}");
        assert!(!reply.contains("inside the handler"), "{reply}");
    }
    assert!(ask(&server, "GET /alive HTTP/1.1", b"").ends_with("GET /alive 0"));
}

#[test]
fn a_wrong_target_is_a_problem() {
    let server = start(echo);
    for target in ["/x?where=%FF", "/x?a=1&a=2", "/x?%"] {
        let reply = ask(&server, &format!("GET {target} HTTP/1.1"), b"");
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("problem+json"), "{target}: {reply}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let server = start(echo);
    let refused = Listener::bind(server.address()).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains(&server.address().to_string()) && refused.contains("--listen"), "{refused}");
}

#[test]
fn a_stop_answers_what_is_in_flight_and_takes_nothing_more() {
    let server = start(|request| {
        std::thread::sleep(Duration::from_millis(300));
        echo(request)
    });
    let address = server.address();
    let idle = TcpStream::connect(address).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    assert!(server.stop(Duration::from_secs(5), || {}, Duration::ZERO), "all was answered");
    assert!(started.elapsed() < Duration::from_secs(2), "an idle connection holds nothing");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("GET /slow 0"), "{reply}");
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
    drop(idle);
}

#[test]
fn a_stop_waits_no_longer_than_its_deadline() {
    let server = start(|request| {
        std::thread::sleep(Duration::from_secs(3));
        echo(request)
    });
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    assert!(!server.stop(Duration::from_millis(100), || {}, Duration::ZERO));
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn connections_that_come_at_once_are_all_served_while_all_stay_open() {
    let server = start(echo);
    let mut clients: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"GET /here HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut start = [0; 12];
        let read = client.read_exact(&mut start);
        assert!(read.is_ok() && &start == b"HTTP/1.1 200", "connection {number}: {read:?}");
    }
    assert!(server.stop(Duration::from_secs(10), || {}, Duration::ZERO));
}
