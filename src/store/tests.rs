//! The store as its callers see it: what is acknowledged is visible, lasts, and comes back as it was.

use std::sync::Arc;

use crate::columnar::builder::{BlockBuilder, Cell};
use crate::columnar::{Block, TIME};
use crate::error::Error;
use crate::fields::{Declaration, FieldType};
use crate::store::snapshot::Dataset;
use crate::store::writer::{Appended, Batch};
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
        rules_version: version,
        time_field: None,
        new_fields: vec!["n".into()],
        import: None,
    }
}

fn append(store: &Store, numbers: &[i64]) -> Appended {
    let version = store.snapshot().datasets.get("events").map_or(0, |d| d.rules_version);
    store.append(batch("events", version, numbers)).expect("appends")
}

fn rows(dataset: &Dataset) -> Vec<(i64, Value)> {
    let of_block = |t: &crate::store::snapshot::TailBlock| {
        let column = Arc::clone(t.block.column("n").expect("n"));
        let first = t.first_seq;
        (0..t.block.rows()).map(move |row| (first + row as i64, column.get(row))).collect::<Vec<_>>()
    };
    dataset.tail.iter().flat_map(of_block).collect()
}

#[test]
fn what_is_acknowledged_is_visible_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.db");
    let expected: Vec<(i64, Value)> = (1..=300).map(|n| (n, Value::Int(n * 10))).collect();
    {
        let store = Store::open(&path, StoreOptions::default()).expect("opens");
        for n in 1..=300 {
            assert_eq!(append(&store, &[n * 10]), Appended::Committed { first_seq: n });
        }
        assert_eq!(rows(store.snapshot().dataset("events").expect("there")), expected);
        let beside = read(&path, Some("events")).expect("reads beside the writer");
        assert_eq!(rows(beside.dataset("events").expect("there")), expected);
    }
    let store = Store::open(&path, StoreOptions::default()).expect("opens again");
    let snapshot = store.snapshot();
    let dataset = snapshot.dataset("events").expect("there");
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
    assert_eq!(before.dataset("events").expect("still there").rows(), 2);
    assert!(matches!(store.snapshot().dataset("events"), Err(Error::NotFound(_))));
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
    let mut seen: Vec<i64> = rows(store.snapshot().dataset("events").expect("there"))
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
    let version = store.snapshot().dataset("events").expect("there").rules_version;
    store.declare("events", Declaration { strict: true, ..Declaration::default() }).expect("declares");
    assert_eq!(store.append(batch("events", version, &[2])).expect("answers"), Appended::Stale);
    assert_eq!(store.snapshot().dataset("events").expect("there").rows(), 1);
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
    let told = Store::open(&path, StoreOptions::default()).expect_err("refused").to_string();
    assert!(told.contains("dataset \"events\"") && told.contains("events 1 to 3"), "{told}");
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
    let late = Batch { time_field: Some("n".into()), ..batch("events", version, &[2]) };
    assert_eq!(store.append(late).expect("answers"), Appended::Stale);
    assert_eq!(store.snapshot().datasets["events"].time_field, None);
}
