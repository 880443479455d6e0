//! Datasets as tables of SQLite, against plain tables of SQLite that hold the same values; what is looked at, how long it
//! takes, how it ends, and what a statement may not do.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rusqlite::Connection;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::{Bound, Error, Result};
use crate::fields::FieldSet;
use crate::query::budget::{Budget, Limits};
use crate::query::layouts::{Damage, LAYOUTS, Layout, laid_out, watched};
use crate::store::snapshot::{Dataset, TailBlock};
use crate::time::Calendar;
use crate::value::Value;

use super::sandbox::{self, Sandbox};
use super::table::Table;
use crate::store::values::{Stored, blob, from_sql};

/// A dataset of one field a column, in blocks of so many rows. The times are seconds from 1970 on.
fn dataset(name: &str, columns: &[(&str, Vec<Value>)], block_rows: usize) -> Dataset {
    let rows = columns.first().map_or(0, |(_, cells)| cells.len());
    let (mut fields, mut tail) = (FieldSet::default(), Vec::new());
    for first in (0..rows).step_by(block_rows) {
        let range = first..rows.min(first + block_rows);
        let times: Vec<i64> = range.clone().map(|row| row as i64 * 1_000_000).collect();
        let mut block: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (field, cells) in columns {
            let column = column_of(cells[range.clone()].iter().cloned());
            fields.add(&(*field).into(), column.kinds());
            block.push(((*field).into(), Arc::new(column)));
        }
        tail.push(TailBlock { first_seq: first as i64 + 1, block: Arc::new(Block::new(range.len(), block)) });
    }
    let (fields, next_seq) = (Arc::new(fields), rows as i64 + 1);
    Dataset { id: 1, rules_version: 1, fields, next_seq, tail, ..Dataset::new(name.into()) }
}

fn numbers(rows: i64, number: impl Fn(i64) -> i64) -> Vec<Value> {
    (0..rows).map(|row| Value::Int(number(row))).collect()
}

fn table(name: &str, dataset: &Arc<Dataset>, columns: &[&str]) -> Table {
    let columns = columns.iter().map(|column| Arc::from(*column)).collect();
    Table { name: name.into(), dataset: Arc::clone(dataset), columns }
}

fn open(tables: Vec<Table>) -> Sandbox {
    within(tables, &Budget::unbounded())
}

fn within(tables: Vec<Table>, budget: &Arc<Budget>) -> Sandbox {
    sandbox::open(tables, &sandbox::Records::default(), &Calendar::default(), budget).unwrap()
}

fn ask(sandbox: &Sandbox, sql: &str) -> Result<Vec<Vec<Value>>> {
    sandbox.rows(sql).map(|(rows, _)| rows)
}

/// The rows of an answer in an order of their own, with the kinds of the cells.
fn shown(rows: Vec<Vec<Value>>) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

/// A value as SQL.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Int(i64::MIN) => "(-9223372036854775807 - 1)".into(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::Text(text) => format!("'{text}'"),
        tagged => {
            let mut hex = String::new();
            blob(tagged).unwrap().iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
            format!("x'{hex}'")
        }
    }
}

fn any_cell() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        4 => (-2i64..4).prop_map(Value::Int),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just((1 << 53) + 1)].prop_map(Value::Int),
        2 => (-4i32..8).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
        3 => "[ab]{0,2}".prop_map(Value::text),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => (0i64..3).prop_map(|n| Value::Time(n * 1_000_000)),
        1 => "[12]".prop_map(|n| Value::Json(format!("{{\"n\":{n}}}").into())),
        1 => prop::collection::vec("[xy]", 0..2)
            .prop_map(|items| Value::List(items.into_iter().map(Arc::from).collect())),
    ]
}

/// Of one kind with nulls, or of any: the columns a to e.
fn any_row() -> impl Strategy<Value = Vec<Value>> {
    (
        (0i64..6).prop_map(Value::Int),
        prop::option::of("[abc]{1,2}").prop_map(|text| text.map_or(Value::Null, Value::text)),
        prop_oneof![
            Just(Value::Null),
            (0i64..4).prop_map(Value::Int),
            (0i32..9).prop_map(|n| Value::Float(f64::from(n) / 2.0))
        ],
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::Bool), (0i64..2).prop_map(Value::Int)],
        any_cell(),
    )
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

const COLUMNS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn by_column(rows: &[Vec<Value>]) -> Vec<(&'static str, Vec<Value>)> {
    let column =
        |(at, name): (usize, &&'static str)| (*name, rows.iter().map(|row| row[at].clone()).collect());
    COLUMNS.iter().enumerate().map(column).collect()
}

/// Plain tables of SQLite, with the columns c0, c1, …
fn plain(tables: &[(&str, &[Vec<Value>])]) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    for (name, rows) in tables {
        connection.execute(&format!("CREATE TABLE {name} (c0, c1, c2, c3, c4)"), []).unwrap();
        let mut insert = connection.prepare(&format!("INSERT INTO {name} VALUES (?, ?, ?, ?, ?)")).unwrap();
        for row in *rows {
            insert.execute(rusqlite::params_from_iter(row.iter().cloned().map(Stored::from))).unwrap();
        }
    }
    connection
}

fn ask_plain(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let width = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..width).map(|at| Ok(from_sql(row.get_ref(at)?))).collect();
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// A condition on the columns of a table.
fn any_condition(table: &'static str) -> impl Strategy<Value = String> {
    let column = move || (0usize..5).prop_map(move |at| format!("{table}.c{at}"));
    let literals = || any_cell().prop_map(|value| literal(&value));
    let operator = prop_oneof!["=", ">", ">=", "<", "<=", "<>"];
    let one = prop_oneof![
        6 => (column(), operator, literals()).prop_map(|(column, op, value)| format!("{column} {op} {value}")),
        1 => (column(), prop_oneof![Just("IS NULL"), Just("IS NOT NULL")])
            .prop_map(|(column, test)| format!("{column} {test}")),
        2 => (column(), prop::collection::vec(literals(), 1..4))
            .prop_map(|(column, list)| format!("{column} IN ({})", list.join(", "))),
        1 => (column(), literals(), literals())
            .prop_map(|(column, low, high)| format!("{column} BETWEEN {low} AND {high}")),
        1 => Just(format!("{table}.c0 > 9e999")),
        1 => Just(format!("{table}.c4 < x'09'")),
    ];
    let joined = (prop::collection::vec(one.clone(), 1..4)).prop_map(|all| all.join(" AND "));
    prop_oneof![4 => joined.clone(), 1 => (joined, one).prop_map(|(all, other)| format!("({all}) OR {other}"))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_condition_leaves_the_rows_that_it_leaves_of_a_plain_table(
        rows in prop::collection::vec(any_row(), 1..60),
        block_rows in 1usize..40,
        conditions in prop::collection::vec(any_condition("t0"), 1..8),
    ) {
        let (whole, plain) = (dataset("t", &by_column(&rows), block_rows), plain(&[("t0", &rows)]));
        for layout in LAYOUTS {
            let sandbox = open(vec![table("t0", &laid_out(&whole, layout), &COLUMNS)]);
            for condition in &conditions {
                let sql = format!("SELECT * FROM t0 WHERE {condition}");
                let found = ask(&sandbox, &sql).unwrap();
                prop_assert_eq!(shown(found), shown(ask_plain(&plain, &sql)), "{} over {:?}", sql, layout);
            }
        }
    }

    #[test]
    fn joins_and_subqueries_find_the_rows_that_they_find_in_plain_tables(
        rows in prop::collection::vec(any_row(), 1..30),
        others in prop::collection::vec(any_row(), 1..30),
        on in prop::collection::vec((0usize..5, prop_oneof!["=", "=", "=", "<", ">="], 0usize..5), 1..3),
        condition in any_condition("t1"),
    ) {
        let plain = plain(&[("t0", &rows), ("t1", &others)]);
        let (left, right) = (dataset("t", &by_column(&rows), 7), dataset("u", &by_column(&others), 5));
        let on: Vec<String> = on.iter().map(|(a, op, b)| format!("t0.c{a} {op} t1.c{b}")).collect();
        let on = on.join(" AND ");
        for layout in [Layout::Tail, Layout::Both] {
            let (left, right) = (laid_out(&left, layout), laid_out(&right, layout));
            let tables = vec![table("t0", &left, &COLUMNS), table("t1", &right, &COLUMNS)];
            let sandbox = open(tables);
            for sql in [
                format!("SELECT * FROM t0 JOIN t1 ON {on} WHERE {condition}"),
                format!("SELECT * FROM t0 LEFT JOIN t1 ON {on} AND {condition}"),
                format!("SELECT * FROM t0 FULL JOIN t1 ON {on}"),
                format!("SELECT * FROM t0 WHERE EXISTS (SELECT 1 FROM t1 WHERE {on} AND ({condition}))"),
                format!("SELECT *, (SELECT count(*) FROM t1 WHERE {on}) FROM t0"),
                format!("SELECT * FROM t0 WHERE c4 IN (SELECT c4 FROM t1 WHERE {condition})"),
                format!("SELECT * FROM t0, t1 WHERE t1.c4 IN (t0.c4, t0.c0) AND {on}"),
            ] {
                let found = ask(&sandbox, &sql).unwrap();
                prop_assert_eq!(shown(found), shown(ask_plain(&plain, &sql)), "{} over {:?}", sql, layout);
            }
        }
    }
}

#[test]
fn a_table_without_columns_counts_its_rows_and_that_of_the_engine_are_columns() {
    let data = Arc::new(dataset("t", &[("n", numbers(10, |row| row))], 4));
    let tables = vec![table("t0", &data, &[]), table("t1", &data, &["_seq", "_id", "_time", "absent"])];
    let sandbox = open(tables);
    assert_eq!(ask(&sandbox, "SELECT count(*) FROM t0").unwrap(), [[Value::Int(10)]]);
    let found = ask(&sandbox, "SELECT * FROM t1 WHERE c0 = 7 AND c1 = '7'").unwrap();
    assert_eq!(format!("{found:?}"), "[[Int(7), Text(\"7\"), Time(6000000), Null]]");
    assert!(ask(&sandbox, "SELECT * FROM t1 WHERE c3 > 0 OR c3 = 'x'").unwrap().is_empty());
}

#[test]
fn conditions_keep_segments_and_blocks_from_being_looked_at() {
    let whole = dataset("t", &[("n", numbers(400, |row| row)), ("m", numbers(400, |row| row % 7))], 100);
    let segment = |at: usize| Arc::new(watched(at as i64 + 1, &whole.tail[at..=at], None).0);
    let segments = vec![segment(0), segment(1)];
    let data = Arc::new(Dataset { segments, tail: whole.tail[2..].to_vec(), ..whole.clone() });
    for (condition, looked_at) in [
        ("c0 >= 0", (400, 3)),
        ("c0 < 150", (200, 2)),
        ("c0 = 250", (100, 1)),
        ("c0 = 250.0", (100, 1)),
        ("c0 IN (10, 350)", (200, 2)),
        ("c0 BETWEEN 120 AND 130 AND c1 = 3", (100, 1)),
        ("c0 = 10 OR c0 = 11", (100, 1)),
        ("c0 > 1000", (0, 0)),
        ("c0 = 'x'", (400, 3)),
        ("c0 = NULL", (0, 0)),
        ("c2 < cast_time('1970-01-01T00:01:00Z')", (100, 1)),
        ("c0 + 0 = 250", (400, 3)),
    ] {
        let sandbox = open(vec![table("t0", &data, &["n", "m", "_time"])]);
        ask(&sandbox, &format!("SELECT count(*) FROM t0 WHERE {condition}")).unwrap();
        assert_eq!(sandbox.looked_at(), looked_at, "{condition}");
    }
}

#[test]
fn plans_show_what_a_table_is_asked() {
    let data = Arc::new(dataset("t", &[("n", numbers(5_000, |row| row))], 5_000));
    let sandbox = open(vec![table("t0", &data, &["n"]), table("t1", &data, &["n", "n"])]);
    for (sql, wanted) in [
        ("SELECT c0 FROM t0", vec![(0, "SCAN t0 VIRTUAL TABLE INDEX 0:")]),
        (
            "SELECT c0 FROM t1 WHERE c1 IS NULL AND c0 >= 3 AND c0 < 7",
            vec![(0, "SCAN t1 VIRTUAL TABLE INDEX 0:1isnull 0>= 0<")],
        ),
        (
            "SELECT count(*) FROM t0 JOIN t1 ON t0.c0 = t1.c1",
            vec![(0, "SCAN t0 VIRTUAL TABLE INDEX 0:"), (0, "SCAN t1 VIRTUAL TABLE INDEX 0:1=")],
        ),
        (
            "SELECT * FROM t0 WHERE c0 = (SELECT over_sum(c0) OVER () FROM t1 WHERE c1 <= 2)",
            vec![
                (0, "SCAN t0 VIRTUAL TABLE INDEX 0:0="),
                (0, "SCALAR SUBQUERY 1"),
                (1, "CO-ROUTINE (subquery-3)"),
                (2, "SCAN t1 VIRTUAL TABLE INDEX 0:1<="),
                (1, "SCAN (subquery-3)"),
                (0, "REUSE SUBQUERY 1"),
            ],
        ),
    ] {
        let plan = sandbox.plan(sql).unwrap();
        let plan: Vec<(usize, &str)> = plan.iter().map(|(depth, told)| (*depth, told.as_str())).collect();
        assert_eq!(plan, wanted, "{sql}");
    }
    assert_eq!(sandbox.looked_at(), (0, 0));
}

/// How long a question takes, and that its answer is this.
fn timed(sandbox: &Sandbox, sql: &str, wanted: &[i64]) -> Duration {
    let begin = Instant::now();
    let found = ask(sandbox, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let wanted: Vec<Value> = wanted.iter().map(|number| Value::Int(*number)).collect();
    assert_eq!(found, [wanted], "{sql}");
    begin.elapsed()
}

#[test]
fn the_inner_table_of_a_join_is_looked_up_and_not_scanned_again() {
    const ROWS: i64 = 50_000;
    let texts = (0..ROWS).map(|row| Value::text(format!("user {}", row * 7_919 % ROWS))).collect();
    let columns = [
        ("n", numbers(ROWS, |row| row * 7_919 % ROWS)),
        ("user", texts),
        ("class", numbers(ROWS, |row| row % 10)),
        ("twice", numbers(ROWS, |row| row / 2)),
    ];
    let whole = dataset("t", &columns, 16_384);
    for layout in [Layout::Tail, Layout::Both] {
        let data = laid_out(&whole, layout);
        for (sql, wanted) in [
            ("SELECT count(*), sum(t1.c2) FROM t0 JOIN t1 ON t0.c0 = t1.c0", vec![ROWS, ROWS / 10 * 45]),
            ("SELECT count(*) FROM t0 JOIN t1 ON t0.c1 = t1.c1", vec![ROWS]),
            ("SELECT count(*) FROM t0 LEFT JOIN t1 ON t0.c0 = t1.c0 AND t1.c2 = 3", vec![ROWS]),
            ("SELECT count(*) FROM t0 JOIN t1 ON t0.c0 = t1.c0 AND t0.c2 = t1.c2", vec![ROWS]),
            // equal keys follow each other, so that the second question is the first again
            ("SELECT count(*) FROM t0 JOIN t1 ON t0.c3 = t1.c3", vec![ROWS * 2]),
            (
                "SELECT count(*) FROM t0 WHERE EXISTS (SELECT 1 FROM t1 WHERE t1.c0 = t0.c0 + 1)",
                vec![ROWS - 1],
            ),
            ("SELECT sum((SELECT count(*) FROM t1 WHERE t1.c1 = t0.c1)) FROM t0", vec![ROWS]),
            ("SELECT count(*) FROM t0 JOIN t1 ON t0.c0 = t1.c0 AND t1.c3 < t0.c0 AND t1.c2 = 0", vec![]),
        ] {
            let sandbox = open(vec![
                table("t0", &data, &["n", "user", "class", "twice"]),
                table("t1", &data, &["n", "user", "class", "twice"]),
            ]);
            let begin = Instant::now();
            let took = match wanted.as_slice() {
                [] => ask(&sandbox, sql).map(|_| begin.elapsed()).unwrap(),
                wanted => timed(&sandbox, sql, wanted),
            };
            let (rows, _) = sandbox.looked_at();
            assert!(rows <= 2 * ROWS as u64, "{sql} looked at {rows} rows");
            assert!(took < Duration::from_secs(2), "{sql} over {layout:?} took {took:?}");
        }
    }
}

#[test]
fn a_question_ends_in_time_with_the_reason_of_its_budget() {
    let data = Arc::new(dataset("t", &[("n", numbers(20_000, |row| row))], 8_192));
    let tables = || vec![table("t0", &data, &["n"]), table("t1", &data, &["n"]), table("t2", &data, &["n"])];
    let endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)";
    for sql in [
        format!("{endless} SELECT count(*) FROM r"),
        format!("{endless} SELECT n FROM r WHERE n < 0"),
        format!("{endless} SELECT a.n FROM r AS a JOIN r AS b ON a.n = b.n WHERE a.n < 0"),
        // what is waiting grows, and so does what is kept to find equal rows
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + x.column1 FROM r, (VALUES (1), (2)) AS x)
         SELECT count(*) FROM r"
            .into(),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION SELECT n * 3 % 1000000007 FROM r) SELECT max(n) FROM r"
            .into(),
        "SELECT count(*) FROM t0, t1, t2 WHERE t0.c0 + t1.c0 + t2.c0 < 0".into(),
        "SELECT sum(quantile) FROM (SELECT over_quantile(c0, 0.5) OVER (ORDER BY c0 ROWS 10000 PRECEDING) \
         AS quantile FROM t0)"
            .into(),
    ] {
        let limits = Limits { deadline: Duration::from_millis(200), ..Limits::default() };
        let sandbox = within(tables(), &Budget::new(&limits));
        let begin = Instant::now();
        let error = ask(&sandbox, &sql).unwrap_err();
        assert!(matches!(error, Error::OverBudget { bound: Bound::Deadline, .. }), "{sql}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{sql} took {:?}", begin.elapsed());
    }
    let limits = Limits::default();
    limits.cancelled.store(true, Ordering::Relaxed);
    let error = ask(&within(tables(), &Budget::new(&limits)), "SELECT sum(c0) FROM t0").unwrap_err();
    assert!(matches!(error, Error::OverBudget { bound: Bound::Cancelled, .. }), "{error}");
    let limits = Limits { rows: Some(20_000), ..Limits::default() };
    let sandbox = within(tables(), &Budget::new(&limits));
    let error = ask(&sandbox, "SELECT count(*) FROM t0, t1 WHERE t0.c0 = 5 AND t1.c0 <> t0.c0").unwrap_err();
    assert!(matches!(error, Error::OverBudget { bound: Bound::Rows, .. }), "{error}");
}

#[test]
fn what_a_question_keeps_is_charged_and_given_back() {
    const ROWS: i64 = 60_000;
    let columns = [
        ("n", numbers(ROWS, |row| row)),
        ("text", (0..ROWS).map(|row| Value::text(format!("a text of some length {row}"))).collect()),
    ];
    let data = Arc::new(dataset("t", &columns, 16_384));
    let tables = || vec![table("t0", &data, &["n", "text"]), table("t1", &data, &["n", "text"])];
    for sql in [
        "SELECT uniq(c0) FROM t0",
        "SELECT quantile(c0, 0.5) FROM t0",
        "SELECT c0, c1 FROM t0",
        "SELECT max(x) FROM (SELECT over_min(c1) OVER () AS x FROM t0)",
        "SELECT count(*) FROM t0 JOIN t1 ON t0.c1 = t1.c1",
        "SELECT count(*) FROM t0 JOIN t1 ON t0.c0 = t1.c0 AND t0.c1 = t1.c1",
    ] {
        let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
        let sandbox = within(tables(), &Budget::new(&limits));
        let error = ask(&sandbox, sql).unwrap_err();
        assert!(matches!(error, Error::OverBudget { bound: Bound::Memory, .. }), "{sql}: {error}");
        drop(sandbox);
        assert_eq!(limits.together.load(Ordering::Relaxed), 0, "{sql}");
        // and what sorts and groups within SQLite goes on in files
        let sandbox = within(tables(), &Budget::new(&limits));
        let sorted = ask(&sandbox, "SELECT c1 FROM t0 ORDER BY c1 DESC, c0 LIMIT 1").unwrap();
        assert_eq!(sorted, [[Value::text("a text of some length 9999")]]);
        let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
        ask(&within(tables(), &Budget::new(&limits)), sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(limits.together.load(Ordering::Relaxed), 0, "{sql}");
    }
}

#[test]
fn a_row_of_many_long_texts_is_too_large_before_it_is_whole() {
    let text = Value::text("x".repeat(4 << 20));
    let data = Arc::new(dataset("t", &[("text", vec![text; 3])], 3));
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    let asked = |columns: usize, column: &str| {
        let sandbox = within(vec![table("t0", &data, &["text"])], &Budget::new(&limits));
        ask(&sandbox, &format!("SELECT {} FROM t0 LIMIT 1", vec![column; columns].join(", ")))
    };
    for column in ["c0", "concat(c0, 'x')"] {
        assert_eq!(asked(4, column).unwrap()[0].len(), 4);
        let error = asked(1_000, column).unwrap_err();
        assert!(matches!(error, Error::OverBudget { bound: Bound::Memory, .. }), "{column}: {error}");
    }
    assert_eq!(limits.together.load(Ordering::Relaxed), 0);
}

#[test]
fn a_statement_can_read_its_tables_and_nothing_else() {
    let data = Arc::new(dataset("t", &[("n", numbers(3, |row| row))], 3));
    let sandbox = open(vec![table("t0", &data, &["n"])]);
    for sql in [
        "ATTACH 'x.db' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "PRAGMA temp_store = MEMORY",
        "PRAGMA cache_size",
        "SELECT * FROM pragma_table_info('t0')",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM sqlite_master",
        "SELECT count(*) FROM sqlite_schema",
        "SELECT 1 FROM sqlite_temp_master",
        "SELECT * FROM dbstat",
        "SELECT * FROM json_tree('[1]')",
        "SELECT * FROM t1",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "CREATE VIRTUAL TABLE x USING t0",
        "INSERT INTO t0 VALUES (1)",
        "UPDATE t0 SET c0 = 1",
        "DELETE FROM t0",
        "DROP TABLE t0",
        "VACUUM INTO 'x.db'",
        "BEGIN",
        "SAVEPOINT x",
        "ANALYZE",
        "SELECT count(*) FROM pragma_database_list",
        "SELECT 1 FROM json_tree",
        "SELECT count(*) FROM SQLITE_MASTER",
        "SELECT 1 FROM main.sqlite_schema",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('x', 'y')",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(1000000000)",
        "SELECT printf('%1000000000d', 1)",
        "SELECT format('%1000000000d', 1)",
        "SELECT group_concat(c0) FROM t0",
        "SELECT json_group_array(c0) FROM t0",
        "SELECT hex(c0) FROM t0",
        "SELECT random()",
        "SELECT sqlite_version()",
        "SELECT fts3_tokenizer('x')",
        "SELECT c0 LIKE 'x' FROM t0",
        "SELECT c0 -> 'x' FROM t0",
        "SELECT 1; SELECT 2",
        "SELECT \"no name\" FROM t0",
        "",
    ] {
        let refused = ask(&sandbox, sql);
        assert!(refused.is_err() || sql.is_empty(), "{sql} gave {refused:?}");
    }
    let words = |sql: &str| ask(&sandbox, sql).unwrap_err().to_string();
    assert!(words("SELECT zeroblob(9)").contains("not authorized to use function: zeroblob"));
    for (sql, wanted) in [
        ("SELECT count(*) FROM t0", "[[Int(3)]]"),
        ("SELECT row_number() OVER (ORDER BY c0 DESC) FROM t0 ORDER BY c0 LIMIT 1", "[[Int(3)]]"),
        ("SELECT list_entry('a', value) FROM json_each(entry_numbers(7))", "[[Text(\"a\")]]"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 4) SELECT sum(n) FROM r",
            "[[Int(10)]]",
        ),
    ] {
        assert_eq!(format!("{:?}", ask(&sandbox, sql).unwrap()), wanted, "{sql}");
    }
}

#[test]
fn what_goes_wrong_is_told_in_our_words() {
    let text = Value::text("x".repeat(1 << 20));
    let whole = dataset("t", &[("n", numbers(200, |row| row)), ("text", vec![text; 200])], 100);
    let (lost, _) = watched(1, &whole.tail[..1], Some(Damage::Lost("n")));
    let damaged = Dataset { segments: vec![Arc::new(lost)], tail: whole.tail[1..].to_vec(), ..whole.clone() };
    let (whole, damaged) = (Arc::new(whole), Arc::new(damaged));
    let sandbox = open(vec![table("t0", &whole, &["n", "text"]), table("t1", &damaged, &["n", "_seq"])]);
    let long = "concat(c1, c1, c1, c1, c1, c1, c1, c1)";
    type Kind = fn(&Error) -> bool;
    let (invalid, corrupt): (Kind, Kind) =
        (|error| matches!(error, Error::Invalid { .. }), |error| matches!(error, Error::Corrupt(_)));
    for (sql, kind, words) in [
        (
            "SELECT op_add(9223372036854775807, c0) FROM t0 WHERE c0 = 1".to_owned(),
            invalid,
            "integer overflow",
        ),
        ("SELECT sum(c0) FROM t1".into(), corrupt, "not there"),
        ("SELECT count(*) FROM t1 WHERE c0 = 5".into(), corrupt, "not there"),
        (format!("SELECT {long}, {long}, {long}, {long}, {long} FROM t0 ORDER BY 1"), invalid, "32 MiB"),
        (
            format!("SELECT {}1", "1 + ".repeat(2_000)),
            invalid,
            "SQLite refuses it: Expression tree is too large",
        ),
        (
            format!("SELECT 1{}", " UNION ALL SELECT c0 FROM t0".repeat(600)),
            invalid,
            "too many terms in compound",
        ),
        (format!("SELECT 1{}", ", 1".repeat(2_100)), invalid, "too many columns"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT count(*) FROM r) SELECT * FROM r".into(),
            invalid,
            "",
        ),
        ("SELECT sum(sum(c0)) FROM t0".into(), invalid, "misuse of aggregate"),
        ("SELECT c9 FROM t0".into(), |error| matches!(error, Error::Sqlite { .. }), "no such column"),
    ] {
        let error = ask(&sandbox, &sql).unwrap_err();
        let sql: String = sql.chars().take(80).collect();
        assert!(kind(&error) && error.to_string().contains(words), "{sql}: {error:?}");
    }
    // what is not asked for is not read
    assert_eq!(
        ask(&sandbox, "SELECT count(*), max(c1) FROM t1").unwrap(),
        [[Value::Int(200), Value::Int(200)]]
    );
}
