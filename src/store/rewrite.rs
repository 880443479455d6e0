//! Takes rows out of sealed events: whole segments go as they are, of others a segment of the rows that stay takes
//! their place. Retention decides by time, erasing by a condition (`query/erase`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::columnar::TIME;
use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::Data;
use crate::error::Result;
use crate::store::compose::{NewSegment, Origin, compose};
use crate::store::segment::Segment;
use crate::store::snapshot::Dataset;
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
    /// Those of `fate`, a damaged segment of which some rows are to stay, a file that cannot be written.
    pub fn rewrite(&self, dataset_id: i64, fate: impl Fn(&Arc<Segment>) -> Result<Fate>) -> Result<u64> {
        let _work = self.work();
        self.seal(dataset_id)?;
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(0) };
        self.rewrite_segments(&dataset, fate)
    }

    fn rewrite_segments(
        &self,
        dataset: &Dataset,
        fate: impl Fn(&Arc<Segment>) -> Result<Fate>,
    ) -> Result<u64> {
        let mut rows_gone = 0;
        for segment in &dataset.segments {
            let rows = segment.rows() as u64;
            let new: Vec<NewSegment> = match fate(segment)? {
                Fate::Stay => continue,
                Fate::Go => Vec::new(),
                Fate::Keep(kept) => {
                    compose(&[Origin::Segment(Arc::clone(segment), Some(kept))])?.into_iter().collect()
                }
            };
            let kept: u64 = new.iter().map(|new| new.encoded.head.rows as u64).sum();
            let swap = Swap {
                dataset_id: dataset.id,
                log_before: None,
                out: vec![segment.id],
                new,
                rows_gone: rows - kept,
            };
            if !self.swap(swap)? {
                // the dataset was dropped meanwhile
                return Ok(rows_gone);
            }
            rows_gone += rows - kept;
        }
        Ok(rows_gone)
    }

    /// Lets the events go that are older than their dataset keeps them, where that is due.
    pub(super) fn expire(&self, dataset_id: i64, work: &mut Work) -> Result<()> {
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(()) };
        let Some(kept_us) = dataset.declaration.retention_us() else { return Ok(()) };
        let is_done = |(kept, at): &(i64, Instant)| *kept == kept_us && at.elapsed() < RETENTION_EVERY;
        if work.expired.get(&dataset_id).is_some_and(is_done) {
            return Ok(());
        }
        let oldest_us = time::now().saturating_sub(kept_us);
        if dataset.tail.iter().any(|block| block.block.time_range().0 < oldest_us) {
            self.seal(dataset_id)?;
        }
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(()) };
        let rows_gone = self.rewrite_segments(&dataset, |segment| fate_by_time(segment, oldest_us))?;
        work.expired.insert(dataset_id, (kept_us, Instant::now()));
        match rows_gone {
            0 => debug!("no event of {:?} is before {}", dataset.name, time::format(oldest_us)),
            _ => info!(
                "{rows_gone} events of {:?} were before {} and went",
                dataset.name,
                time::format(oldest_us)
            ),
        }
        Ok(())
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
