//! Answers that are put together of what was kept, against the same questions asked of everything: while segments and events
//! come, and by a process that has nothing but what an earlier one left on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::data::{Data, Random};
use super::question::{Question, question};
use super::{A_DATASET, QUESTIONS, each, is_fault, setting, shown};
use crate::cache::class::Classes;
use crate::cache::{Cache, CacheOptions};
use crate::query::budget::Limits;
use crate::query::language::Query;
use crate::query::run;
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};

/// A dataset at three moments: a segment more each time, and other rows in the tail.
fn moments(data: &Data) -> Vec<Snapshot> {
    let whole = data.dataset();
    let blocks: Vec<TailBlock> = whole.tail.clone();
    let third = blocks.len().div_ceil(3);
    let parts: Vec<&[TailBlock]> = blocks.chunks(third.max(1)).collect();
    let segments: Vec<Arc<Segment>> =
        (1..).zip(&parts).map(|(id, part)| Arc::new(Segment::of_tail(id, part).expect("sealed"))).collect();
    let at = |sealed: usize| {
        let tail = parts.get(sealed).map(|part| part.to_vec()).unwrap_or_default();
        let dataset = Dataset { segments: segments[..sealed].to_vec(), tail, ..Dataset::clone(&whole) };
        Snapshot { datasets: BTreeMap::from([(Arc::clone(&whole.name), Arc::new(dataset))]) }
    };
    (0..=parts.len()).map(at).collect()
}

fn with(cache: &Arc<Cache>, query: &Query) -> Query {
    Query { limits: Limits { cache: Some(Arc::clone(cache)), ..Limits::default() }, ..query.clone() }
}

/// How the answer with what was kept differs from that without.
fn difference(snapshot: &Snapshot, query: &Query, cache: &Arc<Cache>, kept: &AtomicUsize) -> Option<String> {
    let wanted = run(snapshot, query).map(|answer| answer.rows);
    let found = run(snapshot, &with(cache, query));
    if found.as_ref().is_ok_and(|answer| answer.stats.cache != "miss") {
        kept.fetch_add(1, Relaxed);
    }
    let found = found.map(|answer| answer.rows);
    let same = match (&wanted, &found) {
        // to the last digit, and in the order that was asked for or not
        (Ok(wanted), Ok(found)) => format!("{wanted:?}") == format!("{found:?}"),
        (Err(wanted), Err(found)) => wanted.to_string() == found.to_string() || is_fault(found),
        // a fault of a row that the limit of groups has kept one of them from
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => is_fault(error),
    };
    (!same).then(|| format!("kept: {}\nlooked at: {}", shown(&found), shown(&wanted)))
}

fn one_seed(seed: usize, kept: &AtomicUsize, from_disk: &AtomicUsize) -> Option<String> {
    let mut random = Random(seed as u64);
    let data = Data::new(&mut random);
    let moments = moments(&data);
    let folder = tempfile::tempdir().expect("a folder");
    let options = CacheOptions {
        memory_bytes: 4 << 20,
        disk_bytes: 64 << 20,
        file: Some(folder.path().join("windrow.cache.db")),
        classes: Classes::default(),
    };
    let cache = Cache::open(options.clone());
    let questions: Vec<Question> = (0..A_DATASET).map(|_| question(&mut random, &data.fields)).collect();
    let told = |number: usize, question: &Question, moment: usize, how: String| {
        Some(format!("WINDROW_SEED={seed}, question {number} at moment {moment}: {:?}\n{how}", question.text))
    };
    for (number, question) in questions.iter().enumerate() {
        let query = question.read().expect("reads");
        for (moment, snapshot) in moments.iter().enumerate() {
            for _ in 0..3 {
                if let Some(how) = difference(snapshot, &query, &cache, kept) {
                    return told(number, question, moment, how);
                }
            }
        }
    }
    cache.close();
    let again = Cache::open(options);
    for (number, question) in questions.iter().enumerate() {
        let query = question.read().expect("reads");
        let last = moments.len() - 1;
        // the second time it is in memory, in the form that it is used in
        for _ in 0..2 {
            if let Some(how) = difference(&moments[last], &query, &again, from_disk) {
                return told(number, question, last, format!("from the disk: {how}"));
            }
        }
    }
    None
}

#[test]
fn what_was_kept_answers_as_looking_at_everything_does() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS) / 4, setting("WINDROW_SEED", 1));
    let (kept, from_disk) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let failures = each(seeds, |seed| one_seed(seed, &kept, &from_disk));
    assert!(failures.is_empty(), "{} datasets differ; the first:\n{}", failures.len(), failures[0]);
    // what is generated is worth its time
    let (kept, from_disk) = (kept.into_inner(), from_disk.into_inner());
    assert!(
        kept > questions * 2 && from_disk > questions / 8,
        "{kept} of {questions} were kept, {from_disk} on the disk"
    );
}
