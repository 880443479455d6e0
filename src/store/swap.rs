//! What the writer does with whole segments: takes them in, puts them in the place of others or of the beginning of the
//! log, removes those that no query can see any more, and gives their pages back.

use std::sync::Arc;

use tracing::warn;

use crate::error::{Error, Result};
use crate::store::change::{self, Changed};
use crate::store::compose::NewSegment;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::store::writer::{Appended, SegmentBatch, Writer};
use crate::store::{log, segments, tail};

/// Segments in the place of others, or of the beginning of the log: the same rows, but those that are to go.
#[derive(Debug)]
pub struct Swap {
    /// The dataset; one of the same name made later is another.
    pub dataset_id: i64,
    /// The log is covered up to, but without, this sequence number.
    pub log_before: Option<i64>,
    /// Segments that go, by their id; that of a damaged row of the log is negative.
    pub out: Vec<i64>,
    /// Segments that come.
    pub new: Vec<NewSegment>,
    /// Rows that are meant to be gone afterwards.
    pub rows_gone: u64,
}

/// What giving free pages back has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacuumed {
    /// Free pages that are left.
    pub left: u64,
    /// Nothing was given back, and asking again would change nothing: a file that was packed without `auto_vacuum`.
    pub is_stuck: bool,
}

impl Writer {
    /// Takes a segment in; gives the version of the rules that the next one has to be decoded under, `None` where this one
    /// has to be decoded anew.
    pub(super) fn append_segment(&mut self, batch: SegmentBatch) -> Result<Option<u64>> {
        let current = self.published.current();
        let transaction = Self::begin(&mut self.connection)?;
        let name = Arc::clone(&batch.dataset);
        let mut changed = Changed::of(&transaction, &current, &name)?;
        let outcome = changed.add_segment(&transaction, batch, &self.pool)?;
        if outcome == Appended::Stale {
            return Ok(None);
        }
        changed.write(&transaction)?;
        let version = changed.dataset.rules_version;
        self.watch.commit(transaction)?;
        let mut snapshot = Snapshot::clone(&current);
        snapshot.datasets.insert(name, Arc::new(changed.dataset));
        self.published.publish(snapshot);
        let _ = self.wake.try_send(());
        Ok(Some(version))
    }

    /// As [`Writer::swap`], guarded as every change. A full disk is made free by taking rows out, and by sealing where
    /// there is room for it; merging waits.
    pub(super) fn swap_guarded(&mut self, swap: Swap) -> Result<bool> {
        if swap.rows_gone == 0 {
            let bytes = swap.new.iter().map(|new| new.encoded.bytes()).sum();
            self.has_room_for(bytes, if swap.out.is_empty() { "sealing" } else { "merging" })?;
        }
        self.guarded(swap.rows_gone > 0 || swap.out.is_empty(), |writer| writer.swap(swap))
    }

    /// Every row that goes comes again in a new segment or is among those that are meant to go: otherwise nothing is
    /// changed.
    pub(super) fn swap(&mut self, swap: Swap) -> Result<bool> {
        let current = self.published.current();
        let Some(dataset) = current.datasets.values().find(|dataset| dataset.id == swap.dataset_id) else {
            return Ok(false);
        };
        let mut dataset = Dataset::clone(dataset);
        let (out, stay): (Vec<_>, Vec<_>) =
            dataset.segments.into_iter().partition(|segment| swap.out.contains(&segment.id));
        if out.len() != swap.out.len() {
            return Ok(false);
        }
        dataset.segments = stay;
        let mut rows_before: u64 = out.iter().map(|segment| segment.rows() as u64).sum();
        let rows_after: u64 = swap.new.iter().map(|new| new.encoded.head.rows as u64).sum();
        let transaction = Self::begin(&mut self.connection)?;
        for segment in &out {
            match segment.id {
                id @ 1.. => segments::kill(&transaction, id)?,
                id => log::remove_row(&transaction, -id)?,
            }
        }
        if let Some(before) = swap.log_before {
            let damaged: Vec<i64> =
                dataset.segments.iter().filter(|s| s.id < 0).map(|segment| -segment.id).collect();
            rows_before += log::remove(&transaction, dataset.id, before, &damaged)?.unsigned_abs();
            dataset.tail = tail::after(&dataset.tail, before);
        }
        for new in swap.new {
            dataset.segments.push(change::insert(&transaction, dataset.id, new, &self.pool)?);
        }
        if rows_before != rows_after + swap.rows_gone {
            return Err(Error::Internal(format!(
                "{rows_before} events of \"{}\" would become {rows_after}, with {} to go; nothing was changed",
                dataset.name, swap.rows_gone
            )));
        }
        self.watch.commit(transaction)?;
        dataset.segments.sort_by_key(|segment| (segment.first_seq, segment.id));
        let mut snapshot = Snapshot::clone(&current);
        snapshot.datasets.insert(Arc::clone(&dataset.name), Arc::new(dataset));
        self.published.publish(snapshot);
        self.dead.extend(out.into_iter().filter(|segment| segment.id > 0));
        Ok(true)
    }

    /// Removes the dead segments that no snapshot holds any more. One that cannot be removed for lack of space is tried
    /// again, any other is left to the next start.
    pub(super) fn bury_the_dead(&mut self) {
        // the one count left is that of the list
        while let Some(at) = self.dead.iter().position(|segment| Arc::strong_count(segment) == 1) {
            let segment = self.dead.swap_remove(at);
            let buried = self.change_that_frees(|writer| {
                let transaction = Self::begin(&mut writer.connection)?;
                segments::bury(&transaction, segment.id)?;
                Self::commit(transaction)
            });
            match buried {
                Ok(()) => self.pool.forget(segment.id),
                Err(Error::StorageUnavailable(_)) => return self.dead.push(segment),
                Err(e) => {
                    self.pool.forget(segment.id);
                    warn!("segment {} is removed at the next start: {e}", segment.id);
                }
            }
        }
    }

    /// Moves free pages to the end of the file and cuts them off, so many at most.
    pub(super) fn vacuum(&mut self, pages: u32) -> Result<Vacuumed> {
        let context = |e| Error::sqlite("cannot give free pages back", e);
        let free = |connection: &rusqlite::Connection| -> Result<u64> {
            let free = connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
            free.map(i64::unsigned_abs).map_err(context)
        };
        let before = free(&self.connection)?;
        // none at all would mean every one to SQLite
        if pages > 0 {
            let transaction = Self::begin(&mut self.connection)?;
            let mut statement =
                transaction.prepare(&format!("PRAGMA incremental_vacuum({pages})")).map_err(context)?;
            let mut steps = statement.query([]).map_err(context)?;
            while steps.next().map_err(context)?.is_some() {}
            drop(steps);
            drop(statement);
            Self::commit(transaction)?;
        }
        let left = free(&self.connection)?;
        Ok(Vacuumed { left, is_stuck: pages > 0 && left >= before })
    }
}
