//! Events of someone who is bound to a row filter: those that do not satisfy it are rejected as others are, each with its
//! place. `accept` asks it once a batch is decoded; records are asked in `records/put`.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::{Block, TIME};
use crate::error::{ItemError, Result};
use crate::ingest::rows::Decoded;
use crate::ingest::rules::Rules;
use crate::limits;
use crate::query::reach::Reach;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;

/// Takes the events out that are out of reach.
///
/// # Errors
/// None that an event could be to blame for.
pub fn reject_outside(reach: &Reach, rules: &Rules, decoded: Decoded) -> Result<Decoded> {
    let known = Dataset { fields: Arc::clone(&rules.known), ..Dataset::new(Arc::clone(&rules.dataset)) };
    let Some(within) = reach.of_new(Some(&known), &decoded.block) else { return Ok(decoded) };
    let holds = within.rows(&Part::of_block(Arc::new(decoded.block.clone())))?;
    let rows = decoded.block.rows();
    if holds.count_ones() == rows {
        return Ok(decoded);
    }
    let Decoded { block, mut names, mut rejected, mut rejected_total, places } = decoded;
    for row in (0..rows).filter(|row| !holds.get(*row)) {
        rejected_total += 1;
        let index = places.get(row).copied().unwrap_or(row as u64);
        rejected.push(ItemError { index, message: within.refusal() });
    }
    rejected.sort_by_key(|item| item.index);
    rejected.truncate(limits::REJECTIONS_LISTED);
    let kept: Vec<usize> = holds.ones().collect();
    // made anew, as a dictionary would keep the texts of rows that are not taken
    let columns = block.columns().map(|(name, column)| {
        (Arc::clone(name), Arc::new(column_of(kept.iter().map(|row| column.get(*row)))))
    });
    let has_values =
        |column: &crate::columnar::column::Column| (0..column.rows).any(|row| column.is_valid(row));
    let columns: Vec<_> =
        columns.filter(|(name, column)| **name == *TIME && !kept.is_empty() || has_values(column)).collect();
    names.retain(|name| columns.iter().any(|(known, _)| known == name));
    let places = kept.iter().filter_map(|row| places.get(*row).copied()).collect();
    Ok(Decoded { block: Block::new(kept.len(), columns), names, rejected, rejected_total, places })
}
