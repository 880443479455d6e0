//! Expressions: what is read and what is refused, in tables; and that no text whatever does harm.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
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
        // on the clock of a query that is not known yet
        ("date '2026-03-01'", "CAST('2026-03-01' AS time)"),
        ("timestamp '2026-03-01 10:00:00+02:00'", "TIMESTAMP '2026-03-01T08:00:00Z'"),
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
        ("approx_quantile(a, 0.9)", "approx_quantile(a, 0.9)"),
        ("approx_count_distinct(a)", "approx_uniq(a)"),
        ("approx_uniq(distinct a) + uniq(distinct b)", "approx_uniq(a) + uniq(b)"),
        ("First(a) filter (where b)", "first(a) FILTER (WHERE b)"),
        ("last(a)", "last(a)"),
        ("any(a) || any_value(a)", "any(a) || any(a)"),
        ("sum(a) filter (where b > 1) / count(*)", "sum(a) FILTER (WHERE b > 1) / count(*)"),
        (
            "name = 'x' and path = 'y' and user = 'z' and day = 1",
            "name = 'x' AND path = 'y' AND user = 'z' AND day = 1",
        ),
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
        (
            "ts > now() - 60",
            "at column 6: there is no function \"now\" in SQL; write the time, or ask a JSON query",
        ),
        ("ts > current_date", "at column 6: there is no function \"current_date\" in SQL; write the time"),
        ("approx_quantile(a)", "approx_quantile() takes two arguments, as in approx_quantile(x, 0.95)"),
        ("approx_quantile(a, 2)", "approx_quantile(x, q) takes a number from 0 to 1"),
        ("first(a, b)", "first() takes one argument"),
        ("count(distinct *)", "count() takes one argument"),
        ("sum(distinct a)", "sum(DISTINCT ..) is not answered; group by the value as well"),
        ("sum(*)", "sum() takes one argument"),
        ("lower(*)", "lower(*) has no meaning"),
        ("min(a, b)", "least(a, b)"),
        ("quantile(a)", "quantile() takes two arguments"),
        ("quantile(a, 95)", "a number from 0 to 1"),
        ("p100(a)", "no function \"p100\""),
        ("sum(a) over (partition by b)", "window functions (OVER) stand in SQL only"),
        ("a in (select 1)", "subqueries stand in SQL only"),
        ("(select 1)", "subqueries stand in SQL only"),
        ("exists (select 1)", "subqueries stand in SQL only"),
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
        ("a; b", "at column 2: expected its end, found ;"),
        ("case when a then 1 else 2", "at column 26: expected END, found its end"),
        ("@timestamp > 1", "\"@timestamp\" stands in double quotes"),
    ] {
        let message = refusal(text);
        assert!(message.contains(wanted), "{text}\n  said   {message}\n  wanted {wanted}");
    }
    let message = filter("a > 1 and count(*) > 3").unwrap_err().to_string();
    assert!(message.contains("column 11") && message.contains("one row at a time"), "{message}");
    assert!(!message.contains("HAVING"), "a condition alone has none: {message}");
    let message = sql("SELECT a FROM t WHERE count(*) > 3", &[]).unwrap_err().to_string();
    assert!(message.contains("put it into HAVING"), "{message}");
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
        // what grew with more than the length of a text would take hours; a busy machine takes some seconds
        assert!(start.elapsed() < Duration::from_secs(60), "{shown}… took {:?}", start.elapsed());
    }
    assert!(expression(&(many("a or ", 1_500) + "a")).is_ok());
    assert!(refusal(&many("a", 10_000_000)).contains("262144 is the limit"));
    assert!(refusal(&(many("(", 1000) + "1" + &many(")", 1000))).contains("nests deeper"));
    assert!(refusal(&(many("1+", 100_000) + "1")).contains("in one chain"));
    assert!(refusal(&(many("1+", 2_000) + "1")).contains("nest deeper than 128"));
    assert!(refusal(&(many("(", 30) + "a" + &many(" between 1 and 2)", 30))).contains("too large"));
    let order = vec!["a"; 900].join(",");
    let big = format!("SELECT x IN ({}1) AS a FROM e ORDER BY {order}", many("1,", 50_000));
    assert!(sql(&big, &[]).unwrap_err().to_string().contains("too large"));
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
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "HAVING",
    "a",
    "b",
    "\"c d\"",
    "1",
    "2.5",
    "-",
    "+",
    "*",
    "/",
    "//",
    "%",
    "||",
    "=",
    "<",
    ">=",
    "(",
    ")",
    ",",
    "'x'",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "TRUE",
    "IN",
    "LIKE",
    "ILIKE",
    "REGEXP",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "AS",
    "int",
    "::",
    "count",
    "count(*)",
    "sum(",
    "lower(",
    "extract(",
    "year",
    "day(",
    "DISTINCT",
    "FILTER",
    "?",
    "$1",
    ".",
    ";",
    "date",
    "timestamp",
    "interval",
    "é",
    "trim(",
    "substr(",
    "ESCAPE",
    "'!'",
    "JOIN",
    "ON",
    "UNION",
    "OVER",
    "ALL",
    "ANY",
    "EXISTS",
    "[",
    "]",
];
