//! What waits of many requests, as one transaction: events that are appended, acts of jobs, jobs that are handed out. One commit
//! serves them all; what is wrong with one is told to it alone. Only the writer runs it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use rusqlite::Transaction;

use crate::error::{Error, Result};
use crate::limits;
use crate::store::change::Changed;
use crate::store::failure::told_to_all;
use crate::store::keyed::write;
use crate::store::queue::table::Table;
use crate::store::queue::{Act, Acted, Board, Claim, Claimed, Queues};
use crate::store::snapshot::Snapshot;
use crate::store::writer::{Appended, Batch, Command, Reply, Writer};
use crate::store::{replies, upkeep};

/// Takes the answer to what was asked for.
pub(super) type Answer<T> = Box<dyn FnOnce(Result<T>) + Send>;

/// Something that is asked for, and whoever waits for its answer.
pub(super) struct Waiting<T, O> {
    task: Option<T>,
    answer: Answer<O>,
    outcome: Option<Result<O>>,
}

impl<T, O> Waiting<T, O> {
    pub fn new(task: T, answer: Answer<O>) -> Self {
        Self { task: Some(task), answer, outcome: None }
    }

    /// Does it within a transaction; the outer error ends that.
    fn run(&mut self, what: impl FnOnce(T) -> Result<Result<O>>) -> Result<()> {
        if let Some(task) = self.task.take() {
            self.outcome = Some(what(task)?);
        }
        Ok(())
    }

    /// Gives the answer, or what failed for all.
    fn tell(self, failed: Option<&Error>) {
        (self.answer)(match (failed, self.outcome) {
            (Some(e), _) => Err(told_to_all(e)),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(Error::Internal("a write was left out of its transaction".into())),
        });
    }
}

/// What can be folded.
pub(super) enum Work {
    Append(Waiting<Box<Batch>, Appended>),
    Act(Waiting<Box<Act>, Acted>),
    Claim(Waiting<Claim, Vec<Claimed>>),
}

impl Work {
    /// A batch that is appended.
    pub fn append(batch: Batch, reply: Reply<Appended>) -> Self {
        Self::Append(Waiting::new(Box::new(batch), Box::new(move |told| _ = reply.send(told))))
    }

    /// Bytes that it writes, roughly.
    fn bytes(&self) -> usize {
        match self {
            Self::Append(waiting) => waiting.task.as_ref().map_or(0, |batch| batch.block.bytes()),
            Self::Act(waiting) => waiting.task.as_ref().map_or(0, |act| act.bytes()),
            Self::Claim(_) => 0,
        }
    }

    fn run(&mut self, group: &mut Group<'_>) -> Result<()> {
        match self {
            Self::Append(waiting) => waiting.run(|batch| group.append(*batch).map(Ok)),
            Self::Act(waiting) => waiting.run(|act| group.act(*act)),
            Self::Claim(waiting) => waiting.run(|claim| group.jobs().claim(&claim).map(Ok)),
        }
    }

    /// Gives the answer; `failed`: what failed for all.
    pub fn tell(self, failed: Option<&Error>) {
        match self {
            Self::Append(waiting) => waiting.tell(failed),
            Self::Act(waiting) => waiting.tell(failed),
            Self::Claim(waiting) => waiting.tell(failed),
        }
    }
}

/// One transaction as it grows.
pub(super) struct Group<'t> {
    pub transaction: &'t Transaction<'t>,
    current: Arc<Snapshot>,
    /// Datasets as they become.
    pub changed: BTreeMap<Arc<str>, Changed>,
    board: &'t Board,
    /// The counts of jobs as they become; `None` as long as nobody asked for them.
    queues: Option<Queues>,
}

impl Group<'_> {
    /// The counts of jobs.
    pub fn queues(&mut self) -> &mut Queues {
        self.queues.get_or_insert_with(|| Queues::clone(&self.board.current()))
    }

    /// The jobs.
    pub fn jobs(&mut self) -> Table<'_> {
        let connection = self.transaction;
        Table { connection, queues: self.queues() }
    }

    /// The dataset of a name, made when there is none.
    pub fn entry(&mut self, name: &Arc<str>) -> Result<&mut Changed> {
        Ok(match self.changed.entry(Arc::clone(name)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Changed::of(self.transaction, &self.current, name)?),
        })
    }

    /// Adds events, and the reply that is kept with them.
    pub fn append(&mut self, batch: Batch) -> Result<Appended> {
        let transaction = self.transaction;
        let once = batch.rules.once.clone();
        let outcome = self.entry(&Arc::clone(&batch.dataset))?.add(transaction, batch)?;
        if let (Some(once), Appended::Committed { duplicates, .. }) = (once, outcome) {
            replies::note(transaction, &once, duplicates)?;
        }
        Ok(outcome)
    }

    /// Writes what was added.
    fn write(&mut self) -> Result<()> {
        self.changed.retain(|_, entry| entry.is_changed());
        for entry in self.changed.values_mut() {
            entry.write(self.transaction)?;
            write::begin(&entry.dataset);
        }
        Ok(())
    }
}

impl Writer {
    /// Takes everything that waits and can be folded, up to the size of one transaction; gives back a command of another sort
    /// that ended the group.
    pub(super) fn group(&mut self, first: Work, commands: &Receiver<Command>) -> Option<Command> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        let mut next = None;
        while bytes < limits::TRANSACTION_BYTES && group.len() < limits::WRITER_QUEUE {
            let work = match commands.try_recv() {
                Ok(Command::Append(batch, reply)) => Work::append(batch, reply),
                Ok(Command::Work(work)) => work,
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            };
            bytes += work.bytes();
            group.push(work);
        }
        let appends = group.iter().filter(|work| matches!(work, Work::Append(_)));
        self.queued_bytes.fetch_sub(appends.map(Work::bytes).sum(), Ordering::Relaxed);
        let room = self.check_room_to_append(bytes);
        let failed = room.and_then(|()| self.change(|writer| writer.commit_group(&mut group))).err();
        for work in group {
            work.tell(failed.as_ref());
        }
        if failed.is_none() {
            self.merge_tails();
        }
        next
    }

    /// One transaction for all: one log row a dataset, in the order they came.
    fn commit_group(&mut self, group: &mut [Work]) -> Result<()> {
        let current = self.published.current();
        let transaction = Self::begin(&mut self.connection)?;
        let mut growing = Group {
            transaction: &transaction,
            current: Arc::clone(&current),
            changed: BTreeMap::new(),
            board: &self.board,
            queues: None,
        };
        for work in group {
            work.run(&mut growing)?;
        }
        growing.write()?;
        let Group { changed, queues, .. } = growing;
        let _publishing = queues.is_some().then(|| self.board.publishing());
        self.watch.commit(transaction)?;
        if !changed.is_empty() {
            let mut snapshot = Snapshot::clone(&current);
            for (name, entry) in changed {
                if upkeep::wants_seal(&entry.dataset, self.seal_rows) {
                    let _ = self.wake.try_send(());
                }
                snapshot.datasets.insert(name, Arc::new(entry.dataset));
            }
            self.published.publish(snapshot);
        }
        if let Some(queues) = queues.filter(|queues| !queues.is_as(&self.board.current())) {
            self.board.publish(queues);
        }
        Ok(())
    }
}
