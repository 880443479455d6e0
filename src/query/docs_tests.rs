//! docs/query.md is true: its examples of aggregates and queries, over the rows that it shows.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::fields::FieldSet;
use crate::query::layouts::{LAYOUTS, alone, laid_out};
use crate::query::{parse, run};
use crate::store::snapshot::{Dataset, TailBlock};
use crate::time;
use crate::value::Value;

const DOCS: &str = include_str!("../../docs/query.md");

/// The lines of the blocks of one kind.
fn lines(fence: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{fence}\n");
    let blocks: Vec<&str> = DOCS.split(fence.as_str()).skip(1).collect();
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
    let rows: Vec<Json> = lines("rows").map(|line| serde_json::from_str(line).expect(line)).collect();
    let times: Vec<i64> =
        rows.iter().map(|row| time::parse(row[TIME].as_str().expect("a text")).expect("a time")).collect();
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
    let mut fields = FieldSet::default();
    for name in ["country", "ms", "price", "tags"] {
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
        ..Dataset::new("t".into())
    })
}

/// The rows of an answer as JSON; only the cell of an aggregate alone.
fn shown(sql: &str, dataset: &Arc<Dataset>, is_alone: bool) -> String {
    let answer = match parse::sql(sql, &[]).and_then(|query| run(&alone(Arc::clone(dataset)), &query)) {
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
            assert_eq!(shown(&sql, &laid_out(&whole, layout), is_alone), wanted, "{sql} over {layout:?}");
        }
        run += 1;
    }
    assert!(run > 40, "only {run} examples were found");
}
