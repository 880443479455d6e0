//! Work that goes out: calls of URLs and commands, through a server, from the payload to the result and the event.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use windrow::jobs::Kinds;
use windrow::store::queue::QueueSettings;
use windrow::{Engine, Jobs, Kind, NewJob, Outcome};

use crate::common::{Server, assert_says, database, temp_dir};
use crate::endpoint::{Endpoint, redirect, reply};
use crate::over_http::{in_state, submit, submitted};

const PRIVATE: [&str; 2] = ["--jobs-http-private", "127.0.0.1"];

fn http(payload: &Value) -> Value {
    json!({"kind": "http", "payload": payload})
}

/// Puts jobs of the kind `http` into a file that nobody serves yet.
fn put(dir: &Path, settings: QueueSettings, payload: &Value, count: usize, attempts: u32) {
    let engine = Engine::open(database(dir)).unwrap();
    let known = Kinds::of([Kind::new("http", |_| Ok(Outcome::default()))]).unwrap();
    let jobs = Jobs::idle(Arc::clone(engine.jobs().store()), known);
    jobs.configure("calls", settings).unwrap();
    let job = || NewJob::new("http").queue("calls").payload(payload.clone()).max_attempts(attempts);
    jobs.submit_all((0..count).map(|_| job())).unwrap();
    drop(jobs);
    engine.close();
}

/// How many jobs of the queue "calls" are in a state.
fn count(server: &Server, state: &str) -> u64 {
    let queues = server.get("/v1/queues").ok();
    let all = queues["queues"].as_array().unwrap();
    let calls = all.iter().find(|queue| queue["name"] == "calls").unwrap();
    calls["jobs"][state].as_u64().unwrap()
}

fn wait_for(server: &Server, state: &str, wanted: u64) {
    let begun = Instant::now();
    while count(server, state) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} of {wanted} {state}", count(server, state));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn cell(server: &Server, sql: &str) -> Value {
    server.sql(sql).rows[0][0].clone()
}

#[test]
fn two_hundred_calls_of_half_a_second_are_done_in_little_more_than_two_times_that() {
    let dir = temp_dir();
    let endpoint = Endpoint::slow(Duration::from_millis(500));
    let settings = QueueSettings { concurrency: Some(100), ..QueueSettings::default() };
    put(dir.path(), settings, &json!({"url": endpoint.url, "dataset": "calls"}), 200, 3);
    let server = Server::start(dir.path(), &PRIVATE);
    wait_for(&server, "done", 200);
    let elapsed = endpoint.first().elapsed();
    println!(
        "200 calls of 500 ms, 100 at once: {elapsed:?} from the first request to the last job that is done"
    );
    assert_eq!((endpoint.asked().len(), endpoint.most_at_once()), (200, 100));
    let most = if cfg!(debug_assertions) { 10_000 } else { 1_500 };
    assert!(elapsed < Duration::from_millis(most), "{elapsed:?}");
    let calls =
        server.sql("SELECT count(*), uniq(job), min(status), max(status), min(elapsed_ms) FROM calls");
    assert_eq!(calls.rows[0][..4], [json!(200), json!(200), json!(200), json!(200)]);
    assert!(calls.rows[0][4].as_i64().unwrap() >= 500, "{:?}", calls.rows);
}

#[test]
fn of_a_queue_of_fifty_a_minute_exactly_fifty_begin() {
    let dir = temp_dir();
    let endpoint = Endpoint::slow(Duration::from_millis(1));
    let settings = QueueSettings {
        concurrency: Some(100),
        rate: Some("50/min window".into()),
        ..QueueSettings::default()
    };
    put(dir.path(), settings, &json!({ "url": endpoint.url }), 200, 3);
    let server = Server::start(dir.path(), &PRIVATE);
    wait_for(&server, "done", 50);
    // nothing more comes, and there is no event to wait for
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(endpoint.asked().len(), 50);
    let states = ["done", "running", "queued"].map(|state| count(&server, state));
    assert_eq!(states, [50, 0, 150], "what may not begin stays in its queue");
}

#[test]
fn jobs_that_compute_go_on_beside_as_many_that_wait_as_there_may_be() {
    let dir = temp_dir();
    let endpoint = Endpoint::start(|_, _| {
        std::thread::sleep(Duration::from_secs(600));
        String::new()
    });
    put(dir.path(), QueueSettings::default(), &json!({"url": endpoint.url, "timeout": "10m"}), 300, 3);
    let server = Server::start(dir.path(), &PRIVATE);
    endpoint.wait_for(256);
    let id = submitted(&server, &json!({"kind": "optimize"}));
    in_state(&server, id, "done");
    // in the same queue too, as it is ahead of those that still wait
    let id = submitted(&server, &json!({"kind": "optimize", "queue": "calls", "priority": 1}));
    server.client().send("POST", "/v1/jobs/1/cancel", &[], b"").ok();
    in_state(&server, id, "done");
    assert_eq!(server.stop(), 0, "what runs goes back");
}

#[test]
fn a_reply_is_the_result_and_an_event() {
    let dir = temp_dir();
    let endpoint = Endpoint::start(|_, asked| match asked.split(' ').nth(1) {
        Some("/json") => reply(200, "application/json", r#"{"price": 7}"#),
        Some("/text") => reply(201, "text/plain", "made"),
        _ => reply(200, "application/octet-stream", "plain"),
    });
    let server = Server::start(dir.path(), &PRIVATE);
    let url = |path: &str| format!("{}{path}", endpoint.url);
    let json =
        json!({"url": url("/json"), "headers": {"X-Key": "secret"}, "body": {"n": 1}, "dataset": "calls"});
    let id = submitted(&server, &http(&json));
    let job = in_state(&server, id, "done");
    let result = &job["result"];
    assert_eq!(
        (&result["status"], &result["bytes"], &result["body"]),
        (&json!(200), &json!(12), &json!({"price": 7}))
    );
    assert_eq!(result["headers"]["content-type"], "application/json");
    assert!(result["elapsed_ms"].is_u64() && job["queue"] == "http", "{job}");
    let asked = &endpoint.asked()[0];
    assert!(asked.starts_with("POST /json HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"n\":1}"), "{asked}");
    assert!(
        asked.contains("\r\nx-key: secret\r\n") && asked.contains("content-type: application/json"),
        "{asked}"
    );
    let event = server.sql("SELECT url, method, status, bytes, job, attempt, failed, body.price FROM calls");
    let told = [
        json!(url("/json")),
        json!("POST"),
        json!(200),
        json!(12),
        json!(id),
        json!(1),
        json!(false),
        json!(7),
    ];
    assert_eq!(event.rows, [told]);
    let text = submitted(&server, &http(&json!({"url": url("/text"), "keep_body": false})));
    assert_eq!(in_state(&server, text, "done")["result"].get("body"), None);
    let text = submitted(&server, &http(&json!({"url": url("/text"), "method": "PUT", "body": "as it is"})));
    assert_eq!(in_state(&server, text, "done")["result"]["body"], "made");
    assert!(endpoint.asked()[2].ends_with("\r\n\r\nas it is"));
}

#[test]
fn what_fails_is_an_event_too_and_is_tried_again_where_that_may_help() {
    let dir = temp_dir();
    let endpoint = Endpoint::start(|number, asked| match asked.split(' ').nth(1) {
        Some("/gone") => reply(404, "text/plain", "no such thing"),
        Some("/busy") if number == 0 => {
            "HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nbusy".to_owned()
        }
        Some("/large") => reply(200, "text/plain", &"x".repeat(2_000)),
        Some("/closed") => String::new(),
        _ => reply(200, "text/plain", "now"),
    });
    let server = Server::start(dir.path(), &PRIVATE);
    let payload = |path: &str| json!({"url": format!("{}{path}", endpoint.url), "dataset": "calls", "response_bytes": 1_000});
    let busy = submitted(&server, &http(&payload("/busy")));
    let job = in_state(&server, busy, "done");
    assert_eq!((&job["attempt"], &job["result"]["body"]), (&json!(2), &json!("now")));
    assert_says(job["history"][0]["error"].as_str().unwrap(), &["503", "busy"]);
    let first = server.sql("SELECT attempt, status, failed FROM calls ORDER BY attempt");
    assert_eq!(first.rows, [[json!(1), json!(503), json!(true)], [json!(2), json!(200), json!(false)]]);
    let waited = endpoint.after(1) - endpoint.after(0);
    assert!(waited >= Duration::from_secs(2), "Retry-After is waited for: {waited:?}");
    let gone = submitted(&server, &http(&payload("/gone")));
    let job = in_state(&server, gone, "dead");
    assert_eq!(
        (&job["failures"], job["history"].as_array().unwrap().len()),
        (&json!(1), 1),
        "no attempt would help"
    );
    assert_says(job["error"].as_str().unwrap(), &["404", "no such thing"]);
    let mut expected = payload("/gone");
    expected["expect"] = json!([200, 404]);
    let id = submitted(&server, &http(&expected));
    assert_eq!(in_state(&server, id, "done")["result"]["status"], 404);
    let large = submitted(&server, &http(&payload("/large")));
    assert_says(
        in_state(&server, large, "dead")["error"].as_str().unwrap(),
        &["2000 bytes", "1000", "response_bytes"],
    );
    let closed = json!({"kind": "http", "payload": payload("/closed"), "max_attempts": 1});
    let closed = submitted(&server, &closed);
    assert_says(in_state(&server, closed, "dead")["error"].as_str().unwrap(), &["closed the connection"]);
    assert_eq!(cell(&server, &format!("SELECT count(*) FROM calls WHERE job = {closed} AND failed")), 1);
}

#[test]
fn private_addresses_are_refused_unless_the_setting_names_them() {
    let dir = temp_dir();
    let hidden = Endpoint::slow(Duration::ZERO);
    let server = Server::start(dir.path(), &[]);
    for url in [
        &hidden.url,
        "http://[::1]:1/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1",
        "http://[::ffff:127.0.0.1]/",
    ] {
        let (status, detail) = submit(&server, &http(&json!({ "url": url }))).problem(403);
        assert_says(&format!("{status} {detail}"), &["jobs_http_private"]);
    }
    // where names lead is seen when they are looked up; the last two are addresses in other words
    let port = hidden.url.rsplit(':').next().unwrap().to_owned();
    for host in ["localhost", "2130706433", "127.1"] {
        let id =
            submitted(&server, &http(&json!({"url": format!("http://{host}:{port}/"), "dataset": "calls"})));
        let job = in_state(&server, id, "dead");
        assert_eq!(job["failures"], 1, "{job}");
        assert_says(job["error"].as_str().unwrap(), &["127.0.0.1", "jobs_http_private"]);
    }
    assert_eq!(cell(&server, "SELECT count(*) FROM calls WHERE failed"), 3);
    assert_eq!(hidden.asked().len(), 0);
    assert_eq!(server.stop(), 0);
    // a redirect is looked at as well
    let server = Server::start(dir.path(), &PRIVATE);
    let away = Endpoint::start(move |_, _| redirect(302, &format!("http://127.0.0.2:{port}/")));
    let id = submitted(&server, &http(&json!({"url": away.url})));
    assert_says(
        in_state(&server, id, "dead")["error"].as_str().unwrap(),
        &["127.0.0.2", "jobs_http_private"],
    );
    assert_eq!(hidden.asked().len(), 0);
}

#[test]
fn redirects_are_followed_and_what_was_for_one_server_goes_to_no_other() {
    let dir = temp_dir();
    let other = Endpoint::start(|_, _| reply(200, "text/plain", "here"));
    let to = other.url.clone();
    let first = Endpoint::start(move |_, asked| match asked.split(' ').nth(1) {
        Some("/a") => redirect(307, "b"),
        Some("/b") => redirect(302, &format!("{to}/c")),
        Some("/file") => redirect(302, "file:///etc/passwd"),
        _ => redirect(302, "/round"),
    });
    let server = Server::start(dir.path(), &PRIVATE);
    let headers = json!({"authorization": "Bearer secret", "x-api-key": "secret", "accept": "text/plain"});
    let payload = json!({"url": format!("{}/a", first.url), "headers": headers, "body": "all of it"});
    let id = submitted(&server, &http(&payload));
    let result = &in_state(&server, id, "done")["result"];
    assert_eq!((&result["url"], &result["body"]), (&json!(format!("{}/c", other.url)), &json!("here")));
    let asked = first.asked();
    assert!(
        asked[1].starts_with("POST /b") && asked[1].ends_with("all of it") && asked[1].contains("secret"),
        "{asked:?}"
    );
    let last = &other.asked()[0];
    assert!(
        last.starts_with("GET /c") && !last.contains("secret") && last.contains("accept: text/plain"),
        "{last}"
    );
    for (path, words) in [("/round", &["more than 5 times"][..]), ("/file", &["file:///etc/passwd"])] {
        let id = submitted(&server, &http(&json!({"url": format!("{}{path}", first.url)})));
        assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), words);
    }
    let as_it_is = json!({"url": format!("{}/a", first.url), "redirects": 0, "expect": [307]});
    let id = submitted(&server, &http(&as_it_is));
    assert_eq!(in_state(&server, id, "done")["result"]["headers"]["location"], "b");
}

#[test]
fn what_hangs_is_ended_by_its_time_and_by_being_cancelled() {
    let dir = temp_dir();
    let endpoint = Endpoint::start(|_, _| {
        std::thread::sleep(Duration::from_secs(600));
        String::new()
    });
    let server = Server::start(dir.path(), &PRIVATE);
    let timed = json!({"url": endpoint.url, "timeout": "300ms", "dataset": "calls"});
    let id = submitted(&server, &json!({"kind": "http", "payload": timed, "max_attempts": 1}));
    assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), &["the time is over"]);
    let due = json!({"kind": "http", "payload": {"url": endpoint.url}, "deadline": "1s", "max_attempts": 1});
    let id = submitted(&server, &due);
    assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), &["deadline of 1 s"]);
    let id = submitted(&server, &http(&json!({"url": endpoint.url, "dataset": "calls"})));
    endpoint.wait_for(3);
    let begun = Instant::now();
    server.client().send("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").ok();
    in_state(&server, id, "cancelled");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(cell(&server, "SELECT count(*) FROM calls"), 1, "nothing of what was cancelled");
}

#[test]
fn kill_nine_amid_calls_records_each_result_once() {
    let dir = temp_dir();
    let endpoint = Endpoint::slow(Duration::from_millis(20));
    let settings = QueueSettings { concurrency: Some(20), ..QueueSettings::default() };
    put(dir.path(), settings, &json!({"url": endpoint.url, "dataset": "calls"}), 200, 50);
    for kill in 1..=4 {
        let server = Server::start(dir.path(), &PRIVATE);
        endpoint.wait_for(kill * 35);
        server.kill_nine();
    }
    let server = Server::start(dir.path(), &PRIVATE);
    wait_for(&server, "done", 200);
    let told = server.sql("SELECT count(*), uniq(job) FROM calls");
    assert_eq!(told.rows, [[json!(200), json!(200)]]);
    println!("{} calls were made for 200 jobs", endpoint.asked().len());
}

#[test]
fn a_certificate_is_checked() {
    let dir = temp_dir();
    let made = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let [chain, key] =
        ["chain.pem", "key.pem"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let other = temp_dir();
    let called = Server::start(other.path(), &["--tls-certificate", &chain, "--tls-key", &key]);
    let call = json!({"kind": "http", "payload": {"url": format!("https://{}/healthz", called.address)}, "max_attempts": 1});
    let server = Server::start_with(dir.path(), &PRIVATE, &[("SSL_CERT_FILE", &chain)]);
    let id = submitted(&server, &call);
    assert_eq!(in_state(&server, id, "done")["result"]["status"], 200);
    assert_eq!(server.stop(), 0);
    // one that nobody here trusts
    let stranger = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&chain, stranger.cert.pem()).unwrap();
    let server = Server::start_with(dir.path(), &PRIVATE, &[("SSL_CERT_FILE", &chain)]);
    let id = submitted(&server, &call);
    assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), &["certificate"]);
}
