//! Formats, headers, options and exit codes of `import`.

use serde_json::{Value, json};

use crate::common::process::{bare, finish, sql};
use crate::common::{Server, assert_same_rows, assert_says, gzip, run, run_with_input, temp_dir, zstd};

#[test]
fn every_format_is_told_by_its_name() {
    let dir = temp_dir();
    let lines = "{\"n\":1,\"s\":\"a\"}\n{\"n\":2,\"s\":\"b\"}\n";
    let files: [(&str, Vec<u8>); 9] = [
        ("a.ndjson", lines.into()),
        ("b.jsonl", lines.into()),
        ("c.json", "[{\"n\":1,\"s\":\"a\"},\n{\"n\":2,\"s\":\"b\"}]".into()),
        ("d.csv", "n,s\n1,a\n2,b\n".into()),
        ("e.tsv", "n\ts\n1\ta\n2\tb\n".into()),
        ("f.ndjson.gz", gzip(lines.as_bytes())),
        ("g.csv.gz", gzip(b"n,s\r\n1,a\r\n2,b\r\n")),
        ("h.ndjson.zst", zstd(lines.as_bytes())),
        ("i.json.zst", zstd(b"[{\"n\":1,\"s\":\"a\"},{\"n\":2,\"s\":\"b\"}]")),
    ];
    for (name, bytes) in files {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let dataset = &name[..1];
        run(dir.path(), &["import", dataset, path.to_str().unwrap()]).exits(0);
        let found = sql(dir.path(), &format!("SELECT n, s FROM {dataset} ORDER BY _seq"));
        assert_same_rows(name, &found.rows, &[vec![json!(1), json!("a")], vec![json!(2), json!("b")]]);
    }
}

#[test]
fn a_format_that_is_named_goes_before_the_name_of_the_file() {
    let dir = temp_dir();
    let path = dir.path().join("data.txt");
    std::fs::write(&path, "{\"n\":5}\n").unwrap();
    run(dir.path(), &["import", "d", path.to_str().unwrap(), "--format", "ndjson"]).exits(0);
    assert_eq!(sql(dir.path(), "SELECT sum(n) FROM d").cell(), 5);
    let wrong = run(dir.path(), &["import", "d", path.to_str().unwrap(), "--format", "xlsx"]).exits(2);
    assert_says(&wrong.stderr, &["xlsx", "ndjson", "csv"]);
}

#[test]
fn standard_input_is_a_file_too() {
    let dir = temp_dir();
    run_with_input(dir.path(), &["import", "d", "-", "--format", "ndjson"], b"{\"n\":1}\n{\"n\":2}\n")
        .exits(0);
    run_with_input(dir.path(), &["import", "d", "-", "--format", "csv"], b"n,s\n3,x\n").exits(0);
    let found = sql(dir.path(), "SELECT count(*), sum(n), max(s) FROM d");
    assert_same_rows("what came by standard input", &found.rows, &[vec![json!(3), json!(6), json!("x")]]);
}

#[test]
fn several_files_go_into_one_dataset_in_their_order() {
    let dir = temp_dir();
    for n in 0..3 {
        std::fs::write(dir.path().join(format!("{n}.ndjson")), format!("{{\"n\":{n}}}\n")).unwrap();
    }
    run(dir.path(), &["import", "d", "2.ndjson", "0.ndjson", "1.ndjson"]).exits(0);
    let found = sql(dir.path(), "SELECT n FROM d ORDER BY _seq");
    assert_same_rows("the order of files", &found.rows, &[vec![json!(2)], vec![json!(0)], vec![json!(1)]]);
}

#[test]
fn quoted_cells_hold_commas_quotes_and_lines() {
    let dir = temp_dir();
    let text = "id,note,\"odd, \"\"name\"\"\"\n1,\"a, b\",x\n2,\"say \"\"hi\"\"\",y\n3,\"two\nlines\",z\n";
    std::fs::write(dir.path().join("q.csv"), text).unwrap();
    run(dir.path(), &["import", "q", "q.csv"]).exits(0);
    let found = sql(dir.path(), r#"SELECT id, note, "odd, ""name""" FROM q ORDER BY id"#);
    let wanted = [
        vec![json!(1), json!("a, b"), json!("x")],
        vec![json!(2), json!("say \"hi\""), json!("y")],
        vec![json!(3), json!("two\nlines"), json!("z")],
    ];
    assert_same_rows("quoted cells", &found.rows, &wanted);
}

#[test]
fn cells_become_numbers_only_where_nothing_is_lost() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("z.csv"), "zip,n,f,e\n01234,7,1.5,\n98765,-8,2,\n").unwrap();
    run(dir.path(), &["import", "z", "z.csv"]).exits(0);
    let found = sql(dir.path(), "SELECT zip, n, f FROM z ORDER BY _seq");
    assert_eq!(found.rows[0][0], "01234", "a leading zero is part of the text");
    assert_eq!((&found.rows[0][1], &found.rows[1][1]), (&json!(7), &json!(-8)));
    assert_eq!((found.rows[0][2].as_f64(), found.rows[1][2].as_f64()), (Some(1.5), Some(2.0)));
}

#[test]
fn odd_headers_are_fields_by_their_quoted_names() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("o.csv"), "Total $,a.b,SELECT,größe, spaced \n1,2,3,4,5\n").unwrap();
    run(dir.path(), &["import", "o", "o.csv"]).exits(0);
    let found = sql(dir.path(), r#"SELECT "Total $" + "a.b", "SELECT", "größe" FROM o WHERE "Total $" = 1"#);
    assert_same_rows("odd headers", &found.rows, &[vec![json!(3), json!(3), json!(4)]]);
}

#[test]
fn an_object_is_unwrapped_only_where_it_has_one_array_of_objects() {
    let dir = temp_dir();
    let one = r#"{"title":"t","tags":["a","b"],"items":[{"n":1},{"n":2},{"n":3}]}"#;
    let two = r#"{"first":[{"n":1}],"second":[{"m":1},{"m":2}]}"#;
    let none = "{\n  \"n\": 7,\n  \"tags\": [\"a\"]\n}\n";
    for (name, text) in [("one.json", one), ("two.json", two), ("none.json", none)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let said = run(dir.path(), &["import", "one", "one.json"]).exits(0).output();
    assert_says(&said, &["items"]);
    assert_eq!(sql(dir.path(), "SELECT sum(n) FROM one").cell(), 6);
    run(dir.path(), &["import", "two", "two.json"]).exits(0);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM two").cell(), 1);
    run(dir.path(), &["import", "none", "none.json"]).exits(0);
    assert_eq!(sql(dir.path(), "SELECT sum(n) FROM none").cell(), 7);
    run(dir.path(), &["import", "chosen", "two.json", "--at", "second"]).exits(0);
    assert_eq!(sql(dir.path(), "SELECT sum(m) FROM chosen").cell(), 3);
    let wrong = run(dir.path(), &["import", "wrong", "two.json", "--at", "third"]).exits(1);
    assert_says(&wrong.stderr, &["third"]);
}

#[test]
fn the_time_field_is_said_and_can_be_chosen() {
    let dir = temp_dir();
    let text = "ts,seen,n\n2024-01-01T00:00:00Z,2020-06-01T00:00:00Z,1\n";
    std::fs::write(dir.path().join("t.csv"), text).unwrap();
    let said = run(dir.path(), &["import", "a", "t.csv"]).exits(0).output();
    assert_says(&said, &["ts"]);
    run(dir.path(), &["import", "b", "t.csv", "--time", "seen"]).exits(0);
    let year = |dataset: &str| {
        sql(dir.path(), &format!("SELECT year(_time) FROM {dataset}")).cell().as_str().unwrap()[..4]
            .to_owned()
    };
    assert_eq!((year("a"), year("b")), ("2024".into(), "2020".into()));
    let wrong = run(dir.path(), &["import", "c", "t.csv", "--time", "sene"]).exits(1);
    assert_says(&wrong.stderr, &["sene", "seen"]);
}

#[test]
fn an_import_adds_to_what_is_there_and_a_server_serves_it() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":1}");
    assert_eq!(server.stop(), 0);
    std::fs::write(dir.path().join("more.ndjson"), "{\"n\":2}\n{\"n\":3,\"new\":true}\n").unwrap();
    run(dir.path(), &["import", "d", "more.ndjson"]).exits(0);
    let server = Server::start(dir.path(), &[]);
    server.accepted("d", "{\"n\":4}");
    assert_eq!(
        server.rows("d", "n,new"),
        [
            json!({"n":1,"new":null}),
            json!({"n":2,"new":null}),
            json!({"n":3,"new":true}),
            json!({"n":4,"new":null})
        ]
    );
}

#[test]
fn beside_a_running_server_an_import_names_its_address_and_ends() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    std::fs::write(dir.path().join("a.ndjson"), "{\"n\":1}\n").unwrap();
    let refused = run(dir.path(), &["import", "d", "a.ndjson"]).exits(1);
    assert_says(&refused.stderr, &[&server.address]);
    assert_eq!(server.count("d"), 0);
}

#[test]
fn wrong_use_exits_with_2_and_help_with_0() {
    let dir = temp_dir();
    for args in [
        &["import"][..],
        &["import", "d"],
        &["imprt", "d", "a.csv"],
        &["import", "d", "a.csv", "--no-such-flag"],
        &["sql"],
        &["sql", "SELECT 1", "--format", "yaml"],
        &[],
    ] {
        let ran = run(dir.path(), args).exits(2);
        assert!(!ran.stderr.is_empty(), "{args:?} is told what is wrong");
    }
    let help = run(dir.path(), &["--help"]).exits(0).stdout;
    assert_says(&help, &["serve", "import", "sql", "query", "datasets", "--db"]);
    let mut version = bare();
    version.arg("--version");
    assert_says(&finish(version, Vec::new()).exits(0).stdout, &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn a_dataset_name_that_is_none_is_refused_before_anything_is_made() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("a.ndjson"), "{\"n\":1}\n").unwrap();
    run(dir.path(), &["import", "good", "a.ndjson"]).exits(0);
    for name in ["Upper", "_own", "a-b", "1st"] {
        let ran = run(dir.path(), &["import", name, "a.ndjson"]);
        assert!([1, 2].contains(&ran.code), "{name}: {}", ran.output());
        assert_says(&ran.stderr, &[name]);
    }
    let listed = run(dir.path(), &["--json", "datasets"]).exits(0).stdout;
    let json: Value = serde_json::from_str(&listed).unwrap_or_else(|e| panic!("{e} in {listed}"));
    assert!(json.to_string().contains("\"good\""), "{json}");
    for name in ["Upper", "_own", "a-b", "1st"] {
        assert!(!json.to_string().contains(&format!("\"{name}\"")), "{json}");
    }
}
