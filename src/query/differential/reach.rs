//! Two tenants in one dataset, one of them bound to his rows, against a dataset that holds these alone: every generated
//! question has the same answer, whatever was asked and kept before, and nothing of the other tenant is in any reply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::attacks::{attacks, request, sequences};
use super::data::{DATASET, Data, Field, Kind, Random, Row};
use super::expression::Maker;
use super::question::{Question, Text, question};
use super::records::fill;
use super::{A_DATASET, QUESTIONS, difference, each, is_fault, setting};
use crate::cache::class::Classes;
use crate::cache::{Cache, CacheOptions};
use crate::error::{Error, Result};
use crate::query::answer::Answer;
use crate::query::budget::Limits;
use crate::query::language::Statement;
use crate::query::layouts::{LAYOUTS, Layout, alone};
use crate::query::page::{Page, PageRequest, page};
use crate::query::reach::Reach;
use crate::query::sequences::run as run_sequence;
use crate::query::{answer, parse};
use crate::store::segment::Segment;
use crate::store::snapshot::{Dataset, Snapshot, TailBlock};
use crate::store::{Store, StoreOptions};
use crate::value::Value;

/// Part of every text of the other tenant, in some of his rows.
const MARKER: &str = "Qzmarker";
/// And a number of his; no question has it.
pub(super) const NUMBER: i64 = 777_313;
const SECRET: &[u8; 32] = &[7; 32];

/// Data in which every row is of one of two tenants, or of none.
fn two_tenants(random: &mut Random) -> Data {
    let mut data = Data::new(random);
    let kinds: Vec<Kind> = data.fields.iter().map(|field| field.kind).collect();
    data.fields.push(Field { name: "tenant", kind: Kind::Word });
    for row in data.blocks.iter_mut().flatten() {
        let tenant = *random.pick(&["a", "a", "b", "b", "-"]);
        let is_marked = tenant != "a" && random.chance(50);
        for (cell, kind) in row.cells.iter_mut().zip(&kinds).filter(|_| is_marked) {
            // of the kinds that the field has, which are no secret
            *cell = match (kind, &*cell) {
                (_, Value::Null) => Value::Null,
                (Kind::Small | Kind::Wide | Kind::Huge, _) => Value::Int(NUMBER),
                (Kind::Word | Kind::Odd, _) | (Kind::Mixed, Value::Text(_)) => {
                    Value::text(format!("{MARKER}{}", random.below(9)))
                }
                (Kind::Tags, _) => Value::List([MARKER.into()].into()),
                (_, other) => other.clone(),
            };
        }
        row.cells.push(if tenant == "-" { Value::Null } else { Value::text(tenant) });
    }
    data
}

fn is_of_a(row: &Row) -> bool {
    row.cells.last().is_some_and(|tenant| *tenant == Value::text("a"))
}

/// The rows of a block that are of the one tenant, as blocks of rows that follow each other.
fn runs_of_a(data: &Data, whole: &Dataset) -> Vec<Vec<TailBlock>> {
    let rows: BTreeMap<i64, bool> = data.numbered().map(|(seq, row)| (seq, is_of_a(row))).collect();
    let runs = |tail: &TailBlock| -> Vec<TailBlock> {
        let all: Vec<u32> = (0..tail.block.rows() as u32).collect();
        let of_a = |row: u32| rows[&(tail.first_seq + i64::from(row))];
        let same = all.chunk_by(|x, y| of_a(*x) == of_a(*y)).filter(|rows| of_a(rows[0]));
        let block = |rows: &[u32]| TailBlock {
            first_seq: tail.first_seq + i64::from(rows[0]),
            block: Arc::new(tail.block.take(rows)),
        };
        same.map(block).collect()
    };
    whole.tail.iter().map(runs).collect()
}

/// Blocks laid out by the places that they have among all.
fn laid_out(whole: &Dataset, blocks: &[Vec<TailBlock>], layout: Layout) -> Snapshot {
    let every_other = |from: usize| blocks.iter().skip(from).step_by(2).flatten().cloned().collect();
    let half = blocks.len().div_ceil(2);
    let (sealed, tail): (Vec<Vec<TailBlock>>, Vec<TailBlock>) = match layout {
        Layout::Tail => (Vec::new(), blocks.concat()),
        Layout::Segment => (vec![blocks.concat()], Vec::new()),
        Layout::Segments => (vec![every_other(0), every_other(1)], Vec::new()),
        Layout::Both => (vec![blocks[..half].concat()], blocks[half..].concat()),
    };
    let sealed = (1..).zip(sealed).filter(|(_, blocks)| !blocks.is_empty());
    let segments =
        sealed.map(|(id, blocks)| Arc::new(Segment::of_tail(id, &blocks).expect("sealed"))).collect();
    alone(Arc::new(Dataset { segments, tail, numberings: Arc::default(), ..whole.clone() }))
}

/// The one who is bound, with a cache that others use too.
fn bound(cache: Option<&Arc<Cache>>) -> Limits {
    let reach = Reach::new(&[DATASET], Some("tenant = 'a'")).expect("a filter");
    Limits { reach: Arc::new(reach), cache: cache.cloned(), ..Limits::default() }
}

fn unbound(cache: Option<&Arc<Cache>>) -> Limits {
    Limits { cache: cache.cloned(), ..Limits::default() }
}

fn other_tenant(cache: Option<&Arc<Cache>>) -> Limits {
    let reach = Reach::new(&[], Some("tenant <> 'a'")).expect("a filter");
    Limits { reach: Arc::new(reach), ..unbound(cache) }
}

/// Questions of a generated one that SQLite answers, and it itself.
fn statements(question: &Question) -> Vec<(Statement, bool)> {
    let plain = question.read().expect("reads");
    let calendar = plain.calendar.clone();
    let mut all = vec![(Statement::from(plain), question.is_ordered)];
    let Text::Sql(text) = &question.text else { return all };
    for (sql, is_ordered) in [
        (format!("WITH \"not used\" AS (SELECT 1) {text}"), question.is_ordered),
        (format!("SELECT (SELECT count(*) FROM {DATASET}), inside.* FROM ({text}) AS inside"), false),
        (
            format!("SELECT count(*) FROM ({text}) AS inside JOIN {DATASET} AS other ON other.tenant <> 'a'"),
            false,
        ),
        (format!("SELECT * FROM ({text}) AS one UNION ALL SELECT * FROM ({text}) AS two"), false),
        (format!("WITH RECURSIVE {DATASET}2 AS ({text}) SELECT * FROM {DATASET}2"), false),
    ] {
        let statement = parse::statement(&sql, &[]).expect("reads");
        all.push((statement.on(calendar.clone()), is_ordered));
    }
    all
}

/// A fault of one row, or a pattern that is none.
fn is_a_fault(error: &Error) -> bool {
    is_fault(error) || error.to_string().contains("regular expression")
}

/// Everything that a reply says, but for how long it took.
fn told(found: &Result<Answer>) -> String {
    match found {
        Ok(answer) => {
            let stats = format!("{:?} {:?} {:?}", answer.columns, answer.series, answer.next);
            format!("{stats} {:?}", answer.rows)
        }
        Err(error) => error.to_string(),
    }
}

fn leaks(told: &str) -> bool {
    told.contains(MARKER) || told.contains(&MARKER.to_lowercase()) || told.contains(&NUMBER.to_string())
}

/// How the reply to the bound one differs from those over his rows alone: to him, and to someone who is bound to nothing.
fn differs(
    found: &Result<Answer>,
    wanted: &[Result<Answer>; 2],
    question: Option<&Question>,
    is_ordered: bool,
    faults: &AtomicUsize,
) -> Option<String> {
    let [to_him, to_all] = wanted;
    if let (Err(error), Ok(_)) | (Ok(_), Err(error)) = (found, to_him) {
        // a limit may keep one of two orders from a row with a fault
        let is_limited =
            question.is_some_and(|question| format!("{:?}", question.text).to_lowercase().contains("limit"));
        if !is_limited || !is_a_fault(error) {
            return Some(format!("bound: {}\nto him alone: {}", told(found), told(to_him)));
        }
    }
    differs_from(found, to_all, question, is_ordered, faults)
}

fn differs_from(
    found: &Result<Answer>,
    wanted: &Result<Answer>,
    question: Option<&Question>,
    is_ordered: bool,
    faults: &AtomicUsize,
) -> Option<String> {
    if leaks(&told(found)) {
        return Some(format!("the other tenant shows: {}", told(found)));
    }
    let loose = question.map_or_else(Vec::new, |question| question.loose.clone());
    let asked = Question { text: Text::Json(String::new()), zone: "", week_start: "", is_ordered, loose };
    match (found, wanted) {
        (Ok(found), Ok(wanted)) => {
            let types = |answer: &Answer| format!("{:?}", answer.columns);
            difference(&found.rows, &wanted.rows, &asked)
                .or_else(|| (types(found) != types(wanted)).then(|| "other columns".to_owned()))
        }
        (Err(one), Err(other))
            if one.to_string() == other.to_string() || is_a_fault(one) && is_a_fault(other) =>
        {
            None
        }
        // what rules out whole blocks may keep one of them from a fault
        (Err(error), Ok(_)) | (Ok(_), Err(error)) if is_a_fault(error) => {
            faults.fetch_add(1, Relaxed);
            None
        }
        _ => Some(format!("bound: {}\nalone: {}", told(found), told(wanted))),
    }
}

/// Pages of a generated condition and order, to the end.
fn pages(snapshot: &Snapshot, request: &PageRequest) -> Result<(Vec<Page>, Vec<String>)> {
    let (mut pages, mut request) = (Vec::new(), request.clone());
    let mut cursors = Vec::new();
    loop {
        let one = page(snapshot, SECRET, &request)?;
        request.cursor.clone_from(&one.next);
        pages.push(one);
        match &request.cursor {
            // a page by its number has a cursor too, which does not go with another number
            Some(cursor) if pages.len() < 60 && request.page.is_none() => cursors.push(cursor.clone()),
            _ => return Ok((pages, cursors)),
        }
    }
}

fn shown_pages(pages: &[Page]) -> String {
    pages
        .iter()
        .map(|page| {
            format!("{:?} {:?} {} {}\n", page.rows, page.total, page.next.is_some(), page.prev.is_some())
        })
        .collect()
}

fn differing_pages(
    (all, only_a): (&Snapshot, &Snapshot),
    request: &PageRequest,
    faults: &AtomicUsize,
) -> Option<String> {
    let as_bound = PageRequest { limits: bound(None), ..request.clone() };
    let found = pages(all, &as_bound);
    let to_him = pages(only_a, &as_bound).map(|(pages, _)| shown_pages(&pages));
    let told = |pages: &Result<(Vec<Page>, Vec<String>)>| match pages {
        Ok((pages, _)) => shown_pages(pages),
        Err(error) => error.to_string(),
    };
    let to_him = to_him.unwrap_or_else(|error| error.to_string());
    if told(&found) != to_him {
        return Some(format!("bound: {}\nto him alone: {to_him}", told(&found)));
    }
    let wanted = pages(only_a, request);
    match (&found, &wanted) {
        (Ok((found, cursors)), Ok((wanted, _))) => {
            let (found, wanted) = (shown_pages(found), shown_pages(wanted));
            if found != wanted || leaks(&found) {
                return Some(format!("bound: {found}\nalone: {wanted}"));
            }
            for cursor in cursors.iter().take(2) {
                for limits in [unbound(None), other_tenant(None)] {
                    let taken = PageRequest { cursor: Some(cursor.clone()), limits, ..request.clone() };
                    if page(all, SECRET, &taken).is_ok() {
                        return Some("a cursor serves someone of another reach".to_owned());
                    }
                }
            }
            // and the other way round
            let (_, theirs) = pages(all, request).ok()?;
            let taken = |cursor: &String| PageRequest { cursor: Some(cursor.clone()), ..as_bound.clone() };
            let is_taken = theirs.iter().take(2).any(|cursor| page(all, SECRET, &taken(cursor)).is_ok());
            is_taken.then(|| "a cursor of someone unbound serves the bound one".to_owned())
        }
        (Err(one), Err(other))
            if one.to_string() == other.to_string() || is_a_fault(one) && is_a_fault(other) =>
        {
            None
        }
        // what rules out whole blocks may keep one of them from a fault
        (Err(error), Ok(_)) | (Ok(_), Err(error)) if is_a_fault(error) => {
            faults.fetch_add(1, Relaxed);
            None
        }
        (found, wanted) => Some(format!("bound: {}\nalone: {}", told(found), told(wanted))),
    }
}

fn asked(snapshot: &Snapshot, statement: &Statement, limits: Limits) -> Result<Answer> {
    answer(snapshot, &statement.clone().within(limits))
}

/// What was asked and kept by others makes no difference to the bound one, and neither does what he asked himself.
fn with_others(
    snapshot: &Snapshot,
    statement: &Statement,
    cache: &Arc<Cache>,
    compare: impl Fn(&Result<Answer>) -> Option<String>,
) -> Option<String> {
    for _ in 0..2 {
        let _ = asked(snapshot, statement, unbound(Some(cache)));
        let _ = asked(snapshot, statement, other_tenant(Some(cache)));
    }
    let twice = || compare(&asked(snapshot, statement, bound(Some(cache))));
    compare(&asked(snapshot, statement, bound(None))).or_else(twice).or_else(twice)
}

fn one_seed(seed: usize, [asked_of, faults, answered]: [&AtomicUsize; 3]) -> Option<String> {
    let mut random = Random(seed as u64);
    let data = two_tenants(&mut random);
    let whole = data.dataset();
    let blocks: Vec<Vec<TailBlock>> = whole.tail.iter().map(|block| vec![block.clone()]).collect();
    let of_a = runs_of_a(&data, &whole);
    let cache = Cache::open(CacheOptions {
        memory_bytes: 4 << 20,
        disk_bytes: 0,
        file: None,
        classes: Classes::default(),
    });
    for number in 0..A_DATASET {
        let layout = LAYOUTS[(seed + number) % LAYOUTS.len()];
        let (all, only_a) = (laid_out(&whole, &blocks, layout), laid_out(&whole, &of_a, layout));
        let question = question(&mut random, &data.fields);
        let failed = |what: &dyn std::fmt::Debug, how: String| {
            Some(format!("WINDROW_SEED={seed}, question {number} over {layout:?}: {what:?}\n{how}"))
        };
        for (statement, is_ordered) in statements(&question) {
            let wanted = [bound(None), unbound(None)].map(|limits| asked(&only_a, &statement, limits));
            let compare = |found: &Result<Answer>| {
                let loose = Some(&question).filter(|_| is_ordered == question.is_ordered);
                differs(found, &wanted, loose, is_ordered, faults)
            };
            asked_of.fetch_add(1, Relaxed);
            if let Some(how) = with_others(&all, &statement, &cache, compare) {
                return failed(&question.text, how);
            }
            // where rows lie together alike, how many were looked at says no more either
            let scanned =
                |snapshot: &Snapshot| asked(snapshot, &statement, bound(None)).map(|a| a.stats.rows_scanned);
            if let (Layout::Segment, Ok(found), Ok(wanted)) = (layout, scanned(&all), scanned(&only_a))
                && found != wanted
            {
                return failed(&question.text, format!("{found} rows were looked at, {wanted} alone"));
            }
        }
        let mut maker = Maker { random: &mut random, fields: &data.fields };
        let request = request(&mut maker);
        if let Some(how) = differing_pages((&all, &only_a), &request, faults) {
            return failed(&(&request.filter, &request.order, request.page), how);
        }
        if number == 0 {
            for sql in attacks(&mut maker) {
                let Ok(statement) = parse::statement(&sql, &[]) else { continue };
                let wanted = [bound(None), unbound(None)].map(|limits| asked(&only_a, &statement, limits));
                answered.fetch_add(usize::from(wanted[0].is_ok()), Relaxed);
                let compare = |found: &Result<Answer>| differs(found, &wanted, None, false, faults);
                if let Some(how) = with_others(&all, &statement, &cache, compare) {
                    return failed(&sql, how);
                }
            }
            for (kind, json) in sequences(&mut maker) {
                let Ok(sequence) = parse::sequence(kind, json.as_bytes(), 0) else { continue };
                let ask = |snapshot: &Snapshot, limits: Limits| {
                    run_sequence(snapshot, &sequence.clone().within(limits))
                };
                let _ = ask(&all, unbound(Some(&cache)));
                let wanted = [bound(None), unbound(None)].map(|limits| ask(&only_a, limits));
                let found = ask(&all, bound(Some(&cache)));
                if let Some(how) = differs(&found, &wanted, None, false, faults) {
                    return failed(&json, how);
                }
            }
        }
    }
    None
}

#[test]
fn who_is_bound_to_his_rows_is_answered_as_if_there_were_no_others() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS) / 20, setting("WINDROW_SEED", 1));
    let [asked, faults, answered]: [AtomicUsize; 3] = Default::default();
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let failures = each(seeds, |seed| one_seed(seed, [&asked, &faults, &answered]));
    assert!(failures.is_empty(), "{} datasets differ; the first:\n{}", failures.len(), failures[0]);
    let (asked, faults) = (asked.into_inner(), faults.into_inner());
    assert!(faults * 20 < asked, "{faults} of {asked} met a fault on one side alone");
    let answered = answered.into_inner();
    assert!(answered > questions / A_DATASET * 14, "{answered} attacks were answered at all");
}

/// The same of records: those of the other tenant are deleted from a second file, so that numbers are the same.
fn one_seed_of_records(seed: usize, [faults, answered]: [&AtomicUsize; 2]) -> Option<String> {
    let mut random = Random(seed as u64);
    let data = two_tenants(&mut random);
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        || StoreOptions { durability: crate::store::open::Durability::Normal, ..StoreOptions::default() };
    let open = |name: &str| Store::open(&folder.path().join(name), options()).expect("opens");
    let (all, only_a) = (open("all.db"), open("a.db"));
    [&all, &only_a].iter().for_each(|store| fill(store, &data, seed % 2 == 1));
    delete_others(&only_a);
    let (all, only_a) = (all.snapshot(), only_a.snapshot());
    for number in 0..A_DATASET {
        let question = question(&mut random, &data.fields);
        let failed = |what: &dyn std::fmt::Debug, how: String| {
            Some(format!("WINDROW_SEED={seed}, question {number}: {what:?}\n{how}"))
        };
        for (statement, is_ordered) in statements(&question) {
            let wanted = [bound(None), unbound(None)].map(|limits| asked(&only_a, &statement, limits));
            let found = asked(&all, &statement, bound(None));
            let loose = Some(&question).filter(|_| is_ordered == question.is_ordered);
            if let Some(how) = differs(&found, &wanted, loose, is_ordered, faults) {
                return failed(&question.text, how);
            }
        }
        let mut maker = Maker { random: &mut random, fields: &data.fields };
        let request = request(&mut maker);
        if let Some(how) = differing_pages((&all, &only_a), &request, faults) {
            return failed(&(&request.filter, &request.order, request.page), how);
        }
        if number == 0 {
            for sql in attacks(&mut maker) {
                let Ok(statement) = parse::statement(&sql, &[]) else { continue };
                let wanted = [bound(None), unbound(None)].map(|limits| asked(&only_a, &statement, limits));
                answered.fetch_add(usize::from(wanted[0].is_ok()), Relaxed);
                let found = asked(&all, &statement, bound(None));
                if let Some(how) = differs(&found, &wanted, None, false, faults) {
                    return failed(&sql, how);
                }
            }
        }
    }
    None
}

fn delete_others(store: &Store) {
    use crate::store::keyed::write::DeleteBatch;
    let statement = parse::statement(
        &format!("SELECT _seq, _version FROM {DATASET} WHERE tenant IS DISTINCT FROM 'a'"),
        &[],
    );
    let rows = answer(&store.snapshot(), &statement.expect("reads")).expect("answers").rows;
    let number = |value: &Value| value.as_int().expect("a number");
    let records = rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
    let dataset_id = store.snapshot().whole_dataset(DATASET).expect("there").id;
    store
        .delete(DeleteBatch { dataset: DATASET.into(), dataset_id, records, is_atomic: true })
        .expect("deletes");
}

/// A page far beyond the end, under a condition that fails for one of his own records: the number of all records decided
/// whether the condition was asked.
#[test]
fn a_page_beyond_the_end_does_not_tell_how_many_records_others_have() {
    let [faults, answered]: [AtomicUsize; 2] = Default::default();
    let failures = each(104..105, |seed| one_seed_of_records(seed, [&faults, &answered]));
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn who_is_bound_to_his_records_is_answered_as_if_there_were_no_others() {
    let (questions, first) = (setting("WINDROW_QUERIES", QUESTIONS) / 40, setting("WINDROW_SEED", 1));
    let [faults, answered]: [AtomicUsize; 2] = Default::default();
    let seeds = first..first + questions.div_ceil(A_DATASET);
    let failures = each(seeds, |seed| one_seed_of_records(seed, [&faults, &answered]));
    assert!(failures.is_empty(), "{} datasets differ; the first:\n{}", failures.len(), failures[0]);
    assert!(faults.into_inner() * 20 < questions.max(20) * 6);
    let answered = answered.into_inner();
    assert!(answered > questions / A_DATASET * 14, "{answered} attacks were answered at all");
}
