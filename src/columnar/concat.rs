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
    let Some((first, others)) = blocks.split_first() else { return Block::default() };
    let rows = blocks.iter().map(|block| block.rows).sum();
    // events of one kind, as a rule: each column has the same place in all of them
    let are_alike = others.iter().all(|block| has_the_names_of(block, first));
    let mut names: Vec<&Arc<str>> = match are_alike {
        true => first.columns().map(|(name, _)| name).collect(),
        false => blocks.iter().flat_map(|block| block.columns()).map(|(name, _)| name).collect(),
    };
    if !are_alike {
        names.sort_unstable();
        names.dedup();
    }
    let joined = names.into_iter().enumerate().map(|(place, name)| {
        let place = are_alike.then_some(place);
        let pieces: Vec<Input<'_>> = blocks.iter().map(|block| piece(block, name, place)).collect();
        (Arc::clone(name), Arc::new(columns(&pieces)))
    });
    Block::of_sorted(rows, joined.collect())
}

/// What a block has in the column of a name, whose place may be known.
fn piece<'a>(block: &'a Block, name: &str, place: Option<usize>) -> Input<'a> {
    let column = match place {
        Some(place) => block.columns.get(place).map(|(_, column)| column),
        None => block.column(name),
    };
    Input { column: column.map(|column| &**column), rows: block.rows }
}

fn has_the_names_of(block: &Block, other: &Block) -> bool {
    block.columns.len() == other.columns.len()
        && block.columns.iter().zip(&other.columns).all(|((name, _), (others, _))| name == others)
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
            Some(Data::Int(ints) | Data::Time(ints)) => ints.append_to(&mut values),
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

/// Several sorted dictionaries as one.
struct Joined {
    dictionary: Arc<Dictionary>,
    /// The new code of every old one, of one old dictionary after the other; `None` where there was but one, which stays as it is.
    codes: Option<Vec<u32>>,
    /// Where in `codes` those of each piece begin: pieces that share a dictionary share them.
    starts: Vec<usize>,
}

fn join_dictionaries(dictionaries: &[&Arc<Dictionary>]) -> Joined {
    let mut known: Vec<(&Arc<Dictionary>, usize)> = Vec::new();
    let mut entries: Vec<(&str, usize)> = Vec::new();
    let starts = dictionaries.iter().map(|dictionary| {
        // neighbours share one as a rule, if any do
        if let Some((_, start)) = known.iter().rev().find(|(earlier, _)| Arc::ptr_eq(earlier, dictionary)) {
            return *start;
        }
        let start = entries.len();
        entries.extend(dictionary.iter().enumerate().map(|(code, text)| (text, start + code)));
        known.push((dictionary, start));
        start
    });
    let starts = starts.collect();
    if let [(only, _)] = known.as_slice() {
        return Joined { dictionary: Arc::clone(only), codes: None, starts };
    }
    let mut codes = vec![0; entries.len()];
    // every dictionary is a sorted run already, which a stable sort merges
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let mut distinct: Vec<&str> = Vec::with_capacity(entries.len());
    for (text, old) in entries {
        if distinct.last() != Some(&text) {
            distinct.push(text);
        }
        codes[old] = (distinct.len() - 1) as u32;
    }
    let dictionary = Arc::new(Dictionary::from_sorted(distinct.iter().copied()));
    Joined { dictionary, codes: Some(codes), starts }
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
    let Joined { dictionary, codes: joined, starts } = join_dictionaries(&dictionaries);
    let mut starts = starts.into_iter();
    let mut codes: Vec<u32> = Vec::with_capacity(inputs.iter().map(|input| input.rows).sum());
    for (input, texts) in inputs.iter().zip(&texts) {
        match texts.and_then(|texts| starts.next().map(|start| (texts, start))) {
            Some((texts, start)) => with_narrow!(&texts.codes, old => match &joined {
                None => codes.extend(old.iter().map(|code| *code as u32)),
                // rows without a value hold code 0 even where there is no text
                Some(joined) => codes.extend(
                    old.iter().map(|code| joined.get(start + *code as usize).copied().unwrap_or(0)),
                ),
            }),
            None => codes.resize(codes.len() + input.rows, 0),
        }
    }
    let max = dictionary.len().saturating_sub(1) as u64;
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
