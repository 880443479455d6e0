//! The log of a dataset: every row decoded, and compared with what its table row tells.

use rusqlite::Connection;

use crate::columnar::Block;
use crate::fields::is_system;
use crate::store::check::places::{Place, Seqs};
use crate::store::check::tables::numbers;
use crate::store::check::{Damage, Dataset, File, Report, words};

struct Row {
    first_seq: i64,
    rows: i64,
    times: Option<(i64, i64)>,
    bytes: Vec<u8>,
}

/// Checks all rows; gives the sequence numbers that each covers.
pub(super) fn check(file: &File<'_>, dataset: &Dataset, report: &mut Report) -> Vec<Place> {
    let connection = file.connection();
    // by the index, so that a damaged page hides only what is on it
    let ids = "SELECT id FROM log WHERE dataset_id = ?1 ORDER BY first_seq";
    let ids = match numbers(&connection, ids, Some(dataset.id)) {
        Ok(ids) => ids,
        Err(e) => {
            report.add(Damage::of_dataset(&dataset.name, format!("the list of its log rows: {}", words(e))));
            return Vec::new();
        }
    };
    let mut places = Vec::new();
    for id in ids {
        report.log_rows += 1;
        let place = Damage { log_row: Some(id), ..Damage::of_dataset(&dataset.name, "") };
        let row = match read(&connection, id) {
            Ok(row) => row,
            Err(e) => {
                report.add(place.with(words(e)));
                continue;
            }
        };
        let last = row.first_seq.saturating_add(row.rows - 1);
        let place = Damage { events: Some((row.first_seq, last)), ..place };
        report.events += row.rows.max(0).unsigned_abs();
        report.bytes += row.bytes.len() as u64;
        file.progress.add(row.bytes.len() as u64);
        faults(&row, dataset).into_iter().for_each(|what| report.add(place.with(what)));
        places.push(Place { segment: None, log_row: Some(id), first: row.first_seq, last, seqs: Seqs::All });
    }
    places
}

fn read(connection: &Connection, id: i64) -> rusqlite::Result<Row> {
    let sql = "SELECT first_seq, rows, min_time, max_time, block FROM log WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([id], |row| {
        let (min, max): (Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?);
        Ok(Row { first_seq: row.get(0)?, rows: row.get(1)?, times: min.zip(max), bytes: row.get(4)? })
    })
}

fn faults(row: &Row, dataset: &Dataset) -> Vec<String> {
    let block = match Block::decode(&row.bytes) {
        Ok(block) => block,
        Err(e) => return vec![e.to_string()],
    };
    let mut faults = Vec::new();
    if block.rows() as i64 != row.rows {
        faults.push(format!("it holds {} events instead of {}", block.rows(), row.rows));
    }
    let (min, max) = block.time_range();
    if row.times.is_some_and(|(first, last)| min < first || max > last) {
        faults.push("it holds events outside of the times that its row tells".to_owned());
    }
    for (name, column) in block.columns().filter(|(name, _)| !is_system(name)) {
        let known = dataset.fields.kinds(name);
        if !known.is_some_and(|known| known.with(column.kinds()) == known) {
            faults.push(format!("its field \"{name}\" is not in the list of fields, or not with its types"));
        }
    }
    faults
}
