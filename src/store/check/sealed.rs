//! The segments of a dataset: the head, every column's index and dictionaries, every block, and what the tables and the
//! head tell of them. Columns are decoded on all cores, block by block, so memory holds the stored bytes of a few columns.

use rayon::prelude::*;
use rusqlite::Connection;

use crate::columnar::TIME;
use crate::columnar::column::{Column, Data};
use crate::columnar::segment::{BLOCK_ROWS, ColumnIndex, HeadColumn, SegmentHead};
use crate::error::{DAMAGED_FILE_ADVICE, Error, Result};
use crate::fields::{FieldType, is_system};
use crate::store::check::places::{Place, Seqs};
use crate::store::check::tables::numbers;
use crate::store::check::{Damage, Dataset, File, Report, words};
use crate::store::pool::ColumnKey;
use crate::store::segment::SEQ;
use crate::store::segments::{COLUMNS, read_column};

/// A segment as its table row tells of it.
struct Row {
    id: i64,
    seqs: (i64, i64),
    rows: i64,
    times: (i64, i64),
    bytes: i64,
    head: Vec<u8>,
}

/// A column after all of it was read.
#[derive(Default)]
struct Decoded {
    faults: Vec<Damage>,
    /// Its whole numbers or times, of `_time` and `_seq` alone.
    numbers: Option<Vec<i64>>,
}

/// Checks all segments; gives the sequence numbers that each covers.
pub(super) fn check(file: &File<'_>, dataset: &Dataset, report: &mut Report) -> Vec<Place> {
    // by the index, so that a damaged page hides only what is on it
    let ids = "SELECT id FROM segment WHERE dataset_id = ?1 ORDER BY first_seq";
    let ids = numbers(&file.connection(), ids, Some(dataset.id));
    let ids = match ids {
        Ok(ids) => ids,
        Err(e) => {
            report.add(Damage::of_dataset(&dataset.name, format!("the list of its segments: {}", words(e))));
            return Vec::new();
        }
    };
    let mut places = Vec::new();
    for id in ids {
        report.segments += 1;
        let place = Damage { segment: Some(id), ..Damage::of_dataset(&dataset.name, "") };
        let row = read(&file.connection(), id);
        match row {
            Ok(row) => places.push(segment(file, dataset, &row, &place, report)),
            Err(e) => report.add(place.with(words(e))),
        }
    }
    places
}

fn read(connection: &Connection, id: i64) -> rusqlite::Result<Row> {
    let sql = "SELECT first_seq, last_seq, rows, min_time, max_time, bytes, head FROM segment WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Row {
            id,
            seqs: (row.get(0)?, row.get(1)?),
            rows: row.get(2)?,
            times: (row.get(3)?, row.get(4)?),
            bytes: row.get(5)?,
            head: row.get(6)?,
        })
    })
}

fn segment(file: &File<'_>, dataset: &Dataset, row: &Row, place: &Damage, report: &mut Report) -> Place {
    let place = Damage { events: Some(row.seqs), ..place.clone() };
    report.events += row.rows.max(0).unsigned_abs();
    report.bytes += row.bytes.max(0).unsigned_abs();
    let told =
        |seqs| Place { segment: Some(row.id), log_row: None, first: row.seqs.0, last: row.seqs.1, seqs };
    let head = match SegmentHead::decode(&row.head) {
        Ok(head) if head.rows as i64 == row.rows => head,
        Ok(head) => {
            report
                .add(place.with(format!("its head tells of {} rows, the table of {}", head.rows, row.rows)));
            return told(Seqs::Unknown);
        }
        Err(e) => {
            report.add(place.with(e.to_string()));
            return told(Seqs::Unknown);
        }
    };
    let mut faults = head_faults(&head, dataset, &place);
    faults.extend(column_faults(&file.connection(), row, &head, &place));
    let stored: Vec<usize> =
        (0..head.columns.len()).filter(|at| head.columns[*at].same_as.is_none()).collect();
    let kept = [TIME, SEQ].map(|name| source(&head, name));
    let mut decoded: Vec<(usize, Decoded)> = stored
        .par_iter()
        .map(|at| (*at, column(file, row.id, *at, &head, kept.contains(&Some(*at)), &place)))
        .collect();
    faults.extend(decoded.iter_mut().flat_map(|(_, column)| std::mem::take(&mut column.faults)));
    let mut numbers_of = |name: &str| {
        let at = source(&head, name)?;
        decoded.iter_mut().find(|(place, _)| *place == at)?.1.numbers.clone()
    };
    let (times, offsets) = (numbers_of(TIME), numbers_of(SEQ));
    let is_in_order = head.position(SEQ).is_none();
    let seqs = match offsets {
        Some(offsets) => Some(offsets.iter().map(|offset| row.seqs.0.wrapping_add(*offset)).collect()),
        None if is_in_order => Some((0..row.rows).map(|at| row.seqs.0.wrapping_add(at)).collect()),
        None => None,
    };
    let (times, seqs): (Option<Vec<i64>>, Option<Vec<i64>>) = (times, seqs);
    faults.extend(order_faults(row, times.as_deref(), seqs).into_iter().map(|what| place.with(what)));
    faults.into_iter().for_each(|damage| report.add(damage));
    told(if is_in_order { Seqs::All } else { Seqs::Stored })
}

/// The place of the stored column that a name stands for.
fn source(head: &SegmentHead, name: &str) -> Option<usize> {
    let at = head.position(name)?;
    Some(head.columns[at].same_as.map_or(at, |same| same as usize))
}

/// What is wrong with the head alone: names, references, fields that the dataset does not know.
fn head_faults(head: &SegmentHead, dataset: &Dataset, place: &Damage) -> Vec<Damage> {
    let mut faults = Vec::new();
    if head.columns.windows(2).any(|pair| pair[0].name >= pair[1].name) {
        faults.push(place.with("the columns of its head are out of order"));
    }
    if head.position(TIME).is_none() {
        faults.push(place.with("its events have no time"));
    }
    for (at, one) in head.columns.iter().enumerate() {
        let of = Damage { column: Some(one.name.to_string()), ..place.clone() };
        if let Some(same) = one.same_as {
            let target = head.columns.get(same as usize).filter(|_| (same as usize) < at);
            let is_same = |target: &&HeadColumn| {
                let tells = |column: &HeadColumn| (column.kinds, column.has_nulls, column.span);
                target.same_as.is_none() && tells(target) == tells(one)
            };
            if target.filter(is_same).is_none() {
                faults.push(of.with("it refers to a column that is not the same"));
            }
        }
        let known = dataset.fields.kinds(&one.name);
        if !is_system(&one.name) && !known.is_some_and(|known| known.with(one.kinds) == known) {
            faults.push(of.with("it is not in the list of fields, or not with its types"));
        }
    }
    faults
}

/// Exactly the columns that the head names are there, with as many bytes as the table tells.
fn column_faults(connection: &Connection, row: &Row, head: &SegmentHead, place: &Damage) -> Vec<Damage> {
    let bounds = [row.id.wrapping_mul(COLUMNS), row.id.wrapping_add(1).wrapping_mul(COLUMNS)];
    let read = || -> rusqlite::Result<Vec<(i64, i64)>> {
        let sql = "SELECT id, length(data) FROM segment_column WHERE id >= ?1 AND id < ?2 ORDER BY id";
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(bounds, |column| Ok((column.get(0)?, column.get(1)?)))?;
        rows.collect()
    };
    let found = match read() {
        Ok(found) => found,
        Err(e) => return vec![place.with(format!("the list of its columns: {}", words(e)))],
    };
    let mut faults = Vec::new();
    for (id, _) in &found {
        let at = usize::try_from(id - bounds[0]).unwrap_or(usize::MAX);
        if head.columns.get(at).is_none_or(|column| column.same_as.is_some()) {
            faults.push(place.with(format!("there is a column {at} that its head does not name")));
        }
    }
    let bytes: i64 = found.iter().map(|(_, bytes)| bytes).sum();
    // a column that is missing is told where it is read
    let stored = head.columns.iter().filter(|column| column.same_as.is_none()).count();
    if bytes != row.bytes && found.len() == stored {
        faults.push(place.with(format!("its columns have {bytes} bytes, the table tells of {}", row.bytes)));
    }
    faults
}

/// Reads a column and decodes every block of it.
fn column(
    file: &File<'_>,
    segment: i64,
    at: usize,
    head: &SegmentHead,
    is_kept: bool,
    place: &Damage,
) -> Decoded {
    let told = &head.columns[at];
    let of = Damage { column: Some(told.name.to_string()), ..place.clone() };
    let mut decoded = Decoded::default();
    let bytes = read_column(&file.connection(), ColumnKey::new(segment, at), 0..u64::MAX);
    let opened = bytes.and_then(|bytes| Ok((open(&bytes, head.rows)?, bytes)));
    let ((index, dictionaries), bytes) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            decoded.faults.push(of.with(told_of(&e)));
            return decoded;
        }
    };
    file.progress.add(bytes.len() as u64);
    let mut numbers = Vec::new();
    for block in 0..head.rows.div_ceil(BLOCK_ROWS) {
        let of = Damage { block: Some(block), ..of.clone() };
        let range = index.block_range(block).unwrap_or_default();
        let stored = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        match index.decode_block(block, stored, &dictionaries) {
            Ok(column) => {
                decoded.faults.extend(untold(told, &column).map(|what| of.with(what)));
                match &column.data {
                    Data::Int(ints) | Data::Time(ints) if is_kept && column.validity.is_none() => {
                        numbers.extend(ints.to_vec());
                    }
                    _ if is_kept => decoded.faults.push(of.with("it has rows without a number or a time")),
                    _ => {}
                }
            }
            Err(e) => decoded.faults.push(of.with(told_of(&e))),
        }
    }
    decoded.numbers = (is_kept && numbers.len() == head.rows).then_some(numbers);
    decoded
}

fn open(bytes: &[u8], rows: usize) -> Result<(ColumnIndex, crate::columnar::segment::Dictionaries)> {
    let cut = || Error::Corrupt("it ends too early".into());
    let index = ColumnIndex::decode(bytes.get(..ColumnIndex::bytes(bytes)?).ok_or_else(cut)?)?;
    if index.rows() != rows {
        return Err(Error::Corrupt(format!("it has {} rows, its segment has {rows}", index.rows())));
    }
    if index.column_bytes() != bytes.len() as u64 {
        let (found, told) = (bytes.len(), index.column_bytes());
        return Err(Error::Corrupt(format!("it has {found} bytes, its index tells of {told}")));
    }
    let range = index.dictionary_range();
    let stored = bytes.get(range.start as usize..range.end as usize).ok_or_else(cut)?;
    let dictionaries = index.decode_dictionaries(stored)?;
    Ok((index, dictionaries))
}

/// What a block holds that the head of its segment does not tell. The zone of the block was compared when it was read.
fn untold(told: &HeadColumn, column: &Column) -> Option<String> {
    if told.kinds.with(column.kinds()) != told.kinds {
        return Some("it holds values of a type that the head of its segment does not tell".to_owned());
    }
    if column.validity.is_some() && !told.has_nulls {
        return Some("it has rows without a value, the head of its segment tells of none".to_owned());
    }
    let span = match (&column.data, told.kinds.single()) {
        (Data::Int(ints), Some(FieldType::Int)) | (Data::Time(ints), Some(FieldType::Time)) => {
            Some((ints.min(), ints.max()))
        }
        _ => None,
    };
    let is_outside = |((min, max), (first, last)): ((i64, i64), (i64, i64))| min < first || max > last;
    let outside = span.zip(told.span).is_some_and(is_outside);
    outside.then(|| "it holds values outside of the span that the head of its segment tells".to_owned())
}

fn order_faults(row: &Row, times: Option<&[i64]>, seqs: Option<Vec<i64>>) -> Vec<String> {
    let mut faults = Vec::new();
    let (first, last) = row.seqs;
    let outside = |numbers: &[i64], (low, high): (i64, i64)| {
        numbers.iter().filter(|number| **number < low || **number > high).count()
    };
    if let Some(times) = times {
        let count = outside(times, row.times);
        if count > 0 {
            faults.push(format!("{count} events are outside of the times that its row tells"));
        }
    }
    let Some(mut seqs) = seqs else { return faults };
    let count = outside(&seqs, row.seqs);
    if count > 0 {
        faults.push(format!("{count} events have numbers outside of {first} to {last}"));
    }
    if let Some(times) = times
        && let Some(at) = (1..times.len()).find(|at| (times[at - 1], seqs[at - 1]) >= (times[*at], seqs[*at]))
    {
        faults.push(format!("rows {} and {at} are out of order", at - 1));
    }
    seqs.sort_unstable();
    let doubled = seqs.windows(2).filter(|pair| pair[0] == pair[1]).count();
    if doubled > 0 {
        faults.push(format!("{doubled} events have a number that another one has too"));
    }
    faults
}

/// `_seq` of all events of a segment, in the order of its rows.
pub(super) fn seqs(file: &File<'_>, id: i64, first_seq: i64) -> Result<Vec<i64>> {
    let connection = file.connection();
    let row = read(&connection, id).map_err(|e| Error::sqlite("cannot read a segment", e))?;
    let head = SegmentHead::decode(&row.head)?;
    let Some(at) = source(&head, SEQ) else { return Ok(Vec::new()) };
    let bytes = read_column(&connection, ColumnKey::new(id, at), 0..u64::MAX)?;
    let (index, dictionaries) = open(&bytes, head.rows)?;
    let mut seqs = Vec::with_capacity(head.rows);
    for block in 0..head.rows.div_ceil(BLOCK_ROWS) {
        let range = index.block_range(block).unwrap_or_default();
        let stored = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        if let Data::Int(ints) = &index.decode_block(block, stored, &dictionaries)?.data {
            seqs.extend(ints.to_vec().iter().map(|offset| first_seq.wrapping_add(*offset)));
        }
    }
    Ok(seqs)
}

fn told_of(error: &Error) -> String {
    let text = error.to_string();
    text.strip_suffix(DAMAGED_FILE_ADVICE).map(str::to_owned).unwrap_or(text)
}
