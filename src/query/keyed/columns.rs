//! Records as columns in memory, for the vector engine: a dataset of the same name and fields without segments, its rows
//! in order of `_seq`.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;

use crate::columnar::builder::{BlockBuilder, Cell, column_of};
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::error::{Error, Result};
use crate::fields::{DatasetKind, Declaration};
use crate::query::budget::{Budget, Held};
use crate::query::keyed::reader::{self, Reader};
use crate::query::plan::all_fields;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::store::keyed::generation::Blocks;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::store::values::from_sql;
use crate::time::Calendar;
use crate::value::Value;

/// All records of a dataset with the fields that are not lazy, and the memory that they hold.
///
/// # Errors
/// Those of reading, and more memory than the question may take.
pub fn dataset(dataset: &Dataset, budget: &Arc<Budget>) -> Result<(Dataset, Held)> {
    let fields: Vec<Arc<str>> = all_fields(dataset).collect();
    let mut chunks = Chunks::new(dataset, &fields, budget)?;
    let (mut tail, mut held) = (Vec::new(), budget.hold());
    while let Some(blocks) = chunks.read_next()? {
        held.add(blocks.iter().map(|block| block.block.bytes()).sum())?;
        tail.extend(blocks);
    }
    Ok((with(dataset, tail), held))
}

/// The records of a dataset with these fields alone, in order; columns that are kept are not read again. `_seq` is not
/// that of the records.
///
/// # Errors
/// Those of reading, and more memory than the question may take.
pub fn some(dataset: &Dataset, names: &[Arc<str>], budget: &Arc<Budget>) -> Result<(Dataset, Held)> {
    if dataset.within.is_some() {
        // what is kept is of all records
        return self::dataset(dataset, budget);
    }
    let keyed = dataset.keyed()?;
    let kept = &keyed.derived.columns;
    let mut held = budget.hold();
    let mut found = kept.of(keyed.changes, names);
    let missing = |found: &HashMap<Arc<str>, Blocks>| -> Vec<Arc<str>> {
        names.iter().filter(|name| !found.contains_key(*name)).cloned().collect()
    };
    let wanted = missing(&found);
    if !wanted.is_empty() {
        let read = read(dataset, &wanted, budget, &mut held)?;
        if kept.is_at(keyed.changes) {
            kept.keep(keyed.changes, &read);
            found.extend(read);
        } else if found.is_empty() {
            found = read;
        } else {
            // records have changed since the others were read: all of them are read by one statement
            found = self::read(dataset, names, budget, &mut held)?;
        }
    }
    let blocks = found.values().map(|blocks| blocks.len()).next().unwrap_or_default();
    let mut first_seq = 1;
    let tail = (0..blocks).map(|at| {
        let mut columns: Vec<(Arc<str>, Arc<Column>)> = found
            .iter()
            .filter_map(|(name, blocks)| Some((Arc::clone(name), Arc::clone(blocks.get(at)?))))
            .collect();
        let rows = columns.first().map_or(0, |(_, column)| column.rows);
        if !columns.iter().any(|(name, _)| **name == *TIME) {
            // no one asks when they were, but every block of rows has times
            columns.push((TIME.into(), Arc::new(Column::times(&vec![0; rows]))));
        }
        let block = TailBlock { first_seq, block: Arc::new(Block::new(rows, columns)) };
        first_seq += rows as i64;
        block
    });
    let tail = tail.collect();
    Ok((Dataset { numberings: Arc::default(), ..with(dataset, tail) }, held))
}

/// Reads columns of all records by one statement.
fn read(
    dataset: &Dataset,
    names: &[Arc<str>],
    budget: &Arc<Budget>,
    held: &mut Held,
) -> Result<HashMap<Arc<str>, Blocks>> {
    let own = own_name(dataset);
    let list = names.iter().map(|name| Ok(column(dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), budget)?;
    let sql = format!("SELECT {} FROM {} ORDER BY {own}._seq", list.join(", "), source(dataset, false));
    let mut blocks: Vec<Vec<Arc<Column>>> = vec![Vec::new(); names.len()];
    let mut close = |builder: BlockBuilder| {
        let block = builder.finish();
        for (blocks, name) in blocks.iter_mut().zip(names) {
            let column = block.column(name).cloned();
            blocks.push(column.unwrap_or_else(|| Arc::new(Column::null(block.rows()))));
        }
        held.add(block.bytes())
    };
    let mut builder = BlockBuilder::default();
    reader.for_each_form(&sql, |row, width| {
        for (at, name) in names.iter().enumerate().take(width) {
            let form = row.get_ref(at).map_err(|e| Error::sqlite("reading a column of records", e))?;
            set(&mut builder, name, form);
        }
        builder.end_row();
        match builder.rows() >= CHUNK_ROWS as usize {
            true => close(std::mem::take(&mut builder)),
            false => Ok(()),
        }
    })?;
    if builder.rows() > 0 {
        close(builder)?;
    }
    Ok(names.iter().cloned().zip(blocks.into_iter().map(Into::into)).collect())
}

/// Puts a value in its form into a row that is being built; text is not copied on the way.
fn set(builder: &mut BlockBuilder, name: &str, form: ValueRef<'_>) {
    let field = builder.field(name);
    match form {
        ValueRef::Null => {}
        ValueRef::Integer(number) => builder.set(field, Cell::Int(number)),
        ValueRef::Real(number) => builder.set(field, Cell::Float(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => builder.set(field, Cell::Text(text)),
            Err(_) => builder.set(field, Cell::Text(&String::from_utf8_lossy(text))),
        },
        blob @ ValueRef::Blob(_) => match from_sql(blob) {
            Value::Bool(truth) => builder.set(field, Cell::Bool(truth)),
            Value::Time(us) => builder.set(field, Cell::Time(us)),
            Value::Json(text) => builder.set(field, Cell::Json(&text)),
            Value::List(items) => {
                let items: Vec<&str> = items.iter().map(|item| &**item).collect();
                builder.set(field, Cell::List(&items));
            }
            _ => {}
        },
    }
}

/// The dataset as one of events, with these records of it in its tail.
pub fn with(dataset: &Dataset, tail: Vec<TailBlock>) -> Dataset {
    let declaration = Declaration { kind: DatasetKind::Events, ..dataset.declaration.clone() };
    // what is not there was not read
    Dataset { tail, keyed: None, within: None, declaration, ..dataset.clone() }
}

/// The records of a dataset, some at a time, in order of `_seq`.
pub struct Chunks {
    reader: Reader,
    sql: String,
    fields: Vec<Arc<str>>,
    last: i64,
}

impl Chunks {
    /// Those of a dataset, with these fields.
    ///
    /// # Errors
    /// Unknown names, and no connection.
    pub fn new(dataset: &Dataset, fields: &[Arc<str>], budget: &Arc<Budget>) -> Result<Self> {
        let own = own_name(dataset);
        let fields: Vec<Arc<str>> =
            fields.iter().filter(|name| !matches!(&***name, TIME | "_seq")).cloned().collect();
        let mut list = vec![format!("{own}._seq"), format!("{own}._time")];
        for name in &fields {
            list.push(column(dataset, &own, name)?.sql);
        }
        let reader = reader::open(dataset.keyed()?, &Calendar::default(), budget)?;
        let sql = format!(
            "SELECT {} FROM {} WHERE {own}._seq > ?1 ORDER BY {own}._seq LIMIT ?2",
            list.join(", "),
            source(dataset, false)
        );
        Ok(Self { reader, sql, fields, last: i64::MIN })
    }

    /// The next ones; `None` at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read_next(&mut self) -> Result<Option<Vec<TailBlock>>> {
        let parameters = [Value::Int(self.last), Value::Int(CHUNK_ROWS)];
        let (rows, _) = self.reader.rows(&self.sql, &parameters)?;
        let seqs: Vec<i64> = rows.iter().filter_map(|row| row.first()?.as_int()).collect();
        let Some(end) = seqs.last() else { return Ok(None) };
        self.last = *end;
        let mut blocks = Vec::new();
        let mut begin = 0;
        // the rows of a block are numbered without gaps
        while let (Some(first), Some(rest)) = (seqs.get(begin), seqs.get(begin..)) {
            let count = rest.iter().zip(*first..).take_while(|(seq, counted)| *seq == counted).count();
            let rows = rows.get(begin..begin + count).unwrap_or_default();
            blocks.push(TailBlock { first_seq: *first, block: Arc::new(block(&self.fields, rows)) });
            begin += count;
        }
        Ok(Some(blocks))
    }
}

/// Records that are read at once.
const CHUNK_ROWS: i64 = 16_384;

fn block(names: &[Arc<str>], rows: &[Vec<Value>]) -> Block {
    let cells = |at: usize| rows.iter().map(move |row| row.get(at).cloned().unwrap_or(Value::Null));
    let column = |(at, name): (usize, &Arc<str>)| (Arc::clone(name), Arc::new(column_of(cells(at + 2))));
    let mut columns: Vec<(Arc<str>, Arc<Column>)> = names.iter().enumerate().map(column).collect();
    columns.push((TIME.into(), Arc::new(column_of(cells(1)))));
    Block::new(rows.len(), columns)
}
