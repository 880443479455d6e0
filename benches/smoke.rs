//! A short benchmark of the whole path inside one process: decode, commit, query, page. `.ci/run` runs it with
//! `--quick`; its figures are for comparing two builds on one machine, in one run.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::time::Instant;

use windrow::ingest::accept::{accept, decode_json};
use windrow::ingest::destination::Patient;
use windrow::ingest::rules::Rules;
use windrow::query::page::{PageRequest, page};
use windrow::query::{parse, run};
use windrow::store::{Store, StoreOptions};

const BATCH: usize = 1_000;

const QUESTIONS: [&str; 7] = [
    "SELECT count(*) FROM events",
    "SELECT count(*), sum(value) FROM events WHERE country='DE' AND device='desktop' AND name='click'",
    "SELECT date_trunc('day', ts) d, count(*), count(DISTINCT user_id) FROM events GROUP BY d ORDER BY d",
    "SELECT country, name, count(*), avg(duration_ms) FROM events GROUP BY country, name",
    "SELECT path, count(*) c FROM events WHERE project='proj_01' GROUP BY path ORDER BY c DESC, path LIMIT 10",
    "SELECT user_id, count(*) c, sum(duration_ms) FROM events GROUP BY user_id ORDER BY c DESC, user_id LIMIT 100",
    "SELECT date_trunc('day', ts) d, count(*) FROM events WHERE path LIKE '%guide-4%' GROUP BY d ORDER BY d",
];

/// One event of about 300 bytes, the same for the same number.
fn event(n: u64) -> String {
    let mix = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    format!(
        r#"{{"ts":"2026-01-{:02}T{:02}:{:02}:{:02}.{:03}Z","project":"proj_{:02}","name":"{}","path":"/docs/{}/guide-{}","referrer":"https://r{}.example/","country":"{}","browser":"Chrome","os":"Linux","device":"desktop","user_id":{},"session_id":{},"duration_ms":{},"value":{}.25,"props":{{"plan":"pro","ver":"1.{}.0"}}}}"#,
        1 + n / 40_000 % 28,
        n / 1_700 % 24,
        n / 29 % 60,
        n % 60,
        n % 1_000,
        mix % 20,
        ["pageview", "click", "scroll", "purchase"][(mix % 4) as usize],
        mix % 400,
        mix % 50,
        mix % 300,
        ["DE", "US", "FR", "IN", "BR"][(mix % 5) as usize],
        mix % 50_000,
        mix % 200_000,
        mix % 5_000,
        mix % 90,
        mix % 7,
    )
}

fn timed<T>(name: &str, work: f64, unit: &str, action: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = action();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name:44} {:10.2} ms {:14.0} {unit}/s", seconds * 1e3, work / seconds);
    done
}

/// The questions, and the first page.
fn ask(store: &Store, work: f64) {
    let snapshot = store.snapshot();
    for sql in QUESTIONS {
        let query = parse::sql(sql, &[]).expect("parses");
        timed(&sql[..sql.len().min(44)], work, "rows", || run(&snapshot, &query).expect("answers"));
    }
    let request = PageRequest { dataset: "events".into(), limit: Some(100), ..PageRequest::default() };
    timed("a page of 100", 100.0, "rows", || page(&snapshot, store.secret(), &request).expect("a page"));
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let rows: u64 = if quick { 50_000 } else { 1_000_000 };
    let bodies: Vec<Vec<u8>> = (0..rows)
        .step_by(BATCH)
        .map(|start| (start..start + BATCH as u64).map(|n| event(n) + "\n").collect::<String>().into_bytes())
        .collect();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let path = folder.path().join("smoke.db");
    let store = Store::open(&path, StoreOptions::default()).expect("opens");
    let work = rows as f64;

    let rules = Rules::of(&store.snapshot(), "events");
    let blocks = timed("decode JSON", work, "events", || {
        bodies.iter().map(|body| decode_json(body, &rules).expect("decodes").block).collect::<Vec<_>>()
    });
    let stored = timed("encode blocks", work, "events", || {
        blocks.iter().map(|block| block.encode().expect("encodes")).collect::<Vec<_>>()
    });
    println!(
        "{:44} {:10.1} bytes an event",
        "stored",
        stored.iter().map(Vec::len).sum::<usize>() as f64 / work
    );
    timed("decode blocks", work, "events", || {
        stored.iter().for_each(|bytes| drop(windrow::columnar::Block::decode(bytes).expect("decodes")));
    });
    timed("accept and commit, one client", work, "events", || {
        for body in &bodies {
            accept(
                &Patient { store: &store, dataset: "events", reach: std::sync::Arc::default() },
                |rules| decode_json(body, rules),
            )
            .expect("accepts");
        }
    });
    println!("the tail:");
    ask(&store, work);
    timed("seal", work, "events", || store.upkeep().optimize().expect("seals"));
    let sealed = store.snapshot();
    let segments = &sealed.whole_dataset("events").expect("there").segments;
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    println!("{:44} {:10.1} bytes an event", "stored in segments", bytes as f64 / work);
    println!("segments, read from the file:");
    ask(&store, work);
    println!("segments, columns in memory:");
    ask(&store, work);
    drop(sealed);
    drop(store);
    timed("open again", work, "rows", || Store::open(&path, StoreOptions::default()).expect("opens"));
}
