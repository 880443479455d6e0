//! What a segment tells of its columns without one of them being read: their names, types and spans.

use std::sync::Arc;

use crate::columnar::column::{Column, Data};
use crate::error::{Error, Result};
use crate::fields::Kinds;

/// The columns of a segment, sorted by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SegmentHead {
    /// Rows of every column.
    pub rows: usize,
    /// Sorted by name, names distinct.
    pub columns: Vec<HeadColumn>,
}

/// One column of a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadColumn {
    /// The field.
    pub name: Arc<str>,
    /// Types of its values.
    pub kinds: Kinds,
    /// Whether a row is without a value.
    pub has_nulls: bool,
    /// Smallest and largest value where all are of type int, or all of type time.
    pub span: Option<(i64, i64)>,
    /// An earlier column with equal contents, by its place in the list; this one is not stored then.
    pub same_as: Option<u32>,
}

impl HeadColumn {
    /// What is to be told of a column.
    pub fn of(name: Arc<str>, column: &Column, same_as: Option<u32>) -> Self {
        let span = match &column.data {
            Data::Int(ints) | Data::Time(ints) => Some((ints.min(), ints.max())),
            _ => None,
        };
        Self { name, kinds: column.kinds(), has_nulls: column.validity.is_some(), span, same_as }
    }
}

impl SegmentHead {
    /// The place of a column in the list; `None`: no row has a value there.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.binary_search_by(|column| (*column.name).cmp(name)).ok()
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&(self.rows as u64).to_le_bytes());
        for column in &self.columns {
            out.extend_from_slice(&(column.name.len() as u32).to_le_bytes());
            out.extend_from_slice(column.name.as_bytes());
            out.push(column.kinds.bits() as u8);
            out.push(u8::from(column.has_nulls));
            out.push(u8::from(column.span.is_some()));
            let (min, max) = column.span.unwrap_or_default();
            out.extend_from_slice(&min.to_le_bytes());
            out.extend_from_slice(&max.to_le_bytes());
            out.extend_from_slice(&column.same_as.unwrap_or(u32::MAX).to_le_bytes());
        }
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = || Error::Corrupt("the head of a segment is damaged".into());
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at_checked(count).ok_or_else(corrupt)?;
            rest = left;
            Ok::<_, Error>((taken, left.is_empty()))
        };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let (rows, mut ended) = take(8)?;
        let rows = number(rows) as usize;
        let mut columns = Vec::new();
        while !ended {
            let length = number(take(4)?.0) as usize;
            let name = std::str::from_utf8(take(length)?.0).map_err(|_| corrupt())?.into();
            let kinds = Kinds::from_bits(i64::from(take(1)?.0[0]));
            let has_nulls = take(1)?.0[0] == 1;
            let has_span = take(1)?.0[0] == 1;
            let span = (number(take(8)?.0) as i64, number(take(8)?.0) as i64);
            let (same, last) = take(4)?;
            let same_as = Some(number(same) as u32).filter(|same| *same != u32::MAX);
            columns.push(HeadColumn { name, kinds, has_nulls, span: has_span.then_some(span), same_as });
            ended = last;
        }
        Ok(Self { rows, columns })
    }
}
