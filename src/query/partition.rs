//! Grouping by keys of very many combinations. Rows are parted by their packed keys first, so that the groups of each
//! partition fit into the cache of a core, and no group is in two of them: nothing has to be merged, and what HAVING and
//! the order rule out is dropped partition by partition. `execute` chooses this way.

use rayon::prelude::*;

use crate::error::Result;
use crate::query::functions::Context;
use crate::query::measures::{Found, Measures};
use crate::query::view::View;

/// Partitions; with ten million groups each has some megabytes.
const PARTITIONS: usize = if cfg!(test) { 4 } else { 256 };
/// Keys of a piece that holds nothing else.
const PIECE_KEYS: usize = if cfg!(test) { 8 } else { 4_096 };

/// The rows of one task, by partition.
#[derive(Debug)]
pub struct Split {
    pieces: Vec<Vec<Piece>>,
}

/// Some rows of a partition: their keys, and what is computed of them.
#[derive(Debug)]
struct Piece {
    keys: Vec<u64>,
    /// `None` where rows are counted alone.
    view: Option<View>,
}

impl Split {
    /// No rows yet.
    pub fn new() -> Self {
        Self { pieces: (0..PARTITIONS).map(|_| Vec::new()).collect() }
    }

    /// Adds the rows of a view.
    pub fn add(&mut self, keys: &[u64], view: &View) {
        if view.is_bare() {
            // nothing but keys: they go on lists of a fixed size, which are never copied to grow
            for key in keys {
                let pieces = &mut self.pieces[partition_of(*key)];
                match pieces.last_mut().filter(|piece| piece.keys.len() < PIECE_KEYS) {
                    Some(piece) => piece.keys.push(*key),
                    None => {
                        let mut keys = Vec::with_capacity(PIECE_KEYS);
                        keys.push(*key);
                        pieces.push(Piece { keys, view: None });
                    }
                }
            }
            return;
        }
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); PARTITIONS];
        for (row, key) in keys.iter().enumerate() {
            rows[partition_of(*key)].push(row as u32);
        }
        for (pieces, rows) in self.pieces.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            let keys = rows.iter().map(|row| keys[*row as usize]).collect();
            pieces.push(Piece { keys, view: Some(view.take(&rows)) });
        }
    }
}

impl Default for Split {
    fn default() -> Self {
        Self::new()
    }
}

/// The top bits of a product: they depend on all bits of the key.
fn partition_of(key: u64) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - PARTITIONS.ilog2())) as usize
}

/// Computes the groups of all partitions. `prune` drops the groups of a partition that cannot be in the answer; of the
/// others alone anything is kept, and rows go as soon as they are counted.
///
/// # Errors
/// As [`Measures::add`] and `prune`.
pub fn groups(
    measures: &Measures<'_>,
    bits: &[u32],
    splits: Vec<Split>,
    context: impl Fn() -> Context + Sync,
    prune: impl Fn(Found) -> Result<Found> + Sync,
) -> Result<Found> {
    let mut partitions: Vec<Vec<Piece>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    for split in splits {
        partitions.iter_mut().zip(split.pieces).for_each(|(all, pieces)| all.extend(pieces));
    }
    let parts = partitions.into_par_iter().map(|pieces| {
        let rows: usize = pieces.iter().map(|piece| piece.keys.len()).sum();
        let mut found = measures.start_packed(bits, rows / 2);
        let context = context();
        for piece in pieces {
            let bare = View::of(piece.keys.len(), Vec::new());
            measures.add_packed(&mut found, &piece.keys, piece.view.as_ref().unwrap_or(&bare), &context)?;
        }
        let mut left = measures.start_packed(bits, 0);
        measures.absorb(&mut left, prune(measures.settle(found))?)?;
        Ok(left)
    });
    let mut parts = parts.collect::<Result<Vec<_>>>()?.into_iter();
    let mut all = parts.next().unwrap_or_else(|| measures.start_packed(bits, 0));
    for more in parts {
        measures.absorb(&mut all, more)?;
    }
    Ok(all)
}
