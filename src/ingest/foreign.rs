//! Files that are no rows to import, told by their first bytes: pictures, workbooks, databases, archives. They are
//! refused with what they seem to be and what to do, instead of row by row. `source` asks once a file, after unpacking.

use crate::ingest::format;
use crate::ingest::source::{GZIP, ZSTD};

/// Bytes of the beginning that tell text from other data.
const LOOK_BYTES: usize = 1_024;

/// How the beginning of a file is told.
#[derive(Debug)]
enum Sign {
    /// These bytes at these places.
    At(&'static [(usize, &'static [u8])]),
    /// A zip archive that names a file beginning so.
    Zip(&'static [u8]),
    /// These bytes, which are letters, before what is no text.
    Binary(&'static [u8]),
    /// This markup, in capitals or not.
    Markup(&'static [u8]),
}

/// A kind of file: its sign, what it is called, what to do with it. The first whose sign is there is told.
type Kind = (Sign, &'static str, &'static str);

const KINDS: [Kind; 34] = [
    (Sign::At(&[(0, b"\x89PNG\r\n\x1a\n")]), "a PNG image", NO_TABLE),
    (Sign::At(&[(0, b"\xff\xd8\xff")]), "a JPEG image", NO_TABLE),
    (Sign::Binary(b"GIF8"), "a GIF image", NO_TABLE),
    (Sign::At(&[(0, b"RIFF"), (8, b"WEBP")]), "a WebP image", NO_TABLE),
    (Sign::At(&[(0, b"%PDF-")]), "a PDF document", "save the table in it as CSV, where it came from"),
    (Sign::At(&[(0, b"\x7fELF")]), "a program", NO_TABLE),
    (Sign::Zip(b"xl/"), "an Excel workbook", SHEET),
    (
        Sign::Zip(b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"),
        "an OpenDocument spreadsheet",
        SHEET,
    ),
    (Sign::Zip(b"word/"), "a Word document", NO_TABLE),
    (Sign::At(&[(0, b"PK\x03\x04")]), "a zip archive", "unpack it, and import what is in it"),
    (Sign::At(&[(0, b"PK\x05\x06")]), "an empty zip archive", NO_TABLE),
    (Sign::At(&[(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")]), "a file of an old Office, as .xls", SHEET),
    (
        Sign::At(&[(0, SQLITE), (68, b"WNDR")]),
        "a Windrow database",
        "open it with --db, or `windrow --db FILE export DATASET` and import that",
    ),
    (
        Sign::At(&[(0, SQLITE)]),
        "an SQLite database",
        "export its table as CSV first, as with `sqlite3 -csv -header`",
    ),
    (
        // with its version, because a header may have DUCK there
        Sign::At(&[(8, b"DUCK"), (13, b"\0")]),
        "a DuckDB database",
        "export its table first, as with `COPY t TO 't.parquet'`",
    ),
    // with its fifth byte, because a header may begin with PAR1
    (
        Sign::At(&[(0, b"PAR1\x15")]),
        "a Parquet file",
        "it is read from its end, so it has to be a file, not packed and not standard input; save or unpack it, and leave --format out or say parquet",
    ),
    (Sign::At(&[(0, b"ARROW1\0")]), "an Arrow (Feather) file", COLUMNS),
    (Sign::At(&[(0, b"\xff\xff\xff\xff"), (7, b"\0")]), "an Arrow stream", COLUMNS),
    (Sign::At(&[(0, b"FEA1\0")]), "a Feather file", COLUMNS),
    (Sign::At(&[(0, b"Obj\x01")]), "an Avro file", COLUMNS),
    (Sign::Binary(b"ORC"), "an ORC file", COLUMNS),
    (Sign::At(&[(0, b"\x89HDF\r\n\x1a\n")]), "an HDF5 file", COLUMNS),
    (Sign::At(&[(257, b"ustar")]), "a tar archive", "unpack it, and import what is in it"),
    (Sign::At(&[(0, b"7z\xbc\xaf\x27\x1c")]), "a 7z archive", "unpack it first"),
    (Sign::At(&[(0, b"Rar!\x1a\x07")]), "a rar archive", "unpack it first"),
    (Sign::At(&[(0, b"\xfd7zXZ\0")]), "an xz file", "unpack it first, as with `xz -d`, or pipe it in"),
    (
        Sign::At(&[(0, b"BZh"), (4, b"1AY&SY")]),
        "a bzip2 file",
        "unpack it first, as with `bzip2 -d`, or pipe it in",
    ),
    (
        Sign::At(&[(0, b"\x04\x22\x4d\x18")]),
        "an lz4 file",
        "unpack it first, as with `lz4 -d`, or pipe it in",
    ),
    (Sign::At(&[(0, GZIP)]), "a gzip file inside a compressed file", "unpack it once first"),
    (Sign::At(&[(0, ZSTD)]), "a zstd file inside a compressed file", "unpack it once first"),
    (Sign::Markup(b"<!doctype html"), "an HTML page", PAGE),
    (Sign::Markup(b"<html"), "an HTML page", PAGE),
    (Sign::Markup(b"<?xml"), "an XML document", "convert it to JSON or CSV first"),
    (Sign::Markup(b"{\\rtf"), "an RTF document", NO_TABLE),
];

const SQLITE: &[u8] = b"SQLite format 3\0";
const NO_TABLE: &str = "there are no rows in it to import";
const SHEET: &str = "save the sheet as CSV, and import that";
const COLUMNS: &str = "convert it to Parquet, CSV or NDJSON first";
const PAGE: &str = "where it was downloaded, the address gave a page and not the data; get the file itself";

/// Why a file that begins so is refused, to follow its name; `None` where it may be one to import.
pub fn told(head: &[u8]) -> Option<String> {
    let (_, what, advice) = KINDS.iter().find(|(sign, ..)| sign.is_in(head))?;
    Some(format!(" seems to be {what}: {advice} (what can be imported is {})", format::names()))
}

/// The same for data that is no text and of no kind that is known here.
pub fn binary(head: &[u8]) -> Option<String> {
    (!is_text(head)).then(|| {
        format!(
            " is no text and of no kind that is known here: convert it with the program that wrote it (what can be imported is {})",
            format::names()
        )
    })
}

impl Sign {
    fn is_in(&self, head: &[u8]) -> bool {
        let start = &head[..head.len().min(LOOK_BYTES)];
        match self {
            Self::At(places) => places
                .iter()
                .all(|(at, bytes)| start.get(*at..).is_some_and(|found| found.starts_with(bytes))),
            Self::Zip(name) => head.starts_with(b"PK\x03\x04") && memchr::memmem::find(head, name).is_some(),
            Self::Binary(letters) => start.starts_with(letters) && !is_text(start),
            Self::Markup(markup) => start
                .trim_ascii_start()
                .get(..markup.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(markup)),
        }
    }
}

/// Text may be in any encoding that keeps ASCII; a zero byte in what is no UTF-8 is in none.
fn is_text(head: &[u8]) -> bool {
    let start = &head[..head.len().min(LOOK_BYTES)];
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // cut off within a character
        Err(e) => e.error_len().is_none(),
    };
    is_utf8 || !start.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginnings of small files as programs write them, and what each is called.
    const BEGINNINGS: [(&[u8], &str); 20] = [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff", "a GIF image"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (
            b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0[Content_Types].xml PK\x03\x04\x14\0xl/workbook.xml",
            "an Excel workbook",
        ),
        (
            b"PK\x03\x04\x14\0\0\0mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK",
            "an OpenDocument spreadsheet",
        ),
        (b"PK\x03\x04\x14\0\0\0\x08\0visits.csv", "a zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "a file of an old Office"),
        (b"SQLite format 3\0\x20\0\x01\x01", "an SQLite database"),
        (b"\x12\x34\x56\x78\x9a\xbc\xde\xf0DUCK\x40\0", "a DuckDB database"),
        (b"ARROW1\0\0\xff\xff\xff\xff", "an Arrow (Feather) file"),
        (b"\xff\xff\xff\xff\x78\x01\0\0", "an Arrow stream"),
        (b"FEA1\0\0\0\0", "a Feather file"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro file"),
        (b"ORC\x11\0\0\x0a\x06\x12\x04\x08\x90\x4e\x50\0", "an ORC file"),
        (b"BZh91AY&SY\x01", "a bzip2 file"),
        (b"BZh11AY&SY\x01", "a bzip2 file"),
        (b"\n<!DOCTYPE html>\n<html lang=\"en\">", "an HTML page"),
        (b"<HTML><body>", "an HTML page"),
        (b"<?xml version=\"1.0\"?>", "an XML document"),
        (b"{\\rtf1\\ansi", "an RTF document"),
    ];

    #[test]
    fn files_are_told_by_how_they_begin() {
        for (head, what) in BEGINNINGS {
            let told = told(head).unwrap_or_default();
            assert!(told.starts_with(&format!(" seems to be {what}")), "{what}: {told}");
            assert!(
                told.ends_with("(what can be imported is ndjson, json, csv, tsv, access-log, parquet)"),
                "{told}"
            );
        }
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(told(&tar).is_some_and(|told| told.contains("tar archive")));
        let mut database = SQLITE.to_vec();
        database.resize(68, 0);
        database.extend_from_slice(b"WNDR");
        assert!(told(&database).is_some_and(|told| told.contains("a Windrow database")));
    }

    #[test]
    fn text_that_begins_alike_is_text() {
        for head in [
            &b"ORCID,name\n0000-0001,x\n"[..],
            b"PAR1,PAR2\n1,2\n",
            b"PK,name\n1,x\n",
            b"FEA1;x\n",
            b"species,DUCK,size\n",
            b"GIF8,x\n",
            b"<b>,x\n",
            b"caf\xe9,x\n",
            b"a,b\n1,\0\n",
            "größe\n".as_bytes(),
            b"{\"a\":1}",
            b"",
        ] {
            assert_eq!((told(head), binary(head)), (None, None), "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn other_data_is_told_from_text() {
        assert!(binary(b"\x01\x02\0\xff\xfe").is_some_and(|told| told.contains("is no text")));
        // cut off within a character
        assert_eq!(binary("\0ß".as_bytes().split_last().expect("bytes").1), None);
    }
}
