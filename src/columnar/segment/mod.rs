//! Sealed events as columns: the stored form of a segment, pure bytes. This header is its definition.
//!
//! # The column, version 1
//!
//! A column holds the values of one field for all rows of a segment: one BLOB. Its rows are cut into blocks of 16,384,
//! so that a query reads and decodes only the blocks it needs; what the index tells of a block says whether it does.
//! All numbers are little-endian; a checksum is xxh3-64.
//!
//! ```text
//! column       := magic "WRC" | version u8 = 1 | size u32 | checksum u64 | index | dictionaries | block*
//!                 size: bytes of the index; checksum: of the index, seeded with that of magic, version and size
//! index        := rows u32 | block rows u32 = 16384 | section (dictionaries) | (section | zone) * ceil(rows/16384)
//! section      := size u32 | checksum u64            of the stored bytes; sections follow the index in this order
//! zone         := nulls u32 | flags u8 | [min i64 | max i64] | [min u32 | max u32]
//!                 flags bit 0: least and greatest int or time, bit 1: least and greatest code of a string
//! dictionaries := nothing | flags u8 | dictionary for each flag       bit 0 strings, bit 1 items of lists, bit 2 json
//! dictionary   := entries u32 | narrow(entries) (lengths) | stream
//! block        := kind u8 | values                   rows: those of the block; kinds as in the block of the log
//! values       := 0 null:  nothing                   no row has a value
//!               | 8 mixed: parts u8 | (kind u8 | typed)*              at least two, kinds rise; none is null or mixed
//!               | the others: typed
//! typed        := has_gaps u8 | [bits(rows)] | data(n)                n: rows with a value; the others take nothing
//! data(n)      := 1 int, 5 time:    integers(n)
//!               | 2 float:          has_whole u8 | [bits(n)] | decimals u8 | integers(n)
//!                                   decimals 0 to 9: float = integer / 10^decimals; 255: the float's bits
//!               | 3 bool:           bits(n)
//!               | 4 string, 7 json: integers(n)                       codes of the dictionary of that type
//!               | 6 strings:        narrow(n) (lengths) | integers(sum of lengths)
//! integers(0)  := nothing
//! integers(n)  := 1 stride:   first i64 | step i64                    n up to 65,536
//!               | 2 offsets:  base i64 | unit u64 | narrow(n)         value = base + offset * unit
//!               | 3 deltas:   first i64 | unit u64 | narrow(n - 1)    value = the one before + delta * unit
//!               | 4 distinct: count u32 | integers(count) | narrow(n) value = the integer of that place
//! narrow(0)    := nothing
//! narrow(n)    := 0: all are 0, n up to 65,536
//!               | width u8 (1, 2, 4, 8) | stream(n) * width           planes: all low bytes, then the next
//!               | 0x12 | stream(2 * n)                                numbers of two bytes, one after the other
//! bits(n)      := stream(ceil(n/8))                                   the lowest bit first
//! stream(0)    := nothing
//! stream(n)    := 0 constant: u8, n up to 65,536
//!               | 1 raw: u8 * n
//!               | 2 lz4, 3 zstd: size u32 | bytes that inflate to n
//! ```
//!
//! What must hold, and is checked when a column is read:
//! 1. Every checksum is right, every length lies within what holds it, and nothing follows the end of the index, of the
//!    dictionaries, of a block. [`ColumnIndex::column_bytes`] tells where the column ends.
//! 2. Dictionaries are not empty, sorted by bytes, distinct, UTF-8; every code is below the number of entries. The
//!    writer leaves out entries that no row has; a reader does not count on it.
//! 3. Integers stay within 64 bits, a unit is not 0, distinct integers rise and are not distinct integers in turn, no
//!    more than the integers they stand for. Floats are finite. Bits beyond the last are 0.
//! 4. `has_gaps` is 1 where some rows have a value and some have not. In a row at most one part has a value.
//! 5. A block holds what its zone tells: as many nulls, the same bounds.
//! 6. Memory is taken for what stored bytes can inflate to (255 times in lz4, 32,768 times in zstd), not for what they
//!    claim; a section has 1 GiB at most, a dictionary 1 GiB of text.
//!
//! # The head, version 1
//!
//! What is known of all columns of a segment without reading one of them.
//!
//! ```text
//! head         := magic "WRH" | version u8 = 1 | checksum u64 | rows u32 | columns u32 | told*
//!                 checksum: of what follows it, seeded with that of magic and version
//! told         := length u32 | name | kinds u8 | flags u8 | [min i64 | max i64] | [same as u32]
//!                 flags bit 0: has nulls, bit 1: least and greatest value, bit 2: same as an earlier column
//! ```
//!
//! What must hold: names are UTF-8, sorted, distinct; kinds are known; bounds are told of columns of ints or of times
//! alone, the least first; `same as` names an earlier column that is itself stored and of which the same is told;
//! nothing follows the last column.

mod compress;
mod dictionary;
mod floats;
mod head;
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

#[cfg(test)]
mod tests;
