//! Twenty thousand generated events, some twenty questions, and a plain computation of each answer in a few lines
//! of Rust over the same vector; asked of the running server, of the restarted one, and of the command line.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::common::{Lcg, Server, Table, assert_same_rows, micros_of, process, temp_dir};

const EVENTS: usize = 20_000;
const START: &str = "2024-02-25T00:00:00Z";
const HOUR_MICROS: i64 = 3_600_000_000;

struct Event {
    time: i64,
    country: Option<&'static str>,
    path: String,
    user: i64,
    ms: Option<i64>,
    value: f64,
    bot: bool,
}

fn generate() -> Vec<Event> {
    let mut random = Lcg(20_240_225);
    let start = micros_of(START).unwrap();
    let countries = ["DE", "FR", "IT", "PL", "US", "Österreich", "日本"];
    (0..EVENTS)
        .map(|_| Event {
            // ten days over the end of February of a leap year, not in order
            time: start + random.below(240 * 3_600) as i64 * 1_000_000 + random.below(1_000_000) as i64,
            country: (random.below(20) > 0).then(|| random.pick(&countries)),
            path: format!("/page/{}", random.below(300)),
            user: random.below(2_000) as i64,
            ms: (random.below(10) > 0).then(|| random.below(5_000) as i64 - 200),
            value: random.below(1_000_000) as f64 / 64.0,
            bot: random.below(8) == 0,
        })
        .collect()
}

fn json_of(event: &Event) -> Value {
    let mut object = json!({
        "ts": event.time, "path": event.path, "user": event.user, "value": event.value, "bot": event.bot,
    });
    // some holes are null, some are missing
    match (event.country, event.user % 2) {
        (None, 0) => {}
        (country, _) => object["country"] = json!(country),
    }
    if let Some(ms) = event.ms {
        object["ms"] = json!(ms);
    }
    object
}

/// Groups in the order of their keys.
fn by<K: Ord>(
    events: &[Event],
    keep: impl Fn(&Event) -> bool,
    key: impl Fn(&Event) -> K,
) -> BTreeMap<K, Vec<&Event>> {
    let mut groups = BTreeMap::<K, Vec<&Event>>::new();
    for event in events.iter().filter(|e| keep(e)) {
        groups.entry(key(event)).or_default().push(event);
    }
    groups
}

fn average(numbers: &[f64]) -> Value {
    if numbers.is_empty() { Value::Null } else { json!(numbers.iter().sum::<f64>() / numbers.len() as f64) }
}

fn ms(group: &[&Event]) -> Vec<i64> {
    group.iter().filter_map(|e| e.ms).collect()
}

fn floats(numbers: &[i64]) -> Vec<f64> {
    numbers.iter().map(|n| *n as f64).collect()
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Value {
    json!(items.collect::<BTreeSet<_>>().len())
}

fn instant(micros: i64) -> Value {
    json!(jiff::Timestamp::from_microsecond(micros).unwrap().to_string())
}

/// A key that sorts absent values last, as the engine does.
fn nulls_last(text: Option<&'static str>) -> (bool, Option<&'static str>) {
    (text.is_none(), text)
}

/// Each question with its answer.
fn questions(events: &[Event]) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    let all: Vec<&Event> = events.iter().collect();
    let every = |_: &Event| true;
    let mut list = Vec::new();

    let waits = ms(&all);
    list.push((
        "SELECT count(*), count(ms), sum(ms), min(ms), max(ms), avg(ms), uniq(user), sum(value), uniq(path) FROM t",
        vec![vec![
            json!(all.len()),
            json!(waits.len()),
            json!(waits.iter().sum::<i64>()),
            json!(waits.iter().min()),
            json!(waits.iter().max()),
            average(&floats(&waits)),
            distinct(all.iter().map(|e| e.user)),
            json!(all.iter().map(|e| e.value).sum::<f64>()),
            distinct(all.iter().map(|e| &e.path)),
        ]],
    ));

    let groups = by(events, every, |e| nulls_last(e.country));
    list.push((
        "SELECT country, count(*), sum(ms), avg(value), uniq(user), min(path), max(path)
         FROM t GROUP BY country ORDER BY country",
        groups
            .iter()
            .map(|((_, country), g)| {
                vec![
                    json!(country),
                    json!(g.len()),
                    json!(ms(g).iter().sum::<i64>()),
                    average(&g.iter().map(|e| e.value).collect::<Vec<_>>()),
                    distinct(g.iter().map(|e| e.user)),
                    json!(g.iter().map(|e| &e.path).min()),
                    json!(g.iter().map(|e| &e.path).max()),
                ]
            })
            .collect(),
    ));

    let groups = by(
        events,
        |e| !e.bot && e.country.is_some_and(|c| c != "DE"),
        |e| e.time.div_euclid(24 * HOUR_MICROS),
    );
    list.push((
        "SELECT day(_time) AS d, count(*), uniq(user) FROM t WHERE country <> 'DE' AND NOT bot GROUP BY d ORDER BY d",
        groups
            .iter()
            .map(|(d, g)| vec![instant(d * 24 * HOUR_MICROS), json!(g.len()), distinct(g.iter().map(|e| e.user))])
            .collect(),
    ));

    let groups = by(events, |e| e.bot, |e| (e.time.div_euclid(HOUR_MICROS), nulls_last(e.country)));
    list.push((
        "SELECT hour(_time), country, count(*) AS n FROM t WHERE bot GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 500 OFFSET 100",
        groups
            .iter()
            .skip(100)
            .take(500)
            .map(|((h, (_, country)), g)| vec![instant(h * HOUR_MICROS), json!(country), json!(g.len())])
            .collect(),
    ));

    let groups = by(events, every, |e| e.path.clone());
    let mut ranked: Vec<_> = groups.iter().filter(|(_, g)| g.len() > 60).collect();
    ranked.sort_by_key(|(path, g)| (std::cmp::Reverse(g.len()), (*path).clone()));
    list.push((
        "SELECT path, count(*) AS n, max(ms) FROM t GROUP BY path HAVING count(*) > 60 ORDER BY n DESC, path LIMIT 40",
        ranked.iter().take(40).map(|(p, g)| vec![json!(p), json!(g.len()), json!(ms(g).iter().max())]).collect(),
    ));

    let groups = by(events, |e| e.user < 50, |e| (std::cmp::Reverse(e.user), e.bot));
    list.push((
        "SELECT user, bot, count(*), avg(ms) FROM t WHERE user < 50 GROUP BY user, bot ORDER BY user DESC, bot",
        groups
            .iter()
            .map(|((u, bot), g)| vec![json!(u.0), json!(bot), json!(g.len()), average(&floats(&ms(g)))])
            .collect(),
    ));

    let count = |keep: &dyn Fn(&Event) -> bool| vec![vec![json!(events.iter().filter(|e| keep(e)).count())]];
    let from = micros_of("2024-02-28T12:00:00Z").unwrap();
    let to = micros_of("2024-03-01T00:00:00Z").unwrap();
    list.extend([
        ("SELECT count(*) FROM t WHERE ms IS NULL", count(&|e| e.ms.is_none())),
        (
            "SELECT count(*) FROM t WHERE ms >= 1000 AND ms < 2000",
            count(&|e| e.ms.is_some_and(|n| (1000..2000).contains(&n))),
        ),
        ("SELECT count(*) FROM t WHERE NOT (ms > 0)", count(&|e| e.ms.is_some_and(|n| n <= 0))),
        ("SELECT count(*) FROM t WHERE value / 2 > user", count(&|e| e.value / 2.0 > e.user as f64)),
        (
            "SELECT count(*) FROM t WHERE country = 'DE' OR bot OR ms < 0",
            count(&|e| e.country == Some("DE") || e.bot || e.ms.is_some_and(|n| n < 0)),
        ),
        (
            "SELECT count(*) FROM t WHERE path LIKE '/page/1_' OR path LIKE '%99'",
            count(&|e| (e.path.len() == 8 && e.path.starts_with("/page/1")) || e.path.ends_with("99")),
        ),
        (
            "SELECT count(*) FROM t WHERE country IN ('FR', '日本') AND user NOT IN (1, 2, 3)",
            count(&|e| {
                e.country.is_some_and(|c| ["FR", "日本"].contains(&c)) && ![1, 2, 3].contains(&e.user)
            }),
        ),
        (
            "SELECT count(*) FROM t WHERE _time >= '2024-02-28T12:00:00Z' AND _time < '2024-03-01'",
            count(&|e| (from..to).contains(&e.time)),
        ),
    ]);

    let groups = by(events, every, |e| e.ms.map_or((true, 0), |n| (false, n / 1000)));
    list.push((
        "SELECT CASE WHEN ms IS NULL THEN 'none' WHEN ms < 1000 THEN 'quick' ELSE 'slow' END AS speed, count(*)
         FROM t GROUP BY speed ORDER BY speed",
        ["none", "quick", "slow"]
            .iter()
            .map(|name| {
                let belongs = |key: &(bool, i64)| match *name {
                    "none" => key.0,
                    "quick" => !key.0 && key.1 < 1,
                    _ => !key.0 && key.1 >= 1,
                };
                json!([name, groups.iter().filter(|(k, _)| belongs(k)).map(|(_, g)| g.len()).sum::<usize>()])
            })
            .map(|row| row.as_array().unwrap().clone())
            .collect(),
    ));

    let mut sorted: Vec<(usize, &Event)> =
        events.iter().enumerate().filter(|(_, e)| e.country == Some("PL")).collect();
    sorted.sort_by_key(|(at, e)| (e.ms.is_none(), std::cmp::Reverse(e.ms), *at));
    assert!(sorted.len() > 1_000);
    list.push((
        "SELECT user, ms, path FROM t WHERE country = 'PL' ORDER BY ms DESC, _seq LIMIT 5000 OFFSET 25",
        sorted
            .iter()
            .skip(25)
            .take(5_000)
            .map(|(_, e)| vec![json!(e.user), json!(e.ms), json!(e.path)])
            .collect(),
    ));
    list
}

#[test]
fn answers_equal_a_plain_computation_before_and_after_a_restart() {
    let events = generate();
    let questions = questions(&events);
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    // batches of every size, so that the tail has large and small blocks
    let (mut at, mut size) = (0, 1);
    while at < events.len() {
        let batch = &events[at..events.len().min(at + size)];
        let lines: String = batch.iter().map(|e| json_of(e).to_string() + "\n").collect();
        assert_eq!(server.accepted("t", lines), batch.len() as u64);
        at += batch.len();
        size = size * 3 % 1_999 + 1;
    }
    for (sql, wanted) in &questions {
        assert_same_rows(sql, &server.sql(sql).rows, wanted);
    }
    assert_eq!(server.stop(), 0);

    for (sql, wanted) in &questions {
        assert_same_rows(&format!("on the command line: {sql}"), &process::sql(dir.path(), sql).rows, wanted);
    }
    let server = Server::start(dir.path(), &[]);
    for (sql, wanted) in &questions {
        assert_same_rows(&format!("after a restart: {sql}"), &server.sql(sql).rows, wanted);
    }
    server.kill_nine();
    let server = Server::start(dir.path(), &[]);
    for (sql, wanted) in &questions {
        assert_same_rows(&format!("after a kill: {sql}"), &server.sql(sql).rows, wanted);
    }
}

#[test]
fn many_clients_asking_at_once_get_the_same_answers() {
    let events = generate();
    let questions = questions(&events);
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    for batch in events.chunks(2_500) {
        let lines: String = batch.iter().map(|e| json_of(e).to_string() + "\n").collect();
        server.accepted("t", lines);
    }
    std::thread::scope(|scope| {
        for first in 0..8 {
            let (questions, mut client) = (&questions, server.client());
            scope.spawn(move || {
                for at in 0..questions.len() {
                    let (sql, wanted) = &questions[(first * 5 + at) % questions.len()];
                    let reply =
                        client.send("POST", "/v1/sql", &[], json!({ "sql": sql }).to_string().as_bytes());
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    assert_same_rows(sql, &Table::parse(&reply.text()).rows, wanted);
                }
            });
        }
    });
}
