//! Which fields make a telling list: texts and bools of a few to some hundred values. How many values a field has is
//! told by the dictionaries of what came last, so nothing is counted.

use crate::columnar::column::Data;
use crate::fields::FieldType;
use crate::store::part::Zone;
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, TailBlock};

/// Lists of the page.
pub const LISTS: usize = 3;
/// Fields that are looked at, the first of the dataset: bounds the work where there are thousands.
const LOOKED_AT: usize = 64;
/// Blocks of the tail that are looked at, the last.
const BLOCKS: usize = 8;
/// A field of more values has no few that stand out.
const VALUES_MAX: usize = 500;
/// A field of fewer values fills no list.
const VALUES_WANTED: usize = 6;
/// From so many rows on a field whose values repeat less than four times is taken for an id.
const ROWS_TELLING: usize = 40;

/// The fields to list, by how much they tell: first those with enough values to fill a list, in the order in which the
/// dataset has met them.
pub fn telling(dataset: &Dataset) -> Vec<&str> {
    // dictionaries are of all rows, so who is bound to a row filter sees no lists that they chose
    if dataset.within.is_some() {
        return Vec::new();
    }
    let kinds = dataset.fields.iter().map(|(name, kinds)| (&**name, kinds.single()));
    let listed = kinds.filter(|(_, kind)| matches!(kind, Some(FieldType::String | FieldType::Bool)));
    let counted = listed.take(LOOKED_AT).map(|(name, _)| (name, values(dataset, name)));
    let mut found: Vec<(bool, &str)> = counted
        .filter(|(_, values)| (2..=VALUES_MAX).contains(values))
        .map(|(name, values)| (values < VALUES_WANTED, name))
        .collect();
    // a stable sort keeps the order of the dataset
    found.sort_by_key(|(is_short, _)| *is_short);
    found.into_iter().map(|(_, name)| name).take(LISTS).collect()
}

/// Roughly how many values a field has; 0 where that is not known or each row has its own.
fn values(dataset: &Dataset, name: &str) -> usize {
    let tail = dataset.tail.iter().rev().take(BLOCKS).map(|block| in_tail(block, name));
    let sealed = dataset.segments.last().map(|segment| in_segment(segment, name));
    let (values, rows) = tail.chain(sealed).max().unwrap_or_default();
    let is_id = rows >= ROWS_TELLING && values * 4 > rows;
    if is_id { 0 } else { values }
}

/// Values and rows of a block.
fn in_tail(block: &TailBlock, name: &str) -> (usize, usize) {
    let values = block.block.column(name).map_or(0, |column| match &column.data {
        Data::Text(texts) => texts.dictionary.len(),
        Data::Bool(_) => 2,
        _ => 0,
    });
    (values, block.block.rows())
}

/// Values and rows of a segment, whose columns have one dictionary each.
fn in_segment(segment: &Segment, name: &str) -> (usize, usize) {
    let kind = segment.head.position(name).and_then(|at| segment.head.columns[at].kinds.single());
    let values = match kind {
        Some(FieldType::Bool) => 2,
        // a damaged column makes no list
        Some(FieldType::String) => match segment.block_zone(name, segment.blocks().saturating_sub(1)) {
            Ok(Zone::Texts { dictionary, .. }) => dictionary.len(),
            _ => 0,
        },
        _ => 0,
    };
    (values, segment.rows())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::columnar::builder::column_of;
    use crate::columnar::column::Column;
    use crate::columnar::{Block, TIME};
    use crate::fields::{FieldSet, Kinds};
    use crate::value::Value;

    /// A dataset of 600 rows; a field has so many texts, or is a bool where it has none.
    fn dataset(fields: &[(&str, usize)], is_sealed: bool) -> Dataset {
        const ROWS: usize = 600;
        let mut known = FieldSet::default();
        let times: Vec<i64> = (0..ROWS as i64).collect();
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = vec![(TIME.into(), Arc::new(Column::times(&times)))];
        for (name, values) in fields {
            let value = |row: usize| match values {
                0 => Value::Bool(row < 300),
                values => Value::text(format!("v{}", row % values)),
            };
            let column = column_of((0..ROWS).map(value));
            let kinds = if *name == "mixed" {
                column.kinds().with(Kinds::of(FieldType::Int))
            } else {
                column.kinds()
            };
            known.add(&(*name).into(), kinds);
            columns.push(((*name).into(), Arc::new(column)));
        }
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        let tail = vec![TailBlock { first_seq: 1, block: Arc::new(Block::new(ROWS, columns)) }];
        let mut dataset = Dataset { fields: Arc::new(known), ..Dataset::new("visits".into()) };
        if is_sealed {
            dataset.segments = vec![Arc::new(Segment::of_tail(1, &tail).unwrap())];
        } else {
            dataset.tail = tail;
        }
        dataset
    }

    #[test]
    fn fields_with_enough_values_come_first_and_ids_never() {
        let fields = [
            ("device", 3),
            ("session", 600),
            ("mixed", 9),
            ("same", 1),
            ("bot", 0),
            ("path", 40),
            ("country", 12),
        ];
        for is_sealed in [false, true] {
            let dataset = dataset(&fields, is_sealed);
            assert_eq!(telling(&dataset), ["path", "country", "device"], "sealed: {is_sealed}");
        }
    }

    #[test]
    fn a_bool_is_a_list_where_there_is_no_better_one() {
        assert_eq!(telling(&dataset(&[("bot", 0)], false)), ["bot"]);
        assert_eq!(telling(&dataset(&[], true)), Vec::<&str>::new());
    }
}
