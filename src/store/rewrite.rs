//! Takes rows out of sealed events: whole segments go as they are, of others a segment of the rows that stay takes
//! their place. Retention decides by time, erasing by a condition (`query/erase`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::columnar::TIME;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::Data;
use crate::error::{Error, Result};
use crate::store::compose::{NewSegment, Origin, compose};
use crate::store::segment::Segment;
use crate::store::swap::Swap;
use crate::store::upkeep::{Upkeep, Work};
use crate::time;

/// How often a dataset is looked through for events that are too old. A segment that holds some is written anew each
/// time, so it is not done for every second that passes.
const RETENTION_EVERY: Duration = Duration::from_secs(3_600);

/// What becomes of a segment.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// It stays as it is.
    Stay,
    /// All of its rows go.
    Go,
    /// These rows stay.
    Keep(Bitmap),
}

impl Fate {
    /// The fate of a segment of which these rows stay.
    pub fn of(kept: Bitmap) -> Self {
        match kept.count_ones() {
            0 => Self::Go,
            count if count == kept.len() => Self::Stay,
            _ => Self::Keep(kept),
        }
    }
}

impl Upkeep {
    /// Seals the tail of a dataset, then takes rows out of its segments; each segment is a transaction of its own, and
    /// what is done stays done. The result is the number of rows that went.
    ///
    /// # Errors
    /// Those of `fate`, a file that cannot be written; once all others are done, a damaged segment of which some rows are to
    /// stay.
    pub fn rewrite(&self, dataset_id: i64, fate: impl Fn(&Arc<Segment>) -> Result<Fate>) -> Result<u64> {
        let mut work = self.work();
        self.seal_tail(dataset_id)?;
        let (rows_gone, damage) = self.rewrite_segments(dataset_id, fate, &mut work)?;
        damage.map_or(Ok(rows_gone), Err)
    }

    /// Gives the number of rows that went, and the first segment that is damaged: what is in the others goes all the same.
    fn rewrite_segments(
        &self,
        dataset_id: i64,
        fate: impl Fn(&Arc<Segment>) -> Result<Fate>,
        work: &mut Work,
    ) -> Result<(u64, Option<Error>)> {
        let (mut rows_gone, mut damage) = (0, None);
        // each is let go of when it is done: a segment that went takes its space until nobody holds it
        let segments = self.dataset(dataset_id).map(|dataset| dataset.segments.clone()).unwrap_or_default();
        for segment in segments {
            let done = fate(&segment).and_then(|fate| self.rewrite_segment(dataset_id, &segment, fate));
            drop(segment);
            match done {
                Ok(Some(rows)) => rows_gone += rows,
                // the dataset was dropped meanwhile
                Ok(None) => break,
                Err(e @ Error::Corrupt(_)) => _ = damage.get_or_insert(e),
                Err(e) => return Err(e),
            }
            self.seal_full_tails(work);
        }
        Ok((rows_gone, damage))
    }

    /// Takes rows out of one segment; gives their number, `None` where the segment is not there any more.
    fn rewrite_segment(&self, dataset_id: i64, segment: &Arc<Segment>, fate: Fate) -> Result<Option<u64>> {
        let rows = segment.rows() as u64;
        let new: Vec<NewSegment> = match fate {
            Fate::Stay => return Ok(Some(0)),
            Fate::Go => Vec::new(),
            Fate::Keep(kept) => {
                compose(&[Origin::Segment(Arc::clone(segment), Some(kept))])?.into_iter().collect()
            }
        };
        let kept: u64 = new.iter().map(|new| new.encoded.head.rows as u64).sum();
        let rows_gone = rows - kept;
        let swap = Swap { dataset_id, log_before: None, out: vec![segment.id], new, rows_gone };
        Ok(self.swap(swap)?.then_some(rows_gone))
    }

    /// For how long, in µs, a dataset keeps its events, where it is time to look for older ones.
    pub(super) fn expires(&self, dataset_id: i64, work: &Work) -> Option<i64> {
        let kept_us = self.dataset(dataset_id)?.declaration.retention_us()?;
        let is_done = |(kept, at): &(i64, Instant)| *kept == kept_us && at.elapsed() < RETENTION_EVERY;
        (!work.expired.get(&dataset_id).is_some_and(is_done)).then_some(kept_us)
    }

    /// Lets the events go that are older than their dataset keeps them, where that is due; gives their number.
    pub(super) fn expire(&self, dataset_id: i64, work: &mut Work) -> Result<u64> {
        let Some(kept_us) = self.expires(dataset_id, work) else { return Ok(0) };
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(0) };
        let oldest_us = time::now().saturating_sub(kept_us);
        if dataset.tail.iter().any(|block| block.block.time_range().0 < oldest_us) {
            self.seal_tail(dataset_id)?;
        }
        let name = Arc::clone(&dataset.name);
        drop(dataset);
        let (rows_gone, damage) =
            self.rewrite_segments(dataset_id, |segment| fate_by_time(segment, oldest_us), work)?;
        work.expired.insert(dataset_id, (kept_us, Instant::now()));
        if let Some(damage) = damage {
            warn!(
                "old events of {name:?} stay beside damaged ones until all of their segment are too old: {damage}"
            );
        }
        match rows_gone {
            0 => debug!("no event of {name:?} is before {}", time::format(oldest_us)),
            _ => info!("{rows_gone} events of {name:?} were before {} and went", time::format(oldest_us)),
        }
        Ok(rows_gone)
    }
}

fn fate_by_time(segment: &Arc<Segment>, oldest_us: i64) -> Result<Fate> {
    let (first, last) = segment.times;
    if first >= oldest_us || segment.damage.is_some() && last >= oldest_us {
        return Ok(Fate::Stay);
    }
    if last < oldest_us {
        return Ok(Fate::Go);
    }
    let mut kept = Bitmap::default();
    for block in segment.whole_column(TIME)?.unwrap_or_default() {
        if let Data::Time(times) = &block.data {
            times.to_vec().into_iter().for_each(|time| kept.push(time >= oldest_us));
        }
    }
    Ok(Fate::of(kept))
}
