//! An act within a group: how an attempt ended, with events, records and further jobs, all of it or nothing. Submitting is an act
//! too, of no job. What is wrong with one act is told to it alone; the others of the transaction do not notice.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits;
use crate::store::Store;
use crate::store::change::Mark;
use crate::store::group::{Group, Waiting, Work};
use crate::store::keyed::write::{self, DeleteBatch, PutOutcome, RecordBatch};
use crate::store::queue::table::Ended;
use crate::store::queue::{Act, Acted, Claim, Claimed, State, Submitted};
use crate::store::replies;
use crate::store::writer::{Appended, Command};

impl Act {
    /// Bytes that it writes, roughly.
    pub(in crate::store) fn bytes(&self) -> usize {
        let events: usize = self.events.iter().map(|batch| batch.block.bytes()).sum();
        let records: usize = self.records.iter().map(|batch| batch.bytes() * 3).sum();
        let deletes: usize = self.deletes.iter().map(|batch| batch.records.len() * 512).sum();
        events + records + deletes + self.jobs.iter().map(|job| job.payload.len() + 512).sum::<usize>() + 512
    }

    /// Whether nothing of it can be refused.
    fn is_plain(&self) -> bool {
        let has_rows = !(self.events.is_empty() && self.records.is_empty() && self.deletes.is_empty());
        !has_rows && self.jobs.is_empty() && self.step.is_none()
    }
}

/// Why an act is taken back: what it is told in place of what it asked for.
enum Refusal {
    Told(Acted),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Group<'_> {
    /// Carries out an act. The inner error is its own; the outer one ends the whole transaction.
    pub(in crate::store) fn act(&mut self, mut act: Act) -> Result<Result<Acted>> {
        if act.is_plain() {
            let ended = self.end_attempt(&act)?;
            return Ok(Ok(ended.unwrap_or_else(|state| Acted::Done(Vec::new(), state))));
        }
        let queues = self.queues().clone();
        let names = act
            .events
            .iter()
            .map(|batch| &batch.dataset)
            .chain(act.records.iter().map(|batch| &batch.dataset))
            .chain(act.deletes.iter().map(|batch| &batch.dataset));
        let marks: Vec<(Arc<str>, Option<Mark>)> = names
            .map(|name| (Arc::clone(name), self.changed.get(name).map(|changed| changed.mark())))
            .collect();
        write::savepoint(self.transaction, "SAVEPOINT act")?;
        let refusal = match self.carry_out(&mut act) {
            Ok(done) => {
                write::savepoint(self.transaction, "RELEASE act")?;
                return Ok(Ok(done));
            }
            // of a job that was cancelled this is all that is written
            Err(Refusal::Told(Acted::Cancelled)) => {
                write::savepoint(self.transaction, "RELEASE act")?;
                return Ok(Ok(Acted::Cancelled));
            }
            Err(refusal) => refusal,
        };
        write::savepoint(self.transaction, "ROLLBACK TO act")?;
        write::savepoint(self.transaction, "RELEASE act")?;
        *self.queues() = queues;
        for (name, mark) in marks {
            match (mark, self.changed.get_mut(&name)) {
                (Some(mark), Some(changed)) => changed.go_back_to(mark),
                _ => _ = self.changed.remove(&name),
            }
        }
        match refusal {
            Refusal::Told(told) => Ok(Ok(told)),
            Refusal::Failed(
                e @ (Error::Invalid { .. }
                | Error::Conflict(_)
                | Error::NotFound(_)
                | Error::Busy { .. }
                | Error::TooLarge(_)),
            ) => Ok(Err(e)),
            Refusal::Failed(e) => Err(e),
        }
    }

    /// Ends the attempt that an act is of: `Err` with the state where it goes on.
    fn end_attempt(&mut self, act: &Act) -> Result<Result<Acted, Option<State>>> {
        let Some((id, attempt, verdict)) = &act.of else { return Ok(Err(None)) };
        Ok(match self.jobs().end_attempt(*id, *attempt, verdict, act.now_us)? {
            Ended::As(state) => Err(Some(state)),
            Ended::Cancelled => Ok(Acted::Cancelled),
            Ended::Lost => Ok(Acted::Lost),
        })
    }

    fn carry_out(&mut self, act: &mut Act) -> Result<Acted, Refusal> {
        let state = match self.end_attempt(act)? {
            Ok(told) => return Err(Refusal::Told(told)),
            Err(state) => state,
        };
        for batch in act.events.drain(..) {
            if let Appended::Stale = self.append(batch)? {
                return Err(Refusal::Told(Acted::Stale));
            }
        }
        for batch in &act.records {
            self.put(batch)?;
        }
        for batch in &act.deletes {
            self.delete(batch)?;
        }
        let now_us = act.now_us;
        let submitted: Vec<Submitted> =
            act.jobs.iter().map(|job| self.jobs().insert(job, now_us)).collect::<Result<_>>()?;
        if let Some(step) = &act.step
            && !self.jobs().step(step, submitted.first().map(|job| job.id))?
        {
            return Err(Refusal::Told(Acted::Lost));
        }
        if let Some(once) = &act.once {
            replies::note(self.transaction, &(once.0)(&submitted), 0)?;
        }
        Ok(Acted::Done(submitted, state))
    }

    /// Puts records, all of the batch or none.
    fn put(&mut self, batch: &RecordBatch) -> Result<(), Refusal> {
        let transaction = self.transaction;
        let changed = self.entry(&batch.dataset)?;
        if changed.dataset.keyed.is_none() {
            return Err(Refusal::Told(Acted::Stale));
        }
        let put = match write::put(transaction, &mut changed.dataset, batch)? {
            PutOutcome::Stale => return Err(Refusal::Told(Acted::Stale)),
            PutOutcome::Done(put) => put,
        };
        changed.touch();
        match put.rejected.first() {
            None => Ok(()),
            Some(item) if put.outdated.is_empty() => Err(Refusal::Failed(Error::Conflict(format!(
                "a record of \"{}\" was not taken: {}",
                batch.dataset, item.message
            )))),
            Some(item) => Err(Refusal::Told(Acted::Outdated(item.message.clone()))),
        }
    }

    /// Deletes records, all of the batch or none.
    fn delete(&mut self, batch: &DeleteBatch) -> Result<(), Refusal> {
        let transaction = self.transaction;
        let changed = self.entry(&batch.dataset)?;
        if changed.dataset.keyed.is_none() || changed.dataset.id != batch.dataset_id {
            return Err(Refusal::Told(Acted::Stale));
        }
        let deleted = write::delete(transaction, &mut changed.dataset, batch)?;
        changed.touch();
        if deleted.deleted < batch.records.len() as u64 {
            let why =
                format!("a record of \"{}\" that was to be deleted was changed meanwhile", batch.dataset);
            return Err(Refusal::Told(Acted::Outdated(why)));
        }
        Ok(())
    }
}

impl Store {
    /// Commits an act, and returns when it is durable and visible; where the writer is busy, it waits.
    ///
    /// # Errors
    /// `Busy` where a queue is full, what is wrong with what is written, and the store's. Nothing of it was written then.
    pub fn act(&self, act: Act) -> Result<Acted> {
        if act.jobs.len() > limits::JOBS_AT_ONCE {
            return Err(Error::TooLarge(format!(
                "{} jobs are submitted at once, and {} at most; send them in pieces",
                act.jobs.len(),
                limits::JOBS_AT_ONCE
            )));
        }
        self.ask(|reply| {
            let answer = Box::new(move |told| _ = reply.send(told));
            Command::Work(Work::Act(Waiting::new(Box::new(act), answer)))
        })
    }

    /// Commits an act and goes on meanwhile; `answer` is called by the writer, and shall not wait.
    pub fn act_later(&self, act: Act, answer: impl FnOnce(Result<Acted>) + Send + 'static) {
        self.send(Work::Act(Waiting::new(Box::new(act), Box::new(answer))));
    }

    /// Hands out jobs; `answer` is called by the writer, and shall not wait.
    pub fn claim_jobs(&self, claim: Claim, answer: impl FnOnce(Result<Vec<Claimed>>) + Send + 'static) {
        self.send(Work::Claim(Waiting::new(claim, Box::new(answer))));
    }

    fn send(&self, work: Work) {
        if let Err(unsent) = self.commands.send(Command::Work(work))
            && let Command::Work(work) = unsent.0
        {
            work.tell(Some(&crate::store::stopped()));
        }
    }

    /// Rings when there may be work for those who run jobs.
    pub fn job_bell(&self) -> crossbeam_channel::Receiver<()> {
        self.board.bell().clone()
    }
}
