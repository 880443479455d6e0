//! From rows to a block: cells go straight into typed, growing columns, and a row that turns out bad is taken
//! back whole. Decoders in `ingest` call it once a field; no row is ever held as a map.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use std::hash::BuildHasher;

use crate::columnar::Block;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::text::Texts;
use crate::fields::FieldSet;
use crate::value::Value;

/// One value on its way into a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// true, false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// µs UTC.
    Time(i64),
    /// Text.
    Text(&'a str),
    /// A list of texts.
    List(&'a [&'a str]),
    /// JSON text.
    Json(&'a str),
}

/// A field of the block that is being built; valid for the builder that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldId(u32);

impl FieldId {
    /// Its number: fields count from 0 in the order they appeared.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Builds one block row by row.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    rows: usize,
    /// Typed columns of all fields.
    parts: usize,
    fields: Vec<FieldBuilder>,
    /// Fields whose names need not be made anew.
    known: Arc<FieldSet>,
    index: HashMap<Arc<str>, u32, FixedState>,
    /// Parts that the current row has set and fields that it has named, to take them back.
    touched: Vec<(u32, u8)>,
    named: Vec<u32>,
    /// Fields in the order the last row named them: records of one shape find each field without hashing.
    expected: Vec<u32>,
    position: usize,
}

#[derive(Debug)]
struct FieldBuilder {
    name: Arc<str>,
    /// Number of the row (from 1) that last named this field.
    stamp: usize,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    validity: Bitmap,
    data: PartData,
}

#[derive(Debug)]
enum PartData {
    Bool(Bitmap),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Time(Vec<i64>),
    Text(TextBuilder),
    List { ends: Vec<u32>, items: TextBuilder },
    Json(TextBuilder),
}

impl BlockBuilder {
    /// One of rows whose fields are known, as a rule: it shares their names.
    pub fn knowing(known: Arc<FieldSet>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Rows finished so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Cells that the rows finished so far and one more take, empty ones included.
    pub fn cells(&self) -> usize {
        (self.rows + 1).saturating_mul(self.parts)
    }

    /// The field of a name, made when it is new.
    pub fn field(&mut self, name: &str) -> FieldId {
        if let Some(id) = self.expected.get(self.position)
            && &*self.fields[*id as usize].name == name
        {
            self.position += 1;
            return FieldId(*id);
        }
        let id = match self.index.get(name) {
            Some(id) => *id,
            None => {
                let id = self.fields.len() as u32;
                let name = self.known.name(name).cloned().unwrap_or_else(|| name.into());
                self.fields.push(FieldBuilder { name: Arc::clone(&name), stamp: 0, parts: Vec::new() });
                self.index.insert(name, id);
                id
            }
        };
        match self.expected.get_mut(self.position) {
            Some(slot) => *slot = id,
            None => self.expected.push(id),
        }
        self.position += 1;
        FieldId(id)
    }

    /// Notes that the current row names this field; false where it has done so before.
    pub fn mark(&mut self, field: FieldId) -> bool {
        let stamp = &mut self.fields[field.0 as usize].stamp;
        let first = *stamp != self.rows + 1;
        *stamp = self.rows + 1;
        self.named.push(field.0);
        first
    }

    /// Whether the current row has named this field.
    pub fn is_marked(&self, field: FieldId) -> bool {
        self.fields[field.0 as usize].stamp == self.rows + 1
    }

    /// Whether the current row has a value in this field.
    pub fn is_set(&self, field: FieldId) -> bool {
        self.fields[field.0 as usize].parts.iter().any(|part| part.validity.len() > self.rows)
    }

    /// Whether any row so far had a value in this field.
    pub fn has_values(&self, field: FieldId) -> bool {
        !self.fields[field.0 as usize].parts.is_empty()
    }

    /// All fields named so far, in the order they appeared.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.fields.iter().map(|field| &field.name)
    }

    /// Gives the current row its value in this field, once a row.
    pub fn set(&mut self, field: FieldId, cell: Cell<'_>) {
        let builder = &mut self.fields[field.0 as usize];
        let at = match builder.parts.iter().position(|part| part.data.takes(cell)) {
            Some(at) => at,
            None => {
                self.parts += 1;
                builder.parts.push(Part { validity: Bitmap::default(), data: PartData::for_cell(cell) });
                builder.parts.len() - 1
            }
        };
        builder.parts[at].pad(self.rows);
        builder.parts[at].push(cell);
        self.touched.push((field.0, at as u8));
    }

    /// Ends the current row and keeps it.
    pub fn end_row(&mut self) {
        self.rows += 1;
        self.position = 0;
        self.touched.clear();
        self.named.clear();
    }

    /// Takes the current row back.
    pub fn abandon_row(&mut self) {
        for (field, part) in self.touched.drain(..) {
            self.fields[field as usize].parts[part as usize].pop();
        }
        for field in self.named.drain(..) {
            self.fields[field as usize].stamp = 0;
        }
        self.position = 0;
    }

    /// The block of all finished rows. Fields without any value are not in it.
    pub fn finish(self) -> Block {
        let rows = self.rows;
        let columns = self.fields.into_iter().filter_map(|field| {
            let parts = field.parts.into_iter().map(|part| part.finish(rows)).collect();
            let column = Column::overlay(rows, parts);
            (!matches!(column.data, Data::Null)).then_some((field.name, Arc::new(column)))
        });
        Block::new(rows, columns.collect())
    }
}

impl PartData {
    fn for_cell(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Bool(_) => Self::Bool(Bitmap::default()),
            Cell::Int(_) => Self::Int(Vec::new()),
            Cell::Float(_) => Self::Float(Vec::new()),
            Cell::Time(_) => Self::Time(Vec::new()),
            Cell::Text(_) => Self::Text(TextBuilder::default()),
            Cell::List(_) => Self::List { ends: Vec::new(), items: TextBuilder::default() },
            Cell::Json(_) => Self::Json(TextBuilder::default()),
        }
    }

    #[inline]
    fn takes(&self, cell: Cell<'_>) -> bool {
        matches!(
            (self, cell),
            (Self::Bool(_), Cell::Bool(_))
                | (Self::Int(_), Cell::Int(_))
                | (Self::Float(_), Cell::Float(_))
                | (Self::Time(_), Cell::Time(_))
                | (Self::Text(_), Cell::Text(_))
                | (Self::List { .. }, Cell::List(_))
                | (Self::Json(_), Cell::Json(_))
        )
    }
}

impl Part {
    /// Fills rows without a value up to the given one.
    fn pad(&mut self, rows: usize) {
        let missing = rows - self.validity.len();
        if missing == 0 {
            return;
        }
        self.validity.push_many(false, missing);
        match &mut self.data {
            PartData::Bool(bits) => bits.push_many(false, missing),
            PartData::Int(values) | PartData::Time(values) => values.resize(rows, 0),
            PartData::Float(values) => values.resize(rows, 0.0),
            PartData::Text(texts) | PartData::Json(texts) => texts.codes.resize(rows, 0),
            PartData::List { ends, items } => ends.resize(rows, items.codes.len() as u32),
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        self.validity.push(true);
        match (&mut self.data, cell) {
            (PartData::Bool(bits), Cell::Bool(b)) => bits.push(b),
            (PartData::Int(values), Cell::Int(i)) | (PartData::Time(values), Cell::Time(i)) => values.push(i),
            (PartData::Float(values), Cell::Float(f)) => values.push(f),
            (PartData::Text(texts), Cell::Text(s)) | (PartData::Json(texts), Cell::Json(s)) => texts.push(s),
            (PartData::List { ends, items }, Cell::List(list)) => {
                list.iter().for_each(|item| items.push(item));
                ends.push(items.codes.len() as u32);
            }
            // `takes` chose the part by the cell's type
            _ => unreachable!("a cell of another type"),
        }
    }

    fn pop(&mut self) {
        self.validity.pop();
        match &mut self.data {
            PartData::Bool(bits) => bits.pop(),
            PartData::Int(values) | PartData::Time(values) => drop(values.pop()),
            PartData::Float(values) => drop(values.pop()),
            PartData::Text(texts) | PartData::Json(texts) => drop(texts.codes.pop()),
            PartData::List { ends, items } => {
                ends.pop();
                items.codes.truncate(ends.last().map_or(0, |end| *end as usize));
            }
        }
    }

    fn finish(mut self, rows: usize) -> Column {
        if self.validity.count_ones() == 0 {
            return Column::null(rows);
        }
        self.pad(rows);
        let data = match self.data {
            PartData::Bool(bits) => Data::Bool(bits),
            PartData::Int(values) => Data::Int(Ints::from_masked(&values, &self.validity)),
            PartData::Time(values) => Data::Time(Ints::from_masked(&values, &self.validity)),
            PartData::Float(mut values) => {
                // what grew by doubling takes up to twice what it tells
                values.shrink_to_fit();
                Data::Float { values, whole: None }
            }
            PartData::Text(texts) => Data::Text(texts.finish()),
            PartData::Json(texts) => Data::Json(texts.finish()),
            PartData::List { mut ends, items } => {
                ends.shrink_to_fit();
                Data::List { ends, items: items.finish() }
            }
        };
        Column::new(rows, Some(self.validity), data)
    }
}

/// Distinct texts in the order they came, a code a row: the making of one text column.
#[derive(Debug, Default)]
pub struct TextBuilder {
    text: String,
    ends: Vec<u32>,
    table: HashTable<u32>,
    codes: Vec<u32>,
}

impl TextBuilder {
    fn entry(text: &str, ends: &[u32], code: u32) -> std::ops::Range<usize> {
        debug_assert!(ends.last().is_none_or(|end| *end as usize <= text.len()));
        let start = if code == 0 { 0 } else { ends[code as usize - 1] as usize };
        start..ends[code as usize] as usize
    }

    /// Appends a row.
    pub fn push(&mut self, new: &str) {
        let hasher = FixedState::default();
        // records often repeat the value of the row before
        if let Some(last) = self.codes.last()
            && self.ends.len() > *last as usize
            && &self.text[Self::entry(&self.text, &self.ends, *last)] == new
        {
            self.codes.push(*last);
            return;
        }
        let Self { text, ends, table, codes } = self;
        let hash_of = |text: &str, ends: &[u32], code: u32| {
            hasher.hash_one(text[Self::entry(text, ends, code)].as_bytes())
        };
        if ends.is_empty() {
            // one text alone is found as that of the row before; most batches of one event have no other
            text.push_str(new);
            ends.push(text.len() as u32);
            codes.push(0);
            return;
        }
        if table.is_empty() {
            table.insert_unique(hash_of(text, ends, 0), 0, |code| hash_of(text, ends, *code));
        }
        let hash = hasher.hash_one(new.as_bytes());
        let found = table.find(hash, |code| &text[Self::entry(text, ends, *code)] == new).copied();
        let code = found.unwrap_or_else(|| {
            let code = ends.len() as u32;
            text.push_str(new);
            ends.push(text.len() as u32);
            table.insert_unique(hash, code, |code| hash_of(text, ends, *code));
            code
        });
        codes.push(code);
    }

    /// The code of each row: texts are numbered in the order they came.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The distinct texts by their code.
    pub fn distinct(&self) -> Vec<&str> {
        let codes = 0..self.ends.len() as u32;
        codes.map(|code| &self.text[Self::entry(&self.text, &self.ends, code)]).collect()
    }

    /// The rows as a column's texts.
    pub fn finish(self) -> Texts {
        Texts::from_unsorted(&self.codes, &self.distinct())
    }
}

/// A column from dynamic values, one a row: for results of expressions that no kernel covers, and for tests.
pub fn column_of(values: impl IntoIterator<Item = Value>) -> Column {
    let mut builder = BlockBuilder::default();
    let field = builder.field("");
    for value in values {
        match &value {
            Value::Null => {}
            Value::Bool(b) => builder.set(field, Cell::Bool(*b)),
            Value::Int(i) => builder.set(field, Cell::Int(*i)),
            Value::Float(f) => builder.set(field, Cell::Float(*f)),
            Value::Time(t) => builder.set(field, Cell::Time(*t)),
            Value::Text(s) => builder.set(field, Cell::Text(s)),
            Value::Json(s) => builder.set(field, Cell::Json(s)),
            Value::List(items) => {
                let items: Vec<&str> = items.iter().map(|item| &**item).collect();
                builder.set(field, Cell::List(&items));
            }
        }
        builder.end_row();
    }
    let rows = builder.rows();
    let block = builder.finish();
    block.column("").map_or_else(|| Column::null(rows), |column| Column::clone(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_taken_back_leaves_no_trace() {
        let mut builder = BlockBuilder::default();
        let name = builder.field("name");
        builder.set(name, Cell::Text("a"));
        builder.end_row();
        for cell in [Cell::Text("gone"), Cell::Int(3)] {
            let (name, other) = (builder.field("name"), builder.field("other"));
            assert!(builder.mark(name));
            assert!(!builder.mark(name));
            builder.set(name, cell);
            builder.set(other, Cell::List(&["x", "y"]));
            builder.abandon_row();
        }
        let name = builder.field("name");
        builder.set(name, Cell::Int(7));
        builder.end_row();
        let block = builder.finish();
        assert_eq!(block.rows(), 2);
        assert!(block.column("other").is_none());
        let name = block.column("name").expect("a column");
        assert_eq!([name.get(0), name.get(1)], [Value::text("a"), Value::Int(7)]);
        assert!(matches!(name.get(1), Value::Int(7)));
    }

    #[test]
    fn whole_and_broken_numbers_share_a_float_column_and_come_back_as_they_came() {
        let column = column_of([Value::Int(12), Value::Float(12.5), Value::Null, Value::Float(3.0)]);
        assert!(matches!(column.data, Data::Float { .. }));
        let texts: Vec<_> = (0..4).map(|row| column.get(row).to_text().into_owned()).collect();
        assert_eq!(texts, ["12", "12.5", "", "3.0"]);
    }

    #[test]
    fn an_integer_that_no_float_holds_stays_exact_beside_floats() {
        let big = (1i64 << 53) + 1;
        let column = column_of([Value::Int(big), Value::Float(0.5)]);
        assert!(matches!(column.data, Data::Mixed(_)));
        assert_eq!(column.get(0).to_text(), big.to_string());
    }
}
