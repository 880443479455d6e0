//! Pages of records in every order, forward and back, against a naive model: nulls last, numbers before text, ties by
//! `_seq` in the direction of the last part of the order.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::common::{Client, Lcg, Server, altered_end, assert_says, encode, temp_dir};
use crate::{condition, declare, numbers, page, rows, send, taken, walk};

const ROWS: usize = 240;

/// Rows with ties and holes in every field but `id` and `r`.
fn data() -> Vec<Value> {
    let mut random = Lcg(21);
    (0..ROWS)
        .map(|id| {
            let a = if random.below(5) == 0 { Value::Null } else { json!(random.below(6) as i64 - 3) };
            let b = if random.below(4) == 0 {
                Value::Null
            } else {
                json!(random.pick(&["", "x", "Y", "yy", "é"]))
            };
            // no declared type: numbers and texts side by side
            let c = match random.below(4) {
                0 => Value::Null,
                1 => json!(random.below(4)),
                2 => json!(random.below(4) as f64 + 0.5),
                _ => json!(random.pick(&["1", "p", "q"])),
            };
            let t = match random.below(3) {
                0 => Value::Null,
                _ => json!(format!("2026-03-{:02}T00:00:00Z", 1 + random.below(9))),
            };
            let f = if random.below(3) == 0 { Value::Null } else { json!(random.below(2) == 0) };
            json!({"id": id, "a": a, "b": b, "c": c, "t": t, "f": f, "r": random.below(3)})
        })
        .collect()
}

/// A dataset of `data`, put out of order and changed, so that `_seq` is not the order of the ids.
fn start(server: &Server, indexes: &Value) -> Vec<Value> {
    let fields = json!({
        "id": {"type": "int"}, "a": {"type": "int"}, "b": {"type": "string"}, "t": {"type": "time"},
        "f": {"type": "bool"}, "r": {"type": "int", "required": true}, "c": {},
    });
    declare(server, "d", &json!({"kind": "records", "key": "id", "fields": fields, "indexes": indexes}));
    let mut all = data();
    all.reverse();
    taken(server, "d", &json!(all));
    server.rows("d", "_seq,id,a,b,c,t,f,r")
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 9,
        Value::String(_) => 1,
        _ => 0,
    }
}

/// The order of values that are there; null equals null.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().unwrap().total_cmp(&other.as_f64().unwrap())
        }
        _ => rank(one).cmp(&rank(other)),
    }
}

/// The rows in an order, as the docs tell it.
fn sorted(rows: &[Value], order: &str) -> Vec<i64> {
    let mut rows = rows.to_vec();
    let parts: Vec<(&str, bool)> =
        order.split(',').map(|part| (part.trim_start_matches('-'), part.starts_with('-'))).collect();
    let last = parts.last().unwrap().1;
    rows.sort_by(|one, other| {
        for (name, descending) in parts.iter().copied().chain([("_seq", last)]) {
            let (one, other) = (&one[name], &other[name]);
            let by_null = one.is_null().cmp(&other.is_null());
            let by_value = compare(one, other);
            let ordering = by_null.then(if descending { by_value.reverse() } else { by_value });
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    });
    numbers(&rows, "id")
}

/// All pages in one direction from a page on.
fn along(client: &mut Client, parameters: &str, first: Value, direction: &str) -> Vec<Value> {
    let mut pages = vec![first];
    while let Some(cursor) = pages.last().unwrap()[direction].as_str() {
        let next = page(client, "d", &format!("{parameters}&cursor={}", encode(cursor)));
        assert!(pages.len() < 1_000, "a walk ends");
        pages.push(next);
    }
    pages
}

const ORDERS: [&str; 18] = [
    "a", "-a", "a,-b", "-a,b", "a,b", "-a,-b", "b,-a,r", "-r,a", "r,-a", "c", "-c", "c,-a", "-c,b", "t,-c",
    "-t,a", "f,-t", "-id", "-r,-c,t",
];

fn every_order_is_as_the_model_has_it(indexes: &Value) {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let all = start(&server, indexes);
    let mut client = server.client();
    for order in ORDERS {
        let wanted = sorted(&all, order);
        for limit in [7, 60, 240] {
            let parameters = format!("order={order}&fields=id&limit={limit}");
            let first = page(&mut client, "d", &parameters);
            assert!(first["prev"].is_null(), "{first}");
            let forward = along(&mut client, &parameters, first, "next");
            let found: Vec<i64> = forward.iter().flat_map(|page| numbers(&rows(page), "id")).collect();
            assert_eq!(found, wanted, "order={order} limit={limit}");
            let mut back = along(&mut client, &parameters, forward.last().unwrap().clone(), "prev");
            back.reverse();
            assert_eq!(back.len(), forward.len(), "order={order} limit={limit}");
            for (back, forward) in back.iter().zip(&forward) {
                assert_eq!(back["rows"], forward["rows"], "back, order={order} limit={limit}");
            }
            assert!(back[0]["prev"].is_null(), "order={order}: the first page has no prev");
        }
    }
}

#[test]
fn every_order_pages_forward_and_back_as_a_model_sorts() {
    every_order_is_as_the_model_has_it(&json!([]));
}

#[test]
fn every_order_is_the_same_with_indexes() {
    every_order_is_as_the_model_has_it(&json!([
        {"fields": ["a", "-b"]}, {"fields": ["-a", "b"]}, {"fields": ["c"]}, {"fields": ["-r", "-c", "t"]}, {"fields": ["f", "-t"]},
    ]));
}

#[test]
fn a_filter_leaves_rows_out_of_every_page() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let all = start(&server, &json!([{"fields": ["a"]}]));
    let kept: Vec<Value> = all.iter().filter(|row| row["r"] == 1 && row["b"] != "x").cloned().collect();
    // b <> 'x' is null where b is
    let kept: Vec<Value> = kept.into_iter().filter(|row| !row["b"].is_null()).collect();
    let filter = condition("r = 1 and b <> 'x'");
    for order in ["a", "-a,b", "-c", "t,-c"] {
        let found =
            walk(&server, "/v1/datasets/d/rows", &format!("{filter}&order={order}&fields=id&limit=5"));
        assert_eq!(numbers(&found.concat(), "id"), sorted(&kept, order), "order={order}");
    }
    let counted = page(&mut server.client(), "d", &format!("{filter}&count=exact&limit=1"));
    assert_eq!(counted["total"], json!(kept.len()));
}

#[test]
fn without_an_order_the_newest_come_first() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    for id in 0..5 {
        taken(&server, "d", &json!([{"id": id}]));
    }
    let found = walk(&server, "/v1/datasets/d/rows", "limit=2").concat();
    assert_eq!(numbers(&found, "id"), [4, 3, 2, 1, 0]);
    declare(
        &server,
        "timed",
        &json!({"kind": "records", "key": "id", "fields": {"at": {"type": "time"}}, "time": "at"}),
    );
    taken(
        &server,
        "timed",
        &json!([{"id": 0, "at": "2026-03-02"}, {"id": 1, "at": "2026-03-01"}, {"id": 2, "at": "2026-03-02"}]),
    );
    let found = walk(&server, "/v1/datasets/timed/rows", "limit=1").concat();
    assert_eq!(numbers(&found, "id"), [2, 0, 1]);
}

#[test]
fn page_numbers_are_there_for_those_who_want_them() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let all = start(&server, &json!([]));
    let mut client = server.client();
    for order in ["a", "-a,b", "-t,a"] {
        let wanted = sorted(&all, order);
        for number in [1_usize, 2, 5, 6] {
            let found = page(&mut client, "d", &format!("order={order}&fields=id&page={number}&per_page=50"));
            let from = (number - 1) * 50;
            let part = wanted.iter().copied().skip(from).take(50).collect::<Vec<i64>>();
            assert_eq!(numbers(&rows(&found), "id"), part, "order={order} page={number}");
            assert_eq!((&found["total"], &found["pages"]), (&json!(ROWS), &json!(5)));
            assert_eq!((&found["has_next"], &found["has_prev"]), (&json!(number < 5), &json!(number > 1)));
        }
    }
    let far = page(&mut client, "d", "page=1000000000&per_page=10");
    assert_eq!(far["rows"], json!([]));
}

#[test]
fn a_limit_beyond_the_most_and_a_cursor_of_another_order_or_dataset_are_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, &json!([]));
    declare(&server, "other", &json!({"kind": "records", "key": "id"}));
    let refused = |dataset: &str, parameters: &str| {
        server.get(&format!("/v1/datasets/{dataset}/rows?{parameters}")).problem(400).1
    };
    assert_says(&refused("d", "limit=1000000000"), &["limit", "10000"]);
    assert_says(&refused("d", "limit=10001"), &["limit", "10000"]);
    assert_says(&refused("d", "limit=0"), &["limit"]);
    let first = page(&mut server.client(), "d", "order=a,-b&limit=5");
    let cursor = encode(first["next"].as_str().unwrap());
    page(&mut server.client(), "d", &format!("cursor={cursor}"));
    page(&mut server.client(), "d", &format!("order=a,-b&cursor={cursor}"));
    for other in ["order=a,b", "order=-a,-b", "order=a", "order=_time", "where=true"] {
        assert_says(&refused("d", &format!("{other}&cursor={cursor}")), &["cursor"]);
    }
    assert_says(&refused("other", &format!("order=a,-b&cursor={cursor}")), &["cursor"]);
    assert_says(&refused("d", &format!("cursor={}", altered_end(&cursor))), &["cursor"]);
    assert_says(&refused("d", "order=aa"), &["aa"]);
    assert_says(&refused("d", "fields=nothing"), &["nothing"]);
    assert_says(&refused("d", &condition("nothing = 1")), &["nothing"]);
}

#[test]
fn a_walk_beside_changes_shows_every_record_of_its_start_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    start(&server, &json!([{"fields": ["a"]}]));
    let mut client = server.client();
    let mut found = Vec::new();
    let mut at = page(&mut client, "d", "order=a&fields=id&limit=20");
    for round in 0.. {
        found.extend(numbers(&rows(&at), "id"));
        // other fields change, records come and go behind and before the place
        let path = format!("/v1/datasets/d/records?{}", condition(&format!("id % 20 = {}", round % 20)));
        send(&server, "PATCH", &path, &json!({"b": format!("round {round}")})).ok();
        taken(&server, "d", &json!([{"id": 1_000 + round, "a": round % 6 - 3, "r": 1}]));
        let Some(cursor) = at["next"].as_str() else { break };
        at = page(&mut client, "d", &format!("order=a&fields=id&limit=20&cursor={}", encode(cursor)));
    }
    let mut of_start: Vec<i64> = found.iter().copied().filter(|id| *id < ROWS as i64).collect();
    of_start.sort_unstable();
    assert_eq!(of_start, (0..ROWS as i64).collect::<Vec<_>>());
    let mut once = found.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), found.len(), "none comes twice");
}

#[test]
fn a_field_that_became_required_with_a_default_still_pages_through_all() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    taken(&server, "d", &json!([{"id": 1, "x": 5}, {"id": 2}, {"id": 3, "x": 4}, {"id": 4}]));
    let declaration = json!({"kind": "records", "key": "id", "fields": {"x": {"type": "int", "required": true, "default": 0}}});
    let reply = send(&server, "PUT", "/v1/datasets/d", &declaration);
    if reply.status == 200 {
        for order in ["x", "-x"] {
            let found = walk(&server, "/v1/datasets/d/rows", &format!("order={order}&limit=1&fields=id"));
            assert_eq!(found.concat().len(), 4, "order={order}: {found:?}");
        }
    } else {
        reply.problem(409);
    }
}

#[test]
fn rows_come_as_csv_and_lines_too() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "d", &json!({"kind": "records", "key": "id"}));
    taken(&server, "d", &json!([{"id": 1, "x": "a"}, {"id": 2, "x": "b,c"}]));
    let path = "/v1/datasets/d/rows?order=id&fields=id,x,_version";
    let csv = server.client().send("GET", path, &[("Accept", "text/csv")], b"");
    assert_eq!(csv.text(), "id,x,_version\n1,a,1\n2,\"b,c\",1\n");
    let lines = server.client().send("GET", path, &[("Accept", "application/x-ndjson")], b"");
    assert_eq!(
        lines.text(),
        "{\"id\":1,\"x\":\"a\",\"_version\":1}\n{\"id\":2,\"x\":\"b,c\",\"_version\":1}\n"
    );
}
