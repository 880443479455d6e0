//! Ids that were taken in, for datasets that declare `dedupe`: the table `seen` holds a hash of each with the day of its
//! arrival. It is read and written in the transaction of the events, so an event and its id are there together or not at
//! all. Days are whole ones of UTC, rounded up: an id is remembered for its window at least.

use rusqlite::{Transaction, params};
use tracing::debug;
use xxhash_rust::xxh3::xxh3_128;

use crate::columnar::Block;
use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::fields::Declaration;
use crate::limits;
use crate::store::snapshot::Dataset;
use crate::store::upkeep::{Upkeep, Work};
use crate::store::writer::{Command, Writer};
use crate::time;

/// XXH3-128 of the ids of some rows, by row; `None`: a row without one, which is no duplicate of any other.
pub type IdHashes = Vec<Option<[u8; 16]>>;

/// Ids that one transaction looks through for those that are forgotten.
const SWEPT_AT_ONCE: i64 = 20_000;

/// The hashes of the ids of a block; empty where the dataset does not ask for them. The request's own thread works them
/// out, so that the writer has only to look them up.
pub fn id_hashes(block: &Block, declaration: &Declaration) -> IdHashes {
    match declaration.dedupe {
        None => Vec::new(),
        Some(_) => match block.column(id_field(declaration)) {
            None => vec![None; block.rows()],
            Some(column) => hashes_of(column),
        },
    }
}

/// The field that an event's id stands in: the declared one, else what it brings as `_id`.
fn id_field(declaration: &Declaration) -> &str {
    declaration.id.as_deref().unwrap_or("_id")
}

/// An id is its text: 7 and "7" are the same one.
fn hashes_of(column: &Column) -> IdHashes {
    let hash = |text: &str| xxh3_128(text.as_bytes()).to_be_bytes();
    let of_row = |row: usize| match &column.data {
        Data::Text(texts) => hash(texts.get(row)),
        _ => hash(&column.get(row).to_text()),
    };
    (0..column.rows).map(|row| column.is_valid(row).then(|| of_row(row))).collect()
}

/// The day, since 1970, that an id arrives on now.
fn today() -> i64 {
    time::now().div_euclid(time::DAY)
}

/// Notes ids that arrive; gives the rows whose id is new, in their order.
///
/// # Errors
/// SQLite's.
pub(super) fn take(transaction: &Transaction<'_>, dataset: &Dataset, ids: &IdHashes) -> Result<Vec<u32>> {
    let today = today();
    let Some(oldest) = dataset.declaration.remembered_from(today) else {
        return Ok((0..ids.len() as u32).collect());
    };
    let context = |e| Error::sqlite("cannot note the ids of events", e);
    let mut statement = transaction
        .prepare_cached(
            "INSERT INTO seen (dataset_id, hash, day) VALUES (?1, ?2, ?3)
             ON CONFLICT (dataset_id, hash) DO UPDATE SET day = excluded.day WHERE day < ?4",
        )
        .map_err(context)?;
    // in the order of the table, so that each of its pages is visited once; of equal ids the first row comes first
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|row| ids[*row as usize]);
    let mut fresh = Vec::with_capacity(ids.len());
    for row in order {
        let is_fresh = match &ids[row as usize] {
            None => true,
            Some(hash) => statement.execute(params![dataset.id, hash, today, oldest]).map_err(context)? > 0,
        };
        if is_fresh {
            fresh.push(row);
        }
    }
    fresh.sort_unstable();
    Ok(fresh)
}

/// The rows of a block that are left, without the columns that have no value in them.
pub(super) fn left_of(block: &Block, rows: &[u32]) -> Block {
    let taken = block.take(rows);
    let has_values = |column: &Column| column.validity.as_ref().is_none_or(|bits| bits.count_ones() > 0);
    let columns = taken.columns().filter(|(_, column)| has_values(column));
    Block::new(rows.len(), columns.map(|(name, column)| (name.clone(), column.clone())).collect())
}

/// Makes the remembered ids of a dataset what its new declaration asks for: those of the events that are there where it
/// begins to ask, none where it no longer does.
///
/// # Errors
/// `Conflict` where too many events are there, `Corrupt` where they cannot be read, SQLite's.
pub(super) fn redeclare(transaction: &Transaction<'_>, old: &Declaration, dataset: &Dataset) -> Result<()> {
    let new = &dataset.declaration;
    let remembered = |declared: &Declaration| declared.dedupe.as_ref().map(|_| declared.id.clone());
    if remembered(old) == remembered(new) {
        return Ok(());
    }
    let context = |e| Error::sqlite("cannot change which ids are remembered", e);
    transaction.execute("DELETE FROM seen WHERE dataset_id = ?1", [dataset.id]).map_err(context)?;
    if new.dedupe.is_none() {
        return Ok(());
    }
    if dataset.rows() > limits::DEDUPE_DECLARE_ROWS {
        return Err(Error::Conflict(format!(
            "\"{}\" holds {} events, and the ids of at most {} can be taken in when dedupe is declared; declare it for \
             a dataset of another name and import the events there",
            dataset.name,
            dataset.rows(),
            limits::DEDUPE_DECLARE_ROWS
        )));
    }
    let mut statement = transaction
        .prepare_cached("INSERT INTO seen (dataset_id, hash, day) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
        .map_err(context)?;
    let today = today();
    for run in dataset.sources().flat_map(|source| source.runs()) {
        let part = dataset.part(run)?;
        let Some(column) = part.column(id_field(new))? else { continue };
        let mut ids: Vec<[u8; 16]> = hashes_of(&column).into_iter().flatten().collect();
        ids.sort_unstable();
        for id in ids {
            // when it arrived is not known any more: now is the latest that it can have been
            statement.execute(params![dataset.id, id, today]).map_err(context)?;
        }
    }
    Ok(())
}

impl Writer {
    /// Forgets the ids that are past their window among the next ones after a hash; gives where to go on.
    pub(super) fn sweep(&mut self, dataset_id: i64, after: &[u8]) -> Result<Option<Vec<u8>>> {
        let current = self.published.current();
        let dataset = current.datasets.values().find(|dataset| dataset.id == dataset_id);
        let Some(oldest) = dataset.and_then(|dataset| dataset.declaration.remembered_from(today())) else {
            return Ok(None);
        };
        let context = |e| Error::sqlite("cannot forget ids", e);
        let transaction = Self::begin(&mut self.connection)?;
        let last: Option<Vec<u8>> = transaction
            .query_row(
                "SELECT max(hash) FROM
                   (SELECT hash FROM seen WHERE dataset_id = ?1 AND hash > ?2 ORDER BY hash LIMIT ?3)",
                params![dataset_id, after, SWEPT_AT_ONCE],
                |row| row.get(0),
            )
            .map_err(context)?;
        if let Some(last) = &last {
            let gone = transaction
                .execute(
                    "DELETE FROM seen WHERE dataset_id = ?1 AND hash > ?2 AND hash <= ?3 AND day < ?4",
                    params![dataset_id, after, last, oldest],
                )
                .map_err(context)?;
            debug!("{gone} ids of dataset {dataset_id} are forgotten");
        }
        Self::commit(transaction)?;
        Ok(last)
    }
}

impl Upkeep {
    /// Forgets the ids of a dataset that are past their window, once a day.
    pub(super) fn sweep(&self, dataset_id: i64, work: &mut Work) -> Result<()> {
        let today = today();
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(()) };
        let is_done = work.swept.get(&dataset_id) == Some(&today);
        if is_done || dataset.declaration.remembered_from(today).is_none_or(|oldest| oldest == i64::MIN) {
            return Ok(());
        }
        let mut after = Vec::new();
        while let Some(last) = self.ask(|reply| Command::Sweep(dataset_id, after, reply))? {
            after = last;
            if self.is_stopping() {
                return Ok(());
            }
        }
        work.swept.insert(dataset_id, today);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::builder::{BlockBuilder, Cell};

    #[test]
    fn an_id_is_its_text_whatever_its_type() {
        let mut builder = BlockBuilder::default();
        for cell in
            [Some(Cell::Int(7)), Some(Cell::Text("7")), None, Some(Cell::Text("")), Some(Cell::Bool(true))]
        {
            let (time, id) = (builder.field("_time"), builder.field("id"));
            builder.set(time, Cell::Time(0));
            if let Some(cell) = cell {
                builder.set(id, cell);
            }
            builder.end_row();
        }
        let block = builder.finish();
        let mut declaration = Declaration { id: Some("id".into()), ..Declaration::default() };
        assert_eq!(id_hashes(&block, &declaration), Vec::new(), "nobody asks");
        declaration.dedupe = Some("all".into());
        let hashes = id_hashes(&block, &declaration);
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[2], None);
        assert!(hashes[3].is_some() && hashes[3] != hashes[4] && hashes[4] != hashes[0]);
        // part of the format
        assert_eq!(hashes[3], Some(0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128.to_be_bytes()));
        declaration.id = None;
        assert_eq!(id_hashes(&block, &declaration), vec![None; 5], "no event brought an _id");
    }

    #[test]
    fn what_is_left_of_a_block_has_no_empty_columns() {
        let mut builder = BlockBuilder::default();
        for (name, number) in [("a", 1), ("b", 2), ("a", 3)] {
            let (time, field) = (builder.field("_time"), builder.field(name));
            builder.set(time, Cell::Time(number));
            builder.set(field, Cell::Int(number));
            builder.end_row();
        }
        let left = left_of(&builder.finish(), &[0, 2]);
        let names: Vec<&str> = left.columns().map(|(name, _)| &**name).collect();
        assert_eq!((left.rows(), names), (2, vec!["_time", "a"]));
    }
}
