//! Which decoder a file needs: said by the user, by its name, or by its first bytes, in that order. A name that its
//! content contradicts is told rather than believed. `import` asks once a file.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, nearest};
use crate::ingest::source::Source;
use crate::ingest::split::{self, Scan};
use crate::ingest::{access_log, dialect};

/// Lines looked at to tell an access log.
const SAMPLE_LINES: usize = 10;

/// A form of rows in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// One JSON object a line.
    Ndjson,
    /// An array of objects, or one object.
    Json,
    /// Cells between commas (or what the header uses), a header first.
    Csv,
    /// Cells between tabs, a header first.
    Tsv,
    /// A request a line, as web servers write them: Common or Combined.
    AccessLog,
    /// Columns in row groups.
    Parquet,
}

impl FileFormat {
    /// What a place in such a file counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Json => "item",
            Self::Parquet => "row",
            Self::Ndjson | Self::Csv | Self::Tsv | Self::AccessLog => "line",
        }
    }
}

/// Names of `--format` and extensions of files, each with its format; the first of a format is its name.
const NAMES: [(&str, FileFormat); 9] = [
    ("ndjson", FileFormat::Ndjson),
    ("json", FileFormat::Json),
    ("csv", FileFormat::Csv),
    ("tsv", FileFormat::Tsv),
    ("access-log", FileFormat::AccessLog),
    ("parquet", FileFormat::Parquet),
    ("jsonl", FileFormat::Ndjson),
    ("jsonlines", FileFormat::Ndjson),
    ("tab", FileFormat::Tsv),
];

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, format)| format == self).map_or("json", |(name, _)| name))
    }
}

impl FromStr for FileFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, format)| *format).ok_or_else(|| {
            let hint = nearest(name, NAMES.iter().map(|(n, _)| *n));
            Error::invalid(format!("\"{name}\" is no format{hint}; formats are {}", names()))
        })
    }
}

/// The formats by their names, as messages list them.
pub fn names() -> String {
    let is_name = |(at, (_, format)): &(usize, &(&str, FileFormat))| {
        NAMES.iter().position(|(_, earlier)| earlier == format) == Some(*at)
    };
    let names: Vec<&str> = NAMES.iter().enumerate().filter(is_name).map(|(_, (name, _))| *name).collect();
    names.join(", ")
}

/// Tells the format of a source and what the user should know of the choice.
///
/// # Errors
/// The content contradicts the name, or neither tells.
pub fn tell(source: &Source, wanted: Option<FileFormat>) -> Result<(FileFormat, Option<String>)> {
    let name = source.name();
    match wanted {
        // what is Parquet was told before a source was made of it
        Some(FileFormat::Parquet) => {
            return Err(Error::invalid(format!(
                "{name} is no Parquet file: it does not begin with PAR1; leave --format out, or name what it is"
            )));
        }
        Some(format) => return Ok((format, None)),
        None => {}
    }
    let found = Content::of(source);
    let contradicted = |seems: &str, format: &str| {
        Err(Error::invalid(format!(
            "{name} is not what its name says: it begins as {seems}; add --format {format} if that is what it is"
        )))
    };
    match (by_name(name), found) {
        (Some(FileFormat::Parquet), Content::Nothing) => {
            Err(Error::invalid(format!("{name}: there is nothing in it; a Parquet file begins with PAR1")))
        }
        (named, Content::Nothing) => Ok((named.unwrap_or(FileFormat::Ndjson), None)),
        (Some(FileFormat::Csv | FileFormat::Tsv), Content::Lines) => contradicted("NDJSON", "ndjson"),
        (Some(FileFormat::Csv | FileFormat::Tsv), Content::Array | Content::Object) => {
            contradicted("JSON", "json")
        }
        (Some(FileFormat::Ndjson), Content::Array) => contradicted("a JSON array", "json"),
        (Some(FileFormat::Json), Content::Lines) => {
            let note =
                format!("{name} is not what its name says: it holds one JSON object a line, and was read so");
            Ok((FileFormat::Ndjson, Some(note)))
        }
        (Some(FileFormat::Json), Content::Text { .. }) => contradicted("text that is no JSON", "csv"),
        (Some(FileFormat::Parquet), _) => Err(Error::invalid(format!(
            "{name} is not what its name says: a Parquet file begins with PAR1; say with --format what it is"
        ))),
        (Some(FileFormat::AccessLog), Content::Lines) => Ok((FileFormat::Ndjson, None)),
        (Some(format), _) => Ok((format, None)),
        (None, Content::AccessLog) => Ok((FileFormat::AccessLog, None)),
        (None, Content::Lines) => Ok((FileFormat::Ndjson, None)),
        (None, Content::Array | Content::Object) => Ok((FileFormat::Json, None)),
        (None, Content::Text { delimiter: Some(delimiter) }) if says_nothing(name) => {
            Ok((if delimiter == b'\t' { FileFormat::Tsv } else { FileFormat::Csv }, None))
        }
        (None, Content::Text { delimiter: Some(delimiter) }) => Err(Error::invalid(format!(
            "the name of {name} does not tell its format, and it begins like a table with cells between {}; add --format {} if that is what it is (formats are {})",
            dialect::shown(delimiter),
            if delimiter == b'\t' { FileFormat::Tsv } else { FileFormat::Csv },
            names()
        ))),
        (None, Content::Text { delimiter: None }) => Err(Error::invalid(format!(
            "neither the name of {name} nor its first bytes tell its format: it is text, but no JSON, no access log, and no table with cells between , ; | or tabs; say what it is with --format ({})",
            names()
        ))),
    }
}

/// The format that the extension says, before `.gz` or `.zst`.
fn by_name(name: &str) -> Option<FileFormat> {
    let lower = name.to_lowercase();
    let bare = lower.strip_suffix(".gz").or(lower.strip_suffix(".zst")).unwrap_or(&lower);
    let file = bare.rsplit('/').next().unwrap_or(bare);
    if matches!(file, "access.log" | "access_log") || file.ends_with(".access.log") {
        return Some(FileFormat::AccessLog);
    }
    let (_, extension) = bare.rsplit_once('.')?;
    NAMES.iter().find(|(n, _)| *n == extension).map(|(_, format)| *format)
}

/// Whether the name claims no format at all: only then is text taken for a table by its look.
fn says_nothing(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    !file.contains('.') || file.ends_with(".txt")
}

/// What the first bytes look like.
#[derive(Debug, PartialEq)]
enum Content {
    Nothing,
    Array,
    Object,
    Lines,
    AccessLog,
    /// Something else, which may be a table whose cells have this between them.
    Text {
        delimiter: Option<u8>,
    },
}

impl Content {
    fn of(source: &Source) -> Self {
        let head = source.head().trim_ascii_start();
        let after = head.get(1..).unwrap_or_default().trim_ascii_start().first();
        match (head.first(), after) {
            (None, _) if source.head_is_all() => Self::Nothing,
            (Some(b'['), None | Some(b'{' | b'[' | b']')) => Self::Array,
            (Some(b'{'), None | Some(b'"' | b'}')) => Self::of_object(head, source.head_is_all()),
            _ if Self::is_access_log(head, source.head_is_all()) => Self::AccessLog,
            _ => Self::Text { delimiter: Self::delimiter(source) },
        }
    }

    fn delimiter(source: &Source) -> Option<u8> {
        let said = dialect::separator_line(source.head()).map(|(said, _)| said);
        said.or_else(|| dialect::delimiter(source.head(), source.head_is_all()))
    }

    /// Whether most of the first lines are those of an access log.
    fn is_access_log(head: &[u8], head_is_all: bool) -> bool {
        // the last line of a head may be cut off anywhere
        let whole = if head_is_all { head.len() } else { memchr::memrchr(b'\n', head).unwrap_or(0) };
        let (mut lines, mut matching) = (0, 0);
        for (_, line) in split::lines(&head[..whole]).take(SAMPLE_LINES) {
            lines += 1;
            matching += usize::from(access_log::is_line(line));
        }
        matching * 2 > lines
    }

    /// Lines, where the first object ends on its line and another follows, or nothing can follow.
    fn of_object(head: &[u8], head_is_all: bool) -> Self {
        let mut scan = Scan::default();
        let Some(end) = head.iter().position(|b| scan.step(*b) && scan.depth == 0) else {
            return Self::Object;
        };
        let has_more = !head_is_all || !head[end + 1..].trim_ascii().is_empty();
        if has_more && !head[..end].contains(&b'\n') { Self::Lines } else { Self::Object }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn told(name: &str, text: &str) -> Result<FileFormat> {
        let source = Source::of(name, Box::new(Cursor::new(text.to_owned())), None, Default::default())?;
        tell(&source, None).map(|(format, _)| format)
    }

    #[test]
    fn the_name_tells_before_its_compression() {
        assert_eq!(told("a/B.CSV.gz", "a,b\n1,2").expect("told"), FileFormat::Csv);
        assert_eq!(told("x.jsonl.zst", "{\"a\":1}").expect("told"), FileFormat::Ndjson);
        assert_eq!(told("x.tsv", "").expect("told"), FileFormat::Tsv);
    }

    #[test]
    fn without_a_telling_name_the_first_bytes_tell() {
        for (text, format) in [
            ("{\"a\":1}\n{\"a\":2}\n", FileFormat::Ndjson),
            ("{\"items\":[{\"a\":1}]}\n", FileFormat::Json),
            ("{\n \"a\": 1\n}\n", FileFormat::Json),
            (" [{\"a\":1}]", FileFormat::Json),
            ("a,b\n1,2\n", FileFormat::Csv),
            ("a\tb\n1\t2\n", FileFormat::Tsv),
        ] {
            assert_eq!(told("standard input", text).expect(text), format, "{text}");
        }
        let told = told("notes.md", "some, words").expect_err("no");
        assert!(told.to_string().contains("--format"), "{told}");
    }

    #[test]
    fn access_logs_are_told_by_name_or_content_and_the_content_decides() {
        let log = "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1\n";
        for name in ["standard input", "a.log", "a.txt.gz", "log.1", "access_log", "www.access.log"] {
            assert_eq!(told(name, log).expect(name), FileFormat::AccessLog, "{name}");
        }
        let odd = format!("{log}{log}nonsense, here\n");
        assert_eq!(told("a.log", &odd).expect("mostly"), FileFormat::AccessLog);
        assert_eq!(told("Access.LOG", "nothing known").expect("by name"), FileFormat::AccessLog);
        assert_eq!(told("access.log", "{\"a\":1}\n{\"a\":2}\n").expect("content"), FileFormat::Ndjson);
        assert!(told("a.log", "some words, here").is_err());
    }

    #[test]
    fn content_that_contradicts_the_name_is_told() {
        assert!(
            told("a.csv", "{\"a\":1}\n{\"a\":2}").expect_err("told").to_string().contains("--format ndjson")
        );
        assert!(told("a.csv", "[{\"a\":1}]").expect_err("told").to_string().contains("--format json"));
        assert!(told("a.ndjson", "[{\"a\":1}]").expect_err("told").to_string().contains("--format json"));
        assert!(told("a.json", "a,b\n1,2").expect_err("told").to_string().contains("--format csv"));
        assert_eq!(told("a.json", "{\"a\":1}\n{\"a\":2}").expect("read"), FileFormat::Ndjson);
        assert_eq!(told("a.csv", "[id],n\n1,2").expect("a header"), FileFormat::Csv);
    }
}
