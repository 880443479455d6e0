//! The URLs that jobs call, taken apart: what is read here is what the socket is opened for and what the request says, so there
//! are no two readings of one text. Pure.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::{Error, Result};
use crate::limits;

/// A URL of HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub is_encrypted: bool,
    /// A name in small letters, or an address, of IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// The path with the query.
    pub target: String,
}

fn refused(text: &str, why: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    Error::invalid(format!("\"{}\" is no URL that a job can call: {why}", shown.escape_debug()))
}

impl Url {
    pub fn read(text: &str) -> Result<Self> {
        let no = |why: &str| refused(text, why);
        if text.len() > limits::OUTGOING_URL_BYTES {
            return Err(no(&format!(
                "it has {} bytes, and {} at most",
                text.len(),
                limits::OUTGOING_URL_BYTES
            )));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return Err(no(
                "write what is not printable ASCII in percent signs, and names of other letters as xn--",
            ));
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| no("it begins with http:// or https://"))?;
        let is_encrypted = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(no("it begins with http:// or https://")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(no(
                "a name and a password have no place in it; send a header, such as authorization",
            ));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let (host, port) =
                    inner.split_once(']').ok_or_else(|| no("an address of IPv6 ends with ]"))?;
                host.parse::<Ipv6Addr>().map_err(|_| no("what stands in brackets is no address of IPv6"))?;
                (host, port)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':').unwrap_or(port) {
            "" if port.is_empty() => {
                if is_encrypted {
                    443
                } else {
                    80
                }
            }
            digits if port.starts_with(':') && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| no("its port goes from 1 to 65535"))?,
            _ => return Err(no("behind its host comes a port, or a path")),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let is_host = authority.starts_with('[') || host.bytes().all(is_name) && host.len() <= 253;
        if host.is_empty() || !is_host {
            return Err(no("its host is no name and no address"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { is_encrypted, host: host.to_ascii_lowercase(), port, target })
    }

    /// Where a `Location` leads from here.
    pub fn join(&self, location: &str) -> Result<Self> {
        let location = location.trim();
        let path = self.target.split('?').next().unwrap_or_default();
        let scheme = if self.is_encrypted { "https" } else { "http" };
        let is_whole = location.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let text = match location {
            _ if is_whole => return Self::read(location),
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{scheme}://{}{location}", self.authority()),
            _ if location.starts_with(['?', '#']) || location.is_empty() => {
                format!("{scheme}://{}{path}{location}", self.authority())
            }
            _ => {
                let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
                format!("{scheme}://{}{folder}{location}", self.authority())
            }
        };
        Self::read(&text)
    }

    /// The host as a header has it.
    pub fn authority(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V6(six)) => format!("[{six}]"),
            _ => self.host.clone(),
        };
        match (self.is_encrypted, self.port) {
            (false, 80) | (true, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether both are of one server.
    pub fn is_of_same_server(&self, other: &Self) -> bool {
        (self.is_encrypted, &self.host, self.port) == (other.is_encrypted, &other.host, other.port)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_told_in_one_form() {
        for (text, told, host, port) in [
            ("http://example.org", "http://example.org/", "example.org", 80),
            ("HTTPS://Example.ORG:443/a?b=c#d", "https://example.org/a?b=c", "example.org", 443),
            ("http://example.org:8080?q", "http://example.org:8080/?q", "example.org", 8080),
            ("http://[::1]:81/x", "http://[::1]:81/x", "::1", 81),
            ("https://127.0.0.1/a@b", "https://127.0.0.1/a@b", "127.0.0.1", 443),
        ] {
            let url = Url::read(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.host.as_str(), url.port), (told, host, port));
        }
    }

    #[test]
    fn what_is_no_url_of_http_is_refused_with_the_reason() {
        for (text, word) in [
            ("", "http://"),
            ("example.org", "http://"),
            ("ftp://example.org", "http://"),
            ("file:///etc/passwd", "http://"),
            ("http://", "host"),
            ("http:///a", "host"),
            ("http://user:secret@example.org", "authorization"),
            ("http://a@b", "authorization"),
            ("http://a:b/", "port"),
            ("http://a:/", "port"),
            ("http://a:0/", "65535"),
            ("http://a:99999/", "65535"),
            ("http://a:+1/", "port"),
            ("http://[::1", "]"),
            ("http://[::1]x/", "port"),
            ("http://[zz]/", "IPv6"),
            ("http://a b/", "ASCII"),
            ("http://a/\r\nx: y", "ASCII"),
            ("http://\u{e4}.org/", "xn--"),
            ("http://a\\@b/", "ASCII"),
            ("http://a%2f/", "host"),
        ] {
            let refused = Url::read(text).unwrap_err().to_string();
            assert!(refused.contains(word), "{text}: {refused}");
        }
        assert!(Url::read(&format!("http://a/{}", "x".repeat(9_000))).is_err());
    }

    #[test]
    fn a_location_leads_on_from_where_it_was_found() {
        let url = Url::read("https://a.org:8443/b/c?d").unwrap();
        for (location, told) in [
            ("http://x.org/y", "http://x.org/y"),
            ("//x.org/y", "https://x.org/y"),
            ("/y?u=http://z", "https://a.org:8443/y?u=http://z"),
            ("y", "https://a.org:8443/b/y"),
            ("?y", "https://a.org:8443/b/c?y"),
        ] {
            assert_eq!(url.join(location).unwrap().to_string(), told);
        }
        assert!(url.join("file://x/y").is_err() && url.join("http://u@x/").is_err());
        assert!(!url.is_of_same_server(&url.join("http://a.org:8443/").unwrap()));
    }
}
