//! A dashboard that is looked at while events come in: forty questions a second about millions of events, for a minute. Told
//! are how long they take, how many rows were not looked at because what they come to was kept, and whether every answer
//! of a sample is that of a question without a cache, asked of the same snapshot. Half way the process begins anew, with
//! what it had left on the disk.
//!
//! `cargo bench --bench replay [-- ROWS SECONDS]`, 10,000,000 and 60 unless said; `-- --quick` for a look.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has nothing to say")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use windrow::CacheOptions;
use windrow::cache::Cache;
use windrow::columnar::column::{Column, Data};
use windrow::columnar::narrow::{Ints, Narrow};
use windrow::columnar::text::{Dictionary, Texts};
use windrow::columnar::{Block, TIME};
use windrow::query::budget::Limits;
use windrow::query::{self, parse};
use windrow::store::writer::{Batch, DecodedUnder};
use windrow::store::{Store, StoreOptions};

const DAY_US: i64 = 86_400_000_000;
/// Days that the events before the replay lie in.
const DAYS: i64 = 60;
/// Events a second while questions are asked, and how many of them come at once.
const RATE: usize = 5_000;
const ARRIVE_TOGETHER: usize = 250;
/// Questions a second.
const QUESTIONS: usize = 40;
/// One answer of so many is compared with that of a question without a cache.
const COMPARED: usize = 7;

/// Numbers that look drawn, the same in every run.
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Small numbers far more often than large ones, as with pages and referrers.
    fn skewed(&mut self, bound: u64) -> u64 {
        let (a, b) = (self.below(bound), self.below(bound));
        a * b / bound
    }
}

fn texts(names: &str, count: u64, drawn: &mut Drawn, rows: usize) -> Arc<Column> {
    let all: Vec<String> = (0..count).map(|n| format!("{names}{n:05}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let (dictionary, _) = Dictionary::sorted(&all);
    let codes = Narrow::collect(count - 1, (0..rows).map(|_| drawn.skewed(count)));
    Arc::new(Column {
        rows,
        validity: None,
        data: Data::Text(Texts { codes, dictionary: Arc::new(dictionary) }),
    })
}

fn ints(values: Vec<i64>) -> Arc<Column> {
    Arc::new(Column { rows: values.len(), validity: None, data: Data::Int(Ints::from_values(&values)) })
}

/// Views of pages from one instant to another.
fn views(drawn: &mut Drawn, rows: usize, from_us: i64, to_us: i64) -> Block {
    let step = (to_us - from_us).max(1) as u64;
    let mut times: Vec<i64> = (0..rows).map(|_| from_us + drawn.below(step) as i64).collect();
    times.sort_unstable();
    let visitors = (0..rows).map(|_| drawn.below(500_000) as i64).collect();
    let durations = (0..rows).map(|_| (drawn.skewed(1_800) * 100) as i64).collect();
    let prices: Vec<f64> = (0..rows).map(|_| drawn.below(20_000) as f64 / 100.0).collect();
    let columns = [
        (TIME, Arc::new(Column::times(&times))),
        ("site", texts("site-", 8, drawn, rows)),
        ("path", texts("/page/", 2_000, drawn, rows)),
        ("referrer", texts("https://ref", 300, drawn, rows)),
        ("country", texts("c", 60, drawn, rows)),
        ("device", texts("device-", 4, drawn, rows)),
        ("browser", texts("browser-", 9, drawn, rows)),
        ("visitor", ints(visitors)),
        ("duration_ms", ints(durations)),
        (
            "price",
            Arc::new(Column { rows, validity: None, data: Data::Float { values: prices, whole: None } }),
        ),
    ];
    Block::new(rows, columns.into_iter().map(|(name, column)| (name.into(), column)).collect())
}

fn append(store: &Store, block: Block) {
    let snapshot = store.snapshot();
    let version = snapshot.datasets.get("views").map_or(0, |dataset| dataset.rules_version);
    let new_fields = block.columns().map(|(name, _)| Arc::clone(name)).collect();
    let rules = DecodedUnder { version, new_fields, ..DecodedUnder::default() };
    store.append_patiently(Batch { dataset: "views".into(), block, rules }).expect("appends");
}

/// What a dashboard asks: series, totals beside those of the period before, lists of the most frequent, some of one site.
fn questions() -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |parts: String| all.push(format!("{{\"from\": \"views\", {parts}}}"));
    for (range, bucket) in [("24h", "hour"), ("7d", "hour"), ("30d", "day")] {
        let range = format!("\"range\": {{\"last\": \"{range}\"}}");
        add(format!("\"by\": [\"{bucket}(_time)\"], \"select\": [\"count()\"], \"fill\": true, {range}"));
        add(format!(
            "\"by\": [\"{bucket}(_time)\"], \"select\": [\"uniq(visitor)\", \"avg(duration_ms)\"], {range}"
        ));
        add(format!("\"select\": [\"count()\", \"sum(price)\"], \"compare\": \"previous\", {range}"));
        add(format!("\"select\": [\"uniq(visitor)\"], {range}"));
        for field in ["path", "referrer", "country", "device", "browser"] {
            let most = "\"order\": [\"-count()\"], \"limit\": 10";
            add(format!("\"by\": [\"{field}\"], \"select\": [\"count()\"], {most}, {range}"));
        }
        add(format!("\"by\": [\"device\"], \"select\": [\"p95(duration_ms)\", \"sum(price)\"], {range}"));
        let of_one = "\"where\": \"site = 'site-00003'\"";
        add(format!(
            "\"by\": [\"{bucket}(_time)\"], \"select\": [\"count()\", \"sum(price)\"], {of_one}, {range}"
        ));
        add(format!(
            "\"by\": [\"path\"], \"select\": [\"count()\"], \"order\": [\"-count()\"], \"limit\": 10, {of_one}, {range}"
        ));
        add(format!(
            "\"by\": [\"country\", \"device\"], \"select\": [\"count()\", \"max(duration_ms)\"], {of_one}, {range}"
        ));
    }
    add("\"select\": [\"count()\", \"min(_time)\", \"max(_time)\"]".to_owned());
    assert_eq!(all.len(), QUESTIONS);
    all
}

/// What was seen of a part of the replay.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    rows_scanned: u64,
    compared: usize,
    /// By question, how long it took in all and how many rows it looked at.
    by_question: Vec<(Duration, u64)>,
}

impl Seen {
    /// The questions that took the longest, with the rows that they looked at each time.
    fn tell_slowest(&self) {
        let (texts, times) = (questions(), (self.took.len() / QUESTIONS).max(1));
        let mut all: Vec<(usize, &(Duration, u64))> = self.by_question.iter().enumerate().collect();
        all.sort_by_key(|(_, (took, _))| std::cmp::Reverse(*took));
        for (question, (took, rows)) in all.into_iter().take(5) {
            let mean_ms = took.as_secs_f64() * 1e3 / times as f64;
            println!("{:>12.2} ms, {} rows: {}", mean_ms, rows / times as u64, texts[question]);
        }
    }

    fn tell(&mut self, name: &str, rows_kept: u64) {
        self.took.sort_unstable();
        let at = |part: f64| self.took[((self.took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        let all = (rows_kept + self.rows_scanned).max(1);
        println!(
            "{name:<34} {:>5} questions, p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms; {:.2}% of the rows not looked at; {} compared",
            self.took.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            rows_kept as f64 * 100.0 / all as f64,
            self.compared
        );
    }
}

/// Asks all questions once a second, spread over it, until the time is over.
fn refresh(store: &Store, cache: Option<&Arc<Cache>>, seconds: u64, number: &mut usize) -> Seen {
    let (texts, mut seen) = (questions(), Seen::default());
    seen.by_question = vec![(Duration::ZERO, 0); QUESTIONS];
    let begin = Instant::now();
    let wait = Duration::from_secs(1) / QUESTIONS as u32;
    for turn in 0..seconds as usize * QUESTIONS {
        if let Some(early) = (wait * turn as u32).checked_sub(begin.elapsed()) {
            std::thread::sleep(early);
        }
        let (snapshot, now) = (store.snapshot(), windrow::time::now());
        let text = &texts[turn % QUESTIONS];
        let ask = |cache: Option<&Arc<Cache>>| {
            let limits = Limits { cache: cache.cloned(), ..Limits::default() };
            let statement = parse::question(text.as_bytes(), now).expect("reads").within(limits);
            query::answer(&snapshot, &statement).expect("answers")
        };
        let asked = Instant::now();
        let answer = ask(cache);
        let took = asked.elapsed();
        seen.took.push(took);
        seen.by_question[turn % QUESTIONS].0 += took;
        seen.by_question[turn % QUESTIONS].1 += answer.stats.rows_scanned;
        seen.rows_scanned += answer.stats.rows_scanned;
        *number += 1;
        if cache.is_some() && (*number).is_multiple_of(COMPARED) {
            assert_eq!(format!("{:?}", answer.rows), format!("{:?}", ask(None).rows), "{text}");
            seen.compared += 1;
        }
    }
    seen
}

/// Events come in while `work` goes on.
fn while_events_come<T>(store: &Store, drawn: &mut Drawn, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (begin, mut sent) = (Instant::now(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let due = (begin.elapsed().as_secs_f64() * RATE as f64) as usize;
                if due < sent + ARRIVE_TOGETHER {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                }
                let now = windrow::time::now();
                append(store, views(drawn, ARRIVE_TOGETHER, now - 50_000, now));
                sent += ARRIVE_TOGETHER;
            }
            let rate = sent as f64 / begin.elapsed().as_secs_f64();
            println!("{:<34} {rate:.0} events a second came in", "");
        });
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

fn open(path: &Path) -> (Store, Arc<Cache>) {
    let store = Store::open(path, StoreOptions::default()).expect("opens");
    (store, Cache::open(CacheOptions::beside(path)))
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(if is_quick { 500_000 } else { 10_000_000 });
    let seconds = numbers.get(1).copied().unwrap_or(if is_quick { 4 } else { 60 }) as u64;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replay.db");
    let mut drawn = Drawn(7);
    let (store, cache) = open(&path);
    let (begin, now) = (Instant::now(), windrow::time::now());
    const BATCH: usize = 50_000;
    let batches = rows.div_ceil(BATCH) as i64;
    let span = DAYS * DAY_US / batches.max(1);
    for batch in 0..batches {
        let from = now - DAYS * DAY_US + batch * span;
        append(&store, views(&mut drawn, BATCH.min(rows), from, from + span));
    }
    let id = store.snapshot().whole_dataset("views").expect("is there").id;
    store.upkeep().settle(id).expect("seals");
    println!("{rows} events of {DAYS} days in {:.1} s", begin.elapsed().as_secs_f64());

    let mut number = 0;
    let mut plain =
        while_events_come(&store, &mut drawn, || refresh(&store, None, seconds.min(10), &mut number));
    plain.tell("without a cache", 0);
    let half = seconds / 2;
    let mut first = while_events_come(&store, &mut drawn, || refresh(&store, Some(&cache), 2, &mut number));
    let kept = cache.report().rows_saved;
    first.tell("the first two seconds with it", kept);
    let mut seen = while_events_come(&store, &mut drawn, || refresh(&store, Some(&cache), half, &mut number));
    let report = cache.report();
    seen.tell("from then on", report.rows_saved - kept);
    seen.tell_slowest();
    println!("{:<34} {} entries, {} MB in memory", "", report.memory.entries, report.memory.bytes >> 20);

    cache.close();
    store.close();
    drop((cache, store));
    for (what, keeps_file) in [("after a restart with the file", true), ("after a restart without it", false)]
    {
        if !keeps_file {
            windrow::cache::disk::remove(&windrow::cache::disk::beside(&path)).expect("removes");
        }
        let (store, cache) = open(&path);
        let mut first =
            while_events_come(&store, &mut drawn, || refresh(&store, Some(&cache), 2, &mut number));
        let kept = cache.report().rows_saved;
        first.tell(&format!("{what}, 2 s"), kept);
        if keeps_file {
            let mut seen =
                while_events_come(&store, &mut drawn, || refresh(&store, Some(&cache), half, &mut number));
            seen.tell("from then on", cache.report().rows_saved - kept);
        }
        cache.close();
        store.close();
    }
}
