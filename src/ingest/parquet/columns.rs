//! Rows of a row group as columns of fields, whatever the rules of a dataset may be: made once a chunk, however often
//! it is decoded. Rows that no rules can take are told with their reason.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::{BlockBuilder, Cell, TextBuilder};
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::text::Texts;
use crate::ingest::parquet::embedded::Embedded;
use crate::ingest::parquet::leaf::{LeafRows, NO_TIME, Values};
use crate::ingest::parquet::nested::Assembler;
use crate::ingest::parquet::pages::Coded;
use crate::ingest::parquet::shape::{Content, Shape};

/// Some rows of one row group, as they were read.
#[derive(Debug)]
pub struct RowChunk {
    /// Number of rows.
    pub rows: usize,
    shape: Arc<Shape>,
    leaves: Vec<LeafRows>,
    fields: OnceLock<Fields>,
}

/// The fields of some rows.
#[derive(Debug)]
pub struct Fields {
    /// Those with values, each once, in the order of the file.
    pub columns: Vec<(Arc<str>, Column)>,
    /// All that the rows name.
    pub names: Vec<Arc<str>>,
    /// Rows that cannot be taken, and why.
    pub rejected: BTreeMap<u32, String>,
}

impl RowChunk {
    /// Rows as each leaf of a shape has them.
    pub fn new(shape: Arc<Shape>, rows: usize, leaves: Vec<LeafRows>) -> Self {
        Self { rows, shape, leaves, fields: OnceLock::new() }
    }

    /// The fields of the rows.
    pub fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| {
            let mut making = Making {
                rows: self.rows,
                fields: Fields { columns: Vec::new(), names: Vec::new(), rejected: BTreeMap::new() },
            };
            for field in &self.shape.fields {
                match &field.content {
                    Content::Flat(leaf) => making.flat(&field.name, &self.leaves[*leaf]),
                    Content::Json(leaf) => making.json(&field.name, &self.leaves[*leaf]),
                    Content::Nested(node) => {
                        let leaves = &self.shape.leaves;
                        let assembler = Assembler::new(node, leaves, &self.leaves);
                        making.nested(&field.name, node.is_list_of_texts(leaves), assembler);
                    }
                }
            }
            making.fields
        })
    }
}

/// Why a value that is there cannot be taken.
pub fn why_bad(name: &str, values: &Values, at: usize) -> Option<String> {
    match values {
        Values::Float(v) => v.get(at).filter(|v| !v.is_finite()).map(|v| {
            format!(
                "the number in \"{name}\" is {v}, which no field can hold; write null where there is none"
            )
        }),
        Values::Time(v) if v.get(at) == Some(&NO_TIME) => {
            Some(format!("the time in \"{name}\" is further from 1970 than 64 bits of µs reach"))
        }
        Values::Text(coded) if coded.has_spoiled() => {
            let spoiled = coded.codes.get(at).is_some_and(|code| coded.is_spoiled(*code));
            spoiled.then(|| format!("the text in \"{name}\" is not UTF-8; write it as UTF-8"))
        }
        _ => None,
    }
}

/// Whether any value may be bad: most columns are passed without a look at each value.
fn may_be_bad(values: &Values) -> bool {
    match values {
        Values::Float(v) => v.iter().any(|v| !v.is_finite()),
        Values::Time(v) => v.contains(&NO_TIME),
        Values::Text(coded) => coded.has_spoiled(),
        _ => false,
    }
}

/// The row of each value that is there.
fn rows_of<'a>(present: Option<&'a Bitmap>, rows: usize) -> Box<dyn Iterator<Item = usize> + 'a> {
    match present {
        Some(bits) => Box::new(bits.ones()),
        None => Box::new(0..rows),
    }
}

/// One value a row, from those that are there.
fn spread<T: Copy + Default>(values: Vec<T>, present: Option<&Bitmap>, rows: usize) -> Vec<T> {
    let Some(bits) = present else { return values };
    let mut all = vec![T::default(); rows];
    for (row, value) in bits.ones().zip(values) {
        all[row] = value;
    }
    all
}

struct Making {
    rows: usize,
    fields: Fields,
}

impl Making {
    fn push(&mut self, name: &Arc<str>, validity: Option<Bitmap>, data: Data) {
        if validity.as_ref().is_none_or(|bits| bits.count_ones() > 0) {
            self.fields.columns.push((Arc::clone(name), Column::new(self.rows, validity, data)));
        }
    }

    fn reject(&mut self, row: usize, reason: String) {
        self.fields.rejected.entry(row as u32).or_insert(reason);
    }

    /// Rejects the rows whose value cannot be taken; gives the rows whose value can.
    fn good(&mut self, name: &str, leaf: &LeafRows) -> Option<Bitmap> {
        if !may_be_bad(&leaf.values) {
            return leaf.present.clone();
        }
        let mut good = vec![false; self.rows];
        for (at, row) in rows_of(leaf.present.as_ref(), self.rows).enumerate() {
            match why_bad(name, &leaf.values, at) {
                Some(reason) => self.reject(row, reason),
                None => good[row] = true,
            }
        }
        Some(Bitmap::from_fn(self.rows, |row| good[row]))
    }

    fn flat(&mut self, name: &Arc<str>, leaf: &LeafRows) {
        self.fields.names.push(Arc::clone(name));
        let validity = self.good(name, leaf);
        let (rows, present) = (self.rows, leaf.present.as_ref());
        let ints = |values: &Vec<i64>| {
            let values = spread(values.clone(), present, rows);
            validity
                .as_ref()
                .map_or_else(|| Ints::from_values(&values), |bits| Ints::from_masked(&values, bits))
        };
        let data = match &leaf.values {
            Values::Bool(values) => {
                let values = spread(values.clone(), present, rows);
                Data::Bool(Bitmap::from_fn(rows, |row| values[row]))
            }
            Values::Int(values) => Data::Int(ints(values)),
            Values::Time(values) => Data::Time(ints(values)),
            Values::Float(values) => {
                Data::Float { values: spread(values.clone(), present, rows), whole: None }
            }
            Values::Text(coded) => Data::Text(texts(coded, present, validity.as_ref(), rows)),
            Values::Wide(values) => return self.wide(name, values, present),
        };
        self.push(name, validity, data);
    }

    /// Whole numbers of more than 64 bits are JSON, as such numbers in JSON are.
    fn wide(&mut self, name: &Arc<str>, values: &[i128], present: Option<&Bitmap>) {
        let mut builder = BlockBuilder::default();
        let mut values = values.iter();
        for row in 0..self.rows {
            let field = builder.field(name);
            if present.is_none_or(|bits| bits.get(row))
                && let Some(value) = values.next()
            {
                match i64::try_from(*value) {
                    Ok(narrow) => builder.set(field, Cell::Int(narrow)),
                    Err(_) => builder.set(field, Cell::Json(&value.to_string())),
                }
            }
            builder.end_row();
        }
        if let Some(column) = builder.finish().column(name) {
            self.fields.columns.push((Arc::clone(name), Column::clone(column)));
        }
    }

    /// Text that is JSON: each distinct one is read once, those of a dictionary once for the row group.
    fn json(&mut self, name: &Arc<str>, leaf: &LeafRows) {
        let Values::Text(coded) = &leaf.values else { return self.flat(name, leaf) };
        let good = self.good(name, leaf);
        if coded.own.is_empty() {
            let embedded =
                coded.shared.embedded.get_or_init(|| Embedded::of(name, coded.shared.entries.iter()));
            return self.embed(name, &coded.codes, embedded, leaf.present.as_ref(), good.as_ref());
        }
        let mut distinct = TextBuilder::default();
        coded.codes.iter().for_each(|code| distinct.push(coded.text(*code)));
        let embedded = Embedded::of(name, distinct.distinct().into_iter());
        self.embed(name, distinct.codes(), &embedded, leaf.present.as_ref(), good.as_ref());
    }

    /// Adds the fields of JSON texts, of which `codes` says which one each row that is `present` has.
    fn embed(
        &mut self,
        name: &Arc<str>,
        codes: &[u32],
        embedded: &Embedded,
        present: Option<&Bitmap>,
        good: Option<&Bitmap>,
    ) {
        let mut places = vec![0u32; self.rows];
        for (row, code) in rows_of(present, self.rows).zip(codes) {
            places[row] = embedded.place(*code);
            if !embedded.is_good()
                && good.is_none_or(|bits| bits.get(row))
                && let Some(reason) = embedded.why_bad(*code)
            {
                self.reject(row, reason.to_owned());
            }
        }
        self.fields.names.push(Arc::clone(name));
        for (found, column) in embedded.columns(&places) {
            self.fields.columns.extend(column.map(|column| (Arc::clone(&found), column)));
            if found != *name {
                self.fields.names.push(found);
            }
        }
    }

    /// Lists of texts are such, where no item is null; all other lists are JSON, so that a field has one type although
    /// some are empty, and maps are JSON as a whole, because their keys are values and would be fields.
    fn nested(&mut self, name: &Arc<str>, is_list_of_texts: bool, mut assembler: Assembler<'_>) {
        let (mut texts, mut present) = (TextBuilder::default(), Bitmap::default());
        let mut json = Vec::new();
        for row in 0..self.rows {
            json.clear();
            let read = assembler.next(&mut json).and_then(|()| {
                std::str::from_utf8(&json).map_err(|_| format!("the text in \"{name}\" is not UTF-8"))
            });
            match read {
                Ok("null") => present.push(false),
                Ok(text) => {
                    texts.push(text);
                    present.push(true);
                }
                Err(reason) => {
                    present.push(false);
                    self.reject(row, reason);
                }
            }
        }
        if !is_list_of_texts {
            self.fields.names.push(Arc::clone(name));
            let codes = spread(texts.codes().to_vec(), Some(&present), self.rows);
            let texts = Texts::from_unsorted(&codes, &texts.distinct());
            return self.push(name, Some(present), Data::Json(texts));
        }
        let embedded = Embedded::of(name, texts.distinct().into_iter());
        self.embed(name, texts.codes(), &embedded, Some(&present), None);
    }
}

/// A text column. Where all texts are from the dictionary page, no text is looked at.
fn texts(coded: &Coded, present: Option<&Bitmap>, validity: Option<&Bitmap>, rows: usize) -> Texts {
    if coded.own.is_empty() {
        let (dictionary, places) = coded.shared.sorted();
        let places = coded.codes.iter().map(|code| places.get(*code as usize).copied().unwrap_or(0));
        return Texts::of_shared(dictionary, &spread(places.collect(), present, rows), validity);
    }
    let mut distinct = TextBuilder::default();
    coded.codes.iter().for_each(|code| distinct.push(coded.text(*code)));
    Texts::from_unsorted(&spread(distinct.codes().to_vec(), present, rows), &distinct.distinct())
}
