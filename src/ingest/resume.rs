//! Where an import begins: at the start of its file, or where an earlier import of the same file has ended. `import`
//! asks before it reads the first record, and when it ends.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ingest::format::FileFormat;
use crate::ingest::import::{ImportOptions, Report};
use crate::store::Store;

/// What a file is known by between imports: its full path. Standard input is known by nothing.
pub fn mark_name(path: &Path) -> Option<Arc<str>> {
    let full = path.canonicalize().ok().filter(|_| path.as_os_str() != "-")?;
    Some(full.to_string_lossy().into())
}

/// Where the import begins: 0, or where an earlier one of the same file has ended.
///
/// # Errors
/// `Conflict` where an earlier one broke off and this one neither resumes it nor goes elsewhere.
pub fn resume_place(
    store: &Store,
    dataset: &str,
    path: &Path,
    options: &ImportOptions,
    report: &mut Report,
) -> Result<u64> {
    let Some(name) = mark_name(path) else {
        let refused =
            "standard input cannot be resumed, because nothing tells it from another; import a file";
        return if options.resume { Err(Error::invalid(refused)) } else { Ok(0) };
    };
    let unit = report.format.unit();
    match store.import_mark(dataset, &name)? {
        Some(mark) if options.resume => {
            report.notes.push(format!("going on at {unit} {} of {}", mark.place, report.source));
            // unless more of it comes: a process may have died between the last rows and the note that there are no more
            report.up_to_date = mark.ended || mark.place > 0;
            Ok(mark.place)
        }
        Some(mark) if !mark.ended => Err(Error::Conflict(format!(
            "an import of {} into \"{dataset}\" ended before {unit} {}; go on there with --resume, or begin anew in a \
             dataset of another name, or after dropping this one (`windrow datasets {dataset} --drop`)",
            report.source, mark.place
        ))),
        Some(_) => {
            let snapshot = store.snapshot();
            let declaration = snapshot.datasets.get(dataset).map(|dataset| &dataset.declaration);
            if declaration.is_none_or(|declaration| declaration.dedupe.is_none() && !declaration.is_records())
            {
                report.notes.push(format!(
                    "{} was imported into \"{dataset}\" before: the rows that it has had since then are there twice now; \
                     --resume takes only what was appended",
                    report.source
                ));
            }
            Ok(0)
        }
        None => Ok(0),
    }
}

/// Where an import that breaks off will go on, as the end of "go on after them": what is committed tells.
pub fn place_told(store: &Store, dataset: &str, mark: Option<&str>, format: FileFormat) -> String {
    let unit = format.unit();
    let mark = mark.and_then(|name| store.import_mark(dataset, name).ok().flatten());
    mark.map_or(String::new(), |mark| format!(" at {unit} {}", mark.place))
}

/// Seals and merges what was imported, and gives free space back. Where there is no room for that, the rows are there
/// all the same.
///
/// # Errors
/// Those of the store.
pub fn arrange(store: &Store, dataset: &str, report: &mut Report) -> Result<()> {
    let snapshot = store.snapshot();
    let Some(id) = snapshot.datasets.get(dataset).map(|dataset| dataset.id) else { return Ok(()) };
    // what a snapshot holds is not removed
    drop(snapshot);
    match store.upkeep().settle(id).and_then(|()| store.upkeep().give_back()) {
        Err(Error::StorageUnavailable(_)) if report.broken.is_some() => Ok(()),
        Err(Error::StorageUnavailable(why)) => {
            report.notes.push(format!("segments are merged later: {why}"));
            Ok(())
        }
        done => done,
    }
}
