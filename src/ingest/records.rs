//! Some records on their way to a decoder, and what decodes them: the one place that joins the forms of input with
//! their decoders. `import` sends [`Chunk`]s from its reader to its decoders.

use crate::error::{Error, ItemError, Result, nearest};
use crate::ingest::chunks::line_start;
use crate::ingest::csv_rows::Table;
use crate::ingest::dialect::Dialect;
use crate::ingest::parquet::columns::RowChunk;
use crate::ingest::rows::{Decoded, Rows};
use crate::ingest::rules::Rules;
use crate::ingest::{access_log, json, parquet, split};
use crate::store::snapshot::Snapshot;

/// Some records on their way to a decoder.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The records.
    pub records: Records<'a>,
    /// Line of the first record, or index of the first item or row.
    pub place: u64,
    /// Line, item or row that follows the last record.
    pub end: u64,
    /// Records that did not get into the chunk.
    pub rejected: Vec<ItemError>,
}

impl Chunk<'_> {
    /// Takes the header off the first chunk of a CSV file; gives the table that it makes with the rows before the line
    /// `resume`, and what the user should know. `None`: there is no header.
    ///
    /// # Errors
    /// The header is not UTF-8, or names more fields than a dataset may have.
    pub fn take_header(&mut self, dialect: Dialect, resume: u64) -> Result<Option<(Table, Vec<String>)>> {
        let Records::Text(text) = &mut self.records else { return Ok(None) };
        let begun = Table::begin(text, self.place, dialect, resume)?;
        Ok(begun.map(|(table, line, notes)| {
            self.place = line;
            (table, notes)
        }))
    }

    /// Leaves out what comes before a line or item.
    pub fn skip_to(&mut self, place: u64) {
        let Some(count) = place.checked_sub(self.place).filter(|count| *count > 0) else { return };
        match &mut self.records {
            Records::Text(text) => drop(text.drain(..line_start(text, count))),
            Records::Items(items) => drop(items.drain(..items.len().min(count as usize))),
            // the file is read from the right row on
            Records::Rows(_) => return,
        }
        self.place = place;
        self.rejected.retain(|item| item.index >= place);
    }
}

/// Records in the form in which their file has them.
#[derive(Debug)]
pub enum Records<'a> {
    /// Whole lines, or whole rows of CSV.
    Text(Vec<u8>),
    /// Items of a JSON document.
    Items(Vec<&'a [u8]>),
    /// Rows of a Parquet file.
    Rows(Box<RowChunk>),
}

/// What finds the cells in a chunk.
#[derive(Debug)]
pub enum Form {
    /// JSON objects.
    Json,
    /// Rows of CSV.
    Table(Table),
    /// Lines of an access log.
    AccessLog,
    /// Columns of a Parquet file.
    Parquet,
}

/// What decodes the chunks of a file, under the rules that it is given each time.
#[derive(Debug)]
pub struct Decoder<'d> {
    /// How the cells are found.
    pub form: Form,
    /// Fields whose text is JSON.
    pub json_fields: &'d [String],
}

impl Decoder<'_> {
    /// What the user should know of fields whose text is JSON that no row of the first chunk has.
    ///
    /// # Errors
    /// The form names all its fields, and none is called so.
    pub fn check_json_fields(&self, chunk: &Chunk<'_>) -> Result<Option<String>> {
        if self.json_fields.is_empty() {
            return Ok(None);
        }
        if matches!(self.form, Form::AccessLog) {
            return Err(Error::invalid(
                "--json-field is not for access logs: none of their fields holds JSON",
            ));
        }
        let names = self.decode(chunk, &Rules::of(&Snapshot::default(), "")).names;
        let is_missing = |field: &&String| !names.iter().any(|name| **name == **field);
        let Some(field) = self.json_fields.iter().find(is_missing) else { return Ok(None) };
        let hint = nearest(field, names.iter().map(|name| &**name).filter(|name| !name.starts_with('_')));
        let told = format!("has the field \"{field}\" that --json-field names{hint}");
        match self.form {
            Form::Json => Ok(Some(format!("none of the first rows {told}"))),
            _ => Err(Error::invalid(format!("no row {told}"))),
        }
    }

    /// The rows of a chunk, by the rules.
    pub fn decode(&self, chunk: &Chunk<'_>, rules: &Rules) -> Decoded {
        if let Records::Rows(rows) = &chunk.records {
            return parquet::decode(rows, chunk.place, rules);
        }
        let mut rows = Rows::with_json_fields(rules, self.json_fields);
        match (&chunk.records, &self.form) {
            (Records::Text(text), Form::Table(table)) => table.decode(text, chunk.place, rules, &mut rows),
            (Records::Text(text), form) => {
                let record = if matches!(form, Form::AccessLog) { access_log::record } else { json::record };
                for (number, line) in split::lines(text) {
                    record(line, chunk.place + number - 1, &mut rows);
                }
            }
            (Records::Items(items), _) => {
                for (place, item) in (chunk.place..).zip(items) {
                    json::record(item, place, &mut rows);
                }
            }
            (Records::Rows(_), _) => {}
        }
        let mut decoded = rows.finish();
        if matches!(self.form, Form::AccessLog) {
            access_log::complete(&mut decoded.block);
        }
        decoded
    }
}
