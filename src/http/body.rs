//! Bodies as they were meant: `Content-Encoding` undone, with a limit on the inflated size. Handlers that take a
//! body call [`decode`]; replies worth it are compressed by [`encode`] on their way out.

use std::borrow::Cow;
use std::io::{ErrorKind, Read, Write};

use crate::error::{Error, Result, nearest};
use crate::http::message::{Request, Response};
use crate::http::negotiate::{self, Coding};
use crate::limits;

/// 8 MiB, the most that RFC 9659 allows for this content coding: a window is memory that a small body could claim.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

const GZIP_START: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

const ENCODINGS: [(&str, Encoding); 4] = [
    ("identity", Encoding::Identity),
    ("gzip", Encoding::Gzip),
    ("x-gzip", Encoding::Gzip),
    ("zstd", Encoding::Zstd),
];

/// Replies up to this size go out as they are: compressing them saves less than it costs.
const COMPRESS_FROM_BYTES: usize = 1 << 10;

/// A reply compressed by zstd or gzip, where the client asks for it and it is large enough, or takes no other.
pub fn encode(request: &Request, mut response: Response) -> Response {
    let is_large = response.body.len() > COMPRESS_FROM_BYTES;
    // a 304 tells what the reply itself would have varied by
    if is_large || response.header("ETag").is_some() {
        vary(&mut response, "Accept-Encoding");
    }
    if response.body.is_empty() || !is_large && negotiate::takes_identity(request) {
        return response;
    }
    let compressed = match negotiate::coding(request) {
        Some(Coding::Zstd) => zstd::bulk::compress(&response.body, 1).ok().map(|body| ("zstd", body)),
        Some(Coding::Gzip) => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&response.body).and_then(|()| encoder.finish()).ok().map(|body| ("gzip", body))
        }
        Some(Coding::Identity) | None => None,
    };
    if let Some((name, body)) = compressed {
        response.headers.push(("Content-Encoding", name.into()));
        response.body = body;
    }
    response
}

/// Adds a name to `Vary`, which is one header.
pub fn vary(response: &mut Response, name: &'static str) {
    match response.headers.iter_mut().find(|(known, _)| *known == "Vary") {
        Some((_, names)) => *names = format!("{names}, {name}").into(),
        None => response.headers.push(("Vary", name.into())),
    }
}

/// The body of a request without its encoding.
///
/// # Errors
/// `UnsupportedEncoding`; a body that is not what its encoding says; `TooLarge` when inflated.
pub fn decode(request: &Request) -> Result<Cow<'_, [u8]>> {
    let encoding = encoding(request.header_values("content-encoding"))?;
    match encoding {
        Encoding::Identity => {
            let looks_like = match &request.body[..] {
                [0x1f, 0x8b, ..] => "gzip",
                [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
                _ => return Ok(Cow::Borrowed(&request.body)),
            };
            Err(Error::invalid(format!(
                "the body is {looks_like}; send it with the header Content-Encoding: {looks_like}"
            )))
        }
        Encoding::Gzip if !request.body.starts_with(&GZIP_START[..request.body.len().min(2)]) => {
            Err(Error::invalid(
                "the body is not gzip, as its Content-Encoding says; send it as it is without the header",
            ))
        }
        Encoding::Gzip => inflate(flate2::bufread::MultiGzDecoder::new(&request.body[..]), "gzip"),
        Encoding::Zstd => {
            let broken = |e| broken(&e, "zstd");
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&request.body[..]).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            inflate(decoder, "zstd")
        }
    }
}

fn encoding<'a>(values: impl Iterator<Item = &'a str>) -> Result<Encoding> {
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty());
    let Some(name) = names.next() else { return Ok(Encoding::Identity) };
    if let Some(second) = names.next() {
        return Err(Error::UnsupportedEncoding(format!(
            "the body has several content encodings ({name}, {second}); use one of gzip, zstd, identity"
        )));
    }
    let found = ENCODINGS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    found.map(|(_, encoding)| *encoding).ok_or_else(|| {
        let hint = nearest(name, ENCODINGS.iter().map(|(known, _)| *known));
        Error::UnsupportedEncoding(format!(
            "the content encoding \"{name}\" is not known; use gzip, zstd or identity{hint}"
        ))
    })
}

fn inflate(reader: impl Read, name: &str) -> Result<Cow<'static, [u8]>> {
    let mut out = Vec::new();
    reader.take(limits::INFLATED_BYTES as u64 + 1).read_to_end(&mut out).map_err(|e| broken(&e, name))?;
    if out.len() > limits::INFLATED_BYTES {
        return Err(Error::TooLarge(format!(
            "the {name} body inflates to more than {} MiB; send it in parts",
            limits::INFLATED_BYTES >> 20
        )));
    }
    Ok(Cow::Owned(out))
}

fn broken(error: &std::io::Error, name: &str) -> Error {
    if error.kind() == ErrorKind::UnexpectedEof {
        return Error::invalid(format!(
            "the {name} body is cut off before its end; nothing of it was kept, send it whole"
        ));
    }
    if error.to_string().contains("too much memory") {
        return Error::TooLarge(format!(
            "the window of the zstd body is larger than {} MiB, the most for HTTP (RFC 9659); compress it without --long \
             and --ultra",
            1 << (ZSTD_WINDOW_LOG_MAX - 20)
        ));
    }
    Error::invalid(format!("the body is not {name}, as its Content-Encoding says: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_replies_are_compressed_where_the_client_asks_for_it() {
        let encoded = |accepted: &str, bytes: usize| {
            let request =
                Request { headers: vec![("accept-encoding", accepted.to_owned())], ..Request::default() };
            let response = encode(&request, Response { body: vec![b'a'; bytes], ..Response::default() });
            let named = response.header("Content-Encoding").map(str::to_owned);
            assert_eq!(response.header("Vary").is_some(), bytes > 1_024, "{accepted}");
            assert_eq!(named.is_some(), response.body.len() < bytes || bytes < 1_024 && named.is_some());
            named
        };
        for (accepted, expected) in [
            ("gzip, deflate, br", Some("gzip")),
            ("gzip, zstd", Some("zstd")),
            ("gzip;q=0", None),
            ("", None),
        ] {
            assert_eq!(encoded(accepted, 5_000).as_deref(), expected, "{accepted}");
        }
        assert_eq!(encoded("gzip", 1_024), None);
        // who takes nothing as it is gets it packed, however small
        assert_eq!(encoded("gzip, identity;q=0", 10).as_deref(), Some("gzip"));
        assert_eq!(encoded("gzip, identity;q=0", 0), None);
    }

    #[test]
    fn a_reply_that_is_not_sent_again_says_what_it_varies_by() {
        let mut response = Response { status: 304, ..Response::default() };
        vary(&mut response, "Accept");
        response.headers.push(("ETag", "W/\"1\"".into()));
        let response = encode(&Request::default(), response);
        assert_eq!(response.header("Vary"), Some("Accept, Accept-Encoding"));
    }

    use std::io::Write;

    fn request(encoding: Option<&str>, body: Vec<u8>) -> Request {
        let headers = encoding.map(|value| ("content-encoding", value.to_owned())).into_iter().collect();
        Request { headers, body, ..Request::default() }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn refusal(encoding: &str, body: &[u8]) -> Error {
        decode(&request(Some(encoding), body.to_vec())).map(|body| body.len()).expect_err("refused")
    }

    #[test]
    fn known_encodings_are_undone() {
        let text = b"{\"n\":1}\n".repeat(1_000);
        let zstd = zstd::stream::encode_all(&text[..], 1).unwrap();
        let two = [gzip(&text[..80]), gzip(&text[80..])].concat();
        for (encoding, body) in [
            (None, text.clone()),
            (Some(""), text.clone()),
            (Some("identity"), text.clone()),
            (Some("gzip"), gzip(&text)),
            (Some("GZIP"), gzip(&text)),
            (Some("x-gzip"), two),
            (Some("zstd"), zstd),
        ] {
            assert_eq!(decode(&request(encoding, body)).unwrap(), text, "{encoding:?}");
        }
    }

    #[test]
    fn unknown_and_several_encodings_are_refused_by_name() {
        for (encoding, word) in [("br", "\"br\""), ("gzip, zstd", "several"), ("gzip-ish", "gzip-ish")] {
            let refused = refusal(encoding, b"x");
            assert!(matches!(refused, Error::UnsupportedEncoding(_)), "{refused:?}");
            assert!(refused.to_string().contains(word) && refused.to_string().contains("zstd"), "{refused}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_says_so() {
        let text: Vec<u8> = (0..20_000).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect();
        let (gzip, zstd) = (gzip(&text), zstd::stream::encode_all(&text[..], 1).unwrap());
        for (encoding, body) in [
            ("gzip", &gzip[..gzip.len() / 2]),
            ("gzip", &gzip[..gzip.len() - 4]),
            ("gzip", &gzip[..3]),
            ("zstd", &zstd[..zstd.len() / 2]),
            ("zstd", &zstd[..2]),
        ] {
            let refused = refusal(encoding, body).to_string();
            assert!(
                refused.contains("cut off") && refused.contains(encoding),
                "{} bytes: {refused}",
                body.len()
            );
        }
    }

    #[test]
    fn a_body_of_another_encoding_is_told() {
        let gzip = gzip(b"{}");
        assert!(refusal("gzip", b"{\"n\":1}\n").to_string().contains("not gzip"));
        assert!(refusal("zstd", &gzip).to_string().contains("not zstd"));
        assert!(refusal("identity", &gzip).to_string().contains("Content-Encoding: gzip"));
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = std::io::repeat(b' ').take(limits::INFLATED_BYTES as u64 + 10);
        let bomb = zstd::stream::encode_all(zeros, 1).unwrap();
        let refused = refusal("zstd", &bomb);
        assert!(
            matches!(refused, Error::TooLarge(_)) && refused.to_string().contains("inflates"),
            "{refused}"
        );
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        let of = |window_log: u32| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(b"{}").unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(decode(&request(Some("zstd"), of(ZSTD_WINDOW_LOG_MAX))).unwrap(), &b"{}"[..]);
        let refused = refusal("zstd", &of(ZSTD_WINDOW_LOG_MAX + 1));
        assert!(matches!(refused, Error::TooLarge(_)), "{refused:?}");
        assert!(refused.to_string().contains("8 MiB") && refused.to_string().contains("--long"), "{refused}");
    }
}
