//! Web pages of others. A browser lets any page send requests to this machine, and sends the cookie along; and a page whose
//! name suddenly leads to this machine (DNS rebinding) may read the replies too. So: names are checked, and what changes
//! something comes from a page of this server. Pages that send events with a key of their own are let do that (CORS).

use std::net::IpAddr;

use crate::http::message::{Method, Request, Response};
use crate::http::problem::{CROSS_SITE, MISDIRECTED, Problem};

/// The one path that pages of others may send to, as its row in the table of routes has it.
pub const SHARED_PATTERN: &str = "/v1/datasets/{dataset}/events";

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A page of this server, or the hand of who sits before the browser.
    Here,
    /// A page of another.
    Elsewhere,
    /// Nobody says: no browser of today.
    Unknown,
}

/// Where a request comes from. `Sec-Fetch-Site` counts where it is there, because no page can write it; it tells other ports of
/// one host apart, which count as others too.
pub fn of(request: &Request, hosts: &[String]) -> Origin {
    if let Some(site) = request.header_values("sec-fetch-site").next() {
        return if matches!(site, "same-origin" | "none") { Origin::Here } else { Origin::Elsewhere };
    }
    let Some(origin) = request.header_values("origin").next() else { return Origin::Unknown };
    let Some((scheme, authority)) = origin.split_once("://") else { return Origin::Elsewhere };
    // a page that was not encrypted may be anyone's on its way; behind a proxy that does not tell, either may be ours
    if request.is_secure && scheme != "https" {
        return Origin::Elsewhere;
    }
    let is_asked = request.header_values("host").any(|host| host.eq_ignore_ascii_case(authority));
    let is_named = hosts.iter().any(|known| known.eq_ignore_ascii_case(name_of(authority)));
    if is_asked || is_named { Origin::Here } else { Origin::Elsewhere }
}

/// 403 for what a page of another wants changed.
pub fn refusal(is_session: bool) -> Response {
    let detail = match is_session {
        true => "a session changes things from the pages of this server alone; programs send a key instead",
        false => {
            "the request comes from a web page of another server; with --no-auth none may change anything"
        }
    };
    Problem::new(CROSS_SITE, detail).into_response()
}

/// Refuses a `Host` that is no address, not localhost and none of these names (RFC 9110, 15.5.20: the server does not answer
/// for it). One that is not there is not of a browser.
pub fn check_host(request: &Request, hosts: &[String]) -> Result<(), Response> {
    let is_known = |host: &str| {
        let name = name_of(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_named = hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
        host.is_empty() || is_address || is_named || name.eq_ignore_ascii_case("localhost")
    };
    match request.header_values("host").find(|host| !is_known(host)) {
        None => Ok(()),
        Some(other) => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            let name =
                Some(name_of(other)).filter(|name| name.bytes().all(is_plain)).unwrap_or("stats.example.org");
            let detail = format!(
                "this server does not answer for the name in Host; a name other than localhost is set by --hosts {name}, or \
                 hosts = \"{name}\" in windrow.toml"
            );
            Err(Problem::new(MISDIRECTED, detail).into_response())
        }
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => {
            // an IPv6 address has colons of its own, within brackets
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}

/// Whether a request asks, before a page of another sends events, whether it may.
pub fn is_preflight(request: &Request, pattern: &str) -> bool {
    request.method == Method::Options
        && pattern == SHARED_PATTERN
        && request.header_values("origin").next().is_some()
        && request.header_values("access-control-request-method").any(|method| method == "POST")
}

/// Yes. A key comes with the request itself, so this is no more than what any program may try.
pub fn preflight() -> Response {
    let headers = [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", "POST"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, Idempotency-Key"),
        ("Access-Control-Max-Age", "600"),
    ];
    let headers = headers.map(|(name, value)| (name, value.into())).to_vec();
    Response { headers, ..Response::no_content() }
}

/// Lets the page that sent events read what became of them: never with credentials, so a cookie is of no use to it.
pub fn share(response: &mut Response) {
    response.headers.push(("Access-Control-Allow-Origin", "*".into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Request { headers, ..Request::default() }
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_answered_for() {
        let hosts = ["stats.example.org".to_owned()];
        let known = |host: &str| check_host(&request(&[("host", host)]), &hosts).is_ok();
        for host in [
            "127.0.0.1:7878",
            "127.0.0.1",
            "[::1]:7878",
            "[::1]",
            "localhost",
            "LocalHost:80",
            "192.168.1.7:7878",
            "stats.example.org",
            "Stats.Example.org:443",
            "",
        ] {
            assert!(known(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7878",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "a:b:c",
            "127.0.0.1:x",
            "stats.example.org.evil.example",
            "0x7f.1",
            "xlocalhost",
        ] {
            assert!(!known(host), "{host}");
        }
        let refused = check_host(&request(&[("host", "evil.example:1")]), &hosts).unwrap_err();
        assert_eq!(refused.status, 421);
        assert!(check_host(&request(&[]), &hosts).is_ok());
        assert!(check_host(&request(&[("host", "127.0.0.1"), ("host", "evil.example")]), &hosts).is_err());
    }

    #[test]
    fn a_page_of_this_server_is_told_from_those_of_others() {
        let hosts = ["stats.example.org".to_owned()];
        let from = |name: &'static str, value: &str| {
            of(&request(&[("host", "127.0.0.1:7878"), (name, value)]), &hosts)
        };
        for value in ["same-origin", "none"] {
            assert_eq!(from("sec-fetch-site", value), Origin::Here);
        }
        for value in ["same-site", "cross-site", "x"] {
            assert_eq!(from("sec-fetch-site", value), Origin::Elsewhere);
        }
        for value in ["http://127.0.0.1:7878", "https://127.0.0.1:7878", "https://stats.example.org"] {
            assert_eq!(from("origin", value), Origin::Here, "{value}");
        }
        for value in ["null", "http://127.0.0.1:8080", "http://127.0.0.1", "https://evil.example", ""] {
            assert_eq!(from("origin", value), Origin::Elsewhere, "{value}");
        }
        assert_eq!(of(&request(&[("host", "127.0.0.1:7878")]), &hosts), Origin::Unknown);
        let both = [("host", "h"), ("origin", "http://h"), ("sec-fetch-site", "cross-site")];
        assert_eq!(of(&request(&both), &hosts), Origin::Elsewhere);
    }

    #[test]
    fn the_shared_path_is_in_the_table() {
        let is_it = |route: &&crate::http::routes::Route| route.pattern == SHARED_PATTERN;
        assert!(crate::http::routes::ROUTES.iter().filter(is_it).any(|route| route.method == Method::Post));
    }
}
