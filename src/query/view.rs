//! Some rows of one part as the columns that an expression names, with the engine's own `_seq` and `_id` among them.
//! What a filter left over is taken together first, so that everything after it works on dense columns.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::error::Result;
use crate::query::codes::Codes;
use crate::query::needs::Needs;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;
use crate::value::Value;

/// Columns by name, all of `rows` rows.
#[derive(Debug)]
pub struct View {
    /// Number of rows.
    pub rows: usize,
    columns: Vec<(Arc<str>, Arc<Column>)>,
    coded: Vec<(Arc<str>, Codes)>,
}

impl View {
    /// What is needed of a part: of all rows, or of those given.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn new(dataset: &Dataset, part: &Part, needs: &Needs, rows: Option<&[u32]>) -> Result<Self> {
        let coded = needs.coded.iter();
        let coded = coded.map(|(name, domain)| Ok((Arc::clone(name), domain.codes_of_part(part, rows)?)));
        let coded = coded.collect::<Result<_>>()?;
        Ok(Self { coded, ..Self::columns(dataset, part, &needs.columns, rows)? })
    }

    /// The named columns of a part: of all rows, or of those given.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn columns(dataset: &Dataset, part: &Part, names: &[Arc<str>], rows: Option<&[u32]>) -> Result<Self> {
        let columns = names.iter().map(|name| {
            let column = match rows {
                Some(rows) if &**name == "_id" => Arc::new(ids(dataset, part, rows.iter().copied())?),
                Some(rows) => Arc::new(column(dataset, part, name)?.take(rows)),
                None => column(dataset, part, name)?,
            };
            Ok((Arc::clone(name), column))
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Self::of(rows.map_or(part.rows(), <[u32]>::len), columns))
    }

    /// Columns by name, all of so many rows.
    pub fn of(rows: usize, columns: Vec<(Arc<str>, Arc<Column>)>) -> Self {
        Self { rows, columns, coded: Vec::new() }
    }

    /// Bytes in memory, without dictionaries, which belong to the data.
    pub fn bytes(&self) -> usize {
        let columns = self.columns.iter().map(|(_, column)| column.bytes_without_dictionaries());
        let coded = self.coded.iter().map(|(_, codes)| codes.bytes());
        let names = (self.columns.len() + self.coded.len()) * size_of::<(Arc<str>, Codes)>();
        size_of::<Self>() + names + columns.chain(coded).sum::<usize>()
    }

    /// Whether it holds nothing but a number of rows.
    pub fn is_bare(&self) -> bool {
        self.columns.is_empty() && self.coded.is_empty()
    }

    /// The same rows with nothing but what is needed.
    pub fn only(self, needs: &Needs) -> Self {
        let Self { rows, mut columns, mut coded } = self;
        columns.retain(|(name, _)| needs.columns.contains(name));
        coded.retain(|(name, _)| needs.coded.iter().any(|(needed, _)| needed == name));
        Self { rows, columns, coded }
    }

    /// The same with another column.
    pub fn with(mut self, name: &str, column: Arc<Column>) -> Self {
        self.columns.push((name.into(), column));
        self
    }

    /// Some of these rows, in that order.
    pub fn take(&self, rows: &[u32]) -> Self {
        let columns =
            self.columns.iter().map(|(name, column)| (Arc::clone(name), Arc::new(column.take(rows))));
        let coded = self.coded.iter().map(|(name, codes)| (Arc::clone(name), codes.take(rows)));
        Self { rows: rows.len(), columns: columns.collect(), coded: coded.collect() }
    }

    /// The codes that stand for what has a name; 0, as for null, where they were not asked for.
    pub fn codes(&self, name: &str) -> Codes {
        let found = self.coded.iter().find(|(n, _)| &**n == name);
        found.map_or(Codes::One(0), |(_, codes)| codes.clone())
    }

    /// The column of a name; without any value where there is none.
    pub fn column(&self, name: &str) -> Arc<Column> {
        let found = self.columns.iter().find(|(n, _)| &**n == name);
        found.map_or_else(|| Arc::new(Column::null(self.rows)), |(_, column)| Arc::clone(column))
    }

    /// One cell.
    pub fn value(&self, name: &str, row: usize) -> Value {
        let found = self.columns.iter().find(|(n, _)| &**n == name);
        found.map_or(Value::Null, |(_, column)| column.get(row))
    }
}

/// A whole column of a part.
///
/// # Errors
/// A column that is damaged or cannot be read.
pub fn column(dataset: &Dataset, part: &Part, name: &str) -> Result<Arc<Column>> {
    match name {
        "_seq" => part.seq_column(),
        "_id" => ids(dataset, part, 0..part.rows() as u32).map(Arc::new),
        _ => Ok(part.column(name)?.unwrap_or_else(|| Arc::new(Column::null(part.rows())))),
    }
}

fn ids(dataset: &Dataset, part: &Part, rows: impl Iterator<Item = u32>) -> Result<Column> {
    let (ids, seqs) = (Ids::new(dataset, part)?, part.row_seqs()?);
    Ok(column_of(rows.map(|row| ids.get(row as usize, seqs.get(row as usize)))))
}

/// `_id` of the rows of a part: the declared id field as text, what came as `_id`, else the sequence number.
#[derive(Debug)]
pub struct Ids {
    columns: Vec<Arc<Column>>,
}

impl Ids {
    /// What the ids of a part are made of.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn new(dataset: &Dataset, part: &Part) -> Result<Self> {
        let names = dataset.declaration.id.as_deref().into_iter().chain(["_id"]);
        let columns = names.filter_map(|name| part.column(name).transpose());
        Ok(Self { columns: columns.collect::<Result<_>>()? })
    }

    /// The id of a row, whose `_seq` is given too.
    pub fn get(&self, row: usize, seq: i64) -> Value {
        let found = self.columns.iter().map(|column| column.get(row)).find(|value| !value.is_null());
        Value::text(found.map_or_else(|| seq.to_string(), |value| value.to_text().into_owned()))
    }
}
