//! One message to however many clients: its text, and what it is on the wire of each sort of client, made once for all of them.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use tungstenite::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits;

/// The first byte of a frame that is a whole text (RFC 6455, 5.2).
const TEXT: u8 = 0x81;
/// In that byte: it is packed (RFC 7692, 6).
const PACKED: u8 = 0x40;
/// What ends the bytes of a packed message, and is left out (RFC 7692, 7.2.1).
const END_OF_FLUSH: &[u8] = &[0, 0, 0xff, 0xff];

/// A message. Clones share what was made of it.
#[derive(Debug, Clone)]
pub struct Message(Arc<Said>);

#[derive(Debug)]
struct Said {
    id: Option<i64>,
    text: String,
    frame: OnceLock<Bytes>,
    packed: OnceLock<Option<Bytes>>,
    event: OnceLock<Bytes>,
}

impl Message {
    /// A text of JSON; `id` is where a client that lost its connection goes on, none in the last one.
    pub fn new(id: Option<i64>, text: String) -> Self {
        let (frame, packed, event) = Default::default();
        Self(Arc::new(Said { id, text, frame, packed, event }))
    }

    /// Where a client that lost its connection goes on.
    pub fn id(&self) -> Option<i64> {
        self.0.id
    }

    /// An object of JSON.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// As a frame of a WebSocket, packed where that was agreed upon and is shorter.
    pub fn frame(&self, is_packed: bool) -> Bytes {
        let said = &*self.0;
        let packed = is_packed.then(|| said.packed.get_or_init(|| packed(&said.text))).and_then(Clone::clone);
        packed.unwrap_or_else(|| said.frame.get_or_init(|| framed(TEXT, said.text.as_bytes())).clone())
    }

    /// As a server-sent event.
    pub fn event(&self) -> Bytes {
        let said = &*self.0;
        let made = || {
            let id = said.id.map_or_else(String::new, |id| format!("id: {id}\n"));
            Bytes::from(format!("{id}data: {}\n\n", said.text))
        };
        said.event.get_or_init(made).clone()
    }
}

/// What tells a state from others: a number that follows from what it says, so it is the same after a restart, too.
pub fn id_of(state: &str) -> i64 {
    i64::try_from(xxh3_64(state.as_bytes()) >> 1).unwrap_or(i64::MAX)
}

/// A frame of a server: the length in as few bytes as it takes, and no mask.
fn framed(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(first);
    match payload.len() {
        // a length of one byte is below 126, and the cast cuts nothing off
        length @ 0..=125 => frame.push(length as u8),
        length => match u16::try_from(length) {
            Ok(length) => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        },
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// A long text as a packed frame that needs nothing of those before it; `None` where packing gains nothing.
fn packed(text: &str) -> Option<Bytes> {
    if text.len() < limits::LIVE_PACKED_BYTES {
        return None;
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.flush()).ok()?;
    let payload = encoder.get_ref().strip_suffix(END_OF_FLUSH)?;
    (payload.len() < text.len()).then(|| framed(TEXT | PACKED, payload))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;

    use super::*;

    /// The text of a frame.
    fn read(frame: &[u8]) -> String {
        let (length, rest) = match frame[1] {
            126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), &frame[4..]),
            127 => (u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize, &frame[10..]),
            length => (usize::from(length), &frame[2..]),
        };
        assert_eq!(rest.len(), length);
        if frame[0] & PACKED == 0 {
            return String::from_utf8(rest.to_vec()).unwrap();
        }
        let mut text = String::new();
        let whole = [rest, END_OF_FLUSH, &[1, 0, 0, 0xff, 0xff]].concat();
        DeflateDecoder::new(&whole[..]).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_frame_has_its_length_in_as_few_bytes_as_it_takes() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let message = Message::new(None, "x".repeat(length));
            let frame = message.frame(false);
            assert_eq!((frame.len(), frame[0]), (head + length, TEXT), "{length}");
            assert_eq!(read(&frame), message.text());
        }
    }

    #[test]
    fn what_is_large_is_packed_where_that_was_agreed_upon() {
        let large = Message::new(Some(7), "{\"state\":\"running\"}".repeat(1_000));
        let frame = large.frame(true);
        assert!(frame[0] == TEXT | PACKED && frame.len() < 500, "{}", frame.len());
        assert_eq!(read(&frame), large.text());
        assert_eq!(read(&large.frame(false)), large.text());
        // once for all
        assert_eq!(large.clone().frame(true).as_ptr(), frame.as_ptr());
        let small = Message::new(None, "{}".into());
        assert_eq!(small.frame(true), small.frame(false));
        // what cannot be made shorter stays as it is
        let mut number = 7_u64;
        let noise: String = std::iter::repeat_with(|| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0x4e00 + (number >> 33) as u32 % 20_000).unwrap()
        })
        .take(2_000)
        .collect();
        let noise = Message::new(None, noise);
        let frame = noise.frame(true);
        assert!(frame.len() <= noise.text().len() + 4);
        assert_eq!(read(&frame), noise.text());
    }

    #[test]
    fn an_event_has_its_id_where_there_is_one() {
        assert_eq!(Message::new(Some(7), "{}".into()).event(), "id: 7\ndata: {}\n\n");
        assert_eq!(Message::new(None, "{}".into()).event(), "data: {}\n\n");
    }

    #[test]
    fn a_state_has_the_same_id_at_any_time() {
        assert_eq!(id_of("{}"), id_of("{}"));
        assert!(id_of("{\"a\":1}") != id_of("{\"a\":2}") && id_of("") >= 0);
    }
}
