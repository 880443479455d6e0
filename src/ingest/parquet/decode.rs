//! Columns of a file under the rules of a dataset. Where the rules leave values as they are, which is so for most
//! files, whole columns go into the block, and rows that are rejected are taken out at the end. Else the rows go
//! through [`Rows`] one by one, as those of other formats do.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::Cell;
use crate::columnar::column::{Column, Data};
use crate::columnar::narrow::Ints;
use crate::columnar::{Block, TIME};
use crate::error::ItemError;
use crate::fields::Kinds;
use crate::ingest::parquet::columns::{Fields, RowChunk};
use crate::ingest::parquet::embedded::has_values;
use crate::ingest::rows::{Decoded, Rows, instant};
use crate::ingest::rules::Rules;
use crate::limits;

/// The rows of a chunk by the rules; `place` is the row that the chunk begins with.
pub fn decode(chunk: &RowChunk, place: u64, rules: &Rules) -> Decoded {
    let fields = chunk.fields();
    if leaves_values_alone(rules, fields, chunk.rows) {
        by_columns(fields, chunk.rows, place, rules)
    } else {
        by_rows(fields, chunk.rows, place, rules)
    }
}

/// Whether the rules change no value and ask for none, so that columns can be taken as they are.
fn leaves_values_alone(rules: &Rules, fields: &Fields, rows: usize) -> bool {
    let declaration = &rules.declaration;
    let asks = declaration.strict
        || declaration.is_records()
        || declaration.fields.values().any(|field| field.required || field.default.is_some())
        || fields.columns.iter().any(|(name, _)| **name == *"_id");
    let is_converted = |name: &str, column: &Column| {
        let kind = declaration.fields.get(name).and_then(|field| field.kind);
        let is_time = rules.time_field.as_deref() == Some(name);
        kind.is_some_and(|kind| column.kinds() != Kinds::of(kind)) && !is_time
    };
    let mut seen = HashSet::new();
    let fits_name = |name: &str| !name.is_empty() && name.len() <= limits::FIELD_NAME_BYTES;
    let new = fields.columns.iter().filter(|(name, _)| rules.known.kinds(name).is_none()).count();
    // the place of `_time` is counted as well
    let cells = rows.saturating_mul(fields.columns.len() + 1);
    !asks
        && fields.names.iter().all(|name| fits_name(name) && seen.insert(name))
        && !fields.columns.iter().any(|(name, column)| is_converted(name, column))
        && rules.known.len() + new <= limits::FIELDS
        && cells <= limits::BATCH_CELLS
}

fn by_columns(fields: &Fields, rows: usize, place: u64, rules: &Rules) -> Decoded {
    let mut rejected = fields.rejected.clone();
    let mut columns = Vec::with_capacity(fields.columns.len() + 1);
    let (mut event_time, mut system_time) = (None, None);
    for (name, column) in &fields.columns {
        if **name == *TIME {
            system_time = Some(instants(name, column, rows, &mut rejected));
        } else if rules.time_field.as_deref() == Some(&**name) {
            let times = instants(name, column, rows, &mut rejected);
            columns.push((Arc::clone(name), Arc::new(times.column(rows))));
            event_time = Some(times);
        } else if **name != *"_seq" {
            columns.push((Arc::clone(name), Arc::new(column.clone())));
        }
    }
    let time = time_column([system_time, event_time], rows, rules.arrival_us);
    columns.push((TIME.into(), Arc::new(time)));
    let mut kept_rows = rows;
    if !rejected.is_empty() {
        let kept: Vec<u32> = (0..rows as u32).filter(|row| !rejected.contains_key(row)).collect();
        columns.iter_mut().for_each(|(_, column)| *column = Arc::new(column.take(&kept)));
        columns.retain(|(_, column)| has_values(column));
        kept_rows = kept.len();
    }
    let rejected_total = rejected.len() as u64;
    let rejected = rejected.into_iter().take(limits::REJECTIONS_LISTED);
    let mut names = fields.names.clone();
    if !names.iter().any(|name| **name == *TIME) {
        names.push(TIME.into());
    }
    Decoded {
        block: Block::new(kept_rows, columns),
        names,
        rejected: rejected
            .map(|(row, message)| ItemError { index: place + u64::from(row), message })
            .collect(),
        rejected_total,
        places: Vec::new(),
    }
}

/// Instants of a column, one a row.
struct Instants {
    values: Vec<i64>,
    validity: Option<Bitmap>,
}

impl Instants {
    fn column(&self, rows: usize) -> Column {
        let ints = match &self.validity {
            None => Ints::from_values(&self.values),
            Some(bits) => Ints::from_masked(&self.values, bits),
        };
        Column::new(rows, self.validity.clone(), Data::Time(ints))
    }
}

/// A column as instants; rows whose value is none are rejected.
fn instants(name: &str, column: &Column, rows: usize, rejected: &mut BTreeMap<u32, String>) -> Instants {
    if let Data::Time(times) = &column.data {
        return Instants { values: times.to_vec(), validity: column.validity.clone() };
    }
    let (mut values, mut good) = (vec![0; rows], Bitmap::default());
    // neighbours often have the same text
    let mut last: Option<(&str, i64)> = None;
    for (row, value) in values.iter_mut().enumerate() {
        let mut items = Vec::new();
        let read = match cell(column, row, &mut items) {
            None => None,
            Some(Cell::Text(text)) if last.is_some_and(|(known, _)| known == text) => last.map(|(_, us)| us),
            Some(cell) => match instant(name, cell) {
                Ok(us) => Some(us),
                Err(reason) => {
                    rejected.entry(row as u32).or_insert(reason);
                    None
                }
            },
        };
        if let (Some(us), Data::Text(texts)) = (read, &column.data) {
            last = Some((texts.get(row), us));
        }
        good.push(read.is_some());
        *value = read.unwrap_or(0);
    }
    Instants { values, validity: Some(good) }
}

/// The time of each event: the first that is there.
fn time_column(times: [Option<Instants>; 2], rows: usize, arrival_us: i64) -> Column {
    let mut all = vec![arrival_us; rows];
    for times in times.into_iter().rev().flatten() {
        match times.validity {
            None => all = times.values,
            Some(bits) => bits.ones().for_each(|row| all[row] = times.values[row]),
        }
    }
    Column::times(&all)
}

fn by_rows(fields: &Fields, rows: usize, place: u64, rules: &Rules) -> Decoded {
    let mut out = Rows::new(rules);
    for row in 0..rows {
        let at = place + row as u64;
        let read = match fields.rejected.get(&(row as u32)) {
            Some(reason) => Err(reason.clone()),
            None => put_row(fields, row, &mut out),
        };
        match read {
            Ok(()) => drop(out.end_row(at)),
            Err(reason) => out.reject_row(at, reason),
        }
    }
    let mut decoded = out.finish();
    // a column without any value is a field of the file all the same
    for name in &fields.names {
        if !decoded.names.contains(name) {
            decoded.names.push(Arc::clone(name));
        }
    }
    decoded
}

fn put_row(fields: &Fields, row: usize, out: &mut Rows<'_>) -> Result<(), String> {
    for (name, column) in &fields.columns {
        let mut items = Vec::new();
        if let Some(cell) = cell(column, row, &mut items) {
            let id = out.name(name)?;
            out.set(id, name, cell)?;
        }
    }
    Ok(())
}

/// The value of a row as a cell; `items` is where the items of a list are put.
fn cell<'a>(column: &'a Column, row: usize, items: &'a mut Vec<&'a str>) -> Option<Cell<'a>> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match &column.data {
        Data::Null => return None,
        Data::Int(ints) => Cell::Int(ints.get(row)),
        Data::Time(ints) => Cell::Time(ints.get(row)),
        Data::Float { values, whole } if whole.as_ref().is_some_and(|bits| bits.get(row)) => {
            Cell::Int(values[row] as i64)
        }
        Data::Float { values, .. } => Cell::Float(values[row]),
        Data::Bool(bits) => Cell::Bool(bits.get(row)),
        Data::Text(texts) => Cell::Text(texts.get(row)),
        Data::Json(texts) => Cell::Json(texts.get(row)),
        Data::List { ends, items: texts } => {
            let start = if row == 0 { 0 } else { ends[row - 1] };
            items.extend((start..ends[row]).map(|item| texts.get(item as usize)));
            Cell::List(items)
        }
        Data::Mixed(parts) => {
            return parts.iter().find(|part| part.is_valid(row)).and_then(|part| cell(part, row, items));
        }
    })
}
