//! What a request shows of who sends it: a secret in `Authorization`, as Bearer or as the user's name of Basic, or the cookie of
//! a session. A secret that is there is the one that counts, also where it is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::message::Request;

/// What was shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Given<'a> {
    /// Nothing.
    Nothing,
    /// An `Authorization` that cannot be read.
    Unreadable,
    /// A secret.
    Secret(String),
    /// The token of a session.
    Cookie(&'a str),
}

/// Reads what a request shows; `cookie` is the name of the session's.
pub fn given<'a>(request: &'a Request, cookie: &str) -> Given<'a> {
    let mut all = request.header_values("authorization");
    if let Some(value) = all.next() {
        let secret = secret(value).filter(|_| all.next().is_none());
        return secret.map_or(Given::Unreadable, Given::Secret);
    }
    token(request, cookie).map_or(Given::Nothing, Given::Cookie)
}

/// The token of a session.
pub fn token<'a>(request: &'a Request, cookie: &str) -> Option<&'a str> {
    let pairs = request.header_values("cookie").flat_map(|value| value.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == cookie)
        .map(|(_, value)| value)
}

fn secret(value: &str) -> Option<String> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let user = text.split(':').next().unwrap_or_default();
    (!user.is_empty()).then(|| user.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Request { headers, ..Request::default() }
    }

    fn of(value: &str) -> String {
        match given(&request(&[("authorization", value), ("cookie", "windrow=t")]), "windrow") {
            Given::Secret(text) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_key_comes_as_bearer_or_as_the_name_of_basic() {
        for value in
            ["Bearer wr_a", "bearer  wr_a ", "Basic d3JfYTo=", "BASIC d3JfYTpwYXNz", "basic d3JfYQ=="]
        {
            assert_eq!(of(value), "wr_a", "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Basic !", "Basic Og==", "Digest wr_a", "wr_a", "Basic /w=="] {
            assert_eq!(of(value), "Unreadable", "{value}");
        }
    }

    #[test]
    fn a_cookie_counts_where_no_secret_is() {
        let cookies = [("cookie", "a=b; windrow=token"), ("cookie", "windrow=other")];
        assert_eq!(given(&request(&cookies), "windrow"), Given::Cookie("token"));
        assert_eq!(given(&request(&cookies), "windrow_2"), Given::Nothing);
        assert_eq!(given(&request(&[]), "windrow"), Given::Nothing);
        let twice = [("authorization", "Bearer wr_a"), ("authorization", "Bearer wr_b")];
        assert_eq!(given(&request(&twice), "windrow"), Given::Unreadable);
    }
}
