//! Imports from end to end: real files with known counts, and every way in which a file can be bad.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::error::{Error, Result};
use crate::fields::{Declaration, FieldDeclaration, FieldType};
use crate::ingest::format::FileFormat;
use crate::ingest::import::{ImportOptions, Progress, Report, import};
use crate::store::catalog::ImportMark;
use crate::store::{Store, StoreOptions};
use crate::value::Value;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
        Self { folder, store }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    fn import(&self, path: &Path) -> Result<Report> {
        self.import_with(path, ImportOptions::default())
    }

    fn import_with(&self, path: &Path, options: ImportOptions) -> Result<Report> {
        import(&self.store, "t", path, &options, &Progress::default())
    }

    fn content(&self, name: &str, content: &[u8]) -> Result<Report> {
        self.import(&self.file(name, content))
    }

    /// The texts of a column in order; null is "-".
    fn column(&self, field: &str) -> Vec<String> {
        let value = |v: Value| if v.is_null() { "-".to_owned() } else { v.to_text().into_owned() };
        self.values(field).into_iter().map(value).collect()
    }

    fn values(&self, field: &str) -> Vec<Value> {
        let snapshot = self.store.snapshot();
        let mut values = Vec::new();
        let dataset = snapshot.whole_dataset("t").expect("there");
        for run in dataset.sources().flat_map(|source| source.runs()) {
            let part = dataset.part(run).expect("a part");
            let column = part.column(field).expect("reads");
            for row in 0..part.rows() {
                let value = column.as_ref().map_or(Value::Null, |column| column.get(row));
                values.push((part.seq(row).expect("reads"), value));
            }
        }
        // segments are in order of time, the file in order of `_seq`
        values.sort_by_key(|(seq, _)| *seq);
        values.into_iter().map(|(_, value)| value).collect()
    }

    fn rows(&self) -> u64 {
        self.store.snapshot().datasets.get("t").map_or(0, |dataset| dataset.rows())
    }

    fn kind(&self, field: &str) -> Option<FieldType> {
        self.store
            .snapshot()
            .whole_dataset("t")
            .expect("there")
            .fields
            .kinds(field)
            .and_then(|kinds| kinds.single())
    }

    fn time_field(&self) -> Option<String> {
        self.store.snapshot().whole_dataset("t").expect("there").time_field.as_deref().map(str::to_owned)
    }
}

fn places(report: &Report) -> Vec<u64> {
    report.rejected.iter().map(|item| item.index).collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("written");
    encoder.finish().expect("finished")
}

/// Lines that do not compress to nothing, so that a cut lies where it seems to.
fn many_lines(count: u64) -> String {
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..count).map(|n| format!("{{\"n\":{n},\"x\":\"{:x}{:x}\"}}\n", random(n), random(n + count))).collect()
}

fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn real_csv_has_its_rows_types_and_time() {
    let Some(path) = real("birdstrikes.csv") else { return };
    let place = Place::new();
    let report = place.import(&path).expect("imports");
    assert_eq!((report.accepted, report.rejected_total), (10_000, 0));
    assert_eq!(place.time_field().as_deref(), Some("Flight Date"));
    assert_eq!(place.kind("Cost Total $"), Some(FieldType::Int));
    assert_eq!(place.kind("Wildlife Species"), Some(FieldType::String));
    // the oracle is the csv crate alone
    let mut reader = csv::Reader::from_path(&path).expect("opens");
    let cells: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row")).collect();
    let header = reader.headers().expect("a header").clone();
    for (index, name) in header.iter().enumerate().filter(|(_, name)| *name != "Flight Date") {
        let expected: Vec<&str> =
            cells.iter().map(|r| if r[index].is_empty() { "-" } else { &r[index] }).collect();
        assert_eq!(place.column(name), expected, "{name}");
    }
}

#[test]
fn real_ndjson_is_unpacked_and_its_hours_stay_numbers() {
    let Some(path) = real("flights.ndjson.gz") else { return };
    let place = Place::new();
    let report = place.import(&path).expect("imports");
    assert_eq!((report.accepted, report.rejected_total), (200_000, 0));
    assert_eq!((place.time_field(), place.kind("time")), (None, Some(FieldType::Float)));
    let mut text = String::new();
    let file = std::fs::File::open(&path).expect("opens");
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).expect("unpacks");
    let expected: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["delay"].to_string())
        .collect();
    // in the order of the file, although decoders run side by side
    assert_eq!(place.column("delay"), expected);
}

#[test]
fn a_real_document_is_unwrapped_and_told() {
    let Some(path) = real("kev.json") else { return };
    let place = Place::new();
    let report = place.import(&path).expect("imports");
    assert_eq!((report.accepted, report.rejected_total), (1_404, 0));
    assert_eq!(place.time_field().as_deref(), Some("dateAdded"));
    assert!(report.notes[0].contains("1404 objects of the field \"vulnerabilities\""), "{:?}", report.notes);
}

#[test]
fn a_stream_cut_off_keeps_what_came_whole_and_tells_the_place() {
    let text = many_lines(30_000);
    let (packed_gz, packed_zst) =
        (gzip(text.as_bytes()), zstd::encode_all(text.as_bytes(), 1).expect("packs"));
    for (packed, name) in [(&packed_gz, "a.ndjson.gz"), (&packed_zst, "a.ndjson.zst")] {
        for part in [50, 90, 99] {
            let place = Place::new();
            let cut = &packed[..packed.len() * part / 100];
            let report = place.content(name, cut).expect("begins");
            let told = report.broken.as_ref().expect("told").to_string();
            assert!(matches!(report.broken, Some(Error::Invalid { .. })), "{told}");
            assert!(report.accepted > 1_000 && report.accepted < 30_000, "{}", report.accepted);
            assert!(
                told.contains("cut off") && told.contains(&format!("after line {};", report.accepted)),
                "{told}"
            );
            assert!(told.contains(&format!("the {} rows before it", report.accepted)), "{told}");
            let expected: Vec<String> = (0..report.accepted).map(|n| n.to_string()).collect();
            assert_eq!((place.rows(), report.rejected_total), (report.accepted, 0));
            assert_eq!(place.column("n"), expected);
        }
    }
    for bytes in [3, 9, 12] {
        let place = Place::new();
        let told = place.content("a.ndjson.gz", &packed_gz[..bytes]).map(|r| r.accepted);
        assert!(told.as_ref().is_err() && place.rows() == 0, "{bytes}: {told:?}");
    }
}

#[test]
fn damage_inside_a_stream_is_told() {
    let mut packed = gzip(many_lines(30_000).as_bytes());
    let last = packed.len() - 6;
    packed[last] ^= 0xff;
    let report = Place::new().content("a.ndjson.gz", &packed).expect("begins");
    let told = report.broken.expect("told").to_string();
    assert!(told.contains("is damaged"), "{told}");
}

#[test]
fn several_members_and_a_wrong_name_are_read() {
    let place = Place::new();
    let packed = [gzip(b"a,b\n1,2\n"), gzip(b"3,4\n")].concat();
    let report = place.content("plain.csv", &packed).expect("imports");
    assert_eq!(report.accepted, 2);
    assert!(report.notes[0].contains("not what its name says: it is gzip"), "{:?}", report.notes);
    let report = place.content("plain.csv.gz", b"a,b\n5,6\n").expect("imports");
    assert!(report.notes[0].contains("it is not compressed"), "{:?}", report.notes);
    assert_eq!(place.column("a"), ["1", "3", "5"]);
}

#[test]
fn marks_are_taken_away_and_other_encodings_told() {
    let place = Place::new();
    assert_eq!(place.content("a.csv", b"\xef\xbb\xbfa,b\n1,2\n").expect("imports").accepted, 1);
    assert_eq!(place.content("a.ndjson", b"\xef\xbb\xbf{\"a\":2}\n").expect("imports").accepted, 1);
    assert_eq!(place.content("a.json", b"\xef\xbb\xbf[{\"a\":3}]\n").expect("imports").accepted, 1);
    assert_eq!(place.column("a"), ["1", "2", "3"]);
    for wide in [b"\xff\xfea\0,\0b\0".as_slice(), b"\xfe\xff\0a\0,\0b", b"{\0\"\0a\0"] {
        let told = place.content("wide.csv", wide).expect_err("told").to_string();
        assert!(told.contains("UTF-16") && told.contains("iconv") && told.contains("wide.csv"), "{told}");
    }
}

#[test]
fn files_of_another_sort_are_named() {
    let place = Place::new();
    let sorts: [(&[u8], &str); 6] = [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "PNG"),
        (b"PK\x03\x04....", "zip"),
        (b"SQLite format 3\0....", "SQLite"),
        (b"PAR1\x15\x04", "is a Parquet file that is cut off or damaged"),
        (b"{\"a\":1}\n{\"a\":2}\n", "begins as NDJSON"),
        (b"[{\"a\":1}]", "begins as JSON"),
    ];
    for (content, part) in sorts {
        let told = place.content("a.csv", content).expect_err("refused").to_string();
        assert!(told.contains(part) && told.contains("a.csv"), "{told}");
    }
    let told = place.content("a.csv.gz", &gzip(&gzip(b"a\n1"))).expect_err("refused").to_string();
    assert!(told.contains("unpack it once"), "{told}");
    assert_eq!(place.rows(), 0);
}

#[test]
fn files_that_are_not_there_or_have_nothing_are_told() {
    let place = Place::new();
    let told = place.import(&place.folder.path().join("none.csv")).expect_err("told");
    assert!(matches!(told, Error::NotFound(_)) && told.to_string().contains("none.csv"), "{told}");
    let told = place.import(place.folder.path()).expect_err("told").to_string();
    assert!(told.contains("is a directory"), "{told}");
    for (name, content) in [
        ("a.csv", ""),
        ("a.ndjson", "\n \n"),
        ("a.json", " "),
        ("b.csv", "a,b\n"),
        ("c.csv", "\n\n"),
        ("d.json", "[]"),
    ] {
        let report = place.content(name, content.as_bytes()).expect(name);
        assert_eq!(
            (report.accepted, report.rejected_total, report.broken.is_some()),
            (0, 0, false),
            "{name}"
        );
    }
    assert!(!place.store.snapshot().datasets.contains_key("t"));
}

#[test]
fn bad_lines_are_rejected_one_by_one() {
    let place = Place::new();
    let content = b"{\"a\":1}\n\n{\"a\":\"\xff\"}\nnonsense\n{\"a\":2,\"a\":3}\r\n{\"a\":NaN}\n{\"a\":4}";
    let report = place.content("a.ndjson", content).expect("imports");
    assert_eq!((report.accepted, report.rejected_total, places(&report)), (2, 4, vec![3, 4, 5, 6]));
    assert!(report.rejected[0].message.contains("UTF-8"), "{:?}", report.rejected);
    assert_eq!(place.column("a"), ["1", "4"]);
}

#[test]
fn a_line_far_too_long_is_skipped_among_good_ones() {
    let place = Place::new();
    let content = format!("{{\"a\":1}}\n{{\"a\":\"{}\"}}\n{{\"a\":3}}\n", "x".repeat(20 << 20));
    let report = place.content("a.ndjson", content.as_bytes()).expect("imports");
    assert_eq!((report.accepted, places(&report)), (2, vec![2]));
    assert!(report.rejected[0].message.contains("longer than 16 MiB"), "{:?}", report.rejected);
    assert_eq!(place.column("a"), ["1", "3"]);
}

#[test]
fn csv_rows_are_rejected_by_the_line_they_begin_on() {
    let place = Place::new();
    let content = b"a,b\r\n1,\"two\nlines\"\r\n\r\n2\r\n3,4,5\n6,\xff\n7,\"open\n8,x\n";
    let report = place.content("a.csv", content).expect("imports");
    assert_eq!(places(&report), [5, 6, 7, 8]);
    let reasons: Vec<&str> = report.rejected.iter().map(|item| item.message.as_str()).collect();
    assert_eq!(reasons[..2], ["1 cell where the header has 2", "3 cells where the header has 2"]);
    assert!(reasons[2].contains("cell 2") && reasons[2].contains("not UTF-8"), "{reasons:?}");
    assert!(reasons[3].contains("quote"), "{reasons:?}");
    assert_eq!(place.column("b"), ["two\nlines", "x"]);
}

#[test]
fn lone_quotes_inside_a_cell_are_text() {
    let place = Place::new();
    place.content("a.csv", b"a,b\n5\" pipe,\"say \"\"hi\"\"\"\n").expect("imports");
    assert_eq!((place.column("a"), place.column("b")), (vec!["5\" pipe".into()], vec!["say \"hi\"".into()]));
}

#[test]
fn types_are_told_by_column() {
    let place = Place::new();
    let content = "zip,n,f,big,flag,mix,none,quoted\n007,1,1,9223372036854775807,TRUE,1,,\"\"\n10,2,1.5,9223372036854775808,false,x,,\"\"\n";
    place.content("a.csv", content.as_bytes()).expect("imports");
    let kinds = ["zip", "n", "f", "big", "flag", "mix", "none", "quoted"].map(|name| place.kind(name));
    use FieldType::{Bool, Float, Int, String};
    assert_eq!(
        kinds,
        [Some(String), Some(Int), Some(Float), Some(String), Some(Bool), Some(String), None, None]
    );
    assert_eq!(place.column("zip"), ["007", "10"]);
    assert_eq!(place.column("f"), ["1", "1.5"]);
    assert_eq!(place.column("big"), ["9223372036854775807", "9223372036854775808"]);
    assert_eq!(place.column("none"), ["-", "-"]);
}

#[test]
fn after_the_sample_a_cell_that_does_not_fit_is_kept_as_text() {
    let place = Place::new();
    let numbers: String = (0..12_000).map(|n| format!("{n}\n")).collect();
    let report =
        place.content("a.csv", format!("n\n{numbers}007\nseven\n1.5\n").as_bytes()).expect("imports");
    assert_eq!((report.accepted, report.rejected_total), (12_003, 0));
    let values = place.values("n");
    assert!(matches!(values[11_999], Value::Int(11_999)));
    assert!(matches!((&values[12_000], &values[12_002]), (Value::Text(_), Value::Float(_))));
    assert_eq!(place.column("n")[12_000..], ["007", "seven", "1.5"]);
}

#[test]
fn what_the_dataset_knows_decides_about_cells() {
    let place = Place::new();
    let field = |kind| FieldDeclaration { kind: Some(kind), ..FieldDeclaration::default() };
    let fields = [("code".to_owned(), field(FieldType::String))].into();
    place.store.declare("t", Declaration { fields, ..Declaration::default() }).expect("declares");
    place.content("a.csv", b"code,zip\n1,01234\n").expect("imports");
    place.content("b.csv", b"code,zip\n2,98765\n").expect("imports");
    assert_eq!((place.kind("code"), place.kind("zip")), (Some(FieldType::String), Some(FieldType::String)));
}

#[test]
fn delimiters_are_told_by_the_header_or_said() {
    for (name, content, said) in [
        ("a.csv", "a;b\n1;2\n", None),
        ("a.csv", "a|b\n1|2\n", None),
        ("a.tsv", "a\tb\n1\t2\n", None),
        ("a.csv", "a:b\n1:2\n", Some(b':')),
    ] {
        let place = Place::new();
        let options = ImportOptions { delimiter: said, ..ImportOptions::default() };
        let report = place.import_with(&place.file(name, content.as_bytes()), options).expect(content);
        assert_eq!((report.accepted, place.column("b")), (1, vec!["2".into()]), "{content}");
    }
}

#[test]
fn the_time_field_is_found_said_or_missed() {
    let options = |field: &str| ImportOptions { time: Some(field.into()), ..ImportOptions::default() };
    let content = b"seen,date,n\n2020-01-02,2021-01-01,1\n2020-01-03,2021-01-01,2\n";
    let place = Place::new();
    let path = place.file("a.csv", content);
    let told = place.import_with(&path, options("sen")).expect_err("unknown").to_string();
    assert!(told.contains("did you mean \"seen\""), "{told}");
    let told = place
        .import_with(&place.file("b.csv", b"seen\nnever\n"), options("seen"))
        .expect_err("none")
        .to_string();
    assert!(told.contains("no row can be read with \"seen\" as its time"), "{told}");
    assert!(!place.store.snapshot().datasets.contains_key("t"), "nothing is kept of a refusal");
    let report = place.import_with(&path, options("seen")).expect("imports");
    assert!(report.notes[0].contains("field \"seen\""), "{:?}", report.notes);
    assert_eq!((place.kind("seen"), place.kind("date")), (Some(FieldType::Time), Some(FieldType::String)));
    assert!(matches!(place.import_with(&path, options("date")), Err(Error::Conflict(_))));
    place.import_with(&path, options("seen")).expect("the same field again");
    let found = Place::new();
    found.content("a.csv", content).expect("imports");
    assert_eq!(found.time_field().as_deref(), Some("date"));
    assert!(matches!(found.import_with(&path, options("seen")), Err(Error::Conflict(_))));
    let none = Place::new().content("a.csv", b"n\n1\n").expect("imports");
    assert!(none.notes[0].contains("no time field"), "{:?}", none.notes);
}

#[test]
fn an_export_imports_with_its_times() {
    let place = Place::new();
    let report = place.content("a.csv", b"_time,_seq,_id,n\n2020-01-02T00:00:00Z,77,x,1\n").expect("imports");
    assert_eq!(place.column("_time"), ["2020-01-02T00:00:00Z"]);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn at_names_the_rows_of_a_document() {
    let place = Place::new();
    let options = |at: &str| ImportOptions { at: Some(at.into()), ..ImportOptions::default() };
    let path = place.file("a.json", br#"{"a": [{"n": 1}], "b": [{"n": 2}, 3, {"n": 4}]}"#);
    let two = place.file("two.json", br#"{"a": [{"n": 1}], "b": [{"n": 2}, {"n": 3}]}"#);
    let report = place.import(&two).expect("imports");
    let told = report.notes.join("\n");
    assert_eq!(report.accepted, 1);
    assert!(told.contains("a (1), b (2)") && told.contains("--at"), "{told}");
    let report = place.import_with(&path, options("b")).expect("imports");
    assert_eq!((report.accepted, places(&report), report.format), (2, vec![1], FileFormat::Json));
    let lines = place.file("a.ndjson", b"{\"n\": 1}\n");
    assert!(place.import_with(&lines, options("b")).expect_err("no document").to_string().contains("--at"));
}

#[test]
fn too_many_columns_are_told_before_anything_is_kept() {
    let place = Place::new();
    let header: Vec<String> = (0..100_000).map(|n| format!("c{n}")).collect();
    let told = place
        .content("a.csv", format!("{}\n1\n", header.join(",")).as_bytes())
        .expect_err("told")
        .to_string();
    assert!(told.contains("100000 fields"), "{told}");
}

#[test]
fn values_in_names_end_at_the_limit_though_decoders_run_side_by_side() {
    let place = Place::new();
    let lines: String = (0..100_000).map(|n| format!("{{\"n\":{n},\"f{n}\":1}}\n")).collect();
    let report = place.content("a.ndjson", lines.as_bytes()).expect("imports");
    let fields = place.store.snapshot().whole_dataset("t").expect("there").fields.len();
    assert_eq!(fields, crate::limits::FIELDS);
    assert_eq!(report.accepted, crate::limits::FIELDS as u64 - 1);
    assert_eq!(report.accepted + report.rejected_total, 100_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_table_comes_back_cell_by_cell(
        table in (1usize..5).prop_flat_map(|width| {
            let cell = prop_oneof!["[a-zA-Z0-9 ,;\"\r\n.eäß-]{1,8}", "-?[0-9]{1,20}", "-?[0-9]{1,4}\\.[0-9]{1,4}", "true|FALSE", Just(String::new())];
            proptest::collection::vec(proptest::collection::vec(cell, width), 1..20)
        })
    ) {
        // a row of one empty cell is an empty line, which is no row
        prop_assume!(table[0].len() > 1 || table.iter().all(|row| !row[0].is_empty()));
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record((0..table[0].len()).map(|n| format!("c{n}"))).expect("written");
        for row in &table {
            writer.write_record(row).expect("written");
        }
        let place = Place::new();
        let report = place.content("a.csv", &writer.into_inner().expect("flushed")).expect("imports");
        prop_assert_eq!((report.accepted, report.rejected_total), (table.len() as u64, 0));
        for column in 0..table[0].len() {
            for (value, row) in place.values(&format!("c{column}")).iter().zip(&table) {
                let cell = &row[column];
                let same = match value {
                    Value::Null => cell.is_empty(),
                    Value::Float(number) => cell.parse() == Ok(*number),
                    Value::Bool(b) => cell.to_lowercase() == b.to_string(),
                    other => other.to_text() == *cell,
                };
                prop_assert!(same, "{cell:?} came back as {value:?}");
            }
        }
    }
}

/// A column: its cells as other files write them, with a decimal point.
fn a_column(rows: usize) -> impl Strategy<Value = Vec<String>> {
    let cell = prop_oneof![
        Just("-?(0|[1-9][0-9]{0,6})\\.[0-9]{2}"),
        Just("-?[1-9][0-9]{0,8}"),
        Just("[a-z][a-zA-Z0-9 ,;|\"\r\n.\tä-]{0,8}"),
        Just("0[0-9]{4}"),
        Just("true|FALSE"),
    ];
    (cell, any::<bool>()).prop_flat_map(move |(pattern, has_gaps)| {
        let gap = if has_gaps { 1 } else { 0 };
        let cell = prop_oneof![4 => pattern, gap => Just(String::new())];
        proptest::collection::vec(cell, rows)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_table_is_the_same_in_every_dialect(
        columns in (2usize..5, 1usize..12).prop_flat_map(|(width, rows)| {
            proptest::collection::vec(a_column(rows), width)
        })
    ) {
        let written = |delimiter: u8, decimal_comma: bool| {
            let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
            writer.write_record((0..columns.len()).map(|n| format!("c{n}"))).expect("written");
            for row in 0..columns[0].len() {
                let cell = |column: &Vec<String>| {
                    let is_decimal = column[row].contains('.') && column[row].parse::<f64>().is_ok();
                    if is_decimal && decimal_comma { column[row].replace('.', ",") } else { column[row].clone() }
                };
                writer.write_record(columns.iter().map(cell)).expect("written");
            }
            writer.into_inner().expect("flushed")
        };
        let expected = Place::new();
        expected.content("a.csv", &written(b',', false)).expect("imports");
        for (delimiter, has_commas, is_said) in [
            (b';', false, false), (b'\t', false, false), (b'|', false, false),
            (b';', true, false), (b'\t', true, false), (b'|', true, false),
            (b';', true, true), (b',', true, true),
        ] {
            let place = Place::new();
            let path = place.file("a.csv", &written(delimiter, has_commas));
            let options = ImportOptions { decimal_comma: is_said, ..ImportOptions::default() };
            place.import_with(&path, options).expect("imports");
            for column in 0..columns.len() {
                let name = format!("c{column}");
                let of = char::from(delimiter);
                prop_assert_eq!(place.values(&name), expected.values(&name), "{:?} {} {}", of, has_commas, is_said);
            }
        }
    }
}

fn resumed() -> ImportOptions {
    ImportOptions { resume: true, ..ImportOptions::default() }
}

#[test]
fn an_import_that_was_cut_off_goes_on_where_it_was_whatever_the_format() {
    let rows = 30_000;
    let csv = |n: usize| format!("{n},\"two\nlines {n}\"\n");
    let ndjson = |n: usize| format!("{{\"n\":{n}}}\n");
    for (name, head, row) in
        [("a.csv", "n,text\n", &csv as &dyn Fn(usize) -> String), ("a.ndjson", "", &ndjson)]
    {
        let whole: String = head.to_owned() + &(0..rows).map(row).collect::<String>();
        let packed = gzip(whole.as_bytes());
        let place = Place::new();
        let path = place.file(name, &packed[..packed.len() * 2 / 3]);
        let broken = place.import(&path).expect("begins");
        assert!(
            broken.broken.is_some() && broken.accepted > 0 && broken.accepted < rows as u64,
            "{broken:?}"
        );
        let path = place.file(name, &packed);
        let refused = place.import(&path).expect_err("is not begun anew").to_string();
        assert!(refused.contains("--resume") && refused.contains("another name"), "{refused}");
        let rest = place.import_with(&path, resumed()).expect("goes on");
        assert_eq!(broken.accepted + rest.accepted, rows as u64, "{rest:?}");
        let expected: Vec<String> = (0..rows).map(|n| n.to_string()).collect();
        assert_eq!(place.column("n"), expected, "{name}");
    }
}

#[test]
fn an_import_that_was_cut_off_behind_its_last_row_is_whole_when_it_is_resumed() {
    let place = Place::new();
    let path = place.file("a.ndjson", b"{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(place.import(&path).expect("imports").accepted, 2);
    // as a process leaves it that dies between the last rows and the note that there are no more
    let name = path.canonicalize().expect("there").to_string_lossy().into_owned();
    let mark = place.store.import_mark("t", &name).expect("reads").expect("is noted");
    place.store.mark_import("t", ImportMark { ended: false, ..mark }).expect("notes");
    place.import(&path).expect_err("is not begun anew");
    let rest = place.import_with(&path, resumed()).expect("goes on");
    assert_eq!((rest.accepted, rest.up_to_date, rest.broken.is_none()), (0, true, true));
    assert_eq!(place.column("n"), ["1", "2"]);
}

#[test]
fn a_file_that_has_grown_brings_its_new_rows_and_nothing_twice() {
    let place = Place::new();
    // without a line end after the last record
    let path = place.file("a.ndjson", b"{\"n\":1}\n{\"n\":2}");
    assert_eq!(place.import(&path).expect("imports").accepted, 2);
    let again = place.import_with(&path, resumed()).expect("finds nothing");
    assert_eq!((again.accepted, again.up_to_date), (0, true));
    let path = place.file("a.ndjson", b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    let more = place.import_with(&path, resumed()).expect("goes on");
    assert_eq!((more.accepted, more.up_to_date), (1, false));
    assert_eq!(place.column("n"), ["1", "2", "3"]);
    // without --resume a file that was imported whole is a new one
    assert_eq!(place.import(&path).expect("imports").accepted, 3);
    let path = place.file("b.json", br#"[{"n":1},{"n":2}]"#);
    assert_eq!(place.import(&path).expect("imports").accepted, 2);
    let path = place.file("b.json", br#"[{"n":1},{"n":2},{"n":4}]"#);
    assert_eq!(place.import_with(&path, resumed()).expect("goes on").accepted, 1);
}

#[test]
fn a_file_that_was_imported_before_is_told_unless_ids_keep_its_rows_single() {
    let place = Place::new();
    let path = place.file("a.csv", b"ts,n\n2026-03-01,1\n2026-03-02,2\n");
    let told =
        |report: &Report| report.notes.iter().any(|note| note.contains("are there twice now; --resume"));
    assert!(!told(&place.import(&path).expect("imported")));
    let again = place.import(&path).expect("imported again");
    assert!(told(&again), "{:?}", again.notes);
    assert_eq!(place.rows(), 4);

    let deduped = Place::new();
    let declaration =
        Declaration { id: Some("n".into()), dedupe: Some("all".into()), ..Declaration::default() };
    deduped.store.declare("t", declaration).expect("declared");
    let path = deduped.file("a.csv", b"ts,n\n2026-03-01,1\n");
    deduped.import(&path).expect("imported");
    let again = deduped.import(&path).expect("left out");
    assert!(!told(&again) && again.duplicates == 1, "{again:?}");
}

#[test]
fn a_named_time_that_only_rejected_rows_had_is_not_told_as_missing_from_the_command() {
    let place = Place::new();
    let path = place.file("a.csv", b"booked,n\n31.12.2026,1\n30.12.2026,2\n,3\n");
    let options = ImportOptions { time: Some("booked".into()), ..ImportOptions::default() };
    let report = place.import_with(&path, options).expect("the sum has no date");
    assert_eq!((report.accepted, report.rejected_total), (1, 2));
    let note = "none of the first rows that were kept has a value in \"booked\", the time of an event: they have the \
                time of their arrival";
    assert_eq!(report.notes, [note]);
}

#[test]
fn without_a_time_field_the_note_names_what_holds_times() {
    let place = Place::new();
    let report = place.content("a.csv", b"booked,n\n2026-12-31,1\n2026-12-30,2\n").expect("imported");
    assert!(report.notes[0].ends_with("there are times in \"booked\""), "{:?}", report.notes);
}
