//! The payload of a job of the kind `http`: read once when it is submitted, so that what cannot be called is refused there, and
//! again when it is run. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::app::outgoing::url::Url;
use crate::config::span;
use crate::error::{Error, Result};
use crate::fields::{check_dataset_name, check_is_no_own};
use crate::limits;
use crate::private::Private;

const SHAPE: &str = "it is such as {\"url\": \"https://example.org/hook\", \"method\": \"POST\", \"headers\": {\"x-topic\": \"a\"}, \
                     \"body\": {\"n\": 1}, \"timeout\": \"30s\", \"dataset\": \"calls\"}; all but url may be left out";

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that are ours to write: they say where a request ends, and to whom it goes.
const OWN_HEADERS: [&str; 12] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "accept-encoding",
];

/// The payload as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A text as it is, anything else as JSON.
    body: Option<Value>,
    timeout: Option<String>,
    response_bytes: Option<usize>,
    redirects: Option<usize>,
    expect: Option<Expected>,
    keep_body: Option<bool>,
    dataset: Option<String>,
}

/// The statuses that are no failure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Expected {
    These(Vec<u16>),
    Word(String),
}

/// A call that can be made.
#[derive(Debug)]
pub(super) struct Call {
    pub url: Url,
    pub method: &'static str,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub timeout: Duration,
    /// Bytes of the body of the reply.
    pub most: usize,
    pub redirects: usize,
    /// The statuses that are no failure; `None`: those from 200 to 299.
    expect: Option<Vec<u16>>,
    pub keeps_body: bool,
    pub dataset: Option<String>,
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the payload of a job of the kind http: {what}"))
}

impl Call {
    /// Reads a payload.
    ///
    /// # Errors
    /// What cannot be called, with the reason.
    pub fn of(payload: &Value) -> Result<Self> {
        let found = Payload::deserialize(payload).map_err(|e| wrong(format!("{e}; {SHAPE}")))?;
        let url = Url::read(&found.url)?;
        let mut headers = headers(found.headers)?;
        let body = found.body.map(|body| match body {
            Value::String(text) => text.into_bytes(),
            json => {
                if !headers.iter().any(|(name, _)| name == "content-type") {
                    headers.push(("content-type".into(), "application/json".into()));
                }
                json.to_string().into_bytes()
            }
        });
        let method = found.method.as_deref().unwrap_or(if body.is_some() { "POST" } else { "GET" });
        let method = METHODS.into_iter().find(|known| *known == method).ok_or_else(|| {
            wrong(format!("\"{}\" is none of the methods {}", method.escape_debug(), METHODS.join(", ")))
        })?;
        if body.is_some() && matches!(method, "GET" | "HEAD") {
            return Err(wrong(format!("a {method} has no body; leave it out, or use another method")));
        }
        let timeout = found.timeout.as_deref().map(span).transpose();
        let timeout = timeout.map_err(|e| wrong(format!("timeout: {e}")))?.unwrap_or(limits::OUTGOING_TIME);
        if timeout > limits::JOB_DEADLINE {
            return Err(wrong("timeout is longer than an hour"));
        }
        let bounded = |name: &str, value: Option<usize>, usual: usize, most: usize| match value {
            Some(number) if number > most => Err(wrong(format!("{name} is {number}, and {most} at most"))),
            value => Ok(value.unwrap_or(usual)),
        };
        let most = limits::OUTGOING_REPLY_BYTES;
        let dataset = found.dataset;
        if let Some(name) = &dataset {
            check_is_no_own(name)?;
            check_dataset_name(name)?;
        }
        Ok(Self {
            url,
            method,
            headers,
            body,
            timeout,
            most: bounded("response_bytes", found.response_bytes, most, most)?,
            redirects: bounded("redirects", found.redirects, limits::OUTGOING_REDIRECTS, 10)?,
            expect: expected(found.expect)?,
            keeps_body: found.keep_body.unwrap_or(true),
            dataset,
        })
    }

    /// Refuses an address in the URL itself that may not be called; where names lead is seen when it is run.
    ///
    /// # Errors
    /// `Invalid`, naming the setting.
    pub fn check_address(&self, private: &Private) -> Result<()> {
        match self.url.host.parse() {
            Ok(address) if !private.permits(address) => Err(not_public(&self.url.host, &self.url.host)),
            _ => Ok(()),
        }
    }

    /// Whether a status was named, and is not to be followed.
    pub fn expects_exactly(&self, status: u16) -> bool {
        self.expect.as_ref().is_some_and(|these| these.contains(&status))
    }

    /// Whether a status is what was hoped for.
    pub fn expects(&self, status: u16) -> bool {
        self.expect
            .as_ref()
            .map_or((200..300).contains(&status), |these| these.is_empty() || these.contains(&status))
    }
}

/// The refusal of an address.
pub(super) fn not_public(host: &str, address: &str) -> Error {
    Error::Forbidden(format!(
        "{host} is at {address}, which is no address of the public network; jobs call private ones only where the setting \
         jobs_http_private names them"
    ))
}

fn expected(found: Option<Expected>) -> Result<Option<Vec<u16>>> {
    match found {
        None => Ok(None),
        Some(Expected::Word(word)) if word == "any" => Ok(Some(Vec::new())),
        Some(Expected::These(these))
            if !these.is_empty() && these.iter().all(|status| (200..600).contains(status)) =>
        {
            Ok(Some(these))
        }
        Some(_) => Err(wrong("expect is a list of statuses from 200 to 599, or \"any\"")),
    }
}

fn headers(found: BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_text = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
    let mut headers: Vec<(String, String)> = Vec::with_capacity(found.len());
    let mut bytes = 0;
    for (name, value) in found {
        let shown = name.escape_debug();
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(wrong(format!("\"{shown}\" is no name of a header")));
        }
        let small = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&small.as_str()) {
            return Err(wrong(format!("the header {shown} is written for you, and cannot be set")));
        }
        if !value.bytes().all(is_text) {
            return Err(wrong(format!(
                "the value of the header {shown} has letters that are not printable ASCII"
            )));
        }
        if headers.iter().any(|(known, _)| *known == small) {
            return Err(wrong(format!("the header {shown} is there twice, in other letters")));
        }
        bytes += small.len() + value.len() + 4;
        headers.push((small, value.trim_matches([' ', '\t']).to_owned()));
    }
    if headers.len() > 64 || bytes > limits::OUTGOING_HEAD_BYTES {
        return Err(wrong(format!(
            "it has more than 64 headers, or {} bytes of them",
            limits::OUTGOING_HEAD_BYTES
        )));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_as_usual() {
        let call = Call::of(&json!({"url": "http://a.org"})).unwrap();
        assert_eq!((call.method, call.body.as_deref(), call.timeout), ("GET", None, Duration::from_secs(30)));
        assert_eq!((call.most, call.redirects, call.keeps_body), (1 << 20, 5, true));
        assert!(call.expects(200) && call.expects(204) && !call.expects(302) && !call.expects(404));
        let call = Call::of(&json!({"url": "http://a.org", "body": {"n": 1}, "expect": [200, 404]})).unwrap();
        assert_eq!((call.method, call.body.as_deref()), ("POST", Some(&br#"{"n":1}"#[..])));
        assert_eq!(call.headers, [("content-type".to_owned(), "application/json".to_owned())]);
        assert!(call.expects(404) && !call.expects(204));
        let text = json!({"url": "http://a.org", "body": "as it is", "method": "PUT", "headers": {"X-A": " b "},
                          "timeout": "250ms", "expect": "any"});
        let call = Call::of(&text).unwrap();
        assert_eq!((call.method, call.body.as_deref()), ("PUT", Some(&b"as it is"[..])));
        assert_eq!((call.headers, call.timeout.as_millis()), (vec![("x-a".to_owned(), "b".to_owned())], 250));
        assert!(call.expect.is_some_and(|these| these.is_empty()));
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_the_reason() {
        for (more, word) in [
            (json!({"url": "ftp://a"}), "http://"),
            (json!({"url": 1}), "url"),
            (json!({"uri": "http://a"}), "uri"),
            (json!({"method": "get"}), "GET"),
            (json!({"method": "CONNECT"}), "GET"),
            (json!({"method": "GET", "body": "a"}), "no body"),
            (json!({"headers": {"a b": "c"}}), "no name of a header"),
            (json!({"headers": {"": "c"}}), "no name of a header"),
            (json!({"headers": {"a": "b\r\nc: d"}}), "printable ASCII"),
            (json!({"headers": {"a\r\nb": "c"}}), "no name of a header"),
            (json!({"headers": {"Host": "b"}}), "written for you"),
            (json!({"headers": {"Content-Length": "7"}}), "written for you"),
            (json!({"headers": {"transfer-encoding": "chunked"}}), "written for you"),
            (json!({"headers": {"a": "b", "A": "c"}}), "twice"),
            (json!({"headers": {"a": 1}}), "string"),
            (json!({"headers": {"a": "x".repeat(70_000)}}), "bytes"),
            (json!({"timeout": "soon"}), "timeout"),
            (json!({"timeout": "2h"}), "hour"),
            (json!({"response_bytes": 1 << 30}), "1048576"),
            (json!({"redirects": 11}), "10"),
            (json!({"expect": []}), "any"),
            (json!({"expect": [100]}), "599"),
            (json!({"expect": "all"}), "any"),
            (json!({"dataset": "_audit"}), "own"),
            (json!({"dataset": "No"}), "No"),
        ] {
            let mut payload = json!({"url": "http://a.org"});
            for (name, value) in more.as_object().unwrap() {
                payload[name] = value.clone();
            }
            let refused = Call::of(&payload).unwrap_err().to_string();
            assert!(refused.contains(word), "{payload}: {refused}");
        }
    }

    #[test]
    fn an_address_in_the_url_is_looked_at_before_the_job_is_stored() {
        let check = |url: &str, private: &str| {
            Call::of(&json!({ "url": url })).unwrap().check_address(&Private::read(private).unwrap())
        };
        assert!(check("http://127.0.0.1/", "").unwrap_err().to_string().contains("jobs_http_private"));
        assert!(check("http://[::ffff:127.0.0.1]/", "").is_err());
        assert!(check("http://127.0.0.1/", "127.0.0.0/8").is_ok() && check("http://1.1.1.1/", "").is_ok());
        assert!(check("http://localhost/", "").is_ok(), "where a name leads is seen later");
    }
}
