//! docs/query.md and docs/sql.md are true: their examples of aggregates and queries, over the rows that they show.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::fields::FieldSet;
use crate::query::layouts::{LAYOUTS, alone, laid_out};
use crate::query::{answer, parse};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::time;
use crate::value::Value;

const DOCS: &str = include_str!("../../docs/query.md");
const SQL_DOCS: &str = include_str!("../../docs/sql.md");

/// The lines of the blocks of one kind.
fn lines(fence: &str) -> impl Iterator<Item = &'static str> {
    lines_of(DOCS, fence)
}

fn lines_of(docs: &'static str, fence: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{fence}\n");
    let blocks: Vec<&str> = docs.split(fence.as_str()).skip(1).collect();
    blocks.into_iter().flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

fn value(json: Option<&Json>) -> Value {
    match json {
        None | Some(Json::Null) => Value::Null,
        Some(Json::Number(number)) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().expect("a float")), Value::Int)
        }
        Some(Json::Array(items)) => {
            Value::List(items.iter().map(|item| Arc::from(item.as_str().expect("a text"))).collect())
        }
        Some(other) => Value::text(other.as_str().expect("a text")),
    }
}

fn dataset() -> Arc<Dataset> {
    dataset_of("t", lines("rows"), &["country", "ms", "price", "tags"])
}

fn dataset_of(
    name: &str,
    lines: impl Iterator<Item = &'static str>,
    columns_of: &[&'static str],
) -> Arc<Dataset> {
    let rows: Vec<Json> = lines.map(|line| serde_json::from_str(line).expect(line)).collect();
    let times: Vec<i64> =
        rows.iter().map(|row| time::parse(row[TIME].as_str().expect("a text")).expect("a time")).collect();
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
    let mut fields = FieldSet::default();
    for name in columns_of.iter().copied() {
        let column = column_of(rows.iter().map(|row| value(row.get(name))));
        fields.add(&name.into(), column.kinds());
        columns.push((name.into(), Arc::new(column)));
    }
    let block = TailBlock { first_seq: 1, block: Arc::new(Block::new(rows.len(), columns)) };
    let next_seq = 1 + rows.len() as i64;
    Arc::new(Dataset {
        id: 1,
        fields: Arc::new(fields),
        next_seq,
        tail: vec![block],
        ..Dataset::new(name.into())
    })
}

/// The rows of an answer as JSON; only the cell of an aggregate alone.
fn shown(sql: &str, snapshot: &Snapshot, is_alone: bool) -> String {
    let answer = match parse::statement(sql, &[]).and_then(|statement| answer(snapshot, &statement)) {
        Ok(answer) => answer,
        Err(error) => return format!("error: {error}"),
    };
    let mut cells = answer.rows.iter().map(|row| {
        let mut out = Vec::new();
        for (at, value) in row.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b"," } else { b"" });
            value.write_json(&mut out);
        }
        String::from_utf8(out).expect("text")
    });
    match is_alone {
        true => cells.next().unwrap_or_default(),
        false => format!("[{}]", cells.map(|cell| format!("[{cell}]")).collect::<Vec<_>>().join(",")),
    }
}

#[test]
fn the_examples_of_aggregates_and_queries_are_true() {
    let whole = dataset();
    let aggregates = lines("examples of aggregates").map(|line| (line, true));
    let queries = lines("examples of queries").map(|line| (line, false));
    let mut run = 0;
    for (line, is_alone) in aggregates.chain(queries) {
        let (text, wanted) = line.rsplit_once(" → ").unwrap_or_else(|| panic!("no arrow in {line}"));
        let sql = if is_alone { format!("SELECT {text} FROM t") } else { text.to_owned() };
        for layout in LAYOUTS {
            assert_eq!(
                shown(&sql, &alone(laid_out(&whole, layout)), is_alone),
                wanted,
                "{sql} over {layout:?}"
            );
        }
        run += 1;
    }
    assert!(run > 40, "only {run} examples were found");
}

#[test]
fn the_examples_of_sql_are_true() {
    let visits = dataset_of("visits", lines_of(SQL_DOCS, "rows visits"), &["user_id", "path", "ms"]);
    let users = dataset_of("users", lines_of(SQL_DOCS, "rows users"), &["id", "plan"]);
    let mut run = 0;
    for line in lines_of(SQL_DOCS, "examples") {
        let (sql, wanted) = line.rsplit_once(" → ").unwrap_or_else(|| panic!("no arrow in {line}"));
        for layout in LAYOUTS {
            let mut snapshot = alone(laid_out(&visits, layout));
            let users = laid_out(&users, layout);
            snapshot.datasets.insert(Arc::clone(&users.name), users);
            assert_eq!(shown(sql, &snapshot, false), wanted, "{sql} over {layout:?}");
        }
        run += 1;
    }
    assert!(run > 20, "only {run} examples were found");
}
