//! Values and names of every sort: they come back as they came, are told apart, ordered, paged and asked as those of events,
//! and names mean nothing to SQLite.

use serde_json::{Map, Value, json};

use crate::common::{Server, assert_same_rows, assert_says, encode, temp_dir};
use crate::{condition, declare, numbers, one, page, put, rows, search, send, taken, walk};

fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(9_007_199_254_740_993_i64),
        json!(u64::MAX),
        json!(0.5),
        json!(-0.0),
        json!(1.0),
        json!(1e300),
        json!(5e-324),
        json!(9_007_199_254_740_992.0),
        json!(""),
        json!(" "),
        json!("a"),
        json!("A"),
        json!("ä"),
        json!("a\u{308}"),
        json!("zz\u{0}z"),
        json!("1"),
        json!("1.0"),
        json!("true"),
        json!("null"),
        json!("2026-03-01"),
        json!("😀"),
        json!("it's \"quoted\""),
        json!("x".repeat(5_000)),
        json!([]),
        json!(["a"]),
        json!(["a", "b"]),
        json!(["a,b"]),
        json!(["", "é"]),
        json!([1, 2]),
        json!([1, "a"]),
        json!([{"a": 1}]),
        json!([[1], []]),
        json!([null]),
        json!([true]),
    ]
}

/// A row a value, in a field of no declared type.
fn rows_of_values() -> Vec<Value> {
    odd_values().into_iter().enumerate().map(|(id, value)| json!({"id": id, "x": value})).collect()
}

#[test]
fn values_come_back_as_those_of_events_do_and_put_again_are_unchanged() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "r", &json!({"kind": "records", "key": "id"}));
    let all = rows_of_values();
    let many = all.len() as u64;
    server.accepted("e", json!(all).to_string());
    assert_eq!(taken(&server, "r", &json!(all)), [many, 0, 0]);
    assert_eq!(server.rows("r", "id,x"), server.rows("e", "id,x"));
    assert_eq!(taken(&server, "r", &json!(all)), [0, 0, many]);
    let back = json!(server.rows("r", "id,x"));
    assert_eq!(taken(&server, "r", &back), [0, 0, many], "also what was read");
    for row in server.rows("r", "id,x") {
        let found = one(&server, "r", &row["id"].to_string()).ok();
        assert_eq!(found.get("x").cloned().unwrap_or(Value::Null), row["x"]);
    }
}

#[test]
fn values_are_compared_and_ordered_as_those_of_events() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "r",
        &json!({"kind": "records", "key": "id", "fields": {"x": {}}, "indexes": [{"fields": "x"}]}),
    );
    let all = rows_of_values();
    server.accepted("e", json!(all).to_string());
    taken(&server, "r", &json!(all));
    for question in [
        "id FROM d WHERE x > 0 ORDER BY id",
        "id FROM d WHERE x < 'a' ORDER BY id",
        "id FROM d WHERE x = 1 ORDER BY id",
        "id FROM d WHERE x = '1' ORDER BY id",
        "id FROM d WHERE x >= 9007199254740992 ORDER BY id",
        "id FROM d WHERE x IN (1, 'a', 0.5) ORDER BY id",
        "id FROM d WHERE x IS NOT NULL AND NOT (x > 'a') ORDER BY id",
        "id FROM d WHERE x LIKE '%z%' ORDER BY id",
        "id FROM d WHERE x = true ORDER BY id",
        "count(*) FROM d GROUP BY x ORDER BY x",
        "id FROM d ORDER BY x, id",
        "id FROM d ORDER BY x DESC, id",
        "min(x), max(x), count(x), count(DISTINCT x) FROM d",
        "id, length(x) FROM d ORDER BY id",
        "id FROM d WHERE contains(x, 'a') ORDER BY id",
        "id FROM d WHERE x BETWEEN -1 AND 1 ORDER BY id",
        "id FROM d WHERE x IS DISTINCT FROM 'a' ORDER BY id",
        "id, x || '!' FROM d WHERE id > 15 ORDER BY id",
        "id, CAST(x AS string), CAST(x AS int), CAST(x AS float) FROM d ORDER BY id",
    ] {
        let ask = |dataset: &str| {
            server.sql(&format!("SELECT {}", question.replace("FROM d", &format!("FROM {dataset}")))).rows
        };
        assert_same_rows(question, &ask("r"), &ask("e"));
    }
}

#[test]
fn pages_by_values_of_every_sort_have_each_row_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "r", &json!({"kind": "records", "key": "id"}));
    let mut all = rows_of_values();
    all.extend(
        rows_of_values()
            .into_iter()
            .map(|row| json!({"id": row["id"].as_u64().unwrap() + 1_000, "x": row["x"]})),
    );
    taken(&server, "r", &json!(all));
    let mut client = server.client();
    for order in ["x", "-x", "x,-id", "_id", "-_version,x", "_time,x"] {
        let whole =
            numbers(&rows(&page(&mut client, "r", &format!("order={order}&fields=id&limit=1000"))), "id");
        assert_eq!(whole.len(), all.len(), "order={order}");
        for limit in [1, 7] {
            let found =
                walk(&server, "/v1/datasets/r/rows", &format!("order={order}&fields=id&limit={limit}"))
                    .concat();
            assert_eq!(numbers(&found, "id"), whole, "order={order} limit={limit}");
        }
    }
}

#[test]
fn declared_types_convert_without_loss_or_refuse() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for (kind, good, bad) in [
        (
            "int",
            vec![json!(1), json!("7"), json!(2.0), json!(i64::MIN)],
            vec![json!(1.5), json!("x"), json!([]), json!(u64::MAX)],
        ),
        ("float", vec![json!(1), json!(0.5), json!(1e300)], vec![json!("x"), json!("2.5"), json!([1])]),
        ("bool", vec![json!(true), json!(false)], vec![json!("maybe"), json!(7), json!([true])]),
        ("string", vec![json!(""), json!("x"), json!("ä")], vec![json!([1]), json!(["x"])]),
        (
            "time",
            vec![json!("2026-03-01"), json!("2026-03-01T10:00:00+02:00")],
            vec![json!("soon"), json!([])],
        ),
        ("strings", vec![json!(["a", ""]), json!([])], vec![json!([[1]]), json!([{"a": 1}])]),
        ("json", vec![json!([1, {"a": null}]), json!([[]])], vec![]),
    ] {
        let dataset = format!("of_{kind}");
        declare(
            &server,
            &dataset,
            &json!({"kind": "records", "key": "id", "fields": {"id": {"type": "int"}, "x": {"type": kind}}}),
        );
        let all: Vec<Value> =
            good.iter().chain(&bad).enumerate().map(|(id, x)| json!({"id": id, "x": x})).collect();
        let reply = put(&server, &dataset, "", &json!(all)).ok();
        assert_eq!(reply["inserted"], json!(good.len()), "{kind}: {reply}");
        let again = put(&server, &dataset, "", &json!(all)).ok();
        assert_eq!(again["unchanged"], json!(good.len()), "{kind}: {again}");
        for row in server.rows(&dataset, "id,x") {
            let id = row["id"].to_string();
            assert_eq!(one(&server, &dataset, &id).ok()["x"], row["x"], "{kind}");
        }
    }
}

const ODD_NAMES: [&str; 18] = [
    "select", "rowid", "oid", "_rowid_", "rank", "c0", "a b", "a\"b", "a'b", "a`b", "a.b", "größe", "a,b",
    "-a", "a;--", "[a]", "?1", "r1",
];

#[test]
fn names_mean_nothing_to_sqlite() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut fields: Map<String, Value> =
        ODD_NAMES.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    fields.insert("rowid".into(), json!({"type": "int"}));
    let indexes: Vec<Value> =
        ODD_NAMES.iter().filter(|name| !name.starts_with('-')).map(|name| json!({"fields": name})).collect();
    let searched: Vec<&str> = ODD_NAMES.iter().copied().filter(|name| *name != "rowid").collect();
    let searched: Vec<Value> = searched.iter().map(|name| json!({"field": name, "weight": 1})).collect();
    declare(
        &server,
        "d",
        &json!({"kind": "records", "key": "rowid", "fields": fields, "indexes": indexes, "search": searched}),
    );
    let record = |id: usize| {
        let values =
            ODD_NAMES.iter().map(|name| ((*name).to_owned(), json!(format!("word{id} {}", name.len()))));
        let mut record: Map<String, Value> = values.collect();
        record.insert("rowid".into(), json!(id));
        Value::Object(record)
    };
    let all = json!([record(900), record(2), record(30)]);
    assert_eq!(taken(&server, "d", &all), [3, 0, 0]);
    assert_eq!(taken(&server, "d", &all), [0, 0, 3]);
    for name in ODD_NAMES.iter().filter(|name| **name != "rowid") {
        let found = server.sql(&format!("SELECT rowid, {} FROM d WHERE {0} LIKE 'word2 %'", quoted(name)));
        assert_eq!(found.rows, [vec![json!(2), json!(format!("word2 {}", name.len()))]], "{name}");
        let kept = condition(&format!("{} >= 'word3'", quoted(name)));
        assert_eq!(
            numbers(&rows(&page(&mut server.client(), "d", &format!("{kept}&order=rowid"))), "rowid"),
            [30, 900],
            "{name}"
        );
    }
    assert_eq!(
        numbers(&walk(&server, "/v1/datasets/d/rows", "order=rowid&limit=1").concat(), "rowid"),
        [2, 30, 900]
    );
    assert_eq!(
        numbers(&walk(&server, "/v1/datasets/d/rows", "order=-rank&limit=1").concat(), "rowid"),
        [900, 30, 2]
    );
    assert_eq!(numbers(&rows(&search(&server, "d", "word30", "&facets=rank,select")), "rowid"), [30]);
    assert_eq!(one(&server, "d", "30").ok()["größe"], json!("word30 7"));
    send(
        &server,
        "PATCH",
        &format!("/v1/datasets/d/records?{}", condition("\"a\"\"b\" = 'word2 3'")),
        &json!({"a'b": "set"}),
    )
    .ok();
    assert_eq!(one(&server, "d", "2").ok()["a'b"], json!("set"));
    assert_eq!(server.stop(), 0);
    crate::common::run(dir.path(), &["check"]).exits(0);
}

#[test]
fn a_record_has_no_more_fields_than_there_may_be() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    let wide = |id: usize, from: usize, to: usize| {
        let mut record: Map<String, Value> = (from..to).map(|at| (format!("f{at}"), json!(at))).collect();
        record.insert("id".into(), json!(id));
        Value::Object(record)
    };
    assert_eq!(taken(&server, "d", &json!([wide(1, 0, 900)])), [1, 0, 0]);
    let reply = put(&server, "d", "", &json!([wide(2, 0, 2), wide(3, 900, 1_100)]));
    let text = reply.text();
    assert!([200, 400].contains(&reply.status), "{text}");
    assert_says(&text, &["1000 fields"]);
    assert_eq!(taken(&server, "d", &json!([wide(4, 0, 950)])), [1, 0, 0], "and it goes on");
    assert_eq!(server.sql("SELECT f949 FROM d WHERE id = 4").cell(), &json!(949));
}

#[test]
fn keys_are_told_apart_as_values_are() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id", "fields": {"id": {"type": "string"}}}));
    let keys = ["", " ", "a", "A", "ä", "a\u{308}", "a/b", "a,b", "%2F", "a?b=c#d", "..", "😀", "a\nb"];
    let all: Vec<Value> = keys.iter().enumerate().map(|(n, key)| json!({"id": key, "n": n})).collect();
    assert_eq!(taken(&server, "d", &json!(all)), [keys.len() as u64, 0, 0]);
    assert_eq!(taken(&server, "d", &json!(all)), [0, 0, keys.len() as u64]);
    for (n, key) in keys.iter().enumerate().filter(|(_, key)| !key.is_empty() && **key != "..") {
        assert_eq!(one(&server, "d", &encode(key)).ok()["n"], json!(n), "{key:?}");
    }
}
