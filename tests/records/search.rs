//! Records found by their words: the language, the ranking, typing errors, facets, pages, and that the index is kept in
//! step.

use serde_json::{Value, json};

use crate::common::{Server, assert_says, encode, temp_dir};
use crate::{
    condition, declare, numbers, one, page, rows, search, send, taken, texts, vulnerabilities,
    vulnerabilities_declared, walk,
};

fn articles(server: &Server) {
    declare(
        server,
        "articles",
        &json!({
            "kind": "records", "key": "id",
            "fields": {
                "id": {"type": "int"}, "title": {"type": "string"}, "tags": {"type": "strings"}, "level": {"type": "string"},
                "body": {"type": "string", "lazy": true},
            },
            "search": ["title^4", "tags^2", "body"],
        }),
    );
    taken(
        server,
        "articles",
        &json!([
            {"id": 1, "title": "SQL injection prevention", "level": "high", "tags": ["sql", "web"], "body": "Use prepared statements. An injection of SQL is avoided by binding parameters."},
            {"id": 2, "title": "Query parameterization", "level": "high", "tags": ["sql"], "body": "Parameters keep SQL and values apart, so that an injection of SQL finds nothing."},
            {"id": 3, "title": "Cross-site scripting", "level": "high", "tags": ["web"], "body": "Escape what users typed. <b>Markup</b> & quotes are an injection of HTML."},
            {"id": 4, "title": "Café à la carte", "level": "low", "tags": ["food", "naïve"], "body": "Über den Wolken. Ein Kaffee in Zürich."},
            {"id": 5, "title": "Node.js deployment", "level": "low", "tags": ["web"], "body": "Deploy a service with node.js and without surprises, see CVE-2021-44228."},
            {"id": 6, "title": "Nothing else", "level": "low"},
        ]),
    );
}

fn ids(found: &Value) -> Vec<i64> {
    numbers(&rows(found), "id")
}

fn sorted(found: &Value) -> Vec<i64> {
    let mut ids = ids(found);
    ids.sort_unstable();
    ids
}

#[test]
fn the_language_has_words_phrases_prefixes_operators_and_fields() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    for (q, wanted) in [
        ("injection", vec![1, 2, 3]),
        ("SQL Injection", vec![1, 2]),
        ("\"sql injection\"", vec![1]),
        ("\"injection of sql\"", vec![1, 2]),
        ("\"of injection\"", vec![]),
        ("param*", vec![1, 2]),
        ("\"prepared stat*\"", vec![]),
        ("deploy*", vec![5]),
        ("injection -sql", vec![3]),
        ("injection NOT (sql OR scripting)", vec![]),
        ("scripting OR carte", vec![3, 4]),
        ("(scripting OR query) injection", vec![2, 3]),
        ("title:injection", vec![1]),
        ("tags:web", vec![1, 3, 5]),
        ("tags:web -title:scripting injection", vec![1]),
        ("body:\"prepared statements\"", vec![1]),
        ("title:(node OR nothing)", vec![5, 6]),
        ("cafe", vec![4]),
        ("CAFÉ", vec![4]),
        ("zurich uber", vec![4]),
        ("naive", vec![4]),
        ("node.js", vec![5]),
        ("cve-2021-44228", vec![5]),
        ("unknown:node", vec![]),
    ] {
        let found = search(&server, "articles", q, "&fields=id");
        // a search that finds nothing as it is may be widened, and says so
        if wanted.is_empty() {
            let is_told = found.get("notes").is_some() || found.get("corrected").is_some();
            assert!(ids(&found).is_empty() || is_told, "{q}: {found}");
        } else {
            assert_eq!(sorted(&found), wanted, "{q}: {found}");
            assert!(found.get("corrected").is_none(), "{q}: {found}");
        }
    }
}

#[test]
fn the_best_come_first_by_the_weights_of_fields() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let found = search(&server, "articles", "sql injection", "");
    assert_eq!(ids(&found)[0], 1, "{found}");
    let scores: Vec<f64> = rows(&found).iter().map(|row| row["_score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|two| two[0] >= two[1]) && scores[0] > 0.0, "{scores:?}");
    declare(
        &server,
        "weighed",
        &json!({"kind": "records", "key": "id", "fields": {"a": {"type": "string"}, "b": {"type": "string"}},
        "search": [{"field": "a", "weight": 1}, {"field": "b", "weight": 10}]}),
    );
    taken(
        &server,
        "weighed",
        &json!([{"id": 1, "a": "word", "b": "other"}, {"id": 2, "a": "other", "b": "word"}]),
    );
    assert_eq!(ids(&search(&server, "weighed", "word", "")), [2, 1]);
    declare(
        &server,
        "weighed",
        &json!({"kind": "records", "key": "id", "fields": {"a": {"type": "string"}, "b": {"type": "string"}},
        "search": ["a^10", "b"]}),
    );
    assert_eq!(ids(&search(&server, "weighed", "word", "")), [1, 2], "weights change at once");
    let newest = search(&server, "articles", "injection", "&order=newest");
    assert_eq!(ids(&newest), [3, 2, 1]);
}

#[test]
fn the_snippet_marks_words_in_text_that_is_made_safe() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let snippet =
        |q: &str| search(&server, "articles", q, "")["rows"][0]["_snippet"].as_str().unwrap().to_owned();
    assert_says(&snippet("scripting"), &["Cross-site <mark>scripting</mark>"]);
    let markup = snippet("markup");
    assert!(markup.contains("&lt;b&gt;<mark>Markup</mark>&lt;/b&gt; &amp; quotes"), "{markup}");
    assert_says(&snippet("zurich"), &["<mark>Zürich</mark>"]);
    assert_says(&snippet("deploym*"), &["<mark>deployment</mark>"]);
}

#[test]
fn a_typing_error_is_corrected_and_told() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let found = search(&server, "articles", "sql injecton", "&facets=level");
    assert_eq!(found["corrected"]["injecton"], json!(["injection"]), "{found}");
    assert_eq!(sorted(&found), [1, 2]);
    assert_says(found["rows"][0]["_snippet"].as_str().unwrap(), &["<mark>injection</mark>"]);
    assert_eq!(found["facets"]["level"], json!([{"value": "high", "count": 2}]));
    let right = search(&server, "articles", "injection", "");
    assert!(right.get("corrected").is_none() && right.get("notes").is_none(), "{right}");
    let some = search(&server, "articles", "injection carte", "");
    assert_eq!(sorted(&some), [1, 2, 3, 4]);
    assert_says(&some["notes"].to_string(), &["some of them"]);
    let none = search(&server, "articles", "xylophonqz", "&count=exact");
    assert_eq!(
        (&none["rows"], &none["total"], &none["next"]),
        (&json!([]), &json!(0), &Value::Null),
        "{none}"
    );
    taken(&server, "articles", &json!([{"id": 7, "title": "xylophone"}]));
    let found = search(&server, "articles", "xylophon", "");
    assert_eq!(ids(&found), [7], "new words are known at once: {found}");
}

#[test]
fn bad_syntax_is_read_as_plain_words_and_told() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    for q in [
        "\"sql injection",
        "(sql injection",
        "sql injection)",
        "sql AND",
        "OR sql injection",
        "sql ) injection (",
        "NOT",
    ] {
        let found = search(&server, "articles", q, "");
        assert_says(&found["notes"].to_string(), &["character"]);
        if q.contains("injection") {
            assert_eq!(sorted(&found), [1, 2], "{q}: {found}");
        }
    }
    for q in [
        "++",
        "...",
        "\"\"",
        "'",
        "*",
        "^",
        "title:",
        "{a b}",
        "NEAR(a b)",
        "a + b",
        "\u{0}",
        "%",
        "😀",
        "-",
        "--",
        "()",
        ":",
    ] {
        let reply = server.get(&format!("/v1/datasets/articles/search?q={}", encode(q)));
        assert_eq!(reply.status, 200, "{q:?}: {}", reply.text());
    }
    let long = "word ".repeat(500);
    assert_says(&search(&server, "articles", &long, "")["notes"].to_string(), &["longer than 64 words"]);
    assert_says(&search(&server, "articles", "", "")["notes"].to_string(), &["no word"]);
}

#[test]
fn what_is_no_search_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    declare(&server, "silent", &json!({"kind": "records", "key": "id"}));
    for (path, word) in [
        ("articles/search", "q"),
        ("articles/search?q=a&limit=1000000000", "10000"),
        ("articles/search?q=a&limit=0", "limit"),
        ("articles/search?q=a&order=best", "rank"),
        ("articles/search?q=a&facets=nothing", "nothing"),
        ("articles/search?q=a&fields=nothing", "nothing"),
        ("articles/search?q=a&where=nothing%20%3D%201", "nothing"),
        ("articles/search?q=a&cursor=x", "cursor"),
        ("articles/search?q=a&serch=b", "serch"),
        ("silent/search?q=a", "search"),
    ] {
        assert_says(&server.get(&format!("/v1/datasets/{path}")).problem(400).1, &[word]);
    }
    server.get("/v1/datasets/none/search?q=a").problem(404);
}

#[test]
fn facets_count_everything_found_also_the_entries_of_lists() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let found = search(&server, "articles", "injection", "&facets=tags,level&limit=1");
    assert_eq!(
        found["facets"],
        json!({
            "tags": [{"value": "sql", "count": 2}, {"value": "web", "count": 2}], "level": [{"value": "high", "count": 3}],
        })
    );
    let found = search(
        &server,
        "articles",
        "web OR nothing",
        &format!("&facets=level&{}", condition("level = 'low'")),
    );
    assert_eq!(found["facets"]["level"], json!([{"value": "low", "count": 2}]));
    assert_eq!(sorted(&found), [5, 6]);
    let filtered = search(
        &server,
        "articles",
        "injection",
        &format!("&count=exact&{}", condition("contains(tags, 'web') and id < 3")),
    );
    assert_eq!((ids(&filtered), &filtered["total"]), (vec![1], &json!(1)));
}

#[test]
fn lazy_fields_are_searched_and_never_listed() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let found = search(&server, "articles", "prepared", "");
    assert_eq!(ids(&found), [1]);
    assert!(found["rows"][0].get("body").is_none(), "{found}");
    assert_says(found["rows"][0]["_snippet"].as_str().unwrap(), &["<mark>prepared</mark> statements"]);
    assert_says(
        search(&server, "articles", "prepared", "&fields=id,body")["rows"][0]["body"].as_str().unwrap(),
        &["binding"],
    );
    let mut client = server.client();
    for row in rows(&page(&mut client, "articles", "")) {
        assert!(row.get("body").is_none(), "{row}");
    }
    let asked = page(&mut client, "articles", "fields=id,body&order=id&limit=1");
    assert_says(asked["rows"][0]["body"].as_str().unwrap(), &["binding"]);
    assert_says(one(&server, "articles", "1").ok()["body"].as_str().unwrap(), &["binding"]);
    assert_eq!(
        server.sql("SELECT count(body), max(length(body)) > 20 FROM articles").rows,
        [vec![json!(5), json!(true)]]
    );
    let by_body = page(&mut client, "articles", &format!("{}&fields=id", condition("body like '%Zürich%'")));
    assert_eq!(ids(&by_body), [4]);
}

#[test]
fn the_index_is_kept_in_step_with_every_change() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    taken(&server, "articles", &json!([{"id": 6, "title": "Injection anew", "body": "quokka"}]));
    assert_eq!(sorted(&search(&server, "articles", "injection", "")), [1, 2, 3, 6]);
    assert_eq!(ids(&search(&server, "articles", "quokka", "")), [6]);
    send(
        &server,
        "PATCH",
        &format!("/v1/datasets/articles/records?{}", condition("id = 6")),
        &json!({"body": "wombat"}),
    )
    .ok();
    assert_eq!(ids(&search(&server, "articles", "wombat", "")), [6]);
    assert_eq!(search(&server, "articles", "quokka", "")["rows"], json!([]));
    crate::put(&server, "articles", "mode=merge", &json!([{"id": 6, "title": "Only the title"}])).ok();
    assert_eq!(
        ids(&search(&server, "articles", "wombat", "")),
        [6],
        "a merge keeps the words of other fields"
    );
    assert_eq!(sorted(&search(&server, "articles", "title:injection", "")), [1]);
    send(
        &server,
        "DELETE",
        &format!("/v1/datasets/articles/records?{}", condition("id in (1, 6)")),
        &Value::Null,
    )
    .ok();
    assert_eq!(sorted(&search(&server, "articles", "injection", "")), [2, 3]);
    let batch = json!([{"id": 2, "title": "taken back"}, {"title": "no key"}]);
    crate::put(&server, "articles", "atomic=true", &batch).problem(400);
    assert_eq!(ids(&search(&server, "articles", "title:parameterization", "")), [2]);
    assert_eq!(server.stop(), 0);
    crate::common::run(dir.path(), &["check"]).exits(0);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(sorted(&search(&server, "articles", "injection", "")), [2, 3]);
}

#[test]
fn a_cursor_pages_through_everything_ranked_without_repeats() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(&server, "kev", &vulnerabilities_declared());
    taken(&server, "kev", &json!(vulnerabilities()));
    for (q, parameters) in [
        ("vulnerability", ""),
        ("vulnerabilty", ""),
        ("vulnerability", "&order=newest"),
        ("inject*", "&where=true"),
    ] {
        let total = search(&server, "kev", q, &format!("&count=exact&limit=1{parameters}"))["total"]
            .as_u64()
            .unwrap();
        assert!(total > 20, "{q}: {total}");
        for limit in [13, 500] {
            let asked = format!("q={}&fields=cveID&limit={limit}{parameters}", encode(q));
            let found = walk(&server, "/v1/datasets/kev/search", &asked).concat();
            let mut keys = texts(&found, "cveID");
            if !parameters.contains("newest") {
                let scores: Vec<f64> = found.iter().map(|row| row["_score"].as_f64().unwrap()).collect();
                assert!(scores.windows(2).all(|two| two[0] >= two[1]), "{q}: ranked");
            }
            keys.sort();
            keys.dedup();
            assert_eq!((found.len() as u64, keys.len() as u64), (total, total), "{q} limit={limit}");
        }
    }
    let first = search(&server, "kev", "vulnerability", "&limit=5");
    let cursor = encode(first["next"].as_str().unwrap());
    for other in ["q=inject", "q=vulnerability&order=newest", "q=vulnerability&where=true"] {
        let refused = server.get(&format!("/v1/datasets/kev/search?{other}&limit=5&cursor={cursor}"));
        assert_says(&refused.problem(400).1, &["cursor"]);
    }
    server.get(&format!("/v1/datasets/kev/rows?cursor={cursor}")).problem(400);
    let link = server.get("/v1/datasets/kev/search?q=vulnerability&limit=5");
    assert_says(link.header("link").unwrap(), &["rel=\"next\"", "q=vulnerability"]);
}

#[test]
fn rows_that_are_found_come_as_csv_and_lines_too() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let path = "/v1/datasets/articles/search?q=scripting&fields=id,level";
    let lines = server.client().send("GET", path, &[("Accept", "application/x-ndjson")], b"");
    let row: Value = serde_json::from_str(lines.text().trim()).unwrap();
    assert_eq!((&row["id"], &row["_snippet"]), (&json!(3), &json!("Cross-site <mark>scripting</mark>")));
    let csv = server.client().send("GET", path, &[("Accept", "text/csv")], b"").text();
    assert!(csv.starts_with("id,level,_score,_snippet\n3,high,"), "{csv}");
}

#[test]
fn a_condition_can_ask_for_words_anywhere() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    articles(&server);
    let sql = "SELECT id FROM articles WHERE matches('injection -html', title, body) ORDER BY id";
    assert_eq!(server.sql(sql).rows, [vec![json!(1)], vec![json!(2)]]);
    let found = page(
        &mut server.client(),
        "articles",
        &format!("order=id&fields=id&{}", condition("matches('cafe', title)")),
    );
    assert_eq!(ids(&found), [4]);
}

/// The real articles, where they are here: title from the first heading, the other headings as tags.
fn sheets() -> Option<Vec<Value>> {
    let one = crate::common::shared("owasp/Injection_Prevention_Cheat_Sheet.md")?;
    let mut files: Vec<_> =
        std::fs::read_dir(one.parent().unwrap()).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    let sheet = |path: &std::path::PathBuf| {
        let body = std::fs::read_to_string(path).unwrap();
        let headings: Vec<&str> = body
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#').trim())
            .collect();
        json!({"slug": path.file_stem().unwrap().to_string_lossy(), "title": headings[0], "tags": headings[1..], "body": body})
    };
    Some(files.iter().map(sheet).collect())
}

#[test]
fn the_article_about_injection_is_among_the_first_five_also_with_a_typing_error() {
    let Some(sheets) = sheets() else { return };
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "sheets",
        &json!({
            "kind": "records", "key": "slug", "search": ["title^5", "tags^2", "body"],
            "fields": {"title": {"type": "string"}, "tags": {"type": "strings"}, "body": {"type": "string", "lazy": true}},
        }),
    );
    assert_eq!(taken(&server, "sheets", &json!(sheets)), [sheets.len() as u64, 0, 0]);
    for q in ["sql injection", "sql injecton", "\"sql injection\"", "sql inject*"] {
        let found = search(&server, "sheets", q, "&fields=slug&limit=5&facets=tags");
        let first = texts(&rows(&found), "slug").join(" ");
        assert_says(&first, &["Injection_Prevention_Cheat_Sheet"]);
        assert_eq!(found.get("corrected").is_some(), q.contains("injecton"), "{found}");
        assert!(!found["facets"]["tags"].as_array().unwrap().is_empty(), "{found}");
    }
}
