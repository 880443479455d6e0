//! How fast events get in over HTTP, durably: batches, single events from many connections, single events from one,
//! and beside them what SQLite alone does with one commit per row on the same disk.
//!
//! `cargo bench --bench http_load` (`-- --quick` for one second a phase). The client shares the machine with the
//! server, so it is as cheap as it can be: requests are built beforehand, replies are hardly read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use common::{Lcg, Server};

const BATCH: usize = 1_000;
const BATCH_CONNECTIONS: usize = 2;
const MANY_CONNECTIONS: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if !args.iter().any(|a| a == "--bench") {
        println!("nothing is measured without --bench; run: cargo bench --bench http_load");
        return;
    }
    let quick = args.iter().any(|a| a == "--quick");
    let seconds = |usual: u64| Duration::from_secs(if quick { 1 } else { usual });

    // on the disk of the build, not in a temporary directory that may be memory
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on disk");
    let server = Server::start(dir.path(), &[]);

    let (lines, bytes_per_event) = batch_requests(&server.address, false);
    let lines = run(&server, &lines, BATCH_CONNECTIONS, BATCH, seconds(5));
    let (arrays, _) = batch_requests(&server.address, true);
    let arrays = run(&server, &arrays, BATCH_CONNECTIONS, BATCH, seconds(5));
    let (batches, _) = batch_requests(&server.address, false);
    let batches = run(&server, &batches, MANY_CONNECTIONS, BATCH, seconds(5));
    let singles = single_requests(&server.address);
    let many = run(&server, &singles, MANY_CONNECTIONS, 1, seconds(5));
    let one = run(&server, &singles, 1, 1, seconds(3));

    let sent = lines.events + arrays.events + batches.events + many.events + one.events;
    assert_eq!(server.count("load"), sent, "every acknowledged event is there");
    let peak_mib = server.peak_kib() / 1024;
    assert_eq!(server.stop(), 0);
    let sqlite_per_s = sqlite_commits_per_s(dir.path(), seconds(3));

    println!("events of {bytes_per_event} bytes; {sent} acknowledged and found; server peak {peak_mib} MiB");
    println!("{:<44}{:>12}{:>12}{:>10}{:>10}", "", "requests/s", "events/s", "p50 ms", "p99 ms");
    lines.print(&format!("a  {BATCH_CONNECTIONS} connections, NDJSON of {BATCH}"));
    arrays.print(&format!("a' {BATCH_CONNECTIONS} connections, arrays of {BATCH}"));
    batches.print(&format!("a\" {MANY_CONNECTIONS} connections, NDJSON of {BATCH}"));
    many.print(&format!("b  {MANY_CONNECTIONS} connections, one event a request"));
    one.print("c  1 connection, one event a request");
    println!("{:<44}{sqlite_per_s:>12.0}", "d  SQLite alone, WAL, FULL, one row a commit");
    println!(
        "b/c {:.1}   b/d {:.1}",
        many.requests_per_s() / one.requests_per_s(),
        many.requests_per_s() / sqlite_per_s
    );
}

/// What one phase did.
struct Phase {
    requests: u64,
    events: u64,
    elapsed: Duration,
    /// Microseconds of each request, sorted.
    latencies: Vec<u32>,
}

impl Phase {
    fn requests_per_s(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let at = (quantile * self.latencies.len() as f64).ceil() as usize;
        f64::from(self.latencies[at.max(1) - 1]) / 1_000.0
    }

    fn print(&self, name: &str) {
        let events_per_s = self.events as f64 / self.elapsed.as_secs_f64();
        let (p50, p99) = (self.quantile_ms(0.5), self.quantile_ms(0.99));
        println!("{name:<44}{:>12.0}{events_per_s:>12.0}{p50:>10.2}{p99:>10.2}", self.requests_per_s());
    }
}

/// Sends prebuilt requests from so many connections until the time is over.
fn run(
    server: &Server,
    requests: &[Vec<u8>],
    connections: usize,
    events_each: usize,
    time: Duration,
) -> Phase {
    let started = Instant::now();
    let latencies: Vec<u32> = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|connection| {
                scope.spawn(move || {
                    let stream = TcpStream::connect(&server.address).expect("the server listens");
                    send(stream, requests, connection, started, time)
                })
            })
            .collect();
        clients.into_iter().flat_map(|c| c.join().expect("a client ends")).collect()
    });
    let elapsed = started.elapsed();
    let requests = latencies.len() as u64;
    let mut latencies = latencies;
    latencies.sort_unstable();
    Phase { requests, events: requests * events_each as u64, elapsed, latencies }
}

fn send(
    mut stream: TcpStream,
    requests: &[Vec<u8>],
    first: usize,
    started: Instant,
    time: Duration,
) -> Vec<u32> {
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; 16 * 1024];
    // each connection begins elsewhere in the list
    let mut at = first * requests.len() / MANY_CONNECTIONS;
    while started.elapsed() < time {
        let sent = Instant::now();
        stream.write_all(&requests[at % requests.len()]).expect("the server reads");
        read_reply(&mut stream, &mut buffer);
        latencies.push(sent.elapsed().as_micros() as u32);
        at += 1;
    }
    latencies
}

/// Reads one reply to its end and fails unless it is a 200 that rejected nothing.
fn read_reply(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).expect("the server answers");
        assert!(read > 0, "closed in a reply: {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        let reply = &buffer[..filled];
        let Some(head) = find(reply, b"\r\n\r\n") else { continue };
        let body = &reply[head + 4..];
        let complete = match content_length(&reply[..head]) {
            Some(length) => body.len() == length,
            None => body.ends_with(b"0\r\n\r\n"),
        };
        if complete {
            let text = || String::from_utf8_lossy(reply).into_owned();
            assert!(reply.get(9..12) == Some(b"200"), "{}", text());
            assert!(find(body, b"\"message\"").is_none(), "{}", text());
            return;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|w| w == wanted)
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).expect("a head is ASCII");
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    })
}

/// One page view as a small site sends it, as JSON of some 300 bytes.
fn event(random: &mut Lcg) -> String {
    let project = random.pick(&["docs", "shop", "blog", "app"]);
    let name = random.pick(&["pageview", "pageview", "pageview", "click", "signup"]);
    let path =
        format!("/{}/{}", random.pick(&["guide", "reference", "product", "post"]), random.below(2_000));
    let referrer = random.pick(&["", "https://search.example/", "https://news.example/item"]);
    let country = random.pick(&["DE", "FR", "US", "GB", "IN", "BR", "JP", "PL"]);
    let browser = random.pick(&["Firefox", "Chrome", "Safari", "Edge"]);
    let os = random.pick(&["Linux", "Windows", "macOS", "Android", "iOS"]);
    let device = random.pick(&["desktop", "phone", "tablet"]);
    json!({
        "project": project, "name": name, "path": path, "referrer": referrer, "country": country,
        "browser": browser, "os": os, "device": device,
        "user_id": format!("u{:06}", random.below(50_000)),
        "session_id": format!("{:08x}{:08x}", random.next(), random.next()),
        "duration_ms": random.below(60_000), "value": random.below(100_000) as f64 / 100.0,
        "props": { "plan": random.pick(&["free", "pro", "team"]), "ver": format!("1.{}.0", random.below(40)) },
    })
    .to_string()
}

fn request(address: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/datasets/load/events HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Requests of a batch each, and the mean size of their events.
fn batch_requests(address: &str, arrays: bool) -> (Vec<Vec<u8>>, usize) {
    let mut random = Lcg(1);
    let mut bytes = 0;
    let requests: Vec<_> = (0..32)
        .map(|_| {
            let events: Vec<_> = (0..BATCH).map(|_| event(&mut random)).collect();
            bytes += events.iter().map(String::len).sum::<usize>();
            if arrays {
                request(address, "application/json", &format!("[{}]", events.join(",")))
            } else {
                request(address, "application/x-ndjson", &(events.join("\n") + "\n"))
            }
        })
        .collect();
    (requests, bytes / (32 * BATCH))
}

fn single_requests(address: &str) -> Vec<Vec<u8>> {
    let mut random = Lcg(2);
    (0..4_096).map(|_| request(address, "application/json", &event(&mut random))).collect()
}

/// One-row transactions a second of SQLite in this process, with the durability that the server promises.
fn sqlite_commits_per_s(dir: &Path, time: Duration) -> f64 {
    let sqlite = rusqlite::Connection::open(dir.join("baseline.db")).unwrap();
    sqlite.pragma_update(None, "journal_mode", "wal").unwrap();
    sqlite.pragma_update(None, "synchronous", "full").unwrap();
    sqlite.execute_batch("CREATE TABLE event (id INTEGER PRIMARY KEY, body TEXT NOT NULL)").unwrap();
    let mut insert = sqlite.prepare("INSERT INTO event (body) VALUES (?1)").unwrap();
    let bodies: Vec<_> = (0..1_000).map(|n| event(&mut Lcg(n))).collect();
    let started = Instant::now();
    let mut commits = 0;
    while started.elapsed() < time {
        insert.execute([&bodies[commits % bodies.len()]]).unwrap();
        commits += 1;
    }
    commits as f64 / started.elapsed().as_secs_f64()
}
