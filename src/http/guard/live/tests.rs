//! One client that is told what is new, with both ends of its socket.

use std::io::{Read as _, Write as _};

use mio::net::UnixStream;
use mio::{Poll, Token, Waker};

use super::*;
use crate::http::live::line::Switchboard;
use crate::http::live::tail::ready;

const NO_TIME: Duration = Duration::from_millis(1);

/// A client, its socket here, and its socket there.
fn client(form: &Form) -> (Live, Wire, std::os::unix::net::UnixStream) {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let poll = Poll::new().unwrap();
    let switchboard = Switchboard::new(Arc::new(Waker::new(poll.registry(), Token(0)).unwrap()));
    let line = switchboard.line(0, 1);
    line.open(form.clone());
    let live = Live::new(line, form, 7, Vec::new(), Instant::now());
    (live, Wire::Unix(UnixStream::from_std(here)), there)
}

fn taken(there: &mut std::os::unix::net::UnixStream, bytes: usize) -> String {
    let mut all = vec![0; bytes];
    there.read_exact(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_line_is_free_when_what_it_had_is_written() {
    let (mut live, mut wire, mut there) = client(&Form::Events);
    assert!(!live.line.is_free(), "the head of the reply goes first");
    assert!(live.write(&mut wire).unwrap() && live.line.is_free());
    let large = Message::new(Some(5), "x".repeat(4 << 20));
    live.line.push(crate::http::live::line::News::Say(large.clone()));
    live.say(&large, Instant::now());
    assert!(!live.write(&mut wire).unwrap() && !live.line.is_free() && live.held() >= 4 << 20);
    let reader = std::thread::spawn(move || {
        let mut some = vec![0; 64 << 10];
        let mut all = Vec::new();
        while !all.ends_with(b"x\n\n") {
            let read = there.read(&mut some).unwrap();
            all.extend_from_slice(&some[..read]);
        }
        all
    });
    while !live.write(&mut wire).unwrap() {
        std::thread::sleep(NO_TIME);
    }
    assert!(live.line.is_free() && live.held() == 0);
    let all = String::from_utf8(reader.join().unwrap()).unwrap();
    assert!(all.starts_with("HTTP/1.1 200 OK\r\n") && all.contains("X-Request-Id: 0000000000000007\r\n"));
    assert!(all.ends_with(&format!("\r\n\r\nid: 5\ndata: {}\n\n", large.text())));
}

#[test]
fn a_sign_of_life_that_is_on_its_way_stays_whole() {
    let (mut live, mut wire, mut there) = client(&Form::Events);
    live.write(&mut wire).unwrap();
    live.ping(&mut wire, Instant::now()).unwrap();
    // not written yet, and a message comes
    live.say(&ready("d", 3), Instant::now());
    live.write(&mut wire).unwrap();
    drop((live, wire));
    let mut all = String::new();
    there.read_to_string(&mut all).unwrap();
    let body = all.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body, format!(":\n\nid: 3\ndata: {}\n\n", ready("d", 3).text()));
}

#[test]
fn who_answers_no_sign_of_life_is_silent() {
    let (mut live, mut wire, mut there) = client(&Form::WebSocket { accept: "x".into(), is_packed: false });
    let begin = Instant::now();
    live.write(&mut wire).unwrap();
    let period = Duration::from_secs(limits::LIVE_PING_S);
    assert!(!live.is_silent(begin + period) && live.is_silent(begin + 3 * period));
    live.ping(&mut wire, begin).unwrap();
    live.write(&mut wire).unwrap();
    let head = "HTTP/1.1 101 Switching Protocols\r\nServer: windrow\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Accept: x\r\nX-Request-Id: 0000000000000007\r\n\r\n";
    assert_eq!(taken(&mut there, head.len()), head);
    let mut ping = [0; 2];
    there.read_exact(&mut ping).unwrap();
    assert_eq!(ping, [0x89, 0]);
    there.write_all(&[0x8a, 0x80, 1, 2, 3, 4]).unwrap();
    let mut scratch = [0; 100];
    let read = live.read(&mut wire, &mut scratch, begin + 2 * period).unwrap();
    assert_eq!(read, Read::All);
    assert!(!live.is_silent(begin + 3 * period), "it was heard");
}

#[test]
fn frames_that_come_a_byte_at_a_time_are_read_and_a_farewell_is_given_back() {
    let (mut live, mut wire, mut there) = client(&Form::WebSocket { accept: "x".into(), is_packed: false });
    live.write(&mut wire).unwrap();
    let mut scratch = [0; 100];
    let mut ended = Ok(Read::All);
    // a ping with two bytes, then the farewell 1000
    for byte in [0x89, 0x82, 0, 0, 0, 0, b'h', b'i', 0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8] {
        assert!(ended.is_ok());
        there.write_all(&[byte]).unwrap();
        ended = live.read(&mut wire, &mut scratch, Instant::now());
    }
    assert!(ended.is_err() || live.write(&mut wire).is_err(), "it is over");
    drop((live, wire));
    let mut all = Vec::new();
    there.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(&[0x8a, 2, b'h', b'i', 0x88, 2, 0x03, 0xe8]), "{all:?}");
}

/// Reads until so many bytes are there, while the other side writes.
fn read_all(
    live: &mut Live,
    wire: &mut Wire,
    mut there: std::os::unix::net::UnixStream,
    end: &[u8],
) -> Vec<u8> {
    let end = end.to_vec();
    let reader = std::thread::spawn(move || {
        let (mut some, mut all) = (vec![0; 64 << 10], Vec::new());
        while !all.ends_with(&end) {
            let read = there.read(&mut some).unwrap();
            assert!(read > 0, "it ended early");
            all.extend_from_slice(&some[..read]);
        }
        all
    });
    while !reader.is_finished() {
        live.write(wire).unwrap();
        std::thread::sleep(NO_TIME);
    }
    reader.join().unwrap()
}

#[test]
fn nothing_stands_within_a_message_and_the_end_comes_behind_it() {
    let (mut live, mut wire, mut there) = client(&Form::WebSocket { accept: "x".into(), is_packed: true });
    live.write(&mut wire).unwrap();
    let large = Message::new(Some(5), (0..400_000).map(|n: u64| format!("{:x}", n.pow(3))).collect());
    live.say(&large, Instant::now());
    assert!(!live.write(&mut wire).unwrap(), "more than there is room for");
    // a ping, which is answered when the message is whole
    there.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'?']).unwrap();
    let mut scratch = [0; 100];
    assert_eq!(live.read(&mut wire, &mut scratch, Instant::now()).unwrap(), Read::All);
    let end = Message::new(None, "{\"type\":\"end\"}".into());
    live.say(&end, Instant::now());
    live.end(Why::Done);
    let farewell = [&[0x88, 34, 0x03, 0xe8][..], b"there is nothing more to tell"].concat();
    let farewell = [&[0x88, (farewell.len() - 2) as u8][..], &farewell[2..]].concat();
    let all = read_all(&mut live, &mut wire, there, &farewell);
    let head = all.windows(4).position(|some| some == b"\r\n\r\n").unwrap() + 4;
    let agreed = String::from_utf8_lossy(&all[..head])
        .contains(&format!("\r\nSec-WebSocket-Extensions: {PACKED}\r\n"));
    assert!(agreed);
    let (frame, rest) = all[head..].split_at(large.frame(true).len());
    assert!(frame == large.frame(true));
    let rest = rest.strip_suffix(&*farewell).unwrap();
    let pong = [0x8a, 1, b'?'];
    let end = end.frame(false);
    assert!(rest == [&*end, &pong].concat() || rest == [&pong[..], &end].concat(), "{rest:?}");
}
