//! A server of HTTP on a loopback address that answers as a test says, and tells what it was asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Answer = dyn Fn(usize, &str) -> String + Send + Sync;

/// What is seen from all threads.
#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<(Instant, String)>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// The server; it goes on until the test ends.
pub struct Endpoint {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    seen: Arc<Seen>,
}

impl Endpoint {
    /// Answers the request of a number, from 0, with what a function makes of it; an empty text closes the connection.
    pub fn start(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer) = (Arc::<Seen>::default(), Arc::new(answer));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || attend(stream, &seen, &*answer));
            }
        });
        Self { url, seen }
    }

    /// One that takes so long for each.
    pub fn slow(time: Duration) -> Self {
        Self::start(move |_, _| {
            thread::sleep(time);
            reply(200, "text/plain", "slow")
        })
    }

    /// The requests so far, head and body.
    pub fn asked(&self) -> Vec<String> {
        self.seen.asked.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    /// When the first one came.
    pub fn first(&self) -> Instant {
        self.seen.asked.lock().unwrap()[0].0
    }

    /// How long after the first one that of a number came.
    pub fn after(&self, number: usize) -> Duration {
        let asked = self.seen.asked.lock().unwrap();
        asked[number].0 - asked[0].0
    }

    /// The most that were here at once.
    pub fn most_at_once(&self) -> usize {
        self.seen.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits until it was asked so often.
    pub fn wait_for(&self, count: usize) {
        let begun = Instant::now();
        while self.seen.asked.lock().unwrap().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} of {count}", self.asked().len());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A reply with its length.
pub fn reply(status: u16, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A redirect.
pub fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

fn attend(mut stream: TcpStream, seen: &Seen, answer: &Answer) {
    let Some(text) = read(&mut stream) else { return };
    let number = {
        let mut asked = seen.asked.lock().unwrap();
        asked.push((Instant::now(), text.clone()));
        asked.len() - 1
    };
    let now = seen.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_at_once.fetch_max(now, Ordering::SeqCst);
    let told = answer(number, &text);
    seen.at_once.fetch_sub(1, Ordering::SeqCst);
    // who asked may be gone
    let _ = stream.write_all(told.as_bytes());
}

fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
