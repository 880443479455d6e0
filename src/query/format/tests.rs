//! Every format over one answer with every kind of value.

use super::*;
use crate::query::answer::{AnswerColumn, Series, Stats};
use crate::time::Bucket;

fn sample() -> Answer {
    let column = |name: &str, kind| AnswerColumn { name: name.into(), kind };
    let stats = Stats {
        elapsed_ms: 1.25,
        rows_scanned: 6,
        segments: 2,
        cache: "miss",
        engine: "vector",
        approximate: false,
        ..Stats::default()
    };
    Answer {
        columns: vec![column("at", "time"), column("odd, \"name\"", "string"), column("n", "int")],
        rows: vec![
            vec![Value::Time(0), Value::text("a,b\n\"c\""), Value::Int(12)],
            vec![Value::Null, Value::List(["x".into(), "y".into()].into()), Value::Float(2.0)],
        ],
        next: None,
        stats,
        tz: TimeZone::get("Europe/Berlin").unwrap(),
        series: None,
        range: Range::default(),
        previous: None,
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_tells_which_rows_of_a_series_are_partial_or_gaps() {
    let series = Series { column: 0, bucket: Bucket::Day, partial: vec![1], gaps: vec![0, 1] };
    let answer = Answer { series: Some(series), ..sample() };
    let json: serde_json::Value = serde_json::from_slice(&json(&answer)).unwrap();
    let expected = serde_json::json!({"column": "at", "bucket": "day", "partial": [1], "gaps": [0, 1]});
    assert_eq!(json["series"], expected);
}

#[test]
fn json_is_the_tabular_reply() {
    let json: serde_json::Value = serde_json::from_slice(&json(&sample())).unwrap();
    assert_eq!(json["columns"][1], serde_json::json!({"name": "odd, \"name\"", "type": "string"}));
    assert_eq!(json["rows"][0], serde_json::json!(["1970-01-01T01:00:00+01:00", "a,b\n\"c\"", 12]));
    assert_eq!(json["rows"][1], serde_json::json!([null, ["x", "y"], 2.0]));
    assert!(json["next"].is_null());
    let stats = serde_json::json!({
        "elapsed_ms": 1.25, "rows_scanned": 6, "segments": 2, "cache": "miss", "engine": "vector", "approximate": false
    });
    assert_eq!(json["stats"], stats);
}

#[test]
fn csv_quotes_what_needs_it_and_leaves_null_empty() {
    let written = text(csv(&sample()).unwrap());
    let expected = "at,\"odd, \"\"name\"\"\",n\n1970-01-01T01:00:00+01:00,\"a,b\n\"\"c\"\"\",12\n,\"[\"\"x\"\",\"\"y\"\"]\",2.0\n";
    assert_eq!(written, expected);
}

#[test]
fn csv_of_one_column_tells_an_empty_cell_from_an_empty_line() {
    let mut answer = sample();
    answer.columns.truncate(1);
    answer.rows = vec![vec![Value::Null]];
    assert_eq!(text(csv(&answer).unwrap()), "at\n\"\"\n");
}

#[test]
fn ndjson_is_an_object_a_row() {
    let written = text(ndjson(&sample()));
    let rows: Vec<serde_json::Value> =
        written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1], serde_json::json!({"at": null, "odd, \"name\"": ["x", "y"], "n": 2.0}));
}

#[test]
fn every_format_is_found_by_its_name() {
    for (format, name, media) in Format::ALL {
        assert_eq!(name.parse::<Format>().unwrap(), format);
        assert_eq!((format.name(), format.content_type()), (name, media));
        answer(&sample(), format).unwrap();
    }
    let refusal = "jsn".parse::<Format>().unwrap_err().to_string();
    assert!(refusal.contains("\"json\"") && refusal.contains("ndjson"), "{refusal}");
}

fn page() -> Page {
    let rows = vec![
        vec![("b".into(), Value::Int(1)), ("a".into(), Value::text("x"))],
        vec![("c".into(), Value::Time(0)), ("b".into(), Value::Int(2))],
    ];
    Page { rows, next: Some("abc".into()), prev: None, total: Some(21) }
}

#[test]
fn a_page_is_rows_and_the_way_on() {
    let mut uncounted = page();
    uncounted.total = None;
    let written = text(page_json(&uncounted, None));
    let rows = r#"[{"b":1,"a":"x"},{"c":"1970-01-01T00:00:00Z","b":2}]"#;
    assert_eq!(written, format!("{{\"rows\":{rows},\"next\":\"abc\",\"prev\":null}}\n"));
    let counted: serde_json::Value = serde_json::from_slice(&page_json(&page(), None)).unwrap();
    assert_eq!((&counted["total"], counted.get("pages")), (&21.into(), None));
}

#[test]
fn a_page_with_a_number_says_how_many_there_are() {
    let of = |number| -> serde_json::Value {
        serde_json::from_slice(&page_json(&page(), Some(PageNumber { page: number, per_page: 10 }))).unwrap()
    };
    let (first, last) = (of(1), of(3));
    assert_eq!(
        (&first["pages"], &first["has_prev"], &first["has_next"]),
        (&3.into(), &false.into(), &true.into())
    );
    assert_eq!(
        (&last["page"], &last["has_prev"], &last["has_next"]),
        (&3.into(), &true.into(), &false.into())
    );
    assert_eq!(PageNumber { page: 1, per_page: 10 }.pages(0), 1);
}

#[test]
fn a_page_as_csv_has_the_union_of_names_or_the_fields_asked_for() {
    assert_eq!(text(page_csv(&page(), None).unwrap()), "b,a,c\n1,x,\n2,,1970-01-01T00:00:00Z\n");
    let fields = ["c".to_owned(), "b".to_owned()];
    assert_eq!(text(page_csv(&page(), Some(&fields)).unwrap()), "c,b\n,1\n1970-01-01T00:00:00Z,2\n");
    assert_eq!(text(page_csv(&Page::default(), Some(&fields)).unwrap()), "c,b\n");
    assert_eq!(text(page_ndjson(&page())).lines().count(), 2);
}
