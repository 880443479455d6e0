//! What keeps the store in shape while nobody waits: full tails are sealed, small segments merged, free pages given
//! back. A thread of its own sees to it, woken by the writer, and has others do it where there are some (`store/task`); imports,
//! erasing and `optimize` ask for it at once. Rows are read and encoded here, the writer only swaps.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::{debug, warn};

use crate::error::{Error, Result};
use crate::limits;
use crate::store::compose::{Origin, compose};
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::store::swap::{Swap, Vacuumed};
use crate::store::task::{Handed, TAKEN_WITHIN, Task};
use crate::store::writer::Command;
use crate::store::{Published, stopped};
use crate::time;

/// How often the thread looks around when nothing wakes it.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often replies and jobs that are too old are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How long the thread leaves everything alone after a failure, at first and after many.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Which neighbouring segments are merged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merging {
    /// So many at least.
    fan_in: usize,
    /// The largest may have so many times the rows of all others: what follows a large one in small pieces would have it
    /// copied again for each.
    weight: usize,
}

/// While nobody waits: each row is copied a few times at most on its way.
pub(super) const BACKGROUND: Merging = Merging { fan_in: 4, weight: 1 };
/// After an import.
const SETTLING: Merging = Merging { fan_in: 2, weight: 8 };
/// When asked to.
const WHOLLY: Merging = Merging { fan_in: 2, weight: usize::MAX };
/// Pages of one step of giving back, between which writes go on.
const VACUUM_PAGES: u32 = 512;
/// Free pages that are left for the next segment.
const FREE_PAGES_LEFT: u64 = 2_048;

/// Does the work, for the thread and for whoever asks.
#[derive(Debug)]
pub struct Upkeep {
    pub(super) published: Arc<Published>,
    pub(super) commands: Sender<Command>,
    /// Rows of a tail that is sealed.
    pub(super) seal_rows: usize,
    /// Wakes the thread.
    wake: Sender<()>,
    pub(super) handed: Mutex<Handed>,
    /// One at a time: two would do the same work twice.
    work: Mutex<Work>,
    is_stopping: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Work {
    /// Segments that could not be read, or be held by one: they are merged with none.
    unreadable: HashSet<i64>,
    /// By dataset: until when nothing is done for it in the background, because that failed, and for how long that is.
    left_alone: HashMap<i64, (Instant, Duration)>,
    /// By dataset: for how long, in µs, events were kept when those too old last went, and when that was.
    pub(super) expired: HashMap<i64, (i64, Instant)>,
    /// By dataset: the day on which the ids that are forgotten were last looked for.
    pub(super) swept: HashMap<i64, i64>,
    /// When old replies and jobs were last forgotten.
    replies: Option<Instant>,
}

impl Work {
    fn is_left_alone(&self, dataset_id: i64) -> bool {
        self.left_alone.get(&dataset_id).is_some_and(|(until, _)| Instant::now() < *until)
    }
}

/// Whether the tail is large enough to be sealed.
pub(super) fn wants_seal(dataset: &Dataset, seal_rows: usize) -> bool {
    let rows: usize = dataset.tail.iter().map(|block| block.block.rows()).sum();
    rows >= seal_rows || dataset.tail_bytes() >= limits::SEAL_BYTES
}

impl Upkeep {
    pub(super) fn new(
        published: Arc<Published>,
        commands: Sender<Command>,
        wake: Sender<()>,
        seal_rows: usize,
    ) -> Self {
        Self {
            published,
            commands,
            seal_rows,
            wake,
            handed: Mutex::default(),
            work: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Works until told to stop.
    pub(super) fn run(&self, wake: &Receiver<()>) {
        let mut wait = Duration::ZERO;
        let mut back_off = Duration::ZERO;
        loop {
            // after a failure nobody wakes it: what fails is costly, and the disk is needed by others
            let woken = if back_off.is_zero() { wake.recv_timeout(wait) } else { self.sleep(back_off, wake) };
            match woken {
                Err(RecvTimeoutError::Disconnected) => return,
                _ if self.is_stopping() => return,
                _ => {}
            }
            match self.look_around() {
                Ok(()) => back_off = Duration::ZERO,
                Err(e) => {
                    if back_off.is_zero() {
                        warn!("upkeep goes on later: {e}");
                    }
                    back_off = (back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
                }
            }
            wait = if self.waits_for_others() { TAKEN_WITHIN } else { LOOK_EVERY };
        }
    }

    /// Has the thread look around.
    pub(super) fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Waits, whoever wakes it, unless it is to stop.
    fn sleep(&self, long: Duration, wake: &Receiver<()>) -> Result<(), RecvTimeoutError> {
        let end = Instant::now() + long;
        loop {
            match wake.recv_deadline(end) {
                Ok(()) if !self.is_stopping() => {}
                woken => return woken,
            }
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn look_around(&self) -> Result<()> {
        let mut work = self.work();
        let mut done = Ok(());
        for id in self.dataset_ids() {
            if self.is_stopping() {
                return done;
            }
            if work.is_left_alone(id) {
                continue;
            }
            let may_grow = done.is_ok();
            let looked = catch_unwind(AssertUnwindSafe(|| self.look_after(id, may_grow, &mut work)))
                .unwrap_or_else(|_| Err(Error::Internal("the upkeep panicked".into())));
            match looked {
                Ok(()) => _ = work.left_alone.remove(&id),
                Err(e) if e.is_of_the_disk() => done = done.and(Err(e)),
                Err(e) => self.leave_alone(id, &e, &mut work),
            }
        }
        done?;
        if work.replies.is_none_or(|last| last.elapsed() > FORGET_EVERY) {
            self.forget_replies(time::now())?;
            self.forget_jobs(time::now())?;
            work.replies = Some(Instant::now());
        }
        // pages that the next segments will need are not worth moving
        self.vacuum_down_to(FREE_PAGES_LEFT)
    }

    /// What is due for one dataset; `may_grow`: also what takes space.
    fn look_after(&self, id: i64, may_grow: bool, work: &mut Work) -> Result<()> {
        // what frees space goes first, and is not kept from it by a segment for which there is no room
        let freed = self.see_to(Task::Expire, id, work);
        let freed = freed.and(self.sweep(id, work));
        if !may_grow || freed.as_ref().is_err_and(Error::is_of_the_disk) {
            return freed;
        }
        self.see_to(Task::Seal, id, work)?;
        self.see_to(Task::Merge, id, work)?;
        freed
    }

    /// Seals what has become full meanwhile: a long piece of work on segments shall not let tails grow in memory.
    pub(super) fn seal_full_tails(&self, work: &mut Work) {
        for id in self.dataset_ids() {
            let is_full = self.dataset(id).is_some_and(|dataset| wants_seal(&dataset, self.seal_rows));
            if is_full
                && !work.is_left_alone(id)
                && let Err(e) = self.seal_tail(id)
            {
                self.leave_alone(id, &e, work);
            }
        }
    }

    /// Leaves a dataset alone for a while, longer each time: what fails for one is no reason to keep others waiting.
    pub(super) fn leave_alone(&self, id: i64, error: &Error, work: &mut Work) {
        let before = work.left_alone.get(&id).map_or(Duration::ZERO, |(_, before)| *before);
        if before.is_zero()
            && let Some(dataset) = self.dataset(id)
        {
            warn!("the upkeep of {:?} goes on later: {error}", dataset.name);
        }
        let wait = (before * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
        work.left_alone.insert(id, (Instant::now() + wait, wait));
    }

    /// Rows of a segment that is merged no further.
    pub fn segment_rows(&self) -> usize {
        self.seal_rows.saturating_mul(limits::SEGMENT_TAILS)
    }

    /// Seals the tail of a dataset and merges what can be merged.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn settle(&self, dataset_id: i64) -> Result<()> {
        self.settle_by(dataset_id, SETTLING, &|| true)
    }

    fn settle_by(&self, dataset_id: i64, merging: Merging, goes_on: &dyn Fn() -> bool) -> Result<()> {
        let mut work = self.work();
        self.seal_tail(dataset_id)?;
        while goes_on() && self.merge(dataset_id, merging, &mut work)?.is_some() {
            self.seal_full_tails(&mut work);
        }
        Ok(())
    }

    /// Settles every dataset and gives all free pages back.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn optimize(&self) -> Result<()> {
        self.optimize_while(&|| true)
    }

    /// As [`Upkeep::optimize`]; between two steps it asks whether to go on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn optimize_while(&self, goes_on: &dyn Fn() -> bool) -> Result<()> {
        for id in self.dataset_ids() {
            self.settle_by(id, WHOLLY, goes_on)?;
        }
        if goes_on() { self.give_back() } else { Ok(()) }
    }

    /// Gives all free pages back and brings everything into the file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn give_back(&self) -> Result<()> {
        // after one more turn the writer has removed what nobody reads any more
        self.vacuum(0)?;
        self.vacuum_down_to(0)?;
        self.ask(Command::Checkpoint)
    }

    /// Gives free pages back step by step, until no more than so many are left or can be.
    fn vacuum_down_to(&self, left: u64) -> Result<()> {
        let mut done = self.vacuum(0)?;
        while done.left > left && !done.is_stuck && !self.is_stopping() {
            done = self.vacuum(VACUUM_PAGES)?;
        }
        Ok(())
    }

    /// Makes a segment of the tail of a dataset, if it has one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn seal(&self, dataset_id: i64) -> Result<()> {
        // two that seal one tail at a time would have it twice, which the swap refuses as a fault
        let _work = self.work();
        self.seal_tail(dataset_id).map(drop)
    }

    /// As [`Upkeep::seal`], for who has the work already; gives the events of the tail.
    pub(super) fn seal_tail(&self, dataset_id: i64) -> Result<u64> {
        let Some(dataset) = self.dataset(dataset_id).filter(|dataset| !dataset.tail.is_empty()) else {
            return Ok(0);
        };
        let rows: usize = dataset.tail.iter().map(|block| block.block.rows()).sum();
        let before = dataset.next_seq;
        let origins: Vec<Origin> = dataset.tail.iter().cloned().map(Origin::Block).collect();
        let new = compose(&origins)?.into_iter().collect();
        let swap = Swap { dataset_id, log_before: Some(before), out: Vec::new(), new, rows_gone: 0 };
        let done = self.swap(swap)?;
        debug!("sealed the tail of {:?} before {before}: {done}", dataset.name);
        Ok(if done { rows as u64 } else { 0 })
    }

    /// The first run of small neighbouring segments that is worth merging.
    pub(super) fn run_of<'d>(
        &self,
        dataset: &'d Dataset,
        merging: Merging,
        work: &Work,
    ) -> Option<&'d [Arc<Segment>]> {
        let is_readable =
            |segment: &Segment| segment.damage.is_none() && !work.unreadable.contains(&segment.id);
        // never around one that stays: exports go by `_seq`, segment after segment
        let mut neighbours = dataset.segments.chunk_by(|a, b| is_readable(a) && is_readable(b));
        neighbours.find_map(|together| {
            let sizes: Vec<Size> =
                together.iter().map(|segment| Size { rows: segment.rows(), bytes: segment.bytes }).collect();
            together.get(mergeable(&sizes, merging, self.segment_rows())?)
        })
    }

    /// Merges one run of small neighbouring segments, and gives their number; `None` where there is none.
    pub(super) fn merge(&self, dataset_id: i64, merging: Merging, work: &mut Work) -> Result<Option<u64>> {
        let Some(dataset) = self.dataset(dataset_id) else { return Ok(None) };
        let Some(run) = self.run_of(&dataset, merging, work) else { return Ok(None) };
        let origins: Vec<Origin> =
            run.iter().map(|segment| Origin::Segment(Arc::clone(segment), None)).collect();
        let new = match compose(&origins) {
            Ok(new) => new.into_iter().collect(),
            Err(e @ (Error::Corrupt(_) | Error::TooLarge(_))) => {
                match e {
                    Error::TooLarge(_) => debug!("segments of {:?} are left as they are: {e}", dataset.name),
                    _ => warn!("segments are left as they are; `windrow check` tells which are damaged: {e}"),
                }
                work.unreadable.extend(run.iter().map(|segment| segment.id));
                return Ok(Some(0));
            }
            Err(e) => return Err(e),
        };
        let out = run.iter().map(|segment| segment.id).collect();
        self.swap(Swap { dataset_id, log_before: None, out, new, rows_gone: 0 })?;
        debug!("merged {} segments of {:?}", run.len(), dataset.name);
        Ok(Some(run.len() as u64))
    }

    /// Gives up to so many free pages back.
    pub(super) fn vacuum(&self, pages: u32) -> Result<Vacuumed> {
        self.ask(|reply| Command::Vacuum(pages, reply))
    }

    /// Puts segments in the place of others; false where those are not there any more.
    pub(super) fn swap(&self, swap: Swap) -> Result<bool> {
        self.ask(|reply| Command::Swap(Box::new(swap), reply))
    }

    /// Keeps everybody else from changing segments.
    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.published.current()
    }

    fn dataset_ids(&self) -> Vec<i64> {
        self.snapshot().datasets.values().map(|dataset| dataset.id).collect()
    }

    pub(super) fn dataset_named(&self, name: &str) -> Option<i64> {
        self.snapshot().datasets.get(name).map(|dataset| dataset.id)
    }

    pub(super) fn dataset(&self, id: i64) -> Option<Arc<Dataset>> {
        self.snapshot().datasets.values().find(|dataset| dataset.id == id).cloned()
    }

    pub(super) fn ask<T>(
        &self,
        command: impl FnOnce(crate::store::writer::Reply<T>) -> Command,
    ) -> Result<T> {
        let (reply, answer) = bounded(1);
        self.commands.send(command(reply)).map_err(|_| stopped())?;
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// What counts of a segment where it is to be merged.
#[derive(Debug, Clone, Copy)]
struct Size {
    rows: usize,
    /// In the file.
    bytes: u64,
}

/// A run of neighbours worth merging, together no larger than a segment should be.
fn mergeable(sizes: &[Size], merging: Merging, rows_max: usize) -> Option<Range<usize>> {
    (0..sizes.len()).find_map(|start| {
        let mut end = start;
        let (mut rows, mut bytes) = (0, 0);
        while let Some(next) = sizes.get(end)
            && rows + next.rows <= rows_max
            && bytes + next.bytes <= limits::SEGMENT_STORED_BYTES
        {
            (rows, bytes) = (rows + next.rows, bytes + next.bytes);
            end += 1;
        }
        // the longest first; a shorter one may lack the large segment that spoils it
        (start + merging.fan_in..=end).rev().map(|end| start..end).find(|run| {
            let rows = || sizes[run.clone()].iter().map(|size| size.rows);
            let largest = rows().max().unwrap_or(0);
            largest <= (rows().sum::<usize>() - largest).saturating_mul(merging.weight)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mergeable(rows: &[usize], merging: Merging) -> Option<Range<usize>> {
        let sizes: Vec<Size> = rows.iter().map(|rows| Size { rows: *rows, bytes: *rows as u64 }).collect();
        super::mergeable(&sizes, merging, 1_000_000)
    }

    #[test]
    fn equal_neighbours_are_merged_and_a_large_one_is_left_alone() {
        assert_eq!(mergeable(&[250_000; 4], BACKGROUND), Some(0..4));
        assert_eq!(mergeable(&[250_000; 3], BACKGROUND), None);
        assert_eq!(mergeable(&[900_000, 10, 10, 10], BACKGROUND), None);
        assert_eq!(mergeable(&[900_000, 10, 10, 10, 10], BACKGROUND), Some(1..5));
        assert_eq!(mergeable(&[1_000_000; 9], WHOLLY), None);
        assert_eq!(mergeable(&[500_000, 10], SETTLING), None);
        assert_eq!(mergeable(&[500_000, 10], WHOLLY), Some(0..2));
        assert_eq!(mergeable(&[], WHOLLY), None);
        let heavy = Size { rows: 10, bytes: limits::SEGMENT_STORED_BYTES / 3 };
        assert_eq!(
            super::mergeable(&[heavy; 9], WHOLLY, 1_000_000),
            Some(0..3),
            "as many as a segment may weigh"
        );
    }
}
