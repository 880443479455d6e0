//! Keeps the tail worth scanning: small neighbouring blocks become larger ones, each row being copied a few times
//! at most on its way from a one-event commit to a block of [`limits::TAIL_BLOCK_ROWS`].

use std::sync::Arc;

use crate::columnar::concat;
use crate::limits;
use crate::store::snapshot::TailBlock;

/// Blocks of one size that are merged into one of the next size.
const FAN_IN: usize = 8;

/// Whether [`merge`] has something to do.
pub fn wants_merge(tail: &[TailBlock]) -> bool {
    merge_start(tail).is_some()
}

/// Merges what has become worth merging at the end of the list.
pub fn merge(tail: &mut Vec<TailBlock>) {
    while let Some(start) = merge_start(tail) {
        let joined = join(&tail[start..]);
        tail.truncate(start);
        tail.push(joined);
    }
}

/// Merges everything into blocks of full size; at start, when no query waits.
pub fn merge_all(tail: Vec<TailBlock>) -> Vec<TailBlock> {
    let mut groups: Vec<Vec<TailBlock>> = Vec::new();
    let mut rows = 0;
    for block in tail {
        let fits = rows + block.block.rows() <= limits::TAIL_BLOCK_ROWS;
        match groups.last_mut() {
            Some(group) if fits && group.last().is_some_and(|last| adjoins(last, &block)) => {
                rows += block.block.rows();
                group.push(block);
            }
            _ => {
                rows = block.block.rows();
                groups.push(vec![block]);
            }
        }
    }
    use rayon::prelude::*;
    groups.into_par_iter().map(|group| join(&group)).collect()
}

/// What is left of a tail from a sequence number on; a block that reaches over it is cut.
pub fn after(tail: &[TailBlock], seq: i64) -> Vec<TailBlock> {
    let rest = |block: &TailBlock| {
        let gone = (seq - block.first_seq).max(0);
        if gone == 0 {
            return Some(block.clone());
        }
        let rows: Vec<u32> = (gone..block.block.rows() as i64).map(|row| row as u32).collect();
        (!rows.is_empty()).then(|| TailBlock {
            first_seq: block.first_seq + gone,
            block: Arc::new(block.block.take(&rows)),
        })
    };
    tail.iter().filter_map(rest).collect()
}

/// Where the run of mergeable blocks at the end begins, if it is long enough.
fn merge_start(tail: &[TailBlock]) -> Option<usize> {
    let class = size_class(tail.last()?.block.rows());
    let mut start = tail.len() - 1;
    let mut rows = tail[start].block.rows();
    while start > 0
        && size_class(tail[start - 1].block.rows()) <= class
        && adjoins(&tail[start - 1], &tail[start])
        && rows + tail[start - 1].block.rows() <= limits::TAIL_BLOCK_ROWS
    {
        start -= 1;
        rows += tail[start].block.rows();
    }
    (tail.len() - start >= FAN_IN).then_some(start)
}

fn size_class(rows: usize) -> u32 {
    rows.max(1).ilog(FAN_IN)
}

fn adjoins(left: &TailBlock, right: &TailBlock) -> bool {
    left.first_seq + left.block.rows() as i64 == right.first_seq
}

fn join(run: &[TailBlock]) -> TailBlock {
    match run {
        [one] => one.clone(),
        _ => {
            let blocks: Vec<_> = run.iter().map(|t| &*t.block).collect();
            let first_seq = run.first().map_or(0, |t| t.first_seq);
            TailBlock { first_seq, block: Arc::new(concat::blocks(&blocks)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::{Block, TIME, column::Column};

    fn one_event(seq: i64) -> TailBlock {
        let block = Block::new(1, vec![(TIME.into(), Arc::new(Column::times(&[seq])))]);
        TailBlock { first_seq: seq, block: Arc::new(block) }
    }

    #[test]
    fn ten_thousand_single_events_become_few_blocks_in_order() {
        let mut tail = Vec::new();
        for seq in 1..=10_000 {
            tail.push(one_event(seq));
            merge(&mut tail);
            assert!(tail.len() <= 40, "{} blocks", tail.len());
        }
        let mut expected = 1;
        for block in &tail {
            assert_eq!(block.first_seq, expected);
            assert_eq!(
                block.block.column(TIME).expect("time").get(0).to_text(),
                crate::time::format(expected)
            );
            expected += block.block.rows() as i64;
        }
        assert_eq!(expected, 10_001);
    }

    #[test]
    fn a_gap_in_the_sequence_is_never_merged_over() {
        let tail = merge_all(vec![one_event(1), one_event(2), one_event(9)]);
        assert_eq!(tail.iter().map(|t| t.first_seq).collect::<Vec<_>>(), [1, 9]);
    }
}
