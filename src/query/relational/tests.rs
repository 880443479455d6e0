//! Questions about several tables against naive models of them, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::{Bound, Error};
use crate::fields::FieldSet;
use crate::query::budget::Limits;
use crate::query::layouts::{LAYOUTS, laid_out};
use crate::query::{answer, parse, run};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::value::Value;

/// A dataset with these columns, in blocks of three rows.
fn dataset(name: &str, fields: &[(&str, Vec<Value>)]) -> Dataset {
    let rows = fields.first().map_or(0, |(_, values)| values.len());
    let mut known = FieldSet::default();
    let mut tail = Vec::new();
    for begin in (0..rows).step_by(3) {
        let places = begin..rows.min(begin + 3);
        let times: Vec<i64> = places.clone().map(|row| row as i64 * 1_000_000).collect();
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (name, values) in fields {
            let column = column_of(values[places.clone()].iter().cloned());
            known.add(&(*name).into(), column.kinds());
            columns.push(((*name).into(), Arc::new(column)));
        }
        let block = Arc::new(Block::new(places.len(), columns));
        tail.push(TailBlock { first_seq: 1 + begin as i64, block });
    }
    Dataset { id: 1, fields: Arc::new(known), next_seq: 1 + rows as i64, tail, ..Dataset::new(name.into()) }
}

fn snapshot(datasets: impl IntoIterator<Item = Dataset>) -> Snapshot {
    let named = datasets.into_iter().map(|dataset| (Arc::clone(&dataset.name), Arc::new(dataset)));
    Snapshot { datasets: named.collect() }
}

fn ask(snapshot: &Snapshot, sql: &str) -> crate::error::Result<Vec<Vec<Value>>> {
    let statement = parse::statement(sql, &[])?;
    answer(snapshot, &statement).map(|answer| answer.rows)
}

fn rows(snapshot: &Snapshot, sql: &str) -> Vec<Vec<Value>> {
    ask(snapshot, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn refusal(snapshot: &Snapshot, sql: &str) -> String {
    match ask(snapshot, sql) {
        Err(error @ (Error::Invalid { .. } | Error::NotFound(_) | Error::OverBudget { .. })) => {
            error.to_string()
        }
        other => panic!("{sql}: {other:?}"),
    }
}

fn ints(values: impl IntoIterator<Item = i64>) -> Vec<Value> {
    values.into_iter().map(Value::Int).collect()
}

fn texts<const N: usize>(values: [&str; N]) -> Vec<Value> {
    values.map(Value::text).to_vec()
}

fn shop() -> Snapshot {
    snapshot([
        dataset(
            "orders",
            &[
                ("id", ints(1..=7)),
                ("user", ints([1, 1, 2, 3, 3, 3, 9])),
                ("cents", ints([5, 7, 11, 13, 17, 19, 23])),
            ],
        ),
        dataset("users", &[("id", ints([1, 2, 3, 4])), ("plan", texts(["pro", "free", "pro", "free"]))]),
    ])
}

/// Any kind of key, with some that are equal in two forms.
fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (0..4i64).prop_map(Value::Int),
        (0..4i64).prop_map(|n| Value::Float(n as f64)),
        (0..4i64).prop_map(|n| Value::Float(n as f64 + 0.5)),
        any::<bool>().prop_map(Value::Bool),
        (0..3i64).prop_map(Value::Time),
        "[ab]".prop_map(Value::text),
    ]
}

/// Keys of one kind, or of all kinds.
fn keys() -> impl Strategy<Value = Vec<Value>> {
    let one = |kind: BoxedStrategy<Value>| proptest::collection::vec(kind, 0..12).boxed();
    prop_oneof![
        one((0..5i64).prop_map(Value::Int).boxed()),
        one(prop_oneof![Just(Value::Null), "[abc]".prop_map(Value::text)].boxed()),
        one(prop_oneof![(0..4i64).prop_map(Value::Int), (0..4i64).prop_map(|n| Value::Float(n as f64))]
            .boxed()),
        one((0..4i64).prop_map(Value::Time).boxed()),
        one(key().boxed()),
    ]
}

fn equal(a: &Value, b: &Value) -> bool {
    crate::query::scalar::binary(crate::query::expression::BinaryOp::Eq, a, b)
        .is_ok_and(|v| v == Value::Bool(true))
}

/// Pairs of rows by number, 0 where there is none.
fn joined(left: &[Value], right: &[Value], keeps: (bool, bool)) -> Vec<(i64, i64)> {
    let mut out = Vec::new();
    let mut is_met = vec![false; right.len()];
    for (l, a) in left.iter().enumerate() {
        let before = out.len();
        for (r, b) in right.iter().enumerate().filter(|(_, b)| equal(a, b)) {
            let _ = b;
            out.push((l as i64 + 1, r as i64 + 1));
            is_met[r] = true;
        }
        if out.len() == before && keeps.0 {
            out.push((l as i64 + 1, 0));
        }
    }
    let unmet = is_met.iter().enumerate().filter(|(_, met)| !**met && keeps.1);
    out.extend(unmet.map(|(r, _)| (0, r as i64 + 1)));
    out.sort_unstable();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn joins_find_the_pairs_that_a_loop_finds(left in keys(), right in keys(), layout in 0..4usize) {
        let mut both = snapshot([dataset("l", &[("k", left.clone())]), dataset("r", &[("k", right.clone())])]);
        for held in both.datasets.values_mut() {
            *held = laid_out(held, LAYOUTS[layout]);
        }
        for (join, keeps) in
            [("JOIN", (false, false)), ("LEFT JOIN", (true, false)), ("RIGHT JOIN", (false, true)), ("FULL JOIN", (true, true))]
        {
            if left.is_empty() || right.is_empty() {
                continue;
            }
            for on in ["ON l.k = r.k", "USING (k)"] {
                let sql = format!("SELECT coalesce(l._seq, 0), coalesce(r._seq, 0) FROM l {join} r {on} ORDER BY 1, 2");
                let found: Vec<(i64, i64)> = rows(&both, &sql)
                    .iter()
                    .map(|row| (row[0].as_f64().unwrap_or(-1.0) as i64, row[1].as_f64().unwrap_or(-1.0) as i64))
                    .collect();
                prop_assert_eq!(&found, &joined(&left, &right, keeps), "{}", sql);
            }
        }
        if !left.is_empty() && !right.is_empty() {
            let wanted: Vec<i64> =
                (0..left.len()).filter(|l| right.iter().any(|b| equal(&left[*l], b))).map(|l| l as i64 + 1).collect();
            let sql = "SELECT _seq FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k) ORDER BY 1";
            prop_assert_eq!(rows(&both, sql), wanted.iter().map(|seq| vec![Value::Int(*seq)]).collect::<Vec<_>>());
            let sql = "SELECT _seq FROM l WHERE k IN (SELECT k FROM r) ORDER BY 1";
            prop_assert_eq!(rows(&both, sql), wanted.iter().map(|seq| vec![Value::Int(*seq)]).collect::<Vec<_>>());
        }
    }
}

#[test]
fn tables_are_joined_from_left_to_right() {
    let shop = shop();
    let sql = "SELECT u.plan, count(*), sum(o.cents), uniq(o.user), quantile(o.cents, 0.5) FROM orders o JOIN users u ON u.id = o.user GROUP BY u.plan ORDER BY 1";
    let wanted = vec![
        vec![Value::text("free"), Value::Int(1), Value::Int(11), Value::Int(1), Value::Int(11)],
        vec![Value::text("pro"), Value::Int(5), Value::Int(61), Value::Int(2), Value::Int(13)],
    ];
    assert_eq!(rows(&shop, sql), wanted);
    let three =
        "SELECT count(*) FROM orders a JOIN orders b ON a.user = b.user JOIN users u ON u.id = b.user";
    assert_eq!(rows(&shop, three), [[Value::Int(4 + 1 + 9)]]);
    let using = "SELECT * FROM (SELECT id, plan FROM users WHERE id < 3) a FULL JOIN (SELECT id, cents FROM orders WHERE id > 1 AND id < 4) b USING (id) ORDER BY id";
    let wanted = vec![
        vec![Value::Int(1), Value::text("pro"), Value::Null],
        vec![Value::Int(2), Value::text("free"), Value::Int(7)],
        vec![Value::Int(3), Value::Null, Value::Int(11)],
    ];
    assert_eq!(rows(&shop, using), wanted);
    let statement = parse::statement(using, &[]).unwrap();
    let columns = answer(&shop, &statement).unwrap().columns;
    let columns: Vec<(&str, &str)> = columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
    assert_eq!(columns, [("id", "int"), ("plan", "string"), ("cents", "int")]);
}

#[test]
fn groups_of_one_dataset_are_asked_of_the_vector_engine_first() {
    let shop = shop();
    let sql = "WITH n AS (SELECT user, count(*) AS orders FROM orders GROUP BY user) SELECT u.plan, sum(orders) FROM n JOIN users u ON u.id = n.user GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(&shop, sql), [[Value::text("free"), Value::Int(1)], [Value::text("pro"), Value::Int(5)]]);
    let steps = rows(&shop, &format!("EXPLAIN {sql}"));
    let told = steps.iter().map(|row| row[1].to_text().into_owned()).collect::<Vec<_>>().join("\n");
    assert!(told.contains("4 rows that the vector engine made of orders"), "{told}");
    // a name of WITH goes before a dataset of that name
    let shadowed = "WITH users AS (SELECT 7 AS id) SELECT count(*), max(id) FROM users";
    assert_eq!(rows(&shop, shadowed), [[Value::Int(1), Value::Int(7)]]);
    // what looks at the row around it is no question of its own
    let correlated =
        "SELECT id, (SELECT max(cents) FROM orders WHERE user = users.id) FROM users ORDER BY id";
    let found: Vec<Value> = rows(&shop, correlated).into_iter().map(|mut row| row.remove(1)).collect();
    assert_eq!(found, [Value::Int(7), Value::Int(11), Value::Int(19), Value::Null]);
}

#[test]
fn times_that_are_written_are_on_the_clock_of_the_question_here_too() {
    let both = snapshot([
        dataset("a", &[("t", (0..5).map(|h| Value::Time(h * 3_600_000_000)).collect())]),
        dataset("b", &[("n", ints([1]))]),
    ]);
    let sql = "SELECT count(*) FROM a JOIN b ON true WHERE a.t >= '1970-01-01 02:00'";
    assert_eq!(rows(&both, sql), [[Value::Int(3)]]);
    let berlin = crate::time::Calendar::named(Some("Europe/Berlin"), None).unwrap();
    let statement = parse::statement(sql, &[]).unwrap().on(berlin);
    assert_eq!(answer(&both, &statement).unwrap().rows, [[Value::Int(4)]]);
    assert!(
        refusal(&both, "SELECT 1 FROM a JOIN b ON a.t > 'soon'").contains("'soon' is compared with a time")
    );
}

#[test]
fn equal_values_of_several_forms_are_one_in_sets_and_distinct_rows() {
    let mixed = vec![Value::Int(1), Value::Bool(true), Value::Float(1.0), Value::Time(1), Value::text("1")];
    let one = snapshot([dataset("m", &[("v", mixed)])]);
    for sql in ["SELECT v FROM m UNION SELECT v FROM m", "SELECT DISTINCT v FROM (SELECT v FROM m) x"] {
        assert_eq!(rows(&one, sql).len(), 2, "{sql}");
    }
    let chain = format!("SELECT v FROM m{}", " UNION SELECT v FROM m".repeat(100));
    assert_eq!(rows(&one, &chain).len(), 2);
    let chain = format!("SELECT 1{}", " UNION SELECT 2".repeat(100));
    assert_eq!(rows(&one, &chain).len(), 2);
    assert!(refusal(&one, "SELECT v FROM m EXCEPT SELECT 1").contains("cast both sides to one type"));
    assert_eq!(rows(&one, "SELECT CAST(v AS string) FROM m INTERSECT SELECT '1'"), [[Value::text("1")]]);
}

#[test]
fn mistakes_are_told_with_what_to_write() {
    let shop = shop();
    for (sql, wanted) in [
        (
            "SELECT id FROM orders JOIN users ON true",
            "\"id\" is a column of orders and of users; write orders.id",
        ),
        ("SELECT plam FROM orders o JOIN users u ON u.id = o.user", "did you mean \"plan\""),
        ("SELECT u.plam FROM orders o JOIN users u ON u.id = o.user", "did you mean \"u.plan\""),
        ("SELECT x.plan FROM orders o JOIN users u ON u.id = o.user", "no table of the SELECT has a column"),
        ("SELECT 1 FROM orders JOIN orders ON true", "two tables are called \"orders\""),
        ("SELECT 1 FROM orders JOIN uzers ON true", "did you mean \"users\""),
        (
            "SELECT cents FROM orders o JOIN users u ON u.id = o.user GROUP BY plan",
            "\"cents\" has many values in a group",
        ),
        ("SELECT * FROM orders o JOIN users u ON u.id = o.user GROUP BY plan", "name the group keys"),
        ("SELECT x.* FROM orders o, users u", "x.* is of no table"),
        ("SELECT a", "the SELECT has no FROM"),
        (
            "SELECT (SELECT id, plan FROM users)",
            "a subquery that is a value has one column, and this has 2: id, plan",
        ),
        (
            "SELECT 1 FROM orders o JOIN users u ON u.plan || 'x'",
            "ON needs a condition that is true or false",
        ),
        (
            "SELECT sum(u.plan) FROM orders o JOIN users u ON true",
            "sums, averages and quantiles are of numbers",
        ),
        (
            "SELECT id FROM users UNION SELECT id FROM orders ORDER BY id + 1",
            "the name or the position of an output column",
        ),
        ("WITH x(a, b) AS (SELECT 1) SELECT * FROM x", "2 names stand behind \"x\", which has 1 columns"),
        (
            "SELECT DISTINCT plan FROM users u JOIN orders o ON true ORDER BY o.id",
            "DISTINCT rows can only be ordered",
        ),
        ("EXPLAIN (FORMAT duckdb) SELECT 1 FROM orders, users", "printed for sqlite only"),
        ("SELECT 9223372036854775807 + id FROM (SELECT 1 AS id) x", "integer overflow"),
    ] {
        let told = refusal(&shop, sql);
        assert!(told.contains(wanted), "{sql}\n  said   {told}\n  wanted {wanted}");
    }
}

#[test]
fn what_takes_too_much_ends_with_the_limit() {
    let wide = snapshot([dataset("big", &[("n", ints(0..3_000))])]);
    let within = |limits: Limits, sql: &str| {
        let statement = parse::statement(sql, &[]).unwrap().within(limits);
        match answer(&wide, &statement) {
            Err(Error::OverBudget { bound, .. }) => bound,
            other => panic!("{sql}: {other:?}"),
        }
    };
    let soon = || Limits { deadline: Duration::from_millis(200), ..Limits::default() };
    for sql in [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n FROM c) SELECT max(n) FROM c",
        "SELECT count(*) FROM big a, big b, big c",
        "SELECT count(*) FROM big a JOIN big b ON a.n <> b.n JOIN big c ON b.n <> c.n",
    ] {
        assert_eq!(within(soon(), sql), Bound::Deadline, "{sql}");
    }
    let small = Limits { memory_bytes: 64 << 10, ..Limits::default() };
    assert_eq!(within(small.clone(), "SELECT a.n, b.n FROM big a, big b"), Bound::Memory);
    assert_eq!(within(small, "SELECT uniq(a.n * 3000 + b.n) FROM big a, big b"), Bound::Memory);
    let few = Limits { rows: Some(100), ..Limits::default() };
    assert_eq!(within(few, "SELECT count(*) FROM big a JOIN big b ON a.n = b.n"), Bound::Rows);
}

#[test]
fn the_case_of_letters_is_no_matter_for_names_of_tables() {
    let shop = shop();
    for sql in [
        "SELECT V.cents FROM orders v JOIN users U ON u.ID = V.user WHERE v.id = 1",
        "WITH Paid AS (SELECT id, cents AS Sum FROM orders GROUP BY 1, 2) SELECT PAID.sum FROM paid WHERE ID = 1",
        "SELECT O.* FROM (SELECT cents FROM orders WHERE id = 1) o",
        "SELECT * FROM (SELECT cents FROM orders WHERE id = 1) o JOIN (SELECT 5 AS cents) p USING (CENTS)",
    ] {
        assert_eq!(rows(&shop, sql), [[Value::Int(5)]], "{sql}");
    }
    let statement = parse::statement("SELECT V.cents FROM orders v, users LIMIT 1", &[]).unwrap();
    assert_eq!(answer(&shop, &statement).unwrap().columns[0].name, "cents");
    assert!(refusal(&shop, "SELECT 1 FROM orders x, users X").contains("two tables are called \"X\""));
}

#[test]
fn plain_questions_stay_with_the_vector_engine() {
    let shop = shop();
    for sql in [
        "SELECT * FROM users",
        "SELECT u.plan AS select_of, count(*) FROM users u GROUP BY 1",
        "SELECT DISTINCT plan FROM users ORDER BY 1 LIMIT 2",
    ] {
        let statement = parse::statement(sql, &[]).unwrap();
        let found = answer(&shop, &statement).unwrap();
        assert_eq!(found.stats.engine, "vector", "{sql}");
        assert_eq!(found.rows, run(&shop, &parse::sql(sql, &[]).unwrap()).unwrap().rows);
    }
}
