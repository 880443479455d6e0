//! Pages of rows from outside: forward and back, every order, cursors that bind what they must and survive a
//! restart, and a walk over 200,000 rows while another client appends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use common::{Client, Reply, Server, assert_says, assert_says_one_of, encode, temp_dir};

/// 250 events: `n` counts them, `k` has 25 values and holes, `_time` is the same for runs of ten.
fn events(server: &Server) {
    let lines: String = (0..250)
        .map(|n| {
            let k = if n % 7 == 0 { Value::Null } else { json!((n * 13) % 25) };
            let time = format!("2024-05-01T00:{:02}:00Z", n / 10);
            json!({"ts": time, "n": n, "k": k, "s": format!("text {n}")}).to_string() + "\n"
        })
        .collect();
    assert_eq!(server.accepted("events", lines), 250);
}

fn page(client: &mut Client, dataset: &str, parameters: &str) -> Value {
    client.send("GET", &format!("/v1/datasets/{dataset}/rows?{parameters}"), &[], b"").ok()
}

/// All pages from the first in one direction, following `next` or `prev`.
fn walk(client: &mut Client, parameters: &str, first: Value, direction: &str) -> Vec<Value> {
    let mut pages = vec![first];
    while let Some(cursor) = pages.last().unwrap()[direction].as_str() {
        let next = page(client, "events", &format!("{parameters}&cursor={}", encode(cursor)));
        assert!(pages.len() < 1_000, "a walk ends");
        pages.push(next);
    }
    pages
}

fn numbers(page: &Value) -> Vec<i64> {
    page["rows"].as_array().unwrap().iter().map(|r| r["n"].as_i64().unwrap()).collect()
}

fn all_numbers(pages: &[Value]) -> Vec<i64> {
    pages.iter().flat_map(numbers).collect()
}

#[test]
fn without_an_order_the_newest_come_first_a_hundred_at_a_time() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    let first = page(&mut client, "events", "fields=n");
    assert_eq!(numbers(&first), (150..250).rev().collect::<Vec<_>>());
    assert!(first["prev"].is_null(), "{first}");
    let pages = walk(&mut client, "fields=n", first, "next");
    assert_eq!(pages.iter().map(|p| numbers(p).len()).collect::<Vec<_>>(), [100, 100, 50]);
    assert_eq!(all_numbers(&pages), (0..250).rev().collect::<Vec<_>>());
    assert!(pages[2]["next"].is_null(), "the last page has no next");
}

#[test]
fn a_page_that_ends_exactly_with_the_rows_has_no_next() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    let first = page(&mut client, "events", "fields=n&limit=125");
    let pages = walk(&mut client, "fields=n&limit=125", first, "next");
    assert_eq!(pages.iter().map(|p| numbers(p).len()).collect::<Vec<_>>(), [125, 125]);
    let none = page(&mut client, "events", &format!("fields=n&where={}", encode("n < 0")));
    assert_eq!((&none["rows"], &none["next"], &none["prev"]), (&json!([]), &Value::Null, &Value::Null));
}

#[test]
fn a_walk_back_arrives_at_the_first_page() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    for parameters in [
        "fields=n&limit=30",
        "fields=n&limit=30&order=k,-n",
        "fields=n&limit=17&order=-k,s",
        "fields=n&limit=7&order=s&where=k%3E3",
    ] {
        let first = page(&mut client, "events", parameters);
        let forward = walk(&mut client, parameters, first.clone(), "next");
        assert!(forward.len() > 5, "{parameters}: {} pages", forward.len());
        let mut back = walk(&mut client, parameters, forward.last().unwrap().clone(), "prev");
        back.reverse();
        assert_eq!(back.len(), forward.len(), "{parameters}");
        for (back, forward) in back.iter().zip(&forward) {
            assert_eq!(numbers(back), numbers(forward), "{parameters}");
        }
        assert!(back[0]["prev"].is_null(), "{parameters}: the first page has no prev: {}", back[0]);
        assert_eq!(numbers(&back[0]), numbers(&first));
        let again = walk(&mut client, parameters, back[0].clone(), "next");
        assert_eq!(all_numbers(&again), all_numbers(&forward), "{parameters}: and forward again");
    }
}

#[test]
fn every_order_pages_through_all_rows_once_with_nulls_last() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    let k = |n: i64| if n % 7 == 0 { None } else { Some((n * 13) % 25) };
    let rising = |n: i64| (k(n).is_none(), k(n));
    let falling = |n: i64| (k(n).is_none(), std::cmp::Reverse(k(n)));
    let sorted = |key: &dyn Fn(&i64, &i64) -> std::cmp::Ordering| {
        let mut all: Vec<i64> = (0..250).collect();
        all.sort_by(key);
        all
    };
    for (order, wanted) in [
        ("n", sorted(&|a, b| a.cmp(b))),
        ("-n", sorted(&|a, b| b.cmp(a))),
        ("_seq", sorted(&|a, b| a.cmp(b))),
        ("_time,-n", sorted(&|a, b| (a / 10, -a).cmp(&(b / 10, -b)))),
        ("k,n", sorted(&|a, b| (rising(*a), a).cmp(&(rising(*b), b)))),
        ("-k,n", sorted(&|a, b| (falling(*a), a).cmp(&(falling(*b), b)))),
        (
            "-k,-s",
            sorted(&|a, b| falling(*a).cmp(&falling(*b)).then_with(|| b.to_string().cmp(&a.to_string()))),
        ),
    ] {
        for limit in [1, 40, 1_000] {
            let parameters = format!("fields=n&order={order}&limit={limit}");
            let first = page(&mut client, "events", &parameters);
            let pages = walk(&mut client, &parameters, first, "next");
            assert_eq!(all_numbers(&pages), wanted, "order={order} limit={limit}");
        }
    }
}

#[test]
fn an_order_with_many_equal_values_still_shows_each_row_once() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    for order in ["k", "-k", "_time", "-_time"] {
        let parameters = format!("fields=n&order={order}&limit=3");
        let first = page(&mut client, "events", &parameters);
        let mut found = all_numbers(&walk(&mut client, &parameters, first, "next"));
        found.sort_unstable();
        assert_eq!(found, (0..250).collect::<Vec<_>>(), "order={order}");
    }
}

#[test]
fn the_fields_asked_for_come_in_that_order_and_no_others() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    for fields in ["s,n,_seq,k", "_id", "k,s", "_time,n"] {
        let reply = page(&mut client, "events", &format!("limit=5&fields={fields}"));
        for row in reply["rows"].as_array().unwrap() {
            let names: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names.join(","), fields);
        }
    }
}

#[test]
fn a_filter_is_an_expression() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    for (filter, keep) in [
        ("n >= 10 and n < 20", Box::new(|n: i64| (10..20).contains(&n)) as Box<dyn Fn(i64) -> bool>),
        ("k is null", Box::new(|n| n % 7 == 0)),
        ("s like 'text 1_'", Box::new(|n| (10..20).contains(&n))),
        ("_time >= '2024-05-01T00:20:00Z'", Box::new(|n| n >= 200)),
        ("n in (1, 2, 300) or s = 'text 9'", Box::new(|n| [1, 2, 9].contains(&n))),
    ] {
        let parameters = format!("fields=n&order=n&limit=9&where={}", encode(filter));
        let first = page(&mut client, "events", &parameters);
        let found = all_numbers(&walk(&mut client, &parameters, first, "next"));
        assert_eq!(found, (0..250).filter(|n| keep(*n)).collect::<Vec<_>>(), "{filter}");
    }
}

/// Asks for one page and expects a refusal.
fn refused(server: &Server, parameters: &str) -> String {
    server.get(&format!("/v1/datasets/events/rows?{parameters}")).problem(400).1
}

#[test]
fn a_limit_out_of_bounds_is_refused_with_the_bound() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    assert_says_one_of(&refused(&server, "limit=10001"), &["10000", "10,000", "10_000"]);
    for parameters in ["limit=0", "limit=-1", "limit=ten", "limit=", "limit=99999999999999999999"] {
        assert_says(&refused(&server, parameters), &["limit"]);
    }
    assert_eq!(numbers(&page(&mut server.client(), "events", "limit=10000")).len(), 250);
}

#[test]
fn an_unknown_parameter_is_refused_by_its_name() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    assert_says(&refused(&server, "limti=10"), &["limti", "limit"]);
    assert_says(&refused(&server, "fields=n&fields=k"), &["fields"]);
}

#[test]
fn a_cursor_is_safe_in_a_url_and_its_links_lead_the_same_way() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    let path = format!(
        "/v1/datasets/events/rows?fields=n&limit=20&order=-n&where={}",
        encode("n < 100 and s <> 'ü'")
    );
    let first = client.send("GET", &path, &[], b"");
    let cursor = first.ok()["next"].as_str().unwrap().to_owned();
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    assert!(cursor.chars().all(safe), "{cursor}");
    assert!(cursor.len() < 1_000, "{cursor}");

    let link = |reply: &Reply, relation: &str| -> Option<String> {
        let links = reply.header("link")?;
        let found = links.split(',').find(|l| l.contains(&format!("rel=\"{relation}\"")))?;
        let target = found.split_once('<')?.1.split_once('>')?.0;
        Some(target.strip_prefix(&format!("http://{}", server.address)).unwrap_or(target).to_owned())
    };
    assert_eq!(link(&first, "prev"), None);
    let mut found = numbers(&first.json());
    let mut reply = first;
    while let Some(next) = link(&reply, "next") {
        reply = client.send("GET", &next, &[], b"");
        found.extend(numbers(&reply.ok()));
        assert!(found.len() <= 100);
    }
    assert_eq!(found, (0..100).rev().collect::<Vec<_>>(), "the link repeats limit, fields, order and where");
    let back = link(&reply, "prev").expect("the last page has a way back");
    assert_eq!(numbers(&client.send("GET", &back, &[], b"").ok()), (20..40).rev().collect::<Vec<_>>());
}

#[test]
fn a_cursor_remembers_order_and_filter_where_they_are_left_out() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let mut client = server.client();
    let first =
        page(&mut client, "events", &format!("fields=n&limit=10&order=n&where={}", encode("n >= 100")));
    let cursor = first["next"].as_str().unwrap();
    let second = page(&mut client, "events", &format!("fields=n&limit=10&cursor={cursor}"));
    assert_eq!(numbers(&second), (110..120).collect::<Vec<_>>());
    let longer = page(&mut client, "events", &format!("fields=n&limit=50&cursor={cursor}"));
    assert_eq!(numbers(&longer), (110..160).collect::<Vec<_>>(), "a page may change its size");
}

#[test]
fn a_cursor_with_another_order_filter_or_dataset_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    server.accepted("others", "[{\"n\":1},{\"n\":2},{\"n\":3}]");
    let mut client = server.client();
    let filter = encode("n >= 100");
    let first = page(&mut client, "events", &format!("fields=n&limit=10&order=n&where={filter}"));
    let cursor = first["next"].as_str().unwrap();
    page(&mut client, "events", &format!("fields=n&limit=10&order=n&where={filter}&cursor={cursor}"));
    assert_says(
        &refused(&server, &format!("cursor={cursor}&where={}", encode("n >= 101"))),
        &["cursor", "where"],
    );
    assert_says(&refused(&server, &format!("cursor={cursor}&where={filter}&order=-n")), &["cursor", "order"]);
    let other = server.get(&format!("/v1/datasets/others/rows?cursor={cursor}"));
    assert_says(&other.problem(400).1, &["cursor"]);
}

#[test]
fn an_altered_cursor_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let first = page(&mut server.client(), "events", "fields=n&limit=10");
    let cursor = first["next"].as_str().unwrap();
    for at in 0..cursor.len() {
        let mut altered = cursor.as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        assert_says(&refused(&server, &format!("fields=n&limit=10&cursor={altered}")), &["cursor"]);
    }
    for altered in [&cursor[1..], &cursor[..cursor.len() - 1], "x", "%00", &"A".repeat(5_000)] {
        assert_says(&refused(&server, &format!("cursor={altered}")), &["cursor"]);
    }
    let elsewhere = temp_dir();
    let stranger = Server::start(elsewhere.path(), &[]);
    events(&stranger);
    assert_says(&refused(&stranger, &format!("cursor={cursor}")), &["cursor"]);
}

#[test]
fn a_cursor_survives_a_restart_and_a_kill() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    events(&server);
    let parameters = "fields=n&limit=60&order=-k,n";
    let first = page(&mut server.client(), "events", parameters);
    let wanted = all_numbers(&walk(&mut server.client(), parameters, first.clone(), "next"));
    assert_eq!(server.stop(), 0);
    let server = Server::start(dir.path(), &[]);
    let pages = walk(&mut server.client(), parameters, first.clone(), "next");
    assert_eq!(all_numbers(&pages), wanted);
    server.kill_nine();
    let server = Server::start(dir.path(), &[]);
    let pages = walk(&mut server.client(), parameters, first, "next");
    assert_eq!(all_numbers(&pages), wanted);
}

#[test]
fn a_walk_over_200_000_rows_beside_appends_shows_each_row_of_its_start_once() {
    const ROWS: u64 = 200_000;
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for batch in 0..40 {
        let lines: String = (0..ROWS / 40)
            .map(|at| {
                let n = batch * (ROWS / 40) + at;
                // times fall and repeat, so arrival and order differ
                let time = 1_700_000_000_000_u64 + (n * 7_919) % 86_400_000 / 1_000 * 1_000;
                format!("{{\"ts\":{time},\"n\":{n},\"k\":{}}}\n", n * 31 % 1_000)
            })
            .collect();
        assert_eq!(server.accepted("events", lines), ROWS / 40);
    }
    let added = AtomicU64::new(0);
    for order in ["", "&order=k"] {
        let (stop, before) = (AtomicBool::new(false), added.load(Ordering::Relaxed));
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = server.client();
                while !stop.load(Ordering::Relaxed) {
                    let first = 10 * ROWS + added.load(Ordering::Relaxed);
                    let lines: String = (first..first + 50)
                        .map(|n| {
                            let time = 1_700_000_000_000_u64 + n * 104_729 % 86_400_000;
                            format!("{{\"ts\":{time},\"n\":{n},\"k\":{}}}\n", n % 1_000)
                        })
                        .collect();
                    writer.send("POST", "/v1/datasets/events/events", &[], lines.as_bytes()).ok();
                    added.fetch_add(50, Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            });
            let mut reader = server.client();
            let walked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut seen = HashMap::<i64, u32>::new();
                let parameters = format!("fields=n&limit=5000{order}");
                let mut next = page(&mut reader, "events", &parameters);
                loop {
                    for n in numbers(&next) {
                        *seen.entry(n).or_default() += 1;
                    }
                    let Some(cursor) = next["next"].as_str() else { return seen };
                    next = page(&mut reader, "events", &format!("{parameters}&cursor={cursor}"));
                }
            }));
            // the writer must end whatever became of the walk
            stop.store(true, Ordering::Relaxed);
            walked
        });
        let seen = seen.unwrap_or_else(|reason| std::panic::resume_unwind(reason));
        assert!(added.load(Ordering::Relaxed) > before, "the other client did append");
        for n in 0..ROWS as i64 {
            let times = seen.get(&n).copied().unwrap_or(0);
            assert_eq!(times, 1, "row {n} of the start came {times} times{order}");
        }
        let doubled = seen.iter().find(|(_, times)| **times > 1);
        assert_eq!(doubled, None, "a row added meanwhile comes at most once{order}");
    }
}
