//! The aggregates that are not exact: `approx_uniq` (`distinct`) and `approx_quantile` (`quantile`). A sketch of rows
//! depends on which values they have and never on their order or on how they were shared out, so every engine and
//! every run gives the same answer. The states of both, for all groups; `aggregate` feeds them.

pub mod distinct;
pub mod quantile;

use crate::columnar::column::Column;
use crate::value::Value;

use distinct::DistinctSketches;
use quantile::QuantileSketch;

/// The state of an approximate aggregate over all groups.
#[derive(Debug)]
pub enum Sketch {
    /// `approx_uniq(x)`.
    Distinct(DistinctSketches),
    /// `approx_quantile(x, q)`, and its q.
    Quantile(QuantileSketch, f64),
}

impl Sketch {
    /// The empty state of `approx_uniq(x)`.
    pub fn distinct() -> Self {
        Self::Distinct(DistinctSketches::default())
    }

    /// The empty state of `approx_quantile(x, q)`.
    pub fn quantile(q: f64) -> Self {
        Self::Quantile(QuantileSketch::default(), q)
    }

    /// Makes room for groups.
    pub fn grow(&mut self, groups: usize) {
        if let Self::Distinct(sketches) = self {
            sketches.grow(groups);
        }
    }

    /// Feeds rows: the group of each and its value.
    pub fn update(&mut self, groups: &[u32], column: &Column) {
        match self {
            Self::Distinct(sketches) => sketches.update(groups, column),
            Self::Quantile(sketch, _) => sketch.update(groups, column),
        }
    }

    /// Takes over another state of the same aggregate; `map` gives the group here for each group there.
    pub fn absorb(&mut self, other: Sketch, map: &[u32]) {
        match (self, other) {
            (Self::Distinct(sketches), Self::Distinct(more)) => sketches.absorb(more, map),
            (Self::Quantile(sketch, _), Self::Quantile(more, _)) => sketch.absorb(more, map),
            // both are of one aggregate
            _ => debug_assert!(false, "sketches of different aggregates"),
        }
    }

    /// The result of every group.
    pub fn finish(self, groups: usize) -> Vec<Value> {
        match self {
            Self::Distinct(sketches) => sketches.finish(),
            Self::Quantile(sketch, q) => sketch.finish(q, groups),
        }
    }
}
