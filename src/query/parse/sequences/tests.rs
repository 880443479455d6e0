//! What is read as a sequence analysis or as sessions, and what is refused with which words.

use serde_json::json as j;

use super::*;
use crate::query::parse::{json, sql};
use crate::time::{DAY, HOUR, MINUTE};

fn read(kind: Kind, body: &Json) -> Sequence {
    sequence(kind, body.to_string().as_bytes(), 0).unwrap_or_else(|e| panic!("{body}: {e}"))
}

#[track_caller]
fn assert_refused(kind: Kind, body: &Json, words: &[&str]) {
    let read = sequence(kind, body.to_string().as_bytes(), 0);
    let told = read.map(|q| format!("was read: {q:?}")).unwrap_err();
    assert!(matches!(told, Error::Invalid { .. }), "{told:?}");
    let told = told.to_string();
    words.iter().for_each(|word| assert!(told.contains(word), "{body}: {told} lacks {word}"));
}

fn with(base: &Json, key: &str, value: Json) -> Json {
    let mut body = base.clone();
    body[key] = value;
    body
}

#[test]
fn what_all_of_them_have_is_read_once() {
    let body = j!({
        "from": "e", "by": "lower(user)", "where": "a > 1", "range": {"last": "last 2 weeks"}, "tz": "Europe/Berlin",
        "week_start": "sunday", "cache": false, "step": "path", "depth": 2, "limit": null,
    });
    let read = read(Kind::Paths, &body);
    let events = &read.events;
    assert_eq!((events.from.as_str(), events.by.to_string()), ("e", "lower(user)".into()));
    assert_eq!(events.filter.as_ref().unwrap().to_string(), "a > 1");
    // 1970-01-01 was a Thursday, and Berlin an hour ahead
    assert_eq!((events.range.from, events.range.to), (Some(-18 * DAY - HOUR), Some(-4 * DAY - HOUR)));
    assert!(!events.cache.is_welcome());
    let Analysis::Paths(paths) = read.analysis else { panic!("paths") };
    assert_eq!((paths.depth, paths.limit, paths.collapse), (2, limits::PATHS_DEFAULT, false));
}

#[test]
fn a_funnel_is_read_with_names_for_its_steps() {
    let body =
        j!({"from": "e", "by": "u", "steps": ["a = 1 AS viewed", "b"], "within": "36h", "strict": true});
    let Analysis::Funnel(funnel) = read(Kind::Funnel, &body).analysis else { panic!("a funnel") };
    let names: Vec<&str> = funnel.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!((names, funnel.within_us, funnel.strict), (vec!["viewed", "b"], Some(36 * HOUR), true));
}

#[test]
fn a_funnel_that_is_none_is_refused_by_its_part() {
    let base = j!({"from": "e", "by": "u", "steps": ["a", "b"]});
    for (body, words) in [
        (j!([1]), &["a funnel is a JSON object", "\"steps\""][..]),
        (j!({}), &["/from: it is missing"]),
        (j!({"from": "e"}), &["/by: it is missing", "\"user_id\""]),
        (j!({"from": "e", "by": "u"}), &["/steps: it is missing"]),
        (with(&base, "stps", j!([])), &["/stps: there is no such key", "did you mean \"steps\""]),
        (with(&base, "period", j!("7d")), &["/period: there is no such key"]),
        (with(&base, "steps", j!([])), &["/steps: it is missing"]),
        (with(&base, "steps", j!("a")), &["/steps: an array of texts is expected"]),
        (with(&base, "steps", j!(["a", 1])), &["/steps/1: a text is expected, a number was sent"]),
        (with(&base, "steps", j!(["a", "b ="])), &["/steps/1: cannot read the expression"]),
        (with(&base, "steps", j!(["count(*) > 3"])), &["/steps/0", "aggregate"]),
        (with(&base, "steps", j!(["*"])), &["/steps/0", "* stands alone"]),
        (with(&base, "steps", j!(vec!["a"; 1_000])), &["1000 steps; 64 is the limit"]),
        (with(&base, "within", j!("0s")), &["/within: \"0s\" is no duration", "7d"]),
        (with(&base, "within", j!("-7d")), &["/within: \"-7d\" is no duration"]),
        (with(&base, "within", j!("a week")), &["/within"]),
        (with(&base, "within", j!("99999999999999999w")), &["/within"]),
        (with(&base, "within", j!(7)), &["/within: a text is expected, a number was sent"]),
        (with(&base, "strict", j!("yes")), &["/strict: true or false is expected"]),
        (with(&base, "by", j!(["u"])), &["/by: a text is expected, an array was sent"]),
        (with(&base, "by", j!("count(*)")), &["/by", "aggregate"]),
        (with(&base, "by", j!("explode(tags)")), &["/by", "one value an event"]),
        (with(&base, "steps", j!(["explode(tags) = 'a'"])), &["/steps/0", "one value an event"]),
        (with(&base, "by", j!("u, v")), &["/by: cannot read the expression"]),
        (with(&base, "where", j!("count(*) > 1")), &["/where", "aggregate"]),
        (with(&base, "range", j!({"last": "tody"})), &["/range/last", "did you mean \"today\""]),
        (with(&base, "range", j!({"from": "2026-02-01", "to": "2026-01-01"})), &["/range", "swap"]),
        (with(&base, "tz", j!("Europe/Berln")), &["/tz", "did you mean \"Europe/Berlin\""]),
        (with(&base, "cache", j!("no")), &["/cache"]),
    ] {
        assert_refused(Kind::Funnel, &body, words);
    }
    let large = format!("{{\"from\": \"{}\"}}", "x".repeat(2 << 20));
    assert!(sequence(Kind::Funnel, large.as_bytes(), 0).unwrap_err().to_string().contains("the limit"));
    assert!(sequence(Kind::Funnel, b"{", 0).unwrap_err().to_string().contains("no JSON"));
}

#[test]
fn retention_and_paths_that_are_none_are_refused_by_their_part() {
    let base = j!({"from": "e", "by": "u", "period": "7d"});
    for (body, words) in [
        (j!({"from": "e", "by": "u"}), &["/period: it is missing", "week"][..]),
        (with(&base, "period", j!("0d")), &["/period: \"0d\" is no period", "7d"]),
        (with(&base, "period", j!("-1d")), &["/period"]),
        (with(&base, "period", j!("weeks")), &["/period", "did you mean \"week\""]),
        (with(&base, "period", j!(7)), &["/period: a text is expected"]),
        (with(&base, "start", j!("sum(a) > 1")), &["/start", "aggregate"]),
        (with(&base, "return", j!("a >")), &["/return"]),
        (with(&base, "returns", j!("a")), &["/returns", "did you mean \"return\""]),
    ] {
        assert_refused(Kind::Retention, &body, words);
    }
    let base = j!({"from": "e", "by": "u", "step": "path", "depth": 3});
    for (body, words) in [
        (j!({"from": "e", "by": "u", "depth": 3}), &["/step: it is missing"][..]),
        (j!({"from": "e", "by": "u", "step": "path"}), &["/depth: it is missing"]),
        (with(&base, "depth", j!(0)), &["/depth: a whole number from 1 to 32 is expected, 0 was sent"]),
        (with(&base, "depth", j!(33)), &["/depth", "33 was sent"]),
        (with(&base, "depth", j!(-1)), &["/depth", "-1"]),
        (with(&base, "depth", j!("3")), &["/depth", "a text was sent"]),
        (with(&base, "limit", j!(0)), &["/limit: a whole number from 1 to"]),
        (with(&base, "limit", j!(2_000_000)), &["/limit", "2000000 was sent"]),
        (with(&base, "step", j!("max(a)")), &["/step", "aggregate"]),
        (with(&base, "collapse", j!(1)), &["/collapse"]),
        (
            with(&with(&base, "after", j!("a")), "before", j!("b")),
            &["/before", "leave \"after\" or \"before\" out"],
        ),
        (with(&base, "after", j!("")), &["/after", "empty"]),
    ] {
        assert_refused(Kind::Paths, &body, words);
    }
}

fn of_query(query: crate::query::language::Query) -> (String, String, i64, [Option<String>; 2]) {
    let sessions = query.sessions.expect("sessions");
    let texts = [sessions.page, sessions.filter].map(|e| e.map(|e| e.to_string()));
    (query.from, sessions.by.name, sessions.gap_us, texts)
}

#[test]
fn sessions_are_the_same_in_json_and_in_sql() {
    let as_json = |sessions: Json| {
        let body = j!({"from": "e", "sessions": sessions, "select": ["count()"]}).to_string();
        of_query(json(body.as_bytes(), 0).unwrap_or_else(|e| panic!("{body}: {e}")))
    };
    let as_sql = |table: &str| {
        of_query(
            sql(&format!("SELECT count(*) FROM {table}"), &[]).unwrap_or_else(|e| panic!("{table}: {e}")),
        )
    };
    for (table, sessions) in [
        ("sessions(e, u)", j!({"by": "u"})),
        ("SESSIONS(e, e.u, NULL) AS s", j!({"by": "u", "gap": null})),
        ("sessions(e, u, '5m')", j!({"by": "u", "gap": "5m"})),
        ("sessions(e, upper(u), '1d', path) s", j!({"by": "upper(u)", "gap": "1d", "page": "path"})),
        ("sessions(e, u, NULL, NULL, a > 1)", j!({"by": "u", "where": "a > 1"})),
    ] {
        assert_eq!(as_sql(table), as_json(sessions), "{table}");
    }
    assert_eq!(as_sql("sessions(e, u)").2, 30 * MINUTE);
    assert_eq!(as_json(j!({"by": "lower(u) AS who"})).1, "who");
    assert!(
        sql("SELECT sessions FROM sessions", &[]).unwrap().sessions.is_none(),
        "a dataset may be called so"
    );
    let named = sql("SELECT s.entry FROM sessions(e, u) AS s WHERE s.events > 1", &[]).unwrap();
    assert_eq!(named.filter.unwrap().to_string(), "events > 1");
    let parameter = sql("SELECT count(*) FROM sessions(e, u, ?, path, a = ?)", &[j!("5m"), j!(7)]).unwrap();
    assert_eq!(of_query(parameter).3[1].as_deref(), Some("a = 7"));
}

#[test]
fn sessions_that_are_none_are_refused() {
    for (sessions, words) in [
        (j!("user_id"), &["/sessions: an object such as"][..]),
        (j!({}), &["/sessions/by: it is missing"]),
        (j!({"by": "u", "gab": "5m"}), &["/sessions/gab", "did you mean \"gap\""]),
        (j!({"by": "u", "gap": "0m"}), &["/sessions/gap: \"0m\" is no duration"]),
        (j!({"by": "u", "gap": 30}), &["/sessions/gap: a text is expected"]),
        (j!({"by": "count(*)"}), &["/sessions/by", "aggregate"]),
        (j!({"by": "explode(tags)"}), &["/sessions/by", "one value an event"]),
        (j!({"by": "u", "page": "explode(tags)"}), &["/sessions/page", "one value an event"]),
        (j!({"by": "u", "page": "max(p)"}), &["/sessions/page", "aggregate"]),
        (j!({"by": "u", "where": "a ="}), &["/sessions/where"]),
    ] {
        let body = j!({"from": "e", "sessions": sessions, "select": ["count()"]}).to_string();
        let told = json(body.as_bytes(), 0).map(|_| ()).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(told.contains(word), "{body}: {told} lacks {word}"));
    }
    for (table, word) in [
        ("sessions()", "first argument"),
        ("sessions('e', u)", "first argument"),
        ("sessions(e)", "sessions(dataset, by"),
        ("sessions(e, NULL)", "sessions(dataset, by"),
        ("sessions(e, u, '5m', p, a, b)", "sessions(dataset, by"),
        ("sessions(e, u, 30)", "30 is no gap"),
        ("sessions(e, u, '0m')", "'0m' is no gap"),
        ("sessions(e, *)", "sessions(dataset, by"),
        ("sessions(e, count(*))", "aggregate"),
        ("sessions(e, explode(tags))", "explode"),
        ("visits(e, u)", "table functions other than sessions"),
    ] {
        let told = sql(&format!("SELECT count(*) FROM {table}"), &[])
            .map(|q| format!("{q:?}"))
            .unwrap_err()
            .to_string();
        assert!(told.contains(word), "{table}: {told}");
    }
}
