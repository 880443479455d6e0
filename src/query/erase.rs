//! Erases the events that a condition is true for, sealed or not: `DELETE …/events?where=` and `windrow erase`.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rayon::prelude::*;

use crate::columnar::bitmap::Bitmap;
use crate::error::{Error, Result};
use crate::fields::check_is_no_own;
use crate::query::filter::{Filter, scattered};
use crate::query::functions::Context;
use crate::query::prune::Verdict;
use crate::query::reach::Reach;
use crate::query::{parse, plan};
use crate::store::Store;
use crate::store::part::Source;
use crate::store::rewrite::Fate;
use crate::store::segment::Segment;
use crate::store::snapshot::Dataset;

/// Erases the events of a dataset that are within reach, were there when it began and that the condition, a SQL expression, is true for;
/// the result is their number. Each segment is changed in a transaction of its own: an erasure that is cut off has
/// erased some of them, and is asked for again. Their pages are free then, and `optimize` takes them from the file.
///
/// # Errors
/// An unknown dataset or field, a condition that is none, damaged events that the condition has to be asked of, and a file
/// that cannot be written.
pub fn erase(store: &Store, reach: &Reach, dataset: &str, condition: &str) -> Result<u64> {
    if condition.trim().is_empty() {
        return Err(Error::invalid(
            "erasing takes a condition, as in where=user_id = 7; where=true erases every event, and dropping the dataset all of it",
        ));
    }
    check_is_no_own(dataset)?;
    let found = reach.dataset(&store.snapshot(), dataset)?;
    if found.keyed.is_some() {
        return Err(Error::Conflict(format!(
            "the dataset \"{dataset}\" holds records: delete them by DELETE /v1/datasets/{dataset}/records?where="
        )));
    }
    let id = found.id;
    let condition = plan::condition(parse::filter(condition)?, &found)?;
    let filter = Filter::new(Some(&condition));
    // nothing of what is to go shall be held on to
    let dataset = Dataset { segments: Vec::new(), tail: Vec::new(), ..Dataset::clone(&found) };
    drop(found);
    store.upkeep().rewrite(id, |segment| fate(&filter, &dataset, segment))
}

fn fate(filter: &Filter<'_>, dataset: &Dataset, segment: &Arc<Segment>) -> Result<Fate> {
    let source = Source::Segment(Arc::clone(segment));
    match filter.first_verdict(dataset, &source)? {
        Verdict::Never => return Ok(Fate::Stay),
        // also of a segment that cannot be read
        Verdict::Always => return Ok(Fate::Go),
        Verdict::Maybe => {}
    }
    let kept: Vec<Bitmap> = source
        .runs()
        .into_par_iter()
        .map(|run| {
            let part = dataset.part(run)?;
            let all = part.stored().rows();
            if filter.first_verdict(dataset, &part)? == Verdict::Never {
                return Ok(Bitmap::filled(all, true));
            }
            let mut bits = filter.rows(dataset, &part, &Context::new(TimeZone::UTC))?;
            if let Some(places) = part.places() {
                bits = scattered(&bits, &places, all);
            }
            bits.invert();
            Ok(bits)
        })
        .collect::<Result<_>>()?;
    let mut all = Bitmap::default();
    kept.iter().for_each(|bits| all.extend(bits));
    Ok(Fate::of(all))
}
