//! Advice on indexes, and what keeps questions about records fast, asked of a running server.

use serde_json::{Value, json};

use crate::common::{Server, encode, temp_dir};
use crate::{declare, put, send, taken};

/// From so many records on there is advice.
const LARGE: u64 = 10_000;

fn fill(server: &Server, dataset: &str, records: u64) {
    for begin in (0..records).step_by(1_000) {
        let record = |id: u64| json!({"id": id, "owner": format!("owner-{}", id * 7 % 500), "n": id % 90});
        let some: Vec<Value> = (begin..records.min(begin + 1_000)).map(record).collect();
        taken(server, dataset, &some.into());
    }
}

fn recommendations(server: &Server) -> Vec<Value> {
    server.get("/v1/performance/recommendations").ok()["recommendations"].as_array().unwrap().clone()
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|advice| advice["kind"] == kind).collect()
}

#[test]
fn a_scan_of_many_records_is_told_with_the_index_that_ends_it() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration = json!({"kind": "records", "key": "id",
        "fields": {"id": {"type": "int"}, "owner": {"type": "string"}, "n": {"type": "int"}}});
    declare(&server, "things", &declaration);
    fill(&server, "things", LARGE);
    let page = format!("/v1/datasets/things/rows?order=owner&limit=5&where={}", encode("owner = 'owner-77'"));
    for _ in 0..3 {
        assert_eq!(server.get(&page).ok()["rows"].as_array().unwrap().len(), 5);
    }

    let all = recommendations(&server);
    let [advice] = of_kind(&all, "missing_index")[..] else { panic!("one statement is slow: {all:?}") };
    assert_eq!(advice["dataset"], "things");
    assert_eq!(advice["index"]["fields"][0], "owner");
    assert!(advice["create_index"].as_str().unwrap().starts_with("CREATE INDEX"), "{advice}");
    assert!(advice["plan"].to_string().contains("SCAN"), "{advice}");
    assert!(advice["runs"].as_u64() >= Some(3), "{advice}");
    assert!(advice["gain"].as_f64() > Some(1.5), "{advice}");
    assert!(advice["before_ms"].as_f64() > advice["after_ms"].as_f64(), "{advice}");

    // what it says is what a declaration takes, and then it has nothing more to say of that statement
    let mut better = declaration.clone();
    better["indexes"] = json!([advice["index"]]);
    declare(&server, "things", &better);
    server.get(&page).ok();
    assert_eq!(recommendations(&server), Vec::<Value>::new());
}

#[test]
fn an_index_that_no_statement_uses_is_told() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration = json!({"kind": "records", "key": "id", "indexes": [{"fields": "n"}, {"fields": "owner"}],
        "fields": {"id": {"type": "int"}, "owner": {"type": "string"}, "n": {"type": "int"}}});
    declare(&server, "things", &declaration);
    fill(&server, "things", LARGE);
    assert_eq!(recommendations(&server), Vec::<Value>::new(), "nothing was asked yet");
    server.get(&format!("/v1/datasets/things/rows?where={}", encode("n = 3"))).ok();
    let all = recommendations(&server);
    let unused = of_kind(&all, "unused_index");
    assert_eq!(unused.len(), 1, "{all:?}");
    assert_eq!(unused[0]["index"]["fields"], json!(["owner"]));
}

#[test]
fn optimizing_gives_back_what_deleted_records_took() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "texts",
        &json!({"kind": "records", "key": "id", "search": ["body"], "fields": {"body": {"type": "string"}}}),
    );
    let body = "one two three four five six seven ".repeat(40);
    for begin in [0, 1_000] {
        let some: Vec<Value> = (begin..begin + 1_000).map(|id| json!({"id": id, "body": body})).collect();
        taken(&server, "texts", &some.into());
    }
    let gone = format!("/v1/datasets/texts/records?where={}", encode("id >= 10"));
    assert_eq!(send(&server, "DELETE", &gone, &Value::Null).ok()["deleted"], 1_990);
    let reply = server.post("/v1/performance/optimize", "").ok();
    let bytes = |name: &str| reply[name].as_u64().unwrap();
    assert!(bytes("bytes_after") * 3 < bytes("bytes_before"), "{reply}");
    let found = server.get("/v1/datasets/texts/search?q=three&count=exact").ok();
    assert_eq!(found["total"], 10);
    assert_eq!(put(&server, "texts", "", &json!({"id": 9, "body": "new"})).ok()["updated"], 1);
}
