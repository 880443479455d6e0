//! CSV as people have it: other delimiters, decimal commas, the line for Excel, and files that are no table at all.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::process::sql;
use crate::common::{Ran, assert_same_rows, assert_says, gzip, run, run_with_input, shared, temp_dir};

/// Writes a file and imports it into `d`.
fn import(dir: &Path, name: &str, bytes: &[u8], flags: &[&str]) -> Ran {
    std::fs::write(dir.join(name), bytes).unwrap();
    run(dir, &[&["import", "d", name], flags].concat())
}

fn rows(dir: &Path, select: &str) -> Vec<Vec<Value>> {
    sql(dir, &format!("SELECT {select} FROM d ORDER BY _seq")).rows
}

#[test]
fn a_file_as_a_german_excel_writes_it_comes_in_as_what_it_means() {
    let dir = temp_dir();
    let text = "\u{feff}sep=;\r\nNr;PLZ;Ort, Kreis;Preis;Umsatz\r\n1;01067;Dresden;12,50;1.234,56\r\n\r\n2;80331;\"München; Mitte\";,5;-0,25\r\n3;10115;;;1.000.000,00\r\n";
    let said = import(dir.path(), "a.csv", text.as_bytes(), &[]).exits(0);
    assert_says(&said.stderr, &["cells are separated by ;", "decimal comma in Preis, Umsatz"]);
    let wanted = [
        vec![json!(1), json!("01067"), json!("Dresden"), json!(12.5), json!(1234.56)],
        vec![json!(2), json!("80331"), json!("München; Mitte"), json!(0.5), json!(-0.25)],
        vec![json!(3), json!("10115"), Value::Null, Value::Null, json!(1_000_000.0)],
    ];
    assert_same_rows("the table", &rows(dir.path(), r#"Nr, PLZ, "Ort, Kreis", Preis, Umsatz"#), &wanted);
}

#[test]
fn a_delimiter_is_told_by_the_first_rows_or_said() {
    for (text, flags, note) in [
        ("n;s\n1;a\n", &[][..], "separated by ;"),
        ("n|s\n1|a\n", &[], "separated by |"),
        ("n\ts\n1\ta\n", &[], "separated by tabs"),
        ("n:s\n1:a\n", &["--delimiter", ":"], ""),
        ("n\ts\n1\ta\n", &["--delimiter", "tab"], ""),
        ("n,s;t\n1,a\n", &["--delimiter", ","], ""),
    ] {
        let dir = temp_dir();
        let said = import(dir.path(), "a.csv", text.as_bytes(), flags).exits(0).stderr;
        assert_eq!(said.contains("separated by"), !note.is_empty(), "{text}: {said}");
        assert_says(&said, &[note]);
        assert_eq!(rows(dir.path(), "n"), [[json!(1)]], "{text}");
    }
    let dir = temp_dir();
    run_with_input(dir.path(), &["import", "d", "-"], b"n;s\n1;a\n2;b\n").exits(0);
    assert_eq!(rows(dir.path(), "n, s"), [[json!(1), json!("a")], [json!(2), json!("b")]]);
}

#[test]
fn with_commas_between_cells_a_decimal_comma_has_to_be_asked_for() {
    let dir = temp_dir();
    let text = b"n,ip\n\"12,50\",192.168.178.123\n\"1.234,5\",192.168.178.124\n7,\n";
    import(dir.path(), "a.csv", text, &[]).exits(0);
    assert_eq!(rows(dir.path(), "n"), [[json!("12,50")], [json!("1.234,5")], [json!("7")]]);
    let dir = temp_dir();
    import(dir.path(), "a.csv", text, &["--decimal-comma"]).exits(0);
    let wanted = [[json!(12.5), json!("192.168.178.123")], [json!(1234.5), json!("192.168.178.124")]];
    assert_eq!(rows(dir.path(), "n, ip")[..2], wanted);
    assert_eq!(sql(dir.path(), "SELECT sum(n) FROM d").cell(), 1254.0);
}

#[test]
fn versions_dates_and_lists_beside_decimal_commas_stay_text() {
    let dir = temp_dir();
    let text =
        "price;version;day;list;amount\n1,5;1.2.3;31.12.2026;1,2,3;1.234\n2,25;1.10;01.01.2027;4,5;12.500\n";
    let said = import(dir.path(), "a.csv", text.as_bytes(), &[]).exits(0);
    assert_says(&said.stderr, &["decimal comma in price", "\"amount\" stays text", "--decimal-comma"]);
    let wanted = [
        [json!(1.5), json!("1.2.3"), json!("31.12.2026"), json!("1,2,3"), json!("1.234")],
        [json!(2.25), json!("1.10"), json!("01.01.2027"), json!("4,5"), json!("12.500")],
    ];
    assert_eq!(rows(dir.path(), "price, version, day, list, amount"), wanted);
}

#[test]
fn a_later_cell_that_is_no_such_number_is_kept_as_text() {
    let dir = temp_dir();
    let mut text = String::from("n;price\n");
    (0..12_000).for_each(|n| text.push_str(&format!("{n};{},25\n", n % 100)));
    text.push_str("12000;none\n12001;1.5\n1.234;2,5\n");
    import(dir.path(), "a.csv", text.as_bytes(), &[]).exits(0);
    let tail = rows(dir.path(), "n, price").split_off(12_000);
    let wanted = [
        [json!(12_000), json!("none")],
        [json!(12_001), json!("1.5")],
        // no thousand becomes one and a bit
        [json!("1.234"), json!(2.5)],
    ];
    assert_eq!(tail, wanted);
}

#[test]
fn bird_strikes_with_semicolons_and_decimal_commas_are_the_same_dataset() {
    let Some(file) = shared("birdstrikes.csv") else { return };
    let (original, converted) = (temp_dir(), temp_dir());
    let mut reader = csv::Reader::from_path(&file).unwrap();
    let header = reader.headers().unwrap().clone();
    let cost = header.iter().position(|name| name == "Cost Total $").unwrap();
    // the file has no broken numbers of its own: cents are added to one column of both
    let (mut plain, mut german) = (
        csv::Writer::from_path(original.path().join("b.csv")).unwrap(),
        csv::WriterBuilder::new().delimiter(b';').from_path(converted.path().join("b.csv")).unwrap(),
    );
    plain.write_record(&header).unwrap();
    german.write_record(&header).unwrap();
    for (n, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let cents = format!("{}.{:02}", &record[cost], n % 100);
        let with = |text: &str| {
            let cells = record.iter().enumerate();
            cells.map(|(at, cell)| if at == cost { text } else { cell }.to_owned()).collect::<Vec<_>>()
        };
        plain.write_record(with(&cents)).unwrap();
        german.write_record(with(&cents.replace('.', ","))).unwrap();
    }
    plain.flush().unwrap();
    german.flush().unwrap();
    run(original.path(), &["import", "d", "b.csv"]).exits(0);
    let said = run(converted.path(), &["import", "d", "b.csv"]).exits(0);
    assert_says(&said.stderr, &["cells are separated by ;", "decimal comma in Cost Total $", "Flight Date"]);
    let export = |dir: &Path| run(dir, &["export", "d"]).exits(0).stdout;
    assert!(export(original.path()) == export(converted.path()), "the exports differ");
    let sum = sql(original.path(), r#"SELECT sum("Cost Total $") FROM d"#);
    assert_same_rows(
        "the costs",
        &sql(converted.path(), r#"SELECT sum("Cost Total $") FROM d"#).rows,
        &sum.rows,
    );
}

#[test]
fn an_import_that_goes_on_reads_the_rest_in_the_same_way() {
    let dir = temp_dir();
    let row = |n: usize| format!("{n};{},{:02};text, {n}\n", n % 900, n % 100);
    let text = format!("sep=;\nn;price;note\n{}", (0..60_000).map(row).collect::<String>());
    let whole = gzip(text.as_bytes());
    import(dir.path(), "a.csv.gz", &whole[..whole.len() / 2], &[]).exits(1);
    let before = sql(dir.path(), "SELECT count(*) FROM d").cell().as_i64().unwrap();
    assert!((10_000..60_000).contains(&before), "{before} rows came before the end");
    let said = import(dir.path(), "a.csv.gz", &whole, &["--resume"]).exits(0);
    assert_says(&said.stderr, &["going on at line", "decimal comma in price"]);
    let cents: i64 = (0..60_000).map(|n| n % 900 * 100 + n % 100).sum();
    let found = sql(dir.path(), "SELECT count(*), uniq(n), round(sum(price) * 100) FROM d");
    assert_same_rows("all of it", &found.rows, &[vec![json!(60_000), json!(60_000), json!(cents)]]);
}

#[test]
fn a_file_that_has_grown_is_read_as_it_was_begun() {
    let dir = temp_dir();
    import(dir.path(), "a.csv", b"n;price\n1;1,5\n2;2,5\n", &[]).exits(0);
    // on its own, the whole file would have a column of texts
    import(dir.path(), "a.csv", b"n;price\n1;1,5\n2;2,5\n3;unknown\n4;4,5\n", &["--resume"]).exits(0);
    assert_eq!(rows(dir.path(), "price"), [[json!(1.5)], [json!(2.5)], [json!("unknown")], [json!(4.5)]]);
}

#[test]
fn a_header_alone_and_blank_lines_are_no_rows() {
    let dir = temp_dir();
    for text in ["a;b\n", "sep=;\n", "sep=;\na;b", "\n\r\n\n"] {
        let ran = import(dir.path(), "a.csv", text.as_bytes(), &[]).exits(1);
        assert_says(&ran.stderr, &["a.csv", "nothing in it"]);
    }
}

#[test]
fn flags_of_tables_are_refused_for_other_formats() {
    let dir = temp_dir();
    for flags in [&["--decimal-comma"][..], &["--delimiter", ";"]] {
        let ran = import(dir.path(), "a.ndjson", b"{\"n\":1}\n", flags).exits(1);
        assert_says(&ran.stderr, &["a.ndjson", flags[0], "CSV"]);
    }
    let wrong = import(dir.path(), "a.csv", b"n\n1\n", &["--delimiter", "::"]).exits(2);
    assert_says(&wrong.stderr, &["one ASCII character"]);
}

#[test]
fn days_before_months_are_rejected_with_the_way_out() {
    let dir = temp_dir();
    let text = b"at;n\n2026-12-31 14:00;1\n31.12.2026 14:00;2\n12/31/2026;3\n";
    let ran = import(dir.path(), "a.csv", text, &["--time", "at"]).exits(0);
    assert_says(&ran.stderr, &["line 3", "31.12.2026 14:00", "line 4", "write the year first"]);
    assert_eq!(rows(dir.path(), "n"), [[json!(1)]]);
}

#[test]
fn files_that_are_no_rows_are_told_by_what_they_are() {
    let dir = temp_dir();
    let workbook = b"PK\x03\x04\x14\0\0\0[Content_Types].xml\xff\x9bPK\x03\x04\x14\0xl/workbook.xml\xff";
    for (name, bytes, what) in [
        ("sheet.csv", &workbook[..], &["Excel workbook", "as CSV"][..]),
        ("sheet.xlsx", workbook, &["Excel workbook", "as CSV"]),
        ("a.db", b"SQLite format 3\0\x10\0", &["SQLite database", "sqlite3 -csv"]),
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\n", &["PDF document"]),
        ("a.avro", b"Obj\x01\x04\x14avro.codec", &["Avro file", "convert"]),
        ("a.csv", b"<!DOCTYPE html><html>", &["HTML page", "get the file itself"]),
        ("a.bin", b"\x07\xff\0\x01\x02", &["is no text"]),
        ("words", b"nothing known\nat all\n", &["neither the name", "--format"]),
        ("words.dat", b"n;s\n1;a\n", &["cells between ;", "--format csv"]),
    ] {
        let ran = import(dir.path(), name, bytes, &[]).exits(1);
        assert_says(
            &ran.stderr,
            &[&[name, "ndjson, json, csv, tsv, access-log, parquet"][..], what].concat(),
        );
        assert!(ran.stdout.is_empty() && !ran.stderr.contains('\u{fffd}'), "{}", ran.output());
    }
    import(dir.path(), "words.dat", b"n;s\n1;a\n", &["--format", "csv"]).exits(0);
}
