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
/// Numbers are written in millions; more effort gains little on planes.
const LEVEL_NUMBERS: i32 = 1;
/// Text is written once a column, each of its entries once.
const LEVEL_TEXT: i32 = 6;

thread_local! {
    /// Contexts are large and streams short, so each thread keeps one.
    static DEFLATE: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static INFLATE: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends a stream: planes of numbers, bits.
pub(super) fn put_stream(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes, |bytes| {
        DEFLATE.with_borrow_mut(|context| {
            if context.is_none() {
                *context = Compressor::new(LEVEL_NUMBERS).ok();
            }
            context.as_mut()?.compress(bytes).ok()
        })
    });
}

/// Appends a stream of text.
pub(super) fn put_text_stream(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes, |bytes| zstd::bulk::compress(bytes, LEVEL_TEXT).ok());
}

fn put(out: &mut Vec<u8>, bytes: &[u8], deflate: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let Some(first) = bytes.first() else { return };
    if bytes.len() <= CONSTANT_MAX && bytes.iter().all(|byte| byte == first) {
        return out.extend_from_slice(&[CONSTANT, *first]);
    }
    let zstd = if bytes.len() < COMPRESS_FROM_BYTES { None } else { deflate(bytes) };
    // inflating costs time at every cold read, so zstd has to save a twentieth, and lz4 is taken where it is as good
    let zstd = zstd.filter(|zstd| zstd.len() + 5 <= bytes.len() - bytes.len() / 20);
    let Some(zstd) = zstd else {
        out.push(RAW);
        return out.extend_from_slice(bytes);
    };
    let lz4 = lz4_flex::block::compress(bytes);
    let (codec, stored) = if lz4.len() <= zstd.len() + zstd.len() / 20 { (LZ4, lz4) } else { (ZSTD, zstd) };
    out.push(codec);
    // smaller than a section, which `write` bounds
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    out.extend_from_slice(&stored);
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
