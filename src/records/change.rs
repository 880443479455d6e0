//! Records changed or deleted by a condition: they are read chunk by chunk in order of `_seq`, and each is written only if
//! it is still of the version that was read; those that are not are looked at again.

use std::sync::Arc;

use serde::Serialize;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::error::{Error, ItemError, Result};
use crate::fields::records::VERSION;
use crate::limits;
use crate::query::budget::{Budget, Limits};
use crate::query::filter::may_fail;
use crate::query::keyed::{page, reader};
use crate::query::parse;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::reach::Reach;
use crate::records::checks::Checks;
use crate::records::merge;
use crate::store::Store;
use crate::store::keyed::write::{DeleteBatch, Mode, PutOutcome, Record, RecordBatch};
use crate::store::snapshot::Dataset;
use crate::store::writer::DecodedUnder;
use crate::time::Calendar;
use crate::value::Value;

/// Rounds in which records that others keep changing are tried again.
const ROUNDS: usize = 8;

/// What became of records to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// How many are gone.
    pub deleted: u64,
}

/// What became of records to change.
#[derive(Debug, Default)]
pub struct Changed {
    /// Records for which the condition was true.
    pub matched: u64,
    /// Those that were changed.
    pub updated: u64,
    /// Those that were so already.
    pub unchanged: u64,
    /// The first that were refused, by their `_seq`.
    pub rejected: Vec<ItemError>,
    /// All of them.
    pub rejected_total: u64,
}

/// Deletes the records of a dataset for which a condition is true, a chunk a transaction; all of them in one, where they
/// are meant to be.
///
/// # Errors
/// A condition that is none, unknown names, and the store's.
pub fn delete(
    store: &Store,
    reach: &Reach,
    dataset: &str,
    condition: &str,
    is_atomic: bool,
) -> Result<Deletion> {
    let mut deleted = 0;
    let mut again: Option<Vec<i64>> = None;
    for _ in 0..ROUNDS {
        let mut matching =
            Matching::new((store, reach), dataset, condition, again.take(), &[VERSION.into()], is_atomic)?;
        let mut changed = Vec::new();
        while let Some(rows) = matching.next()? {
            let records = rows.iter().map(|row| (integer(row, 0), integer(row, 1))).collect();
            let (dataset, dataset_id) = (Arc::clone(&matching.dataset.name), matching.dataset.id);
            let batch = DeleteBatch { dataset, dataset_id, records, is_atomic };
            let done = store.delete(batch)?;
            deleted += done.deleted;
            changed.extend(done.changed);
        }
        if changed.is_empty() {
            return Ok(Deletion { deleted });
        }
        // of an atomic deletion nothing was done
        again = (!is_atomic).then_some(changed);
    }
    Err(busy(dataset))
}

/// Sets fields of the records for which a condition is true.
///
/// # Errors
/// As [`delete`], and a field of the key.
pub fn update(
    store: &Store,
    reach: &Reach,
    dataset: &str,
    condition: &str,
    sets: &[(Arc<str>, Value)],
    is_atomic: bool,
) -> Result<Changed> {
    if sets.is_empty() {
        return Err(Error::invalid(
            "nothing is to be set; send an object of fields, such as {\"severity\": \"high\"}",
        ));
    }
    let mut done = Changed::default();
    let mut again: Option<Vec<i64>> = None;
    for _ in 0..ROUNDS {
        let all = fields_of(store, reach, dataset, sets)?;
        let mut matching = Matching::new((store, reach), dataset, condition, again.take(), &all, is_atomic)?;
        let mut changed = Vec::new();
        while let Some(rows) = matching.next()? {
            let update = Update { found: &matching.dataset, fields: &all[2..], sets };
            let (batch, mut refused) = update.batch(&rows, is_atomic)?;
            let is_refused = is_atomic && !refused.is_empty();
            let matched = rows.len() as u64;
            if is_refused {
                done.rejected_total += refused.len() as u64;
                done.rejected.append(&mut refused);
                done.matched += matched;
                return Ok(done);
            }
            let put = match store.put(batch)? {
                PutOutcome::Done(put) => put,
                // the declaration is another by now: all of these are looked at again
                PutOutcome::Stale => {
                    changed.extend(rows.iter().map(|row| integer(row, 0)));
                    continue;
                }
            };
            let (late, wrong): (Vec<_>, Vec<_>) =
                put.rejected.into_iter().partition(|item| put.outdated.contains(&item.index));
            done.matched += matched - late.len() as u64;
            changed.extend(late.iter().map(|item| item.index as i64));
            done.updated += put.updated;
            done.unchanged += put.unchanged;
            done.rejected_total += (refused.len() + wrong.len()) as u64;
            done.rejected.append(&mut refused);
            done.rejected.extend(wrong);
            done.rejected.truncate(limits::REJECTIONS_LISTED);
        }
        if changed.is_empty() {
            return Ok(done);
        }
        if is_atomic {
            done = Changed::default();
        }
        again = (!is_atomic).then_some(changed);
    }
    Err(busy(dataset))
}

fn busy(dataset: &str) -> Error {
    Error::Busy {
        detail: format!("records of \"{dataset}\" that match keep changing; repeat the request"),
        retry_after_s: 1,
    }
}

/// `_version`, `_time`, then every field of a dataset with those that are to be set.
pub(super) fn fields_of(
    store: &Store,
    reach: &Reach,
    dataset: &str,
    sets: &[(Arc<str>, Value)],
) -> Result<Vec<Arc<str>>> {
    let found = reach.dataset(&store.snapshot(), dataset)?;
    found.keyed()?;
    if let Some((name, _)) =
        sets.iter().find(|(name, _)| found.declaration.key.iter().any(|key| **key == **name))
    {
        return Err(Error::invalid(format!(
            "\"{name}\" is in the key, by which a record is known; put the record under its new key and delete the old one"
        )));
    }
    if let Some((name, _)) = sets.iter().find(|(name, _)| name.starts_with('_')) {
        return Err(Error::invalid(format!("\"{name}\" is the engine's own and cannot be set")));
    }
    let fields = found.fields.iter().map(|(name, _)| Arc::clone(name)).filter(|name| **name != *VERSION);
    Ok([VERSION.into(), "_time".into()].into_iter().chain(fields).collect())
}

/// The records of a change, chunk by chunk.
struct Matching {
    dataset: Arc<Dataset>,
    sql: String,
    last: i64,
    only: Option<Vec<i64>>,
    most: usize,
    is_whole: bool,
}

impl Matching {
    fn new(
        (store, reach): (&Store, &Reach),
        dataset: &str,
        condition: &str,
        only: Option<Vec<i64>>,
        fields: &[Arc<str>],
        is_atomic: bool,
    ) -> Result<Self> {
        if condition.trim().is_empty() {
            return Err(Error::invalid(
                "a condition is needed, as in where=severity = 'low'; where=true means every record",
            ));
        }
        let dataset = reach.dataset(&store.snapshot(), dataset)?;
        dataset.keyed()?;
        let may_fail = may_fail(&parse::filter(condition)?);
        let own = own_name(&dataset);
        let known =
            fields.iter().filter(|name| dataset.fields.kinds(name).is_some() || name.starts_with('_'));
        let list = known.map(|name| Ok(column(&dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
        let sql = format!(
            "SELECT {own}._seq, {} FROM {} WHERE {} AND {own}._seq > ?1 AND (?2 IS NULL OR {own}._seq = ?2) \
             ORDER BY {own}._seq LIMIT ?3",
            list.join(", "),
            source(&dataset, may_fail),
            page::condition(condition, &dataset)?
        );
        let most = if is_atomic { limits::ATOMIC_RECORDS + 1 } else { limits::RECORD_CHUNK };
        Ok(Self { dataset, sql, last: i64::MIN, only, most, is_whole: is_atomic })
    }

    fn next(&mut self) -> Result<Option<Vec<Vec<Value>>>> {
        let reader =
            reader::open(self.dataset.keyed()?, &Calendar::default(), &Budget::new(&Limits::default()))?;
        let (rows, _) = match &mut self.only {
            None => {
                reader.rows(&self.sql, &[Value::Int(self.last), Value::Null, Value::Int(self.most as i64)])?
            }
            Some(only) => match only.pop() {
                None => return Ok(None),
                Some(seq) => {
                    reader.rows(&self.sql, &[Value::Int(i64::MIN), Value::Int(seq), Value::Int(1)])?
                }
            },
        };
        if self.is_whole && rows.len() > limits::ATOMIC_RECORDS {
            return Err(Error::TooLarge(format!(
                "the condition is true for more than {} records, which one transaction takes at most; narrow it, or leave \
                 atomic out",
                limits::ATOMIC_RECORDS
            )));
        }
        match rows.last() {
            Some(row) => self.last = integer(row, 0),
            None if self.only.as_ref().is_none_or(Vec::is_empty) => return Ok(None),
            None => {}
        }
        Ok(Some(rows))
    }
}

pub(super) fn integer(row: &[Value], at: usize) -> i64 {
    row.get(at).and_then(Value::as_int).unwrap_or_default()
}

/// A change of records that were read.
pub(super) struct Update<'a> {
    pub found: &'a Dataset,
    /// Those that were read, behind `_seq`, `_version` and `_time`.
    pub fields: &'a [Arc<str>],
    pub sets: &'a [(Arc<str>, Value)],
}

impl Update<'_> {
    /// The records as they are to be, and those that the checks refuse.
    pub fn batch(&self, rows: &[Vec<Value>], is_atomic: bool) -> Result<(RecordBatch, Vec<ItemError>)> {
        let set = |name: &str| self.sets.iter().find(|(field, _)| **field == *name).map(|(_, value)| value);
        let read = |row: &[Value], name: &str| {
            let at = self.fields.iter().position(|field| **field == *name);
            at.and_then(|at| row.get(at + 3)).cloned().unwrap_or(Value::Null)
        };
        let checks = Checks::of(self.found)?;
        let time_field = self.found.time_field.as_deref();
        let (mut records, mut refused, mut kept) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
        for row in rows {
            let of = |wanted: &str| set(wanted).cloned().unwrap_or_else(|| read(row, wanted));
            let seq = integer(row, 0);
            let is_within = self.found.within.as_ref().map_or(Ok(true), |within| within.holds(&of))?;
            let outside = || self.found.within.as_ref().filter(|_| !is_within).map(|within| within.refusal());
            let wrong = checks.refusal(&of).or_else(|| merge::missing(self.found, &of));
            if let Some(message) = outside().or(wrong) {
                refused.push(ItemError { index: seq.unsigned_abs(), message });
                continue;
            }
            let time_us = match time_field.and_then(set) {
                Some(Value::Time(us)) => Some(*us),
                _ => None,
            };
            records.push(Record {
                place: seq.unsigned_abs(),
                time_us: time_us.unwrap_or_default(),
                is_arrival: time_us.is_none(),
                version: Some(integer(row, 1)),
                row: records.len(),
            });
            kept.push(row);
        }
        // the key, by which the writer finds them, and what is set
        let of_key = self.found.declaration.key.iter().map(|name| {
            let cells = kept.iter().map(|row| read(row, name));
            (Arc::from(name.as_str()), Arc::new(column_of(cells)))
        });
        let set_to = self
            .sets
            .iter()
            .map(|(name, value)| (Arc::clone(name), Arc::new(column_of(kept.iter().map(|_| value.clone())))));
        let columns: Vec<(Arc<str>, Arc<Column>)> = of_key.chain(set_to).collect();
        let names = columns.iter().map(|(name, _)| name);
        let rules = DecodedUnder {
            version: self.found.rules_version,
            new_fields: names.filter(|name| self.found.fields.kinds(name).is_none()).cloned().collect(),
            ..DecodedUnder::default()
        };
        let dataset = Arc::clone(&self.found.name);
        let within = self.found.within.clone();
        let batch = RecordBatch { dataset, rules, columns, records, mode: Mode::Set, is_atomic, within };
        Ok((batch, refused))
    }
}
