//! Sealed events as columns: the stored form of a segment, pure bytes. This header is its definition.

mod compress;
mod dictionary;
mod floats;
pub mod head;
mod index;
mod integers;
mod planes;
mod read;
mod reader;
mod write;

pub use dictionary::Dictionaries;
pub use head::{HeadColumn, SegmentHead};
pub use index::{BlockZone, ColumnIndex};
pub use write::encode;

/// Rows of a block, the last one excepted: what is decoded at once for a page of rows.
pub const BLOCK_ROWS: usize = 16_384;

/// Bytes of a block, or of all dictionaries, as stored.
const SECTION_BYTES_MAX: usize = 1 << 30;
/// In place of the kind of a column: no row has a value. The other kinds are those of the log's block.
const KIND_NULL: u8 = 0;
