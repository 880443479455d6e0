//! What a dataset is, in the words of `GET /v1/datasets/{d}`: HTTP and the command line tell the same.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::fields::{Declaration, FieldType};
use crate::store::snapshot::Dataset;
use crate::store::{open, read, segments};
use crate::time;

/// A dataset described.
#[derive(Debug, Serialize)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// `events` or `records`.
    pub kind: crate::fields::DatasetKind,
    /// What was declared.
    pub declaration: Declaration,
    /// The field that `_time` is taken from.
    pub time_field: Option<String>,
    /// Fields in the order of their first appearance, then those that are declared and not yet seen.
    pub fields: Vec<Field>,
    /// Number of events, or of records.
    pub rows: u64,
    /// Number of sealed segments.
    pub segments: u64,
    /// Bytes in the file.
    pub bytes: u64,
    /// Earliest and latest `_time`.
    pub time_range: Option<TimeRange>,
    /// When it was made.
    pub created: String,
}

/// One field.
#[derive(Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type, `mixed` where it has held several.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The types that a mixed field has held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<&'static str>,
}

/// A span of `_time`, both ends included.
#[derive(Debug, Serialize)]
pub struct TimeRange {
    /// The earliest.
    pub from: String,
    /// The latest.
    pub to: String,
}

impl Description {
    /// Describes a dataset that takes so many bytes in the file.
    pub fn of(dataset: &Dataset, bytes: u64) -> Self {
        let segments = dataset.segments.iter().filter(|segment| segment.id > 0).count() as u64;
        Self::with(dataset, (dataset.rows(), dataset.time_range()), segments, bytes)
    }

    /// Describes the part of a dataset with so many rows in such a range of time; how it lies in the file is not told of
    /// a part.
    pub fn of_part(dataset: &Dataset, extent: (u64, Option<(i64, i64)>)) -> Self {
        Self::with(dataset, extent, 0, 0)
    }

    fn with(
        dataset: &Dataset,
        (rows, time_range): (u64, Option<(i64, i64)>),
        segments: u64,
        bytes: u64,
    ) -> Self {
        let seen = dataset.fields.iter().map(|(name, kinds)| match kinds.single() {
            Some(kind) => Field { name: name.to_string(), kind: kind.name(), types: Vec::new() },
            // no event has a value in it, as in the user of an access log
            None if kinds.is_empty() => Field { name: name.to_string(), kind: "string", types: Vec::new() },
            None => Field {
                name: name.to_string(),
                kind: "mixed",
                types: kinds.iter().map(FieldType::name).collect(),
            },
        });
        let unseen =
            dataset.declaration.fields.iter().filter(|(name, _)| dataset.fields.kinds(name).is_none());
        let declared = unseen.filter_map(|(name, field)| {
            field.kind.map(|kind| Field { name: name.clone(), kind: kind.name(), types: Vec::new() })
        });
        let range = |(from, to)| TimeRange { from: time::format(from), to: time::format(to) };
        Self {
            name: dataset.name.to_string(),
            kind: dataset.declaration.kind,
            declaration: dataset.declaration.clone(),
            time_field: dataset.time_field.as_ref().map(ToString::to_string),
            fields: seen.chain(declared).collect(),
            rows,
            segments,
            bytes,
            time_range: time_range.map(range),
            created: time::format(dataset.created_us),
        }
    }
}

/// Describes the datasets of a file that another process may be serving: all of them, or the one that is named.
///
/// # Errors
/// There is no such file, or it is none of ours, newer, or damaged; `NotFound` for the name.
pub fn datasets(path: &Path, only: Option<&str>) -> Result<Vec<Description>> {
    let snapshot = read(path, None)?;
    if let Some(name) = only {
        snapshot.whole_dataset(name)?;
    }
    let connection = open::reader(path)?;
    let wanted = snapshot.datasets.values().filter(|dataset| only.is_none_or(|name| *dataset.name == *name));
    wanted
        .map(|dataset| {
            let bytes = match &dataset.keyed {
                Some(keyed) => keyed.stored_bytes(&connection, dataset.id)?,
                None => segments::stored_bytes(&connection, dataset.id)?,
            };
            Ok(Description::of(dataset, bytes))
        })
        .collect()
}
