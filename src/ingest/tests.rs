//! Ingest as its callers see it: what comes in comes out as it came, and what cannot be taken is told with its place.

use std::sync::Arc;

use crate::fields::Declaration;
use crate::ingest::accept::{accept, decode_json};
use crate::ingest::destination::Requests;
use crate::ingest::rows::Decoded;
use crate::ingest::rules::Rules;
use crate::store::snapshot::Snapshot;
use crate::store::{Store, StoreOptions};

fn rules() -> Rules {
    Rules { arrival_us: 1_000_000, ..Rules::of(&Snapshot::default(), "events") }
}

fn decode(body: &str) -> Decoded {
    decode_json(body.as_bytes(), &rules()).expect("a body")
}

/// The cells of a row as `name=value`, in order of the names.
fn row(decoded: &Decoded, row: usize) -> Vec<String> {
    let cells = decoded.block.columns().map(|(name, column)| (name, column.get(row)));
    cells.filter(|(_, v)| !v.is_null()).map(|(name, v)| format!("{name}={v:?}")).collect()
}

fn cells(json: &str) -> Vec<String> {
    let decoded = decode(json);
    assert_eq!(decoded.rejected_total, 0, "{:?}", decoded.rejected);
    row(&decoded, 0).into_iter().filter(|cell| !cell.starts_with("_time=")).collect()
}

fn refusal(json: &str) -> String {
    let decoded = decode(json);
    assert_eq!((decoded.block.rows(), decoded.rejected_total), (0, 1), "{json}");
    decoded.rejected[0].message.clone()
}

#[test]
fn every_kind_of_value_is_kept_exactly() {
    for (json, expected) in [
        (r#"{"a": true}"#, r#"a=Bool(true)"#),
        (r#"{"a": 9223372036854775807}"#, "a=Int(9223372036854775807)"),
        (r#"{"a": -9223372036854775808}"#, "a=Int(-9223372036854775808)"),
        (r#"{"a": 9223372036854775808}"#, r#"a=Json("9223372036854775808")"#),
        (r#"{"a": 123456789012345678901234567890}"#, r#"a=Json("123456789012345678901234567890")"#),
        (r#"{"a": 0.1}"#, "a=Float(0.1)"),
        (r#"{"a": 1e2}"#, "a=Float(100.0)"),
        (r#"{"a": "x\n\u00fc\ud83d\ude00"}"#, r#"a=Text("x\nü😀")"#),
        (r#"{"a": ["x", "y\""]}"#, r#"a=List(["x", "y\""])"#),
        (r#"{"a": []}"#, "a=List([])"),
        (r#"{"a": {}}"#, r#"a=Json("{}")"#),
        (r#"{"a": [1, {"b": " c "}, null]}"#, r#"a=Json("[1,{\"b\":\" c \"},null]")"#),
        (r#"{"a": {"b": {"c": 1}}}"#, "a.b.c=Int(1)"),
    ] {
        assert_eq!(cells(json), [expected], "{json}");
    }
    assert!(cells(r#"{"a": null}"#).is_empty());
}

#[test]
fn a_bad_record_is_rejected_with_its_reason_and_nothing_else_is() {
    for (json, reason) in [
        (r#"{"a": 1, "a": 2}"#, "duplicate field \"a\""),
        (r#"{"a": null, "a": 2}"#, "duplicate field \"a\""),
        (r#"{"a": {"b": 1}, "a.b": 2}"#, "duplicate field \"a.b\""),
        (r#"{"a": NaN}"#, "not JSON"),
        (r#"{"a": 1e400}"#, "too large for a 64-bit float"),
        (r#"{"a": "\ud800"}"#, "surrogate"),
        (r#"{"a": [1, "\ud800"]}"#, "surrogate"),
        (r#"{"a": [{"b": 1, "b": 2}]}"#, "duplicate"),
        (r#"{"": 1}"#, "empty name"),
        (r#"{"a": 1} {"a": 2}"#, "not JSON"),
        ("[1]", "an event is a JSON object"),
        (r#"{"_time": "soon"}"#, "\"soon\""),
    ] {
        let told = refusal(json);
        assert!(told.contains(reason), "{json}: {told}");
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    assert!(refusal(&deep).contains("nested"));
    let many = decode("{\"a\":1}\nnonsense\n{\"a\":2,\"b\":\"x\"}\n");
    assert_eq!((many.block.rows(), many.rejected[0].index), (2, 1));
    assert_eq!(row(&many, 1), ["_time=Time(1000000)", "a=Int(2)", "b=Text(\"x\")"]);
}

#[test]
fn bodies_of_every_shape_hold_the_same_events() {
    for body in [
        "{\"a\":1}\n{\"a\":2}",
        "[{\"a\":1},{\"a\":2}]",
        "\u{feff}[\n{\"a\":1}\n,\n{\"a\":2}]\n",
        "{\"a\":1}\r\n\r\n{\"a\":2}\r\n",
    ] {
        let decoded = decode(body);
        assert_eq!((decoded.block.rows(), decoded.rejected_total), (2, 0), "{body}");
        assert_eq!(row(&decoded, 1)[1], "a=Int(2)");
    }
    assert_eq!(decode("{\n \"a\": 1\n}").block.rows(), 1);
    let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(decode_json(&utf16, &rules()).expect_err("refused").to_string().contains("UTF-16"));
    assert!(
        decode_json(b"[{\"a\":1},{\"a\"", &rules()).expect_err("refused").to_string().contains("byte 13")
    );
}

#[test]
fn the_time_field_is_the_first_that_is_named_and_filled_like_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    let cases: [(&str, &str, Option<&str>); 8] = [
        ("exact", r#"{"dateAdded": "2025-01-01", "ts": "2026-01-01T00:00:00Z"}"#, Some("ts")),
        ("first_word", r#"{"dateAdded": "2025-01-01", "dueDate": "2025-02-01"}"#, Some("dateAdded")),
        ("hour_of_day", r#"{"time": 13.5}"#, None),
        ("milliseconds", r#"{"time": 1767225600000}"#, Some("time")),
        ("text", r#"{"created_at": "yesterday"}"#, None),
        ("not_a_word", r#"{"update": "2026-01-01", "runtime": 1767225600}"#, None),
        ("nested", r#"{"event": {"time": "2026-01-01"}}"#, Some("event.time")),
        ("access_log", r#"{"time": "17/May/2015:10:05:03 +0000"}"#, Some("time")),
    ];
    for (dataset, body, expected) in cases {
        let accepted = accept(&Requests { store: &store, dataset, reach: Arc::default() }, |rules| {
            decode_json(body.as_bytes(), rules)
        })
        .expect("accepts");
        assert_eq!((accepted.accepted, accepted.time_field.as_deref()), (1, expected), "{dataset}");
        assert_eq!(store.snapshot().whole_dataset(dataset).expect("there").time_field.as_deref(), expected);
    }
    // found once, it is the rule: a row that does not keep to it is rejected
    let next = accept(&Requests { store: &store, dataset: "exact", reach: Arc::default() }, |rules| {
        decode_json(br#"[{"ts": "never"}, {"ts": "2026-01-02"}, {"n": 1}]"#, rules)
    });
    let next = next.expect("accepts");
    assert_eq!((next.accepted, next.rejected_total, next.rejected[0].index), (2, 1, 0));
    assert!(next.rejected[0].message.contains("\"never\""), "{:?}", next.rejected);
}

#[test]
fn a_declared_dataset_converts_fills_requires_and_can_be_strict() {
    let declared = br#"{"strict": true, "id": "key", "time": "at", "fields": {
        "key": {"type": "string", "required": true}, "at": {}, "n": {"type": "float", "default": 0.5}, "ok": {"type": "bool"}}}"#;
    let rules = Rules {
        declaration: Declaration::from_json(declared).expect("a declaration"),
        time_field: Some("at".into()),
        ..rules()
    };
    let body = br#"[{"key": "a", "at": "2026-01-01", "n": 7}, {"key": "b"}, {"n": 1}, {"key": "c", "n": "x"},
                    {"key": "d", "more": 1}, {"_id": "e", "ok": "true"}, {"key": "f", "at": "never"}]"#;
    let decoded = decode_json(body, &rules).expect("a body");
    assert_eq!(
        (0..3).map(|at| row(&decoded, at)).collect::<Vec<_>>(),
        [
            vec![
                "_time=Time(1767225600000000)",
                "at=Time(1767225600000000)",
                "key=Text(\"a\")",
                "n=Float(7.0)"
            ],
            vec!["_time=Time(1000000)", "key=Text(\"b\")", "n=Float(0.5)"],
            vec!["_time=Time(1000000)", "key=Text(\"e\")", "n=Float(0.5)", "ok=Bool(true)"],
        ]
    );
    let told: Vec<String> = decoded.rejected.iter().map(|r| format!("{}: {}", r.index, r.message)).collect();
    for (at, part) in [
        (0, "2: the field \"key\" is required"),
        (1, "3: the field \"n\" is declared as float"),
        (2, "4: the field \"more\" is not declared"),
        (3, "6: the time in \"at\""),
    ] {
        assert!(told[at].starts_with(part), "{told:?}");
    }
}

#[test]
fn a_hundred_thousand_names_end_in_rejections_and_not_in_columns() {
    let body: String = (0..100_000).map(|n| format!("{{\"key_{n}\":1}}\n")).collect();
    let decoded = decode(&body);
    assert_eq!(decoded.block.rows(), crate::limits::FIELDS);
    assert_eq!(decoded.rejected_total, 100_000 - crate::limits::FIELDS as u64);
    assert_eq!(decoded.rejected.len(), crate::limits::REJECTIONS_LISTED);
    assert!(
        decoded.rejected[0].message.contains("more than 4096 distinct fields"),
        "{:?}",
        decoded.rejected[0]
    );
}

#[test]
fn the_declared_id_is_a_field_like_others() {
    let declared =
        |json: &str| Rules { declaration: Declaration::from_json(json.as_bytes()).unwrap(), ..rules() };
    // naming it as the id declares it, also where the dataset is strict
    let strict = declared(r#"{"id": "user", "strict": true}"#);
    let decoded = decode_json(br#"[{"user": 5}, {"other": 1}]"#, &strict).unwrap();
    assert_eq!((decoded.block.rows(), decoded.rejected_total), (1, 1), "{:?}", decoded.rejected);
    // an export brings it as _id alone: it becomes of the declared type again
    let typed = declared(r#"{"id": "user", "fields": {"user": {"type": "int"}}}"#);
    let decoded = decode_json(br#"[{"_id": "7"}, {"user": 8, "_id": "9"}]"#, &typed).unwrap();
    let users: Vec<String> =
        (0..2).map(|at| format!("{:?}", decoded.block.column("user").unwrap().get(at))).collect();
    assert_eq!(users, ["Int(7)", "Int(8)"]);
}

#[test]
fn rows_that_share_no_fields_end_in_rejections_and_not_in_all_memory() {
    let body: String = (0..60_000).map(|n| format!("{{\"f{}\":1}}\n", n % 2_000)).collect();
    let decoded = decode(&body);
    let kept = decoded.block.rows();
    assert!((30_000..40_000).contains(&kept), "{kept} rows");
    assert_eq!(kept as u64 + decoded.rejected_total, 60_000);
    assert!(decoded.rejected[0].message.contains("smaller pieces"), "{}", decoded.rejected[0].message);
}

#[test]
fn what_comes_as_time_of_the_event_goes_before_the_time_field() {
    let rules = Rules { time_field: Some("ts".into()), ..rules() };
    let decoded = decode_json(br#"{"ts": "2026-01-01", "_time": "2026-02-02"}"#, &rules).unwrap();
    assert_eq!(decoded.block.time_range().0, crate::time::parse("2026-02-02").unwrap());
}

#[test]
fn a_field_is_one_of_times_where_more_than_half_of_it_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).unwrap();
    for (dataset, body, taken) in [
        ("half", r#"[{"ts": "2026-01-01"}, {"ts": "soon"}]"#, None),
        ("more", r#"[{"ts": "2026-01-01"}, {"ts": "soon"}, {"ts": 1700000000}]"#, Some("ts")),
    ] {
        accept(&Requests { store: &store, dataset, reach: Arc::default() }, |rules| {
            decode_json(body.as_bytes(), rules)
        })
        .unwrap();
        assert_eq!(store.snapshot().datasets[dataset].time_field.as_deref(), taken, "{dataset}");
    }
}
