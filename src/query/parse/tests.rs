//! What is read and what is refused, in tables; and that no text whatever does harm.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json as j;

use super::*;
use crate::query::language::{Query, Range};
use crate::time;
use crate::value::Value;

fn read(text: &str) -> String {
    expression(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
}

fn refusal(text: &str) -> String {
    match expression(text) {
        Ok(read) => panic!("{text} was read as {read}"),
        Err(error) => error.to_string(),
    }
}

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
fn expressions_read_into_their_canonical_form() {
    for (text, canonical) in [
        ("a", "a"),
        ("\"props.plan\"", "\"props.plan\""),
        ("props.plan = 'pro'", "\"props.plan\" = 'pro'"),
        ("a=1 and b<>'it''s' or not c", "a = 1 AND b <> 'it''s' OR NOT c"),
        ("a != 1", "a <> 1"),
        ("'a\\n'", "'a\\n'"),
        ("1 + 2 * 3", "1 + 2 * 3"),
        ("(1 + 2) * 3", "(1 + 2) * 3"),
        ("a - (b - c)", "a - (b - c)"),
        ("a - b - c", "a - b - c"),
        ("a // 2 % 3", "a // 2 % 3"),
        ("-a", "-a"),
        ("- 5", "-5"),
        ("-(5)", "-(5)"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9.223372036854776e18"),
        ("1e3", "1000.0"),
        (".5", "0.5"),
        ("+a", "a"),
        ("a || 'x' || b", "a || 'x' || b"),
        ("a between 1 and 3", "a >= 1 AND a <= 3"),
        ("a not between 1 and 3", "NOT (a >= 1 AND a <= 3)"),
        ("a in (1, 2, null)", "a IN (1, 2, NULL)"),
        ("a not in ('x')", "a NOT IN ('x')"),
        ("a in ()", "a IN ()"),
        ("a is null", "a IS NULL"),
        ("a is not null", "a IS NOT NULL"),
        ("a is true", "CASE WHEN a THEN TRUE ELSE FALSE END"),
        ("a is not false", "CASE WHEN NOT a THEN FALSE ELSE TRUE END"),
        ("a is distinct from b", "a IS DISTINCT FROM b"),
        ("a is not distinct from b and c", "a IS NOT DISTINCT FROM b AND c"),
        ("a like 'x%'", "a LIKE 'x%'"),
        ("a not ilike '%!%%' escape '!'", "a NOT ILIKE '%!%%' ESCAPE '!'"),
        ("a regexp '^x'", "a REGEXP '^x'"),
        ("a not regexp '^x'", "a NOT REGEXP '^x'"),
        ("case when a then 1 else 2 end", "CASE WHEN a THEN 1 ELSE 2 END"),
        ("case a when 1 then 'x' when 2 then 'y' end", "CASE WHEN a = 1 THEN 'x' WHEN a = 2 THEN 'y' END"),
        ("cast(a as integer)", "CAST(a AS int)"),
        ("a::double", "CAST(a AS float)"),
        ("a::timestamp", "CAST(a AS time)"),
        ("try_cast(a as text)", "CAST(a AS string)"),
        ("a::date", "day(CAST(a AS time))"),
        ("cast('[\"a\"]' as strings)", "CAST('[\"a\"]' AS strings)"),
        ("date '2026-03-01'", "TIMESTAMP '2026-03-01T00:00:00Z'"),
        ("timestamp '2026-03-01 10:00:00'", "TIMESTAMP '2026-03-01T10:00:00Z'"),
        ("date_trunc('DAY', ts)", "day(ts)"),
        ("DATE_TRUNC('hours', ts)", "hour(ts)"),
        ("date_trunc(unit, ts)", "date_trunc(unit, ts)"),
        ("extract(year from ts)", "extract(year FROM ts)"),
        ("extract('dow' from ts)", "extract(dow FROM ts)"),
        ("date_part('dayofweek', ts)", "extract(dow FROM ts)"),
        ("date_part(part, ts)", "date_part(part, ts)"),
        ("substring(a from 2 for 3)", "substr(a, 2, 3)"),
        ("substr(a, -2)", "substr(a, -2)"),
        ("trim(a)", "trim(a)"),
        ("trim(leading 'x' from a)", "ltrim(a, 'x')"),
        ("trim(a, 'x')", "trim(a, 'x')"),
        ("ceil(a) + floor(b)", "ceil(a) + floor(b)"),
        ("ifnull(a, 0)", "coalesce(a, 0)"),
        ("replace(a, 'x', 'y')", "replace(a, 'x', 'y')"),
        ("COUNT(*)", "count(*)"),
        ("count()", "count(*)"),
        ("count(a)", "count(a)"),
        ("count(distinct a)", "uniq(a)"),
        ("uniq(a)", "uniq(a)"),
        ("mean(a)", "avg(a)"),
        ("p95(a)", "quantile(a, 0.95)"),
        ("p5(a)", "quantile(a, 0.05)"),
        ("p999(a)", "quantile(a, 0.999)"),
        ("median(a)", "quantile(a, 0.5)"),
        ("quantile(a, 1)", "quantile(a, 1.0)"),
        ("sum(a) filter (where b > 1) / count(*)", "sum(a) FILTER (WHERE b > 1) / count(*)"),
        ("name = 'x' and path = 'y' and user = 'z' and day = 1", "name = 'x' AND path = 'y' AND user = 'z' AND day = 1"),
        ("größe > 3 -- note", "\"größe\" > 3"),
        ("true and /* so */ false", "TRUE AND FALSE"),
    ] {
        let printed = read(text);
        assert_eq!(printed, canonical, "{text}");
        assert_eq!(read(&printed), canonical, "{text}, read again");
    }
}

#[test]
fn refusals_say_what_and_where() {
    for (text, wanted) in [
        ("", "the expression is empty"),
        ("  -- only a note", "the expression is empty"),
        ("a +", "at column 4: expected an expression, found its end"),
        ("a = = 1", "cannot read the expression at column 5: expected an expression, found ="),
        ("a b", "at column 3"),
        ("(a", "at column 3: expected ), found its end"),
        ("a = 'x", "at column 5: Unterminated string literal"),
        ("a\n  = contry(b)", "line 2, column 5"),
        ("lowr(a)", "at column 1: there is no function \"lowr\"; did you mean \"lower\""),
        ("lower(a, b)", "lower() takes one argument, 2 given"),
        ("substr(a)", "substr() takes 2 to 3 arguments"),
        ("1 + sum(avg(a))", "at column 9: avg() is an aggregate and cannot stand in another"),
        ("sum(a) filter (where max(b) > 1)", "max() is an aggregate and cannot stand in another"),
        ("first(a)", "first() is not answered yet"),
        ("approx_uniq(a)", "use uniq(x)"),
        ("sum(distinct a)", "sum(DISTINCT ..) is not answered"),
        ("sum(*)", "sum() takes one argument"),
        ("lower(*)", "lower(*) has no meaning"),
        ("min(a, b)", "least(a, b)"),
        ("quantile(a)", "quantile() takes two arguments"),
        ("quantile(a, 95)", "a number from 0 to 1"),
        ("p100(a)", "no function \"p100\""),
        ("sum(a) over (partition by b)", "window functions (OVER) are not answered yet"),
        ("a in (select 1)", "subqueries are not answered yet"),
        ("(select 1)", "subqueries are not answered yet"),
        ("exists (select 1)", "subqueries are not answered yet"),
        ("a = ?", "at column 5: parameters (? or $1) stand in SQL only"),
        ("a ~ 'x'", "the operator ~ is not answered; use REGEXP"),
        ("a -> 'x'", "dotted names"),
        ("a[1]", "dotted names"),
        ("a & 1", "the operator & is not answered"),
        ("interval '1 day'", "intervals are not answered yet"),
        ("ts at time zone 'x'", "AT TIME ZONE is not answered"),
        ("cast(a as decimal(10,2))", "there is no type DECIMAL(10,2)"),
        ("cast(a as blob)", "there is no type BLOB"),
        ("date 'soon'", "'soon' is no time"),
        ("date_trunc('dayy', ts)", "\"dayy\" is no unit that times are cut to; did you mean \"day\""),
        ("extract(yer from ts)", "is no part of a time; did you mean \"year\""),
        ("a like 'x' escape 'yy'", "ESCAPE takes one character"),
        ("1e999", "no number that a float holds"),
        ("x'ff'", "this form of a constant"),
        ("lower(distinct a)", "DISTINCT belongs to aggregates"),
        ("lower(a) filter (where b)", "FILTER belongs to aggregates"),
        ("a.b.c(1)", "there is no function a.b.c"),
        ("*", "column 1"),
        ("(a, b) = (1, 2)", "lists and tuples"),
        ("a; b", "at column 2"),
    ] {
        let message = refusal(text);
        assert!(message.contains(wanted), "{text}\n  said   {message}\n  wanted {wanted}");
    }
    let message = filter("a > 1 and count(*) > 3").unwrap_err().to_string();
    assert!(message.contains("column 11") && message.contains("HAVING"), "{message}");
}

#[test]
fn items_are_named_by_alias_field_or_text() {
    for (text, name) in [
        ("uniq(user_id) as users", "users"),
        ("count( * ) n", "n"),
        (" count( * ) ", "count( * )"),
        ("country", "country"),
        ("\"props.plan\"", "props.plan"),
        ("lower(\"a b\") AS \"A B\"", "A B"),
    ] {
        assert_eq!(item(text).unwrap().name, name, "{text}");
    }
    assert!(item("*").unwrap_err().to_string().contains("* stands alone"));
    assert!(item("a as").is_err());
}

#[test]
fn a_select_reads_into_a_query() {
    let q = query(
        "SELECT DISTINCT e.country, date_trunc('day', ts) AS d, count( * ), sum(x+1) \"Sum\" FROM \"events\" AS e \
         WHERE events.x > 1 AND props.plan = 'pro' GROUP BY 1, d HAVING count( * ) > 3 AND d > '2026-01-01' \
         ORDER BY 3 DESC NULLS FIRST, d, lower(country) ASC LIMIT 10 OFFSET 20;",
    );
    assert_eq!(q.from, "events");
    assert_eq!(q.select.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["country", "d", "count( * )", "Sum"]);
    assert_eq!(texts(q.select.iter().map(|i| &i.expression)), ["country", "day(ts)", "count(*)", "sum(x + 1)"]);
    assert_eq!(q.filter.unwrap().to_string(), "x > 1 AND \"props.plan\" = 'pro'");
    assert_eq!(texts(&q.by), ["country", "day(ts)"]);
    assert_eq!(q.having.unwrap().to_string(), "count(*) > 3 AND day(ts) > '2026-01-01'");
    let order: Vec<_> = q.order.iter().map(|o| (o.expression.to_string(), o.descending, o.nulls_first)).collect();
    assert_eq!(
        order,
        [
            ("count(*)".into(), true, true),
            ("day(ts)".into(), false, false),
            ("lower(country)".into(), false, false)
        ]
    );
    assert_eq!((q.limit, q.offset, q.distinct, q.all_fields, q.cache), (Some(10), 20, true, false, true));
}

#[test]
fn stars_and_group_by_all() {
    assert!(query("SELECT * FROM e LIMIT 3").all_fields);
    assert!(query("select x.* from e x").all_fields);
    assert!(sql_refusal("SELECT *, a FROM e").contains("* stands alone"));
    assert!(sql_refusal("SELECT * EXCLUDE (a) FROM e").contains("column"));
    let q = query("SELECT a, lower(b), count(*) FROM e GROUP BY ALL");
    assert_eq!(texts(&q.by), ["a", "lower(b)"]);
}

#[test]
fn names_mean_output_columns_once() {
    // the alias stands for lower(name), also where that is written out again
    let q = query("SELECT lower(name) AS name, count(*) n FROM e GROUP BY name HAVING lower(name) > 'a' ORDER BY n + 1");
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
    let q = sql("SELECT ? + 1, a FROM e WHERE b = ? AND c IN (?, ?) LIMIT ?", &[j!(7), j!("x'y"), j!(null), j!(1.5), j!(9)])
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
        ("SELECT a FROM x JOIN y ON x.i = y.i", "joins are not answered yet"),
        ("SELECT a FROM x, y", "joins are not answered yet"),
        ("SELECT a FROM (SELECT 1)", "subqueries are not answered yet"),
        ("WITH t AS (SELECT 1) SELECT * FROM t", "common table expressions (WITH) are not answered yet"),
        ("SELECT a FROM e UNION SELECT b FROM f", "set operations (UNION) are not answered yet"),
        ("SELECT row_number() OVER () FROM e", "window functions (OVER)"),
        ("SELECT a FROM e WHERE EXISTS (SELECT 1 FROM f)", "subqueries"),
        ("SELECT a FROM e; SELECT b FROM e", "one statement at a time"),
        ("INSERT INTO e VALUES (1)", "only SELECT is allowed, this begins with \"INSERT\""),
        ("drop table e", "only SELECT is allowed"),
        ("PRAGMA journal_mode", "only SELECT is allowed"),
        ("explain select 1", "only SELECT is allowed"),
        ("SELECT 1", "there is no FROM"),
        ("SELECT a FROM main.e", "main.e is no dataset"),
        ("SELECT a FROM generate_series(1, 2)", "table functions"),
        ("SELECT a INTO b FROM e", "writes (INTO)"),
        ("SELECT DISTINCT ON (a) a FROM e", "DISTINCT ON"),
        ("SELECT a FROM e FETCH FIRST 3 ROWS ONLY", "FETCH"),
        ("SELECT a FROM e FOR UPDATE", "FOR clauses"),
        ("SELECT a FROM e WHERE count(*) > 1", "count() is an aggregate and cannot stand here"),
        ("SELECT a FROM e GROUP BY 2", "GROUP BY 2 names no column: there are 1"),
        ("SELECT a, count(*) n FROM e GROUP BY n", "GROUP BY cannot hold an aggregate, and this is count(*)"),
        ("SELECT a FROM e ORDER BY 0", "ORDER BY 0 names no column"),
        ("SELECT a FROM e LIMIT -1", "LIMIT takes a whole number from 0 on"),
        ("SELECT a FROM e LIMIT x", "LIMIT takes a whole number"),
        ("SELECT a\nFROM e\nWHERE a ==== 1", "line 3, column"),
        ("SELECT a FRM e", "column 14"),
        ("SELECT FROM e", "column 8"),
        ("(SELECT a FROM e)", "without parentheses"),
    ] {
        let message = sql_refusal(text);
        assert!(message.contains(wanted), "{text}\n  said   {message}\n  wanted {wanted}");
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
        "fill": false, "compare": null, "cache": false, "distinct": true}"#;
    let q = json(body, 100 * time::DAY).unwrap();
    let names: Vec<_> = q.select.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["country", "day(_time)", "count()", "users", "p95(duration_ms)"]);
    assert_eq!(texts(&q.by), ["country", "day(_time)"]);
    assert_eq!(q.range, Range { from: Some(70 * time::DAY), to: Some(100 * time::DAY) });
    assert_eq!(q.tz.iana_name(), Some("Europe/Berlin"));
    assert_eq!(q.having.unwrap().to_string(), "count(*) > 10");
    let order: Vec<_> = q.order.iter().map(|o| (o.expression.to_string(), o.descending)).collect();
    assert_eq!(order, [("count(*)".into(), true), ("uniq(user_id)".into(), false), ("day(_time)".into(), true)]);
    assert_eq!((q.limit, q.offset, q.cache, q.distinct, q.all_fields), (Some(10), 5, false, true, false));

    let q = json(br#"{"from": "e", "range": {"from": "2026-01-01", "to": "2026-02-01T00:00:00Z"}}"#, 0).unwrap();
    assert!(q.all_fields && q.cache);
    assert_eq!(q.range.from, time::parse("2026-01-01"));
    assert_eq!(q.range.to, time::parse("2026-02-01"));
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
        (r#"{"from": "e", "select": {"a": 1}}"#, "/select: an array of texts is expected, an object was sent"),
        (r#"{"from": "e", "select": ["a", "b +"]}"#, "/select/1: cannot read the expression at column 4"),
        (r#"{"from": "e", "by": ["count()"]}"#, "/by/0: \"count()\" is an aggregate"),
        (r#"{"from": "e", "where": "sum(a) > 1"}"#, "/where: cannot read the expression at column 1"),
        (r#"{"from": "e", "having": "("}"#, "/having: "),
        (r#"{"from": "e", "order": ["-"]}"#, "/order/0: the expression is empty"),
        (r#"{"from": "e", "limit": -1}"#, "/limit: a whole number from 0 on is expected, -1 was sent"),
        (r#"{"from": "e", "limit": "5"}"#, "/limit: a whole number from 0 on is expected, a text was sent"),
        (r#"{"from": "e", "cache": 1}"#, "/cache: true or false is expected"),
        (r#"{"from": "e", "tz": "Europe/Berln"}"#, "/tz: there is no time zone \"Europe/Berln\"; did you mean \"Europe/Berlin\""),
        (r#"{"from": "e", "range": "7d"}"#, "/range: an object such as"),
        (r#"{"from": "e", "range": {"last": "7 days"}}"#, "/range/last: \"7 days\" is no duration"),
        (r#"{"from": "e", "range": {"last": "7d", "to": "2026-01-01"}}"#, "\"last\" stands alone"),
        (r#"{"from": "e", "range": {"since": "7d"}}"#, "/range/since: there is no such key"),
        (r#"{"from": "e", "range": {"from": "soon"}}"#, "/range/from: \"soon\" is not a time"),
        (r#"{"from": "e", "range": {"from": "2026-02-01", "to": "2026-01-01"}}"#, "\"from\" lies after \"to\""),
        (r#"{"from": "e", "fill": true}"#, "/fill: filling of empty buckets is not answered yet"),
        (r#"{"from": "e", "compare": "previous"}"#, "/compare: "),
    ] {
        let message = json(body.as_bytes(), 0).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(wanted), "{body}\n  said   {message}\n  wanted {wanted}");
    }
}

#[test]
fn hostile_texts_end_soon_and_cleanly() {
    let many = |unit: &str, n: usize| unit.repeat(n);
    let cases: Vec<String> = vec![
        many("(", 1000) + "1" + &many(")", 1000),
        many("(", 60) + "1" + &many(")", 60),
        many("(", 40) + "1",
        many("not ", 2000) + "a",
        many("- ", 2000) + "1",
        many("1+", 100_000) + "1",
        many("1+", 2_400) + "1",
        many("a and ", 2_000) + "a",
        many("a or ", 100_000) + "a",
        many("a ", 4_000),
        many("a.", 4_000) + "a",
        many("case ", 4_000),
        many("case when ", 63),
        many("trim(", 63) + "x",
        many("extract(", 63) + "x",
        many("floor(", 63) + "x",
        many("cast(", 63) + "x",
        many("a in (", 63) + "x",
        many("exists(", 63) + "x",
        many("interval ", 100),
        many("current_time(", 60),
        many("[", 1000),
        many("{", 1000),
        many("a between ", 2_000),
        many("(", 30) + "a" + &many(" between 1 and 2)", 30),
        many("a is null ", 2_000),
        "a".to_owned() + &many(" is null", 2_000),
        "a".to_owned() + &many("::int", 2_000),
        "a in (".to_owned() + &many("1,", 60_000) + "1)",
        "a in (".to_owned() + &many("-1,", 60_000) + "1)",
        many("'", 1001),
        many("\"", 1001),
        many("/*", 1000),
        many("a", 10_000_000),
        "\0".into(),
        many("(a,", 60) + "1",
        many("f(a+", 60) + "1",
        many("x -> ", 200) + "x",
        many("{fn ", 60),
        many("struct<", 60),
        many("array<", 2000),
        many("map(", 60),
    ];
    for text in cases {
        let start = Instant::now();
        let shown = &text[..text.len().min(40)];
        let read = expression(&text);
        if let Ok(read) = &read {
            assert!(read.to_string().len() < 10 * text.len() + 100);
        }
        let _ = sql(&format!("SELECT {text} FROM e"), &[]);
        let _ = sql(&format!("SELECT a FROM {text}"), &[]);
        let _ = sql(&text, &[]);
        assert!(start.elapsed() < Duration::from_secs(5), "{shown}… took {:?}", start.elapsed());
    }
    assert!(expression(&(many("a or ", 1_500) + "a")).is_ok());
    assert!(matches!(expression(&many("a", 10_000_000)), Err(crate::error::Error::TooLarge(_))));
    assert!(refusal(&(many("(", 1000) + "1" + &many(")", 1000))).contains("nests deeper"));
    assert!(refusal(&(many("1+", 100_000) + "1")).contains("in one chain"));
    assert!(refusal(&(many("1+", 2_000) + "1")).contains("nest deeper than 128"));
    assert!(refusal(&(many("(", 30) + "a" + &many(" between 1 and 2)", 30))).contains("too large"));
    let order = vec!["a"; 900].join(",");
    let big = format!("SELECT x IN ({}1) AS a FROM e ORDER BY {order}", many("1,", 50_000));
    assert!(sql_refusal(&big).contains("too large"));
}

/// What reading and evaluating need of the stack must leave room on a thread of ordinary size.
#[test]
fn the_deepest_expression_fits_a_small_stack() {
    let work = || {
        let text = "a + (a * (".repeat(24) + "1" + &"))".repeat(24);
        let sum = "a||".repeat(100) + "a";
        for text in [text, sum, "a or ".repeat(1_500) + "a"] {
            let read = expression(&text).unwrap();
            let context = crate::query::functions::Context::new(jiff::tz::TimeZone::UTC);
            let _ = crate::query::scalar::evaluate(&read, &|_| Value::Int(0), &context);
            assert_eq!(expression(&read.to_string()).unwrap(), read);
        }
        let _ = expression(&("a + ".repeat(2_400) + "a"));
        let _ = expression(&("a".to_owned() + &" is null".repeat(2_400)));
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = expression(&text);
        let _ = item(&text);
        let _ = sql(&text, &[]);
        let _ = json(text.as_bytes(), 0);
    }

    #[test]
    fn no_sequence_of_words_panics(words in proptest::collection::vec(prop::sample::select(WORDS), 0..14)) {
        let text = words.join(" ");
        if let Ok(read) = expression(&text) {
            let printed = read.to_string();
            let again = expression(&printed).map_err(|e| TestCaseError::fail(format!("{text} -> {printed}: {e}")))?;
            prop_assert_eq!(again.to_string(), printed);
        }
        let _ = sql(&format!("SELECT {text} FROM e"), &[]);
        let _ = sql(&format!("SELECT a FROM e WHERE {text}"), &[]);
        let _ = sql(&format!("SELECT a {text}"), &[]);
    }
}

const WORDS: &[&str] = &[
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "a", "b", "\"c d\"", "1", "2.5", "-", "+", "*",
    "/", "//", "%", "||", "=", "<", ">=", "(", ")", ",", "'x'", "AND", "OR", "NOT", "IS", "NULL", "TRUE", "IN", "LIKE",
    "ILIKE", "REGEXP", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "AS", "int", "::", "count", "count(*)",
    "sum(", "lower(", "extract(", "year", "day(", "DISTINCT", "FILTER", "?", "$1", ".", ";", "date", "timestamp",
    "interval", "é", "trim(", "substr(", "ESCAPE", "'!'", "JOIN", "ON", "UNION", "OVER", "ALL", "ANY", "EXISTS", "[", "]",
];
