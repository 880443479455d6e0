//! Declarations: what they refuse, and how they change while records are there.

use serde_json::{Value, json};

use crate::common::{Reply, Server, assert_says, temp_dir};
use crate::{condition, counts, declare, one, put, search, send, taken, texts, walk};

fn declared(server: &Server, dataset: &str, declaration: &Value) -> Reply {
    send(server, "PUT", &format!("/v1/datasets/{dataset}"), declaration)
}

/// A declaration with more than `kind` and `key`.
fn with(parts: &Value) -> Value {
    let mut all = json!({"kind": "records", "key": "id"});
    for (name, part) in parts.as_object().unwrap() {
        all[name] = part.clone();
    }
    all
}

#[test]
fn a_declaration_that_contradicts_itself_is_refused_with_the_reason() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let text = json!({"id": {"type": "string"}, "a": {"type": "string"}, "n": {"type": "int"}});
    for (declaration, words) in [
        (json!({"kind": "records"}), vec!["key"]),
        (json!({"kind": "recrods", "key": "id"}), vec!["recrods"]),
        (json!({"key": "id"}), vec!["key", "records"]),
        (json!({"indexes": [{"fields": "a"}]}), vec!["indexes", "records"]),
        (json!({"fields": {"a": {"lazy": true}}}), vec!["lazy", "records"]),
        (with(&json!({"fields": {"a": {"type": "text"}}})), vec!["text", "string"]),
        (with(&json!({"fields": {"a": {"typ": "int"}}})), vec!["typ"]),
        (with(&json!({"fields": {"A": {"type": "int"}, "a": {"type": "int"}}})), vec!["case"]),
        (with(&json!({"fields": {"_version": {"type": "int"}}})), vec!["_version"]),
        (with(&json!({"fields": {"id": {"lazy": true}}})), vec!["id", "lazy"]),
        (with(&json!({"fields": {"a": {"default": [1]}}})), vec!["default", "a"]),
        (json!({"kind": "records", "key": ["a", "a"]}), vec!["a", "twice"]),
        (json!({"kind": "records", "key": []}), vec!["key"]),
        (with(&json!({"retention": "7d"})), vec!["retention", "events"]),
        (with(&json!({"dedupe": "all"})), vec!["dedupe", "events"]),
        (with(&json!({"sort": "a"})), vec!["sort"]),
        (with(&json!({"indexes": [{"fields": ["nothing"]}]})), vec!["nothing"]),
        (with(&json!({"indexes": [{"fields": []}]})), vec!["index"]),
        (with(&json!({"indexes": [{"fields": ["-"]}]})), vec!["index"]),
        (with(&json!({"indexes": [{"fields": ["id", "-id"]}]})), vec!["id", "twice"]),
        (with(&json!({"fields": {"a": {"lazy": true}}, "indexes": [{"fields": "a"}]})), vec!["a", "lazy"]),
        (with(&json!({"indexes": [{"fields": "id", "where": "id ="}]})), vec!["expression"]),
        (
            with(&json!({"fields": text, "indexes": [{"fields": "a", "where": "a + n > 2"}]})),
            vec!["a + n > 2"],
        ),
        (with(&json!({"search": ["nothing"]})), vec!["nothing"]),
        (with(&json!({"fields": text, "search": ["n"]})), vec!["n", "string"]),
        (with(&json!({"fields": text, "search": ["a^-1"]})), vec!["a", "weight"]),
        (with(&json!({"fields": text, "search": ["a", "a^2"]})), vec!["a", "twice"]),
        (with(&json!({"checks": ["nothing > 1"]})), vec!["nothing > 1"]),
        (with(&json!({"checks": ["id >"]})), vec!["id >"]),
        (with(&json!({"checks": ["count() > 1"]})), vec!["count() > 1"]),
        (with(&json!({"relations": {"r": {"by": "id"}}})), vec!["r", "names no dataset"]),
        (with(&json!({"relations": {"r": {"many": "x", "one": "y", "by": "id"}}})), vec!["r", "both"]),
        (with(&json!({"relations": {"r": {"many": "x", "by": []}}})), vec!["r", "by"]),
        (with(&json!({"relations": {"r.s": {"many": "x", "by": "id"}}})), vec!["r.s", "dot"]),
        (with(&json!({"relations": {"r": {"many": "No Name", "by": "id"}}})), vec!["No Name"]),
        (with(&json!({"relations": {"r": {"one": "x", "by": "nothing"}}})), vec!["nothing"]),
        (with(&json!({"relations": {"r": {"many": "d", "by": "id"}}})), vec!["circle"]),
    ] {
        let reply = declared(&server, "d", &declaration);
        assert!(reply.status == 400, "{declaration}: {} {}", reply.status, reply.text());
        assert_says(&reply.problem(400).1, &words);
        assert_eq!(server.get("/v1/datasets/d").status, 404, "nothing was made by {declaration}");
    }
}

#[test]
fn a_default_is_of_the_type_of_its_field() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &with(&json!({})));
    taken(&server, "d", &json!([{"id": 1}]));
    for (kind, default) in
        [("int", json!("many")), ("int", json!(1.5)), ("bool", json!("yes")), ("time", json!("soon"))]
    {
        let reply =
            declared(&server, "d", &with(&json!({"fields": {"x": {"type": kind, "default": default}}})));
        assert!(reply.status == 400, "{kind} {default}: {} {}", reply.status, reply.text());
        assert_eq!(taken(&server, "d", &json!([{"id": 1}])), [0, 0, 1], "writes go on");
    }
}

#[test]
fn a_condition_with_a_function_that_is_not_sqlite_s_own_is_no_condition_of_an_index() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "other", &with(&json!({})));
    taken(&server, "other", &json!([{"id": 1}]));
    for text in [
        "lower(a) = 'x'",
        "upper(a) = 'X'",
        "length(a) > 2",
        "abs(n) > 2",
        "substr(a, 1, 2) = 'ab'",
        "round(n) > 1",
    ] {
        let fields = json!({"a": {"type": "string"}, "n": {"type": "int"}});
        let reply = declared(
            &server,
            "d",
            &with(&json!({"fields": fields, "indexes": [{"fields": "a", "where": text}]})),
        );
        assert!([200, 400].contains(&reply.status), "{text}: {}", reply.text());
        if reply.status == 200 {
            taken(&server, "d", &json!([{"id": 1, "a": "X", "n": 5}, {"id": 2, "a": "abc"}]));
            server.sql(&format!("SELECT count(*) FROM d WHERE {text}"));
        }
        assert_eq!(one(&server, "other", "1").ok()["id"], json!(1), "{text}");
        assert_eq!(server.sql("SELECT count(*) FROM other WHERE id = 1").cell(), &json!(1), "{text}");
    }
}

#[test]
fn relations_that_go_in_a_circle_are_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let fields = json!({"b": {}, "c": {}, "a": {}});
    let belongs = |to: &str| with(&json!({"fields": fields, "relations": {"to": {"one": to, "by": to}}}));
    declare(&server, "a", &belongs("b"));
    declare(&server, "b", &belongs("c"));
    assert_says(&declared(&server, "c", &belongs("a")).problem(400).1, &["circle", "a", "b", "c"]);
    // both sides of one relation are no circle
    declare(
        &server,
        "b",
        &with(&json!({"fields": fields, "relations":
        {"to": {"one": "c", "by": "c"}, "all": {"many": "a", "by": "b"}}})),
    );
}

#[test]
fn fields_and_indexes_that_are_declared_later_apply_to_records_that_are_there() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &with(&json!({})));
    let all: Vec<Value> =
        (0..2_500).map(|id| json!({"id": id, "x": id % 7, "title": format!("words of {id}")})).collect();
    taken(&server, "d", &json!(all));
    let later = with(&json!({
        "fields": {
            "x": {"type": "int"}, "title": {"type": "string"}, "state": {"type": "string", "default": "open"},
            "level": {"type": "int", "default": 3}, "share": {"type": "float", "default": 0.5},
            "good": {"type": "bool", "default": true}, "note": {"type": "string"},
        },
        "indexes": [{"fields": ["x", "-state"]}, {"fields": "level", "where": "level > 2 and state = 'open'"}],
        "search": ["title"], "checks": ["x < 7"],
    }));
    declare(&server, "d", &later);
    let row = one(&server, "d", "12").ok();
    let new = ["state", "level", "share", "good", "note"].map(|name| row[name].clone());
    assert_eq!(new, [json!("open"), json!(3), json!(0.5), json!(true), Value::Null], "{row}");
    assert_eq!(
        server.sql("SELECT count(*) FROM d WHERE state = 'open' AND level = 3 AND good").cell(),
        &json!(2_500)
    );
    assert_eq!(search(&server, "d", "words", "&count=exact&limit=1")["total"], json!(2_500));
    assert_eq!(
        taken(&server, "d", &json!([{"id": 1, "x": 1, "title": "words of 1"}])),
        [0, 0, 1],
        "with the defaults"
    );
    assert_says(&put(&server, "d", "", &json!({"id": 1, "x": 9})).problem(400).1, &["x < 7"]);
    let found = walk(&server, "/v1/datasets/d/rows", "order=x,-state&fields=id&limit=1000").concat();
    assert_eq!(found.len(), 2_500);
    declare(&server, "d", &later);
    assert_eq!(server.count("d"), 2_500, "the same again changes nothing");
}

#[test]
fn a_default_of_times_and_of_lazy_fields_applies_to_records_that_are_there() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &with(&json!({})));
    taken(&server, "d", &json!([{"id": 1}]));
    declare(
        &server,
        "d",
        &with(&json!({"fields": {
            "since": {"type": "time", "default": "2026-03-01T00:00:00Z"},
            "body": {"type": "string", "lazy": true, "default": "nothing yet"},
        }})),
    );
    let row = one(&server, "d", "1").ok();
    assert_eq!((&row["since"], &row["body"]), (&json!("2026-03-01T00:00:00Z"), &json!("nothing yet")));
}

#[test]
fn a_declaration_that_would_lose_data_is_refused_with_the_reason() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let parts = json!({"fields": {"id": {"type": "int"}, "n": {"type": "int"}, "long": {"type": "string", "lazy": true}}});
    declare(&server, "d", &with(&parts));
    taken(
        &server,
        "d",
        &json!([{"id": 1, "n": 5, "x": "text", "y": 1, "long": "l"}, {"id": 2, "n": 5, "x": 7}]),
    );
    let changed = |name: &str, field: Value| {
        let mut parts = parts.clone();
        parts["fields"][name] = field;
        with(&parts)
    };
    let mut another = with(&parts);
    another["key"] = json!("n");
    let mut unique = with(&parts);
    unique["indexes"] = json!([{"fields": "n", "unique": true}]);
    let mut check = with(&parts);
    check["checks"] = json!(["n > 5"]);
    for (what, declaration, words) in [
        ("another key", another, vec!["key", "id"]),
        ("a type that values are not of", changed("x", json!({"type": "int"})), vec!["x", "int"]),
        ("a type of a filled column", changed("n", json!({"type": "string"})), vec!["n", "int", "string"]),
        (
            "required where values are missing",
            changed("y", json!({"required": true})),
            vec!["1 records", "y", "PATCH"],
        ),
        ("a lazy field", changed("n", json!({"type": "int", "lazy": true})), vec!["n", "lazy"]),
        ("a field that is lazy no more", changed("long", json!({"type": "string"})), vec!["long", "lazy"]),
        ("a unique index over equals", unique, vec!["n", "unique"]),
        ("a check that records break", check, vec!["2 records", "n > 5"]),
        ("events", json!({"kind": "events"}), vec!["d"]),
    ] {
        let reply = declared(&server, "d", &declaration);
        assert!(reply.status == 409, "{what}: {} {}", reply.status, reply.text());
        assert_says(&reply.problem(409).1, &words);
    }
    assert_eq!(
        server.sql("SELECT n, x, _version FROM d ORDER BY id").rows,
        [vec![json!(5), json!("text"), json!(1)], vec![json!(5), json!(7), json!(1)],]
    );
    declare(&server, "d", &changed("y", json!({"type": "int"})));
    send(&server, "DELETE", &format!("/v1/datasets/d/records?{}", condition("true")), &Value::Null).ok();
    declare(&server, "d", &json!({"kind": "records", "key": "n", "fields": {"n": {"type": "string"}}}));
    assert_eq!(
        taken(&server, "d", &json!([{"n": "text"}])),
        [1, 0, 0],
        "without records another key is no loss"
    );
}

#[test]
fn no_field_of_a_type_is_left_out_whatever_else_is() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &with(&json!({"fields": {"a": {"type": "float"}, "b": {"type": "int"}}})));
    taken(&server, "d", &json!([{"id": 1, "a": 1.5, "b": 2}]));
    let reply = declared(&server, "d", &with(&json!({})));
    if reply.status == 200 {
        // then it has to take any value from now on
        assert_eq!(taken(&server, "d", &json!([{"id": 2, "a": "text", "b": "text"}])), [1, 0, 0]);
    } else {
        assert_says(&reply.problem(409).1, &["b"]);
    }
}

#[test]
fn events_do_not_become_records_nor_records_events() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("visits", "{\"id\": 1}");
    assert_says(&declared(&server, "visits", &with(&json!({}))).problem(409).1, &["visits"]);
    assert_eq!(server.count("visits"), 1);
    declare(&server, "d", &with(&json!({})));
    taken(&server, "d", &json!([{"id": 1}]));
    declared(&server, "d", &json!({})).problem(409);
    assert_eq!(server.get("/v1/datasets/d").ok()["kind"], json!("records"));
}

#[test]
fn a_partial_unique_index_binds_the_records_of_its_condition() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "d",
        &with(&json!({
            "fields": {"state": {"type": "string"}, "name": {"type": "string"}, "n": {"type": "int"}},
            "indexes": [{"fields": "name", "unique": true, "where": "state = 'open'"}, {"fields": ["-n"], "where": "n is not null"}],
        })),
    );
    taken(
        &server,
        "d",
        &json!([
            {"id": 1, "name": "a", "state": "open"}, {"id": 2, "name": "a", "state": "closed"},
            {"id": 3, "name": "a", "state": "closed"}, {"id": 4, "state": "open"}, {"id": 5, "state": "open"},
        ]),
    );
    let second = put(
        &server,
        "d",
        "",
        &json!([{"id": 6, "name": "a", "state": "open"}, {"id": 7, "name": "b", "state": "open"}]),
    );
    assert_eq!(counts(&second.ok()), [1, 0, 0]);
    let reopened = format!("/v1/datasets/d/records?{}", condition("id = 2"));
    send(&server, "PATCH", &reopened, &json!({"state": "open"})).problem(400);
    let found = server.sql("SELECT id FROM d WHERE state = 'open' AND name = 'a'");
    assert_eq!(found.rows, [vec![json!(1)]]);
}

#[test]
fn indexes_change_no_answer() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let fields =
        json!({"id": {"type": "int"}, "s": {"type": "string"}, "n": {"type": "int"}, "t": {"type": "time"}});
    let indexes = json!([
        {"fields": ["s", "n"]}, {"fields": ["-n", "s"]}, {"fields": ["t"]}, {"fields": ["n"], "where": "s = 'b'"}, {"fields": ["x"]},
    ]);
    let mut with_x = fields.clone();
    with_x["x"] = json!({});
    declare(&server, "plain", &json!({"kind": "records", "key": "id", "fields": with_x}));
    declare(
        &server,
        "indexed",
        &json!({"kind": "records", "key": "id", "fields": with_x, "indexes": indexes}),
    );
    let all: Vec<Value> = (0..1_200)
        .map(|id| {
            let n = if id % 5 == 0 { Value::Null } else { json!(id % 11) };
            let x = if id % 2 == 0 { json!(id % 3) } else { json!("t") };
            let s = ["a", "b", "C", ""][id % 4];
            json!({"id": id, "s": s, "n": n, "t": format!("2026-0{}-01", 1 + id % 9), "x": x})
        })
        .collect();
    for dataset in ["plain", "indexed"] {
        taken(&server, dataset, &json!(all));
    }
    for question in [
        "count(*) FROM d WHERE s = 'b' AND n > 3",
        "count(*) FROM d WHERE s = 'B'",
        "s, count(*) FROM d GROUP BY 1 ORDER BY 1",
        "s, sum(n), avg(n), min(t) FROM d WHERE n <= 7 GROUP BY 1 ORDER BY 2",
        "n FROM d WHERE s = 'b' ORDER BY n LIMIT 5",
        "count(*) FROM d WHERE n IS NULL",
        "count(*) FROM d WHERE n BETWEEN 2 AND 4.5",
        "count(*) FROM d WHERE s LIKE 'b%'",
        "count(*) FROM d WHERE t >= '2026-03-01' AND t < '2026-05-01'",
        "count(*) FROM d WHERE n IN (1, 2, 'a')",
        "count(*) FROM d WHERE x > 1",
        "count(*) FROM d WHERE x = '1'",
        "max(n), count(DISTINCT x) FROM d WHERE s <> 'a'",
        "count(*) FROM d WHERE n > 2.5 OR s IS NULL",
        "count(*) FROM d WHERE n = '3'",
        "x FROM d ORDER BY x, id LIMIT 3",
    ] {
        let answer = |dataset: &str| {
            server.sql(&format!("SELECT {}", question.replace(" d", &format!(" {dataset}")))).rows
        };
        assert_eq!(answer("indexed"), answer("plain"), "{question}");
    }
}

#[test]
fn a_dropped_dataset_is_gone_with_its_records_and_its_search() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration = with(
        &json!({"fields": {"t": {"type": "string"}, "l": {"type": "string", "lazy": true}}, "search": ["t", "l"]}),
    );
    declare(&server, "d", &declaration);
    taken(&server, "d", &json!([{"id": 1, "t": "old", "l": "long"}]));
    assert_eq!(server.client().send("DELETE", "/v1/datasets/d", &[], b"").status, 204);
    one(&server, "d", "1").problem(404);
    server.get("/v1/datasets/d/search?q=old").problem(404);
    declare(&server, "d", &declaration);
    assert_eq!(server.count("d"), 0);
    taken(&server, "d", &json!([{"id": 1, "t": "new"}]));
    assert_eq!(texts(&crate::rows(&search(&server, "d", "new", "")), "t"), ["new"]);
    assert_eq!(search(&server, "d", "old", "")["rows"], json!([]));
    assert_eq!(server.stop(), 0);
    crate::common::run(dir.path(), &["check"]).exits(0);
}

#[test]
fn a_declaration_survives_a_restart() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration = with(&json!({
        "fields": {"id": {"type": "int"}, "t": {"type": "string"}, "n": {"type": "int", "default": 2}},
        "checks": ["n > 1"], "indexes": [{"fields": ["-n"], "where": "t = 'a'", "unique": true}],
        "search": ["t^2"], "relations": {"all": {"many": "others", "by": "d"}},
    }));
    let before = declare(&server, "d", &declaration)["declaration"].clone();
    taken(&server, "d", &json!([{"id": 1, "t": "a"}]));
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.get("/v1/datasets/d").ok()["declaration"], before);
    put(&server, "d", "", &json!({"id": 2, "t": "a"})).problem(409);
    put(&server, "d", "", &json!({"id": 2, "n": 1})).problem(400);
    assert_eq!(taken(&server, "d", &json!([{"id": 1, "t": "a"}, {"id": 3, "t": "b"}])), [1, 0, 1]);
}
