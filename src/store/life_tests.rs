//! Events on their way through everything that moves them, at random: appended, imported, sealed, merged, erased, dropped,
//! read after restarts. At every look each is there once, with the values it came with, and the full check finds nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::columnar::bitmap::Bitmap;
use crate::columnar::builder::column_of;
use crate::columnar::column::Column;
use crate::columnar::{Block, TIME};
use crate::store::check::check;
use crate::store::compose::{Origin, compose};
use crate::store::rewrite::Fate;
use crate::store::snapshot::{Dataset, TailBlock};
use crate::store::writer::{Appended, Batch, DecodedUnder, SegmentBatch};
use crate::store::{Store, StoreOptions, read};
use crate::value::Value;

const NAMES: [&str; 9] = ["Alpha", "_time", "flag", "json", "list", "mix", "num", "rare", "when"];

/// Events by `_seq`, each with a value for every name.
type Events = BTreeMap<i64, Vec<Value>>;

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// One value: what a field holds depends on its name, and on the flavour of its batch.
fn value(name: &str, time: i64, flavour: u64, random: &mut Random) -> Value {
    let pick = random.below(1_000);
    let text = || Value::text(["", "a", "ä", "zz", "longer than the others"][(pick % 5) as usize]);
    match (name, flavour) {
        ("_time", _) => Value::Time(time),
        ("Alpha" | "when", 0..=3) => Value::Time(time),
        ("when", 4) => {
            if pick < 500 {
                Value::Time(time + 1)
            } else {
                Value::Null
            }
        }
        ("flag", 0..=5) => {
            if pick < 3 {
                Value::Null
            } else {
                Value::Bool(pick.is_multiple_of(2))
            }
        }
        ("json", 2..=6) => {
            if pick < 300 {
                Value::Null
            } else {
                Value::Json(format!("[{}]", pick % 7).into())
            }
        }
        ("list", 1..=6) => match pick % 4 {
            0 => Value::Null,
            count => Value::List((1..count).map(|item| Arc::from(format!("{item}{}", pick % 3))).collect()),
        },
        ("num", 0) => Value::Int(i64::MAX - pick as i64),
        ("num", 1) => Value::Int(pick as i64 - 500),
        ("num", 2) => Value::Float(pick as f64 / 8.0),
        ("num", 3) => {
            if pick.is_multiple_of(2) {
                Value::Int(pick as i64)
            } else {
                Value::Float(0.1)
            }
        }
        ("num", 4) => {
            if pick.is_multiple_of(3) {
                Value::Int((1 << 53) + 1)
            } else {
                Value::Float(-2.5)
            }
        }
        ("mix", 0) => text(),
        ("mix", 1) => Value::Int(pick as i64),
        ("mix", 2) => match pick % 6 {
            0 => text(),
            1 => Value::Int(-1),
            2 => Value::Float(1.5),
            3 => Value::Bool(true),
            4 => Value::Time(time),
            _ => Value::Null,
        },
        ("mix", 3) => Value::Json("{}".into()),
        ("rare", _) if pick == 0 => text(),
        _ => Value::Null,
    }
}

fn events(random: &mut Random) -> Vec<Vec<Value>> {
    let rows = match random.below(20) {
        0 => 20_000,
        1..=5 => 1,
        _ => 1 + random.below(150),
    };
    let (flavour, begin) = (random.below(8), random.below(1_000) as i64);
    let row = |at: i64| {
        let time = (begin + at / 3 - 40 * i64::from(at % 7 == 0)) * 1_000;
        NAMES.iter().map(|name| value(name, time, flavour, random)).collect()
    };
    (0..rows as i64).map(row).collect()
}

fn block(events: &[Vec<Value>]) -> Block {
    let columns = NAMES.iter().enumerate().map(|(at, name)| {
        let column = match *name {
            TIME => Column::times(
                &events.iter().map(|e| if let Value::Time(t) = e[at] { t } else { 0 }).collect::<Vec<_>>(),
            ),
            _ => column_of(events.iter().map(|event| event[at].clone())),
        };
        (Arc::from(*name), Arc::new(column))
    });
    Block::new(events.len(), columns.collect())
}

fn found(dataset: &Dataset) -> Vec<(i64, Vec<Value>)> {
    let mut found = Vec::new();
    for run in dataset.sources().flat_map(|source| source.runs()) {
        let part = dataset.part(run).expect("reads");
        let columns = NAMES.map(|name| part.column(name).expect("reads"));
        for row in 0..part.rows() {
            let value = |column: &Option<Arc<Column>>| column.as_ref().map_or(Value::Null, |c| c.get(row));
            found.push((part.seq(row).expect("reads"), columns.iter().map(value).collect()));
        }
    }
    found.sort_by_key(|(seq, _)| *seq);
    found
}

fn compare(dataset: &Dataset, expected: &Events, seed: u64, step: u64) {
    let found = found(dataset);
    let seqs: Vec<i64> = found.iter().map(|(seq, _)| *seq).collect();
    assert!(seqs.iter().eq(expected.keys()), "seed {seed}, step {step}: other events than there should be");
    for ((seq, values), should) in found.iter().zip(expected.values()) {
        assert_eq!(format!("{values:?}"), format!("{should:?}"), "seed {seed}, step {step}, event {seq}");
    }
}

struct Life {
    store: Store,
    expected: Events,
    random: Random,
}

impl Life {
    fn dataset(&self) -> Option<Arc<Dataset>> {
        self.store.snapshot().datasets.get("t").cloned()
    }

    fn rules(&self) -> DecodedUnder {
        let version = self.dataset().map_or(0, |dataset| dataset.rules_version);
        let new_fields = NAMES.iter().map(|name| Arc::from(*name)).collect();
        DecodedUnder { version, new_fields, ..DecodedUnder::default() }
    }

    fn append(&mut self) {
        let events = events(&mut self.random);
        let rules = self.rules();
        let done = self.store.append(Batch { dataset: "t".into(), block: block(&events), rules });
        let Appended::Committed { first_seq, .. } = done.expect("appends") else { panic!("stale") };
        self.expected.extend((first_seq..).zip(events));
    }

    fn import(&mut self) {
        let (mut origins, mut all) = (Vec::new(), Vec::new());
        for _ in 0..1 + self.random.below(4) {
            let events = events(&mut self.random);
            origins.push(Origin::Block(TailBlock {
                first_seq: all.len() as i64,
                block: Arc::new(block(&events)),
            }));
            all.extend(events);
        }
        let segment = compose(&origins).expect("composes").expect("has rows");
        let first_seq = self.dataset().map_or(1, |dataset| dataset.next_seq);
        let batch = SegmentBatch { dataset: "t".into(), segment, rules: self.rules() };
        self.store.append_segment(batch).expect("appends").expect("is not stale");
        self.expected.extend((first_seq..).zip(all));
    }

    fn erase(&mut self) {
        let Some(dataset) = self.dataset() else { return };
        let (modulus, rest) = match self.random.below(6) {
            0 => (1, 0),
            1..=3 => (2 + self.random.below(5) as i64, 1),
            _ => (97, 5),
        };
        let first = self.expected.keys().nth(self.random.below(self.expected.len().max(1) as u64) as usize);
        let from = first.copied().unwrap_or(0);
        let goes = |seq: i64| seq >= from && seq < from + 10_000 && seq % modulus == rest % modulus;
        let fate = |segment: &Arc<crate::store::segment::Segment>| {
            let mut kept = Bitmap::default();
            for run in crate::store::part::Source::Segment(Arc::clone(segment)).runs() {
                let part = Dataset::new("t".into()).part(run)?;
                let seqs = part.row_seqs()?;
                (0..part.rows()).for_each(|row| kept.push(!goes(seqs.get(row))));
            }
            Ok(Fate::of(kept))
        };
        let gone = self.store.upkeep().rewrite(dataset.id, fate).expect("erases");
        let before = self.expected.len() as u64;
        self.expected.retain(|seq, _| !goes(*seq));
        assert_eq!(gone, before - self.expected.len() as u64);
    }
}

fn open(path: &Path) -> Store {
    let options = StoreOptions { seal_rows: 600, buffer_pool_bytes: 200_000, ..StoreOptions::default() };
    Store::open(path, options).expect("opens")
}

fn live(seed: u64, steps: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let mut life = Life { store: open(&path), expected: Events::new(), random: Random(seed) };
    let mut held: Vec<(Arc<Dataset>, Events)> = Vec::new();
    for step in 0..steps {
        match life.random.below(40) {
            0..=22 => life.append(),
            23..=25 => life.import(),
            26..=28 => life.erase(),
            29..=31 => life.dataset().iter().for_each(|d| life.store.upkeep().seal(d.id).expect("seals")),
            32..=33 => life.dataset().iter().for_each(|d| life.store.upkeep().settle(d.id).expect("settles")),
            34 => life.store.upkeep().optimize().expect("optimizes"),
            35 => {
                held.clear();
                drop(life.store);
                life.store = open(&path);
            }
            36 if step % 5 == 0 && life.dataset().is_some() => {
                life.store.drop_dataset("t").expect("drops");
                life.expected.clear();
            }
            _ => {
                let Some(dataset) = life.dataset() else { continue };
                compare(&dataset, &life.expected, seed, step);
                let beside = read(&path, Some("t")).expect("reads beside the writer");
                compare(beside.whole_dataset("t").expect("there"), &life.expected, seed, step);
                held.truncate(2);
                held.insert(0, (dataset, life.expected.clone()));
                held.iter().for_each(|(dataset, expected)| compare(dataset, expected, seed, step));
            }
        }
    }
    held.clear();
    drop(life.store);
    let report = check(&path, &Default::default()).expect("is checked");
    assert!(report.ok, "seed {seed}: {:?}", report.damage);
    if let Some(dataset) = read(&path, None).expect("reads").datasets.get("t") {
        compare(dataset, &life.expected, seed, steps);
    }
}

#[test]
fn every_event_is_there_once_with_its_values_whatever_is_done() {
    let seeds = std::env::var("WINDROW_LIFE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3);
    (1..=seeds).for_each(|seed| live(seed, 60));
}
