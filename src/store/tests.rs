//! The store as its callers see it: what is acknowledged is visible, lasts, and comes back as it was.

use std::sync::Arc;

use crate::columnar::builder::{BlockBuilder, Cell};
use crate::columnar::{Block, TIME};
use crate::error::Error;
use crate::fields::{Declaration, FieldType};
use crate::store::compose::{Origin, compose};
use crate::store::snapshot::{Dataset, TailBlock};
use crate::store::swap::Swap;
use crate::store::writer::{Appended, Batch, DecodedUnder, SegmentBatch};
use crate::store::{Store, StoreOptions, read};
use crate::value::Value;

fn block(numbers: &[i64]) -> Block {
    let mut builder = BlockBuilder::default();
    for number in numbers {
        let (time, n) = (builder.field(TIME), builder.field("n"));
        builder.set(time, Cell::Time(*number * 1_000_000));
        builder.set(n, Cell::Int(*number));
        builder.end_row();
    }
    builder.finish()
}

fn batch(dataset: &str, version: u64, numbers: &[i64]) -> Batch {
    Batch {
        dataset: dataset.into(),
        block: block(numbers),
        rules: DecodedUnder { version, new_fields: vec!["n".into()], ..DecodedUnder::default() },
    }
}

fn append(store: &Store, numbers: &[i64]) -> Appended {
    let version = store.snapshot().datasets.get("events").map_or(0, |d| d.rules_version);
    store.append(batch("events", version, numbers)).expect("appends")
}

/// `_seq` and `n` of every row, in order of `_seq`.
fn rows(dataset: &Dataset) -> Vec<(i64, Value)> {
    let mut rows = Vec::new();
    for run in dataset.sources().flat_map(|source| source.runs()) {
        let part = dataset.part(run).expect("reads");
        let column = part.column("n").expect("reads").expect("n");
        rows.extend((0..part.rows()).map(|row| (part.seq(row).expect("reads"), column.get(row))));
    }
    rows.sort_by_key(|(seq, _)| *seq);
    rows
}

#[test]
fn what_is_acknowledged_is_visible_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let expected: Vec<(i64, Value)> = (1..=300).map(|n| (n, Value::Int(n * 10))).collect();
    {
        let store = Store::open(&path, StoreOptions::default()).expect("opens");
        for n in 1..=300 {
            assert_eq!(append(&store, &[n * 10]), Appended::Committed { first_seq: n, duplicates: 0 });
        }
        assert_eq!(rows(store.snapshot().whole_dataset("events").expect("there")), expected);
        let beside = read(&path, Some("events")).expect("reads beside the writer");
        assert_eq!(rows(beside.whole_dataset("events").expect("there")), expected);
    }
    let store = Store::open(&path, StoreOptions::default()).expect("opens again");
    let snapshot = store.snapshot();
    let dataset = snapshot.whole_dataset("events").expect("there");
    assert_eq!(rows(dataset), expected);
    assert_eq!((dataset.next_seq, dataset.tail.len()), (301, 1));
    assert!(dataset.fields.kinds("n").expect("known").has(FieldType::Int));
}

#[test]
fn a_snapshot_does_not_change_under_its_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    append(&store, &[1, 2]);
    let before = store.snapshot();
    append(&store, &[3]);
    store.drop_dataset("events").expect("drops");
    assert_eq!(before.whole_dataset("events").expect("still there").rows(), 2);
    assert!(matches!(store.snapshot().whole_dataset("events"), Err(Error::NotFound(_))));
}

#[test]
fn concurrent_batches_are_all_committed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    append(&store, &[-1]);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let store = &store;
            scope.spawn(move || {
                (0..50).for_each(|n| {
                    append(store, &[client * 1000 + n, client * 1000 + n + 500]);
                })
            });
        }
    });
    let mut seen: Vec<i64> = rows(store.snapshot().whole_dataset("events").expect("there"))
        .into_iter()
        .filter_map(|(_, value)| if let Value::Int(n) = value { Some(n) } else { None })
        .collect();
    seen.sort_unstable();
    let mut expected: Vec<i64> =
        (0..8).flat_map(|c| (0..50).flat_map(move |n| [c * 1000 + n, c * 1000 + n + 500])).collect();
    expected.push(-1);
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[test]
fn a_batch_decoded_under_older_rules_is_sent_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    append(&store, &[1]);
    let version = store.snapshot().whole_dataset("events").expect("there").rules_version;
    store.declare("events", Declaration { strict: true, ..Declaration::default() }).expect("declares");
    assert_eq!(store.append(batch("events", version, &[2])).expect("answers"), Appended::Stale);
    assert_eq!(store.snapshot().whole_dataset("events").expect("there").rows(), 1);
}

#[test]
fn a_newer_file_and_a_foreign_file_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (newer, foreign, text) =
        (folder.path().join("n.db"), folder.path().join("f.db"), folder.path().join("t.db"));
    drop(Store::open(&newer, StoreOptions::default()).expect("opens"));
    rusqlite::Connection::open(&newer).and_then(|c| c.pragma_update(None, "user_version", 999)).expect("set");
    rusqlite::Connection::open(&foreign).and_then(|c| c.execute_batch("CREATE TABLE t (x)")).expect("made");
    std::fs::write(
        &text,
        "this is no database at all, but long enough to look like one to a careless reader",
    )
    .expect("written");
    for (path, part) in
        [(&newer, "newer Windrow"), (&foreign, "not one of Windrow's"), (&text, "not a database")]
    {
        let refusal = Store::open(path, StoreOptions::default()).expect_err("refused").to_string();
        assert!(refusal.contains(part), "{refusal}");
        let refusal = read(path, None).expect_err("refused").to_string();
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn a_damaged_log_row_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    append(&Store::open(&path, StoreOptions::default()).expect("opens"), &[1, 2, 3]);
    let connection = rusqlite::Connection::open(&path).expect("opens");
    let mut stored: Vec<u8> =
        connection.query_row("SELECT block FROM log", [], |row| row.get(0)).expect("there");
    stored[30] ^= 1;
    connection.execute("UPDATE log SET block = ?1", [stored]).expect("damaged");
    let store = Store::open(&path, StoreOptions::default()).expect("the rest stays readable");
    let snapshot = store.snapshot();
    let events = snapshot.whole_dataset("events").expect("there");
    let damaged = events.sources().next().expect("stands for its events").runs().remove(0);
    let told = events.part(damaged).expect("a part").column("n").expect_err("cannot be read").to_string();
    assert!(told.contains("log row 1") && told.contains("events 1 to 3"), "{told}");
    append(&store, &[4]);
    let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
    store.upkeep().settle(dataset.id).expect("the rest is sealed");
    drop(store);
    let left: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).expect("counted");
    assert_eq!(left, 1, "what is damaged is neither sealed nor removed");
    assert_eq!(read(&path, None).expect("reads").whole_dataset("events").expect("there").rows(), 4);
}

fn open_pages(path: &std::path::Path) -> (i64, i64, i64) {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get(0)).expect("told");
    let columns = connection.query_row("SELECT count(*) FROM segment_column", [], |row| row.get(0));
    (pragma("page_count"), pragma("freelist_count"), columns.expect("counted"))
}

#[test]
fn sealing_and_merging_move_every_row_once_under_the_eyes_of_a_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let store = Store::open(&path, StoreOptions::default()).expect("opens");
    let mut expected = Vec::new();
    let mut held = Vec::new();
    for round in 0..6i64 {
        // times fall: a segment has to put them in order, and keep the numbers that the events have
        let numbers: Vec<i64> = (0..40_000).map(|n| (round % 2) * 100_000 - n).collect();
        let next_seq = expected.len() as i64 + 1;
        expected.extend((next_seq..).zip(numbers.iter().map(|n| Value::Int(*n))));
        append(&store, &numbers);
        let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
        held.push((dataset.rows() as usize, Arc::clone(&dataset)));
        store.upkeep().seal(dataset.id).expect("seals");
        let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
        assert!(dataset.tail.is_empty());
        held.push((dataset.rows() as usize, Arc::clone(&dataset)));
    }
    let id = held[0].1.id;
    store.upkeep().settle(id).expect("merges");
    let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
    assert_eq!(dataset.segments.len(), 1, "one segment of all");
    assert!(rows(&dataset) == expected);
    for (count, dataset) in &held {
        assert!(rows(dataset) == expected[..*count], "a snapshot stays what it was");
    }
    drop(held);
    drop(dataset);
    drop(store);
    let snapshot = read(&path, None).expect("reads");
    assert!(rows(snapshot.whole_dataset("events").expect("there")) == expected);
    drop(snapshot);
    drop(Store::open(&path, StoreOptions::default()).expect("opens"));
    assert_eq!(open_pages(&path).2, 3, "`_seq`, `_time` and `n` of one segment");
}

#[test]
fn a_dropped_dataset_gives_its_pages_back_once_nobody_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let store = Store::open(&path, StoreOptions::default()).expect("opens");
    append(&store, &(0..200_000).map(|n| n * 7_919 % 100_003).collect::<Vec<_>>());
    let held = store.snapshot();
    store.upkeep().optimize().expect("seals");
    let sealed = store.snapshot();
    store.drop_dataset("events").expect("drops");
    store.upkeep().optimize().expect("runs");
    assert_eq!(
        rows(sealed.whole_dataset("events").expect("held")).len(),
        200_000,
        "a query goes on reading it"
    );
    drop((held, sealed));
    store.checkpoint().expect("one more round of the writer");
    store.upkeep().optimize().expect("gives back");
    drop(store);
    let (pages, free, columns) = open_pages(&path);
    assert_eq!((free, columns), (0, 0));
    assert!(pages < 40, "{pages} pages are left");
}

#[test]
fn a_tail_that_is_full_is_sealed_without_being_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    let numbers: Vec<i64> = (0..crate::limits::SEAL_ROWS as i64).collect();
    append(&store, &numbers);
    let begin = std::time::Instant::now();
    while store.snapshot().whole_dataset("events").expect("there").segments.is_empty() {
        assert!(begin.elapsed().as_secs() < 60, "it was not sealed");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(store.snapshot().whole_dataset("events").expect("there").rows(), numbers.len() as u64);
}

#[test]
#[cfg(unix)]
fn a_link_is_the_file_it_leads_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, link) = (folder.path().join("a.db"), folder.path().join("link.db"));
    let store = Store::open(&file, StoreOptions::default()).expect("opens");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    let refusal = Store::open(&link, StoreOptions::default()).map(|_| ()).expect_err("in use").to_string();
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    drop(store);
    drop(Store::open(&link, StoreOptions::default()).expect("free again"));
    assert!(!folder.path().join("link.db.lock").exists());
}

#[test]
fn a_file_whose_creation_was_cut_off_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.db");
    let sqlite = rusqlite::Connection::open(&file).expect("opens");
    sqlite
        .execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
        .expect("a first page");
    drop(sqlite);
    assert!(file.metadata().expect("is there").len() > 0);
    let store = Store::open(&file, StoreOptions::default()).expect("opens");
    append(&store, &[1]);
}

#[test]
fn a_batch_decoded_for_a_dropped_dataset_is_stale_for_its_successor() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    append(&store, &[1]);
    let version = store.snapshot().datasets["events"].rules_version;
    for declared_anew in [false, true] {
        store.drop_dataset("events").expect("drops");
        if declared_anew {
            store
                .declare("events", Declaration { strict: true, ..Declaration::default() })
                .expect("declares");
        } else {
            append(&store, &[2]);
        }
        assert_eq!(store.append(batch("events", version, &[3])).expect("appends"), Appended::Stale);
    }
}

#[test]
fn a_time_field_that_another_batch_has_stored_as_text_meanwhile_is_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("a.db"), StoreOptions::default()).expect("opens");
    append(&store, &[1]);
    let version = store.snapshot().datasets["events"].rules_version;
    let mut late = batch("events", version, &[2]);
    late.rules.time_field = Some("n".into());
    assert_eq!(store.append(late).expect("answers"), Appended::Stale);
    assert_eq!(store.snapshot().datasets["events"].time_field, None);
}

#[test]
fn a_dataset_that_is_made_anew_is_another_one_whatever_the_clock_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let store = Store::open(&path, StoreOptions::default()).expect("opens");
        for _ in 0..3 {
            append(&store, &[1]);
            let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
            seen.push(dataset.id);
            store.drop_dataset("events").expect("drops");
            append(&store, &[1]);
            let successor = store.snapshot().whole_dataset("events").cloned().expect("there");
            assert_ne!(dataset.rules_version, successor.rules_version);
            seen.push(successor.id);
            // what was sealed for the first one does not end in the second
            let origins = dataset.tail.iter().cloned().map(Origin::Block).collect::<Vec<_>>();
            let new = compose(&origins).expect("composes").into_iter().collect();
            let swap =
                Swap { dataset_id: dataset.id, log_before: Some(2), out: Vec::new(), new, rows_gone: 0 };
            assert!(!store.upkeep().swap(swap).expect("answers"));
            store.drop_dataset("events").expect("drops");
        }
    }
    let count = seen.len();
    seen.dedup();
    assert!(seen.len() == count && seen.is_sorted(), "no id is used twice: {seen:?}");
}

#[test]
fn times_from_year_0_to_9999_in_any_order_are_sealed_and_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let first = crate::time::parse("0000-01-01T00:00:00Z").expect("a time");
    let last = crate::time::parse("9999-12-31T23:59:59.999999Z").expect("a time");
    let times = [0, last, first, last - 1, first + 1, -1, first, last];
    let times_of = |dataset: &Dataset| {
        let mut rows = Vec::new();
        for run in dataset.sources().flat_map(|source| source.runs()) {
            let part = dataset.part(run).expect("reads");
            let column = part.column(TIME).expect("reads").expect("has times");
            rows.extend((0..part.rows()).map(|row| (part.seq(row).expect("reads"), column.get(row))));
        }
        rows.sort_by_key(|(seq, _)| *seq);
        rows
    };
    let expected: Vec<(i64, Value)> =
        (1..).zip(times.iter().chain(&times).map(|time| Value::Time(*time))).collect();
    // the clock goes back between the two commits, `_seq` does not
    for half in 0..2 {
        let store = Store::open(&path, StoreOptions::default()).expect("opens");
        let version = store.snapshot().datasets.get("events").map_or(0, |d| d.rules_version);
        let mut builder = BlockBuilder::default();
        for time in times {
            let field = builder.field(TIME);
            builder.set(field, Cell::Time(time));
            builder.end_row();
        }
        let rules = DecodedUnder { version, ..DecodedUnder::default() };
        let batch = Batch { dataset: "events".into(), block: builder.finish(), rules };
        store.append(batch).expect("appends");
        let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
        assert_eq!(times_of(&dataset), expected[..8 * (half + 1)]);
        store.upkeep().seal(dataset.id).expect("seals");
    }
    let store = Store::open(&path, StoreOptions::default()).expect("opens");
    let id = store.snapshot().whole_dataset("events").expect("there").id;
    store.upkeep().optimize().expect("merges");
    let dataset = store.snapshot().whole_dataset("events").cloned().expect("there");
    assert_eq!((dataset.id, dataset.segments.len(), dataset.time_range()), (id, 1, Some((first, last))));
    assert_eq!(times_of(&dataset), expected);
}

/// A store whose tails are sealed at so few rows, in a folder that lasts as long.
fn small_store(seal_rows: usize) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = StoreOptions { seal_rows, ..StoreOptions::default() };
    let store = Store::open(&folder.path().join("a.db"), options).expect("opens");
    (folder, store)
}

/// Waits for what the upkeep does by itself.
/// Makes so many segments of one event each.
fn seal_one_by_one(store: &Store, count: i64) {
    for number in 0..count {
        append(store, &[number]);
        let id = store.snapshot().whole_dataset("events").expect("there").id;
        store.upkeep().seal(id).expect("seals");
    }
}

fn until(what: &str, store: &Store, holds: impl Fn(&Dataset) -> bool, dataset: &str) {
    let begin = std::time::Instant::now();
    while !holds(store.snapshot().whole_dataset(dataset).expect("there")) {
        assert!(begin.elapsed().as_secs() < 15, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Turns a byte in every column of a segment.
fn spoil(path: &std::path::Path, segment: i64) {
    let connection = rusqlite::Connection::open(path).expect("opens");
    let sql = "UPDATE segment_column SET data = CAST(substr(data, 1, length(data) - 1) || x'5a' AS BLOB)
                WHERE id / 65536 = ?1";
    assert!(connection.execute(sql, [segment]).expect("writes") > 0);
}

#[test]
fn what_cannot_be_read_of_one_dataset_keeps_no_other_from_its_upkeep() {
    let (folder, store) = small_store(1_000);
    let now = crate::time::now() / 1_000_000;
    // half of the first segment is too old, all of the second
    for numbers in [[now - 7_200, now], [now - 7_200, now - 7_100]] {
        append(&store, &numbers);
        let id = store.snapshot().whole_dataset("events").expect("there").id;
        store.upkeep().seal(id).expect("seals");
    }
    let first = store.snapshot().whole_dataset("events").expect("there").segments[0].id;
    spoil(&folder.path().join("a.db"), first);
    let retention = Declaration { retention: Some("1h".into()), ..Declaration::default() };
    store.declare("events", retention).expect("declares");
    until("old events stay beside damaged ones", &store, |found| found.segments.len() == 1, "events");
    store.append(batch("other", 0, &(0..1_000).collect::<Vec<_>>())).expect("appends");
    until("the other dataset is not sealed", &store, |found| found.tail.is_empty(), "other");
    assert_eq!(
        store.snapshot().whole_dataset("events").expect("there").segments[0].id,
        first,
        "it is left alone"
    );
}

#[test]
fn a_fault_in_the_upkeep_of_one_dataset_does_not_end_that_of_all() {
    let (folder, store) = small_store(1_000);
    seal_one_by_one(&store, 4);
    drop(store);
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    // what nobody writes: adding to it overflows, which is a panic in tests
    connection.execute("UPDATE segment SET first_seq = ?1", [i64::MAX]).expect("writes");
    drop(connection);
    let store =
        Store::open(&path, StoreOptions { seal_rows: 1_000, ..StoreOptions::default() }).expect("opens");
    std::thread::sleep(std::time::Duration::from_millis(200));
    store.append(batch("other", 0, &(0..1_000).collect::<Vec<_>>())).expect("appends");
    until("the other dataset is not sealed", &store, |found| found.tail.is_empty(), "other");
}

#[test]
fn a_file_that_cannot_give_pages_back_is_not_asked_for_ever() {
    let (folder, store) = small_store(1_000);
    drop(store);
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").expect("packs");
    drop(connection);
    let store = Arc::new(Store::open(&path, StoreOptions::default()).expect("opens"));
    append(&store, &(0..200_000).map(|n| n * 7_919 % 100_003).collect::<Vec<_>>());
    store.drop_dataset("events").expect("drops");
    let (done, ended) = crossbeam_channel::bounded(1);
    let giving = Arc::clone(&store);
    std::thread::spawn(move || done.send(giving.upkeep().optimize()));
    let told = ended.recv_timeout(std::time::Duration::from_secs(20)).expect("it ends");
    told.expect("nothing failed");
    assert!(open_pages(&path).1 > 0, "there are free pages that stay");
}

#[test]
fn segments_whose_texts_are_much_larger_than_their_bytes_are_not_merged_beyond_memory() {
    let (_folder, store) = small_store(1_000);
    let mib = 1 << 20;
    for segment in 0..4 {
        let mut builder = BlockBuilder::default();
        for row in 0..40 {
            let (time, text) = (builder.field(TIME), builder.field("text"));
            builder.set(time, Cell::Time(row));
            let long = format!("{segment}-{row}-{}", "x".repeat(mib));
            builder.set(text, Cell::Text(&long));
            builder.end_row();
        }
        let version = store.snapshot().datasets.get("events").map_or(0, |d| d.rules_version);
        let rules = DecodedUnder { version, new_fields: vec!["text".into()], ..DecodedUnder::default() };
        store.append(Batch { dataset: "events".into(), block: builder.finish(), rules }).expect("appends");
        let id = store.snapshot().whole_dataset("events").expect("there").id;
        store.upkeep().seal(id).expect("seals");
    }
    store.upkeep().optimize().expect("merges");
    let snapshot = store.snapshot();
    let dataset = snapshot.whole_dataset("events").expect("there");
    assert!(dataset.segments.iter().map(|segment| segment.bytes).sum::<u64>() < mib as u64);
    for segment in &dataset.segments {
        let texts = segment.column("text", 0).expect("reads").expect("text");
        assert!(
            texts.bytes() <= crate::limits::SEGMENT_BYTES,
            "{} bytes of text in one segment",
            texts.bytes()
        );
    }
    assert_eq!(dataset.rows(), 160);
}

#[test]
fn a_file_of_the_first_format_is_told_to_readers_and_brought_up_to_date_by_writers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection
        .execute_batch(&format!(
            "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {};
             PRAGMA journal_mode = WAL;",
            crate::store::migrate::APPLICATION_ID
        ))
        .expect("is ours");
    connection.execute_batch(include_str!("../../schema/migrate/0001_first.sql")).expect("is made");
    connection
        .execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO dataset (id, name, declaration, time_field, next_seq, created_us)
             VALUES (1, 'events', '{}', NULL, 6, 0);
             INSERT INTO field (dataset_id, position, name, kinds) VALUES (1, 0, 'n', 1);",
        )
        .expect("is filled");
    for (first, numbers) in [(1, &[7, 8, 9][..]), (4, &[5, 6][..])] {
        connection
            .execute(
                "INSERT INTO log (dataset_id, first_seq, rows, block) VALUES (1, ?1, ?2, ?3)",
                rusqlite::params![first, numbers.len() as i64, block(numbers).encode().expect("encodes")],
            )
            .expect("is filled");
    }
    drop(connection);
    let expected: Vec<(i64, Value)> = (1..).zip([7, 8, 9, 5, 6].map(Value::Int)).collect();
    let told = read(&path, Some("events")).expect_err("is older").to_string();
    assert!(told.contains("older format") && told.contains("windrow optimize"), "{told}");
    let store = Store::open(&path, StoreOptions::default()).expect("brings it up to date");
    assert_eq!(rows(store.snapshot().whole_dataset("events").expect("there")), expected);
    store.upkeep().settle(1).expect("seals");
    assert_eq!(rows(store.snapshot().whole_dataset("events").expect("there")), expected);
}

#[test]
fn a_segment_for_a_dataset_that_declares_dedupe_is_sent_back() {
    let (_folder, store) = small_store(1_000);
    let declaration =
        Declaration { dedupe: Some("all".into()), id: Some("n".into()), ..Declaration::default() };
    store.declare("events", declaration).expect("declares");
    let rules =
        batch("events", store.snapshot().whole_dataset("events").expect("there").rules_version, &[]).rules;
    let origin = Origin::Block(TailBlock { first_seq: 0, block: Arc::new(block(&[1, 2])) });
    let segment = compose(&[origin]).expect("composes").expect("has rows");
    let outcome = store.append_segment(SegmentBatch { dataset: "events".into(), segment, rules });
    assert_eq!(outcome.expect("answers"), None, "its ids were never looked up");
}

#[test]
fn a_field_that_no_row_has_a_value_in_is_no_damage() {
    let (_folder, store) = small_store(1_000);
    let origin = Origin::Block(TailBlock { first_seq: 0, block: Arc::new(block(&[1, 2])) });
    let segment = compose(&[origin]).expect("composes").expect("has rows");
    let rules = DecodedUnder { new_fields: vec!["n".into(), "none".into()], ..DecodedUnder::default() };
    store.append_segment(SegmentBatch { dataset: "events".into(), segment, rules }).expect("appends");
    assert!(store.snapshot().whole_dataset("events").expect("there").fields.kinds("none").is_some());
    let report = crate::store::check::check(store.path(), &Default::default()).expect("is checked");
    assert!(report.ok, "{:?}", report.damage);
}

#[test]
fn segments_around_one_that_cannot_be_read_are_not_merged_over_it() {
    let (folder, store) = small_store(1_000);
    seal_one_by_one(&store, 5);
    drop(store);
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.execute("UPDATE segment SET head = x'00' WHERE first_seq = 3", []).expect("writes");
    drop(connection);
    let store = Store::open(&path, StoreOptions::default()).expect("opens");
    store.upkeep().optimize().expect("merges the others");
    let snapshot = store.snapshot();
    let segments = &snapshot.whole_dataset("events").expect("there").segments;
    assert!(segments.windows(2).all(|pair| pair[0].last_seq < pair[1].first_seq), "exports go by `_seq`");
}

#[test]
fn tails_that_fill_while_events_are_erased_are_sealed() {
    let (_folder, store) = small_store(1_000);
    seal_one_by_one(&store, 3);
    let id = store.snapshot().whole_dataset("events").expect("there").id;
    let asked = std::sync::atomic::AtomicU64::new(0);
    let fate = |_: &Arc<crate::store::segment::Segment>| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            store.append(batch("other", 0, &(0..1_000).collect::<Vec<_>>()))?;
        } else {
            assert!(
                store.snapshot().whole_dataset("other")?.tail.is_empty(),
                "it grows as long as that takes"
            );
        }
        Ok(crate::store::rewrite::Fate::Stay)
    };
    assert_eq!(store.upkeep().rewrite(id, fate).expect("looks at all"), 0);
    assert_eq!(asked.into_inner(), 3);
}

#[test]
fn what_was_erased_gives_its_space_back_before_all_is_erased() {
    let (_folder, store) = small_store(1_000);
    seal_one_by_one(&store, 3);
    let id = store.snapshot().whole_dataset("events").expect("there").id;
    let gone = std::sync::Mutex::new(Vec::new());
    let fate = |segment: &Arc<crate::store::segment::Segment>| {
        let mut gone = gone.lock().expect("is not poisoned");
        gone.push(Arc::downgrade(segment));
        let begin = std::time::Instant::now();
        // the writer removes it after the next transaction
        while gone.len() == 3 && gone[0].strong_count() > 0 {
            assert!(begin.elapsed().as_secs() < 10, "the first segment takes its space to the end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Ok(crate::store::rewrite::Fate::Go)
    };
    assert_eq!(store.upkeep().rewrite(id, fate).expect("erases"), 3);
}

#[test]
fn a_segment_tells_the_rules_as_of_its_own_commit() {
    let (_folder, store) = small_store(1_000);
    let segment = |version| {
        let origin = Origin::Block(TailBlock { first_seq: 0, block: Arc::new(block(&[1, 2])) });
        let rules = batch("events", version, &[]).rules;
        let segment = compose(&[origin]).expect("composes").expect("has rows");
        SegmentBatch { dataset: "events".into(), segment, rules }
    };
    let version = store.append_segment(segment(0)).expect("appends").expect("is not stale");
    store.declare("events", Declaration::default()).expect("declares right after it");
    assert_eq!(
        store.append_segment(segment(version)).expect("answers"),
        None,
        "others than it was decoded under"
    );
}
