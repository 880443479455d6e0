//! The records for which a condition is true, batch by batch, for who writes each batch together with the place where it ends. They come
//! in the order of `_seq`, which a record keeps however often it is changed, up to the last one that was there at the beginning:
//! none is met twice, and none that was there and matches when its turn comes is left out.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::budget::{Budget, Limits};
use crate::query::filter::may_fail;
use crate::query::keyed::{page, reader};
use crate::query::parse;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::reach::Reach;
use crate::records::change::{Update, fields_of, integer};
use crate::store::Store;
use crate::store::keyed::write::{DeleteBatch, RecordBatch};
use crate::store::snapshot::Dataset;
use crate::time::Calendar;
use crate::value::Value;

/// Fields of a row before those of the dataset: `_seq`, `_version`, `_time`.
const OWN: usize = 3;

/// What is walked through.
#[derive(Debug)]
pub struct Walk<'w> {
    /// Where it is.
    pub store: &'w Store,
    /// The dataset.
    pub dataset: &'w str,
    /// A SQL expression.
    pub condition: &'w str,
    /// What each of its questions may take.
    pub limits: &'w Limits,
}

/// What was there at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The dataset; one of the same name made later is another.
    pub dataset_id: i64,
    /// The `_seq` of the last record that matches.
    pub last: i64,
    /// How many match.
    pub matching: u64,
}

/// Some records that match.
#[derive(Debug)]
pub struct Batch {
    dataset: Arc<Dataset>,
    /// Behind `_seq`.
    fields: Vec<Arc<str>>,
    rows: Vec<Vec<Value>>,
}

impl Walk<'_> {
    fn found(&self) -> Result<Arc<Dataset>> {
        let found = Reach::everything().dataset(&self.store.snapshot(), self.dataset)?;
        if found.keyed.is_none() {
            return Err(Error::Conflict(format!(
                "the dataset \"{}\" holds events, which are not changed; a job of the kind erase takes some of them away",
                self.dataset
            )));
        }
        Ok(found)
    }

    /// What there is to walk through.
    ///
    /// # Errors
    /// A dataset that is none of records, a condition that is none, unknown names, and the store's.
    pub fn extent(&self) -> Result<Extent> {
        let dataset = self.found()?;
        let own = own_name(&dataset);
        let count = self.read(&dataset, &format!("SELECT count(*) {}", self.rest(&dataset)?), &[])?;
        let sql = format!("SELECT {own}._seq {} ORDER BY {own}._seq DESC LIMIT 1", self.rest(&dataset)?);
        let last = self.read(&dataset, &sql, &[])?;
        Ok(Extent {
            dataset_id: dataset.id,
            last: last.first().map_or(i64::MIN, |row| integer(row, 0)),
            matching: count.first().map_or(0, |row| integer(row, 0).unsigned_abs()),
        })
    }

    /// FROM and WHERE.
    fn rest(&self, dataset: &Dataset) -> Result<String> {
        let may_fail = may_fail(&parse::filter(self.condition)?);
        Ok(format!("FROM {} WHERE {}", source(dataset, may_fail), page::condition(self.condition, dataset)?))
    }

    /// The next records behind one, up to another, as they are now.
    ///
    /// # Errors
    /// As [`Walk::extent`].
    pub fn next(&self, after: i64, last: i64, most: usize) -> Result<Batch> {
        let dataset = self.found()?;
        let own = own_name(&dataset);
        let fields: Vec<Arc<str>> = fields_of(self.store, &Reach::everything(), self.dataset, &[])?;
        let known: Vec<Arc<str>> = fields
            .into_iter()
            .filter(|name| dataset.fields.kinds(name).is_some() || name.starts_with('_'))
            .collect();
        let list =
            known.iter().map(|name| Ok(column(&dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
        let sql = format!(
            "SELECT {own}._seq, {} {} AND {own}._seq > ?1 AND {own}._seq <= ?2 ORDER BY {own}._seq LIMIT ?3",
            list.join(", "),
            self.rest(&dataset)?
        );
        let rows =
            self.read(&dataset, &sql, &[Value::Int(after), Value::Int(last), Value::Int(most as i64)])?;
        Ok(Batch { dataset, fields: known, rows })
    }

    fn read(&self, dataset: &Dataset, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>> {
        let reader = reader::open(dataset.keyed()?, &Calendar::default(), &Budget::new(self.limits))?;
        Ok(reader.rows(sql, parameters)?.0)
    }
}

impl Batch {
    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its dataset.
    pub fn dataset_id(&self) -> i64 {
        self.dataset.id
    }

    /// The `_seq` of the last one.
    pub fn last(&self) -> Option<i64> {
        self.rows.last().map(|row| integer(row, 0))
    }

    /// The same without those that are so already, as records with other values, each of the version that was read, all or none.
    ///
    /// # Errors
    /// Fields that cannot be set, and a record that the rules of the dataset refuse.
    pub fn setting(&self, store: &Store, sets: &[(Arc<str>, Value)]) -> Result<RecordBatch> {
        // what cannot be set is refused there
        fields_of(store, &Reach::everything(), &self.dataset.name, sets)?;
        let fields = self.fields.get(OWN - 1..).unwrap_or_default();
        let is_so = |row: &[Value]| {
            sets.iter().all(|(name, value)| {
                let at = fields.iter().position(|field| *field == *name);
                at.and_then(|at| row.get(at + OWN)).unwrap_or(&Value::Null) == value
            })
        };
        let rows: Vec<Vec<Value>> = self.rows.iter().filter(|row| !is_so(row)).cloned().collect();
        let (batch, refused) = Update { found: &self.dataset, fields, sets }.batch(&rows, true)?;
        match refused.first() {
            None => Ok(batch),
            Some(item) => Err(Error::invalid(format!(
                "the record with the _seq {} of \"{}\" cannot be changed so: {}",
                item.index, self.dataset.name, item.message
            ))),
        }
    }

    /// The records to be deleted, each if it is of the version that was read, all or none.
    pub fn deleting(&self) -> DeleteBatch {
        let records = self.rows.iter().map(|row| (integer(row, 0), integer(row, 1))).collect();
        DeleteBatch {
            dataset: Arc::clone(&self.dataset.name),
            dataset_id: self.dataset.id,
            records,
            is_atomic: true,
        }
    }

    /// Each record by the names of its fields, with `_seq` and `_version`, without those that have no value.
    pub fn records(&self) -> Vec<Vec<(Arc<str>, Value)>> {
        let names: Vec<Arc<str>> =
            std::iter::once("_seq".into()).chain(self.fields.iter().cloned()).collect();
        self.rows.iter().map(|row| page::named(&names, row, false)).collect()
    }
}
