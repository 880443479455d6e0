//! The full integrity check: every page of the file, every row of the log, every block of every segment, and what they
//! say of each other. It reads in one transaction of its own, so it works beside a running server; it goes on after
//! damage and lists all of it. `windrow check` calls it, and every backup and restore on what it made.
//!
//! What must hold:
//! 1. SQLite's own `integrity_check` and `foreign_key_check` find nothing.
//! 2. Declarations can be read; every field that events have is in the list of fields.
//! 3. Every log row and every block of a segment decodes, with as many rows as the tables tell (`check/log`,
//!    `check/sealed`).
//! 4. Rows of a segment stand in order of (`_time`, `_seq`), within the span of both that its table row tells; what is
//!    told of the values of columns and blocks is true.
//! 5. A segment has exactly the column BLOBs that its head names, and no BLOB is without a segment.
//! 6. Records are as many as `dataset.records` tells, each with a number below `next_seq`; their lazy fields and their
//!    words in the search are of records that are there (`check/records`).
//! 7. An event is in one place: no `_seq` is in two segments or log rows, none is at or above `next_seq` (`check/places`).

mod log;
mod pages;
mod places;
mod records;
mod sealed;
mod tables;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::store::open;
use crate::store::progress::Progress;

/// Faults that are listed one by one; what is beyond is counted.
const DAMAGE_LISTED: usize = 1_000;

/// One thing that is damaged: where it is, as far as that is known, and what is wrong with it.
///
/// ```
/// let damage = windrow::store::check::Damage {
///     dataset: Some("visits".into()), segment: Some(3), events: Some((1, 500)), column: Some("country".into()),
///     block: Some(0), what: "the checksum of a block is wrong".into(), ..Default::default()
/// };
/// let told = r#"dataset "visits", segment 3 (events 1 to 500), column "country", block 0: the checksum of a block is wrong"#;
/// assert_eq!(damage.to_string(), told);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The row of the table `segment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<i64>,
    /// The row of the table `log`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_row: Option<i64>,
    /// `_seq` of the first and the last event that is touched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<(i64, i64)>,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The block of the column, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    /// Damage whose place is not known better than in these words.
    fn of(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// Damage of a dataset as a whole.
    fn of_dataset(name: &str, what: impl Into<String>) -> Self {
        Self { dataset: Some(name.to_owned()), ..Self::of(what) }
    }

    /// The same place with other words.
    fn with(&self, what: impl Into<String>) -> Self {
        Self { what: what.into(), ..self.clone() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = Vec::new();
        places.extend(self.dataset.as_ref().map(|name| format!("dataset \"{name}\"")));
        let events =
            self.events.map(|(first, last)| format!(" (events {first} to {last})")).unwrap_or_default();
        match (self.segment, self.log_row) {
            (Some(id), _) => places.push(format!("segment {id}{events}")),
            (None, Some(id)) => places.push(format!("log row {id}{events}")),
            (None, None) => {
                places.extend(self.events.map(|(first, last)| format!("events {first} to {last}")))
            }
        }
        places.extend(self.column.as_ref().map(|name| format!("column \"{name}\"")));
        places.extend(self.block.map(|at| format!("block {at}")));
        if !places.is_empty() {
            write!(f, "{}: ", places.join(", "))?;
        }
        f.write_str(&self.what)
    }
}

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether nothing is damaged.
    pub ok: bool,
    /// Datasets that were looked at.
    pub datasets: u64,
    /// Events in segments and log.
    pub events: u64,
    /// Records in their tables.
    pub records: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Rows of the log that were read.
    pub log_rows: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Everything that is damaged, up to a limit.
    pub damage: Vec<Damage>,
    /// Everything that is damaged, counted.
    pub damage_total: u64,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
    /// What to do, where something is damaged.
    pub advice: Vec<String>,
}

impl Report {
    fn add(&mut self, damage: Damage) {
        self.damage_total += 1;
        if self.damage.len() < DAMAGE_LISTED {
            self.damage.push(damage);
        }
    }

    fn finish(mut self) -> Self {
        self.ok = self.damage_total == 0;
        self.advice = advice(&self.damage);
        self
    }
}

/// Checks a file, which another process may be serving.
///
/// # Errors
/// There is no such file, or it is none of ours, older or newer: what is damaged is no error but in the report.
pub fn check(path: &Path, progress: &Progress) -> Result<Report> {
    let mut report = Report::default();
    let connection = match open::whole_reader(path) {
        Err(Error::Corrupt(what)) => {
            report.add(Damage::of(what));
            match open::salvage(path) {
                Ok(connection) => connection,
                // not even its first page can be read
                Err(_) => {
                    let mut report = report.finish();
                    // the rest of it is for files of which something can be read
                    report.advice.truncate(1);
                    return Ok(report);
                }
            }
        }
        other => other?,
    };
    check_connection(connection, report, progress)
}

/// Checks a file that no other process has and whose WAL is empty, leaving no files beside it.
pub(super) fn check_alone(path: &Path, progress: &Progress) -> Result<Report> {
    check_connection(open::alone(path)?, Report::default(), progress)
}

fn check_connection(connection: Connection, report: Report, progress: &Progress) -> Result<Report> {
    open::require_current(&connection)?;
    connection.execute_batch("BEGIN").map_err(|e| Error::sqlite("cannot begin reading", e))?;
    let file = File { connection: Mutex::new(connection), progress };
    let mut report = report;
    pages::check(&file, &mut report);
    let datasets = tables::datasets(&file, &mut report);
    tables::rest(&file, &mut report);
    progress.begin("checking events", tables::stored_bytes(&file));
    for dataset in &datasets {
        progress.check()?;
        report.datasets += 1;
        let mut places = log::check(&file, dataset, &mut report);
        places.extend(sealed::check(&file, dataset, &mut report));
        places::check(&file, dataset, places, &mut report);
        records::check(&file, dataset, &mut report);
    }
    Ok(report.finish())
}

/// The file within one read transaction. Columns are decoded on all cores, read one after the other.
struct File<'a> {
    connection: Mutex<Connection>,
    progress: &'a Progress,
}

impl File<'_> {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dataset as the tables tell of it.
struct Dataset {
    id: i64,
    name: String,
    next_seq: i64,
    /// How many records it has; `None` where it is of events.
    records: Option<i64>,
    fields: crate::fields::FieldSet,
}

/// SQLite's words for what it cannot read, without the way out, which stands once at the end.
fn words(error: rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => "a page of the file is damaged or missing".to_owned(),
        _ => error.to_string(),
    }
}

fn advice(damage: &[Damage]) -> Vec<String> {
    if damage.is_empty() {
        return Vec::new();
    }
    let mut advice = vec![
        "restore a backup: windrow restore FILE --overwrite (it keeps this file beside the new one)".to_owned(),
        "until then, all that is not named here can be read, also by a server; queries that need what is damaged end \
         with an error, none gives a wrong answer"
            .to_owned(),
    ];
    let mut spans: Vec<(&str, i64, i64)> = Vec::new();
    for one in damage {
        if let (Some(name), Some((first, last))) = (&one.dataset, one.events)
            && !spans.contains(&(name, first, last))
        {
            spans.push((name, first, last));
        }
    }
    advice.extend(spans.iter().map(|(name, first, last)| {
        format!(
            "to give up the damaged events without a backup: windrow erase {name} --where '_seq >= {first} and _seq <= {last}'"
        )
    }));
    advice
}
