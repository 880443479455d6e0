//! What the guard costs: a small answer that is kept, asked for by 64 connections that stay open, from tiny_http as it is and
//! through the guard, in turns within one run.
//!
//! `cargo bench --bench edge` (`-- --quick` for a second a phase). The client shares the machine with the server, so it is as
//! cheap as it can be: requests are built beforehand, replies are hardly read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use windrow::cache::Cache;
use windrow::http::edge::Edge;
use windrow::http::guard::{Bounds, Entrance};
use windrow::http::listener::Listener;
use windrow::http::message::{Method, Request, Response};
use windrow::http::{Service, routes};
use windrow::proxies::Trusted;
use windrow::query::warm::WarmList;
use windrow::store::Store;
use windrow::{CacheOptions, Limits, StoreOptions};

const CONNECTIONS: usize = 64;
const WORKERS: usize = 64;
const ROUNDS: usize = 3;
/// Some 200 bytes, of a page of rows.
const TARGET: &str = "/v1/datasets/visits/rows?limit=2&fields=path,ms,user,country";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if !args.iter().any(|a| a == "--bench") {
        println!("nothing is measured without --bench; run: cargo bench --bench edge");
        return;
    }
    let time = Duration::from_secs(if args.iter().any(|a| a == "--quick") { 1 } else { 5 });
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("windrow.db"), StoreOptions::default()).unwrap());
    let cache = Cache::open(CacheOptions::beside(folder.path().join("windrow.db")));
    let limits = Limits { cache: Some(cache), ..Limits::default() };
    let warm = WarmList::of(None).unwrap();
    let service = Arc::new(Service::new(Arc::clone(&store), ([127, 0, 0, 1], 1).into(), limits, warm));
    for n in 0..10 {
        let mut request = Request::new(Method::Post, "/v1/datasets/visits/events").unwrap();
        request.body =
            format!("{{\"path\": \"/{n}\", \"ms\": {n}, \"user\": \"u{n}\", \"country\": \"DE\"}}")
                .into_bytes();
        assert_eq!(routes::answer(&service, &request).status, 200);
    }
    let fixed: Handler = Arc::new(|_| Response::ok("application/json", vec![b'x'; 200]));
    let whole: Handler = Arc::new(move |request| routes::answer(&service, request));
    for (name, handler) in [("a reply of 200 bytes", fixed), ("a page of rows of 200 bytes", whole)] {
        let (bare, guarded) = (start_bare(Arc::clone(&handler)), start_guarded(handler));
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            rates[0].push(requests_per_s(bare, time));
            rates[1].push(requests_per_s(guarded.1, time));
        }
        let [bare, guarded] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[ROUNDS / 2]
        });
        println!(
            "{name}: tiny_http {bare:.0}/s, through the guard {guarded:.0}/s, {:.2} of it",
            guarded / bare
        );
    }
}

type Handler = Arc<dyn Fn(&Request) -> Response + Send + Sync>;

/// tiny_http with a thread for each worker, as its documentation has it.
fn start_bare(handler: Handler) -> SocketAddr {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let address = server.server_addr().to_ip().unwrap();
    for _ in 0..WORKERS {
        let (server, handler) = (Arc::clone(&server), Arc::clone(&handler));
        thread::spawn(move || {
            while let Ok(incoming) = server.recv() {
                let request = Request::new(Method::of(incoming.method().as_str()), incoming.url()).unwrap();
                let body = handler(&request).body;
                let length = Some(body.len());
                let reply = tiny_http::Response::new(200.into(), Vec::new(), Cursor::new(body), length, None);
                let _ = incoming.respond(reply);
            }
        });
    }
    address
}

fn start_guarded(handler: Handler) -> (Edge, SocketAddr) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.address().unwrap();
    let bounds = Bounds { connections: 1_000, connections_per_address: 1_000, backends: WORKERS };
    let entrance = Entrance { listeners: vec![listener], bounds, trusted: Trusted::default() };
    (Edge::start(entrance, move |request| handler(request)).unwrap(), address)
}

/// Asks from all connections until the time is over.
fn requests_per_s(address: SocketAddr, time: Duration) -> f64 {
    // of connections that come at once tiny_http forgets some, so they come one by one
    let streams: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            ask(&mut stream, &mut [0; 4_096]);
            stream
        })
        .collect();
    let begin = Instant::now();
    let asked: usize = thread::scope(|scope| {
        let clients: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                scope.spawn(move || {
                    let (mut asked, mut buffer) = (0, [0; 4_096]);
                    while begin.elapsed() < time {
                        ask(&mut stream, &mut buffer);
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    asked as f64 / begin.elapsed().as_secs_f64()
}

/// One request and its reply, which is there when its length is.
fn ask(stream: &mut TcpStream, buffer: &mut [u8]) {
    stream.write_all(format!("GET {TARGET} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "closed in a reply");
        filled += read;
        let reply = &buffer[..filled];
        let Some(head) = memchr::memmem::find(reply, b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&reply[..head]).unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if filled == head + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}
