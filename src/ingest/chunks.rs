//! Cuts a stream of text into chunks of whole records, each with the number of its first line, in bounded memory.
//! It knows where records end and nothing of what is in them: NDJSON ends one at a line's end, CSV at a line's end
//! outside quotes. The reader thread of `import` runs it; decoders of other threads get the chunks.

use std::io::{self, Read};

use crate::error::ItemError;
use crate::limits;

/// Bytes read before the records in them are looked at.
const STEP_BYTES: usize = 1 << 20;

/// Where a record ends.
#[derive(Debug, Clone, Copy)]
pub enum Border {
    /// At `\n`.
    Line,
    /// At `\n`, `\r\n` or `\r` outside quotes; a quote opens at the beginning of a cell only, as in the csv crate.
    Row {
        /// The byte between two cells.
        delimiter: u8,
    },
}

/// Some whole records.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// The number of the first line in the file, from 1.
    pub first_line: u64,
    /// Records that could not be put into a chunk: too long, or with a quote that never closes.
    pub rejected: Vec<ItemError>,
}

impl Chunk {
    /// The line that follows the last record, which needs no line end at the end of a file.
    pub fn end_line(&self) -> u64 {
        let is_open = self.bytes.last().is_some_and(|byte| !matches!(byte, b'\n' | b'\r'));
        self.first_line + line_ends(&self.bytes) + u64::from(is_open)
    }
}

/// Reads chunks one after the other.
#[derive(Debug)]
pub struct Chunks<R> {
    input: R,
    border: Border,
    buffer: Vec<u8>,
    /// The line that the buffer begins with.
    line: u64,
    ended: bool,
    failure: Option<io::Error>,
    rejected: Vec<ItemError>,
}

/// What is known of the record at the beginning of some bytes.
#[derive(Debug, PartialEq)]
enum End {
    /// It ends here, its line end included.
    At(usize),
    /// Its end is not in sight.
    Beyond,
    /// Its end is not in sight, and a quote is open.
    Quoted,
}

impl<R: Read> Chunks<R> {
    /// Chunks of an input that begins with the given line.
    pub fn new(input: R, border: Border) -> Self {
        Self { input, border, buffer: Vec::new(), line: 1, ended: false, failure: None, rejected: Vec::new() }
    }

    /// The line that the next chunk begins with.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next chunk of at most so many rows; `None` at the end.
    ///
    /// # Errors
    /// The input cannot be read further: what came whole before was given out, a record cut off is dropped.
    pub fn next(&mut self, rows_max: usize) -> io::Result<Option<Chunk>> {
        let (mut end, mut rows) = (0, 0);
        loop {
            let mut tail = End::Beyond;
            while rows < rows_max && end < limits::IMPORT_CHUNK_BYTES {
                tail = self.border.end_of_record(&self.buffer[end..]);
                let End::At(length) = tail else { break };
                end += length;
                rows += 1;
            }
            if rows == rows_max || end >= limits::IMPORT_CHUNK_BYTES {
                return Ok(Some(self.cut(end)));
            }
            let rest = self.buffer.len() - end;
            let unclosed = self.ended && self.failure.is_none() && tail == End::Quoted;
            if rest > limits::RECORD_BYTES || unclosed {
                if end > 0 {
                    return Ok(Some(self.cut(end)));
                }
                self.reject_first_line(tail)?;
            } else if self.ended {
                return self.last(end);
            } else {
                self.read_step();
            }
        }
    }

    /// What is left when the input has ended: the last record needs no line end, unless the input broke off.
    fn last(&mut self, whole: usize) -> io::Result<Option<Chunk>> {
        let end = if self.failure.is_some() { whole } else { self.buffer.len() };
        if end > 0 || !self.rejected.is_empty() {
            return Ok(Some(self.cut(end)));
        }
        self.buffer.clear();
        self.failure.take().map_or(Ok(None), Err)
    }

    fn cut(&mut self, end: usize) -> Chunk {
        let mut rest = Vec::with_capacity(limits::IMPORT_CHUNK_BYTES + 2 * STEP_BYTES);
        rest.extend_from_slice(&self.buffer[end..]);
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.truncate(end);
        let first_line = self.line;
        self.line += line_ends(&bytes);
        Chunk { bytes, first_line, rejected: std::mem::take(&mut self.rejected) }
    }

    fn read_step(&mut self) {
        match (&mut self.input).take(STEP_BYTES as u64).read_to_end(&mut self.buffer) {
            Ok(count) => self.ended = count < STEP_BYTES,
            Err(e) => {
                self.failure = Some(e);
                self.ended = true;
            }
        }
    }

    /// Gives up on the record that the buffer begins with, and goes on behind its first line: what a lone quote
    /// has swallowed is read again as rows.
    fn reject_first_line(&mut self, tail: End) -> io::Result<()> {
        let line = self.line;
        let message = if tail == End::Quoted {
            "a quote opens a cell here and is not closed; write a quote inside a cell twice (\"\"), in quotes"
                .into()
        } else {
            let mebibytes = limits::RECORD_BYTES >> 20;
            format!(
                "the line is longer than {mebibytes} MiB, the most that a record may have; it was skipped"
            )
        };
        self.rejected.push(ItemError { index: line, message });
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                self.buffer.drain(..=end);
                self.line += 1;
                return Ok(());
            }
            // the line is longer than memory shall hold
            self.buffer.clear();
            if self.ended {
                return Ok(());
            }
            self.read_step();
        }
    }
}

impl Border {
    fn end_of_record(self, bytes: &[u8]) -> End {
        match self {
            Self::Line => memchr::memchr(b'\n', bytes).map_or(End::Beyond, |at| End::At(at + 1)),
            Self::Row { delimiter } => end_of_row(bytes, delimiter),
        }
    }
}

fn end_of_row(bytes: &[u8], delimiter: u8) -> End {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr3(b'\n', b'\r', b'"', rest)) {
        let place = at + found;
        match bytes[place] {
            b'\n' => return End::At(place + 1),
            // whether a \n belongs to it shows with the next byte only
            b'\r' => match bytes.get(place + 1) {
                Some(b'\n') => return End::At(place + 2),
                Some(_) => return End::At(place + 1),
                None => return End::Beyond,
            },
            _ if place > 0 && bytes[place - 1] != delimiter => at = place + 1,
            _ => match end_of_quoted(bytes, place + 1) {
                Some(end) => at = end,
                None => return End::Quoted,
            },
        }
    }
    End::Beyond
}

/// Behind the quote that closes a cell whose text begins at `from`.
fn end_of_quoted(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let quote = at + memchr::memchr(b'"', bytes.get(at..)?)?;
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote + 1);
        }
        at = quote + 2;
    }
}

/// How many lines end in some text, by `\n`, `\r\n` or a lone `\r`.
pub fn line_ends(bytes: &[u8]) -> u64 {
    let feeds = memchr::memchr_iter(b'\n', bytes).count();
    let lone = memchr::memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n')).count();
    (feeds + lone) as u64
}

/// Where a line begins, so many line ends after the start; the end of the text where it has fewer.
pub fn line_start(bytes: &[u8], line_ends: u64) -> usize {
    let is_end = |at: &usize| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n');
    let mut ends = memchr::memchr2_iter(b'\n', b'\r', bytes).filter(is_end);
    match line_ends.checked_sub(1) {
        None => 0,
        Some(before) => ends.nth(before as usize).map_or(bytes.len(), |at| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8], border: Border, rows_max: usize) -> Vec<(u64, String)> {
        let mut chunks = Chunks::new(Cursor::new(text), border);
        let mut found = Vec::new();
        while let Some(chunk) = chunks.next(rows_max).expect("reads") {
            found.push((chunk.first_line, String::from_utf8_lossy(&chunk.bytes).into_owned()));
        }
        found
    }

    #[test]
    fn quoted_line_ends_end_no_record() {
        let text = b"a,\"b\nc\"\r\n\"d\"\"\n\",e\nf,g\"\n";
        let cut = all(text, Border::Row { delimiter: b',' }, 1);
        let expected = [(1, "a,\"b\nc\"\r\n"), (3, "\"d\"\"\n\",e\n"), (5, "f,g\"\n")];
        assert_eq!(cut, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_line_only() {
        let mut chunks = Chunks::new(Cursor::new("a,b\n1,\"x\n2,y\n3,z"), Border::Row { delimiter: b',' });
        let first = chunks.next(100).expect("reads").expect("a chunk");
        assert_eq!(first.bytes, b"a,b\n");
        let second = chunks.next(100).expect("reads").expect("a chunk");
        assert_eq!((second.bytes.as_slice(), second.first_line), (&b"2,y\n3,z"[..], 3));
        assert_eq!(second.rejected[0].index, 2);
        assert!(chunks.next(100).expect("reads").is_none());
    }

    #[test]
    fn a_line_beyond_the_limit_is_skipped_and_told() {
        for length in [20 << 20, 40 << 20] {
            let text = format!("{{\"a\":1}}\n{}\n{{\"a\":2}}\n", "x".repeat(length));
            let mut chunks = Chunks::new(Cursor::new(text), Border::Line);
            let mut kept = Vec::new();
            let mut rejected = Vec::new();
            while let Some(chunk) = chunks.next(1_000).expect("reads") {
                assert!(chunk.bytes.capacity() < 3 * limits::RECORD_BYTES);
                kept.push((chunk.first_line, chunk.bytes.len()));
                rejected.extend(chunk.rejected);
            }
            assert_eq!(kept, [(1, 8), (3, 8)]);
            assert_eq!(rejected.iter().map(|r| r.index).collect::<Vec<_>>(), [2]);
        }
    }

    proptest! {
        #[test]
        fn borders_are_where_the_csv_crate_sees_them(text in "[ab,\"\n\r]{0,40}") {
            let read = |text: &[u8]| {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
                reader.byte_records().map(|r| r.expect("reads")).collect::<Vec<_>>()
            };
            let mut chunks = Chunks::new(Cursor::new(text.clone()), Border::Row { delimiter: b',' });
            let (mut parts, mut line) = (Vec::new(), 1);
            while let Some(chunk) = chunks.next(1).expect("reads") {
                // an open quote at the end is where the two differ on purpose
                prop_assume!(chunk.rejected.is_empty());
                prop_assert_eq!(chunk.first_line, line);
                line += line_ends(&chunk.bytes);
                parts.extend(read(&chunk.bytes));
            }
            prop_assert_eq!(parts, read(text.as_bytes()));
        }
    }
}
