//! Streams: runs of bytes of a size that the reader knows, each stored the way that makes it small. They are
//! compressed one by one because the planes of a number differ: the low one is often noise, the high one often empty.

use std::borrow::Cow;
use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::columnar::segment::reader::{Reader, corrupt};
use crate::error::Result;

const CONSTANT: u8 = 0;
const RAW: u8 = 1;
const LZ4: u8 = 2;
const ZSTD: u8 = 3;

/// Bytes, and numbers, that may be stored as nothing but one value: beyond it every value takes its place, so that a few
/// damaged bytes cannot claim much memory.
pub(super) const CONSTANT_MAX: usize = 1 << 16;
/// What one stored byte can inflate to at most: a literal run in lz4, a repeated block of 128 KiB in zstd.
const LZ4_RATIO_MAX: usize = 255;
const ZSTD_RATIO_MAX: usize = 1 << 15;
/// Below this, the frame of zstd is most of what is stored.
const COMPRESS_FROM_BYTES: usize = 48;
/// Text is read once a column, so it may take longer to write.
const LEVEL_TEXT: i32 = 6;
const LEVEL_NUMBERS: i32 = 1;

/// What the bytes are, as far as compression cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// The texts of a dictionary.
    Text,
    /// Planes of numbers, bits.
    Numbers,
}

/// Compression contexts are large, so each thread keeps its own.
#[derive(Default)]
struct Contexts {
    text: Option<Compressor<'static>>,
    numbers: Option<Compressor<'static>>,
    zstd: Vec<u8>,
    lz4: Vec<u8>,
}

thread_local! {
    static DEFLATE: RefCell<Contexts> = RefCell::default();
    static INFLATE: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends a stream.
pub(super) fn put_stream(out: &mut Vec<u8>, bytes: &[u8], content: Content) {
    let Some(first) = bytes.first() else { return };
    if bytes.len() <= CONSTANT_MAX && bytes.iter().all(|byte| byte == first) {
        return out.extend_from_slice(&[CONSTANT, *first]);
    }
    if bytes.len() >= COMPRESS_FROM_BYTES {
        let is_stored = DEFLATE.with_borrow_mut(|contexts| contexts.put_smaller(out, bytes, content));
        if is_stored {
            return;
        }
    }
    out.push(RAW);
    out.extend_from_slice(bytes);
}

impl Contexts {
    /// Appends the stream compressed where that earns its keep.
    fn put_smaller(&mut self, out: &mut Vec<u8>, bytes: &[u8], content: Content) -> bool {
        let (context, level) = match content {
            Content::Text => (&mut self.text, LEVEL_TEXT),
            Content::Numbers => (&mut self.numbers, LEVEL_NUMBERS),
        };
        if context.is_none() {
            *context = Compressor::new(level).ok();
        }
        let Some(compressor) = context else { return false };
        self.zstd.clear();
        self.zstd.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        if compressor.compress_to_buffer(bytes, &mut self.zstd).is_err() {
            return false;
        }
        // inflating costs time at every cold read, so zstd has to save a twentieth, and lz4 is taken where it is as good
        if self.zstd.len() + 5 > bytes.len() - bytes.len() / 20 {
            return false;
        }
        self.lz4.resize(lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
        let lz4 = lz4_flex::block::compress_into(bytes, &mut self.lz4).ok().map(|size| &self.lz4[..size]);
        let (codec, stored) = match lz4 {
            Some(lz4) if lz4.len() <= self.zstd.len() + self.zstd.len() / 20 => (LZ4, lz4),
            _ => (ZSTD, &self.zstd[..]),
        };
        let Ok(size) = u32::try_from(stored.len()) else { return false };
        out.push(codec);
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(stored);
        true
    }
}

/// Reads a stream of `size` bytes.
pub(super) fn read_stream<'a>(reader: &mut Reader<'a>, size: usize) -> Result<Cow<'a, [u8]>> {
    if size == 0 {
        return Ok(Cow::Borrowed(&[]));
    }
    let codec = reader.u8()?;
    match codec {
        CONSTANT if size <= CONSTANT_MAX => Ok(Cow::Owned(vec![reader.u8()?; size])),
        RAW => reader.take(size).map(Cow::Borrowed),
        LZ4 | ZSTD => {
            let stored_size = reader.u32()? as usize;
            let stored = reader.take(stored_size)?;
            let ratio = if codec == LZ4 { LZ4_RATIO_MAX } else { ZSTD_RATIO_MAX };
            // memory is taken for what the stored bytes can hold, not for what they claim
            if size / ratio > stored.len() {
                return Err(corrupt("a stream claims more than it can hold"));
            }
            inflate(codec, stored, size).map(Cow::Owned)
        }
        _ => Err(corrupt(format!("a stream of {size} bytes has codec {codec}"))),
    }
}

fn inflate(codec: u8, stored: &[u8], size: usize) -> Result<Vec<u8>> {
    let inflated = if codec == LZ4 {
        lz4_flex::block::decompress(stored, size).map_err(|e| corrupt(format!("lz4: {e}")))?
    } else {
        let mut inflated = Vec::with_capacity(size);
        INFLATE.with_borrow_mut(|context| {
            let decompressor = context.get_or_insert_with(Decompressor::default);
            decompressor
                .decompress_to_buffer(stored, &mut inflated)
                .map_err(|e| corrupt(format!("zstd: {e}")))
        })?;
        inflated
    };
    if inflated.len() != size {
        return Err(corrupt(format!("a stream inflates to {} bytes instead of {size}", inflated.len())));
    }
    Ok(inflated)
}
