//! What a newcomer probably meant: tips for command lines that cannot be read, and for questions asked of the wrong
//! verb. `parse` in `cli` and the verbs call it; a mistake that is met again is a case here with a test.

use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Arguments;
use crate::error::{Error, Result};
use crate::fields::check_dataset_name;

/// What people call a verb who come from other programs, and what does it here.
const OTHER_WORDS: [(&[&str], &str); 10] = [
    (&["list", "ls", "show", "tables", "describe", "info", "status", "schema"], "windrow datasets"),
    (&["drop", "rm", "remove"], "windrow datasets NAME --drop"),
    (&["delete", "purge"], "windrow erase NAME --where \"user_id = 7\""),
    (&["start", "run", "server", "listen", "up"], "windrow serve"),
    (&["load", "insert", "ingest", "add", "copy"], "windrow import visits visits.csv"),
    (&["dump", "unload"], "windrow export NAME"),
    (&["ask", "exec", "shell"], "windrow sql 'SELECT count(*) FROM visits'"),
    (&["vacuum", "compact", "pack"], "windrow optimize"),
    (&["verify", "fsck", "integrity"], "windrow check"),
    (&["login", "token", "tokens", "users", "auth"], "windrow keys"),
];

/// Letters that a mistyped verb may differ in.
const VERB_DISTANCE: usize = 2;

/// The error with a tip, where the words let one guess what was meant.
pub fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let verbs: Vec<String> =
        Arguments::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let verb = words.iter().skip(1).find(|word| verbs.contains(*word)).map(String::as_str);
    let tip = match (error.kind(), verb) {
        (ErrorKind::InvalidSubcommand, _) => {
            let has_own = error.get(ContextKind::SuggestedSubcommand).is_some();
            let word = text(&error, ContextKind::InvalidSubcommand);
            word.filter(|_| !has_own).and_then(|word| tip_for_verb(&word, &verbs))
        }
        (ErrorKind::UnknownArgument, Some("query"))
            if matches!(
                text(&error, ContextKind::InvalidArg).as_deref(),
                Some("--tz" | "--week-start")
            ) =>
        {
            Some(
                "a JSON query says it itself: {\"from\": \"visits\", \"tz\": \"Europe/Berlin\", \"week_start\": \"sunday\"}"
                    .to_owned(),
            )
        }
        (ErrorKind::UnknownArgument, Some(verb @ ("sql" | "query"))) => {
            let word = text(&error, ContextKind::InvalidArg).unwrap_or_default();
            let example =
                if verb == "sql" { "'SELECT count(*) FROM visits'" } else { "'{\"from\": \"visits\"}'" };
            (!word.starts_with('-')).then(|| {
                format!(
                    "the shell took the question apart; put quotes around all of it: windrow {verb} {example}"
                )
            })
        }
        (ErrorKind::MissingRequiredArgument, Some("import")) => {
            let file = words.iter().skip_while(|word| *word != "import").nth(1);
            file.filter(|word| looks_like_file(word)).map(|file| tip_for_import(file))
        }
        (ErrorKind::MissingRequiredArgument, Some("erase")) => {
            Some("say which events, as in --where \"user_id = 7\"; --where true is all of them".to_owned())
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

fn tip_for_verb(word: &str, verbs: &[String]) -> Option<String> {
    if looks_like_sql(word) {
        return Some("that looks like SQL; ask it with windrow sql 'SELECT …'".to_owned());
    }
    if looks_like_file(word) {
        return Some(format!("that looks like a file; {}", tip_for_import(word)));
    }
    if let Some((_, does)) = OTHER_WORDS.iter().find(|(words, _)| words.contains(&word)) {
        return Some(format!("here that is {does}"));
    }
    let near = verbs.iter().map(|verb| (strsim::damerau_levenshtein(word, verb), verb));
    let (_, verb) = near.filter(|(distance, _)| *distance <= VERB_DISTANCE).min()?;
    Some(format!("a similar verb exists: '{verb}'"))
}

/// How a file is imported: the dataset comes first.
pub fn tip_for_import(file: &str) -> String {
    format!("the dataset comes first, then its files: windrow import {} {file}", dataset_name(file))
}

/// Whether a word names a file rather than a dataset.
pub fn looks_like_file(word: &str) -> bool {
    !word.starts_with('-') && (word.contains(['.', '/']) || Path::new(word).is_file())
}

/// Whether a text begins as SQL does.
pub fn looks_like_sql(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    matches!(
        first.as_str(),
        "select" | "with" | "from" | "show" | "describe" | "insert" | "update" | "delete"
    )
}

/// Refuses a text for `sql` that is meant for another verb.
///
/// # Errors
/// `Invalid` with that verb.
pub fn check_is_sql(text: &str) -> Result<()> {
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    if text.trim_start().starts_with('{') {
        return Err(Error::invalid(
            "that looks like a JSON query; ask it with `windrow query`, or write a SELECT",
        ));
    }
    if matches!(first.as_str(), "show" | "describe" | "desc" | "pragma" | ".tables" | "\\d" | "\\dt") {
        return Err(Error::invalid(
            "sql answers a SELECT; `windrow datasets` lists what there is, `windrow datasets NAME` the fields of one",
        ));
    }
    Ok(())
}

/// Refuses a text for `query` that is meant for another verb, or that a shell has taken the quotes from.
///
/// # Errors
/// `Invalid` with what to do.
pub fn check_is_json(text: &str) -> Result<()> {
    if looks_like_sql(text) {
        return Err(Error::invalid("that looks like SQL; ask it with `windrow sql`, or write a JSON query"));
    }
    if text.trim_start().starts_with('{') && !text.contains('"') && text.trim() != "{}" {
        return Err(Error::invalid(
            "the query is no JSON: it has no double quotes, which stand around names and texts; put single quotes around \
             the whole query, so that the shell leaves them, as in windrow query '{\"from\": \"visits\"}'",
        ));
    }
    Ok(())
}

/// A name for the dataset that the rows of a file may go to.
pub fn dataset_name(file: &str) -> String {
    let name =
        Path::new(file).file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = stem.chars().map(plain).collect();
    let name = name.trim_matches(|c: char| c == '_' || c.is_ascii_digit());
    if check_dataset_name(name).is_ok() { name.to_owned() } else { "events".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_told_what_was_probably_meant() {
        for (line, tip) in [
            ("slq", "a similar verb exists: 'sql'"),
            ("dataset", "'datasets'"),
            ("importt", "'import'"),
            ("SELECT", "windrow sql 'SELECT …'"),
            ("visits.csv", "windrow import visits visits.csv"),
            ("sql SELECT a FROM visits", "put quotes around all of it"),
            ("query {from: visits}", "windrow query '{\"from\": \"visits\"}'"),
            ("import data/2026-Visits.csv.gz", "windrow import visits data/2026-Visits.csv.gz"),
            ("import 7.csv", "windrow import events 7.csv"),
            ("erase visits", "--where \"user_id = 7\""),
            ("list", "here that is windrow datasets"),
            ("drop visits", "windrow datasets NAME --drop"),
            ("run --listen 127.0.0.1:0", "windrow serve"),
            ("vacuum", "windrow optimize"),
            ("query --tz UTC {}", "{\"from\": \"visits\", \"tz\": \"Europe/Berlin\""),
        ] {
            let words: Vec<OsString> =
                std::iter::once("windrow").chain(line.split(' ')).map(OsString::from).collect();
            let error = crate::cli::parse(&words).unwrap_err();
            let crate::cli::Failure::Words(error) = error else { panic!("{line}: {error:?}") };
            let told = error.render().to_string();
            assert!(told.contains("tip: ") && told.contains(tip), "{line}: {told}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn a_question_asked_of_the_wrong_verb_is_told_the_right_one() {
        let said = |found: Result<()>| found.unwrap_err().to_string();
        assert!(said(check_is_sql(" {\"from\": \"a\"}")).contains("`windrow query`"));
        assert!(said(check_is_sql("SHOW TABLES")).contains("`windrow datasets`"));
        assert!(said(check_is_json("select 1")).contains("`windrow sql`"));
        assert!(said(check_is_json("{from: visits}")).contains("single quotes around"));
        assert!(check_is_sql("SELECT 1").is_ok() && check_is_json("{\"from\": \"a\"}").is_ok());
    }

    #[test]
    fn no_tip_is_better_than_a_wrong_one() {
        for line in ["frobnicate", "sql SELECT --format", "import visits", "sql", "sql x --formt csv"] {
            let words: Vec<OsString> =
                std::iter::once("windrow").chain(line.split(' ')).map(OsString::from).collect();
            let Err(crate::cli::Failure::Words(error)) = crate::cli::parse(&words) else { panic!("{line}") };
            assert!(error.get(ContextKind::Suggested).is_none(), "{line}: {}", error.render());
        }
    }
}
