//! Commands as jobs: those of a file, without a shell, and ended as a whole.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{Server, assert_says, run, temp_dir};
use crate::over_http::{in_state, submit, submitted};

const COMMANDS: &str = r#"
upper = ["/usr/bin/tr", "a-z", "A-Z"]
say = ["/bin/sh", "-c", "printf '%s|' \"$@\"; printf %s \"$WINDROW_JOB\"", "say", "{}", "{}"]
environment = ["/usr/bin/env"]
fails = ["/bin/sh", "-c", "echo some; echo 'it is broken' >&2; exit 3"]
hangs = ["/bin/sh", "-c", "sleep 600 & echo $! > child; echo $$ > parent; wait"]
leaves = ["/bin/sh", "-c", "sleep 600 & echo $! > left; echo done"]
much = ["/bin/sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"]
missing = ["/nowhere/program"]
"#;

fn server(dir: &Path) -> Server {
    std::fs::write(dir.join("commands.toml"), COMMANDS).unwrap();
    Server::start(dir, &["--jobs-commands", "commands.toml"])
}

fn command(payload: &Value) -> Value {
    json!({"kind": "command", "payload": payload, "max_attempts": 1})
}

fn is_alive(dir: &Path, file: &str) -> bool {
    let id = std::fs::read_to_string(dir.join(file)).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    // one that nobody has waited for yet is dead all the same
    status.is_ok_and(|text| !text.contains(") Z "))
}

#[test]
fn without_the_setting_no_command_is_taken() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    assert_says(&submit(&server, &command(&json!({"command": "upper"}))).problem(403).1, &["jobs_commands"]);
    assert_eq!(server.stop(), 0);
    for (text, word) in [("upper = ['tr']", "full path"), ("upper =", "line is a name")] {
        std::fs::write(dir.path().join("a.toml"), text).unwrap();
        let refused = run(dir.path(), &["serve", "--jobs-commands", "a.toml"]).exits(1).stderr;
        assert_says(&refused, &["a.toml", word]);
    }
}

#[test]
fn a_command_has_its_input_and_arguments_and_nothing_else() {
    let dir = temp_dir();
    let server = server(dir.path());
    let id = submitted(&server, &command(&json!({"command": "upper", "input": "hello", "dataset": "runs"})));
    let result = in_state(&server, id, "done")["result"].clone();
    assert_eq!(
        (&result["status"], &result["output"], &result["output_bytes"]),
        (&json!(0), &json!("HELLO"), &json!(5))
    );
    let event = server.sql("SELECT command, status, output, job, attempt, failed FROM runs");
    assert_eq!(event.rows, [[json!("upper"), json!(0), json!("HELLO"), json!(id), json!(1), json!(false)]]);
    let id =
        submitted(&server, &command(&json!({"command": "say", "arguments": ["a b", "$(id); `id` > x"]})));
    assert_eq!(in_state(&server, id, "done")["result"]["output"], format!("a b|$(id); `id` > x|{id}"));
    let id = submitted(&server, &command(&json!({"command": "environment"})));
    let output = in_state(&server, id, "done")["result"]["output"].as_str().unwrap().to_owned();
    let known = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "WINDROW_JOB", "WINDROW_ATTEMPT"];
    assert!(output.lines().all(|line| known.contains(&line.split('=').next().unwrap())), "{output}");
    let id = submitted(&server, &command(&json!({"command": "much"})));
    let result = in_state(&server, id, "done")["result"].clone();
    assert_eq!(
        (result["output"].as_str().unwrap().len(), &result["output_bytes"]),
        (128 << 10, &json!(1_000_000))
    );
    for (payload, word) in [
        (json!({"command": "rm"}), "no command"),
        (json!({"command": "say", "arguments": ["a"]}), "2 arguments"),
        (json!({"command": "say", "arguments": ["a", "--b"]}), "option"),
        (json!({"command": "upper", "dataset": "_audit"}), "own"),
        (json!({"program": "/bin/sh"}), "program"),
    ] {
        assert_says(&submit(&server, &command(&payload)).problem(400).1, &[word]);
    }
}

#[test]
fn a_command_that_fails_says_what_it_complained_of() {
    let dir = temp_dir();
    let server = server(dir.path());
    let id = submitted(&server, &command(&json!({"command": "fails", "dataset": "runs"})));
    assert_says(
        in_state(&server, id, "dead")["error"].as_str().unwrap(),
        &["fails", "status 3", "it is broken"],
    );
    let event = server.sql("SELECT status, output, failed, error FROM runs");
    assert_eq!(event.rows[0][..3], [json!(3), json!("some\n"), json!(true)]);
    assert_says(event.rows[0][3].as_str().unwrap(), &["it is broken"]);
    let id = submitted(&server, &command(&json!({"command": "missing"})));
    assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), &["/nowhere/program"]);
}

#[test]
fn a_command_ends_with_all_that_it_began() {
    let dir = temp_dir();
    let server = server(dir.path());
    let id = submitted(&server, &command(&json!({"command": "leaves"})));
    assert_eq!(in_state(&server, id, "done")["result"]["output"], "done\n");
    assert!(!is_alive(dir.path(), "left"));
    let due =
        json!({"kind": "command", "payload": {"command": "hangs"}, "deadline": "1s", "max_attempts": 1});
    let id = submitted(&server, &due);
    assert_says(in_state(&server, id, "dead")["error"].as_str().unwrap(), &["deadline of 1 s"]);
    assert!(!is_alive(dir.path(), "child") && !is_alive(dir.path(), "parent"));
    std::fs::remove_file(dir.path().join("parent")).unwrap();
    let id = submitted(&server, &command(&json!({"command": "hangs"})));
    let begun = Instant::now();
    let is_there =
        || std::fs::read_to_string(dir.path().join("parent")).is_ok_and(|text| text.ends_with('\n'));
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    server.client().send("POST", &format!("/v1/jobs/{id}/cancel"), &[], b"").ok();
    in_state(&server, id, "cancelled");
    assert!(!is_alive(dir.path(), "child") && !is_alive(dir.path(), "parent"));
}
