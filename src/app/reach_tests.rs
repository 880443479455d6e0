//! Tenants in one file: what a bound engine reads is what a file of its own rows gives, by every way there is, and what it
//! writes changes nothing of others. Questions are in `query/differential/reach`; here are records with indexes, relations
//! and search, and every way to write.

use std::sync::Arc;
use std::time::Duration;

use crate::app::engine::Engine;
use crate::cache::CacheOptions;
use crate::cache::class::Classes;
use crate::error::Error;
use crate::query::budget::Limits;
use crate::query::page::PageRequest;
use crate::query::reach::Reach;
use crate::records::put::PutOptions;
use crate::records::search::SearchRequest;
use crate::records::{change, one};
use crate::store::keyed::write::Mode;
use crate::value::Value;

/// In every text of the other tenant.
const MARKER: &str = "zebra";
const WORDS: [&str; 8] = ["token", "form", "session", "cookie", "header", "login", "query", "index"];

const SEARCHES: [&str; 10] = [
    "token",
    "tok*",
    "tokem",
    MARKER,
    "zebar",
    "zeb*",
    "form OR zebra",
    "login -cookie",
    "\"session form\"",
    "nothing",
];

/// A row of numbers, the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
    }
}

fn bound_to(tenant: &str) -> Reach {
    Reach::new(&[], Some(&format!("tenant = '{tenant}'"))).unwrap()
}

struct House {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let options =
        CacheOptions { memory_bytes: 4 << 20, disk_bytes: 0, file: None, classes: Classes::default() };
    let engine = Engine::open(folder.path().join("a.db")).unwrap().with_cache(options);
    // a slow machine is none of this
    let engine = engine.with_limits(Limits { deadline: Duration::from_secs(600), ..Limits::default() });
    House { engine, _folder: folder }
}

impl House {
    fn of(&self, tenant: &str) -> Engine {
        self.engine.clone().with_reach(bound_to(tenant))
    }

    /// Pages that tell of authors, events that are searched, and two tenants in all of them.
    fn filled(self, seed: u64) -> Self {
        let random = &mut Random(seed);
        let engine = &self.engine;
        let fields = r#""id": {"type": "string"}, "tenant": {"type": "string"}, "author": {"type": "string"},
            "title": {"type": "string"}, "size": {"type": "int"}, "body": {"type": "string", "lazy": true}"#;
        engine
            .declare(
                "authors",
                r#"{"kind": "records", "key": "name", "fields": {"name": {"type": "string"}, "tenant": {"type": "string"}},
                    "relations": {"pages": {"many": "pages", "by": "author"}}}"#,
            )
            .unwrap();
        let declared = format!(
            r#"{{"kind": "records", "key": "id", "fields": {{{fields}}}, "search": ["title^3", "body"],
                "indexes": [{{"fields": ["tenant", "size"]}}, {{"fields": ["-size"]}}],
                "relations": {{"author_of": {{"one": "authors", "by": "author"}}}}}}"#
        );
        engine.declare("pages", declared).unwrap();
        engine.declare("notes", r#"{"search": ["text"], "fields": {"tenant": {"type": "string"}}}"#).unwrap();
        for n in 0..60 {
            let tenant = ["a", "b", "a", "b", "c"][random.below(5)];
            let mark = if tenant == "a" { "" } else { MARKER };
            let (title, body) = (random.words(3), random.words(8));
            let (author, size) = (random.below(6), random.below(20));
            let page = format!(
                r#"{{"id": "{tenant}{n}", "tenant": "{tenant}", "author": "{mark}{author}", "title": "{title} {mark}", "size": {size},
                    "body": "{body} {mark}", "_time": "2026-03-02T00:00:{n:02}Z"}}"#
            );
            engine.put("pages", page, PutOptions::default()).unwrap();
            let note = format!(
                r#"{{"tenant": "{tenant}", "text": "{} {mark}", "kind": "{mark}k{}", "n": {n}, "_time": "2026-03-01T00:00:{n:02}Z"}}"#,
                random.words(4),
                random.below(3)
            );
            engine.ingest("notes", note).unwrap();
        }
        for n in 0..6 {
            let authors = format!(
                r#"[{{"name": "{n}", "tenant": "{}", "_time": "2026-03-03T00:00:0{n}Z"}}, {{"name": "{MARKER}{n}", "tenant": "b"}}]"#,
                if n % 2 == 0 { "a" } else { "b" }
            );
            engine.put("authors", authors, PutOptions::default()).unwrap();
        }
        self
    }

    /// The same with the rows of one tenant alone, which keep their numbers.
    fn of_a_alone(self) -> Self {
        for name in ["pages", "authors"] {
            self.engine.delete_records(name, "tenant IS DISTINCT FROM 'a'").unwrap();
        }
        self.engine.erase("notes", "tenant IS DISTINCT FROM 'a'").unwrap();
        self
    }
}

/// What someone who reads gets to see, by every way but questions.
fn seen(engine: &Engine, random: &mut Random, is_by_index: bool) -> Vec<String> {
    let mut seen = Vec::new();
    let mut tell = |what: &str, told: String| seen.push(format!("{what}: {told}"));
    for text in SEARCHES {
        for dataset in ["pages", "notes"] {
            for by_rank in [true, false] {
                // an index ranks by other numbers than looking through does
                if is_by_index && by_rank && dataset == "pages" {
                    continue;
                }
                let mut request = SearchRequest {
                    dataset: dataset.into(),
                    text: text.into(),
                    by_rank: Some(by_rank),
                    facets: vec![
                        "tenant".into(),
                        if dataset == "pages" { "size".into() } else { "kind".into() },
                    ],
                    limit: Some(3 + random.below(6)),
                    count: true,
                    filter: (random.below(2) == 0).then(|| "tenant <> 'x' OR tenant IS NULL".into()),
                    ..SearchRequest::default()
                };
                for _ in 0..4 {
                    let found = engine.search(&request).unwrap();
                    let rest = found.next.is_some();
                    tell(
                        text,
                        format!(
                            "{:?} {:?} {:?} {:?} {rest}",
                            found.rows, found.facets, found.total, found.told
                        ),
                    );
                    match found.next {
                        Some(next) => request.cursor = Some(next),
                        None => break,
                    }
                }
            }
        }
    }
    for (dataset, include) in [("pages", "author_of"), ("authors", "pages"), ("pages", "author_of.pages")] {
        let request = PageRequest { dataset: dataset.into(), count: true, ..PageRequest::default() };
        let page = engine.rows_with(&request, include).unwrap();
        tell(include, format!("{:?} {:?}", page.rows, page.total));
    }
    let limits = engine.limits();
    for n in 0..60 {
        for tenant in ["a", "b", "c"] {
            let key = format!("{tenant}{n}");
            let got = one::get(&engine.store.snapshot(), "pages", &key, None, &limits);
            tell(&key, got.map_or_else(|error| error.to_string(), |row| format!("{row:?}")));
        }
    }
    for dataset in engine.datasets().unwrap() {
        let range = dataset.time_range.map(|range| (range.from, range.to));
        tell(&dataset.name, format!("{} {range:?}", dataset.rows));
    }
    seen
}

#[test]
fn who_is_bound_sees_what_a_file_of_his_own_rows_shows() {
    for seed in 1..=2 {
        let (all, alone) = (house().filled(seed), house().filled(seed).of_a_alone());
        let bound = all.of("a");
        // what others asked is kept by now
        seen(&all.engine, &mut Random(seed), false);
        seen(&all.of("b"), &mut Random(seed), false);
        for _ in 0..2 {
            let found = seen(&bound, &mut Random(seed), false);
            let wanted = seen(&alone.of("a"), &mut Random(seed), false);
            found.iter().zip(&wanted).for_each(|(found, wanted)| assert_eq!(found, wanted, "seed {seed}"));
            let marked = found.iter().find(|told| {
                told.split_once(": ")
                    .is_some_and(|(asked, told)| told.contains(MARKER) && !asked.contains("zeb"))
            });
            assert_eq!(marked, None, "seed {seed}");
        }
        // and without any binding there, but for the scores of an index
        let (found, wanted) =
            (seen(&bound, &mut Random(seed), true), seen(&alone.engine, &mut Random(seed), true));
        found.iter().zip(&wanted).for_each(|(found, wanted)| assert_eq!(found, wanted, "seed {seed}"));
    }
}

#[test]
fn a_search_corrects_by_words_within_reach_alone() {
    let house = house().filled(5);
    let search = |engine: &Engine, dataset: &str, text: &str| {
        let request =
            SearchRequest { dataset: dataset.into(), text: text.into(), ..SearchRequest::default() };
        engine.search(&request).unwrap()
    };
    for dataset in ["pages", "notes"] {
        assert!(search(&house.engine, dataset, "zebar").told.corrected.contains_key("zebar"));
        let found = search(&house.of("a"), dataset, "zebar");
        assert!(found.told.corrected.is_empty() && found.rows.is_empty(), "{dataset}: {:?}", found.told);
        assert!(search(&house.of("a"), dataset, "sesion").told.corrected.contains_key("sesion"));
    }
    // no score tells how many records of others have a word
    let score = |engine: &Engine| {
        let found = search(engine, "pages", "cookie OR header");
        found
            .rows
            .iter()
            .map(|row| format!("{:?}", row.iter().find(|(name, _)| **name == *"_score")))
            .collect::<Vec<_>>()
    };
    let before = score(&house.of("a"));
    for n in 0..50 {
        let other =
            format!(r#"{{"id": "b-{n}", "tenant": "b", "title": "cookie cookie", "body": "cookie"}}"#);
        house.engine.put("pages", other, PutOptions::default()).unwrap();
    }
    assert_eq!(before, score(&house.of("a")));
}

fn told(error: &Error) -> String {
    error.to_string()
}

/// All records, as one who is bound to nothing sees them.
fn all_pages(engine: &Engine) -> String {
    let text =
        "SELECT id, tenant, author, title, size, body, _version FROM pages WHERE tenant <> 'a' ORDER BY id";
    format!("{:?}", engine.sql(text, &[]).unwrap().rows)
}

#[test]
fn what_is_put_has_to_be_within_reach_and_leaves_others_alone() {
    let house = house().filled(7);
    let (all, bound) = (&house.engine, house.of("a"));
    let put = |json: &str, options: PutOptions| bound.put("pages", json, options);
    all.put(
        "pages",
        r#"{"id": "b-key", "tenant": "b", "title": "theirs", "size": 1}"#,
        PutOptions::default(),
    )
    .unwrap();
    let before = all_pages(all);
    // a record of another tenant by its key: in every mode, with and without the version that it has
    for mode in [Mode::Upsert, Mode::Insert, Mode::Replace] {
        for merges in [false, true] {
            for version in ["", r#", "_version": 1"#, r#", "_version": 7"#] {
                let json = format!(r#"{{"id": "b-key", "tenant": "a", "title": "mine"{version}}}"#);
                let options = PutOptions { mode, merges, ..PutOptions::default() };
                let done = put(&json, options).unwrap();
                assert_eq!(
                    (done.inserted, done.updated, done.unchanged),
                    (0, 0, 0),
                    "{mode:?} {merges} {version}"
                );
                assert_eq!(done.rejected.len(), 1);
                assert!(!done.rejected[0].message.contains("theirs"), "{:?}", done.rejected);
            }
        }
    }
    assert_eq!(before, all_pages(all));
    // one that says that it is another's, or no one's, and a change of an own one to that
    for json in [
        r#"{"id": "new", "tenant": "b"}"#,
        r#"{"id": "new"}"#,
        r#"{"id": "new", "tenant": null}"#,
        r#"{"id": "new", "tenant": 7}"#,
    ] {
        for merges in [false, true] {
            let done = put(json, PutOptions { merges, ..PutOptions::default() }).unwrap();
            assert_eq!((done.inserted, done.rejected.len()), (0, 1), "{json}");
        }
    }
    assert_eq!(
        put(r#"{"id": "mine", "tenant": "a", "size": 3}"#, PutOptions::default()).unwrap().inserted,
        1
    );
    let merge = PutOptions { merges: true, ..PutOptions::default() };
    assert_eq!(put(r#"{"id": "mine", "size": 4}"#, merge).unwrap().updated, 1);
    let moved = put(r#"{"id": "mine", "tenant": "b"}"#, merge).unwrap();
    assert!(moved.rejected[0].message.contains("out of reach"), "{:?}", moved.rejected);
    // all or nothing
    let mixed = r#"[{"id": "m1", "tenant": "a"}, {"id": "m2", "tenant": "b"}]"#;
    assert_eq!(put(mixed, PutOptions { is_atomic: true, ..PutOptions::default() }).unwrap().inserted, 0);
    let partly = put(mixed, PutOptions::default()).unwrap();
    assert_eq!((partly.inserted, partly.rejected[0].index), (1, 1));
    assert_eq!(before, all_pages(all));
}

#[test]
fn what_is_changed_or_deleted_is_within_reach() {
    let house = house().filled(9);
    let (all, bound) = (&house.engine, house.of("a"));
    let reach = &bound.limits().reach;
    let before = all_pages(all);
    let set = |name: &str, value: Value| [(Arc::<str>::from(name), value)];
    let update = |condition: &str, sets: &[(Arc<str>, Value)]| {
        change::update(&all.store, reach, "pages", condition, sets, false).unwrap()
    };
    let mine = bound.sql("SELECT count(*) FROM pages", &[]).unwrap().rows[0][0].as_int().unwrap();
    let done = update("true", &set("size", Value::Int(99)));
    assert_eq!((done.matched as i64, done.updated as i64), (mine, mine));
    // a record that would go out of reach stays, and a condition does not fail for records of others
    let done = update("true", &set("tenant", Value::text("b")));
    assert_eq!((done.updated, done.rejected_total as i64), (0, mine));
    assert!(done.rejected[0].message.contains("out of reach"));
    let failing = "9223372036854775807 + (CASE WHEN tenant = 'a' THEN 0 ELSE 1 END) > 0";
    assert_eq!(update(failing, &set("size", Value::Int(1))).updated as i64, mine);
    assert!(
        change::update(
            &all.store,
            &Reach::everything(),
            "pages",
            failing,
            &set("size", Value::Int(1)),
            false
        )
        .is_err()
    );
    assert_eq!(bound.delete_records("pages", "tenant = 'b' OR tenant = 'c'").unwrap(), 0);
    let other = all.sql("SELECT min(id) FROM pages WHERE tenant = 'b'", &[]).unwrap().rows[0][0]
        .to_text()
        .into_owned();
    let (missing, theirs) = ("nothing", other.as_str());
    let refused = |key: &str| told(&one::delete(&all.store, reach, "pages", key).unwrap_err());
    assert_eq!(refused(theirs).replace(theirs, missing), refused(missing));
    assert_eq!(bound.delete_records("pages", failing).unwrap() as i64, mine);
    assert_eq!(before, all_pages(all));
    // events
    let count = |condition: &str| {
        let text = format!("SELECT count(*) FROM notes WHERE {condition}");
        all.sql(&text, &[]).unwrap().rows[0][0].as_int().unwrap()
    };
    let (own, others) = (count("tenant = 'a'"), count("tenant <> 'a'"));
    assert_eq!(bound.erase("notes", "tenant <> 'a'").unwrap(), 0);
    assert_eq!(bound.erase("notes", failing).unwrap() as i64, own);
    assert_eq!((count("tenant = 'a'"), count("tenant <> 'a'")), (0, others));
}

#[test]
fn events_that_are_out_of_reach_are_rejected_by_their_place() {
    let house = house();
    let bound = house.of("a");
    let json = r#"[{"tenant": "b", "x": "new field"}, {"tenant": "a", "n": 1}, {"n": 2}, {"tenant": null}, "no event",
                   {"tenant": "a", "n": 3}, {"tenant": ["a"]}]"#;
    let accepted = bound.ingest("fresh", json).unwrap();
    assert_eq!(accepted.accepted, 2);
    assert_eq!(accepted.rejected.iter().map(|item| item.index).collect::<Vec<_>>(), [0, 2, 3, 4, 6]);
    assert!(accepted.rejected[0].message.contains("tenant = 'a'"), "{}", accepted.rejected[0].message);
    let rows = house.engine.sql("SELECT tenant, n FROM fresh ORDER BY n", &[]).unwrap().rows;
    assert_eq!(rows, [["a".into(), Value::Int(1)], ["a".into(), Value::Int(3)]]);
    // what was not taken leaves no field behind
    assert!(house.engine.sql("SELECT x FROM fresh", &[]).is_err());
    assert_eq!(bound.ingest("fresh", r#"{"tenant": "b"}"#).unwrap().accepted, 0);
    assert_eq!(bound.sql("SELECT count(*) FROM fresh", &[]).unwrap().rows, [[Value::Int(2)]]);
}

#[test]
fn figures_of_an_answer_count_nothing_that_is_out_of_reach() {
    let house = house();
    house
        .engine
        .ingest("t", r#"[{"tenant": "a", "n": 1}, {"tenant": "b", "n": 1000}, {"tenant": "a", "n": 2}]"#)
        .unwrap();
    let scanned = |engine: &Engine, condition: &str| {
        let text = format!("SELECT count(*) FROM t WHERE {condition}");
        engine.sql(&text, &[]).unwrap().stats.rows_scanned
    };
    // there is nothing above 2 within reach, which a zone of all rows does not tell
    assert_eq!((scanned(&house.engine, "n > 2"), scanned(&house.of("a"), "n > 2")), (3, 0));
    assert_eq!((scanned(&house.engine, "n > 1"), scanned(&house.of("a"), "n > 1")), (3, 2));
    assert_eq!(scanned(&house.of("c"), "true"), 0);
}

#[test]
fn a_field_that_is_not_there_opens_nothing() {
    let house = house();
    house.engine.ingest("bare", r#"[{"n": 1}, {"n": 2}]"#).unwrap();
    house
        .engine
        .declare(
            "things",
            r#"{"kind": "records", "key": "id", "fields": {"tenant": {"type": "string", "lazy": true}}}"#,
        )
        .unwrap();
    house.engine.put("things", r#"{"id": "x", "tenant": "a"}"#, PutOptions::default()).unwrap();
    let bound = house.of("a");
    for (dataset, text) in [("bare", "n IS NULL OR n > 0"), ("things", "id IS NOT NULL")] {
        let counted = bound.sql(&format!("SELECT count(*) FROM {dataset} WHERE {text}"), &[]).unwrap();
        assert_eq!(counted.rows, [[Value::Int(0)]], "{dataset}");
        let joined =
            bound.sql(&format!("SELECT count(*) FROM {dataset} x JOIN {dataset} y ON true"), &[]).unwrap();
        assert_eq!(joined.rows, [[Value::Int(0)]], "{dataset}");
        let request = PageRequest { dataset: dataset.into(), count: true, ..PageRequest::default() };
        assert_eq!(bound.rows(&request).unwrap().total, Some(0), "{dataset}");
    }
}

#[test]
fn datasets_that_may_not_be_touched_are_not_there() {
    let house = house().filled(11);
    let bound = house.engine.clone().with_reach(Reach::new(&["note*", "new_*"], None).unwrap());
    let names: Vec<String> = bound.datasets().unwrap().into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(names, ["notes"]);
    let asked = |text: &str| told(&bound.sql(text, &[]).unwrap_err());
    let missing = "there is no dataset \"pages\"";
    for text in [
        "SELECT count(*) FROM pages",
        "SELECT * FROM notes JOIN pages ON true",
        "SELECT (SELECT count(*) FROM pages) FROM notes",
        "WITH p AS (SELECT * FROM pages) SELECT * FROM p",
        "EXPLAIN SELECT * FROM pages",
        "SELECT n FROM notes UNION SELECT size FROM pages",
    ] {
        // kept for someone else by now
        for _ in 0..2 {
            house.engine.sql(text, &[]).ok();
        }
        let told = asked(text);
        assert!(told.contains(missing) && !told.contains("authors"), "{text}: {told}");
    }
    let of_pages = PageRequest { dataset: "pages".into(), ..PageRequest::default() };
    assert!(matches!(bound.rows(&of_pages), Err(Error::NotFound(_))));
    let search = SearchRequest { dataset: "pages".into(), text: "token".into(), ..SearchRequest::default() };
    house.engine.search(&search).unwrap();
    assert!(matches!(bound.search(&search), Err(Error::NotFound(_))));
    let to_pages = house.engine.clone().with_reach(Reach::new(&["pages"], None).unwrap());
    assert!(matches!(to_pages.rows_with(&of_pages, "author_of"), Err(Error::NotFound(_))));
    for refused in [
        bound.ingest("pages2", r#"{"n": 1}"#).map(drop),
        bound.put("pages", r#"{"id": "x"}"#, PutOptions::default()).map(drop),
        bound.declare("pages", "{}"),
        bound.declare("other", "{}"),
        bound.backup("/nowhere/at/all").map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }
    assert_eq!(bound.ingest("new_things", r#"{"n": 1}"#).unwrap().accepted, 1);
    bound.declare("new_others", "{}").unwrap();
    // a row filter binds what is done to a whole dataset too
    let filtered = house.of("a");
    assert!(matches!(filtered.declare("notes", "{}"), Err(Error::Forbidden(_))));
    assert!(matches!(filtered.sql("EXPLAIN SELECT n FROM notes", &[]), Err(Error::Forbidden(_))));
}
