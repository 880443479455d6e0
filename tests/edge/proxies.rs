//! The server behind a reverse proxy, as many run it: nothing that a proxy passes on is read differently here.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Client, Server, temp_dir};
use crate::exchange;
use crate::hostile::{Case, cases, statuses};

/// A proxy that was started for a test; ends with it.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // asked first, so that it takes its workers along
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        std::thread::sleep(Duration::from_millis(200));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(program: &str, arguments: &[&str], folder: &Path, port: u16) -> Option<Proxy> {
    let log = std::fs::File::create(folder.join("proxy.log")).unwrap();
    let started =
        Command::new(program).args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(log).spawn();
    let Ok(child) = started else {
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    let proxy = Proxy(child);
    let begin = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = std::fs::read_to_string(folder.join("proxy.log")).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20), "{program} does not listen: {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(proxy)
}

/// Sends every hostile message through a proxy, whose connections to the server are kept and shared, and looks after each whether
/// somebody else's question is answered with his own answer.
fn attack(server: &Server, port: u16) {
    server.accepted("known", "{\"n\":1}");
    let address = format!("127.0.0.1:{port}");
    let mut wrong = String::new();
    for Case { name, message, .. } in cases() {
        let reply = exchange(&address, &with_close(&message));
        // a proxy may take a message for less than the server would, or pass it on mended; but never more than what was sent
        let found = statuses(&reply);
        if found.len() > 2 {
            writeln!(wrong, "{name}: {found:?}").unwrap();
        }
        let mut neighbour = Client::new(&address);
        for number in 0..2 {
            let path = format!("/v1/datasets/known/rows?limit={}", number + 1);
            let rows = neighbour.send("GET", &path, &[], b"").ok();
            assert_eq!(rows["rows"][0]["n"], 1, "after {name}: {rows}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let log = std::fs::read_to_string(server.log()).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

/// Proxies keep a connection open after a mended message; this one asks to close it.
fn with_close(message: &[u8]) -> Vec<u8> {
    let at = message.windows(11).position(|piece| piece == b"\r\nHost: a\r\n");
    let Some(at) = at else { return message.to_vec() };
    [&message[..at], b"\r\nHost: a\r\nConnection: close\r\n", &message[at + 11..]].concat()
}

#[test]
fn behind_nginx_nobody_gets_what_is_anothers() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--hosts", "a,windrow"]);
    let port = free_port();
    let folder = dir.path().join("nginx");
    std::fs::create_dir(&folder).unwrap();
    let root = folder.display();
    let text = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr;
        events {{ worker_connections 256; }}
        http {{
          access_log off; client_header_timeout 1s; client_body_timeout 1s; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
          fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
          upstream windrow {{ server {}; keepalive 4; }}
          server {{ listen 127.0.0.1:{port};
            location / {{ proxy_pass http://windrow; proxy_http_version 1.1; proxy_set_header Connection \"\";
              proxy_set_header X-Forwarded-For $remote_addr; proxy_request_buffering off; }} }}
        }}",
        server.address
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    let config = format!("{root}/nginx.conf");
    let Some(_proxy) = start("nginx", &["-c", &config, "-e", "stderr"], &folder, port) else { return };
    attack(&server, port);
}

#[test]
fn behind_haproxy_nobody_gets_what_is_anothers() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--hosts", "a,windrow"]);
    let port = free_port();
    let folder = dir.path().join("haproxy");
    std::fs::create_dir(&folder).unwrap();
    let text = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 2s\n timeout http-request 1s\n timeout server 10s\n option forwardfor\n http-reuse always\n\
         frontend in\n bind 127.0.0.1:{port}\n default_backend windrow\n\
         backend windrow\n server one {} pool-max-conn 4\n",
        server.address
    );
    std::fs::write(folder.join("haproxy.cfg"), text).unwrap();
    let Some(_proxy) = start("haproxy", &["-db", "-f", "haproxy.cfg"], &folder, port) else { return };
    attack(&server, port);
}
