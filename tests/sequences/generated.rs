//! Twenty thousand generated events, and a plain computation of each answer over the same vector; asked of the running
//! server, whose events are partly sealed, of the restarted one, and of the command line.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::{Lcg, Server, Table, assert_same_rows, micros_of, run, temp_dir};

const EVENTS: usize = 20_000;
const START: &str = "2026-01-05T00:00:00Z";
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[derive(Clone)]
struct Event {
    time: i64,
    user: Option<i64>,
    name: &'static str,
    path: Option<String>,
}

/// Eight weeks of visits; few users come often, some times are equal, some users are unknown.
fn generate() -> Vec<Event> {
    let mut random = Lcg(20_260_105);
    let start = micros_of(START).unwrap();
    let (mut events, mut at) = (Vec::new(), 0);
    while events.len() < EVENTS {
        let user = (random.below(50) > 0).then(|| (random.below(60) * random.below(60)) as i64 * 1_000_003);
        at = if random.below(4) > 0 { random.below(56 * 86_400) as i64 * SECOND } else { at };
        for _ in 0..random.below(8) {
            let name = random.pick(&["view", "view", "view", "cart", "buy", "help"]);
            let path = (random.below(10) > 0).then(|| format!("/{}", random.below(12)));
            events.push(Event { time: start + at, user, name, path });
            at += random.below(40) as i64 * 60 * SECOND;
        }
    }
    events.truncate(EVENTS);
    events
}

fn json_of(event: &Event) -> Value {
    json!({"ts": event.time, "user": event.user, "name": event.name, "path": event.path})
}

/// The events of each user in order; a stable sort keeps those of one instant in the order they were sent.
fn trails(events: &[Event]) -> BTreeMap<i64, Vec<Event>> {
    let mut trails: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    for event in events {
        if let Some(user) = event.user {
            trails.entry(user).or_default().push(event.clone());
        }
    }
    trails.values_mut().for_each(|trail| trail.sort_by_key(|event| event.time));
    trails
}

fn from_start(days: i64) -> String {
    jiff::Timestamp::from_microsecond(micros_of(START).unwrap() + days * DAY).unwrap().to_string()
}

/// Each question with what it is asked of and its answer.
fn questions(events: &[Event]) -> Vec<(&'static str, Value, Vec<Vec<Value>>)> {
    let trails = trails(events);
    let start = micros_of(START).unwrap();
    let mut list = Vec::new();

    let steps = ["view", "cart", "buy"];
    let counts = |from: i64, to: i64, within: i64| {
        let mut counts = [0; 3];
        for trail in trails.values() {
            let (mut begun, mut last) = (None, i64::MIN);
            for (step, count) in steps.iter().zip(&mut counts) {
                let matches =
                    trail.iter().filter(|e| e.name == *step && (from..to).contains(&e.time) && e.time > last);
                let Some(time) = matches.map(|e| e.time).min() else { break };
                if time - *begun.get_or_insert(time) > within {
                    break;
                }
                *count += 1;
                last = time;
            }
        }
        counts.map(|count| vec![json!(count)]).to_vec()
    };
    for (range, within) in [((0, 56), 56), ((7, 14), 7), ((3, 50), 1)] {
        let question = json!({
            "from": "t", "by": "user", "steps": ["name='view'", "name='cart'", "name='buy'"], "within": format!("{within}d"),
            "range": {"from": from_start(range.0), "to": from_start(range.1)}, "cache": false,
        });
        list.push(("funnel", question, counts(start + range.0 * DAY, start + range.1 * DAY, within * DAY)));
    }

    let mut cells: BTreeMap<(i64, i64), usize> = BTreeMap::new();
    (0..8).for_each(|cohort| cells.extend((0..8 - cohort).map(|period| ((cohort, period), 0))));
    for trail in trails.values() {
        let mut weeks: Vec<i64> =
            trail.iter().map(|e| (e.time - start) / (7 * DAY)).filter(|week| *week < 8).collect();
        weeks.dedup();
        weeks.iter().for_each(|week| *cells.get_mut(&(weeks[0], week - weeks[0])).unwrap() += 1);
    }
    let question =
        json!({"from": "t", "by": "user", "period": "7d", "range": {"from": START, "to": from_start(56)}});
    list.push(("retention", question, cells.values().map(|count| vec![json!(count)]).collect()));

    let mut paths: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for trail in trails.values() {
        let Some(at) = trail.iter().position(|event| event.name == "buy") else { continue };
        let steps: Vec<&str> = trail[..at].iter().filter_map(|event| event.path.as_deref()).collect();
        *paths.entry(steps[steps.len().saturating_sub(2)..].to_vec()).or_default() += 1;
    }
    let mut paths: Vec<(Vec<&str>, usize)> = paths.into_iter().collect();
    paths.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let question = json!({"from": "t", "by": "user", "step": "path", "depth": 2, "before": "name = 'buy'", "limit": 1000});
    list.push(("paths", question, paths.into_iter().map(|(_, count)| vec![json!(count)]).collect()));
    list
}

/// Sessions by the day they start on: how many, their events, pages and seconds, and how many left from where they came.
fn sessions(events: &[Event]) -> Vec<Vec<Value>> {
    let start = micros_of(START).unwrap();
    let mut days: BTreeMap<i64, (i64, i64, i64, f64, i64)> = BTreeMap::new();
    for trail in trails(events).values() {
        for events in trail.chunk_by(|a, b| b.time - a.time <= 20 * 60 * SECOND) {
            let pages: Vec<&String> = events.iter().filter_map(|event| event.path.as_ref()).collect();
            let day = days.entry((events[0].time - start) / DAY).or_default();
            day.0 += 1;
            day.1 += events.len() as i64;
            day.2 += pages.len() as i64;
            day.3 += (events[events.len() - 1].time - events[0].time) as f64 / 1e6;
            day.4 += i64::from(!pages.is_empty() && pages[0] == pages[pages.len() - 1]);
        }
    }
    let row = |(day, (count, events, pages, seconds, same)): (i64, (i64, i64, i64, f64, i64))| {
        vec![json!(from_start(day)), json!(count), json!(events), json!(pages), json!(seconds), json!(same)]
    };
    days.into_iter().filter(|(day, _)| (3..40).contains(day)).map(row).collect()
}

/// Only the counts of a table.
fn counts(table: &Table) -> Vec<Vec<Value>> {
    let at = table.columns.iter().position(|name| name == "count").expect("a column of counts");
    table.rows.iter().map(|row| vec![row[at].clone()]).collect()
}

#[test]
fn generated_events_are_followed_as_a_plain_computation_follows_them() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("windrow.toml"), "seal_rows = 1500\n").unwrap();
    let events = generate();
    let (questions, sessions) = (questions(&events), sessions(&events));
    let by_day = format!(
        "SELECT day(_time), count(*), sum(events), sum(pages), sum(duration_s), count(*) FILTER (WHERE entry = \"exit\") \
         FROM sessions(t, user, '20m', path) WHERE _time >= '{}' AND start < '{}' GROUP BY 1",
        from_start(3),
        from_start(40)
    );
    let ask = |server: &Server| {
        for (kind, question, wanted) in &questions {
            // the second time the numbers of users are at hand
            for _ in 0..2 {
                let reply = server.post(&format!("/v1/{kind}"), question.to_string());
                assert_eq!(reply.status, 200, "{}", reply.text());
                assert_same_rows(&question.to_string(), &counts(&Table::parse(&reply.text())), wanted);
            }
        }
        assert_same_rows("sessions", &server.sql(&by_day).rows, &sessions);
    };
    let server = Server::start(dir.path(), &[]);
    for batch in events.chunks(700) {
        server.accepted("t", batch.iter().map(|event| json_of(event).to_string() + "\n").collect::<String>());
    }
    ask(&server);
    assert_eq!(server.stop(), 0);
    for (kind, question, wanted) in &questions {
        let json = run(dir.path(), &[kind, &question.to_string(), "--json"]).exits(0).stdout;
        assert_same_rows(&question.to_string(), &counts(&Table::parse(&json)), wanted);
    }
    ask(&Server::start(dir.path(), &[]));
}
