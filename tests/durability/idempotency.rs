//! Requests with an `Idempotency-Key` that are sent again because their reply was lost: by a kill between commit and reply,
//! by kills at any moment, by a client that went away. Each is carried out exactly once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Lcg, Reply, Server, temp_dir};
use crate::kills::{is_sound, rounds};

const EVENTS: &str = "/v1/datasets/events/events";
const REPLAYED: &str = "idempotent-replayed";

fn post(server: &Server, key: &str, body: &str) -> std::io::Result<Reply> {
    server.client().try_send("POST", EVENTS, &[("Idempotency-Key", key)], body.as_bytes())
}

#[test]
fn a_reply_that_was_lost_with_the_server_is_given_after_its_restart() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let body = "{\"n\":1}\n{\"n\":2}\nnonsense\n";
    // sends the request and never reads the reply
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: lost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let started = Instant::now();
    while server.count("events") == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "the events never came");
        thread::sleep(Duration::from_millis(2));
    }
    server.kill_nine();
    drop(stream);
    let server = Server::start(dir.path(), &[]);
    let again = post(&server, "lost", body).unwrap();
    assert_eq!((again.ok()["accepted"].clone(), again.header(REPLAYED)), (json!(2), Some("true")));
    assert_eq!(again.json()["rejected"][0]["index"], 2);
    assert_eq!(server.count("events"), 2);
    let (_, told) = post(&server, "lost", "{\"n\":3}\n").unwrap().problem(422);
    assert!(told.contains("new key"), "{told}");
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}

/// What a producer sent: number of its first event, events, and whether it was told that they are there.
struct Sent {
    key: String,
    body: String,
    events: u64,
    reply: Option<Vec<u8>>,
}

fn produce(server: &Server, producer: u64, round: u64) -> Vec<Sent> {
    let mut random = Lcg(100 * round + producer);
    let mut all: Vec<Sent> = Vec::new();
    for number in 0.. {
        let (key, events) = (format!("{round}-{producer}-{number}"), 1 + random.below(20));
        let body =
            (0..events).map(|n| json!({"id": format!("{key}-{n}")}).to_string() + "\n").collect::<String>();
        let sent = post(server, &key, &body);
        let reply = sent.as_ref().ok().filter(|reply| reply.status == 200).map(|reply| reply.body.clone());
        all.push(Sent { key, body, events, reply });
        if sent.is_err() {
            break;
        }
    }
    all
}

#[test]
fn whatever_a_kill_interrupts_is_there_once_when_it_is_sent_again() {
    let dir = temp_dir();
    let mut random = Lcg(5);
    let (mut expected, mut lost, mut replayed) = (0, 0, 0);
    let mut server = Server::start(dir.path(), &[]);
    for round in 0..rounds() {
        let delay = Duration::from_millis(30 + random.below(100));
        let sent: Vec<Sent> = thread::scope(|scope| {
            let running: Vec<_> = (0..4)
                .map(|producer| {
                    scope.spawn({
                        let server = &server;
                        move || produce(server, producer, round)
                    })
                })
                .collect();
            thread::sleep(delay);
            let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        drop(server);
        server = Server::start(dir.path(), &[]);
        for one in &sent {
            let again = post(&server, &one.key, &one.body).unwrap();
            assert_eq!(again.ok()["accepted"], one.events, "{}", one.key);
            match &one.reply {
                Some(reply) => {
                    assert_eq!((again.header(REPLAYED), &again.body), (Some("true"), reply), "{}", one.key)
                }
                None => {
                    lost += 1;
                    replayed += u64::from(again.header(REPLAYED).is_some());
                }
            }
            expected += one.events;
        }
        let counted = server.sql("SELECT count(*), uniq(id) FROM events");
        assert_eq!(counted.rows[0], [json!(expected), json!(expected)], "round {round}: each event once");
    }
    eprintln!("{lost} replies were lost, {replayed} of them after the commit");
    assert_eq!(server.stop(), 0);
    is_sound(dir.path());
}
