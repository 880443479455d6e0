//! What a person sees at the command line, through the real binary: tables, `--human`, `--chart`, colours in pipes and
//! on a terminal, completions, and what a newcomer's mistakes are answered with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use common::process::{bare, finish};
use common::{assert_says, run, run_with_input, temp_dir};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

const VISITS: &str = "\
ts,country,path,ms,bytes
2026-03-01T10:00:00Z,DE,/docs/installation-on-linux,12.5,52428
2026-03-01T11:00:00Z,FR,/,30,1200
2026-03-02T09:00:00Z,DE,/docs/installation-on-linux,20.25,104857600
2026-03-04T09:00:00Z,東京,/,1500,8
";

/// A folder with a database of visits.
fn visits() -> tempfile::TempDir {
    let dir = temp_dir();
    run_with_input(dir.path(), &["import", "visits", "-", "--format", "csv"], VISITS.as_bytes()).exits(0);
    dir
}

/// What a command prints on a terminal of so many columns, without the returns of its lines.
fn on_terminal(dir: &Path, columns: u16, environment: &[(&str, &str)], args: &[&str]) -> String {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    tcsetwinsize(&controller, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = OsString::from_vec(ptsname(&controller, Vec::new()).unwrap().into_bytes());
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = bare();
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").envs(environment.iter().copied()).current_dir(dir).args(args);
    command.stdin(Stdio::null()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let mut child = command.spawn().unwrap();
    // the terminal ends with its last holder, and the command holds it too
    drop(command);
    let mut printed = Vec::new();
    let mut buffer = [0; 4096];
    let mut controller = File::from(controller);
    // a terminal that nobody holds any more is an error on Linux and an end elsewhere
    while let Ok(count @ 1..) = controller.read(&mut buffer) {
        printed.extend_from_slice(&buffer[..count]);
    }
    child.wait().unwrap();
    String::from_utf8(printed).unwrap().replace('\r', "")
}

#[test]
fn a_table_is_aligned_by_what_is_seen_and_numbers_are_short_for_people() {
    let dir = visits();
    let sql = "SELECT country, count(*), sum(bytes), avg(ms), min(_time) FROM visits GROUP BY 1 ORDER BY 1";
    let exact = run(dir.path(), &["sql", sql, "--format", "table"]).exits(0).stdout;
    let expected = "\
country  count(*)  sum(bytes)  avg(ms)  min(_time)
-------  --------  ----------  -------  --------------------
DE              2   104910028   16.375  2026-03-01T10:00:00Z
FR              1        1200     30.0  2026-03-01T11:00:00Z
東京            1           8   1500.0  2026-03-04T09:00:00Z
(3 rows)
";
    assert_eq!(exact, expected);
    // --human asks for a table, also in a pipe
    let human = run(dir.path(), &["sql", sql, "--human"]).exits(0).stdout;
    let expected = "\
country  count(*)  sum(bytes)  avg(ms)  min(_time) [UTC]
-------  --------  ----------  -------  ----------------
DE              2   100.0 MiB  16.4 ms  2026-03-01 10:00
FR              1     1.2 KiB    30 ms  2026-03-01 11:00
東京            1         8 B    1.5 s  2026-03-04 09:00
(3 rows)
";
    assert_eq!(human, expected);
    let listed = run(dir.path(), &["datasets", "--human"]).exits(0).stdout;
    assert!(listed.contains(" B  2026-03-01T10:00:00Z") || listed.contains(" KiB  2026-03-01"), "{listed}");
}

#[test]
fn a_query_of_days_in_a_zone_names_the_zone_once() {
    let dir = visits();
    let query = r#"{"from": "visits", "by": ["day(_time)"], "select": ["count()"], "tz": "Europe/Berlin",
                    "order": ["day(_time)"]}"#;
    let table = run(dir.path(), &["query", query, "--human"]).exits(0).stdout;
    assert!(table.starts_with("day(_time) [Europe/Berlin]  count()\n"), "{table}");
    assert!(table.contains("\n2026-03-01                        2\n"), "{table}");
}

#[test]
fn charts_are_the_same_in_every_pipe() {
    let dir = visits();
    let sql = "SELECT country, count(*) FROM visits GROUP BY 1 ORDER BY 2 DESC, 1";
    let chart = run(dir.path(), &["sql", sql, "--chart"]).exits(0).stdout;
    let bar = |count| "█".repeat(count);
    let expected = format!(
        "country  count(*)\nDE       2  {}\nFR       1  {}\n東京     1  {}\n",
        bar(68),
        bar(34),
        bar(34)
    );
    assert_eq!(chart, expected);
    let days = "SELECT day(_time), country, count(*) FROM visits GROUP BY 1, 2";
    let lines = run(dir.path(), &["sql", days, "--chart"]).exits(0).stdout;
    assert!(
        lines.contains("min  max  last") && lines.lines().any(|line| line.starts_with("東京")),
        "{lines}"
    );
    let refused = run(dir.path(), &["sql", "SELECT country FROM visits", "--chart"]).exits(1);
    assert_says(&refused.stderr, &["--chart needs a column of numbers", "\"country\" (string)", "count(*)"]);
}

#[test]
fn flags_for_people_and_for_programs_do_not_mix() {
    let dir = visits();
    for (args, says) in [
        (&["sql", "SELECT 1", "--human", "--format", "csv"][..], &["--human", "--format csv"][..]),
        (&["sql", "SELECT 1", "--human", "--format", "json"], &["--human", "--format json"]),
        (&["query", "{}", "--human", "--format", "ndjson"], &["--human", "--format ndjson"]),
        (&["sql", "SELECT 1", "--chart", "--format", "table"], &["--chart", "--format table"]),
        (&["query", "{}", "--chart", "--json"], &["--chart", "--json"]),
        (&["datasets", "--human", "--json"], &["--human", "--json"]),
    ] {
        let refused = run(dir.path(), args).exits(2);
        assert_says(&refused.stderr, says);
        assert!(refused.stderr.contains("leave one of them out"), "{}", refused.stderr);
    }
}

#[test]
fn a_pipe_never_gets_colours_unless_they_are_asked_for() {
    let dir = visits();
    let calls: [&[&str]; 5] = [
        &["sql", "SELECT * FROM visits", "--format", "table"],
        &["sql", "SELECT country, count(*) FROM visits GROUP BY 1", "--chart"],
        &["config"],
        &["slq"],
        &["sql", "SELECT"],
    ];
    for args in calls {
        let plain = run(dir.path(), args);
        assert!(!plain.output().contains('\x1b'), "{args:?}: {}", plain.output());
        let coloured = run(dir.path(), &[args, &["--color", "always"][..]].concat());
        assert!(coloured.output().contains("\x1b["), "{args:?}: {}", coloured.output());
        let never = on_terminal(dir.path(), 80, &[], &[args, &["--color=never"][..]].concat());
        assert!(!never.contains('\x1b'), "{args:?}: {never}");
    }
}

#[test]
fn a_terminal_gets_colours_unless_the_environment_forbids_them() {
    let dir = visits();
    let args = ["sql", "SELECT country, count(*) FROM visits GROUP BY 1 ORDER BY 1"];
    let coloured = on_terminal(dir.path(), 80, &[], &args);
    assert!(coloured.starts_with("\x1b[1mcountry\x1b[0m  \x1b[1mcount(*)\x1b[0m\n"), "{coloured:?}");
    let error = on_terminal(dir.path(), 80, &[], &["sql", "SELECT"]);
    assert!(error.contains("\x1b[1;31mwindrow:\x1b[0m "), "{error:?}");
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(dir.path(), 80, &[environment], &args);
        assert!(plain.starts_with("country  count(*)\n"), "{environment:?}: {plain:?}");
    }
}

#[test]
fn a_table_and_a_chart_fit_the_terminal() {
    let dir = visits();
    let sql = "SELECT country, path, bytes FROM visits ORDER BY bytes DESC";
    let table = on_terminal(dir.path(), 36, &[("NO_COLOR", "1")], &["sql", sql]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[2].starts_with("DE       /docs/inst") && lines[2].ends_with("…  104857600"), "{table}");
    assert_eq!(lines[2].chars().count(), 36, "{table}");
    assert!(
        table.ends_with("cells are cut to fit the terminal; --format json, csv or ndjson has them whole\n"),
        "{table}"
    );
    let records = on_terminal(dir.path(), 24, &[("NO_COLOR", "1")], &["sql", sql]);
    assert!(
        records.starts_with("row 1\n  country  DE\n  path     /docs/instal…\n  bytes    104857600\n"),
        "{records}"
    );
    let sql = "SELECT country, count(*) FROM visits GROUP BY 1 ORDER BY 2 DESC";
    let chart = on_terminal(dir.path(), 32, &[("NO_COLOR", "1")], &["sql", sql, "--chart"]);
    assert!(chart.contains(&format!("\nDE       2  {}\n", "█".repeat(20))), "{chart}");
}

#[test]
fn a_newcomers_mistakes_are_answered_with_what_to_do() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("visits.csv"), VISITS).unwrap();
    std::fs::write(dir.path().join("notes.foo"), "hello").unwrap();
    let looked_for = dir.path().join("windrow.db").display().to_string();
    let cases: [(&[&str], i32, &[&str]); 19] = [
        (&["slq"], 2, &["'sql'"]),
        (&["visits.csv"], 2, &["windrow import visits visits.csv"]),
        (&["SELECT count(*) FROM visits"], 2, &["windrow sql"]),
        (&["sql", "SELECT count(*) FROM visits"], 1, &["no database", &looked_for, "import", "demo", "--db"]),
        (&["erase", "visits", "--where", "true"], 1, &["no database", &looked_for, "import", "--db"]),
        (&["sql", "SELECT", "a", "FROM", "visits"], 2, &["quotes around all of it", "'SELECT count(*)"]),
        (&["sql", "select"], 1, &["at column 7", "expected an expression"]),
        (&["sql", "{\"from\": \"visits\"}"], 1, &["windrow query"]),
        (&["sql", "show tables"], 1, &["windrow datasets"]),
        (&["sql", "SELECT 1 FROM visits", "--format", "parquet"], 2, &["windrow export"]),
        (&["query", "SELECT 1"], 1, &["looks like SQL", "windrow sql"]),
        (&["query", "{from: visits}"], 1, &["double quotes", "single quotes around the whole"]),
        (&["import", "visits.csv"], 2, &["windrow import visits visits.csv"]),
        (
            &["import", "visits.csv", "visits.csv"],
            1,
            &["no dataset name", "windrow import visits visits.csv"],
        ),
        (&["import", "visits", "visit.csv"], 1, &["no file visit.csv", "did you mean \"visits.csv\""]),
        (&["import", "visits", "."], 1, &["directory"]),
        (&["import", "visits", "visits.csv", "--format", "xlsx"], 2, &["formats are ndjson, json, csv, tsv"]),
        (&["import", "visits", "notes.foo"], 1, &["--format (", "ndjson", "csv", "access-log", "parquet"]),
        (&["erase", "visits"], 2, &["--where"]),
    ];
    for (args, code, says) in cases {
        let ran = run(dir.path(), args).exits(code);
        assert_says(&ran.stderr, says);
        assert!(ran.stdout.is_empty(), "{args:?}: errors go to stderr: {}", ran.stdout);
    }
}

#[test]
fn a_wrong_dataset_and_a_misplaced_aggregate_are_explained() {
    let dir = visits();
    assert_says(
        &run(dir.path(), &["sql", "SELECT 1 FROM visit"]).exits(1).stderr,
        &["did you mean \"visits\""],
    );
    for args in
        [["export", "visits", "--where", "count(*) > 2"], ["erase", "visits", "--where", "count(*) > 2"]]
    {
        let stderr = run(dir.path(), &args).exits(1).stderr;
        assert_says(&stderr, &["count() is an aggregate", "one row at a time"]);
        assert!(!stderr.contains("HAVING"), "there is none here: {stderr}");
    }
    run(dir.path(), &["erase", "visits", "--where", "true"]).exits(0);
}

#[test]
fn an_empty_database_says_how_to_fill_it() {
    let dir = temp_dir();
    run_with_input(dir.path(), &["import", "visits", "-", "--format", "csv"], b"").exits(1);
    let stderr = run(dir.path(), &["sql", "SELECT 1 FROM visits"]).exits(1).stderr;
    assert_says(&stderr, &["no dataset \"visits\"", "is empty", "windrow import visits FILE"]);
}

#[test]
fn problem_objects_of_the_command_line_speak_of_no_server() {
    let dir = temp_dir();
    let problem = |args: &[&str], code: i32| -> Value {
        let stderr = run(dir.path(), args).exits(code).stderr;
        serde_json::from_str(&stderr).unwrap_or_else(|e| panic!("{e}: {stderr}"))
    };
    let missing = problem(&["--json", "sql", "SELECT 1 FROM a"], 1);
    assert_eq!((&missing["status"], &missing["exit_code"]), (&404.into(), &1.into()));
    let usage = problem(&["slq", "--json"], 2);
    assert_eq!((&usage["type"], &usage["exit_code"]), (&"urn:windrow:problem:invalid".into(), &2.into()));
    assert!(usage["detail"].as_str().unwrap().starts_with("unrecognized subcommand"), "{usage}");
    std::fs::write(dir.path().join("a.csv"), "a\n1\n").unwrap();
    let mut command = bare();
    command.current_dir(dir.path()).args(["--json", "--db", "none/x.db", "import", "a", "a.csv"]);
    let file: Value = serde_json::from_str(&finish(command, Vec::new()).exits(1).stderr).unwrap();
    assert_eq!(file["type"], "urn:windrow:problem:file");
    assert!(file.get("status").is_none() && !file.to_string().contains("server"), "{file}");
}

#[test]
fn every_verb_has_a_help_of_80_columns_with_an_example() {
    for verb in windrow::cli::Arguments::command().get_subcommands() {
        let mut command = bare();
        command.args([verb.get_name(), "--help"]);
        let help = finish(command, Vec::new()).exits(0).stdout;
        assert_says(&help, &["Usage: windrow", "Example", "Options of all verbs", "--color"]);
        assert!(!help.contains('\x1b'), "{help}");
    }
    let dir = temp_dir();
    for verb in windrow::cli::Arguments::command().get_subcommands() {
        let help = on_terminal(dir.path(), 80, &[("NO_COLOR", "1")], &[verb.get_name(), "--help"]);
        let wide = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{}", verb.get_name());
    }
}

/// What a shell prints for a script, with the binary first in its path; `None` where there is no such shell.
fn shell(name: &str, args: &[&str]) -> Option<String> {
    let folder = Path::new(env!("CARGO_BIN_EXE_windrow")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).unwrap();
    let ran = Command::new(name).args(args).env("PATH", path).stdin(Stdio::null()).output();
    let Ok(ran) = ran else {
        eprintln!("skipped: there is no {name} here");
        return None;
    };
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{name} {args:?}: {printed}{}", String::from_utf8_lossy(&ran.stderr));
    Some(printed)
}

#[test]
fn bash_completes_verbs_flags_and_values() {
    for (words, expected) in [
        ("windrow se", "serve"),
        ("windrow sql --ch", "--chart"),
        ("windrow --col", "--color"),
        ("windrow completions fi", "fish"),
    ] {
        let script = format!(
            "source <(windrow completions bash); COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _windrow windrow \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        if let Some(printed) = shell("bash", &["-c", &script]) {
            assert_eq!(printed.trim(), expected, "{words}");
        }
    }
}

#[test]
fn every_shell_has_completions_that_it_can_read() {
    let dir = temp_dir();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(dir.path(), &["completions", name]).exits(0).stdout;
        assert!(script.contains("datasets") && script.contains("chart"), "{name}: {script}");
        let file = dir.path().join(name);
        std::fs::write(&file, script).unwrap();
        // those that can check a script without running it
        if ["bash", "zsh", "fish"].contains(&name) {
            shell(name, &["-n", file.to_str().unwrap()]);
        }
    }
    assert_says(&run(dir.path(), &["completions", "tcsh"]).exits(2).stderr, &["bash", "zsh", "fish"]);
}
