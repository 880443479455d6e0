//! Records by the million: how fast they are put, paged, filtered, searched and aggregated, within the process.
//! `cargo bench --bench records [-- ROWS [PAGE_BYTES…]]`; each page size has a file of its own, of all but the last only
//! what is put is measured. `WINDROW_DURABILITY=normal` as for the server.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use windrow::store::open::Durability;
use windrow::{Engine, PageRequest, PutOptions, SearchRequest, StoreOptions};

const CHUNK: usize = 1_000;

/// Numbers that look drawn, the same in every run.
struct Drawn(u64);

impl Drawn {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(1_000_000);
    let sizes = if numbers.len() > 1 { numbers[1..].to_vec() } else { vec![8_192] };
    let is_normal = std::env::var("WINDROW_DURABILITY").is_ok_and(|durability| durability == "normal");
    let durability = if is_normal { Durability::Normal } else { Durability::Full };
    let options = StoreOptions { durability, ..StoreOptions::default() };
    let last = sizes.len() - 1;
    for (at, page_bytes) in sizes.into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("records.db");
        make(&path, page_bytes);
        let engine = Engine::open_with(&path, options).expect("opens");
        println!("{rows} records, pages of {page_bytes} bytes");
        puts(&engine, rows);
        if at == last {
            pages(&engine, rows);
            questions(&engine);
            searches(&engine, rows);
        }
        let size = path.metadata().map_or(0, |file| file.len());
        println!("  file {} MB", size >> 20);
    }
}

/// A file with pages of this size, which the engine takes for its own.
fn make(path: &Path, page_bytes: usize) {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let application = 0x574e_4452;
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = {page_bytes}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {application}; VACUUM;"
        ))
        .expect("is made");
}

fn record(number: usize, drawn: &mut Drawn, version: usize, in_order: bool) -> String {
    let id = if in_order { number as u64 } else { (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16 };
    let (kind, owner, amount) = (drawn.next() % 12, drawn.next() % 1_000, drawn.next() % 100_000);
    let day = drawn.next() % 700;
    format!(
        r#"{{"id":"r{id:012x}","kind":"kind-{kind}","owner":"owner-{owner}","amount":{amount},"added":{},"state":"state-{version}","title":"record {number} of owner {owner}"}}"#,
        1_700_000_000 + day * 86_400
    )
}

fn chunks(rows: usize, version: usize, in_order: bool) -> Vec<String> {
    let mut drawn = Drawn(7);
    let chunk = |begin: usize, drawn: &mut Drawn| {
        (begin..rows.min(begin + CHUNK))
            .map(|n| record(n, drawn, version, in_order) + "\n")
            .collect::<String>()
    };
    (0..rows).step_by(CHUNK).map(|begin| chunk(begin, &mut drawn)).collect()
}

const FIELDS: &str = r#""id": {"type": "string"}, "kind": {"type": "string", "required": true},
    "owner": {"type": "string", "required": true}, "amount": {"type": "int", "required": true},
    "added": {"type": "time", "required": true}, "state": {"type": "string"}, "title": {"type": "string"}"#;

fn declare(engine: &Engine, name: &str, more: &str) {
    let json = format!(r#"{{"kind": "records", "key": "id", "time": null, "fields": {{{FIELDS}}}{more}}}"#);
    engine.declare(name, json).expect("declares");
}

fn rate(rows: usize, took: Duration) -> String {
    format!("{:>9.0} a second", rows as f64 / took.as_secs_f64())
}

fn puts(engine: &Engine, rows: usize) {
    declare(engine, "plain", "");
    declare(engine, "kinds", r#", "indexes": [{"fields": "kind"}]"#);
    declare(engine, "drawn", r#", "indexes": [{"fields": "owner"}]"#);
    declare(engine, "things", r#", "indexes": [{"fields": "owner"}]"#);
    let (new, drawn) = (chunks(rows, 1, true), chunks(rows / 5, 1, false));
    let changed = chunks(rows / 5, 2, true);
    for (what, name, chunks) in [
        ("put, without a second index", "plain", &new),
        ("put, one index of 12 values", "kinds", &new),
        ("put, one index of 1,000 values", "things", &new),
        ("the same, keys in no order, a fifth", "drawn", &drawn),
        ("a fifth again, one field changed", "things", &changed),
        ("a fifth again as they are", "things", &changed),
    ] {
        let begin = Instant::now();
        for chunk in chunks {
            let put = engine.put(name, chunk, PutOptions::default()).expect("puts");
            assert!(put.rejected.is_empty());
        }
        println!("  {what:<36} {}", rate(chunks.len() * CHUNK, begin.elapsed()));
    }
    for field in ["kind", "owner"] {
        let name = format!("by_{field}");
        declare(engine, &name, &format!(r#", "indexes": [{{"fields": "{field}"}}]"#));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (name, own) = (&name, new.iter().skip(client).step_by(4));
                scope.spawn(move || {
                    for chunk in own {
                        engine.put(name, chunk, PutOptions::default()).expect("puts");
                    }
                });
            }
        });
        println!(
            "  {:<36} {}",
            format!("put by four clients, index of {field}"),
            rate(rows, begin.elapsed())
        );
    }
}

/// What took the middle one, and 99 of 100.
fn middle(mut took: Vec<Duration>) -> (Duration, Duration) {
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

fn shown(what: &str, took: Vec<Duration>) {
    let (half, most) = middle(took);
    println!("  {what:<36} {half:>10.3?} p50 {most:>10.3?} p99");
}

fn timed<T>(times: usize, mut work: impl FnMut(usize) -> T) -> Vec<Duration> {
    let once = |at: usize, work: &mut dyn FnMut(usize) -> T| {
        let begin = Instant::now();
        black_box(work(at));
        begin.elapsed()
    };
    (0..times).map(|at| once(at, &mut work)).collect()
}

fn pages(engine: &Engine, rows: usize) {
    declare(
        engine,
        "things",
        r#", "indexes": [{"fields": "owner"}, {"fields": ["kind", "amount"]}, {"fields": "-added"}]"#,
    );
    for order in ["-added", "owner", "kind,amount"] {
        let mut request = PageRequest {
            dataset: "things".into(),
            order: Some(order.into()),
            fields: Some(vec!["id".into(), "owner".into(), "amount".into()]),
            ..PageRequest::default()
        };
        let mut took = Vec::new();
        let mut seen = 0;
        loop {
            let begin = Instant::now();
            let page = engine.rows(&request).expect("a page");
            took.push(begin.elapsed());
            seen += page.rows.len();
            match page.next {
                None => break,
                next => request.cursor = next,
            }
        }
        assert_eq!(seen, rows);
        shown(&format!("page of 100 by {order}, all depths"), took);
    }
    let request = |page: usize| PageRequest {
        dataset: "things".into(),
        order: Some("-added".into()),
        fields: Some(vec!["id".into(), "owner".into(), "amount".into()]),
        page: Some(page),
        ..PageRequest::default()
    };
    let last = (rows / 100).min(10_000);
    shown(
        &format!("offset page {last} by -added"),
        timed(10, |_| engine.rows(&request(last)).expect("a page")),
    );
}

fn questions(engine: &Engine) {
    let ask = |what: &str, sql: &str| {
        let took = timed(20, |_| engine.sql(sql, &[]).expect("answers"));
        shown(what, took);
    };
    ask(
        "filter by a covering index",
        "SELECT kind, amount FROM things WHERE kind = 'kind-3' AND amount BETWEEN 500 AND 600 LIMIT 100",
    );
    ask("count by a covering index", "SELECT count(*) FROM things WHERE kind = 'kind-3' AND amount < 100");
    ask(
        "by owner and state, one owner",
        "SELECT state, count(*) FROM things WHERE owner = 'owner-77' GROUP BY state",
    );
    ask("aggregate by kind, covering", "SELECT kind, count(*), sum(amount) FROM things GROUP BY kind");
    ask("count by kind, covering", "SELECT kind, count(*) FROM things GROUP BY kind");
    ask("aggregate by state, no index", "SELECT state, count(*), sum(amount) FROM things GROUP BY state");
    ask(
        "aggregate by day, no index",
        "SELECT day(added), count(*), avg(amount) FROM things GROUP BY day(added)",
    );
}

fn searches(engine: &Engine, rows: usize) {
    let json = r#"{"kind": "records", "key": "id", "search": ["title^3", "body"],
        "fields": {"id": {"type": "int"}, "title": {"type": "string"}, "body": {"type": "string", "lazy": true}}}"#;
    engine.declare("texts", json).expect("declares");
    let mut drawn = Drawn(11);
    // the words at the beginning of the list come often, as in a language
    let mut word = || {
        let at = (drawn.next() % 1_000) * (drawn.next() % 1_000) / 25;
        format!("w{at}")
    };
    let mut text = |words: usize| (0..words).map(|_| word()).collect::<Vec<_>>().join(" ");
    let mut took = Duration::ZERO;
    for begin in (0..rows).step_by(CHUNK) {
        let line = |id: usize, text: &mut dyn FnMut(usize) -> String| {
            format!("{{\"id\":{id},\"title\":\"{}\",\"body\":\"{}\"}}\n", text(5), text(25))
        };
        let chunk: String = (begin..rows.min(begin + CHUNK)).map(|id| line(id, &mut text)).collect();
        let begin = Instant::now();
        engine.put("texts", chunk, PutOptions::default()).expect("puts");
        took += begin.elapsed();
    }
    println!("  {:<36} {}", "put with words of 30 in the index", rate(rows, took));
    for asked in ["w20000", "w9000", "w3000", "w3000 w9000", "w300", "\"w300 w900\"", "w2000*", "w3oo00"] {
        let request = SearchRequest {
            dataset: "texts".into(),
            text: asked.into(),
            limit: Some(10),
            ..SearchRequest::default()
        };
        let total = engine.search(&SearchRequest { count: true, ..request.clone() }).expect("finds").total;
        shown(
            &format!("search {asked}: {}", total.unwrap_or(0)),
            timed(10, |_| engine.search(&request).expect("finds")),
        );
    }
}
