//! `--key FIELD`: makes the dataset of an import one of records with the key that the user names.

use crate::error::{Error, Result};
use crate::fields::{DatasetKind, Declaration};
use crate::records::declare::declare;
use crate::store::Store;

/// Makes a dataset of records with this key, or holds that it is one; without a key it is what it is.
///
/// # Errors
/// `Conflict` where it holds events, or records with another key.
pub fn declare_key(store: &Store, dataset: &str, key: &[String]) -> Result<()> {
    if key.is_empty() {
        return Ok(());
    }
    let snapshot = store.snapshot();
    match snapshot.datasets.get(dataset) {
        Some(found) if found.declaration.key == key => Ok(()),
        Some(found) if !found.declaration.key.is_empty() => Err(Error::Conflict(format!(
            "the records of \"{dataset}\" have the key {}; leave --key out, or import into a dataset of another name",
            found.declaration.key.join(", ")
        ))),
        _ => {
            let kind = DatasetKind::Records;
            declare(store, dataset, Declaration { kind, key: key.to_vec(), ..Declaration::default() })
        }
    }
}
