//! CSV to rows. The header names the fields; the type of a column is told from its first cells, so that `007` keeps
//! its zeros in all rows or in none. `import` reads the header and the sample from the first chunk, then decodes
//! chunks on several threads with the same [`Table`].
//!
//! An empty cell is null, quoted or not: CSV has no other way to say nothing that every program writes. A line
//! without any byte is no row. A cell that is not of its column's type is kept as it is, as text.

use csv::{ReaderBuilder, StringRecord};

use crate::columnar::builder::Cell;
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::ingest::chunks::line_ends;
use crate::ingest::json;
use crate::ingest::rows::Rows;
use crate::ingest::rules::Rules;
use crate::limits;

/// The bytes that may stand between cells; the first wins where two are as frequent.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// What the header and the first rows tell of a file.
#[derive(Debug)]
pub struct Table {
    names: Vec<String>,
    kinds: Vec<CellKind>,
    delimiter: u8,
}

/// How the cells of a column are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    /// The sample had no cell here: each is read as what it looks like.
    Unknown,
    /// As a number, whole or broken.
    Number,
    /// As true or false.
    Bool,
    /// As it is.
    Text,
}

/// The delimiter of a file: the one that its header has most of outside quotes; the comma where it has none.
pub fn sniff_delimiter(head: &[u8]) -> u8 {
    let mut counts = [0usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in head.trim_ascii_start() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some(at) = DELIMITERS.iter().position(|d| d == byte) {
                    counts[at] += 1;
                }
            }
        }
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    counts.iter().position(|count| *count == most).map_or(b',', |at| DELIMITERS[at])
}

impl Table {
    /// Reads the header, the first record of some bytes; gives the table, the bytes that it takes up, and what the
    /// user should know of it. `None`: there is no header.
    ///
    /// # Errors
    /// It is not UTF-8, or names more fields than a dataset may have.
    pub fn read_header(bytes: &[u8], delimiter: u8) -> Result<Option<(Self, usize, Vec<String>)>> {
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
        let (names, notes) = field_names(&header);
        let kinds = vec![CellKind::Unknown; names.len()];
        // the csv crate leaves the \n of a \r\n for the next record
        let end = skip_line_ends(bytes, reader.position().byte() as usize);
        Ok(Some((Self { names, kinds, delimiter }, end, notes)))
    }

    /// Tells the types of the columns from some rows.
    pub fn sample(&mut self, bytes: &[u8]) {
        let mut reader = reader(bytes, self.delimiter);
        let mut record = StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return,
                Ok(true) if record.len() == self.names.len() => {
                    for (kind, cell) in self.kinds.iter_mut().zip(&record) {
                        *kind = kind.with(cell);
                    }
                }
                // rows that will be rejected tell nothing
                _ => {}
            }
        }
    }

    /// Decodes whole records under the rules that `rows` has too; `first_line` is the line that they begin with.
    pub fn decode(&self, bytes: &[u8], first_line: u64, rules: &Rules, rows: &mut Rows<'_>) {
        let kinds = self.kinds_under(rules);
        let mut reader = reader(bytes, self.delimiter);
        let mut record = StringRecord::new();
        let (mut line, mut counted) = (first_line, 0);
        loop {
            let start = skip_line_ends(bytes, reader.position().byte() as usize);
            line += line_ends(&bytes[counted..start]);
            counted = start;
            match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) => match self.row(&record, &kinds, rows) {
                    Ok(()) => {
                        rows.end_row(line);
                    }
                    Err(reason) => rows.reject_row(line, reason),
                },
                Err(e) => rows.reject_row(line, bad_text(&e, "row")),
            }
        }
    }

    fn row(&self, record: &StringRecord, kinds: &[CellKind], rows: &mut Rows<'_>) -> Result<(), String> {
        let (cells, columns) = (record.len(), self.names.len());
        if cells != columns {
            let are = if cells == 1 { "1 cell".into() } else { format!("{cells} cells") };
            return Err(format!("{are} where the header has {columns}"));
        }
        for ((name, kind), cell) in self.names.iter().zip(kinds).zip(record) {
            let id = rows.name(name)?;
            if cell.is_empty() {
                continue;
            }
            if rows.holds_json(id) {
                json::embedded(cell, id, name, rows)?;
            } else {
                rows.set(id, name, kind.read(cell))?;
            }
        }
        Ok(())
    }

    /// The kinds under what the dataset knows: a declared type is aimed at, and a field that has held nothing but
    /// text goes on so, whatever the cells of this file look like.
    fn kinds_under(&self, rules: &Rules) -> Vec<CellKind> {
        let kind_of = |(name, sampled): (&String, &CellKind)| match rules
            .declaration
            .fields
            .get(name)
            .and_then(|field| field.kind)
        {
            Some(FieldType::Int | FieldType::Float) => CellKind::Number,
            Some(FieldType::Bool) => CellKind::Bool,
            Some(FieldType::Time) => CellKind::Unknown,
            Some(FieldType::String | FieldType::Strings | FieldType::Json) => CellKind::Text,
            None => match rules.known.kinds(name).and_then(|kinds| kinds.single()) {
                Some(FieldType::String) => CellKind::Text,
                _ => *sampled,
            },
        };
        self.names.iter().zip(&self.kinds).map(kind_of).collect()
    }
}

impl CellKind {
    /// The kind of a column that has been of this kind and has one more cell.
    fn with(self, cell: &str) -> Self {
        if cell.is_empty() || self == Self::Text {
            return self;
        }
        let kind = if number(cell).is_some() {
            Self::Number
        } else if boolean(cell).is_some() {
            Self::Bool
        } else {
            Self::Text
        };
        if self == Self::Unknown || self == kind { kind } else { Self::Text }
    }

    fn read(self, cell: &str) -> Cell<'_> {
        let found = match self {
            Self::Text => None,
            Self::Number => number(cell),
            Self::Bool => boolean(cell),
            Self::Unknown => number(cell).or_else(|| boolean(cell)),
        };
        found.unwrap_or(Cell::Text(cell))
    }
}

/// A whole number that prints as it was written, or a finite decimal one. Leading zeros, a plus, spaces and whole
/// numbers beyond 64 bits make it text: such cells are codes, and a number would lose what they say.
fn number(cell: &str) -> Option<Cell<'_>> {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let bytes = digits.as_bytes();
    let first = *bytes.first()?;
    if !(first.is_ascii_digit() || first == b'.')
        || first == b'0' && bytes.get(1).is_some_and(u8::is_ascii_digit)
    {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return if cell == "-0" { None } else { cell.parse().ok().map(Cell::Int) };
    }
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let ends_in_digit = bytes.last().is_some_and(u8::is_ascii_digit);
    if !ends_in_digit || !bytes.iter().all(plain) {
        return None;
    }
    cell.parse().ok().filter(|n: &f64| n.is_finite()).map(Cell::Float)
}

fn boolean(cell: &str) -> Option<Cell<'_>> {
    if cell.eq_ignore_ascii_case("true") {
        return Some(Cell::Bool(true));
    }
    cell.eq_ignore_ascii_case("false").then_some(Cell::Bool(false))
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

    #[test]
    fn numbers_are_what_prints_back_the_same_or_decimal() {
        for text in ["0", "-1", "42", "9223372036854775807", "-9223372036854775808"] {
            assert!(matches!(number(text), Some(Cell::Int(n)) if n.to_string() == text), "{text}");
        }
        for (text, value) in
            [("1.5", 1.5), ("-0.25", -0.25), (".5", 0.5), ("1e3", 1000.0), ("1.0", 1.0), ("2E-2", 0.02)]
        {
            assert_eq!(number(text), Some(Cell::Float(value)), "{text}");
        }
        let texts = [
            "007",
            "+1",
            "-0",
            "00.5",
            "1.",
            "",
            "-",
            ".",
            "1e",
            "e5",
            "--1",
            "1-2",
            "1.2.3",
            "0x10",
            "1_000",
            " 1",
            "1 ",
            "1,5",
            "inf",
            "nan",
            "NaN",
            "-inf",
            "infinity",
            "1e400",
            "9223372036854775808",
            "2026-01-01",
            "12:30",
            "٣",
        ];
        for text in texts {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_column_is_of_the_kind_of_all_its_cells() {
        let kind = |cells: &[&str]| cells.iter().fold(CellKind::Unknown, |kind, cell| kind.with(cell));
        assert_eq!(kind(&["1", "", "2"]), CellKind::Number);
        assert_eq!(kind(&["1", "1.5"]), CellKind::Number);
        assert_eq!(kind(&["1", "007"]), CellKind::Text);
        assert_eq!(kind(&["true", "FALSE"]), CellKind::Bool);
        assert_eq!(kind(&["true", "1"]), CellKind::Text);
        assert_eq!(kind(&["", ""]), CellKind::Unknown);
    }

    #[test]
    fn the_delimiter_is_the_most_frequent_outside_quotes() {
        assert_eq!(sniff_delimiter(b"a,b;c,d\n;;;;"), b',');
        assert_eq!(sniff_delimiter(b"\"a,b,c\";d\n"), b';');
        assert_eq!(sniff_delimiter(b"\n\na|b|c"), b'|');
        assert_eq!(sniff_delimiter(b"a\tb, c\td"), b'\t');
        assert_eq!(sniff_delimiter(b"alone"), b',');
    }

    #[test]
    fn odd_headers_become_distinct_names() {
        let header = b" a ,,a,a_2,,column_2\n";
        let (table, end, notes) = Table::read_header(header, b',').expect("read").expect("there");
        assert_eq!(table.names, ["a", "column_3", "a_3", "a_2", "column_5", "column_2"]);
        assert_eq!((end, notes.len()), (header.len(), 3));
    }
}
