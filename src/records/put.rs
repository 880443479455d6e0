//! Records in: rows that are decoded become records, each with its key once, the checks are asked, and the writer gets them
//! chunk by chunk, a transaction each, or all at once where they are meant to be one.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::Xxh3;

use crate::columnar::TIME;
use crate::columnar::column::{Column, Data};
use crate::error::{Error, ItemError, Result};
use crate::fields::is_system;
use crate::fields::records::VERSION;
use crate::limits;
use crate::query::reach::Reach;
use crate::records::checks::Checks;
use crate::records::merge;
use crate::store::Store;
use crate::store::keyed::write::{Mode, Put, PutOutcome, Record, RecordBatch};
use crate::store::part::Part;
use crate::store::snapshot::Dataset;
use crate::store::values::{cell_to_sql, form};
use crate::store::within::Within;
use crate::store::writer::{Batch, DecodedUnder};
use crate::value::Value;

/// How records are put.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutOptions {
    /// What is done with a key that is there.
    pub mode: Mode,
    /// All of them or none.
    pub is_atomic: bool,
    /// Whether they are parts of records: what a part has no value of stays as it is stored.
    pub merges: bool,
    /// Whether a key may come several times, and the last counts: files are not batches.
    pub takes_repeats: bool,
}

/// Puts the rows of a batch; `None` where they have to be decoded anew. Rejected rows are in what comes back.
///
/// # Errors
/// `NotFound` and `Conflict` for a dataset that is none of records, and the store's.
pub fn put(store: &Store, reach: &Reach, batch: Batch, options: PutOptions) -> Result<Option<Put>> {
    let dataset = &*reach.dataset(&store.snapshot(), &batch.dataset)?;
    dataset.keyed()?;
    let mut put = Put::default();
    let within = reach.of_new(Some(dataset), &batch.block).map(Arc::new);
    // of parts of records it is asked of what comes of them
    let asked = within.as_deref().filter(|_| !options.merges);
    let (fields, records) = records(&batch, (dataset, asked), options, &mut put.rejected)?;
    let most = match options {
        PutOptions { is_atomic: true, .. } => limits::ATOMIC_RECORDS,
        PutOptions { takes_repeats: true, .. } => limits::IMPORT_RECORD_CHUNK,
        _ => limits::RECORD_CHUNK,
    };
    if options.is_atomic {
        if records.len() > most {
            return Err(Error::TooLarge(format!(
                "an atomic batch has {most} records at most, this one {}; send it in pieces, or without atomic",
                records.len()
            )));
        }
        if !put.rejected.is_empty() {
            return Ok(Some(put));
        }
    }
    if options.merges {
        let rejected = std::mem::take(&mut put.rejected);
        return Ok(merge::merge((store, reach), &batch, records, options)?.map(|mut merged| {
            merged.rejected.extend(rejected);
            merged.rejected.sort_by_key(|item| item.index);
            merged
        }));
    }
    let columns: Vec<(Arc<str>, Arc<Column>)> =
        fields.into_iter().map(|(name, column)| (Arc::clone(name), Arc::clone(column))).collect();
    let mut rules = batch.rules;
    let import = rules.import.take();
    let mut left = records.into_iter();
    let mut is_first = true;
    loop {
        let chunk: Vec<Record> = left.by_ref().take(most).collect();
        let is_last = left.len() == 0;
        if chunk.is_empty() && !(is_first && import.is_some()) {
            break;
        }
        rules.import = import.clone().filter(|_| is_last);
        let new = RecordBatch {
            dataset: Arc::clone(&batch.dataset),
            rules: rules.clone(),
            columns: columns.clone(),
            records: chunk,
            mode: options.mode,
            is_atomic: options.is_atomic,
            within: within.clone(),
        };
        match store.put(new)? {
            PutOutcome::Stale if is_first => return Ok(None),
            PutOutcome::Stale => return Err(changed_midway(&batch.dataset, &put)),
            PutOutcome::Done(done) => add(&mut put, done),
        }
        if is_last {
            break;
        }
        if is_first {
            rules = renewed(store, dataset, rules)?;
            is_first = false;
        }
    }
    put.rejected.sort_by_key(|item| item.index);
    Ok(Some(put))
}

/// The rows of a batch as records that are put together with other things, all of them or none.
///
/// # Errors
/// As [`put`]; the first row that is rejected.
pub fn whole(store: &Store, batch: Batch, mode: Mode) -> Result<RecordBatch> {
    let snapshot = store.snapshot();
    let dataset = snapshot.whole_dataset(&batch.dataset)?;
    dataset.keyed()?;
    let options = PutOptions { mode, is_atomic: true, ..PutOptions::default() };
    let mut rejected = Vec::new();
    let (fields, records) = records(&batch, (dataset, None), options, &mut rejected)?;
    if let Some(item) = rejected.first() {
        let (place, message) = (item.index, &item.message);
        return Err(Error::invalid(format!(
            "record {place} for \"{}\" cannot be put: {message}",
            batch.dataset
        )));
    }
    let columns = fields.into_iter().map(|(name, column)| (Arc::clone(name), Arc::clone(column))).collect();
    let dataset = Arc::clone(&batch.dataset);
    let rules = batch.rules;
    Ok(RecordBatch { dataset, rules, columns, records, mode, is_atomic: true, within: None })
}

/// Adds what became of a chunk.
pub fn add(all: &mut Put, more: Put) {
    all.inserted += more.inserted;
    all.updated += more.updated;
    all.unchanged += more.unchanged;
    all.rejected.extend(more.rejected);
    all.outdated.extend(more.outdated);
    all.taken += more.taken;
}

/// The rules after the first chunk, which has brought new fields and perhaps the time field.
fn renewed(store: &Store, before: &Dataset, rules: DecodedUnder) -> Result<DecodedUnder> {
    let snapshot = store.snapshot();
    let now = snapshot.whole_dataset(&before.name)?;
    let is_same = now.id == before.id && now.declaration == before.declaration;
    let version = if is_same { now.rules_version } else { rules.version };
    let new_fields =
        rules.new_fields.iter().filter(|name| now.fields.kinds(name).is_none()).cloned().collect();
    Ok(DecodedUnder { version, time_field: None, new_fields, ..rules })
}

fn changed_midway(dataset: &str, put: &Put) -> Error {
    Error::Conflict(format!(
        "the declaration of \"{dataset}\" was changed while records were put: {} are, the others are not; send them again",
        put.inserted + put.updated + put.unchanged
    ))
}

type Fields<'b> = Vec<(&'b Arc<str>, &'b Arc<Column>)>;

/// The rows of a batch as records, and their fields. What is wrong with a row by itself, or beside the others, is told.
fn records<'b>(
    batch: &'b Batch,
    (dataset, within): (&Dataset, Option<&Within>),
    options: PutOptions,
    rejected: &mut Vec<ItemError>,
) -> Result<(Fields<'b>, Vec<Record>)> {
    let (block, places) = (&batch.block, &batch.rules.places);
    let all = block.columns().filter(|(name, _)| !is_system(name) && ***name != *VERSION);
    let (fields, strange): (Fields<'b>, Fields<'b>) =
        all.partition(|(name, _)| why_no_field(name, dataset).is_none());
    let key: Vec<Option<&Column>> =
        dataset.declaration.key.iter().map(|name| block.column(name).map(|column| &**column)).collect();
    let times = block.column(TIME).map(|column| &column.data);
    let takes_repeats = options.takes_repeats;
    // what is exported has a version that the record has not here
    let version = block.column(VERSION).filter(|_| !takes_repeats);
    let time_field = batch.rules.time_field.as_ref().or(dataset.time_field.as_ref());
    let time_field = time_field.and_then(|name| block.column(name));
    let is_within = within.map(|within| within.rows(&Part::of_block(Arc::new(block.clone())))).transpose()?;
    let checks = Checks::of(dataset)?;
    // of parts of records they are asked of what comes of them
    let are_checks_asked = !checks.is_empty() && !options.merges;
    let mut seen: HashMap<u128, u64> = HashMap::with_capacity(if takes_repeats { 0 } else { block.rows() });
    let mut records = Vec::with_capacity(block.rows());
    for row in 0..block.rows() {
        let place = places.get(row).copied().unwrap_or(row as u64);
        let mut reject = |message: String| rejected.push(ItemError { index: place, message });
        if let Some((name, _)) = strange.iter().find(|(_, column)| !column.get(row).is_null()) {
            reject(why_no_field(name, dataset).unwrap_or_default());
            continue;
        }
        if let Some((within, _)) = within.zip(is_within.as_ref()).filter(|(_, bits)| !bits.get(row)) {
            reject(within.refusal());
            continue;
        }
        let is_missing = |column: &Option<&Column>| column.is_none_or(|column| !column.is_valid(row));
        if let Some(at) = key.iter().position(is_missing) {
            let name = dataset.declaration.key.get(at).map_or("", String::as_str);
            reject(format!("the field \"{name}\" is in the key and has no value"));
            continue;
        }
        let hash = if takes_repeats { 0 } else { hash_of(&key, row) };
        if let Some(earlier) = seen.get(&hash) {
            reject(format!("item {earlier} has the same key; a batch names each record once"));
            continue;
        }
        let version = match version.map_or(Value::Null, |column| column.get(row)) {
            Value::Null => None,
            Value::Int(version @ 0..) => Some(version),
            other => {
                reject(format!("{VERSION} is {}, and has to be a whole number from 0 on", other.to_text()));
                continue;
            }
        };
        let value = |name: &str| block.column(name).map_or(Value::Null, |column| column.get(row));
        if let Some(why) = are_checks_asked.then(|| checks.refusal(&value)).flatten() {
            reject(why);
            continue;
        }
        if !takes_repeats {
            seen.insert(hash, place);
        }
        let time_us = if let Some(Data::Time(times)) = times { times.get(row) } else { 0 };
        let is_arrival = time_field.is_none_or(|column| !column.is_valid(row));
        records.push(Record { place, time_us, is_arrival, version, row });
    }
    Ok((fields, records))
}

/// The key of a row as a number of 128 bits: no two keys of a batch meet in one by chance.
fn hash_of(key: &[Option<&Column>], row: usize) -> u128 {
    let mut hash = Xxh3::new();
    for column in key.iter().flatten() {
        let value = cell_to_sql(column, row);
        match form(&value) {
            ValueRef::Integer(number) => hash.update(&number.to_le_bytes()),
            ValueRef::Real(number) => hash.update(&number.to_bits().to_le_bytes()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => hash.update(bytes),
            ValueRef::Null => {}
        }
        hash.update(&[form(&value).data_type() as u8, 0]);
    }
    hash.digest128()
}

/// Why no record of the dataset can have a field of this name; `None` where one can.
fn why_no_field(name: &str, dataset: &Dataset) -> Option<String> {
    if dataset.fields.kinds(name).is_some() {
        return None;
    }
    if name.contains('\0') {
        return Some(format!(
            "the field name {name:?} has a zero character, which no field of records can have"
        ));
    }
    if dataset.declaration.relations.contains_key(name) {
        return Some(format!("\"{name}\" is a relation of the dataset, so no field can be called so"));
    }
    let alike = dataset.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    alike.map(|(known, _)| {
        format!(
            "the field \"{name}\" is called \"{known}\" here; records do not tell the case of letters apart"
        )
    })
}
