//! The stored block as a whole: round trips of everything that can be in it, joins, and damaged bytes.

use std::sync::Arc;

use proptest::prelude::*;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::{Block, TIME, concat};
use crate::value::Value;

pub(super) fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1000i64..1000).prop_map(Value::Int),
        (-1e9..1e9f64).prop_map(Value::Float),
        any::<i64>().prop_map(Value::Time),
        "[a-c]{0,3}".prop_map(Value::text),
        "\\PC{0,8}".prop_map(Value::text),
        prop::collection::vec("[xyz]{0,2}", 0..4)
            .prop_map(|l| Value::List(l.into_iter().map(Arc::from).collect())),
        (0..9i32).prop_map(|n| Value::Json(format!("[{n}]").into())),
    ]
}

/// Columns of one kind and columns of all kinds.
pub(super) fn any_column(rows: usize) -> impl Strategy<Value = Vec<Value>> {
    prop_oneof![
        prop::collection::vec(any_value(), rows),
        prop::collection::vec(prop::option::of("[a-f]{1,2}"), rows)
            .prop_map(|v| v.into_iter().map(|s| s.map_or(Value::Null, Value::text)).collect()),
        prop::collection::vec(-5i64..70_000, rows).prop_map(|v| v.into_iter().map(Value::Int).collect()),
    ]
}

fn any_block() -> impl Strategy<Value = (Vec<i64>, Vec<Vec<Value>>)> {
    (0usize..140).prop_flat_map(|rows| {
        (prop::collection::vec(any::<i64>(), rows), prop::collection::vec(any_column(rows), 0..4))
    })
}

fn block_of(times: &[i64], columns: &[Vec<Value>]) -> Block {
    let mut all: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(times)))];
    for (at, values) in columns.iter().enumerate() {
        all.push((format!("field {at}").into(), Arc::new(column_of(values.iter().cloned()))));
    }
    Block::new(times.len(), all)
}

/// Exactly the same, also in type: 1 and 1.0 differ here.
fn cells(block: &Block, name: &str) -> Vec<String> {
    let column = block.column(name);
    (0..block.rows()).map(|row| column.map_or("Null".into(), |c| format!("{:?}", c.get(row)))).collect()
}

proptest! {
    #[test]
    fn a_block_comes_back_from_its_stored_form((times, columns) in any_block()) {
        let block = block_of(&times, &columns);
        let read = Block::decode(&block.encode().expect("encodes")).expect("decodes");
        for (at, values) in columns.iter().enumerate() {
            let expected: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
            prop_assert_eq!(cells(&read, &format!("field {at}")), expected);
        }
        prop_assert_eq!(read, block);
    }

    #[test]
    fn joined_blocks_hold_the_rows_of_all_in_order(parts in prop::collection::vec(any_block(), 1..4)) {
        let blocks: Vec<Block> = parts.iter().map(|(t, c)| block_of(t, c)).collect();
        let joined = concat::blocks(&blocks.iter().collect::<Vec<_>>());
        for name in ["_time", "field 0", "field 1", "field 2"] {
            let expected: Vec<String> = blocks.iter().flat_map(|b| cells(b, name)).collect();
            prop_assert_eq!(cells(&joined, name), expected);
        }
        let read = Block::decode(&joined.encode().expect("encodes")).expect("decodes");
        prop_assert_eq!(read, joined);
    }

    #[test]
    fn damaged_bytes_end_in_an_error((times, columns) in any_block(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = block_of(&times, &columns).encode().expect("encodes");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Block::decode(&bytes).is_err());
        prop_assert!(Block::decode(&bytes[..at]).is_err());
    }

    /// Damage that a checksum does not see (a bug of a writer): an error or a block, never a panic.
    #[test]
    fn a_wrong_body_under_a_right_checksum_does_not_panic((times, columns) in any_block(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = block_of(&times, &columns).encode().expect("encodes");
        let at = 13 + at.index(bytes.len() - 13);
        bytes[at] = byte;
        let sum = super::encode::checksum(&bytes);
        bytes[5..13].copy_from_slice(&sum.to_le_bytes());
        if let Ok(block) = Block::decode(&bytes) {
            for (name, _) in block.columns() {
                cells(&block, name);
            }
        }
    }

    #[test]
    fn taken_rows_are_those_rows((times, columns) in any_block(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..50)) {
        prop_assume!(!times.is_empty() && !columns.is_empty());
        let rows: Vec<u32> = picks.iter().map(|p| p.index(times.len()) as u32).collect();
        let column = column_of(columns[0].iter().cloned()).take(&rows);
        let got: Vec<String> = (0..rows.len()).map(|row| format!("{:?}", column.get(row))).collect();
        let expected: Vec<String> = rows.iter().map(|r| format!("{:?}", columns[0][*r as usize])).collect();
        prop_assert_eq!(got, expected);
    }
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/block-v1.bin");

/// Version 1 as it was first written. A change of the format that breaks reading this file needs a new version
/// and a golden file of its own; `WINDROW_WRITE_GOLDEN=1` writes one that is missing.
#[test]
fn the_golden_block_of_version_1_still_reads() {
    if std::env::var_os("WINDROW_WRITE_GOLDEN").is_some() && !std::path::Path::new(GOLDEN).exists() {
        std::fs::write(GOLDEN, golden().encode().expect("encodes")).expect("writes");
    }
    let bytes = std::fs::read(GOLDEN).expect("the golden file");
    assert_eq!(Block::decode(&bytes).expect("decodes"), golden());
}

fn golden() -> Block {
    let list = |items: &[&str]| Value::List(items.iter().map(|i| Arc::from(*i)).collect());
    block_of(
        &[1_767_225_600_000_000, 1_767_225_600_000_001, -1],
        &[
            vec![Value::Int(7), Value::text("seven"), Value::Float(7.5)],
            vec![list(&["a", "ü"]), Value::Null, list(&[])],
            vec![Value::Bool(true), Value::Json("[1,{}]".into()), Value::Time(0)],
        ],
    )
}

#[test]
fn a_block_that_lies_about_its_bounds_or_entries_is_refused() {
    use crate::columnar::narrow::{Ints, Narrow};
    use crate::columnar::text::Dictionary;
    let with = |offset| {
        let ints = Ints::from_parts(10, 15, Narrow::U8(vec![0, offset]));
        let n = Column { rows: 2, validity: None, data: Data::Int(ints) };
        let columns = vec![(TIME.into(), Arc::new(Column::times(&[1, 2]))), ("n".into(), Arc::new(n))];
        Block::decode(&Block::new(2, columns).encode().expect("encodes"))
    };
    assert!(with(5).is_ok());
    assert!(with(6).is_err_and(|e| e.to_string().contains("outside its bounds")));
    assert!(Dictionary::from_parts("ab".into(), vec![1, 2]).is_some());
    assert!(Dictionary::from_parts("aa".into(), vec![1, 2]).is_none());
}
