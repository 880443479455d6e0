//! The same rows as records: in a table of the store, with and without declared types and indexes, asked the same.

use std::sync::Arc;

use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::fields::records::Index;
use crate::fields::{DatasetKind, Declaration, FieldDeclaration, FieldType};
use crate::query::layouts::alone;
use crate::query::run;
use crate::store::keyed::tables::Declared;
use crate::store::keyed::write::{Mode, PutOutcome, Record, RecordBatch};
use crate::store::writer::DecodedUnder;
use crate::store::{Store, StoreOptions};
use crate::value::Value;

use super::data::{DATASET, Data, Kind, Random};
use super::question::{Question, question};
use super::{A_DATASET, Outcome, QUESTIONS, difference, each, is_fault, setting, shown};

/// What `_id` is of events: the number of the row.
pub(super) const KEY: &str = "row key";

#[test]
fn records_answer_as_events_do() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS) / 4, setting("WINDROW_SEED", 1));
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let tried = each(seeds, |seed| Some(try_seed(seed)));
    let failures: Vec<&String> = tried.iter().flat_map(|(_, failures)| failures).collect();
    assert!(failures.is_empty(), "{} questions differ; the first:\n{}", failures.len(), failures[0]);
    let same: usize = tried.iter().map(|(same, _)| same).sum();
    assert!(same * 10 > questions * 8, "of {questions} questions {same} were answered by both");
}

fn try_seed(seed: usize) -> (usize, Vec<String>) {
    let mut random = Random(seed as u64);
    let data = Data::new(&mut random);
    let folder = tempfile::tempdir().unwrap();
    let options =
        StoreOptions { durability: crate::store::open::Durability::Normal, ..StoreOptions::default() };
    let store = Store::open(&folder.path().join("a.db"), options).unwrap();
    fill(&store, &data, seed % 2 == 1);
    let mut same = 0;
    for number in 0..A_DATASET {
        let question = question(&mut random, &data.fields);
        match compare(&store, &data, &question) {
            Outcome::Same => same += 1,
            Outcome::Refused | Outcome::FaultOfOne => {}
            Outcome::Different(how) => {
                let told = format!("WINDROW_SEED={seed}, question {number}: {:?}\n{how}", question.text);
                return (same, vec![told]);
            }
        }
    }
    (same, Vec::new())
}

/// The type that all values of a kind have.
fn declared(kind: Kind) -> Option<FieldType> {
    match kind {
        Kind::Small | Kind::Wide | Kind::Huge => Some(FieldType::Int),
        Kind::Quarters | Kind::Either | Kind::Broken => Some(FieldType::Float),
        Kind::Flag => Some(FieldType::Bool),
        Kind::Moment => Some(FieldType::Time),
        Kind::Word | Kind::Odd => Some(FieldType::String),
        Kind::Tags => Some(FieldType::Strings),
        Kind::Json => Some(FieldType::Json),
        Kind::Mixed | Kind::Nothing => None,
    }
}

pub(super) fn fill(store: &Store, data: &Data, is_typed: bool) {
    let mut declaration =
        Declaration { kind: DatasetKind::Records, key: vec![KEY.into()], ..Declaration::default() };
    if is_typed {
        for field in &data.fields {
            let kind = declared(field.kind);
            declaration
                .fields
                .insert(field.name.into(), FieldDeclaration { kind, ..FieldDeclaration::default() });
            let index = |name: String| Index { fields: vec![name], condition: None, unique: false };
            declaration.indexes.push(index(format!("-{}", field.name)));
        }
    }
    // times are those of the rows, whatever fields say
    store.declare(DATASET, Declared::from(declaration)).unwrap();
    let snapshot = store.snapshot();
    let version = snapshot.whole_dataset(DATASET).unwrap().rules_version;
    let numbers: Vec<Value> = data.numbered().map(|(seq, _)| Value::text(seq.to_string())).collect();
    let cells =
        (0..data.fields.len()).map(|at| column_of(data.numbered().map(|(_, row)| row.cells[at].clone())));
    let names = data.fields.iter().map(|field| field.name).chain([KEY]).map(Arc::from);
    let columns: Vec<(Arc<str>, Arc<Column>)> =
        names.zip(cells.chain([column_of(numbers)]).map(Arc::new)).collect();
    let record = |(row, (seq, data)): (usize, (i64, &super::data::Row))| Record {
        place: seq.unsigned_abs(),
        time_us: data.time,
        is_arrival: false,
        version: None,
        row,
    };
    let new_fields = columns.iter().map(|(name, _)| Arc::clone(name)).collect();
    let batch = RecordBatch {
        within: None,
        dataset: DATASET.into(),
        rules: DecodedUnder { version, new_fields, ..DecodedUnder::default() },
        columns,
        records: data.numbered().enumerate().map(record).collect(),
        mode: Mode::Insert,
        is_atomic: false,
    };
    match store.put(batch).unwrap() {
        PutOutcome::Done(put) => assert!(put.rejected.is_empty(), "{:?}", put.rejected),
        PutOutcome::Stale => panic!("the rules are of this moment"),
    }
}

fn compare(store: &Store, data: &Data, question: &Question) -> Outcome {
    let query = question.read().unwrap();
    if query.all_fields {
        // the key and the version are fields too
        return Outcome::Same;
    }
    let events = run(&alone(data.dataset()), &query).map(|answer| answer.rows);
    let records = run(&store.snapshot(), &query).map(|answer| answer.rows);
    match (&records, &events) {
        (Ok(records), Ok(events)) => match difference(records, events, question) {
            Some(how) => Outcome::Different(how),
            None => Outcome::Same,
        },
        (Err(_), Err(_)) => Outcome::Refused,
        (Err(error), Ok(_)) | (Ok(_), Err(error)) if is_fault(error) => Outcome::FaultOfOne,
        _ => Outcome::Different(format!("records: {}\nevents: {}", shown(&records), shown(&events))),
    }
}
