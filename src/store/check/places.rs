//! An event is in one place: the sequence numbers of log rows and segments do not meet, and all are below the next one.

use crate::error::Result;
use crate::store::check::sealed;
use crate::store::check::{Damage, Dataset, File, Report};

/// Where some events of a dataset are.
pub(super) struct Place {
    pub(super) segment: Option<i64>,
    pub(super) log_row: Option<i64>,
    /// `_seq` lies from here,
    pub(super) first: i64,
    /// to here, both included.
    pub(super) last: i64,
    pub(super) seqs: Seqs,
}

/// Which of the numbers in the span are there.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Seqs {
    /// Every one.
    All,
    /// Those of the segment's column.
    Stored,
    /// That cannot be told: it is damaged.
    Unknown,
}

pub(super) fn check(file: &File<'_>, dataset: &Dataset, mut places: Vec<Place>, report: &mut Report) {
    for place in &places {
        if place.last >= dataset.next_seq {
            let what = format!("its numbers reach beyond the next one of the dataset, {}", dataset.next_seq);
            report.add(place.damage(dataset, what));
        }
    }
    places.sort_by_key(|place| (place.first, place.last));
    // spans may meet, as where an import came while events were in the log; numbers may not
    let mut open: Vec<&Place> = Vec::new();
    for later in &places {
        open.retain(|earlier| earlier.last >= later.first);
        for earlier in &open {
            if let Some((first, count)) = shared(file, earlier, later).unwrap_or(None) {
                let what =
                    format!("{count} of its events are in {} too, the first is {first}", earlier.name());
                report.add(later.damage(dataset, what));
            }
        }
        open.push(later);
    }
}

impl Place {
    fn damage(&self, dataset: &Dataset, what: String) -> Damage {
        Damage {
            segment: self.segment,
            log_row: self.log_row,
            events: Some((self.first, self.last)),
            ..Damage::of_dataset(&dataset.name, what)
        }
    }

    fn name(&self) -> String {
        match (self.segment, self.log_row) {
            (Some(id), _) => format!("segment {id}"),
            (_, id) => format!("log row {}", id.unwrap_or(0)),
        }
    }

    /// The numbers that its column holds, sorted.
    fn stored(&self, file: &File<'_>) -> Result<Option<Vec<i64>>> {
        let (Seqs::Stored, Some(id)) = (self.seqs, self.segment) else { return Ok(None) };
        let mut numbers = sealed::seqs(file, id, self.first)?;
        numbers.sort_unstable();
        Ok(Some(numbers))
    }
}

/// The first number that is in both, and how many are.
fn shared(file: &File<'_>, a: &Place, b: &Place) -> Result<Option<(i64, usize)>> {
    let (low, high) = (a.first.max(b.first), a.last.min(b.last));
    let common: Vec<i64> = match (a.seqs, b.seqs) {
        (Seqs::Unknown, _) | (_, Seqs::Unknown) => Vec::new(),
        (Seqs::All, Seqs::All) => {
            let count = usize::try_from(high.saturating_sub(low).saturating_add(1)).unwrap_or(0);
            return Ok((count > 0).then_some((low, count)));
        }
        (Seqs::Stored, Seqs::Stored) => {
            let (a, b) = (a.stored(file)?.unwrap_or_default(), b.stored(file)?.unwrap_or_default());
            b.into_iter().filter(|number| a.binary_search(number).is_ok()).collect()
        }
        (one, _) => {
            let stored = if one == Seqs::Stored { a } else { b };
            let numbers = stored.stored(file)?.unwrap_or_default();
            numbers.into_iter().filter(|number| (low..=high).contains(number)).collect()
        }
    };
    Ok(common.first().map(|first| (*first, common.len())))
}
