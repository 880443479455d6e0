//! A thousand clients that watch one job, and one query: how late they are told, and what each of them takes. It measures, so it
//! is asked for by name, of a build for use and on a machine that does nothing else:
//!
//! `cargo test --release --test live -- --ignored --nocapture crowd`
//!
//! Server and clients are one process, which shares its clock and its cores; what a client takes in memory is told with both of
//! its ends.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use windrow::http::edge::Edge;
use windrow::http::guard::{Bounds, Entrance};
use windrow::http::listener::Listener;
use windrow::http::live::hub::Hub;
use windrow::http::message::{Method, Request};
use windrow::http::{Service, routes};
use windrow::jobs::Kinds;
use windrow::proxies::Trusted;
use windrow::query::warm::WarmList;
use windrow::store::{Store, StoreOptions};
use windrow::{JobOptions, Jobs, Kind, Limits, NewJob, Outcome};

use crate::client::{path, until};
use crate::common::temp_dir;
use crate::common::websocket::{begin, handshake};

const CLIENTS: usize = 1_000;
/// One a millisecond.
const UPDATES: usize = 10_000;
const STEP: Duration = Duration::from_millis(1);

/// The updates of a job, and when each was told: µs after the beginning.
#[derive(Debug)]
struct Clock {
    begin: Instant,
    told_us: Vec<AtomicU64>,
    goes: AtomicBool,
}

impl Clock {
    fn new() -> Self {
        let told_us = (0..=UPDATES).map(|_| AtomicU64::new(0)).collect();
        Self { begin: Instant::now(), told_us, goes: AtomicBool::new(false) }
    }

    fn now_us(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }
}

/// A server within this process, with a kind of job that tells of a thousand updates a second.
struct House {
    service: Arc<Service>,
    address: SocketAddr,
    edge: Option<Edge>,
    hub: Option<Hub>,
    _folder: tempfile::TempDir,
}

impl House {
    fn new(clock: &Arc<Clock>) -> Self {
        let folder = temp_dir();
        let store = Arc::new(Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap());
        let clock = Arc::clone(clock);
        let ticking = Kind::new("ticking", move |context| {
            while !clock.goes.load(Ordering::Acquire) {
                context.check()?;
                std::thread::sleep(STEP);
            }
            let begin = Instant::now();
            for update in 1..=UPDATES {
                std::thread::sleep((STEP * update as u32).saturating_sub(begin.elapsed()));
                clock.told_us[update].store(clock.now_us(), Ordering::Release);
                context.progress(update as u64, Some(UPDATES as u64), "ticking");
            }
            Ok(Outcome::default())
        });
        let kinds = Kinds::of([ticking]).unwrap();
        let jobs = Jobs::start(Arc::clone(&store), kinds, JobOptions::default()).unwrap();
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.address().unwrap();
        let service = Service::new(store, address, Limits::default(), WarmList::default());
        let service = Arc::new(service.with_jobs(Arc::new(jobs)));
        let hub = Hub::start(Arc::clone(&service)).unwrap();
        let connections = 4 * CLIENTS;
        let bounds = Bounds { connections, connections_per_address: connections, backends: 16 };
        let entrance = Entrance { listeners: vec![listener], bounds, trusted: Trusted::default() };
        let handler = Arc::clone(&service);
        let edge = Edge::start(entrance, move |request| routes::answer(&handler, request)).unwrap();
        Self { service, address, edge: Some(edge), hub: Some(hub), _folder: folder }
    }

    fn add(&self, n: i64) {
        let mut request = Request::new(Method::Post, "/v1/datasets/d/events").unwrap();
        request.body = json!({ "n": n }).to_string().into_bytes();
        assert_eq!(routes::answer(&self.service, &request).status, 200);
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.service.jobs.stop();
        self.edge.take().unwrap().stop(Duration::from_secs(2), || {}, Duration::ZERO);
        self.hub.take().unwrap().stop();
    }
}

/// A client: its socket, and the beginning of a frame whose end has not come.
struct Client {
    stream: TcpStream,
    rest: Vec<u8>,
}

/// Clients, read by one thread.
struct Crowd {
    poll: Poll,
    clients: Vec<Client>,
}

impl Crowd {
    fn connect(address: SocketAddr, watched: &[(&str, &str)]) -> Self {
        let poll = Poll::new().unwrap();
        let (address, target, handshake) = (address.to_string(), path(watched), handshake(&[]));
        let clients = (0..CLIENTS).map(|client| {
            let (stream, head) = begin(&address, &target, &handshake);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(client), Interest::READABLE).unwrap();
            Client { stream, rest: Vec::new() }
        });
        let clients = clients.collect();
        Self { poll, clients }
    }

    /// Gives each message with its client, until told that it is enough.
    fn read(&mut self, mut goes_on: impl FnMut(usize, &[u8]) -> bool) {
        let mut events = Events::with_capacity(CLIENTS);
        let mut scratch = vec![0; 64 << 10];
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(60), "nothing more comes");
            self.poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            for event in &events {
                let Token(client) = event.token();
                let Client { stream, rest } = &mut self.clients[client];
                loop {
                    match stream.read(&mut scratch) {
                        Ok(0) => panic!("a client was let go"),
                        Ok(some) => rest.extend_from_slice(&scratch[..some]),
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => panic!("{e}"),
                    }
                }
                while let Some((head, length)) = frame(rest) {
                    let is_enough = rest[0] == 0x81 && !goes_on(client, &rest[head..head + length]);
                    rest.drain(..head + length);
                    if is_enough {
                        return;
                    }
                }
            }
        }
    }
}

/// Bytes of the head and of the payload of a frame that is there whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => panic!("larger than anything here"),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= head + length).then_some((head, length))
}

fn number(message: &[u8], name: &str) -> Option<usize> {
    let text = std::str::from_utf8(message).unwrap();
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// How many of what was measured took how long, by tenths of a millisecond.
struct Histogram(Vec<u64>);

impl Histogram {
    fn note(&mut self, us: u64) {
        let last = self.0.len() - 1;
        self.0[(us as usize / 100).min(last)] += 1;
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let wanted = (quantile * self.0.iter().sum::<u64>() as f64).ceil() as u64;
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        (at.unwrap() + 1) as f64 / 10.0
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Room for both ends of so many connections.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let told = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: told.maximum, maximum: told.maximum }).unwrap();
}

#[test]
#[ignore = "measures, and takes all of the machine"]
fn crowd_of_a_thousand_who_watch_one_job() {
    raise_descriptors();
    let clock = Arc::new(Clock::new());
    let house = House::new(&clock);
    let job = house.service.jobs.submit(NewJob::new("ticking")).unwrap().id;
    let is_running = || house.service.jobs.progress(job).is_some();
    until("the job runs", is_running);
    let before_kib = resident_kib();
    let mut crowd = Crowd::connect(house.address, &[("job", &job.to_string())]);
    clock.goes.store(true, Ordering::Release);
    let mut histogram = Histogram(vec![0; 20_000]);
    let (mut last, mut messages, mut finished) = (vec![0; CLIENTS], 0_u64, 0);
    let mut during_kib = 0;
    crowd.read(|client, message| {
        let now_us = clock.now_us();
        messages += 1;
        if let Some(done) = number(message, "done") {
            for told_us in &clock.told_us[last[client] + 1..=done.max(last[client])] {
                histogram.note(now_us - told_us.load(Ordering::Acquire));
            }
            last[client] = last[client].max(done);
            if client == 0 {
                during_kib = during_kib.max(resident_kib());
            }
        }
        finished += usize::from(message.windows(12).any(|part| part == b"\"type\":\"end\""));
        finished < CLIENTS
    });
    let each_kib = (during_kib - before_kib) as f64 / CLIENTS as f64;
    let (p50, p99) = (histogram.quantile_ms(0.5), histogram.quantile_ms(0.99));
    let seen: u64 = histogram.0.iter().sum();
    println!(
        "{CLIENTS} clients, {UPDATES} updates in {} s: {messages} messages, {seen} updates received, p50 {p50} ms, p99 {p99} \
         ms, longest {} ms, {each_kib:.1} KiB a client",
        (STEP * UPDATES as u32).as_secs(),
        histogram.quantile_ms(1.0)
    );
    assert!(
        seen as usize > CLIENTS * UPDATES * 95 / 100,
        "{seen}: the last few are told as the end of the job"
    );
    assert!(p99 < 150.0 && each_kib < 64.0);
}

#[test]
#[ignore = "measures, and takes all of the machine"]
fn crowd_of_a_thousand_who_watch_one_query() {
    raise_descriptors();
    let house = House::new(&Arc::new(Clock::new()));
    house.add(1);
    let before_kib = resident_kib();
    let mut crowd = Crowd::connect(house.address, &[("query", "SELECT count(*), sum(n) FROM d")]);
    let mut histogram = Histogram(vec![0; 20_000]);
    for count in 1..=20 {
        let (begin, mut told) = (Instant::now(), 0);
        crowd.read(|_, message| {
            let message: Value = serde_json::from_slice(message).unwrap();
            assert_eq!(message["rows"], json!([[count, count]]));
            histogram.note(begin.elapsed().as_micros() as u64);
            told += 1;
            told < CLIENTS
        });
        assert_eq!(house.service.live.asked(), count, "once for all");
        house.add(1);
    }
    let each_kib = (resident_kib().saturating_sub(before_kib)) as f64 / CLIENTS as f64;
    let (p50, p99) = (histogram.quantile_ms(0.5), histogram.quantile_ms(0.99));
    println!(
        "{CLIENTS} clients, 20 answers, asked 20 times: p50 {p50} ms, p99 {p99} ms after the commit, {each_kib:.1} KiB a client"
    );
    assert!(p99 < 250.0 && each_kib < 64.0);
}
