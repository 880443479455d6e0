//! The vector engine against SQLite: generated data and questions, each question asked of the engine over every layout
//! of the rows and of SQLite in the SQL that it prints itself as. `WINDROW_QUERIES` says how many, `WINDROW_SEED` where
//! to begin; a failure tells its seed, and the smallest data that still shows it.

mod attacks;
mod data;
mod expression;
mod kept;
mod question;
mod reach;
mod records;
mod sqlite;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::query::layouts::{LAYOUTS, Layout, alone, laid_out};
use crate::query::{answer, parse, run};
use crate::value::Value;

use data::{Data, Random};
use question::{Question, Text, question};
use sqlite::Oracle;

/// Questions of an ordinary run.
const QUESTIONS: usize = 4_000;
/// Questions about the same data.
const A_DATASET: usize = 20;

fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.replace('_', "").parse().expect("a number"))
}

/// What a test does with each of its datasets, in threads of its own: one of a shared pool that waits for its question takes
/// up whole datasets of other tests meanwhile, and the deadline of the question runs.
fn each<T: Send>(seeds: Range<usize>, work: impl Fn(usize) -> Option<T> + Sync + Send) -> Vec<T> {
    let pool = rayon::ThreadPoolBuilder::new().build().expect("the system gives threads");
    pool.install(|| seeds.into_par_iter().filter_map(work).collect())
}

/// How the answers to a question compare.
#[derive(Debug, PartialEq)]
enum Outcome {
    Same,
    /// Both refuse it.
    Refused,
    /// One met a fault that the other had no cause to look for.
    FaultOfOne,
    Different(String),
}

#[test]
fn the_vector_engine_answers_as_sqlite_does() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS), setting("WINDROW_SEED", 1));
    let counts: [AtomicUsize; 3] = Default::default();
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let failures = each(seeds, |seed| try_seed(seed, &counts));
    assert!(failures.is_empty(), "{} datasets differ; the first:\n{}", failures.len(), failures[0]);
    let [same, refused, faults] = counts.map(AtomicUsize::into_inner);
    // what is generated is worth its time
    assert!(
        refused * 20 < same && faults * 20 < same,
        "{same} same, {refused} refused, {faults} with a fault of one"
    );
}

/// The same question beside a WITH that it does not use goes to SQLite, over virtual tables.
#[test]
fn sqlite_over_virtual_tables_answers_as_the_vector_engine_does() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS) / 2, setting("WINDROW_SEED", 1));
    let counts: [AtomicUsize; 3] = Default::default();
    let one_seed = |seed: usize| {
        let mut random = Random(seed as u64);
        let data = Data::new(&mut random);
        for number in 0..A_DATASET {
            let question = question(&mut random, &data.fields);
            match compare_relational(&data, &question, LAYOUTS[(seed + number) % LAYOUTS.len()]) {
                Outcome::Same => counts[0].fetch_add(1, Relaxed),
                Outcome::Refused => counts[1].fetch_add(1, Relaxed),
                Outcome::FaultOfOne => counts[2].fetch_add(1, Relaxed),
                Outcome::Different(how) => {
                    return Some(format!(
                        "WINDROW_SEED={seed}, question {number}: {:?}\n{how}",
                        question.text
                    ));
                }
            };
        }
        None
    };
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let failures = each(seeds, one_seed);
    assert!(failures.is_empty(), "{} datasets differ; the first:\n{}", failures.len(), failures[0]);
    let [same, refused, faults] = counts.map(AtomicUsize::into_inner);
    assert!(
        refused * 20 < same && faults * 20 < same,
        "{same} same, {refused} refused, {faults} with a fault of one"
    );
}

fn compare_relational(data: &Data, question: &Question, layout: Layout) -> Outcome {
    let Text::Sql(text) = &question.text else { return Outcome::Same };
    let query = question.read().expect("reads");
    let statement = parse::statement(&format!("WITH \"not used\" AS (SELECT 1) {text}"), &[]).expect("reads");
    let snapshot = alone(laid_out(&data.dataset(), layout));
    let vector = run(&snapshot, &query).map(|answer| answer.rows);
    let sqlite = answer(&snapshot, &statement.on(query.calendar.clone()));
    if let Ok(answer) = &sqlite {
        assert_eq!(answer.stats.engine, "sqlite");
    }
    let sqlite = sqlite.map(|answer| answer.rows);
    match (&vector, &sqlite) {
        (Ok(vector), Ok(sqlite)) => match difference(vector, sqlite, question) {
            Some(how) => Outcome::Different(format!("{how}\nover {layout:?}")),
            None => Outcome::Same,
        },
        (Err(_), Err(_)) => Outcome::Refused,
        (Err(error), Ok(_)) | (Ok(_), Err(error)) if is_fault(error) => Outcome::FaultOfOne,
        _ => Outcome::Different(format!(
            "vector: {}\nSQLite: {}\nover {layout:?}",
            shown(&vector),
            shown(&sqlite)
        )),
    }
}

fn try_seed(seed: usize, counts: &[AtomicUsize; 3]) -> Option<String> {
    let mut random = Random(seed as u64);
    let data = Data::new(&mut random);
    let oracle = Oracle::new(&data).expect("a table");
    for number in 0..A_DATASET {
        let question = question(&mut random, &data.fields);
        match compare(&data, &oracle, &question) {
            Outcome::Same => counts[0].fetch_add(1, Relaxed),
            Outcome::Refused => counts[1].fetch_add(1, Relaxed),
            Outcome::FaultOfOne => counts[2].fetch_add(1, Relaxed),
            Outcome::Different(_) => return Some(told(seed, number, &data, &question)),
        };
    }
    None
}

fn is_different(data: &Data, question: &Question) -> Option<String> {
    match compare(data, &Oracle::new(data).expect("a table"), question) {
        Outcome::Different(how) => Some(how),
        _ => None,
    }
}

/// The failure over the fewest rows that still show it.
fn told(seed: usize, number: usize, data: &Data, question: &Question) -> String {
    let mut data = data.clone();
    let mut step = data.numbered().count().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < data.numbered().count() {
            let fewer = data.without(at, step);
            match is_different(&fewer, question) {
                Some(_) => data = fewer,
                None => at += step,
            }
        }
        step /= 2;
    }
    let how = is_different(&data, question).unwrap_or_default();
    let fields: Vec<String> =
        data.fields.iter().map(|field| format!("{:?} {:?}", field.name, field.kind)).collect();
    let rows: Vec<String> = data
        .blocks
        .iter()
        .map(|rows| {
            rows.iter()
                .map(|row| format!("  {} {:?}", crate::time::format(row.time), row.cells))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    format!(
        "WINDROW_SEED={seed}, question {number}: {:?} in {}, weeks from {}\nfields: {}\nrows, by block:\n{}\n{how}",
        question.text,
        question.zone,
        question.week_start,
        fields.join(", "),
        rows.join("\n  --\n")
    )
}

/// Asks both sides.
fn compare(data: &Data, oracle: &Oracle, question: &Question) -> Outcome {
    let query = match question.read() {
        Ok(query) => query,
        Err(error) => return Outcome::Different(format!("it is not read: {error}")),
    };
    let whole = data.dataset();
    let (sql, wanted) = match oracle.ask(&query, &whole) {
        Ok(asked) => asked,
        Err(Error::Internal(error)) => return Outcome::Different(error),
        Err(error) => {
            // what planning refuses it refuses everywhere
            let answer = run(&alone(whole), &query);
            return match answer {
                Err(other) if other.to_string() == error.to_string() => Outcome::Refused,
                other => Outcome::Different(format!("not printed: {error}\nvector: {other:?}")),
            };
        }
    };
    let mut outcome = Outcome::Same;
    for layout in LAYOUTS {
        let found = run(&alone(laid_out(&whole, layout)), &query).map(|answer| answer.rows);
        let is_conditional =
            [" WHERE ", "CASE ", " AND ", " OR ", "HAVING", "having", "where", " IN (", "LIMIT", "limit"]
                .iter()
                .any(|word| format!("{:?}", question.text).contains(word));
        match (&found, &wanted) {
            (Ok(found), Ok(wanted)) => {
                if let Some(how) = difference(found, wanted, question) {
                    return Outcome::Different(format!("{how}\nover {layout:?}; in SQLite:\n{sql}"));
                }
            }
            (Err(_), Err(_)) => outcome = Outcome::Refused,
            (Err(error), Ok(_)) | (Ok(_), Err(error)) if is_conditional && is_fault(error) => {
                outcome = Outcome::FaultOfOne;
            }
            _ => {
                return Outcome::Different(format!(
                    "vector: {}\nSQLite: {}\nover {layout:?}; in SQLite:\n{sql}",
                    shown(&found),
                    shown(&wanted)
                ));
            }
        }
    }
    outcome
}

/// A fault of one row, which counts only where the row is looked at.
fn is_fault(error: &Error) -> bool {
    let told = error.to_string();
    matches!(error, Error::Invalid { .. })
        && (told.contains("overflow") || told.contains("beyond all calendars"))
}

fn shown(rows: &Result<Vec<Vec<Value>>>) -> String {
    match rows {
        Ok(rows) => rows.iter().map(|row| format!("\n  {row:?}")).collect(),
        Err(error) => format!("error: {error}"),
    }
}

fn difference(found: &[Vec<Value>], wanted: &[Vec<Value>], question: &Question) -> Option<String> {
    let (mut found, mut wanted) = (found.to_vec(), wanted.to_vec());
    if !question.is_ordered {
        let by_all = |a: &Vec<Value>, b: &Vec<Value>| {
            let by_value = a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
            by_value.unwrap_or(Ordering::Equal).then_with(|| format!("{a:?}").cmp(&format!("{b:?}")))
        };
        found.sort_by(by_all);
        wanted.sort_by(by_all);
    }
    let is_same = |a: &Vec<Value>, b: &Vec<Value>| {
        a.len() == b.len()
            && a.iter().zip(b).enumerate().all(|(at, (a, b))| match question.loose.get(at) {
                Some(false) => format!("{a:?}") == format!("{b:?}"),
                _ => a.compare(b).is_eq(),
            })
    };
    let same = found.len() == wanted.len() && found.iter().zip(&wanted).all(|(a, b)| is_same(a, b));
    (!same).then(|| format!("vector: {}\nSQLite: {}", shown(&Ok(found)), shown(&Ok(wanted))))
}
