//! Parquet: a column a field, typed as the dataset knows it, zstd within, in row groups of bounded size. A field that has
//! held several types is JSON text with the logical type that says so, and reads back as it was.

use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::schema::types::{Type, TypePtr};

use crate::columnar::TIME;
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::query::export::{Batch, Export};
use crate::value::Value;

/// Rows of a row group, unless its bytes are reached before.
const GROUP_ROWS: usize = 131_072;
/// Bytes in memory of a row group.
const GROUP_BYTES: usize = 64 << 20;

/// The type of each field of an export; `None`: several, written as JSON.
pub fn kinds(export: &Export) -> Vec<Option<FieldType>> {
    let kind = |name: &Arc<str>| match &**name {
        TIME => Some(FieldType::Time),
        "_seq" => Some(FieldType::Int),
        "_id" => Some(FieldType::String),
        // one that no row has a value in is of any type
        _ => match export.dataset().fields.kinds(name) {
            Some(kinds) if !kinds.is_empty() => kinds.single(),
            _ => Some(FieldType::String),
        },
    };
    export.fields().iter().map(kind).collect()
}

/// Some rows as Parquet takes them: values that are there, and levels that say where.
#[derive(Debug)]
pub struct Rows {
    count: usize,
    leaves: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    values: Values,
    /// 0: no value; 1: a value, or a list without items; 2: an item.
    definitions: Vec<i16>,
    /// 1: a further item of the same list.
    repetitions: Option<Vec<i16>>,
    bytes: usize,
}

#[derive(Debug)]
enum Values {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<ByteArray>),
}

/// The columns of a batch.
///
/// # Errors
/// A whole number that no float holds, in a field of floats.
pub fn encode(batch: &Batch<'_>, kinds: &[Option<FieldType>]) -> Result<Rows> {
    let leaf = |field: usize| {
        let mut leaf = Leaf::new(kinds[field]);
        for row in 0..batch.rows() {
            leaf.push(kinds[field], batch.get(row, field)).map_err(|value| {
                Error::invalid(format!(
                    "the field \"{}\" holds {} among numbers with fractions, which Parquet has no exact type for; \
                     export it as NDJSON, or leave it out with --fields",
                    batch.fields[field],
                    value.to_text()
                ))
            })?;
        }
        Ok(leaf)
    };
    Ok(Rows { count: batch.rows(), leaves: (0..kinds.len()).map(leaf).collect::<Result<_>>()? })
}

impl Leaf {
    fn new(kind: Option<FieldType>) -> Self {
        let values = match kind {
            Some(FieldType::Int | FieldType::Time) => Values::Int(Vec::new()),
            Some(FieldType::Float) => Values::Float(Vec::new()),
            Some(FieldType::Bool) => Values::Bool(Vec::new()),
            _ => Values::Bytes(Vec::new()),
        };
        let repetitions = (kind == Some(FieldType::Strings)).then(Vec::new);
        Self { values, definitions: Vec::new(), repetitions, bytes: 0 }
    }

    /// Adds the value of the next row; gives it back where its type cannot hold it.
    fn push(&mut self, kind: Option<FieldType>, value: Value) -> std::result::Result<(), Value> {
        let start = self.definitions.len();
        if value.is_null() {
            self.definitions.push(0);
        } else {
            self.push_value(kind, value)?;
        }
        if let Some(repetitions) = &mut self.repetitions {
            repetitions.push(0);
            repetitions.resize(self.definitions.len(), 1);
        }
        self.bytes += (self.definitions.len() - start) * 8;
        Ok(())
    }

    fn push_value(&mut self, kind: Option<FieldType>, value: Value) -> std::result::Result<(), Value> {
        match (&mut self.values, value) {
            (Values::Int(values), Value::Int(number) | Value::Time(number)) => values.push(number),
            (Values::Float(values), Value::Float(number)) => values.push(number),
            (Values::Float(values), Value::Int(number)) if number.unsigned_abs() <= 1 << 53 => {
                values.push(number as f64);
            }
            (Values::Bool(values), Value::Bool(bit)) => values.push(bit),
            (Values::Bytes(values), Value::List(items)) if kind == Some(FieldType::Strings) => {
                self.bytes += items.iter().map(|item| item.len() + 32).sum::<usize>();
                values.extend(items.iter().map(|item| ByteArray::from(&**item)));
                self.definitions.resize(self.definitions.len() + items.len().max(1), 2);
                if items.is_empty()
                    && let Some(last) = self.definitions.last_mut()
                {
                    *last = 1;
                }
                return Ok(());
            }
            (Values::Bytes(values), value) => {
                let mut bytes = Vec::new();
                match (&value, kind) {
                    (Value::Text(text), Some(FieldType::String)) => bytes.extend_from_slice(text.as_bytes()),
                    _ => value.write_json(&mut bytes),
                }
                self.bytes += bytes.len() + 32;
                values.push(bytes.into());
            }
            (_, other) => return Err(other),
        }
        self.definitions.push(1);
        Ok(())
    }

    fn append(&mut self, more: Self) {
        match (&mut self.values, more.values) {
            (Values::Int(values), Values::Int(more)) => values.extend(more),
            (Values::Float(values), Values::Float(more)) => values.extend(more),
            (Values::Bool(values), Values::Bool(more)) => values.extend(more),
            (Values::Bytes(values), Values::Bytes(more)) => values.extend(more),
            // the leaves of a field are all of one type
            _ => return,
        }
        self.definitions.extend(more.definitions);
        if let (Some(all), Some(more)) = (&mut self.repetitions, more.repetitions) {
            all.extend(more);
        }
        self.bytes += more.bytes;
    }

    fn write(&self, column: &mut SerializedColumnWriter<'_>) -> ::parquet::errors::Result<usize> {
        let (definitions, repetitions) = (Some(self.definitions.as_slice()), self.repetitions.as_deref());
        match &self.values {
            Values::Int(values) => column.typed::<Int64Type>().write_batch(values, definitions, repetitions),
            Values::Float(values) => {
                column.typed::<DoubleType>().write_batch(values, definitions, repetitions)
            }
            Values::Bool(values) => column.typed::<BoolType>().write_batch(values, definitions, repetitions),
            Values::Bytes(values) => {
                column.typed::<ByteArrayType>().write_batch(values, definitions, repetitions)
            }
        }
    }
}

/// A Parquet file that grows by row groups.
pub struct File<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    pending: Option<Rows>,
}

impl<W: Write + Send> File<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(out: W, export: &Export, kinds: &[Option<FieldType>]) -> Result<Self> {
        let fields = export.fields().iter().zip(kinds).map(|(name, kind)| column_type(name, *kind));
        let fields = fields.collect::<::parquet::errors::Result<Vec<TypePtr>>>().map_err(failed)?;
        let schema = Type::group_type_builder("windrow").with_fields(fields).build().map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_created_by(concat!("windrow version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer =
            SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer, pending: None })
    }

    /// Adds rows, and writes a row group when there are enough.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, rows: Rows) -> Result<()> {
        match &mut self.pending {
            Some(pending) => {
                pending.count += rows.count;
                pending.leaves.iter_mut().zip(rows.leaves).for_each(|(leaf, more)| leaf.append(more));
            }
            None => self.pending = Some(rows),
        }
        let bytes = |rows: &Rows| rows.leaves.iter().map(|leaf| leaf.bytes).sum::<usize>();
        let is_full = |rows: &Rows| rows.count >= GROUP_ROWS || bytes(rows) >= GROUP_BYTES;
        if self.pending.as_ref().is_some_and(is_full) { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<()> {
        let Some(rows) = self.pending.take() else { return Ok(()) };
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for leaf in &rows.leaves {
            let Some(mut column) = group.next_column().map_err(failed)? else { break };
            leaf.write(&mut column).map_err(failed)?;
            column.close().map_err(failed)?;
        }
        group.close().map(drop).map_err(failed)
    }

    /// Writes the last row group and the end of the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.write_group()?;
        self.writer.close().map(drop).map_err(failed)
    }
}

fn column_type(name: &str, kind: Option<FieldType>) -> ::parquet::errors::Result<TypePtr> {
    let (physical, logical) = match kind {
        Some(FieldType::Int) => (Physical::INT64, None),
        Some(FieldType::Time) => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        Some(FieldType::Float) => (Physical::DOUBLE, None),
        Some(FieldType::Bool) => (Physical::BOOLEAN, None),
        Some(FieldType::String | FieldType::Strings) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Some(FieldType::Json) | None => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
    };
    if kind != Some(FieldType::Strings) {
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        return builder.with_logical_type(logical).build().map(Arc::new);
    }
    let element = Type::primitive_type_builder("element", physical).with_repetition(Repetition::REQUIRED);
    let list = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element.with_logical_type(logical).build()?)]);
    let whole = Type::group_type_builder(name)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(list.build()?)]);
    whole.build().map(Arc::new)
}

fn failed(error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => Error::io("cannot write the export", *source),
            Err(other) => Error::Internal(format!("Parquet cannot be written: {other}")),
        },
        other => Error::Internal(format!("Parquet cannot be written: {other}")),
    }
}
