//! One request and its reply in HTTP/1.1, over a connection that is used once. `httparse` reads heads and `http/guard/chunks` chunked
//! bodies; what is more than the job may have ends the exchange.

use std::io::{self, ErrorKind, Read, Write};

use crate::app::outgoing::url::Url;
use crate::http::guard::chunks::Chunks;
use crate::limits;

/// What is asked.
pub(super) struct Asked<'a> {
    pub method: &'a str,
    pub url: &'a Url,
    /// Names in small letters.
    pub headers: &'a [(String, String)],
    pub body: Option<&'a [u8]>,
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection: another attempt may do better.
    Io(io::Error),
    /// The reply is larger than it may be.
    TooLarge(String),
    /// What came is no HTTP.
    Strange(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn strange(what: impl Into<String>) -> Trouble {
    Trouble::Strange(what.into())
}

/// The request as it is sent.
pub(super) fn written(asked: &Asked<'_>) -> Vec<u8> {
    let mut head =
        format!("{} {} HTTP/1.1\r\nhost: {}\r\n", asked.method, asked.url.target, asked.url.authority());
    head.push_str("connection: close\r\naccept-encoding: identity\r\n");
    let has = |name: &str| asked.headers.iter().any(|(known, _)| known == name);
    for (name, value) in [("accept", "*/*"), ("user-agent", concat!("windrow/", env!("CARGO_PKG_VERSION")))] {
        if !has(name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in asked.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if asked.body.is_some() || matches!(asked.method, "POST" | "PUT" | "PATCH") {
        head.push_str(&format!("content-length: {}\r\n", asked.body.unwrap_or_default().len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(asked.body.unwrap_or_default());
    bytes
}

/// Sends a request and reads its reply, whose body has `most` bytes at most.
pub(super) fn exchange(
    stream: &mut (impl Read + Write),
    asked: &Asked<'_>,
    most: usize,
) -> Result<Reply, Trouble> {
    let sent = stream.write_all(&written(asked)).and_then(|()| stream.flush());
    match (read(stream, asked.method == "HEAD", most), sent) {
        // who refuses a body need not read it, and says why
        (Err(Trouble::Io(_)), Err(e)) => Err(Trouble::Io(e)),
        (told, _) => told,
    }
}

fn read(stream: &mut impl Read, is_head: bool, most: usize) -> Result<Reply, Trouble> {
    let mut buffer = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some((mut reply, used)) = head(&buffer)? {
            buffer.drain(..used);
            if !(100..200).contains(&reply.status) {
                let has_body = !is_head && !matches!(reply.status, 204 | 304);
                if has_body {
                    reply.body = body(stream, &reply, buffer, most)?;
                }
                return Ok(reply);
            }
            if reply.status == 101 {
                return Err(strange("the server changes to another protocol, which nobody asked for"));
            }
            continue;
        }
        if buffer.len() > limits::OUTGOING_HEAD_BYTES {
            return Err(Trouble::TooLarge(format!(
                "the head of the reply has more than {} bytes",
                limits::OUTGOING_HEAD_BYTES
            )));
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            let what = "the server closed the connection before the head of its reply was there";
            return Err(Trouble::Io(io::Error::new(ErrorKind::UnexpectedEof, what)));
        }
        buffer.extend_from_slice(&piece[..count]);
    }
}

/// The head at the start of a buffer and its length; `None` while it is not all there.
fn head(buffer: &[u8]) -> Result<Option<(Reply, usize)>, Trouble> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    let used = match response.parse(buffer) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Trouble::TooLarge("the reply has more than 128 headers".into()));
        }
        Err(e) => return Err(strange(format!("the reply is not HTTP/1.1: {e}"))),
    };
    let text = |header: &httparse::Header<'_>| {
        (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
    };
    let headers = response.headers.iter().map(text).collect();
    let status = response.code.filter(|code| (100..600).contains(code));
    let status = status.ok_or_else(|| strange("the reply has a status that is none"))?;
    Ok(Some((Reply { status, headers, body: Vec::new() }, used)))
}

/// The body, of which `buffer` has come already.
fn body(stream: &mut impl Read, reply: &Reply, buffer: Vec<u8>, most: usize) -> Result<Vec<u8>, Trouble> {
    let codings = || reply.headers.iter().filter(|(name, _)| name == "transfer-encoding");
    let lengths =
        || reply.headers.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| value);
    if codings().next().is_some() {
        if codings().count() > 1 || !codings().all(|(_, value)| value.eq_ignore_ascii_case("chunked")) {
            return Err(strange("the reply has a transfer-encoding other than chunked"));
        }
        return chunked(stream, &buffer, most);
    }
    let Some(first) = lengths().next() else { return until_the_end(stream, buffer, most) };
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit()) && !first.is_empty();
    if !is_number || lengths().any(|other| other != first) {
        return Err(strange("the reply has a content-length that is none"));
    }
    let length = first.parse().unwrap_or(usize::MAX);
    if length > most {
        return Err(too_large(Some(length), most));
    }
    let mut body = buffer;
    body.truncate(length);
    let mut piece = [0; 16 << 10];
    while body.len() < length {
        let some = piece.len().min(length - body.len());
        let count = stream.read(&mut piece[..some])?;
        if count == 0 {
            return Err(cut_off(body.len()));
        }
        body.extend_from_slice(&piece[..count]);
    }
    Ok(body)
}

fn until_the_end(stream: &mut impl Read, buffer: Vec<u8>, most: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = buffer;
    let mut piece = [0; 16 << 10];
    while body.len() <= most {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&piece[..count]);
    }
    Err(too_large(None, most))
}

fn chunked(stream: &mut impl Read, buffer: &[u8], most: usize) -> Result<Vec<u8>, Trouble> {
    let (mut chunks, mut body) = (Chunks::default(), Vec::new());
    let mut take = |bytes: &[u8]| match chunks.take(bytes, &mut body) {
        Ok(_) if body.len() > most => Err(too_large(None, most)),
        Ok(_) => Ok((chunks.is_done(), body.len())),
        Err(refusal) => Err(strange(refusal.detail)),
    };
    let (mut is_done, mut so_far) = take(buffer)?;
    let mut piece = [0; 16 << 10];
    while !is_done {
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(cut_off(so_far));
        }
        (is_done, so_far) = take(&piece[..count])?;
    }
    Ok(body)
}

fn too_large(length: Option<usize>, most: usize) -> Trouble {
    let length = length.map_or_else(|| format!("more than {most}"), |length| length.to_string());
    Trouble::TooLarge(format!(
        "the body of the reply has {length} bytes, and {most} at most; ask for less of it, or raise response_bytes"
    ))
}

fn cut_off(so_far: usize) -> Trouble {
    let what = format!("the server closed the connection after {so_far} bytes of the body, before its end");
    Trouble::Io(io::Error::new(ErrorKind::UnexpectedEof, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says these bytes, so many at a time, and keeps what it was told.
    struct Said<'s>(&'s [u8], usize, Vec<u8>);

    impl Read for Said<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(self.1).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    impl Write for Said<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.2.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn asked_of(said: &[u8], method: &str, piece: usize) -> Result<Reply, Trouble> {
        let url = Url::read("http://a.org/b").unwrap();
        let asked = Asked { method, url: &url, headers: &[], body: None };
        exchange(&mut Said(said, piece, Vec::new()), &asked, 10)
    }

    #[test]
    fn a_reply_is_the_same_however_it_comes() {
        for (said, method, status, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", "GET", 200, "hello"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
                "GET",
                200,
                "hello",
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\nno", "GET", 404, "no"),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
                "POST",
                201,
                "",
            ),
            ("HTTP/1.1 204 Nothing\r\n\r\n", "GET", 204, ""),
            ("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD", 200, ""),
        ] {
            for piece in [1, 3, 1_000] {
                let reply = asked_of(said.as_bytes(), method, piece).unwrap();
                assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{said}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_too_large_or_no_http_is_told_apart() {
        let is_io = |trouble: &Trouble| matches!(trouble, Trouble::Io(_));
        let is_large = |trouble: &Trouble| matches!(trouble, Trouble::TooLarge(_));
        let is_strange = |trouble: &Trouble| matches!(trouble, Trouble::Strange(_));
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(200_000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
        type IsRight = dyn Fn(&Trouble) -> bool;
        let cases: [(&str, &IsRight); 13] = [
            ("", &is_io),
            ("HTTP/1.1 200 OK\r\nContent-Len", &is_io),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", &is_io),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", &is_io),
            ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", &is_large),
            ("HTTP/1.1 200 OK\r\n\r\nhello there, you", &is_large),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello there\r\n", &is_large),
            (&long, &is_large),
            (&many, &is_large),
            ("SSH-2.0-OpenSSH\r\n", &is_strange),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", &is_strange),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", &is_strange),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", &is_strange),
        ];
        for (said, is_right) in cases {
            let trouble = asked_of(said.as_bytes(), "GET", 1_000).unwrap_err();
            assert!(is_right(&trouble), "{}: {trouble:?}", &said[..said.len().min(80)]);
        }
    }

    #[test]
    fn a_request_says_what_it_was_given_and_how_long_it_is() {
        let url = Url::read("http://a.org:81/b?c").unwrap();
        let headers = [("accept".to_owned(), "text/csv".to_owned())];
        let asked = Asked { method: "POST", url: &url, headers: &headers, body: Some(b"hello") };
        let text = String::from_utf8(written(&asked)).unwrap();
        assert!(text.starts_with("POST /b?c HTTP/1.1\r\nhost: a.org:81\r\n"), "{text}");
        assert!(text.contains("\r\naccept: text/csv\r\n") && !text.contains("*/*"), "{text}");
        assert!(text.ends_with("\r\ncontent-length: 5\r\n\r\nhello"), "{text}");
        let none = Asked { method: "GET", headers: &[], body: None, ..asked };
        assert!(!String::from_utf8(written(&none)).unwrap().contains("content-length"));
    }
}
