//! Sealed events as columns: the stored form of a segment, pure bytes. This header is its definition.

pub mod column;
pub mod head;

pub use column::{BlockZone, ColumnIndex, Dictionaries, encode};
pub use head::{HeadColumn, SegmentHead};

/// Rows of a block, the last one excepted: what is decoded at once for a page of rows.
pub const BLOCK_ROWS: usize = 16_384;
