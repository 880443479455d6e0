//! Optimistic locking: a record that carries `_version` is put only where that is the version that is there.

use serde_json::json;

use crate::common::{Server, assert_says, temp_dir};
use crate::{counts, declare, one, outcome, places, put, taken};

fn pages(server: &Server) {
    declare(server, "pages", &json!({"kind": "records", "key": "name"}));
    taken(server, "pages", &json!([{"name": "a", "text": "1"}, {"name": "b", "text": "1"}]));
}

#[test]
fn a_single_outdated_record_is_a_conflict() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    pages(&server);
    let first = put(&server, "pages", "", &json!({"name": "a", "text": "2", "_version": 1}));
    assert_eq!(outcome(&first), [0, 1, 0]);
    let second = put(&server, "pages", "", &json!({"name": "a", "text": "3", "_version": 1}));
    assert_says(&second.problem(409).1, &["version 2", "read it again"]);
    let row = one(&server, "pages", "a").ok();
    assert_eq!((&row["text"], &row["_version"]), (&json!("2"), &json!(2)));
    let third = put(&server, "pages", "", &json!({"name": "a", "text": "3", "_version": 2}));
    assert_eq!(outcome(&third), [0, 1, 0]);
}

#[test]
fn in_a_batch_outdated_records_are_rejected_and_the_others_kept() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    pages(&server);
    let batch = json!([{"name": "a", "text": "2", "_version": 5}, {"name": "b", "text": "2", "_version": 1}]);
    let reply = put(&server, "pages", "", &batch).ok();
    assert_eq!((counts(&reply), places(&reply["rejected"])), ([0, 1, 0], vec![0]), "{reply}");
    let batch = json!([{"name": "a", "text": "3", "_version": 5}, {"name": "b", "text": "3", "_version": 2}]);
    let reply = put(&server, "pages", "atomic=true", &batch);
    assert!([400, 409].contains(&reply.status), "{}", reply.text());
    assert_eq!(one(&server, "pages", "b").ok()["text"], json!("2"), "nothing of an atomic batch");
}

#[test]
fn version_0_means_that_there_must_be_none() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    pages(&server);
    assert_eq!(outcome(&put(&server, "pages", "", &json!({"name": "c", "_version": 0}))), [1, 0, 0]);
    put(&server, "pages", "", &json!({"name": "a", "text": "9", "_version": 0})).problem(409);
    let gone = put(&server, "pages", "", &json!({"name": "none", "_version": 4}));
    assert_says(&gone.problem(409).1, &["not there"]);
    for wrong in [json!(-1), json!("one"), json!(1.5)] {
        let reply = put(&server, "pages", "", &json!({"name": "a", "_version": wrong}));
        assert_says(&reply.problem(400).1, &["_version"]);
    }
}

#[test]
fn of_many_writers_of_one_version_one_wins() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    pages(&server);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let server = &server;
                scope.spawn(move || {
                    let record = json!({"name": "a", "text": format!("of {writer}"), "_version": 1});
                    put(server, "pages", "", &record).status
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    assert_eq!(one(&server, "pages", "a").ok()["_version"], json!(2));
}
