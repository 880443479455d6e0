//! What a reply may be by `Accept` and `Accept-Encoding` (RFC 9110, 12.5): which formats a route gives, which of them and which
//! coding a client likes best, and the 406 for who refuses all of them. `routes` checks before anything is done, handlers ask
//! for the format, `body` for the coding.
//!
//! Where `Accept` names nothing that a route gives, it is passed over, as the RFC allows, and the reply is JSON: tools send
//! all sorts of it. Only who refuses everything, by `q=0`, gets a 406.

use crate::http::live;
use crate::http::message::{Method, Request, Response};
use crate::http::problem::{self, Problem};
use crate::http::routes::Route;
use crate::query::format::Format;

/// The routes whose replies are tables: they give all of [`Format`].
const TABULAR: [(Method, &str); 7] = [
    (Method::Get, "/v1/datasets/{dataset}/rows"),
    (Method::Get, "/v1/datasets/{dataset}/search"),
    (Method::Post, "/v1/query"),
    (Method::Post, "/v1/sql"),
    (Method::Post, "/v1/funnel"),
    (Method::Post, "/v1/retention"),
    (Method::Post, "/v1/paths"),
];

/// Media types that stand for a format, the exact ones first.
const MEDIA: [(&str, Format); 6] = [
    ("application/json", Format::Json),
    ("text/csv", Format::Csv),
    ("application/x-ndjson", Format::Ndjson),
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("application/problem+json", Format::Json),
];

/// Codings of replies, in the order that is taken where a client likes several alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
    /// As it is.
    Identity,
}

const CODINGS: [(&str, Coding); 4] = [
    ("zstd", Coding::Zstd),
    ("gzip", Coding::Gzip),
    ("x-gzip", Coding::Gzip),
    ("identity", Coding::Identity),
];

/// Whether the replies of a route come in every format.
pub fn is_tabular(route: &Route) -> bool {
    TABULAR.contains(&(route.method, route.pattern))
}

/// The reply to who refuses everything that a route gives; `None` where something is left.
pub fn refusal(route: &Route, request: &Request) -> Option<Response> {
    let gives: &[&str] = match route.pattern {
        "/" => &["text/html"],
        live::PATH => &["text/event-stream"],
        _ if is_tabular(route) => &["application/json", "text/csv", "application/x-ndjson"],
        _ => &["application/json"],
    };
    let ranges = ranges(request, "accept");
    let are_refused = |names: &[&str]| {
        !ranges.is_empty() && names.iter().all(|name| quality(&ranges, name).is_some_and(|(q, _)| q == 0.0))
    };
    if are_refused(gives) {
        let detail = format!("Accept refuses all that {} gives: {}", request.path, gives.join(", "));
        return Some(Problem::new(problem::NOT_ACCEPTABLE, detail).into_response());
    }
    coding(request).is_none().then(|| {
        let detail =
            "Accept-Encoding refuses identity, and neither gzip nor zstd is accepted; allow one of them";
        Problem::new(problem::NOT_ACCEPTABLE, detail).into_response()
    })
}

/// Whether a client accepts a media type by its name.
pub fn names(request: &Request, name: &str) -> bool {
    ranges(request, "accept").iter().any(|(range, quality)| range == name && *quality > 0.0)
}

/// The format that a client likes best, the one named first of several; JSON where nothing is asked for or nothing that is
/// asked for is known.
pub fn format(request: &Request) -> Format {
    let ranges = ranges(request, "accept");
    let mut best = (Format::Json, 0.0, usize::MAX);
    for (name, format) in MEDIA {
        if let Some((q, place)) = quality(&ranges, name)
            && (q > best.1 || q == best.1 && q > 0.0 && place < best.2)
        {
            best = (format, q, place);
        }
    }
    best.0
}

/// The coding for a reply that is worth it; `None` where every one is refused, `identity` included. It is `Identity` unless
/// another is named, or everything is accepted and identity is not.
pub fn coding(request: &Request) -> Option<Coding> {
    let ranges = ranges(request, "accept-encoding");
    let of = |coding: Coding| {
        let names = CODINGS.iter().filter(|(_, known)| *known == coding);
        names
            .filter_map(|(name, _)| quality(&ranges, name))
            .map(|(q, _)| q)
            .fold(None, |a: Option<f32>, q| Some(a.map_or(q, |a| a.max(q))))
    };
    let (zstd, gzip) = (of(Coding::Zstd).unwrap_or(0.0), of(Coding::Gzip).unwrap_or(0.0));
    let packed = if zstd >= gzip { (Coding::Zstd, zstd) } else { (Coding::Gzip, gzip) };
    match of(Coding::Identity) {
        Some(identity) if identity > packed.1 => Some(Coding::Identity),
        _ if packed.1 > 0.0 => Some(packed.0),
        Some(_) => None,
        None => Some(Coding::Identity),
    }
}

/// Whether a reply may go out as it is.
pub fn takes_identity(request: &Request) -> bool {
    quality(&ranges(request, "accept-encoding"), "identity").is_none_or(|(q, _)| q > 0.0)
}

/// The parts of a header of preferences with their qualities, in lower case.
fn ranges(request: &Request, header: &str) -> Vec<(String, f32)> {
    let parts = request.header_values(header).flat_map(|value| value.split(','));
    parts
        .filter_map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or(piece.strip_prefix("Q=")));
            let quality = weight.and_then(|weight| weight.trim().parse::<f32>().ok()).unwrap_or(1.0);
            Some((name, quality.clamp(0.0, 1.0)))
        })
        .collect()
}

/// The quality of a name by the range that fits it most closely, and the place of that; `None` where none does.
fn quality(ranges: &[(String, f32)], name: &str) -> Option<(f32, usize)> {
    let kind = name.split_once('/').map_or("", |(kind, _)| kind);
    let closeness = |range: &str| match range {
        "*" | "*/*" => 1,
        range if range == name => 3,
        range if range.strip_suffix("/*") == Some(kind) => 2,
        _ => 0,
    };
    let mut best: Option<(i32, f32, usize)> = None;
    for (place, (range, quality)) in ranges.iter().enumerate() {
        let close = closeness(range);
        if close > best.map_or(0, |(known, ..)| known) {
            best = Some((close, *quality, place));
        }
    }
    best.map(|(_, quality, place)| (quality, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::ROUTES;

    fn asking(accept: &str, encoding: &str) -> Request {
        let mut request = Request::default();
        for (name, value) in [("accept", accept), ("accept-encoding", encoding)] {
            if !value.is_empty() {
                request.headers.push((name, value.to_owned()));
            }
        }
        request
    }

    #[test]
    fn the_format_that_is_liked_best_is_taken() {
        assert_eq!(format(&Request::default()), Format::Json);
        for (accept, expected) in [
            ("*/*", Format::Json),
            ("application/json", Format::Json),
            ("text/csv", Format::Csv),
            ("text/*", Format::Csv),
            ("Text/CSV; charset=utf-8", Format::Csv),
            ("application/x-ndjson", Format::Ndjson),
            ("application/jsonl", Format::Ndjson),
            ("text/csv, application/json", Format::Csv),
            ("application/json;q=0.5, text/csv;q=0.8", Format::Csv),
            ("text/csv;q=0, */*", Format::Json),
            ("*/*, application/json;q=0", Format::Csv),
            ("application/*;q=0, */*;q=0.1", Format::Csv),
            ("text/html, application/xhtml+xml, */*;q=0.8", Format::Json),
            ("image/png", Format::Json),
        ] {
            assert_eq!(format(&asking(accept, "")), expected, "{accept}");
        }
    }

    #[test]
    fn the_coding_that_is_liked_best_is_taken() {
        for (encoding, expected) in [
            ("", Some(Coding::Identity)),
            ("gzip, deflate, br", Some(Coding::Gzip)),
            ("gzip, zstd", Some(Coding::Zstd)),
            ("gzip;q=0.9, zstd;q=0.2", Some(Coding::Gzip)),
            ("GZIP;q=0.5", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", Some(Coding::Identity)),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *", Some(Coding::Gzip)),
            ("gzip;q=0", Some(Coding::Identity)),
            ("br", Some(Coding::Identity)),
            ("identity;q=0, gzip", Some(Coding::Gzip)),
            ("identity;q=0", None),
            ("br, *;q=0", None),
        ] {
            assert_eq!(coding(&asking("", encoding)), expected, "{encoding}");
        }
        assert!(takes_identity(&asking("", "br")) && !takes_identity(&asking("", "gzip, *;q=0")));
    }

    #[test]
    fn who_refuses_everything_is_told_what_there_is() {
        let route = |pattern: &str| ROUTES.iter().find(|route| route.pattern == pattern).unwrap();
        let (rows, list, page) = (route("/v1/datasets/{dataset}/rows"), route("/v1/datasets"), route("/"));
        for (accept, expected) in [
            ("", [false; 3]),
            ("image/png", [false; 3]),
            ("application/json;q=0", [false, true, false]),
            ("application/*;q=0", [false, true, false]),
            ("*/*;q=0", [true; 3]),
            ("*/*;q=0, text/html", [true, true, false]),
            ("text/csv, */*;q=0", [false, true, true]),
        ] {
            let refused = [rows, list, page].map(|route| refusal(route, &asking(accept, "")).is_some());
            assert_eq!(refused, expected, "{accept}");
        }
        let refused = refusal(rows, &asking("*/*;q=0", "")).unwrap();
        assert_eq!(refused.status, 406);
        assert!(String::from_utf8(refused.body).unwrap().contains("text/csv"));
        assert_eq!(refusal(rows, &asking("", "identity;q=0")).unwrap().status, 406);
    }

    #[test]
    fn tabular_routes_are_in_the_table() {
        assert_eq!(ROUTES.iter().filter(|route| is_tabular(route)).count(), TABULAR.len());
    }
}
