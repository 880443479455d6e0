//! The files of `packaging/` and the package's description, checked against the program and the source: what starts
//! Windrow elsewhere uses flags that it has, and what is packed is there. Nothing is built and nothing needs root; the
//! builds themselves are in docs/installing.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use regex::Regex;
use windrow::cli::Arguments;
use windrow::limits;

/// What docs/installing.md promises of the stripped binary.
const BINARY_BYTES_MAX: u64 = 20_000_000;

fn house(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(house(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn manifest() -> toml::Table {
    read("Cargo.toml").parse().unwrap()
}

/// The values of a key of a unit, in their order.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not there");
    }
    found
}

#[test]
fn the_unit_starts_the_program_as_it_can_be_called() {
    let unit = read("packaging/windrow.service");
    let [start] = values(&unit, "ExecStart")[..] else { panic!("one ExecStart expected") };
    let words: Vec<&str> = start.split_whitespace().collect();
    assert_eq!(words[0], "/usr/bin/windrow");
    let arguments = Arguments::try_parse_from(&words).unwrap_or_else(|e| panic!("{start}: {e}"));
    let database = arguments.globals.db.expect("--db is given");
    // the one folder that the service may write to
    assert_eq!(values(&unit, "StateDirectory"), ["windrow"]);
    assert_eq!(database.parent(), Some(Path::new("/var/lib/windrow")));
}

#[test]
fn the_unit_waits_for_a_clean_stop() {
    let unit = read("packaging/windrow.service");
    assert_eq!(values(&unit, "KillSignal"), ["SIGTERM"]);
    let seconds: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
    assert!(Duration::from_secs(seconds) > 2 * Duration::from_secs(limits::STOP_S), "{seconds} s");
}

#[test]
fn systemd_takes_the_unit_and_calls_it_closed() {
    if !is_there("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("windrow.service");
    let unit = read("packaging/windrow.service").replace("/usr/bin/windrow", env!("CARGO_BIN_EXE_windrow"));
    std::fs::write(&path, unit).unwrap();
    for arguments in
        [&["verify", "--man=no"][..], &["security", "--offline=yes", "--threshold=20", "--no-pager"]]
    {
        let ran = Command::new("systemd-analyze").args(arguments).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success(), "systemd-analyze {arguments:?}: {said}");
        assert!(!said.contains("Unknown key"), "{said}");
    }
}

#[test]
fn what_the_debian_package_brings_is_there() {
    let manifest = manifest();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    for asset in assets {
        let source = asset[0].as_str().unwrap();
        if source == "target/release/windrow" {
            continue;
        }
        let folder = source.strip_suffix("*.md").map(|folder| house(folder).read_dir().unwrap().count());
        assert!(folder.is_some_and(|files| files > 0) || house(source).is_file(), "{source} is not there");
    }
    let units = &deb["systemd-units"];
    let unit = format!(
        "{}/{}.service",
        units["unit-scripts"].as_str().unwrap(),
        units["unit-name"].as_str().unwrap()
    );
    assert!(house(&unit).is_file(), "{unit} is not there");
    let unit = read(&unit);
    let user = values(&unit, "User")[0];
    let scripts = deb["maintainer-scripts"].as_str().unwrap();
    let made = read(&format!("{scripts}/postinst"));
    assert!(made.contains(&format!(" {user}\n")) && made.contains("#DEBHELPER#"), "{made}");
    // nothing listens before whoever installs it says so
    assert_eq!((units["enable"].as_bool(), units["start"].as_bool()), (Some(false), Some(false)));
}

#[test]
fn scripts_are_valid_and_tell_wrong_use() {
    for (shell, path) in [("sh", "packaging/debian/postinst"), ("bash", "packaging/static.sh")] {
        let ran = Command::new(shell).arg("-n").arg(house(path)).output().unwrap();
        assert!(ran.status.success(), "{path}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let ran = Command::new("bash").arg(house("packaging/static.sh")).arg("gnu").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("\"gnu\"") && said.contains("no argument"), "{said}");
}

/// The words of the lines of a Containerfile that begin with an instruction.
fn instructions<'f>(file: &'f str, name: &str) -> Vec<Vec<&'f str>> {
    file.lines()
        .filter_map(|line| line.strip_prefix(name))
        .map(|rest| rest.split_whitespace().collect())
        .collect()
}

#[test]
fn the_container_is_built_from_what_the_source_needs() {
    let file = read("packaging/Containerfile");
    let version = manifest()["package"]["rust-version"].as_str().unwrap().to_owned();
    assert!(file.contains(&format!("/rust:{version}-")), "the image is not that of rust-version {version}");
    let copied: Vec<&str> = instructions(&file, "COPY ")
        .into_iter()
        .filter(|words| !words[0].starts_with("--"))
        .flat_map(|words| words[..words.len() - 1].to_vec())
        .collect();
    copied.iter().for_each(|name| assert!(house(name).exists(), "COPY {name}: it is not there"));
    // the folders that the program takes files in from, those of its benches, which Cargo.toml names, and what SQLite is
    // compiled with
    let embedded = Regex::new(r#"include_(?:str|bytes)!\("(?:\.\./)+([a-z]+)/"#).unwrap();
    let mut needed =
        vec!["Cargo.toml".to_owned(), "Cargo.lock".into(), ".cargo".into(), "src".into(), "benches".into()];
    let mut folders = vec![house("src")];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // what tests take in is not part of the program
            if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_tests.rs")) {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let outside_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            needed.extend(embedded.captures_iter(outside_tests).map(|found| found[1].to_owned()));
        }
    }
    for name in needed {
        let is_inside = house("src").join(&name).exists();
        assert!(
            copied.contains(&name.as_str()) || is_inside,
            "the source takes {name}/ in: add COPY {name} {name}"
        );
    }
}

#[test]
fn the_container_runs_the_program_as_it_can_be_called() {
    let file = read("packaging/Containerfile");
    let list = |name: &str| -> Vec<String> {
        let line =
            file.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        serde_json::from_str(line).unwrap()
    };
    let words = [list("ENTRYPOINT "), list("CMD ")].concat();
    Arguments::try_parse_from(&words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
    assert_ne!(instructions(&file, "USER ")[0][0].split(':').next(), Some("0"));
    let volume = instructions(&file, "VOLUME ")[0][0];
    // what COPY brings is root's, unless it says otherwise
    let owner = format!("--chown={}", instructions(&file, "USER ")[0][0]);
    assert!(
        file.contains(&format!("{owner} /owned/ /\n")) && file.contains(&format!("/owned{volume}")),
        "{volume}"
    );
    let database =
        instructions(&file, "ENV ")[0][0].strip_prefix("WINDROW_DB=").expect("the database is set");
    assert_eq!(Path::new(database).parent(), Some(Path::new(volume)));
    let ran = Command::new(env!("CARGO_BIN_EXE_windrow")).args(["--json", "config"]).output().unwrap();
    let port = instructions(&file, "EXPOSE ")[0][0];
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains(&format!("127.0.0.1:{port}")), "the usual port is another: {said}");
}

#[test]
fn the_binary_is_as_small_as_the_docs_say() {
    let docs = read("docs/installing.md");
    assert!(docs.contains("below 20 MB"), "docs/installing.md states the limit");
    let release = Path::new(env!("CARGO_BIN_EXE_windrow")).with_file_name("").join("../release/windrow");
    let built = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if built(&release) <= built(&house("Cargo.toml")) {
        eprintln!("SKIPPED: there is no release build, or one from before Cargo.toml was changed");
        return;
    }
    let meta = release.metadata().unwrap();
    assert!(meta.len() < BINARY_BYTES_MAX, "{} has {} bytes", release.display(), meta.len());
}
