//! What a dataset is for the one who asks: all of it, or how many of its rows are within reach and when they were. HTTP, the
//! page and the library ask it, and ranking by words counts rows so.

use crate::columnar::TIME;
use crate::error::Result;
use crate::query::budget::{Budget, Limits};
use crate::query::filter::Filter;
use crate::query::keyed::reader;
use crate::query::print::sqlite::keyed::source;
use crate::store::Store;
use crate::store::describe::Description;
use crate::store::part::{Zone, Zones};
use crate::store::snapshot::Dataset;
use crate::time::Calendar;
use crate::value::Value;

/// Describes a dataset; of one with a row filter what is within reach.
///
/// # Errors
/// A file that cannot be read, and more than the limits allow.
pub fn describe(store: &Store, dataset: &Dataset, limits: &Limits) -> Result<Description> {
    Ok(match dataset.within {
        None => Description::of(dataset, store.stored_bytes(dataset.id)?),
        Some(_) => Description::of_part(dataset, extent(dataset, limits)?),
    })
}

/// Number of rows within reach, and their earliest and latest `_time`, as far as the dataset tells one.
///
/// # Errors
/// Columns that are damaged or cannot be read, and more than the limits allow.
pub fn extent(dataset: &Dataset, limits: &Limits) -> Result<(u64, Option<(i64, i64)>)> {
    if dataset.within.is_none() {
        return Ok((dataset.rows(), dataset.time_range()));
    }
    if let Some(keyed) = &dataset.keyed {
        let reader = reader::open(keyed, &Calendar::default(), &Budget::new(limits))?;
        let (rows, _) = reader.rows(&format!("SELECT count(*) FROM {}", source(dataset, false)), &[])?;
        let count = rows.first().and_then(|row| row.first()).and_then(Value::as_int).unwrap_or_default();
        return Ok((count.unsigned_abs(), None));
    }
    let (mut rows, mut range): (u64, Option<(i64, i64)>) = (0, None);
    for part in Filter::new(None).parts(dataset)? {
        rows += part.rows() as u64;
        if let Zone::Times { min, max, .. } = part.zone(TIME)? {
            range = Some(range.map_or((min, max), |(from, to)| (from.min(min), to.max(max))));
        }
    }
    Ok((rows, range))
}
