//! Parquet files as the crate's own writer makes them, and damaged ones: the same rows by columns and one by one, from
//! any row on, and a reason for whatever cannot be taken.

use std::path::PathBuf;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::fields::Declaration;
use crate::ingest::rows::Decoded;
use crate::ingest::rules::Rules;
use crate::store::snapshot::Snapshot;
use crate::value::Value;

const SCHEMA: &str = "message m { required int64 n; optional int64 ts (TIMESTAMP(MILLIS,true)); \
                      optional double value; optional binary name (UTF8); optional binary props (UTF8); }";
const PROPS: [&str; 4] = [r#"{"plan":"pro","seats":3}"#, r#"{"plan":"free"}"#, "[1,2]", "oops"];

/// A folder with one file of so many rows in groups of 700; row n has what `cells` below says.
fn written(rows: i64) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.parquet");
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(2_000)
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(50)
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let file = File::create(&path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
    let all: Vec<i64> = (0..rows).collect();
    for group in all.chunks(700) {
        let mut out = writer.next_row_group().expect("a group");
        let levels =
            |there: fn(i64) -> bool| -> Vec<i16> { group.iter().map(|n| i16::from(there(*n))).collect() };
        let texts = |text: &dyn Fn(i64) -> String, there: fn(i64) -> bool| -> Vec<ByteArray> {
            group.iter().filter(|n| there(**n)).map(|n| text(*n).into_bytes().into()).collect()
        };
        let mut column = out.next_column().expect("next").expect("n");
        column.typed::<Int64Type>().write_batch(group, None, None).expect("written");
        column.close().expect("closed");
        let mut column = out.next_column().expect("next").expect("ts");
        let times: Vec<i64> = group.iter().filter(|n| has_time(**n)).map(|n| 1_700_000_000_000 + n).collect();
        column.typed::<Int64Type>().write_batch(&times, Some(&levels(has_time)), None).expect("written");
        column.close().expect("closed");
        let mut column = out.next_column().expect("next").expect("value");
        let values: Vec<f64> = group.iter().filter(|n| has_value(**n)).map(|n| value(*n)).collect();
        column.typed::<DoubleType>().write_batch(&values, Some(&levels(has_value)), None).expect("written");
        column.close().expect("closed");
        let mut column = out.next_column().expect("next").expect("name");
        let names = texts(&|n| format!("name {}", n * 31 % 997), has_name);
        column.typed::<ByteArrayType>().write_batch(&names, Some(&levels(has_name)), None).expect("written");
        column.close().expect("closed");
        let mut column = out.next_column().expect("next").expect("props");
        let props = texts(&|n| PROPS[n as usize % 4].to_owned(), |_| true);
        column.typed::<ByteArrayType>().write_batch(&props, Some(&levels(|_| true)), None).expect("written");
        column.close().expect("closed");
        out.close().expect("closed");
    }
    writer.close().expect("closed");
    (dir, path)
}

fn has_time(n: i64) -> bool {
    n % 10 != 3
}

fn has_value(n: i64) -> bool {
    n % 3 == 0
}

fn has_name(n: i64) -> bool {
    n % 7 != 0
}

fn value(n: i64) -> f64 {
    if n % 99 == 0 { f64::NAN } else { n as f64 / 4.0 }
}

fn rules(declaration: &str) -> Rules {
    let declaration = Declaration::from_json(declaration.as_bytes()).expect("a declaration");
    Rules {
        arrival_us: 5,
        time_field: Some("ts".into()),
        declaration,
        ..Rules::of(&Snapshot::default(), "events")
    }
}

/// All rows from one on, decoded chunk by chunk.
fn decoded(path: &Path, from: u64, json_fields: &[&str], rules: &Rules) -> Vec<Decoded> {
    let json_fields: Vec<String> = json_fields.iter().map(|field| (*field).to_owned()).collect();
    let mut file = ParquetFile::open(path, &json_fields, Arc::default()).expect("opened");
    file.skip_to(from);
    let mut all = Vec::new();
    while let Some(rows) = file.next_rows().expect("rows") {
        all.push(decode(&rows.rows, rows.place, rules));
    }
    all
}

/// The rows as `name=value`, without those that hold nothing.
fn rows_of(decoded: &[Decoded]) -> Vec<Vec<String>> {
    let row = |block: &crate::columnar::Block, row: usize| {
        let cells = block.columns().map(|(name, column)| (name, column.get(row)));
        cells.filter(|(_, v)| !v.is_null()).map(|(name, v)| format!("{name}={v:?}")).collect()
    };
    decoded.iter().flat_map(|d| (0..d.block.rows()).map(move |at| row(&d.block, at))).collect()
}

/// What row n should be, by another way than columns.
fn cells(n: i64, with_props: bool) -> Vec<String> {
    let time = Value::Time((1_700_000_000_000 + n) * 1_000);
    let text = |text: &str| Value::text(text.to_owned());
    let mut cells = vec![format!("_time={:?}", if has_time(n) { time.clone() } else { Value::Time(5) })];
    cells.push(format!("n={:?}", Value::Int(n)));
    if has_name(n) {
        cells.push(format!("name={:?}", text(&format!("name {}", n * 31 % 997))));
    }
    if has_time(n) {
        cells.push(format!("ts={time:?}"));
    }
    if has_value(n) {
        cells.push(format!("value={:?}", Value::Float(value(n))));
    }
    match (with_props, n % 4) {
        (false, at) => cells.push(format!("props={:?}", text(PROPS[at as usize]))),
        (true, 0) => {
            cells.push(format!("props.plan={:?}", text("pro")));
            cells.push(format!("props.seats={:?}", Value::Int(3)));
        }
        (true, 1) => cells.push(format!("props.plan={:?}", text("free"))),
        (true, _) => cells.push(format!("props={:?}", Value::Json("[1,2]".into()))),
    }
    cells.sort();
    cells
}

fn is_bad(n: i64) -> bool {
    has_value(n) && value(n).is_nan()
}

#[test]
fn rows_are_what_was_written_by_columns_and_one_by_one() {
    let (_dir, path) = written(2_000);
    let by_columns = decoded(&path, 0, &[], &rules("{}"));
    // a default makes every row go through the rules; its field is there always
    let by_rows = decoded(&path, 0, &[], &rules(r#"{"fields": {"n": {"default": 0}}}"#));
    let wanted: Vec<_> = (0..2_000).filter(|n| !is_bad(*n)).map(|n| cells(n, false)).collect();
    assert_eq!(rows_of(&by_columns), wanted);
    assert_eq!(rows_of(&by_rows), wanted);
    for all in [by_columns, by_rows] {
        let rejected: Vec<_> = all.iter().flat_map(|d| &d.rejected).collect();
        let places: Vec<_> = rejected.iter().map(|item| item.index as i64).collect();
        assert_eq!(places, (0..2_000).filter(|n| is_bad(*n)).collect::<Vec<_>>());
        assert!(rejected[0].message.contains("\"value\" is NaN"), "{}", rejected[0].message);
    }
}

#[test]
fn json_text_is_flattened_and_what_is_none_spoils_its_row() {
    let (_dir, path) = written(1_500);
    let is_kept = |n: &i64| !is_bad(*n) && n % 4 != 3;
    let wanted: Vec<_> = (0..1_500).filter(is_kept).map(|n| cells(n, true)).collect();
    for declaration in ["{}", r#"{"fields": {"n": {"required": true}}}"#] {
        let all = decoded(&path, 0, &["props"], &rules(declaration));
        assert_eq!(rows_of(&all), wanted, "{declaration}");
        let told = &all[0].rejected.iter().find(|item| item.index == 3).expect("rejected").message;
        assert!(told.contains("\"props\"") && told.contains("not JSON"), "{told}");
    }
}

#[test]
fn reading_goes_on_at_any_row() {
    let (_dir, path) = written(1_600);
    for from in [1, 99, 100, 699, 700, 701, 1_399, 1_599] {
        let wanted: Vec<_> = (from..1_600).filter(|n| !is_bad(*n)).map(|n| cells(n, false)).collect();
        assert_eq!(rows_of(&decoded(&path, from as u64, &[], &rules("{}"))), wanted, "from {from}");
    }
    assert!(decoded(&path, 1_600, &[], &rules("{}")).is_empty());
    assert!(decoded(&path, 99_999, &[], &rules("{}")).is_empty());
}

#[test]
fn a_declared_type_is_aimed_at_and_a_strict_dataset_refuses() {
    let (_dir, path) = written(10);
    let declared = decoded(&path, 0, &[], &rules(r#"{"fields": {"n": {"type": "float"}}}"#));
    assert!(rows_of(&declared)[0].contains(&"n=Float(1.0)".to_owned()), "{:?}", rows_of(&declared)[0]);
    let strict = decoded(&path, 0, &[], &rules(r#"{"strict": true, "fields": {"n": {"type": "int"}}}"#));
    assert_eq!((strict[0].block.rows(), strict[0].rejected_total), (0, 10));
    assert!(strict[0].rejected[1].message.contains("not declared"), "{}", strict[0].rejected[1].message);
}

#[test]
fn damage_is_told_and_never_a_panic() {
    let (dir, path) = written(1_000);
    let whole = std::fs::read(&path).expect("read");
    let damaged = dir.path().join("b.parquet");
    let read = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).expect("written");
        let mut file = ParquetFile::open(&damaged, &["props".to_owned()], Arc::default())?;
        while let Some(rows) = file.next_rows()? {
            decode(&rows.rows, rows.place, &rules("{}"));
        }
        Ok::<(), Error>(())
    };
    for length in [4, 12, whole.len() / 2, whole.len() - 1] {
        let told = read(&whole[..length]).expect_err("cut off").to_string();
        assert!(told.contains("b.parquet is a Parquet file that is cut off or damaged"), "{told}");
    }
    let (mut told, mut state) = (0, 7u64);
    for _ in 0..600 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] ^= (state >> 20) as u8 | 1;
        }
        told += usize::from(read(&bytes).is_err());
    }
    // the rest hit values, which nothing tells from others
    assert!(told > 100, "{told} of 600 were told");
}

#[test]
fn what_is_asked_for_or_begins_as_parquet_is_read_so() {
    let (dir, path) = written(1);
    let asked = |path: &Path, wanted| is_parquet(path, wanted).expect("told");
    assert!(asked(&path, None) && asked(&path, Some(FileFormat::Parquet)));
    assert!(!asked(&path, Some(FileFormat::Csv)) && !asked(Path::new("-"), None));
    let csv = dir.path().join("parts.csv");
    std::fs::write(&csv, "PAR1,n\nx,1\n").expect("written");
    assert!(!asked(&csv, None));
    let encrypted = dir.path().join("e.parquet");
    std::fs::write(&encrypted, "PARE....PARE").expect("written");
    assert!(is_parquet(&encrypted, None).expect_err("refused").to_string().contains("encrypted"));
}

#[test]
fn columns_that_no_field_can_hold_are_named() {
    for (schema, parts) in [
        ("message m { required fixed_len_byte_array(12) left (INTERVAL); }", ["\"left\"", "INTERVAL"]),
        ("message m { required int64 a.b; required group a { required int64 b; } }", ["\"a.b\"", "rename"]),
        ("message m { required fixed_len_byte_array(40) d (DECIMAL(60, 2)); }", ["\"d\"", "DECIMAL(60, 2)"]),
    ] {
        let schema = parse_message_type(schema).expect("a schema");
        let schema = parquet::schema::types::SchemaDescriptor::new(Arc::new(schema));
        let told = Shape::of(&schema, &[]).expect_err("refused");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
}
