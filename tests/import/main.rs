//! The verb `import`, on real files: right counts and types, and answers equal to those that the test computes
//! itself straight from the raw files.
//!
//! `bad`: files that are broken or not what their names say. `dialects`: CSV with other delimiters and decimal commas,
//! and what is no table. `forms`: formats, headers, options, exit codes. `formats`: access logs, JSON within text,
//! Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod bad;
mod dialects;
mod formats;
mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use common::process::sql;
use common::{Server, assert_same_rows, assert_says, run, shared, temp_dir};

/// Runs `import` on a file and gives everything it printed; it must succeed.
fn import(dir: &Path, dataset: &str, file: &Path) -> String {
    run(dir, &["import", dataset, file.to_str().unwrap()]).exits(0).output()
}

/// Count, sum, smallest, largest and the distinct values of some numbers.
#[derive(Default)]
struct Group {
    rows: i64,
    numbers: Vec<f64>,
    distinct: BTreeSet<String>,
}

impl Group {
    fn sum(&self) -> Value {
        json!(self.numbers.iter().sum::<f64>())
    }

    fn average(&self) -> Value {
        match self.numbers.len() {
            0 => Value::Null,
            n => json!(self.numbers.iter().sum::<f64>() / n as f64),
        }
    }

    fn smallest(&self) -> Value {
        self.numbers.iter().copied().reduce(f64::min).map_or(Value::Null, |n| json!(n))
    }

    fn largest(&self) -> Value {
        self.numbers.iter().copied().reduce(f64::max).map_or(Value::Null, |n| json!(n))
    }
}

fn group<'a, R: 'a, K: Ord>(
    rows: impl IntoIterator<Item = &'a R>,
    key: impl Fn(&R) -> K,
    number: impl Fn(&R) -> Option<f64>,
    distinct: impl Fn(&R) -> String,
) -> BTreeMap<K, Group> {
    let mut groups = BTreeMap::<K, Group>::new();
    for row in rows {
        let group = groups.entry(key(row)).or_default();
        group.rows += 1;
        group.numbers.extend(number(row));
        group.distinct.insert(distinct(row));
    }
    groups
}

fn strikes(file: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let headers = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
    (headers, rows)
}

fn flights(file: &Path) -> Vec<(i64, i64, f64)> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            (row["delay"].as_i64().unwrap(), row["distance"].as_i64().unwrap(), row["time"].as_f64().unwrap())
        })
        .collect()
}

fn vulnerabilities(file: &Path) -> Vec<Value> {
    let catalog: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    catalog["vulnerabilities"].as_array().unwrap().clone()
}

#[test]
fn bird_strikes_come_in_whole_cell_by_cell() {
    let Some(file) = shared("birdstrikes.csv") else { return };
    let dir = temp_dir();
    let said = import(dir.path(), "strikes", &file);
    assert_says(&said.replace([',', '_'], ""), &["10000"]);
    assert_says(&said, &["Flight Date"]);
    let (headers, rows) = strikes(&file);
    assert_eq!(sql(dir.path(), "SELECT count(*) FROM strikes").cell(), rows.len());

    let names: Vec<_> = headers.iter().map(|h| format!("\"{h}\"")).collect();
    let found =
        sql(dir.path(), &format!("SELECT {} FROM strikes ORDER BY _seq LIMIT 10000", names.join(", ")));
    assert_eq!(found.columns, headers);
    let wanted: Vec<Vec<Value>> = rows
        .iter()
        .map(|row| {
            let cell = |(at, text): (usize, &String)| match headers[at].as_str() {
                "Cost Other" | "Cost Repair" | "Cost Total $" | "Speed IAS in knots" => {
                    text.parse::<i64>().map_or(Value::Null, Value::from)
                }
                "Flight Date" => json!(format!("{text}T00:00:00Z")),
                _ => json!(text),
            };
            row.iter().enumerate().map(cell).collect()
        })
        .collect();
    assert_same_rows("the cells of birdstrikes.csv", &found.rows, &wanted);
}

#[test]
fn bird_strikes_have_the_types_of_their_columns() {
    let Some(file) = shared("birdstrikes.csv") else { return };
    let dir = temp_dir();
    import(dir.path(), "strikes", &file);
    let server = Server::start(dir.path(), &[]);
    for (field, kind) in [
        ("Airport Name", "string"),
        ("Flight Date", "time"),
        ("Time of day", "string"),
        ("Effect Amount of damage", "string"),
        ("Cost Total $", "int"),
        ("Speed IAS in knots", "int"),
    ] {
        assert_eq!(server.type_of("strikes", field).as_deref(), Some(kind), "{field}");
    }
    assert_eq!(server.get("/v1/datasets/strikes").ok()["rows"], 10_000);
}

#[test]
fn bird_strikes_group_as_the_file_does() {
    let Some(file) = shared("birdstrikes.csv") else { return };
    let dir = temp_dir();
    import(dir.path(), "strikes", &file);
    let (headers, rows) = strikes(&file);
    let at = |name: &str| headers.iter().position(|h| h == name).unwrap();
    let (state, size, date) = (at("Origin State"), at("Wildlife Size"), at("Flight Date"));
    let (cost, speed, model) = (at("Cost Total $"), at("Speed IAS in knots"), at("Aircraft Make Model"));

    let groups = group(&rows, |r| r[size].clone(), |_| None, |_| String::new());
    let found = sql(dir.path(), r#"SELECT "Wildlife Size", count(*) FROM strikes GROUP BY 1 ORDER BY 1"#);
    let wanted: Vec<_> = groups.iter().map(|(k, g)| vec![json!(k), json!(g.rows)]).collect();
    assert_same_rows("by Wildlife Size", &found.rows, &wanted);

    let costs = group(&rows, |r| r[state].clone(), |r| r[cost].parse().ok(), |r| r[model].clone());
    let speeds = group(&rows, |r| r[state].clone(), |r| r[speed].parse().ok(), |_| String::new());
    let found = sql(
        dir.path(),
        r#"SELECT "Origin State" AS state, count(*), sum("Cost Total $"), max("Cost Total $"),
                  count("Speed IAS in knots"), avg("Speed IAS in knots"), min("Speed IAS in knots"),
                  uniq("Aircraft Make Model"), count(DISTINCT "Aircraft Make Model")
           FROM strikes GROUP BY state ORDER BY state"#,
    );
    let wanted: Vec<_> = costs
        .iter()
        .zip(speeds.values())
        .map(|((state, cost), speed)| {
            let models = json!(cost.distinct.len());
            vec![
                json!(state),
                json!(cost.rows),
                cost.sum(),
                cost.largest(),
                json!(speed.numbers.len()),
                speed.average(),
                speed.smallest(),
                models.clone(),
                models,
            ]
        })
        .collect();
    assert_same_rows("by Origin State", &found.rows, &wanted);

    let years = group(&rows, |r| r[date][..4].to_owned(), |_| None, |_| String::new());
    let found = sql(dir.path(), "SELECT year(_time), count(*) FROM strikes GROUP BY year(_time) ORDER BY 1");
    let wanted: Vec<_> =
        years.iter().map(|(y, g)| vec![json!(format!("{y}-01-01T00:00:00Z")), json!(g.rows)]).collect();
    assert_same_rows("by year", &found.rows, &wanted);

    let unknown = rows.iter().filter(|r| r[speed].is_empty()).count();
    assert!(unknown > 2_000, "the file has empty cells");
    let found = sql(dir.path(), r#"SELECT count(*) FROM strikes WHERE "Speed IAS in knots" IS NULL"#);
    assert_eq!(found.cell(), unknown);
}

#[test]
fn flights_come_in_with_time_as_a_number() {
    let Some(file) = shared("flights.ndjson.gz") else { return };
    let dir = temp_dir();
    import(dir.path(), "flights", &file);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.count("flights"), 200_000);
    for (field, kind) in [("time", "float"), ("delay", "int"), ("distance", "int")] {
        assert_eq!(server.type_of("flights", field).as_deref(), Some(kind), "{field}");
    }
    let rows = flights(&file);
    let found = server.rows("flights", "delay,distance,time");
    for (row, (delay, distance, time)) in found.iter().zip(&rows) {
        assert_eq!(row, &json!({"delay": delay, "distance": distance, "time": time}));
    }
    assert_eq!(found.len(), 10_000);
}

#[test]
fn flights_group_as_the_file_does() {
    let Some(file) = shared("flights.ndjson.gz") else { return };
    let dir = temp_dir();
    import(dir.path(), "flights", &file);
    let rows = flights(&file);
    assert_eq!(rows.len(), 200_000);

    let all = group(&rows, |_| (), |r| Some(r.0 as f64), |r| r.1.to_string());
    let times: BTreeSet<_> = rows.iter().map(|r| r.2.to_bits()).collect();
    let found = sql(
        dir.path(),
        "SELECT count(*), sum(delay), min(delay), max(delay), avg(delay), uniq(distance), uniq(time), sum(time)
         FROM flights",
    );
    let (_, all) = all.first_key_value().unwrap();
    let wanted = vec![
        json!(rows.len()),
        all.sum(),
        all.smallest(),
        all.largest(),
        all.average(),
        json!(all.distinct.len()),
        json!(times.len()),
        json!(rows.iter().map(|r| r.2).sum::<f64>()),
    ];
    assert_same_rows("all flights", &found.rows, &[wanted]);

    let buckets = group(&rows, |r| r.1 / 500, |r| Some(r.0 as f64), |r| r.1.to_string());
    let found = sql(
        dir.path(),
        "SELECT distance // 500 AS bucket, count(*), sum(delay), avg(delay), min(delay), max(delay), uniq(distance)
         FROM flights GROUP BY bucket ORDER BY bucket",
    );
    let wanted: Vec<_> = buckets
        .iter()
        .map(|(bucket, g)| {
            let distinct = json!(g.distinct.len());
            vec![json!(bucket), json!(g.rows), g.sum(), g.average(), g.smallest(), g.largest(), distinct]
        })
        .collect();
    assert_same_rows("by distance", &found.rows, &wanted);

    let late = rows.iter().filter(|r| r.0 > 60 && (500..=1000).contains(&r.1));
    let late = group(late, |r| r.1, |r| Some(r.2), |_| String::new());
    let mut wanted: Vec<_> = late.iter().filter(|(_, g)| g.rows > 20).collect();
    wanted.sort_by_key(|(distance, g)| (-g.rows, **distance));
    let wanted: Vec<_> =
        wanted.iter().take(25).map(|(d, g)| vec![json!(d), json!(g.rows), g.average()]).collect();
    assert_eq!(wanted.len(), 25, "the question has an answer");
    let found = sql(
        dir.path(),
        "SELECT distance, count(*) AS n, avg(time) FROM flights WHERE delay > 60 AND distance BETWEEN 500 AND 1000
         GROUP BY distance HAVING count(*) > 20 ORDER BY n DESC, distance LIMIT 25",
    );
    assert_same_rows("late flights", &found.rows, &wanted);
}

#[test]
fn known_vulnerabilities_are_unwrapped_and_the_import_says_so() {
    let Some(file) = shared("kev.json") else { return };
    let dir = temp_dir();
    let said = import(dir.path(), "kev", &file);
    assert_says(&said, &["vulnerabilities", "dateAdded"]);
    assert_says(&said.replace([',', '_'], ""), &["1404"]);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.count("kev"), 1_404);
    for (field, kind) in
        [("dateAdded", "time"), ("dueDate", "string"), ("cwes", "strings"), ("cveID", "string")]
    {
        assert_eq!(server.type_of("kev", field).as_deref(), Some(kind), "{field}");
    }
    let fields = "cveID,vendorProject,product,vulnerabilityName,shortDescription,requiredAction,dueDate,\
                  knownRansomwareCampaignUse,notes,cwes,_time";
    let rows = server.rows("kev", fields);
    let raw = vulnerabilities(&file);
    assert_eq!(rows.len(), raw.len());
    for (row, raw) in rows.iter().zip(&raw) {
        for (name, value) in raw.as_object().unwrap().iter().filter(|(name, _)| *name != "dateAdded") {
            assert_eq!(&row[name], value, "{name} of {}", raw["cveID"]);
        }
        let day = raw["dateAdded"].as_str().unwrap();
        assert!(row["_time"].as_str().unwrap().starts_with(day), "{row}");
    }
}

#[test]
fn known_vulnerabilities_group_as_the_file_does() {
    let Some(file) = shared("kev.json") else { return };
    let dir = temp_dir();
    import(dir.path(), "kev", &file);
    let raw = vulnerabilities(&file);
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();

    let vendors = group(&raw, |r| text(r, "vendorProject"), |_| None, |r| text(r, "product"));
    let mut wanted: Vec<_> = vendors.iter().collect();
    wanted.sort_by_key(|(vendor, g)| (-g.rows, (*vendor).clone()));
    let wanted: Vec<_> =
        wanted.iter().take(30).map(|(v, g)| vec![json!(v), json!(g.rows), json!(g.distinct.len())]).collect();
    let found = sql(
        dir.path(),
        "SELECT vendorProject, count(*) AS n, uniq(product) FROM kev GROUP BY vendorProject
         ORDER BY n DESC, vendorProject LIMIT 30",
    );
    assert_same_rows("top vendors", &found.rows, &wanted);

    let months =
        group(&raw, |r| text(r, "dateAdded")[..7].to_owned(), |_| None, |r| text(r, "vendorProject"));
    let wanted: Vec<_> = months
        .iter()
        .map(|(m, g)| vec![json!(format!("{m}-01T00:00:00Z")), json!(g.rows), json!(g.distinct.len())])
        .collect();
    let found = sql(
        dir.path(),
        "SELECT month(_time) AS m, count(*), uniq(vendorProject) FROM kev GROUP BY m ORDER BY m",
    );
    assert_same_rows("by month", &found.rows, &wanted);

    let known = raw.iter().filter(|r| r["knownRansomwareCampaignUse"] == "Known");
    let known = group(known, |r| text(r, "dueDate"), |_| None, |_| String::new());
    let wanted: Vec<_> = known.iter().rev().map(|(day, g)| vec![json!(day), json!(g.rows)]).collect();
    let found = sql(
        dir.path(),
        "SELECT dueDate, count(*) FROM kev WHERE knownRansomwareCampaignUse = 'Known' GROUP BY 1 ORDER BY 1 DESC",
    );
    assert_same_rows("ransomware by due date", &found.rows, &wanted);

    let microsoft = raw.iter().filter(|r| text(r, "vulnerabilityName").contains("Microsoft Windows")).count();
    let found =
        sql(dir.path(), "SELECT count(*) FROM kev WHERE vulnerabilityName LIKE '%Microsoft Windows%'");
    assert_eq!(found.cell(), microsoft);
}

#[test]
fn the_verb_datasets_lists_what_was_imported() {
    let Some(file) = shared("kev.json") else { return };
    let dir = temp_dir();
    import(dir.path(), "kev", &file);
    let listed = run(dir.path(), &["datasets"]).exits(0).stdout;
    assert_says(&listed.replace([',', '_'], ""), &["kev", "1404"]);
    let listed = run(dir.path(), &["--json", "datasets"]).exits(0).stdout;
    let json: Value = serde_json::from_str(&listed).unwrap_or_else(|e| panic!("{e} in {listed}"));
    assert_says(&json.to_string(), &["\"kev\"", "1404"]);
}

#[test]
fn an_import_ends_sealed_checkpointed_and_without_free_pages() {
    let dir = temp_dir();
    let file = dir.path().join("a.ndjson");
    for round in 0..3 {
        let lines: String = (0..30_000)
            .map(|n| json!({"n": n, "round": round, "text": format!("text {n}")}).to_string() + "\n")
            .collect();
        std::fs::write(&file, lines).unwrap();
        import(dir.path(), "events", &file);
        std::fs::remove_file(&file).unwrap();
    }
    let wal = dir.path().join("windrow.db-wal");
    assert_eq!(wal.metadata().map_or(0, |wal| wal.len()), 0, "nothing is left in the WAL");
    let sqlite = rusqlite::Connection::open(common::database(dir.path())).unwrap();
    let number = |sql: &str| sqlite.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(*) FROM log"), 0);
    assert_eq!(number("PRAGMA freelist_count"), 0);
    assert_eq!(number("SELECT count(*) FROM segment"), 1, "small neighbours are merged");
    assert_eq!(number("SELECT sum(rows) FROM segment"), 90_000);
}
