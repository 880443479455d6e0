//! Records: the table, what is kept apart of it, and the index of words tell the same of what is there.

use rusqlite::Connection;

use crate::store::check::{Damage, Dataset, File, Report, words};
use crate::store::keyed::{lazy_table, table, text_table};

/// Checks the tables of a dataset of records.
pub(super) fn check(file: &File<'_>, dataset: &Dataset, report: &mut Report) {
    let Some(told) = dataset.records else { return };
    let connection = file.connection();
    if let Err(e) = check_tables(&connection, dataset, told, report) {
        report.add(Damage::of_dataset(&dataset.name, format!("its records: {}", words(e))));
    }
}

fn check_tables(
    connection: &Connection,
    dataset: &Dataset,
    told: i64,
    report: &mut Report,
) -> rusqlite::Result<()> {
    let own = table(dataset.id);
    let number = |sql: String| connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
    let (count, last): (i64, i64) =
        connection.query_row(&format!("SELECT count(*), coalesce(max(_seq), 0) FROM {own}"), [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    report.records += count.unsigned_abs();
    let mut faults = Vec::new();
    if count != told {
        faults.push(format!("it has {count} records, and is said to have {told}"));
    }
    if last >= dataset.next_seq {
        faults
            .push(format!("a record has the number {last}, and the next one would get {}", dataset.next_seq));
    }
    let has = |name: &str| {
        number(format!("SELECT count(*) FROM sqlite_schema WHERE name = '{name}'")).map(|count| count > 0)
    };
    let lazy = lazy_table(dataset.id);
    if has(&lazy)? {
        let strays =
            number(format!("SELECT count(*) FROM {lazy} WHERE _seq NOT IN (SELECT _seq FROM {own})"))?;
        if strays > 0 {
            faults.push(format!("lazy fields are there of {strays} records that are not"));
        }
    }
    let text = text_table(dataset.id);
    if has(&text)? {
        let indexed = number(format!("SELECT count(*) FROM {text}_docsize"))?;
        let strays =
            number(format!("SELECT count(*) FROM {text}_docsize WHERE id NOT IN (SELECT _seq FROM {own})"))?;
        if indexed != count || strays > 0 {
            faults.push(format!(
                "its search has {indexed} records, {strays} of which are not there, instead of {count}; declare it once \
                 without and once with \"search\" to make it anew"
            ));
        }
    }
    faults.into_iter().for_each(|what| report.add(Damage::of_dataset(&dataset.name, what)));
    Ok(())
}
