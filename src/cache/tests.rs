//! The cache as a whole: versions, ages, flights, both tiers, and what becomes of them where the file fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;
use crate::error::Error;

type Bytes = Vec<u8>;

fn options(folder: Option<&Path>) -> CacheOptions {
    CacheOptions {
        memory_bytes: 1 << 20,
        disk_bytes: 8 << 20,
        file: folder.map(|folder| folder.join("windrow.cache.db")),
        classes: Classes::default(),
    }
}

fn wish(version: u128) -> Wish {
    Wish { version, class: Class::EXACT, max_age: None, deadline: None }
}

fn key(name: &str) -> Key {
    Key::named(name, ["dataset:visits"])
}

fn computed(bytes: Vec<u8>) -> Result<Computed<Bytes>> {
    Ok(Computed { value: bytes, rows: 7, is_kept: true })
}

/// The value under a key, computed from its text where it is not kept; and where it was.
fn ask(cache: &Cache, name: &str, version: u128) -> (Vec<u8>, Option<Tier>) {
    let got = cache
        .get_or_compute(&key(name), &wish(version), || computed(format!("{name} {version}").into_bytes()));
    let got = got.unwrap();
    (got.value.to_vec(), got.tier)
}

#[test]
fn a_version_is_never_given_to_who_asks_for_another() {
    let cache = Cache::open(options(None));
    assert_eq!(ask(&cache, "a", 1), (b"a 1".to_vec(), None));
    assert_eq!(ask(&cache, "a", 1), (b"a 1".to_vec(), Some(Tier::Memory)));
    assert_eq!(ask(&cache, "a", 2), (b"a 2".to_vec(), None));
    assert_eq!(ask(&cache, "a", 1), (b"a 1".to_vec(), None), "the newer one has its place");
}

#[test]
fn who_takes_answers_of_an_age_gets_them_while_they_are_no_older() {
    let cache = Cache::open(options(None));
    ask(&cache, "a", 1);
    let aged = |max_age| cache.get::<Bytes>(&key("a"), &Wish { max_age: Some(max_age), ..wish(2) });
    assert_eq!(aged(Duration::from_secs(60)).unwrap().value.as_slice(), b"a 1");
    std::thread::sleep(Duration::from_millis(5));
    assert!(aged(Duration::from_millis(1)).is_none());
    // of values without a version the age alone counts
    let (own, within) = (key("own"), Wish::within);
    cache.get_or_compute(&own, &within(Duration::from_secs(60)), || computed(b"own".to_vec())).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    assert!(cache.get::<Bytes>(&own, &within(Duration::from_secs(60))).is_some());
    assert!(cache.get::<Bytes>(&own, &within(Duration::from_millis(1))).is_none());
}

#[test]
fn a_failure_is_not_kept_and_tells_those_who_come_later_nothing() {
    let cache = Cache::open(options(None));
    let failed = cache.get_or_compute::<Bytes>(&key("a"), &wish(1), || Err(Error::invalid("no")));
    assert!(failed.is_err());
    assert_eq!(ask(&cache, "a", 1), (b"a 1".to_vec(), None));
}

#[test]
fn a_hundred_who_want_the_same_compute_it_once() {
    let cache = Cache::open(options(None));
    let (runs, barrier) = (AtomicUsize::new(0), Barrier::new(100));
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                barrier.wait();
                let got = cache.get_or_compute(&key("cold"), &wish(1), || {
                    runs.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                    computed(b"once".to_vec())
                });
                assert_eq!(got.unwrap().value.as_slice(), b"once");
            });
        }
    });
    assert_eq!(runs.into_inner(), 1);
    let report = cache.report();
    assert_eq!((report.misses, report.hits), (1, 99));
}

#[test]
fn who_waits_in_vain_computes_himself() {
    let cache = Cache::open(options(None));
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let lost = cache.get_or_compute::<Bytes>(&key("a"), &wish(1), || {
                barrier.wait();
                std::thread::sleep(Duration::from_millis(20));
                Err(Error::invalid("the first one fails"))
            });
            assert!(lost.is_err());
        });
        barrier.wait();
        assert_eq!(ask(&cache, "a", 1).0, b"a 1");
    });
    // and past his deadline he does not wait any longer
    let (barrier, (go_on, goes_on)) = (Barrier::new(2), crossbeam_channel::bounded(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cache.get_or_compute(&key("slow"), &wish(1), || {
                barrier.wait();
                // until the other has its answer: who waited for this would wait until it gives up
                let heard = goes_on.recv_timeout(Duration::from_secs(20));
                assert!(heard.is_ok(), "the hurried one waits past his deadline");
                computed(b"slow".to_vec())
            })
        });
        barrier.wait();
        let deadline = Instant::now().checked_add(Duration::from_millis(10));
        let hurried = Wish { deadline, ..wish(1) };
        let got = cache.get_or_compute(&key("slow"), &hurried, || computed(b"own".to_vec())).unwrap();
        assert_eq!(got.value.as_slice(), b"own");
        go_on.send(()).unwrap();
    });
}

#[test]
fn a_panic_of_who_computes_leaves_nobody_waiting() {
    let cache = Cache::open(options(None));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cache.get_or_compute::<Bytes>(&key("a"), &wish(1), || panic!("a fault"))
    }));
    assert!(panicked.is_err());
    assert_eq!(ask(&cache, "a", 1).0, b"a 1");
}

#[test]
fn what_was_declared_outdated_is_not_given_to_anyone_who_asks_later() {
    let cache = Cache::open(options(None));
    let aged = Wish { max_age: Some(Duration::from_secs(60)), ..wish(1) };
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let got = cache.get_or_compute(&key("a"), &aged, || {
                barrier.wait();
                // outdated while this is on its way
                barrier.wait();
                computed(b"old".to_vec())
            });
            assert_eq!(got.unwrap().value.as_slice(), b"old", "who began before gets what there was");
        });
        barrier.wait();
        cache.invalidate(&Selector::Tag("dataset:visits".into()));
        // who asks now does not board the flight that began before
        let got = cache.get_or_compute(&key("a"), &aged, || computed(b"new".to_vec())).unwrap();
        assert_eq!(got.value.as_slice(), b"new");
        barrier.wait();
    });
    assert_eq!(cache.get::<Bytes>(&key("a"), &aged).unwrap().value.as_slice(), b"new");
}

#[test]
fn selectors_forget_in_both_tiers() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(options(Some(folder.path())));
    for name in ["search:pages:42", "search:pages:43", "answer:visits"] {
        cache.get_or_compute(&key(name).lasting(), &wish(1), || computed(name.into())).unwrap();
    }
    cache.flush();
    assert_eq!(cache.report().disk.unwrap().tier.entries, 3);
    assert_eq!(cache.invalidate(&Selector::Pattern("search:*:42".into())), 1);
    assert_eq!(ask(&cache, "search:pages:42", 1).1, None);
    assert_eq!(ask(&cache, "search:pages:43", 1).1, Some(Tier::Memory));
    assert_eq!(cache.invalidate(&Selector::Pattern("search:*".into())), 2);
    assert_eq!(cache.invalidate(&Selector::All), 1);
    let report = cache.report();
    assert_eq!((report.memory.entries, report.disk.unwrap().tier.entries), (0, 0));
}

#[test]
fn the_file_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(options(Some(folder.path())));
    ask(&cache, "a", 1);
    ask(&cache, "b", 1);
    cache.close();
    let again = Cache::open(options(Some(folder.path())));
    assert_eq!(ask(&again, "a", 1), (b"a 1".to_vec(), Some(Tier::Disk)));
    assert_eq!(ask(&again, "a", 1).1, Some(Tier::Memory), "it came up");
    assert_eq!(ask(&again, "b", 2).1, None, "another version");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &folder.path().join("windrow.cache.db").metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_memory_has_no_room_for_goes_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(CacheOptions { memory_bytes: 20_000, ..options(Some(folder.path())) });
    let body = |n: usize| vec![n as u8; 4_000];
    for n in 0..20 {
        cache.get_or_compute(&key(&format!("k{n}")), &wish(1), || computed(body(n))).unwrap();
    }
    cache.flush();
    for n in 0..20 {
        let got = cache.get_or_compute(&key(&format!("k{n}")), &wish(1), || computed(Vec::new())).unwrap();
        assert!(*got.value == body(n), "k{n} is another");
        // what goes for it is on its way, and would be computed anew
        cache.flush();
    }
    assert!(cache.memory_bytes() <= 20_000);
    // larger than all of memory, and of no room at all
    let big = cache.get_or_compute(&key("big"), &wish(1), || computed(vec![1; 50_000])).unwrap();
    assert_eq!(big.value.len(), 50_000);
    cache.flush();
    assert_eq!(ask(&cache, "big", 1).1, Some(Tier::Disk));
    let none = Cache::open(CacheOptions { memory_bytes: 0, disk_bytes: 0, ..options(Some(folder.path())) });
    assert_eq!(ask(&none, "a", 1).1, None);
    assert_eq!(ask(&none, "a", 1).1, None);
}

#[test]
fn a_damaged_file_costs_answers_and_nothing_else() {
    for damage in ["text", "bits", "empty", "directory"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("windrow.cache.db");
        let cache = Cache::open(options(Some(folder.path())));
        for n in 0..200 {
            ask(&cache, &format!("k{n}"), 1);
        }
        cache.close();
        drop(cache);
        match damage {
            "text" => {
                std::fs::write(&path, "no database at all, and longer than a header of one would be").unwrap()
            }
            "empty" => std::fs::write(&path, "").unwrap(),
            "directory" => {
                disk::remove(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
            }
            _ => {
                let mut bytes = std::fs::read(&path).unwrap();
                for at in (8_192..bytes.len()).step_by(97) {
                    bytes[at] ^= 0x55;
                }
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let again = Cache::open(options(Some(folder.path())));
        for n in 0..200 {
            let name = format!("k{n}");
            assert_eq!(ask(&again, &name, 1).0, format!("{name} 1").into_bytes(), "{damage}");
        }
        assert_eq!(again.report().memory.entries, 200, "{damage}");
    }
}

#[test]
fn a_database_of_someone_else_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windrow.cache.db");
    let own = rusqlite::Connection::open(&path).unwrap();
    own.execute_batch("PRAGMA user_version = 7; CREATE TABLE precious (a); INSERT INTO precious VALUES (1);")
        .unwrap();
    drop(own);
    let before = std::fs::read(&path).unwrap();
    let cache = Cache::open(options(Some(folder.path())));
    assert_eq!(ask(&cache, "a", 1), (b"a 1".to_vec(), None));
    assert_eq!(ask(&cache, "a", 1).1, Some(Tier::Memory));
    cache.close();
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn a_file_that_is_deleted_while_it_is_used_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(options(Some(folder.path())));
    cache.get_or_compute(&key("a").lasting(), &wish(1), || computed(b"a".to_vec())).unwrap();
    cache.flush();
    disk::remove(&folder.path().join("windrow.cache.db")).unwrap();
    cache.get_or_compute(&key("b").lasting(), &wish(1), || computed(b"b".to_vec())).unwrap();
    cache.flush();
    cache.close();
    let again = Cache::open(options(Some(folder.path())));
    assert_eq!(again.get::<Bytes>(&key("b"), &wish(1)).unwrap().value.as_slice(), b"b");
}

#[test]
fn the_file_keeps_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let options = CacheOptions { memory_bytes: 0, disk_bytes: 1 << 20, ..options(Some(folder.path())) };
    let cache = Cache::open(options.clone());
    for n in 0..400u64 {
        // what does not shrink by itself
        let body = (0..10_000).map(|at| (n.wrapping_mul(31).wrapping_add(at * at) >> 3) as u8).collect();
        cache.get_or_compute(&key(&format!("k{n}")), &wish(1), || computed(body)).unwrap();
        if n % 20 == 0 {
            cache.flush();
        }
    }
    cache.flush();
    let report = cache.report();
    let tier = report.disk.unwrap().tier;
    assert!(tier.bytes <= 1 << 20 && tier.bytes > 1 << 19, "{tier:?}");
    let by_class = |of: fn(&figures::ClassReport) -> u64| report.classes.iter().map(of).sum::<u64>();
    let told = (by_class(|class| class.disk_entries), by_class(|class| class.disk_bytes));
    assert_eq!(told, (tier.entries, tier.bytes));
    cache.close();
    drop(cache);
    let bytes = folder.path().join("windrow.cache.db").metadata().unwrap().len();
    assert!(bytes < 2 << 20, "{bytes}");
    // the latest are there
    assert!(Cache::open(options).get::<Bytes>(&key("k399"), &wish(1)).is_some());
}

#[test]
fn a_clock_that_went_back_makes_no_old_answer_young() {
    let folder = tempfile::tempdir().unwrap();
    let figures = Arc::new(Figures::default());
    let disk = Disk::open(folder.path().join("windrow.cache.db"), 1 << 20, Arc::clone(&figures));
    let hour_us = 3_600_000_000;
    for (name, made_us) in [("before", time::now() - hour_us), ("to come", time::now() + hour_us)] {
        let entry = Entry {
            value: Arc::new(name.as_bytes().to_vec()),
            version: 1,
            class: Class::EXACT,
            made: Instant::now(),
            made_us,
            cost: Cost::default(),
            is_on_disk: false,
            key: key(name),
        };
        assert_eq!(disk.put_all(&[entry]).len(), 1);
    }
    let age = |name: &str| {
        let mut told = None;
        disk.get(key(name).hash, |_, age| {
            told = Some(age);
            true
        });
        told.unwrap()
    };
    assert!(age("before").is_some_and(|age| age >= Duration::from_secs(3_600)));
    assert_eq!(age("to come"), None, "nobody who takes answers of an age gets it");
}

#[test]
fn memory_keeps_budgets_of_every_size_under_random_load() {
    for budget in [1usize << 20, 100 << 20, 1 << 30] {
        let cache = Cache::open(CacheOptions { memory_bytes: budget, ..options(None) });
        let mut drawn = 7u64;
        for step in 0..2_000 {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // zeros that nobody touches take no memory of the machine
            let bytes = (drawn >> 33) as usize % (budget / 10);
            let name = format!("k{}", (drawn >> 20) % 300);
            cache.get_or_compute(&key(&name), &wish(step), || computed(vec![0; bytes])).unwrap();
            assert!(cache.memory_bytes() <= budget, "{} of {budget}", cache.memory_bytes());
        }
        assert!(cache.memory_bytes() > budget / 2, "most of it is used");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memory_stays_within_its_budget_and_gives_what_was_put(
        steps in prop::collection::vec((0u8..40, 0usize..30_000, 0u128..3, 0u8..20), 1..200),
    ) {
        let budget = 100_000;
        let cache = Cache::open(CacheOptions { memory_bytes: budget, ..options(None) });
        let mut model: BTreeMap<(u8, u128), usize> = BTreeMap::new();
        for (name, bytes, version, action) in steps {
            let (key, wish) = (key(&format!("k{name}")), wish(version));
            match action {
                0 => {
                    cache.invalidate(&Selector::Pattern(format!("k{name}")));
                    model.retain(|(known, _), _| *known != name);
                }
                _ => {
                    let got = cache.get_or_compute(&key, &wish, || computed(vec![name; bytes])).unwrap();
                    if got.tier.is_some() {
                        prop_assert_eq!(Some(&got.value.len()), model.get(&(name, version)));
                    } else {
                        model.retain(|(known, _), _| *known != name);
                        model.insert((name, version), bytes);
                    }
                }
            }
            prop_assert!(cache.memory_bytes() <= budget);
            prop_assert_eq!(cache.report().memory.bytes, cache.memory_bytes() as u64);
        }
    }
}
