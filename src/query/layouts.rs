//! The same rows held otherwise, for tests: in the tail, in segments, in both.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::columnar::segment::ColumnIndex;
use crate::error::{Error, Result};
use crate::store::compose::{Origin, compose};
use crate::store::pool::{BufferPool, ColumnBytes, ColumnKey};
use crate::store::segment::{EncodedSegment, Segment};
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};

/// Where rows are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    /// All in the tail.
    Tail,
    /// All in one segment.
    Segment,
    /// Every other block in one segment, the rest in another: their `_seq` have gaps.
    Segments,
    /// The first half in a segment, the rest in the tail.
    Both,
}

/// All there are.
pub const LAYOUTS: [Layout; 4] = [Layout::Tail, Layout::Segment, Layout::Segments, Layout::Both];

/// The rows of a tail, laid out otherwise.
pub fn laid_out(dataset: &Dataset, layout: Layout) -> Arc<Dataset> {
    let blocks = || dataset.tail.iter().cloned();
    let every_other = |from: usize| blocks().skip(from).step_by(2).collect::<Vec<_>>();
    let (sealed, tail) = match layout {
        Layout::Tail => (Vec::new(), dataset.tail.clone()),
        Layout::Segment => (vec![dataset.tail.clone()], Vec::new()),
        Layout::Segments => (vec![every_other(0), every_other(1)], Vec::new()),
        Layout::Both => {
            let half = dataset.tail.len().div_ceil(2);
            (vec![blocks().take(half).collect()], blocks().skip(half).collect())
        }
    };
    let sealed = sealed.into_iter().filter(|blocks: &Vec<TailBlock>| !blocks.is_empty());
    let segments =
        sealed.zip(1..).map(|(blocks, id)| Arc::new(Segment::of_tail(id, &blocks).expect("sealed")));
    // numbers of values are kept by segment, and these segments have the ids of other ones
    let numberings = Arc::default();
    Arc::new(Dataset { segments: segments.collect(), tail, numberings, ..dataset.clone() })
}

/// A snapshot of that dataset alone.
pub fn alone(dataset: Arc<Dataset>) -> Snapshot {
    Snapshot { datasets: BTreeMap::from([(Arc::clone(&dataset.name), dataset)]) }
}

/// What was read of the columns of a segment: which, and whether it was a block.
pub type Reads = Arc<Mutex<Vec<(Arc<str>, bool)>>>;

/// A segment that notes what is read of it, and whose columns may be damaged.
pub fn watched(id: i64, tail: &[TailBlock], damage: Option<Damage<'_>>) -> (Segment, Reads) {
    let origins: Vec<Origin> = tail.iter().cloned().map(Origin::Block).collect();
    let composed = compose(&origins).expect("encodes").expect("rows");
    let EncodedSegment { head, mut columns, .. } = composed.encoded;
    let names: Vec<Arc<str>> = head.columns.iter().map(|column| Arc::clone(&column.name)).collect();
    let place = |name: &str| head.position(name).expect("a column");
    let blocks = columns.iter().map(|bytes| bytes.as_deref().map_or_else(Vec::new, block_ranges)).collect();
    let mut lost = None;
    match damage {
        None => {}
        Some(Damage::Lost(name)) => lost = Some(place(name) as u32),
        Some(Damage::LastByte(name)) => {
            let bytes = columns[place(name)].as_mut().and_then(|bytes| bytes.last_mut()).expect("bytes");
            *bytes ^= 1;
        }
    }
    let reads = Reads::default();
    let source = Watched { names, blocks, columns, lost, reads: Arc::clone(&reads) };
    let pool = Arc::new(BufferPool::new(Box::new(source), 64 << 20));
    (Segment { pool, ..Segment::of_tail(id, tail).expect("sealed") }, reads)
}

fn block_ranges(column: &[u8]) -> Vec<Range<u64>> {
    let index = &column[..ColumnIndex::bytes(column).expect("a size")];
    let index = ColumnIndex::decode(index).expect("an index");
    (0..).map_while(|block| index.block_range(block)).collect()
}

/// How a column is damaged.
#[derive(Debug, Clone, Copy)]
pub enum Damage<'a> {
    /// It cannot be read at all.
    Lost(&'a str),
    /// A bit of its last block is another.
    LastByte(&'a str),
}

struct Watched {
    names: Vec<Arc<str>>,
    blocks: Vec<Vec<Range<u64>>>,
    columns: Vec<Option<Vec<u8>>>,
    lost: Option<u32>,
    reads: Reads,
}

impl ColumnBytes for Watched {
    fn read(&self, key: ColumnKey, range: Range<u64>) -> Result<Vec<u8>> {
        let at = key.column as usize;
        let is_block = self.blocks[at].contains(&range);
        self.reads.lock().expect("not poisoned").push((Arc::clone(&self.names[at]), is_block));
        if self.lost == Some(key.column) {
            return Err(Error::Corrupt("it is not there".into()));
        }
        let bytes = self.columns[at].as_ref().ok_or_else(|| Error::Corrupt("it is not there".into()))?;
        let end = (range.end as usize).min(bytes.len());
        Ok(bytes[(range.start as usize).min(end)..end].to_vec())
    }
}
