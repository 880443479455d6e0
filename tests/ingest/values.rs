//! What was posted comes back as it came: every type, mixed fields, nested objects, lists, and the fields of the
//! engine's own.

use serde_json::{Value, json};

use crate::common::{Server, micros, micros_of, temp_dir};

#[test]
fn every_kind_of_value_comes_back_as_it_came() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let event = json!({
        "whole": 7, "negative": -3, "largest": i64::MAX, "smallest": i64::MIN, "fraction": 7.25, "tiny": 5e-324,
        "huge": 1.797_693_134_862_315_7e308, "tenth": 0.1, "yes": true, "no": false, "text": "Grüße, 世界 🌍",
        "empty": "", "quotes": "a \"b\" \\ \n \t \u{0} \u{7f}", "texts": ["a", "b", ""], "numbers": [1, 2.5],
        "objects": [{"a": 1}, {"b": [true, null]}], "like_a_day": "2024-01-01", "like_a_number": "0042",
    });
    server.accepted("events", event.to_string());
    let names: Vec<_> = event.as_object().unwrap().keys().cloned().collect();
    let row = &server.rows("events", &names.join(","))[0];
    for (name, value) in event.as_object().unwrap() {
        assert_eq!(&row[name], value, "{name}");
    }
}

#[test]
fn types_are_those_of_the_contract() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let event = json!({
        "i": 1, "f": 1.5, "b": true, "s": "x", "ts": "2024-01-01T00:00:00Z", "l": ["a"], "j": [{"a": 1}],
    });
    server.accepted("events", event.to_string());
    for (field, wanted) in [
        ("i", "int"),
        ("f", "float"),
        ("b", "bool"),
        ("s", "string"),
        ("ts", "time"),
        ("l", "strings"),
        ("j", "json"),
    ] {
        assert_eq!(server.type_of("events", field).as_deref(), Some(wanted), "{field}");
    }
}

#[test]
fn a_number_of_any_size_is_kept_exactly() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let numbers = [
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551616",
        "123456789012345678901234567890",
        "-123456789012345678901234567890",
    ];
    for (n, number) in numbers.iter().enumerate() {
        server.accepted("events", format!("{{\"n\":{n},\"big\":{number}}}"));
    }
    for (n, number) in numbers.iter().enumerate() {
        let text = server.get(&format!("/v1/datasets/events/rows?fields=big&where=n%3D{n}")).text();
        let compact: String = text.split_whitespace().collect();
        assert!(compact.contains(&format!("{{\"big\":{number}}}")), "{number}: {text}");
    }
}

#[test]
fn a_float_that_happens_to_be_whole_is_still_that_number() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", "[{\"x\":1.0},{\"x\":2.5},{\"x\":1e3},{\"x\":-0.0}]");
    let found: Vec<_> = server.rows("events", "x").iter().map(|r| r["x"].as_f64().unwrap()).collect();
    assert_eq!(found, [1.0, 2.5, 1000.0, 0.0]);
    assert_eq!(server.type_of("events", "x").as_deref(), Some("float"));
}

#[test]
fn a_mixed_field_keeps_each_value_and_orders_numbers_before_text() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let values =
        [json!(7), json!("seven"), json!(7.5), json!("7"), json!(true), json!(["a"]), json!({"deep": 1})];
    for value in &values {
        server.accepted("events", json!({ "x": value }).to_string());
    }
    let rows = server.rows("events", "x,x.deep");
    for (row, value) in rows.iter().zip(&values).take(6) {
        assert_eq!(&row["x"], value);
    }
    assert_eq!(rows[6]["x.deep"], 1);

    server.accepted("mixed", r#"[{"x":"b"},{"x":10},{"x":"10"},{"x":9.5},{"x":"a"},{"x":-1},{"y":0}]"#);
    let table = server.sql("SELECT x FROM mixed ORDER BY x");
    let found: Vec<_> = table.rows.iter().map(|r| r[0].clone()).collect();
    assert_eq!(found, [json!(-1), json!(9.5), json!(10), json!("10"), json!("a"), json!("b"), Value::Null]);
    assert_eq!(
        server.sql("SELECT count(*) FROM mixed WHERE x = 10").cell(),
        1,
        "a text is not the number it spells"
    );
    assert_eq!(server.sql("SELECT count(*) FROM mixed WHERE x < 'a'").cell(), 4);
    assert_eq!(server.sql("SELECT count(*) FROM mixed WHERE x > 1000").cell(), 3);
}

#[test]
fn a_field_may_change_its_kind_from_batch_to_batch() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"[{"x":1},{"x":2}]"#);
    server.accepted("events", r#"[{"x":"one"},{"x":null}]"#);
    server.accepted("events", r#"[{"x":[1,2]},{"x":false},{}]"#);
    let found: Vec<_> = server.rows("events", "x").iter().map(|r| r["x"].clone()).collect();
    assert_eq!(
        found,
        [json!(1), json!(2), json!("one"), Value::Null, json!([1, 2]), json!(false), Value::Null]
    );
    assert_eq!(server.sql("SELECT count(x) FROM events").cell(), 5);
}

#[test]
fn nested_objects_flatten_to_dotted_names() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"props":{"plan":"pro","ver":{"major":2,"minor":1}},"a.b":5}"#);
    server.accepted("events", r#"{"props":{"plan":"free"},"props.ver.major":3}"#);
    assert_eq!(
        server.rows("events", "props.plan,props.ver.major,props.ver.minor,a.b"),
        [
            json!({"props.plan": "pro", "props.ver.major": 2, "props.ver.minor": 1, "a.b": 5}),
            json!({"props.plan": "free", "props.ver.major": 3, "props.ver.minor": null, "a.b": null}),
        ]
    );
    let table = server.sql(r#"SELECT "props.plan", "props.ver.major" FROM events ORDER BY 2 DESC"#);
    assert_eq!(table.columns, ["props.plan", "props.ver.major"]);
    assert_eq!(table.rows, [[json!("free"), json!(3)], [json!("pro"), json!(2)]]);
}

#[test]
fn lists_and_empty_things_come_back() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let events = [
        json!({"n": 0, "tags": ["red", "green"]}),
        json!({"n": 1, "tags": []}),
        json!({"n": 2, "tags": ["red", "red"]}),
        json!({"n": 3, "things": [{"a": 1}, {"a": 2}]}),
        json!({"n": 4, "things": {}}),
        json!({"n": 5, "things": [[], [[1]], null]}),
    ];
    server.accepted("events", Value::from(events.to_vec()).to_string());
    let rows = server.rows("events", "n,tags,things");
    for (row, event) in rows.iter().zip(&events) {
        for (name, value) in event.as_object().unwrap() {
            assert_eq!(&row[name], value, "{event}");
        }
    }
}

#[test]
fn a_row_without_fields_is_an_event_too() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.accepted("events", "[{},{\"n\":null},{}]"), 3);
    assert_eq!(server.count("events"), 3);
    let rows = server.rows("events", "_seq");
    let places: Vec<_> = rows.iter().map(|r| r["_seq"].as_i64().unwrap()).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
}

#[test]
fn a_client_cannot_choose_the_place_of_an_event() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted(
        "events",
        r#"[{"n":0},{"n":1,"_seq":1},{"n":2,"_seq":-5},{"n":3,"_seq":"x"},{"n":4,"_seq":99}]"#,
    );
    server.accepted("events", r#"{"n":5}"#);
    let rows = server.rows("events", "n,_seq");
    let order: Vec<_> = rows.iter().map(|r| r["n"].as_i64().unwrap()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5], "the order of arrival");
    let places: Vec<_> = rows.iter().map(|r| r["_seq"].as_i64().unwrap()).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "each place once: {places:?}");
    assert!(places[5] < 99, "a sent _seq moves nothing: {places:?}");
}

#[test]
fn the_time_and_the_id_that_a_client_sends_are_honoured() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted(
        "events",
        r#"[{"_id":"order-1","_time":"2020-02-29T12:30:00.123456Z","n":1},{"_time":"2021-01-01T01:00:00+01:00","n":2}]"#,
    );
    server.accepted("events", r#"{"_id":"order-3","n":3}"#);
    let rows = server.rows("events", "n,_id,_time,_seq");
    assert_eq!(rows[0]["_id"], "order-1");
    assert_eq!(micros(&rows[0]["_time"]), micros_of("2020-02-29T12:30:00.123456Z").unwrap());
    assert_eq!(rows[1]["_id"], rows[1]["_seq"].to_string(), "without an id the place is the id, as text");
    assert_eq!(micros(&rows[1]["_time"]), micros_of("2021-01-01T00:00:00Z").unwrap());
    assert!(rows[1]["_time"].as_str().unwrap().ends_with('Z'), "times come out in UTC");
    assert_eq!(rows[2]["_id"], "order-3");
}

#[test]
fn an_export_of_rows_posts_back_to_the_same_rows() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let body = r#"[{"ts":"2024-05-01T00:00:00Z","n":1,"p":{"q":["a"]}},{"ts":"2024-05-02T00:00:00Z","n":"two"},
                   {"ts":"2024-05-03T00:00:00.000001Z","n":2.5,"_id":"three","p":{"r":[{"s":null}]}}]"#;
    server.accepted("first", body);
    let rows = server.get("/v1/datasets/first/rows?order=_seq").ok()["rows"].clone();
    server.accepted("second", rows.to_string());
    let again = server.get("/v1/datasets/second/rows?order=_seq").ok()["rows"].clone();
    assert_eq!(again, rows);
}

#[test]
fn rows_without_a_choice_of_fields_show_all_of_them_flat() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("events", r#"{"a":{"b":1},"c":"x"}"#);
    let rows = server.get("/v1/datasets/events/rows").ok()["rows"].clone();
    let row = rows[0].as_object().unwrap();
    for name in ["_time", "_seq", "_id", "a.b", "c"] {
        assert!(row.contains_key(name), "{name} is missing: {rows}");
    }
}

#[test]
fn names_of_any_letters_are_fields() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let event = json!({"Größe": 1, "a b": 2, "select": 3, "quote\"d": 4, "a-b": 6, "🌍": 7, "A": 8, "a": 9});
    server.accepted("events", event.to_string());
    let table =
        server.sql(r#"SELECT "Größe", "a b", "select", "quote""d", "a-b", "🌍", "A", "a" FROM events"#);
    assert_eq!(table.rows, [[1, 2, 3, 4, 6, 7, 8, 9].map(Value::from)]);
}
