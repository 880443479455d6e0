//! JSON in text columns, and lists, which are made into JSON first: each distinct text is read once, as JSON ingest
//! reads it, into one row of a small block. The rows of a chunk then pick their rows of that block, column by column.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::columnar::text::Texts;
use crate::columnar::{Block, TIME};
use crate::ingest::json;
use crate::ingest::rows::Rows;
use crate::ingest::rules::Rules;
use crate::store::snapshot::Snapshot;

/// What some distinct texts hold. Row 0 of the block is empty: the row of those that have no text.
#[derive(Debug)]
pub struct Embedded {
    block: Block,
    names: Vec<Arc<str>>,
    /// The row of each text; 0 for those that are no JSON.
    places: Vec<u32>,
    bad: BTreeMap<u32, String>,
}

impl Embedded {
    /// Reads texts as what a field of this name holds.
    pub fn of<'a>(name: &str, texts: impl Iterator<Item = &'a str>) -> Self {
        let rules = Rules::of(&Snapshot::default(), "");
        let mut rows = Rows::new(&rules);
        rows.end_row(0);
        let (mut places, mut bad) = (Vec::new(), BTreeMap::new());
        for (index, text) in (0u32..).zip(texts) {
            let read = rows.name(name).and_then(|id| json::embedded(text, id, name, &mut rows));
            let place = rows.kept() as u32;
            match read {
                Ok(()) if rows.end_row(u64::from(index)) => places.push(place),
                failed => {
                    let reason = failed.err().unwrap_or_else(|| {
                        format!("the JSON in \"{name}\" has too many distinct fields; send the file in smaller pieces")
                    });
                    rows.reject_row(u64::from(index), String::new());
                    bad.insert(index, reason);
                    places.push(0);
                }
            }
        }
        let decoded = rows.finish();
        Self { block: decoded.block, names: decoded.names, places, bad }
    }

    /// Why a text cannot be taken.
    pub fn why_bad(&self, text: u32) -> Option<&str> {
        self.bad.get(&text).map(String::as_str)
    }

    /// Whether all texts can be taken.
    pub fn is_good(&self) -> bool {
        self.bad.is_empty()
    }

    /// The row of the block that holds a text.
    pub fn place(&self, text: u32) -> u32 {
        self.places.get(text as usize).copied().unwrap_or(0)
    }

    /// The fields that the texts name, in the order they appeared, each with its column for rows that hold the texts
    /// at these places; `None` where no row has a value.
    pub fn columns(&self, places: &[u32]) -> impl Iterator<Item = (Arc<str>, Option<Column>)> {
        self.names.iter().filter(|name| ***name != *TIME).map(|name| {
            let column = self.block.column(name).map(|column| compact(column.take(places)));
            (Arc::clone(name), column.filter(has_values))
        })
    }
}

/// Whether any row has a value.
pub fn has_values(column: &Column) -> bool {
    column.validity.as_ref().is_none_or(|bits| bits.count_ones() > 0)
}

/// Without the texts that no row has.
fn compact(mut column: Column) -> Column {
    if let Data::Text(texts) | Data::Json(texts) = &mut column.data {
        let codes: Vec<u32> = texts.codes.iter().map(|code| code as u32).collect();
        *texts = Texts::of_shared(&texts.dictionary, &codes, column.validity.as_ref());
    }
    column
}
