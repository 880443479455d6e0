//! Index advice: of every statement that was run over records its plan is known. Where one goes through all of a large
//! table, indexes for it are tried on a sample, and the best is told with what was measured; indexes that no statement has
//! used are told too. Nothing is changed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::fields::records::Index;
use crate::query::budget::{Budget, Limits};
use crate::query::sqlite::ask::Asked;
use crate::query::sqlite::register;
use crate::store::keyed::statements::Seen;
use crate::store::keyed::tables::{create_index, index_name};
use crate::store::keyed::{lazy_table, quoted, table, text_table};
use crate::store::open::read_only_uri;
use crate::store::snapshot::{Dataset, Snapshot};
use crate::time::Calendar;

/// Tables with fewer records are gone through in no time.
const LARGE_ROWS: u64 = 10_000;
/// Records of a sample.
const SAMPLE_ROWS: u64 = 50_000;
/// Statements of a dataset that indexes are tried for: those that took the longest in all.
const STATEMENTS: usize = 8;
/// Times a statement is run for a measure; the quickest counts.
const RUNS: usize = 3;
/// An index is worth telling where it is so many times as fast.
const GAIN: f64 = 1.5;
/// Fields of an index that is to have all that a statement names.
const COVERED_FIELDS: usize = 6;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Advice {
    /// An index would help.
    MissingIndex {
        /// The dataset.
        dataset: String,
        /// What is run, with `?` for constants.
        statement: String,
        /// How often it was run since the server began.
        runs: u64,
        /// How long it took each time, on average.
        mean_ms: f64,
        /// How SQLite runs it now.
        plan: Vec<String>,
        /// The index as a part of the declaration.
        index: Index,
        /// The same in SQLite's words.
        create_index: String,
        /// Records that it was tried on.
        sample_rows: u64,
        /// How long the statement took there without the index.
        before_ms: f64,
        /// And with it.
        after_ms: f64,
        /// How many times as fast it is.
        gain: f64,
    },
    /// An index that no statement has used.
    UnusedIndex {
        /// The dataset.
        dataset: String,
        /// The index as it is declared.
        index: Index,
        /// Statements that were run since the server began.
        statements: u64,
    },
}

/// What would help the statements that were run so far.
///
/// # Errors
/// The file cannot be read.
pub fn advise(snapshot: &Snapshot) -> Result<Vec<Advice>> {
    let mut advice = Vec::new();
    for dataset in snapshot.datasets.values().filter(|dataset| dataset.rows() >= LARGE_ROWS) {
        let Some(keyed) = &dataset.keyed else { continue };
        let all = keyed.derived.statements.all();
        advice.extend(missing(dataset, &all)?);
        advice.extend(unused(dataset, &all, keyed.derived.statements_run()));
    }
    Ok(advice)
}

fn unused(dataset: &Dataset, seen: &[Seen], statements: u64) -> Vec<Advice> {
    if seen.iter().all(|seen| seen.plan.is_empty()) {
        return Vec::new();
    }
    let is_used = |index: &&Index| {
        let name = index_name(index)(dataset.id);
        // a unique index is a rule, too
        index.unique || seen.iter().any(|seen| seen.plan.iter().any(|line| line.contains(&name)))
    };
    let unused = dataset.declaration.indexes.iter().filter(|index| !is_used(index));
    let told = |index: &Index| Advice::UnusedIndex {
        dataset: dataset.name.to_string(),
        index: index.clone(),
        statements,
    };
    unused.map(told).collect()
}

fn missing(dataset: &Dataset, seen: &[Seen]) -> Result<Vec<Advice>> {
    let own = table(dataset.id);
    let scan = format!("SCAN {own}");
    let goes_through_all = |seen: &&Seen| {
        let is_scan = |line: &String| line.starts_with(&scan) && !line.contains("USING COVERING INDEX");
        let is_of_others =
            seen.sql.contains(&text_table(dataset.id)) || seen.sql.contains(&lazy_table(dataset.id));
        !is_of_others && seen.plan.iter().any(is_scan)
    };
    let slow: Vec<&Seen> = seen.iter().filter(goes_through_all).take(STATEMENTS).collect();
    if slow.is_empty() {
        return Ok(Vec::new());
    }
    let sample = Sample::of(dataset)?;
    let mut told: BTreeSet<Vec<String>> = BTreeSet::new();
    let mut advice = Vec::new();
    for seen in slow {
        let Some(before) = sample.time(seen)? else { continue };
        let mut best: Option<(Duration, Vec<String>)> = None;
        for fields in candidates(&seen.shape, &own) {
            let Some(after) = sample.time_with(seen, &fields)? else { continue };
            // the shorter one, unless the longer one is clearly better
            if best.as_ref().is_none_or(|(known, _)| after.mul_f64(1.2) < *known) {
                best = Some((after, fields));
            }
        }
        let Some((after, fields)) = best else { continue };
        let gain = before.as_secs_f64() / after.as_secs_f64().max(1e-9);
        if gain < GAIN || !told.insert(fields.clone()) {
            continue;
        }
        let index = Index { fields, condition: None, unique: false };
        advice.push(Advice::MissingIndex {
            dataset: dataset.name.to_string(),
            statement: seen.shape.clone(),
            runs: seen.runs,
            mean_ms: seen.took.as_secs_f64() * 1e3 / seen.runs.max(1) as f64,
            plan: seen.plan.clone(),
            create_index: create_index(&index, dataset.id, None),
            index,
            sample_rows: sample.rows,
            before_ms: before.as_secs_f64() * 1e3,
            after_ms: after.as_secs_f64() * 1e3,
            gain,
        });
    }
    Ok(advice)
}

/// Fields of indexes that may help a statement: those compared for equality, then those that its rows are grouped or
/// ordered by or one that is compared with `<` and the like; and the same with all other fields that it names.
fn candidates(shape: &str, own: &str) -> Vec<Vec<String>> {
    let named = columns(shape, own);
    let mut first: Vec<String> = Vec::new();
    let mut add = |name: &str, descending: bool| {
        if !first.iter().any(|known| known.trim_start_matches('-') == name) {
            first.push(format!("{}{name}", if descending { "-" } else { "" }));
        }
    };
    let (filter, rest) = clauses(shape);
    let of = |part: &str| columns(part, own);
    let follows = |part: &str, name: &str, operators: &[&str]| {
        let column = format!("{own}.{}", quoted(name));
        part.match_indices(&column).any(|(at, _)| {
            let after = part.get(at + column.len()..).unwrap_or_default();
            operators.iter().any(|operator| after.starts_with(operator))
        })
    };
    for name in of(filter) {
        if follows(filter, &name, &[" = ", " IN ", " IS ?", " IS NULL"]) {
            add(&name, false);
        }
    }
    for name in of(rest) {
        add(&name, follows(rest, &name, &[" DESC"]));
    }
    for name in of(filter) {
        if follows(filter, &name, &[" < ", " > ", " <= ", " >= "]) {
            add(&name, false);
            break;
        }
    }
    if first.is_empty() {
        return Vec::new();
    }
    let others =
        named.iter().filter(|name| !first.iter().any(|known| known.trim_start_matches('-') == **name));
    let covering: Vec<String> = first.iter().chain(others).cloned().collect();
    if covering.len() == first.len() || covering.len() > COVERED_FIELDS {
        return vec![first];
    }
    vec![first, covering]
}

/// What stands after WHERE, and after GROUP BY and ORDER BY.
fn clauses(shape: &str) -> (&str, &str) {
    let of = |text: &str, words: &[&str]| words.iter().filter_map(|word| text.find(word)).min();
    let rest = of(shape, &["GROUP BY ", "ORDER BY "]).unwrap_or(shape.len());
    let (before, rest) = shape.split_at(rest);
    let filter = before.find("WHERE ").map_or("", |at| before.get(at..).unwrap_or_default());
    (filter, rest)
}

/// The columns of the table that a text names, in their order, each once.
fn columns(text: &str, own: &str) -> Vec<String> {
    let begin = format!("{own}.\"");
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(&begin) {
        rest = rest.get(at + begin.len()..).unwrap_or_default();
        let name = rest.split('"').next().unwrap_or_default();
        if !name.starts_with('_') && !name.is_empty() && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Some of the records in memory, with the indexes that there are.
struct Sample<'d> {
    dataset: &'d Dataset,
    connection: Connection,
    language: crate::query::sqlite::Language,
    rows: u64,
}

impl<'d> Sample<'d> {
    fn of(dataset: &'d Dataset) -> Result<Self> {
        let failed = |e| Error::sqlite("cannot make a sample of records", e);
        let connection = Connection::open_in_memory().map_err(failed)?;
        let file = dataset.keyed()?.file()?;
        connection.execute("ATTACH ?1 AS f", [read_only_uri(std::path::Path::new(&file))]).map_err(failed)?;
        let own = table(dataset.id);
        let definitions: Vec<String> = connection
            .prepare(
                "SELECT sql FROM f.sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY type DESC",
            )
            .and_then(|mut all| all.query_map([&own], |row| row.get(0))?.collect())
            .map_err(failed)?;
        let (tables, indexes): (Vec<String>, Vec<String>) =
            definitions.into_iter().partition(|sql| sql.starts_with("CREATE TABLE"));
        let step = (dataset.rows() / SAMPLE_ROWS).max(1);
        let fill = format!(
            "INSERT INTO main.{own} SELECT * FROM f.{own} WHERE _seq % {step} = 0 LIMIT {SAMPLE_ROWS}"
        );
        connection.execute_batch(&tables.join(";")).map_err(failed)?;
        let rows = connection.execute(&fill, []).map_err(failed)? as u64;
        connection.execute_batch(&(indexes.join(";") + ";DETACH f;ANALYZE;")).map_err(failed)?;
        let language = register(&connection, &Calendar::default(), &Budget::new(&Limits::default()))?;
        Ok(Self { dataset, connection, language, rows })
    }

    /// How long a statement takes; `None` where it cannot be run here.
    fn time(&self, seen: &Seen) -> Result<Option<Duration>> {
        let mut quickest: Option<Duration> = None;
        for _ in 0..RUNS {
            self.language.renew(&Calendar::default(), &Budget::new(&Limits::default()));
            let begin = Instant::now();
            let asked = Asked { connection: &self.connection, language: &self.language };
            if asked.for_each(&seen.sql, &seen.parameters, |_| Ok(())).is_err() {
                return Ok(None);
            }
            let took = begin.elapsed();
            quickest = Some(quickest.map_or(took, |known| known.min(took)));
        }
        Ok(quickest)
    }

    fn time_with(&self, seen: &Seen, fields: &[String]) -> Result<Option<Duration>> {
        let failed = |e| Error::sqlite("cannot try an index", e);
        let index = Index { fields: fields.to_vec(), condition: None, unique: false };
        if self.dataset.declaration.indexes.iter().any(|known| known.fields == index.fields) {
            return Ok(None);
        }
        let name = index_name(&index)(self.dataset.id);
        let make = format!("{}; ANALYZE;", create_index(&index, self.dataset.id, None));
        self.connection.execute_batch(&make).map_err(failed)?;
        let took = self.time(seen);
        self.connection.execute_batch(&format!("DROP INDEX {}; ANALYZE;", quoted(&name))).map_err(failed)?;
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_begin_with_what_is_equal_and_end_with_what_is_only_read() {
        let of = |shape: &str| candidates(shape, "r1");
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            of(
                r#"SELECT r1."title" FROM r1 WHERE (r1."added" > ? AND r1."severity" = ?) ORDER BY r1."score" DESC LIMIT ?"#
            ),
            [list(&["severity", "-score", "added"]), list(&["severity", "-score", "added", "title"])]
        );
        assert_eq!(of(r#"SELECT r1."kind", count(*) FROM r1 GROUP BY r1."kind""#), [list(&["kind"])]);
        assert_eq!(of(r#"SELECT r1."a" FROM r1 WHERE truth(op_like(r1."a", ?))"#), Vec::<Vec<String>>::new());
    }
}
