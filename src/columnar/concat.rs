//! Blocks one after the other as one block: how single-event commits become columns worth scanning.

use std::sync::Arc;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::text::{Dictionary, Texts};
use crate::fields::FieldType;

/// The rows of all blocks in order.
pub fn blocks(blocks: &[&Block]) -> Block {
    let rows = blocks.iter().map(|b| b.rows()).sum();
    let mut names: Vec<Arc<str>> =
        blocks.iter().flat_map(|b| b.columns()).map(|(n, _)| Arc::clone(n)).collect();
    names.sort_unstable();
    names.dedup();
    let columns = names.into_iter().map(|name| {
        let inputs: Vec<Input<'_>> =
            blocks.iter().map(|b| Input { column: b.column(&name).map(|c| &**c), rows: b.rows() }).collect();
        let column = columns(&inputs);
        (name, Arc::new(column))
    });
    Block::new(rows, columns.collect())
}

/// One piece of the column that is made.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `None`: no row has a value.
    pub column: Option<&'a Column>,
    /// Its rows.
    pub rows: usize,
}

/// The rows of all pieces in order.
pub fn columns(inputs: &[Input<'_>]) -> Column {
    let rows = inputs.iter().map(|input| input.rows).sum();
    let kinds = inputs.iter().filter_map(|i| i.column).fold(Default::default(), |all, c| c.kinds().with(all));
    let parts = kinds.iter().map(|kind| {
        let typed: Vec<Input<'_>> = inputs
            .iter()
            .map(|input| Input { column: input.column.and_then(|c| part_of(c, kind)), rows: input.rows })
            .collect();
        typed_part(kind, &typed, rows)
    });
    Column::overlay(rows, parts.collect())
}

fn part_of(column: &Column, kind: FieldType) -> Option<&Column> {
    column.parts().iter().find(|part| part.kinds().has(kind))
}

fn typed_part(kind: FieldType, inputs: &[Input<'_>], rows: usize) -> Column {
    let validity = join_bits(inputs, |column| match &column.validity {
        Some(bits) => Bits::These(bits),
        None => Bits::All,
    });
    let data = match kind {
        FieldType::Int => Data::Int(join_ints(inputs, rows, &validity)),
        FieldType::Time => Data::Time(join_ints(inputs, rows, &validity)),
        FieldType::Float => join_floats(inputs, rows),
        FieldType::Bool => Data::Bool(join_bits(inputs, |column| match &column.data {
            Data::Bool(bits) => Bits::These(bits),
            _ => Bits::None,
        })),
        FieldType::String => Data::Text(join_texts(inputs)),
        FieldType::Json => Data::Json(join_texts(inputs)),
        FieldType::Strings => join_lists(inputs, rows),
    };
    Column::new(rows, Some(validity), data)
}

enum Bits<'a> {
    All,
    None,
    These(&'a Bitmap),
}

fn join_bits<'a>(inputs: &[Input<'a>], bits_of: impl Fn(&'a Column) -> Bits<'a>) -> Bitmap {
    let mut out = Bitmap::default();
    for input in inputs {
        match input.column.map_or(Bits::None, &bits_of) {
            Bits::All => out.push_many(true, input.rows),
            Bits::None => out.push_many(false, input.rows),
            Bits::These(bits) => out.extend(bits),
        }
    }
    out
}

fn join_ints(inputs: &[Input<'_>], rows: usize, validity: &Bitmap) -> Ints {
    let mut values: Vec<i64> = Vec::with_capacity(rows);
    for input in inputs {
        match input.column.map(|c| &c.data) {
            Some(Data::Int(ints) | Data::Time(ints)) => values.extend(ints.to_vec()),
            _ => values.resize(values.len() + input.rows, 0),
        }
    }
    Ints::from_masked(&values, validity)
}

fn join_floats(inputs: &[Input<'_>], rows: usize) -> Data {
    let mut joined: Vec<f64> = Vec::with_capacity(rows);
    for input in inputs {
        match input.column.map(|c| &c.data) {
            Some(Data::Float { values, .. }) => joined.extend_from_slice(values),
            _ => joined.resize(joined.len() + input.rows, 0.0),
        }
    }
    let whole = join_bits(inputs, |column| match &column.data {
        Data::Float { whole: Some(bits), .. } => Bits::These(bits),
        _ => Bits::None,
    });
    Data::Float { values: joined, whole: (whole.count_ones() > 0).then_some(whole) }
}

/// Merges sorted dictionaries into one and tells the new code of every old one. Pieces that share a dictionary share
/// its map; where there is but one, it stays as it is.
fn join_dictionaries(dictionaries: &[&Arc<Dictionary>]) -> (Arc<Dictionary>, Vec<Arc<Vec<u32>>>) {
    let mut known: Vec<(&Arc<Dictionary>, Arc<Vec<u32>>)> = Vec::new();
    let mut entries: Vec<(&str, u32, u32)> = Vec::new();
    for dictionary in dictionaries {
        if !known.iter().any(|(earlier, _)| Arc::ptr_eq(earlier, dictionary)) {
            let input = known.len() as u32;
            entries.extend(dictionary.iter().enumerate().map(|(code, text)| (text, input, code as u32)));
            known.push((dictionary, Arc::default()));
        }
    }
    if let [(only, map)] = known.as_mut_slice() {
        *map = Arc::new((0..only.len() as u32).collect());
        return (Arc::clone(only), vec![Arc::clone(map); dictionaries.len()]);
    }
    // every dictionary is a sorted run already, which a stable sort merges
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut maps: Vec<Vec<u32>> = known.iter().map(|(dictionary, _)| vec![0; dictionary.len()]).collect();
    let mut distinct: Vec<&str> = Vec::new();
    for (text, input, code) in entries {
        if distinct.last() != Some(&text) {
            distinct.push(text);
        }
        maps[input as usize][code as usize] = (distinct.len() - 1) as u32;
    }
    known.iter_mut().zip(maps).for_each(|((_, slot), map)| *slot = Arc::new(map));
    let map_of = |dictionary: &Arc<Dictionary>| {
        let found = known.iter().find(|(earlier, _)| Arc::ptr_eq(earlier, dictionary));
        found.map_or_else(Arc::default, |(_, map)| Arc::clone(map))
    };
    let maps = dictionaries.iter().map(|dictionary| map_of(dictionary)).collect();
    (Arc::new(Dictionary::from_sorted(distinct.into_iter())), maps)
}

fn join_texts(inputs: &[Input<'_>]) -> Texts {
    let texts: Vec<Option<&Texts>> = inputs
        .iter()
        .map(|input| match input.column.map(|c| &c.data) {
            Some(Data::Text(texts) | Data::Json(texts)) => Some(texts),
            _ => None,
        })
        .collect();
    let dictionaries: Vec<&Arc<Dictionary>> = texts.iter().flatten().map(|t| &t.dictionary).collect();
    let (dictionary, maps) = join_dictionaries(&dictionaries);
    let mut maps = maps.iter();
    let max = dictionary.len().saturating_sub(1) as u64;
    let mut codes = Vec::with_capacity(inputs.iter().map(|input| input.rows).sum());
    for (input, texts) in inputs.iter().zip(&texts) {
        match texts.and_then(|t| maps.next().map(|map| (t, map))) {
            Some((texts, map)) => with_narrow!(&texts.codes, old => {
                codes.extend(old.iter().map(|code| map.get(*code as usize).copied().unwrap_or(0)));
            }),
            None => codes.resize(codes.len() + input.rows, 0),
        }
    }
    Texts { codes: Narrow::collect(max, codes.into_iter().map(u64::from)), dictionary }
}

fn join_lists(inputs: &[Input<'_>], rows: usize) -> Data {
    let mut ends: Vec<u32> = Vec::with_capacity(rows);
    let mut item_columns: Vec<Column> = Vec::new();
    let mut total = 0u32;
    for input in inputs {
        match input.column.map(|c| &c.data) {
            Some(Data::List { ends: more, items }) => {
                ends.extend(more.iter().map(|end| end + total));
                total += items.codes.len() as u32;
                item_columns.push(Column::new(items.codes.len(), None, Data::Text(items.clone())));
            }
            _ => ends.resize(ends.len() + input.rows, total),
        }
    }
    let item_inputs: Vec<Input<'_>> =
        item_columns.iter().map(|column| Input { rows: column.rows, column: Some(column) }).collect();
    Data::List { ends, items: join_texts(&item_inputs) }
}
