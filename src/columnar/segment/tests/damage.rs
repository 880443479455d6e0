//! Damaged columns: an error, never a panic, never a column that is wrong or breaks a rule.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use xxhash_rust::xxh3::xxh3_64;

use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::segment::index::{Section, put_index};
use crate::columnar::segment::tests::{decode, noise};
use crate::columnar::segment::{BLOCK_ROWS, BlockZone, ColumnIndex, encode, read};
use crate::columnar::tests::any_column;
use crate::columnar::text::Texts;
use crate::value::Value;

/// What every column in memory keeps, whatever it was read from.
pub(super) fn keeps_the_rules(column: &Column) {
    let rows = column.rows;
    if let Some(bits) = &column.validity {
        assert_eq!(bits.len(), rows);
        assert!(!bits.all() || rows == 0, "a validity without gaps");
        assert_eq!(bits.ones().filter(|row| *row >= rows).count(), 0);
    }
    let ints = |ints: &Ints| {
        let span = ints.max().wrapping_sub(ints.min()) as u64;
        assert!(ints.offsets().len() == rows && ints.min() <= ints.max());
        assert!(ints.offsets().iter().all(|offset| offset <= span));
    };
    let texts = |texts: &Texts, count: usize| {
        assert_eq!(texts.codes.len(), count);
        assert!(texts.codes.iter().all(|code| code < texts.dictionary.len() as u64));
        let entries: Vec<&str> = texts.dictionary.iter().collect();
        assert!(entries.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
    };
    match &column.data {
        Data::Null => assert_eq!(column.validity.as_ref().map(|bits| bits.count_ones()), Some(0)),
        Data::Int(values) | Data::Time(values) => ints(values),
        Data::Float { values, whole } => {
            assert!(values.len() == rows && values.iter().all(|value| value.is_finite()));
            assert!(whole.as_ref().is_none_or(|whole| whole.len() == rows));
        }
        Data::Bool(bits) => assert_eq!(bits.len(), rows),
        Data::Text(values) | Data::Json(values) => texts(values, rows),
        Data::List { ends, items } => {
            assert!(ends.len() == rows && ends.is_sorted());
            texts(items, ends.last().map_or(0, |end| *end as usize));
        }
        Data::Mixed(parts) => {
            assert!(parts.len() > 1);
            for row in 0..rows {
                let filled = parts.iter().filter(|part| part.is_valid(row)).count();
                assert_eq!(filled, usize::from(column.is_valid(row)), "parts of row {row}");
            }
            for part in parts {
                assert!(part.rows == rows && !matches!(part.data, Data::Null | Data::Mixed(_)));
                keeps_the_rules(part);
            }
        }
    }
    (0..rows).for_each(|row| drop(column.get(row)));
}

pub(super) fn flipped_cut_or_extended_is_refused(
    bytes: &[u8],
    at: usize,
    bit: u8,
    is_refused: impl Fn(&[u8]) -> bool,
) -> Result<(), TestCaseError> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << bit;
    prop_assert!(is_refused(&flipped), "byte {at} flipped");
    prop_assert!(is_refused(&bytes[..at]), "cut at {at}");
    prop_assert!(is_refused(&[bytes, &[bit]].concat()), "extended");
    prop_assert!(is_refused(&[&bytes[..at], &[bit], &bytes[at..]].concat()), "a byte put in at {at}");
    Ok(())
}

/// The sections of a column: dictionaries, then blocks.
fn sections(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<BlockZone>) {
    let size = ColumnIndex::bytes(bytes).expect("a column");
    let index = ColumnIndex::decode(&bytes[..size]).expect("an index");
    let zones: Vec<BlockZone> = index.zones().copied().collect();
    let blocks = (0..zones.len()).map(|at| index.block_range(at).expect("a block"));
    let ranges = std::iter::once(index.dictionary_range()).chain(blocks);
    (ranges.map(|range| bytes[range.start as usize..range.end as usize].to_vec()).collect(), zones)
}

/// A column of such sections, with right checksums.
fn seal(rows: usize, sections: &[Vec<u8>], zones: &[BlockZone]) -> Vec<u8> {
    let section = |bytes: &Vec<u8>| Section { size: bytes.len() as u32, checksum: xxh3_64(bytes) };
    let blocks: Vec<_> = sections[1..].iter().map(section).zip(zones.iter().copied()).collect();
    let mut out = Vec::new();
    put_index(&mut out, rows as u32, section(&sections[0]), &blocks);
    out.extend(sections.concat());
    out
}

/// Columns small enough that streams are stored raw, so that a changed byte is a changed number.
fn small() -> Vec<Column> {
    let list = |n: i64| Value::List((0..n % 4).map(|n| format!("item {n}").as_str().into()).collect());
    let mixed = |n: i64| match n % 8 {
        0 => Value::Int(n * n),
        1 => Value::text(format!("text {}", n % 3)),
        2 => Value::Float(n as f64 / 10.0),
        3 => Value::Json(format!("[{n}]").into()),
        4 => list(n),
        5 => Value::Time(n * 1_000_000),
        6 => Value::Bool(n % 3 == 0),
        _ => Value::Null,
    };
    let mut next = noise(7);
    let gaps = |n: i64, value: Value| if n % 5 == 0 { Value::Null } else { value };
    vec![
        column_of((0..40).map(mixed)),
        column_of((0..40).map(|n| mixed(n * 8 + 1))),
        column_of((0..40).map(|n| gaps(n, mixed(n * 8 + 3)))),
        column_of((0..40).map(list)),
        column_of((0..40).map(|n| Value::Int(n * 3))),
        column_of((0..40).map(|n| gaps(n, Value::Time((n * n) << 20)))),
        column_of((0..40).map(|_| Value::Int(next() as i64))),
        column_of((0..40i64).map(|n| Value::Int((n % 3 * 7 + 3).pow(9)))),
        column_of((0..40).map(|n| Value::Float((n as f64).sqrt()))),
        column_of((0..40).map(|n| gaps(n, if n % 2 == 0 { Value::Int(n) } else { Value::Float(0.25) }))),
        column_of((0..40).map(|n| gaps(n, Value::Bool(n % 3 == 0)))),
        Column::null(40),
    ]
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    for column in small() {
        let bytes = encode(&column).expect("encodes");
        decode(&bytes).expect("decodes");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                flipped_cut_or_extended_is_refused(&bytes, at, bit, |bytes| decode(bytes).is_err())
                    .expect("refused");
            }
        }
    }
}

/// What checksums do not see (a bug of a writer): every byte of every section, with every value that it could have.
#[test]
fn any_byte_under_a_right_checksum_is_refused_or_keeps_the_rules() {
    for column in small() {
        let bytes = encode(&column).expect("encodes");
        let (sections, zones) = sections(&bytes);
        for (which, section) in sections.iter().enumerate() {
            for at in 0..section.len() {
                for value in 0..=255 {
                    let mut changed = sections.clone();
                    changed[which][at] = value;
                    check(&column, &changed, &zones);
                }
            }
        }
    }
}

fn check(column: &Column, changed: &[Vec<u8>], zones: &[BlockZone]) {
    if let Ok((_, blocks)) = decode(&seal(column.rows, changed, zones)) {
        blocks.iter().for_each(keeps_the_rules);
    }
    // also where the zone would have told
    if let Ok(dictionaries) = crate::columnar::segment::Dictionaries::read(&changed[0]) {
        for (at, block) in changed[1..].iter().enumerate() {
            let rows = (column.rows - at * BLOCK_ROWS).min(BLOCK_ROWS);
            if let Ok((column, _)) = read::block(block, rows, &dictionaries) {
                keeps_the_rules(&column);
            }
        }
    }
}

proptest! {
    #[test]
    fn damaged_bytes_end_in_an_error(values in (0usize..140).prop_flat_map(any_column), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let bytes = encode(&column_of(values)).expect("encodes");
        flipped_cut_or_extended_is_refused(&bytes, at.index(bytes.len()), bit, |bytes| decode(bytes).is_err())?;
    }

    #[test]
    fn wrong_sections_under_right_checksums_are_refused_or_keep_the_rules(
        values in (1usize..140).prop_flat_map(any_column),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let column = column_of(values);
        let (mut sections, zones) = sections(&encode(&column).expect("encodes"));
        for (section, at, byte) in changes {
            let section = section.get(&sections).len().checked_sub(1).map(|_| section.index(sections.len()));
            if let Some(section) = section {
                let at = at.index(sections[section].len());
                sections[section][at] = byte;
            }
        }
        if let Some(cut) = cut {
            let last = sections.last_mut().expect("a section");
            last.truncate(cut.index(last.len() + 1));
        }
        check(&column, &sections, &zones);
    }

    #[test]
    fn any_bytes_are_refused_or_keep_the_rules(bytes in prop::collection::vec(prop_oneof![0u8..9, any::<u8>()], 0..80), rows in 0usize..200) {
        check(&Column::null(rows), &[Vec::new(), bytes.clone()], &[BlockZone::default()]);
        check(&Column::null(rows), &[bytes.clone(), bytes], &[BlockZone::default()]);
    }
}

#[test]
fn a_block_says_what_is_wrong_with_it() {
    let column = column_of((0..40).map(Value::Int));
    let bytes = encode(&column).expect("encodes");
    let (sections, zones) = sections(&bytes);
    let told = |sections: &[Vec<u8>], zones: &[BlockZone]| {
        decode(&seal(40, sections, zones)).expect_err("is refused").to_string()
    };
    let changed = |at: usize, byte: u8| {
        let mut changed = sections.clone();
        changed[1][at] = byte;
        told(&changed, &zones)
    };
    // kind, has_gaps, form, first, step
    assert_eq!(changed(0, 9), "a column is of kind 9");
    assert_eq!(changed(1, 2), "a flag is neither 0 nor 1");
    assert_eq!(changed(2, 7), "40 integers have form 7");
    assert_eq!(changed(3, 1), "a block holds other values than its index tells");
    assert_eq!(changed(18, 0x7f), "an integer is beyond 64 bits");
    let mut longer = sections.clone();
    longer[1].push(0);
    assert_eq!(told(&longer, &zones), "bytes follow its end");
    let mut wrong = bytes.clone();
    wrong[3] = 2;
    assert_eq!(
        decode(&wrong).expect_err("version 2").to_string(),
        "it is of version 2, this program reads version 1"
    );
}

#[test]
fn a_few_bytes_cannot_claim_much_memory() {
    // a dictionary of 4 billion entries, all lengths 0
    let claims = [1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0];
    assert!(crate::columnar::segment::Dictionaries::read(&claims).is_err());
    // the same as zstd: 255 bytes in 16 may be, 4 billion may not
    let mut stored = vec![1u8, 0xff, 0xff, 0xff, 0xff, 1, 3];
    let frame = zstd::bulk::compress(&[0; 1000], 1).expect("compresses");
    stored.extend((frame.len() as u32).to_le_bytes());
    stored.extend(frame);
    let error = crate::columnar::segment::Dictionaries::read(&stored).expect_err("is refused");
    assert_eq!(error.to_string(), "a stream claims more than it can hold");
}
