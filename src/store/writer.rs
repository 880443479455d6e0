//! The one writer: a thread that owns the only connection that writes. It folds what is waiting, of all requests,
//! into one transaction, commits, publishes the new snapshot, then acknowledges: acknowledged means committed and
//! visible to the next query.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::columnar::Block;
use crate::error::{Error, Result};
use crate::fields::{FieldSet, is_system};
use crate::limits;
use crate::store::ballast::Ballast;
use crate::store::catalog::ImportMark;
use crate::store::change::{self, Changed};
use crate::store::compose::NewSegment;
use crate::store::failure::{Failure, TRIAL_EVERY};
use crate::store::group::Work;
use crate::store::keyed::tables::{self, Declared};
use crate::store::keyed::write::{DeleteBatch, Deleted, PutOutcome, RecordBatch};
use crate::store::keys::{KeyChange, PublishedKeys};
use crate::store::open::Readers;
use crate::store::pool::BufferPool;
use crate::store::queue::Board;
use crate::store::queue::change::{JobChange, JobChanged};
use crate::store::replies::Once;
use crate::store::seen::IdHashes;
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::store::swap::{Swap, Vacuumed};
use crate::store::watch::Watch;
use crate::store::{Published, catalog, seen, tail};

/// Rows for one dataset.
#[derive(Debug)]
pub struct Batch {
    /// The dataset; made when it is new.
    pub dataset: Arc<str>,
    /// The rows, with `_time`.
    pub block: Block,
    /// What they were decoded under.
    pub rules: DecodedUnder,
}

/// Rows for one dataset that are a segment already, numbered from 0.
#[derive(Debug)]
pub struct SegmentBatch {
    /// The dataset; made when it is new.
    pub dataset: Arc<str>,
    /// The rows.
    pub segment: NewSegment,
    /// What they were decoded under.
    pub rules: DecodedUnder,
}

/// The rules that rows were decoded under, and what they bring along.
#[derive(Debug, Clone, Default)]
pub struct DecodedUnder {
    /// `Dataset::rules_version` when the rows were decoded; 0 where the dataset did not exist.
    pub version: u64,
    /// The time field that the rows brought, where the dataset had none.
    pub time_field: Option<Arc<str>>,
    /// Fields that the dataset did not have, in the order they appeared.
    pub new_fields: Vec<Arc<str>>,
    /// How far the file that the rows are from is imported with them.
    pub import: Option<ImportMark>,
    /// The reply that is kept with them, where the request may be sent again.
    pub once: Option<Once>,
    /// Of the ids, where the dataset declares `dedupe`; else empty.
    pub ids: IdHashes,
    /// Of the rows in their request or file, where they are records; else empty.
    pub places: Vec<u64>,
}

impl DecodedUnder {
    /// The fields that the rows bring along to a dataset that is at `version` and has `known` fields and those that
    /// wait; `has` tells which names the rows have a column of. `None`: the rules have changed since, or what was new
    /// has come meanwhile by other rows, or the fields are too many, so the rows have to be decoded anew.
    pub fn fresh_fields(
        &self,
        version: u64,
        known: &FieldSet,
        waiting: &[Arc<str>],
        has: impl Fn(&str) -> bool,
    ) -> Option<Vec<Arc<str>>> {
        let is_new = |name: &Arc<str>| known.kinds(name).is_none() && !waiting.contains(name);
        let is_fresh = |name: &&Arc<str>| !is_system(name) && has(name) && is_new(name);
        let fresh: Vec<Arc<str>> = self.new_fields.iter().filter(is_fresh).cloned().collect();
        let is_late = self.time_field.as_ref().is_some_and(|name| !is_new(name));
        let are_too_many = !fresh.is_empty() && known.len() + waiting.len() + fresh.len() > limits::FIELDS;
        (self.version == version && !is_late && !are_too_many).then_some(fresh)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Committed and visible; `_seq` counts from here.
    Committed {
        /// `_seq` of the first row.
        first_seq: i64,
        /// Rows that were left out, because their id was there already.
        duplicates: u64,
    },
    /// The rules of the dataset have changed since the rows were decoded: decode them anew.
    Stale,
}

/// What the writer is asked for.
pub(super) enum Command {
    Append(Batch, Reply<Appended>),
    /// What is folded with it.
    Work(Work),
    /// At a time, µs.
    Jobs(JobChange, i64, Reply<JobChanged>),
    /// Answered with the version of the rules after it, `None` where it is stale.
    AppendSegment(Box<SegmentBatch>, Reply<Option<u64>>),
    /// Answered with false where what goes is not there any more.
    Swap(Box<Swap>, Reply<bool>),
    /// Gives free pages back to the file system, so many at most.
    Vacuum(u32, Reply<Vacuumed>),
    Declare(Arc<str>, Box<Declared>, Reply<()>),
    Put(Box<RecordBatch>, Reply<PutOutcome>),
    Delete(Box<DeleteBatch>, Reply<Deleted>),
    Drop(Arc<str>, Reply<()>),
    /// Forgets ids of a dataset from a hash on; answered with where to go on.
    Sweep(i64, Vec<u8>, Reply<Option<Vec<u8>>>),
    MarkImport(Arc<str>, ImportMark, Reply<()>),
    Keys(KeyChange, Reply<()>),
    /// Keeps a reply that tells of nothing that was written.
    KeepReply(Box<Once>, Reply<()>),
    /// Forgets some replies that were made until then; answered with whether there may be more.
    ForgetReplies(i64, Reply<bool>),
    /// Measures tables for the planner and merges the search of records.
    Tidy(Reply<()>),
    Checkpoint(Reply<()>),
    Stop,
}

/// Where the answer goes; a caller that went away is no error.
pub(super) type Reply<T> = Sender<Result<T>>;

pub(super) struct Writer {
    pub connection: Connection,
    pub pool: Arc<BufferPool>,
    /// What records are read by.
    pub readers: Readers,
    /// Wakes the upkeep when there is something to seal or to merge.
    pub wake: Sender<()>,
    /// Rows of a tail that is sealed.
    pub seal_rows: usize,
    /// Segments that are out of the current snapshot, until no other snapshot holds them.
    pub dead: Vec<Arc<Segment>>,
    pub published: Arc<Published>,
    pub keys: Arc<PublishedKeys>,
    pub board: Arc<Board>,
    pub queued_bytes: Arc<AtomicUsize>,
    pub wal: PathBuf,
    /// Whether the file is still the one that was opened.
    pub watch: Watch,
    /// Space to give away when the disk is full.
    pub ballast: Ballast,
    /// Why writes are refused, where they are.
    pub failed: Option<Failure>,
}

/// How long the writer waits for work before it looks after the WAL.
const IDLE: Duration = Duration::from_secs(2);

impl Writer {
    /// Runs until told to stop, or until nobody is left who could ask for anything.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        let mut next = None;
        loop {
            let Some(command) = next.take().or_else(|| self.wait(commands)) else { break };
            let mut wal_bytes = limits::WAL_CHECKPOINT_BYTES;
            match command {
                Command::Append(batch, reply) => next = self.group(Work::append(batch, reply), commands),
                Command::Work(work) => next = self.group(work, commands),
                Command::Jobs(change, now_us, reply) => {
                    let _ = reply.send(self.change_jobs(&change, now_us));
                }
                Command::Declare(name, declaration, reply) => {
                    let done = self.change(|writer| writer.declare(&name, *declaration));
                    let _ = reply.send(done);
                }
                Command::Put(batch, reply) => {
                    next = self.put_group((*batch, reply), commands);
                    wal_bytes = limits::WAL_CHECKPOINT_BYTES_RECORDS;
                }
                Command::Delete(batch, reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.delete_records(&batch)));
                }
                Command::Drop(name, reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.drop_dataset(&name)));
                }
                Command::MarkImport(name, mark, reply) => {
                    let _ = reply.send(self.change(|writer| writer.mark_import(&name, &mark)));
                }
                Command::Keys(change, reply) => {
                    let _ = reply.send(self.change_keys(change));
                }
                Command::KeepReply(once, reply) => {
                    let _ = reply.send(self.change(|writer| writer.keep_reply(&once)));
                }
                Command::ForgetReplies(oldest_us, reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.forget_replies(oldest_us)));
                }
                Command::AppendSegment(batch, reply) => {
                    let _ = reply.send(self.change(|writer| writer.append_segment(*batch)));
                }
                Command::Swap(swap, reply) => {
                    let _ = reply.send(self.swap_guarded(*swap));
                }
                Command::Vacuum(pages, reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.vacuum(pages)));
                }
                Command::Sweep(id, after, reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.sweep(id, &after)));
                }
                Command::Tidy(reply) => {
                    let _ = reply.send(self.change(Self::tidy_records));
                }
                Command::Checkpoint(reply) => {
                    let _ = reply.send(self.change_that_frees(|writer| writer.checkpoint()));
                }
                Command::Stop => break,
            }
            self.bury_the_dead();
            self.checkpoint_if_larger_than(wal_bytes);
        }
        self.finish();
    }

    /// The next command, and what is to be looked after until it comes; `None` where nobody is left.
    fn wait(&mut self, commands: &Receiver<Command>) -> Option<Command> {
        loop {
            match commands.recv_timeout(if self.failed.is_some() { TRIAL_EVERY } else { IDLE }) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout) => {
                    self.look_after_failure();
                    self.tidy_up();
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>> {
        connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| Error::sqlite("cannot begin a transaction", e))
    }

    pub(super) fn commit(transaction: Transaction<'_>) -> Result<()> {
        transaction.commit().map_err(|e| Error::sqlite("cannot commit", e))
    }

    fn declare(&mut self, name: &Arc<str>, declared: Declared) -> Result<()> {
        let current = self.published.current();
        let declaration = &declared.declaration;
        let transaction = Self::begin(&mut self.connection)?;
        let mut changed = Changed::of(&transaction, &current, name)?;
        let dataset = &mut changed.dataset;
        if let (Some(wanted), Some(taken)) = (&declaration.time, &dataset.time_field)
            && **wanted != **taken
            && dataset.next_seq > 1
        {
            return Err(Error::Conflict(format!(
                "the events of \"{name}\" take their time from \"{taken}\" already; a dataset of another name can declare \"{wanted}\""
            )));
        }
        if let Some(wanted) = &declaration.time {
            dataset.time_field = Some(wanted.as_str().into());
        }
        match (dataset.declaration.is_records(), declaration.is_records()) {
            (false, false) => {
                let old = std::mem::replace(&mut dataset.declaration, declared.declaration);
                seen::redeclare(&transaction, &old, dataset)?;
            }
            (was, is) if was != is && dataset.rows() > 0 => return Err(other_kind(dataset)),
            (true, false) => {
                tables::drop(&transaction, dataset.id)?;
                (dataset.keyed, dataset.declaration) = (None, declared.declaration);
            }
            (_, true) => Self::declare_records(&transaction, dataset, &declared, &self.readers)?,
        }
        dataset.rules_version += if changed.is_new { change::first_version(dataset) } else { 1 };
        catalog::update(&transaction, dataset)?;
        self.watch.commit(transaction)?;
        if let Some(keyed) = &changed.dataset.keyed {
            keyed.derived.statements.forget_plans();
        }
        let mut snapshot = Snapshot::clone(&current);
        snapshot.datasets.insert(Arc::clone(name), Arc::new(changed.dataset));
        self.published.publish(snapshot);
        // a shorter retention is carried out at once
        let _ = self.wake.try_send(());
        Ok(())
    }

    fn drop_dataset(&mut self, name: &Arc<str>) -> Result<()> {
        let mut snapshot = Snapshot::clone(&self.published.current());
        let id = snapshot.whole_dataset(name)?.id;
        let transaction = Self::begin(&mut self.connection)?;
        tables::drop(&transaction, id)?;
        catalog::delete(&transaction, id)?;
        self.watch.commit(transaction)?;
        let dropped = snapshot.datasets.remove(name);
        self.published.publish(snapshot);
        let segments = dropped.iter().flat_map(|dataset| &dataset.segments).filter(|segment| segment.id > 0);
        self.dead.extend(segments.cloned());
        Ok(())
    }

    fn mark_import(&mut self, name: &str, mark: &ImportMark) -> Result<()> {
        let id = self.published.current().whole_dataset(name)?.id;
        let transaction = Self::begin(&mut self.connection)?;
        catalog::put_import(&transaction, id, mark)?;
        self.watch.commit(transaction)
    }

    /// After the acknowledgement, so that nobody waits for it.
    pub(super) fn merge_tails(&self) {
        let current = self.published.current();
        let mut merged: Option<Snapshot> = None;
        for (name, dataset) in current.datasets.iter().filter(|(_, dataset)| tail::wants_merge(&dataset.tail))
        {
            let mut dataset = Dataset::clone(dataset);
            tail::merge(&mut dataset.tail);
            let snapshot = merged.get_or_insert_with(|| Snapshot::clone(&current));
            snapshot.datasets.insert(Arc::clone(name), Arc::new(dataset));
        }
        if let Some(snapshot) = merged {
            self.published.publish(snapshot);
        }
    }
}

fn other_kind(dataset: &Dataset) -> Error {
    let (has, wants) = match dataset.keyed.is_some() {
        true => ("records", "events"),
        false => ("events", "records"),
    };
    Error::Conflict(format!(
        "the dataset \"{}\" has {} {has}, so it cannot hold {wants}; drop it first, or declare one of another name",
        dataset.name,
        dataset.rows()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::{self, Durability};
    use crate::store::pool::MemoryBytes;

    #[test]
    fn a_write_that_panics_is_a_failed_write_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let mut writer = Writer {
            connection: open::writer(&path, Durability::Full).expect("opens"),
            readers: open::readers(&path, 1).expect("opens"),
            pool: Arc::new(BufferPool::new(Box::new(MemoryBytes::new(0, Vec::new())), 0)),
            wake: crossbeam_channel::bounded(1).0,
            seal_rows: 1_000,
            dead: Vec::new(),
            published: Arc::default(),
            keys: Arc::default(),
            board: Arc::default(),
            queued_bytes: Arc::default(),
            wal: folder.path().join("a.db-wal"),
            watch: Watch::of(&path, &folder.path().join("a.db-wal")),
            ballast: Ballast::keep(&path),
            failed: None,
        };
        let panicked = writer.change(|writer| {
            let transaction = Writer::begin(&mut writer.connection)?;
            catalog::set_meta(&transaction, "half", b"done")?;
            if catalog::meta(&transaction, "half")?.is_some() {
                panic!("as a bug would")
            }
            Ok(())
        });
        assert!(matches!(panicked, Err(Error::Internal(_))));
        assert!(matches!(writer.change(|_| Ok(())), Err(Error::StorageUnavailable(_))), "refused at first");
        std::thread::sleep(TRIAL_EVERY);
        writer.change(|_| Ok(())).expect("goes on after a trial write");
        assert_eq!(catalog::meta(&writer.connection, "half").expect("reads"), None, "rolled back");
    }
}
