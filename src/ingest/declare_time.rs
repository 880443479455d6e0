//! `--time FIELD`: declares the time field that the user of an import names, once the first rows have shown that they
//! have it.

use crate::error::{Error, Result, nearest};
use crate::fields::{Declaration, FieldType, Kinds};
use crate::ingest::rows::Decoded;
use crate::ingest::rules::Rules;
use crate::records::declare::declare;
use crate::store::Store;

/// Declares a field the time field of a dataset; `decode` decodes the first rows.
///
/// # Errors
/// The dataset has another time field, or holds the field as something else; no row has it.
pub fn declare_time(
    store: &Store,
    dataset: &str,
    field: &str,
    decode: impl Fn(&Rules) -> Decoded,
) -> Result<()> {
    let mut rules = Rules::of(&store.snapshot(), dataset);
    match &rules.time_field {
        Some(taken) if **taken == *field => return Ok(()),
        Some(taken) => {
            return Err(Error::Conflict(format!(
                "the events of \"{dataset}\" take their time from \"{taken}\"; leave --time out, or import into a dataset of another name"
            )));
        }
        None => {}
    }
    let times = Kinds::of(FieldType::Time);
    if let Some(kinds) = rules.known.kinds(field).filter(|kinds| kinds.with(times) != times) {
        let kinds: Vec<&str> = kinds.iter().map(FieldType::name).collect();
        return Err(Error::Conflict(format!(
            "the events of \"{dataset}\" hold \"{field}\" as {} already; drop it first (`windrow datasets {dataset} --drop`), or import into a dataset of another name, to take times from it",
            kinds.join(" and ")
        )));
    }
    rules.time_field = Some(field.into());
    let decoded = decode(&rules);
    if !decoded.names.iter().any(|name| **name == *field) {
        let named = decoded.names.iter().map(|name| &**name).filter(|name| !name.starts_with('_'));
        let hint = nearest(field, named);
        return Err(Error::invalid(format!("no row has the field \"{field}\" that --time names{hint}")));
    }
    if decoded.block.rows() == 0 {
        let why = decoded.rejected.into_iter().next().map_or(String::new(), |e| format!(": {}", e.message));
        return Err(Error::invalid(format!("no row can be read with \"{field}\" as its time{why}")));
    }
    declare(store, dataset, Declaration { time: Some(field.into()), ..rules.declaration })
}
