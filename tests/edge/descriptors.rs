//! Few descriptors: the server takes fewer connections, and goes on by itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Server, temp_dir};
use crate::{connect_from, figures, settled};

#[test]
fn a_server_with_256_descriptors_outlives_a_thousand_connections() {
    let dir = temp_dir();
    let server = Server::start_limited(dir.path(), 256);
    server.accepted("events", "{\"n\":1}");
    let (before, _) = settled(&server);
    for round in 0..3 {
        let crowd: Vec<TcpStream> = (0..1_000u16)
            .filter_map(|n| {
                let source = Ipv4Addr::new(127, 1, 1 + round, 1 + (n % 200) as u8);
                let mut stream = connect_from(source, &server.address).ok()?;
                stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n");
                Some(stream)
            })
            .collect();
        let (most, ..) = figures(server.pid());
        assert!(most <= 256, "{most}");
        // a healthy client is served beside them
        assert_eq!(server.count("events"), 1 + u64::from(round));
        assert_eq!(server.accepted("events", "{\"n\":2}"), 1);
        drop(crowd);
    }
    let begin = Instant::now();
    while figures(server.pid()).0 > before + 8 {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{} descriptors, {before} before",
            figures(server.pid()).0
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(server.stop(), 0);
}
