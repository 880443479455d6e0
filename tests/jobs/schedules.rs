//! Schedules over HTTP and by `windrow jobs`, beside a server and without one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Reply, Server, assert_says, database, run, temp_dir};

fn put(server: &Server, name: &str, schedule: &Value) -> Reply {
    server.client().send("PUT", &format!("/v1/schedules/{name}"), &[], schedule.to_string().as_bytes())
}

fn names(server: &Server) -> Vec<String> {
    let all = server.get("/v1/schedules").ok();
    let all = all["schedules"].as_array().unwrap();
    all.iter().map(|schedule| schedule["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_schedule_is_set_told_replaced_and_removed_and_outlives_the_server() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/v1/schedules").ok(), json!({"schedules": []}));
    let job = json!({"kind": "erase", "payload": {"dataset": "visits", "where": "ms > 1"}, "queue": "slow",
        "priority": 15, "user": "ada", "unique": "mine", "max_attempts": 2, "deadline": "5m"});
    let nightly = json!({"cron": "30 2 * * mon-fri", "zone": "Europe/Berlin", "job": job});
    let told = put(&server, "nightly", &nightly).ok();
    for (part, expected) in [
        ("name", json!("nightly")),
        ("cron", nightly["cron"].clone()),
        ("zone", nightly["zone"].clone()),
        ("last", Value::Null),
        ("last_job", Value::Null),
    ] {
        assert_eq!(told[part], expected, "{part}");
    }
    let mut expected = job.clone();
    expected["deadline"] = json!("300s");
    assert_eq!(told["job"], expected);
    assert!(told["next"].as_str().unwrap().ends_with(":30:00Z"), "{told}");
    assert_eq!(server.get("/v1/schedules/nightly").ok(), told);
    assert_eq!(server.get("/v1/schedules").ok(), json!({"schedules": [told]}));
    // what is told can be said again, and changes nothing
    let again = json!({"cron": told["cron"], "zone": told["zone"], "job": told["job"]});
    assert_eq!(put(&server, "nightly", &again).ok(), told);
    let other = put(&server, "nightly", &json!({"cron": "@yearly", "job": {"kind": "optimize"}})).ok();
    assert_eq!((&other["zone"], &other["job"]["kind"]), (&json!("UTC"), &json!("optimize")));
    assert!(other["next"].as_str().unwrap().ends_with("-01-01T00:00:00Z"), "{other}");
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/v1/schedules/nightly").ok(), other);
    let remove = || server.client().send("DELETE", "/v1/schedules/nightly", &[], b"");
    assert_eq!(remove().status, 204);
    remove().problem(404);
    assert_says(&server.get("/v1/schedules/nightly").problem(404).1, &["nightly"]);
    assert_eq!(names(&server), [""; 0]);
}

#[test]
fn what_makes_no_schedule_is_refused_with_the_reason_and_nothing_is_stored() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let optimize = json!({"kind": "optimize"});
    for (schedule, words) in [
        (json!({}), &["cron"][..]),
        (json!({"cron": "@daily"}), &["job"]),
        (json!({"cron": "@daily", "job": optimize, "colour": 1}), &["colour"]),
        (json!({"cron": "never", "job": optimize}), &["never"]),
        (json!({"cron": "61 * * * *", "job": optimize}), &["61"]),
        (json!({"cron": "0 0 30 2 *", "job": optimize}), &["0 0 30 2 *", "never"]),
        (
            json!({"cron": "@daily", "zone": "Europe/Atlantis", "job": optimize}),
            &["Atlantis", "Europe/Berlin"],
        ),
        (json!({"cron": "@daily", "job": {"kind": "optimise"}}), &["optimise", "optimize"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "payload": 7}}), &["no payload"]),
        (json!({"cron": "@daily", "job": {"kind": "erase", "payload": {"dataset": "a"}}}), &["where"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "priority": 16}}), &["16"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "queue": "No"}}), &["No"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "deadline": "long"}}), &["long"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "run_at": "5m"}}), &["run_at"]),
        (json!({"cron": "@daily", "job": {"kind": "optimize", "after": 1}}), &["after"]),
    ] {
        assert_says(&put(&server, "a", &schedule).problem(400).1, words);
    }
    let right = json!({"cron": "@daily", "job": optimize});
    for name in ["No", "1a", "a%20b", "%C3%A4"] {
        assert_says(&put(&server, name, &right).problem(400).1, &["schedule", "a-z"]);
    }
    assert_eq!(names(&server), [""; 0]);
    put(&server, "a", &right).ok();
    assert_eq!(names(&server), ["a"]);
}

#[test]
fn what_was_due_while_nobody_served_is_caught_up_by_one_job() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let nightly = json!({"cron": "30 2 * * *", "job": {"kind": "optimize", "priority": 3}});
    let first = put(&server, "nightly", &nightly).ok();
    server.stop();
    // ten nights without a server: as if its first time had been then
    let sqlite = rusqlite::Connection::open(database(dir.path())).unwrap();
    let ten_days_us = 10 * 86_400 * 1_000_000_i64;
    let changed = sqlite.execute("UPDATE schedule SET next_us = next_us - ?", [ten_days_us]).unwrap();
    assert_eq!(changed, 1);
    drop(sqlite);
    let server = Server::start(dir.path(), &[]);
    let begun = Instant::now();
    let told = loop {
        let told = server.get("/v1/schedules/nightly").ok();
        if told["last_job"].is_number() {
            break told;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{told}");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(told["next"].as_str() >= first["next"].as_str(), "{told}");
    let job = server.get(&format!("/v1/jobs/{}", told["last_job"])).ok();
    assert_eq!(
        (&job["kind"], &job["priority"], &job["unique"]),
        (&json!("optimize"), &json!(3), &json!("schedule:nightly"))
    );
    let jobs = server.get("/v1/jobs?kind=optimize").ok();
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1, "{jobs}");
}

#[test]
fn the_command_line_does_the_same_beside_a_server_and_without_one() {
    let dir = temp_dir();
    let jobs = |arguments: &[&str]| run(dir.path(), &[&["jobs"], arguments].concat());
    assert_says(&jobs(&["schedules"]).exits(1).stderr, &["windrow.db"]);
    let server = Server::start(dir.path(), &[]);
    assert_says(&jobs(&["schedules"]).exits(0).stdout, &["no schedules"]);
    let payload = r#"{"dataset": "visits", "where": "n = 2"}"#;
    let set = [
        "schedule",
        "a",
        "30 2 * * *",
        "erase",
        payload,
        "--zone",
        "Asia/Tokyo",
        "--queue",
        "slow",
        "--priority",
        "9",
    ];
    assert_says(&jobs(&set).exits(0).stdout, &["a: due next at", "17:30:00 UTC"]);
    let told = server.get("/v1/schedules/a").ok();
    let parts = (&told["job"]["payload"]["where"], &told["job"]["queue"], &told["job"]["priority"]);
    assert_eq!(parts, (&json!("n = 2"), &json!("slow"), &json!(9)));
    for (arguments, words) in [
        (&["schedule", "b", "0 0 30 2 *", "optimize"][..], &["never"][..]),
        (&["schedule", "b", "@daily", "optimise"], &["optimize"]),
        (&["schedule", "b", "@daily", "erase", "{"], &["JSON"]),
        (&["schedule", "b", "@daily", "optimize", "--zone", "Mars"], &["Mars"]),
        (&["unschedule", "b"], &["\"b\""]),
        (&["unschedule", "b/c"], &["b/c"]),
    ] {
        assert_says(&jobs(arguments).exits(1).stderr, words);
    }
    assert_eq!(server.stop(), 0);
    // without one
    for (arguments, words) in [
        (&["schedule", "b", "0 0 30 2 *", "optimize"][..], &["never"][..]),
        (&["schedule", "b", "@daily", "optimize", "7"], &["no payload"]),
        (&["unschedule", "b"], &["\"b\""]),
    ] {
        assert_says(&jobs(arguments).exits(1).stderr, words);
    }
    assert_says(&jobs(&["schedule", "b", "@weekly", "optimize"]).exits(0).stdout, &["b: due next at"]);
    assert_says(&jobs(&["schedules"]).exits(0).stdout, &["Asia/Tokyo", "erase", "@weekly", "optimize"]);
    assert_says(&jobs(&["unschedule", "a"]).exits(0).stdout, &["a: removed"]);
    let listed: Value =
        serde_json::from_str(&run(dir.path(), &["--json", "jobs", "schedules"]).exits(0).stdout).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(names(&server), ["b"]);
    assert_eq!(server.get("/v1/schedules").ok(), listed);
}

#[test]
fn there_are_no_more_schedules_and_queues_than_there_may_be() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &["--durability", "normal"]);
    let mut client = server.client();
    let yearly = br#"{"cron": "@yearly", "job": {"kind": "optimize"}}"#;
    for n in 0..1_000 {
        client.send("PUT", &format!("/v1/schedules/s{n}"), &[], yearly).ok();
    }
    // the engine has some of its own
    let own = server.get("/v1/queues").ok()["queues"].as_array().unwrap().len();
    for n in own..1_000 {
        client.send("PUT", &format!("/v1/queues/q{n}"), &[], b"{}").ok();
    }
    assert_says(&client.send("PUT", "/v1/schedules/more", &[], yearly).problem(409).1, &["1000"]);
    client.send("PUT", "/v1/schedules/s7", &[], yearly).ok();
    assert_says(&client.send("PUT", "/v1/queues/more", &[], b"{}").problem(400).1, &["1000", "more"]);
    client.send("PUT", "/v1/queues/q77", &[], br#"{"size": 7}"#).ok();
    let job = br#"{"kind": "optimize", "queue": "more", "run_at": "1h"}"#;
    assert_says(&client.send("POST", "/v1/jobs", &[], job).problem(400).1, &["1000", "more"]);
    assert_eq!(names(&server).len(), 1_000);
}
