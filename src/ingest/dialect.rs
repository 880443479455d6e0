//! How a file writes its table: the byte between cells, and whether numbers may have a decimal comma. Told from the
//! first bytes of the file unless the user says it, so an import that goes on later tells the same. `import` asks once
//! a file, `format` asks whether a text of no known name is a table at all.

use csv::{ByteRecord, ReaderBuilder};

use crate::ingest::chunks::line_start;
use crate::ingest::format::FileFormat;
use crate::ingest::options::ImportOptions;

/// The bytes that are looked for between cells; the first wins where two are as likely.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Records of the beginning that a delimiter is told from.
const SAMPLE_RECORDS: usize = 100;
/// How the line begins by which Excel is told the delimiter of a file.
const SEPARATOR_LINE: &[u8] = b"sep=";

/// How the cells of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The byte between two cells.
    pub delimiter: u8,
    /// Where numbers may have a decimal comma.
    pub decimal_comma: DecimalComma,
}

/// Where numbers may have a decimal comma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalComma {
    /// Nowhere: cells are separated by commas.
    Never,
    /// In columns whose cells show it.
    Detected,
    /// In all columns: the user says so.
    Everywhere,
}

/// What a delimiter makes of the first records; the greatest is the most likely.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    /// Records with as many cells as the header.
    regular: usize,
    /// Not only the header has a space behind the delimiter, as a comma within its texts would have.
    is_even: bool,
    cells: usize,
}

impl Dialect {
    /// The dialect of a CSV or TSV file whose first bytes are `head`, and what the user should know of it. `resume` is
    /// the line that an earlier import has ended before: what came into the file since then decides nothing.
    pub fn of(
        head: &[u8],
        head_is_all: bool,
        resume: u64,
        format: FileFormat,
        options: &ImportOptions,
    ) -> (Self, Option<String>) {
        let usual = if format == FileFormat::Tsv { b'\t' } else { b',' };
        let seen = until_line(head, resume, 1);
        let is_all = head_is_all || seen.len() < head.len();
        let (delimiter, note) = match (options.delimiter, separator_line(head)) {
            (Some(said), _) => (said, None),
            (None, Some((said, _))) => {
                (said, Some(format!("cells are separated by {}, as the first line says", shown(said))))
            }
            (None, None) if format == FileFormat::Tsv => (usual, None),
            (None, None) => {
                let found = delimiter(seen, is_all).unwrap_or(usual);
                (found, Some(format!("cells are separated by {}", shown(found))))
            }
        };
        let decimal_comma = match delimiter {
            _ if options.decimal_comma => DecimalComma::Everywhere,
            b',' => DecimalComma::Never,
            _ => DecimalComma::Detected,
        };
        (Self { delimiter, decimal_comma }, note.filter(|_| delimiter != usual))
    }
}

/// The delimiter that cuts the header into cells, and as many of the rows behind it as possible into as many; `None`
/// where no delimiter does. A head that is not all may end within a record.
pub fn delimiter(head: &[u8], head_is_all: bool) -> Option<u8> {
    let fits = DELIMITERS.iter().rev().filter_map(|d| Some((fit(head, head_is_all, *d)?, *d)));
    fits.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, delimiter)| delimiter)
}

fn fit(head: &[u8], head_is_all: bool, delimiter: u8) -> Option<Fit> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(head);
    let mut records = reader.byte_records().map_while(Result::ok).take(SAMPLE_RECORDS);
    let header = records.next()?;
    let mut rows: Vec<ByteRecord> = records.collect();
    if !head_is_all && rows.len() + 1 < SAMPLE_RECORDS {
        rows.pop();
    }
    let is_spaced = |record: &ByteRecord| record.iter().skip(1).any(|cell| cell.starts_with(b" "));
    (header.len() > 1).then(|| Fit {
        regular: rows.iter().filter(|row| row.len() == header.len()).count(),
        is_even: !is_spaced(&header) || rows.iter().any(is_spaced),
        cells: header.len(),
    })
}

/// The delimiter that a line `sep=;` before the header says, and the bytes of that line with its end.
pub fn separator_line(text: &[u8]) -> Option<(u8, usize)> {
    let end = memchr::memchr2(b'\n', b'\r', text).unwrap_or(text.len());
    let line = text[..end].trim_ascii_start();
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (name, delimiter) = line.split_at_checked(SEPARATOR_LINE.len())?;
    match delimiter {
        [byte] if name.eq_ignore_ascii_case(SEPARATOR_LINE) && byte.is_ascii() && *byte != b'"' => {
            let breaks = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
            Some((*byte, (end + breaks).min(text.len())))
        }
        _ => None,
    }
}

/// The part of a text before a line, where the text begins with line `first`; all of it where the line is 0.
pub fn until_line(text: &[u8], line: u64, first: u64) -> &[u8] {
    match line {
        0 => text,
        line => &text[..line_start(text, line.saturating_sub(first))],
    }
}

/// A delimiter as notes name it.
pub fn shown(delimiter: u8) -> String {
    match delimiter {
        b'\t' => "tabs".to_owned(),
        b' ' => "spaces".to_owned(),
        byte => char::from(byte).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<char> {
        delimiter(text.as_bytes(), true).map(char::from)
    }

    #[test]
    fn the_delimiter_is_what_cuts_header_and_rows_alike() {
        for (text, expected) in [
            ("a,b\n1,2\n", ','),
            ("a;b\n1;2\n", ';'),
            ("a\tb\n1\t2\n", '\t'),
            ("a|b\n1|2\n", '|'),
            // decimal commas
            ("a;b\n1,5;2,5\n", ';'),
            // commas within the header's texts
            ("Name, first;Age, years;Town, country\nAda;36;London\n", ';'),
            ("price, EUR;count\n1,50;3\n2,50;4\n", ';'),
            ("price,EUR;count;place\n1,50;3;here\n", ';'),
            ("\"a,b,c\";d\n1;2\n", ';'),
            ("a\tb, c\td\n1\t2\t3\n", '\t'),
            // semicolons within the rows' texts
            ("a,b\nx;y;z,1\nx;y,2\n", ','),
            ("a, b\n1, 2\n", ','),
            ("id, name|alias, place\n1, x|y, z\n", ','),
            // one row is broken
            ("a;b;c\n1;2;3\n1;2\n", ';'),
            // lines and delimiters within quotes
            ("a|b\n\"1;2\n;;;\"|3\n", '|'),
            // nothing but a header
            ("a,b;c,d", ','),
            ("\n\na|b|c", '|'),
        ] {
            assert_eq!(told(text), Some(expected), "{text}");
        }
        assert_eq!((told("alone\n1\n"), told(""), told("alone\n1;2\n")), (None, None, None));
    }

    #[test]
    fn a_record_that_the_head_cuts_off_counts_for_nothing() {
        // cut off, the last record has as many cells as the commas within the header would make
        let head = b"a,b;c\nx;1\ny,z";
        assert_eq!((delimiter(head, true), delimiter(head, false)), (Some(b','), Some(b';')));
    }

    #[test]
    fn the_line_for_excel_says_the_delimiter() {
        for (text, expected) in [
            (&b"sep=;\r\na;b\r\n"[..], Some((b';', 7))),
            (b"SEP=\t\na\tb\n", Some((b'\t', 6))),
            (b"\"sep=|\"\na|b", Some((b'|', 8))),
            (b"sep=,", Some((b',', 5))),
            (b"sep=;;\na", None),
            (b"sep;x\n", None),
            (b"sep=\n", None),
            (b"", None),
        ] {
            assert_eq!(separator_line(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_unusual_is_noted_unless_it_was_asked_for() {
        let of = |head: &str, format, options: &ImportOptions| {
            let (dialect, note) = Dialect::of(head.as_bytes(), true, 0, format, options);
            (dialect.delimiter, dialect.decimal_comma, note.unwrap_or_default())
        };
        let (nothing, csv, tsv) = (ImportOptions::default(), FileFormat::Csv, FileFormat::Tsv);
        assert_eq!(of("a,b\n", csv, &nothing), (b',', DecimalComma::Never, String::new()));
        assert_eq!(of("a\tb\n", tsv, &nothing), (b'\t', DecimalComma::Detected, String::new()));
        assert_eq!(of("a;b\n", tsv, &nothing).0, b'\t');
        let (delimiter, decimal_comma, note) = of("a;b\n", csv, &nothing);
        assert_eq!((delimiter, decimal_comma), (b';', DecimalComma::Detected));
        assert_eq!(note, "cells are separated by ;");
        assert_eq!(of("a\tb\n", csv, &nothing).2, "cells are separated by tabs");
        assert!(of("sep=;\na,b,c\n", tsv, &nothing).2.contains("as the first line says"));
        let said = ImportOptions { delimiter: Some(b':'), decimal_comma: true, ..ImportOptions::default() };
        assert_eq!(of("sep=;\na:b\n", csv, &said), (b':', DecimalComma::Everywhere, String::new()));
    }

    #[test]
    fn what_a_file_has_grown_by_decides_nothing() {
        let options = ImportOptions::default();
        let (before, after) = ("a,b;c\n1,2;3\n", "1;3\n1;3\n1;3\n");
        let grown = format!("{before}{after}");
        let of = |text: &str, resume| {
            Dialect::of(text.as_bytes(), true, resume, FileFormat::Csv, &options).0.delimiter
        };
        assert_eq!((of(before, 0), of(&grown, 0), of(&grown, 3)), (b',', b';', b','));
    }
}
