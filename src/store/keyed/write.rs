//! Records in: what waits of all requests is folded into one transaction, row by row: a record is inserted, changed where it
//! differs, or told why not. A row that is refused takes back nothing but itself, unless its batch is atomic. And out
//! again, by number and version. Only the writer runs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use rusqlite::Transaction;

use crate::columnar::column::Column;
use crate::error::{Error, ItemError, Result};
use crate::fields::is_system;
use crate::limits;
use crate::store::catalog;
use crate::store::failure::told_to_all;
use crate::store::keyed::row::{Outcome, Rows};
use crate::store::keyed::tables::{self, Declared};
use crate::store::keyed::{Keyed, text_table};
use crate::store::open::Readers;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::store::within::Within;
use crate::store::writer::{Command, DecodedUnder, Reply, Writer};

/// What is done with a record whose key is there already, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It takes the place of the one that is there.
    #[default]
    Upsert,
    /// It has to be new.
    Insert,
    /// As [`Mode::Upsert`], but there has to be one.
    Replace,
    /// The fields of the batch, also those that are null, take the place of those of the one that has to be there; one
    /// of the version 0 has to be new.
    Set,
}

/// Bytes that a record takes in the write-ahead log beside its own, roughly: an index of values in no order has a page of
/// its own for nearly every record.
const PAGE_OF_A_RECORD: usize = 8_192;
/// Pages of an index of words that one tidying merges.
const MERGED_PAGES: i64 = 2_000;
/// Rows of an index that are looked at for the planner.
const ANALYSED_ROWS: i64 = 1_000;

/// Records for one dataset.
#[derive(Debug)]
pub struct RecordBatch {
    /// The dataset.
    pub dataset: Arc<str>,
    /// What they were decoded under.
    pub rules: DecodedUnder,
    /// The values by field.
    pub columns: Vec<(Arc<str>, Arc<Column>)>,
    /// The records.
    pub records: Vec<Record>,
    /// What is done with a key that is there.
    pub mode: Mode,
    /// All of them or none.
    pub is_atomic: bool,
    /// Which of the records that are there may be changed; `None`: all.
    pub within: Option<Arc<Within>>,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its place in the request or file.
    pub place: u64,
    /// `_time` of its row, µs.
    pub time_us: i64,
    /// Whether that is the time of arrival, which a record that is there does not take.
    pub is_arrival: bool,
    /// The version that has to be there; 0: none.
    pub version: Option<i64>,
    /// Where its values are in the columns.
    pub row: usize,
}

impl RecordBatch {
    /// Bytes of its values, roughly.
    pub(in crate::store) fn bytes(&self) -> usize {
        // several chunks share the columns of a request
        let rows = self.columns.first().map_or(1, |(_, column)| column.rows.max(1));
        let all: usize = self.columns.iter().map(|(_, column)| column.bytes()).sum();
        all / rows * self.records.len() + self.records.len() * 32
    }
}

/// What became of a batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Put {
    /// New records.
    pub inserted: u64,
    /// Records that were changed.
    pub updated: u64,
    /// Records that were so already.
    pub unchanged: u64,
    /// Those that were refused, by their place.
    pub rejected: Vec<ItemError>,
    /// The places of those that were refused because the record is of another version.
    pub outdated: Vec<u64>,
    /// How many were refused because of what other records are.
    pub taken: u64,
}

/// What the writer says of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// Committed and visible, but for what was refused; of an atomic batch nothing, where anything was.
    Done(Put),
    /// The rules of the dataset have changed since it was decoded.
    Stale,
}

/// Records to delete.
#[derive(Debug)]
pub struct DeleteBatch {
    /// The dataset.
    pub dataset: Arc<str>,
    /// Which that is; one of the same name made later is another.
    pub dataset_id: i64,
    /// `_seq` and `_version` of each.
    pub records: Vec<(i64, i64)>,
    /// All of them or none.
    pub is_atomic: bool,
}

/// What became of records to delete.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// How many are gone.
    pub deleted: u64,
    /// `_seq` of those that have changed meanwhile; those that were gone already are not told.
    pub changed: Vec<i64>,
}

impl Writer {
    /// Takes every batch of records that waits, up to the size of one transaction; gives back a command of another sort
    /// that ended the group.
    pub(in crate::store) fn put_group(
        &mut self,
        first: (RecordBatch, Reply<PutOutcome>),
        commands: &Receiver<Command>,
    ) -> Option<Command> {
        let mut bytes = first.0.bytes();
        let mut group = vec![first];
        let mut next = None;
        while bytes < limits::TRANSACTION_BYTES && group.len() < limits::WRITER_QUEUE {
            match commands.try_recv() {
                Ok(Command::Put(batch, reply)) => {
                    bytes += batch.bytes();
                    group.push((*batch, reply));
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let (batches, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        // a record is in its table, in indexes and in the search, and may change a page of each
        let records: usize = batches.iter().map(|batch: &RecordBatch| batch.records.len()).sum();
        // and no more pages than there are
        let pages = self.connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
        let pages = pages.map_or(records, |pages| records.min(pages.unsigned_abs() as usize));
        let room = self.check_room_to_append(bytes.saturating_mul(3) + pages * PAGE_OF_A_RECORD);
        match room.and_then(|()| self.change(|writer| writer.put_all(batches))) {
            Ok(outcomes) => {
                for (reply, outcome) in replies.iter().zip(outcomes) {
                    let _ = reply.send(outcome);
                }
            }
            Err(e) => {
                for reply in &replies {
                    let _ = reply.send(Err(told_to_all(&e)));
                }
            }
        }
        next
    }

    /// One transaction for all batches. What is wrong with a batch as a whole is told to it alone.
    fn put_all(&mut self, batches: Vec<RecordBatch>) -> Result<Vec<Result<PutOutcome>>> {
        let current = self.published.current();
        let transaction = Self::begin(&mut self.connection)?;
        let mut changed: BTreeMap<Arc<str>, Dataset> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            let known = changed.get(&batch.dataset).or(current.datasets.get(&batch.dataset).map(|d| &**d));
            let Some(known) = known.filter(|dataset| dataset.keyed.is_some()) else {
                outcomes.push(Ok(PutOutcome::Stale));
                continue;
            };
            let mut dataset = known.clone();
            savepoint(&transaction, "SAVEPOINT batch")?;
            let outcome = match put(&transaction, &mut dataset, &batch) {
                // what the batch is to blame for; all else ends the transaction
                Err(e @ (Error::Invalid { .. } | Error::Conflict(_))) => Err(e),
                done => Ok(done?),
            };
            let is_taken_back = match &outcome {
                Ok(PutOutcome::Done(put)) => batch.is_atomic && !put.rejected.is_empty(),
                _ => true,
            };
            if is_taken_back {
                savepoint(&transaction, "ROLLBACK TO batch")?;
            }
            savepoint(&transaction, "RELEASE batch")?;
            if !is_taken_back {
                changed.insert(Arc::clone(&batch.dataset), dataset);
            }
            outcomes.push(outcome);
        }
        if changed.is_empty() {
            return Ok(outcomes);
        }
        for dataset in changed.values_mut() {
            catalog::update(&transaction, dataset)?;
            begin(dataset);
        }
        self.watch.commit(transaction)?;
        let mut snapshot = Snapshot::clone(&current);
        snapshot.datasets.extend(changed.into_iter().map(|(name, dataset)| (name, Arc::new(dataset))));
        self.published.publish(snapshot);
        Ok(outcomes)
    }

    /// Deletes records that are still of their version.
    pub(in crate::store) fn delete_records(&mut self, batch: &DeleteBatch) -> Result<Deleted> {
        let current = self.published.current();
        let found = current.datasets.values().find(|dataset| dataset.id == batch.dataset_id);
        let Some(found) = found.filter(|dataset| dataset.keyed.is_some()) else {
            return Ok(Deleted::default());
        };
        let mut dataset = Dataset::clone(found);
        let transaction = Self::begin(&mut self.connection)?;
        let deleted = delete(&transaction, &mut dataset, batch)?;
        if batch.is_atomic && !deleted.changed.is_empty() {
            return Ok(Deleted { deleted: 0, ..deleted });
        }
        catalog::update(&transaction, &mut dataset)?;
        begin(&dataset);
        self.watch.commit(transaction)?;
        let mut snapshot = Snapshot::clone(&current);
        snapshot.datasets.insert(Arc::clone(&dataset.name), Arc::new(dataset));
        self.published.publish(snapshot);
        Ok(deleted)
    }

    /// Measures the tables that have changed for SQLite's planner, and merges the search of records.
    pub(in crate::store) fn tidy_records(&mut self) -> Result<()> {
        let failed = |e| Error::sqlite("cannot tidy the tables of records", e);
        let current = self.published.current();
        let of_records = current.datasets.values().filter(|dataset| dataset.keyed.is_some());
        let transaction = Self::begin(&mut self.connection)?;
        for dataset in of_records.filter(|dataset| !dataset.declaration.search.is_empty()) {
            let text = text_table(dataset.id);
            let merge = format!("INSERT INTO {text} ({text}, rank) VALUES ('merge', {MERGED_PAGES})");
            transaction.execute_batch(&merge).map_err(failed)?;
        }
        // as SQLite's documentation has it for connections that stay open
        let measure = format!("PRAGMA analysis_limit = {ANALYSED_ROWS}; PRAGMA optimize = 0x10002;");
        transaction.execute_batch(&measure).map_err(failed)?;
        current.datasets.values().filter_map(|dataset| dataset.keyed.as_ref()).for_each(|keyed| {
            keyed.derived.statements.forget_plans();
        });
        self.watch.commit(transaction)
    }

    /// Makes or changes the tables of a dataset of records.
    pub(in crate::store) fn declare_records(
        transaction: &Transaction<'_>,
        dataset: &mut Dataset,
        declared: &Declared,
        readers: &Readers,
    ) -> Result<()> {
        match &mut dataset.keyed {
            Some(keyed) if keyed.count > 0 => {
                keyed.changes += 1;
                keyed.derived.columns.begin(keyed.changes);
                tables::change(transaction, dataset, declared)
            }
            _ => {
                tables::drop(transaction, dataset.id)?;
                dataset.keyed = Some(Keyed::new(0, readers.clone()));
                dataset.time_field = declared.time_field();
                tables::create(transaction, dataset, declared)
            }
        }
    }
}

/// Columns that readers keep are those of an earlier commit from now on.
pub(in crate::store) fn begin(dataset: &Dataset) {
    if let Some(keyed) = &dataset.keyed {
        keyed.derived.columns.begin(keyed.changes);
    }
}

pub(in crate::store) fn savepoint(transaction: &Transaction<'_>, sql: &str) -> Result<()> {
    transaction
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(|_| ())
        .map_err(|e| Error::sqlite("cannot part a transaction", e))
}

/// Deletes the records of a batch that are still of their version, in the transaction.
pub(in crate::store) fn delete(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    batch: &DeleteBatch,
) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    {
        let mut rows = Rows::new(transaction, dataset, &[])?;
        for (seq, version) in &batch.records {
            match rows.delete(*seq, *version)? {
                Some(true) => deleted.deleted += 1,
                Some(false) => deleted.changed.push(*seq),
                None => {}
            }
        }
    }
    if let Some(keyed) = &mut dataset.keyed {
        keyed.count = keyed.count.saturating_sub(deleted.deleted);
        keyed.changes += 1;
    }
    Ok(deleted)
}

/// Writes one batch into the transaction.
pub(in crate::store) fn put(
    transaction: &Transaction<'_>,
    dataset: &mut Dataset,
    batch: &RecordBatch,
) -> Result<PutOutcome> {
    let has = |name: &str| batch.columns.iter().any(|(field, _)| **field == *name);
    let Some(fresh) = batch.rules.fresh_fields(dataset.rules_version, &dataset.fields, &[], has) else {
        return Ok(PutOutcome::Stale);
    };
    for name in fresh {
        tables::add_field(transaction, dataset, &name)?;
    }
    if let Some(field) = &batch.rules.time_field {
        dataset.time_field = Some(Arc::clone(field));
        dataset.rules_version += 1;
        tables::change_time(transaction, dataset)?;
    }
    for (name, column) in batch.columns.iter().filter(|(name, _)| !is_system(name)) {
        if Arc::make_mut(&mut dataset.fields).add(name, column.kinds()) {
            catalog::put_field(transaction, dataset, name)?;
        }
    }
    if let Some(mark) = &batch.rules.import {
        catalog::put_import(transaction, dataset.id, mark)?;
    }
    let mut put = Put::default();
    let mut next_seq = dataset.next_seq;
    {
        let mut rows = Rows::new(transaction, dataset, &batch.columns)?.within(batch.within.as_deref());
        for record in &batch.records {
            match rows.put(record, next_seq, batch.mode)? {
                Outcome::Inserted => {
                    put.inserted += 1;
                    next_seq += 1;
                }
                Outcome::Updated => put.updated += 1,
                Outcome::Unchanged => put.unchanged += 1,
                Outcome::Refused(message) => {
                    put.rejected.push(ItemError { index: record.place, message });
                }
                Outcome::Outdated(message) => {
                    put.outdated.push(record.place);
                    put.rejected.push(ItemError { index: record.place, message });
                }
                Outcome::Taken(message) => {
                    put.taken += 1;
                    put.rejected.push(ItemError { index: record.place, message });
                }
            }
        }
    }
    dataset.next_seq = next_seq;
    if let Some(keyed) = &mut dataset.keyed {
        keyed.count += put.inserted;
        keyed.changes += u64::from(put.inserted + put.updated > 0);
    }
    Ok(PutOutcome::Done(put))
}
