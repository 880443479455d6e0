//! Parts of records: what they name takes the place of what is stored, everything else stays. A part becomes a whole
//! record here, with the defaults where its key is new, so that what is required and the checks are asked of what comes of
//! it; the writer takes it only if the record is still of the version that was read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::error::{Error, ItemError, Result};
use crate::fields::is_system;
use crate::fields::records::{VERSION, stored_default};
use crate::limits;
use crate::query::budget::{Budget, Limits};
use crate::query::keyed::reader;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::reach::Reach;
use crate::records::checks::Checks;
use crate::records::put::{PutOptions, add};
use crate::store::Store;
use crate::store::keyed::quoted;
use crate::store::keyed::write::{Mode, Put, PutOutcome, Record, RecordBatch};
use crate::store::snapshot::Dataset;
use crate::store::writer::Batch;
use crate::time::Calendar;
use crate::value::Value;

/// Rounds in which records that others keep changing are tried again.
const ROUNDS: usize = 8;

/// Merges parts into the records that are there; `None` where they have to be decoded anew.
///
/// # Errors
/// Those of the store, and records that keep changing.
pub(super) fn merge(
    (store, reach): (&Store, &Reach),
    batch: &Batch,
    records: Vec<Record>,
    options: PutOptions,
) -> Result<Option<Put>> {
    let mut put = Put::default();
    let mut left = records;
    let most = if options.is_atomic { limits::ATOMIC_RECORDS } else { limits::RECORD_CHUNK };
    for _ in 0..ROUNDS {
        let mut again = Vec::new();
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(most));
            let chunk = std::mem::replace(&mut left, rest);
            let dataset = &*reach.dataset(&store.snapshot(), &batch.dataset)?;
            if dataset.rules_version != batch.rules.version && put == Put::default() {
                return Ok(None);
            }
            let (new, refused) = whole(reach, dataset, batch, &chunk, options)?;
            if options.is_atomic && !refused.is_empty() {
                return Ok(Some(Put { rejected: refused, ..Put::default() }));
            }
            put.rejected.extend(refused);
            let mut done = match store.put(new)? {
                PutOutcome::Done(done) => done,
                // a field or the time field has come meanwhile: what is read next is of these rules
                PutOutcome::Stale => {
                    again.extend(chunk);
                    continue;
                }
            };
            let late = |place: u64| done.outdated.contains(&place);
            let told = |record: &Record| record.version.is_some();
            let retried: Vec<Record> =
                chunk.into_iter().filter(|record| late(record.place) && !told(record)).collect();
            done.rejected.retain(|item| !retried.iter().any(|record| record.place == item.index));
            if options.is_atomic && !retried.is_empty() {
                done = Put::default();
            }
            add(&mut put, done);
            again.extend(retried);
        }
        if again.is_empty() {
            return Ok(Some(put));
        }
        left = again;
    }
    Err(Error::Busy {
        detail: format!("records of \"{}\" that are merged keep changing; repeat the request", batch.dataset),
        retry_after_s: 1,
    })
}

/// What is stored of a record: its version, and a value a field.
type Stored = (i64, Vec<Value>);

/// The parts as whole records, and those that are refused.
fn whole(
    reach: &Reach,
    dataset: &Dataset,
    batch: &Batch,
    records: &[Record],
    options: PutOptions,
) -> Result<(RecordBatch, Vec<ItemError>)> {
    let block = &batch.block;
    let mut fields: Vec<Arc<str>> =
        dataset.fields.iter().map(|(name, _)| Arc::clone(name)).filter(|name| **name != *VERSION).collect();
    let known = fields.len();
    fields.extend(
        block
            .columns()
            .map(|(name, _)| Arc::clone(name))
            .filter(|name| !is_system(name) && dataset.fields.kinds(name).is_none()),
    );
    let given: Vec<Option<&Arc<Column>>> = fields.iter().map(|name| block.column(name)).collect();
    let value =
        |field: usize, row: usize| given.get(field).copied().flatten().map_or(Value::Null, |c| c.get(row));
    let places =
        dataset.declaration.key.iter().filter_map(|key| fields.iter().position(|name| **name == **key));
    let key: Vec<usize> = places.collect();
    let key_of = |row: usize| key.iter().map(|at| value(*at, row)).collect::<Vec<Value>>();
    let keys: Vec<Vec<Value>> = records.iter().map(|record| key_of(record.row)).collect();
    let stored = stored(dataset, &fields[..known], &key, &keys)?;
    let defaults: Vec<Value> = fields.iter().map(|name| default_of(dataset, name)).collect();
    let checks = Checks::of(dataset)?;
    let within = reach.of_new(Some(dataset), block).map(Arc::new);
    let mut cells: Vec<Vec<Value>> = vec![Vec::with_capacity(records.len()); fields.len()];
    let (mut wholes, mut refused) = (Vec::with_capacity(records.len()), Vec::new());
    for (record, key) in records.iter().zip(&keys) {
        let before = stored.get(key);
        let values: Vec<Value> = (0..fields.len())
            .map(|at| match (value(at, record.row), before) {
                (Value::Null, Some((_, values))) => values.get(at).cloned().unwrap_or(Value::Null),
                (Value::Null, None) => defaults[at].clone(),
                (given, _) => given,
            })
            .collect();
        let of = |wanted: &str| {
            let at = fields.iter().position(|name| **name == *wanted);
            at.and_then(|at| values.get(at)).cloned().unwrap_or(Value::Null)
        };
        let is_within = within.as_ref().map_or(Ok(true), |within| within.holds(&of))?;
        let outside = || within.as_ref().filter(|_| !is_within).map(|within| within.refusal());
        if let Some(message) = outside().or_else(|| missing(dataset, &of)).or_else(|| checks.refusal(&of)) {
            refused.push(ItemError { index: record.place, message });
            continue;
        }
        let version = record.version.unwrap_or_else(|| before.map_or(0, |(version, _)| *version));
        wholes.push(Record { version: Some(version), row: wholes.len(), ..*record });
        cells.iter_mut().zip(values).for_each(|(cells, value)| cells.push(value));
    }
    let mut rules = batch.rules.clone();
    rules.version = dataset.rules_version;
    rules.new_fields = fields[known..].to_vec();
    if dataset.time_field.is_some() {
        rules.time_field = None;
    }
    let columns = fields.into_iter().zip(cells.into_iter().map(|cells| Arc::new(column_of(cells)))).collect();
    let (dataset, is_atomic) = (Arc::clone(&dataset.name), options.is_atomic);
    let mode = Mode::Set;
    Ok((RecordBatch { dataset, rules, columns, records: wholes, mode, is_atomic, within }, refused))
}

fn default_of(dataset: &Dataset, name: &str) -> Value {
    let declared = dataset.declaration.fields.get(name);
    let default = declared.and_then(|field| stored_default(field.default.as_ref()?, field.kind));
    default.unwrap_or(Value::Null)
}

/// The field that is required and missing, as a refusal.
pub(super) fn missing(dataset: &Dataset, value: &dyn Fn(&str) -> Value) -> Option<String> {
    let required = dataset.declaration.fields.iter().filter(|(_, field)| field.required);
    let mut missing = required.filter(|(name, _)| value(name).is_null());
    missing.next().map(|(name, _)| format!("the field \"{name}\" is required"))
}

/// What is stored of the records with these keys, each found by the index of the key.
fn stored(
    dataset: &Dataset,
    fields: &[Arc<str>],
    key: &[usize],
    keys: &[Vec<Value>],
) -> Result<HashMap<Vec<Value>, Stored>> {
    let own = own_name(dataset);
    let list = fields.iter().map(|name| Ok(column(dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
    let is_it: Vec<String> = key
        .iter()
        .enumerate()
        .map(|(at, place)| format!("{own}.{} = ?{}", quoted(&fields[*place]), at + 1))
        .collect();
    let from = source(dataset, false);
    let sql =
        format!("SELECT {own}.{VERSION}, {} FROM {from} WHERE {}", list.join(", "), is_it.join(" AND "));
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), &Budget::new(&Limits::default()))?;
    let mut found = HashMap::with_capacity(keys.len());
    for key in keys {
        let (rows, _) = reader.rows(&sql, key)?;
        if let Some(row) = rows.into_iter().next() {
            let mut values = row.into_iter();
            if let Some(Value::Int(version)) = values.next() {
                found.insert(key.clone(), (version, values.collect()));
            }
        }
    }
    Ok(found)
}
