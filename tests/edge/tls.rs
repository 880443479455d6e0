//! TLS by file: what a client gets that speaks it, a certificate that is replaced under a running server, clients that stop in
//! the middle of a handshake, the command line beside such a server, and what keeps one from starting.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

use crate::common::client::read_reply;
use crate::common::process::windrow;
use crate::common::websocket::handshake;
use crate::common::{Reply, Server, run, temp_dir};
use crate::{exchange, figures, settled};

/// A server sees within this that its files have changed.
const SEEN: Duration = Duration::from_secs(20);

/// A certificate of its own making, which a client may trust.
struct Made(CertifiedKey<KeyPair>);

impl Made {
    fn new() -> Self {
        let names = ["localhost", "stats.example.org"].map(str::to_owned);
        Self(generate_simple_self_signed(names).unwrap())
    }

    /// Puts it and its key into a folder; the flags that name them.
    fn put(&self, folder: &Path) -> [String; 4] {
        let [chain, key] = files(folder);
        fs::write(&chain, self.0.cert.pem()).unwrap();
        fs::write(&key, self.0.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        flags(folder)
    }

    /// What a client that trusts it alone connects with.
    fn session(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
    }

    fn connect(&self, server: &Server) -> Secure {
        let stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Secure(BufReader::new(StreamOwned::new(self.session(), stream)))
    }

    /// Whether a new connection shows this certificate.
    fn is_shown_by(&self, server: &Server) -> bool {
        self.connect(server).try_send("GET", "/healthz", "").is_ok()
    }

    fn wait_until_shown_by(&self, server: &Server) {
        let begin = Instant::now();
        while !self.is_shown_by(server) {
            assert!(begin.elapsed() < SEEN, "the new certificate is not taken");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A connection of TLS.
struct Secure(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Secure {
    fn try_send(&mut self, method: &str, path: &str, body: &str) -> Result<Reply> {
        let length = body.len();
        let message =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(message.as_bytes())?;
        read_reply(&mut self.0)
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.try_send(method, path, body).unwrap()
    }
}

fn files(folder: &Path) -> [PathBuf; 2] {
    ["fullchain.pem", "privkey.pem"].map(|name| folder.join(name))
}

fn flags(folder: &Path) -> [String; 4] {
    let [chain, key] = files(folder).map(|path| path.to_str().unwrap().to_owned());
    ["--tls-certificate".to_owned(), chain, "--tls-key".to_owned(), key]
}

fn start(dir: &Path, flags: &[String; 4], extra: &[&str]) -> Server {
    let flags = flags.each_ref().map(String::as_str);
    Server::start(dir, &[&flags[..], extra].concat())
}

#[test]
fn small_and_large_requests_go_both_ways_on_one_connection() {
    let (dir, made) = (temp_dir(), Made::new());
    let server = start(dir.path(), &made.put(dir.path()), &[]);
    assert!(server.printed().contains("listening on https://127.0.0.1:"), "{}", server.printed());
    let mut client = made.connect(&server);
    assert_eq!(client.send("GET", "/healthz", "").status, 200);
    let event = json!({"text": "long ".repeat(200)}).to_string() + "\n";
    let events = event.repeat(6_000);
    assert!(events.len() > 6_000_000);
    let told = client.send("POST", "/v1/datasets/long/events", &events).ok();
    assert_eq!(told["accepted"], 6_000);
    let rows = client.send("GET", "/v1/datasets/long/rows?limit=6000&fields=text", "");
    assert!(rows.body.len() > 6_000_000, "{} bytes", rows.body.len());
    assert_eq!(rows.ok()["rows"].as_array().unwrap().len(), 6_000);
    let page = client.send("GET", "/?dataset=long", "").text();
    assert!(page.contains("https://localhost") && !page.contains("http://localhost"), "{page}");
    let head = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.0.get_mut().write_all(head).unwrap();
    let mut reply = String::new();
    // an end without the farewell of TLS would be an error
    client.0.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\r\n\r\n"), "{reply}");
    let plain = exchange(&server.address, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("https://"), "{plain}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_new_certificate_is_for_new_connections_and_one_of_no_use_for_none() {
    let (dir, first) = (temp_dir(), Made::new());
    let server = start(dir.path(), &first.put(dir.path()), &[]);
    let mut old = first.connect(&server);
    assert_eq!(old.send("GET", "/healthz", "").status, 200);

    let second = Made::new();
    second.put(dir.path());
    second.wait_until_shown_by(&server);
    assert!(!first.is_shown_by(&server));
    assert_eq!(old.send("GET", "/healthz", "").status, 200, "connections that are there go on");

    let [chain, _] = files(dir.path());
    fs::write(&chain, "no certificate").unwrap();
    let begin = Instant::now();
    let log = || fs::read_to_string(server.log()).unwrap();
    while !log().contains("the certificate in use stays") {
        assert!(second.is_shown_by(&server), "the one before stays");
        assert!(begin.elapsed() < SEEN, "nobody is told: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(second.is_shown_by(&server));
    let told = log();
    assert!(told.contains(chain.to_str().unwrap()) && told.contains("has no certificate"), "{told}");
    assert_eq!(told.matches("the certificate in use stays").count(), 1, "once: {told}");

    let third = Made::new();
    third.put(dir.path());
    third.wait_until_shown_by(&server);
    assert_eq!(old.send("GET", "/healthz", "").status, 200);
}

#[test]
fn a_folder_that_a_link_leads_to_may_be_another_one_as_certbot_has_it() {
    let (dir, first, second) = (temp_dir(), Made::new(), Made::new());
    let [one, two, live, next] = ["one", "two", "live", "next"].map(|name| dir.path().join(name));
    for (folder, made) in [(&one, &first), (&two, &second)] {
        fs::create_dir(folder).unwrap();
        made.put(folder);
    }
    symlink(&one, &live).unwrap();
    let server = start(dir.path(), &flags(&live), &[]);
    assert!(first.is_shown_by(&server));
    symlink(&two, &next).unwrap();
    fs::rename(&next, &live).unwrap();
    second.wait_until_shown_by(&server);
}

#[test]
fn a_hundred_clients_that_stop_in_the_middle_of_a_handshake_cost_their_places_for_a_while() {
    let (dir, made) = (temp_dir(), Made::new());
    let server = start(dir.path(), &made.put(dir.path()), &[]);
    let (before, threads) = settled(&server);
    let mut hello = Vec::new();
    made.session().write_tls(&mut hello).unwrap();
    let begin = Instant::now();
    let mut stopped: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(&server.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            // nothing, a part of the first record, and all of it without an answer to what comes back
            stream.write_all(&hello[..[0, 1, hello.len() / 2, hello.len()][number % 4]]).unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert!(made.is_shown_by(&server), "others are served beside them");
    }
    for stream in &mut stopped {
        let mut told = Vec::new();
        // the end, or a reset
        let _ = stream.read_to_end(&mut told);
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(25), "{took:?}");
    while figures(server.pid()).0 > before + 8 {
        assert!(begin.elapsed() < Duration::from_secs(40), "{} descriptors", figures(server.pid()).0);
        std::thread::sleep(Duration::from_millis(50));
    }
    // where the machine is busy, some of the private connections are opened only now
    let now = figures(server.pid()).1;
    assert!(now <= threads + 8, "{now} threads, {threads} before");
    assert!(made.is_shown_by(&server));
}

#[test]
fn a_browser_signs_in_by_https_and_its_cookie_is_for_https_alone() {
    let (dir, made) = (temp_dir(), Made::new());
    let flags = made.put(dir.path());
    let extra = ["--hosts", "stats.example.org"];
    let all: Vec<&str> = flags.iter().map(String::as_str).chain(extra).collect();
    let server = Server::start_closed(dir.path(), &all);
    let path = server.sign_in_path();
    let port = server.address.rsplit(':').next().unwrap();
    let link = format!("https://stats.example.org:{port}{path}");
    assert!(server.printed().contains(&link), "{}", server.printed());
    let reply = made.connect(&server).send("GET", &path, "");
    let cookie = reply.header("set-cookie").expect("a cookie");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let name = cookie.split(';').next().unwrap();
    let mut client = made.connect(&server);
    let message = format!("GET / HTTP/1.1\r\nHost: stats.example.org\r\nCookie: {name}\r\n\r\n");
    client.0.get_mut().write_all(message.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut client.0).unwrap().status, 200);
}

#[test]
fn the_command_line_beside_the_server_comes_in_by_a_socket_of_its_own() {
    let (dir, made) = (temp_dir(), Made::new());
    let flags = made.put(dir.path());
    // with a space, and for what the server makes alone
    let temporary = temp_dir();
    let folder = temporary.path().join("of mine");
    fs::create_dir(&folder).unwrap();
    let place = [("TMPDIR", folder.to_str().unwrap()), ("XDG_RUNTIME_DIR", "")];
    let there = || fs::read_dir(&folder).unwrap().count();
    for flags in [&flags[..], &[]] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let killed = Server::start_with(dir.path(), &flags, &place);
        assert_eq!(there(), 2, "one for the server behind, one for its owner");
        killed.kill_nine();
        let server = Server::start_with(dir.path(), &flags, &place);
        assert_eq!(there(), 2, "what the killed one left is gone");
        let cache = run(dir.path(), &["--json", "cache"]).exits(0);
        assert!(cache.stdout.contains("memory"), "{}", cache.output());
        run(dir.path(), &["cache", "clear"]).exits(0);
        let name = format!("loader-{}", flags.len());
        let added = run(dir.path(), &["keys", "add", &name, "--scope", "ingest"]).exits(0);
        assert!(added.stdout.contains("wr_"), "{}", added.output());
        assert!(run(dir.path(), &["keys"]).exits(0).stdout.contains(&name));
        fs::write(dir.path().join("x.csv"), "n\n1\n").unwrap();
        let imported = run(dir.path(), &["import", "x", "x.csv"]).exits(1);
        let scheme = if flags.is_empty() { "http" } else { "https" };
        assert!(imported.stderr.contains(&format!("{scheme}://{}", server.address)), "{}", imported.output());
        assert_eq!(server.stop(), 0);
        assert_eq!(there(), 0, "nothing stays");
    }
}

#[test]
fn what_keeps_tls_from_being_spoken_is_told_at_the_start_and_nothing_is_made() {
    let (dir, elsewhere) = (temp_dir(), temp_dir());
    let [one, two] = [Made::new(), Made::new()];
    let [_, chain, _, key] = one.put(elsewhere.path());
    let other = elsewhere.path().join("other.pem");
    fs::write(&other, two.0.signing_key.serialize_pem()).unwrap();
    let (other, nowhere) = (other.to_str().unwrap(), "/nowhere/windrow.pem");
    let serve = |flags: &[&str]| run(dir.path(), &[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
    for (flags, code, told) in [
        (&["--tls-certificate", &chain][..], 2, vec!["tls_certificate", "tls_key", "both"]),
        (&["--tls-key", &key], 2, vec!["tls_certificate", "tls_key", "both"]),
        (&["--tls-certificate", nowhere, "--tls-key", &key], 1, vec![nowhere, "tls_certificate", "can read"]),
        (&["--tls-certificate", &chain, "--tls-key", nowhere], 1, vec![nowhere, "tls_key", "can read"]),
        (&["--tls-certificate", &chain, "--tls-key", other], 1, vec![other, &chain, "does not belong"]),
        (&["--tls-certificate", &key, "--tls-key", &key], 1, vec![&key, "no certificate", "fullchain.pem"]),
        (&["--tls-certificate", &chain, "--tls-key", &chain], 1, vec![&chain, "no private key"]),
    ] {
        let ran = serve(flags).exits(code);
        for words in told {
            assert!(ran.stderr.contains(words), "{flags:?} without {words:?}: {}", ran.stderr);
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_key_that_others_can_read_is_warned_of() {
    let (dir, made) = (temp_dir(), Made::new());
    let flags = made.put(dir.path());
    let [_, key] = files(dir.path());
    let log = |mode| {
        fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        let all: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = Server::start_closed(dir.path(), &all);
        let told = fs::read_to_string(server.log()).unwrap();
        assert_eq!(server.stop(), 0);
        fs::remove_file(dir.path().join("serve.stderr")).unwrap();
        told
    };
    assert!(log(0o644).contains("can be read by others"));
    let told = log(0o600);
    assert!(!told.contains("WARN"), "{told}");
}

#[test]
fn what_is_told_as_it_happens_is_told_by_tls_too() {
    let (dir, made) = (temp_dir(), Made::new());
    let server = start(dir.path(), &made.put(dir.path()), &[]);
    let mut writer = made.connect(&server);
    writer.send("POST", "/v1/datasets/d/events", "{\"n\":1}").ok();
    let mut stream = made.connect(&server).0.into_inner();
    let request =
        "GET /v1/live?dataset=d&fields=n HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"ready\"")));

    let mut socket = made.connect(&server).0.into_inner();
    let head: String = handshake(&[]).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET /v1/live?dataset=d&fields=n HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let (mut head, mut one) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(socket.read(&mut one).unwrap(), 1);
        head.extend(one);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut socket = WebSocket::from_raw_socket(socket, Role::Client, None);
    assert!(socket.read().unwrap().to_text().unwrap().contains("\"ready\""));

    // more than a record of TLS holds
    let long = "x".repeat(100_000);
    writer.send("POST", "/v1/datasets/d/events", &json!({ "n": long }).to_string()).ok();
    let told = socket.read().unwrap();
    assert!(told.to_text().unwrap().ends_with(&format!("{{\"n\":\"{long}\"}}]}}")));
    let line = lines.find(|line| line.starts_with("data: ")).unwrap();
    assert_eq!(line.strip_prefix("data: "), told.to_text().ok());
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    assert_eq!(server.stop(), 0);
}

#[test]
fn other_machines_are_warned_of_only_where_nothing_is_encrypted() {
    let (dir, made) = (temp_dir(), Made::new());
    let tls = made.put(dir.path());
    for (flags, warned) in [(&tls[..], false), (&[], true)] {
        let mut command = windrow(dir.path());
        command.args(["serve", "--listen", "0.0.0.0:0"]).args(flags);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        let mut log = String::new();
        child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(child.wait().unwrap().success(), "{log}");
        assert_eq!(line.starts_with("listening on https://0.0.0.0:"), !warned, "{line}");
        assert_eq!(log.contains("not encrypted"), warned, "{log}");
    }
}
