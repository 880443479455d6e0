//! Takes the parts of stored bytes one after the other; every length is checked before anything is taken.

use crate::error::{Error, Result};

/// What is left to read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

/// Stored bytes that break a rule.
pub(super) fn corrupt(what: impl Into<String>) -> Error {
    Error::Corrupt(what.into())
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(|| corrupt("it ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn one<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (one, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(|| corrupt("it ends too early"))?;
        self.bytes = rest;
        Ok(*one)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.one().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.one().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.one().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.one().map(i64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(corrupt("a flag is neither 0 nor 1")),
        }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(corrupt("bytes follow its end")) }
    }
}
