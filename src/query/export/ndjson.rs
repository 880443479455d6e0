//! NDJSON: an object a line. Nulls are left out, unless the fields were named; every type reads back as it was.

use crate::error::Result;
use crate::query::export::Batch;
use crate::value::{Value, write_json_string};

/// The lines of a batch.
///
/// # Errors
/// None: as the other formats.
pub fn encode(batch: &Batch<'_>) -> Result<Vec<u8>> {
    let keys: Vec<Vec<u8>> = batch
        .fields
        .iter()
        .map(|name| {
            let mut key = Vec::new();
            write_json_string(name, &mut key);
            key.push(b':');
            key
        })
        .collect();
    let mut out = Vec::new();
    for row in 0..batch.rows() {
        out.push(b'{');
        let mut is_first = true;
        for (field, key) in keys.iter().enumerate() {
            let value = batch.get(row, field);
            if value.is_null() && !batch.keeps_nulls {
                continue;
            }
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            out.extend_from_slice(key);
            write_value(&value, &mut out);
        }
        out.extend_from_slice(b"}\n");
    }
    Ok(out)
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    let start = out.len();
    value.write_json(out);
    if let Value::Json(_) = value {
        // it is kept as it was written; outside of strings, where they are escaped, line ends are but space
        out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    }
}
