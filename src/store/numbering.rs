//! Small numbers for the values of a column that hold across segments, queries and time: equal values have the same
//! number. Counting what is distinct, and grouping by fields of very many values, then work on arrays instead of hash
//! tables. They are made as parts are asked for, kept in memory, and can be thrown away at any time. `query::codes`
//! asks.
//!
//! What must hold:
//! 1. A number is never given to another value, and 0 to none: it stands for a row without a value.
//! 2. The rows of a sealed part never change, so their numbers are kept by segment and block; a block of the tail is
//!    told by its first `_seq` and its rows.
//! 3. A numbering has one kind of values. Where a field has several, equal ones among them (7 and 7.0), it has none.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::{Ints, Narrow, with_narrow};
use crate::columnar::text::{Dictionary, Texts};
use crate::error::{Error, Result};
use crate::fields::FieldType;
use crate::limits;
use crate::store::part::Part;
use crate::store::snapshot::Dataset;

/// The numberings of a dataset's columns.
#[derive(Debug, Default)]
pub struct Numberings {
    columns: Mutex<HashMap<Arc<str>, Arc<Numbering>>>,
    bytes: Arc<AtomicUsize>,
}

/// The numbers of one column's values.
#[derive(Debug)]
pub struct Numbering {
    name: Arc<str>,
    kind: FieldType,
    values: RwLock<Values>,
    kept: Mutex<Kept>,
    /// Bytes of all numberings of the dataset, and those of this one among them.
    bytes: Arc<AtomicUsize>,
    own_bytes: AtomicUsize,
    rows_seen: AtomicUsize,
    is_full: AtomicBool,
}

/// The numbers of parts, and of the texts of segments.
#[derive(Debug, Default)]
struct Kept {
    rows: HashMap<(i64, usize, usize), Arc<Vec<u32>>>,
    texts: HashMap<i64, Arc<Vec<u32>>>,
}

#[derive(Debug, Default)]
struct Values {
    integers: Vec<i64>,
    texts: Vec<Arc<str>>,
    places: HashTable<u32>,
    hasher: FixedState,
}

impl Numberings {
    /// The numbering of a column; `None` where its values are not of one kind that is numbered, or too many.
    pub fn of(&self, dataset: &Dataset, name: &str) -> Option<Arc<Numbering>> {
        let kind = dataset.fields.kinds(name)?.single()?;
        if !matches!(kind, FieldType::Int | FieldType::Time | FieldType::String) {
            return None;
        }
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let known = columns.get(name).filter(|known| known.kind == kind).cloned();
        let numbering = known.unwrap_or_else(|| {
            let numbering = Arc::new(Numbering::new(name.into(), kind, Arc::clone(&self.bytes)));
            columns.insert(name.into(), Arc::clone(&numbering));
            numbering
        });
        numbering.forget_dead(dataset);
        (!numbering.is_full()).then_some(numbering)
    }
}

impl Numbering {
    fn new(name: Arc<str>, kind: FieldType, bytes: Arc<AtomicUsize>) -> Self {
        let (values, kept) = (RwLock::default(), Mutex::default());
        let (own_bytes, rows_seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { name, kind, values, kept, bytes, own_bytes, rows_seen, is_full: AtomicBool::new(false) }
    }

    /// Whether it was given up: its values are too many, or nearly every row has one of its own.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// No number of now is as large; grows as parts are asked for.
    pub fn bound(&self) -> usize {
        self.values.read().unwrap_or_else(PoisonError::into_inner).len() + 1
    }

    /// Numbers the texts of the segments that parts are of, so that it is known how many there are.
    ///
    /// # Errors
    /// As [`Numbering::of_part`].
    pub fn prepare(&self, parts: &[Part]) -> Result<()> {
        let mut last = None;
        for part in parts.iter().filter(|_| self.kind == FieldType::String) {
            let Some(segment) = part.stored().segment() else { continue };
            if last != Some(segment.id) && !self.kept().texts.contains_key(&segment.id) {
                self.of_part(part, Some(&[]))?;
            }
            last = Some(segment.id);
        }
        Ok(())
    }

    /// The number of every row of a part, or of some of its rows; 0 where it has no value.
    ///
    /// # Errors
    /// A column that is damaged or cannot be read; [`Numbering::is_full`] tells whether it was given up.
    pub fn of_part(&self, part: &Part, rows: Option<&[u32]>) -> Result<Arc<Vec<u32>>> {
        if self.kind == FieldType::String {
            return self.of_texts(part, rows).map(Arc::new);
        }
        let all = self.of_all_rows(part)?;
        let some = |rows: &[u32]| rows.iter().map(|row| all[*row as usize]).collect();
        Ok(rows.map_or_else(|| Arc::clone(&all), |rows| Arc::new(some(rows))))
    }

    /// The dictionary codes of a part's rows, or of some, and the numbers of the codes: for texts that are few, where
    /// every row has one.
    ///
    /// # Errors
    /// As [`Numbering::of_part`].
    pub fn of_few_texts(
        &self,
        part: &Part,
        rows: Option<&[u32]>,
        most: usize,
    ) -> Result<Option<(Narrow, Arc<Vec<u32>>)>> {
        let Some(segment) = part.stored().segment() else { return Ok(None) };
        let Some(column) = part.column(&self.name)? else { return Ok(None) };
        let (Data::Text(texts), None) = (&column.data, &column.validity) else { return Ok(None) };
        if texts.dictionary.len() > most {
            return Ok(None);
        }
        let numbers = self.of_segment(segment.id, &texts.dictionary)?;
        Ok(Some((rows.map_or_else(|| texts.codes.clone(), |rows| texts.codes.take(rows)), numbers)))
    }

    /// Numbers of texts come from those of the dictionary, which are kept.
    fn of_texts(&self, part: &Part, rows: Option<&[u32]>) -> Result<Vec<u32>> {
        let nothing = || vec![0; rows.map_or(part.rows(), <[u32]>::len)];
        let Some(column) = part.column(&self.name)? else { return Ok(nothing()) };
        let Data::Text(texts) = &column.data else {
            return self.other_kind(&column.data).map(|()| nothing());
        };
        let numbers = match part.stored().segment() {
            Some(segment) => self.of_segment(segment.id, &texts.dictionary)?,
            None => Arc::new(self.of_dictionary(&texts.dictionary)?),
        };
        Ok(match rows {
            None => spread(&numbers, texts, column.validity.as_ref()),
            Some(rows) => {
                let column = column.take(rows);
                let Data::Text(texts) = &column.data else { return Ok(nothing()) };
                spread(&numbers, texts, column.validity.as_ref())
            }
        })
    }

    fn other_kind(&self, data: &Data) -> Result<()> {
        match data {
            Data::Null => Ok(()),
            _ => Err(Error::Internal(format!("\"{}\" is numbered as one kind", self.name))),
        }
    }

    fn of_all_rows(&self, part: &Part) -> Result<Arc<Vec<u32>>> {
        let (source, block) = part.key();
        let key = (source, block, part.rows());
        if let Some(found) = self.kept().rows.get(&key) {
            return Ok(Arc::clone(found));
        }
        let column = part.column(&self.name)?;
        let numbers = Arc::new(match column.as_ref().map(|column| &column.data) {
            Some(Data::Int(ints) | Data::Time(ints)) => {
                self.of_integers(ints, column.as_ref().and_then(|column| column.validity.as_ref()))?
            }
            other => {
                other.map_or(Ok(()), |data| self.other_kind(data))?;
                vec![0; part.rows()]
            }
        });
        // beyond the limit numbers are made anew for every query; two that made the same at once count it once
        let bytes = numbers.len() * size_of::<u32>();
        let is_kept = self.charge(bytes) <= limits::NUMBERING_BYTES
            && self.kept().rows.insert(key, Arc::clone(&numbers)).is_none();
        if !is_kept {
            self.release(bytes);
        }
        Ok(numbers)
    }

    /// The numbers of values that are no rows of a part; 0 where there is none.
    ///
    /// # Errors
    /// Values of another kind; [`Numbering::is_full`] tells whether it was given up.
    pub fn of_column(&self, column: &Column) -> Result<Vec<u32>> {
        match &column.data {
            Data::Int(ints) | Data::Time(ints) => self.of_integers(ints, column.validity.as_ref()),
            Data::Text(texts) => {
                let numbers = self.of_dictionary(&texts.dictionary)?;
                Ok(spread(&numbers, texts, column.validity.as_ref()))
            }
            other => self.other_kind(other).map(|()| vec![0; column.rows]),
        }
    }

    /// The values of some numbers, as a column.
    pub fn column(&self, numbers: &[u32]) -> Column {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        let validity = Bitmap::from_fn(numbers.len(), |row| numbers[row] != 0);
        let place = |number: &u32| number.saturating_sub(1) as usize;
        if self.kind == FieldType::String {
            let texts: Vec<&str> =
                numbers.iter().map(|n| values.texts.get(place(n)).map_or("", |t| t)).collect();
            let (dictionary, codes) = Dictionary::sorted(&texts);
            let max = dictionary.len().saturating_sub(1) as u64;
            let codes = Narrow::collect(max, codes.into_iter().map(u64::from));
            let texts = Texts { codes, dictionary: Arc::new(dictionary) };
            return Column::new(numbers.len(), Some(validity), Data::Text(texts));
        }
        let found: Vec<i64> =
            numbers.iter().map(|n| values.integers.get(place(n)).copied().unwrap_or(0)).collect();
        let ints = Ints::from_masked(&found, &validity);
        let data = if self.kind == FieldType::Time { Data::Time(ints) } else { Data::Int(ints) };
        Column::new(numbers.len(), Some(validity), data)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_integers(&self, ints: &Ints, validity: Option<&Bitmap>) -> Result<Vec<u32>> {
        let base = ints.min();
        let rows = ints.offsets().len();
        let is_valid = |row: usize| validity.is_none_or(|bits| bits.get(row));
        let mut numbers = vec![0; rows];
        let mut unknown: Vec<u32> = Vec::new();
        {
            let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
            with_narrow!(ints.offsets(), offsets => for (row, offset) in offsets.iter().enumerate() {
                if is_valid(row) {
                    match values.find_integer(base.wrapping_add(*offset as i64)) {
                        Some(number) => numbers[row] = number,
                        None => unknown.push(row as u32),
                    }
                }
            });
        }
        if !unknown.is_empty() {
            let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
            let before = values.len();
            for row in unknown {
                numbers[row as usize] = values.add_integer(ints.get(row as usize));
            }
            self.note(values.len() - before, (values.len() - before) * 24, values.len(), rows)?;
        } else {
            self.rows_seen.fetch_add(rows, Ordering::Relaxed);
        }
        Ok(numbers)
    }

    /// The numbers of a segment's texts, by code.
    fn of_segment(&self, segment: i64, dictionary: &Dictionary) -> Result<Arc<Vec<u32>>> {
        if let Some(found) = self.kept().texts.get(&segment) {
            return Ok(Arc::clone(found));
        }
        let numbers = Arc::new(self.of_dictionary(dictionary)?);
        if self.kept().texts.insert(segment, Arc::clone(&numbers)).is_none() {
            self.charge(numbers.len() * size_of::<u32>());
        }
        Ok(numbers)
    }

    fn of_dictionary(&self, dictionary: &Dictionary) -> Result<Vec<u32>> {
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let (before, mut text_bytes) = (values.len(), 0);
        let numbers = dictionary.iter().map(|text| values.add_text(text, &mut text_bytes)).collect();
        let added = values.len() - before;
        // a segment has some times as many rows as texts, or numbering them is no gain
        self.note(added, added * 40 + text_bytes, values.len(), dictionary.len() * 2)?;
        Ok(numbers)
    }

    /// Notes what was added, and gives up where it is too much.
    fn note(&self, added: usize, bytes: usize, count: usize, rows: usize) -> Result<()> {
        let all = self.charge(bytes);
        let seen = self.rows_seen.fetch_add(rows, Ordering::Relaxed) + rows;
        let is_unique = count > limits::NUMBERED_UNIQUE_VALUES && count > seen / 2;
        let are_too_many = count + 1 >= limits::NUMBERED_VALUES || all > limits::NUMBERING_BYTES;
        if added > 0 && (is_unique || are_too_many) {
            self.is_full.store(true, Ordering::Relaxed);
            return Err(Error::Internal(format!("\"{}\" has too many values to number", self.name)));
        }
        Ok(())
    }

    /// Lets go of the numbers of parts that are no more.
    fn forget_dead(&self, dataset: &Dataset) {
        let mut kept = self.kept();
        let parts: usize =
            dataset.segments.iter().map(|segment| segment.blocks()).sum::<usize>() + dataset.tail.len();
        if kept.rows.len() <= parts + parts / 4 + 64 {
            return;
        }
        let segments: std::collections::HashSet<i64> =
            dataset.segments.iter().map(|segment| segment.id).collect();
        let mut freed = 0;
        kept.rows.retain(|(source, ..), rows| {
            let lives = segments.contains(source);
            freed += if lives { 0 } else { rows.len() * size_of::<u32>() };
            lives
        });
        kept.texts.retain(|source, texts| {
            let lives = segments.contains(source);
            freed += if lives { 0 } else { texts.len() * size_of::<u32>() };
            lives
        });
        self.release(freed);
    }

    /// Counts bytes; the result are those of all numberings.
    fn charge(&self, bytes: usize) -> usize {
        self.own_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn release(&self, bytes: usize) {
        self.own_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Numbering {
    fn drop(&mut self) {
        self.bytes.fetch_sub(*self.own_bytes.get_mut(), Ordering::Relaxed);
    }
}

impl Values {
    fn len(&self) -> usize {
        self.integers.len().max(self.texts.len())
    }

    #[inline]
    fn find_integer(&self, value: i64) -> Option<u32> {
        let hash = self.hash(&value);
        self.places.find(hash, |place| self.integers[*place as usize] == value).map(|place| place + 1)
    }

    fn add_integer(&mut self, value: i64) -> u32 {
        if let Some(number) = self.find_integer(value) {
            return number;
        }
        let (hash, place) = (self.hash(&value), self.integers.len() as u32);
        self.integers.push(value);
        let (integers, hasher) = (&self.integers, &self.hasher);
        self.places.insert_unique(hash, place, |place| hasher.hash_one(integers[*place as usize]));
        place + 1
    }

    fn add_text(&mut self, text: &str, text_bytes: &mut usize) -> u32 {
        let hash = self.hash(text);
        if let Some(place) = self.places.find(hash, |place| *self.texts[*place as usize] == *text) {
            return place + 1;
        }
        let place = self.texts.len() as u32;
        self.texts.push(text.into());
        *text_bytes += text.len();
        let (texts, hasher) = (&self.texts, &self.hasher);
        self.places.insert_unique(hash, place, |place| hasher.hash_one(&*texts[*place as usize]));
        place + 1
    }

    fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.hasher.hash_one(value)
    }
}

fn spread(of_texts: &[u32], texts: &Texts, validity: Option<&Bitmap>) -> Vec<u32> {
    let number = |code: usize| of_texts.get(code).copied().unwrap_or(0);
    with_narrow!(&texts.codes, codes => match validity {
        None => codes.iter().map(|code| number(*code as usize)).collect(),
        Some(bits) => {
            let row = |(row, code): (usize, _)| if bits.get(row) { number(code) } else { 0 };
            codes.iter().map(|code| *code as usize).enumerate().map(row).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columnar::Block;
    use crate::columnar::builder::column_of;
    use crate::fields::{FieldSet, Kinds};
    use crate::store::segment::Segment;
    use crate::store::snapshot::TailBlock;
    use crate::value::Value;

    fn block(first_seq: i64, values: &[Value]) -> TailBlock {
        let times: Vec<i64> = (0..values.len() as i64).map(|row| first_seq + row).collect();
        let columns = vec![
            ("_time".into(), Arc::new(Column::times(&times))),
            ("x".into(), Arc::new(column_of(values.iter().cloned()))),
        ];
        TailBlock { first_seq, block: Arc::new(Block::new(values.len(), columns)) }
    }

    /// A dataset of one sealed block and one in the tail, and its parts.
    fn dataset(sealed: &[Value], tail: &[Value], kind: FieldType) -> (Dataset, Vec<Part>) {
        let segment = Arc::new(Segment::of_tail(7, &[block(1, sealed)]).expect("seals"));
        let mut fields = FieldSet::default();
        fields.add(&"x".into(), Kinds::of(kind));
        let mut dataset = Dataset { fields: Arc::new(fields), ..Dataset::new("t".into()) };
        dataset.segments = vec![segment];
        dataset.tail = vec![block(1_000, tail)];
        let parts = dataset.sources().flat_map(|source| source.runs());
        let parts = parts.map(|run| dataset.part(run).unwrap()).collect();
        (dataset, parts)
    }

    #[test]
    fn equal_values_have_one_number_wherever_they_are() {
        let text = |text: &str| Value::text(text);
        let wide = |n: i64| Value::Int(n << 40);
        for (kind, [a, b, c]) in [
            (FieldType::Int, [wide(5), wide(-3), wide(9)]),
            (FieldType::String, [text("pear"), text(""), text("über")]),
            (FieldType::Time, [Value::Time(1 << 50), Value::Time(-1), Value::Time(77)]),
        ] {
            let sealed = [a.clone(), b.clone(), Value::Null, a.clone()];
            let tail = [c.clone(), Value::Null, b.clone()];
            let (dataset, parts) = dataset(&sealed, &tail, kind);
            let numbering = dataset.numberings.of(&dataset, "x").expect("is numbered");
            let first = numbering.of_part(&parts[0], None).expect("numbers");
            let second = numbering.of_part(&parts[1], None).expect("numbers");
            assert_eq!((first[0], first[2], second[1], numbering.bound()), (first[3], 0, 0, 4));
            assert_eq!(first[1], second[2]);
            assert!(first[0] != first[1] && second[0] != first[0] && second[0] != first[1]);
            assert_eq!(*numbering.of_part(&parts[0], Some(&[3, 1])).expect("numbers"), [first[0], first[1]]);
            let column = numbering.column(&[second[0], 0, first[0]]);
            assert_eq!([0, 1, 2].map(|row| column.get(row)), [c, Value::Null, a]);
        }
    }

    #[test]
    fn a_column_of_values_that_never_come_again_is_given_up() {
        let values: Vec<Value> = (0..500i64).map(|n| Value::Int(n << 40)).collect();
        let (dataset, parts) = dataset(&values, &values[..1], FieldType::Int);
        let numbering = dataset.numberings.of(&dataset, "x").expect("may be numbered");
        assert!(numbering.of_part(&parts[0], None).is_err() && numbering.is_full());
        assert!(dataset.numberings.of(&dataset, "x").is_none());
    }

    #[test]
    fn fields_of_several_kinds_are_not_numbered() {
        let (mut dataset, _) = dataset(&[Value::Int(1)], &[Value::Int(1)], FieldType::Int);
        let mut fields = FieldSet::default();
        fields.add(&"x".into(), Kinds::of(FieldType::Int).with(Kinds::of(FieldType::String)));
        dataset.fields = Arc::new(fields);
        assert!(
            dataset.numberings.of(&dataset, "x").is_none() && dataset.numberings.of(&dataset, "y").is_none()
        );
    }
}
