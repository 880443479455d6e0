//! The example program of docs/embedding.md: it stands there as it is in examples/, and prints what the page says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

fn house(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The first fenced block of a language in the page.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(house("docs/embedding.md")).unwrap();
    let begin = format!("```{language}\n");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {language} block"));
    rest.split_once("```\n").unwrap().0.to_owned()
}

#[test]
fn the_page_shows_the_program_as_it_is() {
    assert_eq!(block("rust"), std::fs::read_to_string(house("examples/embed.rs")).unwrap());
}

#[test]
fn the_program_prints_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    // built already, as all examples are by `cargo test`
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--locked", "--example", "embed", "--"])
        .arg(folder.path().join("readings.db"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // what the cargo that runs this test has put into its environment: found there by the one below, which reads the same files,
    // it would count as changed, and C code and all that stands on it would be built anew
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_of_package = name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if is_of_package || ["LIBSQLITE3_FLAGS", "CFLAGS"].contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    let run = command.output().unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&run.stdout), block("text"), "{errors}");
}
