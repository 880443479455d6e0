//! How a command ended that did not do what it was asked: what is told, and the exit code. `main` calls [`Failure::tell`];
//! nothing else of the command line ends the process.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::terminal::width::harmless_lines;
use crate::cli::terminal::{ColourWish, Screen, Style};
use crate::error::Error;
use crate::http::problem::Problem;

/// Wrong items that are printed one by one.
const ITEMS_PRINTED: usize = 10;

/// How a command ended.
#[derive(Debug)]
pub enum Failure {
    /// Its words could not be read, or asked for help: the exit code is the parser's, 2 or 0.
    Words(Box<clap::Error>),
    /// It was called wrongly: exit code 2.
    Use(Error),
    /// It failed: exit code 1.
    Run(Error),
}

impl Failure {
    /// Tells what happened, as a problem object with `--json`, and gives the exit code. `words` are the command line:
    /// where it cannot be read, it still says how it wants to be answered.
    pub fn tell(&self, words: &[OsString]) -> ExitCode {
        let as_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
        let (error, code) = match self {
            Self::Words(error) if as_json && error.use_stderr() => {
                let detail = error.render().to_string();
                let detail = detail.trim().strip_prefix("error: ").unwrap_or(detail.trim());
                (&Error::invalid(detail), 2)
            }
            Self::Words(error) => {
                // whoever reads it may stop early
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            Self::Use(error) => (error, 2),
            Self::Run(error) => (error, 1),
        };
        let text = match as_json {
            true => format!("{}\n", problem(error, code)),
            false => told(error, &Screen::of(&std::io::stderr(), ColourWish::of_words(words))),
        };
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(code)
    }
}

fn told(error: &Error, screen: &Screen) -> String {
    // names and values of data are among the words
    let words = harmless_lines(&error.to_string());
    let mut text = format!("{} {words}\n", screen.paint.text(Some(Style::Error), "windrow:"));
    if let Error::Invalid { items, .. } = error {
        for item in items.iter().take(ITEMS_PRINTED) {
            text.push_str(&format!("  {}: {}\n", item.index, harmless_lines(&item.message)));
        }
    }
    text
}

/// The problem object of HTTP with the exit code. What a server would only call its own fault has a name here, and no
/// status.
fn problem(error: &Error, code: u8) -> Value {
    let mut problem = json!(Problem::of(error));
    let own = match error {
        Error::Io { .. } => Some(("file", "A file or an address cannot be used")),
        Error::Corrupt(_) => Some(("damaged", "The database file is damaged")),
        Error::Sqlite { .. } => Some(("database", "The database cannot be used")),
        Error::Internal(_) => Some(("internal", "Windrow has a fault")),
        _ => None,
    };
    if let (Some((kind, title)), Some(object)) = (own, problem.as_object_mut()) {
        object.insert("type".into(), json!(format!("urn:windrow:problem:{kind}")));
        object.insert("title".into(), json!(title));
        object.shift_remove("status");
    }
    problem["exit_code"] = json!(code);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Paint;
    use crate::error::ItemError;

    #[test]
    fn a_problem_of_the_command_line_blames_no_server() {
        let io = Error::io("cannot open a.csv", std::io::Error::other("no"));
        let found = problem(&io, 1);
        let expected = json!({"type": "urn:windrow:problem:file", "title": "A file or an address cannot be used",
            "detail": "cannot open a.csv: no", "exit_code": 1});
        assert_eq!(found, expected);
        for error in [Error::Corrupt("x".into()), Error::Internal("x".into())] {
            let found = problem(&error, 1).to_string();
            assert!(!found.contains("status") && !found.contains("erver"), "{found}");
        }
        let missing = problem(&Error::NotFound("x".into()), 1);
        assert_eq!((&missing["status"], &missing["exit_code"]), (&json!(404), &json!(1)));
    }

    #[test]
    fn errors_are_told_in_colour_where_there_is_any() {
        let items = vec![ItemError { index: 3, message: "no number".into() }];
        let error = Error::Invalid { detail: "wrong".into(), items };
        assert_eq!(told(&error, &Screen::default()), "windrow: wrong\n  3: no number\n");
        let items = vec![ItemError { index: 3, message: "\u{9b}2J is no number".into() }];
        let steering = Error::Invalid { detail: "no field \u{1b}[2J\nhere".into(), items };
        let harmless = "windrow: no field \\u{1b}[2J\nhere\n  3: \\u{9b}2J is no number\n";
        assert_eq!(told(&steering, &Screen::default()), harmless);
        let screen = Screen { paint: Paint { has_colours: true }, ..Screen::default() };
        assert!(told(&error, &screen).starts_with("\x1b[1;31mwindrow:\x1b[0m wrong\n"));
    }
}
