//! The rules of the house, as tests: which room may import which, how long files and functions may be, what must not
//! be in the sources. A rule is a function from a file to complaints, and every rule is shown a file that breaks it.

#[path = "tidy/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::Source;

/// The rooms above the ground, in their order; a room imports only the ground and rooms before it. Every other name
/// of `src/*.rs` is the ground.
const ROOMS: [&str; 13] = [
    "columnar", "store", "cache", "query", "records", "ingest", "jobs", "packs", "reports", "monitor",
    "http", "app", "cli",
];

/// The files that may hold `unsafe`, each with its reason in its header.
const UNSAFE_FILES: [&str; 2] = ["src/columnar/kernels.rs", "src/query/sqlite/table.rs"];

/// The files of rooms that read for someone which may find a dataset with all its rows, as they tell none of them: the way
/// itself, versions of answers, rules for writing, and what is for those who are bound to nothing.
const WHOLE_DATASET_FILES: [&str; 6] = [
    "src/query/reach.rs",
    "src/query/kept.rs",
    "src/records/put.rs",
    "src/records/declare.rs",
    "src/records/advice.rs",
    "src/http/api/records.rs",
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// A rule over one file: its complaints, each with the line.
type Rule = fn(&Source) -> Vec<(usize, String)>;

const RULES: [(&str, Rule); 10] = [
    ("order of rooms", order_of_rooms),
    ("way out by super", way_out_by_super),
    ("file length", file_length),
    ("function length", function_length),
    ("header", header),
    ("tiny_http", only_the_server_knows_tiny_http),
    ("unsafe", unsafe_is_listed),
    ("reach", reading_goes_by_reach),
    ("names", no_drawer_for_everything),
    ("unfinished or async", nothing_unfinished_or_async),
];

/// 0 is the ground.
fn height(room: &str) -> usize {
    ROOMS.iter().position(|known| *known == room).map_or(0, |place| place + 1)
}

fn order_of_rooms(file: &Source) -> Vec<(usize, String)> {
    let Some(room) = file.room() else { return Vec::new() };
    let wrong = |target: &str| target != room && height(target) >= height(room) && height(target) > 0;
    file.imports()
        .into_iter()
        .filter(|(_, target)| wrong(target))
        .map(|(line, target)| {
            (line, format!("{room} → {target}: {room} stands before {target} and may not import it"))
        })
        .collect()
}

/// `super::super::query` in `src/store/log.rs` would be an import that [`order_of_rooms`] does not see.
fn way_out_by_super(file: &Source) -> Vec<(usize, String)> {
    if file.room().is_none() {
        return Vec::new();
    }
    let parts =
        file.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod").split('/');
    let chain = "super::".repeat(parts.count());
    let places = file.code.match_indices(&chain).map(|(at, _)| file.line_of(at));
    places.map(|line| (line, "super leaves the room; write crate::".to_owned())).collect()
}

fn file_length(file: &Source) -> Vec<(usize, String)> {
    let lines = file.lines_outside_tests();
    if !file.is_src() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![(
        1,
        format!("{lines} lines outside tests; {FILE_LINES_MAX} are the most, so part it by what it does"),
    )]
}

fn function_length(file: &Source) -> Vec<(usize, String)> {
    let too_long = |(line, name, lines): (usize, String, usize)| {
        (lines > FUNCTION_LINES_MAX)
            .then(|| (line, format!("fn {name} has {lines} lines; {FUNCTION_LINES_MAX} are the most")))
    };
    if file.is_src() { file.functions().into_iter().filter_map(too_long).collect() } else { Vec::new() }
}

fn header(file: &Source) -> Vec<(usize, String)> {
    let told = file.text.strip_prefix("//! ").is_some_and(|rest| !rest.trim_start().is_empty());
    if told {
        Vec::new()
    } else {
        vec![(1, "no //! header: say what it is, why, and who calls it".to_owned())]
    }
}

fn only_the_server_knows_tiny_http(file: &Source) -> Vec<(usize, String)> {
    if !file.is_src() || file.path == "src/http/server.rs" {
        return Vec::new();
    }
    complain(file, &["tiny_http"], "is for src/http/server.rs only")
}

fn unsafe_is_listed(file: &Source) -> Vec<(usize, String)> {
    if UNSAFE_FILES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    complain(file, &["unsafe"], "is in a file that tests/tidy.rs does not list")
}

/// What reads for someone finds datasets by `Reach`, so that it cannot forget what he is bound to.
fn reading_goes_by_reach(file: &Source) -> Vec<(usize, String)> {
    let is_test = file.path.ends_with("_tests.rs") || file.path.contains("/differential/");
    let reads = matches!(file.room(), Some("query" | "records" | "reports" | "http"));
    if !reads || is_test || WHOLE_DATASET_FILES.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let words = ["whole_dataset(", "datasets.get(", "datasets.values("];
    complain(file, &words, "goes past query/reach, which finds datasets for those who read")
}

fn no_drawer_for_everything(file: &Source) -> Vec<(usize, String)> {
    let drawers = ["utils", "util", "helpers", "misc", "common"];
    let mut names = file.path.trim_end_matches(".rs").split('/');
    match names.find(|name| drawers.contains(name)) {
        Some(name) if file.is_src() => {
            vec![(1, format!("{name} says nothing; name the file by what it does"))]
        }
        _ => Vec::new(),
    }
}

fn nothing_unfinished_or_async(file: &Source) -> Vec<(usize, String)> {
    let mut found = complain(file, &["todo!", "unimplemented!", "dbg!"], "is unfinished work");
    if file.is_src() {
        found.extend(complain(
            file,
            &["tokio", "async", "await"],
            "does not live here: threads and queues do",
        ));
    }
    found
}

fn complain(file: &Source, words: &[&str], why: &str) -> Vec<(usize, String)> {
    let lines = words.iter().flat_map(|word| file.lines_with(word).into_iter().map(move |line| (line, word)));
    lines.map(|(line, word)| (line, format!("`{word}` {why}"))).collect()
}

/// A cycle among the files of the ground, as the names along it.
fn ground_cycle(files: &[Source]) -> Option<Vec<String>> {
    let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let Some(room) = file.room().filter(|room| height(room) == 0) else { continue };
        let targets = file.imports().into_iter().map(|(_, target)| target);
        arrows
            .entry(room)
            .or_default()
            .extend(targets.filter(|target| target != room && height(target) == 0));
    }
    // what imports nothing that is left goes, until all is gone or only cycles and their importers stay
    loop {
        let left: BTreeSet<String> = arrows.keys().map(|room| (*room).to_owned()).collect();
        let free = |targets: &BTreeSet<String>| targets.is_disjoint(&left);
        let before = arrows.len();
        arrows.retain(|_, targets| !free(targets));
        if arrows.is_empty() {
            return None;
        }
        if arrows.len() == before {
            return Some(walk(&arrows));
        }
    }
}

fn walk(arrows: &BTreeMap<&str, BTreeSet<String>>) -> Vec<String> {
    let mut path: Vec<String> = arrows.keys().take(1).map(|room| (*room).to_owned()).collect();
    while let Some(next) = path.last().and_then(|room| arrows.get(room.as_str())) {
        let Some(next) = next.iter().find(|room| arrows.contains_key(room.as_str())) else { break };
        let seen = path.iter().position(|room| room == next);
        path.push(next.clone());
        if let Some(start) = seen {
            return path.split_off(start);
        }
    }
    path
}

/// Imports of what is no room (re-exports of lib.rs) and folders of `src` that belong to no room.
fn strangers(files: &[Source]) -> Vec<String> {
    let ground = |name: &str| files.iter().any(|file| file.path == format!("src/{name}.rs"));
    let known = |name: &str| height(name) > 0 || ground(name);
    let mut found = Vec::new();
    for file in files {
        let Some(room) = file.room() else { continue };
        if !known(room) {
            found.push(format!("{}: {room} is no room; tests/tidy.rs has the list", file.path));
        }
        let imports = file.imports().into_iter().filter(|(_, target)| !known(target));
        found.extend(imports.map(|(line, target)| {
            format!("{}:{line}: crate::{target} is no room; import from the room that defines it", file.path)
        }));
    }
    found
}

/// What is wrong with the names of the migrations, given in order.
fn migration_faults(names: &[String]) -> Vec<String> {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let right = |(place, name): (usize, &String)| {
        let rest = name.strip_prefix(&format!("{:04}_", place + 1));
        rest.and_then(|rest| rest.strip_suffix(".sql")).is_some_and(plain)
    };
    let wrong = names.iter().enumerate().filter(|(place, name)| !right((*place, name)));
    wrong.map(|(place, name)| format!("{name}: expected {:04}_name.sql in its place", place + 1)).collect()
}

/// Dependencies that ARCHITECTURE.md gives no reason for, and reasons for what is no dependency.
fn library_faults(manifest: &str, architecture: &str) -> Vec<String> {
    let manifest: toml::Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("Cargo.toml cannot be read: {error}")],
    };
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let owners = targets.into_iter().flatten().filter_map(|(_, target)| target.as_table());
    let used: BTreeSet<&str> = std::iter::once(&manifest)
        .chain(owners)
        .flat_map(|owner| kinds.iter().filter_map(|kind| owner.get(*kind)?.as_table()))
        .flat_map(|table| table.keys().map(String::as_str))
        .collect();
    let section =
        architecture.split("\n## ").find(|section| section.starts_with("Libraries")).unwrap_or_default();
    let told: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let missing =
        used.difference(&told).map(|name| format!("{name}: no reason in ARCHITECTURE.md, \"Libraries\""));
    let stale = told.difference(&used).map(|name| format!("{name}: in \"Libraries\", not in Cargo.toml"));
    missing.chain(stale).collect()
}

fn house(part: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(part)
}

fn all_sources() -> std::io::Result<Vec<Source>> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        if house(folder).exists() {
            collect(Path::new(folder), &mut files)?;
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(house("").join(folder))? {
        let path = folder.join(entry?.file_name());
        if house("").join(&path).is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(house("").join(&path))?;
            files.push(Source::new(&path.to_string_lossy(), &text));
        }
    }
    Ok(())
}

#[test]
fn every_file_keeps_the_rules() {
    let files = all_sources().unwrap();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the sources were not found");
    let mut faults = Vec::new();
    for file in &files {
        for (_, rule) in RULES {
            faults.extend(rule(file).into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.path)));
        }
    }
    faults.extend(strangers(&files));
    faults.extend(
        ground_cycle(&files).map(|cycle| format!("the ground imports in a circle: {}", cycle.join(" → "))),
    );
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_median_file_is_short() {
    let files = all_sources().unwrap();
    let mut lines: Vec<usize> =
        files.iter().filter(|file| file.is_src()).map(Source::lines_outside_tests).collect();
    lines.sort_unstable();
    let (median, longest) = (lines[lines.len() / 2], lines[lines.len() - 1]);
    println!("{} files in src, median {median} lines outside tests, longest {longest}", lines.len());
    assert!(median <= 200, "the median file has {median} lines outside tests; about 150 is the aim");
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut names: Vec<String> = std::fs::read_dir(house("schema/migrate"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    assert_eq!(migration_faults(&names), Vec::<String>::new());
}

#[test]
fn every_library_has_its_reason() {
    let read = |name: &str| std::fs::read_to_string(house(name)).unwrap();
    assert_eq!(library_faults(&read("Cargo.toml"), &read("ARCHITECTURE.md")), Vec::<String>::new());
}

#[test]
fn every_rule_sees_what_breaks_it() {
    let long_file = format!("//! x\n{}", "// a line\n".repeat(FILE_LINES_MAX));
    let long_function =
        format!("//! x\nfn long(a: [u8; 4]) {{\n{}}}\n", "    // {\n".repeat(FUNCTION_LINES_MAX));
    let broken = [
        ("order of rooms", "src/store/log.rs", "//! x\nuse crate::query::Plan;", 2),
        ("order of rooms", "src/store/log.rs", "//! x\nuse crate::{error::Error, http::{routes, guard}};", 2),
        ("order of rooms", "src/value.rs", "//! x\n\nfn f() { crate::store::open() }", 3),
        ("order of rooms", "src/app.rs", "//! x\nuse crate::cli::Verb;", 2),
        ("way out by super", "src/store/log.rs", "//! x\nuse super::super::query;", 2),
        ("way out by super", "src/store/mod.rs", "//! x\nuse super::query;", 2),
        ("way out by super", "src/value.rs", "//! x\nuse super::query;", 2),
        ("file length", "src/a.rs", &long_file, 1),
        ("function length", "src/a.rs", &long_function, 2),
        ("header", "src/a.rs", "fn a() {}", 1),
        ("header", "benches/a.rs", "//! \n", 1),
        ("header", "tests/a.rs", "// a\n//! b", 1),
        ("tiny_http", "src/http/routes.rs", "//! x\nuse tiny_http::Request;", 2),
        ("unsafe", "src/a.rs", "//! x\nfn f() { unsafe { g() } }", 2),
        ("reach", "src/query/page.rs", "//! x\nfn f(s: &S) { s.whole_dataset(n) }", 2),
        ("reach", "src/http/api/rows.rs", "//! x\nfn f(s: &S) { s.datasets.get(n) }", 2),
        ("names", "src/utils.rs", "//! x", 1),
        ("names", "src/store/helpers/a.rs", "//! x", 1),
        ("unfinished or async", "src/a.rs", "//! x\nfn f() { todo!() }", 2),
        ("unfinished or async", "tests/a.rs", "//! x\nfn f() { dbg!(1) }", 2),
        ("unfinished or async", "src/a.rs", "//! x\nasync fn f() {}", 2),
        ("unfinished or async", "src/a.rs", "//! x\nuse tokio::spawn;", 2),
    ];
    for (name, rule) in RULES {
        assert!(broken.iter().any(|(broken, ..)| *broken == name), "nothing breaks \"{name}\"");
        for (broken, path, text, line) in broken.iter() {
            let lines: Vec<usize> =
                rule(&Source::new(path, text)).into_iter().map(|(line, _)| line).collect();
            if *broken == name {
                assert_eq!(lines, [*line], "{name} on {path}: {text}");
            }
        }
    }
}

#[test]
fn no_rule_complains_of_what_is_right() {
    let nested =
        "//! x\n#[cfg(test)]\nmod tests {\n    use crate::http::X;\n    fn f() { let _ = '}'; }\n}\n";
    let right = [
        (
            "src/store/log.rs",
            "//! x\nuse crate::{columnar::{Block, query}, error::Error};\nuse super::open;\n",
        ),
        ("src/store/mod.rs", "//! x\n// use crate::http;\n/* tiny_http /* unsafe */ async */\n"),
        (
            "src/store/open.rs",
            "//! x\nconst A: &str = \"crate::http \\\" unsafe\"; const B: &str = r#\"todo!() \"#;\n",
        ),
        ("src/value.rs", nested),
        ("src/http/server.rs", "//! x\nuse tiny_http::Server; use crate::query::run;\n"),
        ("src/main.rs", "//! x\nuse windrow::cli; use crate::cli;\n"),
        (
            "src/cli/mod.rs",
            "//! x\n#![deny(unsafe_code)]\nuse crate::app::App; fn f<'a>(_: &'a str, c: char) { c == '\"'; }\n",
        ),
        ("tests/a.rs", "//! x\nuse tiny_http::Server; fn f(utils: u8) {}\n"),
    ];
    for (path, text) in right {
        for (name, rule) in RULES {
            assert_eq!(rule(&Source::new(path, text)), [], "{name} on {path}: {text}");
        }
    }
}

#[test]
fn circles_and_strangers_are_found() {
    let file = |path: &str, import: &str| Source::new(path, &format!("//! x\nuse crate::{import}::X;\n"));
    let circle =
        [file("src/a.rs", "b"), file("src/b/inner.rs", "c"), file("src/c.rs", "b"), file("src/d.rs", "a")];
    assert_eq!(ground_cycle(&circle).unwrap(), ["b", "c", "b"]);
    assert_eq!(ground_cycle(&[file("src/a.rs", "b"), file("src/b.rs", "c"), file("src/c.rs", "c")]), None);
    let found =
        strangers(&[file("src/a.rs", "Error"), file("src/drawer/x.rs", "a"), file("src/store/x.rs", "a")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("src/a.rs:2: crate::Error") && found[1].starts_with("src/drawer/x.rs: drawer")
    );
}

#[test]
fn wrong_migrations_and_libraries_are_found() {
    let faults =
        |names: &[&str]| migration_faults(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).len();
    assert_eq!(faults(&["0001_first.sql", "0002_second.sql"]), 0);
    assert_eq!(faults(&["0001_first.sql", "0003_third.sql"]), 1);
    assert_eq!(faults(&["0000_zero.sql"]), 1);
    assert_eq!(
        faults(&["0001_first.sql", "0002-second.sql", "0003_.sql", "4_a.sql", "0005_A.sql", "0006_a.txt"]),
        5
    );

    let manifest = "[dependencies]\na = \"1\"\n[dev-dependencies]\nb = { version = \"1\" }\n\
                    [target.'cfg(unix)'.dependencies]\nd = \"1\"\n";
    let told = |names: &[&str]| {
        let reasons: String = names.iter().map(|name| format!("- `{name}`: why\n")).collect();
        library_faults(manifest, &format!("# X\n\n## Libraries\n\n{reasons}\n## Other\n\n- `b`: why\n"))
    };
    assert_eq!(told(&["a", "b", "d"]), Vec::<String>::new());
    assert_eq!(told(&["a", "b"]).len(), 1);
    let faults = told(&["a", "c", "d"]);
    assert_eq!(faults.len(), 2, "{faults:?}");
}
