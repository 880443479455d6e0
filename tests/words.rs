//! The words modules against SQLite's own FTS5: the same tokens of every character and of any text, expressions that
//! it accepts, and the same texts found in memory as in its index.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;
use rusqlite::Connection;
use windrow::query::words::characters::{Class, class};
use windrow::query::words::language::{Node, read};
use windrow::query::words::matching::Matcher;
use windrow::query::words::tokens;

const FIELDS: [&str; 2] = ["title", "body"];

/// A table of documents with the tokenizer that Windrow's indexes have, and its vocabulary.
fn database() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database
        .execute_batch(
            r#"
            create virtual table documents using fts5(title, body, tokenize = "unicode61 remove_diacritics 2");
            create virtual table vocabulary using fts5vocab(documents, instance);
            "#,
        )
        .unwrap();
    database
}

fn insert(database: &Connection, id: i64, title: &str, body: &str) {
    let mut statement =
        database.prepare_cached("insert into documents (rowid, title, body) values (?, ?, ?)").unwrap();
    statement.execute((id, title, body)).unwrap();
}

/// The tokens FTS5 has of all documents, in order.
fn vocabulary(database: &Connection) -> Vec<(i64, String)> {
    let mut statement =
        database.prepare_cached("select doc, term from vocabulary order by doc, col desc, offset").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The documents that FTS5 finds, or why it does not take the expression.
fn search(database: &Connection, expression: &str) -> Result<Vec<i64>, rusqlite::Error> {
    let mut statement =
        database.prepare_cached("select rowid from documents where documents match ? order by rowid")?;
    let rows = statement.query_map([expression], |row| row.get(0))?;
    rows.collect()
}

#[test]
fn every_character_has_the_class_it_has_in_fts5() {
    let database = database();
    database.execute_batch("begin").unwrap();
    // a thousand characters a document, each alone and within a word
    let all: Vec<char> = ('\0'..=char::MAX).collect();
    for (id, chunk) in all.chunks(1000).enumerate() {
        let alone: Vec<String> = chunk.iter().map(|c| format!("<{c}>0")).collect();
        let within: Vec<String> = chunk.iter().map(|c| format!("x{c}y")).collect();
        insert(&database, id as i64, &alone.join(" "), &within.join(" "));
    }
    let mut expected = Vec::new();
    for (id, chunk) in all.chunks(1000).enumerate() {
        let mut push = |word: String| expected.push((id as i64, word));
        for c in chunk {
            if let Class::Letter(folded) = class(*c) {
                push(folded.to_string());
            }
            push("0".into());
        }
        for c in chunk {
            match class(*c) {
                Class::Letter(folded) => push(format!("x{folded}y")),
                Class::Mark => push("xy".into()),
                Class::Separator => ["x", "y"].into_iter().for_each(|word| push(word.into())),
            }
        }
    }
    // titles before bodies: "title" is after "body" in the alphabet
    let found = vocabulary(&database);
    if let Some((theirs, ours)) = found.iter().zip(&expected).find(|(theirs, ours)| theirs != ours) {
        panic!("FTS5 has {theirs:?}, not {ours:?}; where tokens begin and end for it: {}", flips());
    }
    assert_eq!(found.len(), expected.len());
}

/// `TOKEN_FLIPS` of `characters` as this SQLite would have it.
fn flips() -> String {
    let database = database();
    database.execute_batch("begin").unwrap();
    for c in '\u{80}'..=char::MAX {
        insert(&database, i64::from(u32::from(c)), &c.to_string(), "");
    }
    let tokens: BTreeSet<i64> = vocabulary(&database).into_iter().map(|(id, _)| id).collect();
    let codes: Vec<u32> = ('\u{7F}'..=char::MAX).map(u32::from).collect();
    let is_token = |code: u32| tokens.contains(&i64::from(code));
    let flips = codes.windows(2).filter(|pair| is_token(pair[0]) != is_token(pair[1]));
    flips.map(|pair| format!("0x{:X}, ", pair[1])).collect()
}

/// An expression quotes folded words, and FTS5 folds them again.
#[test]
fn folding_twice_is_folding_once() {
    for c in '\0'..=char::MAX {
        if let Class::Letter(folded) = class(c) {
            assert_eq!(class(folded), Class::Letter(folded), "{c:?}");
        }
    }
}

#[test]
fn the_deepest_search_fits_the_stack_of_fts5() {
    let database = database();
    insert(&database, 1, "a", "b");
    for level in [
        ["a (", ")"],
        ["a OR (", ")"],
        ["a -(", ")"],
        ["a OR b -(", ")"],
        ["a OR b c -d* -title:(", ")"],
        ["(a b OR c d) -e -(x y OR ", ")"],
        ["(", " OR b) -c OR d e"],
        ["a -(b -(", ") OR c -d)"],
        ["a (b -c) OR d -e -(f g OR h -", ")"],
    ] {
        let [open, close] = level;
        for levels in 0..=17 {
            let text = format!("{}body:x-y*{}", open.repeat(levels), close.repeat(levels));
            let node = read(&text, &FIELDS).node.unwrap();
            search(&database, &node.to_fts5()).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

/// A text of the search language, more or less.
fn search_text() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "a",
        "b",
        "c",
        "ab",
        "AND",
        "OR",
        "NOT",
        "-",
        "(",
        ")",
        "(",
        ")",
        "\"",
        "\"a b\"",
        "\"b a b\"",
        "a*",
        "b-a*",
        "title:",
        "body:",
        "title:(",
        "foo:",
        " ",
        " ",
        " ",
        " ",
        "-b",
        "++",
        "é",
        "a.b",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// A text of the search language without a mistake.
fn correct_text() -> impl Strategy<Value = String> {
    let word = proptest::sample::select(
        &[
            "a",
            "b",
            "c",
            "ab",
            "\"a b\"",
            "\"b a b\"",
            "a*",
            "\"a c\"",
            "b-a*",
            "title:a",
            "body:\"b c\"",
            "body:ab*",
        ][..],
    );
    word.prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
        (inner.clone(), inner, 0..7, proptest::sample::select(&["", "title:", "body:"][..])).prop_map(
            |(one, other, kind, field)| match kind {
                0 => format!("{one} {other}"),
                1 => format!("{one} AND {other}"),
                2 => format!("{one} OR {other}"),
                3 => format!("{one} NOT ({other})"),
                4 => format!("{one} -({other})"),
                5 => format!("{field}({one}) ({other})"),
                _ => format!("-({one}) {field}({other})"),
            },
        )
    })
}

fn document() -> impl Strategy<Value = (String, String)> {
    ("([abc]{1,2}[ .-]){0,6}", "([abcé]{1,2} ){0,6}")
}

fn agree(documents: &[(String, String)], node: &Node) -> Result<(), TestCaseError> {
    let database = database();
    let matcher = Matcher::new(node);
    let mut expected = Vec::new();
    for (id, (title, body)) in (0_i64..).zip(documents) {
        insert(&database, id, title, body);
        if matcher.is_match(&[("title", title), ("body", body)]) {
            expected.push(id);
        }
    }
    let expression = node.to_fts5();
    let found = search(&database, &expression)
        .map_err(|error| TestCaseError::fail(format!("{expression}: {error}")))?;
    prop_assert_eq!(found, expected, "{}", expression);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn texts_have_the_tokens_they_have_in_fts5(
        title in any::<String>(),
        body in "([a-zA-Z0-9]|[À-ɏ]|[\u{300}-\u{331}]|[α-ωА-я一-三ก-๛अ-ॿ]|[ \n.,_'-]|\\PC){0,60}",
    ) {
        let database = database();
        insert(&database, 1, &title, &body);
        let expected: Vec<String> = vocabulary(&database).into_iter().map(|(_, word)| word).collect();
        let mut found = tokens::words(&title);
        found.extend(tokens::words(&body));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn places_are_in_the_text_and_in_order(text in any::<String>()) {
        let mut before = 0;
        tokens::for_each(&text, |word, start, end| {
            assert!(before <= start && start < end && !word.is_empty());
            assert_eq!(tokens::fold(&text[start..end]), word);
            before = end;
            ControlFlow::Continue(())
        });
    }

    #[test]
    fn any_text_can_be_searched_for(text in prop_oneof![any::<String>(), search_text()]) {
        let reading = read(&text, &FIELDS);
        if let Some(node) = reading.node {
            prop_assert!(!tokens::words(&text).is_empty());
            let corrections = node.terms().into_iter().map(|term| (term.to_owned(), vec!["x".to_owned(), "y".to_owned()]));
            let corrected = node.replace(&corrections.collect());
            let database = database();
            for expression in [node.to_fts5(), node.any().to_fts5(), corrected.to_fts5()] {
                let found = search(&database, &expression);
                prop_assert!(found.is_ok(), "{expression}: {found:?}");
            }
        }
    }

    #[test]
    fn memory_and_index_find_the_same(
        documents in proptest::collection::vec(document(), 1..12),
        text in prop_oneof![search_text(), correct_text()],
    ) {
        if let Some(node) = read(&text, &FIELDS).node {
            agree(&documents, &node)?;
            agree(&documents, &node.any())?;
        }
    }

    #[test]
    fn a_correct_text_has_no_note(text in correct_text()) {
        let reading = read(&text, &FIELDS);
        prop_assert!(reading.note.is_none_or(|note| note.contains("longer than") || note.contains("deeply")));
    }
}

/// The score of one word, with FTS5's own idf, is FTS5's rank.
#[test]
fn scores_are_those_of_fts5() {
    let database = database();
    let documents = [
        ("a b c", "a a x y z"),
        ("b", "c"),
        ("x y z", "b b b b b a"),
        ("", "nothing of it"),
        ("more", "without any"),
        ("x", "y"),
    ];
    for (id, (title, body)) in (0_i64..).zip(documents) {
        insert(&database, id, title, body);
    }
    let words_of = |(title, body): (&str, &str)| tokens::words(title).len() + tokens::words(body).len();
    let average = documents.map(words_of).iter().sum::<usize>() as f64 / documents.len() as f64;
    for text in ["a", "b", "title:b", "x y", "\"x y\"", "b -nothing"] {
        let node = read(text, &FIELDS).node.unwrap();
        let matcher = Matcher::new(&node);
        let idf = |word: &str| {
            let word = if text.starts_with('"') { format!("\"{}\"", "x y") } else { format!("\"{word}\"") };
            // FTS5 counts the documents that have the phrase where it was asked for
            let asked = if text.starts_with("title:") { format!("{{title}} : {word}") } else { word };
            let having = search(&database, &asked).unwrap().len() as f64;
            ((documents.len() as f64 - having + 0.5) / (having + 0.5)).ln().max(1e-6)
        };
        let mut statement = database
            .prepare("select rowid, -bm25(documents, 10.0, 1.0) from documents where documents match ?")
            .unwrap();
        let rows = statement.query_map([node.to_fts5()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for row in rows {
            let (id, theirs): (i64, f64) = row.unwrap();
            let (title, body) = documents[id as usize];
            let ours = matcher.score(&[("title", title), ("body", body)], &[10.0, 1.0], &idf, average);
            assert!((ours - theirs).abs() < 1e-9, "{text}, document {id}: {ours} and not {theirs}");
        }
    }
}
