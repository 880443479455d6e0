//! Access logs, fields whose text is JSON, and Parquet, compared with what a few lines of other code make of the same input.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{assert_same_rows, assert_says, gzip, run, run_with_input, shared, temp_dir};

/// The words of a line at a space, as awk numbers them from 1.
fn word(line: &str, at: usize) -> &str {
    line.split_whitespace().nth(at - 1).unwrap_or_default()
}

fn counts<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, i64> {
    let mut counts = BTreeMap::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts
}

#[test]
fn a_real_access_log_comes_in_whole_and_groups_as_its_words_do() {
    let Some(file) = shared("access.log") else { return };
    let dir = temp_dir();
    let ran = run(dir.path(), &["import", "hits", file.to_str().unwrap()]).exits(0);
    assert_says(&ran.output(), &["10,000 rows", "0 rejected", "its field \"time\""]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 10_000);

    let found = sql(dir.path(), "SELECT status, count(*) FROM hits GROUP BY 1 ORDER BY 1");
    let wanted: Vec<_> = counts(text.lines().map(|line| word(line, 9)))
        .iter()
        .map(|(status, count)| vec![json!(status.parse::<i64>().unwrap()), json!(count)])
        .collect();
    assert_same_rows("by status", &found.rows, &wanted);

    let found = sql(
        dir.path(),
        "SELECT client, count(*) AS n, sum(bytes) FROM hits GROUP BY 1 ORDER BY n DESC, client LIMIT 20",
    );
    let mut clients: Vec<_> = counts(text.lines().map(|line| word(line, 1))).into_iter().collect();
    clients.sort_by_key(|(client, count)| (-count, *client));
    let bytes_of = |client: &str| -> i64 {
        let lines = text.lines().filter(|line| word(line, 1) == client);
        lines.filter_map(|line| word(line, 10).parse::<i64>().ok()).sum()
    };
    let wanted: Vec<_> =
        clients.iter().take(20).map(|(c, n)| vec![json!(c), json!(n), json!(bytes_of(c))]).collect();
    assert_same_rows("by client", &found.rows, &wanted);

    let target = |line: &str| word(line, 7).to_owned();
    let queries =
        text.lines().filter(|line| target(line).split_once('?').is_some_and(|(_, q)| !q.is_empty()));
    let no_bytes = text.lines().filter(|line| word(line, 10) == "-").count();
    let no_agent = text.lines().filter(|line| line.ends_with(" \"-\"")).count();
    let found = sql(
        dir.path(),
        "SELECT count(query), count(*) FILTER (WHERE bytes IS NULL), count(*) FILTER (WHERE user_agent IS NULL),
                count(user), uniq(method), count(path) FROM hits",
    );
    let methods = counts(text.lines().map(|line| word(line, 6))).len();
    let wanted = [queries.count(), no_bytes, no_agent, 0, methods, 10_000];
    assert_same_rows("what is missing", &found.rows, &[wanted.iter().map(|n| json!(n)).collect()]);

    let found = sql(dir.path(), "SELECT min(_time), max(_time), max(time) FROM hits").rows.remove(0);
    assert_eq!(
        found,
        ["2015-05-17T10:05:00Z", "2015-05-20T21:05:59Z", "2015-05-20T21:05:59Z"].map(Value::from)
    );
    let cut = sql(dir.path(), "SELECT user_agent FROM hits WHERE _seq = 8899");
    assert_eq!(cut.cell(), "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html");
}

#[test]
fn access_logs_are_told_by_name_content_or_flag_and_other_lines_are_rejected() {
    let dir = temp_dir();
    let log = "::1 - ann [10/Oct/2000:13:55:36 -0700] \"GET /a?b=1 HTTP/1.0\" 200 2326\n\
               nothing of the kind\n\
               h - - [10/Oct/2000:13:55:37 -0700] \"\\x16\\x03\" 400 - \"r\" \"x \\\"y\\\"\"\n";
    std::fs::write(dir.path().join("access.log"), log).unwrap();
    std::fs::write(dir.path().join("old.txt.gz"), gzip(log.as_bytes())).unwrap();
    std::fs::write(dir.path().join("odd.csv"), log).unwrap();
    for (dataset, args) in [
        ("a", &["access.log"][..]),
        ("b", &["old.txt.gz"]),
        ("c", &["odd.csv", "--format", "access-log"]),
        ("d", &["-"]),
    ] {
        let args = [&["import", dataset][..], args].concat();
        let ran = run_with_input(dir.path(), &args, log.as_bytes()).exits(0);
        assert_says(&ran.output(), &["2 rows", "1 rejected", "line 2", "no line of an access log"]);
        let found = sql(dir.path(), &format!("SELECT * FROM {dataset} ORDER BY _seq"));
        let names =
            "_time _seq _id client user time method path query protocol status bytes referrer user_agent";
        assert_eq!(found.columns, names.split(' ').collect::<Vec<_>>());
        let wanted = [
            r#"["::1","ann","2000-10-10T20:55:36Z","GET","/a","b=1","HTTP/1.0",200,2326,null,null]"#,
            r#"["h",null,"2000-10-10T20:55:37Z",null,"\\x16\\x03",null,null,400,null,"r","x \"y\""]"#,
        ];
        let cells: Vec<_> = found.rows.iter().map(|row| json!(row[3..]).to_string()).collect();
        assert_eq!(cells, wanted);
    }
}

#[test]
fn text_that_is_json_becomes_fields_in_every_format() {
    let dir = temp_dir();
    let csv = "n,props\n1,\"{\"\"plan\"\":\"\"pro\"\",\"\"at\"\":{\"\"x\"\":1}}\"\n2,\n3,\"[\"\"a\"\",\"\"b\"\"]\"\n4,7\n5,oops\n";
    let rows = [
        json!({"n": 1, "props": "{\"plan\":\"pro\",\"at\":{\"x\":1}}"}),
        json!({"n": 2, "props": null}),
        json!({"n": 3, "props": "[\"a\",\"b\"]"}),
        json!({"n": 4, "props": "7"}),
        json!({"n": 5, "props": "oops"}),
    ];
    let lines: Vec<_> = rows.iter().map(|row| row.to_string()).collect();
    std::fs::write(dir.path().join("a.csv"), csv).unwrap();
    std::fs::write(dir.path().join("b.ndjson"), lines.join("\n")).unwrap();
    std::fs::write(dir.path().join("c.json"), json!(rows).to_string()).unwrap();
    for (file, place) in [("a.csv", "line 6"), ("b.ndjson", "line 5"), ("c.json", "item 4")] {
        let dataset = &file[..1];
        let ran = run(dir.path(), &["import", dataset, file, "--json-field", "props"]).exits(0);
        assert_says(&ran.output(), &["4 rows", "1 rejected", place, "\"props\"", "not JSON"]);
        let question = format!(r#"SELECT n, "props.plan", "props.at.x", props FROM {dataset} ORDER BY n"#);
        let wanted = json!([
            [1, "pro", 1, null],
            [2, null, null, null],
            [3, null, null, ["a", "b"]],
            [4, null, null, 7]
        ]);
        assert_eq!(
            Value::from(sql(dir.path(), &question).rows.into_iter().map(Value::from).collect::<Vec<_>>()),
            wanted,
            "{file}"
        );
    }
}

#[test]
fn a_json_field_that_is_not_there_is_told() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("a.csv"), "n,props\n1,{}\n").unwrap();
    std::fs::write(dir.path().join("b.ndjson"), "{\"n\":1,\"props\":\"{}\"}\n").unwrap();
    let refused = run(dir.path(), &["import", "a", "a.csv", "--json-field", "prop"]).exits(1);
    assert_says(&refused.stderr, &["\"prop\"", "--json-field", "did you mean \"props\""]);
    let noted = run(dir.path(), &["import", "b", "b.ndjson", "--json-field", "prop"]).exits(0);
    assert_says(&noted.stderr, &["note:", "\"prop\"", "did you mean \"props\""]);
}

/// A file of `tests/import/parquet`.
fn fixture(name: &str) -> String {
    format!("{}/tests/import/parquet/{name}.parquet", env!("CARGO_MANIFEST_DIR"))
}

/// Imports a file of `tests/import/parquet` and gives its rows, without what the engine adds, as JSON.
fn rows_of(name: &str) -> Vec<String> {
    let dir = temp_dir();
    run(dir.path(), &["import", "d", &fixture(name)]).exits(0);
    let found = sql(dir.path(), "SELECT * FROM d ORDER BY _seq LIMIT 10000");
    let names = found.columns[3..].iter();
    let object = |row: &Vec<Value>| {
        let cells = names.clone().zip(&row[3..]).filter(|(_, value)| !value.is_null());
        Value::Object(cells.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
    };
    found.rows.iter().map(object).collect()
}

#[test]
fn parquet_scalars_of_all_types_are_what_another_writer_meant() {
    let first = r#"{"flag":true,"i8":-128,"i16":-32768,"i32":-2147483648,"i64":-9223372036854775808,"u8":0,"u16":0,"u32":0,"u64":0,"f16":1.5,"f32":0.5,"f64":0.1,"text":"","large":"x","bytes":"plain","choice":"red","fixed":"abcd","day":"1970-01-02T00:00:00Z","s":"1970-01-01T00:00:00Z","ms":"1969-12-31T23:59:59.999Z","us":"1969-12-31T23:59:59.999999Z","ns":"1969-12-31T23:59:59.999999Z","clock_ms":"00:00:00.000000","clock_us":"00:00:00.000001","clock_ns":"00:00:00.000001"}"#;
    let last = r#"{"flag":false,"i8":127,"i16":32767,"i32":2147483647,"i64":9223372036854775807,"u8":255,"u16":65535,"u32":4294967295,"u64":18446744073709551615,"f16":-0.25,"f32":-1.0000000150474662e30,"f64":1e300,"text":"größe 😀","large":"y","bytes":"ascii","choice":"red","fixed":"wxyz","day":"2026-03-01T00:00:00Z","s":"2023-11-14T22:13:20Z","ms":"2023-11-14T22:13:20.123Z","us":"2023-11-14T22:13:20.123456Z","ns":"2023-11-14T22:13:20.123456Z","clock_ms":"23:59:59.999000","clock_us":"23:59:59.999999","clock_ns":"23:59:59.999999"}"#;
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let found = rows_of("scalars");
    assert_eq!(found[1], "{}");
    assert_eq!([parsed(&found[0]), parsed(&found[2])], [parsed(first), parsed(last)]);
    assert_eq!(
        rows_of("int96"),
        [
            r#"{"at":"1970-01-01T00:00:00Z","n":1}"#,
            r#"{"n":2}"#,
            r#"{"at":"2023-11-14T22:13:20.123456Z","n":3}"#,
            r#"{"at":"1969-12-31T23:59:59.999999Z","n":4}"#,
        ]
    );
    assert_eq!(
        rows_of("logical"),
        [
            r#"{"id":"00000000-0000-0000-0000-000000000001","doc.a.b":1,"doc.c":["x"]}"#,
            r#"{"id":"80000000-0000-0000-0000-000000000000","doc":[1]}"#,
        ]
    );
}

#[test]
fn parquet_decimals_of_every_form_are_numbers() {
    for name in ["decimal_int32", "decimal_int64", "decimal_fixed"] {
        let wanted = [
            r#"{"price":123.45,"whole":7}"#,
            "{}",
            r#"{"price":-0.01,"whole":-8}"#,
            r#"{"price":99999.99,"whole":99999}"#,
        ];
        assert_eq!(rows_of(name), wanted, "{name}");
    }
    let dir = temp_dir();
    run(dir.path(), &["import", "d", &fixture("decimal_long")]).exits(0);
    let found = run(dir.path(), &["sql", "--format", "ndjson", "SELECT price, whole FROM d"]).exits(0).stdout;
    let wanted = "{\"price\":1.2345678901234568e25,\"whole\":1000000000000000000000000000000}\n\
                  {\"price\":null,\"whole\":5}\n";
    assert_eq!(found, wanted);
}

#[test]
fn parquet_columns_that_are_nested_come_as_nested_json_would() {
    let wanted = [
        json!({"id": 1, "tags": ["a", "b\"c"], "numbers": [1, 2], "deep": [["x"], []], "user.name": "Ada",
               "user.home.city": "London", "user.home.since": "1840-01-01T00:00:00Z", "user.roles": ["x"],
               "items": [{"sku": "a", "count": 1, "at": [1.5]}, {"sku": null, "count": 2, "at": null}],
               "labels": {"k": "v", "l": null}, "by_number": {"7": [1]}}),
        json!({"id": 2, "tags": [], "items": [], "labels": {}}),
        json!({"id": 3, "numbers": [], "deep": [null, ["y", "z"]], "by_number": {}}),
        json!({"id": 4, "tags": ["d", null], "numbers": [3], "deep": [], "user.name": "Alan", "user.roles": [],
               "items": [{"sku": "b", "count": null, "at": []}, null], "labels": {"m": "w"}, "by_number": {"8": null}}),
    ];
    let found: Vec<Value> = rows_of("nested").iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(found, wanted);
    let dir = temp_dir();
    run(dir.path(), &["import", "d", &fixture("nested")]).exits(0);
    let server = crate::common::Server::start(dir.path(), &[]);
    for (field, kind) in [
        ("user.roles", "strings"),
        ("numbers", "json"),
        ("items", "json"),
        ("labels", "json"),
        ("user.name", "string"),
    ] {
        assert_eq!(server.type_of("d", field).as_deref(), Some(kind), "{field}");
    }
}

#[test]
fn parquet_pages_of_every_codec_and_encoding_hold_the_same_rows() {
    let row = |n: i64, with_high: bool, with_value: bool| {
        let mut row = json!({"n": n});
        if n % 5 != 0 {
            row["low"] = json!(format!("v{}", n % 7));
        }
        if with_high {
            row["high"] = json!(format!("text {}", n * 7919 % 1499));
        }
        if with_value && n % 10 == 0 {
            row["value"] = json!(n as f64 / 8.0);
        }
        row.to_string()
    };
    for (name, with_high, with_value) in [
        ("pages_none", false, false),
        ("pages_snappy", false, false),
        ("pages_gzip", false, false),
        ("pages_lz4", false, false),
        ("pages_brotli", false, false),
        ("pages_brotli_v2", true, true),
        ("pages_zstd", true, true),
        ("delta", true, false),
    ] {
        let wanted: Vec<_> = (0..1_500).map(|n| row(n, with_high, with_value)).collect();
        assert_eq!(rows_of(name), wanted, "{name}");
    }
}

#[test]
fn parquet_that_cannot_be_taken_is_told_by_column_and_way_out() {
    let dir = temp_dir();
    let refused = run(dir.path(), &["import", "d", &fixture("binary")]).exits(1);
    assert_says(&refused.stderr, &["binary.parquet", "\"blob\"", "no text", "convert"]);
    let refused = run(dir.path(), &["import", "d", &fixture("nan")]).exits(1);
    assert_says(&refused.stderr, &["row 0", "\"nan\"", "NaN", "every row was rejected"]);
    let whole = std::fs::read(fixture("pages_zstd")).unwrap();
    std::fs::write(dir.path().join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(dir.path().join("text.parquet"), "n\n1\n").unwrap();
    std::fs::write(dir.path().join("packed.parquet.gz"), gzip(&whole)).unwrap();
    for (args, parts) in [
        (&["cut.parquet"][..], &["cut.parquet", "cut off", "get the whole file"][..]),
        (&["text.parquet"], &["text.parquet", "PAR1"]),
        (&["packed.parquet.gz"], &["packed.parquet.gz", "not packed"]),
        (&["--at", "x", &fixture("nan")], &["--at", "parquet"]),
        (&["--json-field", "lo", &fixture("pages_zstd")], &["\"lo\"", "did you mean \"low\""]),
    ] {
        let refused = run(dir.path(), &[&["import", "d"][..], args].concat()).exits(1);
        assert_says(&refused.stderr, parts);
    }
    let refused = run_with_input(dir.path(), &["import", "d", "-"], &whole).exits(1);
    assert_says(&refused.stderr, &["Parquet", "standard input"]);
    let listed = run(dir.path(), &["--json", "datasets"]).exits(0).stdout;
    assert!(!listed.contains("\"d\""), "{listed}");
}

#[test]
fn parquet_takes_its_time_where_it_is_said_and_goes_on_with_resume() {
    let dir = temp_dir();
    let file = fixture("int96");
    let said = run(dir.path(), &["import", "a", &file, "--time", "at"]).exits(0).output();
    assert_says(&said, &["4 rows", "its field \"at\""]);
    let found = sql(dir.path(), "SELECT max(at), count(*) FILTER (WHERE _time = at) FROM a");
    assert_same_rows("times", &found.rows, &[vec![json!("2023-11-14T22:13:20.123456Z"), json!(3)]]);
    let again = run(dir.path(), &["import", "a", &file, "--resume"]).exits(0).output();
    assert_says(&again, &["going on at row 4", "nothing was added"]);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM a").cell(), 4);
}
