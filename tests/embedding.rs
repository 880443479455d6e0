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
    let run = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--example", "embed", "--"])
        .arg(folder.path().join("readings.db"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // of .cargo/config.toml, where this cargo reads it as the one above did: found in the environment as well it would count
        // as changed, and all that stands on SQLite would be built anew
        .env_remove("LIBSQLITE3_FLAGS")
        .env_remove("CFLAGS")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{errors}");
    assert_eq!(String::from_utf8_lossy(&run.stdout), block("text"), "{errors}");
}
