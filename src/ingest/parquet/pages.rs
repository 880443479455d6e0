//! Text columns page by page: the codes of a dictionary go on as codes, and each distinct text of a row group is
//! touched once rather than once a row. Text is the bulk of most files, so this part is read here; numbers, and the
//! rarer encodings of text, are read by the crate.
//!
//! Pages come unpacked from the crate. What is in them is not trusted: every length and code is checked.

use std::sync::{Arc, OnceLock};

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};

use crate::columnar::bitmap::Bitmap;
use crate::columnar::text::Dictionary;
use crate::ingest::parquet::Fault;
use crate::ingest::parquet::embedded::Embedded;

/// Bytes of text that a chunk may have in one column, so that places in it fit 32 bits.
const TEXT_BYTES: usize = 1 << 30;

/// Texts one after the other.
#[derive(Debug, Default)]
pub struct Entries {
    text: String,
    ends: Vec<u32>,
    /// Entries that were not UTF-8; they are empty here.
    spoiled: Vec<u32>,
}

/// The texts of a dictionary page, and what is made of them once for all chunks of the row group.
#[derive(Debug, Default)]
pub struct SharedTexts {
    /// The texts by their code.
    pub entries: Entries,
    sorted: OnceLock<(Arc<Dictionary>, Vec<u32>)>,
    /// What the texts hold as JSON, where they are taken for it.
    pub embedded: OnceLock<Embedded>,
}

/// Texts by code: codes below the number of shared texts are theirs, those above count on in `own`.
#[derive(Debug, Default)]
pub struct Coded {
    /// Texts of the dictionary page.
    pub shared: Arc<SharedTexts>,
    /// Texts that these rows alone have.
    pub own: Entries,
    /// A code for each value.
    pub codes: Vec<u32>,
}

impl Entries {
    /// Entries by their number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of an entry.
    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// All texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Whether an entry was not UTF-8.
    pub fn is_spoiled(&self, index: usize) -> bool {
        self.spoiled.binary_search(&(index as u32)).is_ok()
    }

    /// Whether any entry was not UTF-8.
    pub fn has_spoiled(&self) -> bool {
        !self.spoiled.is_empty()
    }

    /// Appends the texts at these places of some bytes.
    pub fn extend<'a>(&mut self, texts: impl Iterator<Item = &'a [u8]>) -> Result<(), Fault> {
        let from = (self.text.len(), self.len());
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        for text in texts {
            if bytes.len() + text.len() > TEXT_BYTES {
                return Err(Fault::Damaged(format!(
                    "a column has more than {TEXT_BYTES} bytes of text in few rows"
                )));
            }
            bytes.extend_from_slice(text);
            self.ends.push(bytes.len() as u32);
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.text = text,
            Err(e) => return self.extend_lossy(e.into_bytes(), from),
        }
        // two broken texts may make whole characters together
        if self.ends[from.1..].iter().all(|end| self.text.is_char_boundary(*end as usize)) {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.text).into_bytes();
        self.extend_lossy(bytes, from)
    }

    /// Keeps what was there before, and of the new texts those that are UTF-8.
    fn extend_lossy(&mut self, bytes: Vec<u8>, (text_from, from): (usize, usize)) -> Result<(), Fault> {
        let ends = self.ends.split_off(from);
        self.text = String::from_utf8_lossy(&bytes[..text_from]).into_owned();
        let mut start = text_from;
        for end in ends {
            match std::str::from_utf8(&bytes[start..end as usize]) {
                Ok(text) => self.text.push_str(text),
                Err(_) => self.spoiled.push(self.ends.len() as u32),
            }
            self.ends.push(self.text.len() as u32);
            start = end as usize;
        }
        Ok(())
    }
}

impl SharedTexts {
    /// The texts in order, and the place in it of each code.
    pub fn sorted(&self) -> &(Arc<Dictionary>, Vec<u32>) {
        self.sorted.get_or_init(|| {
            let (dictionary, places) = Dictionary::sorted(&self.entries.iter().collect::<Vec<_>>());
            (Arc::new(dictionary), places)
        })
    }
}

impl Coded {
    /// Texts of their own for each value.
    pub fn of_own(own: Entries) -> Self {
        let codes = (0..own.len() as u32).collect();
        Self { shared: Arc::default(), own, codes }
    }

    /// The text of a code.
    pub fn text(&self, code: u32) -> &str {
        let (entries, index) = self.entry(code);
        entries.get(index)
    }

    /// Whether the text of a code was not UTF-8.
    pub fn is_spoiled(&self, code: u32) -> bool {
        let (entries, index) = self.entry(code);
        entries.is_spoiled(index)
    }

    /// Whether any text was not UTF-8.
    pub fn has_spoiled(&self) -> bool {
        self.shared.entries.has_spoiled() || self.own.has_spoiled()
    }

    fn entry(&self, code: u32) -> (&Entries, usize) {
        let shared = self.shared.entries.len();
        match (code as usize).checked_sub(shared) {
            Some(own) => (&self.own, own),
            None => (&self.shared.entries, code as usize),
        }
    }
}

/// Reads one column chunk of texts, whose encodings are plain or dictionary.
pub struct TextPages {
    pages: Box<dyn PageReader>,
    max_level: i16,
    shared: Option<Arc<SharedTexts>>,
    page: Option<OpenPage>,
}

/// A data page that was read up to some row.
struct OpenPage {
    page: Page,
    rows_left: usize,
    /// Which rows have a value; `None`: all.
    levels: Option<Hybrid>,
    values: Values,
}

enum Values {
    Codes(Hybrid),
    /// Where the next plain text begins.
    Plain(usize),
}

impl TextPages {
    /// Reads the pages of a column without repetition; a value is there where its level is `max_level`.
    pub fn new(pages: Box<dyn PageReader>, max_level: i16) -> Self {
        Self { pages, max_level, shared: None, page: None }
    }

    /// The next rows: which of them have a value (`None`: all), and the values.
    pub fn read(&mut self, rows: usize) -> Result<(Option<Bitmap>, Coded), Fault> {
        let mut present = Bitmap::default();
        let mut coded = Coded { shared: self.shared.clone().unwrap_or_default(), ..Coded::default() };
        while present.len() < rows {
            if self.page.as_ref().is_none_or(|page| page.rows_left == 0) {
                if !self.next_page()? {
                    return Err(Fault::Damaged("a column has fewer rows than its row group".into()));
                }
                // the dictionary comes before the first data page
                if coded.codes.is_empty()
                    && let Some(shared) = &self.shared
                {
                    coded.shared = Arc::clone(shared);
                }
            }
            if let Some(page) = &mut self.page {
                page.read(rows - present.len(), self.max_level, &mut present, &mut coded)?;
            }
        }
        Ok((Some(present).filter(|present| !present.all()), coded))
    }

    /// Leaves rows out, whole pages without unpacking them.
    pub fn skip(&mut self, mut rows: usize) -> Result<(), Fault> {
        while rows > 0 {
            if let Some(page) = self.page.as_ref().filter(|page| page.rows_left > 0) {
                let count = rows.min(page.rows_left).min(crate::limits::TAIL_BLOCK_ROWS);
                self.read(count)?;
                rows -= count;
                continue;
            }
            let Some(next) = self.pages.peek_next_page()? else {
                return Err(Fault::Damaged("a column has fewer rows than its row group".into()));
            };
            match next.num_levels.or(next.num_rows) {
                Some(count) if !next.is_dict && count <= rows => {
                    self.pages.skip_next_page()?;
                    rows -= count;
                }
                _ => drop(self.next_page()?),
            }
        }
        Ok(())
    }

    /// Opens the next data page, with the dictionary before it.
    fn next_page(&mut self) -> Result<bool, Fault> {
        while let Some(page) = self.pages.get_next_page()? {
            if page.is_dictionary_page() {
                let texts = PlainTexts { bytes: page.buffer(), at: 0 };
                let mut entries = Entries::default();
                let count = page.num_values() as usize;
                let mut seen = 0;
                entries.extend(texts.take(count).inspect(|_| seen += 1))?;
                if seen < count {
                    return Err(Fault::Damaged("a dictionary ends too early".into()));
                }
                self.shared = Some(Arc::new(SharedTexts { entries, ..SharedTexts::default() }));
                continue;
            }
            self.page = Some(OpenPage::open(page, self.max_level)?);
            return Ok(true);
        }
        Ok(false)
    }
}

impl OpenPage {
    fn open(page: Page, max_level: i16) -> Result<Self, Fault> {
        let bytes: &[u8] = page.buffer();
        let short = || Fault::Damaged("a page is shorter than its header says".into());
        let level_width = 16 - (max_level as u16).leading_zeros() as u8;
        let (levels, at) = match &page {
            Page::DataPage { .. } if max_level == 0 => (None, 0),
            Page::DataPage { def_level_encoding, .. } => {
                if *def_level_encoding != Encoding::RLE {
                    return Err(Fault::Unsupported("levels in the old bit-packed encoding".into()));
                }
                let length: [u8; 4] = bytes.get(..4).and_then(|b| b.try_into().ok()).ok_or_else(short)?;
                let end = 4usize.saturating_add(u32::from_le_bytes(length) as usize);
                (Some(Hybrid::new(4, end, level_width)), end)
            }
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                let from = *rep_levels_byte_len as usize;
                let end = from.saturating_add(*def_levels_byte_len as usize);
                ((max_level > 0).then(|| Hybrid::new(from, end, level_width)), end)
            }
            Page::DictionaryPage { .. } => return Err(short()),
        };
        if at > bytes.len() {
            return Err(short());
        }
        let values = match page.encoding() {
            Encoding::PLAIN => Values::Plain(at),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                // a page of nothing but nulls may have no values at all
                let width = bytes.get(at).copied().unwrap_or(0);
                if width > 32 {
                    return Err(Fault::Damaged(format!("codes of {width} bits")));
                }
                Values::Codes(Hybrid::new(at + 1, bytes.len(), width))
            }
            other => return Err(Fault::Unsupported(format!("text in the encoding {other}"))),
        };
        Ok(Self { rows_left: page.num_values() as usize, levels, values, page })
    }

    fn read(
        &mut self,
        rows_max: usize,
        max_level: i16,
        present: &mut Bitmap,
        coded: &mut Coded,
    ) -> Result<(), Fault> {
        let rows = rows_max.min(self.rows_left);
        self.rows_left -= rows;
        let bytes: &[u8] = self.page.buffer();
        let mut values = rows;
        match &mut self.levels {
            None => present.push_many(true, rows),
            Some(levels) => {
                values = 0;
                let max_level = max_level as u32;
                levels.runs(bytes, rows, |run| match run {
                    Run::Same(level, count) => {
                        values += if level == max_level { count } else { 0 };
                        present.push_many(level == max_level, count);
                    }
                    Run::Each(levels) => levels.iter().for_each(|level| {
                        values += usize::from(*level == max_level);
                        present.push(*level == max_level);
                    }),
                })?;
            }
        }
        let shared = coded.shared.entries.len();
        match &mut self.values {
            Values::Codes(codes) => {
                let from = coded.codes.len();
                codes.runs(bytes, values, |run| match run {
                    Run::Same(code, count) => coded.codes.resize(coded.codes.len() + count, code),
                    Run::Each(codes) => coded.codes.extend_from_slice(codes),
                })?;
                if coded.codes[from..].iter().any(|code| *code as usize >= shared) {
                    return Err(Fault::Damaged("a code has no entry in its dictionary".into()));
                }
            }
            Values::Plain(at) => {
                let mut texts = PlainTexts { bytes, at: *at };
                let from = coded.own.len();
                coded.own.extend(texts.by_ref().take(values))?;
                if coded.own.len() - from < values {
                    return Err(Fault::Damaged("a page of text ends too early".into()));
                }
                coded.codes.extend((from..from + values).map(|own| (shared + own) as u32));
                *at = texts.at;
            }
        }
        Ok(())
    }
}

/// Texts with their length in front.
struct PlainTexts<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for PlainTexts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length: [u8; 4] = self.bytes.get(self.at..self.at.checked_add(4)?)?.try_into().ok()?;
        let start = self.at + 4;
        let end = start.checked_add(u32::from_le_bytes(length) as usize)?;
        let text = self.bytes.get(start..end)?;
        self.at = end;
        Some(text)
    }
}

/// Numbers in Parquet's hybrid of run lengths and bit packing: where the next run is, and what is left of this one.
struct Hybrid {
    at: usize,
    end: usize,
    width: u8,
    left: usize,
    /// The number that is repeated; `None`: packed ones, from `at` and this bit on.
    same: Option<u32>,
    bit: usize,
    scratch: Vec<u32>,
}

/// Some numbers on their way out.
enum Run<'a> {
    Same(u32, usize),
    Each(&'a [u32]),
}

/// Numbers that are unpacked at once.
const UNPACKED: usize = 1_024;

impl Hybrid {
    fn new(at: usize, end: usize, width: u8) -> Self {
        Self { at, end, width, left: 0, same: None, bit: 0, scratch: Vec::new() }
    }

    /// Hands out the next `count` numbers.
    fn runs(&mut self, bytes: &[u8], count: usize, mut out: impl FnMut(Run<'_>)) -> Result<(), Fault> {
        let bytes = bytes.get(..self.end).unwrap_or(bytes);
        let mut wanted = count;
        while wanted > 0 {
            if self.left == 0 {
                self.open(bytes)?;
                continue;
            }
            let now = wanted.min(self.left);
            match self.same {
                Some(number) => {
                    out(Run::Same(number, now));
                    self.left -= now;
                    wanted -= now;
                }
                None => {
                    let now = now.min(UNPACKED);
                    self.unpack(bytes, now)?;
                    out(Run::Each(&self.scratch));
                    self.left -= now;
                    wanted -= now;
                }
            }
        }
        Ok(())
    }

    /// Reads the head of the next run.
    fn open(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let short = || Fault::Damaged("a page has fewer values than its header says".into());
        if self.same.is_none() {
            self.at += self.bit.div_ceil(8);
        }
        let (mut head, mut shift) = (0u64, 0);
        loop {
            let byte = *bytes.get(self.at).ok_or_else(short)?;
            self.at += 1;
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
            if shift > 35 {
                return Err(Fault::Damaged("a run without end".into()));
            }
        }
        self.bit = 0;
        if head & 1 == 1 {
            self.same = None;
            self.left = (head >> 1) as usize * 8;
        } else {
            let size = usize::from(self.width).div_ceil(8);
            let stored = bytes.get(self.at..self.at + size).ok_or_else(short)?;
            self.at += size;
            self.same = Some(stored.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)));
            self.left = (head >> 1) as usize;
        }
        Ok(())
    }

    /// Unpacks some numbers of a packed run.
    fn unpack(&mut self, bytes: &[u8], count: usize) -> Result<(), Fault> {
        let width = usize::from(self.width);
        let end_bit = self.bit + count * width;
        let packed = bytes.get(self.at..self.at + end_bit.div_ceil(8));
        let packed = packed.ok_or_else(|| Fault::Damaged("a packed run ends too early".into()))?;
        let mask = (1u64 << width) - 1;
        self.scratch.clear();
        for index in 0..count {
            let bit = self.bit + index * width;
            let (byte, shift) = (bit / 8, bit % 8);
            let word = match packed.get(byte..byte + 8).and_then(|word| <[u8; 8]>::try_from(word).ok()) {
                Some(word) => u64::from_le_bytes(word),
                None => packed[byte.min(packed.len())..].iter().rev().fold(0, |w, b| w << 8 | u64::from(*b)),
            };
            self.scratch.push((word >> shift & mask) as u32);
        }
        self.bit = end_bit;
        // long runs stay near their beginning, so that places do not grow
        self.at += self.bit / 8;
        self.bit %= 8;
        Ok(())
    }
}
