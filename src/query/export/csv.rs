//! CSV: a header with all fields, a line a row. Lists and JSON are JSON text, times RFC 3339, no value is an empty cell.
//! CSV has no types: what reads back differently is told in docs/lifecycle.md.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::export::Batch;

/// The header.
///
/// # Errors
/// None: memory takes everything.
pub fn header(fields: &[Arc<str>]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields.iter().map(|name| name.as_bytes())).map_err(failed)?;
    finished(writer)
}

/// The lines of a batch.
///
/// # Errors
/// None: memory takes everything.
pub fn encode(batch: &Batch<'_>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in 0..batch.rows() {
        for field in 0..batch.fields.len() {
            writer.write_field(batch.get(row, field).to_text().as_bytes()).map_err(failed)?;
        }
        writer.write_record(None::<&[u8]>).map_err(failed)?;
    }
    finished(writer)
}

fn finished(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>> {
    writer.into_inner().map_err(|e| Error::Internal(format!("CSV cannot be written: {e}")))
}

fn failed(error: csv::Error) -> Error {
    Error::Internal(format!("CSV cannot be written: {error}"))
}
