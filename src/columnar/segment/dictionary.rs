//! The dictionaries of a column: one for each type that holds text, shared by all its blocks. Texts that no row has are
//! not written: what was filtered or erased does not stay behind.

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Narrow, with_narrow};
use crate::columnar::segment::compress::{put_text_stream, read_stream};
use crate::columnar::segment::planes::{put_narrow, read_narrow, wide};
use crate::columnar::segment::reader::{Reader, corrupt};
use crate::columnar::text::{Dictionary, Texts};
use crate::error::Result;

/// Bytes of text in a dictionary, far below what would exhaust memory on a damaged size.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 30;

/// The types that have a dictionary, in the order they are stored, each with its flag.
const FLAGS: [(Role, u8); 3] = [(Role::Strings, 1), (Role::Items, 2), (Role::Json, 4)];

/// What a dictionary's texts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Values of type string.
    Strings,
    /// Items of lists.
    Items,
    /// Values of type json.
    Json,
}

/// The dictionaries that all blocks of a column share, by type; empty ones where it has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dictionaries {
    strings: Arc<Dictionary>,
    items: Arc<Dictionary>,
    json: Arc<Dictionary>,
}

impl Dictionaries {
    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        FLAGS.iter().map(|(role, _)| self.of(*role).bytes()).sum::<usize>() + size_of::<Self>()
    }

    /// The texts that codes of strings stand for.
    pub fn strings(&self) -> &Arc<Dictionary> {
        &self.strings
    }

    pub(super) fn of(&self, role: Role) -> &Arc<Dictionary> {
        match role {
            Role::Strings => &self.strings,
            Role::Items => &self.items,
            Role::Json => &self.json,
        }
    }

    fn set(&mut self, role: Role, dictionary: Arc<Dictionary>) {
        let place = match role {
            Role::Strings => &mut self.strings,
            Role::Items => &mut self.items,
            Role::Json => &mut self.json,
        };
        *place = dictionary;
    }

    /// Appends those that have an entry; nothing where none has.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let stored = || FLAGS.iter().filter(|(role, _)| !self.of(*role).is_empty());
        let flags = stored().fold(0, |flags, (_, flag)| flags | flag);
        if flags == 0 {
            return;
        }
        out.push(flags);
        stored().for_each(|(role, _)| put_dictionary(out, self.of(*role)));
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut dictionaries = Self::default();
        if bytes.is_empty() {
            return Ok(dictionaries);
        }
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        if flags == 0 || FLAGS.iter().fold(flags, |left, (_, flag)| left & !flag) != 0 {
            return Err(corrupt(format!("dictionaries have flags {flags}")));
        }
        for (role, _) in FLAGS.iter().filter(|(_, flag)| flags & flag != 0) {
            dictionaries.set(*role, Arc::new(read_dictionary(&mut reader)?));
        }
        reader.end()?;
        Ok(dictionaries)
    }

    /// Those of a column, and by part what became of its codes; `None`: they stay as they are.
    pub(super) fn of_parts(parts: &[Column]) -> (Self, Vec<Option<Vec<u32>>>) {
        let mut dictionaries = Self::default();
        let maps = parts.iter().map(|part| {
            let (role, texts) = texts_of(part)?;
            let (dictionary, map) = match used_entries(part, texts) {
                Some((dictionary, map)) => (Arc::new(dictionary), Some(map)),
                None => (Arc::clone(&texts.dictionary), None),
            };
            dictionaries.set(role, dictionary);
            map
        });
        let maps = maps.collect();
        (dictionaries, maps)
    }
}

/// The texts of a part, and what they are.
fn texts_of(part: &Column) -> Option<(Role, &Texts)> {
    match &part.data {
        Data::Text(texts) => Some((Role::Strings, texts)),
        Data::Json(texts) => Some((Role::Json, texts)),
        Data::List { items, .. } => Some((Role::Items, items)),
        _ => None,
    }
}

/// The entries that rows with a value use, and the new code of each; `None` where all are used.
fn used_entries(part: &Column, texts: &Texts) -> Option<(Dictionary, Vec<u32>)> {
    let mut used = vec![false; texts.dictionary.len()];
    let mut mark = |code: u64| {
        if let Some(used) = used.get_mut(code as usize) {
            *used = true;
        }
    };
    match (&part.data, &part.validity) {
        (_, None) => with_narrow!(&texts.codes, codes => codes.iter().for_each(|code| mark(wide(*code)))),
        (Data::List { ends, .. }, Some(validity)) => {
            for row in validity.ones() {
                let start = if row == 0 { 0 } else { ends[row - 1] };
                (start..ends[row]).for_each(|item| mark(texts.codes.get(item as usize)));
            }
        }
        (_, Some(validity)) => validity.ones().for_each(|row| mark(texts.codes.get(row))),
    }
    if used.iter().all(|used| *used) {
        return None;
    }
    let mut count = 0;
    let map = used.iter().map(|used| {
        count += u32::from(*used);
        count.saturating_sub(1)
    });
    let map = map.collect();
    let kept = texts.dictionary.iter().zip(&used).filter(|(_, used)| **used).map(|(text, _)| text);
    Some((Dictionary::from_sorted(kept), map))
}

fn put_dictionary(out: &mut Vec<u8>, dictionary: &Dictionary) {
    let (text, ends) = dictionary.parts();
    out.extend_from_slice(&(ends.len() as u32).to_le_bytes());
    let starts = std::iter::once(&0).chain(ends);
    let lengths: Vec<u64> = ends.iter().zip(starts).map(|(end, start)| u64::from(end - start)).collect();
    put_narrow(out, &lengths);
    put_text_stream(out, text.as_bytes());
}

fn read_dictionary(reader: &mut Reader<'_>) -> Result<Dictionary> {
    let entries = reader.u32()? as usize;
    if entries == 0 {
        return Err(corrupt("a dictionary is empty"));
    }
    let lengths = read_narrow(reader, entries)?;
    let ends = ends_of(&lengths, TEXT_BYTES_MAX)?;
    let text = read_stream(reader, ends.last().map_or(0, |end| *end as usize))?;
    let text = String::from_utf8(text.into_owned()).map_err(|_| corrupt("a dictionary is not UTF-8"))?;
    Dictionary::from_parts(text, ends).ok_or_else(|| corrupt("a dictionary is out of order"))
}

/// Where each of some lengths ends, one after the other.
pub(super) fn ends_of(lengths: &Narrow, max: usize) -> Result<Vec<u32>> {
    let max = max.min(u32::MAX as usize) as u64;
    let mut end = 0u64;
    let is_beyond = || corrupt(format!("lengths add up to more than {max}"));
    with_narrow!(lengths, lengths => lengths.iter().map(|length| {
        end = end.checked_add(wide(*length)).filter(|end| *end <= max).ok_or_else(is_beyond)?;
        Ok(end as u32)
    }).collect())
}
