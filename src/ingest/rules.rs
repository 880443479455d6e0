//! What a batch is decoded under: the declaration, time field and known fields of its dataset at one moment. The
//! writer refuses a batch whose rules have changed meanwhile, and it is decoded anew.

use std::sync::Arc;

use crate::fields::{Declaration, FieldSet};
use crate::store::snapshot::Snapshot;
use crate::time;

/// The rules of one dataset as of one snapshot.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The dataset.
    pub dataset: Arc<str>,
    /// `Dataset::rules_version`; 0 where the dataset does not exist yet.
    pub version: u64,
    /// What was declared.
    pub declaration: Declaration,
    /// The field that `_time` is taken from.
    pub time_field: Option<Arc<str>>,
    /// Fields that the dataset has.
    pub known: Arc<FieldSet>,
    /// Time of events that bring none, µs.
    pub arrival_us: i64,
    /// Whether the places of rows that are right are told, also of events.
    pub tells_places: bool,
}

impl Rules {
    /// The rules of a dataset; of one that does not exist, those of an undeclared one.
    pub fn of(snapshot: &Snapshot, dataset: &str) -> Self {
        let arrival_us = time::now();
        match snapshot.datasets.get(dataset) {
            Some(found) => Self {
                dataset: Arc::clone(&found.name),
                version: found.rules_version,
                declaration: found.declaration.clone(),
                time_field: found.time_field.clone(),
                known: Arc::clone(&found.fields),
                arrival_us,
                tells_places: false,
            },
            None => Self {
                dataset: dataset.into(),
                version: 0,
                declaration: Declaration::default(),
                time_field: None,
                known: Arc::default(),
                arrival_us,
                tells_places: false,
            },
        }
    }

    /// The same for parts of rows, of which nothing is required and to which nothing is added.
    #[must_use]
    pub fn partial(mut self) -> Self {
        for field in self.declaration.fields.values_mut() {
            (field.required, field.default) = (false, None);
        }
        self
    }
}
