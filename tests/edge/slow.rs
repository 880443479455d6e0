//! Thousands of clients that dribble: a byte a second of a head, of a body, or of a reply that they take. Someone healthy beside
//! them notices nothing, and afterwards everything is as it was.
//!
//! 600 of them for five seconds by default, beside other tests; `WINDROW_SLOW_CLIENTS` and `WINDROW_SLOW_SECONDS` say how many, and
//! for how long. Where they are said the machine is ours, and the healthy client's times are held to what is promised.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Server, temp_dir};
use crate::{connect_from, figures, setting, settled};

/// Time in which descriptors and threads are back where they were.
const BACK: Duration = Duration::from_secs(30);
/// What the healthy client may wait, in 99 of 100 cases.
const P99: Duration = Duration::from_millis(250);
/// The same where other tests have the machine too: still less than any slow client's time.
const P99_BESIDE_OTHERS: Duration = Duration::from_secs(3);
const MEMORY_KIB: u64 = 300 << 10;

const HEAD: &[u8] =
    b"GET /v1/datasets/events/rows?limit=100 HTTP/1.1\r\nHost: windrow\r\nUser-Agent: slow, and slower\r\n";
const BODY: &[u8] =
    b"POST /v1/datasets/slow/events HTTP/1.1\r\nHost: windrow\r\nContent-Length: 100000\r\n\r\n{\"n\": \"";
/// Some 400 KB, cheap to make: what is tested is that it is taken slowly.
const READ: &[u8] = b"GET /v1/datasets/long/rows?limit=100 HTTP/1.1\r\nHost: windrow\r\n\r\n";
/// Clients that come in a second: fewer than make a flood, which is not what is tested.
fn come_per_s(count: usize) -> usize {
    (count / 8).min(600)
}

fn p99_max() -> Duration {
    if std::env::var_os("WINDROW_SLOW_CLIENTS").is_some() { P99 } else { P99_BESIDE_OTHERS }
}

struct Slow {
    stream: TcpStream,
    sort: usize,
    sent: usize,
}

impl Slow {
    /// Connects and sends what a slow client of its sort sends at once.
    fn begin(number: usize, source: Ipv4Addr, address: &str) -> std::io::Result<Self> {
        let sort = number % 3;
        let mut stream = connect_from(source, address)?;
        // little is on its way to who does not read
        socket2::SockRef::from(&stream).set_recv_buffer_size(4 << 10)?;
        stream.set_nonblocking(true)?;
        let at_once = [&HEAD[..1], BODY, READ][sort];
        stream.write_all(at_once)?;
        Ok(Self { stream, sort, sent: at_once.len() })
    }

    /// Sends or takes one more byte; false when the server has ended it.
    fn dribble(&mut self) -> bool {
        let done = match self.sort {
            0 => self.stream.write(&HEAD[self.sent % HEAD.len()..][..1]),
            1 => self.stream.write(b"a"),
            _ => match self.stream.read(&mut [0; 1]) {
                Ok(0) => return false,
                read => read,
            },
        };
        self.sent += 1;
        match done {
            Ok(_) => true,
            Err(e) => e.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Starts a server with some events, and waits until it has opened what it will have open.
fn start(dir: &std::path::Path) -> (Server, usize, u64) {
    let server = Server::start(dir, &["--hosts", "windrow"]);
    let events: String = (0..5_000).map(|n| json!({ "n": n }).to_string() + "\n").collect();
    server.accepted("events", events);
    let long: String =
        (0..100).map(|n| json!({"n": n, "text": "word ".repeat(800)}).to_string() + "\n").collect();
    server.accepted("long", long);
    let (descriptors, threads) = settled(&server);
    (server, descriptors, threads)
}

/// Asks and writes every few milliseconds; gives how long each took.
fn healthy(server: &Server, is_over: &AtomicBool) -> Vec<Duration> {
    let mut client = server.client();
    let mut took = Vec::new();
    let sql = json!({"sql": "SELECT count(*), sum(n) FROM events WHERE n < 1000"}).to_string();
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let begin = Instant::now();
        let reply = match number % 2 {
            0 => client.send("POST", "/v1/sql", &[], sql.as_bytes()),
            _ => client.send("POST", "/v1/datasets/healthy/events", &[], b"{\"n\":1}"),
        };
        took.push(begin.elapsed());
        assert_eq!(reply.status, 200, "{}", reply.text());
        std::thread::sleep(Duration::from_millis(10));
    }
    took
}

/// Keeps so many slow clients up for so long beside a healthy one; gives the healthy one's times and the most of descriptors
/// and KiB that were seen.
fn besiege(
    server: &Server,
    count: usize,
    seconds: u64,
    source: fn(usize) -> Ipv4Addr,
) -> (Vec<Duration>, usize, u64) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let healthy = scope.spawn(|| healthy(server, &is_over));
        // the healthy one is there before the crowd
        std::thread::sleep(Duration::from_millis(100));
        let begin = Instant::now();
        let (mut most, mut memory) = (0, 0);
        let mut crowd: Vec<Option<Slow>> = (0..count).map(|_| None).collect();
        while begin.elapsed() < Duration::from_secs(seconds) {
            let round = Instant::now();
            let mut come = 0;
            for (number, place) in crowd.iter_mut().enumerate() {
                if place.as_mut().is_some_and(Slow::dribble) {
                    continue;
                }
                *place = None;
                if come < come_per_s(count) {
                    come += 1;
                    *place = Slow::begin(number, source(number), &server.address).ok();
                }
            }
            let (descriptors, _, kib) = figures(server.pid());
            (most, memory) = (most.max(descriptors), memory.max(kib));
            std::thread::sleep(Duration::from_secs(1).saturating_sub(round.elapsed()));
        }
        is_over.store(true, Ordering::SeqCst);
        (healthy.join().unwrap(), most, memory)
    })
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[test]
fn clients_that_dribble_from_everywhere_cost_nobody_but_themselves() {
    let (count, seconds) = (setting("WINDROW_SLOW_CLIENTS", 600), setting("WINDROW_SLOW_SECONDS", 5));
    let dir = temp_dir();
    let (server, descriptors, threads) = start(dir.path());
    let source = |n: usize| Ipv4Addr::new(127, 0, 1 + (n / 250 % 40) as u8, 1 + (n % 250) as u8);
    let (took, most, memory) = besiege(&server, count as usize, seconds, source);
    let (asked, p99) = (took.len(), p99(took));
    println!(
        "{count} slow clients for {seconds} s: a healthy one asked {asked} times, p99 {p99:?}; at most {most} descriptors, {} MiB",
        memory >> 10
    );
    assert!(most > count as usize / 2, "they were there: {most} descriptors");
    assert!(p99 < p99_max() && memory < MEMORY_KIB, "p99 {p99:?}, {memory} KiB");
    let begin = Instant::now();
    loop {
        let (now, threads_now, _) = figures(server.pid());
        if now <= descriptors + 2 && threads_now <= threads + 2 {
            println!("{now} descriptors and {threads_now} threads are back after {:?}", begin.elapsed());
            break;
        }
        assert!(
            begin.elapsed() < BACK,
            "{now} descriptors, {descriptors} before; {threads_now} threads, {threads} before"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn as_many_from_the_healthy_clients_own_address_meet_the_cap() {
    let (count, seconds) = (setting("WINDROW_SLOW_CLIENTS", 900), setting("WINDROW_SLOW_SECONDS", 10));
    let dir = temp_dir();
    let (server, descriptors, _) = start(dir.path());
    let (took, most, memory) = besiege(&server, count as usize, seconds, |_| Ipv4Addr::LOCALHOST);
    let p99 = p99(took);
    println!(
        "{count} slow clients of one address for {seconds} s: p99 {p99:?}; at most {most} descriptors, {} MiB",
        memory >> 10
    );
    // 512 connections, 64 that are told so, and what a question has open
    assert!(most > descriptors + 400, "they were there: {most} descriptors");
    assert!(most < descriptors + 512 + 64 + 40, "{most} descriptors, {descriptors} before");
    assert!(p99 < p99_max() && memory < MEMORY_KIB, "p99 {p99:?}, {memory} KiB");
}
