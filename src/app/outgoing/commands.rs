//! The commands that jobs may run: a TOML file names each with its program and arguments, and nothing else is ever run. A job
//! chooses a name, and fills the places that the file leaves open.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result, nearest_or_first};
use crate::limits;

/// A place that an argument of the job takes.
const PLACE: &str = "{}";

/// All of them by name.
#[derive(Debug, Default)]
pub(super) struct Commands(BTreeMap<String, Vec<String>>);

impl Commands {
    /// Reads the file of the setting; without one there are none.
    ///
    /// # Errors
    /// A file that cannot be read, and what is no command, naming the file and it.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::io(format!("cannot read the commands in {shown} (jobs_commands)"), e))?;
        Self::of(&text).map_err(|e| Error::invalid(format!("the commands in {shown} (jobs_commands): {e}")))
    }

    fn of(text: &str) -> Result<Self> {
        let found: BTreeMap<String, Vec<String>> = toml::from_str(text).map_err(|e| {
            Error::invalid(format!(
                "{}; a line is a name and a list of texts, such as thumbnail = [\"/usr/bin/convert\", \"-resize\", \"100\", \"{PLACE}\"]",
                e.message()
            ))
        })?;
        for (name, words) in &found {
            let wrong = |what: &str| Error::invalid(format!("\"{name}\" {what}"));
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            {
                return Err(wrong("is no name of a command; write letters, digits, _, . and -"));
            }
            let program = words.first().ok_or_else(|| wrong("names no program"))?;
            if !program.starts_with('/') {
                return Err(wrong(
                    "begins with a program that is no full path; write one such as /usr/bin/convert",
                ));
            }
            if words.iter().any(|word| word.contains('\0')) {
                return Err(wrong("has a word with a NUL in it"));
            }
        }
        Ok(Self(found))
    }

    /// The words of a command with the arguments of a job in their places.
    ///
    /// # Errors
    /// No such command, and arguments that it does not take.
    pub fn words(&self, name: &str, arguments: &[String]) -> Result<Vec<String>> {
        if self.0.is_empty() {
            return Err(Error::Forbidden(
                "jobs run no commands here: the setting jobs_commands names a file of those that they may, and is not set".into(),
            ));
        }
        let Some(command) = self.0.get(name) else {
            let hint = nearest_or_first(name, self.0.keys().map(String::as_str));
            return Err(Error::invalid(format!(
                "\"{}\" is no command of the file that the setting jobs_commands names{hint}",
                name.escape_debug()
            )));
        };
        let places = command.iter().filter(|word| *word == PLACE).count();
        if places != arguments.len() {
            return Err(Error::invalid(format!(
                "the command \"{name}\" takes {places} arguments, one for each {PLACE} of it, and the job has {}",
                arguments.len()
            )));
        }
        for argument in arguments {
            let shown = argument.escape_debug();
            if argument.starts_with('-') {
                return Err(Error::invalid(format!(
                    "the argument \"{shown}\" begins with -, and could be taken for an option; options are for the file to say"
                )));
            }
            if argument.contains('\0') || argument.len() > limits::COMMAND_ARGUMENT_BYTES {
                return Err(Error::invalid(format!(
                    "an argument has no NUL, and {} bytes at most; send more as input",
                    limits::COMMAND_ARGUMENT_BYTES
                )));
            }
        }
        let mut arguments = arguments.iter();
        let filled = command.iter().map(|word| match word.as_str() {
            PLACE => arguments.next().unwrap_or(word).clone(),
            _ => word.clone(),
        });
        Ok(filled.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn arguments_take_the_places_that_the_file_leaves_open() {
        let commands =
            Commands::of("copy = ['/bin/cp', '{}', '--', '{}', 'x{}']\nplain = ['/bin/true']").unwrap();
        let words = commands.words("copy", &given(&["a b", "$(c); d"])).unwrap();
        assert_eq!(words, ["/bin/cp", "a b", "--", "$(c); d", "x{}"]);
        assert_eq!(commands.words("plain", &[]).unwrap(), ["/bin/true"]);
        for (name, arguments, word) in [
            ("copy", &["a"][..], "2 arguments"),
            ("plain", &["a"], "0 arguments"),
            ("copy", &["a", "-rf"], "option"),
            ("copy", &["a", "b\0c"], "NUL"),
            ("cpoy", &["a", "b"], "copy"),
            ("/bin/sh", &[], "no command"),
        ] {
            let refused = commands.words(name, &given(arguments)).unwrap_err().to_string();
            assert!(refused.contains(word), "{name}: {refused}");
        }
    }

    #[test]
    fn without_the_setting_there_is_none_and_a_file_that_is_none_says_so() {
        let none = Commands::read(None).unwrap().words("copy", &[]).unwrap_err().to_string();
        assert!(none.contains("jobs_commands"), "{none}");
        assert!(
            Commands::read(Some(Path::new("/nowhere/a.toml")))
                .unwrap_err()
                .to_string()
                .contains("/nowhere/a.toml")
        );
        for (text, word) in [
            ("a = 1", "list of texts"),
            ("a = ", "list of texts"),
            ("a = []", "no program"),
            ("a = ['cp']", "full path"),
            ("'a b' = ['/bin/cp']", "no name"),
        ] {
            let refused = Commands::of(text).unwrap_err().to_string();
            assert!(refused.contains(word), "{text}: {refused}");
        }
    }
}
