//! The one way in: decode under the rules of the moment, find the time field of a new dataset, commit, and do it
//! again where the rules changed meanwhile.

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::error::{Error, ItemError, Result};
use crate::fields::is_system;
use crate::ingest::destination::Destination;
use crate::ingest::rows::{Decoded, Rows};
use crate::ingest::rules::Rules;
use crate::ingest::split::{self, Shape};
use crate::ingest::{json, within};
use crate::limits;
use crate::store::catalog::ImportMark;
use crate::store::replies::Once;
use crate::store::seen;
use crate::store::writer::{Batch, DecodedUnder};
use crate::time::{self, TimeName};
use crate::value::Value;

/// Values looked at to tell whether a field holds times.
pub(super) const TIME_SAMPLE: usize = 1_000;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Accepted {
    /// Rows committed.
    pub accepted: u64,
    /// Rows whose id was there already, in datasets that declare `dedupe`.
    pub duplicates: u64,
    /// The first rows that were rejected.
    pub rejected: Vec<ItemError>,
    /// All of them.
    pub rejected_total: u64,
    /// The time field, where this batch found it.
    pub time_field: Option<Arc<str>>,
}

/// Decodes and commits a batch: acknowledged when this returns. `decode` may be called several times.
///
/// # Errors
/// A dataset name that is none, whatever `decode` says of the batch as a whole, and the store's.
pub fn accept(destination: &dyn Destination, decode: impl Fn(&Rules) -> Result<Decoded>) -> Result<Accepted> {
    accept_once(destination, None, decode)
}

/// The reply that is committed with rows, made of what becomes of them.
pub type MakesOnce<'a> = Option<&'a dyn Fn(&Accepted) -> Once>;

/// As [`accept`]; `once` makes the reply that is kept with the rows, for who sends the same again.
///
/// # Errors
/// As [`accept`].
pub fn accept_once(
    destination: &dyn Destination,
    once: MakesOnce<'_>,
    decode: impl Fn(&Rules) -> Result<Decoded>,
) -> Result<Accepted> {
    commit(destination, (None, once), || Ok(false), decode)
}

/// As [`accept`], for batches that are decoded side by side and committed in an order: `turn` is called between the
/// two, returns when it is this batch's turn, and says whether others may have gone since it was decoded. `import`
/// is committed with the rows.
///
/// # Errors
/// As [`accept`], and those of `turn`.
pub fn accept_in_turn(
    destination: &dyn Destination,
    import: Option<ImportMark>,
    turn: impl FnMut() -> Result<bool>,
    decode: impl Fn(&Rules) -> Result<Decoded>,
) -> Result<Accepted> {
    commit(destination, (import, None), turn, decode)
}

fn commit(
    destination: &dyn Destination,
    (import, once): (Option<ImportMark>, MakesOnce<'_>),
    mut turn: impl FnMut() -> Result<bool>,
    decode: impl Fn(&Rules) -> Result<Decoded>,
) -> Result<Accepted> {
    destination.check_name(&destination.rules().dataset)?;
    destination.reach().check(&destination.rules().dataset)?;
    for _ in 0..limits::STALE_RETRIES {
        let is_bound = destination.reach().filter().is_some();
        let rules = Rules { tells_places: is_bound, ..destination.rules() };
        let (rules, decoded, time_field) = decode_with_time(rules, &decode)?;
        if turn()? && brings_news_late(&destination.rules(), &rules, &decoded) {
            continue;
        }
        let decoded = match rules.declaration.is_records() {
            true => decoded,
            false => within::reject_outside(destination.reach(), &rules, decoded)?,
        };
        let Decoded { block, names, rejected, rejected_total, places } = decoded;
        // it may have been found in rows alone that are not taken
        let time_field = time_field.filter(|field| names.contains(field));
        let mut accepted =
            Accepted { accepted: block.rows() as u64, duplicates: 0, rejected, rejected_total, time_field };
        if block.rows() == 0 {
            accepted.time_field = None;
            return Ok(accepted);
        }
        let new_fields = names.into_iter().filter(|name| rules.known.kinds(name).is_none()).collect();
        let under = DecodedUnder {
            version: rules.version,
            time_field: accepted.time_field.clone(),
            new_fields,
            import: import.clone(),
            once: once.map(|make| make(&accepted)),
            ids: seen::id_hashes(&block, &rules.declaration),
            places,
        };
        let batch = Batch { dataset: Arc::clone(&rules.dataset), block, rules: under };
        if let Some(taken) = destination.append(batch)? {
            let refused = taken.rejected.len() as u64;
            accepted.accepted = accepted.accepted.saturating_sub(taken.duplicates + refused);
            accepted.duplicates = taken.duplicates;
            accepted.rejected.extend(taken.rejected);
            accepted.rejected.sort_by_key(|item| item.index);
            accepted.rejected.truncate(limits::REJECTIONS_LISTED);
            accepted.rejected_total += refused;
            return Ok(accepted);
        }
    }
    Err(Error::Busy {
        detail: format!(
            "the declaration of \"{}\" keeps changing; repeat the request later",
            destination.rules().dataset
        ),
        retry_after_s: 1,
    })
}

/// Whether a batch has fields that its rules did not know, while the dataset has learned fields since: whether one
/// of them is the time field, or one too many, can only be told anew.
fn brings_news_late(current: &Rules, rules: &Rules, decoded: &Decoded) -> bool {
    let is_news = |name: &Arc<str>| !is_system(name) && rules.known.kinds(name).is_none();
    current.known.len() != rules.known.len() && decoded.names.iter().any(is_news)
}

fn decode_with_time(
    mut rules: Rules,
    decode: &impl Fn(&Rules) -> Result<Decoded>,
) -> Result<(Rules, Decoded, Option<Arc<str>>)> {
    let decoded = decode(&rules)?;
    if rules.time_field.is_some() {
        return Ok((rules, decoded, None));
    }
    match find_time_field(&decoded, &rules) {
        None => Ok((rules, decoded, None)),
        Some(field) => {
            rules.time_field = Some(Arc::clone(&field));
            let decoded = decode(&rules)?;
            Ok((rules, decoded, Some(field)))
        }
    }
}

/// The contract's rule: the first field whose name says so and whose values are times, an exact name before a word.
/// It is a time field from its first appearance or never, so a field that the dataset has already is none.
fn find_time_field(decoded: &Decoded, rules: &Rules) -> Option<Arc<str>> {
    let candidates = |wanted: TimeName| {
        decoded.names.iter().filter(move |name| {
            !is_system(name) && rules.known.kinds(name).is_none() && time::time_name(name) == Some(wanted)
        })
    };
    candidates(TimeName::Exact)
        .chain(candidates(TimeName::Word))
        .find(|name| decoded.block.column(name).is_some_and(|column| holds_times(column)))
        .cloned()
}

/// Whether more than half of the values are plausible times. Not all: a row whose time cannot be read is rejected,
/// which needs the field to be taken for what it is.
fn holds_times(column: &Column) -> bool {
    if matches!(column.data, Data::Bool(_) | Data::Json(_) | Data::List { .. }) {
        return false;
    }
    let values =
        (0..column.rows).map(|row| column.get(row)).filter(|value| !value.is_null()).take(TIME_SAMPLE);
    let (mut plausible, mut all) = (0, 0);
    for value in values {
        all += 1;
        plausible += usize::from(match value {
            Value::Int(n) => time::from_integer(n).is_some(),
            Value::Float(n) => time::from_number(n).is_some(),
            Value::Text(text) => time::parse(&text).is_some(),
            Value::Time(_) => true,
            _ => false,
        });
    }
    plausible * 2 > all
}

/// Decodes a whole body of JSON: an object, an array or NDJSON. Items count from 0.
///
/// # Errors
/// UTF-16, and an array that does not end.
pub fn decode_json(body: &[u8], rules: &Rules) -> Result<Decoded> {
    let body = split::utf8_start(body)?;
    let mut rows = Rows::new(rules);
    match split::shape(body) {
        Shape::Empty => {}
        Shape::Object => json::record(body, 0, &mut rows),
        Shape::Array => {
            for (index, item) in split::array_items(body)?.into_iter().enumerate() {
                json::record(item, index as u64, &mut rows);
            }
        }
        Shape::Lines => {
            for (index, (_, line)) in split::lines(body).enumerate() {
                json::record(line, index as u64, &mut rows);
            }
        }
    }
    Ok(rows.finish())
}
