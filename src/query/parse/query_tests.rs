//! SQL and JSON queries: what is read, what is refused and how.

use serde_json::json as j;

use super::*;
use crate::cache::class::Use;
use crate::query::language::{Query, Question, Range};
use crate::time;

fn query(text: &str) -> Query {
    sql(text, &[]).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn sql_refusal(text: &str) -> String {
    sql(text, &[]).map(|q| format!("was read: {q:?}")).unwrap_err().to_string()
}

fn texts<'a>(expressions: impl IntoIterator<Item = &'a Expr>) -> Vec<String> {
    expressions.into_iter().map(ToString::to_string).collect()
}

#[test]
fn a_select_reads_into_a_query() {
    let q = query(
        "SELECT DISTINCT e.country, date_trunc('day', ts) AS d, count( * ), sum(x+1) \"Sum\" FROM \"events\" AS e \
         WHERE events.x > 1 AND props.plan = 'pro' GROUP BY 1, d HAVING count( * ) > 3 AND d > '2026-01-01' \
         ORDER BY 3 DESC NULLS FIRST, d, lower(country) ASC LIMIT 10 OFFSET 20;",
    );
    assert_eq!(q.from, "events");
    assert_eq!(
        q.select.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(),
        ["country", "d", "count( * )", "Sum"]
    );
    assert_eq!(
        texts(q.select.iter().map(|i| &i.expression)),
        ["country", "day(ts)", "count(*)", "sum(x + 1)"]
    );
    assert_eq!(q.filter.unwrap().to_string(), "x > 1 AND \"props.plan\" = 'pro'");
    assert_eq!(texts(&q.by), ["country", "day(ts)"]);
    assert_eq!(q.having.unwrap().to_string(), "count(*) > 3 AND day(ts) > '2026-01-01'");
    let order: Vec<_> =
        q.order.iter().map(|o| (o.expression.to_string(), o.descending, o.nulls_first)).collect();
    assert_eq!(
        order,
        [
            ("count(*)".into(), true, true),
            ("day(ts)".into(), false, false),
            ("lower(country)".into(), false, false)
        ]
    );
    assert_eq!(
        (q.limit, q.offset, q.distinct, q.all_fields, q.cache),
        (Some(10), 20, true, false, Use::Exact)
    );
}

#[test]
fn stars_and_group_by_all() {
    assert!(query("SELECT * FROM e LIMIT 3").all_fields);
    assert!(query("select x.* from e x").all_fields);
    // more than all fields is for SQLite
    let more = super::statement("SELECT *, a FROM e", &[]).unwrap();
    assert!(matches!(more.question, Question::Relational(_)));
    assert!(sql_refusal("SELECT * EXCLUDE (a) FROM e").contains("EXCLUDE"));
    let q = query("SELECT a, lower(b), count(*) FROM e GROUP BY ALL");
    assert_eq!(texts(&q.by), ["a", "lower(b)"]);
}

#[test]
fn names_mean_output_columns_once() {
    // the alias stands for lower(name), also where that is written out again
    let q = query(
        "SELECT lower(name) AS name, count(*) n FROM e GROUP BY name HAVING lower(name) > 'a' ORDER BY n + 1",
    );
    assert_eq!(texts(&q.by), ["lower(name)"]);
    assert_eq!(q.having.unwrap().to_string(), "lower(name) > 'a'");
    assert_eq!(q.order[0].expression.to_string(), "count(*) + 1");
    // in an aggregate, names are fields
    let q = query("SELECT a, sum(x) AS x FROM e GROUP BY a ORDER BY max(x), x");
    assert_eq!(texts(q.order.iter().map(|o| &o.expression)), ["max(x)", "sum(x)"]);
    // IS DISTINCT FROM is no FROM
    let q = query("SELECT a is distinct from b, count(*) FROM e");
    assert_eq!(q.select[0].name, "a is distinct from b");
    assert_eq!(q.select[1].name, "count(*)");
}

#[test]
fn parameters_are_bound_as_constants() {
    let q = sql(
        "SELECT ? + 1, a FROM e WHERE b = ? AND c IN (?, ?) LIMIT ?",
        &[j!(7), j!("x'y"), j!(null), j!(1.5), j!(9)],
    )
    .unwrap();
    assert_eq!(q.select[0].expression.to_string(), "7 + 1");
    assert_eq!(q.filter.unwrap().to_string(), "b = 'x''y' AND c IN (NULL, 1.5)");
    assert_eq!(q.limit, Some(9));
    for text in ["SELECT a FROM e WHERE a = ?2 OR b = ?1", "SELECT a FROM e WHERE a = $2 OR b = $1"] {
        let q = sql(text, &[j!(true), j!(["x", "y"])]).unwrap();
        assert_eq!(q.filter.unwrap().to_string(), "a = CAST('[\"x\",\"y\"]' AS strings) OR b = TRUE");
    }
    for (text, count, wanted) in [
        ("SELECT a FROM e WHERE a = ?", 0, "the SQL has 1 parameter, but 0 values are given"),
        ("SELECT a FROM e", 1, "0 parameters, but 1 value is given"),
        ("SELECT a FROM e WHERE a = ? AND b = ?1", 1, "do not mix"),
        ("SELECT a FROM e WHERE a = $x", 0, "there is no parameter $x"),
    ] {
        let message = sql(text, &vec![j!(1); count]).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(wanted), "{text}: {message}");
    }
}

#[test]
fn sql_that_is_not_answered_is_refused_by_name() {
    for (text, wanted) in [
        ("SELECT a FROM (x JOIN y ON x.i = y.i)", "joins in parentheses"),
        ("SELECT a FROM x CROSS APPLY y", "joins other than"),
        ("SELECT a FROM x, LATERAL (SELECT 1)", "LATERAL"),
        ("SELECT a FROM e UNION ALL BY NAME SELECT b FROM f", "BY NAME"),
        ("SELECT a FROM e INTERSECT ALL SELECT b FROM f", "INTERSECT ALL"),
        ("SELECT row_number() FROM e", "write row_number(..) OVER (ORDER BY ..)"),
        ("SELECT sum(a) OVER w FROM e", "there is no window \"w\""),
        ("SELECT a FROM e WHERE sum(a) OVER () > 1", "filter by it around a subquery"),
        ("SELECT lag(a, 1, 2, 3) OVER (ORDER BY a) FROM e", "lag() takes 1 to 3 arguments"),
        ("SELECT lower(a) OVER () FROM e", "lower() is no aggregate and no window function"),
        ("SELECT sum(sum(a) OVER ()) OVER () FROM e", "a window function stands in SELECT"),
        ("SELECT *, a FROM e ORDER BY 2", "ORDER BY cannot count columns beside *"),
        ("VALUES (1), (2, 3)", "equally long"),
        ("EXPLAIN", "EXPLAIN needs a SELECT"),
        ("EXPLAIN ANALYZE SELECT 1", "ask without it"),
        ("EXPLAIN (FORMAT duckbd) SELECT a FROM e", "did you mean \"duckdb\""),
        ("EXPLAIN (COSTS) SELECT a FROM e", "EXPLAIN (FORMAT name) takes one of sqlite, duckdb, clickhouse"),
        ("EXPLAIN DROP TABLE e", "only SELECT is allowed"),
        ("WITH x AS (DELETE FROM e RETURNING *) SELECT * FROM x", "only SELECT is allowed"),
        ("SELECT a FROM x JOIN y ON", "column 26"),
        ("ATTACH 'x' AS y", "only SELECT is allowed"),
        ("SELECT a FROM e; SELECT b FROM e", "one statement at a time"),
        ("INSERT INTO e VALUES (1)", "only SELECT is allowed, this begins with \"INSERT\""),
        ("drop table e", "only SELECT is allowed"),
        ("PRAGMA journal_mode", "only SELECT is allowed"),
        ("SELECT a FROM main.e", "main.e is no dataset"),
        ("SELECT a FROM generate_series(1, 2)", "table functions"),
        ("SELECT a INTO b FROM e", "writes (INTO)"),
        ("SELECT DISTINCT ON (a) a FROM e", "DISTINCT ON"),
        ("SELECT a FROM e FETCH FIRST 3 ROWS ONLY", "FETCH"),
        ("SELECT a FROM e FOR UPDATE", "FOR clauses"),
        ("SELECT a FROM e WHERE count(*) > 1", "count() is an aggregate and cannot stand here"),
        ("SELECT a FROM e GROUP BY 2", "GROUP BY 2 names no column: there are 1"),
        ("SELECT a, count(*) n FROM e GROUP BY n", "GROUP BY cannot hold an aggregate, and this is count(*)"),
        ("SELECT a FROM e ORDER BY ALL", "ORDER BY ALL"),
        ("SELECT a FROM e ORDER BY 0", "ORDER BY 0 names no column"),
        ("SELECT a FROM e LIMIT -1", "LIMIT takes a whole number from 0 on"),
        ("SELECT a FROM e LIMIT x", "LIMIT takes a whole number"),
        ("SELECT a\nFROM e\nWHERE a ==== 1", "line 3, column"),
        ("SELECT a FRM e", "column 14"),
        ("SELECT FROM e", "column 8"),
    ] {
        let message = sql_refusal(text);
        assert!(message.contains(wanted), "{text}\n  said   {message}\n  wanted {wanted}");
    }
}

/// Each on a thread with half as much stack as those of the server have; what a build without optimisation takes is more.
#[test]
fn selects_nest_as_deep_as_the_stack_bears() {
    let all = |n: usize| {
        [
            format!("{}SELECT a FROM t{}", "SELECT * FROM (".repeat(n), ") x".repeat(n)),
            format!("SELECT 1 WHERE {}a > 0{}", "EXISTS (SELECT 1 FROM t WHERE ".repeat(n), ")".repeat(n)),
            format!(
                "SELECT a FROM t WHERE {}a > 0{}",
                "a IN (SELECT a FROM t WHERE NOT ".repeat(n),
                ")".repeat(n)
            ),
            format!("{}SELECT 1{}", "WITH x AS (".repeat(n), ") SELECT a FROM x".repeat(n)),
            format!("{}SELECT a FROM t{}", "(".repeat(n), " UNION SELECT a + 1 FROM t)".repeat(n)),
            format!("SELECT {}1{}", "(SELECT max(a) + ".repeat(n), ")".repeat(n)),
        ]
    };
    for text in all(23) {
        let read = std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || statement(&text, &[]).map(|_| ()).map_err(|error| format!("{text}: {error}")));
        read.unwrap().join().unwrap().unwrap();
    }
    for n in [25, 62, 63] {
        for text in all(n) {
            assert!(statement(&text, &[]).unwrap_err().to_string().contains("SELECTs nest deeper"), "{text}");
        }
    }
}

#[test]
fn the_benchmark_questions_are_read() {
    let week = "ts >= '2026-03-25T00:00:00Z' AND ts < '2026-04-01T00:00:00Z'";
    for text in [
        "SELECT count(*) FROM events".to_owned(),
        format!("SELECT count(*) FROM events WHERE project='proj_02' AND {week}"),
        format!("SELECT date_trunc('hour', ts) h, count(*) FROM events WHERE project='proj_02' AND {week} GROUP BY h ORDER BY h"),
        "SELECT date_trunc('day', ts) d, count(*), count(DISTINCT user_id) FROM events GROUP BY d ORDER BY d".into(),
        format!("SELECT path, count(*) c FROM events WHERE project='proj_00' AND {week} GROUP BY path ORDER BY c DESC, path LIMIT 10"),
        format!("SELECT referrer, count(DISTINCT user_id) u FROM events WHERE {week} GROUP BY referrer ORDER BY u DESC, referrer LIMIT 10"),
        "SELECT browser, quantile(duration_ms,0.5), quantile(duration_ms,0.95), quantile(duration_ms,0.99) FROM events GROUP BY browser ORDER BY browser".into(),
        "SELECT country, device, count(*), avg(duration_ms) FROM events GROUP BY country, device ORDER BY country, device".into(),
        "SELECT count(*), sum(value) FROM events WHERE country='DE' AND browser='Chrome' AND device='desktop'".into(),
        "SELECT user_id, count(*) c, sum(duration_ms) FROM events GROUP BY user_id ORDER BY c DESC, user_id LIMIT 100".into(),
        "SELECT date_trunc('day', ts) d, count(*) FROM events WHERE path LIKE '%cing-a%' GROUP BY d ORDER BY d".into(),
        format!("SELECT \"props.plan\" p, count(*), avg(duration_ms) FROM events WHERE {week} GROUP BY p ORDER BY p"),
        "SELECT name, min(path), count(*) c FROM events WHERE path LIKE '%sqlite%' AND referrer <> '(direct)' GROUP BY name ORDER BY c DESC, name LIMIT 10".into(),
        "SELECT user_id, path, count(*) c FROM events GROUP BY user_id, path HAVING count(*) > 12 ORDER BY c DESC, user_id, path LIMIT 20".into(),
    ] {
        let query = query(&text);
        assert_eq!(query.from, "events");
        assert!(query.order.iter().all(|o| query.select.iter().any(|i| i.expression == o.expression)), "{text}");
        assert!(query.by.iter().all(|key| query.select.iter().any(|i| i.expression == *key)), "{text}");
    }
    for text in ["project='proj_02'", "name='pageview'", "name='add_to_cart'", "name='purchase'"] {
        assert!(filter(text).is_ok(), "{text}");
    }
}

#[test]
fn a_json_query_reads_as_the_contract_shows_it() {
    let body = br#"{"from": "pageviews",
        "select": ["count()", "uniq(user_id) as users", "p95(duration_ms)"],
        "by": ["country", "day(_time)"],
        "where": "project = 'docs' and device <> 'bot'",
        "range": {"last": "30d"}, "tz": "Europe/Berlin",
        "having": "count() > 10", "order": ["-count()", "users", "-day(_time)"], "limit": 10, "offset": 5,
        "fill": true, "compare": "previous", "week_start": "sunday", "cache": false, "distinct": true}"#;
    let q = json(body, 100 * time::DAY).unwrap();
    let names: Vec<_> = q.select.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["country", "day(_time)", "count()", "users", "p95(duration_ms)"]);
    assert_eq!(texts(&q.by), ["country", "day(_time)"]);
    assert_eq!(q.range, Range::between(70 * time::DAY, 100 * time::DAY, time::Step::Exact(30 * time::DAY)));
    assert_eq!(q.calendar.tz.iana_name(), Some("Europe/Berlin"));
    assert_eq!(q.calendar.week_start, jiff::civil::Weekday::Sunday);
    assert!(q.fill && q.compare);
    assert_eq!(q.having.unwrap().to_string(), "count(*) > 10");
    let order: Vec<_> = q.order.iter().map(|o| (o.expression.to_string(), o.descending)).collect();
    assert_eq!(
        order,
        [("count(*)".into(), true), ("uniq(user_id)".into(), false), ("day(_time)".into(), true)]
    );
    assert_eq!(
        (q.limit, q.offset, q.cache, q.distinct, q.all_fields),
        (Some(10), 5, Use::Never, true, false)
    );

    let q =
        json(br#"{"from": "e", "range": {"from": "2026-01-01", "to": "2026-02-01T00:00:00Z"}}"#, 0).unwrap();
    assert!(q.all_fields && q.cache == Use::Exact);
    assert_eq!(q.range.from, time::parse("2026-01-01"));
    assert_eq!(q.range.to, time::parse("2026-02-01"));
    assert_eq!(q.range.step, Some(time::Step::Months(1)));
    assert!(!q.fill && !q.compare);

    let q = json(br#"{"from": "e", "range": "yesterday", "tz": "Asia/Kathmandu"}"#, time::DAY).unwrap();
    assert_eq!(q.range.to.map(time::format).as_deref(), Some("1970-01-01T18:30:00Z"));
    let q = json(br#"{"from": "e", "range": {"from": "2026-03-01"}, "tz": "+02:00"}"#, 0).unwrap();
    assert_eq!((q.range.from, q.range.to), (time::parse("2026-02-28T22:00:00Z"), None));
}

#[test]
fn json_refusals_point_at_the_place() {
    for (body, wanted) in [
        (r#"{"from": "e""#, "the query is no JSON: EOF"),
        (r#"[]"#, "a query is a JSON object"),
        (r#"{"select": ["count()"]}"#, "the query has no \"from\""),
        (r#"{"from": 7}"#, "/from: a text is expected, a number was sent"),
        (r#"{"from": "e", "slect": []}"#, "/slect: there is no such key; did you mean \"select\""),
        (r#"{"from": "e", "select": ["count()", 7]}"#, "/select/1: a text is expected, a number was sent"),
        (
            r#"{"from": "e", "select": {"a": 1}}"#,
            "/select: an array of texts is expected, an object was sent",
        ),
        (r#"{"from": "e", "select": ["a", "b +"]}"#, "/select/1: cannot read the expression at column 4"),
        (r#"{"from": "e", "by": ["count()"]}"#, "/by/0: \"count()\" is an aggregate"),
        (r#"{"from": "e", "where": "sum(a) > 1"}"#, "/where: cannot read the expression at column 1"),
        (r#"{"from": "e", "having": "("}"#, "/having: "),
        (r#"{"from": "e", "order": ["-"]}"#, "/order/0: the expression is empty"),
        (r#"{"from": "e", "limit": -1}"#, "/limit: a whole number from 0 on is expected, -1 was sent"),
        (r#"{"from": "e", "limit": "5"}"#, "/limit: a whole number from 0 on is expected, a text was sent"),
        (r#"{"from": "e", "cache": 1}"#, "/cache: it is true, false, a span of time"),
        (
            r#"{"from": "e", "tz": "Europe/Berln"}"#,
            "/tz: there is no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\"",
        ),
        (r#"{"from": "e", "range": 7}"#, "/range: an object such as"),
        (r#"{"from": "e", "range": "tody"}"#, "/range: \"tody\" is no time span; did you mean \"today\""),
        (r#"{"from": "e", "range": {"last": "7 days"}}"#, "/range/last: \"7 days\" is no time span"),
        (r#"{"from": "e", "week_start": "sonntag"}"#, "/week_start: \"sonntag\" is no day of the week"),
        (
            r#"{"from": "e", "tz": "Europe/Berlin", "range": {"from": "2026-10-25 02:30"}}"#,
            "/range/from: the clock of Europe/Berlin shows 2026-10-25 02:30 twice",
        ),
        (r#"{"from": "e", "range": {"last": "7d", "to": "2026-01-01"}}"#, "\"last\" stands alone"),
        (r#"{"from": "e", "range": {"since": "7d"}}"#, "/range/since: there is no such key"),
        (r#"{"from": "e", "range": {"from": "soon"}}"#, "/range/from: \"soon\" is not a time"),
        (
            r#"{"from": "e", "range": {"from": "2026-02-01", "to": "2026-01-01"}}"#,
            "\"from\" lies after \"to\"",
        ),
        (r#"{"from": "e", "fill": "yes"}"#, "/fill: true or false is expected"),
        (r#"{"from": "e", "compare": "year"}"#, "/compare: \"year\" is no period to compare with"),
        (r#"{"from": "e", "compare": true}"#, "/compare: true is no period"),
    ] {
        let message = json(body.as_bytes(), 0).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(wanted), "{body}\n  said   {message}\n  wanted {wanted}");
    }
}
