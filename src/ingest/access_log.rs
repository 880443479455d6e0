//! Access logs to rows: the Common and Combined formats that Apache, nginx and others write, one request a line.
//! `import` decodes lines with [`record`], and `format` asks [`is_line`] what a file is.
//!
//! ```text
//! client ident user [time] "method path?query protocol" status bytes "referrer" "user agent"
//! ```
//!
//! Clients send anything, and servers write it down: what is no request line becomes the path as it is. A line that
//! was cut off within its last quoted field is taken, because a server that is killed, or a log that is rotated by
//! copying, leaves one.

use std::borrow::Cow;
use std::sync::Arc;

use crate::columnar::Block;
use crate::columnar::builder::Cell;
use crate::columnar::column::Column;
use crate::ingest::rows::Rows;
use crate::limits;
use crate::time;

/// What a line holds; `None` is a dash, or nothing.
#[derive(Debug, Default, PartialEq)]
struct Line<'a> {
    client: Option<&'a str>,
    user: Option<&'a str>,
    time_us: i64,
    request: Request<'a>,
    status: Option<i64>,
    bytes: Option<i64>,
    referrer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
}

/// The first line of a request, in its parts where it has them.
#[derive(Debug, Default, PartialEq)]
struct Request<'a> {
    method: Option<&'a str>,
    path: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    protocol: Option<&'a str>,
}

/// Reads one line and ends its row: kept, or rejected with the reason.
pub fn record(raw: &[u8], place: u64, rows: &mut Rows<'_>) {
    match text_of(raw).and_then(parse).and_then(|line| line.put(rows)) {
        Ok(()) => {
            rows.end_row(place);
        }
        Err(reason) => rows.reject_row(place, reason),
    }
}

/// Whether a line is one of an access log.
pub fn is_line(raw: &[u8]) -> bool {
    text_of(raw).and_then(parse).is_ok()
}

/// The fields that every access log has.
const FIELDS: [&str; 11] = [
    "client",
    "user",
    "time",
    "method",
    "path",
    "query",
    "protocol",
    "status",
    "bytes",
    "referrer",
    "user_agent",
];

/// Adds the fields that no line had a value in: a log whose users never sign in has a `user` that can be asked for.
pub fn complete(block: &mut Block) {
    let missing: Vec<&str> = FIELDS.into_iter().filter(|name| block.column(name).is_none()).collect();
    for name in missing {
        block.set_column(name.into(), Arc::new(Column::null(block.rows())));
    }
}

fn text_of(raw: &[u8]) -> Result<&str, String> {
    if raw.len() > limits::RECORD_BYTES {
        return Err(format!("the line has {} bytes, more than {}", raw.len(), limits::RECORD_BYTES));
    }
    let text = std::str::from_utf8(raw)
        .map_err(|e| format!("byte {} is not UTF-8; send the text as UTF-8", e.valid_up_to() + 1))?;
    Ok(text.trim_ascii())
}

impl Line<'_> {
    fn put(&self, rows: &mut Rows<'_>) -> Result<(), String> {
        let mut put = |name: &str, cell: Option<Cell<'_>>| {
            let id = rows.name(name)?;
            cell.map_or(Ok(()), |cell| rows.set(id, name, cell))
        };
        put("client", self.client.map(Cell::Text))?;
        put("user", self.user.map(Cell::Text))?;
        put("time", Some(Cell::Time(self.time_us)))?;
        put("method", self.request.method.map(Cell::Text))?;
        put("path", self.request.path.as_deref().map(Cell::Text))?;
        put("query", self.request.query.as_deref().map(Cell::Text))?;
        put("protocol", self.request.protocol.map(Cell::Text))?;
        put("status", self.status.map(Cell::Int))?;
        put("bytes", self.bytes.map(Cell::Int))?;
        put("referrer", self.referrer.as_deref().map(Cell::Text))?;
        put("user_agent", self.user_agent.as_deref().map(Cell::Text))
    }
}

/// Takes a line apart, or tells why it is none.
fn parse(text: &str) -> Result<Line<'_>, String> {
    let no_log = |what: &str| {
        let start: String = text.chars().take(40).collect();
        format!("this is no line of an access log: {what} in \"{start}\"")
    };
    let (client, rest) = text.split_once(' ').ok_or_else(|| no_log("there is one word only"))?;
    let (_ident, rest) = rest.split_once(' ').ok_or_else(|| no_log("there are two words only"))?;
    let (user, rest) = rest.split_once(" [").ok_or_else(|| no_log("there is no time in brackets"))?;
    let (time_text, rest) = rest.split_once("] \"").ok_or_else(|| no_log("no request follows the time"))?;
    let time_us = time::parse(time_text)
        .ok_or_else(|| no_log(&format!("the time \"{time_text}\" is not as 10/Oct/2000:13:55:36 -0700")))?;
    let (request, rest) = request_text(rest).ok_or_else(|| no_log("no status follows the request"))?;
    let mut words = rest.splitn(3, ' ');
    let status = number(words.next()).ok_or_else(|| no_log("the status is no number"))?;
    let bytes = number(words.next()).ok_or_else(|| no_log("the number of bytes is none"))?;
    let (referrer, rest) = quoted(words.next().unwrap_or_default());
    let (user_agent, _) = quoted(rest);
    Ok(Line {
        client: said(client),
        user: said(user),
        time_us,
        request: Request::of(request),
        status,
        bytes,
        referrer,
        user_agent,
    })
}

/// The text of the request, and what follows its closing quote: the quote that a status stands behind. Old servers
/// wrote quotes of the client without a backslash.
fn request_text(rest: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let end = closing_quote(rest, from)?;
        let after = rest[end + 1..].strip_prefix(' ');
        let is_status = |after: &&str| after.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        match after.filter(is_status) {
            Some(after) => return Some((&rest[..end], after)),
            None => from = end + 1,
        }
    }
}

/// A field in quotes, and what follows it. One whose closing quote is missing goes to the end of the line.
fn quoted(text: &str) -> (Option<Cow<'_, str>>, &str) {
    let Some(inner) = text.strip_prefix('"') else { return (None, "") };
    match closing_quote(inner, 0) {
        Some(end) => (plain(&inner[..end]), inner[end + 1..].trim_ascii_start()),
        None => (plain(inner), ""),
    }
}

/// The first quote at or after a place that no backslash escapes.
fn closing_quote(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// A field without the backslashes before its quotes and backslashes; other escapes, such as `\x16`, stay as they are.
fn plain(text: &str) -> Option<Cow<'_, str>> {
    let text = said(text)?;
    if !text.contains("\\\"") && !text.contains("\\\\") {
        return Some(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next_if(|next| matches!(next, '"' | '\\')) } else { None };
        out.push(escaped.unwrap_or(c));
    }
    Some(Cow::Owned(out))
}

fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty() && *text != "-")
}

/// A number, or a dash for none; `None` where it is neither.
fn number(word: Option<&str>) -> Option<Option<i64>> {
    match word? {
        "-" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

impl<'a> Request<'a> {
    /// Method, target and protocol, where the text has all of them, or the first two as before HTTP/1.0; else all
    /// of it is the path.
    fn of(text: &'a str) -> Self {
        let is_method = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'))
        };
        let unsplit = || Self { path: plain(text), ..Self::default() };
        let Some((method, rest)) = text.split_once(' ').filter(|(method, _)| is_method(method)) else {
            return unsplit();
        };
        let (target, protocol) = match rest.rsplit_once(' ') {
            Some((target, protocol)) if protocol.starts_with("HTTP/") => (target, Some(protocol)),
            None if rest.starts_with(['/', '*']) => (rest, None),
            _ => return unsplit(),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, plain(query)),
            None => (target, None),
        };
        Self { method: Some(method), path: plain(path), query, protocol }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "1.2.3.4 - - [10/Oct/2000:13:55:36 -0700]";

    fn request(text: &str) -> [Option<String>; 4] {
        let line = format!("{HEAD} \"{text}\" 404 -");
        let Request { method, path, query, protocol } = parse(&line).expect(text).request;
        [
            method.map(str::to_owned),
            path.map(Cow::into_owned),
            query.map(Cow::into_owned),
            protocol.map(str::to_owned),
        ]
    }

    #[test]
    fn a_combined_line_has_eleven_fields() {
        let text = r#"::1 ident ann lee [10/Oct/2000:13:55:36 -0700] "GET /a?b=1&c=?2 HTTP/1.0" 200 2326 "http://x/\"y\"" "Agent \"7\" \\ \x16""#;
        let line = parse(text).expect("a line");
        assert_eq!((line.client, line.user), (Some("::1"), Some("ann lee")));
        assert_eq!(Some(line.time_us), time::parse("2000-10-10T20:55:36Z"));
        assert_eq!((line.status, line.bytes), (Some(200), Some(2326)));
        assert_eq!(line.referrer.as_deref(), Some("http://x/\"y\""));
        assert_eq!(line.user_agent.as_deref(), Some("Agent \"7\" \\ \\x16"));
        let Request { method, path, query, protocol } = line.request;
        assert_eq!((method, path.as_deref()), (Some("GET"), Some("/a")));
        assert_eq!((query.as_deref(), protocol), (Some("b=1&c=?2"), Some("HTTP/1.0")));
    }

    #[test]
    fn a_common_line_and_dashes_leave_fields_empty() {
        let line = format!("{HEAD} \"-\" - -");
        let line = parse(&line).expect("a line");
        assert_eq!((line.client, line.user, line.status, line.bytes), (Some("1.2.3.4"), None, None, None));
        assert_eq!((line.request, line.referrer, line.user_agent), (Request::default(), None, None));
    }

    #[test]
    fn a_line_cut_off_inside_its_last_field_is_taken() {
        let whole = format!("{HEAD} \"GET / HTTP/1.1\" 200 5 \"http://r/\" \"Mozilla/5.0 \\\"x");
        let line = parse(&whole).expect("a line");
        assert_eq!(line.user_agent.as_deref(), Some("Mozilla/5.0 \"x"));
        let line = parse(whole.split(" \"Moz").next().unwrap().trim_end_matches('"')).expect("a line");
        assert_eq!((line.referrer.as_deref(), line.user_agent), (Some("http://r/"), None));
        let line = parse(whole[..whole.len() - 1].trim_end_matches('"')).expect("a backslash at the end");
        assert_eq!(line.user_agent.as_deref(), Some("Mozilla/5.0 \\"));
    }

    #[test]
    fn what_is_no_request_line_is_the_path_as_it_is() {
        let some = |text: &str| Some(text.to_owned());
        for text in ["\\x16\\x03\\x01", "GET", "quit now then", "t3 12.1.2", "x\" y", "/a?b HTTP/1.1"] {
            assert_eq!(request(text), [None, some(text), None, None], "{text}");
        }
        assert_eq!(request(""), [None, None, None, None]);
        assert_eq!(request("GET /a b c HTTP/1.1"), [some("GET"), some("/a b c"), None, some("HTTP/1.1")]);
        assert_eq!(request("GET /a?"), [some("GET"), some("/a"), None, None]);
        assert_eq!(request("OPTIONS * HTTP/1.0"), [some("OPTIONS"), some("*"), None, some("HTTP/1.0")]);
        let quoted = request("GET /\\\"a\\\" HTTP/1.1");
        assert_eq!(quoted, [some("GET"), some("/\"a\""), None, some("HTTP/1.1")]);
    }

    #[test]
    fn other_lines_are_refused_with_the_reason() {
        for (line, reason) in [
            ("hello", "one word"),
            ("a b", "two words"),
            ("a b c d", "no time in brackets"),
            ("a b c [10/Oct/2000:13:55:36 -0700]", "no request"),
            ("a b c [yesterday] \"GET /\" 200 1", "yesterday"),
            ("a b c [10/Oct/2000:13:55:36 -0700] \"GET /", "no status"),
            ("a b c [10/Oct/2000:13:55:36 -0700] \"GET /\" 2x 1", "status"),
            ("a b c [10/Oct/2000:13:55:36 -0700] \"GET /\" 200", "bytes"),
        ] {
            let told = parse(line).expect_err(line);
            assert!(told.contains(reason) && told.contains("access log"), "{told}");
        }
    }
}
