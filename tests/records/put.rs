//! What becomes of a batch: new, changed, as it was, rejected with the reason; all or nothing; by mode; from files.

use serde_json::{Value, json};

use crate::common::{Server, assert_says, run, temp_dir};
use crate::{
    counts, declare, numbers, one, outcome, places, put, send, taken, texts, vulnerabilities,
    vulnerabilities_declared, walk,
};

#[test]
fn records_put_twice_are_as_many_and_a_changed_one_is_updated() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "kev", &json!({"kind": "records", "key": "cveID"}));
    let all = vulnerabilities();
    let many = all.len() as u64;
    assert_eq!(taken(&server, "kev", &json!(all)), [many, 0, 0]);
    assert_eq!(taken(&server, "kev", &json!(all)), [0, 0, many]);
    assert_eq!(server.count("kev"), many);
    let key = all[7]["cveID"].as_str().unwrap();
    let before = one(&server, "kev", key).ok();
    let mut changed = all.clone();
    changed[7]["product"] = json!("Another");
    assert_eq!(taken(&server, "kev", &json!(changed)), [0, 1, many - 1]);
    let after = one(&server, "kev", key).ok();
    assert_eq!((&before["_version"], &after["_version"]), (&json!(1), &json!(2)));
    assert_eq!((&after["product"], &after["_seq"]), (&json!("Another"), &before["_seq"]));
    let described = server.get("/v1/datasets/kev").ok();
    assert_eq!((&described["kind"], &described["rows"]), (&json!("records"), &json!(many)));
}

#[test]
fn the_newest_first_pages_through_all_without_repeats() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "kev", &vulnerabilities_declared());
    let all = vulnerabilities();
    taken(&server, "kev", &json!(all));
    for limit in [1, 100, 10_000] {
        let parameters = format!("order=-dateAdded&fields=cveID,dateAdded&limit={limit}");
        let found = walk(&server, "/v1/datasets/kev/rows", &parameters).concat();
        let mut keys = texts(&found, "cveID");
        let dates = texts(&found, "dateAdded");
        assert!(dates.windows(2).all(|two| two[0] >= two[1]), "newest first, limit={limit}");
        keys.sort();
        keys.dedup();
        assert_eq!((keys.len(), found.len()), (all.len(), all.len()), "limit={limit}");
    }
}

#[test]
fn a_file_imported_twice_with_a_key_leaves_the_same_records() {
    let dir = temp_dir();
    let all = vulnerabilities();
    let file = dir.path().join("kev.json");
    std::fs::write(&file, json!({"count": all.len(), "vulnerabilities": all}).to_string()).unwrap();
    for _ in 0..2 {
        run(dir.path(), &["import", "kev", "kev.json", "--key", "cveID"]).exits(0);
        let counted = crate::common::process::sql(dir.path(), "SELECT count(*), max(_version) FROM kev");
        assert_eq!(counted.rows, [vec![json!(all.len()), json!(1)]]);
    }
    let mut changed = all.clone();
    changed[3]["product"] = json!("Another");
    std::fs::write(&file, json!({"count": all.len(), "vulnerabilities": changed}).to_string()).unwrap();
    run(dir.path(), &["import", "kev", "kev.json", "--key", "cveID"]).exits(0);
    let sql = "SELECT count(*), sum(_version), count(*) FILTER (WHERE product = 'Another') FROM kev";
    let counted = crate::common::process::sql(dir.path(), sql);
    assert_eq!(counted.rows, [vec![json!(all.len()), json!(all.len() + 1), json!(1)]]);
    run(dir.path(), &["check"]).exits(0);
}

/// Findings with every sort of rule.
fn findings(server: &Server, is_strict: bool) {
    let declaration = json!({
        "kind": "records", "key": "id", "strict": is_strict,
        "fields": {
            "id": {"type": "int"}, "title": {"type": "string", "required": true}, "score": {"type": "float"},
            "code": {"type": "string"}, "low": {"type": "int"}, "high": {"type": "int"},
            "open": {"type": "bool", "default": true}, "tags": {"type": "strings"}, "seen": {"type": "time"},
        },
        "checks": ["score >= 0 and score <= 10", "low <= high"],
        "indexes": [{"fields": ["code"], "unique": true}],
    });
    declare(server, "findings", &declaration);
}

#[test]
fn what_is_wrong_with_a_record_is_told_by_its_place_and_the_others_are_kept() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    assert_eq!(taken(&server, "findings", &json!({"id": 1, "title": "first", "code": "A"})), [1, 0, 0]);
    let batch = json!([
        {"id": 2, "title": "good", "score": 4},
        {"id": "two", "title": "the key is no number"},
        {"title": "no key"},
        {"id": null, "title": "a null key"},
        {"id": 2, "title": "the key again"},
        {"id": 3, "title": "undeclared", "strange": 1},
        {"id": 4, "title": "a check", "score": 11},
        {"id": 5, "title": "the index", "code": "A"},
        {"id": 6},
        {"id": 7, "title": 7},
        {"id": 8, "title": "a bad time", "seen": "soon"},
        {"id": 9, "title": "a bad list", "tags": [{"a": 1}]},
        {"id": 10, "title": "another check", "low": 3, "high": 2},
        {"id": 11, "title": "also good", "tags": ["x"], "seen": "2026-03-01"},
    ]);
    let reply = put(&server, "findings", "", &batch).ok();
    assert_eq!(counts(&reply), [2, 0, 0], "{reply}");
    assert_eq!(places(&reply["rejected"]), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "{reply}");
    let message = |at: usize| reply["rejected"][at - 1]["message"].as_str().unwrap();
    assert_says(message(1), &["id", "int"]);
    assert_says(message(2), &["id", "key"]);
    assert_says(message(3), &["id", "key"]);
    assert_says(message(4), &["item 0", "same key"]);
    assert_says(message(5), &["strange", "not declared"]);
    assert_says(message(6), &["check", "score <= 10"]);
    assert_says(message(7), &["code", "unique"]);
    assert_says(message(8), &["title", "required"]);
    assert_says(message(9), &["title", "string"]);
    assert_says(message(10), &["seen"]);
    assert_says(message(11), &["tags"]);
    assert_says(message(12), &["low <= high"]);
    assert_eq!(numbers(&server.rows("findings", "id"), "id"), [1, 2, 11]);
    assert_eq!(one(&server, "findings", "2").ok()["open"], json!(true), "a default is taken");
}

#[test]
fn an_undeclared_field_is_taken_unless_strict() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, false);
    assert_eq!(
        taken(&server, "findings", &json!({"id": 1, "title": "t", "props": {"plan": "pro"}})),
        [1, 0, 0]
    );
    assert_eq!(one(&server, "findings", "1").ok()["props.plan"], json!("pro"));
    let alike = put(&server, "findings", "", &json!([{"id": 2, "title": "t", "Title": "u"}]));
    assert_says(&alike.problem(400).1, &["Title", "case"]);
    let wrong = put(&server, "findings", "", &json!([{"id": 2, "title": "t", "low": "many"}]));
    let (problem, detail) = wrong.problem(400);
    assert_says(&detail, &["low", "int"]);
    assert_eq!(places(&problem["errors"]), [0]);
}

#[test]
fn of_an_atomic_batch_with_a_wrong_record_nothing_is_kept() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    taken(&server, "findings", &json!([{"id": 1, "title": "first", "code": "A"}]));
    for (what, wrong) in [
        ("a type", json!({"id": 3, "title": 3})),
        ("a key", json!({"title": "none"})),
        ("a key twice", json!({"id": 2, "title": "again"})),
        ("a check", json!({"id": 3, "title": "t", "score": -1})),
        ("an undeclared field", json!({"id": 3, "title": "t", "strange": 1})),
    ] {
        let batch = json!([{"id": 1, "title": "changed", "code": "A"}, {"id": 2, "title": "new"}, wrong]);
        let (problem, detail) = put(&server, "findings", "atomic=true", &batch).problem(400);
        assert_eq!(places(&problem["errors"]), [2], "{what}: {problem}");
        assert_says(&detail, &["nothing was put"]);
        assert_eq!(texts(&server.rows("findings", "title"), "title"), ["first"], "{what}");
    }
    let batch = json!([{"id": 1, "title": "changed", "code": "A"}, {"id": 2, "title": "new"}]);
    assert_eq!(outcome(&put(&server, "findings", "atomic=true", &batch)), [1, 1, 0]);
}

#[test]
fn an_atomic_batch_of_several_thousand_is_one_transaction() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "d",
        &json!({"kind": "records", "key": "id", "fields": {"n": {"type": "int"}},
        "indexes": [{"fields": ["n"], "unique": true}]}),
    );
    let mut batch: Vec<Value> = (0..3_500).map(|id| json!({"id": id, "n": id})).collect();
    batch.push(json!({"id": 3_500, "n": 0}));
    let refused = put(&server, "d", "atomic=true", &json!(batch));
    assert!([400, 409].contains(&refused.status), "{}", refused.text());
    assert_eq!(server.count("d"), 0);
    let reply = put(&server, "d", "", &json!(batch)).ok();
    assert_eq!((counts(&reply), places(&reply["rejected"])), ([3_500, 0, 0], vec![3_500]));
    batch.pop();
    assert_eq!(outcome(&put(&server, "d", "atomic=true", &json!(batch))), [0, 0, 3_500]);
}

#[test]
fn an_atomic_batch_tells_the_place_of_the_record_that_a_unique_index_refuses() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    taken(&server, "findings", &json!([{"id": 1, "title": "first", "code": "A"}]));
    let batch = json!([{"id": 2, "title": "new"}, {"id": 3, "title": "t", "code": "A"}]);
    let (problem, _) = put(&server, "findings", "atomic=true", &batch).problem(400);
    assert_eq!(places(&problem["errors"]), [1], "{problem}");
}

#[test]
fn a_batch_of_which_nothing_can_be_kept_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    let (problem, detail) = put(&server, "findings", "", &json!([{"id": 1}, {"title": "t"}])).problem(400);
    assert_eq!(places(&problem["errors"]), [0, 1], "{problem}");
    assert_says(&detail, &["nothing was put"]);
    for body in ["", "   ", "nonsense", "[1, 2]", "{\"id\": 1, \"title\": \"t\""] {
        server.client().send("PUT", "/v1/datasets/findings/records", &[], body.as_bytes()).problem(400);
    }
    assert_eq!(counts(&put(&server, "findings", "", &json!([])).ok()), [0, 0, 0]);
    let unknown = put(&server, "nothing", "", &json!([{"id": 1}])).problem(404).1;
    assert_says(&unknown, &["declare", "key"]);
    server.accepted("visits", "{\"n\": 1}");
    assert_says(&put(&server, "visits", "", &json!([{"id": 1}])).problem(409).1, &["visits", "events"]);
    let posted = server.events("findings", "{\"id\": 1, \"title\": \"t\"}");
    assert_says(&posted.problem(409).1, &["findings", "records"]);
    for parameters in ["atomic=yes", "mode=upset", "mod=merge"] {
        put(&server, "findings", parameters, &json!([{"id": 1, "title": "t"}])).problem(400);
    }
    assert_eq!(server.count("findings"), 0);
}

#[test]
fn a_mode_says_what_is_done_with_a_key_that_is_there() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    let full = json!({"id": "a", "x": 1, "y": [1, 2], "z": "text"});
    taken(&server, "d", &full);
    let row = || {
        let row = one(&server, "d", "a").ok();
        (row["x"].clone(), row["y"].clone(), row["z"].clone(), row["_version"].as_u64().unwrap())
    };
    let there = put(&server, "d", "mode=insert", &json!([{"id": "a", "x": 9}, {"id": "b", "x": 1}])).ok();
    assert_eq!((counts(&there), places(&there["rejected"])), ([1, 0, 0], vec![0]));
    assert_says(there["rejected"][0]["message"].as_str().unwrap(), &["there already"]);
    assert_eq!(row().0, json!(1));
    let merged =
        put(&server, "d", "mode=merge", &json!([{"id": "a", "x": 2, "z": null}, {"id": "c", "x": 3}]));
    assert_eq!(outcome(&merged), [1, 1, 0], "merge also makes new ones");
    assert_eq!(row(), (json!(2), json!([1, 2]), json!("text"), 2));
    assert_eq!(outcome(&put(&server, "d", "mode=merge", &json!([{"id": "a", "x": 2}]))), [0, 0, 1]);
    let replaced =
        put(&server, "d", "mode=replace", &json!([{"id": "a", "x": 4}, {"id": "none", "x": 3}])).ok();
    assert_eq!((counts(&replaced), places(&replaced["rejected"])), ([0, 1, 0], vec![1]));
    assert_says(replaced["rejected"][0]["message"].as_str().unwrap(), &["not there"]);
    assert_eq!(row(), (json!(4), Value::Null, Value::Null, 3));
    assert_eq!(outcome(&put(&server, "d", "mode=upsert", &full)), [0, 1, 0]);
    assert_eq!(row(), (json!(1), json!([1, 2]), json!("text"), 4));
}

#[test]
fn a_merge_need_not_name_a_required_field_that_is_there() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    taken(&server, "findings", &json!({"id": 1, "title": "t"}));
    assert_eq!(outcome(&put(&server, "findings", "mode=merge", &json!({"id": 1, "score": 5}))), [0, 1, 0]);
    assert_eq!(one(&server, "findings", "1").ok()["title"], json!("t"));
}

#[test]
fn a_merge_keeps_a_value_where_there_is_a_default() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    taken(&server, "findings", &json!({"id": 1, "title": "t", "open": false}));
    let merged = put(&server, "findings", "mode=merge", &json!({"id": 1, "title": "t", "score": 5}));
    assert_eq!(outcome(&merged), [0, 1, 0]);
    assert_eq!(one(&server, "findings", "1").ok()["open"], json!(false));
}

#[test]
fn a_merge_breaks_no_check() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    findings(&server, true);
    taken(&server, "findings", &json!({"id": 1, "title": "t", "low": 3, "high": 5}));
    let broken = put(&server, "findings", "mode=merge", &json!({"id": 1, "title": "t", "low": 9}));
    assert_says(&broken.problem(400).1, &["low <= high"]);
}

#[test]
fn a_merge_without_the_time_keeps_the_time() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "d",
        &json!({"kind": "records", "key": "id", "fields": {"at": {"type": "time"}}, "time": "at"}),
    );
    taken(&server, "d", &json!({"id": 1, "at": "2026-03-01T10:00:00Z"}));
    assert_eq!(outcome(&put(&server, "d", "mode=merge", &json!({"id": 1, "x": 1}))), [0, 1, 0]);
    let row = one(&server, "d", "1").ok();
    assert_eq!((&row["at"], &row["_time"]), (&json!("2026-03-01T10:00:00Z"), &json!("2026-03-01T10:00:00Z")));
}

#[test]
fn a_record_without_a_time_put_twice_is_as_it_was() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "d",
        &json!({"kind": "records", "key": "id", "fields": {"at": {"type": "time"}}, "time": "at"}),
    );
    assert_eq!(taken(&server, "d", &json!([{"id": 1, "x": 1}])), [1, 0, 0]);
    assert_eq!(taken(&server, "d", &json!([{"id": 1, "x": 1}])), [0, 0, 1]);
}

#[test]
fn lines_arrays_and_packed_bodies_are_batches_too() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    let lines = b"{\"id\": 1}\n{\"id\": 2}\nnonsense\n{\"id\": 3}\n";
    let reply = server.client().send("PUT", "/v1/datasets/d/records", &[], lines).ok();
    assert_eq!((counts(&reply), places(&reply["rejected"])), ([3, 0, 0], vec![2]));
    let packed = crate::common::gzip(b"[{\"id\": 3}, {\"id\": 4}]");
    let headers = [("Content-Encoding", "gzip")];
    let reply = server.client().send("PUT", "/v1/datasets/d/records", &headers, &packed);
    assert_eq!(outcome(&reply), [1, 0, 1]);
}

#[test]
fn an_export_of_records_can_be_imported_again() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration =
        json!({"kind": "records", "key": "id", "fields": {"body": {"type": "string", "lazy": true}}});
    declare(&server, "d", &declaration);
    taken(&server, "d", &json!([{"id": 1, "x": 1, "body": "long"}, {"id": 2}]));
    taken(&server, "d", &json!([{"id": 1, "x": 2, "body": "longer"}]));
    let whole = run(dir.path(), &["export", "d"]).exits(0).stdout;
    std::fs::write(dir.path().join("d.ndjson"), &whole).unwrap();
    server.stop();
    run(dir.path(), &["import", "copy", "d.ndjson", "--key", "id"]).exits(0);
    let server = Server::start(dir.path(), &[]);
    let row = one(&server, "copy", "1").ok();
    assert_eq!((&row["x"], &row["body"]), (&json!(2), &json!("longer")), "{whole}");
    assert_eq!(server.count("copy"), 2);
    let reply = server.client().send("PUT", "/v1/datasets/d/records", &[], whole.as_bytes());
    assert_eq!(outcome(&reply), [0, 0, 2], "of the same versions");
    send(&server, "DELETE", "/v1/datasets/copy", &Value::Null);
}

#[test]
fn puts_beside_each_other_are_all_counted_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "d",
        &json!({"kind": "records", "key": "id", "fields": {"by": {"type": "string"}}, "search": ["by"]}),
    );
    let totals = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let server = &server;
                scope.spawn(move || {
                    let mut sum = [0; 3];
                    for round in 0..4 {
                        let record =
                            |id: u64| json!({"id": id, "by": format!("writer{writer}"), "round": round / 2});
                        let done = taken(server, "d", &json!((0..700).map(record).collect::<Vec<_>>()));
                        for (sum, done) in sum.iter_mut().zip(done) {
                            *sum += done;
                        }
                    }
                    sum
                })
            })
            .collect();
        let sums = writers.into_iter().map(|writer| writer.join().unwrap());
        sums.fold([0; 3], |all, one| [all[0] + one[0], all[1] + one[1], all[2] + one[2]])
    });
    let [inserted, updated, unchanged] = totals;
    assert_eq!((inserted, inserted + updated + unchanged), (700, 4 * 4 * 700));
    let versions = server.sql("SELECT count(*), sum(_version) FROM d").rows;
    assert_eq!(
        versions,
        [vec![json!(700), json!(inserted + updated)]],
        "a version for every change that was told"
    );
    let found = crate::search(&server, "d", "writer*", "&count=exact&limit=1&facets=by");
    assert_eq!(found["total"], json!(700));
    let counted: u64 =
        found["facets"]["by"].as_array().unwrap().iter().map(|facet| facet["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 700);
}
