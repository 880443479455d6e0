//! What a transaction makes of a dataset: batches and segments are added to it, its row is written, and it becomes part
//! of the next snapshot. Only the writer uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Transaction;

use crate::columnar::{Block, concat};
use crate::error::Result;
use crate::fields::{Kinds, is_system};
use crate::store::catalog::{self, ImportMark};
use crate::store::compose::NewSegment;
use crate::store::pool::BufferPool;
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::store::writer::{Appended, Batch, DecodedUnder, SegmentBatch};
use crate::store::{log, seen, segments};
use crate::time;

/// A dataset as it becomes in the transaction at hand.
pub(super) struct Changed {
    pub dataset: Dataset,
    pub is_new: bool,
    /// Its row is written even where nothing was added.
    is_touched: bool,
    blocks: Vec<Block>,
    new_fields: Vec<Arc<str>>,
    imports: Vec<ImportMark>,
}

/// A dataset at some moment of a transaction.
pub(super) struct Mark {
    dataset: Dataset,
    is_touched: bool,
    blocks: usize,
    new_fields: usize,
    imports: usize,
}

impl Changed {
    /// The dataset of a name, made when there is none.
    pub fn of(transaction: &Transaction<'_>, current: &Snapshot, name: &Arc<str>) -> Result<Self> {
        if let Some(dataset) = current.datasets.get(name) {
            return Ok(Self {
                dataset: Dataset::clone(dataset),
                is_new: false,
                is_touched: false,
                blocks: Vec::new(),
                new_fields: Vec::new(),
                imports: Vec::new(),
            });
        }
        let mut dataset = Dataset { created_us: time::now(), ..Dataset::new(Arc::clone(name)) };
        catalog::insert(transaction, &mut dataset)?;
        Ok(Self {
            dataset,
            is_new: true,
            is_touched: true,
            blocks: Vec::new(),
            new_fields: Vec::new(),
            imports: Vec::new(),
        })
    }

    /// Whether the transaction has something to write of it.
    pub fn is_changed(&self) -> bool {
        self.is_touched || !self.blocks.is_empty()
    }

    /// What it is now, to go back to.
    pub fn mark(&self) -> Mark {
        Mark {
            dataset: self.dataset.clone(),
            is_touched: self.is_touched,
            blocks: self.blocks.len(),
            new_fields: self.new_fields.len(),
            imports: self.imports.len(),
        }
    }

    /// Forgets what was added since a mark.
    pub fn go_back_to(&mut self, mark: Mark) {
        (self.dataset, self.is_touched) = (mark.dataset, mark.is_touched);
        self.blocks.truncate(mark.blocks);
        self.new_fields.truncate(mark.new_fields);
        self.imports.truncate(mark.imports);
    }

    /// Has its row written.
    pub fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Takes in a batch, unless the rules have changed since it was decoded.
    pub fn add(&mut self, transaction: &Transaction<'_>, batch: Batch) -> Result<Appended> {
        let Batch { mut block, mut rules, .. } = batch;
        let Some(mut fresh) = self.fresh_fields(&rules, |name| block.column(name).is_some()) else {
            return Ok(Appended::Stale);
        };
        let rows = block.rows();
        if self.dataset.declaration.dedupe.is_some() {
            if rules.ids.len() != rows {
                rules.ids = seen::id_hashes(&block, &self.dataset.declaration);
            }
            let left = seen::take(transaction, &self.dataset, &rules.ids)?;
            if left.len() < rows {
                block = seen::left_of(&block, &left);
                fresh.retain(|name| block.column(name).is_some());
            }
        }
        let duplicates = (rows - block.rows()) as u64;
        let waiting: usize = self.blocks.iter().map(Block::rows).sum();
        let first_seq = self.dataset.next_seq + waiting as i64;
        if block.rows() == 0 {
            self.is_touched |= rules.import.is_some();
            self.imports.extend(rules.import);
        } else {
            self.take_rules(rules, fresh);
            self.blocks.push(block);
        }
        Ok(Appended::Committed { first_seq, duplicates })
    }

    /// Takes in rows that are encoded as a segment already, unless the rules have changed since they were decoded.
    pub fn add_segment(
        &mut self,
        transaction: &Transaction<'_>,
        batch: SegmentBatch,
        pool: &Arc<BufferPool>,
    ) -> Result<Appended> {
        // whoever made the segment has left out the names that no row had
        let Some(fresh) = self.fresh_fields(&batch.rules, |_| true) else {
            return Ok(Appended::Stale);
        };
        // ids are looked up batch by batch, which a segment cannot be
        if self.dataset.declaration.dedupe.is_some() {
            return Ok(Appended::Stale);
        }
        // a column without any value is not in the segment, and its field is there all the same
        let mut columns: BTreeMap<Arc<str>, Kinds> =
            fresh.iter().map(|name| (Arc::clone(name), Kinds::default())).collect();
        let told = &batch.segment.encoded.head.columns;
        columns.extend(told.iter().map(|column| (Arc::clone(&column.name), column.kinds)));
        self.take_rules(batch.rules, fresh);
        let first_seq = self.dataset.next_seq;
        // rows were numbered from 0
        let (first, last) = (first_seq + batch.segment.seqs.0, first_seq + batch.segment.seqs.1);
        let new = NewSegment { encoded: batch.segment.encoded, seqs: (first, last) };
        self.put_fields(transaction, &columns)?;
        let segment = insert(transaction, self.dataset.id, new, pool)?;
        self.dataset.next_seq = last + 1;
        self.dataset.segments.push(segment);
        self.is_touched = true;
        Ok(Appended::Committed { first_seq, duplicates: 0 })
    }

    /// The fields that rows bring along; `None` where they have to be decoded anew.
    fn fresh_fields(&self, rules: &DecodedUnder, has: impl Fn(&str) -> bool) -> Option<Vec<Arc<str>>> {
        let dataset = &self.dataset;
        rules.fresh_fields(dataset.rules_version, &dataset.fields, &self.new_fields, has)
    }

    fn take_rules(&mut self, rules: DecodedUnder, fresh: Vec<Arc<str>>) {
        if let Some(field) = rules.time_field {
            self.dataset.time_field = Some(field);
            self.dataset.rules_version += 1;
        }
        self.new_fields.extend(fresh);
        self.imports.extend(rules.import);
    }

    /// Writes what was added.
    pub fn write(&mut self, transaction: &Transaction<'_>) -> Result<()> {
        if self.is_new {
            self.dataset.rules_version += first_version(&self.dataset);
        }
        let block = match self.blocks.len() {
            0 => None,
            1 => Some(self.blocks.remove(0)),
            _ => Some(concat::blocks(&self.blocks.iter().collect::<Vec<_>>())),
        };
        if let Some(block) = block {
            let columns = block.columns().map(|(name, column)| (Arc::clone(name), column.kinds())).collect();
            self.put_fields(transaction, &columns)?;
            let dataset = &mut self.dataset;
            log::append(transaction, dataset.id, dataset.next_seq, &block)?;
            let first_seq = dataset.next_seq;
            dataset.next_seq += block.rows() as i64;
            dataset.tail.push(TailBlock { first_seq, block: Arc::new(block) });
        }
        for mark in &self.imports {
            catalog::put_import(transaction, self.dataset.id, mark)?;
        }
        catalog::update(transaction, &mut self.dataset)
    }

    /// Writes what columns tell of the dataset's fields. New fields come in the order that the batches named them.
    fn put_fields(
        &mut self,
        transaction: &Transaction<'_>,
        columns: &BTreeMap<Arc<str>, Kinds>,
    ) -> Result<()> {
        let dataset = &mut self.dataset;
        for name in self.new_fields.iter().chain(columns.keys()).filter(|name| !is_system(name)) {
            let Some(kinds) = columns.get(name) else { continue };
            let known = dataset.fields.kinds(name);
            if known.is_none_or(|known| known.with(*kinds) != known) {
                Arc::make_mut(&mut dataset.fields).add(name, *kinds);
                catalog::put_field(transaction, dataset, name)?;
            }
        }
        Ok(())
    }
}

/// Writes a segment; gives it back as it stands in the next snapshot.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    dataset_id: i64,
    new: NewSegment,
    pool: &Arc<BufferPool>,
) -> Result<Arc<Segment>> {
    let NewSegment { encoded, seqs } = new;
    let (id, tag) = segments::insert(transaction, dataset_id, seqs, &encoded)?;
    let (bytes, times) = (encoded.bytes(), encoded.times);
    let (first_seq, last_seq) = seqs;
    let pool = Arc::clone(pool);
    Ok(Arc::new(Segment {
        id,
        tag,
        first_seq,
        last_seq,
        times,
        bytes,
        head: encoded.head,
        pool,
        damage: None,
    }))
}

/// The version of a new dataset's rules, unlike that of any earlier dataset of its name: a batch that was decoded
/// before it was there, or under the rules of one that was dropped meanwhile, is decoded anew. Its id is never used
/// twice, and a clock that goes back does not change that.
pub(super) fn first_version(dataset: &Dataset) -> u64 {
    dataset.id.unsigned_abs() << 32
}
