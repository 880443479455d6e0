//! What the statements over records are: by which plan, how many of them, and what is kept between them.

use std::sync::Arc;

use crate::app::engine::Engine;
use crate::query::page::PageRequest;
use crate::records::advice::{Advice, advise};
use crate::records::put::PutOptions;
use crate::store::keyed::statements::Seen;
use crate::store::snapshot::Dataset;
use crate::value::Value;

struct House {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path().join("a.db")).unwrap();
    House { engine, _folder: folder }
}

impl House {
    fn dataset(&self, name: &str) -> Arc<Dataset> {
        Arc::clone(self.engine.store.snapshot().whole_dataset(name).unwrap())
    }

    fn seen(&self, name: &str) -> Vec<Seen> {
        self.dataset(name).keyed().unwrap().derived.statements.all()
    }

    fn forget(&self, name: &str) {
        self.dataset(name).keyed().unwrap().derived.statements.clear();
    }

    fn run_so_far(&self, name: &str) -> u64 {
        self.dataset(name).keyed().unwrap().derived.statements_run()
    }

    /// Things of ten kinds, some without an amount.
    fn with_things(self, count: usize, more: &str) -> Self {
        let declared = format!(
            r#"{{"kind": "records", "key": "id", "fields": {{"id": {{"type": "string"}}, "kind": {{"type": "string", "required": true}},
                "amount": {{"type": "int"}}, "note": {{"type": "string", "lazy": true}}}}{more}}}"#
        );
        self.engine.declare("things", declared).unwrap();
        let thing = |n: usize| {
            let amount = if n.is_multiple_of(7) { "null".to_owned() } else { ((n * 37) % 1_000).to_string() };
            format!(r#"{{"id": "t{n}", "kind": "k{}", "amount": {amount}, "note": "note {n}"}}"#, n % 10)
        };
        let all: Vec<String> = (0..count).map(thing).collect();
        let put = self.engine.put("things", all.join("\n"), PutOptions::default()).unwrap();
        assert_eq!(put.inserted, count as u64);
        self
    }

    /// All rows of a dataset, page by page.
    fn walk(&self, order: &str, limit: usize) -> Vec<String> {
        let mut request = PageRequest {
            dataset: "things".into(),
            order: Some(order.into()),
            fields: Some(vec!["id".into()]),
            limit: Some(limit),
            ..PageRequest::default()
        };
        let mut ids = Vec::new();
        loop {
            let page = self.engine.rows(&request).unwrap();
            ids.extend(page.rows.iter().map(|row| row[0].1.to_text().into_owned()));
            match page.next {
                None => return ids,
                next => request.cursor = next,
            }
        }
    }
}

fn plans(seen: &[Seen]) -> String {
    seen.iter().map(|seen| format!("{}\n  {}\n", seen.shape, seen.plan.join("\n  "))).collect()
}

#[test]
fn every_page_begins_at_its_place_in_an_index() {
    let indexes = r#", "indexes": [{"fields": ["-amount"]}, {"fields": ["kind", "amount"]}, {"fields": ["kind", "-amount"]}]"#;
    let house = house().with_things(400, indexes);
    for order in ["-amount", "amount", "kind,amount", "-kind,-amount", "kind,-amount", "_seq", "-_id"] {
        house.forget("things");
        assert_eq!(house.walk(order, 30).len(), 400);
        let seen = house.seen("things");
        let is_sorted = |seen: &&Seen| seen.plan.iter().any(|line| line.contains("TEMP B-TREE"));
        // nulls stand last, and in an index first: where values may be missing, those of one kind are sorted
        let allowed = if order == "kind,amount" { 3 } else { 0 };
        let sorted: Vec<&Seen> = seen.iter().filter(is_sorted).collect();
        assert!(sorted.len() <= allowed, "{order}: {}", plans(&seen));
        let ways: Vec<&String> = seen.iter().flat_map(|seen| seen.plan.first()).collect();
        let begins = |line: &&String| {
            line.contains("USING") && line.contains("INDEX")
                || line.contains("INTEGER PRIMARY KEY")
                || *line == "SCAN r1"
        };
        assert!(ways.iter().all(begins), "{order}: {}", plans(&seen));
    }
}

#[test]
fn hot_statements_have_the_plans_that_they_should() {
    let indexes =
        r#", "indexes": [{"fields": ["kind", "amount"]}, {"fields": "amount", "where": "amount > 900"}]"#;
    let house = house().with_things(400, indexes);
    let plan_of = |sql: &str| {
        let answer = house.engine.sql(&format!("EXPLAIN {sql}"), &[]).unwrap();
        let lines = answer.rows.iter().filter(|row| row[0] == Value::text("plan"));
        lines.map(|row| row[1].to_text().into_owned()).collect::<Vec<_>>().join("; ")
    };
    for (sql, wanted) in [
        ("SELECT amount FROM things WHERE id = 't3'", "SEARCH things USING INDEX things_key (id=?)"),
        (
            "SELECT kind, amount FROM things WHERE kind = 'k1' AND amount > 3",
            "SEARCH things USING COVERING INDEX things(kind, amount) (kind=? AND amount>?)",
        ),
        (
            "SELECT id FROM things WHERE amount > 900",
            "SEARCH things USING INDEX things(amount) where amount > 900 (amount>?)",
        ),
        (
            "SELECT kind, count(*) FROM things GROUP BY kind",
            "SCAN things USING COVERING INDEX things(kind, amount); USE TEMP B-TREE FOR ORDER BY",
        ),
        ("SELECT id FROM things WHERE _seq = 5", "SEARCH things USING INTEGER PRIMARY KEY (rowid=?)"),
    ] {
        assert_eq!(plan_of(sql), wanted, "{sql}");
    }
}

#[test]
fn what_belongs_to_records_is_loaded_by_a_statement_a_level() {
    let house = house();
    for (name, key, more) in [
        ("sessions", r#""id""#, r#", "relations": {"queries": {"many": "queries", "by": "session"}}"#),
        ("queries", r#""id""#, r#", "relations": {"results": {"many": "results", "by": "query"}}"#),
        ("results", r#"["query", "place"]"#, ""),
    ] {
        house.engine.declare(name, format!(r#"{{"kind": "records", "key": {key}{more}}}"#)).unwrap();
    }
    let put = |name: &str, lines: Vec<String>| {
        house.engine.put(name, lines.join("\n"), PutOptions::default()).unwrap();
    };
    put("sessions", (0..50).map(|n| format!(r#"{{"id": {n}}}"#)).collect());
    put("queries", (0..200).map(|n| format!(r#"{{"id": {n}, "session": {}}}"#, n % 50)).collect());
    put("results", (0..800).map(|n| format!(r#"{{"query": {}, "place": {}}}"#, n % 200, n / 200)).collect());
    let counts = || ["sessions", "queries", "results"].map(|name| house.run_so_far(name));
    let before = counts();
    let request = PageRequest { dataset: "sessions".into(), limit: Some(50), ..PageRequest::default() };
    let page = house.engine.rows_with(&request, "queries.results").unwrap();
    let after = counts();
    assert_eq!([0, 1, 2].map(|at| after[at] - before[at]), [1, 1, 1]);
    let (name, queries) = page.rows[0].last().unwrap();
    let queries: serde_json::Value = serde_json::from_str(&queries.to_text()).unwrap();
    assert_eq!((&**name, queries.as_array().unwrap().len()), ("queries", 4));
    assert_eq!(queries[0]["results"].as_array().unwrap().len(), 4);
}

#[test]
fn columns_are_kept_until_records_change() {
    let house = house().with_things(300, "");
    let ask = || {
        let answer =
            house.engine.sql("SELECT kind, count(*), sum(amount) FROM things GROUP BY kind", &[]).unwrap();
        assert_eq!(answer.stats.engine, "vector");
        answer.rows
    };
    let first = ask();
    let before = house.run_so_far("things");
    assert_eq!(ask(), first);
    assert_eq!(house.run_so_far("things"), before);
    house.engine.put("things", r#"{"id": "new", "kind": "k0", "amount": 5}"#, PutOptions::default()).unwrap();
    let after = ask();
    assert_eq!(house.run_so_far("things"), before + 1);
    let Value::Int(count) = first[0][1] else { panic!("{first:?}") };
    assert_eq!(after[0][1], Value::Int(count + 1));
}

#[test]
fn what_an_index_answers_alone_is_asked_of_columns_the_second_time() {
    let house = house().with_things(300, r#", "indexes": [{"fields": ["kind", "amount"]}]"#);
    let ask = || house.engine.sql("SELECT kind, sum(amount) FROM things GROUP BY kind", &[]).unwrap();
    let (first, second) = (ask(), ask());
    assert_eq!((first.stats.engine, second.stats.engine), ("sqlite", "vector"));
    assert_eq!(first.rows, second.rows);
}

#[test]
fn records_that_are_dropped_while_they_are_asked_are_told_to_be() {
    let house = house().with_things(30, "");
    let snapshot = house.engine.store.snapshot();
    house.engine.store.drop_dataset("things").unwrap();
    let statement = crate::query::parse::statement("SELECT id FROM things", &[]).unwrap();
    let told = crate::query::answer(&snapshot, &statement).unwrap_err();
    assert!(matches!(told, crate::error::Error::Conflict(_)), "{told}");
}

#[test]
fn a_library_merges_as_a_server_does() {
    let house = house();
    let declared = r#"{"kind": "records", "key": "id", "fields": {"kind": {"type": "string", "required": true, "default": "k"}}}"#;
    house.engine.declare("things", declared).unwrap();
    let merges = PutOptions { merges: true, ..PutOptions::default() };
    house.engine.put("things", r#"{"id": 1, "kind": "other"}"#, PutOptions::default()).unwrap();
    let put = house.engine.put("things", r#"[{"id": 1, "n": 5}, {"id": 2}]"#, merges).unwrap();
    assert_eq!((put.updated, put.inserted), (1, 1));
    let rows = house.engine.sql("SELECT kind, n FROM things ORDER BY id", &[]).unwrap().rows;
    assert_eq!(rows, [[Value::text("other"), Value::Int(5)], [Value::text("k"), Value::Null]]);
}

#[test]
fn a_lazy_field_is_read_where_it_is_named_and_nowhere_else() {
    let house = house().with_things(50, "");
    house.forget("things");
    let page =
        house.engine.rows(&PageRequest { dataset: "things".into(), ..PageRequest::default() }).unwrap();
    house.engine.sql("SELECT * FROM things LIMIT 3", &[]).unwrap();
    assert!(page.rows.iter().flatten().all(|(name, _)| **name != *"note"));
    assert!(
        house.seen("things").iter().all(|seen| !seen.sql.contains("lazy")),
        "{}",
        plans(&house.seen("things"))
    );
    let answer = house.engine.sql("SELECT note FROM things WHERE id = 't7'", &[]).unwrap();
    assert_eq!(answer.rows, [[Value::text("note 7")]]);
}

#[test]
fn an_index_is_advised_with_what_it_gains_and_one_that_nobody_uses_is_told() {
    let house = house().with_things(12_000, r#", "indexes": [{"fields": "amount"}]"#);
    for n in 0..5 {
        house
            .engine
            .sql(
                "SELECT id FROM things WHERE kind = ? AND amount IS NULL ORDER BY id LIMIT 5",
                &[format!("k{n}").into()],
            )
            .unwrap();
        house
            .engine
            .sql(
                "SELECT id, amount FROM things WHERE kind = ? LIMIT 2 OFFSET 1000",
                &[format!("k{n}").into()],
            )
            .unwrap();
    }
    let advice = advise(&house.engine.store.snapshot()).unwrap();
    let missing = advice.iter().find_map(|advice| match advice {
        Advice::MissingIndex { index, gain, runs, create_index, before_ms, after_ms, .. } => {
            Some((index.fields.clone(), *gain, *runs, create_index.clone(), *before_ms, *after_ms))
        }
        Advice::UnusedIndex { .. } => None,
    });
    let (fields, gain, runs, create, before, after) = missing.unwrap_or_else(|| panic!("{advice:?}"));
    assert_eq!((fields[0].as_str(), runs), ("kind", 5));
    assert!(gain >= 1.5 && before > after, "{gain} {before} {after}");
    assert!(create.starts_with("CREATE INDEX IF NOT EXISTS \"r1(kind"), "{create}");
    // the advice is followed, and then there is none
    let indexes = format!(r#"{{"fields": {}}}"#, serde_json::to_string(&fields).unwrap());
    house.forget("things");
    let declared = format!(
        r#"{{"kind": "records", "key": "id", "fields": {{"id": {{"type": "string"}}, "kind": {{"type": "string", "required": true}},
            "amount": {{"type": "int"}}, "note": {{"type": "string", "lazy": true}}}}, "indexes": [{indexes}, {{"fields": "amount"}}]}}"#
    );
    house.engine.declare("things", declared).unwrap();
    house.engine.sql("SELECT id, amount FROM things WHERE kind = 'k1' LIMIT 2 OFFSET 1000", &[]).unwrap();
    let advice = advise(&house.engine.store.snapshot()).unwrap();
    let told: Vec<_> = advice
        .iter()
        .map(|advice| match advice {
            Advice::MissingIndex { statement, .. } => statement.clone(),
            Advice::UnusedIndex { index, .. } => format!("unused {}", index.fields.join(",")),
        })
        .collect();
    assert_eq!(told, ["unused amount"]);
}
