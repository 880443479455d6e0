//! Rows of an import on their way into segments: batches are gathered until they are worth a segment, which a thread
//! of its own makes and commits while the next ones are decoded. Until then nothing of them is committed, so what they
//! bring (fields, the time field) is noted here for the batches that follow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Result};
use crate::fields::is_system;
use crate::ingest::destination::{Destination, Taken};
use crate::ingest::rules::Rules;
use crate::limits;
use crate::query::reach::Reach;
use crate::store::Store;
use crate::store::compose::{Origin, compose};
use crate::store::snapshot::TailBlock;
use crate::store::writer::{Batch, DecodedUnder, SegmentBatch};

/// Gathers the batches of one import.
#[derive(Debug)]
pub struct Gather {
    state: Mutex<State>,
    reach: Reach,
}

#[derive(Debug)]
struct State {
    rules: Rules,
    /// Rows that a segment has.
    segment_rows: usize,
    set: Set,
    /// Goes to the thread that makes segments; gone once that has failed or the import has ended.
    sets: Option<Sender<Set>>,
}

/// What becomes one segment.
#[derive(Debug, Default)]
struct Set {
    blocks: Vec<TailBlock>,
    rows: usize,
    bytes: usize,
    under: DecodedUnder,
}

/// The thread that makes segments: rows that it committed, and why it ended early.
pub type Sealing<'scope> = ScopedJoinHandle<'scope, (u64, Result<()>)>;

impl Gather {
    /// Starts gathering for a dataset.
    pub fn start<'scope>(
        store: &'scope Store,
        dataset: &str,
        scope: &'scope Scope<'scope, '_>,
    ) -> (Self, Sealing<'scope>) {
        let rules = Rules::of(&store.snapshot(), dataset);
        // no set waits between the one that is gathered and the one that is made: memory is bounded by two
        let (sender, sets) = bounded(0);
        let (dataset, version) = (Arc::clone(&rules.dataset), rules.version);
        let sealing = scope.spawn(move || {
            let mut rows = 0;
            let done = seal_all(store, &dataset, version, &sets, &mut rows);
            (rows, done)
        });
        let segment_rows = store.upkeep().segment_rows();
        let state = State { rules, segment_rows, set: Set::default(), sets: Some(sender) };
        (Self { state: Mutex::new(state), reach: Reach::everything() }, sealing)
    }

    /// Sends off what is left; the thread ends when it has committed that.
    pub fn finish(&self) {
        let mut state = self.lock();
        let set = std::mem::take(&mut state.set);
        if let Some(sets) = state.sets.take()
            && set.rows > 0
        {
            // where the thread has ended it tells why itself
            let _ = sets.send(set);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for Gather {
    /// An import is for those who are bound to nothing.
    fn reach(&self) -> &Reach {
        &self.reach
    }

    fn rules(&self) -> Rules {
        self.lock().rules.clone()
    }

    fn append(&self, batch: Batch) -> Result<Option<Taken>> {
        let mut state = self.lock();
        let State { rules, set, sets, segment_rows } = &mut *state;
        let has = |name: &str| batch.block.column(name).is_some();
        let Some(fresh) = batch.rules.fresh_fields(rules.version, &rules.known, &[], has) else {
            return Ok(None);
        };
        let bytes = batch.block.bytes();
        let is_full =
            set.rows + batch.block.rows() > *segment_rows || set.bytes + bytes > limits::SEGMENT_BYTES;
        if is_full && set.rows > 0 {
            let full = std::mem::take(set);
            let sent = sets.as_ref().is_some_and(|sets| sets.send(full).is_ok());
            if !sent {
                *sets = None;
                return Err(Error::Internal("segments are not made any more".into()));
            }
        }
        let known = Arc::make_mut(&mut rules.known);
        let columns = batch.block.columns().filter(|(name, _)| !is_system(name));
        fresh
            .iter()
            .filter_map(|name| batch.block.column(name).map(|column| (name, column)))
            .chain(columns)
            .for_each(|(name, column)| _ = known.add(name, column.kinds()));
        if let Some(field) = &batch.rules.time_field {
            rules.time_field = Some(Arc::clone(field));
            rules.version += 1;
        }
        let first_seq = set.rows as i64;
        set.rows += batch.block.rows();
        set.bytes += bytes;
        set.under.new_fields.extend(fresh);
        set.under.time_field = batch.rules.time_field.or(set.under.time_field.take());
        set.under.import = batch.rules.import.or(set.under.import.take());
        set.blocks.push(TailBlock { first_seq, block: Arc::new(batch.block) });
        Ok(Some(Taken::default()))
    }
}

fn seal_all(
    store: &Store,
    dataset: &Arc<str>,
    mut version: u64,
    sets: &Receiver<Set>,
    rows: &mut u64,
) -> Result<()> {
    for set in sets {
        let origins: Vec<Origin> = set.blocks.into_iter().map(Origin::Block).collect();
        let Some(segment) = compose(&origins)? else { continue };
        drop(origins);
        let under = DecodedUnder { version, ..set.under };
        let batch = SegmentBatch { dataset: Arc::clone(dataset), segment, rules: under };
        // as of this commit: a declaration that comes right after it is not what the next set was decoded under
        version = store.append_segment(batch)?.ok_or_else(|| {
            Error::Conflict(format!("the declaration of \"{dataset}\" was changed while rows were imported"))
        })?;
        *rows += set.rows as u64;
    }
    Ok(())
}
