//! Datasets of records made by the command line: of a file, of a pack, by an import.

use std::fs;

use serde_json::{Value, json};

use crate::common::process::{run, sql};
use crate::common::{Server, assert_says, shared, temp_dir};

fn described(dir: &std::path::Path, dataset: &str) -> Value {
    serde_json::from_str(&run(dir, &["datasets", dataset, "--json"]).exits(0).stdout).unwrap()
}

#[test]
fn a_file_of_toml_or_json_declares_a_dataset() {
    let dir = temp_dir();
    let toml = "kind = \"records\"\nkey = \"slug\"\nsearch = [\"title^2\"]\n[fields]\ntitle = { type = \"string\", required = true }\n";
    fs::write(dir.path().join("pages.toml"), toml).unwrap();
    let json = json!({"kind": "records", "key": "slug", "search": ["title^2"],
        "fields": {"title": {"type": "string", "required": true}}});
    fs::write(dir.path().join("pages.json"), json.to_string()).unwrap();
    for (name, file) in [("a", "pages.toml"), ("b", "pages.json")] {
        let ran = run(dir.path(), &["datasets", name, "--declare", file]).exits(0);
        assert_eq!(ran.stdout, format!("{name}: declared\n"));
    }
    let [a, b] = ["a", "b"].map(|name| described(dir.path(), name)["declaration"].clone());
    assert_eq!(a, b);
    assert_eq!(a["key"], json!(["slug"]));
}

#[test]
fn a_file_that_declares_nothing_is_told_by_its_name() {
    let dir = temp_dir();
    fs::write(
        dir.path().join("bad.toml"),
        "kind = \"records\"\nkey = \"slug\"\n[fields]\nn = { type = \"number\" }\n",
    )
    .unwrap();
    let ran = run(dir.path(), &["datasets", "pages", "--declare", "bad.toml"]).exits(1);
    assert_says(&ran.stderr, &["bad.toml", "number", "float"]);
    let ran = run(dir.path(), &["datasets", "pages", "--declare", "none.toml"]).exits(1);
    assert_says(&ran.stderr, &["none.toml"]);
    let ran = run(dir.path(), &["datasets", "--pack", "wikis"]).exits(1);
    assert_says(&ran.stderr, &["wikis", "wiki"]);
}

#[test]
fn a_running_server_is_asked_instead() {
    let dir = temp_dir();
    let server = Server::start(dir.path(), &[]);
    let ran = run(dir.path(), &["datasets", "--pack", "wiki"]).exits(1);
    assert_says(&ran.stderr, &["127.0.0.1"]);
    assert_eq!(server.get("/v1/datasets").ok()["datasets"], json!([]));
}

#[test]
fn a_pack_declares_what_its_subject_has_and_takes_the_real_data() {
    let dir = temp_dir();
    for pack in ["research", "threats", "wiki"] {
        assert_says(&run(dir.path(), &["datasets", "--pack", pack]).exits(0).stdout, &["declared"]);
    }
    let Some(kev) = shared("kev.json") else { return };
    for _ in 0..2 {
        run(dir.path(), &["import", "vulnerabilities", kev.to_str().unwrap()]).exits(0);
    }
    let counted = sql(dir.path(), "SELECT count(*), count(DISTINCT cveID) FROM vulnerabilities");
    assert_eq!(counted.rows, [[json!(1_404), json!(1_404)]]);
}
