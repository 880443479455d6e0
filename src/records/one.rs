//! One record by its key, as a path or a command names it: the parts of the key with commas between them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::query::budget::{Budget, Limits};
use crate::query::keyed::{page, reader};
use crate::query::page::canonical;
use crate::query::print::sqlite::keyed::{column, own_name, source};
use crate::query::reach::Reach;
use crate::query::scalar;
use crate::records::change::Deletion;
use crate::store::Store;
use crate::store::keyed::quoted;
use crate::store::keyed::write::DeleteBatch;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::Calendar;
use crate::value::{Value, float_text};

/// Times that a record which keeps changing is tried to be deleted.
const TRIES: usize = 8;

/// A record with these fields, or with all of them, lazy ones too.
///
/// # Errors
/// `NotFound`, and unknown fields.
pub fn get(
    snapshot: &Snapshot,
    dataset: &str,
    key: &str,
    fields: Option<&[String]>,
    limits: &Limits,
) -> Result<Vec<(Arc<str>, Value)>> {
    let dataset = &*limits.reach.dataset(snapshot, dataset)?;
    dataset.keyed()?;
    let names: Vec<Arc<str>> = match fields {
        Some(names) => canonical(names, dataset)?,
        None => ["_time", "_seq", "_id"]
            .into_iter()
            .map(Arc::from)
            .chain(dataset.fields.iter().map(|(name, _)| Arc::clone(name)))
            .collect(),
    };
    let values = read(dataset, key, &names, limits)?;
    Ok(page::named(&names, &values, fields.is_some()))
}

/// Deletes a record that is within reach.
///
/// # Errors
/// `NotFound`, and `Conflict` where it keeps changing.
pub fn delete(store: &Store, reach: &Reach, dataset: &str, key: &str) -> Result<Deletion> {
    for _ in 0..TRIES {
        let found = &*reach.dataset(&store.snapshot(), dataset)?;
        found.keyed()?;
        let names = ["_seq".into(), crate::fields::records::VERSION.into()];
        let values = read(found, key, &names, &Limits::default())?;
        let (Some(Value::Int(seq)), Some(Value::Int(version))) = (values.first(), values.get(1)) else {
            break;
        };
        let batch = DeleteBatch {
            dataset: Arc::clone(&found.name),
            dataset_id: found.id,
            records: vec![(*seq, *version)],
            is_atomic: false,
        };
        let done = store.delete(batch)?;
        if done.changed.is_empty() {
            return Ok(Deletion { deleted: done.deleted });
        }
    }
    Err(Error::Conflict(format!("the record {key} of \"{dataset}\" keeps changing; repeat the request")))
}

fn read(dataset: &Dataset, key: &str, names: &[Arc<str>], limits: &Limits) -> Result<Vec<Value>> {
    let parts = parts(dataset, key)?;
    let own = own_name(dataset);
    let list = names.iter().map(|name| Ok(column(dataset, &own, name)?.sql)).collect::<Result<Vec<_>>>()?;
    let is_it: Vec<String> = dataset
        .declaration
        .key
        .iter()
        .enumerate()
        .map(|(at, name)| format!("{own}.{} = ?{}", quoted(name), at + 1))
        .collect();
    let from = source(dataset, false);
    let sql = format!("SELECT {} FROM {from} WHERE {}", list.join(", "), is_it.join(" AND "));
    let reader = reader::open(dataset.keyed()?, &Calendar::default(), &Budget::new(limits))?;
    // a part that has no declared type may be a number or a text that looks like one
    for values in parts {
        let (rows, _) = reader.rows(&sql, &values)?;
        if let Some(row) = rows.into_iter().next() {
            return Ok(row);
        }
    }
    Err(Error::NotFound(format!("\"{}\" has no record with the key {key}", dataset.name)))
}

/// What the text of a key may mean, the likeliest first.
fn parts(dataset: &Dataset, key: &str) -> Result<Vec<Vec<Value>>> {
    let names = &dataset.declaration.key;
    let texts: Vec<&str> = match names.len() {
        1 => vec![key],
        several => key.splitn(several, ',').collect(),
    };
    if texts.len() != names.len() {
        return Err(Error::invalid(format!(
            "the key of \"{}\" has the parts {}; write them with commas between them",
            dataset.name,
            names.join(", ")
        )));
    }
    let declared = |name: &String| dataset.declaration.fields.get(name).and_then(|field| field.kind);
    let mut all = vec![Vec::new()];
    for (name, text) in names.iter().zip(texts) {
        let as_text = Value::text(text);
        let meant = match declared(name) {
            Some(FieldType::String) => vec![as_text],
            Some(kind) => match scalar::cast(&as_text, kind) {
                Value::Null => {
                    return Err(Error::invalid(format!("\"{text}\" is no {kind}, of which \"{name}\" is")));
                }
                value => vec![value],
            },
            None => {
                let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text).map(Value::Int);
                let fraction = text.parse::<f64>().ok().filter(|n| n.is_finite() && float_text(*n) == text);
                std::iter::once(as_text).chain(number).chain(fraction.map(Value::Float)).collect()
            }
        };
        all = all
            .into_iter()
            .flat_map(|begin: Vec<Value>| {
                meant.iter().map(move |value| begin.iter().cloned().chain([value.clone()]).collect())
            })
            .collect();
    }
    Ok(all)
}
