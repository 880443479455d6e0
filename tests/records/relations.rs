//! What belongs to records, loaded along with them.

use serde_json::{Value, json};

use crate::common::{Server, assert_says, temp_dir};
use crate::{declare, one, page, rows, taken};

/// Authors, their queries, and the results of these.
fn library(server: &Server) {
    declare(
        server,
        "authors",
        &json!({"kind": "records", "key": "id", "relations": {"queries": {"many": "queries", "by": "author_id"}}}),
    );
    declare(
        server,
        "queries",
        &json!({
            "kind": "records", "key": "id", "fields": {"author_id": {}, "long": {"type": "string", "lazy": true}},
            "relations": {"author": {"one": "authors", "by": "author_id"}, "results": {"many": "results", "by": "query_id"}},
        }),
    );
    declare(
        server,
        "results",
        &json!({"kind": "records", "key": ["query_id", "place"], "fields": {"query_id": {}, "place": {}},
        "relations": {"query": {"one": "queries", "by": "query_id"}}}),
    );
    taken(
        server,
        "authors",
        &json!([{"id": "ada", "name": "Ada"}, {"id": "bob", "name": "Bob"}, {"id": "cy", "name": "Cy"}]),
    );
    taken(
        server,
        "queries",
        &json!([
            {"id": 1, "author_id": "ada", "text": "rust", "long": "never told"}, {"id": 2, "author_id": "ada", "text": "sqlite"},
            {"id": 3, "author_id": "bob", "text": "fts"}, {"id": 4, "author_id": "nobody", "text": "lost"}, {"id": 5, "text": "none"},
        ]),
    );
    taken(
        server,
        "results",
        &json!([
            {"query_id": 1, "place": 1, "url": "/r1"}, {"query_id": 1, "place": 2, "url": "/r2"}, {"query_id": 3, "place": 1, "url": "/f1"},
        ]),
    );
}

#[test]
fn many_are_a_list_and_one_is_an_object_or_null() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    library(&server);
    let mut client = server.client();
    let authors = page(&mut client, "authors", "order=id&include=queries");
    let lists: Vec<Vec<Value>> = rows(&authors)
        .iter()
        .map(|row| row["queries"].as_array().unwrap().iter().map(|query| query["text"].clone()).collect())
        .collect();
    assert_eq!(json!(lists), json!([["rust", "sqlite"], ["fts"], []]));
    assert!(authors["rows"][0]["queries"][0].get("long").is_none(), "lazy fields are not read: {authors}");
    let queries = page(&mut client, "queries", "order=id&include=author&fields=id");
    let names: Vec<Value> = rows(&queries).iter().map(|row| row["author"]["name"].clone()).collect();
    assert_eq!(json!(names), json!(["Ada", "Ada", "Bob", null, null]));
    assert_eq!(
        queries["rows"][3],
        json!({"id": 4, "author": null}),
        "exactly these fields and what belongs to them"
    );
}

#[test]
fn levels_stand_behind_dots_and_paths_behind_commas() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    library(&server);
    let mut client = server.client();
    let authors = page(&mut client, "authors", "order=id&include=queries.results&fields=name");
    let urls = |author: usize, query: usize| {
        let results = authors["rows"][author]["queries"][query]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["url"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(urls(0, 0), ["/r1", "/r2"]);
    assert_eq!(urls(0, 1), Vec::<Value>::new());
    assert_eq!(urls(1, 0), ["/f1"]);
    let both = page(&mut client, "queries", "order=id&include=author,results&limit=1");
    assert_eq!(
        (&both["rows"][0]["author"]["name"], &both["rows"][0]["results"][1]["url"]),
        (&json!("Ada"), &json!("/r2"))
    );
    let up = page(&mut client, "results", "order=query_id,place&include=query.author&fields=url");
    assert_eq!(up["rows"][2], json!({"url": "/f1", "query": up["rows"][2]["query"]}));
    assert_eq!(up["rows"][2]["query"]["author"]["name"], json!("Bob"));
}

#[test]
fn one_record_takes_include_too() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    library(&server);
    let query = server.get("/v1/datasets/queries/records/1?include=author,results").ok();
    assert_eq!((&query["author"]["name"], &query["results"][0]["url"]), (&json!("Ada"), &json!("/r1")));
    assert_eq!(query["long"], json!("never told"));
    let query = server.get("/v1/datasets/queries/records/1?include=author&fields=text").ok();
    assert_eq!((&query["text"], &query["author"]["name"]), (&json!("rust"), &json!("Ada")));
    assert!(query.get("long").is_none(), "{query}");
    assert!(one(&server, "queries", "1").ok().get("author").is_none());
}

#[test]
fn pages_with_include_go_on_by_cursor() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    library(&server);
    let found = crate::walk(
        &server,
        "/v1/datasets/queries/rows",
        "order=text&include=author,results&limit=2&fields=text",
    )
    .concat();
    assert_eq!(crate::texts(&found, "text"), ["fts", "lost", "none", "rust", "sqlite"]);
    assert_eq!(found[3]["results"].as_array().unwrap().len(), 2);
}

#[test]
fn a_relation_by_several_fields_is_followed() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "tests",
        &json!({"kind": "records", "key": ["suite", "name"], "relations": {"runs": {"many": "runs", "by": ["suite", "test"]}}}),
    );
    declare(
        &server,
        "runs",
        &json!({"kind": "records", "key": "id", "fields": {"suite": {}, "test": {}},
        "relations": {"of": {"one": "tests", "by": ["suite", "test"]}}}),
    );
    taken(
        &server,
        "tests",
        &json!([{"suite": "a", "name": "x"}, {"suite": "a", "name": "y"}, {"suite": "b", "name": "x"}]),
    );
    taken(
        &server,
        "runs",
        &json!([
            {"id": 1, "suite": "a", "test": "x"}, {"id": 2, "suite": "b", "test": "x"}, {"id": 3, "suite": "a", "test": "x"}, {"id": 4, "suite": "b"},
        ]),
    );
    let all = page(&mut server.client(), "tests", "order=suite,name&include=runs");
    let ids: Vec<Vec<i64>> =
        rows(&all).iter().map(|row| crate::numbers(row["runs"].as_array().unwrap(), "id")).collect();
    assert_eq!(ids, [vec![1, 3], vec![], vec![2]]);
    let all = page(&mut server.client(), "runs", "order=id&include=of&fields=id");
    assert_eq!(all["rows"][1]["of"]["suite"], json!("b"));
    assert!(all["rows"][3]["of"].is_null());
}

#[test]
fn relations_that_are_not_there_are_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    library(&server);
    let refused =
        |include: &str| server.get(&format!("/v1/datasets/queries/rows?include={include}")).problem(400).1;
    assert_says(&refused("athor"), &["athor", "author"]);
    assert_says(&refused("author.nothing"), &["nothing"]);
    for path in ["", "author.", ".author", "author,,results", "a.b.c.d.e.f.g.h.i"] {
        assert_says(&refused(path), &["include"]);
    }
    server.accepted("visits", "{\"n\": 1}");
    let of_events = server.get("/v1/datasets/visits/rows?include=author");
    assert!([400, 409].contains(&of_events.status), "{}", of_events.text());
    declare(
        &server,
        "alone",
        &json!({"kind": "records", "key": "id", "fields": {"x": {}}, "relations": {"to": {"one": "missing", "by": "x"}}}),
    );
    taken(&server, "alone", &json!([{"id": 1, "x": 1}]));
    let missing = server.get("/v1/datasets/alone/rows?include=to");
    assert!([400, 404].contains(&missing.status), "{}", missing.text());
}

#[test]
fn a_relation_is_not_called_as_a_field_is() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let declaration = json!({"kind": "records", "key": "id", "fields": {"owner": {}}, "relations": {"owner": {"one": "owners", "by": "owner"}}});
    let reply = crate::send(&server, "PUT", "/v1/datasets/things", &declaration);
    assert_says(&reply.problem(400).1, &["owner"]);
}

#[test]
fn more_than_a_level_may_load_is_refused() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    declare(
        &server,
        "owners",
        &json!({"kind": "records", "key": "id", "relations": {"all": {"many": "things", "by": "owner"}}}),
    );
    declare(
        &server,
        "things",
        &json!({"kind": "records", "key": "id", "fields": {"owner": {}}, "indexes": [{"fields": "owner"}]}),
    );
    taken(&server, "owners", &json!([{"id": 1}]));
    taken(&server, "things", &json!((0..10_001).map(|id| json!({"id": id, "owner": 1})).collect::<Vec<_>>()));
    assert_says(&server.get("/v1/datasets/owners/rows?include=all").problem(413).1, &["10000", "things"]);
}

#[test]
fn a_full_page_of_long_keys_is_loaded() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let key = ["a", "b", "c", "d"];
    let of = json!({"a": {}, "b": {}, "c": {}, "d": {}});
    declare(
        &server,
        "owners",
        &json!({"kind": "records", "key": key, "relations": {"all": {"many": "things", "by": key}}}),
    );
    declare(
        &server,
        "things",
        &json!({"kind": "records", "key": "id", "fields": of, "indexes": [{"fields": key}]}),
    );
    let all: Vec<Value> = (0..10_000).map(|n| json!({"a": n, "b": n, "c": n, "d": n})).collect();
    taken(&server, "owners", &json!(all));
    taken(&server, "things", &json!([{"id": 1, "a": 5, "b": 5, "c": 5, "d": 5}]));
    let reply = server.get("/v1/datasets/owners/rows?include=all&order=a&limit=10000");
    assert_ne!(reply.status, 500, "{}", reply.text());
    if reply.status == 200 {
        assert_eq!(reply.json()["rows"][5]["all"][0]["id"], json!(1));
    }
}
