//! kill -9 amid puts: what was acknowledged is there, a batch whole or not at all, and table, count and search agree.
//!
//! A few rounds by default; as many as the environment's `WINDROW_KILLS` says where it is set.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lcg, Server, run, temp_dir};
use crate::{declare, search};

/// Records of a batch: each is one transaction.
const BATCH: u64 = 500;

fn rounds() -> u64 {
    match std::env::var("WINDROW_KILLS") {
        Ok(text) => text.parse().expect("WINDROW_KILLS is a number"),
        Err(_) => 4,
    }
}

fn batch(number: u64) -> Value {
    let record = |n: u64| json!({"id": number * BATCH + n, "batch": number, "title": format!("word{number} shared"), "body": format!("long text of {n}")});
    json!((0..BATCH).map(record).collect::<Vec<_>>())
}

/// Puts batches from `next` on until the connection fails; gives those that were acknowledged, and the next number.
fn put_until_killed(server: Server, next: u64, delay_ms: u64) -> (Vec<u64>, u64) {
    let acknowledged = Mutex::new(Vec::new());
    let mut client = server.client();
    let last = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in next.. {
                let path = format!("/v1/datasets/d/records?atomic={}", number % 2 == 0);
                match client.try_send("PUT", &path, &[], batch(number).to_string().as_bytes()) {
                    Ok(reply) if reply.status == 200 => acknowledged.lock().unwrap().push(number),
                    Ok(reply) => panic!("{}", reply.text()),
                    Err(_) => return number + 1,
                }
            }
            unreachable!("numbers do not end")
        });
        thread::sleep(Duration::from_millis(delay_ms));
        server.kill_nine();
        writer.join().unwrap()
    });
    (acknowledged.into_inner().unwrap(), last)
}

#[test]
fn kill_nine_amid_puts_loses_nothing_that_was_acknowledged_and_leaves_no_half() {
    let dir = temp_dir();
    let mut random = Lcg(77);
    let (mut acknowledged, mut next) = (Vec::new(), 0);
    for round in 0..rounds() {
        let server = Server::start(dir.path(), &[]);
        if round == 0 {
            declare(
                &server,
                "d",
                &json!({
                    "kind": "records", "key": "id", "indexes": [{"fields": ["batch"]}], "search": ["title^2", "body"],
                    "fields": {"batch": {"type": "int"}, "title": {"type": "string"}, "body": {"type": "string", "lazy": true}},
                }),
            );
        }
        let (mut taken, last) = put_until_killed(server, next, 150 + random.below(500));
        acknowledged.append(&mut taken);
        next = last;
        let server = Server::start(dir.path(), &[]);
        let found = server.sql("SELECT batch, count(*) FROM d GROUP BY 1 ORDER BY 1").rows;
        for row in &found {
            assert_eq!(row[1], json!(BATCH), "a batch is whole: {row:?}");
        }
        let there: Vec<u64> = found.iter().map(|row| row[0].as_u64().unwrap()).collect();
        let lost = acknowledged.iter().find(|number| !there.contains(number));
        assert_eq!(lost, None, "acknowledged, and not there after round {round}");
        let all = json!(there.len() as u64 * BATCH);
        assert_eq!(server.get("/v1/datasets/d").ok()["rows"], all);
        assert_eq!(search(&server, "d", "shared", "&count=exact&limit=1")["total"], all);
        assert_eq!(search(&server, "d", "body:long", "&count=exact&limit=1")["total"], all);
        if let Some(number) = acknowledged.last() {
            let found = search(&server, "d", &format!("word{number}"), "&count=exact&limit=1");
            assert_eq!(found["total"], json!(BATCH));
        }
        assert_eq!(server.stop(), 0);
        run(dir.path(), &["check"]).exits(0);
    }
    assert!(!acknowledged.is_empty(), "something was acknowledged in {} rounds", rounds());
}
