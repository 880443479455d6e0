//! The file as SQLite sees it: every page, every index, every reference between tables. SQLite has no checksums, so a
//! changed byte inside a BLOB is found by the checks of log and segments.

use rusqlite::Connection;

use crate::store::check::{Damage, File, Report, words};

/// Faults of its pages that SQLite lists before it stops.
const FAULTS_MAX: usize = 100;

pub(super) fn check(file: &File<'_>, report: &mut Report) {
    let connection = file.connection();
    let pragma =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(0);
    file.progress.begin("checking pages", 0);
    let free = pragma("freelist_count").unsigned_abs();
    if free > 0 {
        let bytes = free * pragma("page_size").unsigned_abs();
        report.notes.push(format!("{free} pages ({bytes} bytes) are free and will be used again"));
    }
    match lines(&connection, &format!("PRAGMA integrity_check({FAULTS_MAX})"), 1) {
        Ok(found) => {
            let faults = found
                .iter()
                .flat_map(|text| text.lines())
                .filter(|line| !line.is_empty() && *line != "ok" && !line.starts_with("*** in database"));
            faults.for_each(|line| report.add(Damage::of(format!("the file: {line}"))));
        }
        Err(e) => report.add(Damage::of(format!("the file: {}", words(e)))),
    }
    match lines(&connection, "PRAGMA foreign_key_check", 4) {
        Ok(found) => found.iter().for_each(|row| {
            report.add(Damage::of(format!("a row belongs to a dataset that is not there: {row}")));
        }),
        Err(e) => report.add(Damage::of(format!("the references between tables: {}", words(e)))),
    }
}

fn lines(connection: &Connection, sql: &str, columns: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let cells: Vec<String> = (0..columns)
            .map(|at| match row.get_ref(at)? {
                rusqlite::types::ValueRef::Integer(number) => Ok(number.to_string()),
                rusqlite::types::ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
                _ => Ok("-".to_owned()),
            })
            .collect::<rusqlite::Result<_>>()?;
        lines.push(cells.join(" "));
    }
    Ok(lines)
}
