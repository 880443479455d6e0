//! From values to small codes: what rows are grouped by, and what is counted distinct, as numbers that arrays are indexed
//! by. How an expression is coded is chosen once a query, from what is known of its values without reading them; the
//! codes of all tasks are the same but for those of an open domain, which each task numbers as values come along.

use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, with_narrow};
use crate::error::Result;
use crate::limits;
use crate::query::expression::Expr;
use crate::query::functions::Context;
use crate::query::intern::Interner;
use crate::query::slots::FEW_SLOTS;
use crate::query::vector;
use crate::query::view::View;
use crate::store::numbering::Numbering;
use crate::store::part::{Part, Source, Stored, Zone, Zones};
use crate::store::snapshot::Dataset;
use crate::time::{Bucketer, Calendar};

/// Codes of a span that is no wider are the values themselves. Like other bounds between one way and the next it is small
/// in unit tests, so that generated data go all ways.
const SPAN_CODES: u64 = if cfg!(test) { 32 } else { 1 << 21 };
/// Buckets of time that are listed beforehand.
const BUCKETS: usize = if cfg!(test) { 64 } else { 1 << 20 };

/// What is known of the values of an expression before they are read.
#[derive(Debug, Clone)]
pub enum Domain {
    /// Whole numbers or times from one to another.
    Span {
        /// No value is below.
        min: i64,
        /// Codes, 0 for null among them.
        codes: usize,
        /// Whether they are times.
        is_time: bool,
    },
    /// The time buckets of a column, by the starts of all there can be.
    Buckets {
        /// The expression as it prints.
        name: Arc<str>,
        /// The column.
        column: Arc<str>,
        /// In order.
        starts: Arc<[i64]>,
    },
    /// Numbers that hold across parts.
    Numbered {
        /// The column.
        column: Arc<str>,
        /// Its numbers.
        numbering: Arc<Numbering>,
    },
    /// Nothing.
    Open,
}

/// The codes of some rows.
#[derive(Debug, Clone)]
pub enum Codes {
    /// All rows have this one.
    One(u32),
    /// One a row.
    Each(Arc<Vec<u32>>),
    /// One a row by way of a short list: a place in it a row.
    Listed(Arc<Vec<u16>>, Arc<Vec<u32>>),
}

impl Codes {
    /// Bytes in memory; a list is shared by many.
    pub fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Each(codes) => codes.len() * size_of::<u32>(),
            Self::Listed(places, _) => places.len() * size_of::<u16>(),
        }
    }

    /// The codes of some rows.
    pub fn take(&self, rows: &[u32]) -> Self {
        match self {
            Self::One(code) => Self::One(*code),
            Self::Each(codes) => Self::Each(Arc::new(rows.iter().map(|row| codes[*row as usize]).collect())),
            Self::Listed(places, list) => {
                let places = rows.iter().map(|row| places[*row as usize]).collect();
                Self::Listed(Arc::new(places), Arc::clone(list))
            }
        }
    }

    /// The same codes without a list.
    pub fn plain(self) -> Self {
        match self {
            Self::Listed(places, list) => {
                Self::Each(Arc::new(places.iter().map(|place| list[*place as usize]).collect()))
            }
            plain => plain,
        }
    }

    /// The code of a row.
    #[inline]
    pub fn of(&self, row: usize) -> u32 {
        match self {
            Self::One(code) => *code,
            Self::Each(codes) => codes[row],
            Self::Listed(places, list) => list[places[row] as usize],
        }
    }
}

/// Gives codes to the values of one expression.
#[derive(Debug, Clone)]
pub struct Coder {
    domain: Domain,
    interner: Interner,
}

impl Domain {
    /// What is known of an expression over some parts of a dataset. Numbering a column pays for itself from the second
    /// question on, so it is for columns whose values are counted or grouped by.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn of(expression: &Expr, dataset: &Dataset, parts: &[Part], calendar: &Calendar) -> Result<Self> {
        match expression {
            Expr::Column(name) => {
                if let Some((min, max, is_time)) = span(name, dataset, parts)?
                    && (max.wrapping_sub(min) as u64) < SPAN_CODES
                {
                    return Ok(Self::Span { min, codes: (max - min) as usize + 2, is_time });
                }
                let numbering = dataset.numberings.of(dataset, name);
                if let Some(numbering) = &numbering
                    && let Err(error) = numbering.prepare(parts)
                {
                    return if numbering.is_full() { Ok(Self::Open) } else { Err(error) };
                }
                Ok(numbering.map_or(Self::Open, |numbering| Self::Numbered {
                    column: name.as_str().into(),
                    numbering,
                }))
            }
            Expr::Call(function, arguments) => match (function.bucket(), arguments.as_slice()) {
                (Some(bucket), [Expr::Column(name)]) => match span(name, dataset, parts)? {
                    Some((min, max, true)) => {
                        let starts = bucket_starts(&mut Bucketer::new(bucket, calendar), min, max);
                        let (name, column) = (expression.to_string().into(), name.as_str().into());
                        Ok(starts.map_or(Self::Open, |starts| {
                            let starts = starts.into();
                            Self::Buckets { name, column, starts }
                        }))
                    }
                    _ => Ok(Self::Open),
                },
                _ => Ok(Self::Open),
            },
            _ => Ok(Self::Open),
        }
    }
}

impl Domain {
    /// What is known of an expression whose numbers alone count.
    ///
    /// # Errors
    /// A zone that cannot be read.
    pub fn of_numbers(expression: &Expr, dataset: &Dataset, parts: &[Part]) -> Result<Self> {
        let Expr::Column(name) = expression else { return Ok(Self::Open) };
        let span = span(name, dataset, parts)?;
        Ok(span.map_or(Self::Open, |(min, _, is_time)| Self::Span { min, codes: 0, is_time }))
    }

    /// About how many codes there are; of an open one nothing is known.
    pub fn bound(&self) -> usize {
        match self {
            Self::Span { codes, .. } => *codes,
            Self::Buckets { starts, .. } => starts.len() + 1,
            // numbers that were never asked for have many values, else they would be a span
            Self::Numbered { numbering, .. } if numbering.bound() == 1 => 1 << 19,
            Self::Numbered { numbering, .. } => numbering.bound(),
            Self::Open => 1,
        }
    }

    /// Bits that hold every code.
    pub fn code_bits(&self) -> u32 {
        match self {
            Self::Span { .. } | Self::Buckets { .. } => usize::BITS - self.bound().leading_zeros(),
            Self::Numbered { .. } => limits::NUMBERED_VALUES.ilog2(),
            Self::Open => u32::BITS,
        }
    }

    /// The codes of a part's rows, or of some of them, for domains that need no more than the part.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read.
    pub fn codes_of_part(&self, part: &Part, rows: Option<&[u32]>) -> Result<Codes> {
        match self {
            Self::Numbered { numbering, .. } => match numbering.of_few_texts(part, rows, FEW_SLOTS)? {
                Some((places, list)) => {
                    let places =
                        with_narrow!(places, places => places.into_iter().map(|p| p as u16).collect());
                    Ok(Codes::Listed(Arc::new(places), list))
                }
                None => numbering.of_part(part, rows).map(Codes::Each),
            },
            Self::Buckets { column, starts, .. } => {
                // mostly all rows of a block lie in one bucket, and the zone tells which
                if let Zone::Times { min, max, has_nulls: false } = part.zone(column)?
                    && let (first, last) = (place_of(starts, min), place_of(starts, max))
                    && first == last
                {
                    return Ok(Codes::One(first as u32));
                }
                let column = part.column(column)?;
                Ok(column.map_or(Codes::One(0), |column| bucket_codes(&column, starts, rows)))
            }
            Self::Span { .. } | Self::Open => Ok(Codes::One(0)),
        }
    }

    /// Whether a value has the same code here and there, as far as both have one.
    pub fn is_coded_as(&self, other: &Domain) -> bool {
        match (self, other) {
            (Self::Span { min: a, .. }, Self::Span { min: b, .. }) => a == b,
            (Self::Buckets { name: a, starts, .. }, Self::Buckets { name: b, starts: others, .. }) => {
                let both = starts.len().min(others.len());
                a == b && (Arc::ptr_eq(starts, others) || starts[..both] == others[..both])
            }
            (Self::Numbered { numbering: a, .. }, Self::Numbered { numbering: b, .. }) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Whether all tasks give the same codes.
    pub fn is_fixed(&self) -> bool {
        !matches!(self, Self::Open)
    }

    /// Its numbers across parts, where it has such.
    pub fn numbering(&self) -> Option<&Arc<Numbering>> {
        match self {
            Self::Numbered { numbering, .. } => Some(numbering),
            _ => None,
        }
    }

    /// The least whole number there can be, where it is known.
    pub fn least(&self) -> Option<i64> {
        match self {
            Self::Span { min, .. } => Some(*min),
            _ => None,
        }
    }
}

/// Least and greatest value of a column in some parts, and whether they are times; `None` where they may be others.
fn span(name: &str, dataset: &Dataset, parts: &[Part]) -> Result<Option<(i64, i64, bool)>> {
    if name == "_id" || dataset.fields.kinds(name).is_some_and(|kinds| kinds.single().is_none()) {
        return Ok(None);
    }
    let mut all: Option<(i64, i64, bool)> = None;
    let mut last = None;
    for part in parts {
        // what a segment tells as a whole is in memory
        let zone = match part.stored() {
            Stored::Sealed(segment, _) if last == Some(segment.id) => continue,
            Stored::Sealed(segment, _) => {
                last = Some(segment.id);
                Source::Segment(Arc::clone(segment)).zone(name)?
            }
            Stored::Tail(block) => Source::Tail(block.clone()).zone(name)?,
        };
        let (min, max, is_time) = match zone {
            Zone::Empty => continue,
            Zone::Ints { min, max, .. } => (min, max, false),
            Zone::Times { min, max, .. } => (min, max, true),
            _ => return Ok(None),
        };
        all = match all {
            None => Some((min, max, is_time)),
            Some((_, _, other)) if other != is_time => return Ok(None),
            Some((least, greatest, _)) => Some((least.min(min), greatest.max(max), is_time)),
        };
    }
    Ok(all)
}

fn bucket_starts(bucketer: &mut Bucketer, min: i64, max: i64) -> Option<Vec<i64>> {
    let (mut starts, mut start) = (Vec::new(), bucketer.start(min));
    while start <= max {
        starts.push(start);
        let next = bucketer.next(start);
        if next <= start || starts.len() > BUCKETS {
            return None;
        }
        start = next;
    }
    Some(starts)
}

impl Coder {
    /// A coder of one task.
    pub fn new(domain: &Domain) -> Self {
        Self { domain: domain.clone(), interner: Interner::default() }
    }

    /// Bytes in memory; what is known beforehand belongs to the dataset.
    pub fn bytes(&self) -> usize {
        self.interner.bytes()
    }

    /// No code of now is as large; where it is not known beforehand it grows.
    pub fn bound(&self) -> usize {
        match &self.domain {
            Domain::Span { codes, .. } => *codes,
            Domain::Buckets { starts, .. } => starts.len() + 1,
            Domain::Numbered { numbering, .. } => numbering.bound(),
            Domain::Open => self.interner.count(),
        }
    }

    /// The codes of an expression for the rows of a view. Equal values have equal codes, null among them.
    ///
    /// # Errors
    /// As evaluating the expression.
    pub fn codes(&mut self, expression: &Expr, view: &View, context: &Context) -> Result<Codes> {
        match &self.domain {
            Domain::Numbered { column: name, .. } | Domain::Buckets { name, .. } => Ok(view.codes(name)),
            Domain::Span { min, .. } => Ok(span_codes(&*vector::evaluate(expression, view, context)?, *min)),
            Domain::Open => {
                let column = vector::evaluate(expression, view, context)?;
                Ok(Codes::Each(Arc::new(self.interner.ids(&column))))
            }
        }
    }

    /// The codes of values that are no rows of a part: those that stand for groups, or that were counted distinct before.
    ///
    /// # Errors
    /// Values that are too many to number.
    pub fn codes_of_column(&mut self, column: &Column) -> Result<Vec<u32>> {
        let codes = match &self.domain {
            Domain::Span { min, .. } => span_codes(column, *min),
            Domain::Buckets { starts, .. } => bucket_codes(column, starts, None),
            Domain::Numbered { numbering, .. } => return numbering.of_column(column),
            Domain::Open => return Ok(self.interner.ids(column)),
        };
        Ok((0..column.rows).map(|row| codes.of(row)).collect())
    }

    /// The values of all codes there are, in their order.
    pub fn values(&self) -> Column {
        self.column(&(0..self.bound() as u32).collect::<Vec<u32>>())
    }

    /// The values of some codes, as a column.
    pub fn column(&self, codes: &[u32]) -> Column {
        let with_gaps = |value: &dyn Fn(u32) -> i64| {
            let validity = Bitmap::from_fn(codes.len(), |row| codes[row] != 0);
            let values: Vec<i64> =
                codes.iter().map(|code| if *code == 0 { 0 } else { value(*code - 1) }).collect();
            (Ints::from_masked(&values, &validity), validity)
        };
        match &self.domain {
            Domain::Numbered { numbering, .. } => numbering.column(codes),
            Domain::Span { min, is_time, .. } => {
                let (ints, validity) = with_gaps(&|place| min + i64::from(place));
                let data = if *is_time { Data::Time(ints) } else { Data::Int(ints) };
                Column::new(codes.len(), Some(validity), data)
            }
            Domain::Buckets { starts, .. } => {
                let (ints, validity) = with_gaps(&|place| starts.get(place as usize).copied().unwrap_or(0));
                Column::new(codes.len(), Some(validity), Data::Time(ints))
            }
            Domain::Open => column_of(codes.iter().map(|code| self.interner.value(*code).clone())),
        }
    }

    /// Takes over the values of another task; the result maps its codes to codes here, `None` where they are the same.
    pub fn absorb(&mut self, other: Coder) -> Option<Vec<u32>> {
        match self.domain {
            Domain::Open => Some(self.interner.absorb(other.interner)),
            _ => None,
        }
    }

    /// What was known beforehand.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The code of null, where there is one.
    pub fn null(&self) -> Option<u32> {
        match self.domain {
            Domain::Open => self.interner.find_null(),
            _ => Some(0),
        }
    }
}

fn span_codes(column: &Column, min: i64) -> Codes {
    let (Data::Int(ints) | Data::Time(ints)) = &column.data else { return Codes::One(0) };
    // the span holds every value, so the sum fits; rows without a value come out as some code and are put right
    let base = ints.min().wrapping_sub(min).wrapping_add(1) as u32;
    let mut codes: Vec<u32> = with_narrow!(ints.offsets(), offsets => offsets.iter().map(|o| base.wrapping_add(*o as u32)).collect());
    clear_invalid(&mut codes, column.validity.as_ref());
    Codes::Each(Arc::new(codes))
}

fn clear_invalid(codes: &mut [u32], validity: Option<&Bitmap>) {
    if let Some(bits) = validity {
        codes.iter_mut().enumerate().filter(|(row, _)| !bits.get(*row)).for_each(|(_, code)| *code = 0);
    }
}

/// The code of the bucket that an instant lies in.
fn place_of(starts: &[i64], us: i64) -> usize {
    starts.partition_point(|start| *start <= us)
}

/// The bucket of every time, or of some: its place among the starts, plus one.
fn bucket_codes(column: &Column, starts: &[i64], rows: Option<&[u32]>) -> Codes {
    let Data::Time(times) = &column.data else { return Codes::One(0) };
    let (first, last) = (place_of(starts, times.min()), place_of(starts, times.max()));
    if first == last && column.validity.is_none() {
        return Codes::One(first as u32);
    }
    // bounds of the buckets from `first` on as offsets of the column
    let ends: Vec<u64> =
        starts[first..last].iter().map(|start| start.wrapping_sub(times.min()) as u64).collect();
    let is_rising =
        column.validity.is_none() && with_narrow!(times.offsets(), offsets => offsets.is_sorted());
    if is_rising {
        let passed = |end: &u64| with_narrow!(times.offsets(), offsets => offsets.partition_point(|offset| (*offset as u64) < *end));
        let ends: Vec<usize> = ends.iter().map(passed).collect();
        return Codes::Each(Arc::new(by_place(&ends, rows, column.rows, first as u32)));
    }
    if let Some(rows) = rows {
        return bucket_codes(&column.take(rows), starts, None);
    }
    let mut codes = with_narrow!(times.offsets(), offsets => place_among(offsets, &ends, first as u32));
    clear_invalid(&mut codes, column.validity.as_ref());
    Codes::Each(Arc::new(codes))
}

/// The codes of rising rows, or all, where those from an end on have the next code.
fn by_place(ends: &[usize], rows: Option<&[u32]>, all: usize, first: u32) -> Vec<u32> {
    let place = |end: usize| rows.map_or(end, |rows| rows.partition_point(|row| (*row as usize) < end));
    let count = rows.map_or(all, <[u32]>::len);
    let mut codes = Vec::with_capacity(count);
    for (passed, end) in ends.iter().chain([&usize::MAX]).enumerate() {
        codes.resize(place(*end).min(count), first + passed as u32);
    }
    codes
}

/// `first` for offsets below the first end, one more for each end that an offset has reached.
fn place_among<T: Copy + Into<u64>>(offsets: &[T], ends: &[u64], first: u32) -> Vec<u32> {
    // few ends: compare with each, without a branch
    if ends.len() <= 4 {
        let mut codes = vec![first; offsets.len()];
        for end in ends {
            codes
                .iter_mut()
                .zip(offsets)
                .for_each(|(code, offset)| *code += u32::from((*offset).into() >= *end));
        }
        return codes;
    }
    let (mut from, mut to, mut code) = (1, 0, first);
    let place = |offset: &T| {
        let offset: u64 = (*offset).into();
        // neighbours mostly share a bucket
        if offset < from || offset >= to {
            let passed = ends.partition_point(|end| *end <= offset);
            from = if passed == 0 { 0 } else { ends[passed - 1] };
            to = ends.get(passed).copied().unwrap_or(u64::MAX);
            code = first + passed as u32;
        }
        code
    };
    offsets.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(codes: Codes, rows: usize) -> Vec<u32> {
        match codes {
            Codes::One(code) => vec![code; rows],
            Codes::Each(codes) => codes.to_vec(),
            Codes::Listed(..) => panic!("not of a dictionary"),
        }
    }

    #[test]
    fn buckets_are_told_by_their_place_however_many_a_block_touches() {
        let starts: Vec<i64> = (0..40).map(|n| n * 100 - 1_000).collect();
        for times in [
            vec![-1_000, -950],
            vec![-1_000, -901, -900, 250, 199],
            (-1_000..3_000).rev().step_by(7).collect(),
        ] {
            let wanted: Vec<u32> = times.iter().map(|us| ((us + 1_000) / 100 + 1) as u32).collect();
            assert_eq!(each(bucket_codes(&Column::times(&times), &starts, None), times.len()), wanted);
        }
    }

    #[test]
    fn buckets_of_some_rows_are_those_that_all_rows_have() {
        let starts: Vec<i64> = (0..9).map(|n| n * 100).collect();
        let rising: Vec<i64> = (0..800).collect();
        let shuffled: Vec<i64> = (0..800).map(|n| n * 7 % 800).collect();
        for times in [rising, shuffled] {
            let column = Column::times(&times);
            let all = each(bucket_codes(&column, &starts, None), times.len());
            assert!(all.iter().zip(&times).all(|(code, us)| i64::from(*code) == us / 100 + 1));
            let rows: Vec<u32> = (0..800).filter(|row| row % 3 == 1 && !(200..420).contains(row)).collect();
            let some = each(bucket_codes(&column, &starts, Some(&rows)), rows.len());
            assert_eq!(some, rows.iter().map(|row| all[*row as usize]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_span_is_coded_by_its_values_and_null_by_zero() {
        let validity = Bitmap::from_fn(3, |row| row != 1);
        let ints = Ints::from_masked(&[7, 0, 10], &validity);
        let column = Column::new(3, Some(validity), Data::Int(ints));
        assert_eq!(each(span_codes(&column, 5), 3), [3, 0, 6]);
        let coder = Coder::new(&Domain::Span { min: 5, codes: 7, is_time: false });
        let back = coder.column(&[3, 0, 6]);
        assert_eq!(
            (0..3).map(|row| back.get(row)).collect::<Vec<_>>(),
            (0..3).map(|row| column.get(row)).collect::<Vec<_>>()
        );
    }
}
