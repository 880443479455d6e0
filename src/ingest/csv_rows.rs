//! CSV to rows. The header names the fields; `cells` tells from the first rows how each column is read. `import` reads
//! the header and the sample from the first chunk, then decodes chunks on several threads with the same [`Table`].
//!
//! An empty cell is null, quoted or not: CSV has no other way to say nothing that every program writes. A line
//! without any byte is no row. A cell that is not of its column's type is kept as it is, as text.

use csv::{ReaderBuilder, StringRecord};

use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::ingest::cells::{self, CellKind, Evidence, NumberForm, Reading};
use crate::ingest::chunks::line_ends;
use crate::ingest::dialect::{Dialect, separator_line, until_line};
use crate::ingest::json;
use crate::ingest::rows::Rows;
use crate::ingest::rules::Rules;
use crate::limits;

/// What the header and the first rows tell of a file.
#[derive(Debug)]
pub struct Table {
    names: Vec<String>,
    readings: Vec<Reading>,
    dialect: Dialect,
}

impl Table {
    /// Takes the header off a text that begins with the line `first`, and tells how its columns are read from the rows
    /// before the line `resume`, which an earlier import has seen; from all where it is 0. Gives the table, the line
    /// that the text then begins with, and what the user should know. `None`: there is no header.
    ///
    /// # Errors
    /// The header is not UTF-8, or names more fields than a dataset may have.
    pub fn begin(
        text: &mut Vec<u8>,
        first: u64,
        dialect: Dialect,
        resume: u64,
    ) -> Result<Option<(Self, u64, Vec<String>)>> {
        let start = separator_line(text).map_or(0, |(_, bytes)| bytes);
        let Some((header, length)) = read_header(&text[start..], dialect.delimiter)? else {
            return Ok(None);
        };
        let (names, mut notes) = field_names(&header);
        let line = first + line_ends(&text[..start + length]);
        text.drain(..start + length);
        let evidence = sample(until_line(text, resume, line), names.len(), dialect);
        notes.extend(cells::notes(&names, &evidence, dialect.decimal_comma));
        let readings = cells::readings(&evidence, dialect.decimal_comma);
        Ok(Some((Self { names, readings, dialect }, line, notes)))
    }

    /// Decodes whole records under the rules that `rows` has too; `first_line` is the line that they begin with.
    pub fn decode(&self, bytes: &[u8], first_line: u64, rules: &Rules, rows: &mut Rows<'_>) {
        let readings = self.readings_under(rules);
        let mut reader = reader(bytes, self.dialect.delimiter);
        let mut record = StringRecord::new();
        let (mut line, mut counted) = (first_line, 0);
        loop {
            let start = skip_line_ends(bytes, reader.position().byte() as usize);
            line += line_ends(&bytes[counted..start]);
            counted = start;
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => match self.row(&record, &readings, rows) {
                    Ok(()) => {
                        rows.end_row(line);
                    }
                    Err(reason) => rows.reject_row(line, reason),
                },
                Err(e) => rows.reject_row(line, bad_text(&e, "row")),
            }
        }
    }

    fn row(&self, record: &StringRecord, readings: &[Reading], rows: &mut Rows<'_>) -> Result<(), String> {
        let (cells, columns) = (record.len(), self.names.len());
        if cells != columns {
            let are = if cells == 1 { "1 cell".into() } else { format!("{cells} cells") };
            return Err(format!("{are} where the header has {columns}"));
        }
        for ((name, reading), cell) in self.names.iter().zip(readings).zip(record) {
            let id = rows.name(name)?;
            if cell.is_empty() {
                continue;
            }
            if rows.holds_json(id) {
                json::embedded(cell, id, name, rows)?;
            } else {
                rows.set(id, name, reading.read(cell))?;
            }
        }
        Ok(())
    }

    /// The readings under what the dataset knows: a declared type is aimed at, and a field that has held nothing but
    /// text goes on so, whatever the cells of this file look like.
    fn readings_under(&self, rules: &Rules) -> Vec<Reading> {
        let reading_of = |(name, sampled): (&String, &Reading)| {
            let declared = rules.declaration.fields.get(name).and_then(|field| field.kind);
            let (kind, form) = match declared {
                Some(FieldType::Int | FieldType::Float) => (CellKind::Number, sampled.form),
                Some(FieldType::Bool) => (CellKind::Bool, sampled.form),
                // a number of seconds has no comma
                Some(FieldType::Time) => (CellKind::Unknown, NumberForm::Point),
                Some(FieldType::String | FieldType::Strings | FieldType::Json) => {
                    (CellKind::Text, sampled.form)
                }
                None => match rules.known.kinds(name).and_then(|kinds| kinds.single()) {
                    Some(FieldType::String) => (CellKind::Text, sampled.form),
                    _ => (sampled.kind, sampled.form),
                },
            };
            Reading { kind, form }
        };
        self.names.iter().zip(&self.readings).map(reading_of).collect()
    }
}

/// The first record of some bytes, and the bytes that it takes up.
fn read_header(bytes: &[u8], delimiter: u8) -> Result<Option<(StringRecord, usize)>> {
    let mut reader = reader(bytes, delimiter);
    let mut header = StringRecord::new();
    if !reader.read_record(&mut header).map_err(|e| Error::invalid(bad_text(&e, "header")))? {
        return Ok(None);
    }
    if header.len() > limits::FIELDS {
        return Err(Error::invalid(format!(
            "the header names {} fields, more than the {} that a dataset may have; put values into rows, not into names",
            header.len(),
            limits::FIELDS
        )));
    }
    // the csv crate leaves the \n of a \r\n for the next record
    let end = skip_line_ends(bytes, reader.position().byte() as usize);
    Ok(Some((header, end)))
}

/// What the columns of some rows show.
fn sample(bytes: &[u8], columns: usize, dialect: Dialect) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = std::iter::repeat_with(Evidence::default).take(columns).collect();
    let mut reader = reader(bytes, dialect.delimiter);
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return evidence,
            Ok(true) if record.len() == columns => {
                for (evidence, cell) in evidence.iter_mut().zip(&record) {
                    evidence.see(cell, dialect.decimal_comma);
                }
            }
            // rows that will be rejected tell nothing
            _ => {}
        }
    }
}

/// Names that are there once each, and what was changed for it.
fn field_names(header: &StringRecord) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    let mut taken: std::collections::HashSet<String> =
        header.iter().map(|name| name.trim().to_owned()).collect();
    let mut used = std::collections::HashSet::new();
    let mut notes = Vec::new();
    for (index, cell) in header.iter().enumerate() {
        let wanted = cell.trim();
        let column = index + 1;
        let free = |base: &str, from: usize, taken: &std::collections::HashSet<String>| {
            (from..).map(|n| format!("{base}_{n}")).find(|name| !taken.contains(name)).unwrap_or_default()
        };
        let name = if wanted.is_empty() {
            let name = free("column", column, &taken);
            notes.push(format!("column {column} has no name in the header; it is called \"{name}\""));
            name
        } else if used.contains(wanted) {
            let name = free(wanted, 2, &taken);
            notes.push(format!("the header has \"{wanted}\" twice; column {column} is called \"{name}\""));
            name
        } else {
            wanted.to_owned()
        };
        used.insert(name.clone());
        taken.insert(name.clone());
        names.push(name);
    }
    (names, notes)
}

fn reader(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bytes)
}

fn skip_line_ends(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b'\n' | b'\r')) {
        at += 1;
    }
    at.min(bytes.len())
}

/// The csv crate fails on text that is not UTF-8 and on nothing else here: readers are flexible and in memory.
fn bad_text(error: &csv::Error, what: &str) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => format!(
            "cell {} of the {what} is not UTF-8 (byte {} of it); convert the file first, as with `iconv -f LATIN1 -t UTF-8`",
            err.field() + 1,
            err.valid_up_to() + 1
        ),
        _ => format!("the {what} cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::ingest::dialect::DecimalComma;

    const COMMA: Dialect = Dialect { delimiter: b',', decimal_comma: DecimalComma::Never };

    #[test]
    fn odd_headers_become_distinct_names() {
        let mut text = b" a ,,a,a_2,,column_2\n1,2,3,4,5,6\n".to_vec();
        let (table, line, notes) = Table::begin(&mut text, 1, COMMA, 0).expect("read").expect("there");
        assert_eq!(table.names, ["a", "column_3", "a_3", "a_2", "column_5", "column_2"]);
        assert_eq!((text.as_slice(), line, notes.len()), (&b"1,2,3,4,5,6\n"[..], 2, 3));
    }

    #[test]
    fn the_line_for_excel_and_the_header_are_taken_off() {
        let dialect = Dialect { delimiter: b';', decimal_comma: DecimalComma::Detected };
        let mut text = b"sep=;\r\n\r\na;\"b\r\nc\"\r\n1;2\r\n".to_vec();
        let (table, line, _) = Table::begin(&mut text, 1, dialect, 0).expect("read").expect("there");
        assert_eq!((table.names.len(), text.as_slice(), line), (2, &b"1;2\r\n"[..], 5));
        for nothing in [&b""[..], b"sep=;", b"\n\n"] {
            assert!(Table::begin(&mut nothing.to_vec(), 1, dialect, 0).expect("read").is_none());
        }
    }

    #[test]
    fn rows_that_came_later_do_not_change_how_columns_are_read() {
        let whole = b"n;zip\n1,5;10\n2;11\nnone;012\n";
        let readings = |resume| {
            let dialect = Dialect { delimiter: b';', decimal_comma: DecimalComma::Detected };
            Table::begin(&mut whole.to_vec(), 1, dialect, resume).expect("read").expect("there").0.readings
        };
        let kinds = |resume| readings(resume).iter().map(|reading| reading.kind).collect::<Vec<_>>();
        assert_eq!(kinds(0), [CellKind::Text, CellKind::Text]);
        assert_eq!(kinds(4), [CellKind::Number, CellKind::Number]);
        assert_eq!(readings(4)[0].form, NumberForm::Comma);
    }
}
