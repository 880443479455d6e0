//! Requests and replies as the handlers see them, free of any server: the path in decoded segments, parameters
//! decoded and each there once.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::{Error, Result, nearest};
use crate::http::live::line::Line;
use crate::http::negotiate;
use crate::query::format::Format;

/// The methods that routes know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    #[default]
    Get,
    /// As GET, without the body of the reply.
    Head,
    /// Adds, or asks with a body.
    Post,
    /// Declares.
    Put,
    /// Changes.
    Patch,
    /// Drops.
    Delete,
    /// Asks which methods a path has; every path has it.
    Options,
    /// Any other; no route has it.
    Other,
}

impl Method {
    /// Its name; a method that no route has is none of these.
    pub const ALL: [(Method, &'static str); 7] = [
        (Self::Get, "GET"),
        (Self::Head, "HEAD"),
        (Self::Post, "POST"),
        (Self::Put, "PUT"),
        (Self::Patch, "PATCH"),
        (Self::Delete, "DELETE"),
        (Self::Options, "OPTIONS"),
    ];

    /// The method of a name.
    pub fn of(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Other, |(method, _)| *method)
    }

    /// The name of the method.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(method, _)| *method == self).map_or("this method", |(_, name)| name)
    }
}

/// The headers that handlers look at; the others are not kept, as each would be an allocation a request.
pub const HEADERS_KEPT: [&str; 16] = [
    "accept",
    "accept-encoding",
    "access-control-request-method",
    "authorization",
    "content-encoding",
    "cookie",
    "host",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "origin",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
];

/// One request, read whole.
#[derive(Default)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path as it was sent, without parameters.
    pub path: String,
    /// Parameters in their order, decoded, each name once.
    pub parameters: Vec<(String, String)>,
    /// Headers of [`HEADERS_KEPT`], by that name.
    pub headers: Vec<(&'static str, String)>,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// Whether it came by TLS.
    pub is_secure: bool,
    /// Becomes true when the client goes away before it is answered.
    pub abandoned: Arc<AtomicBool>,
    /// Where it comes from; `None` for a socket of this machine.
    pub address: Option<IpAddr>,
    /// The way to its client, for a handler that tells what is new.
    pub line: Option<Arc<Line>>,
}

impl std::fmt::Debug for Request {
    /// Without headers and body, which may have secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method.name(), self.path)
    }
}

impl Request {
    /// A request from its target: path and parameters, with or without `http://host` before it.
    ///
    /// # Errors
    /// A parameter that cannot be decoded or is there twice.
    pub fn new(method: Method, target: &str) -> Result<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = match path.split_once("://").filter(|_| !path.starts_with('/')) {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => path,
        };
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode_form(name)?, decode_form(value)?);
            if parameters.iter().any(|(known, _)| *known == name) {
                return Err(Error::invalid(format!("the parameter \"{name}\" is there twice; give it once")));
            }
            parameters.push((name, value));
        }
        Ok(Self { method, path: path.to_owned(), parameters, ..Self::default() })
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that are none of these.
    ///
    /// # Errors
    /// The first other one, with the nearest of these.
    pub fn allow_parameters(&self, known: &[&str]) -> Result<()> {
        let Some((other, _)) = self.parameters.iter().find(|(name, _)| !known.contains(&name.as_str()))
        else {
            return Ok(());
        };
        let hint = nearest(other, known.iter().copied());
        let all = match known {
            [] => "it takes none".to_owned(),
            known => format!("it takes {}", known.join(", ")),
        };
        Err(Error::invalid(format!("{} has no parameter \"{other}\"; {all}{hint}", self.path)))
    }

    /// All values of a header of [`HEADERS_KEPT`].
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The format of the reply by `Accept`.
    pub fn format(&self) -> Format {
        negotiate::format(self)
    }
}

/// One reply.
#[derive(Debug, Default)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers beside those that every reply has.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// 200 with a body.
    pub fn ok(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, headers: vec![("Content-Type", content_type.into())], body }
    }

    /// 200 with JSON.
    ///
    /// # Errors
    /// A bug: what does not serialize.
    pub fn json(value: &impl serde::Serialize) -> Result<Self> {
        let mut body = serde_json::to_vec(value)
            .map_err(|e| Error::Internal(format!("a reply does not serialize: {e}")))?;
        body.push(b'\n');
        Ok(Self::ok(Format::Json.content_type(), body))
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: 204, ..Self::default() }
    }

    /// 303 to a place of this server.
    pub fn see_other(place: &'static str) -> Self {
        Self { status: 303, headers: vec![("Location", place.into())], ..Self::default() }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// A part of a path: `%XX` are bytes of UTF-8.
///
/// # Errors
/// A `%` without two hexadecimal digits, and bytes that are not UTF-8.
pub fn decode_segment(text: &str) -> Result<String> {
    decode(text, false)
}

/// A name or value of a form: as [`decode_segment`], and `+` is a space.
///
/// # Errors
/// As [`decode_segment`].
pub fn decode_form(text: &str) -> Result<String> {
    decode(text, true)
}

fn decode(text: &str, plus_is_space: bool) -> Result<String> {
    let has_escape = text.contains('%') || plus_is_space && text.contains('+');
    if !has_escape {
        return Ok(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                // from_str_radix alone would take a sign
                let digits = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok()).ok_or_else(|| {
                    Error::invalid(format!("in \"{text}\" of the URL a % is not followed by two hexadecimal digits; write % as %25"))
                })?;
                bytes.push(byte);
                rest = &after[2..];
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::invalid(format!("\"{text}\" of the URL is not UTF-8 when decoded; encode text as UTF-8"))
    })
}

/// A text for a parameter: everything but unreserved characters as `%XX`.
///
/// ```
/// assert_eq!(windrow::http::message::encode("a <> 'ü'"), "a%20%3C%3E%20%27%C3%BC%27");
/// ```
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(target: &str) -> String {
        Request::new(Method::Get, target).expect_err("refused").to_string()
    }

    #[test]
    fn a_target_is_path_and_decoded_parameters() {
        let request =
            Request::new(Method::Get, "/v1/x/rows?where=a+%3E%201%2B1&order=-n&empty=&bare").unwrap();
        assert_eq!(request.path, "/v1/x/rows");
        assert_eq!(request.parameter("where"), Some("a > 1+1"));
        assert_eq!((request.parameter("empty"), request.parameter("bare")), (Some(""), Some("")));
        assert_eq!(request.parameter("absent"), None);
        let absolute = Request::new(Method::Get, "http://host:80/v1/y?n=1").unwrap();
        assert_eq!((absolute.path.as_str(), absolute.parameter("n")), ("/v1/y", Some("1")));
        assert_eq!(Request::new(Method::Get, "http://host").unwrap().path, "/");
        assert_eq!(Request::new(Method::Get, "/v1/x://y/healthz").unwrap().path, "/v1/x://y/healthz");
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        assert!(refusal("/x?where=%F").contains("%25"));
        assert!(refusal("/x?where=%ZZ").contains("%25"));
        assert!(refusal("/x?where=%+1").contains("%25"));
        assert!(refusal("/x?where=%FF").contains("UTF-8"));
        assert!(refusal("/x?a=1&a=2").contains("\"a\""));
        assert!(decode_segment("caf%C3%A9+").is_ok_and(|text| text == "café+"));
    }

    #[test]
    fn an_unknown_parameter_names_the_nearest() {
        let request = Request::new(Method::Get, "/x?limti=1").unwrap();
        let refused = request.allow_parameters(&["limit", "where"]).unwrap_err().to_string();
        assert!(refused.contains("limti") && refused.contains("did you mean \"limit\""), "{refused}");
        assert!(request.allow_parameters(&[]).unwrap_err().to_string().contains("none"));
        request.allow_parameters(&["limti"]).unwrap();
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        let text = "n < 100 and s <> 'ü', \"props.plan\" = '+%'";
        let encoded = encode(text);
        assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%".contains(&b)), "{encoded}");
        assert_eq!(decode_form(&encoded).unwrap(), text);
    }

    #[test]
    fn methods_have_names() {
        for (method, name) in Method::ALL {
            assert_eq!((Method::of(name), method.name()), (method, name));
        }
        assert_eq!(Method::of("TRACE"), Method::Other);
    }
}
