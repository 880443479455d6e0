//! Parquet files: columns in row groups, described by a footer, so a file is read from its end and has to be a plain
//! file. `import` opens one [`ParquetFile`], asks it for the next rows, and has the decoders make blocks of them.
//!
//! ```text
//! footer → shape (fields, leaves)
//! row group → leaf | pages (values in bulk)                                            the reader's thread
//!           → columns (nested, embedded: fields of any rules) → decode (rules) → block     the decoders
//! ```
//!
//! The reader's thread unpacks and decodes each page once, in order, and keeps every column of the row group open at
//! its place, so row groups of any size are cut into chunks without reading anything twice. Text of a dictionary goes
//! on as codes; what is made of the distinct texts is made once for all chunks of a row group. Nothing here trusts the
//! file: what the crate would panic at is told as damage.

mod brotli;
pub mod columns;
mod decode;
mod embedded;
mod leaf;
mod nested;
mod pages;
mod shape;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};

pub use crate::ingest::parquet::decode::decode;

use crate::error::{Error, Result};
use crate::ingest::format::FileFormat;
use crate::ingest::parquet::brotli::BrotliPages;
use crate::ingest::parquet::columns::RowChunk;
use crate::ingest::parquet::leaf::{LeafReader, LeafRows, Values};
use crate::ingest::parquet::shape::{Kind, Shape};
use crate::limits;

/// How a file begins and ends.
const MAGIC: &[u8; 4] = b"PAR1";
/// How a file begins and ends whose footer is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";

/// Why a file, or a part of it, cannot be read.
#[derive(Debug)]
pub enum Fault {
    /// It is not what it says of itself.
    Damaged(String),
    /// It is right, and this version does not read it.
    Unsupported(String),
}

impl From<ParquetError> for Fault {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::NYI(what) => Self::Unsupported(what),
            ParquetError::General(what) | ParquetError::EOF(what) => {
                if what.contains("encrypt") {
                    return Self::Unsupported("encryption".into());
                }
                Self::Damaged(what)
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// A file that is being read.
pub struct ParquetFile {
    name: String,
    bytes_total: u64,
    bytes_read: Arc<AtomicU64>,
    file: Arc<File>,
    reader: SerializedFileReader<File>,
    shape: Arc<Shape>,
    /// The row group that comes next, and the row of the file that it begins with.
    next_group: usize,
    next_group_row: u64,
    open: Option<OpenGroup>,
    /// The row that comes next.
    row: u64,
}

/// A row group that was read up to some row.
struct OpenGroup {
    readers: Vec<LeafReader>,
    rows_left: u64,
    rows_a_chunk: u64,
    bytes_a_row: u64,
}

/// Some rows of a file.
#[derive(Debug)]
pub struct FileRows {
    /// The rows.
    pub rows: RowChunk,
    /// The row of the file that they begin with, from 0.
    pub place: u64,
}

/// Whether a file is to be read as Parquet: it begins as such a file, and nobody says otherwise.
///
/// # Errors
/// It cannot be opened, or it is encrypted.
pub fn is_parquet(path: &Path, wanted: Option<FileFormat>) -> Result<bool> {
    let is_file = path.as_os_str() != "-" && path.metadata().is_ok_and(|meta| meta.is_file());
    if !is_file || wanted.is_some_and(|format| format != FileFormat::Parquet) {
        return Ok(false);
    }
    let name = path.display();
    let context = |e| Error::io(format!("cannot read {name}"), e);
    let mut file = File::open(path).map_err(context)?;
    let mut head = Vec::new();
    (&mut file).take(5).read_to_end(&mut head).map_err(context)?;
    let mut tail = Vec::new();
    if file.seek(SeekFrom::End(-4)).is_ok() {
        (&mut file).take(4).read_to_end(&mut tail).map_err(context)?;
    }
    // a header of CSV may begin with the same four letters
    let said = wanted.is_some() || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
    if head.starts_with(ENCRYPTED) && (said || tail == ENCRYPTED) {
        return Err(Error::invalid(format!(
            "{name} is an encrypted Parquet file; write it without encryption"
        )));
    }
    Ok(head.starts_with(MAGIC) && (said || tail == MAGIC || head.get(4) == Some(&0x15)))
}

impl ParquetFile {
    /// Opens a file and reads its footer; reading begins at a row.
    ///
    /// # Errors
    /// It is cut off or damaged, or has a column that no field can hold.
    pub fn open(path: &Path, json_fields: &[String], bytes_read: Arc<AtomicU64>) -> Result<Self> {
        let name = path.display().to_string();
        let context = |e| Error::io(format!("cannot open {name}"), e);
        let file = File::open(path).map_err(context)?;
        let bytes_total = file.metadata().map_err(context)?.len();
        let kept = Arc::new(file.try_clone().map_err(context)?);
        let opened = guarded(|| Ok(SerializedFileReader::new(file)?));
        let reader = opened.map_err(|fault| match fault {
            Fault::Unsupported(_) => told(&name, &fault, ""),
            Fault::Damaged(what) => Error::invalid(format!(
                "{name} is a Parquet file that is cut off or damaged: the description at its end cannot be read ({what}); get the whole file"
            )),
        })?;
        let metadata = reader.metadata().file_metadata();
        let shape = guarded(|| Ok(Shape::of(metadata.schema_descr(), json_fields)))
            .map_err(|fault| told(&name, &fault, "its schema"))?
            .map_err(|what| Error::invalid(format!("{name} cannot be imported: {what}")))?;
        Ok(Self {
            name,
            bytes_total,
            bytes_read,
            shape: Arc::new(shape),
            file: kept,
            reader,
            next_group: 0,
            next_group_row: 0,
            open: None,
            row: 0,
        })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Goes on at a row of the file; what lies before it is not unpacked.
    pub fn skip_to(&mut self, row: u64) {
        self.row = row;
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged here, or its columns hold what no field can.
    pub fn next_rows(&mut self) -> Result<Option<FileRows>> {
        let place = self.row;
        match guarded(|| self.read_rows()) {
            Ok(rows) => Ok(rows.map(|rows| FileRows { rows, place })),
            Err(fault) => Err(told(&self.name, &fault, &format!("the rows from row {place} on"))),
        }
    }

    fn read_rows(&mut self) -> std::result::Result<Option<RowChunk>, Fault> {
        while self.open.as_ref().is_none_or(|group| group.rows_left == 0) {
            if self.next_group >= self.reader.num_row_groups() {
                return Ok(None);
            }
            self.open_group()?;
        }
        let Some(group) = &mut self.open else { return Ok(None) };
        // chunks of about the same size rather than a small one at the end
        let chunks = group.rows_left.div_ceil(group.rows_a_chunk);
        let rows = group.rows_left.div_ceil(chunks) as usize;
        let mut leaves = Vec::with_capacity(group.readers.len());
        for (reader, leaf) in group.readers.iter_mut().zip(&self.shape.leaves) {
            let read = reader.read(rows).map_err(|fault| fault.in_column(&leaf.name))?;
            if leaf.kind == Kind::Binary && holds_no_text(&read) {
                return Err(Fault::Unsupported(format!(
                    "bytes that are no text (the column \"{}\"); leave it out of the file, or convert it to text",
                    leaf.name
                )));
            }
            leaves.push(read);
        }
        group.rows_left -= rows as u64;
        self.row += rows as u64;
        self.bytes_read.fetch_add(group.bytes_a_row.saturating_mul(rows as u64), Ordering::Relaxed);
        Ok(Some(RowChunk::new(Arc::clone(&self.shape), rows, leaves)))
    }

    /// Opens the next row group at the row that comes next, unless it lies behind it.
    fn open_group(&mut self) -> std::result::Result<(), Fault> {
        let group = self.reader.get_row_group(self.next_group)?;
        let metadata = group.metadata();
        let rows = u64::try_from(metadata.num_rows())
            .map_err(|_| Fault::Damaged("a row group has less than no rows".into()))?;
        let begin = self.next_group_row;
        self.next_group += 1;
        self.next_group_row = begin.saturating_add(rows);
        if self.next_group_row <= self.row {
            return Ok(());
        }
        let skipped = self.row - begin;
        let mut readers = Vec::with_capacity(self.shape.leaves.len());
        if metadata.num_columns() != self.shape.leaves.len() {
            return Err(Fault::Damaged("a row group has other columns than the schema".into()));
        }
        for (index, leaf) in self.shape.leaves.iter().enumerate() {
            let chunk = metadata.column(index);
            let in_column = |fault: Fault| fault.in_column(&leaf.name);
            let pages: std::result::Result<Box<dyn PageReader>, _> = if BrotliPages::are_in(chunk) {
                BrotliPages::new(&self.file, chunk, rows as usize).map(|pages| Box::new(pages) as _)
            } else {
                group.get_column_page_reader(index)
            };
            let mut reader = LeafReader::new(leaf, chunk, pages.map_err(|e| in_column(e.into()))?);
            reader.skip(skipped as usize).map_err(in_column)?;
            readers.push(reader);
        }
        let (rows_a_chunk, bytes_a_row) =
            (rows_a_chunk(metadata, rows), compressed_bytes(metadata) / rows.max(1));
        self.open = Some(OpenGroup { readers, rows_left: rows - skipped, rows_a_chunk, bytes_a_row });
        Ok(())
    }
}

impl Fault {
    fn in_column(self, name: &str) -> Self {
        match self {
            Self::Damaged(what) => Self::Damaged(format!("{what} (the column \"{name}\")")),
            Self::Unsupported(what) => Self::Unsupported(format!("{what} (the column \"{name}\")")),
        }
    }
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("name", &self.name).field("row", &self.row).finish()
    }
}

/// Rows of a chunk, so that neither its cells nor its bytes become many. Sizes of the footer are believed only where
/// that makes chunks smaller.
fn rows_a_chunk(group: &RowGroupMetaData, rows: u64) -> u64 {
    let bytes: u64 = group.columns().iter().map(|c| u64::try_from(c.uncompressed_size()).unwrap_or(0)).sum();
    let by_bytes = (4 * limits::IMPORT_CHUNK_BYTES as u64).saturating_mul(rows) / bytes.max(1);
    let by_cells = (limits::BATCH_CELLS / (2 * group.num_columns() + 2)) as u64;
    by_bytes.min(by_cells).clamp(1, limits::TAIL_BLOCK_ROWS as u64)
}

fn compressed_bytes(group: &RowGroupMetaData) -> u64 {
    group.columns().iter().map(|c| u64::try_from(c.compressed_size()).unwrap_or(0)).sum()
}

fn holds_no_text(rows: &LeafRows) -> bool {
    matches!(&rows.values, Values::Text(coded) if coded.has_spoiled())
}

/// Runs what reads the file; a panic of the crate is damage.
fn guarded<T>(read: impl FnOnce() -> std::result::Result<T, Fault>) -> std::result::Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it makes no sense");
        Err(Fault::Damaged(what.to_owned()))
    })
}

fn told(name: &str, fault: &Fault, what: &str) -> Error {
    match fault {
        Fault::Damaged(why) => {
            Error::invalid(format!("{name} is damaged: {what} cannot be read: {why}; get the file anew"))
        }
        Fault::Unsupported(why) => {
            Error::invalid(format!("{name} has what this version does not read: {why}"))
        }
    }
}

#[cfg(test)]
mod tests;
