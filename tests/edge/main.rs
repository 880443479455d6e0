//! The server on an open network: clients that are slow, many, broken or hostile cost nobody but themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod descriptors;
mod hostile;
mod proxies;
mod slow;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// A number from the environment, for longer runs than the usual one.
fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A connection to a server of this machine from an address of the loopback network.
fn connect_from(source: Ipv4Addr, address: &str) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::V4(SocketAddrV4::new(source, 0)).into())?;
    socket.connect(&address.parse::<SocketAddr>().unwrap().into())?;
    Ok(socket.into())
}

/// Sends bytes and reads until the server closes or is silent for a moment.
fn exchange(address: &str, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // a refusal may come, and the connection end, before all is sent
    let _ = stream.write_all(message);
    let (mut reply, mut some) = (Vec::new(), [0; 16 << 10]);
    loop {
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(read) => reply.extend_from_slice(&some[..read]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&reply).into_owned()
}

/// Descriptors and threads of a server once it has opened what it will have open.
fn settled(server: &common::Server) -> (usize, u64) {
    let (mut before, begin) = (figures(server.pid()), Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = figures(server.pid());
        if (now.0, now.1) == (before.0, before.1) {
            return (now.0, now.1);
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "it opens more and more: {now:?}");
        before = now;
    }
}

/// What the system tells of a process: descriptors, threads, resident memory in KiB.
fn figures(pid: u32) -> (usize, u64, u64) {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (descriptors, number("Threads:"), number("VmRSS:"))
}
