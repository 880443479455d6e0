//! The stored column as a whole: what goes in comes out, in the size that its form is for, and the golden files.

mod damage;
mod golden;

use std::sync::Arc;

use proptest::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow};
use crate::columnar::segment::{BLOCK_ROWS, ColumnIndex, HeadColumn, SegmentHead, encode};
use crate::columnar::tests::any_column;
use crate::columnar::text::{Dictionary, Texts};
use crate::error::Result;
use crate::value::Value;

/// Everything of a stored column, read as the buffer pool reads it.
fn decode(bytes: &[u8]) -> Result<(ColumnIndex, Vec<Column>)> {
    let cut = |range: std::ops::Range<u64>| {
        let end = bytes.len() as u64;
        &bytes[range.start.min(end) as usize..range.end.min(end) as usize]
    };
    let size = ColumnIndex::bytes(&bytes[..bytes.len().min(ColumnIndex::PREFIX_BYTES)])?;
    let index = ColumnIndex::decode(cut(0..size as u64))?;
    if index.column_bytes() != bytes.len() as u64 {
        return Err(crate::error::Error::Corrupt("it has another size than its index tells".into()));
    }
    let dictionaries = index.decode_dictionaries(cut(index.dictionary_range()))?;
    let blocks = index.zones().enumerate().map(|(at, _)| {
        let range = index.block_range(at).expect("a block");
        index.decode_block(at, cut(range), &dictionaries)
    });
    let blocks = blocks.collect::<Result<_>>()?;
    Ok((index, blocks))
}

/// Exactly the same, also in type and sign: 1, 1.0 and -0.0 differ here.
fn cell(column: &Column, row: usize) -> String {
    format!("{:?}", column.get(row))
}

/// Encodes and reads back: the size of what is stored. Asserts that every cell comes back and that no zone lies.
fn round_trip(column: &Column) -> usize {
    let bytes = encode(column).expect("encodes");
    let (index, blocks) = decode(&bytes).expect("decodes");
    assert_eq!(index.rows(), column.rows);
    assert_eq!(blocks.iter().map(|block| block.rows).sum::<usize>(), column.rows);
    for (at, block) in blocks.iter().enumerate() {
        damage::keeps_the_rules(block);
        let zone = index.zone(at).expect("a zone");
        for row in 0..block.rows {
            assert_eq!(cell(block, row), cell(column, at * BLOCK_ROWS + row), "row {row} of block {at}");
            match block.get(row) {
                Value::Int(n) | Value::Time(n) => {
                    assert!(
                        zone.span.is_none_or(|(min, max)| min <= n && n <= max),
                        "{n} is not in {zone:?}"
                    );
                }
                _ => {}
            }
        }
        let nulls = (0..block.rows).filter(|row| !block.is_valid(*row)).count();
        assert_eq!(zone.nulls as usize, nulls);
    }
    bytes.len()
}

fn ints(values: impl IntoIterator<Item = i64>) -> Column {
    let values: Vec<i64> = values.into_iter().collect();
    Column::new(values.len(), None, Data::Int(Ints::from_values(&values)))
}

fn floats(values: impl IntoIterator<Item = f64>) -> Column {
    let values: Vec<f64> = values.into_iter().collect();
    Column::new(values.len(), None, Data::Float { values, whole: None })
}

/// Numbers without a pattern, the same every time.
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn any_ints() -> impl Strategy<Value = Vec<i64>> {
    let number = prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -3i64..3, Just(0)];
    let few = prop::collection::vec(any::<i64>(), 1..5)
        .prop_flat_map(|values| prop::collection::vec(prop::sample::select(values), 1..200));
    let scaled = (any::<i32>(), 1i64..1_000_000, prop::collection::vec(0i64..70_000, 0..100))
        .prop_map(|(base, unit, steps)| steps.iter().map(|step| i64::from(base) + step * unit).collect());
    let counting = (any::<i64>(), any::<i64>(), 0i64..100).prop_map(|(first, step, count)| {
        (0..count).map(|at| first.saturating_add(step.saturating_mul(at))).collect()
    });
    prop_oneof![prop::collection::vec(number, 0..100), few, scaled, counting]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |f| f.is_finite()),
        (any::<i32>(), 0i32..12).prop_map(|(n, decimals)| f64::from(n) / 10f64.powi(decimals)),
        prop::sample::select(vec![0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2, 1e22]),
    ]
}

proptest! {
    #[test]
    fn every_kind_of_value_comes_back(values in (0usize..140).prop_flat_map(any_column)) {
        round_trip(&column_of(values));
    }

    #[test]
    fn integers_come_back(mut values in any_ints(), sorted in any::<bool>(), gap in 2usize..9) {
        if sorted { values.sort_unstable(); }
        round_trip(&ints(values.iter().copied()));
        let with_gaps = values.iter().enumerate().map(|(at, n)| if at % gap == 0 { Value::Null } else { Value::Time(*n) });
        round_trip(&column_of(with_gaps));
    }

    #[test]
    fn floats_come_back_bit_for_bit(values in prop::collection::vec(any_float(), 0..60)) {
        let (_, blocks) = decode(&encode(&floats(values.iter().copied())).expect("encodes")).expect("decodes");
        let read: Vec<u64> = blocks.iter().flat_map(|block| match &block.data {
            Data::Float { values, .. } => values.iter().map(|v| v.to_bits()).collect(),
            _ => Vec::new(),
        }).collect();
        prop_assert_eq!(read, values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn the_head_comes_back(columns in prop::collection::btree_map("\\PC{0,5}", (any_column(5), any::<bool>()), 0..6), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut head = SegmentHead { rows: 5, columns: Vec::new() };
        for (name, (values, same)) in columns {
            let mut told = HeadColumn::of(name.as_str().into(), &column_of(values), None);
            if same && let Some(stored) = head.columns.iter().position(|c| c.same_as.is_none()) {
                told = HeadColumn { name: told.name, same_as: Some(stored as u32), ..head.columns[stored].clone() };
            }
            head.columns.push(told);
        }
        let bytes = head.encode();
        prop_assert_eq!(SegmentHead::decode(&bytes).expect("decodes"), head);
        damage::flipped_cut_or_extended_is_refused(&bytes, at.index(bytes.len()), bit, |bytes| SegmentHead::decode(bytes).is_err())?;
    }
}

#[test]
fn blocks_end_where_they_should() {
    let pattern = |row: usize| match row % 7 {
        0 => Value::Int(row as i64),
        1 => Value::text(format!("text {}", row % 300)),
        2 => Value::Float(row as f64 / 8.0),
        3 => Value::Json(format!("[{}]", row % 5).into()),
        4 => Value::List((0..row % 4).map(|n| Arc::from(format!("item {n}"))).collect()),
        5 => Value::Time(row as i64 * 1_000_000),
        _ => {
            if row.is_multiple_of(2) {
                Value::Null
            } else {
                Value::Bool(row.is_multiple_of(3))
            }
        }
    };
    for rows in [0, 1, 63, 64, 65, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 70] {
        let bytes = encode(&column_of((0..rows).map(pattern))).expect("encodes");
        assert_eq!(decode(&bytes).expect("decodes").1.len(), rows.div_ceil(BLOCK_ROWS));
        round_trip(&column_of((0..rows).map(pattern)));
        for kind in 0..7 {
            // each kind alone, with gaps and without
            round_trip(&column_of((0..rows).map(|row| pattern(row * 7 + kind))));
            round_trip(&column_of(
                (0..rows).map(|row| if row % 3 == 1 { pattern(row * 7 + kind) } else { Value::Null }),
            ));
        }
        round_trip(&Column::null(rows));
    }
}

#[test]
fn a_kind_that_only_one_block_has_leaves_the_others_plain() {
    let value = |row: usize| if row == BLOCK_ROWS + 5 { Value::text("odd") } else { Value::Int(row as i64) };
    let column = column_of((0..3 * BLOCK_ROWS).map(value));
    round_trip(&column);
    let (index, blocks) = decode(&encode(&column).expect("encodes")).expect("decodes");
    assert!(matches!(blocks[0].data, Data::Int(_)) && blocks[0].validity.is_none());
    assert!(matches!(blocks[1].data, Data::Mixed(_)));
    assert_eq!(index.zone(0).and_then(|zone| zone.span), Some((0, BLOCK_ROWS as i64 - 1)));
    assert_eq!(index.zone(1).and_then(|zone| zone.span), None);
}

#[test]
fn zones_tell_the_codes_of_strings_by_block() {
    let column =
        column_of((0..2 * BLOCK_ROWS).map(|row| Value::text(if row < BLOCK_ROWS { "a" } else { "b" })));
    let (index, blocks) = decode(&encode(&column).expect("encodes")).expect("decodes");
    let codes: Vec<_> = index.zones().map(|zone| zone.codes).collect();
    assert_eq!(codes, [Some((0, 0)), Some((1, 1))]);
    let dictionary = |at: usize| match &blocks[at].data {
        Data::Text(texts) => Arc::clone(&texts.dictionary),
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&dictionary(0), &dictionary(1)), "blocks share one dictionary");
}

#[test]
fn texts_that_no_row_has_are_not_stored() {
    let dictionary = Dictionary::from_sorted(["kept", "secret", "shown"].into_iter());
    let texts = Texts { codes: Narrow::U8(vec![0, 1, 2, 0]), dictionary: Arc::new(dictionary) };
    let validity = Bitmap::from_fn(4, |row| row != 1);
    let list = Data::List { ends: vec![1, 2, 3, 4], items: texts.clone() };
    for data in [Data::Text(texts.clone()), Data::Json(texts), list] {
        let column = Column::new(4, Some(validity.clone()), data);
        round_trip(&column);
        let bytes = encode(&column).expect("encodes");
        assert!(!bytes.windows(6).any(|window| window == b"secret"));
        assert!(bytes.windows(9).any(|window| window == b"keptshown"));
        // rows taken out leave the same trace: none
        let bytes = encode(&column.take(&[0, 3])).expect("encodes");
        assert!(!bytes.windows(5).any(|window| window == b"shown"));
    }
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    assert!(encode(&floats([1.0, f64::NAN])).is_err());
    let all = Column::new(2, None, Data::Bool(Bitmap::filled(2, true)));
    let parts = vec![all, ints([1, 2])];
    assert!(encode(&Column::new(2, None, Data::Mixed(parts))).is_err());
    let half = |row| Column::new(2, Some(Bitmap::from_fn(2, |at| at == row)), ints([1, 2]).data);
    assert!(encode(&Column::new(2, None, Data::Mixed(vec![half(0), half(1)]))).is_err());
}

/// Bytes a row of a full block, without what every column has.
fn bytes_per_row(column: &Column) -> f64 {
    assert_eq!(column.rows, BLOCK_ROWS);
    (round_trip(column) - encode(&Column::null(0)).expect("encodes").len()) as f64 / BLOCK_ROWS as f64
}

#[test]
fn every_form_is_as_small_as_it_is_meant_to_be() {
    let rows = 0..BLOCK_ROWS as i64;
    let mut next = noise(1);
    let near = |limit: f64, column: &Column, what: &str| {
        let bytes = bytes_per_row(column);
        assert!(bytes < limit, "{what}: {bytes:.3} bytes a row, expected below {limit}");
    };
    near(0.005, &ints(rows.clone().map(|n| n + 1)), "ids");
    near(0.005, &ints(rows.clone().map(|_| i64::MIN)), "a constant");
    near(0.005, &ints(rows.clone().map(|n| i64::MAX - n * 1000)), "falling by 1000");
    let mut time = 1_767_225_600_000_000;
    let times: Vec<i64> = rows
        .clone()
        .map(|_| {
            time += (next() % 60_000) as i64 * 1000;
            time
        })
        .collect();
    near(2.05, &Column::times(&times), "sorted times in milliseconds, up to a minute apart");
    let mut shuffled = times.clone();
    shuffled.sort_unstable_by_key(|time| time.wrapping_mul(0x9e37_79b9_7f4a_7c15u64 as i64));
    near(3.8, &Column::times(&shuffled), "the same in any order: 29 bits of milliseconds");
    let sessions: Vec<i64> = (0..BLOCK_ROWS / 5).map(|_| (next() >> 12) as i64).collect();
    let session = |n: u64| sessions[n as usize % sessions.len()];
    near(2.9, &ints(rows.clone().map(|_| session(next()))), "sessions of 52 bits, each five times");
    near(8.05, &ints(rows.clone().map(|_| next() as i64)), "noise");
    near(
        1.1,
        &ints(rows.clone().map(|_| [200, 301, 404, 500][next() as usize % 4] << 40)),
        "four values far apart",
    );
    near(2.7, &floats(rows.clone().map(|_| (next() % 1_000_000) as f64 / 100.0)), "prices");
    near(
        8.05,
        &floats(rows.clone().map(|_| (next() >> 11) as f64 / (1u64 << 53) as f64)),
        "floats of all bits",
    );
    let bools = column_of(rows.clone().map(|_| Value::Bool(next().is_multiple_of(2))));
    near(0.13, &bools, "bools");
    let sparse = rows.clone().map(|n| if n % 100 == 3 { Value::Int(next() as i64) } else { Value::Null });
    near(0.12, &column_of(sparse), "one row in a hundred");
    let texts = rows.clone().map(|_| Value::text(format!("/{}", next() % 2000)));
    near(1.6 + 0.6, &column_of(texts), "texts of 2000: 11 bits, and the dictionary");
    let runs = rows.map(|n| Value::text(["a", "b", "c"][n as usize / 1000 % 3]));
    near(0.02, &column_of(runs), "texts in runs");
}
