//! One column of a row group: its values for the next rows in bulk, in the kinds that fields have. The crate unpacks
//! pages and decodes numbers, [`pages`](crate::ingest::parquet::pages) reads text.

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
    Int96, Int96Type,
};
use parquet::file::metadata::ColumnChunkMetaData;

use crate::columnar::bitmap::Bitmap;
use crate::ingest::parquet::Fault;
use crate::ingest::parquet::pages::{Coded, Entries, TextPages};
use crate::ingest::parquet::shape::{Kind, Leaf, Unit};

/// What stands for an instant that 64 bits of µs do not reach.
pub const NO_TIME: i64 = i64::MIN;

/// Values of one column for some rows.
#[derive(Debug)]
pub struct LeafRows {
    /// Which rows have a value, where a row has at most one; `None`: all.
    pub present: Option<Bitmap>,
    /// Definition and repetition levels of a column in a list.
    pub levels: (Vec<i16>, Vec<i16>),
    /// The values that are there.
    pub values: Values,
}

/// Values that are there, by kind.
#[derive(Debug)]
pub enum Values {
    /// true, false.
    Bool(Vec<bool>),
    /// Whole numbers.
    Int(Vec<i64>),
    /// Whole numbers of which some do not fit 64 bits.
    Wide(Vec<i128>),
    /// Numbers; NaN and infinities too.
    Float(Vec<f64>),
    /// µs; [`NO_TIME`] too.
    Time(Vec<i64>),
    /// Text.
    Text(Coded),
}

/// Reads one column chunk from front to back.
pub struct LeafReader {
    kind: Kind,
    max_level: i16,
    is_nested: bool,
    input: Input,
}

enum Input {
    Pages(TextPages),
    Bool(ColumnReaderImpl<BoolType>),
    Int32(ColumnReaderImpl<Int32Type>),
    Int64(ColumnReaderImpl<Int64Type>),
    Int96(ColumnReaderImpl<Int96Type>),
    Float(ColumnReaderImpl<FloatType>),
    Double(ColumnReaderImpl<DoubleType>),
    Bytes(ColumnReaderImpl<ByteArrayType>),
    Fixed(ColumnReaderImpl<FixedLenByteArrayType>),
}

/// Runs `$body` with `$reader` bound to the typed reader of the crate; `$pages` for text that is read here.
macro_rules! with_reader {
    ($input:expr, $pages:ident => $on_pages:expr, $reader:ident => $body:expr) => {
        match $input {
            Input::Pages($pages) => $on_pages,
            Input::Bool($reader) => $body,
            Input::Int32($reader) => $body,
            Input::Int64($reader) => $body,
            Input::Int96($reader) => $body,
            Input::Float($reader) => $body,
            Input::Double($reader) => $body,
            Input::Bytes($reader) => $body,
            Input::Fixed($reader) => $body,
        }
    };
}

impl LeafReader {
    /// Reads a column chunk from its first row.
    pub fn new(leaf: &Leaf, chunk: &ColumnChunkMetaData, pages: Box<dyn PageReader>) -> Self {
        let column = chunk.column_descr_ptr();
        let is_plain = chunk.encodings().all(|encoding| {
            matches!(
                encoding,
                Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY | Encoding::RLE
            )
        });
        let input = match column.physical_type() {
            Physical::BYTE_ARRAY
                if matches!(leaf.kind, Kind::Text | Kind::Binary) && !leaf.is_nested && is_plain =>
            {
                Input::Pages(TextPages::new(pages, leaf.max_level))
            }
            Physical::BOOLEAN => Input::Bool(ColumnReaderImpl::new(column, pages)),
            Physical::INT32 => Input::Int32(ColumnReaderImpl::new(column, pages)),
            Physical::INT64 => Input::Int64(ColumnReaderImpl::new(column, pages)),
            Physical::INT96 => Input::Int96(ColumnReaderImpl::new(column, pages)),
            Physical::FLOAT => Input::Float(ColumnReaderImpl::new(column, pages)),
            Physical::DOUBLE => Input::Double(ColumnReaderImpl::new(column, pages)),
            Physical::BYTE_ARRAY => Input::Bytes(ColumnReaderImpl::new(column, pages)),
            Physical::FIXED_LEN_BYTE_ARRAY => Input::Fixed(ColumnReaderImpl::new(column, pages)),
        };
        Self { kind: leaf.kind, max_level: leaf.max_level, is_nested: leaf.is_nested, input }
    }

    /// Leaves rows out.
    pub fn skip(&mut self, rows: usize) -> Result<(), Fault> {
        let skipped = with_reader!(&mut self.input,
            pages => return pages.skip(rows),
            reader => reader.skip_records(rows)?);
        if skipped == rows { Ok(()) } else { Err(too_few()) }
    }

    /// The values of the next rows.
    pub fn read(&mut self, rows: usize) -> Result<LeafRows, Fault> {
        let mut levels = (Vec::new(), Vec::new());
        let kind = self.kind;
        let values = match &mut self.input {
            Input::Pages(pages) => {
                let (present, coded) = pages.read(rows)?;
                return Ok(LeafRows { present, levels, values: Values::Text(coded) });
            }
            Input::Bool(reader) => Values::Bool(typed(reader, rows, &mut levels)?),
            Input::Int32(reader) => int32(kind, &typed(reader, rows, &mut levels)?)?,
            Input::Int64(reader) => int64(kind, typed(reader, rows, &mut levels)?)?,
            Input::Int96(reader) => {
                Values::Time(typed(reader, rows, &mut levels)?.iter().map(julian).collect())
            }
            Input::Float(reader) => {
                Values::Float(typed(reader, rows, &mut levels)?.into_iter().map(f64::from).collect())
            }
            Input::Double(reader) => Values::Float(typed(reader, rows, &mut levels)?),
            Input::Bytes(reader) => {
                let values = typed(reader, rows, &mut levels)?;
                bytes(kind, &values.iter().map(|value| value.data()).collect::<Vec<_>>())?
            }
            Input::Fixed(reader) => {
                let values = typed(reader, rows, &mut levels)?;
                bytes(kind, &values.iter().map(|value| value.data()).collect::<Vec<_>>())?
            }
        };
        let present = (!self.is_nested && self.max_level > 0)
            .then(|| Bitmap::from_fn(rows, |row| levels.0.get(row) == Some(&self.max_level)))
            .filter(|present| !present.all());
        Ok(LeafRows { present, levels, values })
    }
}

fn too_few() -> Fault {
    Fault::Damaged("a column has fewer rows than its row group".into())
}

fn typed<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut (Vec<i16>, Vec<i16>),
) -> Result<Vec<T::T>, Fault> {
    let mut values = Vec::new();
    let mut read = 0;
    while read < rows {
        let (more, ..) =
            reader.read_records(rows - read, Some(&mut levels.0), Some(&mut levels.1), &mut values)?;
        if more == 0 {
            return Err(too_few());
        }
        read += more;
    }
    Ok(values)
}

fn int32(kind: Kind, values: &[i32]) -> Result<Values, Fault> {
    Ok(match kind {
        Kind::Unsigned => Values::Int(values.iter().map(|v| i64::from(*v as u32)).collect()),
        _ => int64(kind, values.iter().map(|v| i64::from(*v)).collect())?,
    })
}

fn int64(kind: Kind, values: Vec<i64>) -> Result<Values, Fault> {
    Ok(match kind {
        Kind::Unsigned if values.iter().any(|v| *v < 0) => {
            Values::Wide(values.iter().map(|v| i128::from(*v as u64)).collect())
        }
        Kind::Time(unit) => Values::Time(times(unit, values)),
        Kind::TimeOfDay(unit) => texts(values.iter().map(|v| time_of_day(unit, *v)))?,
        Kind::Decimal { scale: 0 } => Values::Int(values),
        Kind::Decimal { scale } => {
            Values::Float(values.iter().map(|v| decimal(i128::from(*v), scale)).collect())
        }
        _ => Values::Int(values),
    })
}

/// Binary values of all lengths.
fn bytes(kind: Kind, values: &[&[u8]]) -> Result<Values, Fault> {
    Ok(match kind {
        Kind::Decimal { scale } => {
            let whole: Option<Vec<i128>> = values.iter().map(|value| big_endian(value)).collect();
            let whole = whole.ok_or_else(|| Fault::Damaged("a decimal of more than 128 bits".into()))?;
            if scale > 0 {
                Values::Float(whole.iter().map(|v| decimal(*v, scale)).collect())
            } else {
                let narrow: Option<Vec<i64>> = whole.iter().map(|v| i64::try_from(*v).ok()).collect();
                narrow.map_or(Values::Wide(whole), Values::Int)
            }
        }
        Kind::Float => Values::Float(values.iter().map(|value| half(value)).collect()),
        Kind::Uuid => texts(values.iter().map(|value| uuid(value)))?,
        _ => {
            let mut entries = Entries::default();
            entries.extend(values.iter().copied())?;
            Values::Text(Coded::of_own(entries))
        }
    })
}

fn texts(texts: impl Iterator<Item = String>) -> Result<Values, Fault> {
    let texts: Vec<String> = texts.collect();
    let mut entries = Entries::default();
    entries.extend(texts.iter().map(String::as_bytes))?;
    Ok(Values::Text(Coded::of_own(entries)))
}

fn times(unit: Unit, mut values: Vec<i64>) -> Vec<i64> {
    const DAY_US: i64 = 86_400_000_000;
    match unit {
        Unit::Days => values.iter_mut().for_each(|v| *v = v.checked_mul(DAY_US).unwrap_or(NO_TIME)),
        Unit::Millis => values.iter_mut().for_each(|v| *v = v.checked_mul(1_000).unwrap_or(NO_TIME)),
        Unit::Micros => {}
        Unit::Nanos => values.iter_mut().for_each(|v| *v = v.div_euclid(1_000)),
    }
    values
}

/// Days since the Julian epoch and nanoseconds of the day, as Impala and old Spark wrote instants.
fn julian(value: &Int96) -> i64 {
    const EPOCH_DAY: i128 = 2_440_588;
    const DAY_NS: i128 = 86_400_000_000_000;
    let [low, high, day] = value.data() else { return NO_TIME };
    let nanos = i128::from(u64::from(*high) << 32 | u64::from(*low));
    let total = (i128::from(*day) - EPOCH_DAY) * DAY_NS + nanos;
    i64::try_from(total.div_euclid(1_000)).unwrap_or(NO_TIME)
}

fn time_of_day(unit: Unit, value: i64) -> String {
    let us = times(unit, vec![value])[0];
    let (seconds, fraction) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    format!("{:02}:{:02}:{:02}.{fraction:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    // longer numbers may be filled with their sign
    let extra = bytes.len().saturating_sub(16);
    let (filling, rest) = bytes.split_at(extra);
    let same_sign = rest.first().is_none_or(|byte| (*byte >= 0x80) == (sign == 0xff));
    if filling.iter().any(|byte| *byte != sign) || !same_sign {
        return None;
    }
    let mut whole = [sign; 16];
    whole[16 - rest.len()..].copy_from_slice(rest);
    Some(i128::from_be_bytes(whole))
}

/// The float nearest to a decimal, as a JSON number of the same digits is read.
fn decimal(unscaled: i128, scale: u32) -> f64 {
    const EXACT: u128 = 1 << 53;
    // both are exact as floats, so their quotient is rounded once
    if unscaled.unsigned_abs() <= EXACT && scale <= 22 {
        return unscaled as f64 / 10f64.powi(scale as i32);
    }
    format!("{unscaled}e-{scale}").parse().unwrap_or(f64::NAN)
}

/// A float of 16 bits.
fn half(bytes: &[u8]) -> f64 {
    let [low, high] = bytes else { return f64::NAN };
    let bits = u16::from_le_bytes([*low, *high]);
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    match exponent {
        0x1f if fraction == 0.0 => sign * f64::INFINITY,
        0x1f => f64::NAN,
        0 => sign * fraction * 2f64.powi(-24),
        _ => sign * (1.0 + fraction / 1_024.0) * 2f64.powi(exponent - 15),
    }
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_floats_that_their_digits_are_read_as() {
        for (unscaled, scale, wanted) in [
            (12_345, 2, 123.45),
            (-1, 3, -0.001),
            (99_999_999_999_999_999_999_999_999_999, 10, 9_999_999_999_999_999_999.999_999_999_9),
            (1, 38, 1e-38),
        ] {
            assert_eq!(decimal(unscaled, scale), wanted, "{unscaled}e-{scale}");
        }
        assert_eq!(big_endian(&[0xff]), Some(-1));
        assert_eq!(big_endian(&[0x00, 0x80]), Some(128));
        assert_eq!(big_endian(&[0xff; 20]), Some(-1));
        assert_eq!(big_endian(&[0x01; 20]), None);
        assert_eq!(big_endian(&[]), Some(0));
    }

    #[test]
    fn times_of_all_units_are_microseconds() {
        assert_eq!(times(Unit::Days, vec![1, -1, i64::MAX]), [86_400_000_000, -86_400_000_000, NO_TIME]);
        assert_eq!(times(Unit::Nanos, vec![1_999, -1]), [1, -1]);
        assert_eq!(time_of_day(Unit::Millis, 86_399_999), "23:59:59.999000");
        let mut instant = Int96::new();
        instant.set_data(1_000_000_000, 0, 2_440_589);
        assert_eq!(julian(&instant), 86_401_000_000);
    }

    #[test]
    fn halves_and_uuids_are_read() {
        let cases = [(0x3c00u16, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_953_125), (0x0001, 2f64.powi(-24))];
        cases.iter().for_each(|(bits, wanted)| assert_eq!(half(&bits.to_le_bytes()), *wanted));
        assert!(half(&0x7e00u16.to_le_bytes()).is_nan());
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(uuid(&bytes), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }
}
