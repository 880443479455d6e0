//! Heads of requests, read strictly: what RFC 9112 leaves to a server's mercy is refused, since two programs that read it
//! differently are how requests are smuggled. Pure: bytes in, a head, "more" or a refusal out. `client` calls it.
//!
//! Refused are a bare CR or LF, folded lines, more than one length, a length together with a transfer encoding, any encoding
//! but `chunked`, versions other than 1.0 and 1.1, a target that is no path, and a missing or doubled `Host`.

use crate::http::message::HEADERS_KEPT;
use crate::limits;

/// Lines of a head beside the first.
const HEADERS_MAX: usize = 100;
/// Bytes of a method's name.
const METHOD_BYTES_MAX: usize = 32;

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
}

/// The head of a request, and where it came in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of it, the empty line included.
    pub bytes: usize,
    /// The method.
    pub method: String,
    /// Path and parameters.
    pub target: String,
    /// Headers of [`HEADERS_KEPT`], `Host` as the target had it where that names one.
    pub headers: Vec<(&'static str, String)>,
    /// What `X-Forwarded-For` says.
    pub forwarded_for: Option<String>,
    /// Whether `X-Forwarded-Proto` says `https`, where it is there.
    pub forwarded_tls: Option<bool>,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the client takes a further reply on this connection.
    pub keeps_alive: bool,
    /// Whether it speaks HTTP/1.0, and has to be told that the connection stays.
    pub is_old: bool,
    /// Whether it waits to be told to send the body.
    pub expects_continue: bool,
}

/// Why a request is refused: the status and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the reply.
    pub status: u16,
    /// Its detail.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }
}

fn bad(detail: &str) -> Refusal {
    Refusal::new(400, detail)
}

/// Reads the head at the start of a buffer; `None` while it is not all there.
///
/// # Errors
/// What is no request that this server takes; also one that is too long already.
pub fn read(buffer: &[u8]) -> Result<Option<Head>, Refusal> {
    // an empty line before a request is what some old clients end bodies with
    let empty = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    let buffer = &buffer[empty..];
    let end = memchr::memmem::find(&buffer[..buffer.len().min(limits::HEAD_BYTES)], b"\r\n\r\n");
    let seen = &buffer[..end.map_or(buffer.len(), |end| end + 4)];
    line_ends(seen)?;
    let Some(end) = end else { return unfinished(buffer).map(|()| None) };
    let mut head = parse(&buffer[..end + 4])?;
    head.bytes += empty;
    Ok(Some(head))
}

/// A line ends with CR and LF, and neither is anywhere else.
fn line_ends(bytes: &[u8]) -> Result<(), Refusal> {
    for at in memchr::memchr2_iter(b'\r', b'\n', bytes) {
        let is_pair = match bytes[at] {
            b'\r' => bytes.get(at + 1).is_none_or(|next| *next == b'\n'),
            _ => at > 0 && bytes[at - 1] == b'\r',
        };
        if !is_pair {
            return Err(bad("the head has a CR or LF by itself; end its lines with CR LF"));
        }
    }
    Ok(())
}

/// Refuses what will be no head, or too long a one, before it is all there.
fn unfinished(buffer: &[u8]) -> Result<(), Refusal> {
    let first = memchr::memchr(b'\r', buffer);
    let is_text = |byte: &u8| (b' '..=b'~').contains(byte);
    let line = &buffer[..first.unwrap_or(buffer.len()).min(METHOD_BYTES_MAX)];
    if !line.iter().all(is_text) {
        // the first record of TLS, for one
        return Err(bad(
            "this is no HTTP request; the server speaks HTTP/1.1, and TLS only where it is set up",
        ));
    }
    if first.is_none() && buffer.len() > limits::TARGET_BYTES + METHOD_BYTES_MAX {
        return Err(too_long_a_target());
    }
    if buffer.len() >= limits::HEAD_BYTES {
        let most = limits::HEAD_BYTES >> 10;
        return Err(Refusal::new(431, format!("the head of the request is larger than {most} KiB")));
    }
    Ok(())
}

fn too_long_a_target() -> Refusal {
    let most = limits::TARGET_BYTES >> 10;
    Refusal::new(
        414,
        format!("the URL is longer than {most} KiB; send long questions to POST /v1/query or /v1/sql"),
    )
}

fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut lines);
    parsed.parse(bytes).map_err(|e| of_parser(e, bytes))?;
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let is_old = parsed.version == Some(0);
    if method.len() > METHOD_BYTES_MAX || method == "CONNECT" {
        return Err(Refusal::new(501, "this method is not known here; the server is no proxy"));
    }
    let (target, authority) = target_of(method, target)?;
    let mut head = Head {
        bytes: bytes.len(),
        method: method.to_owned(),
        target,
        headers: Vec::new(),
        forwarded_for: None,
        forwarded_tls: None,
        framing: Framing::Length(0),
        keeps_alive: !is_old,
        is_old,
        expects_continue: false,
    };
    take_headers(&mut head, parsed.headers)?;
    head.framing = framing(parsed.headers, is_old)?;
    if let Some(authority) = authority {
        // RFC 9112, 3.2.2: the target counts
        head.headers.retain(|(name, _)| *name != "host");
        head.headers.push(("host", authority));
    }
    Ok(head)
}

fn of_parser(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::Version if version_is_other(bytes) => {
            Refusal::new(505, "the server speaks HTTP/1.1 and HTTP/1.0 only")
        }
        httparse::Error::TooManyHeaders => {
            Refusal::new(431, format!("the request has more than {HEADERS_MAX} headers"))
        }
        other => bad(&format!("the head of the request cannot be read: {other}")),
    }
}

/// Whether the first line ends with a version that is one of HTTP's.
fn version_is_other(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|byte| *byte == b' ').skip(2);
    let (Some(version), None) = (parts.next(), parts.next()) else { return false };
    let number = version.strip_prefix(b"HTTP/").unwrap_or_default();
    matches!(number, [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
        || matches!(number, [major] if major.is_ascii_digit())
}

/// Path with parameters, and the authority where the target has one.
fn target_of(method: &str, target: &str) -> Result<(String, Option<String>), Refusal> {
    if target.len() > limits::TARGET_BYTES {
        return Err(too_long_a_target());
    }
    if !target.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'#') {
        return Err(bad("the URL holds characters that have to be written as %XX"));
    }
    if target.starts_with('/') || target == "*" && method == "OPTIONS" {
        return Ok((target.to_owned(), None));
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
    });
    let Some(rest) = rest else { return Err(bad("the URL begins with no /")) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') || !is_host(authority.as_bytes()) {
        return Err(bad("the URL names no host"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((format!("{slash}{path}"), Some(authority.to_owned())))
}

fn is_host(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~[]:%!$&'()*+,;=".contains(byte);
    !text.is_empty() && text.iter().all(is_part)
}

/// Keeps what handlers look at, and learns what the connection needs.
fn take_headers(head: &mut Head, lines: &[httparse::Header<'_>]) -> Result<(), Refusal> {
    let (mut hosts, mut upgrades) = (0, false);
    for line in lines {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        if is("host") {
            hosts += 1;
            if hosts > 1 || !is_host(line.value) && !line.value.is_empty() {
                return Err(bad("a request has one Host header, with the name of a host"));
            }
        }
        if let Some(kept) = HEADERS_KEPT.iter().find(|kept| is(kept)) {
            head.headers.push((kept, text(line.value)));
        } else if is("x-forwarded-for") {
            // several lines are one list
            let before = head.forwarded_for.take().map_or_else(String::new, |before| before + ",");
            head.forwarded_for = Some(before + &text(line.value));
        } else if is("x-forwarded-proto") {
            head.forwarded_tls = Some(text(line.value).eq_ignore_ascii_case("https"));
        } else if is("connection") {
            for token in text(line.value).split(',').map(str::trim) {
                if token.eq_ignore_ascii_case("close") {
                    head.keeps_alive = false;
                } else if token.eq_ignore_ascii_case("upgrade") {
                    upgrades = !head.is_old;
                } else if token.eq_ignore_ascii_case("keep-alive") && head.is_old {
                    head.keeps_alive = true;
                }
            }
        } else if is("expect") {
            if !text(line.value).eq_ignore_ascii_case("100-continue") {
                return Err(Refusal::new(417, "the only expectation that is met is 100-continue"));
            }
            head.expects_continue = !head.is_old;
        }
    }
    if !upgrades {
        // RFC 9110, 7.8: it is for this connection, or for nobody
        head.headers.retain(|(name, _)| *name != "upgrade");
    }
    if hosts == 0 && !head.is_old {
        return Err(bad("a request of HTTP/1.1 has a Host header"));
    }
    Ok(())
}

/// The server behind takes ASCII alone. Anything else becomes DEL, which nothing that counts may hold, so what is made of it is
/// refused and not taken for something else.
fn text(value: &[u8]) -> String {
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~' | b'\t') { char::from(*byte) } else { '\x7f' };
    value.iter().map(shown).collect::<String>().trim().to_owned()
}

fn framing(lines: &[httparse::Header<'_>], is_old: bool) -> Result<Framing, Refusal> {
    let values = |name: &'static str| {
        lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    };
    let mut lengths = values("content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(bad("the request has several Content-Lengths; send one"));
    }
    let mut encodings = values("transfer-encoding");
    let Some(encoding) = encodings.next() else {
        return length.map_or(Ok(Framing::Length(0)), of_length);
    };
    if is_old || length.is_some() || encodings.next().is_some() {
        return Err(bad("Transfer-Encoding goes with HTTP/1.1, once, and without Content-Length"));
    }
    if !encoding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
        let detail = "the only Transfer-Encoding that is taken is chunked; compress with Content-Encoding";
        return Err(Refusal::new(501, detail));
    }
    Ok(Framing::Chunked)
}

fn of_length(value: &[u8]) -> Result<Framing, Refusal> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad(&format!("Content-Length \"{}\" is no number of bytes", text(value))));
    }
    // digits that are no number are too many of them
    let length =
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX);
    if length > limits::BODY_BYTES {
        return Err(too_large_a_body());
    }
    Ok(Framing::Length(length))
}

/// A body beyond [`limits::BODY_BYTES`].
pub fn too_large_a_body() -> Refusal {
    let most = limits::BODY_BYTES >> 20;
    Refusal::new(
        413,
        format!("the body is larger than {most} MiB; send it in parts, or use `windrow import`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        read(text.as_bytes()).unwrap().expect("the head is whole")
    }

    fn status(text: &[u8]) -> u16 {
        read(text).map(|head| head.map(|head| head.target)).expect_err("refused").status
    }

    /// A head with a Host and these lines.
    fn with(lines: &str) -> String {
        format!("POST /v1/x HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
    }

    #[test]
    fn a_head_is_what_handlers_and_the_connection_need() {
        let text = "POST /v1/x?a=1 HTTP/1.1\r\nHost: a:80\r\nACCEPT:  text/csv \r\nX-Other: y\r\nContent-Length: 5\r\n\
                    X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8\r\nExpect: 100-continue\r\n\r\nhello";
        let head = head(text);
        assert_eq!((&*head.method, &*head.target, head.bytes), ("POST", "/v1/x?a=1", text.len() - 5));
        assert_eq!(head.headers, [("host", "a:80".to_owned()), ("accept", "text/csv".to_owned())]);
        assert_eq!(head.forwarded_for.as_deref(), Some("1.2.3.4,5.6.7.8"));
        assert_eq!(head.framing, Framing::Length(5));
        assert!(head.keeps_alive && !head.is_old && head.expects_continue);
    }

    #[test]
    fn a_head_that_is_not_all_there_is_waited_for() {
        let text = with("Content-Length: 5\r\n");
        for end in 0..text.len() {
            assert_eq!(read(&text.as_bytes()[..end]).unwrap(), None, "{end}");
        }
        assert!(read(text.as_bytes()).unwrap().is_some());
        let after_an_empty_line = format!("\r\n{text}");
        assert_eq!(head(&after_an_empty_line).bytes, text.len() + 2);
    }

    #[test]
    fn connections_stay_by_the_version_and_what_is_asked() {
        for (version, lines, stays) in [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: x, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
        ] {
            let head = head(&format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n"));
            assert_eq!((head.keeps_alive, head.is_old), (stays, version == "1.0"), "{version} {lines}");
        }
        assert_eq!(head("GET / HTTP/1.0\r\n\r\n").headers, [], "needs no Host");
    }

    #[test]
    fn a_whole_url_names_the_host() {
        let head = head("GET http://b:8/p?q HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((&*head.target, &head.headers[..]), ("/p?q", &[("host", "b:8".to_owned())][..]));
        assert_eq!(super::read(b"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap().target, "/");
        assert_eq!(
            super::read(b"GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap().target,
            "/?q"
        );
        assert_eq!(super::read(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().unwrap().target, "*");
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        for (lines, wanted) in [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -5\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length: 5 5\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: \u{b5}\r\n", 400),
            ("Content-Length: 4611686018427387904\r\n", 413),
            ("Content-Length: 99999999999999999999999999\r\n", 413),
            ("Content-Length: 67108865\r\n", 413),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked, chunked\r\n", 501),
            ("Transfer-Encoding: gzip\r\n", 501),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: xchunked\r\n", 501),
            ("Transfer-Encoding: \"chunked\"\r\n", 501),
            ("Transfer-Encoding:\r\n", 501),
            ("Transfer-Encoding : chunked\r\n", 400),
            (" Transfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\n folded: yes\r\n", 400),
            ("Transfer\u{0}-Encoding: chunked\r\n", 400),
            ("X: a\u{0}b\r\n", 400),
            ("X: a\u{7f}b\r\n", 400),
            ("X: a\rb\r\n", 400),
            ("X: a\nContent-Length: 5\r\n", 400),
            ("no colon\r\n", 400),
            (": no name\r\n", 400),
            ("a b: c\r\n", 400),
            ("Host: b\r\n", 400),
            ("Expect: 200-ok\r\n", 417),
        ] {
            assert_eq!(status(with(lines).as_bytes()), wanted, "{lines:?}");
        }
        let chunked = head(&with("transfer-encoding: Chunked\r\n"));
        assert_eq!(chunked.framing, Framing::Chunked);
    }

    #[test]
    fn first_lines_that_are_none_are_refused() {
        for (line, wanted) in [
            ("GET / HTTP/2.0", 505),
            ("PRI * HTTP/2.0", 505),
            ("GET / HTTP/3", 505),
            ("GET / HTTP/0.9", 505),
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/11.1", 400),
            ("GET / http/1.1", 400),
            ("GET /", 400),
            ("GET", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / HTTP/1.1 ", 400),
            (" GET / HTTP/1.1", 400),
            ("GET /a b HTTP/1.1", 400),
            ("G\u{0}T / HTTP/1.1", 400),
            ("G(T / HTTP/1.1", 400),
            ("GET /\u{e9} HTTP/1.1", 400),
            ("GET /a#b HTTP/1.1", 400),
            ("GET a HTTP/1.1", 400),
            ("GET * HTTP/1.1", 400),
            ("GET ftp://a/ HTTP/1.1", 400),
            ("GET http://user@a/ HTTP/1.1", 400),
            ("GET http:///a HTTP/1.1", 400),
            ("CONNECT a:80 HTTP/1.1", 501),
            ("AVERYLONGMETHODTHATNOBODYKNOWSOFTODAY / HTTP/1.1", 501),
        ] {
            assert_eq!(status(format!("{line}\r\nHost: a\r\n\r\n").as_bytes()), wanted, "{line:?}");
        }
        assert_eq!(status(b"GET / HTTP/1.1\r\n\r\n"), 400, "no Host");
        assert_eq!(status(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), 400, "TLS is told at its first bytes");
        assert_eq!(status(b"GET / HTTP/1.1\nHost: a\n\n"), 400, "lines end with CR LF");
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_all_there() {
        let target = format!("GET /{}", "a".repeat(limits::TARGET_BYTES + 100));
        assert_eq!(status(target.as_bytes()), 414);
        assert_eq!(status(format!("{target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()), 414);
        let line = format!("X: {}\r\n", "a".repeat(1_000));
        assert_eq!(status(format!("GET / HTTP/1.1\r\n{}", line.repeat(40)).as_bytes()), 431);
        assert_eq!(status(with(&"a: b\r\n".repeat(101)).as_bytes()), 431);
    }

    #[test]
    fn text_beyond_ascii_does_no_harm() {
        let text = with("Accept: caf\u{e9}\r\nUser-Agent: \u{1f980}\r\n");
        assert_eq!(head(&text).headers[1], ("accept", "caf\x7f\x7f".to_owned()));
    }

    proptest::proptest! {
        /// Whatever comes is a head, more to wait for, or a refusal, however it is cut.
        #[test]
        fn nothing_that_comes_is_met_with_a_panic(
            lines in proptest::collection::vec("[ -~\r\n\t\u{80}]{0,40}", 0..8),
            cut in 0usize..400,
        ) {
            let text = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
            let cut = &text.as_bytes()[..cut.min(text.len())];
            let early = read(cut);
            if let (Ok(Some(early)), Ok(Some(whole))) = (&early, &read(text.as_bytes())) {
                proptest::prop_assert_eq!(early, whole);
            }
        }
    }
}
