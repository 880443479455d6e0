//! Records changed and deleted by a condition, and one record by its key.

use serde_json::{Value, json};

use crate::common::{Reply, Server, assert_says, encode, temp_dir};
use crate::{condition, declare, one, places, search, send, taken};

fn patch(server: &Server, text: &str, parameters: &str, body: &Value) -> Reply {
    let path = format!("/v1/datasets/d/records?{}{parameters}", condition(text));
    send(server, "PATCH", &path, body)
}

fn delete(server: &Server, text: &str, parameters: &str) -> Reply {
    let path = format!("/v1/datasets/d/records?{}{parameters}", condition(text));
    send(server, "DELETE", &path, &Value::Null)
}

/// Records 0..many with a group of 10, a text that is searched and one that is lazy.
fn start(server: &Server, many: usize) {
    let declaration = json!({
        "kind": "records", "key": "id",
        "fields": {
            "id": {"type": "int"}, "title": {"type": "string", "required": true}, "n": {"type": "int"},
            "body": {"type": "string", "lazy": true}, "code": {"type": "string"},
        },
        "checks": ["n < 1000000"], "indexes": [{"fields": ["code"], "unique": true}], "search": ["title", "body"],
    });
    declare(server, "d", &declaration);
    let all: Vec<Value> = (0..many)
        .map(|id| json!({"id": id, "title": format!("title of {id}"), "n": id, "kind": id % 10, "body": format!("body {id}")}))
        .collect();
    taken(server, "d", &json!(all));
}

#[test]
fn a_condition_changes_more_records_than_one_transaction_has() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 3_500);
    let done = patch(&server, "kind < 5", "", &json!({"severity": "high", "title": "changed"})).ok();
    assert_eq!(done, json!({"matched": 1_750, "updated": 1_750, "unchanged": 0, "rejected": []}));
    let again = patch(&server, "kind < 6", "", &json!({"severity": "high", "title": "changed"})).ok();
    assert_eq!(
        (&again["matched"], &again["updated"], &again["unchanged"]),
        (&json!(2_100), &json!(350), &json!(1_750))
    );
    let sql = "SELECT severity, count(*), max(_version), min(_version) FROM d GROUP BY 1 ORDER BY 1";
    assert_eq!(
        server.sql(sql).rows,
        [
            vec![json!("high"), json!(2_100), json!(2), json!(2)],
            vec![Value::Null, json!(1_400), json!(1), json!(1)],
        ]
    );
    assert_eq!(search(&server, "d", "changed", "&count=exact&limit=1")["total"], json!(2_100));
    assert_eq!(search(&server, "d", "title", "&count=exact&limit=1")["total"], json!(1_400));
    assert_eq!(one(&server, "d", "1").ok()["body"], json!("body 1"), "what is not set stays, lazy or not");
}

#[test]
fn null_takes_a_value_away() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 10);
    let done = patch(&server, "id = 3", "", &json!({"n": null, "body": null})).ok();
    assert_eq!(done["updated"], json!(1));
    let row = one(&server, "d", "3").ok();
    assert!(row.get("n").is_none() && row.get("body").is_none(), "{row}");
    assert_eq!(search(&server, "d", "body:3", "")["rows"], json!([]));
    let refused = patch(&server, "id = 4", "", &json!({"title": null}));
    assert_says(&refused.problem(400).1, &["title", "required"]);
}

#[test]
fn what_cannot_be_set_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 10);
    for (body, word) in [
        (json!({"id": 5}), "key"),
        (json!({"_seq": 5}), "_seq"),
        (json!({"_version": 5}), "_version"),
        (json!({"_time": "2026-01-01"}), "_time"),
        (json!({}), "nothing"),
        (json!({"n": "many"}), "n"),
        (json!({"Title": "t"}), "case"),
        (json!([{"n": 1}, {"n": 2}]), "one"),
        (json!("text"), "object"),
        (Value::Null, "body"),
    ] {
        let reply = patch(&server, "true", "", &body);
        assert!(reply.status == 400, "{body}: {} {}", reply.status, reply.text());
        assert_says(&reply.problem(400).1, &[word]);
    }
    for text in ["", " ", "nothing = 1", "id =", "count() > 1"] {
        patch(&server, text, "", &json!({"n": 1})).problem(400);
        delete(&server, text, "").problem(400);
    }
    send(&server, "PATCH", "/v1/datasets/d/records", &json!({"n": 1})).problem(400);
    send(&server, "DELETE", "/v1/datasets/d/records", &Value::Null).problem(400);
    send(&server, "PATCH", "/v1/datasets/none/records?where=true", &json!({"n": 1})).problem(404);
    assert_eq!(server.sql("SELECT count(*), max(_version) FROM d").rows, [vec![json!(10), json!(1)]]);
}

#[test]
fn records_that_cannot_be_changed_are_told_and_the_others_are_changed() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 6);
    let reply = patch(&server, "true", "", &json!({"code": "same"})).ok();
    assert_eq!((&reply["matched"], &reply["updated"]), (&json!(6), &json!(1)), "{reply}");
    assert_eq!(reply["rejected"].as_array().unwrap().len(), 5);
    assert_says(reply["rejected"][0]["message"].as_str().unwrap(), &["code", "unique"]);
    let (problem, _) = patch(&server, "true", "", &json!({"n": 1_000_000})).problem(400);
    assert_eq!(places(&problem["errors"]).len(), 6, "{problem}");
    let (_, detail) = patch(&server, "true", "&atomic=true", &json!({"code": "other"})).problem(400);
    assert_says(&detail, &["nothing was changed"]);
    assert_eq!(server.sql("SELECT count(*) FROM d WHERE code = 'other'").cell(), &json!(0));
}

#[test]
fn a_change_that_every_record_refuses_is_a_mistake_however_many_they_are() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 2_500);
    let (problem, _) = patch(&server, "true", "", &json!({"n": 1_000_000})).problem(400);
    assert_eq!(places(&problem["errors"]).len(), 1_000, "as many as are listed");
}

#[test]
fn an_atomic_change_of_thousands_is_all_or_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 3_500);
    taken(&server, "d", &json!([{"id": 9_000, "title": "last", "n": 1}]));
    let done = patch(&server, "true", "&atomic=true", &json!({"n": 7})).ok();
    assert_eq!((&done["matched"], &done["updated"]), (&json!(3_501), &json!(3_500)), "{done}");
    let (_, detail) = patch(&server, "true", "&atomic=true", &json!({"code": "one"})).problem(400);
    assert_says(&detail, &["code"]);
    assert_eq!(server.sql("SELECT count(code) FROM d").cell(), &json!(0));
    let gone = delete(&server, "kind is not null", "&atomic=true").ok();
    assert_eq!(gone, json!({"deleted": 3_500}));
    assert_eq!(server.count("d"), 1);
}

#[test]
fn a_condition_deletes_more_records_than_one_transaction_has() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 3_500);
    assert_eq!(delete(&server, "kind <> 3", "").ok(), json!({"deleted": 3_150}));
    assert_eq!(delete(&server, "kind <> 3", "").ok(), json!({"deleted": 0}));
    assert_eq!(server.count("d"), 350);
    assert_eq!(server.get("/v1/datasets/d").ok()["rows"], json!(350));
    assert_eq!(search(&server, "d", "title", "&count=exact&limit=1")["total"], json!(350));
    assert_eq!(delete(&server, "true", "").ok(), json!({"deleted": 350}));
    assert_eq!(search(&server, "d", "title", "&count=exact")["total"], json!(0));
    taken(&server, "d", &json!([{"id": 1, "title": "new"}]));
    let seq = server.rows("d", "_seq")[0]["_seq"].as_u64().unwrap();
    assert!(seq > 3_500, "a place is never used twice: {seq}");
}

#[test]
fn one_record_is_read_and_deleted_by_its_key() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 3);
    let row = one(&server, "d", "1").ok();
    assert_eq!(
        (&row["id"], &row["title"], &row["body"]),
        (&json!(1), &json!("title of 1"), &json!("body 1"))
    );
    assert_eq!((&row["_version"], row["_time"].is_string(), row["_seq"].is_u64()), (&json!(1), true, true));
    assert_eq!(server.get("/v1/datasets/d/records/1?fields=n,body").ok(), json!({"n": 1, "body": "body 1"}));
    server.get("/v1/datasets/d/records/1?fields=nothing").problem(400);
    assert_says(&one(&server, "d", "77").problem(404).1, &["77"]);
    one(&server, "d", "text").problem(400);
    one(&server, "none", "1").problem(404);
    let gone = send(&server, "DELETE", "/v1/datasets/d/records/1", &Value::Null);
    assert_eq!(gone.ok(), json!({"deleted": 1}));
    one(&server, "d", "1").problem(404);
    send(&server, "DELETE", "/v1/datasets/d/records/1", &Value::Null).problem(404);
    assert_eq!(server.count("d"), 2);
    assert_eq!(search(&server, "d", "\"body 1\"", "")["rows"], json!([]));
}

#[test]
fn the_parts_of_a_key_stand_with_commas_between_them() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let fields = json!({"run": {"type": "int"}, "test": {"type": "string"}});
    declare(&server, "d", &json!({"kind": "records", "key": ["run", "test"], "fields": fields}));
    let all = json!([
        {"run": 1, "test": "a", "x": 1}, {"run": 1, "test": "b", "x": 2}, {"run": 2, "test": "a", "x": 3},
        {"run": 2, "test": "a,b/c d", "x": 4}, {"run": 2, "test": "ü", "x": 5},
    ]);
    assert_eq!(taken(&server, "d", &all), [5, 0, 0]);
    assert_eq!(taken(&server, "d", &all), [0, 0, 5]);
    for (key, x) in [("1,a", 1), ("1,b", 2), ("2,a", 3), ("2,a,b%2Fc%20d", 4), ("2,%C3%BC", 5)] {
        assert_eq!(one(&server, "d", key).ok()["x"], json!(x), "{key}");
    }
    assert_says(&one(&server, "d", "1").problem(400).1, &["run, test"]);
    one(&server, "d", "one,a").problem(400);
    one(&server, "d", "3,a").problem(404);
    assert_eq!(
        send(&server, "DELETE", "/v1/datasets/d/records/1,a", &Value::Null).ok(),
        json!({"deleted": 1})
    );
    let refused = patch(&server, "true", "", &json!({"test": "x"}));
    assert_says(&refused.problem(400).1, &["test", "key"]);
    assert_eq!(server.count("d"), 4);
}

#[test]
fn keys_of_no_declared_type_are_found_as_what_they_look_like() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    taken(
        &server,
        "d",
        &json!([{"id": 7, "x": "number"}, {"id": "007", "x": "text"}, {"id": "a b/ü?", "x": "odd"}]),
    );
    assert_eq!(one(&server, "d", "7").ok()["x"], json!("number"));
    assert_eq!(one(&server, "d", "007").ok()["x"], json!("text"));
    assert_eq!(one(&server, "d", &encode("a b/ü?")).ok()["x"], json!("odd"));
}

/// Sets a field of its own from each of four clients, over and over until it is taken.
fn change_from_four_sides(server: &Server) {
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for _ in 0..50 {
                    let reply = patch(server, "kind < 4", "", &json!({format!("by{writer}"): 1}));
                    match reply.status {
                        200 => return,
                        503 => std::thread::sleep(std::time::Duration::from_millis(50)),
                        _ => panic!("{}", reply.text()),
                    }
                }
                panic!("the server is busy for ever");
            });
        }
    });
    let sql = "SELECT count(*), sum(by0), sum(by1), sum(by2), sum(by3), max(_version) FROM d WHERE kind < 4";
    let wanted = [800, 800, 800, 800, 800, 5].map(|n| json!(n));
    assert_eq!(server.sql(sql).rows, [wanted.to_vec()]);
}

#[test]
fn changes_beside_each_other_lose_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 2_000);
    for writer in 0..4 {
        taken(&server, "d", &json!([{"id": 5_000, "title": "t", format!("by{writer}"): 1}]));
    }
    change_from_four_sides(&server);
}

#[test]
fn changes_beside_each_other_that_bring_new_fields_lose_nothing() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 2_000);
    change_from_four_sides(&server);
}

#[test]
fn the_engines_own_time_cannot_be_set() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, 1);
    let reply = patch(&server, "true", "", &json!({"_time": "2020-01-01", "n": 1}));
    assert_says(&reply.problem(400).1, &["_time"]);
}

#[test]
fn a_key_of_no_declared_type_may_be_a_fraction() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    taken(&server, "d", &json!([{"id": 2.5}]));
    assert_eq!(one(&server, "d", "2.5").ok()["id"], json!(2.5));
}
