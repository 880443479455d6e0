//! Browsers: the link, the form, the cookie; and pages of others that want in.

use std::io::{Read, Write};

use crate::common::{Reply, Server, altered_end, temp_dir};
use crate::{add, raw, with_key};

fn cookie(reply: &Reply) -> (String, String) {
    let set = reply.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {}", reply.text())).to_owned();
    (set.split(';').next().unwrap().to_owned(), set)
}

fn get(server: &Server, path: &str, cookie: &str) -> Reply {
    server.client().send("GET", path, &[("Cookie", cookie)], b"")
}

#[test]
fn the_link_signs_one_browser_in() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let path = server.sign_in_path();
    let page = server.get("/?dataset=visits");
    assert_eq!((page.status, page.header("location")), (303, Some("/signin")));
    let mut preview = std::net::TcpStream::connect(&server.address).unwrap();
    write!(preview, "HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut seen = String::new();
    preview.read_to_string(&mut seen).unwrap();
    assert!(
        seen.starts_with("HTTP/1.1 200 ") && !seen.contains("Set-Cookie"),
        "a preview does not use it up: {seen}"
    );
    let reply = server.get(&path);
    assert_eq!((reply.status, reply.header("location")), (303, Some("/")));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    let (cookie, set) = cookie(&reply);
    let port = |server: &Server| server.address.rsplit_once(':').unwrap().1.to_owned();
    assert!(cookie.starts_with(&format!("windrow_{}=", port(&server))) && cookie.len() > 43, "{set}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=604800"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("Domain"), "without TLS, for this host alone: {set}");
    let page = get(&server, "/", &cookie);
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Sign out") && page.text().contains("$WINDROW_KEY"), "{}", page.text());
    assert_eq!(get(&server, "/v1/keys", &cookie).status, 200);
    // once
    let again = server.get(&path);
    assert_eq!(again.status, 403);
    assert!(again.text().contains("used already") && again.header("set-cookie").is_none());
    assert_eq!(server.get("/signin?code=").status, 403);
    let other = altered_end(&cookie);
    get(&server, "/v1/keys", &other).problem(401);
    assert_eq!(get(&server, "/", &other).status, 303);
    // a session ends with the process
    assert_eq!(server.stop(), 0);
    let server = Server::start_closed(dir.path(), &[]);
    let token = cookie.split_once('=').unwrap().1;
    get(&server, "/v1/keys", &format!("windrow_{}={token}", port(&server))).problem(401);
}

#[test]
fn a_key_signs_in_by_the_form_and_its_session_ends_with_it() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let form = server.get("/signin");
    assert_eq!(form.status, 200);
    assert!(form.text().contains("<form") && !form.text().contains("<script"));
    for (header, part) in [
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "form-action 'self'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
    ] {
        assert!(form.header(header).is_some_and(|value| value.contains(part)), "{header}");
    }
    let enter = |key: &str, origin: &str| {
        let form = format!("key={}", crate::common::encode(key));
        server.client().send("POST", "/signin", &[("Origin", origin)], form.as_bytes())
    };
    let own = format!("http://{}", server.address);
    let key = add(dir.path(), "reader", &["--scope", "read", "--dataset", "web_*"]);
    let ingest = add(dir.path(), "sender", &["--scope", "ingest"]);
    assert_eq!(enter("wr_none", &own).status, 403);
    assert!(enter(&ingest.secret, &own).text().contains("may not read"));
    enter(&key.secret, "https://evil.example").problem(403);
    let reply = enter(&format!(" {} ", key.secret), &own);
    assert_eq!(reply.status, 303, "{}", reply.text());
    let (cookie, _) = cookie(&reply);
    assert_eq!(get(&server, "/v1/datasets", &cookie).status, 200);
    get(&server, "/v1/datasets/orders", &cookie).problem(403);
    get(&server, "/v1/keys", &cookie).problem(403);
    crate::common::run(dir.path(), &["keys", "revoke", &key.id]).exits(0);
    get(&server, "/v1/datasets", &cookie).problem(401);
}

#[test]
fn signing_out_ends_the_session() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (cookie, _) = cookie(&server.get(&server.sign_in_path()));
    let own = format!("http://{}", server.address);
    let leave = |origin: &str| {
        server.client().send("POST", "/signout", &[("Cookie", &cookie), ("Origin", origin)], b"")
    };
    leave("https://evil.example").problem(403);
    assert_eq!(get(&server, "/v1/keys", &cookie).status, 200);
    let left = leave(&own);
    assert_eq!((left.status, left.header("location")), (303, Some("/signin")));
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    get(&server, "/v1/keys", &cookie).problem(401);
}

#[test]
fn pages_of_others_change_nothing_with_the_cookie_or_without_keys() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let (cookie, _) = cookie(&server.get(&server.sign_in_path()));
    let own = format!("http://{}", server.address);
    let path = "/v1/datasets/visits/events";
    let post = |server: &Server, headers: &[(&str, &str)]| {
        server.client().send("POST", path, headers, b"{\"n\": 1}")
    };
    let cookie = ("Cookie", cookie.as_str());
    for other in [
        &[][..],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", &own)],
    ] {
        let (problem, _) = post(&server, &[&[cookie], other].concat()).problem(403);
        assert_eq!(problem["type"], "urn:windrow:problem:cross-site");
    }
    for own in [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")] {
        assert_eq!(post(&server, &[cookie, own]).status, 200);
    }
    // a key that comes with the request is no work of a browser
    let key = add(dir.path(), "sender", &["--scope", "ingest"]).secret;
    let bearer = format!("Bearer {key}");
    let reply = post(&server, &[cookie, ("Authorization", &bearer), ("Origin", "https://evil.example")]);
    assert_eq!(reply.status, 200);
    drop(server);
    let open = Server::start(dir.path(), &[]);
    post(&open, &[("Origin", "https://evil.example")]).problem(403);
    assert_eq!(post(&open, &[]).status, 200, "with --no-auth programs send what they want");
    assert_eq!(open.get("/signin").status, 303);
}

#[test]
fn a_name_that_leads_here_by_a_trick_is_not_answered() {
    let dir = temp_dir();
    for start in [Server::start_closed, Server::start] {
        let server = start(dir.path(), &[]);
        let evil = raw(&server, "GET", "/healthz", &[("Host", "evil.example")]);
        let (problem, detail) = evil.problem(421);
        assert_eq!(problem["type"], "urn:windrow:problem:misdirected");
        assert!(detail.contains("--hosts evil.example"), "{detail}");
        for host in ["localhost", "127.0.0.1:1", "[::1]:80"] {
            assert_eq!(raw(&server, "GET", "/healthz", &[("Host", host)]).status, 200, "{host}");
        }
        assert_eq!(server.stop(), 0);
    }
    let named = Server::start(dir.path(), &["--hosts", "stats.example.org, stats.lan"]);
    for host in ["stats.example.org", "stats.lan:7878"] {
        assert_eq!(raw(&named, "GET", "/healthz", &[("Host", host)]).status, 200, "{host}");
    }
    raw(&named, "GET", "/healthz", &[("Host", "other.lan")]).problem(421);
}

#[test]
fn a_page_of_another_sends_events_with_an_ingest_key_of_its_own() {
    let dir = temp_dir();
    let server = Server::start_closed(dir.path(), &[]);
    let ingest = add(dir.path(), "web", &["--scope", "ingest", "--dataset", "web_*"]).secret;
    let admin = add(dir.path(), "admin", &["--scope", "admin"]).secret;
    let origin = ("Origin", "https://shop.example");
    let asked = server.client().send(
        "OPTIONS",
        "/v1/datasets/web_visits/events",
        &[
            origin,
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization"),
        ],
        b"",
    );
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some("*")));
    assert!(asked.header("access-control-allow-headers").unwrap().contains("Authorization"));
    let send = |key: &str, dataset: &str| {
        let bearer = format!("Bearer {key}");
        let path = format!("/v1/datasets/{dataset}/events");
        server.client().send("POST", &path, &[origin, ("Authorization", &bearer)], b"{\"n\": 1}")
    };
    let sent = send(&ingest, "web_visits");
    assert_eq!((sent.status, sent.header("access-control-allow-origin")), (200, Some("*")));
    for reply in [send(&admin, "web_visits"), with_key(&server, &ingest, "GET", "/v1/datasets", "")] {
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    assert_eq!(send(&ingest, "orders").status, 403);
}
