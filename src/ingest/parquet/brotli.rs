//! Pages that are packed with Brotli. The crate unpacks such pages itself, but its codec brings the packer along: some
//! 0.9 MB of program that nobody calls. So it is told that a column is not packed, and what its pages hold is unpacked
//! here, which needs the unpacker alone. The reader of row groups asks it for the pages of each column.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use brotli_decompressor::Decompressor;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::SerializedPageReader;

/// Bytes of an unpacked page at most: the format keeps its size in 32 bits with a sign.
const PAGE_BYTES: usize = i32::MAX as usize;
/// Bytes of a packed page that the unpacker takes at a time.
const TAKEN_BYTES: usize = 4 << 10;

/// The pages of one column of a row group, unpacked.
pub struct BrotliPages {
    packed: SerializedPageReader<File>,
}

impl BrotliPages {
    /// Whether a column is packed so.
    pub fn are_in(chunk: &ColumnChunkMetaData) -> bool {
        matches!(chunk.compression(), Compression::BROTLI(_))
    }

    /// Reads the pages of a column from the first one on.
    pub fn new(file: &Arc<File>, chunk: &ColumnChunkMetaData, rows: usize) -> Result<Self> {
        let chunk = chunk.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        Ok(Self { packed: SerializedPageReader::new(Arc::clone(file), &chunk, rows, None)? })
    }
}

/// The page with its values unpacked. The levels of version 2 stand before them and are never packed.
fn unpacked(mut page: Page) -> Result<Page> {
    let (bytes, plain) = match &mut page {
        Page::DataPageV2 { is_compressed: false, .. } => return Ok(page),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            (buf, *def_levels_byte_len as usize + *rep_levels_byte_len as usize)
        }
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
    };
    let Some((levels, packed)) = bytes.split_at_checked(plain) else {
        return Err(ParquetError::General("a page is shorter than its levels".into()));
    };
    // a page of nulls alone may have nothing packed
    if packed.is_empty() {
        return Ok(page);
    }
    let mut whole = levels.to_vec();
    Decompressor::new(packed, TAKEN_BYTES).take(PAGE_BYTES as u64 + 1).read_to_end(&mut whole)?;
    if whole.len() > PAGE_BYTES {
        return Err(ParquetError::General(format!("a page has more than {PAGE_BYTES} bytes")));
    }
    *bytes = whole.into();
    Ok(page)
}

impl PageReader for BrotliPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.packed.get_next_page()?.map(unpacked).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.packed.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        self.packed.take_deferred_dictionary()?.map(unpacked).transpose()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.packed.at_record_boundary()
    }
}

impl Iterator for BrotliPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::Encoding;

    use super::*;

    /// "hello" as Brotli has it.
    const HELLO: &[u8] = b"\x0b\x02\x80hello\x03";

    fn page(bytes: &[u8], levels: (u32, u32), is_compressed: bool) -> Page {
        Page::DataPageV2 {
            buf: bytes.to_vec().into(),
            num_values: 5,
            encoding: Encoding::PLAIN,
            num_nulls: 0,
            num_rows: 5,
            def_levels_byte_len: levels.0,
            rep_levels_byte_len: levels.1,
            is_compressed,
            statistics: None,
        }
    }

    #[test]
    fn values_are_unpacked_and_levels_are_as_they_were() {
        for (bytes, is_compressed, wanted) in [
            ([b"abc", HELLO].concat(), true, &b"abchello"[..]),
            ([b"abc", HELLO].concat(), false, b"abc\x0b\x02\x80hello\x03"),
            (b"abc".to_vec(), true, b"abc"),
        ] {
            let unpacked = unpacked(page(&bytes, (2, 1), is_compressed)).expect("unpacked");
            assert_eq!(&unpacked.buffer()[..], wanted);
        }
    }

    #[test]
    fn damage_is_told() {
        let cut_off = &HELLO[..HELLO.len() - 2];
        for (bytes, levels) in
            [(&b"ab"[..], (2, 1)), (b"ab", (u32::MAX, 1)), (cut_off, (0, 0)), (b"\xff\xff\xff", (0, 0))]
        {
            assert!(unpacked(page(bytes, levels, true)).is_err(), "{bytes:?}");
        }
    }
}
