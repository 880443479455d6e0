//! Access logs and fields whose text is JSON, compared with what a few lines of other code make of the same input.

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
