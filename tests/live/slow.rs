//! Clients that do not read, break the protocol, or go: they cost nobody anything.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::client::{Events, Socket, until, values};
use crate::common::{Server, temp_dir};

/// One batch, of more than a socket takes.
fn batch(from: u64) -> String {
    (from..from + 100).map(|n| format!("{{\"n\":{n},\"t\":\"{}\"}}\n", "x".repeat(500))).collect()
}

#[test]
fn who_does_not_read_misses_something_and_delays_nobody() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":0}");
    let watched = [("dataset", "d")];
    let mut slow: Vec<Events> = (0..20).map(|_| Events::open(&server, &watched, &[])).collect();
    let mut slow_socket = Socket::open(&server, &watched, &[]);
    let mut healthy = Socket::open(&server, &watched, &[]);
    healthy.next();
    let (mut longest, mut seen, mut sent) = (Duration::ZERO, 0, 1);
    // more than the buffers of the system
    for _ in 0..30 {
        let begin = Instant::now();
        server.accepted("d", batch(sent));
        sent += 100;
        while seen < sent - 1 {
            seen = *values(&healthy.next(), "n").last().unwrap() as u64;
        }
        longest = longest.max(begin.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    // what 20 clients miss is not kept for them
    if server.peak_kib() > 0 {
        assert!(server.peak_kib() < 250 << 10, "{} KiB", server.peak_kib());
    }
    let newest = |told: &serde_json::Value| values(told, "n").last().copied().unwrap_or(-1) as u64;
    for events in &mut slow {
        events.next();
        let mut has_missed = false;
        loop {
            let told = events.next().unwrap().1;
            has_missed |= told.get("skipped").is_some();
            if newest(&told) == sent - 1 {
                break;
            }
        }
        assert!(has_missed);
    }
    slow_socket.next();
    while newest(&slow_socket.next()) != sent - 1 {}
}

#[test]
fn who_breaks_the_protocol_is_let_go() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":0}");
    let long = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[b'x'; 126]].concat();
    for (what, bytes) in [
        ("no mask", &[0x81, 0x01, b'x'][..]),
        ("a reserved code", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a reserved bit", &[0xc1, 0x80, 0, 0, 0, 0]),
        ("a long control frame", &long),
        ("more of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
        ("too large a frame", &[0x82, 0xfe, 0xff, 0xff, 0, 0, 0, 0]),
        ("2^63 bytes", &[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ("no UTF-8", &[0x81, 0x81, 0, 0, 0, 0, 0xff]),
        (
            "another request",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/html, */*\r\n\r\n",
        ),
    ] {
        let mut socket = Socket::open(&server, &[("dataset", "d")], &[]);
        socket.next();
        let (begin, stream) = (Instant::now(), socket.0.get_mut());
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}: {:?}", begin.elapsed());
        assert!(
            ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
            "{what}"
        );
        assert!(!rest.windows(5).any(|part| part == b"HTTP/"), "{what}");
    }
    // a stream takes nothing, however much it is
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    stream
        .write_all(b"GET /v1/live?dataset=d HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        .unwrap();
    let noise = vec![b'x'; 64 << 10];
    until("a stream that speaks ends", || stream.write_all(&noise).is_err());
    assert_eq!(server.get("/healthz").status, 200);
}

/// Descriptors come back, whoever goes how.
#[test]
fn who_goes_leaves_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":0}");
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, |entries| entries.count());
    let mut settled = descriptors();
    until("the server has opened what it will", || {
        std::thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut settled, descriptors()) == settled
    });
    for round in 0..3 {
        let mut sockets: Vec<Socket> =
            (0..60).map(|_| Socket::open(&server, &[("dataset", "d")], &[])).collect();
        let mut streams: Vec<Events> =
            (0..60).map(|_| Events::open(&server, &[("dataset", "d")], &[])).collect();
        server.accepted("d", "{\"n\":1}");
        for socket in &mut sockets {
            let _ = (socket.next(), socket.next());
        }
        for stream in &mut streams {
            let _ = (stream.next(), stream.next());
        }
        for (place, mut socket) in sockets.into_iter().enumerate() {
            if (place + round) % 2 == 0 {
                socket.0.close(None).unwrap();
                while socket.read().is_ok() {}
            }
        }
        drop(streams);
        until("all descriptors are back", || descriptors() <= settled);
    }
}
