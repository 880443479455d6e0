//! A real browser at the door: headless Chromium, told by its DevTools protocol what to do, signs in by the form and by the
//! link, is told what is new, and signs out; and pages of others get nothing with its cookie.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::add;
use crate::common::websocket::{begin, handshake};
use crate::common::{Client, Server, temp_dir};

/// A browser that has not done it by then never will.
const DEADLINE: Duration = Duration::from_secs(60);

/// A browser with one page; ended when the test drops it.
struct Browser {
    child: Child,
    page: WebSocket<TcpStream>,
    sent: u64,
}

impl Browser {
    /// Starts one, where there is one.
    fn start(profile: &Path) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let Some(name) = names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())
        else {
            eprintln!("skipped: there is no chromium here");
            return None;
        };
        let mut child = Command::new(name)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.split_once("listening on ws://")?.1.to_owned())).unwrap();
        let address = address.split('/').next().unwrap().to_owned();
        // it must never wait for a full pipe
        std::thread::spawn(move || lines.for_each(drop));
        let started = Instant::now();
        let target = loop {
            let targets = Client::new(&address).send("GET", "/json/list", &[], b"").json();
            let page = targets.as_array().unwrap().iter().find(|target| target["type"] == "page").cloned();
            if let Some(page) = page {
                break page["webSocketDebuggerUrl"].as_str().unwrap().to_owned();
            }
            assert!(started.elapsed() < DEADLINE, "no page opens: {targets}");
        };
        let (stream, head) = begin(&address, &target[target.find("/devtools").unwrap()..], &handshake(&[]));
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Some(Self { child, page: WebSocket::from_raw_socket(stream, Role::Client, None), sent: 0 })
    }

    fn tell(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let told = json!({ "id": self.sent, "method": method, "params": parameters });
        self.page.send(Message::text(told.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.page.read().unwrap() else { continue };
            let reply: Value = serde_json::from_str(&text).unwrap();
            if reply["id"] == self.sent {
                return reply["result"].clone();
            }
        }
    }

    /// What a script in the page gives, waited for.
    fn run(&mut self, script: &str) -> Value {
        let parameters = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.tell("Runtime.evaluate", &parameters);
        assert!(result.get("exceptionDetails").is_none(), "{script}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until a script gives true; pages come and go meanwhile.
    #[track_caller]
    fn until(&mut self, script: &str) {
        let started = Instant::now();
        loop {
            let parameters = json!({ "expression": script, "returnByValue": true });
            if self.tell("Runtime.evaluate", &parameters)["result"]["value"] == true {
                return;
            }
            let text = self.run("location.href + '\\n' + document.documentElement?.innerText");
            assert!(started.elapsed() < DEADLINE, "never {script} in {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn open(&mut self, url: &str, then: &str) {
        self.tell("Page.navigate", &json!({ "url": url }));
        self.until(&format!("document.readyState == 'complete' && ({then})"));
    }

    fn type_key(&mut self, key: &str) {
        self.until("document.activeElement.id == 'key'");
        self.tell("Input.insertText", &json!({ "text": key }));
        self.run("document.querySelector('form button').click()");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages of a WebSocket and of events, until there are rows; or how it failed.
fn watching(url: &str) -> String {
    format!(
        "Promise.all([
            new Promise(done => {{
                const socket = new WebSocket('ws' + '{url}'.slice(4));
                socket.onerror = () => done('refused');
                socket.onmessage = ({{data}}) => JSON.parse(data).rows && done(JSON.parse(data).rows[0].n);
            }}),
            new Promise(done => {{
                const events = new EventSource('{url}', {{withCredentials: true}});
                events.onerror = () => {{ events.close(); done('refused'); }};
                events.onmessage = ({{data}}) => JSON.parse(data).rows && done(JSON.parse(data).rows[0].n);
            }}),
        ])"
    )
}

#[test]
fn a_browser_signs_in_by_the_form_is_told_what_is_new_and_signs_out() {
    let dir = temp_dir();
    let Some(mut browser) = Browser::start(&dir.path().join("profile")) else { return };
    let server = Server::start_closed(dir.path(), &[]);
    let ingest = add(dir.path(), "ingest", &["--scope", "ingest"]).secret;
    let key = add(dir.path(), "reader", &["--scope", "read"]).secret;
    let post = |n: u64| {
        let bearer = format!("Bearer {ingest}");
        let body = format!("{{\"n\":{n}}}");
        server
            .client()
            .send("POST", "/v1/datasets/d/events", &[("Authorization", &bearer)], body.as_bytes())
            .ok();
    };
    post(1);
    let url = format!("http://{}", server.address);

    browser.open(&url, "location.pathname == '/signin'");
    browser.type_key("wr_wrong_wrong");
    browser.until("document.querySelector('.problem')?.innerText.includes('not known')");
    browser.type_key(&key);
    browser.until("location.pathname == '/' && document.querySelector('h1')?.innerText == 'd'");
    assert_eq!(browser.run("document.cookie"), "", "scripts cannot read it");

    // what is kept out of the page by its policy is a matter of the page; the server lets its own pages in
    browser.open(&format!("{url}/v1/datasets"), "document.body.innerText.includes('\"d\"')");
    let told = watching(&format!("{url}/v1/live?dataset=d&after=0"));
    assert_eq!(browser.run(&told), json!([1, 1]));

    // a page of another server, on another port of the same host, to which the browser sends the same cookies
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}/", other.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in other.incoming().map_while(Result::ok) {
            let mut some = [0; 4_096];
            let _ = std::io::Read::read(&mut stream, &mut some);
            let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 9\r\n\r\nelsewhere";
            let _ = std::io::Write::write_all(&mut stream, page);
        }
    });
    browser.open(&elsewhere, "document.body.innerText == 'elsewhere'");
    assert_eq!(browser.run(&told), json!(["refused", "refused"]));
    let read = format!(
        "fetch('{url}/v1/datasets', {{credentials: 'include'}}).then(r => r.text(), () => 'refused')"
    );
    assert_eq!(browser.run(&read), "refused");
    let drop = format!(
        "fetch('{url}/v1/datasets/d', {{method: 'DELETE', credentials: 'include'}}).then(r => r.status, () => 'refused')"
    );
    assert_eq!(browser.run(&drop), "refused");

    browser.open(&url, "location.pathname == '/' && document.querySelector('h1')?.innerText == 'd'");
    browser.run("[...document.querySelectorAll('button')].find(b => b.innerText == 'Sign out').click()");
    browser.until("location.pathname == '/signin'");
    browser.open(&url, "location.pathname == '/signin'");

    browser.open(
        &format!("{url}{}", server.sign_in_path()),
        "location.pathname == '/' && location.search == ''",
    );
    assert_eq!(browser.run("document.querySelector('h1').innerText"), "d");
}
