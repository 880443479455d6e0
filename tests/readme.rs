//! The docs, checked against the program: every ```console example of README.md and docs/*.md is run and its output
//! compared, the calls of docs/http.md are those of the route table, the limits of README.md those of the source,
//! every verb has an example, and links lead somewhere. How to write an example is in CONTRIBUTING.md, "Examples in the docs".

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "readme/shell.rs"]
mod shell;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use regex::Regex;
use shell::Shell;
use windrow::cli::Arguments;
use windrow::http::routes::ROUTES;
use windrow::limits;

/// What differs from run to run, and what stands for it when outputs are compared.
const VARYING: [(&str, &str); 9] = [
    (r#""elapsed_ms":[0-9.]+"#, r#""elapsed_ms":N"#),
    (r"in [0-9.]+ s \([0-9,]+ rows/s\)", "in N s (N rows/s)"),
    // only the clock of the machine has digits of µs; the events of the examples have whole seconds
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{4,6}Z", "NOW"),
    // signed with a secret of the file
    (r#""(next|prev)":"[A-Za-z0-9_-]{40,}""#, r#""$1":"CURSOR""#),
    (r"in use by process [0-9]+", "in use by process N"),
    // drawn by chance: keys, their ids, and the code of the link
    (r"wr_[a-z2-9]{10}_[A-Za-z0-9_-]{43}", "wr_SECRET"),
    (r#"("id":"|key     |the key )[a-z2-9]{10}"#, "${1}ID"),
    (r"signin\?code=[A-Za-z0-9_-]{43}", "signin?code=CODE"),
    (r"(?m)^Date: .*$", "Date: NOW"),
];

/// Set to `write`, it puts what came out into the docs, for whoever changes them to look at the difference.
const WRITE: &str = "WINDROW_EXAMPLES";

fn house(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn documents() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(house("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    all.push(house("README.md"));
    all.sort();
    all
}

/// What stands in a block: a command, or the end of the server by Ctrl-C, with the line it begins at.
struct Example {
    line: usize,
    command: String,
    expected: String,
}

/// The examples of a document, and its text with `{n}` marks where the outputs stood, to write it anew.
fn examples(text: &str) -> (Vec<Example>, Vec<String>) {
    let (mut found, mut pieces) = (Vec::<Example>::new(), vec![String::new()]);
    let mut inside = false;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let begins = line.starts_with("$ ") || line == "^C\n";
        if !inside || line == "```\n" || begins || line.starts_with("> ") {
            inside = if line.starts_with("```") { line == "```console\n" } else { inside };
            let command = line.strip_prefix("$ ").or(line.strip_prefix("> ")).unwrap_or(line);
            if inside && begins {
                found.push(Example {
                    line: number + 1,
                    command: command.to_owned(),
                    expected: String::new(),
                });
                pieces.last_mut().unwrap().push_str(line);
                pieces.push(String::new());
            } else if inside && line.starts_with("> ") {
                found.last_mut().expect("a command begins with $").command.push_str(command);
                let at = pieces.len() - 2;
                pieces[at].push_str(line);
            } else {
                pieces.last_mut().unwrap().push_str(line);
            }
        } else {
            let example =
                found.last_mut().unwrap_or_else(|| panic!("line {}: output of nothing", number + 1));
            example.expected.push_str(line);
        }
    }
    (found, pieces)
}

fn alike(text: &str) -> String {
    VARYING.iter().fold(text.to_owned(), |text, (pattern, instead)| {
        Regex::new(pattern).unwrap().replace_all(&text, *instead).into_owned()
    })
}

/// Runs the examples of a document in an empty folder; gives what was wrong, and how many there were.
fn run(path: &Path) -> (Vec<String>, usize) {
    let text = std::fs::read_to_string(path).unwrap();
    let (examples, pieces) = examples(&text);
    if examples.is_empty() {
        return (Vec::new(), 0);
    }
    let mut shell = Shell::start();
    let (mut wrong, mut renewed) = (Vec::new(), pieces[0].clone());
    for (example, piece) in examples.iter().zip(&pieces[1..]) {
        let printed = shell.run(example.command.trim_end(), example.expected.lines().count());
        let same = alike(&printed) == alike(&example.expected);
        renewed.push_str(if same { &example.expected } else { &printed });
        renewed.push_str(piece);
        if !same {
            let name = path.file_name().unwrap().to_string_lossy();
            wrong.push(format!(
                "{name}, line {}: {}prints\n{printed}instead of\n{}",
                example.line, example.command, example.expected
            ));
        }
    }
    if !wrong.is_empty() && std::env::var(WRITE).is_ok_and(|value| value == "write") {
        std::fs::write(path, renewed).unwrap();
    }
    (wrong, examples.len())
}

#[test]
fn every_example_prints_what_is_written() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl here, which the examples use");
        return;
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    // side by side: most of the time goes into starting processes and waiting for the disk
    std::thread::scope(|scope| {
        let running: Vec<_> =
            documents().into_iter().map(|path| scope.spawn(move || (run(&path), path))).collect();
        for document in running {
            let ((faults, examples), path) = document.join().unwrap();
            println!("{}: {examples} examples", path.display());
            wrong.extend(faults);
            count += examples;
        }
    });
    assert!(wrong.is_empty(), "{}\n{WRITE}=write puts what came out into the docs", wrong.join("\n"));
    assert!(count >= 20, "only {count} examples were found");
}

#[test]
fn an_output_that_changed_is_seen() {
    let text =
        "# X\n\n```console\n$ echo a\n> echo b\na\nb\n$ false\n$ echo $?\n0\n```\n\n```sh\n$ not run\n```\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.md");
    std::fs::write(&path, text).unwrap();
    let (wrong, count) = run(&path);
    assert_eq!(count, 3);
    assert_eq!(wrong, ["x.md, line 9: echo $?\nprints\n1\ninstead of\n0\n"]);
    let (found, pieces) = examples(text);
    let together: String = pieces
        .iter()
        .zip(found.iter().map(|e| e.expected.as_str()).chain([""]))
        .map(|(p, e)| format!("{p}{e}"))
        .collect();
    // a piece ends with the command, its output follows
    assert_eq!(together, text);
}

#[test]
fn what_varies_is_all_that_is_left_out() {
    for (text, same) in [
        ("{\"elapsed_ms\":0.305,\"rows\":2}", "{\"elapsed_ms\":N,\"rows\":2}"),
        ("a: 2 rows in 0.01 s (1,234 rows/s), 0 rejected", "a: 2 rows in N s (N rows/s), 0 rejected"),
        ("\"ts\":\"2026-03-01T10:00:00Z\"", "\"ts\":\"2026-03-01T10:00:00Z\""),
        ("2026-11-21T14:41:15.487910Z", "NOW"),
        ("\"next\":null", "\"next\":null"),
    ] {
        assert_eq!(alike(text), same);
    }
}

#[test]
fn the_calls_in_the_docs_are_those_of_the_table() {
    let text = std::fs::read_to_string(house("docs/http.md")).unwrap();
    let mut known = Vec::new();
    for route in &ROUTES {
        let call = format!("## {} {}\n", route.method.name(), route.pattern);
        let section = text.split_once(&call).unwrap_or_else(|| panic!("docs/http.md has no {call}")).1;
        let section = section.split("\n## ").next().unwrap();
        for parameter in route.parameters {
            assert!(section.contains(&format!("`{parameter}`")), "{call}has no parameter `{parameter}`");
        }
        known.push(call);
    }
    for line in text.split_inclusive('\n') {
        let is_call = line.starts_with("## ") && line.contains(" /");
        assert!(!is_call || known.iter().any(|call| call == line), "{line} is in no route table");
    }
}

#[test]
fn the_scopes_in_the_docs_are_those_of_the_table() {
    let text = std::fs::read_to_string(house("docs/access.md")).unwrap();
    for route in &ROUTES {
        let scopes: Vec<String> =
            route.need.scopes().iter().map(|scope| format!("`{}`", scope.name())).collect();
        let scopes = if scopes.is_empty() { "–".to_owned() } else { scopes.join(" and ") };
        let row = format!("| `{} {}` | {scopes} |\n", route.method.name(), route.pattern);
        assert!(text.contains(&row), "docs/access.md has no row {row}");
    }
}

#[test]
fn the_limits_in_the_readme_are_those_of_the_source() {
    let text = std::fs::read_to_string(house("README.md")).unwrap();
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let count = |count: usize| shell::grouped(count);
    let rows = [
        ("request body", mib(limits::BODY_BYTES)),
        ("request body, unpacked", mib(limits::INFLATED_BYTES)),
        ("one event", mib(limits::RECORD_BYTES)),
        ("nesting of an event", format!("{} levels", limits::NESTING)),
        ("field name", format!("{} bytes", limits::FIELD_NAME_BYTES)),
        ("fields of a dataset", count(limits::FIELDS)),
        ("rejected rows that are listed", count(limits::REJECTIONS_LISTED)),
        (
            "rows of a page",
            format!("{}, {} unless asked", count(limits::PAGE_ROWS), limits::PAGE_ROWS_DEFAULT),
        ),
        ("rows of an answer", count(limits::ANSWER_ROWS)),
        ("groups of a query", count(limits::GROUPS)),
        ("requests waiting for the writer", count(limits::WRITER_QUEUE)),
        ("one JSON file of `import`", mib(limits::JSON_FILE_BYTES as usize)),
    ];
    for (what, limit) in rows {
        let row = format!("| {what} | {limit} |");
        assert!(text.contains(&row), "README.md has no row {row}");
    }
}

#[test]
fn every_verb_is_in_the_docs_with_an_example() {
    let texts: Vec<String> = documents().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for verb in Arguments::command().get_subcommands() {
        // flags of all verbs may stand before it
        let call = Regex::new(&format!(r"(?m)^\$.*\bwindrow( --\S+ \S+)* {}\b", verb.get_name())).unwrap();
        assert!(texts.iter().any(|text| call.is_match(text)), "no example of windrow {}", verb.get_name());
    }
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)(#[^)]*)?\)").unwrap();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for found in link.captures_iter(&text) {
            let target = &found[1];
            let there = target.contains("://") || path.parent().unwrap().join(target).exists();
            assert!(there, "{}: {target} is not there", path.display());
        }
    }
}
