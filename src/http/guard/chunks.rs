//! Chunked bodies, read strictly as they come: RFC 9112, 7.1. Pure: bytes in, what they hold out. Extensions and trailers are
//! checked and dropped.

use crate::http::guard::head::{Refusal, too_large_a_body};
use crate::limits;

/// Bytes of a line with a size, its extensions included.
const SIZE_LINE_BYTES: usize = 256;
/// Bytes of all trailers.
const TRAILER_BYTES: usize = 8 << 10;
/// Digits of a size; more of them are more than any body.
const SIZE_DIGITS: usize = 8;
/// Bytes of size lines for each byte of a body beyond a first share: a body of one-byte chunks takes six times its size.
const OVERHEAD: usize = 16;
const OVERHEAD_FREE: usize = 64 << 10;

/// The state of one body.
#[derive(Debug, Default)]
pub struct Chunks {
    part: Part,
    /// The line that is being read, up to its LF.
    line: Vec<u8>,
    trailer_bytes: usize,
    /// Bytes that came so far, of whatever kind.
    taken: usize,
    kept: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    Data {
        left: usize,
    },
    /// CR and LF after the data of a chunk; so many have come.
    End {
        seen: usize,
    },
    Trailer,
    Done,
}

impl Chunks {
    /// Takes bytes and puts what they hold behind `body`; gives the number of bytes that belong to this body.
    ///
    /// # Errors
    /// What is no chunk, and a body that is larger than one may be.
    pub fn take(&mut self, bytes: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut rest = bytes;
        while !rest.is_empty() && self.part != Part::Done {
            let used = match self.part {
                Part::Data { left } => self.data(left, rest, body)?,
                Part::End { seen } => self.end(seen, rest[0])?,
                _ => self.line(rest)?,
            };
            rest = &rest[used..];
        }
        let used = bytes.len() - rest.len();
        self.taken += used;
        if self.taken > OVERHEAD_FREE + OVERHEAD * (self.kept + 1) {
            return Err(Refusal::new(400, "the chunks of the body are little but sizes; send larger ones"));
        }
        Ok(used)
    }

    /// Whether the body is all there.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    fn data(&mut self, left: usize, rest: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        let some = left.min(rest.len());
        body.extend_from_slice(&rest[..some]);
        self.kept += some;
        self.part = if some == left { Part::End { seen: 0 } } else { Part::Data { left: left - some } };
        Ok(some)
    }

    fn end(&mut self, seen: usize, byte: u8) -> Result<usize, Refusal> {
        if byte != b"\r\n"[seen] {
            return Err(Refusal::new(400, "a chunk of the body is longer than its size says"));
        }
        self.part = if seen == 0 { Part::End { seen: 1 } } else { Part::Size };
        Ok(1)
    }

    /// Takes up to the end of a line, and reads it where that is there.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let end = memchr::memchr(b'\n', rest);
        let some = end.map_or(rest.len(), |end| end + 1);
        let most = if self.part == Part::Size { SIZE_LINE_BYTES } else { TRAILER_BYTES - self.trailer_bytes };
        if self.line.len() + some > most {
            return Err(match self.part {
                Part::Size => Refusal::new(400, "a size in the chunked body is longer than any body"),
                _ => Refusal::new(431, "the trailers of the body are larger than 8 KiB"),
            });
        }
        self.line.extend_from_slice(&rest[..some]);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let text = line.strip_suffix(b"\r\n").ok_or_else(|| bare("LF"))?;
            if text.contains(&b'\r') {
                return Err(bare("CR"));
            }
            self.part = if self.part == Part::Size { self.size(text)? } else { self.trailer(text)? };
        }
        Ok(some)
    }

    fn size(&self, line: &[u8]) -> Result<Part, Refusal> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (number, extension) = line.split_at(digits);
        let is_extension = extension.is_empty()
            || extension.trim_ascii_start().starts_with(b";")
                && extension.iter().all(|byte| !byte.is_ascii_control());
        if digits == 0 || !is_extension {
            return Err(Refusal::new(400, "a chunk of the body begins with no size in hexadecimal digits"));
        }
        let number = std::str::from_utf8(number).unwrap_or_default().trim_start_matches('0');
        if number.len() > SIZE_DIGITS {
            return Err(too_large_a_body());
        }
        let size =
            if number.is_empty() { 0 } else { usize::from_str_radix(number, 16).unwrap_or(usize::MAX) };
        if size.saturating_add(self.kept) > limits::BODY_BYTES {
            return Err(too_large_a_body());
        }
        Ok(if size == 0 { Part::Trailer } else { Part::Data { left: size } })
    }

    fn trailer(&mut self, line: &[u8]) -> Result<Part, Refusal> {
        self.trailer_bytes += line.len() + 2;
        if line.is_empty() {
            return Ok(Part::Done);
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let is_field = colon > 0
            && line[..colon].iter().all(|byte| byte.is_ascii_graphic())
            && line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
        if is_field {
            Ok(Part::Trailer)
        } else {
            Err(Refusal::new(400, "a trailer of the body is no header"))
        }
    }
}

fn bare(what: &str) -> Refusal {
    Refusal::new(400, format!("the chunked body has a {what} by itself; end its lines with CR LF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, what came after it, and whether it was at its end, taken in pieces of so many bytes.
    fn taken(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize, bool), Refusal> {
        let (mut chunks, mut body, mut used) = (Chunks::default(), Vec::new(), 0);
        for piece in bytes.chunks(piece) {
            used += chunks.take(piece, &mut body)?;
        }
        Ok((body, used, chunks.is_done()))
    }

    #[test]
    fn a_body_is_the_same_however_it_comes() {
        let bytes = b"5\r\nhello\r\n00a;name=\"value\"\r\n you there\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for piece in 1..bytes.len() {
            let (body, used, is_done) = taken(bytes, piece).unwrap();
            assert_eq!((&body[..], is_done), (&b"hello you there"[..], true), "{piece}");
            assert_eq!(&bytes[used..], b"GET /");
        }
        assert_eq!(taken(b"5\r\nhel", 1).unwrap(), (b"hel".to_vec(), 6, false));
    }

    #[test]
    fn what_is_no_chunk_is_refused_wherever_it_is_cut() {
        let long = [&b"5;"[..], &[b'x'; 300], b"\r\n"].concat();
        let trailers = [&b"0\r\n"[..], &b"a: bbbbbbbbbbbbbbbb\r\n".repeat(500)].concat();
        let cases: [(&[u8], u16); 18] = [
            (b"\r\n", 400),
            (b"x\r\n", 400),
            (b"-5\r\nhello\r\n", 400),
            (b"+5\r\nhello\r\n", 400),
            (b"0x5\r\nhello\r\n", 400),
            (b"5 5\r\nhello\r\n", 400),
            (b"5\nhello\r\n", 400),
            (b"5\r\r\nhello\r\n", 400),
            (b"5\r\nhello\n", 400),
            (b"5\r\nhello!\r\n", 400),
            (b"5;a=\x01\r\nhello\r\n", 400),
            (b"ffffffff\r\n", 413),
            (b"ffffffffffffffffffffff\r\n", 413),
            (b"4000001\r\n", 413),
            (b"0\r\nno header\r\n\r\n", 400),
            (b"0\r\n: none\r\n\r\n", 400),
            (&long, 400),
            (&trailers, 431),
        ];
        for (bytes, status) in cases {
            for piece in [1, 2, 7, 10_000] {
                let refused = taken(bytes, piece).unwrap_err();
                assert_eq!(refused.status, status, "{}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn a_body_that_is_little_but_sizes_is_refused() {
        let filled = b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".repeat(20_000);
        assert_eq!(taken(&filled, 4_096).unwrap_err().status, 400);
        let plain = [&b"1\r\nx\r\n".repeat(20_000)[..], b"0\r\n\r\n"].concat();
        assert_eq!(taken(&plain, 4_096).unwrap().0.len(), 20_000);
    }
}
