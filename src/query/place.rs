//! The order of pages: rows by some columns, then by `_seq`, forward or backward. Zones give the best place that a row
//! of a segment or block could have, so that a page reads only those that can come in.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::Result;
use crate::query::prune::zone_of;
use crate::query::sort::{Direction, compare_keys};
use crate::store::part::{Zone, Zones};
use crate::value::Value;

/// An order in which no two rows are equal.
#[derive(Debug)]
pub struct PageOrder {
    /// Columns that are compared, and whether each is descending. Rows that are equal in all of them come in order of
    /// `_seq`, descending where the last key is.
    pub keys: Vec<(Arc<str>, bool)>,
    /// The whole order turned round.
    pub backward: bool,
    directions: Vec<Direction>,
}

/// Keys and `_seq` of a row.
pub type Place<'a> = (&'a [Value], i64);

/// A place that no row of some rows comes before. Keys that are not known are left out with all that follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    keys: Vec<Value>,
    seq: Option<i64>,
}

impl PageOrder {
    /// An order by keys.
    pub fn new(keys: Vec<(Arc<str>, bool)>, backward: bool) -> Self {
        let direction = |descending| Direction { descending, nulls_first: false };
        let directions = keys.iter().map(|(_, descending)| direction(*descending)).collect();
        Self { keys, backward, directions }
    }

    /// Whether rows come with the largest value of a key first.
    pub fn is_descending(&self, key: usize) -> bool {
        self.keys.get(key).is_some_and(|(_, descending)| *descending) ^ self.backward
    }

    /// Compares keys, as far as both have them.
    pub fn compare_keys(&self, a: &[Value], b: &[Value]) -> Ordering {
        let ordering = compare_keys(a, b, &self.directions);
        if self.backward { ordering.reverse() } else { ordering }
    }

    /// Compares two rows.
    pub fn compare(&self, a: Place<'_>, b: Place<'_>) -> Ordering {
        self.compare_keys(a.0, b.0).then_with(|| self.compare_seqs(a.1, b.1))
    }

    fn compare_seqs(&self, a: i64, b: i64) -> Ordering {
        if self.seqs_descend() { b.cmp(&a) } else { a.cmp(&b) }
    }

    fn seqs_descend(&self) -> bool {
        self.is_descending(self.keys.len().wrapping_sub(1))
    }

    /// The best place that a row could have, of those behind `after`.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn bound(&self, zones: &impl Zones, after: Option<Place<'_>>) -> Result<Bound> {
        let mut keys = Vec::with_capacity(self.keys.len());
        for (at, (name, _)) in self.keys.iter().enumerate() {
            match self.best_value(zone_of(zones, name)?, self.is_descending(at)) {
                Some(value) => keys.push(value),
                None => break,
            }
        }
        let (first, last) = zones.seqs()?;
        let is_whole = keys.len() == self.keys.len();
        let seq = is_whole.then_some(if self.seqs_descend() { last } else { first });
        let Some((after_keys, after_seq)) = after else { return Ok(Bound { keys, seq }) };
        if self.compare_keys(&keys, after_keys).is_gt() {
            return Ok(Bound { keys, seq });
        }
        // rows with the keys of the place follow by `_seq`, all others later
        let seq = match self.seqs_descend() {
            true if first < after_seq => last.min(after_seq - 1),
            true => i64::MIN,
            false if last > after_seq => first.max(after_seq + 1),
            false => i64::MAX,
        };
        Ok(Bound { keys: after_keys.to_vec(), seq: Some(seq) })
    }

    /// The value of a key that comes first; `None` where the zone does not tell.
    fn best_value(&self, zone: Zone, descending: bool) -> Option<Value> {
        match zone {
            Zone::Empty => Some(Value::Null),
            Zone::Unknown => None,
            // nulls stand last, so backward they come first
            Zone::Ints { has_nulls: true, .. } | Zone::Times { has_nulls: true, .. } | Zone::Texts { .. }
                if self.backward =>
            {
                Some(Value::Null)
            }
            Zone::Ints { min, max, .. } => Some(Value::Int(if descending { max } else { min })),
            Zone::Times { min, max, .. } => Some(Value::Time(if descending { max } else { min })),
            Zone::Texts { dictionary, min, max } => {
                let code = if descending { max } else { min } as usize;
                (code < dictionary.len()).then(|| Value::text(dictionary.get(code)))
            }
        }
    }

    /// Which of two bounds comes first; what is not known may be anything, and comes before it.
    pub fn compare_bounds(&self, a: &Bound, b: &Bound) -> Ordering {
        self.compare_keys(&a.keys, &b.keys).then(a.keys.len().cmp(&b.keys.len())).then_with(|| {
            match (a.seq, b.seq) {
                (Some(a), Some(b)) => self.compare_seqs(a, b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            }
        })
    }

    /// Whether a row at or behind the bound may come before this place.
    pub fn may_precede(&self, bound: &Bound, place: Place<'_>) -> bool {
        match self.compare_keys(&bound.keys, place.0) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => bound.seq.is_none_or(|seq| self.compare_seqs(seq, place.1).is_le()),
        }
    }
}
