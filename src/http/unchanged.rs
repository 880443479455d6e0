//! Replies that the client has already: every reply to a GET under `/v1`, and `/openapi.json`, has a tag made of its body,
//! and a client that sends it back gets a 304 without the body (RFC 9110, 13.1.2). `routes` calls it before a reply is
//! compressed.

use xxhash_rust::xxh3::xxh3_64;

use crate::http::message::{Method, Request, Response};

/// The reply with its tag, or 304 where the client has it.
pub fn tagged(request: &Request, mut response: Response) -> Response {
    let is_kept = request.path.starts_with("/v1/") || request.path == "/openapi.json";
    let is_read = matches!(request.method, Method::Get | Method::Head) && is_kept;
    if !is_read || response.status != 200 {
        return response;
    }
    // weak: the same reply may be packed or not
    let tag = format!("W/\"{:016x}\"", xxh3_64(&response.body));
    let has_it = request.header_values("if-none-match").flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag.trim_start_matches("W/")
    });
    response.headers.push(("ETag", tag.into()));
    if has_it {
        response.status = 304;
        response.body.clear();
        response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(method: Method, path: &str, known: &str) -> Response {
        let mut request = Request::new(method, path).unwrap();
        if !known.is_empty() {
            request.headers.push(("if-none-match", known.to_owned()));
        }
        tagged(&request, Response::ok("application/json", b"{}".to_vec()))
    }

    #[test]
    fn who_has_a_reply_is_told_so_without_it() {
        let first = reply(Method::Get, "/v1/datasets", "");
        let tag = first.header("ETag").unwrap().to_owned();
        assert_eq!((first.status, first.body.as_slice()), (200, &b"{}"[..]));
        for known in [
            tag.clone(),
            format!("\"other\", {tag}"),
            tag.trim_start_matches("W/").to_owned(),
            "*".to_owned(),
        ] {
            let again = reply(Method::Get, "/v1/datasets", &known);
            assert_eq!(
                (again.status, again.body.len(), again.header("ETag")),
                (304, 0, Some(tag.as_str())),
                "{known}"
            );
            assert!(again.header("Content-Type").is_none());
        }
        assert_eq!(reply(Method::Get, "/v1/datasets", "W/\"0123\"").status, 200);
        // what is asked by POST is no thing that a client could have
        assert!(reply(Method::Post, "/v1/sql", &tag).header("ETag").is_none());
    }
}
